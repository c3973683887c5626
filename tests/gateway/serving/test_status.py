"""gRPC's statuses as numbers and texts."""

import grpc

from gateway.serving import status
from gateway.serving.status import percent_encoded


def test_the_codes_are_grpc_s_own():
    names = ["OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "INTERNAL"]
    assert [grpc.StatusCode[name].value[0] for name in names] == [getattr(status, name) for name in names]


def test_messages_in_trailers_are_percent_encoded():
    assert b"a%25b%0A%C3%A9" == percent_encoded("a%b\né")
