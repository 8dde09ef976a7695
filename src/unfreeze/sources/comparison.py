"""Whether two readings of a source say the same, and which of several says all that the others do."""

from unfreeze.errors import UnfreezeError
from unfreeze.settings.overrides import quote_for_shell, quote_override
from unfreeze.sources.layout import EXTRAS, Layout

SUREST = 2


def choose(layouts: list[Layout], name: str) -> Layout:
    """Return the one layout that says all that the others say.

    Args:
        layouts: What fits; at least one.
        name: How messages call the source.

    Raises:
        UnfreezeError: Two of them differ; both are named, with the setting that chooses each.
    """
    layouts = sorted(layouts, key=lambda layout: -layout.rank)
    if layouts[0].rank == SUREST:
        layouts = [layout for layout in layouts if layout.rank > 0]
    for layout in layouts:
        if all(other is layout or _contains(layout, other) for other in layouts):
            return layout
    first = max(layouts, key=lambda layout: len(layout.index))
    second = next(layout for layout in layouts if layout is not first and not _contains(first, layout))
    raise UnfreezeError(
        f"data.source {name} can be read in two ways: as {_describe(first)}; or as {_describe(second)}: "
        "choose one, or take away what leads to the other"
    )


def _describe(layout: Layout) -> str:
    chosen = " ".join(f"-S {quote_for_shell(quote_override(key, value))}" for key, value in layout.settings.items())
    return f"{layout.explanation}, with {layout.index['label'].nunique()} classes and {len(layout.index)} images" + (
        f" ({chosen})" if chosen else ""
    )


def _contains(whole: Layout, part: Layout) -> bool:
    """Tell whether a layout says all that another says of its images."""
    extras = [column for column in EXTRAS if column in part.index]
    if any(column not in whole.index for column in extras):
        return False
    first, second = (
        dict(zip(layout.paths, layout.index[["label", *extras]].itertuples(index=False, name=None), strict=True))
        for layout in (whole, part)
    )
    if not second.keys() <= first.keys():
        return False
    if all(_is_same(first[path], row) for path, row in second.items()):
        return True
    if len(second) < len(first) or any(first[path][1:] != row[1:] for path, row in second.items()):
        return False
    # The same classes by other names: words say more than numbers.
    pairs = {(first[path][0], row[0]) for path, row in second.items()}
    one_to_one = len({one for one, _ in pairs}) == len({other for _, other in pairs}) == len(pairs)
    if not one_to_one:
        return False
    return part.rank < whole.rank or [_are_numbers(layout) for layout in (whole, part)] == [False, True]


def _is_same(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Tell whether two rows say the same: 00012 and 12 are one class."""
    if one == other:
        return True
    numbers = [row[0].isdecimal() for row in (one, other)]
    return all(numbers) and int(one[0]) == int(other[0]) and one[1:] == other[1:]


def _are_numbers(layout: Layout) -> bool:
    return all(label.strip().lstrip("-").isdigit() for label in layout.index["label"])
