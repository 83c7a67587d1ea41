"""Which device computes and which backend steps the physics, and what machine this is."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from r2s_core import registry
from r2s_core.config import RunConfig, Use
from r2s_core.errors import ConfigError
from r2s_core.system.foreign import calling
from r2s_core.system.text import printable, say_once

#: The packages that results depend on; the last four are those of the algorithms.
_PACKAGES = (
    *("r2s-core", "jax", "jaxlib", "mujoco", "mujoco-mjx", "numpy"),
    *("r2s-algos-common", "flax", "optax", "distrax"),
)


def select_device(use_gpu: bool | None) -> list[str]:
    """Make JAX use a GPU or the CPU, in 32 bits; returns lines for the user, empty where everything
    is as requested.

    JAX_ENABLE_X64, which some users set in their shells, is turned off: tasks, randomizers and
    rewards, third-party ones included, do not specify dtypes, and the carry of a scan may not
    change its dtype.

    use_gpu: False uses the CPU, True requests a GPU and reports if there is none, None uses what
    is available. Call it before anything is computed: JAX initialises its devices here.

    Raises `MachineError` where JAX cannot start the device that environment variables select.
    """
    import jax

    if use_gpu is False:
        jax.config.update("jax_platforms", "cpu")
    with calling("machine"):
        jax.devices()
    lines = []
    if jax.config.read("jax_enable_x64"):
        jax.config.update("jax_enable_x64", False)
        lines.append("JAX_ENABLE_X64 is ignored: r2s computes in 32 bits.")
    return [*lines, *_missing_gpu(use_gpu)]


def _missing_gpu(use_gpu: bool | None) -> list[str]:
    if not use_gpu or has_gpu():
        return []
    if has_nvidia_driver():
        return [
            "training.use_gpu is true and there is an NVIDIA driver, but this JAX cannot use it: "
            "pip install 'jax[cuda13]' (or cuda12 for older drivers); falling back to the CPU."
        ]
    return ["training.use_gpu is true, but no GPU was found; falling back to the CPU."]


def announce(lines: list[str]) -> None:
    """Print the lines of `select_device` on stderr."""
    for line in lines:
        print(printable(line), file=sys.stderr)


def resolve_backend(config: RunConfig) -> RunConfig:
    """`backend: auto` becomes `warp` where JAX sees an NVIDIA GPU, else `mujoco`.

    Call it after `select_device`. Other backends stay as they are.
    """
    if config.backend.use in ("mjx", "warp") and not has_gpu():
        _warn_of_slow_backend(config.backend.use)
    if config.backend.use != "auto":
        return config
    name = "warp" if has_nvidia_gpu() else "mujoco"
    options = registry.get("backend", name).default_options()
    return dataclasses.replace(config, backend=Use(name, options))


def _warn_of_slow_backend(name: str) -> None:
    say_once(  # a run resolves it several times
        f"backend: {name} compiles for minutes and steps slowly without a GPU; "
        "`mujoco`, which `auto` selects here, does neither."
    )


def has_gpu() -> bool:
    """Whether JAX computes on an accelerator."""
    import jax

    return jax.default_backend() != "cpu"


def has_nvidia_gpu() -> bool:
    """Whether JAX computes on an NVIDIA GPU."""
    import jax
    import jax.extend

    return jax.default_backend() == "gpu" and "cuda" in (
        jax.extend.backend.get_backend().platform_version.lower()
    )


def has_nvidia_driver() -> bool:
    """Whether the machine has an NVIDIA driver, whatever JAX was built for."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia").exists()


def hardware() -> dict[str, Any]:
    """The machine that a result was measured on, and the devices of JAX there."""
    import jax

    devices = [device.device_kind for device in jax.devices()]
    return {
        **host(),
        "jax_devices": sorted({f"{devices.count(kind)} x {kind}" for kind in devices}),
    }


def host() -> dict[str, Any]:
    """The machine, without JAX's devices."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_model(),
        "cpu_cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": _memory_gib(),
    }


def versions(*dists: str) -> dict[str, str]:
    """Versions of Python, of r2s's dependencies and of `dists`; without those not installed."""
    found = {"python": platform.python_version()}
    for name in dict.fromkeys((*_PACKAGES, *dists)):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def available_memory() -> int | None:
    """Bytes that an array on JAX's default device can still take; None where unknown."""
    import jax

    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    free = [_free_on_host(), _free_in_container()]
    return min((x for x in free if x is not None), default=None)


def check_memory(needed: float, what: str, advice: str) -> None:
    """Raises `ConfigError` where `needed` bytes are more than JAX's device has.

    Call it before anything is compiled or allocated; otherwise the system may kill the process
    without a message. The message here is "WHAT takes 3.1 TB, but ...; ADVICE".
    """
    free = available_memory()
    # Leave room for the networks, the simulation and the operating system.
    if free is not None and needed > 0.9 * free:
        raise ConfigError(
            f"{what} takes {size_text(needed)}, but only {size_text(free)} of memory is free; "
            f"{advice}"
        )


def size_text(count: float) -> str:
    """A number of bytes in a readable unit: 3.1 TB."""
    for factor, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"


def _free_on_host() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        total = _memory_gib()  # not Linux: the total, which at least catches absurd sizes
        return None if total is None else int(total * 2**30)


def _free_in_container(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What the control group leaves, which the host's figures do not reflect."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        stat = dict(x.split() for x in (folder / "memory.stat").read_text().splitlines())
        used = int((folder / "memory.current").read_text()) - int(stat.get("inactive_file", 0))
        return None if limit == "max" else int(limit) - used
    except (OSError, ValueError):
        return None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
