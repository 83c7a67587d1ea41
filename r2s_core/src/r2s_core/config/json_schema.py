"""The JSON schema of the configuration with the installed plugins, for editors."""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union

from r2s_core import registry
from r2s_core.config.convert import field_types
from r2s_core.config.schema import (
    DemonstrationsConfig,
    EngineConfig,
    EvaluationConfig,
    GrowthConfig,
    TrainingConfig,
    to_plain,
)
from r2s_core.errors import R2SError
from r2s_core.plugin import Kind, Plugin
from r2s_core.system.foreign import calling

Schema = dict[str, Any]

#: The kinds that a mapping of names to options configures.
_NAMED: tuple[Kind, ...] = ("reward", "randomizer", "camera", "algorithm", "hook")
_WEIGHT: Schema = {"type": "number", "default": 1.0, "description": "multiplies the term"}


def config_schema() -> Schema:
    """The schema (JSON Schema draft 7, which YAML editors speak); a broken plugin is left out."""
    hooks = _named("hook")
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "r2s run configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "name": _text("name of the run; default: the file's name"),
            "seed": {"type": "integer", "default": 0, "description": "seed of all random numbers"},
            "algorithm": _text("which of `algorithms` trains; default: the only one, else ppo"),
            "backend": _chosen("backend", "the physics"),
            "environment": _environment(),
            "randomization": _named("randomizer"),
            "curriculum": _curriculum(),
            "demonstrations": dataclass_schema(DemonstrationsConfig),
            "training": dataclass_schema(TrainingConfig),
            "evaluation": dataclass_schema(EvaluationConfig),
            "algorithms": _named("algorithm"),
            "hooks": {**hooks, "default": {"csv": {}}},
            "output": _text("the run's folder; default: runs/NAME"),
        },
        "definitions": {kind: _used(kind) for kind in _NAMED},
    }


def _curriculum() -> Schema:
    """What may grow: the task's difficulty, reward terms and randomizers by name."""
    growth = dataclass_schema(GrowthConfig)
    named = {"type": "object", "additionalProperties": growth}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {"task": growth, "rewards": named, "randomization": named},
    }


def dataclass_schema(cls: type, extra: Mapping[str, Schema] | None = None) -> Schema:
    """The schema of a configuration dataclass, with `extra` properties."""
    properties = dict(extra or {})
    for field, kind in zip(dataclasses.fields(cls), field_types(cls).values(), strict=True):
        properties[field.name] = _field(field, kind)
    required = [
        field.name
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if cls.__doc__ and not cls.__doc__.startswith(f"{cls.__name__}("):
        schema["description"] = cls.__doc__.strip().splitlines()[0]
    if required:
        schema["required"] = required
    return schema


def _field(field: dataclasses.Field, kind: Any) -> Schema:
    """A field's type with its documentation, default and range."""
    schema = _type(kind)
    limits = {
        "minimum": "minimum",
        "maximum": "maximum",
        "above": "exclusiveMinimum",
        "below": "exclusiveMaximum",
        "choices": "enum",
    }
    found = {limits[k]: to_plain(v) for k, v in field.metadata.items() if k in limits}
    if found:  # a list's limits hold for its items, and None is in every range
        target = schema["items"] if isinstance(schema.get("items"), dict) else schema
        target.update(found)
        if "enum" in found and "null" in target.get("type", ()):
            target["enum"] = [*found["enum"], None]
    if field.metadata.get("doc"):
        schema["description"] = field.metadata["doc"]
    if field.default is not dataclasses.MISSING:
        schema["default"] = to_plain(field.default)
    return schema


def _type(kind: Any) -> Schema:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    names = {bool: "boolean", int: "integer", float: "number", str: "string", Path: "string"}
    if kind in names:
        return {"type": names[kind]}
    if kind is types.NoneType:
        return {"type": "null"}
    if origin in (Union, types.UnionType):
        members = [_type(argument) for argument in arguments]
        if all(set(member) == {"type"} for member in members):
            found = list(dict.fromkeys(name for member in members for name in _names(member)))
            return {"type": found if len(found) > 1 else found[0]}
        if len(members) == 2 and {"type": "null"} in members:  # `X | None`: keep X's shape
            (member,) = [member for member in members if member != {"type": "null"}]
            if "enum" in member:
                return {"enum": [*member["enum"], None]}
            return {**member, "type": [*_names(member), "null"]}
        return {"anyOf": members}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (tuple, list):
        if origin is list or Ellipsis in arguments:
            items = _type(arguments[0])
            single = ["string"] if "string" in _names(items) else []  # `objects: scan.stl`
            return {"type": ["array", *single] if single else "array", "items": items}
        count = len(arguments)
        same = {"items": _type(arguments[0])} if len(set(arguments)) == 1 else {}
        return {"type": "array", "minItems": count, "maxItems": count, **same}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _type(arguments[1])}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return dataclass_schema(kind)
    return {}


def _names(schema: Schema) -> list[str]:
    """The types that a schema allows, always as a list."""
    names = schema.get("type", [])
    return [names] if isinstance(names, str) else list(names)


def _installed(kind: Kind) -> list[tuple[str, Plugin]]:
    """Names as written in YAML, with manifests; those of broken plugins are left out."""
    found = []
    for entry in registry.discover(kind):
        with contextlib.suppress(R2SError):
            plugin = registry.load_manifest(entry).plugin
            with calling(str(entry), plugin.config):
                dataclass_schema(plugin.config)  # unsupported types drop this plugin alone
            found.append((registry.name_in_yaml(entry), plugin))
    return found


def _named(kind: Kind) -> Schema:
    """A mapping of names to options: a plugin's own name, or any name with `use`."""
    any_plugin = {"$ref": f"#/definitions/{kind}"}
    properties = {
        name: {
            "anyOf": [{**_options(kind, name, plugin), "type": ["object", "null"]}, any_plugin],
            "description": plugin.summary,
        }
        for name, plugin in _installed(kind)
    }
    return {"type": "object", "properties": properties, "additionalProperties": any_plugin}


def _used(kind: Kind) -> Schema:
    """The options of any plugin of a kind, distinguished by `use`."""
    choices = [_required(_options(kind, name, plugin)) for name, plugin in _installed(kind)]
    if kind == "reward":
        file = {"type": "string", "pattern": r"\.py:\w+$", "description": "path/file.py:function"}
        properties = {"use": file, "weight": _WEIGHT}
        choices.append(
            _required({"type": "object", "properties": properties, "additionalProperties": False})
        )
    return {"anyOf": choices} if choices else {"not": {}}


def _options(kind: Kind, name: str, plugin: Plugin) -> Schema:
    """A plugin's own options with `use`, and for rewards `weight`."""
    extra: Schema = {"use": {"const": name, "description": f"the {kind} plugin"}}
    if kind == "reward":
        extra["weight"] = _WEIGHT
    return {**dataclass_schema(plugin.config, extra), "description": plugin.summary}


def _required(schema: Schema) -> Schema:
    return {**schema, "required": [*schema.get("required", []), "use"]}


def _chosen(kind: Kind, description: str) -> Schema:
    names = ["auto", *(name for name, _ in _installed(kind))]
    choices: list[Schema] = [{"enum": names}]
    for name, plugin in _installed(kind):
        options = dataclass_schema(plugin.config, {"use": {"const": name}})
        choices.append({**options, "required": ["use"], "description": plugin.summary})
    return {"anyOf": choices, "default": "auto", "description": description}


def _environment() -> Schema:
    """One closed schema per environment plugin, distinguished by `use`."""
    terms = _named("reward")
    rewards = {**terms, "type": ["object", "null"], "description": "the reward's terms by name"}
    pinhole = dict(_installed("camera")).get("pinhole")
    own = [] if pinhole is None else [_options("camera", "pinhole", pinhole)]
    cameras = {
        "type": "object",
        "additionalProperties": {"anyOf": [*own, {"$ref": "#/definitions/camera"}]},
        "description": "the policy's cameras by name",
    }
    engine = dataclass_schema(EngineConfig)["properties"] | {
        "rewards": rewards,
        "cameras": cameras,
        "renderer": _chosen("renderer", "what draws the cameras' images"),
    }
    choices = []
    for name, plugin in _installed("environment"):
        schema = dataclass_schema(plugin.config)
        schema["properties"] = {"use": {"const": name}, **engine, **schema["properties"]}
        schema["description"] = plugin.summary
        choices.append(schema if name == registry.default("environment") else _required(schema))
    return {"anyOf": choices} if choices else {"type": "object"}


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}
