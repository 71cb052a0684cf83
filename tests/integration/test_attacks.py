"""What strangers' distributors do delays neither FCM nor a distributor that has proven itself."""
import contextlib
import re
import threading
import time

import pytest

import nostr
from loopback import HOST, Port
from stack import preloaded, registering, wait_until
from test_isolation import Dribbler
from test_outages import Tarpits, many

NAMES_A_SECOND = 100
NAMES = 500  # that have been pushed to when measuring begins
TIMES = 100
FOR_MS = 3_600_000
# By percentile, over twice the quiet one. The last few times are this machine's as much as ours.
MORE_MS = {50: 50, 95: 200}


class Dribblers(Tarpits, Dribbler):
    """Hosts of any name that send one interim answer after another, for ever."""


class Hosts:
    """Names of one wildcard record, at a port."""

    def __init__(self, end, port, scheme="https"):
        self._end, self._port, self._scheme = end, port, scheme

    def endpoint(self, name):
        return f"{self._scheme}://{name}.{self._end}:{self._port}/up"


@contextlib.contextmanager
def costly(stack, certificate, *options):
    """A TLS server that knows no key exchange but a finite field's, of 8,192 bits."""
    with contextlib.closing(Port()) as port:
        server = stack.start_program("costly", [
            "openssl", "s_server", "-accept", f"{HOST}:{port.number}", "-cert", certificate[0],
            "-key", certificate[1], "-www", "-cipher", "DHE-RSA-AES256-GCM-SHA384", "-groups",
            "ffdhe8192", *options])
        wait_until(lambda: "ACCEPT" in server.output())
        yield Hosts("evil.localhost", port.number)
        # Neither was it asked nor did it have anything to calculate.
        assert {"no shared cipher", "no suitable key share"} & {
            line.rsplit(":", 4)[1] for line in server.output().splitlines() if "routines" in line}


def percentile(times, percent):
    return sorted(times)[len(times) * percent // 100 - 1]


class Measured:
    """A phone with FCM and one with a proven distributor, each woken again and again."""

    def __init__(self, stack, relay, phone, google):
        self.relay = relay
        self.pubkeys = {"FCM": nostr.new_pubkey(), "UnifiedPush": nostr.new_pubkey()}
        self._await = {"FCM": google.next_message, "UnifiedPush": phone.next_push}
        stack.register(self.pubkeys["FCM"], "fcm-token")
        stack.register(self.pubkeys["UnifiedPush"], phone.endpoint())
        for name in self.pubkeys:  # connections are open from here on
            self._ms(name)

    def _ms(self, name):
        event = nostr.gift_wrap(self.pubkeys[name])
        began = time.monotonic()
        self.relay.publish(event)
        self._await[name](timeout=60)
        return (time.monotonic() - began) * 1000

    def percentiles_ms(self):
        """{(name, percent): milliseconds}, of so many times each."""
        times = [{name: self._ms(name) for name in self.pubkeys} for _ in range(TIMES)]
        return {(name, percent): percentile([each[name] for each in times], percent)
                for name in self.pubkeys for percent in MORE_MS}


class Flood(threading.Thread):
    """Wakes of new names, so many a second, until it is left."""

    def __init__(self, stack, hosts):
        super().__init__(daemon=True)
        self._redis, self._hosts = stack.redis, hosts
        self._over = threading.Event()
        self.woken = 0
        self.failed = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()
        assert self.failed is None, self.failed

    def run(self):
        try:
            self._flood()
        except Exception as error:  # to be seen by the test
            self.failed = error

    def _flood(self):
        """As the responder does it: registered, and a wake is queued."""
        began, each = time.monotonic(), NAMES_A_SECOND // 10
        while not self._over.wait(max(0, began + self.woken / NAMES_A_SECOND - time.monotonic())):
            with self._redis.pipeline(transaction=False) as pipeline:
                for _ in range(each):
                    pubkey, url = nostr.new_pubkey(), self._hosts.endpoint(f"x{self.woken}")
                    pipeline.fcall(*registering(pubkey, FOR_MS, url,
                                                device_id=f"{self.woken:032x}"))
                    pipeline.xadd("mostro:wakes", {"pk": pubkey, "via": "relay",
                                                   "not_before": int(time.time() * 1000)})
                    self.woken += 1
                pipeline.execute()


@pytest.fixture
def shim(tmp_path):
    return preloaded("many_addresses", tmp_path) | {"ATTEMPTS": str(tmp_path / "attempts")}


@pytest.mark.measured
@pytest.mark.parametrize("attack", ["silence", "interim answers", "many addresses",
                                    "costly TLS 1.2", "costly TLS 1.3"])
def test_strangers_distributors_delay_nobody_else(make_stack, relay, phone, google, certificate,
                                                  google_settings, shim, attack):
    stack = many(make_stack, relay, **google_settings,
                 **(shim if attack == "many addresses" else {}))
    measured = Measured(stack, relay, phone, google)
    quiet = [measured.percentiles_ms()]
    with {"silence": Tarpits, "interim answers": Dribblers,
          "many addresses": lambda: contextlib.nullcontext(Hosts("wide.example", 8443)),
          "costly TLS 1.2": lambda: costly(stack, certificate, "-no_tls1_3"),
          "costly TLS 1.3": lambda: costly(stack, certificate)}[attack]() as hosts:
        with Flood(stack, hosts) as flood:
            wait_until(lambda: flood.woken >= NAMES, 60)
            attacked = measured.percentiles_ms()
        wait_until(lambda: "UnifiedPush: x" in stack.listener.output(), 30, "trouble is told of")
    # What the machine does beside is not to be blamed on strangers.
    quiet.append(measured.percentiles_ms())
    for (name, percent), ms in attacked.items():
        before, after = (each[name, percent] for each in quiet)
        print(f"{name}, p{percent}: {before:.0f} ms before, {ms:.0f} attacked, {after:.0f} after")
    for (name, percent), ms in attacked.items():
        assert ms < 2 * max(each[name, percent] for each in quiet) + MORE_MS[percent]
    wait_until(lambda: stack.stat("wakes_delivered_unifiedpush") >= 3 * TIMES + 1)
    assert stack.stat("wakes_delivered_unifiedpush") == 3 * TIMES + 1


def test_a_push_takes_few_sockets_however_many_addresses_its_host_has(make_stack, relay, shim,
                                                                      tmp_path):
    stack = many(make_stack, relay, **shim)
    pubkey = nostr.new_pubkey()
    stack.register(pubkey, "https://x.wide.example:8443/up")
    stack.notify(pubkey)
    wait_until(lambda: "x.wide.example cannot be reached" in stack.listener.output())
    # It goes on trying until it stops; what it then breaks off is not counted.
    assert stack.listener.stop() == 0
    tries = sum(int(n) for name, n in stack.redis.hgetall("mostro:stats").items()
                if re.fullmatch(r"push_unifiedpush_(\d+ms|longer)", name))
    assert 4 * tries <= (tmp_path / "attempts").stat().st_size <= 4 * (tries + 1)
    assert tries >= 1
