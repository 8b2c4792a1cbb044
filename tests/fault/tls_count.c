/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/*
 * Loaded into httpd by LD_PRELOAD: counts the contexts and connections that OpenSSL has, in all of
 * httpd's processes together, as two numbers of 64 bits in the file that TLS_COUNT names. What a
 * child inherits is counted once.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/ssl.h>

static void made(void *parent, void *data, CRYPTO_EX_DATA *of, int index, long number, void *count)
{
    (void)parent, (void)data, (void)of, (void)index, (void)number;
    __atomic_fetch_add((int64_t *)count, 1, __ATOMIC_SEQ_CST);
}

static void gone(void *parent, void *data, CRYPTO_EX_DATA *of, int index, long number, void *count)
{
    (void)parent, (void)data, (void)of, (void)index, (void)number;
    __atomic_fetch_sub((int64_t *)count, 1, __ATOMIC_SEQ_CST);
}

static void __attribute__((constructor)) begin(void)
{
    const char *name = getenv("TLS_COUNT");
    int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    int64_t *counts = fd < 0 ? MAP_FAILED : mmap(NULL, 2 * sizeof *counts, PROT_READ | PROT_WRITE,
                                                 MAP_SHARED, fd, 0);

    if (counts != MAP_FAILED) {
        CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, counts, made, NULL, gone);
        CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, counts + 1, made, NULL, gone);
        close(fd);
    }
}
