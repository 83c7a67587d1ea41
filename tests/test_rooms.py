"""The order of the house: no import runs in a circle, and between rooms none runs up."""

from __future__ import annotations

import ast
import graphlib
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGES = {
    path.name: path
    for path in REPOSITORY.glob("**/src/r2s*")
    if not {"_template", ".venv", "build"} & set(path.relative_to(REPOSITORY).parts)
}
#: The rooms and the modules that stand alone, from the ground up.
ROOMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "r2s_core": (
        ("errors", "suggest", "plugin", "gripper"),
        ("system",),
        ("registry", "ranges"),
        ("config",),
        (
            *("policy_export", "camera", "deployment", "look_fields", "task_info", "types"),
            *("hooks", "device", "keys", "robot"),
        ),
        ("draw", "rotation", "rollout"),
        ("policy", "loggers"),
        ("backends",),
        ("mjcf",),
        ("env",),
        ("demonstrations",),
        ("record",),
        ("pages",),
        ("evaluation",),
        ("rendering",),
        ("cameras",),
        ("numpy_env",),
        ("report",),
        ("training",),
        ("testing",),
        ("compare",),
        ("cli",),
        ("__main__",),
    ),
    "r2s_algos_common": (
        ("metrics", "networks", "normalize", "noise", "optimizer", "schedules", "gaussian"),
        ("encoders",),
        ("checks", "cloning", "collect_and_learn"),
        ("demonstrations",),
        ("off_policy",),
    ),
    "r2s_envs_objects": (
        ("materials", "names", "object_folder", "samples"),
        ("options",),
        ("asset",),
        ("guard",),
        ("mesh",),
        ("formats",),
        ("scan",),
        ("behaviour",),
        ("store",),
        ("preparation",),
        ("certificate",),
        ("reconstruct",),
        ("commands",),
        ("cli",),
    ),
    "r2s_envs_robots": (
        ("parts", "shapes"),
        ("panda", "ur5e_2f85"),
        ("control",),
        ("described",),
        ("plugin",),
    ),
    "r2s_deploy": (
        ("errors", "rotation", "charts", "png"),
        ("transform", "documents", "robot", "camera"),
        ("arm", "franka", "webcam", "graph"),
        ("sensed", "smooth", "hand"),
        ("facts",),
        ("bundle",),
        ("policy", "examples", "watch", "naming", "pose", "eyes"),
        ("decide", "log", "cell", "dead_man", "carried", "testing"),
        ("recorded",),
        ("check", "episode", "shadow", "simulated"),
        ("loop",),
        ("page", "rehearse", "robots", "equip"),
        ("drive",),
        ("cli",),
    ),
    "r2s_identify": (
        ("arm",),
        ("recording", "parameters", "excitation"),
        ("grasp", "guess", "told", "record"),
        ("fit",),
        ("identify",),
        ("propose", "write"),
        ("commands",),
        ("cli",),
        ("plugin",),
    ),
    "r2s_envs_pick_place": (
        ("config",),
        ("scene",),
        ("task",),
        ("hold",),
        ("plugin", "interface"),
    ),
}


def _modules(package: str) -> dict[str, Path]:
    root = PACKAGES[package]
    found = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root.parent).with_suffix("").parts
        if "_template" not in parts:
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _imports(path: Path, modules: dict[str, Path]) -> set[str]:
    """The modules of the same package that one imports, within functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                names.add(module if module in modules else str(node.module))
    return names & modules.keys()


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_no_import_runs_in_a_circle(package):
    modules = _modules(package)
    graph = {name: _imports(path, modules) - {name} for name, path in modules.items()}
    graph[package] = set()  # its face imports from within, and is imported from there
    try:
        list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_package_imports_only_those_of_ours_that_it_depends_on(package):
    file = PACKAGES[package].parents[1] / "pyproject.toml"
    dependencies = tomllib.loads(file.read_text())["project"]["dependencies"]
    allowed = {name.partition(">=")[0].replace("-", "_") for name in dependencies} | {package}
    everything = {name: path for other in PACKAGES for name, path in _modules(other).items()}
    imported = {
        target.partition(".")[0]
        for path in _modules(package).values()
        for target in _imports(path, everything)
    }
    assert imported <= allowed


@pytest.mark.parametrize("package", ROOMS)
def test_between_rooms_no_import_runs_up(package):
    """But to and from the package's face, which offers what lies within to others."""
    rank = {name: i for i, room in enumerate(ROOMS[package]) for name in room}
    assert len(rank) == sum(map(len, ROOMS[package])), "a room stands twice in the order"
    modules = _modules(package)
    assert {name.split(".")[1] for name in modules if name != package} == rank.keys()
    up = [
        f"{name} imports {target}"
        for name, path in modules.items()
        for target in _imports(path, modules)
        if package not in (name, target) and rank[target.split(".")[1]] > rank[name.split(".")[1]]
    ]
    assert up == []
