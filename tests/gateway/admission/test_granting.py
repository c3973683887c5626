"""The most that a request may use, and the maximum of its answer that what was granted leaves."""

from typing import Any

import orjson
import pytest

from gateway.accounting.estimates import Estimator, PromptSize
from gateway.admission.granting import LARGEST_ANSWER, bounds_of, fitted, granted_to_each
from gateway.config.limits import LimitSettings
from gateway.openai.operations import Operation
from gateway.openai.request import InferenceRequest, parse_request
from ratelimit.kinds import Amounts
from ratelimit.limits import Bounds
from ratelimit.prices import FREE, Prices

SIZE = PromptSize(100, 0)
BOUND = 100 + 32
ESTIMATOR = Estimator(LimitSettings(template_tokens=32))


def a_request(operation: Operation = Operation.COMPLETIONS, **body: Any) -> InferenceRequest:
    return parse_request(operation, "", orjson.dumps({"model": "m", "prompt": "x", "input": "x", **body}))


def bounds(request: InferenceRequest, prices: Prices = FREE) -> Bounds:
    found = bounds_of(request, SIZE, ESTIMATOR, prices)
    assert found is not None
    return found


CHAT = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("request_", "prompt", "most"),
    [
        (a_request(max_tokens=10), BOUND, BOUND + 10),
        (a_request(), BOUND, BOUND + 16),
        (a_request(max_tokens=10, n=3), BOUND + 2, BOUND + 30),
        (a_request(max_tokens=10, n=1, best_of=3), BOUND + 2, BOUND + 30),
        (a_request(prompt=["a", "b"], max_tokens=5), BOUND + 1, BOUND + 10),
        (a_request(Operation.CHAT, **CHAT), BOUND, BOUND + LARGEST_ANSWER),
        (a_request(Operation.EMBEDDINGS), BOUND, BOUND),
        (a_request(max_tokens=0, echo=True, n=2), BOUND, BOUND),
    ],
)
def test_the_most_is_the_bound_of_the_prompt_and_every_answer_at_its_longest(
    request_: InferenceRequest, prompt: int, most: int
):
    assert Bounds(Amounts(1, prompt), Amounts(1, most)) == bounds(request_)


def test_bounds_have_the_money_of_what_they_bound():
    prices = Prices(input=1, output=2, cached_input=3)

    found = bounds(a_request(max_tokens=10, n=2), prices)

    assert Amounts(1, BOUND + 1, BOUND * 3000 + 2000) == found.prompt
    assert Amounts(1, BOUND + 20, BOUND * 3000 + 20 * 2000) == found.most == found.granting(found.most.tokens)
    assert 2000 == found.token_cost


def test_what_cannot_be_limited_has_no_bounds():
    body = b'{"text":"a","sampling_params":[{}]}'
    assert None is bounds_of(parse_request(Operation.GENERATE, "", body), SIZE, ESTIMATOR, FREE)


@pytest.mark.parametrize(
    ("request_", "granted", "each"),
    [
        (a_request(max_tokens=10), BOUND + 10, None),
        (a_request(max_tokens=10), BOUND + 9, 9),
        (a_request(max_tokens=10, n=3), BOUND + 29, 9),
        (a_request(max_tokens=10, n=3), BOUND + 3, 1),
        (a_request(Operation.CHAT, **CHAT), BOUND + 500, 500),
        (a_request(Operation.CHAT, **CHAT), BOUND + LARGEST_ANSWER, None),
        (a_request(Operation.EMBEDDINGS), BOUND, None),
    ],
)
def test_what_is_granted_is_divided_among_the_answers(request_: InferenceRequest, granted: int, each: int | None):
    assert each == granted_to_each(request_, bounds(request_), granted)


@pytest.mark.parametrize(
    ("each", "lengths", "maximum"),
    [
        (500, [], 500),
        (500, [None], 500),
        (500, [8192], 500),
        (500, [200], None),  # the engine's own bound is lower whatever the prompt has
        (500, [200, None], 170),  # of one pod it is not known
        (500, [510], 480),  # longer than what the prompt probably leaves
        (500, [510, 100_000], 480),
        (500, [20, 100_000], 1),
    ],
)
def test_a_maximum_fits_with_the_prompt_into_the_model(each: int, lengths: list[int | None], maximum: int | None):
    assert maximum == fitted(each, SIZE, 30, lengths)
