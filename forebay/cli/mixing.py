"""The option `--mix` of several commands: GPU types, of which the optimizer says how many replicas there are."""
# ruff: noqa: PLC0415 - each command imports what it runs only then, so that `forebay --help` stays fast

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from forebay.local.mix.gpu_types import GpuType

SYNTAX = "TYPE[:COST[:MIN[:MAX]]],..."
DEFAULT_MIX = "L20:1.0:0:3,V100:0.4:1:3"
"""Two types, of which one is cheaper for chat and only the other answers long prompts in time; prices and bounds are
chosen, six engines are what two cores simulate."""
DEFAULT_SLO = "ttft=2,itl=0.1"
"""That of the bundled profiles."""

Read = Callable[[click.Context, click.Parameter, str | None], "tuple[GpuType, ...] | None"]


def mix_of(most: int) -> Read:
    """Return the reader of GPU types, which must have a profile; `most` is MAX where it is left out."""

    def read(_context: click.Context, _parameter: click.Parameter, value: str | None) -> "tuple[GpuType, ...] | None":
        from forebay.local.mix.gpu_types import parse_mix
        from forebay.local.mix.profiles import profile_of

        try:
            types = None if value is None else parse_mix(value, most)
            for each in types or ():
                profile_of(each)
        except (ValueError, OSError) as error:
            raise click.BadParameter(str(error)) from error
        return types

    return read
