"""The paper checked against itself and against what is known; all computed from :mod:`fer_repro.paper`.

No data set, no network, a second or two. Each check takes an :class:`Article` and returns a table with a column
``raised``: whether that row is a finding. A check means something where it raises only if it raises nothing on a
consistent article; the tests plant one. What each finding can and cannot say stands in the chapter on the audit.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from math import ceil, floor
from pathlib import Path
from typing import Any

import pandas as pd

from fer_repro import paper
from fer_repro.data import ckplus
from fer_repro.data.faces import CK_CLASSES
from fer_repro.metrics import one_against_rest_accuracy
from fer_repro.results import replace_text

HALF = 0.5 * 10**-paper.DECIMALS  # half a unit of the last digit printed: what rounding can hide
FACTS = Path(__file__).resolve().parent.parent / "results" / "facts"


@dataclass(frozen=True)
class Article:
    """What an article states, in the form the checks want; the default is the paper's own."""

    table_1: dict[str, dict[str, float]] = field(default_factory=lambda: paper.TABLE_1)
    tables: dict[str, dict[str, dict[str, float]]] = field(default_factory=lambda: paper.TABLES)
    statements: tuple[paper.PercentStatement, ...] = paper.PERCENT_STATEMENTS
    captions: dict[str, str] = field(default_factory=lambda: {"FER": "FER 2013", "CK": "FER 2013"})
    classes: int = paper.STATED["classes"]
    class_names: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {"FER": paper.STATED_CLASSES, "CK": paper.STATED_CLASSES}
    )
    lda_dimensions: int = paper.STATED["lda_dimensions"]
    channels: int = 3  # of Eq. 1's sum
    accuracy_counts_true_negatives: bool = True  # Eq. 13
    ck_subjects: int = paper.STATED["ck_subjects"]
    test_sizes: dict[str, int] | None = None  # where an article names them
    images: int = paper.STATED["fer2013_images"]
    size: int = paper.STATED["size"]
    memory_bytes: int = paper.STATED["memory_bytes"]


PAPER = Article()


# --------------------------------------------------------------------------------------------------------------------
# Tables against each other


def same_network_twice(article: Article = PAPER) -> pd.DataFrame:
    """I1: the complete network in Table I beside the proposed one in Tables II and III, percent."""
    rows = []
    for ds, table in article.tables.items():
        first, second = article.table_1["proposed"][ds], table["proposed"]["accuracy"]
        gap = second - first
        rows.append(
            {"dataset": ds, "recognition_rate": first, "accuracy": second, "gap": gap, "raised": abs(gap) > 2 * HALF}
        )
    return pd.DataFrame(rows)


def complete_below_baselines(article: Article = PAPER) -> pd.DataFrame:
    """I10: Table I's complete network beside the baselines, whose accuracies it should exceed, percent."""
    rows = []
    for ds, table in article.tables.items():
        complete = article.table_1["proposed"][ds]
        rows += [
            {
                "dataset": ds,
                "baseline": name,
                "accuracy": row["accuracy"],
                "complete": complete,
                "gap": row["accuracy"] - complete,
                "raised": row["accuracy"] > complete + 2 * HALF,
            }
            for name, row in table.items()
            if name != "proposed"
        ]
    return pd.DataFrame(rows)


def bilstm_above_ablation(article: Article = PAPER) -> pd.DataFrame:
    """I11: CNN-BiLSTM, without attention and reconstruction, beside Table I's networks without one of them."""
    rows = []
    for ds, table in article.tables.items():
        for removed in ("no_attention", "no_reconstruction"):
            less, more = table["cnn-bilstm"]["accuracy"], article.table_1[removed][ds]
            raised = less > more + 2 * HALF
            rows.append(
                {
                    "dataset": ds,
                    "cnn_bilstm": less,
                    "ablation": removed,
                    "rate": more,
                    "gap": less - more,
                    "raised": raised,
                }
            )
    return pd.DataFrame(rows)


def captions(article: Article = PAPER) -> pd.DataFrame:
    """I3: the data set in each caption beside the one the text reads the table as."""
    wanted = {"FER": "FER 2013", "CK": "CK+"}
    rows = [
        {"table": paper.TABLE_NUMBERS[ds], "caption": named, "text": wanted[ds], "raised": named != wanted[ds]}
        for ds, named in article.captions.items()
    ]
    return pd.DataFrame(rows)


def unmatched_methods(article: Article = PAPER) -> pd.DataFrame:
    """I4: methods the text compares with, and whether the table has a row of that name."""
    rows = []
    for ds, table in article.tables.items():
        stated = {s.baseline for s in article.statements if s.dataset == ds}
        rows += [
            {"dataset": ds, "method": m, "in_text": m in stated, "in_table": m in table, "raised": True}
            for m in sorted(stated ^ (set(table) - {"proposed"}))
        ]
    return pd.DataFrame(rows, columns=["dataset", "method", "in_text", "in_table", "raised"])


# --------------------------------------------------------------------------------------------------------------------
# Measures against their definitions


def f1_bound(article: Article = PAPER) -> pd.DataFrame:
    """I2: F1 against its bound (P + R) / 2, percent.

    In one class F1 is the harmonic mean of P and R, never above their arithmetic mean, as (P - R)² ≥ 0. An average
    over classes, folds or runs with the same weights for all three keeps that: macro, micro or weighted,
    F1 ≤ (P + R) / 2. (F1 *below* both P and R is no contradiction: a macro average can do that.) Rounding of the three
    numbers can hide an excess of 0.01 at most.
    """
    rows = []
    for ds, table in article.tables.items():
        for method, row in table.items():
            P, R, F = row["precision"], row["recall"], row["f1"]
            excess = F - (P + R) / 2
            rows.append(
                {
                    "dataset": ds,
                    "method": method,
                    "precision": P,
                    "recall": R,
                    "f1": F,
                    "bound": (P + R) / 2,
                    "excess": excess,
                    "outside": not min(P, R) - 2 * HALF <= F <= max(P, R) + 2 * HALF,
                    "raised": excess > 2 * HALF + 1e-9,
                }
            )
    return pd.DataFrame(rows)


def averaging(article: Article = PAPER) -> pd.DataFrame:
    """I12: recall against accuracy. With one label an image, micro and weighted recall *are* the accuracy (Q15)."""
    rows = [
        {
            "dataset": ds,
            "method": method,
            "accuracy": row["accuracy"],
            "recall": row["recall"],
            "difference": row["recall"] - row["accuracy"],
            "raised": abs(row["recall"] - row["accuracy"]) > 2 * HALF + 1e-9,
        }
        for ds, table in article.tables.items()
        for method, row in table.items()
    ]
    return pd.DataFrame(rows)


def one_against_rest(article: Article = PAPER) -> pd.DataFrame:
    """I13: the share of images recognised if the accuracies printed were Eq. 13 with its true negatives, percent.

    Averaged over C classes, (TP + TN) / N is 1 - 2 (1 - a) / C for a share a of images recognised; here it is solved
    for a. ``table_1`` is the complete network's recognition rate, ``from_table_1`` what Eq. 13 would make of it.
    """
    C = article.classes
    rows = []
    for ds, table in article.tables.items():
        for method, row in table.items():
            rate = article.table_1["proposed"][ds] if method == "proposed" else None
            rows.append(
                {
                    "dataset": ds,
                    "method": method,
                    "accuracy": row["accuracy"],
                    "recognised": 100 * (1 - C / 2 * (1 - row["accuracy"] / 100)),
                    "table_1": rate,
                    "from_table_1": None if rate is None else 100 * one_against_rest_accuracy(rate / 100, C),
                    "raised": article.accuracy_counts_true_negatives and C > 2,
                }
            )
    return pd.DataFrame(rows)


# --------------------------------------------------------------------------------------------------------------------
# Statements against tables

READINGS = {
    "points": "difference in points",
    "relative": "relative to the baseline",
    "relative to ours": "relative to the proposed",
}


def percent_statements(article: Article = PAPER) -> pd.DataFrame:
    """I5: each "x % higher than" recomputed in points and relatively, and how it may have come about.

    ``reading`` is the first that fits of: difference in points rounded, cut off; relative difference rounded, cut off;
    relative to the proposed network's value rounded, cut off; else "neither".
    """
    rows = []
    for s in article.statements:
        table = article.tables[s.dataset]
        row = s.row if s.row in table else s.baseline
        ours, theirs = table["proposed"][s.metric], table[row][s.metric]
        points = ours - theirs
        values = {
            "points": points,
            "relative": 100 * points / theirs,
            "relative to ours": 100 * points / ours,
        }
        reading = _reading(s, values)
        rows.append(
            {
                "id": s.id,
                "dataset": s.dataset,
                "metric": s.metric,
                "baseline": s.baseline,
                "row": row,
                "printed": s.printed,
                **{k.replace(" ", "_"): v for k, v in values.items()},
                "reading": reading,
                "raised": not reading.startswith("points"),
            }
        )
    return pd.DataFrame(rows)


def _reading(s: paper.PercentStatement, values: dict[str, float]) -> str:
    unit = 10.0**-s.decimals
    for name, value in values.items():
        if abs(value - s.value) <= unit / 2 + 1e-9:
            return f"{name}, rounded"
        if s.value - 1e-9 <= value < s.value + unit - 1e-9:
            return f"{name}, cut off"
    return "neither"


# --------------------------------------------------------------------------------------------------------------------
# Granularity: which percentages are k / n


def attainable(percent: float, n: int, decimals: int = paper.DECIMALS) -> list[int]:
    """Return all k for which 100 k / n, rounded either way at a half, prints as ``percent``; empty if there is none.

    After Brown and Heathers's GRIM test (2017). Integer arithmetic: no rounding of our own.
    """
    if n < 1:
        raise ValueError(f"n: wanted at least one image, got {n}")
    scale = 10**decimals
    units = round(percent * scale)
    low, high = (2 * units - 1) * n, (2 * units + 1) * n  # 200 k scale must lie between
    return list(range(max(0, -(-low // (200 * scale))), min(n, high // (200 * scale)) + 1))


def chance(n: int, low: float = 90.0, high: float = 100.0, decimals: int = paper.DECIMALS) -> float:
    """Return the share of all printable percentages in [low, high] that are k / n: what an arbitrary number scores."""
    scale = 10**decimals
    grid = range(round(low * scale), round(high * scale) + 1)
    return sum(bool(attainable(u / scale, n, decimals)) for u in grid) / len(grid)


def test_sizes() -> dict[str, dict[str, int]]:
    """Return the test sets that suggest themselves, name to number of images (both ways of rounding a share)."""
    fer, labelled = paper.STATED["fer2013_images"], paper.STATED["ck_labelled"]
    sizes: dict[str, dict[str, int]] = {
        "FER": {"PrivateTest (or PublicTest)": 3589, "both test sets": 7178, "all images": fer},
        "CK": {"327 sequences": labelled, "981 frames": 3 * labelled},
    }
    for ds, whole, unit in (("FER", fer, "images"), ("CK", labelled, "sequences"), ("CK", 3 * labelled, "frames")):
        for share in (10, 20, 30):
            for n in sorted({floor(whole * share / 100), ceil(whole * share / 100)}):
                sizes[ds][f"{share} % of {whole} {unit}: {n}"] = n
    return sizes


test_sizes.__test__ = False  # type: ignore[attr-defined]  # not a test, whatever pytest thinks of its name


def granularity(article: Article = PAPER) -> pd.DataFrame:
    """I6: for each plausible test size, the accuracies (Tables I and II or III) that are k / n.

    ``by_chance`` is the number of arbitrary two-decimal numbers, out of as many, that would be. Says nothing about an
    average over folds or runs. ``raised``: not all of the table's five accuracies are attainable.
    """
    rows = []
    for ds, sizes in test_sizes().items():
        if article.test_sizes is not None:
            sizes = {"stated": article.test_sizes[ds]}
        accuracies = {method: row["accuracy"] for method, row in article.tables[ds].items()}
        rates = {method: values[ds] for method, values in article.table_1.items()}
        for name, n in sizes.items():
            fits = [m for m, a in accuracies.items() if attainable(a, n)]
            fits_1 = [m for m, a in rates.items() if attainable(a, n)]
            rows.append(
                {
                    "dataset": ds,
                    "test_set": name,
                    "n": n,
                    "fits": fits,
                    "count": len(fits),
                    "of": len(accuracies),
                    "by_chance": len(accuracies) * chance(n),
                    "fits_table_1": fits_1,
                    "count_table_1": len(fits_1),
                    "raised": len(fits) < len(accuracies),
                }
            )
    return pd.DataFrame(rows)


def smallest_common_size(ds: str, article: Article = PAPER, limit: int = 20_000) -> int | None:
    """Return the smallest test set for which all of a table's accuracies are k / n, or None up to ``limit``."""
    accuracies = [row["accuracy"] for row in article.tables[ds].values()]
    return next((n for n in range(1, limit + 1) if all(attainable(a, n) for a in accuracies)), None)


def one_error(article: Article = PAPER, classes: tuple[int, ...] = (6, 7, 8)) -> pd.DataFrame:
    """I27: what one error among n images can make of macro recall and precision, percent.

    One error lowers one class's recall to 1 - 1/n_c and one class's precision to 1 - 1/m_c, so the macro averages are
    1 - 1/(C n_c) and 1 - 1/(C m_c). ``nearest`` is the attainable value closest to the one printed. Only where the
    table's accuracy is (n - 1) / n of a plausible test set.
    """
    rows = []
    row = article.tables["CK"]["proposed"]
    sizes = {article.test_sizes["CK"]} if article.test_sizes else set(test_sizes()["CK"].values())
    for n in sorted(sizes):
        if n - 1 not in attainable(row["accuracy"], n):
            continue
        for C in classes:
            for metric in ("recall", "precision"):
                values = [100 * (1 - 1 / (C * k)) for k in range(1, n)]
                nearest = min(values, key=lambda v: abs(v - row[metric]))
                off = abs(nearest - row[metric]) > HALF + 1e-9
                rows.append(
                    {
                        "n": n,
                        "classes": C,
                        "metric": metric,
                        "printed": row[metric],
                        "nearest": nearest,
                        "raised": off,
                    }
                )
    return pd.DataFrame(rows, columns=["n", "classes", "metric", "printed", "nearest", "raised"])


# --------------------------------------------------------------------------------------------------------------------
# Text against data and mathematics


def class_lists(article: Article = PAPER) -> pd.DataFrame:
    """I17: classes the text names for CK+ beside those its labels have."""
    named, labelled = set(article.class_names["CK"]), set(CK_CLASSES)
    rows = [
        {"class": c, "in_text": c in named, "in_labels": c in labelled, "raised": (c in named) != (c in labelled)}
        for c in sorted(named | labelled)
    ]
    return pd.DataFrame(rows)


def lda_rank(article: Article = PAPER) -> pd.DataFrame:
    """I18: directions asked of the discriminant analysis beside the rank of S_B (C means about their mean: C - 1)."""
    rank = article.classes - 1
    row = {
        "classes": article.classes,
        "asked": article.lda_dimensions,
        "rank": rank,
        "raised": article.lda_dimensions > rank,
    }
    return pd.DataFrame([row])


def ck_counts(article: Article = PAPER) -> pd.DataFrame:
    """I15: subjects stated for CK+ beside those of its labelled sequences, which the paper does not number."""
    stated = article.ck_subjects
    raised = stated != ckplus.SUBJECTS
    return pd.DataFrame([{"stated": stated, "labelled": ckplus.SUBJECTS, "raised": raised}])


def three_equal_channels(article: Article = PAPER) -> pd.DataFrame:
    """I23: the divisor's mean over channels: three equal ones give the same as one, so nothing hangs on it."""
    pixels = [0.0, 3.0, 9.0]
    mean = sum(pixels) / len(pixels)
    one = sum((x - mean) ** 2 for x in pixels) / len(pixels)
    many = sum((x - mean) ** 2 for x in pixels * article.channels) / (article.channels * len(pixels))
    row = {"channels": article.channels, "variance_one": one, "variance_many": many, "raised": article.channels != 1}
    return pd.DataFrame([row])


def memory(article: Article = PAPER, batch: int = 64) -> pd.DataFrame:
    """I9: bytes of what might be held at once, beside the machine's memory (before Windows and MATLAB take theirs)."""
    pixels = article.size**2
    maps = max(k for _, k in paper.CONVOLUTIONS[:1]) * pixels  # the first convolution's, before any pooling
    what = {
        "all images, 1 byte a pixel": article.images * pixels,
        "all images, single precision": 4 * article.images * pixels,
        "all images, double precision (MATLAB's default)": 8 * article.images * pixels,
        f"first convolution's maps, batch of {batch}, single": 4 * batch * maps,
        "first convolution's maps, all images, single": 4 * article.images * maps,
    }
    rows = [
        {"what": k, "bytes": v, "share": v / article.memory_bytes, "raised": v > article.memory_bytes}
        for k, v in what.items()
    ]
    return pd.DataFrame(rows)


# --------------------------------------------------------------------------------------------------------------------
# The field


@dataclass(frozen=True)
class Reference:
    """A number published or measured elsewhere, percent. ``key`` is its entry in the book's bibliography."""

    who: str
    value: float
    dataset: str
    kind: str  # "human", "single", "ensemble", "later"; and "shipped", of networks in packages that we measured
    note: str = ""
    key: str | None = None
    plus_minus: float | None = None


FIELD = (
    Reference(
        "Human (Goodfellow et al. 2013)", 65.0, "FER", "human", "read", "goodfellow2013challenges", plus_minus=5.0
    ),
    Reference("Tang 2013, the challenge's winner", 71.2, "FER", "single", "read", "tang2013deep"),
    Reference("Pramerdorfer & Kampel 2016", 72.7, "FER", "single", "read", "pramerdorfer2016facial"),
    Reference("Pramerdorfer & Kampel 2016, ensemble", 75.2, "FER", "ensemble", "read", "pramerdorfer2016facial"),
    Reference("Khaireddin & Chen 2021", 73.3, "FER", "single", "read; seems to be PublicTest", "khaireddin2021facial"),
    Reference("Pham et al. 2020", 74.1, "FER", "single", "read; pretrained on ImageNet", "luan2020facial"),
    Reference("Pham et al. 2020, ensemble", 76.8, "FER", "ensemble", "read; pretrained on ImageNet", "luan2020facial"),
    Reference("Georgescu et al. 2019", 75.4, "FER", "ensemble", "read", "georgescu2019local"),
    Reference(
        "The authors' later article (2025)", 82.89, "FER", "later", "read; split not named", "jayaraman2025interactive"
    ),
    Reference(
        *("DeRL (Yang et al. 2018)", 97.3, "CK", "single"),
        "read; pretrained on BU-4DFE and BP4D; 10 folds, subjects apart",
        "yang2018facial",
    ),
    Reference("FAN (Meng et al. 2019)", 99.7, "CK", "single", "read; pretrained on FER+", "meng2019frame"),
    Reference(
        "The authors' later article (2025)", 96.78, "CK", "later", "read; split not named", "jayaraman2025interactive"
    ),
)


def human_agreement() -> dict[str, Any] | None:
    """Return the committed facts on FER+'s raters (fractions), or None where the checkout is not at hand.

    Written by ``python -m fer_repro.consistency fer2013new.csv`` from FER+'s votes; see :func:`write_facts`.
    """
    path = FACTS / "human_agreement.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def shipped() -> list[Reference]:
    """Return the networks of others that ``benchmarks/peers.py`` measured on PrivateTest; none without its record."""
    path = FACTS.parent / "benchmarks" / "peers.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    return [
        Reference(f"{r['source']['registry']} {r['name']}", 100 * r["accuracy"], "FER", "shipped", "measured")
        for r in rows
        if not r["ours"]
    ]


def against_the_field(article: Article = PAPER, facts: dict[str, Any] | None = None) -> pd.DataFrame:
    """I7: the accuracy claimed beside human agreement and other results, percent.

    ``raised``: the claim on FER2013 is above that number, for humans (with their ± if there is one) and for published
    results on the official split. The authors' later article names no split, shipped networks are no measure of what is
    possible, and CK+ is nearly solved, so none of these raises anything.
    """
    references = [*FIELD, *shipped()]
    facts = facts if facts is not None else human_agreement()
    for name, value in ((facts or {}).get("test") or {}).items():
        if name in AGREEMENTS:
            references.append(
                Reference(AGREEMENTS[name], 100 * value, "FER", "human", "computed", "barsoum2016training")
            )
    rows = []
    for r in references:
        claimed = article.tables[r.dataset]["proposed"]["accuracy"]
        counts = r.dataset == "FER" and r.kind in ("human", "single", "ensemble")
        rows.append(
            {
                "who": r.who,
                "dataset": r.dataset,
                "kind": r.kind,
                "value": r.value,
                "plus_minus": r.plus_minus,
                "claimed": claimed,
                "gap": claimed - r.value,
                "note": r.note,
                "key": r.key,
                "raised": counts and claimed > r.value + (r.plus_minus or 0),
            }
        )
    return pd.DataFrame(rows)


AGREEMENTS = {
    "pair": "FER+: one rater with another",
    "majority": "FER+: one rater with the majority",
    "others": "FER+: one rater with the majority of the others",
}


def write_facts(votes_csv: Path | str, folder: Path = FACTS) -> Path:
    """Write how far FER+'s raters agree (Barsoum et al. 2016) as a small JSON file; rates and counts, no image.

    The file lets the audit run without data; ``votes_csv`` is FER+'s ``fer2013new.csv``.
    """
    from fer_repro.data.audit import human_agreement as measured

    facts: dict[str, Any] = {
        "what": "agreement of FER+'s ten raters an image, over the seven expressions of FER2013",
        "source": "FER+ votes, fer2013new.csv, Barsoum et al. 2016",
        "command": "python -m fer_repro.consistency fer2013new.csv",
    }
    facts |= {split: asdict(found) for split, found in measured(votes_csv).items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "human_agreement.json"
    replace_text(path, json.dumps(facts, indent=2) + "\n")
    return path


# --------------------------------------------------------------------------------------------------------------------
# All of it


def audit(article: Article = PAPER) -> pd.DataFrame:
    """Run every check: one row an inconsistency of the paper, with how many of its rows raised it.

    Findings that can only be read (no check) are listed with ``raised`` None.
    """
    rows = []
    for entry in paper.INCONSISTENCIES:
        found = globals()[entry.check](article) if entry.check else None
        rows.append(
            {
                "id": entry.id,
                "kind": entry.kind,
                "finding": entry.finding,
                "where": entry.where,
                "charitable": entry.charitable,
                "check": entry.check,
                "count": None if found is None else int(found["raised"].sum()),
                "of": None if found is None else len(found),
                "raised": None if found is None else bool(found["raised"].any()),
            }
        )
    return pd.DataFrame(rows).astype({"count": "Int64", "of": "Int64", "raised": "boolean"})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m fer_repro.consistency PATH/TO/fer2013new.csv")
    print(write_facts(sys.argv[1]))
