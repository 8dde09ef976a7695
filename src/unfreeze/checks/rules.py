"""The rules that each artifact must satisfy, as expectations of Great Expectations."""

from dataclasses import dataclass
from typing import Any

from unfreeze.checks.catalogue import EXPLANATIONS
from unfreeze.checks.image_check import load_image_checks
from unfreeze.settings.checks import CheckSettings, Limits
from unfreeze.settings.images import Split

# Largest scaling error, as a share of the range that a network was trained on; rounding causes a millionth.
SCALING_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Rule:
    """One expectation, with the problem that its failure shows and the remedy.

    Args:
        expectation: Name of its class in `great_expectations.expectations`; rules are made without importing it.
        arguments: Arguments of the class.
        problem: What is wrong where it fails.
        remedy: What to do about it.
        level: `error` ends the stage, `warning` is logged.
    """

    expectation: str
    arguments: dict[str, Any]
    problem: str
    remedy: str
    level: str = "error"

    @classmethod
    def of_check(cls, name: str, checks: CheckSettings, expectation: str, arguments: dict[str, Any]) -> list["Rule"]:
        """Return the rule of a check in a list, or an empty list where the check is off.

        Args:
            name: The check.
            checks: Its settings.
            expectation: Name of the class of Great Expectations.
            arguments: Arguments of that class.
        """
        level = checks.get_level(name)
        if level == "off":
            return []
        explanation = EXPLANATIONS[name]
        return [cls(expectation, arguments, explanation.title, explanation.remedy, level)]


def guard_manifest(checks: CheckSettings, reasons: str = "") -> list[Rule]:
    """Guard the manifest: one row an image, with a bool column a check.

    Args:
        checks: Settings of every image check.
        reasons: Why images cannot be read, one line; it follows the remedy.
    """
    remedies = {name: check.remedy for name, check in load_image_checks().items()}
    if reasons:
        remedies["unreadable"] += f" ({reasons})"
    return [
        Rule("ExpectColumnValuesToBeUnique", {"column": "path"}, "paths come twice", "remove the repeated rows"),
        Rule(
            "ExpectColumnValueLengthsToBeBetween",
            {"column": "label", "min_value": 1},
            "images have no label",
            "label or remove them",
        ),
        *(
            Rule(
                "ExpectColumnValuesToBeInSet",
                {"column": name, "value_set": [False]},
                check.title,
                remedies[name],
                checks.get_level(name),
            )
            for name, check in load_image_checks().items()
            if checks.get_level(name) != "off"
        ),
    ]


def guard_classes(checks: CheckSettings, limits: Limits) -> list[Rule]:
    """Guard the classes: one row a class, with its number of readable images.

    Args:
        checks: Settings of `imbalance`.
        limits: Fewest images of a class.
    """
    least = limits.min_images_per_class
    return [
        Rule(
            "ExpectTableRowCountToBeBetween",
            {"min_value": 2},
            "there are not at least two classes",
            "bring images of two or more classes, one folder each",
        ),
        Rule(
            "ExpectColumnValuesToBeBetween",
            {"column": "images", "min_value": least},
            f"classes have fewer than {least} readable images",
            "add images, merge classes, or lower checks.min_images_per_class",
        ),
        *Rule.of_check(
            "imbalance",
            checks,
            "ExpectColumnValuesToBeBetween",
            {"column": "times_smaller", "max_value": checks.get_threshold("imbalance")},
        ),
    ]


def guard_shortcuts(checks: CheckSettings) -> list[Rule]:
    """Guard against shortcuts: one row a property, with how well it predicts the label by itself.

    Args:
        checks: Settings of `shortcut`.
    """
    arguments = {"column": "skill", "max_value": checks.get_threshold("shortcut")}
    return Rule.of_check("shortcut", checks, "ExpectColumnValuesToBeBetween", arguments)


def guard_drift(checks: CheckSettings) -> list[Rule]:
    """Guard the data version: one row a property, with its distance from the version before.

    Args:
        checks: Settings of `drift`.
    """
    arguments = {"column": "distance", "max_value": checks.get_threshold("drift")}
    return Rule.of_check("drift", checks, "ExpectColumnValuesToBeBetween", arguments)


def guard_suspects(checks: CheckSettings) -> list[Rule]:
    """Guard the labels: one row an image that the probes have scored.

    Args:
        checks: Settings of `suspect_labels`.
    """
    arguments = {"column": "suspect_labels", "value_set": [False]}
    return Rule.of_check("suspect_labels", checks, "ExpectColumnValuesToBeInSet", arguments)


def guard_images(classes: list[str], checks: CheckSettings) -> list[Rule]:
    """Guard the store: one row an image, with statistics of its pixels.

    Args:
        classes: Class names that must all occur.
        checks: Settings of `single_colour`.
    """
    return [
        Rule(
            "ExpectColumnValuesToBeUnique",
            {"column": "path"},
            "images are stored twice",
            "run `dvc repro` again",
        ),
        Rule(
            "ExpectColumnDistinctValuesToEqualSet",
            {"column": "label", "value_set": classes},
            "a class has no image in the store",
            "look at data/manifest.parquet for its images",
        ),
        *Rule.of_check(
            "single_colour",
            checks,
            "ExpectColumnValuesToBeBetween",
            _allow_constant(checks.get_threshold("single_colour")),
        ),
    ]


def guard_split(split: Split, *, given: bool) -> list[Rule]:
    """Guard the split: one row an image, with the number of folds that its cluster is in.

    Args:
        split: The wanted shares.
        given: Whether the source gives folds.
    """
    return [
        Rule("ExpectColumnValuesToBeUnique", {"column": "id"}, "images are in two folds", "run `dvc repro` again"),
        Rule(
            "ExpectColumnDistinctValuesToEqualSet",
            {"column": "fold", "value_set": list(split.shares)},
            "a fold is empty",
            "bring more images or change the shares in split",
        ),
        Rule(
            "ExpectColumnValuesToBeBetween",
            {"column": "classes_of_fold", "min_value": 2},
            "a fold holds one class only",
            "bring more images or change the shares in split",
        ),
        # Folds that the source gives are not ours to judge; `check` tells of copies that cross them.
        *(
            []
            if given
            else [
                Rule(
                    "ExpectColumnValuesToBeInSet",
                    {"column": "folds_of_cluster", "value_set": [1]},
                    "copies of one image, or images of one group, lie in different folds",
                    "report it: the split made these folds",
                ),
                Rule(
                    "ExpectColumnValuesToBeBetween",
                    {"column": "share_off", "max_value": split.tolerance},
                    f"a fold's share of a class is off by more than {split.tolerance:g}",
                    "bring more images of the class, set split.method=exact, or raise split.tolerance",
                ),
            ]
        ),
    ]


def guard_features(checks: CheckSettings) -> list[Rule]:
    """Guard the activations: one row an image, with their statistics.

    Args:
        checks: Settings of `dead_features` and `collapsed_features`.
    """
    return [
        Rule(
            "ExpectColumnValuesToBeInSet",
            {"column": "finite", "value_set": [True]},
            "activations are not finite",
            "set extract.precision=float32 and extract.dtype=float32, or check the weights",
        ),
        *Rule.of_check(
            "dead_features",
            checks,
            "ExpectColumnValuesToBeBetween",
            _allow_constant(checks.get_threshold("dead_features")),
        ),
        *Rule.of_check(
            "collapsed_features",
            checks,
            "ExpectColumnUniqueValueCountToBeBetween",
            {"column": "mean", "min_value": 2},
        ),
    ]


def guard_scaling(checks: CheckSettings) -> list[Rule]:
    """Guard the scaling of pixels: one row, with the error at the backbone's first layer.

    Args:
        checks: Settings of `pixel_scaling`.
    """
    return Rule.of_check(
        "pixel_scaling",
        checks,
        "ExpectColumnValuesToBeBetween",
        {"column": "scaling_error", "max_value": SCALING_TOLERANCE},
    )


def guard_feature_space(checks: CheckSettings) -> list[Rule]:
    """Guard the space of the pooled features: one row, with its dimensions and the skill of a probe.

    Args:
        checks: Settings of `collapsed_features` and `uninformative_features`.
    """
    return [
        *Rule.of_check(
            "collapsed_features",
            checks,
            "ExpectColumnValuesToBeBetween",
            {"column": "effective_dimensions", "min_value": checks.get_threshold("collapsed_features")},
        ),
        *Rule.of_check(
            "uninformative_features",
            checks,
            "ExpectColumnValuesToBeBetween",
            {"column": "probe_above_majority", "min_value": 0, "strict_min": True},
        ),
    ]


def guard_predictions(classes: int, majority: float, checks: CheckSettings) -> list[Rule]:
    """Guard the predictions: one row a test image.

    Args:
        classes: Number of classes.
        majority: Share of the largest class.
        checks: Levels.
    """
    return [
        *Rule.of_check(
            "one_class",
            checks,
            "ExpectColumnUniqueValueCountToBeBetween",
            {"column": "predicted", "min_value": 2, "max_value": classes},
        ),
        *Rule.of_check(
            "below_majority", checks, "ExpectColumnMeanToBeBetween", {"column": "correct", "min_value": majority}
        ),
    ]


def _allow_constant(threshold: float) -> dict[str, Any]:
    """Return the arguments for a positive deviation in all rows but a share of `threshold`."""
    return {"column": "deviation", "min_value": 0, "strict_min": True, "mostly": 1 - threshold}
