"""What strangers' distributors do delays neither FCM nor a distributor that has proven itself."""
import asyncio
import contextlib
import re
import socket
import threading
import time

import pytest

import nostr
import phone as phones
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


class Slow:
    """Hosts of so many networks, each of which answers its first push at once, and then as late as
    one may that answers in time."""

    def __init__(self, networks):
        self._late = 1.9  # seconds
        self._networks = networks
        self._seen = set()
        self._server = socket.create_server(("0.0.0.0", 0), backlog=1024)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def endpoint(self, name):
        host = f"127.0.{1 + int(name[1:]) % self._networks}.1"
        return f"http://{host}:{self._server.getsockname()[1]}/{name}"

    def relent(self):
        """Answers at once from now on."""
        self._late = 0

    def _serve(self):
        self._loop.run_until_complete(asyncio.start_server(self._connected, sock=self._server))
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._server.close()

    async def _connected(self, reader, writer):
        host = writer.get_extra_info("sockname")[0]
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().split(b"content-length:")[1].split(b"\r\n")[0]
                await reader.readexactly(int(length))
                if host in self._seen:
                    await asyncio.sleep(self._late)
                self._seen.add(host)
                writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        writer.close()


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


def expect_no_delay(measured, stack, hosts, end):
    """While wakes of strangers' hosts come in; it is quiet again after end()."""
    quiet = [measured.percentiles_ms()]
    with Flood(stack, hosts) as flood:
        wait_until(lambda: flood.woken >= NAMES, 60)
        attacked = measured.percentiles_ms()
    end()
    # What the machine does beside is not to be blamed on strangers.
    quiet.append(measured.percentiles_ms())
    for (name, percent), ms in attacked.items():
        before, after = (each[name, percent] for each in quiet)
        print(f"{name}, p{percent}: {before:.0f} ms before, {ms:.0f} attacked, {after:.0f} after")
    for (name, percent), ms in attacked.items():
        assert ms < 2 * max(each[name, percent] for each in quiet) + MORE_MS[percent]


@pytest.mark.measured
@pytest.mark.parametrize("attack", ["silence", "interim answers", "many addresses",
                                    "costly TLS 1.2", "costly TLS 1.3"])
def test_strangers_distributors_delay_nobody_else(make_stack, relay, phone, google, certificate,
                                                  google_settings, shim, attack):
    stack = many(make_stack, relay, **google_settings,
                 **(shim if attack == "many addresses" else {}))
    measured = Measured(stack, relay, phone, google)
    with {"silence": Tarpits, "interim answers": Dribblers,
          "many addresses": lambda: contextlib.nullcontext(Hosts("wide.example", 8443)),
          "costly TLS 1.2": lambda: costly(stack, certificate, "-no_tls1_3"),
          "costly TLS 1.3": lambda: costly(stack, certificate)}[attack]() as hosts:
        expect_no_delay(measured, stack, hosts, lambda: wait_until(
            lambda: "UnifiedPush: x" in stack.listener.output(), 30, "trouble is told of"))
    wait_until(lambda: stack.stat("wakes_delivered_unifiedpush") >= 3 * TIMES + 1)
    assert stack.stat("wakes_delivered_unifiedpush") == 3 * TIMES + 1


@pytest.mark.measured
@pytest.mark.parametrize("networks", [5, 20])
def test_strangers_who_answer_late_but_in_time_delay_nobody_else(
        make_stack, relay, phone, google, google_settings, networks):
    """More wakes than they take, for as many slots as they can get."""
    stack = many(make_stack, relay, **google_settings)
    measured = Measured(stack, relay, phone, google)
    with Slow(networks) as hosts:
        def end():
            before = stack.stat("wakes_delivered_unifiedpush")
            assert before - 2 * TIMES > networks  # they do answer, and so are proven
            hosts.relent()
            wait_until(lambda: stack.wakes_queued() == 0, 60, "nothing waits for them any more")

        expect_no_delay(measured, stack, hosts, end)


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


REFUSED = 4000  # trade keys at one endpoint


def wake(redis, pubkeys):
    """As the responder does it, and as fast as Redis takes them."""
    with redis.pipeline(transaction=False) as pipeline:
        for pubkey in pubkeys:
            pipeline.xadd("mostro:wakes", {"pk": pubkey, "via": "relay",
                                           "not_before": int(time.time() * 1000)})
        pipeline.execute()


def lookups(redis):
    """How many registrations Redis has been asked for."""
    return redis.info("commandstats")["cmdstat_hmget"]["calls"]


def test_an_endpoint_that_refuses_for_ever_costs_little(make_stack, relay, phone):
    """It asks for a second each time. Those who wait for it are not looked up each second, nor does
    anybody else at its distributor wait for them; and when it takes pushes, all are woken."""
    stack = many(make_stack, relay)
    refusing, other = phone.endpoint(), nostr.new_pubkey()
    stack.register(other, phone.endpoint())
    takes = threading.Event()
    phone.judge = lambda push: phones.Answer() if takes.is_set() or phone.url + push.path != (
        refusing) else phones.Answer(429, {"Retry-After": "1"})
    pubkeys = [nostr.new_pubkey() for _ in range(REFUSED)]
    with stack.redis.pipeline(transaction=False) as pipeline:
        for pubkey in pubkeys:
            pipeline.fcall(*registering(pubkey, FOR_MS, refusing, device_id="0" * 32))
        pipeline.execute()
    wake(stack.redis, pubkeys)
    wait_until(lambda: stack.redis.xlen("mostro:wakes") == 0 and phone.pushes)
    began, before, asked = time.monotonic(), lookups(stack.redis), len(phone.pushes)
    while time.monotonic() - began < 6:
        sent, pushes = time.time(), len(phone.pushes)
        stack.notify(other)
        wait_until(lambda: any(phone.url + push.path != refusing
                               for push in phone.pushes[pushes:]), 2)
        assert time.time() - sent < 2
        time.sleep(0.2)
    print(f"{lookups(stack.redis) - before} lookups, {len(phone.pushes) - asked} pushes")
    assert lookups(stack.redis) - before < REFUSED / 2
    takes.set()
    wait_until(lambda: stack.wakes_queued() == 0, 60, "all are woken")
    assert stack.stat("wakes_given_up_unifiedpush") == 0
