"""Benchmarks on boards: what to measure, until when, and what came out."""

from .measurement import Measurement, Sample
from .plan import Plan
from .runner import run
from .statistics import Summary, summarize

__all__ = ["Measurement", "Plan", "Sample", "Summary", "run", "summarize"]
