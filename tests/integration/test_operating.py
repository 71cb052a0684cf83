"""Commands of OPERATING that belong to no other file's tests, run as they are written there."""
import re
import subprocess
import textwrap

from raw_http import ACCEPTED
from web_servers import TOP

OPERATING = (TOP / "contrib/OPERATING").read_text()


def command(section, begins):
    """The one command of a section that begins so, with its further lines."""
    text = OPERATING.partition(f"\n{section}\n---")[2].partition("\n---")[0]
    found, = re.findall(rf"(?m)^ +{begins} (?:.*\\\n)*.*", text)
    return textwrap.dedent(found)


def test_a_wake_for_dispute_chat(live, phone, pubkey, device):
    """By a shell and curl, as an admin's tool has to ask for it."""
    asked = command("Dispute chat", "curl").replace("<64 hex digits>", pubkey)
    asked = asked.replace("https://push.example.org", f"http://{live.host}:{live.http_port}")
    done = subprocess.run(["sh", "-c", asked], check=True, capture_output=True, text=True)
    assert done.stdout == ACCEPTED
    assert phone.url + phone.next_push().path == device


def test_copies_of_a_certificate(tmp_path):
    """That a web server's group may read; by an owner's own group here, since not all are root."""
    live = tmp_path / "live"
    live.mkdir()
    for name in ("fullchain.pem", "privkey.pem"):
        (live / name).write_text(name)
    for begins in ("install -d", "install -m"):
        text = command("Renewing the certificate", begins)
        text = text.replace("-g www-data", "").replace("/etc/lighttpd/tls", str(tmp_path / "tls"))
        text = text.replace("/etc/letsencrypt/live/push.example.org", str(live))
        subprocess.run(["sh", "-c", text], check=True)
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o750
    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "tls").iterdir()} == {
        "fullchain.pem": 0o640, "privkey.pem": 0o640}
