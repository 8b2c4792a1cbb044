/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "secret_source.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

#include "apr_file_io.h"
#include "apr_signal.h"
#include "apr_strings.h"
#include "apr_thread_proc.h"
#include "http_config.h"
#include "http_core.h"
#include "http_log.h"

APLOG_USE_MODULE(bsession);

/* A program that has not printed its secret by then is ended, and httpd does not start; nor where
 * only what the program left behind has its output open, since that may still print some of it. */
#define EXEC_TIME  apr_time_from_sec(10)
#define EXEC_KEPT  "mod_bsession:exec:"

typedef struct {
    void      *bytes;
    apr_size_t len;
} wiped_t;

static apr_status_t wipe(void *baton)
{
    const wiped_t *wiped = baton;

    OPENSSL_cleanse(wiped->bytes, wiped->len);
    return APR_SUCCESS;
}

void bs_wipe_with(apr_pool_t *p, void *bytes, apr_size_t len)
{
    wiped_t *wiped = apr_palloc(p, sizeof *wiped);

    wiped->bytes = bytes;
    wiped->len = len;
    apr_pool_cleanup_register(p, wiped, wipe, apr_pool_cleanup_null);
}

/** What is read, before it is known how much of it is the secret: wiped when that is copied. */
typedef char room_t[BS_SOURCE_MAX + 1];

/* ---- file: ---- */

static const char *no_file(const char *path, const char *what, apr_status_t status, apr_pool_t *p)
{
    char why[120];

    return apr_psprintf(p, "the file %s cannot be %s: %s", path, what,
                        apr_strerror(status, why, sizeof why));
}

static const char *read_file(bsession_bytes_t *secret, room_t room, const char *name, server_rec *s,
                             apr_pool_t *p)
{
    const char *path = ap_server_root_relative(p, name), *wrong = NULL;
    apr_finfo_t info;
    apr_file_t *file;
    apr_status_t status;

    if (!*name || !path) {
        return apr_psprintf(p, "file: takes the path of a file, not \"%s\"", name);
    }
    status = apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_NONBLOCK, 0, p);
    if (status != APR_SUCCESS) {
        return no_file(path, "opened", status, p);
    }
    status = apr_file_info_get(&info, APR_FINFO_TYPE | APR_FINFO_PROT, file);
    if (status == APR_SUCCESS && info.filetype != APR_REG) {
        wrong = apr_psprintf(p, "%s is no file", path);
    }
    else if (status == APR_SUCCESS) {
        secret->data = room;
        status = apr_file_read_full(file, room, sizeof(room_t), &secret->len);
        status = APR_STATUS_IS_EOF(status) ? APR_SUCCESS : status;
    }
    apr_file_close(file);
    if (status != APR_SUCCESS) {
        return no_file(path, "read", status, p);
    }
    if (!wrong && info.protection & (APR_FPROT_WREAD | APR_FPROT_WWRITE)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "the secret in %s is open to everybody on this "
                     "machine: chmod 600 it", path);
    }
    return wrong;
}

/* ---- exec: ----
 *
 * At a start httpd reads its configuration twice, and unloads this object in between: what a
 * program printed is kept for the second reading in the process's pool, and wiped there when it is
 * taken. Lines that name the same program share what it printed, until all is read. */

typedef struct kept_t kept_t;

struct kept_t {
    kept_t          *next;
    const char      *command;
    bsession_bytes_t printed;           /* without data: wiped */
};

/** The first of those that are kept in this pool. */
static kept_t **kept_in(apr_pool_t *pool)
{
    void *first = NULL;

    apr_pool_userdata_get(&first, EXEC_KEPT, pool);
    if (!first) {
        first = apr_pcalloc(pool, sizeof(kept_t *));
        apr_pool_userdata_set(first, EXEC_KEPT, apr_pool_cleanup_null, pool);
    }
    return first;
}

static void keep(const char *command, const bsession_bytes_t *printed, apr_pool_t *pool)
{
    kept_t **first = kept_in(pool), *kept = apr_palloc(pool, sizeof *kept);

    kept->next = *first;
    kept->command = apr_pstrdup(pool, command);
    kept->printed.data = apr_pmemdup(pool, printed->data, printed->len);
    kept->printed.len = printed->len;
    *first = kept;
}

static void forget(kept_t *kept)
{
    if (kept->printed.data) {
        OPENSSL_cleanse((void *)kept->printed.data, kept->printed.len);
        kept->printed.data = NULL;
    }
}

static int is_kept(bsession_bytes_t *secret, room_t room, const char *command, apr_pool_t *pool,
                   int take)
{
    kept_t *kept = *kept_in(pool);

    while (kept && (!kept->printed.data || strcmp(kept->command, command) != 0)) {
        kept = kept->next;
    }
    if (!kept) {
        return 0;
    }
    memcpy(room, kept->printed.data, kept->printed.len);
    secret->data = room;
    secret->len = kept->printed.len;
    if (take) {
        forget(kept);
    }
    return 1;
}

void bs_forget_programs(apr_pool_t *p)
{
    kept_t *kept;

    for (kept = *kept_in(p); kept; kept = kept->next) {
        forget(kept);
    }
}

/** All that it prints, until it ends, or is more than any secret. APR_TIMEUP. */
static apr_status_t listen_to(const apr_proc_t *program, room_t room, apr_size_t *len, apr_time_t end)
{
    apr_status_t status = APR_SUCCESS;

    *len = 0;
    while (status == APR_SUCCESS && *len < sizeof(room_t)) {
        apr_interval_time_t left = end - apr_time_now();
        apr_size_t count = sizeof(room_t) - *len;

        if (left <= 0) {
            return APR_TIMEUP;
        }
        apr_file_pipe_timeout_set(program->out, left);
        status = apr_file_read(program->out, room + *len, &count);
        *len += status == APR_SUCCESS ? count : 0;
    }
    return APR_STATUS_IS_EOF(status) ? APR_SUCCESS : status;
}

/** It closes its output and ends, or is ended. NULL, or how it ended. */
static const char *end_of(apr_proc_t *program, apr_time_t end, apr_pool_t *p)
{
    apr_exit_why_e why = APR_PROC_EXIT;
    int code = 0;
    apr_status_t status = apr_proc_wait(program, &code, &why, APR_NOWAIT);

    while (status == APR_CHILD_NOTDONE && apr_time_now() < end) {
        apr_sleep(apr_time_from_msec(5));
        status = apr_proc_wait(program, &code, &why, APR_NOWAIT);
    }
    if (status == APR_CHILD_NOTDONE) {
        apr_proc_kill(program, SIGKILL);
        apr_proc_wait(program, &code, &why, APR_WAIT);
        return apr_psprintf(p, "has not ended in order within %d seconds",
                            (int)apr_time_sec(EXEC_TIME));
    }
    if (!APR_PROC_CHECK_EXIT(why)) {
        return apr_psprintf(p, "was ended by signal %d", code);
    }
    return code ? apr_psprintf(p, "ended with status %d", code) : NULL;
}

static const char *run(bsession_bytes_t *secret, room_t room, const char *command, apr_pool_t *p)
{
    apr_time_t end = apr_time_now() + EXEC_TIME;
    apr_procattr_t *attr;
    apr_proc_t program;
    apr_status_t status;
    const char *wrong;
    char **words, why[120];

    if (apr_tokenize_to_argv(command, &words, p) != APR_SUCCESS || !words[0] || words[0][0] != '/') {
        return "exec: takes the path of a program, beginning with /, and its arguments";
    }
    apr_procattr_create(&attr, p);
    apr_procattr_io_set(attr, APR_NO_FILE, APR_FULL_BLOCK, APR_NO_PIPE);
    apr_procattr_cmdtype_set(attr, APR_PROGRAM_ENV);
    apr_procattr_error_check_set(attr, 1);
    status = apr_proc_create(&program, words[0], (const char *const *)words, NULL, attr, p);
    if (status != APR_SUCCESS) {
        return apr_psprintf(p, "the program %s cannot be run: %s", words[0],
                            apr_strerror(status, why, sizeof why));
    }
    status = listen_to(&program, room, &secret->len, end);
    secret->data = room;
    apr_file_close(program.out);
    wrong = end_of(&program, status == APR_SUCCESS ? end : 0, p);
    if (secret->len == sizeof(room_t)) {
        wrong = apr_psprintf(p, "printed more than %d bytes", BS_SOURCE_MAX);
    }
    if (!wrong && status != APR_SUCCESS) {   /* what it has begun goes on, and may print the rest */
        wrong = apr_psprintf(p, "has ended, but something that it began has its output open after %d "
                             "seconds", (int)apr_time_sec(EXEC_TIME));
    }
    return wrong ? apr_psprintf(p, "the program %s %s", words[0], wrong) : NULL;
}

static const char *read_program(bsession_bytes_t *secret, room_t room, const char *command,
                                server_rec *s, apr_pool_t *p)
{
    apr_pool_t *process = s->process->pool;
    int first = ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG;
    const char *wrong;

    if (is_kept(secret, room, command, p, 0)) {
        return NULL;
    }
    if (first || !is_kept(secret, room, command, process, 1)) {
        wrong = run(secret, room, command, p);
        if (wrong) {
            return wrong;
        }
        if (first) {
            keep(command, secret, process);
        }
    }
    keep(command, secret, p);
    return NULL;
}

/* ---- all of them ---- */

static const char *read_variable(bsession_bytes_t *secret, room_t room, const char *name,
                                 server_rec *s, apr_pool_t *p)
{
    (void)room;
    (void)s;
    secret->data = getenv(name);
    if (!*name || !secret->data) {
        return apr_psprintf(p, "httpd has no environment variable \"%s\"", name);
    }
    secret->len = strlen(secret->data);
    return NULL;
}

static const struct {
    const char   *prefix;
    const char *(*read)(bsession_bytes_t *secret, room_t room, const char *name, server_rec *s,
                        apr_pool_t *p);
} sources[] = {
    { "file:", read_file }, { "env:", read_variable }, { "exec:", read_program }
};

int bs_is_secret_source(const char *text)
{
    apr_size_t i;

    for (i = 0; i < sizeof sources / sizeof *sources; i++) {
        if (strncasecmp(text, sources[i].prefix, strlen(sources[i].prefix)) == 0) {
            return 1;
        }
    }
    return 0;
}

/** Of what was found: the newline is left out, and the rest copied to where it stays. */
static const char *copy(bsession_bytes_t *secret, const bsession_bytes_t *found, apr_pool_t *p)
{
    apr_size_t len = found->len;
    char *bytes;

    if (len && found->data[len - 1] == '\n') {
        len--;
    }
    if (len > BS_SOURCE_MAX) {
        return apr_psprintf(p, "a secret has at most %d bytes", BS_SOURCE_MAX);
    }
    bytes = apr_pstrmemdup(p, found->data, len);
    bs_wipe_with(p, bytes, len);
    secret->data = bytes;
    secret->len = len;
    return NULL;
}

const char *bs_read_secret(bsession_bytes_t *secret, const char *text, server_rec *s, apr_pool_t *p)
{
    bsession_bytes_t found = { text, strlen(text) };
    const char *wrong = NULL;
    room_t room;
    apr_size_t i;

    for (i = 0; i < sizeof sources / sizeof *sources; i++) {
        apr_size_t len = strlen(sources[i].prefix);

        if (strncasecmp(text, sources[i].prefix, len) == 0) {
            wrong = sources[i].read(&found, room, text + len, s, p);
            break;
        }
    }
    wrong = wrong ? wrong : copy(secret, &found, p);
    OPENSSL_cleanse(room, sizeof room);
    return wrong;
}
