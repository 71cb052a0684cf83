#!/usr/bin/python3
"""failover: for how long the API does not do its work when a primary goes, in each of the ways of
tests/faults/failover.py: seconds without a registration and without an accepted notify, median and
worst of so many turns.

    tests/bench/failover.py --build-dir DIR [--turns 10] [--only WORDS]
"""
import argparse
import os
import pathlib
import shutil
import statistics
import sys
import tempfile

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.dont_write_bytecode = True
sys.path[:0] = [str(TESTS / name) for name in ("faults", "integration", "standins")]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build-dir", help="where the programs are (default: BUILD_DIR)")
    parser.add_argument("--turns", type=int, default=10, help="of each case")
    parser.add_argument("--only", default="", help="cases whose names hold this")
    return parser.parse_args()


def turn(case):
    """Of a world of its own: (seconds without a registration, without a notify, what was wrong)."""
    from failover import Trial

    directory = tempfile.mkdtemp(prefix="mostro-push-failover-")
    trial = Trial(directory, case.options, with_load=False)
    try:
        gaps = trial.run(case)
        trial.stop()
        return *gaps, list(trial.problems(case))
    finally:
        trial.close()
        shutil.rmtree(directory)


def main(options):
    if options.build_dir:
        os.environ["BUILD_DIR"] = options.build_dir
    # They look for the programs there.
    from failover import cases
    print(f"{'seconds without':34}{'registrations':>18}{'notifies':>18}\n"
          f"{f'{options.turns} turns':34}{'median':>10}{'worst':>8}{'median':>10}{'worst':>8}")
    for case in cases():
        if options.only not in case.name:
            continue
        turns = [turn(case) for _ in range(options.turns)]
        registers, notifies, problems = zip(*turns)
        print(f"{case.name:34}" + "".join(
            f"{statistics.median(gaps):10.2f}{max(gaps):8.2f}" for gaps in (registers, notifies)),
            *(line for lines in problems for line in lines), sep="  ", flush=True)


if __name__ == "__main__":
    main(arguments())
