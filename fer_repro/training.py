"""One training loop for all networks, on one CPU, one GPU or many.

Lightning Fabric does devices, mixed precision and several processes: it adds nothing to a plain PyTorch loop that must
be unlearned, keeps no global state (two runs in one notebook do not meet), and takes its place under ``torchrun``.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import logging
import math
import os
import platform
import re
import sys
import time
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies import DDPStrategy
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from fer_repro import metrics, network, results
from fer_repro.augmentation import augment
from fer_repro.center_loss import CenterLoss
from fer_repro.cnn import without_first_maps
from fer_repro.data.audit import duplicates_of
from fer_repro.data.faces import FaceDataset
from fer_repro.data.splits import DEFAULT_PROTOCOL, LEAKING, PROTOCOLS, last_frames
from fer_repro.data.splits import protocol as split_by
from fer_repro.preprocessing import normalize_batch, prepare_uint8, prepared
from fer_repro.recipe import LAST_SEED, Recipe

EVALUATION_BATCH = 512
HELD_BYTES = 2**30  # of features held at once for a closed-form fit
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces each precision it is given


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what to do."""


class RunInProgress(TrainingError):
    """Another process is at this very run."""


@dataclass(frozen=True)
class Job:
    """What is to be trained: it names the record, the checkpoint and the lock."""

    dataset: str
    model: str
    recipe: Recipe
    protocol: str
    seed: int
    fold: int | None
    options: dict[str, Any]
    changes: dict[str, Any]
    limit: int | None
    complete: bool

    def record(self) -> results.Record:
        """Return the fields of the record that are known beforehand."""
        return {
            "schema": results.SCHEMA,
            "dataset": self.dataset,
            "model": self.model,
            "variant": results.variant_name(self.options | self.changes),
            "protocol": self.protocol,
            "seed": self.seed,
            "fold": self.fold,
            "recipe": self.recipe.to_dict(),
            "options": self.options,
            "changes": self.changes,
            "complete": self.complete,
        }

    def folder(self, root: Path) -> Path:
        """Return where checkpoints and the lock of this run live: beside the records, hidden from them."""
        return root / ".runs" / results.path_of(self.record(), Path()).with_suffix("")


def job(
    dataset: str,
    model: str,
    recipe: Recipe,
    protocol: str | None = None,
    seed: int = 0,
    fold: int | None = None,
    options: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    limit: int | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Job:
    """Describe a run.

    ``options`` (of the network) and ``changes`` (of the recipe's fields) make it a variant, ``epochs`` (in all) or
    ``limit`` (training images) a trial; no verdict rests on either. A number among the changes takes the type that the
    field has, so that 0 and 0.0 name one run. ValueError says which name or value is none.
    """
    known = {f.name for f in fields(Recipe)} - {"name"}
    if unknown := set(changes or {}) - known:
        raise ValueError(f"changes: the recipe has no {', '.join(sorted(unknown))}; wanted {', '.join(sorted(known))}")
    changes = {name: _typed(name, value, getattr(recipe, name)) for name, value in (changes or {}).items()}
    options = dict(options or {})
    if fixed := {"name", "num_classes", "size"} & options.keys():
        raise ValueError(f"options: {', '.join(sorted(fixed))} cannot be chosen here (the size is the recipe's)")
    if twice := changes.keys() & options.keys():
        raise ValueError(f"options: {', '.join(sorted(twice))} is among the changes, too; wanted it once")
    variant = results.variant_name(options | changes)
    if re.search(r"[/\\]|\.\.", variant or ""):
        raise ValueError(f"options: a run cannot be named {variant!r}")
    recipe = replace(recipe, **changes)
    if recipe.batch_size < 2 or min(recipe.epochs + recipe.small_epochs) < 1:
        raise ValueError("changes: wanted a batch of at least 2 images, and an epoch or more in both stages")
    if epochs is not None:
        if twice := {"epochs", "small_epochs"} & changes.keys():
            raise ValueError(f"epochs: {', '.join(sorted(twice))} is among the changes, too; wanted it once")
        if epochs < 2:
            raise ValueError(f"epochs: wanted at least 2, one before and one after LDA is fitted, got {epochs}")
        halves = (epochs - epochs // 2, epochs // 2)
        recipe = replace(recipe, epochs=halves, small_epochs=halves)
    if limit is not None and limit < 2:
        raise ValueError(f"limit: wanted at least 2 training images, got {limit}")
    if protocol is None and dataset not in DEFAULT_PROTOCOL:
        raise ValueError(f"protocol: {dataset!r} has no default one, wanted one of {', '.join(PROTOCOLS)}")
    protocol = protocol or DEFAULT_PROTOCOL[dataset]
    if protocol == "subjects" and fold is None:
        fold = 0
    trial = epochs is not None or limit is not None
    return Job(dataset, model, recipe, protocol, seed, fold, options, changes, limit, not trial)


def _typed(name: str, value: Any, default: Any) -> Any:
    """Return a recipe's value in the type of its default."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if isinstance(default, float) and number:
        return float(value)
    if isinstance(default, int) and number and value == int(value):
        return int(value)
    pair = isinstance(value, (list, tuple)) and len(value) == 2 and all(type(n) is int for n in value)
    if isinstance(default, tuple) and pair:
        return tuple(value)
    raise ValueError(f"changes: {name}: wanted a value such as {default!r}, got {value!r}")


def keep_memory() -> bool:
    """Tell glibc's allocator to keep what it has instead of giving large buffers back to the kernel at every free.

    A network at 128x128 allocates and frees hundreds of megabytes a step; handing their pages back and faulting them in
    again costs several times the arithmetic. Pages of 2 MiB (``THP_MEM_ALLOC_ENABLE``) are not asked for: PyTorch
    aligns blocks for them, a block freed is then too short for the next of its size, and memory grows for dozens of
    steps. True where it took (Linux with glibc).
    """
    if platform.system() != "Linux":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
    return all([mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, 2**31 - 1), mallopt(M_TOP_PAD, 64 << 20)])


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Take numbers below float32's smallest normal one (1.2e-38) for zero while this lasts, as AMX does anyway.

    Training carries some gates of the LSTM so far from zero that the gradients through them get that small, and many a
    CPU takes far longer for such a number (``benchmarks/denormals.py``). A thread inherits this from the one that
    starts it: commands begin with it, before PyTorch has any other thread.
    """
    before = float(torch.full((), 1e-40) * 1) == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def multiplies_bfloat16(device: str) -> bool:
    """Say whether the hardware multiplies bfloat16 itself, at whatever speed; else it is imitated, far slower."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(results.instructions())


def automatic_precision(device: str) -> str:
    """Return "bf16-mixed" where the hardware multiplies bfloat16 faster than float32, else "32-true".

    On a GPU without bfloat16, "16-mixed".
    """
    if device == "cuda":
        return "bf16-mixed" if multiplies_bfloat16(device) else "16-mixed"
    return "bf16-mixed" if results.quick_bfloat16() else "32-true"


def chosen_device(device: str) -> str:
    """Return the device that "auto" stands for; TrainingError if CUDA is asked for and not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device: CUDA was asked for, and torch finds no GPU; try --device cpu")
    return device


def engine(device: str = "auto", precision: str = "auto") -> Fabric:
    """Return Fabric on one process, or on all of them where ``torchrun`` started several.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}
    precision : str
        "auto", "32-true", "bf16-mixed", "16-mixed", ...: Fabric's names.
    """
    device = chosen_device(device)
    precision = automatic_precision(device) if precision == "auto" else precision
    world, local = (int(os.environ.get(k, "1")) for k in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    # in the first stage the reconstruction has no gradient, in the second the warm-up head has none
    strategy: Any = DDPStrategy(find_unused_parameters=True) if world > 1 else "auto"
    fabric = Fabric(
        accelerator=device,
        devices=local if world > 1 else 1,
        num_nodes=max(1, world // max(local, 1)),
        precision=precision,  # type: ignore[arg-type]
        strategy=strategy,
        plugins=[] if world > 1 else [LightningEnvironment()],  # one process is no cluster's, even in a job of Slurm
    )
    fabric.launch()
    return fabric


def compiles(fabric: Fabric) -> bool:
    """Say whether training compiles the network unless told otherwise: on one CUDA device, where Triton is at hand.

    There PyTorch fuses what lies between the products and captures the launches of a step as graphs. On a CPU it wants
    a C++ compiler, takes a minute before the first step, and each step then takes nearly twice as long.
    """
    return fabric.device.type == "cuda" and fabric.world_size == 1 and find_spec("triton") is not None


class Images:
    """Prepared images resident on the device as uint8: a batch is one index, and Eq. 1 runs on the batch."""

    def __init__(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64], recipe: Recipe, device: torch.device):
        self.recipe = recipe
        self.pixels = torch.from_numpy(np.array(pixels)).unsqueeze(1).to(device)  # (N, 1, S, S)
        self.labels = torch.from_numpy(labels).to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return normalised images float (B, 1, S, S) and labels (B,)."""
        index = index.to(self.labels.device)
        x = self.pixels[index].float()
        r = self.recipe
        return normalize_batch(x, r.gcn_scale, r.gcn_lambda, r.gcn_epsilon), self.labels[index]

    def in_order(self, size: int = EVALUATION_BATCH) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all images in order, batch by batch."""
        for start in range(0, len(self), size):
            yield self.batch(torch.arange(start, min(start + size, len(self))))


def pixels_for(faces: FaceDataset, recipe: Recipe) -> NDArray[np.uint8]:
    """Return resized and filtered images (N, S, S); large sets come from the prepared-image cache."""
    if len(faces) * recipe.size**2 > 2**25:
        return prepared(faces, recipe.size, recipe.median_kernel)
    return prepare_uint8(faces.images, recipe.size, recipe.median_kernel)


def steps_at_once(images: int, step_bytes: int) -> int:
    """Return of how many steps of a sequence the features of all images fit into ``HELD_BYTES``: at least one.

    A closed-form fit of more steps takes several passes over the images, and gives the same numbers.
    """
    return max(1, HELD_BYTES // (images * step_bytes))


def joined(batches: Iterable[Tensor], rows: int) -> Tensor:
    """Return batches (B, ...) one after another, (rows, ...), never held twice as ``torch.cat`` would."""
    whole, done = torch.empty(0), 0
    for batch in batches:
        if done == 0:
            whole = batch.new_empty((rows, *batch.shape[1:]))
        whole[done : done + len(batch)] = batch
        done += len(batch)
    if done != rows:
        raise ValueError(f"joined: wanted {rows} rows, got {done}")
    return whole


def epoch_batches(n: int, size: int, seed: int, rank: int = 0, world: int = 1) -> list[Tensor]:
    """Return this process's share of each mini-batch of an epoch (Paper: Sec. III-B, Fig. 1): a fresh permutation.

    The last, smaller mini-batch is left out (the next epoch draws others), unless it is the only one. All processes
    get equally many images.
    """
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    whole = n // size * size
    batches = list(order[:whole].split(size)) if whole else [order]
    return [b[: len(b) // world * world][rank::world] for b in batches]


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of all chance in one epoch, so that an epoch begun again takes the same course."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


class Supervised(nn.Module):
    """The network as the loss sees it, logits and features alone.

    Fabric brings everything that a module returns to float32: with all intermediates that would copy the largest maps.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (B, 1, S, S) to logits (B, C) and the features that center loss draws together (B, F)."""
        logits, parts = self.model(x)
        return logits, parts["features"]


class Trainer:
    """Two stages of one-cycle training, with the closed-form fit (LDA, SVM) at its stated moment.

    Parameters
    ----------
    job : Job
    faces : FaceDataset
        With the split of the job's protocol.
    fabric : Fabric
    folder : Path or None
        For checkpoints; None keeps none.
    progress : bool
    compiled : bool or None
        Compile the network for training; None where it helps, see :func:`compiles`.
    """

    def __init__(
        self,
        job: Job,
        faces: FaceDataset,
        fabric: Fabric,
        folder: Path | None,
        progress: bool,
        compiled: bool | None = None,
    ) -> None:
        self.job, self.recipe, self.fabric, self.folder, self.progress = job, job.recipe, fabric, folder, progress
        self.compiled = compiles(fabric) if compiled is None else compiled
        if self.compiled:
            torch._dynamo.reset()  # of one process's earlier runs: it gives up after a few networks
        where = {part: np.flatnonzero(faces.split == part) for part in ("train", "val", "test")}
        if job.limit is not None and job.limit < len(where["train"]):
            where["train"] = np.sort(np.random.default_rng(0).permutation(where["train"])[: job.limit])
        for part, index in where.items():
            if len(index) == 0:
                raise TrainingError(f"{job.dataset}: protocol {job.protocol!r} leaves no image for {part}")
        if min(len(where["train"]), self.recipe.batch_size) < 2 * fabric.world_size:
            raise TrainingError(
                f"{fabric.world_size} processes: wanted two images or more for each in a mini-batch, got "
                f"{len(where['train'])} training images in mini-batches of {self.recipe.batch_size}"
            )
        if len(np.unique(faces.labels[where["train"]])) < 2:
            raise TrainingError(f"{job.dataset}: the training images are all of one class; wanted two or more")
        self.all_faces, self.faces = faces, {part: faces[index] for part, index in where.items()}
        pixels = pixels_for(faces, self.recipe)
        self.images = {
            part: Images(pixels[index], faces.labels[index], self.recipe, fabric.device)
            for part, index in where.items()
        }
        self.course = self.recipe.course(int((faces.split == "train").sum()))  # a trial's limit does not lengthen it
        torch.manual_seed(job.seed)
        options = {"dropout": self.recipe.dropout, **job.options}
        self.model = network.build(job.model, len(faces.classes), self.recipe.size, **options)
        self.model.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.centers: CenterLoss | None = None
        self.loaded: dict[str, Any] | None = None
        self.curves: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {"epoch": 0, "val_accuracy": -1.0, "val_loss": math.inf, "model": None}
        self.seen, self.train_seconds, self.seconds, self.peak = 0, 0.0, 0.0, 0
        self.tabled = False
        self.started, self.provenance = _now(), results.provenance()
        self.continued: list[dict[str, Any]] = []  # by what other code, versions or machine
        self.provenance["threads"] = torch.get_num_threads()
        _ = self.key  # of the source as it is now, whatever is edited while this runs
        forget_peak_memory(fabric.device)

    # ---- the course of a run -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train through both stages, from the last checkpoint if there is one; the model ends with its best weights."""
        first, second = self.course
        with without_first_maps(self.model) as tabled:
            self.tabled = tabled and self.fabric.device.type == "cpu" and not self.compiled
            for stage, (begin, end) in enumerate(((0, first), (first, first + second)), start=1):
                if len(self.curves) < end:
                    self._stage(stage, begin, end)
        self.model.load_state_dict(self.best["model"])
        clock = time.perf_counter()
        self._fit(stage=2)
        self.seconds += time.perf_counter() - clock

    def _stage(self, stage: int, begin: int, end: int) -> None:
        self._open_stage(stage, begin, end)
        for epoch in range(max(begin, len(self.curves)), end):
            clock = time.perf_counter()
            row = self._epoch(stage, epoch)
            row |= self._validate()
            if not math.isfinite(row["val_loss"]):
                raise TrainingError(f"epoch {epoch + 1}: the validation loss is {row['val_loss']}: training diverged")
            row["seconds"] = round(time.perf_counter() - clock, 3)
            self.seconds += row["seconds"]
            self.curves.append(row)
            if stage == 2:
                self._keep_best(row)
            if epoch + 1 == end:
                clock = time.perf_counter()
                if stage == 1:
                    self._fit(stage)
                self.seconds += time.perf_counter() - clock
            self._save()

    def _open_stage(self, stage: int, begin: int, end: int) -> None:
        """Set up optimiser, schedule and centers; take over a checkpoint's when resuming within the stage."""
        r = self.recipe
        steps = len(epoch_batches(len(self.images["train"]), r.batch_size, 0)) * (end - begin)
        peak = r.learning_rate * (r.second_peak if stage == 2 else 1.0)
        # one pass over all parameters, where Fabric can still clip (its scaler for 16-mixed cannot with a fused step)
        fused = self.fabric.device.type in ("cpu", "cuda") and self.fabric._precision.precision != "16-mixed"
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=peak, weight_decay=r.weight_decay, fused=fused)
        module: Any = Supervised(self.model)
        self.untried = self.compiled
        if self.compiled:  # with dropout's chance as it is without
            how: dict[str, Any] = {"fallback_random": True, "triton.cudagraphs": self.fabric.device.type == "cuda"}
            module = torch.compile(module, dynamic=False, options=how)
        self.module, self.optimizer = self.fabric.setup(module, optimizer)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=max(steps, 2))
        self.centers = None
        state = self.loaded
        if state is not None and state["stage"] == stage and begin < len(self.curves) < end:
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            if state["centers"] is not None:
                self._centers_for(state["centers"].shape[1]).load_state_dict({"centers": state["centers"]})

    def _epoch(self, stage: int, epoch: int) -> dict[str, Any]:
        fabric, r, train = self.fabric, self.recipe, self.images["train"]
        seed = epoch_seed(self.job.seed, epoch)
        torch.manual_seed(seed + fabric.global_rank)  # dropout
        chance = torch.Generator().manual_seed(seed + 1 + fabric.global_rank)  # augmentation
        batches = epoch_batches(len(train), r.batch_size, seed, fabric.global_rank, fabric.world_size)
        batches = [index.to(fabric.device) for index in batches]  # once: a step that copies from here would wait
        total = torch.zeros(4, device=fabric.device)  # loss, center loss, right, images; read once an epoch
        self.module.train()
        bar = tqdm(
            batches,
            desc=f"{self.job.model} {self.job.dataset} epoch {epoch + 1}/{sum(self.course)}",
            disable=not self.progress or fabric.global_rank > 0,
            leave=False,
            mininterval=0.5,
        )
        clock = time.perf_counter()
        with flushed_denormals():
            for index in bar:
                total += self._step(*train.batch(index), chance)
        loss, center, right, n = total.tolist()
        if fabric.world_size > 1:
            loss, center, right, n = fabric.all_reduce(total, reduce_op="sum").tolist()  # type: ignore[union-attr]
            for buffer in self.model.buffers():  # batch norm saw its own share of each mini-batch in each process
                torch.distributed.broadcast(buffer, src=0)
        self.train_seconds += time.perf_counter() - clock
        self.seen += int(n)
        if not math.isfinite(loss):
            raise TrainingError(f"epoch {epoch + 1}: the loss is {loss}: training diverged; try a lower learning rate")
        return {
            "epoch": epoch + 1,
            "stage": stage,
            "learning_rate": self.schedule.get_last_lr()[0],
            "train_loss": loss / n,
            "center_loss": center / n,
            "train_accuracy": right / n,
        }

    def _step(self, x: Tensor, y: Tensor, chance: torch.Generator) -> Tensor:
        """Take one step on a mini-batch.  Paper: Sec. III-B, Eq. 4: L = L_S + lambda L_C."""
        r = self.recipe
        x = augment(x, chance, rotate=r.rotate, flip=r.flip, brightness=r.brightness)
        if self.untried:
            self._try_compiled(x, y)
        self.optimizer.zero_grad()
        if self.compiled:
            torch.compiler.cudagraph_mark_step_begin()  # the last step's outputs may be written over
        logits, features = self.module(x)
        loss = F.cross_entropy(logits.float(), y)
        center = loss.new_zeros(())
        if getattr(self.model, "center_loss", False) and r.center_weight > 0:
            features = features.float().flatten(1)
            centers = self._centers_for(features.shape[1])
            center = centers(features, y)
            loss = loss + r.center_weight * center
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.module, self.optimizer, max_norm=r.clip, error_if_nonfinite=False)
        if self._stepped():
            self.schedule.step()
        if self.centers is not None:  # Eq. 3: once a mini-batch, all processes' images together
            self.centers.update(self._gathered(features.detach()), self._gathered(y))
        with torch.no_grad():
            right = (logits.argmax(1) == y).sum()
            images = torch.full_like(loss, len(y))  # made on the device
            return torch.stack([loss.detach() * len(y), center.detach() * len(y), right.float(), images])

    def _stepped(self) -> bool:
        """Take the optimiser's step; say whether there was one: 16-mixed leaves out what it scaled too far."""
        scaler = getattr(self.fabric._precision, "scaler", None)
        scale = scaler.get_scale() if scaler else 1.0
        self.optimizer.step()
        return scaler is None or scaler.get_scale() >= scale

    def _try_compiled(self, x: Tensor, y: Tensor) -> None:
        """Take the compiled network forwards and backwards once; where it cannot be compiled, go on without, aloud.

        Neither the model nor chance is any further by it.
        """
        self.untried = False
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        devices = [self.fabric.device] if self.fabric.device.type == "cuda" else []
        try:
            with torch.random.fork_rng(devices), warnings.catch_warnings():
                # torch's tracer looks at .grad itself
                warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
                torch.compiler.cudagraph_mark_step_begin()
                logits, features = self.module(x)
                self.fabric.backward(F.cross_entropy(logits.float(), y) + 0 * features.float().sum())
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # of any kind: no C compiler, no headers, an operation without a form
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            warnings.warn(f"the network cannot be compiled ({said}); training goes on without", stacklevel=2)
            self.compiled = False
            self.module = self.fabric.setup_module(Supervised(self.model)).train()
        self.optimizer.zero_grad()
        with torch.no_grad():
            for name, buffer in self.model.named_buffers():
                buffer.copy_(buffers[name])

    def _centers_for(self, width: int) -> CenterLoss:
        if self.centers is None:  # each stage has features of its own, so its centers start anew
            classes = len(self.faces["train"].classes)
            self.centers = CenterLoss(classes, width, self.recipe.center_rate).to(self.fabric.device)
        return self.centers

    def _gathered(self, x: Tensor) -> Tensor:
        if self.fabric.world_size == 1:
            return x
        return self.fabric.all_gather(x).flatten(0, 1)  # type: ignore[union-attr]

    def _fit(self, stage: int) -> None:
        """Fit LDA or the SVM in closed form, on unaugmented training images, if now is its moment (Q9, Q17)."""
        if not self.model.fit_is_due(stage, finished=True):  # type: ignore[operator]
            return
        wanted, train = str(self.model.fits_on), self.images["train"]
        labels = train.labels.cpu()

        def gathered(some: slice) -> Tensor:
            return joined((parts[wanted][:, some].cpu() for _, parts in self._forward(train)), len(train))

        if not self.model.fits_by_step:
            self.model.fit_stage(gathered(slice(None)), labels)  # type: ignore[operator]
            return
        sequence = next(self._forward(train))[1][wanted]  # (B, T, D), to see how large a step is
        at_once = steps_at_once(len(train), sequence[0, 0].numel() * sequence.element_size())
        for first in range(0, sequence.shape[1], at_once):
            self.model.fit_stage(gathered(slice(first, first + at_once)), labels, first)  # type: ignore[operator]

    def _forward(self, images: Images) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        self.model.eval()
        for x, _ in images.in_order():
            with torch.no_grad(), self.fabric.autocast():
                logits, parts = self.model(x.contiguous(memory_format=torch.channels_last))
            yield logits.float(), parts

    def _validate(self) -> dict[str, float]:
        images = self.images["val"]
        logits = torch.cat([logits for logits, _ in self._forward(images)])
        return {
            "val_loss": float(F.cross_entropy(logits, images.labels)),
            "val_accuracy": float((logits.argmax(1) == images.labels).float().mean()),
        }

    def _keep_best(self, row: dict[str, Any]) -> None:
        """Keep the epoch of highest validation accuracy; the lower loss, then the earlier epoch, settles a tie."""
        if (row["val_accuracy"], -row["val_loss"]) > (self.best["val_accuracy"], -self.best["val_loss"]):
            model = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
            self.best = {k: row[k] for k in ("epoch", "val_accuracy", "val_loss")} | {"model": model}

    # ---- what survives a kill ----------------------------------------------------------------------------------------

    @cached_property
    def key(self) -> str:
        """Return what must be equal for a checkpoint to be taken up: job, data, device, precision, method and torch."""
        prints = [part.fingerprint() for part in self.faces.values()]
        given: list[Any] = [self.job.record(), prints, str(self.fabric.device.type)]
        given += [self.fabric.world_size, str(self.fabric._precision.precision), method_digest(), torch.__version__]
        return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()

    def _save(self) -> None:
        if self.folder is None or self.fabric.global_rank > 0:
            return
        state = {
            "key": self.key,
            "stage": self.curves[-1]["stage"],
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "precision": self.fabric._precision.state_dict(),
            "centers": None if self.centers is None else self.centers.centers,
            "curves": self.curves,
            "best": self.best,
            "counts": (self.seen, self.train_seconds, self.seconds, max(self.peak, peak_memory())),
            "started": self.started,
            "provenance": self.provenance,
            "continued": self.continued,
        }
        save_atomically(state, self.folder / "last.pt")

    def resume(self) -> bool:
        """Take up the last checkpoint of this very run; say whether there was one.

        Of several processes the first looks, and tells the others: they may see another disk.
        """
        state = self.fabric.broadcast(self._checkpoint() if self.fabric.global_rank == 0 else None)
        if state is None:
            return False
        self.model.load_state_dict(state["model"])
        self.curves, self.best = state["curves"], state["best"]
        began = [state["provenance"], *state["continued"]]
        self.continued = began[1:] if self.provenance == began[-1] else [*began[1:], self.provenance]
        self.started, self.provenance = state["started"], began[0]
        self.seen, self.train_seconds, self.seconds, self.peak = state["counts"]
        if state["precision"]:  # of 16-mixed, its scale
            self.fabric._precision.load_state_dict(state["precision"])
        self.loaded = state
        return True

    def _checkpoint(self) -> dict[str, Any] | None:
        """Return this run's checkpoint, if there is one: the last, or one that was put aside.

        One of other settings is put aside under its key, so that a pull, another torch or a trial costs no epoch.
        """
        if self.folder is None:
            return None
        last = self.folder / "last.pt"
        state = _read_checkpoint(last)
        if state is not None and state["key"] != self.key:
            aside = _aside(last, state["key"])
            os.replace(last, aside)
            print(f"{last} is of other code, data or settings, and is kept as {aside.name}", file=sys.stderr)
            state = None
        state = state or _read_checkpoint(_aside(last, self.key))
        return state if state is not None and state["key"] == self.key else None

    # ---- the record --------------------------------------------------------------------------------------------------

    def record(self) -> results.Record:
        """Look at the test set, once, and return the record."""
        test = self.faces["test"]
        images = self.images["test"]
        probabilities = torch.cat([torch.softmax(logits, 1).cpu() for logits, _ in self._forward(images)]).numpy()
        predicted = probabilities.argmax(1)
        confidence = probabilities.max(1).astype(float).round(3)
        C = len(test.classes)
        twins = duplicates_of(self.all_faces, "test", "train")
        return {
            **self.job.record(),
            "parameters": self.model.deployed_parameters(),  # type: ignore[operator]
            "classes": list(test.classes),
            "split": {
                **{k: len(v) for k, v in self.faces.items()},
                "subjects": self._subjects(),
                "leaks": self.job.protocol in LEAKING,
            },
            "best_epoch": self.best["epoch"],
            "test": _scores(test.labels, predicted, C),
            "test_without_duplicates": _scores(test.labels[~twins], predicted[~twins], C)
            if twins.any() and not twins.all()
            else None,
            "sequences": sequence_scores(test, predicted, confidence),
            "seconds": round(self.seconds, 1),
            "images_per_second": round(self.seen / max(self.train_seconds, 1e-9), 1),
            "peak_memory_bytes": max(self.peak, peak_memory()),
            "device": self.fabric.device.type,
            **self._gpu(),
            "precision": str(self.fabric._precision.precision),
            "processes": self.fabric.world_size,
            "compiled": self.compiled,
            "tabled": self.tabled,  # the first two blocks trained by fer_repro.lookup
            "data": {
                "fingerprint": self.faces["train"].fingerprint(),
                "test_fingerprint": test.fingerprint(),
                "images": sum(map(len, self.faces.values())),
                "limit": self.job.limit,
            },
            **self.provenance,
            **({"continued": self.continued} if self.continued else {}),
            "started": self.started,
            "finished": _now(),
            "curves": [{k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()} for row in self.curves],
            "predictions": {
                "label": test.labels.tolist(),
                "predicted": predicted.tolist(),
                "confidence": confidence.tolist(),
                "duplicate": np.flatnonzero(twins).tolist(),
                "subject": test.subject.tolist() if (test.subject >= 0).any() else None,
                "sequence": test.sequence.tolist() if (test.sequence >= 0).any() else None,
            },
        }

    def _gpu(self) -> dict[str, Any]:
        if self.fabric.device.type != "cuda":
            return {}
        name, most = torch.cuda.get_device_name(self.fabric.device), torch.cuda.max_memory_allocated(self.fabric.device)
        return {"gpu": {"name": name, "cuda": torch.version.cuda, "peak_memory_bytes": most}}

    def _subjects(self) -> dict[str, list[int]] | None:
        if not any((v.subject >= 0).any() for v in self.faces.values()):
            return None
        return {k: np.unique(v.subject[v.subject >= 0]).tolist() for k, v in self.faces.items()}


METHOD = (  # a checkpoint made by other text of these files is not taken up
    *("attention.py", "augmentation.py", "baselines.py", "bilstm.py", "center_loss.py", "cnn.py", "densenet.py"),
    *("lda.py", "lookup.c", "lookup.py", "network.py", "preprocessing.py", "training.py"),
)


def train(
    faces: FaceDataset,
    model: str,
    recipe: Recipe,
    protocol: str | None = None,
    seed: int = 0,
    fold: int | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    options: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    limit: int | None = None,
    folder: Path | None = None,
    keep: bool = True,
    resume: bool = True,
    progress: bool = False,
    compiled: bool | None = None,
) -> tuple[results.Record, nn.Module]:
    """Train one network once, look at the test set once, and write the record.

    Parameters
    ----------
    faces : FaceDataset
        As :func:`fer_repro.data.load` gives it; the protocol sets its split.
    model : str
        One of :data:`fer_repro.network.NAMES`.
    recipe : Recipe
    protocol : str or None
        See :func:`fer_repro.data.splits.protocol`; None for the data set's own.
    seed : int
        Of the initial weights, the order of images, augmentation and dropout.
    fold : int or None
        Of protocol "subjects".
    device, precision : str
        See :func:`engine`.
    options : mapping
        The network's, see :func:`fer_repro.network.build`; they make a variant.
    changes : mapping
        Fields of the recipe taken otherwise; they make a variant.
    epochs, limit : int or None
        A trial: fewer epochs in all, fewer training images.
    folder : Path or None
        Root of the records; None for :func:`fer_repro.results.root`.
    keep : bool
        Write record and checkpoints; false leaves no trace (a notebook's live experiment).
    resume : bool
        Take up a killed run where its last epoch ended: on a CPU it ends with the same numbers, on a GPU, whose sums
        come in no fixed order, up to rounding.
    progress : bool
        Show a bar for each epoch.
    compiled : bool or None
        Train with ``torch.compile``; None on one CUDA device only, see :func:`compiles`.

    Returns
    -------
    record : dict
    model : nn.Module
        In evaluation mode, with its best weights.

    Raises
    ------
    FileExistsError
        If the record exists already.
    RunInProgress
        If another process is at this run.
    TrainingError, ValueError, DataError
        With one clear message.
    """
    if not 0 <= seed <= LAST_SEED:
        raise ValueError(f"seed: wanted a number of 0 to {LAST_SEED}, got {seed}")
    what = job(faces.name, model, recipe, protocol, seed, fold, options, epochs, limit, changes)
    root = folder or results.root()
    path = results.path_of(what.record(), root)
    if keep and what.complete and path.exists():
        raise FileExistsError(_exists(path))
    keep_memory()
    fabric = engine(device, precision)
    place = what.folder(root) if keep else None
    with _lock(place, fabric):
        if keep and what.complete and path.exists():  # finished by another process since we looked
            raise FileExistsError(_exists(path))
        faces = last_frames(faces, what.recipe.last_frames)
        faces = split_by(faces, what.protocol, seed=seed, fold=fold if what.fold is None else what.fold)
        trainer = Trainer(what, faces, fabric, place, progress, compiled)
        if resume:
            trainer.resume()
        trainer.run()
        record = trainer.record()
        fabric.barrier()  # a process that has failed leaves no record of the others
        if keep and fabric.global_rank == 0:
            assert place is not None
            save_atomically(deployed(trainer.model, record), place / "best.pt")
            results.write(record, root, replace=True)
            for done_with in (last := place / "last.pt", _aside(last, trainer.key)):
                done_with.unlink(missing_ok=True)
        fabric.barrier()
    return record, trainer.model.eval()


DEPLOYED = ("model_state", "dataset", "model", "protocol", "seed", "fold", "recipe", "options", "classes")


def deployed(model: nn.Module, record: results.Record) -> dict[str, Any]:
    """Return what `evaluate` and `predict` need: weights, and how the network was built and its images prepared."""
    names = (*DEPLOYED[1:], "complete", "precision")
    return {"model_state": model.state_dict(), **{k: record[k] for k in names}}


def load_model(path: Path | str) -> tuple[nn.Module, dict[str, Any]]:
    """Load a finished network from ``best.pt``; return it with its description.

    Raises
    ------
    TrainingError
        If the file is missing, damaged or something else.
    """
    try:
        state = load_checked(Path(path))
        if missing := [name for name in DEPLOYED if name not in state]:
            raise ValueError(f"without {', '.join(missing)}")
        recipe = recipe_of(state)
        options = {"dropout": recipe.dropout, **state["options"]}
        model = network.build(state["model"], len(state["classes"]), recipe.size, **options)
        weights = state.pop("model_state")
        if odd := [name for name, w in weights.items() if w.is_floating_point() and not w.isfinite().all()]:
            raise ValueError(f"{odd[0]} is not finite")
        model.load_state_dict(weights)
    except FileNotFoundError:
        raise TrainingError(f"{path}: no such checkpoint; `fer-repro train` makes one") from None
    except Exception as error:
        raise TrainingError(f"{path}: not a checkpoint of fer-repro, or damaged: {error}") from None
    return model.eval(), state


@torch.no_grad()
def probabilities(
    model: nn.Module, recipe: Recipe, faces: FaceDataset, device: str = "cpu", precision: str = "32-true"
) -> NDArray[np.float32]:
    """Return the class probabilities (N, C) of a finished network for faces of any size.

    Of CNN-SVM they are the softmax of its machines' scores, an order and no calibrated chance. A network trained in
    mixed precision gives its record's numbers in that ``precision`` (see :func:`engine`) only.
    """
    fabric = engine(device, precision)
    images = Images(pixels_for(faces, recipe), faces.labels, recipe, fabric.device)
    model = model.to(fabric.device).eval()
    with fabric.autocast():
        return torch.cat([torch.softmax(model(x)[0].float(), 1).cpu() for x, _ in images.in_order()]).numpy()


def recipe_of(description: Mapping[str, Any]) -> Recipe:
    """Return the Recipe that a record or checkpoint describes.

    Raises
    ------
    ValueError
        If it has fields that this version does not know.
    """
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in description["recipe"].items()}
    if unknown := sorted(values.keys() - {f.name for f in fields(Recipe)}):
        raise ValueError(f"of another version, whose recipe has {', '.join(unknown)}")
    return Recipe(**values)


def sequence_scores(
    faces: FaceDataset, predicted: NDArray[np.int64], confidence: NDArray[np.floating]
) -> dict[str, Any] | None:
    """Score one vote a sequence, see :func:`fer_repro.metrics.sequence_vote`.  None where sequences are unknown."""
    if len(faces) == 0 or (faces.sequence < 0).any():
        return None
    votes = metrics.sequence_vote(faces.labels, predicted, faces.sequence, confidence, faces.subject)
    return {
        **_scores(votes.label, votes.predicted, len(faces.classes)),
        "label": votes.label.tolist(),
        "predicted": votes.predicted.tolist(),
        "sequence": votes.sequence.tolist(),
        "subject": votes.subject.tolist(),
    }


def _aside(last: Path, key: str) -> Path:
    """Return where the checkpoint of another key stands, beside the last one."""
    return last.with_name(f"{last.stem}-{key[:8]}{last.suffix}")


def _read_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return what :meth:`Trainer._save` wrote; None where there is nothing, or, and that is said, nothing whole."""
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = load_checked(path)
        if not re.fullmatch("[0-9a-f]{64}", state["key"]):
            raise ValueError("its key is none of a run")
    except Exception as error:  # a damaged or foreign file of any kind only means to begin again
        print(f"{path} cannot be read ({error}); this run begins anew", file=sys.stderr)
        return None
    return state


def load_checked(path: Path) -> Any:
    """Load what torch has saved, to the CPU; damaged content, which torch itself takes for weights, is a ValueError."""
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} does not have its checksum")
    return torch.load(path, map_location="cpu", weights_only=True)


def save_atomically(state: Any, path: Path) -> None:
    """Save with torch, whole or not at all: a full disk or a kill leaves the earlier file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        raise TrainingError(f"{path}: cannot be written ({error}); is the disk full?") from None
    finally:
        temporary.unlink(missing_ok=True)


def is_first_process() -> bool:
    """Say whether this process is the only one, or the first of those that ``torchrun`` started."""
    return int(os.environ.get("RANK", "0")) == 0


def peak_memory() -> int:
    """Return the most memory this process has held, bytes; 0 where the system does not say (Windows)."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak_memory(device: torch.device) -> None:
    """Let :func:`peak_memory`, and the GPU's, count from here: a process may train many runs, one after another."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):  # Linux alone has this
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


@cache
def method_digest() -> str:
    """Return hex digits of the source that decides a run's course, as this process has imported it."""
    here = Path(__file__).parent
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in METHOD)).hexdigest()


class _lock:
    """Hold a run, so that two sweeps on one folder never do it twice; the kernel lets go when the process dies."""

    def __init__(self, folder: Path | None, fabric: Fabric) -> None:
        self.lock = None
        if folder is not None and fabric.global_rank == 0:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                raise TrainingError(f"{folder}: wanted a folder for this run's checkpoints, got a file") from None
            self.lock = FileLock(folder / "lock")

    def __enter__(self) -> None:
        if self.lock is not None:
            try:
                self.lock.acquire(timeout=0)
            except Timeout:
                raise RunInProgress(f"another process is at this run ({self.lock.lock_file} is held)") from None
            for left in Path(self.lock.lock_file).parent.glob(".*.pt.*.tmp"):  # of a process killed while it saved
                left.unlink(missing_ok=True)

    def __exit__(self, *_: object) -> None:
        if self.lock is not None:
            self.lock.release()


def _scores(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> dict[str, Any]:
    found = metrics.scores(labels, predicted, classes)
    scores = {k: round(float(found[k]), 6) for k in ("accuracy", "precision", "recall", "f1")}
    return {"n": len(labels), **scores, "confusion": np.asarray(found["confusion"]).tolist()}


def _exists(path: Path) -> str:
    return f"{path} exists, and a record is never overwritten; --results FOLDER keeps runs of your own apart"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
