"""How long a session lives: short times, and conditions with a deadline. The store's clock decides, so a
test waits for an event and compares with what the session itself says."""

import time

import pytest

from doubles import wait_until
from httpd import on


@pytest.fixture(scope="module")
def server(start):
    place = """
<Location /%s>
    SetHandler bsession-probe
    BSessionCookie %s Secure=Off %s
    %s
</Location>
"""
    return start(on() + place % ("idle", "idle", "", "BSessionIdleTimeout 2s")
                 + place % ("afterwards", "idle", "", "BSessionIdleTimeout 60s")
                 + place % ("absolute", "absolute", "", "BSessionIdleTimeout 60s\nBSessionAbsoluteTimeout 3s")
                 + place % ("unlimited", "unlimited", "", "BSessionIdleTimeout 60s\nBSessionAbsoluteTimeout Off")
                 + place % ("write", "write", "", "BSessionIdleTimeout 100s\nBSessionSlide write")
                 + place % ("access", "access", "", "BSessionIdleTimeout 2s\nBSessionSlide access")
                 + place % ("passive", "write", "", "BSession Passive\nBSessionIdleTimeout 1000s")
                 + place % ("longwrite", "write", "", "BSessionIdleTimeout 1000s\nBSessionSlide write")
                 + place % ("long", "write", "", "BSessionIdleTimeout 1000s")
                 + place % ("longer", "longer", "", "BSessionIdleTimeout 30d\nBSessionAbsoluteTimeout Off")
                 + place % ("follow", "follow", "Lifetime=idle", "BSessionIdleTimeout 8s"))


# a store may count what is left of a life, and have told of it when the machine stood still; what is a prolongation
# here is longer
ABOUT = 20_000_000


def us(seconds):
    return int(seconds * 1e6)


def ends(client, at):
    return int(client.results("expires", at=at)[0])


def begun(client, at):
    """A session, and when it ends by the word of the request that made it."""
    return int(client.results("set=a:1", "save", "expires", at=at)[-1])


def test_idle(server, client):
    """P21: expiry is a miss even before the sweep, and the old cookie is not adopted."""
    end = begun(client, "/idle")
    assert end - us(time.time()) <= us(2)
    # a store that counts what is left began to do so later
    wait_until(lambda: us(time.time()) > end + us(2.5), "the end of a life")
    assert client.results("load", at="/idle") == ["NOTFOUND"]
    old = client.jar["idle"]
    assert client.results("get=a", "set=b:1", at="/afterwards") == ["-", "ok"]
    assert client.jar["idle"] != old
    assert client.results("is_new", "get=b", at="/afterwards") == ["no", "=1"]


def test_use_prolongs(client):
    """P21: access. A session used all the time outlives its idle time. One that a busy machine leaves alone for so
    long is another's beginning."""
    first = used = None

    def is_used():
        nonlocal first, used
        before, used = used, time.monotonic()
        if not first or client.results("get=a", at="/access") != ["=1"]:
            assert not first or time.monotonic() - before > 1.5
            first = begun(client, "/access")
        return us(time.time()) > first + us(1)
    wait_until(is_used, "use beyond the first end")


def test_absolute(client):
    """Never prolonged, not by rotation either."""
    _, _, created, end = client.results("set=a:1", "save", "created", "expires", at="/absolute")
    assert abs(int(end) - int(created) - us(3)) < us(0.1)
    later = client.results("set=b:1", "rotate", "save", "touch", "expires", at="/absolute")[-1]
    assert abs(int(later) - int(end)) < ABOUT
    wait_until(lambda: client.results("load", at="/absolute") == ["NOTFOUND"], "the end of a life")
    assert int(end) < us(time.time()) < int(end) + ABOUT


def test_no_absolute_end(client):
    client.results("set=a:1", at="/longer")
    assert ends(client, "/longer") > us(time.time()) + us(29 * 86400)


def test_slide_write(client):
    """P21: last write. Reading does not prolong, writing does. A longer idle time elsewhere shows it
    without waiting."""
    client.results("set=a:1", at="/write")
    end = ends(client, "/write")
    client.results("get=a", at="/write")
    client.results("get=a", at="/longwrite")
    assert abs(ends(client, "/write") - end) < ABOUT
    client.results("set=a:2", at="/long")
    later = ends(client, "/write")
    assert later > end + us(800)


def test_passive(client):
    """As On, but only a save prolongs (polling)."""
    client.results("set=a:1", at="/write")
    end = ends(client, "/write")
    assert client.results("get=a", at="/passive") == ["=1"]
    assert abs(ends(client, "/write") - end) < ABOUT
    assert client.results("set=a:2", at="/passive") == ["ok"]
    assert ends(client, "/write") > end + us(800)


def test_reading_where_the_life_is_longer_prolongs_after_the_answer(client):
    client.results("set=a:1", at="/write")
    end = ends(client, "/write")
    client.results("get=a", at="/long")
    wait_until(lambda: ends(client, "/write") > end + us(800), "the touch after the response")


def test_a_shorter_life_never_shortens(client):
    """Two locations with different idle times: the store takes the later end."""
    client.results("set=a:1", at="/long")
    end = ends(client, "/long")
    client.results("touch", at="/write")
    client.results("set=a:2", at="/write")
    assert ends(client, "/write") > end - ABOUT


def test_touch(client):
    client.results("set=a:1", at="/write")
    end = ends(client, "/write")
    assert client.results("touch", at="/long") == ["ok"]
    assert ends(client, "/write") > end + us(800)


def test_not_each_request_is_a_write(client):
    """Only when it moves the end by more than a tenth of the idle time."""
    client.results("set=a:1", at="/unlimited")
    end = ends(client, "/unlimited")
    for _ in range(5):
        client.results("get=a", at="/unlimited")
    assert ends(client, "/unlimited") - end < us(6)


def test_lifetime_idle_renews_cookie_and_record_together(client):
    """The two lives never drift apart."""
    first = begun(client, "/follow")

    def renewed():
        answer = client.probe("get=a", at="/follow")
        assert answer.results == ["=1"]
        return answer.cookies
    (line,) = wait_until(renewed, "a renewed cookie")
    assert "Max-Age=" in line and line.startswith("follow=" + client.jar["follow"])
    assert ends(client, "/follow") > first
