"""What applications are told of a session, and what clients cannot tell them."""

import re

import pytest

from client import h2_post, h2_upgraded, raw
from httpd import on

SPELLINGS = ["BSession-Data", "bsession-data", "BSESSION-DATA", "BSession_Data", "BSession.Data",
             "BSession--Data", "bsession", "BSession-User", "Bsession-Tag", "BSession~Data",
             "BSession-Set", "bsession_user", "BSession!"]


def prepare(server):
    server.script("env", "printf 'Content-Type: text/plain\\n\\n'; env | sort\n")
    server.document("perdir/.htaccess", "RewriteEngine On\n"
                    "RewriteCond %{ENV:BSESSION_user} =ann\nRewriteRule ^who$ /perdir/ann.txt [L]\n")
    server.document("perdir/ann.txt", "hello ann\n")
    server.document("perdir/who", "not ann\n")
    index = server.document("offdir/index.cgi",
                            "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; env | sort\n")
    index.chmod(0o755)


@pytest.fixture(scope="module")
def server(start, backend):
    return start("Protocols h2c http/1.1\n" + on("BSessionEnv All") + f"""
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
ScriptAlias /edited/ "{{cgi}}/"
<Location "/edited">
    RequestHeader set Cookie edited
</Location>
ProxyPass /app http://127.0.0.1:{backend.port}/app
ProxyPass /offapp http://127.0.0.1:{backend.port}/offapp
<Location "/offapp">
    BSession Off
</Location>
SetEnvIf BSession-User (.+) HEARD=$1
<Location "/guarded">
    SetHandler bsession-probe
    Require expr "%{{HTTP:BSession-User}} == 'admin'"
</Location>
ErrorDocument 400 /cgi/env
ErrorDocument 417 /cgi/env
<Location "/errors">
    ErrorDocument 404 /cgi/env
    SetHandler bsession-probe
</Location>
""", mods=["rewrite", "proxy", "proxy_http", "http2"], prepare=prepare)


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


@pytest.mark.parametrize("keys", [("User", "user"), ("user", "User")])
def test_keys_that_differ_in_case(client, keys):
    """Variables of one name to httpd's tables: one is exported, the first in order, wherever one asks."""
    client.results(*[f"set={key}:{'ann' if key == 'User' else 'bob'}" for key in keys])
    env = ours(environment(client.get("/cgi/env")))
    assert {k: v for k, v in env.items() if k.upper() == "BSESSION_USER"} == {"BSESSION_User": "ann"}
    assert client.get("/perdir/who").text == "hello ann\n"
    client.results("set=User:bob", "set=user:ann")
    env = ours(environment(client.get("/cgi/env")))
    assert {k: v for k, v in env.items() if k.upper() == "BSESSION_USER"} == {"BSESSION_User": "bob"}
    assert client.get("/perdir/who").text == "not ann\n"


def test_a_key_that_is_not_selected_takes_no_variable(client):
    client.results("set=a.b:dots", "set=a_b:exact")
    assert environment(client.get("/keys/env"))["BSESSION_a_b"] == "dots"


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


@pytest.mark.parametrize("upgrade", ["foo", "websocket", "foo, bar/1"])
def test_nor_where_the_client_asks_for_another_protocol(client, upgrade):
    """What mod_headers has made of the other cookies stays, too."""
    client.results("set=a:1")
    for cookie, left in ((f"a=1; bsession={client.token}; b=2", "a=1; b=2"), (f"bsession={client.token}", None)):
        headers = {"Upgrade": upgrade, "Connection": "Upgrade", "Cookie": cookie}
        for path in ("/cgi/env", "/off/env", "/edited/env"):
            answer = client.get(path, headers=headers)
            assert environment(answer).get("HTTP_COOKIE") == ("edited" if path.startswith("/edited") else left)
            assert client.token not in answer.text
        text = client.get("/app/x", headers=headers).text
        assert client.token not in text and (left is None) == ("Cookie:" not in text)


def test_nor_where_it_does_not_get_it(client):
    """A request with a body stays what it is."""
    client.results("set=a:1")
    answer = client.request("POST", "/probe?seen=Cookie&get=a", "a body", headers={
        "Upgrade": "h2c", "Connection": "Upgrade", "Cookie": f"a=1; bsession={client.token}"})
    assert answer.results == ["=a%3d1", "=1"]


def test_http2_by_an_upgrade(server, client, build):
    """The request begins anew as a stream, with the cookie that it came with, and what the first one was told
    of the session is not the client's to say."""
    if build.mpm == "prefork":
        pytest.skip("mod_http2 does not serve under prefork")
    client.results("set=user:ann")
    answer = h2_upgraded(server, "/probe?get=user&seen=Cookie&seen=BSession-Data", f"a=1; bsession={client.token}")
    assert answer.results == ["=ann", "=a%3d1", "-"] and answer.cookies == []
    env = environment(h2_upgraded(server, "/cgi/env", f"bsession={client.token}"))
    assert env["BSESSION_user"] == "ann" and "HTTP_COOKIE" not in env


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("path", ["/cgi/env", "/off/env", "/app/x", "/offapp/x"])
def test_no_client_speaks_for_a_session(server, client, path, name):
    """In any spelling, with sessions on and off."""
    said = raw(server, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{name}: admin=1\r\n"
                       f"X-Other: kept\r\n\r\n".encode())
    if said.startswith(b"HTTP/1.1 400"):
        return                          # httpd takes no such name for a header
    assert b"admin=1" not in said and b"kept" in said


def test_nor_to_what_asks_before_the_application(server, client):
    """Variables that httpd makes of headers as soon as it has read them, and who may come in."""
    spoofed = {"BSession-User": "admin"}
    assert "HEARD" not in environment(client.get("/cgi/env", headers=spoofed))
    server.expect("AH01630: client denied")
    assert client.get("/guarded?pid", headers=spoofed).status == 403


@pytest.mark.parametrize("name", ["BSession-Data", "bsession_data"])
def test_no_header_named_in_connection(server, name):
    """A client's `Connection: BSession-Data` made mod_proxy delete our own header (HTTPD.md)."""
    said = raw(server, f"GET /app/x HTTP/1.1\r\nHost: x\r\nConnection: close, {name}\r\n{name}: admin=1\r\n\r\n"
               .encode())
    assert b"200 OK" in said and b"admin=1" not in said


def test_no_trailer(server):
    """With MergeTrailers On a trailer landed in headers_in after the body was read (HTTPD.md)."""
    for path, body in (("/app/x", b""),
                       ("/probe?seen=BSession-User&read&seen=BSession-User&seen=X-Other",
                        b"seen -\nread 3 bytes\nseen -\nseen =1\n")):
        said = raw(server, f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
                   + b"Transfer-Encoding: chunked\r\nTrailer: BSession-User\r\n\r\n3\r\nabc\r\n0\r\n"
                     b"BSession-User: admin\r\nX-Other: 1\r\n\r\n")
        assert b"200 OK" in said and b"admin" not in said and body in said


def test_no_trailer_over_http2(server, build):
    """There a body of known length may have trailers, too."""
    if build.mpm == "prefork":
        pytest.skip("mod_http2 does not serve under prefork")
    said = h2_post(server, "/probe?seen=BSession-User&read&seen=BSession-User&seen=X-Other",
                   b"abc", {"bsession-user": "admin", "x-other": "1"})
    assert said == b"seen -\nread 3 bytes\nseen -\nseen =1\n"


def test_no_variable_from_a_header(server):
    said = raw(server, b"GET /cgi/env HTTP/1.1\r\nHost: x\r\nConnection: close\r\nBSESSION_user: intruder\r\n"
                       b"BSESSION: x\r\nBS_NEW: 1\r\n\r\n")
    assert b"intruder" not in said and b"BSESSION" not in said.upper().replace(b"/TMP/BSESSION-HTTP", b"")


def test_rewrite_sees_it_in_per_directory_context(client):
    """Fixups, before mod_rewrite."""
    assert client.get("/perdir/who").text == "not ann\n"
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


@pytest.mark.parametrize("status,begins", [(400, "GET /x HTTP/1.1"),
                                           (417, "GET /x HTTP/1.1\r\nHost: x\r\nExpect: magic")])
def test_documents_of_early_errors(server, client, status, begins):
    """They run without our first hook having seen the request."""
    client.results("set=a:1")
    said = raw(server, f"{begins}\r\nConnection: close\r\nBSession-Data: admin=1\r\nX-Other: kept\r\n"
                       f"Cookie: bsession={client.token}; b=2\r\n\r\n".encode()).decode()
    env = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    assert env["REDIRECT_STATUS"] == str(status) and env["HTTP_X_OTHER"] == "kept"
    assert env["HTTP_COOKIE"] == "b=2" and client.token not in said
    assert "HTTP_BSESSION_DATA" not in env and "admin" not in said


def test_a_rotated_session_shows_its_data(client):
    client.results("set=user:ann")
    client.probe("rotate")
    assert environment(client.get("/cgi/env"))["BSESSION_user"] == "ann"


def test_trace_is_left_alone(client):
    """It shows the client what the client sent."""
    client.results("set=a:1")
    cookie = f"b=2; bsession={client.token}"
    answer = client.request("TRACE", "/index.html", headers={"X-Other": "kept", "Cookie": cookie})
    assert answer.status == 200 and "X-Other: kept" in answer.text and f"Cookie: {cookie}" in answer.text


def test_trace_that_is_passed_on(client):
    client.results("set=a:1")
    answer = client.request("TRACE", "/app/x", headers={"Max-Forwards": "4", "X-Other": "kept",
                                                        "Cookie": f"b=2; bsession={client.token}"})
    assert answer.status == 200 and client.token not in answer.text
    assert re.search(r"(?m)^Max-Forwards: 3\r?$", answer.text), answer
    assert re.search(r"(?m)^Cookie: b=2\r?$", answer.text)
