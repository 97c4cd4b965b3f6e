"""The open questions' figures: which of the paper's silences matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_repro import results, sensitivity
from fer_repro.figures import COLORS

_UP, _DOWN, _NEITHER = COLORS[2], COLORS[1], COLORS[7]


def tornado(table: pd.DataFrame, seeds: float | None = None, what: str = "change in accuracy, points") -> Figure:
    """Draw how far each reading moves the result, the largest move on top.

    Bars and dots are filled where the difference is significant after Holm's correction, hollow where it is not; the
    line through a dot is its 95 % interval.

    Parameters
    ----------
    table : DataFrame
        As :func:`fer_repro.sensitivity.compare` returns, at least one row.
    seeds : float, optional
        What another seed alone does (fraction), drawn as a band to both sides.
    what : str
        The axis' label.
    """
    order = table["difference"].abs().sort_values(ascending=False, kind="stable").index
    rows, places = table.loc[order], np.arange(len(table))[::-1]
    figure, axes = plt.subplots(figsize=(6.8, 1.1 + 0.27 * len(rows)))
    if seeds is not None:
        axes.axvspan(-100 * seeds, 100 * seeds, color=_NEITHER, alpha=0.14, linewidth=0, label="another seed alone")
        axes.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)  # above: it covers no bar
    axes.axvline(0, color=plt.rcParams["axes.edgecolor"], linewidth=1)
    for place, row in zip(places, rows.itertuples(), strict=True):
        color = _NEITHER if not row.significant else _UP if row.difference > 0 else _DOWN
        inside = color if row.significant else "none"
        axes.barh(place, 100 * row.difference, 0.62, facecolor=inside, edgecolor=color, linewidth=1.2, alpha=0.75)
        axes.plot([100 * row.low, 100 * row.high], [place, place], color=plt.rcParams["text.color"], linewidth=1.1)
        axes.plot(100 * row.difference, place, "o", color=color, markerfacecolor=inside, markersize=5.5)
    axes.set(yticks=places, xlabel=what, ylim=(-0.7, len(rows) - 0.3))
    axes.set_yticklabels([f"{r.question}  {r.reading}" for r in rows.itertuples()], fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    return figure


def answer(question: str, options: Sequence[str], done: Mapping[str, pd.DataFrame]) -> str:
    """Return MyST on one open question: where our answer stands, and how far the others move the result.

    Parameters
    ----------
    question : str
        ``"Q6"``.
    options : sequence of str
        The named defaults, as :data:`fer_repro.paper.QUESTIONS` lists them.
    done : mapping
        What was run on (``"synthetic faces"``) to what :func:`fer_repro.sensitivity.compare` returns.
    """
    stands = " · ".join(
        f"`{row.option}` = `{row.default}` in {{source}}`{row.place}`"
        for row in sensitivity.defaults(options).itertuples()
    )
    lines = [f"Our answer\n: {stands}"]
    for where, table in done.items():
        rows = table[table["question"] == question]
        real = where.startswith("FER2013")
        planned = [r for r in sensitivity.readings(question) if (r.native if real else r.drawn)]
        left = [r.words for r in planned if r.words not in set(rows["reading"])]
        moves = [_move(row) for row in rows.itertuples()] + (["not run yet: " + ", ".join(left)] if left else [])
        if moves:
            lines.append(f"Taken otherwise, {where}\n: " + "; ".join(moves) + ".")
    return "\n\n".join(lines)


def measured(*questions: str) -> str:
    """Return MyST that says which other answers to these questions were run in the whole network, and on what.

    Parameters
    ----------
    *questions : str
        ``"Q6"``; each of their :func:`fer_repro.sensitivity.readings` is named once, and nothing else is.
    """
    runs = {
        "on FER2013 at 48×48": results.load_all(dataset="fer2013", recipe="native48", float32=True),
        "on drawn faces": results.load_all(dataset="synthetic", recipe="quick", float32=True),
    }
    found: dict[str, list[str]] = {}
    for reading in (r for question in questions for r in sensitivity.readings(question)):
        places = [where for where, records in runs.items() if not sensitivity.missing(records, [reading])]
        where = " and ".join(places) + (" only" if len(places) == 1 else "") if places else "planned, not run yet"
        found.setdefault(where, []).append(f"*{reading.words}* ({reading.question})")
    said = "; ".join(f"{where}: {', '.join(words)}" for where, words in found.items())
    return f"{{ref}}`chap-questions` compares runs of the whole network with the default, {said}."


def _move(row: Any) -> str:
    sure = ("" if row.significant else ", not significant") + (", in float32" if row.precision == "32-true" else "")
    records = "".join(f", {{record}}`{path}`" for path in row.paths if path)
    interval = f"{100 * row.low:+.1f} to {100 * row.high:+.1f}"
    return f"{row.reading}: **{100 * row.difference:+.1f}** points ({interval}{sure}{records})"
