#!/bin/bash
# Valkey 8.1 keeps the arguments and the sender's address of large commands, and of commands with
# large answers, even where the slow log has been turned off.
#
# Who wants no trace of what clients sent turns the slow log off, as on Redis: slowlog-log-slower-than
# -1 and slowlog-max-len 0. Valkey 8.1 has made one of three kinds of a COMMANDLOG of it. The other
# two, large-request and large-reply, have settings of their own, are on from the start, and take
# any command of more than 1 MiB with up to 32 arguments, each cut to 128 bytes: keys are shorter
# than that. They are gone when commandlog-large-request-max-len and
# commandlog-large-reply-max-len are 0. A redis.conf that is used for both servers cannot say so,
# for Redis refuses to start with a name that it does not know.
#
# Seen on 2026-11-27 with Debian 13's valkey-server 8.1.1 (8.1.1+dfsg1-3+deb13u3), the slow log off:
#
#   SLOWLOG LEN: 0
#   kept as a large request: SET note:of-somebody, an address: yes
#   kept as a large reply: GET note:of-somebody, an address: yes
#   with both lengths 0, after the same two commands: 0 and 0
#
# Takes about 20 s, of which most is spent on the package lists. Needs apt-get with Debian's
# keyring; installs nothing: the packages, Debian 13's C library among them, are unpacked into a
# temporary folder. The server listens on 127.0.0.1, on a port that was free.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [[ ! $server ]] || kill "$server" 2>/dev/null || true
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
fetch valkey-server=8.1.1+dfsg1-3+deb13u3 valkey-tools=8.1.1+dfsg1-3+deb13u3 libc6 libssl3t64 \
    libsystemd0 libjemalloc2 liblzf1 libatomic1 libcap2 libgcc-s1

port=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
ask() { # COMMAND...
    "${run[@]}" "$work/root/usr/bin/valkey-cli" -p "$port" "$@"
}

"${run[@]}" "$work/root/usr/bin/valkey-server" --bind 127.0.0.1 --port "$port" --save '' \
    --dir "$work" --slowlog-log-slower-than -1 --slowlog-max-len 0 >"$work/log" &
server=$!
for ((i = 0; i < 100; i++)); do
    [[ $(ask PING 2>&1) != PONG ]] || break
    sleep 0.1
done

large_commands() {
    head -c 1100000 /dev/zero | tr '\0' x | ask -x SET note:of-somebody >/dev/null
    ask GET note:of-somebody >/dev/null
}

# The first two arguments of the newest entry, and whether it names who sent it.
kept() { # KIND
    ask COMMANDLOG GET 1 "$1" >"$work/kept"
    printf '%s, an address: %s' "$(sed -n '4,5p' "$work/kept" | paste -s -d ' ')" \
        "$(grep -q '^127\.0\.0\.1:' "$work/kept" && echo yes || echo no)"
}

large_commands
seen="SLOWLOG LEN: $(ask SLOWLOG LEN)
kept as a large request: $(kept large-request)
kept as a large reply: $(kept large-reply)"
ask CONFIG SET commandlog-large-request-max-len 0 commandlog-large-reply-max-len 0 >/dev/null
ask COMMANDLOG RESET large-request >/dev/null
ask COMMANDLOG RESET large-reply >/dev/null
large_commands
seen+="
with both lengths 0, after the same two commands: $(ask COMMANDLOG LEN large-request) and $(
    ask COMMANDLOG LEN large-reply)"
printf '%s\n' "$seen"

expected='SLOWLOG LEN: 0
kept as a large request: SET note:of-somebody, an address: yes
kept as a large reply: GET note:of-somebody, an address: yes
with both lengths 0, after the same two commands: 0 and 0'
if [[ $seen != "$expected" ]]; then
    printf 'CHANGED: expected\n%s\n' "$expected"
    exit 1
fi
