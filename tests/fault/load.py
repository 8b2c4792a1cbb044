"""Visitors who do not stop while a store fails, and keep account of what they were told."""

import threading
import time

from doubles import wait_until


class Visitor(threading.Thread):
    """Counts in a session of its own, request by request, and looks whose session it got."""

    def __init__(self, server, name, policy="/probe"):
        super().__init__(daemon=True)
        self.client = server.client(keep=True)
        self.name = name
        self.policy = policy
        self.told = self.tried = self.slowest = 0
        self.statuses = {}
        self.wrong = []
        self.end = threading.Event()
        assert self.client.results(f"set=me:{name}", at=policy) == ["ok"]

    def run(self):
        while not self.end.is_set():
            began = time.monotonic()
            self.tried += 1
            try:
                answer = self.ask()
            except OSError as error:
                self.wrong.append(repr(error))
                continue
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
            self.look(answer)

    def ask(self):
        return self.client.probe("get=me", "incr=n:1", at=self.policy, timeout=30)

    def answered(self):
        answer = self.client.probe("get=me", "get=n", at=self.policy)
        return answer if answer.status == 200 else None

    def look(self, answer):
        if answer.status == 503:
            return
        me, n = answer.results
        if answer.status != 200 or me != f"={self.name}" or not n.startswith("="):
            self.wrong.append(repr(answer))
        elif not self.told < int(n[1:]) <= self.tried:
            self.wrong.append(f"told {n} after {self.told}, of {self.tried}")
        else:
            self.told = int(n[1:])

    def kept(self, me, n):
        """Whether what is there in the end is what it was told."""
        return me == f"={self.name}" and self.told <= int(n[1:]) <= self.tried


class Forgetful(Visitor):
    """Of a store that may lose sessions: it begins anew then, and counts how often."""

    lost = 0

    def ask(self):
        return self.client.probe(f"add=me:{self.name}", "get=me", "incr=n:1", at=self.policy, timeout=30)

    def look(self, answer):
        if answer.status == 503:
            return
        if answer.status != 200 or answer.results[1] != f"={self.name}":
            self.wrong.append(repr(answer))
            return
        n = int(answer.results[2][1:])
        self.lost += n == 1 and self.told > 0
        if n != 1 and not self.told < n <= self.tried:
            self.wrong.append(f"told {n} after {self.told}, of {self.tried}")
        self.told = n

    def kept(self, me, n):
        return me in ("-", f"={self.name}")


class Load:
    """`with Load(server) as load:` some visitors at once; when it ends, whatever happened meanwhile, each has
    all that it was told, nobody saw anybody else's, and none waited longer than `patience`."""

    def __init__(self, server, visitors=4, patience=10, kind=Visitor):
        self.server = server
        self.count = visitors
        self.kind = kind
        self.patience = patience

    def __enter__(self):
        self.visitors = [self.kind(self.server, f"v{i}") for i in range(self.count)]
        for v in self.visitors:
            v.start()
        return self

    def told(self):
        return sum(v.told for v in self.visitors)

    def refused(self):
        return sum(v.statuses.get(503, 0) for v in self.visitors)

    def __exit__(self, kind, *_):
        for v in self.visitors:
            v.end.set()
        for v in self.visitors:
            v.join(60)
        if kind:
            return
        for v in self.visitors:
            assert v.wrong == []
            assert v.slowest < self.patience, v.slowest
            answer = wait_until(lambda v=v: v.answered(), "the breaker to close")
            me, n = answer.results
            assert v.kept(me, n), (me, n, v.told, v.tried)
            v.client.close()
