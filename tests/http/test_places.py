"""Where the configuration of a request comes from: TLS, <If>, indexes, several stores and names."""

import http.client
import re
import ssl
import subprocess

import pytest

from client import Answer
from doubles import wait_until
from httpd import on

LISTED = 6                              # directories, each with a session of its own


def prepare(server):
    key, cert = server.dir / "key.pem", server.dir / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", cert], check=True,
                   capture_output=True)
    server.document("multi.html.en", "english\n")
    server.document("multi.html.fr", "francais\n")


@pytest.fixture(scope="module")
def server(start):
    return start("BSessionStore default memory: size=8M\nBSessionStore second memory: size=8M\n" + on() + """
Listen 127.0.0.1:{port1}
Options +MultiViews
AddLanguage en .en
AddLanguage fr .fr
<VirtualHost *:{port1}>
    SSLEngine On
    SSLCertificateFile "{dir}/cert.pem"
    SSLCertificateKeyFile "{dir}/key.pem"
    <Location "/auto">
        SetHandler bsession-probe
        BSession On
        BSessionCookie auto Secure=Auto
    </Location>
    <Location "/strict">
        SetHandler bsession-probe
        BSession On
        BSessionCookie __Host-s
    </Location>
</VirtualHost>
<Location "/if">
    BSession Off
    SetHandler bsession-probe
    <If "%{QUERY_STRING} =~ /please/">
        BSession On
    </If>
</Location>
<Location "/narrow">
    SetHandler bsession-probe
    BSessionLimit keys=1
</Location>
<Location "/second">
    SetHandler bsession-probe
    BSessionUse second
    BSessionCookie other Secure=Off
</Location>
""".replace("Listen 127.0.0.1:{port1}\n", ""), mods=["ssl", "negotiation"], ports=2, prepare=prepare)


def prepare_listing(server):
    for i in range(LISTED):
        server.document(f"list/sub{i}/page.html", "a page\n")
        server.document(f"list/sub{i}/.htaccess", "BSession On\nBSessionEnv All\nBSessionIdleTimeout 10s\n"
                        f"BSessionCookie named{i} Secure=Off Path=/list/sub{i} Lifetime=idle\n"
                        "<Files page.html>\nSetHandler bsession-probe\n</Files>\n")


@pytest.fixture(scope="module")
def listing(start):
    return start("""
BSessionStore default memory: size=8M
<Directory "{docs}/list">
    AllowOverride All
    Options +Indexes
    DirectoryIndex disabled
</Directory>
""", mods=["autoindex"], prepare=prepare_listing)


def https(server, path):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    c = http.client.HTTPSConnection("127.0.0.1", server.ports[1], timeout=30, context=context)
    c.request("GET", path)
    got = c.getresponse()
    answer = Answer(got.status, got.getheaders(), got.read())
    c.close()
    return answer


def test_over_tls(server):
    """P20: Secure=Auto follows this connection; a Secure cookie over TLS is worth no warning."""
    (line,) = https(server, "/auto?set=a:1").cookies
    assert re.search(r"; Secure\b", line)
    (line,) = https(server, "/strict?set=a:1").cookies
    assert line.startswith("__Host-s=") and "Secure" in line and "Path=/;" in line + ";"


def test_if(server, client):
    """An <If> is evaluated more than once: "Off" is not remembered (HTTPD.md)."""
    assert client.results("of", at="/if") == ["off"]
    assert client.results("please", "of", "set=a:1", at="/if") == ["unknown to the probe", "session", "ok"]
    assert client.results("please", "get=a", at="/if")[1] == "=1"
    assert client.results("get=a", at="/if") == ["off"]


def test_stores_of_their_own(server, client):
    """P10 P11 P25"""
    client.results("set=a:1")
    assert client.results("get=a", "set=a:2", at="/second") == ["-", "ok"]
    assert set(client.jar) == {"bsession", "other"}
    assert client.results("get=a") == ["=1"]
    swapped = client.twin()
    swapped.jar = {"bsession": client.jar["other"], "other": client.jar["bsession"]}
    assert swapped.results("get=a") == ["-"]
    assert swapped.results("get=a", at="/second") == ["-"]


def test_two_sessions_in_one_request(client):
    """One slot for each store and cookie; each gets its own cookie."""
    answer = client.probe("set=a:1", "internal=/second?set=b:2")
    assert answer.status == 200 and len(answer.all("Set-Cookie")) == 2
    assert client.results("get=a", "has=b") == ["=1", "no"]
    assert client.results("get=b", "has=a", at="/second") == ["=2", "no"]


def test_a_listing_of_places_that_only_htaccess_knows(listing):
    """What .htaccess said for a look-up is gone when the listing's cookies are renewed."""
    client = listing.client()
    for i in range(LISTED):
        client.results(f"set=user:u{i}", at=f"/list/sub{i}/page.html")
    names = {f"named{i}" for i in range(LISTED)}
    assert set(client.jar) == names
    renewed = set()

    def all_renewed():
        answer = client.get("/list/")
        assert answer.status == 200 and f"sub{LISTED - 1}/" in answer.text
        for line in answer.cookies:
            name, number = re.match(r"(named(\d))=[A-Za-z0-9_-]{43};", line).groups()
            assert f"; Path=/list/sub{number};" in line + ";"
            renewed.add(name)
        return renewed == names
    wait_until(all_renewed, "the renewal of each cookie")
    for i in range(LISTED):
        assert client.results("get=user", at=f"/list/sub{i}/page.html") == [f"=u{i}"]


def test_limits_are_those_of_the_place_that_asks(client):
    """After an internal redirect, too; what is over the limit already may stay."""
    answer = client.probe("get=a", "internal=/narrow?set=a:1%26set=b:2")
    assert answer.results == ["ok", "ENOSPC"]
    answer = client.probe("get=a", "internal=/probe?set=b:2%26set=c:3", at="/narrow")
    assert answer.results == ["ok", "ok"]
    assert client.results("set=d:4", "set=a:5", "count", at="/narrow") == ["ENOSPC", "ok", "3"]


def test_negotiated_documents(client):
    answer = client.get("/multi.html", headers={"Accept-Language": "fr"})
    assert answer.status == 200 and answer.text == "francais\n" and answer.cookies == []
