"""What a backbone costs an image, from its layers: counted without TensorFlow and without weights, and kept."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.planning.measurements import is_kept
from unfreeze.records.record import Record
from unfreeze.settings.training import Unfreeze

# Keras builds networks with it in two seconds, TensorFlow takes seven.
LIGHT_BACKEND = "openvino"
# Begins the line in which a process says what the user can correct.
REFUSED = "error: "


class Wish(Record):
    """A network that is to be described.

    Args:
        backbone: Its name.
        size: Image side, pixels.
        point: The configured unfreeze point, as JSON value.
        candidates: The points of the search, as JSON values.
        code: Digest of its settings and builder if it is one's own.
    """

    backbone: str
    size: int
    point: Any
    candidates: tuple[Any, ...]
    code: str | None = None


class Cut(Record):
    """A place where a backbone can be cut.

    Args:
        position: In `backbone.operations`.
        name: Name of the operation there.
        row_values: Numbers in one image's activations.
        macs: Multiply-accumulates of one image up to here.
        values: Numbers that all operations up to here put out for one image.
        trained_values: Those of them that training moves.
        parameters: Parameters of all operations up to here.
    """

    position: int
    name: str
    row_values: int
    macs: int
    values: int
    trained_values: int
    parameters: int


class Network(Record):
    """A backbone at an image size.

    Args:
        cuts: From the pixels to its end.
        point: Position of the cut of the configured unfreeze point.
        candidates: Positions of the cuts of the search's points.
    """

    cuts: tuple[Cut, ...]
    point: int
    candidates: tuple[int, ...]

    def at(self, position: int) -> Cut:
        """Return the cut at a position."""
        return next(cut for cut in self.cuts if cut.position == position)

    @property
    def end(self) -> Cut:
        """The end of the backbone."""
        return self.cuts[-1]


def wish(backbone: str, size: int, unfreeze: Unfreeze, code: str | None) -> Wish:
    """Return what is to be known of a backbone.

    Args:
        backbone: Its name.
        size: Image side, pixels.
        unfreeze: The points.
        code: From `Source.digest_backbone`.
    """
    values = unfreeze.model_dump(mode="json")
    point, candidates = (values[name].get(backbone, values[name]["default"]) for name in ("point", "candidates"))
    return Wish(backbone=backbone, size=size, point=point, candidates=candidates, code=code)


def describe_networks(paths: Paths, wishes: Sequence[Wish]) -> list[Network]:
    """Return what each network costs; those described before are read from a file.

    Args:
        paths: The checkout.
        wishes: The networks.

    Returns:
        One for each wish.

    Raises:
        UnfreezeError: A network cannot be built, or has no such unfreeze point.
    """
    known = [_read(_file(paths, wanted)) for wanted in wishes]
    missing = [wanted for wanted, network in zip(wishes, known, strict=True) if network is None]
    built = iter(_build_all(paths, missing) if missing else ())
    found = []
    for wanted, network in zip(wishes, known, strict=True):
        if network is None:
            network = next(built)
            # Without the right to write it is counted again.
            with suppress(OSError):
                if is_kept(paths.networks):
                    network.write(_file(paths, wanted))
        found.append(network)
    return found


def _file(paths: Paths, wanted: Wish) -> Path:
    return paths.networks / f"{files.digest(wanted.to_json())}.json"


def _read(path: Path) -> Network | None:
    try:
        return Network.read(path) if path.exists() else None
    # Written by another version: it is written again.
    except UnfreezeError:
        return None


def _build_all(paths: Paths, wishes: list[Wish]) -> list[Network]:
    """Build networks in a process of their own, since Keras takes one backend a process."""
    asked = json.dumps([wanted.to_json() for wanted in wishes])
    reason = ""
    # A network of one's own may need TensorFlow.
    for backend in (LIGHT_BACKEND, "tensorflow"):
        done = subprocess.run(
            [sys.executable, "-m", "unfreeze.planning.networks"],
            input=asked,
            cwd=paths.root,
            env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return [Network.model_validate(values) for values in json.loads(done.stdout.splitlines()[-1])]
        reason = (done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]
    if reason.startswith(REFUSED):
        raise UnfreezeError(reason.removeprefix(REFUSED))
    raise UnfreezeError(f"the networks cannot be built ({reason}): `unfreeze backbones` tells more")


def describe(wanted: Wish) -> Network:
    """Build a network and count what it costs.

    Args:
        wanted: The network.

    Raises:
        UnfreezeError: It cannot be built, or has no such unfreeze point.
    """
    from unfreeze.models import arithmetic, graph
    from unfreeze.models.backbone import Backbone
    from unfreeze.models.table import find_row

    unfreeze = Unfreeze.model_validate(
        {"point": {"default": wanted.point}, "candidates": {"default": wanted.candidates}}
    )
    network = Backbone(find_row(wanted.backbone), wanted.size)
    points = set(graph.find_articulation_points(network.base))
    none = {"macs": 0, "values": 0, "trained_values": 0, "parameters": 0}
    cuts = [Cut(position=0, name="pixels", row_values=3 * wanted.size**2, **none)]
    macs = values = trained_values = parameters = 0
    for position, operation in enumerate(network.base.operations):
        macs += arithmetic.count_macs(operation)
        values += arithmetic.count_values(operation)
        trained_values += arithmetic.count_trained_values(operation)
        parameters += sum(math.prod(weight.shape) for weight in getattr(operation, "weights", ()))
        if position and position in points:
            row_values = arithmetic.count_values(operation)
            cuts.append(
                Cut(
                    position=position,
                    name=operation.name,
                    row_values=row_values,
                    macs=macs,
                    values=values,
                    trained_values=trained_values,
                    parameters=parameters,
                )  # fmt: skip
            )
    candidates = network.list_candidates(unfreeze.candidates.get(wanted.backbone)).values()
    return Network(
        cuts=tuple(cuts),
        point=network.find_cut(unfreeze.point.get(wanted.backbone)),
        candidates=tuple(network.find_cut(point) for point in candidates),
    )


def _main() -> None:
    """Describe the networks named on standard input."""
    try:
        wishes = [Wish.model_validate(values) for values in json.load(sys.stdin)]
        sys.stdout.write(json.dumps([describe(wanted).to_json() for wanted in wishes]) + "\n")
    except UnfreezeError as error:
        sys.exit(f"{REFUSED}{error}")


if __name__ == "__main__":
    _main()
