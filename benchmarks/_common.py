"""What every benchmark shares: ways that take turns, a machine's description, a record that the book reads.

``results/benchmarks/NAME.json`` is what ``python benchmarks/NAME.py --json`` writes; the book's page on speed is made
of those files, so a number there is as good as the machine and commit beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fer_repro import results

STARTED_WITH = results.provenance()  # the code that is measured, whatever is edited or committed meanwhile


def made_with() -> dict[str, Any]:
    """Say what this runs on: code, versions and machine as in a run's record, and how busy the machine was."""
    return {
        **STARTED_WITH,
        "busy": round(os.getloadavg()[0], 2),  # processes that wanted to run, mean over the last minute
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def in_turns(
    ways: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Return each way's fastest time in seconds; they take turns, so that a busy moment hits all alike."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(repeats):
        for name, run in ways.items():
            started = clock()
            run()
            best[name] = min(best[name], clock() - started)
    return best


def high_water() -> float:
    """Return the most memory this process has held, in MiB (Linux; getrusage would tell its parent's, too)."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def risen(before: float) -> float:
    """Return by how much :func:`high_water` has risen, in MiB: not below 0, since the kernel counts it roughly."""
    return max(0.0, high_water() - before)


def in_fresh_process(script: str, *arguments: str, **environment: str) -> Any:
    """Run another benchmark's inner command in a process of its own, and return the JSON of its last line.

    Allocator, thread counts and peak memory belong to a process, so ways that differ in them need one each.
    """
    here = Path(script).resolve()
    env = {**os.environ, **environment}
    ran = subprocess.run([sys.executable, str(here), *arguments], capture_output=True, text=True, env=env, check=False)
    if ran.returncode:
        raise SystemExit(f"{here.name} {' '.join(arguments)}: exit {ran.returncode}\n{ran.stderr[-2000:]}")
    return json.loads(ran.stdout.splitlines()[-1])


def place(name: str) -> Path:
    """Return where the book looks for a benchmark's record."""
    return results.root() / "benchmarks" / f"{name}.json"


def parser(description: str | None, name: str) -> argparse.ArgumentParser:
    """Return a parser with ``--json``, which writes the record the book reads unless told another place."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, nargs="?", const=place(name), help="write the record (default: in results/)")
    return made


def report(result: dict[str, Any], to: Path | None) -> None:
    """Print a result with the machine it was measured on, and write it where asked."""
    text = json.dumps({**result, **made_with()}, indent=1, ensure_ascii=False, default=float)
    if to:
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(text + "\n", encoding="utf-8")
    print(text)
