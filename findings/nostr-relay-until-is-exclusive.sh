#!/bin/bash
# The relay of PyPI's nostr-relay leaves out events whose created_at equals a filter's until.
#
# NIP-01 counts a filter's bounds in: since <= created_at <= until. Clients rest on that when they
# page backwards through stored events: the next page's until is the oldest created_at that has
# come, and what comes a second time is dropped by its id. At this relay until is exclusive (since
# is not), so of events that share a second those that did not fit on one page are on no page. All
# looks well: each page comes with its EOSE, the next one is simply older.
#
# A client that asks for until = oldest + 1, and one second further back when a page brought
# nothing new, gets every event here and at relays that follow NIP-01, unless more share a second
# than fit on a page.
#
# Seen on 2026-11-27 with nostr-relay 1.14 on SQLAlchemy 2.1.9 and SQLite, shipped settings but
# for the port and the database. Stored are five events: one of second 1, three of second 2, one of
# second 3. A page has a limit of 3:
#
#   since 2, until 3: seconds 2 2 2
#   until 2: seconds 1
#   paged by until = oldest: seconds 3 2 2 1: 4 of 5 events
#   paged by until = oldest + 1: seconds 3 2 2 2 1: 5 of 5 events
#
# Takes one or two minutes, nearly all of them pip's. Needs python3 3.11 or later with venv and
# pip; the packages go into a temporary folder. The relay listens on 127.0.0.1, on a port that was
# free.
set -euo pipefail

work=$(mktemp -d)
relay=
finish() {
    [[ ! $relay ]] || kill "$relay" 2>/dev/null || true
    wait
    rm -rf -- "$work"
}
trap finish EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q --disable-pip-version-check install nostr-relay==1.14 SQLAlchemy==2.1.9 \
    aiosqlite==0.22.1 coincurve==21.0.0 websockets==17.4 falcon==4.4.0 uvicorn==0.54.0 \
    gunicorn==27.0.1 aionostr==0.20.0
# Ports that are free, and below those that outgoing connections take.
free_ports() { # COUNT
    python3 - "$1" <<'END'
import random, socket, sys

held = []
while len(held) < int(sys.argv[1]):
    try:
        held.append(socket.create_server(("127.0.0.1", random.randrange(20000, 32000))))
    except OSError:
        pass
print(*(each.getsockname()[1] for each in held))
END
}
port=$(free_ports 1)
cat >"$work/relay.yaml" <<END
storage:
  sqlalchemy.url: sqlite+aiosqlite:///$work/relay.sqlite3
  validators: [nostr_relay.validators.is_signed, nostr_relay.validators.is_recent]
gunicorn:
  bind: 127.0.0.1:$port
  workers: 1
END
(cd "$work" && exec "$work/venv/bin/nostr-relay" -c relay.yaml serve >log 2>&1) &
relay=$!

cat >"$work/look.py" <<'END'
import asyncio, hashlib, json, sys, time
import coincurve, websockets

KEY = coincurve.PrivateKey()
AUTHOR = KEY.public_key.format()[1:].hex()
BASE = int(time.time()) - 100  # "second n" is BASE + n


def event(second, text):
    body = [0, AUTHOR, BASE + second, 1, [], text]
    digest = hashlib.sha256(json.dumps(body, separators=(",", ":")).encode()).digest()
    return {"id": digest.hex(), "pubkey": AUTHOR, "created_at": BASE + second, "kind": 1,
            "tags": [], "content": text, "sig": KEY.sign_schnorr(digest).hex()}


async def connect(url):
    for _ in range(150):
        try:
            return await websockets.connect(url)
        except OSError:
            await asyncio.sleep(0.2)
    sys.exit("the relay did not start")


async def answer(relay):
    return json.loads(await asyncio.wait_for(relay.recv(), 20))


async def stored(relay, **bounds):
    await relay.send(json.dumps(["REQ", "page", {"authors": [AUTHOR], **bounds}]))
    events = []
    while (message := await answer(relay))[0] != "EOSE":
        events.append(message[2])
    await relay.send(json.dumps(["CLOSE", "page"]))
    return events


async def paged(relay, later):
    found = {}
    until = BASE + 10
    while page := await stored(relay, until=until, limit=3):
        new = {e["id"]: e for e in page if e["id"] not in found}
        found |= new
        until = min(e["created_at"] for e in page) + (later if new else 0)
    return found.values()


def seconds(events):
    return "seconds " + " ".join(
        str(e["created_at"] - BASE) for e in sorted(events, key=lambda e: -e["created_at"]))


async def main():
    relay = await connect(sys.argv[1])
    for n, second in enumerate((1, 2, 2, 2, 3)):
        await relay.send(json.dumps(["EVENT", event(second, f"note {n}")]))
        message = await answer(relay)
        if message[0] != "OK" or not message[2]:
            sys.exit(f"the relay did not take an event: {message}")
    print("since 2, until 3:", seconds(await stored(relay, since=BASE + 2, until=BASE + 3)))
    print("until 2:", seconds(await stored(relay, until=BASE + 2)))
    for words, later in (("oldest", 0), ("oldest + 1", 1)):
        events = await paged(relay, later)
        print(f"paged by until = {words}: {seconds(events)}: {len(events)} of 5 events")
    await relay.close()


asyncio.run(main())
END
"$work/venv/bin/python3" "$work/look.py" "ws://127.0.0.1:$port" >"$work/seen" ||
    { tail -n 20 "$work/log" >&2; exit 2; }

cat "$work/seen"
# The indented lines of this file's header are what is expected.
if ! diff <(sed -n 's/^#   //p' "$0") "$work/seen" >"$work/differs"; then
    echo "CHANGED: not what this file's header tells (<); seen now (>):"
    cat "$work/differs"
    exit 1
fi
echo 'as told'
