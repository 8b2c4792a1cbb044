"""Between a test's httpd and its Redis or Memcached: passes on what they say, flight by flight, and on command splits,
delays, cuts off, swallows, adds to or replaces a reply, or loses or refuses a request before it arrives."""

import collections
import contextlib
import re
import socket
import threading
import time

from conversation import Flight, syntax_of


MOST = 1 << 18


class Measure:
    """How long the reply is."""

    def reply(self, data):
        """What goes to the client, and whether that was the last."""
        self.length = len(data)
        return data, False


class Cut:
    """So many bytes of the reply, and the end of the connection."""

    def __init__(self, count):
        self.count = count

    def reply(self, data):
        return data[:self.count], True


class Swallow:
    """It was done, and nobody is told; `then` is called before the connection ends."""

    def __init__(self, then=None):
        self.then = then

    def reply(self, data):
        if self.then:
            self.then()
        return b"", True


class Drop:
    """It never arrives."""


class Answer:
    """It never arrives, and is answered by the proxy, which then may hang up."""

    def __init__(self, *parts, hang_up=False):
        self.data = b"".join(parts)
        self.hang_up = hang_up

    def answer(self, data):
        return self.data


class Refuse(Answer):
    """Each of its commands is refused so; but who asks for the role is told of a master."""

    MASTER = b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"

    def __init__(self, error, **more):
        super().__init__(**more)
        self.error = error

    def answer(self, data):
        commands = re.findall(rb"(?:^|(?<=\r\n))\*\d+\r\n\$\d+\r\n(\w+)", data)
        return b"".join(self.MASTER if c == b"ROLE" else b"-%s\r\n" % self.error for c in commands)


class Hold:
    """The reply comes when the test says so."""

    def __init__(self):
        self.go = threading.Event()
        self.here = threading.Event()

    def reply(self, data):
        self.here.set()
        self.go.wait(30)
        return data, False


class Instead:
    """Another reply; None stands for what came."""

    def __init__(self, *parts):
        self.parts = parts

    def reply(self, data):
        return b"".join(data if part is None else part for part in self.parts), False


class Connection:
    def __init__(self, proxy, client):
        self.proxy = proxy
        self.client = client
        self.server = socket.create_connection(("127.0.0.1", proxy.target))
        for s in client, self.server:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked = collections.deque()    # of each flight that waits for its answer, that and what becomes of it

    def start(self):
        for work in self._requests, self._replies:
            threading.Thread(target=self._until_closed, args=(work,), daemon=True).start()

    def _until_closed(self, work):
        try:
            work()
        except OSError:
            pass
        finally:
            self.close()

    def _requests(self):
        flight = None
        while data := self.client.recv(MOST):
            flight = flight or Flight(syntax_of(data))
            if flight.take(data) and not self._more():
                if not self._pass_on(flight):
                    return
                flight = None

    def _more(self):
        """Whether the client has said more already."""
        try:
            return self.client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False

    def _pass_on(self, flight):
        """Returns whether the connection goes on."""
        data = bytes(flight.data)
        action = self.proxy.look(data)
        if isinstance(action, Drop):
            return False
        if isinstance(action, Answer):
            # the end comes together with the answer
            self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, action.hang_up)
            self.client.sendall(action.answer(data))
            return not action.hang_up
        self.asked.append((Flight(type(flight.syntax), flight.loud), action))
        with contextlib.suppress(OSError):  # it has gone: its last words are passed on first
            self.server.sendall(data)
        return True

    def _replies(self):
        while data := self._received():
            while data and self.asked and self.asked[0][0].take(data):
                flight, action = self.asked.popleft()
                reply, last = action.reply(bytes(flight.data)) if action else (bytes(flight.data), False)
                self._send(reply)
                if last:
                    return
                data = bytes(flight.rest)
            if not self.asked:
                self._send(data)            # unasked
        for flight, _ in self.asked:        # what it began to say
            self._send(bytes(flight.data + flight.rest))

    def _received(self):
        try:
            return self.server.recv(MOST)
        except OSError:
            return b""

    def _send(self, data):
        time.sleep(self.proxy.delay)
        # each of the first bytes by itself
        for at in range(min(self.proxy.split, len(data))):
            self.client.sendall(data[at:at + 1])
        self.client.sendall(data[self.proxy.split:])

    def close(self):
        for s in self.client, self.server:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Proxy:
    """In front of a port; `port` is its own."""

    def __init__(self, target):
        self.target = target
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.lock = threading.Lock()
        self.connections = []
        self.rules = []
        self.seen = []                      # requests, by flights
        self.split = 0                      # so many bytes of each reply go one by one
        self.delay = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return                      # closed
            try:
                connection = Connection(self, client)
            except OSError:
                client.close()              # nobody is there
                continue
            with self.lock:                 # before its first byte goes on, hang_up() knows of it
                self.connections.append(connection)
            connection.start()

    def once(self, match, action):
        """Of the next request with these bytes in it."""
        with self.lock:
            self.rules.append((match, action))
        return action

    def look(self, data):
        with self.lock:
            self.seen.append(data)
            for rule in self.rules:
                if rule[0] in data:
                    self.rules.remove(rule)
                    return rule[1]
        return None

    def count(self, match):
        """How many requests had these bytes in them since the last clear()."""
        with self.lock:
            return sum(match in data for data in self.seen)

    def clear(self):
        with self.lock:
            assert self.rules == [], "nothing has asked for this"
            self.seen = []

    def hang_up(self):
        """All connections end."""
        with self.lock:
            gone, self.connections = self.connections, []
        for connection in gone:
            connection.close()

    def close(self):
        # wakes accept()
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.hang_up()
