"""`r2s eval` and the Python interface judge what a run saved, by the same engine."""

import errno
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import r2s_core.env.build
from r2s_core.config import load_config, load_mapping
from r2s_core.errors import ConfigError, R2SError
from r2s_core.evaluation.evaluate import _next_path, announcement, evaluate_run
from r2s_core.policy.saved import PolicyError, load_policy
from r2s_core.training.trainer import Real2SimTrainer

SOURCE = Path(__file__).with_name("tiny_plugin.py")
POINTS = {
    "r2s.environments": {"touch": "tiny_plugin:ENVIRONMENT"},
    "r2s.algorithms": {"climb": "tiny_plugin:ALGORITHM"},
}


@pytest.fixture
def config(tmp_path, install, monkeypatch):
    """A mapping that describes a run of the tiny task, with the engine standing on it."""
    install("tiny-task", POINTS, {"tiny_plugin": SOURCE.read_text()})
    from tiny_plugin import touch  # type: ignore[import-not-found]

    def make_environment(config, num_worlds, *, training):
        env = touch(num_worlds, host_driven=config.backend.use == "mujoco")
        env.made_for_training = training
        return env

    monkeypatch.setattr(r2s_core.env.build, "make_environment", make_environment)
    return {
        "name": "tiny",
        "output": str(tmp_path / "tiny"),
        "backend": "mujoco",
        "environment": {"use": "touch", "num_parallel_envs": 64},
        "training": {"total_timesteps": 6400},
        "evaluation": {"episodes": 256, "num_parallel_envs": 64},
        "algorithms": {"climb": {}},
    }


def test_the_python_interface_trains_and_evaluates(config, tmp_path):
    trainer = Real2SimTrainer(config)
    env = trainer.create_environment()
    assert env.spec.num_worlds == 64

    result = trainer.train(env)
    assert result["success_rate"] > 0.9
    assert (tmp_path / "tiny" / "report.html").exists()

    again = trainer.evaluate_model()
    # The same policy on the same episodes, whoever asks.
    assert again["success_rate"] == result["success_rate"]
    more = trainer.evaluate_model(tmp_path / "tiny" / "policy", episodes=600)
    assert more["episodes"] == 640
    assert {"eval-1.json", "eval-2.json"} <= {p.name for p in (tmp_path / "tiny").iterdir()}


def test_a_policy_that_stands_alone_is_judged_in_the_trainers_own_environment(config, tmp_path):
    result = Real2SimTrainer(config).train()
    (tmp_path / "tiny" / "policy").rename(tmp_path / "policy")
    alone = tmp_path / "elsewhere"
    alone.mkdir()
    (tmp_path / "policy").rename(alone / "policy")
    assert (
        Real2SimTrainer(config).evaluate_model(alone / "policy")["success_rate"]
        == (result["success_rate"])
    )


def test_an_environment_of_the_users_own_is_the_one_trained_in(config):
    from tiny_plugin import touch  # type: ignore[import-not-found]

    result = Real2SimTrainer(config).train(touch(32))
    assert result["env_steps"] == 6400
    assert len(load_policy(config["output"]).contract["action"]["names"]) == 1
    saved = load_config(Path(config["output"]) / "config.yaml")
    assert saved.environment.engine.num_parallel_envs == 32


def test_train_ppo_trains_with_what_is_configured_as_ppo(config, monkeypatch):
    ran = []
    monkeypatch.setattr("r2s_core.training.trainer.run", lambda config, **_: ran.append(config))
    two = {"climb": {}, "ppo": {"use": "climb", "sigma": 0.7}}
    Real2SimTrainer({**config, "algorithms": two, "algorithm": "climb"}).train_ppo()
    assert ran[0].algorithm == "ppo"
    assert ran[0].chosen_algorithm.options.sigma == 0.7


def test_the_trainer_takes_a_file_a_mapping_or_a_loaded_configuration(config, tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(config))
    a, b, c = (Real2SimTrainer(x).config for x in (path, config, load_mapping(config)))
    assert a == b == c
    with pytest.raises(ConfigError, match=r"training\.total_timestep: unknown key; did you mean"):
        Real2SimTrainer({**config, "training": {"total_timestep": 5}})


def test_numbers_that_yaml_reads_as_text_are_numbers_in_a_mapping_too(config):
    values = {**config, "algorithms": {"climb": {"sigma": "3e-4"}}}
    assert load_mapping(values).chosen_algorithm.options.sigma == 3e-4


def test_eval_writes_what_it_prints(config, tmp_path, capsys):
    Real2SimTrainer(config).train()
    run_dir = tmp_path / "tiny"
    capsys.readouterr()

    result = evaluate_run(run_dir, 1000, "mjx", ["evaluation.num_parallel_envs=500"])

    assert result["episodes"] == 1000
    assert result["backend"] == "mjx"
    saved = json.loads((run_dir / "eval-1.json").read_text())
    assert saved == result
    shown = capsys.readouterr().out
    assert f"{100 * result['success_rate']:.1f} %" in shown
    assert "eval-1.json" in shown


def test_failed_episodes_are_kept_beside_the_numbers_that_count_them(config, tmp_path, monkeypatch):
    Real2SimTrainer(config).train()
    kept = []

    def keep(folder, env, found, about):
        kept.append((folder, dict(found), dict(about)))
        return {kind: [f"{kind}.npz"] for kind in found}

    plain = evaluate_run(tmp_path / "tiny", keep_failures=keep)
    assert not kept  # its state has no physics, so there is nothing to keep
    assert "failure_episodes" not in plain
    watch = SimpleNamespace(
        found={"late": "an episode"}, before=lambda state: None, after=lambda *_: None
    )
    monkeypatch.setattr("r2s_core.evaluation.evaluate.FailureWatch", lambda env: watch)
    result = evaluate_run(tmp_path / "tiny", keep_failures=keep)
    [(folder, found, about)] = kept
    assert folder == tmp_path / "tiny" / "failures-2"
    assert (tmp_path / "tiny" / "eval-2.json").exists()
    assert found == watch.found
    assert about == {"run": "tiny", "seed": 0, "backend": "mujoco"}
    assert result["failure_episodes"] == {"late": ["late.npz"]}


def test_host_driven_and_traced_environments_give_the_same_verdict(config, tmp_path):
    Real2SimTrainer(config).train()
    a, b = (evaluate_run(tmp_path / "tiny", 512, backend) for backend in ("mujoco", "mjx"))
    assert a["success_rate"] == b["success_rate"]
    assert a["metrics"]["distance"] == pytest.approx(b["metrics"]["distance"], rel=1e-4)


def test_what_is_no_run_is_said_plainly(config, tmp_path):
    with pytest.raises(R2SError, match=r"not the folder of a run.*config\.yaml"):
        evaluate_run(tmp_path)
    Real2SimTrainer(config).train()
    (tmp_path / "tiny" / "policy" / "policy.json").unlink()
    with pytest.raises(PolicyError, match="has no policy"):
        evaluate_run(tmp_path / "tiny")


def test_a_result_has_a_number_of_its_own_whatever_lies_beside_it(tmp_path):
    for name in ("eval-².json", "eval-x.json", "eval-7.json", "eval-1.json", "eval-9.jsonl"):
        (tmp_path / name).touch()
    assert _next_path(tmp_path).name == "eval-8.json"


def test_numbers_that_cannot_be_written_are_printed(config, tmp_path, monkeypatch, capsys):
    Real2SimTrainer(config).train()
    capsys.readouterr()

    def full(path, value):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("r2s_core.system.files.write_json", full)
    with pytest.raises(R2SError, match=r"eval-1\.json cannot be written \(Read-only file system\)"):
        evaluate_run(tmp_path / "tiny")
    assert "episodes" in capsys.readouterr().out


def test_the_package_offers_the_trainer_and_stays_light():
    code = (
        "import sys, r2s_core; assert 'jax' not in sys.modules; r2s_core.Real2SimTrainer; "
        "print('jax' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "True"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (1024, "evaluating over 1,024 fresh episodes ..."),
        (64, "evaluating over 64 fresh episodes ..."),
        (
            2000,
            "evaluating over 2,048 fresh episodes (2,000 requested; each of 128 worlds plays "
            "equally many) ...",
        ),
    ],
)
def test_more_episodes_than_asked_for_are_announced(tiny, asked, told):
    sections = {"evaluation": {"episodes": asked, "num_parallel_envs": 128}}
    assert announcement(load_config(tiny.write(**sections))) == told
