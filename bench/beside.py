"""What runs beside httpd for some rows: a Redis server, databases, and PHP's processes."""
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import server

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "stores"))

import memcached_server  # noqa: E402
import sql_servers  # noqa: E402
from redis_server import Redis  # noqa: E402


class Store:
    """A Redis server, the same for all rows, reached in three ways."""

    COPY = "bench:copy"

    def __init__(self, core):
        self.redis = Redis(tls=True)
        os.sched_setaffinity(self.redis.process.pid, {core})

    def words(self):
        return {"tcp": self.redis.tcp, "unix": self.redis.unix, "tls": self.redis.tls,
                "port": self.redis.ports[0], "copy": self.COPY}

    def copy_session(self):
        """A hash as that of a session, for who reads it without mod_bsession."""
        original = self.redis("KEYS", "bs:s*")[0]
        self.redis("DEL", self.COPY)
        self.redis("HSET", self.COPY, *self.redis("HGETALL", original))

    def counters(self):
        """Calls of each command, reads from connections, and connections, so far; this question
        not among them."""
        told = self.redis("INFO", "everything").decode()
        found = {name: int(calls) for name, calls
                 in re.findall(r"^cmdstat_(\S+):calls=(\d+)", told, re.M) if name != "info"}
        asked = int(re.search(r"^cmdstat_info:calls=(\d+)", told, re.M)[1]) \
            if "cmdstat_info:" in told else 0
        found["reads"] = int(re.search(r"^total_reads_processed:(\d+)", told, re.M)[1]) - asked
        found["connections"] = int(re.search(r"^total_connections_received:(\d+)", told, re.M)[1])
        return found

    def stop(self):
        self.redis.stop()


class Memcached:
    """A Memcached server, the same for all rows."""

    def __init__(self, core):
        self.memcached = memcached_server.Memcached()
        for task in os.listdir(f"/proc/{self.memcached.process.pid}/task"):
            os.sched_setaffinity(int(task), {core})

    def words(self):
        return {"memcached": self.memcached.words, "memcached_port": self.memcached.port}

    def stop(self):
        self.memcached.stop()


class Databases:
    """PostgreSQL and MariaDB, the same for all rows."""

    def __init__(self, core):
        self.servers = {}
        try:
            for name in "pgsql", "mysql":
                self.servers[name] = one = sql_servers.DATABASES[name]()
                one.signal(signal.SIGSTOP)      # what is there stays so
                for pid in [one.process.pid, *sql_servers.descendants(one.process.pid)]:
                    for task in os.listdir(f"/proc/{pid}/task"):
                        os.sched_setaffinity(int(task), {core})
                one.resume()
        except BaseException:
            self.stop()
            raise

    def words(self):
        return {name: one.lines("DBDMin 16\nDBDKeep 20\nDBDMax 20\n") for name, one in self.servers.items()}

    def stop(self):
        for one in self.servers.values():
            one.stop()


# As many processes as wrk has connections, so that none waits for another to end.
FPM = """\
[global]
error_log = {root}/php.log
[bench]
listen = {data}/fpm.sock
listen.mode = 0666
{user}
pm = static
pm.max_children = {children}
{extra}
"""

PHP_SESSION = "bench"

# The same pages everywhere: where no session is configured, they have none.
PAGE = f"""\
<?php
if (ini_get('session.name') === '{PHP_SESSION}') {{
    session_start();
    if ($_SESSION['user'] !== 'alice' || count($_SESSION) !== 5) {{
        http_response_code(500);
    }}
}}
header('Content-Type: text/plain');
echo "hello world\\n";
"""

SEED = """\
<?php
session_start();
$_SESSION = ['user' => 'alice', 'role' => 'editor', 'lang' => 'en-GB',
             'cart' => '3817,2290,441', 'seen' => '1700000000'];
echo "hello world\\n";
"""


class Php:
    """php-fpm for one httpd, in whose directories it has its files."""

    CHILDREN = 16

    def __init__(self, httpd, extra):
        self.httpd = httpd
        self.process = None
        root = httpd.root
        user = "user = www-data\ngroup = www-data" if os.geteuid() == 0 else ""
        (root / "htdocs" / "page.php").write_text(PAGE)
        (root / "htdocs" / "seed.php").write_text(SEED)
        (root / "php-fpm.conf").write_text(FPM.format(root=root, data=httpd.data, user=user,
                                                      children=self.CHILDREN, extra=extra))

    def start(self, before=()):
        # Debian names the program by its version
        program = max(pathlib.Path("/usr/sbin").glob("php-fpm*"))
        self.process = subprocess.Popen(
            [*before, program, "--nodaemonize", "--fpm-config", self.httpd.root / "php-fpm.conf"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while len(server.children_of(self.process)) < self.CHILDREN:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise server.Failed("php-fpm did not start:\n"
                                    + (self.httpd.root / "php.log").read_text(errors="replace"))
            time.sleep(0.05)

    def stop(self):
        if self.process:
            server.end(self.process)
