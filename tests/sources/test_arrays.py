"""Arrays and records of images with labels, as people have them, and those that are not clear."""

import gzip
import hashlib
import io
import logging
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from tests.conftest import PROJECT
from unfreeze.errors import UnfreezeError
from unfreeze.sources import array_kind, arrays

Tree = dict[str, int]


def pixels(*values: int, shape: tuple[int, ...] = (6, 5)) -> np.ndarray:
    """Return one image of one value for each value."""
    return np.stack([np.full(shape, value, np.uint8) for value in values])


X, Y = pixels(10, 20, 30), np.array([0, 1, 0])
X2, Y2 = pixels(40, 50), np.array([1, 0])
# What X and Y become: the first pixel of each file.
PLAIN: Tree = {"0/000000.png": 10, "0/000002.png": 30, "1/000001.png": 20}
FOLDS: Tree = {f"train/{name}": value for name, value in PLAIN.items()} | {
    "test/1/000000.png": 40, "test/0/000001.png": 50,
}  # fmt: skip


def written(path: Path) -> Tree:
    """Write a source's images, and return the first pixel of each by its path."""
    assert arrays.is_array_source(path)
    target = path.parent / "written"
    arrays.write_images(path, target)
    names = sorted(file.relative_to(target).as_posix() for file in target.rglob("*") if file.is_file())
    index = arrays.describe_images(path)
    assert index["path"].tolist() == names
    assert [name.split("/")[-2] for name in names] == index["label"].tolist()
    if "fold" in index:
        assert [name.split("/")[0] for name in names] == index["fold"].tolist()
    return {name: first_pixel(target / name) for name in names}


def first_pixel(file: Path) -> int:
    with Image.open(file) as image:
        value = image.getpixel((0, 0))
    return value if isinstance(value, int) else value[0]


def refused(path: Path) -> str:
    with pytest.raises(UnfreezeError) as told:
        arrays.write_images(path, path.parent / "written")
    assert not list(path.parent.glob("*written*"))
    text = str(told.value)
    assert text.startswith(f"data.source {path} was not read as arrays of images: ") and "\n" not in text
    return text


def save_npz(folder: Path, **values: np.ndarray) -> Path:
    np.savez(folder / "set.npz", **values)
    return folder / "set.npz"


def save_npz_packed(folder: Path, **values: np.ndarray) -> Path:
    np.savez_compressed(folder / "set.npz", **values)
    return folder / "set.npz"


def save_hdf5(folder: Path, **values: np.ndarray) -> Path:
    with h5py.File(folder / "set.h5", "w") as stored:
        for name, value in values.items():
            stored[name.replace("__", "/")] = value
    return folder / "set.h5"


def save_npy(folder: Path, **values: np.ndarray) -> Path:
    (folder / "set").mkdir()
    for name, value in values.items():
        np.save(folder / "set" / f"{name}.npy", value)
    return folder / "set"


@pytest.mark.parametrize("save", [save_npz, save_npz_packed, save_hdf5, save_npy])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"X": X, "y": Y}, PLAIN),
        ({"images": X, "labels": Y}, PLAIN),
        ({"data": X, "target": Y}, PLAIN),
        ({"x_train": X, "y_train": Y, "x_test": X2, "y_test": Y2}, FOLDS),
        ({"train_images": X, "train_labels": Y, "test_images": X2, "test_labels": Y2}, FOLDS),
        ({"X_train": X, "Y_train": Y[:, None], "Xtest": X2, "ytest": Y2}, FOLDS),
        ({"train_set_x": X, "train_set_y": Y, "test_set_x": X2, "test_set_y": Y2}, FOLDS),
    ],
    ids=lambda value: "-".join(value) if "." not in next(iter(value)) else "",
)
def test_arrays_are_paired_by_their_names(
    tmp_path: Path, save: Callable[..., Path], values: dict[str, np.ndarray], expected: Tree
) -> None:
    assert written(save(tmp_path, **values)) == expected


@pytest.mark.parametrize(
    "x",
    [
        X, X[..., None], np.repeat(X[..., None], 3, axis=3), np.repeat(X[:, None], 3, axis=1), X[:, None],
        X.astype(np.float32), X / np.float32(255), X / 255,
    ],
    ids=["grey", "one channel", "RGB", "channels first", "one channel first", "floats to 255", "floats to 1",
         "doubles to 1"],
)  # fmt: skip
def test_pixels_keep_their_values(tmp_path: Path, x: np.ndarray) -> None:
    assert written(save_npz(tmp_path, x=x, y=Y)) == PLAIN
    with Image.open(tmp_path / "written/1/000001.png") as image:
        assert image.size == (5, 6)
        assert image.mode == ("RGB" if 3 in x.shape[1:] else "L")


def test_floats_of_all_folds_are_scaled_alike_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dark, bright = np.full((2, 6, 5), 1.0, np.float32), np.full((2, 6, 5), 200.0, np.float32)
    labels = np.array([0, 1])
    with caplog.at_level(logging.INFO, "unfreeze"):
        found = written(save_npz(tmp_path, x_train=dark, y_train=labels, x_test=bright, y_test=labels))
    assert sorted(set(found.values())) == [1, 200]
    assert "reach from 1 to 200: they are taken as 0 to 255" in caplog.text


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        (np.array([2, 0, 2], np.uint8), ["0", "2"]),
        (np.array([1.0, 0.0, 1.0]), ["0", "1"]),
        (np.array([True, False, True]), ["0", "1"]),
        (np.array([[0, 0, 1], [1, 0, 0], [0, 0, 1]]), ["0", "2"]),
        (np.array(["cat", "dog", "cat"]), ["cat", "dog"]),
        (np.array([b"cat", b"dog", b"cat"]), ["cat", "dog"]),
    ],
    ids=["numbers", "whole floats", "yes or no", "one-hot", "texts", "bytes"],
)
def test_labels_become_the_names_of_folders(tmp_path: Path, y: np.ndarray, labels: list[str]) -> None:
    written(save_npz(tmp_path, images=X, labels=y))
    assert sorted(path.name for path in (tmp_path / "written").iterdir()) == labels


@pytest.mark.parametrize("save", [save_npz, save_hdf5])
def test_the_names_of_classes_are_taken_where_they_are_given(tmp_path: Path, save: Callable[..., Path]) -> None:
    names = np.array([b"non-cat", b"cat"])
    found = written(save(tmp_path, x=X, y=Y, list_classes=names))
    assert found == {"non-cat/000000.png": 10, "cat/000001.png": 20, "non-cat/000002.png": 30}


def test_texts_of_any_length_are_read_from_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "set.hdf5", "w") as stored:
        stored["train/images"], stored["val/images"] = X, X2
        stored["train/labels"] = ["cat", "Hündin", "cat"]
        stored["val/labels"] = ["cat", "Hündin"]
    assert written(tmp_path / "set.hdf5") == {
        "train/cat/000000.png": 10, "train/Hündin/000001.png": 20, "train/cat/000002.png": 30,
        "val/cat/000000.png": 40, "val/Hündin/000001.png": 50,
    }  # fmt: skip


def test_a_fold_may_be_named_by_the_file(tmp_path: Path) -> None:
    (tmp_path / "pcam").mkdir()
    for fold, x, y in (("train", X, Y), ("test", X2, Y2)):
        for role, value in (("x", x), ("y", y[:, None, None, None])):
            with h5py.File(tmp_path / f"pcam/level_2_split_{fold}_{role}.h5", "w") as stored:
                stored[role] = value
    assert written(tmp_path / "pcam") == FOLDS


UNCLEAR: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "no names": ({"arr_0": X, "b": Y}, r"found 'arr_0' uint8 \(3, 6, 5\), 'b' int64 \(3,\); expected images as"),
    "no labels": ({"images": X}, "found 'images'"),
    "two arrays of labels": ({"x": X, "y": Y, "labels": Y}, "found 'x'.*'y'.*'labels'"),
    "a fold without labels": ({"x_train": X, "y_train": Y, "x_test": X2}, "'x_test' uint8"),
    "folds and none": ({"x": X, "y": Y, "x_test": X2, "y_test": Y2}, "rename or convert"),
    "other lengths": ({"x": X, "y": Y2}, r"\(2,\)"),
    "flat images": ({"x": X.reshape(3, 30), "y": Y}, r"'x' uint8 \(3, 30\)"),
    "volumes": ({"x": np.zeros((3, 7, 7, 7), np.uint8), "y": Y}, "neither channels first nor last"),
    "channels first or last": ({"x": np.zeros((3, 3, 8, 3), np.uint8), "y": Y}, "channels first or last"),
    "16 bits": ({"x": X.astype(np.uint16), "y": Y}, "black and white are not known; found 'x' uint16"),
    "whole numbers": ({"x": X.astype(np.int64), "y": Y}, "'x' int64"),
    "around zero": ({"x": X / 20 - 1, "y": Y}, "pixels reach from -0.5 to 0.5"),
    "too large": ({"x": X * 100.0, "y": Y}, "pixels reach from 1000 to 3000"),
    "NaN": ({"x": X * np.float32("nan"), "y": Y}, "holds NaN or infinity"),
    "several classes an image": ({"x": X, "y": np.array([[1, 1], [0, 1], [0, 0]])}, "no labels of one class"),
    "amounts": ({"x": X, "y": np.array([0.5, 1.2, 3.0])}, "no labels of one class"),
    "no label": ({"x": X, "y": np.array([0, -1, 1])}, "labels reach down to -1"),
    "too few names": ({"x": X, "y": np.array([0, 5, 1]), "class_names": np.array(["a", "b"])}, "up to 5.*2 names"),
    "labels that are paths": ({"x": X, "y": np.array(["../a", "b", "b"])}, "'../a' cannot be the name of a folder"),
    "objects": ({"x": X, "y": np.array([0, None, "a"], object)}, "'y' in set.npz holds Python objects.*astype"),
    "two folds in a name": ({"x_train_test": X, "y_train_test": Y}, "names several folds"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNCLEAR)
def test_what_is_not_clear_is_refused_with_what_was_found(tmp_path: Path, kind: str) -> None:
    values, expected = UNCLEAR[kind]
    text = refused(save_npz(tmp_path, **values))
    assert re.search(expected, text), text
    assert text.endswith("or save each image as a PNG in a folder of its class")


def test_arrays_that_are_not_used_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert written(save_npz(tmp_path, images=X, labels=Y, masks=X)) == PLAIN
    assert "arrays that are not used: 'masks' uint8 (3, 6, 5)" in caplog.text


@pytest.mark.parametrize("save", [save_npz, save_npz_packed, save_hdf5])
@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, save: Callable[..., Path], share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 40, 50), np.uint8)
    path = save(tmp_path, x=noise, y=Y)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path)


def test_a_changed_byte_of_a_packed_array_is_noticed_and_nothing_stays(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 40, 50), np.uint8)
    path = save_npz(tmp_path, x=noise, y=Y)
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    assert "set.npz is damaged" in refused(path)


def test_the_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        written(save_npz(tmp_path / str(number), x=X, y=Y))
        files = sorted((tmp_path / str(number) / "written").rglob("*.png"))
        digests.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
    assert digests[0] == digests[1]


def idx(values: np.ndarray, *, kind: int = 8) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, kind, values.ndim, *values.shape) + values.tobytes()


def save_mnist(folder: Path, *, packed: bool, prefix: str = "", mark: str = "-idx{}-ubyte") -> Path:
    (folder / "set").mkdir(exist_ok=True)
    named = {"train-images": X, "train-labels": Y, "t10k-images": X2, "t10k-labels": Y2}
    for name, values in named.items():
        content = idx(values.astype(np.uint8))
        file = folder / "set" / f"{prefix}{name}{mark.format(values.ndim)}{'.gz' if packed else ''}"
        file.write_bytes(gzip.compress(content) if packed else content)
    return folder / "set"


@pytest.mark.parametrize(
    "options",
    [{"packed": True}, {"packed": False}, {"packed": True, "prefix": "emnist-letters-"},
     {"packed": False, "mark": ".idx{}-ubyte"}],
    ids=["packed", "unpacked", "EMNIST", "Kaggle"],
)  # fmt: skip
def test_files_of_mnist_are_read(tmp_path: Path, options: dict[str, object]) -> None:
    assert written(save_mnist(tmp_path, **options)) == FOLDS


def test_of_packed_and_unpacked_files_each_counts_once(tmp_path: Path) -> None:
    save_mnist(tmp_path, packed=True)
    assert written(save_mnist(tmp_path, packed=False)) == FOLDS


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (idx(X)[:-1], "cut short"),
        (idx(X) + b"1", "longer than its header says"),
        (idx(X.astype(">i4"), kind=12), "not as a file of MNIST's with unsigned bytes"),
        (b"", "begins with b''"),
    ],
)
def test_a_file_of_mnist_that_is_damaged_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = save_mnist(tmp_path, packed=False)
    (path / "train-images-idx3-ubyte").write_bytes(content)
    assert expected in refused(path)


def test_one_file_of_several_asks_for_the_folder(tmp_path: Path) -> None:
    path = save_mnist(tmp_path, packed=True)
    assert "give the folder with the images and the labels" in refused(path / "train-images-idx3-ubyte.gz")
    assert "give the folder with X.npy and y.npy" in refused(save_npy(tmp_path / "set", X=X) / "X.npy")


def batch(values: list[int], labels: list[int], key: bytes) -> dict[bytes, object]:
    return {b"data": pixels(*values, shape=(3072,)), key: labels, b"filenames": [b"a.png"] * len(values)}


def dump_as_published(content: dict[bytes, object]) -> bytes:
    """Return a batch as Python 2 and its NumPy pickled CIFAR in 2009, opcode by opcode."""
    data, labels = content[b"data"], content[b"labels"]
    assert isinstance(data, np.ndarray) and isinstance(labels, list)
    rows = struct.pack("<BH", ord("M"), len(data))
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\1b\x87R(K\1" + rows + b"M\0\x0c\x86"
        b"cnumpy\ndtype\nU\2u1K\0K\1\x87R(K\3U\1|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
        b"\x89T" + struct.pack("<I", data.size) + data.tobytes() + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\2}(U\6labels" + numbers + b"U\4data" + array + b"u."


@pytest.mark.parametrize(
    "dump",
    [dump_as_published, lambda content: pickle.dumps(content, 2), lambda content: pickle.dumps(content, 4)],
    ids=["as published", "protocol 2", "protocol 4"],
)
def test_cifar_is_read_as_keras_keeps_it(tmp_path: Path, dump: Callable[[dict[bytes, object]], bytes]) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for number in range(1, 6):
        (folder / f"data_batch_{number}").write_bytes(dump(batch([number, 10 * number], [0, 1], b"labels")))
    (folder / "test_batch").write_bytes(dump(batch([60], [1], b"labels")))
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"airplane", b"automobile"]}, 2))
    (folder / "readme.html").write_text("<html>")
    found = written(tmp_path / "cifar-10-batches-py")
    assert len(found) == 11
    assert found["train/airplane/000008.png"] == 5
    assert found["train/automobile/000003.png"] == 20
    assert found["test/automobile/000000.png"] == 60


def test_cifar_100_has_its_classes_and_not_their_groups(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name, values in (("train", [1, 2]), ("test", [3, 4])):
        content = batch(values, [0, 1], b"fine_labels") | {b"coarse_labels": [0, 0]}
        (folder / name).write_bytes(pickle.dumps(content, 2))
    (folder / "meta").write_bytes(
        pickle.dumps({b"fine_label_names": [b"apple", b"bee"], b"coarse_label_names": []}, 2)
    )
    assert written(folder)["test/bee/000001.png"] == 4


def test_the_binary_form_of_cifar_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        (folder / f"{name}.bin").write_bytes(b"\1" + bytes([7]) * 3072 + b"\0" + bytes([9]) * 3072)
    (folder / "batches.meta.txt").write_text("airplane\nautomobile\n\n")
    found = written(folder)
    assert (len(found), found["train/automobile/000008.png"], found["test/airplane/000001.png"]) == (12, 7, 9)


class Harmful:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> object:
        return Path.touch, (self.file,)


def test_a_pickle_that_refers_to_code_is_refused_and_the_code_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(pickle.dumps({b"label_names": [Harmful(tmp_path / "run")]}, 2))
    assert "was not read: it refers to " in refused(folder)
    assert not (tmp_path / "run").exists()


def record(features: dict[str, object]) -> bytes:
    """Return a record of tf.train.Example, written by hand: varints and lengths."""
    body = b"".join(field(1, field(1, key.encode()) + field(2, feature(value))) for key, value in features.items())
    example = field(1, body)
    length = struct.pack("<Q", len(example))
    return length + struct.pack("<I", masked(length)) + example + struct.pack("<I", masked(example))


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def feature(value: object) -> bytes:
    values = value if isinstance(value, list) else [value]
    if isinstance(values[0], bytes):
        return field(1, b"".join(field(1, item) for item in values))
    if isinstance(values[0], float):
        return field(2, field(1, struct.pack(f"<{len(values)}f", *values)))
    return field(3, field(1, b"".join(varint(item) for item in values)))


def masked(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def encoded(value: int, image_format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(stream, image_format)
    return stream.getvalue()


@pytest.mark.parametrize("packed", [False, True])
def test_records_of_encoded_images_keep_their_bytes(tmp_path: Path, packed: bool) -> None:
    (tmp_path / "set").mkdir()
    first, second = encoded(10, "JPEG"), encoded(20)
    train = record({"image/encoded": first, "image/class/label": 1, "image/class/text": b"cat", "image/height": 8})
    train += record({"image/encoded": second, "image/class/label": 2, "image/class/text": b"dog", "image/height": 8})
    test = record({"image/encoded": second, "image/class/label": 2, "image/class/text": b"dog", "image/height": 8})
    for name, content in (("train", train), ("validation", test)):
        path = tmp_path / f"set/pets_{name}_00000-of-00001.tfrecord"
        path.write_bytes(gzip.compress(content) if packed else content)
    assert written(tmp_path / "set") == {
        "train/cat/000000.jpg": 10, "train/dog/000001.png": 20, "val/dog/000000.png": 20,
    }  # fmt: skip
    assert (tmp_path / "written/train/cat/000000.jpg").read_bytes() == first


def test_records_of_tensorflow_datasets_have_named_classes(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for shard in range(2):
        content = b"".join(record({"image": encoded(10 * shard + n), "label": n}) for n in range(2))
        (tmp_path / f"set/mnist-train.tfrecord-0000{shard}-of-00002").write_bytes(content)
    (tmp_path / "set/label.labels.txt").write_text("zero\none\n")
    (tmp_path / "set/dataset_info.json").write_text("{}")
    assert written(tmp_path / "set") == {
        "train/zero/000000.png": 0, "train/zero/000002.png": 10, "train/one/000001.png": 1,
        "train/one/000003.png": 11,
    }  # fmt: skip


def test_records_of_bare_pixels_are_read_by_their_sizes(tmp_path: Path) -> None:
    path = tmp_path / "set.tfrecords"
    sizes = {"height": 4, "width": 5, "depth": 1}
    path.write_bytes(b"".join(record({"image_raw": bytes([n]) * 20, "label": n, **sizes}) for n in range(2)))
    assert written(path) == {"0/000000.png": 0, "1/000001.png": 1}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "holds no record"),
        (b"no record at all", "no TFRecord file, or damaged"),
        (record({"image": encoded(1), "label": 1})[:-3], "cut short"),
        (record({"label": 1}), r"record 0 of set.tfrecord has no image: .* found label \(1 x int\)"),
        (record({"image": encoded(1)}), r"has no label of one class: .* found image \(1 x bytes\)"),
        (record({"image": encoded(1), "label": [1, 2]}), r"label \(2 x int\)"),
        (record({"image": encoded(1), "label": 0.5}), r"label \(1 x float\)"),
        (record({"image": encoded(1), "label": -1}), "labels reach down to -1"),
        (record({"image": encoded(1), "label": b"a"}) + record({"image": encoded(1), "label": 1}), "others numbers"),
        (record({"a": encoded(1), "b": encoded(1), "label": 1}), "has no image: expected one feature"),
    ],
)
def test_records_that_are_not_clear_are_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "set.tfrecord").write_bytes(content)
    text = refused(tmp_path / "set.tfrecord")
    assert re.search(expected, text), text


def test_the_target_may_be_an_empty_folder_in_the_source(tmp_path: Path) -> None:
    path = save_npz(tmp_path, X=X, y=Y)
    (tmp_path / "images").mkdir()
    arrays.write_images(tmp_path, tmp_path / "images")
    assert len(list((tmp_path / "images").rglob("*.png"))) == 3
    path.write_bytes(b"")
    with pytest.raises(UnfreezeError, match=r"data.source pets.zip was not read as arrays"):
        arrays.write_images(path, tmp_path / "other", name="pets.zip")


@pytest.mark.parametrize("kind", ["class folders", "images and arrays", "tables", "nothing", "missing"])
def test_other_sources_are_no_arrays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "set"
    if kind != "missing":
        path.mkdir()
    if kind == "class folders":
        (path / "cat").mkdir()
        (path / "dog").mkdir()
        np.save(path / "X.npy", X)
    if kind == "images and arrays":
        (path / "0.png").write_bytes(encoded(0))
        np.save(path / "X.npy", X)
    if kind == "tables":
        (path / "labels.csv").write_text("a,b\n")
    assert not arrays.is_array_source(path)
    with pytest.raises(UnfreezeError, match="holds no arrays of images: expected .npz"):
        arrays.write_images(path, tmp_path / "written")


def test_files_beside_the_arrays_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = save_npy(tmp_path, X=X, y=Y)
    (path / "more.csv").touch()
    assert written(path) == PLAIN
    assert "files that hold none of its images are not used: more.csv" in caplog.text


def test_a_data_set_that_is_stored_in_another_file_is_refused(tmp_path: Path) -> None:
    save_hdf5(tmp_path, X=X, y=Y)
    layout = h5py.VirtualLayout(X.shape, "uint8")
    layout[:] = h5py.VirtualSource(tmp_path / "set.h5", "X", X.shape)
    with h5py.File(tmp_path / "other.h5", "w") as stored:
        stored.create_virtual_dataset("X", layout)
        stored["y"] = Y
    assert "'X' in other.h5 is stored in other files: copy it with `h5repack`" in refused(tmp_path / "other.h5")


def test_a_kind_from_outside_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (PROJECT / "docs/architecture.md").read_text().split("plugins/array_kinds/mat.py")[1]
    (tmp_path / "plugins/array_kinds").mkdir(parents=True)
    (tmp_path / "plugins/array_kinds/mat.py").write_text(guide.split("```python\n")[1].split("```")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(array_kind, "_KINDS", {**array_kind._KINDS})
    scipy.io.savemat(tmp_path / "set.mat", {"X": X, "y": Y[:, None]})
    assert written(tmp_path / "set.mat") == PLAIN


def test_two_kinds_in_one_folder_are_refused(tmp_path: Path) -> None:
    path = save_npy(tmp_path, X=X, y=Y)
    save_npz(path, X=X, y=Y)
    assert "it holds npy (X.npy), npz (set.npz), and only one of them can be meant" in refused(path)
