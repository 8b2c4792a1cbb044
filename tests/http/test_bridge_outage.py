"""mod_session_bsession where the store fails: nothing is lost silently, and a login or logout that was lost
never looks like one that was not."""

import pytest

from bridged import MODS, OUT, USER, has, log_in, refused
from doubles import Fault
from httpd import on


def prepare(server):
    server.fault = Fault(server.writable / "fault")


@pytest.fixture(scope="module")
def server(start):
    return start("BSessionStore default fault:memory: control={w}/fault size=8M timeout=400ms breaker=off\n"
                 + on("Session On", "BSessionOnOutage deny") + """
<Location /anonymous>
    SetHandler bsession-probe
    BSessionOnOutage anonymous
</Location>
<Location /stay>
    SetHandler bsession-probe
    SessionMaxAge 100
</Location>
""", mods=MODS, prepare=prepare)


@pytest.fixture
def fault(server):
    server.expect(r"\[bsession:(error|warn|notice|info)")
    yield server.fault
    server.fault.clear()


def test_what_a_request_costs(fault, client):
    def cost(*calls, **more):
        before = [fault.calls(v) for v in Fault.VERBS]
        client.probe(*calls, **more)
        return {v: now - was for v, was, now in
                zip(Fault.VERBS, before, [fault.calls(v) for v in Fault.VERBS]) if now != was}
    for at in "/probe", "/stay":
        client.jar.clear()
        assert cost("sget=a", at=at) == {}
        assert cost("sset=a:1", at=at) == {"create": 1}
        assert cost("sset=a:2", at=at) == {"load": 1, "merge": 1}
        assert cost("sset=here-user:ann", at=at) == {"load": 1, "replace": 1}
    assert cost("sget=a") == {"load": 1}


@pytest.mark.parametrize("calls", [["sget=a"], ["sset=a:2"], ["return=401"], ["redirect=/"]])
def test_an_outage_is_a_503(fault, client, calls):
    client.results("sset=a:1")
    fault.set("fail", "load")
    assert refused(client.probe(*calls))
    fault.clear()
    assert has(client, "a") == ["=1"]


def test_a_save_that_fails_is_a_503(fault, client):
    client.results("sset=a:1")
    fault.set("fail", "merge")
    assert refused(client.probe("sset=a:2"))
    fault.clear()
    assert has(client, "a") == ["=1"]


def test_anonymous_goes_on_without(fault, client):
    client.results("sset=a:1")
    fault.set("fail")
    answer = client.probe("sget=a", "sset=a:2", at="/anonymous")
    assert answer.status == 200 and answer.results[0] == "-" and answer.cookies == []
    fault.clear()
    assert has(client, "a") == ["=1"]


@pytest.mark.parametrize("verbs", [["load"], ["replace", "create"]])
@pytest.mark.parametrize("at", ["/probe", "/anonymous"])
def test_a_lost_login_does_not_look_like_one(fault, client, at, verbs):
    client.results("sset=a:1")
    fault.set("fail", *verbs)
    assert refused(log_in(client, "redirect=/", at=at))
    fault.clear()
    assert has(client, "a", USER) == ["=1", "-"]
    log_in(client, "redirect=/", at=at)
    assert has(client, "a", USER) == ["=1", "=ann"]


def test_a_lost_first_login(fault, client):
    fault.set("fail")
    assert refused(log_in(client, "redirect=/", at="/anonymous"))


@pytest.mark.parametrize("kept,verb", [("sget=a", "remove"), ("set=own:1", "replace"), ("sget=a", "load")])
@pytest.mark.parametrize("at", ["/probe", "/anonymous"])
def test_a_lost_logout_does_not_look_like_one(fault, client, at, kept, verb):
    log_in(client, kept)
    fault.set("fail", verb)
    assert refused(client.probe(*OUT, "redirect=/", at=at))
    fault.clear()
    assert has(client, USER) == ["=ann"]
    assert client.probe(*OUT, "redirect=/", at=at).status == 302
    assert has(client, USER) == ["-"]
