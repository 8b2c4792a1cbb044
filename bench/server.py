"""A private httpd, and a client for it."""
import functools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

HOST = "127.0.0.1"
BODY = "hello world\n"


class Failed(Exception):
    """Something did not happen as it must for a figure to mean anything; the text says what."""


@functools.cache
def apxs(what):
    return subprocess.run(["apxs", "-q", what], check=True, capture_output=True,
                          text=True).stdout.strip()


def httpd_path():
    return os.path.join(apxs("SBINDIR"), apxs("PROGNAME"))


def give_away(path):
    """Children of a root's httpd run as www-data, and must write here."""
    if os.geteuid() == 0:
        shutil.chown(path, "www-data", "www-data")


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def children_of(process):
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == process.pid:
            found.append(int(stat.parent.name))
    return found


def end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# What Debian enables when apache2 is installed, beside the MPM and authz_core.
MODULES = ("access_compat", "alias", "auth_basic", "authn_core", "authn_file", "authz_host",
           "authz_user", "autoindex", "deflate", "dir", "env", "filter", "mime", "negotiation",
           "reqtimeout", "setenvif", "status")

# All servers load and configure the same, but for the MPM and what their row adds. As in Debian no
# .htaccess is looked for.
CONFIG = """\
ServerRoot "{root}"
ServerName localhost
PidFile "{root}/httpd.pid"
DefaultRuntimeDir "{root}/run"
Listen {host}:{port}
ErrorLog "{root}/error.log"
LogLevel warn
LoadModule mpm_{mpm}_module {modules}/mod_mpm_{mpm}.so
LoadModule authz_core_module {modules}/mod_authz_core.so
{default_modules}
LoadModule bench_module {bench}
TypesConfig /dev/null
AddType text/plain .txt
{user}
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
{workers}
DocumentRoot "{root}/htdocs"
<Directory "/">
    AllowOverride None
    Require all denied
</Directory>
<Directory "{root}/htdocs">
    Require all granted
{here}
</Directory>
<Location "/seed">
    SetHandler bench-seed
</Location>
<Location "/write">
    SetHandler bench-write
</Location>
<Location "/env">
    SetHandler bench-env
</Location>
<Location "/mark">
    SetHandler bench-mark
</Location>
{extra}
"""

# One process, as on one core.
WORKERS = {"prefork": "", "event": """\
ServerLimit 1
StartServers 1
ThreadsPerChild 32
MaxRequestWorkers 32
MinSpareThreads 1
MaxSpareThreads 16"""}


class Server:
    """An httpd with its files below `work`/`name`; stopped where a `with` block ends."""

    def __init__(self, work, name, mpm, bench, extra="", here=""):
        # of one length for all, since httpd walks along the path of each file it serves
        self.root = pathlib.Path(work) / name.ljust(24, "_")
        self.port = free_port()
        self.process = None
        self.beside = None          # a beside.Php, started and stopped with it
        for directory in ("htdocs", "run", "data"):
            (self.root / directory).mkdir(parents=True)
        for directory in ("run", "data"):
            give_away(self.root / directory)
        (self.root / "htdocs" / "hello.txt").write_text(BODY)
        self.data = self.root / "data"
        modules = apxs("LIBEXECDIR")
        (self.root / "httpd.conf").write_text(CONFIG.format(
            root=self.root, host=HOST, port=self.port, mpm=mpm, modules=modules, bench=bench,
            default_modules="\n".join(f"LoadModule {name}_module {modules}/mod_{name}.so"
                                      for name in MODULES),
            workers=WORKERS[mpm], here=here,
            extra=extra.replace("@DATA@", str(self.data)),
            user="User www-data\nGroup www-data" if os.geteuid() == 0 else ""))

    def url(self, path):
        return f"http://{HOST}:{self.port}{path}"

    def start(self, before=(), arguments=("-DFOREGROUND",)):
        command = [*before, httpd_path(), "-f", str(self.root / "httpd.conf"), *arguments]
        try:
            if self.beside:
                self.beside.start(before)
            with open(self.root / "output", "w", encoding="utf-8") as output:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                                stderr=subprocess.STDOUT)
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def _wait(self):
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection((HOST, self.port), timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"httpd did not start:\n{self.log()}") from None
                time.sleep(0.05)

    def log(self):
        return "".join((self.root / name).read_text(errors="replace")
                       for name in ("output", "error.log") if (self.root / name).exists())

    def workers(self):
        """The processes that serve."""
        return children_of(self.process) + (children_of(self.beside.process) if self.beside else [])

    def stop(self):
        if self.process:
            end(self.process)
        if self.beside:
            self.beside.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Client:
    """One keep-alive connection."""

    def __init__(self, server):
        self.server = server
        self.socket = socket.create_connection((HOST, server.port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def get(self, path, cookie=None):
        """The headers, as a list of name (in lower case) and value, and the body."""
        line = f"Cookie: {cookie}\r\n" if cookie else ""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{line}\r\n".encode())
        while b"\r\n\r\n" not in self.rest:
            self._more()
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name.lower(), value.strip())
                   for name, _, value in (line.partition(":") for line in lines)]
        if status.split()[1] != "200":
            raise Failed(f"{path}: {status}\n{self.server.log()}")
        return headers, self._body(dict(headers)).decode()

    def _body(self, headers):
        if "content-length" in headers:
            return self._take(int(headers["content-length"]))
        # httpd does not take PHP's word for a length
        body = b""
        while piece := self._take(int(self._line(), 16)):
            body += piece
            self._line()
        self._line()
        return body

    def _line(self):
        while b"\r\n" not in self.rest:
            self._more()
        line, _, self.rest = self.rest.partition(b"\r\n")
        return line

    def _take(self, length):
        while len(self.rest) < length:
            self._more()
        taken, self.rest = self.rest[:length], self.rest[length:]
        return taken

    def _more(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise Failed(f"httpd closed the connection:\n{self.server.log()}")
        self.rest += piece

    def close(self):
        self.socket.close()
