# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (chap-speed)=
# # Speed: the same numbers, sooner

# %% tags=["parameters"]
profile = "quick"
dataset = "synthetic"
data_dir = None
seed = 0
device = "auto"

# %%
import time
from contextlib import nullcontext

import numpy as np
import pandas as pd
import torch

from fer_repro import cnn, data, figures, lookup, network, paper, recipe, results, speed, sweep, training
from fer_repro.figures import speed as pictures

found = {name: speed.record(name) for name in speed.NAMES}
full = speed.fullest(found)  # the training record whose ladder is shown
figures.header_card(
    section="Sec. III-C; cost is nowhere in the paper",
    profile=profile,
    dataset=dataset,
    minutes=60,
    files=[f"fer_repro/{name}" for name in ("speed.py", "cnn.py", "lookup.py", "lookup.c", "training.py")],
)

# %% [markdown]
# ```{index} speed, bfloat16, memory allocator, floating-point operations, data parallelism
# ```
#
# **Questions**
# : Where does the time of a training step go? Which of it is arithmetic that the method needs, and which is waiting?
#   What would a million faces cost?
#
# **Objectives**
# : After this chapter you can set a speed beside the limit of the machine, find an exact shortcut in a network, test
#   that a fast form gives the slow one's numbers, and say what breaks first when the data grow.
#
# ## Why speed belongs in a replication
#
# The paper names no training time {cite:p}`jayaraman2024improved`. Its methods, two data sets, several seeds and ten
# folds are some hundreds of runs; at the speed of a plain loop that is weeks, and a replication that takes weeks is one
# that reports one seed. Intervals and paired tests are bought with speed.
#
# Nothing here changes *what* is computed, and only bfloat16 changes numbers by more than the rounding of float32. Every
# shortcut on this page is held against the plain form by a test.
#
# ## What was asked for, and what was measured

# %%
goals = speed.goals(found)
if goals["measured"].notna().any():
    shown = goals.assign(
        goal=[f"{b} {g:g}" for b, g in zip(goals["bound"], goals["goal"], strict=True)],
        reached=np.where(goals["measured"].isna(), "not measured yet", np.where(goals["reached"], "yes", "no")),
    )
    figures.table(
        shown[["what", "goal", "measured", "reached"]],
        name="tab-speed-goals",
        caption="Goals, set before anything was measured, and what the committed records say.",
        formats={"measured": "{:.2f}"},
    )
else:
    figures.say("Not measured yet: `make bench` prints these ratios.")

# %% [markdown]
# The share counts the network's operations, whether a program carries them out or not: where a shortcut leaves out
# most of them, it may be above 1. {numref}`tab-speed-processors` has what is left beside it.

# %%
figures.say(
    "\n".join(
        f"- {{source}}`benchmarks/{name.split('-')[0]}.py`"
        + (f" in {speed.TRAINED[name]}" if name in speed.TRAINED else "")
        + (" where bfloat16 is slow" if name == "layers-rounded" else "")
        + ": "
        + (f"{speed.machine(r)}; {{record}}`benchmarks/{name}.json`." if r else "not measured yet.")
        for name, r in found.items()
    )
)

# %% [markdown]
# Load is how many processes wanted to run while the measurement did: above the number of cores, times are longer than
# they need be. Ratios bear that better than seconds do, because all ways of one benchmark take turns.
#
# ## A training step, rung by rung
#
# The ladder starts from the loop that most public code on these data has: `float32`, a `Dataset` that decodes, resizes,
# filters and augments one image at a time, a `DataLoader`, a loss read back at each step. Each rung takes up one
# measure, and all train the same network on the same images. The last is the project's own loop, with everything it
# does beside.

# %%
if full:
    rungs = speed.ladder(full)
    size = full["size"]
    figures.show(
        lambda: pictures.ladder(rungs),
        name="fig-speed-ladder",
        caption=f"Training the proposed network at {size}×{size} on {full['threads']} threads ({full['precision']}, "
        f"{full['machine']['cpu']}). Grey is what one would write; the numbers are images a second, and times the "
        "better of the two grey loops.",
        alt="Horizontal bars, longer from rung to rung: "
        + "; ".join(f"{r.way} {r.images_per_second:.0f}" for r in rungs.itertuples())
        + " images a second.",
    )
    best = rungs.iloc[2:-1].loc[rungs.iloc[2:-1]["step"].idxmax()]
    figures.say(
        f"The largest single step is *{best['way']}*, ×{best['step']:.1f}. Peak memory goes from "
        f"{rungs['peak_megabytes'].iloc[0]:,.0f} to {rungs['peak_megabytes'].iloc[-1]:,.0f} MiB."
    )
else:
    figures.say("Not measured yet: `python benchmarks/training.py --json`.")

# %% [markdown]
# What each rung is:
#
# - **Freed memory kept.** A network at 128×128 allocates and frees hundreds of megabytes a step. By default glibc hands
#   large buffers back to the kernel, which clears their pages when they are asked for again: the loop spends its time
#   on page faults. Three calls to the allocator from inside the program end this:

# %%
figures.show_source(training.keep_memory)

# %% [markdown]
# - **Images prepared once.** Resizing and the median filter do not change from epoch to epoch. They are done once and
#   cached by the content of the images; a batch is then one index into a tensor of bytes, and Eq. 1 and the
#   augmentation run on the whole batch.
# - **First block in its algebraic form.** See below: exact, and the largest maps of the network are never made. Those
#   that remain are made in pieces small enough to stay in the processor's cache: product, rounding and ReLU of one
#   piece are done before the next is begun.
# - **Channels last.** The layout that the convolutions of CPUs and GPUs prefer.
# - **bfloat16.** Matrix products and convolutions with 8 bits of mantissa where the processor has instructions for
#   it; weights, sums, losses and LDA stay in float32. This rung alone changes numbers, by rounding; what that does to
#   accuracy is measured below.
# - **First two blocks by table.** The products of the second convolution are not carried out at all, see below.
#
# ## The limit
#
# How fast could it be? A loop that carries out the network's products is no faster than the machine multiplies
# matrices. We count a step's floating-point operations and divide by what one large matrix product reaches in the same
# run, at the same precision:

# %%
if full:
    parts, products, tabled = full["operations_an_image"], full["matrix_product"], full.get("tabled_operations", 0.0)
    whole = sum(parts.values())
    before = max(m["images_per_second"] for way, m in full["ways"].items() if way not in (speed.OURS, speed.TABLE))
    limit = products["bfloat16" if full["precision"].startswith("bf16") else "float32"]
    figures.say(
        f"One image costs {whole / 1e9:.2f} GFLOP forward and backward, {parts['LSTM'] / whole:.0%} of it in the LSTM. "
        "That machine's matrix product reaches "
        + " and ".join(f"{rate / 1e9:,.0f} GFLOP/s in {kind}" for kind, rate in products.items())
        + f". The ladder's best rung that carries all operations out reaches **{before * whole / limit:.0%}** of the "
        f"limit at its precision ({full['precision']})."
    )
    if tabled:
        figures.say(
            f"The table leaves {tabled / whole:.0%} of the operations out. Counted with them, training reaches "
            f"{full['share_of_gemm']:.0%} of what would be the limit; of the operations that are left it carries out "
            f"{full['share_of_gemm'] * (1 - tabled / whole):.0%} of what the product would, and fills the table, too."
        )

# %% [markdown]
# The rest is what no product is: batch norm, ReLU and pooling only move memory; the LSTM's steps must wait for each
# other; the optimiser reads and writes every weight. What the count leaves out also counts against us: augmentation,
# Eq. 1, the update of the centers.
#
# Many processors multiply bfloat16 more slowly than those with AMX, or have no instructions for it. What one gets
# depends on the processor more than on the code:

# %%
kinds = {how: r for name, how in speed.TRAINED.items() if (r := found[name])}
others = {how: r for how, r in kinds.items() if r is not full}
if kinds:
    rows = speed.processors(found)
    figures.table(
        pd.DataFrame(
            {
                "trained in": rows["how"],
                "plain loop, images/s": rows["plain"],
                "ours, images/s": rows["ours"],
                "times": rows["times"],
                "by table": np.where(rows["tabled"], "yes", "no"),
                "product, GFLOP/s": rows["product"] / 1e9,
                "share": 100 * rows["share"],
                "of what is left": 100 * rows["left"],
                "all products, times": rows["ceiling"],
                "plain loop, MiB": rows["plain_megabytes"],
                "ours, MiB": rows["megabytes"],
                "processor": rows["cpu"],
            }
        ),
        name="tab-speed-processors",
        caption="Training the proposed network at "
        + " and ".join(sorted({f"{r['size']}×{r['size']} on {r['threads']} threads" for r in kinds.values()}))
        + ". *By table*: measured with the first two blocks by table; the others before there was one. *Product*: one "
        "large matrix product at the same precision; *share*: the network's operations a second over its, in percent, "
        "and the same of those that are carried out. *All products*: how many times the plain loop a program would be "
        "that did nothing but all of this network's operations at that speed. Memory is the peak of the whole process.",
        formats={
            "plain loop, images/s": "{:.0f}",
            "ours, images/s": "{:.0f}",
            "times": "{:.1f}",
            "product, GFLOP/s": "{:,.0f}",
            "share": "{:.0f}",
            "of what is left": "{:.0f}",
            "all products, times": "{:.1f}",
            "plain loop, MiB": "{:,.0f}",
            "ours, MiB": "{:,.0f}",
        },
    )
    wanted = speed.GOALS[0][1]
    out = rows.loc[rows["ceiling"] < wanted, "how"].tolist()
    if out:
        beyond = rows.loc[rows["tabled"] & (rows["times"] >= wanted), "how"].tolist()
        figures.say(
            f"A program that carries out all products would not be {wanted:g} times as fast as the plain loop, as was "
            f"asked for, in {', '.join(out)}." + (f" With the table, ours is in {', '.join(beyond)}." if beyond else "")
        )
    for r in kinds.values():
        products, has = r["matrix_product"], r["machine"].get("instructions", [])
        slower = products.get("bfloat16", np.inf) < products["float32"]
        if slower and "amx_bf16" not in has:
            figures.say(
                f"The {r['machine']['cpu']} without AMX has an instruction for bfloat16, too: its "
                f"product in bfloat16 reaches {products['bfloat16'] / 1e9:,.0f} GFLOP/s, "
                f"{products['bfloat16'] / products['float32']:.2f} times that in float32. `--precision auto` therefore "
                "takes bfloat16 of an Intel processor only together with AMX."
            )
if others:
    figures.say("The same ladder on the others:")
    figures.table(
        pd.concat(
            {
                f"{how}: {what}": speed.ladder(r).set_index("way")[column]
                for how, r in others.items()
                for column, what in (("images_per_second", "images/s"), ("times_faster", "times"))
            },
            axis=1,
        ).reset_index(),
        name="tab-speed-ladders",
        caption="Images a second, and times the better of the two plain loops, the first two rows.",
        formats={f"{how}: {what}": "{:.1f}" for how in others for what in ("images/s", "times")},
    )
if kinds:
    cold = [how for how, r in kinds.items() if not r.get("warmed_up")]
    if cold:
        figures.say(
            "A process waits in its first steps while the kernel clears the memory that it is given. A run has "
            f"thousands of steps; the records of {' and '.join(cold)} were timed with those first ones among few, "
            "which takes from the kept memory's rungs and from ours, and not from the plain loops."
        )
else:
    figures.say("Not measured yet: `python benchmarks/training.py --json`.")

# %% [markdown]
# ## Numbers too small for anything but waiting
#
# On an Intel processor a run in float32 took longer for each step as it went on. Training had carried some of the
# LSTM's gates so far that a sigmoid of their sums is next to nothing, and the gradient through it smaller than
# 1.2·10⁻³⁸, the least that float32 holds with all its digits. What lies below is *denormal*: the
# processor leaves its fast path for each such number, and nothing in the result hangs on it. AMX takes them for zero
# anyway. So do we, while training:

# %%
figures.show_source(training.flushed_denormals)

# %%
if found["denormals"]:
    r = found["denormals"]
    figures.table(
        pd.DataFrame(
            {
                "spread of a gate's sum": [int(spread) for spread in r["times_faster"]],
                "kept, ms": list(r["milliseconds"]["kept"].values()),
                "zero, ms": list(r["milliseconds"]["flushed"].values()),
                "times": list(r["times_faster"].values()),
            }
        ),
        name="tab-speed-denormals",
        caption=f"One way back through the BiLSTM in float32, {r['batch']} images, {r['machine']['cpu']}: with "
        "denormal numbers kept and taken for zero. A spread of 2 is about that of a network as it is built; in "
        "training only some gates go far, so that a run as a whole gains less.",
        formats={"kept, ms": "{:,.0f}", "zero, ms": "{:,.0f}", "times": "{:.1f}"},
    )
else:
    figures.say("Not measured yet: `python benchmarks/denormals.py --json`.")

# %% [markdown]
# ## An exact shortcut
#
# The first convolution of the paper is (1×1, 32) on a grey image: each of its 32 maps is the image times a number.
# Batch norm, ReLU and max-pooling follow. Each map is a monotone function of the grey value, and a maximum passes
# through a monotone function:
#
# $$
# \max_i \operatorname{relu}(a x_i + d) =
# \begin{cases}
# \operatorname{relu}(a \max_i x_i + d) & a \ge 0 \\
# \operatorname{relu}(a \min_i x_i + d) & a < 0
# \end{cases}
# $$ (eq-speed-monotone)
#
# The statistics that batch norm wants follow from those of the image: the mean of $wx$ is $w\,m$, its variance
# $w^2 v$. So two maps of a quarter of the size (largest and smallest of each 2×2 square) replace 32 of full size. In
# code:

# %%
figures.show_source(cnn.PointwiseBlock.forward)

# %% [markdown]
# By hand, for one square of four pixels and two channels:

# %%
x = torch.tensor([[0.2, -1.0], [0.7, 0.1]])
a, d = torch.tensor([1.5, -2.0]), torch.tensor([0.1, 0.3])
plain = torch.relu(a[:, None, None] * x + d[:, None, None]).amax((1, 2))
short = torch.relu(torch.where(a >= 0, a * x.max(), a * x.min()) + d)
assert torch.allclose(plain, short)
{"pooled maps": plain.tolist(), "from the extremes": short.tolist()}

# %% [markdown]
# Values are not enough: training needs the same gradients and running statistics, too. Where two pixels of a square
# are equally large, both forms must send the gradient to the same one. Below both are trained side by side for some
# steps, from the same weights on the same batches, in double precision so that rounding cannot hide a fault.


# %%
def trained(fast, steps=20, size=24):
    torch.manual_seed(seed)
    net = cnn.SevenLayerCNN(fast=False).double()
    if fast:
        state = net.state_dict()
        net = cnn.SevenLayerCNN(fast=True).double()
        net.load_state_dict(state)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    losses = []
    for step in range(steps):
        batch = torch.randn(16, 1, size, size, generator=torch.Generator().manual_seed(step))
        loss = (net(batch.double())[0].mean((1, 2, 3)) - batch.double().std((1, 2, 3))).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses), torch.cat([p.detach().flatten() for p in net.state_dict().values()])


(slow_losses, slow), (fast_losses, fast) = trained(False), trained(True)
apart = {"losses": np.abs(slow_losses - fast_losses).max(), "weights and statistics": (slow - fast).abs().max().item()}
figures.say(
    f"After {len(slow_losses)} steps the loss has fallen from {slow_losses[0]:.0e} to {slow_losses[-1]:.0e}. The two "
    f"forms are at most {apart['losses']:.0e} apart in the loss, and {apart['weights and statistics']:.0e} in weights "
    "and running statistics: rounding."
)
assert max(apart.values()) < 1e-8 < slow_losses[0] - slow_losses[-1]

# %% [markdown]
# And what it brings, here and now, on the machine that executed this page:


# %%
def milliseconds(net, batch, repeats=5):
    best = np.inf
    for _ in range(repeats):
        clock = time.perf_counter()
        net(batch)[0].sum().backward()
        best = min(best, time.perf_counter() - clock)
    return 1e3 * best


training.keep_memory()
batch = torch.randn(16, 1, 128, 128)
took = {
    name: milliseconds(cnn.SevenLayerCNN(fast=name == "algebraic").train(), batch) for name in ("plain", "algebraic")
}
figures.say(
    f"One forward and backward pass of the CNN on 16 images of 128×128: {took['plain']:.0f} ms in the plain form, "
    f"{took['algebraic']:.0f} ms in the algebraic one."
)

# %% [markdown]
# ## A table in place of products
#
# After the shortcut, the 5×5 convolution is the largest part of the step by far. It multiplies each pixel's 32 numbers
# with 32×32 weights for each of its 25 taps. But those 32 numbers are not any numbers: all are made of one grey value
# $v$ (the largest of its square for channels with $a_c \ge 0$, the smallest for the others), as
# $\operatorname{relu}(a_c v + d_c)$. So what a tap adds to an output $o$ is a function of $v$ alone,
#
# $$
# \begin{aligned}
# f_o(v) &= \sum_{c} w_{oc} \operatorname{relu}(a_c v + d_c) = s_{io}\,v + t_{io},\\
# s_{io} &= \sum_{c \text{ active on } i} w_{oc}\, a_c, \qquad t_{io} = \sum_{c \text{ active on } i} w_{oc}\, d_c,
# \end{aligned}
# $$ (eq-speed-pieces)
#
# linear on each piece $i$ between two neighbouring kinks $-d_c/a_c$. Slopes and intercepts are made once a step. A
# pixel then costs one multiplication and two additions an output and tap, where it cost 32 of each. Below is one tap of
# a network whose batch norms have been moved about; the ticks are the kinks.

# %%
torch.manual_seed(seed)
net = cnn.SevenLayerCNN()
with torch.no_grad():
    for block in net.blocks[:2]:
        block.norm.weight.copy_(1 + 0.3 * torch.randn(32))
        block.norm.bias.copy_(0.6 * torch.randn(32))
    x = torch.randn(1, 1, 16, 16)
    a, d = net.blocks[0].line(x)
    w = net.blocks[1].convolution.weight.detach()[:4, :, 2, 2]  # four outputs of the tap in the middle
    rising = a >= 0
    v = torch.linspace(-2.5, 2.5, 801)
    hidden = torch.relu(a[:, None] * v + d[:, None])  # what the first block makes of v
    added = w[:, rising] @ hidden[rising]
figures.show(
    lambda: pictures.tap(v.numpy(), added.numpy(), (-d / a)[rising].numpy()),
    name="fig-speed-tap",
    caption="What the middle tap of the second convolution adds to four of its 32 outputs, by the grey value it sees; "
    f"of the {int(rising.sum())} channels that see the largest pixel. Ticks: where a channel begins to be active.",
    alt="Four curves over the grey value, all zero at the left, each a chain of straight pieces that bend at the "
    "ticks, which crowd around the middle.",
)

# %% [markdown]
# By hand, for the first output at one value: the channels active there, their weights, one line.

# %%
at = 0.4
active = rising & (a * at + d > 0)
slope, intercept = (w[0, active] * a[active]).sum(), (w[0, active] * d[active]).sum()
plain = (w[0, rising] * torch.relu(a * at + d)[rising]).sum()
assert torch.allclose(slope * at + intercept, plain, atol=1e-5)
{"channels active": int(active.sum()), "s v + t": (slope * at + intercept).item(), "the plain sum": plain.item()}

# %% [markdown]
# The way back is of the same kind. The gradient of a piece's slope is the sum of $g\,v$ over the pixels that lie on it,
# that of its intercept the sum of $g$; all else, the weights of both convolutions and of the first batch norm, follows
# from these two sums by the chain rule, through {eq}`eq-speed-pieces`, which made the table. PyTorch does that by
# itself:

# %%
figures.show_source(lookup._table)

# %% [markdown]
# What makes it quick is that neighbouring pixels mostly lie on the same piece: in training the kinks stay near the mean
# grey value, and most of a face is well above it or well below. A row is cut into runs of one piece, whose slope and
# intercept stay in the processor's registers; and where no channel is active, nothing is added at all. As the maps are
# gone through anyway, batch norm's sums and the largest number of each square are taken along. That loop is
# {source}`fer_repro/lookup.c`. Without a C compiler on the machine the network takes its ordinary layers.
#
# As before: both forms side by side, the same weights, the same batches. The loop computes in float32, so that the two
# are apart by its rounding, and a step makes more of it: a pixel that rounding moves across a kink changes a gradient.

# %%
if lookup.available():
    faces = data.load("synthetic", n=64)
    grey = torch.from_numpy(faces.images).float()[:, None]
    grey = (grey - grey.mean()) / grey.std()

    def course(tabled, steps=20):
        torch.manual_seed(seed)
        net = cnn.SevenLayerCNN()
        head = torch.nn.Linear(net.channels * net.output_size(grey.shape[-1]) ** 2, len(faces.classes))
        optimizer = torch.optim.AdamW([*net.parameters(), *head.parameters()], lr=1e-3)
        losses = []
        for _ in range(steps):
            with cnn.without_first_maps(net) if tabled else nullcontext():
                out = head(net(grey)[0].flatten(1))
            loss = torch.nn.functional.cross_entropy(out, torch.from_numpy(faces.labels))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return np.array(losses)

    slow, quick = course(False), course(True)
    apart = np.abs(slow - quick)
    figures.say(
        f"On {len(grey)} drawn faces the loss falls from {slow[0]:.2f} to {slow[-1]:.2f} in {len(slow)} steps. The two "
        f"forms are {apart[0]:.1g} apart at the first and at most {apart.max():.1g} later."
    )
    assert apart[0] < 1e-4 and apart.max() < 0.05 * slow[0] and slow[-1] < slow[0]
    with cnn.without_first_maps(net := cnn.SevenLayerCNN().train()):
        took["by table"] = milliseconds(net, batch)
    figures.say(
        f"One pass of the CNN on the 16 images above takes {took['by table']:.0f} ms by table, "
        f"{took['plain'] / took['by table']:.1f} times as fast as in the plain form. (Those are noise, where runs are "
        "short; faces are quicker.)"
    )
else:
    figures.say("No C compiler is at hand here, so that this page cannot show it.")

# %% [markdown]
# ## Forms for other parts
#
# A second part has two forms, for another reason. DSCNN's 5×5 kernels see one channel each, and in bfloat16 the
# gradient of their weights took the processor's library longer than all else in the step, on the machine named in the
# table. It is the diagonal of the gradient that a dense convolution between all 32 channels would get: 32 times the
# multiplications, but as matrix products, and sooner done. `DepthwiseConvolution` in {source}`fer_repro/cnn.py` takes
# it from there, in bfloat16 only, and on CPUs that are quick at it.


# %%
def layers(name: str, label: str) -> None:
    """Show a record of ``benchmarks/layers.py``."""
    r = found[name]
    if not r:
        figures.say("Not measured yet: `python benchmarks/layers.py --json`.")
        return
    figures.table(
        pd.DataFrame(
            [
                (what, precision, took["plain"], took["fast"], r["times_faster"][precision][what])
                for precision, parts in r["milliseconds"].items()
                for what, took in parts.items()
            ],
            columns=["what", "precision", "plain, ms", "fast, ms", "times faster"],
        ),
        name=label,
        caption=f"One pass forward and backward on {r['batch']} images of {r['size']}×{r['size']}, by the record of "
        "`benchmarks/layers.py`: " + speed.machine(r) + ".",
        formats={"plain, ms": "{:,.0f}", "fast, ms": "{:,.0f}", "times faster": "{:.1f}"},
    )


layers("layers", "tab-speed-layers")

# %% [markdown]
# The last form is for processors that are slow at bfloat16. A product of two numbers with 8 bits of mantissa has at
# most 16, which float32 holds exactly, and bfloat16 convolutions add up in float32, too. So `RoundedConvolution` rounds
# the factors, convolves in float32 and rounds the sums: the numbers are those of bfloat16, but for the order of adding,
# in which any two processors differ. It is not a way to train faster, since float32 itself is as fast there, but one to
# repeat a run that was recorded in bfloat16.

# %%
layers("layers-rounded", "tab-speed-layers-rounded")

# %% [markdown]
# ## Does bfloat16 cost accuracy?
#
# It might, so it is to be run, not argued: the same seeds, the same order of images, the same test images, once in
# mixed bfloat16 and once in float32 throughout. Two such runs part ways after some steps (training multiplies small
# differences), so a single pair says little more than another seed would.

# %%
effect = speed.precision_effect()
if len(effect):
    figures.table(
        effect.assign(
            data=[f"{paper.DATASET_NAMES[r.dataset]}, {r.recipe}" for r in effect.itertuples()],
            difference=[
                f"{100 * r.difference:+.1f} ({100 * r.low:+.1f} to {100 * r.high:+.1f})" for r in effect.itertuples()
            ],
        )[["data", "model", "seeds", "mixed", "float32", "difference", "p"]].replace({"model": paper.METHOD_NAMES}),
        name="tab-speed-bf16",
        caption="Mean accuracy over seeds in mixed bfloat16 and in float32, the difference in points with its 95 % "
        "interval, and a p-value: McNemar's on FER2013's PrivateTest, the bootstrap's over subjects on CK+'s "
        "sequences, all ten folds together.",
        formats={"mixed": "{:.1%}", "float32": "{:.1%}", "p": "{:.2f}"},
    )
    figures.say(
        "No difference is significant at 5 %."
        if (effect["p"] >= 0.05).all()
        else "A difference is significant at 5 %: the precision is part of the recipe, and each record names it."
    )
else:
    figures.say("Not run yet: `fer-repro sweep plans/float32-native48.toml`.")

# %% [markdown]
# ## What has run, and what the rest would cost
#
# Every run that a verdict or a comparison wants is written down in a plan. What has no record is not run yet:

# %%
plans = sorted(sweep.PLANS.glob("*.toml"))
if plans:
    left = sweep.outlook(plans, results.root())
    figures.table(
        left,
        name="tab-speed-plans",
        caption="The plans, their runs, and the hours that those left would take on one core, by what such runs took "
        "before: on the processor that was quickest at them, and on the slowest (empty: none of that kind has run).",
        formats={"hours": "{:.1f}", "slowest": "{:.1f}"},
    )
    figures.say(
        f"{left['done'].sum():,} of {left['planned'].sum():,} planned runs have their record; the rest would take "
        f"{left['hours'].sum():.0f} to {left['slowest'].sum():.0f} hours, by the processor"
        + (", the kinds of which none has run not counted." if left["hours"].isna().any() else ".")
    )

# %% [markdown]
# ## How it grows

# %%
if found["growth"]:
    g = found["growth"]
    figures.show(
        lambda: pictures.growth(g),
        name="fig-speed-growth",
        caption="Training time and memory against the number of images, their size, and the batch. Dashed: what linear "
        "growth through the last point would be. The machine is shared: a single point may be off its neighbours.",
        alt="Four panels. Seconds an epoch rise along a straight line with images, memory too; milliseconds an image "
        "rise with the side; images a second rise with the batch and level off.",
    )
    e = g["exponents"]
    figures.say(
        f"Time grows with the power {e['epoch seconds, images']:.2f} of the number of images and "
        f"{e['seconds an image, pixels']:.2f} of the number of pixels. A further image of 48×48 takes "
        f"{g['bytes_an_image'] / 2**10:.1f} KiB of memory; pixels and LDA's features account for "
        f"{sum(speed.bytes_an_image(48).values()) / 2**10:.1f}."
    )
else:
    figures.say("Not measured yet: `python benchmarks/growth.py --json`.")

# %% [markdown]
# Two processes instead of one, started by PyTorch's launcher; each takes half of every mini-batch, and the gradients
# are averaged:

# %%
if found["growth"]:
    figures.table(
        pd.DataFrame(
            [
                (name, p["images_per_second"], found["growth"]["scaling"][name])
                for name, p in found["growth"]["processes"].items()
            ],
            columns=["how", "images a second", "times one"],
        ),
        name="tab-speed-processes",
        caption="Processes and threads on the same two cores, 64×64.",
        formats={"images a second": "{:,.0f}", "times one": "{:.2f}"},
    )

# %% [markdown]
# ### A million faces, a hundred million
#
# What follows from these measurements for larger sets, trained for as many epochs as FER2013 is, at 128×128:

# %%
course = sum(recipe.get("paper128").epochs)
counts = (28_709, 1_000_000, 100_000_000)
each = speed.bytes_an_image(128, images=counts[-1])  # a step of the sequence at a time
if found["training"]:
    r = found["training"]
    here = [
        speed.forecast(
            n,
            course,
            r["ways"]["fer_repro.training"]["images_per_second"],
            sum(speed.bytes_an_image(128, images=n).values()),
            r["machine"]["memory_bytes"],
        )
        for n in counts
    ]
    figures.table(
        pd.DataFrame(here)
        .rename(columns={"gigabytes": "GiB"})
        .assign(fits=lambda t: np.where(t["fits"], "yes", "no"), days=lambda t: t["hours"] / 24)[
            ["images", "hours", "days", "GiB", "fits"]
        ],
        name="tab-speed-forecast",
        caption=f"One run of {course} epochs at 128×128 on the machine of the record: time, the memory that grows with "
        "the images, and whether it fits. No row was run: each is the benchmark's speed times its images, without "
        "validation and LDA; our full runs took longer.",
        formats={"images": "{:,}", "hours": "{:,.1f}", "days": "{:,.1f}", "GiB": "{:,.1f}"},
    )
    limit = r["machine"]["memory_bytes"] / sum(each.values())
    figures.say(
        f"**What breaks first** is memory, at about {limit:,.0f} images: {each['pixels'] / 2**10:.0f} KiB of pixels "
        f"each, and {each['attended features'] / 2**10:.0f} KiB of attended features. LDA is fitted on as many steps "
        f"of the sequence at a time as {training.HELD_BYTES / 2**30:.0f} GiB hold, at least one, and goes over the "
        "images again for the next. The cure is known: scatter matrices are sums over images, so that they can be "
        "gathered batch by batch and no feature need be kept; the pixels can stay in a mapped file. Then time is what "
        "is left, and time can be divided."
    )

# %% [markdown]
# On GPUs the same loop runs under the same launcher. On one of them `torch.compile` first fuses what lies between the
# products and captures the launches of a step as graphs; no step reads a number back. (On a CPU the compiled network
# was the slower one when we tried, so there it runs as written.) Nothing below was measured: it is arithmetic with a
# data sheet's number. A GPU of 2020 is sold with 312 TFLOP/s in bfloat16; small networks reach a fraction of it, here
# taken as 15 %. Each step exchanges the gradients around a ring {cite:p}`patarasuk2009bandwidth`.

# %%
if found["training"]:
    weights = sum(p.numel() for p in network.build("proposed").parameters())
    rows = [
        {
            "images": n,
            "GPUs": gpus,
            **{
                link: speed.on_gpus(
                    *(n, course, sum(r["operations_an_image"].values()), gpus, 312e12, 0.15, 4 * weights, rate, 128)
                )
                for link, rate in (("fast link", 100e9), ("Ethernet", 1.25e9))
            },
        }
        for n in counts[1:]
        for gpus in (1, 8, 64)
    ]
    figures.table(
        pd.DataFrame(
            {
                "images": row["images"],
                "GPUs": row["GPUs"],
                "hours, 100 GB/s between them": row["fast link"]["hours"],
                "hours, 10 Gbit/s": row["Ethernet"]["hours"],
                "waiting on 10 Gbit/s": row["Ethernet"]["exchange"],
            }
            for row in rows
        ),
        name="tab-speed-gpus",
        caption="Estimates, not measurements: one run on N GPUs, 128 images each a step, so that more than one is "
        "another recipe.",
        formats={
            "images": "{:,}",
            "hours, 100 GB/s between them": "{:,.2f}",
            "hours, 10 Gbit/s": "{:,.2f}",
            "waiting on 10 Gbit/s": "{:.0%}",
        },
    )
    figures.say(
        f"The network is small, {weights / 1e6:.1f} million weights, so that a step is over soon and the exchange "
        "takes a large share of it on a slow link. There the link breaks first; larger mini-batches still would help, "
        "and lead further from the recipe."
    )

# %% [markdown]
# ## Closed-form parts, preprocessing, reading
#
# CNN-SVM's machine minimises a sum of squared violations: between margins that is a quadratic, so Newton's method needs
# few steps, however many images there are, and each step is one product of the features with themselves.
# Scikit-learn's `LinearSVC` finds the same minimum, but with passes over the data that grow in number with the images.

# %%
if found["methods"]:
    parts = found["methods"]["parts"]
    figures.table(
        pd.DataFrame(
            [
                (name, p["images"][-1], p["seconds"][-1], p["exponent"], p["peak_megabytes"][-1])
                for name, p in parts.items()
            ],
            columns=["what", "images", "seconds", "exponent", "peak, MiB"],
        ),
        name="tab-speed-methods",
        caption="LDA, the SVM and the statistics at FER2013's full size with the widths of 128×128: time, the power of "
        "the number of images that time grows with (1 is linear), and peak memory.",
        formats={"images": "{:,}", "seconds": "{:.2f}", "exponent": "{:.2f}", "peak, MiB": "{:,.0f}"},
    )
else:
    figures.say("Not measured yet: `python benchmarks/methods.py --json`.")

# %%
if found["preprocessing"]:
    p = found["preprocessing"]
    figures.say(
        f"**Preprocessing** to 128×128 takes {p['microseconds_an_image']['ours']:.0f} µs an image: "
        f"{p['times_as_fast_as_scikit_image']:.1f} times as fast as scikit-image with scipy, and "
        f"{p['time_over_bare_opencv']:.2f} times the time of bare OpenCV calls. All of FER2013 takes "
        f"{p['seconds_for_fer2013']:.1f} s, once."
    )
if found["data"]:
    table = found["data"]
    figures.table(
        pd.DataFrame(
            [
                (kind, way, t["seconds"], t["seconds"] / table[kind]["ways"]["ours"]["seconds"], t["peak_megabytes"])
                for kind in ("csv", "folder", "zip")
                for way, t in table[kind]["ways"].items()
            ],
            columns=["form", "way", "seconds", "times ours", "peak, MiB"],
        ),
        name="tab-speed-data",
        caption=f"Reading {table['images']:,} faces of 48×48, {table['pixels_megabytes']:.0f} MiB of pixels, in three "
        "of the forms FER2013 is handed out in.",
        formats={"seconds": "{:.2f}", "times ours": "{:.1f}", "peak, MiB": "{:,.0f}"},
    )

# %% [markdown]
# ## Peers on the same test set
#
# Networks for this very task ship inside public packages. Fed the same 48×48 crops, past their own face detectors, they
# stand beside ours. Their makers trained on FER2013, too; some chose their epoch on the test halves, so that their
# numbers lean to the high side. Ours, by recipe `native48`, are means over seeds whose epoch was chosen on PublicTest.

# %%
if found["peers"]:
    others = speed.peers(found["peers"])
    figures.table(
        pd.DataFrame(
            {
                "network": np.where(others["ours"], others["name"] + " (ours)", others["name"]),
                "from": others["where"],
                "weights": others["parameters"] / 1e3,
                "accuracy": [
                    f"{100 * r.accuracy:.1f} ({100 * r.low:.1f} to {100 * r.high:.1f})" for r in others.itertuples()
                ],
                "unseen": 100 * others["unseen"],
                "twins": 100 * others["twins"],
                "with flip": 100 * others["flip"],
                "ms, one face": others["milliseconds"],
                "ms, each of 64": others["milliseconds_of_64"],
            }
        ),
        name="tab-speed-peers",
        caption=f"PrivateTest, {found['peers']['images']:,} images, in percent with 95 % intervals (of fewer resamples "
        f"than in other chapters); *unseen* without the {found['peers']['twins']} images that stand in Training pixel "
        "for pixel, *twins* those alone, *with flip* averaged with the mirror image. Weights in thousands; time on "
        f"{found['peers']['threads']} thread.",
        formats={
            "weights": "{:,.0f}",
            "unseen": "{:.1f}",
            "twins": "{:.1f}",
            "with flip": "{:.1f}",
            "ms, one face": "{:.1f}",
            "ms, each of 64": "{:.2f}",
        },
    )
else:
    figures.say("Not measured yet: `python benchmarks/peers.py --json`, with FER2013 on disk.")

# %%
if found["peers"]:
    figures.show(
        lambda: pictures.peers(others),
        name="fig-speed-peers",
        caption="Accuracy on PrivateTest against the time for one face, each network with its number of weights and "
        "its 95 % interval. Circles: ours.",
        alt="A scatter of networks. "
        + "; ".join(f"{r.name}: {100 * r.accuracy:.1f} % in {r.milliseconds:.1f} ms" for r in others.itertuples()),
    )
    best, own = others.iloc[0], others[others["ours"]].iloc[0]
    small = others[
        ~others["ours"] & (others["parameters"] < own["parameters"]) & (others["accuracy"] > own["accuracy"])
    ]
    figures.say(
        f"The best of them, {best['name']}, recognises {100 * best['accuracy']:.1f} %; the best of "
        f"those of ours that were timed, {own['name']}, {100 * own['accuracy']:.1f} %. "
        + (
            f"{len(small)} of the others do better with fewer weights than ours: what holds ours back is not its size. "
            if len(small)
            else ""
        )
        + "All do better on the twins, by {:.1f} to {:.1f} points: ".format(
            *(100 * (others["twins"] - others["unseen"]).agg(["min", "max"]))
        )
        + "whoever trained on FER2013 has seen them."
    )

# %% [markdown]
# Published numbers, quoted and not measured by us; what each rests on stands beside it:

# %%
if found["peers"]:
    figures.table(
        pd.DataFrame(
            {
                "who": q["who"],
                "accuracy": f"{100 * q['accuracy']:.1f}"
                + (f" ± {100 * q['plus_minus']:.0f}" if q["plus_minus"] else ""),
                "kind": q["kind"],
                "note": q["note"],
                "source": f"{{cite:p}}`{q['source']}`",
            }
            for q in sorted(found["peers"]["quoted"], key=lambda q: q["accuracy"])
        ),
        name="tab-speed-quoted",
        caption="FER2013 in print, percent. Quoted.",
        markdown=["source"],
    )

# %% [markdown]
# ## Take-aways
#
# - Know the limit before you optimise: operations a step, over what one matrix product reaches.
# - Take up one measure at a time and time each: narrower arithmetic and maps that nobody needs are not all of it; page
#   faults and repeated decoding cost as well.
# - An exact shortcut is worth more than an approximate one, because a test can prove it. The largest one here came from
#   asking what a layer's input can be at all.
# - What changes numbers, if only by rounding, is measured on the accuracy, with more than one seed.
# - When the data grow, memory breaks before time does: pixels are kept, and LDA as it is written wants a step's
#   features of all images at once.
#
# ## Quiz

# %% [markdown]
# :::{admonition} 1. Why does the shortcut of the first block not work for the second?
# :class: dropdown
# Its convolution is 5×5 over 32 channels. A maximum passes through a monotone function of *one* number; here each
# output depends on the extremes of 25 squares. What does carry over is that each tap alone sees only those of one
# square: hence the table. For the third block even that is gone.
# :::
#
# :::{admonition} 2. And with batch norm after the ReLU (a reading of Q5)?
# :class: dropdown
# Values could still be had from the extremes, since all is monotone per channel. The batch statistics could not: the
# mean of relu(wx) over all pixels does not follow from the mean of x.
# :::
#
# :::{admonition} 3. A loop reaches 90 % of the matrix product's speed in float32. Is there nothing left to gain?
# :class: dropdown
# At this precision and with these operations, little. bfloat16 raises the limit itself, and fewer operations, as in the
# first two blocks, make the same limit go further.
# :::
#
# :::{admonition} 4. Twice as fast on two processes: is that a linear speed-up?
# :class: dropdown
# Of images a second, yes. If each keeps its mini-batch, the mini-batch of a step has doubled, and it is another recipe.
# Here each takes half, so that it is not.
# :::
#
# ## Exercises

# %% [markdown]
# ```{exercise} ★ Operations of one layer
# :label: ex-speed-operations
#
# Count the multiplications and additions of the 5×5 convolution at 128×128, which works on maps of 64×64. What share of
# the network's is that, forward? PyTorch's counter does not see the fused LSTM: count that by hand, too.
# ```
#
# ```{solution-start} ex-speed-operations
# :class: dropdown
# ```

# %% tags=["show-input"]
from torch.utils.flop_counter import FlopCounterMode

layer = 2 * 5 * 5 * 32 * 32 * 64 * 64  # two operations for each weight at each place
with FlopCounterMode(display=False) as counter, torch.no_grad():
    network.build("proposed").eval()(torch.zeros(1, 1, 128, 128))
lstm = 2 * 2 * 16 * 4 * 128 * (1024 + 128)  # two directions, 16 steps, four gates of 128 units on 1024 + 128 inputs
share = layer / (counter.get_total_flops() + lstm)
assert 0.5 < share < 0.75
f"{layer / 1e6:.0f} million, {share:.0%} of all convolutions and products, the LSTM's included, in one pass"

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} ★★ The price of a synchronisation
# :label: ex-speed-item
#
# Reading `loss.item()` at each step makes a GPU wait. On a CPU it costs next to nothing. Why, and what does cost
# something there? Time a thousand small additions with and without it.
# ```
#
# ```{solution-start} ex-speed-item
# :class: dropdown
# ```


# %% tags=["show-input"]
def seconds(read, steps=1000):
    total, clock = torch.zeros(()), time.perf_counter()
    for _ in range(steps):
        total = total + 1
        if read:
            total.item()
    return time.perf_counter() - clock


with_reading, without = (min(seconds(read) for _ in range(7)) for read in (True, False))
assert with_reading > 0 < without
f"{1e3 * with_reading:.1f} µs a step with reading, {1e3 * without:.1f} without"

# %% [markdown]
# A CPU has finished an operation when its call returns, so there is nothing to wait for. What costs here is the call
# itself, some microseconds for each small operation; reading a number adds little to it. A GPU's call returns when the
# work is *queued*, and reading the value drains the queue.
#
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} ★★★ LDA without keeping features
# :label: ex-speed-streaming
#
# Fit the scatter matrices of Eqs 8–12 from batches of which each is seen once, and compare with
# `fer_repro.lda.scatter_matrices` on all at once. Mind the rounding: take sums about a fixed point near the mean.
# ```
#
# ```{solution-start} ex-speed-streaming
# :class: dropdown
# ```

# %% tags=["show-input"]
from fer_repro import lda

rng = np.random.default_rng(seed)
labels = rng.integers(0, 7, 4000)
features = rng.normal(size=(4000, 12)) + 100 + rng.normal(size=(7, 12))[labels]


def streamed(batches, classes=7):
    origin = count = None
    for x, y in batches:
        if origin is None:
            origin = x.mean(0)
            count, sums = np.zeros(classes), np.zeros((classes, x.shape[1]))
            squares = np.zeros((classes, x.shape[1], x.shape[1]))
        for c in range(classes):
            z = x[y == c] - origin
            count[c] += len(z)
            sums[c] += z.sum(0)
            squares[c] += z.T @ z
    means, shares = sums / count[:, None], count / count.sum()
    within = sum(squares[c] / count[c] - np.outer(means[c], means[c]) for c in range(classes))
    apart = means - shares @ means  # the fixed point cancels
    return within, (apart * shares[:, None]).T @ apart


parts = [(features[i : i + 250], labels[i : i + 250]) for i in range(0, 4000, 250)]
for at_once, batch_by_batch in zip(lda.scatter_matrices(features, labels), streamed(parts), strict=True):
    np.testing.assert_allclose(at_once, batch_by_batch, atol=1e-9)
f"equal; kept are {7 * (1 + 12 + 12 * 12)} sums and one batch"

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Run this page again
#
# ```console
# $ make bench                                   # prints every ratio; --json on one of them writes its record
# $ python benchmarks/training.py --json
# $ fer-repro book --only 16_speed
# ```
