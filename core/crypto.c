/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "crypto.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

/* Digests that have seen nothing yet, for ever: a digest begins as a copy of one, which of all the
 * ways OpenSSL has is the cheapest (it looks up neither the algorithm nor an engine again). Made
 * once a process and only read from then on. */
static EVP_MD_CTX *sha256_start;
static EVP_MD_CTX *blake2b_start;       /* NULL where OpenSSL has none; only secrets need it */
static EVP_CIPHER *aes;                 /* the same */

/* To give a context its key costs as much as to seal a record with it: so many of them are kept.
 * The sessions of one realm need two, today's and yesterday's. */
#define CIPHERS 16

typedef struct {
    bs_cipher_name_t name;
    EVP_CIPHER_CTX  *encrypts;
    EVP_CIPHER_CTX  *decrypts;
} cipher_t;

typedef struct {
    EVP_MD_CTX *sha256;
    EVP_MD_CTX *blake2b;
    int         next;                   /* the cipher that makes way for a new one */
    cipher_t    ciphers[CIPHERS];
} contexts_t;

/* Each thread's contexts_t. A key and not __thread, since the threads of some modules (mod_http2)
 * come and go, and their contexts must go with them. */
static pthread_key_t contexts_key;

static void contexts_free(void *of_thread)
{
    contexts_t *contexts = of_thread;
    int i;

    EVP_MD_CTX_free(contexts->sha256);
    EVP_MD_CTX_free(contexts->blake2b);
    for (i = 0; i < CIPHERS; i++) {
        EVP_CIPHER_CTX_free(contexts->ciphers[i].encrypts);
        EVP_CIPHER_CTX_free(contexts->ciphers[i].decrypts);
    }
    OPENSSL_cleanse(contexts, sizeof *contexts);
    free(contexts);
}

/* When this object is unloaded, as httpd does at each restart, no thread may call it any more. What
 * others may still read in that moment, when a process ends, is left to them. */
__attribute__((destructor)) static void contexts_key_delete(void)
{
    if (sha256_start) {
        pthread_key_delete(contexts_key);
    }
}

void bs_crypto_end(void)
{
    contexts_t *contexts = sha256_start ? pthread_getspecific(contexts_key) : NULL;

    if (contexts) {
        contexts_free(contexts);
    }
    contexts_key_delete();
    EVP_MD_CTX_free(sha256_start);
    EVP_MD_CTX_free(blake2b_start);
    EVP_CIPHER_free(aes);
    sha256_start = blake2b_start = NULL;
    aes = NULL;
}

static EVP_MD_CTX *start_of(const char *name)
{
    EVP_MD_CTX *start = EVP_MD_CTX_new();
    EVP_MD *algorithm = EVP_MD_fetch(NULL, name, NULL);

    if (!start || !algorithm || !EVP_DigestInit_ex2(start, algorithm, NULL)) {
        EVP_MD_CTX_free(start);
        start = NULL;
    }
    EVP_MD_free(algorithm);             /* the context holds it */
    return start;
}

apr_status_t bs_crypto_init(void)
{
    EVP_MD_CTX *start;
    int rc;

    if (sha256_start) {
        return APR_SUCCESS;
    }
    start = start_of("SHA256");
    rc = start ? pthread_key_create(&contexts_key, contexts_free) : APR_EGENERAL;
    if (rc) {
        EVP_MD_CTX_free(start);
        return rc;
    }
    blake2b_start = start_of("BLAKE2B-512");
    aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    sha256_start = start;
    return APR_SUCCESS;
}

static contexts_t *make_contexts(void)
{
    contexts_t *contexts = calloc(1, sizeof *contexts);

    if (contexts) {
        contexts->sha256 = EVP_MD_CTX_new();
        contexts->blake2b = EVP_MD_CTX_new();
        if (!contexts->sha256 || !contexts->blake2b
            || pthread_setspecific(contexts_key, contexts)) {
            contexts_free(contexts);
            contexts = NULL;
        }
    }
    return contexts;
}

/* Of this thread, made by its first call; NULL if that could not be done. */
static contexts_t *contexts_of_thread(void)
{
    contexts_t *contexts = sha256_start ? pthread_getspecific(contexts_key) : NULL;

    return contexts || !sha256_start ? contexts : make_contexts();
}

/* ---- digests ---- */

static apr_status_t digest(EVP_MD_CTX *context, const EVP_MD_CTX *start, const void *bytes,
                           apr_size_t len, unsigned char *to)
{
    return EVP_MD_CTX_copy_ex(context, start) && EVP_DigestUpdate(context, bytes, len)
           && EVP_DigestFinal_ex(context, to, NULL) ? APR_SUCCESS : APR_EGENERAL;
}

apr_status_t bs_sha256(const bsession_bytes_t *bytes, unsigned char to[BS_SHA256_SIZE])
{
    contexts_t *contexts = contexts_of_thread();

    return contexts ? digest(contexts->sha256, sha256_start, bytes->data, bytes->len, to)
                    : APR_EGENERAL;
}

apr_status_t bs_blake2b(const void *bytes, apr_size_t len, unsigned char to[BS_BLAKE2B_SIZE])
{
    contexts_t *contexts = contexts_of_thread();

    return contexts && blake2b_start ? digest(contexts->blake2b, blake2b_start, bytes, len, to)
                                     : APR_EGENERAL;
}

apr_status_t bs_hkdf(const bsession_bytes_t *secret, const char *label, apr_size_t label_len,
                     unsigned char *to, apr_size_t size)
{
    EVP_KDF *hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = hkdf ? EVP_KDF_CTX_new(hkdf) : NULL;
    char sha256[] = "SHA256";
    OSSL_PARAM params[4];
    int done;

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, sha256, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret->data,
                                                  secret->len);
    params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)label, label_len);
    params[3] = OSSL_PARAM_construct_end();
    done = context && EVP_KDF_derive(context, to, size, params) > 0;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(hkdf);
    return done ? APR_SUCCESS : APR_EGENERAL;
}

/* ---- AES-256-GCM ---- */

static EVP_CIPHER_CTX *make_cipher(const bs_cipher_name_t *name, int encrypts)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    bsession_bytes_t base = { (const char *)name->base, sizeof name->base };
    unsigned char key[BS_SECRET_SIZE];
    char label[] = { 'd', 'a', 'y', ' ', (char)name->day, (char)(name->day >> 8),
                     (char)(name->day >> 16), (char)(name->day >> 24) };

    if (!context || bs_hkdf(&base, label, sizeof label, key, sizeof key) != APR_SUCCESS
        || !EVP_CipherInit_ex2(context, aes, key, NULL, encrypts, NULL)) {
        EVP_CIPHER_CTX_free(context);
        context = NULL;
    }
    OPENSSL_cleanse(key, sizeof key);
    return context;
}

static cipher_t *cipher_of(contexts_t *contexts, const bs_cipher_name_t *name)
{
    cipher_t *cipher;
    int i;

    for (i = 0; i < CIPHERS; i++) {
        cipher = &contexts->ciphers[i];
        if (cipher->name.day == name->day
            && memcmp(cipher->name.base, name->base, sizeof name->base) == 0) {
            return cipher;
        }
    }
    cipher = &contexts->ciphers[contexts->next];
    contexts->next = (contexts->next + 1) % CIPHERS;
    EVP_CIPHER_CTX_free(cipher->encrypts);
    EVP_CIPHER_CTX_free(cipher->decrypts);
    cipher->encrypts = cipher->decrypts = NULL;
    cipher->name = *name;
    return cipher;
}

/** A context that is to begin with this nonce, and has taken in what stands beside. */
static EVP_CIPHER_CTX *begin(const bs_cipher_name_t *name, int encrypts,
                             const unsigned char nonce[BS_NONCE_SIZE], const bsession_bytes_t *beside)
{
    contexts_t *contexts = aes ? contexts_of_thread() : NULL;
    cipher_t *cipher = contexts ? cipher_of(contexts, name) : NULL;
    EVP_CIPHER_CTX **context = cipher && encrypts ? &cipher->encrypts
                             : (cipher ? &cipher->decrypts : NULL);
    int taken;

    if (context && !*context) {
        *context = make_cipher(name, encrypts);
    }
    return context && *context
           && EVP_CipherInit_ex2(*context, NULL, NULL, nonce, encrypts, NULL)
           && EVP_CipherUpdate(*context, NULL, &taken, (const unsigned char *)beside->data,
                               (int)beside->len) ? *context : NULL;
}

apr_status_t bs_encrypt(const bs_cipher_name_t *name, const unsigned char nonce[BS_NONCE_SIZE],
                        const bsession_bytes_t *beside, unsigned char *data, apr_size_t len,
                        unsigned char tag[BS_SEAL_TAG_SIZE])
{
    EVP_CIPHER_CTX *context = len <= INT_MAX ? begin(name, 1, nonce, beside) : NULL;
    int written;

    return context && EVP_EncryptUpdate(context, data, &written, data, (int)len)
           && EVP_EncryptFinal_ex(context, data + len, &written)
           && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, BS_SEAL_TAG_SIZE, tag)
           ? APR_SUCCESS : APR_EGENERAL;
}

apr_status_t bs_decrypt(const bs_cipher_name_t *name, const unsigned char nonce[BS_NONCE_SIZE],
                        const bsession_bytes_t *beside, const unsigned char *data, apr_size_t len,
                        const unsigned char tag[BS_SEAL_TAG_SIZE], unsigned char *to)
{
    EVP_CIPHER_CTX *context = len <= INT_MAX ? begin(name, 0, nonce, beside) : NULL;
    int written;

    if (!context || !EVP_DecryptUpdate(context, to, &written, data, (int)len)
        || !EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, BS_SEAL_TAG_SIZE, (void *)tag)) {
        return APR_EGENERAL;
    }
    return EVP_DecryptFinal_ex(context, to + len, &written) > 0 ? APR_SUCCESS : BSESSION_ECORRUPT;
}
