"""When the expired are dropped, on a store that needs it: swept: (mod_fault.c) counts the sweeps that
come in, from all children together."""

import pathlib

import pytest

from doubles import Fault, wait_until
from httpd import on

STORE = "BSessionStore default swept:memory: control={w}/fault size=8M\nMaxKeepAliveRequests 0\n"


def prepare(server):
    server.fault = Fault(server.writable / "fault")


def sweeps(server):
    return server.fault.calls("sweep")


def test_without_any_request(start):
    """P14: also without traffic. It rests for a minute when all was looked at, and is back within
    seconds while there is more; the children do it in turn, not each for itself."""
    server = start(STORE + on(), prepare=prepare)
    wait_until(lambda: sweeps(server) >= 1, "the first sweep")
    server.fault.set("more", "sweep")
    server.graceful()
    other = start(STORE + on(), prepare=lambda s: (prepare(s), s.fault.set("more", "sweep")))
    wait_until(lambda: sweeps(other) >= 3, "the sweep to go on")
    assert len(other.children()) > 1
    assert sweeps(server) == 1          # seconds after its restart: what is due outlives that, as records do
    assert other.surprises() == [] and server.surprises() == []


def test_a_failing_sweep_is_told_of_once_and_hurts_nobody(start):
    server = start(STORE + on(), prepare=lambda s: (prepare(s), s.fault.set("fail", "sweep")))
    server.expect("bsession:warn")
    server.logged(r"store default: sweep failed: fault: was told to fail")
    assert server.client().results("set=a:1") == ["ok"]


def test_by_requests_that_write(start):
    """Where httpd has no mod_watchdog."""
    server = start(STORE + on(), mods=["no_watchdog"], prepare=prepare)
    client = server.client()
    assert client.results("get=a") == ["-"]
    assert client.get("/index.html").status == 200
    assert sweeps(server) == 0
    assert client.results("set=a:1") == ["ok"]
    wait_until(lambda: sweeps(server) == 1, "the sweep")
    for i in range(50):
        client.results(f"set=a:{i}")
    assert sweeps(server) == 1          # a minute's rest


def test_a_process_without_threads_is_given_none(start, build):
    """For memory: what has ended makes way by itself, and a second thread costs at each system call."""
    server = start("BSessionStore default memory: size=8M\n" + on())
    assert server.client().results("set=a:1") == ["ok"]
    threads = {len(list(pathlib.Path(f"/proc/{pid}/task").iterdir())) for pid in server.children()}
    assert (threads == {1}) == (build.mpm == "prefork")
