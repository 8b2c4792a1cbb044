"""P12, P13: httpd's own caches in our stores, with the modules that use them: mod_authn_socache,
mod_ssl, mod_cache_socache; and each call of the provider, by a module of the test's."""

import base64
import hashlib
import re
import socket
import ssl
import subprocess

import pytest

from doubles import Fault, wait_until
from httpd import Httpd, on
from test_general_cache import CHILDREN

PASSWORD = "correct horse"
MODULES = ["auth_basic", "authn_core", "authn_file", "authn_socache", "authz_user", "cache", "cache_socache",
           "ssl", "status"]


def user(name, password):
    digest = base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()
    return f"{name}:{{SHA}}{digest}\n"


def prepare(server):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-keyout", server.dir / "key.pem",
                    "-out", server.dir / "cert.pem"], check=True, capture_output=True)
    server.document("kept.html", "the first\n")
    server.users = server.document("users", user("ann", PASSWORD))


@pytest.fixture(scope="module")
def server(start, build):
    """No line of ours asks for the store but theirs; sessions are nowhere on."""
    return start("""
AuthnCacheSOCache bsession
SSLSessionCache bsession:default
SSLSessionTickets Off
CacheSocache bsession
CacheEnable socache /kept.html
CacheHeader On
CacheMinExpire 3600
ProbeSOCache one bsession:default
ProbeSOCache other bsession
<Location "/private">
    SetHandler bsession-probe
    AuthType Basic
    AuthName private
    AuthBasicProvider socache file
    AuthUserFile "{docs}/users"
    AuthnCacheProvideFor file
    AuthnCacheContext here
    Require valid-user
</Location>
<Location "/private/brief">
    AuthnCacheTimeout 1
    AuthnCacheContext brief
</Location>
<Location "/status">
    SetHandler server-status
</Location>
<VirtualHost *:{port1}>
    SSLEngine On
    SSLCertificateFile "{dir}/cert.pem"
    SSLCertificateKeyFile "{dir}/key.pem"
</VirtualHost>
""", mods=MODULES, ports=2, mpm_config=CHILDREN[build.mpm], prepare=prepare)


# ---- logins

def login(server, name="ann", password=PASSWORD, at="/private"):
    credentials = base64.b64encode(f"{name}:{password}".encode()).decode()
    return server.client().probe("pid", at=at, headers={"Authorization": f"Basic {credentials}"})


def test_a_login_is_answered_from_the_cache(server):
    """P12 P13: by any child, when the file that knew the password does so no more; and after a graceful
    restart."""
    server.expect(r"auth_basic:error")
    server.users.write_text(user("ann", PASSWORD))
    assert login(server).status == 200
    server.users.write_text(user("bob", PASSWORD))
    pids = set()

    def several():
        answer = login(server)
        assert answer.status == 200
        pids.add(answer.text)
        return len(pids) > 2
    wait_until(several, "three children to answer")
    assert login(server, password="wrong").status == 401
    assert login(server, name="eve").status == 401
    server.graceful()
    assert login(server).status == 200
    assert PASSWORD not in server.log()


def test_a_login_is_remembered_for_its_time(server):
    """P13: what is over is a miss."""
    server.expect(r"auth_basic:error")
    server.users.write_text(user("cat", PASSWORD))
    assert login(server, "cat", at="/private/brief").status == 200
    server.users.write_text(user("bob", PASSWORD))
    assert wait_until(lambda: login(server, "cat", at="/private/brief").status == 401, "the login to end")


# ---- TLS

def tls(server, context, session=None):
    """Of one connection: whether it was resumed, its session, and the child that had it."""
    with socket.create_connection(("127.0.0.1", server.ports[1]), 30) as plain, \
            context.wrap_socket(plain, server_hostname="localhost", session=session) as secure:
        secure.sendall(b"GET /probe?pid HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := secure.recv(65536):
            answer += part
        return secure.session_reused, secure.session, answer.split(b"pid ")[1].strip()


def context_of(version):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_tls_session_is_resumed(server, version):
    """P12 P13: in other children, and after a graceful restart."""
    context = context_of(version)
    resumed, session, first = tls(server, context)
    assert not resumed
    pids = {first}

    def resumed_by():
        again, _, pid = tls(server, context, session)
        assert again
        return pid

    def elsewhere():
        pids.add(resumed_by())
        return len(pids) > 2
    wait_until(elsewhere, "two other children to resume it")
    server.graceful()
    wait_until(lambda: resumed_by() not in pids, "a child of the next generation to resume it")


def test_the_status_page_tells_of_it(server, client):
    """P12."""
    said = client.get("/status?auto").text
    assert "TLSSessionCacheStatus" in said
    assert re.search(r"^CacheType: bsession\nCacheStore: default$", said, re.M)
    assert "<b>bsession</b>, store: <b>default</b>" in client.get("/status").text


# ---- pages

def test_a_page_is_kept(server, client):
    """P12 P13: mod_cache answers with what it stored, from any child. (CacheMinExpire: when it asks anew,
    mod_cache_socache loses bodies, in shmcb too.)"""
    assert client.get("/kept.html").text == "the first\n"
    server.document("kept.html", "the second\n")
    answers = [client.get("/kept.html") for _ in range(20)]
    assert {answer.text for answer in answers} == {"the first\n"}
    assert all(answer.header("X-Cache").startswith("HIT") for answer in answers)


# ---- the provider, call by call

def on_socache(server, name):
    def run(*calls):
        first, *results = server.client().results(f"socache={name}", "life=3600000", *calls)
        assert first == "socache"
        return results[1:]
    return run


def test_store_retrieve_remove(server):
    """P13."""
    one = on_socache(server, "one")
    assert one("sretrieve=a:100", "sremove=a") == ["-", "NOTFOUND"]
    assert one("sstore=a:12345", "sretrieve=a:100") == ["ok", "=12345"]
    assert one("sretrieve=a:5", "sretrieve=a:4") == ["=12345", "ENOSPC"]
    assert one("sstore=a:6", "sretrieve=a:100", "sremove=a", "sretrieve=a:9") == ["ok", "=6", "ok", "-"]
    assert one("sstore=e:", "sretrieve=e:0", "sremove=e") == ["ok", "=", "ok"]
    assert one("life=-1", "sstore=a:1", "sretrieve=a:9") == ["done", "ok", "-"]
    assert one("life=200", "sstore=a:1", "sretrieve=a:9") == ["done", "ok", "=1"]
    wait_until(lambda: one("sretrieve=a:9") == ["-"], "the entry to end")


def test_users_of_one_store_never_meet(build, server, client):
    """P12 P13: nor do they meet a module's cache of the same name."""
    one, other = on_socache(server, "one"), on_socache(server, "other")
    assert one("sstore=k:1") == other("sstore=k:2") == ["ok"]
    assert client.results("cache=default/one/0", "cget=k", "cset=k:3", "cclear") == ["cache", "-", "ok", "ok"]
    assert one("sretrieve=k:9", "sremove=k") == ["=1", "ok"]
    assert other("sretrieve=k:9", "siterate", "sremove=k") == ["=2", "ok:k=2" if build.scans else "ENOTIMPL:", "ok"]


def test_iterate(build, server):
    """P13: all that live, of this cache; the caller may stop. Where the store does not scan, it says so."""
    one = on_socache(server, "one")
    if not build.scans:
        assert one("sstore=a:1", "siterate") == ["ok", "ENOTIMPL:"]
        return
    assert one("siterate") == ["ok:"]
    assert one("sstore=a:1", "sstore=b:2", "life=1", "sstore=c:3")[:2] == ["ok", "ok"]
    wait_until(lambda: one("sretrieve=c:9") == ["-"], "one of them to end")
    (said,) = one("siterate")
    assert said.startswith("ok:") and sorted(set(said[3:].split("&"))) == ["a=1", "b=2"]
    assert one("sremove=a", "sremove=b", "sstore=stop:1", "siterate", "sremove=stop")[3] == "stopped:stop=1"


def test_an_outage_is_not_a_miss(start):
    """P13: and no line of the log holds what was to be kept."""
    server = start("BSessionStore default fault:memory: control={w}/fault size=8M timeout=400ms breaker=off\n"
                   "ProbeSOCache one bsession\n", prepare=lambda s: setattr(s, "fault", Fault(s.writable / "fault")))
    server.expect(r"bsession:(warn|error)")
    one = on_socache(server, "one")
    assert one("sstore=theid:s3cr3t") == ["ok"]
    server.fault.set("fail")
    assert all(said.startswith("outage") for said in one("sretrieve=theid:9", "sstore=theid:s3cr3t", "sremove=theid",
                                                         "siterate"))
    server.fault.clear()
    server.fault.set("garble", "load", times=1)
    assert one("sretrieve=theid:9", "sretrieve=theid:9") == ["-", "=s3cr3t"]
    server.fault.set("unable", "scan")
    assert one("siterate") == ["ENOTIMPL:"]
    assert "theid" not in server.log() and "s3cr3t" not in server.log()


# ---- the configuration

@pytest.fixture
def configtest(build):
    tried = []

    def run(config):
        server = Httpd(build, config, mods=MODULES)
        tried.append(server)
        return server.configtest()
    yield run
    for server in tried:
        server.remove()


@pytest.mark.parametrize("line", ["AuthnCacheSOCache bsession:late", "SSLSessionCache bsession:late",
                                  "ProbeSOCache one bsession:late"])
def test_a_store_may_be_defined_later(configtest, line):
    """P12."""
    status, said = configtest(f"{line}\nBSessionStore late memory:")
    assert status == 0, said
    status, said = configtest(f"{line}\nBSessionStore other memory:")
    assert status != 0 and 'the socache bsession:late: no BSessionStore defines "late"' in said


def test_of_several_stores_one_must_be_named(configtest):
    """P12."""
    status, said = configtest("AuthnCacheSOCache bsession\nBSessionStore a memory:\nBSessionStore b memory:")
    assert status != 0 and "say which, as in bsession:name" in said


def test_a_wrong_name_stops_the_start(build):
    """P12: where configtest cannot see it, as of mod_cache_socache, which names it late."""
    server = Httpd(build, "CacheSocache bsession:nowhere\nCacheEnable socache /\n", mods=MODULES)
    with pytest.raises(AssertionError, match="the socache bsession:nowhere: no BSessionStore defines"):
        server.start()
    server.remove()
