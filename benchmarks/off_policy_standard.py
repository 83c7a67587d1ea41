"""r2s's SAC, TD3 and DDPG beside Stable-Baselines3's on two of Gymnasium's continuous tasks.

Pendulum-v1, as for PPO, whose episodes are always truncated; and InvertedDoublePendulum-v5, in
MuJoCo, whose episodes terminate by falling over, with unscaled rewards of about ten per step. Both
sides take the same number of steps in the same Gymnasium environment, one world, with one gradient
step each, under the same hyperparameters, and are evaluated on the same episodes with
deterministic actions. Run in an environment with r2s and the two others:

    pip install stable-baselines3 "gymnasium[mujoco]"
    python benchmarks/off_policy_standard.py train    # everything; --help says how to run a part
    python benchmarks/off_policy_standard.py report   # the tables of off_policy_standard.md

Every run writes its own file in runs/off_policy_standard; finished runs are not repeated.
"""

# Stable-Baselines3 is only installed where this runs.
# pyright: reportMissingImports=false

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium_tasks import Act, GymnasiumEnvironment, deterministic, evaluate


@dataclasses.dataclass(frozen=True)
class Task:
    steps: int
    discount: dict[str, float]  # by algorithm
    learning_rate: dict[str, float]


# Pendulum's are those of RL Baselines3 Zoo, the other's those of TD3's authors' code: at
# Stable-Baselines3's default of 1e-3, its TD3 stayed with an arm that falls at once.
TASKS = {
    "Pendulum-v1": Task(
        steps=10_000,
        discount={"sac": 0.99, "td3": 0.98, "ddpg": 0.98},
        learning_rate={"sac": 1e-3, "td3": 1e-3, "ddpg": 1e-3},
    ),
    "InvertedDoublePendulum-v5": Task(
        steps=20_000,
        discount={"sac": 0.99, "td3": 0.99, "ddpg": 0.99},
        learning_rate={"sac": 3e-4, "td3": 3e-4, "ddpg": 3e-4},
    ),
}
ALGORITHMS = ("sac", "td3", "ddpg")
SIDES = {"r2s": "r2s", "sb3": "Stable-Baselines3"}
BATCH, TARGET_UPDATE_RATE, LEARNING_STARTS, HIDDEN = 256, 0.005, 1000, (256, 256)
EXPLORATION_NOISE, TARGET_NOISE, TARGET_NOISE_CLIP, POLICY_DELAY = 0.1, 0.2, 0.5, 2  # TD3's
CURVE_POINTS, CURVE_EPISODES = 10, 20
RESULTS = Path("runs/off_policy_standard")

#: A function that learns for a number of environment steps, and the current policy.
Trained = tuple[Callable[[int], None], Act]


def r2s(name: str, algorithm: str, seed: int, steps: int) -> Trained:
    import jax

    from r2s_algos_ddpg.config import DDPGConfig
    from r2s_algos_ddpg.train import make as make_ddpg
    from r2s_algos_sac.config import SACConfig
    from r2s_algos_sac.train import make as make_sac

    env = GymnasiumEnvironment(name, 1, seed)
    if algorithm == "sac":
        made = make_sac(env, SACConfig(**sac_options(name), buffer_size=steps))
    else:
        options = td3_options(name) if algorithm == "td3" else ddpg_options(name)
        made = make_ddpg(env, DDPGConfig(**options, buffer_size=steps))
    assert made.sizes.gradient_steps == made.steps_per_update
    learner: Any = made.init(jax.random.key(seed))

    def learn(count: int) -> None:
        nonlocal learner
        for _ in range(count // made.steps_per_update):
            learner, _ = made.update(learner)
        jax.block_until_ready(learner)

    return learn, lambda obs: deterministic(made, learner)(obs)


def shared_options(name: str, algorithm: str) -> dict[str, Any]:
    """r2s's options that give it Stable-Baselines3's defaults, and the hyperparameters above."""
    task = TASKS[name]
    return dict(
        num_steps=1,
        discount=task.discount[algorithm],
        noise_correlation=0.0,
        random_steps=LEARNING_STARTS,  # there, the same option says both
        learning_starts=LEARNING_STARTS,
        n_step=1,
        update_to_data_ratio=BATCH,  # a gradient step for each environment step
        batch_size=BATCH,
        learning_rate=task.learning_rate[algorithm],
        adam_epsilon=1e-8,
        max_grad_norm=math.inf,
        target_update_rate=TARGET_UPDATE_RATE,
        policy_delay=1,
        normalize_observations=False,
        normalize_rewards=False,
        hidden_sizes=HIDDEN,
        activation="relu",
        layer_norm=False,
        num_atoms=None,
    )


def sac_options(name: str) -> dict[str, Any]:
    return shared_options(name, "sac") | dict(
        initial_temperature=1.0,
        temperature_learning_rate=TASKS[name].learning_rate["sac"],
        target_entropy=None,  # -1 per action dimension on both sides
        initial_log_std=0.0,
        min_log_std=-5.0,
        max_log_std=2.0,
    )


def ddpg_options(name: str) -> dict[str, Any]:
    return shared_options(name, "ddpg") | dict(
        twin_critics=False,
        target_noise=0.0,
        exploration_noise=(EXPLORATION_NOISE, EXPLORATION_NOISE),
        final_noise_scale=1.0,
        preactivation_penalty=0.0,
    )


def td3_options(name: str) -> dict[str, Any]:
    return (
        ddpg_options(name)
        | shared_options(name, "td3")
        | dict(
            num_steps=POLICY_DELAY,
            policy_delay=POLICY_DELAY,
            twin_critics=True,
            target_noise=TARGET_NOISE,
            target_noise_clip=TARGET_NOISE_CLIP,
            # Stable-Baselines3 moves the critics' targets with the policy's, r2s at every step.
            target_update_rate=1.0 - (1.0 - TARGET_UPDATE_RATE) ** (1.0 / POLICY_DELAY),
        )
    )


def sb3(name: str, algorithm: str, seed: int, steps: int) -> Trained:
    model = sb3_model(name, algorithm, seed, steps)
    learn = lambda count: model.learn(count, reset_num_timesteps=False)  # noqa: E731
    return learn, lambda obs: model.predict(obs, deterministic=True)[0]


def sb3_model(name: str, algorithm: str, seed: int, steps: int) -> Any:
    import torch
    from stable_baselines3 import DDPG, SAC, TD3
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.noise import NormalActionNoise

    torch.set_num_threads(1)  # fastest for networks this small
    task, env = TASKS[name], make_vec_env(name, n_envs=1, seed=seed)
    options: dict[str, Any] = dict(
        policy="MlpPolicy",
        env=env,
        learning_rate=task.learning_rate[algorithm],
        buffer_size=steps,
        learning_starts=LEARNING_STARTS,
        batch_size=BATCH,
        tau=TARGET_UPDATE_RATE,
        gamma=task.discount[algorithm],
        train_freq=1,
        gradient_steps=1,
        policy_kwargs={"net_arch": list(HIDDEN), "activation_fn": torch.nn.ReLU},
        seed=seed,
        device="cpu",
    )
    if algorithm == "sac":
        model: Any = SAC(**options, ent_coef="auto")
    else:
        size = env.action_space.shape
        options["action_noise"] = NormalActionNoise(
            np.zeros(size), np.full(size, EXPLORATION_NOISE)
        )
        if algorithm == "td3":
            model = TD3(
                **options,
                policy_delay=POLICY_DELAY,
                target_policy_noise=TARGET_NOISE,
                target_noise_clip=TARGET_NOISE_CLIP,
            )
        else:
            model = DDPG(**options)
    return model


def train(side: str, name: str, algorithm: str, seed: int, steps: int) -> dict[str, Any]:
    """A learning curve of (steps, mean return of `CURVE_EPISODES`) and the final return; CPU
    seconds are those of learning alone."""
    began = time.process_time()
    learn, act = {"r2s": r2s, "sb3": sb3}[side](name, algorithm, seed, steps)
    seconds, curve = time.process_time() - began, []
    for i in range(CURVE_POINTS):
        began = time.process_time()
        learn(steps // CURVE_POINTS)
        seconds += time.process_time() - began
        taken = (i + 1) * (steps // CURVE_POINTS)
        curve.append((taken, evaluate(name, act, CURVE_EPISODES)))
    return {"curve": curve, "final": evaluate(name, act), "seconds": seconds}


def mean_and_interval(values: np.ndarray) -> str:
    from r2s_core.evaluation.intervals import bootstrap_interval

    interval = bootstrap_interval((values,), lambda x: x.mean(-1))
    return f"{values.mean():,.0f}" + (
        f" ({interval[0]:,.0f} to {interval[1]:,.0f})" if interval else ""
    )


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def report(results: Path) -> str:
    """Final returns of both sides and their difference, then every learning curve and seed.

    Of the seeds that both sides have finished. Intervals are 95 % bootstrap intervals of means
    over seeds; "no worse": the difference's interval reaches 0 or more.
    """
    from r2s_core.evaluation.intervals import difference_interval

    head = (
        *("task", "algorithm", *SIDES.values(), "r2s less the other", "r2s is"),
        *(f"CPU seconds, {side}" for side in SIDES.values()),
    )
    ends, curves = [row(*head), row(*["---"] * len(head))], []
    for name, algorithm in itertools.product(TASKS, ALGORITHMS):
        runs = finished(results, name, algorithm)
        if not runs["r2s"]:
            continue
        final = {s: np.array([run["final"] for run in x]) for s, x in runs.items()}
        interval = difference_interval(final["r2s"], final["sb3"])
        cells = ["", ""]
        if interval is not None:
            verdict = "better" if interval[0] > 0 else "no worse" if interval[1] >= 0 else "worse"
            cells = [f"{interval[0]:,.0f} to {interval[1]:,.0f}", verdict]
        seconds = [f"{np.median([run['seconds'] for run in x]):.0f}" for x in runs.values()]
        means = [mean_and_interval(x) for x in final.values()]
        ends.append(row(name, algorithm.upper(), *means, *cells, *seconds))
        curves += ["", f"{name}, {algorithm.upper()}:", "", row("steps", *SIDES.values())]
        curves.append(row("---", "---", "---"))
        for i, (steps, _) in enumerate(runs["r2s"][0]["curve"]):
            at = [np.array([run["curve"][i][1] for run in x]) for x in runs.values()]
            curves.append(row(f"{steps:,}", *map(mean_and_interval, at)))
        each = [", ".join(f"{x:,.0f}" for x in values) for values in final.values()]
        curves.append(row("the end, each seed", *each))
    return "\n".join([*ends, *curves])


def finished(results: Path, name: str, algorithm: str) -> dict[str, list[dict[str, Any]]]:
    """The runs of the seeds that both sides have, in the same order."""
    found: dict[str, dict[str, Any]] = {
        side: {
            path.stem.rsplit("-", 1)[1]: json.loads(path.read_text())
            for path in results.glob(f"{name}-{algorithm}-{side}-*.json")
        }
        for side in SIDES
    }
    common = sorted(found["r2s"].keys() & found["sb3"].keys(), key=int)
    return {side: [x[seed] for seed in common] for side, x in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("train", "report"))
    parser.add_argument("--task", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--algorithm", nargs="+", default=ALGORITHMS, choices=ALGORITHMS)
    parser.add_argument("--side", nargs="+", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--seed", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--steps", type=int, help="instead of the task's own; for a trial")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    results: Path = arguments.results
    if arguments.action == "report":
        print(report(results))
        return
    results.mkdir(parents=True, exist_ok=True)
    # Seeds outermost: whenever it is interrupted, there is something to compare.
    for seed, name, algorithm, side in itertools.product(
        arguments.seed, arguments.task, arguments.algorithm, arguments.side
    ):
        path = results / f"{name}-{algorithm}-{side}-{seed}.json"
        if path.exists():
            continue
        result = train(side, name, algorithm, seed, arguments.steps or TASKS[name].steps)
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(result))
        unfinished.replace(path)
        print(path.stem, f"{result['final']:.1f}", f"{result['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
