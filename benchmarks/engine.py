"""The cost of the engine and the learner on top of raw physics, measured side by side in one run.

    python benchmarks/engine.py [--worlds 256] [--object sample:duck] [--backend warp]

A scripted pick is played once and recorded. Then, in turns and on the same scene, raw physics
(the `mujoco.batch` loop, or a compiled scan of `mjx.step`) replays its actuator targets, the engine
replays its actions (with control law, observations, rewards and resets), and PPO trains. Prints a
table, in control steps/s.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import mujoco
import numpy as np
from mujoco import mjx

from r2s_core.config import load_config
from r2s_core.env.build import make_environment
from r2s_core.training.run import make_algorithm

STEPS, TURNS = 60, 5
VELOCITY = int(mujoco.mjtStage.mjSTAGE_VEL)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=int, default=256)
    parser.add_argument("--object", default="sample:duck")
    parser.add_argument("--backend", default="mujoco", choices=["mujoco", "warp"])
    options = parser.parse_args()
    overrides = [
        f"environment.objects=[{options.object}]",
        f"environment.num_parallel_envs={options.worlds}",
        f"backend={options.backend}",
    ]
    config = load_config("configs/quickstart_rl.yaml", overrides)
    env: Any = make_environment(config, training=False)
    start, actions, ctrls, contacts = record(env)
    work = STEPS * options.worlds
    rates = turns(
        {
            "raw physics": replay_raw(env, start, ctrls),
            "engine": replay_engine(env, start, actions),
        },
        work,
    )
    training = make_environment(config, training=True)
    train = Trainer(make_algorithm(config, training))
    updates = max(1, work // train.algorithm.steps_per_update)
    samples = updates * train.algorithm.steps_per_update
    rates |= turns({"training": lambda: train(updates)}, samples)
    print(f"{options.worlds} worlds, {options.object}, contacts per world {contacts:.1f}")
    print_rates(rates)
    raw, engine, trained = (statistics.median(v) for v in rates.values())
    print(f"engine / raw: {engine / raw:.2f} (target 0.85)")
    print(f"training / engine: {trained / engine:.2f} (target 0.50)")


def record(env: Any) -> tuple[Any, Any, Any, float]:
    """The scripted pick: its start, actions and actuator targets, and mean contacts."""
    act = jax.jit(jax.vmap(env.task.expert))

    def one(state: Any, _: Any) -> Any:
        action = act(state.task, state.physics.view)
        state, _ = env.step(state, action)
        return state, (action, state.physics.view.ctrl, contacts(state))

    def contacts(state: Any) -> Any:
        if env.spec.traceable:
            return state.physics.carry._impl.nacon / env.spec.num_worlds
        return np.mean([env.backend._batch.get_data(i).ncon for i in some])

    some = range(0, env.spec.num_worlds, 32)
    length = STEPS - 1  # one short of a time-out: raw physics has no resets
    if env.spec.traceable:
        start, _ = jax.jit(env.reset)(jax.random.key(0))
        _, seen = jax.jit(lambda state: jax.lax.scan(one, state, length=length))(start)
        return start, seen[0], seen[1], float(np.mean(seen[2]))
    start, _ = env.reset(jax.random.key(0))
    state, actions, ctrls, touching = start, [], [], []
    for _ in range(length):
        state, (action, ctrl, some_touch) = one(state, None)
        actions.append(np.asarray(action))
        ctrls.append(np.array(ctrl))
        touching.append(some_touch)
    return start, actions, ctrls, float(np.mean(touching))


def replay_raw(env: Any, start: Any, ctrls: Any) -> Callable[[], None]:
    if env.spec.traceable:
        return _replay_mjx(env, start.physics.carry, ctrls)

    def replay() -> None:
        batch = env.backend._batch
        batch.state[:] = start.physics.carry
        batch.forward(stage=VELOCITY)
        for ctrl in ctrls:
            batch.ctrl[:] = ctrl
            batch.step(nstep=env.scene.substeps, stage=VELOCITY)

    return replay


def _replay_mjx(env: Any, data: Any, ctrls: Any) -> Callable[[], None]:
    model = env.backend._model

    @jax.vmap
    def step(data: Any, ctrl: Any) -> Any:
        data = data.replace(ctrl=ctrl)
        return jax.lax.fori_loop(0, env.scene.substeps, lambda _, d: mjx.step(model, d), data)

    run = jax.jit(lambda data, ctrls: jax.lax.scan(lambda d, c: (step(d, c), None), data, ctrls)[0])
    return lambda: jax.block_until_ready(run(data, ctrls).qpos)


def replay_engine(env: Any, start: Any, actions: Any) -> Callable[[], None]:
    if env.spec.traceable:
        run = jax.jit(
            lambda state, actions: jax.lax.scan(
                lambda state, action: (env.step(state, action)[0], None), state, actions
            )[0]
        )
        return lambda: jax.block_until_ready(run(start, actions).task)

    def replay() -> None:
        state = start
        env.backend._latest = None
        for action in actions:
            state, _ = env.step(state, action)
        jax.block_until_ready(state.task)

    return replay


def print_rates(rates: dict[str, list[float]]) -> None:
    print("| what | control steps/s, median | lowest to highest |\n|---|---|---|")
    for name, values in rates.items():
        middle = statistics.median(values)
        print(f"| {name} | {middle:,.0f} | {min(values):,.0f} to {max(values):,.0f} |")


class Trainer:
    def __init__(self, algorithm: Any) -> None:
        self.algorithm = algorithm
        self.learner = algorithm.init(jax.random.key(0))
        self(2)  # compiles

    def __call__(self, updates: int) -> None:
        for _ in range(updates):
            self.learner, _ = self.algorithm.update(self.learner)
        jax.block_until_ready(self.learner)


def turns(work: dict[str, Callable[[], None]], steps: int) -> dict[str, list[float]]:
    """Steps/s of each, measured in turns after one warm-up round."""
    rates: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(TURNS + 1):
        for name, call in work.items():
            begin = time.perf_counter()
            call()
            if turn:
                rates[name].append(steps / (time.perf_counter() - begin))
    return rates


if __name__ == "__main__":
    main()
