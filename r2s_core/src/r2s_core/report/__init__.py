"""`report.html`: what a run did and how good its policy is, in one self-contained file."""

from r2s_core.report.page import write_report

__all__ = ["write_report"]
