"""PostgreSQL that does what it is asked, and whose answer never arrives."""

import socket
import threading

import pytest

import sql_servers
from doubles import Listener
from httpd import on
from places import ONE_CHILD


class Cutter(Listener):
    """Passes bytes on. Once told to, it lets one more question that contains these bytes reach the server,
    and cuts the connection where the answer comes."""

    def __init__(self, port):
        self.server = port
        self.word = None
        self.cut = 0
        super().__init__()

    def _answer(self, connection):
        server = socket.create_connection(("127.0.0.1", self.server))
        doomed = threading.Event()
        back = threading.Thread(target=self._back, args=(connection, server, doomed), daemon=True)
        back.start()
        with connection, server:
            while data := self._receive(connection):
                if self.word and self.word in data:
                    self.word = None
                    doomed.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)
            back.join()

    def _back(self, connection, server, doomed):
        while data := self._receive(server):
            if doomed.is_set():
                self.cut += 1
                connection.shutdown(socket.SHUT_RDWR)
                return
            connection.sendall(data)
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    @staticmethod
    def _receive(one):
        try:
            return one.recv(65536)
        except OSError:
            return b""


@pytest.fixture(scope="module")
def database():
    one = sql_servers.Postgres()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def server(start, database):
    cutter = Cutter(database.port)
    lines = database.lines("DBDMax 3\n").replace(f"port={database.port}", f"port={cutter.port} sslmode=disable")
    one = start(lines + "BSessionStore default dbd: timeout=20s breaker=off\n" + on(), mpm_config=ONE_CHILD)
    one.cutter = cutter
    yield one
    one.stop()
    cutter.close()


# in the order of dbd_statement_t: names of prepared statements end with the place
LOAD, CREATE, STORE, REMOVE = 1, 3, 6, 8


def lose(server, statement):
    """The answer to this statement, whichever connection it is prepared on."""
    server.cutter.word = b"_%d\0" % statement
    before = server.cutter.cut
    return lambda: server.cutter.cut == before + 1


@pytest.fixture
def visitor(server):
    one = server.client()
    for calls in "set=n:0", "incr=n:1":
        one.results(calls)
    return one


def test_of_a_load(server, visitor):
    lost = lose(server, LOAD)
    assert visitor.results("get=n") == ["=1"] and lost()


def test_of_a_create(server, visitor):
    """It knows its own record again."""
    lost = lose(server, CREATE)
    stranger = server.client()
    assert stranger.results("set=a:1") == ["ok"] and lost()
    assert stranger.results("get=a") == ["=1"]


def test_of_an_increment(server, visitor):
    """It was made, and nobody can tell that it was; it is not made twice."""
    lost = lose(server, STORE)
    assert visitor.probe("incr=n:1").status == 503 and lost()
    assert "whether it had been done by then cannot be told" in server.logged("store default: save failed")
    assert visitor.results("get=n") == ["=2"]


def test_of_the_end_of_a_session(server, visitor):
    """Its record is gone, which is what was asked for."""
    token = visitor.token
    lost = lose(server, REMOVE)
    answer = visitor.probe("destroy")
    assert answer.status in (200, 503) and lost()
    again = server.client()
    again.jar = {"bsession": token}
    assert again.results("get=n") == ["-"]
    server.expect("store default: ")
