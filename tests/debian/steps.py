"""What the tests of an installed machine do again and again, and where the package has what."""
import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

ETC = pathlib.Path("/etc/mostro-push")
ENV = ETC / "env"
EXAMPLES = pathlib.Path("/usr/share/doc/mostro-push/examples")
STATE = pathlib.Path("/var/lib/mostro-push")
OPERATOR = "/run/mostro-push/operator/http.sock"
SOCKET, WORKERS = "mostro-push-fcgi.socket", "mostro-push-fcgi.service"
LISTENER = "mostro-push-listener@1.service"
URL = "http://127.0.0.1:8080"


def wait_until(condition, what, seconds=20):
    deadline, is_over = time.monotonic() + seconds, False
    while not condition():
        assert not is_over, f"in vain: {what}"
        time.sleep(0.02)
        is_over = time.monotonic() > deadline


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done
    return done.stdout


def show(unit, name):
    return run("systemctl", "show", "--value", "--property", name, unit).strip()


def name_of(process):
    try:
        return pathlib.Path("/proc", process, "comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has ended


def processes(unit, name):
    """Of a unit, those of this program."""
    group = pathlib.Path("/sys/fs/cgroup" + show(unit, "ControlGroup"))
    return [process for process in (group / "cgroup.procs").read_text().split()
            if name_of(process) == name[:15]]


def check_nothing_reaches_a_disk(unit, server):
    """Of what this unit's server has in its memory."""
    assert show(unit, "MemorySwapMax") == "0"
    found = processes(unit, server)
    assert found
    for process in found:
        limits = pathlib.Path("/proc", process, "limits").read_text()
        assert re.search(r"(?m)^Max core file size +0 +0 ", limits), limits


def set_in(text, values):
    """The text of a file of settings, with each in the place of the line that is there for it."""
    for name, value in values.items():
        text, n = re.subn(rf"(?m)^#?{name}=.*$", lambda _: f"{name}={value}", text)
        assert n == 1, name
    return text


def set_up(**values):
    ENV.write_text(set_in(ENV.read_text(), values))


@contextlib.contextmanager
def settings(**values):
    """The package's settings with these, until it is left."""
    before = ENV.read_text()
    set_up(**values)
    try:
        yield
    finally:
        ENV.write_text(before)


def answer(path):
    try:
        with urllib.request.urlopen(URL + path, timeout=10) as found:
            return found.status, found.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return repr(error), ""


def registered():
    status, body = answer("/api/status")
    assert status == 200, (status, body)
    return json.loads(body)["tokens"]["total"]


@contextlib.contextmanager
def web_server(name):
    """Its example in the place of Debian's configuration."""
    # nginx's example says so: it does not start beside one that is left.
    pathlib.Path(OPERATOR).unlink(missing_ok=True)
    shutil.copy(EXAMPLES / f"{name}.conf.example", f"/etc/{name}/{name}.conf")
    # It is started more often here than systemd admits within ten seconds.
    subprocess.run(["systemctl", "reset-failed", name], capture_output=True)
    run("systemctl", "restart", name)
    try:
        wait_until(lambda: answer("/api/health")[0] == 200, "the API answers")
        yield
    finally:
        run("systemctl", "stop", name)
