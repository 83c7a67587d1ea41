"""A shadow run on what ROS records: the same as on the CSV file, and nothing from the future."""

import re

import numpy as np
import pytest

from r2s_deploy import bundle as bundles
from r2s_deploy import cli
from r2s_deploy.errors import DeployError
from r2s_deploy.recorded import mcap_file
from r2s_deploy.recorded.read import read
from r2s_deploy.shadow import shadow

from .recordings import EPOCH, as_json, cdr, joint_state, point, pose
from .test_loop import FakeRobot, runner

ARM = [f"fr3_joint{i}" for i in range(1, 8)]
HAND = ["fr3_finger_joint1", "fr3_finger_joint2"]
READY = (0.0, 0.1756, 0.0, -2.3, 0.0, 2.4756, 0.7854)
POSE = (0.5, 0.0, 0.03, 1.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def bundle(bundle_dir):
    return bundles.load(bundle_dir)


@pytest.fixture(scope="module")
def log(bundle):
    """Of a run on a robot that follows at once."""
    return runner(bundle, FakeRobot(bundle)).run(12).log


def messages(log):
    """Arm and hand each in messages of their own, on one topic, as drivers publish them."""
    found: list[tuple] = [(0.0, "/goal", point(0.0, log.goal[0]))]
    for i, t in enumerate(log.time):
        arm = joint_state(t, ARM[::-1], log.angles[i, ::-1], log.velocities[i, ::-1])
        hand = joint_state(t, HAND, log.fingers[i], log.finger_velocities[i])
        found += [(t, "/joint_states", hand), (t, "/joint_states", arm)]
        found.append((t, "/object_pose", pose(t, log.object[i])))
        found.append((t, "/joint_commands", joint_state(t, ARM, log.targets[i])))
    return found


def still(until, step=0.01):
    """An arm that stands, at 100 Hz."""
    return [(t, "/joint_states", joint_state(t, ARM, READY)) for t in np.arange(0.0, until, step)]


def array(values):
    """Of a log that must have it."""
    assert values is not None
    return values


def write(folder, data, name="log.mcap"):
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize("encode", [cdr, as_json])
def test_it_decides_as_the_robots_own_run_did(bundle, log, tmp_path, encode):
    found = read(write(tmp_path, encode(messages(log))), bundle)
    np.testing.assert_allclose(found.angles, log.angles, atol=1e-12)
    np.testing.assert_allclose(found.velocities, log.velocities, atol=1e-12)
    np.testing.assert_allclose(found.fingers, log.fingers, atol=1e-12)
    run = shadow(bundle, found)
    assert run.apart == pytest.approx(0.0, abs=1e-6)
    assert len(run.time) == 12
    assert array(run.object_age).max() < 1e-6
    assert found.notes == (
        f"the joints joint1, joint2, joint3, joint4, joint5, joint6, joint7 are {', '.join(ARM)} "
        "in it",
        "/object_pose is in the frame fr3_link0, which is taken for the robot's base",
        "/goal is in the frame fr3_link0, which is taken for the robot's base",
    )


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_chunks_of_any_compression_are_read(bundle, log, tmp_path, compression):
    found = read(write(tmp_path, cdr(messages(log), compression)), bundle)
    np.testing.assert_allclose(array(found.targets), log.targets, atol=1e-12)


def test_a_file_without_summary_and_without_chunks_is_read(bundle, log, tmp_path):
    data = as_json(
        messages(log), use_chunking=False, use_statistics=False, use_summary_offsets=False,
        repeat_channels=False, repeat_schemas=False,
    )  # fmt: skip
    found = read(write(tmp_path, data), bundle)
    np.testing.assert_allclose(array(found.targets), log.targets, atol=1e-12)


def test_poses_are_never_of_the_future_and_their_age_is_by_their_stamp(bundle, tmp_path):
    """Images at 0.1 and 0.4 s whose poses were there 60 ms later."""
    there = ([0.1, 0.51], [0.4, 0.54])
    said = [(t + 0.06, "/object_pose", pose(t, (x, *POSE[1:]))) for t, x in there]
    found = read(write(tmp_path, cdr([*still(1.5), *said])), bundle)
    assert found.notes[-3:] == (
        "its first 0.16 s are left out: it has no object then",
        "it has no velocities: they are differences of the angles",
        "it has no fingers: they are taken to be at 0 all the time",
    )
    time = found.time + 0.16
    before = time < 0.46 - 1e-6
    np.testing.assert_allclose(array(found.object)[:, 0], np.where(before, 0.51, 0.54))
    np.testing.assert_allclose(
        array(found.object_age), time - np.where(before, 0.1, 0.4), atol=1e-6
    )
    run = shadow(bundle, found, goal=np.array([0.5, 0.0, 0.3]))
    assert array(run.object_age).max() == pytest.approx(1.09, abs=0.05)


def test_the_terminal_tells_old_poses_gaps_and_names(bundle_dir, tmp_path, capsys):
    moments = [*still(0.5), *((t + 2.0, name, x) for t, name, x in still(0.5))]
    path = write(tmp_path, cdr([(0.0, "/object_pose", pose(0.0, POSE)), *moments]))
    page = str(tmp_path / "page.html")
    command = ["shadow", str(bundle_dir), str(path), "-o", page, "--goal", "0.5", "0", "0.3"]
    assert cli.main(command) == 0
    told = capsys.readouterr().out
    assert re.search(r"no joints for a while: 1\.4\d s at most, from 0\.6\d s", told)
    assert "older than 0.5 s in 41 control steps, where a robot stops" in told
    assert "joint7 are fr3_joint1" in told


def test_clocks_that_differ_are_told(bundle, tmp_path):
    """Stamps of a simulation, which begins at 0."""
    late = [(0.0, "/object_pose", pose(-1_700_000_000.0, POSE)), *still(0.5)]
    found = read(write(tmp_path, cdr(late)), bundle)
    assert any("not of the recording's clock" in note for note in found.notes)
    np.testing.assert_allclose(array(found.object_age), found.time, atol=1e-6)


def test_a_trajectory_commands_its_points_one_after_another(bundle, tmp_path):
    def trajectory(*points):
        made = [
            {"positions": [x] * 7, "time_from_start": {"sec": 0, "nanosec": round(1e9 * t)}}
            for t, x in points
        ]
        return "trajectory_msgs/msg/JointTrajectory", {"joint_names": ARM, "points": made}

    said = [
        (0.0, "/joint_commands", trajectory((0.1, 1.0), (0.2, 2.0), (0.3, 3.0))),
        (0.15, "/joint_commands", trajectory((0.1, 4.0))),
    ]
    found = read(write(tmp_path, cdr([*said, *still(0.3)])), bundle)
    times = found.time + 1e-6
    expected = np.where(times < 0.1, 1.0, np.where(times < 0.15, 2.0, 4.0))
    np.testing.assert_array_equal(array(found.targets)[:, 0], expected)


def test_commands_without_names_are_in_the_joints_order(bundle, tmp_path):
    def sent(count):
        kind = "std_msgs/msg/Float64MultiArray"
        return [(0.0, "/commands", (kind, {"data": list(map(float, range(count)))})), *still(0.1)]

    topics = {"targets": "/commands"}
    found = read(write(tmp_path, cdr(sent(7))), bundle, topics=topics)
    np.testing.assert_array_equal(array(found.targets)[3], range(7))
    with pytest.raises(DeployError, match="have 6 numbers without names, for 7 joints"):
        read(write(tmp_path, cdr(sent(6))), bundle, topics=topics)


def test_two_arms_are_told_apart(bundle, tmp_path):
    both = [f"{side}_{name}" for side in ("left", "right") for name in ARM]
    states = [(t, "/js", joint_state(t, both, [0.1] * 7 + [0.2] * 7)) for t in (0.0, 0.1, 0.2)]
    path = write(tmp_path, cdr(states))
    with pytest.raises(DeployError, match="could be left_fr3_joint1 or right_fr3_joint1; say whi"):
        read(path, bundle)
    found = read(path, bundle, columns={"joint1": "right_fr3_joint1"})
    np.testing.assert_array_equal(found.angles, 0.2)


def test_the_gripper_may_have_a_topic_and_names_of_its_own(bundle, tmp_path):
    hand = [
        (t, "/hand", joint_state(t, ["thumb", "pinky"], [0.01, 0.02], [0.1, 0.2]))
        for t in (0.0, 0.1)
    ]
    path = write(tmp_path, cdr([*still(0.2), *hand]))
    topics = {"fingers": "hand"}
    found = read(path, bundle, topics=topics)
    assert "it has no fingers: they are taken to be at 0 all the time" in found.notes
    columns = {"finger1": "thumb", "finger2": "pinky"}
    found = read(path, bundle, topics=topics, columns=columns)
    np.testing.assert_array_equal(found.fingers, np.tile([0.01, 0.02], (20, 1)))
    np.testing.assert_array_equal(found.finger_velocities, np.tile([0.1, 0.2], (20, 1)))
    with pytest.raises(DeployError, match="no message has the joint toe; they have fr3_joint1"):
        read(path, bundle, topics=topics, columns={"finger1": "toe"})
    with pytest.raises(DeployError, match="object_x is no joint: of an MCAP file, joints and fing"):
        read(path, bundle, columns={"object_x": "x"})


def test_a_folder_as_rosbag2_writes_it_is_read(bundle, tmp_path):
    write(tmp_path, cdr(still(0.2)), "bag_0.mcap")
    assert len(read(tmp_path, bundle)) == 20
    write(tmp_path, cdr(still(0.2)), "bag_1.mcap")
    with pytest.raises(DeployError, match=r"several MCAP files, bag_0\.mcap, bag_1\.mcap; name"):
        read(tmp_path, bundle)


ODD = (0.0, "/object_pose", pose(0.0, (*POSE[:3], 0.0, 0.0, 0.0, 0.0)))


@pytest.mark.parametrize(
    ("said", "topics", "says"),
    [
        ([], {}, r"has no topic of joint states that it could be, .*It has nothing"),
        ([(0.0, "/x", point(0.0, (0, 0, 0)))], {}, r"It has /x \(PointStamped, cdr, 1 messages\)"),
        (
            [(0.0, name, joint_state(0.0, ARM, READY)) for name in ("/a", "/b")],
            {},
            r"several topics of joint states .* It has /a .*, /b ",
        ),
        (still(0.1), {"joints": "/js"}, r"has no topic /js; it has /joint_states \(JointState, c"),
        (still(0.1), {"arm": "/joint_states"}, "there is no topic of arm; what is read is joints"),
        (still(0.005), {}, "no two messages of /joint_states have all of fr3_joint1"),
        (
            [(0.0, "/joint_states", joint_state(0.0, ARM[:6], READY[:6]))],
            {},
            "/joint_states has no joint1, also with a prefix that all joints have; it has fr3_jo",
        ),
        (
            [(0.0, "/joint_states", joint_state(0.0, ARM, [*READY[:6], np.nan]))],
            {},
            "a message of /joint_states cannot be read as joints: its positions are not finite",
        ),
        (
            [(0.0, "/joint_states", joint_state(0.0, ARM, READY[:6]))],
            {},
            "it has 7 names and 6 positions",
        ),
        ([*still(0.1), ODD], {}, "read as object: its quaternion has length 0; it must be 1"),
        (
            [*still(0.1), (0.0, "/object_pose", pose(0.0, POSE, "camera_optical_frame"))],
            {},
            "/object_pose is in the frame camera_optical_frame, a camera's; record it in the f",
        ),
        (
            [*still(0.1), *((0.0, "/object_pose", pose(0.0, POSE, x)) for x in ("a", "b"))],
            {},
            "/object_pose is in several frames, a, b; record it",
        ),
        (
            [*still(0.1), (0.5, "/object_pose", pose(0.0, POSE))],
            {},
            "its first message of object comes after the joints' last",
        ),
        (still(0.1), {"object": "/joint_states"}, "cannot be read as object: it has no position"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(bundle, tmp_path, said, topics, says):
    path = write(tmp_path, cdr(said))
    with pytest.raises(DeployError, match=says) as caught:
        read(path, bundle, topics=topics)
    assert "\n" not in str(caught.value)


def test_a_pose_that_is_missing_is_told_with_the_topics(bundle, tmp_path):
    found = read(write(tmp_path, cdr(still(0.5))), bundle)
    with pytest.raises(DeployError, match=r"give one; or name its topic: .* has /joint_states \("):
        shadow(bundle, found)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.97, 0.999])
def test_a_file_that_was_cut_is_told(bundle, log, tmp_path, share):
    data = cdr(messages(log))
    path = write(tmp_path, data[: int(share * len(data))])
    with pytest.raises(DeployError, match=r"is no whole MCAP file: .*mcap recover"):
        read(path, bundle)


def test_damage_is_told_and_never_a_traceback(bundle, log, tmp_path):
    """Any byte of it: either the same numbers, or a refusal."""
    data, random = cdr(messages(log)[:40], "none"), np.random.default_rng(0)
    refusals = []
    for _ in range(60):
        damaged = bytearray(data)
        damaged[random.integers(len(data))] ^= 1 << random.integers(8)
        try:
            found = read(write(tmp_path, bytes(damaged)), bundle)
        except DeployError as error:
            refusals.append(str(error))
        else:
            np.testing.assert_allclose(found.angles, log.angles[: len(found)], atol=1e-12)
    assert len(refusals) > 30
    assert "\n" not in "".join(refusals)


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_chunk_that_unpacks_to_more_than_the_limit_is_refused(
    bundle, tmp_path, monkeypatch, compression
):
    path = write(tmp_path, cdr(still(20.0), compression, chunk_size=10**7))
    monkeypatch.setattr(mcap_file, "_LARGEST", 200_000)
    with pytest.raises(DeployError, match=r"a chunk has .* bytes when unpacked"):
        read(path, bundle)


def test_other_encodings_are_named(bundle, tmp_path):
    path = write(tmp_path, as_json(still(0.1), "protobuf"))
    with pytest.raises(DeployError, match=r"/joint_states are in protobuf with a schema in jsonsc"):
        read(path, bundle)


def test_options_of_other_recordings_are_refused(bundle, tmp_path):
    path = write(tmp_path, cdr(still(0.1)))
    with pytest.raises(DeployError, match="is no LeRobot data set, so it has no episodes"):
        read(path, bundle, episode=0)
    with pytest.raises(DeployError, match="a recording has no column elbow; what can be named is"):
        read(path, bundle, columns={"elbow": "fr3_joint4"})
    text = tmp_path / "log.csv"
    text.write_text("time\n0\n")
    with pytest.raises(DeployError, match="is no MCAP file, so it has no topics"):
        read(text, bundle, topics={"joints": "/joint_states"})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"position": [10**400] * 7}, "cannot be read as joints: its positions are not finite"),
        ({"header": {"stamp": {"sec": 10**400, "nanosec": 1}}}, "its stamp's numbers are not fin"),
    ],
)
def test_whole_numbers_of_400_digits_are_told(bundle, tmp_path, fields, says):
    seconds, topic, (kind, told) = still(0.2)[0]
    data = as_json([(seconds, topic, (kind, {**told, **fields}))])
    with pytest.raises(DeployError, match=says):
        read(write(tmp_path, data), bundle)


def test_a_clock_that_was_0_at_first_is_told(bundle, tmp_path):
    first = still(0.2)[0]
    data = as_json([(-EPOCH, *first[1:]), *still(0.5)])
    with pytest.raises(DeployError, match=r"nothing is recorded for 1.76e\+09 s after 0 s.* cut"):
        read(write(tmp_path, data), bundle)
