"""SQLite, which has no server: a full disk, a lock that somebody holds, a directory that is not the children's."""

import os
import sqlite3
import time

import pytest

import sql_servers
from doubles import wait_until
from file_system import FileSystem
from httpd import on

STORE = "BSessionStore default dbd: timeout=1s breaker=3,100ms,400ms\n"


def site(database):
    return database.lines() + STORE + on()


@pytest.fixture
def start_one(start):
    mine = []

    def start_it(*config, **more):
        mine.append(start(*config, **more))
        return mine[-1]

    yield start_it
    for one in mine:
        one.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
@pytest.mark.parametrize("wal", [False, True], ids=["journal", "wal"])
def test_a_full_disk(start_one, wal):
    """What is there can be read; what is refused changes nothing; with room all goes on."""
    disk = FileSystem("size=2m")
    try:
        disk.dir.chmod(0o777)
        database = sql_servers.Sqlite(wal, under=disk.dir)
        server = start_one(site(database))
        visitor = server.client()
        assert visitor.results("set=a:1") == ["ok"]
        disk.fill()
        big = "v" * 7000
        statuses = [server.client().probe(f"set=a:{big}").status for _ in range(60)]
        assert statuses[-1] == 503
        assert "its disk is full" in server.logged("store default: save failed")
        wait_until(lambda: visitor.probe("get=a").results == ["=1"], "the breaker to close")
        disk.free()
        wait_until(lambda: visitor.probe("set=b:2").status == 200, "room")
        assert visitor.results("get=a", "get=b") == ["=1", "=2"]
        server.expect("store default: ")
        server.stop()
        assert database("PRAGMA integrity_check") == [("ok",)]
    finally:
        disk.remove()


def test_a_lock_that_somebody_holds(start_one):
    """Shortly: it is waited for. For longer: an outage, which ends; the wait is the driver's own, two
    seconds and a half."""
    database = sql_servers.Sqlite()
    server = start_one(site(database))
    visitor = server.client()
    visitor.results("set=a:1")
    lock = sqlite3.connect(database.path, isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    assert visitor.probe("set=a:2").status == 503
    assert time.monotonic() - began < 10
    assert "the database was locked until timeout= was over" in server.logged("store default: save failed")
    assert visitor.results("get=a") == ["=1"]           # readers are not in the way of a writer
    lock.execute("COMMIT")
    lock.close()
    wait_until(lambda: visitor.probe("set=a:2").status == 200, "the lock to go")
    server.expect("store default: ")
    database.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="the children are whoever started httpd")
def test_a_directory_that_is_not_the_childrens(start_one):
    """The file can be read, but not its journal written: the sentence says so."""
    database = sql_servers.Sqlite(wal=False)
    database("CREATE TABLE other (a integer)")
    database.path.chmod(0o644)
    database.dir.chmod(0o755)
    server = start_one(site(database))
    assert server.client().probe("set=a:1").status == 503
    line = server.logged("store default: ")
    assert "the table bsession must be there" in line or "may not write to it, or to its directory" in line
    server.expect("store default: ")
    server.stop()
    database.stop()
