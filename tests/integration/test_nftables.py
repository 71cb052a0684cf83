"""contrib/nftables.conf.example in a network namespace: how many connections an address may have, and
who may connect to what leads to the operator's socket."""
import os
import shutil
import subprocess
import sys

import pytest

from web_servers import TOP

EXAMPLE = TOP / "contrib/nftables.conf.example"
NFT = shutil.which("nft", path=os.environ["PATH"] + ":/usr/sbin:/sbin")

# As root of the namespace: tells how many of 210 connections each client gets, whether one that
# closes makes room, and which users reach port 9091.
SCRIPT = """
import os, socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
for _ in range(2):  # again, as a reload does
    subprocess.run([sys.argv[1], "-f", sys.argv[2]], check=True)

def listen(host, port):
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host
                                else socket.AF_INET, backlog=1000)

servers = listen("127.0.0.1", 443), listen("::1", 8080), listen("127.0.0.1", 9091)

def connect(client, host, port, n):
    made = []
    for _ in range(n):
        try:
            made.append(socket.create_connection((host, port), 5, (client, 0)))
        except ConnectionRefusedError:
            pass
    return made

first = connect("127.0.0.5", "127.0.0.1", 443, 210)
other = connect("127.0.0.6", "127.0.0.1", 443, 210)
six = connect("::1", "::1", 8080, 210)
print(len(first), len(other), len(six))
for connection in first[:10]:
    accepted = servers[0].accept()[0]
    connection.close()
    assert accepted.recv(1) == b""
    accepted.close()
print(len(connect("127.0.0.5", "127.0.0.1", 443, 20)))
for uid in (0, 65534):
    if os.fork() == 0:
        os.setuid(uid)
        os._exit(0 if connect("127.0.0.1", "127.0.0.1", 9091, 1) else 1)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def may_try():
    return os.geteuid() == 0 and NFT and subprocess.run(
        ["unshare", "-n", NFT, "list", "ruleset"], check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not may_try(), reason="needs nft and a network namespace")
def test_connections_an_address_and_who_gets_metrics():
    done = subprocess.run(["unshare", "-n", sys.executable, "-c", SCRIPT, NFT, EXAMPLE],
                          check=False, capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["200", "200", "200", "10", "0", "1"], "")
