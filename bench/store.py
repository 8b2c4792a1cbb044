"""The memory store alone: builds and runs store.c."""
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
         f"{top}/bench/store.c", f"{build}/.libs/libmemory.a", f"{build}/.libs/libcore.a",
         "-o", str(program), *apr("--link-ld", "--libs"), "-lcrypto", "-lpthread"],
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


def count(program, records, work):
    """Instructions of a load and of a save, those of the caller's loop not included."""
    out = work / f"store-{records}"
    run([*instructions.VALGRIND, "--instr-atstart=no", "--toggle-collect=memory_load",
         "--toggle-collect=memory_save", f"--callgrind-out-file={out}", program, "count", records])
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
