# ruff: noqa: F403, F405 (fastai's guides import all of it)
"""fastai's way: its loaders, its learner, and `fine_tune` with its own rates.

Source of the recipe: https://docs.fast.ai/tutorial.vision.html
"""

from fastai.vision.all import *

from benchmarks.peers.pytorch.task import Task, holds


class Bfloat16(MixedPrecision):
    """fastai's own names the GPU."""

    def before_fit(self):  # noqa: D102
        super().before_fit()
        self.autocast = torch.autocast("cpu", torch.bfloat16)


class Laps(Callback):  # measured
    """Notes the end of each epoch."""

    def __init__(self, task):  # measured
        self.task = task  # measured

    def after_epoch(self):  # noqa: D102  # measured
        self.task.end_epoch()  # measured


def train(task: Task) -> list[str]:
    """Train on the training images and return the labels of the test images."""
    set_seed(task.seed)
    rows = pd.read_csv(task.split, dtype=str)
    test = rows[rows["fold"] == "test"]
    known = rows[rows["fold"] != "test"].assign(is_valid=lambda rows: rows["fold"] == "val")
    changes = None if task.changes is None else aug_transforms(**task.changes)  # measured
    loaders = ImageDataLoaders.from_df(
        known, path=task.images, valid_col="is_valid", item_tfms=Resize(task.size), bs=task.batch_size,
        batch_tfms=changes,  # measured
    )  # fmt: skip
    learner = vision_learner(
        loaders, task.network, pretrained_cfg_overlay=task.checkpoint, splitter=split_at(task.trained)
    )
    learner.model.to(memory_format=torch.channels_last)
    if task.precision == "bfloat16":
        learner.add_cb(Bfloat16("bf16"))
    learner.add_cb(Laps(task))  # measured
    if task.trained is None:
        learner.fine_tune(task.epochs, freeze_epochs=task.head_epochs)
    else:
        # What `fine_tune` does, but for the modules that stay frozen.
        learner.freeze()
        learner.fit_one_cycle(task.head_epochs, slice(2e-3), pct_start=0.99)
        learner.freeze_to(1)
        learner.fit_one_cycle(task.epochs, slice(1e-5, 1e-3), pct_start=0.3, div=5.0)
    probabilities, _ = learner.get_preds(dl=loaders.test_dl(test))
    return [loaders.vocab[number] for number in probabilities.argmax(dim=1)]


def split_at(trained: list[str] | None):
    """Return fastai's groups of parameters: the body, in two parts where not all of it is trained, and the head."""

    def split(model):
        if trained is None:
            return L(model[0], model[1:]).map(params)
        above = [parameter for name, parameter in model[0].named_parameters() if holds(trained, name)]
        below = [parameter for name, parameter in model[0].named_parameters() if not holds(trained, name)]
        return L(below, above, params(model[1:]))

    return split
