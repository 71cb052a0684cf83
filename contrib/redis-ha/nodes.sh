# shellcheck shell=bash
# What redis-start and switch share: their settings, and what nodes and Sentinels say.
# Sourced, not run; the caller has set -euo pipefail.

readonly ANSWER_SECONDS=2 # of one node or Sentinel

say() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
    say "$*"
    exit 1
}

# The lines REDIS_NAME=VALUE of a file, as systemd reads them; nothing in them is run.
read_file() { # FILE
    local line value
    while IFS= read -r line || [[ $line ]]; do
        [[ $line =~ ^(REDIS_[A-Z_]+)=(.*)$ ]] || continue
        value=${BASH_REMATCH[2]}
        [[ ! $value =~ ^\"(.*)\"$ ]] || value=${BASH_REMATCH[1]}
        printf -v "${line%%=*}" '%s' "$value"
    done <"$1"
}

# From the environment; where REDIS_NODE is not there, from the file of this machine's store.
# shellcheck disable=SC2034 # arrays for the caller
read_settings() {
    local file=/etc/redis/node.env
    if [[ ! ${REDIS_NODE:-} ]]; then
        [[ -e $file || ! -e /etc/valkey/node.env ]] || file=/etc/valkey/node.env
        [[ -r $file ]] || die "REDIS_NODE is not set, and $file cannot be read"
        read_file "$file"
    fi
    : "${REDIS_NODE:?}" "${REDIS_NODES:?}" "${REDIS_SERVICE:=mostro}" "${REDIS_SENTINELS=}"
    : "${REDIS_NODE_PASSWORD=}" "${REDIS_SENTINEL_PASSWORD=}"
    IFS=, read -ra nodes <<<"$REDIS_NODES"
    IFS=, read -ra sentinels <<<"$REDIS_SENTINELS"
    local each found=false
    for each in "$REDIS_NODE" "${nodes[@]}" "${sentinels[@]}"; do
        [[ $each =~ ^.+:[1-9][0-9]{0,4}$ ]] || die "$each is not HOST:PORT"
    done
    for each in "${nodes[@]}"; do
        [[ $each != "$REDIS_NODE" ]] || found=true
    done
    $found || die "REDIS_NODE, $REDIS_NODE, is not in REDIS_NODES, $REDIS_NODES"
    command -v redis-cli >/dev/null || command -v valkey-cli >/dev/null ||
        die 'there is no redis-cli: install redis-tools'
}

# What redis-cli prints, an error's text among it, and nothing where no answer came in time.
# Passwords are in the environment, where other users cannot read them.
ask() { # HOST:PORT USER PASSWORD COMMAND...
    local host=${1%:*} port=${1##*:} user=$2 password=$3 program=redis-cli words=()
    shift 3
    command -v "$program" >/dev/null || program=valkey-cli
    host=${host#[} host=${host%]}
    [[ ! $user ]] || words+=(--user "$user")
    REDISCLI_AUTH=$password timeout "$ANSWER_SECONDS" "$program" -h "$host" -p "$port" \
        "${words[@]}" --no-auth-warning "$@" 2>&1 </dev/null | tr -d '\r' || true
}

ask_node() { # HOST:PORT COMMAND...
    local node=$1
    shift
    ask "$node" sentinel "$REDIS_NODE_PASSWORD" "$@"
}

ask_sentinel() { # HOST:PORT COMMAND...
    local sentinel=$1
    shift
    ask "$sentinel" '' "$REDIS_SENTINEL_PASSWORD" "$@"
}

is_refusal() { # TEXT
    [[ $1 == *NOAUTH* || $1 == *WRONGPASS* || $1 == NOPERM* ]]
}

# The value of `field:value` in INFO's text.
field() { # FIELD TEXT
    sed -n "s/^$1://p" <<<"$2"
}

# The value after a line that is the field's name, in a Sentinel's text.
field_after() { # FIELD TEXT
    awk -v field="$1" 'found { print; exit } $0 == field { found = 1 }' <<<"$2"
}

keys_in() { # TEXT of INFO
    sed -n 's/^db[0-9]*:keys=\([0-9]*\),.*/\1/p' <<<"$1" | awk '{ sum += $1 } END { print sum + 0 }'
}

# Sets `answering` to how many Sentinels answer and `named` to the node that they name, by the newest
# of their configurations, or to nothing where none knows the service; `refusal` to what one says
# who does not take the password.
# shellcheck disable=SC2034 # for the caller
ask_sentinels() {
    local sentinel text epoch newest=-1
    answering=0 named='' refusal=''
    for sentinel in "${sentinels[@]}"; do
        text=$(ask_sentinel "$sentinel" SENTINEL MASTER "$REDIS_SERVICE")
        epoch=$(field_after config-epoch "$text")
        if [[ $epoch =~ ^[0-9]+$ ]]; then
            answering=$((answering + 1))
            if ((epoch > newest)); then
                newest=$epoch
                named=$(field_after ip "$text"):$(field_after port "$text")
            fi
        elif [[ $text == *'No such master'* ]]; then
            answering=$((answering + 1))
        elif is_refusal "$text"; then
            refusal="Sentinel $sentinel refuses REDIS_SENTINEL_PASSWORD"
        fi
    done
}

# Fewer may not have heard of a fail-over.
is_majority() {
    ((answering * 2 > ${#sentinels[@]}))
}
