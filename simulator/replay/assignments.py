"""The file of assignments: which pod served each request, one JSON line per request in the order of dispatch.

The format is that of a trace with more keys, so `traces.read` reads it too.
"""

import json
from collections.abc import Iterable
from typing import TextIO

from simulator.replay.replay import Call


def write(calls: Iterable[Call], file: TextIO) -> None:
    """Write one line per call.  When a request was refused, `pod` is null and `why` is the reason."""
    for call in sorted(calls, key=lambda call: call.dispatched_s):
        timestamp, input_length, output_length, hash_ids, _ = call.request
        fields = {
            "timestamp": timestamp,
            "input_length": input_length,
            "output_length": output_length,
            "hash_ids": hash_ids,
            "pod": call.pod or None,
            "dispatched_ms": round(call.dispatched_s * 1000, 3),
            "outcome": "refused" if call.why else "served",
        }
        file.write(json.dumps(fields | ({"why": call.why} if call.why else {})) + "\n")
