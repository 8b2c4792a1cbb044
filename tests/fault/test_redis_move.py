"""A site leaves Redis, and the network has its say."""

import pytest

from httpd import on
from places import ONE_CHILD
from redis_proxy import Drop, Proxy, Swallow
from redis_server import Redis


@pytest.fixture(scope="module")
def redis():
    one = Redis()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def wire(redis):
    one = Proxy(redis.ports[0])
    yield one
    one.close()


@pytest.mark.parametrize("action", [Swallow, Drop])
def test_a_session_that_left_is_not_lost(start, redis, wire, action):
    """Its end there is sent again, and finds that it was done."""
    server = start(f"BSessionStore before redis://127.0.0.1:{wire.port} timeout=20s connect_timeout=10s breaker=off\n"
                   "BSessionStore default memory:\n" + on("BSessionUse before") + """
<Location /moved>
    SetHandler bsession-probe
    BSessionUse default
    BSessionMigrateFrom before
</Location>
""", mpm_config=ONE_CHILD)
    server.client().results("set=a:1", "save", "destroy")       # Redis knows the scripts
    visitor = server.client()
    assert visitor.results("set=a:1") == ["ok"]
    wire.clear()
    wire.once(b"EVALSHA", action())
    assert visitor.results("set=b:2", at="/moved") == ["ok"]
    assert visitor.results("get=a", "get=b", at="/moved") == ["=1", "=2"]
    assert redis("DBSIZE") == 0
