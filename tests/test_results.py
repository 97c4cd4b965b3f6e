"""Run records: written once, whole or not at all; read as a table."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fer_repro import results
from fer_repro.recipe import RECIPES, Recipe, get


def record(**fields: Any) -> results.Record:
    """A small record, as whole as a table needs."""
    test = {"n": 2, "accuracy": 0.5, "precision": 0.25, "recall": 0.5, "f1": 1 / 3, "confusion": [[1, 0], [1, 0]]}
    base = {
        "schema": results.SCHEMA,
        "dataset": "synthetic",
        "model": "proposed",
        "variant": None,
        "protocol": "official",
    }
    base |= {"seed": 0, "fold": None, "recipe": RECIPES["quick"].to_dict(), "options": {}, "complete": True}
    base |= {"parameters": 5, "best_epoch": 3, "seconds": 1.5, "images_per_second": 9.0, "test": test}
    base |= {"classes": ["anger", "disgust"], "split": {"test": 2}, "data": {}, "code": {}}
    named = {"label": [0, 1], "predicted": [0, 0], "confidence": [0.9, 0.6], "subject": None, "sequence": None}
    base |= {"predictions": named | {"duplicate": []}}
    base |= {"test_without_duplicates": None, "sequences": None, "curves": [{"epoch": 1, "train_loss": 0.1}]}
    return {**base, **fields}


# ------------------------------------------------------------------------------------------------ where they belong


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({}, "synthetic/quick/proposed/official-seed0.json"),
        ({"seed": 3, "fold": 7, "protocol": "subjects"}, "synthetic/quick/proposed/subjects-seed3-fold7.json"),
        ({"fold": 0}, "synthetic/quick/proposed/official-seed0-fold0.json"),
        ({"complete": False}, "synthetic/quick-trial/proposed/official-seed0.json"),
        ({"variant": "query=last"}, "synthetic/quick/proposed--query=last/official-seed0.json"),
        ({"dataset": "ckplus", "model": "cnn-svm"}, "ckplus/quick/cnn-svm/official-seed0.json"),
    ],
)
def test_a_record_has_one_place(fields: dict[str, Any], path: str, tmp_path: Path) -> None:
    assert results.path_of(record(**fields), tmp_path) == tmp_path / path
    assert results.write(record(**fields), tmp_path) == tmp_path / path


def test_a_variants_name_does_not_depend_on_the_order_of_its_options() -> None:
    assert results.variant_name({}) is None
    one = results.variant_name({"query": "last", "scale": True, "pool_after": (2, 3, 4)})
    assert one == results.variant_name({"pool_after": [2, 3, 4], "scale": True, "query": "last"})
    assert one == "pool_after=2-3-4,query=last,scale=True"


def test_the_root_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FER_REPRO_RESULTS", str(tmp_path))
    assert results.root() == tmp_path
    assert results.write(record()).is_relative_to(tmp_path)
    monkeypatch.delenv("FER_REPRO_RESULTS")
    assert results.root().name == "results"
    assert (results.root().parent / "pyproject.toml").is_file()


# --------------------------------------------------------------------------------------------------- written once


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    wanted = record(note="Σ über ½", confusion=[[1.5, 2], [3, 4]])
    path = results.write(wanted, tmp_path)
    assert results.read(path) == wanted
    assert json.loads(path.read_text(encoding="utf-8")) == wanted  # any JSON reader will do
    assert len(path.read_text(encoding="utf-8").splitlines()) == len(wanted) + 2  # a field a line


def test_a_record_is_never_overwritten(tmp_path: Path) -> None:
    path = results.write(record(), tmp_path)
    before = path.read_bytes()
    for replace in (False, True):
        with pytest.raises(FileExistsError, match="a record is never overwritten"):
            results.write(record(seconds=99.0), tmp_path, replace=replace)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing temporary is left


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(results.os, "link", link)
    path = results.write(record(), tmp_path)
    before = path.read_bytes()
    assert results.read(path)["seed"] == record()["seed"]
    with pytest.raises(FileExistsError, match="never overwritten"):
        results.write(record(), tmp_path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_trial_may_be_repeated_and_leaves_the_record_alone(tmp_path: Path) -> None:
    whole = results.write(record(), tmp_path)
    trial = results.write(record(complete=False, seconds=1.0), tmp_path, replace=True)
    assert results.write(record(complete=False, seconds=2.0), tmp_path, replace=True) == trial != whole
    assert results.read(trial)["seconds"] == 2.0
    assert results.read(whole)["seconds"] == 1.5
    with pytest.raises(FileExistsError):
        results.write(record(complete=False), tmp_path)


def test_of_several_writers_one_wins(tmp_path: Path) -> None:
    def attempt(k: int) -> bool:
        try:
            results.write(record(seconds=float(k)), tmp_path)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(attempt, range(16)))
    assert sum(won) == 1
    assert results.load_all(tmp_path)[0]["seconds"] == float(won.index(True))


@pytest.mark.parametrize("where", ["write", "fsync", "link"])
def test_a_full_disk_leaves_nothing_behind(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, "dumps", full) if where == "write" else monkeypatch.setattr(os, where, full)
    with pytest.raises(OSError, match="No space left"):
        results.write(record(), tmp_path)
    monkeypatch.undo()
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
    assert results.write(record(), tmp_path).is_file()


def test_a_killed_writers_remains_are_no_record(tmp_path: Path) -> None:
    path = results.write(record(), tmp_path)
    (path.parent / f".{path.stem}-abc.tmp").write_text('{"schema": 1, "data', encoding="utf-8")
    assert len(results.load_all(tmp_path)) == 1


def test_others_may_read_a_record(tmp_path: Path) -> None:
    assert stat.S_IMODE(results.write(record(), tmp_path).stat().st_mode) == 0o644


def test_a_number_that_json_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        results.write(record(seconds=float("nan")), tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


# --------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as a record"),
        ('{"schema": 1', "cannot be read as a record"),
        ("[1, 2]", "wanted a record of schema 1"),
        ('{"schema": 2}', "wanted a record of schema 1"),
        ('{"schema": 1, "dataset": "fer2013"}', "wanted a record of schema 1 with dataset, recipe, model"),
        (
            '{"schema": 1, "dataset": "a", "recipe": "b", "model": "c", "protocol": "d", "seed": 0, "complete": true}',
            "a record whose parameters, best_epoch, .*, recipe, .* is missing or of another kind",
        ),
    ],
)
def test_what_is_no_record_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "official-seed0.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(results.RecordError, match=f"{path.name}: {message}"):
        results.read(path)
    with pytest.raises(results.RecordError, match="nowhere"):
        results.read(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"predicted": [0]}, "wanted 2 values of predicted"),
        ({"label": None}, "wanted 2 values of label"),
        ({"confidence": [0.9, 0.6, 0.3]}, "wanted 2 values of confidence"),
        ({"subject": [4]}, "wanted 2 values of subject"),
        ({"predicted": [0, 2]}, "predicted holds what is none of 2 classes"),
        ({"label": [0, [1]]}, r"label holds \[1\], which is no number"),
        ({"predicted": [0, True]}, "predicted holds True"),
        ({"subject": [4, None]}, "subject holds None"),
        ({"confidence": [0.9, "x"]}, "confidence holds 'x'"),
        ({"predicted": [0, 1]}, "2 of 2 are right, which is not the accuracy it states"),
    ],
)
def test_predictions_that_cannot_be_judged_again_are_named(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    whole = record()
    path = results.write(whole | {"predictions": whole["predictions"] | changed}, tmp_path)
    with pytest.raises(results.RecordError, match=f"{path.name}: a record whose predictions are damaged: {message}"):
        results.load_all(tmp_path)


def test_what_python_alone_takes_for_a_number_is_none(tmp_path: Path) -> None:
    path = results.write(record(), tmp_path)
    path.write_text(path.read_text().replace('"seconds": ', '"seconds": NaN, "slower": '), encoding="utf-8")
    with pytest.raises(results.RecordError, match=f"{path.name}: cannot be read as a record: NaN is no number"):
        results.read(path)


def test_a_recipe_without_a_name_is_named(tmp_path: Path) -> None:
    path = results.write(record(), tmp_path)
    for other in ("", '"name": 3, '):
        text = re.sub(r'"name": "\w+", ', other, path.read_text(), count=1)
        (tmp_path / "r.json").write_text(text, encoding="utf-8")
        with pytest.raises(results.RecordError, match=r"r\.json: a record whose recipe has no name"):
            results.read(tmp_path / "r.json")


def test_a_file_in_a_folders_place_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / results.path_of(record(), Path()).parts[0]).write_text("")
    with pytest.raises(OSError, match=r"\.json: cannot be written \((Not a directory|File exists)\)"):
        results.write(record(), tmp_path)


def test_a_text_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "README.md"
    results.replace_text(page, "before")

    def full(self: Path, text: str, **_: object) -> None:
        with self.open("w") as file:
            file.write(text[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match=r"README\.md: cannot be written \(No space left on device\), and is left as it"):
        results.replace_text(page, "another")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["before"]
    monkeypatch.undo()
    results.replace_text(page, "another")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["another"]


def test_a_test_of_nothing_is_no_test(tmp_path: Path) -> None:
    path = results.write(record(test={"n": 0, "accuracy": 0.0}), tmp_path)
    with pytest.raises(results.RecordError, match=f"{path.name}: .* no number of images"):
        results.read(path)


def test_records_are_chosen_and_ordered(tmp_path: Path) -> None:
    for fields in (
        {"seed": 1},
        {"seed": 0},
        {"model": "cnn-svm"},
        {"dataset": "fer2013", "complete": False},
        {"dataset": "ckplus", "protocol": "subjects", "fold": 2},
    ):
        results.write(record(**fields), tmp_path)
    found = results.load_all(tmp_path)
    assert [r["path"] for r in found] == sorted(r["path"] for r in found)
    assert len(found) == 5
    assert [r["seed"] for r in results.load_all(tmp_path, dataset="synthetic", model="proposed")] == [0, 1]
    assert len(results.load_all(str(tmp_path), protocol="subjects")) == 1
    assert [r["dataset"] for r in results.load_all(tmp_path, recipe="quick-trial")] == ["fer2013"]
    assert results.load_all(tmp_path, recipe="native48") == []
    assert results.load_all(tmp_path / "none") == []


def test_a_record_under_another_name_is_refused_and_not_counted_twice(tmp_path: Path) -> None:
    path = results.write(record(seed=0), tmp_path)
    path.with_name("official-seed0b.json").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(
        results.RecordError, match=r"seed0b.json: wanted the record of that name, got that of .*seed0.j"
    ):
        results.load_all(tmp_path)


def test_what_is_committed_while_a_process_runs_is_not_what_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    first = results.provenance()
    monkeypatch.setattr(results.subprocess, "run", lambda *_, **__: pytest.fail("asked again"))
    assert results.provenance() == first


@pytest.mark.parametrize("folder", ["mechanisms", "facts", "benchmarks", ".runs"])
def test_other_files_beside_them_are_left_alone(folder: str, tmp_path: Path) -> None:
    other = tmp_path / folder / "a" / "b" / "c.json"
    other.parent.mkdir(parents=True)
    other.write_text("[]", encoding="utf-8")
    results.write(record(), tmp_path)
    assert len(results.load_all(tmp_path)) == 1


def test_the_table_has_a_row_a_record() -> None:
    one = record(test_without_duplicates={"accuracy": 0.4}, sequences={"accuracy": 0.7})
    table = results.table([one, record(seed=1)])
    assert table.seed.tolist() == [0, 1]
    assert table.recipe.tolist() == ["quick", "quick"]
    assert table.accuracy_without_duplicates[0] == 0.4
    assert table.sequence_accuracy[0] == 0.7
    assert table.isna()["sequence_accuracy"].tolist() == [False, True]
    assert results.table([]).empty


# ------------------------------------------------------------------------------------------------------ provenance


def test_provenance_says_what_made_a_number() -> None:
    found = results.provenance()
    assert {"python", "torch", "numpy", "fer_repro"} <= set(found["versions"])
    assert found["machine"]["cores"] == os.cpu_count()
    here = Path(__file__).resolve().parents[1]
    if (here / ".git").exists():
        head = subprocess.run(["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        assert found["code"]["commit"] == head.stdout.strip()
        assert isinstance(found["code"]["dirty"], bool)
    assert str(Path.home()) not in json.dumps(found)


def test_code_that_no_commit_holds_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True)

    package = tmp_path / "fer_repro"
    package.mkdir()
    (package / "results.py").write_text("a = 1\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "a")
    monkeypatch.setattr(results, "__file__", str(package / "results.py"))
    monkeypatch.setattr(results, "_code", results._code.__wrapped__)  # asks each time
    assert results.provenance()["code"]["dirty"] is False
    index = (tmp_path / ".git" / "index").read_bytes()
    os.utime(package / "results.py", (1, 1))  # which git would note, under a lock
    assert results.provenance()["code"]["dirty"] is False
    assert (tmp_path / ".git" / "index").read_bytes() == index
    (tmp_path / "run.json").write_text("{}")  # a record that has landed is no code
    assert results.provenance()["code"]["dirty"] is False
    (package / "gru.py").write_text("a new module")
    assert results.provenance()["code"]["dirty"] is True
    git("add", ".")
    git("commit", "-q", "-m", "b")
    (package / "results.py").write_text("a = 2\n")
    assert results.provenance()["code"]["dirty"] is True


# --------------------------------------------------------------------------------------------------------- recipes


@pytest.mark.parametrize("name", ["quick", "native48", "paper128"])
def test_a_recipe_survives_its_record(name: str, tmp_path: Path) -> None:
    recipe = get(name)
    fields = results.read(results.write(record(recipe=recipe.to_dict()), tmp_path))["recipe"]
    assert Recipe(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}) == recipe
    assert recipe.name == name


def test_an_unknown_recipe_lists_the_names_there_are() -> None:
    with pytest.raises(ValueError, match="no recipe is named 'slow'; wanted one of quick, native48, paper128"):
        get("slow")


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(AttributeError):
        get("quick").size = 64  # type: ignore[misc]


def test_results_hold_records_and_no_lock_or_checkpoint_of_a_run() -> None:
    here = Path(results.__file__).parents[1]
    if not (here / ".git").exists():
        pytest.skip("NO HISTORY: what is committed cannot be told")
    listed = subprocess.run(
        ["git", "-C", str(here), "ls-files", "-z", "results"], capture_output=True, text=True, check=True
    )
    paths = [Path(name) for name in listed.stdout.split("\0") if name]
    assert len(paths) > 100
    assert [p for p in paths if p.suffix != ".json" or any(part.startswith(".") for part in p.parts)] == []


def test_the_commit_that_a_record_names_is_in_this_history_or_known_to_be_lost() -> None:
    here = Path(results.__file__).parents[1]

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, check=False)

    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("NO HISTORY: a checkout without its commits cannot tell")
    known = set(git("rev-list", "HEAD").stdout.split())
    named: dict[str, str] = {}
    for path in (here / "results").rglob("*.json"):
        if any(part.startswith(".") for part in path.relative_to(here).parts):
            continue
        commit = (json.loads(path.read_text(encoding="utf-8")).get("code") or {}).get("commit")
        if commit:
            named[commit] = path.relative_to(here).as_posix()
    assert named
    lost = set(results.LOST_COMMITS)
    assert {c: named[c] for c in named.keys() - known - lost} == {}
    assert lost <= named.keys() - known  # what is no longer needed goes
    assert all(any(c.startswith(later) for c in known) for later in results.LOST_COMMITS.values())


def test_one_prediction_of_many_that_does_not_fit_is_seen(tmp_path):
    n = 200
    named = {"label": [0] * n, "predicted": [0] * 101 + [1] * 99, "confidence": [0.5] * n}
    whole = record(test={"n": n, "accuracy": 0.5}, predictions=named)
    results.write(whole, tmp_path)
    with pytest.raises(results.RecordError, match="101 of 200 are right"):
        results.load_all(tmp_path)


def test_a_record_in_another_methods_folder_is_refused(tmp_path):
    path = results.write(record(), tmp_path)
    elsewhere = path.parent.with_name("cnn-svm") / path.name
    elsewhere.parent.mkdir()
    elsewhere.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(results.RecordError, match="wanted the record of that name"):
        results.load_all(tmp_path)
