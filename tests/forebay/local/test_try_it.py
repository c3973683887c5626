"""The commands that `forebay up` prints: they are shell, and fit the identity in use."""

import subprocess
from pathlib import Path

import pytest

from forebay.local.try_it import try_it
from gateway.config.settings import Settings

VARIABLES = {"ADMIN": "http://admin", "GATEWAY": "http://gateway", "MODEL": 'it\'s "m"', "ENGINES": "http://e"}


def calls(tmp_path: Path, settings: Settings) -> list[list[str]]:
    """The arguments of each `curl`, as a shell runs the commands."""
    curl = tmp_path / "curl"
    curl.write_text(
        f"#!/bin/sh\nfor word; do printf '%s\\n' \"$word\"; done >> {tmp_path}/said; echo END >> {tmp_path}/said\n"
        """case "$*" in *CreateKey*) printf '{"message":"m","secret":"sk-1","key":{"id":"sk"}}';; esac\n"""
    )
    curl.chmod(0o755)
    script = try_it(settings, VARIABLES).removeprefix("Try it:").replace("ADMIN_TOKEN=...", "ADMIN_TOKEN=tok")
    subprocess.run(["sh", "-eu", "-c", script], check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    return [call.splitlines() for call in (tmp_path / "said").read_text().split("END\n") if call]


def test_a_user_is_made_and_named_in_the_header(tmp_path: Path):
    create, chat = calls(tmp_path, Settings())

    assert "http://admin/CreateUser" == create[0]
    assert ["http://gateway/v1/chat/completions", "-H", "user: lgy"] == chat[:3]
    assert '{"model":"it\'s \\"m\\"",' in chat[-1]


def test_without_an_engine_it_says_that_the_request_is_answered_only_later():
    title, commands = try_it(Settings(), VARIABLES | {"ENGINES": ""}).split("\n", 1)

    assert "Try it, once a model has an engine (503 until then):" == title
    assert try_it(Settings(), VARIABLES) == f"Try it:\n{commands}"


@pytest.mark.parametrize("admin_token", ["", "tok"])
def test_with_api_keys_a_key_is_made_and_sent(tmp_path: Path, admin_token: str):
    create, key, chat = calls(tmp_path, Settings(identity="api_key", admin_token=admin_token))

    assert bool(admin_token) == ("authorization: Bearer tok" in create)
    assert ("http://admin/CreateKey", bool(admin_token)) == (
        next(word for word in key if word.startswith("http")),
        "authorization: Bearer tok" in key,
    )
    assert ["-H", "authorization: Bearer sk-1"] == chat[1:3]
