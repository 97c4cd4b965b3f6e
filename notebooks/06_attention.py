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
# (chap-attention)=
# # Attention

# %% tags=["parameters"]
profile = "quick"
dataset = "synthetic"
data_dir = None
seed = 0
device = "auto"

# %%
import math

import numpy as np
import pandas as pd
import torch
from torch import nn

from fer_repro import claims, classroom, figures, metrics, preprocessing
from fer_repro.attention import PointMultiplicationAttention, point_multiplication_attention
from fer_repro.bilstm import BiLSTM, serialise
from fer_repro.cnn import SevenLayerCNN
from fer_repro.data import synthetic
from fer_repro.figures import attention as pictures

figures.header_card(
    section="Sec. III-E, Algorithm 1",
    claims=["C-OCC"],
    profile=profile,
    dataset=dataset,
    minutes=50,
    questions=["Q8"],
    files=["fer_repro/attention.py"],
)

# %% [markdown]
# ```{index} attention, query, key, value, softmax, occlusion
# ```
#
# **Questions**
# : What does Algorithm 1 compute, and which of its lines cannot be read? Who asks the question that the keys answer?
#   Does attention look away from what is covered?
#
# **Objectives**
# : After this chapter you can compute attention by hand, say what happens to a softmax of large scores and why many
#   divide by $\sqrt D$, and test a claim about occlusion with pairs of faces that differ in nothing else.
#
# ## What the paper says
#
# An attention layer raises the weight of useful features, "especially" in occluded, complex and blurred images
# (C-OCC). It takes a query, keys and values, and is a weighted mean with weights from a softmax. Keys are learned,
# $K=\tanh(VW^a)$; weights are $d=\mathrm{softmax}(qK^{\top})$; the result is $a=d*V$ {cite:p}`jayaraman2024improved`.
# The form is that of dot-product attention {cite:p}`vaswani2017attention`, with a tanh as in its additive forerunner
# {cite:p}`bahdanau2015neural`.
#
# ## What it leaves out
#
# **Q8**
# : Where the query $q$ comes from; what the condition "$W\le W_6$" means; what $K_c=\lVert qC_v\rVert$ is for;
#   whether scores are scaled; whether $d*V$ is a product or a weighted sum.
#
# Line by line, with our reading (I20 lists what contradicts itself):
#
# | Algorithm 1 | our reading |
# |---|---|
# | for each hidden sequence $L_1 \dots L_N$ "at moment $n$" | for each image, the BiLSTM's output at each row |
# | initiate random weight $W$ and value matrix $V$ | $W^a$ is trained; $V$ is the BiLSTM's output, nothing random |
# | if $W\le W_6$ then | cannot be read: a matrix compared with a recurrence's weight of another shape; left out |
# | $K_L = \tanh VW^a$ | taken as it stands |
# | while $L \ne 0$ | nothing in the loop changes $L$; it would not end; read as "for each step" |
# | $K_c=\lVert qC_v\rVert$ | never used afterwards; left out |
# | $d=\mathrm{softmax}(qK^{\top})$ | taken as it stands; the undefined $K$ is $K_L$ |
# | $a=d*V$ | the weighted sum over steps ("a weighted mean function", says the text) |

# %%
figures.show(
    lambda: pictures.flow(6, 256),
    name="fig-attention-flow",
    caption="What is left of Algorithm 1 for one query, with the shapes of a 48-pixel face: six rows, 256 numbers "
    "each.",
    alt="Boxes joined by arrows: V leads to K by a weight and tanh; K and the query q give six scores, softmax makes "
    "them six weights, and these, with V, give the attended vector a.",
)

# %% [markdown]
# ## Algorithm beside the code
#
# $$
# K=\tanh(VW^a),\qquad d_t=\frac{e^{q\cdot K_t}}{\sum_{s=1}^{T}e^{q\cdot K_s}},\qquad a=\sum_{t=1}^{T}d_tV_t
# $$ (eq-attention)
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $V_t$ | value: the BiLSTM's output at row $t$ | `values` |
# | $W^a$ | trained weight | `key_weight` |
# | $K_t$ | key of row $t$ | `keys` |
# | $q$ | query (Q8) | `query` |
# | $d_t$ | weight of row $t$ | `d`, returned as `weights` |
# | $a$ | attention vector | `a`, returned as `attended` |

# %%
figures.show_source(point_multiplication_attention, name="code-attention")

# %% [markdown]
# ## By hand
#
# Three steps with keys $(0,1)$, $(1,0)$, $(2,0)$, values 10, 20, 30, and the query $(1,0)$. The scores are 0, 1 and
# 2; their exponentials 1, 2.718 and 7.389 sum to 11.107; so the weights are 0.090, 0.245 and 0.665, and
#
# $$
# a = 0.090\cdot 10+0.245\cdot 20+0.665\cdot 30=25.75 .
# $$

# %%
query = torch.tensor([[1.0, 0.0]])
keys = torch.tensor([[[0.0, 1.0], [1.0, 0.0], [2.0, 0.0]]])
attended, weights = point_multiplication_attention(query, keys, torch.tensor([[[10.0], [20.0], [30.0]]]))
assert np.allclose(weights[0], [0.090, 0.245, 0.665], atol=5e-4)
assert np.isclose(attended.item(), 25.75, atol=5e-3)
[round(w, 3) for w in weights[0].tolist()], round(attended.item(), 2)

# %% [markdown]
# ## Checked against a slow loop


# %%
def algorithm_1(q, K, V):
    scores = [sum(q[j] * K[t][j] for j in range(len(q))) for t in range(len(K))]
    total = sum(math.exp(s) for s in scores)
    d = [math.exp(s) / total for s in scores]
    return [sum(d[t] * V[t][e] for t in range(len(V))) for e in range(len(V[0]))], d


# %%
torch.manual_seed(seed)
layer = PointMultiplicationAttention(8)
V = torch.randn(1, 6, 8)
result, how = layer(V)
W = layer.key_weight.weight.detach().double().numpy()
K = np.tanh(V[0].double().numpy() @ W.T)
loops = [algorithm_1(q, K, V[0].double().numpy()) for q in V[0].double().numpy()]  # each step asks for itself
difference = max(
    np.abs(np.array([a for a, _ in loops]) - result[0].detach().numpy()).max(),
    np.abs(np.array([d for _, d in loops]) - how["weights"][0].detach().numpy()).max(),
)
assert difference < 1e-5
figures.say(f"Largest difference between library and loops: {difference:.0e}.")

# %% [markdown]
# ## Who asks (Q8)
#
# Four readings of $q$ are options:
#
# `"self"` (ours)
# : each row asks for itself, as "for each hidden image sequence ... at moment $n$" suggests. The result is a sequence
#   again.
#
# `"learned"`
# : one trained vector, the same for all images.
#
# `"last"`, `"mean"`
# : the last row's output, or the mean over rows.
#
# With one query there would be one vector left, and no map for the reconstruction of Sec. III-F; these three
# therefore leave each row in its place, times $T d_t$ (the element-wise reading of $d*V$).

# %%
figures.show_source(PointMultiplicationAttention.forward)

# %% [markdown]
# ## Why many divide by √D
#
# A score $q\cdot K_t$ sums $D$ products. If they are independent with variance $v$, the score's spread is
# $\sqrt{Dv}$: it grows with the width. Large scores drive the softmax to one step, and there its slope $d_t(1-d_t)$
# vanishes: queries and keys learn no more, only the values do. Dividing by $\sqrt D$ keeps the spread fixed
# {cite:p}`vaswani2017attention`.
# Algorithm 1 does not divide. Random queries and keys show what that does:

# %%
rng = np.random.default_rng(seed)
spans, T = [2**k for k in range(1, 11)], 6
even, steps_left, slope_left = (1 / T) * (1 - 1 / T), {}, {}
for name, scale, size in (
    ("as Algorithm 1", False, 1.0),
    ("divided by √D", True, 1.0),
    ("as Algorithm 1, small q", False, 0.2),
):
    steps_left[name], slope_left[name] = [], []
    for D in spans:
        q = torch.from_numpy(size * rng.standard_normal((400, D)).astype(np.float32))
        K = torch.tanh(torch.from_numpy(rng.standard_normal((400, T, D)).astype(np.float32)))
        d = point_multiplication_attention(q, K, K, scale)[1].numpy()
        steps_left[name].append(pictures.effective_steps(d).mean())
        slope_left[name].append((d * (1 - d)).mean() / even)

# %%
figures.show(
    lambda: pictures.saturation(spans, steps_left, slope_left, T),
    name="fig-attention-saturation",
    caption="Left: over how many of six steps the weights spread (exp of their entropy). Right: the softmax's slope, "
    "relative to even weights. Undivided scores saturate as the width grows; how soon depends on the query's size.",
    alt="Two line charts over the width from 2 to 1024. Divided scores keep both curves level near the top; undivided "
    "ones fall towards one step and a slope near zero; with a small query they fall later.",
)

# %%
at = spans.index(256)
figures.say(
    f"At our width of 256, undivided scores of queries with unit variance leave {steps_left['as Algorithm 1'][at]:.1f} "
    f"of {T} steps and {slope_left['as Algorithm 1'][at]:.0%} of the slope; with queries a fifth as large, "
    f"{steps_left['as Algorithm 1, small q'][at]:.1f} steps and {slope_left['as Algorithm 1, small q'][at]:.0%}. An "
    f"LSTM's outputs lie "
    "between -1 and 1, small at first; how large they become is up to training, as we shall see. We keep the paper's "
    "form, with `scale=True` as an option."
)

# %% [markdown]
# ## A network that attends
#
# As in the chapter on the {ref}`BiLSTM <chap-bilstm>`, the CNN is trained for a few seconds and then fixed; on its
# maps, a BiLSTM with each reading of the attention trains, which takes about a second. To give attention something to
# learn from, a random half of the training faces is covered by a grey bar over two rows of the map.

# %%
limit, epochs = {"quick": (800, 4)}.get(profile, (4000, 8))
if profile == "quick":
    torch.set_num_threads(1)  # what is shown shall not depend on how many cores there are
pixels = 128 if profile == "paper128" else 48
faces = classroom.faces(dataset, data_dir, n=1200 if profile == "quick" else 6000, seed=seed)
device = classroom.device(device)
side = SevenLayerCNN().output_size(pixels)
band, width = pixels // side, 2  # pixels under one row of the map; rows that the bar covers


# %%
def cover(images, place):
    """Lay a grey bar over `width` rows of the map, from row `place` on (one for all, or one for each)."""
    images = images.copy()
    for image, top in zip(images, np.broadcast_to(place, len(images)), strict=True):
        image[top * band : (top + width) * band] = 128
    return images


def normal(images):
    return classroom.prepared(images, pixels, device)


train, held = (classroom.some(faces.part(split), limit, seed) for split in ("train", "val"))
chance = np.random.default_rng(seed)
half = chance.random(len(train)) < 0.5
shown = preprocessing.resize(train.images, pixels)
shown[half] = cover(shown[half], chance.integers(0, side - width + 1, half.sum()))
x_train, y_train = normal(shown), torch.from_numpy(train.labels).to(device)
plain_images = preprocessing.resize(held.images, pixels)
y_held = torch.from_numpy(held.labels).to(device)


# %% tags=["hide-input"]
class OnMaps(nn.Module):
    """The CNN and a linear layer over all places."""

    def __init__(self):
        super().__init__()
        self.cnn, self.linear = SevenLayerCNN(), nn.Linear(64 * side * side, len(faces.classes))

    def forward(self, x):
        return self.linear(self.cnn(x)[0].flatten(1))


# %%
class Attending(nn.Module):
    """BiLSTM, attention in one reading of Q8 (or none), and a linear layer over all rows."""

    def __init__(self, query="self", scale=False, hidden=48):
        super().__init__()
        torch.manual_seed(seed)
        self.bilstm = BiLSTM(64 * side, hidden)
        self.attention = PointMultiplicationAttention(2 * hidden, query, scale) if query else None
        self.linear = nn.Linear(side * 2 * hidden, len(faces.classes))

    def parts(self, maps):
        hidden = self.bilstm(serialise(maps))
        if self.attention is None:
            return hidden, hidden, None
        attended, how = self.attention(hidden)
        return hidden, attended, how["weights"]

    def forward(self, maps):
        return self.linear(self.parts(maps)[1].flatten(1))


# %%
torch.manual_seed(seed)
eye = classroom.fit(OnMaps().to(device, memory_format=torch.channels_last), x_train, y_train, epochs, seed)


@torch.no_grad()
def maps_of(x):
    return torch.cat([eye.cnn(part)[0] for part in x.split(256)])


maps = maps_of(x_train)
spread = maps.std()
maps = maps / spread
open_maps = maps_of(normal(plain_images)) / spread
places = range(side - width + 1)
covered_maps = {p: maps_of(normal(cover(plain_images, p))) / spread for p in places}

# %%
readings = {
    "self (ours)": {"query": "self"},
    "self, divided by √D": {"query": "self", "scale": True},
    "learned": {"query": "learned"},
    "last": {"query": "last"},
    "mean": {"query": "mean"},
    "no attention": {"query": None},
}
networks = {name: classroom.fit(Attending(**how).to(device), maps, y_train, 6, seed) for name, how in readings.items()}

# %% [markdown]
# ## Weights over the face
#
# The weight each row receives, mean over the rows that ask, on drawn faces; below, the same faces with a bar over the
# mouth. Where that is, the drawing itself knows: the bar is laid around the middle of the mouth when it is open in
# surprise.

# %%
ours = networks["self (ours)"]
lips = synthetic.landmarks(synthetic.action_units("surprise"), synthetic.person(4, seed))
height = 0.52 + 0.4 * (lips["lip_up_y"][0] + lips["lip_low_y"][0]) / 2  # of the picture: 0.4 of it is one face unit
first = min(round(side * height) - width // 2, side - width)
mouth = (first, first + width)
expressions = ["happiness", "surprise", "anger", "sadness"]
drawn = np.stack([synthetic.draw(name, identity=4, seed=seed, size=pixels) for name in expressions])
pairs = {"as drawn": drawn, "mouth covered": cover(drawn, mouth[0])}


@torch.no_grad()
def weights_on(images):
    return ours.parts(maps_of(normal(images)) / spread)[2].cpu().numpy()


found = {name: weights_on(images) for name, images in pairs.items()}
got = {name: pictures.received(w) for name, w in found.items()}
behind = {name: w[:, mouth[0] : mouth[1]].sum(1) for name, w in got.items()}
figures.show(
    lambda: pictures.over_faces({k: list(v) for k, v in pairs.items()}, {k: list(v) for k, v in got.items()}, mouth),
    name="fig-attention-face",
    caption="Attention laid over drawn faces (happiness, surprise, anger, sadness): the lighter a band, the more "
    "weight it receives; the bars give its size, the dotted line an even share. Below, a frame marks the "
    "covered rows; what weight they still receive has brown bars.",
    alt=f"Two rows of four drawn faces in horizontal bands of different brightness, each with {side} bars beside it. "
    f"In the second row a grey bar hides the mouth. Weight of rows {mouth[0] + 1} and {mouth[1]}, free and covered: "
    + "; ".join(
        f"{name} {free:.0%} and {hidden:.0%}" for name, free, hidden in zip(expressions, *behind.values(), strict=True)
    )
    + "; the row of most weight, free and covered: "
    + "; ".join(f"{name} {a + 1} and {b + 1}" for name, a, b in zip(expressions, *(w.argmax(1) for w in got.values())))
    + ".",
)

# %%
figures.show(
    lambda: pictures.matrices({"surprise": found["as drawn"][1], "mouth covered": found["mouth covered"][1]}),
    name="fig-attention-matrix",
    caption="The full weights for the drawn surprised face: each row that asks has weights that sum to one.",
    alt="Two square heat maps of weights, rows that ask downwards and rows that are looked at across, without and with "
    "a covered mouth. Columns stand out more than single cells: most rows ask for the same.",
)

# %% [markdown]
# ## Does it look away from what is covered? (C-OCC)
#
# A picture shows one face. On held-out faces, each is taken twice: as it is, and with the bar at each place.
# Everything else being equal, the covered rows' weight should fall if attention knows what is useful.


# %%
@torch.no_grad()
def row_weights(network, maps):
    return pictures.received(network.parts(maps)[2].cpu().numpy())


def on_covered_rows(network):
    before, after = row_weights(network, open_maps), [row_weights(network, covered_maps[p]) for p in places]
    plain = np.stack([before[:, p : p + width].sum(1) for p in places])
    return plain, np.stack([after[p][:, p : p + width].sum(1) for p in places])


plain, covered = on_covered_rows(ours)
figures.show(
    lambda: pictures.shift(plain, covered, width),
    name="fig-attention-shift",
    caption=f"Weight of two neighbouring rows, mean over {len(y_held)} held-out faces with a 95 % interval: when "
    f"nothing covers them, and "
    "when a bar does. Same faces, same network.",
    alt="For each place of the bar two dots with error bars, uncovered and covered. The text below says how far they "
    "lie apart.",
)

# %%
change = covered.mean() / plain.mean() - 1
falls = (covered < plain).mean()
figures.say(
    f"Under a bar, the weight of its rows changes by {change:+.1%} on average; it falls in {falls:.0%} of the pairs "
    f"(an indifferent attention: about half). By place: "
    + ", ".join(f"rows {p + 1}–{p + width} {covered[p].mean() / plain[p].mean() - 1:+.0%}" for p in places)
    + "."
)


# %%
y_true, image = y_held.cpu().numpy(), np.arange(len(y_held))


@torch.no_grad()
def predicted(network):
    """What a network says of the held-out faces: uncovered, (N,), and with the bar at each place in turn, (P N,)."""
    return [
        torch.cat([network(m).argmax(1) for m in maps]).cpu().numpy() for maps in ([open_maps], covered_maps.values())
    ]


predictions = {name: predicted(network) for name, network in networks.items()}
truths = y_true, np.tile(y_true, len(places))


# %%
@torch.no_grad()
def line(name, network):
    hidden, attended, weights = network.parts(open_maps)
    kept = (attended.std(1).mean() / attended.std((0, 1)).mean()) / (hidden.std(1).mean() / hidden.std((0, 1)).mean())
    clean, under = (100 * (p == y).mean() for p, y in zip(predictions[name], truths, strict=True))
    if weights is None:
        return name, clean, under, None, None, 100.0
    before, after = on_covered_rows(network)
    even = pictures.effective_steps(weights.cpu().numpy()).mean()
    return name, clean, under, even, 100 * (after.mean() / before.mean() - 1), 100 * kept.item()


columns = ["query", "accuracy, %", "covered, %", "steps that count", "covered rows' weight, %", "row contrast kept, %"]
compared = pd.DataFrame([line(*item) for item in networks.items()], columns=columns)
margin = 196 * np.sqrt(0.25 / len(y_held))
figures.table(
    compared,
    name="tab-attention-readings",
    caption=f"Readings of Q8 on the same fixed maps: accuracy on {len(y_held)} held-out faces (one seed; a single "
    f"accuracy is known to about ±{margin:.0f} points) "
    "without and with a bar (mean over its places); how many rows the weights spread over; by how much the covered "
    "rows' weight changes; how much of the differences between rows is left after attention, relative to the BiLSTM's "
    "output.",
    formats={
        "accuracy, %": "{:.1f}",
        "covered, %": "{:.1f}",
        "steps that count": "{:.1f}",
        "covered rows' weight, %": "{:+.1f}",
        "row contrast kept, %": "{:.0f}",
    },
)

# %%
best = compared.set_index("query")
gains = [
    metrics.paired_differences(y, without, with_, len(faces.classes), groups=np.tile(image, len(y) // len(image)))
    for y, without, with_ in zip(truths, predictions["no attention"], predictions["self (ours)"], strict=True)
]
gain = [
    f"{100 * d.estimate:+.1f} points (95 % interval {100 * d.low:+.1f} to {100 * d.high:+.1f})"
    for d in (g["accuracy"] for g in gains)
]
with torch.no_grad():
    hidden = ours.parts(open_maps)[0]
figures.say(
    f"With our attention, this short training stands {gain[0]} from the same network without it on uncovered faces, "
    f"and {gain[1]} on covered ones. The intervals compare the two on the same faces; they hold the choice of faces, "
    "not that of the seed. Two things stand out. The trained BiLSTM's outputs have a root mean square of "
    f"{hidden.square().mean().sqrt():.2f}, and undivided scores of such queries leave "
    f"{best.loc['self (ours)', 'steps that count']:.1f} of {side} rows. And where every row asks for nearly the same, "
    f"every row becomes nearly the same weighted mean: {best.loc['self (ours)', columns[-1]]:.0f} % of the differences "
    f"between rows are left. *Self* attention "
    "without a way around it pays for its view of the whole face with the place of things."
)

# %% [markdown]
# This is an illustration of seconds, and the networks above were trained on half of their faces with the very bar that
# they are tested with. Accuracy against the covered share, for several seeds with intervals and networks trained as a
# whole, is in the chapter on {ref}`mechanisms <chap-mechanisms>`; the paper measures neither occlusion nor blur (I25).

# %% tags=["remove-input"]
record = next((m for m in claims.load_mechanisms() if m["id"] == "attention-weight"), None)
if record:
    bar, free = (np.array(record["series"][record[k]]).mean(0) for k in ("with", "without"))
    told = [", ".join(f"{v:.2f}" for v in values) for values in (bar, free)]
    less = int((bar < free).sum())
    figures.say(
        "That chapter also weighs the covered rows, in networks whose training faces bore no occluders but the few, "
        f"small ones of all drawn faces. There the covered rows get {told[0]} of an even share in {len(bar)} seeds, "
        f"and the same rows, free, {told[1]}: less weight under the bar in {less} of {len(bar)} seeds. "
        + (
            "So what this page shows is what attention *can* learn when it is shown the occluder, and not what it does "
            "of itself."
            if less < len(bar)
            else "So it takes no training on the bar for that."
        )
    )

# %% [markdown]
# ## Our decisions, and what changes if they are taken otherwise
#
# | Q8 | decision | otherwise |
# |---|---|---|
# | query | `"self"`: each row asks | `"learned"`, `"last"`, `"mean"`: one query, rows keep their places |
# | scale | none, as Algorithm 1 | `scale=True`: more even weights ({numref}`fig-attention-saturation`) |
# | $d*V$ | weighted sum | element-wise with one query, to leave a map |
# | "$W\le W_6$", $K_c$ | left out | no reading gives them an effect |
#
# ## Beside the paper
#
# Table I gives the network without attention; that ablation is the paper's evidence for this module, and the chapter on
# {ref}`results <chap-results>` has our run of it. On C-OCC there is no number in the paper to set ours beside.
#
# ## Take-aways
#
# - Attention is a weighted mean; its weights say where a network looks, not whether that helps.
# - Two lines of Algorithm 1 have no reading, one loop has no end; what is left is dot-product attention with tanh
#   keys.
# - Undivided scores saturate as the width grows; then one row's value speaks for all.
# - Where all rows ask nearly the same, all rows become nearly the same mean, saturated or not.
# - A claim about occlusion needs pairs: the same face, covered and not.
#
# ## Quiz

# %% [markdown]
# :::{admonition} 1. All keys are equal. What are the weights, and what is $a$?
# :class: dropdown
# $1/T$ each, whatever the query; $a$ is the plain mean of the values.
# :::
#
# :::{admonition} 2. For one query, two rows of keys and values are exchanged. How do weights and $a$ change?
# :class: dropdown
# The two weights are exchanged, $a$ stays: attention does not know the order. (The BiLSTM before it does.)
# :::
#
# :::{admonition} 3. Can $a$ have an entry larger than all the values' entries?
# :class: dropdown
# No: weights are non-negative and sum to one.
# :::
#
# :::{admonition} 4. A score of one step exceeds all others by 10. What happens in training?
# :class: dropdown
# Its weight is almost 1, $d(1-d)$ almost 0: hardly any gradient reaches query and keys.
# :::

# %% [markdown]
# ## Exercises

# %% [markdown]
# ````{exercise} ★ Twice as large
# :label: ex-attention-twice
#
# In the example by hand, double the query. Compute the new weights, and check them.
# ````
#
# ````{solution-start} ex-attention-twice
# :class: dropdown
# ````
#
# Scores 0, 2, 4; exponentials 1, 7.389, 54.598; sum 62.987; weights 0.016, 0.117, 0.867: sharper.

# %% tags=["show-input"]
values = torch.tensor([[[10.0], [20.0], [30.0]]])
sharper = point_multiplication_attention(2 * query, keys, values)[1][0]
assert np.allclose(sharper, [0.016, 0.117, 0.867], atol=5e-4)
[round(w, 3) for w in sharper.tolist()]

# %% [markdown]
# ````{solution-end}
# ````

# %% [markdown]
# ````{exercise} ★★ A softmax may be shifted
# :label: ex-attention-shift
#
# Show that adding one number to all scores leaves the weights, and use it to compute weights for scores of 1000, 1001
# and 1002 without overflow.
# ````
#
# ````{solution-start} ex-attention-shift
# :class: dropdown
# ````
#
# $e^{s_t+c}/\sum_s e^{s_s+c}$: the factor $e^c$ cancels. Subtract the largest score first; every good softmax does.

# %% tags=["show-input"]
scores = np.array([1000.0, 1001.0, 1002.0])
safe = np.exp(scores - scores.max())
safe /= safe.sum()
assert np.allclose(safe, torch.softmax(torch.tensor(scores), 0))
safe.round(3)

# %% [markdown]
# ````{solution-end}
# ````

# %% [markdown]
# ````{exercise} ★★ A way around
# :label: ex-attention-residual
#
# Add the BiLSTM's output back to the attended one (a residual connection), in the network trained above and without
# training again. How much of the differences between rows is left with it, and how much without?
# ````
#
# ````{solution-start} ex-attention-residual
# :class: dropdown
# ````

# %% tags=["show-input"]
with torch.no_grad():
    hidden, attended, _ = ours.parts(open_maps)


def contrast(x):
    return (x.std(1).mean() / x.std((0, 1)).mean()).item()


kept = {name: contrast(x) / contrast(hidden) for name, x in {"with": attended + hidden, "without": attended}.items()}
print(", ".join(f"{share:.0%} {name}" for name, share in kept.items()))

# %% [markdown]
# The sum keeps more of it. The paper names no such connection, so the network of this book has none.
#
# ````{solution-end}
# ````

# %% [markdown]
# ````{exercise} ★★★ Would attention look away from a *bright* bar?
# :label: ex-attention-bright
#
# The bar of this page is mid-grey, as in training. Cover the held-out faces with a white one instead, and compare.
# ````
#
# ````{solution-start} ex-attention-bright
# :class: dropdown
# ````

# %% tags=["show-input"]
changes = {}
for grey in (0, 128, 255):
    before, after = [], []
    for p in places:
        images = plain_images.copy()
        images[:, p * band : (p + width) * band] = grey
        after.append(row_weights(ours, maps_of(normal(images)) / spread)[:, p : p + width].sum(1))
        before.append(row_weights(ours, open_maps)[:, p : p + width].sum(1))
    changes[grey] = np.mean(after) / np.mean(before) - 1
    print(f"bar of grey level {grey}: weight of the covered rows {changes[grey]:+.1%}")

# %% [markdown]
# Only the grey bar was in training. A bar of another tone brings edges of its own, and Eq. 1 lets it change the
# contrast of the whole face: what was learned need not carry over.

# %% tags=["remove-input"]
figures.say(
    "Here rows under the white bar get "
    + (
        "**more** weight than uncovered: what was learned is a tone, and not “covered”."
        if changes[255] > 0
        else f"{-changes[255]:.0%} less weight, under the grey one {-changes[128]:.0%} less."
    )
)

# %% [markdown]
# ````{solution-end}
# ````

# %% [markdown]
# ## Run this page again
#
# ```console
# $ fer-repro book --profile quick --only 06_attention
# $ jupytext --to ipynb notebooks/06_attention.py --output attention.ipynb
# $ papermill attention.ipynb out.ipynb -p profile native48 -p dataset fer2013 -p data_dir faces
# ```
#
# With FER2013 or CK+, training and the statistics are those of the real images; the faces shown stay drawn ones.
