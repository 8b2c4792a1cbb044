"""docs/backends.md: its options are those of the code, its ACL is the one that is tested, what it shows of
files and of Redis is what is there, and its tables are those that the code makes."""
import pathlib
import re
import shutil
import sys
import tempfile
import time

import pytest

from pages import TOP

sys.path.append(str(TOP / "tests" / "stores"))

from redis_layouts import LAYOUT_ACL, SENTINEL_ACL  # noqa: E402
from redis_server import ACL, Redis  # noqa: E402

PAGE = (TOP / "docs" / "backends.md").read_text()
SITE = """<Location />
    BSession On
    BSessionCookie bsession Secure=Off
    BSessionEnv All
    BSessionWriteBack On
</Location>
"""


# heading -> where its options stand in the code
OPTIONS = {"Files": ("file.c", r"\bknown\[\] = \{(.*?)\}"),
           "Memcached": ("memcached_conf.c", r"mc_options\[\] = \{(.*?)\}"),
           "Redis": ("redis_conf.c", r"redis_options\[\] = \{(.*?)\}"),
           "SQL": ("dbd.c", r"\bknown\[\] = \{(.*?)\}")}


def options_of_the_code(heading):
    name, pattern = OPTIONS[heading]
    text = (TOP / "backends" / name).read_text()
    return re.findall(r'"(\w+)"', re.search(pattern, text, re.S)[1])


def the_user():
    """The line of redis.conf."""
    return re.search(r"(?m)^user web .*$", PAGE)[0]


def test_what_sentinel_and_a_cluster_need_beyond_it():
    """The layouts of the tests run with these rights, and the page names each of them, and no others."""
    def rights(heading):
        return set(re.findall(r"`(\+\S+?)`", PAGE[PAGE.index(heading):].split("\n### ")[0]))
    servers = set(LAYOUT_ACL.removeprefix(ACL).split())
    assert rights("### Behind Sentinel") == servers - {"+asking", "+cluster|slots"} | set(SENTINEL_ACL.split())
    assert rights("### As a Cluster") == servers - {"+role"}


@pytest.fixture
def redis():
    one = Redis(the_user())
    yield one
    one.stop()


@pytest.mark.parametrize("heading", OPTIONS)
def test_each_option_is_there_and_no_other(heading):
    table = re.search(r"(?s)^\| option \|.*?\n\n", PAGE[PAGE.index(f"## {heading}\n"):], re.M)[0]
    told = re.findall(r"`(\w+)=`", "".join(line.split("|")[1] for line in table.strip().splitlines()))
    assert sorted(told) == sorted(options_of_the_code(heading))


@pytest.fixture
def above():
    path = pathlib.Path(tempfile.mkdtemp(prefix="bsession-docs-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_what_lies_in_files_is_as_shown(server, above):
    running = server(f"BSessionStore default file:{above}/httpd-sessions\n" + SITE).start()
    running.script("count", 'echo "Content-Type: text/plain"\necho "BSession-Incr: visits=1"\n'
                            'echo\necho "$BSESSION_visits"\n')
    visitor = running.client()
    assert [visitor.get("/cgi/count").text for _ in range(3)] == ["\n", "1\n", "2\n"]
    [shown] = re.findall(r"(?m)^/var/lib/(httpd-sessions/.*)$", PAGE)
    [there] = [path for path in above.glob("**/*") if path.is_file()]
    for path in (shown, str(there.relative_to(above))):
        one, two, key = path.split("/")[1:]
        assert re.fullmatch("s[0-9a-f]{32}", key) and key[1:].startswith(one + two) and len(one + two) == 3
    assert 200 < there.stat().st_mtime - time.time() <= 300
    assert running.surprises() == []


def test_the_user_is_the_smallest():
    assert the_user() == f"user web on >secret {ACL}"


def test_the_user_can_and_what_lies_there_is_as_shown(server, redis):
    running = server(f"BSessionStore default redis://web:secret@127.0.0.1:{redis.ports[0]}/0\n" + SITE)
    running.script("count", 'echo "Content-Type: text/plain"\necho "BSession-Incr: visits=1"\n'
                            'echo "BSession-Set: user=ann"\necho\necho "$BSESSION_visits"\n')
    running.start()
    visitor = running.client()
    assert [visitor.get("/cgi/count").text for _ in range(3)] == ["\n", "1\n", "2\n"]
    [key] = redis("KEYS", "*")
    fields = redis("HGETALL", key)
    shown = re.search(r"(?s)> HGETALL (\S+)\n(.*?)```", PAGE)
    there = dict(zip([name.decode() for name in fields[::2]], fields[1::2]))
    assert re.sub("[0-9a-f]", "0", shown[1][4:]) == re.sub("[0-9a-f]", "0", key.decode()[4:])
    told = dict(line.split(None, 1) for line in shown[2].splitlines())
    assert sorted(told) == sorted(there)
    for name in ("user", "visits", "_bs.epoch", "_bs.size"):
        assert told[name] == there[name].decode()
    assert running.surprises() == []


def sql_of_the_code(driver):
    """The layout in dbd_dialect.c: adjacent strings of C."""
    text = (TOP / "backends" / "dbd_dialect.c").read_text()
    layout = re.search(r"\.layout = (.*?),\n        \.", text[text.index(f'.driver = "{driver}"'):], re.S)[1]
    strings = re.findall(r'"((?:[^"\\]|\\.)*)"', layout)
    return "".join(strings).replace('\\"', '"').replace("{table}", "bsession")


@pytest.mark.parametrize("driver,heading", [("pgsql", "In PostgreSQL\n"), ("mysql", "in MariaDB\n"),
                                            ("sqlite3", "and in SQLite\n")])
def test_the_tables_are_those_of_the_code(driver, heading):
    told = re.search(r"```sql\n(.*?)```", PAGE[PAGE.index(heading):], re.S)[1]
    assert " ".join(told.split()).replace("( ", "(") == sql_of_the_code(driver)
