"""Ten thousand damaged files: none ends a process, hangs, takes much memory or passes falsely.

A false pass is a file that `open_image` accepts although

- `load_rgb` cannot decode it, or
- it has more pixels than allowed, or
- it was cut short and its pixels differ from those of the whole file, in whatever format, or
- it is a PNG and any byte up to the end of its last chunk differs from a valid file, or
- it is a JPEG and libjpeg warns of anything behind its header but a missing end marker.

Where a format has no checksum a changed byte may give other pixels, which nobody can notice: such a file passes.
"""

import os
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources import fuzzer
from unfreeze.images.decoding import Undecodable, load_rgb, open_image
from unfreeze.runtime.isolated_map import Failure, run_isolated

FILES = 10_000
# What takes less than a millisecond may be tried more often than by default.
EXAMPLES = 1_000
MAX_PIXELS = 10_000
SIZE = 16
# pytest undoes the filter that decoding sets.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
NUMBERS = range(len(fuzzer.KINDS))


@dataclass(frozen=True)
class Outcome:
    kind: str
    damage: str
    accepted: bool
    false_pass: str = ""


def save(folder: Path, data: bytes) -> Path:
    """Write a file of this process; a new one, since some disks wait when an old one is overwritten."""
    path = folder / f"{os.getpid()}"
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return path


def judge(seed: int, folder: Path) -> Outcome:
    """Decode a damaged file; whatever is raised but Undecodable fails the test."""
    sample = fuzzer.damaged(seed)
    path = save(folder, sample.data)
    try:
        decoded = open_image(path, max_pixels=MAX_PIXELS)
    except Undecodable as error:
        assert str(error), "the reason is empty"
        assert "\n" not in str(error) and str(folder) not in str(error)
        return Outcome(sample.kind, sample.damage, accepted=False)
    pixels = np.asarray(decoded.rgb)
    return Outcome(sample.kind, sample.damage, accepted=True, false_pass=_false_pass(sample, pixels, path))


def _false_pass(sample: fuzzer.Sample, pixels: np.ndarray, path: Path) -> str:
    """Return why a file should have been refused; nothing if it is fine."""
    try:
        load_rgb(path, SIZE, max_pixels=MAX_PIXELS)
    except Undecodable as error:
        return f"load_rgb refuses it: {error}"
    if pixels.size > 3 * MAX_PIXELS:
        return "too many pixels"
    if sample.damage == "truncate" and not np.array_equal(pixels, pixels_of(sample.original, path)):
        return "pixels are cut off"
    if sample.format == "PNG" and not sample.data.startswith(sample.original):
        return "a chunk is damaged"
    return _warning_on_pixels(sample.data) if sample.data.startswith(b"\xff\xd8\xff") else ""


def pixels_of(data: bytes, path: Path) -> np.ndarray:
    return np.asarray(open_image(save(path.parent, data), max_pixels=MAX_PIXELS).rgb)


def _warning_on_pixels(data: bytes) -> str:
    """Return libjpeg's first warning if it concerns pixels; that the end marker is missing does not."""
    try:
        colours = simplejpeg.decode_jpeg_header(data, strict=True)[2]
    except ValueError:
        return ""
    try:
        simplejpeg.decode_jpeg(data, "CMYK" if colours in ("CMYK", "YCCK") else "RGB")
    except ValueError as error:
        return "" if str(error) == "Premature end of JPEG file" else str(error)
    return ""


def test_no_damaged_file_ends_a_process_or_passes_falsely(tmp_path: Path) -> None:
    outcomes = list(run_isolated(partial(judge, folder=tmp_path), range(FILES), seconds=20, gigabytes=0.5))
    assert not [(seed, outcome) for seed, outcome in enumerate(outcomes) if isinstance(outcome, Failure)]
    judged = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
    assert len(judged) == FILES
    assert not [(seed, outcome) for seed, outcome in enumerate(judged) if outcome.false_pass]
    # Each kind was met often, and each damage was both noticed and not.
    assert min(Counter(outcome.kind for outcome in judged).values()) > FILES / len(fuzzer.KINDS) / 2
    assert len({(outcome.damage, outcome.accepted) for outcome in judged}) == 2 * len(fuzzer.DAMAGES)


@pytest.mark.parametrize("number", NUMBERS, ids=[fuzzer.original(number).kind for number in NUMBERS])
def test_what_is_damaged_was_valid(tmp_path: Path, number: int) -> None:
    sample = fuzzer.original(number)
    decoded = open_image(save(tmp_path, sample.data), max_pixels=MAX_PIXELS)
    assert (decoded.format, decoded.width, decoded.height) == (sample.format, *fuzzer.SIDES)


@settings(max_examples=EXAMPLES)
@given(number=st.sampled_from(NUMBERS), share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused_or_has_all_its_pixels(
    tmp_path_factory: pytest.TempPathFactory, number: int, share: float
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut"
    data = fuzzer.original(number).data
    whole = pixels_of(data, path)
    try:
        pixels = pixels_of(data[: int(share * len(data))], path)
    except Undecodable:
        return
    assert np.array_equal(pixels, whole)


@settings(max_examples=EXAMPLES)
@given(number=st.sampled_from([n for n in NUMBERS if fuzzer.KINDS[n][0] == "PNG"]), data=st.data())
def test_a_changed_byte_of_a_png_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, number: int, data: st.DataObject
) -> None:
    changed = bytearray(fuzzer.original(number).data)
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Undecodable):
        pixels_of(bytes(changed), tmp_path_factory.getbasetemp() / "changed")
