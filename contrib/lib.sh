# shellcheck shell=bash
# What contrib/quickstart, contrib/check, contrib/build-deb and tests/debian/run share: messages, Debian packages, the
# build.
# Sourced, not run; the caller has set -euo pipefail.

TREE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
PATH=$PATH:/usr/sbin:/sbin # lighttpd and friends, which Debian keeps out of a user's PATH
readonly TREE

# What the programs are built with and run on.
# shellcheck disable=SC2034 # used by those who source this
readonly PACKAGES=(
    autoconf automake gcc make pkg-config libc6-dev
    libcurl4-openssl-dev libfcgi-dev libhiredis-dev libjansson-dev libsecp256k1-dev libssl-dev
    libwebsockets-dev
    ca-certificates curl libjs-chart.js lighttpd python3 python3-websockets redis-server spawn-fcgi util-linux
)
# And what the unit and integration tests need beside: they watch processes with procps, and look at
# certificates with openssl; node is an HTTP/2 server that answers in frames of any size, and pyte a
# terminal.
# shellcheck disable=SC2034
readonly TEST_PACKAGES=(
    apache2-bin caddy check haproxy iproute2 lighttpd-mod-openssl mount nftables nginx nodejs
    openssl procps python3-cryptography python3-pyte python3-pytest python3-pytest-xdist python3-redis
    redis-tools
)
# Without which the tests of it are skipped: Debian 13 has no h2o.
# shellcheck disable=SC2034
readonly OPTIONAL_TEST_PACKAGES=(h2o)

# What a Debian package is made with.
# shellcheck disable=SC2034
readonly DEB_PACKAGES=(debhelper dpkg-dev fakeroot)

say() {
    printf 'mostro-push: %s\n' "$*"
}

die() {
    printf 'mostro-push: %s\n' "$*" >&2
    exit 1
}

# What root runs to install packages. Debian starts a service as soon as it is installed, unless a
# policy-rc.d says no, which this is for as long as it takes: half a dozen web servers want port 80,
# and who tests wants none of them there.
# shellcheck disable=SC2016 # an inner shell expands it
readonly INSTALL_UNSTARTED='
    policy=/usr/sbin/policy-rc.d
    trap "" INT
    if [ ! -e "$policy" ] && printf "#!/bin/sh\nexit 101\n" >"$policy"; then
        trap "rm -f $policy" EXIT
        chmod 0755 "$policy"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"'

# Installs those of the packages that are missing; says nothing where none is. In the foreground
# and to its end, whatever signal comes: an interrupted dpkg would be left for the user to mend.
# Services among them are not started.
install_packages() {
    command -v dpkg-query >/dev/null || return 0
    local package missing=() as_root=()
    for package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed$' ||
            missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        command -v sudo >/dev/null ||
            die "these packages are missing, and only root can install them: ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    local install=(sh -c "$INSTALL_UNSTARTED" sh "${missing[@]}")
    "${as_root[@]}" "${install[@]}" >/dev/null 2>&1 ||
        { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" "${install[@]}" >/dev/null; } ||
        die "apt-get could not install ${missing[*]}"
}

# Copies what programs and packages are built from to DIR; the files keep their times.
copy_tree() { # DIR
    mkdir -p "$1"
    tar -C "$TREE" --exclude=__pycache__ --exclude='*.[oa]' -cf - \
        .ci .clang-format LICENSE Makefile.am README configure.ac lighttpd.conf.example \
        contrib fcgi listener shared tests |
        tar -C "$1" -xf -
}

# Builds in DIR, with further arguments for configure. The tree itself is left as it is: the build
# works on a copy in DIR/source, so that only what has changed since the last call is built again.
build_programs() {
    local dir=$1 source=$1/source
    shift
    copy_tree "$source"
    if [[ ! -e $source/configure || $source/configure.ac -nt $source/configure ]]; then
        (cd "$source" && autoreconf -i)
    fi
    if [[ ! -e $dir/Makefile || "$*" != "$(cat "$dir/configured-with" 2>/dev/null)" ]]; then
        (cd "$dir" && ./source/configure --quiet "$@")
        printf '%s\n' "$*" >"$dir/configured-with"
    fi
    make -C "$dir" --no-print-directory -j "$(nproc)" all
}
