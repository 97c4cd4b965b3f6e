"""The command line: what it offers, and that a user's mistakes end in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import denormals_count

from fer_repro import cli, data, network, recipe, results, training
from fer_repro.data import FaceDataset


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli.main, list(arguments))
    return done.exit_code, done.stdout, done.stderr


def test_names_spelt_out_are_the_librarys() -> None:
    assert set(cli.MODELS) == set(network.NAMES)
    assert set(cli.RECIPES) == set(recipe.RECIPES)


def test_train_leaves_a_record_that_evaluate_agrees_with(
    tmp_path: Path, write_ck48: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_ck48(tmp_path / "other")
    code, out, _ = run("train", "--epochs", "2", "--limit", "200", "--results", str(tmp_path), "--device", "cpu")
    assert code == 0 and "record:" in out
    (record,) = results.load_all(tmp_path)
    assert not record["complete"] and record["recipe"]["name"] == "quick"
    code, out, err = run("evaluate", "--results", str(tmp_path))
    assert code == 0 and f"{record['test']['n']} images" in out
    if "note: trained in" not in err:
        assert f"accuracy  {record['test']['accuracy']:7.2%}" in out
    monkeypatch.setattr(training, "automatic_precision", lambda _: "32-true")
    monkeypatch.setattr(training, "multiplies_bfloat16", lambda _: False)
    shown = json.loads(run("evaluate", "--results", str(tmp_path), "--json")[1])
    assert shown["accuracy"]["value"] == pytest.approx(record["test"]["accuracy"], abs=0.02)
    code, _, err = run("evaluate", "--results", str(tmp_path), "--dataset", "ckplus", "--data-dir", str(other))
    assert code == 1 and "ckplus has the classes" in err


def test_the_newest_network_is_found_among_those_made_in_float32_too(tmp_path: Path) -> None:
    for k, place in enumerate((tmp_path / ".runs" / "a", tmp_path / results.FLOAT32 / ".runs" / "b")):
        place.mkdir(parents=True)
        (place / "best.pt").write_bytes(b"")
        os.utime(place / "best.pt", (k, k))
    assert cli._checkpoint(None, tmp_path).parent.name == "b"


def test_a_network_of_last_frames_is_measured_on_last_frames(tmp_path: Path, write_ck48: Callable[..., Path]) -> None:
    where = ("--data-dir", str(write_ck48(tmp_path / "ck")), "--results", str(tmp_path), "--device", "cpu")
    how = ("--dataset", "ckplus", "--protocol", "sequences", "--recipe", "quick", "--change", "last_frames=1")
    code, _, err = run("train", "--epochs", "2", "--precision", "32-true", "--change", "batch_size=8", *how, *where)
    assert code == 0, err
    (record,) = results.load_all(tmp_path)
    shown = json.loads(run("evaluate", "--json", *where)[1])
    assert shown["n"] == record["split"]["test"] == len(set(record["predictions"]["sequence"]))
    assert shown["accuracy"]["value"] == pytest.approx(record["test"]["accuracy"])


def test_training_begins_without_denormals_before_any_thread_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def load(*_: object) -> object:
        seen.append(denormals_count())
        raise ValueError("looked")

    monkeypatch.setattr(data, "load", load)
    code, _, err = run("train", "--epochs", "2")
    assert code == 1 and "looked" in err
    assert seen == [False] and denormals_count()


def test_ledger_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    code, _, err = run("ledger", "--results", str(tmp_path / "nowhere"))
    assert code == 1 and "nowhere: no such folder of records" in err


def test_ledger_reads_measurements_from_the_folder_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "mechanisms").mkdir()
    (tmp_path / "mechanisms" / "occlusion.json").write_text("{half")
    code, _, err = run("ledger", "--results", str(tmp_path))
    assert code == 1 and "occlusion.json: cannot be read as a measurement" in err


def test_ledger_of_no_runs_lists_every_claim(tmp_path: Path) -> None:
    from fer_repro import paper

    code, out, _ = run("ledger", "--results", str(tmp_path))
    assert code == 0
    assert all(claim.id in out for claim in paper.CLAIMS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--dataset", "fer2013", "--data-dir", "nowhere"], "nowhere"),
        (["train", "--dataset", "fer2013"], "may not be shipped"),
        (["train", "--change", "nonsense=1"], "recipe has no nonsense"),
        (["train", "--option", "nonsense=1"], "nonsense"),
        (["train", "--fold", "3"], "fold"),
        (["sweep", "nowhere.toml"], "nowhere.toml"),
        (["evaluate", "--results", "nowhere"], "train one first"),
        (["data", "check", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_ends_in_one_line(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("FER_REPRO_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*arguments)
    assert code == 1
    assert said in err and len(err.strip().splitlines()) == 1 and "Traceback" not in err


def test_what_was_not_foreseen_is_one_line_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def surprise(folder: Path) -> None:
        raise KeyError("name")

    monkeypatch.setattr(results, "load_all", surprise)
    code, _, err = run("ledger", "--results", str(tmp_path))
    assert code == 1 and err.strip() == "Error: KeyError: 'name' (not foreseen; `fer-repro --debug ...` shows where)"


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert f"{tmp_path}/mine: no such folder of records" in run("ledger", "--results=~/mine")[2]
    monkeypatch.setenv("FER_REPRO_RESULTS", "~/other")
    assert f"{tmp_path}/other: no such folder of records" in run("ledger")[2]
    assert results.root() == tmp_path / "other"
    assert run("handout", "03", "--to=~/class")[0] == 0 and (tmp_path / "class" / "03_center_loss.ipynb").is_file()


@pytest.mark.parametrize("option", [("--seed", str(2**32)), ("--threads", "5000"), ("--seed", "-1")])
def test_a_number_beyond_what_can_be_is_a_usage_error(option: tuple[str, str]) -> None:
    code, _, err = run("train", *option)
    assert code == 2 and "is not in the range" in err


def test_the_ledger_names_a_record_that_is_not_whole(tmp_path: Path) -> None:
    (record,) = results.load_all(dataset="fer2013", recipe="native48", model="cnn-svm")[:1]
    del record["path"], record["data"]["limit"]
    path = results.write(record, tmp_path)
    code, _, err = run("ledger", "--results", str(tmp_path))
    assert code == 0 and err.startswith(
        f"note: no verdict rests on {path.relative_to(tmp_path)}: the record is not whole"
    )


def test_a_name_that_is_no_text_does_not_end_the_command(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"bad\xff.png")).write_bytes(b"no image")
    command = [sys.executable, "-m", "fer_repro.cli", "data", "check", str(tmp_path / os.fsdecode(b"bad\xff.png"))]
    given = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, capture_output=True, env=given, check=False)
    assert done.returncode == 1 and b"bad\\udcff.png" in done.stderr and b"codec" not in done.stderr


def test_data_that_cannot_be_trained_on_do_not_pass_the_check(
    tmp_path: Path, tiny_fer: FaceDataset, write_csv: Callable[..., Path]
) -> None:
    path = write_csv(tiny_fer, tmp_path / "fer2013.csv")
    code, _, err = run("data", "check", str(path))
    assert (code, err) == (0, "")
    path.write_text(path.read_text()[:-20])
    code, out, err = run("data", "check", str(path))
    assert code == 1 and "undecodable: 1" in out
    assert "fer2013: 1 images cannot be read" in err
    write_csv(tiny_fer.part("train"), path)
    code, _, err = run("data", "check", str(path))
    assert code == 1 and "fer2013: no image in val, test" in err


def test_an_unknown_choice_is_a_usage_error() -> None:
    code, _, err = run("train", "--model", "resnet")
    assert code == 2 and "proposed" in err
