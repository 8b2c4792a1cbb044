"""Visitors: what they send, what they keep, and what they get."""

import http.client
import re
import socket
import struct
import subprocess
import urllib.parse

TOKEN = re.compile(r"^(?:[A-Za-z0-9_-]{43}|[A-Za-z0-9_-]{64})$")
# A token that is formed well and known to nobody.
STRANGER = "A" * 43


def quote(text):
    return urllib.parse.quote(text, safe="")


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def header(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} occurs {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def cookies(self):
        """The Set-Cookie lines of sessions; those of applications begin with app."""
        return [c for c in self.all("Set-Cookie") if not c.startswith("app")]

    @property
    def results(self):
        """What the probe's calls returned, in their order."""
        return [line.split(" ", 1)[1] for line in self.text.splitlines() if " " in line]

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:400]!r}>"


class Client:
    """A visitor: keeps cookies as a browser does, but for their Secure."""

    def __init__(self, server, host=None, port=None, keep=False, address="127.0.0.1", source=None):
        self.server = server
        self.address = address
        self.source = source            # an address of ours to come from
        self.host = host
        self.port = port or server.port
        self.jar = {}
        self.keep = keep
        self.connection = None

    def _connect(self, timeout):
        return http.client.HTTPConnection(self.address, self.port, timeout=timeout,
                                          source_address=self.source and (self.source, 0))

    def request(self, method, path, body=None, headers=(), cookies=True, timeout=30):
        sent = dict(headers)
        if cookies and self.jar and "Cookie" not in sent:
            sent["Cookie"] = "; ".join(f"{n}={v}" for n, v in self.jar.items())
        if self.host and "Host" not in sent:
            sent["Host"] = self.host
        self.server.confidential.request(path, body, sent.get("Cookie", ""))
        c = self.connection or self._connect(timeout)
        try:
            c.request(method, path, body, sent)
            raw = c.getresponse()
            answer = Answer(raw.status, raw.getheaders(), raw.read())
        except BaseException:
            c.close()
            self.connection = None
            raise
        if self.keep:
            self.connection = c
        else:
            c.close()
        self.take(answer)
        return answer

    def take(self, answer):
        for line in answer.all("Set-Cookie"):
            name, _, value = line.split(";")[0].partition("=")
            if TOKEN.match(value):
                self.server.confidential.token(value)
            if re.search(r";\s*max-age=0\b", line, re.I) or value == "":
                self.jar.pop(name, None)
            else:
                self.jar[name] = value

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def probe(self, *calls, at="/probe", **more):
        """Runs calls of the C API in the server; the results are their answers, in order."""
        answer = self.request("GET", at + "?" + "&".join(calls), **more)
        return answer

    def results(self, *calls, **more):
        answer = self.probe(*calls, **more)
        assert answer.status == 200, answer
        return answer.results

    @property
    def token(self):
        return self.jar.get("bsession")

    def twin(self):
        """Another connection of the same visitor, as the cookies are now."""
        other = Client(self.server, self.host, self.port)
        other.jar = dict(self.jar)
        return other

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None


def raw(server, data, port=None, timeout=30):
    """Sends bytes, returns all that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", port or server.port), timeout) as s:
        s.sendall(data)
        received = b""
        while True:
            part = s.recv(65536)
            if not part:
                return received
            received += part


def h2(server, path, cookie=None):
    """A GET over HTTP/2, in the clear."""
    command = ["curl", "-s", "-i", "--http2-prior-knowledge", "--max-time", "30",
               f"http://127.0.0.1:{server.port}{path}"]
    if cookie:
        command += ["-H", f"Cookie: bsession={cookie}"]
    out = subprocess.run(command, check=True, capture_output=True).stdout
    head, _, body = out.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first.startswith("HTTP/2 ")
    return Answer(int(first.split()[1]), [tuple(line.split(": ", 1)) for line in lines], body)


def _literals(fields):
    """Headers as HPACK has them without tables and without Huffman's code."""
    def text(value):
        more, length = len(value) - 127, [min(len(value), 127)]
        while more >= 128:
            length.append(more % 128 + 128)
            more //= 128
        return bytes(length + [more] * (len(value) >= 127)) + value.encode()
    return b"".join(b"\0" + text(n) + text(v) for n, v in fields.items())


def h2_upgraded(server, path, cookie=None):
    """A GET that begins as HTTP/1.1, and is answered in HTTP/2."""
    command = ["curl", "-s", "-i", "--http2", "--max-time", "30", f"http://127.0.0.1:{server.port}{path}"]
    if cookie:
        command += ["-H", f"Cookie: {cookie}"]
    out = subprocess.run(command, check=True, capture_output=True).stdout
    switched, head, body = out.split(b"\r\n\r\n", 2)
    first, *lines = head.decode().split("\r\n")
    assert switched.startswith(b"HTTP/1.1 101 ") and b"cookie" not in switched.lower()
    assert first.startswith("HTTP/2 ")
    return Answer(int(first.split()[1]), [tuple(line.split(": ", 1)) for line in lines], body)


class _Http2:
    """A connection in the clear, as far as tests need one: no client at hand sends trailers, or says what its
    streams bring."""
    DATA, HEADERS, SETTINGS, END_STREAM, END_HEADERS = 0, 1, 4, 1, 4
    HEAD = struct.Struct(">HBBBI")      # a frame: 24 bits of length, type, flags, stream

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.port), 30)
        self.answers = self.socket.makefile("rb")
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(self.SETTINGS, 0, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answers.close()
        self.socket.close()

    def frame(self, kind, flags, stream, payload=b""):
        return self.HEAD.pack(len(payload) >> 8, len(payload) & 255, kind, flags, stream) + payload

    def headers(self, stream, fields, end=0):
        return self.frame(self.HEADERS, self.END_HEADERS | end, stream, _literals(fields))

    def bodies(self, streams):
        """Of the answers, when all are complete."""
        received = dict.fromkeys(streams, b"")
        left = set(streams)
        while left:
            high, low, kind, flags, stream = self.HEAD.unpack(self.answers.read(self.HEAD.size))
            payload = self.answers.read(high << 8 | low)
            if kind == self.DATA:
                received[stream] += payload
            if kind in (self.DATA, self.HEADERS) and flags & self.END_STREAM:
                left.discard(stream)
        return received


def h2_post(server, path, body, trailers, cookie=None):
    """A POST over HTTP/2, with its length and with trailers; the body of the answer."""
    request = {":method": "POST", ":scheme": "http", ":authority": "localhost", ":path": path,
               "content-length": str(len(body))}
    if cookie:
        request["cookie"] = f"bsession={cookie}"
    with _Http2(server) as c:
        c.socket.sendall(c.headers(1, request) + c.frame(c.DATA, 0, 1, body)
                         + c.headers(1, trailers, c.END_STREAM))
        return c.bodies([1])[1]


def h2_streams(server, tokens, path, rounds):
    """What the probe's calls returned for each token, all at once and on one connection, that many times."""
    request = {":method": "GET", ":scheme": "http", ":authority": "localhost", ":path": path}
    results = []
    with _Http2(server) as c:
        for round_ in range(rounds):
            streams = {1 + 2 * (round_ * len(tokens) + i): token for i, token in enumerate(tokens)}
            c.socket.sendall(b"".join(c.headers(stream, {**request, "cookie": f"bsession={token}"}, c.END_STREAM)
                                      for stream, token in streams.items()))
            bodies = c.bodies(streams)
            results.append([Answer(200, [], bodies[stream]).results for stream in streams])
    return results
