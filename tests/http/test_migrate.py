"""BSessionMigrateFrom: a site changes its store, and nobody is logged out. What happens when several do it
at once is tested in tests/unit/test_session_move.c."""

import threading

import pytest

from doubles import Fault
from httpd import on

STORES = "BSessionStore before fault:memory: control={w}/before size=8M\n" \
         "BSessionStore default fault:memory: control={w}/after size=8M\nMaxKeepAliveRequests 0\n"
PLACES = """
<Location /old>
    SetHandler bsession-probe
    BSessionUse before
    BSessionMigrateFrom Off
</Location>
<Location /new>
    SetHandler bsession-probe
    BSessionMigrateFrom Off
</Location>
<Directory "{docs}/some">
    AllowOverride All
</Directory>
<Location /some>
    SetHandler bsession-probe
    BSessionMigrateFrom Off
</Location>
"""


def prepare(server):
    server.before = Fault(server.writable / "before")
    server.after = Fault(server.writable / "after")


@pytest.fixture(scope="module")
def server(start):
    return start(STORES + on("BSessionIdleTimeout 1h\n    BSessionMigrateFrom before") + PLACES, prepare=prepare)


@pytest.fixture
def client(server):
    """Who was here before the change."""
    client = server.client()
    assert client.results("set=a:1", "set=n:10", at="/old/probe") == ["ok", "ok"]
    return client


def test_it_is_read_where_it_is_and_moves_when_it_is_saved(server, client):
    token = client.token
    assert client.results("get=a", "incr=n:1") == ["=1", "=11"]
    assert client.token == token
    assert client.results("get=a", "get=n", at="/new/probe") == ["=1", "=11"]
    assert client.results("get=a", at="/old/probe") == ["-"]


def test_what_is_only_read_stays(server, client):
    saved = server.after.calls("create", "merge", "replace")
    assert client.results("get=a") == ["=1"]
    assert server.after.calls("create", "merge", "replace") == saved
    assert client.results("get=a", at="/old/probe") == ["=1"]


def test_a_login_and_a_logout(server, client):
    before = client.twin()
    assert client.results("rotate", "set=user:ann") == ["ok", "ok"]
    assert client.token != before.token
    assert before.twin().results("get=a") == ["-"] and before.twin().results("get=a", at="/old/probe") == ["-"]
    after = client.twin()
    assert client.results("destroy") == ["ok"]
    for at in ("/probe", "/old/probe", "/new/probe"):
        assert after.twin().results("get=a", at=at) == ["-"]


def test_many_at_once(server, client):
    answers = []

    def count():
        mine = client.twin()
        answers.extend(mine.probe("incr=n:1").status for _ in range(20))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [200] * 160
    assert client.results("get=n") == ["=170"]
    assert client.results("get=n", at="/old/probe") == ["-"]


def test_in_the_older_it_cannot_be_told(server, client):
    """Not an unknown session but an outage; one that has moved is none of it."""
    moved = client.twin()
    stays = server.client()
    stays.results("set=a:2", at="/old/probe")
    moved.results("set=b:1")
    server.before.set("fail")
    server.expect("bsession:(warn|error)")
    assert moved.results("get=b") == ["=1"]
    assert stays.probe("get=a").status == 503
    server.before.clear()
    assert stays.results("get=a") == ["=2"]


def test_from_memory_by_a_graceful_restart(start):
    """As docs/directives.md has it, for a site that never said where its sessions are."""
    idle = "BSessionIdleTimeout 1h\n    "
    server = start(on(idle), prepare=prepare, implied=True)

    def becomes(lines):
        server.config = ("BSessionStore default memory:\nBSessionStore newer fault:memory: control={w}/after size=8M\n"
                         + on(idle + lines))
        (server.dir / "httpd.conf").write_text(server.text())
        server.graceful()

    visitor, other = server.client(), server.client()
    for one in visitor, other:
        assert one.results("set=a:1") == ["ok"]
    becomes("BSessionUse newer\n    BSessionMigrateFrom default")
    assert visitor.results("get=a", "set=b:2") == ["=1", "ok"]
    assert other.results("get=a") == ["=1"]
    becomes("BSessionUse newer")
    assert visitor.results("get=a", "get=b") == ["=1", "=2"]
    assert other.results("get=a") == ["-"]      # it was only read, and stayed


def test_htaccess(server, client):
    (server.docs / "some").mkdir()
    (server.docs / "some" / ".htaccess").write_text("BSessionMigrateFrom nowhere\n")
    server.expect("bsession", "core:alert")
    assert client.get("/some/x").status == 500
    assert server.logged(r'BSessionMigrateFrom: no BSessionStore defines "nowhere"')
