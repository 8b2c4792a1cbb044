"""What a line of a Redis store may say: each wrong one gets a sentence that says what was expected, and no
password."""

import pytest

from httpd import Httpd

SECRET = "s3cret-of-a-test"

# what follows `BSessionStore x` -> a part of what is said
WRONG = [
    ("redis:", "expected redis://host:port/database, rediss:// for TLS, or redis+unix:/path"),
    ("redis:/h", "expected redis://host:port/database"),
    ("redis://", "the URL names no host"),
    ("redis:///1", "the URL names no host"),
    ("redis://,", "a host is a name or address"),
    ("redis://a,,c cluster=on", "a host is a name or address"),
    ("redis://a,b, cluster=on", "a host is a name or address"),
    ("redis://h?db=3", "a host is a name or address"),
    (f"redis://web:{SECRET}@a,web:{SECRET}@b cluster=on", "user and password stand once"),
    ("redis://h sentinel=", "sentinel= takes the name that the Sentinels have for the master"),
    ("redis://h sentinel=shop sentinel_user=s", "a user needs a password: sentinel_password="),
    ("rediss://h tls=off", "rediss:// is TLS: tls=off goes with redis:// only"),
    ("rediss://h ca=", "ca= takes the path of a file"),
    ("rediss://h cert= key=/k", "cert= takes the path of a file"),
    ("rediss://h servername=", "servername= takes the name"),
    ("rediss://:6379", "a host is a name or address with a port or without"),
    ("redis://h:", "a host is a name or address"),
    ("redis://h:0", "a host is a name or address"),
    ("redis://h:65536", "a host is a name or address"),
    ("redis://h:6379x", "a host is a name or address"),
    ("redis://h:+1", "a host is a name or address"),
    ("redis://::1", "[::1]:6379"),
    ("redis://[::1", "[::1]:6379"),
    ("redis://[::1]6379", "[::1]:6379"),
    ("redis://[]", "[::1]:6379"),
    ("'redis://a b'", "a host is a name or address"),
    ("redis://h/x", "the number of a database"),
    ("redis://h/-1", "the number of a database"),
    ("redis://h/0/1", "the number of a database"),
    ("redis://h/99999999999", "the number of a database"),
    (f"redis://web:{SECRET}/{SECRET}", "a / in a password is written %2F"),
    (f"redis://web:{SECRET}%zz@h", "a % in the URL's password is followed by two hex digits"),
    (f"redis://web:{SECRET}%00@h", "a % in the URL's password"),
    (f"redis://web:{SECRET}%4@h", "a % in the URL's password"),
    (f"redis://web%:{SECRET}@h", "a % in the URL's user is followed by two hex digits"),
    (f"redis://web:{SECRET}@h user=other", "the user or password stands twice"),
    (f"redis://web:{SECRET}@h password={SECRET}", "the user or password stands twice"),
    (f"redis://web:{SECRET}@", "the URL names no host"),
    (f"redis://web:{SECRET}@h:x", "a host is a name or address"),
    (f"redis://web:{SECRET}@h {SECRET}", "word 3 is no option: they are written key=value"),
    (f"redis://h 'password={SECRET} x'  {SECRET}x", "word 4 is no option"),
    (f'redis://web:"{SECRET} one"@h', "key=value"),
    (f"{SECRET}@h:6379", "its scheme"),
    (f"{SECRET}@h", "its scheme"),
    ("redis://web@h", "a user needs a password: password="),
    ("redis://h user=web", "a user needs a password"),
    ("redis://h1,h2", "several hosts are Sentinels, with sentinel=, or nodes of a Cluster, with cluster=on"),
    ("redis://h cluster=maybe", "cluster=maybe: expected"),
    ("redis://h cluster=on sentinel=shop", "do not go together"),
    ("redis://h/1 cluster=on", "a Cluster has no databases but 0"),
    (f"redis://h sentinel_password={SECRET}", "go with sentinel="),
    ("redis://h sentinel_user=web", "go with sentinel="),
    ("redis+unix:", "the path of a socket"),
    ("redis+unix:socket", "the path of a socket"),
    ("redis+unix:/" + "p" * 100, "of 100 bytes at most"),
    ("redis+unix:/s?x", "the number of a database"),
    ("redis+unix:/s cluster=on", "a UNIX socket is one server"),
    ("redis+unix:/s sentinel=shop", "a UNIX socket is one server"),
    ("redis://h ca=/ca.pem", "go with rediss:// or tls=on"),
    ("redis://h verify=off", "go with rediss:// or tls=on"),
    ("redis://h cert=/c key=/k", "go with rediss:// or tls=on"),
    ("redis://h servername=x", "go with rediss:// or tls=on"),
    ("redis://h tls=off ca=/ca.pem", "go with rediss:// or tls=on"),
    ("rediss://h cert=/c", "cert= and key= go together"),
    ("rediss://h key=/k", "cert= and key= go together"),
    ("rediss://h verify=perhaps", "verify=perhaps: expected"),
    ("redis://h tls=perhaps", "tls=perhaps: expected"),
    ("redis://h pool=0", "pool=0: expected a number from 1 to 10000"),
    ("redis://h pool=many", "expected a number from 1 to 10000"),
    ("redis://h replicas=-1", "replicas=-1: expected a number from 0 to 100"),
    ("redis://h connect_timeout=0", "connect_timeout=0: expected at least 1ms"),
    ("redis://h connect_timeout=soon", "connect_timeout=soon: expected"),
    ("redis://h prefix=" + "p" * 201, "prefix= takes 200 bytes at most"),
    ("redis://h prefix=a prefix=b", "twice"),
    ("redis://h colour=red", "unknown option 'colour='"),
    ("redis://h colour=red", "prefix="),
]

RIGHT = [
    "redis://h", "redis://h/", "redis://h:6379/15", "REDIS://127.0.0.1", "redis://[::1]", "redis://[::1]:6380/2",
    f"redis://web:{SECRET}@h", f"redis://:{SECRET}@h", f"redis://web@h password={SECRET}",
    f"redis://web:{SECRET}%40%3a%2F@h:1", f"redis://web:{SECRET}@{SECRET}@h", f"redis://h user= password={SECRET}",
    f"redis://:{SECRET}@h user=web",
    "rediss://h", "rediss://h tls=on verify=off", "redis://h tls=on servername=x",
    "redis+unix:///run/redis.sock", "redis+unix:/run/redis.sock", "redis+unix:/run/redis.sock?3", "redis+unix:/run/redis.sock tls=on",
    "redis://h prefix= pool=1 replicas=2 connect_timeout=50ms timeout=1s breaker=off",
    "redis://h1,h2:1,[::1]:2/3 sentinel=shop sentinel_user=s sentinel_password=" + SECRET,
    "redis://h1,h2:1,[::1]:2/0 cluster=on",
]


@pytest.fixture(scope="module")
def configtest(build):
    tried = []

    def run(config):
        server = Httpd(build, config)
        tried.append(server)
        status, said = server.configtest()
        assert SECRET not in said
        return status, said
    yield run
    for server in tried:
        server.remove()


@pytest.mark.parametrize("line,said", WRONG, ids=[line[:50] for line, _ in WRONG])
def test_wrong(configtest, line, said):
    status, output = configtest(f"BSessionStore x {line}")
    assert status != 0, output
    assert said in output, output


@pytest.mark.parametrize("line", RIGHT, ids=[line[:50] for line in RIGHT])
def test_right(configtest, line):
    """P03 P04 P05 P06: nothing is opened, and nothing is said."""
    status, output = configtest(f"BSessionStore x {line}")
    assert status == 0, output
    assert "bsession" not in output.lower().replace("bsession-http", ""), output


def configtest_without(build, *lines):
    """What is said of a configuration for Redis without the lines that begin so."""
    server = Httpd(build, f"BSessionStore x redis://web:{SECRET}@h\n")
    try:
        server.write()
        conf = server.dir / "httpd.conf"
        conf.write_text("".join(line for line in conf.read_text().splitlines(keepends=True)
                                if not line.startswith(lines)))
        done = server.run("-t")
        assert done.returncode != 0 and SECRET not in done.stdout + done.stderr
        return done.stdout + done.stderr
    finally:
        server.remove()


def test_the_module_is_not_loaded(build):
    said = configtest_without(build, "LoadModule bsession_redis_module", "BSessionStore default")
    assert 'no module that is loaded serves "redis:": the stores to be had are' in said


def test_the_core_is_not_loaded(build):
    said = configtest_without(build, "LoadModule bsession_module", "LoadModule probe_", "LoadModule fault_",
                              "LogLevel", "BSessionStore")
    assert "mod_bsession_redis needs mod_bsession" in said
