"""A trace replayed on engine models in virtual time: traces, replay, faults, figures of merit, report and plots."""
