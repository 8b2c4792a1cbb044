"""Three Memcached servers: each record has its place by its key alone, and what happens to one server is nothing
to the sessions of the others."""

import pytest

from doubles import wait_until
from httpd import on
from load import Forgetful, Load
from memcached_server import Ring

# how long a server that is stopped keeps its visitors waiting
TIMEOUT = 4.0
OPTIONS = "timeout=4s connect_timeout=2s breaker=3,100ms,400ms"


@pytest.fixture
def ring():
    three = Ring()
    yield three
    three.stop()


def start_on(start, words, options=OPTIONS):
    return start(f"BSessionStore default {words} {options}\n" + on())


def home(ring, client):
    """The place of the server that has this visitor's record; there is one. The server's own list leaves out what
    is being replaced while it is made."""
    [tag] = client.results("tag")
    [place] = wait_until(lambda: [i for i, one in enumerate(ring.servers) if any(tag in key for key in one.keys())],
                         "the record to be listed")
    return place


def test_weights(start, ring):
    """Of the three, the second takes about twice as much."""
    server = start_on(start, ring.words)
    for _ in range(200):
        server.client().results("set=a:1")
    one, two, three = (s.stat("curr_items") for s in ring.servers)
    assert one + two + three == 200
    assert one and three and two > (one + three) / 2, (one, two, three)


def test_the_order_is_nothing(start, ring):
    """Another httpd that names them in another order finds the same places."""
    server = start_on(start, ring.words)
    hosts = ring.words.removeprefix("memcached://").split(",")
    other = start_on(start, "memcached://" + ",".join(reversed(hosts)))
    for i in range(30):
        visitor = server.client()
        visitor.results(f"set=a:{i}")
        twin = other.client()
        twin.jar = dict(visitor.jar)
        assert twin.results("get=a") == [f"={i}"]


def test_one_more(start, ring):
    """Most records stay where they are: it takes about its share."""
    server = start_on(start, ring.words)
    visitors = [server.client() for _ in range(100)]
    for visitor in visitors:
        visitor.results("set=a:1")
    fourth = ring.add()
    larger = start_on(start, f"{ring.words},{fourth.host}")
    kept = 0
    for visitor in visitors:
        twin = larger.client()
        twin.jar = dict(visitor.jar)
        kept += twin.results("get=a") == ["=1"]
    assert 60 <= kept < 100


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_one_of_three_is_lost(start, ring, how):
    """And back. Its visitors are told of an outage, the others notice nothing; nothing moves to another server
    meanwhile, so that nothing of before comes back later."""
    server = start_on(start, ring.words)
    with Load(server, visitors=12, kind=Forgetful, patience=3 * TIMEOUT) as load:
        homes = {v.name: home(ring, v.client.twin()) for v in load.visitors}
        lost = max(set(homes.values()), key=list(homes.values()).count)
        touched = [v for v in load.visitors if homes[v.name] == lost]
        untouched = [v for v in load.visitors if homes[v.name] != lost]
        assert touched and untouched
        wait_until(load.goes_on(3), "all to have something to lose")
        getattr(ring.servers[lost], how)()
        wait_until(lambda: all(v.unknown for v in touched), "its visitors to be told")
        wait_until(lambda: "left alone" in server.log()[server.seen:], "the breaker to open")
        assert f"store default: {ring.servers[lost].host} failed 3 times" in server.log()[server.seen:]
        before = [v.told for v in untouched]
        wait_until(lambda: all(v.told > was + 20 for v, was in zip(untouched, before)), "the others to go on")
        if how == "kill":
            ring.servers[lost].start()
        else:
            ring.servers[lost].resume()
        before = [v.counted for v in touched]
        wait_until(lambda: all(v.counted > was + 2 for v, was in zip(touched, before)),
                   "its visitors to be served")
        assert all(v.lost == (how == "kill") for v in touched)
        server.logged(f"store default: {ring.servers[lost].host} answers again")
    assert [v.unknown + v.lost for v in untouched] == [0] * len(untouched)
    assert all(v.slowest < TIMEOUT for v in untouched), [v.slowest for v in untouched]
    server.expect("store default: ")


def test_a_cache_and_one_server_away(start, ring):
    """What the others have is there, also of many at once, whichever is asked first; what it has is unknown, and no
    miss. On one of the servers is the record by which the cache is cleared: without that, nothing is known."""
    server = start_on(start, ring.words, "timeout=3s connect_timeout=1s breaker=3,100ms,400ms")
    client = server.client()

    def cached(*calls):
        return client.results("cache=default/things/60000", *calls)[1:]
    keys = [f"k{i}" for i in range(16)]
    assert cached(*[f"cset={k}:{k}" for k in keys]) == ["ok"] * 16
    many = ["cget_many=" + ",".join(keys[at:at + 8]) for at in (0, 8)]

    def values():
        return ",".join(said.partition(":")[2] for said in cached(*many)).split(",")
    assert values() == [f"={k}" for k in keys]
    known = []
    for one in ring.servers:
        one.pause()
        said = values()
        assert all(s == f"={k}" or s.startswith("outage") for s, k in zip(said, keys)), said
        known.append(sum(s.startswith("=") for s in said))
        one.resume()
        wait_until(lambda: values() == [f"={k}" for k in keys], "the server to be asked again")
    # without one of the two others there is all but what that one has: so each key is had once at least
    assert sorted(known)[0] == 0 and 16 <= sum(known) < 32, known
    server.expect("store default: ")
