"""The configuration that `forebay init` writes."""

import re
from pathlib import Path

from forebay.local.engine_url import Engine, EngineUrl
from forebay.local.starter import starter_text
from gateway.config.loading import load
from gateway.config.settings import Settings
from routing.table import STRATEGIES


def settings_of(folder: Path, text: str) -> Settings:
    file = folder / "forebay.yaml"
    file.write_text(text)
    return load(file, {"FOREBAY_ADMIN_TOKEN": "t"}, STRATEGIES)


def test_as_written_it_has_the_defaults(tmp_path: Path):
    assert Settings() == settings_of(tmp_path, starter_text("forebay.yaml", []))


def test_every_key_in_a_comment_exists_and_so_does_the_example(tmp_path: Path):
    text = starter_text("forebay.yaml", []).replace("models: []", "models:").replace("#models_file", "# models_file")
    text = re.sub(r"(?m)^#(?=  - |    endpoints|      - )", "", text)
    text = re.sub(r"(?m)^( *)#(?=[a-z_]+:)", r"\1", text)

    settings = settings_of(tmp_path, text)

    assert ("t", "deny", 2, 20) == (
        settings.admin_token,
        settings.anonymous,
        settings.routing.slo_ttft_s,
        settings.routing.longest_wait_s,
    )
    assert [2] == [len(model.endpoints) for model in settings.models]


def test_engines_are_filled_in(tmp_path: Path):
    engines = [(EngineUrl("gpu1", 8000), Engine("10.0.0.1:8000", "sglang", {"m": ("a",), "n: #1": ()}))]

    models = settings_of(tmp_path, starter_text("forebay.yaml", engines)).models

    assert ["m", "n: #1"] == [model.name for model in models]
    assert ("10.0.0.1:8000", "gpu1:8000", "sglang", ("a",)) == (
        models[0].endpoints[0].address,
        models[0].endpoints[0].name,
        models[0].endpoints[0].engine,
        models[0].endpoints[0].adapters,
    )
