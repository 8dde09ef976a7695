"""Names in zips that do not say how they are encoded."""

import zipfile
import zlib
from pathlib import Path

import pytest

from unfreeze.errors import UnfreezeError
from unfreeze.sources import archives


def write_zip(path: Path, names: list[bytes], *, extra: bytes = b"") -> None:
    """Write a zip whose names have no flag, as programs of the nineties do; Python's own would set it."""
    stand_ins = [chr(ord("A") + number) * len(name) for number, name in enumerate(names)]
    with zipfile.ZipFile(path, "w") as packed:
        for stand_in in stand_ins:
            info = zipfile.ZipInfo(stand_in)
            info.extra = extra
            packed.writestr(info, b"")
    content = path.read_bytes()
    for stand_in, name in zip(stand_ins, names, strict=True):
        assert content.count(stand_in.encode()) == 2
        content = content.replace(stand_in.encode(), name)
    path.write_bytes(content)


def unpack(path: Path, code_page: str | None = None) -> list[str]:
    folder = path.parent / "unpacked"
    archives.unpack(path, folder, name="pets.zip", code_page=code_page)
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("names", "page"),
    [
        (["cat/0.png"], "ascii"),
        # Macs write UTF-8 and do not say so.
        (["Größe/0.png", "猫/0.png"], "utf-8"),
        (["Größe/0.png", "Übung/1.png", "SÜSS/2.png"], "cp437"),
        (["chaîne/0.png", "forêt/1.png"], "cp850"),
        (["cão/0.png", "maçã/1.png"], "cp850"),
        (["кот/0.png", "Собака/1.png"], "cp866"),
        (["猫/0.png", "犬/0.png", "表/ネコ1.png"], "cp932"),
    ],
)
def test_names_are_read_as_the_words_they_are(tmp_path: Path, names: list[str], page: str) -> None:
    write_zip(tmp_path / "pets.zip", [name.encode(page) for name in names])
    assert unpack(tmp_path / "pets.zip") == sorted(names)


@pytest.mark.parametrize(
    ("name", "page", "reading"),
    [
        ("고양이.png", "euc_kr", "gb2312 ('绊剧捞.png')"),
        ("狗.png", "gb2312", "euc_kr ('뭍.png')"),
        ("犬.png", "cp932", "cp866"),
    ],
)
def test_names_that_read_well_in_two_code_pages_are_refused_with_both(
    tmp_path: Path, name: str, page: str, reading: str
) -> None:
    write_zip(tmp_path / "pets.zip", [name.encode(page)])
    with pytest.raises(UnfreezeError) as told:
        unpack(tmp_path / "pets.zip")
    assert f"{page} ({name!r})" in str(told.value)
    assert reading in str(told.value)
    assert "-S data=archive -S data.name_encoding=CODEPAGE" in str(told.value)
    assert unpack(tmp_path / "pets.zip", page) == [name]


def test_names_that_read_well_in_none_are_read_as_the_standard_says_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_zip(tmp_path / "pets.zip", ["Tシャツ.png".encode("cp932")])
    assert unpack(tmp_path / "pets.zip") == ["Tシャツ.png".encode("cp932").decode("cp437")]
    assert "were read as cp437" in caplog.text
    assert unpack(tmp_path / "pets.zip", "cp932") == ["Tシャツ.png"]


def test_a_field_that_holds_the_name_in_utf_8_counts(tmp_path: Path) -> None:
    raw, stated = "猫猫.png".encode("gb2312"), "猫猫.png".encode()
    data = b"\1" + zlib.crc32(raw).to_bytes(4, "little") + stated
    write_zip(tmp_path / "pets.zip", [raw], extra=b"\x75\x70" + len(data).to_bytes(2, "little") + data)
    assert unpack(tmp_path / "pets.zip") == ["猫猫.png"]
