"""Which array holds images and which their labels, by their names; and what their values become."""

import io
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from unfreeze.runtime.console import log
from unfreeze.sources.archives import find_name_problem
from unfreeze.sources.array_kind import Part, Stored, UnclearError

FOLD_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "t10k"), "test"),
}
IMAGE_WORDS = {"x", "image", "images", "img", "imgs", "data", "pixels", "inputs"}
LABEL_WORDS = {"y", "label", "labels", "target", "targets", "class", "classes", "category", "categories"}
NAME_WORDS = {"names", "classes", "categories", "list"}
# Words that say nothing of what an array holds.
FILLERS = {"set", "array", "dataset", "orig", "all", "full"}
CHANNELS = (1, 3, 4)
EXPECTED = (
    "expected images as uint8, or floats from 0 to 1 or 0 to 255, of shape (images, height, width[, 1, 3 or 4]) and "
    "as many labels, in pairs such as x_train and y_train, x_test and y_test, or images and labels"
)
# Arrays that a message names.
MOST_NAMED = 12


def find_fold(name: str) -> str:
    """Return the fold that a name names; empty for none.

    Raises:
        UnclearError: It names several.

    >>> find_fold("mnist-train.tfrecord-00000-of-00001"), find_fold("t10k-images-idx3-ubyte"), find_fold("x")
    ('train', 'test', '')
    """
    folds = {FOLD_WORDS[word] for word in _split(name) if word in FOLD_WORDS}
    if len(folds) > 1:
        raise UnclearError(f"{name!r} names several folds: rename it")
    return next(iter(folds), "")


def pair_arrays(stored: Sequence[Stored]) -> list[Part]:
    """Pair arrays of images with those of their labels.

    Args:
        stored: All arrays of a source.

    Returns:
        One part a fold. The names of the classes are taken from an array of texts such as `class_names`.

    Raises:
        UnclearError: Names, shapes, dtypes or values leave open what is meant.
    """
    roles: dict[str, list[Stored]] = defaultdict(list)
    for array in stored:
        roles[find_role(array)].append(array)
    images, labels = _group_by_fold(roles["images"], stored), _group_by_fold(roles["labels"], stored)
    if not images or set(images) != set(labels) or (len(images) > 1 and "" in images):
        raise UnclearError(_describe(stored))
    if len(roles["names"]) > 1:
        raise UnclearError(f"several arrays may be the names of the classes; {_describe(stored)}")
    if roles[""]:
        log.warning("arrays that are not used: %s", ", ".join(map(str, roles[""][:MOST_NAMED])))
    names = [_convert_to_text(value) for value in roles["names"][0].load()] if roles["names"] else None
    for fold, array in images.items():
        if len(array.shape) not in (3, 4) or array.shape[0] != labels[fold].shape[0]:
            raise UnclearError(_describe(stored))
    scale = find_scale(list(images.values()))
    return [make_part(fold, images[fold], read_labels(labels[fold], names), scale) for fold in images]


def make_part(fold: str, images: Stored, labels: Sequence[str], scale: float) -> Part:
    """Return the images of one fold, to be written as PNG.

    Args:
        fold: train, val or test, or empty.
        images: The images.
        labels: Class of each.
        scale: What pixels are multiplied by.
    """
    axes = _find_axes(images)

    def encode() -> Iterator[bytes]:
        for block in images.read():
            for pixels in np.transpose(block, axes):
                yield encode_png(pixels, scale)

    return Part(fold, labels, [".png"] * len(labels), encode)


def find_role(array: Stored) -> str:
    """Return what the name of an array says it holds: images, labels, names (of classes), or nothing."""
    words = set(_split(array.name))
    if array.dtype.kind in "USO" and words & NAME_WORDS:
        return "names"
    if words - FOLD_WORDS.keys() - IMAGE_WORDS - LABEL_WORDS - FILLERS:
        return ""
    return "labels" if words & LABEL_WORDS else "images" if words & IMAGE_WORDS else ""


def find_scale(images: Sequence[Stored]) -> float:
    """Return what pixels are multiplied by, so that they reach from 0 to 255: 255 for floats up to 1, else 1.

    Args:
        images: The images of all folds, which are scaled alike.

    Raises:
        UnclearError: The dtype is another, or values are out of range.
    """
    if all(array.dtype == np.uint8 for array in images):
        return 1.0
    if any(array.dtype.kind != "f" for array in images):
        raise UnclearError(f"pixels have dtypes of which black and white are not known; {_describe(images)}")
    low, high = np.inf, -np.inf
    for array in images:
        for block in array.read():
            low, high = min(low, float(block.min(initial=np.inf))), max(high, float(block.max(initial=-np.inf)))
            if not np.isfinite(block).all():
                raise UnclearError(f"{array} holds NaN or infinity; {EXPECTED}")
    if low < 0 or high > 255:
        raise UnclearError(f"pixels reach from {low:g} to {high:g}; {_describe(images)}")
    log.info("float pixels reach from %g to %g: they are taken as 0 to %d", low, high, 1 if high <= 1 else 255)
    return 255.0 if high <= 1 else 1.0


def encode_png(pixels: np.ndarray, scale: float) -> bytes:
    """Encode one image.

    Args:
        pixels: uint8 or float array of shape (height, width) or (height, width, 1, 3 or 4).
        scale: What pixels are multiplied by to reach from 0 to 255.
    """
    # Imported here: recognising a source needs no images.
    from PIL import Image

    if pixels.dtype != np.uint8:
        pixels = np.rint(pixels.astype(np.float64) * scale).astype(np.uint8)
    stream = io.BytesIO()
    flat = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
    Image.fromarray(np.ascontiguousarray(flat)).save(stream, "PNG")
    return stream.getvalue()


def read_labels(labels: Stored, names: Sequence[str] | None) -> list[str]:
    """Return the class of each image.

    Args:
        labels: Whole numbers from 0 on, texts, or one column a class of which one is 1.
        names: Name of each class by its number; None where they have none.

    Raises:
        UnclearError: Labels are something else.
    """
    values = labels.load()
    # Column vectors.
    values = values.reshape(len(values)) if values.size == len(values) else values
    if values.dtype.kind in "USO" and values.ndim == 1:
        return check_labels([_convert_to_text(value) for value in values])
    if values.ndim == 2 and np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all():
        values = values.argmax(axis=1)
    if values.ndim != 1 or values.dtype.kind not in "biuf" or not (values == np.floor(values)).all():
        raise UnclearError(f"{labels} are no labels of one class an image: whole numbers, texts or one-hot columns")
    return name_labels(values.astype(np.int64), names)


def name_labels(numbers: np.ndarray, names: Sequence[str] | None) -> list[str]:
    """Return the name of each class number.

    Args:
        numbers: int64 array of shape (images,).
        names: Name of each class by its number; None to take the numbers.

    Raises:
        UnclearError: A number is below 0 or has no name, or a name cannot be a folder's.
    """
    if len(numbers) and numbers.min() < 0:
        raise UnclearError(f"labels reach down to {numbers.min()}: take out images without a label")
    if names is None:
        return [str(number) for number in numbers.tolist()]
    if len(numbers) and numbers.max() >= len(names):
        raise UnclearError(f"labels reach up to {numbers.max()}, and there are {len(names)} names of classes")
    return check_labels([names[number] for number in numbers.tolist()])


def check_labels(labels: list[str]) -> list[str]:
    """Refuse labels that cannot be a folder's name.

    Raises:
        UnclearError: Names such a label.
    """
    for label in sorted(set(labels)):
        if "/" in label or label.startswith(".") or label != label.strip() or find_name_problem(label):
            raise UnclearError(f"the label {label!r:.100} cannot be the name of a folder: rename it")
    return labels


def _find_axes(images: Stored) -> tuple[int, ...]:
    """Return the order of axes that puts channels last.

    Raises:
        UnclearError: Channels are first and last, or neither.
    """
    if len(images.shape) == 3:
        return 0, 1, 2
    first, last = images.shape[1] in CHANNELS, images.shape[3] in CHANNELS
    if first == last:
        problem = "has channels first or last" if first else "has neither channels first nor last"
        raise UnclearError(f"{images} {problem}; {EXPECTED}")
    return (0, 1, 2, 3) if last else (0, 2, 3, 1)


def _group_by_fold(arrays: Sequence[Stored], stored: Sequence[Stored]) -> dict[str, Stored]:
    folds: dict[str, Stored] = {}
    for array in arrays:
        fold = find_fold(array.name) or find_fold(array.place)
        if fold in folds:
            raise UnclearError(_describe(stored))
        folds[fold] = array
    return folds


def _split(name: str) -> list[str]:
    """Split a name into words in lower case; `xtrain` and `trainX` are two."""
    apart = re.sub(r"(?<=[a-z])(?=[XY]\b)", "_", name)
    apart = re.sub(r"\b([xy])(?=(train|val|valid|test)\b)", r"\1_", apart.lower())
    return [word for word in re.split(r"[^a-z0-9]+", apart) if word]


def _describe(stored: Sequence[Stored]) -> str:
    named = ", ".join(map(str, stored[:MOST_NAMED])) or "no array"
    more = f" and {len(stored) - MOST_NAMED} more" if len(stored) > MOST_NAMED else ""
    return f"found {named}{more}; {EXPECTED}: rename or convert them"


def _convert_to_text(value: object) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise UnclearError(f"the label {value!r:.100} is not UTF-8: rename it") from None
    return str(value)
