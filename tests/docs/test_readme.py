"""The scripts that the pages show do what the pages say."""
import re

import pytest

from pages import DIRECTIVES, TOP, fenced

README = TOP / "README.md"


@pytest.mark.parametrize("page", [README, DIRECTIVES], ids=lambda page: page.name)
def test_the_first_configuration_and_its_script_count(server, page):
    config = fenced(page, "apache")[0][1].replace("<Location /app>", "<Location />")
    running = server(config + "<Location />\nBSessionCookie trial Secure=Auto\n</Location>\n")
    script = fenced(page, "sh")[-1][1]
    assert script.startswith("#!/bin/sh\n")
    running.script("count", script.partition("\n")[2])
    running.start()
    visitor = running.client()
    for times in range(3):
        assert visitor.get("/cgi/count").text == f"You have been here {times} times before.\n"
    assert running.client().get("/cgi/count").text == "You have been here 0 times before.\n"
    assert running.surprises() == []


def test_every_example_is_listed():
    for conf in (TOP / "examples").glob("*/httpd.conf"):
        assert f"(examples/{conf.parent.name})" in README.read_text()


def test_the_lines_for_apxs_are_those_that_are_tested():
    def arguments(path, command):
        lines = re.findall(rf"{command} -c ((?:[^\n]*\\\n)*[^\n]*?\.c)(?: >|\n)", path.read_text())
        return [line.replace("\\\n", " ").split() for line in lines]

    tested = arguments(TOP / "tests" / "build" / "apxs.sh", r'"\$\{APXS:-apxs\}"')
    # without -i, which installs
    assert len(tested) == 5 and [[w for w in line if w != "-i"] for line in arguments(README, "apxs")] == tested
