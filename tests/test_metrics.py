"""Measures, intervals and tests against loops written from the formulas, against scikit-learn and scipy."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from math import comb

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from fer_repro import metrics


def _faces(seed=0, n=400, classes=7, accuracy=0.6):
    generator = np.random.default_rng(seed)
    y = generator.choice(classes, n, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
    return y, np.where(generator.random(n) < accuracy, y, generator.integers(0, classes, n))


def _slow(y, p, classes, average):
    """Eqs 14-16 in exact fractions, one class at a time."""
    rows = []
    for c in range(classes):
        tp = sum(a == c and b == c for a, b in zip(y, p, strict=True))
        fp = sum(a != c and b == c for a, b in zip(y, p, strict=True))
        fn = sum(a == c and b != c for a, b in zip(y, p, strict=True))
        if tp + fp + fn == 0:
            continue
        precision = Fraction(tp, tp + fp) if tp + fp else Fraction(0)
        recall = Fraction(tp, tp + fn) if tp + fn else Fraction(0)
        f1 = 2 / (1 / precision + 1 / recall) if precision and recall else Fraction(0)
        rows.append((tp + fn, precision, recall, f1))
    weights = [Fraction(n, len(y)) if average == "weighted" else Fraction(1, len(rows)) for n, *_ in rows]
    return [float(sum(w * row[k] for w, row in zip(weights, rows, strict=True))) for k in (1, 2, 3)]


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_scores_follow_the_equations(average):
    y, p = _faces(n=150)
    p[p == 2] = 3  # a class never predicted
    got = metrics.scores(y, p, 7, average)
    assert [got["precision"], got["recall"], got["f1"]] == pytest.approx(_slow(y, p, 7, average), abs=1e-12)
    assert got["accuracy"] == pytest.approx(sum(y == p) / len(y))
    assert got["confusion"].sum() == len(y)
    assert got["confusion"][3, 3] == ((y == 3) & (p == 3)).sum()


@pytest.mark.parametrize("average", metrics.AVERAGES)
@pytest.mark.parametrize("classes", [2, 7])
def test_scores_agree_with_scikit_learn(average, classes):
    y, p = _faces(seed=classes, classes=classes)
    wanted = sklearn_metrics.precision_recall_fscore_support(y, p, average=average, zero_division=0)
    got = metrics.scores(y, p, classes, average)
    assert [got["precision"], got["recall"], got["f1"]] == pytest.approx(wanted[:3], abs=1e-12)
    assert (got["confusion"] == sklearn_metrics.confusion_matrix(y, p, labels=range(classes))).all()


def test_a_class_that_never_occurs_is_left_out_of_the_macro_average():
    y, p = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert metrics.scores(y, p, 7)["f1"] == pytest.approx(metrics.scores(y, p, 2)["f1"])


def test_many_matrices_at_once_are_each_as_alone():
    matrices = np.random.default_rng(1).integers(0, 9, (5, 3, 4, 4))
    for average in metrics.AVERAGES:
        together = metrics.measures(matrices, average)
        alone = metrics.scores_of(matrices[2, 1], average)
        assert {k: v[2, 1] for k, v in together.items()} == pytest.approx(alone)


@pytest.mark.parametrize("average", metrics.AVERAGES)
def test_no_f1_above_the_mean_of_precision_and_recall(average):
    matrices = np.random.default_rng(2).integers(0, 30, (2000, 7, 7)) ** 2
    found = metrics.measures(matrices, average)
    assert (found["f1"] <= (found["precision"] + found["recall"]) / 2 + 1e-12).all()


def test_one_against_rest_accuracy_is_eq_13_averaged_over_classes():
    y, p = _faces()
    each = [(((y == c) & (p == c)) | ((y != c) & (p != c))).mean() for c in range(7)]
    assert metrics.one_against_rest_accuracy((y == p).mean(), 7) == pytest.approx(np.mean(each))


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([0, 1], [0], "one length"),
        ([], [], "at least 1"),
        ([0, 7], [0, 1], r"labels: wanted classes 0\.\.6, got 0\.\.7"),
        ([0, 1], [0, -1], r"predictions: wanted classes 0\.\.6"),
        ([0, 1], [0.2, 0.8], "argmax"),
    ],
)
def test_bad_labels_say_what_is_wrong(y, p, message):
    with pytest.raises(ValueError, match=message):
        metrics.scores(y, p, 7)


def test_an_unknown_average_is_named():
    with pytest.raises(ValueError, match="Q15"):
        metrics.scores([0, 1], [0, 1], 2, average="event-based")


# -- sequences


def test_votes_against_a_loop():
    generator = np.random.default_rng(3)
    sequence = np.repeat(generator.permutation(60), 3)
    label = generator.integers(0, 7, 60)[sequence]
    predicted, confidence = generator.integers(0, 4, 180), generator.random(180)
    votes = metrics.sequence_vote(label, predicted, sequence, confidence, subjects=sequence // 3)
    assert sorted(votes.sequence) == list(range(60))
    for i, s in enumerate(votes.sequence):
        frames = np.flatnonzero(sequence == s)
        count = {c: (sum(predicted[frames] == c), confidence[frames][predicted[frames] == c].sum()) for c in range(7)}
        assert votes.predicted[i] == max(count, key=count.get)
        assert votes.label[i] == label[frames[0]]
        assert votes.subject[i] == s // 3


def test_votes_on_single_frames_are_the_frames():
    y, p = _faces(n=30)
    votes = metrics.sequence_vote(y, p, np.arange(30))
    assert (votes.predicted == p).all()
    assert (votes.label == y).all()


@pytest.mark.parametrize(
    ("sequence", "label", "ties", "message"),
    [
        ([1, -1], [0, 0], "confidence", "-1"),
        ([5, 5], [0, 1], "confidence", "sequence 5: wanted one label"),
        ([1, 2], [0, 0], "coin", "Q18"),
    ],
)
def test_votes_refuse_what_is_no_sequence(sequence, label, ties, message):
    with pytest.raises(ValueError, match=message):
        metrics.sequence_vote(label, [0, 0], sequence, ties=ties)


# -- bootstrap


def test_intervals_agree_with_scipy_bootstrap():
    y, p = _faces(n=300)
    ours = metrics.intervals(y, p, 7, resamples=4000)["accuracy"]
    theirs = stats.bootstrap(
        ((y == p).astype(float),), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.008)


def test_resampling_counts_has_the_spread_of_resampling_images():
    y, p = _faces(n=200)
    generator = np.random.default_rng(4)
    slow = []
    for _ in range(1500):
        i = generator.integers(0, len(y), len(y))
        slow.append(sklearn_metrics.f1_score(y[i], p[i], average="macro", zero_division=0))
    quick = metrics.bootstrap_measures(y, p, 7, resamples=1500)["f1"][:, 0]
    assert quick.mean() == pytest.approx(np.mean(slow), abs=0.004)
    assert quick.std() == pytest.approx(np.std(slow), rel=0.1)


def test_cluster_bootstrap_draws_whole_groups():
    y = np.repeat([0, 1], 50)
    p = y.copy()
    p[:10] = 1  # all errors are one person's
    groups = np.arange(100) // 10
    for chunk in metrics.bootstrap_confusions(y, p, 2, groups, resamples=200):
        assert (chunk.sum((2, 3)) == 100).all()
        assert (chunk[..., 0, 1] % 10 == 0).all()
    by_image, by_person = metrics.intervals(y, p, 2), metrics.intervals(y, p, 2, groups=groups)
    assert by_person["accuracy"][0] < by_image["accuracy"][0]


def test_groups_of_one_are_images():
    y, p = _faces(n=250)
    alone = metrics.intervals(y, p, 7, groups=np.arange(250))["recall"]
    assert alone == pytest.approx(metrics.intervals(y, p, 7)["recall"], abs=0.01)


def test_chunks_change_memory_not_results(monkeypatch):
    y, p = _faces(n=100)
    whole = metrics.bootstrap_measures(y, p, 7, resamples=300)
    monkeypatch.setattr(metrics, "CHUNK_BYTES", 20_000)
    pieces = list(metrics.bootstrap_confusions(y, p, 7, resamples=300))
    assert len(pieces) > 5
    assert max(len(piece) for piece in pieces) < 60
    again = metrics.bootstrap_measures(y, p, 7, resamples=300)
    assert again["f1"] == pytest.approx(whole["f1"])


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    generator = np.random.default_rng(5)
    hits = 0
    for k in range(200):
        y = generator.integers(0, 3, 150)
        p = np.where(generator.random(150) < 0.7, y, (y + 1) % 3)
        low, high = metrics.intervals(y, p, 3, resamples=300, seed=k)["accuracy"]
        hits += low <= 0.7 <= high
    assert 176 <= hits <= 200


def test_runs_that_differ_widen_the_interval():
    y, p = _faces(n=500)
    q = np.where(np.random.default_rng(6).random(500) < 0.5, y, p)
    same = metrics.intervals(y, np.stack([p, p, p]), 7)["accuracy"]
    differing = metrics.intervals(y, np.stack([p, q, p]), 7)["accuracy"]
    assert differing[1] - differing[0] > 1.5 * (same[1] - same[0])


def test_over_runs_alone_the_interval_is_about_students():
    """Runs that are right on their own share of images each: nothing is left but the spread over runs."""
    rates = np.array([0.58, 0.60, 0.61])
    drawn = np.tile(rates, (20_000, 1))
    low, high = metrics.interval_of(drawn)
    student = metrics.spread(rates)
    assert (low + high) / 2 == pytest.approx(rates.mean(), abs=0.002)
    assert high - low == pytest.approx(student["high"] - student["low"], rel=0.05)
    assert metrics.interval_of(drawn[:, :1]) == (0.58, 0.58)  # a single run says nothing of others


def test_runs_resampled_give_too_narrow_an_interval():
    """Three drawn from three: their mean's standard deviation is sqrt(2/3) of the standard error, and no t."""
    rates = np.array([0.58, 0.60, 0.61])
    drawn = np.tile(rates, (20_000, 1))
    low, high = metrics.interval_of(drawn, spread="resampled")
    assert (low, high) == pytest.approx((0.58, 0.61), abs=0.001)  # all three the lowest, or the highest: 1 in 27 each
    a, b = (metrics.drawn_difference(drawn, 0 * drawn, spread=s) for s in metrics.SPREADS)
    assert b.std() == pytest.approx(np.sqrt(2 / 3) * rates.std(ddof=1) / np.sqrt(3), rel=0.02)
    assert a.std() > 1.5 * b.std()
    with pytest.raises(ValueError, match="spread: wanted one of"):
        metrics.interval_of(drawn, spread="normal")


def test_intervals_of_three_runs_cover_the_mean_of_all_runs():
    """Images and runs are both a sample: the interval holds the mean over all of either about as often as it says."""
    generator = np.random.default_rng(11)
    hits = 0
    for k in range(200):
        y = np.zeros(400, int)
        rates = 0.7 + generator.normal(0, 0.02, 3)  # another training, another rate
        p = (generator.random((3, 400)) >= rates[:, None]).astype(int)
        low, high = metrics.intervals(y, p, 2, resamples=300, seed=k)["accuracy"]
        hits += low <= 0.7 <= high
    assert 184 <= hits <= 200


def test_paired_differences():
    y, a = _faces(n=800, accuracy=0.6)
    b = np.where(np.random.default_rng(7).random(800) < 0.3, y, a)  # better on the same images
    found = metrics.paired_differences(y, a, b, 7)
    for name, difference in found.items():
        assert difference.estimate == pytest.approx(metrics.scores(y, b, 7)[name] - metrics.scores(y, a, 7)[name])
        assert 0 < difference.low < difference.estimate < difference.high
        assert difference.p < 0.01
    back = metrics.paired_differences(y, b, a, 7)["f1"]
    assert back.estimate == pytest.approx(-found["f1"].estimate)
    assert metrics.paired_differences(y, a, a, 7)["f1"].p == 1.0


def test_the_p_value_of_accuracy_is_the_larger_one_or_that_of_whole_groups():
    y, a = np.zeros(300, int), np.zeros(300, int)
    b = a.copy()
    a[:12] = 1  # twelve that b alone recognises, all of one person
    found = metrics.accuracy_difference(y, a, b, 2)
    drawn = metrics.paired_differences(y, a, b, 2)["accuracy"]
    assert (found.estimate, found.low, found.high) == (drawn.estimate, drawn.low, drawn.high)
    assert found.p == max(drawn.p, metrics.mcnemar(y, a, b)) < 0.01
    people = np.arange(300) // 12
    grouped = metrics.accuracy_difference(y, a, b, 2, people)
    assert grouped == metrics.paired_differences(y, a, b, 2, people)["accuracy"]
    assert grouped.p > 0.3  # that person is not among those drawn in (24/25)^25, about a third, of all draws
    few = np.zeros(300, int)
    few[:6] = 1
    assert metrics.accuracy_difference(y, few, b, 2).p == metrics.mcnemar(y, few, b)  # 1/32: here the larger one


def test_students_test_says_nothing_without_a_spread():
    assert metrics.student([1.0, 2.0, 4.0]) == pytest.approx(stats.ttest_1samp([1.0, 2.0, 4.0], 0).pvalue)
    assert metrics.student([0, 0, 0]) == 1.0
    assert np.isnan(metrics.student([2])) and np.isnan(metrics.student([2, 2, 2]))
    for at in (1, 100):  # a gain of seven images of 630 with each of three seeds, as a share or in percent
        gains = [at * (k + 7) / 630 - at * k / 630 for k in (400, 411, 433)]
        assert len(set(gains)) > 1 and np.isnan(metrics.student(gains))
    assert metrics.student([0.1 + 0.2 - 0.3, 0, 0]) == 1.0


def test_paired_interval_is_narrower_than_an_unpaired_one():
    y, a = _faces(n=800)
    b = np.where(np.random.default_rng(8).random(800) < 0.1, y, a)
    paired = metrics.paired_differences(y, a, b, 7)["accuracy"]
    unpaired = [np.diff(metrics.intervals(y, p, 7)["accuracy"])[0] for p in (a, b)]
    assert paired.high - paired.low < min(unpaired)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"confidence": 95.0}, "between 0 and 1"),
        ({"resamples": 0}, "at least 1"),
        ({"groups": [0, 1]}, "groups: wanted one for each of 400"),
    ],
)
def test_bad_bootstraps_say_what_is_wrong(keywords, message):
    y, p = _faces()
    with pytest.raises(ValueError, match=message):
        metrics.intervals(y, p, 7, **keywords)


# -- tests, corrections, effects


def test_mcnemar_is_a_binomial_test_of_the_discordant_images():
    y = np.zeros(60, dtype=int)
    a, b = y.copy(), y.copy()
    a[:12] = 1  # b alone recognises 12
    b[12:15] = 1  # a alone recognises 3
    tail = sum(comb(15, k) for k in range(4)) / 2**15
    assert metrics.discordance(y, a, b) == (3, 12)
    assert metrics.mcnemar(y, a, b) == pytest.approx(2 * tail)
    assert metrics.mcnemar(y, b, a) == pytest.approx(2 * tail)
    assert metrics.mcnemar(y, a, b, exact_below=1) == pytest.approx(stats.chi2.sf((9 - 1) ** 2 / 15, 1))
    assert metrics.mcnemar(y, a, a) == 1.0


def test_several_seeds_count_as_twice_their_mean():
    y, a = _faces()
    b = np.where(np.random.default_rng(9).random(400) < 0.05, y, a)
    each = metrics.mcnemar(y, a, b)
    assert metrics.mcnemar_over_seeds(y, a, b) == pytest.approx(each)
    assert metrics.mcnemar_over_seeds(y, [a, a, a], [b, b, b]) == pytest.approx(2 * each)
    with pytest.raises(ValueError, match="as many runs"):
        metrics.mcnemar_over_seeds(y, [a, a], [b])


def test_holm_against_its_definition():
    p = np.array([0.01, 0.04, 0.03, 0.005])
    order = np.argsort(p)
    slow, highest = np.empty(4), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (4 - rank) * p[i]))
        slow[i] = highest
    assert metrics.holm(p) == pytest.approx(slow)
    assert metrics.holm([]).size == 0
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        metrics.holm([0.5, 1.5])


def test_effect_sizes():
    y = np.zeros(100, dtype=int)
    a, b = y.copy(), y.copy()
    a[:12] = 1
    b[12:15] = 1
    found = metrics.effect_size(y, a, b)
    assert found == pytest.approx({"difference": 0.09, "cohens_g": 0.3, "odds_ratio": 4.0})
    assert metrics.effect_size(y, a, y)["odds_ratio"] == float("inf")
    assert metrics.effect_size(y, y, y)["cohens_g"] == 0.0
    with pytest.raises(ValueError, match="one length"):
        metrics.effect_size(y, a, b[:5])


def test_spread_over_seeds():
    found = metrics.spread([0.70, 0.72, 0.71])
    reference = stats.t.interval(0.95, 2, loc=0.71, scale=0.01 / np.sqrt(3))
    assert (found["low"], found["high"]) == pytest.approx(reference)
    assert found["sd"] == pytest.approx(0.01)
    assert np.isnan(metrics.spread([0.7])["low"])
    with pytest.raises(ValueError, match="one number a run"):
        metrics.spread([])


def test_the_exact_test_of_an_order_is_scipys():
    for order in ([1, 2, 3, 4], [2, 1, 3, 4], [4, 2, 3, 1], [1, 2, 3, 4, 5], [3, 1, 2, 5, 4]):
        found = stats.kendalltau(range(len(order)), order, method="exact")
        assert metrics.rank_test(range(len(order)), order) == pytest.approx(found.pvalue)
    with pytest.raises(ValueError, match="2 to 8"):
        metrics.rank_test(range(12), range(12))


def test_an_order_with_level_methods_is_tested_among_orders_that_have_them():
    theirs, ours = [4, 1, 2, 3], [7, 5, 6, 7]
    assert metrics.rank_agreement(theirs, ours) == pytest.approx(5 / 6)
    # of the twelve orders with the first two level, only the same one and its reverse agree or disagree as much
    taus = {order: metrics.rank_agreement(theirs, list(order)) for order in set(permutations(ours))}
    assert len(taus) == 12 and sum(abs(tau) > 0.8 for tau in taus.values()) == 2
    assert metrics.rank_test(theirs, ours) == pytest.approx(2 / 12)
    assert metrics.rank_test(theirs, [5, 5, 5, 5]) == 1.0


def test_rank_agreement():
    assert metrics.rank_agreement([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1)
    assert metrics.rank_agreement([1, 2, 3, 4], [10, 20, 40, 30]) == pytest.approx((5 - 1) / 6)
    many = metrics.rank_agreement([1, 2, 3], [[1, 2, 3], [3, 2, 1], [5, 5, 6]])
    assert many == pytest.approx(np.array([1, -1, 2 / 3]))
    for bad in (([1], [1]), ([1, 2], [1, 2, 3])):
        with pytest.raises(ValueError, match="two or more"):
            metrics.rank_agreement(*bad)


def test_the_two_sided_p_value_counts_the_nearer_side_twice_and_one_more():
    x = np.array([-1.0] * 3 + [1.0] * 96)
    assert metrics.two_sided(x) == metrics.two_sided(-x) == pytest.approx(2 * (3 + 1) / (99 + 1))
    assert metrics.two_sided(np.ones(99)) == pytest.approx(0.02)  # never 0
    assert metrics.two_sided(np.zeros(99)) == 1


def test_the_seeds_of_two_methods_are_moved_apart():
    """Variances add: did both move alike, runs that scatter would seem to differ by a sure amount."""
    drawn = np.tile([0.58, 0.60, 0.61], (20_000, 1))
    alone = metrics.drawn_difference(0 * drawn, drawn).std()
    assert metrics.drawn_difference(drawn, drawn).std() == pytest.approx(np.sqrt(2) * alone, rel=0.05)


def test_methods_with_unequal_numbers_of_runs_are_compared():
    y, a = _faces(n=800)
    b = np.where(np.random.default_rng(7).random(800) < 0.3, y, a)
    for one, other, sign in (([a, a, a], [b, b], 1), ([b, b], [a, a, a], -1)):
        found = metrics.paired_differences(y, one, other, 7)["accuracy"]
        assert found.estimate == pytest.approx(sign * ((b == y).mean() - (a == y).mean()))
        assert (found.low + found.high) / 2 == pytest.approx(found.estimate, abs=0.01)
        assert found.high - found.low < 0.1


def test_less_confidence_is_a_narrower_interval():
    y, p = _faces()
    wide, narrow = (metrics.intervals(y, p, 7, confidence=c)["accuracy"] for c in (0.95, 0.5))
    ratio = (narrow[1] - narrow[0]) / (wide[1] - wide[0])
    assert ratio == pytest.approx(0.6745 / 1.96, rel=0.15)  # of the normal distribution


def test_a_p_value_over_seeds_is_at_most_one():
    y, a = _faces()
    assert metrics.mcnemar_over_seeds(y, [a, a], [a, a]) == 1.0


def test_a_vote_without_persons_names_none():
    y, p = _faces(n=30)
    assert (metrics.sequence_vote(y, p, np.arange(30)).subject == -1).all()
