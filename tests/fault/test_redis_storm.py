"""Many requests that wait for one answer."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from places import ONE_CHILD, start_places


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
        server = start_places(start, {"lost": f"redis://127.0.0.1:{port} sentinel=x"}, mpm_config=ONE_CHILD)
        server.expect("bsession:(error|warn)")
        asked.clear()
        began = time.monotonic()
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: server.client().probe("set=a:1", "get=a", at="/lost"), range(20)))
        took = time.monotonic() - began
        # one each 20 ms
        assert {a.status for a in answers} == {503} and len(asked) < 60 * took + 20, (len(asked), took)
        sentinel.shutdown(socket.SHUT_RDWR)
