"""Stores that fail, behind the third-party backend fault: (mod_fault.c): refusal, breaker, unknown,
healing. HTTPD.md tells why the 503 is made as it is."""

import re
import threading

import pytest

from client import h2, raw
from doubles import Fault, Gate, wait_until
from httpd import on

OUTAGE = r"bsession:(error|warn|notice|info)"


def prepare(server):
    server.fault = Fault(server.writable / "fault")
    server.trip = Fault(server.writable / "trip")
    server.document("page.html", "a page\n")
    server.document("sorry.html", "come back later\n")
    index = server.document("offdir/index.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nenv\n")
    index.chmod(0o755)
    server.script("app", "printf 'Content-Type: text/plain\\nBSession-Set: a=%s\\n\\n' \"$QUERY_STRING\"\n"
                         "echo the real page\n")


@pytest.fixture(scope="module")
def server(start):
    return start("BSessionStore default fault:memory: control={w}/fault size=8M timeout=400ms breaker=off\n"
                 "BSessionStore tripping fault:memory: control={w}/trip size=8M timeout=2s breaker=3,50ms,100ms\n"
                 "Protocols h2c http/1.1\n"
                 + on("BSessionOnOutage deny") + """
<Location /anonymous>
    SetHandler bsession-probe
    BSessionOnOutage anonymous
</Location>
<Location /env>
    SetHandler bsession-probe
    BSessionEnv All
</Location>
<Location /anonymousenv>
    SetHandler bsession-probe
    BSessionEnv All
    BSessionOnOutage anonymous
</Location>
<Location /document>
    SetHandler bsession-probe
    ErrorDocument 503 /sorry.html
</Location>
<Location /trip>
    SetHandler bsession-probe
    BSessionUse tripping
    BSessionCookie tripsid Secure=Off
</Location>
<Directory "{docs}/offdir">
    DirectoryIndex index.cgi
    Options +ExecCGI
    AddHandler cgi-script .cgi
</Directory>
<Location /offdir>
    BSession Off
</Location>
<Location /offdir/index.cgi>
    BSession On
    BSessionEnv All
</Location>
Alias /told {docs}
<Location /told>
    Header set X-User "expr=%{BSESSION:user}"
    Header always set X-Other "expr=%{BSESSION:other}"
</Location>
<Location /toldbig>
    SetHandler bsession-probe
    Header set X-User "expr=%{BSESSION:user}"
</Location>
<Location /toldanonymous>
    SetHandler bsession-probe
    BSessionOnOutage anonymous
    Header set X-User "expr=%{BSESSION:user}"
</Location>
<Location /required.html>
    Require bsession user
</Location>
<Location /none.html>
    <RequireAll>
        Require all granted
        <RequireNone>
            Require bsession banned
        </RequireNone>
    </RequireAll>
</Location>
<Location /cgi>
    BSessionWriteBack On
</Location>
""", mods=["http2"], prepare=prepare)


@pytest.fixture(autouse=True)
def healthy(server):
    server.expect(OUTAGE)
    yield
    server.fault.clear()
    server.trip.clear()


@pytest.fixture
def fault(server):
    return server.fault


def refused(answer):
    """One clean 503: Retry-After, and no cookie of anybody."""
    assert answer.status == 503, answer
    assert int(answer.header("Retry-After")) >= 1
    assert answer.all("Set-Cookie") == []
    return True


# -- what asks for nothing

def test_no_call_where_nobody_asks(fault, client):
    """P26 P31: an outage is none for who does not use the session."""
    fault.set("fail")
    before = fault.calls()
    assert client.get("/page.html").status == 200
    assert client.get("/page.html", headers={"Cookie": "bsession=" + "A" * 43}).status == 200
    assert client.results("of") == ["session"]
    assert fault.calls() == before


def test_what_a_request_costs(fault, client):
    """One load, one save, nothing for a clean one; junk costs no call at all."""
    def cost(*calls, **more):
        before = [fault.calls(v) for v in Fault.VERBS]
        client.probe(*calls, **more)
        return {v: now - was for v, was, now in
                zip(Fault.VERBS, before, [fault.calls(v) for v in Fault.VERBS]) if now != was}
    assert cost("get=a") == {}
    assert cost("get=a", headers={"Cookie": "bsession=junk"}) == {}
    assert cost("get=a", headers={"Cookie": "bsession=" + "A" * 43}) == {"load": 1}
    assert cost("set=a:1", "set=b:2") == {"create": 1}
    assert cost("get=a", "get=b", "count", "each") == {"load": 1}
    assert cost("set=a:1") == {"load": 1}
    assert cost("set=a:2", "unset=b", "incr=n:1") == {"load": 1, "merge": 1}
    assert cost("set=a:3", "set=a:2") in ({"load": 1}, {"load": 1, "merge": 1})
    assert cost("rotate") == {"load": 1, "replace": 1}
    assert cost("destroy")["remove"] == 1


# -- load fails

@pytest.mark.parametrize("mode", ["fail", "hang", "lost"])
def test_a_load_that_fails(fault, client, mode):
    client.results("set=a:1")
    jar = dict(client.jar)
    fault.set(mode, "load")
    assert refused(client.probe("get=a"))
    assert client.jar == jar
    fault.clear()
    assert client.results("get=a") == ["=1"]


def test_an_outage_is_not_a_miss(fault, client):
    """For C callers too: every key is NULL then, and load tells."""
    client.results("set=a:1")
    fault.set("fail", "load")
    answer = client.probe("get=a", "load", "set=a:2", "incr=a:1", "count", at="/anonymous")
    assert answer.status == 200 and answer.cookies == []
    assert answer.results[0] == "-" and answer.results[1].startswith("outage")
    assert answer.results[2].startswith("outage") and answer.results[3].startswith("outage")
    fault.clear()
    assert client.results("get=a") == ["=1"]


def test_anonymous_leaves_the_response_alone(fault, client):
    client.results("set=a:1")
    jar = dict(client.jar)
    fault.set("fail")
    for at in ("/anonymous", "/anonymousenv"):
        answer = client.probe("get=a", "set=b:1", at=at)
        assert answer.status == 200 and answer.all("Set-Cookie") == []
    fresh = client.server.client()
    answer = fresh.probe("set=a:1", at="/anonymous")
    assert answer.status == 200 and fresh.jar == {}
    assert client.jar == jar
    fault.clear()
    assert client.results("get=a", "has=b") == ["=1", "no"]


def test_the_environment_asks(fault, client):
    client.results("set=a:1")
    fault.set("fail", "load")
    assert refused(client.probe("env=BSESSION_a", at="/env"))
    assert client.server.client().probe("env=BSESSION_a", at="/env").status == 200


def test_a_directory_index_asks(fault, client):
    """Its place is On, the directory's is Off: mod_dir puts one in the other's stead after fixups."""
    client.results("set=a:1")
    for path in ("/offdir/", "/offdir/index.cgi"):
        fault.clear()
        answer = client.get(path)
        assert answer.status == 200 and "BSESSION_a=1" in answer.text
        fault.set("fail", "load")
        answer = client.get(path)
        assert refused(answer) and "PATH=" not in answer.text


@pytest.mark.parametrize("http", ["1.1", "2"])
@pytest.mark.parametrize("path", ["/told/page.html", "/told/nothing.html", "/toldbig?body=180000",
                                  "/toldbig?status=404&body=3000"])
def test_a_header_that_mod_headers_makes_asks(server, fault, build, client, path, http):
    """Behind the moment of the save: the answer has not left yet, and does not."""
    if http == "2" and build.mpm == "prefork":
        pytest.skip("mod_http2 does not serve under prefork")
    client.results("set=user:ann")
    fault.set("fail")
    answer = h2(server, path, client.token) if http == "2" else client.get(path)
    assert refused(answer)
    assert b"0007" not in answer.body and b"a page" not in answer.body
    assert answer.body.count(b"<!DOCTYPE") == 1
    fault.clear()
    assert client.get("/told/page.html").header("X-User") == "ann"
    fault.set("fail")
    assert client.get("/toldanonymous?status=200").status == 200


@pytest.mark.parametrize("one,other", [("/anonymous", "/probe"), ("/probe", "/anonymous")])
def test_one_place_that_denies_is_enough(fault, client, one, other):
    """Of those that an internal redirect brings together in one session."""
    client.results("set=a:1")
    fault.set("fail", "merge")
    assert refused(client.probe("set=a:2", f"internal={other}?set=b:2", at=one))
    fault.clear()
    assert client.results("get=a", "has=b") == ["=1", "no"]


def test_require_is_neither_yes_nor_no(server, fault, client):
    """As DENIED it would open a RequireNone."""
    server.expect("AH01630", "AH00027", "authz_core")
    client.results("set=user:ann")
    server.document("required.html", "members\n")
    server.document("none.html", "not the banned\n")
    assert client.get("/required.html").status == 200
    fault.set("fail", "load")
    assert refused(client.get("/required.html"))
    assert refused(client.get("/none.html"))
    assert server.client().get("/required.html").status == 403
    assert server.client().get("/none.html").status == 200
    fault.clear()
    assert client.get("/required.html").status == 200


# -- save fails

@pytest.mark.parametrize("mode", ["fail", "hang", "lost"])
@pytest.mark.parametrize("verb,calls", [("create", ["set=a:1"]), ("merge", ["set=a:2"]),
                                        ("replace", ["rotate"]), ("create", ["destroy", "set=a:3"])])
def test_a_save_that_fails_turns_the_response_into_a_503(fault, client, mode, verb, calls):
    if verb != "create" or "destroy" in calls:
        client.results("set=a:1")
    fault.set(mode, verb)
    jar = dict(client.jar)
    answer = client.probe(*calls, "header=Set-Cookie:app=1", "err=Set-Cookie:app2=1", "header=X-Page:1")
    assert refused(answer)
    assert "ok" not in answer.results and client.jar == jar


@pytest.mark.parametrize("calls", [
    ["body=180000"], ["flushonly", "body=180000"], ["status=404"], ["return=404"], ["return=500"],
    ["redirect=/x"], ["empty"], ["status=204", "empty"], ["internal=/page.html"], ["bucket=502"],
    ["flush", "body=5000"], ["header=Content-Length:3"], ["internal=/probe?body=5000"]],
    ids=lambda calls: calls[0])
@pytest.mark.parametrize("http", ["1.1", "2"])
def test_nothing_of_the_page_leaves(server, fault, build, calls, http):
    """A handler that ignores write errors sent 180,000 bytes of the real page after the 503 (HTTPD.md)."""
    if http == "2" and build.mpm == "prefork":
        pytest.skip("mod_http2 does not serve under prefork")
    fault.set("fail", "create")
    if http == "2":
        answer = h2(server, "/probe?set=a:1&" + "&".join(calls))
    else:
        answer = server.client().probe("set=a:1", *calls)
    assert refused(answer)
    assert b"0007" not in answer.body and b"set ok" not in answer.body and b"a page" not in answer.body
    assert answer.body.count(b"<!DOCTYPE") == 1


@pytest.mark.parametrize("at", ["/probe", "/document"])
def test_one_answer_where_the_handler_fails_too(server, fault, at):
    """It had begun to write, the write failed, and so it returned a 500: no second page follows the 503."""
    fault.set("fail", "create")
    said = raw(server, f"GET {at}?set=a:1&body=3000&return=500 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, rest = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert int(re.search(rb"(?m)^Content-Length: (\d+)", head)[1]) == len(rest), said


def test_error_document_of_the_503(fault, client):
    fault.set("fail", "create")
    answer = client.probe("set=a:1", "body=5000", at="/document")
    assert refused(answer) and answer.text == "come back later\n"


def test_head_and_upgrade_and_cgi(fault, client):
    fault.set("fail", "create")
    assert refused(client.request("HEAD", "/probe?set=a:1"))
    assert refused(client.probe("set=a:1", headers={"Upgrade": "foo", "Connection": "Upgrade"}))
    answer = client.get("/cgi/app?1")
    assert refused(answer) and "real page" not in answer.text


def test_the_connection_stays_in_step(server, fault):
    """The answer after a refused one, on the same connection, is the next request's."""
    client = server.client(keep=True)
    fault.set("fail", "create", times=1)
    assert refused(client.probe("set=a:1", "body=50000"))
    assert client.results("get=a") == ["-"]
    assert client.results("set=a:1") == ["ok"]
    client.close()


def test_too_late_for_a_503(server, fault, client):
    """What was changed while the body streamed cannot be saved: the log says so."""
    client.results("set=a:1")
    fault.set("fail", "merge")
    answer = client.probe("flush", "set=a:2")
    assert answer.status == 200
    assert server.logged(r"bsession:warn")
    fault.clear()
    assert client.results("get=a") == ["=1"]


def test_save_now_says_so(fault, client):
    client.results("set=a:1")
    fault.set("fail", "merge")
    answer = client.probe("set=a:2", "save", at="/anonymous")
    assert answer.status == 200 and answer.results[1].startswith("outage")


# -- unknown: never tried again where that could count twice

@pytest.mark.parametrize("calls", [["incr=n:1"], ["incr=n:1", "save"], ["incr=n:1", "flush", "incr=m:1"]])
def test_a_lost_reply_is_not_resent(fault, client, calls):
    client.results("set=n:0")
    fault.set("lost", "merge", "replace")
    before = fault.calls("merge", "replace")
    client.probe(*calls)
    fault.clear()
    assert client.results("get=n") == ["=1"]
    assert fault.calls("merge", "replace") - before == 1


def test_a_login_whose_answer_was_lost_can_be_repeated(fault, client):
    """The rotation was done, its answer never came: the old token opens nothing, and the login is
    simply made again."""
    client.results("set=cart:1")
    fault.set("lost", "replace", times=1)
    assert refused(client.probe("set=user:ann", "rotate"))
    answer = client.probe("set=user:ann", "rotate")
    assert answer.status == 200, answer
    client.take(answer)
    assert client.results("get=user") == ["=ann"]


def test_a_lost_create_leaves_no_half_session(fault, client):
    fault.set("lost", "create", times=1)
    assert refused(client.probe("set=a:1"))
    assert client.jar == {}
    assert client.results("set=a:2") == ["ok"]
    assert client.results("get=a") == ["=2"]


def test_destroy_during_an_outage(fault, client):
    """Not said to be done; and the cookie is never deleted over an outage."""
    client.results("set=a:1")
    jar = dict(client.jar)
    fault.set("fail", "remove")
    answer = client.probe("destroy")
    assert refused(answer) and client.jar == jar
    fault.clear()
    assert client.results("get=a") == ["=1"]
    assert client.results("destroy") == ["ok"]


# -- other answers

def test_conflicts_are_merged_and_tried_again(fault, client):
    client.results("set=a:1")
    fault.set("conflict", "merge", "replace", times=5)
    assert client.results("set=b:2", "incr=n:1") == ["ok", "=1"]
    assert client.results("get=a", "get=b", "get=n") == ["=1", "=2", "=1"]


def test_a_conflict_without_end(fault, client):
    """Until the store's timeout= is spent; then it is an outage."""
    client.results("set=a:1")
    fault.set("conflict", "merge")
    assert refused(client.probe("set=a:2"))
    fault.clear()
    assert client.results("get=a") == ["=1"]


def test_too_large_for_the_store(server, fault, client):
    """Dropped with one log line; what was stored stays; the response is not changed."""
    client.results("set=a:1")
    fault.set("nospace", "merge")
    assert client.results("set=a:2") == ["ok"]
    fault.clear()
    assert client.results("get=a") == ["=1"]


@pytest.mark.parametrize("mode", ["corrupt", "garble"])
def test_a_corrupt_record(server, fault, client, mode):
    """Section 10: an empty session, one warning with the tag, never a crash; a set makes a fresh one."""
    client.results("set=a:1")
    (tag,) = client.results("tag")
    old = client.token
    fault.set(mode, "load")
    answer = client.probe("get=a")
    assert answer.status == 200 and answer.results == ["-"]
    line = server.logged("bsession:warn")
    assert tag in line
    assert client.results("set=b:1") == ["ok"]
    fault.clear()
    assert client.token != old and client.results("get=a", "get=b") == ["-", "=1"]


def test_a_forgetful_store(fault, client):
    """The store answered that nothing is there: a miss, and the client keeps its cookie."""
    client.results("set=a:1")
    fault.set("forget", "load")
    answer = client.probe("get=a")
    assert answer.status == 200 and answer.results == ["-"]


def test_a_record_that_vanished_between_load_and_save(server, fault, client):
    """No Set-Cookie at all, neither new nor deleting; save says so."""
    client.results("set=a:1")
    gate = Gate(server)
    with gate.passing(client, "get=a", gate.call, "set=a:2", "save"):
        assert client.twin().results("destroy") == ["ok"]
    assert gate.answer.status == 200 and gate.answer.cookies == []
    assert gate.answer.results[-1] == "EGONE"
    assert client.results("load") == ["NOTFOUND"]


# -- slow stores and the breaker

def test_slow_is_not_gone(fault, client):
    client.results("set=a:1")
    fault.set("delay", ms=100)
    assert client.results("get=a", "set=a:2") == ["=1", "ok"]
    fault.clear()
    assert client.results("get=a") == ["=2"]


def test_the_breaker(server, client):
    """After failures in a row calls fail at once; one probe at a time; it heals by itself. Common to all
    children, and one log line for each change of state."""
    trip = server.trip
    at = {"at": "/trip"}
    client.results("set=a:1", **at)
    trip.set("fail")

    def spared():
        before = trip.calls()
        assert client.probe("get=a", **at).status == 503
        return trip.calls() == before
    wait_until(spared, "a request that the breaker answers")
    assert server.logged("bsession:(error|warn).*")
    # others can be served meanwhile
    assert client.results("set=x:1") == ["ok"]
    trip.clear()
    wait_until(lambda: client.probe("get=a", **at).status == 200, "the breaker to close")
    assert client.results("get=a", **at) == ["=1"]
    states = [line for line in server.lines() if "tripping" in line]
    assert 2 <= len(states) <= 60, states


def test_while_the_breaker_is_open_requests_probe_one_at_a_time(server, client):
    trip = server.trip
    client.results("set=a:1", at="/trip")
    trip.set("fail")
    wait_until(lambda: _spared(client, trip), "the breaker to open")
    trip.set("hang")
    before = trip.calls()
    answers = []

    def ask():
        answers.append(client.twin().probe("get=a", at="/trip").status)
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [503] * 8
    assert trip.calls() - before <= 2
    trip.clear()
    wait_until(lambda: client.probe("get=a", at="/trip").status == 200, "the breaker to close")


def _spared(client, trip):
    before = trip.calls()
    assert client.probe("get=a", at="/trip").status == 503
    return trip.calls() == before


def test_a_store_that_hangs_costs_a_bounded_wait(fault, client):
    """timeout=400ms: the request ends, and says 503."""
    client.results("set=a:1")
    fault.set("hang")
    assert refused(client.probe("get=a", timeout=10))
    assert refused(client.server.client().probe("set=a:1", timeout=10))


def test_a_touch_that_fails_harms_nobody(server, fault, client):
    client.results("set=a:1")
    fault.set("fail", "touch")
    answer = client.probe("touch", at="/anonymous")
    assert answer.status == 200 and re.match("outage", answer.results[0])
    fault.clear()
    assert client.results("get=a") == ["=1"]
