#!/bin/sh
# Each module exports its record, and nothing else.
set -u
failed=0

# exports NAME: mod_NAME.so exports NAME_module alone
exports() {
    so=.libs/mod_$1.so
    [ -f "$so" ] || { echo "$so was not built"; failed=1; return; }
    # the sanitizers' runtime exports names of its own
    found=$(nm -D --defined-only "$so" | awk '{print $NF}' |
        grep -Ev '^__(asan|ubsan|odr)|^_(init|fini)$')
    [ "$found" = "$1_module" ] && return
    echo "mod_$1.so exports, instead of $1_module alone:"
    echo "$found"
    failed=1
}

exports bsession
exports session_bsession
exports bsession_dbd
# configure leaves out what has no client library
[ ! -f mod_bsession_memcached.la ] || exports bsession_memcached
[ ! -f mod_bsession_redis.la ] || exports bsession_redis
exit $failed
