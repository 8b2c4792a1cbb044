"""What a network can do to a conversation with Memcached, in the text protocol and in the binary one that SASL
speaks: replies in pieces, late, cut off at any byte, lost, or somebody else's. There is no wrong answer, and
nothing is done twice that counts."""

import os
import struct
import subprocess
import time

import pytest

from doubles import PATIENCE
from httpd import on
from memcached_server import PASSWORD, USER, Memcached
from places import ONE_CHILD
from redis_proxy import Cut, Drop, Hold, Instead, Measure, Proxy, Swallow

PATIENT, HASTY = "timeout=30s connect_timeout=20s", "timeout=1s connect_timeout=500ms"


def header(operation, status=0):
    """Of a reply in the binary protocol."""
    return struct.pack(">BBHBBHIIQ", 0x81, operation, 0, 0, 0, status, 0, 0, 0)


class Text:
    LOAD, ADD, SAVE, DELETE = b"gets ", b"add ", b"cas ", b"delete "
    OPTIONS = ""
    END = b"END\r\n"
    # none of them says that there is nothing
    REFUSALS = [b"ERROR\r\n", b"CLIENT_ERROR what\r\n", b"SERVER_ERROR out of memory writing get response\r\n",
                b"SERVER_ERROR what\r\n", b"SERVER_ERROR object too large for cache\r\n", b"STORED\r\n", b"EXISTS\r\n",
                b"OK\r\n", b"5\r\n", b"VALUE bs:other 0 2 9\r\nxx\r\nEND\r\n", b"VALUE", b"\0\0\0\0\r\n",
                b"HTTP/1.1 400 Bad Request\r\n\r\n", b"VERSION 1.6.18\r\n"]


class Sasl:
    # magic, operation, and the length of a key
    LOAD, ADD, SAVE, DELETE = b"\x80\x0d\x00\x24", b"\x80\x02\x00\x24", b"\x80\x03\x00\x24", b"\x80\x04\x00\x24"
    OPTIONS = f"user={USER} password={PASSWORD}"
    END = header(0x0A)
    REFUSALS = [*(header(0x0D, refusal) for refusal in (0x03, 0x20, 0x81, 0x82, 0x84)), b"\0" * 24, b"ERROR\r\n"]


@pytest.fixture(scope="module", params=[Text, Sasl], ids=["text", "sasl"])
def how(request):
    return request.param


@pytest.fixture(scope="module")
def memcached(how):
    one = Memcached(sasl=how is Sasl)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def wire(memcached):
    one = Proxy(memcached.port)
    yield one
    one.close()


@pytest.fixture(scope="module")
def server(start, wire, how):
    """With one child, so that the connection that one request leaves is the next one's. At /hasty there are the same
    sessions, and little patience: for what has to be in vain."""
    words = f"memcached://127.0.0.1:{wire.port} breaker=off {how.OPTIONS}"
    return start(f"BSessionStore default {words} {PATIENT}\nBSessionStore hasty {words} {HASTY}\n" + on() + """
<Location /anonymous>
    SetHandler bsession-probe
    BSessionOnOutage anonymous
</Location>
<Location /hasty>
    SetHandler bsession-probe
    BSessionUse hasty
</Location>
""", mpm_config=ONE_CHILD)


@pytest.fixture(autouse=True)
def whole(wire, server, quiet_logs):
    wire.clear()
    server.expect("store (default|hasty): (load|save|remove|touch) failed")
    yield
    wire.rules = []
    wire.split = wire.delay = 0
    assert "exit signal" not in server.log()


@pytest.fixture
def visitor(server, wire):
    """With a session, and an idle connection to the store; what comes next is counted."""
    one = server.client()
    assert one.results("set=a:1", "set=b:2", "incr=n:1") == ["ok", "ok", "=1"]
    wire.clear()
    return one


def idle(server, wire):
    """A connection that the next request finds."""
    assert server.client().results("set=a:1") == ["ok"]
    wire.clear()


def refused(answer):
    return answer.status == 503 and answer.all("Set-Cookie") == []


def in_vain(wire, visitor, *calls):
    """Asked by somebody hasty until that meets what the proxy has for it: on a busy machine a question before it may
    be too slow, and then nothing was done."""
    rules, answer = len(wire.rules), None
    while len(wire.rules) == rules:
        answer = visitor.probe(*calls, at="/hasty")
        assert refused(answer), answer


def in_time(visitor, *calls):
    """The results where the machine is not too busy for somebody hasty."""
    while refused(answer := visitor.probe(*calls, at="/hasty")):
        pass
    assert answer.status == 200, answer
    return answer.results


# -- in pieces, and late

def test_every_byte_by_itself(server, wire):
    wire.split = 10**6
    wire.hang_up()
    visitor = server.client()
    value = bytes(range(256)) * 4 + b"\r\nEND\r\n"
    quoted = "".join(f"%{byte:02x}" for byte in value)
    assert visitor.results(f"setn=v:{quoted}", "set=a:", "incr=n:41") == ["ok", "ok", "=41"]
    assert visitor.results("getn=v") == visitor.results("getn=v")
    assert visitor.results("get=a", "incr=n:1", "unset=v", "count") == ["=", "=42", "ok", "2"]
    assert visitor.results("rotate", "set=user:ann") == ["ok", "ok"]
    assert visitor.results("get=user", "destroy", "get=user") == ["=ann", "ok", "-"]


def test_the_contract_byte_by_byte(build, wire, how):
    """All that the suite asks of a store, with the head of each reply in pieces."""
    contract = build.program("tests/contract/contract")
    wire.split = 300
    done = subprocess.run([contract, f"memcached://127.0.0.1:{wire.port}",
                           "connect_timeout=20s", *how.OPTIONS.split()], capture_output=True, text=True, env={**os.environ, "CK_FORK": "no"})
    assert done.returncode == 0, done.stdout + done.stderr


def test_slow_is_not_gone(visitor, wire):
    wire.delay = 0.05
    assert visitor.results("get=a", "incr=n:1") == ["=1", "=2"]
    wire.hang_up()
    assert visitor.results("get=a", "incr=n:1") == ["=1", "=3"]


def test_too_slow(visitor, wire, how):
    """Within timeout=; and what was done is not done again."""
    wire.delay = 1.5
    began = time.monotonic()
    assert refused(visitor.probe("get=a", at="/hasty"))
    assert time.monotonic() - began < 15
    wire.delay = 0
    held = wire.once(how.SAVE, Hold())
    in_vain(wire, visitor, "incr=n:1")
    assert held.here.wait(PATIENCE)
    assert visitor.results("get=n") == ["=2"]
    held.go.set()


# -- cut off at each byte of a reply

def length_of(wire, visitor, *calls, match):
    """Of the reply to the request with `match` in it."""
    measure = wire.once(match, Measure())
    visitor.results(*calls)
    return measure.length


def test_a_load_that_is_cut_off(visitor, wire, how):
    """On an idle connection it is asked again, and nobody notices."""
    length = length_of(wire, visitor, "get=a", match=how.LOAD)
    for count in range(length + 1):
        wire.once(how.LOAD, Cut(count))
        answer = visitor.probe("get=a", "get=b", "get=n", "count")
        assert answer.results == ["=1", "=2", "=1", "3"], (count, answer)
    assert length > 150


def test_a_load_that_is_cut_off_on_a_new_connection(visitor, wire, server, how):
    """An outage, which is no miss, or all of it."""
    length = length_of(wire, visitor, "get=a", match=how.LOAD)
    whole_ones = 0
    for count in range(length + 1):
        wire.hang_up()
        wire.once(how.LOAD, Cut(count))
        answer = visitor.probe("get=a", "get=b", "get=n", "count")
        assert refused(answer) or answer.results == ["=1", "=2", "=1", "3"], (count, answer)
        whole_ones += answer.status == 200
        assert visitor.token
    assert whole_ones == 1


def test_an_increment_that_is_cut_off(visitor, wire, how):
    """Done once, whatever is known of it, and never sent a second time."""
    length = length_of(wire, visitor, "incr=n:99", match=how.SAVE)
    for n, count in enumerate(range(length + 1), 101):
        wire.clear()
        wire.once(how.SAVE, Cut(count))
        answer = visitor.probe("incr=n:1")
        assert refused(answer) if count < length else answer.results == [f"={n}"], (count, answer)
        assert wire.count(how.SAVE) == 1 and visitor.results("get=n") == [f"={n}"]


# -- lost

@pytest.mark.parametrize("calls", [["incr=n:1"], ["set=a:9", "incr=n:1"], ["clear", "incr=n:2"]])
@pytest.mark.parametrize("action,n", [(Swallow, "2"), (Drop, "1")])
def test_an_increment_is_never_sent_twice(visitor, wire, how, calls, action, n):
    """Done or not: that is unknown, and said to be."""
    wire.once(how.SAVE, action())
    assert refused(visitor.probe(*calls))
    assert wire.count(how.SAVE) == 1 and visitor.results("get=n") == [f"={n}"]


@pytest.mark.parametrize("calls", [["set=a:9"], ["rotate", "set=a:9"]], ids=" ".join)
@pytest.mark.parametrize("action", [Swallow, Drop])
def test_no_change_is_sent_twice(visitor, wire, how, calls, action):
    """Others may have saved since."""
    wire.once(how.SAVE, action())
    assert refused(visitor.probe(*calls))
    assert wire.count(how.SAVE) == 1
    assert visitor.results(*calls)[-1] == "ok" and visitor.results("get=a") == ["=9"]


@pytest.mark.parametrize("action", [Swallow, Drop])
def test_a_new_session_whose_answer_was_lost(server, wire, how, action):
    """Sent again, it finds its own record: nobody else knows that key."""
    idle(server, wire)
    wire.once(how.ADD, action())
    visitor = server.client()
    assert visitor.results("set=a:1", "set=b:2") == ["ok", "ok"]
    assert wire.count(how.ADD) == 2
    assert visitor.results("get=a", "incr=n:1") == ["=1", "=1"]


@pytest.mark.parametrize("action", [Swallow, Drop])
def test_the_end_of_a_session_whose_answer_was_lost(visitor, wire, how, action):
    """Unknown; ended again, it is over."""
    wire.once(how.SAVE, action())
    assert refused(visitor.probe("destroy"))
    assert visitor.probe("destroy").status == 200
    assert visitor.results("load", "get=a")[-1] == "-"


def test_on_a_new_connection_nothing_is_sent_again(server, visitor, wire, how):
    """It was not old, so that there is no reason to think that another one would do better."""
    for match, one, calls in (how.LOAD, visitor, ["get=a"]), (how.ADD, server.client(), ["set=a:1"]):
        wire.hang_up()
        wire.clear()
        wire.once(match, Swallow())
        assert refused(one.probe(*calls))
        assert wire.count(match) == 1


@pytest.mark.parametrize("calls,results", [
    (["get=n"], ["=1"]), (["incr=n:1"], ["=2"]), (["set=a:1", "rotate"], ["ok", "ok"]), (["clear"], ["ok"]),
    (["destroy"], ["ok"]), (["touch"], ["ok"]), (["cache=default/things/60000", "cset=k:1"], ["cache", "ok"]),
    (["cache=default/things/60000", "cdelete=q"], ["cache", "NOTFOUND"])])
def test_an_idle_connection_that_was_closed(visitor, wire, calls, results):
    """It is replaced within the call, whatever that is."""
    for _ in range(3):
        wire.hang_up()
        assert visitor.results(*calls) == results
        visitor.results("clear", "incr=n:1")


# -- the general cache

def cached(server, *calls):
    return server.client().results("cache=default/things/60000", *calls, at="/anonymous")[1:]


def test_adding_to_the_cache(server, wire, how):
    """Sent again it knows its own; where somebody came between, it is unknown whose it is."""
    cached(server, "cdelete=k", "cdelete=l")
    wire.once(how.ADD, Swallow())
    assert cached(server, "cadd=k:1", "cget=k") == ["ok", "=1"]
    wire.once(how.ADD, Drop())
    assert cached(server, "cadd=l:1", "cget=l") == ["ok", "=1"]
    for between in (["cincr=m:1"], ["cset=m:7"], ["cdelete=m", "cadd=m:7"]):
        cached(server, "cdelete=m")
        wire.once(how.ADD, Swallow(lambda: cached(server, *between)))
        [added] = cached(server, "cadd=m:1")
        assert added.startswith("outage"), between
        assert cached(server, "cget=m") == ["=2" if "incr" in between[0] else "=7"]


def test_setting_in_the_cache(server, wire, how):
    """A later increment by somebody else would be lost."""
    for before, match in (["cdelete=k"], how.ADD), (["cset=k:0"], how.SAVE):
        for action, stored in (Swallow(), "=1"), (Drop(), "=0" if match == how.SAVE else "-"):
            cached(server, *before)
            wire.clear()
            wire.once(match, action)
            [said] = cached(server, "cset=k:1")
            assert said.startswith("outage") and wire.count(match) == 1
            assert cached(server, "cget=k") == [stored]


def test_many_of_the_cache_at_once(server, wire, how):
    """A flight that is cut off is asked for again where its connection lay idle, and is no miss where not."""
    assert cached(server, "cclear", "cset=a:1", "cset=b:2") == ["ok", "ok", "ok"]
    measure = wire.once(how.LOAD, Measure())
    said = cached(server, "cget_many=a,b,c")
    assert said == ["ok:=1,=2,NOTFOUND"]
    for count in range(0, measure.length, 7):
        wire.once(how.LOAD, Cut(count))
        assert cached(server, "cget_many=a,b,c") == said, count


# -- somebody else's answer

def test_a_late_answer_is_nobodys(server, wire, visitor, how):
    """Whoever asks next gets their own."""
    other = server.client()
    assert other.results("set=a:other") == ["ok"]
    for match, calls in (how.LOAD, ["get=a"]), (how.SAVE, ["incr=n:1"]):
        held = wire.once(match, Hold())
        in_vain(wire, visitor, *calls)
        assert held.here.wait(PATIENCE)
        assert in_time(other, "get=a") == ["=other"]
        held.go.set()
        for _ in range(10):
            assert in_time(other, "get=a") == ["=other"]
            assert in_time(visitor, "get=b") == ["=2"]


def test_a_refusal_is_no_miss(server, wire, visitor, how):
    """Whatever is said instead of a record or the end: it is an outage, and not that there is none."""
    for reply in how.REFUSALS:
        # the second is the question on a new connection
        wire.once(how.LOAD, Instead(reply))
        wire.once(how.LOAD, Instead(reply))
        answer = visitor.probe("get=a", "count", at="/hasty")
        wire.rules = []
        assert refused(answer), (reply, answer)
        assert visitor.results("get=a") == ["=1"], reply


def test_what_nobody_asked_for(server, wire, visitor, how):
    """What comes with an answer to a save is not the answer to the next load."""
    other = server.client()
    assert other.results("set=a:other") == ["ok"]
    for match, calls in (how.SAVE, ["incr=x:1"]), (how.LOAD, ["get=a"]):
        wire.once(match, Instead(None, how.END))
        assert visitor.results(*calls) == ["=1"]
        for _ in range(5):
            assert other.results("get=a") == ["=other"]
