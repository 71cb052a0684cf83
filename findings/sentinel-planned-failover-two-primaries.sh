#!/bin/bash
# SENTINEL FAILOVER, with everything healthy, leaves two primaries that both take writes for some
# ten seconds, and what the old one acknowledged in that time is thrown away.
#
# One expects of a planned change of hands, asked for while all are well, that the old primary is
# told first: stop writing, let the replica catch up, hand over. (Redis's own FAILOVER command
# does that.) SENTINEL FAILOVER goes the way of a fail-over after a crash: the Sentinels promote
# the replica, name it to whoever asks, and then leave the old primary as it was. Only when it has
# called itself a primary for long enough do they make it a replica. A client that stays on its
# connection, as clients do as long as commands succeed, gets OK for each write until then; all
# of these writes are gone when the old primary takes over the new one's data. No error came.
#
# So a client of Sentinel has to ask it, or listen to its +switch-master, while all goes well too;
# or the old primary has min-replicas-to-write, or the change is made by FAILOVER.
#
# Seen on 2026-11-27 with Debian 12's redis-server and redis-sentinel 7.0.15
# (5:7.0.15-1~deb12u10): a primary, a replica in step with it, three Sentinels with a quorum of 2
# and down-after-milliseconds 1000, nothing killed and nothing slow. One client writes ten keys a
# second to the old primary; in 3 runs that was made a replica 11 to 12 s after SENTINEL FAILOVER.
#
#   SENTINEL FAILOVER: OK
#   the Sentinel names the other one: within 5 s
#   ROLE of the one it names: master
#   ROLE of the old one, 5 s after that was seen: master
#   writes to the old one that were refused until then: none
#   ROLE of the old one 30 s after SENTINEL FAILOVER: slave
#   of the writes that it acknowledged after the change, kept: none
#
# Takes about 45 s. Needs apt-get with package lists, and python3; installs nothing: the packages
# are unpacked into a temporary folder. Everything listens on 127.0.0.1, on ports that were free.
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
read -r -a ports < <(free_ports 5)
readonly old=${ports[0]} new=${ports[1]} sentinel=${ports[2]}

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
sentinel monitor shop 127.0.0.1 $old 2
sentinel down-after-milliseconds shop 1000
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
    start_redis "$old"
    start_redis "$new" --replicaof 127.0.0.1 "$old"
    await 20 'master_link_status:up' ask "$new" INFO replication || give_up
    for port in "${ports[@]:2}"; do
        start_sentinel "$port"
    done
    # Each Sentinel has to know the replica and the other two.
    for port in "${ports[@]:2}"; do
        await 30 'slaves=1,sentinels=3' ask "$port" INFO sentinel || give_up
    done
}

look() {
    local began=$SECONDS written=0 refused=0 kept until answer
    printf 'SENTINEL FAILOVER: %s\n' "$(ask "$sentinel" SENTINEL FAILOVER shop)"
    await 5 "$new" ask "$sentinel" SENTINEL GET-MASTER-ADDR-BY-NAME shop || return 0
    echo 'the Sentinel names the other one: within 5 s'
    await 5 master role "$new" || true
    printf 'ROLE of the one it names: %s\n' "$(role "$new")"
    until=$((SECONDS + 5))
    while ((SECONDS < until)); do
        answer=$(ask "$old" SET "order:$written" paid)
        [[ $answer == OK ]] || refused=$((refused + 1))
        written=$((written + 1))
        sleep 0.1
    done
    printf 'ROLE of the old one, 5 s after that was seen: %s\n' "$(role "$old")"
    ((refused)) || refused=none
    echo "writes to the old one that were refused until then: $refused"
    await $((began + 30 - SECONDS)) slave role "$old" || true
    echo "became a replica after $((SECONDS - began)) s" >"$work/measured"
    printf 'ROLE of the old one 30 s after SENTINEL FAILOVER: %s\n' "$(role "$old")"
    await 20 'master_link_status:up' ask "$old" INFO replication || true
    kept=$(($(ask "$old" DBSIZE) + $(ask "$new" DBSIZE)))
    echo "of the writes that it acknowledged after the change, kept: $( ((kept)) &&
        echo "$kept" || echo none)"
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
