"""The table of backbones as `unfreeze backbones` prints it."""

from collections.abc import Sequence
from typing import Any

import keras
import yaml
from rich.console import Console
from rich.table import Table

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.models.backbone import Backbone
from unfreeze.models.own_backbones import FOLDER, list_own_backbones
from unfreeze.models.table import TABLE, Row, find_row, name_preset
from unfreeze.runtime import console
from unfreeze.settings.backbones import HUB
from unfreeze.settings.base import Pixels


def describe(names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Describe backbones at their native size.

    Args:
        names: Backbones; all of the table and of `conf/backbones` if empty.

    Returns:
        A dictionary each: name, builder, pixels, smallest_size, native_size, layers, parameters,
        parameters_with_top (None where no top is known), unfreeze (the default point), head, and
        unfreeze_points: each block's first layer, its index and the parameters trained from there.
    """
    chosen = [find_row(name) for name in names or [*TABLE, *list_own_backbones()]]
    return [_describe(row) for row in console.track(chosen, "building backbones", len(chosen))]


def add_preset(builder: str, pixels: Pixels | None = None) -> str:
    """Write the settings of a preset of KerasHub into `conf/backbones` of the working folder.

    Args:
        builder: `hub:` and the preset's name, address or folder.
        pixels: How it scales pixels; None reads that from the preset.

    Returns:
        The name of the backbone.

    Raises:
        UnfreezeError: The preset cannot be read or used, or there are such settings already.
    """
    if not builder.startswith(HUB):
        raise UnfreezeError(f"--add {builder}: expected {HUB}PRESET, such as hub:vit_base_patch16_224_imagenet")
    name = name_preset(builder)
    file = FOLDER / f"{name}.yaml"
    if file.exists():
        raise UnfreezeError(f"{file} exists already: study.backbones=[{name}] trains it; remove it to write it again")
    from unfreeze.models import hub

    settings = hub.describe_preset(builder, pixels).model_dump(mode="json", exclude_defaults=True)
    text = yaml.safe_dump(settings, sort_keys=False)
    files.write_text(file, f"# Written by `unfreeze backbones --add {builder}`.\n{text}")
    console.log.info("wrote %s: study.backbones=[%s] trains it", file, name)
    return name


def show(rows: list[dict[str, Any]]) -> None:
    """Print the descriptions as a table, with each backbone's topmost unfreeze points."""
    table = Table(
        "backbone",
        "pixels",
        "smallest",
        "native",
        "layers",
        "parameters",
        "with top",
        "default",
        "blocks from the top",
        caption="sizes are image sides in pixels: the smallest the network takes, and the one it was trained on; "
        "default: the first layer trained if nothing else is set; pixels: what the network expects "
        "(inside: 0..255, it scales them itself; tf: -1..1; caffe: BGR less the mean; torch: normalized), which the "
        "saved model does itself",
    )
    for row in rows:
        top = row["parameters_with_top"]
        points = ", ".join(point["layer"] for point in reversed(row["unfreeze_points"][-3:]))
        more = len(row["unfreeze_points"]) - 3
        table.add_row(
            row["name"], row["pixels"], str(row["smallest_size"]), str(row["native_size"]), str(row["layers"]),
            f"{row['parameters']:,}", "" if top is None else f"{top:,}", row["unfreeze"],
            points + (f" and {more} more" if more > 0 else ""),
        )  # fmt: skip
    # Wide enough for every column where the output is not a terminal.
    Console(width=None if Console().is_terminal else 200).print(table)


def _describe(row: Row) -> dict[str, Any]:
    backbone = Backbone(row, row.native_size)
    layers = backbone.base.layers
    points = [
        {
            "layer": layers[first].name,
            "index": first,
            "trainable_parameters": sum(layer.count_params() for layer in layers[first:]),
        }
        for first in backbone.find_block_starts()
    ]
    return {
        "name": row.name,
        "builder": row.builder,
        "pixels": row.pixels,
        "smallest_size": row.smallest_size,
        "native_size": row.native_size,
        "layers": len(layers),
        "parameters": int(backbone.base.count_params()),
        "parameters_with_top": _count_with_top(row),
        "unfreeze": backbone.name_point("auto"),
        "head": [layer if isinstance(layer, str) else layer.model_dump() for layer in row.head],
        "unfreeze_points": points,
    }


def _count_with_top(row: Row) -> int | None:
    if row.origin != "applications":
        return None
    return int(getattr(keras.applications, str(row.builder))(weights=None, include_top=True).count_params())
