"""A session belongs to the virtual host that made it, or to the realm that several join."""

import pytest

from httpd import on

SECRET, OTHER = "a secret of one host".ljust(32, "x").replace(" ", "-"), "o" * 32
HOSTS = [f"{letter}.example" for letter in "abcdefghi"]
# who knows a session that the first one has made
KNOWN = {"c.example": ["c.example", "d.example"], "d.example": ["c.example", "d.example"],
         "f.example": ["f.example", "i.example"]}


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
                 + vhost % ("e.example", "BSessionRealm shop\n<Location />\nBSessionUse other\n</Location>")
                 + vhost % ("f.example", f"BSessionSecret {SECRET}") + vhost % ("g.example", f"BSessionSecret {SECRET}")
                 + vhost % ("h.example", f"BSessionSecret {OTHER}\nBSessionRealm shop")
                 + vhost % ("i.example", f"BSessionSecret {OTHER} {SECRET}\nBSessionRealm f.example"))


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


@pytest.mark.parametrize("maker", HOSTS)
def test_hosts_in_turn_on_one_connection(server, maker):
    """As from a proxy: what the connection remembers of a Cookie header and its tokens is worth nothing at
    another host, with another secret or none, in another realm or store."""
    client = server.client(host=maker, keep=True)
    client.results("set=k:1")
    client.results("get=k")                             # it is remembered now
    jar = dict(client.jar)
    for host in [*HOSTS, *reversed(HOSTS)]:
        if host == "i.example":
            continue                                    # it would replace the token of an older secret
        client.host, client.jar = host, dict(jar)
        known = host in KNOWN.get(maker, [maker])
        for _ in range(2):
            assert client.results("get=k", "load") == (["=1", "ok"] if known else ["-", "NOTFOUND"]), host
    client.host, client.jar = "i.example", dict(jar)
    known = "i.example" in KNOWN.get(maker, [maker])
    assert client.results("get=k") == (["=1"] if known else ["-"])
    client.close()
