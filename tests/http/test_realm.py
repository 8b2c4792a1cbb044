"""A session belongs to the virtual host that made it, or to the realm that several join."""

import pytest

from httpd import on


@pytest.fixture(scope="module")
def server(start):
    vhost = """
<VirtualHost *:{port}>
    ServerName %s
    %s
    <Location /probe>
        SetHandler bsession-probe
    </Location>
</VirtualHost>
"""
    return start(on() + "BSessionStore default memory:\nBSessionStore other memory: size=8M\n"
                 + vhost % ("a.example", "") + vhost % ("b.example", "")
                 + vhost % ("c.example", "BSessionRealm shop") + vhost % ("d.example", "BSessionRealm shop")
                 + vhost % ("e.example", "BSessionRealm shop\n<Location />\nBSessionUse other\n</Location>"))


def with_cookie_of(client, host):
    other = client.twin()
    other.host = host
    return other


def test_unknown_on_another_host(server):
    """Also on one store; and nobody's record is overwritten."""
    a = server.client(host="a.example")
    a.results("set=k:1")
    b = with_cookie_of(a, "b.example")
    assert b.results("get=k", "load") == ["-", "NOTFOUND"]
    assert b.results("set=k:2") == ["ok"] and b.token != a.token
    assert a.results("get=k") == ["=1"]
    assert with_cookie_of(a, "c.example").results("get=k") == ["-"]


def test_destroy_from_another_host_does_nothing(server):
    a = server.client(host="a.example")
    a.results("set=k:1")
    b = with_cookie_of(a, "b.example")
    b.probe("destroy")
    assert a.results("get=k") == ["=1"]


def test_a_realm_joins(server):
    c = server.client(host="c.example")
    c.results("set=k:1")
    d = with_cookie_of(c, "d.example")
    assert d.results("get=k", "set=k:2") == ["=1", "ok"]
    assert c.results("get=k") == ["=2"]
    assert with_cookie_of(c, "a.example").results("get=k") == ["-"]


def test_a_realm_does_not_join_stores(server):
    """P11: a named store, used by any virtual host or location."""
    c = server.client(host="c.example")
    c.results("set=k:1")
    e = with_cookie_of(c, "e.example")
    assert e.results("get=k") == ["-"]


def test_the_name_is_the_servers_not_the_clients(server):
    """ServerName decides, not the Host header: an alias is the same host."""
    a = server.client(host="a.example")
    a.results("set=k:1")
    assert with_cookie_of(a, "A.EXAMPLE").results("get=k") == ["=1"]
    assert with_cookie_of(a, "unknown.example").results("get=k") == ["=1"]
