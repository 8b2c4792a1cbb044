"""Whose a session is: BSessionUser, set_user and BSession-User; a user's sessions, listed, limited and
ended."""

import os
import re
from urllib.parse import unquote_plus

import pytest

from client import quote
from doubles import Gate, wait_until
from httpd import on
from test_races import both

CGI = r"""
import os, sys, urllib.parse
lines = urllib.parse.unquote(os.environ["QUERY_STRING"]).split("|")
sys.stdout.write("Content-Type: text/plain\n" + "".join(line + "\n" for line in lines if line) + "\n")
sys.stdout.write("".join(f"{k}={v}\n" for k, v in sorted(os.environ.items())))
"""
MANY = r"session (new|[0-9a-f]{12}): its user has as many sessions as BSessionUser max= allows; this " \
       r"request's changes are dropped, what was stored stays"


def prepare(server):
    server.script("wb", CGI, "/usr/bin/python3")


@pytest.fixture(scope="module", params=["plain", "sealed"])
def server(request, start, backend):
    vhost = """
<VirtualHost *:{port}>
    ServerName %s
    <Location /probe>
        SetHandler bsession-probe
    </Location>
</VirtualHost>
"""
    secret = {"plain": "", "sealed": "BSessionSecret " + "owner" * 8 + "\n"}[request.param]
    return start(secret + on("BSessionUser user", "BSessionWriteBack On", "BSessionEnv All", "BSessionHeader All") + f"""
ProxyPass /app http://127.0.0.1:{backend.port}/app
<Location "/probe/deny">
    BSessionUser user max=2 deny
</Location>
<Location "/probe/evict">
    BSessionUser user max=2 evict
</Location>
<Location "/probe/single">
    BSessionUser user max=1 deny
</Location>
<Location "/probe/none">
    BSessionUser Off
</Location>
<Location "/probe/readonly">
    BSession ReadOnly
</Location>
""" + vhost % "example.org" + vhost % "a.example" + vhost % "b.example", mods=["proxy", "proxy_http"],
                 prepare=prepare)


def login(server, name, *calls, at="/probe", host=None):
    c = server.client(host=host)
    assert c.results(f"set=user:{name}", *calls, at=at)[0] == "ok"
    return c


def tag(client):
    return client.results("tag")[0]


def tags(client, name=""):
    return client.results(f"sessions={name}")[0].split(",")


def is_dead(client):
    return client.results("load") == ["NOTFOUND"]


# ---- who it is ----


def test_a_key_names_the_owner_and_a_login_rotates(client):
    client.results("set=cart:1")
    before = client.twin()
    answer = client.probe("set=user:ann", "user", "facts")
    assert answer.results[:2] == ["ok", "=ann"] and "rotated" in answer.results[2]
    assert len(answer.cookies) == 1 and client.token != before.token
    assert client.results("user", "get=cart") == ["=ann", "=1"]
    assert before.results("load", "user") == ["NOTFOUND", "-"]


@pytest.mark.parametrize("call", ["unset=user", "clear", "set=user:", "set=user:bob", "set_user", "set_user=bob"])
def test_another_owner_or_none_rotates_too(server, call):
    client = login(server, "ann")
    before = client.twin()
    assert client.results(call) == ["ok"]
    assert client.results("user") == ["=bob" if "bob" in call else "-"]
    assert is_dead(before)
    assert client.results("load") == ["ok"]


def test_the_same_again_changes_nothing(server):
    client = login(server, "ann")
    token = client.token
    answer = client.probe("set=user:ann", "set_user=ann", "set=a:1")
    assert answer.results == ["ok"] * 3 and answer.cookies == [] and client.token == token


def test_set_user_needs_no_key(client):
    assert client.results("set_user=alone", "user", at="/probe/none") == ["ok", "=alone"]
    assert client.results("user", "count", "sessions", at="/probe/none") == ["=alone", "0", tag(client) + "*"]
    assert client.results("set=user:bob", at="/probe/none") == ["ok"]
    assert client.results("user", at="/probe/none") == ["=alone"]


def test_any_name_that_is_one(client):
    names = ["a", "ä ö&,=%+;\"'", "x" * 255, "€" * 85]
    for name in names:
        assert client.results("set_user=" + quote(name)) == ["ok"]
        assert unquote_plus(client.results("user")[0]) == "=" + name
    for name in ["x" * 256, "a\nb", "a\x7f", "a\x01b"]:
        assert client.results("set_user=" + quote(name), "set=user:" + quote(name)) == ["EINVAL"] * 2
    assert client.results("set=user:%FF", "set_user=%FF", "setn=user:%00") == ["EINVAL"] * 3
    assert unquote_plus(client.results("user")[0]) == "=" + names[-1]


def test_the_environment_and_the_headers(server, client, backend):
    seen = client.get("/cgi/wb?" + quote("BSession-Set: user=ann%20b")).text
    assert "BS_USER" not in seen and "HTTP_BSESSION_USER" not in seen
    seen = client.get("/cgi/wb", headers={"BSession-User": "admin"}).text
    assert "\nBS_USER=ann b\n" in seen and "\nHTTP_BSESSION_USER=ann%20b\n" in seen
    assert "\nBSession-User: ann%20b\r\n" in client.get("/app").body.decode()
    assert "BS_USER" not in server.client().get("/cgi/wb", headers={"BSession-User": "admin"}).text


@pytest.mark.parametrize("line, owner", [
    ("BSession-User: ann", "=ann"), ("BSession-User: a%2cb%26", "=a%2cb%26"), ("BSession-User: a+b", "=a%20b"),
    ("BSession-Set: user=ann|BSession-User: bob", "=bob")])
def test_write_back(client, line, owner):
    client.results("set=a:1")
    before = client.twin()
    assert len(client.get("/cgi/wb?" + quote(line)).cookies) == 1
    assert client.results("user")[0].lower().replace("+", "%20") == owner
    assert is_dead(before)
    assert len(client.get("/cgi/wb?" + quote("BSession-User:")).cookies) == 1
    assert client.results("user") == ["-"]


@pytest.mark.parametrize("line, why", [
    ("BSession-User: ann, bob", "a BSession-User header is dropped: expected one name"),
    ("BSession-User: a&b", "a BSession-User header is dropped: expected one name"),
    ("BSession-User: a%", "a BSession-User header is dropped: a name is urlencoded"),
    ("BSession-User: a%00b", "a BSession-User header is dropped: a name is urlencoded"),
    ("BSession-Set: user=a%0Ab", 'BSession-Set of "user" was not done: it names the owner (BSessionUser)'),
    ("BSession-User: a%0Ab", 'BSession-User of "a name" was not done: a name is 1 to 255 bytes'),
    ("BSession-User: " + "x" * 256, 'BSession-User of "a name" was not done: a name is 1 to 255 bytes')])
def test_write_back_of_what_is_no_name(server, client, line, why):
    client.results("set=a:1")
    server.expect(re.escape(why))
    assert client.get("/cgi/wb?" + quote(line)).status == 200
    assert client.results("user") == ["-"]


def test_too_late(server):
    """Once headers have left: neither the key nor the owner changes; other keys do, and destroy works."""
    client = login(server, "ann")
    token = client.token
    client.probe("late.set=user:bob", "late.set_user=bob", "late.unset=user", "late.clear", "late.incr=user:1",
                 "late.set=a:1", "late.set_user=ann")
    for call in ["set", "set_user", "unset", "clear", "incr"]:
        assert server.logged(f"late {call} ELATE"), call
    wait_until(lambda: client.results("get=a") == ["=1"], "the save after the answer")
    assert client.results("user", "get=user") == ["=ann", "=ann"] and client.token == token


# ---- all of them ----


def test_the_list(server):
    """The latest login first; each knows itself; nobody else's are there."""
    clients = [login(server, "list") for _ in range(3)]
    other = login(server, "listed")
    expected = [tag(c) for c in reversed(clients)]
    for c in clients:
        assert tags(c) == [t + "*" if t == tag(c) else t for t in expected]
    assert tags(other, "list") == expected
    assert tags(other) == [tag(other) + "*"]
    assert server.client().results("sessions=nobody", "sessions") == ["-", "NOTFOUND"]
    clients[0].probe("destroy")
    clients[1].probe("unset=user")
    assert tags(other, "list") == expected[:1]


def test_revoke_one(server):
    mine, lost, other = login(server, "one"), login(server, "one"), login(server, "annie")
    gate = Gate(server)
    with gate.passing(lost.twin(), "get=user", gate.call, "set=a:1", "save"):
        assert mine.results(f"revoke=:{tag(lost)}") == ["ok"]
    assert gate.answer.results[-1] == "EGONE" and gate.answer.cookies == []
    assert is_dead(lost) and tags(mine) == [tag(mine) + "*"]
    assert mine.results(f"revoke=:{tag(other)}", "revoke=:abc", "revoke=:ABCDEF012345") \
        == ["NOTFOUND", "EINVAL", "EINVAL"]
    assert other.results("user") == ["=annie"]
    answer = mine.probe(f"revoke=:{tag(mine)}", "load")
    assert answer.results == ["ok", "NOTFOUND"] and "Max-Age=0" in answer.cookies[0]


def test_revoke_all_others_while_they_are_in_use(server):
    """ "Log out everywhere else": what they were about to save is not saved."""
    mine = login(server, "others")
    others = [login(server, "others") for _ in range(4)]
    stranger = login(server, "stranger")
    gate = Gate(server)
    with gate.passing(others[0].twin(), "incr=n:1", gate.call, "set=a:1", "save"):
        assert mine.results("revoke_others") == ["ok"]
    assert gate.answer.results[-1] == "EGONE"
    assert all(is_dead(c) for c in others)
    assert mine.results("user") == ["=others"] and stranger.results("user") == ["=stranger"]
    assert tags(mine) == [tag(mine) + "*"]
    assert server.client().results("revoke_others") == ["NOTFOUND"]


def test_revoke_all_under_load(server):
    """Writers in all of them, until none has a session: none comes back."""
    clients = [login(server, "load") for _ in range(6)]

    def write(c):
        c.keep = True
        for _ in range(400):
            if c.results("user", "incr=n:1")[0] == "-":
                break
        else:
            assert False, "it was not ended"
        c.close()
        return True
    admin = server.client()
    results = both(lambda: admin.results("revoke_user=load"), *[lambda c=c: write(c) for c in clients])
    assert results[0] == ["ok"]
    assert admin.results("sessions=load") == ["-"]


def test_revoke_one_self(server):
    mine, other = login(server, "self"), login(server, "self")
    answer = mine.probe("revoke_user", "load", "set=a:1")
    assert answer.results == ["ok", "NOTFOUND", "ok"] and len(answer.cookies) == 1
    assert mine.results("user", "get=a") == ["-", "=1"] and is_dead(other)


def test_read_only(server):
    mine = login(server, "ro")
    assert mine.results("user", "set_user=bob", "revoke_others", "revoke_user=ro", "sessions",
                        f"revoke=:{tag(mine)}", at="/probe/readonly") \
        == ["=ro", "EACCES", "EACCES", "EACCES", tag(mine) + "*", "EACCES"]


def test_realms_do_not_meet(server):
    a, b = login(server, "same", host="a.example"), login(server, "same", host="b.example")
    assert tags(a) == [tag(a) + "*"] and tags(b) == [tag(b) + "*"]
    assert b.results(f"revoke=same:{tag(a)}") == ["NOTFOUND"]
    assert b.results("revoke_others", "revoke_user=same") == ["ok", "ok"]
    assert is_dead(b) and a.results("user") == ["=same"]


def test_nor_do_their_lists(server):
    """One place in each, and neither makes room in the other's: that begins with looking at all that are listed."""
    a, b = login(server, "both", at="/probe/single", host="a.example"), server.client(host="b.example")
    for _ in range(2):
        assert b.results("set=user:both", at="/probe/single") == ["ok"] and len(tags(b, "both")) == 1
        assert tags(a, "both") == [tag(a) + "*"]
        b.results("destroy")


# ---- without a list ----


@pytest.fixture(scope="module", params=["plain", "sealed"])
def kept(request, start):
    """A server whose records are files."""
    secret = {"plain": "", "sealed": "BSessionSecret " + "owner" * 8 + "\n"}[request.param]
    return start(secret + on("BSessionUser user") + "BSessionStore default file:{w}/sessions\n")


def lists(server):
    return list((server.writable / "sessions").glob("*/*/u*"))


def drop(path):
    path.unlink()


def spoil(path):
    times = path.stat()
    path.write_bytes(b"no list")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("harm", [drop, spoil])
@pytest.mark.parametrize("call", ["revoke_user={name}", "revoke={name}:{tag}"])
def test_an_end_needs_no_list(kept, harm, call):
    """A store that can be looked through is, whatever became of the list."""
    name = f"{harm.__name__}-{call[6]}"
    lost, stranger = login(kept, name), login(kept, "stranger")
    for path in lists(kept):
        harm(path)
    assert tags(lost) == ["-"]
    assert kept.client().results(call.format(name=name, tag=tag(lost))) == ["ok"]
    assert is_dead(lost) and stranger.results("user") == ["=stranger"]
    again = login(kept, name)
    assert tags(again) == [tag(again) + "*"]


def test_the_list_returns(start):
    """A session that is used lists itself again, once in a while of its life."""
    server = start(on("BSessionUser user", "BSessionIdleTimeout 2h") + "BSessionStore default file:{w}/sessions\n")
    client = login(server, "back")
    for path in lists(server):
        drop(path)
    assert tags(client) == ["-"]
    assert client.results("rotate", "save") == ["ok"] * 2       # as does one with a new token
    assert tags(client) == [tag(client) + "*"]


# ---- where several places have to do with it ----

@pytest.fixture(scope="module")
def places(start):
    return start("BSessionStore default memory:\n" + on() + """
<Location /named>
    SetHandler bsession-probe
    BSessionUser user max=1 deny
</Location>
<Location /early>
    SetHandler bsession-probe
    BSessionUser user
</Location>
RewriteEngine On
RewriteCond expr "%{BSESSION:user} != 'eve'"
RewriteRule ^/alias$ /early [PT]
""", mods=["rewrite"])


def test_an_expression_that_asked_before(places):
    """At a place that has no such line: the login is one all the same, and its old token dead."""
    client = places.client()
    client.results("set=cart:1")
    before = client.twin()
    assert client.results("set=user:ann", at="/alias") == ["ok"]
    assert client.token != before.token and client.results("user") == ["=ann"]
    assert before.results("load") == ["NOTFOUND"]


def test_an_internal_redirect_to_where_it_is(places):
    client = places.client()
    client.results("set=cart:1")
    before = client.twin()
    assert client.results("get=cart", f"internal={quote('/named?set=user:bob')}") == ["ok"]
    assert client.token != before.token and client.results("user") == ["=bob"]
    assert before.results("load") == ["NOTFOUND"]
    places.expect(MANY)
    other = places.client()
    other.results("get=cart", f"internal={quote('/named?set=user:bob')}")
    assert other.results("load") == ["NOTFOUND"]


def test_what_was_set_where_it_is_not_may_be_no_name(places):
    """Of any length, and bytes: it names nobody, and does no harm."""
    for value in "x" * 256, "y" * 3000, "%01", "%ff":
        client = places.client()
        answer = client.probe(f"set=user:{value}", f"internal={quote('/named?get=user')}")
        assert answer.status == 200
        assert client.results("user", "has=user") == ["-", "yes"]


# ---- where .htaccess says so ----


def test_a_key_that_htaccess_names(start):
    """Each is gone with its request, and the next one's may lie where it was."""
    server = start("BSessionStore default memory:\n<Directory {docs}>\nAllowOverride AuthConfig\nDirectoryIndex file\n"
                   "SetHandler bsession-probe\n</Directory>\n", mods=["dir"])
    server.document("here/file", "x")
    client = server.client(keep=True)
    for key in ["first_key", "another_1"] * 3:
        server.document("here/.htaccess", "BSession On\nBSessionCookie bsession Secure=Off\nBSessionEnv All\n"
                                          f"BSessionUser {key} max=3 evict\n")
        for at, name in ("/here/file", "ann"), ("/here/", "bob"):
            assert client.results(f"set={key}:{name}", "save", "set=a:1", "user", at=at) == ["ok"] * 3 + ["=" + name]
            assert client.results("user", f"unset={key}", "user", at=at) == ["=" + name, "ok", "-"]
    client.close()


# ---- max= ----


def test_deny(server):
    at = "/probe/deny"
    first, second = login(server, "deny", at=at), login(server, "deny", at=at)
    third = server.client()
    server.expect(MANY, MANY)
    assert third.results("set=user:deny", "set=a:1", "save", "user", at=at) == ["ok", "ok", "EMANY", "-"]
    assert third.token is None
    third.results("set=cart:1", at=at)
    token = third.token
    answer = third.probe("set=user:deny", "set=a:1", at=at)     # by the commit
    assert answer.status == 200 and answer.cookies == [] and third.token == token
    assert third.results("user", "get=user", "get=a", "get=cart", at=at) == ["-", "-", "-", "=1"]
    first.probe("destroy", at=at)
    assert third.results("set=user:deny", at=at) == ["ok"]
    assert third.results("user", at=at) == ["=deny"] and second.results("user", at=at) == ["=deny"]
    assert third.results("set_user", "set_user=deny", "rotate", "save", at=at) == ["ok"] * 4


def test_evict(server):
    at = "/probe/evict"
    clients = [login(server, "evict", at=at) for _ in range(4)]
    assert [is_dead(c) for c in clients] == [True, True, False, False]
    assert tags(clients[3]) == [tag(clients[3]) + "*", tag(clients[2])]
    # who logs in once more is the latest
    assert clients[2].results("set_user", "save", "set_user=evict", at=at) == ["ok"] * 3
    login(server, "evict", at=at)
    assert [is_dead(c) for c in clients] == [True, True, False, True]


@pytest.mark.parametrize("at, most", [("/probe/single", 1), ("/probe/deny", 2), ("/probe/evict", 2)])
def test_of_many_logins_at_once(server, at, most):
    """Two do not both take the last place."""
    name = f"race-{at[7:]}"
    clients = [server.client() for _ in range(8)]
    if "evict" not in at:
        server.expect(*[MANY] * (8 - most))
    both(*[lambda c=c: c.probe(f"set=user:{name}", at=at) for c in clients])
    alive = [c for c in clients if c.token and not is_dead(c)]
    assert len(alive) == most
    assert len(tags(server.client(), name)) == most
