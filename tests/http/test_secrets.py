"""BSessionSecret and BSessionSeal: what a forged token costs, what a store can read, and what a change of
secret, seal, realm or store does to the sessions that are there."""

import base64
import contextlib
import re

import pytest

import redis_server
from client import STRANGER, h2, h2_streams
from httpd import on

OLD = "0" * 31 + "x-an-old-secret"
NEW = "another-secret-of-enough-bytes-0123456789"
VALUE = "n0-st0re-reads-this"


@pytest.fixture(scope="module")
def redis():
    server = redis_server.Redis()
    server.start()
    yield server
    server.stop()


def forged(token):
    """The same, but for one bit of the MAC, of the verifier, of the selector."""
    for at in (0, 24, 63):
        yield token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1:]


def secrets_line(*secrets):
    return "BSessionSecret " + " ".join(secrets) + "\n"


@pytest.fixture(scope="module")
def server(start, redis):
    return start(on() + secrets_line(OLD) + f"BSessionStore default {redis.tcp}\n"
                 + "<VirtualHost *:{port1}>\nServerName localhost\nBSessionSeal Off\n</VirtualHost>\n", mods=["http2"],
                 main="Protocols h2c http/1.1\n", ports=2)


def test_a_token_has_a_mac(server):
    client = server.client()
    client.results("set=k:" + VALUE)
    assert len(client.token) == 64
    assert client.results("get=k", "token") == ["=" + VALUE, client.token]
    assert client.results("rotate", "get=k") == ["ok", "=" + VALUE]
    assert len(client.token) == 64 and client.results("get=k") == ["=" + VALUE]


def test_a_forged_token_costs_no_store_call(server, redis):
    """Counted by Redis itself."""
    client = server.client(keep=True)
    client.results("set=k:1")
    asked = ("hgetall", "pttl", "evalsha", "eval", "del", "pexpire", "hget", "exists")
    before = redis.calls(*asked)
    for token in [*forged(client.token), STRANGER, "A" * 64, client.token[:43]]:
        stranger = server.client()
        stranger.jar["bsession"] = token
        assert stranger.results("load", "get=k") == ["NOTFOUND", "-"]
        mine = client.twin()
        mine.connection, mine.keep = client.connection, True        # where the good one is remembered
        mine.jar["bsession"] = token
        assert mine.results("load") == ["NOTFOUND"]
        client.connection = mine.connection
    assert redis.calls(*asked) == before > 0
    assert client.results("get=k") == ["=1"]


def test_a_stranger_gets_a_fresh_token(server):
    stranger = server.client()
    stranger.jar["bsession"] = "A" * 64
    assert stranger.results("set=k:1") == ["ok"]
    assert stranger.token[:22] != "A" * 22


def test_http_2(server):
    client = server.client()
    client.results("set=k:1")
    assert h2(server, "/probe?get=k", client.token).results == ["=1"]
    assert h2(server, "/probe?get=k", next(forged(client.token))).results == ["-"]


def test_visitors_at_once_on_one_connection_of_http_2(server, build):
    """Streams are served by several threads at once: nobody meets what another one's Cookie header said."""
    if build.mpm == "prefork":
        pytest.skip("mod_http2 does not serve under prefork")
    visitors = [server.client() for _ in range(5)]
    for i, visitor in enumerate(visitors):
        visitor.results(f"set=k:{i}")
    tokens = [v.token for v in visitors] + [next(forged(visitors[0].token))]
    wanted = [[f"={i}"] for i in range(5)] + [["-"]]
    assert h2_streams(server, tokens * 12, "/probe?get=k", 4) == [wanted * 12] * 4


def test_redis_keeps_nothing_readable(server, redis):
    client = server.client()
    client.results("set=user:" + VALUE)
    keys = redis("keys", "*")
    assert keys
    for key in keys:
        held = b"".join(redis("hgetall", key))
        assert b"sealed" in held and VALUE.encode() not in held and b"user" not in held


def test_what_was_edited_in_the_store_is_an_empty_session(server, redis):
    client = server.client()
    client.results("set=user:alice")
    key = key_of(redis, client)
    redis("hset", key, "_bs.epoch", "77")
    server.expect(r"cannot be opened; the session counts as empty")
    was = client.token
    assert client.results("get=user", "set=user:bob") == ["-", "ok"]
    assert client.token != was and client.results("get=user") == ["=bob"]


def key_of(redis, client):
    """The key of this client's record."""
    selector = base64.urlsafe_b64decode(client.token[:24])[:16].hex()
    return next(key for key in redis("keys", "*") if key.endswith(selector.encode()))


def test_a_plain_record_cannot_be_planted(server, redis):
    client = server.client()
    client.results("set=user:alice")
    key = key_of(redis, client)
    redis("hdel", key, "\x01sealed")
    redis("hset", key, "user", "admin")
    server.expect(r"cannot be opened; the session counts as empty")
    assert client.results("get=user") == ["-"]


def test_nor_one_that_is_good_where_nothing_is_sealed(server, redis):
    """Of the same realm and secret, whole and with its token."""
    unsealed = server.client(port=server.ports[1])
    unsealed.results("set=user:alice")
    assert redis("hget", key_of(redis, unsealed), "user") == b"alice"
    client = server.client()
    client.jar = dict(unsealed.jar)
    server.expect(r"cannot be opened; the session counts as empty")
    assert client.results("get=user") == ["-"] and unsealed.results("get=user") == ["=alice"]


def test_what_stands_in_the_place_of_a_list_is_told_of(server, redis):
    assert server.client().results("set_user=instead") == ["ok"]
    key = next(key for key in redis("keys", "*") if key.startswith(b"bs:u"))
    redis("del", key)
    redis("sadd", key, "foreign")
    server.expect("what lies under the key " + key.decode()[3:] + " is no list of a user's sessions")
    assert server.client().probe("set_user=instead").status == 503
    redis("del", key)
    assert server.client().results("set_user=instead", "save") == ["ok", "ok"]


# ---- a change of secret, seal, realm, store


@pytest.fixture(scope="module")
def changing(start):
    """A server with lines that can be changed, which stand in a file."""
    return start(on() + "Include {dir}/words\nBSessionStore default file:{w}/sessions\n"
                 "BSessionStore other file:{w}/others\n",
                 prepare=lambda s: (s.dir / "words").write_text(secrets_line(OLD)))


def change(server, words):
    (server.dir / "words").write_text(words)
    server.graceful()


def session(server, words):
    change(server, words)
    client = server.client()
    assert client.results("set=user:" + VALUE) == ["ok"]
    return client


LIVES, ENDS = True, False
CHANGES = [
    # before, after, does the session live, what the log says
    (secrets_line(OLD), secrets_line(OLD), LIVES, None),
    (secrets_line(OLD), secrets_line(NEW, OLD), LIVES, None),
    (secrets_line(OLD), secrets_line(NEW, NEW * 2, NEW * 3, OLD), LIVES, None),
    (secrets_line(OLD), secrets_line(NEW), ENDS, None),
    (secrets_line(OLD), "", ENDS, None),
    ("", secrets_line(OLD), ENDS, None),
    (secrets_line(OLD), secrets_line(OLD) + "BSessionSeal Off\n", ENDS, "cannot be opened"),
    (secrets_line(OLD) + "BSessionSeal Off\n", secrets_line(OLD), ENDS, "cannot be opened"),
    (secrets_line(OLD) + "BSessionSeal Off\n", secrets_line(NEW, OLD) + "BSessionSeal Off\n", LIVES, None),
    (secrets_line(OLD), secrets_line(OLD) + "BSessionRealm shop\n", ENDS, None),
    (secrets_line(OLD), secrets_line(OLD) + "<Location />\nBSessionUse other\n</Location>\n", ENDS, None),
]


@pytest.mark.parametrize("before, after, lives, said", CHANGES)
def test_what_a_change_does_to_living_sessions(changing, before, after, lives, said):
    client = session(changing, before)
    change(changing, after)
    if said:
        changing.expect(said)
    assert client.results("get=user") == (["=" + VALUE] if lives else ["-"])
    if not lives:
        assert client.results("set=user:" + VALUE, "get=user") == ["ok", "=" + VALUE]


def test_secrets_are_replaced_without_a_loss(changing):
    """New before old, until all has been used once; what is saved is sealed with the new one."""
    client = session(changing, secrets_line(OLD))
    change(changing, secrets_line(NEW, OLD))
    was = client.token
    assert client.results("get=user", "set=seen:1", "rotate") == ["=" + VALUE, "ok", "ok"]
    assert client.token != was
    change(changing, secrets_line(OLD, NEW))                # of a server that is a step behind
    assert client.results("get=user", "set=seen:2") == ["=" + VALUE, "ok"]
    change(changing, secrets_line(NEW, OLD))
    assert client.results("get=user", "set=seen:3", "rotate") == ["=" + VALUE, "ok", "ok"]
    change(changing, secrets_line(NEW))
    assert client.results("get=user", "get=seen") == ["=" + VALUE, "=3"]


def test_another_name_for_the_store_is_no_change(changing):
    """The name is no part of any key: what lies there is what counts."""
    client = session(changing, secrets_line(OLD))
    changing.expect("the same place, .*, so that they are one")
    change(changing, secrets_line(OLD) + f"BSessionStore renamed file:{changing.writable}/sessions\n"
           + "<Location />\nBSessionUse renamed\n</Location>\n")
    assert client.results("get=user") == ["=" + VALUE]


def bytes_of(directory):
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def test_files_keep_nothing_readable(changing):
    session(changing, secrets_line(OLD) + "BSessionSeal Off\n")
    assert VALUE.encode() in bytes_of(changing.writable / "sessions")
    for path in (changing.writable / "sessions").rglob("s*"):
        if path.is_file():
            path.unlink()
    client = session(changing, secrets_line(OLD))
    client.results("cache=-/a/0", "cset=key-of-a-cache:" + VALUE, "cget=key-of-a-cache")
    held = bytes_of(changing.writable / "sessions")
    assert held and VALUE.encode() not in held and b"user" not in held and b"key-of-a-cache" not in held


def test_no_secret_token_or_value_in_any_log(changing):
    client = session(changing, secrets_line(OLD))
    tokens = [client.token]
    change(changing, secrets_line(NEW, OLD))
    for calls in (["get=user", "rotate"], ["get=user"], ["destroy", "set=user:bob"]):
        client.results(*calls)
        tokens.append(client.token)
    change(changing, secrets_line(OLD))
    client.results("get=user")
    logs = changing.log() + changing.output() + changing.access_log.read_text()
    for word in (OLD, NEW, VALUE, *tokens, *(token[:22] for token in tokens)):
        assert word not in logs
    for pid in [changing.process.pid, *changing.children()]:
        with open(f"/proc/{pid}/cmdline", "rb") as title:
            assert OLD.encode() not in title.read()


# ---- virtual hosts


def test_virtual_hosts(start):
    vhost = """
<VirtualHost *:{port}>
    ServerName %s
    BSessionRealm shop
    %s
    <Location /probe>
        SetHandler bsession-probe
    </Location>
</VirtualHost>
"""
    server = start(on() + "BSessionStore default memory:\n" + secrets_line(OLD)
                   + vhost % ("a.example", "") + vhost % ("b.example", "")
                   + vhost % ("c.example", secrets_line(NEW))
                   + vhost % ("d.example", "BSessionSeal Off"))

    def at(client, host):
        other = client.twin()
        other.host = host
        return other.results("get=k")

    a = server.client(host="a.example")
    a.results("set=k:1")
    assert at(a, "b.example") == ["=1"]                     # inherited
    assert at(a, "c.example") == ["-"]                      # replaced
    server.expect("cannot be opened")
    assert at(a, "d.example") == ["-"]
    # on one connection, where a token is remembered, each host asks its own secrets
    a.keep = True
    for host, answer in [("a.example", "=1"), ("c.example", "-"), ("b.example", "=1")] * 3:
        a.host = host
        assert a.results("get=k") == [answer]


# ---- where the secret is


def test_file_env_and_exec(start):
    def prepare(server):
        for name, text in [("secret", NEW + "\n"), ("older", OLD)]:
            (server.dir / name).write_text(text)
            (server.dir / name).chmod(0o600)
        program = server.dir / "program"
        program.write_text(f"#!/bin/sh\necho run >>{server.dir}/runs\necho said \"$1\" >&2\nprintf %s \"$2\"\n")
        program.chmod(0o700)

    server = start(on() + "BSessionSecret file:{dir}/secret file:older env:A_SECRET "
                   f"\"exec:{{dir}}/program 'a complaint; $(true)' {OLD[::-1]}\"\n",
                   env={"A_SECRET": NEW * 2}, prepare=prepare)
    assert (server.dir / "runs").read_text() == "run\n"    # though the configuration was read twice
    assert "said a complaint; $(true)" in server.output() + server.log()
    client = server.client()
    client.results("set=k:1")
    server.expect("^said a complaint")
    (server.dir / "secret").write_text("this was replaced by another one, also long\n")
    server.graceful()
    assert client.results("get=k") == ["-"]
    assert (server.dir / "runs").read_text() == "run\n" * 2


def memory_of(pid):
    """All that a process has to itself, and could write to; not what is far too large to be read (shadows)."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            where, rights = line.split()[:2]
            begin, end = (int(at, 16) for at in where.split("-"))
            if rights == "rw-p" and end - begin < 1 << 28:
                memory.seek(begin)
                with contextlib.suppress(OSError):
                    yield memory.read(end - begin)


@pytest.mark.parametrize("restarts", [0, 1])
def test_no_child_knows_the_secret(start, restarts):
    """Where it is neither in the environment nor in the configuration: keys are all that is left of it."""
    of_file, of_program = "a-file's-secret" * 3, "a-program's-secret" * 3

    def prepare(server):
        (server.dir / "secret").write_text(of_file + "\n")
        (server.dir / "program").write_text(f"#!/bin/sh\necho \"{of_program}\"\n")
        (server.dir / "secret").chmod(0o600)
        (server.dir / "program").chmod(0o700)

    server = start(on() + "BSessionSecret file:{dir}/secret exec:{dir}/program\n", prepare=prepare)
    for _ in range(restarts):
        server.graceful()
    assert server.client().results("set=k:1") == ["ok"]
    for pid in [server.process.pid, *server.children()]:
        known = [word for region in memory_of(pid) for word in (of_file, of_program) if word.encode() in region]
        assert known == []


def test_a_file_that_everybody_reads_is_warned_of(build, start):
    def prepare(server):
        (server.dir / "secret").write_text(NEW + "\n")
        (server.dir / "secret").chmod(0o644)

    server = start(on() + "BSessionSecret file:secret\n", prepare=prepare)
    assert re.search(r"the secret in \S+/secret is open to everybody on this machine: chmod 600 it",
                     server.log() + server.output())
    server.expect("is open to everybody")
    server.graceful()
