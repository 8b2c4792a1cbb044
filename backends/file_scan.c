/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "file_scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_tables.h>

#include "file_directory.h"
#include "file_record.h"

#define FILE_SCAN_RECORDS 256           /* a slice of a scan ends with one of these: */
#define FILE_SCAN_LEAVES  256

/* Where a scan stands, in bsession_cursor_t.at: the directory, and the last key that was shown
 * of it, if any. A directory's records are shown in the order of their keys, so that what comes
 * and goes between two slices moves no other record past the cursor. */
enum { SCAN_LEAF, SCAN_BEGUN, SCAN_KEY0, SCAN_KEY1 };

static int file_hex(char digit)
{
    return digit >= '0' && digit <= '9' ? digit - '0'
         : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

int file_key_read(bsession_key_t *key, const char *name)
{
    apr_size_t i;

    if (strlen(name) != BSESSION_KEY_TEXT_SIZE - 1 || !strchr("sluc", name[0])) {
        return 0;
    }
    key->space = name[0];
    for (i = 0; i < sizeof(key->bytes); i++) {
        int high = file_hex(name[1 + 2 * i]), low = file_hex(name[2 + 2 * i]);

        if (high < 0 || low < 0) {
            return 0;
        }
        key->bytes[i] = (unsigned char)(high << 4 | low);
    }
    return 1;
}

static int file_key_order(const void *one, const void *other)
{
    return memcmp(((const bsession_key_t *)one)->bytes, ((const bsession_key_t *)other)->bytes,
                  sizeof(((const bsession_key_t *)one)->bytes));
}

/* The keys in a directory that are still to be shown, in order; NULL, and errno, where it cannot be
 * read to its end. */
static apr_array_header_t *file_scan_list(int leaf, unsigned index, char space,
                                          const bsession_cursor_t *cursor, apr_pool_t *pool)
{
    apr_array_header_t *keys = apr_array_make(pool, 64, sizeof(bsession_key_t));
    int copy = fcntl(leaf, F_DUPFD_CLOEXEC, 0), error;
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;

    if (!list) {
        if (copy >= 0) {
            close(copy);
        }
        return NULL;
    }
    while ((errno = 0, entry = readdir(list)) != NULL) {
        bsession_key_t key;

        if (entry->d_name[0] == space && file_key_read(&key, entry->d_name)
            && file_leaf_of(&key) == index
            && !(cursor->at[SCAN_BEGUN]
                 && memcmp(key.bytes, &cursor->at[SCAN_KEY0], sizeof(key.bytes)) <= 0)) {
            APR_ARRAY_PUSH(keys, bsession_key_t) = key;
        }
    }
    error = errno;
    closedir(list);
    if (error) {
        errno = error;
        return NULL;
    }
    if (keys->nelts) {
        qsort(keys->elts, (size_t)keys->nelts, sizeof(bsession_key_t), file_key_order);
    }
    return keys;
}

/* What is over, gone or damaged is not shown; who loads it will hear of it. */
static apr_status_t file_scan_show(const bsession_backend_t *backend, int leaf,
                                   const bsession_key_t *key, bsession_visitor_t *visit,
                                   void *baton, int *shown, bsession_call_t *call)
{
    char name[BSESSION_KEY_TEXT_SIZE];
    bsession_record_t record;
    struct stat about;
    int file;
    apr_status_t status = file_record_open_in(&file, &about, backend, leaf,
                                              backend->services->key_text(key, name), call);

    if (status == APR_SUCCESS) {
        status = file_is_over(&about, apr_time_now()) ? APR_NOTFOUND
               : file_record_read(&record, file, &about, backend, key, call);
        close(file);
    }
    if (status == APR_SUCCESS) {
        ++*shown;
        return visit(baton, key, &record);
    }
    return status == APR_NOTFOUND || status == BSESSION_ECORRUPT ? APR_SUCCESS : status;
}

/* Goes on with the directory at the cursor; moves it to the next one where all of this was
 * shown. */
static apr_status_t file_scan_leaf(const bsession_backend_t *backend, char space,
                                   bsession_cursor_t *cursor, bsession_visitor_t *visit,
                                   void *baton, int *shown, bsession_call_t *call)
{
    unsigned index = (unsigned)cursor->at[SCAN_LEAF];
    apr_array_header_t *keys = NULL;
    apr_status_t status;
    int leaf, i = 0;

    status = file_leaf_open(&leaf, backend, index, 0, call);
    if (status == APR_NOTFOUND) {
        status = APR_SUCCESS;
    }
    else if (status == APR_SUCCESS) {
        keys = file_scan_list(leaf, index, space, cursor, call->pool);
        if (!keys) {
            status = file_outage(backend, "a directory in it cannot be read", call);
        }
        for (; keys && i < keys->nelts && status == APR_SUCCESS && *shown < FILE_SCAN_RECORDS;
             i++) {
            const bsession_key_t *key = &APR_ARRAY_IDX(keys, i, bsession_key_t);

            status = file_scan_show(backend, leaf, key, visit, baton, shown, call);
            memcpy(&cursor->at[SCAN_KEY0], key->bytes, sizeof(key->bytes));
            cursor->at[SCAN_BEGUN] = 1;
        }
        close(leaf);
    }
    if (status == APR_SUCCESS && (!keys || i == keys->nelts)) {
        memset(cursor, 0, sizeof(*cursor));
        cursor->at[SCAN_LEAF] = index + 1;
    }
    return status;
}

apr_status_t file_scan(bsession_backend_t *backend, char space, bsession_cursor_t *cursor,
                       bsession_visitor_t *visit, void *baton, bsession_call_t *call)
{
    apr_status_t status = file_root_check(backend, call);
    int shown = 0, leaves;

    for (leaves = 0; leaves < FILE_SCAN_LEAVES && status == APR_SUCCESS; leaves++) {
        if (cursor->at[SCAN_LEAF] >= FILE_LEAVES) {
            cursor->done = 1;
            break;
        }
        if (leaves && (shown >= FILE_SCAN_RECORDS || apr_time_now() >= call->deadline)) {
            break;
        }
        status = file_scan_leaf(backend, space, cursor, visit, baton, &shown, call);
    }
    return status;
}
