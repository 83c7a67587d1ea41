"""Assertions with the kit's messages, shared by all checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

#: What jit and vmap may change by reordering float32 sums.
RELATIVE, ABSOLUTE = 1e-4, 1e-5


def require(condition: Any, message: str) -> None:
    """Fail the test with `message` unless `condition` holds."""
    if not bool(condition):
        raise AssertionError(message)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def leaves(tree: Any) -> list[tuple[str, np.ndarray]]:
    """Every leaf as a host array, with its path; typed PRNG keys as their data."""
    found = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if _is_key(leaf):
            leaf = jax.random.key_data(leaf)
        found.append((jax.tree_util.keystr(path) or "the value", np.asarray(leaf)))
    return found


def require_finite(tree: Any, what: str) -> None:
    """No NaN and no infinity anywhere."""
    for path, leaf in leaves(tree):
        if np.issubdtype(leaf.dtype, np.floating):
            require(np.isfinite(leaf).all(), f"{what}: {path} is not finite: {leaf}")


def require_same_layout(tree: Any, other: Any, what: str) -> None:
    """The same structure, shapes and dtypes."""
    structures = jax.tree.structure(tree), jax.tree.structure(other)
    require(
        structures[0] == structures[1],
        f"{what}: the structure changes from {structures[0]} to {structures[1]}",
    )
    for (path, a), (_, b) in zip(leaves(tree), leaves(other), strict=True):
        require(
            (a.shape, a.dtype) == (b.shape, b.dtype),
            f"{what}: {path} changes from {a.dtype}{list(a.shape)} to {b.dtype}{list(b.shape)}",
        )


def require_equal(tree: Any, other: Any, what: str, rtol: float = 0.0, atol: float = 0.0) -> None:
    """The same values; NaN equals NaN."""
    require_same_layout(tree, other, what)
    for (path, a), (_, b) in zip(leaves(tree), leaves(other), strict=True):
        if a.dtype == bool or not np.issubdtype(a.dtype, np.number):
            same = np.array_equal(a, b)
        else:
            same = np.allclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
        require(same, f"{what}: {path} differs:\n{a}\nagainst\n{b}")


def require_array(value: Any, shape: tuple[int, ...], dtype: Any, what: str) -> None:
    """An array of exactly this shape and dtype."""
    array = np.asarray(value)
    require(
        array.shape == shape and array.dtype == np.dtype(dtype),
        f"{what} must be {np.dtype(dtype)}{list(shape)}, but is {array.dtype}{list(array.shape)}",
    )


def _on_host(leaf: Any) -> Any:
    """As NumPy, whose slices are not compiled shape by shape; keys stay JAX's."""
    return leaf if _is_key(leaf) else np.asarray(leaf)


def _stack(*items: Any) -> Any:
    items = tuple(map(_on_host, items))
    return np.stack(items) if isinstance(items[0], np.ndarray) else jnp.stack(items)


def require_pure(function: Callable[..., Any], batch: tuple[Any, ...], what: str) -> Any:
    """A pure function of one world: repeatable, and the same under vmap.

    Args:
        batch: its arguments with a leading [N] on every leaf.

    Returns:
        Its values with a leading [N], computed one world at a time.
    """
    count = len(leaves(batch)[0][1])
    batch = jax.tree.map(_on_host, batch)
    worlds = [jax.tree.map(lambda leaf, n=n: leaf[n], batch) for n in range(count)]
    # Each is traced separately, so a difference does not come from the arguments. They are
    # compiled, since op by op a task takes many times longer.
    one, again = (jax.jit(lambda *arguments: function(*arguments)) for _ in range(2))
    try:
        singles = [one(*world) for world in worlds]
        second = again(*worlds[0])
        mapped = jax.jit(jax.vmap(function))(*batch)
    except jax.errors.JAXTypeError as error:
        raise AssertionError(
            f"{what} cannot be traced: use jax.numpy instead of Python's if, float() or numpy on "
            f"what depends on its arguments\n{error}"
        ) from error
    stacked = jax.tree.map(_stack, *singles)
    require_equal(singles[0], second, f"{what}: a second call with the same arguments")
    require_equal(stacked, mapped, f"{what}: under vmap", RELATIVE, ABSOLUTE)
    return stacked
