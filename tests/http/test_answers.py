"""Exactly one Set-Cookie on whatever answer, and none where nothing asks for one."""

import pytest

from client import h2, raw
from doubles import wait_until
from httpd import on


def prepare(server):
    server.document("missing.html", "not here, said a document\n")
    server.document("page.html", "a page\n")
    server.document("ssi.shtml", '<!--#include virtual="/probe?set=late:1" -->\n')
    server.document("sub/index.html", "in the folder\n")


@pytest.fixture(scope="module")
def server(start):
    return start(on() + """
Protocols h2c http/1.1
RewriteEngine On
RewriteRule ^/rewritten$ /probe [PT,QSA]
AddOutputFilter INCLUDES .shtml
Options +Includes
<Location /errors>
    SetHandler bsession-probe
    ErrorDocument 404 /missing.html
    ErrorDocument 500 /probe?incr=errors:1
    ErrorDocument 403 "plain text"
</Location>
<Location /strict>
    SetHandler bsession-probe
    ErrorDocument 404 /nowhere
</Location>
""", mods=["http2", "rewrite", "include"], prepare=prepare)


ANSWERS = {
    "200": (["set=a:1"], 200),
    "204": (["set=a:1", "status=204", "empty"], 204),
    "302": (["set=a:1", "redirect=/x"], 302),
    "304": (["set=a:1", "return=304"], 304),
    "403": (["set=a:1", "return=403"], 403),
    "404": (["set=a:1", "return=404"], 404),
    "500": (["set=a:1", "return=500"], 500),
    "status 404": (["set=a:1", "status=404"], 404),
    "empty": (["set=a:1", "empty"], 200),
    "flush": (["set=a:1", "flush"], 200),
    "flush only": (["set=a:1", "flushonly"], 200),
    "error bucket": (["set=a:1", "bucket=502"], 502),
    "internal redirect": (["set=a:1", "internal=/page.html"], 200),
    "internal redirect to a probe": (["set=a:1", "internal=/probe?set=b:1"], 200),
    "internal redirect to nothing": (["set=a:1", "internal=/nowhere"], 404),
    "subrequest": (["set=a:1", "sub=/page.html"], 200),
    "subrequest that changes": (["sub=/probe?set=a:1"], 200),
    "look-up": (["set=a:1", "lookup=/page.html"], 200),
}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("case", ANSWERS)
def test_one_cookie(server, client, case, method):
    """P36: changes survive redirect, error page, internal redirect, failed handler; section 3, 5."""
    calls, status = ANSWERS[case]
    answer = client.request(method, "/probe?" + "&".join(calls))
    assert answer.status == status, answer
    assert len(answer.cookies) == 1, answer
    assert "no-store" in answer.header("Cache-Control")
    assert client.results("get=a") == ["=1"]


@pytest.mark.parametrize("case", ANSWERS)
def test_no_cookie_when_nothing_new(server, client, case):
    calls, status = ANSWERS[case]
    client.results("set=a:1", "set=b:1")
    answer = client.probe(*calls)
    assert answer.status == status and answer.cookies == []


@pytest.mark.parametrize("case", ANSWERS)
def test_no_cookie_on_a_clean_request(server, client, case):
    calls, status = ANSWERS[case]
    answer = client.probe(*[c.replace("set=a:1", "get=a").replace("set=b:1", "get=b") for c in calls])
    assert answer.status == status and answer.cookies == []


@pytest.mark.parametrize("case", ANSWERS)
def test_rotate_on_every_answer(server, client, case):
    """The rotated token is not lost on the way (HTTPD.md: an error bucket wiped it)."""
    calls, status = ANSWERS[case]
    client.results("set=a:0")
    old = client.twin()
    answer = client.probe("rotate", *calls)
    assert answer.status == status and len(answer.cookies) == 1
    assert client.results("get=a") == ["=1"]
    assert old.results("get=a") == ["-"]


@pytest.mark.parametrize("case", ANSWERS)
def test_http2(server, client, case, build):
    if build.mpm == "prefork":
        pytest.skip("mod_http2 does not serve under prefork")
    calls, status = ANSWERS[case]
    answer = h2(server, "/probe?" + "&".join(calls))
    client.take(answer)
    assert answer.status == status and len(answer.cookies) == 1, answer
    assert client.results("get=a") == ["=1"]
    again = h2(server, "/probe?rotate&" + "&".join(calls), cookie=client.token)
    client.take(again)
    assert again.status == status and len(again.cookies) == 1, again
    assert client.results("get=a") == ["=1"]
    assert h2(server, "/probe?" + "&".join(calls), cookie=client.token).cookies == []


def test_error_document(client):
    """P36: one session for the request and its error page."""
    answer = client.probe("set=a:1", "return=404", at="/errors")
    assert answer.status == 404 and "said a document" in answer.text and len(answer.cookies) == 1
    answer = client.probe("set=a:2", "return=500", at="/errors")
    assert answer.status == 500 and answer.text == "incr =1\n" and answer.cookies == []
    answer = client.probe("set=a:3", "return=403", at="/errors")
    assert answer.status == 403 and "plain text" in answer.text
    assert client.results("get=a", "get=errors") == ["=3", "=1"]


def test_error_document_creates_the_session(client):
    answer = client.probe("return=500", at="/errors")
    assert answer.status == 500 and len(answer.cookies) == 1
    assert client.results("get=errors") == ["=1"]


def test_error_document_that_is_missing(server, client):
    answer = client.probe("set=a:1", "return=404", at="/strict")
    assert answer.status == 404 and len(answer.cookies) == 1
    assert client.results("get=a") == ["=1"]


def test_internal_redirects_share_the_session(client):
    """One session for a client request: what the first set, the second reads, and one save."""
    answer = client.probe("set=a:1", "internal=/probe?get=a%26set=b:2%26internal=/probe?get=b%2526get=a")
    assert answer.results == ["=2", "=1"] and len(answer.cookies) == 1
    assert client.results("get=a", "get=b") == ["=1", "=2"]


def test_subrequests_share_the_session(client):
    answer = client.probe("set=a:1", "sub=/probe?get=a%26set=b:2", "get=b")
    # what the subrequest printed came first
    assert answer.results[-1] == "=2" and "=1" in answer.results and len(answer.cookies) == 1
    assert client.results("get=b") == ["=2"]


def test_server_side_includes(server, client):
    """HTTPD.md: the page has been committed before what it includes runs; its changes come late, and a
    session that would need a cookie cannot be created then."""
    server.expect(r"bsession:(info|notice|warn|debug)")
    answer = client.get("/ssi.shtml")
    assert answer.status == 200 and answer.cookies == []
    client.results("set=a:1")
    answer = client.get("/ssi.shtml")
    assert answer.status == 200 and "set ok" in answer.text
    # saved once the answer has left
    wait_until(lambda: client.results("get=late") == ["=1"], "the late save")


def test_directory_index_and_rewrite(client):
    answer = client.get("/rewritten?set=a:1")
    assert answer.results == ["ok"] and len(answer.cookies) == 1
    assert client.get("/sub/").status == 200
    assert client.get("/rewritten?get=a").results == ["=1"]


def test_the_applications_own_cookies_stay(client):
    answer = client.probe("set=a:1", "header=Set-Cookie:app1=x", "err=Set-Cookie:app2=y",
                          "header=Set-Cookie:app3=z")
    assert sorted(c for c in answer.all("Set-Cookie") if c.startswith("app")) == ["app1=x", "app2=y", "app3=z"]
    assert len(answer.cookies) == 1
    answer = client.probe("get=a", "header=Set-Cookie:app1=x", "return=404", "err=Set-Cookie:app2=y")
    assert answer.cookies == []


def test_an_application_cannot_forge_our_cookie(client):
    """Each Set-Cookie of our name but ours is taken out."""
    answer = client.probe("set=a:1", "header=Set-Cookie:bsession=" + "A" * 43, "err=Set-Cookie:bsession=x")
    assert len(answer.cookies) == 1 and "A" * 43 not in answer.cookies[0]
    assert client.results("get=a") == ["=1"]


def test_cache_control_is_replaced_where_a_cookie_is_set(client):
    """Adding gave two contradicting lines (HTTPD.md)."""
    answer = client.probe("set=a:1", "header=Cache-Control:public,%20max-age=600",
                          "err=Cache-Control:max-age=5", "header=Expires:Thu,%2001%20Dec%202050%2016:00:00%20GMT")
    assert answer.all("Cache-Control") == ["no-store"]
    assert answer.all("Expires") == []


def test_private_where_the_session_was_consulted(client):
    client.results("set=a:1")
    assert "private" in client.probe("get=a").header("Cache-Control")
    said = client.probe("get=a", "header=Cache-Control:max-age=60").all("Cache-Control")
    assert "private" in ", ".join(said) and "max-age=60" in ", ".join(said)
    assert "private" not in ", ".join(client.probe("get=a", "header=Cache-Control:public").all("Cache-Control"))
    assert "private" not in ", ".join(
        client.probe("get=a", "header=Cache-Control:s-maxage=5").all("Cache-Control"))
    assert client.get("/page.html").header("Cache-Control") is None


def test_early_errors(server):
    """HTTPD.md: 400 and 414 run the filters without post_read_request, and 0.9 has no headers."""
    for request in (b"GET /probe?set=a:1 HTTP/1.1\r\nBad Header\r\n\r\n",
                    b"GET /probe?set=a:" + b"1" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                    b"NONSENSE\r\n\r\n",
                    b"GET /probe?set=a:1 HTTP/1.1\r\nHost: x\r\nExpect: magic\r\nConnection: close\r\n\r\n",
                    b"GET /probe?set=a:1 HTTP/1.1\r\nConnection: close\r\n\r\n"):
        said = raw(server, request)
        assert said.split(b" ")[1][:1] == b"4", said
        assert b"Set-Cookie" not in said


def test_keep_alive_and_pipelining(server):
    """The requests of one connection do not mix."""
    said = raw(server, b"GET /probe?set=a:1 HTTP/1.1\r\nHost: x\r\n\r\n"
                       b"GET /probe?get=a HTTP/1.1\r\nHost: x\r\n\r\n"
                       b"GET /probe?set=b:1&return=404 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert said.count(b"HTTP/1.1 200") == 2 and said.count(b"HTTP/1.1 404") == 1
    assert said.count(b"Set-Cookie: bsession=") == 2 and b"get -" in said


def test_http_0_9(server):
    """It has no headers, so no cookie could be sent: there is no session."""
    assert raw(server, b"GET /probe?set=a:1\r\n") == b"set off\n"


@pytest.mark.parametrize("upgrade", ["websocket", "nonsense", "h2c"])
def test_upgrade(client, upgrade):
    """A request with Upgrade commits before its handler, and once more after it: still one cookie."""
    answer = client.probe("set=a:1", headers={"Upgrade": upgrade, "Connection": "Upgrade"})
    assert answer.status == 200 and len(answer.cookies) == 1, answer
    assert client.results("get=a") == ["=1"]
    answer = client.probe("rotate", "set=a:2", headers={"Upgrade": upgrade, "Connection": "Upgrade"})
    assert len(answer.cookies) == 1
    assert client.results("get=a") == ["=2"]


def test_late_after_an_internal_redirect(server, client):
    """At the end of the request it is the initial one again, with its own configuration (HTTPD.md)."""
    client.results("set=a:1")
    assert client.probe("internal=/page.html", "late.set=a:2").status == 200
    server.logged("late set ok")
    wait_until(lambda: client.results("get=a") == ["=2"], "the save after the answer")


def test_conditional_and_partial_answers(client):
    """304 and 206 of httpd's own making."""
    client.results("set=a:1")
    first = client.get("/page.html")
    answer = client.get("/page.html", headers={"If-None-Match": first.header("ETag")})
    assert answer.status == 304 and answer.cookies == []
    answer = client.get("/page.html", headers={"Range": "bytes=0-0"})
    assert answer.status == 206 and answer.body == b"a"


def test_many_headers_and_long_addresses(client):
    """What is big on the wire is no reason to lose a session."""
    client.results("set=a:1")
    answer = client.probe("get=a", "x" * 7000, headers={f"X-{i}": "v" * 500 for i in range(60)})
    assert answer.status == 200 and answer.results[0] == "=1"
