"""Port a backbone's weights from Keras, and refuse them unless the features are the same.

    python -m benchmarks.peers.pytorch.port BACKBONE FOLDER

Reads what `benchmarks.peers.export` wrote. Writes FOLDER/BACKBONE.pth, and FOLDER/BACKBONE.ported.json: how pixels
are scaled, which modules the default unfreeze point trains, and the difference of the features.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

import benchmarks.peers.pytorch.networks  # noqa: F401  (registers the networks)

# Largest difference of a feature, of the largest feature.
TOLERANCE = 1e-4
# Mean and deviation of pixels 0..1, by the name of the scaling in Keras.
SCALINGS = {
    "tf": ([0.5] * 3, [0.5] * 3),
    "inside": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "caffe": ([123.68 / 255, 116.779 / 255, 103.939 / 255], [1 / 255] * 3),
}
# Shortcuts, which the two libraries list at different places.
KERAS_SHORTCUT = re.compile(r"_0_(conv|bn)$|^(conv2d|batch_normalization)(_\d+)?$")
TORCH_SHORTCUT = re.compile(r"skip|downsample")


def main(name: str, folder: str) -> None:
    """Port one backbone."""
    stem = Path(folder) / name
    arrays = np.load(stem.with_suffix(".npz"))
    about = json.loads(stem.with_suffix(".json").read_text())
    model = timm.create_model(f"keras_{name}", num_classes=0).eval()
    modules = pair(model, about["layers"])
    load(model, arrays, about["layers"], modules, reverse_channels=about["scaling"] == "caffe")
    mean, std = SCALINGS[about["scaling"]]
    difference = compare(model, arrays["pixels"], arrays["features"], mean, std)
    if not difference <= TOLERANCE:
        sys.exit(f"error: {name}: features differ by {difference:.1e} of the largest, more than {TOLERANCE:.0e}")
    torch.save(model.state_dict(), stem.with_suffix(".pth"))
    trained = [module for layer in about["layers"] if layer["trained"] for module in modules[layer["name"]]]
    said = {"mean": mean, "std": std, "trained": trained, "point": about["point"], "difference": difference}
    stem.with_suffix(".ported.json").write_text(json.dumps(said))
    sys.stdout.write(json.dumps({"backbone": name, "difference": difference}) + "\n")


def pair(model: torch.nn.Module, layers: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the modules that hold each Keras layer's weights; both libraries list them in the network's order."""
    kinds = (torch.nn.Conv2d, torch.nn.BatchNorm2d)
    names = [name for name, module in model.named_modules() if isinstance(module, kinds)]
    pairs = {}
    for is_shortcut in (False, True):
        left = iter([name for name in names if bool(TORCH_SHORTCUT.search(name)) == is_shortcut])
        for layer in layers:
            if bool(KERAS_SHORTCUT.search(layer["name"])) == is_shortcut:
                pairs[layer["name"]] = [next(left) for _ in range(2 if layer["kind"] == "separable" else 1)]
        if rest := list(left):
            raise ValueError(f"no layer of Keras for {', '.join(rest)}")
    return pairs


def load(
    model: torch.nn.Module,
    arrays: dict[str, np.ndarray],
    layers: list[dict[str, Any]],
    modules: dict[str, list[str]],
    *,
    reverse_channels: bool,
) -> None:
    """Copy all weights.

    Args:
        model: The network in PyTorch.
        arrays: Weights by Keras' layer and number.
        layers: Keras' layers.
        modules: What `pair` returns.
        reverse_channels: Whether the network takes BGR: its first kernel is turned round, so that it takes RGB.
    """
    for layer in layers:
        given = [arrays[key] for key in sorted(key for key in arrays if key.rpartition("/")[0] == layer["name"])]
        parts = [model.get_submodule(name) for name in modules[layer["name"]]]
        if layer["kind"] == "norm":
            (norm,) = parts
            for target, array in zip(
                (norm.weight, norm.bias, norm.running_mean, norm.running_var), given, strict=True
            ):
                _copy(target, array)
            continue
        for number, part in enumerate(parts):
            is_depthwise = layer["kind"] == "depthwise" or (layer["kind"] == "separable" and number == 0)
            kernel = given[number].transpose((2, 3, 0, 1) if is_depthwise else (3, 2, 0, 1))
            if layer is layers[0] and reverse_channels:
                kernel = kernel[:, ::-1]
            _copy(part.weight, kernel)
        if biases := given[len(parts) :]:
            if parts[-1].bias is not None:
                _copy(parts[-1].bias, biases[0])
            elif biases[0].any():
                raise ValueError(f"{layer['name']} has a bias, and {modules[layer['name']][-1]} has none")


def compare(
    model: torch.nn.Module, pixels: np.ndarray, features: np.ndarray, mean: list[float], std: list[float]
) -> float:
    """Return the largest difference from Keras' features, of the largest of those."""
    rows = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    shape = (3, 1, 1)
    with torch.inference_mode():
        mine = model.forward_features((rows - torch.tensor(mean).reshape(shape)) / torch.tensor(std).reshape(shape))
    mine = mine.permute(0, 2, 3, 1).numpy()
    return float(np.abs(mine - features).max() / np.abs(features).max())


def _copy(target: torch.Tensor, array: np.ndarray) -> None:
    if target.shape != array.shape:
        raise ValueError(f"shapes differ: {tuple(target.shape)} and {array.shape}")
    with torch.no_grad():
        target.copy_(torch.from_numpy(np.ascontiguousarray(array)))


if __name__ == "__main__":
    main(*sys.argv[1:])
