/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file file.h
 * @brief The file store: a file for each record. `file:/dir`, options `mode=`, `threshold=` and
 * `sync=`.
 *
 *     /dir/5/f0/s5f0c8a31d2b74e6690aa41c7e2d8b935
 *          | |  the key; its first three digits name the two directories
 *          | 256 directories in each of
 *          16
 *
 * A record is one file, which is written beside its place and moved there, so that whoever reads it
 * reads the whole of it and needs no lock. Its end of life is the file's time of modification: a
 * touch writes no data, and a sweep reads none. Whoever changes a record holds flock on its file.
 */
#ifndef FILE_H
#define FILE_H

#include "bsession_provider.h"

extern const bsession_provider_t bsession_file_provider;

#endif
