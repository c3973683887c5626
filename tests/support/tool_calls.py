"""Tools that tests offer, and a recorded stream of calls."""

from pathlib import Path
from typing import Any

from tests.support.shapes import events

_RECORDING = Path(__file__).parents[1] / "simulator" / "recordings" / "chat_stream_tool_calls.txt"
RECORDED_CALLS = events(_RECORDING.read_bytes().partition(b"\n")[2])
"""The events of a stream of vLLM's that calls a function three times."""


def a_tool(name: str, **properties: Any) -> dict[str, Any]:
    """A function whose properties are all required, as OpenAI's chat API describes it."""
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}


WEATHER = a_tool("get_weather", city={"type": "string"}, unit={"enum": ["celsius", "fahrenheit"]})
