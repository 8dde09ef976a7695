"""Measure PyTorch's step of fine-tuning a whole network, deterministically; one JSON line.

    python -m benchmarks.peers.pytorch.step BACKBONE PRECISION MODE SIZE BATCH STEPS ROUNDS

MODE is `inference` or `training`: that of BatchNorm.
"""

import sys

import timm
import torch
import torchvision

from benchmarks.peers.pytorch.rounds import print_rates

CLASSES = 5
# The libraries' own networks: without TensorFlow's padding, which costs PyTorch time.
NETWORKS = {
    "mobilenetv2": lambda: torchvision.models.mobilenet_v2(num_classes=CLASSES),
    "efficientnetv2b0": lambda: timm.create_model("tf_efficientnetv2_b0", num_classes=CLASSES),
    "xception": lambda: timm.create_model("legacy_xception", num_classes=CLASSES),
    "resnet50": lambda: torchvision.models.resnet50(num_classes=CLASSES),
    "vgg16": lambda: torch.nn.Sequential(
        torchvision.models.vgg16().features,
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Dropout(0.2),
        torch.nn.Linear(512, CLASSES),
    ),
}


def main(name: str, precision: str, mode: str, size: str, batch: str, steps: str, rounds: str) -> None:
    """Print images a second of each round."""
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    model = NETWORKS[name]().train().to(memory_format=torch.channels_last)
    if mode == "inference":
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)
    images = torch.rand(int(batch), 3, int(size), int(size)).to(memory_format=torch.channels_last)
    labels = torch.arange(int(batch)) % CLASSES
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")

    def train() -> None:
        for _ in range(int(steps)):
            optimizer.zero_grad(set_to_none=True)
            with autocast:
                loss = torch.nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()

    print_rates(train, images=int(batch) * int(steps), rounds=int(rounds))


if __name__ == "__main__":
    main(*sys.argv[1:])
