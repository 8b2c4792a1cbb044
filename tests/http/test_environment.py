"""What applications are told of a session, and what clients cannot tell them."""

import re

import pytest

from client import raw
from httpd import on

SPELLINGS = ["BSession-Data", "bsession-data", "BSESSION-DATA", "BSession_Data", "BSession.Data",
             "BSession--Data", "bsession", "BSession-User", "Bsession-Tag", "BSession~Data",
             "BSession-Set", "bsession_user", "BSession!"]


def prepare(server):
    server.script("env", "printf 'Content-Type: text/plain\\n\\n'; env | sort\n")
    server.document("perdir/.htaccess", "RewriteEngine On\n"
                    "RewriteCond %{ENV:BSESSION_user} =ann\nRewriteRule ^who$ /perdir/ann.txt [L]\n")
    server.document("perdir/ann.txt", "hello ann\n")
    server.document("perdir/who", "a stranger\n")
    index = server.document("offdir/index.cgi",
                            "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; env | sort\n")
    index.chmod(0o755)


@pytest.fixture(scope="module")
def server(start, backend):
    return start(on("BSessionEnv All") + f"""
MergeTrailers On
AllowEncodedSlashes On
<Directory "{{docs}}/perdir">
    AllowOverride All
</Directory>
<Directory "{{docs}}/offdir">
    DirectoryIndex index.cgi
    Options +ExecCGI
    AddHandler cgi-script .cgi
</Directory>
<Location "/offdir">
    BSession Off
    BSessionEnv Off
</Location>
<Location "/offdir/index.cgi">
    BSession On
    BSessionEnv All
</Location>
ScriptAlias /keys/ "{{cgi}}/"
<Location "/keys">
    BSessionEnv user a.b
</Location>
ScriptAlias /quiet/ "{{cgi}}/"
<Location "/quiet">
    BSessionEnv Off
</Location>
ScriptAlias /off/ "{{cgi}}/"
<Location "/off">
    BSession Off
</Location>
ProxyPass /app http://127.0.0.1:{backend.port}/app
ProxyPass /offapp http://127.0.0.1:{backend.port}/offapp
<Location "/offapp">
    BSession Off
</Location>
<Location "/errors">
    ErrorDocument 404 /cgi/env
    SetHandler bsession-probe
</Location>
""", mods=["rewrite", "proxy", "proxy_http"], prepare=prepare)


def environment(answer):
    assert answer.status == 200, answer
    return dict(line.split("=", 1) for line in answer.text.splitlines() if "=" in line)


def ours(env):
    return {k: v for k, v in env.items() if "BSESSION" in k.upper() or k.startswith("BS_")}


def test_nothing_without_a_session(client):
    assert ours(environment(client.get("/cgi/env"))) == {}


def test_all(client):
    client.results("set=user:ann", "set=n:5", "set=empty:")
    (tag,) = client.results("tag")
    env = ours(environment(client.get("/cgi/env")))
    expires = int(env.pop("BS_EXPIRES"))
    assert env == {"BSESSION": tag, "BS_NEW": "0", "BSESSION_user": "ann", "BSESSION_n": "5",
                   "BSESSION_empty": ""}
    assert expires > 0
    assert client.results("env=BSESSION_user", "env=BSESSION") == ["=ann", "=" + tag]


def test_some_keys(client):
    client.results("set=user:ann", "set=other:1")
    env = environment(client.get("/keys/env"))
    assert env["BSESSION_user"] == "ann" and "BSESSION_other" not in env and "BSESSION" in env


def test_off_is_off(client):
    client.results("set=user:ann")
    assert ours(environment(client.get("/quiet/env"))) == {}
    assert ours(environment(client.get("/off/env"))) == {}


def test_odd_keys_and_values(client):
    """The exact key wins; NUL is left out; a line break is no second variable."""
    client.results("set=a.b:dots", "set=a_b:exact", "set=x.y:bent", "setn=nul:a%00b",
                   "setn=lines:one%0aBSESSION_two=2")
    env = environment(client.get("/cgi/env"))
    assert env["BSESSION_a_b"] == "exact" and env["BSESSION_x_y"] == "bent"
    assert "BSESSION_nul" not in env and env["BSESSION_lines"] == "one"
    assert client.results("env=BSESSION_lines") == ["=one%0aBSESSION_two%3d2"]


def test_the_cookie_is_not_for_applications(client):
    """Other cookies stay byte for byte; in Off places too."""
    client.results("set=a:1")
    for path in ("/cgi/env", "/quiet/env", "/off/env"):
        cookie = f'a=1;  bsession={client.token}; b="x y" ; c=d=e'
        env = environment(client.get(path, headers={"Cookie": cookie}))
        assert client.token not in str(env) and "bsession" not in env["HTTP_COOKIE"]
        for kept in ("a=1", 'b="x y"', "c=d=e"):
            assert kept in env["HTTP_COOKIE"]
        only = environment(client.get(path, headers={"Cookie": f"bsession={client.token}"}))
        assert "HTTP_COOKIE" not in only
        untouched = 'x=1;;  y="a;b" ;z'
        assert environment(client.get(path, headers={"Cookie": untouched}))["HTTP_COOKIE"] == untouched


def test_the_cookie_is_not_for_proxied_applications(client):
    client.results("set=a:1")
    for path in ("/app/x", "/offapp/x"):
        text = client.get(path, headers={"Cookie": f"a=1; bsession={client.token}; b=2"}).text
        assert client.token not in text and re.search(r"(?m)^Cookie: a=1; b=2\r?$", text)


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("path", ["/cgi/env", "/off/env", "/app/x", "/offapp/x"])
def test_no_client_speaks_for_a_session(server, client, path, name):
    """In any spelling, with sessions on and off."""
    said = raw(server, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{name}: admin=1\r\n"
                       f"X-Other: kept\r\n\r\n".encode())
    if said.startswith(b"HTTP/1.1 400"):
        return                          # httpd takes no such name for a header
    assert b"admin=1" not in said and b"kept" in said


@pytest.mark.parametrize("name", ["BSession-Data", "bsession_data"])
def test_no_header_named_in_connection(server, name):
    """A client's `Connection: BSession-Data` made mod_proxy delete our own header (HTTPD.md)."""
    said = raw(server, f"GET /app/x HTTP/1.1\r\nHost: x\r\nConnection: close, {name}\r\n{name}: admin=1\r\n\r\n"
               .encode())
    assert b"200 OK" in said and b"admin=1" not in said


def test_no_trailer(server):
    """With MergeTrailers On a trailer landed in headers_in after the body was read (HTTPD.md)."""
    said = raw(server, b"POST /app/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
                       b"Trailer: BSession-User\r\n\r\n3\r\nabc\r\n0\r\nBSession-User: admin\r\n\r\n")
    assert b"200 OK" in said and b"admin" not in said


def test_no_variable_from_a_header(server):
    said = raw(server, b"GET /cgi/env HTTP/1.1\r\nHost: x\r\nConnection: close\r\nBSESSION_user: intruder\r\n"
                       b"BSESSION: x\r\nBS_NEW: 1\r\n\r\n")
    assert b"intruder" not in said and b"BSESSION" not in said.upper().replace(b"/TMP/BSESSION-HTTP", b"")


def test_rewrite_sees_it_in_per_directory_context(client):
    """Fixups, before mod_rewrite."""
    assert client.get("/perdir/who").text == "a stranger\n"
    client.results("set=user:ann")
    assert client.get("/perdir/who").text == "hello ann\n"


def test_a_directory_index_in_an_off_place(client):
    """mod_dir's fixups run on a subrequest whose headers_in is a copy (HTTPD.md)."""
    client.results("set=user:ann")
    env = environment(client.get("/offdir/"))
    assert client.token not in str(env) and env["BSESSION_user"] == "ann"


def test_error_documents_see_it_once(client):
    """No REDIRECT_BSESSION* after an internal redirect, and the table as it is now."""
    client.results("set=user:ann")
    answer = client.probe("set=user:bob", "return=404", at="/errors")
    env = dict(line.split("=", 1) for line in answer.text.splitlines() if "=" in line)
    assert env["REDIRECT_STATUS"] == "404" and env["BSESSION_user"] == "bob"
    assert not [k for k in env if k.startswith("REDIRECT_BS")]


def test_a_rotated_session_shows_its_data(client):
    client.results("set=user:ann")
    client.probe("rotate")
    assert environment(client.get("/cgi/env"))["BSESSION_user"] == "ann"


def test_trace_is_left_alone(client):
    answer = client.request("TRACE", "/index.html", headers={"X-Other": "kept"})
    assert answer.status in (200, 405)
