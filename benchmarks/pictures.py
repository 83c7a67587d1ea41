"""Makes README's pictures anew.

    r2s run quickstart
    python benchmarks/pictures.py runs/quickstart [--robot PANDA.xml]

benchmarks/quickstart.webp: four tiles of episodes of the run's own evaluation, as they came.
benchmarks/certificate.png: the top of the certificate of `sample:duck`, by headless Chromium.
--robot draws the arm with the meshes of a model of the Panda, MuJoCo Menagerie's say, instead of
the built-in looks; nothing else changes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import mujoco
from PIL import Image

from r2s_core import cli, device
from r2s_core.config import load_config
from r2s_core.env import build
from r2s_core.evaluation import evaluate
from r2s_core.policy.saved import load_policy
from r2s_core.rendering.pictures import film
from r2s_core.robot import VISUAL_GROUP
from r2s_core.types import HasScene
from r2s_envs_robots.panda.menagerie import copy_visuals

HERE = Path(__file__).parent
EPISODES, QUALITY = 8, 62
WIDTH, HEIGHT = 1000, 1374  # of the certificate's picture


def main(arguments: Sequence[str] | None = None) -> None:
    """Write both pictures beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--robot", type=Path)
    args = parser.parse_args(arguments)
    policy_at_work(args.run, args.robot, HERE / "quickstart.webp")
    certificate(HERE / "certificate.png")


def policy_at_work(run: Path, robot: Path | None, path: Path) -> None:
    """An animated WebP of the first episodes of a run's evaluation."""
    device.select_device(False)
    config = load_config(run / "config.yaml", evaluate.UNUSED)
    config = device.resolve_backend(config)
    env = build.make_environment(config, evaluate.num_worlds(config), training=False)
    played = evaluate.play(config, load_policy(run), env, record=True).recordings[:EPISODES]
    assert isinstance(env, HasScene)
    assert env.scene.render_spec is not None
    spec = env.scene.render_spec(0)
    if robot is not None:
        _dress(spec, mujoco.MjModel.from_xml_path(str(robot)))
    model = spec.compile()
    frames, fps = film({id(r): model for r in played}, played, env.spec.task, env.spec.control_dt)
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(
        path,
        save_all=True,
        append_images=images[1:],
        duration=round(1000 / fps),
        loop=0,
        quality=QUALITY,
        method=6,
    )


def _dress(spec: mujoco.MjSpec, robot: mujoco.MjModel) -> None:
    """Replace the looks of the bodies that `robot` has too."""
    names = [robot.body(i).name for i in range(1, robot.nbody)]
    for name in names:
        body = spec.body(name)
        for geom in list(body.geoms) if body is not None else []:
            if geom.group == VISUAL_GROUP:
                spec.delete(geom)
    copy_visuals(robot, spec)


def certificate(path: Path) -> None:
    """A picture of the certificate of a sample."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        if cli.main(["object", "fix", "sample:duck", "--mass", "0.1"]):
            raise SystemExit("the sample was not certified")
        page = Path("outputs/reconstructed_objects/duck/certificate.html").resolve()
        shot = Path("page.png").resolve()
        subprocess.run(
            [
                os.environ.get("CHROMIUM", "chromium"), "--headless", "--no-sandbox",
                "--hide-scrollbars", "--blink-settings=preferredColorScheme=1",
                "--virtual-time-budget=3000", f"--window-size={WIDTH},{HEIGHT}",
                f"--screenshot={shot}", page.as_uri(),
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
        Image.open(shot).convert("RGB").quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    main()
