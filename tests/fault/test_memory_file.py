"""`memory:/path`: what a stop, a kill, a restart and a full disk leave of the sessions in it. What a damaged file
does is asked byte by byte in tests/unit."""

import os
import pathlib
import re
import shutil
import signal
import struct
import time

import pytest

from doubles import Gate, wait_until
from file_system import FileSystem
from httpd import on
from load import Load, Survivor

# of memory_header_t
LIMIT, CLEAN, BOOT_ID = 24, 60, 64
SMALL = "StartServers 2\nServerLimit 8\nThreadsPerChild 8\nThreadLimit 8\nMaxRequestWorkers 64\n" \
        "MinSpareThreads 8\nMaxSpareThreads 64\n"
KILLED = [r"AH00052: child pid \d+ exit signal", r"AH00045: child process", r"AH00046", "scoreboard is full",
          "AH00484", "AH00485", "AH10159"]


def stored(size="4M", options="timeout=500ms", path="{dir}/sessions"):
    return on("BSessionIdleTimeout 1h") + f"BSessionStore default memory:{path} size={size} {options}\n" \
        "MaxKeepAliveRequests 0\n"


@pytest.fixture
def server(start, build):
    one = start(stored(), mpm_config=SMALL if build.mpm != "prefork" else "StartServers 2\n")
    yield one
    one.stop()


def does_not_start(start, config, why, prepare=lambda server: None):
    """It says why."""
    servers = []

    def begin(server):
        servers.append(server)
        server.expect(f"cannot be opened: {why}", "AH00020")
        prepare(server)

    with pytest.raises(AssertionError, match=why):
        start(config, prepare=begin)
    return servers[0]


def in_header(server, at, form):
    data = (server.dir / "sessions").read_bytes()[:4096]
    return struct.unpack_from(form, data, at)[0]


def patch(server, at, data):
    with open(server.dir / "sessions", "r+b") as file:
        file.seek(at)
        file.write(data)


def again(server, *visitors, config=None):
    """The same httpd once more, on another port."""
    if config:
        server.config = config
    server.error_log.rename(server.dir / f"error.{len(list(server.dir.glob('error.*')))}")
    server.seen = 0
    server.start()
    for visitor in visitors:
        getattr(visitor, "client", visitor).port = server.port


def killed(server):
    """kill -9 of all that is httpd, at once."""
    os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait()


# ---- the end of httpd ----

@pytest.mark.parametrize("how", ["SIGTERM", "SIGWINCH"])
def test_sessions_outlive_a_stop(server, how):
    """apachectl stop, and graceful-stop. While httpd runs the file says so."""
    client, gone = server.client(), server.client()
    client.results("set=a:1", "set=b:two")
    gone.results("set=a:1")
    gone.results("destroy")
    assert in_header(server, CLEAN, "I") == 0
    server.process.send_signal(getattr(signal, how))
    server.process.wait(30)
    assert in_header(server, CLEAN, "I") == 1
    assert (server.dir / "sessions").stat().st_mode & 0o777 == 0o600
    again(server, client, gone)
    assert in_header(server, CLEAN, "I") == 0
    assert client.results("get=a", "get=b") == ["=1", "=two"]
    assert gone.results("get=a") == ["-"]
    assert server.surprises() == []


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_what_was_acknowledged_outlives_the_end_under_load(server, how):
    server.expect(*KILLED)
    with Load(server, visitors=6, kind=Survivor) as load:
        wait_until(load.goes_on(20), "the visitors to count")
        if how == "stop":
            server.process.terminate()
            server.process.wait(30)
        else:
            killed(server)
        again(server)
        wait_until(load.goes_on(), "the visitors to count on")
    assert server.surprises() == []


def test_what_ended_while_httpd_was_away_has_ended(start):
    server = start(stored().replace("IdleTimeout 1h", "IdleTimeout 1s"), mpm_config=SMALL)
    client = server.client()
    client.results("set=a:1")
    ends = time.time() + 1
    server.stop()
    wait_until(lambda: time.time() > ends, "its life to end")
    again(server, client)
    assert client.results("get=a") == ["-"]


# ---- the parent alone ----

def test_orphans_hold_it(server):
    """The parent is killed, and its children serve on. Nobody else gets the file before they have gone; then all
    is there that they acknowledged."""
    client = server.client()
    client.results("set=n:0")
    orphans, port = server.children(), server.port
    server.process.kill()
    server.process.wait()
    assert client.results("incr=n:1") == ["=1"]
    with pytest.raises(AssertionError, match="another httpd has it, or processes that one left behind"):
        again(server)
    client.port = port
    assert client.results("incr=n:1") == ["=2"]
    for pid in orphans:
        os.kill(pid, signal.SIGKILL)
    server.expect("BSessionStore default cannot be opened: another httpd has it", "AH00020")
    assert len(server.surprises()) == 0
    again(server, client)
    assert client.results("get=n") == ["=2"]


def test_a_restart_that_fails_leaves_orphans(server):
    """The parent ends where a restart cannot be, and its children when they have answered. The file is not
    sealed under them."""
    client = server.client()
    client.results("set=n:0")
    config = server.config
    (server.dir / "foreign").write_text("something else")
    (server.dir / "foreign").chmod(0o600)
    server.config += "BSessionStore other memory:{dir}/foreign\n"
    (server.dir / "httpd.conf").write_text(server.text())
    server.expect("BSessionStore other cannot be opened: there is a file that this module has not made", "AH00020")
    gate = Gate(server)
    with gate.passing(client.twin(), "incr=n:1", gate.call, "incr=n:1"):
        server.process.send_signal(signal.SIGUSR1)
        server.process.wait(30)
        assert in_header(server, CLEAN, "I") == 0
    assert server.surprises() == []
    again(server, client, config=config)
    assert client.results("get=n") == ["=2"]
    assert (server.dir / "foreign").read_text() == "something else"


def test_two_httpds(server, start):
    does_not_start(start, stored(path=server.dir / "sessions"), "another httpd has it")
    assert server.client().results("set=a:1") == ["ok"]


def test_two_stores(start):
    does_not_start(start, on() + "BSessionStore a memory:{dir}/both\nBSessionStore default memory:{dir}/./both\n",
                   "store a has this file already")


# ---- another boot, another file ----

@pytest.mark.parametrize("in_order", [True, False])
def test_another_boot(server, in_order):
    """What was left in order was on the disk when the machine ended; of anything else nobody knows."""
    client = server.client()
    client.results("set=a:1")
    server.expect(*KILLED)
    if in_order:
        server.stop()
        another = in_header(server, BOOT_ID, "36s")
        assert another == pathlib.Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    else:
        killed(server)
        patch(server, BOOT_ID, b"00000000-")
    again(server, client)
    if in_order:
        assert client.results("get=a") == ["=1"]
    else:
        assert "the machine ended before httpd did" in server.logged("BSessionStore default: begins empty")
        assert client.results("get=a") == ["-"]
        assert (server.dir / "sessions.aside").exists()
        assert client.results("set=a:2") == ["ok"]
        server.stop()
        again(server, client)
        assert client.results("get=a") == ["=2"]


def test_a_damaged_file_is_set_aside(server):
    client = server.client()
    client.results("set=name:somebody")
    server.stop()
    data = (server.dir / "sessions").read_bytes()
    patch(server, data.index(b"somebody"), b"anybody!")
    again(server, client)
    server.logged("BSessionStore default: begins empty: the file was set aside, with .aside behind its name: records")
    assert client.results("get=name") == ["-"]
    assert client.results("set=name:me") == ["ok"]


def test_a_file_of_somebody_else_keeps_httpd_from_starting(start):
    def prepare(server):
        (server.dir / "sessions").write_text("mine")
        (server.dir / "sessions").chmod(0o600)

    server = does_not_start(start, stored(), "there is a file that this module has not made", prepare)
    assert (server.dir / "sessions").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_a_directory_of_somebody_else_keeps_httpd_from_starting(start, mode):
    """Of the children's user, too: an older file, moved into the place of this one, would bring back what ended."""
    def prepare(server):
        (server.dir / "theirs").mkdir()
        (server.dir / "theirs").chmod(mode)
        shutil.chown(server.dir / "theirs", "www-data")

    does_not_start(start, stored(path="{dir}/theirs/sessions"), r"its directory belongs to user \d+; expected user 0",
                   prepare)


# ---- sizes ----

def restart_with(server, size):
    server.config = re.sub(r"size=\w+", f"size={size}", server.config)
    (server.dir / "httpd.conf").write_text(server.text())
    server.graceful()


@pytest.mark.parametrize("path", ["", "{dir}/sessions"])
def test_it_grows_under_load(start, path):
    """Step by step, gracefully, while visitors count and a request of the first generation runs on."""
    server = start(stored("1M", path=path), mpm_config=SMALL, cgi="cgi")
    server.expect(*KILLED)
    many = server.client()
    old = server.client()
    old.results("set=a:1")
    gate = Gate(server)
    load = Load(server, visitors=6)
    for visitor in load.visitors:
        visitor.client.keep = False         # a restart ends idle connections
    with load:
        wait_until(load.goes_on(), "the visitors to count")
        with gate.passing(old.twin(), "incr=n:1", gate.call, "incr=n:1", "save", "incr=n:1"):
            for size in ("2M", "3M", "7M", "8M", "16M"):
                restart_with(server, size)
                wait_until(load.goes_on(), "the visitors to count")
                # more than there was room for before, from children of the new generation
                for _ in range(200):
                    many.jar.clear()
                    assert many.results("big=a:5000") == ["ok"]
    assert load.refused() == 0
    assert old.results("get=n") == ["=3"]
    if path:
        assert in_header(server, LIMIT, "Q") == 16 << 20
        server.stop()
        again(server, old, *load.visitors)
        load.holds(load.counted())
    assert server.surprises() == []


@pytest.mark.parametrize("path", ["", "{dir}/sessions"])
def test_a_smaller_one_waits_for_a_stop(start, path):
    server = start(stored("8M", path=path), mpm_config=SMALL)
    client = server.client()
    client.results("set=a:1")
    restart_with(server, "2M")
    server.logged("BSessionStore default: stays at 8M until httpd is stopped and started")
    assert client.results("get=a") == ["=1"]
    if path:
        server.stop()
        again(server, client)
        assert in_header(server, LIMIT, "Q") == 2 << 20
        assert client.results("get=a") == ["=1"]
        assert sorted(p.name for p in server.dir.glob("sessions*")) == ["sessions"]
    assert server.surprises() == []


# ---- a full disk ----

@pytest.fixture
def small_disk():
    system = FileSystem("size=6m")
    yield system.dir
    system.remove()


def test_a_full_disk(start, small_disk):
    """Is told of when httpd starts or the store is to grow, and never by a signal to whom writes."""
    does_not_start(start, stored("16M", path=small_disk / "sessions"),
                   "there is no room for 16M: No space left on device")
    assert list(small_disk.iterdir()) == []
    server = start(stored("2M", path=small_disk / "sessions"), mpm_config=SMALL)
    client = server.client()
    client.results("set=a:1")
    restart_with(server, "16M")
    server.logged("BSessionStore default: stays at 2M: there is no room for 16M: No space left on device")
    with open(small_disk / "rest", "wb") as rest, pytest.raises(OSError):
        while True:
            rest.write(bytes(1 << 16))
            rest.flush()
    many = server.client(keep=True)
    server.expect("it is full: live records are evicted")
    for _ in range(1000):
        many.jar.clear()
        assert many.results("big=a:5000") == ["ok"]
    many.close()
    newest = server.client()
    newest.results("set=a:2")
    assert server.surprises() == []
    server.stop()
    again(server, newest)
    server.logged("BSessionStore default: stays at 2M: there is no room for 16M")
    assert newest.results("get=a") == ["=2"]
    # nor is there room to write a smaller one beside it
    server.stop()
    again(server, newest, config=server.config.replace("size=16M", "size=1M"))
    server.logged("BSessionStore default: stays at 2M: .*: No space left on device")
    assert newest.results("get=a") == ["=2"]
    (small_disk / "rest").unlink()
    server.stop()
    server.expect("of .* records only .* have room in 1M")
    again(server, newest)
    assert newest.results("get=a") == ["=2"]
    server.stop()
