"""Every artifact's path: the one place that names files."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """The files of one checkout.

    Args:
        root: The folder that holds dvc.yaml.

    >>> Paths(Path("project")).predictions("xception").as_posix()
    'project/data/predictions/xception.csv'
    """

    root: Path

    @classmethod
    def here(cls) -> "Paths":
        """Return the paths of the checkout around the working folder; DVC runs every stage at its root."""
        folder = Path.cwd()
        for candidate in (folder, *folder.parents):
            if (candidate / "dvc.yaml").exists():
                return cls(candidate)
        return cls(folder)

    @property
    def ledger_root(self) -> Path:
        """The folder of the MLflow store.

        `dvc exp run --temp` and the queue work in a copy that is thrown away; DVC_ROOT then still names
        the checkout they were started from.
        """
        return Path(os.environ.get("DVC_ROOT", self.root))

    @property
    def mlflow_database(self) -> Path:
        return self.ledger_root / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.ledger_root / "mlartifacts"

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def conf(self) -> Path:
        return self.root / "conf"

    @property
    def pipeline(self) -> Path:
        return self.root / "dvc.yaml"

    @property
    def dvc_lock(self) -> Path:
        return self.root / "dvc.lock"

    @property
    def planning(self) -> Path:
        """What plans keep on this machine; git ignores all of .dvc/tmp."""
        return self.ledger_root / ".dvc/tmp/unfreeze"

    @property
    def known_code(self) -> Path:
        """The digests of the last code that was digested."""
        return self.planning / "code.json"

    @property
    def plan(self) -> Path:
        """The last plan, from which progress bars count down."""
        return self.planning / "plan.json"

    @property
    def measurements(self) -> Path:
        """What stages took on this machine, one JSON object a line."""
        return self.planning / "measurements.jsonl"

    @property
    def networks(self) -> Path:
        """Layers and costs of the networks that were planned with, one file each."""
        return self.planning / "networks"

    @property
    def shards(self) -> Path:
        """Finished shards of this checkout, where no other storage is set."""
        return self.planning / "shards"

    def digests(self, key: str) -> Path:
        """Return the file of known digests of a source's images: what it names unchanged is not hashed again."""
        return self.planning / f"digests/{key}.parquet"

    @property
    def lock(self) -> Path:
        return self.root / "requirements.lock"

    @property
    def params_valid(self) -> Path:
        return self.root / "data/params_valid.txt"

    @property
    def image_checks(self) -> Path:
        return self.root / "data/image_checks.json"

    @property
    def downloads(self) -> Path:
        return self.root / "data/.downloads"

    @property
    def download_record(self) -> Path:
        return self.root / "metrics/download.json"

    @property
    def code(self) -> Path:
        return self.root / "code"

    @property
    def raw(self) -> Path:
        return self.root / "data/raw"

    @property
    def in_place(self) -> Path:
        """Names the folder that holds the images, if they are not copied: the one file of data/raw then."""
        return self.raw / "in_place.json"

    @property
    def raw_index(self) -> Path:
        return self.root / "data/raw_index.csv"

    @property
    def manifest(self) -> Path:
        return self.root / "data/manifest.parquet"

    @property
    def findings(self) -> Path:
        return self.root / "data/findings.csv"

    @property
    def waivers(self) -> Path:
        return self.root / "checks/waivers.yaml"

    @property
    def corrections(self) -> Path:
        return self.root / "checks/corrections.csv"

    @property
    def correction_effects(self) -> Path:
        return self.root / "metrics/corrections.json"

    @property
    def study_record(self) -> Path:
        return self.root / "metrics/study_record.json"

    @property
    def profile(self) -> Path:
        return self.root / "metrics/profile.json"

    @property
    def findings_page(self) -> Path:
        return self.root / "reports/data.html"

    @property
    def suspects(self) -> Path:
        return self.root / "data/suspects.csv"

    @property
    def suspects_page(self) -> Path:
        return self.root / "reports/suspects.html"

    @property
    def images(self) -> Path:
        return self.root / "data/images.h5"

    @property
    def split(self) -> Path:
        return self.root / "data/split.csv"

    @property
    def data_docs(self) -> Path:
        return self.root / "reports/data_docs"

    @property
    def json_files(self) -> list[Path]:
        """The results that git holds as JSON, which a merge may leave half merged."""
        return sorted([*(self.root / "metrics").rglob("*.json"), *(self.root / "reports").glob("*.json")])

    @property
    def verdict(self) -> Path:
        return self.root / "metrics/verdict.json"

    @property
    def report_json(self) -> Path:
        return self.root / "reports/report.json"

    @property
    def report_html(self) -> Path:
        return self.root / "reports/index.html"

    @property
    def report_markdown(self) -> Path:
        return self.root / "reports/report.md"

    @property
    def flips_picture(self) -> Path:
        return self.root / "reports/flips.png"

    @property
    def pull_request(self) -> Path:
        return self.root / "reports/pull_request.md"

    @property
    def pictures(self) -> Path:
        return self.root / "plots/pictures"

    @property
    def readme(self) -> Path:
        return self.root / "README.md"

    def checks(self, suite: str) -> Path:
        return self.root / f"metrics/checks/{suite}.json"

    def weights(self, backbone: str) -> Path:
        return self.root / f"models/pretrained/{backbone}.weights.h5"

    def weights_record(self, backbone: str) -> Path:
        return self.root / f"metrics/pretrained/{backbone}.json"

    def features(self, backbone: str) -> Path:
        return self.root / f"data/features/{backbone}.h5"

    def derived_features(self, backbone: str, worker: str = "") -> Path:
        return self.root / f"data/features/.derived-{backbone}{worker and '-' + worker}"

    def search_folder(self, backbone: str) -> Path:
        return self.root / f"models/search/{backbone}"

    def search(self, backbone: str) -> Path:
        return self.root / f"metrics/search/{backbone}.json"

    def trials(self, backbone: str) -> Path:
        return self.root / f"plots/search/{backbone}.csv"

    def model(self, backbone: str) -> Path:
        return self.root / f"models/{backbone}.keras"

    def packed(self, backbone: str) -> Path:
        return self.root / f"models/packed/{backbone}"

    def exported(self, backbone: str) -> Path:
        """Return the folder that holds one folder a format."""
        return self.root / f"models/exported/{backbone}"

    def exports(self, backbone: str) -> Path:
        return self.root / f"metrics/export/{backbone}.json"

    def registered(self, name: str) -> Path:
        """Return the folder of the packages that were fetched from a registered model."""
        return self.root / f"models/registered/{name}"

    def training(self, backbone: str) -> Path:
        return self.root / f"metrics/finetune/{backbone}.json"

    def history(self, backbone: str) -> Path:
        return self.root / f"plots/history/{backbone}.csv"

    def backbone_chart(self, backbone: str, chart: str) -> Path:
        """Return the PNG of one of a backbone's charts; figures/registry.py names the charts."""
        return self.pictures / f"{backbone}_{chart}.png"

    def study_chart(self, chart: str) -> Path:
        """Return the PNG of a chart that shows all backbones."""
        return self.pictures / f"all_{chart}.png"

    def evaluation(self, backbone: str) -> Path:
        return self.root / f"metrics/evaluate/{backbone}.json"

    def repeats(self, backbone: str) -> Path:
        return self.root / f"models/repeats/{backbone}"

    def finished_repeats(self, backbone: str) -> Path:
        """Models of further seeds until all of them are trained."""
        return self.planning / f"repeats/{backbone}"

    def repeat(self, backbone: str, seed: int) -> Path:
        return self.repeats(backbone) / f"{seed}.keras"

    def training_time(self, backbone: str) -> Path:
        return self.root / f"metrics/training_time/{backbone}.json"

    def system_metrics(self, backbone: str) -> Path:
        return self.root / f"plots/system/{backbone}.csv"

    def selftest(self, backbone: str) -> Path:
        return self.root / f"metrics/selftest/{backbone}.json"

    def learning_curve(self, backbone: str) -> Path:
        return self.root / f"metrics/learning_curve/{backbone}.json"

    def cost(self, backbone: str) -> Path:
        return self.root / f"metrics/cost/{backbone}.json"

    @property
    def test_evaluations(self) -> Path:
        return self.root / "test_evaluations"

    @property
    def kept_test_evaluations(self) -> Path:
        """The same folder in the checkout that outlives an experiment, see `ledger_root`."""
        return self.ledger_root / "test_evaluations"

    def predictions(self, backbone: str) -> Path:
        return self.root / f"data/predictions/{backbone}.csv"

    def mistakes(self, backbone: str) -> Path:
        return self.root / f"data/mistakes/{backbone}.parquet"

    def precision_recall(self, backbone: str) -> Path:
        return self.root / f"plots/precision_recall/{backbone}.csv"

    def reliability(self, backbone: str) -> Path:
        return self.root / f"plots/reliability/{backbone}.csv"

    def risk_coverage(self, backbone: str) -> Path:
        return self.root / f"plots/risk_coverage/{backbone}.csv"

    def mistakes_picture(self, backbone: str) -> Path:
        return self.root / f"plots/pictures/{backbone}_mistakes.png"

    def confusion(self, backbone: str) -> Path:
        return self.root / f"plots/confusion/{backbone}.csv"

    def roc(self, backbone: str) -> Path:
        return self.root / f"plots/roc/{backbone}.csv"
