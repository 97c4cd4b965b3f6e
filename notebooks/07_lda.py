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
# (chap-lda)=
# # Linear discriminant analysis

# %% tags=["parameters"]
profile = "quick"
dataset = "synthetic"
data_dir = None
seed = 0
device = "auto"

# %%
from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.linalg
import torch
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fer_repro import claims, classroom, figures, lda, metrics, network, recipe, training
from fer_repro.figures import lda as pictures
from fer_repro.lda import LinearDiscriminantProjection, ProjectionLayer, scatter_matrices

figures.header_card(
    section="Sec. III-F, Eqs 8–12",
    claims=["C-LDA"],
    profile=profile,
    dataset=dataset,
    minutes=60,
    questions=["Q9"],
    files=["fer_repro/lda.py"],
)

# %% [markdown]
# ```{index} linear discriminant analysis, scatter matrix, generalised eigenproblem, principal component analysis
# ```
#
# **Questions**
# : Which directions of a feature space tell classes apart? Why are there never as many as classes? How does a method
#   with a closed form, older than neural networks, live inside one?
#
# **Objectives**
# : After this chapter you can find a discriminant direction by hand, explain why $C$ classes give $C-1$ directions,
#   solve the eigenproblem without an inverse, and say what gradient passes a projection that was fitted and not
#   trained.
#
# ## What the paper says
#
# The attention's output has more dimensions than it should. Linear discriminant analysis (LDA {cite:p}`fisher1936use`)
# reduces it to as many dimensions as there are expressions, seven, and keeps what separates them (C-LDA). It is
# chosen because it does two things at once, "both dimensionality reduction and classification". Its steps are: the
# mean of each class and of all (Eqs 8, 9), the covariance of each class (Eq. 10), the scatter between and within
# classes (Eqs 11, 12), and the eigenvectors of $S_W^{-1}S_B$, on which the features are projected
# {cite:p}`jayaraman2024improved`.
#
# ## What it leaves out
#
# **Q9**
# : *How many directions?* Seven are asked for where only six exist (I18). The kinder reading is that LDA as a
#   *classifier* is meant: it gives one linear score a class, and of those there are seven. But the steps end with
#   projection vectors, and the network has a softmax of its own to classify. *Which means?* Eq. 8 calls them $S_i$
#   and has $x_{ij}\cdot x_{ij}$ under the sum; Eqs 9 to 11 call them $m_i$ (I22). *Which weights?* Eq. 11 weighs each
#   class by its share $p_i$, Eq. 12 does not. *On which features, and when* is it fitted, since they change while the
#   network learns? *What gradient passes* a projection that comes out of an eigenproblem? And what if $S_W$ has no
#   inverse?
#
# One letter has four meanings in the paper (I22, too): $C$ with an index is a class's center in Eqs 2 to 4, its
# covariance in Eq. 10, and a key in Algorithm 1; without one, it is the number of classes. Here $C_i$ is a covariance
# and $C$ the number of classes; centers are left to the chapter on {ref}`center loss <chap-center-loss>`.
#
# ## The equations beside the code
#
# With the reading of Eq. 8 as a mean, the five are
#
# $$
# m_i=\frac{1}{N_i}\sum_{j=1}^{N_i}x_{ij},\qquad
# m=\sum_{i=1}^{C}p_i\,m_i,\qquad
# C_i=\frac{1}{N_i}\sum_{j=1}^{N_i}(x_{ij}-m_i)(x_{ij}-m_i)^{\mathsf T},
# $$ (eq-lda-means)
#
# $$
# S_B=\sum_{i=1}^{C}p_i\,(m_i-m)(m_i-m)^{\mathsf T},\qquad
# S_W=\sum_{i=1}^{C}C_i.
# $$ (eq-lda-scatter)
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $x_{ij}$ | feature vector of the $j$-th image of class $i$, $D$ numbers | `x[y == i]` |
# | $N_i,\ p_i$ | images of class $i$, and their share | `n`, `p` |
# | $m_i,\ m$ | mean of class $i$, and of all | `means`, `m` |
# | $C_i$ | covariance of class $i$, $D\times D$ | `covariance` |
# | $S_B,\ S_W$ | scatter between and within classes, $D\times D$ | `S_b`, `S_w` |

# %%
figures.show_source(scatter_matrices, name="code-lda-scatter")

# %% [markdown]
# Step 4 asks for the eigenvectors of $S_W^{-1}S_B$. That matrix is not symmetric, and the inverse need not exist. The
# same vectors solve the *generalised symmetric* problem
#
# $$
# S_B\,v = e\,S_W\,v,
# $$ (eq-lda-eigen)
#
# for which there are stable methods. The eigenvalue $e = v^{\mathsf T} S_B v\,/\,v^{\mathsf T} S_W v$ says how many
# times the spread between classes exceeds that within all of them together, along $v$: $S_W$ is the sum of $C$
# covariances, so that $C$ times $e$ compares with the average class.

# %%
figures.show_source(LinearDiscriminantProjection.fit, name="code-lda-fit")

# %% [markdown]
# A word on `ridge`: where $S_W$ is singular, there are directions in which the training images of no class differ
# among themselves, and {eq}`eq-lda-eigen` has no finite answer. A millionth of the mean eigenvalue on the diagonal
# decides them. That is negligible only where all eigenvalues of $S_W$ lie well above a millionth of their mean:
# directions with less spread within classes than that are damped, however well they separate. How many those are in
# a trained network is counted below.
#
# ## A direction by hand
#
# Two classes of four points each: $(\pm2, 0)$ and $(0, \pm1)$, once around $(0, 0)$ and once around $(2, 2)$. Each
# has the covariance $\operatorname{diag}(2, \tfrac12)$, so $S_W=\operatorname{diag}(4, 1)$. The mean of all is $(1,
# 1)$, and $S_B=\tfrac12(1,1)^{\mathsf T}(1,1)+\tfrac12(1,1)^{\mathsf T}(1,1)$ has ones everywhere. For $v=(1,4)$:
# $S_B v=(5,5)$ and $S_W v=(4,4)$. So $v$ is an eigenvector, and $e = 5/4$.

# %%
cross = np.array([[-2.0, 0], [2, 0], [0, -1], [0, 1]])
points, two = np.concatenate([cross, cross + 2]), np.repeat([0, 1], 4)
by_hand = LinearDiscriminantProjection(shrinkage=0.0).fit(points, two)
v = by_hand.components_[:, 0]
assert np.allclose(v / v[0], [1, 4])
assert np.isclose(by_hand.eigenvalues_[0], 5 / 4)
(v / v[0]).tolist(), by_hand.eigenvalues_[0].item()

# %%
axis = PCA(1).fit(points).components_[0]
figures.show(
    lambda: pictures.directions(points, two, {"LDA": v, "PCA": axis}),
    name="fig-lda-hand",
    caption="The example by hand. Principal component analysis (PCA) takes the direction in which points differ most, "
    "and mixes the classes; LDA takes the one in which the classes differ most for what their points do.",
    alt="Left, two crosses of four points, one to the upper right of the other; a steep solid line and a flat dashed "
    "line through their middle. Right, the points as each line sees them: apart on the solid line, mixed on the "
    "dashed one.",
)

# %% [markdown]
# ## Checked against slow loops and against scikit-learn
#
# The matrices entry by entry, and scikit-learn's LDA {cite:p}`pedregosa2011scikit`. Its definition weighs *both*
# scatters by $p_i$; ours does so with `within="priors"`. Eigenvectors are free in sign and scale, so the projections
# are compared by correlation.


# %%
def by_loops(x, y):
    D, S_w, S_b, m = x.shape[1], 0, 0, x.mean(0)
    for i in np.unique(y):
        rows = x[y == i]
        m_i = sum(rows) / len(rows)
        for row in rows:
            S_w = S_w + np.array([[(row[a] - m_i[a]) * (row[b] - m_i[b]) for b in range(D)] for a in range(D)]) / len(
                rows
            )
        S_b = S_b + len(rows) / len(x) * np.array(
            [[(m_i[a] - m[a]) * (m_i[b] - m[b]) for b in range(D)] for a in range(D)]
        )
    return S_w, S_b


# %%
rng = np.random.default_rng(seed)
kinds = np.repeat(np.arange(4), (40, 25, 60, 15))
cloud = rng.standard_normal((140, 5)) @ rng.standard_normal((5, 5)) + 2 * rng.standard_normal((4, 5))[kinds]
slow = by_loops(cloud, kinds)
fast = scatter_matrices(cloud, kinds)
apart = max(np.abs(a - b).max() for a, b in zip(slow, fast, strict=True))
ours = LinearDiscriminantProjection(within="priors").fit_transform(cloud, kinds)
theirs = LinearDiscriminantAnalysis(solver="eigen").fit(cloud, kinds).transform(cloud)
alike = min(abs(np.corrcoef(ours[:, k], theirs[:, k])[0, 1]) for k in range(3))
assert apart < 1e-10
assert alike > 1 - 1e-6
figures.say(
    f"Largest difference of a matrix's entry to the loops: {apart:.0e}. Correlation of each of our directions with "
    f"scikit-learn's: at least {alike:.9f}."
)

# %% [markdown]
# ## Why C − 1
#
# $S_B$ is a sum of $C$ outer products, one for each class, so its rank is at most $C$. But the vectors $m_i-m$ are
# not independent: weighted by $p_i$ they add up to zero, for $m$ is just that weighted mean. So the rank is at most
# $C-1$, and whatever $v$ is orthogonal to all of them has $S_B v = 0$: eigenvalue zero, no separation at all. Seven
# classes give six directions. Asking for seven is an error here, and the message says why:

# %%
seven = np.repeat(np.arange(7), 30)
wide = rng.standard_normal((210, 12)) + 2 * rng.standard_normal((7, 12))[seven]
try:
    LinearDiscriminantProjection(n_components=7).fit(wide, seven)
except ValueError as error:
    print(error)

# %%
S_w, S_b = scatter_matrices(wide, seven)
values = scipy.linalg.eigh(S_b, S_w, eigvals_only=True)[::-1]
assert np.abs(values[6:]).max() < 1e-12 < values[5]
figures.show(
    lambda: pictures.spectrum(values, 7),
    name="fig-lda-spectrum",
    caption="All twelve eigenvalues for seven classes in twelve dimensions, on a logarithmic axis. Six are real; the "
    "seventh, which the paper asks for, is a rounding error.",
    alt="Twelve bars. The first six are between about 0.1 and 10; the others are below one part in a million million "
    "of them.",
)

# %% [markdown]
# ## Inside the network
#
# The layer between attention and reconstruction holds one projection for each step of the sequence, that is for each
# row of the feature map. It is fitted on all training images *after the first stage* of training, in which a linear
# head stood in for everything that follows, and then stays as it is.

# %%
figures.show_source(ProjectionLayer.fit, name="code-lda-layer")

# %% [markdown]
# To see it at work, here is a real, if small, training run by the library's own loop: the proposed network on small
# images, for seconds. The features below are its attended features, of images it has not seen.

# %%
quick = profile == "quick"
if quick:
    torch.set_num_threads(1)  # what is shown shall not depend on how many cores there are
limit, epochs = (900, (6, 3)) if quick else (4000, (8, 4))
faces = classroom.faces(dataset, data_dir, n=1500 if quick else 6000, seed=seed)
size = 32 if quick else 48
small = replace(recipe.get("native48"), size=size, epochs=epochs, small_epochs=epochs, batch_size=64)

# %%
width = {"hidden": 64}
record, model = training.train(
    faces, "proposed", small, seed=seed, device=device, options=width, limit=limit, keep=False
)
figures.say(
    f"{record['data']['images']:,} images, {sum(epochs)} epochs, {100 * record['test']['accuracy']:.0f} % of the test "
    "images right: enough to look at, too little for a verdict."
)


# %%
def images_of(part, most):
    some = part[np.sort(np.random.default_rng(0).permutation(len(part))[:most])]
    return training.Images(training.pixels_for(some, small), some.labels, small, torch.device("cpu"))


@torch.no_grad()
def attended(net, images):
    return torch.cat([net.cpu().eval()(x)[1]["attended"].float() for x, _ in images.in_order()]).numpy()


train_images, held_images = images_of(faces.part("train"), limit), images_of(faces.part("val"), 600)
y_train, y_held = train_images.labels.numpy(), held_images.labels.numpy()

# %%
torch.manual_seed(seed)
fresh = network.build("proposed", len(faces.classes), size, **width)
x_train, x_held = attended(model, train_images), attended(model, held_images)
spaces = {
    "pixels": [i.pixels.flatten(1).numpy()[:, :: max(1, (size // 16) ** 2)] for i in (train_images, held_images)],
    "untrained network": [attended(fresh, i).mean(1) for i in (train_images, held_images)],
    "trained network": [x_train.mean(1), x_held.mean(1)],
}

# %% [markdown]
# (The mean over the rows stands for the sequence here, so that a picture has one point for an image; of the pixels we
# take every fourth, or every ninth where images are larger.)

# %%
most = len(np.unique(y_train)) - 1


def planes(x, z):
    fitted = {"LDA": LinearDiscriminantProjection(most).fit(x, y_train), "PCA": PCA(most, random_state=0).fit(x)}
    return {name: (f.transform(x), f.transform(z)) for name, f in fitted.items()}


projected = {name: planes(x.astype(float), z.astype(float)) for name, (x, z) in spaces.items()}
figures.show(
    lambda: pictures.projections(
        {f"{m}, {s}": projected[s][m][1][:, :2] for s in ("pixels", "trained network") for m in ("PCA", "LDA")},
        y_held,
        faces.classes,
    ),
    name="fig-lda-pca",
    caption="Held-out faces in the first two directions of PCA (left) and LDA (right), fitted on training images: of "
    "their pixels (above) and of the trained network's attended features (below). Large marks are class means.",
    alt="Four scatter plots of seven classes. For pixels, PCA shows one cloud with all means in the middle, LDA moves "
    "classes apart. For the trained network's features, both set some expressions apart and leave others together.",
)

# %%
rows = [
    {"features": name, "method": method, "directions": k}
    | {"accuracy": pictures.nearest_mean(x[:, :k], y_train, z[:, :k], y_held)}
    for name, methods in projected.items()
    for method, (x, z) in methods.items()
    for k in range(1, most + 1)
]
kept = pd.DataFrame(rows)
chance = np.bincount(y_held).max() / len(y_held)
six = kept[kept["directions"] == most].set_index(["features", "method"])["accuracy"]
figures.show(
    lambda: pictures.separation(kept, chance),
    name="fig-lda-kept",
    caption="Held-out faces given to the nearest class mean, by the number of directions kept. The distance between "
    "the lines is what knowing the classes is worth to a projection of that size.",
    alt=f"Three charts with two lines each over the number of directions. With all {most}, LDA and PCA stand at "
    + "; ".join(f"{100 * six[n, 'LDA']:.0f} and {100 * six[n, 'PCA']:.0f} % ({n})" for n in spaces)
    + ".",
)

# %% [markdown]
# The nearest mean is a poor judge of *all* dimensions, since it takes each for as telling as any other. A linear
# classifier that learns its own weights (logistic regression, features standardised) is a fairer one. It says whether
# anything that could be used is lost on the way to LDA's directions:


# %%
def linear(x, z):
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(x, y_train).predict(z)


said = {(n, "all"): linear(*xz) for n, xz in spaces.items()}
said |= {(n, "LDA"): linear(*projected[n]["LDA"]) for n in spaces}
right = {key: (answer == y_held).mean() for key, answer in said.items()}
everything = {n: pictures.nearest_mean(x, y_train, z, y_held) for n, (x, z) in spaces.items()}

# %%
percent = [f"PCA, {most}", f"LDA, {most}", "all", f"linear, LDA, {most}", "linear, all"]
figures.table(
    pd.DataFrame(
        {
            "features": list(spaces),
            "dimensions": [x.shape[1] for x, _ in spaces.values()],
            percent[0]: [100 * six[n, "PCA"] for n in spaces],
            percent[1]: [100 * six[n, "LDA"] for n in spaces],
            percent[2]: [100 * everything[n] for n in spaces],
            percent[3]: [100 * right[n, "LDA"] for n in spaces],
            percent[4]: [100 * right[n, "all"] for n in spaces],
        }
    ),
    name="tab-lda-kept",
    caption=f"Accuracy (%) on {len(y_held)} held-out faces after projection on {most} directions and with all "
    "dimensions: of the nearest class mean, and (*linear*) of logistic regression. One seed, an illustration.",
    formats=dict.fromkeys(percent, "{:.1f}"),
)

# %%
lost = {
    n: metrics.paired_differences(y_held, said[n, "all"], said[n, "LDA"], len(faces.classes))["accuracy"]
    for n in spaces
}
d = lost["trained network"]
verdict = "more than which faces were held out explains" if d.low * d.high > 0 else "which may be chance"
figures.say(
    f"To the nearest mean, LDA's {most} directions are worth more than all dimensions with "
    f"{sum(six[n, 'LDA'] > everything[n] for n in spaces)} of {len(spaces)} kinds of features: LDA drops directions in "
    "which classes do not differ, and rescales the rest so that classes are on average as wide as high. To a linear "
    f"classifier on the trained network's features, going from {spaces['trained network'][0].shape[1]} dimensions to "
    f"{most} changes accuracy by {100 * d.estimate:+.1f} points (95 % interval {100 * d.low:+.1f} to "
    f"{100 * d.high:+.1f}), {verdict}."
)
best = {n: max(value for (name, _), value in right.items() if name == n) for n in spaces}
if best["pixels"] > best["trained network"]:
    figures.say(
        f"The same classifier is right on {100 * best['pixels']:.1f} % when it is given the pixels themselves. Faces "
        "on which a line through the pixels does better than a network trained for moments show how the layer works, "
        "and nothing of what the network is worth."
    )

# %% tags=["remove-input"]
record_of = {m["id"]: m for m in claims.load_mechanisms()}
if "lda" in record_of:
    series = record_of["lda"]["series"]
    few, full = (np.array(series[k][-1]) for k in ("LDA", "all 256 features"))
    gap = metrics.spread(full - few)
    figures.say(
        f"Weightier is the chapter on {{ref}}`mechanisms <chap-mechanisms>`, with "
        f"{record_of['lda']['setting']['faces']:,} faces, directions for each step by itself and {len(few)} seeds. "
        f"There a linear classifier is right on {few.mean():.1f} % of the faces "
        f"with LDA's directions and on {full.mean():.1f} % with all features, and lower with LDA in "
        f"{(few < full).sum()} of {len(few)} seeds, by {gap['mean']:.1f} points (95 % interval {gap['low']:+.1f} to "
        f"{gap['high']:+.1f}). "
        + (
            "So C-LDA is to be read with care: most of what separates the classes is kept, not all of it."
            if gap["low"] > 0
            else "So most of what separates the classes is kept; whether all of it, so few seeds cannot tell."
        )
    )

# %% [markdown]
# ### How far the ridge reaches
#
# The layer inside the network is fitted on the rows of the attended sequence. Along how many directions is the spread
# within classes so small that the ridge outweighs it?

# %%
below = []
for t in range(x_train.shape[1]):
    spread = np.linalg.eigvalsh(scatter_matrices(x_train[:, t], y_train).S_w)
    below.append((spread < LinearDiscriminantProjection().shrinkage * spread.mean()).mean())
figures.say(
    f"In the trained network's features, {np.mean(below):.0%} of the eigenvalues of $S_W$ lie below the ridge (mean "
    f"over {len(below)} rows; from {min(below):.1%} to {max(below):.1%}). "
    + (
        "There the ridge does more than decide singular directions: it is a choice, and part of Q9."
        if max(below) > 0
        else "Here it damps hardly anything."
    )
)

# %% [markdown]
# ## When it is fitted
#
# Features change while the network learns, and a projection fitted once does not. What does that cost?


# %%
def through(layer):
    z = [layer(torch.from_numpy(x)).flatten(1).detach().numpy() for x in (x_train, x_held)]
    return pictures.nearest_mean(z[0], y_train, z[1], y_held)


# %%
again = ProjectionLayer(*model.lda.weight.shape)
again.fit(torch.from_numpy(x_train), torch.from_numpy(y_train))
moments = {"after the first stage (our decision)": through(model.lda.cpu()), "once more at the end": through(again)}
figures.table(
    pd.DataFrame({"LDA fitted": list(moments), "accuracy, %": [100 * v for v in moments.values()]}),
    name="tab-lda-moments",
    caption="The finished network's features through projections fitted at two moments, and then the nearest class "
    "mean, on held-out faces. The network's own layers above the first projection are not asked here.",
    formats={"accuracy, %": "{:.1f}"},
)

# %% [markdown]
# The features have moved on under the fixed projection. But refitting at the end would pull the ground from under the
# layers that have learned to read the earlier one: the reconstruction would have to be trained again, its gradient
# would move the features again, and so on. Fitting once and letting both sides adapt is the simplest course that
# ends.
#
# ## What gradient passes
#
# Once fitted, the layer is an affine map $z = xW + b$ with constant $W$. To $x$ goes the transposed map,
#
# $$
# \frac{\partial L}{\partial x} = \frac{\partial L}{\partial z}\,W^{\mathsf T},
# $$ (eq-lda-gradient)
#
# so the layers below go on learning in the second stage, *through* the six directions; to $W$ goes nothing. It would
# be possible to differentiate the eigenproblem itself. But its gradient divides by differences of eigenvalues, and
# needs a batch that has all classes many times over. Nothing in the paper hints at it.

# %%
T = model.lda.weight.shape[0]
inputs = torch.from_numpy(x_held[:1]).requires_grad_()
upstream = torch.randn(1, T, most, generator=torch.Generator().manual_seed(seed))
model.lda(inputs).backward(upstream)  # L is the sum of z times these numbers, so that they are its slopes
slope, step = torch.zeros_like(inputs), 0.1
with torch.no_grad():
    for place in np.ndindex(*inputs.shape):
        moved = torch.zeros_like(inputs)
        moved[place] = step
        slope[place] = ((model.lda(inputs + moved) - model.lda(inputs - moved)) * upstream).sum() / (2 * step)
largest = slope.abs().max()
difference = ((inputs.grad - slope).abs().max() / largest).item()
formula = torch.einsum("btk,tdk->btd", upstream, model.lda.weight)
assert difference < 1e-3
assert (formula - slope).abs().max() < 1e-3 * largest
assert not list(model.lda.parameters())
figures.say(
    f"Moved input by input, the layer's output changes as {{eq}}`eq-lda-gradient` says: the gradient and the measured "
    f"slopes differ by {difference:.0e} of the largest slope at most, in single precision. Trainable parameters in the "
    f"layer: none; its {model.lda.weight.numel() + model.lda.offset.numel():,} numbers are fixed."
)

# %% [markdown]
# ## One projection a row
#
# A row of the forehead and a row of the mouth should be told apart by different directions; that is why each step has
# a projection of its own. Do they differ?

# %%
likeness = {"before attention": "hidden", "after attention": "attended"}


@torch.no_grad()
def part(name):
    return torch.cat([model(x)[1][name].float() for x, _ in held_images.in_order()]).numpy()


likeness = {when: pictures.row_likeness(part(name)) for when, name in likeness.items()}
weights = part("weights").mean(0)
figures.say(
    f"How alike an image's rows are (mean cosine; 1 if all say the same): {likeness['before attention']:.2f} before "
    f"attention, {likeness['after attention']:.2f} after it. The unscaled softmax of Algorithm 1 lets every row attend "
    f"to much the same rows: the mean attention's largest column holds {weights.mean(0).max():.0%} of all weight, "
    f"where an even share would be {1 / T:.0%}."
)

# %% [markdown]
# Where the rows are alike, one projection could serve all of them, fitted on all rows together (`lda_shared=True`).
# On the features of this run:

# %%
common = ProjectionLayer(*model.lda.weight.shape, shared=True)
common.fit(torch.from_numpy(x_train), torch.from_numpy(y_train))
figures.say(
    f"With one projection for all rows the nearest mean gets {100 * through(common):.1f} % of held-out faces right, "
    f"with one for each row, fitted at the same moment, {100 * through(again):.1f} %. One seed, and a network that "
    "learned with the second kind: what either costs a network trained with it is in the chapter on open questions, "
    "{ref}`Q9 <question-q9>`. Why rows become alike is asked in the chapter on {ref}`attention <chap-attention>`."
)

# %% [markdown]
# ## The two readings of Eq. 12
#
# As printed, Eq. 12 gives every class the same say in $S_W$, however rare; with priors, a class counts by its images.
# They differ where classes are unequal *and* their clouds have different shapes. So we take away most images of one
# class:

# %%
x, z = (s.astype(float) for s in spaces["trained network"])
rare = int(np.bincount(y_train, minlength=len(faces.classes)).argmin())
keep = np.ones(len(y_train), bool)
keep[np.flatnonzero(y_train == rare)[len(y_train) // 100 + 8 :]] = False
compared = []
for name, kept_rows in {"as they come": np.ones_like(keep), f"few of {faces.classes[rare]}": keep}.items():
    fits = {w: LinearDiscriminantProjection(most, within=w).fit(x[kept_rows], y_train[kept_rows]) for w in lda.WITHIN}
    spans = [scipy.linalg.orth(f.components_) for f in fits.values()]
    angle = np.degrees(scipy.linalg.subspace_angles(*spans)).max()
    hits = {
        w: 100 * pictures.nearest_mean(f.transform(x[kept_rows]), y_train[kept_rows], f.transform(z), y_held)
        for w, f in fits.items()
    }
    compared.append({"training images": name, "largest angle, degrees": angle, **hits})

# %%
figures.table(
    pd.DataFrame(compared).rename(columns={"sum": "sum, as printed: accuracy, %", "priors": "priors: accuracy, %"}),
    name="tab-lda-within",
    caption="Eq. 12 as printed and with priors: the largest angle between the two spaces they project on, and what the "
    "nearest mean gets right in each.",
    formats={
        "largest angle, degrees": "{:.0f}",
        "sum, as printed: accuracy, %": "{:.1f}",
        "priors: accuracy, %": "{:.1f}",
    },
)

# %% [markdown]
# ## Eq. 8 to the letter
#
# Read literally, $\frac1{N_i}\sum_j x_{ij}\cdot x_{ij}$ is a *number*, the mean squared length of a feature; in $R^d$,
# as the equation goes on to say, lies only the mean of the $x_{ij}$ themselves. With element-wise squares it would be
# a vector; but Eq. 9 then calls the result $m^i$, and Eq. 10 subtracts it from $x_{ij}$, which makes sense for a mean
# and for nothing else. We take the dot for a slip.
#
# ## Our decisions, and what changes if they are taken otherwise
#
# Q9: six directions of seven classes
# : A seventh does not exist ({numref}`fig-lda-spectrum`). Read as a classifier, LDA would have seven scores; but these
#   are, up to a term that all seven share, affine functions of the six directions, so that nothing would be gained.
#
# Q9: Eq. 12 as printed, without priors (`lda_within="sum"`)
# : {numref}`tab-lda-within`; scikit-learn and most textbooks {cite:p}`hastie2009elements` take priors.
#
# Q9: fitted once, on the unaugmented training images, after the first stage
# : {numref}`tab-lda-moments`.
#
# Q9: a projection for each row (`lda_shared=False`), scaled to unit variance
# : The scale is what batch normalisation would do next anyway.
#
# Q9: a ridge of a millionth of $S_W$'s mean eigenvalue
# : It decides singular directions, and damps those whose spread within classes is about as small.
#
# Q9: gradient passes, none into the projection
# : {eq}`eq-lda-gradient`.
#
# ## Beside the paper
#
# The paper has no number for LDA: no row of Table I names it (I24). What can be said without a run is that seven
# directions are one too many. The chapter on {ref}`mechanisms <chap-mechanisms>` measures what a linear classifier
# finds before and after the projection; a network *trained* without it is not among this book's runs. An exercise in
# the chapter on the {ref}`network <ex-network-lda>` builds one.
#
# ## Take-aways
#
# - LDA looks for directions in which class means lie far apart *compared with* the spread within classes.
# - $C$ classes span $C-1$ directions, because the weighted mean takes one away.
# - Solve $S_B v = e S_W v$; never invert $S_W$.
# - Inside a network, LDA is a fixed linear layer: gradient passes it and leaves it as it is.

# %% tags=["remove-input"]
gain = {n: 100 * (six[n, "LDA"] - six[n, "PCA"]) for n in spaces}
before, after = gain["untrained network"], gain["trained network"]
share = "most" if after < before / 2 else "some" if after < before else "none"
figures.say(
    f"- A network trained with softmax for a moment does {share} of LDA's work itself: before training, the nearest "
    f"mean gains {before:+.1f} points by LDA over PCA, after it {after:+.1f} ({{numref}}`tab-lda-kept`)."
)

# %% [markdown]
# ## Quiz
#
# :::{admonition} 1. CK+ has seven classes, of which a fold's training set might lack one. How many directions are left?
# :class: dropdown
# Five: six class means, minus one for their weighted mean. In our layer the sixth stays zero.
# :::
#
# :::{admonition} 2. All features are multiplied by an invertible matrix. What happens to the eigenvalues?
# :class: dropdown
# Nothing. With $x'=Ax$ both scatters change alike, $S'=A S A^{\mathsf T}$, and {eq}`eq-lda-eigen` has the same $e$ with
# $v'=A^{-\mathsf{T}}v$, the inverse of the transposed matrix. PCA's variances would change.
# :::
#
# :::{admonition} 3. Why must $S_W$ be singular when there are fewer images than dimensions?
# :class: dropdown
# It is a sum of at most $N-C$ independent outer products, so its rank is at most $N-C$.
# :::
#
# :::{admonition} 4. Does LDA see that two classes differ only in their covariance?
# :class: dropdown
# No. Equal means give $S_B=0$ whatever the shapes.
# :::

# %% [markdown]
# ## Exercises

# %% [markdown]
# ```{exercise} ★ Another direction by hand
# :label: ex-lda-hand
#
# In the example by hand, move the second class to $(2, 0)$. Which direction does LDA take now, and what is its
# eigenvalue?
# ```
#
# ```{solution-start} ex-lda-hand
# :class: dropdown
# ```
#
# $m = (1, 0)$ and $S_B = \operatorname{diag}(1, 0)$; $v = (1, 0)$ gives $S_B v = (1, 0)$ and $S_W v = (4, 0)$, so
# $e = 1/4$.

# %% tags=["show-input"]
moved = LinearDiscriminantProjection(shrinkage=0.0).fit(np.concatenate([cross, cross + np.array([2, 0])]), two)
assert np.allclose(moved.components_[1], 0)
assert np.isclose(moved.eigenvalues_[0], 0.25)
moved.eigenvalues_[0].item()

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} ★★ Two ways to the same directions
# :label: ex-lda-whiten
#
# Show that LDA is PCA of the class means after *whitening* the features with $S_W^{-1/2}$. Write it in a few lines
# and compare.
# ```
#
# ```{solution-start} ex-lda-whiten
# :class: dropdown
# ```
#
# With $v = S_W^{-1/2}u$, {eq}`eq-lda-eigen` becomes $S_W^{-1/2}S_B S_W^{-1/2}u = e\,u$: an ordinary symmetric
# eigenproblem for the scatter of the whitened means.

# %% tags=["show-input"]
S_w, S_b = scatter_matrices(cloud, kinds)
lengths, axes = np.linalg.eigh(S_w)
whiten = axes / np.sqrt(lengths) @ axes.T
e, u = np.linalg.eigh(whiten @ S_b @ whiten)
turned = (cloud - cloud.mean(0)) @ whiten @ u[:, ::-1][:, :3]
straight = LinearDiscriminantProjection().fit_transform(cloud, kinds)
same = [abs(np.corrcoef(turned[:, k], straight[:, k])[0, 1]) for k in range(3)]
assert min(same) > 1 - 1e-6
np.round(same, 6).tolist()

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} ★★★ How much can LDA overfit?
# :label: ex-lda-overfit
#
# Give LDA features of pure noise, with 100 images and more and more dimensions. What do training and held-out images
# say of the separation, and at how many dimensions does the training set look perfect? What follows for fitting LDA
# on a small data set such as CK+?
# ```
#
# ```{solution-start} ex-lda-overfit
# :class: dropdown
# ```
#
# The closer the dimensions come to the number of images, the better LDA finds directions in which *these* images
# happen to fall into classes:

# %% tags=["show-input"]
noise_labels = np.arange(100) % 7
found = []
for D in (5, 20, 50, 80, 93, 100, 200):
    noise, other = rng.standard_normal((2, 100, D))
    fit = LinearDiscriminantProjection().fit(noise, noise_labels)
    z = fit.transform(noise), fit.transform(other)
    found.append([D, *(pictures.nearest_mean(z[0], noise_labels, side, noise_labels) for side in z)])
overfit = pd.DataFrame(found, columns=["dimensions", "training", "held out"])
assert overfit["training"].iloc[-1] == 1
assert overfit["held out"].max() < 0.4
overfit.round(2)

# %% [markdown]
# The training set looks perfect even before there are $N - C$ dimensions, and held-out images stay at chance. With more
# than $N - C$ it must: $S_W$ is singular then, and in some directions no class has any spread. CK+ has some
# 800 training frames a fold, but of some 260 sequences only, whose frames are nearly equal; its attended features
# have 256 dimensions a row. So there LDA's training separation says nothing.
#
# ```{solution-end}
# ```

# %% [markdown]
# ## Run this page again
#
# ```console
# $ fer-repro book --profile quick --only 07_lda
# $ jupytext --to ipynb notebooks/07_lda.py --output lda.ipynb
# $ papermill lda.ipynb out.ipynb -p profile native48 -p dataset fer2013 -p data_dir faces
# ```
