"""The share of a pod's time that prefill may take: lowered when tokens come further apart than promised, else raised.

Lives here: the step.  Not here: the times between tokens, and what the share is good for (load).
"""

ITL_TARGET_SHARE = 0.84
"""Share of the ITL SLO that is the target of control (chosen: in simulation 0.84 keeps the SLO, 1 overshoots it)."""
MIN_PREFILL_SHARE = 0.002
"""Minimum prefill share: it must never become 0, because then nothing would raise it again (chosen)."""
MAX_PREFILL_SHARE = 1.25
"""Maximum prefill share.  Above 1 it makes up for a prefill speed that is underestimated (chosen: 2 overshoots)."""
PROPORTIONAL_BELOW = 0.25
"""Below this prefill share its changes are proportional to it: with short prompts and long outputs a share of some
hundredths fills the batch, and steps of a tenth would alternate between none and too many (chosen)."""


def next_share(share: float, itl_s: float, target_s: float, max_step: float) -> float:
    """Return the share that follows from the time between tokens, which differs from `share` by at most `max_step`."""
    headroom = max(-1.0, 1 - itl_s / target_s)
    step = max_step * headroom * min(1.0, share / PROPORTIONAL_BELOW)
    return _bounded(share + step)


def agreed_share(share: float, told: float) -> float:
    """Return the share of a replica that hears of another's.

    Each integrates the same error, so without this they would drift apart: one with a lower share than the pod really
    has would see it closed for ever.
    """
    return (share + _bounded(told)) / 2


def _bounded(share: float) -> float:
    return min(MAX_PREFILL_SHARE, max(MIN_PREFILL_SHARE, share))
