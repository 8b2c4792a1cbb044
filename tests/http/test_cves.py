"""The known vulnerabilities of earlier session modules, each by its number: what the defect was, and that
it is none here. Sessions are kept in files, where an attacker's traces would be plain to see."""

import base64
import os
import pickle
import re
import time

import pytest

import redis_server
from client import quote
from doubles import Fault, wait_until
from httpd import on

# what mod_session keeps, and its end
KEY, EXPIRY = "~mod_session", "~mod_session.expiry"
UNDECODABLE = "session_bsession:warn.*what mod_session has stored could not be decoded"
DAMAGED = "bsession:warn.*the record of session [0-9a-f]{12} is damaged"


def prepare(server):
    server.fault = Fault(server.writable / "fault")
    (server.dir / "victim").write_text("not a session\n")
    server.script("env", "printf 'Content-Type: text/plain\\n\\n'\nenv | sort\n")
    server.script("say", "printf 'Content-Type: text/plain\\nX-Session: %s\\n\\n' \"$(cat \"$QUERY_STRING\")\"\n")
    server.script("set", "printf 'Content-Type: text/plain\\nBSession-Set: %s\\n\\n' \"$(cat \"$QUERY_STRING\")\"\n")


@pytest.fixture(scope="module")
def server(start):
    return start("BSessionStore default file:{dir}/sessions\nBSessionStore counted fault:memory: control={w}/fault\n"
                 + on("BSessionEnv All", "BSessionWriteBack On") + """
<Location /off>
    BSession Off
</Location>
ScriptAlias /off/ {cgi}/
<Location /bridge>
    SetHandler bsession-probe
    Session On
</Location>
<Location /cgi>
    Session On
    SessionEnv On
    SessionHeader X-Session
</Location>
<Location /bridge/brief>
    SessionMaxAge 1
</Location>
<Location /counted>
    SetHandler bsession-probe
    BSessionUse counted
    BSessionCookie counted Secure=Off
</Location>
""", mods=["session", "session_bsession"], prepare=prepare)


@pytest.fixture
def redis():
    one = redis_server.Redis()
    yield one
    one.stop()


@pytest.fixture
def directory(server):
    return server.dir / "sessions"


def everything(server):
    """Each file around the store, and what is in it; not of logs, which grow."""
    return {path: path.read_bytes() if path.is_file() else None for path in server.dir.rglob("*")
            if path not in server.logs()}


def records(directory):
    return {path for path in directory.rglob("*") if path.is_file()}


def as_it_was(server, pids):
    """No child has crashed."""
    assert "exit signal" not in server.log() and set(pids) <= set(server.children())


# -- CVE-2008-0252, CherryPy: the identifier that a cookie brought became part of a file's name, so
# "../" led to any file, which was read, written and, as a lock, created and deleted.

PATHS = ["../victim", "../../victim", "..%2fvictim", "%2e%2e/victim", "..\\victim", "/etc/passwd", "....//victim",
         "../victim\\0", "./././victim", "s" + "0" * 32, "../w/victim", "~root"]


@pytest.mark.parametrize("path", [*PATHS, *(p + "/" * (43 - len(p)) for p in PATHS if len(p) < 43),
                                  *(p.replace("/", "_").replace(".", "-") + "A" * (43 - len(p)) for p in PATHS[:3])])
def test_cve_2008_0252(server, path):
    before = everything(server)
    for calls in (["load", "get=a"], ["destroy"], ["touch", "save"]):
        answer = server.client().probe(*calls, headers={"Cookie": f"bsession={path}"})
        assert answer.status in (200, 400)
    assert everything(server) == before
    visitor = server.client()
    visitor.probe("set=a:1", headers={"Cookie": f"bsession={path}"})
    new = set(everything(server)) - set(before)
    assert all(re.fullmatch(r"sessions(/[0-9a-f]{1,2}){0,2}(/s[0-9a-f]{32})?", str(p.relative_to(server.dir)))
               for p in new), new
    assert (server.dir / "victim").read_text() == "not a session\n"


def test_cve_2008_0252_in_bytes(server):
    """A token of the right form whose bytes are a path: the name of a record has their digits, not them."""
    path = b"../../../victim\0" + b"../victim\0......"[:16]
    token = base64.urlsafe_b64encode(path).decode().rstrip("=")
    before = everything(server)
    client = server.client()
    assert client.results("load", "destroy", headers={"Cookie": f"bsession={token}"}) == ["NOTFOUND", "ok"]
    assert everything(server) == before


# -- CVE-2013-2249, mod_session_dbd: a session was saved without regard to whether it had changed, and under
# its old identifier where a new one had been asked for.

def test_cve_2013_2249_what_did_not_change_is_not_written(server, client):
    client.results("set=a:1", at="/counted")
    before = server.fault.calls()
    assert client.results("get=a", "set=a:1", "unset=none", at="/counted") == ["=1", "ok", "ok"]
    assert server.fault.calls() == before + 1                  # the load


@pytest.mark.parametrize("at,calls", [("/probe", ["rotate"]), ("/probe", ["set=a:2", "rotate"]),
                                      ("/bridge", ["sset=realm-user:ann"])])
def test_cve_2013_2249_a_new_identifier_is_a_new_one(client, at, calls):
    client.results("set=a:1", "sset=other:1", at="/bridge")
    old = client.twin()
    answer = client.probe(*calls, at=at)
    assert len(answer.cookies) == 1 and client.token != old.token
    assert old.results("get=a", "has=a") == ["-", "no"]
    assert client.results("has=a") == ["yes"]


# -- CVE-2016-0736, mod_session_crypto: what was encrypted was not authenticated, so that changing it byte by
# byte and watching what the server said of the padding gave the plaintext away, and let it be edited.

def test_cve_2016_0736_every_change_of_a_token_is_answered_alike(server, client):
    """A token is nothing but random bytes; and whichever of its characters is wrong, the answer is that of
    an unknown one."""
    client.results("set=a:1")
    unknown = server.client().get("/probe?get=a&load&tag", headers={"Cookie": "bsession=" + "E" * 42 + "A"})
    token = client.token
    for i, c in enumerate(token):
        wrong = token[:i] + ("A" if c != "A" else "Q") + token[i + 1:]
        answer = server.client().get("/probe?get=a&load&tag", headers={"Cookie": f"bsession={wrong}"})
        assert (answer.status, answer.body) == (200, unknown.body), i
        assert {n for n, _ in answer.headers} == {n for n, _ in unknown.headers}
    assert client.results("get=a") == ["=1"]


def test_cve_2016_0736_every_change_of_a_record_is_answered_alike(start, redis):
    """A sealed record in Redis, where no checksum of the store is before the seal: whichever of its bytes is
    changed, of the ciphertext, its tag or what stands in clear, the answer is that of no session, byte for byte."""
    server = start("BSessionSecret 0123456789abcdef-0123456789abcdef-of-a-test\n"
                   f"BSessionStore default {redis.tcp}\n" + on())
    server.expect("the session counts as empty")
    client = server.client(keep=True)
    client.results("set=user:ann")
    (key,) = redis("keys", "*")
    nothing = server.client().probe("get=user", "load", "tag")
    fields = redis("hgetall", key)
    ((name, sealed),) = [(n, v) for n, v in zip(fields[::2], fields[1::2]) if b"sealed" in n]
    for i, byte in enumerate(sealed):
        for bit in (1, 128):
            redis("hset", key, name, sealed[:i] + bytes([byte ^ bit]) + sealed[i + 1:])
            got = client.probe("get=user", "load", "tag")
            assert (got.status, got.body) == (200, nothing.body), i
            assert {n for n, _ in got.headers} - {"Connection"} == {n for n, _ in nothing.headers}
    redis("hset", key, name, sealed)
    assert client.results("get=user", "load") == ["=ann", "ok"]
    client.close()


# -- CVE-2018-1283, mod_session: with SessionEnv On a client's header "Session" became HTTP_SESSION, as which
# an application reads its session.

SPOOFS = ["Session", "BSession", "BSession-Data", "BSession_Data", "BSession.Data", "BSESSION-USER", "Bsession-user",
          "BSession-Tag", "BSession-New", "BSession-Expires", "BSession-Set", "BSession-Anything"]


@pytest.mark.parametrize("name", SPOOFS)
@pytest.mark.parametrize("path", ["/cgi/env", "/off/env"])
def test_cve_2018_1283(server, client, path, name):
    if name == "Session" and path == "/off/env":
        return                          # a header like any other, where no session is
    for visitor in (server.client(), client):
        said = visitor.get(path, headers={name: "user=r00t&u5er=r00t", "BSESSION": "r00t"}).text
        assert "r00t" not in said, said
        client.results("set=mine:1")


# -- CVE-2018-17199, mod_session: the end of a session was looked at before the session had been decoded, and so
# never: what had expired was good for ever.

def test_cve_2018_17199(server, client):
    client.results("sset=a:1", at="/bridge/brief")
    assert client.results("sget=a", at="/bridge/brief") == ["=1"]
    old = client.twin()
    # the next look, at whatever time, prolongs it by a second at most
    client.results(f"set={quote(EXPIRY)}:1")
    assert old.results("sget=a", at="/bridge/brief") == ["-"]
    assert old.results("sget=a", at="/bridge") == ["-"]


def test_cve_2018_17199_a_record_that_is_over(client, directory):
    """It lies there until the next sweep, and is nobody's session any more."""
    before = records(directory)
    client.results("set=a:1")
    (record,) = records(directory) - before
    assert client.results("get=a") == ["=1"]
    os.utime(record, (record.stat().st_atime, time.time() - 1))
    assert client.results("load", "get=a") == ["NOTFOUND", "-"]
    assert client.results("sget=a", at="/bridge") == ["-"]


def test_cve_2018_17199_an_end_within_what_is_encoded(client):
    client.results(f"set={quote(KEY)}:{quote('a=1&expiry=1')}")
    assert client.results("sget=a", at="/bridge") == ["-"]
    client.results(f"set={quote(KEY)}:{quote('a=1')}")
    assert client.results("sget=a", at="/bridge") == ["=1"]


# -- CVE-2021-26690, mod_session: a pair without a name, as "=" in what a cookie brought, was a null pointer,
# and the child crashed.

PAIRS = ["=", "==", "=;=", "&", "&&", "=&=", "a=1&=", "=1", "&=1&", "a", "%", "%%", "%4", "a=%", "expiry", "expiry=",
         "expiry=x", "=expiry=1", ";", ",", "\t", "+"]


@pytest.mark.parametrize("text", PAIRS)
def test_cve_2021_26690_in_the_cookie(server, client, text):
    pids = server.children()
    for cookie in (text, f"bsession={text}", f"{text}bsession={text}", f"bsession{text}", f"x=1; {text}; bsession"):
        assert server.client().probe("load", "get=a", "sget=a", at="/bridge", headers={"Cookie": cookie}).status == 200
    as_it_was(server, pids)


@pytest.mark.parametrize("text", PAIRS)
def test_cve_2021_26690_in_the_session(server, client, text):
    server.expect(UNDECODABLE)
    pids = server.children()
    client.results(f"set={quote(KEY)}:{quote(text)}")
    assert client.probe("sget=a", "sset=b:2", "sget=b", at="/bridge").results[1:] == ["ok", "=2"]
    assert client.results("sget=b", at="/bridge") == ["=2"]
    as_it_was(server, pids)


# -- CVE-2021-26691, mod_session: the length of an encoded session was counted in one way and written in another:
# a session as an application's SessionHeader sent it overran the block.

def long_sessions():
    odd = "".join(map(chr, [*range(1, 10), *range(11, 13), *range(14, 48), *range(58, 65), 127]))
    yield from ("&".join(f"k{i}={c * 40}" for i in range(30)) for c in "&=%+ \x7f")
    yield "&".join(f"{quote(odd)}{i}={quote(odd)}" for i in range(20))
    yield "=" * 4000
    yield "&" * 4000
    yield "%3D" * 2000
    yield "a=" + "%26" * 2000
    yield "%00=%00&" * 500


@pytest.mark.parametrize("session", long_sessions(), ids=range(12))
def test_cve_2021_26691(server, client, session):
    """Under AddressSanitizer in build-asan: the run with it ends here, where a byte is written too many."""
    server.expect(UNDECODABLE, "bsession:(info|warn)")
    pids = server.children()
    file = server.writable / "session"
    file.write_text(session)
    assert client.get(f"/cgi/say?{file}").status == 200
    assert client.get("/cgi/env").status == 200
    assert client.get(f"/cgi/set?{file}").status == 200
    assert client.get("/cgi/env").status == 200
    assert client.results("sset=b:2", "sget=b", at="/bridge") == ["ok", "=2"]
    as_it_was(server, pids)


# -- CVE-2021-33026, Flask-Caching: what lay in the cache was unpickled, so that who could write there
# had his code run by the server.

class Run:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mknod, (self.path,)


PHP = b'O:3:"Run":1:{s:4:"path";s:6:"/tmp/x";}'
JAVA = bytes.fromhex("aced00057372") + b"\0\x11java.util.HashMap"


@pytest.mark.parametrize("kind", ["pickle", "php", "java"])
def test_cve_2021_33026(server, client, directory, kind):
    """In the place of a record it is a damaged one; as a value it is bytes like others."""
    ran = server.writable / "ran"
    payload = {"pickle": pickle.dumps(Run(str(ran))), "php": PHP, "java": JAVA}[kind]
    before = records(directory)
    client.results("set=a:1")
    (record,) = records(directory) - before
    head, end = record.read_bytes(), record.stat()
    for content in (payload, head[:64] + payload):
        record.write_bytes(content)
        os.utime(record, ns=(end.st_atime_ns, end.st_mtime_ns))
        assert client.results("get=a", "load") == ["-", "NOTFOUND"]
        server.logged(DAMAGED)
    fresh = server.client()
    value = "".join(f"%{b:02x}" for b in payload)
    fresh.results(f"setn=a:{value}")
    assert fresh.results("getn=a") == ["=" + payload.hex()]
    assert not ran.exists()


def test_the_payload_would_have_run(server):
    """Had anybody unpickled it."""
    ran = server.writable / "ran"
    pickle.loads(pickle.dumps(Run(str(ran))))
    wait_until(ran.exists, "it to run")
    ran.unlink()
