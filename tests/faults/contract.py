"""contract: what the API may answer. Pure."""
import json
import re

OK, LIMITED, REFUSED, UNAVAILABLE, FOREIGN = "ok", "limited", "refused", "unavailable", "foreign"

_LIMITED = 429, '{"success":false,"message":"rate limited"}'
_UNAVAILABLE = 503, '{"success":false,"message":"service unavailable"}'
_NOT_FOUND = 404, '{"success":false,"message":"not found"}'
_BAD_PUBKEY = 400, ('{"success":false,"message":'
                    '"Invalid trade_pubkey format (expected 64 hex characters)"}')
_BAD_BODY = 400, '{"success":false,"message":"Invalid JSON body"}'

# What each request is told when all is well: any of these, as (status, pattern of the body).
_WELL = {
    "register": [(200, '{"success":true,"message":"Token registered successfully",'
                       '"platform":"(android|ios)"}')],
    "unregister": [(200, '{"success":true,"message":"Token unregistered successfully"}'),
                   (200, r'{"success":true,"message":"Token not found \(may have already been '
                         r'unregistered\)"}')],
    "notify": [(202, '{"accepted":true}')],
    "health": [(200, '{"status":"ok"}')],
    "info": [(200, '{"version":"[^"]+","encryption_enabled":false,'
                   '"note":"Token encryption will be enabled in a future phase"}')],
    "status": [(200, '{"status":"running","version":"[^"]+",'
                     r'"tokens":{"total":\d+,"android":\d+,"ios":\d+}}')],
    "ready": [(200, '{"status":"ready"}'), (503, '{"status":"not ready"}')],
}
_WELL["renewal"] = _WELL["register"]  # of a pubkey that is registered
_LIMITS = {"register", "renewal", "unregister", "notify"}
NEEDS_REDIS = {"register", "renewal", "unregister", "notify", "status"}
# A request that is refused, and how.
REFUSALS = {
    "nothing": _NOT_FOUND,
    "notify, bad pubkey": _BAD_PUBKEY,
    "register, bad pubkey": _BAD_PUBKEY,
    "register, bad body": _BAD_BODY,
}

# Seconds, most of them for a machine that is busy. The app takes an error to register for final, so
# those two may wait 2.5 s for Redis.
MOST_SECONDS = 2
MOST_SECONDS_FOR_REDIS = {"register": 4, "renewal": 4, "unregister": 4}


def judge(request, answer):
    """What kind of answer this is to the request (a name above): OK; LIMITED; REFUSED, where that
    is what it deserves; UNAVAILABLE; or FOREIGN, none that the contract knows."""
    told = answer.status, answer.body
    if not answer.header("Content-Type") == "application/json":
        return FOREIGN
    if request.startswith("notify") and not answer.header("X-Request-Id"):
        return FOREIGN
    if any(told[0] == status and re.fullmatch(pattern, told[1])
           for status, pattern in _WELL.get(request, ())):
        return OK
    if REFUSALS.get(request) == told:
        return REFUSED
    if told == _LIMITED and answer.header("Retry-After") and request.split(",")[0] in _LIMITS:
        return LIMITED
    if (told == _UNAVAILABLE and answer.header("Retry-After") == "1"
            and request.split(",")[0] in NEEDS_REDIS):
        return UNAVAILABLE
    return FOREIGN


def shown(answer):
    """For a person, short."""
    return f"{answer.status} {json.dumps(answer.body[:80])}"
