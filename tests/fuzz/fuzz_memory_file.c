/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* A memory store in a file that was changed while httpd was away. Any bytes anywhere: httpd does
 * not start, or the store begins empty, or it is sound; and where the file says that it was left in
 * order, no record is another than it was.
 *
 * The input: one byte, odd where the file is to say so; then changes: four bytes of a place, one
 * that says how many bytes follow, and these. */

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "fuzz.h"
#include "memory.h"
#include "memory_check.h"
#include "store_call.h"

#define RECORDS 40
#define BLOCK   4096
#define BLOCKS  200

/* The file as it was left, killed and in order, without its holes. */
typedef struct {
    off_t   size;
    int     count;
    off_t   at[BLOCKS];
    uint8_t bytes[BLOCKS][BLOCK];
} image_t;

static const bsession_provider_t *const memory = &bsession_memory_provider;

static apr_pool_t *pool, *httpd;
static char        directory[] = "/dev/shm/bsession-XXXXXX", path[64];
static image_t     images[2];

static bsession_call_t call_now(void)
{
    bsession_call_t call = { .deadline = apr_time_now() + apr_time_from_sec(10), .pool = httpd };

    return call;
}

static bsession_backend_t *start(void)
{
    static bsession_services_t services;
    bsession_option_t option = { "size", "1M" };
    bsession_options_t options = { &option, 1 };
    bsession_backend_t *backend;
    bsession_call_t call;

    apr_pool_create(&httpd, pool);
    call = call_now();
    bs_services_init(&services, httpd);
    MUST(!memory->create(&backend, "default", apr_pstrcat(httpd, "memory:", path, NULL), &options,
                         &services, httpd));
    if (memory->open(backend, -1, -1, &call) != APR_SUCCESS) {
        MUST(call.why[0]);
        apr_pool_destroy(httpd);
        return NULL;
    }
    return backend;
}

/* The descriptor is the process pool's secret. */
static void stop(bsession_backend_t *backend, int in_order)
{
    const memory_segment_t *segment = memory_backend_segment(backend);
    bsession_call_t call = call_now();
    struct stat file, mine;
    int descriptor;

    MUST(!in_order || memory->close(backend, &call) == APR_SUCCESS);
    munmap(segment->header, segment->header->reserve);
    MUST(!stat(path, &file));
    for (descriptor = 3; descriptor < 64; descriptor++) {
        if (!fstat(descriptor, &mine) && mine.st_dev == file.st_dev && mine.st_ino == file.st_ino) {
            close(descriptor);
        }
    }
    apr_pool_destroy(httpd);
}

/* ------------------------------------------------------------------ records */

static bsession_key_t key_of(int number)
{
    bsession_key_t key = { number % 9 ? 's' : 'u', { 0 } };

    memset(key.bytes, number * 41 + 7, sizeof(key.bytes));
    return key;
}

/* Its length and each byte of it follow from the number. */
static void save(bsession_backend_t *backend, int number)
{
    static char value[30000];
    bsession_field_t field = { { "v", 1 }, { value, (apr_size_t)number * number * 19 % 2000 } };
    bsession_record_t record = { .fields = { &field, 1 } };
    bsession_save_t what = { .mode = BSESSION_PUT, .base = 1000 + (unsigned)number,
                             .record = &record };
    bsession_saved_t saved = { 0, NULL };
    bsession_call_t call = call_now();
    bsession_key_t key = key_of(number);

    field.value.len = number == 3 ? sizeof(value) : field.value.len;
    memset(value, number + 1, field.value.len);
    MUST(memory->save(backend, &key, &what, &saved, &call) == APR_SUCCESS);
}

static void look(bsession_backend_t *backend, int number, int sealed)
{
    bsession_key_t key = key_of(number);
    bsession_call_t call = call_now();
    bsession_record_t record;
    apr_status_t status = memory->load(backend, &key, &record, &call);
    apr_size_t i;

    MUST(status == APR_SUCCESS || status == APR_NOTFOUND
         || (!sealed && status == BSESSION_ECORRUPT));
    if (status == APR_SUCCESS && sealed) {
        MUST(record.revision == 1000 + (unsigned)number && record.fields.count == 1);
        for (i = 0; i < record.fields.list[0].value.len; i++) {
            MUST(record.fields.list[0].value.data[i] == (char)(number + 1));
        }
    }
}

static apr_status_t visit(void *baton, const bsession_key_t *key, const bsession_record_t *record)
{
    (void)key;
    ++*(int *)baton;
    MUST(record->revision);
    return APR_SUCCESS;
}

static void is_sound(bsession_backend_t *backend)
{
    apr_array_header_t *sentences = apr_array_make(httpd, 1, sizeof(const char *));
    bsession_call_t call = call_now();

    MUST(memory_check(memory_backend_segment(backend), sentences, &call) == APR_SUCCESS);
}

/* What there is to be done with it. */
static void use(bsession_backend_t *backend, int sealed)
{
    bsession_cursor_t cursor = { { 0 }, 0 };
    bsession_call_t call = call_now();
    int i, seen = 0;

    is_sound(backend);
    for (i = 0; i < RECORDS; i++) {
        look(backend, i, sealed);
    }
    while (!cursor.done) {
        MUST(memory->scan(backend, 's', &cursor, visit, &seen, &call) == APR_SUCCESS);
    }
    MUST(!sealed || seen <= RECORDS);
    for (i = 0; i < 2 * RECORDS; i++) {
        save(backend, i);
    }
    for (i = 0; i < 2 * RECORDS; i += 2) {
        bsession_key_t key = key_of(i);

        call = call_now();
        MUST(memory->remove(backend, &key, 0, &call) == APR_SUCCESS);
    }
    is_sound(backend);
}

/* ------------------------------------------------------------------ the file */

static void take(image_t *image)
{
    static const uint8_t zero[BLOCK];
    int descriptor = open(path, O_RDONLY);
    struct stat status;
    off_t at;

    MUST(!fstat(descriptor, &status));
    image->size = status.st_size;
    for (at = 0; at < image->size; at += BLOCK) {
        MUST(image->count < BLOCKS);
        MUST(pread(descriptor, image->bytes[image->count], BLOCK, at) == BLOCK);
        if (memcmp(image->bytes[image->count], zero, BLOCK)) {
            image->at[image->count++] = at;
        }
    }
    close(descriptor);
}

/* The places of changes are counted through what is no hole. */
static void put(const image_t *image, const uint8_t *data, size_t size)
{
    int descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), i;

    MUST(descriptor >= 0 && !ftruncate(descriptor, image->size));
    for (i = 0; i < image->count; i++) {
        MUST(pwrite(descriptor, image->bytes[i], BLOCK, image->at[i]) == BLOCK);
    }
    while (size > 5) {
        uint32_t place;
        size_t count = data[4];

        memcpy(&place, data, sizeof(place));
        place %= (uint32_t)image->count * BLOCK;
        count = count > size - 5 ? size - 5 : count;
        MUST(pwrite(descriptor, data + 5, count, image->at[place / BLOCK] + place % BLOCK)
             == (ssize_t)count);
        data += 5 + count;
        size -= 5 + count;
    }
    MUST(!ftruncate(descriptor, image->size));
    close(descriptor);
}

static void clean_up(void)
{
    static const char *const suffixes[] = { "", ".new", ".aside" };
    int i;

    for (i = 0; i < 3; i++) {
        unlink(apr_pstrcat(pool, path, suffixes[i], NULL));
    }
    rmdir(directory);
}

static void begin(void)
{
    int in_order, i;

    MUST(apr_initialize() == APR_SUCCESS && apr_pool_create(&pool, NULL) == APR_SUCCESS);
    if (access("/dev/shm", W_OK)) {
        apr_cpystrn(directory, "/tmp/bsession-XXXXXX", sizeof(directory));
    }
    MUST(mkdtemp(directory));
    apr_snprintf(path, sizeof(path), "%s/sessions", directory);
    atexit(clean_up);
    for (in_order = 0; in_order < 2; in_order++) {
        bsession_backend_t *backend = start();

        MUST(backend);
        for (i = 0; i < RECORDS; i++) {
            save(backend, i);
        }
        stop(backend, in_order);
        take(&images[in_order]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int in_order = size && data[0] & 1;
    bsession_backend_t *backend;

    if (!pool) {
        begin();
    }
    put(&images[in_order], data + !!size, size - !!size);
    backend = start();
    if (backend) {
        use(backend, in_order);
        stop(backend, 0);
    }
    return 0;
}
