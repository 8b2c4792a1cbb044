/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file file_scan.h
 * @brief Showing the live records of a space, directory by directory.
 */
#ifndef FILE_SCAN_H
#define FILE_SCAN_H

#include "file_backend.h"

/** See bsession_provider_t. */
apr_status_t file_scan(bsession_backend_t *backend, char space, bsession_cursor_t *cursor,
                       bsession_visitor_t *visit, void *baton, bsession_call_t *call);

/** The key that a file's name is the text form of; 0 where it is none. */
int          file_key_read(bsession_key_t *key, const char *name);

#endif
