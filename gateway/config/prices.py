"""Prices of tokens, which several sections of the configuration file have.

Not here: those sections (settings, pools), what requests cost (gateway.accounting).
"""

from typing import Annotated

from pydantic import Field

from gateway.config.section import NO_FLAG, Section

HIGHEST_PRICE = 1_000_000
"""The highest price of a million tokens (chosen: 1 for each token, far above any model)."""
Money = Annotated[float, Field(ge=0, le=HIGHEST_PRICE), NO_FLAG]
"""An amount in the currency of all prices."""


class PriceSettings(Section):
    """Prices per million tokens, all in one currency."""

    input: Money = 0.0
    """The price of tokens of the prompt."""
    cached_input: Money | None = None
    """The price of those of them that the engine had cached.  Absent: as `input`."""
    output: Money = 0.0
    """The price of tokens of the answer."""
