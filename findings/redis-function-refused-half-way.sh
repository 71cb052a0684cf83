#!/bin/bash
# A Redis Function whose user lacks one of its commands does the first half of its work.
#
# One expects that a Redis Function, which nothing can interrupt, is also done wholly or not at
# all, and that a user without the permission is told NOPERM. Neither holds. FCALL looks only at
# whether the user may call functions and may touch the keys that are named in the call. Each
# command inside is looked at when its turn comes, so what was written before the refused one
# stays written, and the answer begins with ERR, as for any mistake in the function's own code. A
# client that tells "not allowed" by the word NOPERM does not see it.
# The same two commands in MULTI are refused as they are queued, and nothing is written.
# The same goes for a key: one that the function names by itself, instead of taking it from KEYS,
# is looked at only when a command uses it.
#
# So a user who may call a function needs every command in it: try the whole function as that
# user, and not only a first call. And writes that must not be alone should come after a check.
#
# Seen on 2026-11-27 with Debian 12's redis-server 5:7.0.15-1~deb12u10. The function sell does
# DECRBY stock, then SET sales; clerk may do DECRBY, but not SET; porter may do both, but only on
# the key stock, and sell_here is sell with the key sales written in its code:
#
#   stock 10, sales -
#   clerk: SET sales: NOPERM
#   clerk: MULTI, DECRBY stock, SET sales, EXEC: OK QUEUED NOPERM EXECABORT
#   stock 10, sales -
#   clerk: FCALL sell: ERR
#   stock 7, sales -
#   porter: FCALL sell, sales among its keys: NOPERM
#   stock 7, sales -
#   porter: FCALL sell_here: ERR
#   stock 4, sales -
#
# Takes a few seconds. Needs apt-get with package lists; installs nothing: the packages are
# unpacked into a temporary folder. Redis listens on a Unix socket there.
set -euo pipefail

work=$(mktemp -d)
redis=
finish() {
    [[ ! $redis ]] || kill "$redis" 2>/dev/null || true
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

redis-server --port 0 --unixsocket "$work/redis.sock" --save '' --dir "$work" >"$work/log" &
redis=$!
for ((i = 0; i < 100; i++)); do
    [[ ! -S $work/redis.sock ]] || break
    sleep 0.1
done

as() { # USER COMMAND...
    redis-cli -s "$work/redis.sock" --no-auth-warning --user "$1" --pass none "${@:2}"
}

# The first word of each answer.
words() {
    awk 'NF { printf "%s%s", sep, $1; sep = " " } END { print "" }'
}

stock() {
    as default MGET stock sales | awk '{ v[NR] = $1 == "" ? "-" : $1 }
        END { printf "stock %s, sales %s\n", v[1], v[2] }'
}

set_up() {
    as default SET stock 10
    as default FUNCTION LOAD "#!lua name=shop
        redis.register_function('sell', function(keys, args)
            redis.call('DECRBY', keys[1], args[1])
            redis.call('SET', keys[2], args[1])
            return 'sold'
        end)
        redis.register_function('sell_here', function(keys, args)
            redis.call('DECRBY', keys[1], args[1])
            redis.call('SET', 'sales', args[1])
            return 'sold'
        end)"
    as default ACL SETUSER clerk on nopass '~*' +fcall +multi +exec +decrby
    as default ACL SETUSER porter on nopass '~stock' +fcall +decrby +set
}
set_up >"$work/setup"

look() {
    stock
    printf 'clerk: SET sales: %s\n' "$(as clerk SET sales 3 | words)"
    printf 'clerk: MULTI, DECRBY stock, SET sales, EXEC: %s\n' \
        "$(printf '%s\n' MULTI 'DECRBY stock 3' 'SET sales 3' EXEC | as clerk | words)"
    stock
    printf 'clerk: FCALL sell: %s\n' "$(as clerk FCALL sell 2 stock sales 3 | words)"
    stock
    printf 'porter: FCALL sell, sales among its keys: %s\n' \
        "$(as porter FCALL sell 2 stock sales 3 | words)"
    stock
    printf 'porter: FCALL sell_here: %s\n' "$(as porter FCALL sell_here 1 stock 3 | words)"
    stock
}
look >"$work/seen"

cat "$work/seen"
# The indented lines of this file's header are what is expected.
if ! diff <(sed -n 's/^#   //p' "$0") "$work/seen" >"$work/differs"; then
    echo "CHANGED: not what this file's header tells (<); seen now (>):"
    cat "$work/differs"
    exit 1
fi
echo 'as told'
