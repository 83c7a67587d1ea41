"""Strict configuration: what is accepted, and the exact words with which the rest is refused."""

import dataclasses
import os
from pathlib import Path

import pytest
import yaml

from r2s_core import registry
from r2s_core.config import RunConfig, load_config
from r2s_core.config.convert import plain, to_dataclass
from r2s_core.config.nodes import Problems, read_file, to_node
from r2s_core.errors import ConfigError, PluginLoadError

#: Options of the fake environment and algorithm, with every type that an option may have.
OPTIONS = """
    rate: float = option(1e-3, "how fast", above=0.0)
    epochs: int = option(4, "how often", minimum=1, maximum=100)
    fast: bool = option(False, "skip checks")
    label: str = option("none", "any text")
    mode: typing.Literal["soft", "hard"] = option("soft", "how")
    sizes: tuple[int, ...] = option((64, 64), "layers", minimum=1)
    span: tuple[float, float] = option((0.0, 1.0), "from and to")
    scan: pathlib.Path | None = option(None, "a file")
    objects: tuple[pathlib.Path | str, ...] = option(("sample:cup",), "files or names")
    gains: collections.abc.Mapping[str, float] = option(factory=dict, doc="by joint")
    parts: tuple[str, ...] = option(("pose",), "what", choices=("pose", "touch"))
"""


@pytest.fixture
def write(install, manifest, tmp_path, monkeypatch):
    """`write(text)`: a YAML file in a world where only fake plugins are installed."""
    extra = "import collections.abc, pathlib, typing\n"
    points = {
        "r2s.environments": {"real2sim_pick_place": "fake_task:PLUGIN"},
        "r2s.algorithms": {"fakeppo": "fake_ppo:PLUGIN"},
        "r2s.rewards": {"near": "fake_reward:PLUGIN"},
        "r2s.randomizers": {"mass": "fake_randomizer:PLUGIN"},
        "r2s.backends": {"slow": "fake_backend:PLUGIN"},
    }
    task = manifest("real2sim_pick_place", "environment", options=OPTIONS)
    modules = {
        "fake_task": extra + task,
        "fake_ppo": extra + manifest("fakeppo", "algorithm", options=OPTIONS),
        "fake_reward": manifest("near", "reward"),
        "fake_randomizer": manifest("mass", "randomizer"),
        "fake_backend": manifest("slow", "backend"),
    }
    install("fake-all", points, modules)
    real = registry.discover
    monkeypatch.setattr(
        registry,
        "discover",
        lambda kind: [e for e in real(kind) if e.dist.startswith("fake-") or e.dist == "r2s-core"],
    )
    (tmp_path / "configs").mkdir()
    monkeypatch.chdir(tmp_path)

    def put(text: str, name: str = "x") -> Path:
        path = Path("configs") / f"{name}.yaml"
        path.write_text(text)
        return path

    return put


def _load(path: Path, *overrides: str) -> RunConfig:
    return load_config(path, ["algorithm=fakeppo", *overrides])


def _refusal(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _load(path, *overrides)
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


def test_an_empty_file_is_a_whole_run_of_defaults(write):
    config = _load(write("", "mine"))
    assert (config.name, config.seed, config.backend.use) == ("mine", 0, "auto")
    assert config.output == Path("runs/mine").absolute()
    assert config.environment.use == "real2sim_pick_place"
    assert config.environment.engine.num_parallel_envs == 256
    assert config.chosen_algorithm.options.epochs == 4
    assert list(config.hooks) == ["csv"]


def test_a_misspelt_key_is_told_with_file_line_and_the_right_spelling(write):
    path = write("seed: 1\nalgorithms:\n  fakeppo:\n    epochs: 2\n    rte: 3e-4\n")
    line = "configs/x.yaml:5: algorithms.fakeppo.rte: unknown key; did you mean rate?"
    assert _refusal(path) == [line]


def test_everything_wrong_is_told_at_once_one_line_each(write):
    path = write(
        "sed: 1\n"
        "environment:\n"
        "  num_parallel_envs: many\n"
        "  epochs: 0\n"
        "training: {total_timesteps: -5, use_gpu: 1}\n"
    )
    assert _refusal(path, "name=3") == [
        "configs/x.yaml:1: sed: unknown key; did you mean seed?",
        "configs/x.yaml:3: environment.num_parallel_envs: expected a whole number, "
        "got 'many' (text)",
        "configs/x.yaml:4: environment.epochs: must be at least 1, got 0",
        "configs/x.yaml:5: training.total_timesteps: must be at least 0, got -5",
        "configs/x.yaml:5: training.use_gpu: expected true or false, got 1 (a whole number)",
        "command line: name: expected text, got 3 (a whole number); put it in quotes",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("rate: 3e-4", 3e-4),
        ("rate: 1", 1.0),
        ("epochs: 1e1", 10),
        ("sizes: [32]", (32,)),
        ("span: [0, 2]", (0.0, 2.0)),
        ("scan: ~", None),
        ("gains: {elbow: 2}", {"elbow": 2.0}),
        ("label: '3'", "3"),
        ("fast: true", True),
        ("parts: [touch, pose]", ("touch", "pose")),
    ],
)
def test_values_become_the_declared_type(write, text, value):
    options = _load(write(f"algorithms:\n  fakeppo:\n    {text}\n")).chosen_algorithm.options
    found = getattr(options, text.split(":")[0])
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rate: true", "expected a number, got true (true/false)"),
        ("rate: .nan", "expected a number, got nan (a number)"),
        ("rate: fast", "expected a number, got 'fast' (text)"),
        ("rate: 0", "must be above 0.0, got 0"),
        ("epochs: true", "expected a whole number, got true (true/false)"),
        ("epochs: 2.5", "expected a whole number, got 2.5 (a number)"),
        ("epochs: '7'", "expected a whole number, got '7' (text)"),
        ("epochs: 101", "must be at most 100, got 101"),
        ("fast: 'no'", "expected true or false, got 'no' (text)"),
        ("label: 3", "expected text, got 3 (a whole number); put it in quotes"),
        ("mode: sotf", "expected one of soft, hard; got 'sotf' (text); did you mean soft?"),
        ("sizes: 64", "expected a list as in [1, 2], got 64 (a whole number)"),
        ("sizes: [64, 0]", "must be at least 1, got [64, 0]"),
        ("span: [1]", "expected 2 values, got 1"),
        ("parts: [toch]", "must be one of pose, touch; got toch; did you mean touch?"),
        ("gains: 3", "expected keys and values under it, got 3 (a whole number)"),
        ("scan: [a]", "expected a path, got a list"),
    ],
)
def test_a_wrong_value_says_what_was_expected_and_what_came(write, text, words):
    key = f"algorithms.fakeppo.{text.split(':')[0]}"
    path = write(f"algorithms:\n  fakeppo:\n    {text}\n")
    assert _refusal(path) == [f"configs/x.yaml:3: {key}: {words}"]


def test_a_wrong_item_of_a_list_is_named_by_its_place(write):
    path = write("algorithms:\n  fakeppo:\n    sizes: [64, big]\n")
    words = "algorithms.fakeppo.sizes[1]: expected a whole number, got 'big' (text)"
    assert _refusal(path) == [f"configs/x.yaml:3: {words}"]


def test_a_key_written_twice_is_an_error(write):
    assert _refusal(write("seed: 1\nname: a\nseed: 2\n")) == [
        "configs/x.yaml:3: seed: written twice; the first is on line 1"
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1, 2\nb: 3\n", "configs/x.yaml:2: not valid YAML"),
        ("- 1\n", "configs/x.yaml: expected keys and values at the top, got a list"),
        ("seed: !!python/object:os.system 1\n", "configs/x.yaml:1: not valid YAML"),
        ("a: &a {b: *a}\n", "an alias (*name) that contains itself"),
        ("seed: 1\x00\n", "configs/x.yaml: not valid YAML"),
    ],
)
def test_what_is_no_yaml_of_ours_is_refused_with_its_line(write, text, words):
    assert any(words in line for line in _refusal(write(text)))


def test_a_missing_file_names_the_files_that_are_there(write):
    write("", "quickstart")
    with pytest.raises(
        ConfigError, match=r"nope.yaml: no such file; configs holds quickstart.yaml"
    ):
        load_config("configs/nope.yaml")


def test_overrides_win_and_are_blamed_by_name(write):
    path = write("seed: 1\nalgorithms:\n  fakeppo:\n    rate: 0.5\n")
    config = _load(
        path, "seed=7", "algorithms.fakeppo.sizes=[8, 8]", "training.total_timesteps=1e3"
    )
    assert (config.seed, config.training.total_timesteps) == (7, 1000)
    assert (config.chosen_algorithm.options.rate, config.chosen_algorithm.options.sizes) == (
        0.5,
        (8, 8),
    )
    assert _refusal(path, "algorithms.fakeppo.rte=3", "seed=x", "oops", "a=[1") == [
        "command line: 'oops': expected key=value, as in seed=3",
        "command line: a: '[1' is not valid YAML",
        "command line: algorithms.fakeppo.rte: unknown key; did you mean rate?",
        "command line: seed: expected a whole number, got 'x' (text)",
    ]


@pytest.mark.parametrize(
    ("text", "override", "key"),
    [
        ("environment: 3", "environment.num_parallel_envs=2", "environment"),
        ("environment: a_task", "environment.use=other", "environment"),
        ("training: [1]", "training.total_timesteps=5", "training"),
    ],
)
def test_an_override_hides_no_section_of_the_wrong_type(text, override, key, write):
    with pytest.raises(ConfigError, match=rf":1: {key}: expected keys and values under it, got"):
        load_config(write(text), [override])


def test_an_override_adds_to_the_short_form_of_a_backend_and_to_an_empty_section(write):
    path = write("backend: mujoco\ntraining:\n")
    config = _load(path, "backend.threads=2", "training.total_timesteps=5")
    assert (config.backend.use, config.backend.options.threads) == ("mujoco", 2)
    assert config.training.total_timesteps == 5


def test_paths_start_from_the_file_or_for_overrides_from_the_working_directory(write, tmp_path):
    path = write("environment: {scan: cup.stl, objects: [sample:mug, m/a.obj]}\n")
    options = _load(path).environment.options
    assert options.scan == tmp_path / "configs" / "cup.stl"
    assert options.objects == ("sample:mug", tmp_path / "configs" / "m" / "a.obj")
    assert _load(path, "environment.scan=b.stl").environment.options.scan == tmp_path / "b.stl"


def test_the_resolved_configuration_loads_again_to_an_equal_one(write, tmp_path):
    (tmp_path / "configs" / "mine.py").write_text("def far(transition): return 0.0\n")
    path = write(
        "backend: {use: slow, size: 5}\n"
        "environment:\n"
        "  scan: cup.stl\n"
        "  max_episode_steps: 60\n"
        "  rewards:\n"
        "    near: {weight: 4}\n"
        "    close: {use: near, size: 9}\n"
        "    far: {use: mine.py:far, weight: -1}\n"
        "randomization: {mass: {size: 2}}\n"
        "algorithms:\n"
        "  fakeppo: {rate: 3e-4}\n"
        "  not_installed: {alpha: 0.1}\n"
        "hooks: {log: {use: csv, file: log.csv}}\n"
    )
    config = _load(path)
    terms = config.environment.engine.rewards
    assert terms is not None
    assert (terms["near"].weight, terms["close"].options.size) == (4.0, 9)
    again = tmp_path / "runs" / "x" / "config.yaml"
    again.parent.mkdir(parents=True)
    again.write_text(yaml.safe_dump(config.resolved()))
    assert load_config(again) == config


def test_a_reward_from_a_file_is_checked_without_running_it(write, tmp_path):
    (tmp_path / "configs" / "mine.py").write_text("1 / 0\ndef near_it(t): return 0.0\n")
    text = "environment:\n  rewards:\n    mine: {{use: 'mine.py:{}'{}}}\n"
    assert _load(write(text.format("near_it", ""))).environment.engine.rewards is not None
    assert "did you mean near_it?" in _refusal(write(text.format("near_t", "")))[0]
    assert "takes no options" in _refusal(write(text.format("near_it", ", size: 3")))[0]
    gone = "environment: {rewards: {mine: {use: 'gone.py:f'}}}"
    assert _refusal(write(gone))[0].endswith(
        "gone.py: no such file; check the path of a reward function"
    )


def test_several_algorithms_need_a_choice_and_the_others_are_checked_too(write):
    text = "algorithms:\n  fakeppo: {rate: 1}\n  other: {x: 1}\n"
    with pytest.raises(ConfigError, match="algorithm: several are configured; name one of fakeppo"):
        load_config(write(text))
    assert load_config(write("algorithms: {fakeppo: {}}")).algorithm == "fakeppo"
    wrong = "algorithm: other\nalgorithms:\n  fakeppo: {rate: no}\n  other: {use: fakeppo}\n"
    with pytest.raises(ConfigError, match=r"x.yaml:3: algorithms.fakeppo.rate: expected a number"):
        load_config(write(wrong))


def test_a_misspelt_algorithm_is_not_taken_for_one_that_is_not_installed(write):
    path = write("algorithm: fakeppo\nalgorithms:\n  fakeppo: {}\n  fakepo: {rate: 1}\n")
    (line,) = _refusal(path)
    assert line.startswith("configs/x.yaml:4: algorithms.fakepo: no algorithm named 'fakepo'")
    assert "did you mean fakeppo?" in line


def test_one_reward_from_the_command_line_does_not_silently_replace_the_tasks_own(write):
    key = "environment.rewards.near.weight"
    (line,) = _refusal(write("environment: {use: real2sim_pick_place}"), f"{key}=2")
    assert line.startswith(f"command line: {key}: no terms are configured")
    config = _load(write("environment: {rewards: {near: {}}}"), f"{key}=2")
    terms = config.environment.engine.rewards
    assert terms is not None
    assert terms["near"].weight == 2.0
    config = _load(write(""), "environment.rewards={near: {weight: 3}}")
    terms = config.environment.engine.rewards
    assert terms is not None
    assert terms["near"].weight == 3.0


def test_an_unknown_plugin_is_told_where_it_is_named(write):
    path = write("algorithm: fakepo\nhooks:\n  cvs: {}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    first, second = sorted(str(caught.value).splitlines())
    assert first.startswith("configs/x.yaml:1: algorithm: no algorithm named 'fakepo'")
    assert "did you mean fakeppo?" in first
    assert second.startswith("configs/x.yaml:3: hooks.cvs: no hook named 'cvs'")


def test_backend_options_need_a_named_backend(write):
    assert _load(write("backend: slow")).backend.options.size == 3
    words = "command line: backend.size: backend: auto takes no options"
    assert _refusal(write(""), "backend.size=4")[0].startswith(words)


def test_a_broken_plugin_in_use_is_told_as_such(write, install):
    install("fake-bad", {"r2s.hooks": {"csv2": "fake_bad:PLUGIN"}}, {"fake_bad": "1 / 0"})
    with pytest.raises(PluginLoadError, match=r"hook plugin 'csv2' \(fake-bad 1.2.3\)"):
        load_config(write("hooks: {csv2: }"), ["algorithm=fakeppo"])


def test_a_plugins_own_validation_is_told_at_its_section(write, install, manifest):
    options = (
        "    low: int = option(0, '')\n"
        "    def __post_init__(self):\n"
        "        if self.low > 5: raise ValueError('low must not exceed 5')\n"
    )
    source = manifest("picky", "hook", options=options)
    install("fake-picky", {"r2s.hooks": {"picky": "fake_picky:PLUGIN"}}, {"fake_picky": source})
    words = "configs/x.yaml:2: hooks.picky: low must not exceed 5"
    assert _refusal(write("hooks:\n  picky: {low: 9}\n")) == [words]


def test_a_plugin_may_give_an_engine_key_another_default(write, install, manifest):
    options = "    max_episode_steps: int = option(77, 'steps', minimum=10)"
    source = manifest("own", "environment", options=options)
    install("fake-own", {"r2s.environments": {"own": "fake_own:PLUGIN"}}, {"fake_own": source})
    environment = _load(write("environment: {use: own}")).environment
    assert environment.engine.max_episode_steps == environment.options.max_episode_steps == 77
    environment = _load(write("environment: {use: own, max_episode_steps: 20}")).environment
    assert environment.engine.max_episode_steps == environment.options.max_episode_steps == 20
    refused = _refusal(write("environment: {use: own, max_episode_steps: 5}"))
    assert refused == [
        "configs/x.yaml:1: environment.max_episode_steps: must be at least 10, got 5"
    ]


def test_configurations_are_frozen(write):
    config = _load(write(""))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 3  # type: ignore[misc]


def test_a_curriculum_grows_what_is_there(write):
    path = write(
        "algorithm: fakeppo\n"
        "randomization: {mass: {}}\n"
        "curriculum:\n"
        "  task: {over: 0.5, start: 0.2}\n"
        "  randomization:\n    mass: {at_success: 0.8}\n"
        "  rewards: {near: {over: 1.0}}\n"
    )
    config = load_config(path)
    assert set(config.curriculum) == {"task", "randomization.mass", "rewards.near"}
    assert config.curriculum["task"].start == 0.2
    assert config.curriculum["randomization.mass"].at_success == 0.8
    again = write(yaml.safe_dump(config.resolved()), "again")
    assert load_config(again).curriculum == config.curriculum
    changed = load_config(path, ["curriculum.randomization.mass.episodes=77"])
    assert changed.curriculum["randomization.mass"].episodes == 77


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("curriculum: {tasks: {over: 0.5}}", "curriculum.tasks: unknown key; did you mean task"),
        ("curriculum: {task: {}}", "give either over or at_success"),
        ("curriculum: {task: {over: 0.5, at_success: 0.5}}", "give either over or at_success"),
        (
            "randomization: {mass: {}}\ncurriculum: {randomization: {mas: {over: 1}}}",
            "curriculum.randomization.mas: unknown key; did you mean mass",
        ),
        ("environment: {physics: {timestep_factor: 0.7}}", "use 1, 0.5, 0.25"),
        ("environment: {physics: {integrator: euler}}", "integrator"),
    ],
)
def test_a_curriculum_or_physics_that_cannot_be_is_refused(write, text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        load_config(write(text))


def _aliases(levels: int) -> str:
    lines = ["a0: &a0 [1, 2]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, levels)]
    return "\n".join(lines)


def _merges(levels: int) -> str:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], k{n}: 1}}" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_aliases(40), "more than 20,000 values"),
        (_merges(60), "unknown key"),
        ("a: &a {<<: *a}", "contains itself"),
        ("a: {<<: 3}", "<< merges keys and values"),
        ("a: " + "[" * 900, "nested deeper than 40 levels"),
        ("a: " + "[" * 60 + "]" * 60, "nested deeper than 40 levels"),
        ("seed: !!bool x", "'x' cannot be a bool"),
        ("seed: !!int ''", "'' cannot be a int"),
        ("seed: !!timestamp x", "'x' cannot be a timestamp"),
        ("seed: !!python/object:os.system {}", "expected a whole number"),
        (f"seed: {'9' * 400}", "is beyond 64 bits"),
        (f"training: {{time_limit_s: {'9' * 400}}}", "is beyond 64 bits"),
        (f"seed: 0x{'f' * 5000}", "is beyond 64 bits"),
        (f"seed: {'59:' * 5000}59", "is beyond 64 bits"),
        ("seed: 9223372036854775807", "must be from 0 to 2147483647"),
        ("seed: -1", "must be from 0 to 2147483647"),
        ("training: {time_limit_s: 1e39}", "expected"),
        ("training: {time_limit_s: 5e-324}", "expected"),
        ("environment: {physics: {timestep_factor: 1e-9}}", "must be at least 0.01"),
        ("environment: {max_episode_steps: 1e12}", "must be at most 1,000,000"),
        ("environment: {num_parallel_envs: 1e9}", "must be at most 1,048,576"),
        ("evaluation: {episodes: 1e30}", "expected a whole number"),
        ("environment: {use: ''}", "must name a plugin"),
        ("algorithms: {x: {use: ''}}", "must name a plugin"),
        ("output: ~nosuchuser/x", "there is no such home folder"),
        ("environment: {rewards: {a: {use: '~nosuchuser/x.py:f'}}}", "no such home folder"),
        ('name: "a\\0b"', r"contains the character '\x00'"),
        ('name: "a\\x1b[2J"', r"contains the character '\x1b'"),
        ("name: '.'", "must name the run's folder"),
        ("name: ../../escape", "must stay within runs/"),
        ("name: /tmp/elsewhere", "must stay within runs/"),
        ("backend: {use: ''}", "must name a plugin"),
    ],
    ids=lambda text: text[:40],
)
def test_what_is_made_to_break_the_reader_is_refused_in_one_line(write, text, words):
    (line, *_) = _refusal(write(text))
    assert words in line
    assert len(line) < 500


@pytest.mark.parametrize("name", ["zero", "fifo", "folder", "large"])
def test_a_configuration_is_a_regular_file_of_its_size(name, tmp_path):
    path = tmp_path / "x.yaml"
    if name == "zero":
        path = Path("/dev/zero")
    elif name == "fifo":
        os.mkfifo(path)
    elif name == "folder":
        path.mkdir()
    else:
        path.write_text("# " + "x" * 2**19)
    with pytest.raises(ConfigError, match=str(path)) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_a_scan_in_place_of_a_configuration_is_told_what_to_do(tmp_path):
    (tmp_path / "book.stl").touch()
    with pytest.raises(ConfigError, match=r"this is a scan.* environment.objects=.*book\.stl"):
        load_config(tmp_path / "book.stl")


def test_merge_keys_mean_what_yaml_says(write):
    text = (
        "x: &x {epochs: 2, rate: 0.1}\ny: &y {epochs: 3, size: 4}\nz: {<<: [*x, *y], rate: 0.2}\n"
    )
    merged = plain(read_file(write(text), Problems()))["z"]
    assert merged == yaml.safe_load(text)["z"] == {"epochs": 2, "size": 4, "rate": 0.2}


def test_one_text_where_a_list_is_expected_is_a_list_of_one(write):
    @dataclasses.dataclass(frozen=True)
    class Options:
        objects: tuple[str, ...] = ()
        pair: tuple[str, str] = ("a", "b")

    problems = Problems()
    node = to_node({"objects": "scan.stl"}, "here", Path())
    assert to_dataclass(Options, node, "", problems).objects == ("scan.stl",)
    assert to_dataclass(Options, to_node({"pair": "a"}, "here", Path()), "", problems) is None
    assert "expected a list" in problems.lines[0]


@pytest.mark.parametrize(
    ("section", "command"),
    [
        ("hooks: {slack: {use: 'my.py:Slack'}}", "r2s new hook slack"),
        ("randomization: {wind: {use: 'my.py:f'}}", "r2s new randomizer wind"),
        ("environment: {use: 'my.py:Task'}", "r2s new task NAME"),
    ],
)
def test_what_is_no_reward_cannot_be_a_function_in_a_file(tmp_path, section, command):
    path = tmp_path / "x.yaml"
    path.write_text(f"{section}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert "only a reward may be a function in a file" in str(caught.value)
    assert f"`{command}` writes one that works" in str(caught.value)
