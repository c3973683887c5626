"""The page about Kubernetes names what there is: files, versions, names.  tests/kubernetes tries its commands."""

import re

from tests.support.manifests import COMPONENTS, OVERLAYS
from tests.support.source_tree import ROOT

PAGE = (ROOT / "docs" / "kubernetes.md").read_text()


def test_every_file_that_it_names_is_there():
    named = {name.rstrip(".") for name in re.findall(r"(?:deploy|samples)/[\w./-]+", PAGE)}

    assert [] == sorted(name for name in named if not (ROOT / name).exists())
    assert len(named) > 10


def test_every_overlay_is_explained():
    explained = set(re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE))

    assert {path.name for path in OVERLAYS.iterdir()} <= explained
    assert explained - {path.name for path in OVERLAYS.iterdir()} <= {path.name for path in COMPONENTS.iterdir()}


def test_the_version_of_envoy_gateway_is_the_same_everywhere():
    makefile = (ROOT / "Makefile").read_text()

    [version] = set(re.findall(r"gateway-helm --version (v[\d.]+)", PAGE))
    assert [version] == re.findall(r"^ENVOY_GATEWAY := (\S+)", makefile, re.MULTILINE)


def test_every_target_that_it_names_is_there():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"make\s+((?:kind|test|mani)[\w-]+)", PAGE))

    assert {"kind-up", "kind-down", "manifests", "test-kubernetes"} == targets
    assert not [name for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)]
