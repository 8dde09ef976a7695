"""Diagnosis: what is wrong with a backbone's result, the likely cause of it, and what to do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from unfreeze.checks.catalogue import EXPLANATIONS
from unfreeze.checks.rules import SCALING_TOLERANCE
from unfreeze.paths import Paths
from unfreeze.records.finding import Finding
from unfreeze.records.interval import Interval
from unfreeze.records.pretrained_weights import RANDOM, PretrainedWeights
from unfreeze.records.selftest import SelfTest
from unfreeze.records.test_scores import Evaluation
from unfreeze.settings.checks import CheckSettings

# Minimum relative change of the training loss that counts as a decrease (or as movement).
LEAST_MOVE = 0.05
# Training accuracy from which the training images are learnt, and the largest gap to validation accuracy then.
LEARNT = 0.9
MOST_GAP = 0.15
# Loss of validation accuracy during fine-tuning that counts as forgetting.
MOST_LOSS = 0.02
# Part of the way from chance to certainty that the recalls' mean has gone where a model tells classes apart.
LEAST_SKILL = 0.25
# What sets the length of each phase of the history.
EPOCHS = {"head": "train.head.epochs", "fine-tuning": "train.finetune.epochs, or study.minutes where that ended them"}
# What sets the rate of each phase of the history.
RATES = {
    "head": "train.head.learning_rate",
    "fine-tuning": "train.finetune.learning_rate and search.learning_rate",
}


class Cause(NamedTuple):
    """Why a result is poor, and what to do about it."""

    cause: str
    remedy: str


NONE_FOUND = Cause(
    "no cause found",
    "look at the mistakes and the learning curve in reports/index.html, and at the labels in reports/suspects.html",
)


@dataclass(frozen=True)
class Evidence:
    """What the stages have found out about a backbone.

    Args:
        selftest: What it is fed, and what its features tell.
        weights: Where its weights come from.
        history: One row an epoch: `phase`, `loss`, `accuracy` and `val_accuracy`.
        evaluation: Scores on the test fold.
        gain: Interval of the accuracy gained over the baseline; None where there is no other baseline.
        least_dimensions: Effective dimensions below which features are collapsed.
    """

    selftest: SelfTest
    weights: PretrainedWeights
    history: pd.DataFrame
    evaluation: Evaluation
    gain: Interval | None
    least_dimensions: float

    def split_phases(self) -> dict[str, pd.DataFrame]:
        """Return the epochs of each phase, in their order."""
        return {str(name): epochs for name, epochs in self.history.groupby("phase", sort=False)}


def read_records(paths: Paths, backbone: str) -> dict[str, Any]:
    """Return what the stages wrote of a backbone, as `diagnose_backbone` takes it."""
    return {
        "selftest": SelfTest.read(paths.selftest(backbone)),
        "weights": PretrainedWeights.read(paths.weights_record(backbone)),
        "history": pd.read_csv(paths.history(backbone)),
        "evaluation": Evaluation.read(paths.evaluation(backbone)),
    }


def diagnose_backbone(
    backbone: str,
    *,
    checks: CheckSettings,
    selftest: SelfTest,
    weights: PretrainedWeights,
    history: pd.DataFrame,
    evaluation: Evaluation,
    gain: Interval | None = None,
) -> list[Finding]:
    """Find what is wrong with a backbone's result, and why.

    Args:
        backbone: The backbone.
        checks: Settings of all checks in `SYMPTOMS`; a check that is off finds nothing.
        selftest: Content of metrics/selftest/<backbone>.json.
        weights: Content of metrics/pretrained/<backbone>.json.
        history: Content of plots/history/<backbone>.csv.
        evaluation: Content of metrics/evaluate/<backbone>.json.
        gain: Interval of the accuracy gained over the baseline; None where there is no other baseline.

    Returns:
        The findings; none for a sound backbone. On untrained weights they are warnings at most, since such a
        backbone is there for comparison.
    """
    least_dimensions = checks.get_threshold("collapsed_features")
    evidence = Evidence(selftest, weights, history, evaluation, gain, least_dimensions)
    findings = []
    for check, (symptom, causes) in SYMPTOMS.items():
        level = checks.get_level(check)
        what = symptom(evidence)
        if level == "off" or what is None:
            continue
        found = next(filter(None, (cause(evidence) for cause in causes)), NONE_FOUND)
        findings.append(
            Finding(
                backbone=backbone,
                check=check,
                level=level if weights.pretrained else "warning",
                what=what,
                cause=found.cause,
                remedy=found.remedy,
            )
        )
    return findings


def describe_scaling(evidence: Evidence) -> str | None:
    """Tell if pixels do not reach the backbone as it was trained on them."""
    error = evidence.selftest.scaling_error
    if error <= SCALING_TOLERANCE:
        return None
    return f"{EXPLANATIONS['pixel_scaling'].title}: off by up to {error:.0%} of the range it was trained on"


def describe_collapse(evidence: Evidence) -> str | None:
    """Tell if the features have hardly a direction."""
    dimensions = evidence.selftest.effective_dimensions
    if dimensions is None or dimensions >= evidence.least_dimensions:
        return None
    return f"{EXPLANATIONS['collapsed_features'].title}: {dimensions:.1f} effective dimensions"


def describe_no_information(evidence: Evidence) -> str | None:
    """Tell if a probe on the features is no better than the largest class."""
    probe = evidence.selftest.probe
    if probe is None or probe.low > probe.majority:
        return None
    return (
        f"{EXPLANATIONS['uninformative_features'].title}: a probe is right on {_format_percent(probe.low)} to "
        f"{_format_percent(probe.high)}, the largest class on {_format_percent(probe.majority)}"
    )


def describe_one_class(evidence: Evidence) -> str | None:
    """Tell if one class is predicted for every image."""
    predicted = np.flatnonzero(np.sum(evidence.evaluation.confusion, axis=0))
    if len(predicted) > 1:
        return None
    return f"{EXPLANATIONS['one_class'].title}: {list(evidence.evaluation.classes)[predicted[0]]}"


def describe_below_majority(evidence: Evidence) -> str | None:
    """Tell if always naming the largest class would score higher."""
    accuracy, majority = evidence.evaluation.accuracy, evidence.evaluation.majority
    if accuracy >= majority:
        return None
    return f"{EXPLANATIONS['below_majority'].title}: {_format_percent(accuracy)} against {_format_percent(majority)}"


def describe_no_gain(evidence: Evidence) -> str | None:
    """Tell if nothing is surely gained over the baseline."""
    gain = evidence.gain
    if gain is None or gain.low > 0:
        return None
    value, low, high = (f"{100 * share:+.1f}" for share in (gain.value, gain.low, gain.high))
    return f"{EXPLANATIONS['no_gain'].title}: {value} points ({low} to {high})"


def blame_scaling(evidence: Evidence) -> Cause | None:
    """Features of wrongly scaled pixels are of little use."""
    if describe_scaling(evidence) is None:
        return None
    fed, _, remedy = evidence.selftest.fed.rpartition(": ")
    return Cause(fed, remedy)


def blame_random_weights(evidence: Evidence) -> Cause | None:
    """Weights that were learnt nowhere have nothing to transfer."""
    if evidence.weights.source != RANDOM:
        return None
    return Cause("its weights are random: nothing was learnt before", "set weights to imagenet, a file or a wheel")


def blame_collapse(evidence: Evidence) -> Cause | None:
    """A head cannot tell apart what the frozen layers do not."""
    what = describe_collapse(evidence)
    return Cause(what, "check the file that weights names, or unfreeze more by unfreeze.point") if what else None


def blame_high_rate(evidence: Evidence) -> Cause | None:
    """Steps that are too long lead up, or to and fro."""
    if _has_learnt(evidence):
        return None
    for phase, epochs in evidence.split_phases().items():
        moved = describe_trend(epochs["loss"])
        if moved not in ("fell", "stayed flat"):
            return Cause(
                f"the training loss {moved} ({phase}): the learning rate is too high", f"lower {RATES[phase]}"
            )
    return None


def blame_low_rate(evidence: Evidence) -> Cause | None:
    """Steps that are too short lead nowhere."""
    if _has_learnt(evidence):
        return None
    # A head that has learnt leaves fine-tuning little to do: the rate is to blame only where no phase moves. One
    # epoch shows no move.
    phases = {phase: epochs["loss"] for phase, epochs in evidence.split_phases().items() if len(epochs) > 1}
    if not phases or any(describe_trend(loss) != "stayed flat" for loss in phases.values()):
        return None
    rates = ", ".join(RATES[phase] for phase in phases)
    return Cause("the training loss stayed flat: the learning rate is too low", f"raise {rates}, or train longer")


def blame_forgetting(evidence: Evidence) -> Cause | None:
    """Fine-tuning can overwrite what was learnt before (catastrophic forgetting; McCloskey & Cohen 1989)."""
    phases = evidence.split_phases()
    if not {"head", "fine-tuning"} <= set(phases):
        return None
    before, best = phases["head"]["val_accuracy"].iloc[-1], phases["fine-tuning"]["val_accuracy"].max()
    if not best < before - MOST_LOSS:
        return None
    return Cause(
        f"validation accuracy fell from {_format_percent(before)} to {_format_percent(best)} when fine-tuning began: "
        "what was learnt before is overwritten",
        f"lower {RATES['fine-tuning']}, or unfreeze fewer layers by unfreeze.point and unfreeze.candidates",
    )


def blame_overfitting(evidence: Evidence) -> Cause | None:
    """A model can know the training images and little else (overfitting)."""
    last = evidence.history.iloc[-1]
    if not (_has_learnt(evidence) and last["accuracy"] - last["val_accuracy"] > MOST_GAP):
        return None
    return Cause(
        f"the model overfits: accuracy {_format_percent(last['accuracy'])} on them, "
        f"{_format_percent(last['val_accuracy'])} on validation images",
        "unfreeze fewer layers by unfreeze.point, bring more images, or augment them (augment.views and its changes)",
    )


def blame_early_end(evidence: Evidence) -> Cause | None:
    """A training that is cut short has not learnt what it could."""
    phase, epochs = list(evidence.split_phases().items())[-1]
    if _has_learnt(evidence) or len(epochs) < 2:
        return None
    loss, accuracy = epochs["loss"], epochs["val_accuracy"]
    if not (loss.iloc[-1] < loss.iloc[-2] and accuracy.iloc[-1] > accuracy.iloc[:-1].max()):
        return None
    return Cause(
        f"it was best after the last of {len(epochs)} epochs ({phase}): training ended before it was done",
        f"raise {EPOCHS[phase]}",
    )


def blame_class_weights(evidence: Evidence) -> Cause | None:
    """Classes that count the same cost accuracy where one of them has most of the images."""
    confusion = np.asarray(evidence.evaluation.confusion)
    recall = float(np.mean(confusion.diagonal() / confusion.sum(axis=1).clip(min=1)))
    chance = 1 / len(confusion)
    if (recall - chance) / (1 - chance) < LEAST_SKILL:
        return None
    return Cause(
        f"it tells the classes apart: recall is {_format_percent(recall)} on average over the classes, and "
        f"{_format_percent(chance)} by chance. Classes that count the same cost accuracy on the largest one",
        "compare balanced accuracies, or set train.class_weights=none where accuracy is what counts",
    )


def blame_no_information(evidence: Evidence) -> Cause | None:
    """What the frozen layers leave out cannot be learnt behind them."""
    what = describe_no_information(evidence)
    return Cause(what, "unfreeze more by unfreeze.point, or take another of study.backbones") if what else None


def blame_nothing_learnt(evidence: Evidence) -> Cause | None:
    """A network that does not learn the images it is shown has nothing to say of others."""
    accuracy, majority = evidence.history["accuracy"].iloc[-1], evidence.evaluation.majority
    if accuracy > majority + LEAST_MOVE:
        return None
    remedy = "train longer or at another rate (train.finetune.epochs, train.finetune.learning_rate)"
    if not evidence.weights.pretrained:
        remedy += "; a network without pretrained weights needs more images, or larger ones (preprocess.image_size)"
    return Cause(
        f"the training images are not learnt either: accuracy on them ends at {_format_percent(accuracy)}, the "
        f"largest class has {_format_percent(majority)}",
        remedy,
    )


def describe_trend(loss: pd.Series) -> str:
    """Return how a training loss moved: `fell`, `rose`, `is not finite`, `went up and down` or `stayed flat`."""
    if not np.isfinite(loss).all():
        return "is not finite"
    first, last = loss.iloc[0], loss.iloc[-1]
    if first - last >= LEAST_MOVE * first:
        return "fell"
    if last - first >= LEAST_MOVE * first:
        return "rose"
    steps = loss.diff().abs().iloc[1:]
    return "went up and down" if len(steps) and steps.mean() >= LEAST_MOVE * first else "stayed flat"


# By check: its symptom, and its possible causes, the likeliest first. Symptoms before training have no cause in
# training. Forgetting and overfitting may occur together; the first is more specific.
OF_FEATURES = (blame_scaling, blame_random_weights, blame_collapse)
OF_LEARNING = (
    blame_high_rate,
    blame_low_rate,
    blame_forgetting,
    blame_overfitting,
    blame_early_end,
    blame_no_information,
    blame_nothing_learnt,
)
OF_TRAINING = (*OF_FEATURES, *OF_LEARNING)
SYMPTOMS: dict[str, tuple[Callable[[Evidence], str | None], tuple[Callable[[Evidence], Cause | None], ...]]] = {
    "pixel_scaling": (describe_scaling, (blame_scaling,)),
    "collapsed_features": (describe_collapse, (blame_scaling, blame_random_weights)),
    "uninformative_features": (describe_no_information, OF_FEATURES),
    "one_class": (describe_one_class, OF_TRAINING),
    "below_majority": (describe_below_majority, (*OF_FEATURES, blame_class_weights, *OF_LEARNING)),
    "no_gain": (describe_no_gain, OF_TRAINING),
}


def _has_learnt(evidence: Evidence) -> bool:
    return bool(evidence.history["accuracy"].iloc[-1] >= LEARNT)


def _format_percent(share: float) -> str:
    return f"{100 * share:.1f} %"
