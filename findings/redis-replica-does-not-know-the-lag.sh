#!/bin/bash
# A Redis replica does not know how much a consumer group has read of a stream: XINFO GROUPS gives
# no lag there, or a wrong one, and the wrong one stays for good once the replica is promoted.
#
# lag is the number of entries that the group has yet to read, just what one watches of a queue.
# What XREADGROUP delivers reaches a replica: the last delivered id, the consumers, the pending
# entries with their owners. One expects the counter beside them to come along. But it is sent
# only for reads with NOACK; after others the replica has the right position and, as to the count,
# nothing, or what the last NOACK told. The lag is worked out from that count. After a fail-over
# the new primary counts on from there: a group that has read everything has a lag above zero, and
# an alarm that waits for zero never ends. XGROUP SETID with ENTRIESREAD puts it right; XPENDING,
# and the last delivered id beside the stream's last one, were right all the time.
#
# Seen on 2026-11-27 with Debian 12's redis-server 5:7.0.15-1~deb12u10, a primary and a replica in
# step with it; "nothing left" where the last delivered id is the stream's last:
#
#   10 added: primary lag 10, replica lag 10
#   4 read: primary lag 6, replica lag unknown
#   1 read with NOACK: primary lag 5, replica lag 5
#   5 read: primary lag 0 and nothing left, replica lag 5 and nothing left
#   the replica is promoted: lag 5 and nothing left
#   2 added: lag 7
#   2 read: lag 5 and nothing left
#   XGROUP SETID $ ENTRIESREAD 12: lag 0 and nothing left
#
# Takes a few seconds. Needs apt-get with package lists, and python3; installs nothing: the
# packages are unpacked into a temporary folder. Redis listens on 127.0.0.1, on ports that were
# free.
set -euo pipefail

work=$(mktemp -d)
started=()
finish() {
    ((${#started[@]} == 0)) || kill "${started[@]}" 2>/dev/null || true
    wait
    rm -rf -- "$work"
}
trap finish EXIT

fetch() { # PACKAGE=VERSION...
    (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$@") || {
        echo "could not be run: Debian does not offer these packages: $*" >&2
        exit 2
    }
    for package in "$work"/*.deb; do
        dpkg-deb -x "$package" "$work/root"
    done
    LD_LIBRARY_PATH=$(echo "$work"/root/usr/lib/*-linux-gnu)
    export LD_LIBRARY_PATH PATH=$work/root/usr/bin:$PATH
}
fetch redis-server=5:7.0.15-1~deb12u10 redis-tools=5:7.0.15-1~deb12u10 \
    libjemalloc2 liblzf1 libatomic1

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
read -r primary replica < <(free_ports 2)

start() { # PORT OPTION...
    redis-server --bind 127.0.0.1 --port "$1" --save '' --dir "$work" \
        --repl-diskless-sync-delay 0 "${@:2}" >"$work/log.$1" &
    started+=($!)
}

await() { # WORDS COMMAND...
    for ((i = 0; i < 200; i++)); do
        [[ $("${@:2}" 2>&1) != *"$1"* ]] || return 0
        sleep 0.1
    done
    echo "could not be run: waited in vain for $1" >&2
    exit 2
}

on() { # PORT COMMAND...
    redis-cli -p "$@"
}

add() { # PORT NUMBER
    for ((n = 0; n < $2; n++)); do
        on "$1" XADD jobs '*' number "$n" >"$work/added"
    done
}

take() { # PORT NUMBER [NOACK]
    on "$1" XREADGROUP GROUP workers one COUNT "$2" ${3:+"$3"} STREAMS jobs '>' >"$work/taken"
}

# A value of XINFO, by its name.
value() { # PORT WHAT NAME
    on "$1" XINFO "$2" jobs | awk -v name="$3" \
        'at && NR == at { print } !at && $0 == name { at = NR + 1 }'
}

lag() { # PORT
    local lag
    lag=$(value "$1" GROUPS lag)
    printf 'lag %s' "${lag:-unknown}"
    if [[ $(value "$1" GROUPS last-delivered-id) == "$(value "$1" STREAM last-generated-id)" ]]
    then
        printf ' and nothing left'
    fi
}

steps=
# Waits until the replica has what the primary has sent.
in_step() {
    steps+=.
    on "$primary" SET steps "$steps" >"$work/step"
    await "$steps" on "$replica" GET steps
}

both() { # WORDS
    in_step
    echo "$1: primary $(lag "$primary"), replica $(lag "$replica")"
}

look() {
    on "$primary" XGROUP CREATE jobs workers 0 MKSTREAM >"$work/created"
    add "$primary" 10
    both '10 added'
    take "$primary" 4
    both '4 read'
    take "$primary" 1 NOACK
    both '1 read with NOACK'
    take "$primary" 5
    both '5 read'
    on "$replica" REPLICAOF NO ONE >"$work/promoted"
    echo "the replica is promoted: $(lag "$replica")"
    add "$replica" 2
    echo "2 added: $(lag "$replica")"
    take "$replica" 2
    echo "2 read: $(lag "$replica")"
    on "$replica" XGROUP SETID jobs workers '$' ENTRIESREAD 12 >"$work/repaired"
    echo "XGROUP SETID \$ ENTRIESREAD 12: $(lag "$replica")"
}
start "$primary"
await PONG on "$primary" PING
start "$replica" --replicaof 127.0.0.1 "$primary"
await 'master_link_status:up' on "$replica" INFO replication
look >"$work/seen"

cat "$work/seen"
# The indented lines of this file's header are what is expected.
if ! diff <(sed -n 's/^#   //p' "$0") "$work/seen" >"$work/differs"; then
    echo "CHANGED: not what this file's header tells (<); seen now (>):"
    cat "$work/differs"
    exit 1
fi
echo 'as told'
