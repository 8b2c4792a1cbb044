"""The one table, and what stands above and below it."""
import os
import pathlib
import platform
import re
import subprocess

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
    mod_bsession remembers the digest of a connection's last verifier; with two visitors in turn,
    as behind a proxy that shares its connections, or with one request a connection, it computes
    each.
""",
    "throughput": """\
[b] Requests a second, by wrk: one thread, {connections} keep-alive connections; httpd with the
    event MPM, one child of 32 threads. {pinned}
    {rounds} rounds of {seconds} s, all rows in each, each row just after bare httpd with the very
    same request. The figure is the median; "against bare" is the median of the rounds' ratios, the
    least and the greatest behind it. Bare httpd against itself shows how much of that is noise.
[c] CPU time of httpd's child in the runs of [b], user and kernel, all its threads, by the clock of
    its process, divided by the requests: less disturbed by what else the machine does. Medians.
""",
    "session": """\
Bare httpd has the modules that Debian enables and no access log. The bench's own handlers are in
all rows. The five keys are 63 bytes as mod_session encodes them. SessionEnv exports that text as
one variable, BSessionEnv five variables and the facts. mod_session has no SessionMaxAge, and so
prolongs no lives; mod_bsession has its defaults (a session ends 300 s after its last use).
mod_session_cookie and mod_session_crypto keep the session in the cookie, and so have no store; the
latter makes its key anew for each cookie that it reads or writes, in 4,096 rounds of PBKDF2.
""",
    "store": """\
[d] bench/store.c calls the memory provider without httpd and without the core, in the objects that
    the module is linked from. A record is a session of five keys, 200 bytes encoded. Records are
    asked for in random order, for 1 s; the figure is calls a second of CPU time of one process.
[e] User-space instructions, by callgrind, within the provider's function and what it calls, not of
    the loop around it; the difference of 2,000 and 6,000 calls, divided by 4,000.
[f] Memory of the segment that is resident (mincore) when so many records are in it, shared out
    among them; without the 200 bytes of the record and the {rounding:.0f} that its size class
    rounds up. With few records it is mostly what an empty segment takes, {empty:.0f} kB, and pages
    that have just been begun.
""",
    "files": """\
[i] As [d], of the file store, in a directory below $TMPDIR; the most of it is the kernel's. A save
    is a REPLACE: under the lock a new file, moved over the old one. Durable ones, by sync=on, wait
    for the disk: these by the wall clock.
[j] As [e]; the kernel's work is not in it, and so it is the same for any number of records.
""",
    "full": """\
[g] As [d], for 100,000 records, by the wall clock: calls a second of all processes together; each
    saves its own part of the records and loads all of them.
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


def add_throughput(table, figures):
    shown = [row for row in [rows.BARE, *rows.ROWS] if row.name in figures]
    table.section("requests a second, httpd on one core")
    for row in shown:
        it = figures[row.name]
        table.add(row.title, f"{it.rate:,.0f}", f"{it.ratio:.2f} ({it.least:.2f}-{it.most:.2f})",
                  f"{row.ratio}" if row.ratio else "",
                  it.ratio >= row.ratio if row.ratio else None, "[b]")
    table.section("CPU time a request, microseconds")
    for row in shown:
        it = figures[row.name]
        table.add(row.title, f"{it.cpu:,.1f}", f"{it.more:+,.1f}", how="[c]")


# DESIGN: loads a second a core, by the number of records.
LOADS = {10000: 5e6, 1000000: 1e6}


def add_store(table, alone, together):
    table.section("the memory store alone, records of 200 bytes")
    for records, found in alone:
        reach, loads = LOADS.get(records), found["loads_core"]
        name = f"{records:,} records: "
        table.add(name + "loads a second", f"{loads:,.0f}", "", f"{reach:,.0f}" if reach else "",
                  loads >= reach if reach else None, "[d]")
        table.add(name + "nanoseconds a load", f"{1e9 / loads:.0f}", how="[d]")
        table.add(name + "saves a second", f"{found['saves_core']:,.0f}", how="[d]")
        table.add(name + "instructions a load", f"{found['load']:,.0f}", "", "600",
                  found["load"] <= 600, "[e]")
        table.add(name + "instructions a save", f"{found['save']:,.0f}", how="[e]")
        beyond = found["all"] / records - found["payload"] - found["rounding"]
        table.add(name + "bytes a record beyond its 200", f"{beyond:,.0f}", "", "96",
                  beyond <= 96, "[f]")
    for processes, found in together:
        name = f"{processes} process{'es' if processes > 1 else ''}: "
        table.add(name + "loads a second", f"{found['loads_wall']:,.0f}", how="[g]")
        table.add(name + "saves a second", f"{found['saves_wall']:,.0f}", how="[g]")


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
    chosen = [part for part in ("instructions", "throughput", "store", "files") if part in parts]
    chosen += ["full"] if together else []
    chosen += ["session"] if chosen[0] not in ("store", "files") else []
    return "How each figure was got, in this one run:\n\n" + "\n".join(
        HOW[part] for part in chosen).format(
            connections=throughput.CONNECTIONS, rounds=throughput.ROUNDS,
            seconds=throughput.SECONDS, rounding=found["rounding"], empty=found["empty"] / 1024,
            pinned=f"httpd is pinned to core {here}, wrk to core {there}." if here != there
            else "There is one core only, which wrk has its share of.").rstrip()
