import pytest

from ratelimit.limits import LimiterUnavailableError
from ratelimit.questions import Question, failed, known


async def test_the_answer_is_made_when_the_question_is_awaited():
    made = []

    async def answer(number: int) -> int:
        made.append(number)
        return number + 1

    question = Question(answer, 6)
    assert [] == made

    assert 7 == await question
    assert [6] == made


async def test_a_known_answer_needs_no_turn_of_the_loop():
    with pytest.raises(StopIteration, match="7"):
        known(7).__await__().send(None)


async def test_a_failure_is_raised_to_the_one_who_awaits():
    question = failed(LimiterUnavailableError("Redis is away"))

    with pytest.raises(LimiterUnavailableError, match="Redis is away"):
        await question
