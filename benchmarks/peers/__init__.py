"""This project against what users would pick instead: fastai and timm, on PyTorch."""
