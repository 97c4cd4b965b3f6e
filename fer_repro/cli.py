"""The command ``fer-repro``: data, train, sweep, evaluate, predict, ledger, book, handout.

Each command is thin: it reads its arguments, calls the library and prints. What a user can do wrong ends in one line on
stderr and exit code 1 (2 for wrong arguments).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from fer_repro import __version__
from fer_repro.recipe import LAST_SEED

F = TypeVar("F", bound=Callable[..., Any])
DATASETS = ("synthetic", "fer2013", "ckplus")
RECIPES = ("quick", "native48", "paper128")
# Spelt out, so that `fer-repro --help` need not wait for torch; a test compares it with network.NAMES.
MODELS = (
    *("proposed", "no_feature_extraction", "no_attention", "no_reconstruction"),
    *("cnn-lstm", "dscnn-lstm", "cnn-bilstm", "acnn-lstm", "cnn-svm"),
)


def fails_clearly(command: F) -> F:
    """Turn the errors a user can cause into one line and exit code 1."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click ends on the last without a word: `fer-repro ledger | head`
        except Exception as error:
            if "--debug" in sys.argv:
                raise
            said, kind = " ".join(str(error).split()), type(error).__name__
            if not isinstance(error, (ValueError, RuntimeError, OSError)):  # our errors are of these kinds
                said = f"{kind}: {said} (not foreseen; `fer-repro --debug ...` shows where)"
            raise click.ClickException(said or kind) from None

    return wrapped  # type: ignore[return-value]


@contextmanager
def _ended_like_an_interrupt() -> Iterator[None]:
    """Let SIGTERM unwind a command as Ctrl-C does: its processes end with it, what is temporary is cleared away."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Path(click.Path):
    """A path in which ~ stands for the home folder, as it does where a shell reads it.

    By os.path, which leaves a name such as ~photo.jpg alone; pathlib's ``expanduser`` raises.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(path_type=Path, **given)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(os.path.expanduser(value), param, ctx)


def _values(pairs: tuple[str, ...], what: str) -> dict[str, Any]:
    """Read ``name=value`` pairs; a value is JSON where it can be read as such, else text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"wanted NAME=VALUE, got {pair!r}", param_hint=what)
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = {"True": True, "False": False, "None": None}.get(value, value)
    return found


data_dir_option = click.option(
    "--data-dir",
    type=_Path(),
    envvar="FER_REPRO_DATA",
    help="Folder with fer2013/ and ckplus/, in any form they are handed out in (or FER_REPRO_DATA).",
)
results_option = click.option(
    "--results",
    "results_dir",
    type=_Path(),
    envvar="FER_REPRO_RESULTS",
    help="Folder of run records (or FER_REPRO_RESULTS).",
)
device_option = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "32-true", "bf16-mixed", "16-mixed"]),
    default="auto",
    show_default=True,
    help="auto: bfloat16 where the hardware multiplies it faster, else float32.",
)
threads_option = click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads of a run; all by default.")
seed_option = click.option("--seed", type=click.IntRange(0, LAST_SEED), default=0, show_default=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fer-repro")
@click.option("--debug", is_flag=True, help="Show the whole traceback of an error.")
def main(debug: bool) -> None:
    """Replicate "An Improved Facial Expression Recognition using CNN-BiLSTM with Attention Mechanism"."""
    for stream in (sys.stdout, sys.stderr):  # a file's name may be no text: it shall not end the command
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


# ---------------------------------------------------------------------------------------------------------------- data


@main.group()
def data() -> None:
    """Look at FER2013 and CK+ before you train on them."""


@data.command("check")
@click.argument("path", type=_Path())
@fails_clearly
def data_check(path: Path) -> None:
    """Say what stands at PATH: form, counts, blanks, duplicates, leaks between splits."""
    from fer_repro.data import audit

    reports, refusals = audit.inspect(path)
    click.echo("\n\n".join(map(str, reports)))
    refusals += [fault for report in reports for fault in report.faults]
    if refusals:
        raise click.ClickException("\n".join(refusals))


@data.command("fetch")
@click.argument("name", type=click.Choice(["fer2013"]))
@click.option("--to", "target", type=_Path(), required=True, help="Folder to put it in.")
@fails_clearly
def data_fetch(name: str, target: Path) -> None:
    """Download a data set with your own Kaggle account (needs the extra `fetch`)."""
    from fer_repro.data import fetch

    click.echo(f"{name} is at {fetch.fetch(name, target)}")


# -------------------------------------------------------------------------------------------------------------- train


@main.command()
@click.option("--dataset", type=click.Choice(DATASETS), default="synthetic", show_default=True)
@data_dir_option
@click.option("--recipe", "recipe_name", type=click.Choice(RECIPES), default="quick", show_default=True)
@click.option("--model", type=click.Choice(MODELS), default="proposed", show_default=True)
@seed_option
@click.option(
    "--protocol",
    type=click.Choice(["official", "subjects", "sequences", "frames"]),
    help="The data set's own by default.",
)
@click.option("--fold", type=click.IntRange(0), help="One of CK+'s ten folds; all of them, in turn, by default.")
@click.option("--epochs", type=click.IntRange(2), help="A trial with this many epochs in all; no verdict rests on it.")
@click.option("--limit", type=click.IntRange(2), help="A trial on this many training images.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="Of the network, e.g. query=last.")
@click.option("--change", "changes", multiple=True, metavar="NAME=VALUE", help="Of the recipe, e.g. center_weight=0.")
@results_option
@device_option
@precision_option
@threads_option
@click.option("--compile/--no-compile", "compiled", default=None, help="torch.compile; on one CUDA device by default.")
@click.option("--fresh", is_flag=True, help="Begin anew even where a killed run could be taken up.")
@fails_clearly
def train(
    dataset: str,
    data_dir: Path | None,
    recipe_name: str,
    model: str,
    seed: int,
    protocol: str | None,
    fold: int | None,
    epochs: int | None,
    limit: int | None,
    options: tuple[str, ...],
    changes: tuple[str, ...],
    results_dir: Path | None,
    device: str,
    precision: str,
    threads: int | None,
    compiled: bool | None,
    fresh: bool,
) -> None:
    """Train one network and write its record.

    Run it under `torchrun --nproc-per-node 2 -m fer_repro.cli train ...` for several processes.
    """
    import torch

    from fer_repro import data, recipe, results, training
    from fer_repro.data.splits import DEFAULT_PROTOCOL, FOLDS

    if threads:
        torch.set_num_threads(threads)
    click.get_current_context().with_resource(training.flushed_denormals())
    _hint_at_compiler(device)
    faces = data.load(dataset, data_dir)
    protocol = protocol or DEFAULT_PROTOCOL[dataset]
    folds: list[int | None] = [fold]
    if protocol == "subjects" and fold is None:
        folds = list(range(FOLDS))
    for one in folds:
        try:
            record, _ = training.train(
                *(faces, model, recipe.get(recipe_name), protocol, seed, one),
                device=device,
                precision=precision,
                options=_values(options, "--option"),
                changes=_values(changes, "--change"),
                epochs=epochs,
                limit=limit,
                folder=results_dir,
                resume=not fresh,
                progress=sys.stderr.isatty(),
                compiled=compiled,
            )
        except FileExistsError as error:
            if len(folds) == 1:
                raise
            click.echo(f"left alone: {error}")
            continue
        if training.is_first_process():
            click.echo(_summary(record, results.path_of(record, results_dir)))


def _hint_at_compiler(device: str) -> None:
    """Say that training could be faster, where it could."""
    from fer_repro import lookup, training

    if training.chosen_device(device) == "cpu" and not lookup.available():
        click.echo(
            "no C compiler to be used: with one, training on the CPU takes about half the time (Debian, Ubuntu: "
            "sudo apt-get install gcc libc6-dev)",
            err=True,
        )


def _summary(record: dict[str, Any], path: Path) -> str:
    from fer_repro import claims

    test = record["test"]
    line = f"{record['model']} on {record['dataset']}: accuracy {test['accuracy']:.2%}, macro F1 {test['f1']:.2%}"
    if record["test_without_duplicates"]:
        line += f", accuracy without duplicates {record['test_without_duplicates']['accuracy']:.2%}"
    if record["sequences"]:
        line += f", of sequences {record['sequences']['accuracy']:.2%}"
    line += f" ({test['n']} test images; {record['images_per_second']:.0f} training images/s)"
    line += f"\nrecord: {path}"
    if record["dataset"] in claims.REAL and (reason := claims.ineligible(record)):
        line += f"\nno verdict will rest on it: {reason}"
    return line


@main.command()
@click.argument("plan", type=_Path())
@data_dir_option
@results_option
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Runs at once on this machine.")
@device_option
@precision_option
@threads_option
@click.option("--scheduler", help="Address of a Dask scheduler that takes the runs instead (extra `cluster`).")
@click.option("--dry-run", is_flag=True, help="Only say what is done and what is missing.")
@fails_clearly
def sweep(
    plan: Path,
    data_dir: Path | None,
    results_dir: Path | None,
    jobs: int,
    device: str,
    precision: str,
    threads: int | None,
    scheduler: str | None,
    dry_run: bool,
) -> None:
    """Do every run of PLAN (plans/*.toml) that has no record yet."""
    from fer_repro import results
    from fer_repro.sweep import read_plan, split_by_state
    from fer_repro.sweep import sweep as do_sweep

    runs = read_plan(plan)
    if dry_run:
        done, missing = split_by_state(runs, results_dir or results.root())
        for state, some in (("done", done), ("missing", missing)):
            for run in some:
                click.echo(f"{state:8} {run}")
        click.echo(f"{len(runs)} runs: {len(done)} done, {len(missing)} missing")
        return
    click.get_current_context().with_resource(_ended_like_an_interrupt())
    if scheduler is None:
        _hint_at_compiler(device)
    outcomes = do_sweep(runs, results_dir, data_dir, jobs, device, precision, scheduler, threads, click.echo)
    failed = [o for o in outcomes if o.state == "failed"]
    if failed:
        raise click.ClickException(f"{len(failed)} of {len(outcomes)} runs failed; the sweep went on without them")
    if left := split_by_state([o.run for o in outcomes], results_dir or results.root())[1]:
        raise click.ClickException(
            f"{len(left)} of {len(outcomes)} runs are with another process, and have no record yet; run this again "
            "when it has ended"
        )


# ------------------------------------------------------------------------------------------------- evaluate and predict


def _checkpoint(given: Path | None, results_dir: Path | None) -> Path:
    from fer_repro import results

    if given is not None:
        return given
    folder = results_dir or results.root()
    places = (folder / ".runs", folder / results.FLOAT32 / ".runs")
    found = sorted((p for place in places for p in place.glob("**/best.pt")), key=lambda p: p.stat().st_mtime)
    if not found:
        raise click.ClickException(
            f"no trained network under {places[0]}: train one first (fer-repro train --dataset ...), "
            "or name one with --checkpoint"
        )
    return found[-1]


checkpoint_option = click.option("--checkpoint", type=_Path(), help="A best.pt of `train`; the newest by default.")


@main.command()
@checkpoint_option
@click.option("--dataset", type=click.Choice(DATASETS), help="The one it was trained on by default.")
@data_dir_option
@results_option
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True)
@click.option("--json", "as_json", is_flag=True)
@device_option
@fails_clearly
def evaluate(
    checkpoint: Path | None,
    dataset: str | None,
    data_dir: Path | None,
    results_dir: Path | None,
    split: str,
    as_json: bool,
    device: str,
) -> None:
    """Measure a trained network: accuracy, precision, recall and F1 with 95 % intervals."""
    from fer_repro import data, metrics, training
    from fer_repro.data.splits import DEFAULT_PROTOCOL, last_frames
    from fer_repro.data.splits import protocol as split_by

    path = _checkpoint(checkpoint, results_dir)
    model, about = training.load_model(path)
    name = dataset or about["dataset"]
    faces = data.load(name, data_dir)
    own = name == about["dataset"]
    if list(faces.classes) != about["classes"]:
        raise click.ClickException(
            f"{name} has the classes {', '.join(faces.classes)}, the network knows {', '.join(about['classes'])}"
        )
    protocol = about["protocol"] if own else DEFAULT_PROTOCOL[name]
    if own:
        faces = last_frames(faces, training.recipe_of(about).last_frames)
    faces = split_by(faces, protocol, seed=about["seed"], fold=about["fold"] if own else None).part(split)
    trained = about.get("precision", "32-true")
    kind = training.engine(device).device.type
    bfloat16 = trained == "bf16-mixed" and training.multiplies_bfloat16(kind)
    native = bfloat16 or trained in ("32-true", training.automatic_precision(kind))
    if not native:
        click.echo(f"note: trained in {trained}, measured in float32: single images may come out otherwise", err=True)
    precision = trained if native else "32-true"
    predicted = training.probabilities(model, training.recipe_of(about), faces, device, precision).argmax(1)
    groups = faces.subject if (faces.subject >= 0).all() else None
    found = metrics.scores(faces.labels, predicted, len(faces.classes))
    ranges = metrics.intervals(faces.labels, predicted, len(faces.classes), groups=groups)
    names = ("accuracy", "precision", "recall", "f1")
    if as_json:
        rows = {k: {"value": float(found[k]), "low": float(ranges[k][0]), "high": float(ranges[k][1])} for k in names}
        click.echo(json.dumps({"checkpoint": str(path), "dataset": name, "split": split, "n": len(faces), **rows}))
        return
    click.echo(f"{about['model']} ({path}) on {name}, {split}, {len(faces)} images")
    for k in names:
        click.echo(f"  {k:9} {found[k]:7.2%}   95 % interval {ranges[k][0]:.2%} to {ranges[k][1]:.2%}")


@main.command()
@click.argument("images", nargs=-1, required=True, type=_Path())
@checkpoint_option
@results_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a face.")
@click.option("--whole", is_flag=True, help="Take the image as a face already cut out.")
@fails_clearly
def predict(
    images: tuple[Path, ...], checkpoint: Path | None, results_dir: Path | None, as_json: bool, whole: bool
) -> None:
    """Find the faces in photographs and print each expression's probability."""
    from fer_repro import prediction

    predictor = prediction.Predictor(_checkpoint(checkpoint, results_dir))
    missed = 0
    for path in images:
        try:
            faces = predictor(path, whole=whole)
        except ValueError as error:
            click.echo(f"Error: {error}", err=True)
            missed += 1
            continue
        for face in faces:
            click.echo(json.dumps(face) if as_json else prediction.as_text(face))
    if missed:
        raise click.ClickException(f"no prediction for {missed} of {len(images)} images")


# ------------------------------------------------------------------------------------------------------ ledger and book


@main.command()
@click.option("--check", is_flag=True, help="Fail when README.md says something else than the records.")
@click.option("--write", is_flag=True, help="Write the summary into README.md.")
@results_option
@fails_clearly
def ledger(check: bool, write: bool, results_dir: Path | None) -> None:
    """Print every claim of the paper with our number and a verdict."""
    from fer_repro import claims, results

    folder = results_dir or results.root()
    if not folder.is_dir():
        raise click.ClickException(f"{folder}: no such folder of records")
    records = results.load_all(folder)
    for record in records:
        reason = claims.ineligible(record) or ""
        if reason.startswith(claims.NOT_WHOLE) or (claims.CHANGED in reason and not record.get("changes")):
            click.echo(f"note: no verdict rests on {record['path']}: {reason}", err=True)
    found = claims.ledger(records, claims.load_mechanisms(folder / "mechanisms"))
    if write:
        changed = claims.write([_page_with_findings()], found)
        click.echo("\n".join(f"written: {path}" for path in changed) or "README.md agrees already")
    elif check:
        if problems := claims.check([_page_with_findings()], found):
            raise click.ClickException("; ".join(problems))
        click.echo("README.md agrees with the records")
    else:
        click.echo(_ledger_text(found))
        click.echo(", ".join(f"{n} {verdict}" for verdict, n in claims.tally(found).items() if n))


def _page_with_findings() -> Path:
    """Return the committed page that repeats the ledger's summary, between its markers."""
    from fer_repro import claims, results

    checkout = results.root().parent if not (Path.cwd() / "README.md").is_file() else Path.cwd()
    page = checkout / "README.md"
    if not page.is_file() or claims.BEGIN not in page.read_text(encoding="utf-8"):
        raise click.ClickException(f"no README.md with the ledger's markers in {checkout}: run this in the checkout")
    return page


def _ledger_text(found: Any) -> str:
    lines = [f"{'claim':28} {'paper':>7} {'ours':>7} {'95 % interval':>16} {'runs':>4}  verdict"]
    for row in found.itertuples():
        paper, ours = (f"{v:7.2f}" if v == v else "       " for v in (row.paper, row.ours))
        interval = f"[{row.low:6.2f}, {row.high:6.2f}]" if row.low == row.low else ""
        lines.append(f"{row.claim:28} {paper} {ours} {interval:>16} {row.runs:4}  {row.verdict}: {row.reason}")
    return "\n".join(lines)


@main.command()
@click.option("--profile", type=click.Choice(RECIPES), default="quick", show_default=True)
@click.option("--dataset", type=click.Choice(DATASETS), default="synthetic", show_default=True)
@data_dir_option
@seed_option
@device_option
@click.option("--jobs", type=click.IntRange(1), help="Notebooks at once; as many as suit the machine by default.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this chapter (again for more).")
@fails_clearly
def book(
    profile: str,
    dataset: str,
    data_dir: Path | None,
    seed: int,
    device: str,
    jobs: int | None,
    only: tuple[str, ...],
) -> None:
    """Execute the notebooks and build the book."""
    from fer_repro import book as builder

    click.get_current_context().with_resource(_ended_like_an_interrupt())
    try:
        built = builder.build(
            profile=profile,
            dataset=dataset,
            data_dir=data_dir,
            seed=seed,
            device=device,
            jobs=jobs,
            only=list(only) or None,
        )
    except builder.BookError as error:
        raise click.ClickException(str(error)) from None  # its lines show the cell that failed
    if built.html is not None:
        click.echo(f"the book: {built.html / 'index.html'}")


@main.command()
@click.argument("chapters", nargs=-1)
@click.option("--to", type=_Path(file_okay=False), required=True, help="Folder to write to.")
@fails_clearly
def handout(chapters: tuple[str, ...], to: Path) -> None:
    """Write CHAPTERS (all by default) as Jupyter notebooks without the exercises' solutions."""
    from fer_repro import handout as maker

    for path in maker.write(to, chapters or None):
        click.echo(path)


if __name__ == "__main__":
    main()
