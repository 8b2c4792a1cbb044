"""PostgreSQL and MariaDB that are killed, stopped and started again, with visitors who do not stop: what was told
is kept, no increment counts twice, the breaker opens and closes, and nobody restarts httpd."""

import concurrent.futures
import re
import time

import pytest

import sql_servers
from doubles import Gate, wait_until
from httpd import on
from load import Load
from places import ONE_CHILD

# threads that a stopped server may hold in a child
DBDMAX = 3
# a stop, and what a busy machine adds
PATIENCE = 20
STORE = "BSessionStore default dbd: timeout=20s breaker=3,100ms,400ms\n"
# what mod_dbd itself says of a server that is away
MOD_DBD = r"^\[dbd:"


@pytest.fixture(scope="module", params=["pgsql", "mysql"])
def database(request):
    one = sql_servers.DATABASES[request.param]()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def server(start, database):
    one = start(database.lines(f"DBDMax {DBDMAX}\nDBDKeep {DBDMAX}\n") + STORE + on(), mpm_config=ONE_CHILD)
    yield one
    one.stop()                          # before its database goes


@pytest.fixture
def hasty(start, database, server):
    """With less time to answer; the tables are there."""
    one = start(database.lines(f"DBDMax {DBDMAX}\nDBDKeep {DBDMAX}\n") + STORE.replace("20s", "1s") + on(),
                mpm_config=ONE_CHILD)
    yield one
    database.resume()
    one.stop()
    one.expect("store default: ", MOD_DBD)


@pytest.fixture(autouse=True)
def whole(database, server, quiet_logs):
    """After each test the server is there, and asked again; and what we say names nobody."""
    yield
    database.resume()
    if not database.running():
        database.start()
    wait_until(lambda: server.client().probe("set=a:1").status == 200, "the store to be asked again")
    server.expect("store default: ", MOD_DBD)
    ours = "\n".join(line for line in server.log().splitlines() if "bsession" in line)
    for secret in sql_servers.USER, sql_servers.PASSWORD, sql_servers.DATABASE:
        assert secret not in ours


def assert_states(server, most=1):
    """One line for each change of state: it opened and it closed, in turn."""
    words = []
    for line in server.lines():
        found = re.search(r"bsession:(\w+).* store default: (.*)", line)
        if found and found[1] != "info":
            words += ["opened"] if "left alone" in found[2] else ["closed"] if "answers again" in found[2] else []
    assert words == ["opened", "closed"] * (len(words) // 2) and 2 <= len(words) <= 2 * most, words


def told_more(load, by=40):
    before = load.told()
    wait_until(lambda: load.told() > before + by, "the visitors to be served")


def healed(load):
    """All visitors are told of new numbers."""
    wait_until(load.goes_on(1), "the visitors to be served")


def opened(server):
    wait_until(lambda: "left alone" in server.log()[server.seen:], "the breaker to open")


def test_killed_and_started_again(server, database):
    with Load(server, visitors=4, patience=PATIENCE) as load:
        told_more(load)
        database.kill()
        opened(server)
        wait_until(load.refused, "a request to fail")
        database.start()
        healed(load)
    assert_states(server, most=20)


@pytest.mark.parametrize("calls,results", [
    (["get=n"], ["=1"]), (["incr=n:1"], ["=2"]), (["set=a:1", "rotate"], ["ok", "ok"]), (["clear"], ["ok"]),
    (["destroy"], ["ok"]), (["touch"], ["ok"]), (["cache=default/things/60000", "cset=k:1"], ["cache", "ok"])])
def test_idle_connections_that_were_closed(server, database, calls, results):
    """All of them died with the server, and nobody notices: they are replaced within the call. The last is a
    PUT, and nothing else, which may not be sent again."""
    visitor = server.client()
    visitor.results("incr=n:1", "cache=default/things/60000", "cset=k:0")
    database.kill()
    database.start()
    assert visitor.results(*calls) == results


def test_a_first_save_after_it(server, database):
    server.client().results("set=a:1")
    database.kill()
    database.start()
    assert server.client().results("set=a:1") == ["ok"]


def test_a_restart_between_load_and_save(server, database):
    """The change is sent again, to the revision that was loaded, and so is made once."""
    visitor = server.client()
    for calls in "set=n:0", "incr=n:1":             # the save's statement is known to the connection
        visitor.results(calls)
    gate = Gate(server)
    with gate.passing(visitor, "get=n", gate.call, "incr=n:1", "save", timeout=60):
        database.kill()
        database.start()
    assert gate.answer.results[-1] == "ok", gate.answer
    assert visitor.results("get=n") == ["=2"]


def test_a_restart_and_another_writer_between_load_and_save(server, database):
    """Then it may not be known whose change was made; whoever is told that it was, is told the truth."""
    visitor = server.client()
    for calls in "set=n:0", "incr=n:1":             # the save's statement is known to the connection
        visitor.results(calls)
    other = visitor.twin()
    gate = Gate(server)
    with gate.passing(visitor, "get=n", gate.call, "incr=n:1", "save", timeout=60):
        database.kill()
        database.start()
        assert other.results("incr=n:1") == ["=2"]
    told = gate.answer.status == 200 and gate.answer.results[-1] == "ok"
    assert visitor.results("get=n") == ["=3" if told else "=2"]


def test_connections_that_are_killed(server, database):
    """Under load. Who loses one in the middle of an increment may be told that it is not known."""
    with Load(server, visitors=4, patience=PATIENCE) as load:
        for _ in range(20):
            told_more(load, 10)
            if database.driver == "pgsql":
                database("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                         "WHERE datname = current_database() AND pid <> pg_backend_pid()")
            else:
                for [number] in database("SELECT id FROM information_schema.processlist "
                                         f"WHERE user = '{sql_servers.USER}'"):
                    try:
                        database(f"KILL {number}")
                    except AssertionError:
                        pass                # it has gone by itself
        healed(load)
    server.expect("store default: ", MOD_DBD)


def test_stopped_for_longer_than_the_time_out(hasty, database):
    with Load(hasty, visitors=4, patience=PATIENCE) as load:
        told_more(load)
        database.pause()
        opened(hasty)
        database.resume()
        healed(load)
    assert_states(hasty, most=5)


def test_a_stopped_server_holds_no_more_threads_than_it_has_connections(hasty, database):
    """25 threads, 3 connections, 24 who ask at once: 3 are held; the others are told in time, and who needs no
    session does not notice."""
    server, visitors = hasty, [hasty.client() for _ in range(24)]
    for visitor in visitors:
        wait_until(lambda: visitor.probe("set=a:1").status == 200, "a visitor to be let in")
    database.pause()

    def ask(visitor):
        began = time.monotonic()
        status = visitor.probe("get=a", timeout=60).status
        return status, time.monotonic() - began

    with concurrent.futures.ThreadPoolExecutor(len(visitors)) as pool:
        jobs = [pool.submit(ask, visitor) for visitor in visitors]
        wait_until(lambda: sum(job.done() for job in jobs) >= len(jobs) - DBDMAX, "all but a few to be told")
        told = [job.result() for job in jobs if job.done()]
        assert all(status == 503 and seconds < PATIENCE for status, seconds in told), told
        opened(server)
        for _ in range(5):
            assert server.client().get("/index.html").status == 200
        held = [job for job in jobs if not job.done()]
        assert len(held) >= 1
        # probes come and go, and none of them is held beside those
        for _ in range(20):
            began = time.monotonic()
            assert server.client().probe("set=b:1").status == 503
            assert time.monotonic() - began < PATIENCE
        database.resume()
        assert all(status in (200, 503) for status, _ in [job.result(30) for job in jobs])
    wait_until(lambda: visitors[0].probe("get=a").results == ["=1"], "the store to be asked again")
    server.expect("store default: ", MOD_DBD)


def test_not_there_at_the_start(start, database):
    """The start says so in mod_dbd's words; it heals by itself."""
    database.kill()
    server = start(database.lines() + STORE + on(), mpm_config=ONE_CHILD)
    server.expect("store default: ", MOD_DBD)
    assert server.client().probe("set=a:1").status == 503
    assert "no connection to the database can be had" in server.logged("store default: ")
    assert server.client().get("/index.html").status == 200
    database.start()
    wait_until(lambda: server.client().probe("set=a:1").status == 200, "the store to be asked")
    server.expect("store default: ", MOD_DBD)
    server.stop()


def test_a_graceful_restart_while_it_is_away(server, database):
    visitor = server.client()
    visitor.results("set=a:1")
    database.kill()
    server.expect("store default: ", MOD_DBD)
    server.graceful()
    assert visitor.probe("get=a").status == 503
    database.start()
    wait_until(lambda: visitor.probe("get=a").results == ["=1"], "the store to be asked again")
