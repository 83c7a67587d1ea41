"""A whole run: set up, train, evaluate, and write the folder that README.md describes."""

from __future__ import annotations

import dataclasses
import errno
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from r2s_core import device, registry
from r2s_core.config import RunConfig
from r2s_core.config.schema import LARGEST_SEED
from r2s_core.config.user_code import require
from r2s_core.demonstrations.source import described, with_demonstrations
from r2s_core.env import build
from r2s_core.env.build import MakeEnvironment
from r2s_core.env.contract import exported
from r2s_core.env.vector_env import with_choices_of
from r2s_core.errors import ConfigError, PluginError, R2SError
from r2s_core.evaluation import evaluate
from r2s_core.evaluation.curve import EvaluationCurve
from r2s_core.evaluation.episodes import Episodes, summarise
from r2s_core.evaluation.stochastic import beside, play_stochastic
from r2s_core.hooks import Hooks
from r2s_core.plugin import Kind
from r2s_core.policy.saved import SavedPolicy, load_policy, save_policy
from r2s_core.record import inputs
from r2s_core.record.folder import RunFolder, config_hash, shown
from r2s_core.record.history import History
from r2s_core.rendering.pictures import Pictures, take_pictures
from r2s_core.report import write_report
from r2s_core.system import files
from r2s_core.system.console import stderr_console
from r2s_core.system.progress import TrainingProgress, print_result
from r2s_core.system.signals import RunInterrupted, StopSignals
from r2s_core.training.loop import RunContext, Training, start, train
from r2s_core.types import Algorithm, Environment, EnvSpec, demonstrations_of


def run(
    config: RunConfig,
    output: Path | None = None,
    resume: bool = False,
    *,
    trust: bool = False,
    make_env: MakeEnvironment | None = None,
) -> dict[str, Any]:
    """Train, evaluate and report as configured; returns the content of result.json.

    Args:
      output: the run's folder instead of `config.output`. An earlier run there is moved to
        `<name>-old-<n>`, never overwritten.
      resume: continue from the folder's last intact checkpoint, if there is one.
      trust: allow the reward functions in files that the configuration names to run; see
        `r2s_core.system.trust`.
      make_env: builds the environments; by default the engine, from the configuration.

    Raises:
      RunInterrupted: after SIGINT or SIGTERM, with a checkpoint saved.
      R2SError: any other problem that a user can fix, in one sentence.
    """
    console, began = stderr_console(), time.perf_counter()
    require(config, trust)
    _check_seed(config)
    run_dir = (output or config.output).absolute()
    device.announce(device.select_device(config.training.use_gpu))
    config = device.resolve_backend(dataclasses.replace(config, output=run_dir))
    folder = RunFolder(run_dir, resume)

    def last_words() -> str:
        words = str(RunInterrupted("at once", folder.how_to_continue(), None))
        folder.release()
        return words

    signals = StopSignals(console.print, last_words)
    try:
        with folder, signals:
            make_env = _shared_in_evaluation(make_env or _engine)
            session = _Session(config, folder, console, signals, make_env, began)
            return session.run()
    except KeyboardInterrupt:
        raise RunInterrupted("at once", folder.how_to_continue(), signals.received) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" while writing {error.filename}" if error.filename else ""
        raise R2SError(
            f"No space left on the disk of {run_dir}{where}; free some space. "
            f"{folder.how_to_continue()}"
        ) from error


@dataclasses.dataclass
class _Session:
    config: RunConfig
    folder: RunFolder
    console: Console
    signals: StopSignals
    make_env: MakeEnvironment
    began: float

    @property
    def run_dir(self) -> Path:
        return self.folder.path

    def run(self) -> dict[str, Any]:
        # Everything that can fail at the start comes before `begin`, which moves an earlier run.
        found = self.folder.inputs_of(self.config)
        # A fresh run's inputs are not in its folder yet; those of a resumed run are.
        config = found.config if self.folder.resumes else self.config
        run_dir = self.run_dir
        hooks = Hooks(config.hooks, run_dir, self.console.print)
        self.console.print("preparing objects, scene and start states ...")
        env = self.make_env(config, config.environment.engine.num_parallel_envs, True)
        training_began = time.perf_counter()
        # A data set is read once, so that what the run keeps is what it learns from.
        read = found.kept.get(Path(str(found.config.demonstrations.source)).name)
        env = with_demonstrations(env, config, self.console.print, read)
        algorithm = make_algorithm(config, env)
        for line in getattr(algorithm, "notes", ()):
            self.console.print(line)
        training = start(algorithm, config, run_dir, self.folder.resume, self.console.print)
        found = dataclasses.replace(found, config=with_choices_of(env, found.config))
        for line in self.folder.begin(found):
            self.console.print(line)
        config = self.config = found.config
        source = found.record.written.get("demonstrations.source", config.demonstrations.source)
        learned_from = described(config, source, env)
        hooks.run_start(config, run_dir, training.step)
        total = config.training.total_timesteps
        with TrainingProgress(total, training.step, self.console) as progress:
            curve = None
            if config.evaluation.curve_points:
                curve = EvaluationCurve(config, self.make_env)
            context = RunContext(
                algorithm,
                env,
                config,
                run_dir,
                hooks,
                progress,
                self.signals,
                training_began,
                curve,
            )
            train(training, context)
        self._save_policy(algorithm, training, env)
        explored = self._explored(algorithm, training)
        result = self._facts(training, env) | {"learned_from": learned_from}
        result |= {"setup_s": round(training_began - self.began, 3)}
        algorithm = env = context = None  # type: ignore[assignment]  # free memory for the evaluation
        result |= self._evaluate_and_report(training, result, explored)
        hooks.run_end(result)
        print_result(result | {"files": self._files()})
        return result

    def _save_policy(
        self, algorithm: Algorithm[Any], training: Training, env: Environment[Any]
    ) -> None:
        label = f"algorithm '{self.config.algorithm}'"
        export = exported(label, algorithm, training.learner, env.spec)
        save_policy(
            self.run_dir / "policy",
            export,
            env.spec,
            task=self.config.environment.use,
            provenance={
                "run": self.config.name,
                "seed": self.config.seed,
                "algorithm": self.config.algorithm,
                "robot": env.spec.task.robot,
                "env_steps": training.step,
                "config_sha256": config_hash(self.config),
                "versions": self._versions(env.spec.task.robot),
            },
        )

    def _facts(self, training: Training, env: Environment[Any]) -> dict[str, Any]:
        """The part of result.json about training."""
        # Rounded before rates are computed, so that the file is consistent.
        config, seconds = self.config, round(training.seconds, 3)
        busy = max(seconds - round(training.compile_s, 3), 1e-3)
        return {
            "name": config.name,
            "environment": config.environment.use,
            "robot": env.spec.task.robot,
            "object": _object_name(config, env),
            "task": env.spec.task.facts(),
            "algorithm": config.algorithm,
            "backend": config.backend.use,
            "seed": config.seed,
            "env_steps": training.step,
            "wall_clock_s": seconds,
            "compile_s": round(training.compile_s, 3),
            "train_steps_per_second": training.step / seconds if seconds else 0.0,
            "compiled_steps_per_second": training.step / busy,
            "stopped_by": training.stopped_by,
            "training_episodes": int(training.history.episodes),
            "diverged_in_training": int(training.history.diverged),
            "control_dt_s": env.spec.control_dt,
            "rewards": getattr(env, "reward_weights", {}),
            **_of_sight(env.spec),
            **_auxiliary(config, training.history),
        }

    def _explored(self, algorithm: Algorithm[Any], training: Training) -> Episodes | None:
        """Episodes of the policy with its exploration, which its file does not have."""
        config = self.config
        if not (config.evaluation.episodes and config.evaluation.stochastic_episodes):
            return None
        env = self.make_env(config, evaluate.num_worlds(config), False)
        episodes = play_stochastic(config, algorithm, training.learner, env)
        if episodes is None:
            self.console.print(
                "evaluation.stochastic_episodes: the policy has no noise, so none is played"
            )
        return episodes

    def _evaluate_and_report(
        self, training: Training, facts: dict[str, Any], explored: Episodes | None
    ) -> dict[str, Any]:
        config, run_dir = self.config, self.run_dir
        result: dict[str, Any] = {"episodes": 0}
        pictures = Pictures()
        if config.evaluation.episodes:
            began = time.perf_counter()
            policy = load_policy(run_dir / "policy")
            episodes, env = self._evaluate(policy)
            result = summarise(episodes, env.spec.task, evaluate.variants_of(env))
            if explored is not None:
                result["stochastic"] = beside(explored, episodes)
            result["evaluation_s"] = round(time.perf_counter() - began, 3)
            files.write_json(run_dir / "result.json", facts | result)
            if config.evaluation.video:
                pictures = take_pictures(run_dir, env, episodes.recordings, policy)
        for line in pictures.notes:
            self.console.print(line)
        result |= {
            "versions": self._versions(facts["robot"]),
            "hardware": device.hardware(),
            "finished_at": datetime.now().astimezone().isoformat(timespec="seconds"),
            "total_s": round(time.perf_counter() - self.began, 3),
        }
        files.write_json(run_dir / "result.json", facts | result)
        contract = load_policy(run_dir / "policy").contract
        history = training.history
        write_report(run_dir, facts | result, history, config.resolved(), contract, pictures)
        return result

    def _evaluate(self, policy: SavedPolicy) -> tuple[Episodes, Environment[Any]]:
        """Evaluate the saved policy, which is what is delivered, not the learner's."""
        config = self.config
        self.console.print(evaluate.announcement(config))
        env = self.make_env(config, evaluate.num_worlds(config), False)
        return evaluate.play(config, policy, env, record=config.evaluation.video), env

    def _versions(self, robot: str | None) -> dict[str, str]:
        """Of Python, the core and the plugins that ran, the robot among them if it is one."""
        config = self.config
        uses: list[tuple[Kind, str]] = [
            ("algorithm", config.chosen_algorithm.use),
            ("environment", config.environment.use),
        ]
        if any(robot == entry.name for entry in registry.discover("robot")):
            uses.append(("robot", str(robot)))
        return device.versions(*(registry.find(kind, name).dist for kind, name in uses))

    def _files(self) -> dict[str, str]:
        names = ("report.html", "video.mp4", "policy")
        paths = {Path(name).stem: self.run_dir / name for name in names}
        return {name: str(shown(path)) for name, path in paths.items() if path.exists()}


def make_algorithm(config: RunConfig, env: Environment[Any]) -> Algorithm[Any]:
    """The configured algorithm; its option `total_timesteps`, if null, is that of training."""
    use = config.chosen_algorithm
    options = use.options
    if getattr(options, "total_timesteps", 0) is None:
        total = max(config.training.total_timesteps, 1)
        options = dataclasses.replace(options, total_timesteps=total)
    recorded = demonstrations_of(env) is not None
    if env.spec.action_chunk > 1 and not recorded:
        raise _not_in_chunks()
    algorithm: Algorithm[Any] = registry.build("algorithm", use.use, env, options)
    learns_from = getattr(algorithm, "learns_from", ("rewards",))
    if config.demonstrations.source:
        _check_learns(config.algorithm, learns_from, recorded)
    if env.spec.action_chunk > 1 and "rewards" in learns_from:
        raise _not_in_chunks()
    steps = algorithm.steps_per_update
    if not isinstance(steps, int | np.integer) or isinstance(steps, bool) or steps < 1:
        raise PluginError(
            f"{registry.find('algorithm', use.use)}: steps_per_update is {steps!r}; it must be the "
            "number of environment steps of an update, 1 or more"
        )
    return algorithm


def _not_in_chunks() -> ConfigError:
    return ConfigError(
        "environment.action_chunk: rewards and experts judge a single action, so chunks are "
        "learned from recorded demonstrations alone: `algorithm: bc` with "
        "`demonstrations.episodes`, or with a data set"
    )


def _check_learns(algorithm: str, learns_from: Sequence[str], recorded: bool) -> None:
    """Raises `ConfigError` where an algorithm would ignore the demonstrations."""
    if ("demonstrations" if recorded else "expert") in learns_from:
        return
    if "demonstrations" in learns_from:
        raise ConfigError(
            f"demonstrations: the algorithm {algorithm} learns from recorded episodes; say how "
            "many, as in `demonstrations.episodes: 200`"
        )
    if "expert" in learns_from:
        raise ConfigError(
            f"demonstrations: the algorithm {algorithm} asks an expert in every state; give it a "
            "script or a run as source, and no `demonstrations.episodes`"
        )
    raise ConfigError(
        f"demonstrations: the algorithm {algorithm}, with its options, does not learn from any; "
        f"set `demonstrations.source: null`, turn on an option that does (`r2s info "
        f"algorithm:{algorithm}` tells of any), or choose one that does, as in `algorithm: bc`"
    )


def _check_seed(config: RunConfig) -> None:
    """Raises `ConfigError` for a seed that the loader would have refused."""
    if not 0 <= config.seed <= LARGEST_SEED:
        raise ConfigError(f"seed is {config.seed}; it must be from 0 to {LARGEST_SEED}")


def _engine(config: RunConfig, num_worlds: int, training: bool) -> Environment[Any]:
    return build.make_environment(config, num_worlds, training=training)


def _shared_in_evaluation(make_env: MakeEnvironment) -> MakeEnvironment:
    """It makes one environment for all evaluations with equally many worlds, so that the curve's
    and the final one's is compiled once."""
    made: dict[int, Environment[Any]] = {}

    def make(config: RunConfig, num_worlds: int, training: bool) -> Environment[Any]:
        if training:
            return make_env(config, num_worlds, training)
        if num_worlds not in made:
            made[num_worlds] = make_env(config, num_worlds, training)
        return made[num_worlds]

    return make


def _of_sight(spec: EnvSpec) -> dict[str, Any]:
    """The groups that only training reads, with their names, where a policy sees by cameras."""
    if not spec.cameras:
        return {}
    groups = {name: list(group.names) for name, group in spec.observations.items()}
    kept = spec.policy_groups
    return {"only_in_training": {name: own for name, own in groups.items() if name not in kept}}


def _auxiliary(config: RunConfig, history: History) -> dict[str, Any]:
    """What the algorithm learned to predict besides, and its last error, where it measures one."""
    errors = history.column("auxiliary/error")
    names = list(getattr(config.chosen_algorithm.options, "auxiliary", ()))
    return {"auxiliary": {"names": names, "error": errors[-1][1]}} if errors else {}


def _object_name(config: RunConfig, env: Environment[Any]) -> str | None:
    """The objects' names from the task, else from the configuration, else None."""
    return ", ".join(env.spec.task.objects) or inputs.object_names(config)
