"""examples/run: every example passes its own check, and nothing is left behind."""
import http.server
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
    """Those that the example started: its directory is in their command lines."""
    found = []
    for command in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(temp).encode() in command.read_bytes():
                found.append(command.parent.name)
        except OSError:
            continue                    # it has just ended
    return found


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_all_right(temp, name):
    """The demo has the two routes of P45, and counts as in P47; login is P46: each example says so
    itself."""
    done = run(temp, "--once", name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nok: " in done.stdout and "not ok" not in done.stdout
    assert list(temp.iterdir()) == [] and processes_of(temp) == []


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def as_from_a_terminal():
    """What was ignored when a shell began, as behind nohup or in the background, it cannot trap."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)


@pytest.mark.parametrize("sent", SIGNALS)
def test_nothing_is_left_behind(temp, sent):
    with subprocess.Popen([RUN], env=environment(temp), stdout=subprocess.PIPE, text=True,
                          start_new_session=True, preexec_fn=as_from_a_terminal) as process:
        address = next(line.strip() for line in process.stdout
                       if re.match(r" +http://127\.0\.0\.1:\d+/$", line))
        assert urllib.request.urlopen(address).status == 200
        assert processes_of(temp) != []
        process.send_signal(sent)
        assert process.wait(30) == 128 + sent
    assert list(temp.iterdir()) == []
    wait_until(lambda: processes_of(temp) == [], "the last of its processes to go")


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
