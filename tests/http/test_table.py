"""The session table through the C API (mod_bsession.h), as a third party's module sees it."""

import re
from urllib.parse import unquote

import pytest

from client import quote
from doubles import Gate, wait_until
from httpd import on


@pytest.fixture(scope="module")
def server(start):
    return start(on("BSessionLimit size=1K keys=5") + """
{store}
BSessionStore small memory: size=1M
<Location /small>
    SetHandler bsession-probe
    BSessionUse small
    BSessionLimit size=2M keys=1000
</Location>
<Location /large>
    SetHandler bsession-probe
    BSessionLimit size=2M keys=1000
</Location>
<Location /readonly>
    SetHandler bsession-probe
    BSession ReadOnly
</Location>
<Location /off>
    SetHandler bsession-probe
    BSession Off
</Location>
""")


def test_what_is_set_is_there_in_the_next_request(client):
    """P01 P10 P30: the default store without any options keeps a key."""
    assert client.results("get=color", "set=color:red", "get=color") == ["-", "ok", "=red"]
    assert client.results("get=color", "has=color", "count") == ["=red", "yes", "1"]


def test_a_missing_key_is_no_error(client):
    """P30: get with a default, has, pop, unset of what is not there."""
    assert client.results("get=a", "getn=a", "has=a", "pop=a", "count", "each") == \
        ["-", "-", "no", "-", "0", ""]
    assert client.jar == {}


def test_every_call(client):
    """P30: set, delete, has, pop, add, clear, length, iterate."""
    assert client.results("set=a:1", "set=b:2", "add=a:9", "add=c:3", "count") == \
        ["ok", "ok", "EEXIST", "ok", "3"]
    (listed,) = client.results("each")
    assert sorted(listed.split("&")) == ["a=1", "b=2", "c=3"]
    assert client.results("pop=a", "has=a", "unset=b", "count") == ["=1", "no", "ok", "1"]
    assert client.results("each") == ["c=3"]
    assert client.results("clear", "count", "get=c") == ["ok", "0", "-"]


def test_clear_keeps_the_session(client):
    client.results("set=a:1")
    before = client.results("tag", "created")
    assert client.results("clear") == ["ok"]
    assert client.results("tag", "created", "count", "is_new") == before + ["0", "no"]


def test_the_empty_value_is_a_value(client):
    assert client.results("set=a:", "get=a", "has=a") == ["ok", "=", "yes"]
    assert client.results("get=a", "has=a", "count", "pop=a", "has=a") == ["=", "yes", "1", "=", "no"]


@pytest.mark.parametrize("value", [b"\0", b"a\0b", bytes(range(256)), b"\xff\xfe", "žluť".encode()])
def test_values_survive_byte_for_byte(client, value):
    """P42"""
    assert client.results("setn=v:" + "".join("%%%02x" % b for b in value)) == ["ok"]
    assert client.results("getn=v") == ["=" + value.hex()]


def test_setting_the_value_it_has_is_no_change(client):
    """P24: and so writes nothing; the counters of fault: show it in test_outage."""
    client.results("set=a:1")
    answer = client.probe("set=a:1")
    assert answer.results == ["ok"] and answer.cookies == []


@pytest.mark.parametrize("key", ["", "a" * 129, "_bs", "_bsx", "a%0ab", "a%7fb", "a%ffb", "a%c0%80b"])
def test_keys_that_are_none(client, key):
    assert client.results(f"set={key}:1", f"add={key}:1", f"incr={key}:1", "count") == \
        ["EINVAL", "EINVAL", "EINVAL", "0"]
    assert client.jar == {}


@pytest.mark.parametrize("key", ["a", "a" * 128, quote("klíč"), "a.b", "A", "_b", "a%20b"])
def test_keys_that_are_some(client, key):
    assert client.results(f"set={key}:1") == ["ok"]
    assert client.results(f"get={key}") == ["=1"]


def test_keys_are_case_sensitive(client):
    client.results("set=a:1", "set=A:2")
    assert client.results("get=a", "get=A") == ["=1", "=2"]


@pytest.mark.parametrize("text", ["007", "%2b5", "%205", "-0", "", "1x", "9223372036854775808", "0x1", "--1"])
def test_incr_of_no_number_changes_nothing(client, text):
    """A number is the same on every store (BACKENDS.md)."""
    client.results(f"set=n:{text}")
    assert client.results("getn=n", "incr=n:1", "getn=n") == \
        ["=" + unquote(text).encode().hex(), "EINVAL", "=" + unquote(text).encode().hex()]


def test_incr(client):
    assert client.results("incr=n:5", "incr=n:-7", "get=n") == ["=5", "=-2", "=-2"]
    assert client.results("incr=n:2", "set=big:9223372036854775807", "incr=big:1") == \
        ["=0", "ok", "EINVAL"]
    assert client.results("get=n", "get=big") == ["=0", "=9223372036854775807"]


def test_changes_apply_in_their_order(client):
    client.results("set=a:1", "set=n:5")
    assert client.results("incr=n:1", "set=n:10", "incr=n:1", "unset=a", "add=a:2", "clear", "set=z:1",
                          "incr=n:3") == ["=6", "ok", "=11", "ok", "ok", "ok", "ok", "=3"]
    (listed,) = client.results("each")
    assert sorted(listed.split("&")) == ["n=3", "z=1"]


def test_over_the_limit_nothing_changes(client):
    """A write over the limit is refused with a clear error; what was stored stays."""
    client.results("set=a:1")
    assert client.results("big=b:2000", "has=b", "big=b:900", "big=a:200", "get=a") == \
        ["ENOSPC", "no", "ok", "ENOSPC", "=1"]
    assert client.results("set=c:1", "set=d:1", "set=e:1", "set=f:1", "count") == \
        ["ok", "ok", "ok", "ENOSPC", "5"]
    assert client.results("count", "get=a") == ["5", "=1"]


@pytest.mark.parametrize("mine, theirs", [(["big=b:600"], ["big=c:600"]),
                                          (["set=b:1", "set=c:1"], ["set=d:1", "set=e:1", "set=f:1"])],
                         ids=["size", "keys"])
def test_two_requests_that_together_exceed(server, client, mine, theirs):
    """Each alone is within the limit. The later one's changes are dropped, its login with them, and its answer
    is not changed."""
    client.results("set=a:1")
    gate, twin, token = Gate(server), client.twin(), client.token
    server.expect("bsession:warn.*over BSessionLimit")
    before = server.log().count("over BSessionLimit")
    with gate.passing(twin, *mine, "rotate", gate.call):
        assert client.results(*theirs) == ["ok"] * len(theirs)
    assert gate.answer.status == 200 and gate.answer.cookies == []
    assert server.log().count("over BSessionLimit") == before + 1
    assert client.token == token
    assert client.results("has=b", "get=a", "count") == ["no", "=1", str(1 + len(theirs))]


def test_a_full_session_can_log_in(client):
    client.results("set=a:1", "set=b:1", "set=c:1", "set=d:1", "set=user:none")
    old = client.token
    assert client.results("rotate", "set=user:ann", "set=more:1") == ["ok", "ok", "ENOSPC"]
    assert client.token != old and client.results("get=user", "count") == ["=ann", "5"]


def test_a_large_value(client):
    assert client.results("big=b:100000", at="/large") == ["ok"]
    assert client.results("get=b", at="/large") == ["=" + "b" * 100000]


def test_larger_than_the_store_takes(server, client):
    """Section 10: changes dropped with one log line; what was stored stays; the response is not
    changed."""
    client.results("set=a:1", at="/small")
    server.expect("bsession:warn.*larger than the store takes")
    assert client.results("set=a:2", "big=b:1900000", at="/small") == ["ok", "ok"]
    assert client.results("get=a", "has=b", at="/small") == ["=1", "no"]


def test_many_keys(client):
    calls = [f"set=k{i}:{i}" for i in range(300)]
    assert client.results(*calls, at="/large") == ["ok"] * 300
    assert client.results("count", "get=k299", "get=k0", at="/large") == ["300", "=299", "=0"]


def test_read_only(client):
    """`BSession ReadOnly`: changes are refused, and reads are not."""
    client.results("set=a:1")
    assert client.results("get=a", "set=a:2", "add=b:1", "unset=a", "clear", "incr=n:1", "pop=a",
                          "rotate", "destroy", "get=a", at="/readonly") == \
        ["=1", "EACCES", "EACCES", "EACCES", "EACCES", "EACCES", "-", "EACCES", "EACCES", "=1"]
    assert client.results("get=a") == ["=1"]


def test_off(client):
    client.results("set=a:1")
    assert client.results("of", "get=a", at="/off") == ["off", "off"]


def test_facts(client):
    """P32: created, missing, new are facts one can ask for."""
    assert client.results("load", "is_new", "created", "expires", "tag") == \
        ["NOTFOUND", "yes", "0", "0", "-"]
    client.results("set=a:1")
    status, new, created, expires, tag = client.results("load", "is_new", "created", "expires", "tag")
    assert (status, new) == ("ok", "no")
    assert re.fullmatch("[0-9a-f]{12}", tag)
    assert 0 < int(created) < int(expires) <= int(created) + 310 * 10**6
    assert client.results("created", "tag") == [created, tag]


def test_who_only_reads_gets_nothing(client):
    """P26 P31: no cookie, no record."""
    answer = client.probe("get=a", "has=b", "count", "load", "each")
    assert answer.cookies == [] and client.jar == {}


def test_rotate_keeps_the_data_and_kills_the_token(client):
    """P33: also where nothing was loaded before."""
    client.results("set=a:1")
    old, tag = client.twin(), client.results("tag")
    answer = client.probe("rotate")
    assert answer.results == ["ok"] and len(answer.cookies) == 1
    assert client.token != old.token
    assert client.results("get=a", "tag") == ["=1"] + tag
    assert old.results("get=a", "load") == ["-", "NOTFOUND"]


def test_rotate_before_a_redirect(client):
    """P33 P36"""
    client.results("set=a:1")
    old = client.token
    answer = client.probe("rotate", "set=user:ann", "redirect=/elsewhere")
    assert answer.status == 302 and len(answer.cookies) == 1
    assert client.token != old
    assert client.results("get=a", "get=user") == ["=1", "=ann"]


def test_rotate_without_a_session(client):
    answer = client.probe("rotate")
    assert answer.results[0] in ("ok", "NOTFOUND")
    assert client.results("set=a:1", "rotate") == ["ok", "ok"]
    assert client.results("get=a") == ["=1"]


def test_destroy(client):
    """P34: gone from the store at once, cookie expired; the old cookie cannot revive it."""
    client.results("set=a:1")
    old = client.twin()
    answer = client.probe("destroy", "get=a", "count", "load")
    assert answer.results == ["ok", "-", "0", "NOTFOUND"]
    assert len(answer.cookies) == 1 and "Max-Age=0" in answer.cookies[0]
    assert client.jar == {}
    assert old.results("get=a") == ["-"]
    old_token = old.token
    assert old.results("set=a:2") == ["ok"]
    assert old.token != old_token


def test_destroy_with_a_retired_token(client):
    """Of a request that was under way when the visitor logged in: neither the new session nor the
    cookie is its to end."""
    client.results("set=a:1")
    old = client.twin()
    client.probe("rotate")
    jar = dict(old.jar)
    answer = old.probe("destroy", "get=a")
    assert answer.status == 200 and answer.results == ["EGONE", "-"]
    assert answer.cookies == [] and old.jar == jar
    assert client.results("get=a") == ["=1"]


def test_destroy_takes_effect_before_the_answer(server, client):
    """P34: the record is gone when the call returns."""
    client.results("set=a:1")
    gate = Gate(server)
    with gate.passing(client, "destroy", gate.call):
        assert client.twin().results("get=a") == ["-"]


def test_a_set_after_destroy_starts_a_fresh_session(client):
    client.results("set=a:1")
    old, tag = client.token, client.results("tag")
    answer = client.probe("destroy", "set=b:2")
    assert len(answer.cookies) == 1 and client.token not in (None, old)
    assert client.results("get=a", "get=b") == ["-", "=2"]
    assert client.results("tag") != tag


def test_save_now(server, client):
    """P35: for those who will work long before answering."""
    client.results("set=a:1")
    gate = Gate(server)
    with gate.passing(client, "set=a:2", "save", gate.call):
        assert client.twin().results("get=a") == ["=2"]
    assert client.results("get=a") == ["=2"]


def test_without_save_nobody_sees_it_before_the_answer(server, client):
    client.results("set=a:1")
    gate = Gate(server)
    with gate.passing(client, "set=a:2", gate.call):
        assert client.twin().results("get=a") == ["=1"]
    assert client.results("get=a") == ["=2"]


def test_save_and_touch_without_a_record(client):
    assert client.results("touch") == ["NOTFOUND"]
    assert client.results("save")[0] in ("ok", "NOTFOUND")
    assert client.jar == {}


def test_late_changes_are_saved(client):
    """Section 3, 6 and 7: once headers have left, what needs a cookie is refused, the rest works."""
    client.results("set=a:1")
    assert client.results("flush", "set=b:2", "incr=n:1", "unset=a", "rotate") == \
        ["done", "ok", "=1", "ok", "ELATE"]
    # when the request ends, which is after its answer
    wait_until(lambda: client.results("get=a", "get=b", "get=n") == ["-", "=2", "=1"], "the changes to be saved")


def test_late_creation_is_refused(client):
    answer = client.probe("flush", "set=a:1", "get=a")
    assert answer.results == ["done", "ELATE", "-"]
    assert answer.cookies == [] and client.jar == {}


def test_late_destroy(client):
    client.results("set=a:1")
    assert client.results("flush", "destroy", "set=b:1") == ["done", "ok", "ELATE"]
    assert client.results("load") == ["NOTFOUND"]


def test_changes_in_the_log_transaction_hook(server, client):
    """P43: the API works in any hook, at the end of the request too."""
    client.results("set=a:1")
    assert client.probe("late.set=a:2", "late.incr=n:1", "late.rotate").status == 200
    assert server.logged("late set ok") and server.logged("late incr =1")
    assert server.logged("late rotate ELATE")
    wait_until(lambda: client.results("get=a", "get=n") == ["=2", "=1"], "the save after the answer")


def test_a_visit_counter(server):
    """P47: 1, 2, 3 with the cookie, 1 without."""
    one, other = server.client(), server.client()
    assert [one.results("incr=visits:1")[0] for _ in range(3)] == ["=1", "=2", "=3"]
    assert other.results("incr=visits:1") == ["=1"]
    other.jar.clear()
    assert other.results("incr=visits:1") == ["=1"]
