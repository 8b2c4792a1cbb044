"""Many requests that wait for one answer."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from places import HASTY, ONE_CHILD, places, start_places


def test_sentinels_are_not_stormed(start):
    """A child with nobody to ask but a Sentinel that knows nothing asks it a few dozen times a second, however
    many requests wait for an answer."""
    asked = []
    with socket.create_server(("127.0.0.1", 0), backlog=100) as sentinel:
        def know_nothing():
            while True:
                try:
                    with sentinel.accept()[0] as connection:
                        asked.append(connection.recv(4096))
                        connection.sendall(b"*-1\r\n")
                except OSError:
                    return
        threading.Thread(target=know_nothing, daemon=True).start()
        port = sentinel.getsockname()[1]
        server = start_places(start, {"lost": f"redis://127.0.0.1:{port} sentinel=x"}, HASTY, mpm_config=ONE_CHILD)
        server.expect("bsession:(error|warn)")
        asked.clear()
        began = time.monotonic()
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: server.client().probe("set=a:1", "get=a", at="/lost"), range(20)))
        took = time.monotonic() - began
        # one each 20 ms
        assert {a.status for a in answers} == {503} and len(asked) < 60 * took + 20, (len(asked), took)
        sentinel.shutdown(socket.SHUT_RDWR)


class FarAway:
    """A Cluster of so many nodes that has nothing, and takes its time to say so."""

    def __init__(self, count, delay):
        self.delay = delay
        self.looks = 0
        self.moves = 0
        self.sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        self.ports = [s.getsockname()[1] for s in self.sockets]
        ends = [16384 * i // count for i in range(count + 1)]
        self.slots = b"*%d\r\n" % count + b"".join(
            b"*3\r\n:%d\r\n:%d\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n" % (ends[i], ends[i + 1] - 1, port)
            for i, port in enumerate(self.ports))
        for s in self.sockets:
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, listener):
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client):
        with client:
            while data := client.recv(65536):
                time.sleep(self.delay)
                if b"CLUSTER" in data:
                    self.looks += 1
                    client.sendall(self.slots)
                elif self.moves:
                    self.moves -= 1
                    client.sendall(b"-MOVED 9 127.0.0.1:%d\r\n" % self.ports[0] * 2)
                else:
                    client.sendall(b"*0\r\n:-2\r\n")

    def close(self):
        for s in self.sockets:
            s.shutdown(socket.SHUT_RDWR)
            s.close()


def test_many_nodes_that_are_far_away(start):
    """Twelve, of 40 ms each: what a redirection makes a child ask again is learnt at once."""
    far = FarAway(12, 0.04)
    hosts = ",".join(f"127.0.0.1:{port}" for port in far.ports)
    server = start(places({"far": f"redis://{hosts} cluster=on"}), mpm_config=ONE_CHILD)
    visitor = server.client()
    visitor.jar["far"] = "A" * 43
    assert visitor.results("get=a", at="/far") == ["-"]
    far.looks, far.moves = 0, 1
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert visitor.results("get=a", at="/far") == ["-"]
    assert far.moves == 0 and 1 <= far.looks <= 2
    far.close()
