"""Reads a run's YAML file with its overrides and checks it against the installed plugins."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from r2s_core import registry
from r2s_core.config.convert import (
    Invalid,
    check_keys,
    expanded,
    fill,
    join,
    mapping_of,
    plain,
    to_dataclass,
    to_type,
)
from r2s_core.config.nodes import (
    Node,
    Override,
    Problems,
    apply_overrides,
    key_of,
    read_file,
    short,
    to_node,
)
from r2s_core.config.samples import locate
from r2s_core.config.schema import (
    LARGEST_SEED,
    DemonstrationsConfig,
    EngineConfig,
    EnvironmentConfig,
    EvaluationConfig,
    GrowthConfig,
    RewardTerm,
    RunConfig,
    TrainingConfig,
    Use,
)
from r2s_core.errors import PluginError, PluginLoadError, R2SError
from r2s_core.plugin import Kind, NoConfig
from r2s_core.suggest import did_you_mean
from r2s_core.system import files
from r2s_core.system.foreign import calling
from r2s_core.system.run_files import CONFIG, is_run_folder
from r2s_core.system.user_file import is_file_reference

DEFAULT_ALGORITHM = "ppo"
_SECTIONS = tuple(field.name for field in dataclasses.fields(RunConfig) if field.name != "base_dir")


def load_config(
    path: str | Path, overrides: Iterable[Override] = (), *, to_train: bool = True
) -> RunConfig:
    """The run that a YAML file, or the sample of that name, describes, after overrides.

    Relative paths in the file start from the file's folder, those of overrides from the working
    directory, and `output` always from the working directory.

    Args:
        overrides: `a.b.c=value` texts as on the command line, or (dotted key, value) pairs.
        to_train: False where only the environment is wanted, so that the algorithm need not be
            installed.

    Raises:
        ConfigError: with one line per problem.
        PluginError: an installed plugin in use is broken.
    """
    path, problems = locate(path), Problems()
    return _checked(read_file(path, problems), path, overrides, problems, to_train)


def load_mapping(
    values: Mapping[str, Any], overrides: Iterable[Override] = (), *, to_train: bool = True
) -> RunConfig:
    """The run that a mapping of the YAML's shape describes.

    Relative paths start from the working directory. Arguments and errors as in `load_config`;
    messages say "configuration" in place of a file and line.
    """
    root = to_node({"name": "run", **values}, "configuration", Path.cwd())
    return _checked(root, Path("configuration"), overrides, Problems(), to_train)


def _checked(
    root: Node, path: Path, overrides: Iterable[Override], problems: Problems, to_train: bool
) -> RunConfig:
    overrides = list(overrides)
    _refuse_single_rewards(root, overrides, problems)
    apply_overrides(root, overrides, problems)
    config = _Loader(root, path, problems, to_train).load()
    problems.raise_if_any()
    assert config is not None
    return config


def _refuse_single_rewards(root: Node, overrides: list[Override], problems: Problems) -> None:
    """Setting one term where the task's default terms apply would silently drop all others."""
    environment = root.value.get("environment")
    values = environment.value if environment and isinstance(environment.value, dict) else {}
    if "rewards" in values and values["rewards"].value is not None:
        return
    for override in overrides:
        key = key_of(override)
        if key.startswith("environment.rewards."):
            what = (
                "no terms are configured, so the task's own apply, and this one would replace them "
                "all; list every term, as in environment.rewards='{reach: {weight: 2}, lift: {}}'"
            )
            problems.add("command line", key, what)


class _Loader:
    def __init__(self, root: Node, path: Path, problems: Problems, to_train: bool) -> None:
        self.root, self.path, self.problems, self.to_train = root, path, problems, to_train
        self.values: dict[str, Node] = root.value

    def load(self) -> RunConfig | None:
        """The configuration, or None with problems."""
        check_keys(self.values, list(_SECTIONS), "", self.problems)
        name = self.name()
        algorithms = self.plugins("algorithm", "algorithms")
        output = self.scalar("output", str, self.default_output(str(name)))
        randomization = self.plugins("randomizer", "randomization")
        sections = {
            "name": name,
            "seed": self.seed(),
            "algorithm": self.choose_algorithm(algorithms),
            "backend": self.backend(),
            "environment": self.environment(),
            "randomization": randomization,
            "curriculum": self.curriculum(randomization),
            "demonstrations": self.section("demonstrations", DemonstrationsConfig),
            "training": self.section("training", TrainingConfig),
            "evaluation": self.section("evaluation", EvaluationConfig),
            "algorithms": algorithms,
            "hooks": self.plugins("hook", "hooks", default=("csv",)),
            "output": self.folder(output),
            "base_dir": self.path.resolve().parent,
        }
        return None if self.problems.lines else RunConfig(**sections)

    def default_output(self, name: str) -> str:
        """`runs/NAME`; for a run's own config.yaml, the folder that contains it."""
        of_run = self.path.name == CONFIG and is_run_folder(self.path.parent)
        return str(self.path.parent if of_run else Path("runs") / name)

    def node(self, key: str) -> Node:
        """A section; a missing one is empty and located at the file."""
        return self.values.get(key) or Node(str(self.path), self.root.folder, None)

    def scalar(self, key: str, kind: type, default: Any) -> Any:
        if key not in self.values:
            return default
        try:
            return to_type(kind, self.values[key], key, self.problems)
        except Invalid:
            return None

    def name(self) -> str | None:
        """The run's name, which is also its folder under runs/ unless `output` is set."""
        name = self.scalar("name", str, self.path.stem)
        if name is not None and not name.strip(" ./\\"):
            self.problems.add(self.node("name").where, "name", "must name the run's folder")
        elif name is not None and (Path(name).is_absolute() or ".." in re.split(r"[/\\]", name)):
            what = "must stay within runs/; `output` may name a folder elsewhere"
            self.problems.add(self.node("name").where, "name", what)
        return name

    def seed(self) -> int | None:
        """JAX's keys take 32 bits and evaluation adds its offset: no two seeds may collide."""
        seed = self.scalar("seed", int, 0)
        if seed is not None and not 0 <= seed <= LARGEST_SEED:
            what = f"must be from 0 to {LARGEST_SEED}, got {seed}"
            self.problems.add(self.node("seed").where, "seed", what)
        return seed

    def folder(self, output: str | None) -> Path:
        try:
            where = self.node("output").where
            return expanded(output or "", where, "output", self.problems).absolute()
        except Invalid:
            return Path()

    def section(self, key: str, cls: type) -> Any:
        return to_dataclass(cls, self.node(key), key, self.problems)

    def choose_algorithm(self, algorithms: dict[str, Use]) -> str | None:
        """The algorithm that trains, added to `algorithms` with default options if absent."""
        only = next(iter(algorithms)) if len(algorithms) == 1 else DEFAULT_ALGORITHM
        chosen = self.scalar("algorithm", str, only)
        if chosen is None:
            return None
        if not self.to_train and self.may_be_absent(algorithms.get(chosen, Use(chosen, {})).use):
            algorithms.setdefault(chosen, Use(chosen, {}))
            return chosen
        where = self.node("algorithm").where
        if "algorithm" not in self.values and len(algorithms) > 1 and chosen not in algorithms:
            options = ", ".join(algorithms)
            self.problems.add(where, "algorithm", f"several are configured; name one of {options}")
            return None
        if chosen not in algorithms:
            use = self.use("algorithm", "algorithm", chosen, {}, where)
            if use is not None:
                algorithms[chosen] = use
        elif isinstance(algorithms[chosen].options, dict):  # written, but not installed
            self.options_type("algorithm", algorithms[chosen].use, where, "algorithm")
        return chosen

    def plugins(self, kind: Kind, key: str, default: tuple[str, ...] = ()) -> dict[str, Use]:
        """A mapping of names to options: each `use`s the plugin of its own name by default."""
        if key in self.values:
            items = mapping_of(self.values[key], key, self.problems) or {}
        else:
            items = {name: Node(str(self.path), self.root.folder, None) for name in default}
        return self.named(kind, key, items)

    def named(
        self, kind: Kind, key: str, items: Mapping[str, Node], default: str | None = None
    ) -> dict[str, Use]:
        """The plugins of a mapping's items. default: the one that an item uses which names none;
        None: the one of the item's own name."""
        found: dict[str, Use] = {}
        for label, node in items.items():
            values = mapping_of(node, join(key, label), self.problems)
            if values is None:
                continue
            values = dict(values)
            name = self.pop(values, "use", str, default or label, join(key, label))
            if name is None:
                continue
            if kind == "algorithm" and self.may_be_absent(name):
                raw = {option: plain(value) for option, value in values.items()}
                found[label] = Use(name, raw)
                continue
            use = self.use(kind, join(key, label), name, values, node.where)
            if use is not None:
                found[label] = use
        return found

    def curriculum(self, randomization: Mapping[str, Use]) -> dict[str, GrowthConfig]:
        """What grows: `task`, `rewards: {NAME: ...}` and `randomization: {NAME: ...}`."""
        key = "curriculum"
        values = mapping_of(self.node(key), key, self.problems) or {}
        check_keys(values, ["task", "rewards", "randomization"], key, self.problems)
        nodes: dict[str, Node] = {}
        for section, node in values.items():
            if section == "task":
                nodes[section] = node
                continue
            items = mapping_of(node, join(key, section), self.problems) or {}
            if section == "randomization":
                check_keys(items, list(randomization), join(key, section), self.problems)
            nodes |= {join(section, label): item for label, item in items.items()}
        return {
            name: to_dataclass(GrowthConfig, node, join(key, name), self.problems)
            for name, node in nodes.items()
        }

    def backend(self) -> Use | None:
        """`auto`, a backend's name, or {use: name, ...options}."""
        return self.chosen("backend", "backend", self.node("backend"))

    def chosen(self, kind: Kind, key: str, node: Node) -> Use | None:
        """`auto`, a plugin's name, or {use: name, ...options}."""
        values: dict[str, Node] = {}
        if isinstance(node.value, dict):
            values = dict(node.value)
            name = self.pop(values, "use", str, "auto", key)
        else:
            name = "auto"
            if node.value is not None:
                try:
                    name = to_type(str, node, key, self.problems)
                except Invalid:
                    return None
        if name == "auto":
            for option, value in values.items():
                what = f"{key}: auto takes no options; name the {kind} with {key}.use"
                self.problems.add(value.where, join(key, option), what)
            return Use("auto", None)
        return self.use(kind, key, name, values, node.where) if name else None

    def environment(self) -> EnvironmentConfig | None:
        """The engine's keys and the plugin's own, written together.

        A plugin may declare an engine's key itself, to give it another default; its declaration
        then takes precedence, and the engine gets its value.
        """
        key, node = "environment", self.node("environment")
        values = mapping_of(node, key, self.problems)
        if values is None:
            return None
        values = dict(values)
        name = self.pop(values, "use", str, registry.default("environment") or "", key)
        if name == "":
            installed = ", ".join(e.name for e in registry.discover("environment")) or "none"
            what = f"name the environment with environment.use; installed: {installed}"
            self.problems.add(node.where, key, what)
            return None
        cls = self.options_type(key, name, node.where, "environment") if name else None
        if name is None or cls is None:
            return None
        rewards = self.reward_terms(values.pop("rewards", None))
        cameras = self.cameras(values.pop("cameras", None))
        drawn_by = values.pop("renderer", Node(node.where, node.folder, None))
        renderer = self.chosen("renderer", join(key, "renderer"), drawn_by)
        _accept_pair(values, "camera_resolution")
        engine_names = [field.name for field in dataclasses.fields(EngineConfig)]
        option_names = [field.name for field in dataclasses.fields(cls)]
        known = list(dict.fromkeys(["use", *engine_names, *option_names]))
        check_keys(values, known, key, self.problems)
        with calling(f"environment '{name}'", cls):
            options = fill(cls, values, node.where, key, self.problems)
        engine_values = {k: v for k, v in values.items() if k not in option_names}
        engine = fill(EngineConfig, engine_values, node.where, key, self.problems)
        if options is None or engine is None or renderer is None:
            return None
        shared = {n: getattr(options, n) for n in engine_names if n in option_names}
        engine = dataclasses.replace(
            engine, rewards=rewards, cameras=cameras, renderer=renderer, **shared
        )
        return EnvironmentConfig(name, options, engine)

    def cameras(self, node: Node | None) -> dict[str, Use]:
        """Cameras by name; each is a `pinhole` unless it names another plugin."""
        key = "environment.cameras"
        items = {} if node is None else mapping_of(node, key, self.problems) or {}
        for label, item in items.items():
            if not re.fullmatch(r"[A-Za-z]\w{0,63}", label):
                what = "a camera's name starts with a letter, then letters, digits and underscores"
                self.problems.add(item.where, join(key, short(label)), what)
        return self.named("camera", key, items, default="pinhole")

    def reward_terms(self, node: Node | None) -> dict[str, RewardTerm] | None:
        key = "environment.rewards"
        if node is None or node.value is None:
            return None
        terms: dict[str, RewardTerm] = {}
        for label, item in (mapping_of(node, key, self.problems) or {}).items():
            name = join(key, label)
            values = mapping_of(item, name, self.problems)
            if values is None:
                continue
            values = dict(values)
            plugin = self.pop(values, "use", str, label, name)
            weight = self.pop(values, "weight", float, 1.0, name)
            use = self.use("reward", name, plugin, values, item.where) if plugin else None
            if use is not None and weight is not None:
                terms[label] = RewardTerm(use.use, use.options, weight)
        return terms

    def pop(self, values: dict[str, Node], name: str, kind: type, default: Any, key: str) -> Any:
        """Remove a key of r2s from a plugin's options and convert it; None when refused."""
        node = values.pop(name, None)
        if node is None:
            return default
        try:
            value = to_type(kind, node, join(key, name), self.problems)
        except Invalid:
            return None
        if name == "use" and is_file_reference(value):
            location, _, function = value.rpartition(":")
            try:
                path = expanded(location, node.where, join(key, name), self.problems)
            except Invalid:
                return None
            return f"{node.folder / path}:{function}"
        if name == "use" and not value:
            what = "must name a plugin; `r2s plugins` lists them"
            self.problems.add(node.where, join(key, name), what)
            return None
        return value

    def use(
        self, kind: Kind, key: str, name: str, values: Mapping[str, Node], where: str
    ) -> Use | None:
        """A plugin with its options checked against its own dataclass."""
        cls = self.options_type(key, name, where, kind)
        if cls is None:
            return None
        if is_file_reference(name) and values:
            what = "a function from a file takes no options; make it a plugin: `r2s new reward`"
            self.problems.add(where, key, what)
            return None
        check_keys(values, [field.name for field in dataclasses.fields(cls)], key, self.problems)
        with calling(f"{kind} '{name}'", cls):  # its options may have code of their own
            options = fill(cls, values, where, key, self.problems)
        return None if options is None else Use(name, options)

    def options_type(self, key: str, name: str, where: str, kind: Kind) -> type | None:
        """The configuration dataclass of a plugin; None, with the reason reported, if unknown."""
        if is_file_reference(name):
            reason = _refusal_of_function(name) if kind == "reward" else _refusal_of_file(kind, key)
            if reason:
                self.problems.add(where, key, reason)
            return None if reason else NoConfig
        try:
            return registry.get(kind, name).plugin.config
        except PluginLoadError:
            raise
        except PluginError as error:
            self.problems.add(where, key, str(error))
            return None

    @staticmethod
    def may_be_absent(name: str) -> bool:
        """Whether an algorithm is neither installed nor a misspelling of an installed one."""
        entries = registry.discover("algorithm")
        names = [name for entry in entries for name in (entry.name, entry.qualified)]
        return name not in names and not did_you_mean(name, names)


def _accept_pair(values: dict[str, Node], key: str) -> None:
    """Reads a pair that is written as in Python, (64, 64), which YAML takes for text."""
    node = values.get(key)
    if node is None or not isinstance(node.value, str):
        return
    if pair := re.fullmatch(r"\(\s*(\d{1,9})\s*,\s*(\d{1,9})\s*\)", node.value):
        sides = [dataclasses.replace(node, value=int(side)) for side in pair.groups()]
        values[key] = dataclasses.replace(node, value=sides)


def _refusal_of_file(kind: Kind, key: str) -> str:
    """What to do in place of `use: file.py:function`, which is for rewards only."""
    template = "task" if kind == "environment" else kind
    label = "NAME" if kind == "environment" else key.rpartition(".")[2]
    return (
        f"only a reward may be a function in a file; a {kind} is a package with a manifest, and "
        f"`r2s new {template} {label}` writes one that works"
    )


def _refusal_of_function(reference: str) -> str | None:
    """Why `file.py:function` cannot be used, found by parsing the file without running it."""
    location, _, function = reference.rpartition(":")
    try:
        source = files.read_text(location, limit=files.MIB, what="a reward function")
        tree = ast.parse(source)
    except R2SError as error:
        return str(error)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"{location} is not valid Python: {short(str(error) or type(error).__name__)}"
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    names += [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    if function in names:
        return None
    return f"{location} defines no function '{function}'{did_you_mean(function, names)}"
