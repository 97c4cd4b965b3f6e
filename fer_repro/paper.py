"""The paper as data: its tables, percent statements, equations, claims, open questions and inconsistencies.

Jayaraman and Mahendran, "An Improved Facial Expression Recognition using CNN-BiLSTM with Attention Mechanism",
IJACSA 15(5), 2024. Everything here is typed from the article once and imported from here everywhere else. This module
imports nothing but the standard library, so that the audit of the paper needs neither data nor a network.

Ids are stable and used in the book, the code and the tests:

- ``C-T1-FER-no-attention``, ``C-T2-cnn-lstm-accuracy``, ``C-T3-proposed-f1``: one cell of Table I, II or III;
- ``C-PCT-FER-accuracy-cnn-lstm``: one "x % higher than" statement;
- ``C-ORD-…``, ``C-ABL-…``, ``C-BILSTM-…``: an order between methods; ``C-CENTER`` and the like: a mechanism;
- ``Q1``…: what the paper leaves unsaid; ``I1``…: where it disagrees with itself or with what is known.
"""

from __future__ import annotations

from dataclasses import dataclass

TITLE = "An Improved Facial Expression Recognition using CNN-BiLSTM with Attention Mechanism"
AUTHORS = ("Samanthisvaran Jayaraman", "Anand Mahendran")
JOURNAL = "International Journal of Advanced Computer Science and Applications (IJACSA), 15(5), 2024"
DOI = "10.14569/IJACSA.2024.01505132"
URL = f"https://doi.org/{DOI}"

METRICS = ("accuracy", "precision", "f1", "recall")  # the column order of Tables II and III
METRIC_NAMES = {"accuracy": "accuracy", "precision": "precision", "f1": "F1 score", "recall": "recall"}
METRIC_FIGURES = {"accuracy": "Fig. 5", "precision": "Fig. 6", "f1": "Fig. 7", "recall": "Fig. 8"}
DATASETS = {"FER": "fer2013", "CK": "ckplus"}  # short name in ids -> name in fer_repro.data
DATASET_NAMES = {"FER": "FER2013", "CK": "CK+"}
DATA_NAMES = {name: DATASET_NAMES[short] for short, name in DATASETS.items()}  # name in fer_repro.data -> shown name
CHAPTERS = {
    "data": "01_data",
    "preprocessing": "02_preprocessing",
    "center_loss": "03_center_loss",
    "cnn": "04_cnn",
    "bilstm": "05_bilstm",
    "attention": "06_attention",
    "lda": "07_lda",
    "densenet": "08_densenet",
    "network": "09_network",
    "results": "10_results",
    "audit": "11_audit",
    "hazards": "12_hazards",
    "open_questions": "13_open_questions",
    "mechanisms": "14_mechanisms",
    "ledger": "15_ledger",
}

# --------------------------------------------------------------------------------------------------------------------
# Tables, in percent, as printed (two decimals)

DECIMALS = 2

# Table I, "Recognition rate comparisons of modules impact on FER": architecture -> (FER 2013, CK+)
TABLE_1: dict[str, dict[str, float]] = {
    "no_feature_extraction": {"FER": 59.12, "CK": 72.28},
    "no_attention": {"FER": 71.42, "CK": 75.31},
    "no_reconstruction": {"FER": 73.87, "CK": 79.46},
    "proposed": {"FER": 79.56, "CK": 98.92},
}
TABLE_1_LABELS = {
    "no_feature_extraction": "No feature extraction module",
    "no_attention": "No attention Module",
    "no_reconstruction": "No Reconstruction module",
    "proposed": "Complete Network",
}


def _rows(text: str) -> dict[str, dict[str, float]]:
    lines = (line.split() for line in text.strip().splitlines())
    return {name: dict(zip(METRICS, map(float, values), strict=True)) for name, *values in lines}


# Table II, "Accuracy, precision, recall and F1 score for FER 2013 dataset": accuracy, precision, F1, recall
TABLE_2 = _rows("""
    cnn-lstm      92.23 92.70 92.48 91.89
    dscnn-lstm    92.48 93.02 93.24 93.24
    cnn-bilstm    93.14 93.18 92.98 93.21
    acnn-lstm     91.43 91.12 91.82 91.04
    proposed      95.12 94.68 94.87 95.01
""")
# Table III has the same caption, "... for FER 2013 dataset" (I3); the text reads it as CK+
TABLE_3 = _rows("""
    cnn-lstm      93.84 93.52 94.52 94.14
    cnn-svm       93.26 93.74 91.89 91.92
    cnn-bilstm    95.62 95.16 95.34 95.32
    acnn-lstm     92.02 91.54 91.24 91.56
    proposed      98.98 99.24 99.54 98.78
""")
TABLES = {"FER": TABLE_2, "CK": TABLE_3}
TABLE_NUMBERS = {"FER": "II", "CK": "III"}
METHOD_LABELS = {
    "cnn-lstm": "CNN-LSTM",
    "dscnn-lstm": "DSCNN-LSTM",
    "cnn-svm": "CNN-SVM",
    "cnn-bilstm": "CNN-BiLSTM",
    "acnn-lstm": "ACNN-LSTM",
    "proposed": "Proposed Method",
}
METHOD_NAMES = {  # every method, as this book's own tables name it
    **METHOD_LABELS,
    "proposed": "proposed method",
    "no_feature_extraction": "no feature extraction",
    "no_attention": "no attention",
    "no_reconstruction": "no reconstruction",
}

# --------------------------------------------------------------------------------------------------------------------
# The 32 "x % higher than" statements (Sec. IV-D; the eight on accuracy stand in the abstract as well)


@dataclass(frozen=True)
class PercentStatement:
    """ "The proposed network is ``printed`` % higher than ``baseline``", as the text has it."""

    dataset: str  # "FER" or "CK"
    metric: str  # one of METRICS
    baseline: str  # as the text names it: never "cnn-svm"
    printed: str  # the digits as printed: "2" and "2.0" say different things

    @property
    def id(self) -> str:
        """The claim's id, ``C-PCT-<dataset>-<metric>-<baseline>``."""
        return f"C-PCT-{self.dataset}-{self.metric}-{self.baseline}"

    @property
    def value(self) -> float:
        """The number printed, in percent."""
        return float(self.printed)

    @property
    def decimals(self) -> int:
        """Digits printed after the point."""
        return len(self.printed.partition(".")[2])

    @property
    def row(self) -> str:
        """Name of the table's row at the baseline's place: CNN-SVM stands in Table III for DSCNN-LSTM (I4)."""
        return "cnn-svm" if self.dataset == "CK" and self.baseline == "dscnn-lstm" else self.baseline


STATED_BASELINES = ("cnn-lstm", "dscnn-lstm", "cnn-bilstm", "acnn-lstm")  # the order of the text's sentences
_STATEMENTS = {
    ("FER", "accuracy"): "3.1 2.7 2 3.7",
    ("FER", "precision"): "1.9 1.6 1.5 3.5",
    ("FER", "f1"): "2.4 1.6 0.9 3.0",
    ("FER", "recall"): "3.1 1.8 1.8 4",
    ("CK", "accuracy"): "5.1 5.7 3.3 6.9",
    ("CK", "precision"): "5.7 5.5 4.1 7.7",
    ("CK", "f1"): "5 7.6 4.2 8.3",
    ("CK", "recall"): "4.6 7.8 3.4 7.2",
}
PERCENT_STATEMENTS = tuple(
    PercentStatement(dataset, metric, baseline, printed)
    for (dataset, metric), numbers in _STATEMENTS.items()
    for baseline, printed in zip(STATED_BASELINES, numbers.split(), strict=True)
)

# --------------------------------------------------------------------------------------------------------------------
# Facts stated in the text that the audit computes with

STATED = {
    "fer2013_images": 35887,  # Sec. IV-A
    "fer2013_size": 48,  # Sec. IV-A
    "ck_sequences": 593,  # Sec. IV-B, where they are called images (I15)
    "ck_labelled": 327,  # Sec. IV-B
    "ck_subjects": 123,  # Sec. IV-B
    "size": 128,  # Sec. III-A
    "classes": 7,  # Sec. III-F
    "lda_dimensions": 7,  # Sec. III-F: "into number of expression categories ... i.e. 7"
    "memory_bytes": 6 * 2**30,  # Sec. IV: "6GB RAM", read generously as GiB
    "earlier_images": 7074,  # Sec. III-A: FER2013 images in the authors' first work
}
CONVOLUTIONS = ((1, 32), (5, 32), (3, 32), (3, 64))  # Sec. III-C: kernel N x N and number of maps K
STATED_CLASSES = ("anger", "disgust", "fear", "happiness", "surprise", "sadness", "neutral")  # Sec. III-F

# --------------------------------------------------------------------------------------------------------------------
# Equations and Algorithm 1


@dataclass(frozen=True)
class Equation:
    """An equation: number as printed, LaTeX, section, and the dotted names of the code that implements it."""

    id: str
    latex: str
    where: str
    what: str
    code: tuple[str, ...]
    chapter: str


def _equation(number: int, where: str, chapter: str, what: str, latex: str, *code: str) -> Equation:
    return Equation(f"Eq. {number}", latex, where, what, tuple(f"fer_repro.{c}" for c in code), CHAPTERS[chapter])


EQUATIONS = (
    _equation(
        1,
        "Sec. III-A",
        "preprocessing",
        "global contrast normalisation",
        r"X'_{i,j,k} = s\,\frac{X_{i,j,k}-\bar X}{\max\{\epsilon,\sqrt{\lambda+\frac{1}{3rc}"
        r"\sum_{i=1}^{r}\sum_{j=1}^{c}\sum_{k=1}^{3}(X_{i,j,k}-\bar X)^2}\}}",
        "preprocessing.global_contrast_normalize",
    ),
    _equation(
        2,
        "Sec. III-B",
        "center_loss",
        "gradient of the center loss",
        r"\frac{\partial L_C}{\partial x_i} = x_i - C_{y_i}",
        "center_loss.CenterLoss.forward",
        "center_loss.center_distance",
    ),
    _equation(
        3,
        "Sec. III-B",
        "center_loss",
        "step of a class center",
        r"\Delta C_j = \frac{\sum_{i=1}^{m}\delta(y_i=j)\,(C_j-x_i)}{1+\sum_{i=1}^{m}\delta(y_i=j)}",
        "center_loss.CenterLoss.update",
        "center_loss.center_step",
    ),
    _equation(
        4,
        "Sec. III-B",
        "center_loss",
        "joint supervision: softmax loss and center loss",
        r"L = -\sum_{i=1}^{m}\log\frac{e^{W_{y_i}^T x_i+b_{y_i}}}{\sum_{j=1}^{n}e^{W_j^T x_i+b_j}}"
        r"+\frac{\lambda}{2}\sum_{i=1}^{m}\|x_i-C_{y_i}\|_2^2",
        "center_loss.center_distance",
    ),
    _equation(
        5, "Sec. III-D", "bilstm", "forward layer", r"h_t = (w_1x_t + w_2h_{t-1})", "bilstm.UngatedBiRNN.forward"
    ),
    _equation(
        6, "Sec. III-D", "bilstm", "backward layer", r"h'_t = (w_3x_t + w_5h'_{t+1})", "bilstm.UngatedBiRNN.forward"
    ),
    _equation(
        7,
        "Sec. III-D",
        "bilstm",
        "output of both directions",
        r"O_t = g(w_4h_t + w_6h'_t)",
        "bilstm.UngatedBiRNN.forward",
        "bilstm.BiLSTM",
    ),
    _equation(
        8,
        "Sec. III-F",
        "lda",
        "class means",
        r"S_i = \frac{1}{N_i}\sum_{j=1}^{N_i} x_{ij}\cdot x_{ij}\in R^d,\quad i=1,2,\dots,C",
        "lda.scatter_matrices",
    ),
    _equation(9, "Sec. III-F", "lda", "overall mean", r"m = \sum_{i=1}^{C} p^i m^i", "lda.scatter_matrices"),
    _equation(
        10,
        "Sec. III-F",
        "lda",
        "covariance of a class",
        r"C_i = \frac{1}{N_i}\sum_{j=1}^{N_i}(x_{ij}-m_i)\cdot(x_{ij}-m_i)^T",
        "lda.scatter_matrices",
    ),
    _equation(
        11,
        "Sec. III-F",
        "lda",
        "scatter between classes",
        r"S_B = \sum_{i=1}^{C}p_i(m_i-m)\cdot(m_i-m)^T",
        "lda.scatter_matrices",
    ),
    _equation(12, "Sec. III-F", "lda", "scatter within classes", r"S_W = \sum_{i=1}^{c} C_i", "lda.scatter_matrices"),
    _equation(
        13,
        "Sec. IV-D",
        "results",
        "accuracy",
        r"\text{Accuracy}=\frac{TP+TN}{\text{Total population}}",
        "metrics.scores",
    ),
    _equation(
        14,
        "Sec. IV-D",
        "results",
        "F1 score",
        r"\text{F1 Score}=\frac{2}{\frac{1}{\text{Precision}}+\frac{1}{\text{Recall}}}",
        "metrics.scores",
    ),
    _equation(15, "Sec. IV-D", "results", "precision", r"\text{Precision}=\frac{TP}{TP+FP}", "metrics.scores"),
    _equation(16, "Sec. IV-D", "results", "recall", r"\text{Recall}=\frac{TP}{TP+FN}", "metrics.scores"),
    Equation(
        "Alg. 1",
        r"K_L=\tanh(VW^a),\quad K_c=\|qC_v\|,\quad d=\mathrm{softmax}(qK^T),\quad a=d*V",
        "Sec. III-E",
        "point multiplication attention",
        ("fer_repro.attention.point_multiplication_attention", "fer_repro.attention.PointMultiplicationAttention"),
        CHAPTERS["attention"],
    ),
    Equation(
        "Sec. III-F, step 4",
        r"S_W^{-1}S_B\,v=\mu v",
        "Sec. III-F",
        "projection vectors of the discriminant analysis",
        ("fer_repro.lda.LinearDiscriminantProjection",),
        CHAPTERS["lda"],
    ),
    Equation(
        "Sec. III-F, dense",
        r"x_l = H_l([x_0, x_1, \dots, x_{l-1}])",
        "Sec. III-F",
        "dense connections",
        ("fer_repro.densenet.DenseBlock",),
        CHAPTERS["densenet"],
    ),
)

# --------------------------------------------------------------------------------------------------------------------
# Claims


CLAIM_KINDS: dict[str, tuple[str, ...]] = {  # and the fields that a claim of each kind must fill in
    "cell": ("dataset", "metric", "model", "value"),
    "percent": ("dataset", "metric", "baseline", "value"),
    "order": ("dataset",),
    "ablation": ("dataset",),
    "mechanism": (),
    "announced": (),
}


@dataclass(frozen=True)
class Claim:
    """One statement that a verdict is given on.

    ``kind`` is "cell" (a table's number), "percent", "order", "ablation", "mechanism" or "announced". ``chapter`` is
    where its evidence stands. ``value`` is the paper's number in percent, or None where the claim is not a number.
    ``related`` names open questions and inconsistencies that bear on it.
    """

    id: str
    kind: str
    statement: str
    where: str
    chapter: str
    value: float | None = None
    dataset: str | None = None  # "FER", "CK"
    metric: str | None = None
    model: str | None = None
    baseline: str | None = None
    related: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse, with a ValueError, a claim that could not be judged."""
        if self.kind not in CLAIM_KINDS:
            raise ValueError(f"{self.id}: unknown kind {self.kind!r}; wanted one of {', '.join(CLAIM_KINDS)}")
        wanted = CLAIM_KINDS[self.kind]
        if self.kind == "order" and self.baseline is not None:  # of two methods
            wanted += ("metric", "model")
        if missing := [name for name in wanted if getattr(self, name) is None]:
            raise ValueError(f"{self.id}: a claim of kind {self.kind!r} wants {', '.join(missing)}, too")


def _table_1_claims() -> list[Claim]:
    claims = []
    for model, values in TABLE_1.items():
        name = "complete" if model == "proposed" else model.replace("_", "-")
        for ds, value in values.items():
            related = ("Q15", "I1", "I10") if model == "proposed" else ("Q15", "Q16", "I11")
            claims.append(
                Claim(
                    id=f"C-T1-{ds}-{name}",
                    kind="cell",
                    statement=f"{TABLE_1_LABELS[model]}: recognition rate on {DATASET_NAMES[ds]}",
                    where=f"Table I, Fig. 4, row “{TABLE_1_LABELS[model]}”",
                    chapter=CHAPTERS["results"],
                    value=value,
                    dataset=ds,
                    metric="accuracy",
                    model=model,
                    related=related,
                )
            )
    return claims


def _table_claims(ds: str) -> list[Claim]:
    number = TABLE_NUMBERS[ds]
    claims = []
    for model, row in TABLES[ds].items():
        for metric, value in row.items():
            related = ["Q12", "Q15", "I13"] if metric == "accuracy" else ["Q15", "I12"]
            related += ["I2"] if metric == "f1" else []
            related += ["I3"] if ds == "CK" else []
            related += ["I4", "Q17"] if model == "cnn-svm" else ["Q17"] if model != "proposed" else []
            related += ["I1", "I7"] if (model, metric, ds) == ("proposed", "accuracy", "FER") else []
            related += ["I1"] if (model, metric, ds) == ("proposed", "accuracy", "CK") else []
            claims.append(
                Claim(
                    id=f"C-T{len(number)}-{model}-{metric}",
                    kind="cell",
                    statement=f"{METHOD_LABELS[model]}: {METRIC_NAMES[metric]} on {DATASET_NAMES[ds]}",
                    where=f"Table {number}, {METRIC_FIGURES[metric]}, row “{METHOD_LABELS[model]}”",
                    chapter=CHAPTERS["results"],
                    value=value,
                    dataset=ds,
                    metric=metric,
                    model=model,
                    related=tuple(dict.fromkeys(related)),
                )
            )
    return claims


def _percent_claims() -> list[Claim]:
    return [
        Claim(
            id=s.id,
            kind="percent",
            statement=f"{METRIC_NAMES[s.metric]} on {DATASET_NAMES[s.dataset]} is {s.printed} % higher than "
            f"{METHOD_LABELS[s.baseline]}'s",
            where="Sec. IV-D" + (" and abstract" if s.metric == "accuracy" else f", {METRIC_FIGURES[s.metric]}"),
            chapter=CHAPTERS["audit"],
            value=s.value,
            dataset=s.dataset,
            metric=s.metric,
            model="proposed",
            baseline=s.baseline,
            related=("I5", "I4") if s.row != s.baseline else ("I5",),
        )
        for s in PERCENT_STATEMENTS
    ]


def _order_claims() -> list[Claim]:
    claims = []
    for ds, name in DATASET_NAMES.items():
        claims += [
            Claim(
                f"C-ORD-{ds}",
                "order",
                f"The proposed network beats every baseline on {name} in accuracy, precision, F1 score and recall",
                f"Sec. IV-D, Table {TABLE_NUMBERS[ds]}",
                CHAPTERS["results"],
                dataset=ds,
                model="proposed",
                related=("Q17", "I10") + (("I4",) if ds == "CK" else ()),
            ),
            Claim(
                f"C-ABL-{ds}",
                "ablation",
                f"Each module helps on {name}: removing feature extraction costs most, then attention, then "
                "reconstruction (the order is that of Table I's numbers)",
                "Sec. IV-C, Table I, Fig. 4",
                CHAPTERS["results"],
                dataset=ds,
                model="proposed",
                related=("Q16", "I1", "I11"),
            ),
            Claim(
                f"C-BILSTM-{ds}",
                "order",
                f"Reading the sequence in both directions improves accuracy on {name} (CNN-BiLSTM above CNN-LSTM; our "
                "inference)",
                f"Sec. III-D, Table {TABLE_NUMBERS[ds]}",
                CHAPTERS["results"],
                dataset=ds,
                metric="accuracy",
                model="cnn-bilstm",
                baseline="cnn-lstm",
                related=("Q6", "Q7", "Q17"),
            ),
        ]
    return claims


def _mechanism(id: str, where: str, statement: str, *related: str) -> Claim:
    """A mechanism: measured by knob in a chapter for all of them, but C-IMB, which the runs on FER2013 answer."""
    chapter = CHAPTERS["results" if id == "C-IMB" else "mechanisms"]
    return Claim(id, "mechanism", statement, where, chapter, related=related)


_MECHANISM_CLAIMS = [
    _mechanism(
        "C-CENTER",
        "Sec. III-B",
        "Center loss makes the deep features more discriminative: the spread within classes falls, that between holds "
        "(the latter our inference)",
        "Q4",
    ),
    _mechanism(
        "C-PRE",
        "Sec. III-A",
        "Median filter and global contrast normalisation give quality images: less noise, uniform contrast",
        "Q1",
        "Q2",
        "I16",
    ),
    _mechanism(
        "C-1x1",
        "Sec. III-C",
        "The 1×1 first convolution improves the representation and lowers the complexity",
        "Q5",
        "I19",
    ),
    _mechanism(
        "C-OCC",
        "Sec. III-E, abstract",
        "Attention raises the weight of useful regions on occluded, complex and blurred faces",
        "Q8",
    ),
    _mechanism(
        "C-POSE",
        "abstract, Sec. III-E",
        "The method copes with non-frontal faces and with uneven light",
        "Q8",
        "I25",
    ),
    _mechanism(
        "C-LDA",
        "Sec. III-F",
        "Discriminant analysis reduces the features to the number of classes and keeps what separates them",
        "Q9",
        "I18",
    ),
    _mechanism(
        "C-DENSE",
        "Sec. III-F",
        "Dense reconstruction gives enhanced maps with reduced redundancy (than summation: our inference)",
        "Q10",
    ),
    _mechanism(
        "C-BN",
        "Sec. III-F",
        "Batch normalisation after each layer speeds up convergence and reduces overfitting",
        "Q5",
    ),
    _mechanism(
        "C-IMB",
        "abstract",
        "Imbalance of classes, slow convergence and low accuracy of earlier models are overcome (our inference)",
        "Q11",
        "I25",
    ),
]
_ANNOUNCED_CLAIMS = [
    Claim(
        "C-TIME",
        "announced",
        "BiLSTM obtains time-series information from images taken at different periods and angles",
        "Sec. III-D",
        CHAPTERS["bilstm"],
        related=("Q6", "Q12"),
    ),
    Claim(
        "C-LSTM-PARAMETERS",
        "announced",
        "The effectiveness of LSTM parameters is shown",
        "Sec. IV",
        CHAPTERS["audit"],
        related=("Q7", "I14"),
    ),
    Claim(
        "C-EVENT-F1",
        "announced",
        "F1 score is divided into event-based and frame-based, with equations for both",
        "Sec. IV-D",
        CHAPTERS["audit"],
        related=("Q18", "I14"),
    ),
    Claim(
        "C-DRIVER",
        "announced",
        "The research aims to predict the emotions of a driver",
        "Sec. I",
        CHAPTERS["audit"],
        related=("I8",),
    ),
]

CLAIMS: tuple[Claim, ...] = (
    *_table_1_claims(),
    *_table_claims("FER"),
    *_table_claims("CK"),
    *_order_claims(),
    *_percent_claims(),
    *_MECHANISM_CLAIMS,
    *_ANNOUNCED_CLAIMS,
)

# --------------------------------------------------------------------------------------------------------------------
# Open questions: what the paper leaves unsaid. ``options`` are dotted names of the code's answer, "name:argument" where
# it is a named default argument


@dataclass(frozen=True)
class Question:
    """Something the paper does not say, where our answer stands as a named default, and the chapter that decides it."""

    id: str
    text: str
    where: str
    options: tuple[str, ...]
    chapter: str


def _question(number: int, where: str, chapter: str, text: str, *options: str) -> Question:
    return Question(f"Q{number}", text, where, tuple(f"fer_repro.{o}" for o in options), CHAPTERS[chapter])


QUESTIONS = (
    _question(
        1,
        "Eq. 1",
        "preprocessing",
        "s, λ and ε have no values; the equation sums over three channels, of which FER2013, and CK+ in part, have one",
        "preprocessing.global_contrast_normalize:scale",
        "preprocessing.global_contrast_normalize:lam",
        "preprocessing.global_contrast_normalize:eps",
    ),
    _question(
        2,
        "Sec. III-A, V",
        "preprocessing",
        "size of the median filter's kernel; the order of resizing, filtering and normalising",
        "preprocessing.median_filter:kernel",
        "preprocessing.STEPS",
    ),
    _question(
        3,
        "Sec. III-A",
        "preprocessing",
        "interpolation from 48 to 128 pixels; “cropping” to reduce; whether CK+ comes to 128 from its originals or "
        "from FER2013’s size; whether 128 pixels gain anything over 48",
        "preprocessing.resize:interpolation",
        "preprocessing.resize:fit",
        "preprocessing.resize:size",
    ),
    _question(
        4,
        "Sec. III-B, Eqs 2–4",
        "center_loss",
        "λ and α have no values, and Eq. 3 does not show where α enters; sum over the batch or mean; which features "
        "x_i are",
        "recipe.Recipe:center_weight",
        "center_loss.CenterLoss:alpha",
        "center_loss.CenterLoss:reduction",
    ),
    _question(
        5,
        "Sec. III-C",
        "cnn",
        "order of the four convolutions and three poolings, padding, stride, activation, where batch norm stands",
        "cnn.SevenLayerCNN:pool_after",
        "cnn.SevenLayerCNN:padding",
        "cnn.SevenLayerCNN:norm",
    ),
    _question(
        6,
        "Sec. III-C, III-D",
        "bilstm",
        "how a feature map is “serialized” into a sequence, and what time is for a still image",
        "bilstm.serialise:by",
    ),
    _question(
        7,
        "Sec. III-D, Eqs 5–7",
        "bilstm",
        "size of the BiLSTM; the equations are an ungated recurrence, not an LSTM; g is not named",
        "bilstm.BiLSTM:hidden",
        "bilstm.BiLSTM:cell",
        "bilstm.BiLSTM:merge",
        "bilstm.UngatedBiRNN:activation",
    ),
    _question(
        8,
        "Algorithm 1",
        "attention",
        "“W ≤ W6”, “K_c = ‖qC_v‖”, where q comes from, no scaling; d ∗ V as product or weighted sum",
        "attention.PointMultiplicationAttention:query",
        "attention.point_multiplication_attention:scale",
    ),
    _question(
        9,
        "Sec. III-F, Eqs 8–12",
        "lda",
        "seven directions are asked for where six exist; Eq. 12 without priors beside Eq. 11 with them; where and when "
        "the analysis is fitted, what gradient passes",
        "lda.LinearDiscriminantProjection:n_components",
        "lda.LinearDiscriminantProjection:within",
        "lda.LinearDiscriminantProjection:shrinkage",
    ),
    _question(
        10,
        "Sec. III-F",
        "densenet",
        "growth rate and depth of the reconstruction; how a projected vector becomes a feature map again",
        "densenet.DenseBlock:growth_rate",
        "densenet.DenseBlock:num_layers",
    ),
    _question(
        11,
        "Sec. III-B, IV",
        "network",
        "optimiser, learning rate, epochs, batch size (“2 to 2^n”), initialisation, dropout, seeds, stopping",
        "recipe.RECIPES",
        "recipe.Recipe:dropout",
    ),
    _question(
        12,
        "Sec. IV-A, IV-B",
        "data",
        "no split is named for either data set, nor whether the subjects of CK+ are kept apart",
        "data.splits.DEFAULT_PROTOCOL",
    ),
    _question(
        13,
        "Sec. III-F, IV-B",
        "data",
        "the labelled CK+ sequences hold contempt and no neutral; the paper names neutral and no contempt",
        "data.faces.CK_CLASSES",
    ),
    _question(
        14,
        "Sec. IV-B",
        "preprocessing",
        "“rotated and flipped, their brightness and saturation are adjusted when required”, said of CK+: how much, how "
        "often; whether of FER2013, too (we augment both), whose images are grey",
        "augmentation",
    ),
    _question(
        15,
        "Sec. IV-C, IV-D",
        "results",
        "“recognition rate”, named beside “accuracy” (Sec. IV, IV-D) and not defined: read here as accuracy; averaging "
        "of precision, recall and F1 over the classes",
        "metrics.scores:average",
    ),
    _question(
        16,
        "Sec. IV-C",
        "network",
        "what feeds the BiLSTM where the feature extraction module is removed; whether the attention module holds the "
        "BiLSTM and LDA, too",
        "network.ProposedNetwork:feature_extraction",
    ),
    _question(
        17,
        "Sec. II, IV-D, V",
        "network",
        "no baseline is specified or cited with its settings; whether “existing network models” (Sec. V) are those of "
        "references [9], [29] and [30], which Sec. II sketches, is not said",
        "baselines.BASELINES",
    ),
    _question(
        18,
        "Sec. IV-D",
        "results",
        "F1 that is “Event based and frame based” is announced and never used",
        "metrics.sequence_vote:ties",
    ),
)

# --------------------------------------------------------------------------------------------------------------------
# Inconsistencies


@dataclass(frozen=True)
class Inconsistency:
    """A place where the paper disagrees with itself, with its data, or with what is known.

    ``kind``: "contradiction" (two statements that cannot both hold), "typing error" (a slip whose correction is
    evident), "gap" (announced or needed, and missing), "outside evidence" (at odds with facts from elsewhere), "hint"
    (compatible with an ordinary explanation). ``check`` is the function of :mod:`fer_repro.consistency` that computes
    it, or None where it can only be read. ``charitable`` is the mildest explanation we can think of.
    """

    id: str
    kind: str
    finding: str
    where: str
    charitable: str
    check: str | None = None
    chapter: str = CHAPTERS["audit"]


INCONSISTENCIES = (
    Inconsistency(
        "I1",
        "contradiction",
        "The complete network has one recognition rate in Table I and another accuracy in Table II (and III)",
        "Tables I, II, III",
        "“Recognition rate” and “accuracy” may be different measures: Sec. IV and IV-D name them side by side, and "
        "define only the latter. Or the runs differ, or the images do: Sec. III-A tells of a first work on "
        f"{STATED['earlier_images']:,} selected ones, and that here the whole data set is meant.",
        "same_network_twice",
    ),
    Inconsistency(
        "I2",
        "contradiction",
        "F1 lies above the mean of precision and recall, which no one averaging of all three allows",
        "Tables II, III",
        "The three columns may have been averaged in different ways, or come from different runs.",
        "f1_bound",
    ),
    Inconsistency(
        "I3",
        "typing error",
        "Table III's caption names FER2013; the text treats the table as CK+",
        "Table III",
        "A caption copied from Table II.",
        "captions",
    ),
    Inconsistency(
        "I4",
        "typing error",
        "Table III lists CNN-SVM where text, abstract and Table II have DSCNN-LSTM; three of the text's four numbers "
        "for DSCNN-LSTM on CK+ are those of the row CNN-SVM",
        "Table III, Sec. IV-D, abstract",
        "A wrong label in the table, or a comparison changed late; which of the two was run is not known.",
        "unmatched_methods",
    ),
    Inconsistency(
        "I5",
        "typing error",
        "“x % higher” is a difference in points in most of the 32 statements, rounded or cut off; a few are a relative "
        "difference or neither",
        "abstract, Sec. IV-D",
        "Slips of a digit; 0.9 for 1.89 lacks a 1.",
        "percent_statements",
    ),
    Inconsistency(
        "I6",
        "hint",
        "On CK+ most accuracies are not k/n of any test set that suggests itself; on FER2013 the official one fits "
        "three of Table II and none of Table I, a fifth of all images, rounded down, fits every one",
        "Tables I, II, III",
        "An average over folds or runs is not k/n of one test set.",
        "granularity",
    ),
    Inconsistency(
        "I7",
        "outside evidence",
        "The accuracy on FER2013 is far above human agreement and above every result on the official split known to us",
        "Table II",
        f"Selected images, as the {STATED['earlier_images']:,} of the first work (Sec. III-A, which here means the "
        "whole), cleaned or new labels, copies made by augmentation before the split, accuracy on training images, or "
        "the measure of Eq. 13.",
        "against_the_field",
    ),
    Inconsistency(
        "I8",
        "gap",
        "The aim stated in the introduction, a driver's emotions, is not studied",
        "Sec. I, V",
        "Named as future work in the conclusion.",
    ),
    Inconsistency(
        "I9",
        "hint",
        "MATLAB on a machine with 6 GB of memory, 35,887 images of 128×128 pixels",
        "Sec. IV",
        "Feasible with images in single precision or read in small batches.",
        "memory",
    ),
    Inconsistency(
        "I10",
        "contradiction",
        "Table I's complete network is below every baseline of Table II on FER2013",
        "Tables I, II",
        "As I1, from which it follows: two measures or two set-ups under one name.",
        "complete_below_baselines",
    ),
    Inconsistency(
        "I11",
        "hint",
        "CNN-BiLSTM (Tables II, III), by its name without attention and reconstruction, is above Table I's network "
        "without attention, which has more",
        "Tables I, II, III",
        "As I1; or CNN-BiLSTM is not this network without parts, but the published one of reference [30] (Q17); or the "
        "attention module holds BiLSTM and LDA, too (Q16); or the ablations were trained for a shorter time.",
        "bilstm_above_ablation",
    ),
    Inconsistency(
        "I12",
        "hint",
        "Recall differs from accuracy in every row: with one label an image, and if a row's columns rest on the same "
        "predictions, recall is then no micro or weighted average, and the macro average is left",
        "Tables II, III",
        "Macro averages, never named: as far as it goes, an answer to Q15. I2 speaks against the premise.",
        "averaging",
    ),
    Inconsistency(
        "I13",
        "contradiction",
        "Eq. 13 counts true negatives: with seven classes it is either not defined or a one-against-rest accuracy, "
        "which is much higher than the share of images recognised",
        "Eq. 13, Sec. IV-D",
        "A two-class formula quoted by habit, while the share of images recognised was computed.",
        "one_against_rest",
    ),
    Inconsistency(
        "I14",
        "gap",
        "Announced and not given: the effectiveness of LSTM parameters (Sec. IV), event-based and frame-based F1 with "
        "their equations (Sec. IV-D)",
        "Sec. IV",
        "Lost when the article was shortened.",
    ),
    Inconsistency(
        "I15",
        "typing error",
        "CK+'s 593 and 327 are image sequences, not images; its 123 subjects are those of all 593, the 327 show 118",
        "Sec. IV-B",
        "“Images” written for “sequences”; or one image of each was used: “that 327 images” leaves it open (Q12).",
        "ck_counts",
    ),
    Inconsistency(
        "I16",
        "contradiction",
        "The median filter removes noise in Sec. III-A and resizes images in Sec. IV-E and V; a median filter does not "
        "change an image's size",
        "Sec. III-A, IV-E, V",
        "Two steps run together in the summary.",
    ),
    Inconsistency(
        "I17",
        "contradiction",
        "CK+ has seven labelled expressions with contempt and without neutral; Sec. III-F has neutral and no contempt",
        "Sec. III-F, IV-B",
        "FER2013's list of classes used for both; or neutral first frames were added and contempt dropped.",
        "class_lists",
    ),
    Inconsistency(
        "I18",
        "contradiction",
        "Discriminant analysis is asked for seven dimensions of seven classes; S_B has rank six at most",
        "Sec. III-F",
        "“Number of classes” written for one less, or a linear classifier's seven scores are meant.",
        "lda_rank",
    ),
    Inconsistency(
        "I19",
        "typing error",
        "“N*N represents number of convolutions performed”: it is the size of the kernel, as the next sentences use it",
        "Sec. III-C",
        "A slip; (5*5, 32) can hardly be 25 convolutions.",
    ),
    Inconsistency(
        "I20",
        "contradiction",
        "Algorithm 1 compares a random matrix with a recurrence's weight (“IF W ≤ W6”), computes K_c and never uses "
        "it, uses a K it never defines, and loops while L ≠ 0 without changing L",
        "Algorithm 1",
        "A sketch; softmax(qK^T)V with learned keys K = tanh(VW) is what its comments describe.",
    ),
    Inconsistency(
        "I21",
        "contradiction",
        "The text describes gated LSTM cells; Eqs 5–7 have no gate and no nonlinearity inside the recurrence",
        "Sec. III-D",
        "A schematic of the two directions, not of the cell.",
    ),
    Inconsistency(
        "I22",
        "typing error",
        "Eq. 8 defines the class means as S_i with x·x under the sum, Eqs 9–11 call them m_i; λ means two things "
        "(Eqs 1 and 4), C four (centers, number of classes, covariances, a key)",
        "Eqs 1, 4, 8–12, Algorithm 1",
        "Symbols from several sources put side by side.",
    ),
    Inconsistency(
        "I23",
        "hint",
        "Eq. 1 sums over three colour channels and Sec. IV-B adjusts the saturation of CK+; FER2013 is grey, and CK+ "
        "but for some of its films",
        "Eq. 1, Sec. IV-B",
        "CK+ was handed out partly in colour; grey images were held as three equal channels, with which Eq. 1 is "
        "unchanged.",
        "three_equal_channels",
    ),
    Inconsistency(
        "I24",
        "typing error",
        "Four components “represented in Fig. 3”: Fig. 3 is the BiLSTM, Fig. 2 the architecture, whose caption says "
        "LSTM; Table I removes LDA and center loss never by themselves, BiLSTM only if it counts as part of the "
        "attention module (Sec. III-C)",
        "Sec. III, Figs 2, 3, Sec. IV-C",
        "Figure numbers shifted; the missing ablations stay missing.",
    ),
    Inconsistency(
        "I25",
        "gap",
        "The problems named in the abstract (occlusion, light, pose, imbalance, slow convergence) are never measured",
        "abstract, Sec. IV",
        "Accuracy on data sets that contain them is taken as evidence.",
    ),
    Inconsistency(
        "I26",
        "typing error",
        "References 26–28 are cited for an AlexNet on FER2013; their titles are on data streams, dengue and driving",
        "Sec. II",
        "Reference numbers shifted.",
    ),
    Inconsistency(
        "I27",
        "hint",
        "If CK+'s test set held 98 images (30 % of 327), 98.98 is one error; but one error cannot give the row's "
        "recall and precision",
        "Table III",
        "Another test set, or an average over folds or runs, as in I6.",
        "one_error",
    ),
)


def claim(id: str) -> Claim:
    """Return the claim with this id; KeyError names the id."""
    return {c.id: c for c in CLAIMS}[id]
