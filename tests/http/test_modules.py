"""mod_bsession.h for other modules: every hook, outside of requests, what is told, older headers."""

import pathlib
import shutil
import subprocess

import pytest

from doubles import wait_until
from httpd import TOP, on

EARLY = ["post_read", "translate", "header_parser", "access", "type", "fixups", "insert_filter", "saving"]


@pytest.fixture(scope="module")
def server(start):
    # on the server itself: what runs before the URL is looked at sees no <Location>
    return start("BSession On\nBSessionCookie bsession Secure=Off\nBSessionIdleTimeout 1h\n"
                 "MaxKeepAliveRequests 0\n" + """
<Location /off>
    SetHandler bsession-probe
    BSession Off
</Location>
<Location /guarded>
    SetHandler bsession-probe
    BSession ReadOnly
</Location>
""")


def told(server, tag):
    """What the hooks told of this session."""
    return [line.split("probe was told: ")[1].split()[0] for line in server.log().splitlines()
            if "probe was told" in line and f" {tag} " in line]


@pytest.mark.parametrize("hook", EARLY)
def test_any_hook_reads_and_changes(client, hook):
    """P43: the API works long before the handler, and what it changed there is saved."""
    answer = client.probe("get=a", headers={f"Probe-{hook}": "get=a&set=a:1&get=a"})
    assert answer.all(f"Probe-{hook}") == ["-;ok;=1"]
    assert client.jar
    assert client.results("get=a") == ["=1"]
    answer = client.get("/index.html", headers={f"Probe-{hook}": "set=a:2&get=a"})
    assert (answer.status, answer.all(f"Probe-{hook}")) == (200, ["ok;=2"])
    assert client.results("get=a") == ["=2"]


def test_what_the_end_of_a_request_changes_is_saved(server, client):
    """P43: log_transaction, when the answer has left."""
    client.results("set=a:1")
    client.results("late.get=a", "late.set=a:2")
    server.logged(r"late set ok")
    wait_until(lambda: client.results("get=a") == ["=2"], "the late change")


# ---- outside of requests

@pytest.mark.parametrize("way", ["open", "thread"])
def test_a_session_outside_of_a_request(client, way):
    """P43: open, read, change and close, without the request's own session."""
    client.results("set=a:1", "set=b:1")
    (said,) = client.results(f"{way}=-/{client.token}/get=a;set=a:2;unset=b;incr=n:3;facts", at="/off")
    assert said == "=1;ok;ok;=3;changed;ok"
    assert client.results("get=a", "has=b", "get=n") == ["=2", "no", "=3"]


@pytest.mark.parametrize("way", ["open", "thread"])
def test_a_new_session_outside_of_a_request(server, way):
    """P43 P35: its token opens it for a browser that is given it."""
    maker, visitor = server.client(), server.client()
    (said,) = maker.results(f"{way}=default/-/load;token;set=a:1;save;token;is_new;facts", at="/off")
    load, none, ok, saved, token, is_new, facts, closed = said.split(";")
    assert (load, none, ok, saved, is_new, facts, closed) == \
        ("NOTFOUND", "-", "ok", "ok", "yes", "created+changed", "ok")
    visitor.jar["bsession"] = token
    server.confidential.token(token)
    assert visitor.results("get=a", "token") == ["=1", token]
    assert maker.jar == {}


def test_without_close_nothing_is_kept(server, client):
    client.results("set=a:1")
    # destroy is at once; and closing what was never asked for does nothing
    assert client.results(f"open=-/{client.token}/of", at="/off") == ["session;ok"]
    assert client.results(f"open=-/{client.token}/destroy;count", at="/off") == ["ok;0;ok"]
    assert client.results("get=a") == ["-"]


@pytest.mark.parametrize("token", ["A" * 43, "x", "A" * 3000])
def test_a_token_that_opens_nothing(client, token):
    """P37: neither one of the right form nor junk is adopted, nor does it make a session of another token."""
    assert client.results(f"open=-/{token}/load;set=a:1;incr=n:1;rotate;unset=a;save;token", at="/off") == \
        ["NOTFOUND;NOTFOUND;NOTFOUND;NOTFOUND;NOTFOUND;ok;-;ok"]


def test_a_job_for_who_has_logged_out(server, client):
    """It leaves no record behind, whenever the logout comes."""
    client.results("set=a:1")
    token = client.token
    assert client.results(f"open=-/{token}/get=a;destroy;set=a:2;save;token", at="/off") == \
        ["=1;ok;NOTFOUND;ok;-;ok"]
    assert client.results(f"open=-/{token}/load;set=a:2", at="/off") == ["NOTFOUND;NOTFOUND;ok"]


def test_a_store_that_is_not_there(client):
    assert client.results("open=nowhere/-/load", at="/off") == ["no such store"]


def test_rotation_outside_of_a_request(server, client):
    """P33: the old token is dead, the new one opens it."""
    client.results("set=a:1")
    old = client.token
    (said,) = client.results(f"open=-/{old}/rotate;save;token", at="/off")
    new = said.split(";")[2]
    server.confidential.token(new)
    assert new != old and len(new) == len(old)
    assert client.results("get=a") == ["-"]
    client.jar["bsession"] = new
    assert client.results("get=a") == ["=1"]


def test_the_end_of_a_connection(server, client):
    """P43: when there is no request any more."""
    client.results("set=a:1")
    client.results(f"closing=-/{client.token}/get=a;set=a:2", at="/off")
    assert "=1;ok;ok" in server.logged("probe at close")
    assert client.results("get=a") == ["=2"]


# ---- facts

def test_facts(client):
    """P32: created, modified, missing, regenerated, deleted."""
    assert client.results("facts", "set=a:1", "facts", "save", "facts") == \
        ["", "ok", "changed", "ok", "created+changed"]
    assert client.results("facts", "get=a", "facts") == ["", "=1", ""]
    assert client.results("set=a:1", "facts") == ["ok", ""]         # it had that value
    assert client.results("rotate", "facts", "save", "facts") == ["ok", "rotated", "ok", "rotated"]
    assert client.results("destroy", "facts", "set=a:1", "facts") == \
        ["ok", "destroyed", "ok", "changed+destroyed"]
    client.jar["bsession"] = "A" * 43
    assert client.results("facts") == ["missing"]


def test_a_token_that_a_login_replaced(server, client):
    """P32: it is not missing, and what is changed under it is dropped."""
    client.results("set=a:1")
    old = client.twin()
    client.results("rotate")
    before = server.log().count("told: expired")
    assert old.results("load", "facts", "set=a:2", "save", "facts") == \
        ["NOTFOUND", "replaced", "ok", "EGONE", "replaced"]
    assert server.log().count("told: expired") == before
    assert client.results("get=a", "facts") == ["=1", ""]


def test_the_token_is_what_the_cookie_holds(server, client):
    """P32"""
    assert client.results("token", "set=a:1", "token", "save") == ["-", "ok", "-", "ok"]
    assert client.results("token") == [client.token]
    assert client.results("token", at="/guarded") == [client.token]


# ---- hooks

def test_what_happens_to_a_session_is_told(server, client):
    """P32: created, rotated and destroyed, once each, when it is done."""
    client.results("set=a:1")
    (tag,) = client.results("tag")
    assert told(server, tag) == ["created"]
    client.results("set=b:1", "get=a")
    assert told(server, tag) == ["created"]
    client.results("rotate")
    assert told(server, tag) == ["created", "rotated"]
    before = server.log().count("told: destroyed - /probe")
    client.results("destroy")
    assert server.log().count("told: destroyed - /probe") == before + 1


def test_a_missing_session_is_told(server, client):
    """P32: a token comes, and its session is no more; without a token nothing is missing."""
    before = server.log().count("told: expired - /probe")
    client.results("get=a")
    client.jar["bsession"] = "A" * 43
    client.results("of")                # nobody asked
    assert server.log().count("told: expired - /probe") == before
    client.results("get=a", "get=b", "set=a:1")
    assert server.log().count("told: expired - /probe") == before + 1


def test_outside_of_a_request_it_is_told_without_one(server, client):
    client.results("open=-/-/set=a:1", at="/off")
    assert " outside" in server.logged("told: created")


def test_who_is_told_may_change_the_session(client):
    """What a listener sets is saved with this request, at its end at the latest."""
    client.results("set=a:1", headers={"Probe-created": "set=b:2&get=a"})
    wait_until(lambda: client.results("get=a", "get=b") == ["=1", "=2"], "the listener's change")
    client.results("rotate", headers={"Probe-rotated": "rotate&incr=c:1"})
    wait_until(lambda: client.results("get=c") == ["=1"], "the listener's change")
    client.results("destroy", headers={"Probe-destroyed": "set=d:1"})
    assert client.results("get=a", "get=d") == ["-", "=1"]


def test_saving_is_told_behind_an_error_document(start):
    """What a listener adds there is saved, and its cookie goes out, whoever answers."""
    server = start("BSession On\nBSessionCookie bsession Secure=Off\nErrorDocument 404 /probe?get=a\n")
    client = server.client()
    answer = client.get("/nothing.html", headers={"Probe-saving": "set=a:1"})
    assert answer.status == 404 and len(answer.cookies) == 1
    assert client.results("get=a") == ["=1"]


def test_who_is_told_of_a_save_may_refuse_the_answer(client):
    """It is one 503, whatever the place says of outages."""
    answer = client.probe("set=a:1", headers={"Probe-Refuses": "1"})
    assert answer.status == 503 and int(answer.header("Retry-After")) >= 1
    assert "set ok" not in answer.text and answer.cookies == []
    assert client.results("get=a") == ["-"]


# ---- older headers

def test_a_module_built_against_an_older_header(start, tmp_path):
    """Version 1 of the header, as it was: its members are where they were. And one that was built
    against a later header than this gets NULL, not a crash."""
    source = TOP / "tests" / "http" / "api_1"
    work = tmp_path / "api_1"
    shutil.copytree(source, work)
    subprocess.run([shutil.which("apxs") or shutil.which("apxs2"), "-Wc,-Wall", "-Wc,-Werror", "-I", str(work),
                    "-c", "mod_old.c"], cwd=work, check=True, capture_output=True)
    server = start(f"LoadModule old_module {pathlib.Path(work, '.libs', 'mod_old.so')}\n" + on() +
                   "<Location /old>\nSetHandler bsession-old\n</Location>\n")
    client = server.client()
    assert client.get("/old").text == "version 1: - set; of the future: none\n"
    assert client.get("/old").text == "version 1: old there; of the future: none\n"
    assert client.results("get=by", "is_new") == ["=old", "no"]
