"""Real Redis servers for tests, each on free ports of the loopback and in a directory of its own.

    redis_server.py tcp|unix|tls|acl PROGRAM [ARGUMENTS]

runs PROGRAM with the URL and the options of a server that was started for it, and stops that. The server is
redis-server, or with BSESSION_REDIS=valkey in the environment valkey-server.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "http"))

from certificates import Authority  # noqa: E402
from doubles import wait_until  # noqa: E402
from ports import free_ports  # noqa: E402

SERVER = os.environ.get("BSESSION_REDIS", "redis") + "-server"

# what docs/backends.md lists: nothing else is needed, and nothing of it is superfluous
ACL = ("~bs:* +hgetall +pttl +eval +evalsha +hmget +hget +hset +hdel +hlen +hkeys +hexists +hstrlen "
       "+pexpire +persist +del +scan +info +select")
PASSWORD = "pass-of-a-test"


class Refused(Exception):
    """An error that the server answered."""


class Talk:
    """A connection of the test's own, in Redis's protocol."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self.stream = self.socket.makefile("rb")

    def __call__(self, *words):
        raw = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in raw))
        return self._reply()

    def _reply(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise Refused(rest)
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else self.stream.read(int(rest) + 2)[:-2]
        return [self._reply() for _ in range(int(rest))]

    def close(self):
        self.stream.close()
        self.socket.close()


class Redis:
    """One server. `lines` are more of its configuration; with `tls` it has a certificate for localhost, and
    clients may show one of theirs. What `appendonly yes` keeps is there after a kill and a start."""

    def __init__(self, *lines, tls=False):
        # httpd's children, another user, walk into it
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bsession-redis-"))
        self.dir.chmod(0o755)
        self.socket = self.dir / "socket"
        self.lines = list(lines)
        self.process = None
        self.talk = None
        self.authority = None
        if tls:
            self.authority = Authority(self.dir)
            self.key, self.pem = self.authority.issue("server", "DNS:localhost,IP:127.0.0.1")
        self.ports = []
        self.start()

    # -- life

    def _write(self):
        lines = ["bind 127.0.0.1", f"port {self.ports[0]}", f"unixsocket {self.socket}", "unixsocketperm 777",
                 f"dir {self.dir}", f"logfile {self.dir}/log", 'save ""', "daemonize no"]
        if self.authority:
            lines += [f"tls-port {self.ports[1]}", f"tls-ca-cert-file {self.authority.pem}",
                      f"tls-key-file {self.key}", f"tls-cert-file {self.pem}", "tls-auth-clients optional"]
        (self.dir / "conf").write_text("\n".join(lines + self.lines) + "\n")

    def start(self):
        """Once it has ports, it keeps them."""
        for _ in range(5):
            fresh = not self.ports
            if fresh:
                self.ports = free_ports(2)
            self._write()
            self.process = subprocess.Popen([SERVER, self.dir / "conf"], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, start_new_session=True)
            if wait_until(self._answers, f"{SERVER} to start") == "up":
                return
            said = (self.dir / "log").read_text()
            if not fresh or "Address already in use" not in said:
                raise AssertionError(f"{SERVER} did not start:\n{said}")
            self.ports = []
        raise AssertionError("no free port was found")

    def _answers(self):
        if self.process.poll() is not None:
            return "down"
        try:
            self("PING")
        except Refused as error:
            return None if "LOADING" in str(error) else "up"
        except (OSError, ConnectionError):
            self._hang_up()
            return None
        return "up"

    def kill(self):
        """As power that fails, for a process."""
        self._hang_up()
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        self._hang_up()
        if self.process.poll() is None:
            self.resume()
            self.process.terminate()
            self.process.wait(30)
        shutil.rmtree(self.dir, ignore_errors=True)

    # -- questions

    def __call__(self, *words):
        """A command, by its words, as the default user over the UNIX socket."""
        if not self.talk:
            self.talk = Talk(self.socket)
        return self.talk(*words)

    def _hang_up(self):
        if self.talk:
            self.talk.close()
        self.talk = None

    def calls(self, *commands):
        """How often these were called since CONFIG RESETSTAT, by scripts, too."""
        stats = self("INFO", "commandstats").decode()
        return sum(int(line.split("calls=")[1].split(",")[0]) for line in stats.splitlines()
                   if line.split(":")[0].removeprefix("cmdstat_") in commands)

    # -- how it is reached: words of a BSessionStore line

    @property
    def tcp(self):
        return f"redis://127.0.0.1:{self.ports[0]}/0"

    @property
    def unix(self):
        return f"redis+unix:{self.socket}"

    @property
    def tls(self):
        """And what else has to stand there."""
        return f"rediss://localhost:{self.ports[1]}/0 ca={self.authority.pem}"


def start_as(how):
    """A server, and the words by which it is reached so."""
    if how == "tls":
        server = Redis(tls=True)
        server("CONFIG", "SET", "tls-auth-clients", "yes")
        key, pem = server.authority.issue("client")
        return server, f"{server.tls} cert={pem} key={key}"
    if how == "acl":
        server = Redis(f"user web on >{PASSWORD} {ACL}")
        return server, f"redis://web:{PASSWORD}@127.0.0.1:{server.ports[0]}/3"
    server = Redis()
    return server, {"tcp": server.tcp, "unix": server.unix}[how]


def main(how, program, *arguments):
    server, words = start_as(how)
    try:
        return subprocess.call([program, *arguments, *words.split()])
    finally:
        server.stop()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ.setdefault("LANG", "C.UTF-8")
    sys.exit(main(*sys.argv[1:]))
