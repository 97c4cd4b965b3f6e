"""What moves when one of the paper's silences is taken otherwise: readings, paired comparisons, where defaults stand.

Each reading changes one thing in a network (``options``) or a recipe (``changes``), and is compared with the run of the
same seed, data, recipe and precision that takes every default. ``plans/sensitivity-*.toml`` hold the runs.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_repro import metrics, results
from fer_repro.recipe import completed

SIGNIFICANT = 0.05  # after Holm's correction over one plot
RESAMPLES = 10_000  # of people or images: the least p-value is 0.0002, so that it can survive that of thirty readings
COLUMNS = (
    *("question", "reading", "model", "variant", "seeds", "n", "default", "otherwise"),
    *("difference", "low", "high", "p", "p_holm", "significant", "precision", "paths"),
)


@dataclass(frozen=True)
class Reading:
    """One other answer to an open question.

    ``options`` are the network's, ``changes`` the recipe's; ``model`` differs from ``base`` where the other answer is
    another network, and ``base`` is what it is compared with. ``drawn`` ones are planned on drawn faces with recipe
    ``quick``, ``native`` ones on FER2013 at 48×48.
    """

    question: str
    words: str
    options: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    model: str = "proposed"
    base: str = "proposed"
    drawn: bool = True
    native: bool = True

    @property
    def variant(self) -> str | None:
        """The variant's name in a record."""
        return results.variant_name(dict(self.options) | dict(self.changes))


READINGS = (
    Reading("Q1", "λ = 1000: flat images stay flat", changes={"gcn_lambda": 1000.0}, native=False),
    Reading("Q2", "no median filter", changes={"median_kernel": 1}),
    Reading("Q2", "median of 5×5", changes={"median_kernel": 5}),
    Reading("Q3", "enlarged to 64×64", changes={"size": 64}),
    Reading("Q4", "no center loss", changes={"center_weight": 0.0}),
    Reading("Q4", "ten times the center loss", changes={"center_weight": 0.03}),
    Reading("Q5", "batch norm after the ReLU", {"norm": "after"}),
    Reading("Q5", "no batch norm", {"norm": "none"}),
    Reading("Q5", "poolings after C2, C3, C4", {"pool_after": (2, 3, 4)}),
    Reading(
        *("Q5", "poolings after C2, C3, C4 in CNN-BiLSTM", {"pool_after": (2, 3, 4)}),
        model="cnn-bilstm",
        base="cnn-bilstm",
    ),
    Reading("Q5", "no padding", {"padding": "valid"}, native=False),
    Reading("Q6", "columns as the sequence", {"serialisation": "columns"}),
    Reading("Q6", "places as the sequence", {"serialisation": "patches"}),
    Reading("Q7", "Eqs 5–7 to the letter, no gate", {"cell": "ungated"}),
    Reading("Q7", "half the units", {"hidden": 64}),
    Reading("Q8", "one learned query", {"query": "learned"}),
    Reading("Q8", "the last step as query", {"query": "last"}),
    Reading("Q8", "scores divided by √d", {"scale": True}),
    Reading("Q9", "one projection for all steps", {"lda_shared": True}),
    Reading("Q9", "covariances weighted by priors", {"lda_within": "priors"}),
    Reading("Q10", "summed, not dense, connections", {"connections": "sum"}),
    Reading("Q10", "half the layers", {"num_layers": 2}),
    Reading("Q11", "learning rate of native48", changes={"learning_rate": 0.005}, native=False),
    Reading("Q11", "a second stage twice as long", changes={"small_epochs": (6, 16)}, native=False),
    Reading("Q11", "a second stage twice as long", changes={"epochs": (8, 32)}, drawn=False),
    Reading(
        *("Q11", "a second stage twice as long in CNN-BiLSTM"),
        changes={"small_epochs": (6, 16)},
        model="cnn-bilstm",
        base="cnn-bilstm",
        native=False,
    ),
    Reading(
        *("Q11", "a second stage twice as long in CNN-BiLSTM"),
        changes={"epochs": (8, 32)},
        model="cnn-bilstm",
        base="cnn-bilstm",
        drawn=False,
    ),
    Reading("Q14", "no augmentation", changes={"rotate": 0.0, "flip": 0.0, "brightness": 0.0}, native=False),
    Reading(
        *("Q16", "pixel columns for the removed CNN", {"serialisation": "columns"}),
        model="no_feature_extraction",
        base="no_feature_extraction",
        native=False,
    ),
    Reading("Q16", "BiLSTM and attention removed as one module", {"recurrence": False}, model="no_attention"),
    Reading("Q17", "DSCNN as plain convolutions", model="cnn-lstm", base="dscnn-lstm", native=False),
)


def readings(question: str) -> tuple[Reading, ...]:
    """Return the readings of one question (``"Q6"``) that runs exist for or are planned."""
    return tuple(r for r in READINGS if r.question == question)


# --------------------------------------------------------------------------------------------------------- comparisons


def compare(records: Iterable[results.Record], wanted: Iterable[Reading] = READINGS) -> pd.DataFrame:
    """Compare each reading with the default, on the same test images and seeds.

    Parameters
    ----------
    records : iterable of records
        Of one data set and one recipe, such as ``results.load_all(dataset="synthetic", recipe="quick")``. A reading
        that has pairs in more than one precision is compared in that of most seeds, the records' first among equals.
    wanted : iterable of Reading

    Returns
    -------
    DataFrame
        One row a reading that has at least one pair of complete runs, columns :data:`COLUMNS`: accuracy by default and
        otherwise (fractions), the difference with its 95 % interval (paired bootstrap over images, or over people
        where they are known, and, with several seeds, over runs), its p-value
        (:func:`fer_repro.metrics.accuracy_difference`) and Holm's over all rows, and the precision of both runs.

    Raises
    ------
    ValueError
        If the records are of more than one data set or recipe, or pairs of one reading have other test images than
        its others (folds, or seeds of a split that each draws anew): these cannot be taken together.
    """
    records = [r for r in records if r["complete"]]
    kinds = sorted({f"{r['dataset']}, {r['recipe']['name']}" for r in records})
    if len(kinds) > 1:
        raise ValueError(f"records: wanted those of one data set and recipe, got {'; '.join(kinds)}")
    rows = [row for reading in wanted if (row := _row(reading, records))]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["p_holm"] = metrics.holm(table["p"]) if len(table) else []
    table["significant"] = table["p_holm"] < SIGNIFICANT
    return table


def _row(reading: Reading, records: list[results.Record]) -> dict[str, Any] | None:
    pairs = _pairs(reading, records)
    if not pairs:
        return None
    labels = shared_labels(pairs)
    a, b = (np.array([pair[k]["predictions"]["predicted"] for pair in pairs]) for k in (0, 1))
    first = pairs[0][0]
    found = metrics.accuracy_difference(labels, a, b, len(first["classes"]), people(first), RESAMPLES)
    return {
        "question": reading.question,
        "reading": reading.words,
        "model": reading.model,
        "variant": reading.variant,
        "seeds": len(pairs),
        "n": len(labels),
        "default": float((a == labels).mean()),
        "otherwise": float((b == labels).mean()),
        "difference": found.estimate,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "precision": first.get("precision"),
        "paths": [r.get("path") for _, r in pairs],
    }


def shared_labels(pairs: Sequence[tuple[results.Record, results.Record]]) -> NDArray[np.int64]:
    """Return the labels (N,) of the test images that all these runs share; ValueError if they do not."""
    first = pairs[0][0]
    if any(r["predictions"]["label"] != first["predictions"]["label"] for pair in pairs for r in pair):
        raise ValueError(f"{first['dataset']}, {first['protocol']}: runs on different test images cannot be compared")
    return np.asarray(first["predictions"]["label"])


def people(record: results.Record) -> NDArray[np.int64] | None:
    """Return the subject of each test image (N,), or None where they are not known and images count as independent."""
    subject = np.asarray(record["predictions"].get("subject") or [-1])
    return None if (subject < 0).any() else subject


def _pairs(reading: Reading, records: list[results.Record]) -> list[tuple[results.Record, results.Record]]:
    """Return (default, otherwise) runs of one precision and the same seed, protocol, data and recipe, by seed."""
    defaults = {_key(r, {}): r for r in records if r["model"] == reading.base and r["variant"] is None}
    pairs: dict[str | None, list[tuple[results.Record, results.Record]]] = {}
    for r in records:
        if (r["model"], r["variant"]) == (reading.model, reading.variant):
            default = defaults.get(_key(r, reading.changes, defaults.values()))
            if default and default["predictions"]["label"] == r["predictions"]["label"]:
                pairs.setdefault(r.get("precision"), []).append((default, r))
    most = max(pairs.values(), key=lambda some: len(some), default=[])
    return sorted(most, key=lambda pair: pair[0]["seed"])


def _key(record: results.Record, changes: Mapping[str, Any], defaults: Iterable[results.Record] = ()) -> str:
    """Return what two runs must share; fields that a reading changes are taken from the default of the same seed."""
    recipe = completed(record["recipe"])
    for default in defaults:
        if default["seed"] == record["seed"]:
            recipe |= {name: completed(default["recipe"])[name] for name in changes}
    same = [record[k] for k in ("dataset", "protocol", "seed", "fold")]
    return json.dumps(
        [*same, record.get("precision"), (record.get("data") or {}).get("fingerprint"), recipe], sort_keys=True
    )


def lead(records: Iterable[results.Record], first: Reading, second: Reading) -> dict[str, metrics.Difference] | None:
    """Return how far one network is ahead of another, by default and where both are read otherwise, alike.

    Parameters
    ----------
    records : iterable of records
        As :func:`compare` takes them.
    first, second : Reading
        The same change in two networks, such as a longer second stage.

    Returns
    -------
    dict or None
        ``"default"`` and ``"otherwise"``: accuracy of the first less that of the second, each with its 95 % interval
        (paired bootstrap over images, or people where they are known, and, with several seeds, over runs), of the seeds
        that all four have; None while there is no such seed.

    Raises
    ------
    ValueError
        If runs are of different test images.
    """
    records = [r for r in records if r["complete"]]
    by_seed = [{(p[0]["seed"], p[0].get("precision")): p for p in _pairs(of, records)} for of in (first, second)]
    shared = [seed for seed in by_seed[0] if seed in by_seed[1]]
    if not shared:
        return None
    pairs = [[of[seed] for seed in shared] for of in by_seed]
    labels = shared_labels([*pairs[0], *pairs[1]])
    found = {}
    for k, name in enumerate(("default", "otherwise")):
        ahead, behind = (np.array([pair[k]["predictions"]["predicted"] for pair in of]) for of in pairs)
        run = pairs[0][0][0]
        found[name] = metrics.accuracy_difference(labels, behind, ahead, len(run["classes"]), people(run))
    return found


def missing(records: Iterable[results.Record], wanted: Iterable[Reading] = READINGS) -> list[Reading]:
    """Return the readings that have no pair of complete runs yet."""
    complete = [r for r in records if r["complete"]]
    return [reading for reading in wanted if not _pairs(reading, complete)]


def seed_band(records: Iterable[results.Record], model: str = "proposed", confidence: float = 0.95) -> float | None:
    """Return how far two runs of the default with other seeds differ in accuracy (fraction), 95 % of the time.

    Student's quantile times the seeds' standard deviation times the square root of 2, for a difference of two runs;
    None below two seeds. With three seeds it is wide, since three runs say little of their spread.
    """
    from scipy import stats

    found = [r["test"]["accuracy"] for r in records if r["complete"] and (r["model"], r["variant"]) == (model, None)]
    if len(found) < 2:
        return None
    quantile = stats.t.ppf(0.5 + confidence / 2, len(found) - 1)
    return float(quantile * np.std(found, ddof=1) * np.sqrt(2))


def by_question(table: pd.DataFrame) -> pd.DataFrame:
    """Return the largest move of each question, largest first: ``question, reading, difference, significant``."""
    if table.empty:
        return table[["question", "reading", "difference", "significant"]]
    order = table.assign(size=table["difference"].abs()).sort_values("size", ascending=False, kind="stable")
    largest = order.drop_duplicates("question")[["question", "reading", "difference"]]
    any_of = table.groupby("question")["significant"].any()
    return largest.assign(significant=largest["question"].map(any_of)).reset_index(drop=True)


# ---------------------------------------------------------------------------------------------- where defaults stand


def defaults(options: Iterable[str]) -> pd.DataFrame:
    """Return where our answers stand: one row an option of :data:`fer_repro.paper.QUESTIONS`.

    Parameters
    ----------
    options : iterable of str
        Dotted names, ``"fer_repro.bilstm.serialise:by"`` for a default argument.

    Returns
    -------
    DataFrame
        ``option`` (name without the package), ``default`` (its value as text) and ``place`` (``file:line``).

    Raises
    ------
    LookupError
        If a name or an argument does not exist.
    """
    rows = []
    for option in options:
        name, _, argument = option.partition(":")
        module, value = _find(name)
        if argument:
            parameters = inspect.signature(value).parameters
            if argument not in parameters:
                raise LookupError(f"{option}: wanted one of {', '.join(parameters)}, got {argument!r}")
            shown = repr(parameters[argument].default)
        else:
            shown = _shown(value)
        place = f"{module.__name__.replace('.', '/')}.py:{_line(module, value, name.split('.')[-1], argument)}"
        rows.append({"option": option.removeprefix("fer_repro."), "default": shown, "place": place})
    return pd.DataFrame(rows, columns=["option", "default", "place"])


def _find(name: str) -> tuple[ModuleType, Any]:
    """Return the module that a dotted name lives in, and the object itself."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        value: Any = module
        for part in parts[cut:]:
            if not hasattr(value, part):
                raise LookupError(f"{name}: {module.__name__} has no {part!r}")
            value = getattr(value, part)
        return module, value
    raise LookupError(f"{name}: no such module")


def _shown(value: Any) -> str:
    if isinstance(value, ModuleType):  # an augmentation or the like: the defaults of its first public function
        function = next(f for f in vars(value).values() if inspect.isfunction(f) and f.__module__ == value.__name__)
        given = inspect.signature(function).parameters.values()
        return ", ".join(f"{p.name}={p.default!r}" for p in given if p.default not in (p.empty, None))
    if isinstance(value, Mapping):
        plain = all(isinstance(v, str) for v in value.values())
        return ", ".join(f"{k}: {v}" if plain else str(k) for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, tuple) else repr(value)


def _line(module: ModuleType, value: Any, name: str, argument: str) -> int:
    """Return the line on which an answer stands: an argument's own, or that of the constant or module."""
    source = Path(inspect.getsourcefile(module) or "").read_text(encoding="utf-8").splitlines()
    start = 1
    if inspect.isfunction(value) or inspect.isclass(value):
        start = inspect.getsourcelines(value)[1]
    if argument and inspect.isclass(value) and not is_dataclass(value):  # its __init__ has no source
        start = inspect.getsourcelines(value.__init__)[1]
    heads = (f"{argument}:", f" {argument}:") if argument else (f"{name} =", f"{name}:")
    lines = enumerate(source[start - 1 :], start)
    return next((n for n, line in lines if line.lstrip().startswith(heads) or (argument and heads[1] in line)), start)
