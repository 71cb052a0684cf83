"""relay_programs: relays that nobody here wrote and that people run, each as a process on a port and
with a database of its own, both of which it keeps when it is started anew."""
import asyncio
import json
import pathlib
import socket

from loopback import HOST, Port
from stack import BUILD_DIR, Program, wait_until

PEERS = BUILD_DIR / "interop"


class RelayProgram:
    """A subclass names its program, writes its configuration and knows the command line."""

    program = None
    configuration = None  # its file's name

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self._port = Port()
        self._process = None
        self.port = self._port.number
        self.url = f"ws://{HOST}:{self.port}"
        (self.directory / self.configuration).write_text(self.configure())

    def configure(self):
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def start(self):
        self._process = Program("relay", self.command(), self.directory)
        wait_until(self._listens, 60, "the relay listens")

    def _listens(self):
        assert self._process.is_alive(), self._process.output()
        try:
            socket.create_connection((HOST, self.port)).close()
            return True
        except ConnectionRefusedError:
            return False

    def stop(self):
        self._process.stop()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._port.close()

    def publish(self, events):
        """As one client, in this order; returns when the relay has taken each."""
        asyncio.run(asyncio.wait_for(self._publish(events), 120))

    async def _publish(self, events):
        import websockets

        async with websockets.connect(self.url) as client:
            for event in events:
                await client.send(json.dumps(["EVENT", event]))
            wanted = {event["id"] for event in events}
            while wanted:
                answer = json.loads(await client.recv())
                if answer[0] == "OK":
                    assert answer[2], answer
                    wanted.remove(answer[1])


class NostrRelay(RelayProgram):
    """PyPI's nostr-relay, on SQLite. Its `until` is exclusive."""

    program = PEERS / "venv/bin/nostr-relay"
    configuration = "relay.yaml"  # JSON is YAML, too

    def configure(self):
        return json.dumps({
            "storage": {"sqlalchemy.url": f"sqlite+aiosqlite:///{self.directory}/events.db",
                        "validators": ["nostr_relay.validators.is_signed"]},
            "gunicorn": {"bind": f"{HOST}:{self.port}"},
        })

    def command(self):
        return [self.program, "-c", self.configuration, "serve", "--use-uvicorn"]


class NostrRsRelay(RelayProgram):
    """The crate nostr-rs-relay, on SQLite: the relay that most run. It answers `limit:0` with no
    EOSE."""

    program = PEERS / "nostr-rs-relay"
    configuration = "relay.toml"

    def configure(self):
        return f'[database]\ndata_directory = "{self.directory}"\n' \
               f'[network]\naddress = "{HOST}"\nport = {self.port}\n'

    def command(self):
        return [self.program, "--config", self.configuration]
