"""The log of a robot in an episode of a LeRobot data set, v2 or v3; needs the extra `lerobot`.

What is in `observation.state` and `observation.environment_state` has the names that
`meta/info.json` gives it, what is in other features the feature's before them, as in
`action.joint1.pos`. Images are read where the policy reads some.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from r2s_deploy.bundle import Image
from r2s_deploy.errors import DeployError
from r2s_deploy.log import Array, Log, of_columns
from r2s_deploy.naming import ACTION, Naming, target
from r2s_deploy.recorded.data_set import DataSet, levels, numbers

_OURS = "meta/r2s"
_MOST_BYTES = 2 * 2**30  # of images


def read_lerobot(
    folder: Path, naming: Naming, episode: int | None = None, images: Sequence[Image] = ()
) -> Log:
    """Read an episode; None: the only one. images: that the policy reads.

    Raises `DeployError` where there are several, where a joint is not among the names, which it
    lists, where images are missing or of another size, and where the data set is damaged.
    """
    data_set = DataSet.of(folder)
    number = data_set.which(episode)
    pictured = {image.name: _feature(data_set, naming, image) for image in images}
    filmed = {image.name for image in images if data_set.is_video(pictured[image.name])}
    arrays = [feature for name, feature in pictured.items() if name not in filmed]
    path, table = data_set.frames(number, [*data_set.numbers, *arrays])
    columns: dict[str, Array] = {}
    for feature, names in data_set.numbers.items():
        values = numbers(table[feature], len(names), f"{path}: {feature}")
        for name, column in zip(names, values.T, strict=True):
            columns.setdefault(name, column)
    columns["time"] = np.arange(len(table)) / data_set.rate_hz
    where, naming = f"{folder}, episode {number},", naming.without_images()
    log = of_columns(columns | _commanded(folder, columns, naming, where), naming, where)
    if len(table) * sum(int(np.prod(image.shape)) for image in images) > _MOST_BYTES:
        raise DeployError(f"{where} has more images than are read, {_MOST_BYTES:,} bytes")
    found: dict[str, Array] = {}
    for image in images:
        feature = pictured[image.name]
        if image.name in filmed:
            from r2s_deploy.recorded.video import frames

            video, start = data_set.video(feature, number)
            found[image.name] = frames(
                video, start, len(table), data_set.rate_hz, (image.shape[1], image.shape[0])
            )
        else:
            place = f"{path}: {feature}"
            found[image.name] = levels(table[feature], image.shape, image.dtype, place)
    return dataclasses.replace(log, images=found or None)


def _feature(data_set: DataSet, naming: Naming, image: Image) -> str:
    """The feature with an image that the policy reads: what the user says, or r2s's own name."""
    usual = (f"observation.images.{image.name}", f"observation.{image.name}")
    said = naming.chosen.get(image.name)
    there = [name for name in ((said,) if said else usual) if name in data_set.images]
    known = ", ".join(f"{name} {list(shape)}" for name, shape in data_set.images.items())
    if not there:
        raise DeployError(
            f"{data_set.folder}: the policy reads the image {image.name}, and there is no "
            f"{said or usual[0]}; it has {known or 'no images'}. Say which it is: --columns "
            f"{image.name}=FEATURE"
        )
    if data_set.images[there[0]] != tuple(image.shape):
        raise DeployError(
            f"{data_set.folder}: {there[0]} is {list(data_set.images[there[0]])}, and the policy "
            f"reads {image.name} as {list(image.shape)}: what is read is images that are of the "
            "policy's size, as its camera sees them"
        )
    return there[0]


def _commanded(
    folder: Path, columns: Mapping[str, Array], naming: Naming, where: str
) -> dict[str, Array]:
    """Targets of the joints, where actions have the joints' names, as LeRobot's robots record them.
    r2s's own actions are not angles."""
    called = naming.find(columns, where)
    actions = [f"{ACTION}{called[joint]}" for joint in naming.joints]
    if (folder / _OURS).exists() or not all(name in columns for name in actions):
        return {}
    return {
        target(joint): columns[name] for joint, name in zip(naming.joints, actions, strict=True)
    }
