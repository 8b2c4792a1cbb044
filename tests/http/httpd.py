"""A private httpd for a test, and a client that speaks to it as browsers do.

Everything of one server lives in one temporary directory: configuration, logs, documents, scripts.
Nothing here sleeps for a while and hopes: each wait is for a condition, up to a deadline.
"""

import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile

from client import Client
from confidential import Confidential
from doubles import PATIENCE, wait_until
from ports import free_ports

TOP = pathlib.Path(__file__).resolve().parents[2]
LOG_LINE = re.compile(r"^\[(?P<module>[\w-]*):(?P<level>\w+)\] ")
ALARMING = {"warn", "error", "crit", "alert", "emerg"}

# what httpd itself says at warn or above that is no news here
HARMLESS = [
    r"AH00558:",                        # the server's name could not be determined
    r"AH02445:", r"AH10034:",           # notes of mod_http2 on an MPM
    r"AH10159:", r"AH00287:", r"AH00161:", r"AH00484:",     # a small MPM is all in use
    r"AH00098: pid file .* overwritten",
    r"AH01873:", r"AH01882:",           # mod_ssl: no session cache; which OpenSSL it was built with
    r"AH01906:", r"AH01909:",           # a certificate that a test made
    r"AH03092:", r"AH03093:",           # a connection was to be kept, or to linger, and httpd stops
    r"AH0124[34]:",                     # mod_cgid: a daemon's end and the next one's start meet, in quick restarts
]

MODULES = ["authz_core", "mime", "dir", "alias", "env", "setenvif", "headers"]


def apxs(name):
    program = shutil.which("apxs") or shutil.which("apxs2")
    return subprocess.run([program, "-q", name], check=True, capture_output=True,
                          text=True).stdout.strip()


def read(path):
    """What is in the file, or nothing where it is not there yet."""
    return path.read_text(errors="replace") if path.exists() else ""


class Build:
    """What is tested: a build directory, installed into its stage/ by `make install`."""

    def __init__(self, name, mpm, store=None, store_needs=""):
        self.dir = TOP / name
        self.mpm = mpm
        self.store = store
        # Memcached does not list what it has
        self.scans = not (store or "").startswith("memcached:")
        self.store_needs = store_needs  # lines beside it
        self.asan = "asan" in name
        self.httpd = pathlib.Path(apxs("SBINDIR")) / apxs("progname")
        self.libexec = pathlib.Path(apxs("LIBEXECDIR"))
        self.stage = self.dir / "stage"
        self.work = self.dir / "http"

    @contextlib.contextmanager
    def alone(self):
        """Runs of the tests that share the directory build there one after another."""
        with open(self.dir / "tests.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def program(self, name):
        """One of Makefile.am's, built."""
        with self.alone():
            self._run(["make", "-s", name], self.dir)
        return self.dir / name

    def install(self):
        with self.alone():
            self._install()

    def _install(self):
        """What is installed already stays as it is: a server of another run may just be loading it."""
        self._run(["make", "-s", "all"], self.dir)
        done = self.dir / "installed"
        new = [*self.dir.glob(".libs/*.so"), *(TOP / "include").glob("*.h")]
        if not done.exists() or done.stat().st_mtime <= max(n.stat().st_mtime for n in new):
            self._run(["make", "-s", "install", f"DESTDIR={self.stage}"], self.dir)
            done.touch()
        installed = self.stage / self.libexec.relative_to("/")
        self.module = installed / "mod_bsession.so"
        self.include = self.stage / pathlib.Path(apxs("INCLUDEDIR")).relative_to("/")
        self.work.mkdir(exist_ok=True)
        self.probe = self._third_party("mod_probe", "probe_api", "probe_cache", "probe_hooks",
                                       "probe_session")
        self.fault = self._third_party("mod_fault")
        # what tests may name in mods=, beside httpd's own
        self.ours = {"session_bsession": installed / "mod_session_bsession.so",
                     "session_probe": self._third_party("mod_session_probe"),
                     "no_watchdog": self._third_party("mod_no_watchdog"),
                     "bsession_dbd": installed / "mod_bsession_dbd.so",
                     "bsession_memcached": installed / "mod_bsession_memcached.so",
                     "bsession_redis": installed / "mod_bsession_redis.so"}

    def _third_party(self, name, *more):
        """Built by apxs against the installed headers and nothing else, as anybody would; once, until
        something of it changes."""
        module = self.work / ".libs" / f"{name}.so"
        sources = list((TOP / "tests" / "http").glob("*.[ch]"))
        needs = [*sources, *(TOP / "include").glob("*.h"), pathlib.Path(__file__)]
        if module.exists() and module.stat().st_mtime > max(n.stat().st_mtime for n in needs):
            return module
        for source in sources:
            shutil.copy(source, self.work)
        program = shutil.which("apxs") or shutil.which("apxs2")
        self._run([program, "-Wc,-Wall", "-Wc,-Wextra", "-Wc,-Wno-unused-parameter",
                   "-Wc,-Werror", "-I", str(self.include),
                   "-c", *[f"{source}.c" for source in (name, *more)]], self.work)
        return module

    def path_of(self, name):
        """Of a module of ours, or else of httpd's."""
        return self.ours.get(name, self.libexec / f"mod_{name}.so")

    @staticmethod
    def _run(command, cwd):
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")

    def environment(self, where):
        env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8"}
        if self.asan:
            libs = [subprocess.run(["gcc", f"-print-file-name=lib{lib}.so"], check=True,
                                   capture_output=True, text=True).stdout.strip()
                    for lib in ("asan", "ubsan")]
            env["LD_PRELOAD"] = " ".join(libs)
            env["ASAN_OPTIONS"] = f"detect_leaks=0:log_path={where}/asan"
            env["UBSAN_OPTIONS"] = f"print_stacktrace=1:log_path={where}/ubsan"
        return env


class Httpd:
    """One running server. `config` is what the test is about; `{store}` (the line of the store that the run
    was told of, for a configuration that has others beside it), `{dir}`, `{port}`, `{docs}`, `{cgi}`
    in it are replaced."""

    cgi_by_default = None               # else what the MPM wants

    def __init__(self, build, config, mods=(), ports=1, main="", mpm_config="", cgi=None, implied=False,
                 env=None):
        self.build = build
        self.config = config
        self.mods = MODULES + [m for m in mods if m not in MODULES]
        self.nports = ports
        self.main = main
        self.mpm_config = mpm_config
        self.env = env or {}            # more of its environment
        self.implied = implied          # the store that is there when no line says which is what it is about
        self.cgi_module = cgi or self.cgi_by_default or ("cgi" if build.mpm == "prefork" else "cgid")
        self.process = None
        self.confidential = Confidential()
        self.expected = []
        self.seen = 0
        self.searched = {}              # log -> how much of it was searched for what is confidential
        # not pytest's: children that are another user must be able to walk into it
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bsession-http-"))
        self.dir.chmod(0o755)
        self.docs = self._subdir("docs", 0o755)
        self.cgi = self._subdir("cgi", 0o755)
        self.writable = self._subdir("w", 0o777)
        (self.docs / "index.html").write_text("<html>hello\n")
        self.error_log = self.dir / "error.log"
        self.access_log = self.dir / "access.log"

    def _subdir(self, name, mode):
        path = self.dir / name
        path.mkdir()
        path.chmod(mode)
        return path

    # -- documents and scripts

    def document(self, name, text):
        path = self.docs / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        path.chmod(0o644)
        return path

    def script(self, name, body, interpreter="/bin/sh"):
        """A CGI program."""
        path = self.cgi / name
        path.write_text(f"#!{interpreter}\n{body}")
        path.chmod(0o755)
        return path

    # -- configuration

    def text(self):
        user = "User www-data\nGroup www-data\n" if os.geteuid() == 0 else ""
        load = [f"LoadModule mpm_{self.build.mpm}_module {self.build.libexec}/mod_mpm_{self.build.mpm}.so"]
        for name in dict.fromkeys([*self.mods, self.cgi_module, *self._store_modules()]):
            load.append(f"LoadModule {name}_module {self.build.path_of(name)}")
        load.append(f"LoadModule probe_module {self.build.probe}")
        load.append(f"LoadModule fault_module {self.build.fault}")
        load.append(f"LoadModule bsession_module {self.build.module}")
        listen = "".join(f"Listen 127.0.0.1:{port}\n" for port in self.ports)
        socket_line = f"ScriptSock {self.dir}/cgid.sock\n" if self.cgi_module == "cgid" else ""
        return "\n".join(load) + f"""
ServerRoot {self.dir}
DefaultRuntimeDir {self.dir}
PidFile {self.dir}/httpd.pid
ServerName localhost
{listen}{user}{socket_line}TypesConfig /dev/null
AddType text/html .html
ErrorLog {self.error_log}
ErrorLogFormat "[%-m:%l] [%P] %M"
LogLevel info bsession:trace8
LogFormat "%v %m %U %>s %b" plain
CustomLog {self.access_log} plain
{self.mpm_config}
DocumentRoot {self.docs}
ScriptAlias /cgi/ {self.cgi}/
<Directory {self.dir}>
    Require all granted
</Directory>
<Location /probe>
    SetHandler bsession-probe
</Location>
""" + self._store_line() + self._fill(self.main or "", self.config)

    def _store_modules(self):
        """Those of the stores that the configuration, or the run, names."""
        found = sorted(set(map(str.lower, self._schemes())))
        return [*(["dbd"] if "dbd" in found else []), *[f"bsession_{scheme}" for scheme in found]]

    def _schemes(self):
        text = self._default_store() + self._fill(self.main, self.config)
        return re.findall(r"(?im)^ *BSessionStore \S+ '?(?:fault:)?(dbd|memcached|redis)", text)

    def _default_store(self):
        """The store that the run was told of, where the test does not care."""
        if not self.build.store or self.implied or "BSessionStore" in self.main + self.config:
            return ""
        return self._fill(f"BSessionStore default {self.build.store}\n")

    def _store_line(self):
        """And what stores need beside their line, where the test does not say."""
        if "dbd" in self._schemes() and not self.implied and "DBDriver" not in self.main + self.config:
            return self.build.store_needs + self._default_store()
        return self._default_store()

    def _fill(self, *texts):
        text = "\n".join(texts)
        for name, value in {"store": f"BSessionStore default {self.build.store or 'memory:'}",
                            "dir": self.dir, "docs": self.docs, "cgi": self.cgi, "w": self.writable,
                            "port": self.ports[0],
                            **{f"port{i}": p for i, p in enumerate(self.ports)}}.items():
            text = text.replace("{%s}" % name, str(value))
        return text

    def write(self):
        self.ports = free_ports(self.nports)
        text = self.text()
        self.confidential.configuration(text, self.env)
        (self.dir / "httpd.conf").write_text(text)

    def _command(self, *more):
        return [str(self.build.httpd), "-d", str(self.dir), "-f", str(self.dir / "httpd.conf"), *more]

    def environment(self):
        return {**self.build.environment(self.writable), **self.env}

    def configtest(self):
        """The status and the output of `httpd -t`."""
        self.write()
        done = self.run("-t")
        said = done.stdout + done.stderr
        assert not self.confidential.told(said), said
        return done.returncode, said

    def run(self, *more):
        """Once, with the configuration as it was written."""
        return subprocess.run(self._command(*more), env=self.environment(),
                              capture_output=True, text=True, timeout=60)

    # -- running

    def start(self):
        for _ in range(5):
            self.write()
            output = open(self.dir / "output", "wb")
            self.process = subprocess.Popen(self._command("-DFOREGROUND"), stdout=output,
                                            stderr=output, stdin=subprocess.DEVNULL,
                                            env=self.environment(),
                                            start_new_session=True)
            output.close()
            if wait_until(self._answer, "httpd to start", 60) == "up":
                return self
            said = self.output() + self.log()
            if "could not bind" not in said:
                raise AssertionError(f"httpd did not start:\n{said}")
            self.error_log.unlink(missing_ok=True)      # what it says of a port that somebody has taken
            self.seen = 0
        raise AssertionError("no free port was found")

    def _answer(self):
        if self.process.poll() is not None:
            return "down"
        if "resuming normal operations" not in self.log():
            return None
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return "up"
        except OSError:
            return None

    def output(self):
        return read(self.dir / "output")

    @property
    def port(self):
        return self.ports[0]

    def graceful(self):
        """Returns when the new generation alone takes connections."""
        before, old = self.log().count("resuming normal operations"), self.children()
        self.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: self.log().count("resuming normal operations") > before,
                   "a graceful restart")
        wait_until(lambda: all(self._takes_no_more(pid) for pid in old), "the generation before to stop listening")

    def _takes_no_more(self, pid):
        """It has gone, or does not listen; one of prefork's listens still while it serves its last connection."""
        held = set()
        try:
            for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    held.add(os.readlink(fd))
        except OSError:
            return True
        established, listening = (self._sockets(state) for state in ("01", "0A"))
        return not held & listening or (self.build.mpm == "prefork" and bool(held & established))

    def _sockets(self, state):
        """Those at our ports, as /proc names them."""
        found = set()
        for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == state and int(words[1].partition(":")[2], 16) in self.ports:
                found.add(f"socket:[{words[9]}]")
        return found

    def children(self):
        """The processes that serve; with mod_cgid its daemon is among them."""
        pids = []
        for entry in pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children") \
                .read_text().split():
            try:
                command = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes()
            except OSError:
                continue
            if str(self.build.httpd).encode() in command:
                pids.append(int(entry))
        return pids

    def stop(self):
        if self.process and self.process.poll() is None:
            for pid in self.children():
                try:
                    os.kill(pid, signal.SIGCONT)
                except OSError:
                    pass
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                raise AssertionError(f"httpd did not stop within {PATIENCE:g} s")

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    # -- logs

    def log(self):
        return read(self.error_log)

    def lines(self):
        """The error log's lines since the last check, whole ones only."""
        text = self.log()[self.seen:]
        return text[:text.rfind("\n") + 1].splitlines()

    def expect(self, *patterns):
        """Lines that this test may cause."""
        self.expected += patterns

    def logged(self, pattern):
        """Waits for such a line of this test, which is then no surprise."""
        self.expected.append(pattern)
        found = wait_until(lambda: [line for line in self.lines() if re.search(pattern, line)],
                           f"a log line {pattern!r}")
        return found[0]

    def surprises(self):
        """What nobody expected in the logs since the last call; each is reported once."""
        lines = self.lines()
        self.seen = len(self.log()[:self.seen + sum(len(line) + 1 for line in lines)])
        wrong = []
        for line in lines:
            found = LOG_LINE.match(line)
            if found and found["level"] not in ALARMING:
                continue
            if not line or any(re.search(p, line) for p in HARMLESS + self.expected):
                continue
            wrong.append(line)
        self.expected = []
        wrong += self.told()
        for report in self.writable.glob("*san.*"):
            wrong.append(report.read_text(errors="replace"))
            report.unlink()
        return wrong

    def logs(self):
        """Every one there is: those of httpd, what it printed, and what the configuration of a test adds."""
        return [self.dir / "output", *sorted(self.dir.glob("*.log")), *sorted(self.writable.glob("*.log"))]

    def told(self):
        """What new lines of the logs tell that is confidential. Where a log's format has %{...}^BS in it,
        values are what it is there for."""
        wrong = []
        for path in self.logs():
            text = read(path)
            since = text.rfind("\n", 0, self.searched.get(path, 0)) + 1
            self.searched[path] = len(text)
            shows = path not in (self.error_log, self.access_log) and "}^BS" in self.config + self.main
            wrong += [f"{path.name}: {line}" for line in self.confidential.told(text[since:], not shows)]
        return wrong

    # -- clients

    def client(self, **more):
        return Client(self, **more)

    def rss(self, pid):
        """Resident kilobytes that are the process's own; a store in a file of this server is not."""
        own, kilobytes = True, 0
        for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                own = str(self.dir) not in line
            found = re.match(r"Private_(?:Clean|Dirty): +(\d+) kB", line)
            kilobytes += int(found[1]) if own and found else 0
        return kilobytes


def on(*more):
    """Sessions everywhere, and more directives there; the tests' clients speak plain HTTP."""
    return "\n".join(['<Location "/">', "BSession On", "BSessionCookie bsession Secure=Off", *more,
                      "</Location>"]) + "\n"
