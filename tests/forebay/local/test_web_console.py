from pathlib import Path

from forebay.local.web_console import can_run, console_spec
from gateway.config.settings import Settings

URLS = {"HTTP": "http://h", "ADMIN": "http://a", "GATEWAY": "http://g"}


def test_the_token_is_not_on_the_command_line():
    spec = console_spec("127.0.0.1:1", URLS, Settings(admin_token="secret"), Path("log"))

    assert {"ADMIN_TOKEN": "secret"} == spec.env
    assert not any("secret" in word for word in spec.argv)
    assert {} == console_spec("127.0.0.1:1", URLS, Settings(), Path("log")).env


def test_the_extra_is_installed_here():
    assert can_run()
