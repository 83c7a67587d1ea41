"""What may be in the graph of a bundle's policy: weights and feed-forward operators, in one file.

ONNX Runtime reads weights from other files where a graph says so, runs loops without end, and knows
operators of other domains. So the file is walked before it runs, in Protocol Buffers' wire format
(protobuf.dev/programming-guides/encoding) by the fields of onnx.proto (onnx 1.23). Only fields that
are listed here may occur, so that nothing can be in it that this program does not know: neither
external data, functions, subgraphs nor sparse weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from r2s_deploy import documents
from r2s_deploy.errors import BundleError

_MOST_FIELDS = 200_000  # of the whole file: the time that a walk takes, and the graph's size
_VARINT, _BYTES = 0, 2
_WIDTHS = {1: 8, 5: 4}  # of the wire types of fixed width
_ORT_FORMAT = b"ORTM"  # at byte 4 of a file in ONNX Runtime's own format

#: Operators that compute an output from their inputs in a bounded time, and make none that is
#: larger than its inputs, or weights in the file, ask for.
OPERATORS = frozenset(
    (
        *("Add", "Sub", "Mul", "Div", "Neg", "Abs", "Sign", "Reciprocal", "Pow", "Sqrt", "Exp"),
        *("Log", "Floor", "Ceil", "Round", "Min", "Max", "Mean", "Sum", "Clip", "Mod", "Erf"),
        *("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Sigmoid"),
        *("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Mish", "Softplus"),
        *("Softsign", "HardSigmoid", "HardSwish", "ThresholdedRelu", "Softmax", "LogSoftmax"),
        *("MatMul", "Gemm", "Conv", "AveragePool", "MaxPool", "GlobalAveragePool"),
        *("GlobalMaxPool", "BatchNormalization", "InstanceNormalization", "GroupNormalization"),
        *("LayerNormalization", "RMSNormalization", "LpNormalization"),
        *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1"),
        *("ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "ArgMax", "ArgMin", "CumSum"),
        *("Identity", "Cast", "Constant", "Shape", "Reshape", "Flatten", "Squeeze", "Unsqueeze"),
        *("Transpose", "Concat", "Slice", "Split", "Gather", "GatherElements", "Dropout"),
        *("Where", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"),
        *("And", "Or", "Not", "Xor", "IsNaN", "IsInf"),
    )
)


class _Message(NamedTuple):
    """Fields of a message of onnx.proto by number. plain: numbers and texts; inside: messages."""

    plain: frozenset[int]
    inside: Mapping[int, str] = {}


#: Not listed, thus refused: of a model its functions (25) and training (20), of a graph sparse
#: weights (15), of a tensor external data (13), of an attribute graphs (6, 11), sparse tensors and
#: types. What describes inputs and outputs (11 to 13 of a graph) is ONNX Runtime's to check.
_MESSAGES: Mapping[str, _Message] = {
    "model": _Message(frozenset((1, 2, 3, 4, 5, 6, 14)), {7: "graph", 8: "operator set"}),
    "operator set": _Message(frozenset((1, 2))),
    "graph": _Message(frozenset((2, 10, 11, 12, 13, 16)), {1: "operator", 5: "tensor"}),
    "operator": _Message(frozenset((1, 2, 3, 4, 6, 7, 9)), {5: "attribute"}),
    "attribute": _Message(frozenset((1, 2, 3, 4, 7, 8, 9, 13, 20)), {5: "tensor", 10: "tensor"}),
    "tensor": _Message(frozenset((1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16))),
}
_NAMES = {
    ("model", 20): "training",
    ("model", 25): "functions",
    ("graph", 15): "sparse weights",
    ("tensor", 3): "segments",
    ("tensor", 13): "weights in another file",
    ("attribute", 6): "a graph within an operator",
    ("attribute", 11): "graphs within an operator",
    ("attribute", 21): "a reference to a function",
    ("attribute", 22): "sparse weights",
    ("attribute", 23): "sparse weights",
}
_DOMAINS = (b"", b"ai.onnx")
_OPERATOR = ("operator", 4)
_TEXTS = (_OPERATOR, ("operator", 7), ("operator set", 1))  # and domains
_LOCATION = ("tensor", 14)  # of weights: 0 is in the file


def check(data: bytes, where: str) -> None:
    """Raises `BundleError` where an ONNX file holds what a policy does not need, or is none."""
    if data[4:8] == _ORT_FORMAT:
        raise BundleError(f"{where} is a file in ONNX Runtime's own format, not in ONNX")
    _Walk(memoryview(data), where).message("model", 0, len(data))


class _Walk:
    def __init__(self, data: memoryview, where: str) -> None:
        self._data, self._where, self._fields = data, where, 0

    def message(self, kind: str, at: int, end: int) -> None:
        """The fields of a message in bytes `at` to `end`. Messages are nested four deep at most,
        as `_MESSAGES` has no cycle."""
        known = _MESSAGES[kind]
        while at < end:
            self._fields += 1
            if self._fields > _MOST_FIELDS:
                raise self._error(f"has more than {_MOST_FIELDS:,} fields, which no policy needs")
            tag, at = self._varint(at, end)
            number, wire = tag >> 3, tag & 7
            if number not in known.plain and number not in known.inside:
                named = _NAMES.get((kind, number), f"the unknown field {number}")
                raise self._error(f"has {named} in a {kind}, which no bundle needs")
            start = at
            if wire == _VARINT:
                value, at = self._varint(at, end)
                if (kind, number) == _LOCATION and value:
                    raise self._error("has weights in another file, which no bundle has")
            elif wire == _BYTES:
                size, start = self._varint(at, end)
                at = start + size
            elif wire in _WIDTHS:
                at += _WIDTHS[wire]
            else:
                raise self._error("is damaged: it has a field of an unknown type")
            if at > end:
                raise self._error("is damaged: it ends within a field")
            self._look(kind, number, wire, start, at)

    def _look(self, kind: str, number: int, wire: int, start: int, end: int) -> None:
        inner, field = _MESSAGES[kind].inside.get(number), (kind, number)
        expected = _BYTES if inner or field in _TEXTS else _VARINT if field == _LOCATION else wire
        if wire != expected:
            raise self._error(f"is damaged: field {number} of a {kind} has another type")
        if inner:
            self.message(inner, start, end)
        elif field in _TEXTS:
            self._check_text(field, bytes(self._data[start:end]))

    def _check_text(self, field: tuple[str, int], text: bytes) -> None:
        shown = documents.one_line(text[:60].decode("ascii", "replace"))
        if field == _OPERATOR:
            if text.decode("ascii", "replace") not in OPERATORS:
                raise self._error(
                    f"has the operator {shown or 'of no name'}, which is none of those that "
                    "feed-forward policies consist of; export the policy without it"
                )
        elif text not in _DOMAINS:
            raise self._error(f"has operators of the domain {shown}, and may have ONNX's own alone")

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for i in range(10):
            if at + i >= end:
                break
            byte = self._data[at + i]
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                return value, at + i + 1
        raise self._error("is damaged: it ends within a number")

    def _error(self, what: str) -> BundleError:
        return BundleError(f"{self._where} {what}")
