"""P03 P04: who we are at a Redis server, in which database, and what that one may do; P07: how records lie
there."""

import subprocess

import pytest

from places import refused, start_places, works
from redis_server import ACL, PASSWORD, Redis

# of the default user, by URL-decoding
ODD = "p@ss:w/rd %é"
ODD_USER, ENCODED_USER = "we:b@x/y%z", "we%3Ab%40x%2fy%25z"


@pytest.fixture(scope="module")
def redis():
    one = Redis(f"user web on >{PASSWORD} {ACL}",
                f"user {ODD_USER} on >{PASSWORD} {ACL}",
                f"user shop on >{PASSWORD} {ACL.replace('~bs:*', '~shop:*')}",
                f"user reader on >{PASSWORD} ~bs:* +hgetall +pttl +eval +evalsha +select",
                f"user blind on >{PASSWORD} ~bs:* +eval +evalsha +select")
    yield one
    one.stop()


@pytest.fixture(scope="module")
def locked():
    """As all were before version 6: one password, no users."""
    one = Redis()
    one("CONFIG", "SET", "requirepass", ODD)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def server(start, redis, locked):
    host = f"127.0.0.1:{redis.ports[0]}"
    old = f"127.0.0.1:{locked.ports[0]}"
    running = start_places(start, {
        "web": f"redis://web:{PASSWORD}@{host}",
        "encoded": f"redis://{ENCODED_USER}:{PASSWORD}@{host}",
        "option": f"redis://{host}/2 user=web password={PASSWORD}",
        "socket": f"{redis.unix}?4 user=web password={PASSWORD}",
        "shop": f"redis://shop:{PASSWORD}@{host} prefix=shop:",
        "wrongprefix": f"redis://shop:{PASSWORD}@{host}",
        "reader": f"redis://reader:{PASSWORD}@{host}",
        "blind": f"redis://blind:{PASSWORD}@{host}",
        "wrong": f"redis://web:not{PASSWORD}@{host}/7",
        "nobody": f"redis://nobody:{PASSWORD}@{host}",
        "far": f"redis://web:{PASSWORD}@{host}/99",
        "old": f"redis://:p%40ss%3Aw%2frd%20%25%c3%a9@{old}",
        "oldoption": f"redis://{old} user= 'password={ODD}'",
        "oldwrong": f"redis://:not{PASSWORD}@{old}",
        "none": f"redis://{old}",
    })
    yield running
    for password in (PASSWORD, ODD):
        assert password not in running.log()


@pytest.mark.parametrize("name", ["web", "encoded", "option", "socket", "shop", "old", "oldoption"])
def test_it_works(server, name):
    works(server, name)


def test_the_password_alone_is_who_we_are(server, redis, locked):
    works(server, "web"), works(server, "encoded"), works(server, "old")
    assert b" user=web " in redis("CLIENT", "LIST") and f" user={ODD_USER} ".encode() in redis("CLIENT", "LIST")
    assert b" user=default" in locked("CLIENT", "LIST")


@pytest.mark.parametrize("name,said", [
    ("wrongprefix", "the server refused with NOPERM: its ACL does not let this user do what docs/backends.md lists"),
    ("reader", "the server refused with NOPERM: its ACL"),
    ("wrong", "the server refused the user and password: WRONGPASS"),
    ("nobody", "the server refused the user and password: WRONGPASS"),
    ("far", "the server refused database 99: ERR"),
    ("oldwrong", "the server refused the password: WRONGPASS"),
    ("none", "the server refused with NOAUTH: it wants a password: password="),
])
def test_it_does_not(server, name, said):
    refused(server, name, said)


def test_a_load_that_is_refused(server, redis):
    """An outage, and no miss: nobody is logged out by an ACL."""
    visitor = works(server, "web")
    visitor.jar["blind"] = visitor.jar["web"]
    assert visitor.probe("get=n", at="/blind").status == 503
    server.logged("store blind: load failed: .*: the server refused with NOPERM")
    assert visitor.jar["blind"] == visitor.jar["web"]


def test_whom_the_server_refuses_writes_nowhere(server, redis):
    """A refused AUTH or SELECT that had shared a flight with a write had it done as the default user, in
    database 0."""
    redis("FLUSHALL")
    redis("CONFIG", "RESETSTAT")
    server.expect("store (wrong|far|nobody): save failed: 127.0.0.1:.*the server refused")
    for name in ("wrong", "far", "nobody"):
        for calls in (["set=a:1"], ["set=a:1", "rotate"], ["incr=n:1"]):
            assert server.client().probe(*calls, at=f"/{name}").status == 503
    assert redis("INFO", "keyspace").decode().strip() == "# Keyspace"
    assert redis.calls("eval", "evalsha", "hset") == 0


def test_the_database_is_the_one_that_was_named(server, redis):
    redis("FLUSHALL")
    for name, db in ("web", 0), ("option", 2), ("socket", 4):
        works(server, name)
        assert f"\r\ndb{db}:keys=1," in redis("INFO", "keyspace").decode()


def test_what_others_read(server, redis):
    """P07: a hash, whose fields are the session's keys."""
    redis("FLUSHALL")
    server.client().results("set=user:ann", "set=empty:", "incr=visits:3", "setn=bytes:%00%ff%0d%0a", at="/web")
    [key] = redis("KEYS", "*")
    assert key.startswith(b"bs:s") and len(key) == len("bs:s") + 32
    fields = redis("HGETALL", key)
    record = dict(zip(fields[::2], fields[1::2]))
    assert {k: v for k, v in record.items() if not k.startswith(b"_bs")} == {
        b"user": b"ann", b"empty": b"", b"visits": b"3", b"bytes": b"\0\xff\r\n"}
    assert sorted(k for k in record if k.startswith(b"_bs")) == [b"_bs", b"_bs.epoch", b"_bs.rev", b"_bs.size"]
    assert 290_000 < redis("PTTL", key) <= 300_000


def test_clear_empties_one_prefix(start, redis):
    """P13: also one that looks like a pattern, in a database that others use."""
    redis("FLUSHALL")
    prefixes = ["a*", "ab", "a[b]", "a\\\\", ""]
    server = start_places(start, {f"s{i}": f"{redis.tcp} 'prefix={p}'" for i, p in enumerate(prefixes)})
    redis("SET", "ours", "stays")
    redis("HSET", "a*c00000000000000000000000000000000", "foreign", "stays")

    def cache(i, *calls):
        return server.client().results(f"cache=s{i}/things/60000", *calls)
    for i in range(len(prefixes)):
        assert cache(i, "cset=k:1")[-1] == "ok"
    for i in range(len(prefixes)):
        assert cache(i, "cget=k")[-1] == "=1"
        assert cache(i, "cclear", "cget=k")[-2:] == ["ok", "-"]
        assert [cache(j, "cget=k")[-1] for j in range(len(prefixes))] == ["-"] * (i + 1) + ["=1"] * (4 - i)
    assert redis("GET", "ours") == b"stays"
    assert redis("HGET", "a*c00000000000000000000000000000000", "foreign") == b"stays"


def test_what_is_no_record_hides_no_other(start, redis):
    """Emptying a cache, or asking for many: what others have put under such keys is passed over, and stays."""
    redis("FLUSHALL")
    server = start_places(start, {"shared": f"{redis.tcp} prefix=bs:"})

    def cached(*calls):
        return server.client().results("cache=shared/things/60000", *calls, at="/shared")[1:]
    assert cached(*[f"cset=k{i}:1" for i in range(20)]) == ["ok"] * 20
    broken = redis("KEYS", "bs:c*")[0]
    redis("DEL", broken)
    for key in (broken, b"bs:c" + b"0" * 32):
        redis("SET", key, "x")
    redis("HSET", "bs:c" + "1" * 32, "_bs", "x", "_bs.rev", "-1")
    redis("SET", "bs:c" + "G" * 32, "x"), redis("SET", "bs:c0", "x")
    server.expect("bsession:warn.*damaged")
    names = [f"k{i}" for i in range(20)]
    assert " ".join(cached(*["cget_many=" + ",".join(names[i:i + 5]) for i in range(0, 20, 5)])).count("=1") == 19
    assert cached("cclear") == ["ok"]
    assert sorted(redis("KEYS", "bs:c*")) == sorted(
        [broken, b"bs:c" + b"0" * 32, b"bs:c" + b"1" * 32, b"bs:c" + b"G" * 32, b"bs:c0"])


# -- the smallest ACL

@pytest.fixture(scope="module")
def contract(build):
    return build.program("tests/contract/contract")


def run(contract, redis, acl, patience):
    """The suite as such a user, in a database of its own."""
    redis("ACL", "SETUSER", "tried", "reset", "on", f">{PASSWORD}", *acl.split())
    redis("SCRIPT", "FLUSH")
    url = f"redis://tried:{PASSWORD}@127.0.0.1:{redis.ports[0]}/5"
    return subprocess.run([contract, url], capture_output=True, text=True,
                          env={"CK_TIMEOUT_MULTIPLIER": patience})


def test_the_smallest_acl_is_enough(contract, redis):
    done = run(contract, redis, ACL, "1")
    assert done.returncode == 0, done.stdout


# INFO is for numbers on the operator's page, which the suite does not read
@pytest.mark.parametrize("word", [word for word in ACL.split() if word != "+info"])
def test_nothing_of_it_is_superfluous(contract, redis, word):
    """Some test of the suite is refused; what waits for what is refused is not waited for."""
    done = run(contract, redis, " ".join(other for other in ACL.split() if other != word), "0.05")
    assert done.returncode != 0 and "the server refused" in done.stdout
