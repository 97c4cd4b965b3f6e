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
# (chap-cnn)=
# # The seven-layer network

# %% tags=["parameters"]
profile = "quick"
dataset = "synthetic"
data_dir = None
seed = 0
device = "auto"

# %%
import copy

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from fer_repro import classroom, figures, metrics, preprocessing
from fer_repro.cnn import CONVOLUTIONS, Convolution, ConvolutionBlock, PointwiseBlock, SevenLayerCNN
from fer_repro.data import synthetic
from fer_repro.figures import cnn as pictures
from fer_repro.figures import sensitivity

figures.header_card(
    section="Sec. III-C, III-F",
    claims=["C-1x1", "C-BN"],
    profile=profile,
    dataset=dataset,
    minutes=45,
    questions=["Q5"],
    files=["fer_repro/cnn.py"],
)

# %% [markdown]
# ```{index} convolution, max-pooling, receptive field, batch normalisation, pointwise convolution
# ```
#
# **Questions**
# : Which seven layers does the paper mean, and how do they fit together? What can a 1×1 convolution do to a grey
#   image? What does batch normalisation buy?
#
# **Objectives**
# : After this chapter you can follow the shapes through the network, count its parameters and multiplications by
#   hand, work out how much of a face one value sees, and say why the first layer cannot find an edge.
#
# ## What the paper says
#
# The feature extractor has four convolutions and three down-sampling layers. The convolutions are written as (kernel,
# maps): (1×1, 32), (5×5, 32), (3×3, 32) and (3×3, 64); down-sampling is max-pooling, which keeps the strongest
# response and shrinks the map {cite:p}`jayaraman2024improved`. The first, point-by-point convolution is said to
# improve the representation, to add non-linearity, and, having few parameters, to lower the network's complexity
# (C-1x1). Section III-F adds batch normalisation after each layer, against overfitting and for faster convergence
# (C-BN) {cite:p}`ioffe2015batch`.
#
# ## What it leaves out
#
# **Q5**
# : In which order the four convolutions and three poolings stand; padding and stride; the activation; whether batch
#   normalisation comes before or after it; and whether "each layer" means the convolutions or all that follows them,
#   too: BiLSTM, attention, LDA.
#
# "N×N represents number of convolutions performed" must be a slip for the kernel's size (I19): the next sentences use
# it so.
#
# ## Our reading
#
# Pooling halves the map after the first, the second and the fourth convolution; padding keeps a map's size otherwise;
# batch normalisation stands between convolution and ReLU, where its inventors put it. The first pooling right after
# C1 spares the expensive 5×5 convolution three quarters of its work, and leaving out the pooling after C3 lets both
# 3×3 convolutions work on the same scale. Each choice is a named argument:

# %%
figures.show_source(SevenLayerCNN.__init__)

# %%
size = 48 if profile != "paper128" else 128
network = SevenLayerCNN()
layers = {s: pictures.layer_table(network, s) for s in (48, 128)}

# %%
figures.show(
    lambda: pictures.seven_layers(layers[size], size),
    name="fig-cnn-layers",
    caption="The seven layers with the shapes that leave them: channels × height × width. Convolutions are blue, "
    "poolings "
    "orange. Three poolings make an eighth of the side.",
    alt=f"Eight stacks of sheets from left to right, labelled with their shapes: a single image of {size} by {size}, "
    f"then "
    "four convolutions and three poolings. Sheets get smaller at each pooling and more numerous at the last "
    "convolution.",
)

# %%
shown = layers[48].assign(
    small=lambda t: t["channels"].astype(str) + "×" + t["side"].astype(str) + "²",
    large=layers[128]["channels"].astype(str) + "×" + layers[128]["side"].astype(str) + "²",
    work=layers[128]["multiplications"],
)[["layer", "small", "large", "parameters", "multiplications", "work", "field"]]
total = {
    "layer": "together",
    **{k: shown[k].sum() for k in ("parameters", "multiplications", "work")},
    "field": shown["field"].iloc[-1],
}
shown = pd.concat([shown, pd.DataFrame([total])], ignore_index=True).rename(
    columns={
        "small": "out, at 48",
        "large": "out, at 128",
        "multiplications": "10⁶ mult., at 48",
        "work": "10⁶ mult., at 128",
        "field": "sees, pixels",
    }
)
figures.table(
    shown,
    name="tab-cnn-layers",
    caption="What each layer gives out, holds and costs, and how wide a square of the image one of its values sees. "
    "Parameters include batch normalisation's two a map; a convolution before it needs no bias.",
    formats={
        "parameters": "{:,.0f}",
        "10⁶ mult., at 48": "{:.2f}",
        "10⁶ mult., at 128": "{:.1f}",
        "sees, pixels": "{:.0f}",
    },
)

# %%
share = layers[48].loc[layers[48]["layer"].str.startswith("C2"), ["parameters", "multiplications"]].iloc[0]
whole = layers[48][["parameters", "multiplications"]].sum()
figures.say(
    f"One layer dominates: the 5×5 convolution holds {share['parameters'] / whole['parameters']:.0%} of the parameters "
    f"and does "
    f"{share['multiplications'] / whole['multiplications']:.0%} of the multiplications."
)

# %% [markdown]
# ## Equation beside the code
#
# One block computes, for output channel $k$ at row $i$, column $j$,
#
# $$
# y_{k,i,j} = \sum_{c}\sum_{u}\sum_{v} w_{k,c,u,v}\, x_{c,\,i+u-p,\,j+v-p},
# \qquad
# z_k = \max\!\left(0,\ \gamma_k\,\frac{y_k-\mu_k}{\sqrt{\sigma_k^2+\epsilon}}+\beta_k\right),
# $$ (eq-cnn-block)
#
# and, where a pooling follows, the largest of each 2×2 of $z_k$.
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $x_{c,i,j}$ | input, channel $c$; zero beyond the border | `x` |
# | $w_{k,c,u,v}$ | kernel from channel $c$ to map $k$ | `convolution.weight` |
# | $p$ | padding, half the kernel for `"same"` (Q5) | `pad` |
# | $\mu_k, \sigma_k^2$ | in training: mean and variance of $y_k$ over the batch and all places | within `norm` |
# | | in evaluation: their running averages from training | `norm.running_mean`, `norm.running_var` |
# | $\gamma_k, \beta_k$ | learned scale and shift | `norm.weight`, `norm.bias` |

# %%
figures.show_source(ConvolutionBlock.forward, name="code-cnn-block")

# %% [markdown]
# ## By hand
#
# A 3×3 kernel that subtracts the left neighbour from the right one, on three rows with an edge, without padding. In
# the left window, $-1\cdot 0 + 1\cdot 0 = 0$ in each of three rows; in the right one $-1\cdot 0 + 1\cdot 5 = 5$,
# three times: 15.

# %%
edge = torch.tensor([[0.0, 0, 0, 5]] * 3).view(1, 1, 3, 4)
kernel = torch.tensor([[-1.0, 0, 1]] * 3).view(1, 1, 3, 3)
responses = F.conv2d(edge, kernel).flatten().tolist()
assert responses == [0, 15]
responses

# %% [markdown]
# Parameters by hand: C2 has $5\cdot 5\cdot 32\cdot 32 = 25{,}600$ weights and $2\cdot 32$ numbers of batch
# normalisation. At 48 pixels it makes $24\cdot 24$ outputs a map, each from $5\cdot 5\cdot 32$ products: $25{,}600
# \cdot 576 = 14.7$ million multiplications, as in {numref}`tab-cnn-layers`.
#
# ## Checked against a slow loop
#
# The block with all its sums written out:


# %%
def block_by_loops(x, weight, gamma, beta, pad):
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    N, _, H, W = x.shape
    K, _, k, _ = weight.shape
    y = np.zeros((N, K, H - k + 1, W - k + 1))
    for i in range(H - k + 1):
        for j in range(W - k + 1):
            for m in range(K):
                y[:, m, i, j] = (weight[m] * x[:, :, i : i + k, j : j + k]).sum((1, 2, 3))
    for m in range(K):
        y[:, m] = np.maximum(gamma[m] * (y[:, m] - y[:, m].mean()) / np.sqrt(y[:, m].var() + 1e-5) + beta[m], 0)
    windows = y[:, :, : y.shape[2] // 2 * 2, : y.shape[3] // 2 * 2].reshape(N, K, y.shape[2] // 2, 2, -1, 2)
    return windows.max((3, 5))


# %%
torch.manual_seed(seed)
block = ConvolutionBlock(2, Convolution(5, 3), pool=True)
x = torch.randn(4, 2, 11, 9)
weights = (block.convolution.weight, block.norm.weight, block.norm.bias)
loops = block_by_loops(x.double().numpy(), *(w.detach().double().numpy() for w in weights), pad=2)
difference = np.abs(block(x).detach().numpy() - loops).max()
assert difference < 1e-5
figures.say(f"Largest difference between library and loops: {difference:.0e}.")

# %% [markdown]
# ## How far one value sees
#
# A kernel of $k$ widens the view by $k-1$ steps, each as long as all poolings so far made it; a pooling widens it by
# one step and doubles the next ones.

# %%
face = synthetic.draw("happiness", identity=4, seed=seed)
fields = layers[48]
figures.show(
    lambda: pictures.receptive_fields(face, fields, ["C1", "C2", "C3", "C4", "P3"]),
    name="fig-cnn-receptive",
    caption="What one value can see of a 48×48 face after each layer, and how many pixels lie between neighbours.",
    alt="Five copies of a drawn face, each with a square at a corner of the mouth: one pixel after C1, then growing "
    "until the "
    "last one covers more than half of the face's width.",
)

# %%
last = fields.iloc[-1]
figures.say(
    f"At the end, a value sees {last['field']}×{last['field']} pixels: of a 48-pixel face "
    f"{(last['field'] / 48) ** 2:.0%}, enough for a mouth; of a 128-pixel face {(last['field'] / 128) ** 2:.0%}, the "
    f"corner of one. "
    "The *same layers at another size are another network*: whatever joins brows and mouth must then happen in the "
    "BiLSTM."
)

# %% [markdown]
# ## What a 1×1 convolution can do to a grey image
#
# It has one weight a map. With batch normalisation and ReLU, map $k$ is $\max(0, a_k x + d_k)$ of each pixel $x$
# alone: a straight line cut at zero, a *tone curve* such as photographers draw. Thirty-two of them together can
# approximate any continuous tone curve piece by piece, which is more than the grey value itself offers to a linear
# layer. But no map can know a pixel's neighbour: exchange two pixels of the image, and the same two are exchanged in
# every map.
#
# To see which curves are learned, we train the seven layers with a linear classifier on top, for a few seconds, on
# clear faces ({source}`fer_repro/classroom.py`).

# %%
if profile == "quick":
    torch.set_num_threads(1)  # what is shown shall not depend on how many cores there are
limit, epochs = {"quick": (800, 6)}.get(profile, (4000, 10))
pixels = 32 if profile == "quick" else size
faces = classroom.faces(dataset, data_dir, n=1400 if profile == "quick" else 6000, seed=seed)
device = classroom.device(device)


# %%
x_train, y_train = classroom.ready(classroom.some(faces.part("train"), limit, seed), pixels, device)
x_held, y_held = classroom.ready(classroom.some(faces.part("val"), limit, seed), pixels, device)
x_train, x_held = (x.to(memory_format=torch.channels_last) for x in (x_train, x_held))

# %% [markdown]
# The loop: AdamW with a one-cycle learning rate, mini-batches of 32, half of the batches mirrored. The book's real
# runs use the library's own (`training.py`); this one fits on a page.


# %%
def fit(network, epochs, rate=3e-3, batch=32):
    torch.manual_seed(seed)
    steps = len(x_train) // batch * epochs
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    course = []
    for _ in range(epochs):
        for rows in torch.randperm(len(x_train))[: len(x_train) // batch * batch].split(batch):
            x = x_train[rows].flip(3) if torch.rand(()) < 0.5 else x_train[rows]
            loss = F.cross_entropy(network.train()(x), y_train[rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            course.append(loss.item())
    return np.array(course)


# %%
class Classifier(nn.Module):
    """The seven layers and one linear layer over all places."""

    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(seed)
        self.cnn = SevenLayerCNN(**options)
        self.linear = nn.Linear(self.cnn.channels * self.cnn.output_size(pixels) ** 2, len(faces.classes))

    def forward(self, x):
        return self.linear(self.cnn(x)[0].flatten(1))


@torch.no_grad()
def accuracy(network, x, y):
    return (network.eval()(x).argmax(1) == y).float().mean().item()


# %%
variants = {
    "as decided": {},
    "no batch norm": {"norm": "none"},
    "no 1×1 convolution": {"convolutions": CONVOLUTIONS[1:], "pool_after": (1, 2, 3)},
}
trained, courses = {}, {}
for name, how in variants.items():
    trained[name] = Classifier(**how).to(device, memory_format=torch.channels_last)
    courses[name] = fit(trained[name], epochs)

# %%
tones = {
    "as decided": pictures.tones(trained["as decided"].cnn.blocks[0]),
    "no batch norm": pictures.tones(trained["no batch norm"].cnn.blocks[0]),
}
small_face = preprocessing.preprocess(face, 48)
values = x_train[:200].cpu().numpy().ravel()[::7]
figures.show(
    lambda: pictures.tone_curves(tones, values, small_face),
    name="fig-cnn-tones",
    caption="The 32 maps of the trained first block as curves over the grey value (blue: rising, orange: falling), "
    "with the histogram of grey values beneath. Under batch normalisation, they start as two curves, many times over, "
    "that bend at the mean.",
    alt="Two panels of bent lines over the grey value. With batch normalisation all lines meet near the middle of the "
    "histogram and form a V; without it, they bend at many different places. On the right, a drawn face, the same face "
    "in a map that keeps its bright parts, and in one that keeps its dark parts as a negative.",
)

# %%
distinct = {
    name: pictures.effective_rank(np.maximum(values[:, None] * slope + offset, 0))
    for name, (slope, offset) in tones.items()
}
slope, offset = tones["as decided"]
knees = -offset / np.where(slope == 0, 1, slope)
figures.say(
    f"{(slope >= 0).sum()} of the curves rise and {(slope < 0).sum()} fall; their knees lie within "
    f"{np.abs(knees).max():.2f} standard deviations of the mean. Counted by their spectrum (e to "
    "the entropy of their correlation matrix's eigenvalues, as shares; copies of one map count as one), the 32 maps "
    f"are {distinct['as decided']:.1f} independent ones (without batch normalisation: {distinct['no batch norm']:.1f})."
)

# %% [markdown]
# The reason stands in {eq}`eq-cnn-block`. Batch normalisation divides by the spread of $w_k x$, and with it by
# $|w_k|$: of the one weight that a map has, only the *sign* is left. All maps start as $\max(0, \pm x)$, on images
# that Eq. 1 has centred, and only $\gamma_k$ and $\beta_k$ can tell them apart. The second convolution may still sum
# the copies, but they hand it no more than two maps would. Longer training moves the knees; whoever wants them spread
# from the start must initialise $\beta$ so.

# %% [markdown]
# ## Does it lower the complexity?
#
# A 1×1 convolution lowers complexity where it stands *before* an expensive one and hands it *fewer* channels: that is
# its use in GoogLeNet {cite:p}`szegedy2015going` or in DenseNet's bottleneck. (Lin and colleagues, who brought it up,
# wanted more non-linearity between the channels of one place {cite:p}`lin2014network`.) Here it takes one channel and
# hands on thirty-two, so that the 5×5 convolution after it has 32 times the weights it would have on the image itself.

# %%
without = SevenLayerCNN(pool_after=(1, 2, 3), convolutions=CONVOLUTIONS[1:])
counts = {"with C1": pictures.layer_table(network, 48), "without C1": pictures.layer_table(without, 48)}
held = {name: accuracy(model, x_held, y_held) for name, model in trained.items()}
seen = {name: accuracy(model, x_train, y_train) for name, model in trained.items()}
figures.table(
    pd.DataFrame(
        {
            "": list(counts),
            "parameters": [t["parameters"].sum() for t in counts.values()],
            "10⁶ multiplications at 48×48": [t["multiplications"].sum() for t in counts.values()],
            "accuracy here, %": [100 * held["as decided"], 100 * held["no 1×1 convolution"]],
        }
    ),
    name="tab-cnn-pointwise",
    caption="The convolutions with and without the first one (each with three poolings, after C1, C2 and C4, or after "
    "each "
    f"of the three left), and the held-out accuracy of this page's short training at {pixels}×{pixels}: one seed, "
    f"{len(y_held)} images, an illustration.",
    formats={"parameters": "{:,.0f}", "10⁶ multiplications at 48×48": "{:.1f}", "accuracy here, %": "{:.1f}"},
)

# %%
more, less = (t[["parameters", "multiplications"]].sum() for t in (counts["with C1"], counts["without C1"]))
with torch.no_grad():
    said = {name: model.eval()(x_held).argmax(1).cpu().numpy() for name, model in trained.items()}
answers = (said["no 1×1 convolution"], said["as decided"])
gap = metrics.paired_differences(y_held.cpu().numpy(), *answers, len(faces.classes), seed=seed)["accuracy"]
verdict = "no more" if gap.low <= 0 <= gap.high else "more"
figures.say(
    f"With C1, the network has {more['parameters'] / less['parameters']:.1f} times the parameters and "
    f"{more['multiplications'] / less['multiplications']:.1f} times the multiplications. **In this place the first "
    f"convolution raises the complexity.** In the short training, the network with C1 stands "
    f"{100 * gap.estimate:+.1f} points from the one without (95 % interval {100 * gap.low:+.1f} to "
    f"{100 * gap.high:+.1f}, paired on the same images): {verdict} than the choice of {len(y_held)} held-out images "
    "explains. Another seed, or a longer training, may say otherwise."
)

# %% [markdown]
# So one half of C-1x1 is a matter of counting, and comes out against the paper, unless "reduced" is meant relative to
# a first convolution with a larger kernel *and the same 32 maps*: C1 itself is cheap. The other half, the better
# representation, is a matter of runs with several seeds; {ref}`chap-mechanisms` has them.
#
# ## What the trained layers respond to

# %%
with torch.no_grad():
    seen_by = classroom.prepared(face[None], pixels, device)
    final, parts = trained["as decided"].cnn.eval()(seen_by)
maps = {f"block {k}": parts[f"block{k}"][0].cpu().numpy() for k in (1, 2, 3)} | {"block 4": final[0].cpu().numpy()}
figures.show(
    lambda: pictures.feature_maps(small_face, maps),
    name="fig-cnn-maps",
    caption=f"A drawn face and the first eight maps after each block that respond to it, at {pixels}×{pixels} pixels, "
    "as trained. Block 1 has two kinds, and shows a face; behind it maps are so small that only spots are left, "
    "fewer from block to block.",
    alt="Four rows of eight small grey maps. The first row shows recognisable faces in different tones, the others "
    "ever coarser spots.",
)

# %% [markdown]
# ## Batch normalisation
#
# It holds each map's mean and spread over the mini-batch fixed, whatever the weights before it do, so that larger
# steps are safe {cite:p}`ioffe2015batch`. Same layers, same data, same steps, with and without:

# %%
figures.show(
    lambda: pictures.losses(
        {k: courses[k] for k in ("as decided", "no batch norm")}, each=10, styles={"no batch norm": "--"}
    ),
    name="fig-cnn-norm",
    caption="Training loss with and without batch normalisation, from the same seed at the same learning rate; means "
    "over ten "
    "mini-batches.",
    alt="Two falling curves of the loss over mini-batches, beginning near the level of guessing. Which of them is "
    "lower at the "
    "end is said in the text below.",
)

# %%
target = courses["no batch norm"][-20:].mean()
smooth = np.convolve(courses["as decided"], np.ones(10) / 10, mode="valid")
first = int(np.argmax(smooth < target)) + 10 if (smooth < target).any() else None
reached = (
    f"With it, the loss that the other network ends with ({target:.2f}) is reached after {first} of {len(smooth) + 9} "
    f"mini-batches"
    if first
    else f"With it, the loss that the other network ends with ({target:.2f}) is not reached"
)
figures.say(
    f"{reached}. Accuracy on training and held-out images: with batch normalisation {seen['as decided']:.0%} and "
    f"{held['as decided']:.0%}, without {seen['no batch norm']:.0%} and {held['no batch norm']:.0%}. "
    "Faster convergence is what C-BN says first. That it *reduces overfitting* cannot be seen in a network that has "
    "hardly "
    "fitted: the gap between training and held-out accuracy must be compared at equal training accuracy, over several "
    "seeds."
)

# %% [markdown]
# ## The first block without its maps
#
# At 128 pixels the first block makes $32\cdot 128\cdot 128$ values an image, normalises them, cuts them at zero, and
# throws three quarters away. All of that can be had from the image itself. For each map, batch norm of $w x$ is a
# straight line $ax+d$, and ReLU keeps order. Max-pooling passes through a function that never falls, and turns into
# min-pooling under one that never rises:
#
# $$
# \max_{2\times 2}\,\bigl[a x+d\bigr]_+ =
# \begin{cases}\bigl[a \max_{2\times 2} x + d\bigr]_+ & a\ge 0\\[2pt]
# \bigl[a \min_{2\times 2} x + d\bigr]_+ & a<0\end{cases}
# \qquad
# \mathrm{mean}(wx)=w\,m,\quad \mathrm{var}(wx)=w^2 v
# $$ (eq-cnn-fast)
#
# where $m$ and $v$ are mean and variance of the *images* in the batch. Two pooled images instead of 32 maps of full
# size, and the same mathematics:

# %%
figures.show_source(PointwiseBlock, name="code-cnn-fast")

# %%
torch.manual_seed(seed)
plain = ConvolutionBlock(1, Convolution(1, 32), pool=True)
with torch.no_grad():
    plain.norm.weight.normal_()  # slopes of both signs
    plain.norm.bias.normal_()
fast = PointwiseBlock(1, Convolution(1, 32), pool=True)
fast.load_state_dict(plain.state_dict())
exact = copy.deepcopy(plain).double()  # the yardstick: plain layers in double precision
batch = x_train[:64].cpu().clone(memory_format=torch.contiguous_format)
pull = torch.randn(64, 32, pixels // 2, pixels // 2)


# %%
def everything(block):
    """Values, gradients and running statistics after one mini-batch in training."""
    x = batch.double() if block is exact else batch
    block.zero_grad()
    values = block.train()(x)
    (values * pull).sum().backward()
    found = {"values": values, "running mean": block.norm.running_mean, "running variance": block.norm.running_var}
    found |= {f"gradient of {name}": parameter.grad for name, parameter in block.named_parameters()}
    return {name: tensor.detach().double() for name, tensor in found.items()}


truth = everything(exact)
forms = {"plain layers": everything(plain), "algebraic form": everything(fast)}
size_of = {name: tensor.abs().max() for name, tensor in truth.items()}
size_of["running mean"] = truth["running variance"].sqrt().max()  # the mean itself is zero after Eq. 1
off = {
    form: [((found[name] - truth[name]).abs().max() / size_of[name]).item() for name in truth]
    for form, found in forms.items()
}

# %%
figures.table(
    pd.DataFrame({"": list(truth), **off}),
    name="tab-cnn-fast",
    caption="Largest error of the plain layers and of the algebraic form in float32, both against the plain layers in "
    "double precision; one mini-batch of 64 images.",
    formats=dict.fromkeys(off, "{:.0e}"),
)
assert max(off["algebraic form"]) < 1e-4

# %%
full, slim = 32 * 128 * 128 * 4, 3 * 64 * 64 * 4  # largest, smallest, and a plane of ones
figures.say(
    f"For a mini-batch of 64 images at 128 pixels, the plain form writes {64 * full / 2**20:,.0f} MiB for each of "
    f"convolution, "
    f"normalisation and ReLU; the algebraic one writes {64 * slim / 2**20:.0f} MiB of pooled images before the result. "
    "The two differ by rounding, nothing else; `fast=False` takes the plain layers, and either form loads the other's "
    "weights. "
    "The algebra needs a 1×1 kernel on one channel, normalisation before the ReLU, and pooling right after; elsewhere "
    "the library takes the plain layers by itself. What it makes of one grey value can be carried through the second "
    "convolution, too: {ref}`chap-speed` has a table in place of its products."
)

# %% [markdown]
# ## Our decisions, and what changes if they are taken otherwise
#
# | Q5 | decision | otherwise |
# |---|---|---|
# | poolings | after C1, C2, C4 (`pool_after`) | none after C1: C2 costs four times as much; C4 unpooled: it sees more |
# | padding | `"same"` | `"valid"`: the map shrinks, and faces lose their border |
# | stride | 1 in convolutions, 2 in poolings | strided by 2, too: 48 pixels come to nothing, 128 to one or two a side |
# | activation | ReLU | the paper names none; the algebraic form needs one that never falls |
# | batch norm | before the ReLU (`norm="before"`) | `"after"`: no algebraic form; `"none"`: {numref}`fig-cnn-norm` |
# | "each layer" | the convolutions here and in the dense block, and the layer before the softmax's | see below |
#
# The last line is a deviation from Sec. III-F to the letter. *After* the BiLSTM, the attention, the LDA and the linear
# layer that stands in for LDA until it is fitted ({ref}`chap-network`), we have no batch norm. The first two need no
# help with their scale: an LSTM's output lies between −1 and 1, and attention averages it. LDA's is brought to unit
# variance once, when it is fitted. Logits are left free to grow. *Otherwise:* a norm behind LDA would let what was
# fitted drift with the batches. What norms in these places would do to accuracy is not measured; there is no option for
# them.

# %%
readings = {
    "after C1, C2, C4": {},
    "after C2, C3, C4": {"pool_after": (2, 3, 4)},
    "after C1, C2, C3": {"pool_after": (1, 2, 3)},
    "unpadded": {"padding": "valid"},
}
rows = []
for name, how in readings.items():
    table = pictures.layer_table(SevenLayerCNN(**how), 48)
    rows.append((name, f"64×{table['side'].iloc[-1]}²", table["multiplications"].sum(), table["field"].iloc[-1]))
figures.table(
    pd.DataFrame(rows, columns=["reading of Q5", "map, from 48×48", "10⁶ multiplications", "sees, pixels"]),
    name="tab-cnn-readings",
    caption="What some readings of Q5 cost and see.",
    formats={"10⁶ multiplications": "{:.1f}", "sees, pixels": "{:.0f}"},
)
figures.say(sensitivity.measured("Q5"))

# %% [markdown]
# ## Beside the paper
#
# The paper reports no number for this section alone. In Table I, the network without feature extraction loses most of
# all; what stands in for it is open (Q16), and {ref}`chap-results` has our run. Of C-1x1, the part that can be
# counted does not hold where the layer stands; of C-BN, the part on convergence shows in this one run, and three seeds
# leave it undecided ({ref}`chap-mechanisms`).
#
# ## Take-aways

# %%
figures.say(
    f"""
    - Seven layers, three poolings: a face becomes a map of an eighth of its side with 64 channels.
    - A 1×1 convolution of a grey image is a set of tone curves. It sees no neighbour, and here it makes the next layer
      dearer.
    - Batch normalisation lets the same number of steps go further. On a 1×1 convolution of one centred channel it
      leaves of each weight only its sign; after this page's training, the 32 maps are worth
      {distinct["as decided"]:.1f} independent ones.
    - Knowing what a layer *is* makes it cheap: the first block never needs its full-size maps.
    """
)

# %% [markdown]
# ## Quiz

# %% [markdown]
# :::{admonition} 1. Can a trained first block (1×1, batch norm, ReLU) detect the corner of a mouth?
# :class: dropdown
# No. Each value depends on one pixel (after pooling, on the largest or smallest of four).
# :::
#
# :::{admonition} 2. Why has a convolution before batch normalisation no bias?
# :class: dropdown
# Batch normalisation subtracts the mean, and any constant with it; its own $\beta$ takes the bias's place.
# :::
#
# :::{admonition} 3. At 128 instead of 48 pixels, how do parameters and multiplications change?
# :class: dropdown
# Parameters do not: a kernel does not know the image's size. Multiplications grow as the pixels, $(128/48)^2 = 7.1$
# times.
# :::
#
# :::{admonition} 4. Why does the algebraic form need the smallest pixel, too?
# :class: dropdown
# Where a curve falls ($a < 0$), the largest output of a window comes from its smallest input.
# :::

# %% [markdown]
# ## Exercises

# %% [markdown]
# ```{exercise} ★ Count it
# :label: ex-cnn-count
#
# How many weights has C4, and how many multiplications does it do for one 128×128 image? Compute by hand, then look
# it up.
# ```
#
# ```{solution-start} ex-cnn-count
# :class: dropdown
# ```
#
# $3\cdot 3\cdot 32\cdot 64 = 18{,}432$ weights; two poolings have left maps of $32\times 32$, so $18{,}432\cdot 1024
# = 18.9$ million.

# %% tags=["show-input"]
weights = network.blocks[3].convolution.weight
assert weights.numel() == 3 * 3 * 32 * 64
print(weights.numel(), round(weights.numel() * 32 * 32 / 1e6, 1), "million")

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} ★★ Blind to neighbours
# :label: ex-cnn-blind
#
# Show by experiment that the first block cannot tell a face from the same face with its pixels shuffled *before
# pooling*, and that the second block can.
# ```
#
# ```{solution-start} ex-cnn-blind
# :class: dropdown
# ```
#
# Without pooling, shuffling pixels shuffles each map in the same way: sorted, they are equal. For the second block
# they are not.

# %% tags=["show-input"]
torch.manual_seed(seed)
first = ConvolutionBlock(1, CONVOLUTIONS[0], pool=False).eval()
second = ConvolutionBlock(32, CONVOLUTIONS[1], pool=False).eval()
image = x_held[:1].cpu()
order = torch.randperm(image.numel())
shuffled = image.flatten()[order].view_as(image)


def sorted_values(maps):
    return maps.detach().flatten(2).sort(2).values


same = (sorted_values(first(image)) - sorted_values(first(shuffled))).abs().max().item()
other = (sorted_values(second(first(image))) - sorted_values(second(first(shuffled)))).abs().max().item()
print(f"first block: {same:.0e}; second block: {other:.2f}")
assert same < 1e-6 < other

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} ★★ Fold the norm away
# :label: ex-cnn-fold
#
# Once trained, batch normalisation is a fixed scale and shift. Fold it into the convolution's weights and a bias, so
# that the network predicts the same without it.
# ```
#
# ```{solution-start} ex-cnn-fold
# :class: dropdown
# ```
#
# With $s_k = \gamma_k/\sqrt{\sigma_k^2+\epsilon}$, the weights of map $k$ become $s_k w_k$ and the bias $\beta_k -
# s_k\mu_k$.

# %% tags=["show-input"]
block = copy.deepcopy(trained["as decided"].cnn.blocks[1]).eval().cpu()
norm = block.norm
s = norm.weight / torch.sqrt(norm.running_var + norm.eps)
x = torch.randn(2, 32, 12, 12)
folded = F.conv2d(x, block.convolution.weight * s[:, None, None, None], norm.bias - s * norm.running_mean, padding=2)
difference = (F.max_pool2d(F.relu(folded), 2) - block(x)).abs().max().item()
print(f"largest difference {difference:.0e}")
assert difference < 1e-4

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} ★★★ A first layer that does lower the complexity
# :label: ex-cnn-cheaper
#
# Keep 32 maps after C2 and its 5×5 view, and let a 1×1 convolution lower the multiplications as GoogLeNet does.
# Where must it stand, and what is saved?
# ```
#
# ```{solution-start} ex-cnn-cheaper
# :class: dropdown
# ```
#
# *Between* layers, with fewer maps than it is given: 32 → 8 before the 5×5 convolution. (On the image there is
# nothing to reduce: it has one channel.)

# %% tags=["show-input"]
bottleneck = (CONVOLUTIONS[0], Convolution(1, 8), *CONVOLUTIONS[1:])
narrow = SevenLayerCNN(pool_after=(1, 3, 5), convolutions=bottleneck)
cost = {name: pictures.layer_table(m, 48)["multiplications"].sum() for name, m in (("C1", network), ("1×1, 8", narrow))}
print({name: f"{value:.1f} million" for name, value in cost.items()})
assert cost["1×1, 8"] < cost["C1"] / 2

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Run this page again
#
# ```console
# $ fer-repro book --profile quick --only 04_cnn
# $ jupytext --to ipynb notebooks/04_cnn.py --output cnn.ipynb
# $ papermill cnn.ipynb out.ipynb -p profile native48 -p dataset fer2013 -p data_dir faces
# ```
#
# With FER2013 or CK+, the layers are trained on the real images; pictures stay drawn ones.
