"""Many runs from one plan: what is missing is run, what is there is left alone.

A plan is data (``plans/*.toml``): blocks of data sets, protocols, models, seeds, folds and options. It is expanded seed
by seed, so that a whole table exists after the first. joblib hands the runs to processes of this machine, or Dask, with
a scheduler's address, to a cluster.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from fer_repro import results
from fer_repro.data.files import cores
from fer_repro.recipe import LAST_SEED, changed
from fer_repro.recipe import get as get_recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PLANS = Path(__file__).resolve().parent.parent / "plans"  # of a checkout
BLOCK = {"datasets", "recipe", "protocol", "models", "seeds", "folds", "options", "changes", "precision"}


class PlanError(ValueError):
    """A plan that cannot be read: which block, what was wanted, what came."""


@dataclass(frozen=True)
class Run:
    """One line of an expanded plan."""

    dataset: str
    recipe: str
    model: str
    protocol: str
    seed: int
    fold: int | None = None
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    changes: dict[str, Any] = field(default_factory=dict, hash=False)
    epochs: int | None = None
    limit: int | None = None
    precision: str | None = None  # "32-true" where the plan wants float32; None for what the sweep is told

    def job(self) -> Any:
        """Return the :class:`fer_repro.training.Job` this is."""
        from fer_repro.training import job

        return job(
            *(self.dataset, self.model, get_recipe(self.recipe), self.protocol, self.seed, self.fold, self.options),
            epochs=self.epochs,
            limit=self.limit,
            changes=self.changes,
        )

    def path(self, root: Path) -> Path:
        """Return where its record belongs."""
        return results.path_of(self.job().record(), self.records_root(root))

    def records_root(self, root: Path) -> Path:
        """Return the folder of its records: one apart where float32 is wanted, since a record's name is without it."""
        return root / results.FLOAT32 if self.precision else root

    def __str__(self) -> str:
        """Name the run as its record's path does."""
        return str(self.path(Path()).with_suffix(""))


@dataclass
class Outcome:
    """How one run of a sweep ended."""

    run: Run
    state: str  # "done", "busy" (another process is at it) or "failed"
    seconds: float
    message: str = ""


def read_plan(path: Path | str) -> list[Run]:
    """Read and expand a plan.

    Raises
    ------
    PlanError
        If the file is missing or not TOML, or a block names something unknown.
    """
    try:
        plan = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # not text, not TOML
        raise PlanError(f"{path}: cannot be read as a plan: {error}") from None
    if unknown := set(plan) - {"title", "runs"}:
        raise PlanError(f"{path}: unknown {', '.join(sorted(unknown))}; wanted a title and blocks [[runs]]")
    blocks = plan.get("runs")
    if not isinstance(blocks, list) or not blocks:
        raise PlanError(f"{path}: wanted at least one [[runs]] block")
    if odd := [block for block in blocks if not isinstance(block, dict)]:
        raise PlanError(f"{path}: wanted blocks [[runs]], got {odd[0]!r}")
    runs = [run for number, block in enumerate(blocks, 1) for run in _expand(block, f"{path}: block {number}")]
    return sorted(dict.fromkeys(runs), key=lambda run: run.seed)  # stable: within a seed the plan's own order


def _expand(block: dict[str, Any], where: str) -> list[Run]:
    from fer_repro import network
    from fer_repro.data import NAMES
    from fer_repro.data.splits import DEFAULT_PROTOCOL, FOLDS, PROTOCOLS

    if unknown := set(block) - BLOCK:
        raise PlanError(f"{where}: unknown {', '.join(sorted(unknown))}; wanted {', '.join(sorted(BLOCK))}")
    try:
        datasets, recipe, models, seeds = (block[k] for k in ("datasets", "recipe", "models", "seeds"))
    except KeyError as missing:
        raise PlanError(f"{where}: {missing} is missing") from None
    for name, given in (
        ("datasets", datasets),
        ("models", models),
        ("seeds", seeds),
        ("folds", block.get("folds", [])),
    ):
        kind = int if name in ("seeds", "folds") else str
        if not isinstance(given, list) or not all(type(item) is kind for item in given):
            raise PlanError(f"{where}: {name}: wanted a list of {'numbers' if kind is int else 'names'}, got {given!r}")
        if name in block and not given:
            raise PlanError(f"{where}: {name}: wanted one or more, got none")
    for name in ("options", "changes"):
        if not isinstance(block.get(name, {}), dict):
            raise PlanError(f"{where}: {name}: wanted a table {{ name = value }}, got {block[name]!r}")
    folds = block.get("folds", [])
    if wrong := [n for n in seeds if not 0 <= n <= LAST_SEED] + [n for n in folds if not 0 <= n < FOLDS]:
        raise PlanError(f"{where}: {wrong[0]}: wanted seeds of 0 to {LAST_SEED}, and folds of 0 to {FOLDS - 1}")
    if block.get("protocol", PROTOCOLS[0]) not in PROTOCOLS:
        raise PlanError(f"{where}: unknown protocol {block['protocol']!r}; wanted among {', '.join(PROTOCOLS)}")
    for given, known, what in ((datasets, NAMES, "data set"), (models, network.NAMES, "model")):
        if unknown := set(given) - set(known):
            raise PlanError(f"{where}: unknown {what} {', '.join(sorted(unknown))}; wanted among {', '.join(known)}")
    precision = block.get("precision")
    if precision not in (None, "32-true"):
        raise PlanError(f"{where}: unknown precision {precision!r}; wanted '32-true', or none for the sweep's own")
    try:
        get_recipe(str(recipe))
    except ValueError as error:
        raise PlanError(f"{where}: {error}") from None
    runs = []
    for seed, dataset in product(seeds, datasets):
        protocol = block.get("protocol", DEFAULT_PROTOCOL[dataset])
        if (protocol == "official") == (dataset == "ckplus"):
            raise PlanError(
                f"{where}: {dataset} has no split {protocol!r}: CK+ is divided by 'subjects', 'sequences' or "
                "'frames', every other data set has an official split"
            )
        if "folds" in block and protocol != "subjects":
            raise PlanError(f"{where}: only the protocol 'subjects' has folds, got folds with {protocol!r}")
        folds = block.get("folds", list(range(FOLDS))) if protocol == "subjects" else [None]
        for model, fold in product(models, folds):
            options, changes = block.get("options", {}), block.get("changes", {})
            runs.append(Run(dataset, recipe, model, protocol, seed, fold, options, changes, precision=precision))
    try:
        for run in runs:
            run.job()
        for run in {run.model: run for run in runs if run.options}.values():
            _try_options(run)
    except (ValueError, AttributeError) as error:
        raise PlanError(f"{where}: {error}") from None
    return runs


def _try_options(run: Run) -> None:
    """Build the network once, without memory for weights: an option it does not have must not wait for a run."""
    import torch

    from fer_repro import network

    try:
        with torch.device("meta"):
            network.build(run.model, size=run.job().recipe.size, **run.options)
    except (TypeError, RuntimeError, ZeroDivisionError, IndexError) as error:
        raise ValueError(f"options: {error}") from error


def split_by_state(runs: list[Run], root: Path) -> tuple[list[Run], list[Run]]:
    """Return the runs that have a record, and those that have none.

    Raises
    ------
    RecordError
        If what stands at a record's place is none, damaged, or was made with other settings.
    """
    done = [run for run in runs if (path := run.path(root)).exists() and _made_as_planned(run, path)]
    there = set(done)
    return done, [run for run in runs if run not in there]


def _made_as_planned(run: Run, path: Path) -> bool:
    if fields := changed(results.read(path)["recipe"], run.job().recipe):
        raise results.RecordError(
            f"{path}: made when recipe {run.recipe} had another {', '.join(fields)}; give the new settings a name of "
            "their own, or move the record away"
        )
    return True


_one_at_a_time = threading.Lock()  # a process has one random generator, and a Dask worker may have several threads


def perform(
    run: Run, root: Path, data_dir: Path | None, device: str, precision: str, threads: int | None, jobs: int = 1
) -> Outcome:
    """Train one run in this process, on ``threads`` or on this machine's cores divided by ``jobs``.

    A failure is an outcome, not an end.
    """
    with _one_at_a_time:
        return _perform(run, root, data_dir, device, precision, threads or max(1, cores() // jobs))


def _perform(run: Run, root: Path, data_dir: Path | None, device: str, precision: str, threads: int) -> Outcome:
    import torch

    from fer_repro import training

    started = time.perf_counter()
    torch.set_num_threads(threads)
    try:
        with training.flushed_denormals():
            training.train(
                *(_faces(run.dataset, data_dir), run.model, get_recipe(run.recipe), run.protocol, run.seed, run.fold),
                device=device,
                precision=run.precision or precision,
                options=run.options,
                changes=run.changes,
                epochs=run.epochs,
                limit=run.limit,
                folder=run.records_root(root),
            )
    except (training.RunInProgress, FileExistsError) as busy:
        return Outcome(run, "busy", time.perf_counter() - started, str(busy))
    except Exception as error:  # recorded, and the sweep goes on
        return _failed(run, root, time.perf_counter() - started, error)
    return Outcome(run, "done", time.perf_counter() - started)


def _try_writing(root: Path) -> None:
    """Refuse a folder of records that nothing can be written to: once, not in every run."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        raise PlanError(f"{root}: no record can be written here ({error.strerror or error})") from None


def _try_data_and_device(runs: list[Run], data_dir: Path | None, device: str) -> None:
    """Refuse a folder of data, or a device, that is not there."""
    from fer_repro import data, training

    for name in {run.dataset for run in runs} - {"synthetic"}:
        data.where(name, data_dir)
    training.chosen_device(device)


def _failed(run: Run, root: Path, seconds: float, error: BaseException) -> Outcome:
    note = run.job().folder(run.records_root(root)) / "failure.txt"
    said = f"{type(error).__name__}: {error}"
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
    except OSError as full:  # such as a full disk, which may be why the run failed
        return Outcome(run, "failed", seconds, f"{said}; no note of it could be written: {full}")
    return Outcome(run, "failed", seconds, f"{said}; see {note}")


@lru_cache(maxsize=2)
def _faces(dataset: str, data_dir: Path | None) -> Any:
    from fer_repro import data

    return data.load(dataset, data_dir)


def sweep(
    runs: list[Run],
    root: Path | None = None,
    data_dir: Path | None = None,
    jobs: int = 1,
    device: str = "auto",
    precision: str = "auto",
    scheduler: str | None = None,
    threads: int | None = None,
    echo: Callable[[str], None] = print,
) -> list[Outcome]:
    """Do what is missing.

    Parameters
    ----------
    runs : list of Run
    root : Path or None
        Root of the records.
    data_dir : Path or None
    jobs : int
        Runs at once on this machine; its cores are shared among them.
    device, precision : str
        See :func:`fer_repro.training.engine`; a run's own precision goes first.
    scheduler : str or None
        Address of a Dask scheduler, such as ``tcp://host:8786``: the runs go to its workers, one at a time to each,
        which must see ``root`` and the data at the same place.
    threads : int or None
        For each run; None for a machine's cores divided by the runs at once on it.
    echo : callable
        Takes each line of the report.

    Returns
    -------
    list of Outcome
        One for each run that was missing.
    """
    root = root or results.root()
    if scheduler is not None:  # a worker has another working directory and environment
        root, place = root.resolve(), data_dir or os.environ.get("FER_REPRO_DATA")
        data_dir = Path(place).resolve() if place else None
    done, missing = split_by_state(runs, root)
    where = f"{jobs} at once" if scheduler is None else f"on the cluster at {scheduler}"
    echo(f"{len(runs)} runs: {len(done)} done, {len(missing)} to do, {where}")
    if not missing:
        return []
    guess = mean_seconds(missing, root)
    _try_writing(root)
    if scheduler is None:  # what every run would say, once
        _try_data_and_device(missing, data_dir, device)
    if scheduler is not None:
        return _on_cluster(missing, scheduler, (root, data_dir, device, precision, threads), echo, guess)
    report = _Report(len(missing), jobs, echo, guess)
    outcomes: list[Outcome] = []
    while len(outcomes) < len(missing):
        ended = {o.run for o in outcomes}
        left = [run for run in missing if run not in ended]
        for outcome in _on_this_machine(left, jobs, (root, data_dir, device, precision, threads, jobs)):
            outcomes.append(report(outcome))
    return outcomes


def _on_this_machine(runs: list[Run], jobs: int, arguments: tuple[Any, ...]) -> Iterator[Outcome]:
    """Yield outcomes as they come: of all runs, or until a process dies, of those that were under way then, too."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    # joblib puts a fresh process in place of one that has grown, between two runs, and warns that something may leak
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
    tasks = (delayed(perform)(run, *arguments) for run in runs)
    ended = set()
    started = time.perf_counter()
    try:
        for o in Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch=jobs)(tasks):
            ended.add(o.run)
            yield o
    except TerminatedWorkerError as error:
        why = "its process, or one beside it, was ended (out of memory?); another sweep goes on from its checkpoint"
        seconds = time.perf_counter() - started
        for run in [run for run in runs if run not in ended][:jobs]:  # they are taken in this order
            if run.path(arguments[0]).exists():
                yield Outcome(run, "done", seconds)
            else:
                yield _failed(run, arguments[0], seconds, RuntimeError(f"{why}: {error}"))


def _on_cluster(
    missing: list[Run],
    scheduler: str,
    arguments: tuple[Path, Path | None, str, str, int | None],
    echo: Callable[[str], None],
    guess: float | None,
) -> list[Outcome]:
    """Hand runs to Dask itself: joblib's way to it waits forever for a run whose worker has died."""
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise PlanError("a scheduler needs the extra `cluster`: pip install 'fer_repro[cluster]'") from None
    started = time.perf_counter()
    outcomes = []
    with Client(scheduler, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=60)
        hosts = Counter(address.rpartition(":")[0] for address in client.ncores())
        report = _Report(len(missing), hosts.total(), echo, guess)
        futures = {client.submit(perform, run, *arguments, max(hosts.values()), pure=False): run for run in missing}
        for future in as_completed(futures, loop=client.loop):
            error = future.exception()
            if error is None:
                outcome = future.result()
            else:  # perform itself raises nothing: its worker died each time, of too little memory perhaps
                outcome = _failed(futures[future], arguments[0], time.perf_counter() - started, error)
            outcomes.append(report(outcome))
    return outcomes


def outlook(plans: Iterable[Path], root: Path) -> pd.DataFrame:
    """Return what of the plans has run and what the rest would cost.

    Parameters
    ----------
    plans : iterable of Path
        Plan files.
    root : Path
        Root of the records.

    Returns
    -------
    DataFrame
        One row a plan: ``plan`` (file name), ``planned, done, left`` (runs), ``hours, slowest``: hours that the rest
        would take one run after another, by what such runs took before on the processor that was quickest at them and
        on the slowest (NaN where none has run: :func:`seconds_by_processor`).
    """
    rows = []
    for path in plans:
        runs = read_plan(path)
        done, left = split_by_state(runs, root)
        each: dict[tuple[Any, ...], list[Run]] = {}
        for run in left:
            each.setdefault((run.dataset, run.recipe, run.protocol, run.precision), []).append(run)
        took = [(len(alike), seconds_by_processor(alike, root).values() or [math.nan]) for alike in each.values()]
        hours = [sum(n * extreme(seconds) for n, seconds in took) / 3600 for extreme in (min, max)]
        rows.append((path.name, len(runs), len(done), len(left), *hours))
    return pd.DataFrame(rows, columns=["plan", "planned", "done", "left", "hours", "slowest"])


def mean_seconds(runs: list[Run], root: Path) -> float | None:
    """Return what such runs took before, seconds each: on a processor like this machine's, or else on any."""
    took = _took(runs, root)
    here = results.processor_of(results.machine())
    alike = [seconds for processor, seconds in took if processor == here] or [seconds for _, seconds in took]
    return sum(alike) / len(alike) if alike else None


def seconds_by_processor(runs: list[Run], root: Path) -> dict[str, float]:
    """Return what such runs took before, seconds each, by the processor (:func:`fer_repro.results.processor_of`)."""
    took = pd.DataFrame(_took(runs, root), columns=["processor", "seconds"])
    return {str(name): float(mean) for name, mean in took.groupby("processor")["seconds"].mean().items()}


def _took(runs: list[Run], root: Path) -> list[tuple[str, float]]:
    """Return processor and seconds of the records of the same data sets, recipes and protocols.

    Where a protocol has no record yet, those of the others count, which train on about as many images. Runs wanted in
    float32 are priced by such runs alone.
    """
    took = []
    for folder in {r.records_root(root) for r in runs}:
        records = [r for r in results.load_all(folder) if r["complete"]]
        for wanted in {(r.dataset, r.recipe, r.protocol) for r in runs if r.records_root(root) == folder}:
            alike = [r for r in records if (r["dataset"], r["recipe"]["name"], r["protocol"]) == wanted]
            alike = alike or [r for r in records if (r["dataset"], r["recipe"]["name"]) == wanted[:2]]
            took += [(results.processor_of(r.get("machine", {})), r["seconds"]) for r in alike]
    return took


class _Report:
    """Say after each run what is done and left, and about how long the rest takes."""

    def __init__(self, total: int, jobs: int, echo: Callable[[str], None], guess: float | None) -> None:
        self.total, self.jobs, self.echo = total, jobs, echo
        self.took: list[float] = []
        self.ended = 0
        if guess is not None:
            echo(f"about {_duration(guess * total / jobs)}, as such runs took before")

    def __call__(self, outcome: Outcome) -> Outcome:
        self.ended += 1
        if outcome.state == "done":
            self.took.append(outcome.seconds)
        left = self.total - self.ended
        running = min(self.jobs, left)
        ahead = ""
        if self.took and left:
            ahead = f", about {_duration(sum(self.took) / len(self.took) * left / self.jobs)} to go"
        self.echo(f"[{self.ended}/{self.total}] {_line(outcome)}  ({running} running, {left - running} left{ahead})")
        return outcome


def _line(outcome: Outcome) -> str:
    message = f": {outcome.message}" if outcome.message else ""
    return f"{outcome.state} {outcome.run} in {_duration(outcome.seconds)}{message}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
