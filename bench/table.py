"""The one table, and what stands above and below it."""
import os
import pathlib
import platform
import re
import subprocess

import demands
import rows
import server
import throughput

HOW = {
    "instructions": """\
[a] User-space instructions, by callgrind: httpd -X with the prefork MPM, one keep-alive connection.
    After a warm-up, the counts of two runs of different length (400 and 1,400 requests, fewer where
    one is slow) are subtracted and divided by the difference, so that start, connection and end
    drop out. The kernel's work is not in it. "against bare": bare httpd gets the very same request,
    the same cookie and handler included, and the difference is shown.
    mod_bsession remembers what a connection's last Cookie header came to, the digest of its
    verifier above all; with two visitors in turn, as behind a proxy that shares its connections, or
    with one request a connection, it finds out each.
""",
    "throughput": """\
[b] Requests a second, by wrk: one thread, {connections} keep-alive connections; httpd with the
    event MPM, one child of 32 threads. {pinned}
    {rounds} rounds of {seconds} s, all rows in each, each row just after bare httpd with the very
    same request; four times in each round what a demand is about. The figure is the median;
    "against bare" is the median of the ratios, the least and the greatest behind it. Bare httpd
    against itself shows how much of that is noise.
    Rows of PHP are held against bare PHP: the same page without a session. php-fpm has 16
    processes, on httpd's core; Redis has wrk's core.
[c] CPU time of httpd's child in the runs of [b], user and kernel, all its threads, by the clock of
    its process, divided by the requests: less disturbed by what else the machine does. With PHP,
    that of its processes is added. Redis's own is not in it. Medians; in brackets the part of it
    that bare httpd needs, which is what [b] would be on a core that nobody shares.
""",
    "demands": """\
[d] After {warm} requests that warm up, {requests} on one keep-alive connection, httpd with the event
    MPM: by how much Redis's own counters have grown, divided by {requests}; the bench's own INFO is
    taken off. A round trip is a read() by which the server got something from a connection, its end
    included (INFO stats, total_reads_processed): what goes out in one flight is one. Commands are
    those of INFO commandstats. mod_bsession sends HGETALL and PTTL, once each, and EVALSHA; all
    others are called by the script of EVALSHA, within the server. A life is prolonged every 30 s at
    most, by one more round trip after the answer: not in runs as short as these.
""",
    "session": """\
Bare httpd has the modules that Debian enables and no access log. The bench's own handlers are in
all rows. The five keys are 63 bytes as mod_session encodes them. SessionEnv exports that text as
one variable, BSessionEnv five variables and the facts. mod_session has no SessionMaxAge, and so
prolongs no lives; mod_bsession has its defaults (a session ends 300 s after its last use).
mod_session_cookie and mod_session_crypto keep the session in the cookie, and so have no store; the
latter makes its key anew for each cookie that it reads or writes, in 4,096 rounds of PBKDF2.
Redis is one server, asked by TCP on the loopback, by a UNIX socket, or by TLS. "hiredis alone" is a
module of the bench: before a request each thread asks on its own connection for a copy of such a
session's hash, and forgets the answer. phpredis is configured as its documentation says, PHP's other
sessions as Debian does, but that one in Memcached is not locked; one in files is, for as long as the
page runs, and the connections of a row have one session. The page reads one of five keys and changes none.
""",
    "store": """\
[e] bench/store.c calls the memory provider without httpd and without the core, in the objects that
    the module is linked from. A record is a session of five keys, 200 bytes encoded. Records are
    asked for in random order, for 1 s; the figure is calls a second of CPU time of one process.
[f] User-space instructions, by callgrind, within the provider's function and what it calls, not of
    the loop around it; the difference of 2,000 and 6,000 calls, divided by 4,000.
[g] Memory of the segment that is resident (mincore) when so many records are in it, shared out
    among them; without the 200 bytes of the record and the {rounding:.0f} that its size class
    rounds up. With few records it is mostly what an empty segment takes, {empty:.0f} kB, and pages
    that have just been begun.
""",
    "full": """\
[h] As [e], for 100,000 records, by the wall clock: calls a second of all processes together; each
    saves its own part of the records and loads all of them.
""",
    "files": """\
[i] As [e], of the file store, in a directory below $TMPDIR; the most of it is the kernel's. A save
    is a REPLACE: under the lock a new file, moved over the old one. Durable ones, by sync=on, wait
    for the disk: these by the wall clock.
[j] As [f]; the kernel's work is not in it, and so it is the same for any number of records.
"""}


def output(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def machine():
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.*)", cpuinfo, re.M)
    release = re.search(r'^PRETTY_NAME="(.*)"', pathlib.Path("/etc/os-release").read_text(), re.M)
    versions = [re.search(r"Apache/\S+", output(server.httpd_path(), "-v"))[0],
                "APR " + output("apr-1-config", "--version").strip(),
                " ".join(output("openssl", "version").split()[:2]),
                output("valgrind", "--version").strip(),
                "gcc " + output("gcc", "-dumpfullversion").strip()]
    return [f"{model[1] if model else platform.machine()}, "
            f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f} when it began",
            f"{release[1] if release else platform.system()}, Linux {platform.release()}, "
            + ", ".join(versions)]


class Table:
    HEAD = ("", "figure", "against bare", "to reach", "", "")

    def __init__(self):
        self.lines = [self.HEAD]

    def section(self, text):
        self.lines += [(), (text,)]

    def note(self, text):
        """About the line before."""
        self.lines.append(("      " + text,))

    def add(self, what, figure, against="", reach="", reached=None, how=""):
        verdict = {None: "", True: "reached", False: "NOT REACHED"}[reached]
        self.lines.append(("  " + what, figure, against, reach, verdict, how))

    def text(self):
        full = [line for line in self.lines if len(line) == len(self.HEAD)]
        widths = [max(len(line[column]) for line in full) for column in range(len(self.HEAD))]
        text = []
        for line in self.lines:
            if len(line) < len(self.HEAD):
                text.append("".join(line))
                continue
            cells = [line[0].ljust(widths[0])]
            cells += [line[column].rjust(widths[column]) for column in (1, 2, 3)]
            cells += [line[column].ljust(widths[column]) for column in (4, 5)]
            text.append("  ".join(cells).rstrip())
        return "\n".join(text)


def add_instructions(table, bare, counted):
    table.section("instructions a request")
    table.add(rows.BARE.title, f"{bare:,.0f}", how="[a]")
    for row in rows.ROWS:
        own, same = counted[row.name]
        reach = row.instructions
        table.add(row.title, f"{own:,.0f}", f"+ {own - same:,.0f}",
                  f"+ {reach:,}" if reach else "", own - same <= reach if reach else None, "[a]")


# DESIGN: 0.70 of bare httpd, where one raw round trip allows 0.77. How much that allows is the machine's.
OF_HIREDIS = 0.70 / 0.77


def add_throughput(table, figures):
    shown = [row for row in [rows.BARE, *rows.ROWS, rows.BARE_PHP, *rows.PHP_ROWS]
             if row.name in figures]
    table.section("requests a second, httpd on one core")
    for row in shown:
        it = figures[row.name]
        table.add(row.title, f"{it.rate:,.0f}", f"{it.ratio:.2f} ({it.least:.2f}-{it.most:.2f})",
                  f"{row.ratio}" if row.ratio else "",
                  it.ratio >= row.ratio if row.ratio else None, "[b]")
    if {"redis-read", "hiredis"} <= figures.keys():
        part = figures["redis-read"].ratio / figures["hiredis"].ratio
        table.add("Redis: five keys into the environment, against hiredis alone", f"{part:.2f}", "",
                  f"{OF_HIREDIS:.2f}", part >= OF_HIREDIS, "[b]")
    table.section("CPU time a request, microseconds")
    for row in shown:
        it = figures[row.name]
        table.add(row.title, f"{it.cpu:,.1f}", f"{it.more:+,.1f} ({it.share:.2f})", how="[c]")


def add_demands(table, found):
    table.section("round trips to Redis a request, and the commands of one")
    for row in rows.ROWS + rows.PHP_ROWS:
        if row.name not in found:
            continue
        counted = dict(found[row.name])
        trips, opened = counted.pop("reads"), counted.pop("connections", 0)
        table.add(row.title, f"{trips:.2f}", "", f"{row.trips}" if row.trips else "",
                  round(trips, 2) <= row.trips if row.trips else None, "[d]")
        table.note(", ".join(f"{name.upper()} {counted[name]:.2f}" for name in sorted(counted))
                   + (f"; new connections {opened:.2f}" if opened else ""))


# DESIGN: loads a second a core, by the number of records.
LOADS = {10000: 5e6, 1000000: 1e6}


def add_store(table, alone, together):
    table.section("the memory store alone, records of 200 bytes")
    for records, found in alone:
        reach, loads = LOADS.get(records), found["loads_core"]
        name = f"{records:,} records: "
        table.add(name + "loads a second", f"{loads:,.0f}", "", f"{reach:,.0f}" if reach else "",
                  loads >= reach if reach else None, "[e]")
        table.add(name + "nanoseconds a load", f"{1e9 / loads:.0f}", how="[e]")
        table.add(name + "saves a second", f"{found['saves_core']:,.0f}", how="[e]")
        table.add(name + "instructions a load", f"{found['load']:,.0f}", "", "600",
                  found["load"] <= 600, "[f]")
        table.add(name + "instructions a save", f"{found['save']:,.0f}", how="[f]")
        beyond = found["all"] / records - found["payload"] - found["rounding"]
        table.add(name + "bytes a record beyond its 200", f"{beyond:,.0f}", "", "96",
                  beyond <= 96, "[g]")
    for processes, found in together:
        name = f"{processes} process{'es' if processes > 1 else ''}: "
        table.add(name + "loads a second", f"{found['loads_wall']:,.0f}", how="[h]")
        table.add(name + "saves a second", f"{found['saves_wall']:,.0f}", how="[h]")


def add_files(table, alone, durable):
    table.section("the file store alone, records of 200 bytes")
    for records, found in alone:
        name = f"{records:,} records: "
        table.add(name + "loads a second", f"{found['loads_core']:,.0f}", how="[i]")
        table.add(name + "microseconds a load", f"{1e6 / found['loads_core']:.1f}", how="[i]")
        table.add(name + "microseconds a save", f"{1e6 / found['saves_core']:.1f}", how="[i]")
        table.add(name + "instructions a load", f"{found['load']:,.0f}", how="[j]")
        table.add(name + "instructions a save", f"{found['save']:,.0f}", how="[j]")
    table.add("sync=on: microseconds a save", f"{1e6 / durable['saves_wall']:,.0f}", how="[i]")


def explanation(parts, alone, together):
    """How each figure was got, for the parts that were run."""
    here, there = throughput.cpus()
    found = alone[0][1] if alone else {"rounding": 0, "empty": 0}
    chosen = [part for part in ("instructions", "throughput", "demands", "store") if part in parts]
    chosen += ["full"] if together else []
    chosen += ["files"] if "files" in parts else []
    chosen += ["session"] if chosen[0] not in ("store", "files") else []
    return "How each figure was got, in this one run:\n\n" + "\n".join(
        HOW[part] for part in chosen).format(
            warm=demands.WARM, requests=f"{demands.REQUESTS:,}",
            connections=throughput.CONNECTIONS, rounds=throughput.ROUNDS,
            seconds=throughput.SECONDS, rounding=found["rounding"], empty=found["empty"] / 1024,
            pinned=f"httpd is pinned to core {here}, wrk to core {there}." if here != there
            else "There is one core only, which wrk has its share of.").rstrip()
