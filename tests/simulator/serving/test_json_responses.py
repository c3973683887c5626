from simulator.openai.errors import BusyError
from simulator.serving.json_responses import answering_errors, json_response


async def test_a_refusal_becomes_its_answer():
    async def endpoint(_):
        raise BusyError

    answer = await answering_errors(endpoint)(None)

    assert (503, b"Service Unavailable") == (answer.status_code, answer.body[answer.body.index(b"Service") :][:19])


def test_json_is_sent_with_vllms_headers():
    answer = json_response(b"{}", 418)

    assert (418, "application/json", "Origin") == (
        answer.status_code,
        answer.headers["content-type"],
        answer.headers["vary"],
    )
