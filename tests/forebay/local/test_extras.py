"""A command whose extra is missing names it."""

import sys
from pathlib import Path

import pytest

from forebay.local.extras import MissingExtraError, require, require_cluster
from gateway.config.kubernetes import KubernetesSettings
from kube.errors import NoWayError


def test_what_is_installed_is_no_error_and_is_not_imported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)

    require("forebay up", "up", "json", "colorsys")

    assert "colorsys" not in sys.modules


def test_one_missing_module_is_an_error_that_names_the_command_and_the_extra():
    with pytest.raises(MissingExtraError) as caught:
        require("forebay up", "up", "json", "no_such_module")

    assert "forebay up needs the extra up: pip install 'forebay[up]'" == caught.value.message


def test_a_cluster_that_is_not_used_needs_no_way_to_it():
    require_cluster(KubernetesSettings(enabled=False, kubeconfig="absent"))


def test_a_cluster_without_a_way_to_it_is_said_by_the_command(tmp_path: Path):
    with pytest.raises(NoWayError, match="absent not found"):
        require_cluster(KubernetesSettings(enabled=True, kubeconfig=str(tmp_path / "absent")))
