"""What the documentation says, held against a build: the one that the environment variable
BSESSION_BUILD names, or build/."""
import os
import pathlib
import re
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "http"), str(HERE.parent / "stores")]

import certificates  # noqa: E402
import httpd  # noqa: E402
from fixtures import pytest_configure  # noqa: E402, F401

# what the examples of the pages need beside those that every test has; a line of theirs that loads
# one changes nothing then
MODULES = ["rewrite", "include", "proxy", "proxy_http", "proxy_fcgi", "proxy_uwsgi", "session",
           "session_bsession", "request", "auth_form", "authn_core", "authn_file", "authz_user",
           "allowmethods", "authn_socache", "ssl", "cache", "cache_socache", "dbd", "bsession_dbd",
           "bsession_memcached", "bsession_redis"]


@pytest.fixture(scope="session")
def build():
    built = httpd.Build(os.environ.get("BSESSION_BUILD", "build"), "event")
    built.install()
    return built


@pytest.fixture(scope="session")
def secret(tmp_path_factory):
    """What stands in the files of /etc that examples name."""
    path = tmp_path_factory.mktemp("secrets") / "secret"
    path.write_text("a secret of a test, of more than 32 bytes\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def server(build, secret):
    """Makes a server that is not started yet."""
    made = []

    def make(config, **more):
        config = re.sub(r"file:/etc/\S+", f"file:{secret}", config)
        made.append(httpd.Httpd(build, config, mods=MODULES, **more))
        return made[-1]

    yield make
    for one in made:
        one.stop()
        one.remove()


@pytest.fixture
def complaint(server):
    """What configtest has against a configuration; empty where it has nothing."""
    def of(config, **more):
        status, said = server(config, **more).configtest()
        return said if status else ""

    return of


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return certificates.Authority(tmp_path_factory.mktemp("authority"))
