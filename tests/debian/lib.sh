# shellcheck shell=bash
# What tests/debian/run and tests/debian/servers share. Sourced after contrib/lib.sh.

# Where apt has this machine's Debian from.
mirror() {
    local uri
    uri=$(mirror_known)
    if [[ ! $uri ]]; then
        apt-get update -qq
        uri=$(mirror_known)
    fi
    [[ $uri ]] || die 'apt knows no mirror of Debian'
    printf '%s' "$uri"
}

mirror_known() {
    # shellcheck disable=SC2016 # apt knows it
    apt-get indextargets --format '$(REPO_URI)' \
        'Origin: Debian' 'Label: Debian' 'Component: main' 'Identifier: Packages' | head -n 1
}

# How apt gets there: proxies, certificates, what it checks.
apt_settings() {
    apt-config dump | grep -E '^Acquire::' | grep -vE '^Acquire::(IndexTargets|cdrom|Changelogs)'
}
