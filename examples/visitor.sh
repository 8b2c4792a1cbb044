# shellcheck shell=sh disable=SC2034 # $failed is for the end of the check
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# Sourced by the `check` of each example, with $address and $cookie_name set: visitors, what they
# ask, and what must be so of the answers. At its end a check says `exit $failed`.

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
failed=0

# ---- a visitor has a cookie jar; an answer has a head and a body --------------------------------

# visit JAR PATH [curl's options]
visit() {
    jar=$work/$1 path=$2
    shift 2
    : >>"$jar"
    curl -q --noproxy '*' -sS -b "$jar" -c "$jar" -D "$work/head" -o "$work/body" \
        "$@" "${address:?}$path"
}

post() {
    jar=$1 path=$2
    shift 2
    visit "$jar" "$path" -X POST -H "Origin: $address" "$@"
}

status() { sed -n '1s/^[^ ]* \([0-9]*\).*/\1/p' "$work/head"; }
header() { sed -n "s/^$1: \(.*\)\r\$/\1/Ip" "$work/head"; }
body() { cat "$work/body"; }
number() { sed -n 's/.*class="number">\([0-9]*\)<.*/\1/p' "$work/body"; }
cookie() { awk -v name="${cookie_name:?}" '$6 == name { print $7 }' "$work/$1"; }

# same WHAT EXPECTED FOUND
same() {
    if [ "$2" = "$3" ]; then
        echo "ok: $1"
    else
        echo "not ok: $1: expected '$2', found '$3'"
        failed=1
    fi
}

# ---- the small sites: cgi, php, wsgi, proxy ------------------------------------------------------

# What each of them does at /, /login$1 and /logout$1, whatever it is written in.
small_site() {
    it_counts
    it_knows_a_name "${1-}"
    it_forgets "${1-}"
}

greeting() { sed -n 's/.*<strong>\(.*\)<\/strong>.*/\1/p' "$work/body"; }
set_cookies() { header Set-Cookie | grep -c "^$cookie_name=" || true; }

it_counts() {
    for count in 1 2 3; do
        visit ann /
        same "with the cookie, visit $count is counted as $count" $count "$(number)"
    done
    same "the cookie came once" 0 "$(set_cookies)"
    visit bob /
    same "without the cookie it begins at 1" "1 1" "$(number) $(set_cookies)"
    same "no BSession-* header reaches the visitor" '' "$(grep -i '^bsession' "$work/head" || true)"
}

it_knows_a_name() {
    before=$(cookie ann)
    cp "$work/ann" "$work/thief"
    post ann "/login$1" --data-urlencode 'user=<b>Zoë</b> & "Ann", 1+1=2 100%'
    same "the login answers with a redirect" "303 /" \
        "$(status) $(header Location | sed "s|^$address||")"
    after=$(cookie ann)
    visit ann /
    same "the page behind it knows the name, and escapes it" \
        '&lt;b&gt;Zoë&lt;/b&gt; &amp; &quot;Ann&quot;, 1+1=2 100%' "$(greeting)"
    same "what was counted before still is" 4 "$(number)"
    same "the cookie is another" different \
        "$([ "$before" = "$after" ] && echo same || echo different)"
    visit thief /
    same "the one from before the login opens nothing" "1 " "$(number) $(greeting)"
    visit bob /
    same "another visitor has no name" "2 " "$(number) $(greeting)"
    post bob "/login$1" -d 'user='
    same "nor gets one without saying it" 400 "$(status)"
}

it_forgets() {
    visit ann "/logout$1"
    same "a logout that is only a link is refused" 405 "$(status)"
    visit ann /
    same "and changes nothing" 5 "$(number)"
    cp "$work/ann" "$work/thief"
    post ann "/logout$1"
    same "the logout takes the cookie back" "303 " "$(status) $(cookie ann)"
    visit thief /
    same "the cookie from before it opens nothing" "1 " "$(number) $(greeting)"
    visit ann /
    same "and the counter begins again" "1 " "$(number) $(greeting)"
}
