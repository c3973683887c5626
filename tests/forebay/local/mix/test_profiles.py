import pytest

from forebay.local.mix.gpu_types import GpuType
from forebay.local.mix.profiles import profile_of
from optimizer.input.reading import InputError


def test_a_type_has_the_bundled_profile_under_the_name_of_its_deployment():
    profile = profile_of(GpuType("V100"))

    assert "v100" == profile.deployment
    assert profile.fit is not None  # plans are made for other SLOs than it was measured for


def test_a_type_without_a_profile_is_named_with_those_that_have_one():
    with pytest.raises(InputError, match=r"published-fit: .*L20"):
        profile_of(GpuType("published-fit"))
