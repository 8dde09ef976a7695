"""What a packed model says of itself, as in models/packed/<backbone>/model.json."""

from typing import Literal

from unfreeze.records.record import Record

# Raised when a change makes earlier packages unusable.
FORMAT = 2


class Unsure(Record):
    """When an answer is too unsure to be accepted.

    Args:
        lowest: Least probability of the predicted class that is accepted; above 1 nothing is.
        error_rate: The share of wrong answers among the accepted ones that was asked for.
        accepted: The share of the held-back images that is accepted.
        images: How many images were held back.
    """

    lowest: float
    error_rate: float
    accepted: float
    images: int


class Unlike(Record):
    """When an image is too unlike the training images.

    Args:
        cosine: Largest accepted cosine distance of features, see `serving/abstention.py`.
        euclidean: Largest accepted Euclidean distance of features; an image that exceeds either is unlike.
        false_alarms: The share of images like the training images that is refused nevertheless.
        neighbours: To which nearest training image the distance is taken: 1 is the nearest.
        images: How many images were held back.
    """

    cosine: float
    euclidean: float
    false_alarms: float
    neighbours: int
    images: int


class Example(Record):
    """An image to try a package on after it was loaded.

    Args:
        file: Name of the PNG in the package; it has the model's size.
        probabilities: Of each class, as computed when the model was packed.
    """

    file: str
    probabilities: tuple[float, ...]


class PackedModel(Record):
    """The content of model.json.

    Args:
        format: Version of the package's form.
        unfreeze: Version of this project that wrote it.
        backbone: Name of the backbone.
        classes: Class names by number.
        size: Side of the square that the network takes, pixels.
        resize: How an image becomes that square.
        max_pixels: Most pixels of an image file, width times height.
        temperature: By which the network's last layer divides logits already.
        precision: Arithmetic of the network.
        unsure: The first reason to reject an answer.
        unlike: The second one.
        calibration_images: How many images conformal sets are calibrated on; 0 if there is no such fold.
        example: An image and its probabilities.
        model_sha256: Digest of the `.keras` file.
        network_sha256: Digest of the weights beside model.xml.
        data_sha256: Digest of the table of images that it was trained on.
    """

    format: int
    unfreeze: str
    backbone: str
    classes: tuple[str, ...]
    size: int
    resize: str
    max_pixels: int
    temperature: float
    precision: Literal["float32", "bfloat16"]
    unsure: Unsure
    unlike: Unlike
    calibration_images: int
    example: Example
    model_sha256: str
    network_sha256: str
    data_sha256: str
