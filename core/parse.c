/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "parse.h"

#include <apr_cstr.h>
#include <apr_strings.h>

typedef struct {
    const char  *name;
    apr_uint64_t worth;
} unit_t;

static const unit_t size_units[] = {
    { "",  1 },
    { "b", 1 },
    { "k", APR_UINT64_C(1) << 10 },
    { "m", APR_UINT64_C(1) << 20 },
    { "g", APR_UINT64_C(1) << 30 },
    { "t", APR_UINT64_C(1) << 40 },
    { NULL, 0 }
};

static const unit_t time_units[] = {
    { "",    APR_USEC_PER_SEC },
    { "ms",  1000 },
    { "s",   APR_USEC_PER_SEC },
    { "min", APR_UINT64_C(60) * APR_USEC_PER_SEC },
    { "h",   APR_UINT64_C(3600) * APR_USEC_PER_SEC },
    { "d",   APR_UINT64_C(86400) * APR_USEC_PER_SEC },
    { NULL, 0 }
};

/* The digits at the beginning of a text, at least one, as a number of at most `most`; where they
 * end, or NULL. strtoull would take blanks, signs and "0x". */
static const char *read_digits(apr_uint64_t *number, const char *text, apr_uint64_t most)
{
    apr_uint64_t sum = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++) {
        unsigned digit = (unsigned)(*at - '0');

        if (sum > (most - digit) / 10) {
            return NULL;
        }
        sum = sum * 10 + digit;
    }
    *number = sum;
    return at == text ? NULL : at;
}

/* A number and a unit, the product at most `most`; 0 if the text is something else. */
static int read_amount(apr_uint64_t *amount, const char *text, const unit_t *units,
                       apr_uint64_t most)
{
    apr_uint64_t number;
    const char *rest = read_digits(&number, text, most);

    if (!rest) {
        return 0;
    }
    for (; units->name; units++) {
        if (!apr_cstr_casecmp(rest, units->name)) {
            *amount = number * units->worth;
            return number <= most / units->worth;
        }
    }
    return 0;
}

const char *bs_parse_size(apr_uint64_t *bytes, const char *text)
{
    apr_uint64_t amount;

    if (!read_amount(&amount, text, size_units, APR_UINT64_MAX)) {
        return "a size such as 64M";
    }
    *bytes = amount;
    return NULL;
}

const char *bs_parse_time(apr_interval_time_t *time, const char *text)
{
    apr_uint64_t amount;

    if (!read_amount(&amount, text, time_units, APR_INT64_MAX)) {
        return "a time such as 500ms, 2s, 5min, 24h or 30d";
    }
    *time = (apr_interval_time_t)amount;
    return NULL;
}

const char *bs_parse_flag(int *on, const char *text)
{
    if (apr_cstr_casecmp(text, "on") && apr_cstr_casecmp(text, "off")) {
        return "On or Off";
    }
    *on = !apr_cstr_casecmp(text, "on");
    return NULL;
}

const char *bs_parse_number(apr_int64_t *number, const char *text, apr_int64_t low,
                            apr_int64_t high, const char *what, apr_pool_t *pool)
{
    int negative = *text == '-';
    apr_uint64_t size;
    const char *rest = read_digits(&size, text + negative, APR_INT64_MAX);

    if (rest && !*rest) {
        apr_int64_t value = negative ? -(apr_int64_t)size : (apr_int64_t)size;

        if (value >= low && value <= high) {
            *number = value;
            return NULL;
        }
    }
    return apr_psprintf(pool, "%s must be a whole number from %" APR_INT64_T_FMT " to %"
                        APR_INT64_T_FMT ", not '%s'", what, low, high, text);
}

/* "a=, b= and c=", the core's own among them: see bs_store_option(). */
static const char *list_names(const char *const *known, apr_pool_t *pool)
{
    const char *list = "";
    int i;

    for (i = 0; known[i]; i++) {
        list = apr_pstrcat(pool, list, known[i], "=, ", NULL);
    }
    return apr_pstrcat(pool, list, "timeout= and breaker=", NULL);
}

const char *bs_check_options(const bsession_options_t *options, const char *const *known,
                             apr_pool_t *pool)
{
    int i, j;

    for (i = 0; i < options->count; i++) {
        const char *name = options->list[i].name;

        for (j = 0; known[j] && apr_cstr_casecmp(name, known[j]); j++) {
        }
        if (!known[j]) {
            return apr_psprintf(pool, "unknown option '%s='; expected are %s", name,
                                list_names(known, pool));
        }
        for (j = 0; j < i; j++) {
            if (!apr_cstr_casecmp(name, options->list[j].name)) {
                return apr_psprintf(pool, "option '%s=' is there twice; expected once each are %s",
                                    name, list_names(known, pool));
            }
        }
    }
    return NULL;
}

const char *bs_option(const bsession_options_t *options, const char *name)
{
    int i;

    for (i = 0; i < options->count; i++) {
        if (!apr_cstr_casecmp(options->list[i].name, name)) {
            return options->list[i].value;
        }
    }
    return NULL;
}
