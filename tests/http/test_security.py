"""Lines of the checklist in docs/security.md that no other file has: what a cookie cannot say, what a stolen
store is worth, and what strangers cost."""

import base64
import time

import pytest

from client import raw
from doubles import Fault, wait_until
from httpd import on

SECRET = "BSessionSecret 0123456789abcdef-0123456789abcdef-of-a-test\n"


def prepare(server):
    server.fault = Fault(server.writable / "fault")
    server.document("page.html", "a page\n")
    server.document("guarded.html", "nobody comes here\n")
    server.script("env", "cat >/dev/null\nprintf 'Content-Type: text/plain\\n\\n'\nenv\n")


CONFIG = "BSessionStore default fault:memory: control={w}/fault size=8M\n" + on("BSessionEnv All", "BSessionWriteBack On") + """
BSessionStore files file:{dir}/sessions
<Location /files>
    SetHandler bsession-probe
    BSessionUse files
    BSessionCookie filesid Secure=Off
</Location>
<Location /idle>
    SetHandler bsession-probe
    BSessionCookie idlesid Secure=Off Lifetime=30d
    BSessionIdleTimeout 1s
</Location>
<Location /absolute>
    SetHandler bsession-probe
    BSessionCookie absolutesid Secure=Off Lifetime=30d
    BSessionIdleTimeout 60s
    BSessionAbsoluteTimeout 1s
</Location>
<Location /guarded.html>
    Require bsession user
</Location>
RewriteEngine On
RewriteCond expr "bsession('banned') == 'yes'"
RewriteRule ^ - [F]
"""


@pytest.fixture(scope="module")
def server(start):
    return start(CONFIG, mods=["rewrite"], prepare=prepare)


@pytest.fixture(scope="module")
def secretive(start):
    return start(SECRET + CONFIG, mods=["rewrite"], prepare=prepare)


@pytest.fixture(autouse=True)
def guesses_are_said(server, secretive):
    """Strangers come from one address here, of which the log says so once they are many."""
    for each in server, secretive:
        each.expect("session tokens that open nothing came from 127.0.0.1")


# -- lives

@pytest.mark.parametrize("at", ["/idle", "/absolute"])
def test_a_life_is_the_servers(server, client, at):
    """Whatever a client does to its cookie's life, which says 30 days to begin with: that is the browser's.
    What ends is in the record, and a token holds no time."""
    name = at[1:] + "sid"
    answer = client.probe("set=a:1", at=at)
    assert "Max-Age=2592000" in answer.cookies[0]
    token = client.jar[name]
    # to ask prolongs the idle time, once more
    end = int(client.results("expires", at=at)[0]) + 1_500_000
    wait_until(lambda: time.time() * 1e6 > end, "its end")
    for cookie in (f"{name}={token}", f"{name}={token}; Max-Age=2592000", f"$Version=1; {name}={token}; $Path=/",
                   f'{name}="{token}"', f"{name}={token}; {name}={token}; expires=Fri, 31 Dec 2049 23:59:59 GMT"):
        assert client.results("load", "get=a", at=at, headers={"Cookie": cookie}) == ["NOTFOUND", "-"], cookie
    assert server.client().results("set=a:1", at=at, headers={"Cookie": f"{name}={token}"}) == ["ok"]
    assert client.results("load", at=at, headers={"Cookie": f"{name}={token}"}) == ["NOTFOUND"]


def test_a_planted_session_is_left_behind_at_the_login(server):
    """Fixation with a session that exists: what its maker holds opens nothing after the victim's login, and
    what he does with it ends or changes nothing."""
    attacker, victim = server.client(), server.client()
    attacker.results("set=cart:1")
    victim.jar = dict(attacker.jar)
    victim.results("set=user:ann", "rotate")
    assert victim.token != attacker.token
    answer = attacker.probe("get=user", "set=user:eve", "destroy")
    assert answer.results[0] == "-" and answer.cookies == []
    assert victim.results("get=user", "get=cart") == ["=ann", "=1"]


# -- a stolen store

def tokens_of(content, selector):
    """All that anybody could try: each sixteen bytes of a record as the verifier, or its digest's neighbours."""
    for at in range(len(content) - 15):
        yield base64.urlsafe_b64encode(selector + content[at:at + 16]).decode().rstrip("=")


def test_nobody_makes_a_cookie_from_a_store(server, client):
    """A record has a digest of what opens it. Beside it nothing in it, and nothing in its name, does."""
    client.results("set=user:ann", at="/files")
    path, = [p for p in (server.dir / "sessions").rglob("s*") if p.is_file()]
    token = client.jar["filesid"]
    whole = base64.urlsafe_b64decode(token + "=")
    content = path.read_bytes()
    assert path.name == "s" + whole[:16].hex()
    assert token.encode() not in content and whole[16:] not in content and whole[16:].hex().encode() not in content
    server.expect("session tokens that open nothing came from 127.0.0.1")
    thief = server.client(keep=True)
    for forged in tokens_of(content, whole[:16]):
        thief.jar = {"filesid": forged}
        assert thief.results("load", at="/files") == ["NOTFOUND"], forged
    thief.close()
    assert client.results("get=user", at="/files") == ["=ann"]


# -- floods

def strangers():
    return [lambda c: c.get("/page.html"), lambda c: c.get("/cgi/env"), lambda c: c.get("/missing"),
            lambda c: c.get("/probe?get=a&has=b&unset=c&destroy&touch&rotate"), lambda c: c.request("HEAD", "/cgi/env"),
            lambda c: c.get("/guarded.html"), lambda c: c.request("POST", "/cgi/env", body="a=1"),
            lambda c: c.get("/cgi/env", headers={"Cookie": "x=1; bsessio=2; bsession2=3"})]


def test_a_crawler_makes_no_record(server):
    """Without a cookie nobody asks the store, whatever is asked for, and nobody gets a cookie."""
    server.expect("AH01630")            # whom Require bsession denies
    before = server.fault.calls()
    for _ in range(20):
        for ask in strangers():
            crawler = server.client()
            answer = ask(crawler)
            assert answer.status in (200, 403, 404) and answer.cookies == [], answer
    assert server.fault.calls() == before


def forgeries(token):
    """Random ones of both forms, and altered ones."""
    for i in range(30):
        digest = base64.urlsafe_b64encode(bytes((i * 37 + j * 11) % 256 for j in range(48))).decode()
        yield digest
        yield digest[:42] + "A"
    for at in range(0, len(token) - 1, 3):
        yield token[:at] + ("A" if token[at] != "A" else "Q") + token[at + 1:]


def test_a_flood_of_forged_tokens_reaches_no_store(secretive):
    """With a secret: each is seen to be forged by its MAC."""
    server, client = secretive, secretive.client()
    client.results("set=a:1")
    server.expect("session tokens that open nothing came from 127.0.0.1")
    before = server.fault.calls()
    for token in forgeries(client.token):
        for ask in strangers()[:4] if token.endswith("A") else strangers()[1:2]:
            stranger = server.client()
            stranger.jar = {"bsession": token}
            assert ask(stranger).status in (200, 404)
    assert server.fault.calls() == before
    assert client.results("get=a") == ["=1"] and server.fault.calls() == before + 1


def test_without_a_secret_each_is_one_look(server, client):
    """And makes no record: nothing but loads."""
    client.results("set=a:1")
    server.expect("session tokens that open nothing came from 127.0.0.1")
    loads, all_calls = server.fault.calls("load"), server.fault.calls()
    count = 0
    for token in forgeries(client.token):
        stranger = server.client()
        stranger.jar = {"bsession": token}
        assert stranger.results("load", "get=a") == ["NOTFOUND", "-"]
        count += len(token) == 43
    assert server.fault.calls("load") - loads == server.fault.calls() - all_calls == count


def test_eight_kilobytes_of_cookies(server):
    """Of all that a header can hold two are looked up."""
    before = server.fault.calls()
    cookie = "; ".join("bsession=" + base64.urlsafe_b64encode(bytes([i] * 31 + [0])).decode()[:43] for i in range(140))
    answer = raw(server, f"GET /probe?load HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n".encode())
    assert b"load NOTFOUND" in answer
    assert server.fault.calls() == before + 2
