"""The conformance of hooks."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from r2s_core.config import (
    DemonstrationsConfig,
    EngineConfig,
    EnvironmentConfig,
    EvaluationConfig,
    RunConfig,
    TrainingConfig,
    Use,
)
from r2s_core.errors import R2SError
from r2s_core.hooks import listener
from r2s_core.plugin import NoConfig
from r2s_core.testing.requirements import require

MakeHook = Callable[[Path], Any]

#: Metrics as in runs: NaN where no episode ended, and a name that appears later.
_METRICS: tuple[dict[str, float], ...] = (
    {"wall_s": 0.5, "loss": 1.0, "episode/success": math.nan},
    {"wall_s": 1.0, "loss": 0.5, "episode/success": 0.25},
    {"wall_s": 1.5, "loss": 0.25, "episode/success": 1.0, "eval/success": 0.9},
    {},
)


def check_hook(make: MakeHook) -> None:
    """A hook listens to existing events, and handles all those of a run and its resumption.

    Args:
        make: builds it for a run's folder: `lambda run_dir: registry.build("hook", ..., run_dir)`.

    Raises:
        AssertionError: with a sentence that says what the hook does wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder)
        _check_run(make, run_dir, first_step=0)
        _check_run(make, run_dir, first_step=128)  # resumed, by a new process


def _check_run(make: MakeHook, run_dir: Path, first_step: int) -> None:
    try:
        checked = listener("checked", make(run_dir))
    except R2SError as error:
        raise AssertionError(str(error)) from error

    def call(name: str, **arguments: Any) -> list[Any]:
        given = {k: dict(v) if isinstance(v, Mapping) else v for k, v in arguments.items()}
        try:
            return getattr(checked.manager.hook, name)(**given)
        except Exception as error:
            values = ", ".join(f"{k}={v!r:.60}" for k, v in arguments.items())
            raise AssertionError(f"{name}({values}) raises {error!r}") from error

    call("r2s_run_start", config=_config(run_dir), run_dir=run_dir, step=first_step)
    for update, metrics in enumerate(_METRICS, 1):
        step = first_step + 64 * update
        for answer in call("r2s_metrics", step=step, metrics=metrics):
            require(
                isinstance(answer, bool),
                f"r2s_metrics returns {answer!r}; True stops training, False and None do not",
            )
        checkpoint = run_dir / "checkpoints" / f"step-{step}.ckpt"
        call("r2s_checkpoint", path=checkpoint, step=step)
    call("r2s_run_end", result={"name": "kit", "success_rate": 0.9, "episodes": 64})


def _config(run_dir: Path) -> RunConfig:
    """A run of plugins that need not be installed."""
    return RunConfig(
        name="kit",
        seed=0,
        algorithm="none",
        backend=Use("mujoco", NoConfig()),
        environment=EnvironmentConfig("none", NoConfig(), EngineConfig()),
        randomization={},
        curriculum={},
        demonstrations=DemonstrationsConfig(),
        training=TrainingConfig(),
        evaluation=EvaluationConfig(),
        algorithms={"none": Use("none", NoConfig())},
        hooks={},
        output=run_dir,
        base_dir=run_dir,
    )
