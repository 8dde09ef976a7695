"""The model of the checkout that asks to become the champion, and how it gets into the registry."""

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.records import verdict
from unfreeze.records.costs import Latency
from unfreeze.records.test_scores import Evaluation
from unfreeze.release.comparability import STUDY_RUN
from unfreeze.serving.classifier import read_model
from unfreeze.settings.params import Params
from unfreeze.tracking import keys, models
from unfreeze.tracking.ledger import Ledger
from unfreeze.tracking.models import Variant
from unfreeze.tracking.registry import Registry, Version

# Tags of the backbone's run that a version keeps, since it may outlive the run.
LINEAGE = (
    keys.OF_BACKBONE,
    keys.OF_STUDY,
    keys.OF_DATA,
    keys.COMMIT,
    keys.DATA_SHA256,
    keys.WEIGHTS,
    keys.WEIGHTS_SHA256,
    keys.REQUIREMENTS,
    keys.ENVIRONMENT,
    keys.MODEL_SHA256,
    keys.PACKAGE_SHA256,
    keys.CLASSES,
    keys.IMAGE_SIZE,
    *keys.FOLD_DIGEST.values(),
)


def choose_backbone(paths: Paths, backbone: str | None) -> str:
    """Return the named backbone, or the best of the study.

    Raises:
        UnfreezeError: There is no study, or it has no such backbone.
    """
    study = verdict.read(paths)
    return study.verdict.best if backbone is None else study.find_row(backbone).backbone


def register(
    params: Params, paths: Paths, registry: Registry, backbone: str, variant: Variant | None = None
) -> Version:
    """Return a backbone's version, registered if it is not yet.

    Args:
        params: Needs `tracking`.
        paths: The checkout.
        registry: Where to.
        backbone: The backbone.
        variant: The exported format that is registered; None for the packed model itself.

    Raises:
        UnfreezeError: The store cannot be used, or holds another model under this study.
    """
    entry = Ledger(paths, params.tracking.experiment).complete_entry(backbone)
    with registry.server.in_one_line():
        known = registry.server.client.get_run(entry.run_id).data.tags
        packed = paths.packed(backbone)
        for what, path, here, there in (
            ("model", paths.model(backbone), files.hash_file(paths.model(backbone)), known[keys.MODEL_SHA256]),
            ("package", packed, models.hash_package(packed), known[keys.PACKAGE_SHA256]),
        ):
            if here != there:
                raise UnfreezeError(
                    f"run {entry.run_id} in MLflow holds another {what} of {backbone} than "
                    f"{path.relative_to(paths.root)}: delete that run, then `unfreeze sync`"
                )
        tags = {name: known[name] for name in LINEAGE if name in known}
        # The run may be older than the end of its study, which alone makes dvc.lock whole.
        tags |= {keys.DVC_LOCK: files.hash_file(paths.dvc_lock), STUDY_RUN: entry.study_run_id}
        tags |= models.list_tags(models.read_package(paths, backbone))
        if variant is None:
            return registry.register(entry.run_id, entry.model_id, tags)
        tags |= variant.list_tags() | models.list_tags(read_model(variant.package))
        model_id = Ledger(paths, params.tracking.experiment).log_variant(backbone, variant)
        return registry.register(entry.run_id, model_id, tags)


def read_scores(paths: Paths, backbone: str) -> dict[str, float]:
    """Return what the study measured of a backbone, for where nothing is scored again."""
    latency, evaluation = Latency.read(paths.cost(backbone)), Evaluation.read(paths.evaluation(backbone))
    return {
        "accuracy": evaluation.accuracy,
        "size_mb": evaluation.size.size_mb,
        "latency_ms": latency.latency_ms["1"],
    }
