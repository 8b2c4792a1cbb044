/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "suites.h"

#include <pthread.h>
#include <string.h>

#include "guess.h"

#define MINUTE 7

static bs_guesses_t guesses;
static unsigned     guessed;            /* no two tokens are the same */

static void guess_setup(void)
{
    memset(&guesses, 0, sizeof(guesses));
    guesses.seed = 0x123456789ABCDEFu;
    guessed = 0;
}

static bs_address_t ipv4(unsigned number)
{
    unsigned char bytes[4] = { 10, (unsigned char)(number >> 16), (unsigned char)(number >> 8),
                               (unsigned char)number };
    bs_address_t address;

    bs_address_read(&address, bytes, sizeof(bytes));
    return address;
}

static bs_address_t ipv6(unsigned network, unsigned host)
{
    unsigned char bytes[16] = { 0x20, 0x01, 0x0d, 0xb8, 0, 0, (unsigned char)(network >> 8),
                                (unsigned char)network, 0, 0, 0, 0, 0, 0, (unsigned char)(host >> 8),
                                (unsigned char)host };
    bs_address_t address;

    bs_address_read(&address, bytes, sizeof(bytes));
    return address;
}

static bs_token_t token_of(unsigned number)
{
    bs_token_t token;

    memset(&token, 0, sizeof(token));
    memcpy(token.verifier + 3, &number, sizeof(number));    /* all of one record, even */
    return token;
}

/* So many tokens, no two the same; the number of lines, of which the last is in `line`. */
static int try_out(bs_address_t from, int tokens, unsigned minute, bs_guess_line_t *line)
{
    bs_guess_line_t unused;
    int lines = 0;

    while (tokens-- > 0) {
        bs_token_t token = token_of(++guessed);

        lines += bs_guess(&guesses, &from, &token, minute, line ? line : &unused);
    }
    return lines;
}

START_TEST(many_from_one_address_are_worth_one_line_a_minute)
{
    bs_guess_line_t line;

    ck_assert_int_eq(try_out(ipv4(1), BS_GUESS_MANY - 1, MINUTE, &line), 0);
    ck_assert_int_eq(try_out(ipv4(2), 1, MINUTE, &line), 0);
    ck_assert_int_eq(try_out(ipv4(1), 1, MINUTE, &line), 1);
    ck_assert_uint_eq(line.tokens, BS_GUESS_MANY);
    ck_assert_uint_eq(line.others, 0);
    ck_assert_int_eq(line.is_last, 0);
    ck_assert_int_eq(try_out(ipv4(1), 1000, MINUTE, &line), 0);
    ck_assert_int_eq(try_out(ipv4(1), 1000, MINUTE + 1, &line), 1);
    ck_assert_uint_eq(line.tokens, 1001);       /* with the one that was enough */
}
END_TEST

START_TEST(a_count_halves_with_each_minute)
{
    ck_assert_int_eq(try_out(ipv4(1), BS_GUESS_MANY - 1, MINUTE, NULL), 0);
    ck_assert_int_eq(try_out(ipv4(1), BS_GUESS_MANY / 2, MINUTE + 1, NULL), 0);
    ck_assert_int_eq(try_out(ipv4(1), 1, MINUTE + 1, NULL), 1);
    ck_assert_int_eq(try_out(ipv4(1), BS_GUESS_MANY - 1, MINUTE + 100, NULL), 0);
    ck_assert_int_eq(try_out(ipv4(1), 1, MINUTE + 100, NULL), 1);
}
END_TEST

START_TEST(the_same_token_again_is_no_guess)
{
    bs_address_t from = ipv4(1);
    bs_token_t token = token_of(1), other = token_of(2);
    bs_guess_line_t line;
    int i, lines = 0;

    for (i = 0; i < 10 * BS_GUESS_MANY; i++) {
        lines += bs_guess(&guesses, &from, &token, MINUTE, &line);
    }
    ck_assert_int_eq(lines, 0);
    for (i = 0; i < BS_GUESS_MANY; i++) {       /* one that differs by its MAC only is another */
        other.mac[BS_MAC_SIZE - 1] = (unsigned char)i;
        lines += bs_guess(&guesses, &from, &other, MINUTE, &line);
    }
    ck_assert_int_eq(lines, 1);
}
END_TEST

START_TEST(ipv6_is_counted_by_its_network)
{
    int i, lines = 0;

    for (i = 0; i < BS_GUESS_MANY; i++) {
        lines += try_out(ipv6(1, (unsigned)i), 1, MINUTE, NULL);
    }
    ck_assert_int_eq(lines, 1);
    ck_assert_int_eq(try_out(ipv6(2, 1), BS_GUESS_MANY - 1, MINUTE, NULL), 0);
}
END_TEST

/* Addresses whose bytes might be taken for each other's. */
START_TEST(none_is_taken_for_another)
{
    static const unsigned char loopback[16] = { [15] = 1 }, odd[16] = { 0, 0, 0, 1, 10, 0, 0, 1 };
    bs_address_t address;

    ck_assert_int_eq(try_out(ipv4(1), BS_GUESS_MANY - 1, MINUTE, NULL), 0);
    bs_address_read(&address, loopback, sizeof(loopback));
    ck_assert_int_eq(try_out(address, BS_GUESS_MANY - 1, MINUTE, NULL), 0);
    ck_assert_int_eq(try_out(address, 1, MINUTE, NULL), 1);
    ck_assert_int_eq(try_out(ipv6(0, 1), BS_GUESS_MANY - 1, MINUTE, NULL), 0);
    bs_address_read(&address, "\0\0\0\0", 4);
    ck_assert_int_eq(try_out(address, BS_GUESS_MANY - 1, MINUTE, NULL), 0);
    bs_address_read(&address, odd, sizeof(odd));        /* nobody has it: 0000::/8 */
    ck_assert_uint_eq(address.len, 16);
}
END_TEST

START_TEST(of_many_addresses_some_are_named_and_the_rest_counted)
{
    bs_guess_line_t line;
    unsigned i;

    for (i = 1; i <= BS_GUESS_LINES; i++) {
        ck_assert_int_eq(try_out(ipv4(i), BS_GUESS_MANY, MINUTE, &line), 1);
        ck_assert_int_eq(line.is_last, i == BS_GUESS_LINES);
    }
    for (i = 1; i <= 30; i++) {
        ck_assert_int_eq(try_out(ipv4(1000 + i), BS_GUESS_MANY, MINUTE, &line), 0);
    }
    ck_assert_int_eq(try_out(ipv4(9), BS_GUESS_MANY, MINUTE + 1, &line), 1);
    ck_assert_uint_eq(line.others, 30);
    ck_assert_int_eq(try_out(ipv4(10), BS_GUESS_MANY, MINUTE + 1, &line), 1);
    ck_assert_uint_eq(line.others, 0);
}
END_TEST

/* More addresses than there is room for, of one token each, do not hide who sends many. */
START_TEST(a_flood_of_addresses_hides_nobody)
{
    int i, lines = 0;

    for (i = 0; i < BS_GUESS_MANY + 10; i++) {  /* a few are lost before it stands out */
        lines += try_out(ipv4(1), 1, MINUTE, NULL);
        for (unsigned k = 0; k < 1000; k++) {
            ck_assert_int_eq(try_out(ipv4(0x10000 + 1000 * (unsigned)i + k), 1, MINUTE, NULL), 0);
        }
    }
    ck_assert_int_eq(lines, 1);
}
END_TEST

/* ---- at once ---- */

#define THREADS 8

typedef struct {
    pthread_t       thread;
    unsigned        number;
    int             lines;
} guesser_t;

static void *guess_on(void *data)
{
    guesser_t *guesser = data;
    bs_address_t from = ipv4(1);
    bs_guess_line_t line;
    unsigned i;

    for (i = 0; i < 20000; i++) {
        bs_token_t token = token_of(guesser->number << 24 | i);

        guesser->lines += bs_guess(&guesses, &from, &token, MINUTE, &line);
    }
    return NULL;
}

START_TEST(of_many_at_once_one_says_it)
{
    guesser_t guessers[THREADS] = { 0 };
    int lines = 0;
    unsigned i;

    for (i = 0; i < THREADS; i++) {
        guessers[i].number = i + 1;
        ck_assert_int_eq(pthread_create(&guessers[i].thread, NULL, guess_on, &guessers[i]), 0);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(guessers[i].thread, NULL);
        lines += guessers[i].lines;
    }
    ck_assert_int_eq(lines, 1);
    for (i = lines = 0; i < BS_GUESS_SLOTS; i++) {
        lines += guesses.slots[i].who != 0;
    }
    ck_assert_int_eq(lines, 1);                 /* slot, of the one address */
}
END_TEST

Suite *guess_suite(void)
{
    Suite *suite = suite_create("guess");
    TCase *tests = tcase_create("guess");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, guess_setup, NULL);
    tcase_add_test(tests, many_from_one_address_are_worth_one_line_a_minute);
    tcase_add_test(tests, a_count_halves_with_each_minute);
    tcase_add_test(tests, the_same_token_again_is_no_guess);
    tcase_add_test(tests, ipv6_is_counted_by_its_network);
    tcase_add_test(tests, none_is_taken_for_another);
    tcase_add_test(tests, of_many_addresses_some_are_named_and_the_rest_counted);
    tcase_add_test(tests, a_flood_of_addresses_hides_nobody);
    tcase_add_test(tests, of_many_at_once_one_says_it);
    suite_add_tcase(suite, tests);
    return suite;
}
