"""machines: a few machines of their own on one machine: network namespaces with a TUN device each,
and a process that passes packets between them after a delay, or does not where one is cut off. What
is outside, tests and their programs, reaches them like another machine. Wants root and
/dev/net/tun; the kernel's own delays (tc netem) are not everywhere.

    python3 machines.py N     that process; Machines(N) starts it and tells it what to do"""
import array
import collections
import ctypes
import errno
import fcntl
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time

TUN = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_LARGEST_PACKET = 65536
_OUTSIDE = 254  # its address; machine n has n


def may_try():
    """Whether this user and this kernel can have machines."""
    return os.geteuid() == 0 and os.path.exists(TUN) and subprocess.run(
        ["unshare", "-n", "true"], check=False, capture_output=True).returncode == 0


class Machines:
    """`count` machines, numbered from 1. All is gone when close() returns, or its process dies."""

    def __init__(self, count):
        self._hub = subprocess.Popen([sys.executable, __file__, str(count)], text=True, bufsize=1,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ready = self._hub.stdout.readline().split()
        if not ready:
            raise OSError("no machines: see above")
        self._network, self._pids = ready[0], ready[1:]

    def address(self, machine):
        return f"{self._network}.{machine}"

    def inside(self, machine):
        """The words before a command that is to run there."""
        return ["nsenter", f"--net=/proc/{self._pids[machine - 1]}/ns/net", "--"]

    def delay(self, milliseconds):
        """Of every packet from now on, one way."""
        self._tell(f"delay {milliseconds}")

    def cut(self, machine):
        """Nothing reaches it or comes from it, silently; what is on its way is lost."""
        self._tell(f"cut {machine}")

    def join(self, machine):
        self._tell(f"join {machine}")

    def close(self):
        self._hub.stdin.close()
        self._hub.stdout.close()
        self._hub.wait()

    def _tell(self, order):
        self._hub.stdin.write(f"{order}\n")
        if not self._hub.stdout.readline():
            raise OSError("the machines are gone")


def _tun(address):
    """A descriptor of a new device with this address, in the present namespace."""
    tun = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    asked = struct.pack("16sH14x", b"", _IFF_TUN | _IFF_NO_PI)
    name = fcntl.ioctl(tun, _TUNSETIFF, asked)[:16].rstrip(b"\0").decode()
    for words in (["addr", "add", f"{address}/24", "dev", name], ["link", "set", name, "up"]):
        subprocess.run(["ip", *words], check=True)
    return tun


def _machine(address):
    """(process id, descriptor): a process in a namespace of its own, which lives as long as this
    one, and the namespace's device."""
    here, there = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if libc.unshare(_CLONE_NEWNET) != 0:
            os._exit(1)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        tun = array.array("i", [_tun(address)])
        there.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, tun)])
        while True:
            signal.pause()
    there.close()
    _, rights, _, _ = here.recvmsg(1, socket.CMSG_LEN(4))
    here.close()
    return pid, struct.unpack("i", rights[0][2])[0]


def _free_network():
    """The first three numbers of a network that nobody here uses."""
    while True:
        network = f"10.{random.randrange(128, 256)}.{random.randrange(256)}"
        if not subprocess.run(["ip", "route", "show", f"{network}.0/24"], check=True,
                              capture_output=True).stdout:
            return network


class _Hub:
    def __init__(self, devices):
        self._devices = devices  # number -> descriptor
        self._cut = set()
        self._delay = 0
        self._under_way = collections.deque()  # (when due, from, to, packet)

    def run(self):
        """Until nobody tells it anything any more."""
        numbers = {device: number for number, device in self._devices.items()}
        while True:
            readable = select.select([0, *numbers], [], [], self._next_in())[0]
            for device in readable:
                if device == 0:
                    if not self._obey(sys.stdin.readline().split()):
                        return
                else:
                    self._take(numbers[device], device)
            self._deliver()

    def _obey(self, words):
        if not words:
            return False
        if words[0] == "delay":
            self._delay = float(words[1]) / 1000
        elif words[0] == "cut":
            self._cut.add(int(words[1]))
        else:
            self._cut.discard(int(words[1]))
        print("done", flush=True)
        return True

    def _take(self, source, device):
        due = time.monotonic() + self._delay
        try:
            while True:
                packet = os.read(device, _LARGEST_PACKET)
                # IPv4; the last byte of its destination is the machine's number.
                if packet[0] >> 4 == 4:
                    self._under_way.append((due, source, packet[19], packet))
        except BlockingIOError:
            pass

    def _next_in(self):
        return max(0, self._under_way[0][0] - time.monotonic()) if self._under_way else None

    def _deliver(self):
        now = time.monotonic()
        while self._under_way and self._under_way[0][0] <= now:
            _, source, destination, packet = self._under_way.popleft()
            if source in self._cut or destination in self._cut:
                continue
            try:
                if destination in self._devices:
                    os.write(self._devices[destination], packet)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EIO):  # full, or down: lost, as it may be
                    raise


def main(count):
    network = _free_network()
    machines = [_machine(f"{network}.{n}") for n in range(1, count + 1)]
    devices = {n: tun for n, (_, tun) in enumerate(machines, 1)}
    devices[_OUTSIDE] = _tun(f"{network}.{_OUTSIDE}")
    print(network, *(pid for pid, _ in machines), flush=True)
    _Hub(devices).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
