from functools import partial
from pathlib import Path

import pytest

from forebay.local.web_console import can_run, console_spec
from gateway.config.settings import Settings

URLS = {"HTTP": "http://h", "ADMIN": "http://a", "GATEWAY": "http://g"}


def test_the_token_is_not_on_the_command_line():
    spec = console_spec("127.0.0.1:1", URLS, Settings(admin_token="secret"), Path("log"))

    assert {"ADMIN_TOKEN": "secret"} == spec.env
    assert not any("secret" in word for word in spec.argv)
    assert {"ADMIN_TOKEN": ""} == console_spec("127.0.0.1:1", URLS, Settings(), Path("log")).env


@pytest.mark.parametrize(("token", "path"), [("", "/console/"), ("secret", "/console/login")])
def test_it_is_ready_when_it_shows_a_page_to_one_who_has_not_logged_in(token: str, path: str):
    ready = console_spec("127.0.0.1:1", URLS, Settings(admin_token=token), Path("log")).ready

    assert isinstance(ready, partial)
    assert ("127.0.0.1:1", path) == ready.args


def test_the_extra_is_installed_here():
    assert can_run()
