"""Why a model said what it said: the places that a class was seen at, and training images that look alike to it."""

from typing import Any

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from sklearn.neighbors import NearestNeighbors

from unfreeze.models import graph
from unfreeze.models.backbones import fed_to

# Pictures at a time: with their activations and gradients some 50 MB at 160 pixels, and most numbers of pictures to
# explain are a multiple, so that the function is traced once.
BATCH = 8
# A call without a traced function, which takes longer to trace than pictures take, keeps what all layers gave to its
# end: 40 MB a picture.
FEW = 4
COLOURS = "turbo"
# How much of the hottest place the colour covers.
OPACITY = 0.6


def grad_cam(model: keras.Model, pixels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return how much each place of a picture speaks for a class: Grad-CAM.

    Taken are the last activations that still have more than one place, and the class's score before softmax or
    sigmoid, whose gradient stays of use where the model is sure (Selvaraju et al. 2017, "Grad-CAM: Visual
    Explanations from Deep Networks via Gradient-based Localization").

    Args:
        model: A whole model as it is saved: pixels, their scaling, the nested backbone, the nested head.
        pixels: uint8 array of shape (images, height, width, 3), RGB.
        classes: The class number to explain, one a picture.

    Returns:
        float32 array of shape (images, height, width), 0 to 1 in each picture; all 0 where nothing speaks for the
        class.
    """
    before, after = _split(model)
    size = pixels.shape[1:3]

    @tf.function(reduce_retracing=True)
    def heat_of(batch: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        activations = before(batch, training=False)
        with tf.GradientTape() as tape:
            tape.watch(activations)
            scores = tf.gather(after(activations, training=False), numbers, axis=1, batch_dims=1)
        weights = tf.reduce_mean(tape.gradient(scores, activations), axis=(1, 2), keepdims=True)
        heat = tf.nn.relu(tf.reduce_sum(weights * activations, axis=-1, keepdims=True))
        return tf.image.resize(heat, size)[..., 0]

    parts = [
        np.asarray(heat_of(tf.constant(pixels[start : start + BATCH]), tf.constant(classes[start : start + BATCH])))
        for start in range(0, len(pixels), BATCH)
    ]
    heat = np.concatenate([np.zeros((0, *size), "float32"), *parts])
    hottest = heat.max(axis=(1, 2), keepdims=True, initial=0)
    return np.divide(heat, hottest, out=np.zeros_like(heat), where=hottest > 0)


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
    return np.rint((1 - cover) * pixels + cover * colours).astype("uint8")


def activations(model: keras.Model, pixels: np.ndarray, position: int) -> np.ndarray:
    """Return what a whole model's backbone gives at a position.

    Args:
        model: A whole model as it is saved.
        pixels: uint8 array of shape (images, height, width, 3), RGB; one or more.
        position: An articulation point of the backbone's operations, as `Backbone.part` takes it: it has the same
            number in each order of them.

    Returns:
        float32 array, the images first.
    """
    scaled, backbone, _ = _parts(model)
    part = keras.Model(model.input, graph.segment(backbone, 0, position)(scaled, training=False))
    starts = range(0, len(pixels), FEW)
    return np.concatenate([np.asarray(part(pixels[start : start + FEW], training=False)) for start in starts])


def nearest(features: np.ndarray, queries: np.ndarray, *, count: int = 3) -> tuple[np.ndarray, np.ndarray]:
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


def _split(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Cut a whole model where activations have more than one place for the last time.

    Returns:
        The model from pixels to these activations, and the one from them to the score of each class.
    """
    scaled, backbone, head = _parts(model)
    point = max(point for point in graph.articulation_points(backbone) if _has_places(backbone.operations[point]))
    before = keras.Model(model.input, graph.segment(backbone, 0, point)(scaled, training=False))
    inputs = keras.Input(before.output.shape[1:])
    end = len(backbone.operations) - 1
    return before, keras.Model(inputs, _scores(head)(graph.segment(backbone, point, end)(inputs, training=False)))


def _parts(model: keras.Model) -> tuple[Any, keras.Model, keras.Model]:
    """Return the scaled pixels that a whole model feeds to its backbone, the backbone and the head."""
    features = fed_to(model.output)
    return fed_to(features), features._keras_history.operation, model.output._keras_history.operation


def _has_places(operation: Any) -> bool:
    shape = operation.output.shape
    return len(shape) == 4 and shape[1] > 1


def _scores(head: keras.Model) -> keras.Model:
    """Return the head without its softmax or sigmoid; one unit stands for the second class, and against the first."""
    last = [layer for layer in head.layers if isinstance(layer, keras.layers.Dense)][-1]
    scores = keras.ops.matmul(last.input, last.kernel) + last.bias
    if last.units == 1:
        scores = keras.ops.concatenate([-scores, scores], axis=1)
    return keras.Model(head.input, scores)
