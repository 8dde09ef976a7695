"""What training takes on the reference machine, by arithmetic alone: a budget decides the same on every machine."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from unfreeze.errors import UnfreezeError
from unfreeze.settings.training import UnfreezePoint

# The reference machine: two cores of an Intel Xeon with AVX-512, 2.3 GHz. Training in TensorFlow, forward and twice
# backward, seconds. The CNN from scratch begins with large maps of few channels, whose values take as long as their
# arithmetic.
SECONDS_PER_TRAINED_MAC = 1.4e-11
SECONDS_PER_TRAINED_VALUE = 1.6e-9
# An image of the validation fold takes a third: forward alone.
VALIDATION_SHARE = 1 / 3
# A step and an epoch of Keras, whatever the layers.
SECONDS_A_STEP = 0.002
SECONDS_AN_EPOCH = 0.15
# Part of study.minutes that search and fine-tuning may take; the rest is for images, frozen layers and evaluation,
# which grow with the images as well.
TRAINED_SHARE = 0.5


class Network(Protocol):
    """What a budget asks of a backbone."""

    def find_cut(self, point: UnfreezePoint) -> int:
        """Return the position up to which everything is frozen at an unfreeze point."""

    def count_work(self, position: int) -> tuple[int, int]:
        """Return the multiply-adds of one image behind a position, and the numbers that training moves there."""


def estimate_epoch(macs: float, values: float, *, train: int, val: int, batch_size: int) -> float:
    """Return the seconds of an epoch.

    Args:
        macs: Multiply-accumulates of the trained layers for one image.
        values: Numbers that training moves for one image, see `count_trained_values`.
        train: Rows of the training fold.
        val: Rows of the validation fold.
        batch_size: Rows a step.
    """
    row = macs * SECONDS_PER_TRAINED_MAC + values * SECONDS_PER_TRAINED_VALUE
    return (train + VALIDATION_SHARE * val) * row + train / batch_size * SECONDS_A_STEP + SECONDS_AN_EPOCH


@dataclass(frozen=True)
class Budget:
    """The seconds that search and fine-tuning of one backbone may take on the reference machine.

    Args:
        minutes: `study.minutes`, of this backbone with all its stages; None for no limit.
        train: Rows of the training fold.
        val: Rows of the validation fold.
        batch_size: Rows a step.
    """

    minutes: float | None
    train: int
    val: int
    batch_size: int

    def estimate(self, network: Network, point: UnfreezePoint) -> float:
        """Return the seconds of an epoch from an unfreeze point."""
        macs, values = network.count_work(network.find_cut(point))
        return estimate_epoch(macs, values, train=self.train, val=self.val, batch_size=self.batch_size)

    def measure_left(self, network: Network, tried: Iterable[tuple[UnfreezePoint, int]]) -> float:
        """Return the seconds that trials leave.

        Args:
            network: The backbone.
            tried: Unfreeze point and number of epochs of each trial.
        """
        if self.minutes is None:
            return float("inf")
        share = 60 * self.minutes * TRAINED_SHARE
        return share - sum(epochs * self.estimate(network, point) for point, epochs in tried)

    def allows(
        self,
        network: Network,
        tried: Iterable[tuple[UnfreezePoint, int]],
        points: Iterable[UnfreezePoint],
        epochs: int,
    ) -> bool:
        """Tell whether trials leave so many epochs, from whichever of some points.

        Args:
            network: The backbone.
            tried: Unfreeze point and number of epochs of each trial so far.
            points: Where the epochs may begin, at least one.
            epochs: Those of further trials and of fine-tuning after them.
        """
        return epochs * max(self.estimate(network, point) for point in points) <= self.measure_left(network, tried)

    def count_epochs(
        self,
        network: Network,
        tried: Iterable[tuple[UnfreezePoint, int]],
        point: UnfreezePoint,
        wanted: int,
        *,
        trainings: int,
    ) -> int:
        """Return how many epochs fine-tuning may have, at most those that are wanted; perhaps none.

        Args:
            network: The backbone.
            tried: Unfreeze point and number of epochs of each trial.
            point: Where fine-tuning begins.
            wanted: Its epochs without a budget.
            trainings: How many trainings share what is left: one for each seed.
        """
        left, one = self.measure_left(network, tried), trainings * self.estimate(network, point)
        return wanted if left >= wanted * one else int(max(left, 0) // one)

    def limit_epochs(
        self,
        network: Network,
        tried: Iterable[tuple[UnfreezePoint, int]],
        point: UnfreezePoint,
        wanted: int,
        *,
        trainings: int,
    ) -> int:
        """Return what `count_epochs` does, and refuse a budget that leaves none of those that are wanted.

        Args:
            network: The backbone.
            tried: Unfreeze point and number of epochs of each trial.
            point: Where fine-tuning begins.
            wanted: Its epochs without a budget.
            trainings: How many trainings share what is left: one for each seed.

        Raises:
            UnfreezeError: Not one epoch is within the budget.
        """
        tried = list(tried)
        epochs = self.count_epochs(network, tried, point, wanted, trainings=trainings)
        if wanted and not epochs:
            left, one = self.measure_left(network, tried), trainings * self.estimate(network, point)
            epoch = "one epoch" if trainings == 1 else f"one epoch of each of {trainings} seeds"
            seeds = "" if trainings == 1 else "take fewer study.seeds, "
            raise UnfreezeError(
                f"study.minutes={self.minutes:g} leaves {max(left, 0):.0f} s of the reference machine for "
                f"fine-tuning, and {epoch} takes {one:.0f} s: raise study.minutes, {seeds}or lower "
                "search.max_trials or preprocess.image_size"
            )
        return epochs
