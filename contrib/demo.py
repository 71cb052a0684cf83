#!/usr/bin/python3
"""demo: shows the server's main job, with a relay and a phone of its own, for contrib/quickstart.

    demo.py URL RELAY_FILE

Starts both on loopback and writes the relay's URL to RELAY_FILE. On SIGUSR1, which says that the
server at URL is ready, the phone registers a trade key there; then a gift wrap for that key is
published, and POST /api/notify is called: each has to wake the phone. The relay and the phone stay
until SIGTERM, and later pushes are printed as they come. Exit status 1: a wake did not arrive.
"""
import json
import os
import queue
import signal
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "tests",
                                "standins"))
import nostr  # noqa: E402
from phone import Phone  # noqa: E402
from relay import Relay  # noqa: E402

PATIENCE_SECONDS = 10


class Failure(Exception):
    """The server did not do what is shown here; the text says what."""


def say(text):
    print(f"demo: {text}", flush=True)


def post(server, path, body):
    """POSTs JSON to the server; returns status and body."""
    request = urllib.request.Request(server + path, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=PATIENCE_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError as error:
        raise Failure(f"POST {path} got no answer: {error}") from error


def expect(status, server, path, body):
    got, text = post(server, path, body)
    if got != status:
        raise Failure(f"POST {path} answered {got}, not {status}: {text}")


def follows_gift_wraps(relay):
    return any(nostr.GIFT_WRAP in condition.get("kinds", [])
               for req in relay.reqs() for condition in req[2:])


def latency_of_wake(phone, what, cause):
    """Milliseconds from before `cause` to the push it makes."""
    begun = time.time()
    cause()
    try:
        push = phone.next_push(PATIENCE_SECONDS)
    except queue.Empty:
        raise Failure(f"{what} did not wake the phone within {PATIENCE_SECONDS} s") from None
    return (push.arrived - begun) * 1000


def demonstrate(server, relay, phone):
    trade_pubkey = nostr.new_pubkey()
    expect(200, server, "/api/register",
           {"trade_pubkey": trade_pubkey, "token": phone.endpoint(), "platform": "android"})
    say("a phone has registered a trade key (POST /api/register)")

    try:
        relay.wait_until(follows_gift_wraps, PATIENCE_SECONDS)
    except TimeoutError:
        raise Failure("the listener did not subscribe to gift wraps on the relay") from None
    wrap = nostr.gift_wrap(trade_pubkey)
    latency = latency_of_wake(phone, "the gift wrap", lambda: relay.publish(wrap))
    say(f"a gift wrap, dated yesterday, went to the relay: the phone was woken after {latency:.1f} ms")

    body = {"trade_pubkey": trade_pubkey}
    latency = latency_of_wake(phone, "POST /api/notify",
                              lambda: expect(202, server, "/api/notify", body))
    say(f"POST /api/notify: the phone was woken after {latency:.1f} ms")

    say("the relay and the phone stay up. To wake the phone yourself:")
    print(f"    curl -H 'Content-Type: application/json' -d '{json.dumps(body)}' "
          f"{server}/api/notify", flush=True)


def main(server, relay_file):
    # Blocked from before the relay's URL is known, so that a SIGUSR1 that comes early waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    with Relay() as relay, Phone() as phone:
        with open(relay_file + ".new", "w", encoding="ascii") as file:
            file.write(relay.url + "\n")
        os.rename(relay_file + ".new", relay_file)
        signal.sigwait({signal.SIGUSR1})
        demonstrate(server, relay, phone)
        while True:
            phone.next_push(timeout=None)
            say("the phone was woken")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except Failure as failure:
        print(f"demo: {failure}", file=sys.stderr, flush=True)
        sys.exit(1)
