"""httpd's own login form, mod_auth_form, with its login in our session."""

import base64
import concurrent.futures
import hashlib
import re
import urllib.parse

import pytest

from client import TOKEN
from doubles import wait_until
from httpd import on

PASSWORD = "open sesame+&="
MODS = ["session", "session_bsession", "request", "auth_form", "authn_core", "authn_file", "authz_user",
        "include", "rewrite"]
PLACES = """
<Location "/in">
    AuthType Form
    AuthName "the realm"
    AuthFormProvider file
    AuthUserFile {w}/users
    Require valid-user
    Session On
</Location>
<Location "/in/moved">
    AuthFormLoginRequiredLocation /login.html
</Location>
<Location "/in/inline">
    ErrorDocument 401 /login.html
</Location>
<Location "/in/handler">
    SetHandler form-login-handler
    AuthFormLoginSuccessLocation /in/page.html
    AuthFormLoginRequiredLocation /login.html?failed
    Require all granted
</Location>
<Location "/in/logout">
    AuthName "the realm"
    AuthFormLogoutLocation /bye.html
    Require all granted
    <If "%{REQUEST_METHOD} == 'POST'">
        SetHandler form-logout-handler
    </If>
</Location>
<Location "/in/probe">
    SetHandler bsession-probe
</Location>
<Location "/in/env">
    SetHandler cgi-script
    Options +ExecCGI
    SessionEnv On
</Location>
<Location "/cgi">
    Session On
    SessionEnv On
</Location>
<Location "/in/site">
    AuthFormSitePassphrase "a phrase of the site"
</Location>
<Location "/in/short">
    SessionMaxAge 2
</Location>
<LocationMatch "^/in/own">
    BSessionUser user max=2 deny
</LocationMatch>
<Location "/in/own/handler">
    SetHandler form-login-handler
    AuthFormLoginSuccessLocation /in/page.html
    AuthFormLoginRequiredLocation /login.html?failed
    Require all granted
</Location>
<Location "/in/own/logout">
    AuthFormLogoutLocation /bye.html
    Require all granted
    SetHandler form-logout-handler
</Location>
"""


def prepare(server):
    lines = [f"{user}:{{SHA}}{base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()}\n"
             for user in ("ann", "bob")]
    users = server.writable / "users"
    users.write_text("".join(lines))
    users.chmod(0o644)
    for name in ("in/page", "in/moved/page", "in/inline/page", "in/site/page", "in/short/page"):
        server.document(f"{name}.html", f"the page {name}\n")
    server.document("login.html", "log in please\n")
    server.document("bye.html", "bye\n")
    env = server.document("in/env/env", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nenv\n")
    env.chmod(0o755)


@pytest.fixture(scope="module")
def server(start):
    return start(on("BSessionEnv All", "BSessionOnOutage deny") + PLACES, mods=MODS, prepare=prepare)


@pytest.fixture(autouse=True)
def no_password_anywhere(server):
    yield
    assert "sesame" not in server.log() + server.access_log.read_text()


def post(client, path, **fields):
    answer = client.request("POST", path, urllib.parse.urlencode(fields),
                            {"Content-Type": "application/x-www-form-urlencoded"})
    assert "sesame" not in str(answer.headers)
    return answer


def log_in(client, user="ann", password=PASSWORD, path="/in/handler", **more):
    return post(client, path, httpd_username=user, httpd_password=password, **more)


def location(answer):
    return re.sub(r"^http://[^/]*", "", answer.header("Location"))


def gets(client, path="/in/page.html"):
    return client.get(path).status


def test_a_login_through_the_handler(client):
    answer = log_in(client)
    assert (answer.status, location(answer)) == (302, "/in/page.html")
    [line] = answer.cookies
    assert re.match(r"bsession=[\w-]{43}; Path=/; HttpOnly; SameSite=Lax$", line)
    answer = client.get("/in/page.html")
    assert (answer.status, answer.text) == (200, "the page in/page\n") and answer.cookies == []
    # the visitor next door is nobody
    assert gets(client.server.client()) == 401


def test_where_to_afterwards(client):
    assert location(log_in(client, httpd_location="/in/site/page.html")) == "/in/site/page.html"
    assert gets(client, "/in/site/page.html") == 200


def test_a_login_on_the_page_itself(client):
    """Inline: a 401 whose ErrorDocument is the form, and a form that is sent to the page."""
    answer = client.get("/in/inline/page.html")
    assert (answer.status, answer.text, answer.cookies) == (401, "log in please\n", [])
    answer = log_in(client, path="/in/inline/page.html")
    assert (answer.status, answer.text) == (200, "the page in/inline/page\n")
    assert len(answer.cookies) == 1 and gets(client, "/in/inline/page.html") == 200


def test_a_login_on_the_page_itself_with_another_method(client):
    """The form says what was asked for at first, and mod_auth_form answers by a subrequest."""
    answer = log_in(client, path="/in/inline/page.html", httpd_method="GET", httpd_body="a=1",
                    httpd_mimetype="application/x-www-form-urlencoded")
    assert (answer.status, answer.text) == (200, "the page in/inline/page\n")
    assert len(answer.cookies) == 1 and gets(client) == 200


def test_a_login_elsewhere(client):
    answer = client.get("/in/moved/page.html")
    assert (answer.status, location(answer), answer.cookies) == (302, "/login.html", [])


@pytest.mark.parametrize("path,status", [("/in/handler", 302), ("/in/inline/page.html", 401), ("/in/page.html", 401)])
@pytest.mark.parametrize("user,password,said", [("ann", "wrong", "AH01807"), ("eve", PASSWORD, "AH01808"),
                                                ("ann", "", "AH01807")])
def test_a_wrong_password(server, client, path, status, user, password, said):
    server.expect(said)
    answer = log_in(client, user, password, path)
    assert answer.status == status and answer.cookies == [] and client.jar == {}
    if path == "/in/handler":
        assert location(answer) == "/login.html?failed"
    assert gets(client) == 401


def test_a_wrong_password_leaves_the_session_alone(server, client):
    server.expect("AH01807")
    client.results("set=cart:1")
    token = client.token
    assert log_in(client, password="wrong").cookies == []
    assert client.results("get=cart") == ["=1"] and client.token == token


def test_the_cookie_from_before_the_login_is_dead(client):
    client.results("set=cart:1")
    before = client.twin()
    log_in(client)
    assert client.token != before.token and client.results("get=cart") == ["=1"]
    assert gets(before) == 401 and before.results("get=cart") == ["-"]
    assert gets(client) == 200


def test_a_login_outlives_a_graceful_restart(server, client):
    log_in(client)
    server.graceful()
    assert gets(client) == 200


def test_a_login_is_good_in_each_child(server, client):
    log_in(client, httpd_location="/")
    pids = set()
    clients = [client.twin() for _ in range(8)]

    def ask(c):
        answer = c.probe("pid", at="/in/probe")
        assert answer.status == 200
        return answer.results[0]

    def several():
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            pids.update(pool.map(ask, clients))
        return len(pids) > 1 or len(server.children()) < 2
    wait_until(several, "a second child to answer")


def test_a_login_is_good_on_a_second_server(build, start, server, client):
    if not build.store or build.store.startswith("memory:"):
        pytest.skip("memory: belongs to one server; with --store another one is asked")
    twin = start(on() + PLACES, mods=MODS, prepare=prepare)
    log_in(client)
    there = twin.client()
    there.jar = dict(client.jar)
    assert gets(there) == 200
    there.request("POST", "/in/logout")
    assert gets(client) == 401


# -- logging out

def test_a_logout(client):
    log_in(client)
    thief = client.twin()
    answer = post(client, "/in/logout")
    assert (answer.status, location(answer)) == (307, "/bye.html")
    assert len(answer.cookies) == 1 and client.jar == {}
    assert gets(client) == 401 and gets(thief) == 401
    assert thief.results("load") == ["NOTFOUND"]


def test_a_logout_leaves_what_others_keep(client):
    client.results("set=cart:1")
    log_in(client)
    thief = client.twin()
    post(client, "/in/logout")
    assert client.results("get=cart") == ["=1"] and client.token != thief.token
    assert gets(client) == 401 and gets(thief) == 401 and thief.results("get=cart") == ["-"]


def test_a_logout_of_nobody(client):
    answer = post(client, "/in/logout")
    assert answer.status == 307 and answer.cookies == []
    client.results("set=cart:1")
    token = client.token
    assert post(client, "/in/logout").cookies == []
    assert client.results("get=cart") == ["=1"] and client.token == token


def test_a_get_logs_nobody_out(client):
    log_in(client)
    for method in "GET", "HEAD":
        assert client.request(method, "/in/logout").status == 404
    assert gets(client) == 200


# -- several

def test_another_user(client):
    log_in(client)
    first = client.twin()
    log_in(client, "bob")
    assert "REMOTE_USER=bob\n" in client.get("/in/env/env").text
    assert gets(first) == 401 and gets(client) == 200


def test_parallel_pages(server, client):
    log_in(client)
    clients = [client.twin() for _ in range(6)]

    def work(c):
        for _ in range(10):
            assert c.results("incr=n:1")[0].startswith("=") and gets(c) == 200
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(work, clients))
    assert client.results("get=n") == ["=60"] and gets(client) == 200


# -- secrets, and ends

def test_the_password_is_nowhere(server, client):
    client.results("set=cart:1")
    log_in(client)
    answer = client.get("/in/env/env")
    assert "BSESSION_cart=1" in answer.text and "REMOTE_USER=ann" in answer.text
    assert re.search(r"^HTTP_SESSION=the%20realm-user=ann$|^HTTP_SESSION=the\+realm-user=ann$", answer.text, re.M)
    for secret in "sesame", "mod_session", "-pw":
        assert secret not in answer.text
    assert "HTTP_COOKIE" not in answer.text
    assert all(TOKEN.match(value) for value in client.jar.values())


def test_a_site_passphrase(client):
    log_in(client, path="/in/site/page.html")
    assert gets(client, "/in/site/page.html") == 200


def test_the_login_ends(client):
    """SessionMaxAge, by mod_session; its page asks for a new login then, and gets one."""
    log_in(client, path="/in/short/page.html")
    assert gets(client, "/in/short/page.html") == 200
    # asked elsewhere, since this page prolongs
    wait_until(lambda: gets(client) == 401, "the end of the login")
    assert gets(client, "/in/short/page.html") == 401
    assert log_in(client, path="/in/short/page.html").status == 200
    assert gets(client, "/in/short/page.html") == 200


# ---- whose it is ----


def own(client, user="ann"):
    answer = log_in(client, user, path="/in/own/handler")
    return answer.status, len(answer.cookies)


def test_a_login_names_the_owner(server):
    """Where BSessionUser is: its sessions are listed, limited and ended like any other's."""
    first, second, third, admin = [server.client() for _ in range(4)]
    assert own(first) == own(second) == (302, 1)
    assert first.results("user", at="/in/probe") == ["=ann"]
    server.expect("as many sessions as BSessionUser max= allows", "what mod_session changed is dropped: its user has as many")
    assert own(third) == (503, 0) and gets(third) == 401
    assert len(admin.results("sessions=ann")[0].split(",")) == 2
    assert admin.results("revoke_user=ann") == ["ok"]
    assert gets(first) == gets(second) == 401
    assert own(third) == (302, 1) and gets(third) == 200
    assert admin.results("revoke_user=ann") == ["ok"]


def test_a_logout_leaves_nobody(server, client):
    own(client)
    client.results("set=cart:1", at="/in/probe")
    assert own(client, "bob") == (302, 1)
    assert client.results("user", "sessions=ann", at="/in/probe") == ["=bob", "-"]
    assert post(client, "/in/own/logout").status == 307
    assert client.results("user", "get=cart", "sessions=bob") == ["-", "=1", "-"]


def test_without_bsessionuser_nobody_owns_it(client):
    log_in(client)
    assert client.results("user", at="/in/probe") == ["-"]
