"""Every benchmark runs, at a tiny size, and its record has what the book's chapter on speed reads."""

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from fer_repro import metrics, results, speed
from fer_repro.figures import speed as pictures

SCRIPTS = Path(__file__).resolve().parent.parent / "benchmarks"
with pytest.MonkeyPatch.context() as patch:  # benchmarks are scripts, not a package
    patch.syspath_prepend(str(SCRIPTS))
    import _common
    import data as reading
    import denormals
    import growth
    import layers
    import methods
    import preprocessing
    import training

Bench = Callable[..., dict[str, Any]]


def run(script: ModuleType, *arguments: str) -> str:
    """Call a benchmark's command in this process; return what it prints."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as said:
        patch.setattr(sys, "argv", [str(script.__file__), *arguments])
        script.main()
    return said.getvalue()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    """Return a function that runs a benchmark in this process alone, and returns the record it wrote."""
    monkeypatch.setenv("FER_REPRO_CACHE", str(tmp_path / "cache"))  # some set it: put back what was there

    def measure(script: ModuleType, *arguments: str) -> dict[str, Any]:
        def here(path: str, *inner: str, **environment: str) -> Any:
            assert path == script.__file__
            return json.loads(run(script, *inner).splitlines()[-1])

        if hasattr(script, "in_fresh_process"):
            monkeypatch.setattr(script, "in_fresh_process", here)
        place = tmp_path / "deep" / "record.json"
        said = run(script, *arguments, "--json", str(place))
        record: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        assert json.loads(said) == record
        assert "cores" in speed.machine(record)
        assert record["code"].keys() == {"commit", "dirty"}
        assert all(math.isfinite(x) and x >= 0 for x in numbers({**record, "machine": None}))
        return record

    return measure


def numbers(found: Any) -> Iterator[float]:
    """Yield every number of a record but its exponents, which may have any sign where so little is measured."""
    if isinstance(found, dict):
        for key, value in found.items():
            if "exponent" not in key and key not in ("largest_difference", "bytes_an_image"):
                yield from numbers(value)
    elif isinstance(found, list):
        for value in found:
            yield from numbers(value)
    elif isinstance(found, (int, float)):
        yield found


def test_training(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "matrix_product", partial(training.matrix_product, n=64, repeats=1))
    monkeypatch.setattr(training, "PLAIN", ("a plain loop",))
    rungs = ("a plain loop", "images prepared once, augmented on the batch", "channels last", "bfloat16")
    monkeypatch.setattr(training, "LADDER", {name: training.LADDER[name] for name in rungs})
    found = bench(training, "--size", "32", "--images", "16", "--repeats", "1")
    ladder = speed.ladder(found)
    assert ladder["way"].iloc[0] == "a plain loop" and ladder["way"].iloc[-1] == training.OURS
    assert found["times_faster"]["a plain loop"] == 1
    assert found["share_of_gemm"] > 0 and found["operations_an_image"].keys() == {"convolutions and products", "LSTM"}
    goals = speed.goals({"training": found})
    assert goals["measured"].notna().tolist() == [True, True] + [False] * 9
    assert ("bfloat16" in found["matrix_product"]) == training.training.multiplies_bfloat16("cpu")


def test_training_in_float32_measures_no_bfloat16(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(training, "matrix_product", partial(training.matrix_product, n=64, repeats=1))
    monkeypatch.setattr(training, "PLAIN", ("a plain loop",))
    monkeypatch.setattr(training, "LADDER", {name: training.LADDER[name] for name in ("a plain loop", "bfloat16")})
    monkeypatch.setattr(training.training, "multiplies_bfloat16", lambda device: False)
    given = ("--size", "32", "--images", "16", "--repeats", "1", "--precision", "32-true")
    found = bench(training, *given)
    assert found["precision"] == "32-true"
    by_table = {training.TABLE} if training.lookup.available() else set()
    assert found["ways"].keys() == {"a plain loop", training.OURS} | by_table
    assert found["matrix_product"].keys() == {"float32"}
    assert (found["tabled_operations"] > 0) == bool(by_table)
    monkeypatch.setattr(training, "place", lambda name: tmp_path / f"{name}.json")
    monkeypatch.setattr(_common, "place", training.place)
    monkeypatch.setattr(training.results, "instructions", lambda: ["avx2", "avx512f"])
    run(training, *given, "--json")
    assert [path.name for path in tmp_path.glob("*.json")] == ["training-float32.json"]


def test_denormals(bench: Bench) -> None:
    found = bench(denormals, "--batch", "2", "--repeats", "1")
    assert found["times_faster"].keys() == set(map(str, denormals.SPREADS))
    assert found["milliseconds"].keys() == set(denormals.FORMS)


def test_growth(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    point = growth.point

    def small(images: int, size: int, batch: int) -> dict[str, float]:
        return point(min(images, 64), min(size, 32), batch)

    monkeypatch.setattr(growth, "point", small)
    monkeypatch.setattr(growth, "launched", lambda processes, threads, images, size: small(images, size, 32))
    found = bench(growth, "--quick", "--repeats", "1")
    plt.close(pictures.growth(found))
    assert found["scaling"].keys() == found["processes"].keys()
    assert found["scaling"]["1 process, 1 thread"] == 1
    assert [p["images"] for p in found["axes"]["images"]] == [256, 512]


def test_the_exponent_is_the_slope() -> None:
    n = [100, 200, 400]
    for script in (growth, methods):
        assert script.slope(n, [3e-3 * k**1.5 for k in n]) == pytest.approx(1.5)


def test_data(bench: Bench) -> None:
    found = bench(reading, "--images", "30", "--repeats", "1")
    assert found["images"] == 30 and found["pixels_megabytes"] == pytest.approx(30 * 48 * 48 / 2**20)
    for kind, ways in reading.WAYS.items():
        assert found[kind]["ways"].keys() == ways.keys()
        for way in found[kind]["ways"].values():
            assert way.keys() == {"seconds", "processor_seconds", "peak_megabytes"}
        ratios, took = found[kind]["times_faster"], found[kind]["ways"]
        assert ratios == {w: took[w]["seconds"] / took["ours"]["seconds"] for w in ratios} and ratios
    assert speed.goals({"data": found})["measured"].iloc[-1] == min(found["csv"]["times_faster"].values())


def test_data_refuses_ways_that_differ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = reading.write_csv(reading.faces(10), tmp_path / "fer2013.csv")
    ways = {"ours": reading.ours, "wrong": lambda path: reading.ours(path) + 1}
    with pytest.raises(SystemExit, match=r"fer2013\.csv: wrong gives other pixels than ours"):
        reading.times(ways, path, 1)


def test_preprocessing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    found = bench(preprocessing, "--images", "20", "--repeats", "1")
    micro = found["microseconds_an_image"]
    assert found["times_as_fast_as_scikit_image"] == micro["scikit-image and scipy"] / micro["ours"]
    assert found["time_over_bare_opencv"] == micro["ours"] / micro["bare OpenCV"]
    assert found["seconds_for_fer2013"] == pytest.approx(35_887 * micro["ours"] / 1e6)
    difference = found["largest_difference"]
    assert difference["bare OpenCV"] < 1e-5 and difference["scikit-image and scipy (float32 images)"] < 1e-4
    assert speed.goals({"preprocessing": found})["measured"].notna().tolist() == [False] * 8 + [True, True, False]


def test_layers(bench: Bench) -> None:
    found = bench(layers, "--size", "16", "--batch", "3", "--repeats", "1")
    for precision in ("float32", "bfloat16"):
        took = found["milliseconds"][precision]
        assert took.keys() == layers.blocks(16).keys()
        ratios = {name: both["plain"] / both["fast"] for name, both in took.items()}
        assert found["times_faster"][precision] == pytest.approx(ratios)


def test_methods(bench: Bench) -> None:
    parts = ("LDA", "LDA by scikit-learn (eigen)", "CNN-SVM", "intervals", "intervals by subject", "paired tests")
    sizes = ("--size", "32", "--train", "2400", "--test", "160")
    found = bench(methods, *sizes, "--repeats", "1", "--parts", *parts)
    assert found["parts"].keys() == {*parts}
    for name, part in found["parts"].items():
        most = 2400 if name in methods.FITS else 160
        assert part["images"] == [most // 8, most // 4, most // 2, most]
        assert part["exponent"] == pytest.approx(methods.slope(part["images"], part["seconds"]))
        assert len(part["peak_megabytes"]) == len(part["process_megabytes"]) == 4
    lda, other = (found["parts"][p]["seconds"][-1] for p in parts[:2])
    assert found["times_faster"] == {"LDA by scikit-learn (eigen)": other / lda}
    assert found["most_megabytes"].keys() == {*parts} - {*methods.BESIDE}
    assert found["features"] == {"LDA": [4, 256], "CNN-SVM": [64]}


def test_the_loop_over_resamples_gives_the_same_intervals() -> None:
    labels, (a,) = methods.predictions_of(400, 1)
    low, high = methods.loop_over_resamples(400, resamples=300)()
    ours = metrics.intervals(labels, a, methods.CLASSES)
    for k, name in enumerate(("accuracy", "precision", "recall", "f1")):
        assert (low[k], high[k]) == pytest.approx(ours[name], abs=0.012), name


def test_features_have_classes_that_can_be_told_apart_only_in_part() -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    features, labels = methods.features_of(1500, (1, 64))
    x, y = features[:, 0].float().numpy(), labels.numpy()
    assert 0.4 < LinearDiscriminantAnalysis().fit(x[:1000], y[:1000]).score(x[1000:], y[1000:]) < 0.8


def test_a_process_of_its_own() -> None:
    found = _common.in_fresh_process(methods.__file__, "--part", "intervals", "--images", "50")
    assert found.keys() == {"seconds", "processor_seconds", "peak_megabytes", "process_megabytes"}
    assert 0 < found["peak_megabytes"] < found["process_megabytes"]
    with pytest.raises(SystemExit, match=r"(?s)data\.py --peak tar: exit 2.*expected 3 arguments"):
        _common.in_fresh_process(reading.__file__, "--peak", "tar")


def test_ways_take_turns_and_the_fastest_turn_counts() -> None:
    called: list[str] = []
    now = iter([0, 5, 10, 11, 20, 23, 30, 39])
    best = _common.in_turns(
        {"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 2, lambda: float(next(now))
    )
    assert called == ["a", "b", "a", "b"] and best == {"a": 3, "b": 1}


def test_high_water_sees_what_is_held() -> None:
    before = _common.high_water()
    held = np.ones(2**23)  # 64 MiB, touched
    assert _common.high_water() >= before
    assert _common.high_water() > held.nbytes / 2**20


@pytest.mark.parametrize("name", ["training", "layers", "growth", "data", "preprocessing", "methods"])
def test_records_go_where_the_book_looks(name: str) -> None:
    asked = _common.parser("", name)
    assert asked.parse_args([]).json is None
    assert asked.parse_args(["--json"]).json == results.root() / "benchmarks" / f"{name}.json"
    assert name in speed.NAMES
