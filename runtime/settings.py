"""The settings of the runtime: those environment variables of AIBrix's that decide something here.

Lives here: names, defaults and rules.  Not here: the environment itself (forebay.cli.sidecar), variables of downloads
(runtime.downloads).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ENGINE, ENDPOINT, METRICS_PATH = "vllm", "http://localhost:8000", "/metrics"
ADAPTERS_FOLDER = Path("/tmp/aibrix/adapters")  # noqa: S108 - the folder that AIBrix shares between the containers
MODELS_FOLDER = Path("/tmp/aibrix/models")  # noqa: S108 - as above

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})


class SettingsError(ValueError):
    """Variables that cannot be used; each of `problems` is `NAME = value, rule`."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Settings:
    """The engine that the runtime stands beside, and where files go."""

    engine: str = ENGINE
    """INFERENCE_ENGINE, in lower case; one that is not known is taken as any engine with OpenAI's API."""
    engine_version: str = ""
    """INFERENCE_ENGINE_VERSION; shown in `aibrix:info` and otherwise not used."""
    endpoint: str = ENDPOINT
    """INFERENCE_ENGINE_ENDPOINT, without a slash at its end."""
    api_key: str = ""
    """INFERENCE_ENGINE_API_KEY: the engine's own key (vLLM's and SGLang's `--api-key`); empty where it has none."""
    metrics_path: str = METRICS_PATH
    """METRIC_SCRAPE_PATH; a missing slash is added."""
    has_standard_names: bool = True
    """METRICS_ENABLE_TRANSFORMATION, and METRICS_RAW_PASSTHROUGH_MODE turned round: whether families are copied."""
    models_folder: Path = MODELS_FOLDER
    """DOWNLOADER_LOCAL_DIR: downloaded models, where a call names no other folder."""
    adapters_folder: Path = ADAPTERS_FOLDER
    """ADAPTER_LOCAL_DIR: downloaded adapters likewise; the engine must see it under the same path."""

    @property
    def port(self) -> int:
        """The engine's port."""
        parts = urlsplit(self.endpoint)
        return parts.port or (443 if parts.scheme == "https" else 80)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings.  Raises SettingsError, which names every variable that cannot be used."""
    problems: list[str] = []

    def text(name: str, default: str) -> str:
        return environment.get(name, "").strip() or default

    def flag(name: str, *, default: bool) -> bool:
        value = text(name, "1" if default else "0").lower()
        if value not in _TRUE | _FALSE:
            problems.append(f"{name} = {value}, must be 1 or 0")
        return value in _TRUE

    endpoint = text("INFERENCE_ENGINE_ENDPOINT", ENDPOINT).rstrip("/")
    if not _is_http_url(endpoint):
        problems.append(f"INFERENCE_ENGINE_ENDPOINT = {endpoint}, must be http://host:port or https://host:port")
    settings = Settings(
        text("INFERENCE_ENGINE", ENGINE).lower(),
        text("INFERENCE_ENGINE_VERSION", ""),
        endpoint,
        text("INFERENCE_ENGINE_API_KEY", ""),
        "/" + text("METRIC_SCRAPE_PATH", METRICS_PATH).lstrip("/"),
        flag("METRICS_ENABLE_TRANSFORMATION", default=True) and not flag("METRICS_RAW_PASSTHROUGH_MODE", default=False),
        Path(text("DOWNLOADER_LOCAL_DIR", str(MODELS_FOLDER))).absolute(),
        Path(text("ADAPTER_LOCAL_DIR", str(ADAPTERS_FOLDER))).absolute(),
    )
    if problems:
        raise SettingsError(tuple(problems))
    return settings


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not parts.query
    except ValueError:
        return False
