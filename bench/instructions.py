"""User-space instructions a request, by callgrind."""
import dataclasses
import pathlib
import re

import rows
import server

VALGRIND = ["valgrind", "--tool=callgrind", "-q"]


def parts(out):
    """What callgrind counted in each stretch that the program ended, in order."""
    found = sorted(pathlib.Path(out).parent.glob(pathlib.Path(out).name + ".*"),
                   key=lambda part: int(part.suffix[1:]))
    return [int(re.search(r"^totals: (\d+)", part.read_text(), re.M)[1]) for part in found]


def difference(short, long, times):
    """What one of them costs: all that does not grow with their number drops out."""
    return (long - short) / times


def count(httpd, client, row, cookies):
    short, long = row.runs
    for requests in (short, short, long):       # the first run warms up
        for turn in range(requests):
            client.get(row.path, cookies[turn % len(cookies)])
        client.get("/mark")
    return difference(*parts(httpd.root / "run" / "callgrind")[-2:], long - short)


def start(row, work, site):
    httpd = row.make_server(work / "instructions", "prefork", site)
    out = f"--callgrind-out-file={httpd.root}/run/callgrind"
    return httpd.start([*VALGRIND, out], ["-X"])


def measure(chosen, work, site, say):
    """Bare httpd's, and {row name: (its own, those of bare httpd for the very same request)}."""
    counted, cookies = {}, {}
    for row in chosen:
        say(f"callgrind: {row.title}")
        with start(row, work, site) as httpd:
            client = server.Client(httpd)
            cookies[row.name] = [row.seed(client, site) for _ in range(row.visitors)]
            counted[row.name] = count(httpd, client, row, cookies[row.name])
            for cookie in cookies[row.name]:
                row.check(client, cookie)
            client.close()
    say("callgrind: bare httpd, with the requests of each row")
    with start(rows.BARE, work, site) as httpd:
        client = server.Client(httpd)
        bare = count(httpd, client, rows.BARE, [None])
        for row in chosen:
            same = dataclasses.replace(rows.BARE, path=row.path)
            counted[row.name] = (counted[row.name], count(httpd, client, same, cookies[row.name]))
        client.close()
    return bare, counted
