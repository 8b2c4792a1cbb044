"""P05: Redis over TLS. Whom the certificate names, who signed it, who we are there."""

import socket
import ssl
import threading

import pytest

from certificates import Authority
from doubles import wait_until
from httpd import Httpd
from places import ONE_CHILD, refused, start_places, works
from redis_server import Redis


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
        "notls": f"{plain} ca={ca}",
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
    thread.join(10)
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
    ("ca=/nowhere/ca.pem", "ca=/nowhere/ca.pem cannot be used"),
    ("ca={redis.key}", "cannot be used"),
    ("cert=/nowhere/c.pem key={redis.key}", "cert=/nowhere/c.pem cannot be used"),
    ("cert={redis.pem} key=/nowhere/k.pem", "key=/nowhere/k.pem cannot be used"),
    ("cert={redis.pem} key={other}", "cannot be used: key values mismatch"),
])
def test_a_file_that_cannot_be_used(build, redis, option, said):
    """httpd does not start, and says which."""
    other = redis.authority.dir / "ca.key"
    server = Httpd(build, f"BSessionStore default rediss://h {option.format(redis=redis, other=other)}\n")
    try:
        with pytest.raises(AssertionError):
            server.start()
        assert "BSessionStore default cannot be opened" in server.log() and said in server.log()
    finally:
        server.remove()
