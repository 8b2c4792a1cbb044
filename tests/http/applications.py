"""Applications as the world writes them, and the servers that run them: CGI, PHP-FPM, uwsgi, Node.

The program is the same in each, in applications/. Its query: `k` the key that it looks at, `put` a
value for it, as hex, `long` the size of one, `say` lines of headers for the answer, `status`. The answer is JSON: `value` and
`cookie` as this program sees them, as hex or null, and `headers`, the names of the request's headers
that begin as ours do."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.parse

from doubles import wait_until

HERE = pathlib.Path(__file__).resolve().parent / "applications"


class Served:
    """An application server that listens at a UNIX socket, as the user that httpd's children are.
    `{socket}` and `{dir}`, where `files` are, are replaced in its command and its configuration."""

    def __init__(self, command, files, conf=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bsession-app-"))
        self.dir.chmod(0o755)
        self.run = self.dir / "run"
        self.run.mkdir(mode=0o700)
        self.socket = self.run / "socket"
        for file in files:
            shutil.copy(file, self.dir)
        for file in self.dir.glob("*.*"):
            file.chmod(0o644)
        if conf:
            (self.dir / "server.conf").write_text(self._fill(conf))
        self.log = self.dir / "log"
        self.process = None
        self._start([self._fill(word) for word in command])

    def _fill(self, text):
        return text.replace("{socket}", str(self.socket)).replace("{dir}", str(self.dir))

    def _start(self, command):
        self.log.touch()
        if os.geteuid() == 0:
            for path in (self.run, self.log):
                shutil.chown(path, "www-data", "www-data")
            command = ["setpriv", "--reuid=www-data", "--regid=www-data", "--init-groups", *command]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.dir, start_new_session=True)
        try:
            wait_until(self._answers, f"{command[-1]} to listen")
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}\n{self.said()}")

    def _answers(self):
        with socket.socket(socket.AF_UNIX) as s:
            assert self.process.poll() is None, f"the server ended\n{self.said()}"
            return s.connect_ex(str(self.socket)) == 0

    def said(self):
        return self.log.read_text(errors="replace")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


FPM = """[global]
error_log = {dir}/log
[tests]
listen = {socket}
pm = static
pm.max_children = 2
"""


def php_fpm(*files, conf=FPM):
    # Debian names the program by its version
    program = max(pathlib.Path("/usr/sbin").glob("php-fpm*"))
    return Served([str(program), "--nodaemonize", "--fpm-config", "{dir}/server.conf"], files, conf)


def uwsgi(file, *options):
    return Served(["uwsgi", "--plugin", "python3", "--need-app", "--master", "--die-on-term",
                   "--wsgi-file", file.name, *options, "--socket", "{socket}"], [file])


def node(file):
    return Served(["node", file.name, "{socket}"], [file])


def ask(client, path, *, k="k", put=None, say=(), size=None, status=None, **more):
    """The answer of an application at a path; `seen` is what it says."""
    query = {"k": k}
    if put is not None:
        query["put"] = put.hex()
    if say:
        query["say"] = "\n".join(say)
    if size:
        query["long"] = str(size)
    if status:
        query["status"] = str(status)
    answer = client.get(f"{path}?{urllib.parse.urlencode(query)}", **more)
    assert [n for n, _ in answer.headers if n.lower().startswith("bsession")] == [], answer
    is_json = answer.header("Content-Type") == "application/json" and answer.body
    answer.seen = json.loads(answer.body) if is_json else None
    return answer


def value_in(client, path, k="k"):
    """What it sees of a key: bytes, or None."""
    answer = ask(client, path, k=k)
    assert answer.status == 200, answer
    value = answer.seen["value"]
    return None if value is None else bytes.fromhex(value)
