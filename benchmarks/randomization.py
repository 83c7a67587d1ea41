"""The cost of randomizing everything, measured side by side in one run.

    python benchmarks/randomization.py [--worlds 256] [--backend warp]

The quickstart's scripted pick is recorded and replayed, in turns, by the engine as it is and with
every randomizer of configs/randomized.yaml and some more: prints a table, in control steps/s.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import jax
from engine import STEPS, print_rates, record, replay_engine, turns

from r2s_core.config import load_config
from r2s_core.env.build import make_environment

#: Beside those of configs/randomized.yaml.
MORE = (
    "randomization.push={bodies: [object], force: [0.0, 1.0], duration: 0.2}",
    "randomization.action_noise={std: 0.05}",
    "randomization.inertia={bodies: [object]}",
    "randomization.contact_softness={geoms: ['object_*']}",
    "randomization.joint_damping={joints: ['joint*']}",
    "randomization.armature={joints: ['joint*']}",
    "randomization.actuator_force={}",
    "randomization.gravity={}",
    "randomization.sensor_dropout={readings: ['object_*']}",
    "randomization.sensor_quantization={readings: [object_position]}",
    "randomization.object_mass={}",
    "randomization.object_friction={}",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=int, default=256)
    parser.add_argument("--backend", default="mujoco", choices=["mujoco", "warp"])
    options = parser.parse_args()
    worlds, path = options.worlds, "configs/randomized.yaml"
    common = [f"environment.num_parallel_envs={worlds}", f"backend={options.backend}"]
    plain: Any = make_environment(
        load_config(path, [*common, "randomization={}", "curriculum={}"]), training=False
    )
    varied: Any = make_environment(load_config(path, [*common, *MORE]), training=False)
    start, actions, _, contacts = record(plain)
    reset = jax.jit(varied.reset) if varied.spec.traceable else varied.reset
    varied_start, _ = reset(start.key)
    rates = turns(
        {
            "as it is": replay_engine(plain, start, actions),
            "everything randomized": replay_engine(varied, varied_start, actions),
        },
        STEPS * worlds,
    )
    print(f"{worlds} worlds, contacts per world {contacts:.1f}")
    print_rates(rates)
    as_is, all_of_it = (statistics.median(v) for v in rates.values())
    print(f"randomized / as it is: {all_of_it / as_is:.2f} (target 0.90)")


if __name__ == "__main__":
    main()
