"""One session, seen and changed by all that stands behind httpd: a handler in C, CGI, PHP behind
mod_proxy_fcgi, Python behind mod_proxy_uwsgi, a Node service behind mod_proxy_http, an expression."""

import hashlib
import re
import shutil

import pytest

import applications
from applications import ask, value_in
from client import quote, raw
from doubles import Fault
from httpd import on

# where each application is
CGI, PHP, PYTHON, NODE = APPLICATIONS = ["/cgi/app", "/app.php", "/wsgi", "/node"]
# those that read the session as variables, which end where a NUL is
BY_VARIABLE = [CGI, PHP, PYTHON]

VALUES = {
    "plain": b"ann",
    "empty": b"",
    "utf8": "Zoë ☃ 𝄞".encode(),
    "cr": b"a\rb",
    "lf": b"a\nb",
    "crlf": b"a\r\nBSession-Set: k=evil\r\n\r\nb",
    "last_lf": b"a\n",
    "8bit": bytes(range(128, 256)),
    "controls": bytes(range(1, 32)) + b"\x7f",
    "nul": b"a\0b",
    "only_nul": b"\0",
    "equals": b"=a=b=",
    "ampersand": b"&a&k=evil&",
    "percent": b"%41%%zz%00",
    "comma": b",a, b,",
    "plus": b"+a+b+",
    "spaces": b"  a  b  ",
    "tabs": b"\ta\t",
    "quotes": b"\"a\" 'b' `c` \\",
    "markup": b"<b>&amp;</b>;#",
    "long": b"0123456789abcde\n" * 120,
}

each_value = pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
each_application = pytest.mark.parametrize("where", APPLICATIONS)


@pytest.fixture(scope="module")
def served():
    """PHP-FPM, uwsgi with room and without, Node."""
    here = applications.HERE
    made = {}
    try:
        made["php"] = applications.php_fpm()
        made["uwsgi"] = applications.uwsgi(here / "app.py", "--buffer-size", "65535")
        made["uwsgi4k"] = applications.uwsgi(here / "app.py")
        made["node"] = applications.node(here / "app.js")
        yield made
    finally:
        for one in made.values():
            one.stop()


def prepare(server):
    shutil.copy(applications.HERE / "app.cgi", server.cgi / "app")
    (server.cgi / "app").chmod(0o755)
    server.document("app.php", (applications.HERE / "app.php").read_text())
    server.document("expr.html", "a page\n")
    server.document("gone.html", "gone\n")
    server.fault = Fault(server.writable / "fault")


@pytest.fixture(scope="module")
def config(served):
    return on("BSessionEnv All", "BSessionWriteBack On") + f"""
<LocationMatch "/node">
    BSessionEnv Off
    BSessionHeader All
</LocationMatch>
<FilesMatch "\\.php$">
    SetHandler "proxy:unix:{served["php"].socket}|fcgi://php"
</FilesMatch>
ProxyPass /wsgi4k "unix:{served["uwsgi4k"].socket}|uwsgi://small/"
ProxyPass /wsgi "unix:{served["uwsgi"].socket}|uwsgi://python/"
ProxyPass /node "unix:{served["node"].socket}|http://localhost/"
Header set X-Same yes "expr=sha1(%{{BSESSION:k}}) == %{{HTTP:X-Sha1}}"
<Location "/probe">
    BSessionEnv Off
</Location>
ScriptAlias /big/cgi/ "{{cgi}}/"
ProxyPass /big/wsgi "unix:{served["uwsgi"].socket}|uwsgi://python/"
ProxyPass /big/node "unix:{served["node"].socket}|http://localhost/"
<Location "/big">
    BSessionLimit size=256K
</Location>
<Location "/big/probe">
    BSessionEnv Off
    SetHandler bsession-probe
</Location>
ScriptAlias /off/cgi/ "{{cgi}}/"
Alias /off/ "{{docs}}/"
ProxyPass /off/wsgi "unix:{served["uwsgi"].socket}|uwsgi://python/"
ProxyPass /off/node "unix:{served["node"].socket}|http://localhost/"
<Location "/off">
    BSessionWriteBack Off
</Location>
"""


MODS = ["proxy", "proxy_fcgi", "proxy_uwsgi", "proxy_http"]


@pytest.fixture(scope="module")
def server(start, config):
    return start(config, mods=MODS, prepare=prepare)


@pytest.fixture(scope="module")
def failing(start, config):
    """The same on a store that fails on command."""
    return start("BSessionStore default fault:memory: control={w}/fault size=128M timeout=400ms breaker=off\n"
                 + config, mods=MODS, prepare=prepare)


def in_c(client, k="k"):
    (said,) = client.results(f"getn={k}")
    return None if said == "-" else bytes.fromhex(said[1:])


def is_in_expression(client, value):
    digest = hashlib.sha1(value).hexdigest()
    return client.get("/expr.html", headers={"X-Sha1": digest}).header("X-Same") == "yes"


def holds(client, value):
    """All of them see this value, as far as what carries it to them can."""
    assert in_c(client) == value
    for where in BY_VARIABLE:
        assert value_in(client, where) == (None if b"\0" in value else value), where
    assert value_in(client, NODE) == value
    flat = b"" if b"\0" in value else re.sub(rb"[\r\n]", b" ", value)
    assert is_in_expression(client, flat)
    assert not is_in_expression(client, flat + b"!")


# -- one session

@each_value
def test_what_a_handler_in_c_sets_all_see(client, value):
    """P42: byte for byte."""
    assert client.results(f"setn=k:{quote(value)}", "set=other:1") == ["ok", "ok"]
    holds(client, value)


@each_value
def test_what_each_sets_all_see(client, value):
    """P30 P42: changed by each in turn, in the way its own world encodes."""
    for where in APPLICATIONS:
        changed = value + where.encode()
        answer = ask(client, where, put=changed)
        assert answer.status == 200, answer
        holds(client, changed)
    assert ask(client, CGI, put=value).status == 200
    holds(client, value)


def test_text_is_text_for_node(client):
    """URLSearchParams makes text of UTF-8, as the page says, and of other bytes what it can."""
    client.results(f"setn=k:{quote(VALUES['utf8'])}")
    assert ask(client, NODE).seen["text"] == VALUES["utf8"].decode()
    client.results("setn=k:a%FF")
    assert ask(client, NODE).seen["text"] == "a\ufffd"


def test_without_a_session_there_is_nothing(client):
    """P31: and nothing begins, though all were asked."""
    for where in APPLICATIONS:
        answer = ask(client, where)
        assert answer.seen["value"] is None and answer.cookies == [], where
        # BSession-New and the like may be there, data is not
        assert "bsession-data" not in answer.seen["headers"]
    assert client.jar == {}


@each_application
def test_counters_add_up(client, where):
    """P30 P47: from whatever side."""
    for _ in range(3):
        ask(client, where, say=["BSession-Incr: n=1"])
        client.results("incr=n:1")
    assert value_in(client, where, "n") == b"6"


def test_counters_add_up_everywhere(client):
    for where in APPLICATIONS:
        ask(client, where, say=["BSession-Incr: n=1"])
    assert [value_in(client, where, "n") for where in APPLICATIONS] == [b"4"] * 4


@each_application
def test_several_lines_of_one_header(client, where):
    ask(client, where, say=["BSession-Set: a=1", "BSession-Set: b=2", "BSession-Unset: a"])
    assert client.results("get=a", "get=b") == ["=1", "=2"]     # Unset comes before Set
    ask(client, where, say=["BSession-Unset: a"])
    assert client.results("get=a", "get=b") == ["-", "=2"]
    ask(client, where, say=["BSession-Clear: 1"])
    assert client.results("count", "load") == ["0", "ok"]


@each_application
@pytest.mark.parametrize("status", [204, 303, 404, 500])
def test_saved_before_the_answer(client, where, status):
    """P36: a redirect, an error page, a failed handler lose nothing; the next request finds it."""
    say = ["BSession-Set: k=kept"] + (["Location: /elsewhere"] if status == 303 else [])
    answer = ask(client, where, say=say, status=status)
    assert answer.status == status and len(answer.cookies) == 1
    assert in_c(client) == b"kept"


@each_application
def test_a_login_kills_the_old_token(client, where):
    """P33: at once; the data stay."""
    client.results("set=k:before")
    thief = client.twin()
    answer = ask(client, where, say=["BSession-Set: user=ann", "BSession-Rotate: 1", "Location: /"],
                 status=303)
    assert answer.status == 303 and client.token != thief.token
    assert thief.results("load", "get=user") == ["NOTFOUND", "-"]
    for other in APPLICATIONS:
        assert value_in(client, other) == b"before" and value_in(thief, other) is None


@each_application
def test_a_logout_destroys(client, where):
    """P34."""
    client.results("set=k:v")
    thief = client.twin()
    answer = ask(client, where, say=["BSession-Destroy: 1"])
    assert len(answer.cookies) == 1 and client.jar == {}
    for other in APPLICATIONS:
        assert value_in(thief, other) is None
    assert thief.results("load") == ["NOTFOUND"]


# -- what does not get through

@each_application
def test_not_where_it_is_off(client, where):
    """`ask` sees to it that no such header reaches the client, here and everywhere."""
    client.results("set=k:v")
    off = "/off/cgi/app" if where == CGI else "/off" + where
    answer = ask(client, off, put=b"evil", say=["BSession-Destroy: 1"])
    assert answer.status == 200 and in_c(client) == b"v"


@each_application
def test_a_bad_line_is_dropped_whole(server, client, where):
    server.expect(r"bsession:warn.* a BSession-Set header is dropped")
    answer = ask(client, where, say=["BSession-Set: a=%zz&b=1", "BSession-Incr: n=1"])
    assert answer.status == 200
    assert client.results("has=a", "has=b", "get=n") == ["no", "no", "=1"]


@each_application
def test_cookies(client, where):
    """Ours is taken out, the others stay byte for byte."""
    client.results("set=k:v")
    cookie = f'a=1; bsession={client.token}; b="x y"; c=d=e,%20; =;z'
    seen = ask(client, where, headers={"Cookie": cookie}).seen
    assert bytes.fromhex(seen["value"]) == b"v"
    assert bytes.fromhex(seen["cookie"]) == b'a=1; b="x y"; c=d=e,%20; =;z'
    assert ask(client, where).seen["cookie"] is None
    untouched = 'x=1;;  y="a;b" ;z'
    assert bytes.fromhex(ask(client, where, headers={"Cookie": untouched}).seen["cookie"]) \
        == untouched.encode()


@each_application
def test_the_applications_own_cookies_go_out(client, where):
    answer = ask(client, where, put=b"v", say=["Set-Cookie: app=1; Path=/", "Set-Cookie: app2=2"])
    assert sorted(line.split(";")[0].split("=")[0] for line in answer.all("Set-Cookie")) \
        == ["app", "app2", "bsession"]


@each_application
def test_nobody_speaks_for_a_session(server, client, where):
    """What a client sends under our names reaches no application."""
    client.results("set=k:v")
    forged = ["BSession-Data: k=evil", "BSession_Data: k=evil", "bsession.data: k=evil", "BSESSION_k: evil",
              "BSession-Tag: evil", "Connection: BSession-Data, close"]
    said = raw(server, "\r\n".join([f"GET {where}?k=k HTTP/1.1", "Host: x",
                                    f"Cookie: bsession={client.token}", *forged, "", ""]).encode())
    if said.startswith(b"HTTP/1.1 400"):
        pytest.fail("httpd takes no such name")
    assert b"evil".hex().encode() not in said and b'"value": "76"' in said.replace(b'":"', b'": "'), said


# -- what does not fit

def big(client, size, at="/probe"):
    assert client.results(f"big=k:{size}", "set=other:1", at=at) == ["ok", "ok"]


def test_sixty_kilobytes(server, client):
    """Whole, or left out with a line that names the key; never cut, and the others come."""
    big(client, 60000)
    assert len(in_c(client)) == 60000
    assert value_in(client, CGI) == value_in(client, PYTHON) == b"b" * 60000
    assert is_in_expression(client, b"b" * 60000)

    assert value_in(client, PHP) is None
    server.logged(r"proxy_fcgi:warn.*AH02536: couldn't encode envvar 'BSESSION_k' in 16384 bytes")
    assert value_in(client, PHP, "other") == b"1"
    server.expect("AH02536")

    assert value_in(client, NODE) is None
    line = server.logged(r"bsession:warn.*\"k\"")
    assert "bbbb" not in line
    assert value_in(client, NODE, "other") == b"1"
    server.expect(r"bsession:warn.*\"k\"")


@pytest.mark.parametrize("size,fits", [(16000, True), (16400, False)])
def test_a_record_of_fastcgi(server, client, size, fits):
    server.expect("AH02536")
    big(client, size)
    assert value_in(client, PHP) == (b"b" * size if fits else None)


def test_uwsgi_with_its_own_buffer(server, client, served):
    """4096 bytes for all variables: an error of httpd's, and the application is not asked."""
    assert value_in(client, "/wsgi4k") is None
    big(client, 4000)
    answer = ask(client, "/wsgi4k")
    assert answer.status in (500, 502) and answer.seen is None
    server.expect("proxy_uwsgi")
    assert "invalid request block size" in served["uwsgi4k"].said()
    assert value_in(client, PYTHON) == b"b" * 4000


def test_beyond_what_uwsgi_speaks(server, client):
    big(client, 66000, at="/big/probe")
    answer = ask(client, "/big/wsgi")
    assert answer.status == 500 and answer.seen is None
    server.logged("AH10259")


def test_more_than_node_takes(client):
    """16 KB of request headers: its own 431, and no request that lacks a part of them."""
    answer = ask(client, NODE, headers={f"X-{i}": "x" * 6000 for i in range(3)})
    assert answer.status == 431 and answer.seen is None
    client.results(f"set=k:{'v' * 7000}")
    answer = ask(client, NODE, headers={"X-0": "x" * 8000})
    assert answer.status == 200 and answer.seen["value"] == "76" * 7000
    answer = ask(client, NODE, headers={"X-0": "x" * 8000, "X-1": "x" * 2000})
    assert answer.status == 431 and answer.seen is None


@each_application
def test_a_line_of_nine_thousand_bytes(server, client, where):
    """httpd itself refuses it, before anything of ours; what was stored stays."""
    client.results("set=k:v")
    server.expect(r"AH\d+", "proxy", "cgi", "HTTP")
    answer = ask(client, where, size=9000)
    assert answer.status in (500, 502), answer
    assert in_c(client) == b"v"


@each_application
def test_a_long_line_and_several(client, where):
    """7,900 bytes go through; more goes in more lines, into one table."""
    ask(client, where, size=7900)
    assert len(in_c(client)) == 7900
    ask(client, where, k="more", size=7900, say=["BSession-Set: a=" + "x" * 3000, "BSession-Set: b=" + "x" * 3000])
    assert [len(in_c(client, k)) for k in ("k", "more", "a", "b")] == [7900, 7900, 3000, 3000]


def test_beyond_what_a_process_takes(failing):
    """131,072 bytes for one variable, on Linux."""
    client = failing.client()
    big(client, 130000, at="/big/probe")
    assert value_in(client, "/big/cgi/app") == b"b" * 130000
    big(client, 140000, at="/big/probe")
    answer = ask(client, "/big/cgi/app")
    assert answer.status in (500, 503) and answer.seen is None
    failing.expect(r"^\[cgid?:error\]", "[Aa]rgument list too long")


# -- an outage

@pytest.fixture
def fault(failing):
    # mod_proxy_fcgi says that its answer could not go out
    failing.expect("bsession:(error|warn|notice|info)", "AH01075")
    yield failing.fault
    failing.fault.clear()


@each_application
@pytest.mark.parametrize("status", [200, 303, 404])
def test_what_cannot_be_saved_is_one_clean_503(failing, fault, where, status):
    client = failing.client()
    fault.set("fail", "create")
    answer = ask(client, where, put=b"v", status=status,
                 say=["Set-Cookie: app=1", "X-Page: real"] + (["Location: /"] if status == 303 else []))
    assert answer.status == 503 and int(answer.header("Retry-After")) >= 1
    assert answer.all("Set-Cookie") == [] and b"value" not in answer.body
    assert client.jar == {} and answer.header("Location") is None
    fault.clear()
    assert len(ask(client, where, put=b"v").cookies) == 1
    assert value_in(client, where) == b"v"


@each_application
def test_what_cannot_be_loaded_is_not_passed_on(failing, fault, where):
    """An application that would see no session there would greet a stranger."""
    client = failing.client()
    ask(client, where, put=b"v")
    jar = dict(client.jar)
    fault.set("fail", "load")
    answer = ask(client, where)
    assert answer.status == 503 and int(answer.header("Retry-After")) >= 1
    assert answer.seen is None and client.jar == jar
    fault.clear()
    assert value_in(client, where) == b"v"
