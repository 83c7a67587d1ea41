"""A policy's success under perturbations that it was not trained with."""

from r2s_core.evaluation.robustness.measure import measure_robustness

__all__ = ["measure_robustness"]
