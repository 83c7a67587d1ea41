"""What a network reads: its observation groups as one vector."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from r2s_algos_common.encoders.augment import augmented
from r2s_algos_common.encoders.config import ImageEncoder
from r2s_algos_common.encoders.convolution import (
    Encoder,
    convolutions,
    encoder_layers,
    init_encoder,
)
from r2s_algos_common.normalize import (
    OBSERVATION_CLIP,
    RunningStatistics,
    normalize,
    standard_deviation,
)
from r2s_core.types import Array, ArraySpec, EnvSpec, Layer, Named

#: Mean and deviation by which images are normalised: bytes to [-0.5, 0.5], millimetres to metres.
_SCALES = {"uint8": (127.5, 255.0), "uint16": (0.0, 1000.0)}


class _Eye(NamedTuple):
    """An encoder and what it sees: tuples of groups, whose channels are stacked."""

    name: str
    views: tuple[tuple[str, ...], ...]
    shape: tuple[int, ...]
    encoder: Encoder


class Reader:
    """From observation groups to one vector: the numbers, normalised, then the features of each
    image. Holds no weights."""

    def __init__(
        self,
        spec: EnvSpec,
        groups: Sequence[str],
        options: ImageEncoder,
        normalize_observations: bool = True,
    ) -> None:
        """groups: those that are read, at least one."""
        self._specs = {name: spec.observations[name] for name in groups}
        self._options, self._normalize = options, normalize_observations
        self.numbers = tuple(n for n, x in self._specs.items() if not x.is_image)
        self.images = tuple(n for n, x in self._specs.items() if x.is_image)
        self._eyes = tuple(
            _eye(views, self._specs, options) for views in _views(self._specs, self.images, options)
        )
        features = sum(len(eye.views) for eye in self._eyes) * options.features
        #: The vector's size.
        self.size = sum(math.prod(self._specs[n].shape) for n in self.numbers) + features

    @property
    def groups(self) -> tuple[str, ...]:
        """The observation groups that are read."""
        return tuple(self._specs)

    def leading(self, obs: Named) -> tuple[int, ...]:
        """The dimensions of observations before those of one world."""
        name, spec = next(iter(self._specs.items()))
        return obs[name].shape[: obs[name].ndim - len(spec.shape)]

    def init(self, key: Array) -> dict[str, Any]:
        """The encoders' parameters by name; {} where no image is read. On the host."""
        keys = jax.random.split(key, max(len(self._eyes), 1))
        return {
            eye.name: init_encoder(eye.encoder, k, eye.shape)
            for eye, k in zip(self._eyes, keys, strict=False)
        }

    def read(
        self, encoders: Mapping[str, Any], statistics: Mapping[str, RunningStatistics], obs: Named
    ) -> Array:
        """float32[..., size] from observations [..., *shape].

        encoders: the parameters. statistics: of the groups of numbers.
        """
        return self.encode(encoders, normalized(statistics, obs, self._normalize))

    def encode(self, encoders: Mapping[str, Any], observed: Named) -> Array:
        """`read` of observations that are `normalized`."""
        found = {n: self._centred(n, observed[n]) for n in self.images}
        parts = [observed[n] for n in self.numbers]
        for eye in self._eyes:
            seen = [_joined([found[n] for n in view], -1) for view in eye.views]
            leading = seen[0].shape[:-3]
            x = _joined([x.reshape(-1, *eye.shape) for x in seen], 0)
            features: Any = eye.encoder.apply(encoders[eye.name], x)
            parts += [x.reshape(*leading, -1) for x in jnp.split(features, len(eye.views))]
        return _joined(parts, -1)

    def augmented(self, obs: Named, key: Array) -> Named:
        """Observations [B, ...] to learn from, their images changed at random, see
        `ImageEncoder.augment`."""
        return augmented(self._options.augment, obs, self.images, key)

    def layers(
        self, encoders: Mapping[str, Any], statistics: Mapping[str, RunningStatistics]
    ) -> tuple[Layer, ...]:
        """`read` as layers of a policy; the last outputs the vector."""
        graph, parts = [], []
        for group in self.groups:
            name = "normalised" if group == "policy" else f"{group}_normalised"
            mean, std = self._mean_and_std(group, statistics)
            tensors, options = {"mean": mean, "std": std}, {"clip": OBSERVATION_CLIP}
            graph.append(Layer(name, "normalise", (group,), options, tensors))
        names = dict(zip(self.groups, (layer.name for layer in graph), strict=True))
        parts += [names[group] for group in self.numbers]
        for eye in self._eyes:
            params = jax.device_get(encoders[eye.name])
            for view in eye.views:
                name, source = "+".join(view), names[view[0]]
                if len(view) > 1:
                    source = f"{name}_stacked"
                    graph.append(Layer(source, "concat", tuple(names[group] for group in view)))
                graph += encoder_layers(eye.encoder, params, name, source)
                parts.append(graph[-1].name)
        if len(parts) > 1:
            graph.append(Layer("read", "concat", tuple(parts)))
        return tuple(graph)

    def _centred(self, group: str, image: Array) -> Array:
        dtype = self._specs[group].dtype
        mean, std = _SCALES[dtype]
        x = (image.astype(jnp.float32) - mean) / std
        return x if dtype == "uint8" else jnp.minimum(x, OBSERVATION_CLIP)

    def _mean_and_std(
        self, group: str, statistics: Mapping[str, RunningStatistics]
    ) -> tuple[np.ndarray, np.ndarray]:
        spec = self._specs[group]
        if spec.is_image:
            mean, std = _SCALES[spec.dtype]
            return np.full(spec.shape[-1:], mean), np.full(spec.shape[-1:], std)
        if not self._normalize:
            return np.zeros(spec.shape, np.float32), np.ones(spec.shape, np.float32)
        own = statistics[group]
        return np.asarray(own.mean), np.asarray(standard_deviation(own))


def normalized(
    statistics: Mapping[str, RunningStatistics], obs: Named, enabled: bool = True
) -> Named:
    """Observations whose numbers are normalised by the statistics of their groups; the others, such
    as images, are left out of `statistics` and stay as they are.

    enabled: False: the numbers are only clipped.
    """
    return {
        name: normalize(statistics[name] if enabled else None, x) if name in statistics else x
        for name, x in obs.items()
    }


def _views(
    specs: Mapping[str, ArraySpec], images: Sequence[str], options: ImageEncoder
) -> list[tuple[tuple[str, ...], ...]]:
    """For each encoder what it sees, see `_Eye`."""
    if options.cameras == "separate":
        return [((name,),) for name in images]
    alike: dict[Any, list[str]] = {}
    for name in images:
        spec = specs[name]
        key = spec.shape[:2] if options.cameras == "stacked" else (spec.shape, spec.dtype)
        alike.setdefault(key, []).append(name)
    if options.cameras == "stacked":
        return [(tuple(names),) for names in alike.values()]
    return [tuple((name,) for name in names) for names in alike.values()]


def _eye(
    views: tuple[tuple[str, ...], ...], specs: Mapping[str, ArraySpec], options: ImageEncoder
) -> _Eye:
    height, width, _ = specs[views[0][0]].shape
    channels = sum(specs[name].shape[-1] for name in views[0])
    name = "+".join(name for view in views for name in view)
    encoder = Encoder(convolutions(height, width, options.channels), options.features)
    return _Eye(name, views, (height, width, channels), encoder)


def _joined(parts: Sequence[Array], axis: int) -> Array:
    """The parts in one array; a single one as it is."""
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis)
