"""The keys of endpoint picking for an InferencePool (docs/contracts.md section 7).

Lives here: what Gateway API Inference Extension says to a picker.  Not here: the other keys (settings), rules between
keys (checks), the objects of a cluster that say the same (gateway.discovery.pools).
"""

from typing import Annotated

from pydantic import Field

from gateway.config.section import NO_FLAG, ModelName, Section


class ObjectiveSettings(Section):
    """An objective, as an InferenceObjective is one."""

    name: Annotated[str, Field(min_length=1)]
    """The name that requests send in `x-gateway-inference-objective`."""
    priority: Annotated[int, Field(ge=-(2**31), lt=2**31), NO_FLAG] = 0
    """The priority of such requests; those without an objective have 0.  Where requests wait, those of a higher one go
    first, and those of a lower one are refused first."""


class RewriteTargetSettings(Section):
    """A model that is asked for in place of another one."""

    model: ModelName
    """Its name."""
    weight: Annotated[int, Field(ge=1, le=1_000_000), NO_FLAG] = 1
    """Its share of the requests: the weight over the sum of all weights of the rule."""


class RewriteSettings(Section):
    """A rule that has other models asked for than clients name, as those of an InferenceModelRewrite."""

    models: tuple[ModelName, ...] = ()
    """The models that clients name.  Empty: any for which there is no rule of its own."""
    targets: Annotated[tuple[RewriteTargetSettings, ...], Field(min_length=1)]
    """The models that take their place."""


class PickerSettings(Section):
    """This gateway as endpoint picker of InferencePools (Gateway API Inference Extension), and its control headers."""

    trust_headers: bool | None = None
    """Whether requests may set their own priority (`x-gateway-inference-objective`), say who takes turns with others
    (`x-gateway-inference-fairness-id`) and name another model (`x-gateway-model-name-rewrite`).  `false`: the last two
    are ignored, and an objective can only lower the priority.  Set it to `true` only where nobody but your own proxy
    sets these headers, or everybody may.  Absent: `false` with `identity: api_key`, else `true`."""
    service: str = ""
    """The Service of this gateway, `namespace/name`, as the `endpointPickerRef` of an InferencePool names it.  The
    engines are then the pods of those pools, and objectives and rewrites are those of the cluster.  Needs
    `kubernetes.enabled`.  Empty: no pools are followed."""
    objectives: tuple[ObjectiveSettings, ...] = ()
    """The objectives that requests may name; one of another name counts as none."""
    rewrites: tuple[RewriteSettings, ...] = ()
    """The rules by which models are rewritten; of two for the same model the first counts."""
