"""Annotations on the tiles of a video: the time, a tick or a cross, and names."""

from __future__ import annotations

import functools

import numpy as np

#: Ends of the strokes of a seven-segment digit, in a cell 1 wide and 2 high.
_STROKES = {
    "a": ((0, 0), (1, 0)), "b": ((1, 0), (1, 1)), "c": ((1, 1), (1, 2)), "d": ((0, 2), (1, 2)),
    "e": ((0, 1), (0, 2)), "f": ((0, 0), (0, 1)), "g": ((0, 1), (1, 1)),
}  # fmt: skip
_DIGITS = {
    "0": "abcdef", "1": "bc", "2": "abged", "3": "abgcd", "4": "fgbc", "5": "afgcd",
    "6": "afgedc", "7": "abc", "8": "abcdefg", "9": "abcdfg",
}  # fmt: skip
_TICK = (((0.0, 1.1), (0.6, 1.7)), ((0.6, 1.7), (1.7, 0.3)))
_CROSS = (((0.2, 0.2), (1.7, 1.7)), ((1.7, 0.2), (0.2, 1.7)))
_GREEN, _RED, _INK = (24, 140, 84), (198, 50, 38), (40, 46, 52)
_PALE = (214, 219, 224)
#: Letters of 5 x 7 pixels: a row is a digit to the base 32.
_LETTERS = {
    "A": "ehhvhhh", "B": "uhhuhhu", "C": "ehggghe", "D": "uhhhhhu", "E": "vgguggv", "F": "vgguggg",
    "G": "ehgnhhf", "H": "hhhvhhh", "I": "e44444e", "J": "72222ic", "K": "hikokih", "L": "ggggggv",
    "M": "hrllhhh", "N": "hhpljhh", "O": "ehhhhhe", "P": "uhhuggg", "Q": "ehhhlid", "R": "uhhukih",
    "S": "fgge11u", "T": "v444444", "U": "hhhhhhe", "V": "hhhhha4", "W": "hhhllla", "X": "hha4ahh",
    "Y": "hhha444", "Z": "v1248gv", "0": "ehjlphe", "1": "4c4444e", "2": "eh1248v", "3": "v2421he",
    "4": "26aiv22", "5": "vgu11he", "6": "68guhhe", "7": "v124888", "8": "ehhehhe", "9": "ehhf12c",
    " ": "0000000", "_": "000000v", "-": "000v000", ".": "00000cc",
}  # fmt: skip
_UNKNOWN = "vhhhhhv"  # a box
_PAD = 0.7  # around the annotation, in widths of a digit


def write_time(frame: np.ndarray, seconds: float) -> None:
    """Write the time in the upper left corner of uint8[height, width, 3], in place."""
    scale = frame.shape[0] / 36
    _blend(frame, _mask(f"{seconds:.1f}", scale), _INK, left=True)


def write_mark(frame: np.ndarray, success: bool) -> None:
    """Put a tick or a cross in the upper right corner of uint8[height, width, 3], in place."""
    scale = frame.shape[0] / 30
    mask = _mask("tick" if success else "cross", scale)
    _blend(frame, mask, _GREEN if success else _RED, left=False)


def write_name(frames: np.ndarray, name: str, x: int, y: int, width: int) -> None:
    """Write a name, in capitals 14 or 7 pixels high, into uint8[..., height, width, 3] at (x, y),
    in place; what does not fit into `width` pixels is cut off."""
    rows = [[int(row, 32) for row in _LETTERS.get(c, _UNKNOWN)] for c in name.upper()]
    bits = np.array(rows)[..., None] >> np.arange(5, -1, -1) & 1  # [letters, 7, 6], a gap before
    mask = np.concatenate(list(bits), axis=1)[:, 1:].astype(bool)
    scale = 2 if 2 * mask.shape[1] <= width else 1
    mask = mask.repeat(scale, 0).repeat(scale, 1)[:, :width]
    frames[..., y : y + mask.shape[0], x : x + mask.shape[1], :][..., mask, :] = _PALE


def _blend(frame: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int], left: bool) -> None:
    """A panel of `colour` with white strokes. mask: float32[h, w, 2], of panel and strokes."""
    height, width = mask.shape[0], mask.shape[1]
    gap = height // 4
    x = gap if left else frame.shape[1] - width - gap
    corner = frame[gap : gap + height, x : x + width]
    panel = 0.85 * mask[..., :1]
    strokes = mask[..., 1:]
    mixed = (1 - panel) * corner + panel * np.asarray(colour)
    corner[...] = np.round((1 - strokes) * mixed + strokes * 255).astype(np.uint8)


@functools.lru_cache(maxsize=256)
def _mask(text: str, scale: float) -> np.ndarray:
    """float32[h, w, 2]: a rounded panel and the strokes on it; scale: pixels to a digit's width."""
    segments, width = _segments(text)
    size = np.array([width + 2 * _PAD, 2 + 2 * _PAD])
    columns, rows = np.ceil(size * scale).astype(int)
    grid = np.stack(np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5), axis=-1) / scale
    near = np.min([_distance(grid - _PAD, *map(np.asarray, ends)) for ends in segments], axis=0)
    strokes = np.clip((0.17 - near) * scale + 0.5, 0, 1)
    # A rounded rectangle, by its distance function.
    outward = np.abs(grid - size / 2) - size / 2 + 0.5
    beyond = np.linalg.norm(np.maximum(outward, 0), axis=-1) + np.minimum(outward.max(-1), 0) - 0.5
    panel = np.clip(0.5 - beyond * scale, 0, 1)
    return np.stack([panel, strokes], axis=-1).astype(np.float32)


def _segments(text: str) -> tuple[list, float]:
    """Strokes ((x, y), (x, y)) in widths of a digit, y downward, and the width of all."""
    if text == "tick":
        return list(_TICK), 1.8
    if text == "cross":
        return list(_CROSS), 1.9
    segments, x = [], 0.0
    for character in f"{text}s":
        if character == ".":
            segments.append(((x - 0.15, 2.0), (x - 0.15, 2.0)))
            x += 0.35
            continue
        unit = character == "s"  # a small 5
        shape = _DIGITS["5" if unit else character]
        x += 0.3 if unit else 0.0
        across, down, top = (0.7, 0.6, 0.8) if unit else (1.0, 1.0, 0.0)
        for name in shape:
            ends = _STROKES[name]
            segments.append(tuple((x + across * u, top + down * v) for u, v in ends))
        x += across + 0.5
    return segments, x - 0.5


def _distance(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """float[...] from points [..., 2] to the segment between two."""
    along = end - start
    share = np.clip((points - start) @ along / max(float(along @ along), 1e-9), 0, 1)
    return np.linalg.norm(points - start - share[..., None] * along, axis=-1)
