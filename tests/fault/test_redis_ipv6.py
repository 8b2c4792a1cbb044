"""P03 P05 P06: Redis at IPv6 addresses, which the URL, a Sentinel or a node of a Cluster names."""

import socket

import pytest

from places import ONE_CHILD, refused, start_places, works
from ports import free_port
from redis_lagging import Lagging
from redis_server import Redis


@pytest.fixture(scope="module", autouse=True)
def spoken():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")


@pytest.fixture(scope="module")
def redis():
    """Its certificate names the address."""
    one = Redis("bind 127.0.0.1 ::1", tls=True)
    key, pem = one.authority.issue("six", "IP:::1")
    one("CONFIG", "SET", "tls-cert-file", pem, "tls-key-file", key)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def node():
    """A Cluster of one, which says that it is at ::1."""
    one = Redis("bind 127.0.0.1 ::1", "cluster-enabled yes", "cluster-announce-ip ::1", f"cluster-port {free_port()}")
    one("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def server(start, redis, node):
    sentinel = Lagging()
    sentinel.host, sentinel.names = "::1", redis.ports[0]
    ca, port = f"ca={redis.authority.pem}", redis.ports[1]
    yield start_places(start, {
        "plain": f"redis://[::1]:{redis.ports[0]}/0",
        "tls": f"rediss://[::1]:{port} {ca}",
        "other": f"rediss://127.0.0.1:{port} {ca}",
        "sentinel": f"redis://127.0.0.1:{sentinel.port} sentinel=any",
        "cluster": f"redis://127.0.0.1:{node.ports[0]} cluster=on",
        "nobody": f"redis://[::1]:{free_port()}",
    }, mpm_config=ONE_CHILD)
    sentinel.close()


@pytest.mark.parametrize("name", ["plain", "tls", "sentinel", "cluster"])
def test_it_works(server, redis, node, name):
    asked = node if name == "cluster" else redis
    works(server, name)
    assert b" laddr=[::1]:" in asked("CLIENT", "LIST")


def test_whom_the_certificate_names(server):
    """This address, and no other."""
    refused(server, "other", "127.0.0.1:", "its certificate is refused: IP address mismatch")


def test_how_it_is_written(server):
    """With brackets, in the log too."""
    refused(server, "nobody", "[::1]:", "connecting: Connection refused")
