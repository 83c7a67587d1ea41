"""Evaluates a run's policy, on the same episodes as the run's own evaluation."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax

from r2s_core import device
from r2s_core.config import RunConfig, load_config
from r2s_core.env import build
from r2s_core.errors import R2SError
from r2s_core.evaluation.episodes import Episodes, Watch, run_episodes, summarise
from r2s_core.evaluation.failed_episodes import FailedEpisode, FailureWatch
from r2s_core.policy import cameras
from r2s_core.policy.network import as_jax
from r2s_core.policy.saved import SavedPolicy, load_policy
from r2s_core.record import inputs
from r2s_core.record.folder import shown
from r2s_core.system import files
from r2s_core.system.progress import print_result
from r2s_core.system.run_files import CONFIG
from r2s_core.types import Array, Environment, HasScene, Variants

#: Enough to include rare failures; in the quickstart a recorded control step takes 200 bytes.
_RECORDED_EPISODES = 256
#: Parts of a run's configuration that an evaluation switches off: curricula, reward functions (the
#: run may be someone else's, and its files gone) and hooks.
UNUSED = ("curriculum={}", "environment.rewards=null", "hooks={}")


#: (folder, environment, episodes by kind, facts) -> the files' names by kind.
KeepFailures = Callable[
    [Path, Environment[Any], Mapping[str, FailedEpisode], Mapping[str, Any]], dict[str, list[str]]
]


def play(
    config: RunConfig,
    policy: SavedPolicy,
    env: Environment[Any],
    record: bool = False,
    watch: Watch | None = None,
) -> Episodes:
    """At least `config.evaluation.episodes` fresh episodes, the same number from every world.

    Raises `PolicyError` where the policy was trained for other observations or actions.
    """
    key = episodes_key(config)
    per_world = -(-config.evaluation.episodes // env.spec.num_worlds)
    recorded = _RECORDED_EPISODES if record else 0
    act = as_jax(policy, env, config.environment.use)
    return run_episodes(env, act, key, per_world, recorded, watch=watch)


def episodes_key(config: RunConfig, point: int | None = None) -> Array:
    """The random key of the final evaluation's episodes, or of those of a point of the curve.

    JAX may give the same key as an element of `split` and from `fold_in`; so each purpose has its
    own branch, which nothing else is split off from.
    """
    root = jax.random.key(config.seed + config.evaluation.seed_offset)
    if point is None:
        return jax.random.fold_in(root, 0)
    return jax.random.fold_in(jax.random.fold_in(root, 1), point)


def variants_of(env: Environment[Any]) -> Variants | None:
    """The variants of an environment's scene, if it has any."""
    return env.scene.variants if isinstance(env, HasScene) else None


def num_worlds(config: RunConfig) -> int:
    """How many worlds an evaluation steps in parallel."""
    return min(config.evaluation.num_parallel_envs, config.evaluation.episodes)


def announcement(config: RunConfig) -> str:
    """A line on the evaluation, which may round the episodes up to a multiple of the worlds."""
    requested, worlds = config.evaluation.episodes, num_worlds(config)
    played = -(-requested // worlds) * worlds
    why = (
        ""
        if played == requested
        else f" ({requested:,} requested; each of {worlds:,} worlds plays equally many)"
    )
    return f"evaluating over {played:,} fresh episodes{why} ..."


def evaluate_run(
    run_dir: Path | str,
    episodes: int | None = None,
    backend: str | None = None,
    overrides: tuple[str, ...] | list[str] = (),
    keep_failures: KeepFailures | None = None,
) -> dict[str, Any]:
    """Evaluate a run's policy, print the table and write `eval-<n>.json`.

    Args:
      episodes: at least this many; default: as configured for the run.
      backend: a physics backend other than the run's.
      overrides: `key=value`, on top of the run's own config.yaml.
      keep_failures: writes the first episode of each kind of failure into `failures-<n>/`.

    Returns the content of the file; raises `R2SError` where the run or its policy is missing.
    """
    run_dir = Path(run_dir)
    path = config_of(run_dir)
    if path is None:
        raise R2SError(f"{run_dir} is not the folder of a run: it has no config.yaml.")
    inputs.verify(path.parent)
    changes = [*overrides]
    if backend is not None:
        changes.append(f"backend={backend}")
    config = load_config(path, [*changes, *UNUSED])
    written = _next_path(path.parent)
    failures = written.with_name(written.stem.replace("eval", "failures"))
    keep = keep_failures and partial(keep_failures, failures)
    result = evaluate_policy(config, run_dir, episodes, keep) | {"overrides": changes}
    try:
        files.write_json(written, result)
    except OSError as error:
        print_result(result)
        raise R2SError(
            f"{written} cannot be written ({error.strerror}); the numbers are printed above."
        ) from error
    places = {"written": shown(written)}
    if result.get("failure_episodes"):
        places["of each kind"] = shown(failures)
    print_result(result | {"files": places})
    return result


def evaluate_policy(
    config: RunConfig,
    policy_dir: Path | str,
    episodes: int | None = None,
    keep: Callable[..., dict[str, list[str]]] | None = None,
) -> dict[str, Any]:
    """Evaluate a saved policy in the environment that `config` describes.

    episodes: at least this many; default: `config.evaluation.episodes`. keep: called with the
    environment, the first episode of each kind of failure and facts, as the last arguments of
    `KeepFailures`; without it nothing is written.
    """
    began = time.perf_counter()
    policy = load_policy(policy_dir)
    if episodes is not None:
        options = dataclasses.replace(config.evaluation, episodes=episodes)
        config = dataclasses.replace(config, evaluation=options)
    if config.evaluation.episodes < 1:
        raise R2SError("evaluation.episodes is 0; an evaluation needs at least one episode.")
    device.announce(device.select_device(config.training.use_gpu))
    config = device.resolve_backend(config)
    device.announce([announcement(config)])
    env = build.make_environment(config, num_worlds(config), training=False)
    device.announce(cameras.differences(policy.spec.cameras, env.spec.cameras))
    watch = FailureWatch(env) if keep is not None else None
    summary = summarise(play(config, policy, env, watch=watch), env.spec.task, variants_of(env))
    kept: dict[str, Any] = {}
    if keep is not None and watch is not None and watch.found:
        facts = {"run": config.name, "seed": config.seed, "backend": config.backend.use}
        kept["failure_episodes"] = keep(env, watch.found, facts)
    return {
        "name": f"evaluation of {config.name}",
        **summary,
        **kept,
        "task": env.spec.task.facts(),
        "backend": config.backend.use,
        "seed": config.seed,
        "total_s": round(time.perf_counter() - began, 3),
    }


def config_of(path: Path) -> Path | None:
    """The config.yaml of the run whose folder, or the `policy/` in it, is `path`."""
    for folder in (path, path.parent):
        if (folder / CONFIG).exists():
            return folder / CONFIG
    return None


def _next_path(folder: Path) -> Path:
    names = (re.fullmatch(r"eval-([0-9]+)\.json", path.name) for path in folder.iterdir())
    used = [int(name[1]) for name in names if name]
    return folder / f"eval-{max(used, default=0) + 1}.json"
