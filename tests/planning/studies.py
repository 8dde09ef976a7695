"""A study of two backbones, written out: settings, layers of a network, and jobs."""

from typing import Any

from unfreeze.planning.jobs import Job, Scale, describe_job
from unfreeze.planning.networks import Cut, Network

MILLION = 10**6
PHASE = {
    "optimizer": "adam", "learning_rate": 1e-4, "schedule": "constant", "epochs": 4, "batch_size": 32, "patience": 3,
    "weight_decay": 0, "layer_decay": 1, "label_smoothing": 0, "dropout": None, "views": None,
}  # fmt: skip
SETTINGS: dict[str, Any] = {
    "data": {"kind": "folder", "source": "images"},
    "preprocess": {"image_size": 160},
    "split": {"train": 0.6, "val": 0.2, "test": 0.2, "method": "exact", "tolerance": 0.1},
    "augment": {
        "views": 1, "horizontal_flip": True, "vertical_flip": False, "rotation": 0, "shear": 0, "scale": 0,
        "brightness": 0,
    },
    "extract": {"engine": "auto", "precision": "float32", "batch_size": 8, "dtype": "float16", "max_gb": 20},
    "unfreeze": {"point": {"default": "auto"}, "candidates": {"default": [{"blocks": 1}, {"blocks": 2}]}},
    "head": {"layers": {"default": "auto"}, "output": "softmax"},
    "train": {"head": {"default": {**PHASE, "epochs": 40}}, "finetune": {"default": PHASE}},
    "search": {"enabled": {"default": True, "off": False}, "max_trials": 4, "deeper": 3, "epochs": 1, "max_gb": 20},
    "serve": {"error_rate": 0.05, "false_alarms": 0.01, "reference_images": 1000},
    "evaluate": {"pictures": 12, "corruption_images": 0},
}  # fmt: skip
NETWORK = Network(
    cuts=tuple(
        Cut(
            position=position, name=name, row_values=row_values,
            macs=macs * MILLION, values=values * MILLION, trained_values=values * MILLION,
            parameters=parameters * MILLION,
        )
        for position, name, row_values, macs, values, parameters in (
            (0, "pixels", 76_800, 0, 0, 0),
            (3, "early", 20_000, 1, 1, 1),
            (8, "late", 50_000, 2000, 15, 15),
            (9, "top", 40_000, 2100, 16, 18),
            (12, "end", 2_000, 2300, 17, 20),
        )
    ),
    point=9,
    candidates=(9, 8),
)  # fmt: skip


def changed(**sections: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with some keys changed."""
    return {**SETTINGS, **{name: {**SETTINGS[name], **change} for name, change in sections.items()}}


def job(stage: str, *, images: int = 2000, settings: dict[str, Any] | None = None, **options: Any) -> Job:
    """Return the work of a stage of a backbone."""
    scale = Scale(images=images, raw_mb=images / 20, backbones=2, seeds=options.pop("seeds", 0))
    return describe_job(stage, options.pop("backbone", "a"), settings or SETTINGS, scale, NETWORK, **options)
