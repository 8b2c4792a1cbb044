"""Who can write to a store: each byte of a sealed record is changed, on each store that others can get at. The
session is empty then, or what it was; it is never anything else, nobody crashes, and once the byte is
what it was the session is there again."""

import os

import pytest

from file_directory import Directory
from httpd import on
from memcached_server import Memcached
from redis_server import Redis
from sql_servers import Sqlite

SECRET = "BSessionSecret 0123456789abcdef-0123456789abcdef-of-a-test\n"
VALUE = "what-nobody-else-may-read-or-write"
# what is the store's own: the digits by which Redis's script knows how long a record is
UNSEALED = {"redis": 4}


class Files:
    """A record is a file; when it ends is the file's own time."""

    def __init__(self):
        self.directory = Directory()
        self.line = f"BSessionStore default file:{self.directory.dir}/sessions\n"

    def parts(self):
        (self.path,) = [path for path in self.directory.dir.rglob("s" + 32 * "?") if path.is_file()]
        self.times = self.path.stat()
        return {"": self.path.read_bytes()}

    def put(self, _, content):
        self.path.write_bytes(content)
        os.utime(self.path, ns=(self.times.st_atime_ns, self.times.st_mtime_ns))

    def stop(self):
        self.directory.stop()


class Hash:
    """In Redis a record is several fields."""

    def __init__(self):
        self.redis = Redis()
        self.line = f"BSessionStore default {self.redis.tcp}\n"

    def parts(self):
        (self.key,) = self.redis("keys", "*")
        found = self.redis("hgetall", self.key)
        return dict(zip(found[::2], found[1::2]))

    def put(self, field, content):
        self.redis("hset", self.key, field, content)

    def stop(self):
        self.redis.stop()


class Item:
    def __init__(self):
        self.memcached = Memcached()
        self.line = f"BSessionStore default {self.memcached.words}\n"

    def parts(self):
        (self.key,) = self.memcached.keys()
        return {"": self.memcached(f"get {self.key}")[1]}

    def put(self, _, content):
        assert self.memcached(f"set {self.key} 0 0 {len(content)}", content) == [b"STORED"]

    def stop(self):
        self.memcached.stop()


class Row:
    def __init__(self):
        self.database = Sqlite()
        self.line = self.database.lines() + "BSessionStore default dbd:\n"

    def parts(self):
        ((self.id, data),) = self.database("SELECT id, data FROM bsession")
        return {"": data}

    def put(self, _, content):
        self.database("UPDATE bsession SET data = ? WHERE id = ?", content, self.id)

    def stop(self):
        self.database.stop()


@pytest.fixture(params=["file", "redis", "memcached", "dbd"])
def store(request):
    one = {"file": Files, "redis": Hash, "memcached": Item, "dbd": Row}[request.param]()
    one.kind = request.param
    yield one
    one.stop()


def test_every_byte(start, store):
    server = start(SECRET + store.line + on())
    client = server.client(keep=True)
    assert client.results("set=user:" + VALUE) == ["ok"]
    server.expect("the session counts as empty", "store default: ")
    found = {True: 0, False: 0}
    for name, content in store.parts().items():
        assert VALUE.encode() not in content and b"user" not in content
        for i in range(len(content)):
            store.put(name, content[:i] + bytes([content[i] ^ 1]) + content[i + 1:])
            answer = client.probe("load", "get=user")
            assert answer.status == 200 and answer.cookies == [], (name, i, answer)
            was = answer.results == ["ok", "=" + VALUE]
            assert was or answer.results == ["NOTFOUND", "-"], (name, i, answer)
            found[was] += 1
        store.put(name, content)
    assert client.results("get=user") == ["=" + VALUE]
    assert found[False] > 140 and found[True] <= UNSEALED.get(store.kind, 0), found
    assert "exit signal" not in server.log()
    client.close()
    server.stop()
