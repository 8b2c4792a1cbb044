"""Nothing confidential is in any log at `LogLevel info bsession:trace8`. Each test of this directory and of
tests/fault proves it, by what confidential.py gathers and httpd.py searches for when it ends; here is
shown that this finds what there is, and what the module says where most goes wrong."""

import base64

import pytest

from client import h2_upgraded, quote
from confidential import Confidential
from doubles import wait_until
from httpd import on, read

TOKEN = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
VALUE = "correct horse battery staple"


@pytest.fixture(scope="module")
def server(start):
    def prepare(server):
        # what the application says in vain is not repeated by anybody
        server.script("say", r"""printf 'Content-Type: text/plain\n'
printf 'BSession-Set: _bs=%s\nBSession-Set: a=%%zz%s\nBSession-Incr: a=%s\nBSession-Odd: %s\n\n' \
    "$QUERY_STRING" "$QUERY_STRING" "$QUERY_STRING" "$QUERY_STRING"
""")
    return start(on("BSessionWriteBack On", "BSessionEnv All", "BSessionHeader All", "BSessionLimit size=1K keys=8"),
                 prepare=prepare)


@pytest.fixture
def list_of_one(tmp_path):
    (tmp_path / "secret").write_text("from-a-file\n")
    found = Confidential()
    found.token(TOKEN)
    found.value(VALUE)
    found.configuration(f"""BSessionStore a redis://me:p4ssw0rd@host
BSessionStore b redis://host "password=another"
BSessionSecret file:{tmp_path}/secret env:OF_MINE "written here"
""", {"OF_MINE": "from-the-environment"})
    return found


@pytest.mark.parametrize("line", [TOKEN, TOKEN[20:], "x" + TOKEN + "y", base64.urlsafe_b64decode(TOKEN + "=").hex(),
                                  bytes(range(16, 32)).hex(), f"it is {VALUE}.", "p4ssw0rd", "of another",
                                  "from-a-file", "from-the-environment", "written here", "x from-a-file y"])
def test_what_is_told_is_found(list_of_one, line):
    assert list_of_one.told(f"[core:info] [17] {line}\n")


def test_a_tag_is_no_token(list_of_one):
    """12 digits of the selector are what people see of a session."""
    assert list_of_one.told(f"[bsession:debug] session {bytes(range(6)).hex()} is saved\n") == []


def test_a_log_that_tells_is_noticed(start):
    """What a log format is told to show it shows: here what is sent to the client."""
    server = start(on() + 'LogFormat "%{Set-Cookie}o" sent\nCustomLog {dir}/sent.log sent\n')
    client = server.client()
    client.results("set=a:1")
    wait_until(lambda: client.token in read(server.dir / "sent.log"), "the line")
    (told,) = server.told()
    assert "sent.log: a token" in told and client.token in told
    assert server.told() == []


def test_a_log_of_request_headers_shows_no_token(start):
    """Our cookie has been taken out of the Cookie header by then, where sessions are On or Off."""
    server = start(on() + 'LogFormat "%{Cookie}i" got\nCustomLog {dir}/got.log got\n'
                   '<Location /off>\nBSession Off\n</Location>\n')
    client = server.client()
    client.results("set=a:1")
    for path in ("/probe?get=a", "/index.html", "/off/", "/missing"):
        client.get(path, headers={"Cookie": f"x=1; bsession={client.token}; y=2"})
    lines = wait_until(lambda: (found := read(server.dir / "got.log").splitlines()) and len(found) == 5 and found,
                       "five lines")
    assert sorted(lines) == ["-"] + ["x=1; y=2"] * 4
    assert server.told() == []


def test_nor_does_one_of_a_request_that_asks_for_another_protocol(start, build):
    """Where it gets that it begins anew, with the cookie that it came with."""
    if build.mpm == "prefork":
        pytest.skip("mod_http2 does not serve under prefork")
    server = start("Protocols h2c http/1.1\n" + on() + 'LogFormat "%>s %{Cookie}i" got\nCustomLog {dir}/got.log got\n',
                   mods=["http2"])
    client = server.client()
    client.results("set=a:1")
    cookie = f"x=1; bsession={client.token}; y=2"
    assert h2_upgraded(server, "/probe?get=a", cookie).results == ["=1"]
    headers = {"Upgrade": "foo", "Connection": "Upgrade", "Cookie": cookie}
    assert client.results("get=a", headers=headers) == ["=1"]
    lines = wait_until(lambda: (found := read(server.dir / "got.log").splitlines()) and len(found) == 4 and found,
                       "four lines")
    assert sorted(lines) == ["101 x=1; y=2", "200 -", "200 x=1; y=2", "200 x=1; y=2"]
    assert server.told() == []


def test_the_worst_requests_tell_nothing(server, client):
    """Each line of a refusal names a key, a tag, a limit; never what was to be stored."""
    client.results("set=k:" + quote(VALUE), "setn=nul:" + quote(VALUE) + "%00x")
    client.get("/cgi/say?not-a-number-but-confidential")
    server.confidential.value("not-a-number-but-confidential")
    client.results("set=k:" + quote(VALUE) + "y" * 2000, *(f"set=k{i}:{quote(VALUE)}{i}" for i in range(12)))
    client.results("incr=k:1", "set=_bs:" + quote(VALUE))
    old = client.twin()
    client.results("rotate")
    old.results("set=k:" + quote(VALUE) + "2")
    client.results("flush", "late.set=k:" + quote(VALUE) + "3", "late.rotate")
    client.results("destroy")
    old.get(f"/missing?bsession={client.token}")
    server.expect(r"bsession:(info|warn|error)")
    assert server.told() == [] and VALUE not in server.log()
