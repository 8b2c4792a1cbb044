"""Several real Redis servers that belong together, on free ports of the loopback: a master and two replicas
watched by three Sentinels, and a Cluster of three masters with a replica each.

    redis_layouts.py sentinel|sentinel-tls|cluster|cluster-tls PROGRAM [ARGUMENTS]

runs PROGRAM with the URL and the options of what was started for it, and stops that.
"""

import os
import pathlib
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "http"))

from certificates import Authority  # noqa: E402
from doubles import wait_until  # noqa: E402
from ports import free_ports  # noqa: E402
from redis_server import ACL, PASSWORD, SERVER, Refused  # noqa: E402

# what docs/backends.md lists for the servers of a layout beside what every server needs, and for Sentinels
LAYOUT_ACL = f"{ACL} +wait +role +asking +cluster|slots"
SENTINEL_ACL = "+sentinel|get-master-addr-by-name"
# milliseconds until a server that is silent counts as gone: where tests are about that, and where a machine that
# stands still for a moment shall be none of it
DOWN_AFTER, CALM = 700, 6000
# Sentinels look around every 10 seconds, and do nothing for half a minute after they were held up for 2: these
# look more often, and are used to a busy machine
QUICK = 500
PACE = ["INFO-PERIOD", QUICK, "PUBLISH-PERIOD", QUICK, "TILT-TRIGGER", 30000]
SOON = 20                               # seconds in which another master is found, once it is there
SLOTS = 16384


class Member:
    """A server of a layout, which is what `lines` make of it. Its port outlives its process."""

    def __init__(self, where, lines, port, tls, sentinel=False):
        self.dir = where / str(port)
        self.dir.mkdir()
        self.port = port
        self.tls = tls
        self.sentinel = sentinel
        self.conf = self.dir / "conf"
        self.conf.write_text("\n".join(["bind 127.0.0.1", f"tls-port {port}\nport 0" if tls
                                        else f"port {port}", f"dir {self.dir}",
                                        f"logfile {self.dir}/log", "daemonize no", *lines]) + "\n")
        self.process = self.stream = self.socket = None
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen(
            [SERVER, self.conf, *["--sentinel"] * self.sentinel], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, start_new_session=True)
        wait_until(self._answers, f"{self.address} to start")
        if self.sentinel:
            self("SENTINEL", "DEBUG", *PACE)

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{SERVER} did not start:\n" + (self.dir / "log").read_text())
        try:
            return self("PING")
        except (OSError, Refused):
            return None

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._hang_up()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        self._hang_up()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    # -- questions, as the default user

    def __call__(self, *words):
        raw = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        if self.socket and not self.tls and select.select([self.socket], [], [], 0)[0]:
            self._hang_up()             # closed meanwhile: a Sentinel has changed its role
        try:
            if not self.socket:
                self.socket = socket.create_connection(("127.0.0.1", self.port), 20)
                if self.tls:
                    self.socket = self.tls.wrap_socket(self.socket, server_hostname="127.0.0.1")
                self.stream = self.socket.makefile("rb")
                self("AUTH", PASSWORD)
            self.socket.sendall(b"*%d\r\n" % len(raw)
                                + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in raw))
            return self._reply()
        except OSError:
            self._hang_up()
            raise

    def _reply(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise Refused(rest)
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else self.stream.read(int(rest) + 2)[:-2].decode("latin-1")
        if kind == b"*":
            return None if rest == "-1" else [self._reply() for _ in range(int(rest))]
        return rest

    def _hang_up(self):
        if self.socket:
            self.stream.close()
            self.socket.close()
        self.socket = None

    def info(self, section, name):
        return re.search(rf"^{name}:(.*?)\r?$", self("INFO", section), re.M)[1]

    def calls(self, command):
        """How often it was called since CONFIG RESETSTAT."""
        found = re.search(rf"^cmdstat_{command}:calls=(\d+)", self("INFO", "commandstats"), re.M)
        return int(found[1]) if found else 0

    def errors(self, word):
        """How often it was answered since CONFIG RESETSTAT."""
        found = re.search(rf"^errorstat_{word}:count=(\d+)", self("INFO", "errorstats"), re.M)
        return int(found[1]) if found else 0

    def role(self):
        """Or nothing, where it does not answer."""
        try:
            return self("ROLE")[0]
        except (OSError, Refused):
            return None


class Layout:
    """What both have in common: members in one directory, with one password."""

    LINES = [f"requirepass {PASSWORD}", f"masterauth {PASSWORD}", f"user web on >{PASSWORD} {LAYOUT_ACL}", 'save ""',
             "repl-diskless-sync-delay 0", "repl-ping-replica-period 1", "enable-debug-command yes"]

    def __init__(self, tls=False):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bsession-redis-"))
        self.dir.chmod(0o755)
        self.tls, self.tls_words, self.tls_lines = None, "", []
        if tls:
            self._make_tls()
        self.ports = free_ports(16)
        self.members = []
        try:
            self.begin()
            self.watch(CALM)
        except BaseException:
            self.stop()
            raise

    def _make_tls(self):
        """Everybody shows a certificate to everybody, the servers and Sentinels among themselves, too."""
        authority = Authority(self.dir)
        key, pem = authority.issue("member", "IP:127.0.0.1")
        mine, shown = authority.issue("client")
        self.tls = ssl.create_default_context(cafile=authority.pem)
        self.tls.load_cert_chain(shown, mine)
        mine.chmod(0o644)
        self.tls_words = f" ca={authority.pem} cert={shown} key={mine}"
        self.tls_lines = [f"tls-ca-cert-file {authority.pem}", f"tls-key-file {key}", f"tls-cert-file {pem}",
                          "tls-replication yes"]

    @property
    def scheme(self):
        return "rediss" if self.tls else "redis"

    def add(self, *lines, **more):
        member = Member(self.dir, [*lines, *self.tls_lines], self.ports.pop(), self.tls, **more)
        self.members.append(member)
        return member

    def stop(self):
        for member in self.members:
            member.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def watch(self, silence):
        """From now on so long a silence counts."""
        self.silence = silence
        for member in self.members:
            if member.process.poll() is None:
                self.tell(member, silence)

    def masters(self):
        return [m for m in self.members if not m.sentinel and m.role() == "master"]


class Sentinels(Layout):
    """A master, two replicas, three Sentinels."""

    def begin(self):
        first = self.add(*self.LINES)
        self.servers = [first] + [self.add(*self.LINES, f"replicaof 127.0.0.1 {first.port}")
                                  for _ in range(2)]
        wait_until(lambda: self._in_sync(first), "the replicas to follow")
        self.sentinels = [self.add(
            f"requirepass {PASSWORD}", f"user watcher on >{PASSWORD} {SENTINEL_ACL}",
            f"sentinel monitor main 127.0.0.1 {first.port} 2", f"sentinel auth-pass main {PASSWORD}",
            f"sentinel down-after-milliseconds main {DOWN_AFTER}", "sentinel failover-timeout main 4000",
            sentinel=True) for _ in range(3)]
        wait_until(self.is_whole, "the Sentinels to know each other")

    @staticmethod
    def tell(member, silence):
        if member.sentinel:
            member("SENTINEL", "SET", "main", "down-after-milliseconds", silence)

    def _in_sync(self, master):
        return master.role() == "master" and [r for r in master("ROLE")[2] if int(r[2]) > 0][1:]

    def is_whole(self):
        """All know of each other and of both replicas, and nobody is thought to be down."""
        for s in self.sentinels:
            state = s("SENTINEL", "MASTER", "main")
            state = dict(zip(state[::2], state[1::2]))
            if (state["flags"], state["num-slaves"], state["num-other-sentinels"]) != ("master", "2", "2"):
                return False
            for replica in s("SENTINEL", "REPLICAS", "main"):
                replica = dict(zip(replica[::2], replica[1::2]))
                if replica["flags"] != "slave":
                    return False
        master = self.master()
        return master and self._in_sync(master)

    def mend(self):
        """Whoever was killed is there again, as a replica; faster than the Sentinels would make it one."""
        gone = [m for m in self.members if m.process.poll() is not None]
        for member in self.members:
            member.resume()
        for member in gone:
            member.start()
        master = wait_until(self.agreed, "the Sentinels to agree")
        for member in gone:
            if not member.sentinel and member.port != master:
                member("REPLICAOF", "127.0.0.1", master)
        wait_until(self.is_whole, "the layout to be whole again")

    def named(self, sentinel):
        return int(sentinel("SENTINEL", "get-master-addr-by-name", "main")[1])

    def agreed(self):
        """The port that every Sentinel names."""
        named = {self.named(s) for s in self.sentinels if s.process.poll() is None}
        return named.pop() if len(named) == 1 else None

    def master(self):
        """That one, if they agree."""
        port = self.agreed()
        return next((s for s in self.servers if s.port == port), None)

    def wait_for_another(self, old):
        """By the word of every Sentinel, and by its own."""
        def is_there():
            master = self.master()
            return master and master is not old and master.role() == "master"
        wait_until(is_there, "another master")

    def replace(self, old):
        """As an operator does it; a Sentinel may find no replica good enough at first."""
        def is_accepted():
            try:
                return self.sentinels[1]("SENTINEL", "FAILOVER", "main")
            except Refused:
                return None
        wait_until(is_accepted, "a Sentinel to begin")
        self.wait_for_another(old)
        wait_until(lambda: old.role() == "slave", "it to be a replica")

    def pace(self, period):
        """Four such periods, in milliseconds, are what a master of the past has until it is demoted."""
        for s in self.sentinels:
            s("SENTINEL", "DEBUG", "PUBLISH-PERIOD", period)

    @property
    def words(self):
        hosts = ",".join(s.address for s in self.sentinels)
        return (f"{self.scheme}://{hosts}/0 user=web password={PASSWORD} sentinel=main sentinel_user=watcher "
                f"sentinel_password={PASSWORD}{self.tls_words}")


class Cluster(Layout):
    """Three masters with a replica each, and room for more."""

    def begin(self):
        nodes = [self.node() for _ in range(6)]
        self.first, self.replicas = nodes[:3], nodes[3:]
        for i, node in enumerate(nodes):
            node("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for i, node in enumerate(self.first):
            node("CLUSTER", "ADDSLOTSRANGE", SLOTS * i // 3, SLOTS * (i + 1) // 3 - 1)
        for node in nodes[1:]:
            self.meet(node)
        wait_until(lambda: all(n("CLUSTER", "INFO").count("cluster_known_nodes:6") for n in nodes),
                   "the nodes to meet")
        for node, master in zip(self.replicas, self.first):
            self.follow(node, master)
        wait_until(self.is_whole, "the Cluster to be whole")

    def node(self):
        return self.add(*self.LINES, *["tls-cluster yes"] * bool(self.tls), "cluster-enabled yes", "cluster-config-file nodes",
                        f"cluster-node-timeout {DOWN_AFTER}", f"cluster-port {self.ports.pop()}")

    @staticmethod
    def bus(node):
        return int(re.search(r"^cluster-port (\d+)", node.conf.read_text(), re.M)[1])

    def meet(self, node):
        self.members[0]("CLUSTER", "MEET", "127.0.0.1", node.port, self.bus(node))

    def follow(self, replica, master):
        wanted = master("CLUSTER", "MYID")
        wait_until(lambda: wanted in replica("CLUSTER", "NODES"), "a replica to hear of its master")
        replica("CLUSTER", "REPLICATE", wanted)

    def is_whole(self):
        """Every slot has an owner that all agree on, and every owner a replica that is up to date."""
        maps, living = set(), [m for m in self.members if m.process.poll() is None]
        for node in living:
            if "cluster_state:ok" not in node("CLUSTER", "INFO"):
                return False
            maps.add(str(sorted((r[0], r[1], r[2][1]) for r in node("CLUSTER", "SLOTS"))))
            if node.role() == "slave" and node.info("replication", "master_link_status") != "up":
                return False
        owners = [m for m in living if m.role() == "master" and self.owns(m)]
        return len(maps) == 1 and all(m.info("replication", "connected_slaves") != "0" for m in owners[:3])

    @staticmethod
    def owns(node):
        """Slots, as ranges."""
        return [(r[0], r[1]) for r in node("CLUSTER", "SLOTS") if r[2][1] == node.port]

    def owner(self, slot):
        living = [m for m in self.members if m.process.poll() is None]
        port = next(r[2][1] for r in living[0]("CLUSTER", "SLOTS") if r[0] <= slot <= r[1])
        return next(m for m in living if m.port == port)

    def move(self, slot, to, between=None):
        """As redis-cli's reshard does it, with its keys; `between` is called half-way."""
        self.hand_over(slot, self.owner(slot), to, between)

    @staticmethod
    def knows_epoch(node, of):
        """Whether a node has heard how late another one's claims are. One that has not takes itself for the
        latest, and loses again what it is given."""
        def epoch(at):
            return next(line.split()[6] for line in at("CLUSTER", "NODES").splitlines() if line.startswith(name))
        name = of("CLUSTER", "MYID")
        return epoch(node) == epoch(of)

    def hand_over(self, slot, source, to, between=None):
        """Nobody else is asked."""
        wait_until(lambda: self.knows_epoch(to, source), "what the last move has changed to be known")
        to("CLUSTER", "SETSLOT", slot, "IMPORTING", source("CLUSTER", "MYID"))
        source("CLUSTER", "SETSLOT", slot, "MIGRATING", to("CLUSTER", "MYID"))
        if between:
            between()
        while keys := source("CLUSTER", "GETKEYSINSLOT", slot, 10):
            source("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "AUTH", PASSWORD, "KEYS", *keys)
        to("CLUSTER", "SETSLOT", slot, "NODE", to("CLUSTER", "MYID"))
        try:
            source("CLUSTER", "SETSLOT", slot, "NODE", to("CLUSTER", "MYID"))
        except Refused as error:        # it heard of it, and is a replica: that was its last slot
            assert "only with masters" in str(error)

    def serves(self, ranges):
        """Whether a node that is alive owns all of these slots, by its own word."""
        return any(set(map(tuple, ranges)) <= set(self.owns(m)) and "cluster_state:ok" in m("CLUSTER", "INFO")
                   for m in self.members if m.role() == "master")

    def replica_of(self, master):
        wanted = str(master.port)
        return next(m for m in self.members if m.role() == "slave" and str(m("ROLE")[2]) == wanted)

    def replace(self, old, replica):
        """As an operator does it. Nodes do not vote twice in a row for the same slots, and what has come to
        nothing within 5 seconds is over: it is asked for again."""
        asked = None

        def is_done():
            nonlocal asked
            if replica.role() == "slave" and (not asked or time.monotonic() - asked > 6):
                replica("CLUSTER", "FAILOVER")
                asked = time.monotonic()
            return replica.role() == "master" and old.role() == "slave"
        wait_until(is_done, "the failover")

    def forget(self, node):
        """It leaves, and its process ends."""
        name = node("CLUSTER", "MYID")
        self.members.remove(node)
        for member in self.members:
            member("CLUSTER", "FORGET", name)
        node.stop()

    @staticmethod
    def tell(member, silence):
        member("CONFIG", "SET", "cluster-node-timeout", silence)

    def mend(self):
        """Whoever was killed is there again; the Cluster itself makes it what it has to be."""
        for member in self.members:
            member.resume()
            if member.process.poll() is not None:
                member.start()
                self.tell(member, self.silence)
        wait_until(self.is_whole, "the Cluster to be whole again")

    @property
    def words(self):
        hosts = ",".join(m.address for m in self.members[:2])
        return f"{self.scheme}://{hosts} cluster=on user=web password={PASSWORD}{self.tls_words}"


def main(how, program, *arguments):
    what, _, tls = how.partition("-")
    if tls:
        # OpenSSL's context hangs on one of APR's pools, where LeakSanitizer does not look
        os.environ["ASAN_OPTIONS"] = "detect_leaks=0"
    layout = {"sentinel": Sentinels, "cluster": Cluster}[what](tls == "tls")
    try:
        return subprocess.call([program, *arguments, *layout.words.split()])
    finally:
        layout.stop()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ.setdefault("LANG", "C.UTF-8")
    sys.exit(main(*sys.argv[1:]))
