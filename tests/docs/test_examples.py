"""examples/run: every example passes its own check, and nothing is left behind."""
import contextlib
import http.server
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import urllib.request

import pytest

from httpd import wait_until
from pages import TOP

RUN = TOP / "examples" / "run"
EXAMPLES = sorted(conf.parent.name for conf in (TOP / "examples").glob("*/httpd.conf"))


@pytest.fixture
def temp():
    """Where the example puts its things; a user that children become can walk into it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="bsession-examples-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def environment(temp):
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TMPDIR": str(temp)}


def run(temp, *arguments, program=RUN):
    return subprocess.run([program, *arguments], env=environment(temp), capture_output=True,
                          text=True)


def processes_of(temp):
    """Those that the example started, with what they say they are: its directory is in their command
    lines, or they are in it."""
    found = {}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text(errors="replace")
            if str(temp) in command or str(temp) in os.readlink(process / "cwd"):
                found[int(process.name)] = command.replace("\0", " ")
        except OSError:
            continue                    # it has just ended
    return found


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_all_right(temp, name):
    """The demo has the two routes of P45, and counts as in P47; login is P46: each example says so
    itself."""
    done = run(temp, name, "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nok: " in done.stdout and "not ok" not in done.stdout
    assert list(temp.iterdir()) == [] and processes_of(temp) == {}


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def as_from_a_terminal():
    """What was ignored when a shell began, as behind nohup or in the background, it cannot trap."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)


@contextlib.contextmanager
def serving(temp, *arguments):
    """An example that answers, as somebody at a terminal starts it."""
    with subprocess.Popen([RUN, *arguments], env=environment(temp), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, start_new_session=True,
                          preexec_fn=as_from_a_terminal) as process:
        try:
            address = next(line.strip() for line in process.stdout
                           if re.match(r" +http://127\.0\.0\.1:\d+/$", line))
            assert urllib.request.urlopen(address).status == 200
            yield process
        finally:
            process.terminate()         # where it is there still, since a test failed or was ended
    assert list(temp.iterdir()) == []
    wait_until(lambda: processes_of(temp) == {}, "the last of its processes to go")


@pytest.mark.parametrize("sent", SIGNALS)
def test_nothing_is_left_behind(temp, sent):
    with serving(temp) as process:
        assert processes_of(temp) != {}
        process.send_signal(sent)
        assert process.wait(30) == 128 + sent


SERVERS = {"php": "php-fpm", "proxy": "node", "wsgi": "uwsgi"}


@pytest.mark.parametrize("name,program", SERVERS.items())
def test_its_application_server_goes_with_it(temp, name, program):
    with serving(temp, name) as process:
        assert any(program in said for said in processes_of(temp).values())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 128 + signal.SIGINT


def test_an_application_server_that_ends_gets_a_sentence(temp):
    with serving(temp, "proxy") as process:
        [node] = [pid for pid, said in processes_of(temp).items() if said.startswith("node ")]
        os.kill(node, signal.SIGKILL)
        assert process.wait(30) == 1
        assert "the application server ended by itself" in process.stderr.read()


def test_an_application_server_that_cannot_start_gets_a_sentence(temp):
    """The path of a UNIX socket has 107 bytes."""
    deep = temp / ("x" * 100)
    deep.mkdir(mode=0o755)
    done = run(deep, "--once", "proxy")
    assert done.returncode == 1
    assert "the application server of proxy did not start" in done.stderr, done.stderr
    assert list(deep.iterdir()) == [] and processes_of(temp) == {}


def test_an_unknown_example_gets_a_sentence(temp):
    done = run(temp, "nowhere")
    assert done.returncode == 2
    assert "there is no example nowhere" in done.stderr and "demo" in done.stderr


def test_a_wrong_answer_fails_the_check(temp):
    """The check is no formality: against a server that counts nobody it says so."""
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'<span class="number">1</span>')

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        done = run(temp, address, program=RUN.parent / "demo" / "check")
        server.shutdown()
    assert done.returncode == 1
    assert "not ok: with the cookie, visit 2 is counted as 2:" in done.stdout
