"""How the book shows things: one style for light and dark, a safe palette, numbered figures, tables and listings.

A chapter calls :func:`show` with a function that draws, and gets a picture that is sharp, has alt text, follows the
page's light or dark theme and can be referred to by name. In Jupyter, the same cell shows a plain picture::

    def draw():
        figure, axes = plt.subplots(figsize=(6.4, 3))
        axes.plot(epochs, loss, color=figures.COLORS[0])
        return figure

    figures.show(draw, name="fig-loss", caption="Loss falls in both stages.", alt="Line chart: loss falls from 2 to 1.")

Text refers to it with ``{numref}`fig-loss```. Tables have :func:`table`, the library's own code :func:`show_source`,
sentences with computed numbers :func:`say`, and each chapter opens with :func:`header_card`.
"""

from __future__ import annotations

import ast
import base64
import html
import inspect
import io
import re
import struct
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.lines import Line2D

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = [
    "COLORS",
    "MARKERS",
    "Shown",
    "class_color",
    "class_legend",
    "class_marker",
    "header_card",
    "p_value",
    "say",
    "show",
    "show_source",
    "style",
    "table",
    "tip",
    "verdict_badge",
    "verdict_sign",
]

# blue, orange, green, brown, violet, sky, mauve, grey. Chosen by search: each has a contrast of about 3:1 or more with
# a white and with the theme's dark ground, and every pair stays apart (CIEDE2000 > 11) in the three kinds of colour
# blindness after Machado, Oliveira and Fernandes (2009).
COLORS = ("#136988", "#d78300", "#389563", "#6d5e2f", "#8533e0", "#3f99ff", "#b082a5", "#717171")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

_CLASS_ORDER = {
    "sadness": 0,
    "anger": 3,
    "disgust": 2,
    "happiness": 1,
    "fear": 4,
    "surprise": 5,
    "contempt": 6,
    "neutral": 7,
}
_THEMES = {
    "light": {"ink": "#1f2430", "soft": "#59616e", "line": "#c9cdd4", "ground": "#ffffff"},
    "dark": {"ink": "#e3e7ee", "soft": "#a9b2bf", "line": "#4a515c", "ground": "#121212"},  # the theme's own ground
}
_SVG_LIMIT = 250_000  # bytes; a picture with thousands of marks is lighter as PNG at twice the screen's resolution
_DPI = 192


def class_color(name: str) -> str:
    """Return the colour (``"#rrggbb"``) that a facial expression has in every figure of the book.

    Raises
    ------
    KeyError
        If ``name`` is none of the eight expressions.
    """
    return COLORS[_class_position(name)]


def class_marker(name: str) -> str:
    """Return the matplotlib marker an expression has beside its colour, so that colour never stands alone."""
    return MARKERS[_class_position(name)]


def class_legend(figure: Figure, classes: Sequence[str]) -> None:
    """Name the classes below a figure, each beside its mark."""
    marks = [
        Line2D([], [], linestyle="", marker=class_marker(c), color=class_color(c), markersize=5, label=c)
        for c in classes
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=4, fontsize=9, handletextpad=0.1, columnspacing=1)


def _class_position(name: str) -> int:
    if name not in _CLASS_ORDER:
        raise KeyError(f"no expression named {name!r}: wanted one of {', '.join(_CLASS_ORDER)}")
    return _CLASS_ORDER[name]


@contextmanager
def style(theme: str = "light") -> Iterator[dict[str, str]]:
    """Draw in the book's style within a ``with`` block; yields the theme's colours ``ink, soft, line, ground``.

    Parameters
    ----------
    theme : ``"light"`` or ``"dark"``
        Which page the picture will stand on. The ground itself stays transparent.
    """
    if theme not in _THEMES:
        raise ValueError(f"no theme named {theme!r}: wanted 'light' or 'dark'")
    colors = _THEMES[theme]
    rc: dict[str, Any] = {
        "figure.figsize": (6.4, 3.6),
        "figure.constrained_layout.use": True,
        "figure.facecolor": "none",
        "savefig.facecolor": "none",
        "axes.facecolor": "none",
        "axes.edgecolor": colors["line"],
        "axes.labelcolor": colors["ink"],
        "axes.titlecolor": colors["ink"],
        "axes.titlesize": "medium",
        "axes.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "axes.axisbelow": True,
        "axes.prop_cycle": cycler(color=COLORS),
        "grid.color": colors["line"],
        "grid.linewidth": 0.6,
        "text.color": colors["ink"],
        "xtick.color": colors["line"],
        "ytick.color": colors["line"],
        "xtick.labelcolor": colors["ink"],
        "ytick.labelcolor": colors["ink"],
        "patch.edgecolor": colors["ground"],
        "hatch.color": colors["soft"],
        "legend.frameon": False,
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "lines.linewidth": 1.8,
        "image.cmap": "gray",
        "svg.fonttype": "path",
        "svg.hashsalt": "fer_repro",
        "savefig.dpi": _DPI,
    }
    defaults: dict[str, Any] = {key: value for key, value in plt.rcParamsDefault.items() if key != "backend"}
    with plt.rc_context(rc={**defaults, **rc}):  # type: ignore[dict-item, unused-ignore]
        yield colors


# ---------------------------------------------------------------------------------------------------------------------
# What a cell shows


@dataclass(frozen=True)
class Shown:
    """One cell output in several forms: MyST for the book, HTML for Jupyter and nbviewer, text for a terminal."""

    myst: str
    html: str | None = None
    text: str = ""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        bundle = {"text/markdown": self.myst, "text/plain": self.text or self.myst}
        if self.html is not None:
            bundle["text/html"] = self.html
        return bundle


def _display(shown: Shown) -> None:
    from IPython.display import display

    display(shown)


def show(draw: Callable[[], Figure], name: str, caption: str, alt: str) -> None:
    """Show a numbered figure that follows the page's light or dark theme.

    Parameters
    ----------
    draw : callable
        Returns a new matplotlib figure. It is called twice, once under each style, and must draw the same thing both
        times: compute (and draw random numbers) outside of it. Colours it does not name follow the theme. Up to about
        7 inches wide; the width shrinks to a phone's column by itself.
    name : str
        The label, ``fig-...``, that ``{numref}`` refers to; unique over the book.
    caption : str
        MyST text that says what to see, one or two sentences.
    alt : str
        What the picture shows, for those who cannot see it; plain text.
    """
    _display(figure(draw, name, caption, alt))


def figure(draw: Callable[[], Figure], name: str, caption: str, alt: str) -> Shown:
    """Return what :func:`show` displays."""
    _check_label(name, "fig-")
    if not caption.strip() or not alt.strip():
        raise ValueError(f"figure {name!r}: wanted a caption and an alt text, got an empty one")
    alt = " ".join(alt.split())
    light, dark = (_picture(draw, theme) for theme in ("light", "dark"))
    fence = _fence(caption)
    myst = "\n".join(
        [
            f"{fence}{{themed-figure}}",
            f":name: {name}",
            f":alt: {_quoted(alt)}",
            "",
            textwrap.dedent(caption).strip(),
            "",
            f"{light.width} {light.height} {light.uri}",
            f"{dark.width} {dark.height} {dark.uri}",
            fence,
        ]
    )
    plain = (
        f'<figure id="{html.escape(name)}" style="margin:0"><img src="{light.uri}" alt="{html.escape(alt)}" '
        f'width="{light.width}" style="max-width:100%;height:auto;background:#fff">'
        f"<figcaption>{html.escape(_plain(caption))}</figcaption></figure>"
    )
    return Shown(myst, plain, f"[figure {name}: {alt}]")


@dataclass(frozen=True)
class _Picture:
    uri: str
    width: int  # CSS pixels
    height: int


def _picture(draw: Callable[[], Figure], theme: str) -> _Picture:
    with style(theme):
        drawn = draw()
        if not hasattr(drawn, "savefig"):
            plt.close("all")
            raise TypeError(f"draw() must return a matplotlib Figure, got {type(drawn).__name__}: end it with 'return'")
        svg, png = io.BytesIO(), io.BytesIO()
        where: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.04, "transparent": True, "dpi": _DPI}
        drawn.savefig(svg, format="svg", metadata={"Date": None, "Creator": None}, **where)
        if len(svg.getvalue()) > _SVG_LIMIT:
            drawn.savefig(png, format="png", metadata={"Software": None}, **where)
        plt.close(drawn)
    if 0 < len(png.getvalue()) < len(svg.getvalue()):
        width, height = struct.unpack(">II", png.getvalue()[16:24])
        return _Picture(_data_uri(png.getvalue(), "image/png"), round(width * 96 / _DPI), round(height * 96 / _DPI))
    code = _shorter(svg.getvalue().decode())
    size = [float(value) for value in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', code)[0]]  # points
    return _Picture(_data_uri(code.encode(), "image/svg+xml"), round(size[0] * 96 / 72), round(size[1] * 96 / 72))


def _shorter(svg: str) -> str:
    svg = re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return re.sub(r"\n\s*", "\n", svg).strip()


def _data_uri(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def table(
    frame: pd.DataFrame,
    name: str,
    caption: str,
    formats: Mapping[str, str | Callable[[Any], str]] | None = None,
    markdown: Sequence[str] = (),
    index: bool = False,
    missing: str = "–",
) -> None:
    """Show a data frame as a numbered table, right for dark pages and for a phone (it scrolls within itself).

    Parameters
    ----------
    frame : DataFrame
        Short: what a reader takes in. Column names are the headings.
    name : str
        The label, ``tab-...``, that ``{numref}`` refers to.
    caption : str
        MyST text.
    formats : mapping, optional
        Column name to a format such as ``"{:.1f}"``, or to a function of the value.
    markdown : sequence of str
        Columns whose text is MyST already (links, badges, mathematics); the others are taken literally.
    index : bool
        Whether the index becomes the first column.
    missing : str
        What stands for NaN and None.
    """
    _display(numbered_table(frame, name, caption, formats, markdown, index, missing))


def numbered_table(
    frame: pd.DataFrame,
    name: str,
    caption: str,
    formats: Mapping[str, str | Callable[[Any], str]] | None = None,
    markdown: Sequence[str] = (),
    index: bool = False,
    missing: str = "–",
) -> Shown:
    """Return what :func:`table` displays."""
    import pandas as pd

    _check_label(name, "tab-")
    if index:
        frame = frame.reset_index()
    unknown = [column for column in [*(formats or {}), *markdown] if column not in frame.columns]
    if unknown:
        raise KeyError(f"table {name!r}: no column {unknown[0]!r}; there are {', '.join(map(str, frame.columns))}")
    rows = []
    for values in frame.itertuples(index=False, name=None):
        row = []
        for column, value in zip(frame.columns, values, strict=True):
            text = missing if _is_missing(value) else _with_minus(_formatted(value, (formats or {}).get(column)))
            row.append(text if column in markdown else _literal(text))
        rows.append([_together(" ".join(cell.replace("|", "\\|").split())) for cell in row])
    right = [pd.api.types.is_numeric_dtype(frame[column]) or column in (formats or {}) for column in frame.columns]
    right = [r and column not in markdown for r, column in zip(right, frame.columns, strict=True)]
    lines = [[_literal(str(column)).replace("|", "\\|") or " " for column in frame.columns]]
    lines += [["---:" if r else ":---" for r in right], *rows]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    fence = _fence(body)
    myst = f"{fence}{{table}} {_one_line(caption)}\n:name: {name}\n\n{body}\n{fence}"
    return Shown(myst, _html_table(lines[0], rows, right, name, caption), frame.to_string(index=False))


def _html_table(head: list[str], rows: list[list[str]], right: list[bool], name: str, caption: str) -> str:
    def cells(kind: str, row: list[str]) -> str:
        sides = ("right" if r else "left" for r in right)
        return "".join(
            f'<{kind} style="text-align:{side}">{html.escape(_plain(cell))}</{kind}>'
            for side, cell in zip(sides, row, strict=True)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<table id="{html.escape(name)}"><caption>{html.escape(_plain(caption))}</caption>'
        f"<thead><tr>{cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"
    )


def p_value(p: float) -> str:
    """Return a p-value as a table has it: three digits, and a bound where they would say nought."""
    return f"{p:.3f}" if p >= 0.0005 else "< 0.001"


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value) or type(value).__name__ == "NAType"


def _with_minus(text: str) -> str:
    """Put a minus sign where a hyphen stands before a number, not within code, mathematics and links."""
    parts = re.split(r"(`+.+?`+|\$.+?\$|\]\(.*?\))", text, flags=re.DOTALL)
    return "".join(p if k % 2 else re.sub(r"(?<![\w.)\]])-(?=\.?\d)", "−", p) for k, p in enumerate(parts))


def _together(text: str) -> str:
    """Keep an interval, "(1.2 to 3.4)", in one line of its cell."""
    return re.sub(r"\(([−+\d.]+) to ([−+\d.]+)\)", "(\\1\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}\\2)", text)


def _formatted(value: Any, how: str | Callable[[Any], str] | None) -> str:
    if how is None:
        return f"{value:g}" if isinstance(value, float) else str(value)
    return how.format(value) if isinstance(how, str) else str(how(value))


def say(text: str) -> None:
    """Show prose whose numbers were computed: ``say(f"The spread falls by {change:.0%}.")``. MyST text."""
    _display(Shown(_with_minus(textwrap.dedent(text).strip())))


def tip(text: str, title: str = "In short", kind: str = "tip", folded: bool = False) -> None:
    """Show computed prose in a box. ``kind`` is a MyST admonition: tip, note, important, warning, seealso."""
    body = _with_minus(textwrap.dedent(text).strip())
    fence = _fence(body)
    classes = f":class: {kind}" + (" dropdown" if folded else "")
    _display(Shown(f"{fence}{{admonition}} {title}\n{classes}\n\n{body}\n{fence}"))


# ---------------------------------------------------------------------------------------------------------------------
# The library's own source


def show_source(obj: Any, docstring: bool = False, fold: bool = False, name: str | None = None) -> None:
    """Show the source of a function, method or class of this library, with its file and lines.

    Parameters
    ----------
    obj : function, method, class or module
        Anything :func:`inspect.getsource` reads.
    docstring : bool
        Keep the docstring. Chapters explain in prose, so the listing is short without it.
    fold : bool
        Start folded, for code that is context rather than the point.
    name : str, optional
        A label ``code-...`` for ``{numref}``.
    """
    _display(listing(obj, docstring, fold, name))


def listing(obj: Any, docstring: bool = False, fold: bool = False, name: str | None = None) -> Shown:
    """Return what :func:`show_source` displays."""
    obj = inspect.unwrap(obj) if callable(obj) else obj
    lines, start = inspect.getsourcelines(obj)
    code = textwrap.dedent("".join(lines)).rstrip()
    last = start + len(lines) - 1
    if not docstring and not inspect.ismodule(obj):
        code = _without_docstrings(code)
    package = Path(__file__).parents[2]
    path = Path(inspect.getsourcefile(obj) or "?").resolve()
    place = path.relative_to(package).as_posix() if path.is_relative_to(package) else path.name
    fence = _fence(code, "`")
    label = f"\n:name: {name}" if name else ""
    block = f"{fence}{{code-block}} python\n:class: library-source{label}\n\n{code}\n{fence}"
    where = f"{{source}}`{place}:{max(start, 1)}-{last}`"
    title = getattr(obj, "__qualname__", place)
    if fold:
        outer = _fence(block)
        myst = f"{outer}{{admonition}} `{title}` in {where}\n:class: dropdown library-source-box\n\n{block}\n{outer}"
    else:
        myst = f"{block}\n\n{{.source-place}}\n{where}"
    plain = f"<pre>{html.escape(code)}</pre><small>{html.escape(place)}, lines {start}–{last}</small>"
    return Shown(myst, plain, f"# {place}, lines {start}-{last}\n{code}")


def _without_docstrings(code: str) -> str:
    lines = code.splitlines()
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0]
        is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        if is_text and isinstance(first.value.value, str) and len(node.body) > 1 and first.end_lineno:  # type: ignore[attr-defined]
            after = first.end_lineno
            while after < len(lines) and not lines[after].strip():
                after += 1
            for number in range(first.lineno - 1, after):
                lines[number] = "\0"
    return "\n".join(line for line in lines if line != "\0")


# ---------------------------------------------------------------------------------------------------------------------
# The card at the head of a chapter

VERDICTS = {
    "reproduced": "good",
    "within interval": "fair",
    "exceeds": "fair",
    "partial": "fair",
    "not reproduced": "poor",
    "inconsistent in the paper": "poor",
    "not testable": "none",
    "not run yet": "none",
}


def verdict_sign(verdict: str) -> str:
    """Return the sign that stands before a verdict, so that colour never stands alone."""
    return {"good": "✓", "fair": "◐", "poor": "✗", "none": "–"}[VERDICTS.get(verdict, "none")]


def verdict_badge(verdict: str) -> str:
    """Return MyST for a verdict as a small badge, for columns named in ``table(markdown=...)`` and for prose."""
    return f"[{verdict_sign(verdict)} {verdict}]{{.verdict .verdict-{VERDICTS.get(verdict, 'none')}}}"


def header_card(
    section: str,
    claims: Sequence[str] = (),
    profile: str = "quick",
    dataset: str = "synthetic",
    minutes: int | None = None,
    questions: Sequence[str] = (),
    files: Sequence[str] = (),
) -> None:
    """Show the card a chapter opens with.

    The book fills in each claim's verdict by the run records at hand, and the time the page took to execute.

    Parameters
    ----------
    section : str
        Where the paper says it, such as ``"Sec. III-F, Eqs 8–12"``.
    claims : sequence of str
        Claim ids of the chapter, or families such as ``"C-T1"`` that stand for ``C-T1-*``.
    profile, dataset : str
        What this page was executed with.
    minutes : int, optional
        Teaching time.
    questions : sequence of str
        Open-question ids that are decided here, such as ``["Q9"]``.
    files : sequence of str
        Library files the chapter explains, such as ``["fer_repro/lda.py"]``.
    """
    _display(card(section, claims, profile, dataset, minutes, questions, files))


def card(
    section: str,
    claims: Sequence[str] = (),
    profile: str = "quick",
    dataset: str = "synthetic",
    minutes: int | None = None,
    questions: Sequence[str] = (),
    files: Sequence[str] = (),
) -> Shown:
    """Return what :func:`header_card` displays.

    A ValueError says so where a chapter was given a profile or a data set that there is none of.
    """
    from fer_repro.data import NAMES
    from fer_repro.recipe import RECIPES

    if profile not in RECIPES or dataset not in NAMES:
        raise ValueError(
            f"profile {profile!r}, dataset {dataset!r}: wanted a profile among {', '.join(RECIPES)} and a data set "
            f"among {', '.join(NAMES)}"
        )
    facts = {
        "Paper": section,
        "Claims": " ".join(f"{{verdict}}`{claim}`" for claim in claims),
        "Decided here": ", ".join(f"{{ref}}`{q} <question-{q.lower()}>`" for q in questions),
        "Code": ", ".join(f"{{source}}`{file}`" for file in files),
        "Made with": f"profile `{profile}`, data `{dataset}`{{runtime}}`now`",
        "Teaching": f"about {minutes} minutes" if minutes else "",
    }
    rows = [(key, value) for key, value in facts.items() if value]
    myst = ":::::{div} chapter-card\n\n" + "\n".join(f":{key}: {value}" for key, value in rows) + "\n:::::"
    body = "".join(f"<tr><th>{key}</th><td>{html.escape(_plain(value))}</td></tr>" for key, value in rows)
    return Shown(myst, f"<table>{body}</table>", "\n".join(f"{key}: {_plain(value)}" for key, value in rows))


# ---------------------------------------------------------------------------------------------------------------------
# Text


def _check_label(name: str, prefix: str) -> None:
    if not re.fullmatch(prefix + r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(f"label {name!r}: wanted {prefix}words-with-hyphens in lower case")


def _fence(inside: str, character: str = ":") -> str:
    """A fence longer than any inside, so that directives nest."""
    longest = max((len(run) for run in re.findall(re.escape(character) + "{3,}", inside)), default=3)
    return character * (max(longest, 3) + 1)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _literal(text: str) -> str:
    """Text with the signs that MyST would take for markup escaped."""
    return re.sub(r"([\\`*_{}\[\]<>$#|])", r"\\\1", text).replace("\\|", "|")


def _plain(text: str) -> str:
    """MyST text without its markup, for places that do not know it."""
    text = re.sub(r"\{runtime\}`\w+`", "", text)
    text = re.sub(r"\{[a-z:]+\}`([^`<]*?)(?:\s*<[^`]*>)?`", r"\1", text)  # roles
    text = re.sub(r"\[([^\]]*)\](?:\{[^}]*\}|\([^)]*\))", r"\1", text)  # spans and links
    return _one_line(re.sub(r"\\([^\w\s])", r"\1", text.replace("`", "")))
