"""Real Memcached servers for tests, each on a free port of the loopback or a UNIX socket in a directory of its
own.

    memcached_server.py tcp|unix|sasl|ring PROGRAM [ARGUMENTS]

runs PROGRAM with the URL and the options of servers that were started for it, and stops them.
"""

import getpass
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "http"))

from doubles import wait_until  # noqa: E402
from ports import free_port  # noqa: E402

USER, PASSWORD = "web", "pass-of-a-test"


class Talk:
    """A connection of the test's own, in the text protocol."""

    def __init__(self, address):
        family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
        self.socket = socket.socket(family)
        self.socket.settimeout(20)
        self.socket.connect(address)
        self.stream = self.socket.makefile("rb")

    def __call__(self, command, value=None):
        """The lines of the answer, without the last of those that end in END."""
        data = command.encode() + b"\r\n"
        if value is not None:
            data += value + b"\r\n"
        self.socket.sendall(data)
        lines = []
        while True:
            line = self._line()
            if line == b"END":
                return lines
            lines.append(line)
            if line.startswith(b"VALUE "):
                lines.append(self.stream.read(int(line.split()[3]) + 2)[:-2])
            elif not line.startswith((b"STAT ", b"key=")):
                return lines

    def all(self, commands):
        """The first lines of the answers to many; each is a command, and a value."""
        self.socket.sendall(b"".join(b"%s\r\n%s\r\n" % (command.encode(), value) for command, value in commands))
        return [self._line() for _ in commands]

    def _line(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            # lru_crawler metadump has lines of its own kind
            if line.endswith(b"\n"):
                return line[:-1]
            raise ConnectionError("the server closed the connection")
        return line[:-2]

    def close(self):
        self.stream.close()
        self.socket.close()


class Memcached:
    """One server. `arguments` are more of its own. What it kept is gone after a kill and a start."""

    def __init__(self, *arguments, unix=False, sasl=False):
        # httpd's children, another user, walk into it
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bsession-memcached-"))
        self.dir.chmod(0o755)
        self.socket = self.dir / "socket" if unix else None
        self.arguments = list(arguments)
        self.sasl = sasl
        self.environment = dict(os.environ)
        self.process = None
        self.talk = None
        self.port = 0
        if sasl:
            self._make_users()
        self.start()

    # -- life

    def _make_users(self):
        users = self.dir / "users"
        subprocess.run(["saslpasswd2", "-p", "-c", "-a", "memcached", "-f", users, USER],
                       input=PASSWORD.encode(), check=True)
        (self.dir / "memcached.conf").write_text("pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
                                                 f"mech_list: plain\nsasldb_path: {users}\n")
        self.environment["SASL_CONF_PATH"] = str(self.dir)
        self.arguments.append("-S")

    def _command(self):
        where = ["-s", self.socket, "-a", "777"] if self.socket else \
            ["-l", "127.0.0.1", "-p", str(self.port), "-U", "0"]
        # root has to say that it means to stay that
        return ["memcached", *where, "-u", getpass.getuser(), *self.arguments]

    def start(self):
        """Once it has a port, it keeps that."""
        for _ in range(5):
            fresh = not self.port and not self.socket
            if fresh:
                self.port = free_port()
            with open(self.dir / "log", "wb") as log:
                self.process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                env=self.environment, start_new_session=True)
            if wait_until(self._answers, "memcached to start") == "up":
                return
            said = (self.dir / "log").read_text()
            if not fresh or "Address already in use" not in said:
                raise AssertionError(f"memcached did not start:\n{said}")
            self.port = 0
        raise AssertionError("no free port was found")

    def _answers(self):
        if self.process.poll() is not None:
            return "down"
        try:
            if self.sasl:               # it speaks to nobody who does not log in
                Talk(self.address).close()
            else:
                self("version")
        except (OSError, ConnectionError):
            self._hang_up()
            return None
        return "up"

    def kill(self):
        """What it kept is lost."""
        self._hang_up()
        self.process.kill()
        self.process.wait()

    def pause(self):
        """Until each of its threads stands still."""
        self.process.send_signal(signal.SIGSTOP)
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")
        wait_until(lambda: all(task.read_text().rpartition(")")[2].split()[0] == "T"
                               for task in tasks.glob("*/stat")), "memcached to stop")

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def restart(self, *arguments):
        """With others of its own, if there are any."""
        self.kill()
        self.arguments = list(arguments) or self.arguments
        self.start()

    def stop(self):
        """At once: one that is asked to end thinks about it for a second."""
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    # -- questions

    @property
    def address(self):
        return str(self.socket) if self.socket else ("127.0.0.1", self.port)

    def __call__(self, command, value=None):
        """A command of the text protocol, and the value that belongs to it."""
        if not self.talk:
            self.talk = Talk(self.address)
        return self.talk(command, value)

    def _hang_up(self):
        if self.talk:
            self.talk.close()
        self.talk = None

    def stat(self, name):
        found = dict(line.decode().split(None, 2)[1:] for line in self("stats"))
        return int(found[name])

    def keys(self):
        """Of all that it has; what is over may be among it."""
        return sorted(line.decode().split()[0][4:].replace("%3A", ":") for line in self("lru_crawler metadump all"))

    # -- how it is reached: words of a BSessionStore line

    @property
    def host(self):
        return str(self.socket) if self.socket else f"127.0.0.1:{self.port}"

    @property
    def words(self):
        return f"memcached://{self.host}" + (f" user={USER} password={PASSWORD}" if self.sasl else "")


class Ring:
    """Three servers, of which the second takes twice as much."""

    def __init__(self, *arguments):
        self.servers = [Memcached(*arguments) for _ in range(3)]

    def add(self):
        """Another server, of which nobody has been told."""
        self.servers.append(Memcached())
        return self.servers[-1]

    @property
    def words(self):
        one, two, three = (server.host for server in self.servers[:3])
        return f"memcached://{one},{two}?2,{three}"

    def stop(self):
        for server in self.servers:
            server.stop()


def start_as(how):
    """A server or a ring, and the words by which it is reached."""
    server = Ring() if how == "ring" else Memcached(unix=how == "unix", sasl=how == "sasl")
    return server, server.words


def main(how, program, *arguments):
    # the ring hangs on one of APR's pools, where LeakSanitizer does not look when a test's process ends
    os.environ["CK_FORK"] = "no"
    server, words = start_as(how)
    try:
        return subprocess.call([program, *arguments, *words.split()])
    finally:
        server.stop()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ.setdefault("LANG", "C.UTF-8")
    sys.exit(main(*sys.argv[1:]))
