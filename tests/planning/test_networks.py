"""What networks cost an image, counted without TensorFlow."""

from pathlib import Path

import pytest

from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.planning.networks import Wish, describe_networks

VGG = Wish(backbone="vgg16", size=32, point="block5_conv1", candidates=("none", {"blocks": 2}))


def test_a_network_is_counted_once_and_then_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths(tmp_path)
    (tmp_path / ".dvc").mkdir()
    (found,) = describe_networks(paths, [VGG])
    # Without its top VGG16 has 14,714,688 parameters (Keras), and each convolution multiplies at each place.
    assert found.end.parameters == 14_714_688
    assert found.at(found.point).name == "block4_pool"
    first = 3 * 3 * 3 * 64 * 32 * 32
    assert found.cuts[1].macs == first
    assert [found.at(position).name for position in found.candidates] == ["block5_pool", "block3_pool"]
    # No process can be started any more.
    monkeypatch.setattr("sys.executable", "/nowhere")
    assert describe_networks(paths, [VGG]) == [found]


def test_an_unfreeze_point_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnfreezeError, match="vgg16 has no such layer"):
        describe_networks(Paths(tmp_path), [VGG.model_copy(update={"point": "block9"})])
