"""Sweeps: a plan is expanded seed by seed, what is there is left alone, a failure does not stop the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_repro import results, sweep
from fer_repro.sweep import PlanError, Run, read_plan

PLANS = Path(__file__).parent.parent / "plans"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", sorted(PLANS.glob("*.toml")), ids=lambda p: p.stem)
def test_every_committed_plan_reads_and_its_runs_differ(path: Path) -> None:
    runs = read_plan(path)
    assert len({run.path(Path()) for run in runs}) == len(runs)
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)


def test_a_plan_expands_to_folds_models_and_seeds(tmp_path: Path) -> None:
    plan = write(
        tmp_path / "p.toml",
        '[[runs]]\ndatasets = ["ckplus"]\nrecipe = "native48"\nmodels = ["proposed", "cnn-svm"]\nseeds = [1, 0]\n',
    )
    runs = read_plan(plan)
    assert len(runs) == 2 * 2 * 10
    assert runs[0] == Run("ckplus", "native48", "proposed", "subjects", 0, 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[runs]\n", "cannot be read"),
        ("title = 'x'\n", r"at least one \[\[runs\]\]"),
        ('[[runs]]\ndatasets = ["fer2013"]\nrecipe = "native48"\nmodels = ["proposed"]\n', "'seeds' is missing"),
        (
            '[[runs]]\ndatasets = ["fer2014"]\nrecipe = "native48"\nmodels = ["proposed"]\nseeds = [0]\n',
            "unknown data set fer2014",
        ),
        (
            '[[runs]]\ndatasets = ["fer2013"]\nrecipe = "native49"\nmodels = ["proposed"]\nseeds = [0]\n',
            "block 1: no recipe is named 'native49'",
        ),
        (
            '[[runs]]\ndatasets = ["fer2013"]\nrecipe = "native48"\nmodels = ["proposed"]\nseeds = [0]\nsize = 3\n',
            "unknown size",
        ),
    ],
)
def test_a_bad_plan_says_which_block_and_why(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        read_plan(write(tmp_path / "p.toml", text))


def tiny(model: str = "cnn-svm", **more: object) -> Run:
    return Run("synthetic", "quick", model, "official", 0, None, epochs=2, limit=100, **more)  # type: ignore[arg-type]


def test_a_sweep_does_what_is_missing_once_and_outlives_a_failure(tmp_path: Path) -> None:
    runs = [tiny(), tiny("proposed", options={"query": "nobody"})]
    said: list[str] = []
    outcomes = sweep.sweep(runs, tmp_path, device="cpu", threads=1, echo=said.append)
    assert {o.run.model: o.state for o in outcomes} == {"cnn-svm": "done", "proposed": "failed"}
    assert "nobody" in next(o.message for o in outcomes if o.state == "failed")
    assert len(results.load_all(tmp_path)) == 1
    before = runs[0].path(tmp_path).read_text()
    again = sweep.sweep(runs[:1], tmp_path, device="cpu", threads=1, echo=said.append)
    assert again == [] and runs[0].path(tmp_path).read_text() == before
    assert said[-1] == "1 runs: 1 done, 0 to do, 1 at once"


def test_a_run_another_process_is_at_is_left_to_it(tmp_path: Path) -> None:
    from filelock import FileLock

    run = tiny()
    folder = run.job().folder(tmp_path)
    folder.mkdir(parents=True)
    with FileLock(folder / "lock"):
        (outcome,) = sweep.sweep([run], tmp_path, device="cpu", threads=1, echo=lambda line: None)
    assert outcome.state == "busy" and not run.path(tmp_path).exists()
