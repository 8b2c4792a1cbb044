"""Require bsession."""

import pytest

from httpd import on


def prepare(server):
    for name in ("any", "key", "value", "all", "none", "either", "off", "notoff", "list/guarded"):
        server.document(f"{name}/index.html", f"inside {name}\n")


@pytest.fixture(scope="module")
def server(start):
    return start(on() + """
<Location "/any">
    Require bsession
</Location>
<Location "/key">
    Require bsession user
</Location>
<Location "/value">
    Require bsession role admin "chief editor"
</Location>
<Location "/all">
    <RequireAll>
        Require bsession user
        Require bsession role admin
    </RequireAll>
</Location>
<Location "/none">
    <RequireAll>
        Require all granted
        <RequireNone>
            Require bsession banned
        </RequireNone>
    </RequireAll>
</Location>
<Location "/either">
    <RequireAny>
        Require ip 192.0.2.1
        Require bsession user
    </RequireAny>
</Location>
<Location "/off">
    BSession Off
    Require bsession
</Location>
<Location "/notoff">
    BSession Off
    <RequireAll>
        Require all granted
        Require not bsession banned
    </RequireAll>
</Location>
<Location "/list">
    Options +Indexes
    DirectoryIndex disabled
    IndexOptions ShowForbidden
</Location>
<Location "/list/guarded">
    Require bsession user
</Location>
""", mods=["authz_host", "autoindex"], prepare=prepare)


@pytest.fixture
def denials(server):
    server.expect("AH01630: client denied by server configuration")


def status(client, *paths):
    return [client.get(f"/{path}/").status for path in paths]


def test_strangers(denials, client):
    """No session is DENIED: 403, and never 401 or 500."""
    assert status(client, "any", "key", "value", "all", "none", "either") == [403, 403, 403, 403, 200, 403]
    assert client.jar == {}


def test_a_session_without_the_key(denials, client):
    client.results("set=x:1")
    assert status(client, "any", "key", "value") == [200, 403, 403]


def test_the_key(denials, client):
    client.results("set=user:ann")
    assert status(client, "any", "key", "value", "all", "either") == [200, 200, 403, 403, 200]


def test_its_values(denials, client):
    client.results("set=role:editor")
    assert status(client, "value") == [403]
    client.results("set=role:chief%20editor")
    assert status(client, "value") == [200]
    client.results("set=role:admin", "set=user:ann")
    assert status(client, "value", "all") == [200, 200]
    client.results("set=role:Admin")
    assert status(client, "value") == [403]


def test_require_none(denials, client):
    client.results("set=banned:1")
    assert status(client, "none") == [403]


def test_after_destroy(denials, client):
    client.results("set=user:ann")
    old = client.twin()
    client.probe("destroy")
    assert status(old, "key", "any") == [403, 403]


def test_where_sessions_are_off(server, client):
    """Neither yes nor no: as DENIED it would open a `Require not`."""
    server.expect("bsession:error.*BSession is Off")
    client.results("set=user:ann", "set=banned:1")
    assert status(client, "off", "notoff") == [500, 500]
    assert status(server.client(), "off", "notoff") == [500, 500]


def test_a_listing_that_looks_into_a_guarded_directory(denials, server, client):
    """The look-up asked for a session, so the listing is for one visitor; it is there for all."""
    client.results("set=user:ann")
    for visitor in (client, server.client()):
        answer = visitor.get("/list/")
        assert answer.status == 200 and "guarded/" in answer.text
        assert answer.header("Cache-Control") == "private"


def test_private_always(denials, client):
    """Where `Require bsession` decided, whatever the response says (HTTPD.md)."""
    client.results("set=user:ann")
    assert "private" in client.get("/key/").header("Cache-Control")
    assert "private" in client.get("/any/").header("Cache-Control")
