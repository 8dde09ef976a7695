"""timm's way: its model, its loaders, its optimizer and its schedule, in a loop as in its training script.

Source of the recipe: https://huggingface.co/docs/timm/training_script
"""

import os

import pandas as pd
import timm
import torch
from PIL import Image
from timm.data import create_loader, resolve_data_config
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2

from benchmarks.peers.pytorch.task import Task, holds

HEAD_RATE = 1e-3
RATE = 1e-4


class Images(torch.utils.data.Dataset):
    """The images of a fold."""

    def __init__(self, folder, rows, classes):
        self.paths = [folder / path for path in rows["path"]]
        self.labels = [classes.index(label) for label in rows["label"]]
        self.transform = None

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self.transform(Image.open(self.paths[index]).convert("RGB")), self.labels[index]


def train(task: Task) -> list[str]:
    """Train on the training images and return the labels of the test images."""
    torch.manual_seed(task.seed)
    rows = pd.read_csv(task.split, dtype=str)
    classes = sorted(rows["label"].unique())
    model = timm.create_model(
        task.network, pretrained=True, pretrained_cfg_overlay=task.checkpoint, num_classes=len(classes)
    )
    model.to(memory_format=torch.channels_last)
    config = resolve_data_config({"img_size": task.size}, model=model)
    loaders = {
        fold: create_loader(
            Images(task.images, of_fold, classes),
            config["input_size"],
            task.batch_size,
            is_training=fold == "train",
            interpolation=config["interpolation"],
            mean=config["mean"],
            std=config["std"],
            crop_pct=config["crop_pct"],
            num_workers=os.cpu_count(),
            device=torch.device("cpu"),
            use_prefetcher=False,
        )
        for fold, of_fold in rows.groupby("fold")
    }
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=task.precision == "bfloat16")
    head = [f"{name}." for name, module in model.named_modules() if module is model.get_classifier()]
    in_head = [name for name, _ in model.named_parameters() if name.startswith(tuple(head))]
    names = [name for name, _ in model.named_parameters() if task.trained is None or holds(task.trained, name)]
    fit(model, in_head, loaders, autocast, HEAD_RATE, task.head_epochs, task)
    fit(model, in_head + names, loaders, autocast, RATE, task.epochs, task)
    return [classes[number] for number in predict(model, loaders["test"], autocast)[0].tolist()]


def fit(model, trained, loaders, autocast, rate, epochs, task):
    """Train the parameters of these names."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name in trained
    optimizer = create_optimizer_v2(model, "adamw", lr=rate, weight_decay=0.05)
    schedule, _ = create_scheduler_v2(optimizer, "cosine", num_epochs=epochs)
    for epoch in range(epochs):
        model.train()
        for module in model.modules():
            # The statistics of what is frozen stay as they are.
            if not any(parameter.requires_grad for parameter in module.parameters()):
                module.eval()
        for images, labels in loaders["train"]:
            images = images.contiguous(memory_format=torch.channels_last)
            with autocast:
                loss = torch.nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step(epoch + 1)
        predicted, labels = predict(model, loaders["val"], autocast)
        print(f"epoch {epoch}: accuracy {(predicted == labels).float().mean():.4f}")  # noqa: T201
        task.end_epoch()  # measured


def predict(model, loader, autocast):
    """Return predicted and true class numbers."""
    model.eval()
    predicted, known = [], []
    with torch.inference_mode(), autocast:
        for images, labels in loader:
            predicted.append(model(images.contiguous(memory_format=torch.channels_last)).argmax(dim=1))
            known.append(labels)
    return torch.cat(predicted), torch.cat(known)
