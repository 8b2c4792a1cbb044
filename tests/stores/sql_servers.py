"""Real databases for tests, each on a free port of the loopback and in a directory of its own.

    sql_servers.py sqlite|pgsql|mysql PROGRAM [ARGUMENTS]

runs PROGRAM with the URL of the SQL store and, in the environment, DBD_DRIVER and DBD_PARAMS of a database
that was started for it, and stops that.
"""

import atexit
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "http"))

from doubles import wait_until  # noqa: E402
from ports import free_port  # noqa: E402

LOG_SIZE = "8M"                         # MariaDB's own is a hundred
MADE = {}                               # driver -> a directory
USER, PASSWORD, DATABASE = "web-of-a-test", "pass-of-a-test", "base_of_a_test"


def descendants(pid):
    """PostgreSQL's and their like, each a session of its own."""
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(child) for child in children] + [one for child in children for one in descendants(child)]


class Database:
    """What they have in common: httpd's lines, and a directory into which its children can walk."""

    driver = None

    def __init__(self, under=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bsession-sql-", dir=under))
        self.dir.chmod(0o777)

    def lines(self, more=""):
        """What mod_dbd is to be told."""
        return f'DBDriver {self.driver}\nDBDParams "{self.params}"\n{more}'

    def environment(self):
        return {**os.environ, "DBD_DRIVER": self.driver, "DBD_PARAMS": self.params}

    def stop(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class Sqlite(Database):
    driver = "sqlite3"

    def __init__(self, wal=True, under=None):
        super().__init__(under)
        self.path = self.dir / "sessions.db"
        if wal:
            self("PRAGMA journal_mode = WAL")
            self.path.chmod(0o666)
            for more in self.dir.glob("sessions.db-*"):
                more.chmod(0o666)

    @property
    def params(self):
        return str(self.path)

    def __call__(self, sql, *values):
        connection = sqlite3.connect(self.path, timeout=20, isolation_level=None)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()


class Server(Database):
    """A process, as a user who is not root."""

    account = None
    asks = None

    def __init__(self, *options):
        super().__init__()
        self.options = list(options)
        self.data = self.dir / "data"
        self.data.mkdir()
        self.port = free_port()
        self.who = {}
        if os.geteuid() == 0:
            self.who = {"user": self.account, "group": self.account, "extra_groups": []}
            shutil.chown(self.data, self.account, self.account)
        self._prepare()
        self.process = None
        self.start()
        self.make()

    def _prepare(self):
        """What a new one consists of is made once, and copied from then on."""
        made = MADE.get(self.driver)
        if made:
            self._copy(made, self.data)
            return
        self.prepare()
        made = MADE[self.driver] = pathlib.Path(tempfile.mkdtemp(prefix="bsession-sql-"))
        atexit.register(shutil.rmtree, made, ignore_errors=True)
        self._copy(self.data, made)

    def _copy(self, old, new):
        self.run("cp", "-a", "--sparse=always", f"{old}/.", new)

    def run(self, *command, **more):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace",
                              cwd=self.dir, stdin=None if "input" in more else subprocess.DEVNULL, **more)
        if done.returncode:
            raise AssertionError(f"{command[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self):
        """On the same port each time: whoever knows it shall find it again."""
        with open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen([str(word) for word in self.command()], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, cwd=self.dir, start_new_session=True, **self.who)
        wait_until(self._answers, f"{self.driver} to start", 60)

    def _answers(self):
        assert self.process.poll() is None, (self.dir / "log").read_text()
        try:
            self.ask("SELECT 1", maintenance=True)
        except AssertionError:
            return False
        return True

    def signal(self, number):
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            try:
                os.kill(pid, number)
            except OSError:
                pass

    def kill(self):
        """As power that fails, for a process."""
        self.signal(signal.SIGSTOP)
        self.signal(signal.SIGKILL)
        self.process.wait()

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def running(self):
        return self.process.poll() is None

    def stop(self):
        if self.running():
            self.resume()
            self.process.send_signal(self.ends)
            self.process.wait(60)
        super().stop()

    def __call__(self, sql):
        """The rows, as lists of texts."""
        return [line.split("\t") for line in self.ask(sql).splitlines()]


class Postgres(Server):
    driver = "pgsql"
    account = "postgres"
    ends = signal.SIGINT

    @staticmethod
    def program(name):
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: int(p.parts[4]))
        return found[-1] if found else shutil.which(name)

    def prepare(self):
        secret = self.dir / "secret"
        secret.write_text(PASSWORD)
        self.run(self.program("initdb"), "-D", self.data, "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}",
                 "-E", "UTF8", "--locale=C", "--no-sync", **self.who)

    def command(self):
        return [self.program("postgres"), "-D", self.data, "-k", self.dir, "-h", "127.0.0.1", "-p", self.port,
                "-c", "fsync=off", *self.options]

    def make(self):
        self.ask(f"CREATE DATABASE {DATABASE}", maintenance=True)

    def ask(self, sql, maintenance=False):
        return self.run(self.program("psql"), "-X", "-q", "-At", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                        "-h", "127.0.0.1", "-p", self.port, "-U", USER, "-d", "postgres" if maintenance else DATABASE,
                        "-c", sql, env={"PGPASSWORD": PASSWORD, "PGCONNECT_TIMEOUT": "20", "LANG": "C.UTF-8"})

    @property
    def params(self):
        return (f"host=127.0.0.1 port={self.port} user={USER} password={PASSWORD} dbname={DATABASE} "
                "connect_timeout=2")


class Mariadb(Server):
    driver = "mysql"
    account = "mysql"
    ends = signal.SIGTERM
    more = ""

    def prepare(self):
        self.run("mariadb-install-db", "--no-defaults", f"--datadir={self.data}", "--skip-test-db",
                 f"--innodb-log-file-size={LOG_SIZE}",
                 f"--tmpdir={self.dir}",        # each that starts clears away what others have in a common one
                 "--auth-root-authentication-method=normal", **self.who)

    def command(self):
        return [shutil.which("mariadbd") or "/usr/sbin/mariadbd", "--no-defaults", f"--datadir={self.data}",
                f"--socket={self.data}/socket", f"--port={self.port}", "--bind-address=127.0.0.1",
                f"--pid-file={self.data}/pid", f"--tmpdir={self.dir}",
                f"--innodb-log-file-size={LOG_SIZE}", "--innodb-flush-log-at-trx-commit=2", *self.options]

    def make(self):
        self.ask(f"CREATE DATABASE {DATABASE}; CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; "
                 f"GRANT ALL ON {DATABASE}.* TO '{USER}'@'127.0.0.1'", maintenance=True)

    def ask(self, sql, maintenance=False):
        return self.run("mariadb", "--no-defaults", "-N", "-B", f"--socket={self.data}/socket", "-u", "root",
                        *([] if maintenance else [DATABASE]), "-e", sql)

    @property
    def params(self):
        return f"host=127.0.0.1,port={self.port},user={USER},pass={PASSWORD},dbname={DATABASE}{self.more}"


DATABASES = {"sqlite": Sqlite, "pgsql": Postgres, "mysql": Mariadb}


def start_as(name):
    """A database, and what a BSessionStore line says of it."""
    return DATABASES[name](), "dbd:"


def main(name, program, *arguments):
    # what a connection leaves in a library when a process just ends is no leak of ours
    os.environ["ASAN_OPTIONS"] = "detect_leaks=0"
    database, words = start_as(name)
    try:
        return subprocess.call([program, *arguments, words], env=database.environment())
    finally:
        database.stop()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ.setdefault("LANG", "C.UTF-8")
    sys.exit(main(*sys.argv[1:]))
