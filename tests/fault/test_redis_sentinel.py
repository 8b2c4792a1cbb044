"""P06: Redis behind Sentinel. Who the master is, and what happens to visitors when that changes."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from doubles import Gate, PATIENCE, wait_until
from load import Load
from places import places, works
from ports import free_port
from redis_lagging import Lagging
from redis_layouts import CALM, DOWN_AFTER, QUICK, Sentinels, SOON
from redis_proxy import Proxy, Swallow

# what the log tells of an outage, and nothing else
OUTAGE = (r"bsession:(error|warn)\] \[\d+\] (BSessionStore \w+: cannot be asked yet: |store \w+: ("
          r"(load|save|touch|remove|scan) failed: |failed \d+ times in a row, |answers again))")


@pytest.fixture(scope="module")
def layout():
    one = Sentinels()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def lagging():
    one = Lagging()
    yield one
    one.close()


@pytest.fixture(scope="module")
def server(start, layout, lagging):
    def behind(*sentinels):
        hosts = ",".join(f"127.0.0.1:{port}" for port in sentinels)
        return "redis://" + hosts + layout.words[layout.words.index("/0"):]
    live = [s.port for s in layout.sentinels]
    usual, short = (f" breaker=off timeout={t}s connect_timeout={c}s" for t, c in ((20, 5), (2, 1)))
    return start(places({
        "main": layout.words + usual,
        "copied": layout.words + " replicas=1 prefix=bs:copied:" + usual,
        "greedy": layout.words + " replicas=3 prefix=bs:greedy: breaker=off timeout=4s",
        "lagging": behind(lagging.port, *live) + " prefix=bs:lagging: breaker=off timeout=6s connect_timeout=2s",
        "partly": behind(free_port(), live[0]) + " prefix=bs:partly:" + usual,
        "patient": layout.words + " prefix=bs:patient: breaker=off timeout=120s",
        "hasty": layout.words + " prefix=bs:hasty: breaker=off timeout=2s",
        "nobody": behind(free_port(), free_port()) + short,
        "stranger": layout.words.replace("sentinel=main", "sentinel=other") + short,
    }, ""))


@pytest.fixture(autouse=True)
def at_the_start(server):
    """What httpd says of these whenever it starts."""
    server.expect(r"BSessionStore (nobody|stranger): cannot be asked yet")


@pytest.fixture
def whole(layout):
    """Everybody is there before the test, and after it."""
    wait_until(layout.is_whole, "the layout to be whole")
    yield layout
    layout.mend()


@pytest.fixture
def watched(whole):
    """Closely: who is silent for a moment counts as gone, until another one is there."""
    whole.watch(DOWN_AFTER)
    yield whole
    whole.mend()
    whole.watch(CALM)


def test_it_is_served_by_the_master(server, whole):
    works(server, "main")
    assert any(k.startswith("bs:s") for k in whole.master()("KEYS", "bs:s*"))


def test_a_read_is_one_round_trip(server, whole):
    """ROLE is asked with the first command of a connection, and once a second from then on."""
    visitor = works(server, "main")
    for s in whole.servers:
        s("CONFIG", "RESETSTAT")
    began = time.monotonic()
    for _ in range(200):
        assert visitor.results("get=n", at="/main") == ["=2"]
    seconds = time.monotonic() - began
    master = whole.master()
    connections = master("CLIENT", "LIST").count(" user=web ")
    assert master.calls("hgetall") == 200
    assert master.calls("role") <= connections * (seconds + 2)


def test_a_sentinel_that_is_down_is_passed_over(server, whole):
    works(server, "partly")


def test_no_sentinel_no_master(server):
    answer = server.client().probe("set=a:1", at="/nobody")
    assert answer.status == 503
    line = server.logged(r"store nobody: ")
    assert "127.0.0.1:" in line and "connecting" in line
    server.expect(OUTAGE)


def test_a_name_that_no_sentinel_knows(server, whole):
    answer = server.client().probe("set=a:1", at="/stranger")
    assert answer.status == 503
    assert "knows no master 'other'" in server.logged(r"store stranger: ")
    server.expect(OUTAGE)


@pytest.mark.parametrize("what", ["a replica", "nobody", "silence"])
def test_a_sentinel_that_lags_is_passed_over(server, whole, lagging, what):
    """Its server says itself that it is no master, or does not answer."""
    replica = next(s for s in whole.servers if s.port != whole.agreed())
    lagging.names = {"a replica": replica.port, "nobody": free_port(), "silence": None}[what]
    server.graceful()                   # children that know nothing
    before = lagging.asked
    works(server, "lagging")
    assert lagging.asked > before


def test_failover_when_the_master_is_killed(server, watched):
    """Requests fail only while there is no master; what a replica had is not lost; nothing counts twice."""
    server.expect(OUTAGE)
    with Load(server, "/main", loses=True) as load:
        wait_until(load.goes_on(), "the load to run")
        sure, old = load.counted(), watched.master()
        old("SET", "marker", "x")
        assert old("WAIT", 2, 5000) == 2
        old.kill()
        watched.wait_for_another(old)
        watched.watch(CALM)
        healed = time.monotonic()
        at_heal = load.counted()
        wait_until(load.goes_on(20), "service to go on")
    assert load.failures_since(healed) == []
    gone_on = [now - then for now, then in zip(load.counted(), at_heal)]
    load.holds([a + b for a, b in zip(sure, gone_on)])


def test_failover_with_a_sentinel_down(server, watched):
    """The one that children have asked so far."""
    server.expect(OUTAGE)
    watched.sentinels[0].kill()
    with Load(server, "/main", loses=True) as load:
        wait_until(load.goes_on(), "the load to run")
        old = watched.master()
        old.kill()
        watched.wait_for_another(old)
        watched.watch(CALM)
        healed = time.monotonic()
        wait_until(load.goes_on(20), "service to go on")
    assert load.failures_since(healed) == []


def test_a_demoted_master_is_not_believed(server, whole):
    """It is there, and answers; it is a replica now. An orderly failover costs hardly any request, and what
    is acknowledged from then on is the new master's."""
    server.expect(OUTAGE)
    with Load(server, "/main", loses=True) as load:
        wait_until(load.goes_on(), "the load to run")
        old = whole.master()
        whole.replace(old)
        healed = time.monotonic()
        at_heal = load.counted()
        wait_until(load.goes_on(20), "service to go on")
    assert load.failures_since(healed) == []
    gone_on = [now - then for now, then in zip(load.counted(), at_heal)]
    load.holds(gone_on)


def test_reads_of_a_demoted_master_end_within_a_second(server, whole):
    """A connection that is kept, to a master that was made a replica of nobody's knowledge: no answer
    of it is taken a second later."""
    visitor = works(server, "hasty")
    old = whole.master()
    other = next(s for s in whole.servers if s is not old)
    for s in whole.sentinels:
        s.kill()                        # nobody ends connections, or repairs it
    server.expect(OUTAGE)
    other("REPLICAOF", "NO", "ONE")
    old("REPLICAOF", "127.0.0.1", other.port)
    demoted = time.monotonic()
    began = []

    def disbelieved():
        began.append(time.monotonic())
        return visitor.probe("get=n", at="/hasty").status == 503
    wait_until(disbelieved, "it to be disbelieved")
    assert began[-1] - demoted < 15     # and this is a busy machine
    server.logged(r"store hasty: load failed: .*(the server is no master|connecting: )")    # or whoever was asked last
    old("REPLICAOF", "NO", "ONE")
    other("REPLICAOF", "127.0.0.1", old.port)
    for s in whole.sentinels:
        s.start()
    wait_until(lambda: visitor.probe("get=n", at="/hasty").status == 200, "service to return")


def test_a_master_of_the_past_comes_back(server, watched):
    """While nobody used the store another one has taken over. The old one takes itself for a master until a
    Sentinel tells it otherwise, and has heard of nothing: nobody believes it."""
    visitors = [works(server, "main") for _ in range(20)]
    server.expect(OUTAGE)
    old = watched.master()
    old("SET", "marker", "x")
    assert old("WAIT", 2, 5000) == 2
    old.kill()
    watched.wait_for_another(old)
    watched.watch(CALM)
    watched.pace(30000)
    try:
        old.start()
        for visitor in visitors:
            assert visitor.results("incr=n:1", "get=n", at="/main") == ["=3", "=3"]
        assert old.role() == "master"
        assert old.calls("evalsha") == old.calls("hgetall") == 0
    finally:
        watched.pace(QUICK)


def test_a_lost_reply_is_not_asked_for_twice(server, whole, lagging):
    """A master that is behind a proxy, by the word of the first Sentinel. A load is asked of it again, an
    increment is not: it was done."""
    wire = Proxy(whole.agreed())
    lagging.names = wire.port
    server.graceful()                   # children that know nothing
    try:
        visitor = works(server, "lagging")
        wire.once(b"HGETALL", Swallow())
        assert visitor.results("get=n", at="/lagging") == ["=2"]
        wire.clear()
        wire.once(b"EVAL", Swallow())
        assert visitor.probe("incr=n:1", at="/lagging").status == 503
        assert wire.count(b"EVAL") == 1
        server.expect(OUTAGE)
        wire.clear()
        assert visitor.results("get=n", at="/lagging") == ["=3"]
    finally:
        wire.close()
        lagging.names = None


def test_a_master_that_hangs(server, watched):
    """SIGSTOP: nothing takes longer than its time-out, and then another master serves."""
    server.expect(OUTAGE)
    visitor = works(server, "main")
    old = watched.master()
    old.pause()
    slowest = 0

    def answered():
        nonlocal slowest
        began = time.monotonic()
        status = visitor.probe("get=n", at="/main").status
        slowest = max(slowest, time.monotonic() - began)
        return status == 200
    wait_until(answered, "another master to serve")
    assert slowest < 45                 # timeout=20s, twice
    old.resume()


def test_nobody_waits_for_a_master_that_was_replaced(server, watched):
    """SIGSTOP, and calls that have much time: what can be asked again is asked of the new master as soon as there
    is one, on a connection that was there and on a new one."""
    server.expect(OUTAGE)
    visitors = [works(server, "patient") for _ in range(4)]
    old = watched.master()
    assert old("WAIT", 2, 5000) == 2
    old.pause()
    with ThreadPoolExecutor(5) as pool:
        read = [pool.submit(v.results, "get=n", at="/patient", timeout=120) for v in visitors]
        made = pool.submit(server.client().results, "set=a:1", at="/patient", timeout=120)
        watched.wait_for_another(old)
        watched.watch(CALM)
        assert [r.result(SOON) for r in read] == [["=2"]] * 4 and made.result(SOON) == ["ok"]
    old.resume()


def test_an_increment_at_a_master_that_was_replaced(server, watched):
    """Sent before it hung, it is unknown as soon as there is another master, and is not sent again."""
    server.expect(OUTAGE)
    visitor = works(server, "patient")
    old = watched.master()
    assert old("WAIT", 2, 5000) == 2
    server.graceful()                   # the load connects, so that the save need not ask for the role
    gate = Gate(server)
    with gate.passing(visitor, "get=n", gate.call, "incr=n:1", at="/patient", timeout=120):
        old.pause()
        began = time.monotonic()
    assert gate.answer.status == 503 and time.monotonic() - began < PATIENCE
    assert "is silent, and another one has taken over" in server.logged(r"store patient: save failed")
    assert visitor.results("get=n", at="/patient") == ["=2"]
    old.resume()


def test_what_is_destroyed_stays_so(server, watched):
    """With replicas=1 an acknowledged removal is on a replica: the failover does not undo it."""
    server.expect(OUTAGE)
    visitors = [works(server, "copied") for _ in range(5)]
    tokens = [v.jar["copied"] for v in visitors]
    for visitor in visitors:
        assert visitor.results("destroy", at="/copied") == ["ok"]
    old = watched.master()
    old.kill()
    watched.wait_for_another(old)
    watched.watch(CALM)
    for token in tokens:
        visitor = server.client()
        visitor.jar["copied"] = token
        wait_until(lambda: (answer := visitor.probe("get=n", at="/copied")).status == 200
                   and answer.results == ["-"], "the session to be gone")


def test_fewer_replicas_than_asked_for_is_an_outage(server, whole):
    visitor = works(server, "greedy")
    assert visitor.probe("rotate", at="/greedy").status == 503
    line = server.logged(r"store greedy: ")
    assert f"127.0.0.1:{whole.agreed()}: fewer than replicas=3 have it" in line
    server.expect(OUTAGE)
