"""`r2s doctor`: what this machine can do, with measurements, and what to fix."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from r2s_core import registry
from r2s_core.errors import R2SError
from r2s_core.plugin import GROUPS, Kind
from r2s_core.system.cache_folder import cache_folder
from r2s_core.system.foreign import debugging, describe, machine_fault
from r2s_core.system.text import printable

#: The kinds of plugins that training needs, and packages that provide them.
_NEEDED: dict[Kind, str] = {
    "environment": "r2s-envs-pick-place",
    "algorithm": "r2s-algos-ppo",
    "backend": "r2s-core",
}
_WORLDS, _SUBSTEPS, _MEASURE_S = 256, 4, 1.0
_SEEN_WORLDS, _SIDE, _SEEN_S = 32, 32, 0.3
_REPORT = "R2S_DEBUG=1 shows where; report it"

#: A box falling beside a two-joint arm: contacts, joints, motors, and quick to compile.
_SCENE = """
<mujoco>
  <option timestep="0.004" integrator="implicitfast" iterations="5" ls_iterations="8"/>
  <worldbody>
    <geom type="plane" size="1 1 .1" contype="1" conaffinity="1"/>
    <body pos="0 0 .1"><freejoint/><geom type="box" size=".03 .03 .03"/></body>
    <body pos=".4 0 .5">
      <joint name="a" axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0 0 .2" size=".02"
        contype="0" conaffinity="0"/>
      <body pos="0 0 .2">
        <joint name="b" axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0 0 .2" size=".02"
          contype="0" conaffinity="0"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="a"/><motor joint="b"/></actuator>
</mujoco>
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.epilog = """examples:
  r2s doctor              check, and measure each physics backend and renderer
  r2s doctor --quick      check only"""
    parser.add_argument(
        "--quick", action="store_true", help="do not measure backends and renderers"
    )


def main(args: argparse.Namespace) -> int:
    """Print the findings; exit 1 if something needs fixing."""
    sections: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("machine", _machine),
        ("versions", _versions),
        ("plugins", _plugins),
        ("rendering", _rendering),
        ("disk", _disk),
    ]
    if not args.quick:
        sections += [("backends", _backends), ("renderers", _renderers)]
    fixes = []
    for title, look in sections:
        print(title)
        for name, value, fix in _patiently(look):
            print(printable(f"  {name:<14} {value}"), flush=True)
            if fix:
                fixes.append(f"{name}: {fix}")
    print("to fix" if fixes else "nothing to fix")
    for fix in fixes:
        print(printable(f"  {fix}"))
    return 1 if fixes else 0


#: Name, what was found, and what to do about it (empty: nothing).
Finding = tuple[str, str, str]


def _patiently(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """One check's findings; its failure is a finding too, so that the other checks still run."""
    try:
        yield from look()
    except Exception as error:
        fix = machine_fault(error) or _REPORT
        yield "failed", describe(error), fix
        if debugging():
            raise


def _machine() -> Iterator[Finding]:
    from r2s_core import device

    found = device.host()
    yield "system", f"{found['system']}, {found['cpu']}", ""
    yield "cpu", f"{found['cpu_cores']} cores, {found['memory_gib']} GiB of memory", ""
    devices, fix = device.hardware()["jax_devices"], ""
    if device.has_nvidia_driver() and not device.has_gpu():
        fix = "there is an NVIDIA driver that JAX cannot use; pip install 'jax[cuda13]'"
    yield "jax", f"computes on {', '.join(devices)}", fix


def _versions() -> Iterator[Finding]:
    from r2s_core import device

    for name, version in device.versions().items():
        yield name, version, ""


def _plugins() -> Iterator[Finding]:
    entries = [entry for kind in GROUPS for entry in registry.discover(kind)]
    with contextlib.redirect_stderr(io.StringIO()):  # MJX prints that Warp is not installed
        broken = [error for entry in entries if (error := registry.check(entry))]
    yield "installed", str(len(entries)), ""
    for error in broken:
        yield "broken", str(error), "see `r2s plugins --check`"
    for line in registry.damaged():
        yield "damaged", line, "remove that package or reinstall it"
    kinds = {entry.kind for entry in entries}
    for kind, package in _NEEDED.items():
        if kind not in kinds:
            yield f"no {kind}", "none is installed", f"pip install {package}"


def _rendering() -> Iterator[Finding]:
    from r2s_core.rendering.render import missing_gl_advice, probe_gl

    interface = probe_gl()
    yield "offscreen", interface or "none", "" if interface else missing_gl_advice()


def _disk() -> Iterator[Finding]:
    """Where runs and caches are written, and whether they can be."""
    for name, folder in (("runs", Path("runs").absolute()), ("cache", cache_folder())):
        if folder is None:
            yield name, "none: this user has no home folder", "set R2S_CACHE_DIR to a folder"
            continue
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free / 2**30
        fix = f"less than 1 GiB is free in {existing}; free some space" if free < 1 else ""
        if not os.access(existing, os.W_OK):
            fix = f"{existing} is not writable; choose another folder"
        yield name, f"{folder}, {free:.1f} GiB free", fix


def _backends() -> Iterator[Finding]:
    """The speed of each physics backend on a small scene, only to compare them."""
    yield from _measured("backend", f"physics steps/s ({_WORLDS} worlds)", _throughput)


def _renderers() -> Iterator[Finding]:
    """The speed of what draws images for cameras, on a small scene, only to compare them."""
    what = f"images/s ({_SEEN_WORLDS} worlds, {_SIDE} x {_SIDE})"
    yield from _measured("renderer", what, _images_per_second)


def _measured(kind: Kind, what: str, measure: Callable[[str], float]) -> Iterator[Finding]:
    """The speed of each installed plugin of a kind, or why there is none."""
    for entry in registry.discover(kind):
        name = entry.name
        try:
            yield name, f"{measure(name):,.0f} {what}", ""
        except R2SError as error:
            yield name, f"not available: {error}", ""
        except Exception as error:
            fix = machine_fault(error) or _REPORT
            yield name, f"failed: {describe(error)[:200]}", fix
            if debugging():
                traceback.print_exception(error)


def _throughput(name: str) -> float:
    """Physics steps per second over all worlds, after compilation."""
    import jax
    import jax.numpy as jnp
    import mujoco

    from r2s_core.types import SceneSpec

    model = mujoco.MjModel.from_xml_string(_SCENE)
    scene = SceneSpec(model, _SUBSTEPS, frozenset({"qpos"}))
    config = registry.get("backend", name).default_options()
    backend: Any = registry.build("backend", name, scene, _WORLDS, config)
    qpos = jnp.tile(jnp.asarray(model.qpos0, jnp.float32), (_WORLDS, 1))
    init, step = backend.init, backend.step
    if backend.traceable:
        init, step = jax.jit(init), jax.jit(step)
    physics = init({}, qpos, jnp.zeros((_WORLDS, model.nv)))
    ctrl = jnp.zeros((_WORLDS, model.nu))
    for _ in range(2):  # stepping the result of the first step may compile again
        physics = jax.block_until_ready(step(physics, ctrl))
    steps, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < _MEASURE_S:
        physics = jax.block_until_ready(step(physics, ctrl))
        steps += _WORLDS * _SUBSTEPS
    return steps / elapsed


def _images_per_second(name: str) -> float:
    """Images per second, once it is compiled."""
    from r2s_core import device
    from r2s_core.env.renderer_choice import images_per_second
    from r2s_core.testing.renderer_kit import seen_scene

    if name == "warp" and not device.has_gpu():  # its kernels alone take longer than all the rest
        raise R2SError("it is for GPUs, and JAX sees none; not measured on this CPU")
    scene = seen_scene(_SIDE, 1, ("rgb",))
    options = registry.get("renderer", name).default_options()
    renderer: Any = registry.build("renderer", name, scene, _SEEN_WORLDS, options)
    try:
        return images_per_second(renderer, scene, _SEEN_S)
    finally:
        getattr(renderer, "close", lambda: None)()
