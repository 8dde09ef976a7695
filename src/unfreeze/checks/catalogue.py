"""The checks of the images: what each looks for, what it means, and what to do about what it finds."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from unfreeze.settings.checks import CheckSettings

# Checks that find images in the manifest, one column each.
IN_MANIFEST = (
    "unreadable", "wrong_extension", "blurry", "dark", "bright", "low_information", "odd_size", "odd_aspect",
    "conflicting_labels", "exact_duplicates", "near_duplicates", "near_conflicts",
)  # fmt: skip
# All that find single images, and so can be waived.
OF_IMAGES = (*IN_MANIFEST, "suspect_labels")
# Where all images have about one size, a pixel more is not odd: share of the median size that always is let pass.
LEAST_SPREAD = 0.05


@dataclass(frozen=True)
class Explanation:
    """What a person is told of a check.

    Args:
        title: What it finds, in a few words.
        meaning: Why that matters.
        remedy: What to do.
    """

    title: str
    meaning: str
    remedy: str


EXPLANATIONS = {
    "unreadable": Explanation(
        "images cannot be read",
        "They are empty, cut short, damaged, too large, or no images. Nothing takes their place.",
        "replace or remove them, or set checks.on_bad=quarantine to leave them out",
    ),
    "conflicting_labels": Explanation(
        "the same image stands under two labels",
        "One of the labels is wrong, and a model cannot learn both.",
        "decide which label is right and remove the other copy",
    ),
    "exact_duplicates": Explanation(
        "images are there more than once, pixel by pixel",
        "Copies count several times in training and in scores. They stay in one fold, so none leaks into a test.",
        "remove the copies",
    ),
    "near_duplicates": Explanation(
        "images are nearly the same as others",
        "They are copies all the same, or photographs of one thing, and stay in one fold. Their labels may "
        "differ.",
        "look at them, and remove the copies",
    ),
    "near_conflicts": Explanation(
        "images stand under two labels with only small differences",
        "Either one label is wrong, or the small difference is what matters.",
        "look at them, and correct the wrong labels",
    ),
    "wrong_extension": Explanation(
        "names end in another format's suffix",
        "They are read by their content. Other programs may go by the name.",
        "rename them",
    ),
    "blurry": Explanation(
        "images are blurred",
        "Sharpness, the variance of the Laplacian at 256 pixels, is below the threshold.",
        "look at them, and remove those on which nothing can be told",
    ),
    "dark": Explanation(
        "images are dark throughout",
        "Ninety-nine of a hundred pixels are darker than the threshold, of 255.",
        "look at them, and remove those on which nothing can be told",
    ),
    "bright": Explanation(
        "images are bright throughout",
        "Ninety-five of a hundred pixels are brighter than the threshold, of 255.",
        "look at them, and remove those on which nothing can be told",
    ),
    "low_information": Explanation(
        "images show next to nothing",
        "The entropy of their grey levels is below the threshold, in bits; a photograph has about 7.",
        "look at them, and remove those on which nothing can be told",
    ),
    "odd_size": Explanation(
        "images are far larger or smaller than the others",
        "Their side lies more interquartile ranges from the median than the threshold. They may come from elsewhere.",
        "look at where they come from",
    ),
    "odd_aspect": Explanation(
        "images are very long or very high",
        "The shorter side is below the threshold times the longer one. Made square, they are distorted.",
        "crop them",
    ),
    "imbalance": Explanation(
        "the largest class has many times the images of the smallest",
        "Accuracy then says little of the smallest class.",
        "add images, or set train.class_weights=balanced and look at balanced accuracy",
    ),
    "shortcut": Explanation(
        "a property of the files alone predicts the label",
        "A model may learn it instead of what the images show: 0 is chance, 1 is always right.",
        "bring images of all classes from the same source",
    ),
    "drift": Explanation(
        "the images differ from those of the previous data version",
        "The Kolmogorov-Smirnov distance of a property, or the total variation of the classes' shares, is large.",
        "look whether the change is wanted; a model trained before may no longer fit",
    ),
    "suspect_labels": Explanation(
        "labels look wrong",
        "Probes on the backbone's features, each scoring images it has not seen, are sure of another class.",
        "look at them, correct the wrong ones and leave the rest",
    ),
    "single_colour": Explanation(
        "images are of one colour throughout",
        "More of the stored images than the threshold, a share, show nothing at all.",
        "look at them: the source is probably damaged",
    ),
    "dead_features": Explanation(
        "activations of an image are all the same: the backbone is collapsed",
        "Of more images than the threshold, a share, the frozen layers tell nothing.",
        "check the weights and how they scale pixels",
    ),
    "collapsed_features": Explanation(
        "all images have nearly the same activations: the backbone is collapsed",
        "The frozen layers do not tell one image from another: their features have fewer effective dimensions than "
        "the threshold.",
        "check the weights and how they scale pixels",
    ),
    "pixel_scaling": Explanation(
        "pixels are scaled wrongly for the backbone",
        "What reaches its first layer is not what it was trained on, so its features are of little use.",
        "set pixels=native",
    ),
    "uninformative_features": Explanation(
        "the frozen features do not tell the classes apart",
        "A linear probe on them is no better than always naming the largest class.",
        "unfreeze more layers, take another backbone, or look whether the labels are right",
    ),
    "one_class": Explanation(
        "the model predicts one class for every image",
        "It has learnt nothing of the images.",
        "lower the learning rate, train longer, or check the weights",
    ),
    "below_majority": Explanation(
        "the model is below the share of the largest class",
        "Always naming that class would score higher.",
        "lower the learning rate, train longer, or check the weights",
    ),
    "no_gain": Explanation(
        "the backbone is no better than the baseline",
        "The 95 % interval of what it gains over study.baseline includes 0.",
        "take another backbone, unfreeze more, or bring more test images",
    ),
}  # fmt: skip


def found_in_image(rows: pd.DataFrame, checks: CheckSettings) -> pd.DataFrame:
    """Tell for each image what is odd about it by itself.

    Args:
        rows: The manifest's measures.
        checks: Thresholds.

    Returns:
        One bool column a check that is on, one row an image.
    """
    # What cannot be read has no measures, and no comparison with nothing holds.
    readable = rows["reason"] == ""
    side = (rows["width"].astype(float) * rows["height"].astype(float)) ** 0.5
    aspect = rows[["width", "height"]].min(axis=1) / rows[["width", "height"]].max(axis=1)
    found = {
        "unreadable": ~readable,
        "wrong_extension": readable & (rows["suffix_fits"] == False),  # noqa: E712
        "blurry": rows["sharpness"] < checks.threshold_of("blurry"),
        "dark": rows["dark_end"] < checks.threshold_of("dark"),
        "bright": rows["bright_end"] > checks.threshold_of("bright"),
        "low_information": rows["entropy"] < checks.threshold_of("low_information"),
        "odd_size": spread_from_median(side) > checks.threshold_of("odd_size"),
        "odd_aspect": aspect < checks.threshold_of("odd_aspect"),
    }
    return pd.DataFrame({name: values for name, values in found.items() if checks.level_of(name) != "off"})


def spread_from_median(values: pd.Series) -> pd.Series:
    """Return how many interquartile ranges each value lies from the median."""
    low, middle, high = values.quantile([0.25, 0.5, 0.75])
    return (values - middle).abs() / max(high - low, LEAST_SPREAD * middle)


def found_in_copies(rows: pd.DataFrame, near: np.ndarray, checks: CheckSettings) -> pd.DataFrame:
    """Tell for each image whether it is a copy of another, and whether copies have two labels.

    Args:
        rows: The manifest's measures.
        near: Pairs of row numbers that show the same.
        checks: What is looked for.

    Returns:
        One bool column a check that is on, one row an image.
    """
    readable = rows["reason"] == ""
    same_pixels = rows.groupby("pixels_sha256")["label"]
    labels = rows["label"].to_numpy()
    found = {
        "conflicting_labels": (readable & (same_pixels.transform("nunique") > 1)).to_numpy(),
        "exact_duplicates": (readable & (same_pixels.transform("size") > 1)).to_numpy(),
        "near_duplicates": _members(near, len(rows)),
        "near_conflicts": _members(near[labels[near[:, 0]] != labels[near[:, 1]]], len(rows)),
    }
    return pd.DataFrame({name: values for name, values in found.items() if checks.level_of(name) != "off"})


def _members(pairs: np.ndarray, count: int) -> np.ndarray:
    """Tell which of so many rows are in a pair."""
    found = np.zeros(count, bool)
    found[pairs.ravel()] = True
    return found
