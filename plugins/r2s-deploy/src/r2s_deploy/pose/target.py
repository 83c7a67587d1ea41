"""What a camera can find: AprilTags on an object, and ChArUco boards.

The frame of a tag or board: the origin in its middle, x to the right and y upward as one looks at
it upright, z out of the paper towards who looks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from r2s_deploy.camera import Image, Intrinsics
from r2s_deploy.errors import DeployError, NoPose
from r2s_deploy.pose.edges import Edges, fit_edges
from r2s_deploy.pose.opencv import cv2
from r2s_deploy.transform import Floats, Transform

MODULES = 8  # across a tag of the family 36h11, its black border included
_TAGS = 587  # of that family
#: Above this smear, in modules, edges run into the code beside them and corners err by more than
#: 0.5 pixels; above `_CLEAR` corners begin to err with it (benchmarks/pose.md).
_TOO_SMEARED = 0.9
_CLEAR = 0.47
_LEAST_CONTRAST = 25.0  # grey levels
_CORNER_STD_PX = 0.1  # of a sharp corner of a tag; in rendered images it is a third of that
_BOARD_STD_PX = 0.15
_FEWEST_CORNERS = 6  # of a board
_SHORTEST_M, _LONGEST_M = 0.001, 2.0


@dataclasses.dataclass(frozen=True, eq=False)
class Sighting:
    """What of a target an image shows.

    points: float64[N, 3], m, in the object's frame. corners: float64[N, 2], ideal pixels, without
      the lens's distortion. std_px: their standard deviation along either axis.
    """

    points: Floats
    corners: Floats
    std_px: float


class Target(Protocol):
    """A thing with corners at known places in the object's frame."""

    def find(self, gray: Image, camera: Intrinsics) -> Sighting:
        """In an image uint8[H, W]; raises `NoPose` with the reason where it is not found."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Tag:
    """An AprilTag 36h11.

    size_m: the side of its black square, measured on the print.
    in_object: the tag's pose in the object's frame.
    """

    id: int
    size_m: float
    in_object: Transform = dataclasses.field(default_factory=Transform.identity)

    def __post_init__(self) -> None:
        if not 0 <= self.id < _TAGS:
            raise DeployError(f"there is no tag {self.id}; the family 36h11 has 0 to {_TAGS - 1}")
        _lengths({"size_m": self.size_m})


class Tags:
    """One or more AprilTags 36h11 fixed to one object. More of them, and on several of its faces,
    give better poses and are never ambiguous."""

    def __init__(self, tags: Sequence[Tag]) -> None:
        self._tags = {tag.id: tag for tag in tags}
        if not tags or len(self._tags) < len(tags):
            raise DeployError("give at least one tag, and each id once")
        settings = cv2.aruco.DetectorParameters()
        settings.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
        settings.relativeCornerRefinmentWinSize = 0.3
        # A sheet that a tag is printed on is a square around a square, and not another view of it.
        settings.minMarkerDistanceRate = 0.05
        settings.errorCorrectionRate = 0.2  # one wrong bit: more would see tags where none are
        dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_APRILTAG_36h11)
        self._detector = cv2.aruco.ArucoDetector(dictionary, settings)

    def find(self, gray: Image, camera: Intrinsics) -> Sighting:
        quads, ids, _ = self._detector.detectMarkers(gray)
        seen = [] if ids is None else [int(i) for i in ids.ravel()]
        ours = [i for i in seen if i in self._tags]
        if twice := {i for i in ours if ours.count(i) > 1}:
            raise NoPose(f"tag {min(twice)} is in the image twice; use each id once")
        if not ours:
            also = f"; it shows {_list(seen)}" if seen else ""
            raise NoPose(f"{_list(sorted(self._tags))} not found in the image{also}")
        points, corners, stds, reasons = [], [], [], []
        for quad, tag_id in zip(quads, seen, strict=True):
            if tag_id not in self._tags:
                continue
            edges = fit_edges(gray, quad.reshape(4, 2).astype(float), camera, MODULES)
            reason = "has no straight edges" if edges is None else _unfit(edges)
            if edges is None or reason:
                reasons.append(f"tag {tag_id} {reason}")
                continue
            points.append(_square(self._tags[tag_id]))
            corners.append(edges.corners)
            stds.append(_std_px(edges))
        if not points:
            raise NoPose("; ".join(reasons))
        std = float(np.sqrt(np.mean(np.square(stds))))
        return Sighting(np.concatenate(points), np.concatenate(corners), std)


def _square(tag: Tag) -> Floats:
    """Its corners [4, 3] in the object's frame, clockwise from the upper left one."""
    half = tag.size_m / 2
    flat = [(-half, half, 0.0), (half, half, 0.0), (half, -half, 0.0), (-half, -half, 0.0)]
    return tag.in_object.points(flat)


def _unfit(edges: Edges) -> str:
    if edges.contrast < _LEAST_CONTRAST:
        return f"has a contrast of only {edges.contrast:.0f} of 255 levels; give it more light"
    if edges.smear > _TOO_SMEARED:
        return (
            f"is blurred or too small: its edges are {edges.smear:.1f} modules wide, and may be "
            f"{_TOO_SMEARED}; hold it still, focus, expose for less time, or come nearer"
        )
    return ""


def _std_px(edges: Edges) -> float:
    """Of a corner, as measured on rendered tags (benchmarks/pose.md)."""
    sides = np.linalg.norm(np.roll(edges.corners, -1, axis=0) - edges.corners, axis=1)
    smeared = 0.8 * max(0.0, edges.smear - _CLEAR) ** 2 * float(sides.mean()) / MODULES
    return math.hypot(_CORNER_STD_PX, smeared)


def _list(ids: Sequence[int]) -> str:
    return f"tag{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids))}"


class Charuco:
    """A ChArUco board, whose corners are more precise than those of tags of the same size.

    Its frame is in the middle of the board, before `in_object`.
    """

    def __init__(
        self,
        squares: tuple[int, int],
        square_m: float,
        marker_m: float,
        dictionary: str = "DICT_5X5_250",
        in_object: Transform | None = None,
    ) -> None:
        """squares: (columns, rows). square_m, marker_m: sides, measured on the print.

        dictionary: by OpenCV's name. in_object: the board's pose in the object's frame.
        """
        _lengths({"square_m": square_m, "marker_m": marker_m})
        if len(squares) != 2 or min(squares) < 3 or marker_m >= square_m:
            raise DeployError(
                f"a board has 3 x 3 squares or more, and markers smaller than they are, not "
                f"{squares} with {square_m} and {marker_m} m"
            )
        number = getattr(cv2.aruco, dictionary, None)
        if not dictionary.startswith("DICT_") or not isinstance(number, int):
            raise DeployError(f"there is no dictionary {dictionary}; DICT_5X5_250 is one")
        markers = cv2.aruco.getPredefinedDictionary(number)
        if squares[0] * squares[1] // 2 > len(markers.bytesList):
            raise DeployError(f"{dictionary} has too few markers for {squares} squares")
        self.squares = squares
        self.size_m = (squares[0] * square_m, squares[1] * square_m)
        self.board = cv2.aruco.CharucoBoard(squares, square_m, marker_m, markers)
        self._detector = cv2.aruco.CharucoDetector(self.board)
        flat = np.asarray(self.board.getChessboardCorners(), float)  # y downward, from a corner
        middle = np.array([*self.size_m, 0.0]) / 2
        self._points = (in_object or Transform.identity()).points((flat - middle) * (1, -1, -1))

    def find(self, gray: Image, camera: Intrinsics) -> Sighting:
        names, seen = self.corners(gray)
        corners = camera.ideal(seen)
        sound = np.isfinite(corners).all(axis=1)
        names, corners = names[sound], corners[sound]
        if len(names) < _FEWEST_CORNERS:
            raise NoPose(
                f"{len(names)} of the board's {len(self._points)} corners are in the image; "
                f"{_FEWEST_CORNERS} are needed"
            )
        return Sighting(self._points[names], corners, _BOARD_STD_PX)

    def corners(self, gray: Image) -> tuple[np.ndarray, Floats]:
        """Which corners, int64[N], of the board an image shows, and where, [N, 2] in pixels."""
        corners, names, _, _ = self._detector.detectBoard(gray)
        if names is None or corners is None:
            return np.empty(0, int), np.empty((0, 2))
        refined = self._refined(gray, corners.reshape(-1, 2))
        return names.ravel().astype(int), refined.astype(float)

    def _refined(self, gray: Image, corners: NDArray[Any]) -> NDArray[Any]:
        """Sought once more in a window that fits what is seen, as large as it can be without the
        corners of markers; the detector's leaves errors of up to 0.7 pixels."""
        if len(corners) < 2:
            return corners
        apart = np.linalg.norm(corners[:, None] - corners, axis=-1)
        square_px = float(apart[apart > 0.0].min(initial=np.inf))
        gap = (1.0 - self.board.getMarkerLength() / self.board.getSquareLength()) / 2 * square_px
        half = int(np.clip(round(0.75 * gap), 2, 10))
        done = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-3)
        start = corners.astype(np.float32).reshape(-1, 1, 2)
        return cv2.cornerSubPix(gray, start, (half, half), (-1, -1), done).reshape(-1, 2)

    @property
    def points(self) -> Floats:
        """float64[K, 3], m: all corners in the object's frame."""
        return self._points


def _lengths(lengths: dict[str, float]) -> None:
    for name, value in lengths.items():
        if not _SHORTEST_M <= value <= _LONGEST_M:
            raise DeployError(
                f"{name} is {value:g} m; a print has lengths of {_SHORTEST_M:g} to {_LONGEST_M:g} m"
            )
