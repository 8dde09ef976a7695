"""Images in a wheel on the package index."""

from unfreeze.settings.sources import WheelSource
from unfreeze.sources import archives, wheels
from unfreeze.sources.kind import Brought, Kind, Workplace, register


def check(source: WheelSource) -> None:
    """Accept all settings: only pip knows which packages there are."""


def bring(source: WheelSource, place: Workplace) -> Brought:
    """Fetch the wheel and unpack it; nothing in it is installed or imported."""
    with wheels.fetch_wheel(source.source, source.sha256) as wheel:
        archives.unpack(wheel, place.unpacked, name=source.source)
    return Brought(place.unpacked, source.sha256)


register(Kind(WheelSource, check, bring))
