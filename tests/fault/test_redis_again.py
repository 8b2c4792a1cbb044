"""What is asked again where another server may have taken over, and what never is: a Sentinel that names one server,
and a proxy before that, which refuses and loses what the test wants."""

import time

import pytest

from doubles import Gate, wait_until
from httpd import on
from places import ONE_CHILD
from redis_lagging import Lagging
from redis_proxy import Answer, Drop, Proxy, Refuse, Swallow
from redis_server import Redis

SAVE, LOAD, ROLE = b"EVALSHA", b"HGETALL", b"ROLE"
NOT_NOW = [b"TRYAGAIN Multiple keys", b"CLUSTERDOWN The cluster is down", b"LOADING Redis is loading", b"READONLY",
           b"MASTERDOWN Link with MASTER is down", b"NOREPLICAS Not enough good replicas", b"MOVED 1 127.0.0.1:1",
           b"ERR Error running script: -READONLY You can't write"]
PATIENT = "timeout=20s connect_timeout=10s"
NEVER = [b"ERR what", b"OOM command not allowed", b"NOPERM this user", b"TRYAGAINST", b"BUSY Redis is busy"]


@pytest.fixture(scope="module")
def redis():
    one = Redis()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def wire(redis):
    one = Proxy(redis.ports[0])
    yield one
    one.close()


@pytest.fixture(scope="module")
def server(start, wire):
    """`copied` waits for a replica. One child, so that the connection that one request leaves is the next one's."""
    sentinel = Lagging()
    sentinel.names = wire.port
    words = f"redis://127.0.0.1:{sentinel.port} sentinel=any breaker=off"
    one = start(f"BSessionStore default {words} {PATIENT}\nBSessionStore hasty {words} timeout=2s\n"
                f"BSessionStore copied {words} prefix=bs:copied: replicas=1 timeout=4s\n"
                f"BSessionStore alone redis://127.0.0.1:{wire.port} prefix=bs:alone: {PATIENT} breaker=off\n"
                f"BSessionStore locked {words} prefix=bs:locked: password=wrong timeout=2s\n" + on() + "".join(f"""
<Location /{name}>
    SetHandler bsession-probe
    BSessionUse {name}
    BSessionCookie {cookie} Secure=Off
</Location>
""" for name, cookie in dict(hasty="bsession", copied="copied", alone="alone", locked="locked").items()), mpm_config=ONE_CHILD)
    one.expect("BSessionStore locked: cannot be asked yet")
    teach(one)
    yield one
    sentinel.close()


def teach(server):
    """From here on Redis knows each script."""
    assert server.client().results("set=a:1", "save", "set=a:2", "save", "touch", "destroy")[-1] == "ok"


@pytest.fixture(autouse=True)
def whole(redis, wire, server, quiet_logs):
    redis("FLUSHALL")
    wire.clear()
    server.expect("store (default|hasty|copied|alone|locked): (load|save|remove|touch) failed")
    yield
    wire.rules = []
    assert "exit signal" not in server.log()


@pytest.fixture
def visitor(server, wire):
    one = server.client()
    assert one.results("set=a:1", "set=b:2", "incr=n:1") == ["ok", "ok", "=1"]
    wire.clear()
    return one


def look_is_due():
    """Looks for the master are some milliseconds apart."""
    soon = time.monotonic() + 0.1
    wait_until(lambda: time.monotonic() > soon, "another look to be due")


def refused(answer):
    return answer.status == 503 and answer.all("Set-Cookie") == []


# -- refused by the server

@pytest.mark.parametrize("error", NOT_NOW, ids=lambda e: e.decode()[:12])
@pytest.mark.parametrize("times", [1, 4])
def test_what_a_server_refuses_for_now_is_asked_again(wire, visitor, error, times):
    """Nothing was done: also an increment, and a whole."""
    for match, calls, results in ((LOAD, ["get=a"], ["=1"]), (SAVE, ["incr=n:1"], ["=2"]), (SAVE, ["set=a:9"], ["ok"]),
                                  (SAVE, ["rotate", "incr=n:1"], ["ok", "=3"]), (SAVE, ["destroy"], ["ok"])):
        wire.clear()
        for _ in range(times):
            wire.once(match, Refuse(error))
        assert visitor.results(*calls) == results
        assert wire.rules == [] and wire.count(match) == times + 1


@pytest.mark.parametrize("error", NEVER, ids=lambda e: e.decode()[:12])
def test_what_it_refuses_for_good_is_not(wire, visitor, error):
    for match, calls in (LOAD, ["get=a"]), (SAVE, ["set=a:9"]), (SAVE, ["incr=n:1"]):
        wire.clear()
        wire.once(match, Refuse(error))
        assert refused(visitor.probe(*calls)) and wire.count(match) == 1
    assert visitor.results("get=a", "get=n") == ["=1", "=1"]


@pytest.mark.parametrize("error", [e for e in NOT_NOW[:6] if e != b"READONLY"], ids=lambda e: e.decode()[:12])
def test_a_server_that_is_alone_is_asked_once(server, wire, error):
    """There is nobody else: by the time it may be ready the visitor has gone."""
    at = {"at": "/alone"}
    visitor = server.client()
    visitor.results("set=a:1", **at)
    for match, calls in (LOAD, ["get=a"]), (SAVE, ["set=a:9"]):
        wire.clear()
        wire.once(match, Refuse(error))
        assert refused(visitor.probe(*calls, **at)) and wire.count(match) == 1


@pytest.mark.parametrize("times", [1, 2])
def test_a_server_that_is_alone_and_a_replica_is_asked_anew_once(server, wire, times):
    """By a new connection: its name may lead to another server by now."""
    at = {"at": "/alone"}
    visitor = server.client()
    visitor.results("set=a:1", **at)
    wire.clear()
    for _ in range(times):
        wire.once(SAVE, Refuse(b"READONLY"))
    answer = visitor.probe("set=a:9", **at)
    assert answer.status == 200 if times == 1 else refused(answer)
    assert wire.count(SAVE) == 2


def test_until_the_time_is_up(wire, visitor):
    """And not more often than sense makes."""
    for _ in range(1000):
        wire.once(LOAD, Refuse(b"LOADING"))
    began = time.monotonic()
    assert refused(visitor.probe("get=a", at="/hasty"))
    assert 1.5 < time.monotonic() - began < 15
    assert 1 < wire.count(LOAD) < 60
    wire.rules = []
    assert visitor.results("get=a") == ["=1"]


def test_whom_it_does_not_let_in_is_not_asked_again(server, wire):
    for _ in range(2):
        look_is_due()
        wire.clear()
        assert refused(server.client().probe("set=a:1", at="/locked"))
        assert 1 <= wire.count(b"AUTH") <= 2


def test_refused_and_then_not_sent(wire, visitor):
    """What comes after a refusal begins anew: the increment has not been made yet. The first question for the role
    is the one by which a master is verified."""
    wire.once(SAVE, Refuse(b"READONLY", hang_up=True))
    for _ in range(2):
        wire.once(ROLE, Drop())
    assert visitor.results("incr=n:1") == ["=2"]
    assert wire.rules == [] and wire.count(SAVE) == 2


def test_a_sentinel_that_answers_is_asked_first(start, wire):
    """One that hangs is found out about once, and not by each call."""
    silent, talking = Lagging(), Lagging()
    talking.names = wire.port
    server = start(f"BSessionStore default redis://127.0.0.1:{silent.port},127.0.0.1:{talking.port} sentinel=any "
                   "timeout=6s breaker=off\n" + on(), mpm_config=ONE_CHILD)
    visitor = server.client()
    assert visitor.results("set=a:1") == ["ok"]
    silent_before, before = silent.asked, talking.asked
    for _ in range(3):
        look_is_due()
        wire.once(LOAD, Refuse(b"READONLY"))
        assert visitor.results("get=a") == ["=1"]
    assert talking.asked > before and silent.asked == silent_before
    silent.close(), talking.close()


def test_who_is_named_then(start, redis):
    """Whatever a server has to say, or does not listen any more: its successor is asked within the call, and an
    increment is made once."""
    wires, sentinel = [Proxy(redis.ports[0]), Proxy(redis.ports[0])], Lagging()
    sentinel.names = wires[0].port
    server = start(f"BSessionStore default redis://127.0.0.1:{sentinel.port} sentinel=any {PATIENT} breaker=off\n"
                   + on(), mpm_config=ONE_CHILD)
    visitor, n = server.client(), 0
    for error in NOT_NOW:
        for wire in wires:
            other = wires[wire is wires[0]]
            visitor.results(f"set=a:{n}")
            assert sentinel.names == wire.port and wire.seen
            for _ in range(1000):
                wire.once(b"*", Refuse(error))
            sentinel.names = other.port
            look_is_due()
            assert visitor.results("incr=n:1") == [f"={n + 1}"], error
            assert 1 <= wire.count(LOAD) + wire.count(SAVE) <= 4, error     # it is doubted at once
            n += 1
            wire.rules = []
            wires[0].clear(), wires[1].clear()
    sentinel.names = wires[1].port
    wires[0].close()
    assert visitor.results("incr=n:1") == [f"={n + 1}"]
    wires[1].close()
    sentinel.close()


# -- lost on the way

@pytest.mark.parametrize("action", [Drop, Swallow])
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("times", [1, 3])
def test_what_may_be_asked_again_is(server, wire, redis, visitor, action, fresh, times):
    """A load, the end of a session, and a new one, which knows itself."""
    for match, one, calls, results in (LOAD, visitor, ["get=a"], ["=1"]), (SAVE, server.client(), ["set=c:3"], ["ok"]), \
            (SAVE, visitor, ["destroy"], ["ok"]):
        wire.clear()
        if fresh:
            wire.hang_up()
        for _ in range(times):
            wire.once(match, action())
        assert one.results(*calls) == results
        assert wire.rules == [] and wire.count(match) == times + 1
    assert redis("DBSIZE") == 1


@pytest.mark.parametrize("action", [Drop, Swallow])
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("calls", [["incr=n:1"], ["set=a:9", "incr=n:1"], ["rotate", "set=user:ann"]], ids=" ".join)
def test_what_must_not_be_asked_again_is_not(wire, redis, visitor, action, fresh, calls):
    if fresh:
        wire.hang_up()
    wire.once(SAVE, action())
    assert refused(visitor.probe(*calls)) and wire.count(SAVE) == 1
    if calls[0] != "rotate":
        assert visitor.results("get=n") == ["=2" if action is Swallow else "=1"]


@pytest.mark.parametrize("fresh", [False, True])
def test_changes_are_asked_again_of_what_was_loaded(wire, visitor, fresh):
    """Did they not arrive, they are made; otherwise nobody can tell, and what others have stored since stays."""
    def lost(action, *calls):
        wire.clear()
        if fresh:
            wire.hang_up()
        wire.once(SAVE, action)
        answer = visitor.probe(*calls)
        assert wire.rules == []
        return answer
    assert lost(Drop(), "set=a:9").status == 200
    assert visitor.results("get=a") == ["=9"]
    assert refused(lost(Swallow(), "set=a:8"))
    assert refused(lost(Swallow(lambda: visitor.twin().results("set=other:1")), "clear", "set=a:7"))
    assert visitor.results("get=a", "get=other") == ["=7", "=1"]


@pytest.mark.parametrize("name,found", [("default", True), ("alone", False)])
def test_many_at_once(server, wire, name, found):
    """Where another server may have taken over each is looked for by itself."""
    def cached(*calls):
        return server.client().results(f"cache={name}/things/60000", *calls)[1:]
    assert cached("cset=k:1", "cset=l:2") == ["ok", "ok"]
    everything = cached("cget_many=k,l")
    for _ in range(2):
        wire.once(LOAD, Drop())
    again = cached("cget_many=k,l")
    assert wire.rules == [] and (again == everything) == found


# -- lost before it was sent: the question for the role, which is asked again after a second

def role_is_due():
    until = time.monotonic() + 1.1
    wait_until(lambda: time.monotonic() > until, "the role to be asked for")


def test_what_was_not_sent_is_asked_as_if_nothing_was(server, wire, visitor):
    """An increment, too; and others' changes meanwhile do no harm."""
    gate = Gate(server)
    with gate.passing(visitor, "get=a", gate.call, "set=a:2", "incr=n:1"):
        assert visitor.twin().results("set=other:1") == ["ok"]
        role_is_due()
        wire.clear()
        wire.once(ROLE, Drop())
    assert gate.answer.status == 200 and wire.rules == [] and wire.count(SAVE) == 1
    assert visitor.results("get=a", "get=other", "get=n") == ["=2", "=1", "=2"]


def test_a_set_that_was_not_sent(server, wire, visitor):
    """It needs not meet the revision that was loaded."""
    gate = Gate(server)
    with gate.passing(visitor, "get=a", gate.call, "set=a:2"):
        assert visitor.twin().results("set=other:1") == ["ok"]
        role_is_due()
        wire.clear()
        wire.once(ROLE, Drop())
    assert gate.answer.status == 200 and wire.rules == [] and wire.count(SAVE) == 1
    assert visitor.results("get=a", "get=other") == ["=2", "=1"]


def test_adding_what_is_there_when_it_was_not_sent(server, wire):
    """It is there, and that is certain."""
    def cached(*calls):
        return server.client().results("cache=default/things/60000", *calls)[1:]
    assert cached("cset=k:1") == ["ok"]
    [there] = cached("cadd=k:2")
    role_is_due()
    wire.once(ROLE, Drop())
    assert cached("cadd=k:2") == [there] and wire.rules == []


# -- replicas

def copied(server, wire):
    one = server.client()
    wire.clear()
    assert one.results("set=a:1", at="/copied") == ["ok"]
    assert one.results("incr=n:1", "touch", at="/copied") == ["=1", "ok"]
    assert wire.count(b"WAIT") == 0     # only what is worth it
    wire.clear()
    return one


@pytest.mark.parametrize("wait,enough", [
    (b":0\r\n", False), (b":1\r\n", True), (b":2\r\n", True), (b":-1\r\n", False), (b"+OK\r\n", False),
    (b"$1\r\n1\r\n", False), (b"*0\r\n", False), (b"-ERR no\r\n", False)])
def test_so_many_replicas_have_it(server, wire, wait, enough):
    """Or it is an outage: the end of a session, and a login."""
    for calls in ["rotate"], ["destroy"]:
        visitor = copied(server, wire)
        wire.once(b"WAIT", Answer(b"*1\r\n$2\r\nOK\r\n", wait))
        answer = visitor.probe(*calls, at="/copied")
        assert answer.status == 200 if enough else refused(answer), answer
        assert wire.count(b"WAIT") == 1
    if wait == b":0\r\n":      # the others after it are no news
        assert "fewer than replicas=1 have it" in server.logged("store copied: remove failed")


def test_what_was_gone_already_waits_for_nobody(server, wire, redis):
    visitor = copied(server, wire)
    gate = Gate(server)
    with gate.passing(visitor, "get=a", gate.call, "destroy", at="/copied"):
        redis("FLUSHALL")
        wire.once(b"WAIT", Answer(b"*1\r\n$8\r\nNOTFOUND\r\n:0\r\n"))
    assert gate.answer.status == 200 and wire.rules == []


def test_a_wait_takes_half_of_the_time(server, wire):
    """So that there is some left to say that it was in vain."""
    visitor = copied(server, wire)
    began = time.monotonic()
    assert refused(visitor.probe("destroy", at="/copied"))
    assert 1.5 < time.monotonic() - began < 15
    [request] = [data for data in wire.seen if b"WAIT" in data]
    words = request[request.index(b"WAIT"):].split(b"\r\n")
    assert words[2] == b"1" and 0 < int(words[4]) <= 2001


@pytest.mark.parametrize("action", [Drop, Swallow])
def test_what_waits_for_replicas_is_not_sent_again(server, wire, action):
    """Another connection has nothing to wait for."""
    visitor = copied(server, wire)
    wire.once(b"WAIT", action())
    assert refused(visitor.probe("destroy", at="/copied")) and wire.count(b"WAIT") == 1
