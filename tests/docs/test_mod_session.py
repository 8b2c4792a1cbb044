"""The site of docs/mod_session.md: it lets in who knows a password, and out who says so."""
import base64
import hashlib
import re

from pages import MOD_SESSION, fenced

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_the_site_of_the_page(server):
    [(_, config)] = fenced(MOD_SESSION, "apache")
    running = server(re.sub("(?m)^LoadModule.*\n", "", config).replace("/etc/httpd/users", "{w}/users")
                     + "<Location />\nBSessionCookie trial Secure=Auto\n</Location>\n")
    users = running.writable / "users"
    users.write_text(f"ann:{{SHA}}{base64.b64encode(hashlib.sha1(b'sesame').digest()).decode()}\n")
    users.chmod(0o644)
    running.document("login.html", "who is there\n")
    running.start()
    visitor = running.client()
    assert visitor.get("/").header("Location").endswith("/login.html")
    assert visitor.get("/login.html").text == "who is there\n"
    answer = visitor.request("POST", "/login", "httpd_username=ann&httpd_password=sesame", FORM)
    assert answer.status == 302 and len(answer.cookies) == 1
    assert visitor.get("/").status == 200
    running.graceful()
    assert visitor.get("/").status == 200
    running.expect("AH01623")
    assert visitor.get("/logout").status == 405
    assert visitor.get("/").status == 200
    assert visitor.request("POST", "/logout").status == 307 and visitor.jar == {}
    assert visitor.get("/").status == 302
    assert running.surprises() == []
