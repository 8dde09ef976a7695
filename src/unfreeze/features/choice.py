"""Whether activations pay: stored and read in every epoch, or computed again by the training itself."""

# Multiply-adds a byte of activations, below which a step of training computes frozen layers in less time than it
# takes to read what they give; docs/speed.md has measurements. It is not measured where a study runs: the last bits
# of a model depend on it, and times differ from run to run.
LEAST_MACS_A_BYTE = 100


def pays(macs: int, row_bytes: int, origin_bytes: int) -> bool:
    """Tell whether activations are stored, rather than their layers trained through.

    Args:
        macs: Multiply-adds of one image's activations.
        row_bytes: Their size.
        origin_bytes: Size of what they are computed from.

    >>> pays(1_400_000_000, 145_600, 76_800), pays(6_800_000, 131_072, 49_152)
    (True, False)
    """
    return row_bytes <= origin_bytes or macs >= LEAST_MACS_A_BYTE * row_bytes


def explain(backbone: str, layer: str, macs: int, row_bytes: int, rows: int, *, stored: bool) -> str:
    """Return a sentence on what was chosen, and why.

    Args:
        backbone: The backbone.
        layer: The layer before the wanted cut.
        macs: Multiply-adds of one image's activations there.
        row_bytes: Their size.
        rows: Number of rows.
        stored: Whether they pay.
    """
    size, arithmetic = f"{row_bytes / 1e3:,.0f} kB an image", f"{macs / 1e6:,.1f} million multiply-adds"
    if stored:
        return (
            f"{backbone}: activations behind {layer} are stored, {size}, {row_bytes * rows / 1e9:.1f} GB: no epoch "
            f"repeats their {arithmetic} an image, {macs / row_bytes:,.0f} a byte"
        )
    return (
        f"{backbone}: training begins at the pixels: activations behind {layer} would take {size} for {arithmetic}, "
        f"{macs / row_bytes:,.0f} a byte; below {LEAST_MACS_A_BYTE} a step computes them sooner than it reads them"
    )
