"""What this book adds to Sphinx: pictures in two themes, the library's source as pages, verdicts, MathJax from disk.

Directives: ``themed-figure`` (written by ``fer_repro.figures.show``), ``drawing`` (a figure that the library draws
while the page is built), ``findings`` (the state of the ledger). Roles: ``source``, ``record``, ``verdict``,
``runtime``.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import html
import importlib
import json
import math
import posixpath
import re
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from docutils import nodes
from docutils.parsers.rst import directives
from pybtex.plugin import register_plugin
from pybtex.richtext import Text as RichText
from pybtex.style.formatting.unsrt import Style as UnsrtStyle
from pybtex.style.labels import BaseLabelStyle
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import CLexer, PythonLexer
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.logging import getLogger

ROOT = Path(__file__).resolve().parents[2]
logger = getLogger("fer_book")


# ---------------------------------------------------------------------------------------------------------------------
# One figure, two pictures


class themed_images(nodes.General, nodes.Element):
    """Two images of which the page shows the one for its theme."""


class ThemedFigure(SphinxDirective):
    """Caption first; the last two lines are ``width height data-uri`` of the light and of the dark picture."""

    has_content = True
    option_spec: ClassVar = {"name": directives.unchanged_required, "alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        lines = list(self.content)
        pictures, text = lines[-2:], lines[:-2]
        images = themed_images(pictures=[], alt=self.options["alt"])
        for theme, line in zip(("light", "dark"), pictures, strict=True):
            width, height, uri = line.split(" ", 2)
            path = self.write(uri, theme)
            images["pictures"].append((theme, width, height, path))
        caption = nodes.caption()
        caption += self.parse_inline(" ".join(text).strip(), lineno=self.lineno)[0]
        figure = nodes.figure("", images, caption, classes=["themed-figure"])
        self.set_source_info(figure)
        self.add_name(figure)
        return [figure]

    def write(self, uri: str, theme: str) -> str:
        """Pictures come inside the notebooks; written to files, a page loads only those for the theme it shows."""
        mime, _, data = uri.removeprefix("data:").partition(";base64,")
        content = base64.b64decode(data)
        digest = hashlib.sha256(content).hexdigest()[:12]
        suffix = {"image/svg+xml": "svg", "image/png": "png"}[mime]
        path = Path(self.env.doctreedir) / "pictures" / f"{self.options['name']}-{theme}-{digest}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.env.images.add_file(self.env.docname, str(path))
        return str(path)


def visit_themed_images(self: Any, node: themed_images) -> None:
    # Apart from the caption, which the theme would hide with its image. With the focus it is larger on a phone.
    self.body.append('<span class="themed-pair" tabindex="0" role="group" aria-label="figure">')
    for theme, width, height, path in node["pictures"]:
        name = self.builder.env.images[path][1]
        self.builder.images[path] = name
        self.body.append(
            f'<img class="only-{theme}" src="{html.escape(posixpath.join(self.builder.imgpath, quote(name)))}"'
            f' alt="{html.escape(node["alt"])}" width="{width}" height="{height}" loading="lazy" decoding="async">'
        )
    self.body.append("</span>")
    raise nodes.SkipNode


class Drawing(SphinxDirective):
    """A figure that a library function draws: ``{drawing} module:function`` with ``:name:`` and ``:alt:``."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"name": directives.unchanged_required, "alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        from fer_repro import figures

        module, _, function = self.arguments[0].partition(":")
        draw = getattr(importlib.import_module(module), function)
        shown = figures.figure(draw, self.options["name"], "\n".join(self.content), self.options["alt"])
        return self.parse_text_to_nodes(shown.myst)


# ---------------------------------------------------------------------------------------------------------------------
# The library's source, as pages of the book


class SourceRole(SphinxRole):
    """``{source}`fer_repro/lda.py:10-40``` links to those lines on a page of the book."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        place, _, lines = self.text.partition(":")
        label = place
        if lines:
            first, _, last = lines.partition("-")
            label += f", line {first}" if last in ("", first) else f", lines {first}–{last}"
        text = nodes.literal(place, place)
        rest = nodes.Text(label.removeprefix(place))
        if not (ROOT / place).is_file() or not place.endswith((".py", ".c")) or self.env.app.builder.format != "html":
            return [text, rest], []
        page = self.env.app.builder.get_relative_uri(self.env.docname, _source_page(place))
        anchor = f"#line-{lines.partition('-')[0]}" if lines else ""
        return [nodes.reference("", "", text, rest, refuri=page + anchor, internal=True)], []


class RecordRole(SphinxRole):
    """``{record}`fer2013/native48/proposed/official-seed0.json``` leads to that record, which the book carries."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        from fer_repro import results

        if self.env.app.builder.format != "html":
            return [nodes.Text("record")], []
        if not (results.root() / self.text).is_file():
            logger.warning("no record %r in the results folder", self.text, location=self.get_location())
        page = posixpath.relpath(f"records/{quote(self.text)}", posixpath.dirname(self.env.docname) or ".")
        return [nodes.reference("", "", nodes.Text("record"), refuri=page, internal=True)], []


def _source_page(place: str) -> str:
    return "source/" + place.removesuffix(".py").replace("__init__", "index")


def source_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    if app.builder.format != "html":
        return
    formatter = HtmlFormatter(linenos="inline", lineanchors="line", anchorlinenos=True, cssclass="highlight")
    library = [path for kind in ("*.py", "*.c") for path in (ROOT / "fer_repro").rglob(kind)]
    for path in sorted([*library, *(ROOT / "benchmarks").glob("*.py")]):
        place = path.relative_to(ROOT).as_posix()
        lexer = PythonLexer() if path.suffix == ".py" else CLexer()
        body = highlight(path.read_text(encoding="utf-8"), lexer, formatter)
        title = f"<code>{html.escape(place)}</code>"
        yield _source_page(place), {"title": place, "body": f"<h1>{title}</h1>{body}", "parents": []}, "page.html"


def _index(tree: ast.AST, prefix: str, place: str) -> Iterator[tuple[str, tuple[str, int]]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield f"{prefix}.{node.name}", (place, node.lineno)
            yield from _index(node, f"{prefix}.{node.name}", place) if isinstance(node, ast.ClassDef) else ()
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield f"{prefix}.{target.id}", (place, node.lineno)


def library_index() -> dict[str, tuple[str, int]]:
    """Every module, function, class, method and constant of the library, with its file and line."""
    found: dict[str, tuple[str, int]] = {}
    for path in sorted((ROOT / "fer_repro").rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        module = place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        found[module] = (place, 1)
        found.update(_index(ast.parse(path.read_text(encoding="utf-8")), module, place))
    return found


def link_to_library(app: Sphinx, env: Any, node: nodes.Element, text: nodes.Node) -> nodes.Node | None:
    """``{func}`data.load``` leads to the line on the source's page; an unknown name stays a warning."""
    if node.get("refdomain") != "py" or app.builder.format != "html":
        return None
    if not hasattr(app, "fer_library"):
        app.fer_library = library_index()  # type: ignore[attr-defined]
    wanted = str(node["reftarget"]).removesuffix("()")
    library: dict[str, tuple[str, int]] = app.fer_library  # type: ignore[attr-defined]
    found = {place for name, place in library.items() if name == wanted or name.endswith("." + wanted)}
    if wanted in library:
        found = {library[wanted]}
    if len(found) != 1:
        return None
    place, line = found.pop()
    page = app.builder.get_relative_uri(node["refdoc"], _source_page(place))
    return nodes.reference("", "", text, refuri=f"{page}#line-{line}", internal=True)


# ---------------------------------------------------------------------------------------------------------------------
# How numbers are set

_AS_WRITTEN = (nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw, nodes.comment)


class Numbers(SphinxPostTransform):
    """A space that does not break before each "%", whoever wrote or computed it; no break within "5–8"."""

    default_priority = 900  # when references are resolved
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for text in list(self.document.findall(nodes.Text)):
            if not isinstance(text.parent, _AS_WRITTEN):
                found = re.sub(r"(?<=\d) ?%", "\N{NO-BREAK SPACE}%", text)
                found = re.sub(r"(?<=\d)–(?=\d)", "–\N{WORD JOINER}", found)
                if found != text:
                    text.parent.replace(text, nodes.Text(found))


class OwnIds(SphinxPostTransform):
    """No id twice on a page: sphinx-exercise gives the content of all exercises one, and that of all solutions."""

    default_priority = 900

    def run(self, **kwargs: Any) -> None:
        for section in self.document.findall(nodes.section):
            section["ids"] = [name for name in section["ids"] if name not in ("exercise-content", "solution-content")]


# ---------------------------------------------------------------------------------------------------------------------
# What the run records say, filled in when the pages are built


def _ledger() -> dict[str, dict[str, Any]]:
    """Claim id to its row of the ledger."""
    from fer_repro import claims, results

    frame = claims.ledger(results.load_all())
    if "claim" not in frame.columns:
        frame = frame.reset_index()
    return {str(row["claim"]): row for row in frame.to_dict("records")}


def ledger_of(app: Sphinx) -> dict[str, dict[str, Any]]:
    if not hasattr(app, "fer_ledger"):
        app.fer_ledger = _ledger()  # type: ignore[attr-defined]
    return app.fer_ledger  # type: ignore[attr-defined]


def _tally(rows: list[dict[str, Any]]) -> dict[str, int]:
    from fer_repro.figures import VERDICTS

    found = [str(row["verdict"]) for row in rows]
    return {
        verdict: found.count(verdict) for verdict in [*VERDICTS, *sorted({*found} - {*VERDICTS})] if verdict in found
    }


LEDGER = "notebooks/15_ledger"  # the page with a row for each claim


class VerdictRole(SphinxRole):
    """``{verdict}`C-LDA``` is that claim's badge, its id a link to its row of the ledger.

    ``{verdict}`C-T1``` counts the verdicts on ``C-T1-*``.
    """

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        from fer_repro.figures.ledger import anchor

        ledger = ledger_of(self.env.app)
        rows = [row for claim, row in ledger.items() if claim == self.text or claim.startswith(self.text + "-")]
        if ledger and not rows:
            logger.warning("no claim named %r in the ledger", self.text, location=self.get_location())
        tally = _tally(rows) or {"not run yet": 1}
        name: nodes.Node = nodes.literal(self.text, self.text)
        if self.text in ledger and LEDGER in self.env.found_docs and self.env.app.builder.format == "html":
            place = self.env.app.builder.get_relative_uri(self.env.docname, LEDGER)
            name = nodes.reference("", "", name, refuri=f"{place}#{anchor(self.text)}", internal=True)
        result: list[nodes.Node] = [name, nodes.Text(" ")]
        for verdict, count in tally.items():
            result += [badge(verdict, count if len(rows) > 1 else None), nodes.Text(" ")]
        return result, []


def badge(verdict: str, count: int | None = None) -> nodes.inline:
    from fer_repro.figures import VERDICTS, verdict_sign

    text = f"{verdict_sign(verdict)} {verdict}" if count is None else f"{verdict_sign(verdict)} {count} {verdict}"
    return nodes.inline(text, text, classes=["verdict", f"verdict-{VERDICTS.get(verdict, 'none')}"])


class Findings(SphinxDirective):
    """How many claims have which verdict, by the run records at hand, and what to hold beside these counts."""

    def run(self) -> list[nodes.Node]:
        from fer_repro.claims import CAVEATS, VERDICTS

        rows = list(ledger_of(self.env.app).values())
        if not rows:
            return self.parse_text_to_nodes("No claim has a verdict yet: there are no run records.")
        paragraph = nodes.paragraph("", "", classes=["tally"])
        for verdict, count in _tally(rows).items():
            paragraph += [badge(verdict, count), nodes.Text(" ")]
        where = next((name for name in sorted(self.env.found_docs) if name.endswith("_ledger")), None)
        place = f"Each claim, with its number and its reason, stands in {{doc}}`/{where}`." if where else ""
        meanings = "\n".join(f"- *{verdict}*: {VERDICTS[verdict]}" for verdict in _tally(rows))
        return [paragraph, *self.parse_text_to_nodes("\n\n".join([_headline(rows), meanings, place, CAVEATS]))]


def _headline(rows: list[dict[str, Any]]) -> str:
    """The proposed network's accuracy on either data set, beside the paper's."""
    places = {"C-T2-proposed-accuracy": "FER2013", "C-T3-proposed-accuracy": "CK+"}
    said = [
        f"**{row['ours']:.1f} %** on {places[row['claim']]} (95 % interval {row['low']:.1f} to {row['high']:.1f}; the "
        f"paper: {row['paper']:.2f})"
        for row in rows
        if row["claim"] in places and not math.isnan(row["ours"])
    ]
    return f"The proposed network's accuracy, as we built and trained it: {' and '.join(said)}." if said else ""


class RuntimeRole(SphinxRole):
    """The time this page took to execute, as the builder noted it beside the notebook."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        noted = Path(self.env.srcdir) / "notebooks" / "runtimes.json"
        seconds = json.loads(noted.read_text()).get(Path(self.env.docname).name) if noted.is_file() else None
        return ([nodes.Text(f", executed in {seconds:.0f} s")] if seconds is not None else []), []


# ---------------------------------------------------------------------------------------------------------------------
# MathJax from the disk


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    script = metadata.distribution("sphinx-mathjax-offline").locate_file(
        "sphinx-mathjax-offline/static/mathjax/tex-svg.js"
    )
    target = Path(app.outdir) / "_static" / "mathjax" / "tex-svg.js"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(str(script), target)


# ---------------------------------------------------------------------------------------------------------------------
# The bibliography, by author and year


class AuthorYearLabels(BaseLabelStyle):
    """Labels such as *Wen et al. 2016*, the same names that stand in the text."""

    def format_labels(self, sorted_entries: list[Any]) -> Iterator[str]:
        for entry in sorted_entries:
            people = [
                str(RichText.from_latex(" ".join([*person.prelast_names, *person.last_names])))
                for person in entry.persons["author"]
            ]
            who = people[0] if len(people) == 1 else " and ".join(people) if len(people) == 2 else people[0] + " et al."
            yield f"{who} {entry.fields['year']}"


class AuthorYearStyle(UnsrtStyle):
    default_label_style = AuthorYearLabels
    default_sorting_style = "author_year_title"


def copy_records(app: Sphinx, failed: Exception | None) -> None:
    """Carry the records along, so that the ledger's page leads to each run without a network."""
    from fer_repro import results

    if failed is not None or app.builder.format != "html":
        return
    folder, target = results.root(), Path(app.outdir) / "records"
    shutil.rmtree(target, ignore_errors=True)
    for path in folder.rglob("*.json"):
        place = path.relative_to(folder)
        if not any(part.startswith(".") for part in place.parts):
            (target / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / place)


def without_thebe(app: Sphinx, config: Any) -> None:
    """Jupyter Book always loads sphinx-thebe, which writes a script with a foreign address into each page, twice."""
    for listeners in app.events.listeners.values():
        listeners[:] = [found for found in listeners if getattr(found.handler, "__name__", "") != "init_thebe_core"]


def setup(app: Sphinx) -> dict[str, Any]:
    register_plugin("pybtex.style.formatting", "author-year", AuthorYearStyle, force=True)
    app.add_node(themed_images, html=(visit_themed_images, None))
    app.add_directive("themed-figure", ThemedFigure)
    app.add_directive("drawing", Drawing)
    app.add_directive("findings", Findings)
    app.add_post_transform(Numbers)
    app.add_post_transform(OwnIds)
    app.add_role("source", SourceRole())
    app.add_role("record", RecordRole())
    app.add_role("verdict", VerdictRole())
    app.add_role("runtime", RuntimeRole())
    app.connect("missing-reference", link_to_library)
    app.connect("config-inited", without_thebe)
    app.connect("html-collect-pages", source_pages)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", copy_records)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
