# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A site as a WSGI application. What the session holds stands in the environment; what it is to hold
goes out as response headers. No library, and no middleware: httpd is that."""
import html
import urllib.parse

PAGE = """<!DOCTYPE html>
<html lang="en">
<title>mod_bsession: Python</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ max-width: 34rem; margin: 15vh auto 0; padding: 0 1.5rem; font: 1.125rem/1.6 system-ui; }}
.number {{ color: #a8441f; font-size: 3em; }}
</style>
<h1><span class="number">{visits}</span> visits</h1>
{who}
<p>This is a WSGI application, served by uwsgi.
"""
HELLO = """<p>Hello <strong>{user}</strong>.
<form method="post" action="/logout"><button>Log out</button></form>"""
LOGIN = """<form method="post" action="/login">
<label>Your name <input name="user" required maxlength="80"></label>
<button>Log in</button></form>"""


def session(environ, key, default=None):
    """A value as text. WSGI hands bytes over as Latin-1, one character each."""
    value = environ.get(f"BSESSION_{key}")
    return default if value is None else value.encode("latin-1").decode("utf-8", "replace")


def home(environ):
    visits = int(session(environ, "visits", "0")) + 1
    user = session(environ, "user")
    who = LOGIN if user is None else HELLO.format(user=html.escape(user))
    return "200 OK", [("BSession-Incr", "visits=1")], PAGE.format(visits=visits, who=who)


def login(environ):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    user = urllib.parse.parse_qs(body.decode("ascii", "replace")).get("user", [""])[0]
    if not user:
        return "400 Bad Request", [], "A login needs a name."
    return "303 See Other", [("Location", "/"),
                             ("BSession-Set", urllib.parse.urlencode({"user": user})),
                             ("BSession-Rotate", "1")], ""


def logout(environ):
    return "303 See Other", [("Location", "/"), ("BSession-Destroy", "1")], ""


ROUTES = {"/": {"GET": home, "HEAD": home}, "/login": {"POST": login}, "/logout": {"POST": logout}}


def application(environ, start_response):
    route = ROUTES.get(environ["PATH_INFO"])
    if route is None:
        status, headers, body = "404 Not Found", [], "There is no such page."
    elif environ["REQUEST_METHOD"] not in route:
        status, headers, body = "405 Method Not Allowed", [("Allow", ", ".join(route))], ""
    else:
        status, headers, body = route[environ["REQUEST_METHOD"]](environ)
    start_response(status, [("Content-Type", "text/html; charset=utf-8"), *headers])
    return [body.encode()]
