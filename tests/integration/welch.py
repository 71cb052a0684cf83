"""welch: whether two kinds of request take the same time.

Welch's t of two samples that were taken in turns, in random order. The slowest share of all,
whatever their kind, is left out. |t| stays below 4.5 in all but 7 of a million runs where the two
kinds do not differ.

compare() takes small blocks and centres each on its own median, so that what else the machine does
meanwhile (it differs from block to block, but not between the kinds) takes no sharpness from the
comparison. That is right only where no request of a block takes longer for another's kind: the
median would bring that into its own time. Where one may, compare_raw() takes the times as they are,
the kind of each having been drawn by itself: then it has nothing to do with the kinds before it."""
import math
import statistics

SLOWEST = 0.1  # of the pooled sample: interrupts, other processes, a tick of the server's
LIMIT = 4.5


def error(one, other):
    """The standard error of the difference of two samples' means."""
    return math.sqrt(statistics.variance(one) / len(one) + statistics.variance(other) / len(other))


def t(one, other):
    """Welch's t: positive where the first sample is the larger."""
    return (statistics.fmean(one) - statistics.fmean(other)) / error(one, other)


def centre(block):
    """A block of (kind, time), less its median time."""
    median = statistics.median(time for _, time in block)
    return [(kind, time - median) for kind, time in block]


def crop(samples):
    """(kind, time) pairs without the slowest of both kinds together."""
    times = sorted(time for _, time in samples)
    limit = times[math.ceil(len(times) * (1 - SLOWEST)) - 1]
    return [(kind, time) for kind, time in samples if time <= limit]


def by_kind(samples):
    samples = crop(samples)
    return ([time for kind, time in samples if kind], [time for kind, time in samples if not kind])


def compare_raw(samples):
    """t of what is of kind True against what is of kind False, of (kind, time) pairs."""
    return t(*by_kind(samples))


def can_see_raw(samples, difference):
    """Whether so many samples show a difference of this size. It looks at how far the times spread,
    not at which kind is the slower, so that measuring on until it is true favours no outcome."""
    return difference > 2 * LIMIT * error(*by_kind(samples))


def centred(blocks):
    return [sample for block in blocks for sample in centre(block)]


def compare(blocks):
    return compare_raw(centred(blocks))


def can_see(blocks, difference):
    return can_see_raw(centred(blocks), difference)
