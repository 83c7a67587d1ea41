"""What randomizing everything costs, measured side by side in one run.

    python benchmarks/randomization.py [--worlds 256]

The quickstart's scripted pick is recorded and replayed, in turns, by the engine as it is and with
every randomizer of configs/randomized.yaml and some more: prints a table, in control steps/s.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from engine import STEPS, record, replay_engine, turns

from r2s_core.build import make_environment
from r2s_core.config import load_config

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
    worlds = parser.parse_args().worlds
    path, common = "configs/randomized.yaml", [f"environment.num_parallel_envs={worlds}"]
    plain: Any = make_environment(
        load_config(path, [*common, "randomization={}", "curriculum={}"]), training=False
    )
    varied: Any = make_environment(load_config(path, [*common, *MORE]), training=False)
    start, actions, _, contacts = record(plain)
    varied_start, _ = varied.reset(start.key)
    rates = turns(
        {
            "as it is": lambda: replay_engine(plain, start, actions),
            "everything randomized": lambda: replay_engine(varied, varied_start, actions),
        },
        STEPS * worlds,
    )
    print(f"{worlds} worlds, contacts per world {contacts:.1f}")
    print("| what | control steps/s, median | lowest to highest |\n|---|---|---|")
    for name, values in rates.items():
        middle = statistics.median(values)
        print(f"| {name} | {middle:,.0f} | {min(values):,.0f} to {max(values):,.0f} |")
    as_is, all_of_it = (statistics.median(v) for v in rates.values())
    print(f"randomized / as it is: {all_of_it / as_is:.2f} (target 0.90)")


if __name__ == "__main__":
    main()
