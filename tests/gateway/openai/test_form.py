import contextlib
import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai.errors import BadRequestError
from gateway.openai.form import MAX_PARTS, parse_form

TYPE = "multipart/form-data; boundary=xyz"


def a_part(name, value, more=b""):
    return b'--xyz\r\nContent-Disposition: form-data; name="' + name + b'"' + more + b"\r\n\r\n" + value + b"\r\n"


def a_form(*parts):
    return b"".join(parts) + b"--xyz--\r\n"


FILE = a_part(b"file", b"RIFF\r\n\r\n\x00\xff--xy", b'; filename="a.wav"\r\nContent-Type: audio/wav')


def test_the_fields_of_a_form_are_found_among_a_recording():
    form = a_form(a_part(b"prompt", "é".encode()), FILE, a_part(b"model", b"whisper"), a_part(b"stream", b"True"))

    assert {"prompt": "é", "model": "whisper", "stream": True} == parse_form(TYPE, form)


def test_the_form_of_a_real_client_is_understood():
    request = httpx.Request("POST", "http://h/", data={"model": "whisper"}, files={"file": ("a.wav", b"\r\n--" * 99)})

    assert {"model": "whisper"} == parse_form(request.headers["content-type"], request.read())


def test_the_last_of_a_repeated_field_counts():
    form = a_form(FILE, a_part(b"model", b"one"), a_part(b"model", b"two"))

    assert "two" == parse_form(TYPE, form)["model"]


@pytest.mark.parametrize("content_type", ['Multipart/Form-Data;charset=utf-8; boundary="xyz"', TYPE + " ; a=b"])
def test_the_boundary_may_be_quoted_and_not_alone(content_type):
    assert "m" == parse_form(content_type, a_form(FILE, a_part(b"model", b"m")))["model"]


def test_what_stands_before_and_after_the_form_is_no_part():
    assert {"model": "m"} == parse_form(TYPE, b"hello\r\n" + a_form(FILE, a_part(b"model", b"m")) + b"bye")


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=xyz", "multipart/form-data; boundary="],
)
def test_another_content_type_is_refused(content_type):
    with pytest.raises(BadRequestError, match="content-type must be multipart/form-data with a boundary"):
        parse_form(content_type, a_form(FILE))


@pytest.mark.parametrize(
    "body",
    [
        b"not a form",
        a_form(FILE).removesuffix(b"--\r\n"),
        a_form(b"--xyz\r\nContent-Disposition: form-data\r\n\r\nv\r\n"),
        a_form(b"--xyz\r\n\r\nv\r\n"),
        a_form(b"--xyz\r\nv\r\n"),
        a_form(a_part(b"a", b"v", b"\r\nX: " + b"x" * 9000)),
        a_form(*[a_part(b"a", b"")] * MAX_PARTS, FILE),
    ],
)
def test_what_is_not_a_form_is_refused(body):
    with pytest.raises(BadRequestError, match="body must be a form"):
        parse_form(TYPE, body)


def test_as_many_parts_as_allowed_are_read():
    assert {} == parse_form(TYPE, a_form(*[a_part(b"a", b"")] * (MAX_PARTS - 1), FILE))


def test_a_form_without_a_file_is_refused():
    with pytest.raises(BadRequestError, match="file = missing") as refused:
        parse_form(TYPE, a_form(a_part(b"model", b"m")))
    assert "file" == refused.value.param


def test_a_long_recording_is_not_taken_apart_line_by_line():
    form = a_form(a_part(b"file", b"\n" * (8 << 20)), a_part(b"model", b"m"))
    started = time.process_time()

    assert {"model": "m"} == parse_form(TYPE, form)

    assert time.process_time() - started < 1  # it takes 0.01; line by line would take several seconds


@given(st.text(), st.binary())
def test_any_bytes_are_read_or_refused(content_type, body):
    for parsed_type in (content_type, f"multipart/form-data; boundary={content_type}", TYPE):
        with contextlib.suppress(BadRequestError):
            parse_form(parsed_type, body)


@given(st.binary(), st.binary())
def test_any_part_is_read_or_refused(header, value):
    try:
        fields = parse_form(TYPE, a_form(FILE, b"--xyz\r\n" + header + b"\r\n\r\n" + value + b"\r\n"))
    except BadRequestError:
        return
    assert set(fields) <= {"model", "prompt", "stream"}
