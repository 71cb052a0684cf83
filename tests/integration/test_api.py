"""Every answer of the HTTP API, byte for byte, through each web server."""
import json
import re
import uuid

import pytest

import nostr
from stack import preloaded, wait_until
from web_servers import WEB_SERVERS

BAD_PUBKEY = "Invalid trade_pubkey format (expected 64 hex characters)"
BAD_JSON = "Invalid JSON body"
BAD_URL = "Invalid UnifiedPush endpoint URL"
BAD_KEYS = "Invalid Web Push keys"
NO_TOKEN = "Token cannot be empty"
LONG_TOKEN = "Token too long (maximum 4096 bytes)"
TOO_LARGE = "Request body too large"
UNREGISTERED = '{"success":true,"message":"Token unregistered successfully"}'
WAS_NOT_REGISTERED = ('{"success":true,"message":"Token not found '
                      '(may have already been unregistered)"}')
REGISTERED = '{"success":true,"message":"Token registered successfully","platform":"%s"}'
ENDPOINT = "https://push.example.org/UP?token=abc"
# The user agent's key and secret of RFC 8291, appendix A.
P256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"


@pytest.fixture(scope="module", params=WEB_SERVERS)
def web_server(request):
    return request.param


@pytest.fixture(scope="module")
def api(make_shared_stack):
    stack = make_shared_stack()
    stack.start_redis()
    stack.start_api()
    return stack


@pytest.fixture
def fresh(make_stack):
    """An API whose registry is empty."""
    stack = make_stack()
    stack.start_redis()
    stack.start_api()
    return stack


def error(message):
    return '{"success":false,"message":%s}' % json.dumps(message)


def check(answer, status, body):
    """Status, body, and the headers that every answer has."""
    assert (answer.status, answer.body) == (status, body)
    assert answer.header("Content-Type") == "application/json"
    assert answer.header("Content-Length") == str(len(body.encode()))


def is_uuid4(text):
    """In the form everybody writes: 36 characters, lower case."""
    return str(uuid.UUID(text)) == text and uuid.UUID(text).version == 4


def padded(document, size):
    """A JSON text of exactly so many bytes."""
    text = json.dumps(document)
    return text + " " * (size - len(text))


def registration(pubkey, **fields):
    return {"trade_pubkey": pubkey, "token": "token-1", "platform": "android", **fields}


# ---- What takes no body


def test_health(api):
    check(api.get("/api/health"), 200, '{"status":"ok"}')


def test_info_without_server_key(api, version):
    check(api.get("/api/info"), 200,
          '{"version":"%s","encryption_enabled":false,'
          '"note":"Token encryption will be enabled in a future phase"}' % version)


def test_a_query_changes_nothing(api):
    check(api.get("/api/health?verbose=1"), 200, '{"status":"ok"}')


@pytest.mark.parametrize("path", ["/api/", "/api/healthy", "/api/health/", "/api/notify/more",
                                  "/api/v2/notify", "/api/Health", "/api/register%00"])
def test_unknown_path(api, path):
    answer = api.get(path)
    if path.endswith("%00") and answer.status == 400:
        return  # the web server's own refusal
    check(answer, 404, error("not found"))


@pytest.mark.parametrize("method, path, allowed", [
    ("POST", "/api/health", "GET"),
    ("DELETE", "/api/info", "GET"),
    ("PUT", "/api/status", "GET"),
    ("GET", "/api/register", "POST"),
    ("PUT", "/api/register", "POST"),
    ("DELETE", "/api/unregister", "POST"),
    ("GET", "/api/notify", "POST"),
    ("PATCH", "/api/notify", "POST"),
])
def test_wrong_method(api, method, path, allowed):
    answer = api.request(method, path, b"{}" if method not in ("GET", "DELETE") else None)
    assert answer.status == 405
    assert allowed in re.split(r", *", answer.header("Allow"))
    assert method not in answer.header("Allow")
    assert answer.header("Content-Type") == "application/json"
    assert json.loads(answer.body)["success"] is False
    request_id = answer.header("X-Request-Id")
    assert is_uuid4(request_id) if path == "/api/notify" else request_id is None


# ---- Status


def status_body(version, android, ios):
    return ('{"status":"running","version":"%s","tokens":{"total":%d,"android":%d,"ios":%d}}'
            % (version, android + ios, android, ios))


def test_status_counts_exactly(fresh, version):
    def counts(android, ios):
        check(fresh.get("/api/status"), 200, status_body(version, android, ios))

    one, two, three = (nostr.new_pubkey() for _ in range(3))
    counts(0, 0)
    fresh.register(one, "token-1")
    counts(1, 0)
    fresh.register(two, "token-2", "ios")
    fresh.register(three, "token-3")
    counts(2, 1)
    fresh.register(three, "token-3")
    counts(2, 1)
    fresh.register(one, "token-1", "ios")
    counts(1, 2)
    fresh.register(one.upper(), "token-1", "ios")
    counts(1, 2)
    fresh.post("/api/unregister", {"trade_pubkey": two})
    counts(1, 1)
    fresh.post("/api/unregister", {"trade_pubkey": two})
    counts(1, 1)


def test_an_expired_registration_is_not_counted(make_stack, tmp_path, pubkey, version):
    """The app registers a trade key once, and keeps its trade for 30 days: so long it is counted."""
    ahead = tmp_path / "ahead"
    stack = make_stack(**preloaded("wall_clock", tmp_path), AHEAD=str(ahead))
    stack.start_redis()
    stack.start_api()
    stack.register(pubkey, "token-1")
    ahead.write_text(str((720 * 3600 - 10) * 1000))
    check(stack.get("/api/status"), 200, status_body(version, 1, 0))
    stack.register(nostr.new_pubkey(), "token-2", "ios")
    check(stack.get("/api/status"), 200, status_body(version, 1, 1))
    ahead.write_text(str((720 * 3600 + 300) * 1000))
    check(stack.get("/api/status"), 200, status_body(version, 0, 1))
    check(stack.post("/api/unregister", {"trade_pubkey": pubkey}), 200, WAS_NOT_REGISTERED)
    check(stack.get("/api/status"), 200, status_body(version, 0, 1))


def test_a_registration_lives_as_long_as_set(make_stack, pubkey):
    stack = make_stack(TOKEN_TTL_HOURS="3")
    stack.start_redis()
    stack.start_api()
    stack.register(pubkey, "token-1")
    # Up to the next whole five minutes.
    assert 3 * 3600 - 10 < stack.redis.ttl(f"mostro:token:{pubkey}") <= 3 * 3600 + 300
    assert stack.redis.expiretime(f"mostro:token:{pubkey}") % 300 == 0


# ---- Register and unregister


@pytest.mark.parametrize("platform", ["android", "ios", "Android", "IOS"])
def test_register(api, pubkey, platform):
    answer = api.post("/api/register", registration(pubkey, platform=platform))
    check(answer, 200, REGISTERED % platform.lower())
    assert answer.header("X-Request-Id") is None
    stored = api.redis.hgetall(f"mostro:token:{pubkey}")
    assert stored.pop("registered_at").isdigit()
    assert stored == {"token": "token-1", "platform": platform.lower()}


def test_registering_again_replaces_everything(api, pubkey):
    api.register(pubkey, ENDPOINT, p256dh=P256DH, auth=AUTH)
    stored = api.redis.hgetall(f"mostro:token:{pubkey}")
    assert (stored["p256dh"], stored["auth"]) == (P256DH, AUTH)
    assert "token" not in stored and api.endpoint_of(pubkey) == ENDPOINT
    api.register(pubkey, "token-2", "ios")
    stored = api.redis.hgetall(f"mostro:token:{pubkey}")
    assert set(stored) == {"token", "platform", "registered_at", "renewed"}
    assert (stored["token"], stored["platform"]) == ("token-2", "ios")


def test_pubkeys_are_the_same_in_either_case(api, pubkey):
    api.register(pubkey.upper(), "token-1")
    assert api.is_registered(pubkey)
    mixed = pubkey[:32].upper() + pubkey[32:]
    check(api.post("/api/unregister", {"trade_pubkey": mixed}), 200, UNREGISTERED)
    assert not api.is_registered(pubkey)


def test_unregister(api, pubkey):
    check(api.post("/api/unregister", {"trade_pubkey": pubkey}), 200, WAS_NOT_REGISTERED)
    api.register(pubkey, "token-1")
    check(api.post("/api/unregister", {"trade_pubkey": pubkey}), 200, UNREGISTERED)
    check(api.post("/api/unregister", {"trade_pubkey": pubkey}), 200, WAS_NOT_REGISTERED)


def test_unknown_fields_are_ignored(api, pubkey):
    more = {"device": {"name": ["a", 1, None, True, 1.5]}, "\u00e9": "\U0001f600"}
    check(api.post("/api/register", registration(pubkey, **more)), 200, REGISTERED % "android")
    check(api.post("/api/unregister", {"trade_pubkey": pubkey, **more}), 200, UNREGISTERED)
    check(api.post("/api/notify", {"trade_pubkey": pubkey, **more}), 202, '{"accepted":true}')


@pytest.mark.parametrize("value", [
    b"123456789012345678901234567890", b"-9223372036854775809", b"18446744073709551616", b"1e400",
    b"-1E+400", b"1e-400", b"-0", b'"\\ud800"', b'"\\udc00\\ud800"', b'{"\\ud800":1,"\\udc00":2}',
    b"[" * 3500 + b"]" * 3500, b'{"":' * 1500 + b"0" + b"}" * 1500,
], ids=range(12))
def test_unknown_fields_hold_any_json(api, pubkey, value):
    """Whatever a parser that makes values of it could not hold."""
    form = b'{"a":%s,"trade_pubkey":"%s","token":"t","platform":"ios","x":[%s]}'
    body = form % (value[:99] if len(value) < 99 else b"0", pubkey.encode(), value)
    check(api.post("/api/register", body), 200, REGISTERED % "ios")
    check(api.post("/api/unregister", body), 200, UNREGISTERED)
    check(api.post("/api/notify", body), 202, '{"accepted":true}')


def test_a_registration_as_deep_as_it_may_be_long(api, pubkey):
    begin = json.dumps(registration(pubkey))[:-1].encode() + b',"x":'
    depth = (128 * 1024 - len(begin) - 1) // 2
    check(api.post("/api/register", begin + b"[" * depth + b"]" * depth + b"}"), 200,
          REGISTERED % "android")


@pytest.mark.parametrize("nothing", [None, ""])
def test_null_and_empty_are_absent(api, pubkey, nothing):
    fields = dict.fromkeys(["mostro_pubkey", "p256dh", "auth", "encrypted_token"], nothing)
    check(api.post("/api/register", registration(pubkey, **fields)), 200, REGISTERED % "android")
    assert set(api.redis.hkeys(f"mostro:token:{pubkey}")).isdisjoint(fields)
    check(api.post("/api/register", {"trade_pubkey": pubkey, "token": nothing,
                                     "platform": "android"}), 400, error(NO_TOKEN))
    check(api.post("/api/register", {"trade_pubkey": pubkey, "token": nothing,
                                     "encrypted_token": nothing}), 400, error(NO_TOKEN))


BAD_PUBKEYS = ["", "a" * 63, "a" * 65, "g" + "a" * 63, " " + "a" * 63, "npub1" + "a" * 59,
               "\u00e9" * 32, "0x" + "a" * 62]


@pytest.mark.parametrize("bad", BAD_PUBKEYS, ids=range(len(BAD_PUBKEYS)))
@pytest.mark.parametrize("path", ["/api/register", "/api/unregister", "/api/notify"])
def test_bad_pubkey(api, path, bad):
    check(api.post(path, registration(bad)), 400, error(BAD_PUBKEY))


@pytest.mark.parametrize("changes, message", [
    ({"token": ""}, NO_TOKEN),
    ({"token": "t" * 4097}, LONG_TOKEN),
    ({"token": "\u00e9" * 2049}, LONG_TOKEN),
    ({"token": "https://push.example.org/" + "t" * 4096}, LONG_TOKEN),
    ({"platform": "windows"}, "Invalid platform 'windows' (expected 'android' or 'ios')"),
    ({"platform": ""}, "Invalid platform '' (expected 'android' or 'ios')"),
    ({"platform": "android "}, "Invalid platform 'android ' (expected 'android' or 'ios')"),
    ({"platform": 'a"b\\c\nd'}, "Invalid platform 'a\"b\\c\nd' (expected 'android' or 'ios')"),
])
def test_register_refuses(api, pubkey, changes, message):
    check(api.post("/api/register", registration(pubkey, **changes)), 400, error(message))
    assert not api.is_registered(pubkey)


def test_the_longest_token_is_taken(api, pubkey):
    for token in ("t" * 4096, "\u00e9" * 2048):
        check(api.post("/api/register", registration(pubkey, token=token)), 200,
              REGISTERED % "android")
        assert api.redis.hget(f"mostro:token:{pubkey}", "token") == token


@pytest.mark.parametrize("url", [
    "http://push.example.org/UP",
    "ftp://push.example.org/UP",
    "ws://push.example.org/UP",
    "://push.example.org/UP",
    "x https://push.example.org/UP",
    "https://",
    "https:///UP",
    "https://:443/UP",
    "https://push.example.org:0/UP",
    "https://push.example.org:65536/UP",
    "https://push.example.org:port/UP",
    "https://push.example.org/U P",
    "https://push.example.org/U\r\nHost: x",
    "https://push.exa\tmple.org/UP",
    "https://127.0.0.1/UP",
    "https://127.1/UP",
    "https://2130706433/UP",
    "https://0x7f000001/UP",
    "https://0.0.0.0/UP",
    "https://10.1.2.3/UP",
    "https://172.16.0.1/UP",
    "https://172.31.255.255:8443/UP",
    "https://192.168.1.1/UP",
    "https://169.254.169.254/latest/meta-data",
    "https://100.64.0.1/UP",
    "https://224.0.0.1/UP",
    "https://255.255.255.255/UP",
    "https://[::]/UP",
    "https://[::1]/UP",
    "https://[::1]:8443/UP",
    "https://[fe80::1]/UP",
    "https://[fd12:3456::1]/UP",
    "https://[ff02::1]/UP",
    "https://[::ffff:10.0.0.1]/UP",
    "https://[::ffff:7f00:1]/UP",
    "https://[::1/UP",
    "https://user@10.0.0.1/UP",
    "https://push.example.org@127.0.0.1/UP",
])
def test_register_refuses_endpoint(api, pubkey, url):
    check(api.post("/api/register", registration(pubkey, token=url)), 400, error(BAD_URL))


@pytest.mark.parametrize("url", [
    ENDPOINT,
    "HTTPS://Push.Example.ORG/UP",
    "https://push.example.org",
    "https://push.example.org:8443/UP?a=b&c=%20",
    "https://8.8.8.8/UP",
    "https://172.32.0.1/UP",
    "https://[2001:4860:4860::8888]/UP",
])
def test_register_takes_endpoint(api, pubkey, url):
    check(api.post("/api/register", registration(pubkey, token=url)), 200, REGISTERED % "android")
    assert api.endpoint_of(pubkey) == url


def test_an_endpoint_has_1024_bytes_at_most(api, pubkey):
    longest = "https://push.example.org/" + "u" * 999
    check(api.post("/api/register", registration(pubkey, token=longest)), 200,
          REGISTERED % "android")
    assert api.endpoint_of(pubkey) == longest
    for longer in (longest + "u", "https://push.example.org/" + "u" * 3000):
        check(api.post("/api/register", registration(pubkey, token=longer)), 400, error(BAD_URL))
    assert api.endpoint_of(pubkey) == longest


def test_an_endpoint_is_stored_once(api, pubkey):
    """However many trade keys use it."""
    url = "https://push.example.org/" + "planted" * 20
    for key in (pubkey, nostr.new_pubkey(), nostr.new_pubkey()):
        check(api.post("/api/register", registration(key, token=url, p256dh=P256DH, auth=AUTH)),
              200, REGISTERED % "android")
        assert api.endpoint_of(key) == url
    stored = [api.redis.hgetall(key) for key in api.redis.scan_iter("*", _type="hash")]
    assert str(stored).count("planted" * 20) == 1


def test_hosts_that_are_not_allowed(make_stack, pubkey):
    """Or the phone would be told that it is registered, and never be woken."""
    stack = make_stack(UNIFIEDPUSH_ALLOWED_HOSTS_REGEX=r"^(ntfy\.sh|.*\.example\.org)$")
    stack.start_redis()
    stack.start_api()
    for good in ("https://ntfy.sh/up", "https://NTFY.SH:8443/up", "https://Push.example.org"):
        stack.register(pubkey, good)
    for bad in ("https://ntfy.sh.example.net/up", "https://example.net/ntfy.sh",
                "https://xntfy.sh/up", "https://example.net?.example.org", "https://8.8.8.8/up"):
        check(stack.post("/api/register", registration(pubkey, token=bad)), 400, error(BAD_URL))
    assert stack.endpoint_of(pubkey) == "https://Push.example.org"
    stack.register(pubkey, "token-1", "ios")


def test_an_endpoint_is_no_token_of_ios(api, pubkey):
    check(api.post("/api/register", registration(pubkey, token=ENDPOINT, platform="ios")), 400,
          error(BAD_URL))


def test_private_endpoints_where_allowed(make_stack, pubkey):
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
    stack.start_redis()
    stack.start_api()
    for url in ("http://127.0.0.1:8080/UP", "https://10.0.0.1/UP", "http://push.example.org/UP"):
        check(stack.post("/api/register", registration(pubkey, token=url)), 200,
              REGISTERED % "android")
    check(stack.post("/api/register", registration(pubkey, token="ftp://10.0.0.1/UP")), 400,
          error(BAD_URL))


OFF_THE_CURVE = P256DH[:-1] + "5"


@pytest.mark.parametrize("fields", [
    {"p256dh": P256DH},
    {"auth": AUTH},
    {"p256dh": P256DH, "auth": None},
    {"p256dh": "", "auth": AUTH},
    {"p256dh": P256DH, "auth": AUTH[:-2]},
    {"p256dh": P256DH, "auth": AUTH + "AA"},
    {"p256dh": P256DH[:-2], "auth": AUTH},
    {"p256dh": P256DH + "AA", "auth": AUTH},
    {"p256dh": OFF_THE_CURVE, "auth": AUTH},
    {"p256dh": P256DH.replace("_", "/").replace("-", "!"), "auth": AUTH},
    {"p256dh": P256DH.replace("_", "/"), "auth": AUTH},
    {"p256dh": "A" * 87, "auth": AUTH},
    {"p256dh": "\u00e9" * 40, "auth": AUTH},
    {"p256dh": P256DH, "auth": AUTH, "token": "token-1"},
])
def test_register_refuses_web_push_keys(api, pubkey, fields):
    body = registration(pubkey, **{"token": ENDPOINT, **fields})
    check(api.post("/api/register", body), 400, error(BAD_KEYS))


def test_the_rows_are_tried_from_the_top(api, pubkey):
    """Everything is wrong; setting right what is complained about leads to the next row."""
    body = {"trade_pubkey": "x", "token": "", "platform": "windows", "p256dh": "x", "auth": "x"}
    for message, name, better in [
        (BAD_PUBKEY, "trade_pubkey", pubkey),
        (NO_TOKEN, "token", "http://10.0.0.1/" + "x" * 4096),
        (LONG_TOKEN, "token", "http://10.0.0.1/"),
        ("Invalid platform 'windows' (expected 'android' or 'ios')", "platform", "android"),
        (BAD_URL, "token", ENDPOINT),
        (BAD_KEYS, "p256dh", P256DH),
        (BAD_KEYS, "auth", AUTH),
    ]:
        check(api.post("/api/register", body), 400, error(message))
        body[name] = better
    check(api.post("/api/register", body), 200, REGISTERED % "android")


def test_a_full_registry_takes_no_more(make_stack):
    stack = make_stack(MAX_REGISTRATIONS="2")
    stack.start_redis()
    stack.start_api()
    one, two, three = (nostr.new_pubkey() for _ in range(3))
    stack.register(one, "token-1")
    stack.register(two, "token-2", "ios")
    answer = stack.post("/api/register", registration(three))
    check(answer, 503, error("service unavailable"))
    assert answer.header("Retry-After") == "1"
    stack.register(one, "token-3", "ios")
    stack.post("/api/unregister", {"trade_pubkey": two})
    stack.register(three, "token-1")


# ---- Bodies


KEY = "ab" * 32
MALFORMED = [
    b"",
    b" ",
    b"null",
    b"true",
    b"[]",
    b'"text"',
    b'["%s"]' % KEY.encode(),
    b"{",
    b"{]",
    b'{"trade_pubkey":}',
    b'{"trade_pubkey":"%s","token":"t","platform":"ios"' % KEY.encode(),
    b'{"trade_pubkey":"%s","token":"t","platform":"ios"}x' % KEY.encode(),
    b'{"trade_pubkey":"%s","token":"t","platform":"ios"}{}' % KEY.encode(),
    b'{"trade_pubkey":"%s","token":"t","platform":"ios",}' % KEY.encode(),
    b"{'trade_pubkey':'%s'}" % KEY.encode(),
    b'{"trade_pubkey":"%s","trade_pubkey":"%s","token":"t","platform":"ios"}'
    % (KEY.encode(), KEY.encode()),
    b'{"trade_pubkey":"%s","token":"t","platform":"ios","x":1,"x":2}' % KEY.encode(),
    b'{"trade_pubkey":"%s","token":"t","platform":"ios","x":{"y":1,"y":2}}' % KEY.encode(),
    b'{"trade_pubkey":"%s","token":"t","platform":"ios","x":"\\u0000"}' % KEY.encode(),
    b'{"trade_pubkey":"%s","token":"t","platform":"ios"}\0' % KEY.encode(),
    b'{"trade_pubkey":"%s","token":"t","platform":"ios","x":"\xff\xfe"}' % KEY.encode(),
    b'{"trade_pubkey":1,"token":"t","platform":"ios"}',
    b'{"trade_pubkey":["%s"],"token":"t","platform":"ios"}' % KEY.encode(),
    b'{"trade_pubkey":{},"token":"t","platform":"ios"}',
    b'{"trade_pubkey":true,"token":"t","platform":"ios"}',
    b'{"trade_pubkey":"%s","token":"t","platform":"ios","x":[[{"y":1,"y":2}]]}' % KEY.encode(),
    b'{"trade_pubkey":"%s","token":"t","platform":"ios","x":["\\u0000"]}' % KEY.encode(),
    b'{"trade_pubkey":"%s","token":"t","platform":"ios","x":01}' % KEY.encode(),
    b'{"x":' + b"[" * 3000 + b"]" * 2999 + b"}",
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_body(api, body):
    check(api.post("/api/register", body), 400, error(BAD_JSON))
    check(api.post("/api/unregister", body), 400, error(BAD_JSON))
    check(api.post("/api/notify", body), 400, error(BAD_PUBKEY))
    assert not api.is_registered(KEY)


@pytest.mark.parametrize("fields", [
    {"token": 1}, {"token": ["t"]}, {"token": {}}, {"token": False},
    {"platform": 1}, {"platform": ["ios"]}, {"platform": True},
    {"p256dh": 1}, {"auth": []}, {"token": "with\0NUL"},
])
def test_register_refuses_types(api, pubkey, fields):
    check(api.post("/api/register", registration(pubkey, **fields)), 400, error(BAD_JSON))


@pytest.mark.parametrize("value", ["text/plain", "application/jsonx", "application/xml",
                                   "application/x-www-form-urlencoded", "json", "application/",
                                   "text/plain; application/json", None])
def test_wrong_content_type(api, pubkey, value):
    headers = {"Content-Type": value} if value else {}
    check(api.post("/api/register", registration(pubkey), headers), 400, error(BAD_JSON))
    check(api.post("/api/unregister", registration(pubkey), headers), 400, error(BAD_JSON))
    check(api.post("/api/notify", registration(pubkey), headers), 400, error(BAD_PUBKEY))


@pytest.mark.parametrize("value", ["application/json; charset=utf-8", "application/json;v=1",
                                   "Application/JSON", "application/json ; charset=UTF-8"])
def test_content_type_with_parameters(api, pubkey, value):
    headers = {"Content-Type": value}
    check(api.post("/api/register", registration(pubkey), headers), 200, REGISTERED % "android")
    check(api.post("/api/unregister", registration(pubkey), headers), 200, UNREGISTERED)
    check(api.post("/api/notify", registration(pubkey), headers), 202, '{"accepted":true}')


@pytest.mark.parametrize("path, most, status", [
    ("/api/register", 128 * 1024, 200),
    ("/api/unregister", 8 * 1024, 200),
    ("/api/notify", 8 * 1024, 202),
])
def test_body_size(api, pubkey, path, most, status):
    assert api.post(path, padded(registration(pubkey), most)).status == status
    check(api.post(path, padded(registration(pubkey), most + 1)), 413, error(TOO_LARGE))
    # Size comes before anything in the body and before its type.
    check(api.post(path, b"x" * (most + 1), {"Content-Type": "text/plain"}), 413,
          error(TOO_LARGE))


def test_a_body_in_chunks(api, pubkey):
    def chunks():
        yield b'{"trade_pubkey":"'
        yield pubkey.encode()
        yield b'"}'
    answer = api.request("POST", "/api/notify", chunks(), {"Content-Type": "application/json"})
    if answer.status != 411:  # a web server may insist on a length
        check(answer, 202, '{"accepted":true}')


# ---- Notify


def test_notify_queues_a_wake(fresh, pubkey):
    check(fresh.notify(pubkey.upper()), 202, '{"accepted":true}')
    [(_, wake)] = fresh.redis.xrange("mostro:wakes")
    assert (wake["pk"], wake["via"]) == (pubkey, "notify")


def test_notify_does_not_tell_who_is_registered(api, pubkey):
    def told(answer):
        return (answer.status, answer.body,
                [(name, value) for name, value in answer.headers
                 if name not in ("X-Request-Id", "Date")])
    api.register(pubkey, "token-1")
    registered, unregistered = api.notify(pubkey), api.notify(nostr.new_pubkey())
    assert told(registered) == told(unregistered)
    assert registered.status == 202


def test_every_notify_has_a_request_id_of_its_own(api, pubkey):
    mine = str(uuid.uuid4())
    answers = [
        api.notify(pubkey),
        api.notify(pubkey),
        api.notify(pubkey, headers={"Content-Type": "application/json", "X-Request-Id": mine}),
        api.notify("bad"),
        api.post("/api/notify", b"{"),
        api.post("/api/notify", b"x" * 9000),
        api.get("/api/notify"),
    ]
    assert [answer.status for answer in answers] == [202, 202, 202, 400, 400, 413, 405]
    ids = [answer.header("X-Request-Id") for answer in answers]
    assert all(is_uuid4(each) for each in ids)
    assert len({mine, *ids}) == len(ids) + 1


def test_notify_reads_no_credentials(api, pubkey):
    """No such header changes what the answer is."""
    headers = {"Content-Type": "application/json", "Authorization": "Nostr bm9uc2Vuc2U=",
               "Idempotency-Key": "1"}
    for _ in range(2):
        check(api.notify(pubkey, headers=headers), 202, '{"accepted":true}')
    wakes = [wake for _, wake in api.redis.xrange("mostro:wakes") if wake["pk"] == pubkey]
    assert len(wakes) == 2


def test_over_the_address_limit(api):
    client = api.new_client()
    answer = wait_until(lambda: refusal(api.notify(nostr.new_pubkey(), client=client)))
    check(answer, 429, error("rate limited"))
    assert answer.header("Retry-After") == "2"
    assert is_uuid4(answer.header("X-Request-Id"))


def test_over_the_pubkey_limit(api, pubkey):
    answer = wait_until(lambda: refusal(api.notify(pubkey)))
    check(answer, 429, error("rate limited"))
    assert answer.header("Retry-After") == "2"
    assert is_uuid4(answer.header("X-Request-Id"))


def test_over_the_register_limit(api):
    client = api.new_client()
    body = {"trade_pubkey": nostr.new_pubkey()}
    # After a hundred, and two more for each second that they take.
    answer = wait_until(lambda: refusal(api.post("/api/unregister", body, client=client)), 40)
    check(answer, 429, error("rate limited"))
    assert int(answer.header("Retry-After")) >= 1
    assert answer.header("X-Request-Id") is None


def refusal(answer):
    return answer if answer.status == 429 else None


def test_both_refusals_of_notify_are_the_same(api, pubkey):
    client = api.new_client()
    by_address = wait_until(lambda: refusal(api.notify(nostr.new_pubkey(), client=client)))
    by_pubkey = wait_until(lambda: refusal(api.notify(pubkey)))

    def told(answer):
        return answer.body, [(name, value) for name, value in answer.headers
                             if name not in ("X-Request-Id", "Date")]
    assert told(by_address) == told(by_pubkey)


def test_notify_when_the_queue_is_half_full(make_stack):
    stack = make_stack(WAKES_MAX="6")
    stack.start_redis()
    stack.start_api()
    registered = nostr.new_pubkey()
    stack.register(registered, "token-1")
    for _ in range(3):
        check(stack.notify(nostr.new_pubkey()), 202, '{"accepted":true}')
    for pubkey in (registered, nostr.new_pubkey()):
        answer = stack.notify(pubkey)
        check(answer, 503, error("service unavailable"))
        assert answer.header("Retry-After") == "1"
        assert is_uuid4(answer.header("X-Request-Id"))
    assert stack.redis.xlen("mostro:wakes") == 3
