"""What lies in a database, on each of the three: the table that is made and the one that is found, what others
do to it, whoever writes at the same time, and what is over."""

import concurrent.futures
import time

import pytest

import sql_servers
from doubles import wait_until
from httpd import on

STORE = "BSessionStore default dbd: timeout=20s breaker=3,100ms,400ms table={table}\n"
MOD_DBD = r"^\[dbd:"


@pytest.fixture(scope="module", params=list(sql_servers.DATABASES))
def database(request):
    one = sql_servers.DATABASES[request.param]()
    yield one
    one.stop()


def site(database, table="bsession", more=""):
    return database.lines(more) + STORE.format(table=table) + on()


@pytest.fixture(scope="module")
def server(start, database):
    one = start(site(database))
    yield one
    one.stop()


@pytest.fixture
def start_one(start):
    """A server that ends with its test."""
    mine = []

    def start_it(*config, **more):
        mine.append(start(*config, **more))
        return mine[-1]

    yield start_it
    for one in mine:
        one.stop()


def rows(database, table="bsession", where="1 = 1"):
    return int(database(f"SELECT count(*) FROM {table} WHERE {where}")[0][0])


def fill(database, table, count, expires, space="s"):
    """Rows that nobody made by a session."""
    data = {"pgsql": "decode('00', 'hex')", "mysql": "x'00'", "sqlite3": "x'00'"}[database.driver]
    values = ", ".join(f"('{space}{expires:016x}{i:016x}', {i + 1}, {expires}, {data})" for i in range(count))
    database(f"INSERT INTO {table} (id, revision, expires, data) VALUES {values}")


def test_what_lies_there(server, database):
    visitor = server.client()
    before = int(time.time() * 1e6)
    assert visitor.results("set=a:1", "incr=n:1") == ["ok", "=1"]
    [[id, revision, expires]] = database("SELECT id, revision, expires FROM bsession WHERE id LIKE 's%'")
    assert id[0] == "s" and len(id) == 33 and int(revision) > 0
    assert visitor.results("tag") == [id[1:13]]
    assert 290 < (int(expires) - before) / 1e6 < 310
    assert visitor.token[:10] not in repr(database("SELECT * FROM bsession"))


def test_no_step_is_lost(server):
    """8 clients x 100 increments by several children: exactly 800 more."""
    client = server.client()
    client.results("set=n:5")

    def climb():
        one = client.twin()
        one.keep = True
        for _ in range(100):
            assert one.results("incr=n:1")[0].startswith("=")
        one.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for job in [pool.submit(climb) for _ in range(8)]:
            job.result()
    assert client.results("get=n") == ["=805"]


def test_large_values(server):
    visitor = server.client()
    for i in range(8):
        assert visitor.results(f"set=k{i}:{'v' * 7000}") == ["ok"]
    for i in range(8):
        assert visitor.results(f"get=k{i}") == ["=" + "v" * 7000]


def test_a_table_that_goes_away(server, database):
    """Its sessions are gone, and that is all: it is made again."""
    visitor = server.client()
    visitor.results("set=a:1")
    old = visitor.token
    database("DROP TABLE bsession")
    assert visitor.results("get=a") == ["-"]
    assert visitor.results("set=a:2") == ["ok"] and visitor.token != old
    assert visitor.results("get=a") == ["=2"]
    assert rows(database) == 1


def test_other_tables_come_and_go(server, database):
    """SQLite's statements end with each of them; nobody notices."""
    visitor = server.client()
    for i in range(10):
        database(f"CREATE TABLE other{i} (a integer)")
        assert visitor.results("incr=n:1") == [f"={i + 1}"]
    for i in range(10):
        database(f"DROP TABLE other{i}")


def test_two_stores_two_tables(start_one, database):
    server = start_one(site(database, "one") + STORE.format(table="two").replace("default", "second")
                       + '<Location "/two">\nSetHandler bsession-probe\nBSessionUse second\n'
                         "BSessionCookie two Secure=Off\n</Location>\n")
    assert server.client().results("set=a:1") == ["ok"]
    for _ in range(2):
        assert server.client().results("set=a:1", at="/two") == ["ok"]
    assert rows(database, "one") == 1 and rows(database, "two") == 2


def test_a_name_with_capitals(start_one, database):
    visitor = start_one(site(database, "Sessions_A")).client()
    assert visitor.results("set=a:1", "incr=n:1") == ["ok", "=1"]
    assert visitor.results("get=a", "incr=n:1") == ["=1", "=2"]


def test_a_word_of_sql(start_one, database):
    """The names of tables stand in the statements as they are."""
    server = start_one(site(database, "order"))
    assert server.client().probe("set=a:1").status == 503
    server.logged("store default: save failed: what table= names is a word of the database's own")


def test_a_server_that_does_not_commit(start_one):
    """MariaDB's own `autocommit` may be off, or DBDInitSQL may turn it off."""
    database = sql_servers.Mariadb("--autocommit=0")
    try:
        server = start_one(site(database, more='DBDInitSQL "SET autocommit = 0"\n'))
        visitor = server.client()
        visitor.results("set=a:1")
        database.kill()
        database.start()
        assert visitor.results("get=a") == ["=1"]
        server.expect("store default: sweep ", MOD_DBD)     # of which one may have met the end
        server.stop()
        assert rows(database) == 1
    finally:
        database.stop()


def test_a_record_that_is_too_long(start_one):
    """It is refused as by BSessionLimit, and keeps nobody else from the store: what is stored stays."""
    database = sql_servers.Mariadb("--max-allowed-packet=65536")
    try:
        server = start_one(database.lines() + "BSessionStore default dbd: timeout=20s breaker=3,1min,1min\n"
                           + on("BSessionLimit size=1M"))
        visitor, other = server.client(), server.client()
        visitor.results("set=a:1")
        for _ in range(5):
            assert visitor.probe("big=b:200000").status == 200
        server.logged("store default: the record is longer than MariaDB's max_allowed_packet")
        server.expect("over BSessionLimit, or larger than the store takes")
        assert visitor.results("get=a", "has=b") == ["=1", "no"]
        assert other.results("set=a:2") == ["ok"]
        server.stop()
    finally:
        database.stop()


@pytest.mark.parametrize("layout", ["id varchar(33) PRIMARY KEY, revision bigint, expires bigint",
                                    "id varchar(33), revision bigint, expires bigint, {data}",
                                    "session text"],
                         ids=["no data", "no key", "another's"])
def test_a_table_of_another_layout(start_one, database, layout, request):
    """An outage with a sentence that says how it must be, and nothing is changed there."""
    if database.driver == "mysql" and "id varchar(33), " in layout:
        return                          # a duplicate is not noticed without a key: docs/backends.md
    table = "other" + str(len(request.node.name))
    data = {"pgsql": "data bytea", "mysql": "data mediumblob", "sqlite3": "data blob"}[database.driver]
    database(f"CREATE TABLE {table} ({layout.format(data=data)})")
    server = start_one(site(database, table))
    assert server.client().probe("set=a:1").status == 503
    line = server.logged("bsession:warn.* store default: ")
    assert f"the table {table} must be there with id (its primary key), revision" in line \
        or "id is not the table's primary key" in line
    assert rows(database, table) == 0
    server.expect("store default: ", MOD_DBD)


def test_a_damaged_record(server, database):
    """An empty session, one warning with the tag, no outage."""
    visitor = server.client()
    visitor.results("set=a:1")
    [tag] = visitor.results("tag")
    data = {"pgsql": "decode('ff00ff', 'hex')"}.get(database.driver, "x'ff00ff'")
    database(f"UPDATE bsession SET data = {data} WHERE id LIKE 's{tag}%'")
    assert visitor.results("get=a") == ["-"]
    assert tag in server.logged("bsession:warn")
    assert visitor.results("set=b:1") == ["ok"]
    assert visitor.results("get=b") == ["=1"]


def test_rows_of_others(server, database):
    """A cache is cleared past what is not ours."""
    visitor = server.client()
    keys = [f"k{i}" for i in range(100)]
    assert visitor.results("cache=default/things/60000", *[f"cset={key}:1" for key in keys])[1:] == ["ok"] * 100
    fill(database, "bsession", 100, 0, "c")
    database("UPDATE bsession SET id = 'cnot-ours' WHERE id LIKE 'c0000000000000000000000000000000_' "
             "AND revision = 7")
    assert visitor.results("cache=default/things/60000", "cclear") == ["cache", "ok"]
    assert visitor.results("cache=default/things/60000", "cget=k0", "cget=k99") == ["cache", "-", "-"]


def test_what_is_over_is_dropped(start_one, database):
    """By the first sweep after a start, without a request: all that is over, and nothing else."""
    now = int(time.time() * 1e6)
    server = start_one(site(database, "swept"))
    visitor = server.client()
    visitor.results("set=a:1")
    server.stop()
    fill(database, "swept", 950, now - 1000000)
    fill(database, "swept", 1, 0)
    fill(database, "swept", 2, now + 600 * 1000000)
    assert rows(database, "swept") == 954
    server.start()
    wait_until(lambda: rows(database, "swept") == 4, "the sweep")
    again = server.client()
    again.jar = visitor.jar
    assert again.results("get=a") == ["=1"]


def test_serializable_transactions(start_one):
    """Where they are a server's habit, one of two writers fails; it is tried again, and nobody notices."""
    database = sql_servers.Postgres("-c", "default_transaction_isolation=serializable")
    try:
        server = start_one(site(database))
        test_no_step_is_lost(server)
        server.stop()
    finally:
        database.stop()


@pytest.mark.parametrize("mode", ["STRICT_TRANS_TABLES", "", "ANSI"])
def test_a_column_that_is_too_short(start_one, mode):
    """A table that somebody has made otherwise than docs/backends.md: a session is not cut off, and says why not,
    whatever MariaDB does where nobody tells it."""
    database = sql_servers.Mariadb(f"--sql-mode={mode}")
    try:
        database("CREATE TABLE bsession (id varchar(33) NOT NULL PRIMARY KEY, revision bigint NOT NULL, "
                 "expires bigint NOT NULL, data tinyblob NOT NULL) ENGINE = InnoDB")
        server = start_one(site(database))
        visitor = server.client()
        assert visitor.results("set=a:1") == ["ok"]
        visitor.probe("big=b:5000")
        server.client().probe("big=a:5000")
        server.logged("store default: a column of the table is too short")
        server.expect("over BSessionLimit, or larger than the store takes")
        assert visitor.results("get=a", "has=b") == ["=1", "no"]
        assert rows(database) == 1
        server.stop()
    finally:
        database.stop()


@pytest.mark.parametrize("name", ["pgsql", "mysql"])
def test_a_user_who_may_do_no_more_than_needed(start_one, name):
    """docs/backends.md: with a table that somebody else has made."""
    database = sql_servers.DATABASES[name]()
    try:
        server = start_one(site(database))
        visitor = server.client()
        visitor.results("set=a:1")
        server.stop()
        if name == "pgsql":
            database("CREATE USER small PASSWORD 'pass-of-a-test'; "
                     "GRANT SELECT, INSERT, UPDATE, DELETE ON bsession TO small")
        else:
            database("CREATE USER small@127.0.0.1 IDENTIFIED BY 'pass-of-a-test'; "
                     f"GRANT SELECT, INSERT, UPDATE, DELETE ON {sql_servers.DATABASE}.bsession TO small@127.0.0.1")
        smaller = start_one(site(database).replace(f"user={sql_servers.USER}", "user=small"))
        visitor = smaller.client()
        assert visitor.results("set=a:1", "incr=n:1") == ["ok", "=1"]
        assert visitor.results("touch", "get=a") == ["ok", "=1"]
        assert visitor.results("cache=default/things/60000", "cset=k:1", "cclear") == ["cache", "ok", "ok"]
        assert visitor.results("destroy") == ["ok"]
        if name == "pgsql":
            database("REVOKE INSERT ON bsession FROM small")
            assert smaller.client().probe("set=a:1").status == 503
            assert "the user of DBDParams may not do that" in smaller.logged("store default: ")
        smaller.stop()
    finally:
        database.stop()
