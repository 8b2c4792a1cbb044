"""Requests of one session at the same time."""

import concurrent.futures
import threading

import pytest

from doubles import Gate
from httpd import on


def prepare(server):
    server.script("incr", "printf 'Content-Type: text/plain\\nBSession-Incr: n=1\\n\\n'\n")


@pytest.fixture(scope="module")
def server(start):
    return start(on("BSessionWriteBack On"), prepare=prepare)


def both(*jobs):
    """Runs them at once; their results."""
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        return [f.result() for f in [pool.submit(job) for job in jobs]]


def test_both_writers_win_always(server, client, build):
    """1000 rounds of two parallel requests on one session, each setting its own key: both are there."""
    client.results("set=start:1")
    clients = [server.client(keep=True) for _ in range(2)]
    rounds = 300 if build.asan else 1000
    start = threading.Barrier(2)

    def write(which):
        c = clients[which]
        c.jar = dict(client.jar)
        for i in range(rounds):
            start.wait(30)
            assert c.results(f"set=k{which}:{i}") == ["ok"]
            start.wait(30)
            # both have answered: each sees both
            assert c.results("get=k0", "get=k1") == [f"={i}", f"={i}"]
            start.wait(30)
    both(lambda: write(0), lambda: write(1))
    for c in clients:
        c.close()


def test_unset_and_set_of_other_keys(server, client):
    for i in range(50):
        client.results("set=old:1")
        one, two = client.twin(), client.twin()
        both(lambda: one.results("unset=old"), lambda: two.results(f"set=new:{i}"))
        assert client.results("get=old", "get=new") == ["-", f"={i}"]


def test_no_step_is_lost(server, client):
    """8 clients x 100 increments: exactly 800 more (P40 without a lock)."""
    client.results("set=n:5")

    def climb():
        c = client.twin()
        c.keep = True
        for _ in range(100):
            assert c.results("incr=n:1")[0].startswith("=")
        c.close()
    both(*[climb] * 8)
    assert client.results("get=n") == ["=805"]


def test_no_step_is_lost_through_write_back(server, client, full):
    """The same by BSession-Incr, as an application without a line of C says it."""
    client.results("set=n:5")
    rounds = 100 if full else 10

    def climb():
        c = client.twin()
        for _ in range(rounds):
            assert c.get("/cgi/incr").status == 200
    both(*[climb] * 8)
    assert client.results("get=n") == [f"={5 + 8 * rounds}"]


def test_a_destroy_in_the_middle_of_a_slow_request(server, client):
    """P34: the slow one's save does not bring it back, and it sends no cookie."""
    client.results("set=a:1")
    for slow in (["get=a", "set=a:2"], ["incr=n:1"], ["rotate", "set=a:2"], ["clear", "set=b:1"], ["get=a"]):
        client.results("set=a:1")
        gate = Gate(server)
        with gate.passing(client.twin(), slow[0], gate.call, *slow[1:]):
            other = client.twin()
            assert other.probe("destroy").results == ["ok"]
        assert gate.answer.status == 200 and gate.answer.cookies == [], slow
        assert client.results("load", "get=a") == ["NOTFOUND", "-"], slow


def test_a_straggler_logs_nobody_out(server, client):
    """A request that began before the login, with the pre-login cookie: it sends no Set-Cookie at all,
    neither new nor deleting, and its changes are dropped."""
    client.results("set=cart:1")
    straggler = client.twin()
    gate = Gate(server)
    with gate.passing(straggler, "get=cart", gate.call, "set=cart:2", "save"):
        assert client.results("set=user:ann", "rotate") == ["ok", "ok"]
    assert gate.answer.cookies == [] and gate.answer.results[-1] == "EGONE"
    assert client.results("get=user", "get=cart") == ["=ann", "=1"]


def test_a_straggler_that_starts_after_the_login(server, client):
    """With the retired token: nothing is read, nothing changed, no cookie."""
    client.results("set=cart:1")
    straggler = client.twin()
    client.results("set=user:ann", "rotate")
    answer = straggler.probe("get=user", "set=cart:2")
    assert answer.cookies == [] and answer.results[0] == "-"
    answer = straggler.probe("destroy")
    assert answer.cookies == []
    assert client.results("get=user", "get=cart") == ["=ann", "=1"]


def test_two_logins_at_once(server, client):
    """Neither becomes the other: who comes second begins a session of their own, without what was in
    the one that the first has taken over."""
    client.results("set=a:1")
    one, two = client.twin(), client.twin()
    gate = Gate(server)
    with gate.passing(one, "rotate", gate.call, "set=user:ann"):
        assert two.results("rotate", "set=user:bob") == ["ok", "ok"]
    assert gate.answer.status == 200
    assert one.token != two.token
    assert two.results("get=user", "get=a") == ["=bob", "=1"]
    assert one.results("get=user", "get=a") == ["=ann", "-"]


def test_a_lost_login_answer(server, client):
    """The client never saw the answer: it comes again with the old token, and can log in."""
    client.results("set=a:1")
    lost = client.twin()
    lost.probe("set=user:ann", "rotate", "set=user:ann")
    answer = client.probe("set=user:ann", "rotate")
    assert answer.status == 200 and len(answer.cookies) == 1
    assert client.results("get=user") == ["=ann"]


def test_creations_do_not_meet(server):
    """Visitors that come at once have sessions of their own."""
    def visit(i):
        c = server.client()
        assert c.results(f"set=me:{i}") == ["ok"]
        return c.token, c.results("get=me")
    found = both(*[lambda i=i: visit(i) for i in range(24)])
    assert len({token for token, _ in found}) == 24
    assert [me for _, me in found] == [[f"={i}"] for i in range(24)]
