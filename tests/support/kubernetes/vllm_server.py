"""The command line of vLLM's server, for a simulated engine: what the container of a model runs on the node of tests.

Lives here: vLLM's options in those of `forebay engine`.  All others are read over, as they say nothing to it.
"""

import argparse
import os
import sys
from collections.abc import Sequence

PASSED_ON = {"host": "0.0.0.0", "port": "8000", "max_model_len": None}
"""Options with their defaults in vLLM, by the name in both."""


def engine(arguments: Sequence[str]) -> Sequence[str]:
    """Return the command of the engine that these options of vLLM ask for."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("model_tag", nargs="?", default="")
    parser.add_argument("--model", default="")
    parser.add_argument("--served-model-name", nargs="+", default=[])
    parser.add_argument("--lora-modules", nargs="+", default=[])
    for name, default in PASSED_ON.items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=default)
    options, _ = parser.parse_known_args(arguments)
    made = ["forebay", "engine", "--model", (options.served_model_name or [options.model or options.model_tag])[0]]
    made += ["--name", os.environ["HOSTNAME"]]
    for name in PASSED_ON:
        if (value := getattr(options, name)) is not None:
            made += [f"--{name.replace('_', '-')}", value]
    for module in options.lora_modules:
        made += ["--adapter", module.partition("=")[0]]
    return made


if __name__ == "__main__":
    command = engine(sys.argv[1:])
    os.execvp(command[0], command)  # noqa: S606 - it takes the place of this process
