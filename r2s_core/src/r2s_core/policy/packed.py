"""A saved policy as one file, for whoever keeps it: the weights, with the contract as metadata."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.numpy

from r2s_core.policy import contract as policy_contract
from r2s_core.policy.contract import CONTRACT, PolicyError
from r2s_core.policy.saved import SavedPolicy, load_policy, tensors_in, with_weights
from r2s_core.system import files

SUFFIX = ".safetensors"
_KEY = "r2s-policy"
_LIMIT, _HEADER = 1024 * files.MIB, 16 * files.MIB


def is_policy(path: Path) -> bool:
    """Whether a path is that of a run, of its `policy/`, or of a packed policy."""
    if path.is_dir():
        return any((folder / CONTRACT).exists() for folder in (path, path / "policy"))
    return path.suffix == SUFFIX and path.is_file() and _KEY in metadata(_head(path))


def pack(policy: SavedPolicy) -> bytes:
    """The content of the file."""
    text = policy_contract.text_of(policy.contract)
    return safetensors.numpy.save(dict(policy.tensors), {_KEY: text})


def load(path: Path) -> SavedPolicy:
    """The policy of a run, of its `policy/`, or of a packed file; raises `PolicyError`."""
    if path.is_dir():
        return load_policy(path)
    data = files.read_bytes(path, limit=_LIMIT, what="a policy", error=PolicyError)
    text = metadata(data).get(_KEY)
    if text is None:
        raise PolicyError(f"{path} holds no policy.")
    contract = policy_contract.parse(text.encode(), str(path))
    return with_weights(contract, safetensors.numpy.save(tensors_in(data, path)), path)


def metadata(content: bytes) -> dict[str, str]:
    """The texts in the header of a safetensors file; none where it is damaged.

    The file begins with the length of its header in 8 bytes, little-endian, then the header, JSON.
    """
    size = int.from_bytes(content[:8], "little")
    try:
        found = json.loads(content[8 : 8 + size]).get("__metadata__", {})
    except (ValueError, AttributeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _head(path: Path) -> bytes:
    """The beginning of a file, as far as its header may go."""
    with files.open_regular(path, what="a policy", error=PolicyError) as file:
        return file.read(_HEADER)
