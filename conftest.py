"""What every test of this repository stands on."""

import gc
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pytest

# Loaded before pytest names test modules after the folder of that name: with
# `--import-mode=importlib`, `r2s_core/tests/test_x.py` becomes the module `r2s_core.tests.test_x`,
# and pytest would make the folder `r2s_core/` (or `r2s/`) its parent package.
import r2s  # noqa: F401
import r2s_core  # noqa: F401

#: A sixth of the time for a step of MJX on a CPU. The user's own XLA_FLAGS come after and win.
#: Two processes test at once, so splitting one program between compiler threads gains nothing.
_COMPILE_FAST = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    " --xla_cpu_parallel_codegen_split_count=1"
)
_KEEP_COMPILED_S = 7 * 24 * 3600.0


@pytest.fixture(autouse=True)
def _own_config_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test trusts, the user has not trusted."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))
    monkeypatch.setattr("r2s_core.system.trust._trusted", set())


def pytest_configure(config: pytest.Config) -> None:
    """What the processes of one run share: prepared objects, and what JAX has compiled."""
    if not hasattr(config, "workerinput"):  # set in a worker of pytest-xdist, which inherits it
        os.environ["R2S_CACHE_DIR"] = tempfile.mkdtemp(prefix="r2s-tests-")
    _share_compiled(config)


def pytest_collection_finish() -> None:
    """What all modules have imported by now stays, so the garbage collector need not look at it;
    and MuJoCo Warp's kernels are compiled without optimizing them, in two thirds of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # JAX's tracing makes many objects, few of them in cycles
    if warp := sys.modules.get("warp"):  # which MJX imports, where it is installed
        warp.config.optimization_level = 0


def pytest_unconfigure(config: pytest.Config) -> None:
    """Forget the prepared objects: the next run's pipeline may differ."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ["R2S_CACHE_DIR"], ignore_errors=True)


def _share_compiled(config: pytest.Config) -> None:
    """Compile fast rather than fast code, and let all processes share what JAX has compiled.

    Compiling is most of what these tests do. `pytest --cache-clear` forgets it all.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _COMPILE_FAST not in flags:
        os.environ["XLA_FLAGS"] = f"{_COMPILE_FAST} {flags}".strip()
    # Where in the source each operation came from, which only profilers ask for.
    os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
    cache = getattr(config, "cache", None)  # none with `-p no:cacheprovider`
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or cache is None:
        return  # the user's own, or a worker of pytest-xdist, which has it from whom it works for
    compiled = Path(cache.mkdir("jax"))
    for file in compiled.iterdir():
        if file.stat().st_mtime < time.time() - _KEEP_COMPILED_S:
            file.unlink(missing_ok=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(compiled)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
