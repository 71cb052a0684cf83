#!/bin/bash
# nostr-rs-relay never sends EOSE for a REQ whose filters all have limit 0, though it serves the
# subscription.
#
# limit is the most stored events that a relay should send before EOSE (NIP-01), so limit 0 reads
# as "none that are stored, only what comes from now on", and one expects EOSE at once, as nothing
# is left to send. This relay looks nothing up for such a REQ, and with the look-up it leaves out
# the EOSE. New events do come. A client that takes a subscription for live at its EOSE, and asks
# anew when none comes, never listens; one that counts on EOSE to know that its connection works
# gives up a relay that works.
#
# With limit 1 EOSE comes. One event too many is what that costs.
#
# Seen on 2026-11-27 with the crate nostr-rs-relay 0.8.12 (its own Cargo.lock, but time 0.3.36,
# since 0.3.25 does not build with Rust 1.95), a database that holds one event of the author's:
#
#   limit 0: stored 0, EOSE not within 10 s, new event comes
#   limit 1: stored 1, EOSE, new event comes
#   limit 0 and limit 1 in two filters: stored 1, EOSE, new event comes
#
# Takes as long as a debug build of the relay, 391 crates: many minutes, and 45 on a machine that
# was busy with other work. cargo's own CARGO_TARGET_DIR, when it is set, keeps that. Needs cargo
# (1.85 or later), gcc, make, node (20 or later) with npm, apt-get with package lists (for protoc)
# and python3; cargo keeps sources in its usual cache, all else goes to a temporary folder. The
# relay listens on 127.0.0.1, on a port that was free.
set -euo pipefail

work=$(mktemp -d)
relay=
finish() {
    [[ ! $relay ]] || kill "$relay" 2>/dev/null || true
    wait
    rm -rf -- "$work"
}
trap finish EXIT

(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download protobuf-compiler libprotoc32 \
    libprotobuf32) || {
    echo 'could not be run: Debian does not offer protobuf-compiler here' >&2
    exit 2
}
for package in "$work"/*.deb; do
    dpkg-deb -x "$package" "$work/root"
done
library=$(echo "$work"/root/usr/lib/*-linux-gnu)

# `cargo info` brings the crate's source into cargo's cache.
cargo info --quiet nostr-rs-relay@0.8.12 >"$work/info"
cp -r "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/nostr-rs-relay-0.8.12 "$work/relay"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$work/target} CARGO_PROFILE_DEV_DEBUG=0
cd "$work/relay"
cargo update --quiet time@0.3.25 --precise 0.3.36
LD_LIBRARY_PATH=$library PROTOC=$work/root/usr/bin/protoc nice cargo build --quiet --locked \
    2>"$work/build.log" || {
    tail -n 20 "$work/build.log" >&2
    exit 2
}
cd "$OLDPWD"

npm install --silent --ignore-scripts --prefix "$work" nostr-tools@2.20.0 ws@8.23.0 >"$work/npm"
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
cat >"$work/config.toml" <<END
[info]
relay_url = "ws://127.0.0.1:$port/"
[database]
in_memory = true
[network]
address = "127.0.0.1"
port = $port
END
"$CARGO_TARGET_DIR/debug/nostr-rs-relay" --db "$work" --config "$work/config.toml" \
    >"$work/log" 2>&1 &
relay=$!

cat >"$work/look.mjs" <<'END'
import { setTimeout as sleep } from 'node:timers/promises';
import { finalizeEvent, generateSecretKey, getPublicKey } from 'nostr-tools/pure';
import WebSocket from 'ws';

const url = process.argv[2];
const key = generateSecretKey();
let notes = 0;

async function connect() {
    for (let left = 100; left > 0; left--) {
        const socket = new WebSocket(url);
        const open = await new Promise((resolve) => {
            socket.once('open', () => resolve(true));
            socket.once('error', () => resolve(false));
        });
        if (open) {
            socket.received = [];
            socket.on('message', (data) => socket.received.push(JSON.parse(data)));
            return socket;
        }
        await sleep(200);
    }
    throw new Error('the relay did not start');
}

// The first message that is such a one; undefined when none has come in time.
async function message(socket, seconds, suits) {
    const end = Date.now() + seconds * 1000;
    while (Date.now() < end) {
        const found = socket.received.find(suits);
        if (found)
            return found;
        await sleep(50);
    }
    return undefined;
}

// A new note each time, so that no event is a duplicate of another.
async function publish() {
    const socket = await connect();
    const event = finalizeEvent({ kind: 1, created_at: Math.floor(Date.now() / 1000), tags: [],
                                  content: `note ${++notes}` }, key);
    socket.send(JSON.stringify(['EVENT', event]));
    const ok = await message(socket, 20, ([type]) => type === 'OK');
    socket.close();
    if (!ok?.[2])
        throw new Error(`the relay did not take an event: ${ok}`);
    return event.id;
}

async function look(words, ...limits) {
    const socket = await connect();
    const author = getPublicKey(key);
    socket.send(JSON.stringify(['REQ', 'notes',
                                ...limits.map((limit) => ({ authors: [author], limit }))]));
    const eose = await message(socket, 10, ([type]) => type === 'EOSE');
    const stored = socket.received.filter(([type]) => type === 'EVENT').length;
    const id = await publish();
    const live = await message(socket, 20, ([type, , event]) =>
        type === 'EVENT' && event.id === id);
    const late = socket.received.some(([type]) => type === 'EOSE');
    socket.close();
    console.log(`${words}: stored ${stored}, EOSE${eose ? '' : late ? ' late' :
        ' not within 10 s'}, new event ${live ? 'comes' : 'does not come'}`);
}

await publish();
await look('limit 0', 0);
await look('limit 1', 1);
await look('limit 0 and limit 1 in two filters', 0, 1);
END
node "$work/look.mjs" "ws://127.0.0.1:$port/" >"$work/seen" || {
    tail -n 20 "$work/log" >&2
    exit 2
}

cat "$work/seen"
# The indented lines of this file's header are what is expected.
if ! diff <(sed -n 's/^#   //p' "$0") "$work/seen" >"$work/differs"; then
    echo "CHANGED: not what this file's header tells (<); seen now (>):"
    cat "$work/differs"
    exit 1
fi
echo 'as told'
