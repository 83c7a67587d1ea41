"""Any recording of a robot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from r2s_deploy.bundle import Bundle
from r2s_deploy.errors import DeployError
from r2s_deploy.log import Log, read_csv
from r2s_deploy.naming import Naming

_MCAP = b"\x89MCAP0\r\n"
_DATA_SET = Path("meta") / "info.json"


def read(
    path: Path,
    bundle: Bundle,
    *,
    columns: Mapping[str, str] | None = None,
    topics: Mapping[str, str] | None = None,
    episode: int | None = None,
) -> Log:
    """The log in a CSV file, an MCAP file or the folder with one, or a LeRobot data set.

    columns: what the recording calls a column of `r2s_deploy.log`. topics: of an MCAP file, by what
    they are of. episode: of a data set.

    Raises `DeployError` where it cannot be read, or an option is of another kind of recording.
    """
    naming = Naming.of(bundle, columns)
    is_data_set = (path / _DATA_SET).is_file()
    file = path if is_data_set else _file(path)
    is_mcap = not is_data_set and (file.suffix == ".mcap" or _begins(file, _MCAP))
    if topics and not is_mcap:
        raise DeployError(f"{path} is no MCAP file, so it has no topics; leave out --topic")
    if episode is not None and not is_data_set:
        raise DeployError(f"{path} is no LeRobot data set, so it has no episodes")
    if is_data_set:
        from r2s_deploy.recorded.lerobot import read_lerobot

        return read_lerobot(path, naming, episode, bundle.images)
    naming = naming.without_images()
    if is_mcap:
        from r2s_deploy.recorded.mcap_log import read_mcap

        return read_mcap(file, naming, topics)
    return read_csv(file, naming.joints, naming)


def _file(path: Path) -> Path:
    """A file, or the one MCAP file in a folder, as rosbag2 writes it."""
    if not path.is_dir():
        return path
    inside = sorted(path.glob("*.mcap"))
    if len(inside) != 1:
        names = ", ".join(x.name for x in inside[:10])
        raise DeployError(
            f"{path} is a folder with several MCAP files, {names}; name one of them"
            if inside
            else f"{path} is a folder, but neither a LeRobot data set (it has no {_DATA_SET}) nor "
            "one with an MCAP file"
        )
    return inside[0]


def _begins(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError as error:
        raise DeployError(f"{path} cannot be read: {error.strerror}") from error
