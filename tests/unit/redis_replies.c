/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What is a record, or a master, of all that a server may answer. */

#include "redis_unit.h"

#include "redis_record.h"
#include "redis_sentinel.h"

#define BS    "$3\r\n_bs\r\n$1\r\nm\r\n"
#define REV   "$7\r\n_bs.rev\r\n$2\r\n17\r\n"
#define EPOCH "$9\r\n_bs.epoch\r\n$1\r\n3\r\n"
#define SIZE  "$8\r\n_bs.size\r\n$1\r\n2\r\n"
#define FIELD "$1\r\na\r\n$1\r\n1\r\n"

static apr_status_t record_from(const char *all, const char *left, bsession_record_t *record)
{
    redisReader *reader = redisReaderCreate();
    void *replies[2] = { NULL, NULL };
    apr_status_t status;

    redisReaderFeed(reader, all, strlen(all));
    redisReaderFeed(reader, left, strlen(left));
    ck_assert_int_eq(redisReaderGetReply(reader, &replies[0]), REDIS_OK);
    ck_assert_int_eq(redisReaderGetReply(reader, &replies[1]), REDIS_OK);
    ck_assert_ptr_nonnull(replies[1]);
    memset(record, 0xa5, sizeof *record);
    status = redis_record_read(record, replies[0], replies[1], pool);
    freeReplyObject(replies[0]);
    freeReplyObject(replies[1]);
    redisReaderFree(reader);
    return status;
}

START_TEST(a_record_is_what_we_wrote)
{
    static const struct {
        const char  *all, *left;
        apr_status_t status;
    } replies[] = {
        { "*10\r\n" BS REV EPOCH SIZE FIELD, ":1000\r\n", APR_SUCCESS },
        { "*10\r\n" FIELD SIZE EPOCH REV BS, ":-1\r\n", APR_SUCCESS },
        { "*8\r\n" BS REV EPOCH SIZE, ":9223372036854775807\r\n", APR_SUCCESS },
        { "*10\r\n" BS REV EPOCH SIZE "$9\r\n_bs.later\r\n$1\r\nx\r\n", ":1\r\n", APR_SUCCESS },
        /* its life is over, or somebody else's hash */
        { "*0\r\n", ":-2\r\n", APR_NOTFOUND },
        { "*10\r\n" BS REV EPOCH SIZE FIELD, ":-2\r\n", APR_NOTFOUND },
        { "*10\r\n" BS REV EPOCH SIZE FIELD, ":0\r\n", APR_NOTFOUND },
        { "*2\r\n" FIELD, ":-1\r\n", APR_NOTFOUND },
        { "*8\r\n" FIELD REV EPOCH SIZE, ":1000\r\n", APR_NOTFOUND },
        /* damaged */
        { "*6\r\n" BS EPOCH SIZE, ":1000\r\n", BSESSION_ECORRUPT },
        { "*6\r\n" BS REV SIZE, ":1000\r\n", BSESSION_ECORRUPT },
        { "*6\r\n" BS REV EPOCH, ":1000\r\n", BSESSION_ECORRUPT },
        { "*9\r\n" BS REV EPOCH SIZE "*0\r\n", ":1000\r\n", APR_SUCCESS },
        { "*10\r\n" BS REV EPOCH SIZE "$1\r\na\r\n:1\r\n", ":1000\r\n", BSESSION_ECORRUPT },
        { "*10\r\n" BS REV EPOCH SIZE "*0\r\n$1\r\na\r\n", ":1000\r\n", BSESSION_ECORRUPT },
        { "*10\r\n" BS REV EPOCH SIZE "$-1\r\n$-1\r\n", ":1000\r\n", BSESSION_ECORRUPT },
        { "*-1\r\n", ":1000\r\n", BSESSION_ECORRUPT }, { "+OK\r\n", ":1\r\n", BSESSION_ECORRUPT },
        { "-WRONGTYPE x\r\n", ":-1\r\n", BSESSION_ECORRUPT },
        { "*0\r\n", "+OK\r\n", BSESSION_ECORRUPT }, { "*0\r\n", "$-1\r\n", BSESSION_ECORRUPT }
    };
    bsession_record_t record;
    apr_size_t i;

    for (i = 0; i < sizeof replies / sizeof *replies; i++) {
        ck_assert_msg(record_from(replies[i].all, replies[i].left, &record) == replies[i].status,
                      "reply %d", (int)i);
        ck_assert(replies[i].status != APR_SUCCESS || (record.revision == 17 && record.epoch == 3
                                                       && record.meta.len == 1));
    }
}
END_TEST

static apr_status_t master_from(const char *text, redis_address_t *master, bsession_call_t *call)
{
    redisReader *reader = redisReaderCreate();
    redis_address_t sentinel = at("10.0.0.9", 26379);
    void *reply = NULL;
    apr_status_t status;

    redisReaderFeed(reader, text, strlen(text));
    ck_assert_int_eq(redisReaderGetReply(reader, &reply), REDIS_OK);
    ck_assert_ptr_nonnull(reply);
    call->why[0] = '\0';
    conf.service = "main";
    status = redis_sentinel_read(&conf, &sentinel, reply, master, call);
    freeReplyObject(reply);
    redisReaderFree(reader);
    return status;
}

START_TEST(a_master_has_a_host_and_a_port)
{
    static const char *const none[] = {
        "*2\r\n$4\r\nhost\r\n$5\r\n6379x\r\n", "*2\r\n$4\r\nhost\r\n$5\r\n+6379\r\n",
        "*2\r\n$4\r\nhost\r\n$5\r\n 6379\r\n", "*2\r\n$4\r\nhost\r\n$1\r\n0\r\n",
        "*2\r\n$4\r\nhost\r\n$5\r\n65536\r\n", "*2\r\n$4\r\nhost\r\n$2\r\n-1\r\n",
        "*2\r\n$4\r\nhost\r\n$20\r\n99999999999999999999\r\n", "*2\r\n$4\r\nhost\r\n$0\r\n\r\n",
        "*2\r\n$4\r\nhost\r\n:6379\r\n", "*1\r\n$4\r\nhost\r\n", "*-1\r\n", "-IDONTKNOW x\r\n"
    };
    bsession_call_t call = { .pool = pool };
    redis_address_t master;
    apr_size_t i;

    ck_assert_int_eq(master_from("*2\r\n$4\r\nhost\r\n$4\r\n6379\r\n", &master, &call), APR_SUCCESS);
    ck_assert_str_eq(master.host, "host");
    ck_assert_int_eq(master.port, 6379);
    for (i = 0; i < sizeof none / sizeof *none; i++) {
        ck_assert_msg(master_from(none[i], &master, &call) == APR_EGENERAL && call.why[0],
                      "reply %d", (int)i);
    }
}
END_TEST

void redis_replies_add(TCase *tests)
{
    tcase_add_test(tests, a_record_is_what_we_wrote);
    tcase_add_test(tests, a_master_has_a_host_and_a_port);
}
