"""Chapters as notebooks to hand out: the exercises without their solutions."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from fer_repro import book
from fer_repro.results import replace_text

PLACE = "*(your turn)*"
_SOLUTION = re.compile(r"(?ms)^# (`{3,})\{solution-start\} \S+\n.*?^# \1\{solution-end\}\n# \1\n")


def without_solutions(source: str) -> str:
    """Return a chapter's source (jupytext, py:percent) with a place to write in instead of each solution.

    Quizzes keep their folded answers: nobody is marked by them.

    Raises
    ------
    BookError
        If a solution has a beginning or an end only.
    """
    source = _SOLUTION.sub(f"# {PLACE}\n", source)
    if left := re.search(r"\{solution-(start|end)\}.*", source):
        raise book.BookError(f"a solution without its other end: {left[0]}")
    return source


def write(
    to: str | os.PathLike[str],
    only: Sequence[str] | str | None = None,
    root: str | os.PathLike[str] | None = None,
) -> list[Path]:
    """Write chapters without their solutions as Jupyter notebooks.

    Parameters
    ----------
    to : path
        The folder, made where it is missing. A file of a notebook's name in it is left alone, and is an error.
    only : notebook name or names, optional
        Just these (``03_center_loss`` or ``center_loss``).
    root : path, optional
        The checkout. Default: as for :func:`fer_repro.book.build`.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    BookError
        If there is no such chapter, or a file of that name is there already: students may have written in it.
    """
    import jupytext

    texts = {
        Path(to, f"{name}.ipynb"): without_solutions(source.read_text(encoding="utf-8"))
        for name, source in book.chapters(only, root).items()
    }
    if there := [str(target) for target in texts if target.exists()]:
        raise book.BookError(f"there already, and left alone: {', '.join(there)}")
    Path(to).mkdir(parents=True, exist_ok=True)
    for target, text in texts.items():
        replace_text(target, jupytext.writes(jupytext.reads(text, fmt="py:percent"), fmt="ipynb"))
    return list(texts)
