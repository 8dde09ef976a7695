"""The verdict as tables and sentences, for the page, Markdown and the terminal."""

from collections.abc import Sequence

from unfreeze.evaluation.metric_registry import Metric, list_metrics
from unfreeze.figures.formats import (
    format_count,
    format_decimal,
    format_digits,
    format_interval,
    format_percent,
    format_points,
    format_probability,
    format_rate,
    format_scaled,
    mark_baseline,
)
from unfreeze.figures.parts import Cell, Table
from unfreeze.records.interval import LEVEL, Interval
from unfreeze.records.pretrained_weights import RANDOM
from unfreeze.records.study_report import ReportedRow, ReportedVerdict, Suite
from unfreeze.records.verdict import Pair, Row, Verdict

# Most classes and slices listed, those with the lowest recall or accuracy; metrics/verdict.json holds all.
MOST_ROWS = 20


def tabulate_comparison(verdict: Verdict) -> Table:
    """Return the scores of all backbones with their intervals, best first."""
    rows: list[list[Cell | str]] = [
        [
            mark_baseline(row.backbone, verdict),
            describe_weights(row),
            row.unfreeze_from,
            format_interval(row.accuracy, format_percent),
            format_interval(row.gain, format_points),
            *(write_score(row, metric) for metric in list_other_metrics()),
        ]
        for row in verdict.rows
    ]
    titles = [metric.title for metric in list_other_metrics()]
    header = ["backbone", "weights", "unfrozen from", "accuracy", "gain, points", *titles]
    return Table(f"Scores on the test fold with {LEVEL} intervals, best accuracy first", header, rows, words=3)


def tabulate_results(verdict: Verdict) -> Table:
    """Return the comparison without measured times, so that the same results give the same table."""
    shown = [metric for metric in list_other_metrics() if metric.in_summary]
    rows: list[list[Cell | str]] = [
        [
            mark_baseline(row.backbone, verdict),
            describe_weights(row),
            row.unfreeze_from,
            format_interval(row.accuracy, format_percent),
            format_interval(row.gain, format_points),
            *(write_score(row, metric).text for metric in shown),
            format_count(row.cost.parameters),
            format_scaled(row.cost.multiply_accumulates),
        ]
        for row in verdict.rows
    ]
    header = [
        "backbone", "weights", "unfrozen from", "accuracy", "gain, points", *(metric.title for metric in shown),
        "parameters", "multiply-adds",
    ]  # fmt: skip
    return Table(f"Scores on the test fold with {LEVEL} intervals, best accuracy first", header, rows, words=3)


def tabulate_scores(row: Row) -> Table:
    """Return one backbone's scores with their intervals."""
    lines: list[list[Cell | str]] = [[metric.title, write_score(row, metric)] for metric in list_metrics()]
    lines.insert(1, ["gain over the baseline, points", format_interval(row.gain, format_points)])
    return Table(f"Scores with {LEVEL} intervals", ["score", "value"], lines)


def tabulate_settings(row: Row) -> Table:
    """Return how one backbone was trained."""
    by = "the search" if row.chosen_by == "search" else "params.yaml"
    lines: list[list[Cell | str]] = [
        ["weights", describe_weights(row)],
        ["unfrozen from", row.unfreeze_from],
        ["learning rate", format_rate(row.learning_rate)],
        ["chosen by", by],
    ]
    return Table("Settings", ["setting", "value"], lines, words=2)


def tabulate_costs(verdict: ReportedVerdict, rows: Sequence[ReportedRow] | None = None) -> Table:
    """Return what training and using the models costs.

    Args:
        verdict: How the backbones compare.
        rows: The backbones to show; None for all.
    """
    shown = verdict.rows if rows is None else rows
    batches = sorted({batch for row in shown for batch in row.cost.latency_ms}, key=int)
    lines = [
        [
            row.backbone,
            row.cost.engine,
            format_count(row.cost.parameters),
            format_count(row.cost.trainable_parameters),
            format_scaled(row.cost.multiply_accumulates),
            format_digits(row.cost.size_mb),
            *(format_digits(row.cost.compute_milliseconds_per_image(batch)) for batch in batches),
            format_digits(row.cost.training_seconds),
        ]
        for row in shown
    ]
    at = [f"ms an image, batch {batch}" for batch in batches]
    header = ["backbone", "engine", "parameters", "trained", "multiply-adds", "MB", *at, "training, s"]
    return Table("Cost", header, lines, words=2)


def tabulate_pairs(verdict: Verdict) -> Table:
    """Return the difference of every two backbones, and whether it is significant."""
    rows: list[list[Cell | str]] = [
        [
            f"{pair.first} and {pair.second}",
            describe_pair(pair),
            format_interval(pair.difference, format_points),
            format_count(pair.only_first),
            format_count(pair.only_second),
            format_probability(pair.p_value),
            format_probability(pair.adjusted_p_value),
        ]
        for pair in verdict.pairs
    ]
    header = [
        "pair", "result", "difference, points", "only the first correct", "only the second correct", "p, McNemar",
        "p, adjusted",
    ]  # fmt: skip
    return Table(f"Pairs: accuracy of the first minus that of the second, {LEVEL} intervals", header, rows, words=2)


def describe_pair(pair: Pair) -> str:
    """Return the result of a pair's test in words."""
    if not pair.significant:
        return "no significant difference"
    return f"{pair.first if pair.only_first > pair.only_second else pair.second} is better"


def describe_smallest_difference(verdict: Verdict) -> str:
    """Return the smallest difference of accuracy that this test fold can show, as a sentence."""
    if verdict.smallest_difference >= 1:
        return f"With {verdict.test_images:,} test images no difference can be shown."
    return (
        f"With {verdict.test_images:,} test images a difference of "
        f"{100 * verdict.smallest_difference:.1f} points is detected with 80 % power; smaller ones may be missed."
    )


def tabulate_classes(row: Row) -> Table:
    """Return precision, recall and F1 of the classes with the lowest recall, and their averages."""
    ranked = sorted(row.classes.items(), key=lambda item: _put_missing_last(item[1].recall))
    shown = ranked[:MOST_ROWS]
    lines: list[list[Cell | str]] = [
        [
            name,
            *(format_interval(getattr(of_class, score), format_percent) for score in PER_CLASS),
            format_count(of_class.support),
        ]
        for name, of_class in shown
    ]
    lines += [
        [f"{kind} average", *(format_percent(getattr(row.averages[kind], score)) for score in PER_CLASS), ""]
        for kind in ("macro", "weighted")
    ]
    few = f": the {len(shown)} of {len(ranked)} with the lowest recall" if len(ranked) > len(shown) else ""
    return Table(f"Classes{few}, lowest recall first", ["class", *PER_CLASS, "images"], lines)


def tabulate_confusions(row: Row) -> Table:
    """Return the pairs of classes that the model confuses most."""
    lines = [
        [pair.label, pair.predicted, format_count(pair.images), format_percent(pair.share)] for pair in row.confused
    ]
    return Table("Most confused", ["true", "predicted", "images", "share of the class"], lines, words=2)


def tabulate_slices(row: Row) -> Table:
    """Return the accuracy on parts of the test fold, those that differ significantly first."""
    ranked = sorted(row.slices, key=lambda part: (not part.stands_out, part.accuracy.value))
    shown = ranked[:MOST_ROWS]
    lines = [
        [
            f"{part.column} = {part.slice}",
            "differs" if part.stands_out else "",
            format_count(part.images),
            format_interval(part.accuracy, format_percent),
            format_percent(part.rest),
        ]
        for part in shown
    ]
    few = f", the first {len(shown)} of {len(ranked)}" if len(ranked) > len(shown) else ""
    return Table(f"Slices{few}", ["slice", "", "images", "accuracy", "accuracy elsewhere"], lines, words=2)


def tabulate_calibration(row: Row) -> Table:
    """Return the errors of the saved model's probabilities, and those without its temperature."""
    of = row.calibration
    lines = [
        ["calibration error", format_decimal(of.uncalibrated_error), format_decimal(of.calibration_error)],
        ["log-loss", format_decimal(of.uncalibrated_log_loss), format_decimal(of.log_loss)],
    ]
    saved = f"with temperature {format_digits(of.temperature)}, as saved"
    return Table("Calibration", ["error", "without temperature", saved], lines)


def tabulate_abstention(row: Row) -> Table:
    """Return which answers on the test fold the packed model's thresholds accept, and how many of these are wrong."""
    of = row.abstention
    lines: list[list[Cell | str]] = [
        ["least probability of an accepted answer", format_percent(of.lowest) if of.lowest <= 1 else "none accepted"],
        ["accepted", format_percent(of.accepted)],
        ["wrong among the accepted", Cell(format_percent(of.error), f"asked for: {format_percent(of.error_rate)}")],
        ["rejected as unsure", format_percent(of.unsure)],
        ["rejected as unlike training", format_percent(of.unlike)],
        ["area under risk against coverage", format_decimal(of.risk_area)],
    ]
    return Table("Accepted answers on the test fold", ["", "value"], lines)


def tabulate_unlike_images(row: Row) -> Table:
    """Return how well images that are unlike the training images are rejected."""
    lines = [
        [of.kind, format_count(of.images), format_decimal(of.auroc), format_percent(of.rejected)]
        for of in row.abstention.unlike_images
    ]
    return Table("Images unlike the training images", ["images of", "images", "AUROC", "rejected"], lines)


def tabulate_all_abstentions(verdict: Verdict) -> Table:
    """Return what the thresholds of each backbone's packed model accept and reject, in a line each."""
    kinds = [of.kind for of in verdict.rows[0].abstention.unlike_images]
    lines = [
        [
            row.backbone,
            format_percent(row.abstention.accepted),
            format_percent(row.abstention.error),
            format_decimal(row.abstention.risk_area),
            format_percent(row.abstention.unlike),
            *(format_percent(of.rejected) for of in row.abstention.unlike_images),
        ]
        for row in verdict.rows
    ]
    header = ["backbone", "accepted", "wrong among them", "risk area", "test images called unlike", *kinds]
    return Table("Accepted answers on the test fold, and images that are rejected as unlike training", header, lines)


def describe_seeds(row: Row) -> str:
    """Return how the accuracy varies with the seed, as a sentence; empty where there was one seed."""
    of = row.seeds
    if of is None:
        return ""
    return (
        f"Trained with {len(of.seeds)} seeds ({', '.join(map(str, of.seeds))}): accuracy "
        f"{format_percent(of.mean)} on average, from {format_percent(of.lowest)} to {format_percent(of.highest)}, "
        f"standard deviation {100 * of.deviation:.1f} points."
    )


def describe_sample(row: Row) -> str:
    """Return which results rest on a sample of the images, as a sentence; empty where none does."""
    of = row.feature_sample
    if of is None:
        return ""
    return (
        f"Computed from a sample of {format_count(of.images)} of the {format_count(of.of)} training and validation "
        "images, whole groups drawn with the study's seed: the learning curve, the checks of features, the most "
        "similar training images and, for the first backbone of the study, the suspect labels."
    )


def tabulate_checks(suites: Sequence[Suite]) -> Table:
    """Return the result of each suite of data checks, and what failed."""
    lines = []
    for suite in suites:
        failed = ", ".join(f"{rule.subject} ({rule.level}, {format_count(rule.unexpected)})" for rule in suite.failed)
        lines.append(
            [
                suite.suite,
                "passed" if suite.success else "FAILED",
                failed or "none",
                format_count(suite.rows),
                format_count(len(suite.expectations)),
            ]
        )
    header = ["suite", "result", "failed (level, images)", "rows", "expectations"]
    return Table("Data checks", header, lines, words=3)


def describe_test_evaluations(verdict: ReportedVerdict) -> str:
    """Return how often this test fold was used, as a sentence or two."""
    use = verdict.test_evaluations
    if not use.earlier:
        return "First look at this test fold: no model of another study was evaluated on it before."
    return (
        f"{use.models} models were evaluated on this test fold, {use.earlier} of them before this study. "
        "A test fold that is used often turns into a validation fold."
    )


def describe_weights(row: Row) -> Cell:
    """Return where the weights come from, with a warning where they are random."""
    return Cell(row.weights, "does not measure transfer" if row.weights == RANDOM else "")


def _put_missing_last(score: Interval | None) -> tuple[bool, float]:
    return score is None, 0.0 if score is None else score.value


def list_other_metrics() -> list[Metric]:
    """Return all metrics except accuracy, which has a column of its own next to its gain."""
    return [metric for metric in list_metrics() if metric.name != "accuracy"]


def write_score(row: Row, metric: Metric) -> Cell:
    """Return a backbone's score with its interval; a dash where it has none by this metric."""
    return format_interval(
        row.scores.get(metric.name), format_percent if metric.unit == "percent" else format_decimal
    )


PER_CLASS = ("precision", "recall", "f1")
