"""mod_session_bsession: one record of mod_session for each client request, kept in our session. What
mod_session itself promises is in test_mod_session.py, what mod_auth_form makes of it in test_auth_form.py."""

import re
import time

import pytest

from client import quote, raw
from bridged import MODS, OUT, PASSWORD, USER, has, log_in, refused
from doubles import Gate, wait_until
from httpd import Httpd, on

KEY = quote("~mod_session")


def prepare(server):
    server.document("gone.html", "it is not here\n")
    server.document("sub.shtml", '<!--#include virtual="/probe?sset=from:ssi" -->')
    server.script("app", "printf 'Content-Type: text/plain\\n"
                         "BSession-Set: ~mod_session=here-user%%3Dmallory\\n"
                         "BSession-Unset: ~mod_session\\n\\n'\nenv\n")


@pytest.fixture(scope="module")
def server(start):
    return start(on("Session On") + """
<LocationMatch "^/(probe|other|off|readonly|tight|stay|cookie|both|nobsession|document)">
    SetHandler bsession-probe
</LocationMatch>
<Location /off>
    Session Off
</Location>
<Location /gone.html>
    Session Off
</Location>
<Location /document>
    ErrorDocument 404 /gone.html
    ErrorDocument 401 /other?sget=a
</Location>
<Location /readonly>
    BSession ReadOnly
</Location>
<Location /tight>
    BSessionLimit size=64
</Location>
<Location /stay>
    SessionMaxAge 100
    ErrorDocument 404 /gone.html
</Location>
<LocationMatch "^/(cookie|both)">
    SessionCookieName appstock path=/
</LocationMatch>
<Location /cookie>
    BSession Off
</Location>
<Location /nobsession>
    BSession Off
</Location>
<Location /written>
    SetHandler bsession-probe
    BSessionWriteBack On
</Location>
<Location /cgi>
    BSessionEnv All
    BSessionWriteBack On
</Location>
<Location /shown>
    SetHandler bsession-probe
    Header set X-Shown "expr=%{BSESSION:~mod_session}%{BSESSION:own}"
</Location>
LogFormat "%{~mod_session}^BS %{own}^BS" shown
CustomLog {dir}/shown.log shown
<Location /sub.shtml>
    Options +Includes
    SetOutputFilter INCLUDES
</Location>
""", mods=[*MODS, "session_cookie", "include"], prepare=prepare)


def us(seconds):
    return int((time.time() + seconds) * 1e6)


# -- one record for the client's whole request

def test_redirects_and_subrequests_see_the_same(client):
    answer = client.probe("sset=a:1", f"internal={quote('/other?sget=a&sset=b:2&sget=b')}")
    assert answer.results == ["=1", "ok", "=2"] and len(answer.cookies) == 1
    assert has(client, "a", "b") == ["=1", "=2"]
    answer = client.probe("sset=a:2", f"sub={quote('/other?sget=a&sset=b:3')}", "sget=b")
    assert "sget =2\n" in answer.text and answer.text.endswith("sget =3\n")
    assert has(client, "a", "b") == ["=2", "=3"]


def test_an_error_document_sees_the_same(client):
    answer = client.probe("sset=a:1", "return=401", at="/document")
    assert (answer.status, answer.results) == (401, ["=1"]) and len(answer.cookies) == 1


def test_it_is_saved_behind_an_error_document(client):
    """P36: mod_session does not look there, with Session Off at the document's place."""
    answer = client.probe("sset=a:1", "return=404", at="/document")
    assert answer.status == 404 and answer.text == "it is not here\n"
    assert len(answer.cookies) == 1 and has(client, "a") == ["=1"]


def test_it_is_saved_behind_redirects(client):
    answer = client.probe("sset=a:1", "redirect=/elsewhere")
    assert answer.status == 302 and len(answer.cookies) == 1
    assert has(client, "a") == ["=1"]
    client.probe("sset=a:2", f"internal={quote('/off?sget=a')}")
    assert has(client, "a") == ["=2"]


def test_a_failed_handler(client):
    assert client.probe("sset=a:1", "return=500").status == 500
    assert has(client, "a") == ["=1"]


def test_what_changes_while_the_body_streams(client):
    client.results("sset=a:1", "sset=b:1")
    client.results("sset=b:2", "flush", "sset=a:2", "sunset=b")
    wait_until(lambda: has(client, "a", "b") == ["=2", "-"], "the save after the answer")


def test_what_changes_when_all_is_said(server, client):
    client.results("sset=a:1")
    client.results("sget=a", "late.sset=a:2")
    server.logged("late sset ok")
    wait_until(lambda: has(client, "a") == ["=2"], "the save after the answer")


def test_a_page_that_includes_one(client):
    client.results("sset=a:1")
    assert client.get("/sub.shtml").status == 200
    wait_until(lambda: has(client, "a", "from") == ["=1", "=ssi"], "the save after the answer")


def test_it_is_prolonged_behind_an_error_document_too(client):
    client.results(f"set={KEY}:{quote(f'a=1&expiry={us(20)}')}")
    client.probe("sset=a:2", "return=404", at="/stay")
    [stored] = client.results(f"get={KEY}")
    assert int(re.search(r"expiry%3d(\d+)", stored, re.I)[1]) > us(90)


def test_it_ends_between_requests_only(server, client):
    """What was good when the request came is good until it is over: a slow login is not lost."""
    end = us(1)
    client.results(f"set={KEY}:{quote(f'a=1&expiry={end}')}")
    gate = Gate(server)
    with gate.passing(client, "sget=a", "sset=here-user:ann", gate.call, "sget=here-user", at="/stay"):
        wait_until(lambda: us(0) > end, "the end of the session")
    assert gate.answer.results[0] == "=1" and gate.answer.results[3] == "=ann"
    assert has(client, "a", "here-user") == ["=1", "=ann"]


def test_saved_by_hand(client):
    answer = client.probe("sset=a:1", "ssave", "sset=a:2", "sget=a")
    assert answer.results == ["ok", "ok", "ok", "=2"] and len(answer.cookies) == 1
    assert has(client, "a") == ["=2"]


def test_a_visitor_who_only_reads_leaves_no_trace(client):
    for at in "/probe", "/stay":
        assert client.probe("sload", "sget=a", at=at).cookies == []
    assert client.jar == {}


def test_an_application_that_destroys_the_session_destroys_this(client):
    """Nothing of it comes back by what mod_session saves afterwards."""
    for calls in [["destroy", "sget=a"], ["sset=a:2", "destroy", "sget=a"]]:
        client.results("sset=a:1", "sset=here-user:ann")
        answer = client.probe("sget=a", *calls, at="/stay")
        assert answer.results[-1] == "-" and client.jar == {}
        assert client.results("count", "sget=a", "sget=here-user")[1:] == ["-", "-"]


@pytest.mark.parametrize("how", ["clear", "header=BSession-Clear:1"])
def test_an_application_that_clears_the_session_leaves_this_alone(client, how):
    """It begins afresh, and nobody is logged out by it."""
    client.results("sset=a:1", "sset=here-user:ann", "set=own:1", "set=more:2")
    before = client.token
    client.probe("sget=a", how, at="/written")
    assert client.token == before
    assert has(client, "a", "here-user") == ["=1", "=ann"]
    assert client.results("has=own", "has=more") == ["no", "no"]


def test_the_last_entry_takes_the_key_with_it(client):
    client.results("sset=a:1", "set=own:1")
    assert client.results(f"has={KEY}", "count") == ["yes", "2"]
    assert client.probe("sunset=a").cookies == []
    assert client.results(f"has={KEY}", "get=own") == ["no", "=1"]


# -- logins and logouts

def test_a_login_makes_a_new_token(client):
    client.results("set=own:1", "sset=a:1")
    thief, tag = client.twin(), client.results("tag")
    assert len(log_in(client).cookies) == 1
    assert client.token != thief.token and client.results("tag") == tag
    assert client.results("get=own", "sget=a") == ["=1", "=1"]
    assert thief.results("load", "get=own", "sget=a") == ["NOTFOUND", "-", "-"]


def test_each_request_of_a_login_does_not(client):
    log_in(client)
    token = client.token
    for calls in ["sset=a:1"], ["sset=the+realm-pw:other"], ["sset=the+realm-user:ann"], ["sget=a"]:
        assert client.probe(*calls).cookies == []
    assert client.token == token


def test_another_user_makes_a_new_token(client):
    log_in(client)
    first = client.twin()
    log_in(client, user="bob")
    assert client.token != first.token
    log_in(client.twin(), "sset=other-user:carol", user="bob")
    assert first.results("load") == ["NOTFOUND"]


def test_a_logout_of_all_there_is_ends_the_session(client):
    log_in(client)
    thief = client.twin()
    answer = client.probe(*OUT)
    assert len(answer.cookies) == 1 and client.jar == {}
    assert thief.results("load", f"sget={USER}") == ["NOTFOUND", "-"]


@pytest.mark.parametrize("kept", ["set=own:1", "sset=a:1"])
def test_a_logout_leaves_the_rest_under_a_new_token(client, kept):
    log_in(client, kept)
    thief = client.twin()
    answer = client.probe(*OUT)
    assert len(answer.cookies) == 1 and client.token != thief.token
    assert client.results("get=own", "sget=a", f"sget={USER}") in (["=1", "-", "-"], ["-", "=1", "-"])
    assert thief.results("load", f"sget={USER}") == ["NOTFOUND", "-"]


def test_a_login_and_a_logout_behind_an_error_document(client):
    assert log_in(client, "return=404", at="/document").status == 404
    assert has(client, USER) == ["=ann"]
    thief = client.twin()
    client.probe(*OUT, "return=404", at="/document")
    assert client.jar == {} and thief.results("load") == ["NOTFOUND"]


def test_a_login_twice_at_once(server, client):
    """Both have begun under one token; each answer's cookie is good."""
    client.results("sset=a:1")
    other = client.twin()
    gate = Gate(server)
    with gate.passing(other, "sget=a", gate.call, "sset=here-user:ann"):
        client.probe("sset=here-user:ann")
    assert gate.answer.status == 200
    assert has(client, "here-user") == ["=ann"] and has(other, "here-user") == ["=ann"]


def test_a_login_once_headers_have_left(server, client):
    """It would go on under the token from before it, and so is not kept."""
    client.results("sset=a:1")
    client.probe("flush", "sset=here-user:ann")
    server.logged("session_bsession:warn.*dropped: it would need a cookie")
    assert has(client, "a", "here-user") == ["=1", "-"]


def test_a_logout_once_headers_have_left(server, client):
    """No new token can be sent; but who is logged out stays logged out."""
    log_in(client, "set=own:1")
    before = client.token
    client.probe("flush", *OUT)
    wait_until(lambda: has(client, USER) == ["-"], "the late logout")
    assert client.token == before and client.results("get=own") == ["=1"]


def test_a_logout_with_the_token_from_before_a_login(client):
    """It cannot log out who has logged in meanwhile, and does not say so."""
    client.results("sset=a:1", "set=own:1")
    old = client.twin()
    log_in(client)
    assert refused(old.probe(*OUT))
    assert has(client, USER) == ["=ann"]


# -- at the same time

def test_a_rotation_of_another_s_does_not_bring_a_login_back(server, client):
    """The slow request began while ann was logged in; its application gives it a new token after her
    logout. What it set itself is there, and she is not."""
    log_in(client, "set=cart:1")
    slow = client.twin()
    gate = Gate(server)
    server.expect("session_bsession:info.*dropped")
    with gate.passing(slow, f"sget={USER}", gate.call, "sset=theme:dark", "set=own:1", "rotate"):
        assert client.probe(*OUT).status == 200
    assert gate.answer.status == 200
    assert has(slow, USER, PASSWORD) == ["-", "-"] and slow.results("get=own") == ["=1"]


def test_a_login_in_another_realm_does_not_bring_a_login_back(server, client):
    client.results("sset=other-user:ann", "sset=other-pw:t0psecret", "set=cart:1")
    slow = client.twin()
    gate = Gate(server)
    server.expect("session_bsession:info.*dropped")
    with gate.passing(slow, "sget=other-user", gate.call, f"sset={USER}:bob"):
        assert client.probe("sunset=other-user", "sunset=other-pw").status == 200
    assert refused(gate.answer)
    assert has(slow, "other-user", USER) == ["-", "-"]


def test_a_slow_request_does_not_bring_a_login_back(server, client):
    """Neither one that changes what mod_session keeps, nor one that only prolongs it."""
    for kept, slow in [[], "sset=a:2"], [["set=own:1"], "sset=a:2"], [["set=own:1"], "sget=a"]:
        client.jar.clear()
        log_in(client, "sset=a:1", *kept)
        gate = Gate(server)
        server.expect("changes dropped", "session_bsession:info.*dropped")
        with gate.passing(client.twin(), "sget=a", gate.call, slow, at="/stay"):
            client.probe(*OUT, "sunset=a")
        assert gate.answer.status == 200 and gate.answer.cookies == []
        assert has(client, USER, "a") == ["-", "-"]


def test_prolonging_undoes_nobody_s_change(server, client):
    client.results("sset=a:1", at="/stay")
    gate = Gate(server)
    with gate.passing(client.twin(), "sget=a", gate.call, at="/stay"):
        client.results("sset=a:2", at="/stay")
    assert gate.answer.results[0] == "=1"
    assert has(client, "a") == ["=2"]


def test_other_keys_are_nobody_s_victim(server, client):
    client.results("sset=a:1", "set=n:1")
    gate = Gate(server)
    with gate.passing(client.twin(), "sset=a:2", gate.call):
        client.results("incr=n:1", "set=own:1")
    assert client.results("get=n", "get=own", "sget=a") == ["=2", "=1", "=2"]


def test_a_login_keeps_what_others_change_meanwhile(server, client):
    client.results("sset=a:1", "set=n:1")
    gate = Gate(server)
    with gate.passing(client, "sset=here-user:ann", gate.call):
        client.twin().results("incr=n:1", "set=own:1")
    assert len(gate.answer.cookies) == 1
    assert client.results("get=n", "get=own", "sget=here-user") == ["=2", "=1", "=ann"]


# -- nobody else's business

def test_it_is_hidden_from_applications(server, client):
    server.expect("a BSession-(Set|Unset) header is dropped: a key that begins with ~")
    log_in(client, "set=own:1")
    answer = client.get("/cgi/app")
    assert "BSESSION_own=1" in answer.text
    for secret in "mod_session", "realm", "t0psecret":
        assert secret not in answer.text
    assert has(client, USER) == ["=ann"]
    assert client.probe("sget=a", at="/shown").header("X-Shown") == "1"
    assert "t0psecret" not in server.log()
    log = wait_until(lambda: (server.dir / "shown.log").read_text(), "the log")
    assert "- 1\n" in log and "realm" not in log


@pytest.mark.parametrize("directive", ["BSessionEnv", "BSessionHeader"])
def test_it_is_nobody_s_by_name(build, directive):
    server = Httpd(build, f"<Location />\nBSession On\n{directive} cart ~mod_session\n</Location>\n")
    try:
        status, output = server.configtest()
        assert status != 0 and f'{directive}: "~mod_session" belongs to a module of httpd' in output
    finally:
        server.remove()


# -- what a place forbids

def test_read_only(server, client):
    client.results("sset=a:1")
    assert client.results("sget=a", at="/readonly") == ["=1"]
    server.expect("session_bsession:warn.*mod_session changed is dropped: BSession ReadOnly here")
    assert client.results("sset=a:2", at="/readonly") == ["ok"]
    assert refused(log_in(client, "redirect=/", at="/readonly"))
    assert has(client, "a", USER) == ["=1", "-"]


def test_over_a_limit(server, client):
    client.results("sset=a:1")
    server.expect("over .*BSessionLimit")
    assert client.results(f"sset=a:{'x' * 100}", at="/tight") == ["ok"]
    assert refused(log_in(client, f"sset=a:{'x' * 100}", "redirect=/", at="/tight"))
    assert has(client, "a", USER) == ["=1", "-"]


# -- beside other storages

def test_another_storage_keeps_its_places(client):
    answer = client.probe("sset=a:1", at="/cookie")
    assert answer.cookies == [] and client.jar == {"appstock": "a=1"}
    assert client.results("sget=a", at="/both") == ["=1"]
    assert client.results("sget=a") == ["-"]
    client.results("sset=a:2")
    assert client.results("sget=a", at="/cookie") == ["=1"] and has(client, "a") == ["=2"]


def test_a_sealed_one(start):
    """mod_session_crypto stands between mod_session and us."""
    server = start(on("Session On") + """
SessionCryptoDriver openssl
<Location />
    SessionCryptoPassphrase "of the site"
</Location>
""", mods=[*MODS, "session_crypto"])
    client = server.client()
    client.results("sset=a:plain")
    [value] = client.results(f"get={KEY}")
    assert len(value) > 40 and "plain" not in value
    assert has(client, "a") == ["=plain"]


def test_no_storage_at_all(server, client):
    """httpd itself says so."""
    server.expect("AH01815")
    assert client.probe("sset=a:1", at="/nobsession").status == 200
    assert client.jar == {}


# -- start and restart

def test_it_outlives_a_graceful_restart(start):
    server = start(on("Session On"), mods=MODS)
    client = server.client()
    client.results("sset=a:1")
    server.graceful()
    assert has(client, "a") == ["=1"]


@pytest.mark.parametrize("mods", [["session_bsession", "session"], ["session", "session_bsession"]])
def test_in_any_order(start, mods):
    server = start(on("Session On"), mods=mods)
    client = server.client()
    client.results("sset=a:1")
    assert has(client, "a") == ["=1"]


def test_early_errors_and_old_clients(start):
    """Requests that nobody has seen before they fail have no session, and that is no news."""
    server = start("Session On\nBSession On\nBSessionCookie bsession Secure=Off\n", mods=MODS)
    for request, status in [(b"GET / HTTP/1.1\r\n\r\n", b"400"), (b"GET /%s HTTP/1.1\r\n\r\n" % (b"a" * 9000), b"414"),
                            (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: nothing\r\n\r\n", b"417")]:
        assert raw(server, request).split(b" ", 2)[1] == status
    assert b"hello" in raw(server, b"GET /index.html\r\n")


@pytest.mark.parametrize("missing,said", [
    ("session_module", "mod_session_bsession needs mod_session: LoadModule session_module"),
    ("bsession_module", "mod_session_bsession needs mod_bsession, .*: LoadModule bsession_module")])
def test_what_it_needs(build, missing, said):
    server = Httpd(build, "", mods=MODS)
    text = server.text
    server.text = lambda: re.sub(rf"(?m)^(LoadModule {missing}|LogLevel|BSession).*\n", "", text())
    try:
        status, output = server.configtest()
        assert status != 0 and re.search(said, output), output
    finally:
        server.remove()
