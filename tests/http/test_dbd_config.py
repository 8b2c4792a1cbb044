"""What a line of the SQL store may say, and what mod_dbd must be told beside it: each wrong configuration gets a
sentence that says what was expected, and no password."""

import pytest

from httpd import Httpd, on

SECRET = "s3cret-of-a-test"
DRIVER = "DBDriver sqlite3\n"
PARAMS = f"DBDParams /nowhere/{SECRET}\n"
STORE = "BSessionStore x dbd:\n"
NEEDS = "dbd: needs DBDriver and DBDParams in the main server, outside of any <VirtualHost>"

WRONG = [
    (STORE, NEEDS),
    (DRIVER + STORE, NEEDS),
    (PARAMS + STORE, NEEDS),
    (f"<VirtualHost *:1>\n{DRIVER}{PARAMS}</VirtualHost>\n{STORE}", NEEDS),
    (DRIVER + PARAMS + "BSessionStore x dbd:sqlite3\n", "the URL is just dbd:"),
    (DRIVER + PARAMS + "BSessionStore x dbd:///\n", "the URL is just dbd:"),
    (DRIVER + PARAMS + "BSessionStore x dbd: prefix=a\n", "table="),
    (DRIVER + PARAMS + "BSessionStore x dbd: table=a table=b\n", "table"),
    (DRIVER + PARAMS + "BSessionStore x dbd: table=1a\n", "table=1a: expected a name of letters, digits and _"),
    (DRIVER + PARAMS + "BSessionStore x dbd: table=\n", "expected a name of letters"),
    (DRIVER + PARAMS + "BSessionStore x dbd: table=a.b\n", "expected a name of letters"),
    (DRIVER + PARAMS + "BSessionStore x \"dbd:\" \"table=a;drop\"\n", "expected a name of letters"),
    (DRIVER + PARAMS + f"BSessionStore x dbd: table={'a' * 41}\n", "of 40 at most"),
]
RIGHT = [
    DRIVER + PARAMS + STORE,
    STORE + DRIVER + PARAMS,
    STORE + "<IfModule dbd_module>\n" + DRIVER + PARAMS + "DBDMax 20\n</IfModule>\n",
    DRIVER + PARAMS + f"BSessionStore x dbd: table={'a' * 40} timeout=1s breaker=off\n",
    "dbdriver sqlite3\n" + PARAMS + "BSessionStore x DBD: table=_A1\n",
]


def configtest(build, config, mods=("dbd", "bsession_dbd")):
    server = Httpd(build, config, mods=mods, implied=True)
    try:
        status, said = server.configtest()
    finally:
        server.remove()
    assert SECRET not in said
    return status, said


@pytest.mark.parametrize("config,part", WRONG)
def test_wrong(build, config, part):
    status, said = configtest(build, config)
    assert status != 0 and part in said, said


@pytest.mark.parametrize("config", RIGHT)
def test_right(build, config):
    status, said = configtest(build, config)
    assert status == 0, said


@pytest.mark.parametrize("words,shared", [("table=bsession", True), ("table=b", False)])
def test_two_stores_in_one_table(build, words, shared):
    status, said = configtest(build, f"{DRIVER}{PARAMS}{STORE}BSessionStore y dbd: {words}\n")
    assert status == 0 and ("BSessionStore y: the store x is in the same place, bsession" in said) == shared, said


def test_without_mod_dbd(build):
    server = Httpd(build, "BSessionStore x dbd:\n", implied=True)
    server.write()
    path = server.dir / "httpd.conf"
    path.write_text("\n".join(line for line in path.read_text().splitlines()
                              if not line.startswith("LoadModule dbd_module")))
    done = server.run("-t")
    server.remove()
    assert done.returncode != 0 and "dbd: needs mod_dbd: LoadModule dbd_module modules/mod_dbd.so" in done.stderr


def test_another_driver(build):
    """One that mod_dbd knows, and we do not, would be odbc or the like, where it is installed."""
    status, said = configtest(build, "DBDriver freetds\n" + PARAMS + STORE)
    assert status != 0 and ("does not speak to DBDriver freetds; expected pgsql, sqlite3 or mysql" in said
                            or "freetds" in said)


def test_without_mod_bsession(build):
    server = Httpd(build, DRIVER + PARAMS, mods=["dbd", "bsession_dbd"], implied=True)
    server.write()
    path = server.dir / "httpd.conf"
    text = path.read_text()
    path.write_text("\n".join(line for line in text.splitlines()
                              if not line.startswith(("LoadModule bsession_module", "LoadModule probe_module",
                                                      "LoadModule fault_module"))).replace(
        "LogLevel info bsession:trace8", "LogLevel info"))
    done = server.run("-t")
    server.remove()
    assert done.returncode != 0 and "mod_bsession_dbd needs mod_bsession: LoadModule" in done.stderr


@pytest.mark.parametrize("mods,more,warned", [
    (["authn_dbd"], "", True), (["authz_dbd"], "DBDMax {threads}\n", True), (["authn_dbd"], "DBDMax {more}\n", False),
    (["authn_dbd"], "DBDPersist Off\n", False), ([], "DBDMax {threads}\n", False)])
def test_who_may_wait_for_ever(start, build, mods, more, warned):
    """A request that holds a connection of mod_dbd's waits for one of ours, as all the others do."""
    threads = 1 if build.mpm == "prefork" else 25
    more = more.format(threads=threads, more=threads + 1)
    if build.mpm == "prefork":
        more = (more or "DBDMax 1\n") + "DBDKeep 1\n"
    server = start(f"DBDriver sqlite3\nDBDParams {{dir}}/w/sessions.db\n{more}BSessionStore default dbd:\n" + on(),
                   mods=mods, mpm_config="" if build.mpm == "prefork" else f"ThreadsPerChild {threads}\n")
    assert server.client().results("set=a:1") == ["ok"]
    if warned:
        assert f"with mod_{mods[0]} requests may wait for each other" in server.logged("default: DBDMax, ")
    assert server.surprises() == []
