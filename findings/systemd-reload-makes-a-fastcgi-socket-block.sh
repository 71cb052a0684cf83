#!/bin/bash
# `systemctl reload` makes the listening socket of running FastCGI workers block, whatever the command
# of the reload is.
#
# A FastCGI responder finds its listening socket at descriptor 0, and a unit gives it there with
# StandardInput=socket. Several workers on one socket want it non-blocking: all of them are woken for a
# connection that one of them gets, and the others must not sleep in accept(2) then. So each sets
# O_NONBLOCK when it starts, and one expects that this stays. But the flag belongs to the socket and
# not to the process, and systemd runs the command of ExecReload= with the same standard input: to
# hand it over it takes O_NONBLOCK away, from everybody. The next worker that loses the race sleeps,
# with the connections that it has, until somebody connects; with few clients that can be long, and
# it does not see its SIGTERM meanwhile. NonBlocking=yes is for descriptors that are passed from
# number 3 on, and changes nothing here.
#
# A time-out of the socket's own (SO_RCVTIMEO, socket(7)), which accept(2) keeps to, is not undone.
#
# Seen on 2026-11-28 with Debian 12's systemd 252.39-1~deb12u2, booted in a root of its own: a socket
# unit, a service that sets O_NONBLOCK once and then looks, NonBlocking=yes, and ExecReload=/bin/true.
#
#   when the service has set it: O_NONBLOCK
#   after a reload: blocking
#
# Takes less than a minute. Needs root, apt-get with package lists, perl, python3 and control groups
# (v2); installs nothing: packages are unpacked into a temporary folder, and systemd has processes,
# mounts, a network and control groups of its own.
set -euo pipefail

work=$(mktemp -d)
chmod 0755 "$work"
group=
boot=
finish() {
    [[ ! $boot ]] || { kill -KILL "$boot" && wait "$boot"; } 2>/dev/null || true
    for _ in {1..100}; do
        [[ $group && -e $group ]] || break
        find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
        sleep 0.1
    done
    umount "$work/groups" 2>/dev/null || true
    rm -rf --one-file-system -- "$work"
}
trap finish EXIT

cannot() { # WHY
    echo "could not be run: $1" >&2
    exit 2
}
((EUID == 0)) || cannot 'only root can boot a root'

(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download mmdebstrap) ||
    cannot 'Debian does not offer mmdebstrap'
dpkg-deb -x "$work"/mmdebstrap_*.deb "$work/tools"
perl "$work/tools/usr/bin/mmdebstrap" --quiet --mode=root --variant=essential --format=directory \
    --aptopt='APT::Sandbox::User "root"' --include=systemd,python3-minimal \
    bookworm "$work/root" >"$work/mmdebstrap.log" 2>&1 ||
    cannot "no root of Debian 12: $(tail -n 2 "$work/mmdebstrap.log")"
version=$(dpkg-query --admindir="$work/root/var/lib/dpkg" -W -f '${Version}' systemd)

cat >"$work/root/etc/systemd/system/worker.socket" <<'END'
[Socket]
ListenStream=/run/worker.sock
END
cat >"$work/root/etc/systemd/system/worker.service" <<'END'
[Service]
StandardInput=socket
StandardOutput=append:/run/seen
NonBlocking=yes
ExecStart=/usr/bin/python3 -u /worker.py
ExecReload=/bin/true
END
cat >"$work/root/worker.py" <<'END'
import fcntl, os, time

flags = fcntl.fcntl(0, fcntl.F_GETFL)
fcntl.fcntl(0, fcntl.F_SETFL, flags | os.O_NONBLOCK)
while True:
    print("O_NONBLOCK" if fcntl.fcntl(0, fcntl.F_GETFL) & os.O_NONBLOCK else "blocking")
    time.sleep(0.1)
END

# systemd wants to be the first process of a machine whose / is mounted.
# shellcheck disable=SC2016 # the inner shell expands it
become_init='
    mount --make-rprivate /
    mount --rbind "$0" "$0"
    cd "$0"
    mount -t proc proc proc
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs -o mode=0755 tmpfs run
    mount -t tmpfs -o mode=0755 tmpfs dev
    for device in null zero random urandom; do
        touch "dev/$device"
        mount --bind "/dev/$device" "dev/$device"
    done
    pivot_root . mnt
    cd /
    exec chroot . sh -ec "umount -l /mnt
        exec env -i container=other PATH=/usr/sbin:/usr/bin \
            /lib/systemd/systemd --log-target=null --unit=basic.target"'
mkdir "$work/groups"
mount -t cgroup2 cgroup2 "$work/groups" || cannot 'there are no control groups of version 2'
group=$work/groups$(sed -n 's/^0:://p' /proc/self/cgroup)/finding.$$
mkdir "$group"
(
    echo "$BASHPID" >"$group/cgroup.procs"
    exec unshare --mount --pid --fork --kill-child --cgroup --uts --ipc --net \
        sh -ec "$become_init" "$work/root"
) </dev/null >/dev/null 2>&1 &
boot=$!

inside() { # COMMAND...
    local init
    init=$(cat "/proc/$boot/task/$boot/children") && [[ $init ]] &&
        nsenter --target "${init% }" --mount --pid --uts --ipc --net --cgroup --root \
            env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
is_up() {
    [[ $(inside systemctl is-system-running 2>/dev/null || true) =~ ^(running|degraded)$ ]]
}
for _ in {1..600}; do
    ! is_up || break
    sleep 0.1
done
is_up || cannot 'systemd does not start here'

look() { inside tail -n 1 /run/seen; }
inside systemctl start worker.socket worker.service
sleep 2
at_first=$(look)
inside systemctl reload worker.service
sleep 1
afterwards=$(look)

seen="when the service has set it: $at_first
after a reload: $afterwards"
echo "systemd $version"
echo "$seen"
expected='when the service has set it: O_NONBLOCK
after a reload: blocking'
if [[ $seen != "$expected" ]]; then
    echo 'CHANGED: a reload leaves the listening socket as the workers have set it'
    exit 1
fi
