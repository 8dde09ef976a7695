"""Where activations are stored, and where training begins at the pixels instead."""

import pytest

from unfreeze.features.choice import explain, pays

# Cuts of images of 128 pixels: multiply-adds in millions, and thousands of bytes in float16.
PIXELS = 49_152


@pytest.mark.parametrize(
    ("cut", "millions", "kilobytes", "stored"),
    [
        ("mobilenetv2 Conv1_relu", 3.5, 262, False),
        ("mobilenetv2 expanded_conv_project_BN", 6.8, 131, False),
        ("mobilenetv2 block_2_add", 24.8, 49.2, True),
        ("efficientnetv2b0 stem_activation", 3.5, 262, False),
        ("efficientnetv2b0 block2b_add", 75.9, 65.5, True),
        ("xception block1_conv1_act", 3.4, 254, False),
        ("xception add", 177.8, 246, True),
        ("xception add_10", 1400, 93, True),
    ],
)
def test_a_low_cut_of_a_network_does_not_pay(cut: str, millions: float, kilobytes: float, stored: bool) -> None:
    assert pays(round(millions * 1e6), round(kilobytes * 1e3), PIXELS) is stored


def test_activations_no_larger_than_what_they_come_from_pay() -> None:
    assert pays(1, PIXELS, PIXELS)
    assert not pays(1, PIXELS + 1, PIXELS)


def test_a_choice_is_explained_with_its_numbers() -> None:
    assert explain("a", "stem", 6_800_000, 131_072, 1000, stored=False) == (
        "a: training begins at the pixels: activations behind stem would take 131 kB an image for 6.8 million "
        "multiply-adds, 52 a byte; below 100 a step computes them sooner than it reads them"
    )
    assert explain("a", "add", 1_400_000_000, 145_600, 16_000, stored=True) == (
        "a: activations behind add are stored, 146 kB an image, 2.3 GB: no epoch repeats their 1,400.0 million "
        "multiply-adds an image, 9,615 a byte"
    )
