"""bench/run, once everything is installed and built."""
import argparse
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import beside
import demands
import instructions
import rows
import server
import store
import table as tables
import throughput

TOP = pathlib.Path(__file__).resolve().parent.parent
PARTS = ("instructions", "throughput", "demands", "store", "files")


def arguments():
    parser = argparse.ArgumentParser(prog="bench/run")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("parts", nargs="*")
    chosen = parser.parse_args()
    chosen.parts = chosen.parts or PARTS
    return chosen


def say(text):
    """Progress; the table alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def build_module(work, name, *libraries):
    """By apxs, which leaves all that it makes beside the source."""
    source = shutil.copy(TOP / "bench" / f"{name}.c", work)
    done = subprocess.run(["apxs", "-c", "-I", str(TOP / "include"), *libraries, source], cwd=work,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise server.Failed(done.stdout + done.stderr)
    return work / ".libs" / f"{name}.so"


def measure_httpd(chosen, work, table):
    modules = {"mod_bench": build_module(work, "mod_bench"),
               "bench_hiredis": build_module(work, "mod_bench_hiredis", "-lhiredis")}
    site = rows.Site(TOP / "build", modules, beside.Store(throughput.cpus()[1]))
    try:
        site.memcached = beside.Memcached(throughput.cpus()[1])
        site.databases = beside.Databases(throughput.cpus()[1])
        if "instructions" in chosen.parts:
            tables.add_instructions(table, *instructions.measure(rows.ROWS, work, site, say))
        if "throughput" in chosen.parts:
            every = rows.ROWS + rows.PHP_ROWS
            tables.add_throughput(table, throughput.measure(every, work, site, say))
        if "demands" in chosen.parts:
            asking = [row for row in rows.ROWS + rows.PHP_ROWS if row.redis]
            tables.add_demands(table, demands.measure(asking, work, site, say))
    finally:
        site.redis.stop()
        if site.memcached:
            site.memcached.stop()
        if site.databases:
            site.databases.stop()


def measure(chosen, work, table):
    alone, together = [], []
    if {"instructions", "throughput", "demands"} & set(chosen.parts):
        measure_httpd(chosen, work, table)
    if "store" in chosen.parts:
        alone, together = store.measure(TOP, TOP / "build", work, chosen.full, say)
        tables.add_store(table, alone, together)
    if "files" in chosen.parts:
        tables.add_files(table, *store.measure_files(TOP, TOP / "build", work, chosen.full, say))
    return tables.explanation(chosen.parts, alone, together)


def main():
    chosen = arguments()
    # as Ctrl-C: what was started is stopped, and the directory goes
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    machine = tables.machine()
    work = pathlib.Path(tempfile.mkdtemp(prefix="bsession-bench-"))
    work.chmod(0o755)           # httpd's children are www-data where this is root
    try:
        table = tables.Table()
        how = measure(chosen, work, table)
    except server.Failed as failure:
        say(f"bench/run: {failure}")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if chosen.keep:
            say(f"The working directory is {work}")
        else:
            shutil.rmtree(work)
    print("\n".join(machine), table.text(), how, sep="\n\n")
    say(f"{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
