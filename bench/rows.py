"""What is measured inside httpd: one row for each configuration and kind of request."""
import dataclasses
import pathlib
import sqlite3

import beside
import server

FILE = "/hello.txt"

BSESSION = "LoadModule bsession_module {build}/.libs/mod_bsession.so\n"

SEALED = """\
BSessionSecret a-secret-of-the-bench-of-32-bytes-or-more
"""

REDIS = BSESSION + """\
LoadModule bsession_redis_module {build}/.libs/mod_bsession_redis.so
BSessionStore default """

FILES = BSESSION + """\
BSessionStore default file:@DATA@/sessions
"""

MEMCACHED = BSESSION + """\
LoadModule bsession_memcached_module {build}/.libs/mod_bsession_memcached.so
BSessionStore default {memcached}
"""

DBD = BSESSION + """\
LoadModule dbd_module {modules}/mod_dbd.so
LoadModule bsession_dbd_module {build}/.libs/mod_bsession_dbd.so
BSessionStore default dbd:
"""

# With mod_session_dbd's own table in the same file: what is compared is the modules.
SQLITE = """\
DBDriver sqlite3
DBDParams @DATA@/sessions.db
DBDMax 20
"""

HIREDIS = """\
LoadModule bench_hiredis_module {bench_hiredis}
BenchHiredis {port} {copy}
"""

# As Debian has it for httpd.
PHP = """\
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_fcgi_module {modules}/mod_proxy_fcgi.so
<FilesMatch "\\.php$">
    SetHandler "proxy:unix:@DATA@/fpm.sock|fcgi://localhost"
</FilesMatch>
"""

# By this name pages know that there is one.
PHP_SESSION = f"""\
php_admin_value[session.name] = {beside.PHP_SESSION}
"""

PHPREDIS = PHP_SESSION + """\
php_admin_value[session.save_handler] = redis
php_admin_value[session.save_path] = "tcp://127.0.0.1:{port}"""

PHP_FILES = PHP_SESSION + """\
php_admin_value[session.save_handler] = files
php_admin_value[session.save_path] = "@DATA@"
"""

PHP_MEMCACHED = PHP_SESSION + """\
php_admin_value[session.save_handler] = memcached
php_admin_value[session.save_path] = "127.0.0.1:{memcached_port}"
php_admin_value[memcached.sess_locking] = Off
"""

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
class Site:
    """What was built and started, for all rows."""
    build: pathlib.Path
    bench: dict[str, pathlib.Path]      # the modules of bench/
    redis: beside.Store | None = None
    memcached: beside.Memcached | None = None
    databases: beside.Databases | None = None

    def words(self):
        return {"build": self.build, "modules": server.apxs("LIBEXECDIR"), **self.bench,
                **(self.redis.words() if self.redis else {}),
                **(self.memcached.words() if self.memcached else {}),
                **(self.databases.words() if self.databases else {})}


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
    times: int = 1                      # measured in each round: more where a hundredth matters
    runs: tuple[int, int] = (400, 1400)     # requests counted by callgrind
    redis: bool = False                 # asks Redis
    trips: int | None = None            # DESIGN: so often a request
    php: str | None = None              # PHP answers; more lines for its processes
    seed_path: str = "/seed"

    @property
    def base(self):
        """What it is held against."""
        return BARE if self.php is None else BARE_PHP

    def make_server(self, work, mpm, site):
        """A server of this row, not yet started."""
        words = site.words()
        made = server.Server(work, self.name, mpm, site.bench["mod_bench"],
                             self.config.format(**words), self.here)
        if "DBDriver" in self.config:
            make_database(made.data / "sessions.db")
        if self.php is not None:
            made.beside = beside.Php(made, self.php.format(**words).replace("@DATA@", str(made.data)))
        return made

    def seed(self, client, site):
        """The cookie that this row's requests bring along, or None."""
        if self.config == HIREDIS:
            site.redis.copy_session()
        if not self.seeded:
            return None
        headers, _ = client.get(self.seed_path)
        # mod_session_dbd sets the same one twice
        cookies = set(set_cookies(headers))
        if len(cookies) != 1:
            raise server.Failed(f"{self.title}: {len(cookies)} cookies from {self.seed_path}")
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

BARE = Row("bare", "bare httpd, a file of 12 bytes", times=4)
BARE_PHP = Row("php", "bare PHP, a page of 12 bytes", PHP, path="/page.php", php="")

# No row writes with mod_session_dbd: it gives the session a new key with each change, so that the
# same request cannot be sent twice.
ROWS = [
    Row("off", "mod_bsession loaded, BSession Off", BSESSION),
    Row("unused", "BSession On, not used", BSESSION, ON, instructions=500),
    Row("unused-cookie", "BSession On, not used, a cookie comes along", BSESSION, ON, seeded=True,
        instructions=500),
    Row("read", "memory: five keys into the environment", BSESSION, ENV, seeded=True,
        instructions=6000, ratio=0.93, times=4),
    Row("read-turns", "the same, two visitors in turn on the connection", BSESSION, ENV, seeded=True,
        visitors=2, instructions=6000),
    Row("sealed-read", "memory, sealed: five keys into the environment", BSESSION + SEALED, ENV,
        seeded=True, instructions=12000),
    Row("sealed-turns", "the same, two visitors in turn on the connection", BSESSION + SEALED, ENV,
        seeded=True, visitors=2, instructions=12000),
    Row("write", "memory: one of five keys changed", BSESSION, ENV, "/write", True),
    Row("sealed-write", "memory, sealed: one of five keys changed", BSESSION + SEALED, ENV, "/write", True),
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
    Row("redis-read", "Redis: five keys into the environment", REDIS + "{tcp}\n", ENV, seeded=True,
        ratio=0.70, times=4, redis=True, trips=1),
    Row("redis-write", "Redis: one of five keys changed", REDIS + "{tcp}\n", ENV, "/write", True,
        redis=True, trips=2),
    Row("redis-unix-read", "the same by a UNIX socket: read", REDIS + "{unix}\n", ENV, seeded=True,
        redis=True, trips=1),
    Row("redis-unix-write", "the same by a UNIX socket: changed", REDIS + "{unix}\n", ENV,
        "/write", True, redis=True, trips=2),
    Row("redis-tls-read", "the same by TLS: read", REDIS + "{tls}\n", ENV, seeded=True, redis=True,
        trips=1),
    Row("redis-tls-write", "the same by TLS: changed", REDIS + "{tls}\n", ENV, "/write", True,
        redis=True, trips=2),
    Row("file-read", "files: five keys into the environment", FILES, ENV, seeded=True),
    Row("file-write", "files: one of five keys changed", FILES, ENV, "/write", True),
    Row("memcached-read", "Memcached: five keys into the environment", MEMCACHED, ENV, seeded=True),
    Row("memcached-write", "Memcached: one of five keys changed", MEMCACHED, ENV, "/write", True),
    Row("sqlite-read", "SQLite: five keys into the environment", DBD + SQLITE, ENV, seeded=True),
    Row("sqlite-write", "SQLite: one of five keys changed", DBD + SQLITE, ENV, "/write", True),
    Row("pgsql-read", "PostgreSQL: five keys into the environment", DBD + "{pgsql}", ENV,
        seeded=True),
    Row("pgsql-write", "PostgreSQL: one of five keys changed, not synced to a disk", DBD + "{pgsql}",
        ENV, "/write", True),
    Row("mysql-read", "MariaDB: five keys into the environment", DBD + "{mysql}", ENV, seeded=True),
    Row("mysql-write", "MariaDB: one of five keys changed, not synced to a disk", DBD + "{mysql}",
        ENV, "/write", True),
    Row("hiredis", "hiredis alone: HGETALL of such a session", HIREDIS, times=4, redis=True),
]

# PHP's own instructions are not counted, and all that is httpd's is in the rows above.
PHP_ROWS = [
    Row("php-bsession", "PHP, mod_bsession on Redis: five keys in the environment",
        PHP + REDIS + "{tcp}\n", ENV, BARE_PHP.path, True, redis=True, trips=1, php=""),
    Row("php-redis", "PHP, phpredis: five keys read, connections are kept", PHP, "", BARE_PHP.path,
        True, redis=True, php=PHPREDIS + '?persistent=1"\n', seed_path="/seed.php"),
    Row("php-redis-anew", "PHP, phpredis: five keys read, a connection a request", PHP, "",
        BARE_PHP.path, True, redis=True, php=PHPREDIS + '"\n', seed_path="/seed.php"),
    Row("php-bsession-file", "PHP, mod_bsession in files: five keys in the environment", PHP + FILES,
        ENV, BARE_PHP.path, True, php=""),
    Row("php-files", "PHP, its own sessions in files: five keys read", PHP, "", BARE_PHP.path, True,
        php=PHP_FILES, seed_path="/seed.php"),
    Row("php-bsession-memcached", "PHP, mod_bsession in Memcached: five keys in the environment",
        PHP + MEMCACHED, ENV, BARE_PHP.path, True, php=""),
    Row("php-memcached", "PHP, its own sessions in Memcached: five keys read", PHP, "",
        BARE_PHP.path, True, php=PHP_MEMCACHED, seed_path="/seed.php"),
]
