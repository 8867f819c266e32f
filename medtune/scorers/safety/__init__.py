"""A question and a model's answer in, what is dangerous in the answer out: rules and word lists, no model."""

from medtune.scorers.safety.assessing import RULES, Assessment, Finding, assess

__all__ = ["RULES", "Assessment", "Finding", "assess"]
