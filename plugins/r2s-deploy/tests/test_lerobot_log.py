"""A shadow run on an episode of a LeRobot data set, of r2s's own names and of others'."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r2s_deploy import bundle as bundles
from r2s_deploy import cli
from r2s_deploy.errors import DeployError
from r2s_deploy.recorded.read import read
from r2s_deploy.shadow import shadow

from .test_loop import FakeRobot, runner

V2 = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
V3 = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
PLAIN = [f"joint_{i}.pos" for i in range(1, 8)]
READY = (0.0, 0.1756, 0.0, -2.3, 0.0, 2.4756, 0.7854)


@pytest.fixture(scope="module")
def bundle(bundle_dir):
    return bundles.load(bundle_dir)


def table(start, index, features, rate):
    count = len(next(iter(features.values())))
    columns = {
        "timestamp": pa.array(np.arange(count) / rate, pa.float32()),
        "frame_index": pa.array(np.arange(count)),
        "episode_index": pa.array(np.full(count, index)),
    }
    for name, values in features.items():
        flat = pa.array(np.asarray(values, np.float32).ravel())
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, len(values[0]))
    return pa.table(columns)


def write(folder, names, episodes, rate=30.0, version="v3.0", data_path=None):
    """A data set. names: by feature. episodes: mappings of features to values [T, k]."""
    info = {
        "codebase_version": version,
        "fps": rate,
        "total_episodes": len(episodes),
        "chunks_size": 1000,
        "data_path": data_path or (V3 if version.startswith("v3") else V2),
        "features": {
            "observation.images.front": {"dtype": "video", "shape": [8, 8, 3], "names": None},
            **{
                name: {"dtype": "float32", "shape": [len(of)], "names": {"motors": of}}
                for name, of in names.items()
            },
            "timestamp": {"dtype": "float32", "shape": [1], "names": None},
        },
    }
    tables = [table(0.0, i, each, rate) for i, each in enumerate(episodes)]
    (folder / "meta/episodes/chunk-000").mkdir(parents=True)
    (folder / "data/chunk-000").mkdir(parents=True)
    (folder / "meta/info.json").write_text(json.dumps(info))
    if version.startswith("v3"):
        indices = list(range(len(episodes)))
        zeros = [0] * len(episodes)
        rows = {"episode_index": indices, "data/chunk_index": zeros, "data/file_index": zeros}
        pq.write_table(pa.table(rows), folder / "meta/episodes/chunk-000/file-000.parquet")
        pq.write_table(pa.concat_tables(tables), folder / "data/chunk-000/file-000.parquet")
    else:
        for i, each in enumerate(tables):
            pq.write_table(each, folder / f"data/chunk-000/episode_{i:06d}.parquet")
    return folder


def still(count=30, **more):
    return {"observation.state": np.tile(READY, (count, 1)), **more}


def test_a_recording_of_r2s_gives_back_what_the_policy_read(bundle, bundle_dir, tmp_path, capsys):
    """By the names that the policy has for them; the numbers are those of a run, in float32."""
    log = runner(bundle, FakeRobot(bundle)).run(20).log
    assert log is not None
    inputs = shadow(bundle, log).inputs
    names = [number.name for number in bundle.numbers]
    folder = write(
        tmp_path / "demos",
        {"observation.state": names, "action": list(bundle.actions)},
        [
            {"observation.state": inputs[::-1], "action": np.zeros((20, 5))},
            {"observation.state": inputs, "action": np.zeros((20, 5))},
        ],
        rate=bundle.rate,
    )
    (folder / "meta/r2s").mkdir()
    found = read(folder, bundle, episode=1)
    assert found.targets is None
    np.testing.assert_allclose(found.angles, log.angles, atol=1e-6)
    # Contacts are guessed from what the fingers were told, which such a recording does not have.
    known = [i for i, number in enumerate(bundle.numbers) if not number.privileged]
    run = shadow(bundle, found)
    np.testing.assert_allclose(run.inputs[:, known], inputs[:, known], atol=1e-4)
    page = str(tmp_path / "page.html")
    command = ["shadow", str(bundle_dir), str(folder), "-o", page]
    assert cli.main(command) == 1
    assert "which episode? it has 2; say --episode 0 to 1" in capsys.readouterr().err
    assert cli.main([*command, "--episode", "1"]) == 0
    assert "control steps: 20" in capsys.readouterr().out


def test_targets_follow_from_what_a_policy_reads_of_them(bundle, tmp_path):
    """A recording of joint servos says by how much each target led its angle."""
    count, joints = 6, bundle.robot["joints"]["names"]
    angles = np.linspace(READY, np.array(READY) + 0.1, count)
    targets = angles + 0.02
    leads = np.vstack([np.zeros(7), targets[:-1]]) - angles
    names = [*joints, *(f"{name}_target_minus_angle" for name in joints)]
    state = {"observation.state": np.hstack([angles, leads])}
    found = read(write(tmp_path / "x", {"observation.state": names}, [state]), bundle)
    assert found.targets is not None
    np.testing.assert_allclose(found.targets[:-1], targets[:-1], atol=1e-6)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_names_of_others_are_said_once(bundle, tmp_path, version):
    names = {"observation.state": PLAIN, "action": PLAIN}
    folder = write(tmp_path / "x", names, [still(action=np.zeros((30, 7)))] * 3, version=version)
    with pytest.raises(DeployError, match=r"has no joint1, .* it has joint_1.pos, joint_2.pos, "):
        read(folder, bundle, episode=2)
    columns = {f"joint{i}": f"joint_{i}.pos" for i in range(1, 8)}
    columns |= {f"joint{i}_target": f"action.joint_{i}.pos" for i in range(1, 8)}
    found = read(folder, bundle, columns=columns, episode=2)
    np.testing.assert_allclose(found.angles, np.tile(READY, (30, 1)), atol=1e-6)
    np.testing.assert_allclose(found.time, np.arange(30) / 30.0)
    assert found.targets is not None


def test_a_common_prefix_and_suffix_are_found_and_actions_with_them(bundle, tmp_path):
    joints = [f"fr3_joint{i}.pos" for i in range(1, 8)]
    speeds = [f"fr3_joint{i}.vel" for i in range(1, 8)]
    state = np.hstack([np.tile(READY, (9, 1)), np.full((9, 7), 0.25)])
    episode = {"observation.state": state, "action": np.tile(READY, (9, 1)) + 0.5}
    names = {"observation.state": [*joints, *speeds], "action": joints}
    found = read(write(tmp_path / "x", names, [episode]), bundle)
    np.testing.assert_array_equal(found.velocities, 0.25)
    assert found.targets is not None
    np.testing.assert_allclose(found.targets, found.angles + 0.5, atol=1e-6)
    assert "joint7 are fr3_joint1.pos" in found.notes[0]


def test_degrees_are_refused(bundle, tmp_path):
    folder = write(
        tmp_path / "x",
        {"observation.state": list(bundle.robot["joints"]["names"])},
        [{"observation.state": np.degrees(np.tile(READY, (30, 1)))}],
    )
    pose = np.array([0.5, 0.0, 0.03, 1.0, 0.0, 0.0, 0.0])
    with pytest.raises(DeployError, match="these are not radians of this arm's joints"):
        shadow(bundle, read(folder, bundle), goal=pose[:3], thing=pose)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"version": "v1.6"}, r"its version is v1\.6; v2 and v3 are read"),
        ({"data_path": "{episode_index.__class__}"}, r"data_path is '\{episode_index"),
        ({"data_path": "../{file_index:03d}"}, "data_path leads out of the data set"),
        ({"data_path": "{episode_chunk}/x.parquet"}, "0/x.parquet cannot be read .*No such file"),
        ({"rate": 0.0}, "fps is '0.0', not a number above 0"),
    ],
)
def test_a_description_that_cannot_be_is_refused(bundle, tmp_path, options, says):
    rate = options.get("rate", 30.0) or 30.0
    options = {**options, "rate": rate}
    folder = write(tmp_path / "x", {"observation.state": PLAIN}, [still()], **options)
    if "fps" in says:
        info = folder / "meta/info.json"
        info.write_text(info.read_text().replace('"fps": 30.0', '"fps": 0.0'))
    with pytest.raises(DeployError, match=says):
        read(folder, bundle)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop_columns(["timestamp"]), "is damaged: it has no column timestamp"),
        (lambda t: t.slice(1), "the frames of episode 0 are not 0, 1, 2"),
        (
            lambda t: t.set_column(0, "timestamp", pa.array(np.arange(len(t)), pa.float32())),
            "its frames are 1 s apart, and by meta/info.json they are 30 a second",
        ),
        (
            lambda t: t.set_column(3, "observation.state", pa.array([[0.0]] * len(t))),
            "observation.state does not hold 7 numbers in every frame",
        ),
        (
            lambda t: t.set_column(3, "observation.state", pa.array([["x"] * 7] * len(t))),
            "observation.state does not hold numbers in every frame",
        ),
        (
            lambda t: t.set_column(3, "observation.state", pa.array([[np.nan] * 7] * len(t))),
            "observation.state holds numbers that are not finite",
        ),
    ],
)
def test_damage_is_told_in_one_sentence(bundle, tmp_path, change, says):
    folder = write(tmp_path / "x", {"observation.state": PLAIN}, [still()])
    path = folder / "data/chunk-000/file-000.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(DeployError, match=says):
        read(folder, bundle)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DeployError, match="cannot be read as a parquet file") as caught:
        read(folder, bundle)
    assert "\n" not in str(caught.value)


def test_a_folder_of_something_else_is_refused(bundle, tmp_path):
    with pytest.raises(DeployError, match="is a folder, but neither a LeRobot data set"):
        read(tmp_path, bundle)
