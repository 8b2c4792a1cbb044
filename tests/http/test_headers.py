"""BSessionHeader: what proxied applications are told of a session, and CGI in its HTTP_ variables."""

import re
import urllib.parse

import pytest

from client import STRANGER, h2_post, quote, raw
from doubles import Backend, Fastcgi, Fault
from httpd import on

PAIR = r"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+=(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})*"
FACTS = {"bsession-tag", "bsession-new", "bsession-expires"}

# what a client puts behind a body to speak for somebody else
TRAILERS = {"BSession-Data": "user=intruder", "bsession-data": "role=intruder", "BSession_Data": "user=intruder",
            "BSession-User": "intruder", "BSession-Tag": "0123456789ab", "Connection": "BSession-Data",
            "X-Other": "kept"}

ENVIRONMENT = "cat > /dev/null; printf 'Content-Type: text/plain\\n\\n'; env | sort\n"
ELSEWHERE = "printf 'Location: %s\\n\\n' \"$QUERY_STRING\"\n"


def prepare(server):
    server.script("env", ENVIRONMENT)
    server.script("elsewhere", ELSEWHERE)
    server.document("page.shtml", '<!--#include virtual="/quiet/x" -->|<!--#include virtual="/quietcgi/env" -->'
                                  '|<!--#include virtual="/app/x" -->\n')
    server.document("quiet.shtml", '<!--#include virtual="/app/x" -->|<!--#include virtual="/quiet/x" -->\n')
    index = server.document("offdir/index.cgi", "#!/bin/sh\n" + ENVIRONMENT)
    index.chmod(0o755)
    index = server.document("ondir/index.cgi", "#!/bin/sh\n" + ENVIRONMENT)
    index.chmod(0o755)


@pytest.fixture(scope="module")
def fastcgi():
    one = Fastcgi()
    yield one
    one.close()


@pytest.fixture(scope="module")
def server(start, backend, fastcgi):
    return start("Protocols h2c http/1.1\n" + on("BSessionHeader All") + f"""
MergeTrailers On
AddHandler server-parsed .shtml
<Directory "{{docs}}">
    Options +Includes
    AddOutputFilter INCLUDES .shtml
</Directory>
<Directory "{{docs}}/offdir">
    DirectoryIndex index.cgi
    Options +ExecCGI
    AddHandler cgi-script .cgi
</Directory>
<Location "/offdir">
    BSession Off
</Location>
<Location "/offdir/index.cgi">
    BSession On
</Location>
<Directory "{{docs}}/ondir">
    DirectoryIndex index.cgi
    Options +ExecCGI
    AddHandler cgi-script .cgi
</Directory>
<Location "/ondir/index.cgi">
    BSessionHeader Off
</Location>
ScriptAlias /quietcgi/ "{{cgi}}/"
<LocationMatch "^/quiet">
    BSessionHeader Off
</LocationMatch>
<Location "/quiet/both">
    BSessionEnv All
</Location>
ScriptAlias /both/ "{{cgi}}/"
<Location "/both">
    BSessionEnv All
</Location>
ProxyPass /app http://127.0.0.1:{backend.port}/app
ProxyPass /quiet http://127.0.0.1:{backend.port}/quiet
ProxyPass /off http://127.0.0.1:{backend.port}/off
<Location "/off">
    BSession Off
</Location>
ProxyPass /list http://127.0.0.1:{backend.port}/list
<Location "/list">
    BSessionHeader user a.b missing
</Location>
<Location "/trimmed">
    RequestHeader unset BSession-Expires
    SetHandler bsession-probe
</Location>
ProxyPass /fcgi fcgi://127.0.0.1:{fastcgi.port}/fcgi
ProxyPass /quietfcgi fcgi://127.0.0.1:{fastcgi.port}/fcgi
SetEnv proxy-sendcl 1
<Location "/errors">
    ErrorDocument 404 /quietcgi/env
    SetHandler bsession-probe
</Location>
<Location "/quieterrors">
    ErrorDocument 404 /app/sorry
    SetHandler bsession-probe
</Location>
""", mods=["proxy", "proxy_http", "proxy_fcgi", "http2", "include"], prepare=prepare)


def told(text):
    """Name, in small letters, -> value of the lines that begin like ours, of a request's head or of
    a CGI environment; none comes twice."""
    lines = re.findall(r"(?im)^(?:HTTP_)?(BSESSION[^:=\r\n]*)(?:: |=)(.*?)\r?$", text)
    lines += re.findall(r"(?im)^(REDIRECT_.*BSESSION[^:=\r\n]*)=(.*)$", text)
    names = [name.lower().replace("_", "-") for name, _ in lines]
    assert len(set(names)) == len(names), lines
    return dict(zip(names, (value for _, value in lines)))


def ask(client, path="/app/x", **more):
    answer = client.get(path, **more)
    assert answer.status == 200, answer
    return told(answer.text)


def pairs(data):
    """Keys and values as bytes, in their order."""
    assert re.fullmatch(f"{PAIR}(&{PAIR})*", data), data
    return [tuple(urllib.parse.unquote_to_bytes(half) for half in pair.split("=")) for pair in data.split("&")]


PLACES = ["/app/x", "/cgi/env", "/fcgi/x"]


# -- what is told

@pytest.mark.parametrize("path", PLACES)
def test_nothing_without_a_session(client, path):
    assert ask(client, path) == {}
    assert ask(client, path, headers={"Cookie": "bsession=" + STRANGER}) == {}
    client.results("set=a:1")
    ended = client.twin()
    client.probe("destroy")
    assert ask(ended, path) == {}


@pytest.mark.parametrize("path", PLACES)
def test_all_and_the_facts(client, path):
    client.results("set=user:ann", "set=n:5")
    tag, expires = client.results("tag", "expires")
    got = ask(client, path)
    assert set(got) == FACTS | {"bsession-data"}
    assert sorted(pairs(got["bsession-data"])) == [(b"n", b"5"), (b"user", b"ann")]
    assert got["bsession-tag"] == tag and got["bsession-new"] == "0"
    assert int(got["bsession-expires"]) == int(expires) // 10**6


def test_names_as_documented(client):
    """Byte for byte, for servers that take names as they come."""
    client.results("set=user:ann")
    lines = [line for line in client.get("/app/x").text.split("\r\n") if line.startswith("BSession-")]
    assert [line.split(": ")[0] for line in lines] == ["BSession-Data", "BSession-Tag", "BSession-New",
                                                       "BSession-Expires"]


def test_header_and_variables_say_the_same(client):
    client.results("set=user:ann")
    env = dict(line.split("=", 1) for line in client.get("/both/env").text.splitlines() if "=" in line)
    assert env["HTTP_BSESSION_DATA"] == "user=ann" and env["BSESSION_user"] == "ann"
    assert [env[f"HTTP_BSESSION_{name}"] for name in ("TAG", "NEW", "EXPIRES")] \
        == [env["BSESSION"], env["BS_NEW"], env["BS_EXPIRES"]]


VALUES = {
    "lines": b"one\r\nBSession-User: intruder\r\n\r\nbody", "nul": b"a\0b", "high": bytes(range(128, 256)),
    "signs": b"=&%;,+ \"'<>\\/?#[]@!$()*:{}|^`", "empty": b"", "plain": b"AZaz09-._~", "percent": b"%41%00%",
    "control": bytes(range(1, 32)) + b"\x7f", "utf8": "Zoë ☃".encode(),
}


@pytest.mark.parametrize("path", PLACES)
def test_values_arrive_as_they_were_set(client, path):
    """And nothing in them ends a line, a pair or a header."""
    client.results(*[f"setn={key}:{quote(value)}" for key, value in VALUES.items()])
    got = ask(client, path)
    assert set(got) == FACTS | {"bsession-data"}
    assert dict(pairs(got["bsession-data"])) == {key.encode(): value for key, value in VALUES.items()}
    assert "plain=AZaz09-._~" in got["bsession-data"] and "utf8=Zo%C3%AB%20%E2%98%83" in got["bsession-data"]


@pytest.mark.parametrize("path", PLACES)
def test_keys_arrive_as_they_are_spelt(client, path):
    keys = ["a.b", "a_b", "A_b", "a=b", "a&b", "a b", "a%20b", "ä:", "☃"]
    client.results(*[f"set={quote(key)}:{i}" for i, key in enumerate(keys)])
    assert dict(pairs(ask(client, path)["bsession-data"])) == {key.encode(): b"%d" % i
                                                              for i, key in enumerate(keys)}


def test_a_list_names_what_is_told(client):
    """In its order; a private key only by its name."""
    client.results("set=other:1", "set=a.b:2", "set=user:ann", "set=a_b:3", "set=~probe.y:5")
    assert pairs(ask(client, "/list/x")["bsession-data"]) == [(b"user", b"ann"), (b"a.b", b"2")]
    assert dict(pairs(ask(client)["bsession-data"])) == {b"other": b"1", b"a.b": b"2", b"user": b"ann", b"a_b": b"3"}


@pytest.mark.parametrize("calls,path", [(["set=other:1"], "/list/x"), (["set=~probe.y:5"], "/app/x"),
                                        (["clear"], "/app/x")])
def test_without_selected_keys_there_is_no_data(client, calls, path):
    client.results("set=none:0")
    client.results("unset=none", *calls)
    assert set(ask(client, path)) == FACTS


def test_off_is_off(client):
    client.results("set=user:ann")
    for path in ("/quiet/x", "/off/x", "/quietcgi/env"):
        assert ask(client, path) == {}, path


def test_what_begins_with_this_request(client):
    """A session that is not stored yet has no tag."""
    text = client.get("/probe?set=a:1&internal=/app/x").text
    assert told(text) == {"bsession-data": "a=1"}
    got = told(client.twin().get("/probe?destroy&set=b:2&save&internal=/app/x").text)
    assert set(got) == FACTS | {"bsession-data"} and got["bsession-data"] == "b=2"
    fresh = client.server.client()
    assert told(fresh.get("/probe?set=a:1&save&internal=/app/x").text)["bsession-new"] == "1"


# -- how much

ROOM = 8000 - len("BSession-Data: ")


@pytest.mark.parametrize("path", PLACES)
def test_a_line_of_8000_bytes(client, path):
    client.results(f"big=k:{ROOM - len('k=')}")
    assert len(ask(client, path)["bsession-data"]) == ROOM


def test_a_key_that_does_not_fit_is_left_out(server, client):
    """Whole, and said once; what comes behind it goes, and exactly fills the line."""
    big = ROOM - len("k=") + 1
    client.results(f"big=k:{big}")
    assert set(ask(client)) == FACTS
    assert server.logged(r'left out of BSession-Data.*for want of room: "k"$').startswith("[bsession:warn]")
    client.results("set=a:1", f"big=%22q%c3%a4:{big}", f"big=z:{ROOM - len('a=1&z=')}")
    server.expect("left out of BSession-Data")
    data = ask(client)["bsession-data"]
    assert len(data) == ROOM and data.startswith("a=1&z=bbb")
    client.results(f"big=z:{ROOM - len('a=1&z=') + 1}")
    assert ask(client)["bsession-data"] == "a=1"
    last = [line for line in server.lines() if "left out" in line][-1]
    assert last.endswith(r'want of room: "\\"q\\xc3\\xa4" "k" "z"')      # escaped for the log, and by it


def test_one_line_for_what_does_not_fit(server, client):
    """Values are never in it, and an index that prepares two requests makes no second one."""
    client.results("set=k:s3cr3t" + "!" * 3000, "set=a:1")
    server.expect("left out of BSession-Data")
    for path in ("/app/x", "/cgi/env", "/offdir/"):
        before = sum("left out" in line for line in server.lines())
        assert ask(client, path)["bsession-data"] == "a=1"
        assert sum("left out" in line for line in server.lines()) == before + 1, path


def test_a_value_of_60_kilobytes(server, client):
    client.results("big=k:60000", "set=user:ann")
    server.expect("left out of BSession-Data")
    assert ask(client)["bsession-data"] == "user=ann"


# -- clients do not say it

@pytest.mark.parametrize("name", ["BSession-Data", "bsession-data", "BSession_Data", "BSession.Data", "BSession-User",
                                  "BSession-Tag", "BSession"])
@pytest.mark.parametrize("path", ["/app/x", "/cgi/env", "/quiet/x", "/off/x"])
def test_a_client_adds_nothing(server, client, path, name):
    """Nor replaces anything, with a session and without."""
    client.results("set=user:ann")
    for cookie in (f"bsession={client.token}", "x=1"):
        said = raw(server, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: {cookie}\r\n"
                           f"{name}: user=intruder\r\n{name}: user=intruder\r\nX-Other: kept\r\n\r\n".encode()).decode()
        if said.startswith("HTTP/1.1 400"):
            return                      # httpd takes no such name for a header
        assert "intruder" not in said and "kept" in said
        expected = "user=ann" if "bsession" in cookie and path in ("/app/x", "/cgi/env") else None
        assert told(said).get("bsession-data") == expected


@pytest.mark.parametrize("line", ["BSession-Data", "close, bsession-data", "close BSession-Data", "close;BSession-Data",
                                  "close ;\tBSession-Data , BSession_Data", "\"a\" BSession-Data",
                                  "close\r\nConnection: BSession-Data, BSession-Tag"])
def test_a_client_cannot_have_it_deleted(server, client, line):
    """mod_proxy deletes what Connection names, and there a space separates, too."""
    client.results("set=user:ann")
    said = raw(server, f"GET /app/x HTTP/1.1\r\nHost: x\r\nCookie: bsession={client.token}\r\n"
                       f"X-Gone: 1\r\nConnection: X-Gone\r\nConnection: {line}\r\nConnection: close\r\n\r\n".encode())
    assert b"X-Gone" not in said
    assert set(told(said.decode())) == FACTS | {"bsession-data"}


# -- trailers

def chunked(server, client, path, trailers=TRAILERS, more="", cookie=True):
    """A POST whose trailers httpd merges into the headers."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in trailers.items())
    cookies = f"Cookie: bsession={client.token}\r\n" if cookie else ""
    return raw(server, f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
                       f"{more}{cookies}\r\n3\r\nabc\r\n0\r\n{lines}\r\n".encode()).decode()


SEEN = ["BSession-Data", "BSession-User", "BSession_Data", "BSession-Tag", "X-Other"]
SEE = "&".join(f"seen={name}" for name in SEEN)


def seen(text):
    return dict(zip(SEEN, re.findall(r"(?m)^seen (.*?)\r?$", text)[-len(SEEN):]))


def test_trailers_change_nothing_for_a_handler(server, client):
    """One that looks when it has read the body."""
    client.results("set=user:ann")
    (tag,) = client.results("tag")
    got = seen(chunked(server, client, f"/probe?read&{SEE}"))
    assert got == {"BSession-Data": "=user%3dann", "BSession-User": "-", "BSession_Data": "-",
                   "BSession-Tag": "=" + tag, "X-Other": "=kept"}
    got = seen(chunked(server, client, f"/probe?read&{SEE}", cookie=False))
    assert set(got.values()) == {"-", "=kept"}


def test_trailers_change_nothing_over_http2(server, client, build):
    if build.mpm == "prefork":
        pytest.skip("mod_http2 does not serve under prefork")
    client.results("set=user:ann")
    (tag,) = client.results("tag")
    trailers = {"bsession-data": "user=intruder", "bsession-user": "intruder", "x-other": "kept"}
    text = h2_post(server, f"/probe?read&{SEE}", b"abc", trailers, client.token).decode()
    assert seen(text) == {"BSession-Data": "=user%3dann", "BSession-User": "-", "BSession_Data": "-",
                          "BSession-Tag": "=" + tag, "X-Other": "=kept"}


@pytest.mark.parametrize("path", ["/fcgi/x", "/app/x", "/probe?read&internal=/app/x", "/probe?read&internal=/fcgi/x",
                                  "/cgi/env"])
def test_trailers_change_nothing_for_an_application(server, client, path):
    """mod_proxy_fcgi spools a body of unknown length before it looks at the headers."""
    client.results("set=user:ann")
    text = chunked(server, client, path)
    assert "intruder" not in text and set(told(text)) == FACTS | {"bsession-data"}
    assert told(text)["bsession-data"] == "user=ann"
    assert re.search("(?i)x.other.*kept", text) or path in ("/app/x", "/cgi/env")
    text = chunked(server, client, path, cookie=False)
    assert "intruder" not in text and told(text) == {}


@pytest.mark.parametrize("path", ["/quietfcgi/x", "/probe?read&internal=/quiet/x"])
def test_trailers_change_nothing_where_it_is_off(server, client, path):
    client.results("set=user:ann")
    text = chunked(server, client, path)
    assert "intruder" not in text and told(text) == {} and "kept" in text


@pytest.mark.parametrize("path", [f"/probe?{SEE}", "/app/x", "/fcgi/x"])
def test_trailers_of_a_body_that_a_fixup_read(server, client, path):
    """Our own fixup was before it, our filter is not there yet."""
    client.results("set=user:ann")
    text = chunked(server, client, path, more="X-Read-Early: 1\r\n")
    assert "intruder" not in text and "kept" in text
    if path.startswith("/probe"):
        assert seen(text)["BSession-Data"] == "=user%3dann"
    else:
        assert set(told(text)) == FACTS | {"bsession-data"} and told(text)["bsession-data"] == "user=ann"


def test_what_mod_headers_unset_stays_away(server, client):
    client.results("set=user:ann")
    see = "seen=BSession-Expires&seen=BSession-Data"
    text = chunked(server, client, f"/trimmed?{see}&read&{see}", {"BSession-Data": "user=intruder"})
    assert re.findall(r"(?m)^seen (.*?)\r?$", text) == ["-", "=user%3dann"] * 2


# -- several requests in one

def test_a_redirect_to_where_it_is_off(client):
    """Variables that CGI made of the headers do not go along, either."""
    client.results("set=user:ann")
    for path in ("/quiet/x", "/quietcgi/env", "/off/x"):
        assert ask(client, f"/cgi/elsewhere?{path}") == {}, path
        assert ask(client, f"/probe?internal={path}") == {}, path


def test_a_redirect_to_where_it_is_on(client):
    client.results("set=user:ann")
    for path in PLACES:
        assert ask(client, f"/quietcgi/elsewhere?{path}")["bsession-data"] == "user=ann", path
        got = told(client.get(f"/probe?set=user:bea&internal={path}").text)
        assert set(got) == FACTS | {"bsession-data"} and got["bsession-data"] == "user=bea", path
        client.results("set=user:ann")


def test_error_documents(client):
    client.results("set=user:ann")
    assert told(client.probe("return=404", at="/errors").text) == {}
    got = told(client.probe("set=user:bea", "return=404", at="/quieterrors").text)
    assert got["bsession-data"] == "user=bea"


def test_subrequests(client):
    """Each is told what its own place allows, whatever its page was told."""
    client.results("set=user:ann")
    quiet, cgi, app = client.get("/page.shtml").text.split("|")
    assert "Host: " in quiet and told(quiet) == {}
    assert "HTTP_HOST=" in cgi and told(cgi) == {}
    assert told(app)["bsession-data"] == "user=ann"
    app, quiet = client.get("/quiet.shtml").text.split("|")
    assert told(app)["bsession-data"] == "user=ann" and told(quiet) == {}


def test_directory_indexes(client):
    client.results("set=user:ann")
    assert ask(client, "/offdir/")["bsession-data"] == "user=ann"
    assert ask(client, "/ondir/") == {}


@pytest.mark.parametrize("path", ["/index.html", "/app/x"])
def test_trace_shows_nothing(client, path):
    """Neither our own answer to it, nor that of a server behind, which would show it to the client."""
    client.results("set=user:ann")
    answer = client.request("TRACE", path, headers={"Max-Forwards": "4", "X-Other": "kept"})
    assert answer.status == 200 and "X-Other: kept" in answer.text and "BSession" not in answer.text


# -- what it costs, and outages

@pytest.fixture(scope="module")
def failing(start, backend):
    def with_fault(server):
        server.fault = Fault(server.writable / "fault")
        prepare(server)
    return start("BSessionStore default fault:memory: control={w}/fault size=8M breaker=off\n"
                 + on("BSessionHeader All", "BSessionEnv All") + f"""
<Location /plain>
    BSessionEnv Off
    BSessionHeader Off
</Location>
<Location /anonymous>
    BSessionEnv Off
    BSessionOnOutage anonymous
</Location>
<Location /headers>
    BSessionEnv Off
</Location>
<Directory "{{docs}}">
    Options +Includes
    AddOutputFilter INCLUDES .shtml
</Directory>
ProxyPass /plain http://127.0.0.1:{backend.port}/x
ProxyPass /anonymous http://127.0.0.1:{backend.port}/x
ProxyPass /headers http://127.0.0.1:{backend.port}/x
ProxyPass /app http://127.0.0.1:{backend.port}/x
ProxyPass /quiet http://127.0.0.1:{backend.port}/x
ScriptAlias /quietcgi/ "{{cgi}}/"
""", mods=["proxy", "proxy_http", "include"], prepare=with_fault)


def test_the_store_is_asked_once(failing):
    visitor = failing.client()
    before = failing.fault.calls()
    assert ask(visitor, "/headers") == {} and failing.fault.calls() == before
    visitor.results("set=user:ann")
    for path, loads in (("/plain", 0), ("/headers", 1), ("/app/x", 1), ("/page.shtml", 1),
                        ("/probe?internal=/app/x", 1)):
        before = failing.fault.calls("load"), failing.fault.calls()
        assert visitor.get(path).status == 200
        assert (failing.fault.calls("load"), failing.fault.calls()) == (before[0] + loads, before[1] + loads), path


def test_an_outage(failing):
    """As BSessionEnv: who is told of the session is refused, unless the place says otherwise."""
    visitor = failing.client()
    visitor.results("set=user:ann")
    failing.expect("bsession:(error|warn|notice|info)")
    failing.fault.set("fail")
    answer = visitor.get("/headers", headers={"BSession-Data": "user=intruder"})
    assert answer.status == 503 and int(answer.header("Retry-After")) >= 1 and answer.all("Set-Cookie") == []
    assert ask(visitor, "/anonymous", headers={"BSession-Data": "user=intruder"}) == {}
    assert visitor.get("/plain").status == 200
    failing.fault.clear()
    assert ask(visitor, "/headers")["bsession-data"] == "user=ann"
