"""metrics_text: Prometheus's text format (0.0.4), and what the numbers of several moments say: how
much counters have grown lately, and quantiles of histograms. Knows no sockets and no clock."""
import collections
import math
import re

MOST_SERIES = 20_000
WINDOW_SECONDS = 60

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_VALUE = re.compile(r" +([+-]?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|Inf|NaN))(?: +-?[0-9]+)?$")
_ESCAPE = re.compile(r"\\(.)")


class Unusable(Exception):
    """Not metrics, or too many."""


def _series(line):
    """(name, {label: value}, number), or None."""
    name = _NAME.match(line)
    if not name:
        return None
    at, labels = name.end(), {}
    if line[at:at + 1] == "{":
        at += 1
        while line[at:at + 1] != "}":
            label = _LABEL.match(line, at)
            if not label:
                return None
            labels[label[1]] = _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1],
                                           label[2])
            at = label.end() + (line[label.end():label.end() + 1] == ",")
        at += 1
    value = _VALUE.match(line, at)
    return (name[0], labels, float(value[1])) if value else None


class Metrics:
    """The series of one moment. A line that is none is skipped; where all are, that is Unusable."""

    def __init__(self, text):
        self._families = collections.defaultdict(dict)
        count = 0
        for line in text.split("\n"):
            found = _series(line) if line and line[0] != "#" else None
            if not found:
                continue
            name, labels, value = found
            count += 1
            if count > MOST_SERIES:
                raise Unusable("more metrics than any server has")
            self._families[name][tuple(sorted(labels.items()))] = value
        if not any(name.startswith("mostro_") for name in self._families):
            raise Unusable("what answers there is no Mostro Push")

    def __contains__(self, name):
        return name in self._families

    def series(self, name, **labels):
        """[({label: value}, number)] of those that have these labels among theirs."""
        return [(dict(key), value) for key, value in self._families.get(name, {}).items()
                if labels.items() <= dict(key).items()]

    def sum(self, name, **labels):
        """None where there is no such series."""
        found = [value for _, value in self.series(name, **labels) if math.isfinite(value)]
        return sum(found) if found else None

    def grown_since(self, before):
        """{name: {labels: how much}}; a counter that is smaller has begun anew at 0, and what one
        that was not there has counted before is not known to be new."""
        grown = {}
        for name, family in self._families.items():
            old = before._families.get(name, {})
            grown[name] = {key: value - old[key] if value >= old[key] else value
                           for key, value in family.items() if key in old and math.isfinite(value)}
        return grown


class History:
    """The last minute of them."""

    def __init__(self):
        self.now = None
        self._at = self._since = None
        self._growth = collections.deque()  # of (when, what had grown)

    def add(self, at, metrics):
        """`at` is in seconds of any clock that never goes back."""
        if self.now is not None and at - self._at < WINDOW_SECONDS:
            self._growth.append((at, metrics.grown_since(self.now)))
        else:
            self._growth.clear()
            self._since = at
        while self._growth and self._growth[0][0] <= at - WINDOW_SECONDS:
            self._since = self._growth.popleft()[0]
        self.now, self._at = metrics, at

    @property
    def seconds(self):
        """How far it goes back; 0 with one moment alone."""
        return self._at - self._since if self.now is not None else 0

    def grown(self, name, **labels):
        """How much in that time; None where nothing can be said."""
        if not self._growth or name not in self.now:
            return None
        return sum(value for _, growth in self._growth
                   for key, value in growth.get(name, {}).items()
                   if labels.items() <= dict(key).items())

    def quantiles(self, name, wanted, **labels):
        """Of a histogram, in that time; with one moment alone, ever. None where there was nothing;
        infinite beyond the last bound."""
        buckets = collections.Counter()
        sources = [growth.get(f"{name}_bucket", {}) for _, growth in self._growth]
        if not self._growth:
            sources = [{tuple(sorted(key.items())): value
                        for key, value in self.now.series(f"{name}_bucket")}]
        for source in sources:
            for key, value in source.items():
                if labels.items() <= dict(key).items():
                    buckets[_bound(dict(key).get("le"))] += value
        return [quantile(buckets, each) for each in wanted]


def _bound(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def quantile(buckets, wanted):
    """Of {upper bound: how many up to it}; between two bounds all are taken to lie evenly."""
    bounds = sorted(bound for bound in buckets if not math.isnan(bound))
    total = buckets[bounds[-1]] if bounds else 0
    if not total > 0:
        return None
    low = below = 0
    for bound in bounds:
        upto = buckets[bound]
        if upto >= wanted * total:
            if math.isinf(bound):
                return math.inf
            return low + (bound - low) * max(0, wanted * total - below) / max(upto - below, 1e-9)
        low, below = bound, upto
    return math.inf
