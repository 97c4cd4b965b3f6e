"""What the book shows: numbered figures for two themes, tables, listings, cards."""

from __future__ import annotations

import base64
import inspect
import re
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from fer_repro import figures
from fer_repro.data.faces import CK_CLASSES, FER_CLASSES
from fer_repro.figures import attention, bilstm, densenet


def line() -> plt.Figure:
    figure, axes = plt.subplots(figsize=(4, 2))
    axes.plot([1, 3, 2])
    axes.set_title("A line")
    return figure


def pictures(shown: figures.Shown) -> list[bytes]:
    return [base64.b64decode(found) for found in re.findall(r"base64,(\S+)$", shown.myst, re.MULTILINE)]


def test_a_figure_is_drawn_once_for_each_theme_and_closed() -> None:
    inks = []

    def draw() -> plt.Figure:
        inks.append(plt.rcParams["text.color"])
        return line()

    shown = figures.figure(draw, "fig-line", "A line.", "It rises, then falls")
    assert len({*inks}) == 2
    assert len(inks) == 2
    assert plt.get_fignums() == []
    light, dark = pictures(shown)
    assert light.startswith(b"<svg")
    assert light != dark


def test_the_same_figure_gives_the_same_bytes() -> None:
    assert figures.figure(line, "fig-line", "A", "B") == figures.figure(line, "fig-line", "A", "B")


def test_a_heavy_figure_becomes_a_sharp_png_of_the_same_size() -> None:
    points = np.random.default_rng(0).normal(size=(2, 9000))

    def draw() -> plt.Figure:
        figure, axes = plt.subplots(figsize=(4, 2), layout="none")
        axes.scatter(*points, s=4)
        return figure

    shown = figures.figure(draw, "fig-points", "A", "B")
    light, dark = pictures(shown)
    assert light.startswith(b"\x89PNG")
    assert dark.startswith(b"\x89PNG")
    width = int(re.findall(r"^(\d+) \d+ data:", shown.myst, re.MULTILINE)[0])
    stored = int.from_bytes(light[16:20], "big")
    assert stored == pytest.approx(2 * width, abs=2)


def test_the_plain_form_has_the_picture_alt_text_and_a_caption_without_markup() -> None:
    shown = figures.figure(line, "fig-line", "See {numref}`fig-a` & *all* of {cite:p}`b`.", 'A "line"')
    bundle = shown._repr_mimebundle_()
    assert {"text/markdown", "text/html", "text/plain"} == {*bundle}
    assert 'alt="A &quot;line&quot;"' in bundle["text/html"]
    assert "{numref}" not in bundle["text/html"]
    assert ':alt: "A \\"line\\""' in bundle["text/markdown"]


def test_what_is_wrong_with_a_figure_is_said() -> None:
    with pytest.raises(ValueError, match="wanted fig-words-with-hyphens"):
        figures.figure(line, "line", "A", "B")
    with pytest.raises(ValueError, match="wanted a caption and an alt text"):
        figures.figure(line, "fig-line", "A", " ")
    with pytest.raises(TypeError, match="must return a matplotlib Figure, got NoneType"):
        figures.figure(lambda: None, "fig-line", "A", "B")  # type: ignore[arg-type,return-value]
    with pytest.raises(ValueError, match="no theme named 'grey'"), figures.style("grey"):
        pass


def test_style_leaves_no_trace() -> None:
    before = dict(plt.rcParams)
    with figures.style("dark"):
        assert plt.rcParams["svg.hashsalt"] == "fer_repro"
    assert dict(plt.rcParams) == before


def test_every_expression_has_a_colour_and_a_marker_of_its_own() -> None:
    names = {*FER_CLASSES, *CK_CLASSES}
    assert len({figures.class_color(name) for name in names}) == len(names)
    assert len({figures.class_marker(name) for name in names}) == len(names)
    with pytest.raises(KeyError, match="no expression named 'joy'"):
        figures.class_color("joy")


def luminance(color: str) -> float:
    linear = [((int(color[k : k + 2], 16) / 255 + 0.055) / 1.055) ** 2.4 for k in (1, 3, 5)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_the_palette_holds_on_both_grounds_and_for_the_colour_blind() -> None:
    for color in figures.COLORS:
        for ground in ("#ffffff", "#121212"):
            low, high = sorted([luminance(color), luminance(ground)])
            assert (high + 0.05) / (low + 0.05) > 2.9, (color, ground)
    color_science = pytest.importorskip("skimage.color")
    # Full deficiency, after Machado, Oliveira and Fernandes (2009): protan, deutan, tritan.
    views = {
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    }
    rgb = np.array([[int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)] for color in figures.COLORS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    for name, view in views.items():
        seen = np.clip(linear @ np.array(view).T, 0, 1)
        seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
        lab = color_science.rgb2lab(seen[None])[0]
        apart = min(float(color_science.deltaE_ciede2000(a, b)) for a, b in combinations(lab, 2))
        assert apart > 11, name


def test_a_table_formats_escapes_and_aligns() -> None:
    frame = pd.DataFrame({"name": ["a|b", "*x*"], "value": [0.5, np.nan], "link": ["[l](u)", None]})
    shown = figures.numbered_table(frame, "tab-a", "Two\nrows.", {"value": "{:.2f}"}, markdown=["link"])
    assert shown.myst.splitlines() == [
        "::::{table} Two rows.",
        ":name: tab-a",
        "",
        "| name | value | link |",
        "| :--- | ---: | :--- |",
        r"| a\|b | 0.50 | [l](u) |",
        r"| \*x\* | – | – |",
        "::::",
    ]
    assert shown.html is not None
    assert '<td style="text-align:left">*x*</td>' in shown.html
    with pytest.raises(KeyError, match="no column 'valu'; there are name, value, link"):
        figures.numbered_table(frame, "tab-a", "Two", {"valu": "{}"})


@pytest.mark.parametrize(
    ("written", "set_"),
    [
        ("moves by -1.4 [-.5, +1.2]", "moves by −1.4 [−.5, +1.2]"),
        ("from (-3 to 2) %", "from (−3 to 2) %"),
        ("pages 3-5, bf16-32, 1e-5, 2026-11-26, C-T1-2", "pages 3-5, bf16-32, 1e-5, 2026-11-26, C-T1-2"),
        ("`seed -1`, $x = -1$ and [there](a-1.html#-2), -2", "`seed -1`, $x = -1$ and [there](a-1.html#-2), −2"),
        ("- a list's line", "- a list's line"),
    ],
)
def test_numbers_have_a_minus_sign_and_nothing_else_has(
    written: str, set_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert figures._with_minus(written) == set_
    figures.say(written)
    assert set_ in capsys.readouterr().out
    assert figures.numbered_table(pd.DataFrame({"d": [-1.5]}), "tab-a", "Two", {"d": "{:.1f}"}).myst.count("−1.5") == 1


def documented(x: int) -> int:
    """Say something."""
    # A comment stays.
    return x + 1


class Documented:
    """Hold nothing."""

    def method(self) -> int:
        """Return one.

        At length.
        """
        return 1


def test_a_listing_is_the_source_without_docstrings_and_with_its_place() -> None:
    shown = figures.listing(documented)
    assert "Say something" not in shown.myst
    assert "    # A comment stays.\n    return x + 1" in shown.myst
    assert "{source}`tests/test_figures.py:" in shown.myst
    assert "Say something" in figures.listing(documented, docstring=True).myst
    code = figures.listing(Documented, fold=True).myst
    assert "class Documented:\n    def method(self) -> int:\n        return 1" in code
    assert "dropdown" in code


def test_the_listing_of_the_library_compiles() -> None:
    for thing in (figures.show, figures.Shown, figures.style):
        compile(figures.listing(thing).text, "listing", "exec")


def test_a_card_lists_what_it_is_given_and_leaves_the_rest_out() -> None:
    with pytest.raises(ValueError, match=r"profile 'quik'.*wanted a profile among quick, native48, paper128"):
        figures.card("Sec. III-F", [], "quik")
    with pytest.raises(ValueError, match=r"dataset 'fer2014'.*a data set among synthetic, fer2013, ckplus"):
        figures.card("Sec. III-F", [], dataset="fer2014")
    shown = figures.card("Sec. III-F", ["C-LDA"], minutes=20)
    assert ":Claims: {verdict}`C-LDA`" in shown.myst
    assert "about 20 minutes" in shown.myst
    assert "Decided here" not in shown.myst
    assert "{" not in shown.text


def test_badges_have_a_sign_beside_the_colour() -> None:
    assert figures.verdict_badge("reproduced") == "[✓ reproduced]{.verdict .verdict-good}"
    signs = {figures.verdict_sign(verdict) for verdict in ("reproduced", "partial", "not reproduced", "not testable")}
    assert len(signs) == 4


def test_an_svg_is_given_its_size_in_the_pixels_of_a_page() -> None:
    shown = figures.figure(line, "fig-line", "A", "B")
    given = re.findall(r"^(\d+) (\d+) data:", shown.myst, re.MULTILINE)
    for size, picture in zip(given, pictures(shown), strict=True):
        points = re.findall(rb'(?:width|height)="([\d.]+)pt"', picture)[:2]
        assert [int(value) for value in size] == [round(float(value) * 96 / 72) for value in points]


def test_an_index_becomes_the_first_column_where_it_is_wanted() -> None:
    frame = pd.DataFrame({"value": [1]}, index=pd.Index(["a"], name="name"))
    assert (
        "| name | value |\n| :--- | ---: |\n| a | 1 |" in figures.numbered_table(frame, "tab-a", "A", index=True).myst
    )
    assert "| value |\n| ---: |\n| 1 |" in figures.numbered_table(frame, "tab-a", "A").myst


@pytest.mark.parametrize(
    ("p", "said"), [(0.5, "0.500"), (0.004, "0.004"), (0.0006, "0.001"), (0.0004, "< 0.001"), (0.0, "< 0.001")]
)
def test_a_p_value_has_three_digits_or_a_bound(p: float, said: str) -> None:
    assert figures.p_value(p) == said


def test_a_listing_names_its_first_and_last_line() -> None:
    lines, start = inspect.getsourcelines(documented)
    shown = figures.listing(documented)
    assert f"test_figures.py:{start}-{start + len(lines) - 1}`" in shown.myst
    assert f"lines {start}-{start + len(lines) - 1}\n" in shown.text


def test_what_is_reproduced_alone_has_a_tick_and_what_is_not_a_cross() -> None:
    signs = {verdict: figures.verdict_sign(verdict) for verdict in figures.VERDICTS}
    assert [verdict for verdict, sign in signs.items() if sign == "✓"] == ["reproduced"]
    assert [verdict for verdict, sign in signs.items() if sign == "✗"] == [
        "not reproduced",
        "inconsistent in the paper",
    ]
    assert [verdict for verdict, sign in signs.items() if sign == "–"] == ["not testable", "not run yet"]


@pytest.mark.parametrize("folded", [False, True])
def test_a_tip_is_folded_where_it_is_wanted(folded: bool, capsys: pytest.CaptureFixture[str]) -> None:
    figures.tip("All of it.", "Why", kind="note", folded=folded)
    said = capsys.readouterr().out
    assert "{admonition} Why" in said and ":class: note" in said
    assert ("dropdown" in said) == folded


@pytest.mark.usefixtures("styled")
def test_one_panel_is_as_good_as_several() -> None:
    square, face = np.eye(3), np.zeros((12, 12))
    assert len(attention.matrices({"one": square}).axes) == 2  # and the scale
    assert len(bilstm.reach_maps({"one": square}).axes) == 2
    assert len(bilstm.serialisations(face, {"rows": (3, 1)}).axes) == 1
    assert len(densenet.grown({"one": face}, {"one": np.ones((4, 3))}, [0, 2, 4]).axes) == 3
