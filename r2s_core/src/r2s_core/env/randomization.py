"""Applies randomizers by stage, in order, each with its own key."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.env.curriculum import Levels, level_of
from r2s_core.env.felt import Observe
from r2s_core.env.servo_damping import ServoDamping
from r2s_core.errors import BackendError, R2SError
from r2s_core.system.foreign import calling
from r2s_core.types import (
    WRENCH,
    Array,
    Backend,
    HasReadings,
    Named,
    Randomizer,
    RemembersEpisode,
    SceneSpec,
    Stage,
    Task,
    View,
)

#: The per-step stages, whose randomizers may have memory.
_EVERY_STEP = ("action", "wrench", "reading", "observation")

#: The memory of an episode's randomizers, by their names.
Memory = Mapping[str, Any]


class Randomization:
    """The randomizers of an environment. All methods are of ONE world.

    nominal: the scene's values of the model fields that change.
    """

    def __init__(
        self,
        randomizers: Mapping[str, Randomizer | RemembersEpisode[Any]],
        scene: SceneSpec,
        backend: Backend | None = None,
    ) -> None:
        """randomizers: by name; applied in order within each stage. backend: must be able to vary
        their model fields per world; None: not checked.

        Raises:
          BackendError: one varies what the backend cannot.
          R2SError: one has an unknown stage, or memory in a stage that supports none.
        """
        self._by_stage: dict[str, list[tuple[int, str, Any]]] = {s: [] for s in get_args(Stage)}
        for number, (name, randomizer) in enumerate(randomizers.items()):
            with calling(f"randomizer '{name}'", randomizer):
                _check(name, randomizer, backend)
            self._by_stage[randomizer.stage].append((number, name, randomizer))
        varied = [
            field
            for _, _, randomizer in self._by_stage["model"]
            for field in sorted(randomizer.writes)
        ]
        self.servo_damping = ServoDamping(scene, varied)
        for field in self.servo_damping.fields:
            _check_field("the servos' damping", field, backend)
        self.nominal = {
            field: model_field(scene.model, field)
            for field in (*varied, *self.servo_damping.fields)
        }
        self._varies = scene.variants is not None
        self._properties = {
            name: jnp.asarray(values, jnp.float32) for name, values in scene.properties.items()
        }

    def has(self, stage: Stage) -> bool:
        """Whether there is anything to do in a stage."""
        return bool(self._by_stage[stage])

    def vary(
        self, stage: Stage, key: Array, values: Named, levels: Levels, variant: Array
    ) -> dict[str, Any]:
        """The varied values of a stage without memory."""
        return self._apply(stage, None, key, values, levels, variant)[1]

    def first(
        self, stage: Stage, key: Array, values: Named, levels: Levels, variant: Array
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """As `step`, at an episode's start."""
        return self._apply(stage, None, key, values, levels, variant)

    def step(
        self,
        stage: Stage,
        memory: Memory,
        key: Array,
        values: Named,
        levels: Levels,
        variant: Array,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """This stage's memory after a control step, and the varied values."""
        return self._apply(stage, memory, key, values, levels, variant)

    def _apply(
        self,
        stage: Stage,
        memory: Memory | None,
        key: Array,
        values: Named,
        levels: Levels,
        variant: Array,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """memory: None at an episode's start."""
        varied, after = dict(values), {}
        for number, name, randomizer in self._by_stage[stage]:
            key_now, key_begin = jax.random.split(jax.random.fold_in(key, number))
            given = self._given(varied, name, levels, variant)
            with calling(f"randomizer '{name}'", randomizer):
                if isinstance(randomizer, RemembersEpisode):
                    before = randomizer.begin(key_begin, given) if memory is None else memory[name]
                    after[name], new = randomizer.step(before, key_now, given)
                else:
                    new = randomizer(key_now, given)
                if set(new) != set(randomizer.writes):
                    raise R2SError(
                        f"randomizer {name} returned {sorted(new)}, but declares that it writes "
                        f"{sorted(randomizer.writes)}; the two must be equal"
                    )
                varied.update({key: _like(value, varied, key, name) for key, value in new.items()})
        return after, varied

    def _given(self, values: Named, name: str, levels: Levels, variant: Array) -> dict[str, Any]:
        known = {
            key: table[variant] if self._varies else table
            for key, table in self._properties.items()
        }
        return {**known, "level": level_of(levels, f"randomization.{name}"), **values}


def _like(value: Any, values: Named, key: str, name: str) -> Array:
    """A randomized value, with the shape (checked) and dtype of the one that it replaces."""
    shape = np.shape(values[key])
    if np.shape(value) != shape:
        raise R2SError(
            f"randomizer {name} returned {key} of shape {list(np.shape(value))}, but it has "
            f"{list(shape)}"
        )
    return jnp.asarray(value, values[key].dtype)


def measured(task: Task[Any], observe: Observe, state: Any, view: View) -> dict[str, Array]:
    """What the stage "reading" varies beside images: a task's readings, or its observation."""
    if isinstance(task, HasReadings):
        return dict(task.readings(state, view))
    return observe(state, view)


def observed(
    task: Task[Any], observe: Observe, state: Any, view: View, readings: Named
) -> dict[str, Array]:
    """The observation computed from `measured` readings and their errors."""
    if isinstance(task, HasReadings):
        return observe(*task.perceived(state, view, readings))
    return dict(readings)


def model_field(model: Any, name: str) -> Array:
    """A field of MjModel, as float32; "opt.gravity" is one of its options."""
    return jnp.asarray(np.asarray(operator.attrgetter(name)(model)), jnp.float32)


def _check(name: str, randomizer: Any, backend: Backend | None) -> None:
    stage = randomizer.stage
    if stage not in get_args(Stage):
        raise R2SError(
            f"randomizer {name} has the stage {stage!r}; it must be one of "
            f"{', '.join(get_args(Stage))}"
        )
    if isinstance(randomizer, RemembersEpisode) and stage not in _EVERY_STEP:
        raise R2SError(
            f"randomizer {name} has memory, which the stage {stage} does not support; use one of "
            f"{', '.join(_EVERY_STEP)}"
        )
    if backend is None:
        return
    if stage == "wrench" and WRENCH not in backend.batchable:
        raise BackendError(
            f"randomizer {name} pushes bodies, which the backend {backend.name} cannot; drop it "
            "or choose another backend"
        )
    if stage != "model":
        return
    for field in sorted(randomizer.writes):
        _check_field(f"randomizer {name}", field, backend)


def _check_field(who: str, field: str, backend: Backend | None) -> None:
    if backend is not None and field not in backend.batchable:
        raise BackendError(
            f"{who} varies the model field {field}, which the backend {backend.name} cannot vary "
            "per world; drop it or choose another backend"
        )
