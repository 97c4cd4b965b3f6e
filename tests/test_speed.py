"""Benchmark records: read as tables, set beside the goals, and what follows from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from fer_repro import claims, metrics, network, results, speed
from fer_repro.data.splits import FOLDS
from fer_repro.figures import speed as pictures

MADE = {
    "machine": {"cpu": "A processor", "cores": 2, "memory_bytes": 2**34, "system": "Linux"},
    "versions": {"python": "3.11.7", "torch": "2.14.1"},
    "busy": 0.1,
    "when": "2026-01-02T03:04:05+00:00",
}
TRAINING: dict[str, Any] = {
    **MADE,
    "size": 128,
    "threads": 2,
    "ways": {
        "a plain loop": {"images_per_second": 10.0, "peak_megabytes": 900.0},
        "with two loading processes": {"images_per_second": 20.0, "peak_megabytes": 900.0},
        "freed memory kept": {"images_per_second": 100.0, "peak_megabytes": 1000.0},
        "fer_repro.training": {"images_per_second": 300.0, "peak_megabytes": 700.0},
    },
    "times_faster": {
        "a plain loop": 0.5,
        "with two loading processes": 1.0,
        "freed memory kept": 5.0,
        "fer_repro.training": 15.0,
    },
    "share_of_gemm": 0.5,
    "precision": "bf16-mixed",
    "operations_an_image": {"convolutions and products": 8e8, "LSTM": 2e8},
    "matrix_product": {"float32": 1e11, "bfloat16": 6e11},
}
GROWTH: dict[str, Any] = {
    "axes": {
        "images": [
            {"images": n, "images_per_second": 1000.0, "epoch_seconds": n / 1000, "peak_megabytes": 100 + n / 100}
            for n in (1000, 2000, 4000)
        ],
        "size": [{"size": s, "images_per_second": 1e6 / s**2} for s in (32, 64, 128)],
        "batch": [{"batch": b, "images_per_second": 500.0 + b} for b in (16, 32, 64)],
    },
    "exponents": {"epoch seconds, images": 1.0, "seconds an image, pixels": 1.0},
    "bytes_an_image": 1e4,
}


def test_a_record_is_read_where_it_is_and_none_where_it_is_not(tmp_path: Path) -> None:
    assert speed.record("training", tmp_path) is None
    path = tmp_path / "benchmarks" / "training.json"
    path.parent.mkdir()
    path.write_text(json.dumps(TRAINING))
    assert speed.record("training", tmp_path) == TRAINING
    path.write_text('{"ways": ')
    with pytest.raises(ValueError, match="damaged"):
        speed.record("training", tmp_path)
    with pytest.raises(ValueError, match="no benchmark is named 'trainin'"):
        speed.record("trainin", tmp_path)


def test_committed_records_have_what_the_chapter_reads() -> None:
    for name in speed.NAMES:
        found = speed.record(name)
        assert found is not None and found["code"]["commit"]
        assert "cores" in speed.machine(found)
    for name, precision in (
        ("training", "bf16-mixed"),
        ("training-avx512", "bf16-mixed"),
        ("training-float32", "32-true"),
        ("training-avx2", "32-true"),
    ):
        training = speed.record(name)
        assert training is not None and training["precision"] == precision
        assert training["ways"].keys() == training["times_faster"].keys()
        assert speed.ladder(training)["way"].iloc[-1] == speed.OURS
        # no loop that carries all products out is faster than they are
        loops = {way: n for way, n in training["times_faster"].items() if way not in (speed.OURS, speed.TABLE)}
        assert speed.ceiling(training) > max(loops.values())
        if not training.get("tabled_operations"):
            assert speed.ceiling(training) > training["times_faster"][speed.OURS]
    growth = speed.record("growth")
    assert growth is not None
    plt.close(pictures.growth(growth))


def test_goals_are_reached_only_by_what_was_measured() -> None:
    nothing = speed.goals({})
    assert nothing["measured"].isna().all() and not nothing["reached"].any()
    found = {
        "training": TRAINING,
        "preprocessing": {"times_as_fast_as_scikit_image": 9.0, "time_over_bare_opencv": 1.4},
        "data": {"csv": {"times_faster": {"a": 6.0, "b": 4.9}}},
    }
    assert speed.goals(found)["reached"].tolist() == [True, *[False] * 7, True, False, False]
    float32 = {**TRAINING, "times_faster": {"fer_repro.training": 3.0}, "share_of_gemm": 0.7}
    avx2 = {**TRAINING, "times_faster": {"fer_repro.training": 2.0}, "share_of_gemm": 0.59}
    avx512 = {**TRAINING, "times_faster": {"fer_repro.training": 5.0}, "share_of_gemm": 0.8}
    goals = speed.goals({**found, "training-avx512": avx512, "training-float32": float32, "training-avx2": avx2})
    assert goals["measured"].tolist()[:8] == [15.0, 0.5, 5.0, 0.8, 3.0, 0.7, 2.0, 0.59]
    assert goals["reached"].tolist()[:8] == [True, False, False, True, False, True, False, False]


def test_the_ceiling_is_the_matrix_products_over_the_plain_loop() -> None:
    assert speed.ceiling(TRAINING) == pytest.approx(6e11 / 1e9 / 20)
    assert speed.ceiling({**TRAINING, "precision": "32-true", "share_of_gemm": 3.0}) == pytest.approx(1e11 / 1e9 / 20)


@pytest.mark.parametrize(
    ("precision", "instructions", "name"),
    [
        ("bf16-mixed", ["avx2", "avx512f", "avx512_bf16", "amx_bf16"], "training"),
        ("bf16-mixed", ["avx2", "avx512f", "avx512_bf16"], "training-avx512"),
        ("32-true", ["avx2", "avx512f", "avx512_bf16"], "training-float32"),
        ("32-true", ["avx2"], "training-avx2"),
    ],
)
def test_each_kind_of_processor_has_a_record_of_its_own(precision: str, instructions: list[str], name: str) -> None:
    assert speed.training_name(precision, instructions) == name


def test_processors_stand_beside_each_other() -> None:
    slower = {
        **TRAINING,
        "precision": "32-true",
        "share_of_gemm": 1.5,
        "ways": {
            "a plain loop": {"images_per_second": 10.0, "peak_megabytes": 800.0},
            "fer_repro.training": {"images_per_second": 150.0, "peak_megabytes": 600.0},
        },
        "times_faster": {"a plain loop": 1.0, "fer_repro.training": 15.0},
    }
    rows = speed.processors({"training-avx2": slower, "training": TRAINING, "training-float32": None})
    assert rows["how"].tolist() == ["bfloat16 with AMX", "float32 with AVX2"]
    assert rows["plain"].tolist() == [20.0, 10.0] and rows["ours"].tolist() == [300.0, 150.0]
    assert rows["product"].tolist() == [6e11, 1e11] and rows["ceiling"].tolist() == [30.0, 10.0]
    assert rows["plain_megabytes"].tolist() == [900.0, 800.0] and rows["megabytes"].tolist() == [700.0, 600.0]
    assert rows["left"].tolist() == rows["share"].tolist() and not rows["tabled"].any()
    assert speed.processors({}).empty
    tabled = {**TRAINING, "share_of_gemm": 1.2, "tabled_operations": 6e8}
    (row,) = speed.processors({"training": tabled}).itertuples()
    assert row.tabled and row.share == 1.2 and row.left == pytest.approx(0.48)


def test_the_ladder_shown_is_the_one_with_most_rungs_then_the_fastest() -> None:
    more = {**TRAINING, "ways": {**TRAINING["ways"], speed.TABLE: {"images_per_second": 9.0, "peak_megabytes": 1.0}}}
    slower = {**TRAINING, "ways": {**TRAINING["ways"], speed.OURS: {"images_per_second": 9.0, "peak_megabytes": 1.0}}}
    assert speed.fullest({}) is None and speed.fullest({"training": None}) is None
    assert speed.fullest({"training": slower, "training-avx2": TRAINING}) is TRAINING
    assert speed.fullest({"training": TRAINING, "training-avx2": more}) is more


def test_a_taps_curves_are_drawn_with_the_kinks_that_are_seen() -> None:
    v = np.linspace(-1, 1, 5)
    figure = pictures.tap(v, np.stack([v, v**2]), np.array([-3.0, 0.0, 0.5]))
    *curves, kinks = figure.axes[0].lines
    assert [line.get_ydata().tolist() for line in curves] == [v.tolist(), (v**2).tolist()]
    assert kinks.get_xdata().tolist() == [0.0, 0.5]
    plt.close(figure)


def test_each_rung_is_compared_with_the_one_before() -> None:
    rows = speed.ladder(TRAINING)
    np.testing.assert_allclose(rows["step"], [1, 2, 5, 3])
    assert rows["times_faster"].iloc[-1] == 15
    slower = {way: m | {"images_per_second": 5.0} if "two" in way else m for way, m in TRAINING["ways"].items()}
    assert speed.ladder({**TRAINING, "ways": slower})["step"].tolist() == [1, 0.5, 10, 3]  # than the best before


@pytest.mark.parametrize("size", [48, 128])
def test_memory_an_image_is_that_of_its_tensors(size: int) -> None:
    import torch

    parts = speed.bytes_an_image(size)
    attended = network.build("proposed", 7, size).eval()(torch.zeros(1, 1, size, size))[1]["attended"]
    assert parts["pixels"] == size * size
    assert parts["attended features"] == attended.numel() * attended.element_size()
    assert speed.bytes_an_image(size, images=10**9)["attended features"] == attended[0, 0].numel() * 4


def test_a_forecast_grows_with_images() -> None:
    one, ten = (speed.forecast(n, 24, 100.0, 2**10, 2**30) for n in (2**20 - 1, 10 * 2**20))
    assert one["fits"] and not ten["fits"]
    assert ten["hours"] == pytest.approx(10 * 24 * 2**20 / 100 / 3600)
    assert ten["gigabytes"] == pytest.approx(10)


def test_gpus_share_the_work_but_wait_for_the_link() -> None:
    def run(gpus: int, link: float) -> dict[str, float]:
        return speed.on_gpus(10**6, 24, 1e9, gpus, 100e12, 0.5, 3e6, link, 128)

    alone = run(1, 1e9)
    assert alone["exchange"] == 0
    assert alone["hours"] == pytest.approx(10**6 * 24 * 1e9 / 50e12 / 3600)
    assert run(8, 1e15)["hours"] == pytest.approx(alone["hours"] / 8, rel=1e-3)
    assert run(8, 1e9)["hours"] > alone["hours"] / 8
    assert 0 < run(8, 1e9)["exchange"] < 1


def test_precision_is_compared_over_pairs_of_the_same_seed(tmp_path: Path) -> None:
    native = results.load_all(dataset="fer2013", recipe="native48", model="proposed")
    like = next(r for r in native if claims.ineligible(r) is None)
    labels = like["predictions"]["label"]
    for seed, precision in ((0, "bf16-mixed"), (1, "bf16-mixed"), (1, "32-true"), (2, "32-true")):
        # in float32 it gets the first hundred right
        right = 100 if precision == "32-true" else 0
        write_like(like, tmp_path, precision, right, seed=seed)
    found = speed.precision_effect(tmp_path)
    assert found[["dataset", "recipe", "model", "seeds"]].to_numpy().tolist() == [["FER", "native48", "proposed", 1]]
    wrong = np.mean(np.array(labels[:100]) != np.array(like["predictions"]["predicted"][:100])) * 100 / len(labels)
    assert found["difference"].iloc[0] == pytest.approx(wrong)
    assert found["low"].iloc[0] <= wrong <= found["high"].iloc[0]
    assert found["p"].iloc[0] < 0.05
    assert speed.precision_effect(tmp_path / "nowhere").empty


def test_precision_is_compared_on_ckplus_once_all_folds_are_there(tmp_path: Path) -> None:
    native = results.load_all(dataset="ckplus", recipe="native48", model="proposed")
    folds = [r for r in native if claims.ineligible(r) is None and r["seed"] == 0]
    assert len(folds) == FOLDS
    for like in folds:
        write_like(like, tmp_path, "bf16-mixed", 0)
        assert speed.precision_effect(tmp_path).empty
        write_like(like, tmp_path, "32-true", len(like["predictions"]["label"]))  # all right
    found = speed.precision_effect(tmp_path)
    assert found[["dataset", "recipe", "model", "seeds"]].to_numpy().tolist() == [["CK", "native48", "proposed", 1]]
    runs = claims.collect(folds)["CK", "native48", "proposed"]
    assert found["mixed"].iloc[0] == pytest.approx((runs.predictions == runs.labels).mean())  # of sequences
    assert found["float32"].iloc[0] == 1
    wanted = metrics.paired_differences(runs.labels, runs.predictions, runs.labels[None], runs.classes, runs.groups)
    mcnemar = metrics.mcnemar_over_seeds(runs.labels, runs.predictions, runs.labels[None])
    assert found["p"].iloc[0] == wanted["accuracy"].p > mcnemar  # sequences of one person are not independent


def write_like(like: results.Record, folder: Path, precision: str, right: int, **fields: Any) -> None:
    """Write a run like another, in this precision and with the first ``right`` images right."""
    label, predicted = (like["predictions"][k] for k in ("label", "predicted"))
    predicted = label[:right] + predicted[right:]
    test = like["test"] | {"accuracy": float(np.mean(np.array(label) == np.array(predicted)))}
    made = like | {"precision": precision, "predictions": like["predictions"] | {"predicted": predicted}, "test": test}
    made = {k: v for k, v in made.items() if k != "path"} | fields
    results.write(made, folder / results.FLOAT32 if precision == "32-true" else folder)


def test_pictures_are_drawn() -> None:
    figure = pictures.ladder(speed.ladder(TRAINING))
    assert [t.get_text() for t in figure.axes[0].texts][-1] == "300   ×15.0"
    plt.close(figure)
    figure = pictures.growth(GROWTH)
    assert len(figure.axes) == 4
    plt.close(figure)
    rows = pd.DataFrame(
        {
            "name": ["a", "b"],
            "ours": [True, False],
            "accuracy": [0.6, 0.65],
            "low": [0.58, 0.63],
            "high": [0.62, 0.67],
            "milliseconds": [1.0, 4.0],
            "parameters": [700_000, 58_000],
        }
    )
    figure = pictures.peers(rows)
    assert len(figure.axes[0].texts) == 2
    plt.close(figure)


def test_peers_are_ranked_and_ours_are_told_apart() -> None:
    def row(name: str, accuracy: float, **more: Any) -> dict[str, Any]:
        times = {n: {"image": k, "batch": k} for n, k in (("1", 2.0), ("64", 0.5))}
        part = {"accuracy": accuracy}
        return {
            "name": name,
            "parameters": 10,
            "accuracy": accuracy,
            "low": accuracy - 0.01,
            "high": accuracy + 0.01,
            "without_twins": part,
            "on_twins": part,
            "milliseconds": times,
            **more,
        }

    theirs = {"ours": False, "source": {"registry": "PyPI", "version": "1.2"}, "with_flip": {"accuracy": 0.7}}
    ours = {"ours": True, "source": None, "with_flip": None, "seeds": [0, 1, 2]}
    found = speed.peers({"rows": [row("low", 0.5, **ours), row("high", 0.6, **theirs)]})
    assert found["name"].tolist() == ["high", "low"]
    assert found["where"].tolist() == ["PyPI 1.2", "3 seeds"]
    assert found["flip"].isna().tolist() == [False, True]
    assert found["milliseconds"].tolist() == [2, 2] and found["milliseconds_of_64"].tolist() == [0.5, 0.5]


def test_growth_is_drawn_in_the_units_its_axes_name() -> None:
    figure = pictures.growth(GROWTH)
    time, memory, size, batch = figure.axes
    for axes, x, y in (
        (time, [1000, 2000, 4000], [1, 2, 4]),
        (size, [32, 64, 128], [1.024, 4.096, 16.384]),  # milliseconds
    ):
        measured, line = (np.array(drawn.get_data()) for drawn in axes.lines)
        np.testing.assert_allclose(measured, [x, y])
        np.testing.assert_allclose(line, [x, y])  # these grow just as the line that is drawn for comparison
    assert "milliseconds" in size.get_ylabel()
    assert memory.lines[0].get_ydata().tolist() == [110, 120, 140]
    assert batch.lines[0].get_data()[1].tolist() == [516, 532, 564]
    plt.close(figure)


def test_a_peers_mark_has_its_interval_and_size() -> None:
    given = {"name": ["a"], "ours": [False], "accuracy": [0.6], "low": [0.55], "high": [0.62]}
    figure = pictures.peers(pd.DataFrame(given | {"milliseconds": [2.0], "parameters": [700_000]}))
    (axes,) = figure.axes
    interval, mark = axes.lines
    assert interval.get_ydata() == pytest.approx([55, 62]) and mark.get_data()[1] == pytest.approx([60])
    assert axes.texts[0].get_text() == "a, 700k"
    plt.close(figure)


def test_plain_loops_and_ours_have_colours_of_their_own() -> None:
    figure = pictures.ladder(speed.ladder(TRAINING))
    plain, other, step, ours = (bar.get_facecolor() for bar in figure.axes[0].patches)
    assert plain == other and len({plain, step, ours}) == 3
    plt.close(figure)


def test_accuracy_on_twins_is_not_that_on_the_others() -> None:
    row = {"name": "a", "ours": True, "seeds": [0], "parameters": 1, "accuracy": 0.5, "low": 0.4, "high": 0.6}
    row |= {"without_twins": {"accuracy": 0.45}, "on_twins": {"accuracy": 0.9}, "with_flip": None}
    row["milliseconds"] = {n: {"image": 1.0} for n in ("1", "64")}
    (found,) = speed.peers({"rows": [row]}).itertuples()
    assert (found.unseen, found.twins) == (0.45, 0.9)


def test_a_machine_is_described_in_the_units_it_is_sold_in() -> None:
    said = speed.machine(MADE)
    assert said == "A processor, 2 cores, 16 GiB, Linux, Python 3.11.7, PyTorch 2.14.1; 2026-01-02, load 0.1"
    small = speed.machine({**MADE, "machine": {**MADE["machine"], "memory_bytes": None, "instructions": ["avx2"]}})
    assert small.startswith("A processor (avx2), 2 cores, unknown memory, Linux")
