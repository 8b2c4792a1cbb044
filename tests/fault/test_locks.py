"""Who holds a session's lock dies, sleeps or loses the store; and servers that know nothing of each other
but one store."""

import concurrent.futures
import contextlib
import http.client
import os
import re
import signal

import pytest

import file_directory
from client import Client
from doubles import Fault, Gate, wait_until
from httpd import on
from places import ONE_CHILD
from redis_server import Redis

KILLED = [r"AH00052: child pid \d+ exit signal Killed", r"core:notice"]
LOST = r"bsession:warn.* session [0-9a-f]{12}: its lock ended before this request did.*Raise lease="
IN_VAIN = r"bsession:(warn|info).* session [0-9a-f]{12}: another request has its lock"
BROKEN_OFF = (OSError, http.client.HTTPException)

# the end of a short lease is waited for; that of a long one never comes
LOCKS = on("BSessionLock On wait=120s lease=600s") + """
<Location /short>
    SetHandler bsession-probe
    BSessionLock On wait=120s lease=1s
</Location>
<Location /vain>
    SetHandler bsession-probe
    BSessionLock On wait=0 lease=600s
</Location>
"""


def begin(server):
    visitor = server.client()
    visitor.results("set=n:5")
    return visitor


def as_at(server, visitor):
    """The same visitor, at another server."""
    other = Client(server)
    other.jar = dict(visitor.jar)
    return other


def in_vain(visitor):
    answer = visitor.probe("get=n", at="/vain")
    return answer.status == 503 and answer.all("Set-Cookie") == []


@pytest.fixture(params=["redis", "file"])
def shared(request):
    """The words of a store that several servers use."""
    if request.param == "redis":
        one = Redis()
        words = one.tcp
    else:
        one, words = file_directory.start_as(None)
    yield words
    one.stop()


@pytest.fixture
def pair(start, shared):
    """Two servers, which end before their store does."""
    servers = [start(f"BSessionStore default {shared}\n" + LOCKS, mpm_config=ONE_CHILD) for _ in range(2)]
    yield servers
    for server in servers:
        server.stop()


# -- two servers

def test_two_servers_exclude_each_other(pair):
    one, two = pair
    two.expect(IN_VAIN)
    visitor = begin(one)
    gate = Gate(one)
    with gate.passing(visitor.twin(), "get=n", gate.call, "set=n:6"):
        assert in_vain(as_at(two, visitor))
    assert as_at(two, visitor).results("get=n", at="/vain") == ["=6"]


def test_five_clients_at_two_servers(pair):
    """P40, with no memory in common: exactly 150 more."""
    visitor = begin(pair[0])

    def climb(server):
        c = as_at(server, visitor)
        c.keep = True
        for _ in range(30):
            c.results("climb=n", timeout=150)
        c.close()
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        for done in [pool.submit(climb, pair[i % 2]) for i in range(5)]:
            done.result()
    assert visitor.results("get=n") == ["=155"]


# -- who has it does not come back, or too late

def kill_children(server):
    for pid in server.children():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_the_holder_is_killed(start):
    """Its lease ends by itself, and not before."""
    server = start("BSessionStore default memory:\n" + LOCKS, mpm_config=ONE_CHILD, cgi="cgi")
    server.expect(*KILLED, IN_VAIN)
    for at in "/short", "/probe":
        visitor = begin(server)
        gate = Gate(server)
        with pytest.raises(BROKEN_OFF):
            with gate.passing(visitor.twin(), "get=n", gate.call, "set=n:9", at=at):
                kill_children(server)
                wait_until(lambda: answers(server), "a new child")
                if at == "/probe":
                    assert in_vain(visitor)
                else:
                    assert visitor.results("get=n", timeout=150) == ["=5"]
                    assert visitor.results("climb=n", at="/vain") == ["=6"]


def answers(server):
    try:
        return server.client().get("/index.html").status == 200
    except BROKEN_OFF:
        return False


def test_the_holder_is_stopped_past_its_lease(pair):
    """The fence: another one has the session by now, and what the first one would write is not written."""
    one, two = pair
    one.expect(LOST)
    visitor = begin(one)
    for calls in (["set=n:9"], ["destroy"], ["rotate", "set=n:9"], ["incr=n:100"]):
        [child] = one.children()[:1]
        gate = Gate(one)
        with gate.passing(visitor.twin(), "get=n", gate.call, *calls, at="/short"):
            before = visitor_reads(two, visitor)
            os.kill(child, signal.SIGSTOP)
            try:
                other = as_at(two, visitor)
                assert other.results("climb=n", timeout=150) == [f"={before + 1}"]
                gate.path.touch()
            finally:
                os.kill(child, signal.SIGCONT)
        assert gate.answer.status == 503 and gate.answer.all("Set-Cookie") == [], calls
        one.logged(LOST)
        assert visitor_reads(two, visitor) == before + 1


def visitor_reads(server, visitor):
    """Once nobody has it any more."""
    return int(as_at(server, visitor).results("get=n", timeout=150)[0][1:])


# -- the store

@pytest.fixture
def failing(start):
    def prepare(server):
        server.fault = Fault(server.writable / "fault")
    server = start("BSessionStore default fault:memory: control={w}/fault breaker=off\n" + LOCKS, prepare=prepare)
    server.expect("store default: ")
    return server


def test_an_outage_while_one_waits(failing):
    """That is what it is told, and it waits no longer."""
    visitor = begin(failing)
    gate = Gate(failing)
    with gate.passing(visitor.twin(), "get=n", gate.call):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            before = failing.fault.calls("create")
            waiting = pool.submit(lambda: visitor.twin().probe("get=n", timeout=150))
            wait_until(lambda: failing.fault.calls("create") > before + 2, "the request to wait")
            failing.fault.set("fail", "create")
            assert waiting.result().status == 503
        failing.fault.clear()
    assert not re.search(IN_VAIN, failing.log())
    assert visitor.results("get=n", at="/vain") == ["=5"]


def test_nobody_is_locked_out_by_an_answer_that_was_lost(failing):
    """It may have been done; who asked gives it back, whatever it is."""
    failing.expect(IN_VAIN)
    for verb in "create", "load":
        visitor = begin(failing)
        failing.fault.set("lost", verb, times=1)
        assert visitor.probe("get=n").status == 503
        wait_until(lambda: visitor.probe("get=n", at="/vain").status == 200, "the lock to be given back")


def test_an_outage_at_the_save(failing):
    failing.expect(IN_VAIN)
    visitor = begin(failing)
    failing.fault.set("fail", "replace", times=1)
    assert visitor.probe("set=n:6").status == 503
    wait_until(lambda: visitor.probe("get=n", at="/vain").status == 200, "the lock to be given back")
    assert visitor.results("get=n") == ["=5"]


def test_a_release_that_fails(failing):
    """The answer is good, and the lease ends by itself."""
    failing.expect(IN_VAIN)
    visitor = begin(failing)
    failing.fault.set("fail", "remove")
    assert visitor.results("set=n:6", at="/short") == ["ok"]
    failing.fault.clear()
    assert visitor.results("get=n", timeout=150) == ["=6"]


def test_what_it_costs(failing):
    """Three calls more: create, load once more, remove."""
    visitor = begin(failing)

    def cost(*calls):
        before = [failing.fault.calls(v) for v in Fault.VERBS]
        visitor.results(*calls)
        return {v: now - was for v, was, now in
                zip(Fault.VERBS, before, [failing.fault.calls(v) for v in Fault.VERBS]) if now != was}
    assert cost("get=n") == {"load": 2, "create": 1, "remove": 1}
    assert cost("set=n:7") == {"load": 2, "create": 1, "replace": 1, "remove": 1}
