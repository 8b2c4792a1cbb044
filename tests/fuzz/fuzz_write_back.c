/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A write-back header's value. The first byte says which header's, the rest is what an application
 * might have sent: it is refused with a sentence, or it is pairs that are written and read again as
 * they were, whichever way they are written. */

#include <string.h>

#include <apr_general.h>

#include "fuzz.h"
#include "merge.h"
#include "write_back_parse.h"

static apr_pool_t *pool;

static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";

/* What is urlencoded has three bytes for one at most. With `all`, each byte is. */
static char *write_bytes(char *to, const bsession_bytes_t *bytes, int all)
{
    static const char *const digits[] = { "0123456789ABCDEF", "0123456789abcdef" };
    apr_size_t i;

    for (i = 0; i < bytes->len; i++) {
        unsigned char byte = (unsigned char)bytes->data[i];

        if (!all && byte && strchr(plain, byte)) {
            *to++ = (char)byte;
        }
        else if (!all && byte == ' ') {
            *to++ = '+';
        }
        else {
            *to++ = '%';
            *to++ = digits[all][byte >> 4];
            *to++ = digits[all][byte & 15];
        }
    }
    return to;
}

static const char *write_pairs(const apr_array_header_t *pairs, bs_write_back_form_t form,
                               size_t most, int all)
{
    char *line = apr_palloc(pool, most * 3 + (size_t)pairs->nelts * 4 + 1), *to = line;
    int i;

    for (i = 0; i < pairs->nelts; i++) {
        const bsession_field_t *pair = &APR_ARRAY_IDX(pairs, i, bsession_field_t);

        if (i) {
            memcpy(to, all ? " ,\t" : "&", all ? 3 : 1);
            to += all ? 3 : 1;
        }
        to = write_bytes(to, &pair->name, all && form != BS_YES);
        if (form == BS_PAIRS || form == BS_NUMBERS) {
            *to++ = '=';
            to = write_bytes(to, &pair->value, all);
        }
    }
    *to = '\0';
    return line;
}

static int bytes_equal(const bsession_bytes_t *a, const bsession_bytes_t *b)
{
    return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}

static void check_pair(const bsession_field_t *pair, bs_write_back_form_t form)
{
    apr_int64_t number;

    MUST(!pair->name.data[pair->name.len]);
    MUST(bs_key_valid(pair->name.data, pair->name.len));
    if (form == BS_YES) {
        MUST(pair->name.len == 1 && pair->name.data[0] == '1');
    }
    if (form == BS_PAIRS || form == BS_NUMBERS) {
        MUST(!pair->value.data[pair->value.len]);
    }
    else {
        MUST(!pair->value.data && !pair->value.len);
    }
    if (form == BS_NUMBERS) {
        MUST(bs_number_parse(&number, pair->value.data, pair->value.len));
    }
}

static void check_again(const apr_array_header_t *pairs, bs_write_back_form_t form, size_t most,
                        int all)
{
    apr_array_header_t *again;
    int i;

    MUST(!bs_write_back_parse(&again, write_pairs(pairs, form, most, all), form, pool));
    MUST(again->nelts == pairs->nelts);
    for (i = 0; i < pairs->nelts; i++) {
        const bsession_field_t *one = &APR_ARRAY_IDX(pairs, i, bsession_field_t);
        const bsession_field_t *other = &APR_ARRAY_IDX(again, i, bsession_field_t);

        MUST(bytes_equal(&one->name, &other->name));
        MUST(bytes_equal(&one->value, &other->value));
    }
}

/* In a block of its own size, so that a sanitizer sees a step beyond its end. */
static void parse_any(const uint8_t *data, size_t size, bs_write_back_form_t form)
{
    char *line = malloc(size + 1);
    apr_array_header_t *pairs;
    const char *wrong;
    size_t bytes = 0;
    int i;

    MUST(line);
    memcpy(line, data, size);
    line[size] = '\0';
    wrong = bs_write_back_parse(&pairs, line, form, pool);
    free(line);                         /* all that was read of it is a copy */
    if (wrong) {
        MUST(*wrong);
        return;
    }
    for (i = 0; i < pairs->nelts; i++) {
        const bsession_field_t *pair = &APR_ARRAY_IDX(pairs, i, bsession_field_t);

        check_pair(pair, form);
        bytes += pair->name.len + pair->value.len;
    }
    MUST(bytes <= size);
    check_again(pairs, form, bytes, 0);
    check_again(pairs, form, bytes, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const bs_write_back_form_t forms[] = { BS_PAIRS, BS_NAMES, BS_NUMBERS, BS_YES };

    if (!pool) {
        MUST(apr_initialize() == APR_SUCCESS);
        MUST(apr_pool_create(&pool, NULL) == APR_SUCCESS);
    }
    if (size) {
        parse_any(data + 1, size - 1, forms[data[0] & 3]);
        apr_pool_clear(pool);
    }
    return 0;
}
