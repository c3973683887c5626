import pytest

from kube.quantities import parse, render


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", 0.5), ("2", 2), (3, 3), ("1.5", 1.5), (".5", 0.5), ("-2", -2), ("12500000n", 0.0125), ("7u", 7e-6),
        ("1e3", 1000), ("1k", 1000), ("2Ki", 2048), ("1Gi", 1 << 30), ("3E", 3e18), ("1Ei", float(1 << 60)),
    ],
)  # fmt: skip
def test_a_quantity_is_read_as_kubernetes_means_it(text: str, number: float):
    assert number == pytest.approx(parse(text))


@pytest.mark.parametrize("text", ["", "m", "1K", "1 Gi", "NaN", "1x", "0x10", "1e999", "None"])
def test_what_is_no_quantity_is_said_to_be_none(text: str):
    with pytest.raises(ValueError, match="must be a quantity"):
        parse(text)


@pytest.mark.parametrize(("value", "text"), [(0.5, "500m"), (3.0, "3"), (0, "0"), (1.2345, "1234m"), (0.0004, "0")])
def test_a_number_is_written_to_a_thousandth(value: float, text: str):
    assert text == render(value)
    assert value == pytest.approx(parse(text), abs=0.001)
