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
# (chap-preprocessing)=
# # Preprocessing

# %% tags=["parameters"]
profile = "quick"
dataset = "synthetic"
data_dir = None
seed = 0
device = "auto"

# %%
import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from fer_repro import augmentation, data, figures, network, preprocessing, results
from fer_repro.data import synthetic
from fer_repro.figures import preprocessing as pictures
from fer_repro.figures import sensitivity

figures.header_card(
    section="Sec. III-A, Eq. 1; Sec. IV-B",
    claims=["C-PRE"],
    profile=profile,
    dataset=dataset,
    minutes=45,
    questions=["Q1", "Q2", "Q3", "Q14"],
    files=["fer_repro/preprocessing.py", "fer_repro/augmentation.py"],
)

# %% [markdown]
# ```{index} preprocessing, median filter, global contrast normalisation, augmentation
# ```
#
# **Questions**
# : What happens to a face before the network sees it? Which of it does the paper spell out? What does each step cost,
#   and what does it buy?
#
# **Objectives**
# : After this chapter you can compute Eq. 1 by hand, say which changes of light it undoes and which it cannot,
#   explain why the order of resizing and filtering matters, and judge whether 128×128 pixels of a 48×48 face hold
#   anything new.
#
# ## What the paper says
#
# Images of any size are brought to 128×128 pixels. A median filter then takes out salt-and-pepper noise and leaves
# the edges; the section also counts on it against variations "such as brightness, color". At last, global contrast
# normalisation (GCN, Eq. 1) subtracts an image's mean and divides by its standard deviation, so that all images come
# with the same contrast. Section IV-B says of CK+ that its images are rotated and flipped, and that their brightness
# and saturation are adjusted "when required" {cite:p}`jayaraman2024improved`.
#
# ## What it leaves out
#
# **Q1**
# : Eq. 1 has three constants, $s$, $\lambda$ and $\epsilon$, and no value for any. It sums over three colour
#   channels; FER2013 is grey, and CK+ was handed out partly in colour (I23). We read all images as grey. With three
#   equal channels Eq. 1 gives what it gives with one, as is checked below.
#
# **Q2**
# : The size of the median's window is not given. Section III-A names the steps in the order resize, filter,
#   normalise; Sections IV-E and V say that the median filter *resizes* images, which no median filter does (I16). Nor
#   does one act on brightness: where all pixels of a window get brighter, so does their median.
#
# **Q3**
# : How 48 pixels become 128 (the interpolation) is open; so is what it means to reduce an image "through cropping",
#   and which images are reduced. Whether the larger image helps is not asked.
#
# **Q14**
# : By how much, how often and on which images augmentation acts is open. The sentence stands in the section on CK+,
#   right after its 327 labelled images; whether FER2013 is augmented is not said. Saturation is a property of colours,
#   which only part of CK+'s original films have (I23), and the grey images used here have not.
#
# The paper measures nothing in this section: no signal-to-noise ratio, no accuracy without the filter or without GCN.
# What follows measures the steps themselves; what they do to a network's accuracy is asked in {ref}`chap-mechanisms`.

# %% [markdown]
# ## Eq. 1 beside the code
#
# $$
# X'_{i,j,k} = s\,\frac{X_{i,j,k}-\bar X}
# {\max\left\{\epsilon,\ \sqrt{\lambda+\frac{1}{3rc}
# \sum_{i=1}^{r}\sum_{j=1}^{c}\sum_{k=1}^{3}(X_{i,j,k}-\bar X)^2}\right\}}
# $$ (eq-gcn)
#
# | symbol | meaning | in the code | our value |
# |---|---|---|---|
# | $X_{i,j,k}$ | value at row $i$, column $j$, channel $k$ | `X` | 0 to 255 |
# | $\bar X$ | mean over the *whole* image, channels included | `total / n`, `d.mean()` | |
# | $r, c$ | rows, columns; $3rc$ values in all, $rc$ in a grey image | `n`, or within `.mean()` | 128, 128 |
# | $s$ | the contrast that comes out | `s` (`scale`) | 1 (Q1) |
# | $\lambda$ | keeps flat images flat | `lam` | 0 (Q1) |
# | $\epsilon$ | smallest divisor | `eps` | $10^{-8}$ (Q1) |
#
# This $\lambda$ has nothing but its letter in common with the $\lambda$ of Eq. 4, the weight of the
# {ref}`center loss <chap-center-loss>` (I22).
#
# The library has the equation three times. The first two stand side by side. For bytes, sums are whole numbers and
# thus exact, and since a byte has only 256 values, the result is looked up in a table (`grey_levels`); other numbers
# are computed one by one (`any_range`):

# %%
figures.show_source(preprocessing._normalize_step, name="code-gcn")

# %% [markdown]
# The third is for training, where images wait as bytes, which takes a quarter of the memory, and Eq. 1 is applied to
# each batch on the device:

# %%
figures.show_source(preprocessing.normalize_batch, name="code-gcn-batch")

# %% [markdown]
# ## By hand
#
# Nine pixels, eight dark ones and a bright one. Their mean is $(8\cdot 10 + 100)/9 = 20$. The deviations are $-10$
# (eight times) and $80$; their mean square is $(8\cdot 100 + 6400)/9 = 800$. So the dark pixels become
# $-10/\sqrt{800} = -0.354$ and the bright one $80/\sqrt{800} = 2.828$:

# %%
nine = np.array([[10, 10, 10], [10, 100, 10], [10, 10, 10]], dtype=np.uint8)
evened = preprocessing.global_contrast_normalize(nine)
assert np.allclose(evened.ravel(), [-0.354] * 4 + [2.828] + [-0.354] * 4, atol=5e-4)
evened.round(3)

# %% [markdown]
# A 3×3 median filter would have made all of this even: the sorted window of the middle pixel is ten eight times and
# then a hundred, and the fifth of nine is a ten. But the filter leaves brightness as it is: 50 more before it are 50
# more after it.

# %%
filtered = preprocessing.median_filter(nine)
assert (filtered == 10).all()
assert np.array_equal(preprocessing.median_filter(nine + 50), filtered + 50)
filtered

# %% [markdown]
# ## Checked against slow loops
#
# Eq. 1 written letter by letter, with three nested sums. It is put beside all three versions in the library: a colour
# image, where the mean must run over the channels too; a grey image in bytes, which goes through the table; the same
# with its one channel given three times; a faint image, where $\epsilon$ is the larger of the two and divides; and a
# constant one, where nothing is left above the line:


# %%
def equation_1(X, s=1.0, lam=0.0, eps=1e-8):
    r, c, K = X.shape
    mean = sum(X[i, j, k] for i in range(r) for j in range(c) for k in range(K)) / (K * r * c)
    square = sum((X[i, j, k] - mean) ** 2 for i in range(r) for j in range(c) for k in range(K))
    return s * (X - mean) / max(eps, (lam + square / (K * r * c)) ** 0.5)


# %%
rng = np.random.default_rng(seed)
color = rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)
grey, faint = color[:, :, :1], (color[:, :, :1] % 4).astype(np.uint8)
cases = {  # image (r, c, channels), and the constants
    "colour": (color, {"s": 2.0, "lam": 10.0}),
    "grey": (grey, {"s": 2.0, "lam": 10.0}),
    "grey, three times": (np.repeat(grey, 3, axis=2), {"s": 2.0, "lam": 10.0}),
    "faint, ε = 5": (faint, {"eps": 5.0}),
    "constant": (np.full_like(grey, 77), {}),
}


# %%
def versions(image, s=1.0, lam=0.0, eps=1e-8):
    r, c, channels = image.shape
    numpy_form = image if channels == 3 else image[:, :, 0]
    constants = {"scale": s, "lam": lam, "eps": eps}
    torch_form = torch.from_numpy(image).permute(2, 0, 1)[None]
    return {
        "numpy, bytes": preprocessing.global_contrast_normalize(numpy_form, **constants).reshape(r, c, -1),
        "numpy, floats": preprocessing.global_contrast_normalize(numpy_form / 1.0, **constants).reshape(r, c, -1),
        "torch": preprocessing.normalize_batch(torch_form, **constants)[0].permute(1, 2, 0).numpy(),
    }


loops = {name: equation_1(image.astype(float), **constants) for name, (image, constants) in cases.items()}
off = {
    name: {way: np.abs(found - loops[name]).max() for way, found in versions(image, **constants).items()}
    for name, (image, constants) in cases.items()
}
assert max(max(row.values()) for row in off.values()) < 1e-5
assert np.allclose(loops["grey, three times"][:, :, :1], loops["grey"])  # I23: Eq. 1 does not feel equal channels
assert faint.std() < 5.0
assert not loops["constant"].any()
pd.DataFrame(off).T.map("{:.0e}".format)

# %% [markdown]
# ## Step by step
#
# Three drawn faces under different light, with a grain of salt and pepper:

# %%
knobs = {"salt_pepper": 0.02, "noise": 3.0}
raw = np.stack(
    [
        synthetic.draw("happiness", identity=2, seed=seed, brightness=45.0, contrast=0.6, **knobs),
        synthetic.draw("surprise", identity=5, seed=seed + 1, brightness=-45.0, contrast=0.7, **knobs),
        synthetic.draw("anger", identity=9, seed=seed + 2, light=0.7, light_angle=60.0, **knobs),
    ]
)

# %%
large = preprocessing.resize(raw, 128)
smooth = preprocessing.median_filter(large, 3)
normal = preprocessing.global_contrast_normalize(smooth)
assert np.array_equal(normal, preprocessing.preprocess(raw, 128))

# %%
figures.show(
    lambda: pictures.stages(
        {"as it comes, 48×48": raw, "resized, 128×128": large, "median 3×3": smooth, "Eq. 1": normal}
    ),
    name="fig-pre-steps",
    caption="Three drawn faces after each step, and the histogram of each (one colour a face). Resizing and filtering "
    "leave the histograms where they are; Eq. 1 gives them one middle and one width. Many grains survive the filter.",
    alt="A grid of three faces in four stages. In the first three, one face is pale, one dark and one lit from the "
    "side, and their histograms lie apart; after Eq. 1, the histograms share their middle and width. Grains of "
    "noise are larger and softer after resizing, and some remain after the median filter.",
)

# %% [markdown]
# Look at the grains in the second column: enlarging has made each of them $128/48 = 2.7$ pixels wide at half its
# height and twice as wide at its foot. A window of 3×3 pixels is now too small for them. We come back to that below.
#
# ## What the median filter removes, and what it costs
#
# The faces of the next experiment are drawn without noise, so that the truth is known. Salt and pepper is then strewn
# over a growing share of the pixels, and each kernel tries to take it out. The *peak signal-to-noise ratio* (PSNR)
# compares the result with the truth: 6 decibels more mean half the error.

# %%
clean = data.load("synthetic", n=120, seed=seed, knobs=synthetic.Knobs.clean(variety=0.5)).images


def strew(images, share, seed=seed):
    dice = np.random.default_rng(seed).random(images.shape)
    return np.where(dice < share / 2, 0, np.where(dice >= 1 - share / 2, 255, images)).astype(np.uint8)


# %%
shares = np.array([0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3])
noisy = {share: strew(clean, share) for share in shares}
kernels = (1, 3, 5, 7)
ratio = {k: [pictures.psnr(preprocessing.median_filter(x, k), clean) for x in noisy.values()] for k in kernels}

# %%
edges = pictures.edge_strength(clean)
strong = edges > np.quantile(edges, 0.9)
kept = [
    pictures.edge_strength(preprocessing.median_filter(clean, k))[strong].mean() / edges[strong].mean() for k in kernels
]


# %%
def draw():
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.6, 3.1), width_ratios=[2, 1])
    finite = {"no filter" if k == 1 else f"{k}×{k}": np.where(np.isinf(v), np.nan, v) for k, v in ratio.items()}
    pictures.lines(left, 100 * shares, finite, "pixels turned to salt or pepper, %", "PSNR, dB")
    right.bar([f"{k}×{k}" for k in kernels[1:]], 100 * np.array(kept[1:]), color=figures.COLORS[1:4])
    right.set(ylabel="edge strength kept, %", ylim=(0, 100), xlabel="kernel, no noise")
    return figure


figures.show(
    draw,
    name="fig-pre-median",
    caption="Left: closeness to the clean 48×48 face against the share of spoilt pixels; without a filter it is "
    "perfect at first (beyond the scale) and falls at once, with one it holds. Right: what a filter takes from a "
    "face that had no noise at all, at its strongest edges.",
    alt="Line chart of PSNR against noise for no filter and kernels 3, 5 and 7: the unfiltered curve falls steeply, "
    "the 3 by 3 curve stays highest up to large amounts of noise. Bar chart: larger kernels keep less of the edges.",
)

# %%
at = np.argmax(np.array(ratio[3]) > np.array(ratio[1]))
best = {share: max(kernels, key=lambda k: ratio[k][i]) for i, share in enumerate(shares)}
figures.say(
    f"On faces of 48×48 pixels a 3×3 median pays as soon as {shares[at]:.1%} of the pixels are spoilt "
    f"({ratio[3][at]:.1f} dB against {ratio[1][at]:.1f} dB without it). At {shares[-1]:.0%} the best kernel is "
    f"{best[shares[-1]]}×{best[shares[-1]]}. The price is paid on clean faces, too: the strongest tenth of the "
    f"edges keeps {kept[1]:.0%} of its strength under 3×3, {kept[2]:.0%} under 5×5 and {kept[3]:.0%} under 7×7. A "
    "median keeps a *long straight* edge; at this size, lips and lids are lines two or three pixels thick."
)

# %% [markdown]
# Does the data at hand hold such noise? A grain is brighter, or darker, than all of its eight neighbours by a wide
# margin; a fine line is not, since it goes on in two of them.

# %%
limit = 700 if profile == "quick" else 4000
options = {"n": limit, "seed": seed} if dataset == "synthetic" else {}
images = data.load(dataset, data_dir, **options).images
sample = images[np.sort(rng.permutation(len(images))[:limit])]


# %%
neighbours = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=np.uint8)


def grains(images, margin=40):
    """Share of pixels that stand out from all eight neighbours."""
    above = np.stack([cv2.dilate(x, neighbours) for x in images]).astype(int)
    below = np.stack([cv2.erode(x, neighbours) for x in images]).astype(int)
    return ((images - above > margin) | (below - images > margin)).mean()


figures.say(
    f"In {len(sample):,} images of `{dataset}`, {grains(sample):.2%} of the pixels stand out from all their "
    f"neighbours by more than 40 grey levels; in drawn faces without noise {grains(clean):.2%}, and with 1 % of "
    f"salt and pepper {grains(strew(clean, 0.01)):.2%}."
)

# %% [markdown]
# ## The order matters
#
# In the paper's order, the filter sees an image of 128×128 pixels, in which a spoilt pixel of the original is a blob,
# 2.7 pixels wide at half its height and some 5 at its foot. Filtering first, at 48×48, meets single pixels, which a
# 3×3 window was made for.

# %%
truth = preprocessing.resize(clean, 128)
orders = {
    "resize only": lambda x: preprocessing.resize(x, 128),
    "resize, median 3×3 (the paper's order)": lambda x: preprocessing.median_filter(preprocessing.resize(x, 128), 3),
    "resize, median 7×7": lambda x: preprocessing.median_filter(preprocessing.resize(x, 128), 7),
    "median 3×3, resize": lambda x: preprocessing.resize(preprocessing.median_filter(x, 3), 128),
}
closeness = {name: [pictures.psnr(f(x), truth) for x in noisy.values()] for name, f in orders.items()}


# %%
def draw():
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    finite = {name: np.where(np.isinf(v), np.nan, v) for name, v in closeness.items()}
    pictures.lines(
        axes, 100 * shares, finite, "pixels turned to salt or pepper before resizing, %", "PSNR at 128×128, dB"
    )
    return figure


figures.show(
    draw,
    name="fig-pre-order",
    caption="Closeness to the clean, enlarged face. In the paper's order a 3×3 median loses least where there is "
    "little or no noise, and helps least where there is more.",
    alt="Line chart of PSNR against noise for four pipelines. Resize then a 3 by 3 median starts highest, but "
    "falls nearly as fast as resizing alone; median then resize starts lower and stays nearly level.",
)

# %%
paper, turned = (np.array(closeness[name]) for name in list(orders)[1::2])
first = shares[np.argmax(turned > paper)]
figures.say(
    f"Without noise, the paper's order stands at {paper[0]:.1f} dB and the turned one at {turned[0]:.1f} dB: after "
    "enlarging, a 3×3 window covers hardly more than one original pixel, so that the filter does little of "
    f"anything. From {first:.1%} of spoilt pixels on, filtering first is better, and at {shares[5]:.0%} by "
    f"{turned[5] - paper[5]:.1f} dB. A 7×7 window after resizing comes closer "
    f"({closeness['resize, median 7×7'][5]:.1f} dB)."
)

# %%
spoilt = strew(clean[:2], 0.05)
figures.show(
    lambda: pictures.faces(
        [[preprocessing.resize(x, 128, "nearest"), *(f(x) for f in orders.values())] for x in spoilt],
        rows=["", ""],
        columns=["48×48, 5 % spoilt", "resize", "resize, median 3", "resize, median 7", "median 3, resize"],
    ),
    name="fig-pre-order-faces",
    caption="The same in pictures. Enlarged grains outlive a 3×3 window; seven pixels, or filtering first, take "
    "them out.",
    alt="Two drawn faces in five versions. The one resized and then filtered with a 3 by 3 window still shows many "
    "grains; the last two versions are free of nearly all of them.",
)

# %% [markdown]
# We keep the paper's order as the default (`steps=("resize", "median", "normalize")`), with the smallest kernel that
# is a filter at all. The step is then nearly harmless and nearly without effect on grains, which fits images that
# hold few.

# %% [markdown]
# ## What Eq. 1 undoes, and what it cannot
#
# Brightness and contrast of a camera change an image to $aX + b$, with $a > 0$. Its mean becomes $a\bar X + b$ and
# its standard deviation $a$ times what it was, so that with $\lambda = 0$
#
# $$
# \frac{(aX + b) - (a\bar X + b)}{a\,\sigma} = \frac{X - \bar X}{\sigma}.
# $$ (eq-gcn-invariance)
#
# Every such change is undone exactly, as long as no pixel is clipped at black or white and rounding is left aside. A
# lamp from one side is no such change: it multiplies each pixel by its own factor.

# %%
lights = {
    "plain": {},
    "brighter": {"brightness": 30.0},
    "less contrast": {"contrast": 0.5},
    "much brighter": {"brightness": 110.0},
    "lamp from the side": {"light": 0.8, "light_angle": 90.0},
}
lit = np.stack([synthetic.draw("happiness", identity=3, seed=seed, **light) for light in lights.values()])
equal = preprocessing.global_contrast_normalize(lit)

# %%
figures.show(
    lambda: pictures.faces([lit, equal], rows=["as it comes", "after Eq. 1"], columns=list(lights)),
    name="fig-pre-light",
    caption="One drawn face under five lights. Eq. 1 makes the first three equal, but for rounding. What was "
    "clipped at white is lost in the fourth, and the shadow of the fifth stays.",
    alt="Two rows of five pictures of one smiling drawn face. In the second row, the first three look the same; "
    "the fourth has flat white cheeks, the fifth is still dark on one side.",
)


# %%
def apart(a, b):
    return np.sqrt(np.square(a.astype(float) - b).mean())


other = preprocessing.global_contrast_normalize(synthetic.draw("fear", identity=3, seed=seed))
distances = {
    name: (apart(lit[i], lit[0]) / lit[0].std(), apart(equal[i], equal[0])) for i, name in enumerate(lights) if i
}

# %%
frame = pd.DataFrame(
    [{"light": name, "before": a, "after Eq. 1": b} for name, (a, b) in distances.items()]
    + [{"light": "plain, but another expression (fear)", "before": None, "after Eq. 1": apart(other, equal[0])}]
)
figures.table(
    frame,
    name="tab-pre-light",
    caption="Root mean square distance from the plain picture, in standard deviations of an image. The last row is "
    "what a network has to see: the same person with another expression.",
    formats={"before": "{:.2f}", "after Eq. 1": "{:.2f}"},
)

# %%
figures.say(
    f"A lamp from the side moves the image by {distances['lamp from the side'][1]:.2f} after Eq. 1, and another "
    f"expression by only {apart(other, equal[0]):.2f}. *Global* normalisation evens out what is the same for all "
    "pixels; uneven light is left to the network."
)

# %% [markdown]
# Over a whole data set, the effect is simply that all images get the same mean and the same spread:

# %%
after = preprocessing.preprocess(sample, size=sample.shape[1], kernel=3)
figures.show(
    lambda: pictures.spread(sample, after),
    name="fig-pre-spread",
    caption=f"Means and standard deviations of {len(sample):,} images of `{dataset}`. Above: in grey levels. Below: "
    "after median filter and Eq. 1, all at 0 and 1; only constant images stay at a spread of 0.",
    alt="Four histograms. Before, means and standard deviations are spread widely; after, all means lie at zero "
    "and the standard deviations at one.",
)

# %%
figures.say(
    f"Before: means from {sample.mean((1, 2)).min():.0f} to {sample.mean((1, 2)).max():.0f} and standard deviations "
    f"from {sample.std((1, 2)).min():.0f} to {sample.std((1, 2)).max():.0f} grey levels. After: the largest mean is "
    f"{np.abs(after.mean((1, 2))).max():.0e}, and {(after.std((1, 2)) < 0.5).sum()} of {len(after):,} images have "
    "no contrast that could be normalised."
)

# %% [markdown]
# ### The constants (Q1)
#
# $\lambda = 0$ stretches any image to full contrast, even one that holds nothing but faint noise. A positive
# $\lambda$, in squared grey levels, holds such images back and hardly touches those whose variance is far larger.
# $\epsilon$ only guards against a division by zero; a constant image becomes all zeros.

# %%
faint = np.round(128 + rng.normal(0, 1.5, (48, 48))).astype(np.uint8)
face = sample[0] if dataset == "synthetic" else clean[0]
frame = pd.DataFrame(
    {
        "λ": lam,
        "faint noise": preprocessing.global_contrast_normalize(faint, lam=lam).std(),
        "a face": preprocessing.global_contrast_normalize(face, lam=lam).std(),
        "a constant image": preprocessing.global_contrast_normalize(np.full((48, 48), 77), lam=lam).std(),
    }
    for lam in (0.0, 10.0, 100.0, 1000.0)
)
figures.table(
    frame,
    name="tab-pre-lambda",
    caption="Contrast (standard deviation) that comes out of Eq. 1, for $s = 1$.",
    formats=dict.fromkeys(frame.columns[1:], "{:.2f}"),
)

# %% [markdown]
# We take $\lambda = 0$, the choice nearest to the paper's own words ("subtract … mean value and then divides it with
# standard deviation"). The scale $s$ is of hardly any consequence where a convolution comes first and batch
# normalisation right after it, before the ReLU: that divides by the scale again, but for a small $\epsilon$ of its
# own, which maps of tiny weight feel. So it is in our network and in all baselines. Where
# the norm comes later or not at all (other readings of Q5), and where the CNN is removed and pixel rows go straight
# into the LSTM (Table I), $s$ does matter. The same networks with the same weights, shown images and twice the images:

# %%
x = torch.from_numpy(preprocessing.preprocess(clean[:16], 48))[:, None]
built = {
    "proposed": {},
    "proposed, the first norm without its ε": {},
    "norm after the ReLU (Q5)": {"norm": "after"},
    "no norm (Q5)": {"norm": "none"},
    "no feature extraction": {"feature_extraction": False},
}
felt = {}
for name, options in built.items():
    torch.manual_seed(seed)
    whole = network.ProposedNetwork(size=48, dropout=0.0, **options).train()
    if "without its ε" in name:
        whole.cnn.blocks[0].norm.eps = 1e-12
    with torch.no_grad():
        once, twice = (whole(scaled)[0] for scaled in (x, 2 * x))
    felt[name] = ((twice - once).norm() / once.norm()).item()
small, none, *large = felt.values()
assert none < 1e-4 < small < 0.1 < min(large)
figures.table(
    pd.DataFrame({"network": felt.keys(), "change of its outputs, %": [100 * v for v in felt.values()]}),
    name="tab-pre-scale",
    caption="What $s = 2$ instead of 1 does to the outputs of networks at the start of training, relative to "
    "their size.",
    formats={"change of its outputs, %": "{:.2f}"},
)

# %% [markdown]
# One thing hangs on $s$ in any network: our augmentation adds brightness *after* Eq. 1. It would have to grow with
# $s$, or be weaker by that factor.

# %% [markdown]
# ## Does 128 hold more than 48?
#
# Linear interpolation along one side is a matrix of 128 rows and 48 columns. It has 48 independent columns, so what
# comes out can be turned back into the 48 pixels, and lies in a space of that size:

# %%
stretch = preprocessing.resize(np.eye(48, dtype=np.float32), (128, 48))  # each column: one original row, enlarged
rank = np.linalg.matrix_rank(stretch)
there_and_back = np.linalg.pinv(stretch) @ (stretch @ clean[0])
figures.say(
    f"Rank {rank}: an enlarged image has {128**2:,} values but only {rank**2:,} degrees of freedom "
    f"({rank**2 / 128**2:.0%}). The original comes back with an error of "
    f"{np.abs(there_and_back - clean[0]).max():.0e} grey levels."
)

# %% [markdown]
# The power spectrum shows the same. A picture of 48 pixels has no detail finer than 24 cycles; enlarging it adds
# none, but for traces that interpolation leaves. A face *drawn* at 128 pixels has detail up to 64.

# %%
drawn_large = data.load("synthetic", n=120, size=128, seed=seed, knobs=synthetic.Knobs.clean(variety=0.5)).images
sources = {
    "48×48": clean,
    "enlarged, linear": truth,
    "enlarged, nearest": preprocessing.resize(clean, 128, "nearest"),
    "drawn at 128×128": drawn_large,
}
spectra = {name: pictures.radial_power(x) for name, x in sources.items()}


# %%
def draw():
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    styles = ((4.0, "-"), (1.8, "-"), (1.3, "--"), (1.8, "-."))  # the first two lie upon one another
    for (name, (cycles, power)), color, (width, dash) in zip(spectra.items(), figures.COLORS, styles, strict=False):
        axes.plot(cycles[1:], power[1:], dash, color=color, linewidth=width, label=name)
    axes.axvline(24, color=figures.COLORS[7], linewidth=1, linestyle=":")
    axes.text(24.6, 0.15, "finest detail\nof 48 pixels", fontsize=8.5, va="top")
    axes.set(yscale="log", xlabel="cycles a picture", ylabel="share of the power", xlim=(0, 64), ylim=(1e-7, 0.4))
    axes.legend(fontsize=8.5, loc="lower left")
    return figure


figures.show(
    draw,
    name="fig-pre-spectrum",
    caption="Power of spatial frequencies, mean over 120 drawn faces. Beyond 24 cycles, a linearly enlarged face "
    "has next to nothing; a face that was drawn at 128×128 has detail there. Repeating pixels (nearest) makes "
    "false detail.",
    alt="Line chart, logarithmic. At low frequencies all curves run together; linear enlarging weakens what lies just "
    "below 24 cycles, and beyond it drops far below faces drawn at 128 pixels.",
)

# %%
sizes = pd.Series([r["recipe"]["size"] for r in results.load_all(dataset="fer2013") if r["complete"]]).value_counts()
runs = " and ".join(
    f"{sizes.get(side, 0)} at {side}×{side} (`{name}`)" for side, name in ((48, "native48"), (128, "paper128"))
)
beyond = {name: power[25:].sum() for name, (_, power) in spectra.items()}
figures.say(
    f"Beyond 24 cycles lie {beyond['enlarged, linear']:.2%} of the power of linearly enlarged faces, "
    f"{beyond['enlarged, nearest']:.1%} with nearest, and {beyond['drawn at 128×128']:.1%} in faces drawn at 128. "
    f"Enlarging costs {(128 / 48) ** 2:.1f} times the pixels for no information. It may still change accuracy, "
    "since a 3×3 convolution then covers a smaller part of the face: the network differs, not the data. So this "
    f"book has a recipe for either size; of complete runs on FER2013, it holds {runs} by now."
)

# %% [markdown]
# CK+ is photographed larger than 48 pixels. Section IV-B says that "the resolution is kept as same as FER2013
# dataset". We read it as 48×48, the form in which CK+ is mostly passed on, and enlarge it like FER2013, so that the
# same holds for both. But Sec. III-A speaks of reducing images, too, and FER2013 has nothing to reduce: the paper may
# have brought CK+'s originals down to the common 128×128, which would hold more than our images do. That reading has
# not been run; the files at hand are of 48×48. To reduce an image, `resize` averages over areas, which keeps fine
# detail from folding back as false patterns. "Through cropping" is there as an option (`fit="crop"`); the images of
# both data sets are square, and it changes nothing.

# %% [markdown]
# ## Augmentation
#
# Training images of both data sets are turned by up to ten degrees, half of them are mirrored, and their brightness is
# shifted, all on the batch, on its device, with one interpolation:

# %%
figures.show_source(augmentation.augment, name="code-augment")

# %% [markdown]
# Brightness must come *after* Eq. 1. Before it, {eq}`eq-gcn-invariance` takes every change of brightness and contrast
# back. The check: what the network gets to see of contrast × 1.2 and 25 grey levels more, made before, and of a shift
# by up to 0.2 standard deviations, made after.

# %%
device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
gentle = torch.from_numpy(clean[:6]).to(device)[:, None] * 0.7 + 20.0  # room to both sides: nothing is clipped
x = preprocessing.normalize_batch(gentle)
before = preprocessing.normalize_batch(1.2 * gentle + 25.0) - x
after_shift = augmentation.augment(x, torch.Generator().manual_seed(seed), rotate=0.0, flip=0.0, brightness=0.2) - x

# %%
figures.say(
    f"Change seen after contrast × 1.2 and brightness + 25 *before* Eq. 1: {before.abs().max():.0e}. Brightness "
    f"*after* Eq. 1: up to {after_shift.abs().max():.2f} standard deviations."
)

# %%
generator = torch.Generator().manual_seed(seed)
batch = preprocessing.normalize_batch(
    torch.from_numpy(preprocessing.prepare_uint8(clean[[0, 7]], 128)).to(device)[:, None]
)
copies = [augmentation.augment(batch, generator) for _ in range(5)]
strips = [[t[row, 0].cpu().numpy() for t in [batch, *copies]] for row in range(2)]

# %%
figures.show(
    lambda: pictures.faces(strips, rows=["", ""], columns=["as it is", *["augmented"] * 5]),
    name="fig-pre-augment",
    caption="Two drawn faces and five random versions of each: turned, mirrored, brighter or darker. Beyond the "
    "border, the outermost pixels are repeated, so that no black corners tell the network how far an image was "
    "turned.",
    alt="Two rows of six pictures. The first of each row is the face itself, the others are slightly rotated, some "
    "mirrored, and differ a little in brightness.",
)

# %% [markdown]
# ## Our decisions, and what changes if they are taken otherwise
#
# Q1: $s = 1$, $\lambda = 0$, $\epsilon = 10^{-8}$, and one channel, so that $1/(3rc)$ becomes $1/(rc)$
# : Another $s$ changes next to nothing with a CNN whose norm stands before the ReLU, if brightness is scaled with it;
#   it does change things without feature extraction, and with `norm="none"` or `"after"` ({numref}`tab-pre-scale`).
#   With $\lambda > 0$, faint images stay faint ({numref}`tab-pre-lambda`).
#
# Q2: a 3×3 window, in the order resize, filter, normalise
# : Filtering first removes grains better and costs detail ({numref}`fig-pre-order`).
#
# Q3: linear interpolation to enlarge, areas to reduce, no cropping
# : Repeating pixels makes false detail ({numref}`fig-pre-spectrum`). Cropping does nothing to square images.
#
# Q14: turned by up to 10°, half mirrored, ±0.2 standard deviations of brightness after Eq. 1, no saturation
# : Either way. Brightness before Eq. 1 would be no augmentation at all.
#
# Q14: FER2013 is augmented like CK+
# : The paper says it of CK+ only. *Otherwise:* `rotate=0.0`, `flip=0.0` and `brightness=0.0` in the recipe leave the
#   images as they are.

# %%
figures.say(
    "What these decisions are worth in accuracy is measured for some of them. "
    + sensitivity.measured("Q1", "Q2", "Q3", "Q14")
    + " The order of the steps and the interpolation are not among them: of those, this page measures what they do to "
    "the image, and nobody yet what they do to accuracy."
)

# %% [markdown]
# ## Beside the paper
#
# The paper claims (C-PRE) that the median filter and GCN give quality images: less noise, uniform contrast. It has no
# number to set ours beside. On drawn faces, *uniform contrast* holds exactly ({numref}`fig-pre-spread`), but for
# uneven light; *less noise* depends on an order and a kernel which the paper does not fix, and in the order it names
# a 3×3 window removes little.
#
# ## Take-aways
#
# - Eq. 1 undoes what light does to all pixels alike, and nothing else.
# - A median window must be larger than the grains *as it meets them*: enlarge first, and they have grown.
# - A 48×48 face at 128×128 is the same face; the network around it changes.
# - Brightness is augmented after the normalisation, or not at all.
#
# ## Quiz

# %% [markdown]
# :::{admonition} 1. Every grey value of an image is halved. What does Eq. 1 give, with $\lambda = 0$?
# :class: dropdown
# The same as before, but for rounding: $a = 1/2$, $b = 0$ in {eq}`eq-gcn-invariance`.
# :::
#
# :::{admonition} 2. And with $\lambda = 100$?
# :class: dropdown
# Less contrast than before. $\lambda$ weighs more against a smaller variance.
# :::
#
# :::{admonition} 3. Does the median filter change an image's size?
# :class: dropdown
# No. Every pixel is replaced by one value of its window; the border is continued. The paper's conclusion says
# otherwise (I16). Its brightness stays, too.
# :::
#
# :::{admonition} 4. Why is the mean in Eq. 1 taken over the channels, too?
# :class: dropdown
# So that colours are kept: with a mean and a deviation for each channel, every image would become grey on average.
# :::

# %% [markdown]
# ## Exercises

# %% [markdown]
# ```{exercise} ★ Four pixels
# :label: ex-pre-four
#
# Apply Eq. 1 with $s = 1$, $\lambda = 0$ to the image $\begin{pmatrix} 0 & 0 \\ 0 & 200 \end{pmatrix}$ by hand.
# Then check it.
# ```
#
# ```{solution-start} ex-pre-four
# :class: dropdown
# ```
#
# The mean is 50, the deviations are $-50$ (three times) and 150, their mean square is $(3\cdot 2500 + 22500)/4 =
# 7500$. So the values are $-50/86.6 = -0.577$ and $150/86.6 = 1.732$.

# %% tags=["show-input"]
four = preprocessing.global_contrast_normalize(np.array([[0, 0], [0, 200]], dtype=np.uint8))
assert np.allclose(four, [[-1, -1], [-1, 3]] / np.sqrt(3))
four.round(3)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} ★★ How large must the window be?
# :label: ex-pre-window
#
# One white pixel stands in a dark 48×48 image, which is then enlarged to 128×128 linearly. What is the smallest
# median kernel that removes every trace of it? First guess from the width of the blob.
# ```
#
# ```{solution-start} ex-pre-window
# :class: dropdown
# ```
#
# Linear interpolation spreads a pixel over nearly $2\cdot 128/48 = 5.3$ pixels each way across. A window of $k^2$
# pixels loses a blob of area $A$ when $A < k^2/2$:

# %% tags=["show-input"]
dot = np.zeros((48, 48), np.uint8)
dot[24, 24] = 255
blob = preprocessing.resize(dot, 128)
left = {k: int((preprocessing.median_filter(blob, k) > 0).sum()) for k in (3, 5, 7, 9)}
smallest = min(k for k, n in left.items() if n == 0)
print(f"area {(blob > 0).sum()} pixels; left over by kernel: {left}; smallest that clears it: {smallest}")

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} ★★ A shift before Eq. 1 that does survive
# :label: ex-pre-clip
#
# Brightness before Eq. 1 is undone unless pixels are clipped. How large must a shift be on drawn faces before the
# normalised image moves by more than 0.1 standard deviations (RMS)? What has the network then learnt to be robust
# against: brightness, or overexposure?
# ```
#
# ```{solution-start} ex-pre-clip
# :class: dropdown
# ```

# %% tags=["show-input"]
plain = preprocessing.global_contrast_normalize(clean)
moved = {}
for shift in range(0, 121, 10):
    bright = np.clip(clean.astype(int) + shift, 0, 255).astype(np.uint8)
    moved[shift] = apart(preprocessing.global_contrast_normalize(bright), plain)
needed = next((shift for shift, distance in moved.items() if distance > 0.1), None)
print("RMS change by shift:", {shift: round(float(distance), 2) for shift, distance in moved.items()})
print("first beyond 0.1:", needed)

# %% [markdown]
# Only clipping shows, which is overexposure: parts of the face turn flat white.
#
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} ★★★ Normalise against uneven light
# :label: ex-pre-local
#
# Eq. 1 leaves the shadow of a lamp from the side. Change it so that mean and deviation are taken over a neighbourhood
# of each pixel (*local* contrast normalisation), and see whether the lamp then moves the image less than another
# expression does.
# ```
#
# ```{solution-start} ex-pre-local
# :class: dropdown
# ```
#
# Replace both means by Gaussian averages around the pixel; $\lambda$ now matters, since a neighbourhood may well be
# flat.


# %% tags=["show-input"]
def local(X, sigma=5.0, lam=25.0):
    d = X - cv2.GaussianBlur(X.astype(float), (0, 0), sigma)
    return d / np.sqrt(lam + cv2.GaussianBlur(d * d, (0, 0), sigma))


same, lamp = local(lit[0]), local(lit[-1])
fear = local(synthetic.draw("fear", identity=3, seed=seed))
print(
    f"globally: lamp {distances['lamp from the side'][1] / apart(other, equal[0]):.1f} times as far as another "
    "expression"
)
print(f"locally:  lamp {apart(lamp, same) / apart(fear, same):.1f} times as far as another expression")

# %% [markdown]
# The lamp's share falls, at the price of Eq. 1's simplicity and of one more constant. Near black or white,
# clipping limits what any normalisation can do.
#
# ```{solution-end}
# ```

# %% [markdown]
# ## Run this page again
#
# ```console
# $ fer-repro book --profile quick --only 02_preprocessing
# $ jupytext --to ipynb notebooks/02_preprocessing.py --output preprocessing.ipynb
# $ papermill preprocessing.ipynb out.ipynb -p profile native48 -p dataset fer2013 -p data_dir faces
# ```
#
# With FER2013 or CK+, the statistics (grains, {numref}`fig-pre-spread`) are those of the real images;
# pictures stay drawn ones.
