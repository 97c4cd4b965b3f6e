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
# (chap-center-loss)=
# # Center loss

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

from fer_repro import center_loss, classroom, figures, metrics, recipe
from fer_repro.center_loss import CenterLoss
from fer_repro.cnn import Convolution, SevenLayerCNN
from fer_repro.figures import center_loss as pictures
from fer_repro.figures import sensitivity

figures.header_card(
    section="Sec. III-B, Eqs 2–4; Fig. 1",
    claims=["C-CENTER"],
    profile=profile,
    dataset=dataset,
    minutes=45,
    questions=["Q4"],
    files=["fer_repro/center_loss.py"],
)

# %% [markdown]
# ```{index} center loss, joint supervision, class center, discriminative features
# ```
#
# **Questions**
# : What does a loss on *features* add to a loss on *predictions*? Who moves the centers, and by which rule? What do
#   $\lambda$ and $\alpha$ do, for which the paper gives no value?
#
# **Objectives**
# : After this chapter you can take one step of Eq. 3 by hand, say why a center is no parameter of the network, tell a
#   loss that separates classes from one that only shrinks all features, and read a measure of discrimination that
#   cannot be fooled by scale.
#
# ## What the paper says
#
# Softmax only asks that the classes can be told apart. Center loss {cite:p}`wen2016discriminative` asks for more: each
# class has a center in the space of the deep features, and a feature is to lie near the center of its class. While
# the network learns, the centers are updated too, once a mini-batch and only for the classes in it, at a rate
# $\alpha$ between 0 and 1 that avoids large perturbations. Both losses are minimised together, balanced by $\lambda$
# {cite:p}`jayaraman2024improved`. The claim (C-CENTER) is that the features become more discriminative.
#
# ## What it leaves out
#
# **Q4**
# : Values of $\lambda$ and $\alpha$, and the formula in which $\alpha$ stands: Eq. 3 gives a step and not what is done
#   with it. Whether the loss is a sum over the mini-batch, as Eq. 4 has it, or a mean. Which of the network's many
#   intermediate results the $x_i$ are.
#
# The section also names K-nearest neighbours and Siamese networks as common ways, which then play no part.
#
# ## The equations beside the code
#
# Together, the softmax loss $L_S$ and the center loss $L_C$ are
#
# $$
# L = \underbrace{-\sum_{i=1}^{m}\log
# \frac{e^{W_{y_i}^{\mathsf T} x_i+b_{y_i}}}{\sum_{j=1}^{n}e^{W_j^{\mathsf T} x_i+b_j}}}_{L_S}
# +\lambda\,\underbrace{\frac{1}{2}\sum_{i=1}^{m}\lVert x_i-C_{y_i}\rVert_2^2}_{L_C}.
# $$ (eq-center-joint)
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $x_i$ | feature of image $i$: the input of the last linear layer (Q4) | `features` |
# | $y_i$ | its class | `labels` |
# | $m$ | images in the mini-batch | `len(labels)` |
# | $n$ | classes | `len(centers)` |
# | $W, b$ | the last linear layer | `classifier.weight`, `.bias` |
# | $C_j$ | center of class $j$, a point among the features | `centers[j]` |
# | $\lambda$ | weight of the center loss | the recipe's `center_weight` |
# | $\alpha$ | rate at which centers follow | `alpha`, the recipe's `center_rate` |
#
# Letters return in the paper with another meaning (I22): $\lambda$ is also a constant of
# {ref}`Eq. 1 <chap-preprocessing>`, and $C$ also the number of classes and the covariances in Eqs 8 to 12.

# %%
figures.show_source(center_loss.center_distance, name="code-center-loss")

# %% [markdown]
# The centers stand still in this function (`detach`), so that automatic differentiation gives what the paper writes
# down as Eq. 2:
#
# $$
# \frac{\partial L_C}{\partial x_i} = x_i - C_{y_i}.
# $$ (eq-center-gradient)
#
# They move by a rule of their own. Its step is Eq. 3:
#
# $$
# \Delta C_j = \frac{\sum_{i=1}^{m}\delta(y_i=j)\,(C_j-x_i)}{1+\sum_{i=1}^{m}\delta(y_i=j)}.
# $$ (eq-center-step)
#
# Here $\delta$ picks the images of class $j$. The $1$ below the line damps a class with few images, and a class with
# none gets $0/1$: it stays where it is. What is done with the step the paper does not print. It says that a factor
# $\alpha$ controls the rate; the update itself is taken from Wen et al. {cite:p}`wen2016discriminative` (Q4):
#
# $$
# C_j \leftarrow C_j-\alpha\,\Delta C_j.
# $$ (eq-center-update)

# %%
figures.show_source(center_loss.center_step, name="code-center-step")
figures.show_source(center_loss.class_sums)

# %% [markdown]
# The sum over $i$ of $C_j - x_i$ is `count * centers - total`, so no loop is needed. The class that holds the centers
# keeps them as a *buffer*: saved with the network, moved with it to a GPU, and out of reach of any optimiser.

# %%
figures.show_source(CenterLoss.update)

# %% [markdown]
# ## One step by hand
#
# Three features of one class, $(1, 2)$, $(3, 2)$ and $(2, 5)$, and their center at the origin. Eq. 3: the differences
# $C_j - x_i$ add up to $(-6, -9)$, divided by $1+3$ that is $\Delta C_j = (-1.5, -2.25)$. With $\alpha = 0.5$ the
# center moves to $(0.75, 1.125)$. Without the $1$ it would move half the way to the mean $(2, 3)$, to $(1, 1.5)$.

# %%
x = torch.tensor([[1.0, 2], [3, 2], [2, 5]])
loss = CenterLoss(num_classes=1, num_features=2, alpha=0.5)
loss.update(x, torch.zeros(3, dtype=torch.long))
loss.centers[0].tolist()

# %%
after = loss.centers[0].numpy().copy()
assert np.allclose(after, [0.75, 1.125])
figures.show(
    lambda: pictures.one_step(x.numpy(), np.zeros(2), after),
    name="fig-center-step",
    caption="The example by hand. Eq. 2 pulls each feature towards the center (blue, drawn at less than full length); "
    "Eq. 3 moves the center towards the features (orange), and stops short of their mean.",
    alt="Three points at the upper right with arrows to a square at the origin; a thick arrow leads from the square "
    "about a third of the way towards a cross in the middle of the three points.",
)

# %% [markdown]
# ## Checked against slow loops
#
# Eqs 2, 3 and 4 written out, on random features, beside the library:


# %%
def step_by_loops(x, y, centers):
    result = np.zeros_like(centers)
    for j in range(len(centers)):
        above, below = np.zeros(centers.shape[1]), 1.0
        for i in range(len(x)):
            if y[i] == j:
                above, below = above + centers[j] - x[i], below + 1
        result[j] = above / below
    return result


# %%
generator = torch.Generator().manual_seed(seed)
z = torch.randn(20, 3, generator=generator, dtype=torch.float64)
y = torch.randint(0, 4, (20,), generator=generator)
C = torch.randn(5, 3, generator=generator, dtype=torch.float64)  # nobody is of the fifth class
loops = step_by_loops(z.numpy(), y.numpy(), C.numpy())
z.requires_grad_()
total = center_loss.center_distance(z, y, C, reduction="sum")
(gradient,) = torch.autograd.grad(total, z)
differences = {
    "Eq. 2, gradient": (gradient - (z - C[y])).abs().max().item(),
    "Eq. 3, step": np.abs(center_loss.center_step(z.detach(), y, C).numpy() - loops).max(),
    "Eq. 4, second term": abs(total.item() - sum(((z[i] - C[y[i]]) ** 2).sum().item() for i in range(20)) / 2),
}
assert max(differences.values()) < 1e-12
assert not loops[4].any()
{name: f"{value:.0e}" for name, value in differences.items()}

# %% [markdown]
# ## Features in the plane
#
# To *see* features, they must have two dimensions. So here is a small network whose last layer before the classifier
# has two outputs: narrow versions of the paper's four convolutions, a linear layer to the plane, and the classifier.
# It is trained twice from the same start, with the same mini-batches: with softmax alone ($\lambda = 0$), and with
# both losses.

# %%
limit, epochs = {"quick": (700, 10)}.get(profile, (4000, 15))
if profile == "quick":
    torch.set_num_threads(1)  # what is shown shall not depend on how many cores there are
pixels = {"quick": 32, "paper128": 128}.get(profile, 48)
n = 1500 if profile == "quick" else 6000
faces = classroom.faces(dataset, data_dir, n=n, seed=seed, knobs=classroom.VERY_CLEAR)
device = classroom.device(device)

# %% [markdown]
# Drawn faces are very clear ones here, so that seconds suffice. They are prepared as the chapter on
# {ref}`preprocessing <chap-preprocessing>` has it; the next chapters begin in the same way.

# %%
figures.show_source(classroom.prepared)

# %%
x_train, y_train = classroom.ready(classroom.some(faces.part("train"), limit, seed), pixels, device)
x_held, y_held = classroom.ready(classroom.some(faces.part("val"), 400, seed), pixels, device)


# %%
class Planar(nn.Module):
    """A narrow seven-layer CNN with two features before the classifier."""

    def __init__(self):
        super().__init__()
        narrow = [Convolution(1, 8), Convolution(5, 12), Convolution(3, 16), Convolution(3, 32)]
        self.cnn = SevenLayerCNN(convolutions=narrow)
        width = 32 * self.cnn.output_size(pixels) ** 2
        self.hidden = nn.Sequential(nn.Linear(width, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU())
        self.plane = nn.Linear(64, 2)
        self.classifier = nn.Linear(2, len(faces.classes))

    def forward(self, x):
        features = self.plane(self.hidden(self.cnn(x)[0].flatten(1)))
        return self.classifier(features), features


# %% [markdown]
# The one line that matters is the loss, Eq. 4 divided by $m$; the centers follow after the optimiser's step.


# %%
def fit(weight, batch=32, rate=5e-3):
    torch.manual_seed(seed)
    network = Planar().to(device)
    centers = CenterLoss(len(faces.classes), 2).to(device)
    steps = len(x_train) // batch * epochs
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    seen = []
    for _ in range(epochs):
        network.train()
        for rows in torch.randperm(len(x_train))[: len(x_train) // batch * batch].split(batch):
            x, y = x_train[rows], y_train[rows]
            logits, features = network(x.flip(3) if torch.rand(()) < 0.5 else x)
            loss = F.cross_entropy(logits, y) + weight * centers(features, y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            centers.update(features, y)
        with torch.no_grad():
            logits, features = network.eval()(x_held)
        hit = (logits.argmax(1) == y_held).float().mean().item()
        seen.append((features.cpu().numpy(), centers.centers.cpu().numpy().copy(), hit))
    return network, seen


# %%
strength = 0.1
settings = {"softmax alone": 0.0, f"with center loss, λ = {strength}": strength}
trained = {name: fit(weight) for name, weight in settings.items()}
runs = {name: [(f, c) for f, c, _ in seen] for name, (_, seen) in trained.items()}

# %%
usual = recipe.RECIPES["native48"].center_weight
figures.say(
    f"The weight λ = {strength} is {strength / usual:.0f} times the λ = {usual} of the book's recipes (Q4). It is "
    "taken so that two features and a short training show the pull at all; what it does to accuracy stands in "
    "{numref}`tab-center-spread`."
)

# %%
shown = sorted({2, epochs // 2, epochs})
labels = y_held.cpu().numpy()
ends = {name: run[-1][0] for name, run in runs.items()}  # held-out features after the last epoch
nearest = {name: pictures.nearest_mean(features, labels) for name, features in ends.items()}  # class by class
set_apart, long = {}, {}
for name, features in ends.items():
    set_apart[name] = ", ".join(c for c, share in zip(faces.classes, nearest[name], strict=False) if share >= 0.9)
    long[name] = pictures.elongation(features, labels)
alike = [np.nansum(nearest[name] * np.bincount(labels)) / len(labels) for name in ends]
found = "; ".join(
    f"{where}, {share:.0%} of the faces lie nearest to the mean of their own class"
    for where, share in zip(("above", "below"), alike, strict=True)
)
pairs = "; ".join(
    f"in the {row} row nine in ten faces of {set_apart[name] or 'no class'} are nearest to their own class's middle"
    for row, name in zip(("upper", "lower"), ends, strict=True)
)
figures.show(
    lambda: pictures.plane({n.replace(", ", ",\n"): r for n, r in runs.items()}, labels, faces.classes, shown),
    name="fig-center-plane",
    caption="Features of held-out faces in the plane over the epochs, without (above) and with center loss (below). "
    "Each panel has a scale of its own. Large marks with a rim are the centers, which above only watch. In either row "
    f"some classes come to lie apart, and others overlap. In the last panels, {found}.",
    alt=f"Two rows of {len(shown)} scatter plots of seven kinds of marks. In the first column most marks form one "
    f"cloud. In the last column, {pairs}; the other clouds overlap. Each large mark lies among the small ones of its "
    "kind.",
)

# %% [markdown]
# Are there rays? They would be natural for softmax: the further out along its direction, the surer the class, so that
# nothing holds a feature at a distance. To the center loss a feature that runs away along its ray is an error like any
# other. What was found here, in few epochs:

# %%
away, held_back = long.values()
figures.say(
    f"From the middle of all class means outwards, the spread within a class is {away:.2f} times that across (root "
    f"mean square) with softmax alone, and {held_back:.2f} times with center loss; 1 is round. "
    + (
        "So classes are drawn out along their ray more without center loss, as expected."
        if away > 1.1 * held_back
        else "So rays are no longer without center loss than with it: softmax may draw them, but has not yet done so."
    )
)

# %% [markdown]
# ## Does the spread within classes fall?
#
# Of course it does: that is what is minimised. But features can be made small altogether, which brings the loss down
# and separates nothing. The measure must not depend on scale: the mean squared distance of the class means from the
# mean of all, over that of features from their class mean. Of *held-out* faces, for on training faces any loss looks
# good.

# %%
measured = pd.DataFrame(
    {"run": name, "epoch": epoch, "accuracy": hit} | pictures.spread(features, labels)
    for name, (_, seen) in trained.items()
    for epoch, (features, _, hit) in enumerate(seen, start=1)
)
figures.show(
    lambda: pictures.course(measured),
    name="fig-center-spread",
    caption="Spread of held-out features over the epochs. Center loss shrinks the spread within classes, and that "
    "between their means as well; what counts is the right panel, where the scale has gone.",
    alt="Three line charts over the epochs with two lines each. Within and between classes, the line of softmax alone "
    "climbs far above the other one; in the ratio of both, the line with center loss is the higher one or close by.",
)

# %%
last = measured[measured["epoch"] == epochs].set_index("run")
plain, pulled = (last.loc[name] for name in settings)
figures.table(
    last.reset_index()[["run", "within", "between", "ratio", "accuracy"]].assign(accuracy=lambda t: 100 * t.accuracy),
    name="tab-center-spread",
    caption=f"After {epochs} epochs, on {len(labels)} held-out faces, in two dimensions: one seed, an illustration. "
    "Spreads are mean squared distances, accuracy is in %.",
    formats={"within": "{:.2f}", "between": "{:.2f}", "ratio": "{:.2f}", "accuracy": "{:.1f}"},
)
figures.say(
    f"With center loss the spread within classes is {pulled['within'] / plain['within']:.2f} times, the spread between "
    f"class means {pulled['between'] / plain['between']:.2f} times what softmax alone gives. Their ratio goes from "
    f"{plain['ratio']:.2f} to {pulled['ratio']:.2f}. So the *second half* of the usual claim, that the spread between "
    "classes holds, is true only up to scale: **features get smaller, and within that, class means "
    + ("lie further apart**" if pulled["ratio"] > plain["ratio"] else "do not lie further apart**")
    + ", on average over the classes. Such an average can be carried by a few that stand far out: the share of faces "
    f"nearest to their own class's mean goes from {alike[0]:.0%} to {alike[1]:.0%} ({{numref}}`fig-center-plane`)."
)
answers = {name: network.eval()(x_held)[0].argmax(1).cpu().numpy() for name, (network, _) in trained.items()}
price = metrics.paired_differences(labels, *answers.values(), len(faces.classes), seed=seed)["accuracy"]
figures.say(
    f"Accuracy moves by {100 * price.estimate:+.1f} points (95 % interval {100 * price.low:+.1f} to "
    f"{100 * price.high:+.1f}, paired on the same faces): "
    + (
        "at this λ, the pull costs some of what the softmax loss asks for, although the measure of separation rises. "
        if price.high < 0 and pulled["ratio"] > plain["ratio"]
        else "at this λ, the pull costs accuracy. "
        if price.high < 0
        else "at this λ, the pull helps accuracy, too. "
        if price.low > 0
        else "no more than the choice of held-out faces can do. "
    )
    + f"This says nothing about λ = {usual}."
)

# %% [markdown]
# ## What λ does
#
# Now many runs, with three seeds each. To take seconds, they stand on the *fixed* convolutional features of the first
# network above: only a hidden layer, the plane and the classifier are trained anew.


# %%
@torch.no_grad()
def convolved(x):
    return trained["softmax alone"][0].cnn.eval()(x)[0].flatten(1)


u_train, u_held = convolved(x_train), convolved(x_held)
middle, deviation = u_train.mean(0), u_train.std(0) + 1e-6
u_train, u_held = (u_train - middle) / deviation, (u_held - middle) / deviation


# %%
def fit_head(weight, alpha=0.5, start=0, rounds=6, batch=32, watch=False):
    torch.manual_seed(start)
    plane = nn.Sequential(nn.Linear(u_train.shape[1], 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 2)).to(device)
    classifier = nn.Linear(2, len(faces.classes)).to(device)
    centers = CenterLoss(len(faces.classes), 2, alpha).to(device)
    optimizer = torch.optim.AdamW([*plane.parameters(), *classifier.parameters()], 5e-3, weight_decay=0.02)
    distances = []
    for rows in (b for _ in range(rounds) for b in torch.randperm(len(u_train)).split(batch)):
        features, y = plane.train()(u_train[rows]), y_train[rows]
        loss = F.cross_entropy(classifier(features), y) + weight * centers(features, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        centers.update(features, y)
        if watch:
            distances.append(behind(plane, centers))
    with torch.no_grad():
        features = plane.eval()(u_held)
        hit = (classifier(features).argmax(1) == y_held).float().mean().item()
    return {"accuracy": hit, **pictures.spread(features.cpu(), labels)}, np.array(distances)


@torch.no_grad()
def behind(plane, centers):
    features = plane.eval()(u_train[:400])
    means = torch.stack([features[y_train[:400] == k].mean(0) for k in y_train[:400].unique()])
    spread = pictures.spread(features.cpu(), y_train[:400].cpu())["within"] ** 0.5
    return ((centers.centers[y_train[:400].unique()] - means).norm(dim=1).mean() / spread).item()


# %%
weights = [0.0, 0.003, 0.03, 0.3]
swept = pd.DataFrame({"weight": w, **fit_head(w, start=s)[0]} for w in weights for s in range(3))
figures.show(
    lambda: pictures.sweep(swept),
    name="fig-center-lambda",
    caption="What the weight λ of the center loss does when only the last layers learn: three seeds each (dots; the "
    "line joins their means), held-out faces. The spread falls by more than one order of magnitude (left, "
    "logarithmic) and takes the scale of everything with it; the scale-free ratio and the accuracy move much less.",
    alt=f"Three charts over λ from 0 to {weights[-1]:g}. Left, the spread within classes falls steeply. In the middle "
    "the ratio and on the right the accuracy change by little more than the dots of one λ differ.",
)

# %%
mean = swept.groupby("weight")[["within", "ratio", "accuracy"]].mean()
noise = swept.groupby("weight")[["ratio", "accuracy"]].std().mean()
figures.say(
    f"Between λ = 0 and λ = {weights[-1]:g} the spread within classes falls to one part in "
    f"{mean['within'].iloc[0] / mean['within'].iloc[-1]:,.0f}. The ratio stays between {mean['ratio'].min():.2f} and "
    f"{mean['ratio'].max():.2f}, where seeds alone differ by {noise['ratio']:.2f} (standard deviation); accuracy goes "
    f"from {100 * mean['accuracy'].iloc[0]:.1f} % to {100 * mean['accuracy'].iloc[-1]:.1f} %, where seeds differ by "
    f"{100 * noise['accuracy']:.1f} points."
)

# %% [markdown]
# Most of what λ does here is a choice of *scale*. Where the ratio rises in {numref}`tab-center-spread`, the
# convolutions have had their part in it: the pull of {eq}`eq-center-gradient` reaches them through the layers above.
# And more discriminative *features* need not make a more accurate *network*: softmax draws its borders just as well
# between long rays.

# %% [markdown]
# ## What α does
#
# A center follows its class like a damped average. The features move while the network learns, so a slow center is
# late, and a fast one trembles with every mini-batch. The curves show the distance from a center to the mean of its
# class.

# %%
rates = [0.0, 0.02, 0.5, 1.0]
behaviour = {alpha: fit_head(0.03, alpha=alpha, rounds=3, watch=True) for alpha in rates}
figures.show(
    lambda: pictures.lag({f"α = {alpha:g}": distances for alpha, (_, distances) in behaviour.items()}),
    name="fig-center-alpha",
    caption="How far the centers are from the means of their classes, in units of the spread within classes, for four "
    "rates α. With α = 0 they stay at the origin, and the loss only pulls all features there.",
    alt="Four lines over some hundred mini-batches. The line of α = 0 keeps rising or stays high, α = 0.02 comes down "
    "slowly, α = 0.5 and 1 soon stay near zero.",
)

# %%
end = {alpha: distances[-20:].mean() for alpha, (_, distances) in behaviour.items()}
figures.say(
    "Over the last twenty mini-batches the distance is "
    + ", ".join(f"{value:.2f} for α = {alpha:g}" for alpha, value in end.items())
    + ". Any α that is not close to 0 will do."
)

# %% [markdown]
# ## Our decisions, and what changes if they are taken otherwise
#
# Q4: $\lambda = 0.003$ and $\alpha = 0.5$
# : The values with which Wen et al. report their results {cite:p}`wen2016discriminative`. {numref}`fig-center-lambda`
#   shows what another λ does to two features; what it is worth in the full network is said below.
#
# Q4: $\alpha$ enters by {eq}`eq-center-update`
# : As Wen et al. have it; the paper only names it. *Otherwise:* α = 1 takes the step of Eq. 3 as it is
#   ({numref}`fig-center-alpha`).
#
# Q4: a mean over the mini-batch
# : *Both* terms of Eq. 4 are sums. Dividing the whole by $m$ leaves λ as it is and makes the learning rate independent
#   of $m$. Taking the mean of one term and the sum of the other, as is easily done by mistake, multiplies or divides λ
#   by $m$. `reduction="sum"` is the second term to the letter, and wants the softmax loss summed as well.
#
# Q4: $x_i$ is the input of the last linear layer
# : Eq. 4 says so: it is what $W$ is multiplied with. Training has two stages, before and after LDA is fitted
#   ({ref}`chap-network`): in the first these are the attended features, in the second the reconstructed ones, and each
#   stage begins with new centers at the origin.
#
# Several processes gather their features before Eq. 3, so that the centers move once a mini-batch whatever the number
# of machines.

# %%
figures.say(sensitivity.measured("Q4") + " Other α are compared on this page only.")

# %% [markdown]
# ## Beside the paper
#
# The paper shows neither features nor an experiment without center loss, so that there is no number to compare with.
# The mechanism is real at the weight of this page: features gather around centers. At the recipes' smaller one,
# held-out faces do not show it ({ref}`chap-mechanisms`). Its two-sided form is not: centers do not drive classes
# *apart*. Nothing in Eq. 4 pushes two centers away from each other except the softmax, which is there with or
# without.
#
# ## Take-aways
#
# - Center loss works on features, softmax on predictions; together they ask that classes be separable *and* compact.
# - Centers move by Eq. 3. No optimiser, momentum, weight decay or λ may touch them.
# - Measure separation by a ratio: absolute spreads fall whenever features shrink.
# - Sum or mean must be the same for both terms.

# %% [markdown]
# ## Quiz
#
# :::{admonition} 1. A mini-batch holds no image of *disgust*. What happens to its center?
# :class: dropdown
# Nothing. Above the line of Eq. 3 stands an empty sum, below it a 1.
# :::
#
# :::{admonition} 2. λ is doubled. Do the centers move twice as far in a mini-batch?
# :class: dropdown
# No. λ stands before the loss; neither Eq. 3's step nor {eq}`eq-center-update` has it. (The *features* are pulled twice
# as hard, so that the centers will follow them elsewhere later.)
# :::
#
# :::{admonition} 3. All features and centers are multiplied by 0.1. What becomes of the center loss, and of the ratio?
# :class: dropdown
# The loss falls to a hundredth, and the ratio stays. This is why a falling center loss proves nothing.
# :::
#
# :::{admonition} 4. Could center loss be used without the softmax loss?
# :class: dropdown
# Hardly: features and centers can all go to one point, where the loss is zero.
# :::

# %% [markdown]
# ## Exercises

# %% [markdown]
# ```{exercise} ★ One image alone
# :label: ex-center-one
#
# A center stands at $(4, 0)$; one image of its class, at $(0, 0)$, is in the mini-batch; $\alpha = 1$. Where does the
# center go? And with 99 images, all at $(0, 0)$?
# ```
#
# ```{solution-start} ex-center-one
# :class: dropdown
# ```
#
# $\Delta C = (4, 0)/(1+1) = (2, 0)$: half the way, to $(2, 0)$. With 99 images $\Delta C = 99\,(4, 0)/100$, and the
# center goes to $(0.04, 0)$.

# %% tags=["show-input"]
ended = []
for n in (1, 99):
    single = CenterLoss(1, 2, alpha=1.0)
    single.centers[:] = torch.tensor([4.0, 0.0])
    single.update(torch.zeros(n, 2), torch.zeros(n, dtype=torch.long))
    ended.append(single.centers[0].tolist())
assert np.allclose(ended, [[2, 0], [0.04, 0]])
ended

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} ★★ A rare class
# :label: ex-center-rare
#
# In FER2013 some one in sixty-six images shows disgust, so that a mini-batch of 128 holds about two. How many
# mini-batches does its center need, starting from the origin, until only a tenth of the way to its mean is left, with
# $\alpha = 0.5$? How many does a class with 32 images a mini-batch need?
# ```
#
# ```{solution-start} ex-center-rare
# :class: dropdown
# ```
#
# With $n$ images a mini-batch, all at the mean, the distance shrinks by the factor $1-\alpha n/(1+n)$ each time.

# %% tags=["show-input"]
needed = {n: int(np.ceil(np.log(0.1) / np.log(1 - 0.5 * n / (1 + n)))) for n in (2, 32)}
for n, steps in needed.items():
    rare = CenterLoss(1, 1)
    for _ in range(steps):
        rare.update(torch.ones(n, 1), torch.zeros(n, dtype=torch.long))
    assert abs(1 - rare.centers.item()) < 0.1
needed

# %% [markdown]
# A few more, and no trouble: the damping protects a rare class from trembling with two images and costs it little.
#
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} ★★★ Centers as parameters
# :label: ex-center-parameters
#
# Many programs make the centers a parameter and let the optimiser move them by the gradient of $\lambda L_C$. Show
# that this gradient is, but for a factor, the top line of Eq. 3. Then let SGD with momentum and weight decay move
# centers towards three fixed clouds, and compare where they end with Eq. 3, over the last mini-batches and several
# seeds. What does λ do there?
# ```
#
# ```{solution-start} ex-center-parameters
# :class: dropdown
# ```
#
# $\partial(\lambda L_C)/\partial C_j = \lambda\sum_i\delta(y_i=j)(C_j-x_i)$: Eq. 3's top line times λ. So λ becomes
# part of the centers' learning rate, a frequent class moves faster, and weight decay drags all centers to the origin:

# %% tags=["show-input"]
where = torch.tensor([[8.0, 0], [-4, 7], [-4, -7]])


def distances(lam, start, last=20):
    """From each center to its true mean over the last mini-batches (last, 3); ``lam`` None is Eq. 3."""
    generator = torch.Generator().manual_seed(start)
    kinds = torch.multinomial(torch.tensor([0.6, 0.3, 0.1]), 3000, replacement=True, generator=generator)
    cloud = where[kinds] + torch.randn(3000, 2, generator=generator)
    by_rule, free = CenterLoss(3, 2), nn.Parameter(torch.zeros(3, 2))
    sgd = torch.optim.SGD([free], lr=0.5, momentum=0.9, weight_decay=5e-4)
    seen = []
    for rows in torch.arange(3000).split(30):
        x, y = cloud[rows], kinds[rows]
        if lam is None:
            by_rule.update(x, y)
        else:
            sgd.zero_grad()
            (lam * (x - free[y]).square().sum() / (2 * len(rows))).backward()
            sgd.step()
        seen.append(((by_rule.centers if lam is None else free.detach()) - where).norm(dim=1))
    return torch.stack(seen[-last:]).numpy()


rules = {"Eq. 3": None, "SGD, λ = 1": 1.0, "SGD, λ = 0.003": 0.003}
shares = ["6 in 10", "3 in 10", "1 in 10"]
misses = {name: np.stack([distances(lam, seed + k) for k in range(6)]) for name, lam in rules.items()}  # (6, 20, 3)
pd.DataFrame(
    {name: [f"{m:.2f} ± {s:.2f}" for m, s in zip(v.mean((0, 1)), v.std((0, 1)))] for name, v in misses.items()},
    index=shares,
)

# %%
rule, fast, slow = misses.values()
gap = (fast - rule).mean(1)  # (6, 3): λ = 1 against Eq. 3, by seed and class
clear = [metrics.spread(column) for column in gap.T]
words = [
    "further away" if found["low"] > 0 else "nearer" if found["high"] < 0 else "no different as far as six seeds tell"
    for found in clear
]
start = where.norm(dim=1).numpy()
figures.say(
    "The table has the distance to the true means, mean ± standard deviation over the last 20 mini-batches of six "
    "seeds. Against Eq. 3, SGD with λ = 1 is "
    + "; ".join(f"{word} for the class with {share}" for word, share in zip(words, shares))
    + f". Its distances vary {fast.std((0, 1)).mean() / rule.std((0, 1)).mean():.1f} times as much: with this momentum "
    f"it follows each mini-batch further. With λ = 0.003 the centers have done "
    f"{1 - slow.mean((0, 1))[0] / start[0]:.0%}, {1 - slow.mean((0, 1))[1] / start[1]:.0%} and "
    f"{1 - slow.mean((0, 1))[2] / start[2]:.0%} of their way, the less the rarer the class."
)

# %% [markdown]
# In Eq. 3 neither λ nor the frequency of a class sets the pace, but for the 1 below the line. Dividing the centers'
# gradient by λ, another common repair, is a division by zero when λ = 0. Eq. 3 needs none of this.
#
# ```{solution-end}
# ```

# %% [markdown]
# ## Run this page again
#
# ```console
# $ fer-repro book --profile quick --only 03_center_loss
# $ jupytext --to ipynb notebooks/03_center_loss.py --output center_loss.ipynb
# $ papermill center_loss.ipynb out.ipynb -p profile native48 -p dataset fer2013 -p data_dir faces
# ```
