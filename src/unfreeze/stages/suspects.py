"""Look for wrong labels: probes on the cached features of the study's first backbone say what each image shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd

from unfreeze import files
from unfreeze.checks import corrections, gate, page, rules, waivers
from unfreeze.checks.catalogue import EXPLANATIONS
from unfreeze.checks.corrections import Correction
from unfreeze.checks.page import Card, CorrectableImage, Editor, Section
from unfreeze.checks.waivers import Waiver
from unfreeze.features import pooled, probes
from unfreeze.images.originals import Originals
from unfreeze.paths import Paths
from unfreeze.runtime.console import log
from unfreeze.settings.checks import CheckSettings, count_pixels
from unfreeze.settings.stage_settings import declare_param


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    seed: int
    max_megapixels: float = declare_param("checks.max_megapixels")
    backbones: tuple[str, ...] = declare_param("study.backbones")
    checks: CheckSettings = declare_param("checks.suspect_labels")


CHECK = "suspect_labels"
COLUMNS = ("path", "label", "opinion", "opinion_probability", "label_quality")


def judge_labels(settings: Settings, paths: Paths) -> tuple[pd.DataFrame, int]:
    """Return the probes' opinions of images of the training and the validation fold, the most suspect first.

    Returns:
        Columns `COLUMNS`, no row where nothing is frozen, or classes have too few images; and the number of images
        that the two folds have, of which a sample is judged where they are too many.
    """
    backbone = settings.backbones[0]
    of_images = pooled.read(paths, backbone)
    if of_images is None:
        log.info("labels are not probed: %s has no stored features, only pixels", backbone)
        return pd.DataFrame(columns=COLUMNS), 0
    if of_images.smallest_class < probes.FOLDS:
        log.info("labels are not probed: a class has fewer than %d different images", probes.FOLDS)
        return pd.DataFrame(columns=COLUMNS), 0
    probabilities = probes.cross_validate(of_images.vectors, of_images.labels, of_images.groups, settings.seed)
    table = probes.tabulate_opinions(of_images.ids.tolist(), of_images.labels, probabilities, of_images.classes)
    return table, sum(of_images.fold_sizes.values())


def mark_suspects(
    table: pd.DataFrame,
    digests: pd.Series,
    threshold: float,
    let_pass: list[Waiver],
    corrected: Sequence[Correction] = (),
) -> pd.DataFrame:
    """Tell which labels are suspect, and which of those are waived, or were found right by somebody.

    Args:
        table: The probes' opinions.
        digests: SHA-256 of each image's file, by path.
        threshold: Most that the label's probability may be of the opinion's.
        let_pass: Waivers.
        corrected: Corrections; of an image whose label was kept the finding is waived.

    Returns:
        The table with bool columns `suspect_labels`, the waived ones left out, and `waived`.
    """
    found = pd.DataFrame({"suspect_labels": table["label_quality"] < threshold * table["opinion_probability"]})
    of_files = table["path"].map(digests)
    waived = waivers.find_waived(found, of_files, let_pass)["suspect_labels"]
    waived |= found["suspect_labels"] & corrections.is_confirmed(table.assign(sha256=of_files), corrected)
    return table.assign(suspect_labels=found["suspect_labels"] & ~waived, waived=waived)


def describe_table(table: pd.DataFrame, images: int, backbone: str, paths: Paths) -> str:
    """Return what was judged, as the page's first sentence.

    Args:
        table: The opinions.
        images: Number of images of both folds.
        backbone: Whose features were probed.
        paths: The checkout.
    """
    if not len(table):
        return (
            f"No label was judged: the check is off, or {backbone}, first in this study, has no stored features, or "
            "too few. Put a pretrained backbone first in study.backbones."
        )
    of_all = f"A sample of {len(table)} of the {images}" if len(table) < images else f"{len(table)}"
    return (
        f"{of_all} images of the training and the validation fold, judged by probes on the features of "
        f"{backbone}. All opinions are in {paths.suspects.relative_to(paths.root)}."
    )


def run(settings: Settings, paths: Paths) -> None:
    """Write the opinions and the page of suspect labels, then let the gate judge."""
    corrected = corrections.read(paths.corrections)
    level, threshold = settings.checks.get_level("suspect_labels"), settings.checks.get_threshold("suspect_labels")
    opinions, images = (pd.DataFrame(columns=COLUMNS), 0) if level == "off" else judge_labels(settings, paths)
    rows = pd.read_parquet(paths.manifest)
    digests = rows.set_index("path")["sha256"]
    table = mark_suspects(opinions, digests, threshold, waivers.load(paths.waivers, date.today()), corrected)
    cards = [
        [
            Card(
                row["path"],
                [f"label {row['label']}", f"looks like {row['opinion']} ({row['opinion_probability']:.0%})"],
                image=CorrectableImage(digests[row["path"]], row["label"], can_keep=True),
            )
        ]
        for row in table[table["suspect_labels"]].to_dict("records")
    ]
    text = page.render_page(
        "Suspect labels",
        describe_table(table, images, settings.backbones[0], paths),
        [Section(CHECK, EXPLANATIONS[CHECK], level, len(cards), int(table["waived"].sum()), cards)],
        [],
        images=Originals.open(paths, rows),
        max_pixels=count_pixels(settings.max_megapixels),
        links=[("What the other checks found", paths.findings_page.name)],
        editor=Editor(sorted(set(corrections.given_labels(rows))), corrected),
    )
    files.write_csv(paths.suspects, table)
    files.write_text(paths.suspects_page, text)
    gate.enforce("suspects", table, rules.guard_suspects(settings.checks), paths)
