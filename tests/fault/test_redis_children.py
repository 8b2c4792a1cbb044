"""What a child of httpd holds of its stores: connections that are its own and nobody else's, and no more memory
however often servers change."""

import os
import pathlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from doubles import wait_until
from httpd import on
from load import Load
from places import ONE_CHILD, places, works
from redis_lagging import Lagging
from redis_server import Redis


@pytest.fixture
def redis():
    one = Redis()
    yield one
    one.stop()


def connected(redis):
    """Who is, by number, but for the test itself, which comes by the socket."""
    lines = redis("CLIENT", "LIST").decode().splitlines()
    return {line.split()[0] for line in lines if " addr=127.0.0.1:" in line}


def sockets(pid):
    """What the process holds open to anybody."""
    found = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(fd)
        except OSError:
            continue
        found |= {target} if target.startswith("socket:") else set()
    return found


def test_the_parent_hands_down_no_connection(start, redis):
    """It asks at the start, and hangs up before there are children; which is so at a restart, too."""
    server = start(f"BSessionStore default {redis.tcp} timeout=20s connect_timeout=10s\n" + on())
    assert int(re.search(r"total_connections_received:(\d+)", redis("INFO", "stats").decode())[1]) >= 1
    for _ in range(3):
        assert connected(redis) == set()
        server.graceful()
    visitor = server.client()
    visitor.results("set=a:1")
    assert len(connected(redis)) == 1
    assert not sockets(server.process.pid) & sockets_of(server, redis)


def sockets_of(server, redis):
    """Those of the children that lead to the server."""
    port = f":{redis.ports[0]:04X}"
    inodes = {f"socket:[{line.split()[9]}]" for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
              if line.split()[2].endswith(port)}
    return {s for pid in server.children() for s in sockets(pid)} & inodes


def test_a_program_inherits_no_connection(start, redis):
    """A CGI program is started by the very process that has one."""
    server = start(f"BSessionStore default {redis.tcp}\n" + on("BSessionEnv All"), cgi="cgi", mpm_config=ONE_CHILD)
    server.script("fds", "echo Content-Type: text/plain\necho\nls -l /proc/self/fd\n")
    visitor = server.client()
    assert visitor.results("set=a:1") == ["ok"]
    assert len(connected(redis)) == 1
    held = sockets_of(server, redis)
    text = visitor.get("/cgi/fds").text
    assert len(held) == 1 and "socket:" in " ".join(held)
    assert not any(s in text for s in held), text


def test_children_that_end_hang_up(start, redis):
    """After a graceful restart nobody is connected but those who serve, and after the end nobody at all."""
    server = start(f"BSessionStore default {redis.tcp} pool=2\n" + on())
    for _ in range(5):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: server.client().results("set=a:1", "save", "incr=n:1"), range(40)))
        before = connected(redis)
        assert 1 <= len(before) <= 2 * len(server.children())
        server.graceful()
        wait_until(lambda: not before & connected(redis), "the children of before to hang up")
    server.stop()
    assert connected(redis) == set()


def test_connections_do_not_pile_up(start, redis):
    """Whatever happens to them."""
    server = start(f"BSessionStore default {redis.tcp} timeout=20s connect_timeout=10s breaker=off\n" + on(), mpm_config=ONE_CHILD)
    server.expect("store default: ")
    with Load(server, visitors=4) as load:
        wait_until(load.goes_on(), "the load to run")
        [pid] = {pid for pid in server.children() if sockets(pid) & sockets_of(server, redis)}
        held = len(sockets(pid))
        for _ in range(30):
            redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            wait_until(load.goes_on(1), "the load to go on")
        assert len(sockets(pid)) <= held + 8
        assert len(connected(redis)) <= 4


def test_fifty_failovers_leave_nothing_behind(start, redis):
    """Between two servers, that a Sentinel names in turn: the child's memory stays, and so do its connections."""
    other, sentinel = Redis(), Lagging()
    both, sentinel.names = [redis, other], redis.ports[0]
    server = start(places({"main": f"redis://127.0.0.1:{sentinel.port} sentinel=any"}), mpm_config=ONE_CHILD)
    sizes = []
    try:
        for i in range(60):
            master, replica = both[i % 2], both[1 - i % 2]
            master("REPLICAOF", "NO", "ONE")
            replica("REPLICAOF", "127.0.0.1", master.ports[0])
            sentinel.names = master.ports[0]
            for _ in range(5):
                works(server, "main")
            [pid] = {pid for pid in server.children() if sockets_of(server, master) & sockets(pid)}
            sizes.append(server.rss(pid))
        assert sizes[-1] < sizes[9] + 512, sizes
        assert len(sockets(pid)) < 30
        assert len(connected(redis)) + len(connected(other)) < 20
    finally:
        sentinel.close()
        other.stop()
