/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file file_sweep.h
 * @brief Dropping what is over, and, beyond the threshold, what ends first; a slice at a time.
 *
 * A round goes through all directories, and counts. It looks at the files' names and times only.
 * Each slice goes on where the last one ended, whichever child made it.
 */
#ifndef FILE_SWEEP_H
#define FILE_SWEEP_H

#include "file_backend.h"

/** See bsession_provider_t. */
apr_status_t file_sweep(bsession_backend_t *backend, apr_time_t now, bsession_call_t *call);

#endif
