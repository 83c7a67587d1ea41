"""Manifests of the built-in physics backends; imports neither JAX nor MuJoCo."""

from __future__ import annotations

import dataclasses

from r2s_core.plugin import Plugin, option


@dataclasses.dataclass(frozen=True)
class MujocoConfig:
    """Options of the `mujoco` backend."""

    threads: int = option(
        0, "CPU threads that step the worlds; 0 takes all cores", minimum=0, maximum=4096
    )


@dataclasses.dataclass(frozen=True)
class MjxConfig:
    """Options of the `mjx` backend."""


@dataclasses.dataclass(frozen=True)
class WarpConfig:
    """Options of the `warp` backend."""

    contacts_per_world: int | None = option(
        None,
        "capacity for contacts, on average per world; default: twice the scene's worst case",
        minimum=1,
        maximum=10**6,
    )
    constraints_per_world: int | None = option(
        None,
        "capacity for constraint rows in each world; default: six times the worst case",
        minimum=1,
        maximum=10**6,
    )


MUJOCO = Plugin(
    name="mujoco",
    kind="backend",
    summary="C MuJoCo on CPU threads (mujoco.batch); the default without a GPU",
    target="r2s_core.backends.mujoco:make",
    config=MujocoConfig,
)
MJX = Plugin(
    name="mjx",
    kind="backend",
    summary="MJX in pure JAX: TPU, AMD, Apple, gradients, small CPU tests",
    target="r2s_core.backends.mjx:make",
    config=MjxConfig,
)
WARP = Plugin(
    name="warp",
    kind="backend",
    summary="MJX with MuJoCo Warp: NVIDIA GPUs, the default where one is found",
    target="r2s_core.backends.mjx:make_warp",
    config=WarpConfig,
)
