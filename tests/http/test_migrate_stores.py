"""BSessionMigrateFrom between stores of every kind: what one kind keeps in one way, another keeps as well."""

import itertools

import pytest

import file_directory
import memcached_server
import redis_server
import sql_servers
from client import quote
from httpd import on

NEEDED = {"redis": (redis_server, "tcp"), "memcached": (memcached_server, "tcp"), "sql": (sql_servers, "sqlite"),
          "files": (file_directory, None)}
STORES = ["memory", "kept", *NEEDED]
BINARY = bytes(range(256))


@pytest.fixture(scope="module")
def words():
    """What a BSessionStore line says of each."""
    found, servers = {"memory": "memory: size=4M", "kept": "memory:{dir}/kept size=4M"}, []
    lines = ""
    try:
        for name, (module, how) in NEEDED.items():
            server, found[name] = module.start_as(how)
            servers.append(server)
            lines += server.lines() if module is sql_servers else ""
        yield found, lines
    finally:
        for server in servers:
            server.stop()


@pytest.fixture(scope="module")
def server(words, start):
    found, lines = words
    config = lines + "".join(f"BSessionStore {name} {found[name]}\n" for name in STORES) + on("BSessionIdleTimeout 1h")
    for name in STORES:
        config += f"<Location /in/{name}>\n    SetHandler bsession-probe\n    BSessionUse {name}\n</Location>\n"
    for older, newer in itertools.permutations(STORES, 2):
        config += f"<Location /move/{older}/{newer}>\n    SetHandler bsession-probe\n    BSessionUse {newer}\n" \
                  f"    BSessionMigrateFrom {older}\n</Location>\n"
    return start(config)


@pytest.fixture
def visitor(server):
    return server.client()


@pytest.mark.parametrize("older,newer", itertools.permutations(STORES, 2))
def test_from_each_to_each(visitor, older, newer):
    """With all that is in it, and the times of its life; it is in one of them only, and ends in both."""
    before, moving, after = f"/in/{older}", f"/move/{older}/{newer}", f"/in/{newer}"
    assert visitor.results(f"setn=bytes:{quote(BINARY)}", "set=none:", "set=zeros:007", "big=much:20000", "incr=n:41",
                           at=before) == ["ok", "ok", "ok", "ok", "=41"]
    [created, expires] = visitor.results("created", "expires", at=before)
    token = visitor.token
    assert visitor.results("get=n", at=moving) == ["=41"]
    assert visitor.results("get=n", at=before) == ["=41"]           # what is only read stays
    assert visitor.results("incr=n:1", "unset=none", "set=new:1", at=moving) == ["=42", "ok", "ok"]
    assert visitor.token == token
    assert visitor.results("get=n", at=before) == ["-"]
    assert visitor.results("getn=bytes", "has=none", "get=zeros", "get=n", "get=new", "created", at=after) == \
        ["=" + BINARY.hex(), "no", "=007", "=42", "=1", created]
    [much, ends] = visitor.results("get=much", "expires", at=after)
    assert len(much) == 20001 and abs(int(ends) - int(expires)) < 60 * 1000000
    assert visitor.results("destroy", at=moving) == ["ok"]
    for at in before, moving, after:
        visitor.jar["bsession"] = token
        assert visitor.results("get=n", at=at) == ["-"]
