"""One httpd with many stores, each at a place of its own."""

from httpd import on

# so that the connection to the store that one request leaves is the next one's
ONE_CHILD = "ServerLimit 1\nStartServers 1\nMaxRequestWorkers 25\n"

# a busy machine may stand still for a second or two; what is to be in vain gets less time
PATIENT, HASTY = "breaker=off timeout=20s connect_timeout=10s", "breaker=off timeout=2s"


def places(stores, options=PATIENT):
    """Name -> words of its BSessionStore line, which may say more; /name is the probe, on that store."""
    lines = [on()]
    for name, words in stores.items():
        more = [word for word in options.split() if f" {word.partition('=')[0]}=" not in words]
        lines.append(f"BSessionStore {name} {words} {' '.join(more)}\n<Location /{name}>\nSetHandler bsession-probe\n"
                     f"BSessionUse {name}\nBSessionCookie {name} Secure=Off\n</Location>\n")
    lines.append("BSessionStore default memory:\n")
    return "".join(lines)


def start_places(start, stores, options=PATIENT, **more):
    """What cannot be asked at the start is warned of, and that is all."""
    server = start(places(stores, options), **more)
    server.expect(r"BSessionStore \S+: cannot be asked yet: ")
    return server


def works(server, name):
    """A visitor's first save, a change and a read."""
    visitor = server.client()
    at = {"at": f"/{name}"}
    assert visitor.results("set=a:1", "incr=n:1", **at) == ["ok", "=1"]
    assert visitor.results("incr=n:1", "unset=a", **at) == ["=2", "ok"]
    assert visitor.results("get=n", "get=a", **at) == ["=2", "-"]
    return visitor


def refused(server, name, *said):
    """Nothing is had there, and one line says why."""
    for calls in (["set=a:1"], ["set=b:1"]):
        answer = server.client().probe(*calls, at=f"/{name}")
        assert answer.status == 503 and answer.all("Set-Cookie") == [], answer
    line = server.logged(rf"bsession:warn.* store {name}: ")
    for part in said:
        assert part in line, line
    assert len([line for line in server.lines() if f"store {name}: " in line]) == 1
    return line
