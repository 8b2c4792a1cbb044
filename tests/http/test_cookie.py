"""The session's cookie: its attributes, when it is sent, and which ones are taken."""

import re

import pytest

from client import raw, STRANGER, TOKEN
from httpd import on


@pytest.fixture(scope="module")
def server(start):
    return start(on() + """
<Location /default>
    SetHandler bsession-probe
    BSessionCookie bsession
</Location>
<Location /all>
    SetHandler bsession-probe
    BSessionCookie __Secure-sid Path=/all Domain=example.org Secure=On HttpOnly=Off SameSite=None Partitioned=On Lifetime=30d
</Location>
<Location /auto>
    SetHandler bsession-probe
    BSessionCookie autosid Secure=Auto SameSite=Strict
</Location>
<Location /idle>
    SetHandler bsession-probe
    BSessionCookie idlesid Secure=Off Lifetime=idle
    BSessionIdleTimeout 1000
</Location>
<Location /two>
    SetHandler bsession-probe
    BSessionCookie secondsid Secure=Off Path=/two
</Location>
""")


def attributes(line):
    first, *rest = [part.strip() for part in line.split(";")]
    name, value = first.split("=")
    assert TOKEN.match(value), line
    return name, {a.split("=")[0].lower(): a.partition("=")[2] for a in rest}


SECURE_IN_THE_CLEAR = r"bsession:warn.*[Ss]ecure"


def test_safe_by_default(server, client):
    """P20 P22: ends with the browser, no Domain, no Max-Age; and a Secure cookie that leaves without
    TLS is worth one warning a start."""
    server.expect(SECURE_IN_THE_CLEAR)
    answer = client.probe("set=a:1", at="/default")
    (line,) = answer.cookies
    assert attributes(line) == ("bsession", {"path": "/", "secure": "", "httponly": "", "samesite": "Lax"})


def test_the_warning_comes_once(server):
    text = server.log()
    for _ in range(3):
        server.client().probe("set=a:1", at="/default")
    new = [line for line in server.log()[len(text):].splitlines() if re.search(SECURE_IN_THE_CLEAR, line)]
    assert len(re.findall(SECURE_IN_THE_CLEAR, text)) <= 1 and len(new) <= 1
    server.expect(SECURE_IN_THE_CLEAR)


def test_each_attribute(server, client):
    """P20 P23 P27: name, path, domain, Secure, HttpOnly, SameSite, Partitioned, a life of its own."""
    server.expect(SECURE_IN_THE_CLEAR)
    (line,) = client.probe("set=a:1", at="/all").cookies
    name, has = attributes(line)
    assert name == "__Secure-sid"
    expires = has.pop("expires", None)
    assert expires is None or "GMT" in expires
    assert has == {"path": "/all", "domain": "example.org", "secure": "", "samesite": "None",
                   "partitioned": "", "max-age": str(30 * 86400)}


def test_secure_auto_follows_the_connection(client):
    (line,) = client.probe("set=a:1", at="/auto").cookies
    assert attributes(line) == ("autosid", {"path": "/", "httponly": "", "samesite": "Strict"})


def test_deleting_repeats_where_it_lives(server, client):
    """The same Path, Domain, Secure and Partitioned."""
    server.expect(SECURE_IN_THE_CLEAR)
    client.probe("set=a:1", at="/all")
    (line,) = client.probe("destroy", at="/all").cookies
    assert line.startswith("__Secure-sid=;")
    words = {w.strip().lower() for w in line.split(";")[1:]}
    assert {"path=/all", "domain=example.org", "secure", "partitioned", "max-age=0"} <= words


def test_lifetime_idle(client):
    (line,) = client.probe("set=a:1", at="/idle").cookies
    assert 990 <= int(attributes(line)[1]["max-age"]) <= 1000


def test_sent_only_when_something_asks_for_it(client):
    """P24: on create, rotate, destroy; never on a mere change or a read."""
    assert len(client.probe("set=a:1").cookies) == 1
    assert client.probe("get=a").cookies == []
    assert client.probe("set=a:2", "incr=n:1").cookies == []
    assert client.probe("touch").cookies == []
    assert client.probe("save").cookies == []
    assert client.probe("clear").cookies == []
    assert len(client.probe("set=b:1", "rotate").cookies) == 1
    assert len(client.probe("destroy").cookies) == 1
    assert client.probe("get=a").cookies == []


def test_no_cookie_on_a_clean_request(server, client):
    for path in ("/index.html", "/probe?get=a", "/missing"):
        answer = client.get(path)
        assert answer.cookies == []
        assert answer.header("Cache-Control") is None or "no-store" not in answer.header("Cache-Control")


def test_a_session_of_its_own_for_each_location(client):
    """P25: several independent sessions on one site, with names of their own."""
    client.results("set=a:1")
    client.results("set=a:2", at="/two")
    assert set(client.jar) == {"bsession", "secondsid"}
    assert client.results("get=a") == ["=1"]
    assert client.results("get=a", at="/two") == ["=2"]
    assert len(client.probe("destroy", at="/two").cookies) == 1
    assert client.results("get=a") == ["=1"]


# -- one connection after the other request

@pytest.mark.parametrize("more", ["", "x" * 360, "x" * 600], ids=["short", "almost too long", "too long"])
def test_the_same_header_for_another_cookie(server, more):
    """What a connection remembers of a Cookie header is good for one name."""
    client = server.client(keep=True)
    client.jar["other"] = more
    assert client.results("set=a:1") == ["ok"]
    assert client.results("set=a:2", at="/two") == ["ok"]
    for _ in range(3):
        assert client.results("get=a") == ["=1"]
        assert client.results("get=a", at="/two") == ["=2"]
    client.close()


def test_visitors_in_turn_on_one_connection(server):
    """As behind a proxy, with cookies of the same length, and with ones that begin alike."""
    client = server.client(keep=True)
    jars = []
    for value in "1", "2", "3":
        client.jar = {}
        assert client.results(f"set=a:{value}") == ["ok"]
        jars.append(client.jar)
    token = jars[0]["bsession"]
    jars.append({"bsession": token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]})
    jars.append({"bsession": token + "x"})
    jars.append({})
    for _ in range(2):
        for jar, result in zip(jars, ["=1", "=2", "=3", "-", "-", "-"]):
            for _ in range(2):
                client.jar = dict(jar)
                assert client.results("get=a") == [result]
    client.close()


def test_a_token_that_is_replaced_on_its_connection(server):
    client = server.client(keep=True)
    assert client.results("set=a:1") == ["ok"]
    before = dict(client.jar)
    assert client.results("get=a") == ["=1"]
    assert client.results("rotate") == ["ok"]
    assert client.results("get=a") == ["=1"]
    assert client.results("destroy") == ["ok"]
    client.jar = before
    assert client.results("get=a") == ["-"]
    client.close()


JUNK = ["", "x", "=", STRANGER, "A" * 42, "A" * 44, "A" * 8000, "../../../../etc/passwd", "%00", "a b",
        "A" * 42 + "B", "A" * 42 + "=", "A" * 21 + "/" + "A" * 21, "A" * 21 + "\\0" + "A" * 20,
        "\"" + STRANGER + "\"", "; ; ;", "bsession=", "é" * 20, "'" + STRANGER]


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_junk_is_no_session(server, junk):
    """P37 P38: what a client made up is never adopted, nor a path, nor a reason for an error."""
    client = server.client()
    header = {"Cookie": ("bsession=" + junk).encode("utf-8").decode("latin-1")}
    answer = client.probe("load", "get=a", "tag", headers=header)
    if answer.status == 400:
        return                          # httpd itself refuses it
    assert answer.status == 200 and answer.results == ["NOTFOUND", "-", "-"]
    assert answer.cookies == []
    answer = client.probe("set=a:1", headers=header)
    assert answer.results == ["ok"] and client.token and client.token not in junk
    assert client.results("get=a") == ["=1"]


def test_a_null_byte_in_the_cookie(server):
    answer = raw(server, b"GET /probe?load HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                         b"Cookie: bsession=" + b"A" * 20 + b"\0" + b"A" * 22 + b"\r\n\r\n")
    assert b"load ok" not in answer


def test_the_right_selector_with_a_wrong_verifier(client):
    """Any other wrong verifier is an unknown token: nobody's record is read or overwritten."""
    client.results("set=a:1")
    thief = client.twin()
    token = client.token
    thief.jar["bsession"] = token[:30] + ("A" if token[30] != "A" else "B") + token[31:]
    assert thief.results("get=a", "load") == ["-", "NOTFOUND"]
    assert thief.results("set=a:2") == ["ok"]
    assert thief.token[:21] != token[:21]
    assert client.results("get=a") == ["=1"]


def test_of_two_cookies_the_valid_one_wins(client):
    """Of several cookies of our name the first two well-formed ones are looked up."""
    client.results("set=a:1")
    good = client.token
    for cookie in (f"bsession={STRANGER}; bsession={good}", f"bsession={good}; bsession={STRANGER}",
                   f"bsession=junk; bsession={STRANGER}; x=y; bsession={good}",
                   f"bsession={good}; bsession={good}; bsession={good}"):
        assert client.results("get=a", headers={"Cookie": cookie}) == ["=1"], cookie
    third = f"bsession={STRANGER}; bsession={'E' * 42 + 'A'}; bsession={good}"
    assert client.results("get=a", headers={"Cookie": third}) == ["-"]


def test_two_cookie_headers(server, client):
    """They reach the module joined by a comma (HTTPD.md)."""
    client.results("set=a:1")
    answer = raw(server, (f"GET /probe?get=a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: x=1\r\n"
                          f"Cookie: bsession={client.token}\r\n\r\n").encode())
    assert b"get =1" in answer


def test_a_name_that_only_ends_like_ours(client):
    client.results("set=a:1")
    for cookie in (f"xbsession={client.token}", f"bsession2={client.token}", f"Bsession={client.token}",
                   f"x=bsession={client.token}"):
        assert client.results("get=a", headers={"Cookie": cookie}) == ["-"], cookie


def test_a_token_is_taken_from_the_cookie_only(client):
    """Never from the URL or the body."""
    client.results("set=a:1")
    answer = client.request("POST", f"/probe?get=a&bsession={client.token}", body=f"bsession={client.token}",
                            headers={"Content-Type": "application/x-www-form-urlencoded",
                                     "X-Bsession": client.token, "Cookie": "x=y"})
    assert answer.results[0] == "-"
