"""Expressions and log formats that ask for the session."""

import pytest

from httpd import on, wait_until


def prepare(server):
    for name in ("require", "if", "rewrite", "header", "server", "quiet"):
        server.document(f"{name}/index.html", f"inside {name}\n")


@pytest.fixture(scope="module")
def server(start):
    return start(on() + """
<Location "/require">
    Require expr "%{BSESSION:user} == 'ann' || bsession('role') == 'admin'"
</Location>
<Location "/if">
    <If "-n %{bsession:user}">
        Require all denied
    </If>
</Location>
<Location "/rewrite">
    RewriteEngine On
    RewriteCond expr "%{BSESSION:user} == 'ann'"
    RewriteRule ^ - [F]
</Location>
<Location "/header">
    Header set X-User "expr=%{BSESSION:user}"
</Location>
LogFormat "%U %{user}^BS %{:tag}^BS" session
CustomLog {dir}/session.log session
RewriteEngine On
RewriteCond expr "bsession('user') == 'ann'"
RewriteRule ^/server/ - [F]
""", mods=["headers", "rewrite"], prepare=prepare)


def status(client, path):
    return client.get(f"/{path}/").status


def logged(server, path):
    """What the log says, which is after the answer, of the only request for this path."""
    def line_for_it():
        log = server.dir / "session.log"
        lines = [line.split(" ", 1) for line in log.read_text().splitlines()] if log.exists() else []
        return [rest for where, rest in lines if where == path]
    line, = wait_until(line_for_it, f"{path} in the log")
    return line


def test_require_expr(server, client):
    server.expect("AH01630: client denied by server configuration")
    assert status(client, "require") == 403
    client.results("set=user:bob")
    assert status(client, "require") == 403
    client.results("set=user:ann")
    assert status(client, "require") == 200
    client.results("set=user:bob", "set=role:admin")
    assert status(client, "require") == 200


def test_if(server, client):
    server.expect("AH01630: client denied by server configuration")
    assert status(client, "if") == 200
    client.results("set=user:ann")
    assert status(client, "if") == 403
    client.results("unset=user")
    assert status(client, "if") == 200


@pytest.mark.parametrize("place", ["rewrite", "server"])
def test_rewrite(client, place):
    assert status(client, place) == 200
    client.results("set=user:bob")
    assert status(client, place) == 200
    client.results("set=user:ann")
    assert status(client, place) == 403


def test_header(client):
    assert client.get("/header/").header("X-User") == ""
    client.results("set=user:ann")
    answer = client.get("/header/")
    assert answer.header("X-User") == "ann"
    assert not answer.cookies


def test_a_line_break_makes_no_second_header(client):
    client.results("set=user:ann%0D%0AX-Admin:%201")
    answer = client.get("/header/")
    assert answer.header("X-User") == "ann  X-Admin: 1"
    assert answer.header("X-Admin") is None


def test_nothing_is_compared_only_up_to_nul(server, client):
    server.expect("AH01630: client denied by server configuration")
    client.results("setn=user:ann%00x")
    assert status(client, "require") == 403


def test_an_answer_that_depends_on_it_is_private(client):
    client.results("set=user:ann")
    assert client.get("/require/").header("Cache-Control") == "private"


def test_logs(server, client):
    client.results("set=user:ann")
    tag, = client.results("tag")
    assert client.results("get=user", at="/probe/logs") == ["=ann"]
    assert logged(server, "/probe/logs") == f"ann {tag.removeprefix('=')}"


def test_what_nobody_asked_for_is_not_loaded_for_the_log(server, client):
    client.results("set=user:ann")
    client.get("/quiet/index.html")
    assert logged(server, "/quiet/index.html") == "- -"


def test_values_are_escaped_in_the_log(server, client):
    client.results("set=user:a%0A%22b")
    client.results("get=user", at="/probe/escaped")
    assert logged(server, "/probe/escaped").split(" ")[0] in ('a\\n\\"b', 'a\\n"b')
