/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A token's text. Any bytes: they are refused, and the token stays what it was; or they are what is
 * printed of the token that was read. And any token: it is read again from its text. */

#include <string.h>

#include <apr_general.h>

#include "fuzz.h"
#include "token.h"

static int is_digit(uint8_t c)
{
    return c && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", c);
}

/* In a block of its own size, so that a sanitizer sees a step beyond its end. */
static void read_any(const uint8_t *data, size_t size)
{
    char *text = malloc(size ? size : 1), again[BS_TOKEN_TEXT_SIZE];
    bs_token_t token, before;
    int good;
    size_t i;

    MUST(text);
    memcpy(text, data, size);
    memset(&token, 0xa5, sizeof(token));
    before = token;
    good = bs_token_parse(&token, text, size);
    if (!good) {
        MUST(!memcmp(&token, &before, sizeof(token)));
        free(text);
        return;
    }
    for (i = 0; i < size; i++) {
        MUST(is_digit(data[i]));
    }
    MUST(size == (token.maced ? BS_TOKEN_MACED_LEN : BS_TOKEN_TEXT_LEN));
    bs_token_text(&token, again);
    MUST(!memcmp(again, text, size) && strlen(again) == size);
    free(text);
}

static void write_any(const uint8_t *data, size_t size)
{
    unsigned char bytes[BS_SELECTOR_SIZE + BS_VERIFIER_SIZE + BS_MAC_SIZE] = { 0 };
    char text[BS_TOKEN_TEXT_SIZE];
    bs_token_t token, again;
    bsession_key_t key;

    memcpy(bytes, data, size < sizeof(bytes) ? size : sizeof(bytes));
    memset(&token, 0, sizeof(token));
    memset(&again, 0, sizeof(again));
    memcpy(token.selector, bytes, BS_SELECTOR_SIZE);
    memcpy(token.verifier, bytes + BS_SELECTOR_SIZE, BS_VERIFIER_SIZE);
    if (size > BS_SELECTOR_SIZE + BS_VERIFIER_SIZE) {
        token.maced = 1;
        memcpy(token.mac, bytes + BS_SELECTOR_SIZE + BS_VERIFIER_SIZE, BS_MAC_SIZE);
    }
    bs_token_text(&token, text);
    MUST(bs_token_parse(&again, text, strlen(text)));
    MUST(!memcmp(&again, &token, sizeof(token)));
    /* What names the record is the selector alone. */
    bs_token_key(&token, &key);
    MUST(key.space == 's' && !memcmp(key.bytes, bytes, BS_SELECTOR_SIZE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_any(data, size);
    write_any(data, size);
    return 0;
}
