"""Tuning: candidates are drawn from the strategies' spaces, built here, measured on boards, and logged."""
