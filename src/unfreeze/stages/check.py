"""Measure every raw image, look for what is wrong, and let Great Expectations decide whether the data may be used."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import date
from typing import cast

import numpy as np
import pandas as pd

from unfreeze import files
from unfreeze.checks import catalogue, duplicates, findings, gate, manifest, page, profile, rules, shortcuts, waivers
from unfreeze.checks.page import Card, Section, Table
from unfreeze.checks.profile import StoredProfile
from unfreeze.checks.rules import Rule
from unfreeze.checks.waivers import Waiver
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.runtime.background import start_helper
from unfreeze.runtime.console import log
from unfreeze.settings.checks import Calibrated, CheckSettings, Limits
from unfreeze.settings.selection import param


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    seed: int
    data_name: str = param("data.name")
    limits: Limits = param(
        "checks.on_bad",
        "checks.max_megapixels",
        "checks.seconds_per_image",
        "checks.worker_gb",
        "checks.min_images_per_class",
    )
    checks: CheckSettings = param(
        "checks.wrong_extension",
        "checks.blurry",
        "checks.dark",
        "checks.bright",
        "checks.low_information",
        "checks.odd_size",
        "checks.odd_aspect",
        "checks.conflicting_labels",
        "checks.exact_duplicates",
        "checks.near_duplicates",
        "checks.near_conflicts",
        "checks.imbalance",
        "checks.shortcut",
        "checks.drift",
    )


TEXT = ("path", "label", "group", "fold")
# Begins to judge and does not wait: suite, table, rules.
Judge = Callable[[str, pd.DataFrame, list[Rule]], None]


def measured(settings: Settings, paths: Paths) -> pd.DataFrame:
    """Measure all images; return the manifest's rows with their verdict."""
    index = pd.read_csv(paths.raw_index, keep_default_na=False, dtype=dict.fromkeys(TEXT, str))
    rows = manifest.build(index, paths.raw, settings.limits)
    return rows.assign(verdict=np.where(rows["reason"] == "", "ok", "unreadable"))


def with_clusters(rows: pd.DataFrame, near: np.ndarray) -> pd.DataFrame:
    """Add two numbers a row: one for those that show the same, and one for these with what the source groups."""
    copies = duplicates.clusters(rows.drop(columns="group", errors="ignore"), near)
    return rows.assign(cluster=duplicates.clusters(rows, near), copies=copies)


def near_pairs(rows: pd.DataFrame, settings: Settings, paths: Paths) -> np.ndarray:
    """Return the pairs of row numbers that show the same, though not pixel by pixel."""
    check = cast(Calibrated, settings.checks["near_duplicates"])
    if check.level == "off":
        return np.empty((0, 2), np.int64)
    numbers = np.flatnonzero(rows["reason"] == "")
    readable = rows.iloc[numbers]
    pairs = duplicates.candidates(readable, check.threshold, settings.seed)
    files_of = [paths.raw / name for name in readable["path"]]
    return numbers[duplicates.confirmed(pairs, files_of, settings.limits, settings.seed)]


def images_per_class(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a class: its number of usable images, and how many times as many the largest class has."""
    labels = sorted(rows["label"].unique())
    counts = manifest.usable(rows)["label"].value_counts().reindex(labels, fill_value=0)
    times = counts.max() / counts.clip(lower=1)
    return pd.DataFrame({"label": labels, "images": counts.to_numpy(), "times_smaller": times.to_numpy()})


def sections_of(table: pd.DataFrame, names: list[str], checks: CheckSettings) -> list[Section]:
    """Return what the page shows of each check that is on."""
    sections = []
    for name in names:
        of_check = table[table["check"] == name]
        groups = [
            [
                Card(
                    row["path"],
                    [f"label {row['label']}", *filter(None, [row["detail"], "let pass" if row["waived"] else ""])],
                    has_picture=name != "unreadable",
                )
                for row in group.to_dict("records")
            ]
            for group in findings.grouped(of_check)
        ]
        waived = int(of_check["waived"].sum())
        sections.append(Section(name, checks.level_of(name), len(of_check) - waived, waived, groups))
    return sections


def look(
    settings: Settings, paths: Paths, let_pass: list[Waiver], stored: StoredProfile | None, judge: Judge
) -> StoredProfile:
    """Write manifest, findings and their page, and hand over what the gate looks at as soon as it is known.

    Args:
        settings: Those of this stage.
        paths: Where the images are and where all goes.
        let_pass: Waivers.
        stored: The profile that the last run left.
        judge: Takes a suite's name, its table and its rules, and does not wait for what comes of them.

    Returns:
        The profile of this version, and of the version before.
    """
    rows = measured(settings, paths)
    of_images = CheckSettings({"unreadable": settings.limits.unreadable, **settings.checks})
    usable, classes = manifest.usable(rows), images_per_class(rows)
    judge("classes", classes, rules.of_classes(settings.checks, settings.limits))
    described = profile.describe_images(usable, settings.data_name)
    previous = profile.find_previous(stored, described)
    drift = profile.measure_drift(previous, described)
    judge("drift", drift, rules.of_drift(settings.checks))
    skills = shortcuts.skills(usable, settings.seed)
    judge("shortcuts", skills, rules.of_shortcuts(settings.checks))
    near = near_pairs(rows, settings, paths)
    rows = with_clusters(rows, near)
    found = pd.concat(
        [catalogue.found_in_image(rows, of_images), catalogue.found_in_copies(rows, near, settings.checks)], axis=1
    )
    waived = waivers.waived(found, rows["sha256"], let_pass)
    listed = findings.listed(rows, found, waived)
    judge("manifest", pd.concat([rows, found & ~waived], axis=1), rules.of_manifest(of_images))
    with files.atomic(paths.manifest) as partial:
        rows.to_parquet(partial, index=False)
    files.write_csv(paths.findings, listed)
    counted = f"{len(rows)} images of {len(classes)} classes, {len(usable)} of them readable."
    text = page.page(
        "What the checks found",
        f"{counted} All findings are in {paths.findings.relative_to(paths.root)}.",
        sections_of(listed, list(found.columns), of_images),
        [
            Table.of("Classes", classes),
            Table.of("How well a property alone predicts the label: 0 is chance, 1 is always right", skills),
            Table.of("Distance from the previous data version, 0 to 1", drift),
        ],
        root=paths.raw,
        most_pixels=settings.limits.max_pixels,
        links=[("Suspect labels", paths.suspects_page.name), *gate.pages(paths, paths.findings_page)],
    )
    files.write_text(paths.findings_page, text)
    log.info("%s What was found is shown in %s", counted, paths.findings_page.relative_to(paths.root))
    return StoredProfile(**described.model_dump(), previous=previous)


def run(settings: Settings, paths: Paths) -> None:
    """Look at all images, then end the stage if an expectation fails."""
    let_pass = waivers.load(paths.waivers, date.today())
    stored = profile.read(paths.profile)
    judgements: dict[str, Future[None]] = {}
    problems = []
    with start_helper(gate.load_library) as process:

        def judge(suite: str, table: pd.DataFrame, wanted: list[Rule]) -> None:
            judgements[suite] = process.submit(gate.gate, suite, table, wanted, paths)

        described = look(settings, paths, let_pass, stored, judge)
        # What is wrong with images comes first: it is why classes have too few.
        for suite in sorted(judgements, key=gate.SUITES.index):
            try:
                judgements[suite].result()
            except UnfreezeError as error:
                problems.append(str(error))
    if problems:
        raise UnfreezeError(f"{'; '.join(problems)}. What was found is shown in {paths.findings_page}")
    # Only a version that passed is one to compare the next version with.
    files.write_json(paths.profile, described.model_dump())
