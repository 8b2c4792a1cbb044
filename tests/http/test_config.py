"""configtest: each wrong configuration gets a sentence that says what was expected."""

import pathlib
import re

import pytest

from httpd import Httpd, on

# lines -> a part of what is said
WRONG = [
    ("BSession Maybe", "Off, On, ReadOnly or Passive"),
    ("BSession", "takes one argument"),
    ("BSession On Off", "takes one argument"),
    ("BSessionStore", "a name, a URL such as memory:"),
    ("BSessionStore x", "a name, a URL such as memory:"),
    ("BSessionStore x memory", "memory:"),
    ("BSessionStore x nosuch:/y", "memory:"),
    ("BSessionStore x memory:y", "memory: and the path of a file, which begins with one /"),
    ("BSessionStore x memory://y", "which begins with one /"),
    ("BSessionStore x memory:/y/", "not of a directory"),
    ("BSessionStore x ''", "memory:"),
    ("BSessionStore 'a b' memory:", "letters, digits"),
    ("BSessionStore '' memory:", "letters, digits"),
    ("BSessionStore " + "n" * 65 + " memory:", "1 to 64"),
    ("BSessionStore x memory: size", "key=value"),
    ("BSessionStore x memory: =1", "key=value"),
    ("BSessionStore x memory: size=", "a size such as 64M"),
    ("BSessionStore x memory: size=big", "a size such as 64M"),
    ("BSessionStore x memory: size=-1", "a size such as 64M"),
    ("BSessionStore x memory: size=1", "from 1M to 1T"),
    ("BSessionStore x memory: size=99999T", "1T"),
    ("BSessionStore x memory: size=99999999999999999999", "a size"),
    ("BSessionStore x memory: size=8M size=8M", "twice"),
    ("BSessionStore x memory: colour=red", "unknown option 'colour='"),
    ("BSessionStore x memory: colour=red", "timeout= and breaker="),
    ("BSessionStore x memory: Timeout=never", "a time from 1ms"),
    ("BSessionStore x memory: timeout=never", "a time from 1ms"),
    ("BSessionStore x memory: timeout=0", "timeout"),
    ("BSessionStore x memory: timeout=-2s", "timeout"),
    ("BSessionStore x memory: timeout=1s timeout=2s", "twice"),
    ("BSessionStore x memory: breaker=maybe", "breaker"),
    ("BSessionStore x memory: breaker=5", "breaker"),
    ("BSessionStore x memory: breaker=5,1s", "breaker"),
    ("BSessionStore x memory: breaker=0,1s,30s", "breaker"),
    ("BSessionStore x memory: breaker=5,30s,1s", "breaker"),
    ("BSessionStore x memory: breaker=5,1s,30s,1", "breaker"),
    ("BSessionStore x memory:\nBSessionStore x memory: size=8M", "defined already, and differently"),
    ("<Location />\nBSessionStore x memory:\n</Location>", "BSessionStore"),
    ("<Location />\nBSessionUse nosuch\n</Location>", "nosuch"),
    ("BSessionUse", "takes one argument"),
    ("BSessionStore a memory:\nBSessionStore b memory:\n<Location />\nBSession On\nBSessionCookie s\n</Location>",
     "BSessionUse"),
    ("BSessionStore a memory:\nBSessionStore b memory:\n<Location />\nBSession On\n</Location>", "BSessionUse"),
    ("BSessionStore default memory:\n<Location />\nBSession On\nBSessionMigrateFrom default\n</Location>",
     "BSessionMigrateFrom default: this is the store in use"),
    ("BSessionStore a memory:\nBSessionStore default memory:\n"
     "<Location />\nBSessionUse a\nBSessionMigrateFrom a\n</Location>", "this is the store in use"),
    ("<Location />\nBSessionMigrateFrom nosuch\n</Location>", 'no BSessionStore defines "nosuch"'),
    ("BSessionMigrateFrom", "takes one argument"),
    ("BSessionRealm", "takes one argument"),
    ("BSessionRealm ''", "a name by which virtual hosts share sessions"),
    ("BSessionRealm " + "r" * 256, "1 to 255"),
    ("<Location />\nBSessionRealm x\n</Location>", "BSessionRealm"),
    ("BSessionCookie", "BSessionCookie"),
    ("BSessionCookie 'a b'", "name"),
    ("BSessionCookie a=b", "name"),
    ("BSessionCookie ''", "name"),
    ("BSessionCookie naïve", "name"),
    ("BSessionCookie s Path=x", "begin with /"),
    ("BSessionCookie s 'Path=/a;b'", "Path="),
    ("BSessionCookie s Domain=a_b", "Domain="),
    ("BSessionCookie s Domain=example.com:80", "Domain="),
    ("BSessionCookie s Secure=Perhaps", "On, Off or Auto"),
    ("BSessionCookie s HttpOnly=Perhaps", "On or Off"),
    ("BSessionCookie s SameSite=Loose", "Lax, Strict, None or Off"),
    ("BSessionCookie s SameSite=None Secure=Off", "needs Secure=On"),
    ("BSessionCookie s SameSite=None Secure=Auto", "needs Secure=On"),
    ("BSessionCookie s Partitioned=On Secure=Off", "needs Secure=On"),
    ("BSessionCookie s Partitioned=Perhaps", "On or Off"),
    ("BSessionCookie __Secure-s Secure=Off", "needs Secure=On"),
    ("BSessionCookie __Host-s Secure=Off", "needs Secure=On"),
    ("BSessionCookie __Host-s Path=/x", "Path=/"),
    ("BSessionCookie __Host-s Domain=example.com", "no Domain="),
    ("BSessionCookie __host-s Path=/x", "Path=/"),
    ("BSessionCookie s Lifetime=401d", "400d"),
    ("BSessionCookie s Lifetime=0", "1s"),
    ("BSessionCookie s Lifetime=soon", "session, idle or"),
    ("BSessionCookie s Max-Age=5", "unknown attribute"),
    ("BSessionCookie s Secure", "unknown attribute"),
    ("BSessionCookie s Path=/x path=/y", "path= is given twice"),
    ("BSessionCookie " + "n" * 5000, "4096"),
    ("BSessionIdleTimeout", "takes one argument"),
    ("BSessionIdleTimeout soon", "a time"),
    ("BSessionIdleTimeout 0", "1s"),
    ("BSessionIdleTimeout 999ms", "1s"),
    ("BSessionIdleTimeout -1", "a time"),
    ("BSessionIdleTimeout 99999999999999999d", "a time"),
    ("BSessionIdleTimeout Off", "a time"),
    ("BSessionAbsoluteTimeout never", "Off or a time"),
    ("BSessionAbsoluteTimeout 0", "1s"),
    ("BSessionAbsoluteTimeout 106751991d", "36500d"),
    ("BSessionSlide sideways", "access or write"),
    ("BSessionLimit", "BSessionLimit"),
    ("BSessionLimit 64K", "size=64K and keys=256"),
    ("BSessionLimit keys=5 KEYS=6", "keys= is given twice"),
    ("BSessionLimit size=1K keys=5 keys=6", "takes 1-2 arguments"),
    ("BSessionLimit size=0", "64 bytes to 64M"),
    ("BSessionLimit size=1T", "64 bytes to 64M"),
    ("BSessionLimit keys=0", "whole number"),
    ("BSessionLimit keys=many", "whole number"),
    ("BSessionLimit size=64K colour=red", "size=64K and keys=256"),
    ("BSessionBind", "any of ua, ip and tls"),
    ("BSessionBind action=log", "any of ua, ip and tls"),
    ("BSessionBind Off ua", "any of ua, ip and tls"),
    ("BSessionBind referer", "any of ua, ip and tls"),
    ("BSessionBind ua tls UA", "UA is given twice"),
    ("BSessionBind ip/24 ip", "ip is given twice"),
    ("BSessionBind ua action=log action=revoke", "action= is given twice"),
    ("BSessionBind ua action=panic", "log or revoke"),
    ("BSessionBind ip/0", "1 to 32"),
    ("BSessionBind ip/33", "1 to 32"),
    ("BSessionBind ip/24/129", "1 to 128"),
    ("BSessionBind ip/", "1 to 32"),
    ("BSessionBind ip/24/", "1 to 128"),
    ("BSessionBind ip/24/56/8", "1 to 128"),
    ("BSessionBind ip/x", "1 to 32"),
    ("BSessionOnOutage panic", "deny or anonymous"),
    ("BSessionEnv", "BSessionEnv"),
    ("BSessionEnv All user", "not together"),
    ("BSessionEnv user Off", "not together"),
    ("BSessionEnv user,cart", "separated by spaces"),
    ("BSessionEnv _bsx", "cannot be a key"),
    ("BSessionEnv " + "k" * 129, "cannot be a key"),
    ("BSessionHeader", "BSessionHeader"),
    ("BSessionHeader All user", "BSessionHeader takes Off, or All, or keys: not together"),
    ("BSessionHeader user Off", "not together"),
    ("BSessionHeader user,cart", "BSessionHeader: keys are separated by spaces"),
    ("BSessionHeader _bsx", "BSessionHeader: \"_bsx\" cannot be a key"),
    ("BSessionWriteBack Perhaps", "On or Off"),
    ("<Location />\nRequire bsession _bsx\n</Location>", '"_bsx" cannot be a key'),
    ("<Location />\nRequire bsession ~mod_session secret\n</Location>", '"~mod_session" belongs to a module'),
    ("<Location />\nRequire bsession ''\n</Location>", "key"),
]


RIGHT = [
    "BSession On", "BSession off", "BSession READONLY", "BSession Passive",
    "BSessionStore x memory:", "BSessionStore x memory: size=8m timeout=500ms breaker=5,1s,30s",
    "BSessionStore x memory:/nowhere/y size=8m",
    "BSessionStore x memory: breaker=off", "BSessionStore x MEMORY: Timeout=1s Breaker=Off",
    "BSessionStore x memory:\nBSessionStore x memory:",
    "<Location />\nBSessionUse x\n</Location>\nBSessionStore x memory:",
    "BSessionStore a memory:\nBSessionStore b memory:\n<Location />\nBSession On\nBSessionUse a\n</Location>",
    "BSessionStore a memory:\nBSessionStore default memory:\n<Location />\nBSession On\n</Location>",
    "BSessionStore a memory:\nBSessionStore default memory:\n"
    "<Location />\nBSession On\nBSessionMigrateFrom a\n</Location>", "BSessionMigrateFrom off",
    "BSessionRealm shop", "<VirtualHost *:1>\nBSessionRealm shop\nBSessionStore x memory:\n</VirtualHost>",
    "BSessionCookie __Host-s", "BSessionCookie __Secure-s Domain=example.com Path=/x",
    "BSessionCookie s SameSite=Off Secure=Auto HttpOnly=Off Lifetime=1h",
    "BSessionCookie s path=/x secure=on LIFETIME=IDLE", "BSessionCookie s Lifetime=400d",
    "BSessionIdleTimeout 300", "BSessionIdleTimeout 30min", "BSessionAbsoluteTimeout off",
    "BSessionAbsoluteTimeout 36500d", "BSessionSlide Access", "BSessionLimit size=1M", "BSessionLimit keys=10",
    "BSessionLimit size=64K keys=256", "BSessionBind off", "BSessionBind UA",
    "BSessionBind ip/24 tls Action=Revoke", "BSessionBind action=log ua ip/32/128 TLS", "BSessionOnOutage Deny", "BSessionOnOutage anonymous",
    "BSessionEnv Off", "BSessionEnv ALL", "BSessionEnv user role", "BSessionHeader Off",
    "BSessionHeader ALL", "BSessionHeader user role", "BSessionWriteBack on",
    "<Directory />\nRequire bsession\nRequire bsession user\nRequire bsession role admin 'chief editor'\n</Directory>",
    "<If \"true\">\nBSession On\n</If>",
]


def placed(lines):
    """What is for places, in one."""
    if lines.startswith(("<", "BSessionStore", "BSessionRealm")):
        return lines
    return f"<Location />\n{lines}\n</Location>"


@pytest.fixture(scope="module")
def configtest(build):
    tried = []

    def run(config):
        server = Httpd(build, config)
        tried.append(server)
        return server.configtest()
    yield run
    for server in tried:
        server.remove()


@pytest.mark.parametrize("lines,said", WRONG, ids=[w[0].replace("\n", "; ")[:60] for w in WRONG])
def test_wrong(configtest, lines, said):
    status, output = configtest(placed(lines))
    assert status != 0, output
    assert said in output, output


@pytest.mark.parametrize("lines", RIGHT, ids=[r.replace("\n", "; ")[:60] for r in RIGHT])
def test_right(configtest, lines):
    """P25 P11: and nothing is said but that it is fine."""
    status, output = configtest(placed(lines))
    assert status == 0, output
    assert "Syntax OK" in output and "bsession" not in output.lower().replace("bsession-http", ""), output


@pytest.mark.parametrize("lines", [r for r in RIGHT if not r.startswith(("<", "BSessionStore", "BSessionRealm"))])
def test_at_the_servers_level(configtest, lines):
    """One line, `BSession On`, gives a session to every application behind this httpd."""
    for text in (lines, f"<VirtualHost *:1>\n{lines}\n</VirtualHost>"):
        status, output = configtest(text)
        assert status == 0, output


@pytest.mark.parametrize("lines", [
    # P25: same name, overlapping path, other store
    "BSessionStore a memory:\nBSessionStore b memory:\n<Location />\nBSession On\nBSessionUse a\n</Location>\n"
    "<Location /x>\nBSession On\nBSessionUse b\n</Location>",
])
def test_warned(configtest, lines):
    status, output = configtest(lines)
    assert status == 0 and "two stores with one cookie" in output


@pytest.mark.parametrize("one,other,shared", [
    ("file:{dir}/a", "file:{dir}/a", True), ("file:{dir}/a", "FILE:{dir}/a/ sync=on", True),
    ("file:{dir}/a", "file:{dir}/b", False), ("memory:", "memory:", False)])
def test_two_stores_in_one_place(configtest, one, other, shared):
    """They would be one, which nobody means who gives them two names."""
    status, output = configtest(f"BSessionStore a {one}\nBSessionStore b {other}\n")
    assert status == 0 and ("BSessionStore b: the store a is in the same place, " in output) == shared, output


def test_a_key_with_an_equals_sign(configtest):
    """It may be one; more likely a value was meant."""
    status, output = configtest("<Location />\nRequire bsession user=bob\n</Location>")
    assert status == 0 and "a key and its value are two words" in output


def test_cookies_of_two_stores_that_do_not_meet(configtest):
    status, output = configtest(
        "BSessionStore a memory:\nBSessionStore b memory:\n"
        "<Location /x>\nBSession On\nBSessionUse a\nBSessionCookie s Path=/x\n</Location>\n"
        "<Location /y>\nBSession On\nBSessionUse b\nBSessionCookie s Path=/y\n</Location>")
    assert status == 0 and "two stores" not in output


# -- .htaccess

@pytest.fixture(scope="module")
def server(start):
    return start("<Directory {docs}>\nAllowOverride AuthConfig\n</Directory>\n"
                 "<Directory {docs}/none>\nAllowOverride None\n</Directory>\n"
                 "BSessionStore default memory:\nBSessionStore second memory:\n"
                 "<Directory {docs}>\nSetHandler bsession-probe\n</Directory>\n" + on()
                 + "<Location /plain>\nBSession Off\n</Location>\n")


def htaccess(server, text):
    server.document("here/.htaccess", text)
    server.document("here/file", "x")


def test_htaccess(server, client):
    htaccess(server, "BSession On\nBSessionCookie ht Secure=Off Path=/here\nBSessionUse second\n")
    answer = client.probe("set=a:1", at="/here/file")
    assert answer.status == 200, answer


def test_the_cookie_that_htaccess_names_now(start):
    """Each is gone with its request, and the next one's may lie where it was."""
    server = start("BSessionStore default memory:\n<Directory {docs}>\nAllowOverride AuthConfig\n"
                   "SetHandler bsession-probe\n</Directory>\n")
    client = server.client(keep=True)
    for value, name in ("1", "cookie_1"), ("2", "cookie_2"):
        htaccess(server, f"BSession On\nBSessionCookie {name} Secure=Off\n")
        assert client.results(f"set=a:{value}", at="/here/file") == ["ok"]
    for _ in range(3):
        for value, name in ("1", "cookie_1"), ("2", "cookie_2"):
            htaccess(server, f"BSession On\nBSessionCookie {name} Secure=Off\n")
            assert client.results("get=a", at="/here/file") == [f"={value}"]
    client.close()


@pytest.mark.parametrize("lines,said", [w for w in WRONG if not w[0].startswith(("<", "BSessionStore", "BSessionRealm"))
                                        and len(w[0]) < 4000][::3])
def test_wrong_in_htaccess(server, client, lines, said):
    """A 500, and the sentence in the log, not in the answer."""
    server.expect(r"core:alert.*\.htaccess")
    htaccess(server, lines + "\n")
    answer = client.get("/here/file")
    assert answer.status == 500
    assert said in server.logged("core:alert")


def test_server_lines_in_htaccess(server, client):
    server.expect(r"core:alert.*\.htaccess")
    for lines in ("BSessionStore x memory:", "BSessionRealm x"):
        htaccess(server, lines + "\n")
        assert client.get("/here/file").status == 500
    htaccess(server, "")


# -- nothing but LoadModule

def shared_memory(server):
    """Bytes that the parent shares with its children."""
    maps = pathlib.Path(f"/proc/{server.process.pid}/maps").read_text()
    ranges = re.findall(r"(?m)^([0-9a-f]+)-([0-9a-f]+) ...s", maps)
    return sum(int(end, 16) - int(begin, 16) for begin, end in ranges)


@pytest.fixture(scope="module")
def loaded(start):
    return start("<Directory {docs}>\nAllowOverride AuthConfig\nSetHandler bsession-probe\n</Directory>\n",
                 implied=True)


def test_a_module_that_is_only_loaded_takes_no_memory(loaded, start):
    store = 64 * 2**20
    assert shared_memory(loaded) < store
    assert shared_memory(start(on(), implied=True)) >= store


def test_only_htaccess_asks(loaded):
    """Its store would have to be made before the first request."""
    htaccess(loaded, "BSession On\nBSessionEnv All\n")
    client = loaded.client()
    assert client.probe("of", "set=a:1", at="/here/file").results == ["off", "off"]
    assert loaded.logged("bsession:error.*need a BSessionStore in httpd.conf")
    assert client.get("/index.html").status == 200 and client.jar == {}
