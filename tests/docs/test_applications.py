"""The pages of docs/applications.md do what that page says."""
import re
import shutil
import subprocess

import pytest

import applications
from pages import TOP, fenced, section

PAGE = TOP / "docs" / "applications.md"

TRIAL = "<Location />\nBSessionCookie trial Secure=Auto\n</Location>\n"


def code(name, language):
    """The one block of a language in a section of the page."""
    [(_, text)] = fenced(PAGE, language, section(PAGE, name))
    return text


@pytest.fixture
def start(server, build, tmp_path):
    """Starts what a section shows; its server of applications, if any, is stopped at the end."""
    served = []

    def program(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    def cgi():
        one = server(code("CGI", "apache").replace("/srv/app/visits.cgi", "{cgi}/visits") + TRIAL)
        text = code("CGI", "sh")
        assert text.startswith("#!/bin/sh\n")
        one.script("visits", text.partition("\n")[2])
        return one.start(), "/app"

    def php():
        served.append(applications.php_fpm())
        one = server(code("PHP", "apache").replace("/run/php/php-fpm.sock", str(served[0].socket))
                     .replace("/srv/app", "{docs}") + TRIAL)
        one.document("visits.php", code("PHP", "php"))
        return one.start(), "/app/visits.php"

    def proxied(name):
        return server(code(name, "apache").replace("/run/app.sock", str(served[0].socket))
                      + TRIAL).start(), "/app"

    def python():
        served.append(applications.uwsgi(program("app.py", code("Python", "python")),
                                         "--buffer-size", "65535"))
        return proxied("Python")

    def node():
        served.append(applications.node(program("app.js", code("A proxied service", "js"))))
        return proxied("A proxied service")

    def module():
        program("mod_page.c", code("A module in C", "c"))
        subprocess.run([shutil.which("apxs") or shutil.which("apxs2"), "-Wc,-Wall", "-Wc,-Werror",
                        "-I", build.include, "-c", "mod_page.c"], cwd=tmp_path, check=True,
                       capture_output=True)
        return server(code("A module in C", "apache")
                      .replace("modules/mod_page.so", str(tmp_path / ".libs" / "mod_page.so"))
                      + TRIAL).start(), "/app"

    yield lambda which: {"cgi": cgi, "php": php, "python": python, "node": node, "c": module}[which]()
    for one in served:
        one.stop()


@pytest.mark.parametrize("which", ["cgi", "php", "python", "node", "c"])
def test_a_page_counts_greets_and_forgets(start, which):
    running, path = start(which)
    visitor = running.client()

    def says():
        answer = visitor.get(path)
        assert answer.status == 200, answer
        return re.search(r"<p>(.*)\.\n", answer.text)[1]

    def posts(form):
        answer = visitor.request("POST", path, form,
                                 {"Content-Type": "application/x-www-form-urlencoded"})
        assert answer.status == 303 and answer.header("Location").endswith(path), answer

    assert [says(), says()] == ["Visit 1, stranger", "Visit 2, stranger"]
    thief = visitor.twin()
    posts("user=Zo%C3%AB+%3Cb%3E%26+1%2B1%3D2")
    assert re.sub("&#(\\d+);", lambda m: {"60": "&lt;", "62": "&gt;", "38": "&amp;"}[m[1]], says()) \
        == "Visit 3, Zoë &lt;b&gt;&amp; 1+1=2"
    assert "Visit 1, stranger" in thief.get(path).text
    posts("user=")
    assert visitor.jar == {} and says() == "Visit 1, stranger"
    assert running.surprises() == []


def test_the_shell_takes_no_header_from_a_form(start):
    running, path = start("cgi")
    visitor = running.client()
    for form in ("user=a&role=admin", "user=a\nBSession-Set: role=admin", "user=a,role=admin"):
        assert visitor.request("POST", path, form).status == 400
    assert visitor.jar == {}


def test_a_page_with_includes(server):
    config = code("Pages and httpd.conf", "apache").replace("/srv/www", "{docs}")
    running = server(config + '<Location "/">\nBSession On\nBSessionCookie trial Secure=Auto\n</Location>\n'
                     '<Location "/cgi">\nBSessionWriteBack On\n</Location>\n')
    running.script("login", 'echo "BSession-Set: $QUERY_STRING"\necho\n')
    page = code("Pages and httpd.conf", "html")
    for name in ("hello/page.shtml", "hello/members/page.shtml", "app"):
        running.document(name, page)
    running.start()
    running.expect("AH01630")
    visitor = running.client()
    answer = visitor.get("/hello/page.shtml")
    assert "<p>Hello stranger." in answer.text and answer.header("X-Mode") is None
    assert visitor.get("/hello/members/page.shtml").status == 403
    visitor.get("/cgi/login?user=a%3Cb&role=admin")
    answer = visitor.get("/hello/page.shtml")
    assert "<p>Hello a&lt;b." in answer.text and answer.header("X-Mode") == "admin"
    assert "<p>Hello a&lt;b." in visitor.get("/hello/members/page.shtml").text
    assert running.surprises() == []


def test_the_line_for_uwsgi_has_its_options():
    """The one that the page shows and the one that the test runs."""
    text = section(PAGE, "Python")
    assert "--plugin python3" in text and "--buffer-size 65535" in text
