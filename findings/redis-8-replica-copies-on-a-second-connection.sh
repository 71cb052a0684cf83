#!/bin/bash
# A replica of Redis 8.0 has two connections while it copies, and loses one of them in the middle of
# a copy that goes well.
#
# repl-rdb-channel has the data come on a connection of its own, beside the one for what is written
# meanwhile. It is on by default in 8.0, though Debian's redis.conf does not name it; 7.0 has no such
# thing. So whoever leads replication through a tunnel, or counts its connections, sees two peers in
# place of one (CLIENT LIST; connected_slaves stays at 1). And he sees one of the two end while
# master_link_status is still down, for the replica has all bytes long before it has loaded them:
# what used to mean that a copy had failed. That it has is shown by both being gone.
#
# Seen on 2026-11-28 with Debian 13's redis-server 5:8.0.2-3+deb13u3, whose replica is slowed down by
# rdb-key-save-delay and key-load-delay:
#
#   repl-rdb-channel: yes; lines of redis.conf that name it: 0
#   while it copies: connections 2, connected_slaves 1, link down
#   while it loads: connections 1, connected_slaves 1, link down
#   at the end: connections 1, connected_slaves 1, link up
#
# Takes less than a minute, much of it for the package lists. Needs apt-get with package lists of
# Debian and Debian's keyring; installs nothing: the packages, Debian 13's C library among them, are
# unpacked into a temporary folder. The servers listen on 127.0.0.1, on ports that were free.
set -euo pipefail

work=$(mktemp -d)
servers=()
finish() {
    ((${#servers[@]} == 0)) || kill "${servers[@]}" 2>/dev/null || true
    wait
    rm -rf -- "$work"
}
trap finish EXIT

give_up() {
    printf 'could not be run: %s\n' "$*" >&2
    exit 2
}

# Debian 13's packages, unpacked with the C library that they want, beside whatever runs here.
fetch() { # PACKAGE[=VERSION]...
    local uri loader package
    # shellcheck disable=SC2016 # apt knows it
    uri=$(apt-get indextargets --format '$(REPO_URI)' \
        'Origin: Debian' 'Label: Debian' 'Component: main' 'Identifier: Packages' | head -n 1)
    mkdir -p "$work"/apt/{lists,archives}/partial
    : >"$work/apt/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri trixie main" \
        >"$work/apt/sources.list"
    apt=(apt-get -qq -o "Dir::State=$work/apt" -o "Dir::State::status=$work/apt/status"
        -o "Dir::Cache=$work/apt" -o "Dir::Etc::sourcelist=$work/apt/sources.list"
        -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root)
    (cd "$work" && "${apt[@]}" update && "${apt[@]}" download "$@") ||
        give_up "Debian does not offer these packages: $*"
    for package in "$work"/*.deb; do
        dpkg-deb -x "$package" "$work/root"
    done
    loader=$(find "$work/root" -name 'ld-linux*.so.*' -print -quit)
    run=("$loader" --library-path "$(echo "$work"/root/usr/lib/*-linux-gnu)")
}
fetch redis-server=5:8.0.2-3+deb13u3 redis-tools=5:8.0.2-3+deb13u3 libc6 libssl3t64 libsystemd0 \
    libjemalloc2 liblzf1 libatomic1 libcap2 libgcc-s1 libstdc++6

start() { # PORT OPTION...
    "${run[@]}" "$work/root/usr/bin/redis-server" --bind 127.0.0.1 --port "$1" --save '' \
        --dir "$work" --repl-diskless-sync-delay 0 "${@:2}" >"$work/log.$1" &
    servers+=($!)
}

ask() { # PORT COMMAND...
    timeout 5 "${run[@]}" "$work/root/usr/bin/redis-cli" -p "$@" 2>&1 | tr -d '\r'
}

field() { # PORT SECTION NAME
    ask "$1" INFO "$2" | sed -n "s/^$3://p"
}

# Waits, for 20 s at most, until a field of the server has that value.
await() { # PORT SECTION NAME VALUE
    local tries
    for ((tries = 0; tries < 400; tries++)); do
        [[ $(field "$1" "$2" "$3") != "$4" ]] || return 0
        sleep 0.05
    done
    give_up "$3 did not become $4"
}

state() {
    echo "connections $(ask "$primary" CLIENT LIST TYPE replica | grep -c addr=)," \
        "connected_slaves $(field "$primary" replication connected_slaves)," \
        "link $(field "$replica" replication master_link_status)"
}

mapfile -t ports < <(python3 - <<'END'
import socket

held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
for each in held:
    print(each.getsockname()[1])
END
)
primary=${ports[0]} replica=${ports[1]}
start "$primary" --enable-debug-command local --rdb-key-save-delay 2000
await "$primary" replication role master
ask "$primary" DEBUG POPULATE 1000 key 4000 >/dev/null
start "$replica" --key-load-delay 2000 --loading-process-events-interval-bytes 1024 \
    --replicaof 127.0.0.1 "$primary"

seen="repl-rdb-channel: $(ask "$primary" CONFIG GET repl-rdb-channel | tail -n 1); lines of redis.conf \
that name it: $(grep -c repl-rdb-channel "$work/root/etc/redis/redis.conf" || true)"
await "$primary" persistence rdb_bgsave_in_progress 1
seen+="
while it copies: $(state)"
await "$primary" persistence rdb_bgsave_in_progress 0
await "$replica" persistence loading 1
seen+="
while it loads: $(state)"
await "$replica" replication master_link_status up
seen+="
at the end: $(state)"
printf '%s\n' "$seen"

expected="repl-rdb-channel: yes; lines of redis.conf that name it: 0
while it copies: connections 2, connected_slaves 1, link down
while it loads: connections 1, connected_slaves 1, link down
at the end: connections 1, connected_slaves 1, link up"
if [[ $seen != "$expected" ]]; then
    printf 'CHANGED: expected\n%s\n' "$expected"
    exit 1
fi
