"""Build the book: execute the notebooks that changed, then make the pages, and never spoil an earlier good book.

``fer-repro book`` calls :func:`build`. A chapter's source is ``notebooks/NN_name.py``; papermill executes it in a work
folder; only a chapter that ran to its end replaces the one in ``book/notebooks/``. The pages are written beside the old
ones and take their place when Sphinx had nothing to complain about. Nothing here imports torch: a second build with
nothing changed only compares hashes.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fer_repro.data.files import cores
from fer_repro.results import replace_text

PROFILES = ("quick", "native48", "paper128")
DATASETS = ("synthetic", "fer2013", "ckplus")
PARAMETERS = ("profile", "dataset", "data_dir", "seed", "device")  # what every notebook's parameters cell names
# A chapter with one of these words depends on results/ and plans/, too.
READS_RECORDS = re.compile(
    r"\b(results|claims|ledger|load_all|hazards|human_agreement|mechanisms|sensitivity|speed|sweep)\b"
)
_FORMAT = 3  # of the cache; raise it when what is saved changes


class BookError(RuntimeError):
    """The book could not be built: which notebook or page, what went wrong, what to do."""


@dataclass(frozen=True)
class Edition:
    """One book: what its notebooks are given, and where its parts lie.

    The default one (``quick`` on synthetic faces, seed 0) is the published book. Every other has folders of its own, so
    that a real face never comes near it.
    """

    root: Path
    profile: str = "quick"
    dataset: str = "synthetic"
    data_dir: Path | None = None
    seed: int = 0
    device: str = "auto"

    @property
    def name(self) -> str:
        """``published``, or what sets this edition apart, such as ``fer2013-native48`` or ``synthetic-quick-seed1``."""
        if (self.profile, self.dataset, self.seed) == ("quick", "synthetic", 0):
            return "published"
        return f"{self.dataset}-{self.profile}" + (f"-seed{self.seed}" if self.seed else "")

    @property
    def parameters(self) -> dict[str, Any]:
        """What papermill injects into each notebook."""
        data_dir = None if self.data_dir is None else str(self.data_dir)
        values = (self.profile, self.dataset, data_dir, self.seed, self.device)
        return dict(zip(PARAMETERS, values, strict=True))

    @property
    def folder(self) -> Path:
        """Where this edition's pages and their sources lie."""
        return self.root / "_build" / ("" if self.name == "published" else self.name)

    @property
    def sources(self) -> Path:
        """The folder Sphinx reads: ``book/`` itself, or a copy of it with other notebooks."""
        return self.root / "book" if self.name == "published" else self.folder / "source"

    @property
    def html(self) -> Path:
        """The finished pages."""
        return self.folder / "html"

    @property
    def cache(self) -> Path:
        """What was built from what."""
        return self.root / "_build" / ".cache" / self.name


@dataclass(frozen=True)
class Built:
    """What a build did. ``html`` is the folder of the pages, with ``index.html`` in it."""

    html: Path | None
    executed: tuple[str, ...]
    reused: tuple[str, ...]
    pages_written: bool
    seconds: float


@dataclass(frozen=True)
class Failure:
    """Why a notebook did not run to its end."""

    notebook: str
    cell: int | None
    source: str
    error: str
    kept: Path | None

    def __str__(self) -> str:
        where = "before its first cell" if self.cell is None else f"in cell {self.cell}"
        lines = [f"{self.notebook} failed {where}: {self.error}"]
        if self.source:
            lines += ["  | " + line for line in self.source.strip().splitlines()[:12]]
        if self.kept:
            lines.append(f"  the partial notebook is kept as {self.kept}")
        return "\n".join(lines)


def build(
    profile: str = "quick",
    dataset: str = "synthetic",
    data_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    jobs: int | None = None,
    only: Sequence[str] | str | None = None,
    root: str | os.PathLike[str] | None = None,
    force: bool = False,
    html: bool = True,
    timeout: int = 0,
    echo: Callable[[str], None] = print,
) -> Built:
    """Execute the notebooks whose inputs changed, and make the pages.

    Parameters
    ----------
    profile : ``"quick"``, ``"native48"`` or ``"paper128"``
        How large the experiments on the pages are.
    dataset : ``"synthetic"``, ``"fer2013"`` or ``"ckplus"``
        The faces. With real ones, the book goes to ``_build/<dataset>-<profile>/html`` and must not be published.
    data_dir : path, optional
        Where the real data lie; default is the environment variable ``FER_REPRO_DATA``.
    seed, device
        Handed to the notebooks.
    jobs : int, optional
        Notebooks executed at once, each with ``cores // jobs`` threads. Default: one for every two cores.
    only : notebook name or names, optional
        Execute just these (``03_center_loss`` or ``center_loss``), and take the others as they were last executed.
    root : path, optional
        The checkout. Default: the one this package is imported from, else the working directory.
    force : bool
        Execute even where nothing changed.
    html : bool
        Make the pages, too.
    timeout : int
        Seconds a cell may take; 0 for no limit.
    echo : callable
        Gets each line of progress.

    Returns
    -------
    Built
        Where the pages are and what was executed.

    Raises
    ------
    BookError
        A wrong argument, a notebook that failed (its name, cell and error), or a page with a warning. The earlier book
        is left as it was.
    """
    started = time.monotonic()
    edition = _edition(root, profile, dataset, data_dir, seed, device)
    jobs = _jobs(jobs)
    chosen = chapters(only, edition.root)
    with _alone(edition):
        _copy_sources(edition)
        executed, reused = _execute_changed(edition, chosen, jobs, force, timeout, echo)
        _remove_orphans(edition)
        written = html and _make_pages(edition, only is not None, force, echo)
    seconds = time.monotonic() - started
    if html:
        echo(f"pages {'written' if written else 'unchanged'}, {seconds:.0f} s in all")
    return Built(edition.html if html else None, tuple(executed), tuple(reused), bool(written), seconds)


def chapters(only: Sequence[str] | str | None = None, root: str | os.PathLike[str] | None = None) -> dict[str, Path]:
    """Return the sources of chapters by name: all, or those named (``03_center_loss``, ``center_loss`` or ``03``).

    Raises
    ------
    BookError
        If ``root`` is no checkout, or holds no such chapter.
    """
    notebooks = _notebooks(_root(root))
    if only is None:
        return notebooks
    chosen = {}
    for wanted in [only] if isinstance(only, str) else only:
        stem = Path(wanted).stem
        names = [name for name in notebooks if stem in (name, name.partition("_")[2], name.partition("_")[0])]
        if not names:
            raise BookError(f"no notebook named {wanted!r}; there are {', '.join(notebooks)}")
        chosen[names[0]] = notebooks[names[0]]
    return chosen


# ---------------------------------------------------------------------------------------------------------------------
# Arguments


def _edition(
    root: str | os.PathLike[str] | None,
    profile: str,
    dataset: str,
    data_dir: str | os.PathLike[str] | None,
    seed: int,
    device: str,
) -> Edition:
    if profile not in PROFILES:
        raise BookError(f"no profile named {profile!r}: wanted one of {', '.join(PROFILES)}")
    if dataset not in DATASETS:
        raise BookError(f"no data set named {dataset!r}: wanted one of {', '.join(DATASETS)}")
    if dataset == "synthetic":
        return Edition(_root(root), profile, dataset, None, seed, device)  # drawn faces need no folder, and take none
    where = data_dir or os.environ.get("FER_REPRO_DATA")
    if not where:
        raise BookError(f"{dataset} is not part of this project: name its folder with --data-dir or FER_REPRO_DATA")
    path = Path(os.path.expanduser(where)).resolve()
    if not path.exists():
        raise BookError(f"data folder {path} does not exist")
    return Edition(_root(root), profile, dataset, path, seed, device)


def _root(root: str | os.PathLike[str] | None) -> Path:
    places = [Path(root)] if root is not None else [Path(__file__).parents[1], Path.cwd()]
    for place in places:
        if (place / "notebooks").is_dir() and (place / "book" / "_toc.yml").is_file():
            return place.resolve()
    raise BookError(f"no checkout at {places[-1]}: wanted a folder with notebooks/ and book/_toc.yml; run it in one")


def _jobs(jobs: int | None) -> int:
    if jobs is None:
        return max(1, cores() // 2)
    if jobs < 1:
        raise BookError(f"--jobs {jobs}: wanted at least 1")
    return jobs


def _notebooks(root: Path) -> dict[str, Path]:
    found = {path.stem: path for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.py"))}
    if not found:
        raise BookError(f"no notebook in {root / 'notebooks'}: wanted files named NN_name.py")
    return found


@contextlib.contextmanager
def _alone(edition: Edition) -> Iterator[None]:
    edition.cache.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(edition.root / "_build" / ".cache" / "book.lock", timeout=0):
            yield
    except Timeout:
        raise BookError("another build of the book is running in this checkout: wait for it to end") from None


# ---------------------------------------------------------------------------------------------------------------------
# What a chapter depends on


def _hash(parts: Iterable[bytes | str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode(errors="surrogateescape") if isinstance(part, str) else part  # a name may be no text
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def _files(folder: Path, pattern: str, skip: Sequence[str] = ()) -> Iterator[bytes | str]:
    for path in sorted(folder.rglob(pattern)):
        place = path.relative_to(folder)
        if path.is_file() and not any(part in skip for part in place.parts):
            yield from (place.as_posix(), path.read_bytes())


def _library(root: Path) -> Iterator[bytes | str]:
    for pattern in ("*.py", "*.c"):
        yield from _files(root / "fer_repro", pattern, skip=("__pycache__",))


def _versions() -> list[str]:
    installed = {f"{found.name}=={found.version}" for found in importlib.metadata.distributions()}
    return [platform.python_version(), *sorted(installed)]


def _data_state(data_dir: Path | None) -> list[str]:
    """Names, sizes and times of the user's files: reading 300 MB for each build would cost more than it tells."""
    if data_dir is None:
        return []
    found = [data_dir] if data_dir.is_file() else sorted(data_dir.rglob("*"))
    return [
        f"{path.relative_to(data_dir)} {path.stat().st_size} {path.stat().st_mtime_ns}"
        for path in found
        if path.is_file()
    ]


@dataclass
class _Inputs:
    """Hashes that all chapters share, each computed once."""

    edition: Edition
    common: str = field(init=False)
    records: str = field(init=False)

    def __post_init__(self) -> None:
        edition = self.edition
        library = _hash(_library(edition.root))
        state = [str(_FORMAT), json.dumps(edition.parameters), library, *_versions(), *_data_state(edition.data_dir)]
        self.common = _hash(state)
        plans = _files(edition.root / "plans", "*.toml")
        self.records = _hash([*_files(_records_root(edition.root), "*.json"), *plans])

    def key(self, source: str) -> str:
        """Everything that decides what executing this source gives."""
        return _hash([self.common, source, self.records if READS_RECORDS.search(source) else ""])


def _records_root(root: Path) -> Path:
    return Path(os.path.expanduser(os.environ.get("FER_REPRO_RESULTS", "")) or root / "results")


# ---------------------------------------------------------------------------------------------------------------------
# Executing


def _execute_changed(
    edition: Edition,
    chosen: Mapping[str, Path],
    jobs: int,
    force: bool,
    timeout: int,
    echo: Callable[[str], None],
) -> tuple[list[str], list[str]]:
    inputs = _Inputs(edition)
    keys = {name: inputs.key(path.read_text(encoding="utf-8")) for name, path in chosen.items()}
    stale = [name for name in chosen if force or not _is_current(edition, name, keys[name])]
    reused = [name for name in chosen if name not in stale]
    if reused:
        echo(f"{len(reused)} of {len(chosen)} notebooks unchanged")
    if not stale:
        return [], reused
    # chapters that train a whole network take longest: begun first, they do not end alone
    stale.sort(key=lambda name: "training.train(" not in chosen[name].read_text(encoding="utf-8"))
    failures: list[Failure] = []
    progress = _Progress(stale, echo)
    with (
        tempfile.TemporaryDirectory(prefix="fer-repro-book-") as work,
        _environment(edition, jobs),
        ThreadPoolExecutor(max_workers=jobs) as pool,
    ):
        running = {
            pool.submit(_execute, edition, name, chosen[name], Path(work) / name, timeout, progress): name
            for name in stale
        }

        def ended(futures: Iterable[Future[_Executed | Failure]]) -> None:
            for future in futures:
                name, outcome = running.pop(future), future.result()
                if isinstance(outcome, Failure):
                    failures.append(outcome)
                    progress.done(name, "FAILED")
                else:
                    _adopt(edition, name, keys[name], outcome)
                    progress.done(name, f"{outcome.seconds:.1f} s")

        try:
            ended(as_completed(list(running)))
        except BaseException:  # such as Ctrl-C: nothing more begins, what runs ends, what has ended is kept
            pool.shutdown(wait=False, cancel_futures=True)
            while any(future.running() for future in running):  # a kernel may start while others are ended
                _end_kernels()
                wait(running, timeout=1)
            ended([future for future in running if not (future.cancelled() or future.exception())])
            raise
    if failures:
        failures.sort(key=lambda failure: failure.notebook)
        many = "a notebook" if len(failures) == 1 else f"{len(failures)} notebooks"
        raise BookError(f"{many} failed; the earlier book stays\n" + "\n".join(map(str, failures)))
    return stale, reused


def _end_kernels() -> None:
    """End the notebooks' kernels that this process has started; each chapter then fails, and its thread ends."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "ipykernel_launcher" in child.cmdline():
                child.kill()


@dataclass(frozen=True)
class _Executed:
    path: Path
    seconds: float


def _execute(
    edition: Edition, name: str, source: Path, work: Path, timeout: int, progress: _Progress
) -> _Executed | Failure:
    """Run one notebook in its own folder; what comes back is whole, or a failure that says where."""
    import papermill

    work.mkdir(parents=True)
    (work / "here").mkdir()
    wanted, got = work / "source.ipynb", work / f"{name}.ipynb"
    at: list[int | None] = [None]

    def start(cell: Any, cell_index: int) -> None:
        at[0] = cell_index
        progress.at(name, cell_index)

    started = time.monotonic()
    try:
        cells = _to_ipynb(source, wanted, name)
        progress.expect(name, cells)
        _check_parameters(wanted, edition, name)
        with _own_event_loop():
            papermill.execute_notebook(
                wanted,
                got,
                parameters=edition.parameters,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                execution_timeout=timeout or None,
                start_timeout=120,
                resources={"metadata": {"path": str(work / "here")}},  # by papermill's `cwd` the whole process moves
                extra_arguments=["--IPKernelApp.log_level=50"],  # else each kernel warns that it talks over local TCP
                on_cell_start=start,
            )
        _clean(got, name, edition)
    except BookError as error:
        return Failure(name, None, "", str(error), None)
    except Exception as error:  # papermill, nbclient and jupytext each raise their own; all of them end this chapter
        return _failure(edition, name, got, at[0], error)
    return _Executed(got, time.monotonic() - started)


@contextlib.contextmanager
def _own_event_loop() -> Iterator[None]:
    """nbclient makes an event loop for each thread it runs in, and leaves it open."""
    from jupyter_core.utils import ensure_event_loop

    loop = ensure_event_loop()
    try:
        yield
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _to_ipynb(source: Path, target: Path, name: str) -> int:
    import jupytext
    import nbformat

    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        }
    )
    for position, cell in enumerate(notebook.cells):
        cell["id"] = f"{name[:40]}-{position:03d}"
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.write(notebook, target)
    return len(notebook.cells)


def _check_parameters(path: Path, edition: Edition, name: str) -> None:
    """papermill only warns of a parameter that a notebook does not have, and then computes something else."""
    import papermill

    known = papermill.inspect_notebook(path)
    missing = [parameter for parameter in edition.parameters if parameter not in known]
    if missing:
        raise BookError(
            f"its cell tagged 'parameters' lacks {', '.join(missing)}: wanted {', '.join(PARAMETERS)}, "
            f"got {', '.join(known) or 'none'}"
        )


def _clean(path: Path, name: str, edition: Edition) -> None:
    """Drop what differs from run to run, so that the same inputs give the same bytes; refuse an error in any cell."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    default = next((_assignments(cell.source) for cell in notebook.cells if "parameters" in _tags(cell)), {})
    if default == edition.parameters:  # the injected cell would only repeat the one before it
        notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in _tags(cell)]
    for position, cell in enumerate(notebook.cells):
        cell["id"] = f"{name[:40]}-{position:03d}"
        tags = _tags(cell) + _presentation(cell)
        kept = {key: value for key, value in cell.metadata.items() if key in ("mystnb", "slideshow", "editable")}
        if {"parameters", "injected-parameters"} & {*tags}:
            kept.setdefault("mystnb", {}).update(
                code_prompt_show="The parameters of this page", code_prompt_hide="Hide"
            )
        cell.metadata = nbformat.from_dict({**kept, "tags": tags} if tags else kept)
        for output in cell.get("outputs", []):
            if output.output_type == "error" and "raises-exception" not in tags:
                raise BookError(f"cell {position} ended in {output.ename}: {output.evalue}")
    for key in set(notebook.metadata) - {"kernelspec", "language_info"}:
        del notebook.metadata[key]
    nbformat.write(notebook, path)


def _tags(cell: Any) -> list[str]:
    return [str(tag) for tag in cell.metadata.get("tags", [])]


def _assignments(source: str) -> dict[str, Any]:
    """Names and literal values of a parameters cell."""
    found = {}
    for statement in ast.parse(source).body:
        with contextlib.suppress(ValueError):
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                found[statement.targets[0].id] = ast.literal_eval(statement.value)
    return found


_QUIET = frozenset({"header_card", "show_source", "say", "tip"})  # calls that a reader need not see: the output says it
_FOLDED = frozenset({"show", "table"})  # calls whose code is worth a look, one click away


def _presentation(cell: Any) -> list[str]:
    """Fold what only sets a page. A cell tagged ``show-input``, or with a tag of its own for this, stays as it is."""
    tags = set(_tags(cell))
    if cell.cell_type != "code" or tags & {"show-input", "hide-input", "remove-input", "remove-cell", "hide-cell"}:
        return []
    if tags & {"parameters", "injected-parameters"}:
        return ["hide-input"]
    try:
        statements = list(_statements(ast.parse(cell.source).body))
    except SyntaxError:  # an IPython magic
        return []
    called = {_called(statement) for statement in statements if not isinstance(statement, ast.Import | ast.ImportFrom)}
    if called and called <= _QUIET:
        return ["remove-input"]
    long_prose = any(_called(found) in _QUIET and (found.end_lineno or 0) - found.lineno > 2 for found in statements)
    return ["hide-input"] if called & _FOLDED or long_prose else []


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield a cell's statements, those within an ``if`` in its place: records may be there or not."""
    for statement in body:
        if isinstance(statement, ast.If):
            yield from _statements([*statement.body, *statement.orelse])
        else:
            yield statement


def _called(statement: ast.stmt) -> str | None:
    """The name of the function that a statement only calls: ``figures.show(...)`` gives ``show``."""
    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)):
        return None
    function = statement.value.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)


def _failure(edition: Edition, name: str, got: Path, at: int | None, error: Exception) -> Failure:
    """Name the cell and the error, and keep what there is of the notebook. A dead kernel leaves every cell 'completed',
    so the place is the last cell that was started."""
    kind, message, source = type(error).__name__, str(error), ""
    if kind == "PapermillExecutionError":
        kind, message, source = (str(getattr(error, part)) for part in ("ename", "evalue", "source"))
    elif kind == "DeadKernelError":
        kind, message = "the kernel died", "it was killed, or ran out of memory"
    elif kind == "CellTimeoutError":
        message = "the cell took longer than it may"
    kept = None
    if got.is_file():
        kept = edition.root / "_build" / "failed" / edition.name / got.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(got, kept)
        if not source and at is not None:
            cells = json.loads(got.read_text(encoding="utf-8"))["cells"]
            source = "".join(cells[at]["source"]) if at < len(cells) else ""
    return Failure(name, at, source, f"{kind}: {message.strip()[:1000]}", kept)


def _adopt(edition: Edition, name: str, key: str, outcome: _Executed) -> None:
    """Put a finished notebook in the book's place for it, and note what it was made from."""
    target = edition.sources / "notebooks" / f"{name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    near = target.with_name(f".{name}.new")
    shutil.copyfile(outcome.path, near)
    os.replace(near, target)
    note = {"key": key, "output": _hash([target.read_bytes()]), "seconds": round(outcome.seconds, 1)}
    replace_text(edition.cache / f"{name}.json", json.dumps(note))
    (edition.root / "_build" / "failed" / edition.name / f"{name}.ipynb").unlink(missing_ok=True)


def _is_current(edition: Edition, name: str, key: str) -> bool:
    note, target = _note(edition, name), edition.sources / "notebooks" / f"{name}.ipynb"
    return note.get("key") == key and target.is_file() and note.get("output") == _hash([target.read_bytes()])


def _note(edition: Edition, name: str) -> dict[str, Any]:
    path = edition.cache / f"{name}.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # none yet, or damaged
        return {}
    return found if isinstance(found, dict) else {}


@contextlib.contextmanager
def _environment(edition: Edition, jobs: int) -> Iterator[None]:
    """What the kernels find in their environment.

    Each gets its share of the cores. A book on drawn faces must not depend on, or show, a user's real ones.
    """
    threads = str(max(1, cores() // jobs))
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    wanted: dict[str, str | None] = dict.fromkeys(names, threads)
    wanted["PYTHONHASHSEED"] = "0"
    wanted["MPLBACKEND"] = None  # the kernel's own
    wanted["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    wanted["FER_REPRO_RESULTS"] = str(_records_root(edition.root).resolve())
    wanted["FER_REPRO_DATA"] = None if edition.data_dir is None else str(edition.data_dir)
    before = {name: os.environ.get(name) for name in wanted}
    try:
        _set_environment(wanted)
        yield
    finally:
        _set_environment(before)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


class _Progress:
    """A line for each finished notebook and, on a terminal, one that says which cells are running."""

    def __init__(self, names: Sequence[str], echo: Callable[[str], None]) -> None:
        self.total, self.finished = len(names), 0
        self.echo = echo
        self.cells: dict[str, int] = {}
        self.running: dict[str, int] = {}
        self.lock = threading.Lock()
        self.live = sys.stderr.isatty()

    def expect(self, name: str, cells: int) -> None:
        with self.lock:
            self.cells[name] = cells

    def at(self, name: str, cell: int) -> None:
        with self.lock:
            self.running[name] = cell
            self._draw()

    def done(self, name: str, result: str) -> None:
        with self.lock:
            self.running.pop(name, None)
            self.finished += 1
            if self.live:
                sys.stderr.write("\r\033[K")
            self.echo(f"[{self.finished:2d}/{self.total}] {name} … {result}")
            self._draw()

    def _draw(self) -> None:
        if self.live and self.running:
            parts = [f"{name} {cell + 1}/{self.cells.get(name, 0) + 1}" for name, cell in sorted(self.running.items())]
            sys.stderr.write("\r\033[K" + " · ".join(parts)[: shutil.get_terminal_size().columns - 1])
            sys.stderr.flush()


# ---------------------------------------------------------------------------------------------------------------------
# The sources that Sphinx reads


def _copy_sources(edition: Edition) -> None:
    """Another edition reads a copy of ``book/``, beside its own notebooks."""
    if edition.name == "published":
        return
    edition.sources.mkdir(parents=True, exist_ok=True)
    for path in edition.sources.iterdir():  # a page that has left book/ leaves every edition
        if path.is_file() and not (edition.root / "book" / path.name).exists():
            path.unlink()
    for path in (edition.root / "book").iterdir():
        if path.name == "notebooks":
            continue
        target = edition.sources / path.name
        if path.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(path, target)


def _remove_orphans(edition: Edition) -> None:
    """A chapter whose source is gone leaves the book."""
    names = _notebooks(edition.root)
    for path in (edition.sources / "notebooks").glob("*.ipynb"):
        if path.stem not in names:
            path.unlink()


def contents(edition: Edition) -> tuple[dict[str, Any], list[str]]:
    """Return the table of contents with the chapters that are there, and a list of what does not match.

    Chapters of ``book/_toc.yml`` that have not been executed are left out; executed ones that it does not name come in
    a part of their own.
    """
    import yaml

    toc = yaml.safe_load((edition.root / "book" / "_toc.yml").read_text(encoding="utf-8"))
    there = {path.stem for path in (edition.sources / "notebooks").glob("*.ipynb")}
    sources, listed, notes = _notebooks(edition.root), set(), []
    absent: dict[str, list[str]] = {"not executed yet": [], "not in notebooks/": []}
    for part in toc["parts"]:
        kept = []
        for chapter in part["chapters"]:
            folder, _, name = str(chapter["file"]).rpartition("/")
            if folder == "notebooks":
                listed.add(name)
                if name not in there:
                    absent["not executed yet" if name in sources else "not in notebooks/"].append(name)
                    continue
            kept.append(chapter)
        part["chapters"] = kept
    notes += [f"chapters left out, {why}: {', '.join(names)}" for why, names in absent.items() if names]
    more = sorted(there - listed)
    if more:
        notes.append(f"not in book/_toc.yml, so put last: {', '.join(more)}")
        chapters = [{"file": f"notebooks/{name}"} for name in more]
        toc["parts"].insert(len(toc["parts"]) - 1, {"caption": "More chapters", "numbered": True, "chapters": chapters})
    toc["parts"] = [part for part in toc["parts"] if part["chapters"]]
    return toc, notes


# ---------------------------------------------------------------------------------------------------------------------
# Pages


def _make_pages(edition: Edition, partial: bool, force: bool, echo: Callable[[str], None]) -> bool:
    toc, notes = contents(edition)
    for note in notes:
        echo(f"note: {note}")
    runtimes = {name: _note(edition, name).get("seconds") for name in _notebooks(edition.root)}
    (edition.sources / "notebooks").mkdir(parents=True, exist_ok=True)
    known = {name: seconds for name, seconds in runtimes.items() if seconds is not None}
    replace_text(edition.sources / "notebooks" / "runtimes.json", json.dumps(known))
    key = _pages_key(edition, toc)
    unchanged = _note(edition, "pages").get("key") == key
    if unchanged and not force and (edition.html / "index.html").is_file():
        return False
    # With --only, other chapters may not have been executed yet, and references to them cannot be resolved.
    there = {path.stem for path in (edition.sources / "notebooks").glob("*.ipynb")}
    absent = [path for name, path in _notebooks(edition.root).items() if partial and name not in there]
    if absent:
        echo("note: chapters are missing, so that references to them are only warned of this time")
    echo("making the pages …")
    _run_jupyter_book(edition, toc, "\n".join(path.read_text(encoding="utf-8") for path in absent), echo)
    replace_text(edition.cache / "pages.json", json.dumps({"key": key}))
    return True


def _pages_key(edition: Edition, toc: Mapping[str, Any]) -> str:
    return _hash(
        [
            str(_FORMAT),
            json.dumps(toc, sort_keys=True),
            (edition.root / "_config.yml").read_bytes(),
            _hash(_files(edition.sources, "*", skip=("__pycache__", "_toc.yml"))),
            _hash(_library(edition.root)),
            _hash(_files(edition.root / "benchmarks", "*.py")),  # their source has pages, too
            _hash(_files(_records_root(edition.root), "*.json")),
            *_versions(),
        ]
    )


def _run_jupyter_book(edition: Edition, toc: Mapping[str, Any], absent: str, echo: Callable[[str], None]) -> None:
    """Build beside the earlier pages and swap. Sphinx's exit status, its warnings and its pages are all looked at.

    ``absent`` is the text of the chapters that have not been executed yet: what it defines may be referred to in vain.
    """
    import yaml

    edition.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pages-", dir=edition.folder) as work:
        table = Path(work) / "_toc.yml"
        table.write_text(yaml.safe_dump(dict(toc), sort_keys=False), encoding="utf-8")
        program = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
        options = ["--all", "-n", "--keep-going", *([] if absent else ["-W"])]
        where = ["--toc", str(table), "--config", str(edition.root / "_config.yml"), "--path-output", work]
        environment = {**os.environ, "NO_COLOR": "1", "PYTHONHASHSEED": "0", "MPLBACKEND": "agg"}
        environment["FER_REPRO_RESULTS"] = str(_records_root(edition.root).resolve())
        environment.pop("FER_REPRO_DATA", None)
        done = subprocess.run(
            [*program, *options, *where, str(edition.sources)],
            cwd=edition.root,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        fresh = Path(work) / "_build" / "html"
        problems = _problems(done, fresh, toc)
        excused = [p for p in problems if (label := _UNDEFINED.search(p)) and label[1] in absent]
        if len(problems) > len(excused) or done.returncode != 0:
            problems = [p for p in problems if p not in excused] or problems
            log = edition.root / "_build" / "failed" / edition.name / "pages.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(_without_escapes(done.stdout + done.stderr), encoding="utf-8")
            shown = "\n".join("  " + problem[:400] for problem in problems[:20])
            raise BookError(f"the pages could not be made; the earlier book stays\n{shown}\n  everything is in {log}")
        for problem in problems:
            echo(f"warning: {problem}")
        _swap(fresh, edition.html)


_UNDEFINED = re.compile(r"undefined label: '([^']+)'")


def _without_escapes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _problems(done: subprocess.CompletedProcess[str], fresh: Path, toc: Mapping[str, Any]) -> list[str]:
    lines = _without_escapes(done.stdout + "\n" + done.stderr).splitlines()
    marks = ("WARNING:", "ERROR:", "CRITICAL:", "Extension error")
    crash = re.compile(r"^\w[\w.]*(Error|Exception|Warning): ")  # the last line of a traceback
    found = (line.strip() for line in lines if any(mark in line for mark in marks) or crash.match(line))
    problems = list(dict.fromkeys(found))
    if done.returncode != 0 and not problems:
        problems = [*[line.strip() for line in lines if line.strip()][-12:], f"exit status {done.returncode}"]
    files = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    missing = [name for name in files if not (fresh / f"{name}.html").is_file()]
    return problems + [f"no page was written for {name}" for name in missing]


def _swap(fresh: Path, target: Path) -> None:
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.replace(target, old)
    os.replace(fresh, target)
    shutil.rmtree(old, ignore_errors=True)
