"""What is measured inside httpd: one row for each configuration and kind of request."""
import dataclasses
import sqlite3

import server

FILE = "/hello.txt"

BSESSION = "LoadModule bsession_module {build}/.libs/mod_bsession.so\n"

SESSION = """\
LoadModule session_module {modules}/mod_session.so
"""

SESSION_HERE = """\
Session On
SessionEnv On
SessionHeader X-Bench-Session
"""

IN_COOKIE = """\
LoadModule session_cookie_module {modules}/mod_session_cookie.so
SessionCookieName session path=/
"""

IN_CRYPTO = IN_COOKIE + """\
LoadModule session_crypto_module {modules}/mod_session_crypto.so
SessionCryptoPassphrase correct-horse-battery-staple
"""

# The statements of mod_session_dbd's own documentation.
IN_DBD = """\
LoadModule dbd_module {modules}/mod_dbd.so
LoadModule session_dbd_module {modules}/mod_session_dbd.so
DBDriver sqlite3
DBDParams @DATA@/sessions.db
DBDPrepareSQL "delete from session where key = %s" deletesession
DBDPrepareSQL "update session set value = %s, expiry = %lld, key = %s where key = %s" updatesession
DBDPrepareSQL "insert into session (value, expiry, key) values (%s, %lld, %s)" insertsession
DBDPrepareSQL "select value from session where key = %s and (expiry = 0 or expiry > %lld)" \
selectsession
DBDPrepareSQL "delete from session where expiry != 0 and expiry < %lld" cleansession
SessionDBDCookieName session path=/
"""


@dataclasses.dataclass
class Row:
    name: str
    title: str
    config: str = ""
    here: str = ""                      # the part that stands in the directory's section
    path: str = FILE
    seeded: bool = False                # the request brings the cookie of a session of five keys
    visitors: int = 1                   # who take turns on the one connection
    instructions: int | None = None     # DESIGN: at most so many above bare
    ratio: float | None = None          # DESIGN: at least this part of bare's requests a second
    runs: tuple[int, int] = (400, 1400)     # requests counted by callgrind

    def make_server(self, work, mpm, bench, build):
        """A server of this row, not yet started."""
        extra = self.config.format(build=build, modules=server.apxs("LIBEXECDIR"))
        made = server.Server(work, self.name, mpm, bench, extra, self.here)
        if "@DATA@" in self.config:
            make_database(made.data / "sessions.db")
        return made

    def seed(self, client):
        """The cookie that this row's requests bring along, or None."""
        if not self.seeded:
            return None
        headers, _ = client.get("/seed")
        # mod_session_dbd sets the same one twice
        cookies = set(set_cookies(headers))
        if len(cookies) != 1:
            raise server.Failed(f"{self.title}: {len(cookies)} cookies from /seed")
        cookie, = cookies
        self.check(client, cookie)
        return cookie

    def check(self, client, cookie):
        """The session is there and does what the row says, before the figures are taken and after:
        what is not done costs nothing."""
        if "Env" not in self.here:
            return
        headers = client.get("/write", cookie)[0] if self.path == "/write" else []
        _, environment = client.get("/env", cookie)
        for value in ("alice", "editor", "en-GB", "3817"):
            if value not in environment:
                raise server.Failed(f"{self.title}: no {value} in the environment:\n"
                                    + environment + client.server.log())
        # what was written is in the store, or on its way to the client
        old = "1700000000" in environment and not set_cookies(headers)
        if old != (self.path != "/write"):
            raise server.Failed(f"{self.title}: the environment is\n{environment}")


def set_cookies(headers):
    return [value.partition(";")[0] for name, value in headers if name == "set-cookie"]


def make_database(path):
    with sqlite3.connect(path) as database:
        database.execute("create table session (key text primary key, value text, expiry bigint)")
    server.give_away(path)


ON = "BSession On\n"
# Also where a key is changed: an application that changes what it cannot see is rare.
ENV = ON + "BSessionEnv All\n"

BARE = Row("bare", "bare httpd, a file of 12 bytes")

# No row writes with mod_session_dbd: it gives the session a new key with each change, so that the
# same request cannot be sent twice.
ROWS = [
    Row("off", "mod_bsession loaded, BSession Off", BSESSION),
    Row("unused", "BSession On, not used", BSESSION, ON, instructions=500),
    Row("unused-cookie", "BSession On, not used, a cookie comes along", BSESSION, ON, seeded=True,
        instructions=500),
    Row("read", "memory: five keys into the environment", BSESSION, ENV, seeded=True,
        instructions=6000, ratio=0.93),
    Row("read-turns", "the same, two visitors in turn on the connection", BSESSION, ENV, seeded=True,
        visitors=2, instructions=6000),
    Row("write", "memory: one of five keys changed", BSESSION, ENV, "/write", True),
    Row("cookie-read", "mod_session_cookie: five keys into the environment", SESSION + IN_COOKIE,
        SESSION_HERE, seeded=True),
    # It makes its key anew for each cookie, in 4096 rounds of PBKDF2.
    Row("crypto-read", "mod_session_crypto: five keys into the environment", SESSION + IN_CRYPTO,
        SESSION_HERE, seeded=True, runs=(5, 15)),
    Row("dbd-read", "mod_session_dbd, SQLite: five keys into the environment", SESSION + IN_DBD,
        SESSION_HERE, seeded=True),
    Row("cookie-write", "mod_session_cookie: one of five keys changed", SESSION + IN_COOKIE,
        SESSION_HERE, "/write", True),
    Row("crypto-write", "mod_session_crypto: one of five keys changed", SESSION + IN_CRYPTO,
        SESSION_HERE, "/write", True, runs=(5, 15)),
]
