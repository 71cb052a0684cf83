"""frame: what mostro-push-top shows, as lines of (text, style) pieces. Knows no terminal and no
clock."""
import dataclasses
import math
import textwrap

from metrics_text import WINDOW_SECONDS, History
from operators_address import printable

GOOD, WARN, BAD, DIM, TITLE, PLAIN = "good", "warn", "bad", "dim", "title", ""
WIDTH, HEIGHT = 80, 24
QUANTILES = (0.5, 0.95, 0.99)
BACKENDS = (("fcm", "FCM"), ("unifiedpush", "UnifiedPush"))
FULL = {"redis": "Redis", "memory": "Redis over 70 %", "registrations": "registrations",
        "queue": "half of the inbox"}
STATES = {"no_access_token": "no access token", "refused": "refuses: an operator's mistake",
          "paused": "held", "limited": "asks for fewer"}


@dataclasses.dataclass
class View:
    """What there is to show. `away` says why nobody answered, if so; `since`, when no more numbers
    came, and "" as long as they do."""
    address: str
    time: str
    history: History
    ready: bool = False
    reason: str = ""
    away: str = ""
    since: str = ""


# ---- Numbers

def count(value):
    """In at most 8 characters."""
    if value is None:
        return "-"
    if abs(value) >= 1e15:
        return f"{value:.1e}"
    for least, unit, name in ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M")):
        if abs(value) >= least:
            return f"{value / unit:.1f} {name}"
    return f"{value:,.0f}"


def several(number, what):
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def duration(seconds):
    if seconds is None:
        return "-"
    if math.isinf(seconds):
        return "longer"
    for least, unit, name in ((86400, 86400, "d"), (3600, 3600, "h"), (120, 60, "min"),
                              (1, 1, "s")):
        if seconds >= least:
            number = seconds / unit
            return f"{number:.1f} {name}" if number < 10 else f"{min(number, 1e6):.0f} {name}"
    return f"{seconds * 1000:.0f} ms"


# ---- Lines

def _title(view, width):
    version = [labels.get("version", "?") for labels, _ in
               (view.history.now.series("mostro_build_info") if view.history.now else [])]
    left = " ".join(["mostro-push", *(printable(each)[:20] for each in version[:1])])
    right = f"{view.address}  {view.time}"
    return [(left, TITLE), (right[-max(0, width - len(left) - 2):].rjust(width - len(left)), DIM)]


def _state(view, width):
    before = f"; the numbers are of {view.since}" if view.since and view.history.now else ""
    if view.away:
        return _told("AWAY", BAD, view.away + before, width)
    if not view.ready:
        return _told("NOT READY", BAD, view.reason + before, width)
    return _told("READY", WARN if view.reason else GOOD, view.reason, width)


def _told(word, style, text, width):
    """With what needs the operator, in at most two lines."""
    lines = textwrap.wrap(text, width - 10, max_lines=2, placeholder=" ...") or [""]
    return [[(f"{word:<10}", style), (lines[0], PLAIN)],
            *([(" " * 10 + line, PLAIN)] for line in lines[1:])]


def _line(name, *pieces):
    """The pieces with commas between."""
    line = [(f"{name:<10}", DIM)]
    for i, (text, style) in enumerate(pieces):
        line += [(", ", PLAIN)] * (i > 0) + [(text, style)]
    return line


def _wakes(now):
    pieces = [(f"{count(now.sum('mostro_wakes_inbox'))} in the inbox", PLAIN),
              (f"{count(now.sum('mostro_wakes_held'))} waiting", PLAIN),
              (f"{count(now.sum('mostro_pushes_in_flight'))} being pushed", PLAIN)]
    oldest = now.sum("mostro_oldest_wake_seconds")
    if oldest:
        pieces.append((f"oldest {duration(oldest)}", WARN if oldest > 60 else PLAIN))
    if now.sum("mostro_paused"):
        pieces.append(("PAUSED by an operator", WARN))
    return _line("wakes", *pieces)


def _backend(now, backend, name):
    """[(text, style)]: one where all listeners agree, else one for each that has trouble."""
    states = [(labels.get("listener", "?"), labels.get("state", "?"))
              for labels, value in now.series("mostro_backend_state", backend=backend)
              if value == 1]
    if not states:
        return []
    said = {state for _, state in states}
    if len(said) == 1:
        return [(f"{name} {_of_state(states[0][1])}", _style_of_state(states[0][1]))]
    return [(f"{name} {_of_state(state)} ({printable(listener)})", _style_of_state(state))
            for listener, state in sorted(states) if state not in ("up", "off")]


def _of_state(state):
    return STATES.get(state, printable(state)[:20])


def _style_of_state(state):
    return {"up": GOOD, "off": DIM, "limited": WARN, "paused": WARN}.get(state, BAD)


def _backends(now):
    pieces = [piece for backend in BACKENDS for piece in _backend(now, *backend)]
    held = now.sum("mostro_unifiedpush_hosts_held")
    if held:
        pieces.append((f"{several(held, 'distributor')} held", WARN))
    return [_line("push", *pieces)] if pieces else []


def _trouble(now):
    """What is out of the ordinary, where anything is."""
    pieces = [(f"full: {FULL.get(labels.get('what'), '?')}", BAD)
              for labels, value in now.series("mostro_full") if value == 1]
    if now.sum("mostro_lost"):
        lost = now.sum("mostro_lost_registrations")
        pieces.append((f"Redis lost {count(lost) if lost else 'its'} registrations", BAD))
    hide = now.sum("mostro_relays_may_hide_wraps")
    if hide:
        pieces.append((f"{several(hide, 'relay')} may hide gift wraps", WARN))
    return [_line("trouble", *pieces)] if pieces else []


def _head(now):
    phones = [(f"{count(now.sum('mostro_registrations', platform=each))} {name}", PLAIN)
              for each, name in (("android", "Android"), ("ios", "iOS"))]
    traced = now.sum("mostro_traced_pubkeys")
    if traced:
        phones.append((f"{count(traced)} traced by an operator", WARN))
    return [_line("phones", *phones), _wakes(now), *_backends(now), *_trouble(now)]


# ---- Counters, in two columns

def _requests(route, *statuses):
    return [(f"{route} {status}", [("mostro_requests_total", {"route": route, "status": status})])
            for status in statuses]


def _events(name, *outcomes):
    return (name, [("mostro_events_total", {"outcome": each}) for each in outcomes])


def _pushes(backend, name):
    return [(f"{name} {words}", [("mostro_wakes_total", {"backend": backend, "outcome": outcome})])
            for outcome, words in (("delivered", "delivered"), ("dead", "dead"),
                                   ("given_up", "given up"))]


LEFT = [("events received", [("mostro_events_received_total", {})]),
        _events("  taken", "taken"), _events("  seen before", "repeated", "stored"),
        _events("  not for us", "invalid", "unaddressed", "expired"),
        *_requests("notify", "202", "429", "503"), *_requests("register", "200", "429", "503")]
RIGHT = [*(row for backend in BACKENDS for row in _pushes(*backend)),
         ("tried again", [("mostro_push_retries_total", {})]),
         ("unregistered", [("mostro_wakes_total", {"outcome": "unregistered"})]),
         ("dropped", [("mostro_wakes_total", {"outcome": "dropped"})]),
         ("Redis errors", [("mostro_redis_errors_total", {})])]
NUMBERS = 18  # characters of both columns
# Where this is not 0 somebody should know.
WORRYING = ("503", "given up", "dropped", "Redis errors")


def _added(values):
    values = [value for value in values if value is not None]
    return sum(values) if values else None


def _cell(history, name, series, width):
    lately = _added(history.grown(family, **labels) for family, labels in series)
    ever = _added(history.now.sum(family, **labels) for family, labels in series)
    style = WARN if lately and name.endswith(WORRYING) else PLAIN
    return [(f"{name:<{width - NUMBERS}}", PLAIN), (f"{count(lately):>9}", style),
            (f"{count(ever):>9}", DIM)]


def _counters(history, width):
    half = min((width - 2) // 2, 48)
    span = history.seconds
    lately = "last min" if span > WINDOW_SECONDS * 0.9 else f"last {span:.0f} s" if span else ""
    head = f"{'':<{half - NUMBERS}}{lately:>9}{'ever':>9}"
    lines = [[(f"{head}  {head}", DIM)]]
    for left, right in zip(LEFT, RIGHT):
        lines.append([*_cell(history, *left, half), ("  ", PLAIN), *_cell(history, *right, half)])
    return lines


# ---- Times

def _times(history):
    lines = [[(f"{'':<16}", DIM)] + [(f"{name + ' ' + 'p50':>16}{'p95':>8}{'p99':>8}", DIM)
                                     for _, name in BACKENDS]]
    for name, family in (("event to push", "mostro_event_to_push_seconds"),
                         ("push's answer", "mostro_push_duration_seconds")):
        line = [(f"{name:<16}", PLAIN)]
        for backend, _ in BACKENDS:
            found = [duration(each) for each in
                     history.quantiles(family, QUANTILES, backend=backend)]
            line.append((f"{found[0]:>16}{found[1]:>8}{found[2]:>8}", PLAIN))
        lines.append(line)
    return lines


# ---- Relays

def _relay(now, labels, connected):
    listener, relay = labels.get("listener", "?"), labels.get("relay", "?")
    where = {"listener": listener, "relay": relay}
    age = now.sum("mostro_relay_last_event_age_seconds", **where)
    said = []
    for kind, value in sorted((each.get("kind", "?"), value) for each, value in
                              now.series("mostro_relay_subscribed", **where)):
        refused = now.sum("mostro_relay_refused", kind=kind, **where)
        said.append(f"{kind} refused" if refused else kind if value else f"{kind} waits")
    bad = not connected
    warn = any(" " in each for each in said)
    if now.sum("mostro_relay_may_hide_wraps", **where):
        said.append("may hide gift wraps")
    if age is not None:
        said.append(f"event {duration(max(age, 1))} ago")
    order = 0 if bad else 1 if warn else 2
    style = (BAD, WARN, GOOD)[order]
    text = f"{relay}  {', '.join(said)}"
    return (order, relay, listener), listener, [(f"{'down' if bad else 'up':<10}", style)], text


def _relays(now, rows):
    """What does not work first. `rows` is how many lines there may be; None: all."""
    found = sorted((_relay(now, labels, value) for labels, value in
                    now.series("mostro_relay_connected")), key=lambda each: each[0])
    many = len({listener for _, listener, _, _ in found}) > 1
    listeners = now.sum("mostro_listeners")
    connected, wanted = now.sum("mostro_relays_connected"), now.sum("mostro_relays_configured")
    fine = connected and connected == wanted
    lines = [_line("relays", (f"{count(connected)} of {count(wanted)} up",
                              GOOD if fine else WARN if connected else BAD),
                   (several(listeners, "listener"), PLAIN if listeners else BAD))]
    shown = len(found) if rows is None or len(found) < rows else max(0, rows - 2)
    for _, listener, state, text in found[:shown]:
        lines.append([*state, (printable(f"{text}  [{listener}]" if many else text), PLAIN)])
    if shown < len(found):
        lines.append([(f"{'':<10}and {len(found) - shown} more, which a taller window shows", DIM)])
    return lines


def _cut(line, width):
    left, cut = width, []
    for text, style in line:
        cut.append((text[:left], style))
        left -= len(cut[-1][0])
    return cut


def frame(view, width=WIDTH, height=None):
    """The lines; of any number where there is no height."""
    width = max(width, WIDTH)
    lines = [_title(view, width), *_state(view, width)]
    if view.history.now:
        now = view.history.now
        lines += [*_head(now), *_counters(view.history, width), *_times(view.history)]
        lines += _relays(now, None if height is None else height - len(lines))
    return [_cut(line, width) if height else line for line in lines[:height]]


def text_of(lines):
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)
