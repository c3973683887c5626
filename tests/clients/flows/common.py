"""The parts that the Python flows share: the addresses and questions, and the report of the results."""

import json
import os
import sys
import traceback
from itertools import islice

ROOT, KEY, EMPTY_KEY, MODEL, PATIENT = (os.environ[name] for name in ("ROOT", "KEY", "EMPTY_KEY", "MODEL", "PATIENT"))
WRONG_KEY = "sk-wrong"
PROMPT = [{"role": "user", "content": "How is the weather in Paris?"}]
LONG = 3000
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": SCHEMA}}


def read_some(stream):
    """Read three events, and leave."""
    return len(list(islice(stream, 3)))


def printed(**steps):
    """Take each step, and print what came of all as one JSON object; a step that raises has come to nothing."""
    json.dump({name: _taken(step) for name, step in steps.items()}, sys.stdout)


def _taken(step):
    try:
        return step()
    except Exception:  # noqa: BLE001 - the test that reads the result fails, and this says why
        traceback.print_exc()
        return None
