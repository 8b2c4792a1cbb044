"""What every test with a real httpd is given; tests/http and tests/fault share it."""

import pathlib
import signal
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).parents[1] / "stores"))

import doubles  # noqa: E402
import file_directory  # noqa: E402
import httpd  # noqa: E402
import memcached_server  # noqa: E402
import redis_server  # noqa: E402
import sql_servers  # noqa: E402

# a store that a run names by its scheme alone is started for it
STARTED = {"dbd:": (sql_servers, "pgsql"), "dbd:mysql": (sql_servers, "mysql"), "dbd:sqlite": (sql_servers, "sqlite"),
           "file:": (file_directory, None), "memcached:": (memcached_server, "tcp"),
           "redis:": (redis_server, "tcp"), "rediss:": (redis_server, "tls"), "redis+unix:": (redis_server, "unix")}


def pytest_configure():
    """Whoever ends a run ends the servers that it started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--build", default="build", help="the build directory under test")
    parser.addoption("--mpm", default="event", choices=["event", "worker", "prefork"])
    parser.addoption("--store", help="what the store `default` is, such as \"memory: size=8M\", where a "
                     "test does not say; of a scheme alone, such as redis:, dbd: (PostgreSQL), dbd:mysql or "
                     "dbd:sqlite, what it needs is started; {dir} is each httpd's own directory")
    parser.addoption("--full", action="store_true", help="the numbers of the design, which take long")


@pytest.fixture(scope="session")
def store_words(request):
    """Of a BSessionStore line, and other lines that this one needs."""
    scheme, *options = (request.config.getoption("--store") or "").split() or [None]
    if scheme not in STARTED:
        yield request.config.getoption("--store"), ""
        return
    module, how = STARTED[scheme]
    server, words = module.start_as(how)
    if not any(option.startswith("timeout=") for option in options):
        options.append("timeout=20s")       # no test is about how long it takes on a busy machine
    yield " ".join([words, *options]), server.lines() if module is sql_servers else ""
    server.stop()


@pytest.fixture(scope="session")
def build(request, store_words):
    built = httpd.Build(request.config.getoption("--build"), request.config.getoption("--mpm"), *store_words)
    built.install()
    return built


@pytest.fixture(scope="session")
def full(request):
    return request.config.getoption("--full")


running = []


@pytest.fixture(scope="module")
def start(build):
    """Starts servers that stop when the file's tests are done."""
    mine = []

    def start_one(config, **more):
        server = httpd.Httpd(build, config, **{k: v for k, v in more.items() if k != "prepare"})
        mine.append(server)
        if "prepare" in more:
            more["prepare"](server)
        server.start()
        running.append(server)
        return server

    yield start_one
    wrong = []
    for server in mine:
        try:
            server.stop()
            wrong += server.surprises()
        except AssertionError as error:
            wrong.append(str(error))
        if server in running:
            running.remove(server)
        server.remove()
    assert not wrong, "\n".join(wrong)


@pytest.fixture(autouse=True)
def quiet_logs():
    """A test fails where a log says what the test did not expect."""
    yield
    wrong = [line for server in running for line in server.surprises()]
    assert not wrong, "unexpected in the logs:\n" + "\n".join(wrong)


@pytest.fixture
def client(server):
    return server.client()


@pytest.fixture(scope="module")
def backend():
    b = doubles.Backend()
    yield b
    b.close()
