import itertools
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

from tests.conftest import CHECKS, change_check
from unfreeze.checks.catalogue import EXPLANATIONS
from unfreeze.errors import UnfreezeError
from unfreeze.evaluation import diagnosis
from unfreeze.records.finding import Finding
from unfreeze.records.interval import Interval
from unfreeze.records.pretrained_weights import PretrainedWeights
from unfreeze.records.selftest import SelfTest
from unfreeze.records.test_scores import Evaluation
from unfreeze.settings.checks import CheckSettings

FED = "vgg16 is fed pixels scaled as divided by 255, and was trained on BGR without the mean: set pixels=native"
WRONG_SCALING = {"scaling_error": 0.6, "fed": FED}
NO_INFORMATION = {"probe": {"accuracy": 0.52, "low": 0.48, "high": 0.56, "majority": 0.5}}
COLLAPSED = {"effective_dimensions": 1.2}
RANDOM = {"source": "RANDOM", "pretrained": False}


def epochs(phase: str, *rows: tuple[float, float, float]) -> list[dict[str, Any]]:
    """Return epochs of a phase: loss, accuracy and validation accuracy of each."""
    columns = ("loss", "accuracy", "val_accuracy")
    return [{"phase": phase, **dict(zip(columns, row, strict=True))} for row in rows]


HEAD = epochs("head", (0.6, 0.7, 0.75), (0.4, 0.8, 0.8))
HEALTHY = HEAD + epochs("fine-tuning", (0.45, 0.8, 0.79), (0.3, 0.9, 0.86))
# The network learns something, but not enough: nothing in its training tells why.
DULL = epochs("head", (0.7, 0.5, 0.5), (0.6, 0.6, 0.5))
GOOD = {"accuracy": 0.85, "majority": 0.5, "confusion": [[85, 15], [15, 85]], "classes": {"cat": {}, "dog": {}}}
POOR = {**GOOD, "accuracy": 0.45, "confusion": [[45, 55], [55, 45]]}


def found(
    *,
    checks: CheckSettings = CHECKS,
    selftest: Mapping[str, Any] | None = None,
    weights: Mapping[str, Any] | None = None,
    history: list[dict[str, Any]] | None = None,
    evaluation: Mapping[str, Any] = GOOD,
    gain: dict[str, float] | None = None,
) -> list[Finding]:
    """Return the findings on a sound backbone, but for what is given."""
    sound = {
        "scaling_error": 1e-6,
        "fed": "vgg16 is fed pixels scaled as BGR without the mean, which is right",
        "effective_dimensions": 40.0,
        "probe": {"accuracy": 0.8, "low": 0.77, "high": 0.83, "majority": 0.5},
    }
    return diagnosis.diagnose_backbone(
        "vgg16",
        checks=checks,
        selftest=SelfTest.model_validate({**sound, **(selftest or {})}),
        weights=PretrainedWeights.model_construct(**(weights or {"source": "imagenet", "pretrained": True})),
        history=pd.DataFrame(history or HEALTHY),
        evaluation=Evaluation.model_construct(**evaluation),
        gain=gain and Interval(**gain),
    )


def test_nothing_is_found_on_a_sound_backbone() -> None:
    assert found(gain={"value": 0.1, "low": 0.05, "high": 0.15}) == []


def test_a_training_that_was_best_at_its_end_is_blamed_for_a_poor_result() -> None:
    rising = epochs("fine-tuning", (1.4, 0.3, 0.3), (1.3, 0.35, 0.34), (1.2, 0.4, 0.41))
    (finding,) = found(history=rising, evaluation=POOR)
    assert finding.cause.startswith("it was best after the last of 3 epochs (fine-tuning)")
    assert finding.remedy == "raise train.finetune.epochs, or study.minutes where that ended them"


def test_even_recalls_explain_an_accuracy_below_the_largest_class() -> None:
    confusion = [[50, 35, 5], [1, 4, 0], [0, 1, 4]]
    uneven = {**GOOD, "accuracy": 0.58, "majority": 0.9, "confusion": confusion}
    (finding,) = found(evaluation=uneven, history=DULL)
    assert finding.check == "below_majority"
    assert "recall is 71.9 % on average over the classes, and 33.3 % by chance" in finding.cause
    assert "train.class_weights=none" in finding.remedy


@pytest.mark.parametrize(("pretrained", "told"), [(True, False), (False, True)])
def test_a_network_that_does_not_learn_its_own_images_is_told_as_such(pretrained: bool, told: bool) -> None:
    stuck = epochs("fine-tuning", (1.6, 0.26, 0.45), (1.4, 0.22, 0.09), (1.37, 0.3, 0.22))
    uneven = {**GOOD, "accuracy": 0.3, "majority": 0.46, "confusion": [[20, 50], [20, 10]]}
    weights = {"source": "none (trained from scratch)", "pretrained": pretrained}
    (finding,) = found(evaluation=uneven, history=stuck, weights=weights)
    assert finding.check == "below_majority"
    assert finding.cause.endswith("accuracy on them ends at 30.0 %, the largest class has 46.0 %")
    assert ("needs more images" in finding.remedy) == told


def test_nothing_is_found_on_a_network_without_stored_features_nor_a_baseline() -> None:
    scratch = {"source": "none (trained from scratch)", "pretrained": False}
    only_fed = {"effective_dimensions": None, "probe": None}
    assert found(weights=scratch, history=HEALTHY[2:], selftest=only_fed) == []


@pytest.mark.parametrize(
    ("check", "evidence", "what"),
    [
        ("pixel_scaling", {"selftest": WRONG_SCALING}, "off by up to 60% of the range it was trained on"),
        ("collapsed_features", {"selftest": COLLAPSED}, "1.2 effective dimensions"),
        (
            "uninformative_features",
            {"selftest": NO_INFORMATION},
            "a probe is right on 48.0 % to 56.0 %, the largest class on 50.0 %",
        ),
        (
            "one_class",
            {"evaluation": {**GOOD, "accuracy": 0.5, "confusion": [[0, 100], [0, 100]]}},
            "the model predicts one class for every image: dog",
        ),
        ("below_majority", {"evaluation": POOR}, "45.0 % against 50.0 %"),
        ("no_gain", {"gain": {"value": 0.02, "low": -0.01, "high": 0.05}}, "+2.0 points (-1.0 to +5.0)"),
        ("no_gain", {"gain": {"value": -0.2, "low": -0.3, "high": -0.1}}, "-20.0 points (-30.0 to -10.0)"),
    ],
)
def test_each_fault_is_found_by_itself(check: str, evidence: dict[str, Any], what: str) -> None:
    (finding,) = found(**evidence)
    assert (finding.backbone, finding.check) == ("vgg16", check)
    assert what in finding.what
    assert finding.level == CHECKS.get_level(check)


@pytest.mark.parametrize(
    ("evidence", "cause", "remedy"),
    [
        (
            {"selftest": WRONG_SCALING},
            "is fed pixels scaled as divided by 255, and was trained on BGR",
            "pixels=native",
        ),
        ({"weights": RANDOM}, "its weights are random", "set weights to imagenet, a file or a wheel"),
        ({"selftest": COLLAPSED}, "1.2 effective dimensions", "unfreeze.point"),
        (
            {"history": epochs("head", (0.7, 0.5, 0.5), (float("nan"), 0.5, 0.5))},
            "the training loss is not finite (head): the learning rate is too high",
            "lower train.head.learning_rate",
        ),
        (
            {"history": HEAD + epochs("fine-tuning", (0.5, 0.7, 0.5), (0.9, 0.5, 0.5))},
            "the training loss rose (fine-tuning): the learning rate is too high",
            "lower train.finetune.learning_rate and search.learning_rate",
        ),
        (
            {"history": epochs("head", (0.7, 0.5, 0.5), (1.4, 0.5, 0.5), (0.6, 0.5, 0.5), (0.7, 0.5, 0.5))},
            "the training loss went up and down (head): the learning rate is too high",
            "lower train.head.learning_rate",
        ),
        (
            {"history": epochs("head", (0.70, 0.5, 0.5), (0.695, 0.5, 0.5), (0.69, 0.5, 0.5))},
            "the training loss stayed flat: the learning rate is too low",
            "raise train.head.learning_rate, or train longer",
        ),
        (
            {"history": HEAD + epochs("fine-tuning", (0.5, 0.7, 0.6), (0.1, 0.97, 0.7))},
            "validation accuracy fell from 80.0 % to 70.0 % when fine-tuning began",
            "unfreeze fewer layers by unfreeze.point",
        ),
        (
            {"history": epochs("fine-tuning", (0.7, 0.5, 0.5), (0.1, 0.97, 0.7))},
            "overfits: accuracy 97.0 % on them, 70.0 % on validation images",
            "augment.views",
        ),
        ({"selftest": NO_INFORMATION, "history": DULL}, "do not tell the classes apart", "study.backbones"),
        ({"history": DULL}, "no cause found", "look at the mistakes"),
    ],
)
def test_a_poor_score_has_the_likeliest_cause(evidence: dict[str, Any], cause: str, remedy: str) -> None:
    finding = next(each for each in found(evaluation=POOR, **evidence) if each.check == "below_majority")
    assert cause in finding.cause
    assert remedy in finding.remedy


def test_of_several_causes_the_first_of_the_table_is_told() -> None:
    # Each leaves out what comes before it in the table.
    evidence: list[dict[str, Any]] = [
        {"selftest": {**WRONG_SCALING, **COLLAPSED, **NO_INFORMATION}, "weights": RANDOM},
        {"selftest": {**COLLAPSED, **NO_INFORMATION}, "weights": RANDOM},
        {"selftest": {**COLLAPSED, **NO_INFORMATION}},
        {"selftest": NO_INFORMATION},
    ]
    flat = epochs("head", (0.7, 0.5, 0.5), (0.7, 0.5, 0.5))
    causes = [found(evaluation=POOR, history=flat, **each)[-1].cause for each in evidence]
    for told, expected in zip(causes, ("divided by 255", "random", "dimensions", "too low"), strict=True):
        assert expected in told


def test_what_shows_before_training_is_not_laid_to_its_charge() -> None:
    flat = epochs("head", (0.7, 0.5, 0.5), (0.7, 0.5, 0.5))
    (finding,) = found(selftest=NO_INFORMATION, history=flat)
    assert finding.cause == "no cause found"


def test_a_loss_of_next_to_nothing_may_stay_where_it_is() -> None:
    learnt = epochs("head", (0.01, 1.0, 0.95), (0.01, 1.0, 0.95))
    (finding,) = found(history=learnt, gain={"value": 0.0, "low": -0.01, "high": 0.01})
    assert finding.cause == "no cause found"


def test_a_head_that_has_learnt_leaves_fine_tuning_little_to_do() -> None:
    still = HEAD + epochs("fine-tuning", (0.4, 0.8, 0.8), (0.4, 0.8, 0.8))
    (finding,) = found(history=still, gain={"value": 0.0, "low": -0.01, "high": 0.01})
    assert finding.cause == "no cause found"


def test_one_epoch_says_nothing_of_the_rate() -> None:
    (finding,) = found(history=HEAD[:1], evaluation=POOR)
    assert finding.cause == "no cause found"


def test_untrained_weights_are_warned_of_and_no_more() -> None:
    assert {finding.level for finding in found(evaluation=POOR, weights=RANDOM)} == {"warning"}


def test_a_check_that_is_off_finds_nothing() -> None:
    off = change_check("below_majority", level="off")
    assert found(evaluation=POOR, checks=off) == []


def test_a_check_that_the_stage_forgot_to_declare_is_an_error() -> None:
    declared = CheckSettings({name: check for name, check in CHECKS.items() if name != "pixel_scaling"})
    with pytest.raises(UnfreezeError, match="the settings of check 'pixel_scaling' were asked for, declared are "):
        found(selftest={"scaling_error": 0.5}, checks=declared)


def test_every_check_is_one_that_people_are_told_of() -> None:
    assert set(diagnosis.SYMPTOMS) <= set(EXPLANATIONS)
    assert all(CHECKS.get_level(check) in ("error", "warning") for check in diagnosis.SYMPTOMS)


def test_any_mix_of_what_may_be_missing_is_borne() -> None:
    probes, dimensions = (None, NO_INFORMATION["probe"]), (None, 1.0, 40.0)
    for probe, size, history in itertools.product(probes, dimensions, (HEALTHY, HEAD[:1], DULL)):
        found(selftest={"probe": probe, "effective_dimensions": size}, history=history, evaluation=POOR)
