"""Visitors who keep counting while something happens to the store."""

import threading
import time


class Visitor:
    """One session, with one counter that each request raises by one."""

    def __init__(self, server, at):
        self.at = at
        self.client = server.client(keep=True)
        self.counted = 0                # 200: it was saved
        self.unknown = 0                # 503, and it may have been saved
        self.failed = []                # when those began that failed
        assert self.client.results("set=n:0", at=at) == ["ok"]

    def count(self):
        began = time.monotonic()
        answer = self.client.probe("incr=n:1", at=self.at)
        assert answer.status in (200, 503), answer
        if answer.status == 200:
            self.counted += 1
        else:
            self.unknown += 1
            self.failed.append(began)

    def stored(self):
        return int(self.client.results("get=n", at=self.at)[0][1:])


class Load:
    """Visitors in threads of their own, from `with` to its end. What goes wrong in a thread fails the test."""

    def __init__(self, server, at, visitors=8):
        self.visitors = [Visitor(server, at) for _ in range(visitors)]
        self.over = threading.Event()
        self.wrong = []
        self.threads = [threading.Thread(target=self._run, args=[v]) for v in self.visitors]

    def _run(self, visitor):
        try:
            while not self.over.is_set():
                visitor.count()
        except BaseException as error:
            self.wrong.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(60)
        for visitor in self.visitors:
            visitor.client.close()
        assert not self.wrong, self.wrong

    def counted(self):
        """Of each visitor, until now."""
        return [v.counted for v in self.visitors]

    def goes_on(self, steps=5):
        """Whether every visitor has counted on since the first call of what this returns."""
        before = self.counted()
        return lambda: all(now >= then + steps for now, then in zip(self.counted(), before))

    def failures_since(self, moment):
        """Requests that began after this moment, and failed."""
        return [began for v in self.visitors for began in v.failed if began > moment]

    def unknown(self):
        return sum(v.unknown for v in self.visitors)

    def holds(self, least=None):
        """Each session has what was counted (or `least` of it), and nothing was counted twice."""
        for visitor, sure in zip(self.visitors, least or self.counted()):
            assert sure <= visitor.stored() <= visitor.counted + visitor.unknown
