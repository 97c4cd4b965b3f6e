"""The finished pages in a real browser: no error, nothing fetched from elsewhere, no sideways scrolling on a phone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from fer_repro import book, results

ROOT = Path(__file__).parents[1]
browser = pytest.importorskip("browser", reason="tests/browser.py needs tornado, which comes with Jupyter")

pytestmark = pytest.mark.skipif(
    browser.CHROMIUM is None, reason="NO BROWSER: install chromium to have the book's pages opened and looked at"
)

CHAPTER = """# %% [markdown]
# # A small chapter
#
# $$ \\mathcal{L} = \\sum_i x_i^2 + \\text{a term of many words} + \\text{a term of many words more} $$ (eq-small)
#
# See {numref}`fig-small`, {numref}`tab-small` and {eq}`eq-small` {cite:p}`wen2016discriminative`.

# %% tags=["parameters"]
profile = "quick"
dataset = "synthetic"
data_dir = None
seed = 0
device = "auto"

# %%
import matplotlib.pyplot as plt
import pandas as pd

from fer_repro import figures

figures.header_card("Sec. III", ["C-LDA"], profile, dataset, minutes=10, questions=["Q1"], files=["fer_repro/lda.py"])


# %%
def draw():
    figure, axes = plt.subplots(figsize=(7, 3))
    axes.plot([1, 3, 2])
    return figure


figures.show(draw, name="fig-small", caption="A *line* {cite:p}`fisher1936use`.", alt='A "line" that rises and falls')

# %%
wide = pd.DataFrame({f"column number {k}": ["some words that take room"] * 2 for k in range(8)})
figures.table(wide, "tab-small", "A wide table.")

# %% [markdown]
# (question-q1)=
# ## What is open

# %%
figures.say("What it rests on: {record}`mechanisms/lda.json`.")

# %%
figures.show_source(figures.class_color)

# %% tags=["hide-cell"]
folded = 1

# %%
from IPython.display import HTML

HTML("<details><summary><code>results</code></summary>what lies there</details>")

# %% [markdown]
# ```{exercise} ★ One
# :label: ex-one
# What is one?
# ```
#
# ```{solution} ex-one
# :class: dropdown
# One.
# ```
#
# ```{exercise} ★ Two
# :label: ex-two
# What are two?
# ```
#
# ````{solution-start} ex-two
# :class: dropdown
# ````
#
# Two.
#
# ````{solution-end}
# ````
"""

PROPOSED = "fer2013/paper128/proposed"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("notebooks", "__pycache__"))
    shutil.copyfile(ROOT / "_config.yml", root / "_config.yml")
    (root / "notebooks").mkdir()
    (root / "notebooks" / "03_center_loss.py").write_text(CHAPTER)
    (root / "results" / "mechanisms").mkdir(parents=True)
    shutil.copy(ROOT / "results" / "mechanisms" / "lda.json", root / "results" / "mechanisms")
    shutil.copytree(ROOT / "results" / PROPOSED, root / "results" / PROPOSED)
    built = book.build(root=root, echo=lambda line: None)
    assert built.html is not None
    folder = built.html
    return [folder / name for name in ("notebooks/03_center_loss.html", "intro.html", "glossary.html", "search.html")]


ASK = {
    "sideways": "document.documentElement.scrollWidth - document.documentElement.clientWidth",
    "formulas": "document.querySelectorAll('mjx-container svg').length",
    "pictures": "[...document.querySelectorAll('figure img')].filter(i => i.offsetWidth > 0)"
    ".map(i => [i.className, i.complete && i.naturalWidth > 0, i.alt])",
    "records": "[...document.querySelectorAll('a[href*=\"records/\"]')].map(a => a.href)",
    "enlarged": "[...document.querySelectorAll('.themed-pair')].slice(0, 1).map(pair => {"
    " const shown = [...pair.children].find(i => i.offsetWidth > 0), before = shown.offsetWidth; pair.focus();"
    " return [before < shown.offsetWidth, shown.offsetWidth == Number(shown.getAttribute('width'))]})",
    "captions": "[...document.querySelectorAll('figcaption')].filter(c => c.offsetHeight > 0).length",
    "unreachable": "[...document.querySelectorAll('article *')].filter(e => e.scrollWidth > e.clientWidth + 1"
    " && e.clientWidth > 0 && ['auto', 'scroll'].includes(getComputedStyle(e).overflowX) && e.tabIndex < 0)"
    ".map(e => e.tagName + '.' + e.className)",
    "folded": "[...document.querySelectorAll('details > summary')]"
    ".map(s => [s.getAttribute('aria-label'), s.innerText.trim().length > 0,"
    " s.offsetHeight == 0 || s.offsetHeight >= 24])",
    "twice": "[...document.querySelectorAll('[id]')].map(e => e.id).filter((id, k, all) => all.indexOf(id) < k)",
    "said": "document.body.innerText",
    "searches": "[...document.querySelectorAll('input[type=search]')].filter(i => i.offsetWidth > 0).length",
}


@pytest.mark.slow
@pytest.mark.parametrize(("width", "theme"), [(1400, "light"), (390, "dark")])
def test_pages_open_without_errors_and_without_the_network(pages: list[Path], width: int, theme: str) -> None:
    visits = browser.visit(pages, width=width, theme=theme, ask=ASK)
    for visit in visits:
        assert visit.console == [], visit.url
        assert visit.outside == [], visit.url
        assert visit.failed == [], visit.url
        assert visit.answers["sideways"] <= 0, visit.url
        assert {*visit.answers["twice"]} <= {"search-input"}, visit.url  # the theme's, on its page for searching
        assert visit.answers["unreachable"] == [], visit.url  # what scrolls can be scrolled by keys
        # a fold is called by its own title, and as high as a finger needs
        assert all(own == [None, True, True] for own in visit.answers["folded"]), visit.url
    chapter = visits[0].answers
    (leads_to,) = chapter["records"]
    assert leads_to == (pages[1].parent / "records" / "mechanisms" / "lda.json").as_uri()
    assert (pages[1].parent / "records" / "mechanisms" / "lda.json").is_file()
    assert chapter["formulas"] == 1
    assert chapter["pictures"] == [[f"only-{theme}", True, 'A "line" that rises and falls']]
    assert chapter["enlarged"] == [[width < 700, True]]  # a phone shows it small until it is touched
    assert chapter["captions"] == 1
    assert len(chapter["folded"]) >= 2
    assert visits[1].answers["pictures"][0][:2] == [f"only-{theme}", True]
    runs = results.load_all(dataset="fer2013", recipe="paper128", model="proposed")
    mean = np.mean([100 * r["test"]["accuracy"] for r in runs])
    assert f"as we built and trained it: {mean:.1f}" in visits[1].answers["said"]
    assert max(visit.answers["searches"] for visit in visits[:3]) <= 1
