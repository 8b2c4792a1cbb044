"""Visitors who do not stop while something happens to a store, and keep account of what they were told."""

import http.client
import threading
import time

from doubles import PATIENCE, wait_until


class Visitor(threading.Thread):
    """Counts in a session of its own, request by request, and looks whose session it got."""

    def __init__(self, server, name, at="/probe", loses=False):
        super().__init__(daemon=True)
        self.client = server.client(keep=True)
        self.name = name
        self.at = at
        self.loses = loses
        self.told = 0                   # the last number
        self.counted = 0                # 200: it was saved
        self.unknown = 0                # 503, and it may have been saved
        self.failed = []                # when those began that failed
        self.slowest = 0
        self.wrong = []
        self.end = threading.Event()
        wait_until(lambda: self.client.probe(f"set=me:{name}", at=at).status == 200, "the visitor to be let in")

    def run(self):
        try:
            while not self.end.is_set():
                self.count()
        except BaseException as error:
            self.wrong.append(repr(error))

    def count(self):
        began = time.monotonic()
        answer = self.ask()
        self.slowest = max(self.slowest, time.monotonic() - began)
        if answer.status == 503:
            self.unknown += 1
            self.failed.append(began)
            return
        self.counted += 1
        self.look(answer)

    def ask(self):
        return self.client.probe("get=me", "incr=n:1", at=self.at, timeout=60)

    def look(self, answer):
        me, n = answer.results
        if answer.status != 200 or me != f"={self.name}" or not n.startswith("="):
            self.wrong.append(repr(answer))
        elif not (self.loses or self.told < int(n[1:])) or int(n[1:]) > self.counted + self.unknown:
            self.wrong.append(f"told {n} after {self.told}, by {self.counted} and {self.unknown}")
        self.told = int(n[1:])

    def found(self):
        """Once it can be asked for."""
        answer = wait_until(lambda: (a := self.client.probe("get=me", "get=n", at=self.at)).status == 200 and a,
                            "the store to be asked again")
        return answer.results

    def stored(self):
        me, n = self.found()
        assert me == f"={self.name}"
        return 0 if n == "-" else int(n[1:])

    def kept(self):
        """Whether what is there in the end is what it was told."""
        return self.loses or self.told <= self.stored() <= self.counted + self.unknown


class Forgetful(Visitor):
    """Of a store that may lose whole sessions: it begins anew then, and counts how often."""

    lost = 0
    before = 0                          # of those that may have been saved, when it was told last

    def ask(self):
        return self.client.probe(f"add=me:{self.name}", "get=me", "incr=n:1", at=self.at, timeout=60)

    def look(self, answer):
        if answer.status != 200 or answer.results[1] != f"={self.name}":
            self.wrong.append(repr(answer))
            return
        n = int(answer.results[2][1:])
        anew = n <= self.told
        if n > (1 + self.unknown - self.before if anew else self.counted + self.unknown):
            self.wrong.append(f"told {n} after {self.told}, by {self.counted} and {self.unknown}")
        self.lost += anew
        self.told, self.before = n, self.unknown

    def kept(self):
        return self.found()[0] in ("-", f"={self.name}")


class Survivor(Visitor):
    """Of an httpd that ends at any moment, and begins again on another port. What was on its way then may have
    been saved."""

    def __init__(self, server, *rest):
        super().__init__(server, *rest)
        self.server = server
        self.client.keep = False

    def count(self):
        self.client.port = self.server.port
        try:
            super().count()
        except ConnectionRefusedError:
            pass
        except (OSError, http.client.HTTPException):
            self.unknown += 1

    def found(self):
        self.client.port = self.server.port
        return super().found()


class Load:
    """`with Load(server) as load:` some visitors at once; when it ends, whatever happened meanwhile, nobody saw
    anybody else's session, nobody waited longer than `patience`, and each has all that it was told; but where the
    store `loses` what it acknowledged the test says what is still there."""

    def __init__(self, server, at="/probe", visitors=8, patience=PATIENCE, loses=False, kind=Visitor):
        self.visitors = [kind(server, f"v{i}", at, loses) for i in range(visitors)]
        self.patience = patience

    def __enter__(self):
        for visitor in self.visitors:
            visitor.start()
        return self

    def __exit__(self, kind, *_):
        for visitor in self.visitors:
            visitor.end.set()
        for visitor in self.visitors:
            visitor.join(90)
        for visitor in self.visitors:
            if not kind:
                assert visitor.wrong == []
                assert visitor.slowest < self.patience, visitor.slowest
                assert visitor.kept(), (visitor.told, visitor.counted, visitor.unknown)
            visitor.client.close()

    def counted(self):
        """Of each visitor, until now."""
        return [v.counted for v in self.visitors]

    def goes_on(self, steps=5):
        """Whether every visitor has counted on since the first call of what this returns."""
        before = self.counted()
        return lambda: all(now >= then + steps for now, then in zip(self.counted(), before))

    def told(self):
        """How often anybody was told of a new number."""
        return sum(self.counted())

    def refused(self):
        return sum(v.unknown for v in self.visitors)

    def failures_since(self, moment):
        """Requests that began after this moment, and failed."""
        return [began for v in self.visitors for began in v.failed if began > moment]

    def holds(self, least):
        """Each session has so much of what was counted, and nothing was counted twice."""
        for visitor, sure in zip(self.visitors, least):
            assert sure <= visitor.stored() <= visitor.counted + visitor.unknown
