"""Processes: restarts, killed and stopped children, and what a child may not keep."""

import os
import random
import re
import signal
import socket
import threading
import time

import pytest

from doubles import Gate, wait_until
from httpd import on

KILLED = [r"AH00052: child pid \d+ exit signal Killed", r"core:notice", r"AH10159", r"AH00485",
          r"scoreboard is full", r"mpm_(event|worker|prefork):(error|warn)", r"AH00484", r"AH00161"]

MPM = {
    "event": "StartServers 3\nThreadsPerChild 8\nMinSpareThreads 8\nMaxSpareThreads 32\nServerLimit 16\n"
             "MaxRequestWorkers 64\nThreadLimit 8\n",
    "worker": "StartServers 3\nThreadsPerChild 8\nMinSpareThreads 8\nMaxSpareThreads 32\nServerLimit 16\n"
              "MaxRequestWorkers 64\nThreadLimit 8\n",
    "prefork": "StartServers 8\nMinSpareServers 8\nMaxSpareServers 16\nMaxRequestWorkers 32\n",
}


@pytest.fixture(scope="module")
def server(start, build):
    return start(on("BSessionIdleTimeout 1h") + "BSessionStore default memory: size=32M\n"
                 "MaxKeepAliveRequests 0\nKeepAliveTimeout 5\n", mpm_config=MPM[build.mpm],
                 cgi="cgi")


def test_a_graceful_restart_keeps_sessions(server, client):
    """P01: and so do several; a request that runs across one is saved."""
    client.results("set=a:1")
    gate = Gate(server)
    with gate.passing(client.twin(), "set=b:2", gate.call):
        server.graceful()
        assert client.results("get=a") == ["=1"]
    server.graceful()
    assert client.results("get=a", "get=b") == ["=1", "=2"]


def test_children_share_the_store(server, client):
    """Theirs was one process (P01)."""
    client.results("set=a:1")
    pids = set()

    def several():
        threads = [threading.Thread(target=lambda: pids.add(tuple(client.twin().results("get=a", "pid"))))
                   for _ in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return len({pid for _, pid in pids}) > 1
    wait_until(several, "two children to answer")
    assert {value for value, _ in pids} == {"=1"}


def test_kill_9_under_load(server, build, full):
    """No request hangs, nothing acknowledged is lost. 300 kills with --full."""
    server.expect(*KILLED)
    kills = 300 if full else 12 if build.asan else 30
    stop = threading.Event()
    wrong, done = [], []

    def load(seed):
        rng = random.Random(seed)
        client, sure, tried = server.client(keep=True), None, None
        while not stop.is_set():
            try:
                if sure is None:
                    client.jar.clear()
                    answer = client.probe("set=n:0")
                    if answer.status == 200 and client.token:
                        sure, tried = 0, 0
                    continue
                kind = rng.randrange(4)
                began = time.monotonic()
                if kind == 0:
                    answer = client.probe("get=n", timeout=20)
                    if answer.status == 200:
                        have = answer.results[0]
                        value = int(have[1:]) if have.startswith("=") else None
                        if value is None or not sure <= value <= tried:
                            wrong.append(f"n is {have}, acknowledged {sure}, tried {tried}")
                            return
                        sure = value
                else:
                    tried += 1
                    answer = client.probe("incr=n:1", timeout=20)
                    if answer.status == 200:
                        sure += 1
                if time.monotonic() - began > 15:
                    wrong.append("a request took more than 15 s")
                done.append(answer.status)
            except TimeoutError:
                wrong.append("a request hung")
                return
            except (OSError, EOFError, ValueError):
                pass                    # its child was killed
            except Exception as error:  # http.client's own
                if "http.client" not in type(error).__module__:
                    wrong.append(repr(error))
                    return

    threads = [threading.Thread(target=load, args=(i,)) for i in range(6)]
    for t in threads:
        t.start()
    rng = random.Random(7)
    try:
        for _ in range(kills):
            before = len(done)
            wait_until(lambda: len(done) > before + 5 or wrong, "requests between two kills")
            pids = wait_until(server.children, "children")
            try:
                os.kill(rng.choice(pids), signal.SIGKILL)
            except ProcessLookupError:
                pass
    finally:
        stop.set()
        for t in threads:
            t.join(30)
    assert not wrong, wrong
    assert not any(t.is_alive() for t in threads)
    assert set(done) <= {200, 503}
    assert server.client().results("set=a:1") == ["ok"]


def test_a_stopped_child(start, build):
    """SIGSTOP in the middle of whatever it does: the requests of others wait a bounded time at most, also
    where it holds a lock. Its connections stay open while they wait their turn (one after the other may
    wait for seconds), and no child is sent away for being one too many: httpd closes those itself."""
    server = start(on("BSessionIdleTimeout 1h") + "BSessionStore default memory: size=32M\n"
                   "MaxKeepAliveRequests 0\nKeepAliveTimeout 600\n",
                   mpm_config=re.sub(r"MaxSpare(\w+) \d+", r"MaxSpare\1 64", MPM[build.mpm]))
    client = server.client()
    server.expect("bsession:warn", "bsession:error", "scoreboard is full", "AH00484", "AH00161")
    client.results("set=a:1")

    def connected():
        """A connection, and the child that serves it."""
        c = client.twin()
        c.keep = True
        return c, int(c.results("pid")[0])

    def of_two_children():
        some = [connected() for _ in range(8)]
        return some if len({pid for _, pid in some}) > 1 else None

    for _ in range(5):
        connections = wait_until(of_two_children, "connections to two children")
        victim = connections[0][1]
        stop = threading.Event()

        def work(c):
            while not stop.is_set():
                try:
                    c.probe("incr=n:1", timeout=30)     # a 503 where others found it holding the lock
                except OSError:
                    return
        busy = [threading.Thread(target=work, args=(c,)) for c, pid in connections if pid == victim]
        for t in busy:
            t.start()
        before = client.results("get=n")
        wait_until(lambda: client.results("get=n") != before, "the child to be busy")
        os.kill(victim, signal.SIGSTOP)
        try:
            for c, pid in connections:
                if pid != victim:
                    for _ in range(20):
                        assert c.probe("incr=m:1", timeout=10).status in (200, 503)
        finally:
            stop.set()
            os.kill(victim, signal.SIGCONT)
            for t in busy:
                t.join(30)
        for c, _ in connections:
            c.close()
        # where it was stopped under the lock, the store was left alone, and still is for a while
        wait_until(lambda: client.probe("get=a").results == ["=1"], "all to be well again", 60)


def test_anonymous_requests_make_no_record(start, build, full):
    """A million requests of visitors without a cookie, or with one that nobody knows. The store is so
    small that a record for each would long have pushed out the one that is there."""
    server = start(on("BSessionEnv All") + "BSessionStore default memory: size=1M\n"
                   "MaxKeepAliveRequests 0\n")
    first = server.client()
    first.results("set=a:1")
    hammer(server, 10**6 if full else 3000 if build.asan else 20000,
           [b"GET /probe?get=a HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /probe?load HTTP/1.1\r\nHost: x\r\nCookie: bsession=" + b"A" * 43 + b"\r\n\r\n",
            b"GET /index.html HTTP/1.1\r\nHost: x\r\n\r\n"])
    assert first.results("get=a") == ["=1"]
    # and the store is as empty as it was: the same size does hold that many small sessions
    assert b"evict" not in server.log().encode().lower()


def test_a_full_store_never_fails_a_request(start):
    """It evicts, and says so at most once a minute; the newest is there."""
    server = start(on() + "BSessionStore default memory: size=1M\nMaxKeepAliveRequests 0\n")
    server.expect(r"bsession:(warn|notice).*")
    client = server.client(keep=True)
    for i in range(4000):
        client.jar.clear()
        assert client.results("big=a:500") == ["ok"]
    assert client.results("has=a") == ["yes"]
    said = [line for line in server.lines() if "[bsession:warn]" in line]
    assert 1 <= len(said) <= 2, said
    client.close()


def hammer(server, count, requests, window=50):
    """Sends so many requests over one connection, pipelined; each answer must be a 200."""
    one = b"".join(requests[i % len(requests)] for i in range(window))
    with socket.create_connection(("127.0.0.1", server.port), 30) as s:
        rest = b""
        for _ in range(count // window):
            s.sendall(one)
            seen = 0
            while seen < window:
                part = s.recv(1 << 20)
                assert part, "the server closed"
                rest += part
                *whole, rest = re.split(rb"(?=HTTP/1\.1 )", rest) if rest.count(b"HTTP/1.1 ") > 1 else [rest]
                seen += len([w for w in whole if w])
                if seen == window - 1 and complete(rest):
                    seen, rest = window, b""


def complete(answer):
    """Whether the last answer is whole."""
    head, found, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(found) and bool(length) and len(body) >= int(length[1])


def test_a_connection_does_not_grow_the_child(start, build, full):
    """A million requests on one keep-alive connection, --full; the memory after the first part is the
    memory after all."""
    if build.asan:
        pytest.skip("the sanitizer keeps what was freed, on purpose")
    server = start(on("BSessionEnv All") + "MaxKeepAliveRequests 0\n",
                   mpm_config="StartServers 1\nMaxRequestWorkers 25\nServerLimit 1\nThreadsPerChild 25\n"
                   if build.mpm != "prefork" else "StartServers 1\nMaxRequestWorkers 1\nMinSpareServers 1\n"
                   "MaxSpareServers 1\n", cgi="cgi")
    server.expect("AH00161", "AH00484", "AH10159")
    client = server.client()
    client.results("set=a:1")
    requests = [b"GET /probe?get=a&set=a:%d HTTP/1.1\r\nHost: x\r\nCookie: bsession=%s\r\n\r\n"
                % (i, client.token.encode()) for i in range(3)]
    (pid,) = wait_until(lambda: len(server.children()) == 1 and server.children(), "one child")
    part = 100000 if full else 4000
    hammer(server, part, requests)
    before = server.rss(pid)
    hammer(server, 9 * part if full else 4 * part, requests)
    grown = server.rss(pid) - before
    # pages that are touched late, not what each request leaves
    assert grown < 512, f"{grown} kB more"
