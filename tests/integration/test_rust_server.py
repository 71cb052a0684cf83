"""An operator who comes from the server in Rust: names, values and forms of its settings file and
its endpoint file are those of that server's own examples (MostroP2P/mostro-push-server)."""
import json
import re
import socket
import uuid

import pytest

import nostr
from stack import FCGI, LISTENER, wait_until

# Without these the stack would say something in the environment, which wins over the file.
FROM_THE_FILE = {name: "" for name in (
    "FCM_ENABLED", "LISTENER_NAME", "LOG_LEVEL", "UNIFIEDPUSH_ENDPOINTS_FILE")}
WITHOUT_EFFECT = {"RATE_LIMIT_PER_MINUTE", "BATCH_DELAY_MS", "COOLDOWN_MS",
                  "NOTIFY_RATE_LIMIT_CLEANUP_INTERVAL_SECS", "NOTIFY_PUBKEY_LIMITER_SOFT_CAP"}
DOTENV = """\
# Relays to listen to
NOSTR_RELAYS={relay}

TRUSTED_WHITELIST_ENABLED=false

# openssl rand -hex 32
SERVER_PRIVATE_KEY={key}

# Optional, for FCM
FIREBASE_PROJECT_ID=mostro-test
FIREBASE_SERVICE_ACCOUNT_PATH=/path/to/service-account.json

UNIFIEDPUSH_ENABLED=true

FCM_ENABLED=true

SERVER_HOST=0.0.0.0
SERVER_PORT=8080

# In hours
TOKEN_TTL_HOURS=48
CLEANUP_INTERVAL_HOURS=1

RATE_LIMIT_PER_MINUTE=60
BATCH_DELAY_MS=5000
COOLDOWN_MS=60000

NOTIFY_RATE_PER_PUBKEY_PER_MIN=30
NOTIFY_RATE_PER_IP_PER_MIN=120
NOTIFY_RATE_LIMIT_CLEANUP_INTERVAL_SECS=60
NOTIFY_PUBKEY_LIMITER_SOFT_CAP=100000
NOTIFY_TRUST_PROXY_HEADERS=false

RUST_LOG={log}
"""


def endpoint_file(*urls):
    """Pretty-printed, under names that are the server's own, with dates as chrono writes them."""
    return json.dumps({name: {"device_id": name, "endpoint_url": url,
                              "registered_at": "2026-10-31T23:59:58.123456789Z"}
                       for url in urls for name in [str(uuid.uuid4())]}, indent=2)


@pytest.fixture
def moved(make_stack, relay, phone):
    """A stack in whose folder that server has left its files, the phone's endpoint in one. What
    is needed beside them is in the environment."""
    stack = make_stack(**FROM_THE_FILE, UNIFIEDPUSH_ALLOW_PRIVATE="true")
    dotenv = stack.directory / ".env"
    dotenv.write_text(DOTENV.format(relay=relay.url, key="", log="info"))
    (stack.directory / "data").mkdir()
    stack.left = phone.endpoint()
    (stack.directory / "data/unifiedpush_endpoints.json").write_text(endpoint_file(stack.left))
    return stack


def test_its_settings_and_its_endpoints(moved, relay, phone, pubkey):
    """Workers, a listener and the main job, from nothing but these two files and Redis."""
    moved.start_redis()
    moved.start_api()
    moved.listener = moved.start_program("listener", [LISTENER])
    moved.wait_for_heartbeat(socket.gethostname())

    # The phone of the endpoint file is asked to register anew.
    assert phone.url + phone.next_push().path == moved.left
    device = phone.endpoint()
    assert moved.register(pubkey, device).status == 200
    assert 0 < moved.redis.ttl(f"mostro:token:{pubkey}") <= 48 * 3600 + 300
    relay.wait_for_req(2)
    relay.publish(nostr.gift_wrap(pubkey))
    assert phone.url + phone.next_push().path == device

    def kept():
        text = (moved.directory / "data/unifiedpush_endpoints.json").read_text()
        return {record["endpoint_url"] for record in json.loads(text).values()}
    wait_until(lambda: kept() == {moved.left, device}, what="the file holds both endpoints")

    said = moved.listener.output()
    told = re.search("settings that have no effect: (.*)", said)[1].split(", ")
    assert set(told) == WITHOUT_EFFECT
    assert "FCM: off: FIREBASE_SERVICE_ACCOUNT_PATH=/path/to/service-account.json: there is" in said
    for said in (said, moved.workers.output()):
        assert "there is no setting" not in said
        assert " debug: " not in said


def checked(stack, program):
    run = stack.start_program(f"checked-{program.name}", [program, "--check-config"])
    return run.wait(), run.output()


@pytest.mark.parametrize("program", [FCGI, LISTENER], ids=["fcgi", "listener"])
def test_its_life_of_a_registration(moved, program):
    """It is as that server's example has it, and too short for the app: good, and warned of."""
    status, said = checked(moved, program)
    assert status == 0
    warning, = [line for line in said.splitlines() if "TOKEN_TTL_HOURS" in line]
    assert warning.startswith("warning: TOKEN_TTL_HOURS=48: ")


def test_its_key(moved):
    """OPERATING: mode 0600 where there is one."""
    dotenv = moved.directory / ".env"
    dotenv.write_text(dotenv.read_text().replace("KEY=\n", f"KEY={'17' * 32}\n"))
    dotenv.chmod(0o644)
    assert checked(moved, FCGI) == (
        2, ".env: it sets SERVER_PRIVATE_KEY and can be read by others: chmod 600 .env\n")
    dotenv.chmod(0o600)
    assert checked(moved, FCGI)[0] == 0
    moved.start_redis()
    moved.start_api(workers=1)
    assert json.loads(moved.get("/api/info").body)["encryption_enabled"] is True


@pytest.mark.parametrize("level,debug", [("mostro_push_backend=debug,actix_web=info", False),
                                         ("debug,actix_web=info", True)])
def test_its_log_level(moved, level, debug):
    """A level for some of that server's modules says nothing about these programs."""
    dotenv = moved.directory / ".env"
    dotenv.write_text(dotenv.read_text().replace("RUST_LOG=info", f"RUST_LOG={level}"))
    assert checked(moved, LISTENER)[0] == 0
    moved.start_redis()
    moved.start_api(workers=1)
    moved.notify(nostr.new_pubkey())
    wait_until(lambda: moved.wakes_added() == 1)
    moved.workers.stop()
    assert (" debug: " in moved.workers.output()) is debug
