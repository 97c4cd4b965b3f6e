"""The paper as data, and the audit of it: every finding, and a consistent article that must raise none."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import json
import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from fer_repro import consistency, metrics, network, paper
from fer_repro.consistency import PAPER, Article
from fer_repro.data.faces import CK_CLASSES

ROOT = Path(__file__).resolve().parent.parent


def _resolve(name):
    """The object with a dotted name, and its module."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        found = module
        for part in parts[cut:]:
            found = getattr(found, part)
        return found, module
    raise AssertionError(f"no module for {name}")


# -- the data


def test_the_paper_imports_nothing_but_the_standard_library():
    code = "import sys, fer_repro.paper; print(*(m for m in ('numpy', 'torch', 'pandas') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""


def test_sums_of_the_tables_columns():
    """Sums of the printed columns, entered apart from the tables: a digit mistyped in one place shows."""
    sums = {
        (ds, metric): round(sum(row[metric] for row in table.values()), 2)
        for ds, table in paper.TABLES.items()
        for metric in paper.METRICS
    }
    assert sums == {
        ("FER", "accuracy"): 464.40,
        ("FER", "precision"): 464.70,
        ("FER", "f1"): 465.39,
        ("FER", "recall"): 464.39,
        ("CK", "accuracy"): 473.72,
        ("CK", "precision"): 473.20,
        ("CK", "f1"): 472.53,
        ("CK", "recall"): 471.72,
    }
    assert round(sum(v["FER"] for v in paper.TABLE_1.values()), 2) == 283.97
    assert round(sum(v["CK"] for v in paper.TABLE_1.values()), 2) == 325.97


def test_counts():
    assert len(paper.PERCENT_STATEMENTS) == 4 * 4 * 2
    kinds = [c.kind for c in paper.CLAIMS]
    assert kinds.count("cell") == 8 + 20 + 20
    assert kinds.count("percent") == 32
    numbers = [e.id for e in paper.EQUATIONS if e.id.startswith("Eq.")]
    assert numbers == [f"Eq. {k}" for k in range(1, 17)]
    assert [q.id for q in paper.QUESTIONS] == [f"Q{k}" for k in range(1, 19)]
    assert [i.id for i in paper.INCONSISTENCIES] == [f"I{k}" for k in range(1, len(paper.INCONSISTENCIES) + 1)]


def test_ids_are_unique_and_cross_references_exist():
    ids = [x.id for x in (*paper.CLAIMS, *paper.QUESTIONS, *paper.INCONSISTENCIES, *paper.EQUATIONS)]
    assert len(ids) == len(set(ids))
    assert {r for c in paper.CLAIMS for r in c.related} <= set(ids)
    assert {x.chapter for x in (*paper.CLAIMS, *paper.QUESTIONS)} <= set(paper.CHAPTERS.values())
    for id in ("C-CENTER", "C-PRE", "C-1x1", "C-OCC", "C-LDA", "C-DENSE", "C-BN", "C-IMB", "C-ORD-CK", "C-ABL-FER"):
        assert paper.claim(id).id == id


@pytest.mark.parametrize("equation", paper.EQUATIONS, ids=lambda e: e.id)
def test_every_equation_has_code_that_names_it(equation):
    assert equation.code
    for name in equation.code:
        found, module = _resolve(name)
        assert callable(found)
        if (number := re.fullmatch(r"Eq\. (\d+)", equation.id)) is not None:
            assert int(number[1]) in _equations_named(inspect.getsource(module)), f"{name} does not name {equation.id}"
        elif equation.id == "Alg. 1":
            assert "Algorithm 1" in inspect.getsource(module)
        else:
            assert "III-F" in inspect.getsource(module)


def _equations_named(source):
    named = set()
    for first, last in re.findall(r"Eqs?\.? (\d+)(?:[-–](\d+))?", source):
        named |= set(range(int(first), int(last or first) + 1))
    for pair in re.findall(r"Eqs (\d+) and (\d+)", source):
        named |= set(map(int, pair))
    return named


@pytest.mark.parametrize("question", paper.QUESTIONS, ids=lambda q: q.id)
def test_every_open_question_has_a_named_option_with_a_default(question):
    assert question.options
    for option in question.options:
        name, _, argument = option.partition(":")
        found, module = _resolve(name)
        if argument:
            function = found.__init__ if inspect.isclass(found) else found
            default = inspect.signature(function).parameters[argument].default
            assert default is not inspect.Parameter.empty, f"{option} has no default"
        assert re.search(rf"\b{question.id}\b", inspect.getsource(module)), f"{module.__name__} does not name it"


@pytest.mark.parametrize("chapter", sorted({x.chapter for x in (*paper.CLAIMS, *paper.QUESTIONS)}))
def test_every_chapter_named_is_one_of_the_book(chapter):
    assert f"notebooks/{chapter}" in (ROOT / "book" / "_toc.yml").read_text(encoding="utf-8")


def _card(chapter):
    """The arguments of a chapter's header card."""
    tree = ast.parse((ROOT / "notebooks" / f"{chapter}.py").read_text(encoding="utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "figures.header_card"]
    assert len(calls) == 1
    return {k.arg: ast.unparse(k.value) for k in calls[0].keywords}


@pytest.mark.parametrize("question", paper.QUESTIONS, ids=lambda q: q.id)
def test_the_chapter_that_decides_a_question_says_so_on_its_card(question):
    assert f"'{question.id}'" in _card(question.chapter)["questions"]


@pytest.mark.parametrize("chapter", sorted({c.chapter for c in paper.CLAIMS}))
def test_the_chapter_where_a_claims_evidence_stands_names_it(chapter):
    """In the card or the text: by its id, or by the family that a table of the chapter shows."""
    source = (ROOT / "notebooks" / f"{chapter}.py").read_text(encoding="utf-8")
    for id in (c.id for c in paper.CLAIMS if c.chapter == chapter):
        family = "-".join(id.split("-")[:2]) + "-"  # C-T1-, C-PCT-
        assert id in source or f'"{family}' in source, f"{chapter} does not name {id}"


def test_a_card_names_no_claim_that_only_another_chapter_answers():
    """Chapters on a part show the claims made for it; others only those whose evidence they hold."""
    parts = {
        paper.CHAPTERS[k] for k in ("preprocessing", "center_loss", "cnn", "attention", "lda", "densenet", "network")
    }
    for chapter in set(paper.CHAPTERS.values()) - parts:
        for id in re.findall(r"'(C-[^']+)'", _card(chapter).get("claims", "")):
            assert paper.claim(id).chapter == chapter


# -- a consistent article, as the checks want one


def _consistent():
    """Rows whose recall is the accuracy, F1 below the bound, counts of a named test set, names that agree."""
    methods = ("cnn-lstm", "dscnn-lstm", "cnn-bilstm", "acnn-lstm", "proposed")

    def table(n, hits):
        rows = {}
        for method, k in zip(methods, hits, strict=True):
            accuracy = round(100 * k / n, 2)
            row = {"accuracy": accuracy, "recall": accuracy, "precision": round(accuracy + 0.3, 2)}
            rows[method] = row | {"f1": round(accuracy + 0.1, 2)}
        return rows

    tables = {"FER": table(3589, (2210, 2240, 2260, 2230, 2360)), "CK": table(327, (270, 275, 280, 272, 300))}
    statements = tuple(
        replace(s, printed=f"{tables[s.dataset]['proposed'][s.metric] - tables[s.dataset][s.baseline][s.metric]:.1f}")
        for s in paper.PERCENT_STATEMENTS
    )
    table_1 = {
        "no_feature_extraction": {"FER": 40.0, "CK": 60.0},
        "no_attention": {ds: t["cnn-bilstm"]["accuracy"] + 0.5 for ds, t in tables.items()},
        "no_reconstruction": {ds: t["cnn-bilstm"]["accuracy"] + 0.9 for ds, t in tables.items()},
        "proposed": {ds: t["proposed"]["accuracy"] for ds, t in tables.items()},
    }
    return Article(
        table_1=table_1,
        tables=tables,
        statements=statements,
        captions={"FER": "FER 2013", "CK": "CK+"},
        class_names={"FER": paper.STATED_CLASSES, "CK": CK_CLASSES},
        lda_dimensions=6,
        channels=1,
        accuracy_counts_true_negatives=False,
        ck_subjects=118,
        test_sizes={"FER": 3589, "CK": 327},
        memory_bytes=2**40,
    )


CHECKED = [i for i in paper.INCONSISTENCIES if i.check]


@pytest.mark.parametrize("entry", CHECKED, ids=lambda i: i.id)
def test_a_consistent_article_raises_nothing(entry):
    found = getattr(consistency, entry.check)(_consistent())
    assert not found["raised"].any(), found


@pytest.mark.parametrize("entry", CHECKED, ids=lambda i: i.id)
def test_the_paper_raises_each_finding(entry):
    assert getattr(consistency, entry.check)(PAPER)["raised"].any()


def test_the_audit_lists_every_inconsistency():
    found = consistency.audit()
    assert list(found["id"]) == [i.id for i in paper.INCONSISTENCIES]
    assert found.loc[found["check"].notna(), "raised"].all()
    assert not consistency.audit(_consistent())["raised"].fillna(False).any()


def test_the_findings_of_the_close_reading():
    assert len(consistency.f1_bound().query("raised")) == 7
    statements = consistency.percent_statements().set_index("printed")
    assert set(statements.query("reading == 'neither'").index) == {"0.9", "7.8"}
    sizes = consistency.granularity().set_index("test_set")
    assert set(sizes.loc["PrivateTest (or PublicTest)", "fits"]) == {"cnn-lstm", "dscnn-lstm", "proposed"}
    assert sizes.loc["PrivateTest (or PublicTest)", "fits_table_1"] == []
    assert sizes.loc["30 % of 327 sequences: 98", "fits"] == ["proposed"]
    assert set(consistency.class_lists().query("raised")["class"]) == {"contempt", "neutral"}


# -- pieces against slow loops


def test_attainable_against_exact_fractions():
    for n in (7, 98, 327):
        for units in range(9000, 10001, 7):
            wanted = [k for k in range(n + 1) if abs(Fraction(10000 * k, n) - units) <= Fraction(1, 2)]
            assert consistency.attainable(units / 100, n) == wanted
    assert consistency.attainable(98.98, 98) == [97]
    with pytest.raises(ValueError, match="at least one"):
        consistency.attainable(50.0, 0)


def test_what_is_printed_from_a_test_set_is_attainable():
    assert all(k in consistency.attainable(round(100 * k / 3589, 2), 3589) for k in range(0, 3590, 13))


def test_smallest_common_size_fits_and_no_smaller_one_does():
    article = _consistent()
    n = consistency.smallest_common_size("CK", article)
    accuracies = [row["accuracy"] for row in article.tables["CK"].values()]
    assert n is not None
    assert n <= 327
    assert all(consistency.attainable(a, n) for a in accuracies)
    assert not any(all(consistency.attainable(a, m) for a in accuracies) for m in range(1, n))
    assert consistency.smallest_common_size("CK", limit=50) is None


def test_chance_of_a_fine_and_of_a_coarse_test_set():
    assert consistency.chance(20_000) == 1.0
    assert consistency.chance(10) == pytest.approx(2 / 1001)


@pytest.mark.parametrize("classes", [6, 7, 8])
def test_one_error_against_a_confusion_matrix(classes):
    """One error costs macro recall and precision what the check compares a table with: 1 / (C k) for some k."""
    y = [c for c in range(classes) for _ in range(c + 3)]
    p = [*y[:-1], 0]
    found = metrics.scores(y, p, classes)
    sizes = [c + 3 for c in range(classes)]
    assert found["recall"] == pytest.approx(1 - 1 / (classes * sizes[-1]))
    assert found["precision"] == pytest.approx(1 - 1 / (classes * (sizes[0] + 1)))


def test_human_agreement_is_committed_and_far_below_the_claim():
    facts = consistency.human_agreement()
    assert facts is not None
    found = consistency.against_the_field(facts=facts)
    humans = found[found["kind"] == "human"]
    assert len(humans) == 4
    assert (humans["gap"] > 15).all()


def test_facts_hold_rates_and_counts_only(tmp_path):
    table = tmp_path / "fer2013new.csv"
    names = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    rows = [f"{usage},x.png,2,1,0,0,0,0,0,0,0,0" for usage in ("Training", "PublicTest", "PrivateTest")]
    table.write_text(f"Usage,Image name,{names}\n" + "\n".join(rows) + "\n")
    facts = json.loads(consistency.write_facts(table, tmp_path).read_text())
    assert set(facts["test"]) == {*consistency.AGREEMENTS, "images"}
    assert facts["test"]["pair"] == pytest.approx(1 / 3)


def test_every_method_and_data_set_has_a_name_for_tables():
    assert set(paper.METHOD_NAMES) == set(network.NAMES)
    assert set(paper.DATA_NAMES) == set(paper.DATASETS.values())
    assert len(set(paper.METHOD_NAMES.values())) == len(network.NAMES)


def test_what_rounding_can_hide_is_no_excess_of_f1():
    """(P + R) / 2 may be 0.005 above what is printed, and F1 0.005 below: 0.01 in all."""
    row = {"accuracy": 90.0, "precision": 90.0, "recall": 90.0}
    for f1, raised in ((90.005, False), (90.01, False), (90.02, True)):
        tables = {"FER": {"proposed": row | {"f1": f1}}}
        found = consistency.f1_bound(replace(_consistent(), tables=tables))
        assert found["raised"].tolist() == [raised], f1


def test_recognised_is_what_eq_13_would_turn_into_the_accuracy_printed():
    for row in consistency.one_against_rest().itertuples():
        assert 100 * metrics.one_against_rest_accuracy(row.recognised / 100, 7) == pytest.approx(row.accuracy)


@pytest.mark.parametrize("n", [98, 327])
def test_a_table_of_one_error_raises_nothing_and_one_a_hundredth_off_does(n):
    def article(recall, precision):
        tables = copy.deepcopy(_consistent().tables)
        tables["CK"]["proposed"] = {"accuracy": round(100 * (n - 1) / n, 2), "recall": recall, "precision": precision}
        return replace(_consistent(), tables=tables, test_sizes={"FER": 3589, "CK": n})

    recall, precision = (round(100 * (1 - 1 / (7 * k)), 2) for k in (5, 6))
    found = consistency.one_error(article(recall, precision), classes=(7,))
    assert found["nearest"].tolist() == pytest.approx([recall, precision], abs=0.005)
    assert len(found) == 2 and not found["raised"].any()
    assert consistency.one_error(article(recall + 0.01, precision - 0.01), classes=(7,))["raised"].all()
    assert consistency.one_error(article(50.0, 50.0), classes=(7,))["raised"].all()  # a class alone, not its share


def test_by_chance_is_of_as_many_numbers_as_are_looked_at():
    for row in consistency.granularity().query("n < 400").itertuples():
        assert row.by_chance == pytest.approx(5 * consistency.chance(row.n)) and row.of == 5


def test_what_the_claim_is_compared_with_is_in_percent():
    facts = consistency.human_agreement()
    found = consistency.against_the_field(facts=facts).set_index("who")
    assert facts is not None
    for key, who in consistency.AGREEMENTS.items():
        assert found.loc[who, "value"] == 100 * facts["test"][key]
    assert found.loc[found["kind"] == "shipped", "value"].between(30, 80).all()
    assert (found["kind"] == "shipped").sum() > 2
    assert (found["gap"] == found["claimed"] - found["value"]).all()


def test_percentages_gaps_and_bytes_are_what_their_names_say():
    for row in consistency.percent_statements().itertuples():
        ours, theirs = (PAPER.tables[row.dataset][m][row.metric] for m in ("proposed", row.row))
        assert row.points == pytest.approx(ours - theirs)
        assert row.relative == pytest.approx(100 * (ours / theirs - 1))
        assert row.relative_to_ours == pytest.approx(100 * (1 - theirs / ours))
    for row in consistency.bilstm_above_ablation().itertuples():
        assert row.gap == pytest.approx(row.cnn_bilstm - row.rate) and row.raised == (row.gap > 0.011)
    found = consistency.memory().set_index("what")["bytes"]
    one = found["all images, 1 byte a pixel"]
    assert one == PAPER.images * PAPER.size**2
    assert found["all images, single precision"] == 4 * one
    assert found["all images, double precision (MATLAB's default)"] == 8 * one
    assert found["first convolution's maps, all images, single"] == 32 * 4 * one
