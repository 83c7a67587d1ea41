"""What other people's tasks, rewards and randomizers do wrong is told before anything is built."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core.env.contract import check_complete, check_rewards, check_task, exported
from r2s_core.env.curriculum import Levels
from r2s_core.env.randomization import Randomization
from r2s_core.errors import R2SError
from r2s_core.system.foreign import ForeignError, is_ours
from r2s_core.system.user_file import load_function
from r2s_core.testing import environments
from r2s_core.testing.tasks import CartTask
from r2s_core.types import ArraySpec, PolicyExport

_VIEW = "transition.view has time[], qpos[9], qvel[8], ctrl[1], "


@pytest.fixture(scope="module")
def transition():
    task = CartTask()
    return check_task("environment 'cart'", task, task.scene())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return transition.view.foo", "failed at {}:2 (mine): AttributeError: 'View' object has"),
        ("return transition.view.qvel", "mine ({}:1) returned float32[8], but must return one n"),
        ("return transition.view.qvel[:1]", "returned float32[1], but must return one number"),
        ("return 1 if transition.success else 0", "{}:2 (mine): TracerBoolConversionError: Attem"),
        ("return float(transition.action[0])", "{}:2 (mine): ConcretizationTypeError: Abstract t"),
        ("return transition.action @ transition.view.qpos", "{}:2 (mine): TypeError: dot_general"),
        ("pass", "mine ({}:1) returned nothing, but must return one number"),
        ("return 'good'", "mine ({}:1) returned text, but must"),
        ("return {'a': 1.0}", "mine ({}:1) returned {{a: float}}, but must"),
        ("return 1j * transition.action[0]", "returned complex64[], but must"),
        ("raise SystemExit", "{}:2 (mine): it called sys.exit()"),
    ],
)
def test_a_fault_in_a_users_function_is_told_with_its_line_and_what_there_is(
    tmp_path, monkeypatch, transition, body, told
):
    monkeypatch.setattr("r2s_core.system.trust._is_trusted", lambda sha256: True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(f"def mine(transition):\n    {body}\n")
    term = load_function("mine.py:mine")
    assert not is_ours(term)
    with pytest.raises(ForeignError) as caught:
        check_rewards({"slow": term}, transition)
    message = str(caught.value)
    assert message.startswith("reward 'slow'")
    assert told.format("mine.py") in message
    assert "\n" not in message
    assert _VIEW in message
    assert ".task has target[]" in message


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return jnp.sum(transition.action)", "write `import jax.numpy as jnp` at the top of"),
        ("return transition.view.qvell[0]", "attribute 'qvell'; did you mean qvel? transition.vi"),
        ("return 1.0 / 0.0", "ZeroDivisionError: float division by zero"),
    ],
)
def test_the_remedy_is_that_of_the_fault(transition, body, told):
    scope: dict[str, Any] = {}
    exec(f"def mine(transition):\n    {body}\n", scope)
    with pytest.raises(ForeignError) as caught:
        check_rewards({"slow": scope["mine"]}, transition)
    assert told in str(caught.value)
    assert (_VIEW in str(caught.value)) == ("qvell" in body)


def test_a_field_of_the_view_that_is_not_declared_is_told_with_those_that_are():
    task = CartTask()
    scene = dataclasses.replace(task.scene(), view_fields=frozenset({"qvel", "qpos"}))
    transition = check_task("environment 'cart'", task, scene)
    terms: dict[str, Any] = {"slow": lambda t: t.view.xpos[1, 0]}
    with pytest.raises(ForeignError, match=r"unless SceneSpec.view_fields declares it, which has "):
        check_rewards(terms, transition)
    terms = {"slow": lambda t: jnp.sum(t.view.xpos)}
    with pytest.raises(ForeignError, match="which has qpos, qvel; add the field that is read"):
        check_rewards(terms, transition)


def test_numbers_of_any_kind_are_rewards(transition):
    terms: dict[str, Any] = {
        "constant": lambda t: 1.0,
        "flag": lambda t: t.success,
        "count": lambda t: jnp.sum(t.view.qpos > 0),
        "jitted": jax.jit(lambda t: t.view.qpos[0]),
    }
    check_rewards(terms, transition)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"init": lambda t, *a: None},
            "returned nothing, but must return (task state, qpos[9], q",
        ),
        (
            {"init": lambda t, *a: (1, jnp.zeros(3), jnp.zeros(8))},
            "float32[3], float32[8]), but",
        ),
        ({"control": lambda t, *a: jnp.zeros(2)}, "returned float32[2], but must return ctrl[1]"),
        ({"update": lambda t, s, v: None}, "returned nothing, but must return a state like"),
        ({"begin": lambda t, s, v: v}, "but must return a state like the one that it was given"),
        ({"observe": lambda t, *a: jnp.zeros(2)}, "returned float32[2], but must return a mapping"),
        ({"observe": lambda t, *a: {"x": jnp.zeros(2)}}, "but must return a group 'policy'"),
        (
            {"observe": lambda t, *a: {"policy": 3.0}},
            "{policy: float}, but must return a mapping",
        ),
        ({"terminated": lambda t, *a: 1.0}, "returned float, but must return bool[]"),
        ({"success": lambda t, s, v: v.qpos > 0}, "returned bool[9], but must return bool[]"),
        ({"success": lambda t, s, v: bool(v.qpos[0])}, "TracerBoolConversionError"),
        ({"metrics": lambda t, s, v: {"x": v.qpos}}, "returned {x: float32[9]}, but must return"),
        ({"metrics": lambda t, s, v: exit()}, "it called sys.exit()"),
    ],
)
def test_a_task_that_breaks_its_contract_is_named_with_the_function(changes, told):
    task = type("Odd", (CartTask,), changes)()
    with pytest.raises(ForeignError) as caught:
        check_task("environment 'odd'", task, task.scene())
    assert str(caught.value).startswith("environment 'odd'")
    assert told in str(caught.value)
    assert "test_contract.py:" in str(caught.value)


def test_action_bounds_must_be_bounds():
    for low, high in (([1.0], [-1.0]), ([0.0, 0.0], [1.0]), (0.0, 1.0), ([np.nan], [1.0])):
        task = CartTask()
        task.action_low, task.action_high = np.asarray(low), np.asarray(high)
        with pytest.raises(ForeignError, match="environment 'odd': action_low and action_high are"):
            check_task("environment 'odd'", task, task.scene())


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda key, v: None, "randomizer 'odd' failed.*TypeError"),
        (lambda key, v: {"qpos": v["dof_damping"]}, r"returned \['qpos'\], but declares"),
        (lambda key, v: {"dof_damping": v["dof_damping"][:3]}, r"dof_damping of shape \[3\], but"),
        (lambda key, v: {"dof_damping": 1.0}, r"dof_damping of shape \[\], but it has \[8\]"),
        (lambda key, v: {"dof_damping": "x"}, r"dof_damping of shape \[\], but it has \[8\]"),
        (
            lambda key, v: v["no such"],
            r"randomizer 'odd' failed at .*test_contract.py:\d+: KeyError",
        ),
    ],
)
def test_a_randomizer_that_breaks_its_contract_is_named(answer, told):
    class Odd:
        stage: Literal["model"] = "model"
        writes = frozenset({"dof_damping"})

        def __call__(self, key, values):
            return answer(key, values)

    varied = Randomization({"odd": Odd()}, CartTask().scene())
    levels = Levels({}, jnp.float32(0.0))  # type: ignore[arg-type]
    with pytest.raises(R2SError, match=told):
        varied.vary("model", jax.random.key(0), varied.nominal, levels, jnp.int32(0))


@pytest.mark.parametrize("host_driven", [False, True])
@pytest.mark.parametrize(
    ("method", "answer", "told"),
    [
        ("reset", lambda env, key: None, "cannot unpack non-iterable NoneType"),
        (
            "reset",
            lambda env, key: (env.start, {"x": jnp.zeros(4)}),
            "{x: float32[4]}, but must",
        ),
        ("reset", lambda env, key: 1 / 0, "ZeroDivisionError"),
        (
            "step",
            lambda env, state, action: None,
            "nothing, but must return (state, Step)",
        ),
        ("step", lambda env, state, action: (state, 3), "int), but must return (state, Step)"),
        ("step", lambda env, state, action: exit(), "it called sys.exit()"),
    ],
)
def test_a_whole_environment_that_breaks_its_contract_is_named(host_driven, method, answer, told):
    class Odd:
        def __init__(self):
            sound = environments.bandit(4)
            self.inner = environments.HostDriven(sound) if host_driven else sound
            self.spec, self.start = self.inner.spec, self.inner.reset(jax.random.key(0))[0]

        def reset(self, key):
            return self.inner.reset(key)

        def step(self, state, action):
            return self.inner.step(state, action)

    check_complete("environment 'sound'", Odd())
    setattr(Odd, method, answer)
    with pytest.raises(ForeignError) as caught:
        check_complete("environment 'odd'", Odd())
    assert str(caught.value).startswith("environment 'odd'")
    assert told in str(caught.value)


def test_a_policy_whose_layers_do_not_fit_is_refused_before_it_is_written():
    kernel, bias, three = np.zeros((3, 2)), np.zeros(2), np.zeros(3)

    spec = dataclasses.replace(
        environments.bandit(1).spec, observations={"policy": ArraySpec((3,))}
    )

    def algorithm(**changes) -> Any:
        fields = {"layers": ((kernel, bias),), "observation_mean": three, "observation_std": three}
        rest = {"activation": "tanh", "observation_clip": 10.0, "output": "clip"}
        export = PolicyExport.mlp(**(fields | rest | changes))
        return type("Algorithm", (), {"export": lambda self, learner: export})()

    exported("algorithm 'odd'", algorithm(), None, spec)
    for change, told in (
        ({"layers": ((kernel, bias), (kernel, bias))}, r"dense_1 \(dense\): kernel has shape"),
        ({"layers": ((kernel, three),)}, r"dense_0 \(dense\): bias has shape \[3\], not \[2\]"),
        ({"observation_mean": bias}, r"mean has shape \[2\], not \[3\]"),
        ({"observation_std": 1.0}, r"std has shape \[\], not \[3\]"),
        ({"observation_clip": "x"}, "clip is 'x'; it must be a number"),
        ({"group": "camera"}, "normalised reads camera, which no earlier layer outputs"),
    ):
        with pytest.raises(ForeignError, match=f"the policy that export returned: .*{told}"):
            exported("algorithm 'odd'", algorithm(**change), None, spec)
    for change in ({"layers": (("x", bias),)}, {"observation_mean": "x"}):
        with pytest.raises(ForeignError, match="algorithm 'odd': what export returned failed"):
            exported("algorithm 'odd'", algorithm(**change), None, spec)
