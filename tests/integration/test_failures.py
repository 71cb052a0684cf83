"""What happens when the others fail: Redis, a relay, a push backend, the listener itself."""
import array
import concurrent.futures
import contextlib
import fcntl
import os
import queue
import signal
import socket
import statistics
import termios
import threading
import time

import pytest

import fastcgi
import google as fcm
import nostr
import phone as phones
from loopback import HOST, Port
from stack import FCGI, LISTENER, wait_until

UNAVAILABLE = '{"success":false,"message":"service unavailable"}'


@pytest.fixture
def other_phone():
    """Another distributor."""
    with phones.Phone() as other_phone:
        yield other_phone


@pytest.fixture
def api(make_stack):
    stack = make_stack()
    stack.start_redis()
    stack.start_api()
    return stack


def requests_that_need_redis(pubkey):
    return [
        ("GET", "/api/status", None),
        ("POST", "/api/register", {"trade_pubkey": pubkey, "token": "token-1", "platform": "ios"}),
        ("POST", "/api/unregister", {"trade_pubkey": pubkey}),
        ("POST", "/api/notify", {"trade_pubkey": pubkey}),
    ]


def ask(api, method, path, body):
    return api.get(path) if method == "GET" else api.post(path, body)


def check_unavailable(api, pubkey, rounds=3):
    """Often enough that every worker has been asked, both right after a failure and later. What
    waits for Redis is test_patience's."""
    took = []
    for _ in range(rounds):
        for request in requests_that_need_redis(pubkey):
            if request[1] in ("/api/register", "/api/unregister"):
                continue
            began = time.monotonic()
            answer = ask(api, *request)
            took.append(time.monotonic() - began)
            assert (answer.status, answer.body) == (503, UNAVAILABLE), request
            assert answer.header("Retry-After") == "1"
            assert (answer.header("X-Request-Id") is not None) == (request[1] == "/api/notify")
            assert answer.header("Content-Type") == "application/json"
        for path in ("/api/health", "/api/info"):
            assert api.get(path).status == 200
    assert statistics.median(took) < 1, took


def wait_until_all_serve(api):
    """A worker that is still in its hold-off shows itself: each kind of request goes out often
    enough to meet every worker."""
    wait_until(lambda: all(ask(api, *request).status in (200, 202) for _ in range(4)
                           for request in requests_that_need_redis(nostr.new_pubkey())),
               timeout=5)


# ---- Redis


def test_api_while_redis_is_gone(api, pubkey):
    api.register(pubkey, "token-1")
    api.redis_server.kill()
    check_unavailable(api, pubkey)
    api.start_redis()
    wait_until_all_serve(api)
    api.register(pubkey, "token-1")
    assert api.get("/api/status").status == 200


def test_api_started_before_redis(make_stack, pubkey):
    stack = make_stack()
    stack.start_api()
    check_unavailable(stack, pubkey, rounds=1)
    stack.start_redis()
    wait_until(lambda: stack.notify(pubkey).status == 202, timeout=5)


def test_api_while_redis_hangs(api, pubkey):
    """A late reply never answers another request."""
    for _ in range(4):
        for request in requests_that_need_redis(pubkey):
            assert ask(api, *request).status in (200, 202)
    api.redis_server.send_signal(signal.SIGSTOP)
    check_unavailable(api, pubkey)
    api.redis_server.send_signal(signal.SIGCONT)
    wait_until(lambda: api.get("/api/status").status == 200, timeout=5)
    wait_until_all_serve(api)
    for _ in range(8):
        one = nostr.new_pubkey()
        status = api.get("/api/status")
        assert status.status == 200 and '"status":"running"' in status.body
        assert api.register(one, "token-1", "ios").body.endswith('"platform":"ios"}')
        assert "Token unregistered successfully" in api.post(
            "/api/unregister", {"trade_pubkey": one}).body
        assert "Token not found" in api.post("/api/unregister", {"trade_pubkey": one}).body
        assert api.notify(one).status == 202


def test_api_when_redis_has_lost_everything(api, pubkey):
    """The first program that misses its functions loads them again."""
    api.register(pubkey, "token-1")
    api.redis.flushall()
    api.redis.function_flush()
    assert api.notify(pubkey).status == 202
    assert '"total":0' in api.get("/api/status").body
    api.register(pubkey, "token-1")


def test_api_when_redis_is_full(api, pubkey):
    api.register(pubkey, "token-1")
    api.redis.config_set("maxmemory", 1)
    for path, body in [
        ("/api/register", {"trade_pubkey": pubkey, "token": "token-1", "platform": "ios"}),
        ("/api/notify", {"trade_pubkey": pubkey}),
    ]:
        answer = api.post(path, body)
        assert (answer.status, answer.body) == (503, UNAVAILABLE)
        assert answer.header("Retry-After") == "1"
    assert '"total":1' in api.get("/api/status").body
    api.redis.config_set("maxmemory", 0)
    assert api.notify(pubkey).status == 202


def test_a_new_listener_drains_the_queue_of_a_full_redis(live, relay, phone, pubkey, device):
    live.listener.stop()
    assert live.notify(pubkey).status == 202
    live.redis.config_set("maxmemory", 1)
    live.spawn_listener([relay])
    assert phone.url + phone.next_push().path == device
    live.wait_until_idle()


def test_listener_survives_a_restart_of_redis(live, relay, phone, pubkey, device):
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    live.redis_server.kill()
    live.start_redis()
    live.wait_for_heartbeat()
    wait_until(lambda: live.notify(nostr.new_pubkey()).status == 202, timeout=5)
    live.register(pubkey, device)
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    live.notify(pubkey)
    phone.next_push()
    live.wait_until_idle()
    assert live.listener.is_alive()


def test_listener_survives_a_redis_that_hangs(live, relay, phone, pubkey, device):
    """Events that come while Redis hangs are a matter of catching up; later ones are not."""
    live.redis_server.send_signal(signal.SIGSTOP)
    relay.publish(nostr.gift_wrap(nostr.new_pubkey()))
    wait_until(lambda: live.notify(pubkey).status == 503, timeout=5)
    live.redis_server.send_signal(signal.SIGCONT)
    wait_until(lambda: live.notify(nostr.new_pubkey()).status == 202, timeout=5)

    def wakes():
        relay.publish(nostr.gift_wrap(pubkey))
        try:
            return phone.next_push(timeout=0.5)
        except queue.Empty:
            return None
    wait_until(wakes, timeout=10, what="a push after Redis has come back")
    assert live.listener.is_alive()


def test_listener_started_before_redis(make_stack, relay, phone, pubkey):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
    stack.spawn_listener([relay])
    stack.start_api()
    stack.start_redis()
    relay.wait_for_req(2, timeout=20)
    stack.wait_for_heartbeat()
    wait_until(lambda: stack.notify(nostr.new_pubkey()).status == 202, timeout=5)
    stack.register(pubkey, phone.endpoint())
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()


def test_a_redis_that_begins_to_persist(live, relay, pubkey):
    """It is looked at on every new connection, and counts as unreachable from then on."""
    live.redis.config_set("appendonly", "yes")
    live.redis.client_kill_filter(_type="normal", skipme=True)
    live.redis.flushall()
    for method, path, body in requests_that_need_redis(pubkey):
        answer = ask(live, method, path, body)
        assert (answer.status, answer.body) == (503, UNAVAILABLE)
    assert not live.is_registered(pubkey)
    live.redis.config_set("appendonly", "no")
    wait_until(lambda: live.notify(pubkey).status == 202, timeout=5)


def test_a_persisting_redis_is_taken_where_allowed(make_stack, relay, phone, pubkey):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true", REDIS_ALLOW_PERSISTENCE="true")
    stack.start_redis("--appendonly", "yes")
    stack.start_api()
    stack.start_listener(relay)
    stack.register(pubkey, phone.endpoint())
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()


# ---- The way from the web server


@pytest.fixture
def port():
    with contextlib.closing(Port()) as port:
        yield port.number


def test_a_request_that_comes_in_parts_by_tcp(make_stack, port):
    """As where the network has lost a part, and it is sent once more."""
    stack = make_stack()
    stack.start_program("responder", ["spawn-fcgi", "-n", "-a", HOST, "-p", port, "--", FCGI])
    request = fastcgi.request(REQUEST_METHOD="GET", REQUEST_URI="/api/health")

    def is_well(pause=0):
        with contextlib.suppress(ConnectionRefusedError):
            with socket.create_connection((HOST, port), timeout=5) as connection:
                connection.sendall(request[:fastcgi.BEGIN_SIZE])
                time.sleep(pause)
                connection.sendall(request[fastcgi.BEGIN_SIZE:])
                return b"Status: 200 OK" in b"".join(iter(lambda: connection.recv(4096), b""))
        return False
    wait_until(is_well)
    assert is_well(pause=0.6)


# ---- Relays


def test_a_relay_that_restarts(live, relay, phone, pubkey, device):
    relay.stop()
    relay.start()
    relay.wait_for_req(4, timeout=20)
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()


def test_a_relay_that_fails_again(live, relay, phone, pubkey, device):
    """A second failure in a row costs more patience and nothing else."""
    relay.stop()
    with socket.create_server((HOST, relay.port)) as other:
        other.settimeout(20)
        other.accept()[0].close()
    relay.start()
    relay.wait_for_req(4, timeout=30)
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()


def test_a_relay_that_is_not_there_holds_up_no_other(make_stack, relay, phone, pubkey):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
    stack.start_redis()
    stack.start_api()
    stack.spawn_listener(["ws://127.0.0.1:1", "ws://name.invalid", relay])
    relay.wait_for_req(2)
    stack.register(pubkey, phone.endpoint())
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()


# ---- Push backends


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_a_push_is_tried_again(live, relay, phone, pubkey, device, status):
    phone.answer(device, [status])
    relay.publish(nostr.gift_wrap(pubkey))
    first, second = phone.next_push(), phone.next_push(timeout=30)
    assert first.path == second.path
    live.wait_until_idle()
    assert len(phone.pushes) == 2
    assert live.is_registered(pubkey)


def test_retry_after_is_honoured(live, relay, phone, pubkey, device):
    phone.answer(device, [phones.Answer(503, {"Retry-After": "3"})])
    relay.publish(nostr.gift_wrap(pubkey))
    first, second = phone.next_push(), phone.next_push(timeout=30)
    assert second.arrived - first.arrived > 2.9


@pytest.mark.parametrize("status", [301, 302, 307, 308, 403, 405, 413])
def test_a_push_that_is_refused_is_given_up(live, relay, phone, pubkey, device, status):
    """A redirection is never followed."""
    elsewhere = {"Location": phone.endpoint()} if status < 400 else {}
    phone.answer(device, [phones.Answer(status, elsewhere)])
    relay.publish(nostr.gift_wrap(pubkey))
    assert phone.url + phone.next_push().path == device
    live.wait_until_idle()
    assert len(phone.pushes) == 1
    assert live.is_registered(pubkey)


@pytest.mark.parametrize("status", [404, 410])
def test_a_dead_endpoint_leaves_the_registry(live, relay, phone, pubkey, device, status):
    phone.answer(device, [status])
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    wait_until(lambda: not live.is_registered(pubkey))
    assert '"total":0' in live.get("/api/status").body
    live.wait_until_idle()
    assert len(phone.pushes) == 1


def test_a_dead_endpoint_that_was_replaced_meanwhile(live, relay, phone, pubkey, device):
    gate = threading.Event()
    phone.answer(device, [phones.Answer(410, gate=gate)])
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    renewed = phone.endpoint()
    live.register(pubkey, renewed)
    gate.set()
    # The wake has not reached a phone yet.
    assert phone.url + phone.next_push().path == renewed
    live.wait_until_idle()
    assert live.is_registered(pubkey)


def test_a_distributor_that_is_down_for_a_while(live, relay, phone, pubkey, device):
    phone.stop()
    relay.publish(nostr.gift_wrap(pubkey))
    wait_until(lambda: live.stat("push_retries") >= 1, what="a first try has failed")
    phone.start()
    phone.next_push(timeout=30)
    live.wait_until_idle()
    assert live.is_registered(pubkey)


def test_a_slow_distributor_holds_up_no_other(live, relay, phone, other_phone, pubkey, device):
    gate = threading.Event()
    phone.answer(device, [phones.Answer(201, gate=gate)])
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    other = nostr.new_pubkey()
    live.register(other, other_phone.endpoint())
    relay.publish(nostr.gift_wrap(other))
    other_phone.next_push(timeout=3)
    gate.set()
    live.wait_until_idle()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_slow_push_holds_up_no_other_of_its_distributor(make_stack, relay, authority,
                                                          certificate, scheme):
    with phones.Phone(0, *(certificate if scheme == "https" else ())) as phone:
        stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true",
                           TLS_CA_FILE=str(authority.certificate))
        stack.start_redis()
        stack.start_api()
        stack.start_listener(relay)
        slow, others = phone.endpoint(), [phone.endpoint() for _ in range(5)]
        gate = threading.Event()
        phone.answer(slow, [phones.Answer(201, gate=gate)])
        for endpoint in (slow, *others):
            pubkey = nostr.new_pubkey()
            stack.register(pubkey, endpoint)
            relay.publish(nostr.gift_wrap(pubkey))
            if endpoint == slow:
                phone.next_push()
        assert {phone.url + phone.next_push(timeout=3).path for _ in others} == set(others)
        gate.set()
        stack.wait_until_idle()


def test_wakes_during_a_push_cause_one_more(live, relay, phone, other_phone, pubkey, device):
    gate = threading.Event()
    phone.answer(device, [phones.Answer(201, gate=gate)])
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    relay.publish(nostr.gift_wrap(pubkey))
    wait_until(lambda: live.wakes_added() == 2)
    live.notify(pubkey)
    # Wakes are read in order: when another one's push comes, those have been read.
    other = nostr.new_pubkey()
    live.register(other, other_phone.endpoint())
    live.notify(other)
    other_phone.next_push()
    time.sleep(0.5)  # by then the push of a notify waits no longer by itself
    gate.set()
    phone.next_push()
    live.wait_until_idle()
    assert len(phone.pushes) == 2


@pytest.mark.parametrize("refusal", [fcm.UNREGISTERED, fcm.BAD_TOKEN],
                         ids=lambda refusal: refusal.error_code)
def test_a_dead_fcm_token_leaves_the_registry(with_google, google, pubkey, refusal):
    google.answer("fcm-token-1", [refusal])
    with_google.register(pubkey, "fcm-token-1")
    with_google.notify(pubkey)
    google.next_message(timeout=15)
    wait_until(lambda: not with_google.is_registered(pubkey))
    with_google.wait_until_idle()
    assert len(google.messages) == 1


@pytest.mark.parametrize("refusal", [fcm.WRONG_PROJECT, fcm.NO_PERMISSION, fcm.BAD_MESSAGE,
                                     fcm.SENDER_ID_MISMATCH],
                         ids=lambda refusal: refusal.message)
def test_an_operators_mistake_costs_no_registration(with_google, google, pubkey, refusal):
    """A wrong service account yields SENDER_ID_MISMATCH for every token."""
    google.answer("fcm-token-1", [refusal] * 20)
    with_google.register(pubkey, "fcm-token-1")
    with_google.notify(pubkey)
    google.next_message(timeout=15)
    wait_until(lambda: refusal is fcm.BAD_MESSAGE or "error" in with_google.listener.output(),
               what="an error in the log")
    assert with_google.is_registered(pubkey)


def test_a_sender_mismatch_after_a_success_is_a_dead_token(with_google, google, pubkey):
    good = nostr.new_pubkey()
    with_google.register(good, "fcm-token-good")
    with_google.notify(good)
    google.next_message(timeout=15)
    with_google.wait_until_idle()
    google.answer("fcm-token-1", [fcm.SENDER_ID_MISMATCH])
    with_google.register(pubkey, "fcm-token-1")
    with_google.notify(pubkey)
    wait_until(lambda: not with_google.is_registered(pubkey))
    assert with_google.is_registered(good)


def test_fcm_is_tried_again(with_google, google, pubkey):
    google.answer("fcm-token-1", [fcm.UNAVAILABLE])
    with_google.register(pubkey, "fcm-token-1")
    with_google.notify(pubkey)
    google.next_message(timeout=15)
    google.next_message(timeout=30)
    with_google.wait_until_idle()
    assert with_google.is_registered(pubkey)


def test_a_revoked_access_token_is_replaced(with_google, google, pubkey):
    with_google.register(pubkey, "fcm-token-1")
    with_google.notify(pubkey)
    google.next_message(timeout=15)
    with_google.wait_until_idle()
    google.revoke_access_tokens()
    with_google.notify(pubkey)
    google.next_message(timeout=15)
    with_google.wait_until_idle()
    assert len(google.claims) == 2
    assert google.rejected == ["message without a valid access token"]


def test_oauth_that_fails_at_first(make_stack, relay, google, google_settings, pubkey):
    google.answer_oauth([503, 500])
    stack = make_stack(**google_settings)
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    stack.register(pubkey, "fcm-token-1")
    stack.notify(pubkey)
    google.next_message(timeout=30)
    stack.wait_until_idle()


def test_google_down_does_not_hold_up_phones(with_google, relay, phone, google, pubkey):
    google.stop()
    other = nostr.new_pubkey()
    with_google.register(pubkey, "fcm-token-1")
    with_google.register(other, phone.endpoint())
    relay.publish(nostr.gift_wrap(pubkey))
    relay.publish(nostr.gift_wrap(other))
    phone.next_push(timeout=5)
    google.start()
    assert google.next_message(timeout=60).token == "fcm-token-1"


# ---- The listener


def test_sigterm_ends_the_listener(live):
    began = time.monotonic()
    assert live.listener.stop() == 0
    assert time.monotonic() - began < 5


def test_a_listener_with_few_descriptors_does_not_start_or_ends_when_told(make_stack):
    """However many it has: what wakes its threads takes some, too, and libcurl goes without, so
    that a thread slept on for a minute."""
    stack = make_stack(NOSTR_RELAYS=f"ws://{HOST}:9")
    listeners = [stack.start_program(f"listener-{n}", ["prlimit", f"--nofile={n}", LISTENER])
                 for n in range(4, 20)]
    for listener in listeners:
        wait_until(lambda: not listener.is_alive() or "cannot connect" in listener.output(), 20)
    began = time.monotonic()
    for listener in listeners:
        listener.send_signal(signal.SIGTERM)
    statuses = [listener.wait(30) for listener in listeners]
    assert time.monotonic() - began < 10
    assert statuses[0] == 3 and statuses[-1] == 0 and set(statuses) == {0, 3}, statuses


def test_wakes_wait_for_a_listener(live, relay, phone, pubkey, device):
    assert live.listener.stop() == 0
    assert live.notify(pubkey).status == 202
    assert live.redis.xlen("mostro:wakes") == 1
    live.start_listener(relay)
    phone.next_push()
    live.wait_until_idle()


def test_sigterm_leaves_what_waits_to_be_tried_again(live, relay, phone, pubkey, device):
    phone.answer(device, [phones.Answer(503, {"Retry-After": "120"})])
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    wait_until(lambda: live.stat("push_retries") >= 1)
    assert live.listener.stop() == 0
    assert live.wakes_waiting() == 1
    live.start_listener(relay)
    phone.next_push()
    live.wait_until_idle()


def test_sigterm_lets_a_push_end(live, relay, phone, pubkey, device):
    gate = threading.Event()
    phone.answer(device, [phones.Answer(201, gate=gate)])
    relay.publish(nostr.gift_wrap(pubkey))
    phone.next_push()
    live.listener.send_signal(signal.SIGTERM)
    # It has stopped reading: the relay sees it go before the push has its answer.
    relay.wait_until(lambda _: relay.connections == 0, timeout=5)
    assert live.listener.is_alive()
    gate.set()
    assert live.listener.wait() == 0
    assert live.wakes_queued() == 0


def test_a_killed_listener_loses_no_wake(live, relay, phone, pubkey, device):
    gate = threading.Event()
    phone.answer(device, [phones.Answer(201, gate=gate)])
    relay.publish(nostr.gift_wrap(pubkey))
    first = phone.next_push()
    live.listener.kill()
    gate.set()
    live.start_listener(relay)
    second = phone.next_push()
    assert first.path == second.path
    live.wait_until_idle()
    assert len(phone.pushes) == 2


# ---- The workers


def unread(connection):
    """How many of the bytes sent the peer has not read."""
    size = array.array("i", [0])
    fcntl.ioctl(connection, termios.TIOCOUTQ, size)
    return size[0]


@contextlib.contextmanager
def all_but_one_stopped(processes, one):
    """Whatever comes meanwhile is that one's."""
    others = [process for process in processes if process != one]
    for process in others:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in others:
            os.kill(process, signal.SIGCONT)


@pytest.mark.parametrize("to_all", [False, True])
def test_sigterm_ends_the_workers(api, to_all):
    """Sent to contrib/workers alone, or to all of them, as systemd and a terminal do."""
    assert api.get("/api/status").status == 200
    children = api.workers.children()
    if to_all:
        api.workers.send_signal(signal.SIGTERM)
    assert api.workers.stop(timeout=5) == 0
    assert all(not os.path.exists(f"/proc/{child}") for child in children)


@pytest.fixture
def from_file(make_stack):
    """Two workers that read a file of settings, in which `change` writes one more line."""
    stack = make_stack()
    env = stack.directory / "env"
    env.touch(mode=0o600)
    stack.start_redis()
    stack.start_api(MOSTRO_PUSH_ENV=str(env))

    def change(line):
        env.write_text(f"{line}\n")
        os.kill(stack.workers.pid, signal.SIGHUP)
    stack.change = change
    return stack


def test_new_settings_lose_no_request(from_file):
    """With a load that never rests; a request that nobody answers is a 500 or 503, or an error."""
    old, answers, is_over = set(from_file.workers.children()), [], threading.Event()

    def load():
        while not is_over.is_set():
            answers.append((from_file.get("/api/info").status,
                            from_file.notify(nostr.new_pubkey()).status))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        loads = [pool.submit(load) for _ in range(8)]
        from_file.change(f"SERVER_PRIVATE_KEY={nostr.Key().secret.hex()}")
        try:
            wait_until(lambda: "all workers are new" in from_file.workers.output(), timeout=20)
            done = len(answers)
            wait_until(lambda: len(answers) > done + 50)
        finally:
            is_over.set()
        for each in loads:
            each.result()
    assert {info for info, _ in answers} == {200}
    assert {notify for _, notify in answers} <= {202, 429}
    assert len(from_file.workers.children()) == 2
    assert not old & set(from_file.workers.children())
    assert all('"encryption_enabled":true' in from_file.get("/api/info").body for _ in range(20))


def test_settings_that_cannot_be_used_are_refused(from_file):
    old = from_file.workers.children()
    from_file.change("SERVER_PRIVATE_KEY=none")
    wait_until(lambda: "--check-config says no" in from_file.workers.output())
    assert from_file.workers.children() == old
    assert from_file.get("/api/health").status == 200


def test_sighup_ends_nobody(live):
    """To the processes themselves: a terminal that goes away sends it to all of them."""
    worker, listener = live.workers.children()[0], live.listener
    os.kill(worker, signal.SIGHUP)
    os.kill(listener.pid, signal.SIGHUP)
    wait_until(lambda: "SIGHUP changes nothing: restart this" in listener.output())
    assert live.get("/api/health").status == 200
    assert worker in live.workers.children() and listener.is_alive()


def test_workers_whose_keeper_died_make_room_at_once(api):
    """However long the requests take that they have begun: these are still answered."""
    address = str(api.directory / "fcgi.sock")
    request = fastcgi.request(REQUEST_METHOD="GET", REQUEST_URI="/api/health")

    def is_free():
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(address)
            except ConnectionRefusedError:
                return True
        return False

    old = api.workers.children()
    with contextlib.ExitStack() as held:
        begun = []
        for worker in old:
            connection = held.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(10)
            with all_but_one_stopped(old, worker):
                connection.connect(address)
                connection.sendall(request[:fastcgi.BEGIN_SIZE])
                # Read by the worker: what a peer has not read yet counts as not yet out.
                wait_until(lambda: unread(connection) == 0, what="the worker has taken it")
            begun.append(connection)
        os.kill(api.workers.pid, signal.SIGKILL)
        wait_until(is_free, timeout=5, what="the socket is free")  # a request may take 10
        api.start_workers()
        wait_until(lambda: api.get("/api/health").status == 200)
        assert all(os.path.exists(f"/proc/{worker}") for worker in old)
        for connection in begun:
            connection.sendall(request[fastcgi.BEGIN_SIZE:])
            assert fastcgi.status(connection) == 200
        wait_until(lambda: not any(os.path.exists(f"/proc/{worker}") for worker in old))


def test_a_worker_that_dies_is_replaced(api, pubkey):
    """By contrib/workers; none of the requests meanwhile is lost, for the socket lives on."""
    children = api.workers.children()
    assert len(children) == 2
    for child in children:
        os.kill(child, signal.SIGKILL)
    # One that is still dying may take a request with it.
    wait_until(lambda: not set(children) & set(api.workers.children()), what="both are dead")
    for _ in range(6):
        assert api.notify(pubkey).status == 202


def test_a_worker_without_a_listening_socket_says_so(make_stack):
    """With the status that keeps systemd from trying again."""
    program = make_stack().start_program("fcgi", [FCGI])
    assert program.wait() == 2
    assert "not a listening socket" in program.output()
