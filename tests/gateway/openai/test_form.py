import contextlib
import time
import timeit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai.errors import BadRequestError
from gateway.openai.form import (
    MAX_BOUNDARY_BYTES,
    MAX_PARAMETERS,
    MAX_PART_HEADER_LINES,
    MAX_PARTS,
    _parameter,
    parse_form,
)

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
    [
        TYPE + "z" * MAX_BOUNDARY_BYTES,
        "",
        "application/json",
        "multipart/form-data",
        "multipart/mixed; boundary=xyz",
        "multipart/form-data; boundary=",
    ],
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
        a_form(b"--xyz and more\r\nContent-Disposition: form-data; name=a\r\n\r\nv\r\n"),
        a_form(b"--xyz\r\nContent-Disposition: form-data" + b"; a=b" * MAX_PARAMETERS + b"; name=a\r\n\r\nv\r\n"),
        a_form(a_part(b"a", b"v", b"\r\nX: " + b"x" * 9000)),
        a_form(a_part(b"a", b"v", b"\r\nX: x" * MAX_PART_HEADER_LINES)),
        a_form(*[a_part(b"a", b"")] * MAX_PARTS, FILE),
    ],
)
def test_what_is_not_a_form_is_refused(body):
    with pytest.raises(BadRequestError, match="body must be a form"):
        parse_form(TYPE, body)


def test_as_many_parts_as_allowed_are_read():
    assert {} == parse_form(TYPE, a_form(*[a_part(b"a", b"")] * (MAX_PARTS - 1), FILE))


def test_a_form_without_the_file_that_it_must_have_is_refused():
    with pytest.raises(BadRequestError, match="file = missing") as refused:
        parse_form(TYPE, a_form(a_part(b"model", b"m")), "file")
    assert "file" == refused.value.param
    assert {"model": "m"} == parse_form(TYPE, a_form(a_part(b"model", b"m")))


def test_a_long_recording_is_not_taken_apart_line_by_line():
    form = a_form(a_part(b"file", b"\n" * (8 << 20)), a_part(b"model", b"m"))
    started = time.process_time()

    assert {"model": "m"} == parse_form(TYPE, form)

    assert time.process_time() - started < 1  # it takes 0.01; line by line would take several seconds


@pytest.mark.parametrize(
    "disposition",
    [
        b"form-data; name=model",
        b'Form-Data ; Name = "model"; filename="a;b\\"; name=c"',
        b'form-data; filename="; name=\\"prompt"; name="mo\\del"',
        b"form-data;; filename*=utf-8''%e2%82%ac;\r\n name=model",
    ],
)
def test_the_name_of_a_part_is_read_as_clients_write_it(disposition):
    part = b"--xyz \r\nX: y\r\nCONTENT-DISPOSITION: " + disposition + b"\r\n\r\nv\r\n"

    assert {"model": "v"} == parse_form(TYPE, a_form(FILE, part))


HOSTILE_UNITS = (";", "; ", ";a", ";a=b", ';a="b"', ';a="', '="', "\\", '\\"', " ", '";', "\u00e4;", ";=")


@pytest.mark.parametrize("unit", HOSTILE_UNITS)
def test_the_parameters_of_a_header_take_linear_time(unit):
    def seconds(units):
        header = ";x=" + '"' * (unit != ";") + unit * units
        return min(timeit.repeat(lambda: _parameter(header, "boundary"), timer=time.process_time, number=1, repeat=5))

    # Quadratic time would be 256 times as long, and the slack is for a busy machine.
    assert seconds(160_000) < 64 * seconds(10_000) + 0.05


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
