"""Why a model said what it said: the places that a class was seen at, and training images that look alike to it."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from sklearn.neighbors import NearestNeighbors

from unfreeze.models import graph
from unfreeze.models.backbone import find_input, take_apart

# Pictures at a time: with their activations and gradients some 50 MB at 160 pixels, and most numbers of pictures to
# explain are a multiple, so that the function is traced once.
BATCH = 8
COLOURS = "turbo"
# How much of the hottest place the colour covers.
OPACITY = 0.6
# From images and class numbers to heat and what is at a position.
Look = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class Explained:
    """What a model saw in some pictures.

    Args:
        heat: How much each place speaks for the class, or, of a transformer, how much attention reaches it; float32,
            shape (images, height, width), 0 to 1 in each picture, and all 0 where nothing speaks for the class.
        activations: What the backbone gave at the position that was asked for; float32, the images first.
    """

    heat: np.ndarray
    activations: np.ndarray


def explain(model: keras.Model, pixels: np.ndarray, classes: np.ndarray, *, position: int = 0) -> Explained:
    """Return which places of a picture speak for a class, and what the backbone gives at a position.

    The heat is Grad-CAM: the last activations are taken that still have more than one place, and the class's score
    before softmax or sigmoid, whose gradient stays of use where the model is sure (Selvaraju et al. 2017, "Grad-CAM:
    Visual Explanations from Deep Networks via Gradient-based Localization").

    A transformer mixes all places in each block, so that its last tokens stand for no place of their own. There the
    attention of all blocks is multiplied, half of it for the path that skips it (Abnar and Zuidema 2020, "Quantifying
    Attention Flow in Transformers"): from the tokens that the head reads back to the patches. It says where the
    network looked, whatever the class; each picture's least patch counts as 0.

    Args:
        model: A whole model as it is saved: pixels, their scaling, the nested backbone, the nested head.
        pixels: uint8 array of shape (images, height, width, 3), RGB.
        classes: The class number to explain, one a picture.
        position: An articulation point of the backbone's operations, as `Backbone.build_part` takes it: it has the
            same number in each order of them. 0 is the backbone's input.

    Returns:
        The heat and the activations.
    """
    return Explainer(model, position=position).explain(pixels, classes)


class Explainer:
    """Explains pictures in any number of calls; the model is taken apart and traced once.

    Args:
        model: As for `explain`.
        position: As for `explain`.
    """

    def __init__(self, model: keras.Model, *, position: int = 0) -> None:
        size = model.input.shape[1:3]
        attends = graph.list_attention(_find_parts(model)[1])
        look, shape = _trace_attention(model, position) if attends else _trace_gradient(model, position)

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator, unused-ignore]
        def look_at(batch: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            heat, at_position = look(batch, numbers)
            return tf.image.resize(heat, size)[..., 0], at_position

        self._look = look_at
        self._nothing = tuple(np.zeros((0, *shape), "float32") for shape in (size, shape))

    def explain(self, pixels: np.ndarray, classes: np.ndarray) -> Explained:
        """Return the heat and the activations of some pictures, as `explain` does."""
        heats, given = ([nothing] for nothing in self._nothing)
        for start in range(0, len(pixels), BATCH):
            some = slice(start, start + BATCH)
            heat, at_position = self._look(tf.constant(pixels[some]), tf.constant(classes[some]))
            heats.append(heat.numpy())
            given.append(at_position.numpy())
        heat = np.concatenate(heats)
        hottest = heat.max(axis=(1, 2), keepdims=True, initial=0)
        relative = np.divide(heat, hottest, out=np.zeros_like(heat), where=hottest > 0)
        return Explained(relative, np.concatenate(given))


def overlay(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay heat over pictures: the hotter a place, the more of its colour covers it.

    Args:
        pixels: uint8 array of shape (..., height, width, 3), RGB.
        heat: Array of shape (..., height, width), 0 to 1.

    Returns:
        uint8 array of the shape of `pixels`.
    """
    colours = 255 * matplotlib.colormaps[COLOURS](heat)[..., :3]
    cover = OPACITY * heat[..., None]
    covered: np.ndarray = np.rint((1 - cover) * pixels + cover * colours).astype("uint8")
    return covered


def find_nearest(features: np.ndarray, queries: np.ndarray, *, count: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return which of some images look most alike to the network.

    Args:
        features: Array of shape (images, channels), one or more.
        queries: Array of shape (queries, channels).
        count: How many for each query; all if there are fewer.

    Returns:
        Row numbers in `features`, nearest first, and their cosine distances (0 to 2), of shape (queries, count).
    """
    neighbours = NearestNeighbors(n_neighbors=min(count, len(features)), metric="cosine").fit(features)
    distances, indices = neighbours.kneighbors(queries)
    return indices, distances


def _trace_gradient(model: keras.Model, position: int) -> tuple[Look, tuple[int, ...]]:
    """Return Grad-CAM, of shape (images, height, width, 1), and the shape of what is at a position."""
    before, after = _split(model, position)

    def look(batch: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        activations, at_position = before(batch, training=False)
        with tf.GradientTape() as tape:
            tape.watch(activations)
            scores = tf.gather(after(activations, training=False), numbers, axis=1, batch_dims=1)
        weights = tf.reduce_mean(tape.gradient(scores, activations), axis=(1, 2), keepdims=True)
        return tf.nn.relu(tf.reduce_sum(weights * activations, axis=-1, keepdims=True)), at_position

    return look, tuple(before.output[1].shape[1:])


def _trace_attention(model: keras.Model, position: int) -> tuple[Look, tuple[int, ...]]:
    """Return attention rollout, of shape (images, height, width, 1), and the shape of what is at a position."""
    scaled, backbone, head = _find_parts(model)
    attending = graph.list_attention(backbone)
    asked = [tensor for _, tensors in attending for tensor in tensors]
    given = keras.Model(backbone.input, [*asked, backbone.operations[position].output])(scaled, training=False)
    looked = keras.Model(model.input, given[:-1] + [given[-1] if position else scaled])
    # The grid of patches, behind whose tokens none follow.
    height, width = [one.output.shape[1:3] for one in backbone.operations if len(one.output.shape) == 4][-1]
    takes_first = isinstance(head.operations[1], keras.layers.Cropping1D)

    def look(batch: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        *tensors, at_position = looked(batch, training=False)
        rollout = tf.eye(tensors[0].shape[1])[None]
        for layer, called_with in attending:
            given, tensors = tensors[: len(called_with)], tensors[len(called_with) :]
            _, scores = layer(*given, return_attention_scores=True, training=False)
            # Each row adds up to 1, and so do those of the product.
            rollout = (tf.reduce_mean(scores, axis=1) @ rollout + rollout) / 2
        reached = rollout[:, 0] if takes_first else tf.reduce_mean(rollout, axis=1)
        of_patches = reached[:, -height * width :]
        heat = of_patches - tf.reduce_min(of_patches, axis=1, keepdims=True)
        return tf.reshape(heat, (-1, height, width, 1)), at_position

    return look, tuple(looked.output[-1].shape[1:])


def _split(model: keras.Model, position: int) -> tuple[keras.Model, keras.Model]:
    """Cut a whole model where activations have more than one place for the last time.

    Returns:
        The model from pixels to these activations and to those at a position, and the one from the former to the
        score of each class.
    """
    scaled, backbone, head = _find_parts(model)
    point = max(
        point for point in graph.find_articulation_points(backbone) if _has_places(backbone.operations[point])
    )
    given = {0: scaled}
    for start, end in itertools.pairwise(sorted({0, position, point})):
        given[end] = graph.build_segment(backbone, start, end)(given[start], training=False)
    inputs = keras.Input(given[point].shape[1:])
    end = len(backbone.operations) - 1
    after = keras.Model(
        inputs, _build_scorer(head)(graph.build_segment(backbone, point, end)(inputs, training=False))
    )
    return keras.Model(model.input, [given[point], given[position]]), after


def _find_parts(model: keras.Model) -> tuple[Any, keras.Model, keras.Model]:
    """Return the scaled pixels that a whole model feeds to its backbone, the backbone and the head."""
    return find_input(find_input(model.output)), *take_apart(model)


def _has_places(operation: Any) -> bool:
    shape = operation.output.shape
    return len(shape) == 4 and shape[1] > 1


def _build_scorer(head: keras.Model) -> keras.Model:
    """Return the head without its softmax or sigmoid; one unit stands for the second class, and against the first."""
    last = [layer for layer in head.layers if isinstance(layer, keras.layers.Dense)][-1]
    scores = keras.ops.matmul(last.input, last.kernel) + last.bias
    if last.units == 1:
        scores = keras.ops.concatenate([-scores, scores], axis=1)
    return keras.Model(head.input, scores)
