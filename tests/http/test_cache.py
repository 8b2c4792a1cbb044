"""mod_cache in front: what belongs to one visitor is never another's."""

import os

import pytest

from client import quote
from httpd import on

CGI = r"""
import os, sys, urllib.parse
sys.stdout.write("Content-Type: text/plain\n")
for line in urllib.parse.unquote(os.environ["QUERY_STRING"].split("&")[0]).split("|"):
    sys.stdout.write(line + "\n")
sys.stdout.write("\nhello " + os.environ.get("BSESSION_user", "nobody") + "\n")
"""


def prepare(server):
    server.script("app", CGI, "/usr/bin/python3")
    plain = server.document("plain.html", "the same for all\n")
    # what was changed just now is asked for again
    os.utime(plain, (10**9, 10**9))
    for name in "if", "always":
        os.utime(server.document(f"{name}.html", "the same for all\n"), (10**9, 10**9))
    server.document("inner/page.html", "for members\n")
    server.document("pages/page.shtml", 'a page\n<!--#include virtual="/cgi/app?" -->\n')
    (server.writable / "cache").mkdir()
    (server.writable / "cache").chmod(0o777)


@pytest.fixture(scope="module", params=["quick", "normal"])
def server(request, start):
    quick = "On" if request.param == "quick" else "Off"
    return start(on("BSessionEnv All", "BSessionWriteBack On") + f"""
CacheEnable disk /
CacheRoot {{w}}/cache
CacheQuickHandler {quick}
CacheDefaultExpire 3600
CacheIgnoreNoLastMod On
CacheHeader On
<Location "/plain.html">
    BSessionEnv Off
</Location>
<Location "/inner">
    Require bsession user
</Location>
<Location "/required">
    SetHandler bsession-probe
    Require bsession user
</Location>
ScriptAlias /members/ "{{cgi}}/"
<Location "/members">
    Require bsession user
</Location>
ScriptAlias /loud/ "{{cgi}}/"
ScriptAlias /loudmembers/ "{{cgi}}/"
<LocationMatch "^/loud">
    BSessionEnv Off
    Header set Cache-Control "public, max-age=600"
</LocationMatch>
<Location "/loudmembers">
    Require bsession user
</Location>
Alias /told "{{docs}}"
<Location "/told">
    BSessionEnv Off
</Location>
<Location "/told/plain.html">
    Header set X-User "expr=%{{BSESSION:user}}"
</Location>
<Location "/told/if.html">
    Header set X-Mode members "expr=%{{BSESSION:user}} != ''"
</Location>
<Location "/told/always.html">
    Header always set X-User "expr=%{{BSESSION:user}}"
</Location>
<Location "/pages">
    BSessionEnv Off
    Options +Includes
    AddOutputFilter INCLUDES .shtml
    AddType text/html .shtml
    ExpiresActive On
    ExpiresDefault "access plus 10 minutes"
</Location>
""", mods=["cache", "cache_disk", "include", "expires"], prepare=prepare)


@pytest.fixture
def unique(request):
    """Each test has addresses of its own, so that none sees another's cached page."""
    return quote(request.node.nodeid[-40:])


def login(server, user):
    client = server.client()
    client.results(f"set=user:{user}", "unique=" + user)
    return client


def test_what_is_the_same_for_all_is_cached(server):
    """Otherwise nothing below shows anything."""
    server.client().get("/plain.html")
    assert "HIT" in server.client().get("/plain.html").header("X-Cache")


def test_a_page_with_the_visitors_name(server, unique):
    ann, stranger = login(server, "ann"), server.client()
    path = "/cgi/app?" + quote("Cache-Control: max-age=600") + "&" + unique
    assert ann.get(path).text == "hello ann\n"
    assert stranger.get(path).text == "hello nobody\n"
    assert login(server, "bob").get(path).text == "hello bob\n"
    assert ann.get(path).text == "hello ann\n"


@pytest.mark.parametrize("page,name,told", [("plain", "X-User", "ann"), ("if", "X-Mode", "members"),
                                            ("always", "X-User", "ann")])
def test_a_header_that_mod_headers_makes(server, unique, page, name, told):
    """It is made behind the moment when answers are marked as made for one visitor."""
    path = f"/told/{page}.html?{unique}"
    answer = login(server, "ann").get(path)
    assert answer.header(name) == told and answer.header("Cache-Control") == "private"
    answer = server.client().get(path)
    assert answer.header(name) in (None, "(null)", "") and "HIT" not in answer.header("X-Cache")
    assert login(server, "ann").get(path).header(name) == told


def test_a_page_behind_a_session(server, unique):
    server.expect("AH01630")
    ann, stranger = login(server, "ann"), server.client()
    for path in ("/inner/page.html?" + unique,
                 "/required?get=user&header=Cache-Control:max-age=600&" + unique,
                 "/required?header=Cache-Control:public,%20max-age=600&" + unique,
                 "/required?header=Cache-Control:s-maxage=600&" + unique):
        assert ann.get(path).status == 200
        assert ann.get(path).status == 200
        assert stranger.get(path).status == 403, path


@pytest.mark.parametrize("control", ["max-age=600", "public, max-age=600", "s-maxage=600"])
def test_a_cookie_is_never_replayed(server, unique, control):
    path = "/cgi/app?" + quote(f"Cache-Control: {control}|BSession-Incr: n=1") + "&" + unique
    first, second = server.client(), server.client()
    assert len(first.get(path).cookies) == 1
    answer = second.get(path)
    assert first.token not in str(answer.headers)
    assert second.token is not None and second.token != first.token


@pytest.mark.parametrize("control", ["max-age=600", "public, max-age=600", "s-maxage=600"])
def test_write_back_is_never_replayed(server, unique, control):
    """At PROTOCOL-1 the cached header file held BSession-Set, and every later hit was obeyed (HTTPD.md)."""
    path = "/cgi/app?" + quote(f"Cache-Control: {control}|BSession-Set: role=admin") + "&" + unique
    ann = login(server, "ann")
    answer = ann.get(path)
    assert [h for h, _ in answer.headers if h.lower().startswith("bsession")] == []
    bob = login(server, "bob")
    hit = bob.get(path)
    if "HIT" in (hit.header("X-Cache") or ""):
        assert bob.results("get=role", unique) == ["-", "unknown to the probe"]
    for held in (server.writable / "cache").rglob("*"):
        if held.is_file():
            # the address itself, which the file holds too, has %3A
            assert b"bsession-set:" not in held.read_bytes().lower()


def test_rotation_is_never_replayed(server, unique):
    """A hit would hand out a token, or leave the old one good."""
    path = "/cgi/app?" + quote("Cache-Control: public, max-age=600|BSession-Rotate: 1") + "&" + unique
    ann = login(server, "ann")
    old = ann.twin()
    assert len(ann.get(path).cookies) == 1 and ann.token != old.token
    answer = old.get(path)
    assert answer.cookies == [] and answer.text == "hello nobody\n"


@pytest.mark.parametrize("place,control", [("cgi", "max-age=600"), ("members", "max-age=600"),
                                           ("members", "public, max-age=600")])
def test_an_upgrade_is_no_way_around(server, unique, place, control):
    """A line prepared before the handler would stand beside the handler's own."""
    server.expect("AH01630")
    ann = login(server, "ann")
    path = f"/{place}/app?" + quote(f"Cache-Control: {control}") + "&" + unique
    answer = ann.get(path, headers={"Upgrade": "foo", "Connection": "Upgrade"})
    assert answer.text == "hello ann\n" and "private" in answer.header("Cache-Control")
    stranger = server.client().get(path)
    assert stranger.status == (403 if place == "members" else 200) and "ann" not in stranger.text


@pytest.mark.parametrize("place", ["cgi", "members"])
def test_a_private_field_is_no_private_page(server, unique, place):
    """`private="X-Foo"` protects that header alone."""
    server.expect("AH01630")
    ann = login(server, "ann")
    path = f"/{place}/app?" + quote('X-Foo: 1|Cache-Control: max-age=600, private="X-Foo"') + "&" + unique
    assert ann.get(path).text == "hello ann\n"
    stranger = server.client().get(path)
    assert stranger.status == (403 if place == "members" else 200) and "ann" not in stranger.text


def test_mod_headers_does_not_publish_a_cookie(server, unique):
    """`Header set Cache-Control` comes behind our filter, and before mod_cache's."""
    path = "/loud/app?" + quote("BSession-Incr: n=1") + "&" + unique
    first, second = server.client(), server.client()
    answer = first.get(path)
    assert len(answer.cookies) == 1 and answer.header("Cache-Control") == "public, max-age=600"
    answer = second.get(path)
    assert first.token not in str(answer.headers) and "HIT" not in (answer.header("X-Cache") or "")
    assert second.token is not None


def test_mod_headers_does_not_publish_a_page_behind_a_session(server, unique):
    server.expect("AH01630")
    ann = login(server, "ann")
    path = "/loudmembers/app?" + quote("X-Other: 1") + "&" + unique
    assert ann.get(path).status == 200
    assert server.client().get(path).status == 403


def test_mod_headers_decides_for_what_is_nobodys(server, unique):
    """The same place, where no session was asked for."""
    path = "/loud/app?" + quote("X-Other: 1") + "&" + unique
    server.client().get(path)
    assert "HIT" in server.client().get(path).header("X-Cache")


def test_a_page_that_asks_late(server, unique):
    """Its headers, with the max-age of mod_expires, left before an include asked for the session."""
    path = "/pages/page.shtml?" + unique
    ann = login(server, "ann")
    answer = ann.get(path)
    assert "hello ann" in answer.text and "max-age=600" in answer.header("Cache-Control")
    stranger = server.client().get(path)
    assert "hello nobody" in stranger.text and "ann" not in stranger.text
