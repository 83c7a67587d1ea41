"""What of a configuration is code of its user's: reward functions in files. See `system.trust`."""

from __future__ import annotations

from r2s_core.config.schema import RunConfig
from r2s_core.system.trust import is_trusted, refusal, remember
from r2s_core.system.user_file import is_file_reference


def require(config: RunConfig, trust: bool = False) -> None:
    """Make sure that every reward file of `config` may run; runs none of them.

    trust: the user says that they may; their content is remembered.

    Raises `UntrustedCodeError`, saying what would run, and `ConfigError` where a file cannot be
    read.
    """
    if trust:
        for _, reference in reward_files(config):
            remember(reference)
    if references := untrusted(config):
        raise refusal(references)


def untrusted(config: RunConfig) -> list[tuple[str, str]]:
    """Those of `reward_files` that the user has not trusted; `ConfigError` where one cannot be
    read."""
    return [(key, use) for key, use in reward_files(config) if not is_trusted(use)]


def reward_files(config: RunConfig) -> list[tuple[str, str]]:
    """(key, `path/to/file.py:function`) of each reward of the configuration that is a file's."""
    terms = config.environment.engine.rewards or {}
    return [
        (f"environment.rewards.{name}", term.use)
        for name, term in terms.items()
        if is_file_reference(term.use)
    ]
