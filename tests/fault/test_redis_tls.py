"""P05: Redis over TLS. Whom the certificate names, who signed it, who we are there."""

import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from certificates import Authority
from doubles import wait_until
from httpd import Httpd
from places import HASTY, ONE_CHILD, places, refused, start_places, works
from ports import free_port
from redis_lagging import Lagging
from redis_server import Redis
from tls_proxy import TLS1_1, TLS1_2, TLS1_3, TlsProxy


@pytest.fixture(scope="module")
def redis():
    one = Redis(tls=True)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def mutual():
    """Clients must show a certificate."""
    one = Redis(tls=True)
    one("CONFIG", "SET", "tls-auth-clients", "yes")
    yield one
    one.stop()


@pytest.fixture(scope="module")
def expired():
    one = Redis(tls=True)
    key, pem = one.authority.issue("expired", "DNS:localhost", expired=True)
    one("CONFIG", "SET", "tls-cert-file", pem, "tls-key-file", key)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def elsewhere():
    """It names another host than the one that is connected to."""
    one = Redis(tls=True)
    key, pem = one.authority.issue("elsewhere", "DNS:redis.example.com")
    one("CONFIG", "SET", "tls-cert-file", pem, "tls-key-file", key)
    one.shown = key, pem
    yield one
    one.stop()


@pytest.fixture(scope="module")
def server(start, redis, mutual, expired, elsewhere):
    stranger = Authority(redis.dir, "stranger")
    _, unknown = stranger.issue("unknown")
    key, pem = mutual.authority.issue("client")
    plain = f"rediss://127.0.0.1:{redis.ports[0]}"
    ca = redis.authority.pem
    running = start_places(start, {
        "good": redis.tls,
        "byaddress": f"rediss://127.0.0.1:{redis.ports[1]} ca={ca}",
        "bysocket": f"redis+unix:{redis.socket}",
        "option": f"redis://localhost:{redis.ports[1]}/1 tls=on ca={ca}",
        "system": f"rediss://localhost:{redis.ports[1]}",
        "stranger": f"rediss://localhost:{redis.ports[1]} ca={stranger.pem}",
        "off": f"rediss://localhost:{redis.ports[1]} verify=off",
        "clear": f"redis://localhost:{redis.ports[1]}",
        "notls": f"{plain} ca={ca} connect_timeout=1s",
        "expired": expired.tls,
        "expiredoff": f"{expired.tls} verify=off",
        "elsewhere": elsewhere.tls,
        "named": f"{elsewhere.tls} servername=redis.example.com",
        "othername": f"{elsewhere.tls} servername=other.example.com",
        "mutual": f"{mutual.tls} cert={pem} key={key}",
        "nobody": mutual.tls,
    })
    running.expect("BSessionStore (off|expiredoff): verify=off: whoever can stand between")
    return running


@pytest.mark.parametrize("name", ["good", "byaddress", "bysocket", "option", "off", "expiredoff", "named", "mutual"])
def test_it_works(server, name):
    works(server, name)


@pytest.mark.parametrize("name,said", [
    ("system", "its certificate is refused: "),
    ("stranger", "its certificate is refused: "),
    ("expired", "its certificate is refused: certificate has expired"),
    ("elsewhere", "its certificate is refused: hostname mismatch"),
    ("othername", "its certificate is refused: hostname mismatch"),
    ("notls", "the TLS handshake"),
    ("clear", "localhost:"),
    ("nobody", "localhost:"),
])
def test_it_does_not(server, name, said):
    refused(server, name, said)


@pytest.fixture(scope="module")
def layouts(start, elsewhere):
    """A Sentinel, and a Cluster of one, whose certificates name somebody else, too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key, pem = elsewhere.shown
    context.load_cert_chain(pem, key)
    sentinel = Lagging(context)
    sentinel.names = elsewhere.ports[1]
    node = Redis("cluster-enabled yes", "tls-cluster yes", "cluster-announce-ip 127.0.0.1",
                 f"cluster-port {free_port()}", tls=True)
    node("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    node("CONFIG", "SET", "tls-cert-file", pem, "tls-key-file", key)
    words = {"sentinel": f"rediss://127.0.0.1:{sentinel.port} sentinel=any ca={elsewhere.authority.pem}",
             "cluster": f"rediss://127.0.0.1:{node.ports[1]} cluster=on ca={elsewhere.authority.pem}"}
    off = {f"{name}off": f"{line} verify=off" for name, line in words.items()}
    running = start_places(start, {**words, **off})
    running.expect("BSessionStore (sentinel|cluster)off: verify=off: whoever can stand between")
    yield running
    sentinel.close()
    node.stop()


@pytest.mark.parametrize("name", ["sentinel", "cluster"])
def test_verify_is_for_all_of_a_layout(layouts, name):
    """P05: who it is is asked of Sentinels and nodes, too, and can be left."""
    refused(layouts, name, "its certificate is refused: IP address mismatch")
    works(layouts, f"{name}off")


def test_verify_off_is_warned_of(server):
    """At each start, once for each store."""
    said = [line for line in server.log().splitlines() if "verify=off" in line]
    assert len(said) == 2 and all("bsession:warn" in line for line in said)


def test_the_name_is_asked_for(start, redis):
    """SNI: what servername= says, or the host, but never an address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(redis.pem, redis.key)
    asked = []
    context.sni_callback = lambda _, name, __: asked.append(name)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]

    def serve():
        for _ in range(6):          # each at the start, and for a request
            connection, _ = listening.accept()
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                pass
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    more = f"ca={redis.authority.pem}"
    server = start_places(start, {"host": f"rediss://localhost:{port} {more}", "address": f"rediss://127.0.0.1:{port} {more}",
                           "named": f"rediss://127.0.0.1:{port} {more} servername=redis.example.com"})
    server.expect("store (host|address|named): ")
    for name in ("host", "address", "named"):
        assert server.client().probe("set=a:1", at=f"/{name}").status == 503
    thread.join(30)
    listening.close()
    assert asked == ["localhost", None, "redis.example.com"] * 2


def test_a_handshake_without_an_end(start, redis):
    """connect_timeout= is for all of connecting."""
    silent = socket.create_server(("127.0.0.1", 0))
    server = start_places(start, {"silent": f"rediss://localhost:{silent.getsockname()[1]} ca={redis.authority.pem} "
                                     "connect_timeout=200ms"})
    line = refused(server, "silent", "the TLS handshake took too long")
    assert "localhost" in line
    silent.close()


def test_a_connection_that_the_server_closed(start, redis):
    """It is seen before it is used, with TLS as without: what is not sent again passes, too."""
    server = start_places(start, {"good": redis.tls}, mpm_config=ONE_CHILD)
    for value in range(5):
        assert cached(server, f"cset=k:{value}", "cget=k") == ["ok", f"={value}"]
        redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        wait_until(lambda: len(redis("CLIENT", "LIST").splitlines()) == 1, "the connections to go")


def cached(server, *calls):
    """Of the general cache, which loads nothing before it stores."""
    return server.client().results("cache=good/things/60000", *calls)[1:]


@pytest.mark.parametrize("option,said", [
    ("ca=/nowhere/ca.pem", "ca=/nowhere/ca.pem cannot be used: No such file"),
    ("ca={redis.key}", "cannot be used"),
    ("cert=/nowhere/c.pem key={redis.key}", "cert=/nowhere/c.pem cannot be used"),
    ("cert={redis.pem} key=/nowhere/k.pem", "key=/nowhere/k.pem cannot be used"),
    ("cert={redis.pem} key={other}", "cannot be used: key values mismatch"),
    ("cert={redis.pem} key={locked}", "key={locked} cannot be used: it wants a pass phrase"),
])
def test_a_file_that_cannot_be_used(build, redis, option, said):
    """configtest says which: a graceful restart that meets it first is the end of httpd."""
    names = {"redis": redis, "other": redis.authority.dir / "ca.key", "locked": redis.dir / "locked.key"}
    subprocess.run(["openssl", "pkey", "-in", redis.key, "-aes128", "-passout", "pass:pass", "-out", names["locked"]],
                   check=True)
    server = Httpd(build, f"BSessionStore default rediss://h {option.format(**names)}\n")
    try:
        status, output = server.configtest()
        assert status != 0 and "BSessionStore default: " in output and said.format(**names) in output, output
    finally:
        server.remove()


# -- a server that speaks TLS as it may, and as it may not

@pytest.fixture(scope="module")
def plain():
    one = Redis()
    yield one
    one.stop()


@pytest.fixture
def proxied(plain, redis):
    """Makes proxies that show a certificate for localhost, or these names."""
    made = []

    def make(names=None, **more):
        key, pem = redis.authority.issue("proxied", names) if names else (redis.key, redis.pem)
        made.append(TlsProxy(plain.ports[0], key, pem, **more))
        return made[-1]
    yield make
    for one in made:
        one.close()


def at_proxy(start, redis, proxy, words="", host="localhost", **more):
    return start_places(start, {"good": f"rediss://{host}:{proxy.port} ca={redis.authority.pem} {words}"},
                        mpm_config=ONE_CHILD, **more)


@pytest.mark.parametrize("host,names,servername,works_there", [
    ("127.0.0.1", "IP:127.0.0.1", None, True),
    ("127.0.0.1", "DNS:127.0.0.1", None, False),        # a name that looks like an address is none
    ("127.0.0.1", "DNS:localhost,IP:127.0.0.2", None, False),
    ("localhost", "IP:127.0.0.1", None, False),
    ("127.0.0.1", "DNS:*.example.com", "redis.example.com", True),
    ("127.0.0.1", "DNS:re*.example.com", "redis.example.com", False),
    ("127.0.0.1", "DNS:*.example.com", "a.redis.example.com", False),
])
def test_whom_a_certificate_names(start, redis, proxied, host, names, servername, works_there):
    server = at_proxy(start, redis, proxied(names), f"servername={servername}" if servername else "", host)
    if works_there:
        works(server, "good")
    else:
        refused(server, "good", "its certificate is refused: ")


LAX = "MinProtocol = TLSv1\nCipherString = DEFAULT:@SECLEVEL=0\n"
STRICT = "MinProtocol = TLSv1.3\n"


@pytest.mark.parametrize("system,most,works_there", [
    (LAX, TLS1_1, False), (LAX, TLS1_2, True), (LAX, TLS1_3, True), (STRICT, TLS1_2, False), (STRICT, TLS1_3, True)])
def test_versions(start, redis, proxied, tmp_path, system, most, works_there):
    """TLS 1.2 is the least, whatever else the system would do; and what it refuses is refused here, too."""
    conf = tmp_path / "openssl.cnf"
    conf.write_text(f"openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = it\n[it]\n{system}")
    server = at_proxy(start, redis, proxied(most=most), env={"OPENSSL_CONF": str(conf)})
    if works_there:
        works(server, "good")
    else:
        refused(server, "good", "the TLS handshake: ", "protocol version")


@pytest.mark.parametrize("most,what", [
    (TLS1_3, ["new_keys"]), (TLS1_3, ["new_ticket"]), (TLS1_2, ["renegotiate"]),
    (TLS1_3, ["new_ticket", "new_keys", "new_ticket"])])
def test_what_tls_says_in_between(start, redis, proxied, most, what):
    """A connection that lies idle is not stale for that, and not lost."""
    proxy = proxied(most=most)
    visitor = works(at_proxy(start, redis, proxy), "good")
    [mine] = proxy.open()
    for _ in range(3):
        for name in what:
            getattr(mine, name)()
        assert visitor.results("incr=n:1", "get=n", at="/good")[0].startswith("=")
    assert visitor.results("get=n", at="/good") == ["=5"]
    assert proxy.open() == [mine]


@pytest.mark.parametrize("part", [1, 5, 12, None])
def test_what_nobody_asked_for(start, redis, proxied, part):
    """Whole, or begun: it is nobody's answer."""
    proxy = proxied()
    server = at_proxy(start, redis, proxy)
    visitor = works(server, "good")
    for n in range(3, 8):
        [mine] = proxy.open()
        mine.say(b"*0\r\n:-2\r\n", part)
        assert visitor.results("get=n", "incr=n:1", at="/good") == [f"={n - 1}", f"={n}"]
        assert mine.ended.wait(30)


def test_a_record_that_trickles(start, redis, proxied):
    """Each byte comes in time, and all of them do not."""
    proxy = proxied()
    server = at_proxy(start, redis, proxy, "connect_timeout=500ms", options=HASTY)
    visitor = works(server, "good")
    proxy.trickle = 0.05
    began = time.monotonic()
    assert visitor.probe("get=n", at="/good").status == 503
    assert 1.5 < time.monotonic() - began < 15      # timeout=2s, on a busy machine
    assert "took too long" in server.logged("store good: load failed")
    began = time.monotonic()
    assert visitor.probe("get=n", at="/good").status == 503
    assert time.monotonic() - began < 15
    server.expect("store good: ")
    proxy.trickle = 0
    wait_until(lambda: visitor.probe("get=n", at="/good").results == ["=2"], "the store to be had again")


@pytest.mark.parametrize("goodbye", [False, True])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_reply_that_is_cut_off(start, redis, proxied, count, goodbye):
    """By TLS's own word or without: what came is no answer. A load is asked again; an increment, of which nobody
    knows whether it was made, is not."""
    proxy = proxied()
    server = at_proxy(start, redis, proxy)
    visitor = works(server, "good")
    before = len(proxy.connections)
    proxy.cuts = [(count, goodbye)]
    assert visitor.results("get=n", at="/good") == ["=2"]
    assert proxy.cuts == [] and len(proxy.connections) == before + 1
    proxy.cuts = [None, (count, goodbye)]
    assert visitor.probe("get=n", "incr=n:1", at="/good").status == 503 and proxy.cuts == []
    assert "the server closed the connection" in server.logged("store good: save failed")
    assert visitor.results("get=n", at="/good") == ["=3"] and len(proxy.connections) == before + 2


def test_values_of_many_records(start, redis, proxied):
    """They are written in part, and read in part: what is larger than the buffers between us waits."""
    server = start("BSessionLimit size=64M\n" + places({"good": f"rediss://localhost:{proxied().port} "
                                                        f"ca={redis.authority.pem}"}, "timeout=20s"))
    visitor = server.client()
    for size in 100, 16384, 8_000_000:
        assert visitor.results(f"big=a:{size}", at="/good") == ["ok"]
        assert visitor.results("get=a", at="/good")[0] == "=" + "b" * size


def test_the_last_word(start, redis, proxied):
    """Whoever ends the TLS sees that we ended it, and that nobody cut it off."""
    proxy = proxied()
    server = at_proxy(start, redis, proxy)
    works(server, "good")
    before = list(proxy.connections)
    assert len(before) == 2 and before[0].ended.wait(30) and before[0].goodbye
    server.graceful()
    assert before[1].ended.wait(30) and before[1].goodbye


def test_errors_that_others_leave(start, redis, proxied):
    """OpenSSL keeps them for each thread, and whoever asks next would be told, and give up the connection."""
    proxy = proxied()
    server = at_proxy(start, redis, proxy)
    visitor = works(server, "good")
    before = proxy.open()
    assert len(before) == 1
    for n in range(3, 6):
        assert visitor.results("sslerror", "incr=n:1", at="/good") == ["left", f"={n}"]
        assert visitor.results("sslerror", "get=n", at="/good") == ["left", f"={n}"]
    assert proxy.open() == before


# -- what OpenSSL holds for us

@pytest.fixture(scope="module")
def counter(build, tmp_path_factory):
    """The environment of an httpd whose contexts and connections are counted, and what asks for the numbers."""
    where = tmp_path_factory.mktemp("counted")
    library, file = where / "tls_count.so", where / "counts"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, pathlib.Path(__file__).with_name("tls_count.c"),
                    "-lssl", "-lcrypto"], check=True)

    def counts():
        return struct.unpack("qq", file.read_bytes())
    file.write_bytes(bytes(16))
    before = build.environment(where).get("LD_PRELOAD", "")
    return {"LD_PRELOAD": f"{before} {library}".strip(), "TLS_COUNT": str(file)}, counts


def renew(redis, authority):
    """The server shows another certificate; who is connected stays."""
    key, pem = authority.issue("renewed", "DNS:localhost")
    redis("CONFIG", "SET", "tls-cert-file", pem, "tls-key-file", key)


def test_files_that_are_replaced(start, counter):
    """A graceful restart takes the new ones, for new connections; what was made of the old ones goes with the
    generation that had them."""
    redis = Redis(tls=True)
    redis("CONFIG", "SET", "tls-auth-clients", "yes")
    ca, mine, shown = (redis.dir / name for name in ("trusted.pem", "mine.key", "mine.pem"))
    key, pem = redis.authority.issue("client")
    for old, new in (redis.authority.pem, ca), (key, mine), (pem, shown):
        shutil.copy(old, new)
    env, counts = counter
    server = start_places(start, {"good": f"rediss://localhost:{redis.ports[1]}/0 ca={ca} cert={shown} key={mine}"},
                          mpm_config=ONE_CHILD, env=env)
    server.expect("store good: ")
    try:
        visitor = works(server, "good")
        assert counts()[0] == 1
        for round in range(4):
            other = Authority(redis.dir, f"ca{round}")
            renew(redis, other)
            redis("CONFIG", "SET", "tls-ca-cert-file", other.pem)
            redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert visitor.probe("incr=n:1", at="/good").status == 503
            key, pem = other.issue("client")
            for old, new in (other.pem, ca), (key, mine), (pem, shown):
                shutil.copy(old, new)
            assert visitor.probe("incr=n:1", at="/good").status == 503
            server.graceful()
            assert visitor.results("incr=n:1", at="/good") == [f"={3 + round}"]
            wait_until(lambda: counts() == (1, 1), "the old generation's contexts and connections to go")
        server.stop()
        assert counts() == (0, 0)
    finally:
        redis.stop()


def test_connections_that_fail_leave_nothing(start, redis, expired, proxied, counter):
    """Refused by us, by them, given up, cut off, or lost after a while."""
    env, counts = counter
    stranger = Authority(redis.dir, "nobody")
    trickling = proxied()
    trickling.trickle = 0.02
    ca = redis.authority.pem
    stores = {"expired": expired.tls, "stranger": f"rediss://localhost:{redis.ports[1]} ca={stranger.pem}",
              "old": f"rediss://localhost:{proxied(most=TLS1_1).port} ca={ca}",
              "slow": f"rediss://localhost:{trickling.port} ca={ca} connect_timeout=50ms",
              "notls": f"rediss://localhost:{redis.ports[0]} ca={ca} connect_timeout=50ms",
              "password": f"rediss://u:wrong@localhost:{redis.ports[1]} ca={ca}"}
    server = start_places(start, stores, mpm_config=ONE_CHILD, env=env)
    server.expect("store (" + "|".join(stores) + "): ")
    for _ in range(5):
        for name in stores:
            assert server.client().probe("set=a:1", at=f"/{name}").status == 503
    assert counts() == (len(stores), 0)
    server.stop()
    assert counts() == (0, 0)
