"""A Sentinel that says what the test tells it to."""

import socketserver
import threading


class Lagging:
    """A Sentinel of the past: it names whom the test tells it to, or is silent."""

    def __init__(self, tls=None):
        """With a context, it speaks TLS."""
        self.names = None
        self.host = "127.0.0.1"
        self.asked = 0
        lagging = self

        class Conversation(socketserver.StreamRequestHandler):
            def handle(self):
                while line := self.rfile.readline():
                    words = []
                    for _ in range(int(line[1:])):
                        length = int(self.rfile.readline()[1:])
                        words.append(self.rfile.read(length + 2)[:-2].decode())
                    self.answer(words)

            def answer(self, words):
                if words[0] == "AUTH":
                    self.wfile.write(b"+OK\r\n")
                else:
                    lagging.asked += 1
                    if lagging.names:
                        port = str(lagging.names)
                        self.wfile.write(b"*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n"
                                         % (len(lagging.host), lagging.host.encode(), len(port), port.encode()))

        socketserver.ThreadingTCPServer.daemon_threads = True
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Conversation)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
