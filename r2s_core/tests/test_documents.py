"""Documents: JSON of unknown origin becomes a checked dataclass or one sentence."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import pytest

from r2s_core.errors import ConfigError, R2SError
from r2s_core.plugin import option
from r2s_core.system.documents import parse, read_document


@dataclasses.dataclass(frozen=True)
class Layer:
    size: int = option(minimum=1, maximum=10)
    kind: Literal["relu", "tanh"] = "relu"


@dataclasses.dataclass(frozen=True)
class Document:
    name: str
    rate: float
    layers: tuple[Layer, ...] = ()
    pair: tuple[float, str] | None = None
    notes: Mapping[str, list[bool]] = dataclasses.field(default_factory=dict)
    extra: Any = None

    def __post_init__(self) -> None:
        if self.rate == 13:
            raise ValueError("13 is refused")


_GOOD = {"name": "a", "rate": 2}


def test_a_sound_document_becomes_its_dataclass():
    data = {
        **_GOOD,
        "layers": [{"size": 3}, {"size": 4, "kind": "tanh"}],
        "pair": [1, "x"],
        "notes": {"a": [True]},
        "extra": {"any": ["thing"]},
    }
    found = parse(Document, data, "x.json")
    assert found == Document(
        "a", 2.0, (Layer(3), Layer(4, "tanh")), (1.0, "x"), {"a": [True]}, {"any": ["thing"]}
    )
    assert isinstance(found.rate, float)
    assert parse(tuple[int, ...], [1, 2], "x") == (1, 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": None}, "name: expected text, got null"),
        ({"name": 3}, "name: expected text, got 3"),
        ({"name": "\ud800"}, "name: expected text in Unicode"),
        ({"rate": "3"}, "rate: expected a number, got '3'"),
        ({"rate": True}, "rate: expected a number, got true"),
        ({"rate": float("nan")}, "rate: expected a finite number"),
        ({"rate": float("inf")}, "rate: expected a finite number"),
        ({"rate": 10**400}, "rate: expected a finite number, got a number too large"),
        ({"rate": 13}, "13 is refused"),
        ({"layers": {}}, "layers: expected a list, got a mapping of 0"),
        ({"layers": [3]}, "layers.0: expected a mapping, got 3"),
        ({"layers": [{}]}, "layers.0.size: is missing"),
        ({"layers": [{"size": 0}]}, "layers.0.size: must be at least 1, got 0"),
        ({"layers": [{"size": 11}]}, "layers.0.size: must be at most 10, got 11"),
        ({"layers": [{"size": 2.0}]}, "layers.0.size: expected a whole number, got 2.0"),
        ({"layers": [{"size": True}]}, "layers.0.size: expected a whole number, got true"),
        ({"layers": [{"size": 10**30}]}, "layers.0.size: expected a whole number of 64 bits"),
        ({"layers": [{"size": 1, "kind": ["relu"]}]}, "layers.0.kind: expected one of relu, tanh"),
        ({"pair": [1]}, "pair: expected 2 entries, got a list of 1"),
        ({"notes": {"a": [1]}}, "notes.a.0: expected true or false, got 1"),
        ({"nmae": 1}, "nmae: unknown key; did you mean name?"),
        ({"x" * 1000: 1}, "xxx"),
    ],
    ids=str,
)
def test_anything_else_is_one_short_sentence(change, words):
    with pytest.raises(ConfigError) as caught:
        parse(Document, {**_GOOD, **change}, "x.json", error=ConfigError)
    message = str(caught.value)
    assert message.startswith("x.json: ")
    assert words in message
    assert len(message) < 200
    assert message.isprintable()


@pytest.mark.parametrize("data", [None, 3, "x", [], [{}]])
def test_a_document_of_another_shape_is_refused(data):
    with pytest.raises(R2SError, match="expected a mapping"):
        parse(Document, data, "x.json")


def test_unknown_keys_may_be_ignored_and_files_are_read(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"name": "a", "rate": 1, "new": 2}')
    found = read_document(path, Document, limit=1000, what="a document", unknown="ignore")
    assert found == Document("a", 1.0)
    with pytest.raises(R2SError, match=r"x\.json: new: unknown key"):
        read_document(path, Document, limit=1000, what="a document")
