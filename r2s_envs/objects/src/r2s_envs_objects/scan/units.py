"""The unit of a file's numbers: from what the file states, and from the size that would result."""

from __future__ import annotations

import re

from r2s_core.errors import AssetError
from r2s_envs_objects.asset import Finding

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254}
SMALLEST, LARGEST = 0.005, 1.0  # m, range of the largest extent for an arm to handle
NARROWEST = 0.15  # m; an object wider than this in every direction is too large for a gripper

_WORDS = {
    "mm": r"mm|millimet(?:er|re)s?",
    "cm": r"cm|centimet(?:er|re)s?",
    "inch": r"inch(?:es)?|in",
    "m": r"m|met(?:er|re)s?",
}
_ANY = "|".join(_WORDS.values()).encode()
#: "units: mm", "Unit = inches", "UNITS=mm", "unit_of_length m", "in millimeters", "(mm)".
_HINT = re.compile(
    rb"\bunits?(?:[_ ]of[_ ]length|[_ ]?name|[_ ]?scale)?(?:\s+(?:are|is|in))?\s*[:=]?\s*[\"'(]?("
    + _ANY
    + rb")\b|\bin\s+(millimet(?:er|re)s?|centimet(?:er|re)s?|inches|met(?:er|re)s?)\b",
    re.IGNORECASE,
)


def stated_unit(data: bytes, suffix: str) -> str | None:
    """The unit that a file's header or comments name, if they name exactly one."""
    if suffix == ".stl":
        head = data[:80]  # of a text file, the solid's name
    elif suffix == ".ply":
        head = b"\n".join(re.findall(rb"^(?:comment|obj_info)[^\n]*", _until(data), re.MULTILINE))
    else:
        head = b"\n".join(re.findall(rb"^[ \t]*#[^\n]*", data[:20_000], re.MULTILINE))
    words = {(a or b).decode().lower() for a, b in _HINT.findall(head)}
    units = {u for u, pattern in _WORDS.items() for w in words if re.fullmatch(pattern, w)}
    return units.pop() if len(units) == 1 else None


def _until(data: bytes) -> bytes:
    return data[:100_000].partition(b"end_header")[0]


def metres_per_unit(
    extents: tuple[float, float, float],
    units: str,
    stated: str | None,
    label: str,
    mapped: bool = False,
) -> tuple[str, list[Finding]]:
    """The unit, a key of METRES, of a file's numbers; extents in them.

    stated: the unit named in the file, if any. mapped: whether the numbers are map coordinates,
    which are in metres. AssetError if `auto` cannot decide, naming the candidates and the sizes
    that would result, or if the size is implausible.
    """
    largest = max(extents)
    if units != "auto":
        if not _plausible(largest, units):
            raise AssetError(
                f"{label}: read as {units} it is {largest * METRES[units]:.3g} m long, outside "
                f"{SMALLEST} to {LARGEST:g} m; set `units` (or `scale`) to what the file is in"
            )
        return units, []
    if mapped:
        if _plausible(largest, "m"):
            what = f"units: metres, as in all map coordinates, so it is {_size(extents, 'm')}"
            return "m", [Finding(what, code="units")]
        raise AssetError(
            f"{label}: has map coordinates, which are in metres, and is {largest:.3g} m long: too "
            "large for an arm; cut the object out of it, or give `units: mm` if that is wrong"
        )
    findings = []
    if stated is not None:
        if _plausible(largest, stated):
            what = f"units: the file says {stated}, so it is {_size(extents, stated)}"
            return stated, [Finding(what, code="units")]
        what = f"the file says {stated}, which would make it {largest * METRES[stated]:.3g} m long"
        findings.append(Finding(what, "warning", code="units-contradicted"))
    unit = _from_size(largest, label)
    if unit == "mm":
        what = f"largest extent {largest:.4g}: taken as millimetres, so {_size(extents, unit)}"
        return unit, [*findings, Finding(what, repaired=True, code="units")]
    what = f"units: metres, from its size of {_size(extents, unit)}"
    findings.append(Finding(what, code="units"))
    if min(extents) > NARROWEST:
        what = f"nowhere narrower than {min(extents):.2f} m if its unit is metres; if the scan is"
        what += " not to scale, set `scale`"
        findings.append(Finding(what, "warning", code="units-doubtful"))
    return unit, findings


def _from_size(largest: float, label: str) -> str:
    if SMALLEST <= largest <= LARGEST:
        return "m"
    # Above 50, centimetres and inches would be over half a metre: only millimetres make sense.
    if 50.0 < largest <= LARGEST / METRES["mm"]:
        return "mm"
    if LARGEST < largest <= 50.0:
        candidates = [u for u in ("mm", "cm", "inch") if _plausible(largest, u)]
        sizes = [f"{u} ({largest * METRES[u] * 1000:.3g} mm long)" for u in candidates]
        raise AssetError(
            f"{label}: its largest extent is {largest:.4g}, which may be {_either(sizes)}; say "
            f"which with {_either([f'`units: {unit}`' for unit in candidates])}"
        )
    raise AssetError(
        f"{label}: its largest extent is {largest:.3g}, outside {SMALLEST} to {LARGEST:g} m, and "
        "implausible in millimetres too; set `units` and `scale`"
    )


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _plausible(largest: float, unit: str) -> bool:
    return SMALLEST <= largest * METRES[unit] <= LARGEST


def _size(extents: tuple[float, float, float], unit: str) -> str:
    return " x ".join(f"{e * METRES[unit] * 1000:.3g}" for e in extents) + " mm"
