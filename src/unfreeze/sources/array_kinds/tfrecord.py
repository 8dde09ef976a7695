"""TFRecord files of tf.train.Example with an image and a label each, read without TensorFlow."""

import functools
import gzip
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from unfreeze.sources.array_kind import ArrayKind, Part, UnclearError, register
from unfreeze.sources.array_pairs import check_labels, encode_png, find_fold, name_labels

NAME = re.compile(r"\.(tfrecords?|tfrec)(-\d+-of-\d+)?(\.gz)?$|[-_]\d{5}-of-\d{5}$", re.IGNORECASE)
# The names of the classes, as TensorFlow Datasets writes them beside the records.
NAMES_FILE = "label.labels.txt"
# Features by what they hold, the surest first. A text is preferred to a number: it names the class.
IMAGE_KEYS = ("image/encoded", "image", "image_raw", "encoded", "img", "x")
TEXT_KEYS = ("image/class/text", "class/text", "class_name", "label_name")
LABEL_KEYS = ("image/class/label", "image/label", "label", "labels", "class", "class_id", "y", "target")
# Sizes of images that are stored as bare pixels.
SIZE_KEYS = (
    ("image/height", "height", "rows"), ("image/width", "width", "cols"), ("image/channels", "depth", "channels"),
)  # fmt: skip
# First bytes of encoded images, with their suffix.
MARKS = {
    b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n\x1a\n": ".png", b"GIF8": ".gif", b"BM": ".bmp", b"RIFF": ".webp",
    b"II*\0": ".tif", b"MM\0*": ".tif",
}  # fmt: skip
# The polynomial of CRC-32C, reflected (RFC 3720, B.4).
CASTAGNOLI = 0x82F63B78
MASK_DELTA = 0xA282EAD8

# What a feature holds: bytes, whole numbers or floats.
Features = dict[str, list[Any]]


def find_tfrecord(paths: Sequence[Path]) -> list[Path]:
    """Return the files that are named as TFRecord, and the names of the classes beside them."""
    records = [path for path in paths if NAME.search(path.name) and path.is_file()]
    return records + [path for path in paths if records and path.name == NAMES_FILE]


def read_tfrecord(paths: Sequence[Path]) -> list[Part]:
    """Read records; the names of files may name folds."""
    names, by_fold = None, defaultdict(list)
    for path in paths:
        if path.name == NAMES_FILE:
            names = path.read_text(encoding="utf-8").splitlines()
        else:
            by_fold[find_fold(NAME.sub("", path.name))].append(path)
    if len(by_fold) > 1 and "" in by_fold:
        raise UnclearError(f"{by_fold[''][0].name} names no fold, and other files do: rename it")
    return [_read_fold(fold, files_of, names) for fold, files_of in by_fold.items()]


def _read_fold(fold: str, paths: Sequence[Path], names: list[str] | None) -> Part:
    labels, suffixes = [], []
    for features, place in _read_examples(paths):
        labels.append(_find_label(features, place))
        suffixes.append(_find_suffix(_find_image(features, place)))
    if not labels:
        raise UnclearError(f"{paths[0].name} holds no record")
    texts = [label for label in labels if isinstance(label, str)]
    if texts and len(texts) < len(labels):
        raise UnclearError(f"some records of {paths[0].name} have texts for labels, and others numbers")
    named = check_labels(texts) if texts else name_labels(np.array(labels, np.int64), names)
    return Part(fold, named, suffixes, partial(_encode_images, paths))


def _encode_images(paths: Sequence[Path]) -> Iterator[bytes]:
    for features, place in _read_examples(paths):
        image = _find_image(features, place)
        yield image if isinstance(image, bytes) else encode_png(image, 1.0)


def _find_suffix(image: bytes | np.ndarray) -> str:
    return next((suffix for mark, suffix in MARKS.items() if bytes(image[:12]).startswith(mark)), ".png")


def _find_image(features: Features, place: str) -> bytes | np.ndarray:
    """Return the encoded image of a record, or its bare pixels.

    Raises:
        UnclearError: There is none, or more than one.
    """
    found = {key: values[0] for key, values in features.items() if len(values) == 1 and isinstance(values[0], bytes)}
    encoded = [key for key, value in found.items() if value.startswith(tuple(MARKS)) and key not in TEXT_KEYS]
    best = next((key for key in IMAGE_KEYS if key in encoded), encoded[0] if len(encoded) == 1 else None)
    if best is not None:
        return found[best]
    sizes = [next((features[key][0] for key in keys if features.get(key)), None) for keys in SIZE_KEYS]
    height, width, channels = sizes[0], sizes[1], sizes[2] or 1
    key = next((key for key in IMAGE_KEYS if key in found), None)
    if (
        key is not None
        and height
        and width
        and channels in (1, 3, 4)
        and len(found[key]) == height * width * channels
    ):
        return np.frombuffer(found[key], np.uint8).reshape(height, width, channels)
    raise UnclearError(
        f"{place} has no image: expected one feature with a JPEG, PNG, WebP, GIF, BMP or TIFF file, such as "
        f"image/encoded, or bare pixels in image_raw with height, width and depth; {_describe(features)}"
    )


def _find_label(features: Features, place: str) -> str | int:
    """Return the label of a record.

    Raises:
        UnclearError: There is none, or more than one.
    """
    for key in (*TEXT_KEYS, *LABEL_KEYS):
        match features.get(key):
            case [bytes(text)] if text or key not in TEXT_KEYS:
                try:
                    return text.decode()
                except UnicodeDecodeError:
                    raise UnclearError(f"the label {text!r:.100} of {place} is not UTF-8") from None
            case [int(number)]:
                return number
            case [_, *_]:
                break
    raise UnclearError(
        f"{place} has no label of one class: expected one number or text in image/class/label or label; "
        f"{_describe(features)}"
    )


def _describe(features: Features) -> str:
    shown = ", ".join(
        f"{key} ({len(values)} x {type(values[0]).__name__ if values else 'nothing'})"
        for key, values in sorted(features.items())
    )
    return f"found {shown or 'no feature'}"


def _read_examples(paths: Sequence[Path]) -> Iterator[tuple[Features, str]]:
    """Yield the features of each record, and how messages call it."""
    # Imported here, as few sources need it.
    from google.protobuf.message import DecodeError

    for path in paths:
        for number, record in enumerate(_read_records(path)):
            place = f"record {number} of {path.name}"
            try:
                example = _make_example_class().FromString(record)
            except DecodeError as error:
                raise UnclearError(f"{place} is no tf.train.Example ({error})") from error
            features: Features = {}
            for entry in example.features.feature:
                kind = entry.value.WhichOneof("kind")
                features[entry.key] = list(getattr(entry.value, kind).value) if kind else []
            yield features, place


def _read_records(path: Path) -> Iterator[bytes]:
    """Yield the records: of each the length, its masked CRC, the bytes and their masked CRC (TFRecord's format).

    The CRC of the length tells a TFRecord from other files, and damage from an end. That of the bytes is left to the
    checks, which decode each image.
    """
    with path.open("rb") as start:
        is_packed = start.read(2) == b"\x1f\x8b"
    try:
        with cast(IO[bytes], gzip.open(path) if is_packed else path.open("rb")) as stream:
            while header := stream.read(12):
                length, crc = int.from_bytes(header[:8], "little"), int.from_bytes(header[8:], "little")
                if len(header) < 12 or _mask_crc(header[:8]) != crc:
                    raise UnclearError(f"{path.name} is no TFRecord file, or damaged at a record's length")
                record = stream.read(length)
                if len(record) < length or len(stream.read(4)) < 4:
                    raise UnclearError(f"{path.name} is cut short")
                yield record
    except (OSError, EOFError, OverflowError, MemoryError) as error:
        raise UnclearError(f"{path.name} is damaged ({error})") from error


def _mask_crc(content: bytes) -> int:
    """Return the masked CRC-32C of a few bytes."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (CASTAGNOLI if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF


@functools.cache
def _make_example_class() -> Any:
    """Return protobuf's class of tf.train.Example (tensorflow/core/example/example.proto).

    Its map of features is declared as what a map is on the wire, entries of key and value.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="unfreeze/example.proto", package="unfreeze", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED

    def add(name: str, *fields: tuple[str, int, int, str]) -> Any:
        message = file.message_type.add(name=name)
        for number, (key, label, kind, type_name) in enumerate(fields, 1):
            message.field.add(name=key, number=number, label=label, type=kind, type_name=type_name or None)
        return message

    add("BytesList", ("value", many, field.TYPE_BYTES, ""))
    add("FloatList", ("value", many, field.TYPE_FLOAT, ""))
    add("Int64List", ("value", many, field.TYPE_INT64, ""))
    lists = ("BytesList", "FloatList", "Int64List")
    feature = add("Feature", *((kind, one, field.TYPE_MESSAGE, f".unfreeze.{kind}") for kind in lists))
    feature.oneof_decl.add(name="kind")
    for part in feature.field:
        part.oneof_index = 0
    add("Entry", ("key", one, field.TYPE_STRING, ""), ("value", one, field.TYPE_MESSAGE, ".unfreeze.Feature"))
    add("Features", ("feature", many, field.TYPE_MESSAGE, ".unfreeze.Entry"))
    add("Example", ("features", one, field.TYPE_MESSAGE, ".unfreeze.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("unfreeze.Example"))


register(ArrayKind("TFRecord", find_tfrecord, read_tfrecord))
