"""--check-config --live: a line for each thing of the world that a program needs, exit status 0
where all is well, and what to do where something is not."""
import contextlib
import itertools
import json
import os
import re

import pytest

from google import BAD_MESSAGE, NO_PERMISSION, UNAUTHENTICATED, UNAVAILABLE
from loopback import HOST, Port
from relay import Auth, Relay
from stack import FCGI, LISTENER, wait_for_append_only_file
from web_servers import TOP

USERS = (TOP / "contrib/users.acl.example").read_text()
OURS = re.search(r"(?m)^user mostro-push reset on \S+ (.*)", USERS)[1]
KINDS = "kinds 1059, 14"


@pytest.fixture
def looks(make_stack, tmp_path):
    """A stack with Redis, and what a program says with --live in it: its exit status, and its lines
    of the world by their topics."""
    stack = make_stack(UNIFIEDPUSH_ENDPOINTS_FILE=str(tmp_path / "endpoints.json"))
    stack.start_redis()
    if stack.redis.config_get("commandlog-large-request-max-len"):
        stack.redis.config_set("commandlog-large-request-max-len", 0)
        stack.redis.config_set("commandlog-large-reply-max-len", 0)
    numbers = itertools.count(1)

    def look(program=FCGI, options=("--check-config", "--live"), **settings):
        run = stack.start_program(f"look-{next(numbers)}", [program, *options],
                                  **{"NOSTR_RELAYS": "ws://127.0.0.1:1", **settings})
        status, said = run.wait(60), run.output()
        lines = re.findall(r"(?m)^(ok|BAD) +(.*?): (.*)$", said)
        assert (status == 0) == all(verdict == "ok" for verdict, _, _ in lines), said
        assert status in (0, 1), said
        look.said = said
        return {what: (verdict, text) for verdict, what, text in lines}
    look.stack = stack
    return look


both = pytest.mark.parametrize("program", [FCGI, LISTENER], ids=["fcgi", "listener"])


def bad_of(lines, *but):
    return {what: text for what, (verdict, text) in lines.items() if verdict == "BAD"
            and what not in but}


def test_all_is_well(looks, relay, google_settings):
    """And says so of each thing, without a trace."""
    lines = looks(FCGI)
    assert list(lines) == ["Redis", "Redis's memory", "Redis's logs", "Redis's ACL"]
    assert not bad_of(lines)
    assert " a primary that keeps nothing on disk" in lines["Redis"][1]
    lines = looks(LISTENER, NOSTR_RELAYS=f"{relay.url},{relay.url}/", **google_settings)
    assert list(lines) == ["Redis", "Redis's memory", "Redis's logs", "Redis's ACL",
                           f"relay {relay.url}", "CA certificates", "FCM", "endpoint file"]
    assert not bad_of(lines)
    assert looks.stack.redis.keys() == []
    assert not looks.stack.redis.function_list()
    relay.wait_until(lambda _: relay.connections == 0)
    assert relay.accepted == 1
    assert not os.path.exists(looks.stack.settings["UNIFIEDPUSH_ENDPOINTS_FILE"])
    assert ("asked as root" in looks.said) == (os.geteuid() == 0)


# ---- Redis

@both
def test_no_redis(looks, program):
    looks.stack.redis_server.kill()
    lines = looks(program)
    verdict, text = lines["Redis"]
    assert verdict == "BAD" and text.endswith(" cannot be used: Connection refused")
    assert not any(what.startswith("Redis's") for what in lines)
    assert looks.said.count("cannot be used") == 1


@pytest.mark.parametrize("change, says", [
    (("save", "60 1"), 'it persists to disk: set save ""'),
    (("appendonly", "yes"), "it persists to disk: set appendonly no"),
], ids=["save", "appendonly"])
def test_a_redis_that_persists(looks, change, says):
    looks.stack.redis.config_set(*change)
    wait_for_append_only_file(looks.stack.redis)
    assert looks()["Redis"][1].endswith(f" cannot be used: {says}")
    lines = looks(REDIS_ALLOW_PERSISTENCE="true")
    assert lines["Redis"][0] == "ok" and lines["Redis"][1].endswith(" a primary")


def test_a_replica(looks):
    nobody = Port()
    looks.stack.redis.replicaof(HOST, nobody.number)
    assert looks()["Redis"][1].endswith(
        " cannot be used: it is a read-only replica: point REDIS_URL at the primary")
    nobody.close()


def test_a_redis_that_evicts(looks):
    looks.stack.redis.config_set("maxmemory-policy", "allkeys-lru")
    assert bad_of(looks()) == {"Redis's memory": "it may evict registrations: set maxmemory-policy "
                                                 "noeviction (it is allkeys-lru)"}


def test_a_redis_that_is_full(looks):
    looks.stack.redis.config_set("maxmemory", "1")
    assert bad_of(looks()) == {"Redis's memory": "its maxmemory is reached: raise it"}


def test_a_slow_log(looks):
    config = looks.stack.redis.config_set
    config("slowlog-max-len", 10)
    assert not bad_of(looks())  # nothing is slow enough
    config("slowlog-log-slower-than", 10000)
    assert bad_of(looks())["Redis's logs"].endswith(
        "set slowlog-log-slower-than -1 and slowlog-max-len 0")
    config("slowlog-max-len", 0)
    assert not bad_of(looks())


@pytest.mark.parametrize("what", ["request", "reply"])
def test_valkeys_own_log(looks, what):
    if not looks.stack.redis.config_get("commandlog-large-request-max-len"):
        pytest.skip("this is no Valkey that has one")
    looks.stack.redis.config_set(f"commandlog-large-{what}-max-len", 1)
    assert bad_of(looks())["Redis's logs"].endswith(
        "set commandlog-large-request-max-len 0 and commandlog-large-reply-max-len 0")


def test_an_acl_that_lacks_anything(looks):
    """Each command that users.acl.example grants is looked for; with all of them all is well."""
    grants = [word for word in OURS.split() if word.startswith("+")]

    def allow(words):
        looks.stack.redis.execute_command("ACL", "SETUSER", "mostro-push", "reset", "on", ">secret",
                                          "~mostro:*", "-@all", *words)
    port = Port()  # HOST's: on all addresses anybody's connection could be in the way
    looks.stack.redis.config_set("bind", HOST)
    looks.stack.redis.config_set("port", port.number)
    url = f"redis://mostro-push:secret@{HOST}:{port.number}"
    allow(grants)
    assert not bad_of(looks(REDIS_URL=url))
    assert "secret" not in looks.said
    at_once = {"+role": "hides whether it is a primary", "+config|get": "CONFIG GET is not allowed",
               "+set": "its ACL lacks +set"}
    for grant in grants:
        allow(word for word in grants if word != grant)
        bad = bad_of(looks(REDIS_URL=url))
        if grant in at_once:
            assert at_once[grant] in bad["Redis"], grant
        else:
            assert bad == {
                "Redis's ACL": f"it lacks {grant}: compare users.acl.example"}, grant
    assert not looks.stack.redis.keys()


def test_an_acl_of_another_prefix(looks):
    looks.stack.redis.execute_command("ACL", "SETUSER", "default", "resetkeys", "~other:*")
    assert bad_of(looks()) == {"Redis": f"{looks.stack.socket} cannot be used: its ACL lacks "
                                        "~mostro:* (compare users.acl.example)"}
    looks.stack.redis.execute_command("ACL", "SETUSER", "default", "resetkeys", "%W~mostro:*")
    assert bad_of(looks()) == {"Redis's ACL": "it lacks ~mostro:*: compare users.acl.example"}


def test_what_each_sentinel_says(make_replicated):
    """One that is away is told of, though the others do."""
    stack = make_replicated({"nodes": 2, "sentinels": 2})

    def look(name, **settings):
        run = stack.start_program(name, [FCGI, "--check-config", "--live"], **settings)
        return run.wait(60), re.findall(r"(?m)^(ok|BAD) +Sentinel (.*?:\d+): (.*)$", run.output())
    primary = f"{stack.service.nodes[0].host}:{stack.service.nodes[0].port}"
    status, said = look("well")
    assert [(verdict, text) for verdict, _, text in said] == [
        ("ok", f"it names {primary}, with 1 replicas")] * 2
    stack.service.sentinels[1].kill()
    status, said = look("away")
    assert status == 1
    assert [verdict for verdict, _, _ in said] == ["ok", "BAD"]
    assert said[1][2].startswith("no connection: ")
    status, said = look("password", REDIS_SENTINEL_PASSWORD="planted")
    assert said[0][0] == "BAD" and "planted" not in said[0][2]


# ---- Relays

def of_relay(looks, relay, **settings):
    url = relay if isinstance(relay, str) else relay.url
    return looks(LISTENER, NOSTR_RELAYS=url, **settings)[f"relay {url}"]


def test_a_relay_that_is_not_there(looks):
    with contextlib.closing(Port()) as nobody:
        verdict, text = of_relay(looks, f"ws://{HOST}:{nobody.number}")
    assert verdict == "BAD" and text.startswith("cannot be reached: ")


def test_relays_side_by_side(looks, relay):
    """Each has its line, in the order of the settings."""
    with contextlib.closing(Port()) as nobody, Relay() as other:
        urls = [relay.url, f"ws://{HOST}:{nobody.number}", other.url]
        lines = looks(LISTENER, NOSTR_RELAYS=",".join(urls))
    assert [what for what in lines if what.startswith("relay")] == [f"relay {url}" for url in urls]
    assert [lines[f"relay {url}"][0] for url in urls] == ["ok", "BAD", "ok"]


def test_a_certificate_that_is_not_trusted(looks, certificate, authority):
    with Relay(0, *certificate) as relay:
        verdict, text = of_relay(looks, relay)
        assert verdict == "BAD"
        assert text == "cannot be reached: unable to get local issuer certificate"
        assert of_relay(looks, relay, TLS_CA_FILE=str(authority.certificate))[0] == "ok"


def test_what_is_no_relay(looks, google, google_settings):
    """An HTTP server that refuses the upgrade."""
    verdict, text = of_relay(looks, google.url.replace("https", "wss"),
                             TLS_CA_FILE=google_settings["TLS_CA_FILE"])
    assert verdict == "BAD"
    assert text == "cannot be reached: it refused the upgrade with HTTP status 404"


@pytest.mark.parametrize("when", ["connect", "req"])
def test_a_relay_that_wants_authentication(looks, when):
    """Which a key of ours gives it."""
    with Relay(auth=Auth(when=when)) as relay:
        verdict, text = of_relay(looks, relay)
    assert verdict == "ok" and KINDS in text and ", authenticated: " in text


def test_a_relay_that_admits_others_alone(looks):
    with Relay(auth=Auth(admits=frozenset())) as relay:
        verdict, text = of_relay(looks, relay)
    assert verdict == "BAD"
    assert text == ("refuses kind 1059 (restricted: you are not a member): have it admit a key, "
                    "for NOSTR_AUTH_PRIVATE_KEY, or name another relay")


def test_a_relay_that_rejects_our_key(looks):
    with Relay(auth=Auth(admits=frozenset(), turns_away=True)) as relay:
        verdict, text = of_relay(looks, relay)
    assert verdict == "BAD"
    assert text.endswith("and our AUTH (restricted: you are not a member): it does not admit our "
                         "key: have it admit one, for NOSTR_AUTH_PRIVATE_KEY")


def test_a_relay_that_closes_subscriptions(looks, relay):
    relay.refuse_reqs("error: planted words", times=9)
    assert of_relay(looks, relay) == ("BAD", "refuses kind 1059 (error: planted words)")


# ---- Google

TOPIC = "mostro-push-look"


@pytest.fixture
def of_google(looks, relay, google_settings):
    def look(**settings):
        return looks(LISTENER, NOSTR_RELAYS=relay.url, **{**google_settings, **settings})["FCM"]
    look.stack = looks.stack
    return look


def test_what_fcm_answers(of_google, google):
    assert of_google() == ("ok", "gives access tokens, and takes our messages for project "
                                 "mostro-test")
    assert [message["topic"] for message in google.validated] == [TOPIC]
    assert google.messages == []
    google.answer(TOPIC, [NO_PERMISSION, UNAUTHENTICATED, UNAVAILABLE, BAD_MESSAGE])
    assert of_google() == (
        "BAD", "the service account may not send in project mostro-test: switch its Firebase Cloud "
               "Messaging API (V1) on, and grant the account the role Firebase Cloud Messaging API "
               "Admin")
    assert of_google()[1].startswith("does not take its own access token: ")
    assert of_google() == ("BAD", "answered 503 to a message that is only to be validated")
    assert of_google() == ("BAD", "answered 400 to a message that is only to be validated")
    assert of_google(FIREBASE_PROJECT_ID="another") == (
        "BAD", "there is no project another for this account: set FIREBASE_PROJECT_ID to its own")


def test_no_access_token(of_google, google, tmp_path):
    google.answer_oauth([503])
    assert of_google() == ("BAD", "the token endpoint answered 503, internal_failure")
    account = json.loads(google.service_account.read_text())
    account["client_email"] = "gone@example.com"
    file = tmp_path / "gone.json"
    file.write_text(json.dumps(account))
    file.chmod(0o600)
    verdict, text = of_google(FIREBASE_SERVICE_ACCOUNT_PATH=str(file))
    assert verdict == "BAD"
    assert text.startswith("the token endpoint answered 400, invalid_grant: this host's clock is")
    verdict, text = of_google(FIREBASE_SERVICE_ACCOUNT_PATH=str(tmp_path))
    assert verdict == "BAD" and text.startswith("it is off: FIREBASE_SERVICE_ACCOUNT_PATH=")
    assert of_google(FCM_ENABLED="false") == ("ok", "off: FCM_ENABLED is false")


def test_google_is_not_reached(of_google, google):
    with contextlib.closing(Port()) as nobody:
        verdict, text = of_google(FCM_ENDPOINT=f"https://{HOST}:{nobody.number}")
        assert (verdict, text) == (
            "BAD", f"https://{HOST}:{nobody.number} cannot be reached: see that this machine may "
                   "go there")
    google.close()
    assert of_google() == ("BAD", "the token endpoint cannot be reached")


# ---- The endpoint file

def of_file(looks, path):
    return looks(LISTENER, UNIFIEDPUSH_ENDPOINTS_FILE=str(path))["endpoint file"]


def test_where_the_endpoint_file_can_be(looks, tmp_path):
    path = tmp_path / "folder/endpoints.json"
    assert of_file(looks, path) == ("ok", f"{path} can be made, with its folder")
    path.parent.mkdir()
    assert of_file(looks, path) == ("ok", f"{path} can be written")
    path.write_text("{}")
    assert of_file(looks, path) == ("ok", f"{path} can be written")
    assert [each.name for each in path.parent.iterdir()] == ["endpoints.json"]


def test_where_the_endpoint_file_cannot_be(looks, tmp_path):
    path = tmp_path / "no/folder/endpoints.json"
    assert of_file(looks, path) == (
        "BAD", f"{path} cannot be written: make its folder, for the program's own user")
    (tmp_path / "file").write_text("")
    path = tmp_path / "file/endpoints.json"
    verdict, text = of_file(looks, path)
    assert verdict == "BAD" and text.startswith(f"{path} cannot be written: Not a directory; chown")
    assert "endpoint file" not in looks(LISTENER, UNIFIEDPUSH_ENDPOINTS_FILE="off")


def test_only_beside_check_config(looks):
    for program in (FCGI, LISTENER):
        run = looks.stack.start_program(f"alone-{program.name}", [program, "--live"])
        assert run.wait() == 2
        assert run.output() == f"{program.name}: --live: only with --check-config\n"
