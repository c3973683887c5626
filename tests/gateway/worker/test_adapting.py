"""Adapters are kept by gateways where no controller keeps them."""

import random

import pytest

from gateway.config.kubernetes import KubernetesSettings
from gateway.config.settings import RoutingSettings, Settings
from gateway.fleet.fleet import Fleet
from gateway.worker.adapting import Adapting


@pytest.mark.parametrize("in_cluster", [True, False])
def test_a_gateway_keeps_adapters_outside_of_clusters(in_cluster: bool):
    settings = Settings(kubernetes=KubernetesSettings(enabled=in_cluster))
    fleet = Fleet(RoutingSettings(), random.Random(1))

    adapting = Adapting(settings, "r", fleet, lambda adapters: None, lambda: 0.0)

    assert in_cluster is not bool(adapting.tasks())
