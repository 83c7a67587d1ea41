"""Each package is a wheel that registers by itself, and scaffolded ones work as they stand."""

import json
import tomllib
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def test_every_wheel_holds_its_package_and_says_that_it_is_typed(wheels):
    assert {"r2s_core", "r2s_algos/ppo", "r2s_envs/objects", "r2s_envs/pick_place"} <= set(wheels)
    for folder, wheel in wheels.items():
        project = tomllib.loads((REPOSITORY / folder / "pyproject.toml").read_text())["project"]
        module = project["name"].replace("-", "_")
        names = zipfile.ZipFile(wheel).namelist()
        assert f"{module}/__init__.py" in names
        assert f"{module}/py.typed" in names
        assert not [name for name in names if "tests/" in name and "_template" not in name]
        assert {name.split("/")[0].split("-")[0] for name in names} == {module}


def test_core_and_each_plugin_register_by_being_installed(wheels, venv):
    venv.pip_install(wheels["r2s_core"])
    before = json.loads(venv.r2s("plugins", "--json"))
    assert {row["dist"] for row in before} == {"r2s-core"}
    for folder, kind, name in (
        ("plugins/r2s-rewards-example", "reward", "speed_limit"),
        ("r2s_algos/ppo", "algorithm", "ppo"),
        ("r2s_algos/sac", "algorithm", "sac"),
        ("r2s_algos/ddpg", "algorithm", "ddpg"),
    ):
        venv.pip_install(wheels[folder])
        after = json.loads(venv.r2s("plugins", "--json"))
        added = [row for row in after if row not in before]
        assert [(row["kind"], row["name"]) for row in added] == [(kind, name)]
        before = after
    venv.r2s("plugins", "--check")  # fails if a manifest or builder cannot be imported


KINDS = ("reward", "task", "algorithm", "randomizer", "hook", "backend")


def test_scaffolded_packages_pass_their_own_tests(wheels, venv, tmp_path):
    """As a user would: r2s new, pip install -e, pytest; from wheels, so the templates ship."""
    venv.pip_install(*(wheels[x] for x in ("r2s_core", "r2s_envs/objects", "r2s_envs/pick_place")))
    for kind in KINDS:
        venv.r2s("new", kind, f"my_{kind}", "--output", tmp_path)
    venv.r2s("new", "task", "my_push", "--robot", "panda", "--output", tmp_path)
    folders = sorted(tmp_path.glob("r2s-*"))
    assert len(folders) == len(KINDS) + 1
    venv.pip_install(*(x for folder in folders for x in ("-e", folder)))
    listed = venv.r2s("plugins")
    assert all(f"my_{kind}" in listed for kind in KINDS)
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *folders]
    assert " passed" in venv.run(*command, cwd=tmp_path)
