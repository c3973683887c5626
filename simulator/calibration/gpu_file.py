"""GPU profiles in files: `forebay calibrate` writes them and `--gpu` reads them.

Lives here: the file format.  Not here: the built-in profiles (core.gpus), fitting one (fit).
"""

from dataclasses import asdict, fields
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from simulator.core.gpus import GPUS, GpuProfile, gpu_profile
from simulator.core.speed import LinearSpeed


@dataclass(frozen=True, config={"extra": "forbid"})
class _GpuFile(GpuProfile):
    speed: LinearSpeed  # the only formula that files may have


def load_gpu(name: str) -> GpuProfile:
    """Return the built-in profile of that name, or the one in the file of that name.

    Raises ValueError when there is neither, and for a file that holds no profile.
    """
    path = Path(name)
    if name in GPUS or not path.is_file():
        return gpu_profile(name)
    try:
        read = TypeAdapter(_GpuFile).validate_python(yaml.safe_load(path.read_text()))
    except (ValidationError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{name} is no GPU profile: {error}") from error
    return GpuProfile(**{field.name: getattr(read, field.name) for field in fields(GpuProfile)})


def gpu_text(profile: GpuProfile, comment: str) -> str:
    """Return the text of a profile's file; its speed must be a LinearSpeed."""
    commented = "".join(f"# {line}\n" for line in comment.splitlines())
    return commented + yaml.safe_dump(asdict(profile), sort_keys=False)
