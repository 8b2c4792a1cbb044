/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "contract.h"

static bsession_change_t set(const char *name, const char *value)
{
    bsession_change_t change = { BSESSION_SET, contract_bytes(name), contract_bytes(value), 0 };

    return change;
}

static bsession_change_t incr(const char *name, apr_int64_t by)
{
    bsession_change_t change = { BSESSION_INCR, contract_bytes(name), { NULL, 0 }, by };

    return change;
}

static bsession_change_t unset(const char *name)
{
    bsession_change_t change = { BSESSION_UNSET, contract_bytes(name), { NULL, 0 }, 0 };

    return change;
}

static bsession_change_t add(const char *name, const char *value)
{
    bsession_change_t change = { BSESSION_ADD, contract_bytes(name), contract_bytes(value), 0 };

    return change;
}

static bsession_change_t clear(void)
{
    bsession_change_t change = { BSESSION_CLEAR, { NULL, 0 }, { NULL, 0 }, 0 };

    return change;
}

/* At the loaded revision a merge makes of the stored record exactly what the caller made of it. */
static void merges_to(const bsession_record_t *before, const bsession_change_t *changes,
                      apr_size_t count, const bsession_record_t *after)
{
    bsession_key_t key = contract_created(before, 100);
    bsession_saved_t saved;

    contract_is(contract_merge(&key, 100, after, changes, count, &saved), APR_SUCCESS);
    ck_assert_uint_eq(saved.revision, 101);
    contract_holds(&key, after, 101);
}

START_TEST(each_kind_of_change)
{
    bsession_record_t *before = contract_record("a", "1", "n", "41", NULL);
    bsession_change_t change = set("b", "two");

    merges_to(before, &change, 1, contract_record("a", "1", "n", "41", "b", "two", NULL));
    change = set("a", "");
    merges_to(before, &change, 1, contract_record("a", "", "n", "41", NULL));
    change = add("b", "two");
    merges_to(before, &change, 1, contract_record("a", "1", "n", "41", "b", "two", NULL));
    change = add("a", "two");
    merges_to(before, &change, 1, before);
    change = unset("a");
    merges_to(before, &change, 1, contract_record("n", "41", NULL));
    change = unset("absent");
    merges_to(before, &change, 1, before);
    change = incr("n", 1);
    merges_to(before, &change, 1, contract_record("a", "1", "n", "42", NULL));
    change = incr("absent", -3);
    merges_to(before, &change, 1, contract_record("a", "1", "n", "41", "absent", "-3", NULL));
    change = clear();
    merges_to(before, &change, 1, contract_record(NULL));
}
END_TEST

START_TEST(changes_apply_in_their_order)
{
    bsession_record_t *before = contract_record("a", "1", "b", "2", NULL);
    bsession_change_t changes[] = {
        set("c", "lost"), clear(), set("d", "3"), incr("d", 4), add("d", "no"), unset("a"),
        add("a", "again"), incr("n", APR_INT64_MAX)
    };

    merges_to(before, changes, sizeof(changes) / sizeof(*changes),
              contract_record("d", "7", "a", "again", "n", "9223372036854775807", NULL));
}
END_TEST

START_TEST(what_was_cleared_is_absent)
{
    bsession_record_t *before = contract_record("a", "1", "n", "41", "m", "x", NULL);
    bsession_change_t changes[] = { clear(), incr("n", 2), add("a", "again"), unset("m") };

    merges_to(before, changes, sizeof(changes) / sizeof(*changes),
              contract_record("n", "2", "a", "again", NULL));
}
END_TEST

/* One that takes exactly what the record has then, and then one of a byte or a field less. */
static void just_fits(const bsession_record_t *before, const bsession_change_t *changes,
                      apr_size_t count, const bsession_record_t *after)
{
    apr_size_t bytes = bsession_fields_bytes(&after->fields);
    bsession_key_t key = contract_created(before, 100);
    bsession_save_t save = { .mode = BSESSION_MERGE, .base = 100, .record = after,
                             .changes = changes, .nchanges = count };
    bsession_change_t more = set("z", "");
    bsession_saved_t saved = { 0, NULL };

    save.max_bytes = bytes - 1;
    contract_is(provider->save(backend, &key, &save, &saved, contract_call(pool)), APR_ENOSPC);
    save.max_bytes = 0;
    save.max_fields = (apr_size_t)after->fields.count - 1;
    if (save.max_fields) {
        contract_is(provider->save(backend, &key, &save, &saved, contract_call(pool)), APR_ENOSPC);
    }
    contract_holds(&key, before, 100);
    save.max_bytes = bytes;
    save.max_fields = (apr_size_t)after->fields.count;
    contract_is(provider->save(backend, &key, &save, &saved, contract_call(pool)), APR_SUCCESS);
    contract_holds(&key, after, 101);
    /* and what was stored is what is counted on */
    contract_field((bsession_record_t *)after, "z", 1, "", 0);
    save.base = 101;
    save.changes = &more;
    save.nchanges = 1;
    save.max_fields++;
    contract_is(provider->save(backend, &key, &save, &saved, contract_call(pool)), APR_ENOSPC);
    save.max_bytes++;
    contract_is(provider->save(backend, &key, &save, &saved, contract_call(pool)), APR_SUCCESS);
    contract_holds(&key, after, 102);
}

START_TEST(limits_are_exact)
{
    bsession_record_t *before = contract_record("a", "1", "bb", "22", "n", "99", NULL);
    bsession_change_t changes[4] = {
        set("a", "longer"), set("c", ""), set("a", "long"), unset("bb")
    };

    just_fits(before, changes, 4, contract_record("a", "long", "n", "99", "c", "", NULL));
    changes[0] = incr("n", 1);
    changes[1] = add("a", "longer");
    changes[2] = add("d", "4");
    just_fits(before, changes, 3,
              contract_record("a", "1", "bb", "22", "n", "100", "d", "4", NULL));
    changes[0] = unset("a");
    changes[1] = unset("absent");
    changes[2] = set("a", "again");
    just_fits(before, changes, 3, contract_record("a", "again", "bb", "22", "n", "99", NULL));
    changes[0] = set("lost", "lost");
    changes[1] = clear();
    changes[2] = set("bb", "333");
    changes[3] = incr("n", -5);
    just_fits(before, changes, 4, contract_record("bb", "333", "n", "-5", NULL));
}
END_TEST

START_TEST(numbers_are_64_bits)
{
    static const struct {
        const char *from;
        apr_int64_t by;
        const char *to;
    } sums[] = {
        { "0", 0, "0" }, { "-1", 1, "0" }, { "1", -2, "-1" }, { "-5", 3, "-2" },
        { "9999999999", 1, "10000000000" }, { "10000000000", -1, "9999999999" },
        { "-9999999999", -1, "-10000000000" }, { "-10000000000", 1, "-9999999999" },
        { "19999999999", 1, "20000000000" }, { "-19999999999", -1, "-20000000000" },
        { "10000000001", -2, "9999999999" }, { "-10000000001", 2, "-9999999999" },
        { "5000000000", APR_INT64_C(-10000000000), "-5000000000" },
        { "-5000000000", APR_INT64_C(10000000000), "5000000000" },
        { "12345678901234567", APR_INT64_C(-12345678901234568), "-1" },
        { "9007199254740993", 2, "9007199254740995" },
        { "-9007199254740993", -2, "-9007199254740995" },
        { "30000000005", APR_INT64_C(-20000000007), "9999999998" },
        { "9223372036854775806", 1, "9223372036854775807" },
        { "-9223372036854775807", -1, "-9223372036854775808" },
        { "-9223372036854775808", APR_INT64_MAX, "-1" },
        { "9223372036854775807", APR_INT64_MIN, "-1" },
        { "0", APR_INT64_MIN, "-9223372036854775808" }
    };
    apr_size_t i;

    for (i = 0; i < sizeof(sums) / sizeof(*sums); i++) {
        bsession_change_t change = incr("n", sums[i].by);

        merges_to(contract_record("n", sums[i].from, NULL), &change, 1,
                  contract_record("n", sums[i].to, NULL));
    }
}
END_TEST

/* Somebody has made of a number what is none, or too large by now: nothing changes, and the caller
 * loads again. */
START_TEST(an_increment_of_what_is_no_number)
{
    static const char *const values[] = {
        "", "x", "1x", "007", "00", "-0", "+5", " 5", "5 ", "-", "--5", "-05", "1e3", "1.0", "0x10",
        "9223372036854775807", "9223372036854775808", "18446744073709551615",
        "-9223372036854775809", "99999999999999999999", "100000000000000000000000"
    };
    apr_size_t i;

    for (i = 0; i < sizeof(values) / sizeof(*values); i++) {
        bsession_record_t *theirs = contract_record("n", values[i], "a", "1", NULL);
        bsession_key_t key = contract_created(contract_record("n", "5", "a", "1", NULL), 100);
        bsession_change_t changes[] = { set("a", "2"), incr("n", 1) };
        bsession_change_t change = set("n", values[i]);
        bsession_saved_t saved;

        contract_is(contract_merge(&key, 100, theirs, &change, 1, &saved), APR_SUCCESS);
        contract_is(contract_merge(&key, 100, contract_record("n", "6", "a", "2", NULL), changes, 2,
                                   &saved), APR_EMISMATCH);
        contract_holds(&key, theirs, 101);
    }
}
END_TEST

START_TEST(a_merge_in_place_returns_the_numbers)
{
    bsession_record_t *after = contract_record("n", "12", "m", "-1", NULL);
    bsession_key_t key = contract_created(contract_record("n", "10", NULL), 100);
    bsession_change_t changes[] = { incr("n", 2), incr("m", -1) };
    bsession_saved_t saved;

    contract_is(contract_merge(&key, 100, after, changes, 2, &saved), APR_SUCCESS);
    if (saved.incr) {
        ck_assert_int_eq(saved.incr[0], 12);
        ck_assert_int_eq(saved.incr[1], -1);
    }
    contract_holds(&key, after, 101);
}
END_TEST

/* Somebody saved since the load. In place both win, and the revision tells; otherwise it is
 * refused, and nothing changed. */
START_TEST(a_merge_on_an_old_base)
{
    bsession_key_t key = contract_created(contract_record("a", "1", NULL), 100);
    bsession_record_t *theirs = contract_record("a", "1", "theirs", "x", NULL);
    bsession_record_t *ours = contract_record("a", "1", "ours", "y", NULL);
    bsession_change_t change = set("theirs", "x");
    bsession_saved_t saved;
    apr_status_t status;

    contract_is(contract_merge(&key, 100, theirs, &change, 1, &saved), APR_SUCCESS);
    change = set("ours", "y");
    status = contract_merge(&key, 100, ours, &change, 1, &saved);
    if (status == APR_SUCCESS) {
        ck_assert_uint_ne(saved.revision, 101);
        contract_holds(&key, contract_record("a", "1", "theirs", "x", "ours", "y", NULL),
                       saved.revision);
    }
    else {
        contract_is(status, APR_EMISMATCH);
        contract_holds(&key, theirs, 101);
    }
}
END_TEST

/* A new token, say, is in the meta that was stored meanwhile: the old one does not come back. */
START_TEST(a_merge_on_an_old_base_keeps_the_meta)
{
    bsession_key_t key = contract_created(contract_record("a", "1", NULL), 100);
    bsession_record_t *theirs = contract_record("a", "1", NULL);
    bsession_record_t *both = contract_record("a", "1", "ours", "y", NULL);
    bsession_change_t change = set("ours", "y");
    bsession_saved_t saved;
    apr_status_t status;

    theirs->meta = both->meta = contract_bytes("another one");
    contract_is(contract_save(BSESSION_REPLACE, &key, 100, theirs), APR_SUCCESS);
    status = contract_merge(&key, 100, contract_record("a", "1", "ours", "y", NULL), &change, 1, &saved);
    if (status != APR_SUCCESS) {
        contract_is(status, APR_EMISMATCH);
        contract_is(contract_merge(&key, 101, both, &change, 1, &saved), APR_SUCCESS);
    }
    contract_holds(&key, both, 102);
}
END_TEST

/* A login rotates with a REPLACE under the next epoch; what was loaded before may change
 * nothing. */
START_TEST(a_merge_of_an_older_epoch_is_refused)
{
    bsession_record_t *before = contract_record("a", "1", NULL);
    bsession_record_t *after = contract_record("a", "1", NULL);
    bsession_key_t key = contract_created(before, 100);
    bsession_change_t change = set("a", "old");
    bsession_saved_t saved;

    after->epoch = before->epoch + 1;
    contract_is(contract_save(BSESSION_REPLACE, &key, 100, after), APR_SUCCESS);
    contract_is(contract_merge(&key, 100, contract_record("a", "old", NULL), &change, 1, &saved),
                APR_EMISMATCH);
    contract_holds(&key, after, 101);
}
END_TEST

START_TEST(a_merge_keeps_life_and_meta)
{
    bsession_record_t *before = contract_record("a", "1", NULL);
    bsession_record_t *after = contract_record(NULL);
    bsession_key_t key = contract_created(before, 100);
    bsession_change_t change = clear();
    bsession_saved_t saved;

    after->expires = BSESSION_KEEP;
    contract_is(contract_merge(&key, 100, after, &change, 1, &saved), APR_SUCCESS);
    contract_holds(&key, after, 101);
    contract_ends(&key, before->expires);
}
END_TEST

START_TEST(merges_go_on_from_the_revision_they_return)
{
    bsession_key_t key = contract_created(contract_record("n", "0", NULL), 100);
    bsession_saved_t saved = { 100, NULL };
    bsession_record_t *record = NULL;
    apr_uint64_t i;

    for (i = 1; i <= 20; i++) {
        bsession_change_t change = incr("n", 1);
        char number[3] = { (char)('0' + i / 10), (char)('0' + i % 10), '\0' };

        record = contract_record("n", i < 10 ? number + 1 : number, NULL);
        contract_is(contract_merge(&key, saved.revision, record, &change, 1, &saved), APR_SUCCESS);
        ck_assert_uint_eq(saved.revision, 100 + i);
        contract_holds(&key, record, 100 + i);
    }
}
END_TEST

TCase *contract_merge_case(void)
{
    TCase *tests = contract_case("merge");

    tcase_add_test(tests, each_kind_of_change);
    tcase_add_test(tests, changes_apply_in_their_order);
    tcase_add_test(tests, what_was_cleared_is_absent);
    tcase_add_test(tests, limits_are_exact);
    tcase_add_test(tests, numbers_are_64_bits);
    tcase_add_test(tests, an_increment_of_what_is_no_number);
    tcase_add_test(tests, a_merge_in_place_returns_the_numbers);
    tcase_add_test(tests, a_merge_on_an_old_base);
    tcase_add_test(tests, a_merge_on_an_old_base_keeps_the_meta);
    tcase_add_test(tests, a_merge_of_an_older_epoch_is_refused);
    tcase_add_test(tests, a_merge_keeps_life_and_meta);
    tcase_add_test(tests, merges_go_on_from_the_revision_they_return);
    return tests;
}
