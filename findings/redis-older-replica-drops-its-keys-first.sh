#!/bin/bash
# A Redis that is made a replica of a newer one, whose data it cannot read, throws its own data away
# before it finds that out, and stays empty.
#
# REPLICAOF is answered OK at once. The newer primary streams its data in an RDB format that the
# older server does not know, "Can't handle RDB format version 12", which it can tell from the first
# nine bytes. But by then it has flushed what it had, so a mistaken direction in an upgrade, or a
# step back, costs the data of the node that was to be kept; and since it asks for a full
# synchronisation again and again, the primary goes on forking for it. Where the replica loads
# without a file and beside its old data (repl-diskless-load swapdb) it refuses the same stream, and
# keeps its keys. It is the program's age that counts, not that of the data: the other direction, a
# newer replica of an older primary, works, and is the one for an upgrade.
#
# Seen on 2026-11-27 with redis-server 7.0.15 (Debian 12, 5:7.0.15-1~deb12u10) as the replica, with
# two keys of its own, of redis-server 8.0.2 (Debian 13, 5:8.0.2-3+deb13u3):
#
#   by default: REPLICAOF: OK, then 0 of 2 keys left, link down
#   with repl-diskless-load swapdb: REPLICAOF: OK, then 2 of 2 keys left, link down
#   8.0 as a replica of 7.0: REPLICAOF: OK, then the primary's 1 key, link up
#
# Takes about half a minute, much of it for the package lists. Needs apt-get with package lists of
# Debian 12 and Debian's keyring; installs nothing: the packages, Debian 13's C library among them,
# are unpacked into a temporary folder. The servers listen on 127.0.0.1, on ports that were free.
set -euo pipefail

work=$(mktemp -d)
servers=()
finish() {
    ((${#servers[@]} == 0)) || kill "${servers[@]}" 2>/dev/null || true
    wait
    rm -rf -- "$work"
}
trap finish EXIT

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
    (cd "$work" && "${apt[@]}" update && "${apt[@]}" download "$@") || {
        echo "could not be run: Debian does not offer these packages: $*" >&2
        exit 2
    }
    for package in "$work"/*.deb; do
        dpkg-deb -x "$package" "$work/root"
    done
    loader=$(find "$work/root" -name 'ld-linux*.so.*' -print -quit)
    run=("$loader" --library-path "$(echo "$work"/root/usr/lib/*-linux-gnu)")
}
fetch redis-server=5:8.0.2-3+deb13u3 redis-tools=5:8.0.2-3+deb13u3 libc6 libssl3t64 libsystemd0 \
    libjemalloc2 liblzf1 libatomic1 libcap2 libgcc-s1 libstdc++6

(mkdir "$work/old" && cd "$work/old" && apt-get -qq -o APT::Sandbox::User=root download \
    redis-server=5:7.0.15-1~deb12u10 redis-tools=5:7.0.15-1~deb12u10 libjemalloc2 liblzf1 \
    libatomic1) || {
    echo 'could not be run: Debian does not offer redis-server 7.0.15' >&2
    exit 2
}
for package in "$work"/old/*.deb; do
    dpkg-deb -x "$package" "$work/old/root"
done
old_libraries=$(echo "$work"/old/root/usr/lib/*-linux-gnu)

start() { # VERSION PORT OPTION...
    local options=(--bind 127.0.0.1 --port "$2" --save '' --dir "$work" --dbfilename "dump.$2"
        --repl-diskless-sync-delay 0)
    if [[ $1 == old ]]; then
        LD_LIBRARY_PATH=$old_libraries "$work/old/root/usr/bin/redis-server" \
            "${options[@]}" "${@:3}" >"$work/log.$2" &
    else
        "${run[@]}" "$work/root/usr/bin/redis-server" "${options[@]}" "${@:3}" >"$work/log.$2" &
    fi
    servers+=($!)
    await 20 PONG ask "$2" PING || {
        echo 'could not be run: a server did not start' >&2
        exit 2
    }
}

ask() { # PORT COMMAND...
    LD_LIBRARY_PATH=$old_libraries timeout 5 "$work/old/root/usr/bin/redis-cli" -p "$@" 2>&1
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

link() { # PORT
    ask "$1" INFO replication | sed -n 's/^master_link_status:\([a-z]*\).*/\1/p'
}

mapfile -t ports < <(python3 - <<'END'
import socket

held = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
for each in held:
    print(each.getsockname()[1])
END
)
start new "${ports[0]}"
start old "${ports[1]}"
start old "${ports[2]}" --repl-diskless-load swapdb
start old "${ports[3]}"
start new "${ports[4]}"
ask "${ports[0]}" SET theirs 1 >/dev/null
ask "${ports[3]}" SET theirs 1 >/dev/null
for port in "${ports[1]}" "${ports[2]}"; do
    ask "$port" MSET mine 1 mine-too 2 >/dev/null
done

refused_by() { # PORT
    grep -c "Can't handle RDB format version" "$work/log.$1"
}

replica() { # PORT
    local answer
    answer=$(ask "$1" REPLICAOF 127.0.0.1 "${ports[0]}")
    for ((i = 0; i < 200; i++)); do
        [[ $(refused_by "$1") == 0 ]] || break
        sleep 0.1
    done
    echo "REPLICAOF: $answer, then $(ask "$1" DBSIZE) of 2 keys left, link $(link "$1")"
}

newer() {
    local answer
    answer=$(ask "${ports[4]}" REPLICAOF 127.0.0.1 "${ports[3]}")
    await 20 up link "${ports[4]}" || true
    echo "REPLICAOF: $answer, then the primary's $(ask "${ports[4]}" DBSIZE) key, link $(
        link "${ports[4]}")"
}

seen="by default: $(replica "${ports[1]}")
with repl-diskless-load swapdb: $(replica "${ports[2]}")
8.0 as a replica of 7.0: $(newer)"
printf '%s\n' "$seen"

expected="by default: REPLICAOF: OK, then 0 of 2 keys left, link down
with repl-diskless-load swapdb: REPLICAOF: OK, then 2 of 2 keys left, link down
8.0 as a replica of 7.0: REPLICAOF: OK, then the primary's 1 key, link up"
if [[ $seen != "$expected" ]]; then
    printf 'CHANGED: expected\n%s\n' "$expected"
    exit 1
fi
