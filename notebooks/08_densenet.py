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
# (chap-densenet)=
# # Dense reconstruction

# %% tags=["parameters"]
profile = "quick"
dataset = "synthetic"
data_dir = None
seed = 0
device = "auto"

# %%
import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.densenet import _DenseBlock

from fer_repro import classroom, figures, preprocessing
from fer_repro.bilstm import BiLSTM, serialise
from fer_repro.cnn import SevenLayerCNN
from fer_repro.data import synthetic
from fer_repro.densenet import DenseBlock, DenseLayer, FullyConnected, Reconstruction
from fer_repro.figures import densenet as pictures
from fer_repro.figures.cnn import effective_rank
from fer_repro.lda import ProjectionLayer

figures.header_card(
    section="Sec. III-F",
    claims=["C-DENSE"],
    profile=profile,
    dataset=dataset,
    minutes=40,
    questions=["Q10"],
    files=["fer_repro/densenet.py"],
)

# %% [markdown]
# ```{index} DenseNet, dense block, growth rate, residual connection, reconstruction
# ```
#
# **Questions**
# : What does a layer gain from reading all maps before it instead of their sum? What is "reconstructed", when nothing
#   is compared with an original? How does a projected vector become a map again?
#
# **Objectives**
# : After this chapter you can count the channels and parameters of a dense block, say what concatenation keeps and a
#   sum does not, measure redundancy between maps, and see from a gradient which weights of a network can never
#   matter.
#
# ## What the paper says
#
# After discriminant analysis, the attention map goes to a DenseNet {cite:p}`huang2017densely`, which produces "new
# enhanced feature maps with narrow layers and reduced redundancy" by $x_l=H_l([x_0,\dots,x_{l-1}])$: unlike ResNet
# {cite:p}`he2016deep`, incoming maps are concatenated with the output instead of summed (C-DENSE). Fully connected
# layers with softmax follow, and batch normalisation after each layer {cite:p}`jayaraman2024improved`.
#
# ## What it leaves out
#
# **Q10**
# : The growth rate and the depth. How a projected vector, six numbers for each step, becomes a feature map. Whether
#   there are one or several dense blocks, with transitions between them.
#
# "Reconstruction" does not mean that an image is rebuilt: there is no loss that compares anything with an original.
# What is rebuilt are features, for classification.

# %%
figures.show(
    pictures.connections,
    name="fig-dense-wiring",
    caption="Four layers with dense and with summed connections. Above, nothing is ever added up: the output holds all "
    "maps, those of the input among them. Below, one map of fixed width is changed step by step.",
    alt="Two rows of boxes from x0 through H1 to H4 to the output. In the upper row, arcs lead from each box to all "
    "later ones; in the lower row, arcs skip one box each and meet a plus sign.",
)

# %% [markdown]
# ## The equation beside the code
#
# $$
# x_l = H_l([x_0, x_1, \dots, x_{l-1}])
# $$ (eq-dense)
#
# | symbol | meaning | in the code | our value (Q10) |
# |---|---|---|---|
# | $x_0$ | the block's input: six directions of LDA as channels | `x` | 6 maps |
# | $[\dots]$ | side by side, along the channels | `torch.cat(maps, 1)` | |
# | $H_l$ | norm, ReLU, 1×1 bottleneck, norm, ReLU, 3×3 | `DenseLayer` | bottleneck 4 growth rates |
# | $x_l$ | what layer $l$ adds | `H(...)` | growth rate 12 |
# | $l$ | layer | | 1 … 4 |

# %%
figures.show_source(DenseBlock.forward, name="code-dense")

# %%
figures.show_source(DenseLayer)

# %% [markdown]
# ## By hand
#
# Each layer adds 12 maps to the 6 it began with: the block's width grows 6, 18, 30, 42, 54. Layer 1 holds $2\cdot 6$
# numbers of the first norm, $6\cdot 48$ of the bottleneck, $2\cdot 48$ of the second norm, and $48\cdot 12\cdot 9$ of
# the 3×3 convolution: 5,580.

# %%
block = DenseBlock(6, growth_rate=12, num_layers=4)
widths = [layer.norm1.num_features for layer in block.layers] + [block.out_channels]
first_layer = sum(p.numel() for p in block.layers[0].parameters())
assert widths == [6, 18, 30, 42, 54]
assert first_layer == 2 * 6 + 6 * 48 + 2 * 48 + 48 * 12 * 9 == 5580
widths, first_layer

# %% [markdown]
# ## Checked against a slow loop, and against torchvision
#
# The block by its equation, each convolution as sums over places:


# %%
def normed(x, layer):  # batch norm in training, then ReLU
    mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    gamma, beta = (p.detach().double().numpy()[:, None, None] for p in (layer.weight, layer.bias))
    return np.maximum(gamma * (x - mean) / np.sqrt(var + 1e-5) + beta, 0)


def convolved(x, weight):
    k, pad = weight.shape[-1], weight.shape[-1] // 2
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = np.zeros((len(x), len(weight), x.shape[2] - 2 * pad, x.shape[3] - 2 * pad))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            for c in range(len(weight)):
                out[:, c, i, j] = (x[:, :, i : i + k, j : j + k] * weight[c]).sum((1, 2, 3))
    return out


def dense_by_loops(x, block):
    maps = [x]
    for H in block.layers:
        y = normed(np.concatenate(maps, 1), H.norm1)
        y = normed(convolved(y, H.conv1.weight.detach().double().numpy()), H.norm2)
        maps.append(convolved(y, H.conv2.weight.detach().double().numpy()))
    return np.concatenate(maps, 1)


# %%
torch.manual_seed(seed)
small, x = DenseBlock(3, growth_rate=2, num_layers=3), torch.randn(4, 3, 5, 4)
theirs = _DenseBlock(num_layers=3, num_input_features=3, bn_size=4, growth_rate=2, drop_rate=0.0)
names = {f"layers.{k}.": f"denselayer{k + 1}." for k in range(3)}
theirs.load_state_dict({names[key[:9]] + key[9:]: value for key, value in small.state_dict().items()})
apart = {
    "loops": np.abs(small(x).detach().numpy() - dense_by_loops(x.double().numpy(), small)).max(),
    "torchvision": (small(x) - theirs(x)).abs().max().item(),
}
assert max(apart.values()) < 1e-5
figures.say(
    f"Largest difference: {apart['loops']:.0e} from the loops, {apart['torchvision']:.0e} from torchvision's block."
)

# %% [markdown]
# ## What a block costs
#
# The foil is ResNet's sum, made of the same layers. It needs maps of one width to add, so its input is widened first
# to what the dense block ends with; each layer then reads and writes that width.

# %%
rows = []
for depth in (2, 4, 8, 12):
    kinds = {kind: DenseBlock(6, 12, depth, connections=kind) for kind in ("dense", "sum")}
    counts = {kind: sum(p.numel() for p in b.parameters()) for kind, b in kinds.items()}
    rows.append((depth, kinds["dense"].out_channels, counts["dense"], counts["sum"], counts["sum"] / counts["dense"]))
figures.table(
    pd.DataFrame(rows, columns=["layers", "maps out", "dense", "summed", "times"]),
    name="tab-dense-cost",
    caption="Parameters of a block with dense and with summed connections that give out equally many maps (growth rate "
    "12). Narrow layers are what makes dense blocks cheap.",
    formats={"dense": "{:,.0f}", "summed": "{:,.0f}", "times": "{:.1f}"},
)

# %% [markdown]
# ## How a gradient finds its way
#
# In a dense block, every layer stands next to the output. Twelve layers, untrained, on random maps: how large is the
# gradient at each layer's last convolution, in the dense block, with sums, and in a chain that has neither?

# %%
depth, runs = 12, 4
found = {"dense": [], "summed": [], "chain": []}
for run in range(runs):
    torch.manual_seed(seed + run)
    noise = torch.randn(32, 6, 6, 6)
    dense, summed = (DenseBlock(6, 12, depth, connections=kind) for kind in ("dense", "sum"))
    found["dense"].append(pictures.layer_gradients(dense, noise))
    found["summed"].append(pictures.layer_gradients(summed, noise))
    found["chain"].append(pictures.layer_gradients(summed, noise, chain=True))
found = {name: np.stack(g) / np.stack(g)[:, -1:] for name, g in found.items()}

# %%
figures.show(
    lambda: pictures.gradient_norms(found),
    name="fig-dense-gradients",
    caption=f"Gradient at each of twelve layers, the last layer's being one; lines are means, bands the range over "
    f"{runs} random starts.",
    alt="Three lines over the layers on a logarithmic scale, for dense, summed and chained layers, all ending at one. "
    "How far they lie apart at the first layer is said below.",
)

# %%
first = {name: values[:, 0].mean() for name, values in found.items()}
uneven = {name: max(value, 1 / value) for name, value in first.items()}
more_even = [name for name in ("dense", "summed") if uneven[name] < uneven["chain"]]
figures.say(
    "At the first layer it is "
    + ", ".join(f"{value:.1f} times the last one's ({name})" for name, value in first.items())
    + ". Where gradients differ from layer to layer, so does, by plain gradient descent, the pace at which layers "
    "learn (AdamW, which divides by each gradient's size, evens much of that out). "
    + (
        f"Connections make them more even, not equal ({' and '.join(more_even)} against the chain; most even: "
        f"{min(uneven, key=lambda name: uneven[name])}): an early layer's "
        "maps reach the output directly *and* through all later layers."
        if more_even
        else "Here no connection makes them more even than the chain's."
    )
)

# %% [markdown]
# ## From a vector to a map again (Q10)
#
# Each step $t$ of the attended sequence is projected to six numbers. We take each direction as a channel, and let the
# steps stand where they stood on the face: with rows, a map of 6 channels, $T$ high and one wide.

# %%
figures.show_source(Reconstruction.forward, name="code-reconstruction")

# %% [markdown]
# One wide has a consequence that is easy to overlook. The left and the right column of each 3×3 kernel only ever meet
# padding. Their gradient shows it:

# %%
torch.manual_seed(seed)
rebuilt = Reconstruction(6, grid=(6, 1))
rebuilt(torch.randn(16, 6, 6, 1))[1].square().sum().backward()
kernels = [layer.conv2.weight for layer in rebuilt.block.layers]
dead = sum(int((w.grad == 0).sum()) for w in kernels)
outside = sum(int((w.grad[..., [0, 2]] == 0).sum()) for w in kernels)
every = sum(p.numel() for p in rebuilt.parameters())
square_map = Reconstruction(6, grid=(6, 6))
square_map(torch.randn(16, 6, 6, 6))[1].square().sum().backward()
assert all((layer.conv2.weight.grad != 0).all() for layer in square_map.block.layers)
figures.say(
    f"{dead:,} of the block's {sum(w.numel() for w in kernels):,} weights in 3×3 kernels have a gradient of exactly "
    f"zero, {outside:,} of them in the outer columns: {dead / every:.0%} of the {every:,} parameters of the "
    f"reconstruction do nothing. "
    "They are counted in every table of this book nevertheless, since they are there. With places as the sequence "
    "(Q6), the map is as wide as it is high, and every weight of these kernels has a gradient, as the cell asserts."
)

# %% [markdown]
# ## Trained on faces
#
# A short way through the method: the CNN trained for a few seconds and fixed; a BiLSTM on its rows (attention left
# out here); LDA fitted on its outputs, six directions a row. On these small maps, dense and summed blocks train in a
# second each, so that there is time for three seeds.

# %%
limit, epochs = {"quick": (800, 4)}.get(profile, (4000, 8))
if profile == "quick":
    torch.set_num_threads(1)  # what is shown shall not depend on how many cores there are
pixels, seeds = 128 if profile == "paper128" else 48, [seed, seed + 1, seed + 2]
faces = classroom.faces(dataset, data_dir, n=1200 if profile == "quick" else 6000, seed=seed)
device = classroom.device(device)
side, C = SevenLayerCNN().output_size(pixels), len(faces.classes)


# %% tags=["hide-input"]
class Reader(nn.Module):
    """CNN, BiLSTM over the rows of its map, and a linear layer."""

    def __init__(self, hidden=48):
        super().__init__()
        self.cnn, self.bilstm = SevenLayerCNN(), BiLSTM(64 * side, hidden)
        self.linear = nn.Linear(side * 2 * hidden, C)

    def steps(self, x):
        return self.bilstm(serialise(self.cnn(x)[0]))

    def forward(self, x):
        return self.linear(self.steps(x).flatten(1))


# %%
x_train, y_train = classroom.ready(classroom.some(faces.part("train"), limit, seed), pixels, device)
x_held, y_held = classroom.ready(classroom.some(faces.part("val"), limit, seed), pixels, device)
torch.manual_seed(seed)
reader = classroom.fit(Reader().to(device, memory_format=torch.channels_last), x_train, y_train, epochs)
lda = ProjectionLayer(side, reader.bilstm.num_features, C - 1).to(device)


@torch.no_grad()
def steps_of(x):
    return torch.cat([reader.steps(part) for part in x.split(256)])


def map_of(steps):
    """Projected steps (N, T, 6) as maps (N, 6, T, 1)."""
    return lda(steps).transpose(1, 2)[..., None]


lda.fit(steps_of(x_train), y_train)
maps, held = map_of(steps_of(x_train)), map_of(steps_of(x_held))


# %%
class Head(nn.Module):
    """What stands between LDA and the softmax: a block with a fully connected layer, or that layer alone."""

    def __init__(self, connections):
        super().__init__()
        grid = (side, 1)
        if connections:
            self.body = Reconstruction(C - 1, grid, connections=connections)
        else:
            self.body = FullyConnected((C - 1) * side)
        self.linear = nn.Linear(64, C)

    def forward(self, x):
        features = self.body(x)[1] if isinstance(self.body, Reconstruction) else self.body(x.flatten(1))
        return self.linear(features)


heads, starts = {}, []
for name, connections in {"dense": "dense", "summed": "sum", "no reconstruction": None}.items():
    for k in seeds:
        torch.manual_seed(k)
        head = Head(connections).to(device)
        if name == "dense":
            starts.append(pictures.reuse(head.body.block))
        heads[name, k] = classroom.fit(head, maps, y_train, 6, batch=64)

# %% [markdown]
# ### What each layer reads

# %%
weights = {
    "before training": np.mean(starts, axis=0),
    "trained": np.mean([pictures.reuse(heads["dense", k].body.block) for k in seeds], axis=0),
}
figures.show(
    lambda: pictures.reuse_map(weights),
    name="fig-dense-reuse",
    caption="Mean size of the weights by which each layer reads each earlier map, relative to the layer's largest "
    f"(means of {len(seeds)} seeds, before and after). How much of the pattern is training's doing is said below.",
    alt="Two triangular heat maps with numbers, layers H1 to H4 downwards and sources x0 to x3 across, before and "
    "after training.",
)

# %%
trained = weights["trained"]
change = np.nanmax(np.abs(trained - weights["before training"]))
figures.say(
    f"After training, the last layer reads the block's input with {trained[-1, 0]:.2f} and its direct forerunner with "
    f"{trained[-1, -1]:.2f} of its largest mean weight (before: {weights['before training'][-1, 0]:.2f} and "
    f"{weights['before training'][-1, -1]:.2f}). No entry of the pattern has moved by more than {change:.2f}, and the "
    f"smallest is {np.nanmin(trained):.2f} after training, {np.nanmin(weights['before training']):.2f} before. "
    + (
        "So this short training has hardly changed it: that a layer reads all earlier maps alike is how it began, and "
        "no sign that it has learned to use them again."
        if change < 0.2
        else "So training has changed what layers read."
    )
    + " With sums, sources need not keep apart: what two of them say in one map is added."
)

# %% [markdown]
# ### The maps side by side

# %%
shown = {name: synthetic.draw(name, identity=4, seed=seed, size=pixels) for name in ("happiness", "surprise", "anger")}
x = torch.from_numpy(preprocessing.preprocess(np.stack(list(shown.values())), pixels)[:, None]).to(device)
block = heads["dense", seed].body.block
with torch.no_grad():
    enhanced = block(map_of(steps_of(x))).squeeze(3).cpu().numpy()
edges = [0, *[C - 1 + 12 * k for k in range(len(block.layers) + 1)]]
figures.show(
    lambda: pictures.grown(shown, dict(zip(shown, enhanced)), edges),
    name="fig-dense-maps",
    caption="What the dense block gives out for three drawn faces: the six projected directions ($x_0$), then twelve "
    "maps from each layer; rows of the face downwards. Expressions differ in all parts.",
    alt="Three drawn faces, each with a wide heat map divided by black lines into five parts. The patterns of orange "
    "and violet differ between the faces.",
)

# %% [markdown]
# ### Less redundancy? (C-DENSE)
#
# Redundant maps say the same thing. Two measures on the block's output for held-out faces: the mean absolute
# correlation between maps, and how many independent maps there are, counted by their spectrum: e to the entropy of
# their correlation matrix's eigenvalues, taken as shares: 1 if all are copies of one, their number if none goes with
# another.


# %%
@torch.no_grad()
def measured(head):
    right = 100 * (head(held).argmax(1) == y_held).float().mean().item()
    if not isinstance(head.body, Reconstruction):
        return right, np.nan, np.nan
    out = head.body.block(held).cpu().numpy()
    return right, pictures.likeness(out), effective_rank(np.moveaxis(out, 1, -1).reshape(-1, out.shape[1]))


rows = []
for name in ("dense", "summed", "no reconstruction"):
    values = np.array([measured(heads[name, k]) for k in seeds])
    size = sum(p.numel() for p in heads[name, seed].parameters())
    rows.append((name, size, values[:, 0].mean(), np.ptp(values[:, 0]), *values[:, 1:].mean(0)))
compared = pd.DataFrame(
    rows, columns=["head", "parameters", "accuracy, %", "range", "correlation", "independent maps"]
).set_index("head")
figures.table(
    compared,
    name="tab-dense-compare",
    caption=f"Heads on the same fixed projections: held-out accuracy ({len(y_held)} images; mean and range over three "
    f"seeds), mean absolute correlation between the {heads['dense', seed].body.block.out_channels} maps, and how many "
    f"of them are independent.",
    formats={
        "parameters": "{:,.0f}",
        "accuracy, %": "{:.1f}",
        "range": "{:.1f}",
        "correlation": "{:.2f}",
        "independent maps": "{:.1f}",
    },
    index=True,
)

# %%
dense, summed = compared.loc["dense"], compared.loc["summed"]
less = "fewer" if dense["parameters"] < summed["parameters"] else "more"
redundant = "less" if dense["correlation"] < summed["correlation"] else "more"
spans = "more" if dense["independent maps"] > summed["independent maps"] else "fewer"
alone = compared.loc["no reconstruction"]
gap, seeds_range = dense["accuracy, %"] - alone["accuracy, %"], max(dense["range"], alone["range"])
figures.say(
    f"With {less} parameters ({dense['parameters']:,.0f} against {summed['parameters']:,.0f}), dense maps are "
    f"{redundant} alike than summed ones (correlation {dense['correlation']:.2f} against {summed['correlation']:.2f}) "
    f"and hold {spans} independent ones ({dense['independent maps']:.1f} against {summed['independent maps']:.1f}). "
    f"In accuracy, the whole block stands {gap:+.1f} points from a single layer in its place; one and the same head "
    f"moves by up to {seeds_range:.1f} points from seed to seed, so that "
    + (
        "this page cannot say whether the block helps."
        if abs(gap) < seeds_range
        else f"the block {'helps' if gap > 0 else 'harms'} this page's short training."
    )
)

# %% [markdown]
# Part of the difference is by construction: the first six maps of a dense block *are* its input, untouched. The
# chapter on {ref}`mechanisms <chap-mechanisms>` repeats the measure on networks trained as a whole, with several seeds
# and intervals.
#
# ## Our decisions, and what changes if they are taken otherwise
#
# | Q10 | decision | otherwise |
# |---|---|---|
# | vector to map | a direction is a channel, steps keep their places | one vector a face: nothing to convolve |
# | growth rate | 12, as the smallest of Huang et al. | more maps, more parameters |
# | depth | one block of four layers, no transition | {numref}`tab-dense-cost` |
# | connections | `"dense"` | `"sum"`, the foil |
#
# ## Beside the paper
#
# Table I gives the network without the reconstruction module; the chapter on {ref}`results <chap-results>` has our run
# of that ablation. For "reduced redundancy" there is no number in the paper to set ours beside.
#
# ## Take-aways
#
# - A dense layer adds a few maps and keeps all others: narrow layers, wide block.
# - Concatenation keeps what a sum may mix; each layer chooses what to read again.
# - "Reconstruction" rebuilds features for a classifier, not images.
# - A 3×3 kernel on a map one place wide is a kernel of three: look at gradients to find weights that cannot matter.
#
# ## Quiz

# %% [markdown]
# :::{admonition} 1. Ten maps in, growth rate 8, five layers: how many come out, how many does the last layer read?
# :class: dropdown
# $10+5\cdot 8=50$ come out; the last layer reads $10+4\cdot 8=42$.
# :::
#
# :::{admonition} 2. Why does a summed block need its input widened?
# :class: dropdown
# Only maps of equal number can be added channel by channel.
# :::
#
# :::{admonition} 3. Can a summed block compute what a dense one computes?
# :class: dropdown
# With enough width, yes: reserve channels for each layer, and let every layer add zero to those of the others. A
# dense block has that built in.
# :::
#
# :::{admonition} 4. Does the gradient reach the CNN through LDA?
# :class: dropdown
# Yes: LDA is a fixed linear map, and the gradient passes through its transpose. None changes LDA itself (Q9).
# :::

# %% [markdown]
# ## Exercises

# %% [markdown]
# ````{exercise} ★ Count a layer
# :label: ex-dense-count
#
# How many parameters has the fourth layer of our block? Compute by hand, then check.
# ````
#
# ````{solution-start} ex-dense-count
# :class: dropdown
# ````
#
# It reads $6+3\cdot 12=42$ maps:
#
# $$
# 2\cdot 42+42\cdot 48+2\cdot 48+48\cdot 12\cdot 9=84+2016+96+5184=7380 .
# $$

# %% tags=["show-input"]
fourth = sum(p.numel() for p in DenseBlock(6).layers[3].parameters())
assert fourth == 7380
fourth

# %% [markdown]
# ````{solution-end}
# ````

# %% [markdown]
# ````{exercise} ★★ Cut a connection
# :label: ex-dense-cut
#
# Remove, in the trained dense block, one source at a time from the last layer's view (set the weights on it to zero).
# Which one costs most accuracy? Is it the one with the largest weights in {numref}`fig-dense-reuse`?
# ````
#
# ````{solution-start} ex-dense-cut
# :class: dropdown
# ````

# %% tags=["show-input"]
import copy

whole, costs = measured(heads["dense", seed])[0], {}
for source in range(4):
    cut = copy.deepcopy(heads["dense", seed])
    with torch.no_grad():
        cut.body.block.layers[3].conv1.weight[:, edges[source] : edges[source + 1]] = 0
    costs[f"x_{source}"] = round(measured(cut)[0] - whole, 1)
sizes = pictures.reuse(heads["dense", seed].body.block)[3]
print("change in points without each source:", costs, f"(one face: {100 / len(y_held):.1f})")
print("size of its weights in this network: ", {f"x_{source}": float(round(sizes[source], 2)) for source in range(4)})

# %% [markdown]
# The source that costs most need not be the one with the largest weights: the other layers, and the maps passed on
# untouched, hold much of the same. But see how few faces the changes are; another seed may name another source.
#
# ````{solution-end}
# ````

# %% [markdown]
# ````{exercise} ★★ A kernel for one column
# :label: ex-dense-narrow
#
# Show that a 3×3 kernel on a map one place wide is the same as a 3×1 kernel, and say how many parameters the
# reconstruction would have with such kernels.
# ````
#
# ````{solution-start} ex-dense-narrow
# :class: dropdown
# ````

# %% tags=["show-input"]
narrow_map = torch.randn(2, 48, side, 1)
kernel = kernels[0].detach()
square = F.conv2d(narrow_map, kernel, padding=1)
column = F.conv2d(narrow_map, kernel[..., 1:2], padding=(1, 0))
assert torch.allclose(square, column, atol=1e-4)
print(f"{every:,} parameters with 3×3 kernels, {every - sum(w.numel() for w in kernels) * 2 // 3:,} with 3×1 ones")

# %% [markdown]
# ````{solution-end}
# ````

# %% [markdown]
# ````{exercise} ★★★ The sum as a special case
# :label: ex-dense-special
#
# The third answer of the quiz, in numbers: build a *summed* block of two layers that computes exactly what a given
# dense block of two layers computes (without its norms, for simplicity: take linear layers).
# ````
#
# ````{solution-start} ex-dense-special
# :class: dropdown
# ````
#
# Three maps in, two added by each of two layers. The summed state has seven channels; layer $l$ writes to its own two
# and adds zero elsewhere.

# %% tags=["show-input"]
rng = np.random.default_rng(seed)
A, B, x = rng.normal(size=(2, 3)), rng.normal(size=(2, 5)), rng.normal(size=3)
x1 = A @ x
dense_out = np.concatenate([x, x1, B @ np.concatenate([x, x1])])

state = np.concatenate([x, np.zeros(4)])  # widened
state = state + np.vstack([np.zeros((3, 7)), np.hstack([A, np.zeros((2, 4))]), np.zeros((2, 7))]) @ state
state = state + np.vstack([np.zeros((5, 7)), np.hstack([B, np.zeros((2, 2))])]) @ state
assert np.allclose(state, dense_out)
print(f"weights: dense {A.size + B.size}, summed {2 * 49} (most of them zero)")

# %% [markdown]
# ````{solution-end}
# ````

# %% [markdown]
# ## Run this page again
#
# ```console
# $ fer-repro book --profile quick --only 08_densenet
# $ jupytext --to ipynb notebooks/08_densenet.py --output densenet.ipynb
# $ papermill densenet.ipynb out.ipynb -p profile native48 -p dataset fer2013 -p data_dir faces
# ```
#
# With FER2013 or CK+, the networks are trained on the real images; the faces shown stay drawn ones.
