"""Where things are in a LeRobotDataset v3, and what r2s adds to it."""

from __future__ import annotations

from collections.abc import Mapping

VERSION = "v3.0"
INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES = f"meta/episodes/{_FILE}"
DATA = f"data/{_FILE}"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
CHUNK = 1000  # files per chunk

IMAGES = "observation.images."
STATE, ENVIRONMENT_STATE = "observation.state", "observation.environment_state"
ACTION, EXECUTED = "action", "executed_action"
REWARD, DONE, SUCCESS = "next.reward", "next.done", "next.success"
#: What LeRobot keeps of every frame, and its types.
INDICES: Mapping[str, str] = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}

#: A folder of r2s's own within a recording: its configuration, the files that this names, facts.
OURS = "meta/r2s"
RECORDING = f"{OURS}/recording.json"
MARK = f"{OURS}/recording"  # an empty file, while a process records to the folder
FORMAT = "r2s-recording/1"
#: Columns that r2s adds to meta/episodes: how an episode ended, its start, and after `FINAL` each
#: feature's last observation; of a video true, as it is the frame after the episode's last.
TERMINATED, FINAL = "r2s/terminated", "r2s/final/"
START = {name: f"r2s/{name}" for name in ("seed", "round", "world", "worlds")}


def feature_of(group: str, *, is_filmed: bool = False) -> str:
    """The feature that holds an observation group of ours. is_filmed: as a video."""
    if is_filmed:
        return IMAGES + group
    return {"policy": STATE, "critic": ENVIRONMENT_STATE}.get(group, f"observation.{group}")


def place(number: int) -> dict[str, int]:
    """The chunk and file of the `number`-th file, as the templates take them."""
    return {"chunk_index": number // CHUNK, "file_index": number % CHUNK}
