"""Whatever way a primary goes: what was answered 200 is registered, what was answered 202 wakes its
phone, and once. Most of it with contrib/check --long."""
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "faults"))

from failover import Trial, cases, on_other_servers  # noqa: E402
from handovers import SERVERS  # noqa: E402
from machines import may_try  # noqa: E402

SHORT = ("primary killed, back after 0 s", "cut off, 10 ms")


def parameters():
    for case in cases():
        marks = [] if case.name in SHORT else [pytest.mark.long]
        if case.options.get("machines"):
            marks.append(pytest.mark.skipif(not may_try(), reason="needs network namespaces"))
        yield pytest.param(case, id=case.name, marks=marks)
    for case in on_other_servers(SERVERS):
        missing = not case.options["server"].exists()
        yield pytest.param(case, id=case.name, marks=[pytest.mark.long, pytest.mark.skipif(
            missing, reason="contrib/check --long has other servers")])


@pytest.mark.measured
@pytest.mark.parametrize("case", parameters())
def test_nothing_is_lost(case):
    # A Unix socket's path must fit in 108 bytes.
    directory = tempfile.mkdtemp(prefix="mostro-push-failover-")
    trial = Trial(directory, case.options)
    try:
        gaps = trial.run(case)
        if not case.for_good:
            trial.mend(case)
        trial.stop()
        found = list(trial.problems(case))
        assert not found, "\n".join([*found, f"logs are in {directory}"])
        assert max(gaps) < case.most_seconds, gaps
    finally:
        trial.close()
    shutil.rmtree(directory)
