/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The directives that say who may use a session, and how: BSessionRotate, BSessionLock,
 * BSessionUser. */

#include "config.h"

#include <string.h>

#include "apr_strings.h"

#include "parse.h"

#define DEFAULT_GRACE  apr_time_from_sec(10)
#define DEFAULT_WAIT   apr_time_from_sec(10)
#define DEFAULT_LEASE  apr_time_from_sec(30)
#define LONGEST        apr_time_from_sec((apr_time_t)400 * 24 * 3600)
/* A request that waits occupies a worker. */
#define LONGEST_WAIT   apr_time_from_sec(300)
#define LONGEST_LEASE  apr_time_from_sec(3600)
#define MOST_SESSIONS  1000

static const char *given_twice(const cmd_parms *cmd, const char *word)
{
    return apr_psprintf(cmd->pool, "%s: %.*s= is given twice", cmd->cmd->name,
                        (int)strcspn(word, "="), word);
}

/** The text behind `name=`, or NULL where this word is another option. */
static const char *value_of(const char *word, const char *name)
{
    apr_size_t len = strlen(name);

    return strncasecmp(word, name, len) == 0 && word[len] == '=' ? word + len + 1 : NULL;
}

static int is_time(apr_interval_time_t *time, const char *text, apr_interval_time_t least,
                   apr_interval_time_t most)
{
    return bs_parse_time(time, text) == NULL && *time >= least && *time <= most;
}

/* ---- BSessionRotate time|Off [grace=10s] [reuse=log|revoke] ---- */

static const char *rotate_option(const cmd_parms *cmd, bs_rotate_rule_t *rule, const char *word)
{
    const char *value;

    if ((value = value_of(word, "grace")) != NULL) {
        return is_time(&rule->grace, value, 0, LONGEST_LEASE) ? NULL
             : apr_psprintf(cmd->pool, "BSessionRotate: grace= takes a time to 1h, such as 10s, not "
                            "\"%s\"", value);
    }
    if ((value = value_of(word, "reuse")) != NULL) {
        rule->revoke = strcasecmp(value, "revoke") == 0;
        return rule->revoke || strcasecmp(value, "log") == 0 ? NULL
             : apr_psprintf(cmd->pool, "BSessionRotate: reuse= takes log or revoke, not \"%s\"", value);
    }
    return apr_psprintf(cmd->pool, "BSessionRotate takes grace= and reuse=, not \"%s\"", word);
}

const char *bs_set_rotate(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    bs_rotate_rule_t *rule = apr_pcalloc(cmd->pool, sizeof *rule);
    const char *wrong = NULL;
    int i;

    rule->grace = DEFAULT_GRACE;
    if (argc < 1 || (strcasecmp(argv[0], "off") != 0
                     && !is_time(&rule->every, argv[0], apr_time_from_sec(1), LONGEST))) {
        return apr_psprintf(cmd->pool, "BSessionRotate takes Off or a time from 1s to 400d, such as "
                            "15min, not \"%s\"", argc < 1 ? "" : argv[0]);
    }
    for (i = 1; i < argc && !wrong; i++) {
        wrong = bs_is_given_before(argv, i, 1) ? given_twice(cmd, argv[i])
                                               : rotate_option(cmd, rule, argv[i]);
    }
    bs_speak(dir)->rotate = rule;
    return wrong;
}

/* ---- BSessionLock Off|On [wait=10s] [lease=30s] ---- */

static const char *lock_option(const cmd_parms *cmd, bs_lock_rule_t *rule, const char *word)
{
    const char *value;

    if ((value = value_of(word, "wait")) != NULL) {
        return is_time(&rule->wait, value, 0, LONGEST_WAIT) ? NULL
             : apr_psprintf(cmd->pool, "BSessionLock: wait= takes a time to 300s, such as 10s, not "
                            "\"%s\"", value);
    }
    if ((value = value_of(word, "lease")) != NULL) {
        return is_time(&rule->lease, value, apr_time_from_sec(1), LONGEST_LEASE) ? NULL
             : apr_psprintf(cmd->pool, "BSessionLock: lease= takes a time from 1s to 1h, such as 30s, "
                            "not \"%s\"", value);
    }
    return apr_psprintf(cmd->pool, "BSessionLock takes wait= and lease=, not \"%s\"", word);
}

const char *bs_set_lock(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    bs_lock_rule_t *rule = apr_pcalloc(cmd->pool, sizeof *rule);
    const char *wrong = NULL;
    int i;

    rule->wait = DEFAULT_WAIT;
    rule->lease = DEFAULT_LEASE;
    rule->on = argc >= 1 && strcasecmp(argv[0], "on") == 0;
    if (!rule->on && (argc < 1 || strcasecmp(argv[0], "off") != 0)) {
        return apr_psprintf(cmd->pool, "BSessionLock takes Off or On, and then wait= and lease=, not "
                            "\"%s\"", argc < 1 ? "" : argv[0]);
    }
    for (i = 1; i < argc && !wrong; i++) {
        wrong = bs_is_given_before(argv, i, 1) ? given_twice(cmd, argv[i])
                                               : lock_option(cmd, rule, argv[i]);
    }
    bs_speak(dir)->lock = rule;
    return wrong;
}

/* ---- BSessionUser key|Off [max=N deny|evict] ---- */

static const char *user_limit(const cmd_parms *cmd, bs_user_rule_t *rule, int argc,
                              char *const argv[])
{
    const char *value = value_of(argv[1], "max");
    apr_int64_t most;

    if (argc != 3 || !value || bs_parse_number(&most, value, 1, MOST_SESSIONS, "max=", cmd->pool)) {
        return "BSessionUser takes a key, and then max= from 1 to 1000 with deny or evict, such as: "
               "BSessionUser user max=3 evict";
    }
    rule->max = (int)most;
    rule->evict = strcasecmp(argv[2], "evict") == 0;
    if (!rule->evict && strcasecmp(argv[2], "deny") != 0) {
        return apr_psprintf(cmd->pool, "BSessionUser: max= wants deny (a login too many is refused) or "
                            "evict (the oldest session ends), not \"%s\"", argv[2]);
    }
    return NULL;
}

const char *bs_set_user(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    bs_user_rule_t *rule = apr_pcalloc(cmd->pool, sizeof *rule);

    bs_speak(dir)->user = rule;
    if (argc == 1 && strcasecmp(argv[0], "off") == 0) {
        return NULL;
    }
    if (argc < 1 || !bs_key_valid(argv[0], strlen(argv[0])) || bs_key_is_private(argv[0])) {
        return "BSessionUser takes Off or the name of a key, such as: BSessionUser user";
    }
    rule->key = argv[0];
    return argc == 1 ? NULL : user_limit(cmd, rule, argc, argv);
}
