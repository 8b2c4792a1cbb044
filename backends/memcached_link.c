/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "memcached_link.h"

#include <string.h>

#include <apr_strings.h>
#include <libmemcached/memcached.h>

struct mc_link_t {
    const mc_conf_t   *conf;
    const mc_server_t *server;
    const char        *text;                /* of the server */
    apr_pool_t        *pool;
    memcached_st      *handle;              /* NULL: not connected */
    int                known;               /* that it takes connections */
};

static apr_status_t link_end(void *link)
{
    mc_link_close(link);
    return APR_SUCCESS;
}

mc_link_t *mc_link_make(const mc_conf_t *conf, const mc_server_t *server, apr_pool_t *pool)
{
    mc_link_t *link = apr_pcalloc(pool, sizeof *link);

    link->conf = conf;
    link->server = server;
    link->text = mc_server_text(server, pool);
    link->pool = pool;
    apr_pool_cleanup_register(pool, link, link_end, apr_pool_cleanup_null);
    return link;
}

void mc_link_free(mc_link_t *link)
{
    apr_pool_destroy(link->pool);
}

int mc_link_is_open(const mc_link_t *link)
{
    return link->handle != NULL;
}

void mc_link_close(mc_link_t *link)
{
    if (link->handle) {
        memcached_free(link->handle);
        link->handle = NULL;
        link->known = 0;
    }
}

/* ------------------------------------------------------------------ failures */

#define LINK_OTHER "the server did not understand; is it Memcached?"

/** What the library says, in words that help; NULL where its own are as good. */
static const char *link_words(const mc_link_t *link, memcached_return_t result)
{
    switch (result) {
    case MEMCACHED_TIMEOUT:
        return "no answer in time";
    case MEMCACHED_HOST_LOOKUP_FAILURE:
        return "the name of the host is not known";
    case MEMCACHED_AUTH_FAILURE:
        return "the server refused user= or password=";
    case MEMCACHED_AUTH_PROBLEM:
        return "no way to log in: SASL's modules (libsasl2-modules) have none of the server's";
    case MEMCACHED_CONNECTION_FAILURE:
        return link->known ? "the connection was closed"
                           : "it takes no connections, or closes them at once";
    case MEMCACHED_UNKNOWN_READ_FAILURE:
        return link->known ? "its answer cannot be read"
             : link->conf->user ? "it lets nobody log in; is it Memcached, started with -S?"
                                : LINK_OTHER;
    case MEMCACHED_SERVER_MEMORY_ALLOCATION_FAILURE:
    case MEMCACHED_MEMORY_ALLOCATION_FAILURE:
        return "no memory is left (-m), and the server may drop nothing (-M)";
    case MEMCACHED_ERROR:
    case MEMCACHED_CLIENT_ERROR:
        return LINK_OTHER;
    default:
        return NULL;
    }
}

static int link_is_full(memcached_return_t result)
{
    return result == MEMCACHED_SERVER_MEMORY_ALLOCATION_FAILURE
           || result == MEMCACHED_MEMORY_ALLOCATION_FAILURE;
}

/** The first thing that went wrong is told by the handle, and `result` may be a summary of it. */
static apr_status_t link_fail(mc_link_t *link, memcached_return_t result, bsession_call_t *call)
{
    memcached_return_t told = memcached_last_error(link->handle);
    int error = memcached_last_error_errno(link->handle);
    const char *words;
    char text[64];

    if (told == MEMCACHED_SUCCESS || link_words(link, result)) {
        told = result;
    }
    words = error && told != MEMCACHED_TIMEOUT ? apr_strerror(error, text, sizeof text)
                                               : link_words(link, told);
    if (!words) {
        words = told == MEMCACHED_SOME_ERRORS ? LINK_OTHER
                                              : memcached_strerror(link->handle, told);
    }
    apr_snprintf(call->why, sizeof call->why, "%s: %s", link->text, words);
    mc_link_close(link);
    return told == MEMCACHED_TIMEOUT ? APR_TIMEUP
         : link_is_full(told) ? BSESSION_EFULL : APR_EGENERAL;
}

/** What goes wrong on the way closes the connection, though the library may not say so. */
static int link_is_whole(const mc_link_t *link)
{
    const memcached_instance_st *instance = memcached_server_instance_by_position(link->handle, 0);

    return instance && memcached_server_major_version(instance) != UINT8_MAX
           && memcached_server_response_count(instance) == 0;
}

/** Each wait for the server ends with the call. */
static apr_status_t link_time(mc_link_t *link, apr_interval_time_t most, bsession_call_t *call)
{
    apr_interval_time_t left = call->deadline - apr_time_now();

    if (left <= 0) {
        apr_snprintf(call->why, sizeof call->why, "%s: no answer in time", link->text);
        mc_link_close(link);
        return APR_TIMEUP;
    }
    if (most && left > most) {
        left = most;
    }
    memcached_behavior_set(link->handle, MEMCACHED_BEHAVIOR_POLL_TIMEOUT,
                           (uint64_t)(left + 999) / 1000);
    return APR_SUCCESS;
}

/* ------------------------------------------------------------------ connecting */

static memcached_return_t link_set_up(mc_link_t *link)
{
    const mc_server_t *server = link->server;

    memcached_behavior_set(link->handle, MEMCACHED_BEHAVIOR_SUPPORT_CAS, 1);
    memcached_behavior_set(link->handle, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1);
    if (link->conf->user) {
        memcached_return_t result = memcached_set_sasl_auth_data(link->handle, link->conf->user,
                                                                 link->conf->password);

        if (result != MEMCACHED_SUCCESS) {
            return result;
        }
    }
    return *server->host == '/' ? memcached_server_add_unix_socket(link->handle, server->host)
                                : memcached_server_add(link->handle, server->host, server->port);
}

apr_status_t mc_link_ready(mc_link_t *link, bsession_call_t *call)
{
    memcached_return_t result;
    apr_status_t status;

    if (link->handle) {
        return link_time(link, 0, call);
    }
    link->handle = memcached_create(NULL);
    if (!link->handle) {
        apr_cpystrn(call->why, "out of memory", sizeof call->why);
        return APR_ENOMEM;
    }
    status = link_time(link, link->conf->connect_timeout, call);
    if (status != APR_SUCCESS) {
        return status;
    }
    memcached_behavior_set(link->handle, MEMCACHED_BEHAVIOR_CONNECT_TIMEOUT,
                           memcached_behavior_get(link->handle,
                                                  MEMCACHED_BEHAVIOR_POLL_TIMEOUT));
    result = link_set_up(link);
    if (result == MEMCACHED_SUCCESS) {
        /* it connects for that, and forgets the version when it loses the connection */
        result = memcached_version(link->handle);
    }
    if (result != MEMCACHED_SUCCESS || !link_is_whole(link)) {
        return link_fail(link, result, call);
    }
    link->known = 1;
    return link_time(link, 0, call);
}

/* ------------------------------------------------------------------ asking */

static int link_which(const mc_name_t *names, int count, const memcached_result_st *result)
{
    int i;

    for (i = 0; i < count; i++) {
        if (memcached_result_key_length(result) == names[i].len
            && memcached_result_key_value(result)
            && memcmp(memcached_result_key_value(result), names[i].text, names[i].len) == 0) {
            return i;
        }
    }
    return -1;
}

/** All that the server has of them, to the end of its answer, which is MEMCACHED_END. */
static apr_status_t link_fetch(mc_link_t *link, const mc_name_t *names, int count,
                               mc_found_t *found, void *baton, memcached_return_t *said,
                               bsession_call_t *call)
{
    apr_status_t status = APR_SUCCESS;
    memcached_result_st result;

    memcached_result_create(link->handle, &result);
    do {
        int which;

        /* an error is told as a miss where nothing was counted before it */
        result.count = 1;
        if (!memcached_fetch_result(link->handle, &result, said)) {
            break;
        }
        which = link_which(names, count, &result);
        if (which < 0) {
            *said = MEMCACHED_PROTOCOL_ERROR;
            break;
        }
        status = found(baton, which, memcached_result_value(&result),
                       memcached_result_length(&result), memcached_result_cas(&result), call);
    } while (status == APR_SUCCESS);
    memcached_result_free(&result);
    return status;
}

apr_status_t mc_link_get(mc_link_t *link, const mc_name_t *names, int count, mc_found_t *found,
                         void *baton, bsession_call_t *call)
{
    const char **texts = apr_palloc(call->pool, (apr_size_t)count * sizeof *texts);
    size_t *lengths = apr_palloc(call->pool, (apr_size_t)count * sizeof *lengths);
    memcached_return_t said;
    apr_status_t status;
    int i;

    for (i = 0; i < count; i++) {
        texts[i] = names[i].text;
        lengths[i] = names[i].len;
    }
    said = memcached_mget(link->handle, texts, lengths, (size_t)count);
    if (said != MEMCACHED_SUCCESS) {
        return link_fail(link, said, call);
    }
    status = link_fetch(link, names, count, found, baton, &said, call);
    if (status != APR_SUCCESS) {
        mc_link_close(link);
        return status;
    }
    return said == MEMCACHED_END && link_is_whole(link) ? APR_SUCCESS
                                                        : link_fail(link, said, call);
}

/** What the library has read beyond the answer would be the next one's: it is read to its end here,
 *  and nothing is waited for where there is none. */
static memcached_return_t link_rest(mc_link_t *link)
{
    memcached_result_st result;
    memcached_return_t said;

    memcached_result_create(link->handle, &result);
    result.count = 1;
    said = memcached_fetch_result(link->handle, &result, &said) ? MEMCACHED_PROTOCOL_ERROR : said;
    memcached_result_free(&result);
    return said;
}

/** An answer, or the end of the link. */
static apr_status_t link_said(mc_link_t *link, memcached_return_t result, bsession_call_t *call)
{
    memcached_return_t rest;

    if (!link_is_whole(link)) {
        return link_fail(link, result, call);
    }
    rest = link_rest(link);
    if (rest != MEMCACHED_END) {
        return link_fail(link, rest, call);
    }
    switch (result) {
    case MEMCACHED_SUCCESS:
        return APR_SUCCESS;
    case MEMCACHED_NOTFOUND:
        return APR_NOTFOUND;
    case MEMCACHED_NOTSTORED:           /* of add, in the text protocol */
    case MEMCACHED_DATA_EXISTS:
        return APR_EEXIST;
    case MEMCACHED_E2BIG:
        apr_snprintf(call->why, sizeof call->why, "%s: a record is larger than the largest item "
                     "of the server, which is set by -I", link->text);
        return APR_ENOSPC;
    default:
        return link_fail(link, result, call);
    }
}

apr_status_t mc_link_add(mc_link_t *link, const mc_name_t *name, const char *bytes,
                         apr_size_t size, time_t exptime, bsession_call_t *call)
{
    return link_said(link, memcached_add(link->handle, name->text, name->len, bytes, size, exptime,
                                         0), call);
}

apr_status_t mc_link_cas(mc_link_t *link, const mc_name_t *name, const char *bytes,
                         apr_size_t size, time_t exptime, apr_uint64_t cas, bsession_call_t *call)
{
    return link_said(link, memcached_cas(link->handle, name->text, name->len, bytes, size, exptime,
                                         0, cas), call);
}

apr_status_t mc_link_delete(mc_link_t *link, const mc_name_t *name, bsession_call_t *call)
{
    return link_said(link, memcached_delete(link->handle, name->text, name->len, 0), call);
}

/* ------------------------------------------------------------------ numbers */

typedef struct {
    mc_number_t *number;
    void        *baton;
    apr_pool_t  *pool;
} link_stats_t;

static memcached_return_t link_stat(const memcached_instance_st *instance, const char *name,
                                    size_t name_len, const char *value, size_t value_len,
                                    void *context)
{
    link_stats_t *stats = context;

    (void)instance;
    stats->number(stats->baton, apr_pstrmemdup(stats->pool, name, name_len),
                  apr_pstrmemdup(stats->pool, value, value_len));
    return MEMCACHED_SUCCESS;
}

apr_status_t mc_link_stats(mc_link_t *link, mc_number_t *number, void *baton,
                           bsession_call_t *call)
{
    link_stats_t stats = { number, baton, call->pool };

    return link_said(link, memcached_stat_execute(link->handle, NULL, link_stat, &stats), call);
}
