"""The memory and the file store alone: builds and runs store.c."""
import shutil
import subprocess

import instructions
import server


def compile_store(top, build, work):
    """The objects that the module was linked from, and nothing of httpd."""
    def apr(*arguments):
        return subprocess.run(["apr-1-config", *arguments], check=True, capture_output=True,
                              text=True).stdout.split()
    program = work / "store"
    includes = [f"-I{top}/{directory}" for directory in ("include", "core", "backends")]
    done = subprocess.run(
        ["gcc", "-std=gnu11", "-O2", "-g", *includes, *apr("--cppflags", "--includes"),
         f"{top}/bench/store.c", f"{build}/.libs/libfile.a", f"{build}/.libs/libmemory.a",
         f"{build}/.libs/libcore.a", "-o", str(program), *apr("--link-ld", "--libs"), "-lcrypto",
         "-lpthread"],
        capture_output=True, text=True, check=False)
    if done.returncode:
        raise server.Failed(done.stderr)
    return program


def run(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        raise server.Failed(f"{' '.join(map(str, command))}: {done.stderr}")
    return {name: float(number) for name, number in map(str.split, done.stdout.splitlines())}


def count(program, records, work, kind="memory", *url):
    """Instructions of a load and of a save, those of the caller's loop not included."""
    out = work / f"store-{kind}-{records}"
    run([*instructions.VALGRIND, "--instr-atstart=no", f"--toggle-collect={kind}_load",
         f"--toggle-collect={kind}_save", f"--callgrind-out-file={out}", program, "count", records,
         1, *url])
    loads, saves = instructions.parts(out)[:3], instructions.parts(out)[3:6]
    return [instructions.difference(short, long, 6000 - 2000) for _, short, long in (loads, saves)]


def measure(top, build, work, full, say):
    """[(records, {name: number})], and [(processes, {name: number})] at 100,000 records."""
    program = compile_store(top, build, work)
    alone, together = [], []
    for records in (1000, 10000, 100000, 1000000) if full else (1000, 100000):
        say(f"store: {records:,} records")
        found = {**run([program, "time", records]), **run([program, "bytes", records])}
        found["load"], found["save"] = count(program, records, work)
        alone.append((records, found))
    for processes in (1, 2, 4) if full else ():
        say(f"store: {processes} processes")
        together.append((processes, run([program, "time", 100000, processes])))
    return alone, together


def measure_files(top, build, work, full, say):
    """[(records, {name: number})], and {name: number} where saves are durable."""
    program = compile_store(top, build, work)
    directory = work / "files"
    alone = []
    for records in (1000, 100000, 1000000) if full else (1000, 20000):
        say(f"files: {records:,} records")
        found = run([program, "time", records, 1, f"file:{directory}"])
        shutil.rmtree(directory)
        found["load"], found["save"] = count(program, min(records, 20000), work, "file",
                                             f"file:{directory}")
        shutil.rmtree(directory)
        alone.append((records, found))
    say("files: durable saves")
    durable = run([program, "time", 1000, 1, f"file:{directory}", "on"])
    shutil.rmtree(directory)
    return alone, durable
