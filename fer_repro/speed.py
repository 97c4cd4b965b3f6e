"""What speed and memory were measured, and what follows from them: benchmark records read as tables, forecasts.

``benchmarks/*.py`` measure, each way beside a named alternative in the same run, and write
``results/benchmarks/NAME.json`` with the machine they ran on. Nothing here measures anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_repro import claims, metrics, network, results, training

TRAINED = {  # records of the training benchmark, one a kind of processor, and what it trains with there
    "training": "bfloat16 with AMX",
    "training-avx512": "bfloat16 with AVX-512",
    "training-float32": "float32 with AVX-512",
    "training-avx2": "float32 with AVX2",
}
NAMES = (
    *TRAINED,
    "denormals",
    "layers",
    "layers-rounded",  # layers from a processor slow at bfloat16
    "growth",
    "preprocessing",
    "data",
    "methods",
    "peers",
)
OURS = "fer_repro.training"  # as the training benchmark calls the project's own loop
TABLE = "first two blocks by table"  # and its rung with fer_repro.lookup
GOALS = (  # what was asked for, before anything was measured
    *(
        goal
        for how in TRAINED.values()
        for goal in (
            (f"training at 128×128 in {how}, times the plain loop", 10.0, "at least"),
            (f"in {how}, share of the matrix product's operations a second", 0.6, "at least"),
        )
    ),
    ("preprocessing, times scikit-image and scipy", 5.0, "at least"),
    ("preprocessing, time over bare OpenCV", 1.3, "at most"),
    ("FER2013's CSV, times pandas row by row", 5.0, "at least"),
)


def record(name: str, folder: Path | None = None) -> dict[str, Any] | None:
    """Return one benchmark's record; None where it was not measured yet.

    Raises
    ------
    ValueError
        For an unknown name, or a file that is damaged.
    """
    if name not in NAMES:
        raise ValueError(f"no benchmark is named {name!r}; wanted one of {', '.join(NAMES)}")
    path = (folder or results.root()) / "benchmarks" / f"{name}.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a benchmark's record, or damaged: {error}") from None
    return found


def machine(found: Mapping[str, Any]) -> str:
    """Describe in words what a record was measured on."""
    where, versions = found["machine"], found["versions"]
    memory = f"{where['memory_bytes'] / 2**30:.0f} GiB" if where.get("memory_bytes") else "unknown memory"
    instructions = f" ({', '.join(where['instructions'])})" if where.get("instructions") else ""
    return (
        f"{where['cpu']}{instructions}, {where['cores']} cores, {memory}, {where['system']}, "
        f"Python {versions['python']}, PyTorch {versions.get('torch', 'none')}; "
        f"{found['when'][:10]}, load {found['busy']:.1f}"
    )


def goals(found: Mapping[str, Mapping[str, Any] | None]) -> pd.DataFrame:
    """Set what was measured beside what was asked for.

    Parameters
    ----------
    found : mapping
        Names of :data:`NAMES` to records, None where there is none.

    Returns
    -------
    DataFrame
        ``what, goal, bound`` ("at least", "at most"), ``measured`` (NaN where not yet), ``reached``.
    """
    preprocessing, data = found.get("preprocessing"), found.get("data")

    def trained(name: str) -> tuple[float, float]:
        r = found.get(name)
        return (r["times_faster"][OURS], r["share_of_gemm"]) if r else (np.nan, np.nan)

    measured = (
        *(number for name in TRAINED for number in trained(name)),
        preprocessing["times_as_fast_as_scikit_image"] if preprocessing else np.nan,
        preprocessing["time_over_bare_opencv"] if preprocessing else np.nan,
        min(data["csv"]["times_faster"].values()) if data else np.nan,
    )
    rows = pd.DataFrame(GOALS, columns=["what", "goal", "bound"]).assign(measured=np.array(measured, float))
    least = rows["bound"] == "at least"
    rows["reached"] = np.where(least, rows["measured"] >= rows["goal"], rows["measured"] <= rows["goal"])
    return rows


def ladder(found: Mapping[str, Any]) -> pd.DataFrame:
    """Return the training benchmark rung by rung.

    Returns
    -------
    DataFrame
        ``way, images_per_second, times_faster`` (than the better plain loop), ``step`` (than the best before),
        ``peak_megabytes``.
    """
    rows = pd.DataFrame(
        [
            (way, m["images_per_second"], found["times_faster"][way], m["peak_megabytes"])
            for way, m in found["ways"].items()
        ],
        columns=["way", "images_per_second", "times_faster", "peak_megabytes"],
    )
    before = rows["images_per_second"].cummax().shift().fillna(rows["images_per_second"])
    return rows.assign(step=rows["images_per_second"] / before)


def training_name(precision: str, instructions: Sequence[str]) -> str:
    """Return which of :data:`TRAINED` a measurement on a processor with such instructions is.

    Parameters
    ----------
    precision : {"bf16-mixed", "32-true"}
    instructions : sequence of str
        As :func:`fer_repro.results.machine` names them.
    """
    if precision.startswith("bf16"):
        return "training-avx512" if "avx512_bf16" in instructions and "amx_bf16" not in instructions else "training"
    return "training-float32" if "avx512f" in instructions else "training-avx2"


def processors(found: Mapping[str, Mapping[str, Any] | None]) -> pd.DataFrame:
    """Set the training benchmark's records beside each other, the fastest processor first.

    Returns
    -------
    DataFrame
        ``how`` (of :data:`TRAINED`), ``cpu, plain, ours`` (images a second; the better plain loop), ``times`` (ours
        over plain), ``tabled`` (measured with the first two blocks by table), ``product`` (operations a second at that
        precision), ``share`` (the network's operations a second over it), ``left`` (those carried out over it),
        ``ceiling`` (:func:`ceiling`), ``plain_megabytes, megabytes`` (peaks); no row where there is no record.
    """
    rows = [
        {
            "how": how,
            "cpu": r["machine"]["cpu"],
            "plain": plain["images_per_second"],
            "ours": ours["images_per_second"],
            "times": r["times_faster"][OURS],
            "tabled": r.get("tabled_operations", 0) > 0,
            "product": r["matrix_product"]["bfloat16" if r["precision"].startswith("bf16") else "float32"],
            "share": r["share_of_gemm"],
            "left": r["share_of_gemm"] * (1 - r.get("tabled_operations", 0) / sum(r["operations_an_image"].values())),
            "ceiling": ceiling(r),
            "plain_megabytes": plain["peak_megabytes"],
            "megabytes": ours["peak_megabytes"],
        }
        for name, how in TRAINED.items()
        if (r := found.get(name))
        for ours in [r["ways"][OURS]]
        for plain in [next(m for way, m in r["ways"].items() if r["times_faster"][way] == 1)]  # the better one
    ]
    columns = [
        *("how", "cpu", "plain", "ours", "times", "tabled", "product", "share", "left", "ceiling"),
        *("plain_megabytes", "megabytes"),
    ]
    made = pd.DataFrame(rows, columns=columns)
    return made.sort_values("ours", ascending=False, ignore_index=True)


def ceiling(found: Mapping[str, Any]) -> float:
    """Return how many times the better plain loop a loop would be that did nothing but this network's operations.

    All of them, as fast as the machine multiplies matrices. Ours is so many times the plain loop, and such a share of
    that limit: more than all of it where the table takes the place of products.
    """
    return float(found["times_faster"][OURS] / found["share_of_gemm"])


def fullest(found: Mapping[str, Mapping[str, Any] | None]) -> Mapping[str, Any] | None:
    """Return the training benchmark's record with the most rungs, of such the fastest; None where there is none."""
    records = [r for name in TRAINED if (r := found.get(name))]
    return max(records, key=lambda r: (len(r["ways"]), r["ways"][OURS]["images_per_second"]), default=None)


def bytes_an_image(size: int, images: int = 1) -> dict[str, int]:
    """Return what memory holds for each of so many training images of the proposed network, by part, bytes.

    Pixels stay as uint8; LDA wants the attended features of all images in float32, for as many steps of the sequence
    at a time as :func:`fer_repro.training.steps_at_once` says.
    """
    net = network.build("proposed", 7, size)
    steps, step_bytes = int(net.lda.weight.shape[0]), 4 * int(net.bilstm.num_features)  # type: ignore[union-attr, arg-type, index]
    held = min(steps, training.steps_at_once(images, step_bytes))
    return {"pixels": size * size, "attended features": held * step_bytes}


def forecast(images: int, epochs: int, images_per_second: float, bytes_each: int, memory: int) -> dict[str, Any]:
    """Return what one training run would cost: hours on this machine, and gigabytes against those it has."""
    return {
        "images": images,
        "hours": images * epochs / images_per_second / 3600,
        "gigabytes": images * bytes_each / 2**30,
        "fits": images * bytes_each < memory,
    }


def on_gpus(
    images: int,
    epochs: int,
    operations: float,
    gpus: int,
    peak: float,
    share: float,
    gradient_bytes: float,
    link: float,
    batch: int,
) -> dict[str, float]:
    """Estimate a run on GPUs that share each step's gradients; nothing here was measured.

    Parameters
    ----------
    images, epochs : int
    operations : float
        Of one image's step, forward and backward.
    gpus : int
        N; each takes mini-batches of ``batch`` images.
    peak, share : float
        A GPU's operations a second, and the fraction of them a network of this kind reaches.
    gradient_bytes, link : float
        What one step exchanges, and bytes a second between two GPUs. A ring moves ``2 (N - 1) / N`` of it over each
        link (Patarasuk and Yuan 2009).
    batch : int

    Returns
    -------
    dict
        ``hours``, and ``exchange``: the exchange's share of a step's time, if nothing overlaps.
    """
    compute = batch * operations / (peak * share)
    exchange = 2 * (gpus - 1) / gpus * gradient_bytes / link
    steps = images * epochs / (gpus * batch)
    return {"hours": steps * (compute + exchange) / 3600, "exchange": exchange / (compute + exchange)}


def precision_effect(folder: Path | None = None) -> pd.DataFrame:
    """Compare runs in float32 (under :data:`fer_repro.results.FLOAT32`) with those in mixed bfloat16, seed by seed.

    On CK+ a seed counts once all its folds are there; its sequences are compared, subjects resampled as a whole.

    Returns
    -------
    DataFrame
        One row a data set, recipe and model that have pairs: ``dataset`` ("FER" or "CK"), ``recipe, model, seeds,
        mixed, float32`` (accuracies), ``difference`` (float32 minus mixed) with its 95 % interval ``low, high``, ``p``
        (McNemar over seeds on FER2013; the bootstrap's on CK+, whose sequences of one person are not independent).
    """
    folder = folder or results.root()
    mixed, full = (
        claims.collect(r for r in results.load_all(where) if r["precision"] == precision)
        for where, precision in ((folder, "bf16-mixed"), (folder / results.FLOAT32, "32-true"))
    )
    rows = []
    for key in sorted(mixed.keys() & full.keys(), key=lambda key: (key[0] != "FER", key)):
        a, b = mixed[key], full[key]
        seeds = [s for s in a.seeds if s in b.seeds]
        if not seeds or not np.array_equal(a.labels, b.labels):
            continue
        one, other = (r.predictions[[r.seeds.index(s) for s in seeds]] for r in (a, b))
        found = metrics.paired_differences(a.labels, one, other, a.classes, a.groups)["accuracy"]
        rows.append(
            {
                "dataset": a.dataset,
                "recipe": a.recipe,
                "model": a.model,
                "seeds": len(seeds),
                "mixed": float((one == a.labels).mean()),
                "float32": float((other == a.labels).mean()),
                "difference": found.estimate,
                "low": found.low,
                "high": found.high,
                "p": metrics.mcnemar_over_seeds(a.labels, one, other) if a.groups is None else found.p,
            }
        )
    columns = ["dataset", "recipe", "model", "seeds", "mixed", "float32", "difference", "low", "high", "p"]
    return pd.DataFrame(rows, columns=columns)


def peers(found: Mapping[str, Any]) -> pd.DataFrame:
    """Return the networks of ``benchmarks/peers.py``, most accurate first, all on the same images.

    Returns
    -------
    DataFrame
        ``name, ours, where`` (package, or seeds), ``parameters``, ``accuracy, low, high`` and, of the images whose twin
        is not or is in Training, ``unseen, twins`` (fractions; ours: means over seeds), ``flip`` (averaged with the
        mirror image; NaN for ours), ``milliseconds`` (for one face alone), ``milliseconds_of_64`` (for each of 64).
    """
    rows = [
        {
            "name": r["name"],
            "ours": r["ours"],
            "where": f"{len(r['seeds'])} seeds" if r["ours"] else f"{r['source']['registry']} {r['source']['version']}",
            **{k: r[k] for k in ("parameters", "accuracy", "low", "high")},
            "unseen": r["without_twins"]["accuracy"],
            "twins": r["on_twins"]["accuracy"],
            "flip": r["with_flip"]["accuracy"] if r["with_flip"] else np.nan,
            "milliseconds": r["milliseconds"]["1"]["image"],
            "milliseconds_of_64": r["milliseconds"]["64"]["image"],
        }
        for r in found["rows"]
    ]
    return pd.DataFrame(rows).sort_values("accuracy", ascending=False, ignore_index=True)
