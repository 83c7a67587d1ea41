"""The contracts of r2s: what a backend, a task, a reward, a randomizer and an algorithm are.

Physics is batch-first: a `Backend` steps W worlds. Tasks, reward terms and randomizers are pure
functions of ONE world, which the engine (`r2s_core.env.VectorEnv`) maps over the worlds.
Units are SI and radians; quaternions are (w, x, y, z) as in MuJoCo.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypeVar, dataclass_transform, runtime_checkable

import jax
import mujoco

from r2s_core.policy_export import ArraySpec, Layer, PolicyExport
from r2s_core.task_info import TaskInfo

__all__ = ["ArraySpec", "Layer", "PolicyExport", "TaskInfo"]  # defined elsewhere, offered here

Array = jax.Array
#: Observation groups, reward terms, model fields or metrics, by name.
Named = Mapping[str, Array]
#: (obs with leaves [W, ...], PRNG key) -> action float32[W, A].
Policy = Callable[[Named, Array], Array]

#: What is pushed from outside; named like the field of MjData that it is.
WRENCH = "xfrc_applied"

_C = TypeVar("_C", bound=type)


@dataclass_transform(frozen_default=True)
def pytree(cls: _C) -> _C:
    """Make `cls` a frozen dataclass whose fields are the children of a JAX pytree."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


T = TypeVar("T")  # a task's own per-episode state, a pytree
S = TypeVar("S")  # an environment's state
L = TypeVar("L")  # an algorithm's learner state


@pytree
class View:
    """What a task may read of the physics of one world; the engine's views add a leading [W].

    Only the fields that the scene declares in `SceneSpec.view_fields` are there; the others are
    None. Position and velocity quantities describe the current state, never a substep behind.
    Contact sensors report the contact forces of the last substep: a force belongs to the
    interval that led to this state.
    """

    time: Array  # float32[], s
    qpos: Array  # float32[nq]
    qvel: Array  # float32[nv]
    ctrl: Array  # float32[nu], the targets in force
    xpos: Array  # float32[nbody, 3], m
    xquat: Array  # float32[nbody, 4]
    site_xpos: Array  # float32[nsite, 3], m
    site_xmat: Array  # float32[nsite, 3, 3]
    sensordata: Array  # float32[nsensordata]

    @staticmethod
    def of(values: Mapping[str, Any]) -> View:
        """A view with these fields; the others, which the scene did not declare, are None."""
        fields: dict[str, Any] = {name: values.get(name) for name in View.__dataclass_fields__}
        return View(**fields)


@pytree
class Physics:
    """The state of W worlds, owned by a backend."""

    carry: Any  # the backend's own state, opaque to everyone else
    fields: Named  # per-world model fields, leaves [W, ...]; empty where nothing is varied
    view: View  # leaves [W, ...]
    ok: Array  # bool[W]; False: diverged or overflowed in the last step, or started unsound


@dataclasses.dataclass(frozen=True, eq=False)
class Variants:
    """K variants of one scene: which object is in it, say, and how large it is.

    names [K]. held_out [K]: played in evaluation only. fields: MjModel field -> its values
    [K, ...]; all else is the same in every variant.
    """

    names: tuple[str, ...]
    held_out: tuple[bool, ...]
    fields: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.names)


@dataclasses.dataclass(frozen=True)
class SceneSpec:
    """A task's physics, as built on the host.

    model: the compiled model that the backend steps; lean, without decoration.
    substeps: physics steps per control step; the control period is substeps * timestep.
    view_fields: the `View` fields that the task, its rewards and its metrics read.
    render_spec: builds the decorated MjSpec of a variant (0 where there are none) for pictures;
      its qpos layout equals the model's.
    worst_case: measures, on the host, the most contacts and constraint rows that one world has
      while the task is done; for backends whose buffers have a fixed size.
    variants: what may differ from world to world by the task's own design; `model` is the first.
    properties: what randomizers may need to know of the scene and no model field says, the range
      of an object's mass, say: name -> float32[...], or [K, ...] where there are variants.
    implicit_damping: float64[nv], N m s/rad or N s/m: what of the servos' damping `model`
      integrates implicitly by holding timestep * damping in its armature, with the Euler
      integrator; another timestep or integrator needs to know. None: nothing.
    """

    model: mujoco.MjModel
    substeps: int
    view_fields: frozenset[str]
    render_spec: Callable[[int], mujoco.MjSpec] | None = None
    worst_case: Callable[[], tuple[int, int]] | None = None
    variants: Variants | None = None
    properties: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    implicit_damping: Any = None

    @property
    def control_dt(self) -> float:
        """Seconds per control step."""
        return float(self.model.opt.timestep) * self.substeps

    def of_variant(self, index: int) -> SceneSpec:
        """The scene of one variant, without others."""
        if self.variants is None:
            return self
        model = copy.copy(self.model)
        for name, values in self.variants.fields.items():
            getattr(model, name)[...] = values[index]
        mujoco.mj_setConst(model, mujoco.MjData(model))  # what follows from them
        properties = {name: values[index] for name, values in self.properties.items()}
        return dataclasses.replace(self, model=model, variants=None, properties=properties)


@runtime_checkable
class Backend(Protocol):
    """Steps W worlds of one model. Implementations: `mujoco`, `mjx`, `warp`.

    A `Physics` is a value: stepping returns a new one and leaves the old usable.

    variant: int32[W] of the host, which of the scene's variants each world is for good, where the
      backend has a model for each; None: each world's `fields` decide, anew at every reset.
    """

    name: str
    num_worlds: int
    variant: Any
    batchable: frozenset[str]  # the MjModel fields that may differ per world, and maybe WRENCH
    traceable: bool  # True: usable inside jit and scan; False: driven from the host

    def init(self, fields: Named, qpos: Array, qvel: Array) -> Physics:
        """Worlds at rest on their start states: qpos [W, nq], qvel [W, nv], fields [W, ...]."""
        ...

    def step(self, physics: Physics, ctrl: Array, wrench: Array | None = None) -> Physics:
        """Advance every world by one control step, the scene's `substeps`, under ctrl [W, nu].

        wrench: float32[W, nbody, 6], force (N) and torque (N m) on each body at its centre of
          mass, world axes; only for backends with WRENCH among `batchable`.
        """
        ...

    def reset(
        self, physics: Physics, mask: Array, fields: Named, qpos: Array, qvel: Array
    ) -> Physics:
        """Put the worlds under `mask` (bool[W]) on new start states and model fields."""
        ...


@runtime_checkable
class Checked(Protocol):
    """A backend or an environment in whose compiled code something may go wrong unseen."""

    def check(self) -> None:
        """Raises R2SError if something did, in any step so far; called between updates."""
        ...


class Task(Protocol[T]):
    """One world of a task; pure functions of arrays, which the engine maps over W worlds."""

    @property
    def info(self) -> TaskInfo:
        """What the task says of itself."""
        ...

    action_low: Any  # float32[A]
    action_high: Any  # float32[A]

    def scene(self) -> SceneSpec:
        """The physics, built on the host, once."""
        ...

    def init(self, key: Array, variant: Array) -> tuple[T, Array, Array]:
        """A fresh episode: task state, qpos [nq], qvel [nv].

        variant: int32[], which of the scene's variants the world is; 0 where there are none.
        """
        ...

    def control(self, task: T, view: View, action: Array) -> Array:
        """Actuator targets ctrl [nu] for an action [A] within the action bounds."""
        ...

    def update(self, task: T, view: View) -> T:
        """The task state after a control step that led to `view`."""
        ...

    def observe(self, task: T, view: View) -> Named:
        """Observation groups, float32[n] or uint8[H, W, C] each: "policy"; optionally "critic"
        (privileged) and others, which an algorithm's configuration names."""
        ...

    def terminated(self, task: T, view: View) -> Array:
        """bool[]: the episode ends here for good (no bootstrap)."""
        ...

    def success(self, task: T, view: View) -> Array:
        """bool[]: the episode would count as a success if it ended now."""
        ...

    def metrics(self, task: T, view: View) -> Named:
        """float32[] each; their values at an episode's end are averaged into the run's metrics."""
        ...


@runtime_checkable
class HasBegin(Protocol[T]):
    """A task whose state holds facts of the physics, which `init` cannot know yet."""

    def begin(self, task: T, view: View) -> T:
        """The state of `init` with the facts of an episode's first view. It is then the first
        control step's `Transition.prev_task`."""
        ...


@runtime_checkable
class HasStartBank(Protocol):
    """A task that can also start training episodes from snapshots along a scripted solution."""

    def build_start_bank(self, backend: Backend, key: Array) -> None:
        """Fill the bank, on the host, before anything is traced.

        backend: steps the worlds as the run is configured to, one control step at a time.
        """
        ...

    def init_from_bank(self, key: Array, variant: Array) -> tuple[Any, Array, Array]:
        """As `Task.init`, from a snapshot of the bank."""
        ...


@runtime_checkable
class HasReadings(Protocol[T]):
    """A task that says what of an observation a robot would measure, and how.

    Sensors err in what they measure: a camera in where the object is, encoders in angles. What a
    task works out from there (the way from the gripper to the object, say) then errs alike.
    """

    def readings(self, task: T, view: View) -> Named:
        """What is measured, by name; a name that ends in `quaternion` is one, float32[4]."""
        ...

    def perceived(self, task: T, view: View, readings: Named) -> tuple[T, View]:
        """What `observe` is to see in place of the truth, under these readings."""
        ...


@runtime_checkable
class HasDifficulty(Protocol):
    """A task whose episodes can be made easier or harder."""

    def at_level(self, level: Array) -> Task[Any]:
        """The same task at a level, float32[], from 0, the easiest, to 1, as configured. Called
        in traced code; only `init` and `init_from_bank` of what it returns are used."""
        ...


@pytree
class Transition:
    """What a reward term sees of one control step of one world."""

    prev_view: View
    prev_task: Any
    action: Array  # float32[A]
    view: View
    task: Any
    terminated: Array  # bool[]
    success: Array  # bool[]


class RewardFn(Protocol):
    """A reward term: pure, unweighted, of one world. float32[]."""

    def __call__(self, transition: Transition) -> Array: ...


Stage = Literal["model", "reset", "action", "wrench", "reading", "observation", "visual"]


class Randomizer(Protocol):
    """Varies one world: returns exactly the keys in `writes`, made from the nominal `values`.

    Stages, and what `values` holds in each:
      "model": MjModel fields (gravity is "opt.gravity") at nominal, at every reset;
      "reset": "qpos" and "qvel" of a start, and "banked", bool[]: from the start-state bank;
      "action": {"action"}, what the policy asks for, at every control step;
      "wrench": {"wrench"}, float32[nbody, 6], N and N m, zero, at every control step;
      "reading": what the policy's sensors measure (`HasReadings`; else the observation groups);
      "observation": the observation groups, at every control step;
      "visual": fields of the MjModel that pictures are drawn of, once an episode.

    Beside these, `values` has the scene's properties and "level", float32[] in [0, 1]: how far a
    curriculum has widened the ranges; 1 without one. A randomizer that has no use for it keeps its
    ranges. Those of one stage are applied in order, each to what the one before made.
    """

    @property
    def stage(self) -> Stage: ...

    @property
    def writes(self) -> frozenset[str]: ...

    def __call__(self, key: Array, values: Named) -> Named: ...


M = TypeVar("M")  # what a randomizer remembers, a pytree of arrays


@runtime_checkable
class RemembersEpisode(Protocol[M]):
    """A randomizer of every control step that remembers: a bias of this episode, past readings.

    It has `step` in place of `__call__`. An episode's first values go through `begin`, for the
    memory, and then `step`.
    """

    @property
    def stage(self) -> Stage: ...

    @property
    def writes(self) -> frozenset[str]: ...

    def begin(self, key: Array, values: Named) -> M:
        """The memory at an episode's start."""
        ...

    def step(self, memory: M, key: Array, values: Named) -> tuple[M, Named]:
        """The memory after a control step, and what `writes` names."""
        ...


@dataclasses.dataclass(frozen=True)
class RandomizerContext:
    """What a randomizer is built for.

    model: the physics' (of the scene's first variant). control_dt: s. action_names,
    readings (name -> shape), properties (name -> shape): what there is to vary and to read.
    drawn_model: compiles the MjModel that pictures are drawn of; None where there are none.
    """

    model: mujoco.MjModel
    control_dt: float
    action_names: tuple[str, ...] = ()
    readings: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    properties: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    drawn_model: Callable[[], mujoco.MjModel] | None = None


@pytree
class Step:
    """What an environment gives back for one control step; leaves [W, ...].

    Where `terminated | truncated`, the world has been reset: `obs` is the first observation of
    the new episode, `final_obs` the last of the old one, and the `episode_*` values and `metrics`
    are those of the episode that ended (elsewhere they are running values).
    """

    obs: Named
    final_obs: Named  # what the step led to, before any reset
    reward: Array  # float32[W], the weighted sum of `terms`
    terms: Named  # float32[W] each, unweighted
    terminated: Array  # bool[W]
    truncated: Array  # bool[W]: time ran out or the physics diverged
    success: Array  # bool[W]
    diverged: Array  # bool[W]: the physics failed and the world was reset
    episode_return: Array  # float32[W]
    episode_length: Array  # int32[W]
    metrics: Named  # float32[W] each
    variant: Array | None = None  # int32[W]: of the scene, in the episode; None without variants

    @property
    def done(self) -> Array:
        return self.terminated | self.truncated


@dataclasses.dataclass(frozen=True)
class EnvSpec:
    """What an algorithm must know of an environment before it builds its networks."""

    num_worlds: int
    observations: Mapping[str, ArraySpec]  # of one world, by group
    action_low: Any  # float32[A]
    action_high: Any  # float32[A]
    max_episode_steps: int
    control_dt: float  # s
    traceable: bool
    action_names: tuple[str, ...] = ()  # one per action, in order; none: they are numbered
    task: TaskInfo = dataclasses.field(default_factory=TaskInfo)

    @property
    def action_size(self) -> int:
        return len(self.action_low)


class Environment(Protocol[S]):
    """Vectorised, auto-resetting, immutable."""

    spec: EnvSpec

    def reset(self, key: Array) -> tuple[S, Named]: ...

    def step(self, state: S, action: Array) -> tuple[S, Step]: ...


@runtime_checkable
class HasEvaluation(Protocol):
    """An environment that can be judged in another than itself: without curricula, banked starts
    and staggered episodes."""

    def for_evaluation(self, num_worlds: int) -> Environment[Any]:
        """Its like for evaluation, of `num_worlds` worlds."""
        ...


@runtime_checkable
class HasScene(Protocol):
    """An environment whose state has `physics.view.qpos`, of a scene that can be drawn."""

    scene: SceneSpec


class Algorithm(Protocol[L]):
    """Built with an Environment and its own configuration.

    `L` is a pytree of arrays that holds everything needed to go on: networks, optimizer,
    normalisers, PRNG keys, buffers, environment state. `update` returns metrics as float32[]
    on the host or device; the names are the run's columns. `steps_per_update` is the number of
    environment steps (over all worlds) of one update. An algorithm may have `notes`, a tuple of
    lines that the user is told before training: how much memory a buffer takes, say.
    """

    steps_per_update: int

    def init(self, key: Array) -> L: ...

    def update(self, learner: L) -> tuple[L, Named]: ...

    def policy(self, learner: L, deterministic: bool) -> Policy: ...

    def export(self, learner: L) -> PolicyExport:
        """The policy as data: what `r2s_core.policy.saved` saves and runs without this package."""
        ...


@runtime_checkable
class SavesPart(Protocol):
    """An algorithm of whose learner not everything goes into a checkpoint: a large buffer, say."""

    def saved(self, learner: Any) -> Any:
        """What is saved, a pytree of arrays."""
        ...

    def restored(self, saved: Any, fresh: Any) -> Any:
        """The learner again, from what was saved and from `init`."""
        ...
