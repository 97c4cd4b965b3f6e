"""What a replication says of its own results, filled from the run records.

How far each of the paper's rows is, and how far training and validation are apart: what one looks at before believing a
number that is far off. And what is handed in beside results: ReScience metadata, a checklist. The metadata follow
ReScience C's ``metadata.yaml``; the checklist follows the items of the machine-learning reproducibility checklist
(Pineau et al. 2021), in our words. Numbers come from the records, and without records an answer is "not run yet"; the
few answers that no record can give begin with "stated".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_repro import claims, paper

ROOT = Path(__file__).resolve().parent.parent
Record = Mapping[str, Any]
NOT_RUN = "not run yet"
URL = "https://github.com/fer-repro/fer_repro"


# ------------------------------------------------------------------------------------------------- doubting ourselves


def distances(evaluation: claims.Evaluation) -> pd.DataFrame:
    """Return how far ours is from each accuracy that the paper prints, in points: only where a method has runs.

    Of each method, the runs a verdict would rest on; with fewer seeds than that, those of the recipe with most. CK+ is
    one vote a sequence over all ten folds.

    Returns
    -------
    DataFrame
        ``dataset`` ("FER", "CK"), ``table``, ``model``, ``recipe``, ``seeds``, ``paper``, ``ours`` (percent),
        ``distance`` (paper minus ours, points).
    """
    rows = []
    for ds, table in paper.TABLES.items():
        printed = [("I", model, values[ds]) for model, values in paper.TABLE_1.items()]
        printed += [(paper.TABLE_NUMBERS[ds], model, row["accuracy"]) for model, row in table.items()]
        for number, model, theirs in printed:
            recipe = evaluation.recipe_for(ds, [model]) or _most_seeds(evaluation, ds, model)
            if recipe is not None:
                ours, _ = evaluation.value(ds, recipe, model, "accuracy")
                seeds = len(evaluation.runs[ds, recipe, model].seeds)
                rows.append((ds, number, model, recipe, seeds, theirs, ours, theirs - ours))
    columns = ["dataset", "table", "model", "recipe", "seeds", "paper", "ours", "distance"]
    return pd.DataFrame(rows, columns=columns)


def _most_seeds(evaluation: claims.Evaluation, ds: str, model: str) -> str | None:
    counts = {recipe: len(r.seeds) for (d, recipe, m), r in evaluation.runs.items() if (d, m) == (ds, model)}
    return max(counts, key=lambda recipe: counts[recipe]) if counts else None


def generalisation(records: Iterable[Record]) -> pd.DataFrame:
    """Return accuracy on training and validation images in the last epoch, percent, averaged over a method's runs.

    Training accuracy is that of augmented images during the epoch, with dropout on. Only runs that may count.

    Returns
    -------
    DataFrame
        ``dataset, recipe, model, runs, epochs, train, val, gap`` (points).
    """
    rows = [
        {
            "dataset": r["dataset"],
            "recipe": r["recipe"]["name"],
            "model": r["model"],
            "epochs": len(r["curves"]),
            "train": 100 * r["curves"][-1]["train_accuracy"],
            "val": 100 * r["curves"][-1]["val_accuracy"],
        }
        for r in records
        if r["curves"] and claims.ineligible(r) is None
    ]
    columns = ["dataset", "recipe", "model", "epochs", "train", "val"]
    grouped = pd.DataFrame(rows, columns=columns).groupby(columns[:3], sort=False)
    found = grouped[columns[3:]].mean()
    found.insert(0, "runs", grouped.size())
    return found.assign(gap=found["train"] - found["val"]).reset_index()


# ---------------------------------------------------------------------------------------------------------- ReScience


def outcome(table: pd.DataFrame) -> str:
    """Return the prefix ReScience asks for: "[Re]" where the headline claims held, "[¬Re]" where one did not.

    One at least must be reproduced: intervals so wide that they hold everything show nothing. "[Re, in progress]" as
    long as one of the headline claims has not been run. Claims that the paper contradicts itself say nothing about
    whether its numbers can be had again, and are passed over.
    """
    verdicts = set(table.set_index("claim").loc[list(claims.HEADLINES), "verdict"]) - {"inconsistent in the paper"}
    if "not run yet" in verdicts:
        return "[Re, in progress]"
    return "[Re]" if "reproduced" in verdicts and verdicts <= {"reproduced", "within interval"} else "[¬Re]"


def metadata(table: pd.DataFrame, records: Sequence[Record] = ()) -> dict[str, Any]:
    """Return ReScience C's metadata as nested dictionaries.

    Parameters
    ----------
    table : DataFrame
        :func:`fer_repro.claims.ledger`.
    records : sequence of dict
        The run records, for dates, commits and the number of runs.
    """
    dates = sorted(str(r["finished"])[:10] for r in records if r.get("finished"))
    commits = {str((r.get("code") or {}).get("commit"))[:12] for r in records} - {"None"}
    return {
        "title": f"{outcome(table)} {paper.TITLE}",
        "authors": [{"name": "fer_repro contributors", "affiliations": []}],
        "type": "Replication",
        "language": "English",
        "domain": "Computer vision",
        "keywords": ["facial expression recognition", "replication", "BiLSTM", "attention", "FER2013", "CK+", "Python"],
        "abstract": f"A replication of {paper.TITLE} from its text alone: {len(table)} claims, each with a verdict.",
        "code": [{"name": "fer_repro", "url": URL, "license": "MIT", "commits": sorted(commits)}],
        "data": [
            {"name": "FER2013", "shared": False, "reason": "licence; brought by the user"},
            {"name": "CK+", "shared": False, "reason": "licence; brought by the user"},
            {"name": "synthetic faces", "shared": True, "reason": "drawn by the code from a seed"},
            {"name": "run records", "shared": True, "reason": f"results/, {len(records)} runs"},
        ],
        "replication": {
            "cite": f"{' and '.join(paper.AUTHORS)}. {paper.TITLE}. {paper.JOURNAL}.",
            "doi": paper.DOI,
            "url": paper.URL,
        },
        "verdicts": {k: v for k, v in claims.tally(table).items() if v},
        "dates": {"first_run": dates[0] if dates else NOT_RUN, "last_run": dates[-1] if dates else NOT_RUN},
    }


def metadata_yaml(table: pd.DataFrame, records: Sequence[Record] = ()) -> str:
    """Return :func:`metadata` as YAML."""
    return "\n".join(_yaml(metadata(table, records))) + "\n"


def _yaml(value: Any, depth: int = 0) -> Iterable[str]:
    """Yield the lines of nested dictionaries and lists; leaves as JSON, which YAML includes."""
    pad = "  " * depth
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, (dict, list)) and inner:
                yield f"{pad}{key}:"
                yield from _yaml(inner, depth + 1)
            else:
                yield f"{pad}{key}: {json.dumps(inner, ensure_ascii=False)}"
        return
    for item in value:
        if isinstance(item, dict):
            first, *rest = _yaml(item, depth + 1)
            yield f"{pad}- {first.strip()}"
            yield from rest
        else:
            yield f"{pad}- {json.dumps(item, ensure_ascii=False)}"


# ---------------------------------------------------------------------------------------------------------- checklist


def checklist(records: Sequence[Record], table: pd.DataFrame, root: Path = ROOT) -> pd.DataFrame:
    """Return the reproducibility checklist with answers computed from records and files.

    Returns
    -------
    DataFrame
        ``section, item, answer`` ("yes", "no" or "not run yet"), ``evidence``.
    """
    real = [r for r in records if claims.ineligible(r) is None]
    rows = [*_models(real), *_data(real), *_code(root), *_experiments(real, table)]
    return pd.DataFrame(rows, columns=["section", "item", "answer", "evidence"])


_Row = tuple[str, str, str, str]


def _from(runs: Sequence[Record], section: str, item: str, evidence: str) -> _Row:
    return (section, item, "yes", evidence) if runs else (section, item, NOT_RUN, "no run on real data is complete")


def _models(runs: Sequence[Record]) -> list[_Row]:
    sizes = {(r["recipe"]["name"], r["model"]): r["parameters"] for r in runs}
    speed: dict[str, list[float]] = {}
    for r in runs:
        speed.setdefault(f"{r['dataset']} {r['recipe']['name']}", []).append(r["images_per_second"])
    said = ", ".join(f"{m} ({recipe}): {n:,} parameters" for (recipe, m), n in sorted(sizes.items()))
    fast = "images/s while training, smallest to largest: " + ", ".join(
        f"{what} {min(v):,.0f} to {max(v):,.0f}" for what, v in sorted(speed.items())
    )
    where = (
        f"{len(paper.EQUATIONS)} equations and algorithms, each with its code; {len(paper.QUESTIONS)} open questions"
    )
    return [
        ("models", "the mathematical setting, algorithm and model are described", "yes", f"stated: {where}"),
        _from(runs, "models", "the size of each model is given", said),
        _from(runs, "models", "the cost in time is given", fast),
    ]


def _data(runs: Sequence[Record]) -> list[_Row]:
    splits = {
        f"{r['dataset']}, {r['protocol']}: {r['split']['train']:,} / {r['split']['val']:,} / {r['split']['test']:,}"
        for r in runs
        if r.get("fold") in (None, 0)
    }
    prints: dict[str, set[str]] = {}
    for r in runs:
        prints.setdefault(r["dataset"], set()).add(str(r["data"]["fingerprint"])[:12])
    known = "; ".join(
        f"{name}: {len(found)} training set(s), fingerprint(s) {', '.join(sorted(found)[:3])}"
        + (" …" if len(found) > 3 else "")
        for name, found in sorted(prints.items())
    )
    return [
        _from(runs, "data", "numbers of images and splits are given", "; ".join(sorted(splits))),
        _from(runs, "data", "the data used can be identified", known),
        (
            "data",
            "what was left out, and each step of preprocessing, is stated",
            "yes",
            "stated: chapters on data, preprocessing",
        ),
        (
            "data",
            "a downloadable version is linked",
            "no",
            "stated: FER2013 and CK+ may not be passed on; drawn faces may",
        ),
    ]


def _code(root: Path) -> list[_Row]:
    files = {
        "dependencies are specified": "requirements.lock",
        "training code is included": "fer_repro/training.py",
        "evaluation code is included": "fer_repro/metrics.py",
        "a README gives results and the command for them": "README.md",
    }
    rows = [("code", item, "yes" if (root / name).is_file() else "no", name) for item, name in files.items()]
    return [
        *rows,
        ("code", "trained models are included", "no", "stated: no weights are kept in the repository; records are"),
    ]


def _experiments(runs: Sequence[Record], table: pd.DataFrame) -> list[_Row]:
    seeds = sorted({r["seed"] for r in runs})
    recipes = sorted({r["recipe"]["name"] for r in runs})
    machines = sorted(
        {f"{m.get('cpu')}, {m.get('cores')} cores, {r.get('device')}" for r in runs if (m := r.get("machine"))}
    )
    hours = sum(r["seconds"] for r in runs) / 3600
    longest = max((r["seconds"] for r in runs), default=np.nan) / 60
    return [
        _from(
            runs,
            "results",
            "hyper-parameters and how they were chosen are given",
            f"recipes {', '.join(recipes)}, in full in each record; stated: chosen before the full runs, the learning "
            "rate by trials on PublicTest, dropout, the second stage's peak and CK+'s epochs without a comparison",
        ),
        _from(
            runs, "results", "the number of training and evaluation runs is given", f"{len(runs)} runs, seeds {seeds}"
        ),
        (
            "results",
            "the measures are defined",
            "yes",
            "stated: Eqs 13–16 as fer_repro.metrics.scores, macro averages (Q15)",
        ),
        _from(
            runs,
            "results",
            "central tendency and variation are given",
            f"means over seeds with 95 % intervals for {int(table['ours'].notna().sum())} claims",
        ),
        _from(
            runs, "results", "the run time is given", f"{hours:.1f} hours in all, the longest run {longest:.0f} minutes"
        ),
        _from(runs, "results", "the computing infrastructure is described", "; ".join(machines)),
    ]
