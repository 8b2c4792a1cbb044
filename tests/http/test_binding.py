"""BSessionBind: a session is tied to what it was created from."""

import http.client
import re
import ssl
import subprocess

import pytest

from certificates import Authority
from client import Answer, Client
from httpd import on

# two visitors' browsers
FIREFOX, CURL = {"User-Agent": "Firefox"}, {"User-Agent": "curl"}
PROBE = """
<Location "%s">
    SetHandler bsession-probe
    %s
</Location>
"""
PLACES = [("/ua", "BSessionBind ua action=revoke"),
          ("/ua/log", "BSessionBind ua"),
          ("/ua/off", "BSessionBind Off"),
          ("/ua/readonly", "BSession ReadOnly"),
          ("/ip", "BSessionBind ip action=revoke"),
          ("/ip24", "BSessionBind ip/24/48 action=revoke"),
          ("/both", "BSessionBind IP UA action=LOG"),
          ("/tls", "BSessionBind tls action=revoke"),
          ("/auto", "BSessionCookie auto Secure=Auto"),
          # what the application is told is not what the visitor showed
          ("/hidden", "BSessionBind ua action=revoke\nRequestHeader unset User-Agent\nBSessionEnv All")]


def prepare(server):
    server.authority = Authority(server.dir)
    for name in "localhost", "ann", "bob":
        server.authority.issue(name, "DNS:localhost")


@pytest.fixture(scope="module")
def server(start):
    return start("""
Listen [::1]:{port}
RemoteIPHeader X-Forwarded-For
RemoteIPInternalProxy 127.0.0.1
<VirtualHost *:{port1}>
    Protocols h2 http/1.1
    SSLEngine On
    SSLCertificateFile {dir}/ca/localhost.pem
    SSLCertificateKeyFile {dir}/ca/localhost.key
    SSLCACertificateFile {dir}/ca/ca.pem
    SSLVerifyClient optional
</VirtualHost>
""" + on() + "".join(PROBE % place for place in PLACES) + """
RewriteEngine On
RewriteRule ^/inward$ /ua?get=a [PT]
""", mods=["remoteip", "ssl", "rewrite", "socache_shmcb", "http2"], ports=2, prepare=prepare)


class TlsClient(Client):
    """One with a certificate, or without."""

    def __init__(self, server, name=None):
        super().__init__(server, port=server.ports[1])
        self.context = ssl.create_default_context(cafile=server.authority.pem)
        self.name = name
        if name:
            self.context.load_cert_chain(server.authority.dir / f"{name}.pem",
                                         server.authority.dir / f"{name}.key")

    def _connect(self, timeout):
        return http.client.HTTPSConnection("localhost", self.port, timeout=timeout, context=self.context)


def begin(client, at, **headers):
    client.results("destroy", at="/ua/off")
    assert client.results("set=a:1", at=at, **headers) == ["ok"]


def ended(server, client, what, at, **more):
    """The session is gone, its cookie goes, and the log says why."""
    tag = client.results("tag", at="/ua/off")[0]
    server.expect(rf"bsession:warn\] .*session {tag} is used from another {what} than .* is ended")
    answer = client.twin().probe("get=a", "load", at=at, **more)
    assert answer.results == ["-", "NOTFOUND"]
    assert len(answer.cookies) == 1 and "Max-Age=0" in answer.cookies[0]
    assert client.results("load", at="/ua/off") == ["NOTFOUND"]
    assert re.search(f"session {tag} is used from another {what} than", server.log())


def test_another_user_agent(server, client):
    begin(client, "/ua", headers=FIREFOX)
    assert client.results("get=a", at="/ua", headers=FIREFOX) == ["=1"]
    ended(server, client, "User-Agent", "/ua", headers=CURL)


def test_none_is_another_one(server, client):
    begin(client, "/ua", headers=FIREFOX)
    ended(server, client, "User-Agent", "/ua")


def test_read_only_ends_it_too(server, client):
    """It is the server's doing, and no change of the application's."""
    begin(client, "/ua", headers=FIREFOX)
    ended(server, client, "User-Agent", "/ua/readonly", headers=CURL)


def test_after_that_a_new_one_begins(server, client):
    begin(client, "/ua", headers=FIREFOX)
    thief = client.twin()
    server.expect("is ended")
    assert thief.results("get=a", "set=b:2", "is_new", at="/ua", headers=CURL) == ["-", "ok", "yes"]
    assert thief.token != client.token
    assert thief.results("get=b", at="/ua", headers=CURL) == ["=2"]


def test_log_is_the_default(server, client):
    begin(client, "/ua/log", headers=FIREFOX)
    tag = client.results("tag", at="/ua/off")[0]
    server.expect(f"session {tag} is used from another User-Agent than .* goes on")
    assert client.results("get=a", at="/ua/log", headers=CURL) == ["=1"]
    assert server.log().count(f"session {tag} is used from another") == 1
    assert client.results("get=a", at="/ua/log", headers=FIREFOX) == ["=1"]
    assert client.results("get=a", at="/ua/off", headers=CURL) == ["=1"]
    assert server.log().count(f"session {tag} is used from another") == 1


def test_a_login_ties_it_anew(server, client):
    begin(client, "/ua/log", headers=FIREFOX)
    server.expect("another User-Agent .* goes on")
    assert client.results("rotate", "set=user:ann", at="/ua/log", headers=CURL) == ["ok", "ok"]
    assert client.results("get=user", at="/ua", headers=CURL) == ["=ann"]
    ended(server, client, "User-Agent", "/ua", headers=FIREFOX)


def test_what_was_there_before_is_tied_at_its_login(server, client):
    begin(client, "/ua/off", headers=FIREFOX)
    assert client.results("set=a:2", at="/ua", headers=FIREFOX) == ["ok"]
    assert client.results("get=a", at="/ua", headers=CURL) == ["=2"]
    assert client.results("rotate", at="/ua", headers=CURL) == ["ok"]
    ended(server, client, "User-Agent", "/ua", headers=FIREFOX)


def test_an_inner_place_asks_for_more(server, client):
    """Of the initial request, whose own place says nothing; what is looked at is what it showed."""
    begin(client, "/ua", headers=FIREFOX)
    assert client.get("/inward", headers=FIREFOX).results == ["=1"]
    server.expect("another User-Agent .* is ended")
    assert client.get("/inward", headers=CURL).results == ["-"]


def test_what_the_application_is_told_does_not_count(server, client):
    begin(client, "/hidden", headers=FIREFOX)
    assert client.results("get=a", at="/hidden", headers=FIREFOX) == ["=1"]
    assert client.results("get=a", at="/ua", headers=FIREFOX) == ["=1"]
    ended(server, client, "User-Agent", "/hidden", headers=CURL)


# ---- addresses

def behind(address, **more):
    return {"X-Forwarded-For": address, **more}


def test_another_address_behind_a_proxy(server, client):
    begin(client, "/ip", headers=behind("192.0.2.7"))
    assert client.results("get=a", at="/ip", headers=behind("192.0.2.7")) == ["=1"]
    ended(server, client, "address", "/ip", headers=behind("192.0.2.8"))


def test_a_forged_header_is_no_address(server):
    """From one who is no proxy of ours: it neither makes a match nor breaks one."""
    client = server.client(source="127.0.0.2")
    begin(client, "/ip", headers=behind("192.0.2.7"))
    assert client.results("get=a", at="/ip", headers=behind("192.0.2.8")) == ["=1"]
    assert client.results("get=a", at="/ip") == ["=1"]
    thief = server.client(source="127.0.0.3")
    thief.jar = dict(client.jar)
    server.expect("another address .* is ended")
    assert thief.results("get=a", at="/ip", headers=behind("127.0.0.2")) == ["-"]


def test_a_network(server, client):
    begin(client, "/ip24", headers=behind("192.0.2.7"))
    assert client.results("get=a", at="/ip24", headers=behind("192.0.2.250")) == ["=1"]
    assert client.results("get=a", at="/ip", headers=behind("192.0.2.250")) == ["=1"]    # as it was tied
    ended(server, client, "address", "/ip24", headers=behind("192.0.3.7"))


@pytest.mark.parametrize("at, same, other", [
    ("/ip", "2001:db8:1:2:3::4", "2001:db8:1:3::1"), ("/ip24", "2001:db8:1:3::1", "2001:db8:2::1"),
    ("/ip", "2001:db8:1:2::5", "192.0.2.7")])
def test_ipv6(server, client, at, same, other):
    begin(client, at, headers=behind("2001:db8:1:2::1"))
    assert client.results("get=a", at=at, headers=behind(same)) == ["=1"]
    ended(server, client, "address", at, headers=behind(other))


def test_over_ipv6(server):
    client = server.client(address="::1")
    begin(client, "/ip")
    assert client.results("get=a", at="/ip") == ["=1"]
    other = server.client()
    other.jar = dict(client.jar)
    ended(server, other, "address", "/ip")


def test_both(server, client):
    begin(client, "/both", headers=behind("192.0.2.7", **FIREFOX))
    server.expect("another User-Agent and another address than .* goes on")
    assert client.results("get=a", at="/both", headers=behind("192.0.2.8", **CURL)) == ["=1"]


# ---- certificates

def test_another_certificate(server):
    ann, bob, nobody = TlsClient(server, "ann"), TlsClient(server, "bob"), TlsClient(server)
    for other in bob, nobody:
        begin(ann, "/tls")
        assert ann.results("get=a", at="/tls") == ["=1"]
        other.jar = dict(ann.jar)
        server.expect("another client certificate .* is ended")
        assert other.results("get=a", at="/tls") == ["-"]
        assert ann.results("get=a", at="/tls") == ["-"]


def test_without_a_certificate_it_is_tied_to_none(server):
    nobody, ann = TlsClient(server), TlsClient(server, "ann")
    begin(nobody, "/tls")
    assert nobody.results("get=a", at="/tls") == ["=1"]
    ann.jar = dict(nobody.jar)
    server.expect("another client certificate .* is ended")
    assert ann.results("get=a", at="/tls") == ["-"]


def over_http2(server, path, cookies="", name=None):
    """By a client that has a certificate, or has none."""
    ca = server.authority
    command = ["curl", "-s", "-i", "--http2", "--max-time", "30", "--cacert", ca.pem,
               "-H", f"Cookie: {cookies}", f"https://localhost:{server.ports[1]}{path}"]
    if name:
        command += ["--cert", ca.dir / f"{name}.pem", "--key", ca.dir / f"{name}.key"]
    head, body = subprocess.run(command, check=True, capture_output=True).stdout.split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    assert first.startswith("HTTP/2 200")
    answer = Answer(200, [tuple(line.split(": ", 1)) for line in lines], body)
    for line in answer.cookies:
        server.confidential.token(line.split(";")[0].partition("=")[2])
    return answer


def test_over_http2(server, build):
    """There a request has a connection of its own, and the certificate is that of the one below it."""
    if build.mpm == "prefork":
        pytest.skip("mod_http2 does not serve under prefork")
    ann = TlsClient(server, "ann")
    begin(ann, "/tls")
    cookie = f"bsession={ann.token}"
    assert over_http2(server, "/tls?get=a", cookie, "ann").results == ["=1"]
    server.expect("another client certificate .* is ended")
    assert over_http2(server, "/tls?get=a", cookie, "bob").results == ["-"]
    assert ann.results("get=a", at="/tls") == ["-"]
    line, = over_http2(server, "/auto?set=a:1").cookies
    assert line.startswith("auto=") and "; Secure" in line
