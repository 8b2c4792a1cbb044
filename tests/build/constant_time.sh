#!/bin/sh
# What is secret is compared in constant time. The source has no other comparison of digests, MACs,
# verifiers or secrets than bs_digest_equal() and CRYPTO_memcmp(), and what these do is watched by
# valgrind.
set -u
cd "${srcdir:-.}" || exit 1

# A comparison that may end early, of something that has such a name. What a server compares with what
# it has itself is no clue for anybody.
complaints=$(grep -En '(^|[^_a-z])(memcmp|strn?cmp|strn?casecmp|bcmp) *\(.*(digest|[^a-z]mac\b|verifier|secret)' \
    core/*.c hooks/*.c mod_bsession.c)
if [ -n "$complaints" ]; then
    echo "$complaints"
    echo "compare with bs_digest_equal() or CRYPTO_memcmp()"
    exit 1
fi

if ! command -v valgrind >/dev/null || [ ! -f /usr/include/valgrind/memcheck.h ]; then
    echo "no valgrind"
    exit 77
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
apr=$("${APXS:-apxs}" -q APR_CONFIG)
# what is measured is what the compiler makes of the source with the options of a release
# shellcheck disable=SC2046 # options are several words
${CC:-cc} -g -O2 $("$apr" --cppflags --includes) -Iinclude -Icore -o "$dir/constant_time" \
    tests/build/constant_time.c core/crypto.c core/secret.c core/token.c core/meta.c \
    $("$apr" --link-ld) -lcrypto -lpthread >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
valgrind --quiet --log-file="$dir/valgrind" "$dir/constant_time" && exit 0
cat "$dir/valgrind"
exit 1
