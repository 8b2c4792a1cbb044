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
    mod_bsession.c core/*.c hooks/*.c backends/memory*.c >log 2>&1 &&
    [ -f .libs/mod_bsession.so ] &&
    "${APXS:-apxs}" -c -Wc,-fvisibility=hidden -Iinclude bridges/*.c >>log 2>&1 &&
    [ -f bridges/.libs/mod_session_bsession.so ] &&
    "${APXS:-apxs}" -c -n bsession_dbd -o mod_bsession_dbd.la -Wc,-fvisibility=hidden -Iinclude \
        backends/dbd*.c >>log 2>&1 &&
    [ -f .libs/mod_bsession_dbd.so ] || { cat log; exit 1; }

# the client library may be missing, and the module with it
printf '#include <hiredis/hiredis.h>\nint main(void) { return 0; }\n' >hiredis.c
if ! ${CC:-cc} hiredis.c -o hiredis -lhiredis >/dev/null 2>&1; then
    echo "mod_bsession_redis is skipped: no hiredis"
    exit 0
fi
"${APXS:-apxs}" -c -n bsession_redis -o mod_bsession_redis.la -Wc,-fvisibility=hidden -Iinclude \
    -lhiredis -lssl -lcrypto backends/redis*.c >log 2>&1 && [ -f .libs/mod_bsession_redis.so ] && exit 0
cat log
exit 1
