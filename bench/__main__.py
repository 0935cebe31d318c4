"""``python -m bench [NAME…] [--quick] [--json FILE]``: measures, prints the table, and judges."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from bench import table
from bench.figures import Result, Row, judged
from bench.registry import BENCHMARKS, Benchmark
from bench.stage import FULL, QUICK, CannotMeasure, Sizes, Stage
from roadstead.app.process import raise_file_limit


def main() -> int:
    """Run the command line; return 1 when a goal is missed or a benchmark failed."""
    asked = _arguments()
    raise_file_limit()
    chosen = [one for one in BENCHMARKS if not asked.names or one.name in asked.names]
    with tempfile.TemporaryDirectory(prefix="roadstead-bench-") as folder:
        try:
            results = asyncio.run(run(chosen, QUICK if asked.quick else FULL, Path(folder)))
        except (KeyboardInterrupt, asyncio.CancelledError):
            print("Stopped.", file=sys.stderr)
            return 130
    print(table.table(results))
    if asked.quick:
        print("\n--quick: few repetitions and a small fleet; the figures are rough.")
    if asked.json is not None:
        table.write_json(asked.json, results)
    return 0 if table.is_good(results) else 1


async def run(chosen: Sequence[Benchmark], sizes: Sizes, folder: Path) -> list[Result]:
    """Run the benchmarks one after the other and return their rows."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    stage = Stage(sizes, folder)
    results: list[Result] = []
    scene = ""
    try:
        for one in chosen:
            if one.scene != scene:
                await stage.clear()
                scene = one.scene
            results += await _measured(one, stage)
    finally:
        await stage.clear()
    return results


async def _measured(one: Benchmark, stage: Stage) -> list[Result]:
    row = Row(name=one.name, unit=one.unit, goal=one.goal.text)
    try:
        results = judged(one.name, one.unit, one.goal, await one.measure(stage))
    except CannotMeasure as reason:
        return [Result(row, str(reason))]
    except Exception as error:  # noqa: BLE001 - whatever went wrong in one, the others are measured
        traceback.print_exc()
        return [Result(row, f"FAILED: {error!r}", failed=True)]
    for result in results:
        stage.say(table.table([result]).splitlines()[1])
    return results


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./scripts/bench", description="Measures, and prints the table of goals.")
    names = [one.name for one in BENCHMARKS]
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*names, []], help=f"of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="a small run of a few minutes; its figures are rough")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as a list of objects")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
