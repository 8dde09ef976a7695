"""A codec that crashes or hangs costs its own request: such faults are planted in the codecs of real processes."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from tests.conftest import children_of, runs
from tests.serving.packed import draw_image
from tests.serving.service.running import FORM, Running, run_service, write_form, write_v2
from tests.serving.service.test_app import INFER, encode
from tests.serving.service.test_limits import wait_until
from unfreeze.images import formats
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.service.decoders import COMMON, is_common
from unfreeze.serving.service.limits import Limits

pytestmark = pytest.mark.usefixtures("real_processes")

JPEG, PNG, GIF, BMP, TIFF, WEBP, AVIF, JPEG2000, PPM = (
    encode(draw_image("red", 0), kind)
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM")
)
CODEC = 'unfreeze_refusals_total{reason="codec"}'
# Python runs this first in every process. libc's sleep is called so that it keeps Python's lock, as codecs may.
FAULTS = """
import ctypes, os, signal, sys

HANGING = os.path.join(os.path.dirname(__file__), "hanging")
if "spawn_main" in " ".join(sys.orig_argv):
    import simplejpeg
    from PIL import BmpImagePlugin, GifImagePlugin, Jpeg2KImagePlugin, TiffImagePlugin, WebPImagePlugin

    simplejpeg.decode_jpeg = lambda *given, **named: ctypes.string_at(0)
    BmpImagePlugin.BmpImageFile.load = lambda image: os.abort()
    GifImagePlugin.GifImageFile.load = lambda image: open(HANGING, "w") and ctypes.PyDLL(None).sleep(1000)
    TiffImagePlugin.TiffImageFile.load = lambda image: os.kill(os.getpid(), signal.SIGSEGV)
    WebPImagePlugin.WebPImageFile.load = lambda image: open(HANGING, "w") and ctypes.PyDLL(None).sleep(1000)
    Jpeg2KImagePlugin.Jpeg2KImageFile.load = lambda image: bytearray(2 * 10**9)
"""
LIMITS = replace(Limits(), seconds_to_decode=1.0, gigabytes_to_decode=1.0)


@pytest.fixture
def faulty(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A service: JPEG, BMP and TIFF crash, GIF and WebP hang, JPEG 2000 takes too much memory."""
    (tmp_path / "sitecustomize.py").write_text(FAULTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with run_service(packed, limits=LIMITS) as one:
        yield one
    assert find_processes() == []


@pytest.fixture
def healthy(packed: Path) -> Iterator[Running]:
    with run_service(packed) as one:
        yield one
    assert find_processes() == []


def find_processes(of: int | None = None) -> list[int]:
    """Return the processes that decode for this process, or for another one."""
    return [child for child in children_of(of or os.getpid()) if runs(child) and is_spawned(child)]


def is_spawned(process: int) -> bool:
    return b"spawn_main" in Path(f"/proc/{process}/cmdline").read_bytes()


@pytest.mark.parametrize(
    ("crashing", "ending"),
    [
        pytest.param(JPEG, "SIGSEGV", id="JPEG"),
        pytest.param(BMP, "SIGABRT", id="BMP"),
        pytest.param(TIFF, "SIGSEGV", id="TIFF"),
    ],
)
def test_a_crash_costs_the_request_of_its_image(faulty: Running, crashing: bytes, ending: str) -> None:
    assert faulty.ask("/predict", AVIF).status == 200
    answer = faulty.ask("/predict", crashing)
    assert answer.status == 422
    assert answer.json["error"] == (
        f"image: decoding it crashed ({ending}): the file is damaged, or its codec has a fault: "
        "convert it to PNG, or save it again"
    )
    assert [faulty.ask("/predict", image).status for image in (AVIF, PNG, crashing, AVIF)] == [200, 200, 422, 200]
    assert faulty.count(CODEC) == 2


def test_clients_of_other_images_notice_no_crashes(faulty: Running) -> None:
    statuses: dict[str, set[int]] = {"JPEG": set(), "TIFF": set(), "PNG": set(), "AVIF": set()}

    def ask(name: str, image: bytes) -> None:
        statuses[name] |= {faulty.ask("/predict", image).status for _ in range(6)}

    asked = (("JPEG", JPEG), ("TIFF", TIFF), ("PNG", PNG), ("AVIF", AVIF))
    clients = [threading.Thread(target=ask, args=given) for given in asked * 2]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert statuses == {"JPEG": {422}, "TIFF": {422}, "PNG": {200}, "AVIF": {200}}


@pytest.mark.parametrize(("hanging", "other"), [(WEBP, PNG), (GIF, AVIF)], ids=["WebP", "GIF"])
def test_a_codec_that_hangs_is_ended(faulty: Running, hanging: bytes, other: bytes) -> None:
    assert faulty.ask("/predict", other).status == 200
    answers = []
    clients = [threading.Thread(target=lambda: answers.append(faulty.ask("/predict", hanging))) for _ in range(2)]
    for client in clients:
        client.start()
    wait_until(lambda: len(find_processes()) == 3)
    # Both processes for such formats hang, and those for others go on.
    assert faulty.ask("/predict", other).status == 200
    assert answers == []
    for client in clients:
        client.join()
    assert [answer.status for answer in answers] == [422, 422]
    assert "decoding it took longer than 1 s" in answers[0].json["error"]
    assert [faulty.ask("/predict", image).status for image in (AVIF, PNG)] == [200, 200]


def test_a_codec_that_takes_too_much_memory_is_refused(faulty: Running) -> None:
    answer = faulty.ask("/predict", JPEG2000)
    assert answer.status == 422
    assert "decoding it needs more than 1 GB of memory" in answer.json["error"]
    assert faulty.ask("/predict", AVIF).status == 200


def test_a_service_ends_while_a_codec_hangs(faulty: Running, tmp_path: Path) -> None:
    client = threading.Thread(target=lambda: faulty.ask("/predict", WEBP))
    client.start()
    wait_until((tmp_path / "hanging").exists)
    faulty.service.decoders.end()
    client.join()
    assert find_processes() == []


def test_a_form_with_a_crash_names_its_image(faulty: Running) -> None:
    answer = faulty.ask("/predict", write_form(("fine.png", PNG), ("bad.jpg", TIFF)), Content_Type=FORM)
    assert (answer.status, answer.json["error"].partition(":")[0]) == (422, "bad.jpg")


def test_processes_start_when_they_are_needed_and_load_little(healthy: Running) -> None:
    assert find_processes() == []
    for expected, images in ((1, (JPEG, PNG, GIF, BMP)), (2, (TIFF, WEBP, AVIF, JPEG2000, PPM))):
        for image in images:
            assert healthy.ask("/predict", image).status == 200
        assert len(find_processes()) == expected
    for process in find_processes():
        mapped = Path(f"/proc/{process}/maps").read_text()
        assert not any(f"site-packages/{name}/" in mapped for name in ("tensorflow", "openvino", "pandas", "scipy"))


def test_a_process_that_was_killed_while_it_had_nothing_to_do_costs_no_request(healthy: Running) -> None:
    for _ in range(5):
        assert healthy.ask("/predict", JPEG).status == 200
        (process,) = find_processes()
        os.kill(process, signal.SIGKILL)
    assert healthy.ask("/predict", JPEG).status == 200
    assert process not in find_processes()


def test_processes_outlive_the_signal_that_ends_a_service_which_still_has_requests(healthy: Running) -> None:
    assert healthy.ask("/predict", JPEG).status == 200
    (process,) = find_processes()
    os.kill(process, signal.SIGTERM)
    assert healthy.ask("/predict", JPEG).status == 200
    assert find_processes() == [process]


def test_processes_that_are_started_beforehand_are_those_that_decode(packed: Path) -> None:
    with run_service(packed) as service:
        service.service.decoders.start()
        started = find_processes()
        assert len(started) == 2
        assert [service.ask("/predict", image).status for image in (JPEG, PNG)] == [200, 200]
        assert sorted(find_processes()) == sorted(started)
    assert find_processes() == []


def test_pixels_are_those_of_the_decoder(healthy: Running, packed: Path) -> None:
    classifier = Classifier(packed, batch_size=1)
    for image in (JPEG, PNG, GIF, BMP, TIFF, WEBP, AVIF, JPEG2000, PPM):
        said = healthy.ask("/predict", image).json["predictions"][0]["probabilities"]
        (expected,) = classifier.classify([classifier.load(image)[None]])
        assert list(said.values()) == pytest.approx(expected.probabilities[0].tolist(), abs=1e-6)


@pytest.mark.skipif("HEIF" not in Image.OPEN, reason="the extra `heic` is not installed")
@pytest.mark.parametrize("orientation", [1, 6])
def test_heic_is_answered_as_the_same_picture_in_png(healthy: Running, packed: Path, orientation: int) -> None:
    picture, exif = draw_image("red", 0, size=(64, 48)), Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    # From bytes pillow-heif also writes how the picture is turned where readers of HEIC look for it.
    heic = encode(picture, "HEIF", exif=exif.tobytes(), quality=-1, chroma=444)
    png = encode(picture, "PNG", exif=exif)
    classifier = Classifier(packed, batch_size=1)
    pixels = classifier.load(heic)
    # Lossless but for the rounding from YCbCr to RGB.
    assert np.abs(pixels.astype(int) - classifier.load(png)).max() <= 3
    (expected,) = classifier.classify([pixels[None]])
    for path, body in (("/predict", heic), (INFER, write_v2(heic))):
        answer = healthy.ask(path, body)
        assert answer.status == 200, answer.body
    said = healthy.ask("/predict", heic).json["predictions"][0]["probabilities"]
    assert list(said.values()) == pytest.approx(expected.probabilities[0].tolist(), abs=1e-6)


def test_heic_is_refused_with_the_remedy_where_its_package_is_not_installed(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text('import sys\n\nsys.modules["pillow_heif"] = None\n')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    with run_service(packed) as service:
        for path, body, source in (("/predict", heic, "image"), (INFER, write_v2(heic), "image 0")):
            answer = service.ask(path, body)
            assert answer.status == 422
            assert answer.json["error"].startswith(
                f"{source}: a HEIC image: run `.venv/bin/pip install pillow-heif`, or convert it to JPEG"
            )


def test_a_refused_image_gets_the_reason_of_the_decoder(healthy: Running) -> None:
    for data, reason in ((TIFF[:2000], "image: "), (b"some text", "text, which begins with 'some text'")):
        answer = healthy.ask("/predict", data)
        assert answer.status == 422
        assert reason in answer.json["error"]
    assert healthy.count(CODEC) == 0


def test_no_other_codec_takes_what_begins_like_a_common_format() -> None:
    """Pillow asks each format in turn whether it takes a beginning: another one may follow where the first fails."""
    chance = random.Random(0)
    common = {"JPEG", "PNG", "GIF", "BMP"}
    Image.init()
    others = {name: Image.OPEN[name][1] for name in formats.SUFFIXES if name in Image.OPEN and name not in common}
    pieces = [
        *COMMON,
        b"ftypavif",
        b"ftypheic",
        b"II*\0",
        b"MM\0*",
        b"RIFF",
        b"WEBP",
        b"P6",
        b"\xff\x4f\xff\x51",
        b"jP  ",
    ]
    kept = 0
    for _ in range(20_000):
        start = bytearray(chance.choice(COMMON) + chance.randbytes(16))
        for _ in range(2):
            piece, place = chance.choice(pieces), chance.choice([0, 2, 3, 4, 6, 8])
            start[place : place + len(piece)] = piece
        if is_common(bytes(start)):
            kept += 1
            assert not [name for name, accept in others.items() if accept and accept(bytes(start[:16])) is True], (
                start
            )
    assert kept > 1000


def test_a_name_does_not_make_a_file_common(faulty: Running) -> None:
    answer = faulty.ask("/predict", write_form(("photo.png", TIFF)), Content_Type=FORM)
    assert answer.status == 422
    assert "crashed" in answer.json["error"]


def test_a_hanging_codec_ends_soon_after_its_service_was_killed(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(FAULTS)
    code = """
import asyncio, sys
from unfreeze.serving.service.counters import Counters
from unfreeze.serving.service.decoders import Decoders
from unfreeze.serving.service.limits import Limits
decoders = Decoders(Counters(), limits=Limits(seconds_to_decode=2.0), processes=1)
asyncio.run(decoders.decode(sys.stdin.buffer.read(), 32, max_pixels=10**6))
"""
    path = os.pathsep.join([str(tmp_path), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    service = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, env=environment)
    assert service.stdin
    service.stdin.write(WEBP)
    service.stdin.close()
    wait_until((tmp_path / "hanging").exists)
    (child,) = find_processes(service.pid)
    service.kill()
    service.wait()
    wait_until(lambda: not runs(child))
