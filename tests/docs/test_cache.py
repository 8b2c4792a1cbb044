"""The module of docs/cache.md builds as the page says, and counts."""
import concurrent.futures
import shutil
import subprocess

import pytest

from pages import TOP, fenced

CACHE = TOP / "docs" / "cache.md"


@pytest.fixture(scope="module")
def tally(build, tmp_path_factory):
    directory = tmp_path_factory.mktemp("tally")
    [(_, text)] = fenced(CACHE, "c")
    (directory / "mod_tally.c").write_text(text)
    subprocess.run([shutil.which("apxs") or shutil.which("apxs2"), "-Wc,-Wall", "-Wc,-Wextra",
                    "-Wc,-Werror", "-I", build.include, "-c", "mod_tally.c"],
                   cwd=directory, check=True, capture_output=True)
    return directory / ".libs" / "mod_tally.so"


@pytest.fixture
def running(server, tally):
    configuration, _ = [text for _, text in fenced(CACHE, "apache")]
    return server(f"LoadModule tally_module {tally}\n{configuration}").start()


def test_it_counts(running):
    visitor = running.client()
    assert [visitor.get("/tally").text for _ in range(2)] == ["visit 1\n", "visit 2\n"]
    assert visitor.get("/tally/elsewhere").text == "visit 1\n"
    assert running.surprises() == []


def test_no_visit_is_lost_and_one_line_tells(running):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: running.client().get("/tally").text, range(80)))
    assert sorted(said, key=lambda text: int(text[6:])) == [f"visit {n}\n" for n in range(1, 81)]
    running.logged("/tally is visited much")
    assert running.log().count("is visited much") == 1


def test_without_the_store_it_says_so(server, tally):
    running = server(f"LoadModule tally_module {tally}\nBSessionStore other memory:\n"
                     "<Location />\nSetHandler tally\n</Location>").start()
    assert running.client().get("/tally").status == 500
