"""The patches for Envoy Gateway.  A real one applies them in tests/kubernetes; tests/deploy compares the files."""

from gateway.config.settings import Settings
from gateway.envoy.headers import response_headers
from gateway.envoy.listener import buffer_bytes
from gateway.envoy.patches import LISTENERS, patch_policies


def patches(settings: Settings | None = None, listener: str = "http") -> list[list[dict]]:
    return [one["spec"]["jsonPatches"] for one in patch_policies(settings or Settings(), LISTENERS[listener])]


def test_there_is_a_policy_for_each_scheme_of_names_with_the_same_changes():
    for listener, names in {
        "http": [("aibrix-system/aibrix-eg/http",) * 2, ("tcp-80", "http-80")],
        "https": [("aibrix-system/aibrix-eg/https",) * 2, ("tcp-443", "aibrix-system/aibrix-eg/https")],
    }.items():
        policies = patches(listener=listener)

        assert names == [(one[1]["name"], one[-1]["name"]) for one in policies]
        assert [each["operation"] for each in policies[0]] == [each["operation"] for each in policies[1]]


def test_usage_is_read_before_the_router_where_answers_do_not_pass_through_the_gateway():
    def inserted(settings: Settings) -> list[str]:
        operations = [each["operation"] for each in patches(settings)[0]]
        return [one["value"]["name"] for one in operations if one.get("path") is None]

    assert ["envoy.filters.http.sse_to_metadata", "envoy.filters.http.json_to_metadata"] == inserted(Settings())
    assert [] == inserted(Settings(response_mode="ext_proc"))


def test_the_pod_that_answered_is_found_by_its_address():
    headers = {
        one["header"]["key"]: one["header"]["value"] for one in response_headers(Settings(), {"target-pod": "NAME"})
    }

    assert "NAME" == headers["target-pod"]
    assert "%UPSTREAM_METADATA(forebay:pod)%" not in str(patches())
    assert "%CEL(metadata.filter_metadata['forebay.pods'][upstream.address])%" in str(patches())
    assert "%CEL(metadata.filter_metadata['forebay.pools'][upstream.address])%" in str(patches())


def test_every_policy_has_the_way_to_first_pods():
    for listener in LISTENERS:
        for policy in patches(listener=listener):
            [cluster] = [one for one in policy if one["type"].endswith("Cluster")]
            [route] = [one["operation"] for one in policy if one["operation"].get("path") == "routes/0"]
            assert cluster["name"] == cluster["operation"]["value"]["name"] == route["value"]["route"]["cluster"]


def test_what_a_listener_buffers_follows_the_body_limit():
    assert 2 * 16 << 20 == buffer_bytes(Settings())
