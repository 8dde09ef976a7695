"""The names of tags and metrics in the MLflow store that more than one module writes or reads."""

# Digest of what determines a run's content: by it a run is found again.
KEY = "unfreeze.key"
# Kind of run: study, backbone, phase, trial or judgement.
KIND = "unfreeze.kind"
STUDY, BACKBONE, PHASE, TRIAL, JUDGEMENT = "study", "backbone", "phase", "trial", "judgement"
# Tag prefix; `unfreeze.logged.<part>` marks a fully logged part.
LOGGED = "unfreeze.logged."
# Tags of a trial: how many epochs are logged, and how it ended.
EPOCHS = "unfreeze.epochs"
ENDED = "unfreeze.ended"

# On the runs of studies and backbones, so that they can be filtered by it.
OF_BACKBONE = "backbone"
OF_STUDY = "study"
OF_DATA = "data"

# Where a run comes from.
COMMIT = "mlflow.source.git.commit"
DVC_LOCK = "dvc_lock_sha256"
DATA_SHA256 = "data_sha256"
WEIGHTS = "weights"
WEIGHTS_SHA256 = "weights_sha256"
REQUIREMENTS = "requirements_sha256"
ENVIRONMENT = "environment"
PLATFORM = "platform"

# On the runs of studies that have corrections of labels: how many, and the digest of their file.
CORRECTIONS = "corrections"
CORRECTIONS_SHA256 = "corrections_sha256"

# On versions of the registered model that were judged as an exported format, and on their logged models: the format,
# and the digest of the exported folder where the package does not hold its network.
FORMAT, EXPORT_SHA256 = "format", "export_sha256"

# On versions of the registered model: what the package says of itself.
TEMPERATURE = "temperature"
UNSURE_BELOW, UNLIKE_BEYOND = "unsure_below", "unlike_beyond"
EXAMPLE = "example_probabilities"

# On the runs of backbones: digest of the record of exported formats that was logged last.
EXPORTS_SHA256 = "exports_sha256"

# On the runs of backbones: the model and what it takes, and the digests of the folds it was made with.
MODEL_SHA256 = "model_sha256"
PACKAGE_SHA256 = "package_sha256"
CLASSES = "classes"
IMAGE_SIZE = "image_size"
FOLD_DIGEST = {
    "train": "train_digest",
    "val": "val_digest",
    "test": "test_digest",
    # Of studies that have such a fold.
    "calibration": "calibration_digest",
}

# Artifact of a study: each image's SHA-256, label and fold.
FOLDS = "data/folds.csv"

# MLflow's own.
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
SOURCE = "mlflow.source.name"
