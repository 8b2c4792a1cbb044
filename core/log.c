/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "log.h"

#include <stdarg.h>

#include <apr_strings.h>

#include "bsession_provider.h"
#include "mod_bsession.h"

static bs_log_fn_t *installed;

void bs_log_install(bs_log_fn_t *log)
{
    installed = log;
}

void bs_log(void *where, bs_level_t level, const char *format, ...)
{
    char text[512];
    va_list args;

    if (installed) {
        va_start(args, format);
        apr_vsnprintf(text, sizeof text, format, args);
        va_end(args);
        installed(where, level, text);
    }
}

static const struct {
    apr_status_t status;
    const char  *text;
} texts[] = {
    { APR_SUCCESS,       "done" },
    { APR_NOTFOUND,      "there is no such session" },
    { APR_EEXIST,        "it is there already" },
    { APR_EMISMATCH,     "others kept changing it" },
    { APR_ENOSPC,        "it is over a limit" },
    { APR_EINVAL,        "that is no valid key or number" },
    { APR_EACCES,        "the session is read-only here" },
    { APR_ENOTIMPL,      "the store cannot do that" },
    { APR_TIMEUP,        "the store did not answer in time" },
    { BSESSION_ECORRUPT, "the record is damaged" },
    { BSESSION_EFULL,    "the store is full" },
    { BSESSION_ELATE,    "the response's headers have left" },
    { BSESSION_EMANY,    "the user has as many sessions as BSessionUser max= allows" },
    { BSESSION_EGONE,    "another request ended the session or logged in" },
    { BSESSION_EBUSY,    "another request has the session's lock" }
};

const char *bs_status_text(apr_status_t status)
{
    apr_size_t i;

    for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].status == status) {
            return texts[i].text;
        }
    }
    return "the store could not be asked";
}
