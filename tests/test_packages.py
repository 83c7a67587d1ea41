"""Each package is a wheel that registers by itself, and scaffolded ones work as they stand."""

import json
import tomllib
import zipfile
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[1]


def test_every_wheel_holds_its_package_and_says_that_it_is_typed(wheels):
    assert {"r2s_core", "r2s_algos/ppo", "r2s_envs/objects", "r2s_envs/pick_place"} <= set(wheels)
    for folder, wheel in wheels.items():
        project = tomllib.loads((REPOSITORY / folder / "pyproject.toml").read_text())["project"]
        module = project["name"].replace("-", "_")
        names = zipfile.ZipFile(wheel).namelist()
        assert f"{module}/__init__.py" in names
        assert f"{module}/py.typed" in names
        (licence,) = (name for name in names if name.endswith(".dist-info/licenses/LICENSE"))
        assert zipfile.ZipFile(wheel).read(licence) == (REPOSITORY / "LICENSE").read_bytes()
        assert not [name for name in names if "tests/" in name and "_template" not in name]
        assert {name.split("/")[0].split("-")[0] for name in names} == {module}


def test_the_citation_is_of_the_version_that_is_here():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    project = tomllib.loads((REPOSITORY / "r2s/pyproject.toml").read_text())["project"]
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]


def test_core_and_each_plugin_register_by_being_installed(wheels, venv):
    venv.pip_install(wheels["r2s_core"], wheels["r2s_algos/common"])
    before = json.loads(venv.r2s("plugins", "--json"))
    assert {row["dist"] for row in before} == {"r2s-core"}
    for folder, kind, name in (
        ("plugins/r2s-rewards-example", "reward", "speed_limit"),
        ("r2s_algos/ppo", "algorithm", "ppo"),
        ("r2s_algos/sac", "algorithm", "sac"),
        ("r2s_algos/ddpg", "algorithm", "ddpg"),
        ("r2s_algos/bc", "algorithm", "bc"),
    ):
        venv.pip_install(wheels[folder])
        after = json.loads(venv.r2s("plugins", "--json"))
        added = [row for row in after if row not in before]
        assert [(row["kind"], row["name"]) for row in added] == [(kind, name)]
        before = after
    venv.r2s("plugins", "--check")  # fails if a manifest or builder cannot be imported


#: One process, as importing everything takes seconds: argv names packages whose every module is
#: imported, then command lines that have to succeed.
_IMPORT_ALL_AND_RUN = """
import importlib, json, pkgutil, sys
from r2s_core.cli import main
packages, commands = map(json.loads, sys.argv[1:])
for top in packages:
    for found in pkgutil.walk_packages(importlib.import_module(top).__path__, f"{top}."):
        if "._template" not in found.name and not found.name.endswith(".__main__"):
            importlib.import_module(found.name)
for command in commands:
    if main(command):
        sys.exit(f"{command} failed")
"""


def test_only_algorithms_need_flax_optax_and_distrax(wheels, venv_without_flax, tmp_path):
    venv = venv_without_flax
    first = ("r2s_core", "r2s_envs/objects", "r2s_envs/robots")
    venv.pip_install(*(wheels[x] for x in first))
    commands = [
        ["plugins", "--check"],
        ["object", "check", "sample:soap"],
        ["object", "fix", "sample:soap", "--no-pictures", "--output", str(tmp_path / "soap")],
    ]
    packages = ["r2s_core", "r2s_envs_objects", "r2s_envs_robots"]
    script = ("-c", _IMPORT_ALL_AND_RUN, json.dumps(packages), json.dumps(commands))
    assert "soap" in venv.run(*script)
    assert (tmp_path / "soap/certificate.html").exists()
    # Of an algorithm, `validate` reads the manifest and the options.
    venv.pip_install(*(path for folder, path in wheels.items() if folder not in first))
    names = ("ppo", "sac", "ddpg", "bc")
    commands = [["validate", "quickstart_rl", f"algorithm={name}"] for name in names]
    commands += [["info", f"algorithm:{name}"] for name in names]
    told = venv.run("-c", _IMPORT_ALL_AND_RUN, "[]", json.dumps(commands), cwd=tmp_path)
    for name, options in zip(names, told.split("\nalgorithm ")[1:], strict=True):
        assert options.startswith(f"{name}:")
        assert "hidden_sizes" in options


KINDS = (
    *("reward", "task", "robot", "algorithm", "randomizer", "hook", "backend"),
    *("camera", "renderer"),
)


def test_scaffolded_packages_pass_their_own_tests(wheels, venv, tmp_path):
    """As a user would: r2s new, pip install -e, pytest; from wheels, so the templates ship."""
    ours = ("r2s_core", "r2s_envs/objects", "r2s_envs/robots", "r2s_envs/pick_place")
    venv.pip_install(*(wheels[x] for x in ours))
    commands = [["new", kind, f"my_{kind}", "--output", str(tmp_path)] for kind in KINDS]
    commands.append(["new", "task", "my_push", "--robot", "panda", "--output", str(tmp_path)])
    venv.run("-c", _IMPORT_ALL_AND_RUN, "[]", json.dumps(commands))
    folders = sorted(tmp_path.glob("r2s-*"))
    assert len(folders) == len(KINDS) + 1
    venv.pip_install(*(x for folder in folders for x in ("-e", folder)))
    listed = venv.r2s("plugins")
    assert all(f"my_{kind}" in listed for kind in KINDS)
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *folders]
    assert " passed" in venv.run(*command, cwd=tmp_path)
