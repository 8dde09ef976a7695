"""Cutting a backbone's graph where all paths pass through one tensor.

A frozen layer gives the same answer in every epoch, so everything before the first trainable layer need run
only once an image. The graph may be cut at its articulation points: tensors that every path from the input
to the output passes through. Position `p` in the list of operations is such a point if, once operations
`0..p` have run, the output of `p` is the only tensor that a later operation still needs.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from unfreeze.errors import UnfreezeError
from unfreeze.settings.training import BlockCount, ParameterShare, UnfreezePoint

# A block ends where paths that had parted meet again, in a layer or, as in ConvNeXt, in an operation of that name.
MERGES = ("Add", "Concatenate")


def find_articulation_points(backbone: keras.Model) -> list[int]:
    """Return the positions in `backbone.operations` whose output all later operations depend on alone.

    Args:
        backbone: A functional model with one input and one output.

    Returns:
        Ascending positions; the first is the input (0), the last the output.
    """
    operations = backbone.operations
    position = {id(operation): index for index, operation in enumerate(operations)}
    last_use = list(range(len(operations)))
    for index, operation in enumerate(operations):
        for producer in list_producers(operation):
            last_use[position[id(producer)]] = max(last_use[position[id(producer)]], index)
    last_use[-1] = len(operations)
    points, needed_until = [], 0
    for index in range(len(operations)):
        # No earlier tensor is used after this operation.
        if needed_until <= index:
            points.append(index)
        needed_until = max(needed_until, last_use[index])
    return points


def iterate_operations(model: keras.Model) -> Iterator[Any]:
    """Yield the operations of a model, and after each inner model those of it.

    Args:
        model: A functional model.
    """
    for operation in model.operations:
        yield operation
        if hasattr(operation, "operations"):
            yield from iterate_operations(operation)


def find_cut(backbone: keras.Model, first_trainable: int) -> int:
    """Return the last articulation point with only frozen layers up to it.

    Args:
        backbone: A functional model.
        first_trainable: Index in `backbone.layers`; the number of layers if all are frozen.

    Returns:
        A position in `backbone.operations`; 0 is the input, so that nothing is left to run before the cut.
    """
    layers = backbone.layers
    end = len(backbone.operations)
    if first_trainable < len(layers):
        end = backbone.operations.index(layers[first_trainable])
    return max((point for point in find_articulation_points(backbone) if point < end), default=0)


def build_segment(backbone: keras.Model, start: int, stop: int) -> keras.Model:
    """Return the part of a backbone after one articulation point and up to another; it shares the weights.

    Args:
        backbone: A functional model.
        start: Position whose output is the segment's input.
        stop: Position whose output is the segment's output; `stop >= start`.

    Returns:
        A functional model over the same layer objects.
    """
    before, after = backbone.operations[start].output, backbone.operations[stop].output
    if start == stop:
        before = after = keras.Input(before.shape[1:])
    return keras.Model(before, after, name=f"{backbone.name}_{start}_{stop}")


def find_block_starts(backbone: keras.Model) -> list[int]:
    """Return the index in `backbone.layers` of the first layer of every block, from the bottom up.

    A block ends at an articulation point where paths have met again (an Add or a Concatenate, with the
    layers without weights that follow it). In a chain without such points (VGG, MobileNet) a block ends
    before the feature map shrinks, or after the pooling layer that shrinks it. What holds no weights is no
    block of its own, nor is a layer normalization behind the last block.
    """
    operations = backbone.operations
    points = find_articulation_points(backbone)
    steps = list(zip(points, points[1:], strict=False))
    ends = [
        point
        for before, point in steps
        if any(_is_merge(operation) for operation in operations[before + 1 : point + 1])
    ]
    if not ends:
        ends = [
            before if operations[point].weights else point
            for before, point in steps
            if _measure_area(operations[point]) < _measure_area(operations[before])
        ]
    weighted = [index for index, operation in enumerate(operations) if getattr(operation, "weights", ())]
    starts = {0}
    for end in ends:
        above = [index for index in weighted if index > end]
        is_above = not all(isinstance(operations[index], keras.layers.LayerNormalization) for index in above)
        if is_above and weighted[0] <= end:
            starts.add(backbone.layers.index(operations[above[0]]))
    return sorted(starts)


def find_first_trainable(backbone: keras.Model, point: UnfreezePoint, starts: Sequence[int] | None = None) -> int:
    """Return the index in `backbone.layers` from which an unfreeze point trains.

    Args:
        backbone: A functional model.
        point: A layer's name, an index, `blocks: n`, `share: s`, `none` or `all`.
        starts: Index of each block's first layer, ascending; None finds them in the graph.

    Returns:
        0 for `all`, the number of layers for `none`.

    Raises:
        UnfreezeError: There is no such layer or not that many blocks.
    """
    layers = backbone.layers
    match point:
        case "none":
            return len(layers)
        case "all":
            return 0
        case BlockCount(blocks=count):
            starts = find_block_starts(backbone) if starts is None else starts
            if count > len(starts):
                raise UnfreezeError(
                    f"unfreeze point 'blocks: {count}': {backbone.name} has {len(starts)} blocks; "
                    "give a smaller number, or 'all'"
                )
            return starts[-count]
        case ParameterShare(share=share):
            return _find_start_of_share(backbone, share)
        case int():
            if not 0 <= point < len(layers):
                raise UnfreezeError(
                    f"unfreeze point {point}: {backbone.name} has layers 0 to {len(layers) - 1}; give one of them"
                )
            return point
        case str():
            names = [layer.name for layer in layers]
            if point in names:
                return names.index(point)
    raise UnfreezeError(
        f"unfreeze point {point!r}: {backbone.name} has no such layer; give a layer's name or index, 'blocks: n', "
        f"'share: s', 'none' or 'all' (`unfreeze backbones --json` lists the names)"
    )


def list_producers(operation: Any) -> list[Any]:
    """Return the operations whose outputs an operation of a functional model takes; none for its input."""
    return [] if isinstance(operation, keras.layers.InputLayer) else find_producers(operation.input)


def find_producers(tensors: Any) -> list[Any]:
    """Return the operation of a functional model that made each of some tensors."""
    return [tensor._keras_history.operation for tensor in keras.tree.flatten(tensors)]


def list_attention(backbone: keras.Model) -> list[tuple[keras.layers.Layer, list[Any]]]:
    """Return the layers in which all tokens of an image attend to each other, with what they are called with.

    Args:
        backbone: A functional model.

    Returns:
        From the bottom up; none where no image becomes tokens by way of a map of places.
    """
    places = [operation for operation in backbone.operations if len(operation.output.shape) == 4]
    found = [
        (operation, keras.tree.flatten(operation.input))
        for operation in backbone.operations
        if isinstance(operation, keras.layers.MultiHeadAttention)
    ]
    tokens = backbone.output.shape[1:]
    if len(tokens) != 2 or not places or tokens[0] < places[-1].output.shape[1] * places[-1].output.shape[2]:
        return []
    return [(layer, inputs) for layer, inputs in found if all(one.shape[1] == tokens[0] for one in inputs)]


def _find_start_of_share(backbone: keras.Model, share: float) -> int:
    """Return the lowest index from which the layers hold at most a share of the parameters."""
    layers, allowed = backbone.layers, share * backbone.count_params()
    index, held = len(layers), 0
    while index > 0 and held + layers[index - 1].count_params() <= allowed:
        index -= 1
        held += layers[index].count_params()
    return index


def freeze_below(backbone: keras.Model, first: int) -> None:
    """Make the layers from index `first` on trainable and freeze all others."""
    for index, layer in enumerate(backbone.layers):
        layer.trainable = index >= first


def count_trainable_parameters(layer: keras.layers.Layer) -> int:
    """Return the number of parameters that training may change."""
    return sum(int(variable.value.shape.num_elements()) for variable in layer.trainable_variables)


def _is_merge(operation: Any) -> bool:
    # Adding a constant joins no paths.
    return type(operation).__name__ in MERGES and len(list_producers(operation)) > 1


def _measure_area(operation: Any) -> int:
    shape = operation.output.shape
    return shape[1] * shape[2] if len(shape) == 4 else 1
