"""Sweeps: a plan is expanded seed by seed, what is there is left alone, a failure does not stop the rest."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner
from conftest import denormals_count

from fer_repro import data, results, sweep, training
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
    assert runs[0].path(tmp_path).parts[: len(tmp_path.parts) + 1] == (*tmp_path.parts, "ckplus")
    write(plan, plan.read_text() + 'precision = "32-true"\n')
    apart = read_plan(plan)[0]
    assert apart.path(tmp_path) == runs[0].path(tmp_path / results.FLOAT32)
    assert apart != runs[0]


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
        (
            '[[runs]]\ndatasets = ["fer2013"]\nrecipe = "quick"\nmodels = ["proposed"]\nseeds = [0]\nprecision = 32\n',
            "block 1: unknown precision 32; wanted '32-true'",
        ),
        ("runs = [1]\n", r"wanted blocks \[\[runs\]\], got 1"),
        ("[[runs]]\n[[run]]\n", "unknown run; wanted a title and blocks"),
        (
            '[[runs]]\ndatasets = ["fer2013"]\nrecipe = "quick"\nmodels = ["proposed"]\nseeds = [0]\n'
            'protocol = "subjects"\n',
            "block 1: fer2013 has no split 'subjects'",
        ),
        (
            '[[runs]]\ndatasets = ["fer2013"]\nrecipe = ["quick"]\nmodels = ["proposed"]\nseeds = [0]\n',
            "no recipe is named",
        ),
        (
            '[[runs]]\ndatasets = ["fer2013"]\nrecipe = "quick"\nmodels = []\nseeds = [0]\n',
            "block 1: models: wanted one or more, got none",
        ),
        *(
            (f'[[runs]]\ndatasets = ["ckplus"]\nrecipe = "quick"\nmodels = ["proposed"]\n{line}\n', said)
            for line, said in (
                ("seeds = 3", "seeds: wanted a list of numbers, got 3"),
                ('seeds = ["a"]', "seeds: wanted a list of numbers"),
                ("seeds = [0]\nfolds = [12]", "12: wanted seeds of 0 to 4294967295, and folds of 0 to 9"),
                ("seeds = [4294967296]", "4294967296: wanted seeds of 0 to 4294967295"),
                ('seeds = [0]\nprotocol = "bogus"', "unknown protocol 'bogus'"),
                ("seeds = [0]\nchanges = { speed = 1 }", "the recipe has no speed"),
                ("seeds = [0]\noptions = { size = 64 }", "size cannot be chosen here"),
                ("seeds = [0]\noptions = 3", "options: wanted a table"),
                ("seeds = [0]\noptions = { qeury = 'last' }", "proposed: unknown option.*qeury"),
                ("seeds = [0]\noptions = { query = 'lsat' }", "block 1: query: wanted one of"),
                ("seeds = [0]\noptions = { hidden = 'many' }", "(?s)block 1: .*hidden"),
                ("seeds = [0]\nchanges = { learning_rate = -1 }", "learning_rate: wanted more than 0, got -1.0"),
                ("seeds = [0]\nchanges = { flip = 7 }", "flip: wanted a share from 0 to 1, got 7.0"),
                (
                    "seeds = [0]\nchanges = { median_kernel = 4 }",
                    "median_kernel: wanted an odd number of 1 to 255, got 4",
                ),
                ("seeds = [0]\nchanges = { median_kernel = 1001 }", "of 1 to 255, got 1001"),
                ("seeds = [0]\nchanges = { rotate = -4 }", "rotate: wanted 0 or more, got -4.0"),
                ("seeds = [0]\nchanges = { rotate = 200 }", "to rotate by at most 180, got 48, 200"),
                ("seeds = [0]\nchanges = { size = 0 }", "wanted a size of 8 to 4096"),
                ("seeds = [0]\nchanges = { size = 100000 }", "wanted a size of 8 to 4096"),
                ("seeds = [0]\noptions = { num_features = 0 }", "num_features: wanted a whole number of at least 1"),
                ("seeds = [0]\noptions = { num_layers = -1 }", "num_layers: wanted a whole number of at least 1"),
                ('seeds = [0]\nprotocol = "frames"\nfolds = [1]', "only the protocol 'subjects' has folds"),
            )
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


def test_a_failure_whose_message_is_no_text_is_recorded(tmp_path: Path) -> None:
    outcome = sweep._failed(tiny(), tmp_path, 1.0, OSError("caf\udce9: no such file"))
    (note,) = tmp_path.rglob("failure.txt")
    assert outcome.state == "failed" and "caf\\udce9: no such file" in note.read_text()


def test_a_file_in_the_place_of_a_runs_folder_is_a_failure(tmp_path: Path) -> None:
    folder = tiny().job().folder(tmp_path)
    folder.parent.mkdir(parents=True)
    folder.touch()
    (outcome,) = sweep.sweep([tiny()], tmp_path, device="cpu", threads=1, echo=lambda line: None)
    assert outcome.state == "failed" and "wanted a folder for this run's checkpoints, got a file" in outcome.message


def test_a_run_wanted_in_float32_is_made_in_it_and_kept_apart(tmp_path: Path) -> None:
    run = tiny(precision="32-true")
    (outcome,) = sweep.sweep([run], tmp_path, device="cpu", precision="bf16-mixed", threads=1, echo=lambda line: None)
    assert outcome.state == "done"
    assert results.load_all(tmp_path) == []
    (record,) = results.load_all(tmp_path, float32=True)
    assert record["precision"] == "32-true"
    assert tmp_path / record["path"] == run.path(tmp_path)


def recorded(run: Run, root: Path, seconds: float) -> None:
    """Write a record of a run that took so long, as small as one that is read can be."""
    small = {"parameters": 1, "best_epoch": 1, "images_per_second": 1.0, "classes": ["anger"], "curves": []}
    small |= {"split": {}, "data": {}, "code": {}, "test": {"n": 1, "accuracy": 1.0}, "machine": results.machine()}
    small |= {"predictions": {"label": [0], "predicted": [0], "confidence": [1.0]}, "seconds": seconds}
    assert results.write({**run.job().record(), **small}, root) == run.path(root)


def test_a_record_made_with_other_settings_does_not_count_as_done(tmp_path: Path) -> None:
    run = tiny()
    recorded(run, tmp_path, 1.0)
    assert sweep.split_by_state([run], tmp_path) == ([run], [])
    path = run.path(tmp_path)
    record = json.loads(path.read_text())
    record["recipe"]["clip"] = 2.0
    path.write_text(json.dumps(record))
    with pytest.raises(results.RecordError, match="made when recipe quick had another clip"):
        sweep.split_by_state([run], tmp_path)


def test_the_outlook_counts_what_is_left_and_prices_it_by_what_such_runs_took(tmp_path: Path) -> None:
    plan = write(
        tmp_path / "plan.toml",
        '[[runs]]\ndatasets = ["synthetic"]\nrecipe = "quick"\nmodels = ["proposed", "cnn-svm"]\nseeds = [0, 1]\n'
        '[[runs]]\ndatasets = ["fer2013"]\nrecipe = "native48"\nmodels = ["proposed"]\nseeds = [0]\n',
    )
    first = read_plan(plan)[0]
    recorded(first, tmp_path, 7200.0)
    (row,) = sweep.outlook([plan], tmp_path).itertuples()
    assert (row.plan, row.planned, row.done, row.left) == ("plan.toml", 5, 1, 4)
    assert math.isnan(row.hours) and math.isnan(row.slowest)  # nothing like the run on FER2013 has run
    write(plan, plan.read_text().split('[[runs]]\ndatasets = ["fer2013')[0])
    (row,) = sweep.outlook([plan], tmp_path).itertuples()
    assert (row.left, row.hours, row.slowest) == (3, 6.0, 6.0)
    write(plan, plan.read_text().replace(', "cnn-svm"', "").replace("[0, 1]", "[0]"))
    (row,) = sweep.outlook([plan], tmp_path).itertuples()
    assert (row.left, row.hours, row.slowest) == (0, 0.0, 0.0)
    write(plan, plan.read_text() + 'precision = "32-true"\n')
    (row,) = sweep.outlook([plan], tmp_path).itertuples()
    assert row.left == 1 and math.isnan(row.hours)  # float32 is another kind of run, with a record of its own


def test_a_protocol_that_has_not_run_is_priced_by_the_others(tmp_path: Path) -> None:
    fold = Run("ckplus", "native48", "proposed", "subjects", 0, 3)
    frames = Run("ckplus", "native48", "proposed", "frames", 0, None)
    for run, seconds in ((fold, 100.0), (frames, 300.0)):
        assert sweep.mean_seconds([frames], tmp_path) == (None if run is fold else 100.0)
        recorded(run, tmp_path, seconds)
    assert sweep.mean_seconds([frames], tmp_path) == 300.0
    assert sweep.mean_seconds([fold, frames], tmp_path) == 200.0
    assert sweep.mean_seconds([Run("ckplus", "paper128", "proposed", "frames", 0, None)], tmp_path) is None


def test_a_run_is_priced_by_those_on_a_processor_like_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = results.machine()
    there = {**here, "instructions": [*here["instructions"], "another"]}
    runs = [replace(tiny(), epochs=None, limit=None, seed=seed) for seed in range(4)]
    for run, machine, seconds in zip(runs, (there, there, here), (100.0, 300.0, 900.0), strict=False):
        monkeypatch.setattr(results, "machine", lambda machine=machine: machine)
        recorded(run, tmp_path, seconds)
    assert sweep.mean_seconds(runs[3:], tmp_path) == 900.0
    monkeypatch.setattr(results, "machine", lambda: {**here, "cpu": "a new one"})
    assert sweep.mean_seconds(runs[3:], tmp_path) == pytest.approx(1300 / 3)
    assert sorted(sweep.seconds_by_processor(runs[3:], tmp_path).values()) == [200.0, 900.0]
    text = '[[runs]]\ndatasets = ["synthetic"]\nrecipe = "quick"\nmodels = ["cnn-svm"]\nseeds = [0, 1, 2, 3]\n'
    (row,) = sweep.outlook([write(tmp_path / "plan.toml", text)], tmp_path).itertuples()
    assert (row.left, row.hours, row.slowest) == (1, 200 / 3600, 900 / 3600)


def test_a_run_another_process_is_at_is_left_to_it(tmp_path: Path) -> None:
    from filelock import FileLock

    run = tiny()
    folder = run.job().folder(tmp_path)
    folder.mkdir(parents=True)
    with FileLock(folder / "lock"):
        (outcome,) = sweep.sweep([run], tmp_path, device="cpu", threads=1, echo=lambda line: None)
    assert outcome.state == "busy" and not run.path(tmp_path).exists()


def test_the_command_fails_while_a_run_has_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    from fer_repro.cli import main

    monkeypatch.setattr(sweep, "read_plan", lambda path: [tiny(), tiny("cnn-lstm")])
    folder = tiny().job().folder(tmp_path)
    folder.mkdir(parents=True)
    command = ["sweep", "plan", "--results", str(tmp_path), "--device", "cpu", "--threads", "1"]
    with FileLock(folder / "lock"):
        first = CliRunner().invoke(main, command)
    assert first.exit_code == 1 and "1 of 2 runs are with another process" in first.stderr
    assert CliRunner().invoke(main, command).exit_code == 0
    assert "2 done, 0 to do" in CliRunner().invoke(main, command).output


@pytest.mark.parametrize(
    "make", [Path.touch, Path.mkdir, lambda p: p.write_text("{}")], ids=["empty", "folder", "other"]
)
def test_what_is_no_record_does_not_count_as_done(make: Callable[[Path], object], tmp_path: Path) -> None:
    path = tiny().path(tmp_path)
    path.parent.mkdir(parents=True)
    make(path)
    with pytest.raises(results.RecordError, match=path.name):
        sweep.sweep([tiny()], tmp_path, echo=lambda line: None)


def test_what_every_run_would_fail_by_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [replace(tiny(), dataset="fer2013", seed=seed) for seed in range(2)]
    with pytest.raises(data.DataError, match="nowhere: there is no such file or folder; wanted the place of fer2013"):
        sweep.sweep(runs, tmp_path, tmp_path / "nowhere", echo=lambda line: None)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(training.TrainingError, match="torch finds no GPU"):
        sweep.sweep([tiny()], tmp_path, device="cuda", echo=lambda line: None)
    assert not list(tmp_path.rglob("failure.txt"))


@pytest.mark.slow
def test_a_terminated_sweep_leaves_no_process_behind(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('[[runs]]\ndatasets = ["synthetic"]\nrecipe = "quick"\nmodels = ["proposed"]\nseeds = [0, 1, 2]\n')
    command = [sys.executable, "-m", "fer_repro.cli", "sweep", str(plan), "--jobs", "2", "--results", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while len(list(tmp_path.rglob("lock"))) < 2:  # until two runs have begun
            assert process.poll() is None
            time.sleep(0.05)
        workers = psutil.Process(process.pid).children(recursive=True)
        assert len(workers) >= 2
        process.terminate()
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and "Traceback" not in said
    psutil.wait_procs(workers, timeout=30)
    assert not any(worker.is_running() for worker in workers)


def test_a_run_takes_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    from fer_repro import training

    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    monkeypatch.setattr(training, "train", lambda *arguments, **more: None)
    monkeypatch.setattr(sweep, "cores", lambda: 8)
    for threads, jobs in ((None, 1), (None, 3), (None, 16), (5, 2)):
        assert sweep.perform(tiny(), tmp_path, None, "cpu", "auto", threads, jobs).state == "done"
    assert given == [8, 2, 1, 5]


def test_a_run_begins_without_denormals_before_any_thread_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []

    def load(*_: object) -> object:
        seen.append(denormals_count())
        raise ValueError("looked")

    monkeypatch.setattr(sweep, "_faces", load)
    assert sweep.perform(tiny(), tmp_path, None, "cpu", "auto", 1).state == "failed"
    assert seen == [False] and denormals_count()


def test_a_full_disk_does_not_end_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    runs = [tiny("proposed", options={"query": name}) for name in ("nobody", "no one")]
    outcomes = sweep.sweep(runs, tmp_path, device="cpu", threads=1, echo=lambda line: None)
    assert [o.state for o in outcomes] == ["failed", "failed"]
    assert all("no note of it could be written" in o.message and "query" in o.message for o in outcomes)


def test_a_folder_that_cannot_be_written_is_refused_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PlanError, match=r"file/mine: no record can be written here \(Not a directory\)"):
        sweep.sweep([tiny("proposed")], tmp_path / "file" / "mine", echo=lambda line: None)


@pytest.mark.slow
def test_a_process_that_dies_is_a_failure_and_the_rest_goes_on(tmp_path: Path) -> None:
    runs = [tiny(model) for model in ("cnn-svm", "acnn-lstm", "cnn-lstm", "cnn-bilstm", "dscnn-lstm")]

    def kill() -> None:
        while not any(tmp_path.rglob("lock")):  # until a run has begun
            time.sleep(0.01)
        worker = next(p for p in psutil.Process().children() if "popen_loky_posix" in " ".join(p.cmdline()))
        worker.send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    outcomes = sweep.sweep(runs, tmp_path, device="cpu", jobs=2, threads=1, echo=lambda line: None)
    killer.join()
    failed = [o for o in outcomes if o.state == "failed"]
    assert {o.run.model for o in outcomes} == {run.model for run in runs} and len(outcomes) == len(runs)
    assert 1 <= len(failed) <= 2
    assert all("was ended (out of memory?)" in o.message for o in failed)
    assert sweep.sweep(runs, tmp_path, device="cpu", jobs=2, threads=1, echo=lambda line: None)
    assert len(results.load_all(tmp_path)) == len(runs)


# ---------------------------------------------------------------------------------------------------- a Dask cluster


def test_a_cluster_without_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(PlanError, match=r"the extra `cluster`: pip install"):
        sweep.sweep([tiny()], tmp_path, scheduler="tcp://nowhere:8786", echo=lambda line: None)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Any]:
    """Start a scheduler and one worker process of two threads."""
    import dask
    from distributed import LocalCluster

    settings = {"distributed.scheduler.allowed-failures": 0, "temporary-directory": str(tmp_path / "dask")}
    with (
        dask.config.set(settings),
        LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=":0") as started,
    ):
        yield started


@pytest.mark.slow
def test_a_cluster_does_what_is_missing_once_and_outlives_a_failure(
    tmp_path: Path,
    cluster: Any,
    tiny_fer: Any,
    write_csv: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also: from another folder, with the data named by the environment, two runs never share a random generator."""
    from fer_repro.cli import main

    runs = [
        tiny(),
        tiny("proposed", options={"query": "nobody"}),
        tiny("acnn-lstm"),
        Run("fer2013", "native48", "cnn-svm", "official", 0, None, epochs=2, limit=42),
    ]
    write_csv(tiny_fer, tmp_path / "faces" / "fer2013.csv")
    monkeypatch.chdir(tmp_path)  # the worker stays where it was
    monkeypatch.setenv("FER_REPRO_DATA", "faces")
    monkeypatch.setattr(sweep, "read_plan", lambda path: runs)
    command = ["sweep", "plan.toml", "--device", "cpu", "--threads", "1", "--scheduler", cluster.scheduler_address]
    swept = CliRunner().invoke(main, [*command, "--results", "far"])
    assert swept.exit_code == 1 and "1 of 4 runs failed; the sweep went on without them" in swept.output
    assert "nobody" in swept.output and "[4/4]" in swept.output
    (note,) = Path("far").rglob("failure.txt")
    assert "proposed--query=nobody" in str(note) and "nobody" in note.read_text()

    sound = [run for run in runs if run.model != "proposed"]
    sweep.sweep(sound, Path("near"), device="cpu", threads=1, echo=lambda line: None)
    for run in sound:
        far, near = (results.read(run.path(Path(root))) for root in ("far", "near"))
        assert far["predictions"] == near["predictions"]

    before = {run: run.path(Path("far")).read_bytes() for run in sound}
    monkeypatch.setattr(sweep, "read_plan", lambda path: sound)
    again = CliRunner().invoke(main, [*command, "--results", "far"])
    assert again.exit_code == 0 and "3 runs: 3 done, 0 to do" in again.output
    assert {run: run.path(Path("far")).read_bytes() for run in sound} == before


@pytest.mark.slow
def test_a_run_whose_worker_dies_is_a_failure_and_the_rest_goes_on(tmp_path: Path, cluster: Any) -> None:
    runs = [tiny(model) for model in ("cnn-svm", "acnn-lstm", "cnn-lstm", "cnn-bilstm", "dscnn-lstm")]
    (worker,) = cluster.workers.values()

    def kill() -> None:
        while not any(tmp_path.rglob("lock")):  # until the first run has begun
            time.sleep(0.01)
        os.kill(worker.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    address = cluster.scheduler_address
    outcomes = sweep.sweep(runs, tmp_path, device="cpu", threads=1, scheduler=address, echo=lambda line: None)
    killer.join()
    # what the worker was at or was about to take is lost with it, as this cluster tries nothing again
    failed = [o for o in outcomes if o.state == "failed"]
    assert len(outcomes) == len(runs) and 1 <= len(failed) < len(runs)
    assert all("KilledWorker" in o.message for o in failed)
    assert len(list(tmp_path.rglob("failure.txt"))) == len(failed)
    assert len(results.load_all(tmp_path)) == len(runs) - len(failed)


# ------------------------------------------------------------------------------------------------ what a sweep says


def test_the_time_to_go_is_that_of_runs_that_were_done_shared_among_those_at_once() -> None:
    said: list[str] = []
    report = sweep._Report(6, 2, said.append, 100.0)
    assert said == ["about 5 min, as such runs took before"]  # 6 runs of 100 s, two at once
    for state, seconds in (("failed", 9999.0), ("done", 60.0), ("busy", 0.0), ("done", 100.0)):
        report(sweep.Outcome(tiny(), state, seconds))
    assert "to go" not in said[1] and said[1].endswith("(2 running, 3 left)")
    assert said[2].endswith("(2 running, 2 left, about 2 min to go)")  # 4 runs of 60 s, two at once
    assert said[4].endswith("(2 running, 0 left, about 80 s to go)")
    assert said[1].startswith("[1/6] failed ") and said[4].startswith("[4/6] done ")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (89.0, "89 s"), (90.0, "2 min"), (600.0, "10 min"), (5400.0, "1.5 h"), (36000.0, "10.0 h")],
)
def test_a_duration_is_said_in_the_unit_that_suits_it(seconds: float, said: str) -> None:
    assert sweep._duration(seconds) == said


def test_a_trial_prices_no_run(tmp_path: Path) -> None:
    whole = replace(tiny(), epochs=None, limit=None)
    recorded(tiny(), tmp_path, 5.0)
    assert sweep.mean_seconds([whole], tmp_path) is None
    recorded(whole, tmp_path, 500.0)
    assert sweep.mean_seconds([replace(whole, seed=1)], tmp_path) == 500.0


def test_a_run_that_two_blocks_name_is_done_once_and_a_dry_run_says_what_is_missing(tmp_path: Path) -> None:
    from fer_repro.cli import main

    block = '[[runs]]\ndatasets = ["synthetic"]\nrecipe = "quick"\nmodels = ["cnn-svm", "{}"]\nseeds = [0]\n'
    plan = write(tmp_path / "p.toml", block.format("cnn-lstm") + block.format("proposed"))
    runs = read_plan(plan)
    assert [run.model for run in runs] == ["cnn-svm", "cnn-lstm", "proposed"]
    recorded(runs[1], tmp_path, 1.0)
    said = CliRunner().invoke(main, ["sweep", str(plan), "--results", str(tmp_path), "--dry-run"]).output.splitlines()
    assert [line.split() for line in said[:-1]] == [
        ["done", str(runs[1])],
        ["missing", str(runs[0])],
        ["missing", str(runs[2])],
    ]
    assert said[-1] == "3 runs: 1 done, 2 missing"
