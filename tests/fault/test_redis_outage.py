"""A Redis server that is killed, stopped, full, emptied of scripts, or changes its password, with visitors who
do not stop: each request ends in time, what was told is kept, the breaker opens and closes, and nobody
restarts httpd."""

import re
import time

import pytest

from doubles import Gate, wait_until
from httpd import on
from load import Load
from places import ONE_CHILD
from ports import free_port
from redis_server import Redis

TIMEOUT = 1.0
# what a request does at most: one load, one save, and what a busy machine adds
PATIENCE = 2 * TIMEOUT + 10
BREAKER = "breaker=3,100ms,400ms"
USUAL, HASTY = "timeout=20s connect_timeout=10s", "timeout=1s connect_timeout=500ms"


@pytest.fixture(scope="module")
def redis():
    one = Redis("appendonly yes", "appendfsync no")
    yield one
    one.stop()


@pytest.fixture(scope="module")
def server(start, redis):
    """At /hasty there is less time to answer."""
    return start(f"BSessionStore default {redis.tcp} {USUAL} {BREAKER}\n"
                 f"BSessionStore hasty {redis.tcp} {HASTY} {BREAKER}\n" + on() + """
<Location /hasty>
    SetHandler bsession-probe
    BSessionUse hasty
</Location>
<Location /anonymous>
    SetHandler bsession-probe
    BSessionOnOutage anonymous
</Location>
""")


@pytest.fixture(autouse=True)
def whole(redis, server, quiet_logs):
    """After each test the server is there, and asked again."""
    yield
    redis.resume()
    if redis.process.poll() is not None:
        redis.start()
    redis("CONFIG", "SET", "maxmemory", "0")
    for at in "/probe", "/hasty":
        wait_until(lambda: server.client().probe("set=a:1", at=at).status == 200, "the store to be asked again")
    server.expect("store (default|hasty): ")


def states(server):
    """What the log says of the store since the last test, a word for each line."""
    words = []
    for line in server.lines():
        found = re.search(r"bsession:(\w+).* store (?:default|hasty): (.*)", line)
        if found and found[1] != "info":
            what = found[2]
            words += ["opened"] if "left alone" in what else ["closed"] if "answers again" in what \
                else ["failed"] if " failed: " in what else []
    server.expect("store (default|hasty): ")
    return words


def assert_states(server, most=1):
    """One line for each change of state: it opened and it closed, in turn."""
    words = [word for word in states(server) if word != "failed"]
    assert words == ["opened", "closed"] * (len(words) // 2) and 2 <= len(words) <= 2 * most, words


def healed(load):
    """All visitors are told of new numbers."""
    wait_until(load.goes_on(1), "the visitors to be served")


def told_more(load, by=40):
    before = load.told()
    wait_until(lambda: load.told() > before + by, "the visitors to be served")


def opened(server):
    wait_until(lambda: "left alone" in server.log()[server.seen:], "the breaker to open")


def test_killed_and_started_again(server, redis):
    """kill -9 under load. It keeps what it acknowledged, and so do we."""
    with Load(server, visitors=4, patience=PATIENCE) as load:
        told_more(load)
        redis.kill()
        opened(server)
        wait_until(load.refused, "a request to fail")
        redis.start()
        healed(load)
    assert_states(server)


def test_not_there_at_the_start(start):
    """A warning, and it heals by itself."""
    redis = Redis()
    redis.kill()
    server = start(f"BSessionStore default {redis.tcp} {USUAL} {BREAKER}\n" + on())
    assert "Connection refused" in server.logged("BSessionStore (default|hasty): cannot be asked yet: ")
    assert server.client().probe("set=a:1").status == 503
    assert server.client().get("/index.html").status == 200
    redis.start()
    wait_until(lambda: server.client().probe("set=a:1").status == 200, "the store to be asked")
    states(server)
    redis.stop()


def test_a_graceful_restart_while_it_is_away(server, redis):
    visitor = server.client()
    visitor.results("set=a:1")
    redis.kill()
    server.expect("store default: ", "BSessionStore (default|hasty): cannot be asked yet: ")
    server.graceful()
    assert visitor.probe("get=a").status == 503
    redis.start()
    wait_until(lambda: visitor.probe("get=a").results == ["=1"], "the store to be asked again")


@pytest.mark.parametrize("at,status", [("/probe", 503), ("/anonymous", 200)])
def test_what_an_outage_means(server, redis, at, status):
    """BSessionOnOutage: and the cookie is nobody's to delete, nor to make."""
    visitor = server.client()
    visitor.results("set=a:1")
    jar = dict(visitor.jar)
    redis.kill()
    server.expect("store default: ")
    for calls in (["get=a"], ["set=b:1"], ["destroy"], ["set=b:1", "rotate"]):
        answer = visitor.probe(*calls, at=at)
        assert answer.status == status and answer.all("Set-Cookie") == []
        stranger = server.client()
        assert stranger.probe("set=a:1", at=at).status == status and stranger.jar == {}
    assert visitor.jar == jar
    redis.start()
    wait_until(lambda: visitor.probe("get=a").results == ["=1"], "the store to be asked again")


def test_clients_that_are_killed(server, redis):
    """CLIENT KILL under load. Who loses a connection in the middle of an increment is told that it is not
    known, and three of these in a row open the breaker for a moment; then all are served again."""
    with Load(server, visitors=4, patience=PATIENCE) as load:
        for _ in range(30):
            told_more(load, 10)
            redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        healed(load)
    server.expect("store default: ")


@pytest.mark.parametrize("calls,results", [
    (["get=n"], ["=1"]), (["incr=n:1"], ["=2"]), (["set=a:1", "rotate"], ["ok", "ok"]), (["clear"], ["ok"]),
    (["destroy"], ["ok"]), (["touch"], ["ok"]), (["cache=default/things/60000", "cset=k:1"], ["cache", "ok"])])
def test_an_idle_connection_that_was_closed(server, redis, calls, results):
    """It is replaced within the call, whatever that is: seen before it is used, nothing is lost."""
    for _ in range(5):
        visitor = server.client()
        visitor.results("incr=n:1")
        redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        wait_until(lambda: len(redis("CLIENT", "LIST").splitlines()) == 1, "the connections to go")
        assert visitor.results(*calls) == results


def test_stopped_for_longer_than_the_time_out(server, redis):
    """SIGSTOP under load: answers come late, and to nobody else's question."""
    with Load(server, "/hasty", visitors=4, patience=PATIENCE) as load:
        told_more(load)
        redis.pause()
        opened(server)
        redis.resume()
        healed(load)
    assert_states(server, most=3)


def test_a_request_ends_in_time(server, redis):
    """By timeout=, and at once while the breaker is open."""
    visitor = server.client()
    visitor.results("set=a:1")
    redis.pause()
    times = []

    def at_once():
        began = time.monotonic()
        assert visitor.probe("get=a", at="/hasty").status == 503
        times.append(time.monotonic() - began)
        return times[-1] < TIMEOUT / 2
    wait_until(at_once, "a request that the breaker ends")
    assert max(times) < PATIENCE
    redis.resume()
    wait_until(lambda: visitor.probe("get=a", at="/hasty").results == ["=1"], "the store to be asked again")
    assert_states(server, most=3)


def test_a_request_ends_in_time_where_others_have_all_connections(start, redis):
    """pool=: whoever waits for a connection waits no longer than for an answer, whoever else comes."""
    narrow = start(f"BSessionStore default {redis.tcp} timeout=1s connect_timeout=20s pool=1 breaker=off\n"
                   + on())
    narrow.expect("store default: ")
    with Load(narrow, patience=PATIENCE) as load:
        told_more(load)
        redis.pause()
        refused = load.refused()
        wait_until(lambda: load.refused() > refused + 40, "many to be refused")
        redis.resume()
        healed(load)


def connected(redis):
    """Who is, by number, but for the test itself, which comes by the socket."""
    lines = redis("CLIENT", "LIST").decode().splitlines()
    return {line.split()[0] for line in lines if " addr=127.0.0.1:" in line}


def test_a_pool_is_as_large_as_it_says(start):
    """In each child; and what fails does not make it smaller."""
    redis = Redis()
    narrow = start(f"BSessionStore default {redis.tcp} {USUAL} pool=2 breaker=off\n" + on(),
                   mpm_config=ONE_CHILD)
    narrow.expect("store default: ")
    with Load(narrow, patience=PATIENCE) as load:
        for _ in range(10):
            told_more(load)
            redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            wait_until(lambda: len(connected(redis)) == 2, "both connections to be in use again")
        for _ in range(50):
            assert len(connected(redis)) <= 2
        healed(load)
    redis.stop()


def test_scripts_are_forgotten(server, redis):
    """SCRIPT FLUSH under load: the script goes along within the call, and nobody notices."""
    with Load(server, visitors=4, patience=PATIENCE) as load:
        for _ in range(50):
            told_more(load, 4)
            redis("SCRIPT", "FLUSH")
        assert load.refused() == 0
    assert states(server) == []


def test_a_full_server(server, redis):
    """maxmemory with noeviction: what is there is read, touched and removed; what is refused changes nothing."""
    visitor, leaving = server.client(), server.client()
    for one in visitor, leaving:
        assert one.results("set=a:1", "set=b:2") == ["ok", "ok"]
    redis("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1")
    assert visitor.probe("set=c:3").status == 503
    assert "the server refused with OOM: its maxmemory is reached" in server.logged("store default: save failed")
    assert visitor.results("get=a", "get=b", "has=c") == ["=1", "=2", "no"]
    assert visitor.probe("unset=a", "set=b:3").status == 503
    assert visitor.results("touch") == ["ok"]
    assert visitor.results("get=a", "get=b") == ["=1", "=2"]
    redis("SCRIPT", "FLUSH")
    assert leaving.probe("destroy").results == ["ok"] and leaving.jar == {}
    assert server.client().probe("set=a:1").status == 503
    answer = visitor.probe("set=c:3", at="/anonymous")
    assert answer.status == 200 and answer.all("Set-Cookie") == []
    redis("CONFIG", "SET", "maxmemory", "0")
    wait_until(lambda: visitor.probe("set=c:3").status == 200, "room")
    assert visitor.results("get=a", "get=c") == ["=1", "=3"]


@pytest.fixture
def refusing(redis):
    """Makes the server refuse changes, in one of these ways; and it takes them again."""
    dump = redis.dir / "dump.rdb"

    def refuse(word):
        if word == "MISCONF":               # it cannot write its dump, in whose place something else is
            dump.mkdir()
            redis("CONFIG", "SET", "save", "3600 1")
            redis("BGSAVE")
            wait_until(lambda: b"rdb_last_bgsave_status:err" in redis("INFO", "persistence"), "the dump to fail")
        elif word == "READONLY":            # it was made a replica, and its master is not there
            redis("REPLICAOF", "127.0.0.1", free_port())
        else:
            redis("CONFIG", "SET", "min-replicas-to-write", "1")
    yield refuse
    redis("REPLICAOF", "NO", "ONE")
    redis("CONFIG", "SET", "min-replicas-to-write", "0", "save", "")
    if dump.is_dir():
        dump.rmdir()


@pytest.mark.parametrize("word,why", [("MISCONF", "it cannot write to its disk"), ("READONLY", "it is a replica"),
                                      ("NOREPLICAS", "it has fewer replicas than min-replicas-to-write")])
def test_a_server_that_takes_no_changes(server, redis, refusing, word, why):
    """However many it refuses, what is there is read meanwhile, and the breaker stays closed."""
    visitor = server.client()
    assert visitor.results("set=a:1") == ["ok"]
    refusing(word)
    for _ in range(10):                     # breaker=3
        assert server.client().probe("set=a:1").status == 503
    assert visitor.results("get=a") == ["=1"]
    assert f": the server refused with {word}: {why}" in server.logged("store default: save failed: ")
    assert states(server) == ["failed"]


def test_a_password_that_changes(server, redis, start):
    """While httpd runs: who is connected stays so; whom the server does not know any more is refused, until
    the password is as it was, or httpd is told of the new one."""
    locked = Redis()
    locked("CONFIG", "SET", "requirepass", "one-of-a-test")
    running = start(f"BSessionStore default redis://:one-of-a-test@127.0.0.1:{locked.ports[0]} "
                    f"{USUAL} {BREAKER}\n" + on())
    with Load(running, visitors=4, patience=PATIENCE) as load:
        told_more(load)
        locked("CONFIG", "SET", "requirepass", "two-of-a-test")
        told_more(load)
        locked("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        opened(running)
        wait_until(lambda: "the server refused the password: WRONGPASS" in running.log(), "the reason")
        locked("CONFIG", "SET", "requirepass", "one-of-a-test")
        healed(load)
    assert_states(running)
    assert "of-a-test" not in running.log()
    locked.stop()


# -- what others have done to a record

def record(redis):
    [key] = redis("KEYS", "bs:s*")
    return key


@pytest.fixture
def visitor(redis, server):
    redis("FLUSHALL")
    one = server.client()
    one.results("set=a:1")
    return one


def test_a_foreign_hset_after_the_end(server, redis, visitor):
    """A hash without our bookkeeping is no record: a miss, which nothing revives."""
    key = record(redis)
    redis("DEL", key)
    redis("HSET", key, "a", "2", "foreign", "3")
    old = visitor.token
    assert visitor.results("get=a", "load") == ["-", "NOTFOUND"]
    assert visitor.results("set=b:1") == ["ok"] and visitor.token != old
    assert visitor.results("get=a", "get=b") == ["-", "=1"]
    assert redis("HGETALL", key) == [b"a", b"2", b"foreign", b"3"]


def test_a_foreign_hset_before_a_touch(server, redis, visitor):
    """What is no record has no life of ours to be prolonged."""
    key = record(redis)
    gate = Gate(server)
    with gate.passing(visitor, "get=a", gate.call, "touch"):
        redis("DEL", key)
        redis("HSET", key, "foreign", "3")
        redis("PEXPIRE", key, 60000)
    assert gate.answer.results[-1] == "NOTFOUND" and gate.answer.cookies == []
    assert redis("PTTL", key) <= 60000


def test_a_foreign_hset_meanwhile(server, redis, visitor):
    """Whoever writes a field of a session is read, and overwritten."""
    key = record(redis)
    redis("HSET", key, "theirs", "5")
    assert visitor.results("get=a", "get=theirs", "incr=theirs:1") == ["=1", "=5", "=6"]
    assert redis("HGET", key, "theirs") == b"6"


@pytest.mark.parametrize("damage", [
    ("SET", "KEY", "x"), ("HSET", "KEY", "_bs.rev", "x"), ("HSET", "KEY", "_bs.rev", "0"), ("HDEL", "KEY", "_bs.rev"),
    ("HSET", "KEY", "_bs.epoch", "99999999999"), ("HSET", "KEY", "_bs", "x"), ("LPUSH", "KEY", "x"),
    ("HSET", "KEY", "_bs.rev", "-5"), ("HSET", "KEY", "_bs.rev", "9223372036854775807"), ("HSET", "KEY", "_bs.rev", "007"),
    ("HSET", "KEY", "_bs.rev", "18446744073709551615"), ("HSET", "KEY", "_bs.rev", "99999999999999999999999"),
    ("HSET", "KEY", "_bs.rev", ""), ("HSET", "KEY", "_bs.rev", "5 "), ("HSET", "KEY", "_bs.rev", "5\0"),
    ("HSET", "KEY", "_bs.epoch", "00"), ("HSET", "KEY", "_bs.epoch", "-1"), ("HDEL", "KEY", "_bs.epoch"),
    ("HSET", "KEY", "_bs.size", "x"), ("HSET", "KEY", "_bs.size", "-1"), ("HDEL", "KEY", "_bs.size"),
    ("HSET", "KEY", "_bs", ""), ("HSET", "KEY", "_bs", "\0" * 500), ("HSET", "KEY", "_bs", "x" * 100000)],
    ids=lambda damage: " ".join(damage)[:40])
def test_a_damaged_record(server, redis, visitor, damage):
    """Section 10: an empty session, one line with the tag, no outage; a set makes a fresh one."""
    key = record(redis)
    [tag] = visitor.results("tag")
    old = visitor.token
    if damage[0] != "HSET" and damage[0] != "HDEL":
        redis("DEL", key)
    redis(*[key if word == "KEY" else word for word in damage])
    answer = visitor.probe("get=a")
    assert answer.status == 200 and answer.results == ["-"]
    # there are more of these tests than warnings of one kind in a minute: from there on it is information
    server.logged(rf"bsession:(warn|info)\] .* the record of session {tag} is damaged")
    assert len([line for line in server.lines() if " is damaged" in line]) == 1
    assert visitor.results("set=b:1") == ["ok"]
    assert visitor.token != old and visitor.results("get=a", "get=b") == ["-", "=1"]
    assert states(server) == []


@pytest.mark.parametrize("damage", [
    ("HSET", "KEY", "_bs.rev", "x"), ("HSET", "KEY", "_bs.rev", "9223372036854775807"), ("HDEL", "KEY", "_bs.rev"),
    ("HSET", "KEY", "_bs.size", "x"), ("HDEL", "KEY", "_bs.size"), ("HSET", "KEY", "_bs.size", "1e9")], ids=" ".join)
def test_a_record_that_is_damaged_before_the_save(server, redis, visitor, damage):
    """A merge that meets it changes nothing."""
    key = record(redis)
    gate = Gate(server)
    with gate.passing(visitor, "get=a", gate.call, "set=a:2", "incr=n:1", "save"):
        redis(*[key if word == "KEY" else word for word in damage])
        before = redis("HGETALL", key)
    assert gate.answer.status == 200 and gate.answer.results[-1] == "EGONE" and gate.answer.cookies == []
    assert redis("HGETALL", key) == before and states(server) == []
    server.expect("bsession:warn")


def test_what_others_wrote_is_not_counted(server, redis, visitor):
    """BSessionLimit's size does not follow a foreign write; it does not become nonsense by one, either."""
    key = record(redis)
    redis("HSET", key, "theirs", "x" * 1000)
    assert visitor.results("unset=theirs") == ["ok"]
    assert redis("HGET", key, "_bs.size") == b"0"
    assert visitor.results("get=a", "set=b:22") == ["=1", "ok"]
    assert visitor.results("get=b") == ["=22"]


def test_names_that_look_like_ours(server, redis, visitor):
    key = record(redis)
    redis("HSET", key, "_bs\0", "x", "_bs.rev\0", "x", "_bs.later", "x", "_b", "y", b"nul\0nul", b"a\0b")
    assert visitor.results("get=a", "get=_b", "count") == ["=1", "=y", "3"]
    assert visitor.results("clear", "set=c:1") == ["ok", "ok"]
    assert visitor.results("count", "get=c") == ["1", "=1"]


def test_a_record_that_became_something_else_before_the_save(server, redis, visitor):
    """WRONGTYPE in a script: the changes are dropped, as of a record that vanished."""
    key = record(redis)
    gate = Gate(server)
    with gate.passing(visitor, "get=a", gate.call, "set=a:2", "save"):
        redis("DEL", key)
        redis("SET", key, "x")
    assert gate.answer.status == 200 and gate.answer.results[-1] == "EGONE" and gate.answer.cookies == []
    assert redis("GET", key) == b"x" and states(server) == []
    server.expect("bsession:warn")
