"""The ledger as a page: one table that can be filtered without a network, and read without JavaScript.

Plain HTML with a few lines of style and script inside it. Every row links to its chapter, to the paper, to the lines
that judge it, and to the runs it rests on, which are listed below the table, each with its record as a file.
"""

from __future__ import annotations

import html
import inspect
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pandas as pd

from fer_repro import paper, results
from fer_repro.figures import VERDICTS, verdict_sign

Record = Mapping[str, Any]

_STYLE = """
.ledger-tools{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:end;margin:0 0 .8rem}
.ledger-tools[hidden]{display:none}
.ledger-tools label{display:flex;flex-direction:column;font-size:.86em;gap:.15rem}
.ledger-tools input,.ledger-tools select{font:inherit;color:inherit;background:var(--pst-color-background,transparent);
border:1px solid var(--fer-line,#888);border-radius:.3rem;padding:.25rem .5rem;max-width:100%}
.ledger-count{font-size:.9em;margin:0}
.ledger-scroll{overflow-x:auto;max-width:100%}
.ledger-scroll:focus-visible{outline:2px solid var(--pst-color-primary,#136988)}
table.ledger{border-collapse:collapse;width:100%;font-size:.86em;line-height:1.4}
table.ledger th,table.ledger td{text-align:left;vertical-align:top;padding:.45rem .5rem;min-width:0;
border-bottom:1px solid var(--fer-line,#8886)}
table.ledger th{position:sticky;top:0;background:var(--pst-color-background,inherit)}
table.ledger td.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
table.ledger code{overflow-wrap:anywhere;background:none;border:0;padding:0;font-size:.94em;color:inherit}
table.ledger tr[hidden]{display:none}
table.ledger .claim{min-width:10em}
table.ledger .why{min-width:9em}
table.ledger .runs{display:block;padding-bottom:.2rem}
table.ledger .verdict{white-space:normal}
table.ledger td:last-child a{display:inline-block;line-height:24px}
table.ledger .beside{display:block;opacity:.85;font-style:italic}
@media (max-width:36rem){table.ledger thead{position:absolute;clip-path:inset(50%);height:1px;overflow:hidden}
table.ledger tr{display:block;border:1px solid var(--fer-line,#888);border-radius:.4rem;
margin:0 0 .7rem;padding:.3rem .5rem}
table.ledger td{display:block;border:0;padding:.12rem 0;text-align:left!important}
table.ledger td[data-name]::before{content:attr(data-name) ": ";font-weight:600}
table.ledger .why,table.ledger .claim{min-width:0}}
"""

_SCRIPT = """
(function(){
  var box=document.currentScript.closest('.ledger-page'); if(!box) return;
  var tools=box.querySelector('.ledger-tools'), rows=[].slice.call(box.querySelectorAll('tbody tr[data-verdict]'));
  var text=tools.querySelector('input'), selects=[].slice.call(tools.querySelectorAll('select'));
  var count=tools.querySelector('.ledger-count');
  function filter(){
    var words=text.value.toLowerCase().split(/\\s+/).filter(Boolean), shown=0;
    rows.forEach(function(row){
      var all=row.textContent.toLowerCase();
      var fits=words.every(function(w){return all.indexOf(w)>=0})&&
        selects.every(function(s){return !s.value||row.getAttribute('data-'+s.name)===s.value});
      row.hidden=!fits; if(fits) shown++;
    });
    count.textContent=shown+' of '+rows.length+' claims';
  }
  tools.hidden=false; text.addEventListener('input',filter);
  selects.forEach(function(s){s.addEventListener('change',filter)}); filter();
})();
"""

_KINDS = {
    "cell": "numbers in tables",
    "percent": "“x % higher”",
    "order": "orders of methods",
    "ablation": "ablations",
    "mechanism": "mechanisms",
    "announced": "announced",
}


def page(table: pd.DataFrame) -> str:
    """Return the ledger as HTML: tools to filter (shown by the script only), and the table.

    Parameters
    ----------
    table : DataFrame
        :func:`fer_repro.claims.ledger`.
    """
    known = {c.id: c for c in paper.CLAIMS}
    body = "\n".join(_row(row, known.get(str(row["claim"]))) for row in table.to_dict("records"))
    heads = "".join(
        f'<th scope="col">{h}</th>' for h in ("Claim", "Paper", "Ours [95 %]", "Verdict", "Why", "Runs and places")
    )
    return (
        f'<div class="ledger-page"><style>{_STYLE}</style>{_tools(table)}'
        '<div class="ledger-scroll" tabindex="0" role="region" aria-label="All claims and verdicts">'
        f'<table class="ledger"><thead><tr>{heads}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
        f"<script>{_SCRIPT}</script></div>"
    )


def _tools(table: pd.DataFrame) -> str:
    verdicts = [v for v in VERDICTS if (table["verdict"] == v).any()]
    choices = {"verdict": {v: v for v in verdicts}, "kind": _KINDS, "data": paper.DATASET_NAMES}
    selects = "".join(
        f'<label>{name.capitalize()}<select name="{name}"><option value="">all</option>'
        + "".join(f'<option value="{html.escape(k)}">{html.escape(v)}</option>' for k, v in options.items())
        + "</select></label>"
        for name, options in choices.items()
    )
    return (
        '<div class="ledger-tools" hidden><label>Search<input type="search" placeholder="f1, bilstm, I2 …"></label>'
        f'{selects}<p class="ledger-count" role="status" aria-live="polite"></p></div>'
    )


def _row(row: dict[str, Any], meant: paper.Claim | None) -> str:
    claim, verdict = str(row["claim"]), str(row["verdict"])
    kind, data = (meant.kind, meant.dataset or "") if meant else ("", "")
    look = f"verdict verdict-{VERDICTS.get(verdict, 'none')}"
    badge = f'<span class="{look}">{verdict_sign(verdict)} {html.escape(verdict)}</span>'
    if pd.notna(row["recipe"]):
        badge += f"<br>{html.escape(str(row['recipe']))}"
    if pd.notna(row["evidence"]):
        badge += f"<br>{html.escape(str(row['evidence']))}"
    beside = f'<span class="beside">Beside: {html.escape(row["beside"])}</span>' if row["beside"] else ""
    related = f'<span class="beside">{html.escape(", ".join(row["related"]))}</span>' if row["related"] else ""
    cells = [
        f'<td class="claim"><code id="{anchor(claim)}">{html.escape(claim)}</code><br>{html.escape(row["statement"])}'
        f"{related}</td>",
        f'<td class="number" data-name="Paper">{_number(row["paper"])}</td>',
        f'<td class="number" data-name="Ours">{_interval(row)}</td>',
        f"<td>{badge}</td>",
        f'<td class="why" data-name="Why">{html.escape(row["reason"])}{beside}</td>',
        f'<td data-name="Runs and places">{_runs(row)}<a href="{paper.URL}">{html.escape(row["where"])}</a><br>'
        f'<a href="{html.escape(row["chapter"])}.html">chapter {int(row["chapter"][:2])}</a>{_code(kind)}</td>',
    ]
    return f'<tr data-verdict="{html.escape(verdict)}" data-kind="{kind}" data-data="{data}">{"".join(cells)}</tr>'


def _code(kind: str) -> str:
    """A link to the lines that judge claims of this kind, on a page of the book."""
    from fer_repro import claims

    judge = claims.JUDGES.get(kind)
    if judge is None:
        return ""
    line = inspect.getsourcelines(judge)[1]
    return f'<br><a href="../source/fer_repro/claims.html#line-{line}">the lines that judge</a>'


def _number(value: Any) -> str:
    return "–" if value is None or pd.isna(value) else f"{value:.2f}"


def _interval(row: Mapping[str, Any]) -> str:
    if row["ours"] is None or pd.isna(row["ours"]):
        return "–"
    return f"{row['ours']:.2f}<br>[{row['low']:.2f}, {row['high']:.2f}]"


def _runs(row: Mapping[str, Any]) -> str:
    if not row["records"]:
        return ""
    groups = Counter(_group(path) for path in row["records"])
    links = "".join(
        f'<a href="#{anchor(group)}">{html.escape(group.rpartition("/")[2])}, {count}</a><br>'
        for group, count in groups.items()
    )
    return f'<span class="runs">{links}</span>'


def anchor(name: str) -> str:
    """Return an id for HTML: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _group(path: str) -> str:
    """The folder of a record: its data set, recipe and model."""
    return path.rpartition("/")[0]


def runs(records: Sequence[Record]) -> str:
    """Return the run records as HTML: one folded list for each data set, recipe and model, with the files' names.

    Nothing is left out: trials, variants and runs on leaking splits are listed too, with the reason why they do not
    count.
    """
    from fer_repro import claims

    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(_group(str(record["path"])), []).append(record)
    parts = []
    for group, members in groups.items():
        items = "".join(_run(record, claims.ineligible(record)) for record in members)
        head = f"<summary><code>results/{html.escape(group)}</code>, {len(members)} runs</summary>"
        parts.append(f'<details id="{anchor(group)}">{head}<ul>{items}</ul></details>')
    opened = (
        "<script>(function(){function open(){var e=location.hash&&document.getElementById(location.hash.slice(1));"
        "if(e&&e.tagName==='DETAILS')e.open=true}window.addEventListener('hashchange',open);open()})()</script>"
    )
    return "\n".join(parts) + opened if parts else "<p>There are no run records yet.</p>"


def _run(record: Record, why_not: str | None) -> str:
    test, code = record["test"], record.get("code") or {}
    commit = str(code.get("commit") or "")[:10]
    said = (
        f"accuracy {100 * test['accuracy']:.2f} % of {test['n']:,}, {record['seconds'] / 60:.0f} minutes, "
        f"best epoch {record['best_epoch']}"
    )
    if commit:
        later = results.LOST_COMMITS.get(str(code["commit"]))
        said += f", commit <code>{html.escape(commit)}</code>" + (
            f" (lost; its code came in with {later})" if later else ""
        )
    said += f". Not counted: {html.escape(why_not)}" if why_not else ""
    return f"<li>{_file(str(record['path']))}: {said}</li>"


def _file(path: str) -> str:
    """A link to a record, which the book carries with it under ``records/``."""
    return f'<a href="../records/{quote(path)}"><code>{html.escape(path.rpartition("/")[2])}</code></a>'


def measurements(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the measurements of mechanisms as HTML: one folded list, each with what it measures and its record."""
    if not found:
        return "<p>There are no measurements of mechanisms yet.</p>"
    items = "".join(
        f"<li>{_file(str(m['path']))}: {html.escape(str(m['claim']))}, {html.escape(str(m['measure']))}, "
        f"{len(m.get('seeds') or [])} seeds{', exploratory' if m.get('exploratory') else ''}</li>"
        for m in found
    )
    head = f"<summary><code>results/mechanisms</code>, {len(found)} measurements on drawn faces</summary>"
    return f'<details id="mechanisms">{head}<ul>{items}</ul></details>'
