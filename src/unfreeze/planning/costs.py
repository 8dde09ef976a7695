"""What a stage costs: seconds on the reference machine, room on disk, and memory, from how much it has to do.

The constants were measured on one machine (two cores of an Intel Xeon with AVX-512, 2.3 GHz) with two studies: the
default one, 2,624 images of 90 thousand pixels, and 4,000 photographs with MobileNetV2. They are where a plan begins
that has no measurement of its own machine; with one they only tell how time grows from one amount of work to another.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from unfreeze.models.quantized import CALIBRATION_IMAGES
from unfreeze.planning.jobs import Job, Training, measure_rows, pay
from unfreeze.planning.machine import Speed
from unfreeze.planning.networks import Cut
from unfreeze.training.budget import (
    SECONDS_A_STEP,
    SECONDS_AN_EPOCH,
    SECONDS_PER_TRAINED_MAC,
    SECONDS_PER_TRAINED_VALUE,
    VALIDATION_SHARE,
    estimate_epoch,
)

# Training: training/budget.py. Frozen layers in OpenVINO, seconds: multiplying, and moving of what layers put out.
SECONDS_PER_MAC = 5.3e-12
SECONDS_PER_VALUE = 6e-11
# Their time beside that in float32, with instructions for it: bfloat16 takes 0.50 to 0.51 of it for Xception and
# MobileNetV2, int8 0.29 and 0.37.
TIME_OF = {"float32": 1.0, "bfloat16": 0.5, "int8": 0.33}
# Before layers run in 8 bits: libraries and building of the network, and images that ranges are taken from. Each
# takes as long as so many in float32.
START_QUANTIZING = 3.0
PASSES_A_RANGE = 3
# Tracing of a model that is trained.
SECONDS_A_TRAINING = 3.0
# Python and the libraries of a stage until its work begins, without and with TensorFlow.
START = 1.0
START_TENSORFLOW = 6.0
# Between two stages DVC digests what was written, copies it into its cache, and writes the lock.
SECONDS_A_STAGE_OF_DVC = 1.0
SECONDS_PER_MB_OF_DVC = 0.004
# Corruptions times strengths, see images/corruptions.py.
CORRUPTED_SETS = 30
# Kinds times images of a kind, see serving/rejection.py.
UNLIKE_IMAGES = 360
FLOAT_BYTES = 4
# Memory of each stage without its networks: libraries, one helper process, and rows that wait to be shuffled.
MEMORY_MB = {
    "code": 150, "validate": 130, "download": 280, "check": 580, "preprocess": 520, "split": 340, "pretrained": 1190,
    "extract": 990, "suspects": 530, "learning_curve": 420, "search": 1870, "finetune": 1870, "package": 1200,
    "evaluate": 1740, "verdict": 220, "figures": 390, "report": 790,
}  # fmt: skip
# Of a stage that has no formula.
LEAST_MEMORY_MB = 130
# How many times the weights are held at most: by Keras, by what builds the engine, by its three sizes, by Grad-CAM.
WEIGHTS_HELD = {"pretrained": 6.0, "extract": 5.0, "package": 6.0, "evaluate": 8.0}


@dataclass(frozen=True)
class Cost:
    """What a stage takes.

    Args:
        python: Seconds of start-up, Python and small arithmetic.
        arithmetic: Seconds of networks.
        decoding: Seconds of decoding images.
        disk_mb: What it leaves on the disk, MB of 10^6 bytes.
        scratch_mb: What it takes on the disk while it runs, besides.
        peak_mb: Most memory, MB of 2^20 bytes: its process and the largest that it starts.
    """

    python: float
    arithmetic: float = 0.0
    decoding: float = 0.0
    disk_mb: float = 0.0
    scratch_mb: float = 0.0
    peak_mb: float = 0.0

    def work(self, speed: Speed) -> float:
        """Return the seconds of the stage on a machine."""
        return self.python * speed.python + self.arithmetic * speed.arithmetic + self.decoding * speed.decoding

    def overhead(self, speed: Speed) -> float:
        """Return the seconds of DVC's own work on a machine."""
        return (SECONDS_A_STAGE_OF_DVC + SECONDS_PER_MB_OF_DVC * self.disk_mb) * speed.python


def estimate(job: Job) -> Cost:
    """Return what a job costs on the reference machine.

    Args:
        job: The work.
    """
    cost = FORMULAS[job.stage](job) if job.stage in FORMULAS else Cost(python=START)
    weights = job.training.end.parameters * FLOAT_BYTES / 2**20 if job.training else 0.0
    held = MEMORY_MB.get(job.stage, LEAST_MEMORY_MB) + WEIGHTS_HELD.get(job.stage, 0.0) * weights
    return replace(cost, peak_mb=cost.peak_mb + held)


def _fetch(job: Job) -> Cost:
    if job.in_place:
        return Cost(python=START + 0.002 * job.scale.raw_mb + 1e-4 * job.scale.images, disk_mb=1)
    return Cost(python=START + 0.02 * job.scale.raw_mb, disk_mb=job.scale.raw_mb)


def _check(job: Job) -> Cost:
    return Cost(python=5.0 + 5e-4 * job.scale.images, decoding=0.02 * job.scale.raw_mb, disk_mb=1)


def _preprocess(job: Job) -> Cost:
    stored = job.scale.images * job.size**2 * 3 / 1e6
    return Cost(python=3.0, decoding=0.01 * job.scale.raw_mb + 0.003 * stored, disk_mb=stored)


def _split(job: Job) -> Cost:
    return Cost(python=2.0 + 1e-4 * job.scale.images)


def _pretrained(job: Job) -> Cost:
    stored = _training(job).end.parameters * FLOAT_BYTES / 1e6
    return Cost(python=START_TENSORFLOW + 0.04 * stored, disk_mb=stored)


def _extract(job: Job) -> Cost:
    cached = _training(job).cached
    stored = measure_rows(job, cached) if _training(job).stored else 0.0
    # Of what is not stored the validation fold alone is looked at.
    rows = job.train + job.val if _training(job).stored else job.val
    quantizes = job.precision == "int8" and cached.position > 0
    ranges = min(CALIBRATION_IMAGES, job.train) * PASSES_A_RANGE * _infer(job, cached) if quantizes else 0.0
    return Cost(
        # The features that are stored are probed.
        python=START_TENSORFLOW
        + 0.003 * stored
        + (3.0 if cached.position else 0.0)
        + (START_QUANTIZING if quantizes else 0.0),
        arithmetic=rows * _infer(job, cached, frozen=True) + ranges,
        disk_mb=stored,
    )


def _suspects(job: Job) -> Cost:
    return Cost(python=2.0 + 1e-3 * (job.train + job.val))


def _learning_curve(job: Job) -> Cost:
    return Cost(python=2.0 + (1e-3 * job.train if _training(job).cached.position else 0))


def _search(job: Job) -> Cost:
    training = _training(job)
    if not training.trials:
        return Cost(python=START)
    mean = _mean(_fit(job, cut, training.trial_epochs) for cut in training.cuts)
    derived = [_derive(job, cut) for cut in training.cuts if _is_derived(job, cut)]
    return Cost(
        python=START_TENSORFLOW + (training.trials + 1) * SECONDS_A_TRAINING,
        arithmetic=_train_head(job) + sum(derived) + training.trials * mean,
        scratch_mb=sum(measure_rows(job, cut) for cut in training.cuts if _is_derived(job, cut)),
        peak_mb=_training_memory(job),
    )


def _finetune(job: Job) -> Cost:
    training = _training(job)
    times = 1 + job.scale.seeds
    # A search may choose any of its points: the one from which training takes longest.
    longest = max(
        _fit(job, cut, training.epochs) + (_derive(job, cut) if _is_derived(job, cut) else 0.0)
        for cut in training.cuts
    )
    stored = times * training.end.parameters * FLOAT_BYTES / 1e6
    return Cost(
        # The model is saved and logged.
        python=START_TENSORFLOW + times * 2 * SECONDS_A_TRAINING + 0.1 * stored,
        arithmetic=times * (_train_head(job) + longest),
        disk_mb=stored,
        scratch_mb=max((measure_rows(job, cut) for cut in training.cuts if _is_derived(job, cut)), default=0.0),
        peak_mb=_training_memory(job),
    )


def _evaluate(job: Job) -> Cost:
    end = _training(job).end
    scored = job.test * (1 + job.scale.seeds) + CORRUPTED_SETS * min(job.corruption_images, job.test)
    scored += UNLIKE_IMAGES
    return Cost(
        # Latencies, explanations of the shown images, intervals; engines are compiled for three sizes of batch.
        python=START_TENSORFLOW + 4.0 + 0.1 * end.parameters * FLOAT_BYTES / 1e6,
        arithmetic=scored * _infer(job, end),
        disk_mb=1,
    )


def _package(job: Job) -> Cost:
    end = _training(job).end
    # Training images to compare with, and the validation fold.
    rows = min(job.train, job.reference_images) + job.val
    # From their activations, unless these are in 8 bits; points below the candidates are not foreseen.
    is_cached = _training(job).stored and job.precision != "int8"
    stored = end.parameters * FLOAT_BYTES / 1e6
    return Cost(
        python=START_TENSORFLOW + 3.0 + 0.02 * stored,
        arithmetic=rows * _infer(job, end, _training(job).cached if is_cached else None),
        disk_mb=stored + 0.006 * rows,
    )


def _verdict(job: Job) -> Cost:
    return Cost(python=2.0 + 1e-4 * job.test * job.scale.backbones)


def _figures(job: Job) -> Cost:
    return Cost(python=3.0 + 1.5 * job.scale.backbones)


def _report(job: Job) -> Cost:
    return Cost(python=9.0 + 0.5 * job.scale.backbones, disk_mb=job.scale.backbones)


FORMULAS: dict[str, Callable[[Job], Cost]] = {
    "download": _fetch,
    "check": _check,
    "preprocess": _preprocess,
    "split": _split,
    "pretrained": _pretrained,
    "extract": _extract,
    "suspects": _suspects,
    "learning_curve": _learning_curve,
    "search": _search,
    "finetune": _finetune,
    "package": _package,
    "evaluate": _evaluate,
    "verdict": _verdict,
    "figures": _figures,
    "report": _report,
}


def _training(job: Job) -> Training:
    assert job.training is not None
    return job.training


def _infer(job: Job, until: Cut, start: Cut | None = None, *, frozen: bool = False) -> float:
    """Return the seconds of layers for one image; only frozen ones from pixels to the cut run in 8 bits."""
    macs, values = until.macs - (start.macs if start else 0), until.values - (start.values if start else 0)
    precision = "float32" if job.precision == "int8" and not frozen else job.precision
    return (macs * SECONDS_PER_MAC + values * SECONDS_PER_VALUE) * TIME_OF[precision]


def _derive(job: Job, cut: Cut) -> float:
    """Return the seconds in which the rows at a cut are made, once, from the stored ones or from pixels."""
    training = _training(job)
    repeated = 0.0 if training.stored else _infer(job, training.cached, frozen=True)
    return (job.train + job.val) * (repeated + _infer(job, cut, training.cached))


def _is_derived(job: Job, cut: Cut) -> bool:
    """Tell whether the rows at a cut are made once, from those at the cached cut, and kept."""
    training = _training(job)
    pays = cut != training.cached and pay(job, cut, training.cached)
    return pays and measure_rows(job, cut) <= training.room_mb


def _repeat(job: Job, cut: Cut) -> float:
    """Return the seconds of an epoch in which frozen layers run because the rows at a cut are not stored."""
    training, cached = _training(job), _training(job).cached
    if _is_derived(job, cut) or (training.stored and cut == cached):
        return 0.0
    if cut == cached or pay(job, cut, cached):
        return _derive(job, cut)
    # They are run by TensorFlow, forward alone.
    macs, values = cut.macs - cached.macs, cut.trained_values - cached.trained_values
    trained = macs * SECONDS_PER_TRAINED_MAC + values * SECONDS_PER_TRAINED_VALUE
    return (job.train + job.val) * VALIDATION_SHARE * trained


def _train_head(job: Job) -> float:
    training = _training(job)
    if not training.head_epochs:
        return 0.0
    steps = training.head_epochs * job.train / training.batch_size
    return _derive(job, training.end) + steps * SECONDS_A_STEP + training.head_epochs * SECONDS_AN_EPOCH


def _fit(job: Job, cut: Cut, epochs: int) -> float:
    """Return the seconds of training from a cut on."""
    training = _training(job)
    macs, values = training.end.macs - cut.macs, training.end.trained_values - cut.trained_values
    epoch = estimate_epoch(macs, values, train=job.train, val=job.val, batch_size=training.batch_size)
    return epochs * (epoch + _repeat(job, cut))


def _training_memory(job: Job) -> float:
    """Return the memory of training, MB of 2^20 bytes.

    It holds weights with their gradients and moments, and what the layers put out for a batch.
    """
    training = _training(job)
    first = training.cuts[0]
    trained = training.end.parameters - first.parameters
    batch = training.batch_size * (training.end.values - first.values) * FLOAT_BYTES * 2
    weights = (training.end.parameters * 4 + trained * 3) * FLOAT_BYTES
    return (batch + weights) / 2**20


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)
