"""The attention operator's strategies, best first."""

from __future__ import annotations

from .attention import AttentionWorkload, PlainAttention
from .attention_amx import AmxAttention
from .strategy import Strategy

ATTENTION_STRATEGIES: tuple[Strategy[AttentionWorkload], ...] = (AmxAttention(), PlainAttention())
