/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What is urlencoded. Any bytes: encoded they are as long as was said, hold nothing that could end
 * a line, a pair or a name, and are decoded as they were. And any text: it is refused, or it is
 * decoded to bytes that come back from being encoded. */

#include <string.h>

#include <apr_general.h>

#include "fuzz.h"
#include "urlencode.h"

static apr_pool_t *pool;

static int equal(const bsession_bytes_t *a, const bsession_bytes_t *b)
{
    return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}

/* In a block of its own size, so that a sanitizer sees a step beyond its end. */
static void encode_any(const bsession_bytes_t *bytes)
{
    static const char digits[] = "0123456789ABCDEF";
    apr_size_t len = bs_urlencoded_len(bytes, APR_SIZE_MAX / 2), i;
    char *text = malloc(len ? len : 1);
    bsession_bytes_t again;

    MUST(text && len >= bytes->len && len <= 3 * bytes->len);
    MUST(bs_urlencode(text, bytes) == text + len);
    for (i = 0; i < len; i++) {
        if (text[i] == '%') {
            MUST(i + 2 < len && strchr(digits, text[i + 1]) && strchr(digits, text[i + 2]));
        }
        else {
            MUST((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'A' && text[i] <= 'Z')
                 || (text[i] >= 'a' && text[i] <= 'z') || strchr("-._~", text[i]));
        }
    }
    MUST(bs_urldecode(&again, text, len, pool));
    MUST(equal(&again, bytes) && !again.data[again.len]);
    for (i = 0; i <= len && i < 8; i++) {
        MUST(bs_urlencoded_len(bytes, len - i) >= len - i);
    }
    free(text);
}

static void decode_any(const uint8_t *data, size_t size)
{
    char *text = malloc(size ? size : 1);
    bsession_bytes_t bytes;
    size_t i;

    MUST(text);
    memcpy(text, data, size);
    if (!bs_urldecode(&bytes, text, size, pool)) {
        free(text);
        return;
    }
    free(text);                         /* all that was read of it is a copy */
    for (i = 0; i < size; i++) {
        MUST(data[i] >= 0x20 && data[i] != 0x7f);
    }
    MUST(bytes.len <= size && !bytes.data[bytes.len]);
    encode_any(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bsession_bytes_t bytes = { (const char *)data, size };

    if (!pool) {
        MUST(apr_initialize() == APR_SUCCESS);
        MUST(apr_pool_create(&pool, NULL) == APR_SUCCESS);
    }
    encode_any(&bytes);
    decode_any(data, size);
    apr_pool_clear(pool);
    return 0;
}
