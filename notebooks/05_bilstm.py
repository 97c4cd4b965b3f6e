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
# (chap-bilstm)=
# # The BiLSTM

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

from fer_repro import classroom, figures, metrics, preprocessing
from fer_repro.bilstm import BiLSTM, UngatedBiRNN, serialise, step_grid
from fer_repro.cnn import SevenLayerCNN
from fer_repro.data import synthetic
from fer_repro.figures import bilstm as pictures
from fer_repro.figures import sensitivity

figures.header_card(
    section="Sec. III-C, III-D, Eqs 5–7, Fig. 3",
    claims=["C-TIME"],
    profile=profile,
    dataset=dataset,
    minutes=50,
    questions=["Q6", "Q7"],
    files=["fer_repro/bilstm.py"],
)

# %% [markdown]
# ```{index} LSTM, BiLSTM, gate, serialisation, recurrence
# ```
#
# **Questions**
# : What is a sequence in a single picture? What does an LSTM do at each step, and what do the paper's equations do
#   instead? Does the order of the steps matter?
#
# **Objectives**
# : After this chapter you can serialise a feature map in three ways, run an LSTM by hand, show that Eqs 5–7 are a
#   linear recurrence and what follows from that, and say what "time" can mean for a still image.
#
# ## What the paper says
#
# The CNN "generates and serializes" a feature vector, which goes to a bidirectional LSTM
# {cite:p}`schuster1997bidirectional`. Its gates decide what to keep {cite:p}`hochreiter1997long` and what to discard
# {cite:p}`gers2000learning`; one layer reads forward, another backward, with six shared weights $w_1$ to $w_6$, and
# their outputs are combined (Eqs 5–7, Fig. 3). It is said to gather time-series information from images "taken at
# different periods and different angles" (C-TIME) {cite:p}`jayaraman2024improved`.
#
# ## What it leaves out
#
# **Q6**
# : How a map becomes a sequence, and what time is. FER2013 holds single pictures of different people: there is no
#   series to take information from. CK+ holds series, and "time series information" and "sequence features from the
#   images" may mean their frames; but the paper speaks of 327 images where there are 327 sequences, and wants one
#   network for both data sets. We read single pictures, on CK+ too.
#
# **Q7**
# : How many units; what $g$ is; and which recurrence. The text describes a gated LSTM. The equations have no gate,
#   and no non-linearity within the recurrence (I21). Section IV announces that "the effectiveness of LSTM parameters
#   is shown" (C-LSTM-PARAMETERS); no table or figure shows it (I14).

# %%
figures.show(
    pictures.structure,
    name="fig-bilstm-structure",
    caption="The paper's Fig. 3, afresh, with the weights of Eqs 5–7. The forward layer (blue) and the backward layer "
    "(orange) both read each step; neither sees the other before the output.",
    alt="Four columns of boxes. At the bottom the inputs x, above them forward states h joined by arrows to the right, "
    "above them backward states h prime joined by arrows to the left, at the top the outputs O, each fed from both.",
)

# %% [markdown]
# ## What time is in a still image
#
# The only order at hand is that of the picture itself. We read the feature map row by row, from the forehead down
# (Q6): one step is all channels of one row. A step from forehead to mouth is then a step in "time". Columns and
# single places are options.

# %%
figures.show_source(serialise, name="code-serialise")

# %%
pixels = 48 if profile != "paper128" else 128
side = SevenLayerCNN().output_size(pixels)
face = synthetic.draw("surprise", identity=4, seed=seed, size=pixels)
figures.show(
    lambda: pictures.serialisations(face, {by: step_grid(side, side, by) for by in ("rows", "columns", "patches")}),
    name="fig-bilstm-serialise",
    caption="Where the steps lie on the face. Each step also sees beyond its own band: the receptive field of the CNN "
    "is wider.",
    alt="A drawn face three times: cut into numbered horizontal bands, into numbered vertical bands, and into a grid "
    "of squares numbered from the upper left to the lower right.",
)

# %%
widths = {by: tuple(serialise(torch.empty(1, 64, side, side), by).shape[1:]) for by in ("rows", "columns", "patches")}
figures.say(
    f"From {pixels} pixels, the map is 64×{side}×{side}. By rows or columns that is a sequence of {widths['rows'][0]} "
    f"steps with {widths['rows'][1]} numbers each; by places, {widths['patches'][0]} steps with {widths['patches'][1]} "
    f"numbers."
)

# %% [markdown]
# ## The equations beside the code
#
# The paper's recurrence, to the letter:
#
# $$
# h_t = w_1x_t + w_2h_{t-1},\qquad h'_t = w_3x_t + w_5h'_{t+1},\qquad O_t = g(w_4h_t + w_6h'_t)
# $$ (eq-bilstm-ungated)
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $x_t$ | step $t$ of the sequence | `x[:, t]` |
# | $h_t, h'_t$ | forward and backward state | `h`, `k` |
# | $w_1, w_3$ | input weights of either direction | `w1`, `w3` |
# | $w_2, w_5$ | recurrent weights | `w2`, `w5` |
# | $w_4, w_6$ | how the two are joined | `w4`, `w6` |
# | $g$ | not named; we take tanh (Q7) | `activation` |

# %%
figures.show_source(UngatedBiRNN.forward, name="code-ungated")

# %% [markdown]
# An LSTM instead has four times the input weights, and a cell $c_t$ beside the state:
#
# $$
# \begin{aligned}
# i_t &= \sigma(W_ix_t+U_ih_{t-1}+b_i) & f_t &= \sigma(W_fx_t+U_fh_{t-1}+b_f)\\
# o_t &= \sigma(W_ox_t+U_oh_{t-1}+b_o) & \tilde c_t &= \tanh(W_cx_t+U_ch_{t-1}+b_c)\\
# c_t &= f_t\odot c_{t-1}+i_t\odot\tilde c_t & h_t &= o_t\odot\tanh(c_t)
# \end{aligned}
# $$ (eq-bilstm-lstm)
#
# The forget gate $f_t$ says how much of the cell stays, the input gate $i_t$ how much is written, the output gate
# $o_t$ how much is shown; each is between 0 and 1 and *depends on the step*. Our network takes this one, from torch,
# with the two directions side by side; `cell="ungated"` takes {eq}`eq-bilstm-ungated`, `merge="equation"` joins an
# LSTM's directions as Eq. 7 does.

# %%
figures.show_source(BiLSTM.forward, name="code-bilstm")

# %% [markdown]
# ## By hand
#
# One unit, three steps $x = (1, 2, 3)$, $w_1=w_3=w_4=w_6=1$, $w_2=w_5=\tfrac12$. Forward: $h_1 = 1$, $h_2 =
# 2+\tfrac12\cdot1 = 2.5$, $h_3 = 3+\tfrac12\cdot2.5 = 4.25$. Backward, from the end: $h'_3=3$, $h'_2 =
# 2+\tfrac12\cdot3=3.5$, $h'_1 = 1+\tfrac12\cdot3.5=2.75$. Their sums are 3.75, 6 and 7.25, and $g$ acts on these.

# %%
one = UngatedBiRNN(1, 1)
with torch.no_grad():
    for name, weight in one.named_parameters():
        weight.fill_(0.5 if name.startswith(("w2", "w5")) else 1.0)
one.activation = "clone"  # g left out, to see the sums
sums = one(torch.tensor([[[1.0], [2.0], [3.0]]]))[0, :, 0].tolist()
assert sums == [3.75, 6, 7.25]
sums

# %% [markdown]
# Now an LSTM of one unit, forward, over two steps. All its input weights are 1, but $W_c = \tfrac12$; only the
# candidate heeds the state before it, $U_c = 1$; all else is 0. The inputs are $x = (\ln 3, 0)$, since $\sigma(\ln 3) =
# \tfrac34$ and $\tanh(\tfrac12\ln 3) = \tfrac12$.
#
# *Step 1.* All gates stand at 0.75 and the candidate is 0.5. There is nothing to forget yet: $c_1 = 0.75\cdot 0.5 =
# 0.375$, and $h_1 = 0.75\tanh 0.375 = 0.269$.
#
# *Step 2.* With $x_2 = 0$ all gates stand at 0.5. The candidate hears of the first step through $h_1$: $\tanh 0.269 =
# 0.263$. Half of the cell stays, and half of the candidate is written: $c_2 = 0.5\cdot 0.375 + 0.5\cdot 0.263 = 0.319$,
# and $h_2 = 0.5\tanh 0.319 = 0.154$.

# %%
single = nn.LSTM(1, 1, batch_first=True)
with torch.no_grad():
    for weight in single.parameters():
        weight.zero_()
    single.weight_ih_l0[:, 0] = torch.tensor([1, 1, 0.5, 1])  # torch's order: input, forget, candidate, output
    single.weight_hh_l0[2] = 1.0
states, (_, cell) = single(torch.tensor([[[np.log(3.0)], [0.0]]], dtype=torch.float32))
assert np.allclose([*states[0, :, 0].tolist(), cell.item()], [0.269, 0.154, 0.319], atol=5e-4)
{"h": [round(h, 3) for h in states[0, :, 0].tolist()], "c after step 2": round(cell.item(), 3)}

# %% [markdown]
# ## Checked against slow loops
#
# The ungated recurrence and both directions of torch's LSTM, each by the equations, number by number:


# %%
def ungated_by_loops(x, w1, w2, w3, w4, w5, w6):
    T, h, k = len(x), {-1: 0.0}, {len(x): 0.0}
    for t in range(T):
        h[t] = w1 @ x[t] + (w2 @ h[t - 1] if t > 0 else 0)
    for t in reversed(range(T)):
        k[t] = w3 @ x[t] + (w5 @ k[t + 1] if t < T - 1 else 0)
    return np.stack([np.tanh(w4 @ h[t] + w6 @ k[t]) for t in range(T)])


# %%
figures.show_source(pictures.gates)

# %%
torch.manual_seed(seed)
x = torch.randn(1, 7, 5)
ungated, gated = UngatedBiRNN(5, 3), BiLSTM(5, hidden=3)
w = [parameter.detach().double().numpy() for parameter in ungated.parameters()]
sequence = x[0].double().numpy()
both = [pictures.gates(gated.recurrence, sequence, reverse)["hidden"] for reverse in (False, True)]
apart = {
    "Eqs 5–7": np.abs(ungated_by_loops(sequence, *w) - ungated(x)[0].detach().numpy()).max(),
    "LSTM": np.abs(np.concatenate(both, axis=1) - gated(x)[0].detach().numpy()).max(),
}
assert max(apart.values()) < 1e-5
figures.say(f"Largest difference: {apart['Eqs 5–7']:.0e} (Eqs 5–7), {apart['LSTM']:.0e} (LSTM).")

# %% [markdown]
# ## What follows from having no gate
#
# Put {eq}`eq-bilstm-ungated` into itself:
#
# $$
# h_t = \sum_{s\le t} w_2^{\,t-s}\,w_1\,x_s .
# $$ (eq-bilstm-unrolled)
#
# That is a *linear* function of the sequence, in which a step is weighed by the powers of one fixed matrix, whatever
# the face shows: it fades where that matrix shrinks it. If the largest eigenvalue of $w_2$ exceeds one in size, the sum
# explodes, which is why we start it below. Before $g$, Eqs 5–7 can do nothing that one linear layer over all steps
# could not; what they add is that the weights are shared, and therefore few.

# %%
torch.manual_seed(seed)
linear = UngatedBiRNN(5, 3)
a, b = torch.randn(2, 1, 7, 5) / 9
unrolled = sum(torch.linalg.matrix_power(linear.w2.weight, 6 - s) @ linear.w1.weight @ a[0, s] for s in range(7))  # h_7
stepwise = torch.zeros(3)
for s in range(7):
    stepwise = linear.w1(a[0, s]) + linear.w2(stepwise)
summed = (torch.atanh(linear(a + b)) - torch.atanh(linear(a)) - torch.atanh(linear(b))).abs().max().item()
figures.say(
    f"The unrolled sum and the recurrence differ by {(unrolled - stepwise).abs().max().item():.0e}; before $g$, the "
    f"output of a sum of two sequences is the sum of their outputs to within {summed:.0e}."
)

# %% [markdown]
# ## A network that reads faces
#
# To open the gates on an example, something must be trained. The seven layers of the CNN are trained for a few
# seconds with a linear classifier on top, then fixed; on their maps, each reading of Q6 and Q7 then trains a
# recurrence of its own, which takes a second. The loop, `classroom.fit`, is that of the chapter on the
# {ref}`seven layers <chap-cnn>` without mirroring. (In the book's real runs everything is trained together.)

# %%
if profile == "quick":
    torch.set_num_threads(1)  # what is shown shall not depend on how many cores there are
limit, epochs = {"quick": (800, 4)}.get(profile, (4000, 8))
faces = classroom.faces(dataset, data_dir, n=1200 if profile == "quick" else 6000, seed=seed)
device = classroom.device(device)


# %% tags=["hide-input"]
class OnMaps(nn.Module):
    """The CNN and a linear layer over all places."""

    def __init__(self):
        super().__init__()
        self.cnn, self.linear = SevenLayerCNN(), nn.Linear(64 * side * side, len(faces.classes))

    def forward(self, x):
        return self.linear(self.cnn(x)[0].flatten(1))


# %%
x_train, y_train = classroom.ready(classroom.some(faces.part("train"), limit, seed), pixels, device)
x_held, y_held = classroom.ready(classroom.some(faces.part("val"), limit, seed), pixels, device)
torch.manual_seed(seed)
eye = classroom.fit(OnMaps().to(device, memory_format=torch.channels_last), x_train, y_train, epochs, seed)


@torch.no_grad()
def maps_of(x):
    """Feature maps (N, 64, H, W), brought to unit spread."""
    return torch.cat([eye.cnn(part)[0] for part in x.split(256)])


maps = maps_of(x_train)
spread = maps.std()
maps, held = maps / spread, maps_of(x_held) / spread


# %%
class Reader(nn.Module):
    """Serialise a map, read it with a recurrence, and classify all its outputs."""

    def __init__(self, by="rows", cell="lstm", order=None, bidirectional=True, hidden=48):
        super().__init__()
        torch.manual_seed(seed)
        steps, width = widths[by]
        self.by, self.order = by, order
        self.recurrence = BiLSTM(width, hidden, cell, bidirectional=bidirectional)
        self.linear = nn.Linear(steps * self.recurrence.num_features, len(faces.classes))

    def forward(self, maps):
        steps = serialise(maps, self.by)
        steps = steps if self.order is None else steps[:, self.order]
        return self.linear(self.recurrence(steps).flatten(1))


order = torch.from_numpy(np.random.default_rng(seed + 1).permutation(side))
readings = {
    "rows, LSTM both ways": {},
    "rows, LSTM one way": {"bidirectional": False},
    "rows, Eqs 5–7": {"cell": "ungated"},
    "rows in a shuffled order": {"order": order},
    "columns": {"by": "columns"},
    "places": {"by": "patches"},
}
readers = {name: classroom.fit(Reader(**how).to(device), maps, y_train, 6, seed) for name, how in readings.items()}

# %% [markdown]
# ## The gates, opened
#
# For one drawn face, the gates of both directions by {eq}`eq-bilstm-lstm`:

# %%
shown = {name: synthetic.draw(name, identity=4, seed=seed, size=pixels) for name in ("happiness", "surprise", "anger")}


def maps_of_faces(images):
    x = preprocessing.preprocess(np.stack(images), pixels)[:, None]
    return maps_of(torch.from_numpy(x).to(device)) / spread


drawn = dict(zip(shown, maps_of_faces(list(shown.values()))))
reader = readers["rows, LSTM both ways"]
steps = serialise(drawn["surprise"][None])[0]
lstm = reader.recurrence.recurrence
opened = {
    direction: pictures.gates(lstm, steps.double().cpu().numpy(), reverse)
    for direction, reverse in (("forward", False), ("backward", True))
}
figures.show(
    lambda: pictures.gate_maps(opened, ["input", "forget", "output"]),
    name="fig-bilstm-gates",
    caption="Gates of the first 16 units while reading a drawn surprised face. The forward layer reads from the top, "
    "the backward one from the bottom. A column of one colour is a unit whose gate never moves; where the colour "
    "changes from row to row, the gate heeds the face.",
    alt="Six heat maps: input, forget and output gate of the forward and of the backward layer, rows of the map "
    "downwards and units across. Some columns are evenly open or shut, others change from row to row; how much in each "
    "gate is said below.",
)

# %%
moved = {gate: np.mean([opened[d][gate].std(0).mean() for d in opened]) for gate in ("input", "forget", "output")}
read = [opened["forward"]["forget"], opened["backward"]["forget"][::-1]]  # either in the order of its reading
# what a row wrote into the cell is multiplied by the forget gate of each row read after it, unit by unit
left = [np.stack([np.cumprod(f[t : t + 2], axis=0) for t in range(1, len(f) - 1)]) for f in read]  # (T - 2, 2, h)
left = np.concatenate([part.swapaxes(0, 1).reshape(2, -1) for part in left], axis=1)
(low1, half1, high1), (low2, half2, high2) = np.percentile(left, [25, 50, 75], axis=1).T
figures.say(
    f"Over the rows of this face, a gate moves by {min(moved.values()):.2f} to {max(moved.values()):.2f} (standard "
    f"deviation, mean over units). Of what a row writes into a cell, {half1:.0%} is left there one row later, and "
    f"{half2:.0%} two rows later. These are medians over units and rows; the middle half of them lies between "
    f"{low1:.0%} and {high1:.0%}, and between {low2:.0%} and {high2:.0%}. Without a "
    "gate, a unit's rate would be the same on all faces and rows."
)

# %% [markdown]
# ## How far a state looks
#
# The norm of $\partial h_t/\partial x_s$ says how much the state at row $t$ hangs on row $s$. By construction it is
# zero on one side of the diagonal for either direction.

# %%
plain = readers["rows, Eqs 5–7"].recurrence.recurrence


def one_direction(inward, recurrent):
    def states(x):
        h = [inward(x[:, 0])]
        for t in range(1, x.shape[1]):
            h.append(inward(x[:, t]) + recurrent(h[-1]))
        return torch.stack(h, 1)

    return states


looks = {
    "LSTM, forward": pictures.reach(lambda x: lstm(x)[0][..., : lstm.hidden_size], steps),
    "LSTM, backward": pictures.reach(lambda x: lstm(x)[0][..., lstm.hidden_size :], steps),
    "Eq. 5, forward": pictures.reach(one_direction(plain.w1, plain.w2), steps),
    "Eq. 6, backward": pictures.reach(lambda x: one_direction(plain.w3, plain.w5)(x.flip(1)).flip(1), steps),
}
figures.show(
    lambda: pictures.reach_maps(looks),
    name="fig-bilstm-reach",
    caption="How much the state at each row hangs on the input at each row, for the same face. The forward direction "
    "knows what lies above, the backward one what lies below; bidirectional reading fills the square.",
    alt="Four square heat maps. Forward ones are filled on and below the diagonal, backward ones on and above it. "
    "Those of Eqs 5 and 6 have one value along each diagonal.",
)


# %%
def left_after_two(matrix, backward=False):
    matrix = matrix.T if backward else matrix
    return np.mean([matrix[t, t - 2] / matrix[t - 2, t - 2] for t in range(2, len(matrix))])


figures.say(
    "Of a row's influence, this is left two rows on: "
    + ", ".join(f"{left_after_two(m, 'backward' in name):.0%} (*{name}*)" for name, m in looks.items())
    + ". Under Eqs 5 and 6 that depends on the weights alone: one number for all faces and rows."
)

# %% [markdown]
# ## Which rows decide
#
# The gradient of the right class's score with respect to each row of the map, through one direction at a time:


# %%
def saliency_of(feature_map, label):
    found = {}
    for direction, half in (("forward", 0), ("backward", 1)):
        rows = serialise(feature_map[None]).detach().clone().requires_grad_()
        h = list(reader.recurrence(rows).chunk(2, dim=2))
        h[1 - half] = h[1 - half].detach()
        score = reader.linear(torch.cat(h, 2).flatten(1))[0, label]
        (gradient,) = torch.autograd.grad(score, rows)
        found[direction] = gradient[0].norm(dim=1).cpu().numpy()
    return found


salient = {name: saliency_of(m, faces.classes.index(name)) for name, m in drawn.items()}
figures.show(
    lambda: pictures.saliency(shown, salient),
    name="fig-bilstm-saliency",
    caption="How strongly each row of the map moves the score of the drawn expression, through the forward and the "
    "backward layer.",
    alt="Three drawn faces, happy, surprised and angry, each with two sets of horizontal bars beside its rows, one for "
    "each direction. The bars differ between faces and between directions.",
)

# %%
top = {name: {d: int(v.argmax()) + 1 for d, v in both.items()} for name, both in salient.items()}
listed = "; ".join(f"{name}: row {d['forward']} forward, {d['backward']} backward" for name, d in top.items())
figures.say(
    f"Strongest rows of {side}: {listed}. A row matters more to the direction that reads it *early* only if the trace "
    "survives."
)

# %% [markdown]
# ## Gated or not, rows or columns, any order?


# %%
@torch.no_grad()
def predicted(network, x):
    return network(x).argmax(1).cpu().numpy()


right = y_held.cpu().numpy()
said = {name: predicted(r, held) for name, r in readers.items()} | {"no recurrence, linear": predicted(eye, x_held)}
sizes = {name: sum(p.numel() for p in r.recurrence.parameters()) for name, r in readers.items()}
compared = pd.DataFrame(
    [(name, sizes.get(name, 0), 100 * (answer == right).mean()) for name, answer in said.items()],
    columns=["reading", "parameters", "held-out accuracy, %"],
)
margin = 196 * np.sqrt(0.25 / len(y_held))
figures.table(
    compared,
    name="tab-bilstm-readings",
    caption="Readings of Q6 and Q7 on the same fixed feature maps (the last row is the CNN's own linear layer, trained "
    f"with it): one seed, {len(y_held)} held-out images (about "
    f"±{margin:.0f} points of chance for a single accuracy), an illustration. Parameters are the recurrence's: "
    "one way, the LSTM has twice the units, so that every reading hands on as many numbers a step.",
    formats={"parameters": "{:,.0f}", "held-out accuracy, %": "{:.1f}"},
)

# %%
default = "rows, LSTM both ways"
moves = {
    name: metrics.paired_differences(right, said[default], answer, len(faces.classes), seed=seed)["accuracy"]
    for name, answer in said.items()
    if name != default
}
shuffled = moves["rows in a shuffled order"]
clear = [name for name, move in moves.items() if move.low > 0 or move.high < 0]
figures.say(
    "The shuffled order is the telling line. If rows from forehead to chin were a course of time from which the LSTM "
    f"learns, any other order should cost. Here it changes accuracy by {100 * shuffled.estimate:+.1f} points (95 % "
    f"interval {100 * shuffled.low:+.1f} to {100 * shuffled.high:+.1f}, paired on the same images), "
    + (
        "which the choice of held-out images alone can do. "
        if shuffled.low <= 0 <= shuffled.high
        else "more than the choice of held-out images explains; with other seeds that may differ. "
    )
    + (
        f"The same holds for every other line of the table against *{default}*."
        if not clear
        else "Intervals that leave out zero: "
        + "; ".join(
            f"*{name}*, {100 * move.estimate:+.1f} ({100 * move.low:+.1f} to {100 * move.high:+.1f})"
            for name, move in moves.items()
            if name in clear
        )
        + f". That is one seed, and {len(moves)} comparisons of which one may err by chance."
    )
)

# %% [markdown]
# The recurrence is a way to let each row be read in the light of the others, with shared weights. That the rows form
# a *time* is a way of speaking. For C-TIME, that the BiLSTM obtains time-series information from images taken at
# different periods, FER2013 gives no occasion, and on CK+ our reading (Q6) takes none: each image enters alone.
#
# ## Our decisions, and what changes if they are taken otherwise
#
# | question | decision | otherwise |
# |---|---|---|
# | Q6 | rows of the map, from the top (`by="rows"`) | columns or single places ({numref}`tab-bilstm-readings`) |
# | Q7 | an LSTM | `cell="ungated"`: Eqs 5–7, linear up to $g$ |
# | Q7 | 128 units each way (`hidden`) | fewer: a smaller state for the same rows, and fewer parameters |
# | Q7 | the directions side by side | `merge="equation"`: mixed by $w_4$ and $w_6$ as in Eq. 7 |
# | Q7 | $g$ = tanh, where Eq. 7 is taken (`activation`) | none: the whole is linear; ReLU: what is negative is lost |

# %%
figures.say(
    sensitivity.measured("Q6", "Q7")
    + " The merging by Eq. 7 and another $g$ are options, and not among these; an exercise there adds the former."
)

# %% [markdown]
# ## Beside the paper
#
# There is no number for this module in Table I: BiLSTM, like LDA, center loss and preprocessing, has no row of its own
# there (I24, but see Q16). The baseline CNN-LSTM against CNN-BiLSTM in Tables II and III comes nearest, and
# {ref}`chap-results` has our runs of both.
#
# ## Take-aways
#
# - For a still image, "time" is the order in which a picture is read. We read rows.
# - Eqs 5–7 are a linear recurrence with one fixed rate; the text describes an LSTM, which forgets at a rate that
#   depends on the face.
# - Two directions let every row be read in the light of all others.
#
# ## Quiz

# %% [markdown]
# :::{admonition} 1. What does the forward state at the first row know of the mouth?
# :class: dropdown
# Nothing through the recurrence; only what the CNN's receptive field already brought in. The backward state knows all
# below.
# :::
#
# :::{admonition} 2. $w_2$ has an eigenvalue of 1.1. What happens to Eq. 5 over 16 rows?
# :class: dropdown
# Along that direction a step grows by $1.1^{15}\approx 4.2$; over longer sequences it explodes. An LSTM's forget gate
# is at most 1.
# :::
#
# :::{admonition} 3. Why does an LSTM have about four times the parameters of Eq. 5 for one direction?
# :class: dropdown
# Three gates and the candidate each have their own input and recurrent weights (and biases).
# :::
#
# :::{admonition} 4. CK+ holds sequences. Does the BiLSTM see their time?
# :class: dropdown
# No. It reads one image's rows; frames of a sequence enter one by one, as separate examples.
# :::

# %% [markdown]
# ## Exercises

# %% [markdown]
# ````{exercise} ★ Turn the sequence, swap the directions
# :label: ex-bilstm-mirror
#
# Turn the sequence around, and exchange the weights of the two directions. Which of the old outputs come back, and
# where?
# ````
#
# ````{solution-start} ex-bilstm-mirror
# :class: dropdown
# ````
#
# All of them: halves exchanged, order reversed.

# %% tags=["show-input"]
torch.manual_seed(seed)
first, second, x = BiLSTM(4, hidden=3), BiLSTM(4, hidden=3), torch.randn(1, 5, 4)
other = {
    name.removesuffix("_reverse") if name.endswith("_reverse") else name + "_reverse": value
    for name, value in first.recurrence.state_dict().items()
}
second.recurrence.load_state_dict(other)
forward, backward = first(x).chunk(2, dim=2)
difference = (second(x.flip(1)) - torch.cat([backward, forward], 2).flip(1)).abs().max().item()
print(f"largest difference {difference:.0e}")
assert difference < 1e-6

# %% [markdown]
# ````{solution-end}
# ````

# %% [markdown]
# ````{exercise} ★★ A memory of one row
# :label: ex-bilstm-forget
#
# Set an LSTM's biases so that it forgets everything at each step. What is left of {numref}`fig-bilstm-reach`?
# ````
#
# ````{solution-start} ex-bilstm-forget
# :class: dropdown
# ````
#
# A forget gate shut by a large negative bias empties the cell; but the state $h_{t-1}$ still enters the gates,
# through $U$. Only with $U=0$ as well the square becomes a diagonal.

# %% tags=["show-input"]
torch.manual_seed(seed)
amnesiac = nn.LSTM(5, 4, batch_first=True)
x = torch.randn(6, 5)
off_diagonal = []
for change in ("nothing", "forget gate shut", "and U = 0"):
    with torch.no_grad():
        if change == "forget gate shut":
            amnesiac.bias_ih_l0[4:8] = -50
        if change == "and U = 0":
            amnesiac.weight_hh_l0.zero_()
    matrix = pictures.reach(lambda x: amnesiac(x)[0], x)
    off_diagonal.append((np.tril(matrix, -1) ** 2).sum() / (matrix**2).sum())
    print(f"{change}: {off_diagonal[-1]:.1%} of the influence comes from earlier rows")
assert off_diagonal[2] < 1e-9 < off_diagonal[1] < off_diagonal[0]

# %% [markdown]
# ````{solution-end}
# ````

# %% [markdown]
# ````{exercise} ★★ One linear layer instead
# :label: ex-bilstm-linear
#
# Write the states $h_1,\dots,h_T$ of Eq. 5 as *one* matrix times the whole sequence, and check it. How many of its
# numbers are free?
# ````
#
# ````{solution-start} ex-bilstm-linear
# :class: dropdown
# ````
#
# By {eq}`eq-bilstm-unrolled` it is block lower triangular with blocks $w_2^{t-s}w_1$: built from $hD+h^2$ free
# numbers.

# %% tags=["show-input"]
T, D, H = 5, 4, 3
torch.manual_seed(seed)
cell = UngatedBiRNN(D, H)
power = torch.linalg.matrix_power
blocks = [
    [power(cell.w2.weight, t - s) @ cell.w1.weight if s <= t else torch.zeros(H, D) for s in range(T)] for t in range(T)
]
matrix = torch.cat([torch.cat(row, 1) for row in blocks])
x = torch.randn(1, T, D)
difference = ((matrix @ x.flatten()).view(T, H) - one_direction(cell.w1, cell.w2)(x)[0]).abs().max().item()
print(f"{matrix.numel()} entries, {H * D + H * H} free; largest difference {difference:.0e}")
assert difference < 1e-5

# %% [markdown]
# ````{solution-end}
# ````

# %% [markdown]
# ````{exercise} ★★★ Does order ever matter?
# :label: ex-bilstm-order
#
# In {numref}`tab-bilstm-readings` every network was *trained* on its order. Take the one trained on rows in their
# order, and show it maps whose rows are shuffled. What do the two experiments together say about "time"?
# ````
#
# ````{solution-start} ex-bilstm-order
# :class: dropdown
# ````

# %% tags=["show-input"]
kept = (said[default] == right).mean()
lost = (predicted(reader, held[:, :, order]) == right).mean()
again = (said["rows in a shuffled order"] == right).mean()
print(f"trained and shown in order {kept:.0%}; shown shuffled {lost:.0%}; trained and shown shuffled {again:.0%}")

# %% [markdown]
# A trained network depends on *its* order, since every step has a place of its own in the classifier. But which order
# it was trained on matters much less: an order is a numbering of places, not a course of time.
#
# ````{solution-end}
# ````

# %% [markdown]
# ## Run this page again
#
# ```console
# $ fer-repro book --profile quick --only 05_bilstm
# $ jupytext --to ipynb notebooks/05_bilstm.py --output bilstm.ipynb
# $ papermill bilstm.ipynb out.ipynb -p profile native48 -p dataset fer2013 -p data_dir faces
# ```
#
# With FER2013 or CK+, the networks are trained on the real images; the faces shown, and those whose gates are opened,
# stay drawn ones.
