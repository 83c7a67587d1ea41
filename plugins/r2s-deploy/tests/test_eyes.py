"""What a policy sees of a real camera's image: through its lens, from its direction, and of now."""

import dataclasses
import time

import numpy as np
import pytest

from r2s_deploy import bundle as bundles
from r2s_deploy.camera import Frame, Intrinsics
from r2s_deploy.errors import BundleError, DeployError, NoImage
from r2s_deploy.eyes import Eye, Eyes, View, turn_to
from r2s_deploy.loop import Runner
from r2s_deploy.pose import ManualPose
from r2s_deploy.transform import Transform

from .test_loop import GOAL, FakeRobot, runner

SIZE = 320, 240
LENS = Intrinsics.of_vertical_field(SIZE, 34.0)


@pytest.fixture(scope="module")
def bundle(seeing_dir):
    return bundles.load(seeing_dir)


@pytest.fixture
def seen(bundle):
    return bundle.cameras["front"]


class Camera:
    """Gives the image that it was given, just taken."""

    def __init__(self, image, depth=None, age_s=0.0):
        self.image, self.depth, self.age_s, self.asked = image, depth, age_s, 0

    def frame(self):
        self.asked += 1
        return Frame(self.image, time.monotonic() - self.age_s, self.depth)


def ramp(size=SIZE):
    """Red rises from left to right, green from top to bottom."""
    width, height = size
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    red, green = 255 * columns / (width - 1), 255 * rows / (height - 1)
    return np.stack([red, green, np.full_like(red, 7.0)], -1).round().astype(np.uint8)


def test_a_pixel_is_the_mean_of_what_the_camera_has_there(seen):
    camera = Camera(ramp(), np.full(SIZE[::-1], 800, np.uint16))
    view = View("front", seen, Eye(camera, LENS))
    made = view.rgb(view.frame())
    wanted = ramp().reshape(12, 20, 16, 20, 3).mean(axis=(1, 3))
    assert made.shape == (12, 16, 3)
    assert np.abs(made - wanted).max() <= 4  # samples of its area
    depth = view.depth(view.frame())
    assert depth.dtype == np.uint16
    assert (depth == 800).all()


def test_a_wider_lens_with_distortion_gives_the_same_image(seen):
    wide = dataclasses.replace(
        Intrinsics.of_vertical_field((640, 480), 50.0), distortion=np.array([-0.2, 0.05, 0, 0, 0])
    )
    pixels = np.stack(np.meshgrid(np.arange(640.0), np.arange(480.0)), -1)
    rays = (wide.ideal(pixels) - wide.matrix[:2, 2]) / wide.matrix[[0, 1], [0, 1]]
    through = np.nan_to_num(LENS.project(np.concatenate([rays, np.ones((480, 640, 1))], -1)))
    colours = np.clip(through / (np.array(SIZE) - 1) * 255.0, 0, 255)
    image = np.dstack([colours, np.full((480, 640), 7)]).round().astype(np.uint8)
    plain, through_it = (
        view.rgb(view.frame()).astype(int)
        for view in (
            View("front", seen, Eye(Camera(ramp()), LENS)),
            View("front", seen, Eye(Camera(image), wide)),
        )
    )
    assert np.abs(plain - through_it).max() <= 4


def test_a_camera_that_looks_elsewhere_is_turned_back(seen):
    angle = np.radians(4.0)
    about_y = np.array([np.cos(angle / 2), 0.0, np.sin(angle / 2), 0.0])
    place = seen.pose @ Transform.of(np.zeros(3), about_y)  # it looks to the right
    turn, away, degrees = turn_to(seen, place, "front")
    assert away == pytest.approx(0.0, abs=1e-12)
    assert degrees == pytest.approx(4.0, abs=1e-6)
    wide = Intrinsics.of_vertical_field(SIZE, 50.0)
    plain = View("front", seen, Eye(Camera(ramp()), wide))
    turned = View("front", seen, Eye(Camera(ramp()), wide, turn))
    shift = (
        turned.rgb(turned.frame()).astype(int)[..., 0]
        - plain.rgb(plain.frame()).astype(int)[..., 0]
    )
    # The scene's middle is now left of the image's.
    wanted = -255.0 * wide.matrix[0, 0] * np.tan(angle) / (SIZE[0] - 1)
    assert shift[6, 8] == pytest.approx(wanted, abs=3.0)


def test_a_camera_far_from_its_place_is_refused(seen):
    moved = Transform.of((0.0, 0.08, 0.0)) @ seen.pose
    with pytest.raises(DeployError, match="camera front is 80 mm and 0 degrees from where it was"):
        turn_to(seen, moved, "front")


def test_a_lens_that_sees_too_little_is_refused(seen):
    narrow = Intrinsics.of_vertical_field(SIZE, 28.0)
    with pytest.raises(DeployError, match="does not see 34 % of what it saw"):
        View("front", seen, Eye(Camera(ramp()), narrow))


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((240, 320, 3), np.uint8), "one colour alone"),
        (np.zeros((120, 320, 3), np.uint8), r"gives uint8\[120, 320, 3\] and was calibrated"),
        (np.zeros((240, 320, 3), np.float32), "gives float32"),
        (np.zeros((240, 320, 4), np.uint8), "gives 4 channels"),
    ],
)
def test_an_image_that_is_none_is_told(seen, image, says):
    view = View("front", seen, Eye(Camera(image), LENS))
    with pytest.raises(NoImage, match=says):
        view.rgb(view.frame())


def test_without_depth_it_says_so(seen):
    view = View("front", seen, Eye(Camera(ramp()), LENS))
    with pytest.raises(NoImage, match="gives no depth"):
        view.depth(view.frame())


def test_the_policy_acts_on_what_the_camera_sees(bundle):
    """Its action is the image's mean: a brighter image moves the arm further."""
    depth, moved = np.full(SIZE[::-1], 800, np.uint16), []
    for level in (0.2, 0.8):
        camera = Camera((level * ramp()).astype(np.uint8), depth)
        robot = FakeRobot(bundle)
        run = runner(bundle, robot, cameras={"front": Eye(camera, LENS)}).run(5)
        assert (run.steps, run.stopped) == (5, "")
        assert camera.asked == 3  # in every second control step
        mean = run.images["front"].mean() / 255.0
        assert mean == pytest.approx(level * 0.35, abs=0.02)
        moved.append(np.abs(robot.angles - bundle.robot["joints"]["ready"]).max())
    assert moved[1] > 1.5 * moved[0]


def test_an_old_image_and_a_camera_that_is_gone_stop_it(bundle):
    depth = np.full(SIZE[::-1], 800, np.uint16)
    old = Camera(ramp(), depth, age_s=1.0)
    robot = FakeRobot(bundle)
    run = runner(bundle, robot, cameras={"front": Eye(old, LENS)}).run(5)
    assert "newest image is 1.0" in run.stopped
    gone = Camera(ramp(), depth)

    def frame():
        raise NoImage("the camera was unplugged")

    gone.frame = frame
    run = runner(bundle, robot, cameras={"front": Eye(gone, LENS)}).run(5)
    assert "there is no image: the camera was unplugged" in run.stopped
    assert robot.stops == 2


def test_without_its_camera_it_does_not_begin(bundle):
    with pytest.raises(DeployError, match="reads the image front, and there is no camera front"):
        runner(bundle, FakeRobot(bundle))


def test_no_camera_gives_segmentation(bundle):
    wrong = dataclasses.replace(
        bundle, images=(bundles.Image("x", (12, 16, 1), "uint8", "front", "segmentation"),)
    )
    with pytest.raises(DeployError, match="which no camera gives"):
        Eyes(wrong, {"front": Eye(Camera(ramp()), LENS)})


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("field_of_view", 0.0, "field_of_view is"),
        ("size", [16.5, 12], "size must be pixels"),
        ("depth_range", [2.0, 1.0], "depth_range must rise"),
        ("quaternion", [2.0, 0.0, 0.0, 0.0], "has length 2"),
        ("size", [12, 16], r"the image front is uint8\[12, 16, 3\], and its camera's"),
    ],
)
def test_a_contract_that_lies_about_a_camera_is_refused(bundle, tmp_path, key, value, says):
    from r2s_deploy.bundle import _camera, _image
    from r2s_deploy.documents import Fields

    contract = bundle.contract
    cameras = {"front": {**contract["cameras"]["front"], key: value}}
    row = next(x for x in contract["inputs"] if x["name"] == "front")

    def read():
        made = {"front": _camera(Fields(cameras, "cameras"), "front")}
        return _image(Fields(row, "front"), "front", tuple(row["shape"]), made)

    with pytest.raises(BundleError, match=says):
        read()


def test_what_is_not_of_a_vision_bundle_needs_no_camera(bundle_dir):
    plain = bundles.load(bundle_dir)
    made = Runner(plain, FakeRobot(plain), ManualPose((0.5, 0.0, 0.03)), goal=GOAL, paced=False)
    assert made.look().images == {}
