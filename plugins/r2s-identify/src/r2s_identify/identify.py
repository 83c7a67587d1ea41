"""From a log to the numbers of an arm, with their intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from r2s_core.backends.silence import silenced
from r2s_core.errors import R2SError
from r2s_identify import told
from r2s_identify.arm import Arm
from r2s_identify.fit import Problem, inflation
from r2s_identify.guess import guess
from r2s_identify.parameters import Unknown, unknowns_of
from r2s_identify.recording import Recording
from r2s_identify.told import Untold

Array = np.ndarray
_ROUNDS = 3  # of fitting, and of asking anew what is told
_EVERY = 3  # windows: the first approximation uses one of so many
_FAR, _WRONG = 2.0, 5.0  # residual over noise: told to the user; more than the model may be off
#: Lines of the log over which residuals are correlated: told to the user, where they exceed the
#: noise by this factor. The rounding of a slow joint's encoder is correlated, but is not more.
_ALIKE, _BEYOND = 10.0, 1.2
_UNEXPLAINED = 0.2  # of what separates angles from targets: the model is another arm's
_AT_BOUND = 1e-3  # of the range


@dataclasses.dataclass(frozen=True)
class Number:
    """A fitted number and its 95 % interval, in its unit.

    at_bound: it ended at a bound of the fit, so that neither is to be trusted.
    given: names of held numbers that it depends on, by more than its interval.
    """

    unknown: Unknown
    value: float
    half: float
    at_bound: bool
    given: tuple[str, ...]

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return self.value - self.half

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return self.value + self.half


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What a log tells.

    numbers: of what it tells. untold: what it does not, held at `held` [p] in SI units.
    residual, noise [n], rad: root mean square of what the model leaves, and of the measurement.
    inflation [n]: the variance's, by the residuals' correlation. drag [p, p] in SI units: by how
    much each number's estimate moves with each held number.
    """

    problem: Problem
    numbers: tuple[Number, ...]
    untold: tuple[Untold, ...]
    held: Array
    residual: Array
    noise: Array
    inflation: Array
    drag: Array

    @property
    def unknowns(self) -> Sequence[Unknown]:
        """All, by index."""
        return self.problem.unknowns

    def number(self, name: str) -> Number | None:
        """A fitted number by its name; None: it was not told."""
        return next((each for each in self.numbers if each.unknown.name == name), None)

    def expected(self, truth: dict[str, float]) -> dict[str, float]:
        """What the fitted numbers should be for an arm that truly is `truth`, SI units by name,
        since held numbers are not what they truly are."""
        names = [each.name for each in self.unknowns]
        true = np.array([truth[name] for name in names])
        held = [each.held for each in self.untold]
        moved = true + self.drag[:, held] @ (true[held] - self.held[held])
        return dict(zip(names, map(float, moved), strict=True))


@silenced()
def identify(
    arm: Arm,
    recording: Recording,
    joints: Sequence[int],
    *,
    threads: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> Result:
    """Fit; joints: indices of those whose numbers are unknown.

    Raises `R2SError` where the log tells nothing, or the model cannot be this arm's.
    """
    unknowns = unknowns_of(arm, joints)
    say("guessing: the delay first, then the rest")
    x = guess(arm, recording, unknowns)
    unmoved = tuple(told.still(recording))
    problem = Problem(arm, recording, unknowns, recording.noise, threads, still=unmoved)
    still = [i for i, each in enumerate(unknowns) if each.joint in unmoved]
    if set(joints) <= set(unmoved):
        raise R2SError("the log tells nothing about these joints: none of them moves in it.")
    say("asking what the log tells")
    part = dataclasses.replace(problem, every=_EVERY)
    share = len(problem.bounds) / len(part.bounds)
    lost = told.untold(share * information(part.jacobian(x)), unknowns, still)
    _hold(x, lost, unknowns)
    say(f"fitting {len(unknowns) - len(lost)} numbers to a part of the log")
    x = part.solve(x, [each.held for each in lost])
    _check(part, np.sqrt((part.by_joint(part.residuals(x)) ** 2).mean(axis=0)) * part.noise)
    rounds = 0
    while True:
        say(f"fitting {len(unknowns) - len(lost)} numbers to all {recording.seconds:.1f} s")
        x = problem.solve(x, [each.held for each in lost])
        left = problem.by_joint(problem.residuals(x))
        jacobian = problem.jacobian(x)
        square = (left**2).mean(axis=0)
        again = told.untold(information(jacobian, inflation(left) * square), unknowns, still)
        before = {each.held for each in lost}
        more = [each for each in again if each.held not in before]
        _hold(x, more, unknowns)
        lost = [*again, *(each for each in lost if each.held not in {a.held for a in again})]
        far = bool((np.sqrt(square) > _FAR).any())
        rounds += 1
        if rounds == _ROUNDS or not (more or far):
            _check(problem, np.sqrt(square) * problem.noise)
            return _result(problem, x, lost, left, jacobian)
        if far:  # weigh joints by what the model leaves, not by what was measured
            noise = problem.noise * np.sqrt(np.maximum(square, 1.0))
            problem = dataclasses.replace(problem, noise=noise)


def _hold(x: Array, lost: Sequence[Untold], unknowns: Sequence[Unknown]) -> None:
    """Put numbers where the scene has them."""
    for each in lost:
        x[each.held] = unknowns[each.held].nominal / unknowns[each.held].scale


def information(jacobian: Array, wide: Array | None = None) -> Array:
    """The inverse of the covariance [p, p], of a whitened Jacobian [N, p].

    wide [n]: variances of the residuals, correlation included, by joint.
    """
    if wide is None:
        return jacobian.T @ jacobian
    rows = jacobian.reshape(-1, len(wide), jacobian.shape[1])
    return np.einsum("tik,til,i->kl", rows, rows, 1.0 / np.maximum(wide, 1e-9), optimize=True)


def _result(
    problem: Problem, x: Array, lost: Sequence[Untold], left: Array, jacobian: Array
) -> Result:
    unknowns, size = problem.unknowns, len(x)
    held = [each.held for each in lost]
    free = [i for i in range(size) if i not in held]
    wide = inflation(left)
    square = (left**2).mean(axis=0)
    inverse = np.linalg.inv(information(jacobian[:, free]))
    rows = jacobian[:, free].reshape(-1, left.shape[1], len(free))
    # The weights are the noise's, the residuals what they are: the variance of weighted least
    # squares (the "sandwich"), each joint's widened by its correlation.
    middle = np.einsum("tik,til,i->kl", rows, rows, square * wide, optimize=True)
    covariance = inverse @ middle @ inverse
    scale = np.array([each.scale for each in unknowns])
    half = np.zeros(size)
    half[free] = told.NORMAL * np.sqrt(np.diag(covariance)) * scale[free]
    drag = np.zeros((size, size))
    drag[np.ix_(free, held)] = inverse @ (jacobian[:, free].T @ jacobian[:, held])
    numbers = []
    for i in free:
        each = unknowns[i]
        span = _AT_BOUND * (each.high - each.low)
        value = float(x[i] * scale[i])
        numbers.append(
            Number(
                unknown=each,
                value=value,
                half=float(half[i]),
                at_bound=value - each.low < span or each.high - value < span,
                given=tuple(unknowns[k].name for k in held if abs(drag[i, k]) * scale[i] > half[i]),
            )
        )
    return Result(
        problem=problem,
        numbers=tuple(numbers),
        untold=tuple(sorted(lost, key=lambda each: each.held)),
        held=x * scale,
        residual=np.sqrt(square) * problem.noise,
        noise=problem.recording.noise,
        inflation=wide,
        drag=drag * scale[:, None] / scale[None, :],
    )


def _check(problem: Problem, residual: Array) -> None:
    """Raises `R2SError` where a fitted joint shows that the model cannot be that of the arm.

    residual [n], rad, root mean square.
    """
    arm, recording = problem.arm, problem.recording
    lag = np.sqrt(((recording.targets - recording.angles) ** 2).mean(axis=0))
    for i in sorted({each.joint for each in problem.unknowns if each.joint is not None}):
        name = arm.joints[i]
        if residual[i] > max(_WRONG * recording.noise[i], _UNEXPLAINED * lag[i]):
            raise R2SError(
                f"the model cannot be this arm's: {name} is off by {1000 * residual[i]:.2g} mrad "
                f"(root mean square) after the fit, of {1000 * lag[i]:.2g} mrad between its angles "
                "and targets. Is it the robot of the configuration, are its targets those of the "
                "joints' servos, did it touch anything?"
            )


def misfits(result: Result) -> list[str]:
    """Sentences about joints whose residuals the measurement's noise does not explain."""
    lines = zip(
        result.problem.arm.joints, result.residual, result.noise, result.inflation, strict=True
    )
    return [
        f"{name} is off by {1000 * residual:.2g} mrad after the fit, {residual / noise:.1f} times "
        f"its noise, and for {wide:.0f} lines alike: the model lacks something, and intervals may "
        "be too narrow"
        for name, residual, noise, wide in lines
        if residual > _FAR * noise or (wide > _ALIKE and residual > _BEYOND * noise)
    ]
