"""README's snippets, run as they stand; training is shortened in the YAML that they name."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import trimesh
import yaml

from r2s_core import cli
from r2s_core.config import load_config, load_mapping
from r2s_core.policy.saved import load_policy
from r2s_deploy import cli as deploy

REPOSITORY = Path(__file__).parents[1]
_BLOCKS = re.findall(
    r"^```(\w+)\n(.*?)^```", (REPOSITORY / "README.md").read_text(), flags=re.DOTALL | re.MULTILINE
)


def _commands(text: str) -> list[list[str]]:
    lines = re.findall(r"^\$ (.*)$", text, flags=re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


_COMMANDS = [
    command for kind, block in _BLOCKS if kind == "console" for command in _commands(block)
]
_SEEN = [
    "training.total_timesteps=1024",
    "environment.num_parallel_envs=32",
    "evaluation.episodes=8",
    "evaluation.num_parallel_envs=8",
    "evaluation.video=false",
]
#: What a command is given beside what README says, so that it takes seconds.
_SHORTER = {
    ("r2s", "run"): _SEEN,
    ("r2s", "run", "sparse"): [
        *_SEEN,
        "demonstrations.episodes=2",
        "algorithms.ppo.cloning_steps=8",
        "evaluation.episodes=0",
    ],
    ("r2s", "run", "vision"): [
        *_SEEN,
        "algorithms.bc.num_batches=4",
        "environment.renderer=rays",
        "evaluation.episodes=0",
    ],
    ("r2s", "eval"): ["--episodes", "8"],
    ("r2s", "replay"): [],
    ("r2s", "compare"): [
        "--seeds",
        "1",
        "--output",
        "runs/compared",
        "evaluation.curve_points=2",
        "evaluation.curve_episodes=8",
        *_SEEN,
    ],
    ("r2s", "object"): [],
    ("r2s", "object", "fix"): ["--no-pictures"],
    ("r2s", "object", "library"): ["--no-pictures"],
    ("r2s", "scene"): [],
    ("r2s", "export"): [],
    ("r2s-deploy", "check"): [],
    ("r2s-deploy", "rehearse"): ["--episodes", "2"],
    ("r2s-deploy", "run"): ["--no-key", "--steps", "2"],
    ("r2s", "new"): [],
    ("r2s", "plugins"): [],
}
#: Run elsewhere: by CI itself, and by test_installers.py and test_packages.py.
_ELSEWHERE = ("git", "make", "source", "pip", "uv")
#: Run by the tests of plugins/r2s-lerobot.
_OF_PAGES = _commands((REPOSITORY / "docs/demonstrations.md").read_text())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what README takes as given: the configurations, and scans of one's own."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(REPOSITORY / "configs", folder / "configs")
    samples = Path(str(files("r2s_envs_objects") / "samples"))
    (folder / "scans").mkdir()
    shutil.copy(samples / "duck.stl", folder / "scan.stl")
    shutil.copy(samples / "soap.ply", folder / "scans/soap.ply")
    mesh = trimesh.load_mesh(samples / "soap.ply")
    _write_pcd(folder / "cloud.pcd", np.hstack([mesh.vertices, mesh.vertex_normals]))
    (folder / "my_reward.py").write_text(_python("my_reward.py"))
    (my_yaml,) = (text for kind, text in _BLOCKS if kind == "yaml" and "my_reward.py" in text)
    (folder / "my.yaml").write_text(my_yaml)
    (cell,) = (text for kind, text in _BLOCKS if kind == "toml")
    (folder / "cell.toml").write_text(
        f"{cell}\n[guard]\nlate_s = 5.0\ncycle_s = 5.0\n"
    )  # CI is busy
    (folder / "grid.yaml").write_text(
        "late: {cases: {50 ms: {randomization.action_delay: {delay: [0.05, 0.05]}}}}\n"
    )
    return folder


def _write_pcd(path: Path, rows: np.ndarray) -> None:
    head = (
        "VERSION .7\nFIELDS x y z normal_x normal_y normal_z\nSIZE 4 4 4 4 4 4\nTYPE F F F F F F\n"
        f"COUNT 1 1 1 1 1 1\nWIDTH {len(rows)}\nHEIGHT 1\nPOINTS {len(rows)}\nDATA ascii\n"
    )
    path.write_text(head + "\n".join(" ".join(f"{x:.6f}" for x in row) for row in rows) + "\n")


def test_every_snippet_is_of_a_kind_that_is_tested_here():
    assert {kind for kind, _ in _BLOCKS} == {"console", "yaml", "python", "toml"}
    for command in _COMMANDS:
        elsewhere = command[0] in _ELSEWHERE or command in _OF_PAGES
        assert elsewhere or tuple(command[:2]) in _SHORTER, command


def test_what_make_is_asked_for_is_in_the_makefile():
    makefile = (REPOSITORY / "Makefile").read_text()
    asked = {command[1] for command in _COMMANDS if command[0] == "make"}
    contributing = (REPOSITORY / "CONTRIBUTING.md").read_text()
    for target in asked | set(re.findall(r"^\$ make (\w+)", contributing, flags=re.MULTILINE)):
        assert f"\n{target}:" in makefile


@pytest.mark.parametrize("block", [text for kind, text in _BLOCKS if kind == "yaml"])
def test_a_yaml_snippet_is_valid(block, place, monkeypatch):
    monkeypatch.chdir(place)
    load_mapping(yaml.safe_load(block))


@pytest.fixture(scope="module")
def as_run(place: Path) -> Path:
    """The run folder that `make run` leaves, of a shorter training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        _run("run", "quickstart", *_SEEN)
    return shutil.copytree(place / "runs/quickstart", place / "as_run")


def test_the_commands_do_what_they_say(place, as_run, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "home"))  # where trust is remembered
    for command in _COMMANDS:
        if command[0] == "r2s" and command not in _OF_PAGES:
            found = command[1:3] == ["object", "check"]  # which exits with 1 where it warns
            shorter = _SHORTER.get(tuple(command[:3]), _SHORTER[tuple(command[:2])])
            if "--robustness" in command:
                shorter = [*shorter, "--grid", "grid.yaml"]
            if command[1] == "replay":  # so short a training fails in its own way
                command = [*command[:2], str(next(place.glob("runs/quickstart/failures-1/*.npz")))]
            _run(*command[1:], *shorter, expected=int(found))
        elif command[0] == "r2s-deploy":
            assert deploy.main([*command[1:], *_SHORTER[tuple(command[:2])]]) == 0
    for made in (
        "outputs/reconstructed_objects/scan/certificate.html",
        "runs/my_scan/report.html",
        "runs/quickstart/robustness.html",
        "runs/compared/compare.html",
        "scene.xml",
        "r2s-rewards-slow-motion/pyproject.toml",
    ):
        assert (place / made).is_file(), made
    assert yaml.safe_load((place / "runs/my_scan/config.yaml").read_text())["name"] == "my_scan"


def test_the_python_snippets_train_what_the_command_line_trains(place, as_run, monkeypatch, capsys):
    """To the last bit, so in the same environment and with the same options."""
    monkeypatch.chdir(place)
    shutil.rmtree(place / "runs", ignore_errors=True)
    path = place / "configs/quickstart.yaml"
    whole = path.read_text()
    path.write_text(yaml.safe_dump(load_config(path, _SEEN).resolved()))
    try:
        exec(compile(_python("Real2SimTrainer"), "README.md", "exec"), {})
    finally:
        path.write_text(whole)
    streams = capsys.readouterr()
    assert "The environment that was passed in" not in streams.err
    trained, expected = (
        json.loads((folder / "result.json").read_text())
        for folder in (place / "runs/quickstart", as_run)
    )
    assert trained["metrics"] == expected["metrics"]
    assert float(streams.out.split()[-1]) == trained["success_rate"]
    tensors = load_policy(as_run).tensors
    for name, tensor in load_policy(place / "runs/quickstart").tensors.items():
        assert tensor.tobytes() == tensors[name].tobytes(), name
    exec(compile(_python("r2s.load"), "README.md", "exec"), {})
    assert 0.0 <= float(capsys.readouterr().out) <= 1.0  # the policy as README calls it


def _python(word: str) -> str:
    (block,) = (text for kind, text in _BLOCKS if kind == "python" and word in text)
    return block


def _run(*arguments: str, expected: int = 0) -> None:
    assert cli.main([*arguments]) == expected, arguments
