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
# (chap-audit)=
# # The paper, checked against itself

# %% tags=["parameters"]
profile = "quick"
dataset = "synthetic"
data_dir = None
seed = 0
device = "auto"

# %%
import numpy as np
import pandas as pd

from fer_repro import consistency, figures, metrics, paper
from fer_repro.figures import results as pictures

figures.header_card(
    section="Tables I to III, Eqs 13–16, Sec. IV",
    claims=["C-PCT-FER-f1-cnn-bilstm", "C-PCT-CK-recall-dscnn-lstm", "C-LSTM-PARAMETERS", "C-EVENT-F1", "C-DRIVER"],
    profile=profile,
    dataset=dataset,
    minutes=60,
    questions=["Q15"],
    files=["fer_repro/paper.py", "fer_repro/consistency.py"],
)

# %% [markdown]
# ```{index} audit, F1 score; bound, GRIM test, human agreement
# ```
#
# **Questions**
# : Can a table of results be checked without running anything? Which of the paper's numbers cannot all be right? Which
#   look odd and yet have an ordinary explanation?
#
# **Objectives**
# : After this chapter you can derive a bound on F1 and apply it to any published table, test whether a percentage fits
#   a test set's size, tell a slip of the pen from a contradiction, and say what such a check does *not* show.
#
# ## How to read this chapter
#
# Before repeating an experiment it is worth reading its report with a calculator. That is what this chapter does: no
# data, no network, about a second. Every number below is computed from the tables as they stand in
# {source}`fer_repro/paper.py`, or has its source beside it.
#
# Five things are kept apart:
#
# - a **contradiction**: two statements that cannot both hold if their words mean the same in both;
# - a **typing error**: a slip whose correction is evident, such as a wrong caption;
# - a **hint**: a number that is surprising under one assumption and ordinary under another;
# - a **gap**: something announced or needed that is missing;
# - **outside evidence**: a number at odds with what is known from elsewhere.
#
# None of the five says *why*. Numbers go astray when a table is typed, when figures from two versions of an experiment
# meet in one article, when a measure changes its name. Nobody who has written a paper under a deadline will be
# surprised. What follows says which numbers a reader should not build on; it says nothing about anyone's intent. Beside
# each finding stands the mildest explanation that we could think of.

# %%
audit = consistency.audit()
kinds = audit["kind"].value_counts()
shown = audit.assign(
    found=[f"{c} of {n}" if pd.notna(c) else "read" for c, n in zip(audit["count"], audit["of"], strict=True)]
)
figures.table(
    shown[["id", "kind", "finding", "where", "found", "charitable"]].rename(
        columns={"charitable": "mildest explanation", "found": "cases"}
    ),
    name="tab-audit-all",
    caption="All findings. “Cases” counts the rows of the check that raised it; findings marked “read” need a reader, "
    "not a computer.",
)

# %%
figures.say(
    f"Of {len(audit)} findings, {kinds['contradiction']} are contradictions, {kinds['typing error']} typing errors, "
    f"{kinds['hint']} hints, {kinds['gap']} gaps, and {kinds['outside evidence']} rests on evidence from elsewhere. "
    f"{audit['check'].notna().sum()} are computed. A test plants an article that is consistent: all of these checks "
    f"are "
    "silent on it."
)

# %% [markdown]
# ## One network, two accuracies (I1, I10, I11)
#
# Table I calls it *Complete Network*, Tables II and III *Proposed Method*. On CK+ the two agree but for a few
# hundredths. On FER2013 they do not:

# %%
same = consistency.same_network_twice()
below = consistency.complete_below_baselines()
figures.show(
    lambda: pictures.same_network(same, below),
    name="fig-audit-same",
    caption="The complete network as Table I has it (square) and as Tables II and III have it (diamond). On FER2013 "
    "the square lies below every baseline.",
    alt="Two lines of marks. FER2013: a square near 80 percent, four dots between 91 and 93, a diamond at 95. CK+: "
    "four "
    "dots between 92 and 96, the square and the diamond together at 99.",
)

# %%
fer = same.set_index("dataset").loc["FER"]
worse = below.query("dataset == 'FER'")
ablation = consistency.bilstm_above_ablation()
figures.say(
    f"The gap on FER2013 is {fer['gap']:.2f} points. If both tables give the same measure in the same set-up, either "
    f"Table I is right, and the complete network is below {int(worse['raised'].sum())} of {len(worse)} baselines, by "
    f"up to {worse['gap'].max():.2f} points; or Table II is, and Table I's other three rows have nothing to be "
    "compared with. But Sec. IV announces “expression recognition rates and accuracy”, and Sec. IV-D names "
    "“classification accuracy and recognition rate as well”, as if these were two things. If they are, the tables do "
    "not disagree; what the first one is, then, is not said."
)

# %% [markdown]
# There is a second knot. CNN-BiLSTM is a baseline that the paper does not describe. If its name says what it is, it is
# the proposed network without attention and without reconstruction, at least. Table I removes only one of the two at a
# time, and yet:

# %%
figures.table(
    ablation[["dataset", "cnn_bilstm", "ablation", "rate", "gap"]]
    .replace({"dataset": paper.DATASET_NAMES, "ablation": paper.METHOD_NAMES})
    .rename(columns={"cnn_bilstm": "CNN-BiLSTM", "ablation": "network of Table I", "rate": "its rate"}),
    name="tab-audit-ablation",
    caption="CNN-BiLSTM (Tables II, III), by its name with neither module; Table I's networks lack one. Percent, and "
    "the gap in points.",
    formats={"CNN-BiLSTM": "{:.2f}", "its rate": "{:.2f}", "gap": "{:+.2f}"},
)

# %%
figures.say(
    f"So taking out both modules would leave a network {ablation['gap'].min():.0f} to {ablation['gap'].max():.0f} "
    "points better than taking out one, on both data sets. Or CNN-BiLSTM is the published network of that name which "
    "Sec. II cites {cite:p}`febrian2023bidirectional`, and no part of this one; its own authors report 99.43 % on "
    f"CK+, though, where Table III has {paper.TABLE_3['cnn-bilstm']['accuracy']:.2f}."
)

# %% [markdown]
# **What can be said.** “Recognition rate” and “accuracy” cannot be one measure taken in one set-up. **What cannot.**
# Which of the two is what a reader would call accuracy (Q15), whether the ablations were trained in another way, or
# whether the images differ: Sec. III-A tells of a first work on selected images of FER2013, and says that here
# the whole data set is meant. I10 is no second finding: it follows from I1.
#
# ## F1 above its bound (I2)
#
# For a single class, F1 is the harmonic mean of precision $P$ and recall $R$ (Eq. 14). A harmonic mean never exceeds
# the arithmetic one:
#
# $$
# \frac{P+R}{2} - \frac{2PR}{P+R} = \frac{(P-R)^2}{2(P+R)} \ge 0 .
# $$ (eq-f1-bound)
#
# With several classes one averages, with weights $w_c \ge 0$ that sum to one. Averaging keeps inequalities:
#
# $$
# \sum_c w_c F_c \;\le\; \sum_c w_c \frac{P_c+R_c}{2} \;=\; \frac{1}{2}\Bigl(\sum_c w_c P_c + \sum_c w_c R_c\Bigr).
# $$ (eq-f1-average)
#
# Equal weights give the macro average, weights by class size the weighted one; the micro average is a single class in
# this respect. Averages over folds or repeated runs are averages once more. Some compute F1 from the averaged columns
# instead, $F = 2\bar P\bar R/(\bar P+\bar R)$; that is a harmonic mean again, and bounded alike. So, however it was
# done,
#
# $$
# F \le \frac{P+R}{2},
# $$ (eq-f1-macro)
#
# as long as all three columns were averaged alike. Two decimals were printed: each number may be off by 0.005, so that
# an excess of up to 0.01 proves nothing.

# %%
bound = consistency.f1_bound()
figures.show(
    lambda: pictures.f1_excess(bound),
    name="fig-audit-f1",
    caption="F1 minus its bound, for all ten rows. Right of zero is impossible; the grey band is what rounding can "
    "hide.",
    alt="Ten rows. Seven have squares right of zero, the largest at three quarters of a point; three have dots left of "
    "zero.",
)

# %%
figures.table(
    bound.assign(method=bound["method"].map(paper.METHOD_LABELS))[
        ["dataset", "method", "precision", "recall", "f1", "bound", "excess", "raised"]
    ]
    .replace({"raised": {True: "impossible", False: "possible"}, "dataset": paper.DATASET_NAMES})
    .rename(columns={"raised": "with Eq. 14"}),
    name="tab-audit-f1",
    caption="The ten rows of Tables II and III, percent.",
    formats=dict.fromkeys(("precision", "recall", "f1"), "{:.2f}") | dict.fromkeys(("bound", "excess"), "{:.3f}"),
)

# %%
raised = bound[bound["raised"]]
figures.say(
    f"{len(raised)} of {len(bound)} rows break the bound, by {raised['excess'].min():.3f} to "
    f"{raised['excess'].max():.2f} points. The smallest is the proposed method on FER2013, only just beyond rounding. "
    f"{int(bound['outside'].sum())} rows have an F1 outside the range from P to R, but that alone would be no "
    "contradiction: a macro F1 *below* both is possible."
)

# %% [markdown]
# Try to break the bound. Twenty thousand random confusion matrices, from nearly perfect to hopeless:

# %%
rng = np.random.default_rng(seed)
matrices = rng.integers(0, 40, (20_000, 7, 7)) + rng.integers(0, 400, (20_000, 1, 1)) * np.eye(7, dtype=int)
highest = {}
for average in metrics.AVERAGES:
    found = metrics.measures(matrices, average)
    highest[average] = float((found["f1"] - (found["precision"] + found["recall"]) / 2).max())
pd.Series(highest, name="largest F1 − (P+R)/2").round(6)

# %% [markdown]
# The micro average touches the bound, because there precision, recall and F1 are the same number. None goes beyond it.
#
# **What can be said.** In these rows, precision, recall and F1 do not describe one set of predictions, averaged in one
# way. **What cannot.** Which of the three is off. If, say, F1 was weighted and the others macro, {eq}`eq-f1-macro` does
# not apply; the paper does not say.
#
# ## Which average? (I12)
#
# If every image has one label and gets one prediction, some averages collapse. Micro recall is accuracy, and so are
# micro precision and micro F1. Weighted recall is accuracy, too:
#
# $$
# \sum_c \frac{n_c}{N}\cdot\frac{TP_c}{n_c} = \frac{\sum_c TP_c}{N} .
# $$

# %%
differing = consistency.averaging()
figures.say(
    f"In {int(differing['raised'].sum())} of {len(differing)} rows recall differs from accuracy, by up to "
    f"{differing['difference'].abs().max():.2f} points. If the columns of a row rest on the same predictions, "
    "recall is then neither micro nor weighted, and the macro average is what remains. The bound above (I2) speaks "
    "against that premise in most rows. It is all that can be had from outside on Q15, and why this book reports macro "
    "averages."
)

# %% [markdown]
# ## Counting true negatives (I13)
#
# Eq. 13 has $TP + TN$ over everything. With two classes that is the share of images recognised. With seven it can only
# be meant class by class, one against the rest, and then averaged. An image that is classified wrongly is wrong for two
# classes (its own and the one predicted) and *right* for the other five. With a share $a$ recognised, the average is
#
# $$
# \frac{1}{C}\sum_c \frac{TP_c+TN_c}{N} = 1 - \frac{2(1-a)}{C} .
# $$ (eq-one-against-rest)

# %%
rest = consistency.one_against_rest()
ours = rest[rest["method"] == "proposed"].set_index("dataset")
chance = 100 * metrics.one_against_rest_accuracy(1 / 7, 7)
figures.say(
    f"A network that guesses at random among seven classes, right in one image of seven, scores {chance:.1f} % in this "
    f"measure. If Table II's {ours.loc['FER', 'accuracy']:.2f} % were computed so, "
    f"{ours.loc['FER', 'recognised']:.2f} % of the images would be recognised; on CK+, "
    f"{ours.loc['CK', 'recognised']:.2f} %. In the other direction, Table I's {ours.loc['FER', 'table_1']:.2f} % would "
    f"become {ours.loc['FER', 'from_table_1']:.2f} %, which is not Table II's number either, so this alone does not "
    "untie the knot of I1."
)

# %% [markdown]
# **What can be said.** Eq. 13 as printed is no measure for seven classes. **What cannot.** Whether it was the one
# computed. This book takes accuracy as the share of images recognised, everywhere.
#
# ## Thirty-two percentages (I4, I5)
#
# The text compares the proposed method with four baselines, in four measures, on two data sets: “$x$ % higher than”. A
# difference of 92 and 95 can be called 3 (points) or 3.3 % (relative). Which is it?

# %%
statements = consistency.percent_statements()
figures.show(
    lambda: pictures.percent_readings(statements),
    name="fig-audit-percent",
    caption="Each statement against the difference in points between the table's rows. On the line, the text says "
    "points.",
    alt="Scatter plot along a diagonal. Nearly all dots lie on it; four marks of other shapes are named, two of them "
    "far "
    "off: F1 of CNN-BiLSTM on FER2013 and recall of DSCNN-LSTM on CK+.",
)

# %%
shown = {
    "dataset": paper.DATASET_NAMES,
    "metric": paper.METRIC_NAMES,
    **dict.fromkeys(("baseline", "row"), paper.METHOD_NAMES),
}
figures.tip(
    figures.numbered_table(
        statements[["dataset", "metric", "baseline", "printed", "points", "relative", "reading"]].replace(shown),
        name="tab-audit-percent-all",
        caption="All statements: what the text prints, the difference in points, and in percent of the baseline's.",
        formats=dict.fromkeys(("points", "relative"), "{:.2f}"),
    ).myst,
    title=f"All {len(statements)} statements",
    kind="note",
    folded=True,
)

# %%
odd = statements[~statements["reading"].str.startswith("points")]
figures.table(
    odd[["dataset", "metric", "baseline", "printed", "points", "relative", "relative_to_ours", "reading"]]
    .replace(shown)
    .rename(columns={"relative_to_ours": "relative to ours"}),
    name="tab-audit-percent",
    caption="The statements that are not differences in points. “Relative” is in percent of the baseline's value, "
    "“relative "
    "to ours” in percent of the proposed method's.",
    formats=dict.fromkeys(("points", "relative", "relative to ours"), "{:.2f}"),
)

# %%
count = statements["reading"].value_counts()
figures.say(
    f"{int(statements['reading'].str.startswith('points').sum())} of {len(statements)} are differences in points: "
    f"{count['points, rounded']} rounded, {count['points, cut off']} cut off after the printed digit. "
    f"{int(statements['reading'].str.startswith('relative').sum())} fit a relative difference, of which "
    f"{int(statements['reading'].str.startswith('relative to ours').sum())} in percent of the *proposed* method's. "
    f"{count['neither']} are neither: "
    + ", ".join(f"{r.printed} for {r.points:.2f}" for r in statements[statements["reading"] == "neither"].itertuples())
    + ", the one as if a leading 1 were missing, the other as if one digit stood for another. The one that fits a "
    "share of the proposed method's may as well be points rounded up. These are typing errors, and harmless ones. "
    "The word “points” would have been right."
)

# %% [markdown]
# Less harmless is a name. For CK+ the text compares with DSCNN-LSTM, which Table III does not have; in its place stands
# CNN-SVM. Three of the four numbers in the text fit the row CNN-SVM:

# %%
mixed = statements[statements["row"] != statements["baseline"]]
figures.table(
    mixed[["metric", "baseline", "row", "printed", "points", "reading"]]
    .replace(shown)
    .rename(columns={"baseline": "in the text", "row": "in the table"}),
    name="tab-audit-svm",
    caption="What the text says of DSCNN-LSTM on CK+, and the difference to the row CNN-SVM of Table III, points.",
    formats={"points": "{:.2f}"},
)

# %% [markdown]
# So one of the two labels is wrong, and it cannot be seen which network was run. The book trains both.
#
# ## Can it be so many of n? (I6, I27)
#
# Of 98 images, one can recognise 97 (98.98 %) or 96 (97.96 %), and nothing in between. A percentage that falls between
# does not come from 98 images. Psychologists call this the GRIM test {cite:p}`brown2017grim`. Its power depends on $n$:
# of 10,000 images or more, any number with two decimals is possible.

# %%
figures.show_source(consistency.attainable)

# %%
sizes = consistency.granularity()
figures.show(
    lambda: pictures.granularity(sizes),
    name="fig-audit-grim",
    caption="For test sets that suggest themselves: how many of the five accuracies of Table II (blue) or III (orange) "
    "are "
    "k/n. The upright line is what five arbitrary numbers would score on average.",
    alt="Horizontal bars. FER2013: three of five for 3,589 images where chance gives nearly two, and all five for the "
    "largest sets where chance gives the same. CK+: none or one of five, two of five for 981 frames.",
)

# %%
official = sizes.set_index("test_set").loc["PrivateTest (or PublicTest)"]
frames = sizes.set_index("test_set").loc["981 frames"]
smallest = {ds: consistency.smallest_common_size(ds) for ds in paper.TABLES}
figures.say(
    f"On FER2013's official test set ({official['n']:,} images), {official['count']} of {official['of']} accuracies "
    f"are "
    f"possible, where {official['by_chance']:.1f} of arbitrary ones would be, and {official['count_table_1']} of Table "
    f"I's four. On CK+ the best is {frames['count']} of {frames['of']}, for all 981 frames. The smallest test set that "
    f"allows all five of Table II has {smallest['FER']:,} images, of Table III {smallest['CK']:,}, more than CK+'s "
    f"last frames are."
)
numbers = len(paper.TABLES["FER"]) + len(paper.TABLE_1)
all_fit = sizes[(sizes["dataset"] == "FER") & (sizes["count"] + sizes["count_table_1"] == numbers)]
least = all_fit.loc[all_fit["n"].idxmin()]
figures.say(
    f"The smallest of these sets that fits all {numbers} numbers of Tables I and II for FER2013 has {least['n']:,} "
    f"images ({least['test_set'].partition(':')[0]}). Of as many arbitrary numbers all would fit it in "
    f"{consistency.chance(least['n']) ** numbers:.0%} of cases; larger sets fit nearly anything. That is a hint of how "
    f"the data *may* have been divided. It is not more than a hint: {len(sizes[sizes['dataset'] == 'FER'])} sizes were "
    "tried, and the same share rounded up, one image more, fits fewer."
)

# %% [markdown]
# The proposed method's accuracy on CK+ fits several of these sets. The smallest has 98 images, a tenth of the frames or
# 30 % of 327 sequences: 97 of 98 is 98.98 %. *If* it was that one, there was exactly one error. One error lowers the
# recall of one class and the precision of another, and the macro averages can only take the values $1 - 1/(C\,n_c)$
# (how many of 98 our networks have right when trained and tested so: {ref}`chap-results`):

# %%
figures.table(
    consistency.one_error().replace({"raised": {True: "no", False: "yes"}}).rename(columns={"raised": "fits"}),
    name="tab-audit-one-error",
    caption="Table III's recall and precision for the proposed method, and the nearest value that one error among $n$ "
    "images can give, for six to eight classes, percent.",
    formats={"printed": "{:.2f}", "nearest": "{:.2f}"},
)

# %% [markdown]
# **What can be said.** The accuracies of Table III do not come from one count on one of these test sets, and those of
# Tables I and II not from one on the official test set. **What cannot.** That anything is wrong. An average over ten
# folds or five runs is not $k/n$, and escapes the test altogether; so does a split of another size. The finding is a
# hint, and it would vanish with one sentence in the paper: *on which images?*
#
# ## Against people, and against the field (I7)
#
# FER2013's images came from a search engine, its labels from search words and a check by people. Barsoum and
# colleagues asked ten people about each of them {cite:p}`barsoum2016training`. From their votes one can compute how
# far people agree. The challenge's organisers had measured people before {cite:p}`goodfellow2013challenges`.

# %%
facts = consistency.human_agreement()
known = consistency.against_the_field(facts=facts)
on_fer = known[known["dataset"] == "FER"]
figures.show(
    lambda: pictures.field(known),
    name="fig-audit-field",
    caption="Accuracy on FER2013 (most on the official PrivateTest) and agreement among people. The dashed line is the "
    "paper's claim.",
    alt=f"Dots between {on_fer['value'].min():.0f} and {on_fer['value'].max():.0f} percent for people, single "
    "networks, ensembles, networks in public packages and the authors' later article; the paper alone at "
    f"{on_fer['claimed'].iloc[0]:.0f}.",
)

# %%
references = on_fer.assign(source=[f"{{cite:p}}`{key}`" if isinstance(key, str) else "" for key in on_fer["key"]])
figures.table(
    references[["who", "kind", "value", "note", "source"]],
    name="tab-audit-field",
    caption="The numbers of {numref}`fig-audit-field`, percent. “Read”: from the publication; “measured”: run on our "
    "copy "
    "of PrivateTest; “computed”: from FER+'s votes.",
    formats={"value": "{:.2f}"},
    markdown=["source"],
)

# %%
published = known[(known["dataset"] == "FER") & known["kind"].isin(["single", "ensemble"])]
human = known[(known["dataset"] == "FER") & (known["kind"] == "human")]
later = known[(known["dataset"] == "FER") & (known["kind"] == "later")].iloc[0]
figures.say(
    f"The claim lies {published['gap'].min():.1f} points above the best published result on the official split that we "
    f"know of, and {human['gap'].min():.1f} to {human['gap'].max():.1f} above people. The same authors' later article, "
    f"on "
    f"another network and with no split named either, reports {later['value']:.2f} % "
    f"{{cite:p}}`jayaraman2025interactive`, {later['gap']:.1f} points less."
)

# %% [markdown]
# A network may well beat people at predicting labels: it learns the labellers' habits. But where labels contradict each
# other for one and the same picture, nobody can be right on all of them, and {ref}`chap-hazards` counts such pictures.
#
# There are ways to 95 % on FER2013 that are no mistake of arithmetic: selected images, such as those of the
# authors' first work (Sec. III-A, which says that here the whole set is meant); relabelled or cleaned ones; copies made
# by augmentation before the split; accuracy on training images; or the measure of Eq. 13. A random split of all images
# is hardly one: {ref}`chap-hazards` finds no larger share of twins across it than across the official one.
#
# **What can be said.** On the official split, with its labels, 95 % would be without precedent.
# **What cannot.** That no set-up gives 95 %. The paper names none (Q12).
#
# ## Six gigabytes (I9)
#
# The experiments ran in MATLAB, on a machine with 6 GB of memory. Can that be?

# %%
memory = consistency.memory()
figures.table(
    memory.assign(gigabytes=memory["bytes"] / 1e9, fits=np.where(memory["raised"], "no", "yes"))[
        ["what", "gigabytes", "share", "fits"]
    ],
    name="tab-audit-memory",
    caption="What 35,887 images of 128×128 pixels need, and the share of 6 GiB.",
    formats={"gigabytes": "{:.2f}", "share": "{:.0%}"},
)

# %% [markdown]
# Yes, it can: the images fit in single precision and even in double, if little else is held, or are read from disk in
# small batches, as Fig. 1 of the paper shows. It would be slow, and the paper says nothing of time. This is no finding
# against it; it is here because a sceptic would ask.
#
# ## Text against mathematics and data
#
# - **I17.** CK+'s labelled sequences hold *contempt* and no *neutral*; the text's list of seven has it the other way
#   round.
# - **I18.** Seven classes span six directions about their common mean. Discriminant analysis is asked for seven. If it
#   is meant to classify as well, as Sec. III-F has it, it has seven scores.
# - **I15.** 327 and 593 are numbers of sequences, not of images, if not one image of each was taken. The 123 people are
#   those of all 593; the labelled ones show 118.
# - **I20, I21.** Algorithm 1 compares a random matrix with a weight of the recurrence, computes $K_c$ and does not use
#   it, and loops without an exit; Eqs 5–7 have no gates, where the text describes an LSTM. {ref}`chap-attention` and
#   {ref}`chap-bilstm` say what we made of it.
# - **I16.** A median filter does not resize.
# - **I8, I14.** Announced and not found: a driver's emotions, the effect of the LSTM's parameters, event-based F1.
# - **I25.** Named as problems of earlier models and not measured: occlusion, pose, light, imbalance, convergence.

# %%
figures.table(
    consistency.class_lists()
    .replace({True: "yes", False: "no"})
    .rename(columns={"in_text": "in the text", "in_labels": "in CK+'s labels", "raised": "disagree"}),
    name="tab-audit-classes",
    caption="Expressions the paper names for CK+, and those that CK+ has.",
)

# %% [markdown]
# ## What follows for this book
#
# A claim that the paper itself, or what can be computed, contradicts gets the verdict *inconsistent in the paper*,
# whatever our runs say; ours still stand beside it. That concerns the F1 cells of {numref}`tab-audit-f1`, the
# statements on DSCNN-LSTM and CK+, the percentages in {numref}`tab-audit-percent` that fit no usual reading, and the
# seven directions. Everything else is open, and for experiments to answer. So are Table I's and Table II's numbers (I1,
# I10): two tables disagree there, neither number contradicts itself, and each is held against our runs.
#
# ## Take-aways
#
# - F1 can be checked against precision and recall in any table, in the head: it lies at most halfway between them.
# - Recall that differs from accuracy tells you which average was taken, if both rest on the same predictions.
# - The GRIM test needs one test set counted once; say so whenever you use it.
# - A check is worth something only if it is silent on a sound article. Plant one.
# - Most of what looks wrong here would be settled by two sentences: which images were tested, and how classes were
#   averaged.
#
# ## Quiz

# %% [markdown]
# :::{admonition} 1. A table has P = 80, R = 90, F1 = 84.7. Possible?
# :class: dropdown
# Yes: the bound is 85. For a single class, F1 would be exactly 84.71.
# :::
#
# :::{admonition} 2. And P = 80, R = 90, F1 = 79?
# :class: dropdown
# Yes, for a macro average. Each class has its own P and R; where they differ much within a class, its F1 is low, though
# both averages are high.
# :::
#
# :::{admonition} 3. Weighted recall is 91.0, accuracy 92.0. Possible?
# :class: dropdown
# Not with one label and one prediction an image: they are the same number.
# :::
#
# :::{admonition} 4. An accuracy of 66.67 % on 3,589 images?
# :class: dropdown
# Not of one network on all of them: one image is 0.028 points, and no step falls there. An average over three seeds
# may well be 66.67.
# :::

# %% [markdown]
# ## Exercises

# %% [markdown]
# ```{exercise} ★ Which of four
# :label: ex-audit-grim
#
# Which of 66.65, 66.66, 66.67 and 66.68 % can be the accuracy on FER2013's PrivateTest?
# ```
#
# ```{solution-start} ex-audit-grim
# :class: dropdown
# ```

# %% tags=["show-input"]
possible = {p: consistency.attainable(p, 3589) for p in (66.65, 66.66, 66.67, 66.68)}
assert possible[66.67] == []
possible

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} ★★ Mixed averages
# :label: ex-audit-mixed
#
# Find a confusion matrix of two classes whose *weighted* F1 exceeds the mean of its *macro* precision and recall. What
# does that mean for a table that does not name its averages?
# ```
#
# ```{solution-start} ex-audit-mixed
# :class: dropdown
# ```
#
# A large easy class and a small hard one: weights favour the easy class in F1 alone.

# %% tags=["show-input"]
matrix = np.array([[90, 2], [5, 3]])
weighted, macro = metrics.scores_of(matrix, "weighted"), metrics.scores_of(matrix, "macro")
assert weighted["f1"] > (macro["precision"] + macro["recall"]) / 2
{"weighted F1": round(weighted["f1"], 3), "bound from macro": round((macro["precision"] + macro["recall"]) / 2, 3)}

# %% [markdown]
# So an F1 above the bound shows that the columns do not belong together, not that one of them is wrong.
#
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise} ★★★ Audit another paper
# :label: ex-audit-other
#
# Take a table with precision, recall and F1 from an article you know. Build a `consistency.Article`-like
# check for it: the bound, the averages, the granularity. Write down, for each finding, the mildest explanation.
# ```
#
# ```{solution-start} ex-audit-other
# :class: dropdown
# ```
#
# The bound needs only three columns. Here for a made-up table whose second row is impossible:

# %% tags=["show-input"]
rows = {"a": {"accuracy": 91.0, "precision": 90.2, "recall": 90.8, "f1": 90.4}}
rows["b"] = {"accuracy": 92.0, "precision": 91.2, "recall": 91.6, "f1": 91.9}
other = consistency.Article(tables={"FER": rows})
verdict = consistency.f1_bound(other).set_index("method")["raised"]
assert list(verdict) == [False, True]
verdict

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Run this page again
#
# ```console
# $ fer-repro book --only 11_audit
# ```
#
# It needs no data. The facts on FER+'s raters were computed with `python -m fer_repro.consistency fer2013new.csv`.
