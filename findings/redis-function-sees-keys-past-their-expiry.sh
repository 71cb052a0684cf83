#!/bin/bash
# Inside a Redis function two clocks run: TIME moves on while keys keep the moment at which the
# function was called. A key whose life ends meanwhile is still there, with a PTTL of 0.
#
# Who builds a limiter or a lock from SET ... NX PX and compares with TIME, which Redis 7 no longer
# freezes in scripts, expects the two to agree: once TIME says that 20 ms have passed, a key of
# 20 ms should be gone, and SET NX should succeed. But Redis looks at expiries by the time at which
# the function began, so that a key cannot vanish between two of its commands. Yet a SET ... PX
# counts from the moment at which it runs, not from that frozen one. So a function that takes long
# (or whose clock is read late) sees a key as held that everybody else sees as gone right after it,
# and the time that TIME gives cannot be compared with PTTL: decide by a moment kept in the value.
#
# Seen on 2026-11-27 with Debian 12's redis-server 7.0.15 (5:7.0.15-1~deb12u10), a function that
# sets a key with PX 20, waits until TIME has moved by 200 ms, and looks at it:
#
#   in the function, 200 ms later: exists 1, pttl 0, SET NX refused
#   right after the function: exists 0
#   a key set after those 200 ms with PX 5000: full life left: yes
#
# Takes a second or two. Needs apt-get with package lists; installs nothing: the packages are
# unpacked into a temporary folder. The server listens on a Unix socket there.
set -euo pipefail

work=$(mktemp -d)
server=
finish() {
    [[ ! $server ]] || kill "$server" 2>/dev/null || true
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

ask() { # COMMAND...
    timeout 5 redis-cli -s "$work/socket" "$@"
}

redis-server --port 0 --unixsocket "$work/socket" --save '' --dir "$work" >"$work/log" &
server=$!
for ((i = 0; i < 100; i++)); do
    [[ $(ask PING 2>&1) != PONG ]] || break
    sleep 0.1
done
ask -x FUNCTION LOAD >/dev/null <<'END'
#!lua name=clocks

local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function pass_ms(ms)
  local began = now_us()
  while now_us() - began < ms * 1000 do end
end

redis.register_function('outlived', function(keys)
  redis.call('SET', keys[1], 'held', 'PX', 20)
  pass_ms(200)
  local exists, pttl = redis.call('EXISTS', keys[1]), redis.call('PTTL', keys[1])
  local again = redis.call('SET', keys[1], 'again', 'NX', 'PX', 20)
  return string.format('exists %d, pttl %d, SET NX %s', exists, pttl, again and 'taken' or 'refused')
end)

redis.register_function('set_late', function(keys)
  pass_ms(200)
  redis.call('SET', keys[1], 'held', 'PX', 5000)
  return redis.call('PTTL', keys[1])
end)
END

inside=$(ask FCALL outlived 1 note)
after=$(ask EXISTS note)
late=$(ask FCALL set_late 1 other)
seen="in the function, 200 ms later: $inside
right after the function: exists $after
a key set after those 200 ms with PX 5000: full life left: $( ((late > 4900)) && echo yes || echo "no, $late ms")"
printf '%s\n' "$seen"

expected='in the function, 200 ms later: exists 1, pttl 0, SET NX refused
right after the function: exists 0
a key set after those 200 ms with PX 5000: full life left: yes'
if [[ $seen != "$expected" ]]; then
    printf 'CHANGED: expected\n%s\n' "$expected"
    exit 1
fi
