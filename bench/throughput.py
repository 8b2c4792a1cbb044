"""Requests a second, by wrk, and the CPU time that httpd spends on one."""
import dataclasses
import os
import re
import statistics
import subprocess
import time

import rows
import server

ROUNDS = 9
SECONDS = 1
CONNECTIONS = 16


@dataclasses.dataclass
class Figure:
    rate: float         # requests a second
    cpu: float          # microseconds a request
    more: float         # than bare httpd needs for the same request, in the same round
    share: float        # what bare httpd needs, as a part of it
    ratio: float        # of bare httpd's rate for the same request, in the same round
    least: float        # the ratio in the worst and in the best round
    most: float


def cpus():
    """One core for httpd and one for wrk; the same where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[-1], allowed[0]


def cpu_time(pids):
    """Seconds of CPU that processes have spent, all threads together: clock_getcpuclockid(3)."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def wrk(httpd, path, cookie, core):
    """(requests a second, microseconds of CPU a request) of one run."""
    workers = httpd.workers()
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s"]
    if cookie:
        command += ["-H", f"Cookie: {cookie}"]
    spent = cpu_time(workers)
    done = subprocess.run([*command, httpd.url(path)], capture_output=True, text=True, check=False)
    spent = cpu_time(workers) - spent
    rate = re.search(r"^Requests/sec:\s+([\d.]+)", done.stdout, re.M)
    requests = re.search(r"^\s+(\d+) requests in", done.stdout, re.M)
    if done.returncode or not rate or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise server.Failed(f"wrk {path}: {done.stdout}{done.stderr}\n{httpd.log()}")
    return float(rate[1]), spent * 1e6 / int(requests[1])


def figure(mine, bare):
    """Of the rounds of a row and of bare httpd just before each."""
    ratios = [row[0] / base[0] for row, base in zip(mine, bare)]
    return Figure(statistics.median(row[0] for row in mine),
                  statistics.median(row[1] for row in mine),
                  statistics.median(row[1] - base[1] for row, base in zip(mine, bare)),
                  statistics.median(base[1] / row[1] for row, base in zip(mine, bare)),
                  statistics.median(ratios), min(ratios), max(ratios))


def measure(chosen, work, site, say):
    """{row name: its figure}; bare httpd and bare PHP are also measured against themselves, which
    shows how much of the others' differences is noise."""
    here, there = cpus()
    chosen = [row for row in chosen if row.visitors == 1]       # wrk sends one cookie
    chosen = [rows.BARE, *[row for row in chosen if row.php is None],
              rows.BARE_PHP, *[row for row in chosen if row.php is not None]]
    servers, cookies = {}, {}
    try:
        for row in chosen:
            made = row.make_server(work / "throughput", "event", site)
            servers[row.name] = made.start(["taskset", "-c", str(here)])
            client = server.Client(made)
            cookies[row.name] = row.seed(client, site)
            client.close()
        runs = {row.name: ([], []) for row in chosen}
        for number in range(ROUNDS):
            say(f"wrk: round {number + 1} of {ROUNDS}")
            for row in (row for row in chosen for _ in range(row.times)):
                for side, httpd in ((1, servers[row.base.name]), (0, servers[row.name])):
                    runs[row.name][side].append(wrk(httpd, row.path, cookies[row.name], there))
        for row in chosen:
            client = server.Client(servers[row.name])
            row.check(client, cookies[row.name])
            client.close()
    finally:
        for made in servers.values():
            made.stop()
    return {name: figure(*both) for name, both in runs.items()}
