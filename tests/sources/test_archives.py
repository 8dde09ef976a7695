import io
import os
import random
import re
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.sources.layouts import pack
from unfreeze.errors import UnfreezeError
from unfreeze.sources import archives

CONTENT = {"cat/1.png": b"one" * 100, "cat/more/2.png": random.Random(0).randbytes(3000), "dog/3.png": b""}
TAR_MODES = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}

Entry = tuple[str, bytes]


def make_zip(path: Path, content: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as packed:
        for name, value in content.items():
            packed.writestr(name, value)
    return path


def make_tar(path: Path, content: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as packed:  # type: ignore[call-overload]
        for name, value in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(value)
            packed.addfile(member, io.BytesIO(value))
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if not path.is_dir()}


def refused(archive: Path) -> str:
    """Return the message of an archive that must be refused, and require that nothing of it is left."""
    folder = archive.parent / "unpacked"
    before = set(archive.parent.parent.rglob("*"))
    with pytest.raises(UnfreezeError) as error:
        archives.unpack(archive, folder, name="data.source the-set")
    assert set(archive.parent.parent.rglob("*")) == before
    message = str(error.value)
    assert message.startswith("data.source the-set was not unpacked: ") and "\n" not in message
    assert "data=folder" in message
    return message


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work/set.bin"


def test_a_zip_is_unpacked(archive: Path) -> None:
    archives.unpack(make_zip(archive, CONTENT), archive.parent / "unpacked", name="x")
    assert tree(archive.parent / "unpacked") == CONTENT


@pytest.mark.parametrize("kind", TAR_MODES)
def test_a_tar_is_unpacked_however_it_is_packed(archive: Path, kind: str) -> None:
    archives.unpack(make_tar(archive, CONTENT, TAR_MODES[kind]), archive.parent / "unpacked", name="x")
    assert tree(archive.parent / "unpacked") == CONTENT


def test_what_tar_makes_of_a_folder_is_unpacked(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "set/cat").mkdir(parents=True)
    (tmp_path / "set/cat/1.png").write_bytes(b"1")
    os.system(f"tar -C {tmp_path}/set -czf {archive} .")
    archives.unpack(archive, archive.parent / "unpacked", name="x")
    assert tree(archive.parent / "unpacked") == {"cat/1.png": b"1"}


def test_an_archive_replaces_what_was_unpacked_before(archive: Path) -> None:
    folder = archive.parent / "unpacked"
    archives.unpack(make_zip(archive, {"old.png": b"1"}), folder, name="x")
    archives.unpack(make_zip(archive, {"new.png": b"2"}), folder, name="x")
    assert tree(folder) == {"new.png": b"2"}


parts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="/\\:"), min_size=1)
honest = (
    st.lists(parts.filter(lambda part: part not in {".", ".."} and len(part.encode()) < 200), min_size=1, max_size=3)
    .map("/".join)
    .filter(lambda name: len(name.encode()) < 500)
)


@given(st.dictionaries(honest, st.binary(max_size=200), max_size=6), st.sampled_from(["zip", *TAR_MODES]))
@settings(max_examples=60)
def test_an_honest_tree_comes_out_as_it_went_in(content: dict[str, bytes], kind: str) -> None:
    names = archives.Names()
    content = {name: value for name, value in content.items() if not names.find_problem(name, is_folder=False)}
    with tempfile.TemporaryDirectory() as folder:
        path, target = Path(folder) / "archive", Path(folder) / "unpacked"
        if kind == "zip":
            make_zip(path, content)
        else:
            make_tar(path, content, TAR_MODES[kind])
        archives.unpack(path, target, name="x")
        assert tree(target) == content


@given(st.lists(st.one_of(parts, st.just(".")), max_size=3), st.lists(parts, max_size=3))
@example([], [])
def test_any_path_with_dots_upward_is_refused(before: list[str], after: list[str]) -> None:
    name = "/".join([*before, "..", *after])
    assert archives.find_name_problem(name) in {
        "leaves the folder",
        "is an absolute path",
        "has a part of more than 255 bytes",
    }


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../evil.png", "leaves the folder"),
        ("cat/../../evil.png", "leaves the folder"),
        ("/etc/evil.png", "is an absolute path"),
        ("C:/evil.png", "is an absolute path"),
        ("c:evil.png", "is an absolute path"),
        ("..\\evil.png", "holds a backslash"),
        ("\\\\host\\evil.png", "holds a backslash"),
        ("cat/new\nline.png", "holds a control character"),
        ("x" * 256, "has a part of more than 255 bytes"),
    ],
)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_an_unsafe_name_refuses_the_whole(
    archive: Path, name: str, problem: str, make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    message = refused(make(archive, {"cat/1.png": b"1", name: b"2"}))
    assert problem in message and repr(name)[:100] in message


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["cat/1.png", "cat/1.PNG"], "only in case or Unicode form"),
        (["Cat/1.png", "cat/2.png"], "only in case or Unicode form"),
        (["caf\u00e9/1.png", "cafe\u0301/2.png"], "only in case or Unicode form"),
        (["cat", "cat/1.png"], "is a file and a folder"),
        (["cat/1.png", "cat"], "is a file and a folder"),
        (["cat/1.png", "./cat//1.png"], "is there twice"),
    ],
)
def test_names_that_mean_one_file_are_refused(
    archive: Path, names: list[str], problem: str, make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    assert problem in refused(make(archive, dict.fromkeys(names, b"x")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_twice_is_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("1.png", b"1")
        packed.writestr("1.png", b"2")
    assert "'1.png' is there twice" in refused(archive)


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (tarfile.SYMTYPE, "is a link"),
        (tarfile.LNKTYPE, "is a link"),
        (tarfile.CHRTYPE, "is neither a file nor a folder"),
        (tarfile.BLKTYPE, "is neither a file nor a folder"),
        (tarfile.FIFOTYPE, "is neither a file nor a folder"),
    ],
)
def test_what_is_no_file_in_a_tar_is_refused(archive: Path, kind: bytes, problem: str) -> None:
    with tarfile.open(archive, "w") as packed:
        member = tarfile.TarInfo("cat/1.png")
        member.type, member.linkname = kind, "/etc/passwd"
        packed.addfile(member)
    assert f"'cat/1.png' {problem}" in refused(archive)


@pytest.mark.parametrize(
    ("kind", "problem"), [(stat.S_IFLNK, "is a link"), (stat.S_IFIFO, "is neither a file nor a folder")]
)
def test_what_is_no_file_in_a_zip_is_refused(archive: Path, kind: int, problem: str) -> None:
    with zipfile.ZipFile(archive, "w") as packed:
        info = zipfile.ZipInfo("cat/1.png")
        info.create_system, info.external_attr = 3, (kind | 0o777) << 16
        packed.writestr(info, "/etc/passwd")
    assert f"'cat/1.png' {problem}" in refused(archive)


def test_an_encrypted_zip_is_refused(archive: Path) -> None:
    make_zip(archive, {"cat/1.png": b"1"})
    content = bytearray(archive.read_bytes())
    # The flags of the local header and of the directory's entry.
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    assert "'cat/1.png' is encrypted" in refused(archive)


def test_an_unknown_compression_is_refused(archive: Path) -> None:
    make_zip(archive, {"cat/1.png": b"1"})
    content = bytearray(archive.read_bytes())
    content[8:10] = content[content.index(b"PK\x01\x02") + 10 :][:2] = struct.pack("<H", 99)
    place = content.index(b"PK\x01\x02") + 10
    content[place : place + 2] = struct.pack("<H", 99)
    archive.write_bytes(content)
    assert "compression" in refused(archive)


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
def test_a_bomb_is_refused_by_its_ratio(archive: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ANY_RATIO_UP_TO", 1_000_000)
    content = {"cat/1.png": b"1", "zeros.png": bytes(5_000_000)}
    message = refused(make_zip(archive, content) if kind == "zip" else make_tar(archive, content, TAR_MODES[kind]))
    assert "'zeros.png'" in message and "5,000,001 bytes" in message and "bomb" in message


def test_too_many_entries_are_refused(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_ENTRIES", 2)
    assert "more than 2 entries" in refused(make_zip(archive, CONTENT))


def test_what_the_disk_has_no_room_for_is_refused(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 3000))
    message = refused(make_zip(archive, CONTENT))
    assert "3,300 bytes" in message and "3,000 are free" in message


@pytest.mark.parametrize("lie", [10, 100_000])
def test_a_zip_that_lies_about_a_size_is_refused(archive: Path, lie: int) -> None:
    make_zip(archive, {"cat/1.png": bytes(5000)})
    content = bytearray(archive.read_bytes())
    for place in (22, content.index(b"PK\x01\x02") + 24):
        content[place : place + 4] = struct.pack("<I", lie)
    archive.write_bytes(content)
    message = refused(archive)
    assert "cat/1.png" in message


def test_a_zip_whose_content_was_changed_is_refused(archive: Path) -> None:
    make_zip(archive, {"cat/1.png": b"hello there"}, zipfile.ZIP_STORED)
    archive.write_bytes(archive.read_bytes().replace(b"hello", b"jello"))
    assert "Bad CRC-32 for file 'cat/1.png'" in refused(archive)


@pytest.mark.parametrize("kind", ["zip", *TAR_MODES])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_what_is_cut_short_is_refused(archive: Path, kind: str, share: float) -> None:
    content = {f"{number}.png": random.Random(0).randbytes(3000) for number in range(20)}
    make_zip(archive, content) if kind == "zip" else make_tar(archive, content, TAR_MODES[kind])
    whole = archive.read_bytes()
    # Beyond its end mark a plain tar has only padding.
    length = int(share * (20 * (512 + 3072) if kind == "tar" else len(whole)))
    archive.write_bytes(whole[:length])
    refused(archive)


def test_a_tar_that_is_cut_between_two_entries_is_refused(archive: Path) -> None:
    make_tar(archive, {"1.png": b"1", "2.png": b"2"})
    archive.write_bytes(archive.read_bytes()[:1024])
    assert "cut short" in refused(archive)


def test_a_tar_with_something_behind_its_end_is_refused(archive: Path) -> None:
    make_tar(archive, {"1.png": b"1"})
    archive.write_bytes(2 * archive.read_bytes())
    assert "something follows its end" in refused(archive)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>not found</html>", b"\x93" * 5000],
    ids=["empty", "web page", "anything"],
)
def test_what_is_no_archive_is_refused(archive: Path, content: bytes) -> None:
    archive.write_bytes(content)
    assert f"neither a zip nor a tar archive (it begins with {content[:16]!r})" in refused(archive)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"Rar!\x1a\x07\x01\0", "a rar archive.*unrar"), (b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive.*7z x")],
)
def test_archives_of_other_programs_are_named_with_the_command(archive: Path, content: bytes, expected: str) -> None:
    archive.write_bytes(content)
    assert re.search(expected, refused(archive))


def test_of_what_is_not_wanted_an_empty_file_is_made(archive: Path) -> None:
    content = {"set.zip": pack({"cat/0.png": b"1", "labels.csv": b"2"})}
    archives.unpack(
        make_zip(archive, content),
        archive.parent / "unpacked",
        name="x",
        wanted=lambda name: not name.endswith("png"),
    )
    assert tree(archive.parent / "unpacked") == {"set/cat/0.png": b"", "set/labels.csv": b"2"}


def make_zstd(path: Path, content: dict[str, bytes], share: float = 1) -> Path:
    packed = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(packed, "zstd") as stream:
        stream.write(make_tar(path, content).read_bytes())
    whole = packed.getvalue().to_pybytes()
    path.write_bytes(whole[: int(share * len(whole))])
    return path


def test_a_tar_packed_by_zstd_is_unpacked(archive: Path) -> None:
    archives.unpack(make_zstd(archive, CONTENT), archive.parent / "unpacked", name="x")
    assert tree(archive.parent / "unpacked") == CONTENT


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_tar_packed_by_zstd_that_is_cut_short_is_refused(archive: Path, share: float) -> None:
    refused(
        make_zstd(archive, {f"{number}.png": random.Random(number).randbytes(3000) for number in range(20)}, share)
    )


def test_a_bomb_packed_by_zstd_is_refused_before_it_is_unpacked(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "ANY_RATIO_UP_TO", 1_000_000)
    assert "more than 1,000,000 bytes, so it may be a bomb" in refused(
        make_zstd(archive, {"0.png": bytes(5_000_000)})
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"train.zip": pack({"photos/cat/0.png": b"1"})}, {"photos/cat/0.png": b"1"}),
        (
            {"train.zip": pack({"train/0.png": b"1"}), "labels.csv": b"2"},
            {"train/0.png": b"1", "labels.csv": b"2"},
        ),
        (
            {
                "set/train.zip": pack({"cat/0.png": b"1"}),
                "set/test.ZIP": pack({"cat/0.png": b"2", "x": b"3"}),
            },
            {"set/train/cat/0.png": b"1", "set/test/cat/0.png": b"2", "set/test/x": b"3"},
        ),
        # Beside images or folders an archive is one more file, whose reason is said later.
        ({"cat/0.png": b"1", "more.zip": pack({"0.png": b"2"})}, None),
        ({"0.png": b"1", "more.zip": pack({"1.png": b"2"})}, None),
    ],
    ids=["alone", "named as its folder", "two folds", "beside folders", "beside images"],
)
def test_archives_in_an_archive_are_unpacked_where_they_hold_the_images(
    archive: Path, content: dict[str, bytes], expected: dict[str, bytes] | None
) -> None:
    archives.unpack(make_zip(archive, content), archive.parent / "unpacked", name="x")
    assert tree(archive.parent / "unpacked") == (content if expected is None else expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"a.zip": pack({"b.zip": pack({"0.png": b"1"})})}, "'a.zip' holds a further archive, 'b.zip'"),
        ({"a.zip": pack({"../0.png": b"1"})}, "'a.zip': its entry '../0.png' leaves the folder"),
        ({"a.rar": b"Rar!\x1a\7\0"}, "'a.rar': it is a rar archive"),
        ({"a.zip": b"PK\3\4"}, "'a.zip': File is not a zip file"),
        ({"A": b"", "a.zip": pack({"0.png": b"1"})}, "becomes 'a', which is there already"),
        (
            {"a.zip": pack({"0.png": bytes(4_000_000)}), "b.zip": pack({"0.png": bytes(4_000_000)})},
            "'b.zip'.*bomb",
        ),
    ],
    ids=["third level", "unsafe name", "rar", "damaged", "name taken", "bomb"],
)
def test_an_archive_in_an_archive_that_cannot_be_used_is_named(
    archive: Path, content: dict[str, bytes], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "ANY_RATIO_UP_TO", 15_000_000)
    with pytest.raises(UnfreezeError, match=expected):
        archives.unpack(make_zip(archive, content), archive.parent / "unpacked", name="x")
    assert not list(archive.parent.glob("*unpacked*"))


def test_a_name_that_is_not_utf_8_is_shown_escaped(archive: Path) -> None:
    make_tar(archive, {"caf\udce9.png": b"1"})
    assert r"'caf\udce9.png' is not UTF-8" in refused(archive)


def test_a_name_in_a_zip_that_begins_with_a_zero_byte_is_refused(archive: Path) -> None:
    make_zip(archive, {"cat/1.png": b"1"})
    archive.write_bytes(archive.read_bytes().replace(b"cat/", b"\0at/"))
    assert r"its entry '\x00at/1.png' holds a control character" in refused(archive)


DAMAGED_KINDS = ["zip", "tar.gz", "tar.bz2", "tar.xz"]


@given(st.sampled_from(DAMAGED_KINDS), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
@settings(max_examples=200)
def test_a_damaged_archive_is_refused_or_does_no_harm(kind: str, place: float, change: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, target = Path(folder) / "archive", Path(folder) / "unpacked"
        content = {"cat/1.png": b"one" * 30, "dog/2.png": b"two" * 20}
        make_zip(path, content) if kind == "zip" else make_tar(path, content, TAR_MODES[kind])
        damaged = bytearray(path.read_bytes())
        damaged[int(place * len(damaged))] ^= change
        path.write_bytes(damaged)
        try:
            archives.unpack(path, target, name="x")
        except UnfreezeError:
            assert list(Path(folder).iterdir()) == [path]
        else:
            assert tree(target) == content


def test_a_disk_that_fills_up_leaves_nothing_and_is_no_fault_of_the_archive(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives, "write_entry", full)
    with pytest.raises(OSError, match="No space left"):
        archives.unpack(make_zip(archive, CONTENT), archive.parent / "unpacked", name="x")
    assert list(archive.parent.iterdir()) == [archive]
