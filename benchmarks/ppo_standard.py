"""r2s's PPO beside Stable-Baselines3's on a continuous-control standard, Gymnasium's Pendulum-v1.

Both learn in the same Gymnasium environments from the same number of steps with the same
hyperparameters (those that RL Baselines3 Zoo tuned for Stable-Baselines3, without its
state-dependent noise, which r2s does not have), and are evaluated on the same 100 episodes with
deterministic actions. Run in an environment with r2s and the two others:

    pip install stable-baselines3 gymnasium
    python benchmarks/ppo_standard.py train r2s 0 1 2 3 4
    python benchmarks/ppo_standard.py train sb3 0 1 2 3 4
    python benchmarks/ppo_standard.py report   # the table of benchmarks/ppo_standard.md
"""

# Stable-Baselines3 is only installed where this runs.
# pyright: reportMissingImports=false

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium_tasks import GymnasiumEnvironment, deterministic, evaluate

TASK = "Pendulum-v1"
STEPS = 98_304  # 24 updates
WORLDS, ROLLOUT, MINIBATCH, EPOCHS = 4, 1024, 64, 10
DISCOUNT, GAE_LAMBDA, CLIP, RATE = 0.9, 0.95, 0.2, 1e-3
RESULTS = Path("runs/ppo_standard")


def train_r2s(seed: int) -> dict[str, Any]:
    """A learning curve of (steps, mean training return of finished episodes) and the final one."""
    import jax

    from r2s_algos_ppo.config import PPOConfig
    from r2s_algos_ppo.train import PPO

    config = PPOConfig(
        num_steps=ROLLOUT,
        discount=DISCOUNT,
        gae_lambda=GAE_LAMBDA,
        num_epochs=EPOCHS,
        num_minibatches=WORLDS * ROLLOUT // MINIBATCH,
        clip_range=CLIP,
        value_clip_range=None,
        max_grad_norm=0.5,
        learning_rate=RATE,
        learning_rate_schedule="constant",
        normalize_observations=False,
        normalize_rewards=False,
        hidden_sizes=(64, 64),
        activation="tanh",
        initial_log_std=math.log(0.5),  # 1 N m: r2s scales actions by half their range
    )
    ppo = PPO(GymnasiumEnvironment(TASK, WORLDS, seed), config)
    learner, curve, began = ppo.init(jax.random.key(seed)), [], time.process_time()
    for i in range(STEPS // ppo.steps_per_update):
        learner, metrics = ppo.update(learner)
        curve.append(((i + 1) * ppo.steps_per_update, float(metrics["episode/return"])))
    seconds = time.process_time() - began
    final = evaluate(TASK, deterministic(ppo, learner))
    return {"curve": curve, "final": final, "seconds": seconds}


def train_sb3(seed: int) -> dict[str, Any]:
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    class Curve(BaseCallback):
        points: list[tuple[int, float]]

        def _on_step(self) -> bool:
            infos = self.locals["infos"]
            self.ended += [info["episode"]["r"] for info in infos if "episode" in info]
            return True

        def _on_rollout_start(self) -> None:
            self.ended: list[float] = []

        def _on_rollout_end(self) -> None:
            self.points.append((self.num_timesteps, float(np.mean(self.ended))))

    torch.set_num_threads(1)  # fastest for networks this small
    model = PPO(
        "MlpPolicy",
        make_vec_env(TASK, n_envs=WORLDS, seed=seed),
        n_steps=ROLLOUT,
        batch_size=MINIBATCH,
        n_epochs=EPOCHS,
        gamma=DISCOUNT,
        gae_lambda=GAE_LAMBDA,
        clip_range=CLIP,
        learning_rate=RATE,
        ent_coef=0.0,
        seed=seed,
        device="cpu",
    )
    callback, began = Curve(), time.process_time()
    callback.points = []
    model.learn(STEPS, callback=callback)
    seconds = time.process_time() - began
    final = evaluate(TASK, lambda obs: model.predict(obs, deterministic=True)[0])
    return {"curve": callback.points, "final": final, "seconds": seconds}


def report() -> str:
    """The table of every seed's result, means with 95 % intervals, and both learning curves."""
    lines = ["| | r2s | Stable-Baselines3 |", "|---|---|---|"]
    runs = {
        name: [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"{name}-*.json"))]
        for name in ("r2s", "sb3")
    }
    finals = {name: [run["final"] for run in results] for name, results in runs.items()}
    row = lambda label, cell: lines.append(  # noqa: E731
        f"| {label} | {cell('r2s')} | {cell('sb3')} |"
    )
    row("final return, each seed", lambda n: ", ".join(f"{x:.0f}" for x in finals[n]))
    row(
        "final return, mean and 95 % interval",
        lambda n: "{:.0f} ± {:.0f}".format(*interval(finals[n])),
    )
    for i, (steps, _) in list(enumerate(runs["r2s"][0]["curve"]))[3::4]:
        values = {n: [run["curve"][i][1] for run in results] for n, results in runs.items()}
        row(
            f"training return at {steps:,} steps",
            lambda n, values=values: "{:.0f} ± {:.0f}".format(*interval(values[n])),
        )
    seconds = {n: [run["seconds"] for run in results] for n, results in runs.items()}
    row("training, median CPU seconds", lambda n: f"{np.median(seconds[n]):.0f}")
    return "\n".join(lines)


def interval(values: list[float]) -> tuple[float, float]:
    """The mean and the half width of its 95 % interval (Student's t)."""
    quantile = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 10: 2.262}[len(values)]
    return float(np.mean(values)), quantile * float(np.std(values, ddof=1)) / math.sqrt(len(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("train", "report"))
    parser.add_argument("implementation", nargs="?", choices=("r2s", "sb3"))
    parser.add_argument("seeds", nargs="*", type=int)
    arguments = parser.parse_args()
    if arguments.action == "report":
        print(report())
        return
    RESULTS.mkdir(parents=True, exist_ok=True)
    train = train_r2s if arguments.implementation == "r2s" else train_sb3
    for seed in arguments.seeds:
        result = train(seed)
        path = RESULTS / f"{arguments.implementation}-{seed}.json"
        path.write_text(json.dumps(result))
        print(
            arguments.implementation, seed, f"{result['final']:.1f}", f"{result['seconds']:.0f} s"
        )


if __name__ == "__main__":
    main()
