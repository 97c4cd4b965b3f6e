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
# (chap-data)=
# # Data

# %% tags=["parameters"]
profile = "quick"
dataset = "synthetic"
data_dir = None
seed = 0
device = "auto"

# %%
import numpy as np
import pandas as pd

from fer_repro import consistency, data, figures, hazards, metrics, paper
from fer_repro.data import fer2013, portrait, splits, synthetic
from fer_repro.figures import data as pictures

figures.header_card(
    section="Sec. IV-A, IV-B",
    profile=profile,
    dataset=dataset,
    minutes=40,
    questions=["Q12", "Q13"],
    files=["fer_repro/data/synthetic.py", "fer_repro/data/portrait.py", "fer_repro/data/splits.py"],
)

# %% [markdown]
# ```{index} FER2013, CK+, synthetic faces, action unit, FACS, protocol, subject-independent
# ```
#
# **Questions**
# : Which faces does the paper train and test on? What does it leave unsaid about them, and how much hangs on it? What
#   can be learned from faces that nobody ever made?
#
# **Objectives**
# : After this chapter you can name the three data sets of this book and their traps, say why a split over people and
#   a split over frames give different numbers, draw a face from FACS action units, and turn one nuisance at a time.
#
# ## What the paper says
#
# Two data sets {cite:p}`jayaraman2024improved`. **FER2013** {cite:p}`goodfellow2013challenges` was gathered by image
# search: small grey pictures with occlusion, poses and noise. **CK+**
# {cite:p}`kanade2000comprehensive,lucey2010extended` was filmed in a laboratory: people were asked to move from a
# neutral face to an expression. The paper takes the part of CK+ that carries a label, trims the background, and
# brings it to the resolution of FER2013.

# %%
stated = paper.STATED
labelled = synthetic.BALANCE["ckplus"]
facts = hazards.facts()  # measured on the real data sets, see the chapter on hazards
figures.table(
    pd.DataFrame(
        {
            "": [
                "collected",
                "images or sequences",
                "with a label",
                "people",
                "size in pixels",
                "expressions",
                "split",
            ],
            "FER2013": [
                "image search",
                f"{stated['fer2013_images']:,} images",
                "all",
                "not known",
                "48×48",
                "with neutral",
                "official",
            ],
            "CK+": [
                "laboratory",
                f"{stated['ck_sequences']} sequences",
                f"{stated['ck_labelled']} sequences",
                f"{stated['ck_subjects']}; {facts['ckplus']['subjects']} with a label",
                "640×490 or 640×480, trimmed to 48×48",
                "with contempt",
                "none",
            ],
            "synthetic": [
                "drawn",
                "as many as you ask for",
                "all",
                "one in 14 images",
                "any",
                "either, or all eight",
                "by person",
            ],
            "in the paper": [
                "FER2013's: Sec. IV-A; CK+'s: no",
                "Sec. IV-A, IV-B",
                "Sec. IV-B",
                f"Sec. IV-B; not the {facts['ckplus']['subjects']}",
                "48×48: Sec. IV-A, IV-B; CK+'s own: no",
                "one list for both (I17)",
                "no (Q12)",
            ],
        }
    ),
    name="tab-data-sets",
    caption="The paper's two data sets, and the one that stands in for them in this book. What is not in the paper "
    "comes from the makers of the data {cite:p}`goodfellow2013challenges,lucey2010extended`, the number of people with "
    "a label from the data itself. The paper writes *images* where CK+ has sequences (I15).",
)

# %% [markdown]
# ## What it leaves out
#
# **Q12**
# : No split is named. FER2013 has an official one with two held-out parts, PublicTest and PrivateTest; which of them
#   was reported is open. CK+ has none: were people kept apart, and how many frames of each sequence were used? "That
#   327 images" (Sec. IV-B) may mean one of each, or be written for sequences (I15).
#
# **Q13**
# : Seven expressions are named, *neutral* among them. The labelled sequences of CK+ hold *contempt* and no neutral
#   (I17). Either the first frames of sequences were used as neutral and contempt was dropped, or the list is FER2013's.
#
# **Q14**
# : Section IV-B says of CK+ that its images are rotated and flipped, and their brightness changed "when required".
#   Whether FER2013 is augmented is not said; we augment both. {ref}`chap-preprocessing` shows our reading.

# %%
named, labels = set(paper.STATED_CLASSES), set(data.CK_CLASSES)
print("named, and not labelled in CK+:", *(named - labels))
print("labelled in CK+, and not named:", *(labels - named))

# %% [markdown]
# ## Our decisions
#
# **FER2013** (Q12)
# : We train on Training, choose on PublicTest, and report PrivateTest once a run; beside that stands a second number,
#   without the images that have a pixel-identical copy in Training. *Otherwise:* choosing on the part that is reported,
#   or being asked what was shown before, flatters the number.
#
# **CK+** (Q12)
# : Ten folds of people; the frames of a sequence vote together. *Otherwise:* a random split over frames puts frames
#   of one film on both sides, and the number says how well a film is recognised, not an expression.
#
# **Classes** (Q13)
# : FER2013 with neutral, CK+ with contempt: seven each, as their makers labelled them. *Otherwise:* with neutral
#   frames in the place of contempt, CK+ loses its rarest and subtlest class.
#
# **What a number is measured by** (Q15)
# : Chance, the largest class and, on FER2013, the agreement of people stand beside accuracy in {ref}`chap-results`.
#   *Otherwise:* a number without a floor and a ceiling says little.
#
# The code enforces the splits: a protocol has a name, and *subjects* refuses people on both sides.

# %%
figures.show(
    pictures.protocols,
    name="fig-data-protocols",
    caption="Three ways to divide a data set. The official split is used as it comes. Under folds of subjects, each "
    "person is tested once and never trained on in that run. Random frames leak: look at one column, and find train "
    "and test in it.",
    alt="Three diagrams. Left, one block: four fifths train, a tenth val, a tenth test. Middle, a grid of ten runs by "
    "ten groups of people, with test on the diagonal and val beside it. Right, twelve sequences of three frames, in "
    "most of which train and test are mixed.",
)

# %% [markdown]
# ## The images at hand
#
# Whichever data set is named, `data.load` returns the same thing: images, labels, and what is known of each.

# %%
faces = data.load(dataset, data_dir)
name, fold = splits.DEFAULT_PROTOCOL[dataset], 0 if dataset == "ckplus" else None
divided = splits.protocol(faces, name, seed=seed, fold=fold)
divided.images.shape, divided.classes

# %%
figures.show(
    lambda: pictures.class_counts(divided),
    name="fig-data-counts",
    caption=f"Images by expression and part of the split ({dataset}). Where bars differ in length, accuracy rewards "
    "the long ones, which is why this book averages precision, recall and F1 over classes.",
    alt=f"Stacked bars of train, val and test images for each expression of the data set {dataset}.",
)

# %%
counts = pd.DataFrame(divided.counts()).sum(axis=1)
known = sorted(set(divided.subject.tolist()) - {-1})
even = f"each class is {counts.max() / counts.sum():.1%} of them"
skewed = (
    f"the largest class is *{counts.idxmax()}* with {counts.max() / counts.sum():.1%}, the smallest "
    f"*{counts.idxmin()}* with {counts.min() / counts.sum():.1%}"
)
who = f"They show {len(known)} people, {len(divided) / max(len(known), 1):.1f} images each."
figures.say(
    f"{len(divided):,} images; {even if counts.max() == counts.min() else skewed}. "
    + (who if known else "Who they show is not known.")
)

# %% [markdown]
# FER2013's official counts are data in the library, so that a damaged or altered copy is noticed. A slow loop over the
# images must find the same as the library's count; in the copy that was measured for this book, both are the official
# ones:

# %%
slow = {split: dict.fromkeys(divided.classes, 0) for split in data.SPLITS}
for label, split in zip(divided.labels, divided.split):
    slow[str(split)][divided.classes[label]] += 1
assert slow == divided.counts()


def official_counts(counted):
    return {split: tuple(found.values()) for split, found in counted.items()} == fer2013.OFFICIAL


assert official_counts(facts["fer2013"]["counts"])
if dataset == "fer2013" and not official_counts(slow):
    figures.say(
        "**Your copy does not have the official counts**: `fer-repro data check` says where. The page goes on with it."
    )

# %%
official = pd.DataFrame(fer2013.OFFICIAL, index=pd.Index(data.FER_CLASSES, name="expression"))
official["share"] = official.sum(axis=1) / official.to_numpy().sum()
official["CK+ sequences"] = pd.Series(labelled)
official.loc["contempt", "CK+ sequences"] = labelled["contempt"]
figures.table(
    official,
    name="tab-data-official",
    caption="FER2013's official counts {cite:p}`goodfellow2013challenges` and the labelled sequences of CK+ "
    "{cite:p}`lucey2010extended`. Disgust is FER2013's rarest class by far, contempt that of CK+.",
    formats=dict.fromkeys(("train", "val", "test", "CK+ sequences"), "{:,.0f}") | {"share": "{:.1%}"},
    index=True,
)

# %% [markdown]
# ### Traps in the real images
#
# Both data sets have been measured once and for all; {ref}`chap-hazards` has the whole list. In short:

# %%
fer, ck, raters = facts["fer2013"], facts["ckplus"], consistency.human_agreement()
private = fer["counts"]["test"]
asked, copies = sum(private.values()), fer["duplicates"]["across"]["train, test"]
most = max(private, key=private.get)
black, even = (sum(fer[kind].values()) for kind in ("black", "blank"))
figures.say(
    f"""
    **Copies.** {fer["duplicates"]["images"]:,} of FER2013's {fer["images"]:,} images stand in
    {fer["duplicates"]["groups"]:,} groups that are equal pixel for pixel. {copies} of the {asked:,} images of
    PrivateTest stand in Training, too ({copies / asked:.1%}): what a network says of them it may know by heart.

    **Labels.** {fer["conflicts"]["groups"]} of these groups bear more than one label. One picture, two truths: at least
    {fer["conflicts"]["lost"]} of the images must be answered wrongly.

    **Nothing to see.** {even} images of FER2013 show next to nothing, and {black} of these are entirely black.

    **People.** CK+ has {stated["ck_subjects"]} people, but the {ck["sequences"]} sequences with a label come from
    {ck["subjects"]} of them (I15). They must be kept apart; who is in FER2013 nobody knows.

    **Floor and ceiling.** On PrivateTest, guessing gets 1 in {len(private)} right ({1 / len(private):.1%}), always
    saying *{most}* {private[most] / asked:.1%}. """
    + (
        f"Two people who look at the same picture agree in {raters['test']['pair']:.0%} of the cases (FER+'s raters "
        "{cite:p}`barsoum2016training`)."
        if raters
        else ""
    )
)

# %%
figures.show(
    lambda: pictures.grey_statistics(divided),
    name="fig-data-grey",
    caption="How bright the images are and how rich in contrast. Global contrast normalisation makes every image's "
    "mean 0 and its standard deviation 1: both histograms collapse into one bar.",
    alt=f"Two histograms over the images of {dataset}: the mean grey level, and the standard deviation of the grey "
    f"levels.",
)

# %% [markdown]
# ## Faces from action units
#
# The *Facial Action Coding System* {cite:p}`ekman1978facial` describes a face by what its muscles do: each
# {term}`action unit` is one visible movement, with a strength. The synthetic data set is built from them. A face is a
# set of curves; action units move the points that the curves pass through. Units 1, 2 and 4 move the brows, 5 to 7
# the lids, 9 the nose, the others the mouth and chin.

# %%
figures.show(
    pictures.action_units,
    name="fig-data-action-units",
    caption="Sixteen action units, each alone and at full strength. Folds come with them: compare the forehead of 1 "
    "and 2, the root of the nose in 4 and 9, the cheeks in 12 and 14.",
    alt="Sixteen drawings of the same face, each with one movement: brows raised inside or outside or lowered, eyes "
    "widened or narrowed, nose wrinkled, mouth corners pulled up, tightened, lowered or stretched, lips apart, jaw "
    "dropped.",
)

# %% [markdown]
# Movement is arithmetic on the parameters of the face. Lengths are in *face units*; the eyes are 0.8 apart, and $y$
# grows downwards. So AU12 must lower the number `corner_y` and raise `corner_x`, and AU15 must do the opposite to the
# first:

# %%
rest = synthetic.landmarks({})
parts = ["brow_inner_y", "corner_x", "corner_y", "lip_low_y", "chin_y"]
change = {}
for unit in (4, 12, 15, 26):
    moved = synthetic.landmarks({unit: 1.0})
    change[f"AU{unit}"] = {part: moved[part][0] - rest[part][0] for part in parts}
pd.DataFrame(change).round(3)

# %%
figures.show_source(portrait.landmarks, fold=True, name="code-landmarks")

# %% [markdown]
# An expression is a handful of them, each with its share. These are the usual prototypes:

# %%
figures.show(
    pictures.prototype_table,
    name="fig-data-prototypes",
    caption="What makes an expression. A full dot is part of the prototype, larger where it goes further; a ring "
    "sometimes comes along, the more often the larger it is. Fear and surprise share most of their dots, anger and "
    "disgust some of their rings: these pairs are confused by people, too.",
    alt="A grid of eight expressions by sixteen action units, with a dot where a unit belongs to an expression. "
    "Happiness is 6 and 12; sadness 1, 4, 15; surprise 1, 2, 5, 26; fear 1, 2, 4, 5, 7, 20, 26; anger 4, 5, 7, 23; "
    "disgust 9, 15, 16; contempt 12 and 14; neutral none.",
)

# %%
figures.show(
    pictures.expressions,
    name="fig-data-expressions",
    caption="The eight expressions at their apex. Contempt is one-sided: 12 and 14 act on the person's left.",
    alt="Eight drawings of one face: angry with lowered brows and thin lips, disgusted with a wrinkled nose, afraid "
    "with raised brows and stretched mouth, happy, sad with lowered mouth corners, surprised with open mouth, "
    "neutral, contemptuous.",
)

# %% [markdown]
# ```{admonition} What these faces are not
# :class: warning
# They are drawings after prototypes. Nobody felt anything, and no network that reads them reads people. Even for
# photographs, what a face shows is not what a person feels {cite:p}`barrett2019emotional`. No result on synthetic
# faces can support or refute a number of the paper, and the code refuses to let it.
# ```
#
# ## People and sequences
#
# Each subject has a shape of head, features, tones, hair, perhaps a beard or glasses, drawn once and kept. Subjects,
# not images, are dealt to train, val and test.

# %%
figures.show(
    lambda: pictures.people(seed=seed),
    name="fig-data-people",
    caption="The first ten subjects at rest and smiling. The difference between two people is larger than that "
    "between two expressions of one: the reason why a split must keep people apart.",
    alt="Ten drawn people in two rows, neutral above and happy below, with different heads, hair, skin, glasses and "
    "beards.",
)

# %%
drawn = data.load("synthetic", n=2800, seed=seed)
people = {s: set(drawn.part(s).subject.tolist()) for s in data.SPLITS}
assert not people["train"] & people["val"]
assert not people["test"] & (people["train"] | people["val"])
{split: len(who) for split, who in people.items()}

# %% [markdown]
# With `sequences=6`, each subject moves from neutral to the apex in six frames, as in CK+, and all frames carry the
# sequence's label.

# %%
figures.show(
    lambda: pictures.sequences(["anger", "fear", "surprise", "happiness"]),
    name="fig-data-sequences",
    caption="Sequences from neutral to apex. In the first columns the label cannot be seen: this is where the "
    "ambiguity of the data set comes from. No label is ever wrong by chance.",
    alt="Four rows of six drawings, in which a neutral face becomes angry, afraid, surprised and happy step by step.",
)

# %% [markdown]
# ## A knob for every nuisance
#
# FER2013's images are occluded, turned, dark and noisy, all at once and by unknown amounts. Here each is a knob of
# known size. A number holds for every face; a pair is drawn uniformly for each.

# %%
figures.show(
    pictures.knob_sweeps,
    name="fig-data-knobs",
    caption="One face under ten knobs, each turned alone. Turning one leaves all others as they were, so that two "
    "data sets can be compared face by face.",
    alt="Ten strips of five drawings of the same smiling face: growing intensity, turned left to right, up and down, "
    "tilted, lit from the side, with little to much contrast, blurred, with noise, with black and white dots, and "
    "behind a bar.",
)

# %%
defaults, units = synthetic.Knobs(), synthetic.Knobs.units()


def text(value):
    return " to ".join(f"{v:g}" for v in value) if isinstance(value, tuple) else f"{value:g}"


figures.table(
    pd.DataFrame(
        [
            (name, text(getattr(defaults, name)), f"{low:g} to {high:g}", unit)
            for name, (low, high, unit) in units.items()
        ],
        columns=["knob", "by default", "possible", "unit"],
    ),
    name="tab-data-knobs",
    caption="All knobs. The defaults are moderate: most faces can be read at a glance, some cannot.",
)

# %% [markdown]
# Does a knob do what it says? Compare faces with and without, pixel by pixel:

# %%
plain = data.load("synthetic", n=100, seed=seed, knobs=synthetic.Knobs.clean())
asked = (0.05, 0.1, 0.2, 0.3)
measured = {}
for name in ("salt_pepper", "occlusion"):
    changed = [
        data.load("synthetic", n=100, seed=seed, knobs=synthetic.Knobs.clean(), **{name: a}).images for a in asked
    ]
    measured[name] = [float((images != plain.images).mean()) for images in changed]
pd.DataFrame(measured, index=pd.Index(asked, name="asked for")).round(3)

# %% [markdown]
# And the data set itself, with all knobs at their defaults:

# %%
figures.show(
    lambda: pictures.samples(drawn, seed=seed),
    name="fig-data-samples",
    caption="Ten faces of each expression, drawn with the default knobs.",
    alt="Seven rows of ten drawn faces, one row for each expression, of different people, under different light and "
    "poses, some blurred or noisy, some with sunglasses, or with a hand, bar or disc before the face.",
)

# %% [markdown]
# ## Experiment: how hard is it?
#
# A data set on which a straight line through pixel space does well cannot tell what a network is worth. So we fit one:
# ridge regression on the pixels, trained on faces with the default knobs. It is then tested on people it has never
# seen, with one knob turned at a time.

# %%
from sklearn.linear_model import RidgeClassifier

knobs = {"intensity": (0.2, 0.4, 0.6, 0.8, 1.0), "occlusion": (0.0, 0.1, 0.2, 0.3, 0.4), "yaw": (0.0, 10.0, 20.0, 30.0)}


def pixels(dataset):
    return dataset.images[:, ::2, ::2].reshape(len(dataset), -1) / 255.0


# %%
train, test = drawn.part("train"), drawn.part("test")
linear = RidgeClassifier(alpha=100.0).fit(pixels(train), train.labels)


# %%
def accuracy(**knob):
    others = data.load("synthetic", n=420, seed=seed + 1, **knob)  # another seed: other people
    return linear.score(pixels(others), others.labels)


scores = {name: (values, [accuracy(**{name: value}) for value in values]) for name, values in knobs.items()}

# %%
chance = 1 / len(drawn.classes)
figures.show(
    lambda: pictures.difficulty(scores, chance),
    name="fig-data-difficulty",
    caption="Accuracy of a linear classifier on people it has not seen, against one knob at a time. It falls towards "
    "chance as expressions fade and as faces are covered or turned.",
    alt="Three line charts of accuracy in percent: rising with intensity, falling with the occluded share and with "
    "yaw; a dashed line marks chance.",
)

# %%
figures.say(
    f"With the default knobs, the linear classifier gets {linear.score(pixels(train), train.labels):.0%} of the faces "
    f"it was trained on and {linear.score(pixels(test), test.labels):.0%} of {len(test)} faces of other people; "
    f"chance is {chance:.0%}. "
    "How much better networks do is the subject of {ref}`chap-network` and {ref}`chap-mechanisms`."
)

# %% [markdown]
# ## Take-aways
#
# - The paper names two data sets and no split (Q12), and a list of classes that fits one of them (Q13).
# - We fix a protocol before any run: FER2013's official split; CK+ by people, with contempt.
# - The published book shows drawn faces only. They are made of action units, with subjects, sequences, and a knob for
#   each nuisance, and are the same for the same seed on every machine.
# - They can show how a mechanism works. They can never give a verdict on the paper's numbers.
#
# ## Check yourself
#
# ```{admonition} What is wrong with a random 70/30 split over the frames of CK+?
# :class: hint dropdown
# Nearly every test frame has a neighbour of the same film, a fraction of a second away, in the training set.
# Recognising the film is enough. {numref}`fig-data-protocols` shows it; the exercise below measures it.
# ```
#
# ```{admonition} Why does the synthetic data set have no randomly wrong labels, though FER2013 surely does?
# :class: hint dropdown
# Faint expressions are hard for an honest reason, and it can be seen in the picture; a wrong label has none. Nor would
# it be fair to all methods. Wrong labels in *training* harm flexible models more, which have room to learn them by
# heart. Wrong labels in the *test* act as a ceiling, and even that costs the better method more: where a share $q$ of
# them is wrong at random, an accuracy $a$ is seen as about $(1-q)\,a$ plus the few hits on wrong labels, so that
# differences shrink as well.
# ```
#
# ```{admonition} Always answering "happiness" scores about a quarter on FER2013. What is its macro recall?
# :class: hint dropdown
# One class has recall 1, six have 0: a seventh. Accuracy and macro recall part ways where classes are imbalanced
# (Q15).
# ```
#
# ## Exercises
#
# ```{exercise} ★ A mixed feeling
# :label: ex-data-mixed
# Draw a happily surprised face from action units, and one that smiles on one side and is sad on the other.
# `synthetic.draw({12: 1.0, "15R": 0.5}, size=128)` draws a face from units; L and R are the person's own left and
# right.
# ```

# %% [markdown]
# ````{solution-start} ex-data-mixed
# :class: dropdown
# ````

# %%
mixed = {1: 0.8, 2: 0.9, 5: 0.6, 6: 0.6, 12: 1.0, 26: 0.6}
halves = {"12L": 1.0, "6L": 0.9, "15R": 1.0, "1R": 1.0, "4R": 0.5}
figures.show(
    lambda: pictures.sheet(np.stack([synthetic.draw(units, size=128) for units in (mixed, halves)])[None], width=3.4),
    name="fig-data-mixed",
    caption="Left: happy and surprised. Right: two halves that disagree.",
    alt="Two drawn faces: one with raised brows, open mouth and smile; one that smiles on the right and is sad on the "
    "left.",
)

# %% [markdown]
# ````{solution-end}
# ````
#
# ```{exercise} ★★ The size of a leak
# :label: ex-data-leak
# Draw sequences of three frames. Let the nearest neighbour in pixel space decide, once for a random 70/30 split over
# frames, once for a split by people. How much does the leak add?
# ```

# %% [markdown]
# ````{solution-start} ex-data-leak
# :class: dropdown
# ````

# %%
from sklearn.neighbors import KNeighborsClassifier

films = data.load("synthetic", n=1260, seed=seed, classes="ckplus", sequences=3)
x, rng = pixels(films), np.random.default_rng(seed)
random_frames = rng.random(len(films)) < 0.7
by_person = films.split == "train"
nearest = {
    name: KNeighborsClassifier(1).fit(x[side], films.labels[side]).score(x[~side], films.labels[~side])
    for name, side in {"random frames": random_frames, "people kept apart": by_person}.items()
}
figures.say(
    f"Random frames: {nearest['random frames']:.0%}. People kept apart: {nearest['people kept apart']:.0%}. "
    "The same classifier, the same images: the difference is knowledge of the test set."
)

# %% [markdown]
# ````{solution-end}
# ````
#
# ```{exercise} ★★★ Which nuisance hurts most?
# :label: ex-data-rank
# Take one knob at a time back to its value in `Knobs.clean()`, for training and test alike, and rank the knobs by
# what the linear classifier gains. Use two seeds, and give each gain an interval. Is the ranking what you expected from
# looking at {numref}`fig-data-samples`?
# ```

# %% [markdown]
# ````{solution-start} ex-data-rank
# :class: dropdown
# ````

# %%
clean = synthetic.Knobs.clean()


def answers(**knob):
    """Labels and predictions: two seeds, and each half of their people tested by what was fitted on the other."""
    found = []
    for start in (seed, seed + 1):
        few = data.load("synthetic", n=350, seed=start, **knob)
        halves = few[few.subject % 2 == 0], few[few.subject % 2 == 1]
        for a, b in (halves, halves[::-1]):
            found.append((b.labels, RidgeClassifier(alpha=100.0).fit(pixels(a), a.labels).predict(pixels(b))))
    return map(np.concatenate, zip(*found))


shown, plainly = answers()
rows = []
for name in units:  # every knob with a number
    if name == "occlusion":
        continue  # how much is covered: its clean value is `occluded`, whether anything is
    labels, turned = answers(**{name: getattr(clean, name)})
    assert np.array_equal(labels, shown)  # the same faces, one knob turned back
    won = metrics.paired_differences(labels, plainly, turned, len(drawn.classes), resamples=500)["accuracy"]
    rows.append((name, 100 * won.estimate, 100 * won.low, 100 * won.high))
gains = pd.DataFrame(rows, columns=["knob", "gain, points", "from", "to"]).sort_values("gain, points", ascending=False)
figures.table(
    gains,
    name="tab-data-gains",
    caption=f"What a linear classifier gains when one knob goes back to its clean value, with its 95 % interval: "
    f"{len(shown)} faces of other people, two seeds, paired face by face.",
    formats=dict.fromkeys(gains.columns[1:], "{:+.1f}"),
)

# %%
sure = gains[gains["from"] > 0]["knob"].tolist()
moving = {"yaw", "pitch", "roll", "shift", "scale"}  # what displaces the face; a weight looks at one place
figures.say(
    f"Most is gained by *{gains['knob'].iloc[0]}* ({gains['gain, points'].iloc[0]:+.1f} points). "
    + (f"Above zero with their whole interval are: {', '.join(sure)}. " if sure else "No interval is above zero. ")
    + f"The five that displace the face ({', '.join(sorted(moving))}) gain "
    f"{gains[gains['knob'].isin(moving)]['gain, points'].mean():+.1f} points on average, the other "
    f"{len(gains) - len(moving)} {gains[~gains['knob'].isin(moving)]['gain, points'].mean():+.1f}. A knob whose "
    "interval holds zero may still matter: it is one of many, and what it spoils another may spoil as well."
)

# %% [markdown]
# ````{solution-end}
# ````
#
# ## Run this page again
#
# ```console
# $ fer-repro book --only 01_data
# $ jupytext --to ipynb notebooks/01_data.py -o data.ipynb
# $ papermill data.ipynb out.ipynb -p dataset fer2013 -p data_dir DIR
# ```
#
# `DIR` holds `fer2013/` and `ckplus/`. With real data, the page counts images and draws histograms; it never shows one.
