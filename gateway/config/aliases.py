"""The section `aliases`: names that stand for other models, split by weights, with models to fall back to.

Lives here: its keys.  Not here: those of the whole file (settings), rules between keys (checks), the choice of a model
for a request (gateway.openai.rewrites).
"""

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.picker import RewriteTargetSettings
from gateway.config.section import ModelName, Section


class AliasSettings(Section):
    """A name that clients may give for a model."""

    name: ModelName
    """The name, which no model has."""
    targets: Annotated[tuple[RewriteTargetSettings, ...], Field(min_length=1)]
    """The models that take its place, by their weights."""
    sticky: Literal["session", "user", "none"] = "session"
    """The requests that get the same target as long as targets and weights stay: those of a session (`x-session-id`),
    or where there is none and with `user` those of a user; others, and all with `none`, are drawn by lot."""
    fallbacks: tuple[ModelName, ...] = ()
    """The models that are asked instead while the target has no ready engine: the first that has one."""
