"""Between a test's httpd and a Redis without TLS: it ends the TLS, by OpenSSL itself, and on command does what
OpenSSL lets a server do in the middle of a connection, or lets what it says trickle."""

import ctypes
import select
import socket
import threading
import time

TLS1_1, TLS1_2, TLS1_3 = 0x0302, 0x0303, 0x0304
_FILETYPE_PEM, _SET_MIN_PROTO, _SET_MAX_PROTO = 1, 123, 124
_KEY_UPDATE_REQUESTED, _RECEIVED_SHUTDOWN = 1, 2
_WANT_READ, _MOST = 2, 1 << 16

_ssl, _crypto = ctypes.CDLL("libssl.so.3"), ctypes.CDLL("libcrypto.so.3")
_P, _I, _L, _S = ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p


def _declare(library, result, **functions):
    for name, arguments in functions.items():
        getattr(library, name).restype = result
        getattr(library, name).argtypes = arguments


_declare(_ssl, _P, TLS_server_method=[], SSL_CTX_new=[_P], SSL_new=[_P])
_declare(_ssl, _L, SSL_CTX_ctrl=[_P, _I, _L, _P])
_declare(_ssl, None, SSL_free=[_P], SSL_CTX_free=[_P], SSL_set_bio=[_P, _P, _P], SSL_set_accept_state=[_P])
_declare(_ssl, _I, SSL_CTX_use_certificate_chain_file=[_P, _S], SSL_CTX_use_PrivateKey_file=[_P, _S, _I],
         SSL_CTX_set_cipher_list=[_P, _S], SSL_do_handshake=[_P], SSL_read=[_P, _P, _I], SSL_write=[_P, _S, _I],
         SSL_get_error=[_P, _I], SSL_get_shutdown=[_P], SSL_is_init_finished=[_P], SSL_key_update=[_P, _I],
         SSL_new_session_ticket=[_P], SSL_renegotiate=[_P], SSL_shutdown=[_P])
_declare(_crypto, _P, BIO_s_mem=[], BIO_new=[_P])
_declare(_crypto, _I, BIO_write=[_P, _S, _I], BIO_read=[_P, _P, _I])
_declare(_crypto, None, ERR_clear_error=[])


class Connection:
    """One thread serves it; the test's says something in between under the lock."""

    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, client
        self.server = socket.create_connection(("127.0.0.1", proxy.target))
        self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.lock = threading.RLock()
        self.late = b""                 # of what was said: it goes before all else
        self.goodbye = False            # the client ended it by TLS's own word
        self.ended = threading.Event()
        self.tls = _ssl.SSL_new(proxy.context)
        self.incoming, self.outgoing = (_crypto.BIO_new(_crypto.BIO_s_mem()) for _ in range(2))
        _ssl.SSL_set_bio(self.tls, self.incoming, self.outgoing)
        _ssl.SSL_set_accept_state(self.tls)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        try:
            while self._pass_on():
                pass
        except OSError:
            pass
        with self.lock:
            self.goodbye = bool(_ssl.SSL_get_shutdown(self.tls) & _RECEIVED_SHUTDOWN)
            _ssl.SSL_free(self.tls)
            self.tls = None
        self.close()
        self.ended.set()

    def _pass_on(self):
        ready, _, _ = select.select([self.client, self.server], [], [])
        with self.lock:
            for one in ready:
                data = one.recv(_MOST)
                if not data:
                    return False
                cut = self.proxy.cuts.pop(0) if one is self.server and self.proxy.cuts else None
                if cut:
                    return self._cut(data, *cut)
                if one is self.server:
                    _ssl.SSL_write(self.tls, data, len(data))
                else:
                    _crypto.BIO_write(self.incoming, data, len(data))
                    self.server.sendall(self._read())
            self._send(self._said())
        return True

    def _cut(self, data, count, goodbye):
        if count:
            _ssl.SSL_write(self.tls, data[:count], count)
        if goodbye:
            _ssl.SSL_shutdown(self.tls)
        self._send(self._said())
        return False

    def _read(self):
        """What the client said; the handshakes go on by the way."""
        text, buffer = b"", ctypes.create_string_buffer(_MOST)
        while True:
            _crypto.ERR_clear_error()
            done = _ssl.SSL_read(self.tls, buffer, _MOST)
            if done > 0:
                text += buffer.raw[:done]
                continue
            if _ssl.SSL_get_error(self.tls, done) != _WANT_READ:
                self._send(self._said())        # an alert
                raise OSError("TLS ends")
            return text

    def _said(self):
        buffer = ctypes.create_string_buffer(_MOST)
        text = self.late
        self.late = b""
        while (done := _crypto.BIO_read(self.outgoing, buffer, _MOST)) > 0:
            text += buffer.raw[:done]
        return text

    def _send(self, data):
        while data and self.proxy.trickle:
            time.sleep(self.proxy.trickle)
            self.client.sendall(data[:1])
            data = data[1:]
        self.client.sendall(data)

    def close(self):
        for s in self.client, self.server:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    # -- what a server may do in between

    def say(self, text, part=None):
        """Unasked; `part` of its bytes now, the rest with whatever comes next."""
        with self.lock:
            assert self.tls, "the connection has ended"
            _ssl.SSL_write(self.tls, text, len(text))
            data = self._said()
            self.late = data[part:] if part else b""
            self._send(data[:part])

    def new_keys(self):
        """TLS 1.3; the client has to change its own, too."""
        self._do(_ssl.SSL_key_update, _KEY_UPDATE_REQUESTED)

    def new_ticket(self):
        """TLS 1.3."""
        self._do(_ssl.SSL_new_session_ticket)

    def renegotiate(self):
        """TLS 1.2."""
        self._do(_ssl.SSL_renegotiate)

    def _do(self, function, *arguments):
        with self.lock:
            assert self.tls, "the connection has ended"
            assert function(self.tls, *arguments) == 1
            _ssl.SSL_do_handshake(self.tls)
            self._send(self._said())


class TlsProxy:
    """In front of a port; `port` is its own."""

    def __init__(self, target, key, pem, least=0, most=0):
        self.target = target
        self.trickle = 0                # seconds between bytes that go to the client
        self.cuts = []                  # of the next replies: None, or so many bytes, and the end, by TLS's own word or without
        self.connections = []
        self.context = _ssl.SSL_CTX_new(_ssl.TLS_server_method())
        _ssl.SSL_CTX_set_cipher_list(self.context, b"DEFAULT:@SECLEVEL=0")
        _ssl.SSL_CTX_ctrl(self.context, _SET_MIN_PROTO, least, None)
        _ssl.SSL_CTX_ctrl(self.context, _SET_MAX_PROTO, most, None)
        assert _ssl.SSL_CTX_use_certificate_chain_file(self.context, str(pem).encode()) == 1
        assert _ssl.SSL_CTX_use_PrivateKey_file(self.context, str(key).encode(), _FILETYPE_PEM) == 1
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
                self.connections.append(Connection(self, client))
            except OSError:
                return                  # closed

    def open(self):
        """Those that have not ended."""
        return [c for c in self.connections if not c.ended.is_set()]

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection in self.connections:
            connection.close()
            connection.ended.wait(10)
        _ssl.SSL_CTX_free(self.context)
