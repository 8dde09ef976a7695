"""What the verdict tells, as tables."""

from collections.abc import Sequence

from unfreeze.evaluation.metric_registry import Metric, list_metrics
from unfreeze.figures.formats import (
    count,
    decimal,
    digits,
    percent,
    points,
    probability,
    rate,
    scaled,
    with_interval,
)
from unfreeze.figures.parts import Cell, Table
from unfreeze.records.interval import Interval
from unfreeze.records.pretrained_weights import RANDOM
from unfreeze.records.study_report import Suite
from unfreeze.records.verdict import Pair, Row, Verdict

# So many of the classes and slices that do worst are listed; report.json holds all.
MOST_ROWS = 20


def comparison(verdict: Verdict) -> Table:
    """Return the scores of all backbones with their intervals, best first."""
    rows: list[list[Cell | str]] = [
        [
            name_of(row, verdict),
            weights_of(row),
            row.unfreeze_from,
            with_interval(row.accuracy, percent),
            with_interval(row.gain, points),
            *(write_score(row, metric) for metric in other_metrics()),
        ]
        for row in verdict.rows
    ]
    titles = [metric.title for metric in other_metrics()]
    header = ["backbone", "weights", "unfrozen from", "accuracy", "gain, points", *titles]
    return Table("Scores on the test fold with 95 % intervals, best accuracy first", header, rows, words=3)


def lasting(verdict: Verdict) -> Table:
    """Return the comparison without what changes from run to run, such as times."""
    shown = [metric for metric in other_metrics() if metric.in_summary]
    rows: list[list[Cell | str]] = [
        [
            name_of(row, verdict),
            weights_of(row),
            row.unfreeze_from,
            with_interval(row.accuracy, percent),
            with_interval(row.gain, points),
            *(write_score(row, metric).text for metric in shown),
            count(row.cost.parameters),
            scaled(row.cost.multiply_accumulates),
        ]
        for row in verdict.rows
    ]
    header = [
        "backbone", "weights", "unfrozen from", "accuracy", "gain, points", *(metric.title for metric in shown),
        "parameters", "multiply-adds",
    ]  # fmt: skip
    return Table("Scores on the test fold with 95 % intervals, best accuracy first", header, rows, words=3)


def scores(row: Row) -> Table:
    """Return one backbone's scores with their intervals."""
    lines: list[list[Cell | str]] = [[metric.title, write_score(row, metric)] for metric in list_metrics()]
    lines.insert(1, ["gain over the baseline, points", with_interval(row.gain, points)])
    return Table("Scores with 95 % intervals", ["score", "value"], lines)


def settings(row: Row) -> Table:
    """Return how one backbone was trained."""
    by = "the search" if row.chosen_by == "search" else "params.yaml"
    lines: list[list[Cell | str]] = [
        ["weights", weights_of(row)],
        ["unfrozen from", row.unfreeze_from],
        ["learning rate", rate(row.learning_rate)],
        ["chosen by", by],
    ]
    return Table("Settings", ["setting", "value"], lines, words=2)


def cost(verdict: Verdict, rows: Sequence[Row] | None = None) -> Table:
    """Return what training and using the models costs; all of them, or those given."""
    shown = verdict.rows if rows is None else rows
    batches = sorted({batch for row in shown for batch in row.cost.latency_ms}, key=int)
    lines = [
        [
            row.backbone,
            row.cost.engine,
            count(row.cost.parameters),
            count(row.cost.trainable_parameters),
            scaled(row.cost.multiply_accumulates),
            digits(row.cost.size_mb),
            *(digits(milliseconds(row, batch)) for batch in batches),
            digits(row.cost.training_seconds),
        ]
        for row in shown
    ]
    at = [f"ms an image, batch {batch}" for batch in batches]
    header = ["backbone", "engine", "parameters", "trained", "multiply-adds", "MB", *at, "training, s"]
    return Table("Cost", header, lines, words=2)


def milliseconds(row: Row, batch: str) -> float | None:
    """Return the milliseconds that one image takes in a batch of that many."""
    taken = row.cost.latency_ms.get(batch)
    return None if taken is None else taken / int(batch)


def pairs(verdict: Verdict) -> Table:
    """Return each two backbones' difference, and whether it is more than chance."""
    rows: list[list[Cell | str]] = [
        [
            f"{pair.first} and {pair.second}",
            in_words(pair),
            with_interval(pair.difference, points),
            count(pair.only_first),
            count(pair.only_second),
            probability(pair.p_value),
            probability(pair.adjusted_p_value),
        ]
        for pair in verdict.pairs
    ]
    header = [
        "pair", "what it says", "difference, points", "only the first right", "only the second right", "p, McNemar",
        "p, adjusted",
    ]  # fmt: skip
    return Table("Pairs: accuracy of the first minus that of the second, 95 % intervals", header, rows, words=2)


def in_words(pair: Pair) -> str:
    """Return what the test of a pair says."""
    if not pair.significant:
        return "no difference shown"
    return f"{pair.first if pair.only_first > pair.only_second else pair.second} is better"


def smallest_difference(verdict: Verdict) -> str:
    """Return the smallest difference that this test fold can show, as a sentence."""
    if verdict.smallest_difference >= 1:
        return f"With {verdict.test_images:,} test images no difference can be shown."
    return (
        f"With {verdict.test_images:,} test images a difference of "
        f"{100 * verdict.smallest_difference:.1f} points is found four times in five (80 % power); "
        "a smaller one can stay unseen."
    )


def classes(row: Row) -> Table:
    """Return precision, recall and F1 of the classes with the lowest recall, and their averages."""
    ranked = sorted(row.classes.items(), key=lambda item: _missing_last(item[1].recall))
    shown = ranked[:MOST_ROWS]
    lines: list[list[Cell | str]] = [
        [name, *(with_interval(getattr(of_class, score), percent) for score in PER_CLASS), count(of_class.support)]
        for name, of_class in shown
    ]
    lines += [
        [f"{kind} average", *(percent(getattr(row.averages[kind], score)) for score in PER_CLASS), ""]
        for kind in ("macro", "weighted")
    ]
    few = f": the {len(shown)} of {len(ranked)} with the lowest recall" if len(ranked) > len(shown) else ""
    return Table(f"Classes{few}, lowest recall first", ["class", *PER_CLASS, "images"], lines)


def confused(row: Row) -> Table:
    """Return the pairs of classes that are confused most."""
    lines = [[pair.label, pair.predicted, count(pair.images), percent(pair.share)] for pair in row.confused]
    return Table("Most confused", ["is", "says", "images", "share of the class"], lines, words=2)


def slices(row: Row) -> Table:
    """Return the accuracy on parts of the test fold, those that stand out first."""
    ranked = sorted(row.slices, key=lambda part: (not part.stands_out, part.accuracy.value))
    shown = ranked[:MOST_ROWS]
    lines = [
        [
            f"{part.column} = {part.slice}",
            "stands out" if part.stands_out else "",
            count(part.images),
            with_interval(part.accuracy, percent),
            percent(part.rest),
        ]
        for part in shown
    ]
    few = f", the first {len(shown)} of {len(ranked)}" if len(ranked) > len(shown) else ""
    return Table(f"Slices{few}", ["slice", "", "images", "accuracy", "accuracy elsewhere"], lines, words=2)


def calibration(row: Row) -> Table:
    """Return the errors of the probabilities before and after a temperature was fitted."""
    of = row.calibration
    lines = [
        ["calibration error", decimal(of.calibration_error), decimal(of.calibrated_error)],
        ["log-loss", decimal(of.log_loss), decimal(of.calibrated_log_loss)],
    ]
    divided = f"after dividing by temperature {digits(of.temperature)}"
    return Table("Calibration", ["error", "as trained", divided], lines)


def seeds(row: Row) -> str:
    """Return how far the accuracy moves with the seed, as a sentence; nothing where there was one seed."""
    of = row.seeds
    if of is None:
        return ""
    return (
        f"Trained with {len(of.seeds)} seeds ({', '.join(map(str, of.seeds))}): accuracy "
        f"{percent(of.mean)} on average, from {percent(of.lowest)} to {percent(of.highest)}, "
        f"standard deviation {100 * of.deviation:.1f} points."
    )


def checks(suites: Sequence[Suite]) -> Table:
    """Return what the checks of data expected and what failed."""
    lines = []
    for suite in suites:
        told = ", ".join(f"{rule.subject} ({rule.level}, {count(rule.unexpected)})" for rule in suite.failed)
        lines.append(
            [
                suite.suite,
                "passed" if suite.success else "FAILED",
                told or "nothing",
                count(suite.rows),
                count(len(suite.expectations)),
            ]
        )
    header = ["suite", "result", "not as expected (level, how many)", "rows", "expectations"]
    return Table("Data checks", header, lines, words=3)


def looks(verdict: Verdict) -> str:
    """Return how often this test fold was looked at, as a sentence."""
    of = verdict.looks
    models = f"{of.models} model{'' if of.models == 1 else 's'}"
    return (
        f"This is look {of.this} at this test fold, each scoring of a model counted, by {models}. "
        "A test fold that is looked at often turns into a validation fold."
    )


def name_of(row: Row, verdict: Verdict) -> str:
    """Return a backbone's name, marked where it is the baseline."""
    return f"{row.backbone} (baseline)" if row.backbone == verdict.study.baseline else row.backbone


def weights_of(row: Row) -> Cell:
    """Return where the weights come from, and what weights from nowhere mean."""
    return Cell(row.weights, "no measure of transfer" if row.weights == RANDOM else "")


def _missing_last(score: Interval | None) -> tuple[bool, float]:
    return score is None, 0.0 if score is None else score.value


def other_metrics() -> list[Metric]:
    """Return the metrics beside accuracy, which has a column of its own with the gain next to it."""
    return [metric for metric in list_metrics() if metric.name != "accuracy"]


def write_score(row: Row, metric: Metric) -> Cell:
    """Return a backbone's score with its interval; a dash where it has none by this metric."""
    return with_interval(row.scores.get(metric.name), percent if metric.unit == "percent" else decimal)


PER_CLASS = ("precision", "recall", "f1")
