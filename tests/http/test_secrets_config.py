"""What the lines of secrets may say: each wrong one gets a sentence that says what was expected, and nothing of
a secret is in it."""

import os
import signal

import pytest

import redis_server
from httpd import Httpd, on

SECRET = "s3cret-of-a-test"
LONG = SECRET * 2                       # 32 bytes


def prepare(server):
    files = {"short": SECRET, "long": LONG + "\n", "31": LONG[:31] + "\n", "two-lines": LONG + "\n\n",
             "huge": LONG * 200, "empty": "", "nul": "a\0b", "newline": "\n"}
    for name, text in files.items():
        (server.dir / name).write_text(text)
        (server.dir / name).chmod(0o600)
    programs = {"good": f"echo {LONG}", "says": f"echo {SECRET}; echo {SECRET} >&2", "fails": f"echo {LONG}; exit 3",
                "silent": "", "much": f"while echo {LONG}; do :; done", "killed": "kill -9 $$"}
    for name, text in programs.items():
        (server.dir / name).write_text(f"#!/bin/sh\n{text}\n")
        (server.dir / name).chmod(0o700)


ENVIRONMENT = {"A_SECRET": LONG, "A_SHORT_ONE": SECRET, "AN_EMPTY_ONE": ""}

SHORT = "a secret has at least 32 bytes, and number "
WRONG = [
    ("BSessionSecret", "BSessionSecret takes 1 to 4 secrets, the newest first"),
    (f"BSessionSecret {' '.join([LONG] * 5)}", "BSessionSecret takes 1 to 4 secrets"),
    (f"BSessionSecret {LONG}\nBSessionSecret {LONG}", "stands here a second time"),
    (f"BSessionSecret {SECRET}", SHORT + "1 has 16: make one with: openssl rand -hex 32"),
    (f"BSessionSecret {LONG} {SECRET}", SHORT + "2 has 16"),
    (f"BSessionSecret {LONG[:31]}", SHORT + "1 has 31"),
    ("BSessionSecret file:short", SHORT + "1 has 16"),
    ("BSessionSecret file:31", SHORT + "1 has 31"),
    ("BSessionSecret file:empty", SHORT + "1 has 0"),
    ("BSessionSecret file:", "file: takes the path of a file"),
    ("BSessionSecret File:/no/such/file/whose/name/is/long/enough", "cannot be opened: No such file"),
    ("BSessionSecret ENV:NO_SUCH_VARIABLE_WITH_A_LONG_NAME", "httpd has no environment variable"),
    ("BSessionSecret file:none", "/none cannot be opened: No such file"),
    ("BSessionSecret file:docs", "/docs"),
    ("BSessionSecret file:/dev/zero", "/dev/zero is no file"),
    ("BSessionSecret file:huge", "a secret has at most 4096 bytes"),
    ("BSessionSecret env:", 'httpd has no environment variable ""'),
    ("BSessionSecret env:NO_SUCH", 'httpd has no environment variable "NO_SUCH"'),
    ("BSessionSecret env:A_SHORT_ONE", SHORT + "1 has 16"),
    ("BSessionSecret exec:", "exec: takes the path of a program, beginning with /"),
    ("BSessionSecret exec:good", "exec: takes the path of a program, beginning with /"),
    ("BSessionSecret exec:/no/such/program", "the program /no/such/program cannot be run: No such file"),
    ("BSessionSecret exec:{dir}/long", "/long cannot be run: Permission denied"),
    ("BSessionSecret exec:{dir}/fails", "/fails ended with status 3"),
    ("BSessionSecret exec:{dir}/killed", "/killed was ended by signal 9"),
    ("BSessionSecret exec:{dir}/silent", SHORT + "1 has 0"),
    ("BSessionSecret exec:{dir}/much", "/much printed more than 4096 bytes"),
    ('BSessionSecret "exec:{dir}/good; true"', "/good; cannot be run: No such file"),
    ("BSessionSeal On", "BSessionSeal On needs a BSessionSecret"),
    ("BSessionSeal Perhaps", "BSessionSeal must be On or Off"),
    (f"BSessionSecret {LONG}\n<VirtualHost *:1>\nBSessionSecret {SECRET}\n</VirtualHost>", SHORT + "1 has 16"),
    (f"<Location />\nBSessionSecret {LONG}\n</Location>", "BSessionSecret not allowed in <Location> context"),
    (f"<Directory />\nBSessionSecret {LONG}\n</Directory>", "BSessionSecret not allowed in <Directory> context"),
    ("<Directory />\nBSessionSeal Off\n</Directory>", "BSessionSeal not allowed in <Directory> context"),
    ("BSessionStore x redis://h user=u password=exec:{dir}/fails", "x: password=: the program "),
    ("BSessionStore x redis://h password=file:none", "x: password=: the file "),
    ("BSessionStore x redis://h password=file:empty", "x: password=: the password there is empty"),
    ("BSessionStore x redis://h password=file:newline", "x: password=: the password there is empty"),
    ("BSessionStore x redis://h password=file:nul", "x: password=: the password there has a NUL in it"),
    ("BSessionStore x redis://h password=env:NO_SUCH", "x: password=: httpd has no environment variable"),
    ("BSessionStore x redis://h sentinel=m sentinel_password=env:NO_SUCH",
     "x: sentinel_password=: httpd has no environment variable"),
    ("BSessionStore x memcached://h password=env:NO_SUCH", "x: password=: httpd has no environment variable"),
    # one that is read, but is not the same definition
    ("BSessionStore x redis://h password=file:short\nBSessionStore x redis://h password=env:A_SHORT_ONE",
     '"x" is defined already, and differently'),
]

RIGHT = [
    f"BSessionSecret {LONG}", f"BSessionSecret {' '.join([LONG] * 4)}", "BSessionSecret file:long",
    "BSessionSecret file:{dir}/two-lines", "BSessionSecret env:A_SECRET", "BSessionSecret exec:{dir}/good",
    "BSessionSecret 'exec:{dir}/good \"one word\"' file:long", f"BSessionSecret {LONG}\nBSessionSeal On",
    f"BSessionSecret {LONG}\nBSessionSeal Off", "BSessionSeal Off",
    f"BSessionSecret file:long\n<VirtualHost *:1>\nBSessionSecret {LONG}\nBSessionSeal On\n</VirtualHost>",
    "BSessionStore x redis://h password=file:short", "BSessionStore x memcached://h user=u password=env:A_SHORT_ONE",
    "BSessionStore x redis://h sentinel=m sentinel_password=exec:{dir}/says",
    f"BSessionStore x redis://h password={SECRET}",
    "BSessionStore x redis://h password=file:short\nBSessionStore x redis://h password=file:short",
]


@pytest.fixture(scope="module")
def configtest(build):
    tried = []

    def run(config):
        server = Httpd(build, config, env=ENVIRONMENT)
        tried.append(server)
        prepare(server)
        status, said = server.configtest()
        assert SECRET not in said.replace(SECRET + "\n", "", "exec:" in config and "says" in config)
        return status, said
    yield run
    for server in tried:
        server.remove()


@pytest.mark.parametrize("lines,said", WRONG, ids=[lines[:60] for lines, _ in WRONG])
def test_wrong(configtest, lines, said):
    status, output = configtest(lines)
    assert status != 0, output
    assert said in output, output


@pytest.mark.parametrize("lines", RIGHT, ids=[lines[:60] for lines in RIGHT])
def test_right(configtest, lines):
    status, output = configtest(lines)
    assert status == 0, output
    assert "bsession" not in output.lower().replace("bsession-http", ""), output


def assert_refused(configtest, tmp_path, ends, said):
    """Of a program that begins another one, which keeps its output open, and then does this."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nsleep 600 2>&- &\necho $! >{tmp_path}/pid\n{ends}\n")
    program.chmod(0o700)
    try:
        status, output = configtest(f"BSessionSecret exec:{program}")
        assert status != 0 and said in output
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_program_that_does_not_end(configtest, tmp_path):
    """It is ended after 10 s, and all that began with it is waited for no longer."""
    assert_refused(configtest, tmp_path, "wait", "has not ended in order within 10 seconds")


def test_a_program_that_leaves_its_output_open(configtest, tmp_path):
    """It has ended in order, but what it began may print the rest of the secret."""
    assert_refused(configtest, tmp_path, f"echo {LONG}", "something that it began has its output open")


def test_not_from_htaccess(start):
    """Nor from anything else that a site's authors may write."""
    server = start(on() + "<Directory {docs}>\nAllowOverride All\n</Directory>\n")
    for line in (f"BSessionSecret {LONG}", "BSessionSeal Off"):
        server.document(".htaccess", line + "\n")
        server.expect(r"\.htaccess: BSession(Secret|Seal) not allowed here")
        assert server.client().get("/index.html").status == 500


def test_passwords_from_their_places(start):
    """Redis lets in who knows it."""
    redis = redis_server.Redis(f"user web on >{SECRET} ~* +@all")
    redis.start()
    try:
        host = f"redis://127.0.0.1:{redis.ports[0]}/0 user=web"
        server = start(on("BSessionUse b")
                       + f"BSessionStore a {host} password=file:short\n"
                       f"BSessionStore b {host} password=env:A_SHORT_ONE\n"
                       f"BSessionStore c {host} password=exec:{{dir}}/says\n",
                       env=ENVIRONMENT, prepare=prepare)
        client = server.client()
        assert client.results("set=k:1", "save") == ["ok", "ok"]
        for store in "abc":
            assert client.results(f"cache={store}/x/0", "cset=k:1", "cget=k")[1:] == ["ok", "=1"]
        server.expect(f"^{SECRET}$")    # the program's own complaint, which is not ours
        server.confidential.secrets.discard(SECRET)
        assert SECRET not in server.log().replace(SECRET + "\n", "")
    finally:
        redis.stop()
