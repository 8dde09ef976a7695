"""Explanations of the checks of the data set and of backbones; those of single images explain themselves."""

from dataclasses import dataclass

from unfreeze.records.interval import LEVEL


@dataclass(frozen=True)
class Explanation:
    """Text that people see about a check.

    Args:
        title: What it finds, in a few words.
        meaning: Why that matters.
        remedy: What to do.
    """

    title: str
    meaning: str
    remedy: str


EXPLANATIONS = {
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
        f"The {LEVEL} interval of what it gains over study.baseline includes 0.",
        "take another backbone, unfreeze more, or bring more test images",
    ),
}  # fmt: skip
