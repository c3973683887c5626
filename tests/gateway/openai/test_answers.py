"""The answers that Forebay gives with a 200."""

from gateway.openai.answers import ModelCard, check_record, models_list, usage_record
from ratelimit.kinds import RPM, TPM, Amounts
from ratelimit.limits import Admitted, Quota, Refused, Reservation, Usage

QUOTAS = {RPM: Quota(3, 3, 20.0), TPM: Quota(None, 40, 20.0)}


def test_models_are_listed_in_their_order():
    assert ["b", "a"] == [model["id"] for model in models_list([ModelCard("b", 1), ModelCard("a", 2)])["data"]]


def test_a_model_has_the_members_that_clients_require_and_its_length_once_that_is_known():
    card = {"id": "a", "object": "model", "created": 2, "owned_by": "forebay"}
    assert [card] == models_list([ModelCard("a", 2)])["data"]
    assert [card | {"max_model_len": 8}] == models_list([ModelCard("a", 2, 8)])["data"]


def test_usage_has_the_shape_of_the_contract():
    record = {"name": "u", "requests": 3, "tokens": 40, "rpm": 3, "tpm": None, "window_s": 60}
    assert record == usage_record(Usage("u", QUOTAS))


def test_a_check_names_the_limit_in_the_way_and_when_it_is_not():
    def record(*values: object) -> dict[str, object]:
        return dict(zip(("admitted", "kind", "limit", "retry_after_s", "estimated_tokens"), values, strict=True))

    admitted = Admitted(Reservation("u", 1, Amounts(1, 9)), QUOTAS)
    assert record(True, None, None, None, 9) == check_record(admitted, 9)
    assert record(False, "rpm", 3, 20.0, 9) == check_record(Refused(RPM, 3, 20.0, QUOTAS), 9)
    assert record(False, "tpm", 0, None, 9) == check_record(Refused(TPM, 0, None, QUOTAS), 9)
