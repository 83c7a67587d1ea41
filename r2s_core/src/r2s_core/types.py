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

from r2s_core.camera import Camera
from r2s_core.deployment import Deployment
from r2s_core.policy_export import ArraySpec, Layer, PolicyExport
from r2s_core.task_info import TaskInfo

__all__ = ["ArraySpec", "Camera", "Layer", "PolicyExport", "TaskInfo"]  # re-exported

Array = jax.Array
#: Observation groups, reward terms, model fields or metrics, by name.
Named = Mapping[str, Array]
#: (obs with leaves [W, ...], PRNG key) -> action float32[W, A].
Policy = Callable[[Named, Array], Array]

#: External forces and torques on bodies, by the name of MjData's field.
WRENCH = "xfrc_applied"

_C = TypeVar("_C", bound=type)


@dataclass_transform(frozen_default=True)
def pytree(cls: _C) -> _C:
    """Make `cls` a frozen dataclass whose fields are the children of a JAX pytree."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


#: The observation group of an environment with an expert: what the expert does, float32[A]. It is
#: the label of what a policy observes; a policy itself never reads it.
EXPERT_GROUP = "expert"

T = TypeVar("T")  # a task's own per-episode state, a pytree
T_contra = TypeVar("T_contra", contravariant=True)  # the same where it is only read
S = TypeVar("S")  # an environment's state
L = TypeVar("L")  # an algorithm's learner state


@pytree
class View:
    """What a task may read of the physics of one world; the engine's views add a leading [W].

    Fields that the scene does not declare in `SceneSpec.view_fields` are None. Position and
    velocity quantities describe the current state, never a substep behind. Contact sensors report
    the contact forces of the last substep: a force belongs to the interval that led to this state.
    """

    time: Array  # float32[], s
    qpos: Array  # float32[nq]
    qvel: Array  # float32[nv]
    ctrl: Array  # float32[nu], the current targets
    xpos: Array  # float32[nbody, 3], m
    xquat: Array  # float32[nbody, 4]
    site_xpos: Array  # float32[nsite, 3], m
    site_xmat: Array  # float32[nsite, 3, 3]
    sensordata: Array  # float32[nsensordata]

    @staticmethod
    def of(values: Mapping[str, Any]) -> View:
        """A view with these fields; the others are None."""
        fields: dict[str, Any] = {name: values.get(name) for name in View.__dataclass_fields__}
        return View(**fields)


@pytree
class Physics:
    """The state of W worlds, owned by a backend, which makes a new one of each.

    carry: the backend's own state, opaque to everyone else.
    fields: the MjModel fields that differ between worlds, by name, among `Backend.batchable`:
      float32[W, ...] (int32 where MjModel's are integers), empty where nothing is varied. `step`
      does not change them.
    view: float32[W, ...], the fields in `SceneSpec.view_fields`; the others are None.
    ok: bool[W]; False: the world diverged (a position, velocity, acceleration or control that is
      not finite or beyond 1e10) or overflowed a buffer in the last step, or started invalid.
    """

    carry: Any
    fields: Named
    view: View
    ok: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Variants:
    """K variants of one scene, e.g. one per object and scale.

    names [K]. held_out [K]: used in evaluation only. fields: MjModel field -> its values
    [K, ...]; everything else is shared by all variants.
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
    worst_case: measures, on the host, the maximum numbers of contacts and constraint rows of one
      world during the task; backends with fixed-size buffers are sized by it.
    variants: how worlds differ by the task's design; `model` is the first variant.
    properties: facts about the scene that randomizers may need and no model field holds, such as
      the range of an object's mass: name -> float32[...], or [K, ...] where there are variants.
    camera_spec: builds the MjSpec of a variant that cameras see: lean, of primitives and few faces,
      with lights; its qpos layout equals the model's, and the sizes of all variants' models are
      equal. None: cameras see `render_spec`, which is slower.
    implicit_damping: float64[nv], N m s/rad or N s/m: the part of the servos' damping that `model`
      integrates implicitly, as timestep * damping added to its armature, with the Euler
      integrator; it must be recomputed for another timestep or integrator. None: no damping.
    """

    model: mujoco.MjModel
    substeps: int
    view_fields: frozenset[str]
    render_spec: Callable[[int], mujoco.MjSpec] | None = None
    camera_spec: Callable[[int], mujoco.MjSpec] | None = None
    worst_case: Callable[[], tuple[int, int]] | None = None
    variants: Variants | None = None
    properties: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    implicit_damping: Any = None

    @property
    def control_dt(self) -> float:
        """Seconds per control step."""
        return float(self.model.opt.timestep) * self.substeps

    def of_variant(self, index: int) -> SceneSpec:
        """The scene of one variant alone."""
        if self.variants is None:
            return self
        model = copy.copy(self.model)
        for name, values in self.variants.fields.items():
            getattr(model, name)[...] = values[index]
        mujoco.mj_setConst(model, mujoco.MjData(model))  # constants derived from these fields
        properties = {name: values[index] for name, values in self.properties.items()}
        return dataclasses.replace(self, model=model, variants=None, properties=properties)


@runtime_checkable
class Backend(Protocol):
    """Steps W worlds of one model. Implementations: `mujoco`, `mjx`, `warp`.

    A `Physics` is a value: stepping returns a new one and leaves the old usable.

    variant: int32[W] on the host, the scene variant of each world, for backends that hold one
      model per variant and never reassign worlds; None: each world's `fields` set its variant,
      and every reset may change it.
    """

    name: str
    num_worlds: int
    variant: Any
    batchable: frozenset[str]  # the MjModel fields that may differ per world, and maybe WRENCH
    traceable: bool  # True: usable inside jit and scan; False: driven from the host

    def init(self, fields: Named, qpos: Array, qvel: Array) -> Physics:
        """Worlds in their start states: qpos [W, nq], qvel [W, nv], fields [W, ...].

        Constants that MuJoCo derives from `fields`, such as body_subtreemass, follow from them.
        """
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
        """Put the worlds under `mask` (bool[W]) on new start states and model fields.

        fields, qpos and qvel have a row for every world; only those under `mask` count. The names
        in `fields` are those that `init` got.
        """
        ...


@runtime_checkable
class HasIntegrationState(Protocol):
    """A backend that knows MuJoCo's own state of every world, in double precision."""

    def integration_state(self, physics: Physics) -> Any:
        """float64[W, n] on the host: `mujoco.mj_getState` with `mjSTATE_INTEGRATION`, from which
        MuJoCo steps as the backend did."""
        ...


@dataclasses.dataclass(frozen=True)
class SeenScene:
    """What cameras see, and the cameras.

    model: its qpos layout is that of the physics' model; it has the cameras by their names.
    cameras: by name, in order. varied: the fields, of the model and `r2s_core.look_fields`, whose
      values differ between worlds, given with every call.
    """

    model: mujoco.MjModel
    cameras: Mapping[str, Camera]
    varied: frozenset[str] = frozenset()


class Renderer(Protocol):
    """Draws what the cameras of W worlds see. Implementations: `rays`, `gl`, `warp`.

    variable: the fields that may differ between worlds, of MjModel and `r2s_core.look_fields`; the
    constructor refuses others with a `BackendError`. traceable: True: `render` is used inside jit
    and scan; False: it is called from the host.
    """

    name: str
    num_worlds: int
    traceable: bool
    variable: frozenset[str]

    def render(self, qpos: Array, mocap_pos: Array, fields: Named, due: Named) -> Named:
        """The images of a state, by observation group; see `Camera`. Never of an earlier state.

        Geoms of the groups 0 to 2 are drawn. Where none is seen, a pixel is 0 in every channel:
        black, no depth, no body.

        Args:
          qpos: float32[W, nq]. mocap_pos: float32[W, nmocap, 3], m.
          fields: MjModel field -> float32[W, ...] (int32 where MjModel's are integers), those in
            `SeenScene.varied`. The same object as in the last call where nothing changed.
          due: camera -> bool[W], the worlds whose image is needed; other rows are arbitrary.
        """
        ...


@runtime_checkable
class Checked(Protocol):
    """A backend or an environment whose compiled code can fail without raising."""

    def check(self) -> None:
        """Raises R2SError if any step so far has failed; called between updates."""
        ...


class Task(Protocol[T]):
    """One world of a task; pure functions of arrays, which the engine maps over W worlds."""

    @property
    def info(self) -> TaskInfo:
        """The task's description: names, labels and defaults."""
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
        """Observation groups, float32[n], uint8[H, W, C] or uint16[H, W, 1] each (`ArraySpec`):
        "policy" and images, what a policy reads (`EnvSpec.policy_groups`); optionally "critic",
        privileged facts that only training reads; and others, of any name, for algorithms with an
        option that names them."""
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
    """A task whose state depends on the first `View`, which `init` does not have yet."""

    def begin(self, task: T, view: View) -> T:
        """The state of `init`, completed from an episode's first view. It is then the first
        control step's `Transition.prev_task`."""
        ...


@runtime_checkable
class HasStartBank(Protocol):
    """A task that can also start training episodes from snapshots along a scripted solution."""

    def build_start_bank(self, backend: Backend, key: Array) -> None:
        """Fill the bank, on the host, before anything is traced.

        backend: the run's own, which steps all its worlds by one control step at a time.
        """
        ...

    def init_from_bank(self, key: Array, variant: Array) -> tuple[Any, Array, Array]:
        """As `Task.init`, from a snapshot of the bank."""
        ...


@runtime_checkable
class HasExpert(Protocol[T_contra]):
    """A task that knows a scripted solution, from which a policy can learn."""

    def expert(self, task: T_contra, view: View) -> Array:
        """float32[A]: an action in [action_low, action_high], for one world.

        Pure, of the true state, which a policy may not observe whole. It can be asked from any
        state, also one that a policy got itself into.
        """
        ...


@runtime_checkable
class HasProprioception(Protocol[T_contra]):
    """A task that can be learned with cameras: it knows what a robot feels without them."""

    def proprioception(self, task: T_contra, view: View) -> Array:
        """float32[n]: what a robot knows without cameras, such as its joints' angles and the
        goal that it was given; nothing that follows from the true state of other things. Named
        by `TaskInfo.observation_names["proprioception"]`.

        With cameras it is the group "policy", in place of that of `observe`.
        """
        ...


@runtime_checkable
class HasDeployment(Protocol):
    """A task whose policies can be exported for a robot (`r2s export`)."""

    def deployment(self) -> Deployment:
        """Where its observations come from on a robot, and what its actions mean there."""
        ...


@runtime_checkable
class HasReadings(Protocol[T]):
    """A task that separates what a robot would measure from what is computed from it.

    Sensor errors apply to the measured quantities: a camera's object pose, the encoders' angles.
    Whatever the task derives from them (such as the vector from gripper to object) then has the
    matching error.
    """

    def readings(self, task: T, view: View) -> Named:
        """The measured quantities by name; names that end in `quaternion` hold float32[4]."""
        ...

    def perceived(self, task: T, view: View, readings: Named) -> tuple[T, View]:
        """The state and view for `observe` to use in place of the true ones, given readings."""
        ...


@runtime_checkable
class HasDifficulty(Protocol):
    """A task whose episodes can be made easier or harder."""

    def at_level(self, level: Array) -> Task[Any]:
        """The same task at a level, float32[], from 0 (easiest) to 1 (as configured). Called in
        traced code; only `init` and `init_from_bank` of the returned task are used."""
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
    """Varies one world: returns exactly the keys in `writes`, computed from nominal `values`.

    Stages, and what `values` holds in each:
      "model": nominal MjModel fields (gravity is "opt.gravity"), at every reset;
      "reset": "qpos" and "qvel" of a start, and "banked", bool[]: from the start-state bank;
      "action": {"action"}, the action that the policy commands, at every control step;
      "wrench": {"wrench"}, float32[nbody, 6], N and N m, zero, at every control step;
      "reading": what the policy's sensors measure (`HasReadings`; else the observation groups);
      "observation": the observation groups, at every control step;
      "visual": fields of the MjModel that cameras see, or else of the one that pictures are
        rendered from, once per episode; with cameras also those of `r2s_core.look_fields`.

    In addition, `values` has the scene's properties and "level", float32[] in [0, 1]: how far a
    curriculum has widened the ranges; 1 without one. A randomizer may ignore it. Randomizers of one
    stage are applied in order, each to the output of the one before.
    """

    @property
    def stage(self) -> Stage: ...

    @property
    def writes(self) -> frozenset[str]: ...

    def __call__(self, key: Array, values: Named) -> Named: ...


M = TypeVar("M")  # a randomizer's memory, a pytree of arrays


@runtime_checkable
class RemembersEpisode(Protocol[M]):
    """A per-step randomizer with memory, such as an episode's bias or past readings.

    It has `step` in place of `__call__`. At an episode's start, `begin` makes the memory from the
    first values, which then go through `step` as well.
    """

    @property
    def stage(self) -> Stage: ...

    @property
    def writes(self) -> frozenset[str]: ...

    def begin(self, key: Array, values: Named) -> M:
        """The memory at an episode's start."""
        ...

    def step(self, memory: M, key: Array, values: Named) -> tuple[M, Named]:
        """The memory after a control step, and the values of `writes`."""
        ...


@dataclasses.dataclass(frozen=True)
class RandomizerContext:
    """What a randomizer is built for.

    model: the physics model (of the scene's first variant). control_dt: s. action_names,
    readings (name -> shape), images (observation group -> what it holds; values of the stage
    "reading" as well), properties (name -> shape): what can be varied and read. cameras: the
    names of the policy's. num_worlds: how many it will vary, for the memory that it takes.
    drawn_model: compiles the MjModel that visual randomizers vary: what cameras see, or where
    there are none what pictures are rendered from; None where the scene cannot be rendered.
    """

    model: mujoco.MjModel
    control_dt: float
    action_names: tuple[str, ...] = ()
    readings: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    images: Mapping[str, ArraySpec] = dataclasses.field(default_factory=dict)
    properties: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    drawn_model: Callable[[], mujoco.MjModel] | None = None
    cameras: tuple[str, ...] = ()
    num_worlds: int = 1


@pytree
class Step:
    """What an environment returns for one control step; leaves [W, ...].

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
    variant: Array | None = None  # int32[W]: the episode's scene variant; None without variants

    @property
    def done(self) -> Array:
        return self.terminated | self.truncated


@pytree
class Demonstrations:
    """N control steps of recorded episodes, one episode after the other; leaves [N, ...].

    label and action differ where noise was put on what was executed: a policy imitates the label;
    rewards and next observations follow from the action.
    """

    obs: Named  # what was observed, by group
    label: Array  # float32[N, A], the action that the demonstrator chose
    action: Array  # float32[N, A], the action that was executed
    next_obs: Named  # what the step led to, before any reset
    reward: Array | None  # float32[N]; None: it is not known
    terminated: Array  # bool[N]
    truncated: Array  # bool[N]
    episode: Array  # int32[N], 0 for the first, counted up


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
    action_names: tuple[str, ...] = ()  # one per action, in order; empty: they are numbered
    action_chunk: int = 1  # control steps in an action: it lists their numbers one after the other
    task: TaskInfo = dataclasses.field(default_factory=TaskInfo)
    cameras: Mapping[str, Camera] = dataclasses.field(default_factory=dict)  # by name

    @property
    def action_size(self) -> int:
        return len(self.action_low)

    @property
    def policy_groups(self) -> tuple[str, ...]:
        """The observation groups that a policy reads, in order: "policy", where there is one, and
        every image. The image "critic" is none of them: only training reads that group."""
        return tuple(
            name
            for name, group in self.observations.items()
            if name == "policy" or (group.is_image and name != "critic")
        )


class Environment(Protocol[S]):
    """Vectorised, auto-resetting, immutable."""

    spec: EnvSpec

    def reset(self, key: Array) -> tuple[S, Named]: ...

    def step(self, state: S, action: Array) -> tuple[S, Step]: ...


@runtime_checkable
class HasEvaluation(Protocol):
    """An environment with a counterpart for evaluation: without curricula, banked starts and
    staggered episodes."""

    def for_evaluation(self, num_worlds: int) -> Environment[Any]:
        """The counterpart for evaluation, with `num_worlds` worlds."""
        ...


@runtime_checkable
class HasDemonstrations(Protocol):
    """An environment with recorded demonstrations to learn from; see `demonstrations_of`."""

    demonstrations: Demonstrations | None


def demonstrations_of(env: Environment[Any]) -> Demonstrations | None:
    """An environment's recorded demonstrations, if it has any."""
    return env.demonstrations if isinstance(env, HasDemonstrations) else None


@runtime_checkable
class HasScene(Protocol):
    """An environment whose state has `physics.view.qpos`, of a scene that can be rendered."""

    scene: SceneSpec


class Algorithm(Protocol[L]):
    """Built with an Environment and its own configuration.

    `L` is a pytree of arrays that holds everything needed to continue: networks, optimizer,
    normalisers, PRNG keys, buffers, environment state. `update` returns metrics as float32[]
    on the host or device; the names are the run's columns. `steps_per_update` is the number of
    environment steps (over all worlds) of one update. An algorithm may have `notes`, a tuple of
    lines shown to the user before training, e.g. how much memory a buffer takes; and
    `learns_from`, of "rewards", "expert" (it asks the environment's expert in every state, by the
    group `EXPERT_GROUP`) and "demonstrations" (recorded ones, see `demonstrations_of`), those that
    it, with its options, learns from; by default from rewards alone.
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
    """An algorithm that leaves part of its learner out of checkpoints, e.g. a replay buffer.

    Where that cannot be made anew, an attribute `omits` names it, for a note to the user: "The
    checkpoint omits ...".
    """

    def saved(self, learner: Any) -> Any:
        """What is saved, a pytree of arrays."""
        ...

    def restored(self, saved: Any, fresh: Any) -> Any:
        """The learner, rebuilt from what was saved and from a fresh one of `init`."""
        ...
