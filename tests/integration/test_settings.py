"""What is said of settings that cannot be used, or may not be what was meant: to who asks with
--check-config, and in the log of a start."""
import itertools
import subprocess

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


@both
def test_a_secret_that_others_can_read(asked, program):
    """The quick start's ./.env as an editor makes it: refused only for what it sets."""
    file = asked.stack.directory / ".env"
    file.write_text(f"SERVER_PRIVATE_KEY={'11' * 31}aa\n")
    file.chmod(0o644)
    assert asked(program) == (
        2, ".env: it sets SERVER_PRIVATE_KEY and can be read by others: chmod 600 .env\n")
    file.chmod(0o600)
    assert asked(program)[0] == 0
    file.write_text("TOKEN_TTL_HOURS=3\n")
    file.chmod(0o644)
    assert asked(program)[0] == 0


# ---- What is good, and warned about

WARNED_OF = {
    "life": ({"TOKEN_TTL_HOURS": "719"}, "TOKEN_TTL_HOURS=719: the app registers a trade once and "
             "keeps it for 720 h, so that late wakes would be lost: take it out"),
    "level": ({"LOG_LEVEL": "trace"}, "LOG_LEVEL=trace: counts as debug"),
    "no-end": ({"UNIFIEDPUSH_ALLOWED_HOSTS_REGEX": r"ntfy\.sh"}, r"ntfy\.sh does ntfy.sh.evil.example: e.g. ^(.*\.)?ntfy\.sh$"),
    "no-beginning": ({"UNIFIEDPUSH_ALLOWED_HOSTS_REGEX": r"ntfy\.sh$"},
                     r"ntfy\.sh$ does evil-ntfy.sh: e.g. ^(.*\.)?ntfy\.sh$"),
}


@both
@pytest.mark.parametrize("what", WARNED_OF)
def test_what_may_not_be_meant(asked, program, what):
    settings, says = WARNED_OF[what]
    status, said = asked(program, **settings)
    assert status == 0
    line, = [line for line in said.splitlines() if line.startswith("warning: ")]
    assert says in line


def warnings_in(said):
    return [line.removeprefix("warning: ") for line in said.splitlines()
            if line.startswith("warning: ")]


@pytest.mark.parametrize("array", ["[]", None], ids=["empty", "built-in"])
def test_a_whitelist_that_is_on_and_empty(asked, tmp_path, array):
    settings = {"TRUSTED_WHITELIST_ENABLED": "true"}
    if array:
        file = tmp_path / "whitelist.json"
        file.write_text(array)
        settings["TRUSTED_MOSTRO_PUBKEYS_FILE"] = str(file)
    status, said = asked(FCGI, **settings)
    assert status == 0
    assert warnings_in(said) == ([
        "TRUSTED_WHITELIST_ENABLED is true, but the whitelist is empty, so that every Mostro "
        "instance is trusted"] if array else [])


@pytest.mark.parametrize("fcm, why", [
    ({"FCM_ENABLED": "false"}, "FCM_ENABLED is false"),
    ({"FCM_ENABLED": "true"}, "FIREBASE_SERVICE_ACCOUNT_PATH is not set"),
], ids=["off", "no-account"])
def test_nothing_will_be_pushed(asked, fcm, why):
    assert warnings_in(asked(LISTENER, UNIFIEDPUSH_ENABLED="true", **fcm)[1]) == []
    status, said = asked(LISTENER, UNIFIEDPUSH_ENABLED="false", **fcm)
    assert status == 0
    assert warnings_in(said) == [
        f"nothing will be pushed: UNIFIEDPUSH_ENABLED is false, and FCM is off: {why}"]


def test_a_relay_that_is_named_twice(asked):
    """With a slash at the end or without."""
    status, said = asked(LISTENER, NOSTR_RELAYS="wss://a.example,wss://b.example,wss://a.example/")
    assert status == 0
    assert warnings_in(said) == [
        "relay wss://a.example: named more than once in NOSTR_RELAYS, and followed once"]


@pytest.mark.parametrize("kinds, is_warned_of", [("4", True), ("4,14", False), ("1059", False)])
def test_kinds_that_wake_for_no_trade(asked, kinds, is_warned_of):
    status, said = asked(LISTENER, NOSTR_EVENT_KINDS=kinds)
    assert status == 0
    assert warnings_in(said) == [
        "NOSTR_EVENT_KINDS has neither 1059 nor 14: no trade is woken for, and /api/ready answers "
        "503"] * is_warned_of


def test_a_start_warns_as_well(make_stack):
    """Both programs, in their logs."""
    stack = make_stack(LOG_LEVEL="trace", TOKEN_TTL_HOURS="719")
    stack.start_redis()
    stack.start_workers(workers=1)
    stack.spawn_listener([RELAY])
    for program in (stack.workers, stack.listener):
        for warning in ("LOG_LEVEL=trace: counts as debug\n", "TOKEN_TTL_HOURS=719: "):
            wait_until(lambda program=program, warning=warning: f" warn: startup: {warning}"
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


def test_where_an_endpoint_file_would_be(make_stack, relay):
    """Its whole path: where the listener was started is what the operator may have got wrong."""
    stack = make_stack(UNIFIEDPUSH_ENDPOINTS_FILE="file/endpoints.json")
    (stack.directory / "file").write_text("no folder")
    stack.start_redis()
    stack.start_listener(relay)
    wait_until(lambda: f"endpoint file: cannot be written ({stack.directory}/file/endpoints.json): Not "
               "a directory" in stack.listener.output())


# ---- What the settings make of a program

SECRETS = {
    "REDIS_URL": "redis://planted-user:planted-password@127.0.0.1:1/3",
    "SERVER_PRIVATE_KEY": "11" * 31 + "aa",
    "NOSTR_AUTH_PRIVATE_KEY": "22" * 31 + "aa",
    "NOSTR_RELAYS": "wss://a.example/planted-path?planted=query,wss://b.example",
    "VAPID_SUBJECT": "mailto:planted@example.org",
    "REDIS_PREFIX": "other:",
    "TOKEN_TTL_HOURS": "740",
    "NOTIFY_RATE_PER_PUBKEY_PER_MIN": "31",
}
OF_WORKERS = """\
version         VERSION
notify          31 a minute of one pubkey
                120 a minute of one address
register        120 a minute of one address
                2000 new pubkeys a day of one address
registrations   1000000 at most
                for 740 h
addresses       of X-Forwarded-For
tokens          in the clear or encrypted
whitelist       off
UnifiedPush     hosts that UNIFIEDPUSH_ALLOWED_HOSTS_REGEX admits, private ones and http, too
Redis           redis://127.0.0.1:1/3, keys other:*
"""
OF_A_LISTENER = """\
version         VERSION
name            listener-1
relays          wss://a.example/[...]
                wss://b.example
kinds           1059
                14
authentication  with the key that is set
FCM             project mostro-test
UnifiedPush     any host
                not signed
endpoint file   FOLDER/data/endpoints.json
limits          31 wakes a minute of one pubkey
                500 events a second of one relay
                500000 wakes waiting
                200 pushes at once
registrations   for 740 h
Redis           redis://127.0.0.1:1/3, keys other:*
"""


def version():
    said = subprocess.run([FCGI, "--version"], capture_output=True, check=True, text=True).stdout
    return said.split()[-1]


def check_log(program, summary):
    """A start says the same, in up to five lines."""
    def lines():
        return [line.split(" info: startup: ")[1] for line in program.output().splitlines()
                if " info: startup: " in line]
    wait_until(lambda: any(line.startswith("Redis: ") for line in lines()))
    assert len(lines()) <= 5
    topic = ""
    for item in summary.splitlines():
        topic = item[:16].strip() or topic
        assert any(f"{topic}: " in line and item[16:] in line for line in lines()), item


def test_what_workers_are_to_do(asked):
    status, said = asked(FCGI, **SECRETS, NOTIFY_TRUST_PROXY_HEADERS="X-Forwarded-For",
                         UNIFIEDPUSH_ALLOWED_HOSTS_REGEX="^planted$",
                         UNIFIEDPUSH_ALLOW_PRIVATE="true")
    assert (status, said) == (0, OF_WORKERS.replace("VERSION", version()))


def test_what_a_listener_is_to_do(asked, google_settings):
    status, said = asked(LISTENER, **{
        **google_settings, **SECRETS, "UNIFIEDPUSH_ALLOW_PRIVATE": "false",
        "UNIFIEDPUSH_ENDPOINTS_FILE": "data/endpoints.json"})
    assert (status, said) == (0, OF_A_LISTENER.replace("VERSION", version()).replace(
        "FOLDER", str(asked.stack.directory)))


def test_a_start_says_the_same(asked):
    stack = asked.stack
    stack.start_redis()
    stack.start_workers(workers=1)
    stack.spawn_listener([RELAY])
    for running, program in ((stack.workers, FCGI), (stack.listener, LISTENER)):
        check_log(running, asked(program)[1])
