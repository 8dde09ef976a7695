"""Rows in the bytes of one file and of several."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.images.row_files import Piece, RowFiles


def lay(folder: Path, rows: np.ndarray, sizes: list[int]) -> RowFiles:
    """Write rows into files of some rows each, with other bytes before and behind."""
    pieces, start = [], 0
    for number, size in enumerate(sizes):
        path = folder / str(number)
        path.write_bytes(b"!" * number + rows[start : start + size].tobytes() + b"more")
        pieces.append(Piece(path, number, size, files.hash_file(path) if number % 2 else ""))
        start += size
    return RowFiles(tuple(pieces), rows.shape[1:], rows.dtype)


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(0, 7), min_size=1, max_size=5).filter(any), size=st.integers(1, 9), data=st.data())
def test_any_rows_are_read_and_written_across_files(sizes: list[int], size: int, data: st.DataObject) -> None:
    count = sum(sizes)
    rows = np.arange(count * 6, dtype="float16").reshape(count, 2, 3)
    chosen = data.draw(st.lists(st.integers(0, count - 1), max_size=20))
    start, stop = sorted(data.draw(st.tuples(st.integers(0, count), st.integers(0, count))))
    with tempfile.TemporaryDirectory() as folder:
        lying = lay(Path(folder), rows, sizes)
        assert len(lying) == count
        assert sum(piece.rows for piece in lying.find(start, stop)) == stop - start
        assert np.array_equal(lying.read(chosen), rows[chosen])
        part = lying.take(start, stop)
        batches = list(part.read_batches(range(len(part)), size))
        assert [len(batch) for batch in batches] == [min(size, stop - first) for first in range(start, stop, size)]
        assert np.array_equal(np.concatenate([*batches, part.read([])]), rows[start:stop])
        lying.write(start, -rows[start:stop])
        unchecked = RowFiles(tuple(Piece(p.path, p.offset, p.rows) for p in lying.pieces), (2, 3), rows.dtype)
        rows[start:stop] *= -1
        assert np.array_equal(unchecked.read(range(count)), rows)


@pytest.mark.parametrize("how", ["missing", "one bit changed", "cut short", "another run's"])
def test_a_file_that_is_not_as_it_was_written_is_named_where_rows_of_it_are_read(tmp_path: Path, how: str) -> None:
    lying = lay(tmp_path, np.arange(12, dtype="float16").reshape(6, 2), [2, 2, 2])
    path = tmp_path / "1"
    whole = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"one bit changed": whole[:3] + bytes([whole[3] ^ 1]) + whole[4:], "cut short": whole[:-5]}.get(
                how, (tmp_path / "0").read_bytes()
            )
        )
    assert lying.read([0, 5]).tolist() == [[0, 1], [10, 11]]
    told = "is missing: run `dvc repro` again" if how == "missing" else "is damaged or of another run .*: delete it"
    with pytest.raises(UnfreezeError, match=rf"/1 {told}"):
        lying.read([0, 2])


def test_a_file_that_ends_before_its_rows_is_named(tmp_path: Path) -> None:
    lying = lay(tmp_path, np.arange(4, dtype="float16").reshape(2, 2), [2])
    (tmp_path / "0").write_bytes(b"123")
    with pytest.raises(UnfreezeError, match=r"/0 is cut short: delete it and run `dvc repro` again"):
        lying.read([0])
