/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file file_record.h
 * @brief What stands in a record's file, and how it is found and read.
 */
#ifndef FILE_RECORD_H
#define FILE_RECORD_H

#include "file_backend.h"

/** Before the bytes of the record. In this machine's order of bytes: the files stay with it. */
typedef struct {
    char         magic[8];
    apr_uint64_t revision;
    apr_time_t   expires;           /* looked at where the file's time is FILE_FAR */
    apr_uint64_t size;              /* of the record's bytes */
    apr_uint64_t check;             /* of all of these, the record's bytes, and the key */
} file_head_t;

/** The largest record that is taken. */
#define FILE_LARGEST (256u << 20)

/** The file's whole content. */
void *file_image(const bsession_backend_t *backend, const bsession_key_t *key,
                 const bsession_record_t *record, apr_uint64_t revision, apr_time_t expires,
                 apr_size_t *size, apr_pool_t *pool);

/** The record's file, to be read, and closed, by the caller; what it is comes along. APR_NOTFOUND;
 *  BSESSION_ECORRUPT where a link, or a file that is not ours, has the name. */
apr_status_t file_record_open(int *file, struct stat *about, bsession_backend_t *backend,
                              const bsession_key_t *key, bsession_call_t *call);

/** The same, where its directory is open. */
apr_status_t file_record_open_in(int *file, struct stat *about, const bsession_backend_t *backend,
                                 int leaf, const char *name, bsession_call_t *call);

/** All of it. */
apr_status_t file_record_read(bsession_record_t *record, int file, const struct stat *about,
                              const bsession_backend_t *backend, const bsession_key_t *key,
                              bsession_call_t *call);

/** The head alone: what a change must know of the record that it replaces. */
apr_status_t file_head_read(file_head_t *head, int file);

/** When the record's life ends. */
apr_time_t   file_head_end(const file_head_t *head, const struct stat *about);

#endif
