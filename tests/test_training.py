"""The training loop: the same numbers by seed, after a kill, in one process or two."""

from __future__ import annotations

import ast
import json
import math
import os
import re
import signal
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import denormals_count
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import Tensor

from fer_repro import metrics, network, results, training
from fer_repro.center_loss import CenterLoss
from fer_repro.data.faces import FER_CLASSES, FaceDataset
from fer_repro.data.splits import protocol
from fer_repro.lda import ProjectionLayer
from fer_repro.recipe import Recipe
from fer_repro.training import RunInProgress, TrainingError, train

TINY = Recipe("tiny", size=16, epochs=(2, 2), small_epochs=(2, 2), batch_size=16, learning_rate=5e-3)
SMALL: dict[str, Any] = {"hidden": 8, "growth_rate": 4, "num_layers": 2, "num_features": 16}
ROOT = Path(__file__).resolve().parents[1]


def faces(n: int = 56, classes: int = 4, seed: int = 0) -> FaceDataset:
    """Noise with a bright patch that tells the class: 16 x 16, four fifths for training."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    images = rng.integers(0, 160, (n, 16, 16), dtype=np.uint8)
    for k in range(n):
        images[k, 3 * y[k] : 3 * y[k] + 4, 4:12] += 90
    split = np.array(["train", "train", "train", "val", "test"])[np.arange(n) // classes % 5]
    return FaceDataset(images, y, FER_CLASSES[:classes], split, name="synthetic")


def run(folder: Path | None = None, model: str = "proposed", recipe: Recipe = TINY, **given: Any) -> results.Record:
    options = given.pop("options", SMALL if model == "proposed" else {})
    given = {"device": "cpu", "precision": "32-true", "keep": folder is not None, **given}
    return train(given.pop("faces", faces()), model, recipe, "official", folder=folder, options=options, **given)[0]


def course(record: results.Record) -> dict[str, Any]:
    """What must be equal between two runs of one thing: all but times, memory and machine."""
    same = ("curves", "best_epoch", "test", "predictions", "parameters", "split", "recipe", "data")
    curves = [{k: v for k, v in row.items() if k != "seconds"} for row in record["curves"]]
    return json.loads(json.dumps({**{k: record[k] for k in same}, "curves": curves}))


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def undisturbed() -> results.Record:
    torch.set_num_threads(1)
    return run()


# ------------------------------------------------------------------------------------------------------ by seed


def test_the_same_seed_gives_the_same_numbers(undisturbed: results.Record) -> None:
    torch.manual_seed(99)  # what was drawn before must not matter
    np.random.seed(99)  # noqa: NPY002
    assert course(run()) == course(undisturbed)


def test_another_seed_gives_others(undisturbed: results.Record) -> None:
    other = run(seed=1)
    assert other["curves"][0]["train_loss"] != undisturbed["curves"][0]["train_loss"]
    assert other["split"] == undisturbed["split"]


@pytest.mark.parametrize("model", network.NAMES)
def test_every_network_takes_the_same_course(model: str) -> None:
    record = run(model=model)
    assert [(row["epoch"], row["stage"]) for row in record["curves"]] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    assert record["best_epoch"] in (3, 4)
    assert record["model"] == model
    assert sum(map(sum, record["test"]["confusion"])) == record["test"]["n"] == len(record["predictions"]["label"])


def test_it_learns() -> None:
    record = run(recipe=replace(TINY, small_epochs=(12, 8)), faces=faces(200))
    assert record["curves"][-1]["train_loss"] < record["curves"][0]["train_loss"] / 2
    assert record["test"]["accuracy"] > 0.7  # chance is 0.25


def test_a_record_says_all_that_the_tables_need(undisturbed: results.Record) -> None:
    r = undisturbed
    expected = metrics.scores(np.array(r["predictions"]["label"]), np.array(r["predictions"]["predicted"]), 4)
    assert r["test"]["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-6)
    assert r["test"]["confusion"] == np.asarray(expected["confusion"]).tolist()
    assert r["split"] == {"train": 36, "val": 12, "test": 8, "subjects": None, "leaks": False}
    assert r["variant"] == "growth_rate=4,hidden=8,num_features=16,num_layers=2"
    assert r["complete"] is True
    assert (r["device"], r["precision"], r["processes"]) == ("cpu", "32-true", 1)
    assert r["seconds"] > 0
    assert r["images_per_second"] > 0
    assert r["peak_memory_bytes"] > 1e6
    assert len(r["data"]["fingerprint"]) == 64
    assert {"code", "versions", "machine", "started", "finished"} <= set(r)
    assert str(Path.home()) not in json.dumps(r)
    losses = [row["val_loss"] for row in r["curves"] if row["stage"] == 2]
    accuracies = [row["val_accuracy"] for row in r["curves"] if row["stage"] == 2]
    best = max(range(2), key=lambda e: (accuracies[e], -losses[e], -e))
    assert r["best_epoch"] == 3 + best


def test_mixed_precision_trains_too() -> None:
    record = run(precision="bf16-mixed")
    assert record["precision"] == "bf16-mixed"
    assert all(np.isfinite(row["train_loss"]) for row in record["curves"])


# -------------------------------------------------------------------------------------------------- mini-batches


@pytest.mark.parametrize(("n", "size"), [(40, 16), (48, 16), (7, 16), (16, 1)])
def test_an_epoch_meets_each_image_at_most_once(n: int, size: int) -> None:
    batches = training.epoch_batches(n, size, seed=3)
    seen = torch.cat(batches)
    assert len(seen.unique()) == len(seen) == (n // size * size or n)
    assert all(len(b) == min(size, n) for b in batches)
    assert torch.equal(seen, torch.cat(training.epoch_batches(n, size, seed=3)))
    if n > 1:
        assert not torch.equal(seen, torch.cat(training.epoch_batches(n, size, seed=4)))


@pytest.mark.parametrize(("world", "n"), [(2, 100), (3, 100), (4, 100), (2, 7)])
def test_processes_share_each_mini_batch_evenly(world: int, n: int) -> None:
    whole = training.epoch_batches(n, 16, seed=1)
    shares = [training.epoch_batches(n, 16, seed=1, rank=r, world=world) for r in range(world)]
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        assert {len(p) for p in parts} == {len(batch) // world}
        together = torch.cat(parts)
        assert len(together.unique()) == len(batch) // world * world
        assert torch.isin(together, batch).all()


def test_seeds_of_epochs_are_all_different() -> None:
    assert len({training.epoch_seed(seed, epoch) for seed in range(20) for epoch in range(40)}) == 800


def test_the_first_blocks_two_forms_train_alike() -> None:
    """Exact algebra: the loss of every epoch, over all steps, agrees to rounding."""
    recipe = replace(TINY, dropout=0.0)
    fast, plain = (run(recipe=recipe, options={**SMALL, "fast": f}) for f in (True, False))
    for a, b in zip(fast["curves"][:2], plain["curves"][:2]):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=2e-3)
        assert a["val_loss"] == pytest.approx(b["val_loss"], rel=2e-2)


def test_the_depthwise_convolutions_two_forms_train_alike() -> None:
    """In bfloat16, where the fast form is taken at all."""
    recipe = replace(TINY, dropout=0.0)
    fast, plain = (
        run(model="dscnn-lstm", recipe=recipe, precision="bf16-mixed", options={"hidden": SMALL["hidden"], "fast": f})
        for f in (True, False)
    )
    for a, b in zip(fast["curves"][:2], plain["curves"][:2]):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=2e-2)


# --------------------------------------------------------------------------------------- center loss and closed forms


def test_the_centers_follow_equation_3_through_all_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside weight decay, momentum, clipping and lambda, none of which may touch them."""
    steps: list[int] = []
    original = CenterLoss.update

    def checked(self: CenterLoss, features: torch.Tensor, labels: torch.Tensor) -> None:
        if not steps or steps[-1] != features.shape[1]:
            assert not self.centers.any(), "each stage begins with new centers"
        else:
            assert torch.equal(self.centers, kept["centers"]), "something else moved the centers"
        slow = self.centers.clone()
        for j in range(len(slow)):
            mine = features[labels == j]
            slow[j] -= 0.5 * (slow[j] - mine).sum(0) / (1 + len(mine))
        original(self, features, labels)
        torch.testing.assert_close(self.centers, slow, rtol=1e-4, atol=1e-5)
        kept["centers"] = self.centers.clone()
        steps.append(features.shape[1])

    kept: dict[str, torch.Tensor] = {}
    monkeypatch.setattr(CenterLoss, "update", checked)
    record = run(recipe=replace(TINY, center_weight=0.5))
    assert steps == [2 * 16] * 4 + [16] * 4  # two batches an epoch: attended rows, then the last layer's input
    assert record["curves"][0]["center_loss"] > 0


def prepared_trainer(seed: int = 0, recipe: Recipe = TINY) -> training.Trainer:
    job = training.job("synthetic", "proposed", recipe, "official", seed, options=SMALL)
    return training.Trainer(job, faces(), training.engine("cpu", "32-true"), None, progress=False)


def test_a_seed_decides_the_first_weights() -> None:
    first, again, other = (prepared_trainer(seed).model.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_the_best_epochs_weights_are_tested_not_the_last_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = iter([0.1, 0.2, 0.9, 0.3, 0.4])
    monkeypatch.setattr(training.Trainer, "_validate", lambda self: {"val_accuracy": next(accuracies), "val_loss": 1.0})
    trainer, after = prepared_trainer(recipe=replace(TINY, epochs=(2, 3), small_epochs=(2, 3))), []
    epoch = training.Trainer._epoch

    def kept(self: training.Trainer, stage: int, number: int) -> dict[str, Any]:
        row = epoch(self, stage, number)
        after.append({name: w.clone() for name, w in self.model.state_dict().items()})
        return row

    monkeypatch.setattr(training.Trainer, "_epoch", kept)
    trainer.run()
    assert trainer.best["epoch"] == 3
    ended = trainer.model.state_dict()
    assert all(torch.equal(ended[name], after[2][name]) for name in ended)
    assert not torch.equal(ended["classifier.weight"], after[-1]["classifier.weight"])


def test_every_epoch_has_an_order_and_a_chance_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds, orders = [], []
    batches = training.epoch_batches

    def noted(n: int, size: int, seed: int, *shares: int) -> list[Tensor]:
        made = batches(n, size, seed, *shares)
        if shares:  # an epoch's own; without, it is only counted
            seeds.append(seed)
            orders.append(torch.cat(made).tolist())
        return made

    monkeypatch.setattr(training, "epoch_batches", noted)
    run()
    assert len(seeds) == 4 and len(set(seeds)) == 4
    assert len(set(map(tuple, orders))) == 4


def test_the_cycle_of_the_learning_rate_ends_with_its_stage() -> None:
    trainer = prepared_trainer()
    steps: list[tuple[int, int]] = []
    save = trainer._save
    trainer._save = lambda: (steps.append((trainer.schedule.last_epoch, trainer.schedule.total_steps)), save())[1]  # type: ignore[method-assign]
    trainer.run()
    assert steps == [(2, 4), (4, 4)] * 2  # two epochs of two mini-batches a stage


def test_each_seed_divides_the_sequences_anew() -> None:
    drawn = replace(faces(), sequence=np.arange(56))
    tested = [
        train(drawn, "proposed", TINY, "sequences", seed=seed, device="cpu", keep=False, epochs=2, options=SMALL)[0][
            "predictions"
        ]["sequence"]
        for seed in (0, 1)
    ]
    assert tested[0] != tested[1]


def test_many_images_are_prepared_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 2**17 + 1
    many = FaceDataset(np.zeros((n, 16, 16), np.uint8), np.zeros(n, np.int64), FER_CLASSES, np.full(n, "train"))
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(training, "prepared", lambda *given: (asked.append(given), many.images)[1])
    training.pixels_for(many, replace(TINY, median_kernel=5))
    assert asked == [(many, TINY.size, 5)]


def test_lambda_reaches_the_loss_and_not_the_centers(monkeypatch: pytest.MonkeyPatch) -> None:
    first: dict[float, torch.Tensor] = {}
    original = CenterLoss.update
    for weight in (0.003, 5.0):

        def kept(self: CenterLoss, x: torch.Tensor, y: torch.Tensor, weight: float = weight) -> None:
            original(self, x, y)
            first.setdefault(weight, self.centers.clone())

        monkeypatch.setattr(CenterLoss, "update", kept)
        run(recipe=replace(TINY, center_weight=weight))
    assert torch.equal(first[0.003], first[5.0])


@pytest.mark.parametrize(("model", "weight"), [("proposed", 0.0), ("cnn-lstm", 0.5)])
def test_without_center_loss_there_are_no_centers(model: str, weight: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CenterLoss, "update", lambda *_: pytest.fail("there must be no centers"))
    record = run(model=model, recipe=replace(TINY, center_weight=weight))
    assert {row["center_loss"] for row in record["curves"]} == {0}


def test_lda_is_fitted_between_the_stages_and_fixed_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    fits, after = [], []
    fit, epoch = ProjectionLayer.fit, training.Trainer._epoch

    def watched_fit(self: ProjectionLayer, features: torch.Tensor, labels: torch.Tensor, first: int) -> None:
        assert labels.tolist() == faces().part("train").labels.tolist(), "all training images, in order"
        fit(self, features, labels, first)
        fits.append(self.weight.clone())

    def watched_epoch(self: training.Trainer, stage: int, number: int) -> dict[str, Any]:
        lda = self.model.lda
        assert isinstance(lda, ProjectionLayer)
        assert bool(lda.fitted) == (stage == 2)
        before = self.model.classifier.weight.clone()  # type: ignore[union-attr, operator]
        row = epoch(self, stage, number)
        if stage == 2:
            after.append(lda.weight.clone())
            assert not torch.equal(before, self.model.classifier.weight)  # type: ignore[union-attr, arg-type]
        return row

    monkeypatch.setattr(ProjectionLayer, "fit", watched_fit)
    monkeypatch.setattr(training.Trainer, "_epoch", watched_epoch)
    run()
    assert len(fits) == 1
    assert len(after) == 2
    assert all(torch.equal(w, fits[0]) for w in after)


def test_lda_is_fitted_on_images_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not augmented: here that would blank them."""
    given: list[torch.Tensor] = []
    fit = ProjectionLayer.fit
    monkeypatch.setattr(training, "augment", lambda x, *_, **__: x * 0)
    monkeypatch.setattr(
        ProjectionLayer, "fit", lambda self, x, *more: (given.append(x.clone()), fit(self, x, *more))[1]
    )
    run()
    assert given[0].std(0).min() > 0, "every image gave the same features"


def test_gradient_passes_through_the_fitted_lda_to_the_cnn(monkeypatch: pytest.MonkeyPatch) -> None:
    epoch, moved = training.Trainer._epoch, {}

    def watched(self: training.Trainer, stage: int, number: int) -> dict[str, Any]:
        before = self.model.cnn.blocks[0].convolution.weight.clone()  # type: ignore[union-attr, index]
        row = epoch(self, stage, number)
        moved[stage] = not torch.equal(before, self.model.cnn.blocks[0].convolution.weight)  # type: ignore[union-attr, index]
        return row

    monkeypatch.setattr(training.Trainer, "_epoch", watched)
    run(recipe=replace(TINY, weight_decay=0.0))
    assert moved == {1: True, 2: True}


@pytest.mark.parametrize("options", [SMALL, SMALL | {"lda_shared": True}])
def test_lda_is_the_same_when_its_features_do_not_fit_at_once(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    fit_stage = network.ProposedNetwork.fit_stage

    def watched(self: network.ProposedNetwork, attended: Tensor, *more: Any) -> None:
        given.append(attended.shape[1])
        fit_stage(self, attended, *more)

    monkeypatch.setattr(network.ProposedNetwork, "fit_stage", watched)
    at_once = run(options=options)
    steps = given.copy()
    assert len(steps) == 1 and steps[0] > 1
    monkeypatch.setattr(training, "HELD_BYTES", 1)
    by_step = run(options=options)
    assert given[1:] == (steps if "lda_shared" in options else [1] * steps[0])
    assert course(by_step) == course(at_once)


def test_as_many_steps_are_fitted_at_once_as_memory_holds() -> None:
    each = 28_709 * 4 * 256
    assert training.steps_at_once(28_709, 4 * 256) == training.HELD_BYTES // each > 1
    assert training.steps_at_once(10**9, 4 * 256) == 1


def test_the_svm_is_fitted_when_all_training_is_over() -> None:
    record, model = train(faces(), "cnn-svm", TINY, "official", keep=False, device="cpu", precision="32-true")
    assert bool(model.fitted)
    x, _ = training.Images(
        training.pixels_for(faces().part("test"), TINY), faces().part("test").labels, TINY, torch.device("cpu")
    ).batch(torch.arange(8))
    with torch.no_grad():
        logits, parts = model(x)
    torch.testing.assert_close(logits, parts["features"] @ model.svm_weight.T + model.svm_bias)  # type: ignore[operator]
    assert logits.argmax(1).tolist() == record["predictions"]["predicted"]


# ------------------------------------------------------------------------------------------ what comes out, and where


def test_the_saved_network_gives_the_records_predictions(tmp_path: Path) -> None:
    record, model = train(faces(), "proposed", TINY, "official", folder=tmp_path, options=SMALL, device="cpu")
    assert not any(m.training for m in model.modules())
    (place,) = tmp_path.rglob("best.pt")
    loaded, description = training.load_model(place)
    assert not any(m.training for m in loaded.modules())
    assert training.recipe_of(description) == TINY
    assert description["classes"] == list(FER_CLASSES[:4])
    probabilities = training.probabilities(loaded, TINY, faces().part("test"))
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert probabilities.argmax(1).tolist() == record["predictions"]["predicted"]
    np.testing.assert_allclose(probabilities.max(1), record["predictions"]["confidence"], atol=0.02)
    assert [p.name for p in place.parent.iterdir() if p.suffix == ".pt"] == ["best.pt"]  # last.pt is done with


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_what_is_no_checkpoint_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "best.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"best.pt: (no such|not a) checkpoint"):
        training.load_model(path)


def test_a_finished_run_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path)
    (path,) = tmp_path.glob("*/*/*/*.json")
    before = path.read_bytes()
    monkeypatch.setattr(training.Trainer, "__init__", lambda *_: pytest.fail("must not begin"))
    with pytest.raises(FileExistsError, match="a record is never overwritten"):
        run(tmp_path)
    assert path.read_bytes() == before


def test_a_trial_has_a_place_of_its_own_and_may_be_repeated(tmp_path: Path) -> None:
    run(tmp_path)
    for _ in range(2):
        trial = run(tmp_path, epochs=2, limit=20)
    assert trial["complete"] is False
    assert trial["recipe"]["epochs"] == [1, 1]
    assert trial["split"]["train"] == trial["data"]["limit"] == 20
    assert [r["path"].split("/")[1] for r in results.load_all(tmp_path)] == ["tiny", "tiny-trial"]
    assert len(results.load_all(tmp_path, recipe="tiny")) == 1


def test_a_live_experiment_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_REPRO_RESULTS", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)
    run()
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------- what survives a kill

KILLED = """
import os, signal, sys
sys.path[:0] = [{tests!r}, {root!r}]
import torch
torch.set_num_threads(1)
import test_training as t
from pathlib import Path

def die_at(step):
    taken, original = [], t.training.Trainer._step
    def counted(self, *given):
        taken.append(1)
        if len(taken) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *given)
    t.training.Trainer._step = counted
    t.run(Path({folder!r}) / str(step))

for step in {steps!r}:
    child = os.fork()
    if child == 0:
        die_at(step)
        os._exit(1)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
"""


def test_killed_in_mid_epoch_and_started_again_it_ends_with_the_same_numbers(
    undisturbed: results.Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = (2, 4, 5, 8)  # in epoch 1 before any checkpoint, in epoch 2, at the start of stage two, in the last step
    script = KILLED.format(tests=str(ROOT / "tests"), root=str(ROOT), folder=str(tmp_path), steps=steps)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    taken: list[int] = []
    step = training.Trainer._step
    monkeypatch.setattr(training.Trainer, "_step", lambda self, *a: (taken.append(1), step(self, *a))[1])
    for killed_at, left in zip(steps, (8, 6, 4, 2)):
        folder = tmp_path / str(killed_at)
        assert results.load_all(folder) == []
        taken.clear()
        again = run(folder)
        assert len(taken) == left, "it goes on where the last epoch ended"
        assert course(again) == course(undisturbed)
        assert len(results.load_all(folder)) == 1


def interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch, after: int = 4, **given: Any) -> Path:
    """Stop a run after some steps, as Ctrl-C does; return its checkpoint."""
    step, taken = training.Trainer._step, []

    def counted(self: training.Trainer, *a: Any) -> torch.Tensor:
        taken.append(1)
        if len(taken) > after:
            raise KeyboardInterrupt
        return step(self, *a)

    with monkeypatch.context() as patch:
        patch.setattr(training.Trainer, "_step", counted)
        with pytest.raises(KeyboardInterrupt):
            run(folder, **given)
    (path,) = folder.rglob("last.pt")
    return path


@pytest.mark.parametrize(
    "given",
    [
        {"recipe": replace(TINY, learning_rate=1e-3)},
        {"faces": faces(seed=5)},
        {"precision": "bf16-mixed"},
    ],
    ids=["another recipe", "other faces", "another precision"],
)
def test_a_checkpoint_of_something_else_is_not_taken_up(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(tmp_path, monkeypatch)
    assert course(run(tmp_path, **given)) == course(run(**given))


def test_a_checkpoint_of_other_code_is_not_taken_up_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(tmp_path, monkeypatch)
    monkeypatch.setattr(training, "METHOD", training.METHOD[1:])
    monkeypatch.setattr(training, "method_digest", training.method_digest.__wrapped__)  # as in another process
    taken: list[int] = []
    step = training.Trainer._step
    monkeypatch.setattr(training.Trainer, "_step", lambda self, *a: (taken.append(1), step(self, *a))[1])
    run(tmp_path)
    assert len(taken) == 8
    assert "last.pt is of other code, data or settings, and is kept as last-" in capsys.readouterr().err


def test_settings_tried_in_between_cost_no_epoch(
    undisturbed: results.Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = interrupted(tmp_path, monkeypatch)
    begun = len(resumed(path).curves)
    assert begun > 0
    interrupted(tmp_path, monkeypatch, recipe=replace(TINY, learning_rate=1e-3))
    (kept,) = path.parent.glob("last-*.pt")
    assert f"is kept as {kept.name}" in capsys.readouterr().err
    assert len(resumed(path).curves) == begun  # and now the other's is aside
    assert course(run(tmp_path)) == course(undisturbed)
    (other,) = path.parent.glob("last*.pt")
    assert other != kept and other.name.startswith("last-")


def test_every_module_that_a_network_or_a_step_is_made_of_counts_as_the_method() -> None:
    others = {"claims.py", "metrics.py", "recipe.py", "results.py"}  # what a run is told, how it is judged and kept
    package = Path(training.__file__).parent
    seen: set[str] = set()
    left = ["training.py", "network.py"]
    while left:
        name = left.pop()
        seen.add(name)
        for node in ast.walk(ast.parse((package / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("fer_repro", ""):
                within = node.module.split(".")[1:]
                found = [within[0]] if within else [alias.name for alias in node.names]
                left += [f for n in found if (package / (f := f"{n}.py")).is_file() and f not in seen | others]
    assert set(training.METHOD) == seen | {path.name for path in package.glob("*.c")}


def test_a_damaged_checkpoint_only_means_to_begin_anew(
    undisturbed: results.Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = interrupted(tmp_path, monkeypatch)
    for spoilt in (path.read_bytes()[:1000], flipped(path)):
        path.write_bytes(spoilt)
        trainer = resumed(path)
        assert not trainer.curves
        assert "last.pt cannot be read" in capsys.readouterr().err
    assert course(run(tmp_path)) == course(undisturbed)


@pytest.mark.parametrize("content", [{"a": 1}, [1, 2], {"key": "other"}])
def test_a_checkpoint_of_something_foreign_only_means_to_begin_anew(
    content: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = interrupted(tmp_path, monkeypatch)
    assert resumed(path).curves
    torch.save(content, path)
    assert not resumed(path).curves
    assert "this run begins anew" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("fold"), "without fold"),
        (lambda s: s["recipe"].update(unheard_of=1), "of another version, whose recipe has unheard_of"),
        (lambda s: next(iter(s["model_state"].values())).fill_(np.nan), "is not finite"),
    ],
)
def test_a_network_that_is_not_whole_or_of_another_version_is_refused(
    spoil: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    run(tmp_path)
    (path,) = tmp_path.rglob("best.pt")
    state = training.load_checked(path)
    spoil(state)
    torch.save(state, path)
    with pytest.raises(TrainingError, match=f"best.pt: not a checkpoint of fer-repro, or damaged: .*{message}"):
        training.load_model(path)


def test_a_finished_network_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    (path,) = tmp_path.rglob("best.pt")
    path.write_bytes(flipped(path))
    with pytest.raises(TrainingError, match="does not have its checksum"):
        training.load_model(path)


def flipped(path: Path) -> bytes:
    """A checkpoint with one bit of one stored tensor changed: torch itself would load it."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    content[largest.header_offset + 30 + len(largest.filename) + largest.file_size // 2 + 64] ^= 1
    return bytes(content)


def resumed(path: Path) -> training.Trainer:
    """A trainer of the run that `interrupted` stops, after it has looked for its checkpoint."""
    job = training.job("synthetic", "proposed", TINY, "official", options=SMALL)
    trainer = training.Trainer(job, faces(), training.engine("cpu", "32-true"), path.parent, progress=False)
    trainer.resume()
    return trainer


def test_what_a_killed_process_left_half_saved_is_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = interrupted(tmp_path, monkeypatch)
    path.with_name(".last.pt.12345.tmp").write_bytes(b"half")
    run(tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))


def test_training_images_of_one_class_are_refused_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    one = faces()
    one.labels[one.split == "train"] = 2
    monkeypatch.setattr(training.Trainer, "_step", lambda *_: pytest.fail("was trained"))
    with pytest.raises(TrainingError, match="all of one class"):
        run(faces=one)


def test_bfloat16_is_taken_on_gpus_that_have_it_and_not_where_it_is_imitated(monkeypatch: pytest.MonkeyPatch) -> None:
    for native in (True, False):
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True, n=native: n or including_emulation
        )
        assert training.automatic_precision("cuda") == ("bf16-mixed" if native else "16-mixed")


def test_denormals_are_zero_within_and_what_they_were_before_after_it() -> None:
    assert denormals_count()
    with training.flushed_denormals():
        assert not denormals_count()
        with training.flushed_denormals():
            pass
        assert not denormals_count()
    with pytest.raises(KeyError), training.flushed_denormals():
        raise KeyError
    assert denormals_count()


def test_steps_are_taken_without_denormals_and_come_out_the_same(
    undisturbed: results.Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    step = training.Trainer._step

    def watched(*given: Any) -> Tensor:
        seen.append(denormals_count())
        return step(*given)

    monkeypatch.setattr(training.Trainer, "_step", watched)
    run()
    assert seen and not any(seen) and denormals_count()
    monkeypatch.setattr(training, "flushed_denormals", nullcontext)
    seen.clear()
    plain, flushed = course(run()), course(undisturbed)
    assert all(seen)
    assert plain["predictions"]["predicted"] == flushed["predictions"]["predicted"]
    for a, b in zip(plain["curves"], flushed["curves"], strict=True):
        assert a == pytest.approx(b, rel=1e-5)


@pytest.mark.parametrize(
    ("vendor", "flags", "precision"),
    [
        ("GenuineIntel", "avx512f avx512_bf16 amx_bf16 amx_tile", "bf16-mixed"),
        ("AuthenticAMD", "avx512f avx512_bf16", "bf16-mixed"),
        ("GenuineIntel", "avx512f avx512_bf16", "32-true"),  # a virtual machine that hides AMX
        ("AuthenticAMD", "avx2 fma", "32-true"),
    ],
)
def test_bfloat16_is_taken_on_processors_that_multiply_it_faster(
    vendor: str, flags: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "CPUINFO", tmp_path / "cpuinfo")
    assert training.automatic_precision("cpu") == "32-true"  # no such file: not Linux
    results.CPUINFO.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: fpu {flags}\n")
    assert training.automatic_precision("cpu") == precision


def test_a_run_continued_elsewhere_names_where_it_began_and_where_it_went_on(
    undisturbed: results.Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(tmp_path, monkeypatch)
    here, elsewhere = results.provenance(), {**results.provenance(), "machine": {"cpu": "another"}}
    monkeypatch.setattr(results, "provenance", lambda: dict(elsewhere))
    record = run(tmp_path)
    threads = {"threads": torch.get_num_threads()}
    assert (record["machine"], record["continued"]) == (here["machine"], [elsewhere | threads])
    assert "continued" not in undisturbed


class Half:
    """Fabric in 16-mixed on the CPU, with a scale to begin with."""

    def __init__(self, scale: float) -> None:
        self.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        plugin = MixedPrecision("16-mixed", "cpu", scaler=self.scaler)
        self.fabric = Fabric(accelerator="cpu", devices=1, plugins=[plugin])
        self.fabric.launch()

    def trainer(self, folder: Path) -> training.Trainer:
        job = training.job("synthetic", "cnn-lstm", TINY, options={"hidden": SMALL["hidden"]})
        return training.Trainer(job, protocol(faces(), "official"), self.fabric, folder, False)


def test_a_step_left_out_for_its_scale_is_none_of_the_schedules(tmp_path: Path) -> None:
    half = Half(2.0**40)
    trainer = half.trainer(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as that the schedule went before the optimiser
        trainer.run()
    assert half.scaler.get_scale() < 2.0**40
    steps = 2 * len(training.epoch_batches(len(trainer.images["train"]), TINY.batch_size, 0))
    assert trainer.schedule.last_epoch < steps


def test_the_scale_of_16_mixed_is_taken_up_between_the_stages(tmp_path: Path) -> None:
    first = Half(2.0**40)
    trainer = first.trainer(tmp_path)
    trainer._stage(1, 0, trainer.course[0])
    again = Half(2.0**40)
    assert again.trainer(tmp_path).resume()
    assert again.scaler.get_scale() == first.scaler.get_scale() < 2.0**40


def test_one_process_in_a_job_of_slurm_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NTASKS": "4", "JOB_NAME": "train", "JOB_ID": "1", "PROCID": "0", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert training.engine("cpu").world_size == 1


def test_a_mini_batch_too_small_for_its_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fabric, "world_size", 2)
    with pytest.raises(TrainingError, match="2 processes: wanted two images or more for each in a mini-batch, got 3"):
        run(limit=3)


def test_resuming_can_be_declined(undisturbed: results.Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(tmp_path, monkeypatch)
    monkeypatch.setattr(training.Trainer, "resume", lambda _: pytest.fail("was declined"))
    assert course(run(tmp_path, resume=False)) == course(undisturbed)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("file write failed")])
def test_a_full_disk_gives_one_message_and_keeps_the_earlier_checkpoint(
    error: Exception, undisturbed: results.Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = interrupted(tmp_path, monkeypatch)
    before = path.read_bytes()

    def half(state: Any, file: Any) -> None:
        file.write(before[:500])
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        with pytest.raises(TrainingError, match=r"last.pt: cannot be written \(.*\); is the disk full\?") as caught:
            run(tmp_path)
    assert caught.value.__suppress_context__
    assert path.read_bytes() == before
    assert not list(tmp_path.rglob("*.tmp"))
    assert course(run(tmp_path)) == course(undisturbed)  # from the earlier checkpoint, once there is room


# ------------------------------------------------------------------------------------------- two at one run

HOLDER = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_run_in_progress_is_left_to_its_process(tmp_path: Path) -> None:
    what = training.job("synthetic", "proposed", TINY, "official", options=SMALL)
    place = what.folder(tmp_path)
    place.mkdir(parents=True)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(place / "lock")], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(RunInProgress, match=r"another process is at this run .*lock is held"):
            run(tmp_path)
        assert results.load_all(tmp_path) == []
        run(tmp_path, seed=1)  # another run is free
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()
    run(tmp_path)  # a dead process holds nothing
    assert len(results.load_all(tmp_path)) == 2


def test_runs_that_must_not_meet_have_different_places(tmp_path: Path) -> None:
    base: dict[str, Any] = {"dataset": "synthetic", "model": "proposed", "recipe": TINY}
    others = [
        *({"seed": 1}, {"model": "cnn-lstm"}, {"epochs": 4}, {"limit": 9}, {"options": {"query": "last"}}),
        *({"recipe": replace(TINY, name="other")}, {"protocol": "subjects", "fold": 3}, {"dataset": "fer2013"}),
    ]
    places = {training.job(**{**base, **o}).folder(tmp_path) for o in [{}, *others]}
    assert len(places) == len(others)  # a trial by epochs and one by limit share the trial's place
    assert all(p.is_relative_to(tmp_path / ".runs") for p in places)


# --------------------------------------------------------------------------------------------------- two processes

RANK = """
import os, sys
sys.path[:0] = [{tests!r}, {root!r}]
import torch
torch.set_num_threads(1)
import test_training as t
from pathlib import Path
record, model = t.train(t.faces(), "proposed", t.PLAIN, "official", folder=Path({folder!r}), options=t.NO_CHANCE,
                        device="cpu", precision="32-true")
torch.save((record, model.state_dict()), Path({folder!r}) / ("rank" + os.environ["RANK"] + ".pt"))
"""
PLAIN = replace(TINY, dropout=0.0, rotate=0.0, flip=0.0, brightness=0.0, center_weight=0.01)
NO_CHANCE = {**SMALL, "norm": "none"}  # batch norm would see half a mini-batch in each of two processes


def launch(program: str, folder: Path) -> None:
    """Run a program in two processes of PyTorch's launcher, to its good end."""
    script = folder / "rank.py"
    script.write_text(program.format(tests=str(ROOT / "tests"), root=str(ROOT), folder=str(folder)), encoding="utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(launcher, capture_output=True, text=True, check=False, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_train_the_same_model(tmp_path: Path) -> None:
    launch(RANK, tmp_path)
    (one, weights), (other, others) = (torch.load(tmp_path / f"rank{r}.pt", weights_only=True) for r in (0, 1))
    assert one["processes"] == 2
    # the ranks hold one network and see one course
    for name, value in weights.items():
        torch.testing.assert_close(value, others[name], rtol=0, atol=0, msg=lambda m, n=name: f"{n}: {m}")
    assert course(one) == course(other)
    assert len(results.load_all(tmp_path)) == 1
    # and it is the network of one process: in stage one to rounding, batch norm stands only in stage two
    alone = run(recipe=PLAIN, options=NO_CHANCE)
    for a, b in zip(one["curves"][:2], alone["curves"][:2]):
        assert a["stage"] == b["stage"] == 1
        for key in ("train_loss", "center_loss", "val_loss"):
            assert a[key] == pytest.approx(b[key], rel=1e-4), key
        assert a["train_accuracy"] == b["train_accuracy"]
    assert one["split"] == alone["split"]


APART = """
import os, sys
sys.path[:0] = [{tests!r}, {root!r}]
import torch
torch.set_num_threads(1)
import test_training as t
from pathlib import Path
rank = os.environ["RANK"]

def course(folder):
    given = dict(device="cpu", precision="32-true", options=t.NO_CHANCE, folder=folder, keep=folder is not None)
    return t.course(t.train(t.faces(), "proposed", t.PLAIN, "official", **given)[0])

step, taken = t.training.Trainer._step, []
def counted(self, *a):
    taken.append(1)
    if len(taken) == 4:
        raise KeyboardInterrupt
    return step(self, *a)
t.training.Trainer._step = counted
folder = Path({folder!r}) / rank
try:
    course(folder)
except KeyboardInterrupt:
    assert bool(list(folder.rglob("last.pt"))) == (rank == "0")
    resumed = course(folder)
    assert len(taken) == 4 + 6, len(taken)
    assert resumed == course(None)
    (Path({folder!r}) / ("done" + rank)).touch()
"""


def test_processes_with_a_disk_each_resume_together(tmp_path: Path) -> None:
    launch(APART, tmp_path)
    assert (tmp_path / "done0").exists() and (tmp_path / "done1").exists()


# ---------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 1}, "epochs: wanted at least 2, one before and one after LDA is fitted, got 1"),
        ({"limit": 1}, "limit: wanted at least 2 training images, got 1"),
        ({"seed": -1}, "seed: wanted a number of 0 to 4294967295, got -1"),
        ({"model": "resnet"}, "no network is named 'resnet'"),
        ({"options": {"depth": 3}}, "unknown option"),
    ],
)
def test_what_cannot_be_trained_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"changes": {"batch_size": 0}}, "a batch of at least 2 images"),
        ({"changes": {"learning_rate": "fast"}}, "learning_rate: wanted a value such as 0.005, got 'fast'"),
        ({"changes": {"small_epochs": [0, 2]}}, "an epoch or more in both stages"),
        ({"changes": {"epochs": [3, 0]}}, "an epoch or more in both stages"),
        ({"changes": {"epochs": [3, 3]}, "epochs": 4}, "epochs is among the changes, too"),
        ({"changes": {"small_epochs": [2]}}, "small_epochs: wanted a value such as"),
        ({"changes": {"last_frames": -1}}, "last_frames: wanted 0 (all) or more, got -1"),
        ({"options": {"size": 64}}, "size cannot be chosen here"),
        ({"options": {"dropout": 0.1}, "changes": {"dropout": 0.5}}, "dropout is among the changes, too"),
        ({"options": {"hidden": "/../../evil"}}, "a run cannot be named"),
    ],
)
def test_a_variant_that_makes_no_sense_is_refused_before_anything_is_made(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        training.job("synthetic", "proposed", TINY, **given)


def test_last_frames_are_all_that_a_run_trains_on_and_tests() -> None:
    films = faces(112)
    films = replace(films, sequence=np.arange(112) // 4 % 5 * 100 + np.arange(112) % 4)  # one side of the split each
    ends = [int(np.flatnonzero(films.sequence == s)[-1]) for s in np.unique(films.sequence)]
    record = run(recipe=replace(TINY, last_frames=1), faces=films)
    assert {k: record["split"][k] for k in ("train", "val", "test")} == {"train": 12, "val": 4, "test": 4}
    assert record["data"]["fingerprint"] == films[np.sort(ends)].part("train").fingerprint()
    assert sorted(record["predictions"]["sequence"]) == [400, 401, 402, 403]


def test_numbers_of_one_value_name_one_run() -> None:
    jobs = [
        training.job("synthetic", "proposed", TINY, changes={"center_weight": w, "size": s})
        for w, s in ((0, 32), (0.0, 32.0))
    ]
    assert jobs[0] == jobs[1]
    assert jobs[0].record()["variant"] == "center_weight=0.0,size=32"


def test_a_record_names_the_code_that_ran_and_not_what_was_committed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    commits = iter(("before", *["after"] * 9))
    monkeypatch.setattr(results, "_code", lambda: {"commit": next(commits), "dirty": False})
    assert run()["code"]["commit"] == "before"


def test_a_loss_on_validation_images_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.Trainer, "_validate", lambda self: {"val_loss": math.inf, "val_accuracy": 0.5})
    with pytest.raises(TrainingError, match="epoch 1: the validation loss is inf"):
        run()


def test_where_every_test_image_has_a_twin_nothing_is_scored_without_them() -> None:
    ds = faces()
    where = {part: np.flatnonzero(ds.split == part) for part in ("train", "test")}
    ds.images[where["test"]] = ds.images[where["train"][: len(where["test"])]]
    record = run(faces=ds)
    assert record["test_without_duplicates"] is None
    assert record["test"]["n"] == len(where["test"])


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match="wanted one of official, subjects, sequences, frames, got 'tenfold'"):
        train(faces(), "proposed", TINY, "tenfold", keep=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(TrainingError, match="CUDA was asked for, and torch finds no GPU; try --device cpu"):
        run(device="cuda")


def test_divergence_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "augment", lambda x, *_, **__: x * float("nan"))
    with pytest.raises(TrainingError, match="epoch 1: the loss is nan: training diverged"):
        run()


def test_errors_leave_the_run_free_for_another_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(training, "augment", lambda x, *_, **__: x * float("nan"))
        with pytest.raises(TrainingError):
            run(tmp_path)
    assert results.load_all(tmp_path) == []
    run(tmp_path)


# ------------------------------------------------------------------------------------------------- one vote a sequence


def test_sequences_are_scored_by_one_vote_each() -> None:
    n = 6
    ds = FaceDataset(
        np.zeros((n, 4, 4), np.uint8),
        np.array([0, 0, 0, 1, 1, 1]),
        FER_CLASSES[:2],
        np.full(n, "test"),
        np.array([7] * 3 + [8] * 3),
        np.array([1] * 3 + [2] * 3),
        "ckplus",
    )
    found = training.sequence_scores(ds, np.array([0, 1, 0, 0, 0, 1]), np.full(n, 0.5))
    assert found is not None
    assert found["n"] == 2
    assert found["predicted"] == [0, 0]
    assert found["accuracy"] == 0.5
    assert training.sequence_scores(faces(), np.zeros(56, np.int64), np.zeros(56)) is None


def test_compiling_changes_nothing_beyond_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """As PyTorch traces and differentiates the network ahead, without the code it would then write (slow to make)."""
    made: list[dict[str, Any]] = []

    def traced(module: Any, **given: Any) -> Any:
        if "options" in given:  # ours; Fabric compiles anew what it has wrapped, as it was compiled before
            made.append(given.pop("options"))
            given["backend"] = "aot_eager"
        return torch_compile(module, **given)

    torch_compile = torch.compile
    monkeypatch.setattr(torch, "compile", traced)
    plain, compiled = run(compiled=False), run(compiled=True)
    assert (plain["compiled"], compiled["compiled"]) == (False, True)
    assert [options["triton.cudagraphs"] for options in made] == [False, False]  # a stage each, on the CPU
    for a, b in zip(plain["curves"], compiled["curves"], strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-3)
        assert a["center_loss"] == pytest.approx(b["center_loss"], rel=1e-3)


class Uncompilable(torch.nn.Module):
    """A network that fails forwards, or only backwards, as one whose code cannot be made."""

    def __init__(self, module: torch.nn.Module, backwards: bool) -> None:
        super().__init__()
        self.module, self.backwards = module, backwards

    def forward(self, x: torch.Tensor) -> Any:
        logits, features = self.module(x)
        if not self.backwards:
            raise RuntimeError("no compiler\nand more")
        logits.register_hook(lambda _: (_ for _ in ()).throw(RuntimeError("no compiler")))
        return logits, features


@pytest.mark.parametrize("backwards", [False, True])
def test_what_cannot_be_compiled_is_trained_as_it_is_and_that_is_said(
    backwards: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(compiled=False)
    monkeypatch.setattr(torch, "compile", lambda module, **_: Uncompilable(module, backwards))
    with pytest.warns(UserWarning, match=r"cannot be compiled \(RuntimeError: no compiler\); training goes on without"):
        record = run(compiled=True)
    assert record["compiled"] is False
    assert course(record) == course(plain)


def test_the_cpu_does_not_compile_by_itself() -> None:
    assert run()["compiled"] is False


@pytest.mark.parametrize("name", ["proposed", "cnn-svm"])
def test_a_loaded_network_knows_that_it_is_fitted(name: str) -> None:
    _, model = train(
        faces(),
        name,
        TINY,
        "official",
        device="cpu",
        precision="32-true",
        keep=False,
        options=SMALL if name == "proposed" else {},
    )
    again = network.build(name, 4, 16, **(SMALL if name == "proposed" else {}))
    part = again.lda if name == "proposed" else again
    assert not part.ready
    again.load_state_dict(model.state_dict())
    assert part.ready and bool(part.fitted)
    x = torch.randn(3, 1, 16, 16)
    torch.testing.assert_close(again.eval()(x)[0], model(x)[0])


def test_batches_are_joined_in_order_and_their_number_is_checked() -> None:
    x = torch.randn(10, 3, 2).bfloat16()
    assert torch.equal(training.joined(iter(x.split(4)), 10), x)
    assert training.joined(iter(x.split(4)), 10).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="wanted 11 rows, got 10"):
        training.joined(iter(x.split(4)), 11)


def test_the_test_set_is_not_looked_at_before_the_end(undisturbed):
    other = faces()
    other.images[other.split == "test"] = 255 - other.images[other.split == "test"]
    again, before = course(run(faces=other)), course(undisturbed)
    assert again["data"]["test_fingerprint"] != before["data"]["test_fingerprint"]
    assert (again["curves"], again["best_epoch"]) == (before["curves"], before["best_epoch"])


def test_validation_images_decide_on_the_epoch_and_train_nothing(undisturbed):
    other = faces()
    other.images[other.split == "val"] = 255 - other.images[other.split == "val"]
    again, before = course(run(faces=other))["curves"], course(undisturbed)["curves"]
    assert [row["val_loss"] for row in again] != [row["val_loss"] for row in before]
    assert [row["train_loss"] for row in again] == [row["train_loss"] for row in before]


@pytest.mark.parametrize(
    "changes",
    [
        *({"learning_rate": 1e-3}, {"second_peak": 0.1}, {"weight_decay": 0.5}, {"clip": 0.01}, {"dropout": 0.5}),
        *({"center_weight": 0.5}, {"center_rate": 0.1}, {"median_kernel": 1}, {"gcn_scale": 2.0}),
        *({"gcn_lambda": 1000.0}, {"gcn_epsilon": 500.0}, {"rotate": 0.0}, {"flip": 0.0}, {"brightness": 0.0}),
    ],
    ids=str,
)
def test_every_number_of_a_recipe_reaches_training(changes, undisturbed):
    assert course(run(changes=changes))["curves"] != course(undisturbed)["curves"]


def test_the_best_epoch_is_the_most_accurate_then_that_of_least_loss_then_the_first():
    trainer = object.__new__(training.Trainer)
    trainer.model, trainer.best = torch.nn.Linear(1, 1), {"val_accuracy": -1.0, "val_loss": np.inf}
    kept = []
    for epoch, (accuracy, loss) in enumerate([(0.5, 1.0), (0.5, 2.0), (0.5, 0.5), (0.5, 0.5), (0.4, 0.1), (0.6, 9.0)]):
        trainer._keep_best({"epoch": epoch, "val_accuracy": accuracy, "val_loss": loss})
        kept.append(trainer.best["epoch"])
    assert kept == [0, 0, 2, 2, 2, 5]


def test_what_has_a_twin_in_training_is_left_out_of_the_second_score():
    ds = faces()
    where = {part: np.flatnonzero(ds.split == part) for part in ("train", "test")}
    ds.images[where["test"][:3]] = ds.images[where["train"][:3]]
    record = run(faces=ds)
    found = record["predictions"]
    assert found["duplicate"] == [0, 1, 2]
    others = [np.array(found[k])[3:] for k in ("label", "predicted")]
    apart = record["test_without_duplicates"]
    assert apart["n"] == len(where["test"]) - 3
    assert apart["accuracy"] == pytest.approx(metrics.scores(*others, 4)["accuracy"], abs=1e-6)
