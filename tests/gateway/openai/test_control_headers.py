"""Requests that say that the headers which decide about them are not meant for us."""

import pytest

from gateway.admission.identity import KEY_HEADERS
from gateway.openai.control_headers import CONTROL_HEADERS, refuse_nominated
from gateway.openai.errors import BadRequestError


@pytest.mark.parametrize("name", sorted(CONTROL_HEADERS.union(KEY_HEADERS)))
def test_each_of_them_is_refused_wherever_it_stands_in_the_list(name: str):
    for connection in (name, name.upper(), f"close, {name}", f"{name} ,te"):
        with pytest.raises(BadRequestError, match="must not name a header"):
            refuse_nominated(connection)


@pytest.mark.parametrize("connection", ["", "close", "keep-alive", "Upgrade, HTTP2-Settings", "te", "x-user", "users"])
def test_all_else_passes(connection: str):
    refuse_nominated(connection)
