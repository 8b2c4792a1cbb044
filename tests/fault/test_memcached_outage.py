"""A Memcached server that is killed, stopped, started anew, full or too small, and one that wants to know who
asks, with visitors who do not stop: each request ends in time, nobody sees anybody else's session, the breaker
opens and closes, and nobody restarts httpd."""

import concurrent.futures
import re
import time

import pytest

from doubles import Listener, wait_until
from httpd import on
from load import Forgetful, Load
from memcached_server import PASSWORD, USER, Memcached
from places import places, refused, works

TIMEOUT = 1.0
# what a request does at most: one load, one save, and what a busy machine adds
PATIENCE = 2 * TIMEOUT + 10
OPTIONS = "timeout=20s connect_timeout=10s breaker=3,100ms,400ms"
HASTY = "timeout=1s connect_timeout=500ms breaker=3,100ms,400ms"


@pytest.fixture(scope="module")
def memcached():
    one = Memcached()
    yield one
    one.stop()


@pytest.fixture
def another():
    """Makes servers that stop with the test."""
    made = []

    def make(*arguments, **more):
        made.append(Memcached(*arguments, **more))
        return made[-1]
    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="module")
def server(start, memcached):
    """At /hasty there is less time to answer."""
    return start(f"BSessionStore default {memcached.words} {OPTIONS}\n"
                 f"BSessionStore hasty {memcached.words} {HASTY}\n" + on() + """
<Location /hasty>
    SetHandler bsession-probe
    BSessionUse hasty
</Location>
<Location /anonymous>
    SetHandler bsession-probe
    BSessionOnOutage anonymous
</Location>
<Location /long>
    SetHandler bsession-probe
    BSessionIdleTimeout 40d
    BSessionAbsoluteTimeout Off
</Location>
""")


@pytest.fixture(autouse=True)
def whole(memcached, server, quiet_logs):
    """After each test the server is there, and asked again."""
    yield
    memcached.resume()
    if memcached.process.poll() is not None:
        memcached.start()
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
    wait_until(load.goes_on(3), "the visitors to be served")


def told_more(load, by=40):
    before = load.told()
    wait_until(lambda: load.told() > before + by, "the visitors to be served")


def opened(server):
    wait_until(lambda: "left alone" in server.log()[server.seen:], "the breaker to open")


def test_killed_and_started_again(server, memcached):
    """kill -9 under load. Its sessions are lost, and each visitor begins a new one."""
    with Load(server, patience=PATIENCE, kind=Forgetful) as load:
        healed(load)                    # all of them have something to lose
        memcached.kill()
        opened(server)
        wait_until(load.refused, "a visitor to be told")
        memcached.start()
        healed(load)
        assert all(v.lost == 1 for v in load.visitors)
    assert_states(server)


def test_started_anew_between_two_requests(server, memcached):
    """Nobody waits for it: a connection of before is replaced within the request. Who had a session is a
    stranger, with a cookie that opens nothing and is nobody's to delete."""
    visitors = [server.client() for _ in range(4)]
    for visitor in visitors:
        visitor.results("set=a:1")
    memcached.restart()
    jar = dict(visitors[0].jar)
    answer = visitors[0].probe("get=a", "load")
    assert answer.status == 200 and answer.results == ["-", "NOTFOUND"] and answer.all("Set-Cookie") == []
    assert visitors[0].jar == jar
    for visitor in visitors:
        old = visitor.token
        assert visitor.results("set=b:1", "get=a", "get=b") == ["ok", "-", "=1"] and visitor.token != old
    assert states(server) == []


def test_not_there_at_the_start(start, another):
    """A warning, and it heals by itself."""
    memcached = another()
    memcached.kill()
    server = start(f"BSessionStore default {memcached.words} {OPTIONS}\n" + on())
    assert "takes no connections" in server.logged("BSessionStore (default|hasty): cannot be asked yet: ")
    assert server.client().probe("set=a:1").status == 503
    assert server.client().get("/index.html").status == 200
    memcached.start()
    wait_until(lambda: server.client().probe("set=a:1").status == 200, "the store to be asked")
    states(server)


def test_a_graceful_restart(server, memcached):
    """httpd's, with the server and without: sessions are there after it."""
    visitor = server.client()
    visitor.results("set=a:1")
    server.graceful()
    assert visitor.results("get=a") == ["=1"]
    memcached.kill()
    server.expect("store default: ", "BSessionStore (default|hasty): cannot be asked yet: ")
    server.graceful()
    assert visitor.probe("get=a").status == 503
    memcached.start()
    wait_until(lambda: visitor.probe("get=a").status == 200, "the store to be asked again")


@pytest.mark.parametrize("at,status", [("/probe", 503), ("/anonymous", 200)])
def test_what_an_outage_means(server, memcached, at, status):
    """BSessionOnOutage: and the cookie is nobody's to delete, nor to make."""
    visitor = server.client()
    visitor.results("set=a:1")
    jar = dict(visitor.jar)
    memcached.kill()
    server.expect("store default: ")
    for calls in (["get=a"], ["set=b:1"], ["destroy"], ["set=b:1", "rotate"]):
        answer = visitor.probe(*calls, at=at)
        assert answer.status == status and answer.all("Set-Cookie") == []
        stranger = server.client()
        assert stranger.probe("set=a:1", at=at).status == status and stranger.jar == {}
    assert visitor.jar == jar


def test_stopped_for_longer_than_the_time_out(server, memcached):
    """SIGSTOP under load: answers come late, and to nobody else's question. What was told is there."""
    with Load(server, "/hasty", patience=PATIENCE) as load:
        told_more(load)
        memcached.pause()
        opened(server)
        memcached.resume()
        healed(load)
    assert_states(server, most=3)


def test_a_request_ends_in_time(server, memcached):
    """By timeout=, and at once while the breaker is open."""
    visitor = server.client()
    visitor.results("set=a:1")
    memcached.pause()
    times = []

    def at_once():
        began = time.monotonic()
        assert visitor.probe("get=a", at="/hasty").status == 503
        times.append(time.monotonic() - began)
        return times[-1] < TIMEOUT / 2
    wait_until(at_once, "a request that the breaker ends")
    assert max(times) < PATIENCE
    memcached.resume()
    wait_until(lambda: visitor.probe("get=a", at="/hasty").results == ["=1"], "the store to be asked again")
    assert_states(server, most=3)


def test_800_increments(server):
    """Of eight writers on one session; each is told of, and none is lost."""
    first = server.client()
    first.results("set=n:0")

    def write(writer):
        return [writer.probe("incr=n:1").status for _ in range(100)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        said = list(pool.map(write, [first.twin() for _ in range(8)]))
    assert said == [[200] * 100] * 8
    assert first.results("get=n") == ["=800"]


# -- how long

def life(memcached, server, visitor):
    """What the server itself says is left of it, in seconds."""
    [tag] = visitor.results("tag")
    [key] = [key for key in memcached.keys() if tag in key]
    [said] = memcached(f"mg {key} t")
    return int(said.split()[1][1:])


def test_the_servers_own_time(server, memcached):
    """Rounded up; beyond 30 days the server takes a moment and no span, by a clock that may be ahead of ours, and
    that it reads in whole seconds, now and then."""
    visitor, long = server.client(), server.client()
    began = time.monotonic()
    visitor.results("set=a:1")
    left = life(memcached, server, visitor)
    assert 300 - (time.monotonic() - began) <= left <= 302
    long.results("set=a:1", at="/long")
    left = life(memcached, server, long)
    assert 41 * 86400 - 10 - (time.monotonic() - began) < left < 41 * 86400 + 10
    assert long.results("get=a", at="/long") == ["=1"]


def test_a_short_life_is_not_for_ever(server, memcached):
    """Half a second is not 0, and not a whole one either."""
    client = server.client()
    at = {"at": "/anonymous"}
    began = time.monotonic()
    assert client.results("cache=default/things/500", "cset=short:1", "cget=short", **at)[1:] == ["ok", "=1"]
    wait_until(lambda: client.results("cache=default/things/500", "cget=short", **at)[1:] == ["-"], "the end")
    assert 0.4 < time.monotonic() - began < 5
    assert client.results("cache=default/things/0", "cset=ever:1", "cget=ever", **at)[1:] == ["ok", "=1"]


# -- what others have done to an item

def key_of(memcached, visitor):
    [tag] = visitor.results("tag")
    [key] = [key for key in memcached.keys() if tag in key]
    return key


def value_of(memcached, key):
    return memcached(f"get {key}")[1]


def overwrite(memcached, key, value):
    assert memcached(f"set {key} 0 0 {len(value)}", value) == [b"STORED"]


@pytest.mark.parametrize("damage", [
    lambda value: b"x", lambda value: b"BSm1", lambda value: value[:-1], lambda value: value + b"\0",
    lambda value: value[:60] + bytes([value[60] ^ 1]) + value[61:], lambda value: value[:12] + b"c" + value[13:],
    lambda value: value[:29] + b"\7" * 8 + value[37:]],
    ids=["foreign", "head", "shorter", "longer", "a bit", "another space", "another revision"])
def test_a_damaged_record(server, memcached, damage):
    """Section 10: an empty session, one warning with the tag, no outage; a set makes a fresh one."""
    visitor = server.client()
    visitor.results("set=a:1", "set=b:something")
    [tag] = visitor.results("tag")
    key, old = key_of(memcached, visitor), visitor.token
    overwrite(memcached, key, damage(value_of(memcached, key)))
    answer = visitor.probe("get=a")
    assert answer.status == 200 and answer.results == ["-"]
    assert tag in server.logged("bsession:warn")
    assert visitor.results("set=b:1") == ["ok"]
    assert visitor.token != old and visitor.results("get=a", "get=b") == ["-", "=1"]
    assert states(server) == []


def test_another_sessions_record(server, memcached):
    """It says whose it is, and is nobody else's."""
    ann, bob = server.client(), server.client()
    ann.results("set=user:ann")
    bob.results("set=user:bob")
    overwrite(memcached, key_of(memcached, bob), value_of(memcached, key_of(memcached, ann)))
    assert bob.results("get=user") == ["-"] and ann.results("get=user") == ["=ann"]
    server.expect("bsession:warn")


def test_nothing_under_the_key(server, memcached):
    visitor = server.client()
    visitor.results("set=a:1")
    overwrite(memcached, key_of(memcached, visitor), b"")
    assert visitor.results("get=a", "load") == ["-", "NOTFOUND"]


# -- room

def filled(memcached, smallest, largest):
    """With foreign items of all sizes between, each until it takes no more of it or begins to drop some."""
    size = smallest
    while size <= largest:
        dropped = memcached.stat("evictions")
        for i in range(200):
            said = memcached.talk.all([(f"set foreign{size}-{i}-{j} 0 0 {size}", b"x" * size) for j in range(100)])
            if set(said) != {b"STORED"} or memcached.stat("evictions") > dropped:
                break
        else:
            raise AssertionError("it has too much memory")
        size += size // 6


@pytest.mark.parametrize("sasl", [False, True])
def test_an_item_that_is_too_large(start, another, sasl):
    """The write is refused with a sentence, what was stored stays, and the answer is what it was. A server takes
    a megabyte."""
    small = another(sasl=sasl)
    running = start(f"BSessionStore default {small.words} {OPTIONS}\nBSessionLimit size=4M\n" + on())
    visitor = running.client()
    visitor.results("set=a:1")
    answer = visitor.probe("set=a:2", "big=b:1500000", "save")
    assert answer.status == 200 and answer.results == ["ok", "ok", "ENOSPC"]
    assert re.search(r"a record is larger than the largest item of the server, which is set by -I",
                     running.logged("bsession:warn.*store default: "))
    running.expect("bsession:warn")
    assert visitor.results("get=a", "has=b") == ["=1", "no"]
    stranger = running.client()
    assert stranger.probe("big=b:1500000").status == 200 and stranger.probe("has=b").results == ["no"]
    running.expect("bsession:warn")
    said = visitor.results("cache=default/things/0", "cset=k:1", "cbig=k:1500000", "cget=k")
    assert said == ["cache", "ok", "ENOSPC", "=1"]
    assert visitor.results("set=a:3", "get=a") == ["ok", "=3"]


def test_a_full_server(start, another):
    """-M: what is there is read, and ended; what is refused changes nothing, and is an outage."""
    full = another("-m", "2", "-M")
    running = start(f"BSessionStore default {full.words} timeout=20s breaker=off\n" + on())
    visitor, leaving = running.client(), running.client()
    for one in visitor, leaving:
        assert one.results("set=a:1", "set=b:2") == ["ok", "ok"]
    filled(full, 150, 7000)
    stranger = running.client().probe("big=c:500")
    assert stranger.status == 503 and stranger.all("Set-Cookie") == []
    assert "no memory is left (-m), and the server may drop nothing (-M)" in \
        running.logged("store default: save failed")
    assert visitor.results("get=a", "get=b") == ["=1", "=2"]
    assert visitor.probe("big=c:5000").status == 503
    assert visitor.results("get=a", "get=b", "has=c") == ["=1", "=2", "no"]
    assert leaving.probe("destroy").results == ["ok"] and leaving.jar == {}
    full("flush_all")
    running.expect("store default: ")
    wait_until(lambda: running.client().probe("set=a:1").status == 200, "room")


def test_a_server_that_drops(start, another):
    """Without -M it makes room: sessions that nobody used are gone, and nobody is refused."""
    small = another("-m", "2")
    running = start(f"BSessionStore default {small.words} {OPTIONS}\n" + on())
    idle = running.client()
    idle.results("set=a:1")
    with Load(running, patience=PATIENCE, kind=Forgetful) as load:
        filled(small, 150, 1000)
        told_more(load)
        assert load.refused() == 0
    wait_until(lambda: idle.probe("get=a").status == 200, "an answer")


# -- who asks

class Other(Listener):
    """A server of the web."""

    def _answer(self, connection):
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_who_asks(start, another):
    """SASL: with the right password, with a wrong one, and with none."""
    locked, careless, simple, other = another(sasl=True), another("-C"), another(), Other()
    stores = {"right": locked.words, "wrong": f"memcached://{locked.host} user={USER} password=wrong-{PASSWORD}",
              "nobody": f"memcached://{locked.host} user=nobody password={PASSWORD}",
              "silent": f"memcached://{locked.host} timeout=1s connect_timeout=500ms", "careless": careless.words,
              "simple": f"{simple.words} user={USER} password={PASSWORD}",
              "other": f"memcached://127.0.0.1:{other.port}"}
    running = start(places(stores))
    running.expect(r"BSessionStore \S+: cannot be asked yet: ")
    works(running, "right")
    refused(running, "wrong", "the server refused user= or password=")
    refused(running, "nobody", "the server refused user= or password=")
    refused(running, "silent")
    refused(running, "simple", "it lets nobody log in; is it Memcached, started with -S?")
    refused(running, "other", "the server did not understand; is it Memcached?")
    visitor = running.client()
    visitor.results("set=a:1", at="/careless")
    assert visitor.probe("get=a", at="/careless").status == 503
    assert "no cas numbers (-C)" in running.logged("store careless: ")
    running.expect("store careless: ")
    assert PASSWORD not in running.log()
    other.close()


def test_many_log_in_at_once(start, another):
    """SASL under load, and a server that begins anew: whoever finds a closed connection logs in again."""
    locked = another(sasl=True)
    running = start(f"BSessionStore default {locked.words} {OPTIONS}\n" + on())
    with Load(running, visitors=12, patience=PATIENCE, kind=Forgetful) as load:
        for _ in range(3):
            told_more(load)
            locked.restart()
            healed(load)
    running.expect("store default: ")
    assert "exit signal" not in running.log()
