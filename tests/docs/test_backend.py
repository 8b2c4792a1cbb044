"""The backend of docs/writing-a-backend.md builds as the page says, and keeps sessions."""
import concurrent.futures
import shutil
import subprocess

import pytest

from pages import BACKEND, fenced

COUNTER = 'echo "Content-Type: text/plain"\necho "BSession-Incr: n=1"\necho\necho "$BSESSION_n"\n'
LOGOUT = 'echo "Content-Type: text/plain"\necho "BSession-Destroy: 1"\necho\n'
APPLICATION = """<Location />
    BSession On
    BSessionCookie bsession Secure=Off
    BSessionEnv All
    BSessionWriteBack On
</Location>
"""


@pytest.fixture(scope="module")
def backend(build, tmp_path_factory):
    """The page's pieces of C, one after the other, built by apxs against the installed header."""
    directory = tmp_path_factory.mktemp("backend")
    pieces = [text for _, text in fenced(BACKEND, "c")]
    (directory / "mod_bsession_slots.c").write_text("\n".join(pieces))
    subprocess.run([shutil.which("apxs") or shutil.which("apxs2"), "-Wc,-Wall", "-Wc,-Wextra",
                    "-Wc,-Werror", "-I", build.include, "-c", "mod_bsession_slots.c"],
                   cwd=directory, check=True, capture_output=True)
    return directory / ".libs" / "mod_bsession_slots.so"


@pytest.fixture
def running(server, backend):
    [(_, configuration)] = fenced(BACKEND, "apache")
    one = server(configuration.replace("modules/mod_bsession_slots.so", str(backend)) + APPLICATION)
    one.script("count", COUNTER)
    one.script("logout", LOGOUT)
    return one.start()


def test_it_keeps_a_session(running):
    visitor = running.client()
    assert [visitor.get("/cgi/count").text for _ in range(3)] == ["\n", "1\n", "2\n"]
    assert running.surprises() == []


def test_a_destroyed_session_is_gone(running):
    visitor = running.client()
    visitor.get("/cgi/count")
    thief = visitor.twin()
    visitor.get("/cgi/logout")
    assert visitor.jar == {}
    assert thief.get("/cgi/count").text == "\n"


def test_it_outlives_a_graceful_restart(running):
    visitor = running.client()
    visitor.get("/cgi/count")
    running.graceful()
    assert visitor.get("/cgi/count").text == "1\n"


def test_no_step_of_a_counter_is_lost(running):
    visitor = running.client()
    visitor.get("/cgi/count")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: [visitor.twin().get("/cgi/count") for _ in range(10)], range(4)))
    assert visitor.get("/cgi/count").text == "41\n"


def test_a_wrong_url_gets_a_sentence(complaint, backend):
    load = f"LoadModule bsession_slots_module {backend}\n"
    assert "the URL of a slots: store is just slots:" in complaint(
        load + "BSessionStore default slots:elsewhere\n")
    assert "size" in complaint(load + "BSessionStore default slots: size=3\n")
