#!/bin/bash
# Among three nodes the Sentinels undo what Redis's own FAILOVER has done: half a minute later they
# promote the third node, and lose writes that the one it had chosen acknowledged.
#
# One expects of FAILOVER TO, which hands over without losing a write, that the Sentinels find the
# new primary: each asks every node for its role, and the node that they take for the primary says
# whose replica it has become. Of two nodes they do get there, after half a minute. Of three they
# do not. A primary that has called itself a replica for that long counts as gone, and so they
# start a fail-over as after a crash. They choose by the offsets that replicas last told them. The
# node that FAILOVER chose is no replica any more, so that its offset is one from before, and the
# third node's, which has copied every write since, is the newer. It is promoted while all three
# are well, and the one that took the writes becomes its replica. Whoever stays connected to that
# one gets OK until then, also for what it writes after the third was promoted.
#
# So with Sentinels a planned change has to go through them (SENTINEL FAILOVER, with the writers
# paused, since that one alone leaves two primaries for a while).
#
# Seen on 2026-11-27 with Debian 12's redis-server and redis-sentinel 7.0.15
# (5:7.0.15-1~deb12u10): a primary, two replicas in step with it, three Sentinels with a quorum of 2
# and down-after-milliseconds 2000, nothing killed and nothing slow. One client writes some hundred
# keys a second (ten, on a busy machine) to the node that FAILOVER chose, for as long as that takes
# them. In 3 runs the third node was named 29 to 30 s after FAILOVER, and 3 to 9 of 259 to 356
# writes were lost.
#
#   FAILOVER TO the second: OK
#   ROLE of the second, 5 s later: master
#   ROLE of the first: slave
#   the Sentinels name, 5 s later: the first
#   the Sentinels name, 45 s later: the third
#   ROLE of the third: master
#   ROLE of the second: slave
#   of the writes that the second acknowledged, lost: some
#
# Takes over a minute. Needs apt-get with package lists, and python3; installs nothing: the
# packages are unpacked into a temporary folder. Everything listens on 127.0.0.1, on ports that
# were free.
set -euo pipefail

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
    local port
    port=$(ask "$sentinel" SENTINEL GET-MASTER-ADDR-BY-NAME shop | tail -n 1)
    case $port in
    "$first") echo 'the first' ;;
    "$second") echo 'the second' ;;
    "$third") echo 'the third' ;;
    *) echo "$port" ;;
    esac
}

# To the second, until it takes no more or the time is over.
write() { # SECONDS
    local until=$((SECONDS + $1)) written=0
    while ((SECONDS < until)) && [[ $(ask "$second" SET "order:$written" paid) == OK ]]; do
        written=$((written + 1))
    done
    echo "$written" >"$work/written"
}

look() {
    local began=$SECONDS writer kept
    printf 'FAILOVER TO the second: %s\n' "$(ask "$first" FAILOVER TO 127.0.0.1 "$second")"
    await 10 master role "$second" || true
    write 60 &
    writer=$!
    sleep 5
    printf 'ROLE of the second, 5 s later: %s\n' "$(role "$second")"
    printf 'ROLE of the first: %s\n' "$(role "$first")"
    printf 'the Sentinels name, 5 s later: %s\n' "$(named)"
    await $((began + 45 - SECONDS)) third named || true
    echo "they named another after $((SECONDS - began)) s" >"$work/measured"
    sleep $((began + 45 - SECONDS))
    printf 'the Sentinels name, 45 s later: %s\n' "$(named)"
    printf 'ROLE of the third: %s\n' "$(role "$third")"
    printf 'ROLE of the second: %s\n' "$(role "$second")"
    wait "$writer"
    kept=$(ask "$third" DBSIZE)
    echo "$kept of $(<"$work/written") writes kept" >>"$work/measured"
    echo "of the writes that the second acknowledged, lost: $( ((kept < $(<"$work/written"))) &&
        echo some || echo none)"
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
