"""BSessionLock, lock and unlock: one request at a time (P39, P40)."""

import concurrent.futures
import contextlib
import re
import socket

import pytest

from client import h2, h2_upgraded, quote, raw
from doubles import Backend, Gate, wait_until
from httpd import on

# all who wait occupy workers, and so does the one that they wait for
ROOM = {"event": "ThreadsPerChild 16\nStartServers 2\nMaxRequestWorkers 64\n",
        "worker": "ThreadsPerChild 16\nStartServers 2\nMaxRequestWorkers 64\n",
        "prefork": "StartServers 8\nMaxSpareServers 16\nMaxRequestWorkers 32\n"}
IN_VAIN = r"bsession:(warn|info).* session [0-9a-f]{12}: another request has its lock.* \d+ ms in vain: raise wait="
LOST = r"bsession:warn.* session [0-9a-f]{12}: its lock ended before this request did.*Raise lease="


@pytest.fixture(scope="module")
def application():
    b = Backend()
    yield b
    b.close()


@pytest.fixture(scope="module")
def server(start, build, application):
    def prepare(server):
        server.document("sorry.html", "come back later\n")
        server.document("members.html", "members\n")
        server.script("crash", "printf 'Content-Type: text/plain\\n'\nkill -9 $$\n")
        server.script("set", "printf 'Content-Type: text/plain\\nBSession-Set: app=1\\n\\n'\n")

    return start("Protocols h2c http/1.1\n" + on("BSessionLock On wait=120s lease=600s") + f"""
<Location /vain>
    SetHandler bsession-probe
    BSessionLock On wait=0 lease=600s
</Location>
<Location /anonymous>
    SetHandler bsession-probe
    BSessionLock On wait=0 lease=600s
    BSessionOnOutage anonymous
</Location>
<Location /sorry>
    SetHandler bsession-probe
    BSessionLock On wait=0 lease=600s
    ErrorDocument 503 /sorry.html
</Location>
<Location /env>
    SetHandler bsession-probe
    BSessionLock On wait=0 lease=600s
    BSessionEnv All
</Location>
<Location /open>
    SetHandler bsession-probe
    BSessionLock Off
</Location>
<Location /hand>
    SetHandler bsession-probe
    BSessionLock Off wait=0 lease=600s
</Location>
<Location /short>
    SetHandler bsession-probe
    BSessionLock On wait=120s lease=1s
</Location>
<Location /read>
    SetHandler bsession-probe
    BSession ReadOnly
</Location>
<Location /two>
    SetHandler bsession-probe
    BSessionCookie second Secure=Off
    BSessionLock On wait=0 lease=600s
</Location>
<Location /members.html>
    BSessionLock On wait=0 lease=600s
    Require bsession user
</Location>
<Location /cgi>
    BSessionEnv All
    BSessionWriteBack On
</Location>
ProxyPass /app http://127.0.0.1:{application.port}/ upgrade=ANY
<Location /app>
    BSessionEnv All
</Location>
""", mods=["proxy", "proxy_http", "http2"], prepare=prepare, mpm_config=ROOM[build.mpm])


@pytest.fixture
def visitor(client):
    client.results("set=n:5", "set=user:ann")
    return client


@contextlib.contextmanager
def held(client, *calls, **more):
    """While a request of this visitor has the session."""
    gate = Gate(client.server)
    with gate.passing(client.twin(), *(calls or ["get=n"]), gate.call, **more):
        yield gate


def is_free(client):
    """Nobody has the session: whoever wants it now need not wait."""
    answer = client.probe("get=user", at="/vain")
    return answer.status == 200 and answer.results == ["=ann"]


def becomes_free(client):
    """What is given back when the request is over, and its client has all of its answer already."""
    client.server.expect(IN_VAIN)
    return wait_until(lambda: is_free(client), "the lock to be given back")


def refused(answer):
    assert answer.status == 503, answer
    assert int(answer.header("Retry-After")) >= 1
    assert answer.all("Set-Cookie") == []
    return True


# -- one at a time

def test_five_clients_and_thirty_increments_each(server, visitor):
    """P40: read, add, write, without `incr`: exactly 150 more, on every store."""
    def climb():
        c = visitor.twin()
        c.keep = True
        for _ in range(30):
            c.results("climb=n", timeout=150)
        c.close()
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        for done in [pool.submit(climb) for _ in range(5)]:
            done.result()
    assert visitor.results("get=n") == ["=155"]


def test_the_second_reads_what_the_first_left(server, visitor):
    gate = Gate(server)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with gate.passing(visitor.twin(), "get=n", gate.call, "set=n:6"):
            waiting = pool.submit(lambda: visitor.twin().results("get=n", "set=n:7", timeout=150))
        assert waiting.result(150) == ["=6", "ok"]
    assert visitor.results("get=n") == ["=7"]


def test_who_waits_in_vain_gets_a_503(server, visitor):
    """And the log says so once, by the tag."""
    tag = visitor.results("tag")[0]
    with held(visitor):
        before = len(server.log())
        jar = dict(visitor.jar)
        assert refused(visitor.probe("get=n", "set=n:9", "load", at="/vain"))
        assert tag in server.logged(IN_VAIN)
        assert len(re.findall(IN_VAIN, server.log()[before:])) == 1
        # that the lock is another one's is no outage of the store
        assert refused(visitor.probe("get=n", at="/anonymous"))
        assert visitor.jar == jar
    assert is_free(visitor) and visitor.results("get=n") == ["=5"]


def test_wherever_it_is_asked_for(server, visitor):
    server.expect(IN_VAIN, r"authz_core:error", r"AH01630", r"AH00027")
    with held(visitor):
        assert refused(visitor.probe("of", at="/env"))                  # the environment
        assert refused(visitor.get("/members.html"))                    # Require
        answer = visitor.probe("get=n", at="/sorry")                    # with an error document
        assert refused(answer) and answer.text == "come back later\n"
    assert visitor.get("/members.html").status == 200
    assert is_free(visitor)


def test_who_does_not_use_the_session_does_not_wait(server, visitor):
    with held(visitor):
        assert visitor.get("/index.html").status == 200
        assert visitor.probe("of", at="/vain").status == 200
        assert server.client().results("get=n", "set=n:1", at="/vain") == ["-", "ok"]


def test_readers_and_places_without_it_do_not_wait(server, visitor):
    with held(visitor, "get=n", "set=n:6"):
        assert visitor.results("get=n", at="/read") == ["=5"]
        assert visitor.results("get=n", "set=free:1", at="/open") == ["=5", "ok"]
    assert visitor.results("get=n", "get=free") == ["=6", "=1"]         # and both are stored


def test_nobody_without_a_good_token_blocks_anybody(server, visitor):
    """Not even with one that was good before a login: T0 is planted, and its maker keeps it."""
    planted = visitor.twin()
    visitor.results("rotate")
    gate = Gate(server)
    with gate.passing(planted, "get=n", gate.call):
        assert visitor.results("get=n", at="/vain") == ["=5"]
    forged = visitor.twin()
    forged.jar["bsession"] = visitor.token[:22] + ("A" if visitor.token[22] != "A" else "B") + visitor.token[23:]
    with gate.passing(forged, "get=n", gate.call):
        assert visitor.results("get=n", at="/vain") == ["=5"]


def test_two_first_requests_are_as_without_lock(server):
    """There is no record that could be locked, and each makes its own."""
    gate = Gate(server)
    first = server.client()
    with gate.passing(first, "set=a:1", gate.call):
        assert server.client().results("set=a:2", at="/vain") == ["ok"]
    assert gate.answer.status == 200


def test_a_visit_does_not_wait_for_itself(server, visitor):
    """Subrequests, internal redirects and error documents, at places that lock too."""
    assert visitor.results("get=n", f"sub={quote('/vain?set=n:6')}", "get=n", at="/vain")[-1] == "=6"
    assert visitor.results("get=n", f"internal={quote('/vain?get=n')}", at="/vain") == ["=6"]
    assert is_free(visitor)


def test_a_redirect_from_a_place_that_does_not_lock(server, visitor):
    """What was read is read again under the lock, and what was changed already stays."""
    inner = quote("/vain?get=n&get=m&set=l:1")
    assert visitor.results("get=n", "set=m:1", f"internal={inner}", at="/open") == ["=5", "=1", "ok"]
    assert visitor.results("get=m", "get=l") == ["=1", "=1"] and is_free(visitor)


def test_two_sessions_of_one_request(server, visitor):
    """Of two cookies, in opposite orders: bounded by wait=."""
    server.expect(IN_VAIN)
    visitor.results("set=x:1", at="/two")
    gate = Gate(server)
    with gate.passing(visitor.twin(), "get=x", gate.call, f"sub={quote('/vain?get=n')}", at="/two"):
        with held(visitor, "get=n", at="/vain") as second:
            gate.path.touch()
            wait_until(lambda: re.search(IN_VAIN, server.log()[server.seen:]), "the wait to be in vain")
    assert refused(gate.answer) and second.answer.status == 200
    assert is_free(visitor) and visitor.results("get=x", at="/two") == ["=1"]


# -- every way out gives it back

def test_after_a_change_and_without(server, visitor):
    for calls in (["get=n"], ["set=n:6"], ["get=n", "set=n:7", "save", "set=n:8"], ["clear", "set=user:ann"],
                  ["rotate"], ["touch"], ["get=n", "status=404"], ["get=n", "return=500"], ["get=n", "return=304"],
                  ["get=n", "return=204"], ["get=n", "redirect=/"], ["get=n", "empty"], ["get=n", "bucket=502"],
                  ["get=n", "body=100000"], ["get=n", "flushonly"], [f"big=b:{10 ** 6}"]):
        server.expect(r"bsession:warn.*over BSessionLimit")
        visitor.probe(*calls)
        assert is_free(visitor), calls


def test_before_the_body(server, visitor):
    """Who waits does not wait for a download."""
    gate = Gate(server)
    with gate.passing(visitor.twin(), "set=n:6", "flush", gate.call):
        assert is_free(visitor) and visitor.results("get=n") == ["=6"]


def test_a_late_change_takes_it_again(server, visitor):
    gate = Gate(server)
    with gate.passing(visitor.twin(), "get=n", "flush", gate.call, "get=n", "set=late:1"):
        visitor.results("set=n:7")
    assert becomes_free(visitor) and visitor.results("get=late", "get=n") == ["=1", "=7"]
    visitor.probe("get=n", "late.set=later:1")
    server.logged("late set ok")
    assert becomes_free(visitor) and visitor.results("get=later") == ["=1"]


def test_a_late_change_and_the_next_request_of_its_connection(server, visitor):
    """Pipelined, it may come before the first one's end is told of: it must not wait for that."""
    request = f"GET /vain?%s HTTP/1.1\r\nHost: x\r\nConnection: %s\r\nCookie: bsession={visitor.token}\r\n\r\n"
    said = raw(server, (request % ("get=n&flush&set=n:7", "keep-alive") + request % ("get=n&set=m:1", "close")).encode())
    assert said.count(b"HTTP/1.1 200 OK") == 2 and said.endswith(b"get =7\nset ok\n"), said
    assert becomes_free(visitor) and visitor.results("get=n", "get=m") == ["=7", "=1"]


def test_a_late_change_while_another_has_it(server, visitor):
    server.expect(IN_VAIN)
    gate = Gate(server)
    with gate.passing(visitor.twin(), "get=n", "flush", gate.call, "set=late:1", "get=n", at="/vain"):
        with held(visitor):
            gate.path.touch()
            server.logged(IN_VAIN)
    assert gate.answer.results[-2:] == ["EBUSY", "=5"]
    assert is_free(visitor) and visitor.results("has=late") == ["no"]


def test_destroy_gives_it_back(server, visitor):
    gate = Gate(server)
    with gate.passing(visitor.twin(), "get=n", "destroy", gate.call):
        assert visitor.results("load", at="/vain") == ["NOTFOUND"]


def test_a_visitor_who_goes_away(server, visitor):
    """In the middle of the answer, and before it."""
    for calls in ("get=n&flush&body=9000000", "get=n&set=n:6&body=9000000"):
        with socket.create_connection(("127.0.0.1", server.port), 30) as s:
            s.sendall(f"GET /probe?{calls} HTTP/1.1\r\nHost: localhost\r\nCookie: bsession={visitor.token}\r\n\r\n"
                      .encode())
            s.recv(1000)
        becomes_free(visitor)


def test_a_program_that_dies(server, visitor):
    server.expect("cgi")
    assert visitor.get("/cgi/crash").status == 500
    assert is_free(visitor)


def test_what_an_application_says(server, visitor):
    assert visitor.get("/cgi/set").status == 200
    assert is_free(visitor) and visitor.results("get=app") == ["=1"]


def test_an_application_that_is_not_there(server, visitor, application):
    server.expect("proxy")
    assert visitor.get("/app/x").status == 200 and is_free(visitor)
    application.raw = b"\r\n"
    assert visitor.get("/app/x").status in (200, 502) and is_free(visitor)
    application.raw = None


def test_an_upgrade_gives_it_up_first(server, visitor, application):
    """A 101 passes every filter by, and its connection may last for days."""
    application.upgrades = True
    answer = visitor.get("/app/ws", headers={"Upgrade": "foo", "Connection": "Upgrade"})
    assert answer.status == 101
    application.upgrades = False
    assert is_free(visitor)


UPGRADE = {"Upgrade": "foo", "Connection": "Upgrade"}


def test_an_upgrade_is_no_way_around(server, visitor):
    """Two requests read 5, and no more than one writes what it made of it, though both were let past the
    lock: the header is the visitor's."""
    server.expect(r"bsession:(warn|info).* session [0-9a-f]{12}: this request has an Upgrade header")
    for calls in (["set=n:9"], ["destroy"], ["rotate"], ["set_user=bob"]):
        gate = Gate(server)
        with gate.passing(visitor.twin(), "get=n", gate.call, *calls, at="/env", headers=UPGRADE):
            assert is_free(visitor)
            assert visitor.results("get=n", "incr=n:1") == ["=5", "=6"]
        assert refused(gate.answer), calls
        assert visitor.results("get=n", "user", "set=n:5") == ["=6", "-", "ok"]


def test_an_upgrade_that_is_none(server, visitor):
    """Nobody came between: its change is saved, and the lock given back again."""
    gate = Gate(server)
    with gate.passing(visitor.twin(), "get=n", gate.call, "set=n:9", at="/env", headers=UPGRADE):
        assert visitor.results("get=n") == ["=5"]
    assert gate.answer.results[0] == "=5" and gate.answer.results[-1] == "ok"
    assert is_free(visitor) and visitor.results("get=n") == ["=9"]


def test_streams_of_http_2(server, build, visitor):
    if build.mpm == "prefork":
        pytest.skip("mod_http2 does not serve under prefork")
    server.expect(IN_VAIN)
    answer = h2(server, "/probe?get=n&set=n:6", visitor.token)
    assert answer.status == 200
    assert is_free(visitor) and visitor.results("get=n") == ["=6"]
    answer = h2_upgraded(server, "/env?get=n&set=n:7", f"bsession={visitor.token}")
    assert answer.status == 200 and answer.results == ["=6", "ok"]
    assert is_free(visitor) and visitor.results("get=n") == ["=7"]
    with held(visitor):
        assert refused(h2(server, "/vain?get=n", visitor.token))


def test_a_lease_that_is_shorter_than_the_request(server, visitor):
    """Nobody renews it while a handler runs. Whoever comes then has the session, and this one writes
    nothing: the fence."""
    server.expect(LOST)
    for calls in (["set=n:9"], ["destroy"], ["rotate"]):
        gate = Gate(server)
        with gate.passing(visitor.twin(), "get=n", gate.call, *calls, at="/short"):
            assert visitor.results("get=n", "set=m:1", timeout=150) == ["=5", "ok"]
        assert refused(gate.answer), calls
        assert visitor.results("get=n", "get=m") == ["=5", "=1"]
        server.logged(LOST)


# -- by hand

def test_lock_and_unlock(server, visitor):
    """`unlock` saves first, or others would build on what was before."""
    gate = Gate(server)
    with gate.passing(visitor.twin(), "lock", "get=n", "set=n:6", "unlock", gate.call, "set=m:1", at="/hand"):
        assert is_free(visitor) and visitor.results("get=n") == ["=6"]
    assert gate.answer.results[:4] == ["ok", "=5", "ok", "ok"]
    assert visitor.results("get=m") == ["=1"]
    server.expect(IN_VAIN)
    with held(visitor, "lock", at="/hand"):
        assert visitor.results("lock", "get=n", at="/hand") == ["EBUSY", "=6"]
        assert refused(visitor.probe("get=n", at="/vain"))
    assert is_free(visitor)
    assert visitor.results("lock", at="/read") == ["EACCES"]
    assert server.client().results("lock", "set=a:1", "save", "lock", at="/hand")[0::3] == ["NOTFOUND", "ok"]


def test_lock_again_renews(server, visitor):
    gate = Gate(server)
    with gate.passing(visitor.twin(), "lock", gate.call, "lock", "set=n:6", at="/hand"):
        pass
    assert gate.answer.results[-2:] == ["ok", "ok"] and visitor.results("get=n") == ["=6"]


def test_outside_of_a_request(server, visitor):
    """A session that `open` gave: `close` gives it back."""
    token = visitor.token
    assert visitor.probe(f"open=-/{token}/lock;get=n;set=n:8;close", at="/open").status == 200
    assert is_free(visitor) and visitor.results("get=n") == ["=8"]
