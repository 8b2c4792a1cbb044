"""Who sees a session's variables and request headers, as docs/directives.md says."""
import re
import urllib.parse

import pytest

import doubles
from httpd import on
from pages import DIRECTIVES, fenced, sections

LOGIN = 'echo "Content-Type: text/plain"\necho "BSession-Set: $QUERY_STRING"\necho\n'
WELCOME = ('echo "Location: /cgi/env"\necho "BSession-Set: user=ann"\necho\n')
ENVIRONMENT = 'echo "Content-Type: text/plain"\necho\nenv\n'

# the page's example; its application runs at an address of the test's
[PROXIED] = [text for _, text in fenced(DIRECTIVES, "apache") if "RequestHeader" in text]
TOLD = sections()["BSessionHeader"]["example"]
# what it shows of the application
[(_, DECODED)] = fenced(DIRECTIVES, "python")


@pytest.fixture
def application():
    one = doubles.Backend()
    yield one
    one.close()


@pytest.fixture
def running(server, application):
    def run(config="", example=PROXIED):
        address = f"127.0.0.1:{application.port}/app"
        one = server(on("BSessionEnv user User", "BSessionWriteBack On")
                     + example.replace("127.0.0.1:8080/app", address) + config)
        one.script("login", LOGIN)
        one.script("welcome", WELCOME)
        one.script("env", ENVIRONMENT)
        return one.start()
    return run


def variables(answer):
    """Those of ours, as a script prints them."""
    return dict(re.findall(r"^(BS\w+)=(.*)$", answer.text, re.M))


def visitors(answer):
    """Of what the proxied application got, all that could say who it is."""
    return re.findall(r"^(visitor.*)\r$", answer.text, re.M | re.I)


def test_a_proxied_application_is_told_by_a_header(running):
    visitor = running().client()
    forged = {"Visitor": "root", "visitor": "root"}
    assert visitors(visitor.get("/app", headers=forged)) == []
    visitor.get("/cgi/login?user=ann")
    assert visitors(visitor.get("/app", headers=forged)) == ["Visitor: ann"]


def test_a_value_makes_no_header_of_its_own(running):
    visitor = running().client()
    visitor.get("/cgi/login?user=ann%0D%0AVisitor:%20root")
    assert visitors(visitor.get("/app")) == ["Visitor: ann  Visitor: root"]


def session_of(answer):
    """The session as the application decodes it; the answer shows the headers that it got."""
    lines = [line.split(": ", 1) for line in answer.text.splitlines()[1:]]
    found = {"urllib": urllib, "headers": dict(lines)}
    exec(DECODED, found)
    return found["session"]


def test_a_proxied_application_is_told_of_the_session(running, application):
    visitor = running(example=TOLD).client()
    forged = {"BSession-Data": "user=root", "BSession_Data": "user=root"}
    answer = visitor.get("/app", headers=forged)
    assert session_of(answer) == {} and "BSession" not in answer.text
    application.headers = ["BSession-Set: user=Zo%C3%AB%0D%0AVisitor:%20root&cart=&other=1"]
    visitor.get("/app")
    application.headers = []
    answer = visitor.get("/app", headers=forged)
    assert session_of(answer) == {"user": "Zoë\r\nVisitor: root", "cart": ""}
    assert re.findall(r"^(BSession-\w+):", answer.text, re.M) == [
        "BSession-Data", "BSession-Tag", "BSession-New", "BSession-Expires"]


def test_the_request_behind_a_redirect_sees_what_was_written_back(running):
    visitor = running().client()
    assert variables(visitor.get("/cgi/welcome")) == {"BSESSION_user": "ann"}
    again = variables(visitor.get("/cgi/env"))
    assert again["BSESSION_user"] == "ann" and again["BS_NEW"] == "0"
    assert {"BSESSION", "BS_EXPIRES"} < set(again)


def test_of_keys_that_differ_in_case_one_is_seen(running):
    visitor = running().client()
    visitor.get("/cgi/login?user=ann&User=bea")
    seen = variables(visitor.get("/cgi/env"))
    assert seen["BSESSION_User"] == "bea" and "BSESSION_user" not in seen


def test_what_is_evaluated_earlier_does_not_see_them(running):
    one = running("""
RewriteEngine On
RewriteCond %{ENV:BSESSION_user} ann
RewriteRule ^ - [E=BS_HOST_RULE:1]
SetEnvIfExpr "-n reqenv('BSESSION_user')" BS_SETENVIF=1
<If "-n reqenv('BSESSION_user')">
    SetEnv BS_IF 1
</If>
<Directory {cgi}>
    RewriteEngine On
    RewriteCond %{ENV:BSESSION_user} ann
    RewriteRule ^ - [E=BS_DIRECTORY_RULE:1]
</Directory>
<Location /env.html>
    Require env BSESSION_user
</Location>
<Location /expr.html>
    Require expr "-n reqenv('BSESSION_user')"
</Location>
<Location /session.html>
    Require bsession user
</Location>
""")
    one.expect("AH01630")
    visitor = one.client()
    visitor.get("/cgi/login?user=ann")
    seen = set(variables(visitor.get("/cgi/env")))
    assert seen & {"BS_HOST_RULE", "BS_SETENVIF", "BS_IF", "BS_DIRECTORY_RULE"} == {
        "BS_DIRECTORY_RULE"}
    statuses = {}
    for name in ("env", "expr", "session"):
        one.document(f"{name}.html", "\n")
        statuses[name] = visitor.get(f"/{name}.html").status
    assert statuses == {"env": 403, "expr": 403, "session": 200}
