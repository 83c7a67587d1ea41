"""How many images a second each renderer draws, beside `mujoco.Renderer`, of the quickstart.

    python benchmarks/vision.py renderers [--sides 16 32 64 128] [--turns 3] [--seconds 1]

What cameras see of the quickstart (`SceneSpec.camera_spec`), in start states of many worlds, from
one camera and from two. The renderers and `mujoco.Renderer` (one process; once as it comes, and
once with its multisampling, shadows and so on turned off) draw in turns. Prints tables of median
images a second, and of the CPU time of one image over all processes and threads, which says more
where other programs run (on Linux).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core import device, registry
from r2s_core.camera import Camera
from r2s_core.config import load_config
from r2s_core.env.camera_rig import seen_with
from r2s_core.errors import R2SError
from r2s_core.rendering import render
from r2s_core.types import SeenScene

PLAIN, LEAN = "mujoco.Renderer", "mujoco.Renderer, lean"
_OFF = ("SHADOW", "REFLECTION", "SKYBOX", "FOG", "HAZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=["renderers"])
    parser.add_argument("--sides", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--reference", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reference is not None:
        reference(options.reference)
        return
    device.announce(device.select_device(None))
    load = os.getloadavg()[0]
    found: dict[str, list[Cost]] = {}
    columns = [(side, count) for count in (1, 2) for side in options.sides]
    for side, count in columns:
        costs = measure(side, count, options.turns, options.seconds)
        for name, cost in costs.items():
            found.setdefault(name, []).append(cost)
        told = {n: f"{c.images:,.0f}/s, {1e6 * c.cpu:,.0f} us" for n, c in costs.items()}
        print(side, count, told, flush=True)
    host = device.host()
    print(f"\n{host['cpu_cores']} cores of {host['cpu']}, load before {load:.1f}, ", end="")
    print(f"JAX on {', '.join(device.hardware()['jax_devices'])}\n")
    print_table("images/s", columns, {n: [c.images for c in costs] for n, costs in found.items()})
    cpu = {n: [1e6 * c.cpu for c in costs] for n, costs in found.items()}
    print_table("CPU us per image", columns, cpu)


@dataclasses.dataclass(frozen=True)
class Cost:
    """images: a second. cpu: s of one image, over all processes and threads."""

    images: float
    cpu: float


def print_table(what: str, columns: list[tuple[int, int]], rows: dict[str, list[float]]) -> None:
    """As Markdown, with each renderer's multiple of `mujoco.Renderer` as it comes."""
    titles = [f"{side} x {side}, {n} camera{'s' * (n > 1)}" for side, n in columns]
    print(f"| {what} | {' | '.join(titles)} |\n|---|{'---|' * len(columns)}")
    for name, values in rows.items():
        cells = [f"{float(f'{value:.3g}'):,.0f}" for value in values]
        if name not in (PLAIN, LEAN):
            pairs = zip(values, rows[PLAIN], strict=True)
            ratios = [max(value / plain, plain / value) for value, plain in pairs]
            better = [
                (v > p) == (what == "images/s") for v, p in zip(values, rows[PLAIN], strict=True)
            ]
            marks = [f"{r:.1f}" if b else f"1/{r:.1f}" for r, b in zip(ratios, better, strict=True)]
            cells = [f"{cell} ({mark})" for cell, mark in zip(cells, marks, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")
    print()


def measure(side: int, count: int, turns: int, seconds: float) -> dict[str, Cost]:
    """By renderer, the medians of turns."""
    scene, states = quickstart(side, count, worlds=256 if side <= 32 else 64)
    opened: dict[str, Any] = {}
    for name in ("rays", "gl", "warp"):
        if name == "warp" and not device.has_gpu():
            continue
        try:
            options = registry.get("renderer", name).default_options()
            opened[name] = registry.build("renderer", name, scene, len(states[0]), options)
        except R2SError as error:
            print(error, file=sys.stderr)
    drawers = {name: drawer(renderer, scene, states) for name, renderer in opened.items()}
    costs: dict[str, list[Cost]] = {}
    with Reference(scene, states) as plain:
        for _ in range(turns):
            for name, draw in drawers.items():
                pids = [p.pid for p in opened[name]._workers._processes] if name == "gl" else []
                costs.setdefault(name, []).append(cost(draw, seconds, pids))
            for name, lean in ((PLAIN, False), (LEAN, True)):
                costs.setdefault(name, []).append(plain.cost(lean, seconds))
    for renderer in opened.values():
        getattr(renderer, "close", lambda: None)()
    return {
        name: Cost(*(statistics.median(getattr(c, key) for c in each) for key in ("images", "cpu")))
        for name, each in costs.items()
    }


def quickstart(side: int, count: int, worlds: int) -> tuple[SeenScene, tuple[Any, Any]]:
    """The scene with `count` of the task's cameras, and start states: qpos and mocap_pos."""
    environment = load_config("quickstart").environment
    task: Any = registry.build("environment", environment.use, environment.options)
    own: dict[str, Camera] = task.info.cameras
    chosen = {n: dataclasses.replace(own[n], size=(side, side)) for n in [*own][:count]}
    model = seen_with(chosen, task, task.scene()).model
    keys = jax.random.split(jax.random.key(0), worlds)
    _, qpos, _ = jax.jit(jax.vmap(task.init))(keys, jnp.zeros(worlds, jnp.int32))
    mocap = model.body_pos[model.body_mocapid >= 0].astype(np.float32)
    return SeenScene(model, chosen), (np.asarray(qpos), np.repeat(mocap[None], worlds, axis=0))


def drawer(renderer: Any, scene: SeenScene, states: tuple[Any, Any]) -> Callable[[], int]:
    """Draws all worlds and cameras once, compiled, and returns how many images these are."""
    worlds = len(states[0])
    due = {name: np.ones(worlds, bool) for name in scene.cameras}
    function = jax.jit(renderer.render) if renderer.traceable else renderer.render

    def draw() -> int:
        jax.block_until_ready(function(*states, {}, due))
        return worlds * len(due)

    for _ in range(2):
        draw()
    return draw


def cost(draw: Callable[[], int], seconds: float, workers: Sequence[int] = ()) -> Cost:
    """workers: numbers of the processes that draw too."""
    images, start, cpu = 0, time.perf_counter(), cpu_time(workers)
    while (elapsed := time.perf_counter() - start) < seconds:
        images += draw()
    return Cost(images / elapsed, (cpu_time(workers) - cpu) / images)


def cpu_time(workers: Sequence[int]) -> float:
    """Seconds of this process and of others, all their threads."""
    stats = [Path(f"/proc/{number}/stat").read_text().rpartition(")")[2] for number in workers]
    ticks = sum(int(part) for stat in stats for part in stat.split()[11:13])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


class Reference:
    """`mujoco.Renderer` in a process of its own, since MUJOCO_GL is fixed at import."""

    def __init__(self, scene: SeenScene, states: tuple[Any, Any]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        mujoco.mj_saveModel(scene.model, str(folder / "model.mjb"))
        np.save(folder / "qpos.npy", states[0])
        sizes = {name: camera.size for name, camera in scene.cameras.items()}
        (folder / "cameras.json").write_text(json.dumps(sizes))
        interface = render.probe_gl()
        if interface is None:
            raise R2SError(render.missing_gl_advice())
        self._process = subprocess.Popen(
            [sys.executable, __file__, "renderers", "--reference", str(folder)],
            env=render.worker_environment(interface),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def cost(self, lean: bool, seconds: float) -> Cost:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps([lean, seconds]) + "\n")
        stdin.flush()
        return Cost(*json.loads(stdout.readline()))

    def __enter__(self) -> Reference:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._folder.cleanup()


def reference(folder: Path) -> None:
    """Answers each line of standard input, whether to draw lean and for how long, with the cost."""
    states = np.load(folder / "qpos.npy")
    cameras = json.loads((folder / "cameras.json").read_text())
    draw = {lean: reference_drawer(folder, states, cameras, lean) for lean in (False, True)}
    for line in sys.stdin:
        lean, seconds = json.loads(line)
        print(json.dumps(dataclasses.astuple(cost(draw[lean], seconds))), flush=True)


def reference_drawer(
    folder: Path, states: np.ndarray, cameras: dict[str, tuple[int, int]], lean: bool
) -> Callable[[], int]:
    model = mujoco.MjModel.from_binary_path(str(folder / "model.mjb"))
    if lean:
        model.vis.quality.offsamples = 0
    data, (width, height) = mujoco.MjData(model), next(iter(cameras.values()))
    renderer: Any = mujoco.Renderer(model, height, width)
    if lean:
        for name in _OFF:
            renderer.scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{name}")] = 0
    turn = 0

    def draw() -> int:
        nonlocal turn
        data.qpos[:] = states[turn % len(states)]
        turn += 1
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        for name in cameras:
            renderer.update_scene(data, camera=name)
            renderer.render()
        return len(cameras)

    draw()
    return draw


if __name__ == "__main__":
    main()
