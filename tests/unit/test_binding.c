/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* BSessionBind: what a session is tied to, and what becomes of one who shows something else. */

#include "bed.h"

#include <string.h>

#include "address.h"
#include "mod_bsession.h"

typedef struct {
    const char *shows[BS_BINDS];        /* an address is "4 bytes" or "6 and 16 bytes" of text */
    int         asked;
} visitor_t;

static visitor_t ann, thief;

static bsession_bytes_t shown(void *data, bs_bind_kind_t kind)
{
    visitor_t *visitor = data;
    bsession_bytes_t bytes = { visitor->shows[kind], 0 };

    visitor->asked++;
    bytes.len = bytes.data ? strlen(bytes.data) : 0;
    return bytes;
}

static bs_session_t *visit(visitor_t *visitor, const bs_token_t *token)
{
    bs_session_t *s = bed_request(token);

    s->shown = shown;
    s->visitor = visitor;
    return s;
}

static bs_token_t begin(visitor_t *visitor)
{
    bs_session_t *s = visit(visitor, NULL);

    bed_is(bed_set(s, "a", "1"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    return s->token;
}

static void tie(unsigned kinds, int ipv4_bits, int revoke)
{
    bed_terms.bind.kinds = kinds;
    bed_terms.bind.bits[0] = (unsigned char)ipv4_bits;
    bed_terms.bind.bits[1] = BS_IPV6_BITS;
    bed_terms.bind.revoke = revoke;
}

static void binding_setup(void)
{
    static const visitor_t of_ann = { { "Firefox", "1234", "her certificate" }, 0 },
                           of_thief = { { "curl", "9999", "" }, 0 };

    bed_setup();
    ann = of_ann;
    thief = of_thief;
}

#define UA  (1u << BS_BIND_UA)
#define IP  (1u << BS_BIND_IP)
#define TLS (1u << BS_BIND_TLS)

START_TEST(who_is_the_same_is_admitted)
{
    bs_token_t token;

    tie(UA | IP | TLS, 32, 1);
    token = begin(&ann);
    ck_assert_str_eq(bed_get(visit(&ann, &token), "a"), "1");
    ck_assert_int_eq(bed_lines(), 0);
}
END_TEST

/* Kind by kind: who differs in this one only. */
/* Whoever plants a good cookie of his own beside hers ends his own session, and not hers. */
START_TEST(a_planted_cookie_does_not_stand_before_the_good_one)
{
    bs_token_t planted, hers;
    bs_session_t *s;

    tie(UA, 32, 1);
    planted = begin(&thief);
    hers = begin(&ann);
    s = visit(&ann, &planted);
    s->presented[s->npresented++] = hers;
    ck_assert_str_eq(bed_get(s, "a"), "1");
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_ptr_nonnull(bed_stored(&hers));
    ck_assert_ptr_null(bed_stored(&planted));
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_value(&hers, "a"), "2");
}
END_TEST

START_TEST(who_differs_ends_it)
{
    static const char *const says[BS_BINDS] = {
        "used from another User-Agent than", "used from another address than",
        "used from another client certificate than"
    };
    visitor_t other = ann;
    bs_token_t token;
    bs_session_t *s;

    tie(UA | IP | TLS, 32, 1);
    token = begin(&ann);
    other.shows[_i] = thief.shows[_i];
    s = visit(&other, &token);
    ck_assert_ptr_null(bed_get(s, "a"));
    bed_is(bs_session_load(s), APR_NOTFOUND);
    ck_assert_int_eq(s->cookie, BS_COOKIE_DELETE);
    ck_assert_ptr_null(bed_stored(&token));
    ck_assert_int_eq(bed_lines(), 1);
    ck_assert_int_eq(bed_last_level(), BS_LOG_WARNING);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), says[_i]));
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "is ended"));
    ck_assert_uint_eq(bed_events(BS_DESTROYED), 1);
    ck_assert_uint_eq(bed_events(BS_UNKNOWN_TOKENS), 0);
    ck_assert_uint_eq(bs_session_facts(s), BSESSION_WAS_DESTROYED);
    bed_is(bs_session_load(visit(&ann, &token)), APR_NOTFOUND);
}
END_TEST

START_TEST(after_that_the_request_may_begin_another)
{
    bs_token_t token;
    bs_session_t *s;

    tie(UA, 32, 1);
    token = begin(&ann);
    s = visit(&thief, &token);
    bed_is(bed_set(s, "b", "2"), APR_SUCCESS);
    ck_assert(!s->had_record);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(s->cookie, BS_COOKIE_SET);
    ck_assert_int_ne(memcmp(s->token.selector, token.selector, BS_SELECTOR_SIZE), 0);
    ck_assert_int_eq(bed_count(&s->token), 1);
}
END_TEST

START_TEST(with_log_it_goes_on)
{
    bs_token_t token;
    bs_session_t *s;

    tie(UA | IP | TLS, 32, 0);
    token = begin(&ann);
    s = visit(&thief, &token);
    ck_assert_str_eq(bed_get(s, "a"), "1");
    ck_assert_int_eq(bed_lines(), 1);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "another User-Agent and another address and another "
                                                  "client certificate than"));
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "goes on"));
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_str_eq(bed_get(visit(&ann, &token), "a"), "2");
    ck_assert_int_eq(bed_lines(), 1);           /* it is tied to her still */
}
END_TEST

/* Nothing can be asked, so nothing is given. */
START_TEST(one_that_cannot_be_ended_is_not_read_either)
{
    bs_token_t token;
    bs_session_t *s;

    tie(UA, 32, 1);
    token = begin(&ann);
    bed_answer(BS_VERB_REMOVE, BED_OUTAGE, 1);
    s = visit(&thief, &token);
    bed_is(bs_session_load(s), BED_OUTAGE);
    ck_assert_ptr_null(bed_get(s, "a"));
    ck_assert_int_eq(s->table.fields.count, 0);
    bed_is(bed_set(s, "a", "2"), BED_OUTAGE);
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_ptr_nonnull(strstr(bed_last_line(), "cannot be ended now"));
}
END_TEST

/* Whoever holds its lock: he who is refused neither waits nor takes it. */
START_TEST(it_is_ended_without_its_lock)
{
    bs_session_t *holder, *s;
    bs_token_t token;

    tie(UA, 32, 1);
    token = begin(&ann);
    bed_terms.lock.on = 1;
    bed_terms.lock.wait = apr_time_from_sec(60);
    bed_terms.lock.lease = apr_time_from_sec(600);
    holder = visit(&ann, &token);
    bed_is(bs_session_load(holder), APR_SUCCESS);
    s = visit(&thief, &token);
    bed_is(bs_session_load(s), APR_NOTFOUND);
    ck_assert_ptr_null(bed_stored(&token));
    bed_is(bed_set(holder, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(holder, 0), BSESSION_EGONE);
}
END_TEST

/* BSessionRotate gives out new tokens, and ties to nothing else. */
START_TEST(a_timed_rotation_ties_to_nothing_new)
{
    bs_token_t token;
    bs_session_t *s;

    tie(UA, 32, 0);
    token = begin(&ann);
    s = visit(&thief, &token);
    bed_is(bs_session_load(s), APR_SUCCESS);
    ck_assert_int_eq(bed_lines(), 1);
    s->renewing = 1;
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_ne(memcmp(s->token.verifier, token.verifier, BS_VERIFIER_SIZE), 0);
    bed_is(bs_session_load(visit(&ann, &s->token)), APR_SUCCESS);
    ck_assert_int_eq(bed_lines(), 1);
    bed_is(bs_session_load(visit(&thief, &s->token)), APR_SUCCESS);
    ck_assert_int_eq(bed_lines(), 2);
}
END_TEST

static bs_token_t hijacked;

static void she_logs_in(void)
{
    bs_session_t *s = visit(&ann, &hijacked);

    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    hijacked = s->token;
}

START_TEST(a_login_at_that_moment_is_not_ended)
{
    bs_token_t stolen;
    bs_session_t *s;

    tie(UA, 32, 1);
    stolen = hijacked = begin(&ann);
    bed_before(BS_VERB_REMOVE, she_logs_in);
    s = visit(&thief, &stolen);
    bed_is(bs_session_load(s), BSESSION_EGONE);
    ck_assert_ptr_null(bed_get(s, "a"));
    ck_assert_int_eq(s->cookie, BS_COOKIE_KEEP);
    ck_assert_str_eq(bed_get(visit(&ann, &hijacked), "a"), "1");
}
END_TEST

START_TEST(a_login_ties_it_anew)
{
    bs_token_t token;
    bs_session_t *s;

    tie(IP, 32, 0);
    token = begin(&ann);
    ann.shows[BS_BIND_IP] = "5678";
    s = visit(&ann, &token);
    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(bed_lines(), 1);
    bed_is(bs_session_load(visit(&ann, &s->token)), APR_SUCCESS);
    ck_assert_int_eq(bed_lines(), 1);
    ann.shows[BS_BIND_IP] = "1234";
    bed_is(bs_session_load(visit(&ann, &s->token)), APR_SUCCESS);
    ck_assert_int_eq(bed_lines(), 2);
}
END_TEST

/* ... where the place of the login says nothing of it, too: as the session was tied before. */
START_TEST(a_login_elsewhere_ties_it_anew)
{
    bs_token_t token;
    bs_session_t *s;

    tie(IP, 24, 1);
    token = begin(&ann);
    ann.shows[BS_BIND_IP] = "5678";
    tie(0, 0, 0);
    s = visit(&ann, &token);
    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    tie(IP, 32, 1);
    ann.shows[BS_BIND_IP] = "5679";
    bed_is(bs_session_load(visit(&ann, &s->token)), APR_SUCCESS);
    ann.shows[BS_BIND_IP] = "5689";
    bed_is(bs_session_load(visit(&ann, &s->token)), APR_NOTFOUND);
}
END_TEST

START_TEST(what_was_there_before_is_tied_at_its_next_login)
{
    bs_token_t token = begin(&ann);
    bs_session_t *s;

    ck_assert_int_eq(ann.asked, 0);
    tie(UA | IP, 32, 1);
    s = visit(&ann, &token);
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    ck_assert_int_eq(ann.asked, 0);
    s = visit(&ann, &token);
    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bed_is(bs_session_load(visit(&ann, &s->token)), APR_SUCCESS);
    bed_is(bs_session_load(visit(&thief, &s->token)), APR_NOTFOUND);
}
END_TEST

/* Both come from one network of 24 bits, and then not. */
START_TEST(how_much_of_an_address_counts_is_what_it_was_tied_with)
{
    bs_token_t wide, narrow;

    tie(IP, 24, 1);
    wide = begin(&ann);
    tie(IP, 32, 1);
    narrow = begin(&ann);
    ann.shows[BS_BIND_IP] = "123x";
    bed_is(bs_session_load(visit(&ann, &wide)), APR_SUCCESS);
    bed_is(bs_session_load(visit(&ann, &narrow)), APR_NOTFOUND);
    ann.shows[BS_BIND_IP] = "12xx";
    bed_is(bs_session_load(visit(&ann, &wide)), APR_NOTFOUND);
}
END_TEST

START_TEST(of_ipv6_the_network_counts)
{
    bs_token_t token;

    tie(IP, 32, 1);
    ann.shows[BS_BIND_IP] = "network:whatever";
    token = begin(&ann);
    ann.shows[BS_BIND_IP] = "network:is other";
    bed_is(bs_session_load(visit(&ann, &token)), APR_SUCCESS);
    ann.shows[BS_BIND_IP] = "netXork:whatever";
    bed_is(bs_session_load(visit(&ann, &token)), APR_NOTFOUND);
}
END_TEST

START_TEST(a_stolen_store_does_not_tell_what_it_is)
{
    bs_token_t one, other;
    bed_stored_t *first, *second;

    tie(UA | IP | TLS, 32, 1);
    one = begin(&ann);
    other = begin(&ann);
    first = bed_stored(&one);
    second = bed_stored(&other);
    for (int kind = 0; kind < BS_BINDS; kind++) {
        ck_assert_int_eq(first->meta.bound[kind].is, 1);
        ck_assert_int_ne(memcmp(first->meta.bound[kind].digest, second->meta.bound[kind].digest,
                                BS_DIGEST_SIZE), 0);
    }
}
END_TEST

START_TEST(outside_of_a_request_nobody_is_asked)
{
    bs_token_t token;
    bs_session_t *s;

    tie(UA | IP | TLS, 32, 1);
    token = begin(&ann);
    s = bed_request(&token);                    /* as `open` has it */
    bed_is(bed_set(s, "a", "2"), APR_SUCCESS);
    bed_is(bs_session_rotate(s), APR_SUCCESS);
    bed_is(bs_session_save(s, 0), APR_SUCCESS);
    bed_is(bs_session_load(visit(&ann, &s->token)), APR_SUCCESS);
    bed_is(bs_session_load(visit(&thief, &s->token)), APR_NOTFOUND);
    token = bed_session("b", "1", NULL);        /* made there, it is tied to nobody */
    bed_is(bs_session_load(visit(&thief, &token)), APR_SUCCESS);
}
END_TEST

/* What was admitted where nothing is said comes to a place that says something. */
START_TEST(another_place_of_the_request_may_ask_for_more)
{
    bs_bind_rule_t strict = { UA, { 32, 64 }, 1 }, mild = { UA | IP, { 32, 64 }, 0 };
    bs_token_t token;
    bs_session_t *s;

    tie(UA | IP, 32, 1);
    token = begin(&ann);
    tie(0, 0, 0);
    s = visit(&thief, &token);
    ck_assert_str_eq(bed_get(s, "a"), "1");
    bs_session_bind(s, &mild);
    bs_session_bind(s, &mild);
    ck_assert_int_eq(bed_lines(), 1);
    ck_assert_str_eq(bed_get(s, "a"), "1");
    bs_session_bind(s, &strict);
    ck_assert_int_eq(bed_lines(), 2);
    ck_assert_ptr_null(bed_get(s, "a"));
    ck_assert_ptr_null(bed_stored(&token));
    s = visit(&ann, &token);
    bs_session_bind(s, &strict);                /* before it is asked for */
    bs_session_bind(s, &strict);
    ck_assert_int_eq(bed_calls(BS_VERB_LOAD), 1);
}
END_TEST

/* A listener of `destroyed` may begin another session, which the request then has. */
static void begin_again(void *data, bs_event_t event)
{
    bs_session_t *s = data;

    ck_assert_int_eq(event, BS_DESTROYED);
    bed_is(bed_set(s, "told", "1"), APR_SUCCESS);
}

START_TEST(who_listens_is_told_of_the_end)
{
    bs_token_t token;
    bs_session_t *s;

    tie(UA, 32, 1);
    token = begin(&ann);
    s = visit(&thief, &token);
    s->watch = begin_again;
    s->watcher = s;
    bed_is(bs_session_load(s), APR_SUCCESS);
    ck_assert_ptr_null(bed_get(s, "a"));
    ck_assert_str_eq(bed_get(s, "told"), "1");
}
END_TEST

/* ---- addresses ---- */

START_TEST(addresses_are_read_cut_and_written)
{
    static const struct {
        const char *bytes;
        apr_size_t  len;
        int         ipv4_bits, ipv6_bits;
        const char *text;
    } cases[] = {
        { "\xC0\x00\x02\x07", 4, 32, 64, "192.0.2.7" },
        { "\xC0\x00\x02\x07", 4, 24, 64, "192.0.2.0/24" },
        { "\xC0\x00\x02\xFF", 4, 30, 64, "192.0.2.252/30" },
        { "\xC0\x00\x02\xFF", 4, 1, 64, "128.0.0.0/1" },
        { "\0\0\0\0\0\0\0\0\0\0\xFF\xFF\xC0\0\x02\x07", 16, 32, 64, "192.0.2.7" },
        { "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16, 32, 128, "::1" },
        { "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16, 32, 64, "::/64" },
        { "\x20\x01\x0d\xb8\xff\xff\xff\xff\xff\xff\0\0\0\0\0\1", 16, 32, 64, "2001:db8:ffff:ffff::/64" },
        { "\x20\x01\x0d\xb8\xff\xff\xff\xff\xff\xff\0\0\0\0\0\1", 16, 32, 57, "2001:db8:ffff:ff80::/57" }
    };
    char text[BS_ADDRESS_TEXT_SIZE];
    bs_address_t address;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        bs_address_read(&address, cases[i].bytes, cases[i].len);
        bs_address_cut(&address, cases[i].ipv4_bits, cases[i].ipv6_bits);
        ck_assert_str_eq(bs_address_text(&address, address.len == 4 ? cases[i].ipv4_bits
                                                                    : cases[i].ipv6_bits, text),
                         cases[i].text);
    }
    bs_address_read(&address, "12345", 5);
    ck_assert_uint_eq(address.len, 0);
    bs_address_read(&address, NULL, 0);
    ck_assert_uint_eq(address.len, 0);
}
END_TEST

Suite *binding_suite(void)
{
    Suite *suite = suite_create("binding");
    TCase *tests = tcase_create("binding");

    tcase_add_checked_fixture(tests, binding_setup, bed_teardown);
    tcase_add_test(tests, who_is_the_same_is_admitted);
    tcase_add_test(tests, a_planted_cookie_does_not_stand_before_the_good_one);
    tcase_add_loop_test(tests, who_differs_ends_it, 0, BS_BINDS);
    tcase_add_test(tests, after_that_the_request_may_begin_another);
    tcase_add_test(tests, with_log_it_goes_on);
    tcase_add_test(tests, one_that_cannot_be_ended_is_not_read_either);
    tcase_add_test(tests, it_is_ended_without_its_lock);
    tcase_add_test(tests, a_timed_rotation_ties_to_nothing_new);
    tcase_add_test(tests, a_login_at_that_moment_is_not_ended);
    tcase_add_test(tests, a_login_ties_it_anew);
    tcase_add_test(tests, a_login_elsewhere_ties_it_anew);
    tcase_add_test(tests, what_was_there_before_is_tied_at_its_next_login);
    tcase_add_test(tests, how_much_of_an_address_counts_is_what_it_was_tied_with);
    tcase_add_test(tests, of_ipv6_the_network_counts);
    tcase_add_test(tests, a_stolen_store_does_not_tell_what_it_is);
    tcase_add_test(tests, outside_of_a_request_nobody_is_asked);
    tcase_add_test(tests, another_place_of_the_request_may_ask_for_more);
    tcase_add_test(tests, who_listens_is_told_of_the_end);
    tcase_add_test(tests, addresses_are_read_cut_and_written);
    suite_add_tcase(suite, tests);
    return suite;
}
