import click
import pytest
from click.testing import CliRunner

from forebay.cli.mixing import DEFAULT_MIX, mix_of


def read(*arguments: str) -> str:
    @click.command()
    @click.option("--mix", is_flag=False, flag_value=DEFAULT_MIX, callback=mix_of(7))
    def shown(mix: object) -> None:
        click.echo(mix and [(each.gpu, each.cost, each.min_replicas, each.max_replicas) for each in mix])

    return CliRunner().invoke(shown, arguments).output.strip()


def test_the_option_may_have_a_value_or_none_or_be_absent():
    assert "[('L20', 1.0, 0, 3), ('V100', 0.4, 1, 3)]" == read("--mix")
    assert "[('A100', 2.5, 0, 7)]" == read("--mix", "A100:2.5")
    assert "" == read()


@pytest.mark.parametrize(
    ("text", "why"),
    [("X9", "gpu = 'X9'"), ("missing.yaml", "missing.yaml"), ("L20:x", "must be"), ("published-fit", "bundled")],
)
def test_what_is_no_mix_is_a_usage_error(text: str, why: str):
    assert why in read("--mix", text)
