#!/bin/bash
# Two Redis servers end up as replicas of each other, and three Sentinels that see it, agree that
# the primary is down and call the quorum good make neither a primary again.
#
# A primary without persistence must not come back empty as a primary, or its replica copies the
# emptiness; that is well known. So it seems prudent to start it always as a replica of the other
# one, and to leave it to Sentinel whom it promotes. But when it is back before the Sentinels have
# noticed, it is the replica of a replica that waits for it: the other one still holds all the
# data, and neither takes a write. The Sentinels go on naming the old primary, which answers
# READONLY. Some twenty seconds later they call it down, because it says that it is a replica.
# They elect a leader, and each try ends with "-failover-abort-no-good-slave": by then the only
# replica has been without its primary for too long to be good. So it stays, while
# SENTINEL CKQUORUM says OK. (With down-after-milliseconds 5000 the replica was still good at the
# first try, and was made the primary between 20 and 35 s after the restart, in one run.)
#
# Seen on 2026-11-27 with Debian 12's redis-server and redis-sentinel 7.0.15
# (5:7.0.15-1~deb12u10): a primary, a replica in step with it, three Sentinels with a quorum of 2,
# down-after-milliseconds 1000 and failover-timeout 10000. The primary gets SIGKILL and is started
# at once, on the same port, with --replicaof the other one. Watched for 120 s in one run, for 60
# s in others:
#
#   after 5 s: old slave without note, other slave with note, 3 Sentinels name the old one
#   after 60 s: old slave without note, other slave with note, 3 Sentinels name the old one
#   Sentinels that call it down: 3, whose CKQUORUM is OK: 3
#   SET at the one they name: READONLY
#   the fail-overs' end in the Sentinels' logs: -failover-abort-no-good-slave
#
# Takes about 75 s. Needs apt-get with package lists, and python3; installs nothing: the packages
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
readonly old=${ports[0]} new=${ports[1]}

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

# The role of the server on PORT, and whether it has the key.
state() { # PORT
    printf '%s %s note' "$(role "$1")" \
        "$([[ $(ask "$1" EXISTS note) == 1 ]] && echo with || echo without)"
}

# How many Sentinels answer a command with something that has the words.
sentinels() { # WORDS COMMAND...
    local count=0 port
    for port in "${ports[@]:2}"; do
        [[ $(ask "$port" "${@:2}") != *"$1"* ]] || count=$((count + 1))
    done
    echo "$count"
}

both() { # SECONDS
    echo "after $1 s: old $(state "$old"), other $(state "$new"), $(sentinels "$old" \
        SENTINEL GET-MASTER-ADDR-BY-NAME shop) Sentinels name the old one"
}

look() {
    ask "$old" SET note kept >"$work/set"
    await 10 1 ask "$new" EXISTS note
    kill -KILL "${started[0]}"
    wait "${started[0]}" 2>/dev/null || true
    start_redis "$old" --replicaof 127.0.0.1 "$new"
    sleep 5
    both 5
    sleep 55
    both 60
    echo "Sentinels that call it down: $(sentinels o_down SENTINEL MASTER shop)," \
        "whose CKQUORUM is OK: $(sentinels 'OK 3' SENTINEL CKQUORUM shop)"
    echo "SET at the one they name: $(ask "$old" SET note new | cut -d ' ' -f 1)"
    echo "the fail-overs' end in the Sentinels' logs: $(cat "${ports[@]/#/$work/log.}" |
        grep -oE -e '[-+]failover-(abort|end)[a-z-]*|[+]switch-master' | sort -u | paste -s -d ' ')"
}
set_up
look >"$work/seen"

cat "$work/seen"
# The indented lines of this file's header are what is expected.
if ! diff <(sed -n 's/^#   //p' "$0") "$work/seen" >"$work/differs"; then
    echo "CHANGED: not what this file's header tells (<); seen now (>):"
    cat "$work/differs"
    exit 1
fi
echo 'as told'
