from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unfreeze.checks import corrections
from unfreeze.checks.corrections import Correction
from unfreeze.errors import UnfreezeError

A, B, C, D = (letter * 64 for letter in "abcd")
HEADER = "sha256,action,label,reason,by,date\n"
LINE = f"{A},relabel,dog,barks,Ann,2030-01-01\n"


def correction(sha256: str, action: str, label: str = "") -> Correction:
    return Correction.model_validate(
        {"sha256": sha256, "action": action, "label": label, "reason": "seen", "by": "Ann", "date": "2030-01-01"}
    )


def images(**columns: list[str]) -> pd.DataFrame:
    rows = pd.DataFrame(
        {"path": ["cat/1", "cat/2", "dog/3"], "label": ["cat", "cat", "dog"], "sha256": [A, B, C], "verdict": "ok"}
    )
    return rows.assign(reason="").assign(**columns)


def read(tmp_path: Path, text: str, encoding: str = "utf-8") -> list[Correction]:
    path = tmp_path / "checks/corrections.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding=encoding, newline="")
    return corrections.read(path)


def test_what_was_written_is_read_again_and_stays_sorted(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    odd = correction(B, "relabel", 'a "dog", or\twolf').model_copy(update={"reason": 'says "woof", twice'})
    corrections.write(path, [odd, correction(A, "exclude")])
    assert path.read_text().splitlines()[0] == HEADER.strip()
    assert corrections.read(path) == [correction(A, "exclude"), odd]


def test_no_file_and_one_without_lines_correct_nothing(tmp_path: Path) -> None:
    assert corrections.read(tmp_path / "none.csv") == []
    assert read(tmp_path, HEADER) == []


def test_a_file_that_went_through_a_spreadsheet_is_read(tmp_path: Path) -> None:
    (found,) = read(tmp_path, (HEADER + LINE + "\n").replace("\n", "\r\n"), "utf-8-sig")
    assert (found.sha256, found.action, found.label, found.by) == (A, "relabel", "dog", "Ann")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 is '', expected 'sha256,action,label"),
        (HEADER.replace(",", ";") + LINE, "line 1 is .*separate columns by commas"),
        (
            HEADER + LINE.replace("relabel", "relable"),
            "line 2: action is 'relable': .*'keep', 'relabel' or 'exclude'",
        ),
        (HEADER + LINE.replace(A, "abc"), "line 2: sha256 is 'abc'"),
        (HEADER + "\n" + LINE.replace("barks", " "), "line 3: reason is"),
        (HEADER + LINE.replace("Ann", ""), "line 2: by is ''"),
        (HEADER + LINE.replace("2030-01-01", "yesterday"), "line 2: date is 'yesterday'"),
        (HEADER + LINE.replace("dog", ""), "line 2: label is empty: relabel needs the label"),
        (HEADER + LINE.replace("relabel", "exclude"), "line 2: label 'dog': an image that is excluded has none"),
        (HEADER + LINE.replace("barks", "barks, loudly"), "line 2 has 7 cells, expected 6 .*in quotes"),
        (HEADER + LINE.replace("barks", '"barks'), "line 2 is not CSV"),
        (
            HEADER + LINE + LINE.replace("dog", "cat"),
            "line 3 corrects image a{12}..., and so does line 2: remove one",
        ),
        (HEADER + "<<<<<<< HEAD\n" + LINE, "merge conflict markers at line 2"),
    ],
)
def test_a_malformed_line_is_an_error_that_names_it(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UnfreezeError, match=message) as told:
        read(tmp_path, text)
    assert "\n" not in str(told.value)
    assert "corrections.csv" in str(told.value)


def test_of_two_corrections_of_one_image_the_new_one_counts() -> None:
    known = [correction(A, "keep", "cat"), correction(B, "exclude")]
    merged = corrections.merge(known, [correction(A, "relabel", "dog"), correction(C, "exclude")])
    assert {one.sha256: one.action for one in merged} == {A: "relabel", B: "exclude", C: "exclude"}


def test_labels_are_replaced_and_the_given_ones_stay_visible() -> None:
    rows = corrections.apply(images(), [correction(A, "relabel", "dog"), correction(B, "keep", "cat")])
    assert rows["label"].tolist() == ["dog", "cat", "dog"]
    assert rows["label_given"].tolist() == ["cat", "", ""]
    assert corrections.given_labels(rows).tolist() == ["cat", "cat", "dog"]


def test_without_a_change_the_rows_are_the_same() -> None:
    rows = images()
    unneeded = [correction(B, "keep", "cat"), correction(C, "relabel", "dog"), correction(D, "exclude")]
    pd.testing.assert_frame_equal(corrections.name_reasons(corrections.apply(rows, unneeded), unneeded), rows)


def test_an_excluded_image_is_out_with_its_reason_even_if_it_cannot_be_read() -> None:
    rows = images(verdict=["ok", "unreadable", "ok"], reason=["", "cut short", ""])
    wanted = [correction(A, "exclude"), correction(B, "exclude")]
    out = corrections.name_reasons(corrections.apply(rows, wanted), wanted)
    assert out["verdict"].tolist() == ["excluded", "excluded", "ok"]
    assert out["reason"].tolist() == ["excluded: seen", "excluded: seen", ""]


def test_near_copies_of_what_is_left_out_are_forgotten() -> None:
    rows = corrections.apply(images(), [correction(A, "exclude")])
    used, near = corrections.take_used(rows, np.array([[0, 1], [1, 2]]))
    assert used["path"].tolist() == ["cat/2", "dog/3"]
    assert near.tolist() == [[0, 1]]
    assert corrections.take_used(rows, np.empty((0, 2), np.int64))[1].shape == (0, 2)


def test_files_with_the_same_bytes_are_corrected_together() -> None:
    rows = images(sha256=[A, B, A])
    both = corrections.apply(rows, [correction(A, "relabel", "dog")])
    assert both["label"].tolist() == ["dog", "cat", "dog"]
    assert corrections.find_unfit(both, [correction(A, "relabel", "dog")]) == {}
    assert corrections.is_confirmed(rows, [correction(A, "keep", "cat")]).tolist() == [True, False, False]


def test_a_correction_that_no_longer_fits_says_why() -> None:
    wanted = [
        correction(D, "exclude"), correction(C, "relabel", "dog"), correction(B, "keep", "dog"),
        correction(A, "relabel", "dog"),
    ]  # fmt: skip
    rows = corrections.apply(images(), wanted)
    assert corrections.find_unfit(rows, wanted) == {
        D: "the image is gone",
        C: "the source's label is dog already",
        B: "the source's label is cat now, dog was kept",
    }
    counts = corrections.count(rows, wanted)
    assert (counts.relabelled, counts.excluded, counts.kept) == (1, 0, 0)
    assert counts.unfit[0] == "exclude dddddddddddd...: the image is gone"
    table = corrections.tabulate(rows, wanted)
    assert table["state"].tolist()[-1] == "applied"
    assert table.iloc[0].tolist() == [D, "exclude", "seen", "Ann", "2030-01-01", "does not fit: the image is gone"]


def test_a_label_that_no_image_has_is_refused_for_an_image_that_is_here() -> None:
    wanted = [correction(A, "relabel", "dgo")]
    with pytest.raises(UnfreezeError, match=r"gets the label 'dgo', which no image .* \(they have cat, dog\)"):
        corrections.require_known_labels(wanted, {"cat", "dog"}, "corrections.csv", lambda: {A})
    # Those of another data set stay in the file.
    corrections.require_known_labels(wanted, {"cat", "dog"}, "corrections.csv", lambda: {B})


def test_images_are_hashed_only_where_a_label_is_unknown() -> None:
    def fail() -> set[str]:
        raise AssertionError("was called")

    corrections.require_known_labels([correction(A, "relabel", "dog")], {"dog"}, "corrections.csv", fail)
