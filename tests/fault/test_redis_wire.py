"""What a network can do to a conversation with Redis: replies in pieces, late, cut off at any byte, lost, or
somebody else's. There is no wrong answer, and nothing is done twice that counts."""

import pathlib
import re
import subprocess
import time

import pytest

from doubles import PATIENCE, wait_until
from httpd import on
from places import ONE_CHILD
from redis_proxy import Cut, Drop, Hold, Instead, Measure, Proxy, Swallow
from redis_server import Redis

PASSWORD = "pass-of-a-test"
# what saves, and what loads
SAVE, LOAD = b"EVALSHA", b"HGETALL"
PATIENT, HASTY = "timeout=30s connect_timeout=20s", "timeout=1s connect_timeout=500ms"


@pytest.fixture(scope="module")
def redis():
    one = Redis(f"user web on >{PASSWORD} ~* +@all")
    yield one
    one.stop()


@pytest.fixture(scope="module")
def wire(redis):
    one = Proxy(redis.ports[0])
    yield one
    one.close()


@pytest.fixture(scope="module")
def server(start, wire):
    """With AUTH and SELECT, which share the first flight of a load; and one child, so that the connection that
    one request leaves is the next one's. At /hasty there are the same sessions, and little patience: for what has
    to be in vain."""
    url = f"redis://web:{PASSWORD}@127.0.0.1:{wire.port}/2"
    one = start(f"BSessionStore default {url} {PATIENT} breaker=off\nBSessionStore hasty {url} {HASTY} breaker=off\n"
                + on() + """
<Location /anonymous>
    SetHandler bsession-probe
    BSessionOnOutage anonymous
</Location>
<Location /hasty>
    SetHandler bsession-probe
    BSessionUse hasty
</Location>
""", mpm_config=ONE_CHILD)
    teach(one)
    return one


def teach(server):
    """From here on Redis knows each script."""
    assert server.client().results("set=a:1", "save", "set=a:2", "save", "touch", "destroy")[-1] == "ok"


@pytest.fixture(autouse=True)
def whole(redis, wire, server, quiet_logs):
    redis("SELECT", 2)
    redis("FLUSHALL")
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


def field(redis, name):
    """Of the only record, past everything of ours."""
    [key] = redis("KEYS", "bs:s*")
    value = redis("HGET", key, name)
    return value and value.decode()


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
    value = bytes(range(256)) * 4 + b"\r\n$-1\r\n"
    quoted = "".join(f"%{byte:02x}" for byte in value)
    assert visitor.results(f"setn=v:{quoted}", "set=a:", "incr=n:41") == ["ok", "ok", "=41"]
    assert visitor.results("getn=v") == visitor.results("getn=v")
    assert visitor.results("get=a", "incr=n:1", "unset=v", "count") == ["=", "=42", "ok", "2"]
    assert visitor.results("rotate", "set=user:ann") == ["ok", "ok"]
    assert visitor.results("get=user", "destroy", "get=user") == ["=ann", "ok", "-"]


def test_the_contract_byte_by_byte(build, wire):
    """All that the suite asks of a store, with the head of each reply in pieces."""
    contract = build.program("tests/contract/contract")
    wire.split = 300
    done = subprocess.run([contract,
                           f"redis://web:{PASSWORD}@127.0.0.1:{wire.port}/3", "connect_timeout=20s"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_slow_is_not_gone(visitor, wire):
    wire.delay = 0.1
    assert visitor.results("get=a", "incr=n:1") == ["=1", "=2"]
    wire.hang_up()
    assert visitor.results("get=a", "incr=n:1") == ["=1", "=3"]


def test_too_slow(visitor, wire, redis):
    """Within timeout=; and what was done is not done again."""
    wire.delay = 1.5
    began = time.monotonic()
    assert refused(visitor.probe("get=a", at="/hasty"))
    assert time.monotonic() - began < 15
    wire.delay = 0
    held = wire.once(SAVE, Hold())
    in_vain(wire, visitor, "incr=n:1")
    assert held.here.wait(PATIENCE)
    assert visitor.results("get=n") == ["=2"]
    held.go.set()


def test_who_we_are_goes_along_with_a_load(wire, visitor, server):
    """And costs no round trip of its own; a save waits until that is settled."""
    for match, one, calls, together in (LOAD, visitor, ["get=a"], True), (SAVE, server.client(), ["set=a:1"], False):
        wire.hang_up()
        wire.clear()
        assert one.probe(*calls).status == 200
        [flight] = [data for data in wire.seen if match in data]
        assert wire.count(b"AUTH") == 1
        assert (b"AUTH" in flight and b"SELECT" in flight) == together


def test_what_travels(wire, visitor):
    """One question and one save, in which there is what changed and nothing else; what is added to, is there."""
    assert visitor.results("set=long:" + "x" * 500, "incr=n:40") == ["ok", "=41"]
    wire.clear()
    assert visitor.results("get=long", "get=b", "set=a:changed", "incr=n:5") == ["=" + "x" * 500, "=2", "ok", "=46"]
    load, save = wire.seen
    assert LOAD in load and b"PTTL" in load and SAVE in save
    assert b"changed" in save and b"\r\n5\r\n" in save
    assert b"xxx" not in save and b"\r\nb\r\n" not in save and b"\r\n46\r\n" not in save


# -- cut off at each byte of a reply

def length_of(wire, visitor, *calls, match):
    """Of the reply to the request with `match` in it."""
    measure = wire.once(match, Measure())
    visitor.results(*calls)
    return measure.length


def test_a_load_that_is_cut_off(visitor, wire):
    """On an idle connection it is asked again, and nobody notices."""
    length = length_of(wire, visitor, "get=a", match=LOAD)
    for count in range(length + 1):
        wire.once(LOAD, Cut(count))
        answer = visitor.probe("get=a", "get=b", "get=n", "count")
        assert answer.results == ["=1", "=2", "=1", "3"], (count, answer)
    assert length > 150


def test_a_load_that_is_cut_off_on_a_new_connection(visitor, wire, server):
    """An outage, which is no miss, or all of it."""
    wire.hang_up()
    length = length_of(wire, visitor, "get=a", match=LOAD)
    whole_ones = 0
    for count in range(length + 1):
        wire.hang_up()
        wire.once(LOAD, Cut(count))
        answer = visitor.probe("get=a", "get=b", "get=n", "count")
        assert refused(answer) or answer.results == ["=1", "=2", "=1", "3"], (count, answer)
        whole_ones += answer.status == 200
        assert visitor.token
    assert whole_ones == 1


@pytest.mark.parametrize("fresh", [False, True])
def test_an_increment_that_is_cut_off(visitor, wire, redis, fresh):
    """Done once, whatever is known of it, and never sent a second time."""
    length = length_of(wire, visitor, "incr=n:99", match=SAVE)      # of all numbers with three digits
    n = 100
    for count in range(length + 1):
        if fresh:
            wire.hang_up()
        wire.clear()
        wire.once(SAVE, Cut(count))
        answer = visitor.probe("incr=n:1")
        n += 1
        assert refused(answer) if count < length else answer.results == [f"={n}"], (count, answer)
        assert wire.count(SAVE) == 1 and field(redis, "n") == str(n)


# -- lost

@pytest.mark.parametrize("calls", [["incr=n:1"], ["set=a:9", "incr=n:1"], ["clear", "incr=n:2"]])
@pytest.mark.parametrize("action,n", [(Swallow, "2"), (Drop, "1")])
def test_an_increment_is_never_sent_twice(visitor, wire, redis, calls, action, n):
    """Done or not: that is unknown, and said to be."""
    wire.once(SAVE, action())
    assert refused(visitor.probe(*calls))
    assert wire.count(SAVE) == 1 and field(redis, "n") == n


CHANGES = [["set=a:9"], ["unset=a"], ["clear"], ["set=a:9", "unset=b"], ["clear", "set=a:9"]]


@pytest.mark.parametrize("calls", CHANGES, ids=" ".join)
def test_changes_that_did_not_arrive_are_sent_again(visitor, wire, calls):
    wire.once(SAVE, Drop())
    assert visitor.probe(*calls).status == 200
    assert wire.count(SAVE) == 2
    expected = {"set=a:9": "=9", "unset=a": "-", "clear": "-"}[calls[-1] if calls[-1] != "unset=b" else "set=a:9"]
    assert visitor.results("get=a") == [expected]


@pytest.mark.parametrize("calls", CHANGES, ids=" ".join)
def test_changes_whose_answer_was_lost(visitor, wire, server, calls):
    """Sent again, they meet another revision than was loaded: theirs, or somebody else's. Done they are, and
    unknown; and what another request was told is stored stays."""
    def another():
        assert visitor.twin().results("set=other:1") == ["ok"]
    wire.once(SAVE, Swallow(another))
    assert refused(visitor.probe(*calls))
    assert "whether it had been done by then cannot be told" in server.logged("store default: save failed")
    assert wire.count(SAVE) == 3
    assert visitor.results("get=other") == ["=1"]


def test_a_new_session_whose_answer_was_lost(server, wire, redis):
    """Sent again, it finds its own record: nobody else knows that key."""
    server.client().results("get=a")
    idle(server)
    for action in (Swallow(), Drop()):
        redis("FLUSHDB")
        wire.clear()
        wire.once(SAVE, action)
        visitor = server.client()
        assert visitor.results("set=a:1", "set=b:2") == ["ok", "ok"]
        assert wire.count(SAVE) == 2 and redis("DBSIZE") == 1
        assert visitor.results("get=a", "incr=n:1") == ["=1", "=1"]


def test_a_new_session_whose_key_somebody_took(server, wire, redis):
    """Sent again, it finds what is certainly not its own: another key is as good."""
    def another():
        [key] = redis("KEYS", "bs:s*")
        redis("DEL", key)
        redis("HSET", key, "_bs", "theirs", "_bs.rev", 1, "_bs.epoch", 0, "_bs.size", 2, "a", "x")
    idle(server)
    redis("FLUSHDB")
    wire.clear()
    wire.once(SAVE, Swallow(another))
    visitor = server.client()
    assert visitor.results("set=a:1") == ["ok"]
    assert wire.count(SAVE) == 3 and redis("DBSIZE") == 2
    assert visitor.results("get=a") == ["=1"]
    assert sorted(redis("HGET", key, "a") for key in redis("KEYS", "bs:s*")) == [b"1", b"x"]


def idle(server):
    """A connection that the next request finds."""
    assert server.client().results("set=a:1") == ["ok"]


@pytest.mark.parametrize("action", [Swallow, Drop])
def test_a_login_whose_answer_was_lost(visitor, wire, action):
    """A whole save is not sent again; the login is repeated by whoever wanted it."""
    wire.once(SAVE, action())
    assert refused(visitor.probe("rotate", "set=user:ann"))
    assert wire.count(SAVE) == 1
    assert visitor.results("rotate", "set=user:ann") == ["ok", "ok"]
    assert visitor.results("get=user") == ["=ann"]


@pytest.mark.parametrize("action", [Swallow, Drop])
def test_the_end_of_a_session_whose_answer_was_lost(visitor, wire, redis, action):
    wire.once(SAVE, action())
    assert visitor.results("destroy") == ["ok"] and visitor.jar == {}
    assert wire.count(SAVE) == 2 and redis("DBSIZE") == 0


@pytest.mark.parametrize("action", [Swallow, Drop])
def test_a_touch_whose_answer_was_lost(visitor, wire, action):
    wire.once(SAVE, action())
    assert visitor.results("touch") == ["ok"]


def test_on_a_new_connection_nothing_is_sent_again(server, visitor, wire):
    """It was not old, so that there is no reason to think that another one would do better."""
    for match, one, calls in (LOAD, visitor, ["get=a"]), (SAVE, server.client(), ["set=a:1"]):
        wire.hang_up()
        wire.clear()
        wire.once(match, Swallow())
        assert refused(one.probe(*calls))
        assert wire.count(match) == 1


# -- the general cache

def cached(server, *calls):
    return server.client().results("cache=default/things/60000", *calls, at="/anonymous")[1:]


def test_adding_to_the_cache(server, wire, redis):
    """Sent again it knows its own; where somebody came between, it is unknown whose it is."""
    idle(server)
    wire.once(SAVE, Swallow())
    assert cached(server, "cadd=k:1", "cget=k") == ["ok", "=1"]
    wire.once(SAVE, Drop())
    assert cached(server, "cadd=l:1", "cget=l") == ["ok", "=1"]
    for between in (["cincr=m:1"], ["cset=m:7"], ["cdelete=m", "cadd=m:7"]):
        cached(server, "cdelete=m")
        wire.once(SAVE, Swallow(lambda: cached(server, *between)))
        [added] = cached(server, "cadd=m:1")
        assert added.startswith("outage"), between
        assert cached(server, "cget=m") == ["=2" if "incr" in between[0] else "=7"]


def test_setting_in_the_cache(server, wire):
    """A later increment by somebody else would be lost."""
    idle(server)
    for action, stored in (Swallow(), "=1"), (Drop(), "-"):
        cached(server, "cdelete=k")
        wire.clear()
        wire.once(SAVE, action)
        [said] = cached(server, "cset=k:1")
        assert said.startswith("outage") and wire.count(SAVE) == 1
        assert cached(server, "cget=k") == [stored]


# -- somebody else's answer

def test_a_late_answer_is_nobodys(server, wire, visitor):
    """Whoever asks next gets their own."""
    other = server.client()
    assert other.results("set=a:other") == ["ok"]
    for match, calls in (LOAD, ["get=a"]), (SAVE, ["incr=n:1"]):
        held = wire.once(match, Hold())
        in_vain(wire, visitor, *calls)
        assert held.here.wait(PATIENCE)
        assert in_time(other, "get=a") == ["=other"]
        held.go.set()
        for _ in range(10):
            assert in_time(other, "get=a") == ["=other"]
            assert in_time(visitor, "get=b") == ["=2"]


@pytest.mark.parametrize("more", [b"+OK\r\n", b"*0\r\n:-2\r\n", b"*2\r\n$1\r\na\r\n", b"$", b"\r\n"])
def test_what_nobody_asked_for(server, wire, visitor, more):
    """A connection that has more to say than was asked serves nobody else."""
    other = server.client()
    assert other.results("set=a:other") == ["ok"]
    for match, calls, result in (LOAD, ["get=a"], "=1"), (SAVE, ["incr=x:1"], "=1"):
        visitor.results("unset=x")
        wire.once(match, Instead(None, more))
        assert visitor.results(*calls) == [result]
        for _ in range(5):
            assert other.results("get=a") == ["=other"]


def test_an_answer_behind_an_error(server, wire, redis):
    """The script goes along on a connection that has nothing else to say."""
    idle(server)
    redis("FLUSHDB")
    wire.clear()
    wire.once(SAVE, Instead(b"-NOSCRIPT No matching script\r\n*1\r\n$6\r\nEEXIST\r\n"))
    redis("SCRIPT", "FLUSH")
    visitor = server.client()
    assert visitor.results("set=a:1") == ["ok"]
    assert wire.count(b"$4\r\nEVAL\r\n") == 1 and redis("DBSIZE") == 1
    assert visitor.results("get=a") == ["=1"]
    teach(server)


@pytest.mark.parametrize("reply", [
    b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\0", b"*-1\r\n*-1\r\n", b"$-1\r\n$-1\r\n", b"+OK\r\n+OK\r\n", b":1\r\n:1\r\n",
    b"*1\r\n$1\r\na\r\n:-1\r\n", b"*2\r\n$1\r\na\r\n:1\r\n:-1\r\n", b"*2\r\n*0\r\n*0\r\n:1\r\n",
    b"*2\r\n$3\r\n_bs\r\n$0\r\n\r\n:60000\r\n", b"*2\r\n$7\r\n_bs.rev\r\n$2\r\n-1\r\n:60000\r\n",
    b"*4\r\n$3\r\n_bs\r\n$1\r\nx\r\n$7\r\n_bs.rev\r\n$1\r\n5\r\n:9223372036854775807\r\n",
    b"*2\r\n$2\r\nOK\r\n:9\r\n", b"*2\r\n$2\r\nOK\r\n$1\r\n9\r\n", b"*3\r\n$2\r\nOK\r\n$1\r\n9\r\n:1\r\n",
    b"*4\r\n$2\r\nOK\r\n$1\r\n9\r\n$1\r\n9\r\n$1\r\n9\r\n", b"*1\r\n$-1\r\n", b"*3\r\n$2\r\nOK\r\n$2\r\n-9\r\n$1\r\n9\r\n",
    b"*2\r\n$1\r\na\r\n$1\r\n1\r\n$2\r\nno\r\n", b"-ERR what\r\n-ERR what\r\n", b"-\r\n-\r\n", b"$99999999999\r\n"],
    ids=lambda reply: repr(reply)[2:40])
def test_replies_that_make_no_sense(server, wire, visitor, reply):
    """An outage, a damaged record or none, never a crash, and never a value that nobody stored."""
    server.expect("bsession:warn.*damaged")
    for _ in range(2):
        wire.once(LOAD, Instead(reply))
    answer = visitor.probe("get=a", "count", at="/hasty")
    assert refused(answer) or (answer.status == 200 and answer.results == ["-", "0"]), answer
    wire.rules = []
    assert visitor.results("get=a") == ["=1"]
    wire.once(SAVE, Instead(reply))
    in_vain(wire, visitor, "incr=n:1")
    assert wire.count(SAVE) == 1
    assert visitor.results("get=n") == ["=2"]


@pytest.mark.parametrize("cursor", [b"", b"x", b"0x", b"00", b"-0", b" 0", b"18446744073709551616"], ids=repr)
def test_a_cursor_that_is_no_number_ends_no_scan(server, wire, visitor, cursor):
    """What a scan has not seen may be a session: who ends all of a user hears of an outage."""
    server.expect("store default: scan failed")
    assert visitor.results("set_user=ann", "save") == ["ok", "ok"]
    wire.once(b"SCAN", Instead(b"*2\r\n$%d\r\n%s\r\n*0\r\n" % (len(cursor), cursor)))
    assert server.client().results("revoke_user=ann")[0].startswith("outage")
    assert wire.count(b"SCAN") == 1
    assert server.client().results("revoke_user=ann") == ["ok"]


def peak(server):
    """Kilobytes of address space that a child had at most."""
    return max(int(re.search(r"^VmPeak:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])
               for pid in server.children())


@pytest.mark.parametrize("reply", [
    b"*2000000000\r\n", b"*2147483647\r\n", b"*2\r\n*1999999999\r\n", b"*1100000\r\n", b"*99999999999\r\n",
    b"*1000\r\n$1\r\na\r\n*1000000000\r\n:1\r\n", b"$2000000000\r\nabc", b"$2147483648\r\n", b"$9223372036854775807\r\n"],
    ids=lambda reply: repr(reply)[2:40])
def test_a_reply_that_announces_too_much(server, wire, visitor, reply):
    """Nobody makes room for what has not come."""
    before = peak(server)
    for match, calls in (LOAD, ["get=a"]), (SAVE, ["incr=n:1"]):
        for _ in range(2):              # a load is asked again
            wire.once(match, Instead(reply))
        began = time.monotonic()
        answer = visitor.probe(*calls, at="/hasty")
        assert refused(answer), answer
        assert time.monotonic() - began < 15
        wire.rules = []
    assert peak(server) < before + 50_000
    assert visitor.results("get=a", "get=n") == ["=1", "=2"]


def test_a_reply_without_end(start, redis, wire):
    """Nobody takes in more than any record is large; who sends more is not away, and only this session counts
    as empty."""
    patient = start(f"BSessionStore default redis://web:{PASSWORD}@127.0.0.1:{wire.port}/2 {PATIENT} breaker=off\n"
                    + on(), mpm_config=ONE_CHILD)
    visitor = patient.client()
    assert visitor.results("set=a:1") == ["ok"]
    wire.hang_up()
    before = peak(patient)
    wire.once(LOAD, Instead(b"*2\r\n$1\r\na\r\n$500000000\r\n" + bytes(250_000_000)))
    assert visitor.results("get=a") == ["-"]
    patient.logged("is damaged, of another version, or cannot be opened; the session counts as empty")
    assert peak(patient) < before + 1_000_000
    assert visitor.results("get=a") == ["=1"]


def test_what_is_too_large_to_be_loaded_is_not_stored(server, wire, redis):
    """128 MB are the most that a record may be; what is below goes there and back."""
    assert cached(server, "cset=k:1", "cbig=k:134217729", "cget=k") == ["ok", "ENOSPC", "=1"]
    wire.clear()
    assert wire.count(SAVE) == 0


def test_what_a_large_save_needed_is_given_back(server, build):
    """By the connection that it went out on."""
    if build.asan:
        pytest.skip("ASan gives nothing back")
    cached(server, "cset=k:1")
    before = sum(server.rss(pid) for pid in server.children())
    assert cached(server, "cbig=k:50000000") == ["ok"]
    wait_until(lambda: sum(server.rss(pid) for pid in server.children()) < before + 20_000, "it to be given back")


def test_large_values(server, start, redis, wire):
    """500 KB, beside 0 bytes and a number."""
    large = start(f"BSessionStore default redis://web:{PASSWORD}@127.0.0.1:{wire.port}/2 {PATIENT} breaker=off\n"
                  + on("BSessionLimit size=2M"), mpm_config=ONE_CHILD)
    visitor = large.client()
    assert visitor.results("big=v:500000", "set=e:", "incr=n:1") == ["ok", "ok", "=1"]
    assert visitor.results("get=v", "get=e", "incr=n:1") == ["=" + "b" * 500000, "=", "=2"]
    assert visitor.results("big=w:500001", "rotate") == ["ok", "ok"]
    assert visitor.results("get=w", "get=v") == ["=" + "b" * 500001, "=" + "b" * 500000]
    assert visitor.results("big=v:0", "unset=w", "get=v") == ["ok", "ok", "="]
    assert visitor.results("get=v", "get=e", "count") == ["=", "=", "3"]
    assert field(redis, "_bs.size") == "4"


def test_a_server_with_too_many_clients(server, wire, redis, visitor):
    """It says so to whoever connects, unasked, and hangs up."""
    wire.hang_up()
    wait_until(lambda: len(redis("CLIENT", "LIST").splitlines()) == 1, "the connections to go")
    redis("CONFIG", "SET", "maxclients", "1")
    try:
        assert refused(visitor.probe("get=a"))
        assert "the server refused" in server.logged("store default: load failed")
    finally:
        redis("CONFIG", "SET", "maxclients", "1000")
    assert visitor.results("get=a") == ["=1"]

@pytest.mark.parametrize("said,why", [
    (b"-OOM command not allowed when used memory > 'maxmemory'.", "OOM: its maxmemory"),
    (b"-MISCONF Redis is configured to save RDB snapshots, but", "MISCONF: it cannot write to its disk")])
def test_a_full_server_of_version_6(server, wire, visitor, said, why):
    """Its scripts wrap what went wrong into a sentence."""
    wire.once(SAVE, Instead(b"-ERR Error running script (call to f_0): @user_script:9: @user_script: 9: %s\r\n" % said))
    assert refused(visitor.probe("incr=n:1"))
    assert f"the server refused with {why}" in server.logged("store default: save failed")


# -- somebody else is the master now

def test_a_server_that_was_demoted_behind_its_name(server, wire, redis, visitor):
    """An address that is given to another server, as clouds do: where a connection finds the old one read-only,
    another one is made, to where the name leads now, within the call."""
    other = Redis(f"user web on >{PASSWORD} ~* +@all")
    try:
        other("REPLICAOF", "127.0.0.1", redis.ports[0])
        wait_until(lambda: b"master_link_status:up" in other("INFO", "replication"), "the replica")
        wait_until(lambda: other("SELECT", 2) and other("DBSIZE") == 1, "the record")
        other("REPLICAOF", "NO", "ONE")
        redis("REPLICAOF", "127.0.0.1", other.ports[0])
        wire.target = other.ports[0]
        assert visitor.results("set=a:2", "incr=n:1") == ["ok", "=2"]
        assert field(other, "n") == "2"
    finally:
        wire.target = redis.ports[0]
        redis("REPLICAOF", "NO", "ONE")
        wire.hang_up()
        other.stop()
