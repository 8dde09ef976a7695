"""Write a Keras backbone's weights, and its features of random pixels, for the port to PyTorch.

    python -m benchmarks.peers.export BACKBONE WEIGHTS SIZE FOLDER

WEIGHTS is a file, or `random`. Writes FOLDER/BACKBONE.npz and FOLDER/BACKBONE.json.
"""

import sys
from pathlib import Path

import numpy as np

from unfreeze import files
from unfreeze.runtime import console

IMAGES = 4


def main(name: str, weights: str, size: str, folder: str) -> None:
    """Write one backbone."""
    import keras

    from unfreeze.models.backbone import Backbone
    from unfreeze.models.table import find_row

    keras.utils.set_random_seed(0)
    backbone = Backbone(find_row(name), int(size))
    if weights != "random":
        backbone.base.load_weights(weights)
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, int(size), int(size), 3), "uint8")
    features = backbone.build_part(0, backbone.end).predict(pixels.astype("float32"), verbose=0)
    kinds = {
        keras.layers.DepthwiseConv2D: "depthwise",
        keras.layers.SeparableConv2D: "separable",
        keras.layers.Conv2D: "convolution",
        keras.layers.BatchNormalization: "norm",
    }
    first = backbone.find_first_trainable("auto")
    layers = [
        {"name": layer.name, "kind": kinds[type(layer)], "trained": index >= first}
        for index, layer in enumerate(backbone.base.layers)
        if type(layer) in kinds
    ]
    arrays = {
        f"{layer['name']}/{number}": array
        for layer in layers
        for number, array in enumerate(backbone.base.get_layer(layer["name"]).get_weights())
    }
    np.savez(Path(folder) / f"{name}.npz", pixels=pixels, features=features, **arrays)
    point = backbone.base.layers[first].name
    files.write_json(Path(folder) / f"{name}.json", {"scaling": backbone.scaling, "point": point, "layers": layers})


if __name__ == "__main__":
    console.import_tensorflow()
    main(*sys.argv[1:])
