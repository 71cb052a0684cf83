#!/bin/bash
# WAIT says that a replica has a write, nothing crashes, and the write is lost all the same: by a
# planned change of primary that an operator asks the Sentinels for.
#
# One expects of WAIT 1 that what a second node has confirmed outlives a change of primary, as long
# as no node is lost; it is the reason to pay for it. But SENTINEL FAILOVER with three nodes has a
# moment in which that second node is the wrong one. The Sentinels promote a replica, and tell of it
# about a second later. Until then the old primary takes writes as before, and the third node is
# still its replica and confirms them. Then the third is made a replica of the promoted one, takes
# over its data, and has thrown away what it had confirmed, as has the old primary when its turn
# comes. The client got OK, and 1 for the replicas that have it.
#
# WAIT 2 would have shown it, but is never satisfied while one of three nodes is down. So a planned
# change must stop writes first, or whoever writes has to leave the old primary before: the Sentinel
# in charge says +failover-state-send-slaveof-noone a tenth of a second before it promotes.
#
# Seen on 2026-11-28 with Debian 12's redis-server and redis-sentinel 7.0.15
# (5:7.0.15-1~deb12u10): a primary, two replicas in step with it, three Sentinels with a quorum of 2
# and down-after-milliseconds 2000, nothing killed and nothing slow. One client writes to the old
# primary, each write with WAIT 1 100, until the Sentinels name another; in 3 runs 9 to 12 of 22 to
# 27 confirmed writes were lost.
#
#   SENTINEL FAILOVER: OK
#   the Sentinels name another node: yes
#   the nodes that are well 30 s later: 3
#   of the writes that WAIT had confirmed, lost: some
#
# Takes about a minute. Needs apt-get with package lists, and python3; installs nothing: the
# packages are unpacked into a temporary folder. Everything listens on 127.0.0.1, on ports that
# were free.
set -euo pipefail
shopt -s extglob

work=$(mktemp -d)
started=()
finish() {
    ((${#started[@]} == 0)) || kill "${started[@]}" 2>/dev/null || true
    wait
    rm -rf -- "$work"
}
trap finish EXIT

fetch() { # PACKAGE[=VERSION]...
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
read -r -a ports < <(free_ports 6)
readonly first=${ports[0]} second=${ports[1]} third=${ports[2]} sentinel=${ports[3]}

ask() { # PORT COMMAND...
    timeout 5 redis-cli -p "$@" 2>&1
}

role() { # PORT
    ask "$1" ROLE | head -n 1
}

# Waits, for SECONDS at most, until the command's output has the words; says whether that was so.
await() { # SECONDS WORDS COMMAND...
    local until=$((SECONDS + $1)) words=$2
    shift 2
    while ((SECONDS < until)); do
        [[ $("$@") != *"$words"* ]] || return 0
        sleep 0.1
    done
    return 1
}

start_redis() { # PORT OPTION...
    redis-server --bind 127.0.0.1 --port "$1" --save '' --dir "$work" "${@:2}" \
        >"$work/log.$1" &
    started+=($!)
}

start_sentinel() { # PORT
    cat >"$work/sentinel.$1" <<END
bind 127.0.0.1
port $1
dir $work
sentinel monitor shop 127.0.0.1 $first 2
sentinel down-after-milliseconds shop 2000
sentinel failover-timeout shop 10000
END
    redis-server "$work/sentinel.$1" --sentinel >"$work/log.$1" &
    started+=($!)
}

give_up() {
    echo 'could not be run: the servers did not find one another' >&2
    tail -n 5 "$work"/log.* >&2
    exit 2
}

set_up() {
    local port
    start_redis "$first"
    for port in "$second" "$third"; do
        start_redis "$port" --replicaof 127.0.0.1 "$first" --repl-diskless-sync-delay 0
        await 20 'master_link_status:up' ask "$port" INFO replication || give_up
    done
    for port in "${ports[@]:3}"; do
        start_sentinel "$port"
    done
    # Each Sentinel has to know the replicas and the other two, and then what they say of
    # themselves, which it asks every ten seconds.
    for port in "${ports[@]:3}"; do
        await 30 'slaves=2,sentinels=3' ask "$port" INFO sentinel || give_up
    done
    sleep 12
}

named() {
    ask "$sentinel" SENTINEL GET-MASTER-ADDR-BY-NAME shop | tail -n 1
}

# To the first, until the Sentinels name another: the names of those that a replica has confirmed.
write() {
    local n=0 answer
    while [[ $(named) == "$first" ]]; do
        n=$((n + 1))
        answer=$(printf 'SET order:%d paid\nWAIT 1 100\n' "$n" | ask "$first")
        [[ $answer != OK*[12] ]] || echo "order:$n"
    done >"$work/confirmed"
}

lost() {
    local primary=$1 order lost=0
    while IFS= read -r order; do
        [[ $(ask "$primary" EXISTS "$order") == 1 ]] || lost=$((lost + 1))
    done <"$work/confirmed"
    echo "$lost of $(wc -l <"$work/confirmed") confirmed writes lost" >"$work/measured"
    ((lost)) && echo some || echo none
}

look() {
    local port well=0 writer new
    write &
    writer=$!
    sleep 1
    printf 'SENTINEL FAILOVER: %s\n' "$(ask "$sentinel" SENTINEL FAILOVER shop)"
    wait "$writer"
    new=$(named)
    echo "the Sentinels name another node: $([[ $new != "$first" ]] && echo yes || echo no)"
    sleep 30
    for port in "$first" "$second" "$third"; do
        [[ $(ask "$port" INFO replication) != *@(master_link_status:up|connected_slaves:2)* ]] ||
            well=$((well + 1))
    done
    echo "the nodes that are well 30 s later: $well"
    echo "of the writes that WAIT had confirmed, lost: $(lost "$new")"
}
set_up
look >"$work/seen"

cat "$work/seen" "$work/measured" 2>/dev/null || true
# The indented lines of this file's header are what is expected.
if ! diff <(sed -n 's/^#   //p' "$0") "$work/seen" >"$work/differs"; then
    echo "CHANGED: not what this file's header tells (<); seen now (>):"
    cat "$work/differs"
    exit 1
fi
echo 'as told'
