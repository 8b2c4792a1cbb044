"""Answers of proxied applications that do not go the ordinary way."""

import subprocess

import pytest

from client import h2, raw
from doubles import Fault
from httpd import on


def prepare(server):
    server.fault = Fault(server.writable / "fault")


@pytest.fixture(scope="module")
def server(start, backend):
    return start("Protocols h2c http/1.1\n"
                 "BSessionStore default fault:memory: control={w}/fault size=8M breaker=off\n" + on("BSessionWriteBack On") + f"""
ProxyPass /app http://127.0.0.1:{backend.port}/app
ProxyPass /ws http://127.0.0.1:{backend.port}/ws upgrade=foo
ProxyPass /gone http://127.0.0.1:1/
SetEnv proxy-interim-response Suppress
""", mods=["proxy", "proxy_http", "http2"], prepare=prepare)


@pytest.fixture
def answer_with(backend):
    def set_raw(data):
        backend.raw = data
    yield set_raw
    backend.raw = None


def test_interim_answers(server, client, answer_with):
    """With `proxy-interim-response Suppress` a 103 takes no write-back header to the client."""
    answer_with(b"HTTP/1.1 103 Early Hints\r\nBSession-Set: early=1\r\n\r\n"
                b"HTTP/1.1 200 OK\r\nBSession-Set: a=1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nyes")
    said = raw(server, b"GET /app HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"bsession-set" not in said.lower() and b" 103 " not in said and said.endswith(b"yes")
    assert said.count(b"Set-Cookie: bsession=") == 1


TRAILERS = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: BSession-Set\r\nConnection: close\r\n\r\n"
            b"3\r\nyes\r\n0\r\nBSession-Set: late=1\r\nX-Other: 1\r\n\r\n")


def test_trailers(server, answer_with):
    answer_with(TRAILERS)
    said = raw(server, b"GET /app HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n")
    assert b"bsession-set" not in said.lower().replace(b"trailer: bsession-set", b"") and b"yes" in said


def test_trailers_over_http2(server, answer_with, build):
    """They leaked there (HTTPD.md)."""
    if build.mpm == "prefork":
        pytest.skip("mod_http2 does not serve under prefork")
    answer_with(TRAILERS)
    said = subprocess.run(["curl", "-s", "-v", "-H", "TE: trailers", "--http2-prior-knowledge", "--max-time", "30",
                           f"http://127.0.0.1:{server.port}/app"], check=True, capture_output=True)
    assert said.stdout == b"yes"
    assert b"bsession-set: late" not in said.stderr.lower()
    assert h2(server, "/app").status == 200


def test_a_backend_that_breaks_off(server, client, answer_with):
    """The answer is broken, the session is not."""
    server.expect(r"proxy", r"AH01110", r"AH00898", r"AH01102")
    client.results("set=a:1")
    for data in (b"HTTP/1.1 200 OK\r\nBSession-Set: a=2\r\nContent-Length: 100\r\n\r\nhalf", b"HTTP/1.1 200", b""):
        answer_with(data)
        try:
            client.get("/app")
        except Exception:
            pass                        # broken off for the client too
        server.expect(r"proxy")
    assert client.results("get=a")[0] in ("=1", "=2")


def test_a_gateway_error_keeps_the_session(server, client):
    """P36: the 503 of mod_proxy itself is none of ours."""
    server.expect(r"proxy")
    client.results("set=a:1")
    answer = client.get("/gone")
    assert answer.status == 503 and answer.cookies == [] and answer.header("Retry-After") is None
    assert client.results("get=a") == ["=1"]


def test_post_bodies_pass(server, client, backend):
    backend.headers = ["BSession-Set: a=1"]
    answer = client.request("POST", "/app", body=b"x" * 100000)
    assert answer.status == 200 and len(answer.cookies) == 1
    backend.headers = []
    assert client.results("get=a") == ["=1"]


@pytest.fixture
def upgrading(server, backend):
    backend.upgrades = True
    yield
    backend.upgrades = False
    server.fault.clear()


def switch(server, client):
    return raw(server, "GET /probe?set=a:2&internal=/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                       f"Upgrade: foo\r\nCookie: bsession={client.token}\r\n\r\n".encode())


def test_a_101_goes_around_the_filters(server, client, upgrading):
    """What was changed before it is saved all the same."""
    client.results("set=a:1")
    assert switch(server, client).startswith(b"HTTP/1.1 101 ")
    assert client.results("get=a") == ["=2"]


def test_what_cannot_be_saved_is_not_upgraded(server, client, upgrading):
    client.results("set=a:1")
    server.expect("bsession:(error|warn)")
    server.fault.set("fail", "merge")
    said = switch(server, client)
    assert said.startswith(b"HTTP/1.1 503 ") and b" 101 " not in said and b"Set-Cookie" not in said, said
    server.fault.clear()
    assert client.results("get=a") == ["=1"]
