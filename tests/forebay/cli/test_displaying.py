import pytest
from click.testing import CliRunner

from forebay.cli.main import main
from tests.support.ports import free_port


def test_elsewhere_than_on_loopback_the_console_wants_a_token(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("ADMIN_TOKEN", raising=False)
    result = CliRunner().invoke(main, ["console", "--listen", "0.0.0.0:8070"])

    assert 2 == result.exit_code
    assert "needs the admin token in ADMIN_TOKEN" in result.output


def test_an_address_of_the_gateway_must_be_a_url():
    listen = f"127.0.0.1:{free_port()}"
    result = CliRunner().invoke(main, ["console", "--listen", listen, "--http", "ftp://x", "--admin", "http://x"])

    assert 2 == result.exit_code
    assert "ftp://x must begin with http:// or https://" in result.output
