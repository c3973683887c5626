"""The profiles of the GPU types of a mix: those that are bundled, which the engine model was measured for.

Not here: the profiles (optimizer.profiling).
"""

from dataclasses import replace

from forebay.local.mix.gpu_types import GpuType
from optimizer.profiles.profile import Profile, parse_profile
from optimizer.profiling.bundled import bundled


def profile_of(gpu: GpuType) -> Profile:
    """Return the profile of a type.  Raises InputError where none is bundled."""
    return replace(parse_profile(bundled(gpu.gpu)), deployment=gpu.deployment)
