#!/bin/sh
# The modules build with apxs alone, each by the one line that README.md gives.
set -u
top=$(cd "${srcdir:-.}" && pwd)
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
(cd "$top" && cp -R mod_bsession.c include core hooks backends bridges "$dir/") || exit 1
cd "$dir" || exit 1
chmod -R u+w .
"${APXS:-apxs}" -c -n mod_bsession -Wc,-fvisibility=hidden -Iinclude -Icore -Ihooks -lcrypto \
    mod_bsession.c core/*.c hooks/*.c backends/file*.c backends/memory*.c >log 2>&1 &&
    [ -f .libs/mod_bsession.so ] &&
    "${APXS:-apxs}" -c -Wc,-fvisibility=hidden -Iinclude bridges/*.c >>log 2>&1 &&
    [ -f bridges/.libs/mod_session_bsession.so ] &&
    "${APXS:-apxs}" -c -n bsession_dbd -o mod_bsession_dbd.la -Wc,-fvisibility=hidden -Iinclude \
        backends/dbd*.c >>log 2>&1 &&
    [ -f .libs/mod_bsession_dbd.so ] || { cat log; exit 1; }

# has HEADER LIBRARY: a client library may be missing, and the module with it
has() {
    printf '#include <%s>\nint main(void) { return 0; }\n' "$1" >has.c
    ${CC:-cc} has.c -o has "$2" >/dev/null 2>&1
}

failed=0
if has libmemcached/memcached.h -lmemcached; then
    "${APXS:-apxs}" -c -n bsession_memcached -o mod_bsession_memcached.la -Wc,-fvisibility=hidden \
        -Iinclude -lmemcached backends/memcached*.c >log 2>&1
    [ -f .libs/mod_bsession_memcached.so ] || { cat log; failed=1; }
else
    echo "mod_bsession_memcached is skipped: no libmemcached"
fi
if has hiredis/hiredis.h -lhiredis; then
    "${APXS:-apxs}" -c -n bsession_redis -o mod_bsession_redis.la -Wc,-fvisibility=hidden \
        -Iinclude -lhiredis -lssl -lcrypto backends/redis*.c >log 2>&1
    [ -f .libs/mod_bsession_redis.so ] || { cat log; failed=1; }
else
    echo "mod_bsession_redis is skipped: no hiredis"
fi
exit $failed
