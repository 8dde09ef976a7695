"""Presets of KerasHub: their networks, and their weights in networks of standard Keras layers.

KerasHub is an extra, imported where a preset is read: to describe it, to bring its weights, and to build a network of
convolutions. A vision transformer is built without it, from the settings in `conf/backbones`.
"""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from unfreeze.errors import UnfreezeError, shorten
from unfreeze.models.pixels import TORCH_MEAN, TORCH_STD
from unfreeze.models.table import Row
from unfreeze.settings.backbones import HUB, OwnBackbone, Transformer
from unfreeze.settings.base import Pixels

# Of image and text together only the network of images is taken.
FAMILIES = {"ViTBackbone": "vit", "DINOV2Backbone": "dinov2", "SigLIPVisionEncoder": "siglip"}


def import_hub() -> Any:
    """Return KerasHub.

    Raises:
        UnfreezeError: It is not installed.
    """
    if not importlib.util.find_spec("keras_hub"):
        raise UnfreezeError("presets of KerasHub need the extra `hub`, which is not installed: run `make hub`")
    # Its client of Hugging Face reports what it downloads.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import keras_hub

    return keras_hub


def read_preset(builder: str, *, weights: bool) -> keras.Model:
    """Return KerasHub's network of a preset; of image and text only the one of images.

    Args:
        builder: `hub:` and the preset's name, address or folder.
        weights: Whether to load its weights; random ones else.

    Raises:
        UnfreezeError: KerasHub is not installed, or knows no such preset or cannot reach it.
    """
    hub = import_hub()
    preset = builder.removeprefix(HUB)
    try:
        network = hub.models.Backbone.from_preset(preset, load_weights=weights)
    # Whatever its clients of Kaggle and Hugging Face raise.
    except Exception as error:
        raise UnfreezeError(
            f"preset {preset} of KerasHub cannot be read ({shorten(error, named=True)}): correct its name "
            "(https://keras.io/keras_hub/presets lists them), make its host reachable, or give the whole folder of a "
            f"preset that was downloaded elsewhere, {HUB}PATH"
        ) from error
    return getattr(network, "vision_encoder", network)


def describe_preset(builder: str, pixels: Pixels | None = None) -> OwnBackbone:
    """Return a preset as the settings of a backbone.

    Args:
        builder: `hub:` and the preset's name, address or folder.
        pixels: How its pixels are scaled; None reads that from the preset.

    Raises:
        UnfreezeError: The preset cannot be read, or not be used as a backbone.
    """
    network = read_preset(builder, weights=False)
    spec, side = describe_network(network, builder)
    return OwnBackbone(
        builder=builder,
        pixels=pixels or _read_pixels(builder),
        smallest_size=spec.patch if spec else 32,
        native_size=side,
        transformer=spec,
    )


def describe_network(network: keras.Model, builder: str) -> tuple[Transformer | None, int]:
    """Return which transformer a network of KerasHub is, None for convolutions, and its image side.

    Args:
        network: KerasHub's.
        builder: Whose it is, for errors.

    Raises:
        UnfreezeError: It is neither a transformer of these families nor convolutions with one feature map.
    """
    family = FAMILIES.get(type(network).__name__)
    config = network.get_config()
    side = config.get("image_shape", (None,))[0] or 224
    if family is None:
        is_map = len(network.outputs) == 1 and len(network.outputs[0].shape) == 4
        # What KerasHub's own layers compute is not in a saved model.
        if not is_map or not all(type(layer).__module__.startswith("keras.") for layer in network.layers):
            raise _refuse(network, builder)
        return None, side
    patch = config["patch_size"]
    common = {
        "family": family,
        "patch": patch if isinstance(patch, int) else patch[0],
        "width": config["hidden_dim"],
        "depth": config["num_layers"],
        "heads": config["num_heads"],
    }
    if family == "vit":
        further = {
            "mlp": config["mlp_dim"],
            "epsilon": config["layer_norm_epsilon"],
            "class_token": config["use_class_token"],
            "patch_bias": config["use_patch_bias"],
            "attention_bias": config["use_mha_bias"],
            "mlp_bias": config["use_mlp_bias"],
        }
    elif family == "dinov2":
        # The side of its embeddings of positions, from which it takes those of other sides.
        side = config["position_embedding_shape"][0]
        mlp, gated = config["intermediate_dim"], config["use_swiglu_ffn"]
        further = {
            "mlp": (int(mlp * 2 / 3) + 7) // 8 * 8 if gated else mlp,
            "activation": "swiglu" if gated else "gelu",
            "registers": config["num_register_tokens"],
            "layer_scale": True,
            "antialias": config["antialias_in_interpolation"],
        }
    else:
        if config["intermediate_activation"] not in ("gelu", "gelu_approximate"):
            raise _refuse(network, builder)
        further = {
            "mlp": config["intermediate_dim"],
            "activation": config["intermediate_activation"],
            "epsilon": config["layer_norm_epsilon"],
            "class_token": False,
        }
    return Transformer.model_validate(common | further), side


def make_network(spec: Transformer, side: int) -> keras.Model:
    """Return KerasHub's own network of a transformer, with random weights, to read its files with.

    Args:
        spec: The network.
        side: Image side that its embeddings of positions are for.
    """
    hub = import_hub()
    common = {
        "patch_size": spec.patch,
        "num_layers": spec.depth,
        "num_heads": spec.heads,
        "hidden_dim": spec.width,
        "image_shape": (side, side, 3),
    }
    if spec.family == "vit":
        return hub.models.ViTBackbone(
            **common,
            mlp_dim=spec.mlp,
            layer_norm_epsilon=spec.epsilon,
            use_class_token=spec.class_token,
            use_patch_bias=spec.patch_bias,
            use_mha_bias=spec.attention_bias,
            use_mlp_bias=spec.mlp_bias,
        )
    if spec.family == "dinov2":
        gated = spec.activation == "swiglu"
        return hub.models.DINOV2Backbone(
            **common,
            # It takes two thirds of it, rounded up to a multiple of 8.
            intermediate_dim=-(-spec.mlp * 3 // 2) if gated else spec.mlp,
            use_swiglu_ffn=gated,
            num_register_tokens=spec.registers,
            position_embedding_shape=(side, side, 3),
            antialias_in_interpolation=spec.antialias,
        )
    return hub.models.SigLIPVisionEncoder(
        **common,
        intermediate_dim=spec.mlp,
        intermediate_activation=spec.activation,
        layer_norm_epsilon=spec.epsilon,
    )


def load_preset(row: Row, target: keras.Model) -> None:
    """Load a preset's weights into a backbone of its native size.

    Args:
        row: The backbone.
        target: Its network; changed in place.

    Raises:
        UnfreezeError: The preset cannot be read, or is another one than the settings say.
    """
    source = read_preset(str(row.builder), weights=True)
    if row.transformer is None:
        for layer in target.layers:
            if layer.weights:
                layer.set_weights(source.get_layer(layer.name).get_weights())
        return
    found = describe_network(source, str(row.builder))
    if found != (row.transformer, row.native_size):
        raise UnfreezeError(
            f"backbone {row.name}: {row.builder} is another network than conf/backbones/{row.name}.yaml says: write "
            f"the settings again, `unfreeze backbones --add {row.builder}`"
        )
    copy_weights(row.transformer, source, target)


def load_file(row: Row, path: Path, target: keras.Model) -> None:
    """Load the weights file of a preset, as KerasHub saves it, into a backbone of its native size.

    Args:
        row: The backbone.
        path: `model.weights.h5` of a preset that holds a network of images alone.
        target: Its network; changed in place.

    Raises:
        UnfreezeError: KerasHub is not installed, or the file holds other weights.
    """
    spec = row.transformer
    assert spec is not None
    source = make_network(spec, row.native_size)
    try:
        source.load_weights(path)
    except (OSError, KeyError, ValueError) as error:
        raise UnfreezeError(
            f"weights file {path} does not fit {row.name}, as it is saved here or by KerasHub ({shorten(error)}): "
            "check that it was saved for this backbone and is complete"
        ) from error
    copy_weights(spec, source, target)


def copy_weights(spec: Transformer, source: keras.Model, target: keras.Model) -> None:
    """Copy the weights of KerasHub's network into the same transformer of standard layers.

    Args:
        spec: The network.
        source: KerasHub's network.
        target: What `build_transformer` returns for the side of the source's embeddings of positions.
    """
    patches, first, positions, blocks, norm = PARTS[spec.family](source)
    target.get_layer("patches").set_weights(patches.get_weights())
    learned = np.concatenate([*first, positions])
    target.get_layer("positions").set_weights([learned.reshape(1, -1)])
    for number, block in enumerate(blocks, start=1):
        _copy_block(block, target, f"block{number}")
    target.get_layer("norm").set_weights(norm.get_weights())


def _copy_block(block: Any, target: keras.Model, name: str) -> None:
    norm1, attention, norm2, dense1, dense2, *scales = BLOCKS[type(block).__name__](block)
    given = {
        "norm1": norm1.get_weights(),
        "attention": attention.get_weights(),
        "norm2": norm2.get_weights(),
        "dense1": dense1.get_weights(),
        "dense2": dense2.get_weights(),
        **{f"scale{number}": [np.reshape(scale.lambda1, (1, -1, 1))] for number, scale in enumerate(scales, start=1)},
    }
    if f"{name}_gate" in {layer.name for layer in target.layers}:
        halves = [np.split(weight, 2, axis=-1) for weight in given["dense1"]]
        given["gate"], given["dense1"] = ([half[part] for half in halves] for part in (0, 1))
    for part, values in given.items():
        target.get_layer(f"{name}_{part}").set_weights(values)


def _read_vit(source: Any) -> tuple[Any, list[np.ndarray], np.ndarray, list[Any], Any]:
    embedding, encoder = source.get_layer("vit_patching_and_embedding"), source.get_layer("vit_encoder")
    positions = np.asarray(embedding.position_embedding.embeddings)
    if not embedding.use_class_token:
        return embedding.patch_embedding, [], positions, encoder.encoder_layers, encoder.layer_norm
    first = np.asarray(embedding.class_token)[0] + positions[:1]
    return embedding.patch_embedding, [first], positions[1:], encoder.encoder_layers, encoder.layer_norm


def _read_dinov2(source: Any) -> tuple[Any, list[np.ndarray], np.ndarray, list[Any], Any]:
    embedding = source.embeddings
    positions = np.asarray(embedding.position_embeddings)[0]
    first = [np.asarray(embedding.cls_token)[0] + positions[:1]]
    if embedding.num_register_tokens:
        # They are set in behind the addition of positions.
        first.append(np.asarray(embedding.register_tokens)[0])
    return embedding.patch_embeddings.projection, first, positions[1:], source.encoder.layers, source.layernorm


def _read_siglip(source: Any) -> tuple[Any, list[np.ndarray], np.ndarray, list[Any], Any]:
    embedding = source.embedding
    positions = np.asarray(embedding.position_embedding.embeddings)
    return embedding.patch_embedding, [], positions, source.encoder_layers, source.post_layer_norm


# How each family calls the embedding of patches, the vectors of the first tokens, those of places, blocks and norm.
PARTS = {"vit": _read_vit, "dinov2": _read_dinov2, "siglip": _read_siglip}
# And in a block norms, attention and dense layers.
BLOCKS: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "ViTEncoderBlock": lambda block: (
        block.layer_norm_1, block.mha, block.layer_norm_2, block.mlp.dense_1, block.mlp.dense_2
    ),
    "DINOV2Layer": lambda block: (
        block.norm1, block.attention.attention, block.norm2,
        *((block.mlp.weights_in, block.mlp.weights_out) if block.use_swiglu_ffn else (block.mlp.fc1, block.mlp.fc2)),
        block.layer_scale1, block.layer_scale2
    ),
    "SigLIPEncoderLayer": lambda block: (
        block.layer_norm1, block.self_attn, block.layer_norm2, block.mlp.fc1, block.mlp.fc2
    ),
}  # fmt: skip


def _refuse(network: keras.Model, builder: str) -> UnfreezeError:
    return UnfreezeError(
        f"{builder} is a {type(network).__name__} of KerasHub, which cannot be a backbone here: take a preset of "
        "ViT, DINOv2 or SigLIP, or one of convolutions with one feature map"
    )


def _read_pixels(builder: str) -> Pixels:
    """Return how a preset's own converter scales pixels."""
    hub = import_hub()
    remedy = f"say it yourself, `unfreeze backbones --add {builder} --pixels tf` (or unit, torch, caffe, inside)"
    try:
        converter = hub.layers.ImageConverter.from_preset(builder.removeprefix(HUB))
    except Exception as error:
        raise UnfreezeError(f"{builder} does not say how it scales pixels ({shorten(error)}): {remedy}") from error
    scale = np.ones(3) if converter.scale is None else np.broadcast_to(converter.scale, 3)
    offset = np.zeros(3) if converter.offset is None else np.broadcast_to(converter.offset, 3)
    mean, std = np.array(TORCH_MEAN), np.array(TORCH_STD)
    known: dict[Pixels, tuple[Any, Any]] = {
        "inside": (1, 0),
        "tf": (1 / 127.5, -1),
        "unit": (1 / 255, 0),
        "torch": (1 / (255 * std), -mean / std),
    }
    for kind, (factor, shift) in known.items():
        if np.allclose(255 * scale, 255 * factor, atol=1e-3) and np.allclose(offset, shift, atol=1e-3):
            return kind
    raise UnfreezeError(
        f"{builder} scales pixels by {scale.tolist()} and adds {offset.tolist()}, which is none of the kinds here: "
        f"{remedy}, if one of them is close enough"
    )
