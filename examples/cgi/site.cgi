#!/bin/sh
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# A site as a CGI script in plain sh. What the session holds stands in the environment, under
# BSESSION_visits and BSESSION_user; what it is to hold goes out as BSession-* headers.
set -eu

# answer STATUS [HEADER]...; the body follows
answer() {
    printf 'Status: %s\n' "$@" | sed '2,$s/^Status: //'
    echo
}

go_home() { answer '303 See Other' 'Location: /' "$@"; }

# A value is the visitor's own text: in a page it is escaped, whatever it is.
html() {
    printf '%s\n' "$1" |
        sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/"/\&quot;/g; s/'\''/\&#39;/g'
}

page() {
    answer '200 OK' 'Content-Type: text/html; charset=utf-8' 'BSession-Incr: visits=1'
    cat <<HTML
<!DOCTYPE html>
<html lang="en">
<title>mod_bsession: CGI</title>
<meta name="viewport" content="width=device-width">
<style>
body { max-width: 34rem; margin: 15vh auto 0; padding: 0 1.5rem; font: 1.125rem/1.6 system-ui; }
.number { color: #a8441f; font-size: 3em; }
</style>
<h1><span class="number">$((${BSESSION_visits:-0} + 1))</span> visits</h1>
HTML
    if [ -n "${BSESSION_user-}" ]; then
        echo "<p>Hello <strong>$(html "$BSESSION_user")</strong>."
        echo '<form method="post" action="/logout"><button>Log out</button></form>'
    else
        echo '<form method="post" action="/login">'
        echo '<label>Your name <input name="user" required maxlength="80"></label>'
        echo '<button>Log in</button></form>'
    fi
    echo '<p>This is a CGI script in sh.'
}

# The form comes urlencoded, as BSession-Set wants it, so the name is passed on as it is. But first
# it must be seen that it is so: a line break, or a `&` that sets another key, would be obeyed.
login() {
    name=$(head -c "${CONTENT_LENGTH:-0}")
    name=${name#user=}
    case $name in
    '' | *[!A-Za-z0-9%+*._-]*)
        answer '400 Bad Request' 'Content-Type: text/plain'
        echo 'A login needs a name.'
        ;;
    *) go_home "BSession-Set: user=$name" 'BSession-Rotate: 1' ;;
    esac
}

case $REQUEST_METHOD:$PATH_INFO in
GET:/ | HEAD:/) page ;;
POST:/login) login ;;
POST:/logout) go_home 'BSession-Destroy: 1' ;;
*:/ | *:/login | *:/logout) answer '405 Method Not Allowed' 'Allow: POST' ;;
*) answer '404 Not Found' ;;
esac
