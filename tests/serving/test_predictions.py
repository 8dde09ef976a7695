"""Rows of predictions: what each format holds, and which rows a later run keeps."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from unfreeze.errors import UnfreezeError
from unfreeze.serving import predictions
from unfreeze.serving.inputs import Input
from unfreeze.serving.journal import Journal
from unfreeze.serving.loading import Loaded, Prediction
from unfreeze.serving.predictions import Form, Row

MODEL = "a" * 64
ALL = Form(model=MODEL, version="3", package="p", classes=["cat", "dog", "owl"])
TOP = Form(model=MODEL, version="", package="p", classes=["cat", "dog", "owl"], top=2, coverage=0.9, quantile=0.7)


def predict(source: str, probabilities: list[float] | None, reason: str = "") -> Prediction:
    loaded = Loaded(0, Input(source, Path(source)), None)
    return Prediction(loaded, None if probabilities is None else np.array(probabilities), reason)


GIVEN = [
    predict("1.jpg", [0.25, 0.7, 0.05]),
    predict('odd, "name".jpg', [0.5, 0.2, 0.3], "unsure"),
    predict("bad.jpg", None, "the file is empty"),
]


@pytest.mark.parametrize("form", [ALL, TOP])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_each_format_holds_the_same(tmp_path: Path, form: Form, suffix: str) -> None:
    import pyarrow.parquet

    out = tmp_path / f"rows{suffix}"
    predictions.write(out, form, map(form.make_row, GIVEN))
    if suffix == ".csv":
        with out.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [row["accepted"] for row in rows] == ["true", "false", "false"]
    elif suffix == ".jsonl":
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    else:
        rows = pyarrow.parquet.read_table(out).to_pylist()
    assert [row["source"] for row in rows] == ["1.jpg", 'odd, "name".jpg', "bad.jpg"]
    assert [row["predicted"] or None for row in rows] == ["dog", "cat", None]
    assert [row["reason"] for row in rows] == ["", "unsure", "the file is empty"]
    assert {row["model"] for row in rows} == {MODEL}
    assert {row["version"] for row in rows} == {form.version}
    if suffix == ".jsonl":
        found = [row["probabilities"] for row in rows]
        assert found[0] == ({"cat": 0.25, "dog": 0.7, "owl": 0.05} if form is ALL else {"dog": 0.7, "cat": 0.25})
        assert found[2] == {}
    elif form is ALL:
        assert [float(rows[0][f"probability_{name}"]) for name in ALL.classes] == [0.25, 0.7, 0.05]
        assert rows[2]["probability_cat"] in {None, ""}
    else:
        assert (rows[0]["class_1"], float(rows[0]["probability_2"])) == ("dog", 0.25)
        assert "class_3" not in rows[0]
    if form is TOP:
        sets = [json.loads(row["set"]) if suffix == ".csv" else row["set"] for row in rows]
        assert sets == [["dog"], ["cat", "owl"], []]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_only_predictions_of_the_same_model_are_replaced(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"rows{suffix}"
    predictions.require_same_model(out, MODEL)
    predictions.write(out, ALL, map(ALL.make_row, GIVEN))
    predictions.require_same_model(out, MODEL)
    with pytest.raises(UnfreezeError, match="holds predictions of model aaaaaaaaaaaa, not of bbbbbbbbbbbb"):
        predictions.require_same_model(out, "b" * 64)
    out.write_text("name,age\nAda,36\n")
    with pytest.raises(UnfreezeError, match="holds no predictions"):
        predictions.require_same_model(out, MODEL)


def test_an_unknown_suffix_is_refused() -> None:
    with pytest.raises(UnfreezeError, match=r"suffix '\.xlsx', expected \.csv, \.jsonl, \.parquet"):
        predictions.find_writer(Path("rows.xlsx"))


def test_names_of_any_bytes_are_written_in_every_format(tmp_path: Path) -> None:
    row = ALL.make_row(predict(b"caf\xe9\xff.jpg".decode(errors="surrogateescape"), [1, 0, 0]))
    for suffix in predictions.WRITERS:
        predictions.write(tmp_path / f"rows{suffix}", ALL, iter([row]))
    assert "caf\\xe9\\xff.jpg" in (tmp_path / "rows.csv").read_text()
    assert json.loads((tmp_path / "rows.jsonl").read_text())["source"] == row.source


def make_inputs(count: int) -> list[Input]:
    return [Input(f"{number}.jpg", Path(f"{number}.jpg"), stamp=(number, 5)) for number in range(count)]


def begin(out: Path, inputs: list[Input], form: Form = ALL) -> tuple[list[str], list[str]]:
    """Return the sources whose rows are kept and those that are left, and add rows for these."""
    kept: list[Row] = []
    with Journal(out, form) as journal:
        left = [found for _, found in journal.skip(iter(enumerate(inputs)), kept.append)]
        journal.append([(found, form.make_row(predict(found.source, [0.2, 0.3, 0.5]))) for found in left])
        assert [row.source for row in journal.read()] == [found.source for found in inputs]
    return [row.source for row in kept], [found.source for found in left]


def test_rows_of_a_killed_run_are_kept(tmp_path: Path) -> None:
    out, inputs = tmp_path / "rows.csv", make_inputs(4)
    assert begin(out, inputs[:3]) == ([], ["0.jpg", "1.jpg", "2.jpg"])
    assert begin(out, inputs) == (["0.jpg", "1.jpg", "2.jpg"], ["3.jpg"])
    assert not out.exists()


@pytest.mark.parametrize("cut", [1, 30])
def test_a_row_that_was_cut_short_is_computed_again(tmp_path: Path, cut: int) -> None:
    out, inputs = tmp_path / "rows.csv", make_inputs(3)
    begin(out, inputs)
    journal = tmp_path / ".predicting-rows.csv.jsonl"
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert begin(out, inputs) == (["0.jpg", "1.jpg"], ["2.jpg"])


def test_a_header_that_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / ".predicting-rows.csv.jsonl").write_text('{"form": {"mod')
    assert begin(tmp_path / "rows.csv", make_inputs(1)) == ([], ["0.jpg"])


def test_rows_from_a_replaced_or_new_file_on_are_computed_again(tmp_path: Path) -> None:
    out, inputs = tmp_path / "rows.csv", make_inputs(4)
    begin(out, inputs)
    inputs[2] = Input("2.jpg", Path("2.jpg"), stamp=(2, 6))
    assert begin(out, inputs) == (["0.jpg", "1.jpg"], ["2.jpg", "3.jpg"])
    assert begin(out, inputs[1:]) == ([], ["1.jpg", "2.jpg", "3.jpg"])
    # Rows of sources that are no longer asked for do not come back.
    assert begin(out, inputs[1:2]) == (["1.jpg"], [])


def test_a_run_of_another_model_or_with_other_options_does_not_mix(tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    begin(out, make_inputs(2))
    with pytest.raises(UnfreezeError, match="was begun with model aaaaaaaaaaaa, not bbbbbbbbbbbb"):
        Journal(out, Form(model="b" * 64, version="3", package="p", classes=ALL.classes))
    with pytest.raises(UnfreezeError, match="was begun with --top None, not 2"):
        Journal(out, Form(model=MODEL, version="3", package="p", classes=ALL.classes, top=2))
    with pytest.raises(UnfreezeError, match="another package of this model"):
        Journal(out, Form(model=MODEL, version="3", package="q", classes=ALL.classes))


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    with Journal(tmp_path / "rows.csv", ALL), pytest.raises(UnfreezeError, match="another `unfreeze predict`"):
        Journal(tmp_path / "rows.csv", ALL)
