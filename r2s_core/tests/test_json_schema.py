"""The schema for editors accepts what the loader accepts, and marks what it refuses."""

import pytest
from jsonschema import Draft7Validator

from r2s_core.config import load_config
from r2s_core.config.json_schema import config_schema

_OPTIONS = """
    rate: float = option(1e-3, "how fast", above=0.0)
    epochs: int | None = option(None, "how often", minimum=1)
    mode: str = option("soft", "how", choices=("soft", "hard"))
    sizes: tuple[int, ...] = option((64, 64), "layers", minimum=1)
    span: tuple[float, float] = option((0.0, 1.0), "from and to")
"""


@pytest.fixture
def validator(install, manifest):
    """The schema where only fake plugins are added to what is installed."""
    points = {
        "r2s.environments": {"fake_env": "fake_env:PLUGIN"},
        "r2s.algorithms": {"fake_algo": "fake_algo:PLUGIN"},
        "r2s.rewards": {"fake_near": "fake_near:PLUGIN", "fake_bad": "fake_bad:PLUGIN"},
        "r2s.backends": {"fake_slow": "fake_slow:PLUGIN"},
    }
    modules = {
        "fake_env": manifest("fake_env", "environment", options=_OPTIONS),
        "fake_algo": manifest("fake_algo", "algorithm", options=_OPTIONS),
        "fake_near": manifest("fake_near", "reward"),
        "fake_slow": manifest("fake_slow", "backend"),
        "fake_bad": "1 / 0",  # a broken plugin must not take the schema with it
    }
    install("fake-all", points, modules)
    schema = config_schema()
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def _run(**environment):
    rewards = {
        "fake_near": None,
        "close": {"use": "fake_near", "weight": 2, "size": 4},
        "fake_far": {"use": "mine.py:far"},
    }
    return {
        "seed": 3,
        "backend": {"use": "fake_slow", "size": 2},
        "environment": {"use": "fake_env", "rewards": rewards, **environment},
        "algorithms": {"fake_algo": {"rate": 1, "epochs": None}, "b": {"use": "fake_algo"}},
        "training": {"total_timesteps": 100, "use_gpu": None},
        "hooks": {"csv": {}},
    }


def test_a_configuration_of_every_shape_is_accepted(validator):
    assert list(validator.iter_errors(_run())) == []
    assert list(validator.iter_errors({"backend": "auto"})) == []


def test_a_resolved_configuration_is_accepted(validator, tmp_path):
    (tmp_path / "x.yaml").write_text("environment: {use: fake_env}\nalgorithm: fake_algo\n")
    resolved = load_config(tmp_path / "x.yaml").resolved()
    assert list(validator.iter_errors(resolved)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"sed": 3},
        {"backend": "fast"},
        {"environment": {"use": "fake_env", "ratee": 1}},
        {"environment": {"use": "fake_env", "rate": 0}},
        {"environment": {"use": "fake_env", "epochs": 0}},
        {"environment": {"use": "fake_env", "mode": "medium"}},
        {"environment": {"use": "fake_env", "sizes": [64, 0]}},
        {"environment": {"use": "fake_env", "span": [1]}},
        {"environment": {"use": "fake_env", "num_parallel_envs": 0}},
        {"environment": {"use": "fake_env", "rewards": {"fake_near": {"weigth": 1}}}},
        {"algorithms": {"fake_algo": {"rte": 1}}},
        {"training": {"total_timesteps": "many"}},
    ],
    ids=str,
)
def test_what_the_loader_refuses_is_marked(validator, wrong):
    assert list(validator.iter_errors(wrong))


def test_an_editor_can_show_what_an_option_means(validator):
    schema = validator.schema["properties"]["algorithms"]["properties"]["fake_algo"]
    rate = schema["anyOf"][0]["properties"]["rate"]
    assert rate == {
        "type": "number",
        "exclusiveMinimum": 0.0,
        "description": "how fast",
        "default": 0.001,
    }
