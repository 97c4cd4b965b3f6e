"""Sensitivity: readings against plans and code, comparisons against counts by hand, where defaults stand."""

from __future__ import annotations

import inspect
import linecache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import row_labels
from scipy import stats

from fer_repro import claims, figures, metrics, network, paper, sensitivity, sweep
from fer_repro.figures import sensitivity as pictures
from fer_repro.recipe import ADDED, RECIPES
from fer_repro.sensitivity import READINGS, Reading

ROOT = Path(__file__).resolve().parent.parent
LABELS = np.arange(210) % 7


def record(right, seed=0, model="proposed", variant=None, **recipe):
    """Return a record that recognises the test images ``right`` (positions) and no other."""
    predicted = (LABELS + 1) % 7
    predicted[right] = LABELS[right]
    return {
        "dataset": "synthetic",
        "model": model,
        "variant": variant,
        "protocol": "official",
        "seed": seed,
        "fold": None,
        "complete": True,
        "classes": list("abcdefg"),
        "data": {"fingerprint": "f"},
        "recipe": RECIPES["quick"].to_dict() | recipe,
        "predictions": {"label": LABELS.tolist(), "predicted": predicted.tolist()},
        "test": {"accuracy": float((predicted == LABELS).mean())},
        "path": f"synthetic/quick/{model}--{variant}/official-seed{seed}.json",
    }


def planned(name, dataset, recipe):
    """Return (model, variant) of each run of a plan, each of which some plan gives a partner."""
    runs = sweep.read_plan(ROOT / "plans" / f"{name}.toml")
    assert {(run.dataset, run.recipe) for run in runs} == {(dataset, recipe)}
    base = {(r.model, r.variant): r.base for r in READINGS}
    plans = {name, "fer2013-native48", "float32-native48"}
    all_runs = [run for plan in plans for run in sweep.read_plan(ROOT / "plans" / f"{plan}.toml")]
    partners = {
        (run.model, run.dataset, run.seed, run.precision) for run in all_runs if not (run.options or run.changes)
    }
    names = {run: (run.model, run.job().record()["variant"]) for run in runs}
    for run in runs:
        if run.options or run.changes:
            assert (base[names[run]], run.dataset, run.seed, run.precision) in partners
    assert {names[run] for run in runs if run.seed == 0} == set(names.values())
    return set(names.values())


def test_the_plans_hold_each_reading_and_what_it_is_compared_with():
    drawn = {(m, v) for r in READINGS if r.drawn for m, v in ((r.model, r.variant), (r.base, None))}
    assert planned("sensitivity-quick", "synthetic", "quick") == drawn
    native = {(r.model, r.variant) for r in READINGS if r.native}
    assert planned("sensitivity-native48", "fer2013", "native48") == native


@pytest.mark.parametrize("reading", READINGS, ids=lambda r: f"{r.question}-{r.words}")
def test_a_reading_differs_from_the_default_in_what_it_says(reading):
    assert reading.question in {q.id for q in paper.QUESTIONS}
    assert set(reading.changes) <= set(RECIPES["quick"].to_dict())
    network.build(reading.model, size=32 if "padding" not in reading.options else 48, **reading.options)
    default = RECIPES["quick"].to_dict()
    assert all(default[name] != value for name, value in reading.changes.items())
    network_of = network.BASELINES.get(reading.model, network.ProposedNetwork)
    usual = {k: p.default for k, p in inspect.signature(network_of).parameters.items()}
    assert all(usual.get(name) != value for name, value in reading.options.items())


def test_a_comparison_is_what_counting_by_hand_gives():
    default, other = record(range(100)), record(range(40, 150), variant="query=last")
    (row,) = sensitivity.compare([default, other]).itertuples()
    assert (row.question, row.seeds, row.n) == ("Q8", 1, 210)
    assert row.difference == pytest.approx((50 - 40) / 210)
    assert row.low < row.difference < row.high
    assert row.p == row.p_holm == pytest.approx(metrics.mcnemar(LABELS, *_said(default, other)))
    assert not row.significant


def test_a_record_older_than_a_field_of_the_recipe_finds_its_partner():
    default, other = record(range(100)), record(range(40, 150), variant="query=last")
    for name in ADDED:
        del default["recipe"][name]
    assert len(sensitivity.compare([default, other])) == 1
    other["recipe"] |= {"last_frames": 1}
    assert len(sensitivity.compare([default, other])) == 0


def _said(*records):
    return (np.array(r["predictions"]["predicted"]) for r in records)


def test_where_people_are_known_they_are_drawn_whole():
    images = [record(range(n), variant=v) for n, v in ((100, None), (110, "query=last"))]
    (one,) = sensitivity.compare(images).itertuples()
    for r in images:
        r["predictions"]["subject"] = (np.arange(210) // 10).tolist()  # the ten images gained are of one person
    (whole,) = sensitivity.compare(images).itertuples()
    assert one.difference == whole.difference and one.p < 0.05 < whole.p
    assert one.p >= metrics.mcnemar(LABELS, *_said(*images))
    for r in images:
        r["predictions"]["subject"][0] = -1  # one is not known
    assert sensitivity.compare(images)["p"].item() == one.p


def test_seeds_are_paired_and_what_has_no_partner_is_left_out():
    runs = [record(range(100), seed=k) for k in (0, 1)]
    runs += [record(range(150), seed=k, variant="cell=ungated") for k in (1, 2)]
    (row,) = sensitivity.compare(runs).itertuples()
    assert row.seeds == 1
    assert row.significant
    assert row.difference == pytest.approx(50 / 210)
    left = sensitivity.missing(runs)
    assert len(left) == len(READINGS) - 1
    assert not any(r.variant == "cell=ungated" for r in left)


def test_a_recipe_may_differ_in_what_the_reading_changes_and_in_nothing_else():
    default = record(range(100))
    wider = record(range(90), variant="median_kernel=5", median_kernel=5)
    assert len(sensitivity.compare([default, wider])) == 1
    wider["recipe"]["learning_rate"] = 1.0
    assert sensitivity.compare([default, wider]).empty
    wider["recipe"]["learning_rate"] = default["recipe"]["learning_rate"]
    wider["data"] = {"fingerprint": "other"}
    assert sensitivity.compare([default, wider]).empty


def test_a_pair_is_of_one_precision_and_the_one_of_most_seeds_is_taken():
    def run(right, precision, seed=0, variant=None):
        return record(right, seed, variant=variant) | {"precision": precision}

    default, other = run(range(100), "bf16-mixed"), run(range(150), "32-true", variant="query=last")
    assert sensitivity.compare([default, other]).empty
    full = run(range(120), "32-true")
    (row,) = sensitivity.compare([default, other, full]).itertuples()
    assert (row.difference, row.precision) == (pytest.approx(30 / 210), "32-true")
    mixed = run(range(101), "bf16-mixed", variant="query=last")
    (row,) = sensitivity.compare([default, mixed, other, full]).itertuples()
    assert (row.difference, row.seeds, row.precision) == (pytest.approx(1 / 210), 1, "bf16-mixed")  # first among equals
    more = [run(range(90), "32-true", 1), run(range(120), "32-true", 1, "query=last")]
    (row,) = sensitivity.compare([default, mixed, other, full, *more]).itertuples()
    assert (row.difference, row.seeds, row.precision) == (pytest.approx(30 / 210), 2, "32-true")


LONGER = [
    Reading("Q11", "longer", changes={"small_epochs": (6, 16)}, model=model, base=model)
    for model in ("proposed", "cnn-bilstm")
]


def test_the_lead_of_a_network_is_told_by_default_and_where_both_are_read_otherwise():
    def run(right, model, longer=False, seed=0):
        changes = {"variant": "small_epochs=6-16", "small_epochs": [6, 16]} if longer else {}
        return record(right, seed, model, **changes)

    runs = [run(range(120), "proposed"), run(range(100), "cnn-bilstm")]
    runs += [run(range(150), "proposed", longer=True), run(range(20, 190), "cnn-bilstm", longer=True)]
    found = sensitivity.lead(runs, *LONGER)
    assert found is not None
    assert found["default"].estimate == pytest.approx(20 / 210)
    assert found["otherwise"].estimate == pytest.approx(-20 / 210)
    assert all(d.low < d.estimate < d.high for d in found.values())
    for k in range(4):  # a run less, and nothing is said
        assert sensitivity.lead(runs[:k] + runs[k + 1 :], *LONGER) is None
    more = [run(range(90), "proposed", seed=1), run(range(99), "proposed", longer=True, seed=1)]
    assert sensitivity.lead(runs + more, *LONGER) == found  # a seed of one network alone does not count
    more += [run(range(99), "cnn-bilstm", seed=1), run(range(90), "cnn-bilstm", longer=True, seed=1)]
    both = sensitivity.lead(runs + more, *LONGER)
    assert both is not None and both["default"].estimate == pytest.approx((20 - 9) / 2 / 210)


def test_runs_on_different_test_images_are_not_taken_together():
    runs = [record(range(100), seed=k, variant=v) for k in (0, 1) for v in (None, "query=last")]
    for r in runs[2:]:
        r["predictions"]["label"] = r["predictions"]["label"][::-1]
    with pytest.raises(ValueError, match="different test images cannot be compared"):
        sensitivity.compare(runs)


def test_two_recipes_in_one_comparison_are_refused():
    other = record(range(9))
    other["recipe"] = RECIPES["native48"].to_dict()
    with pytest.raises(ValueError, match="one data set and recipe, got synthetic, native48; synthetic, quick"):
        sensitivity.compare([record(range(9)), other])


def test_without_records_all_is_missing():
    table = sensitivity.compare([])
    assert table.empty
    assert set(sensitivity.COLUMNS) == set(table)
    assert sensitivity.missing([]) == list(READINGS)
    assert sensitivity.seed_band([]) is None
    assert sensitivity.by_question(table).empty


def test_the_largest_move_of_each_question_comes_first():
    runs = [record(range(100)), record(range(110), seed=1)]
    runs += [record(range(105), variant="query=last"), record(range(60), variant="query=learned")]
    runs += [record(range(120), variant="hidden=64")]
    found = sensitivity.by_question(sensitivity.compare(runs))
    assert found["question"].tolist() == ["Q8", "Q7"]
    assert found["reading"][0] == "one learned query"
    sd = (10 / 210) / np.sqrt(2)  # of two numbers that far apart
    assert sensitivity.seed_band(runs) == pytest.approx(stats.t.ppf(0.975, 1) * sd * np.sqrt(2))
    assert sensitivity.seed_band(runs[:1]) is None


def test_these_records_can_give_no_verdict():
    runs = [record(range(210), seed=k) for k in range(3)]
    ledger = claims.ledger(runs)
    assert not ledger["verdict"].isin(["reproduced", "within interval", "exceeds", "partial", "not reproduced"]).any()


@pytest.mark.parametrize("question", paper.QUESTIONS, ids=lambda q: q.id)
def test_each_answer_stands_where_the_book_says(question):
    table = sensitivity.defaults(question.options)
    assert len(table) == len(question.options) > 0
    for row in table.itertuples():
        place, line = row.place.split(":")
        name = row.option.partition(":")[2] or row.option.split(".")[-1]
        text = linecache.getline(str(ROOT / place), int(line))
        assert name in text or ("." not in row.option and line == "1"), f"{row.place}: {text}"


@pytest.mark.parametrize("name", ["fer_repro.bilstm.serialise:how", "fer_repro.bilstm.nothing", "nowhere.at.all"])
def test_a_default_that_does_not_exist_is_refused(name):
    with pytest.raises(LookupError, match=name.split(":")[0].split(".")[0]):
        sensitivity.defaults([name])


def test_each_question_has_a_section_in_the_chapter():
    text = (ROOT / "notebooks" / "13_open_questions.py").read_text(encoding="utf-8")
    for question in paper.QUESTIONS:
        assert f"(question-{question.id.lower()})=" in text
        assert f'answer("{question.id}")' in text


def test_a_reading_is_planned_somewhere_and_one_of_drawn_faces_alone_is_not_wanted_on_real_ones():
    assert all(r.drawn or r.native for r in READINGS)
    none = sensitivity.compare([])
    (drawn, real) = pictures.answer("Q11", [], {"drawn faces": none, "FER2013": none}).split("Taken otherwise")[1:]
    assert "learning rate of native48" in drawn
    assert "learning rate of native48" not in real
    assert drawn.count("a second stage twice as long,") == real.count("a second stage twice as long,") == 1


def test_the_tornado_is_drawn_and_an_answer_says_what_was_not_run():
    table = sensitivity.compare([record(range(100)), record(range(160), variant="query=last")])
    shown = figures.figure(lambda: pictures.tornado(table, 0.02), "fig-t", "caption", "alt")
    assert "themed-figure" in shown.myst
    options = next(q.options for q in paper.QUESTIONS if q.id == "Q8")
    text = pictures.answer("Q8", options, {"here": table, "FER2013": pd.DataFrame(columns=list(sensitivity.COLUMNS))})
    assert "the last step as query: **+28.6** points" in text
    assert "not run yet: one learned query" in text
    assert "'self'" in text
    assert Reading("Q8", "x", {"query": "last"}).variant == "query=last"


def test_a_chapter_says_which_readings_were_run():
    said = pictures.measured("Q6", "Q7")
    for reading in (*sensitivity.readings("Q6"), *sensitivity.readings("Q7")):
        assert said.count(f"*{reading.words}* ({reading.question})") == 1
    assert "Q5" not in said
    assert "on drawn faces" in said


def test_runs_of_two_folds_are_not_paired_with_each_others_defaults():
    runs = [record(range(100), variant=v) | {"fold": k} for k in (0, 1) for v in (None, "query=last")]
    for r in runs[2:]:
        r["predictions"]["label"] = r["predictions"]["label"][::-1]
    with pytest.raises(ValueError, match="different test images cannot be compared"):
        sensitivity.compare(runs)


def _moves():
    """Return a comparison of three readings: a large move down, a small one up, and a sure one up between them."""
    table = sensitivity.compare([record(range(100)), record(range(160), variant="query=last")])
    rows = [
        table.iloc[0].to_dict() | more
        for more in (
            {"reading": "down", "difference": -0.3, "low": -0.5, "high": -0.1, "significant": False},
            {"reading": "up", "difference": 0.1, "low": 0.0, "high": 0.2, "significant": False},
            {"reading": "sure", "difference": 0.2, "low": 0.1, "high": 0.4, "significant": True},
        )
    ]
    return pd.DataFrame(rows)


@pytest.mark.usefixtures("styled")
def test_the_tornado_has_the_largest_move_on_top_and_fills_what_is_sure():
    (axes,) = pictures.tornado(_moves(), 0.02).axes
    labels = row_labels(axes)
    assert [labels[y].split()[-1] for y in (2, 1, 0)] == ["down", "sure", "up"]
    intervals, dots = axes.lines[1::2], axes.lines[2::2]
    for dot, interval, (x, low, high) in zip(
        dots, intervals, ((-30, -50, -10), (20, 10, 40), (10, 0, 20)), strict=True
    ):
        assert dot.get_xdata()[0] == pytest.approx(x) and interval.get_xdata() == pytest.approx([low, high])
        assert (dot.get_markerfacecolor() == "none") == (x != 20)


def test_an_answer_says_of_each_move_whether_it_is_significant():
    options = next(q.options for q in paper.QUESTIONS if q.id == "Q8")
    text = pictures.answer("Q8", options, {"here": _moves()})
    assert "down: **-30.0** points (-50.0 to -10.0, not significant" in text
    assert "sure: **+20.0** points (+10.0 to +40.0, {record}" in text


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ({"fer2013", "synthetic"}, "on FER2013 at 48×48 and on drawn faces: *"),
        ({"synthetic"}, "on drawn faces only: *"),
        (set(), "planned, not run yet: *"),
    ],
)
def test_where_a_reading_was_run_is_said(run, said, monkeypatch):
    monkeypatch.setattr(pictures.results, "load_all", lambda dataset, **_: [dataset])
    monkeypatch.setattr(sensitivity, "missing", lambda records, readings: [] if records[0] in run else readings)
    assert f"with the default, {said}" in pictures.measured("Q6")
