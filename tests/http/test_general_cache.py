"""P12, P13: the general cache of mod_bsession.h, through the real server: each call's contract, several
children at once, and a store that sessions share."""

import concurrent.futures
import uuid

import pytest

from client import quote
from doubles import Fault, wait_until
from httpd import on

CHILDREN = {
    "event": "StartServers 3\nThreadsPerChild 8\nMinSpareThreads 8\nMaxSpareThreads 64\nMaxRequestWorkers 64\n",
    "worker": "StartServers 3\nThreadsPerChild 8\nMinSpareThreads 8\nMaxSpareThreads 64\nMaxRequestWorkers 64\n",
    "prefork": "StartServers 8\nMinSpareServers 8\nMaxSpareServers 16\nMaxRequestWorkers 32\n",
}
# a store may outlive the run, and what an earlier one left there is not this one's
RUN = uuid.uuid4().hex
MODES = ["plain", "unable"]         # a store that scans, and one that cannot


@pytest.fixture(scope="module")
def server(start, build):
    return start(on("BSessionIdleTimeout 1h"), mpm_config=CHILDREN[build.mpm])


def prepare(server):
    server.fault = Fault(server.writable / "fault")
    server.unable = Fault(server.writable / "unable")
    server.unable.set("unable", "scan")


@pytest.fixture(scope="module")
def faulty(start, build):
    """The stores `plain` and `unable`, of which the second cannot scan."""
    return start("BSessionStore default fault:memory: control={w}/fault size=16M timeout=1s breaker=off\n"
                 "BSessionStore plain   memory: size=16M\n"
                 "BSessionStore unable  fault:memory: control={w}/unable size=16M timeout=5s\n"
                 + on("BSessionUse unable"), mpm_config=CHILDREN[build.mpm], prepare=prepare)


@pytest.fixture
def cache(server, request):
    """Runs calls on a cache of this test's own, in a request of its own."""
    return on_cache(server, "-", request.node.name)


def on_cache(server, store, name, life=0):
    chosen = f"cache={store}/{quote(name + RUN)}/{life}"

    def run(*calls):
        first, *results = server.client().results(chosen, *calls)
        assert first == "cache"
        return results
    return run


# ---- each call

def test_set_get_has_delete(cache):
    """P13."""
    assert cache("cget=a", "chas=a", "cdelete=a") == ["-", "NOTFOUND", "NOTFOUND"]
    assert cache("cset=a:1", "cget=a", "chas=a") == ["ok", "=1", "ok"]
    assert cache("cset=a:2", "cget=a") == ["ok", "=2"]
    assert cache("cdelete=a", "cget=a", "chas=a", "cdelete=a") == ["ok", "-", "NOTFOUND", "NOTFOUND"]


def test_add(cache):
    """P13: only where it is not there."""
    assert cache("cadd=a:1", "cadd=a:2", "cget=a") == ["ok", "EEXIST", "=1"]
    assert cache("cdelete=a", "cadd=a:2", "cget=a") == ["ok", "ok", "=2"]


def test_of_several_who_add_one_succeeds(server):
    """P13."""
    cache = on_cache(server, "-", "adders")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for n in range(5):
            got = list(pool.map(lambda i: cache(f"cadd=k{n}:{i}")[0], range(8)))
            assert sorted(got) == ["EEXIST"] * 7 + ["ok"]


def test_incr_and_decr(cache):
    """P13."""
    assert cache("cincr=n:3", "cincr=n:4", "cdecr=n:10", "cget=n") == ["=3", "=7", "=-3", "=-3"]
    assert cache("cset=n:41", "cincr=n:1", "cincr=n:0") == ["ok", "=42", "=42"]
    assert cache("cset=x:abc", "cincr=x:1", "cget=x") == ["ok", "EINVAL", "=abc"]
    assert cache(f"cset=m:{2**63 - 1}", "cincr=m:1", "cget=m") == ["ok", "EINVAL", f"={2**63 - 1}"]
    assert cache(f"cset=m:{-2**63}", "cdecr=m:1", f"cdecr=m:{-2**63}") == ["ok", "EINVAL", "EINVAL"]
    assert cache("cdecr=new:2", "cget=new") == ["=-2", "=-2"]


def test_many(cache):
    """P13."""
    assert cache("cset_many=a:1,b:2,c:3") == ["ok:ok,ok,ok"]
    assert cache("cget_many=a,x,c") == ["ok:=1,NOTFOUND,=3"]
    assert cache("cdelete_many=a,x") == ["ok:ok,NOTFOUND"]
    assert cache("cget_many=a,b,c") == ["ok:NOTFOUND,=2,=3"]


def test_any_bytes_and_long_keys(cache):
    """P13."""
    value = bytes([0, 255, 13, 10, 61, 38, 37, 0])
    assert cache(f"cset=a:{quote(value)}", "cgetn=a") == ["ok", "=" + value.hex()]
    assert cache("cset=a:", "cget=a") == ["ok", "="]
    key = quote("ä \r\n") + "k" * 2000
    assert cache(f"cset={key}:1", f"cget={key}", f"cget={key}x") == ["ok", "=1", "-"]
    assert cache("cset=:1", "cget=") == ["ok", "=1"]


def test_60_kb_and_too_large(cache):
    """P13: what is too large is refused, and what was stored stays."""
    assert cache("cbig=a:60000", "chas=a") == ["ok", "ok"]
    assert cache("cset=b:1", "cbig=b:3000000000", "cget=b") == ["ok", "ENOSPC", "=1"]


def test_lives(server):
    """P13: each entry has its own, 0 is never, and the cache has a default."""
    cache = on_cache(server, "-", "lives", life=150)
    assert cache("cset=a:1", "life=0", "cset=b:2", "life=3600000", "cset=c:3") == ["ok", "done", "ok",
                                                                                     "done", "ok"]
    wait_until(lambda: cache("cget=a") == ["-"], "the default life to end")
    assert cache("cget=b", "cget=c", "cadd=a:2") == ["=2", "=3", "ok"]


def test_incr_keeps_the_life(server):
    """P13: theirs resets it."""
    cache = on_cache(server, "-", "counting lives", life=300)
    assert cache("cincr=n:1") == ["=1"]
    seen = []

    def is_over():
        seen.append(cache("life=3600000", "cincr=n:1")[1])
        return seen[-1] == "=1"
    wait_until(is_over, "a counter to end in spite of being counted")
    assert "=2" in seen


def test_there_is_no_such_cache(server, client):
    """P13: NULL."""
    assert client.results("cache=nowhere/a/0") == ["NULL"]
    assert client.results(f"cache=-/{'n' * 256}/0", f"cache=-/{'n' * 255}/0") == ["NULL", "cache"]


# ---- one store for all

def test_one_store_for_sessions_and_caches(server, client):
    """P12 P13: clear empties one cache, and neither another one nor the sessions."""
    one, other = on_cache(server, "-", "one"), on_cache(server, "-", "other")
    client.results("set=a:1")
    for n in range(40):
        assert one(f"cset=k{n}:1") == ["ok"]
    assert other("cset=k0:2") == ["ok"]
    assert one("cclear", "cget=k0", "cget_many=k1,k39") == ["ok", "-", "ok:NOTFOUND,NOTFOUND"]
    assert other("cget=k0") == ["=2"]
    assert client.results("get=a") == ["=1"]
    assert one("cadd=k0:3", "cget=k0") == ["ok", "=3"]


def test_children_share_it_and_no_step_is_lost(server):
    """P13: 8 x 100 increments at once, in several children, are 800; theirs loses some."""
    counter = on_cache(server, "-", "counter")
    calls = ["pid"] + ["cincr=n:1"] * 10
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: [counter(*calls) for _ in range(10)], range(8)))
    answers = [answer for each in done for answer in each]
    numbers = [int(number[1:]) for _, *ten in answers for number in ten]
    assert sorted(numbers) == list(range(1, 801))
    assert counter("cget=n") == ["=800"]
    assert len({pid for pid, *_ in answers}) > 1


def test_a_graceful_restart_keeps_it(server, client):
    """P12."""
    cache = on_cache(server, "-", "lasting")
    assert cache("cset=a:1") == ["ok"]
    server.graceful()
    assert cache("cget=a") == ["=1"]


# ---- where the store cannot scan

@pytest.mark.parametrize("store", MODES)
def test_clear_on_either_kind_of_store(faulty, store):
    """P12 P13: what a store cannot look for is cleared by its generation."""
    client = faulty.client()
    one, other = on_cache(faulty, store, "one"), on_cache(faulty, store, "other")
    client.results("set=a:1")
    for n in range(40):
        assert one(f"cset=k{n}:1") == ["ok"]
    assert one("cincr=n:5", "cincr=n:1", "cget_many=k0,k39,x") == ["=5", "=6", "ok:=1,=1,NOTFOUND"]
    assert other("cset=k0:2") == ["ok"]
    assert one("cclear", "cget=k0", "cget=n", "cclear") == ["ok", "-", "-", "ok"]
    assert other("cget=k0") == ["=2"]
    assert one("cadd=k0:3", "cget=k0", "cincr=n:2") == ["ok", "=3", "=2"]
    assert client.results("get=a") == ["=1"]


def test_it_is_asked_once_whether_it_scans(faulty):
    """P13: once for all children."""
    cache = on_cache(faulty, "unable", "asked")
    cache("cset=a:1")
    asked = faulty.unable.calls("scan")
    for _ in range(10):
        assert cache("cget=a") == ["=1"]
    assert faulty.unable.calls("scan") == asked


@pytest.mark.parametrize("store", MODES)
def test_counting_while_it_is_cleared(faulty, store):
    """P13: what was counted since the last clear is there, no more, and nothing breaks."""
    counter = on_cache(faulty, store, "cleared")
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        counting = [pool.submit(counter, *["cincr=n:1"] * 50) for _ in range(4)]
        clearing = [pool.submit(counter, "cclear") for _ in range(10)]
        assert all(f.result() == ["ok"] for f in clearing)
        results = [number for f in counting for number in f.result()]
    assert all(r.startswith("=") for r in results), results
    now = counter("cget=n")[0]
    assert now == "-" or 1 <= int(now[1:]) <= 200
    assert counter("cclear", "cincr=n:1") == ["ok", "=1"]


# ---- outages

@pytest.mark.parametrize("mode", ["fail", "hang"])
def test_an_outage_is_not_a_miss(faulty, mode):
    """P13."""
    faulty.expect(r"bsession:(warn|error)")
    cache = on_cache(faulty, "default", "outage")
    assert cache("cset=a:1") == ["ok"]
    faulty.fault.set(mode, "load", times=1)
    assert cache("cget=a")[0].startswith("outage")
    faulty.fault.set(mode, "put", times=1)
    assert cache("cset=a:2")[0].startswith("outage")
    faulty.fault.set(mode, "remove", times=1)
    assert cache("cdelete=a")[0].startswith("outage")
    faulty.fault.set("lost", "merge", times=1)
    assert cache("cset=n:1", "cincr=n:1")[1].startswith("outage")
    faulty.fault.clear()
    assert cache("cget=a", "cget=n") == ["=1", "=2"]


def test_a_damaged_record(faulty):
    """P13: a miss, and a line that holds neither key nor value."""
    cache = on_cache(faulty, "default", "damaged")
    assert cache("cset=keyn4me:s3cr3t") == ["ok"]
    for mode in ("corrupt", "garble"):
        faulty.fault.set(mode, "load", times=1)
        assert cache("cget=keyn4me") == ["-"]
        assert "keyn4me" not in faulty.logged(r"the record of cache entry [0-9a-f]{12} is damaged")
    faulty.fault.clear()
    assert cache("cget=keyn4me") == ["=s3cr3t"]
