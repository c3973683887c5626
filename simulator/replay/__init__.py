"""Replay of traces on engine models in virtual time: traces, limits, outages, measures, report and plots."""
