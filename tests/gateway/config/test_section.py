"""The base of all sections."""

import pytest
from pydantic import ValidationError

from gateway.config.section import NO_FLAG, Section


class Counted(Section):
    """A section with one number."""

    number: int = 0


def test_unknown_keys_are_errors_and_a_section_cannot_be_changed():
    with pytest.raises(ValidationError):
        Counted.model_validate({"other": 1})
    with pytest.raises(ValidationError):
        Counted().number = 1  # type: ignore[misc]  # frozen


@pytest.mark.parametrize("flag", [True, False])
def test_a_flag_is_no_number(flag: bool):
    with pytest.raises(ValueError, match="must be a number"):
        NO_FLAG.func(flag)  # type: ignore[call-arg]  # it takes the value alone
