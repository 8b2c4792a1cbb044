#!/bin/sh
# The module exports its record, and nothing else.
set -u
so=.libs/mod_bsession.so
[ -f "$so" ] || { echo "$so was not built"; exit 1; }
# the sanitizers' runtime exports names of its own
exports=$(nm -D --defined-only "$so" | awk '{print $NF}' |
    grep -Ev '^__(asan|ubsan|odr)|^_(init|fini)$')
[ "$exports" = bsession_module ] && exit 0
echo "mod_bsession.so exports, instead of bsession_module alone:"
echo "$exports"
exit 1
