"""What stands in a test for the world around httpd: time, applications, stores."""

import concurrent.futures
import contextlib
import mmap
import os
import re
import socket
import struct
import threading
import time

from client import quote

PATIENCE = 60.0                         # how long a condition may take on a busy machine


def wait_until(condition, what, patience=PATIENCE):
    """Returns what condition() does once that is true."""
    deadline = time.monotonic() + patience
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:g} s in vain for {what}")
        time.sleep(0.01)


class Gate:
    """Holds a request of the probe in the middle: it waits where the `call` stands until the test has
    done what it wants to do meanwhile."""

    count = 0

    def __init__(self, server):
        Gate.count += 1
        self.path = server.writable / f"gate{Gate.count}"
        self.call = f"wait={quote(str(self.path))}"

    @contextlib.contextmanager
    def passing(self, client, *calls, **more):
        """The request runs in another thread up to the gate, then the block, then the rest; its
        answer is self.answer after that."""
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            future = pool.submit(client.probe, *calls, **more)
            try:
                here = self.path.with_name(self.path.name + ".here")
                wait_until(lambda: here.exists() or future.done(), "the request to reach the gate")
                yield
            finally:
                self.path.touch()
            self.answer = future.result()


class Listener:
    """Each connection is answered by a thread of its own."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return                  # closed
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def close(self):
        # wakes accept()
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Backend(Listener):
    """An application behind mod_proxy_http, byte for byte: it answers each request with the headers
    that the test has put into `headers`, and the raw head of the request as the body."""

    def __init__(self):
        self.headers = []
        self.status = "200 OK"
        self.raw = None                 # the whole answer, instead of one made of these
        self.upgrades = False           # it answers `Upgrade` with a 101, and closes
        super().__init__()

    def _answer(self, connection):
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                part = connection.recv(65536)
                if not part:
                    return
                head += part
            head, _, rest = head.partition(b"\r\n\r\n")
            found = re.search(rb"(?im)^content-length: *(\d+)", head)
            while found and len(rest) < int(found[1]):
                rest += connection.recv(65536)
            if self.raw:
                connection.sendall(self.raw)
                return
            if self.upgrades and re.search(rb"(?im)^upgrade:", head):
                connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                                   b"Upgrade: foo\r\n\r\n")
                return
            lines = [f"HTTP/1.1 {self.status}", "Content-Type: text/plain", "Connection: close",
                     f"Content-Length: {len(head)}", *self.headers]
            connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + head)


class Fastcgi(Listener):
    """An application behind mod_proxy_fcgi: its answer is the environment that it was given."""

    HEAD = struct.Struct(">BBHHBx")     # version, type, request, length, padding
    END, PARAMS, STDIN, STDOUT = 3, 4, 5, 6

    def _answer(self, connection):
        with connection, connection.makefile("rb") as stream:
            self._records(connection, stream)

    def _records(self, connection, stream):
        params = b""
        while True:
            head = stream.read(self.HEAD.size)
            if len(head) < self.HEAD.size:
                return
            _, kind, request, length, padding = self.HEAD.unpack(head)
            content = stream.read(length + padding)[:length]
            if kind == self.PARAMS:
                params += content
            elif kind == self.STDIN and not content:
                break
        lines = b"".join(b"%s=%s\n" % pair for pair in self._pairs(params))
        said = b"Content-Type: text/plain\r\n\r\n" + lines
        for kind, content in (self.STDOUT, said), (self.STDOUT, b""), (self.END, bytes(8)):
            connection.sendall(self.HEAD.pack(1, kind, request, len(content), 0) + content)

    @staticmethod
    def _pairs(params):
        def length(at):
            if params[at] < 128:
                return params[at], at + 1
            return int.from_bytes(params[at:at + 4], "big") & 0x7FFFFFFF, at + 4

        at = 0
        while at < len(params):
            name, at = length(at)
            value, at = length(at)
            yield params[at:at + name], params[at + name:at + name + value]
            at += name + value


class Fault:
    """What tests do to a store behind mod_fault.c; the layout is drawn there."""

    VERBS = ["load", "create", "merge", "replace", "touch", "remove", "put", "scan"]
    MODES = ["pass", "fail", "lost", "delay", "forget", "corrupt", "conflict", "nospace", "garble",
             "hang", "unable"]
    ROW = struct.Struct("<iiiI")

    def __init__(self, path):
        with open(path, "wb") as f:
            f.truncate(4096)
        os.chmod(path, 0o666)
        self.file = open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 4096)

    def set(self, mode, *verbs, times=-1, ms=0):
        """From now on these verbs (all, if none is named) do so, this many times."""
        for verb in verbs or self.VERBS:
            at = self.VERBS.index(verb) * self.ROW.size
            struct.pack_into("<iii", self.map, at, self.MODES.index(mode), times, ms)

    def clear(self):
        self.set("pass")

    def calls(self, *verbs):
        """How many calls of these verbs (of all, if none is named) reached the provider."""
        return sum(self.ROW.unpack_from(self.map, self.VERBS.index(v) * self.ROW.size)[3]
                   for v in verbs or self.VERBS)
