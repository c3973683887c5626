"""The commands that administrators type: `users`, `keys`, `limits`, over the admin REST.

Lives here: words and printing.  Not here: the calls (console.looking), what they do (gateway.admin).
"""
# ruff: noqa: PLC0415 - each command imports what it runs only then, so that `forebay --help` stays fast

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forebay.cli.options import DIRECTORY_PATH, SETTINGS, TOKEN, address_of_run

if TYPE_CHECKING:
    from console.looking.client import Client

DEFAULT_ADMIN = "http://127.0.0.1:8090"
FIELDS = click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]...")
USER = click.argument("user")


class _Calls(click.Group):
    """A group whose commands call the admin REST: options in front of the command say where it is."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; print the gateway's refusal as one line."""
        from console.looking.client import CallError

        try:
            return super().invoke(ctx)
        except CallError as error:
            raise click.ClickException(str(error)) from error
        except ValueError as error:
            raise click.UsageError(str(error)) from error


def _group(function: Any) -> click.Group:
    """Return a group of calls with the options that all of them have."""

    @click.group(name=function.__name__, cls=_Calls, help=function.__doc__, context_settings=SETTINGS)
    @click.option("--admin", metavar="URL", help=f"`listen.admin`; default: that of --data, or {DEFAULT_ADMIN}.")
    @click.option("--data", type=DIRECTORY_PATH, default=Path(".forebay"), help="Directory of `forebay up`.")
    @click.option("--json", "as_json", is_flag=True, help="Print what the gateway answers.")
    @click.pass_context
    def group(ctx: click.Context, admin: str | None, data: Path, as_json: bool) -> None:
        from console.looking.client import Client

        url = admin or address_of_run(data, "ADMIN", DEFAULT_ADMIN)
        ctx.obj = _Desk(Client(url, os.environ.get(TOKEN, "")), as_json=as_json)

    return group


class _Desk:
    """The admin REST, and how answers are shown."""

    def __init__(self, client: "Client", *, as_json: bool) -> None:
        self.client = client
        self.as_json = as_json

    def show(self, answer: Mapping[str, Any], record: str) -> None:
        """Print an answer: its message and its record of that name."""
        if self.as_json:
            click.echo(json.dumps(answer))
            return
        click.echo("\n".join([answer["message"], *_lines(answer[record])]))

    def rows(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Print records, one in a line."""
        for record in records:
            click.echo(json.dumps(record) if self.as_json else "  ".join(_words(record)))


def _lines(record: Mapping[str, Any]) -> list[str]:
    return [f"  {word}" for word in _words(record)]


def _words(record: Mapping[str, Any]) -> list[str]:
    """Return `name=value`, as FIELDS are typed; `none` is what is not set, for a limit: unlimited."""
    words = []
    for name, value in record.items():
        if isinstance(value, dict):
            words += [f"{name}.{word}" for word in _words(value)]
        else:
            words.append(f"{name}={'none' if value is None else value}")
    return words


@_group
def users() -> None:
    """Users and their limits.

    FIELD=VALUE sets a limit (rpm=3 tpm=1000 concurrency=2), FIELD=none takes it off; a value may be JSON.  The admin
    token, where the gateway wants one, is that of the variable ADMIN_TOKEN.
    """


@users.command("list")
@click.pass_obj
def list_users(desk: _Desk) -> None:
    """List all users with their limits."""
    desk.rows(desk.client.pages("users", items="users"))


@users.command()
@USER
@click.pass_obj
def show(desk: _Desk, user: str) -> None:
    """Show a user."""
    desk.show(desk.client.post("ReadUser", body={"name": user}), "user")


@users.command()
@USER
@FIELDS
@click.pass_obj
def create(desk: _Desk, user: str, fields: tuple[str, ...]) -> None:
    """Create a user; one that exists is shown unchanged."""
    from forebay.administration.fields import changed, read_fields

    desk.show(desk.client.post("CreateUser", body=changed({"name": user}, read_fields(fields))), "user")


@users.command()
@USER
@FIELDS
@click.pass_obj
def update(desk: _Desk, user: str, fields: tuple[str, ...]) -> None:
    """Change the named limits of a user and leave the others; the next request obeys."""
    from forebay.administration.fields import changed, read_fields

    wanted = read_fields(fields)
    record = desk.client.post("ReadUser", body={"name": user})["user"]
    desk.show(desk.client.post("UpdateUser", body=changed(record, wanted)), "user")


@users.command()
@USER
@click.pass_obj
def delete(desk: _Desk, user: str) -> None:
    """Delete a user and revoke the user's keys."""
    desk.show(desk.client.post("DeleteUser", body={"name": user}), "user")


@_group
def keys() -> None:
    """API keys of users (`identity: api_key`).

    FIELD=VALUE says what is true of a key: name=laptop expires_at=2030-01-31T12:00:00Z models='["m"]'.
    """


@keys.command("list")
@USER
@click.pass_obj
def list_keys(desk: _Desk, user: str) -> None:
    """List a user's keys, without their secrets."""
    desk.rows(desk.client.pages("users", user, "keys", items="keys"))


@keys.command("create")
@USER
@FIELDS
@click.pass_obj
def create_key(desk: _Desk, user: str, fields: tuple[str, ...]) -> None:
    """Make a key; its secret is shown once, here."""
    from forebay.administration.fields import changed, read_fields

    answer = desk.client.post("CreateKey", body=changed({"user": user}, read_fields(fields)))
    desk.show(answer, "key")
    if "secret" in answer and not desk.as_json:
        click.echo(f"secret, not shown again: {answer['secret']}")


@keys.command("revoke")
@USER
@click.argument("key_id", metavar="ID")
@click.pass_obj
def revoke_key(desk: _Desk, user: str, key_id: str) -> None:
    """Revoke a key; every worker refuses it within a second."""
    desk.show(desk.client.post("RevokeKey", body={"user": user, "id": key_id}), "key")


@_group
def limits() -> None:
    """The use of limits now, and whether a request would be admitted."""


@limits.command("show")
@USER
@click.pass_obj
def show_usage(desk: _Desk, user: str) -> None:
    """Show what a user has used, and of what."""
    desk.rows([desk.client.get("users", user, "usage")])


@limits.command()
@USER
@click.option("--tokens", type=click.IntRange(min=0), required=True, help="Tokens of prompt and output together.")
@click.option("--model", default="", help="The model of the request.")
@click.pass_obj
def check(desk: _Desk, user: str, tokens: int, model: str) -> None:
    """Say whether a request would be admitted now, and if not, when; nothing is charged.

    The exit status is 1 when it would be refused.
    """
    answer = desk.client.post("users", user, "check", body={"tokens": tokens, "model": model})
    if desk.as_json:
        desk.rows([answer])
    elif answer["admitted"]:
        click.echo("would be admitted")
    else:
        wait_s = answer["retry_after_s"]
        when = "never" if wait_s is None else f"in {wait_s:.0f} s"
        click.echo(f"would be refused by {answer['kind']}={answer['limit']}; would be admitted {when}")
    if not answer["admitted"]:
        raise click.exceptions.Exit(1)
