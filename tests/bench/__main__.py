# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bench`: runs the measurements, prints a table of ratios, and writes every single run as JSON."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from stackway import clock
from stackway.console import Reporter, Table, make_reporter
from stackway.errors import StackwayError
from stackway.files import write_json
from tests.bench import carrying, change, nothing, rendering, together, union
from tests.bench.measure import Result, middle
from tests.integration.runtime import unmount_below

BENCHES: Sequence[ModuleType] = (rendering, nothing, together, union, change, carrying)


def main() -> int:
    """Run what is asked for; return 1 when some of it could not be measured."""
    options = parse()
    names = options.only or [bench.NAME for bench in BENCHES if options.heavy or not bench.HEAVY]
    results = list(measure([bench for bench in BENCHES if bench.NAME in names], make_reporter()))
    sys.stdout.write(table(results).to_text() + "\n")
    if options.output:
        write_json(options.output, {"at": clock.now().isoformat(), "results": [item.to_dict() for item in results]})
    return 0 if len(results) == len(set(names)) else 1


def parse() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--output", metavar="FILE", type=Path, help="write all runs there, as JSON")
    known = [bench.NAME for bench in BENCHES]
    about = "; ".join(f"{bench.NAME}: {bench.SUMMARY}" for bench in BENCHES)
    parser.add_argument("--only", metavar="NAME", action="append", choices=known, help=about)
    parser.add_argument("--heavy", action="store_true", help="also those that build whole series for minutes")
    return parser.parse_args()


def measure(benches: Sequence[ModuleType], reporter: Reporter) -> Iterator[Result]:
    """Yield what could be measured; tell why where it could not."""
    for bench in benches:
        reporter.task(bench.NAME, bench.SUMMARY)
        try:
            with folder() as path:
                result: Result = bench.run(path)
        except StackwayError as error:
            reporter.finish(bench.NAME, f"{error.brief}; {error.details}; {error.resolution}", good=False)
        else:
            reporter.finish(bench.NAME, "measured")
            yield result


@contextmanager
def folder() -> Iterator[Path]:
    """Yield a folder that is gone afterwards, with all that a builder may have mounted in it."""
    with tempfile.TemporaryDirectory(prefix="stackway-bench-") as name:
        try:
            yield Path(name)
        finally:
            unmount_below(Path(name))


def table(results: Sequence[Result]) -> Table:
    """Return the medians side by side: seconds by the clock, and of processor in brackets."""
    rows = []
    for item in results:
        ratio = f"{item.ratio:.1f}x" if item.ratio else "-"
        rows.append((item.name, item.what, cell(item, 0), item.other_name, cell(item, 1), ratio))
    return Table(("BENCH", "WHAT", "OURS", "AGAINST", "THEIRS", "RATIO"), rows, right=("OURS", "THEIRS", "RATIO"))


def cell(result: Result, side: int) -> str:
    """Return one side's medians."""
    taken = (result.ours, result.others)[side]
    return f"{middle(taken).wall:.2f} s ({middle(taken).processor:.2f})" if taken else "-"


if __name__ == "__main__":
    sys.exit(main())
