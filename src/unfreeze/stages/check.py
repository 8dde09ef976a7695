"""Measure every raw image, look for what is wrong, and let Great Expectations decide whether the data may be used."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import cast

import numpy as np
import pandas as pd

from unfreeze import files
from unfreeze.checks import (
    corrections,
    duplicates,
    findings,
    gate,
    image_check,
    manifest,
    page,
    profile,
    quarantine,
    rules,
    shortcuts,
    waivers,
)
from unfreeze.checks.corrections import Correction
from unfreeze.checks.image_check import ImageCheck, Images
from unfreeze.checks.page import Card, CorrectableImage, Editor, Section, Table
from unfreeze.checks.profile import StoredProfile
from unfreeze.checks.rules import Rule
from unfreeze.checks.waivers import Waiver
from unfreeze.cluster.shards import Cluster, Compute, Work, find_code_digest, name_images
from unfreeze.errors import UnfreezeError
from unfreeze.images.originals import STATE, Originals, list_states, require_unchanged
from unfreeze.paths import Paths
from unfreeze.records.corrections import describe_counts
from unfreeze.runtime.background import start_helper
from unfreeze.runtime.console import log
from unfreeze.settings.checks import Calibrated, CheckSettings, Limits
from unfreeze.settings.stage_settings import declare_param


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml; the settings of the image checks come in data/image_checks.json."""

    seed: int
    data_name: str = declare_param("data.name")
    limits: Limits = declare_param(
        "checks.on_bad",
        "checks.max_megapixels",
        "checks.seconds_per_image",
        "checks.worker_gb",
        "checks.min_images_per_class",
    )
    checks: CheckSettings = declare_param("checks.imbalance", "checks.shortcut", "checks.drift")


# Most corrections that no longer fit are logged one by one; the page lists all.
MOST_NAMED = 5
TEXT = ("path", "label", "group", "fold", "sha256")
# Submits a suite to Great Expectations in the background: (suite, table, rules) -> None.
Judge = Callable[[str, pd.DataFrame, list[Rule]], None]


@dataclass(frozen=True)
class Inputs:
    """Files that the stage reads besides the images.

    Args:
        image_checks: Level and threshold of every image check.
        waivers: Accepted findings.
        index: What the source says of each image.
        corrections: Labels that people replaced or confirmed, and images that they left out.
        stored: The profile that the last run left.
    """

    image_checks: CheckSettings
    waivers: list[Waiver]
    index: pd.DataFrame
    corrections: list[Correction]
    stored: StoredProfile | None

    @classmethod
    def read(cls, paths: Paths) -> "Inputs":
        """Read them all, before anything takes long."""
        image_checks = image_check.read_settings(paths.image_checks)
        accepted = waivers.load(paths.waivers, date.today())
        waivers.require_known_checks(paths.waivers, accepted, [*image_checks, "suspect_labels"])
        index = read_index(paths)
        return cls(image_checks, accepted, index, read_corrections(paths, index), profile.read(paths.profile))


def read_index(paths: Paths) -> pd.DataFrame:
    """Return what the source says of each image."""
    return pd.read_csv(paths.raw_index, keep_default_na=False, dtype=dict.fromkeys(TEXT, str))


def read_corrections(paths: Paths, index: pd.DataFrame) -> list[Correction]:
    """Read the corrections and refuse labels that the source's index does not have."""
    found, images = corrections.read(paths.corrections), Originals.open(paths, index)
    name = str(paths.corrections.relative_to(paths.root))
    corrections.require_known_labels(
        found, set(index["label"]), name, lambda: {images.hash(path) for path in index["path"]}
    )
    return found


def load_compute(settings: Settings, paths: Paths) -> Compute:
    """Return what measures images from one number up to another.

    Args:
        settings: Those of the stage.
        paths: The checkout.
    """
    index = read_index(paths)
    files_of = Originals.open(paths, index).locate(index["path"])
    return lambda start, stop: manifest.iterate_measures(files_of[start:stop], settings.limits)


def list_works(settings: Settings, paths: Paths) -> list[Work]:
    """Return what the stage computes, as work that can be divided."""
    return [describe_work(settings, paths, read_index(paths))]


def describe_work(settings: Settings, paths: Paths, index: pd.DataFrame) -> Work:
    """Return the measures of all images of the index, as work that can be divided."""
    names = index["path"].tolist()
    images = Originals.open(paths, index)
    return Work(
        "check",
        {
            "index": files.hash_file(paths.raw_index),
            # Whoever measures them reads their content: until then size and time of the last change stand for it.
            "images": files.digest(list_states(images, index)),
            "limits": settings.limits.model_dump(mode="json"),
            "code": find_code_digest(paths, "check"),
        },
        (len(names),),
        partial(load_compute, settings, paths),
        name_rows=partial(name_images, names),
    )


def measure_images(settings: Settings, inputs: Inputs, paths: Paths, cluster: Cluster) -> pd.DataFrame:
    """Measure all images; return the manifest's rows with their verdict: `ok`, `unreadable` or `excluded`."""
    measured = cluster.iterate_rows(describe_work(settings, paths, inputs.index))
    images = Originals.open(paths, inputs.index)
    # Size and digest are measured again.
    index = inputs.index.drop(columns=STATE, errors="ignore")
    rows = manifest.measure_images(index, images.root, settings.limits, measured)
    require_unchanged(images, rows)
    rows = rows.assign(verdict=np.where(rows["reason"] == "", "ok", "unreadable"))
    return corrections.apply(rows, inputs.corrections)


def find_near_pairs(rows: pd.DataFrame, near_duplicates: Calibrated, settings: Settings, paths: Paths) -> np.ndarray:
    """Find images that show the same, though not pixel by pixel.

    Args:
        rows: The manifest's rows.
        near_duplicates: Settings of that check.
        settings: Those of this stage.
        paths: Where the images are.

    Returns:
        int64 array of shape (pairs, 2): row numbers; empty where the check is off.
    """
    if near_duplicates.level == "off":
        return np.empty((0, 2), np.int64)
    is_shown = (rows["reason"] == "") & rows["verdict"].isin(["ok", corrections.EXCLUDED])
    numbers = np.flatnonzero(is_shown)
    readable = rows.iloc[numbers]
    files_of = Originals.open(paths, rows).locate(readable["path"])
    pairs = duplicates.find_near_copies(readable, files_of, near_duplicates.threshold, settings.limits, settings.seed)
    return np.asarray(numbers[pairs])


def add_clusters(rows: pd.DataFrame, near: np.ndarray) -> pd.DataFrame:
    """Add two numbers a row: `copies` for images that show the same, `cluster` for these and the source's groups."""
    copies = duplicates.number_clusters(rows.drop(columns="group", errors="ignore"), near)
    return rows.assign(cluster=duplicates.number_clusters(rows, near), copies=copies)


def count_images(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a class: `label`, its usable `images`, and `times_smaller` than the largest class it is.

    A class of which a correction leaves out every image is no class any more.
    """
    labels = sorted(rows.loc[rows["verdict"] != corrections.EXCLUDED, "label"].unique())
    counts = manifest.select_usable(rows)["label"].value_counts().reindex(labels, fill_value=0)
    times = counts.max() / counts.clip(lower=1)
    return pd.DataFrame({"label": labels, "images": counts.to_numpy(), "times_smaller": times.to_numpy()})


def find_waived(rows: pd.DataFrame, found: pd.DataFrame, inputs: Inputs) -> pd.DataFrame:
    """Mark the findings that are waived by checks/waivers.yaml, or since somebody found the label right.

    Args:
        rows: Rows of the images.
        found: One bool column a check, one row an image.
        inputs: Waivers and corrections.

    Returns:
        A table of the same form as `found`.
    """
    waived = waivers.find_waived(found, rows["sha256"], inputs.waivers)
    kept, checks = corrections.is_confirmed(rows, inputs.corrections), image_check.load_image_checks()
    return waived.assign(
        **{name: waived[name] | (found[name] & kept) for name in map(str, found) if checks[name].finds_copies}
    )


def make_section(listed: pd.DataFrame, check: ImageCheck, level: str, corrected: list[Correction]) -> Section:
    """Return what the page shows of a check; copies of which all labels were found right are only counted.

    Args:
        listed: All findings.
        check: The check.
        level: What a finding does.
        corrected: The corrections.
    """
    of_check = listed[listed["check"] == check.name]
    is_confirmed = corrections.is_confirmed(of_check, corrected) & check.finds_copies
    # Files with the same bytes under two labels cannot both be right.
    labels = of_check.groupby("sha256")["label"].nunique()
    groups = [
        [
            Card(
                row["path"],
                [f"label {row['label']}", *filter(None, [row["detail"], "waived" if row["waived"] else ""])],
                has_picture=check.name != "unreadable",
                image=CorrectableImage(
                    row["sha256"], row["label"], can_keep=check.finds_copies and labels[row["sha256"]] == 1
                ),
            )
            for row in group.to_dict("records")
        ]
        for group in findings.group_findings(of_check, check)
        if not is_confirmed[group.index].all()
    ]
    waived = int(of_check["waived"].sum())
    return Section(check.name, check.explanation, level, len(of_check) - waived, waived, groups)


def inspect(settings: Settings, inputs: Inputs, paths: Paths, judge: Judge, cluster: Cluster) -> StoredProfile:
    """Write manifest, findings and their page, and submit each suite as soon as its table is known.

    Args:
        settings: Those of this stage.
        inputs: Settings of the image checks, waivers, corrections, and the last profile.
        paths: Where the images are and where all goes.
        judge: Takes a suite's name, its table and its rules, and does not wait for the result.
        cluster: Measures the images.

    Returns:
        The profile of this version, with that of the version before.
    """
    measured = measure_images(settings, inputs, paths, cluster)
    rows = quarantine.set_aside(measured, inputs.image_checks, settings.limits, inputs.waivers)
    image_checks = quarantine.soften(inputs.image_checks, settings.limits)
    usable, classes = manifest.select_usable(rows), count_images(rows)
    judge("classes", classes, rules.guard_classes(settings.checks, settings.limits))
    now = profile.describe_images(usable, settings.data_name)
    previous = profile.find_previous(inputs.stored, now)
    drift = profile.measure_drift(previous, now)
    judge("drift", drift, rules.guard_drift(settings.checks))
    skills = shortcuts.measure_skills(usable, settings.seed)
    judge("shortcuts", skills, rules.guard_shortcuts(settings.checks))
    near = find_near_pairs(rows, cast(Calibrated, image_checks["near_duplicates"]), settings, paths)
    # Clusters are those of all images, so that leaving one out moves no other to another fold.
    rows = add_clusters(rows, near)
    used, near = corrections.take_used(rows, near)
    found = quarantine.drop_findings(image_check.find_all(Images(used, near), image_checks), used["verdict"])
    waived = find_waived(used, found, inputs)
    wanted = rules.guard_manifest(image_checks, quarantine.summarise_reasons(used["reason"]))
    judge("manifest", pd.concat([used, found & ~waived], axis=1), wanted)
    files.write_parquet(paths.manifest, corrections.name_reasons(rows, inputs.corrections))
    checks = image_check.load_image_checks()
    listed = findings.list_findings(used, found, waived, checks)
    files.write_csv(paths.findings, listed)
    corrected = inputs.corrections
    sections = [
        make_section(listed, checks[name], image_checks.get_level(name), corrected) for name in map(str, found)
    ]
    tables = [
        *tell_corrections(rows, corrected),
        Table.of("Classes", classes),
        Table.of("How well a property alone predicts the label: 0 is chance, 1 is always right", skills),
        Table.of("Distance from the previous data version, 0 to 1", drift),
    ]
    counted = f"{len(used)} images of {len(classes)} classes, {len(usable)} of them usable."
    editor = Editor(sorted(set(corrections.given_labels(rows))), corrected)
    write_page(counted, sections, tables, editor, settings.limits, paths)
    return StoredProfile(**now.model_dump(), previous=previous)


def tell_corrections(rows: pd.DataFrame, corrected: list[Correction]) -> list[Table]:
    """Log what corrections changed and which no longer fit; return their table for the page, none without any."""
    if not corrected:
        return []
    counts = corrections.count(rows, corrected)
    title = f"Corrections: {describe_counts(counts)}"
    log.info("%s", title)
    for line in counts.unfit[:MOST_NAMED]:
        log.warning("checks/corrections.csv: %s: `unfreeze correct DIGITS --withdraw` removes the line", line)
    if len(counts.unfit) > MOST_NAMED:
        log.warning("checks/corrections.csv: %d more corrections no longer fit", len(counts.unfit) - MOST_NAMED)
    return [Table.of(title, corrections.tabulate(rows, corrected))]


def write_page(
    counted: str, sections: list[Section], tables: list[Table], editor: Editor, limits: Limits, paths: Paths
) -> None:
    """Write reports/data.html.

    Args:
        counted: Sentence on the number of images.
        sections: One a check.
        tables: Further tables.
        editor: What the page needs to make corrections.
        limits: Most pixels of an image.
        paths: Where the images are and where the page goes.
    """
    text = page.render_page(
        "What the checks found",
        f"{counted} All findings are in {paths.findings.relative_to(paths.root)}.",
        sections,
        tables,
        images=Originals.open(paths),
        max_pixels=limits.max_pixels,
        links=[("Suspect labels", paths.suspects_page.name), *gate.list_pages(paths, paths.findings_page)],
        editor=editor,
    )
    files.write_text(paths.findings_page, text)
    log.info("%s The findings are shown in %s", counted, paths.findings_page.relative_to(paths.root))


def run(settings: Settings, paths: Paths, cluster: Cluster) -> None:
    """Look at all images, then end the stage if an expectation fails."""
    inputs = Inputs.read(paths)
    with start_helper(gate.load_library) as process:
        judgements = gate.Judgements(process, paths)
        described = inspect(settings, inputs, paths, judgements.submit, cluster)
        problems = judgements.wait()
    if problems:
        raise UnfreezeError(f"{'; '.join(problems)}. The findings are shown in {paths.findings_page}")
    # Only a version that passed is one to compare the next version with.
    files.write_json(paths.profile, described.model_dump())
