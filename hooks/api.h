/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#ifndef BS_API_H
#define BS_API_H

#include "httpd.h"

#include "mod_bsession.h"

/** Offers the functions of include/mod_bsession.h to other modules. */
void bs_register_api(apr_pool_t *p);

/* Some of them are in files of their own: sessions outside of a request in api_open.c. */
bsession_t  *bs_api_open(server_rec *server, const char *store, const char *token,
                         apr_pool_t *pool);
apr_status_t bs_api_close(bsession_t *s);

#endif
