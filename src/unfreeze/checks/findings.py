"""Findings: one row for each check and image, with what a person wants to know of it."""

from collections.abc import Sequence

import pandas as pd

COLUMNS = ("check", "path", "label", "detail", "copies", "sha256", "waived")
# What a finding says of its image, by the manifest's columns.
DETAILS = {
    "unreadable": "{reason}",
    "wrong_extension": "is {format}",
    "blurry": "sharpness {sharpness:.1f}",
    "dark": "99 % of pixels up to {dark_end:.0f}",
    "bright": "95 % of pixels from {bright_end:.0f}",
    "low_information": "entropy {entropy:.2f} bits",
    "odd_size": "{width:.0f} x {height:.0f} pixels",
    "odd_aspect": "{width:.0f} x {height:.0f} pixels",
}
# Of several findings the worst comes first: by which column, and whether low is bad.
WORST_FIRST = {
    "blurry": ("sharpness", True),
    "dark": ("dark_end", True),
    "bright": ("bright_end", False),
    "low_information": ("entropy", True),
}
# Checks whose findings are groups of images.
OF_COPIES = ("conflicting_labels", "exact_duplicates", "near_duplicates", "near_conflicts")


def listed(rows: pd.DataFrame, found: pd.DataFrame, waived: pd.DataFrame) -> pd.DataFrame:
    """List all findings.

    Args:
        rows: The manifest's measures, and `copies`: a number for those that show the same.
        found: One bool column a check, one row an image.
        waived: Of the same form: which findings are let pass.

    Returns:
        One row a finding, check by check, the worst first: columns `COLUMNS`.
    """
    parts = [pd.DataFrame(columns=list(COLUMNS))]
    for name in map(str, found.columns):
        of_check = rows[found[name]]
        if of_check.empty:
            continue
        if name in WORST_FIRST:
            column, low_is_bad = WORST_FIRST[name]
            of_check = of_check.sort_values(column, ascending=low_is_bad, kind="stable")
        elif name in OF_COPIES:
            of_check = of_check.sort_values("copies", kind="stable")
        detail = [DETAILS.get(name, "").format_map(row) for row in of_check.to_dict("records")]
        part = of_check.assign(check=name, detail=detail, waived=waived.loc[of_check.index, name])
        parts.append(part[list(COLUMNS)])
    return pd.concat(parts[1:] or parts, ignore_index=True)


def grouped(of_check: pd.DataFrame) -> Sequence[pd.DataFrame]:
    """Part the findings of one check into images that belong together: copies, or else single images."""
    if of_check["check"].isin(OF_COPIES).any():
        return [group for _, group in of_check.groupby("copies", sort=False)]
    return [of_check.iloc[[place]] for place in range(len(of_check))]
