"""Run records: one JSON file a run, written once, and read as a table.

A record holds what produced a number and what is needed to look at it again without training: the recipe in full, the
curves, every test prediction, the data's fingerprint, the code's commit, versions and machine.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

SCHEMA = 1
CPUINFO = Path("/proc/cpuinfo")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # what a processor's speed in products hangs on
Record = dict[str, Any]
FLOAT32 = Path("benchmarks", "float32")  # under the folder of records: runs wanted in float32, named as any others
IDENTITY = ("dataset", "recipe", "model", "protocol", "seed")  # what a record must at least say of itself
KINDS: dict[str, type | tuple[type, ...]] = {  # and what others rely upon without asking
    **dict.fromkeys(("dataset", "model", "protocol"), str),
    **dict.fromkeys(("seed", "parameters", "best_epoch"), int),
    **dict.fromkeys(("seconds", "images_per_second"), (int, float)),
    **dict.fromkeys(("recipe", "options", "split", "test", "predictions", "data", "code"), dict),
    **dict.fromkeys(("classes", "curves"), list),
    "complete": bool,
}

# Commits that records name and this history does not have: the working copy with them was lost before it was published.
# Its code came in later, with the commit named here; that nothing changed in between rests on our word and on a run
# that was repeated (CHANGELOG.md, Known faults).
LOST_COMMITS = {
    "21b11070e4b9e8cf442f2cd4a4b34ffb9236f9d6": "1afde61",
}


class RecordError(ValueError):
    """A record that cannot be read or is not whole."""


def root() -> Path:
    """Return the folder of records: FER_REPRO_RESULTS, else ``results/`` of the checkout, else of this folder."""
    if given := os.environ.get("FER_REPRO_RESULTS"):
        return Path(os.path.expanduser(given))
    checkout = Path(__file__).resolve().parent.parent
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / "results"


def variant_name(options: Mapping[str, Any]) -> str | None:
    """Return the name of a set of network options, ``"query=last,scale=True"``; None for the default network."""
    return ",".join(f"{k}={_short(v)}" for k, v in sorted(options.items())) or None


def _short(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def path_of(record: Mapping[str, Any], folder: Path | None = None) -> Path:
    """Return where a record belongs: ``<dataset>/<recipe>/<model>[--<variant>]/<protocol>-seed<K>[-fold<J>].json``."""
    recipe = record["recipe"]["name"] + ("" if record.get("complete", True) else "-trial")
    model = record["model"] + (f"--{record['variant']}" if record.get("variant") else "")
    fold = "" if record.get("fold") is None else f"-fold{record['fold']}"
    name = f"{record['protocol']}-seed{record['seed']}{fold}.json"
    return (folder or root()) / record["dataset"] / recipe / model / name


def write(record: Record, folder: Path | None = None, replace: bool = False) -> Path:
    """Write a record whole or not at all.

    It is written to a temporary file beside its place and then linked there, so that a killed process or a full disk
    leaves no half of it. A record that exists is never overwritten (FileExistsError), except a trial's, which may be
    repeated, when ``replace`` is true.
    """
    path = path_of(record, folder)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(dumps(record))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        if replace and not record.get("complete", True):
            os.replace(temporary, path)
        else:
            _put(temporary, path)
    except OSError as error:
        if isinstance(error, FileExistsError) and path.exists():  # and not a file where its folder should be
            raise FileExistsError(f"{path} exists, and a record is never overwritten") from None
        raise OSError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return path


def replace_text(path: Path, text: str) -> None:
    """Put a text in a file's place, whole or not at all: a full disk or a kill leaves what was there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"{path}: cannot be written ({error.strerror or error}), and is left as it was") from error
    finally:
        temporary.unlink(missing_ok=True)


def _put(temporary: str, path: Path) -> None:
    """Give a whole file its name unless that is taken (FileExistsError)."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        if path.exists():  # a file system without hard links; a run's lock keeps others from its name meanwhile
            raise FileExistsError(path) from None
        os.replace(temporary, path)


def dumps(record: Mapping[str, Any]) -> str:
    """Return a record as JSON, one field a line and long lists on one line, so that a difference can be read."""
    lines = [f"  {json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in record.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read(path: Path | str) -> Record:
    """Read one record; a :class:`RecordError` says what is wrong with it."""
    try:
        record: Record = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_no_number)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: cannot be read as a record: {error}") from None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA or not all(k in record for k in IDENTITY):
        raise RecordError(f"{path}: wanted a record of schema {SCHEMA} with {', '.join(IDENTITY)}")
    if odd := [k for k, kind in KINDS.items() if not isinstance(record.get(k), kind)]:
        raise RecordError(f"{path}: a record whose {', '.join(odd)} is missing or of another kind")
    if not isinstance(record["recipe"].get("name"), str):
        raise RecordError(f"{path}: a record whose recipe has no name")
    if damage := _odd_predictions(record):
        raise RecordError(f"{path}: a record whose predictions are damaged: {damage}")
    return record


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _odd_predictions(record: Mapping[str, Any]) -> str | None:
    """Say what keeps a record's predictions from being judged again; None if nothing does."""
    found, test, classes = record["predictions"], record["test"], len(record["classes"])
    n = test.get("n")
    if not isinstance(n, int) or n < 1 or not isinstance(test.get("accuracy"), float):
        return "the test has no number of images, or no accuracy"
    for name in ("label", "predicted", "confidence", "subject", "sequence"):
        values = found.get(name)
        if values is None and name in ("subject", "sequence"):
            continue  # of data that name no persons
        if not isinstance(values, list) or len(values) != n:
            return f"wanted {n} values of {name}, as many as test images"
        kinds = (int, float) if name == "confidence" else (int,)
        if odd := next((repr(v) for v in values if type(v) not in kinds), None):
            return f"{name} holds {odd}, which is no number"
        if name in ("label", "predicted") and not (min(values) >= 0 and max(values) < classes):
            return f"{name} holds what is none of {classes} classes"
    right = sum(a == b for a, b in zip(found["label"], found["predicted"], strict=True))
    if abs(right / n - test["accuracy"]) > 1e-6:
        return f"{right} of {n} are right, which is not the accuracy it states"
    return None


def load_all(
    folder: Path | str | None = None,
    dataset: str | None = None,
    recipe: str | None = None,
    model: str | None = None,
    protocol: str | None = None,
    float32: bool = False,
) -> list[Record]:
    """Read all records under ``folder``, in the order of their paths; the arguments choose among them.

    Each gets a field ``path``, relative to the folder. Files under ``mechanisms/``, ``facts/``, ``benchmarks/`` and
    hidden folders are no run records; ``float32`` adds, after the others, those under :data:`FLOAT32`.
    """
    folder = Path(folder) if folder is not None else root()
    records = []
    for path in sorted(folder.glob("*/*/*/*.json")):
        relative = path.relative_to(folder)
        if relative.parts[0] in ("mechanisms", "facts", "benchmarks") or any(p.startswith(".") for p in relative.parts):
            continue
        record = read(path) | {"path": relative.as_posix()}
        if path_of(record, folder) != path:
            raise RecordError(f"{path}: wanted the record of that name, got that of {path_of(record, Path())}")
        wanted = {"dataset": dataset, "model": model, "protocol": protocol}
        if all(v is None or record[k] == v for k, v in wanted.items()) and recipe in (None, relative.parts[1]):
            records.append(record)
    if float32:
        apart = load_all(folder / FLOAT32, dataset, recipe, model, protocol)
        records += [r | {"path": (FLOAT32 / r["path"]).as_posix()} for r in apart]
    return records


def table(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row a record: what was run, and how it came out (fractions, seconds, images a second)."""
    rows = []
    for r in records:
        test = r["test"]
        rows.append(
            {
                **{k: r[k] for k in ("dataset", "model", "variant", "protocol", "seed", "fold", "complete")},
                "recipe": r["recipe"]["name"],
                **{k: test[k] for k in ("accuracy", "precision", "recall", "f1", "n")},
                "accuracy_without_duplicates": (r.get("test_without_duplicates") or {}).get("accuracy"),
                "sequence_accuracy": (r.get("sequences") or {}).get("accuracy"),
                "parameters": r["parameters"],
                "best_epoch": r["best_epoch"],
                "seconds": r["seconds"],
                "images_per_second": r["images_per_second"],
                "path": r.get("path"),
            }
        )
    return pd.DataFrame(rows)


def provenance() -> dict[str, Any]:
    """Return what a record says of its making: code, versions, machine."""
    return {"code": _code(), "versions": _versions(), "machine": machine()}


@cache
def _code() -> dict[str, Any]:  # once: what this process has imported, whatever is committed while it runs
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return {"commit": None, "dirty": None}

    def git(*arguments: str) -> str:  # without a lock, which a killed process would leave behind
        command = ["git", "--no-optional-locks", "-C", str(here), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    try:
        changed = git("status", "--porcelain", "--untracked-files=all", "--", "fer_repro")  # a new module counts
        return {"commit": git("rev-parse", "HEAD").strip(), "dirty": bool(changed.strip())}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def _versions() -> dict[str, str]:
    names: tuple[str, ...] = ("torch", "torchvision", "lightning-fabric", "numpy", "scikit-learn", "scipy")
    names += ("opencv-python", "opencv-python-headless")  # one of them is there
    found = {"python": platform.python_version(), "fer_repro": _own_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _own_version() -> str:
    from fer_repro import __version__

    return __version__


def processor() -> str:
    """Return what Linux says of its processors (``/proc/cpuinfo``); elsewhere nothing."""
    try:
        return CPUINFO.read_text(encoding="utf-8")
    except OSError:
        return ""


def instructions() -> list[str]:
    """Return which of :data:`INSTRUCTIONS` this machine's processors have, by what Linux says."""
    return [name for name in INSTRUCTIONS if re.search(rf"\b{name}\b", processor())]


def quick_bfloat16() -> bool:
    """Say whether this machine's processors multiply bfloat16 faster than float32, by what Linux says.

    Those with AMX do, and AMD's with ``avx512_bf16``. Intel's with that alone, as virtual machines show that hide AMX,
    multiply it at half the speed of float32 (``benchmarks/training.py``).
    """
    found = instructions()
    return "amx_bf16" in found or ("avx512_bf16" in found and "AuthenticAMD" in processor())


def machine() -> dict[str, Any]:
    """Return what a run ran on, as its record names it: system, processor, cores, memory in bytes."""
    named = re.search(r"^model name\s*: (.+)", processor(), re.MULTILINE)
    cpu = named[1].strip() if named else platform.processor() or platform.machine()
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        memory = None
    return {
        "system": platform.system(),
        "cpu": cpu,
        "instructions": instructions(),
        "cores": os.cpu_count(),
        "memory_bytes": memory,
    }


def processor_of(found: Mapping[str, Any]) -> str:
    """Return a recorded machine's processor and its instructions that matter here: one text for each kind."""
    return ", ".join([str(found.get("cpu")), *found.get("instructions", ())])
