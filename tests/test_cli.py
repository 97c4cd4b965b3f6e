"""The command line: what it offers, and that a user's mistakes end in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import denormals_count

from fer_repro import book, claims, cli, data, lookup, metrics, network, recipe, results, training
from fer_repro.data import FaceDataset, cache, splits


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


@pytest.mark.parametrize("there", [True, False])
def test_training_without_a_compiler_says_what_one_would_bring(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> object:
        raise ValueError("looked")

    monkeypatch.setattr(data, "load", load)
    monkeypatch.setattr(lookup, "available", lambda: there)
    _, _, err = run("train", "--device", "cpu")
    assert ("no C compiler to be used" in err) != there and "looked" in err


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
    assert book._records_root(tmp_path) == tmp_path / "other"
    monkeypatch.setenv("FER_REPRO_CACHE", "~/kept")
    assert cache.directory() == tmp_path / "kept"
    (tmp_path / "~photo.jpg").write_bytes(b"none")  # a name with a tilde that is no home
    code, _, err = run("predict", "~photo.jpg", f"--results={tmp_path}")
    assert code == 1 and "Error: " in err and "no such file" not in err
    code, _, err = run("data", "check", "~nobody-of-that-name/x")
    assert code == 1 and err.startswith("Error: ~nobody-of-that-name/x: ")
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


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return what `train` asks of the library, which trains nothing: fold 3 is there, of any other comes a record."""
    (record,) = results.load_all(dataset="fer2013", recipe="native48", model="cnn-svm")[:1]
    calls: list[dict[str, Any]] = []

    def train(
        faces: object, model: str, how: recipe.Recipe, protocol: str, seed: int, fold: int | None, **more: Any
    ) -> Any:
        calls.append({"model": model, "recipe": how.name, "protocol": protocol, "seed": seed, "fold": fold, **more})
        if fold == 3:
            raise FileExistsError("fold 3 is there")
        return record, None

    monkeypatch.setattr(data, "load", lambda *_: None)
    monkeypatch.setattr(training, "train", train)
    return calls


def test_each_option_of_train_reaches_the_library(asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.delenv("FER_REPRO_RESULTS", raising=False)
    assert run("train")[0] == 0
    first = "--recipe native48 --model cnn-lstm --seed 4 --protocol sequences --fold 0 --epochs 5 --limit 9"
    then = "--option hidden=3 --change center_weight=0.5 --results here --device cpu --precision 32-true --threads 3"
    assert run("train", *first.split(), *then.split(), "--no-compile", "--fresh")[0] == 0
    default = {"model": "proposed", "recipe": "quick", "protocol": "official", "seed": 0, "fold": None, "epochs": None}
    default |= {"limit": None, "options": {}, "changes": {}, "device": "auto", "precision": "auto", "folder": None}
    default |= {"compiled": None, "resume": True}
    given = {"model": "cnn-lstm", "recipe": "native48", "protocol": "sequences", "seed": 4, "fold": 0, "epochs": 5}
    given |= {"limit": 9, "options": {"hidden": 3}, "changes": {"center_weight": 0.5}, "device": "cpu"}
    given |= {"precision": "32-true", "folder": Path("here"), "compiled": False, "resume": False}
    assert [{k: v for k, v in call.items() if k != "progress"} for call in asked] == [default, given]
    assert threads == [3]


def test_a_fold_that_is_there_is_left_alone_among_others_and_an_error_alone(asked: list[dict[str, Any]]) -> None:
    code, out, _ = run("train", "--dataset", "ckplus")
    assert code == 0 and [call["fold"] for call in asked] == list(range(10))
    assert out.count("left alone: fold 3 is there") == 1 and out.count("record: ") == 9
    code, _, err = run("train", "--dataset", "ckplus", "--fold", "3")
    assert code == 1 and "fold 3 is there" in err


def test_the_summary_of_a_run_has_both_of_its_accuracies(asked: list[dict[str, Any]]) -> None:
    (record,) = results.load_all(dataset="fer2013", recipe="native48", model="cnn-svm")[:1]
    whole, without = record["test"]["accuracy"], record["test_without_duplicates"]["accuracy"]
    assert f"{whole:.2%}" != f"{without:.2%}"
    assert f": accuracy {whole:.2%}, macro F1" in run("train")[1]
    assert f"accuracy without duplicates {without:.2%} ({record['test']['n']} test images" in run("train")[1]


def test_a_network_of_a_fold_is_measured_on_that_fold_with_people_drawn_whole(
    tmp_path: Path, write_ck48: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = write_ck48(tmp_path / "ck", subjects=20)
    faces = data.load("ckplus", where)
    about = {"dataset": "ckplus", "classes": list(faces.classes), "protocol": "subjects", "seed": 0, "fold": 3}
    about |= {"model": "proposed", "precision": "32-true", "recipe": recipe.get("quick").to_dict()}
    seen = []

    def probabilities(model: object, how: object, part: FaceDataset, *_: object) -> np.ndarray:
        wrong = part.subject == part.subject.min()  # all faces of one person, and of no other
        seen.append((part.labels, (part.labels + wrong) % 7, part.subject))
        return np.eye(7, dtype=np.float32)[seen[-1][1]]

    monkeypatch.setattr(training, "load_model", lambda path: (None, about))
    monkeypatch.setattr(training, "probabilities", probabilities)
    code, out, err = run("evaluate", "--checkpoint", "x", "--data-dir", str(where), "--json", "--device", "cpu")
    assert code == 0, err
    shown, (y, p, who) = json.loads(out), seen[0]
    assert set(who) == set(splits.protocol(faces, "subjects", fold=3).part("test").subject)
    wanted = metrics.intervals(y, p, 7, groups=who)
    for name in ("accuracy", "precision", "recall", "f1"):
        low, value, high = (shown[name][k] for k in ("low", "value", "high"))
        assert (low, high) == pytest.approx(wanted[name]) and low <= value <= high
    assert low < high


def test_the_ledgers_check_fails_until_its_page_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "README.md").write_text(f"{claims.BEGIN}\nreproduced\n{claims.END}\n")
    (tmp_path / "records").mkdir()
    monkeypatch.chdir(tmp_path)
    code, _, err = run("ledger", "--check", "--results", "records")
    assert code == 1 and "disagrees with the ledger" in err
    assert run("ledger", "--write", "--results", "records")[0] == 0
    assert run("ledger", "--check", "--results", "records")[:2] == (0, "README.md agrees with the records\n")


def test_a_book_that_could_not_be_built_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(**_: object) -> None:
        raise book.BookError("01_data failed in cell 3: no\n  | 1 / 0")

    monkeypatch.setattr(book, "build", build)
    code, _, err = run("book")
    assert code == 1 and err == "Error: 01_data failed in cell 3: no\n  | 1 / 0\n"


def test_the_summary_says_why_no_verdict_will_rest_on_a_run() -> None:
    (record,) = results.load_all(dataset="fer2013", recipe="native48", model="cnn-svm")[:1]
    assert "no verdict" not in cli._summary(record, Path("x"))
    trial = record | {"complete": False}
    assert cli._summary(trial, Path("x")).endswith(f"\nno verdict will rest on it: {claims.ineligible(trial)}")


def test_values_are_read_as_json_as_python_writes_them_or_as_text() -> None:
    given = ("a=0.5", "b=[1, 2]", "c=true", "d=True", "e=None", "f=False", "g=last", "h=x=y")
    wanted = {"a": 0.5, "b": [1, 2], "c": True, "d": True, "e": None, "f": False, "g": "last", "h": "x=y"}
    assert cli._values(given, "--option") == wanted
    for wrong in ("query", "=last"):
        with pytest.raises(click.BadParameter, match=f"wanted NAME=VALUE, got '{wrong}'"):
            cli._values((wrong,), "--option")
