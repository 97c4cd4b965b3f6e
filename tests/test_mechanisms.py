"""Mechanisms by knob: the plan is sound, the measures are what they say, and a tiny experiment goes from end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from conftest import row_labels

from fer_repro import claims, figures, mechanisms, paper, training
from fer_repro.cnn import SevenLayerCNN
from fer_repro.data import synthetic
from fer_repro.figures import mechanisms as pictures
from fer_repro.recipe import RECIPES

TINY = mechanisms.Setting(faces=120, epochs=2, test_faces=42)
BY_ID = {m.id: m for m in mechanisms.MEASUREMENTS}


@pytest.fixture(scope="module")
def pointwise():
    return mechanisms.measure(BY_ID["pointwise"], seeds=[0, 1], setting=TINY)


# -- the plan


def test_every_measurement_names_a_mechanism_a_knob_and_networks_that_exist():
    known = {c.id for c in paper.CLAIMS if c.kind == "mechanism"}
    assert len(BY_ID) == len(mechanisms.MEASUREMENTS)
    for m in mechanisms.MEASUREMENTS:
        assert m.claim in known
        assert {arm for arm, _ in m.series.values()} <= set(mechanisms.ARMS)
        assert (m.better is None) == (m.with_ is None) == (m.without is None)
        assert m.better is None or {m.with_, m.without} <= set(m.series)
        if m.knob in synthetic.Knobs.units():
            low, high, _ = synthetic.Knobs.units()[m.knob]
            assert all(low <= x <= high for x in m.x)
        else:
            assert m.knob in ("epoch", "directions")


def test_exploratory_measurements_are_marked_in_the_plan_and_in_what_is_read():
    marked = {m.id for m in mechanisms.MEASUREMENTS if m.exploratory}
    assert marked == set(claims.EXPLORATORY)
    assert marked == {"occlusion-learned", "blur-learned", "center-strong", "pointwise-alone"}
    assert all("exploratory" in BY_ID[id].note.lower() for id in marked)
    assert {r["id"] for r in claims.load_mechanisms() if r["exploratory"]} <= marked
    assert {m.claim for m in mechanisms.MEASUREMENTS if m.better and not m.exploratory} == {
        m.claim for m in mechanisms.MEASUREMENTS
    }  # no claim rests on exploration


def test_every_nuisance_knob_is_measured_with_nothing_in_the_way():
    for m in mechanisms.MEASUREMENTS:
        if m.knob in claims.CLEAN and m.measure == mechanisms._ACCURACY:
            assert claims.CLEAN[m.knob] in m.x
    assert set(claims.CLEAN) <= {m.knob for m in mechanisms.MEASUREMENTS}


def test_what_is_not_judged_says_why():
    assert all(m.note for m in mechanisms.MEASUREMENTS if m.better is None)


def test_nobody_stands_in_training_and_test():
    train = mechanisms.training_faces(0, TINY)
    test = mechanisms.test_faces(TINY)
    assert not {x.tobytes() for x in train.images} & {x.tobytes() for x in test.images}
    assert synthetic.person(0, seed=0) != synthetic.person(0, seed=mechanisms.OTHER_PEOPLE)


def test_a_knob_moves_nothing_else():
    plain, noisy = (mechanisms.test_faces(TINY, salt_pepper=s) for s in (0.0, 0.05))
    assert np.array_equal(plain.labels, noisy.labels)
    changed = plain.images != noisy.images
    assert 0.02 < changed.mean() < 0.06
    assert set(np.unique(noisy.images[changed])) <= {0, 255}


# -- the measures


def test_spreads_against_loops_and_their_share_does_not_feel_scale():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)) + np.arange(30)[:, None] % 3, np.arange(30) % 3
    means = [np.mean([v for v, c in zip(x, y, strict=True) if c == k], axis=0) for k in range(3)]
    within = np.mean([np.mean([((v - means[k]) ** 2).sum() for v in x[y == k]]) for k in range(3)])
    between = np.mean([((m - sum(means) / 3) ** 2).sum() for m in means])
    assert mechanisms.spreads(x, y) == pytest.approx((within, between))
    scaled = mechanisms.spreads(7 * x, y)
    assert scaled[0] / sum(scaled) == pytest.approx(within / (within + between))


def test_redundancy_is_the_mean_correlation_of_pairs():
    maps = np.random.default_rng(1).normal(size=(6, 4, 3, 2))
    maps[:, 3] = -2 * maps[:, 0]
    pairs = [abs(np.corrcoef(maps[:, i].ravel(), maps[:, j].ravel())[0, 1]) for i in range(4) for j in range(i)]
    assert mechanisms._redundancy(maps) == pytest.approx(np.mean(pairs))
    with_dead = np.concatenate([maps, np.zeros((6, 1, 3, 2))], axis=1)
    assert mechanisms._redundancy(with_dead) == pytest.approx(np.mean(pairs))


def test_covered_steps_are_the_rows_behind_a_bar():
    plain = np.full((2, 12, 12), 90, np.uint8)
    hidden = plain.copy()
    hidden[0, 2:6] = 10  # rows 2..5: half of the first step of four rows, half of the second
    hidden[1, :, 3:7] = 10  # upright: no whole row
    share = mechanisms._covered_steps(plain, hidden, 3)
    assert np.allclose(share, [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])


def test_lda_keeps_what_separates_where_pca_follows_the_spread():
    rng = np.random.default_rng(2)
    y = np.arange(300) % 3
    x = rng.normal(size=(300, 2, 8)) * np.array([20, 20, 20, 20, 1, 1, 1, 1])
    x[:, :, 6] += 4 * (y[:, None] == 1)
    x[:, :, 7] += 4 * (y[:, None] == 2)
    kept = {}
    for how in ("lda", "pca", "all"):
        train, test = mechanisms._reduced(x[:150], y[:150], x[150:], how, 2)
        assert train.shape == (150, 16 if how == "all" else 4)
        kept[how] = mechanisms._linear_accuracy(train, test, y[:150], y[150:])
    assert kept["lda"] > 0.9 > 0.6 > kept["pca"]


def test_one_fixed_scale_keeps_brightness_and_contrast():
    images = torch.randint(60, 120, (3, 48, 48), generator=torch.Generator().manual_seed(0)).numpy().astype(np.uint8)
    labels = np.zeros(3, np.int64)
    recipe = mechanisms.recipe.get("quick")
    index = torch.arange(3)
    raw, brighter = (
        mechanisms.FixedScale(x, labels, recipe, torch.device("cpu")).batch(index)[0]
        for x in (images, images + np.uint8(64))
    )
    assert torch.allclose(brighter - raw, torch.ones(()))
    assert torch.allclose(raw * 64 + 128, torch.from_numpy(images).unsqueeze(1).float())


def test_without_the_pointwise_convolution_the_map_has_the_same_size():
    x = torch.zeros(1, 1, 48, 48)
    assert mechanisms.without_pointwise()(x)[0].shape == SevenLayerCNN()(x)[0].shape


# -- from end to end


def test_a_measurement_is_read_by_the_ledger(pointwise, tmp_path):
    path = mechanisms.write(pointwise, tmp_path)
    (read,) = claims.load_mechanisms(tmp_path)
    assert read["path"] == f"mechanisms/{path.name}"
    assert [len(values) for values in read["series"].values()] == [4, 4]
    assert all(len(seeds) == 2 for values in read["series"].values() for seeds in values)
    assert claims.effect(read)["n"] == 2
    assert claims.evidence([read])[0] == "undecided on synthetic faces"  # two seeds never decide
    assert {"code", "versions", "machine", "setting", "arms", "training_seconds", "finished"} <= set(read)
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_seed_gives_the_same_numbers(pointwise):
    mechanisms.fit.cache_clear()
    mechanisms._seen.cache_clear()
    again = mechanisms.measure(BY_ID["pointwise"], seeds=[0], setting=TINY)
    for name, values in pointwise["series"].items():
        assert [x[0] for x in values] == [x[0] for x in again["series"][name]]


def test_what_is_kept_depends_on_recipe_faces_and_torch(monkeypatch):
    keys = []
    monkeypatch.setattr(mechanisms.cache, "key", lambda *parts: keys.append(parts) or "k")
    monkeypatch.setattr(mechanisms._Trainer, "run", lambda self: setattr(self, "warm", {}))
    for seed in (0, 1):
        mechanisms.fit.__wrapped__("proposed", seed, TINY)
    monkeypatch.setitem(RECIPES, "quick", replace(RECIPES["quick"], learning_rate=9.0))
    mechanisms.fit.__wrapped__("proposed", 1, TINY)
    monkeypatch.setattr(training.torch, "__version__", "9.9")
    mechanisms.fit.__wrapped__("proposed", 1, TINY)
    kept = [repr(parts) for parts in keys if parts[0] == mechanisms.ARMS["proposed"]]
    assert len(set(kept)) == 4


def test_a_kept_network_that_is_damaged_is_not_taken(tmp_path):
    path = tmp_path / "kept.pt"
    training.save_atomically({"best": {"w": torch.arange(4000.0)}}, path)
    assert len(mechanisms._read(path)["best"]["w"]) == 4000
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert mechanisms._read(path) is None and mechanisms._read(tmp_path / "none.pt") is None


def test_small_experiments_leave_nothing_in_the_cache(pointwise):
    assert not (mechanisms.cache.directory() / "mechanisms").exists()


def test_curves_and_attention_and_features_are_measured_too():
    for name in ("attention-weight", "center", "batch-norm", "lda", "contrast"):
        record = mechanisms.measure(BY_ID[name], seeds=[0], setting=TINY)
        values = np.array([record["series"][s] for s in record["series"]])
        assert values.shape == (len(BY_ID[name].series), len(record["x"]), 1)
        assert np.isfinite(values).all()
        assert len(record["x"]) == (TINY.epochs if name == "batch-norm" else len(BY_ID[name].x))


def test_asking_before_lda_leaves_the_network_as_it_was():
    trained = mechanisms.fit("proposed", 0, TINY)
    faces = mechanisms.test_faces(TINY)
    before = trained.forward(faces)["predicted"]
    assert trained.forward(faces, warm=True)["attended"].shape[2] == 256
    assert np.array_equal(trained.forward(faces)["predicted"], before)


def test_committed_measurements_fit_the_plan():
    committed = claims.load_mechanisms()
    assert {record["id"] for record in committed} == set(BY_ID)
    for record in committed:
        m = BY_ID[record["id"]]
        assert record["claim"] == m.claim
        assert record["x"] == list(m.x)
        assert list(record["series"]) == list(m.series)
        assert (record.get("with"), record.get("without"), record.get("better")) == (m.with_, m.without, m.better)
        assert record["setting"] == json.loads(json.dumps(mechanisms.asdict(mechanisms.Setting())))
        arms = {arm: mechanisms.asdict(mechanisms.ARMS[arm]) for arm, _ in m.series.values()}
        assert record["arms"] == json.loads(json.dumps(arms))
        assert len(record["seeds"]) >= claims.MINIMUM_SEEDS
        assert record["code"]["commit"]


def test_attention_on_covered_rows_is_what_they_get_from_all_that_ask(monkeypatch):
    """Two rows of eight covered, one step of four: all steps look at it when it is covered, evenly when it is free."""
    free = np.full((3, 8, 8), 90, np.uint8)
    barred = free.copy()
    barred[:, :2] = 10
    looks = {1.0: np.zeros((3, 4, 4)), 0.0: np.full((3, 4, 4), 0.25)}
    looks[1.0][:, :, 0] = 1
    monkeypatch.setattr(
        mechanisms, "test_faces", lambda setting, occluded, **_: SimpleNamespace(images=barred if occluded else free)
    )
    monkeypatch.setattr(mechanisms, "_seen", lambda *_, occluded, **__: {"weights": looks[occluded]})
    m = BY_ID["attention-weight"]
    found = {name: method(arm, 0, m, TINY) for name, (arm, method) in m.series.items()}
    assert found == {"a bar before them": [4.0] * 4, "the same rows, free": [1.0] * 4}


def test_curves_are_of_validation_and_overfitting_is_what_training_is_above_it(monkeypatch):
    curves = [{"train_accuracy": 0.5, "val_accuracy": 0.25}, {"train_accuracy": 0.75, "val_accuracy": 1.0}]
    monkeypatch.setattr(mechanisms, "fit", lambda *_: SimpleNamespace(curves=curves))
    assert mechanisms.learning("proposed", 0, BY_ID["batch-norm"], TINY) == [25, 100]
    assert mechanisms.overfitting("proposed", 0, BY_ID["batch-norm-overfitting"], TINY) == [25, -25]


def test_the_seed_options_and_changes_of_an_arm_reach_its_training(monkeypatch):
    asked = []

    def job(dataset, model, how, **more):
        asked.append({"model": model, "recipe": how.name, **more})
        raise InterruptedError

    monkeypatch.setattr(training, "job", job)
    for name, seed in (("no attention", 3), ("no batch norm, slower", 1)):
        with pytest.raises(InterruptedError):
            mechanisms.fit.__wrapped__(name, seed, TINY)
    common = {"recipe": "quick", "epochs": 2}
    plain = {"rotate": 0.0, "dropout": 0.0}
    assert asked == [
        common | {"model": "no_attention", "seed": 3, "options": {}, "changes": plain},
        common
        | {"model": "proposed", "seed": 1, "options": {"norm": "none"}, "changes": plain | {"learning_rate": 1e-3}},
    ]


def test_arms_without_eq_1_and_without_the_pointwise_convolution_are_built_so():
    what = training.job("synthetic", "proposed", mechanisms.recipe.get("quick"), seed=0, epochs=2)
    built = {}
    for name in ("proposed", "no normalisation", "no 1x1"):
        trainer = mechanisms._Trainer(what, mechanisms.training_faces(0, TINY), training.engine("cpu"), None, False)
        trainer.set_up(mechanisms.ARMS[name])
        fixed = {isinstance(images, mechanisms.FixedScale) for images in trainer.images.values()}
        built[name] = (fixed, len(trainer.model.cnn.blocks))
    assert built == {"proposed": ({False}, 4), "no normalisation": ({True}, 4), "no 1x1": ({False}, 3)}


# -- bad input


def test_unknown_measurements_are_named():
    with pytest.raises(ValueError, match=r"no measurement is named 'glasses'.*C-OCC.*occlusion"):
        mechanisms.chosen(["glasses"])
    assert {m.claim for m in mechanisms.chosen(["C-OCC"])} == {"C-OCC"}
    assert len(list(mechanisms.chosen(None))) == len(mechanisms.MEASUREMENTS)


def test_the_command_line_refuses_no_seeds(capsys):
    with pytest.raises(SystemExit):
        mechanisms.main(["--seeds", "0"])
    assert "wanted at least 1, got 0" in capsys.readouterr().err


# -- the figures


@pytest.fixture
def made_up():
    m = BY_ID["occlusion"]
    rng = np.random.default_rng(3)
    base = 60 - 10 * np.arange(6.0)[:, None] + rng.normal(size=(6, 3))
    series = {"with attention": (base + 5).tolist(), "without": base.tolist()}
    words = {"with": m.with_, "without": m.without, "better": m.better}
    return {"id": m.id, "claim": m.claim, "measure": m.measure, "knob": m.knob, "unit": m.unit} | {
        "x": list(m.x),
        "series": series,
        **words,
    }


def test_differences_are_signed_as_the_claim_has_it(made_up):
    low, mean, high = pictures.differences(made_up)
    assert np.allclose(mean, 5)
    assert (low <= mean).all()
    assert (mean <= high).all()
    assert np.allclose(pictures.differences(made_up | {"better": "lower"})[1], -5)


def test_figures_show_every_series_and_effect(made_up):
    with figures.style("light"):
        left, right = pictures.curves(made_up).axes
        names = [text.get_text() for text in left.get_legend().get_texts()]
        assert names == ["with attention", "without"]
        assert "as claimed" in right.get_ylabel()
        assert len(pictures.curves({k: v for k, v in made_up.items() if k != "with"}).axes) == 1
        labels = [t.get_text() for t in pictures.overview([made_up]).axes[0].get_yticklabels()]
        assert labels == ["C-OCC: occlusion"]
        face = [
            line.get_markerfacecolor() for line in pictures.overview([made_up | {"exploratory": True}]).axes[0].lines
        ]
        assert face.count("none") == 2  # the mark and the legend's
        images = mechanisms.test_faces(TINY).images[:3]
        assert len(pictures.along([images], [[0.0, 0.1, 0.2]], ["blur"]).axes) == 3
    plt.close("all")


@pytest.mark.usefixtures("styled")
def test_the_effects_of_a_claim_are_drawn_with_the_band_of_their_mean(made_up):
    made_up["series"]["with attention"][0][0] += 3
    whole = claims.effect(made_up)
    left, right = pictures.curves(made_up).axes
    for line, values in zip(left.lines[:1] + left.lines[4:5], made_up["series"].values(), strict=True):
        assert line.get_ydata() == pytest.approx(np.mean(values, axis=1))
    (band,) = right.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((whole["low"], whole["high"]))
    assert right.lines[1].get_ydata()[0] == pytest.approx(whole["mean"])


@pytest.mark.usefixtures("styled")
def test_the_overview_divides_an_effect_by_half_its_interval_and_colours_it_by_its_word(made_up):
    made_up["series"]["with attention"][0][0] += 3
    against = made_up | {"id": "blur", "with": "without", "without": "with attention"}
    effects = {r["id"]: claims.effect(r) for r in (made_up, against)}
    words = claims.judgements([made_up, against])["word"]
    assert words.to_dict() == {"occlusion": "supported", "blur": "contradicted"}
    (axes,) = pictures.overview([made_up, against]).axes
    names = row_labels(axes)
    for mark in (line for line in axes.lines if line.get_marker() not in ("", "None") and len(line.get_xdata())):
        id = names[mark.get_ydata()[0]].partition(": ")[2]
        found = effects[id]
        assert mark.get_xdata()[0] == pytest.approx(2 * found["mean"] / (found["high"] - found["low"]))
        assert mark.get_color() == pictures.WORD_COLORS[words[id]]


@pytest.mark.usefixtures("styled")
def test_each_face_along_a_knob_has_its_own_value():
    images = [np.full((k, 4, 4), 10 * k, np.uint8) + np.arange(k, dtype=np.uint8)[:, None, None] for k in (2, 3)]
    grid = np.reshape(pictures.along(images, [[-1.0, 0.5], [0.0, 1.0, 2.0]], ["yaw", "blur"]).axes, (2, 3))
    shown = [[(int(a.images[0].get_array()[0, 0]), a.get_title()) for a in line if a.images] for line in grid]
    assert shown == [[(20, "−1"), (21, "0.5")], [(30, "0"), (31, "1"), (32, "2")]]
    assert [line[0].texts[0].get_text() for line in grid] == ["yaw", "blur"]
