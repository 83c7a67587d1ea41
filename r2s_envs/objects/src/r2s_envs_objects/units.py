"""Which unit a file's numbers are in, decided from the size that they would mean."""

from __future__ import annotations

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254}
SMALLEST, LARGEST = 0.005, 1.0  # m, largest extent of an object that an arm can handle


def metres_per_unit(extent: float, units: str, label: str) -> tuple[float, list[Finding]]:
    """The factor from the file's numbers to metres, given its largest extent in them.

    AssetError where `auto` cannot tell, or where the size is implausible.
    """
    if units != "auto":
        factor = METRES[units]
        if not SMALLEST <= extent * factor <= LARGEST:
            raise AssetError(
                f"{label}: read as {units} it is {extent * factor:.3g} m long, outside "
                f"{SMALLEST} to {LARGEST:g} m; set `units` (or `scale`) to what the file is in"
            )
        return factor, []
    if SMALLEST <= extent <= LARGEST:
        return 1.0, []
    # Above 50, centimetres and inches would be over half a metre: only millimetres make sense.
    if 50.0 < extent <= LARGEST / METRES["mm"]:
        what = f"largest extent {extent:.4g}: taken as millimetres, so {extent / 1000:.3g} m"
        return METRES["mm"], [Finding(what, "warning", repaired=True)]
    if LARGEST < extent <= 50.0:
        raise AssetError(
            f"{label}: its largest extent is {extent:.4g}, which may be mm, cm or inches; "
            "set `units` to say which"
        )
    raise AssetError(
        f"{label}: its largest extent is {extent:.3g}, outside {SMALLEST} to {LARGEST:g} m and no "
        "plausible number of millimetres either; set `units` and `scale`"
    )
