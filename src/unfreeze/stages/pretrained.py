"""Bring a backbone's weights into models/pretrained, with a record of where they come from."""

from unfreeze import console, files
from unfreeze.models import backbones
from unfreeze.params import Params
from unfreeze.paths import Paths

PARAMS = ("seed", "weights")


def run(params: Params, paths: Paths, backbone: str) -> None:
    """Load the weights into the backbone, so that wrong ones are found here, and store them as they are used."""
    console.import_tensorflow()
    from unfreeze.models import weights

    row = backbones.row_of(backbone)
    source = params.weights.of(backbone)
    model = weights.load_pretrained(row, source, params.seed)
    with files.atomic(paths.weights(backbone)) as partial:
        model.save_weights(partial)
    record = {
        "source": weights.describe(row, source),
        "pretrained": row.builder is not None and source != "random",
        "parameters": int(model.count_params()),
        "sha256": files.sha256(paths.weights(backbone)),
    }
    files.write_json(paths.weights_record(backbone), record)
    console.log.info("%s: %s, %d parameters", backbone, record["source"], record["parameters"])
