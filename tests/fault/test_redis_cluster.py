"""P07: Redis as a Cluster. Which node has a key, and what happens to visitors when that changes."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from doubles import Gate, wait_until
from load import Load
from places import ONE_CHILD, places, works
from redis_layouts import CALM, Cluster, DOWN_AFTER, SLOTS, SOON

# what the log tells of an outage, and nothing else
OUTAGE = (r"bsession:(error|warn)\] \[\d+\] (BSessionStore \w+: cannot be asked yet: |store \w+: ("
          r"(load|save|touch|remove|scan) failed: |([\d.:]+ )?(failed \d+ times in a row, |answers again)))")


@pytest.fixture(scope="module")
def layout():
    one = Cluster()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def server(start, layout):
    """With one child: what a request has learnt of the slots the next one knows."""
    usual, one = " breaker=off timeout=20s connect_timeout=5s", layout.members[1].address
    return start(places({
        "main": layout.words + usual,
        "moving": layout.words + " prefix=bs:moving:" + usual,
        "tagged": layout.words + " prefix=bs:{tag}:" + usual,
        "braces": layout.words + " prefix=bs:{}a{b:" + usual,
        "copied": layout.words + " replicas=1 prefix=bs:copied:" + usual,
        "greedy": layout.words + " replicas=2 prefix=bs:greedy: breaker=off timeout=4s",
        "alone": layout.words.replace(" cluster=on", "").replace("," + one, "") + usual,
        "patient": layout.words + " prefix=bs:patient: breaker=off timeout=120s",
        "short": layout.words + " prefix=bs:short: timeout=2s breaker=3,500ms,1s",
    }, ""), mpm_config=ONE_CHILD)


@pytest.fixture(autouse=True)
def at_the_start(server):
    """What httpd says of these whenever it starts."""
    server.expect(r"BSessionStore alone: cannot be asked yet")


@pytest.fixture
def whole(layout):
    """Everybody is there before the test, and after it."""
    wait_until(layout.is_whole, "the Cluster to be whole")
    yield layout
    layout.mend()


@pytest.fixture
def watched(whole):
    """Closely: who is silent for a moment counts as gone, until another one is there."""
    whole.watch(DOWN_AFTER)
    yield whole
    whole.mend()
    whole.watch(CALM)


def slot_of(layout, visitor_key):
    return layout.members[0]("CLUSTER", "KEYSLOT", visitor_key)


def new_visitor(server, layout, at):
    """And the slot of the new session."""
    def keys():
        return {k for m in layout.masters() for k in m("KEYS", f"bs:{at[1:]}:s*")}
    before = keys()
    visitor = works(server, at[1:])
    key, = keys() - before
    return visitor, slot_of(layout, key)


def map_is_due():
    """After a redirection it is asked for again, but not at once."""
    until = time.monotonic() + 1
    wait_until(lambda: time.monotonic() > until, "the map to be due")


def test_every_node_has_its_share(server, whole):
    """And nobody is asked who does not have the key, once a child knows the slots."""
    for name in ["main", "tagged", "braces"]:
        works(server, name)
    for master in whole.masters():
        master("CONFIG", "RESETSTAT")
    for name in ["main"] * 20 + ["tagged", "braces"] * 5:
        works(server, name)
    assert all(m.calls("hgetall") for m in whole.masters())
    assert sum(m.errors("MOVED") for m in whole.members) == 0


def test_braces_in_a_prefix(server, whole):
    """What stands between the first { and the next } chooses the slot, unless that is nothing."""
    for _ in range(8):
        works(server, "tagged")
        works(server, "braces")
    tagged = [k for m in whole.masters() for k in m("KEYS", "bs:{tag}:s*")]
    braces = [k for m in whole.masters() for k in m("KEYS", "bs:{}a{b:s*")]
    assert len({slot_of(whole, k) for k in tagged}) == 1
    assert len({slot_of(whole, k) for k in braces}) > 1


def test_scripts_that_a_node_does_not_know(server, whole):
    visitors = [works(server, "main") for _ in range(10)]
    for member in whole.members:
        member("SCRIPT", "FLUSH")
    for visitor in visitors:
        assert visitor.results("incr=n:1", at="/main") == ["=3"]


def test_a_node_without_the_option(server, whole):
    """The one line says what is missing."""
    statuses = {server.client().probe("set=a:1", at="/alone").status for _ in range(20)}
    assert 503 in statuses
    assert "wants cluster=on" in server.logged(r"store alone: ")
    server.expect(OUTAGE)


def test_a_slot_that_moves(server, whole):
    """Half of it is here and half of it there: each key is found where it is, and a new one is made where it
    will stay. No request fails."""
    visitor, slot = new_visitor(server, whole, "/moving")
    source = whole.owner(slot)
    target = next(m for m in whole.masters() if m is not source)
    at = {"at": "/moving"}

    def half_way():
        assert visitor.results("incr=n:1", **at) == ["=3"]
        keys = source("CLUSTER", "GETKEYSINSLOT", slot, 10)
        source("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "AUTH", "pass-of-a-test", "KEYS", *keys)
        before = source.errors("ASK")
        assert visitor.results("get=n", **at) == ["=3"]
        assert visitor.results("incr=n:1", **at) == ["=4"]
        assert visitor.results("rotate", **at) == ["ok"]
        assert source.errors("ASK") > before
    whole.move(slot, target, half_way)
    assert visitor.results("incr=n:1", "get=n", **at) == ["=5", "=5"]
    assert visitor.results("destroy", **at) == ["ok"]
    whole.move(slot, source)


@pytest.mark.parametrize("kind", ["hostname", "unknown-endpoint"])
def test_a_redirection_without_a_name(server, whole, kind):
    """A node that has no name for others, and one that does not know its own address: the first cannot say where a
    slot went, and somebody else is asked."""
    visitor, slot = new_visitor(server, whole, "/moving")
    source = whole.owner(slot)
    target = next(m for m in whole.masters() if m is not source)
    source("CONFIG", "SET", "cluster-preferred-endpoint-type", kind)
    try:
        map_is_due()
        visitor.results("get=n", at="/moving")      # so that it is not asked for just when the slot has moved
        before = source.errors("MOVED")
        whole.move(slot, target)
        assert visitor.results("incr=n:1", "get=n", at="/moving") == ["=3", "=3"]
        assert source.errors("MOVED") > before
    finally:
        source("CONFIG", "SET", "cluster-preferred-endpoint-type", "ip")
    whole.move(slot, source)


def test_what_a_redirection_teaches(server, whole):
    """One is enough for its slot; and for the others that moved, once a child has asked who owns what."""
    def visitor():
        one, slot = new_visitor(server, whole, "/moving")
        one.keep = True
        return one, slot
    (first, a), (second, b) = visitor(), visitor()
    while whole.owner(b) is not whole.owner(a) or a == b:
        second, b = visitor()
    second.connection = first.connection        # one child
    source = whole.owner(a)
    target = next(m for m in whole.masters() if m is not source)
    at = {"at": "/moving"}
    first.results("get=n", **at)
    second.connection = first.connection
    for m in source, target:
        m("CONFIG", "RESETSTAT")
    whole.move(a, target)
    whole.move(b, target)
    for _ in range(5):
        assert first.results("get=n", "incr=m:1", **at)[0] == "=2"
    assert source.errors("MOVED") <= 2          # one for each of the load's two commands
    assert target.calls("asking") == 0
    map_is_due()
    for _ in range(2):
        first.results("get=n", **at)
    before = source.errors("MOVED")
    assert second.results("get=n", **at) == ["=2"]
    assert source.errors("MOVED") == before
    wait_until(whole.is_whole, "all to know of it")
    whole.move(a, source)
    whole.move(b, source)


def test_many_at_once_while_slots_move(server, whole):
    """What a node does not have any more is asked of the one that has it."""
    def cached(*calls):
        return server.client().results("cache=moving/things/60000", *calls, at="/moving")[1:]
    names = [f"k{i}" for i in range(12)]
    assert cached(*[f"cset={n}:{n}" for n in names]) == ["ok"] * 12
    everything = cached("cget_many=" + ",".join(names))
    assert all(n in everything[0] for n in names)
    keys = [k for m in whole.masters() for k in m("KEYS", "bs:moving:c*")]
    homes = {slot_of(whole, k): whole.owner(slot_of(whole, k)) for k in keys[:3]}
    for slot, home in homes.items():
        whole.move(slot, next(m for m in whole.masters() if m is not home))
        assert cached("cget_many=" + ",".join(names)) == everything
    wait_until(whole.is_whole, "all to know of it")
    for slot, home in homes.items():
        whole.move(slot, home)
    assert cached("cget_many=" + ",".join(names)) == everything
    assert cached("cclear") == ["ok"]


def test_nodes_that_do_not_know_their_address(server, whole):
    """They are where they were asked."""
    server.expect(OUTAGE)
    for m in whole.members:
        m("CONFIG", "SET", "cluster-preferred-endpoint-type", "unknown-endpoint")
    try:
        server.graceful()               # children that know nothing
        for _ in range(12):
            works(server, "main")
    finally:
        for m in whole.members:
            m("CONFIG", "SET", "cluster-preferred-endpoint-type", "ip")


def test_a_node_that_hangs_does_not_hide_the_others(server, start, whole):
    """Whoever is asked for the map gets a share of the time."""
    hung = whole.members[0]
    visitor, slot = new_visitor(server, whole, "/moving")
    while whole.owner(slot) is hung:
        visitor, slot = new_visitor(server, whole, "/moving")
    assert whole.words.startswith(f"redis://{hung.address},")
    hung.pause()
    try:
        fresh = start(places({"moving": whole.words + " prefix=bs:moving:"}, "timeout=6s breaker=off"))
        fresh.expect("BSessionStore moving: cannot be asked yet")
        other = fresh.client()
        other.jar = dict(visitor.jar)
        assert other.results("get=n", at="/moving") == ["=2"]
    finally:
        hung.resume()


def test_emptying_a_cache_while_a_slot_is_nobodys(server, whole):
    """Who knows what lies there: it is an outage, and no success."""
    server.expect(OUTAGE)

    def cached(*calls):
        return server.client().results("cache=moving/things/60000", *calls, at="/moving")[1:]
    home, slot = whole.owner(SLOTS - 1), SLOTS - 1
    for m in whole.members:
        m("CONFIG", "SET", "cluster-require-full-coverage", "no")
    for m in whole.members:
        m("CLUSTER", "DELSLOTS", slot)
    wait_until(lambda: all(slot not in range(r[0], r[1] + 1) for m in whole.members for r in m("CLUSTER", "SLOTS")),
               "all to have forgotten it")
    server.graceful()
    assert cached("cclear")[0].startswith("outage")
    home("CLUSTER", "ADDSLOTS", slot)
    wait_until(whole.is_whole, "all to know of it again")
    for m in whole.members:
        m("CONFIG", "SET", "cluster-require-full-coverage", "yes")
    wait_until(lambda: cached("cclear") == ["ok"], "it to be empty")


def test_resharding_under_load(server, whole):
    """Every session's slot goes to another node and back: no request fails, no step is lost or counted twice."""
    with Load(server, "/moving") as load:
        keys = [k for m in whole.masters() for k in m("KEYS", "bs:moving:s*")]
        homes = {slot: whole.owner(slot) for slot in {slot_of(whole, k) for k in keys}}
        wait_until(load.goes_on(), "the load to run")
        for to_first in (True, False):
            for slot, home in homes.items():
                away = next(m for m in whole.masters() if m is not home)
                whole.move(slot, away if to_first else home, lambda: wait_until(
                    load.goes_on(1), "the load to go on while the slot moves"))
        wait_until(load.goes_on(), "the load to go on")
    assert load.refused() == 0


def test_emptying_a_cache_while_slots_move(server, whole):
    """The key of a node that was not looked at yet goes to one that was: it is looked at again."""
    at = {"at": "/moving"}

    def cached(*calls):
        return server.client().results("cache=moving/things/60000", *calls, **at)[1:]
    first, held, last = sorted(whole.masters(), key=lambda m: m.port)
    assert cached(*[f"cset=k{i}:1" for i in range(30)]) == ["ok"] * 30
    slot = slot_of(whole, last("KEYS", "bs:moving:c*")[0])
    for m in whole.members:
        m("CONFIG", "RESETSTAT")
    held.pause()
    with ThreadPoolExecutor(1) as pool:
        cleared = pool.submit(cached, "cclear")
        wait_until(lambda: first.calls("scan"), "the first node to be asked")
        try:
            whole.hand_over(slot, last, first)
        finally:
            held.resume()
        assert cleared.result() == ["ok"]
    assert first.calls("scan") > 1
    assert [k for m in whole.masters() for k in m("KEYS", "bs:moving:c*")] == []
    wait_until(whole.is_whole, "all to know of it")
    whole.move(slot, last)


def test_a_node_that_joins_and_leaves(server, whole):
    """It gets slots, serves them, gives them back, and goes."""
    visitor, slot = new_visitor(server, whole, "/moving")
    source = whole.owner(slot)
    newcomer = whole.node()
    whole.meet(newcomer)
    wait_until(lambda: all(newcomer("CLUSTER", "MYID") in m("CLUSTER", "NODES") for m in whole.masters())
               and "cluster_state:ok" in newcomer("CLUSTER", "INFO"), "the newcomer to be known")

    def half_way():
        """It owns nothing yet, and is slow: it is waited for nevertheless."""
        keys = source("CLUSTER", "GETKEYSINSLOT", slot, 10)
        source("MIGRATE", "127.0.0.1", newcomer.port, "", 0, 5000, "AUTH", "pass-of-a-test", "KEYS", *keys)
        gate = Gate(server)
        with gate.passing(visitor, "get=n", gate.call, "incr=n:1", at="/moving"):
            newcomer.pause()
            threading.Timer(0.8, newcomer.resume).start()
        assert gate.answer.status == 200 and gate.answer.results[-1] == "=3"
    whole.move(slot, newcomer, half_way)
    assert visitor.results("get=n", at="/moving") == ["=3"]
    assert newcomer.calls("hgetall")
    whole.move(slot, source)
    whole.forget(newcomer)
    assert visitor.results("incr=n:1", "get=n", at="/moving") == ["=4", "=4"]


def test_failover_when_a_master_is_killed(server, watched):
    """Requests fail only while its slots have no master; what its replica had is not lost."""
    server.expect(OUTAGE)
    with Load(server, "/main", 12, loses=True) as load:
        wait_until(load.goes_on(), "the load to run")
        old = watched.owner(0)
        slots = watched.owns(old)
        sure = load.counted()
        # its slots' visitors' last steps, and this mark behind them, are on the replica
        old("EVAL", "return redis.call('SET', KEYS[1], 'x')", 1, "{" + tag_for(watched, old) + "}mark")
        assert old("WAIT", 1, 5000) == 1
        old.kill()
        wait_until(lambda: watched.serves(slots), "another master for the slots")
        watched.watch(CALM)
        healed = time.monotonic()
        at_heal = load.counted()
        wait_until(load.goes_on(20), "service to go on")
    assert load.failures_since(healed) == []
    gone_on = [now - then for now, then in zip(load.counted(), at_heal)]
    load.holds([a + b for a, b in zip(sure, gone_on)])


def tag_for(layout, owner):
    return next(t for t in map(str, range(1000)) if layout.owner(slot_of(layout, t)) is owner)


def test_nobody_waits_for_a_master_that_was_replaced(server, watched):
    """SIGSTOP, and a call that has much time: it is served as soon as a replica has taken over."""
    server.expect(OUTAGE)
    visitor, slot = new_visitor(server, watched, "/patient")
    old = watched.owner(slot)
    slots = watched.owns(old)
    old("EVAL", "return redis.call('SET', KEYS[1], 'x')", 1, "{" + tag_for(watched, old) + "}mark")
    assert old("WAIT", 1, 5000) == 1
    replica = watched.replica_of(old)
    old.pause()
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(visitor.results, "get=n", at="/patient", timeout=120)
        wait_until(lambda: replica.role() == "master", "its replica to take over")
        assert read.result(SOON) == ["=2"]
    old.resume()
    wait_until(lambda: watched.serves(slots), "the old master to be a replica")


def test_an_orderly_failover(server, watched):
    """CLUSTER FAILOVER hands over without losing anything: neither do we, and no request fails."""
    server.expect(OUTAGE)
    with Load(server, "/main") as load:
        wait_until(load.goes_on(), "the load to run")
        old = watched.owner(SLOTS - 1)
        replica = watched.replica_of(old)
        watched.replace(old, replica)
        wait_until(load.goes_on(20), "service to go on")
    assert load.refused() == 0


def test_what_is_destroyed_stays_so(server, watched):
    """With replicas=1 an acknowledged removal is on a replica: the failover does not undo it."""
    server.expect(OUTAGE)
    visitors = [works(server, "copied") for _ in range(9)]
    tokens = [v.jar["copied"] for v in visitors]
    for visitor in visitors:
        assert visitor.results("destroy", at="/copied") == ["ok"]
    old = watched.owner(SLOTS // 2)
    slots = watched.owns(old)
    old.kill()
    wait_until(lambda: watched.serves(slots), "another master for the slots")
    watched.watch(CALM)
    for token in tokens:
        visitor = server.client()
        visitor.jar["copied"] = token
        assert visitor.results("get=n", at="/copied") == ["-"]


def test_fewer_replicas_than_asked_for_is_an_outage(server, whole):
    visitor = works(server, "greedy")
    assert visitor.probe("rotate", at="/greedy").status == 503
    assert "fewer than replicas=2 have it" in server.logged(r"store greedy: .*: 127")
    server.expect(OUTAGE)


def test_a_node_alone_fails_alone(server, watched):
    """Where a master is gone and nobody takes over, the breaker opens for its keys; the others are served as if
    nothing was. When it is back, so are its sessions. The log says of which node all this is."""
    server.expect(OUTAGE)
    for member in watched.members:
        member("CONFIG", "SET", "cluster-require-full-coverage", "no")
    old = watched.owner(0)
    replica = watched.replica_of(old)
    lost, kept = [], []
    while len(lost) < 2 or len(kept) < 4:
        visitor, slot = new_visitor(server, watched, "/short")
        (lost if watched.owner(slot) is old else kept).append(visitor)
    replica.kill()
    old.kill()

    def opened():
        assert all(v.probe("get=n", at="/short").status == 503 for v in lost)
        return any("is left alone" in line for line in server.lines())
    wait_until(opened, "the breaker to open")
    for _ in range(20):
        assert all(v.results("incr=n:1", at="/short") for v in kept)
    old.start()
    for v in lost:
        wait_until(lambda: v.probe("get=n", at="/short").status == 200, "service to return")
    told = re.findall(r" store short: (.*)(failed \d+ times|answers again)", "\n".join(server.lines()))
    assert told[0] == (f"{old.address} ", "failed 3 times") and told[-1] == (f"{old.address} ", "answers again"), told
    replica.start()


def test_many_at_once_while_one_node_is_gone(server, watched):
    """What is there is had, and nobody thinks that the others are gone, too."""
    server.expect(OUTAGE)

    def cached(*calls):
        return server.client().probe("cache=short/things/60000", *calls, at="/short")
    names = [f"k{i}" for i in range(30)]
    assert cached(*[f"cset={n}:1" for n in names]).results[1:] == ["ok"] * 30
    for member in watched.members:
        member("CONFIG", "SET", "cluster-require-full-coverage", "no")
    old = watched.owner(0)
    replica = watched.replica_of(old)
    kept = []
    while len(kept) < 4:
        visitor, slot = new_visitor(server, watched, "/short")
        kept += [visitor] * (watched.owner(slot) is not old)
    replica.kill()
    old.kill()
    try:
        for _ in range(3):                      # as often as the breaker lets pass
            values = cached("cget_many=" + ",".join(names)).results[1]
            assert "=1" in values and "outage" in values
        assert [v.probe("get=n", at="/short").status for v in kept] == [200] * 4
        assert cached("cclear").results[1].startswith("outage")     # of what it has nobody knows
    finally:
        replica.start()
        old.start()


def test_all_nodes_are_gone(server, whole):
    """Each request ends in time, and all is well when they are back."""
    server.expect(OUTAGE)
    visitor = works(server, "short")
    for member in whole.members:
        member.pause()
    began = time.monotonic()
    assert visitor.probe("get=n", at="/short").status == 503
    assert time.monotonic() - began < 15    # timeout=2s, on a busy machine
    for member in whole.members:
        member.resume()
    wait_until(lambda: visitor.probe("get=n", at="/short").status == 200, "service to return")
