"""Pictures for backgrounds: read from a user's files, which are data, and kept with the run.

A folder of pictures becomes one PNG: squares of 64 x 64 pixels, one below the other.
"""

from __future__ import annotations

import dataclasses
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from r2s_core.errors import ConfigError
from r2s_core.system import files
from r2s_randomization_visual.config import BackgroundConfig

SIDE = 64  # pixels
_MOST, _MOST_FILES = 256, 10_000  # pictures, and files of a folder
_MOST_BYTES, _MOST_PIXELS = 32 * files.MIB, 50_000_000  # of one picture
_SUFFIXES, _FORMATS = {".png", ".jpg", ".jpeg"}, ("PNG", "JPEG")
_WHAT = "a background picture"


def keep_inputs(config: BackgroundConfig, keep: Any) -> BackgroundConfig:
    """See `r2s_core.plugin.Plugin.inputs`."""
    if config.pictures is None:
        return config
    if config.pictures.is_dir():
        kept = keep(f"{config.pictures.name}.png", _encoded(read_pictures(config.pictures)))
    else:
        read_pictures(config.pictures)  # refused now rather than once the run has begun
        data = files.read_bytes(config.pictures, limit=_MOST_BYTES, what=_WHAT, error=ConfigError)
        kept = keep(config.pictures.name, data, config.pictures)
    return dataclasses.replace(config, pictures=kept)


def read_pictures(path: Path) -> np.ndarray:
    """uint8[N, 64, 64, 3]: the pictures of a folder, cut to squares, in the order of their names;
    or those of one PNG, one below the other.

    Raises `ConfigError`, naming the file, for anything that is not a picture of sensible size.
    """
    if not path.is_dir():
        return _squares(path, _read(path))
    pictures = [np.asarray(_square(_read(file))) for file in _in_folder(path)]
    return np.stack(pictures)


def _in_folder(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name
                for _, entry in zip(range(_MOST_FILES), entries, strict=False)
                if Path(entry.name).suffix.lower() in _SUFFIXES and not entry.name.startswith(".")
            )
    except OSError as error:
        raise ConfigError(f"pictures: {folder} cannot be read ({error.strerror})") from None
    if not names:
        raise ConfigError(f"pictures: {folder} has no .png or .jpg files")
    if len(names) > _MOST:
        raise ConfigError(
            f"pictures: {folder} has {len(names):,} pictures; put at most {_MOST} into a folder"
        )
    return [folder / name for name in names]


def _read(path: Path) -> Image.Image:
    data = files.read_bytes(path, limit=_MOST_BYTES, what=_WHAT, error=ConfigError)
    try:
        picture = Image.open(io.BytesIO(data), formats=_FORMATS)
        width, height = picture.size  # from the header; nothing is decoded yet
        if width * height > _MOST_PIXELS:
            raise ConfigError(
                f"{path}: {width:,} x {height:,} pixels; a background picture has at most "
                f"{_MOST_PIXELS // 1_000_000} megapixels"
            )
        picture.load()
        return ImageOps.exif_transpose(picture).convert("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError):
        raise ConfigError(f"{path}: is no PNG or JPEG picture; remove it") from None
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        raise ConfigError(f"{path}: the picture is damaged ({error}); remove it") from None


def _square(picture: Image.Image) -> Image.Image:
    return ImageOps.fit(picture, (SIDE, SIDE), Image.Resampling.BOX)


def _squares(path: Path, column: Image.Image) -> np.ndarray:
    width, height = column.size
    count, left = divmod(height, width)
    if left or not 1 <= count <= _MOST:
        raise ConfigError(
            f"{path}: {width} x {height} pixels are no column of squares, 1 to {_MOST}; give a "
            "folder of pictures instead"
        )
    boxes = [(0, number * width, width, (number + 1) * width) for number in range(count)]
    return np.stack([np.asarray(_square(column.crop(box))) for box in boxes])


def _encoded(pictures: np.ndarray) -> bytes:
    """As one PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pictures.reshape(-1, SIDE, 3)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
