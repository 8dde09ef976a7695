"""timm's networks with the padding, strides and epsilons of Keras', so that weights from Keras give Keras' features.

A user takes a checkpoint of the library's own instead, so none of this is counted as what a user writes.
"""

from typing import Any

import timm
from timm.layers import ClassifierHead
from timm.layers.pool2d_same import MaxPool2dSame
from timm.models import register_model
from torch import nn

# Epsilons of keras.applications; PyTorch's is 1e-5.
EPSILON = 1e-3
RESNET_EPSILON = 1.001e-5


@register_model
def keras_mobilenetv2(pretrained: bool = False, **options: Any) -> nn.Module:
    """Build MobileNetV2, padded as TensorFlow pads."""
    return timm.models.mobilenetv2_100(pretrained, bn_eps=EPSILON, pad_type="same", **options)


@register_model
def keras_efficientnetv2b0(pretrained: bool = False, **options: Any) -> nn.Module:
    """Build EfficientNetV2B0, which timm ported from TensorFlow itself."""
    return timm.models.tf_efficientnetv2_b0(pretrained, **options)


@register_model
def keras_xception(pretrained: bool = False, **options: Any) -> nn.Module:
    """Build Xception, whose pooling is padded as TensorFlow pads."""
    model = timm.models.legacy_xception(pretrained, **options)
    _set_epsilon(model, EPSILON)
    for block in (model.block1, model.block2, model.block3, model.block12):
        block.rep[-1] = MaxPool2dSame(3, 2)
    return model


@register_model
def keras_resnet50(pretrained: bool = False, **options: Any) -> nn.Module:
    """Build ResNet50 of version 1, whose stages halve the image in their first convolution."""
    model = timm.models.resnet50(pretrained, **options)
    _set_epsilon(model, RESNET_EPSILON)
    for stage in (model.layer2, model.layer3, model.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    return model


@register_model
def keras_vgg16(pretrained: bool = False, num_classes: int = 1000, **options: Any) -> nn.Module:
    """Build VGG16 with average pooling in place of its large dense layers, of which Keras' file has no weights."""
    model = timm.models.vgg16(pretrained, num_classes=num_classes, mlp_ratio=1 / 4096, **options)
    model.pre_logits = nn.Identity()
    model.head_hidden_size = model.num_features
    model.head = ClassifierHead(model.num_features, num_classes, pool_type="avg")
    return model


def _set_epsilon(model: nn.Module, epsilon: float) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = epsilon
