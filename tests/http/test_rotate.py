"""BSessionRotate: a token is replaced from time to time, and what the ones before are worth then. The rules
are tested in tests/unit/test_session_rotate.c and its neighbours; here are real clients.

All places have the same session. One rotates what is older than a second; which grace a replaced token
has is said by the place where the new one comes first. So nothing here waits but for that second."""

import concurrent.futures
import threading

import pytest

from client import h2
from doubles import Fault, Gate, wait_until
from httpd import on

PLACE = """
<Location /%s>
    SetHandler bsession-probe
    %s
</Location>
"""
STOLEN = r"bsession:warn.*may be stolen"


def prepare(server):
    server.document("page/page.html", "a page\n")
    server.document("page/sorry.html", "not here\n")
    server.document("page/ssi.shtml", '<!--#include virtual="/page/page.html" -->\n'
                                      '<!--#include virtual="/old/probe?get=a" -->\n')


@pytest.fixture(scope="module")
def server(start):
    places = [("old", "BSessionRotate 1s grace=1h"),
              ("again", "BSessionRotate 1s grace=0"),
              ("here", "BSessionRotate 400d grace=0"),
              ("end", "BSessionRotate 400d grace=0 reuse=revoke"),
              ("reader", "BSession ReadOnly\nBSessionRotate 1s grace=1h"),
              ("passive", "BSession Passive\nBSessionIdleTimeout 10h\nBSessionRotate 1s grace=1h")]
    return start("Protocols h2c http/1.1\n" + on("BSessionIdleTimeout 1h") + "".join(PLACE % p for p in places) + """
<Location /page>
    BSessionRotate 1s grace=1h
    BSessionEnv All
    ErrorDocument 404 /page/sorry.html
    AddOutputFilter INCLUDES .shtml
    Options +Includes
</Location>
<Location /follow>
    SetHandler bsession-probe
    BSessionCookie follow Secure=Off Lifetime=idle
    BSessionIdleTimeout 3s
    BSessionRotate 1s grace=1h
</Location>
""", mods=["http2", "include"], prepare=prepare)


@pytest.fixture
def client(server):
    """Who has a session."""
    client = server.client()
    assert client.results("set=a:1", "set=n:0") == ["ok", "ok"]
    return client


def rotated(client, get=None):
    """The answer that brings the new token."""
    get = get or (lambda: client.probe("get=a", at="/old"))
    answer = wait_until(lambda: (lambda a: a if a.cookies else None)(get()), "a rotation")
    assert len(answer.cookies) == 1 and answer.header("Cache-Control") == "no-store", answer
    return answer


def stale(client):
    """Rotates; the new token has come, and the grace of the old one, which is returned, is over."""
    old = client.twin()
    assert rotated(client).results == ["=1"]
    assert client.results("get=a", at="/here") == ["=1"]
    return old


def at_once(jobs):
    """All begin together; what they return."""
    start = threading.Barrier(len(jobs))

    def run(job):
        start.wait(30)
        return job()
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        return [f.result() for f in [pool.submit(run, job) for job in jobs]]


def test_a_new_token_for_the_same_session(server, client):
    old, tag = client.twin(), client.results("tag")
    answer = rotated(client)
    assert answer.results == ["=1"] and client.token != old.token
    assert client.results("tag", "get=a") == [*tag, "=1"]
    # the one before reads and writes the same session, and gets no other one
    answer = old.probe("get=a", "set=b:2", at="/old")
    assert answer.results == ["=1", "ok"] and answer.cookies == []
    assert client.results("get=b", at="/old") == ["=2"]


def test_where_it_is_off_tokens_stay(client):
    token = client.token
    rotated(client.twin())
    assert client.probe("get=a").cookies == [] and client.token == token


def test_requests_in_parallel_get_one_new_token(server, client):
    """All under the old cookie, for as long as it takes; exactly one is given a new one, and no increment is
    lost."""
    done = threading.Event()
    cookies, steps = [], []

    def climb():
        c = client.twin()
        token = c.token
        for i in range(400):
            c.jar["bsession"] = token
            answer = c.probe("incr=n:1", "get=a", at="/old")
            assert answer.status == 200 and answer.results[1] == "=1", answer
            steps.append(1)
            if answer.cookies:
                cookies.extend(answer.cookies)
                done.set()
            elif done.is_set() and i > 20:
                return
            done.wait(0.02)
    at_once([climb] * 8)
    assert len(cookies) == 1, cookies
    assert client.results("get=n") == [f"={len(steps)}"]


def test_requests_of_http2_in_parallel(server, client):
    rotated(client, lambda: h2(server, "/old?get=a", client.token))
    answers = at_once([lambda: h2(server, "/old?get=a", client.token)] * 6)
    assert all(a.results == ["=1"] and a.cookies == [] for a in answers)


def test_a_change_in_flight(server, client):
    """It was loaded under the old token, the rotation comes, and both stay."""
    gate = Gate(server)
    with gate.passing(client.twin(), "get=a", gate.call, "set=b:2"):
        rotated(client)
        assert client.results("set=c:3", at="/here") == ["ok"]       # and the grace is over, too
    assert gate.answer.results[-1] == "ok" and gate.answer.cookies == []
    assert client.results("get=b", "get=c") == ["=2", "=3"]


def test_a_lost_answer(client):
    """The client never saw the new token: it comes again with the old one, and is given another."""
    lost = client.twin()
    assert rotated(lost, lambda: lost.probe("get=a", at="/again")).results == ["=1"]
    assert rotated(client, lambda: client.probe("get=a", at="/again")).results == ["=1"]
    assert client.token != lost.token
    for _ in range(3):
        assert client.results("get=a") == ["=1"]
        assert lost.results("get=a") == ["=1"]       # it was late, and not lost


def test_all_answers_are_lost(client):
    token = client.token
    for _ in range(6):
        client.jar["bsession"] = token
        assert rotated(client, lambda: client.probe("get=a", at="/again")).results == ["=1"]
    assert client.results("get=a") == ["=1"]


def test_a_copy_is_logged(server, client):
    """Who comes with a replaced token after the grace has no session. No cookie is set or deleted: it may
    be a request of the visitor's own that was under way."""
    thief = stale(client)
    answer = thief.probe("get=a", "set=a:thief", at="/old")
    assert answer.results[0] == "-" and answer.cookies == []
    assert server.logged(STOLEN).count(client.results("tag")[0]) == 1
    assert client.results("get=a", at="/old") == ["=1"]


def test_a_copy_ends_the_session(server, client):
    thief = stale(client)
    answer = thief.probe("get=a", at="/end")
    assert answer.results == ["-"] and answer.cookies == []
    assert "it is ended" in server.logged(STOLEN)
    assert client.results("load", "get=a") == ["NOTFOUND", "-"]
    assert client.results("set=a:2") == ["ok"] and client.results("get=a") == ["=2"]


def test_a_token_from_before_a_login_raises_no_alarm(client):
    """Neither the one that the login replaced nor one that had been replaced before: somebody may have
    planted them. (Any line in the log fails this test.)"""
    older = stale(client)
    before = client.twin()
    assert client.results("rotate", "set=user:ann") == ["ok", "ok"]
    for planted in older, before:
        for at in "/end", "/old", "/probe":
            answer = planted.probe("get=user", at=at)
            assert answer.results == ["-"] and answer.cookies == []
    rotated(client)
    for planted in older, before:
        assert planted.results("get=user", at="/end") == ["-"]
    assert client.results("get=user") == ["=ann"]


def test_a_copy_beside_the_good_one_raises_no_alarm(client):
    """A browser that has an old cookie for another path, too."""
    old = stale(client).token
    for tokens in (old, client.token), (client.token, old):
        answer = client.probe("get=a", at="/end", headers={
            "Cookie": "; ".join(f"bsession={t}" for t in tokens)})
        assert answer.results == ["=1"]
    assert client.results("get=a") == ["=1"]


def test_outside_of_requests(client):
    """`open` knows good tokens and no others, raises no alarm, and makes no new one."""
    old = client.token
    assert client.results(f"open=-/{old}/get=a") == ["=1;ok"]
    stale(client)
    assert client.results(f"open=-/{old}/load", at="/end") == ["NOTFOUND;ok"]
    assert client.results(f"open=-/{client.token}/get=a") == ["=1;ok"]
    assert client.results("get=a") == ["=1"]


@pytest.mark.parametrize("place", ["reader", "passive"])
def test_a_place_that_changes_nothing_rotates_all_the_same(client, place):
    old = client.twin()
    assert rotated(client, lambda: client.probe("get=a", at=f"/{place}")).results == ["=1"]
    assert client.results("get=a", "get=n", at=f"/{place}") == ["=1", "=0"]
    assert old.results("get=a") == ["=1"]


def test_a_rotation_where_polling_prolongs_nothing(client):
    ends = int(client.results("expires")[0])
    rotated(client, lambda: client.probe("get=a", at="/passive"))
    # it would be nine hours more; and a store that counts what is left of a life tells it by about a moment
    assert int(client.results("expires", at="/passive")[0]) - ends < 60e6


@pytest.mark.parametrize("path, status", [("page.html", 200), ("missing", 404), ("ssi.shtml", 200)])
def test_every_kind_of_answer(client, path, status):
    old = client.twin()
    answer = rotated(client, lambda: client.get(f"/page/{path}"))
    assert answer.status == status
    again = client.get(f"/page/{path}")
    assert client.results("get=a") == ["=1"] and len(again.cookies) <= 1
    assert old.get(f"/page/{path}").cookies == []


def test_not_modified(server, client):
    tag = client.get("/page/page.html").header("ETag")
    answer = rotated(client, lambda: client.get("/page/page.html", headers={"If-None-Match": tag}))
    assert answer.status == 304
    assert client.results("get=a") == ["=1"]


def test_the_renewal_of_a_cookie_has_the_new_token(server):
    """Lifetime=idle: as long as it is used both lives go on, and one Set-Cookie at most says so."""
    client = server.client()
    client.results("set=a:1", at="/follow")
    tokens, first = {client.jar["follow"]}, client.results("expires", at="/follow")[0]

    def used():
        answer = client.probe("get=a", "expires", at="/follow")
        assert answer.results[0] == "=1" and len(answer.cookies) <= 1
        tokens.add(client.jar["follow"])
        return len(tokens) > 3 and answer.results[1] > first
    wait_until(used, "three rotations")


def test_a_store_that_fails_costs_a_reader_nothing(start):
    """The answer goes out as it is, and the next request rotates."""
    server = start("BSessionStore default fault:memory: control={w}/fault size=8M timeout=5s breaker=off\n"
                   + on("BSessionOnOutage deny") + PLACE % ("old", "BSessionRotate 1s grace=1h"),
                   prepare=lambda s: setattr(s, "fault", Fault(s.writable / "fault")))
    client = server.client()
    client.results("set=a:1")
    old = client.twin()
    server.expect(r"bsession:(error|warn|notice|info)")
    for mode in "fail", "nospace", "lost":
        tried = server.fault.calls("replace")
        server.fault.set(mode, "replace")

        def asked():
            answer = client.probe("get=a", at="/old")
            assert (answer.status, answer.results, answer.cookies) == (200, ["=1"], [])
            return server.fault.calls("replace") > tried
        wait_until(asked, "a rotation that is tried")
        server.fault.clear()
        assert client.results("get=a") == ["=1"]
        assert old.results("get=a") == ["=1"]


def test_a_session_that_moves(start):
    """BSessionMigrateFrom: a rotation moves the session, and what was replaced before is good there, too."""
    server = start("BSessionStore default memory: size=8M\nBSessionStore before memory: size=8M\n"
                   + on("BSessionMigrateFrom before")
                   + PLACE % ("before", "BSessionUse before\nBSessionMigrateFrom Off\nBSessionRotate 1s grace=1h")
                   + PLACE % ("old", "BSessionRotate 1s grace=1h"))
    client = server.client()
    client.results("set=a:1", at="/before")
    old = client.twin()
    rotated(client, lambda: client.probe("get=a", at="/before"))
    assert old.results("get=a") == ["=1"]                            # read where it is
    assert rotated(client).results == ["=1"]
    assert client.results("load", at="/before") == ["NOTFOUND"]
    assert client.results("get=a") == ["=1"] and old.results("get=a") == ["=1"]


def test_a_token_of_an_older_secret(start):
    """Also where BSessionRotate is Off: the first use replaces it, as a timed rotation does, and then the old
    secret can go."""
    old, new = "an old secret that is long enough to be one", "a new secret that is long enough to be one"

    def secrets(*words):
        (server.dir / "words").write_text("BSessionSecret " + " ".join(f'"{w}"' for w in words) + "\n")
    server = start(on() + "Include {dir}/words\n",
                   prepare=lambda s: (s.dir / "words").write_text(f'BSessionSecret "{old}"\n'))
    client = server.client()
    client.results("set=a:1")
    assert client.probe("get=a").cookies == []
    before = client.twin()
    secrets(new, old)
    server.graceful()
    answer = client.probe("get=a")
    assert answer.results == ["=1"] and len(answer.cookies) == 1
    answer = before.probe("get=a")
    assert answer.results == ["=1"] and answer.cookies == []
    assert client.probe("get=a").cookies == []
    secrets(new)
    server.graceful()
    assert client.results("get=a") == ["=1"]
    assert before.results("get=a") == ["-"]
