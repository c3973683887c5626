"""The section `scale_from_zero`: how long and how many requests wait for the first engine of a model.

Lives here: its keys.  Not here: those of the whole file (settings), who waits (gateway.admission.queue).
"""

from typing import Annotated

from pydantic import Field

from gateway.config.section import NO_FLAG, Section

LONGEST_WAIT_S = 3590.0
"""Envoy waits an hour for ext_proc at most, and beyond this wait some seconds for us (gateway.envoy.filters)."""


class ScaleFromZeroSettings(Section):
    """Requests for a model without a ready engine, where somebody starts one when told that requests wait."""

    longest_wait_s: Annotated[float, Field(ge=0, le=LONGEST_WAIT_S), NO_FLAG] = 300.0
    """The longest time that a request waits for the first engine of a model whose `scales_from_zero` says that one is
    started, or as long as an autoscaler says so in Redis; then, and for all other models at once, it gets 503.
    `timeouts.idle_s` and Envoy's `message_timeout` must be longer, as the latter is in `forebay envoy-config`.  0: no
    request waits."""
    most_waiting: Annotated[int, Field(ge=0, le=1_000_000), NO_FLAG] = 1000
    """The most requests of a model that wait so in one worker; further ones get 503 at once."""
