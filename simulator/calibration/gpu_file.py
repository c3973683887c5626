"""GPU profiles in files: what `forebay calibrate` writes and `--gpu` reads.

Lives here: the file format.  Not here: the profiles that ship (core.gpus), fitting one (calibration).
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
    speed: LinearSpeed  # the formula that files have


def load_gpu(name: str) -> GpuProfile:
    """Return the profile of that name or in the file of that name.

    Raises ValueError for what is neither, and for a file that is no profile.
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
    """Return the text of a file for a profile with a linear speed."""
    commented = "".join(f"# {line}\n" for line in comment.splitlines())
    return commented + yaml.safe_dump(asdict(profile), sort_keys=False)
