"""What CGI and proxied applications write by BSession-* response headers: through mod_cgi, mod_cgid and
mod_proxy alike."""

import pytest

from client import quote, raw
from httpd import on

# sends the headers that the query names, each urlencoded and with | between them, and its environment
CGI = r"""
import os, sys, urllib.parse
lines = urllib.parse.unquote(os.environ["QUERY_STRING"]).split("|")
out = "Content-Type: text/plain\n" + "".join(line + "\n" for line in lines if line) + "\n"
sys.stdout.write(out + "".join(f"{k}={v}\n" for k, v in sorted(os.environ.items())))
"""


def prepare(server):
    server.script("wb", CGI, "/usr/bin/python3")
    server.document("page.html", "a page\n")
    for name, included in (("cgi", "/cgi/wb?" + quote("BSession-Set: late=unspoken")), ("proxy", "/app")):
        server.document(f"{name}.shtml", f'<!--#include virtual="{included}" -->\n' * 3)


@pytest.fixture(scope="module", params=["cgi", "cgid", "proxy"])
def server(request, start, backend):
    via = request.param
    server = start(on("BSessionWriteBack On") + f"""
ProxyPass /app http://127.0.0.1:{backend.port}/app
ScriptAlias /refused/ "{{cgi}}/"
ProxyPass /refusedapp http://127.0.0.1:{backend.port}/app
<Location "/refused">
    BSessionWriteBack Off
</Location>
<Location "/refusedapp">
    BSessionWriteBack Off
</Location>
ScriptAlias /readonly/ "{{cgi}}/"
<Location "/readonly">
    BSession ReadOnly
</Location>
<Location "/readonlyapp">
    BSession ReadOnly
</Location>
ProxyPass /readonlyapp http://127.0.0.1:{backend.port}/app
ScriptAlias /off/ "{{cgi}}/"
<Location "/off">
    BSession Off
</Location>
<Location "/offapp">
    BSession Off
</Location>
ProxyPass /offapp http://127.0.0.1:{backend.port}/app
ScriptAlias /narrow/ "{{cgi}}/"
ProxyPass /narrowapp http://127.0.0.1:{backend.port}/app
<LocationMatch "^/narrow">
    BSessionLimit keys=1
</LocationMatch>
<Directory "{{docs}}">
    Options +Includes
    AddOutputFilter INCLUDES .shtml
</Directory>
""", mods=["proxy", "proxy_http", "include"], prepare=prepare, cgi=None if via == "proxy" else via)
    server.via = via
    server.backend = backend
    return server


def send(client, *lines, where="", **more):
    """An answer of the application with these headers."""
    server = client.server
    if server.via == "proxy":
        server.backend.headers = list(lines)
        path = f"/{where}app"
    else:
        path = f"/{where or 'cgi'}/wb?" + quote("|".join(lines))
    answer = client.get(path, **more)
    assert [h for h, _ in answer.headers if h.lower().startswith("bsession")] == []
    return answer


def table(client):
    (listed,) = client.results("each")
    return dict(pair.split("=", 1) for pair in listed.split("&")) if listed else {}


def test_set(client):
    answer = send(client, "BSession-Set: a=1&b=two")
    assert answer.status == 200 and len(answer.cookies) == 1
    assert table(client) == {"a": "1", "b": "two"}
    answer = send(client, "BSession-Set: a=2")
    assert answer.cookies == [] and table(client) == {"a": "2", "b": "two"}


def test_values_are_urlencoded(client):
    send(client, "BSession-Set: a=x+y&b=%2C%26%3D&c=&d=%0D%0A%00")
    assert client.results("getn=a", "getn=b", "getn=c", "getn=d") == \
        ["=" + b"x y".hex(), "=" + b",&=".hex(), "=", "=0d0a00"]


def test_every_header(client):
    send(client, "BSession-Set: a=1&b=2&n=5")
    send(client, "BSession-Unset: a&nothing", "BSession-Incr: n=3&m=-1")
    assert table(client) == {"b": "2", "n": "8", "m": "-1"}
    send(client, "BSession-Clear: 1")
    assert table(client) == {} and client.results("load") == ["ok"]
    old = client.twin()
    answer = send(client, "BSession-Set: user=ann", "BSession-Rotate: 1")
    assert len(answer.cookies) == 1 and client.token != old.token
    assert old.results("load") == ["NOTFOUND"]
    assert table(client) == {"user": "ann"}
    old = client.twin()
    answer = send(client, "BSession-Destroy: 1")
    assert len(answer.cookies) == 1 and client.jar == {}
    assert old.results("load") == ["NOTFOUND"]


def test_one_fixed_order(client):
    """Destroy, Clear, Unset, Set, Incr, Rotate, whatever the order they came in."""
    send(client, "BSession-Set: a=1&b=2")
    old = client.twin()
    send(client, "BSession-Rotate: 1", "BSession-Incr: n=1", "BSession-Set: n=5&c=3", "BSession-Unset: n",
         "BSession-Clear: 1")
    assert table(client) == {"n": "6", "c": "3"}
    assert old.results("load") == ["NOTFOUND"]
    tag = client.results("tag")
    answer = send(client, "BSession-Set: z=1", "BSession-Destroy: 1")
    assert len(answer.cookies) == 1 and table(client) == {"z": "1"} and client.results("tag") != tag


def test_several_lines_and_commas(client):
    """CGI joins repeated headers with commas; a comma in a value is %2C."""
    send(client, "BSession-Set: a=1", "BSession-Set: b=2, c=3", "bsession-set: d=%2C")
    assert client.results("get=a", "get=b", "get=c", "getn=d") == ["=1", "=2", "=3", "=2c"]


@pytest.mark.parametrize("bad", ["BSession-Set: novalue%zz=1", "BSession-Set: =1", "BSession-Set: a=1&_bs=2",
                                 "BSession-Incr: n=x", "BSession-Incr: n=9223372036854775808",
                                 "BSession-Set: a=%2", "BSession-Set: %0a=1",
                                 "BSession-Set: " + "k" * 129 + "=1"])
def test_a_bad_one_is_dropped_whole(server, client, bad):
    """With one log line, that shows no value; the others count."""
    send(client, "BSession-Set: keep=1")
    server.expect("bsession:warn")
    send(client, bad, "BSession-Unset: keep")
    assert table(client) == {}
    assert len([line for line in server.lines() if "[bsession:warn]" in line]) == 1


def test_an_unknown_one_never_reaches_the_client(server, client):
    server.expect("bsession:warn")
    answer = send(client, "BSession-Nonsense: 1", "BSession_Set: a=1")
    assert answer.status == 200 and client.jar == {}


def test_refused_ones_never_reach_the_client(server, client):
    """Not even where they are refused."""
    send(client, "BSession-Set: a=1")
    server.expect("bsession:(warn|info|notice)")
    for where in ("refused", "readonly", "off"):
        answer = send(client, "BSession-Set: a=2", "BSession-Rotate: 1", where=where)
        assert answer.status == 200 and answer.cookies == []
    assert table(client) == {"a": "1"}


@pytest.mark.parametrize("status", ["204 No Content", "302 Found", "304 Not Modified", "404 Not Found",
                                    "500 Internal Server Error", "503 Service Unavailable"])
def test_on_every_answer(server, client, status):
    """P36"""
    lines = ["BSession-Set: a=1"] + (["Location: http://elsewhere.example/"] if status[0] == "3" else [])
    if server.via == "proxy":
        server.backend.status = status
    else:
        lines.append("Status: " + status)
    try:
        answer = send(client, *lines)
    finally:
        server.backend.status = "200 OK"
    assert answer.status == int(status[:3]) and len(answer.cookies) == 1
    assert table(client) == {"a": "1"}


def test_a_local_redirect_of_cgi(server, client):
    """A CGI's `Location: /local` arrives under the target's configuration (HTTPD.md); a proxied one is
    the client's to follow."""
    answer = send(client, "BSession-Set: a=1", "Location: /page.html")
    if server.via == "proxy":
        assert answer.header("Location").endswith("/page.html") and table(client) == {"a": "1"}
        return
    assert answer.status == 200 and answer.text == "a page\n" and len(answer.cookies) == 1
    assert table(client) == {"a": "1"}
    send(client, "BSession-Incr: a=1", "Location: /probe?get=a", where="")
    assert table(client) == {"a": "2"}


def test_the_applications_cookies_stay(client):
    answer = send(client, "Set-Cookie: app1=x; Path=/", "BSession-Set: a=1", "Set-Cookie: app2=y")
    assert sorted(c.split("=")[0] for c in answer.all("Set-Cookie")) == ["app1", "app2", "bsession"]


def test_nothing_without_write_back(client):
    assert send(client).cookies == [] and client.jar == {}


def test_incr_through_the_application(client):
    """P47: a counter without a line of C."""
    for _ in range(3):
        send(client, "BSession-Incr: visits=1")
    assert table(client) == {"visits": "3"}


def test_a_client_cannot_write_back(server, client):
    """Only responses are obeyed."""
    client.results("set=a:1")
    path = "/app" if server.via == "proxy" else "/cgi/wb?"
    server.backend.headers = []
    said = raw(server, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nBSession-Set: a=2\r\n"
                       f"Cookie: bsession={client.token}\r\n\r\n".encode())
    assert b"200 OK" in said and table(client) == {"a": "1"}


def test_head(server, client):
    answer_path = "/app" if server.via == "proxy" else "/cgi/wb?" + quote("BSession-Set: a=1")
    server.backend.headers = ["BSession-Set: a=1"]
    answer = client.request("HEAD", answer_path)
    assert answer.status == 200 and len(answer.cookies) == 1 and table(client) == {"a": "1"}


def test_over_the_limit(server, client):
    """Section 10: dropped with one log line; what was stored stays; the response is not changed."""
    send(client, "BSession-Set: a=1")
    server.expect("bsession:warn")
    answer = send(client, *["BSession-Set: " + "&".join(f"k{i}-{j}=v" for j in range(60)) for i in range(6)])
    assert answer.status == 200
    assert 1 <= len(warnings(server)) <= 6      # one of each header, however many keys it has
    assert client.results("get=a") == ["=1"] and len(table(client)) <= 256


def warnings(server):
    return [line for line in server.lines() if "[bsession:warn]" in line]


@pytest.mark.parametrize("was,header,unspoken", [
    ("unspoken", "BSession-Incr: word=1", "unspoken"),
    ("9223372036854775807", "BSession-Incr: word=1", "9223372036854775807"),
    ("-9223372036854775807", "BSession-Incr: word=-77777", "77777"),
    ("", "BSession-Set: other=1&word=unspoken", "unspoken")], ids=["word", "overflow", "underflow", "limit"])
def test_what_is_refused_is_said(server, client, was, header, unspoken):
    """Each with one line, which names the key and not the value; the others count."""
    send(client, f"BSession-Set: word={was}" if was else "")
    server.expect("bsession:warn")
    answer = send(client, header, where="" if was else "narrow")
    assert answer.status == 200
    (line,) = warnings(server)
    assert '"word"' in line and unspoken not in line
    assert table(client) == ({"word": was} if was else {"other": "1"})


def test_what_comes_late_is_said_once(server, client):
    """By the includes of a page that has left already, for a visitor without a session."""
    server.expect("bsession:warn")
    server.backend.headers = ["BSession-Set: late=unspoken"]
    answer = client.get("/proxy.shtml" if server.via == "proxy" else "/cgi.shtml")
    assert answer.status == 200 and answer.cookies == []
    (line,) = warnings(server)
    assert '"late"' in line and "unspoken" not in line
