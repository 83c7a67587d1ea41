"""The fit: simulated joint angles are held to the measured ones, by `mujoco.sysid`.

Servos hold an arm to its targets, so errors of the state decay within a fraction of a second. The
log is cut into windows, each of which starts from the measured state a while before it counts: what
that start had of noise is forgotten by then, and the residual is the measurement's noise alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import mujoco
import numpy as np
from mujoco import rollout, sysid

from r2s_identify import parameters
from r2s_identify.arm import TIMESTEP, Arm
from r2s_identify.parameters import Unknown
from r2s_identify.recording import Recording

Array = np.ndarray
WINDOW, FORGET = 4.0, 0.6  # s
ITERATIONS = 30  # at most
_LOCKED = 1e4  # N m
_LOST = 1e6  # of a simulation that fails: far from any measurement
_STEP = 1e-3  # of central differences, in multiples of `Unknown.scale`


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Residuals of a recording [N], rad over the noise: by window, then time, then joint.

    noise [n]: the standard deviation that each joint's residual is divided by. every: use each
    such window only, for a first approximation. still: joints that do not move in it. They are
    locked, and their residuals are 0: dry friction held them, of which the log tells no more than
    that, and a model without it would have the others pay for their motion.
    """

    arm: Arm
    recording: Recording
    unknowns: Sequence[Unknown]
    noise: Array
    threads: int
    every: int = 1
    still: tuple[int, ...] = ()

    def residual_fn(self) -> Callable[..., Any]:
        """As `mujoco.sysid.optimize` takes it.

        One window at a time: given several trajectories at once, `sysid.model_residual` mixes up
        the columns of finite differences (4.0.0).
        """
        return sysid.build_residual_fn(
            models_sequences=[self._windows()],
            build_model=self._model,
            custom_rollout=self._rollout,
            modify_residual=self._compare,
            n_threads=self.threads,
            resample_true=False,
        )

    def residuals(self, x: Array, held: Sequence[int] = ()) -> Array:
        """[N] at `x` [p], or [N, k] at the columns of x [p, k]."""
        params = parameters.dictionary(self.unknowns, x if x.ndim == 1 else x[:, 0], held)
        return np.concatenate(self.residual_fn()(x, params)[0])

    def jacobian(self, x: Array) -> Array:
        """[N, p] by central differences: one-sided ones are too coarse to tell two numbers apart of
        which only the sum matters."""
        steps = _STEP * np.eye(len(x))
        both = np.concatenate([x[:, None] + steps, x[:, None] - steps], axis=1)
        ends = self.residuals(both)
        return (ends[:, : len(x)] - ends[:, len(x) :]) / (2.0 * _STEP)

    def solve(self, x: Array, held: Sequence[int]) -> Array:
        """The values [p] that fit best, those in `held` as they are."""
        params = parameters.dictionary(self.unknowns, x, held).move_off_bounds(1e-3)
        with contextlib.redirect_stdout(io.StringIO()):  # optimizers print in spite of `verbose`
            found, _ = sysid.optimize(
                params,
                self.residual_fn(),
                optimizer="scipy_parallel_fd",
                verbose=False,
                diff_step=1e-4,
                max_iters=ITERATIONS,
                xtol=1e-6,
                ftol=1e-6,
                gtol=1e-9,
            )
        return found.as_vector(include_frozen=True)

    def by_joint(self, residuals: Array) -> Array:
        """[T', n] of residuals [N]."""
        return residuals.reshape(-1, self.arm.size)

    @property
    def substeps(self) -> int:
        """Physics steps for each line of the log."""
        return max(1, int(np.ceil(self.recording.dt / TIMESTEP - 1e-6)))

    @property
    def bounds(self) -> list[tuple[int, int, int]]:
        """Of each window: the line where its rollout starts, that from which it counts, its end."""
        dt, total = self.recording.dt, len(self.recording)
        forget = round(FORGET / dt)
        count = max(1, round((total - forget) * dt / WINDOW))
        edges = np.linspace(forget, total, count + 1).astype(int)
        windows = [(int(a) - forget, int(a), int(b)) for a, b in itertools.pairwise(edges)]
        return windows[:: self.every]

    def _windows(self) -> sysid.ModelSequences:
        arm, recording = self.arm, self.recording
        states, controls, measured = [], [], []
        for start, _, end in self.bounds:
            qpos = arm.rest(recording.smooth[start])
            qvel = np.zeros(arm.model.nv)
            qvel[arm.dofs] = recording.velocities[start]
            states.append(sysid.create_initial_state(arm.model, qpos, qvel))
            times = recording.dt / self.substeps * np.arange((end - start - 1) * self.substeps + 1)
            times += start * recording.dt
            controls.append(sysid.TimeSeries(times, np.zeros((len(times), arm.model.nu))))
            lines = recording.dt * np.arange(start, end)
            measured.append(sysid.TimeSeries(lines, recording.angles[start:end]))
        names = [f"from line {start}" for start, _, _ in self.bounds]
        return sysid.ModelSequences("arm", arm.spec, names, states, controls, measured)

    def _model(self, params: sysid.ParameterDict, _: mujoco.MjSpec) -> mujoco.MjModel:
        given = parameters.values(params, self.unknowns)
        model = parameters.modelled(self.arm, self.unknowns, given)
        model.opt.timestep = self.recording.dt / self.substeps
        model.dof_frictionloss[self.arm.dofs[list(self.still)]] = _LOCKED
        return model

    def _rollout(self, **given: Any) -> list[sysid.SystemTrajectory]:
        """What `sysid_rollout` does, with what the servos get at each model's delay.

        A rollout that fails stands still from there on, its clock too, at which `sysid_rollout`
        raises; here it has the residual that it has.
        """
        times = given["control_signal"][0].times
        delays = [
            parameters.values(params, self.unknowns)["delay"] for params in given["param_dicts"]
        ]
        commanded = {delay: self._commanded(times[:-1], delay) for delay in set(delays)}
        states, _ = rollout.rollout(
            given["models"],
            given["datas"],
            np.stack(given["initial_states"]),
            np.stack([commanded[delay] for delay in delays]),
        )
        states[..., 0] = times[1:]
        return [
            sysid.SystemTrajectory(
                model=model,
                control=sysid.TimeSeries(times[:-1], commanded[delay]),
                sensordata=sysid.TimeSeries(times[1:], state[:, 1 + self.arm.qpos]),
                initial_state=state[0],
                state=sysid.TimeSeries(times[1:], state),
            )
            for model, delay, state in zip(given["models"], delays, states, strict=True)
        ]

    def _commanded(self, times: Array, delay: float) -> Array:
        """Targets [k, nu], each the mean over the step that begins at its time [k], s.

        Targets are held from line to line, so that their integral is linear between lines: its
        difference is exact for any delay, and smooth in it.
        """
        recording, arm = self.recording, self.arm
        wanted = np.zeros((len(times), arm.model.nu))
        wanted[:, arm.fingers] = arm.finger_targets[1]
        lines = recording.dt * np.arange(len(recording) + 1)
        step = recording.dt / self.substeps
        before, after = times - delay, times - delay + step

        def mean(targets: Array) -> Array:
            total = np.concatenate([[0.0], np.cumsum(targets) * recording.dt])

            def integral(t: Array) -> Array:  # before the first line, its target held
                return np.interp(t, lines, total) + np.minimum(t, 0.0) * targets[0]

            return (integral(after) - integral(before)) / step

        for i, servo in enumerate(arm.servos):
            wanted[:, servo] = mean(recording.targets[:, i])
        if recording.fingers is not None:
            wanted[:, arm.fingers] = mean(recording.fingers)[:, None]
        return wanted

    def _compare(
        self,
        params: sysid.ParameterDict,
        predicted: sysid.TimeSeries,
        measured: sysid.TimeSeries,
        model: mujoco.MjModel,
        return_all: bool,
        *,
        state: Array,
        **_: Any,
    ) -> tuple[Array, sysid.TimeSeries, sysid.TimeSeries]:
        """Angles in the state after each step, not in sensors: those are of the state before it,
        which would pass for a delay."""
        skip = round(FORGET / self.recording.dt)
        angles = state[self.substeps - 1 :: self.substeps, 1 + self.arm.qpos]
        left = (angles[skip - 1 :] - measured.data[skip:]) / self.noise
        left[:, list(self.still)] = 0.0
        return np.nan_to_num(left, nan=_LOST, posinf=_LOST, neginf=-_LOST), measured, measured


def inflation(residuals: Array) -> Array:
    """By how much correlation widens the variance of a mean of residuals [T, n]: [n], from 1.

    The integrated autocorrelation time, its sum cut where pairs become negative (Geyer 1992).
    """
    count = len(residuals)
    centred = residuals - residuals.mean(axis=0)
    spectrum = np.fft.rfft(centred, 2 * count, axis=0)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[:count]
    correlation /= np.maximum(correlation[0], 1e-300)
    found = np.ones(residuals.shape[1])
    for i in range(residuals.shape[1]):
        pairs = correlation[: count // 2 * 2, i].reshape(-1, 2).sum(axis=1)
        stop = int(np.argmax(pairs <= 0.0)) if (pairs <= 0.0).any() else len(pairs)
        found[i] = max(1.0, 2.0 * float(pairs[:stop].sum()) - 1.0)
    return found
