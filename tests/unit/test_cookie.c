/* Licensed under the Apache License, Version 2.0; see LICENSE. */

#include "suites.h"

#include <string.h>

#include <apr_strings.h>

#include "cookie.h"

#define T1 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define T2 "AAgQGCAoMDhASFBYYGhweICIkJigqLC4wMjQ2ODo8Pg"
#define T3 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define DAY 86400

#define COUNT(list) (sizeof(list) / sizeof(*(list)))

/* ---- find ---- */

/* The tokens found, as text, with a blank between. */
static const char *found(const char *header, int max)
{
    bs_token_t tokens[8];
    const char *list = "";
    int count = bs_cookie_find(header, "bsession", 8, tokens, max), i;

    ck_assert_int_ge(count, 0);
    ck_assert_int_le(count, max);
    for (i = 0; i < count; i++) {
        char text[BS_TOKEN_TEXT_SIZE];

        bs_token_text(&tokens[i], text);
        list = apr_pstrcat(pool, list, i ? " " : "", text, NULL);
    }
    return list;
}

static const struct {
    const char *header, *tokens;
} finds[] = {
    { "bsession=" T1, T1 },
    { "a=1; bsession=" T1, T1 },
    { "a=1; bsession=" T1 "; b=2", T1 },
    { "a=1;bsession=" T1 ";b=2", T1 },
    { "  bsession=" T1 "  ;b=2", T1 },
    { ";;\t; bsession=" T1 "\t", T1 },
    { "a=1, bsession=" T1, T1 },
    { "a=1, bsession=" T1 ", b=2; c=3", T1 },
    { "bsession=" T1 ", a=1", T1 },
    { "a=\"x,y\"; bsession=\"" T1 "\"", T1 },
    { "bsession=\"" T1 "\", a=1", T1 },
    { "bsession=" T1 "; bsession=" T2, T1 " " T2 },
    { "bsession=" T1 ", bsession=" T2, T1 " " T2 },
    { "bsession=" T1 "; bsession=" T1 "; bsession=" T2, T1 " " T2 },
    { "bsession=junk; bsession=" T2, T2 },
    { "bsession=; bsession=" T2, T2 },
    { "bsession=" T3 "; bsession=" T2 "; bsession=" T1, T3 " " T2 " " T1 },
    /* nothing of ours */
    { "", "" },
    { ";", "" },
    { ",", "" },
    { ", ", "" },
    { "bsession", "" },
    { "bsession=", "" },
    { "bsession;=" T1, "" },
    { "xbsession=" T1, "" },
    { "bsession2=" T1, "" },
    { "bsessio=" T1, "" },
    { "Bsession=" T1, "" },
    { "a=1 bsession=" T1, "" },
    { "a=1,bsession=" T1, "" },
    { "a=bsession=" T1, "" },
    { "bsession =" T1, "" },
    { "bsession= " T1, "" },
    { "bsession==" T1, "" },
    { "bsession=" T1 "A", "" },
    { "bsession=" T1 ",A", "" },
    { "bsession=" T1 " A", "" },
    { "bsession=" T1 "=", "" },
    { "bsession=A" T1, "" },
    { "bsession=\"" T1, "" },
    { "bsession=" T1 "\"", "" },
    { "bsession=\"\"" T1 "\"\"", "" },
    { "bsession=\" " T1 "\"", "" },
    { "bsession=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9", "" },
    { "bsession=+AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "" },
    { "bsession=\"" "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh" "\"", "" },
    { "$Version=1; bsession=\"" T1 "\"; $Path=\"/\"", T1 }
};

START_TEST(the_tokens_of_well_formed_cookies_are_found)
{
    ck_assert_msg(!strcmp(found(finds[_i].header, 8), finds[_i].tokens), "%s: %s",
                  finds[_i].header, found(finds[_i].header, 8));
}
END_TEST

START_TEST(no_more_are_found_than_asked_for)
{
    static const char header[] = "bsession=" T1 "; bsession=" T1 "; bsession=" T2 "; bsession=" T3;

    ck_assert_str_eq(found(header, 0), "");
    ck_assert_str_eq(found(header, 1), T1);
    ck_assert_str_eq(found(header, 2), T1 " " T2);
    ck_assert_str_eq(found(header, 3), T1 " " T2 " " T3);
}
END_TEST

START_TEST(eight_kilobytes_of_junk_hide_nothing)
{
    static const char junk[] = "a;,\"= \t\x7f\xff";
    char header[8192 + sizeof("; bsession=" T1)];
    apr_size_t i;

    for (i = 0; i < 8192; i++) {
        header[i] = junk[i * i % (sizeof(junk) - 1)];
    }
    memcpy(header + 8192, "; bsession=" T1, sizeof("; bsession=" T1));
    ck_assert_str_eq(found(header, 2), T1);
    memset(header, ',', 8192);
    ck_assert_str_eq(found(header, 2), T1);
    memset(header, '"', 8192);
    ck_assert_str_eq(found(header, 2), T1);
}
END_TEST

START_TEST(each_name_finds_its_own)
{
    bs_token_t token;
    char text[BS_TOKEN_TEXT_SIZE];
    const char *header = "bsession=" T1 "; __Host-s=" T2 "; s=" T3;

    ck_assert_int_eq(bs_cookie_find(header, "__Host-s", 8, &token, 1), 1);
    bs_token_text(&token, text);
    ck_assert_str_eq(text, T2);
    ck_assert_int_eq(bs_cookie_find(header, "s", 1, &token, 1), 1);
    bs_token_text(&token, text);
    ck_assert_str_eq(text, T3);
    ck_assert_int_eq(bs_cookie_find(header, "__Host-", 7, &token, 1), 0);
}
END_TEST

/* ---- strip ---- */

static const char *const ours[] = { "bsession", "__Host-b", NULL };

/* NULL in `left`: nothing is left. The same pointer in both: nothing was there to take out. */
static const struct {
    const char *header, *left;
} strips[] = {
    { "bsession=" T1, NULL },
    { "bsession=", NULL },
    { "bsession=junk", NULL },
    { " bsession=junk ", NULL },
    { "bsession=1;", NULL },
    { ";bsession=1", NULL },
    { "; ;bsession=1; ;", NULL },
    { "bsession=1, __Host-b=2; bsession=3", NULL },
    { "bsession=\"a;b\"", "b\"" },
    { "a=1; bsession=" T1, "a=1" },
    { "bsession=" T1 "; a=1", "a=1" },
    { "bsession=" T1 ";a=1", "a=1" },
    { "a=1; bsession=" T1 "; b=2", "a=1; b=2" },
    { "a=1;bsession=" T1 ";b=2", "a=1;b=2" },
    { "a=1;  bsession=" T1 ";b=2;;", "a=1;b=2;;" },
    { "a=1; bsession=1; __Host-b=2; b=2; bsession=3; c=3", "a=1; b=2; c=3" },
    { "a=1, bsession=" T1, "a=1" },
    { "a=1, bsession=" T1 "; b=2", "a=1; b=2" },
    { "a=1; bsession=" T1 ", b=2", "a=1, b=2" },
    { "bsession=" T1 ", b=2", "b=2" },
    { "bsession=x,y; b=2", "b=2" },
    { "a=1,; bsession=1, b=2", "a=1,, b=2" },
    { "a = \"x\\\"y\" ;bsession=1;\tb\t=\xff\x01 ", "a = \"x\\\"y\" ;\tb\t=\xff\x01 " }
};

START_TEST(ours_are_taken_out_the_others_stay_byte_for_byte)
{
    const char *left = bs_cookie_strip(strips[_i].header, ours, pool);

    if (!strips[_i].left) {
        ck_assert_msg(!left, "'%s' left of '%s'", left, strips[_i].header);
        return;
    }
    ck_assert_ptr_nonnull(left);
    ck_assert_str_eq(left, strips[_i].left);
    ck_assert_ptr_eq(bs_cookie_strip(left, ours, pool), left);
}
END_TEST

static const char *const strangers[] = {
    "", ";", "a=1", "a=1; b=2", "a=1;; b", "xbsession=1", "bsession2=1", "bsession", "a=bsession=1",
    "bsession =1", "a=1,bsession=1", "Bsession=1", " ; a=1 ;", "__Host-bsession=1", "=bsession=1"
};

START_TEST(a_header_without_ours_is_the_same_pointer)
{
    static const char *const none[] = { NULL };
    static const char header[] = "bsession=1";

    ck_assert_ptr_eq(bs_cookie_strip(strangers[_i], ours, pool), strangers[_i]);
    ck_assert_ptr_eq(bs_cookie_strip(header, none, pool), header);
}
END_TEST

/* ---- attributes ---- */

/* Sets the attributes one after the other, then checks the whole: NULL, or the first sentence. */
static const char *configure(bs_cookie_t *cookie, const char *name, const char *attributes)
{
    char *rest = apr_pstrdup(pool, attributes), *text;
    const char *why;

    *cookie = bs_cookie_default;
    cookie->name = name;
    cookie->name_len = strlen(name);
    while (*rest && (text = apr_strtok(rest, "|", &rest))) {
        why = bs_cookie_attribute(cookie, text, pool);
        if (why) {
            return why;
        }
    }
    return bs_cookie_check(cookie, pool);
}

#define REPEATED_LABEL "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"    /* 63 */

static const struct {
    const char *name, *attributes, *line;
} good[] = {
    { "bsession", "", "bsession=" T1 "; Path=/; Secure; HttpOnly; SameSite=Lax" },
    { "s", "path=/a|DOMAIN=example.com|secure=off|httponly=off|samesite=strict",
      "s=" T1 "; Path=/a; Domain=example.com; SameSite=Strict" },
    { "s", "Domain=.example.com", "s=" T1 "; Path=/; Domain=example.com; Secure; HttpOnly; "
      "SameSite=Lax" },
    { "s", "SameSite=Off|HttpOnly=On", "s=" T1 "; Path=/; Secure; HttpOnly" },
    { "s", "SameSite=NONE|Partitioned=on",
      "s=" T1 "; Path=/; Secure; HttpOnly; SameSite=None; Partitioned" },
    { "s", "Lifetime=400d", "s=" T1 "; Path=/; Max-Age=34560000; Secure; HttpOnly; SameSite=Lax" },
    { "s", "Lifetime=1", "s=" T1 "; Path=/; Max-Age=1; Secure; HttpOnly; SameSite=Lax" },
    { "s", "Lifetime=30d|Lifetime=session", "s=" T1 "; Path=/; Secure; HttpOnly; SameSite=Lax" },
    { "s", "Secure=Auto", "s=" T1 "; Path=/; HttpOnly; SameSite=Lax" },
    { "__Http-s", "Path=/x", "__Http-s=" T1 "; Path=/x; Secure; HttpOnly; SameSite=Lax" },
    { "__Host-s", "HttpOnly=Off", "__Host-s=" T1 "; Path=/; Secure; SameSite=Lax" },
    { "__Host-s", "", "__Host-s=" T1 "; Path=/; Secure; HttpOnly; SameSite=Lax" },
    { "__Secure-s", "Domain=a_b.example-1.com|Path=/a b,c",
      "__Secure-s=" T1 "; Path=/a b,c; Domain=a_b.example-1.com; Secure; HttpOnly; SameSite=Lax" },
    { "s", "Domain=" REPEATED_LABEL ".x", "s=" T1 "; Path=/; Domain=" REPEATED_LABEL
      ".x; Secure; HttpOnly; SameSite=Lax" },
    { "s", "Domain=localhost|Secure=Off", "s=" T1 "; Path=/; Domain=localhost; HttpOnly; "
      "SameSite=Lax" },
    { "a!#$%&'*+-.^_`|~9Z", "", "a!#$%&'*+-.^_`|~9Z=" T1 "; Path=/; Secure; HttpOnly; "
      "SameSite=Lax" }
};

START_TEST(what_browsers_take_is_taken)
{
    bs_cookie_t cookie;
    bs_token_t token;
    const char *why = configure(&cookie, good[_i].name, good[_i].attributes), *line;

    ck_assert_msg(!why, "%s %s: %s", good[_i].name, good[_i].attributes, why);
    ck_assert(bs_token_parse(&token, T1, BS_TOKEN_TEXT_LEN));
    line = bs_cookie_line(&cookie, &token, cookie.secure == BS_SECURE_ON,
                          cookie.life == BS_LIFE_TIME ? apr_time_sec(cookie.life_time) : -1, pool);
    ck_assert_str_eq(line, good[_i].line);
    ck_assert(bs_cookie_line_is(line, cookie.name, cookie.name_len));
}
END_TEST

/* The second text is part of the sentence. */
static const struct {
    const char *name, *attributes, *expected;
} refused[] = {
    { "s", "", NULL },                  /* the others differ from this one that is taken */
    { "", "", "name must be one or more" },
    { "a b", "", "name must be one or more" },
    { "a=b", "", "name must be one or more" },
    { "a;b", "", "name must be one or more" },
    { "a,b", "", "name must be one or more" },
    { "a\"b", "", "name must be one or more" },
    { "a\x01", "", "name must be one or more" },
    { "a\x7f", "", "name must be one or more" },
    { "\xc3\xbc", "", "name must be one or more" },
    { "s", "Path=", "begin with /" },
    { "s", "Path=a", "begin with /" },
    { "s", "Path=/;b", "begin with /" },
    { "s", "Path=/\r\nX: y", "begin with /" },
    { "s", "Path=/\x7f", "begin with /" },
    { "s", "Path=/\xc3\xbc", "begin with /" },
    { "s", "Domain=", "must be a domain such as example.com" },
    { "s", "Domain=.", "must be a domain such as example.com" },
    { "s", "Domain=..example.com", "must be a domain such as example.com" },
    { "s", "Domain=com", "must be a domain such as example.com" },
    { "s", "Domain=example.com:80", "must be a domain such as example.com" },
    { "s", "Domain=example.com.", "must be a domain such as example.com" },
    { "s", "Domain=a..b", "must be a domain such as example.com" },
    { "s", "Domain=-a.b", "must be a domain such as example.com" },
    { "s", "Domain=a-.b", "must be a domain such as example.com" },
    { "s", "Domain=a b.c", "must be a domain such as example.com" },
    { "s", "Domain=a.b;x", "must be a domain such as example.com" },
    { "s", "Domain=a" REPEATED_LABEL ".x", "must be a domain such as example.com" },
    { "s", "Domain=" REPEATED_LABEL "." REPEATED_LABEL "." REPEATED_LABEL "." REPEATED_LABEL,
      "must be a domain such as example.com" },
    { "s", "Secure=yes", "On, Off or Auto" },
    { "s", "HttpOnly=Auto", "On or Off" },
    { "s", "Partitioned=1", "On or Off" },
    { "s", "SameSite=Laxx", "Lax, Strict, None or Off" },
    { "s", "Lifetime=soon", "session, idle or a time" },
    { "s", "Lifetime=", "session, idle or a time" },
    { "s", "Lifetime=0", "from 1s to 400d" },
    { "s", "Lifetime=999ms", "from 1s to 400d" },
    { "s", "Lifetime=401d", "from 1s to 400d" },
    { "s", "Lifetime=34560001", "from 1s to 400d" },
    { "s", "Max-Age=1", "expected are Path=, Domain=" },
    { "s", "Secure", "expected are Path=, Domain=" },
    { "s", "=On", "expected are Path=, Domain=" },
    { "s", "SameSite=None|Secure=Off", "SameSite=None needs Secure=On" },
    { "s", "SameSite=None|Secure=Auto", "SameSite=None needs Secure=On" },
    { "s", "Partitioned=On|Secure=Off", "Partitioned=On needs Secure=On" },
    { "s", "Partitioned=On|Secure=Auto", "Partitioned=On needs Secure=On" },
    { "__Secure-s", "Secure=Auto", "__Secure- needs Secure=On" },
    { "__secure-s", "Secure=Off", "__Secure- needs Secure=On" },
    { "__Host-s", "Secure=Auto", "__Host- needs Secure=On" },
    { "__Http-s", "Secure=Off", "__Http- needs Secure=On" },
    { "__http-s", "HttpOnly=Off", "__Host-Http- needs HttpOnly=On" },
    { "__Host-Http-s", "HttpOnly=Off", "__Host-Http- needs HttpOnly=On" },
    { "__Host-Http-s", "Path=/x", "needs Path=/ and no Domain=" },
    { "__HOST-s", "Path=/a", "needs Path=/ and no Domain=" },
    { "__Host-s", "Domain=example.com", "needs Path=/ and no Domain=" }
};

START_TEST(what_browsers_refuse_gets_a_sentence)
{
    bs_cookie_t cookie;
    const char *why = configure(&cookie, refused[_i].name, refused[_i].attributes);

    if (!refused[_i].expected) {
        ck_assert_ptr_null(why);
        return;
    }
    ck_assert_msg(why != NULL, "%s %s was taken", refused[_i].name, refused[_i].attributes);
    ck_assert_msg(strstr(why, refused[_i].expected) != NULL, "%s", why);
}
END_TEST

START_TEST(what_is_too_long_gets_a_sentence)
{
    bs_cookie_t cookie = bs_cookie_default;
    char path[1026], *name = apr_pcalloc(pool, 5000);
    apr_size_t fits;

    memset(path, '/', sizeof(path));
    path[1024] = '\0';
    cookie.path = path;
    ck_assert_ptr_null(bs_cookie_check(&cookie, pool));
    path[1024] = '/';
    path[1025] = '\0';
    ck_assert_ptr_nonnull(strstr(bs_cookie_check(&cookie, pool), "1024 bytes"));

    cookie = bs_cookie_default;
    memset(name, 'n', 4999);
    cookie.name = name;
    fits = 4096 - BS_TOKEN_MACED_LEN - strlen("=; Path=/; Max-Age=34560000; Secure; HttpOnly; SameSite=Lax");
    name[fits] = '\0';
    cookie.name_len = fits;
    ck_assert_ptr_null(bs_cookie_check(&cookie, pool));
    name[fits] = 'n';
    name[fits + 1] = '\0';
    cookie.name_len = fits + 1;
    ck_assert_ptr_nonnull(strstr(bs_cookie_check(&cookie, pool), "4096 bytes"));
}
END_TEST

START_TEST(a_refused_attribute_changes_nothing)
{
    static const char *const bad[] = {
        "Secure=x", "HttpOnly=x", "SameSite=x", "Partitioned=x", "Lifetime=x", "x=y", ""
    };
    apr_size_t i;

    for (i = 0; i < COUNT(bad); i++) {
        bs_cookie_t cookie;

        memcpy(&cookie, &bs_cookie_default, sizeof(cookie));    /* what lies between, too */
        ck_assert_ptr_nonnull(bs_cookie_attribute(&cookie, bad[i], pool));
        ck_assert_mem_eq(&cookie, &bs_cookie_default, sizeof(cookie));
    }
}
END_TEST

START_TEST(what_browsers_refuse_is_refused_however_it_got_there)
{
    bs_cookie_t cookie = bs_cookie_default;

    cookie.same_site = "lax; Domain=evil.example";
    ck_assert_ptr_nonnull(bs_cookie_check(&cookie, pool));
    cookie = bs_cookie_default;
    cookie.domain = ".example.com";
    ck_assert_ptr_nonnull(bs_cookie_check(&cookie, pool));
    cookie = bs_cookie_default;
    ck_assert_ptr_null(bs_cookie_check(&cookie, pool));
}
END_TEST

/* ---- line ---- */

START_TEST(deleting_repeats_all_but_the_value)
{
    bs_cookie_t cookie;

    ck_assert_ptr_null(configure(&cookie, "s", "Path=/a|Domain=example.com|SameSite=None|"
                                 "Partitioned=On|Lifetime=30d"));
    ck_assert_str_eq(bs_cookie_line(&cookie, NULL, 1, 30 * DAY, pool),
                     "s=; Path=/a; Domain=example.com; Max-Age=0; Secure; HttpOnly; "
                     "SameSite=None; Partitioned");
    ck_assert_str_eq(bs_cookie_line(&bs_cookie_default, NULL, 0, -1, pool),
                     "bsession=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
}
END_TEST

START_TEST(a_line_is_of_its_name_only)
{
    ck_assert(bs_cookie_line_is("bsession=x; Path=/", "bsession", 8));
    ck_assert(bs_cookie_line_is("bsession=", "bsession", 8));
    ck_assert(bs_cookie_line_is(" \tbsession \t=x", "bsession", 8));
    ck_assert(!bs_cookie_line_is("", "bsession", 8));
    ck_assert(!bs_cookie_line_is("bsession", "bsession", 8));
    ck_assert(!bs_cookie_line_is("bsession; x=1", "bsession", 8));
    ck_assert(!bs_cookie_line_is("bsessio=1", "bsession", 8));
    ck_assert(!bs_cookie_line_is("bsession2=1", "bsession", 8));
    ck_assert(!bs_cookie_line_is("xbsession=1", "bsession", 8));
    ck_assert(!bs_cookie_line_is("BSESSION=1", "bsession", 8));
    ck_assert(!bs_cookie_line_is("x=1; bsession=1", "bsession", 8));
}
END_TEST

Suite *cookie_suite(void)
{
    Suite *suite = suite_create("cookie");
    TCase *tests = tcase_create("cookie");

    tcase_add_checked_fixture(tests, pool_setup, pool_teardown);
    tcase_add_loop_test(tests, the_tokens_of_well_formed_cookies_are_found, 0, COUNT(finds));
    tcase_add_test(tests, no_more_are_found_than_asked_for);
    tcase_add_test(tests, eight_kilobytes_of_junk_hide_nothing);
    tcase_add_test(tests, each_name_finds_its_own);
    tcase_add_loop_test(tests, ours_are_taken_out_the_others_stay_byte_for_byte, 0, COUNT(strips));
    tcase_add_loop_test(tests, a_header_without_ours_is_the_same_pointer, 0, COUNT(strangers));
    tcase_add_loop_test(tests, what_browsers_take_is_taken, 0, COUNT(good));
    tcase_add_loop_test(tests, what_browsers_refuse_gets_a_sentence, 0, COUNT(refused));
    tcase_add_test(tests, what_is_too_long_gets_a_sentence);
    tcase_add_test(tests, a_refused_attribute_changes_nothing);
    tcase_add_test(tests, what_browsers_refuse_is_refused_however_it_got_there);
    tcase_add_test(tests, deleting_repeats_all_but_the_value);
    tcase_add_test(tests, a_line_is_of_its_name_only);
    suite_add_tcase(suite, tests);
    return suite;
}
