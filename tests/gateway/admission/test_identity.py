"""The user of a request is told by its header or by its key."""

from dataclasses import dataclass, field

import pytest

from gateway.admission.identity import Identity
from gateway.config.settings import Settings
from gateway.openai.errors import InvalidKeyError, LimiterAwayError, RefusalError, UnknownUserError
from ratelimit.accounts.sender import Sender
from ratelimit.limits import LimiterUnavailableError

LGY = Sender("lgy")


@dataclass
class Ring:
    """One key of one user."""

    asked: list[str] = field(default_factory=list)
    away: bool = False

    def remembered(self, key: str) -> Sender | None:
        return {"seen": LGY}.get(key)

    async def sender_of(self, key: str) -> Sender | None:
        self.asked.append(key)
        if self.away:
            raise LimiterUnavailableError
        return {"good": LGY}.get(key)


def an_identity(ring: Ring | None = None, **settings: str) -> Identity:
    return Identity(Settings.model_validate(settings), ring or Ring())


async def test_by_default_the_header_names_the_user_and_keys_are_the_engines_business():
    ring = Ring()
    identity = an_identity(ring)

    assert LGY == await identity.sender({"user": "lgy", "authorization": "Bearer other"})
    assert ([], ()) == (ring.asked, identity.withheld)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
async def test_the_holder_of_a_key_is_the_user_whatever_the_header_says(scheme: str):
    identity = an_identity(identity="api_key")
    assert LGY == await identity.sender({"user": "root", "authorization": f"{scheme} good"})


def test_a_key_that_was_seen_before_is_known_at_once():
    ring = Ring(away=True)
    assert LGY == an_identity(ring, identity="api_key").claim({"authorization": "Bearer seen"})
    assert [] == ring.asked


def test_a_name_that_no_user_can_have_is_refused_without_asking_or_repeating_it():
    assert Sender("é" * 128) == an_identity().claim({"user": "é" * 128})
    with pytest.raises(UnknownUserError, match="must have a name that users can have") as refusal:
        an_identity().claim({"user": "é" * 128 + "x"})
    assert "é" not in refusal.value.message


def test_engines_see_neither_key_nor_claim():
    assert {"authorization", "x-api-key", "api-key", "user"} == set(an_identity(identity="api_key").withheld)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "good"},
        {"api-key": " good "},
        {"authorization": "Bearer good", "x-api-key": "good"},
        {"authorization": "bearer  good", "x-api-key": "", "api-key": "good"},
        {"authorization": "Bearer", "x-api-key": "good"},
        {"authorization": "Basic Zm9vOmJhcg==", "x-api-key": "good"},
    ],
)
async def test_a_key_comes_as_openais_anthropics_or_azures_clients_send_it(headers: dict[str, str]):
    assert LGY == await an_identity(identity="api_key").sender({"user": "root", **headers})


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer good", "x-api-key": "bad"},
        {"authorization": "Bearer bad", "x-api-key": "good"},
        {"x-api-key": "good", "api-key": "other"},
        {"x-api-key": "Bearer good"},
        {"x-api-key": "good,good"},
    ],
)
async def test_keys_that_differ_are_refused_whichever_is_right(headers: dict[str, str]):
    with pytest.raises(InvalidKeyError):
        await an_identity(identity="api_key", anonymous="allow").sender(headers)


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", "bearer   ", "BEARER", " "])
async def test_a_bearer_with_nothing_behind_it_is_no_key(given: str):
    headers = {"authorization": given, "user": "lgy"}
    assert await an_identity(identity="api_key", anonymous="allow").sender(headers) is None
    assert Sender("guest") == await an_identity(identity="api_key", anonymous="guest").sender(headers)
    with pytest.raises(InvalidKeyError, match="is missing"):
        await an_identity(identity="api_key", anonymous="deny").sender(headers)


async def test_with_the_header_user_keys_pass_to_the_engine():
    identity = an_identity(identity="header")
    assert (LGY, ()) == (await identity.sender({"user": "lgy", "x-api-key": "good"}), identity.withheld)


@pytest.mark.parametrize("given", ["Bearer bad", "Basic good", "Basic", "good", "Bearer good,Bearer good"])
@pytest.mark.parametrize("anonymous", ["allow", "deny", "guest"])
async def test_a_bad_key_is_refused_also_where_none_is_needed(given: str, anonymous: str):
    with pytest.raises(InvalidKeyError) as refusal:
        await an_identity(identity="api_key", anonymous=anonymous).sender({"authorization": given, "user": "lgy"})

    assert (401, "invalid_api_key") == (refusal.value.status, refusal.value.code)
    assert {"www-authenticate": "Bearer"} == refusal.value.headers
    assert "good" not in refusal.value.message


@pytest.mark.parametrize(("kind", "refusal"), [("header", UnknownUserError), ("api_key", InvalidKeyError)])
async def test_requests_that_name_nobody_are_what_the_setting_says(kind: str, refusal: type[RefusalError]):
    assert None is await an_identity(identity=kind, anonymous="allow").sender({})
    guest = an_identity(identity=kind, anonymous="guest")
    assert Sender("guest") == await guest.sender({"authorization": "", "user": ""})
    denied = an_identity(identity=kind, anonymous="deny")
    with pytest.raises(refusal):
        await denied.sender({})
    assert None is await denied.known({})


async def test_whoever_names_nobody_is_served_only_where_no_keys_are_asked_for():
    assert None is await an_identity().sender({})
    with pytest.raises(InvalidKeyError):
        await an_identity(identity="api_key").sender({})


@pytest.mark.parametrize(
    "name", ["a,b", " lgy", "lgy ", ",", "a\u200bb", "\u202elgy", "a\nb", "x" * 257, "\udc80"], ids=ascii
)
async def test_a_name_that_no_user_can_have_is_unknown(name: str):
    with pytest.raises(UnknownUserError, match="must have a name that users can have"):
        await an_identity().sender({"user": name})


async def test_a_key_that_cannot_be_checked_is_no_bad_key():
    with pytest.raises(LimiterAwayError) as refusal:
        await an_identity(Ring(away=True), identity="api_key").sender({"authorization": "Bearer good"})

    assert (503, 1.0) == (refusal.value.status, refusal.value.retry_after_s)
