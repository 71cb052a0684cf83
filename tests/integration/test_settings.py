"""What is said of settings that cannot be used, or may not be what was meant: to who asks with
--check-config, and in the log of a start."""
import itertools

import pytest

from stack import FCGI, LISTENER, wait_until

RELAY = "ws://127.0.0.1:1"


@pytest.fixture
def asked(make_stack):
    """A stack, and what a program says with --check-config in it: its exit status and its words."""
    stack = make_stack(NOSTR_RELAYS=RELAY)
    numbers = itertools.count(1)

    def asks(program, **settings):
        run = stack.start_program(f"asked-{next(numbers)}", [program, "--check-config"], **settings)
        status = run.wait()
        return status, run.output()
    asks.stack = stack
    return asks


both = pytest.mark.parametrize("program", [FCGI, LISTENER], ids=["fcgi", "listener"])


# ---- The file

@both
def test_a_bad_line(asked, program):
    (asked.stack.directory / ".env").write_text("LOG_LEVEL=info\nWAKES_MAX = planted\n")
    assert asked(program) == (2, ".env:2: expected NAME=value, without blanks around =\n")


@both
def test_a_byte_order_mark(asked, program):
    (asked.stack.directory / ".env").write_text("\ufeffWAKES_MAX=x\n")
    assert asked(program) == (
        2, "WAKES_MAX=x: expected a whole number from 2 to 10000000 (wakes)\n")


@both
def test_a_misspelt_name(asked, program):
    """Whoever reads it: the settings are good all the same."""
    (asked.stack.directory / ".env").write_text("# ours\nTOKEN_TTL_HOUR=1\nPATH_TO_X=y\n")
    status, said = asked(program)
    assert status == 0
    assert said.startswith(
        "warning: .env:2: there is no setting TOKEN_TTL_HOUR; did you mean TOKEN_TTL_HOURS?\n")
    assert said.count("warning: ") == 1


# ---- What is good, and warned about

WARNED_OF = {
    "level": ({"LOG_LEVEL": "trace"}, "LOG_LEVEL=trace: counts as debug"),
    "no-end": ({"UNIFIEDPUSH_ALLOWED_HOSTS_REGEX": r"ntfy\.sh"}, "without $ at its end it admits"),
    "no-beginning": ({"UNIFIEDPUSH_ALLOWED_HOSTS_REGEX": r"ntfy\.sh$"},
                     "without ^ at its beginning it admits"),
}


@both
@pytest.mark.parametrize("what", WARNED_OF)
def test_what_may_not_be_meant(asked, program, what):
    settings, says = WARNED_OF[what]
    status, said = asked(program, **settings)
    assert status == 0
    line, = [line for line in said.splitlines() if line.startswith("warning: ")]
    assert says in line


def test_a_start_warns_as_well(make_stack):
    """Both programs, in their logs."""
    stack = make_stack(LOG_LEVEL="trace")
    stack.start_redis()
    stack.start_workers(workers=1)
    stack.spawn_listener([RELAY])
    for program in (stack.workers, stack.listener):
        wait_until(lambda program=program: " warn: startup: LOG_LEVEL=trace: counts as debug\n"
                   in program.output())


# ---- What cannot be used

def test_a_key_in_the_form_of_nostr(asked, tmp_path):
    """NIP-19: as apps show it."""
    key = "nsec1" + "q" * 58
    status, said = asked(LISTENER, NOSTR_AUTH_PRIVATE_KEY=key)
    assert (status, said) == (
        2, "NOSTR_AUTH_PRIVATE_KEY=(not shown): expected 64 hex characters (not nsec1...)\n")
    file = tmp_path / "key"
    file.write_text(key)
    file.chmod(0o600)
    assert asked(FCGI, SERVER_PRIVATE_KEY_FILE=str(file)) == (
        2, f"SERVER_PRIVATE_KEY_FILE={file}: does not hold 64 hex characters (not nsec1...) alone\n")


@both
def test_a_pattern_of_a_shell(asked, program):
    status, said = asked(program, UNIFIEDPUSH_ALLOWED_HOSTS_REGEX="*.ntfy.sh")
    assert (status, said) == (
        2, "UNIFIEDPUSH_ALLOWED_HOSTS_REGEX=*.ntfy.sh: expected POSIX extended regular expression, "
        r"e.g. ^(.*\.)?ntfy\.sh$" "\n")


@both
@pytest.mark.parametrize("url, says", [
    ("unix://run/redis.sock", "a path needs three slashes (unix:///run/redis/redis.sock)"),
    ("/run/redis.sock", "a path is written unix:///run/redis/redis.sock"),
    ("rediss://:planted@host", "TLS is not spoken: use stunnel or WireGuard"),
], ids=["slashes", "path", "tls"])
def test_a_redis_url(asked, program, url, says):
    status, said = asked(program, REDIS_URL=url)
    assert status == 2
    assert said.startswith("REDIS_URL=(not shown): expected ") and said.endswith(f"; {says}\n")
