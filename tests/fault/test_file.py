"""The file store when its disk is full or read-only, its directory is somebody else's, a record is locked, or
httpd is killed in the middle of saves: each request ends in time, what was told is kept, what is stored stays,
and nobody restarts httpd."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import tempfile
import time

import pytest

from doubles import wait_until
from file_system import FileSystem
from httpd import on
from load import Load, Survivor

TIMEOUT = 1.0           # of what is to be in vain
KILLED = [r"AH00052: child pid \d+ exit signal Killed", r"core:notice", r"AH00485", r"scoreboard is full",
          r"mpm_event:(error|warn)"]
CHILDREN = "StartServers 3\nThreadsPerChild 8\nMinSpareThreads 8\nMaxSpareThreads 32\nServerLimit 16\n" \
           "MaxRequestWorkers 64\nThreadLimit 8\n"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount, and give files away")


def line(directory, options="timeout=20s breaker=off"):
    return f"BSessionStore default file:{directory} {options}\n" + on("BSessionIdleTimeout 1h")


@contextlib.contextmanager
def small(options):
    """A file system of this size, and the store's directory in it, which httpd makes."""
    system = FileSystem(options)
    try:
        yield system, system.dir / "sessions"
    finally:
        system.remove()


@pytest.fixture(scope="module", autouse=True)
def all_above():
    """It goes after the servers, which sweep what they keep there."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="bsession-files-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def above(all_above):
    """A directory that httpd's children can walk into, as they can into /var/lib."""
    path = pathlib.Path(tempfile.mkdtemp(dir=all_above))
    path.chmod(0o755)
    return path


def records(directory):
    return sorted(directory.glob("*/*/[sluc]*"))


def temporaries(directory):
    return list(directory.glob("*/*/tmp.*"))


def answers(visitor, *calls):
    """Soon: a directory is looked at once in a second."""
    return wait_until(lambda: visitor.probe(*calls).status == 200, "the store to be had")


# -- the disk

def refuses_writes(server, directory, visitor, leaving, why):
    """What is there is read, and nothing of it changes; who would write is told why."""
    before = {path: path.read_bytes() for path in records(directory)}
    assert visitor.results("get=a", "get=b") == ["=1", "=2"]
    assert visitor.probe("set=c:3").status == 503
    assert why in server.logged("store default: save failed: ")
    stranger = server.client()
    assert stranger.probe("set=a:" + "x" * 3000).status == 503 and stranger.jar == {}
    assert visitor.probe("unset=a", "set=b:" + "y" * 3000).status == 503
    assert visitor.results("get=a", "get=b", "has=c") == ["=1", "=2", "no"]
    assert {path: path.read_bytes() for path in records(directory)} == before
    assert temporaries(directory) == []
    server.expect("store default: ")


@root_only
@pytest.mark.parametrize("options,use,why", [
    ("size=256k", FileSystem.fill, "its file system is full"),
    ("size=4m,nr_inodes=64", FileSystem.use_inodes, "its file system has no inodes left")])
def test_a_full_disk(start, options, use, why):
    """The end of a session needs no room; a touch neither. When there is room again all is well."""
    with small(options) as (system, directory):
        server = start(line(directory))
        visitor, leaving = server.client(), server.client()
        for one in visitor, leaving:
            assert one.results("set=a:1", "set=b:2") == ["ok", "ok"]
        use(system)
        refuses_writes(server, directory, visitor, leaving, why)
        assert visitor.results("touch") == ["ok"]
        assert leaving.probe("destroy").status == 200 and leaving.jar == {}
        system.free()
        assert visitor.results("set=c:3", "get=a") == ["ok", "=1"]
        server.stop()


@root_only
def test_a_full_disk_opens_no_breaker(start):
    """However many saves are refused, what is there is read, and the log is told once."""
    with small("size=256k") as (system, directory):
        server = start(line(directory, "timeout=20s breaker=5,1min,1min"))
        visitor = server.client()
        visitor.results("set=a:1")
        system.fill()
        for _ in range(20):
            assert server.client().probe("set=a:1").status == 503
        assert visitor.results("get=a", "touch") == ["=1", "ok"]
        server.logged("store default: save failed: ")
        assert len([line for line in server.lines() if "store default: " in line]) == 1
        system.free()
        assert server.client().results("set=a:1") == ["ok"]
        server.stop()


@root_only
def test_a_read_only_file_system(start):
    with small("size=1m") as (system, directory):
        server = start(line(directory))
        visitor, leaving = server.client(), server.client()
        for one in visitor, leaving:
            assert one.results("set=a:1", "set=b:2") == ["ok", "ok"]
        system.remount("ro")
        refuses_writes(server, directory, visitor, leaving, "its file system is read-only")
        jar = dict(leaving.jar)
        assert leaving.probe("destroy").status == 503 and leaving.jar == jar
        system.remount("rw")
        assert visitor.results("set=c:3", "get=a") == ["ok", "=1"]
        assert leaving.probe("destroy").status == 200 and leaving.jar == {}
        server.stop()


# -- the directory

def test_who_owns_it(start, above):
    """Made by httpd, and nobody else's."""
    directory = above / "sessions"
    server = start(line(directory))
    server.client().results("set=a:1")
    [record] = records(directory)
    owner = record.stat().st_uid
    assert owner != 0 and record.stat().st_mode & 0o7777 == 0o600
    for path in (record.parent, record.parent.parent, directory):
        assert path.stat().st_uid == owner and path.stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("spoil,why", [
    (lambda d: d.chmod(0o777), "others can write in the directory, its mode is 0777"),
    (lambda d: d.chmod(0o770), "others can write in the directory, its mode is 0770"),
    pytest.param(lambda d: os.chown(d, 1, 1), "the directory belongs to user 1, not to httpd's", marks=root_only)])
def test_httpd_does_not_start_on_what_others_can_write(start, above, spoil, why):
    directory = above / "sessions"
    directory.mkdir(mode=0o700)
    spoil(directory)
    with pytest.raises(AssertionError, match=why):
        start(line(directory), prepare=lambda s: s.expect("BSessionStore default cannot be opened: ", "AH00020"))


@pytest.mark.parametrize("spoil,why", [
    (lambda d: d.chmod(0o777), "others can write in the directory"),
    pytest.param(lambda d: os.chown(d, 1, -1), "the directory belongs to user 1", marks=root_only),
    (lambda d: d.rename(d.with_name("elsewhere")), "the directory was removed or moved"),
    (shutil.rmtree, "the directory was removed")])
def test_a_directory_that_others_get_hold_of(start, above, spoil, why):
    """Nothing is written there, and from the next second on nothing in it is believed."""
    directory = above / "sessions"
    server = start(line(directory))
    visitor = server.client()
    visitor.results("set=a:1")
    owner = directory.stat().st_uid
    spoil(directory)
    assert server.client().probe("set=a:1").status == 503
    assert why in server.logged("store default: save failed: ")
    wait_until(lambda: visitor.probe("get=a").status == 503, "it to be noticed")
    server.expect("store default: ")
    removed = not directory.exists()
    if removed:
        directory.mkdir()
    os.chown(directory, owner, -1)
    directory.chmod(0o700)
    answers(visitor, "get=a")
    assert visitor.results("get=a") == ["-" if removed else "=1"]


@root_only
@pytest.mark.parametrize("put,why", [
    (lambda d: d.mkdir(mode=0o755) or os.chown(d, 1, 1), "the directory belongs to user 1, not to httpd's"),
    (lambda d: d.symlink_to(d.with_name("elsewhere")), "a link or file stands in the way")], ids=["another", "link"])
def test_another_directory_in_its_place(start, above, put, why):
    """The one that was there goes on to exist, and is not the store's any more: who starts would not find it."""
    directory, elsewhere = above / "sessions", above / "elsewhere"
    server = start(line(directory))
    visitor = server.client()
    visitor.results("set=a:1")
    directory.rename(elsewhere)
    put(directory)
    wait_until(lambda: visitor.probe("get=a").status == 503, "it to be noticed")
    assert why in server.logged("store default: load failed: ")
    assert server.client().probe("set=a:1").status == 503
    directory.unlink() if directory.is_symlink() else directory.rmdir()
    elsewhere.rename(directory)
    answers(visitor, "get=a")
    assert visitor.results("get=a") == ["=1"]
    server.expect("store default: ")


def test_planted_links(start, above):
    """Behind each of them stands what was there: who followed it would find it."""
    directory, elsewhere = above / "sessions", above / "elsewhere"
    server = start(line(directory))
    visitor = server.client()
    visitor.results("set=a:1")
    [tag] = visitor.results("tag")
    [record] = records(directory)
    for path in (record.parent.parent, record.parent):
        path.rename(elsewhere)
        path.symlink_to(elsewhere)
        assert visitor.probe("get=a").status == 503
        assert "a link or file stands in the way" in server.logged("store default: ")
        path.unlink()
        elsewhere.rename(path)
        assert visitor.results("get=a") == ["=1"]
        server.expect("store default: ")
        assert server.surprises() == []
    record.rename(elsewhere)
    record.symlink_to(elsewhere)
    assert visitor.results("get=a") == ["-"]
    assert tag in server.logged("bsession:warn")
    old = visitor.token
    assert visitor.results("set=b:1") == ["ok"] and visitor.token != old


@pytest.mark.parametrize("damage", [lambda r: r.write_bytes(b""), lambda r: r.write_bytes(r.read_bytes()[:-1]),
                                    lambda r: r.write_bytes(b"x" * 400), lambda r: r.unlink() or os.mkfifo(r)])
def test_a_damaged_record(start, above, damage):
    """Section 10 of the design: an empty session, one warning with the tag, no outage; a set makes another."""
    directory = above / "sessions"
    server = start(line(directory))
    visitor = server.client()
    visitor.results("set=a:1")
    [tag] = visitor.results("tag")
    [record] = records(directory)
    before = record.stat()
    damage(record)
    os.utime(record, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert visitor.results("get=a") == ["-"]
    assert tag in server.logged("bsession:warn")
    assert visitor.results("set=b:1") == ["ok"] and visitor.results("get=b") == ["=1"]


# -- locks, kills, restarts

def test_a_record_that_somebody_keeps_locked(start, above):
    """As a stopped process would: who would write waits for timeout= and no longer; readers never wait."""
    directory = above / "sessions"
    server = start(line(directory, "timeout=1s breaker=off"))
    visitor, other = server.client(), server.client()
    visitor.results("set=n:1")
    [record] = records(directory)
    other.results("set=n:5")
    holder = open(record, "rb")
    fcntl.flock(holder, fcntl.LOCK_EX)
    began = time.monotonic()
    assert visitor.probe("incr=n:1").status == 503
    assert TIMEOUT / 2 < time.monotonic() - began < TIMEOUT + 15
    assert "another process holds the lock of a record" in server.logged("store default: save failed: ")
    assert visitor.results("get=n") == ["=1"] and other.results("incr=n:1") == ["=6"]
    holder.close()
    assert visitor.results("incr=n:1") == ["=2"]
    server.expect("store default: ")


def told_more(load, by=100):
    before = load.told()
    wait_until(lambda: load.told() > before + by, "the visitors to be served")


@pytest.mark.parametrize("sync", ["off", "on"])
def test_httpd_is_killed_in_the_middle_of_saves(start, above, full, sync):
    """kill -9 of all of it, and started again: files outlive that, with all that was acknowledged."""
    server = start(line(above / "sessions", f"timeout=20s breaker=off sync={sync}"), mpm_config=CHILDREN)
    server.expect(*KILLED)
    with Load(server, kind=Survivor) as load:
        for _ in range(20 if full else 4):
            told_more(load)
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()
            server.error_log.write_text("")
            server.seen = 0
            server.start()
        told_more(load)
    server.stop()                       # what it has to say of its killed children is said in this test
    server.expect(*KILLED)


def test_children_are_killed_under_load(start, above, full):
    server = start(line(above / "sessions"), mpm_config=CHILDREN, cgi="cgi")
    server.expect(*KILLED)
    with Load(server, kind=Survivor) as load:
        for _ in range(100 if full else 20):
            told_more(load, 20)
            os.kill(wait_until(server.children, "a child")[0], signal.SIGKILL)
        told_more(load)
    server.stop()
    server.expect(*KILLED)


def test_stop_and_start(start, above):
    server = start(line(above / "sessions"))
    visitor = server.client()
    visitor.results("set=a:1")
    server.stop()
    server.error_log.write_text("")
    server.start()
    visitor.port = server.port
    assert visitor.results("get=a") == ["=1"]


def test_a_graceful_restart_leaves_no_descriptor(start, above):
    """The directory is opened anew each time, and the old handle goes."""
    directory = above / "sessions"
    server = start(line(directory))
    visitor = server.client()
    visitor.results("set=a:1")

    def handles():
        found = pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir()
        return [os.readlink(fd) for fd in found].count(str(directory))
    assert handles() == 1
    for _ in range(5):
        server.graceful()
        assert handles() == 1
    assert visitor.results("get=a") == ["=1"]


def test_no_program_inherits_the_directory(start, above):
    directory = above / "sessions"
    server = start(line(directory))
    server.script("look", 'echo "Content-Type: text/plain"\necho\nls -l /proc/$$/fd\n')
    visitor = server.client()
    visitor.results("set=a:1")
    answer = visitor.get("/cgi/look")
    assert answer.status == 200 and "->" in answer.text and str(directory) not in answer.text
