"""Bounds on what Envoy holds for its clients: connections, and memory for bodies that it gathers.

Lives here: the overload manager.  Not here: how much it buffers of one request (listener).
"""

from gateway.config.settings import Settings
from gateway.envoy.messages import Json, extension

_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"
_HEAP = "envoy.resource_monitors.fixed_heap"
_CONFIGS = "envoy.extensions.resource_monitors"
_RESET_FROM, _RESET_TO = 0.85, 0.98
"""Shares of the heap from which on streams that hold most are reset, and at which all that hold much are."""
_REFUSE_FROM = 0.95
"""The share of the heap from which on new requests get 503."""
_TRACKED_POWER = 20
"""Streams that hold 2^20 bytes and more are told apart by how much they hold."""


def overload_manager(settings: Settings) -> Json:
    """Return the manager: it closes surplus connections, and when memory is short resets streams that hold most."""
    connections = extension(
        _CONNECTIONS,
        f"{_CONFIGS}.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=settings.envoy.max_connections,
    )
    heap = extension(
        _HEAP, f"{_CONFIGS}.fixed_heap.v3.FixedHeapConfig", max_heap_size_bytes=settings.envoy.memory_bytes
    )
    scaled = {"scaling_threshold": _RESET_FROM, "saturation_threshold": _RESET_TO}
    return {
        "refresh_interval": "0.250s",
        "resource_monitors": [connections, heap],
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": _TRACKED_POWER},
        "actions": [
            _action("reset_high_memory_stream", {"scaled": scaled}),
            _action("stop_accepting_requests", {"threshold": {"value": _REFUSE_FROM}}),
        ],
    }


def _action(name: str, trigger: Json) -> Json:
    return {"name": f"envoy.overload_actions.{name}", "triggers": [{"name": _HEAP, **trigger}]}
