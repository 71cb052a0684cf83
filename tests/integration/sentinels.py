"""sentinels: several data nodes and Sentinels, all real redis-server processes with the
configuration files of contrib/redis-ha, on loopback ports or each on a machine of its own (see
machines).

    def test(make_replicated):                   # in conftest.py
        stack = make_replicated(LOG_LEVEL="info")
        stack.start_api()                        # by REDIS_URL=redis+sentinel://...
        old = stack.service.primary()
        old.kill()
        stack.service.wait_for_another(old)
        stack.redis.get("...")                   # follows the primary

Nodes and Sentinels are numbered from 1; node 1 is the primary at first. Outside of pytest:
`with ReplicatedRedis(directory) as service`, and service.settings are the programs'."""
import contextlib
import hashlib
import pathlib
import re
import signal

import redis
import redis.sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry

from loopback import HOST, Port
from machines import Machines
from stack import REDIS_SERVER, Program, wait_until
from web_servers import TOP

EXAMPLES = TOP / "contrib/redis-ha"
SERVICE = "mostro"
# Of users on the nodes, and of the Sentinels themselves. `tests` may do anything.
PASSWORDS = {name: f"password-of-{name}" for name in ("mostro-push", "operator", "handover",
                                                      "replica", "sentinel", "tests")}
SENTINEL_PASSWORD = "password-of-sentinels"
NODE_PORT, SENTINEL_PORT = 6379, 26379  # on machines of their own


def _filled_in(example):
    """An example's text with the passwords, or their hashes, in it."""
    text = example.read_text()
    for name, password in PASSWORDS.items():
        digest = hashlib.sha256(password.encode()).hexdigest()
        text = re.sub(rf"(?m)^(user {name} reset on )#\S+", rf"\1#{digest}", text)
        text = re.sub(rf"(?m) PASSWORD-OF-{name.upper()}$", f" {password}", text)
    return re.sub(r"(?m) PASSWORD-OF-SENTINELS$", f" {SENTINEL_PASSWORD}", text)


class _Member:
    """A data node or a Sentinel: its place, and its process, which can be another one later."""

    kind = None

    def __init__(self, service, number, machine_port):
        self.service, self.number = service, number
        self.name = f"{self.kind}-{number}"
        machines = service.machines
        self._held = None if machines else Port()
        self.host = machines.address(number) if machines else HOST
        self.port = machine_port if machines else self._held.number
        self.address = self.host, self.port
        self.server = service.server  # the program, from the next start on
        self.process = None
        self._client = None

    def __str__(self):
        return f"{self.host}:{self.port}"

    @property
    def under(self):
        """The words before a command that is to run where it runs."""
        return self.service.machines.inside(self.number) if self.service.machines else []

    def run(self, arguments, text="", settings=None):
        assert not self.process or not self.process.is_alive(), f"{self.name} runs"
        self.process = Program(self.name, [*self.under, *arguments], self.service.directory,
                               settings, text)
        self.service.took_in(self.process)

    def is_alive(self):
        return self.process is not None and self.process.is_alive()

    def kill(self):
        """SIGKILL; does not tell whether others know."""
        self.process.kill()

    def stop(self):
        """SIGTERM, as at a reboot."""
        self.process.stop()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def client(self):
        """A client of this very member, with all rights."""
        raise NotImplementedError

    def answers(self):
        try:
            return self.client().ping()
        except redis.RedisError:
            assert self.is_alive(), self.process.output()
            return False

    def close(self):
        if self._client:
            self._client.close()
        if self._held:
            self._held.close()


class DataNode(_Member):
    kind = "node"

    def __init__(self, service, number):
        super().__init__(service, number, NODE_PORT)
        self.config = service.directory / f"{self.name}.conf"
        self.socket = service.directory / f"{self.name}.sock"
        self.config.write_text("\n".join([
            f"include {service.directory / 'node.conf'}",
            f"bind {self.host}",
            f"port {self.port}",
            f"unixsocket {self.socket}",
            f"user tests on >{PASSWORDS['tests']} ~* &* +@all",
            *service.options, ""]))

    def start(self, primary=None):
        """As a replica of that node, or as a primary, whatever anybody else says. Empty after every
        start."""
        self.run([self.server, "-"], "\n".join([
            f"include {self.config}",
            f"replica-announce-ip {self.host}",
            f"replica-announce-port {self.port}",
            f"replicaof {primary.host} {primary.port}" if primary else "replicaof no one", ""]))

    def redis_start(self, *options, **settings):
        """As a unit starts it: it asks the others what to be."""
        self.run([EXAMPLES / "redis-start", *options, self.config], settings={
            **self.service.node_settings(self), **settings})

    def client(self):
        if not self._client:
            self._client = redis.Redis(
                self.host, self.port, username="tests", password=PASSWORDS["tests"],
                decode_responses=True, socket_timeout=2, socket_connect_timeout=2)
        return self._client

    def role(self):
        """`master`, `slave`, or None where it does not answer."""
        try:
            return self.client().role()[0]
        except redis.RedisError:
            return None

    def is_in_sync(self):
        """As a replica; or as the primary of one that is, or of none that there could be."""
        try:
            info = self.client().info("replication")
        except redis.RedisError:
            assert self.is_alive(), self.process.output()
            return False
        if info["role"] == "slave":
            return info["master_link_status"] == "up"
        return True


class Sentinel(_Member):
    kind = "sentinel"

    def __init__(self, service, number):
        super().__init__(service, number, SENTINEL_PORT)
        self.config = service.directory / f"{self.name}.conf"

    def start(self):
        """With what it has learnt, if it has run before."""
        if not self.config.exists():
            text = _filled_in(EXAMPLES / "sentinel.conf.example")
            first = self.service.nodes[0]
            for pattern, value in (
                    ("bind .*", f"bind {self.host}"),
                    ("port .*", f"port {self.port}"),
                    ("dir .*", f"dir {self.service.directory}"),
                    ("(sentinel down-after.*) 2000", rf"\1 {1700 + 300 * self.number}"),
                    ("sentinel announce-ip .*", f"sentinel announce-ip {self.host}"),
                    ("sentinel monitor .*",
                     f"sentinel monitor {SERVICE} {first.host} {first.port} 2")):
                text, found = re.subn(rf"(?m)^{pattern}", value, text)
                assert found == 1, pattern
            self.config.write_text(text)
        self.run([self.server, self.config, "--sentinel"])

    def client(self):
        if not self._client:
            self._client = redis.Redis(
                self.host, self.port, password=SENTINEL_PASSWORD, decode_responses=True,
                socket_timeout=2, socket_connect_timeout=2)
        return self._client

    def names(self):
        """(host, port) of the node that it names the primary; None where it does not answer."""
        try:
            found = self.client().execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", SERVICE)
        except redis.RedisError:
            return None
        return found and (found[0], int(found[1]))

    def sees(self):
        """(how many replicas it sees up, how many other Sentinels)."""
        replicas = self.client().execute_command("SENTINEL REPLICAS", SERVICE)
        master = self.client().execute_command("SENTINEL MASTER", SERVICE)
        up = [one for one in map(_fields, replicas)
              if one["flags"] == "slave" and one["master-link-status"] == "ok"]
        return len(up), int(_fields(master)["num-other-sentinels"])


def _fields(answer):
    """Of a Sentinel's answer, which redis-py makes a dictionary or leaves a list."""
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2]))


class ReplicatedRedis:
    """All in one directory; each process is appended to `processes`, too, for the caller to stop in
    an order of his own. `options` are lines for every node that win over the examples'. Without `min_replicas` nodes
    take writes alone, as two nodes must. With `machines` every node shares one of its own with the
    Sentinel of its number, `delay` milliseconds from any other and from here. Returns when all is
    up, the replicas are in sync and the Sentinels know each other: some three seconds."""

    def __init__(self, directory, processes=None, nodes=3, sentinels=3, min_replicas=None,
                 options=(), machines=False, delay=0, server=REDIS_SERVER):
        self.directory = pathlib.Path(directory)
        min_replicas = nodes > 2 if min_replicas is None else min_replicas
        self.options = [*([] if min_replicas else ["min-replicas-to-write 0"]), *options]
        self.server = server
        self.processes = [] if processes is None else processes
        self._own = []
        self._cut = set()  # numbers of machines
        self._write_configuration()
        self.machines = Machines(max(nodes, sentinels)) if machines else None
        self.nodes = [DataNode(self, n) for n in range(1, nodes + 1)]
        self.sentinels = [Sentinel(self, n) for n in range(1, sentinels + 1)]
        if machines:
            self.machines.delay(delay)
        self.settings = {
            "REDIS_URL": f"redis+sentinel://mostro-push:{PASSWORDS['mostro-push']}@"
                         f"{','.join(map(str, self.sentinels))}/{SERVICE}",
            "REDIS_SENTINEL_PASSWORD": SENTINEL_PASSWORD,
        }
        self.clients = []
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _write_configuration(self):
        """As an operator would, in the place of /etc/redis."""
        for example, name in (
                (TOP / "contrib/redis.conf.example", "redis.conf"),
                (TOP / "contrib/users.acl.example", "users.acl"),
                (EXAMPLES / "users.acl.example", "users-ha.acl"),
                (EXAMPLES / "redis.conf.example", "node.conf")):
            text = _filled_in(example).replace("/etc/redis/", f"{self.directory}/")
            text = re.sub(r"(?m)^dir .*", f"dir {self.directory}", text)
            (self.directory / name).write_text(text)

    def _start(self):
        for node in self.nodes:
            node.start(None if node is self.nodes[0] else self.nodes[0])
        for node in self.nodes:
            wait_until(node.answers, 30, f"{node.name} answers")
        for node in self.nodes:
            wait_until(node.is_in_sync, 30, f"{node.name} is in sync")
        for sentinel in self.sentinels:
            sentinel.start()
        for sentinel in self.sentinels:
            wait_until(sentinel.answers, 30, f"{sentinel.name} answers")
        self.wait_until_whole()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def took_in(self, process):
        self.processes.append(process)
        self._own.append(process)

    def close(self):
        for client in self.clients:
            client.close()
        for member in (*self.sentinels, *self.nodes):
            member.close()
        for process in self._own:
            process.kill()
        if self.machines:
            self.machines.close()

    def node_settings(self, node):
        """What redis-start and switch have in node.env."""
        return {
            "REDIS_NODE": str(node),
            "REDIS_NODES": ",".join(map(str, self.nodes)),
            "REDIS_SENTINELS": ",".join(map(str, self.sentinels)),
            "REDIS_SERVICE": SERVICE,
            "REDIS_NODE_PASSWORD": PASSWORDS["sentinel"],
            "REDIS_SENTINEL_PASSWORD": SENTINEL_PASSWORD,
            "REDIS_SERVER": str(node.server),
        }

    # ---- What is asked

    def redis(self):
        """A client that asks the Sentinels for the primary at every connection, with all rights. It
        asks again where a connection ends, says nothing for a second, or is to a replica by now."""
        sentinels = redis.sentinel.Sentinel(
            [sentinel.address for sentinel in self.sentinels], socket_timeout=2,
            sentinel_kwargs={"password": SENTINEL_PASSWORD, "socket_timeout": 2})
        client = sentinels.master_for(SERVICE, username="tests", password=PASSWORDS["tests"],
                                      decode_responses=True, socket_timeout=1,
                                      retry=Retry(NoBackoff(), 2), retry_on_error=[
                                          redis.ConnectionError, redis.TimeoutError,
                                          redis.ReadOnlyError])
        self.clients.append(client)
        return client

    def node_at(self, address):
        return next(node for node in self.nodes if node.address == address)

    def named(self):
        """The node that all Sentinels that are there name the primary; None where they differ."""
        names = {sentinel.names() for sentinel in self._there(self.sentinels)}
        return self.node_at(names.pop()) if len(names) == 1 and None not in names else None

    def _there(self, members):
        """Those that run, on machines that are not cut off."""
        return [one for one in members if one.is_alive() and one.number not in self._cut]

    def primary(self):
        """The node that the Sentinels name, which is a primary; waits for it."""
        return wait_until(self._primary, 60, "the Sentinels agree on a primary")

    def _primary(self):
        node = self.named()
        return node if node in self._there(self.nodes) and node.role() == "master" else None

    def replicas(self):
        return [node for node in self._there(self.nodes) if node.role() == "slave"]

    def wait_for_another(self, than, timeout=30):
        """Waits until the Sentinels name another node than this, which is a primary; returns it."""
        def another():
            node = self._primary()
            return node if node is not than else None
        return wait_until(another, timeout, f"a primary other than {than.name}")

    def wait_until_whole(self, timeout=60):
        """Waits until all that are there agree and know each other, and all replicas are in sync."""
        def whole():
            nodes, sentinels = self._there(self.nodes), self._there(self.sentinels)
            expected = len(nodes) - 1, len(self.sentinels) - 1
            with contextlib.suppress(redis.RedisError):
                return (self._primary() and all(node.is_in_sync() for node in nodes)
                        and all(sentinel.sees() == expected for sentinel in sentinels))
            return False
        wait_until(whole, timeout, "nodes and Sentinels are whole")

    # ---- What is done

    def cut(self, number):
        """The machine with this number is cut off: silence, both ways."""
        self._cut.add(number)
        self.machines.cut(number)

    def join(self, number):
        self.machines.join(number)
        self._cut.discard(number)

    def join_all(self):
        for number in list(self._cut):
            self.join(number)

    def switch(self, *options, **settings):
        """Runs it, as on node 1; returns (exit status, what it has said)."""
        program = Program("switch", [EXAMPLES / "switch", *options], self.directory,
                          {**self.node_settings(self.nodes[0]), **settings})
        self.took_in(program)
        return program.wait(60), program.output()

    def fail_over(self):
        """A planned change by the Sentinels' own command."""
        sentinel = self._there(self.sentinels)[0]
        sentinel.client().execute_command("SENTINEL FAILOVER", SERVICE)
