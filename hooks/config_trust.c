/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* The directives that say who may use a session, and how: BSessionRotate, BSessionLock,
 * BSessionUser, BSessionBind. */

#include "config.h"

#include <string.h>

#include "apr_strings.h"

#include "address.h"
#include "parse.h"

#define LONGEST        apr_time_from_sec((apr_time_t)400 * 24 * 3600)
/* A request that waits occupies a worker. */
#define LONGEST_WAIT   apr_time_from_sec(300)
#define LONGEST_LEASE  apr_time_from_sec(3600)

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

    rule->grace = BS_DEFAULT_GRACE;
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

    rule->wait = BS_LOCK_WAIT;
    rule->lease = BS_LOCK_LEASE;
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

    if (argc != 3 || !value || bs_parse_number(&most, value, 1, BS_OWNED_MAX, "max=", cmd->pool)) {
        return apr_psprintf(cmd->pool, "BSessionUser takes a key, and then max= from 1 to %d with deny or "
                            "evict, such as: BSessionUser user max=3 evict", BS_OWNED_MAX);
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

/* ---- BSessionBind ua|ip[/prefix]|tls ... [action=log|revoke], or Off ---- */

static const char *address_bits(const cmd_parms *cmd, bs_bind_rule_t *rule, const char *word)
{
    static const int most[2] = { 32, 128 };
    char *rest = apr_pstrdup(cmd->pool, word + 2), *bits;
    apr_int64_t number;
    int i;

    rule->bits[0] = BS_IPV4_BITS;
    rule->bits[1] = BS_IPV6_BITS;
    for (i = 0; *rest; i++) {
        bits = rest + 1;
        rest = bits + strcspn(bits, "/");
        if (i == 2 || !bs_number_parse(&number, bits, (apr_size_t)(rest - bits)) || number < 1
            || number > most[i]) {
            return apr_psprintf(cmd->pool, "BSessionBind: how much of an address counts is ip, ip/24 (1 to 32 "
                                "bits of IPv4) or ip/24/64 (and 1 to 128 of IPv6), not \"%s\"", word);
        }
        rule->bits[i] = (unsigned char)number;
    }
    return NULL;
}

static const char *bind_action(const cmd_parms *cmd, bs_bind_rule_t *rule, const char *value)
{
    rule->revoke = strcasecmp(value, "revoke") == 0;
    return rule->revoke || strcasecmp(value, "log") == 0 ? NULL
         : apr_psprintf(cmd->pool, "BSessionBind: action= takes log or revoke, not \"%s\"", value);
}

static const char *bind_word(const cmd_parms *cmd, bs_bind_rule_t *rule, const char *word)
{
    bs_bind_kind_t kind;

    if (strcasecmp(word, "ua") == 0) {
        kind = BS_BIND_UA;
    }
    else if (strcasecmp(word, "tls") == 0) {
        kind = BS_BIND_TLS;
    }
    else if (strncasecmp(word, "ip", 2) == 0 && (!word[2] || word[2] == '/')) {
        kind = BS_BIND_IP;
    }
    else {
        return apr_psprintf(cmd->pool, "BSessionBind takes Off, or any of ua, ip and tls, and then action=log "
                            "or action=revoke, not \"%s\"", word);
    }
    if (rule->kinds >> kind & 1) {
        return apr_psprintf(cmd->pool, "BSessionBind: %.*s is given twice", kind == BS_BIND_TLS ? 3 : 2,
                            word);
    }
    rule->kinds |= 1u << kind;
    return kind == BS_BIND_IP ? address_bits(cmd, rule, word) : NULL;
}

const char *bs_set_bind(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    bs_bind_rule_t *rule = apr_pcalloc(cmd->pool, sizeof *rule);
    const char *wrong = NULL, *action;
    int i, acts = 0;

    bs_speak(dir)->bind = rule;
    if (argc == 1 && strcasecmp(argv[0], "off") == 0) {
        return NULL;
    }
    for (i = 0; i < argc && !wrong; i++) {
        action = value_of(argv[i], "action");
        wrong = !action ? bind_word(cmd, rule, argv[i])
              : acts++ ? given_twice(cmd, argv[i]) : bind_action(cmd, rule, action);
    }
    return wrong || rule->kinds ? wrong : "BSessionBind takes Off, or any of ua, ip and tls, such as: "
                                          "BSessionBind ua ip/24 action=log";
}
