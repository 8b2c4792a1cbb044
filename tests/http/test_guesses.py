"""Tokens that open nothing are counted for each address, and once a minute the log says so."""

import base64
import os
import time

import pytest

from httpd import on

MANY = 100
SAID = "session tokens that open nothing came from"


@pytest.fixture(scope="module")
def server(start):
    return start("RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 127.0.0.1\nMaxKeepAliveRequests 0\n" + on()
                 + f"<VirtualHost *:{{port1}}>\nBSessionSecret {'x' * 32}\n</VirtualHost>\n",
                 mods=["remoteip"], ports=2)


def minute():
    """As the module counts them."""
    return int(time.monotonic() // 60)


def guess(server, client, address, times, tokens=None, size=32):
    for _ in range(times):
        token = tokens or base64.urlsafe_b64encode(os.urandom(size)).rstrip(b"=").decode()
        headers = {"Cookie": f"bsession={token}", **({"X-Forwarded-For": address} if address else {})}
        assert client.results("load", headers=headers) == ["NOTFOUND"]


def said(server, address):
    return server.log().count(f"{SAID} {address}:")


def until_said(server, client, address, named=None, **more):
    """The number of tokens that it took: more than MANY where a minute ended meanwhile."""
    for tokens in range(1, 4 * MANY):
        guess(server, client, address, 1, **more)
        if said(server, named or address):
            return tokens
    raise AssertionError(f"nothing was said of {named or address}")


@pytest.fixture
def many(server):
    client = server.client(keep=True)
    yield client
    client.close()


@pytest.mark.parametrize("address, named", [("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64")])
def test_a_flood_is_said_once_a_minute(server, many, client, address, named):
    client.results("set=a:1")
    begun = minute()
    server.expect(f"bsession:warn.*{SAID} {named}: ")
    needed = until_said(server, many, address, named)
    assert needed == MANY or (needed > MANY and minute() > begun)
    guess(server, many, address, MANY)
    assert said(server, named) <= 1 + minute() - begun
    # who has a good token is not refused
    assert client.results("get=a", headers={"X-Forwarded-For": address, "Cookie": f"bsession={client.token}"}) == ["=1"]


def test_each_address_for_itself(server, many):
    for last in range(11, 14):
        guess(server, many, f"192.0.2.{last}", MANY - 1)
    assert not any(said(server, f"192.0.2.{last}") for last in range(11, 14))


def test_a_forged_header_hides_nobody(server):
    client = server.client(keep=True, source="127.0.0.9")
    server.expect(f"{SAID} 127.0.0.9: ")
    for i in range(4 * MANY):
        guess(server, client, f"198.51.100.{i % 256}", 1)
        if said(server, "127.0.0.9"):
            break
    client.close()
    assert said(server, "127.0.0.9") and "198.51.100." not in server.log()


def test_a_good_token_beside_hides_nobody(server, many, client):
    """Anybody can have a session of his own, and send its token with each guess."""
    client.results("set=a:1")
    server.expect(f"{SAID} 192.0.2.50: ")
    for _ in range(4 * MANY):
        guessed = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
        cookies = {"Cookie": f"bsession={guessed}; bsession={client.token}", "X-Forwarded-For": "192.0.2.50"}
        assert many.results("get=a", headers=cookies) == ["=1"]
        if said(server, "192.0.2.50"):
            break
    assert said(server, "192.0.2.50")


def test_an_expired_cookie_sent_again_and_again_is_no_guess(server, many, client):
    """As a page with many pictures has a browser do."""
    client.results("set=a:1")
    token = client.token
    client.results("destroy")
    guess(server, many, "192.0.2.20", 2 * MANY, token)
    assert not said(server, "192.0.2.20")


def test_forged_ones_count_too(server):
    """With a secret: none of them was asked for at the store."""
    client = server.client(port=server.ports[1], keep=True)
    server.expect(f"{SAID} 192.0.2.40: ")
    assert until_said(server, client, "192.0.2.40", size=48) >= MANY
    client.close()


def test_the_count_outlives_a_graceful_restart(server, many):
    begun = minute()
    guess(server, many, "192.0.2.30", MANY - 10)
    many.close()
    server.graceful()
    server.expect(f"{SAID} 192.0.2.30: ")
    needed = until_said(server, many, "192.0.2.30")
    assert needed == 10 or minute() > begun
