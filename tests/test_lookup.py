"""The first two blocks by table: the plain layers' values, gradients and statistics, and what happens without C."""

from __future__ import annotations

import copy
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fer_repro import data, lookup, training
from fer_repro.cnn import CONVOLUTIONS, Convolution, SevenLayerCNN, without_first_maps
from fer_repro.recipe import get

compiled = pytest.mark.skipif(
    not any(map(shutil.which, lookup.COMPILERS)), reason="no C compiler: the table is not tested (apt-get install gcc)"
)
CLOSE = {"rtol": 2e-5, "atol": 2e-5}  # float32, a few sums long


def images(n: int = 4, height: int = 24, width: int = 24, seed: int = 0) -> Tensor:
    """Return images whose neighbours are alike, as a face's are."""
    chance = torch.Generator().manual_seed(seed)
    rough = torch.randn(n, 1, height // 4 + 2, width // 4 + 2, generator=chance)
    smooth = nn.functional.interpolate(rough, (height, width), mode="bilinear", align_corners=False)
    return smooth + 0.05 * torch.randn(smooth.shape, generator=chance)


def network(seed: int = 0, **options: object) -> SevenLayerCNN:
    """Return a network with batch norms that a trained one could have, negative weights among them."""
    torch.manual_seed(seed)
    made = SevenLayerCNN(**options)  # type: ignore[arg-type]
    with torch.no_grad():
        for block in made.blocks[:2]:
            block.norm.weight.copy_(torch.randn(32))
            block.norm.bias.copy_(0.5 * torch.randn(32))
    return made


def outcome(model: SevenLayerCNN, x: Tensor, bf16: bool = False, tabled: bool = False) -> dict[str, Tensor]:
    """Return output, gradients and running statistics of one step in training, in double."""
    model = copy.deepcopy(model).train()
    with without_first_maps(model), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        if tabled:
            assert model._by_table(x)
        else:
            model.first_maps = True
        out, parts = model(x)
    assert ("block1" in parts) != tabled
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    (out * weights).sum().backward()
    found = {"out": out.detach(), "block2": parts["block2"].detach()}
    found |= {f"gradient of {name}": p.grad for name, p in model.named_parameters()}
    return {name: t.double() for name, t in (found | dict(model.named_buffers())).items()}


def off(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, float]:
    """Return how far each number is off at most, over the largest wanted one."""
    assert found.keys() == wanted.keys()
    return {name: float((found[name] - t).abs().max() / t.abs().max().clamp(min=1e-12)) for name, t in wanted.items()}


@compiled
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("height", "width"), [(40, 40), (47, 44), (42, 51), (128, 128)])
def test_values_gradients_and_statistics_are_the_plain_layers(height: int, width: int, padding: str) -> None:
    plain = network(fast=False, padding=padding)
    fast = network(fast=True, padding=padding)
    x = images(5, height, width)
    exact = outcome(plain.double(), x.double())
    found = off(outcome(fast, x, tabled=True), exact)
    assert max(found.values()) < 1e-3, found  # a pixel that rounding moves across a kink, in a sum of a few hundred
    assert np.median(list(found.values())) < 3e-6
    assert found["out"] < 1e-5 and found["blocks.1.norm.running_var"] < 1e-6


@compiled
def test_in_float32_it_is_as_near_to_double_precision_as_the_plain_layers() -> None:
    plain, fast, x = network(fast=False), network(fast=True), images(8, 48, 48)
    exact = outcome(copy.deepcopy(plain).double(), x.double())
    ours, theirs = off(outcome(fast, x, tabled=True), exact), off(outcome(plain, x), exact)
    assert ours["block2"] < 2 * theirs["block2"]
    for name in exact:
        if "blocks.1" in name and "num_batches" not in name:
            assert ours[name] < 5 * theirs[name] + 1e-6, name


@compiled
def test_in_bfloat16_it_is_nearer_to_double_precision_than_the_plain_layers() -> None:
    plain, fast, x = network(fast=False), network(fast=True), images(8, 48, 48)
    exact = outcome(copy.deepcopy(plain).double(), x.double())
    ours, theirs = off(outcome(fast, x, True, tabled=True), exact), off(outcome(plain, x, True), exact)
    assert ours["block2"] < theirs["block2"] < 0.1
    for name in ("gradient of blocks.1.convolution.weight", "gradient of blocks.1.norm.weight"):
        assert ours[name] < 1.5 * theirs[name] < 0.2, name


@compiled
@pytest.mark.parametrize("slope", [1.0, -1.0])
def test_all_channels_may_rise_or_fall(slope: float) -> None:
    plain, fast, x = network(fast=False), network(fast=True), images()
    for model in (plain, fast):
        with torch.no_grad():
            model.blocks[0].convolution.weight.abs_()
            model.blocks[0].norm.weight.abs_().mul_(slope)
    found = off(outcome(fast, x, tabled=True), outcome(plain.double(), x.double()))
    assert max(found.values()) < 1e-3, found


@compiled
def test_flat_channels_are_active_everywhere_or_nowhere_but_not_in_the_padding() -> None:
    plain, fast, x = network(fast=False), network(fast=True), images()
    for model in (plain, fast):
        with torch.no_grad():
            model.blocks[0].norm.weight[:4] = 0
            model.blocks[0].norm.bias[:4] = torch.tensor([0.5, -0.5, 0.0, 2.0])
    found = off(outcome(fast, x, tabled=True), outcome(plain.double(), x.double()))
    assert found["out"] < 1e-5 and found["gradient of blocks.1.convolution.weight"] < 1e-5, found
    assert found["gradient of blocks.0.norm.bias"] < 1e-4


@compiled
def test_the_second_norms_zero_weights_pass_no_gradient_on() -> None:
    plain, fast, x = network(fast=False), network(fast=True), images()
    for model in (plain, fast):
        with torch.no_grad():
            model.blocks[1].norm.weight[::2] = 0
    found = off(outcome(fast, x, tabled=True), outcome(plain.double(), x.double()))
    assert found["out"] < 1e-5 and found["gradient of blocks.0.norm.bias"] < 1e-4, found


@compiled
@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_share_the_images_and_add_up_in_order(n: int, threads: int) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = outcome(network(), images(n), tabled=True)
        torch.set_num_threads(threads)
        first, again = (outcome(network(), images(n), tabled=True) for _ in range(2))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(t, again[name]) for name, t in first.items())
    assert max(off(first, alone).values()) < 1e-5


@compiled
def test_both_forms_train_alike_for_many_steps() -> None:
    courses = []
    for tabled in (True, False):
        cnn = network().train()
        torch.manual_seed(1)
        head = nn.Linear(64 * 3 * 3, 3)
        optimizer = torch.optim.AdamW([*cnn.parameters(), *head.parameters()], lr=3e-3)
        losses = []
        for step in range(30):
            x, y = images(16, seed=step), torch.arange(16) % 3
            if tabled:
                with without_first_maps(cnn):
                    out = cnn(x)[0]
            else:
                out = cnn(x)[0]
            loss = nn.functional.cross_entropy(head(out.flatten(1)), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        courses.append((losses, cnn.state_dict()))
    (ours, state), (theirs, wanted) = courses
    assert theirs[-1] != pytest.approx(theirs[0], rel=0.05)  # it moved
    np.testing.assert_allclose(ours, theirs, rtol=5e-3)
    mean = "blocks.1.norm.running_mean"
    torch.testing.assert_close(state[mean], wanted[mean], rtol=0.02, atol=0.02)


@compiled
def test_a_diverged_network_shows() -> None:
    model = network()
    with torch.no_grad():
        model.blocks[0].norm.weight[3] = torch.nan
    with without_first_maps(model):
        assert model._by_table(images())
        assert model(images())[0].isnan().any()


# ---------------------------------------------------------------------------------------------------- where it applies


@compiled
def test_the_first_maps_are_left_out_only_where_that_was_asked_for_and_only_in_training() -> None:
    model, x = network(), images()
    assert "block1" in model(x)[1]
    with without_first_maps(nn.Sequential(model)) as can:
        assert can and list(model(x)[1]) == ["block2", "block3"]
        assert "block1" in model.eval()(x)[1]
        assert "block1" in model.train()(x.requires_grad_())[1]  # the gradient by the images is the plain layers'
    assert "block1" in model(x)[1]


@compiled
@pytest.mark.parametrize(
    "options",
    [
        {"fast": False},
        {"norm": "after"},
        {"norm": "none"},
        {"separable": True},
        {"pool_after": (2, 3, 4)},
        {"pool_after": (1, 3, 4)},
        {"convolutions": CONVOLUTIONS[:1], "pool_after": (1,)},
        {"convolutions": (Convolution(1, 32), Convolution(5, 16)), "pool_after": (1, 2)},
        {"convolutions": (Convolution(1, 32), Convolution(3, 32)), "pool_after": (1, 2)},
        {"convolutions": (Convolution(3, 32), Convolution(5, 32)), "pool_after": (1, 2)},
    ],
)
def test_other_networks_take_their_ordinary_layers(options: dict[str, object]) -> None:
    torch.manual_seed(0)
    model = SevenLayerCNN(**options)  # type: ignore[arg-type]
    with without_first_maps(model) as can:
        assert not can and not model._by_table(images())
        assert model(images())[0].isfinite().all()


@compiled
def test_two_blocks_and_another_number_of_first_channels_will_do() -> None:
    made = {}
    for fast in (False, True):
        torch.manual_seed(0)
        how = {"convolutions": (Convolution(1, 7), Convolution(5, 32)), "pool_after": (1, 2), "fast": fast}
        model = SevenLayerCNN(**how)  # type: ignore[arg-type]
        with without_first_maps(model) as can:
            assert can == fast
            made[fast], parts = model(images())
            assert list(parts) == ([] if fast else ["block1"])
    torch.testing.assert_close(made[True], made[False], **CLOSE)


@compiled
def test_images_too_small_for_the_second_block_are_refused() -> None:
    model = network(padding="valid")
    with without_first_maps(model), pytest.raises(ValueError, match="images of 10x10 pixels are too small"):
        model(images(2, 10, 10))


@compiled
def test_training_takes_it_and_its_record_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = data.load("synthetic", n=120)
    calls = []
    call = lookup._call
    monkeypatch.setattr(lookup, "_call", lambda function, *a: (calls.append(function), call(function, *a))[1])

    def run() -> dict[str, object]:
        how = {"device": "cpu", "precision": "32-true", "epochs": 2, "keep": False}
        return training.train(faces, "proposed", get("native48"), **how)[0]  # type: ignore[arg-type]

    ours = run()
    steps = calls.count("fer_repro_forward")
    assert ours["tabled"] is True and steps > 0 and calls.count("fer_repro_backward") == steps
    monkeypatch.setattr(lookup, "_library", lambda: None)
    theirs = run()
    assert theirs["tabled"] is False and calls.count("fer_repro_forward") == steps
    for a, b in zip(ours["curves"], theirs["curves"], strict=True):  # type: ignore[call-overload]
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=0.02)


# ------------------------------------------------------------------------------------------------------------ compiling


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Give an empty cache and forget what was compiled."""
    monkeypatch.setenv("FER_REPRO_CACHE", str(tmp_path / "cache"))
    lookup._library.cache_clear()
    yield tmp_path / "cache"
    lookup._library.cache_clear()


def test_without_a_compiler_the_ordinary_convolution_is_taken(anew: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup.shutil, "which", lambda name: None)
    model = network()
    assert not lookup.available()
    with without_first_maps(model) as can:
        assert not can and "block1" in model(images())[1]
    second, ones = model.blocks[1], torch.ones(32)
    with pytest.raises(RuntimeError, match=r"lookup\.c: wanted a C compiler, got none"):
        lookup.second_block(images(), ones, ones, second.convolution, second.norm, torch.float32)
    assert not anew.exists()


@compiled
def test_what_was_compiled_is_kept_and_a_damaged_file_is_made_anew(anew: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lookup.available()
    (kept,) = anew.iterdir()
    whole = kept.read_bytes()
    compilations = []
    compiles = lookup._compile
    monkeypatch.setattr(lookup, "_compile", lambda *a: (compilations.append(a), compiles(*a))[1])
    lookup._library.cache_clear()
    assert lookup.available() and not compilations
    kept.unlink()
    kept.write_bytes(whole[:1000])
    lookup._library.cache_clear()
    assert lookup.available() and len(compilations) == 1
    assert kept.read_bytes() == whole and list(anew.iterdir()) == [kept]


@compiled
def test_another_processor_or_another_source_has_a_file_of_its_own(anew: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lookup.available()
    monkeypatch.setattr(lookup, "_processor", lambda: "another")
    lookup._library.cache_clear()
    assert lookup.available() and len(list(anew.iterdir())) == 2
    changed = anew.parent / "lookup.c"
    changed.write_text(lookup.SOURCE.read_text(encoding="utf-8") + "/* changed */\n", encoding="utf-8")
    monkeypatch.setattr(lookup, "SOURCE", changed)
    lookup._library.cache_clear()
    assert lookup.available() and len(list(anew.iterdir())) == 3


@compiled
def test_a_compiler_that_fails_is_named_and_costs_only_time(
    anew: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = anew.parent / "lookup.c"
    broken.write_text("no C at all\n", encoding="utf-8")
    monkeypatch.setattr(lookup, "SOURCE", broken)
    with caplog.at_level(logging.WARNING):
        assert not lookup.available()
    assert "lookup.c is not compiled, training takes the ordinary convolution" in caplog.text
    assert "error" in caplog.text and list(anew.iterdir()) == []


@compiled
def test_a_cache_that_cannot_be_written_costs_only_time(
    anew: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    anew.write_text("a file, not a folder", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert not lookup.available()
    assert "is not compiled" in caplog.text


def test_the_source_is_installed_with_the_package() -> None:
    assert lookup.SOURCE.is_file() and lookup.SOURCE.name in training.METHOD and "lookup.py" in training.METHOD
