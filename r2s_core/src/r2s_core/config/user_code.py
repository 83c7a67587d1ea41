"""The user's own code in a configuration: reward functions in files. See `system.trust`."""

from __future__ import annotations

from r2s_core.config.schema import RunConfig
from r2s_core.system.trust import is_trusted, record_trust, refusal
from r2s_core.system.user_file import is_file_reference


def require(config: RunConfig, trust: bool = False) -> None:
    """Make sure that every reward file of `config` may run; runs none of them.

    trust: the user allows them; the decision is recorded for their present content.

    Raises `UntrustedCodeError`, saying what would run, and `ConfigError` where a file cannot be
    read.
    """
    if trust:
        for _, reference in reward_files(config):
            record_trust(reference)
    if references := untrusted(config):
        raise refusal(references)


def untrusted(config: RunConfig) -> list[tuple[str, str]]:
    """The `reward_files` that the user has not trusted yet; raises `ConfigError` where one cannot
    be read."""
    return [(key, use) for key, use in reward_files(config) if not is_trusted(use)]


def reward_files(config: RunConfig) -> list[tuple[str, str]]:
    """(key, `path/to/file.py:function`) of each configured reward that is a function in a file."""
    terms = config.environment.engine.rewards or {}
    return [
        (f"environment.rewards.{name}", term.use)
        for name, term in terms.items()
        if is_file_reference(term.use)
    ]
