"""The bodies of calls: those of AIBrix v0.2.1 and of its later releases.

Lives here: fields and their defaults.  Not here: what is done with them (adapters, models, phases).
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

Text = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(ge=0, le=3600)]


class Body(BaseModel):
    """A body; a field that it does not have is an error."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class LoadAdapterBody(Body):
    """POST /v1/lora_adapter/load: `lora_path` as in v0.2.1, or `artifact_url` as later."""

    lora_name: Text
    lora_path: Text | None = None
    """A path that the engine can read, or whatever else it takes; passed on as it is."""
    artifact_url: Text | None = None
    """The source of a download, or a path, which is passed on."""
    credentials: dict[str, str] | None = None
    credentials_secret: str | None = None
    additional_config: dict[str, str] | None = None
    """Options of the source; `api-key` is the engine's key."""
    local_dir: Text | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> "LoadAdapterBody":
        if (self.lora_path is None) == (self.artifact_url is None):
            message = "must have lora_path or artifact_url, and not both"
            raise ValueError(message)
        return self


class UnloadAdapterBody(Body):
    """POST /v1/lora_adapter/unload."""

    lora_name: Text
    lora_int_id: int | None = None
    """Accepted and not needed."""
    cleanup_local: bool = True
    """Whether what the runtime has downloaded for the adapter is deleted."""


class DownloadBody(Body):
    """POST /v1/model/download."""

    model_uri: Text
    local_dir: Text | None = None
    model_name: Text | None = None
    download_extra_config: dict[str, Any] | None = None


class ListBody(Body):
    """GET /v1/model/list; also `?local_dir=`."""

    local_dir: Text


class PhaseBody(Body):
    """The fields that all changes of a phase may have."""

    model_name: Text | None = None
    """A model that the engine must have; None = whatever it has."""
    operation_id: str = ""
    """Returned as it is."""


class SleepBody(PhaseBody):
    """POST /v1/runtime/models/sleep."""

    level: Annotated[int, Field(ge=1, le=2)] = 1
    drain_s: Seconds = 30.0
    """Time for the requests that run; 0 = do not wait for them."""


class DrainBody(PhaseBody):
    """POST /v1/runtime/models/drain."""

    timeout_s: Seconds = 30.0
