"""What a line of a Memcached store may say: each wrong one gets a sentence that says what was expected, and no
password."""

import pytest

from httpd import Httpd

SECRET = "s3cret-of-a-test"

# what follows `BSessionStore x` -> a part of what is said
WRONG = [
    ("memcached:", "expected memcached://host:port,host:port"),
    ("memcached:/h", "expected memcached://host:port,host:port"),
    ("memcached://", "the URL names no host"),
    ("memcached://,", "the URL names no host"),
    ("memcached://:11211", "a host is a name or address with a port or without"),
    ("memcached://h:", "a host is a name or address"),
    ("memcached://h:0", "a host is a name or address"),
    ("memcached://h:65536", "a host is a name or address"),
    ("memcached://h:11211x", "a host is a name or address"),
    ("memcached://h/0", "a host is a name or address"),
    ("memcached://::1", "[::1]:11211"),
    ("memcached://[::1", "[::1]:11211"),
    ("memcached://[::1]11211", "[::1]:11211"),
    ("memcached://[]", "[::1]:11211"),
    ("'memcached://a b'", "a host is a name or address"),
    ("memcached://h1,h2:x", "a host is a name or address"),
    ("memcached://h?", "its weight, from 1 to 1000"),
    ("memcached://h?0", "its weight, from 1 to 1000"),
    ("memcached://h?1001", "its weight, from 1 to 1000"),
    ("memcached://h?1:11211", "its weight, from 1 to 1000"),
    ("memcached://h1?1000,h2", "the weights are too far apart"),
    ("memcached://h,h:11211", "the same server stands twice"),
    ("memcached:///run/a,/run/a", "the same server stands twice"),
    ("memcached://" + ",".join(f"h{i}" for i in range(65)), "64 servers at most"),
    ("memcached:///" + "p" * 100, "of a socket has 100 bytes at most"),
    (f"memcached://web:{SECRET}@h", "a user goes into user= and password="),
    (f"memcached://{SECRET}@h", "a user goes into user= and password="),
    ("memcached://h user=web", "user= and password= go together"),
    (f"memcached://h password={SECRET}", "user= and password= go together"),
    (f"memcached://h,/run/a user=web password={SECRET}", "user= and a UNIX socket do not go together"),
    ("memcached://h pool=0", "pool=0: expected a number from 1 to 10000"),
    ("memcached://h pool=many", "expected a number from 1 to 10000"),
    ("memcached://h connect_timeout=0", "connect_timeout=0: expected at least 1ms"),
    ("memcached://h connect_timeout=soon", "connect_timeout=soon: expected"),
    ("memcached://h prefix=" + "p" * 201, "prefix= takes 200 bytes at most"),
    ("memcached://h 'prefix=a b'", "prefix= takes no blanks"),
    ("memcached://h prefix=a prefix=b", "twice"),
    ("memcached://h tls=on", "unknown option 'tls='"),
    ("memcached://h colour=red", "prefix="),
]

RIGHT = [
    "memcached://h", "memcached://h:11211", "MEMCACHED://127.0.0.1", "memcached://[::1]", "memcached://[::1]:11212?3",
    "memcached://h1,h2:1?2,[::1]:2,/run/memcached.sock?9", "memcached:///run/memcached.sock",
    "memcached://" + ",".join(f"h{i}" for i in range(64)), f"memcached://h user=web password={SECRET}",
    "memcached://h prefix= pool=1 connect_timeout=50ms timeout=1s breaker=off", "memcached://h prefix=" + "p" * 200,
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
    """P08: nothing is opened, and nothing is said."""
    status, output = configtest(f"BSessionStore x {line}")
    assert status == 0, output
    assert "bsession" not in output.lower().replace("bsession-http", ""), output


def test_the_core_is_not_loaded(build):
    server = Httpd(build, f"BSessionStore x memcached://h user=web password={SECRET}\n")
    try:
        server.write()
        conf = server.dir / "httpd.conf"
        unwanted = ("LoadModule bsession_module", "LoadModule probe_", "LoadModule fault_", "LogLevel", "BSessionStore")
        conf.write_text("".join(line for line in conf.read_text().splitlines(keepends=True)
                                if not line.startswith(unwanted)))
        done = server.run("-t")
        assert done.returncode != 0 and SECRET not in done.stdout + done.stderr
        assert "mod_bsession_memcached needs mod_bsession" in done.stdout + done.stderr
    finally:
        server.remove()
