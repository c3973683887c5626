"""The admin REST of the running process: what it changes binds the very next request (docs/contracts.md section 2)."""

import httpx
import pytest

from tests.support.raw_http import exchange, request
from tests.support.stack import Stack

MIB = 1024 * 1024


def test_a_user_is_created_once_and_read_back_as_stored(stack: Stack):
    name = stack.user(rpm=5, tpm=500)
    again = stack.admin("/CreateUser", name=name, rpm=9, tpm=900)
    read = stack.admin("/ReadUser", name=name)

    stored = {"name": name, "rpm": 5, "tpm": 500}
    assert (200, {"message": f"User: {name} exists", "user": stored}) == (again.status_code, again.json())
    assert {"message": f"User: {name}", "user": stored} == read.json()
    assert stored in stack.admin("/users").json()["users"]


@pytest.mark.parametrize("headers", [{"host": "evil.example:8090"}, {"origin": "http://evil.example"}])
@pytest.mark.parametrize(("variable", "path"), [("ADMIN", "/users"), ("HTTP", "/debug/fleet"), ("HTTP", "/metrics")])
def test_a_page_of_another_site_reads_nothing(stack: Stack, variable: str, path: str, headers: dict[str, str]):
    answer = httpx.get(stack.variables[variable] + path, headers=headers, trust_env=False)

    assert 403 == answer.status_code
    assert answer.json()["error"]["code"] in {"forbidden_host", "forbidden_origin"}


def test_an_update_binds_the_very_next_request(stack: Stack):
    name = stack.user(rpm=1)
    statuses = [stack.chat(name, max_tokens=1).status_code for _ in range(2)]
    for limit in (2, 2, 3, 0):
        assert f"Updated User: {name}" == stack.admin("/UpdateUser", name=name, rpm=limit).json()["message"]
        statuses.append(stack.chat(name, max_tokens=1).status_code)

    assert [200, 429, 200, 429, 200, 429] == statuses


def test_a_user_has_limits_of_its_own_for_a_model(stack: Stack):
    user = stack.user(rpm=9, models={stack.model: {"rpm": 1}})
    first, second = stack.chat(user), stack.chat(user)

    assert (200, "0") == (first.status_code, first.headers["x-ratelimit-remaining-requests"])
    assert 'r=8;t=60, "model-rpm";r=0' in first.headers["ratelimit"]
    assert (429, "true") == (second.status_code, second.headers["x-error-rpm-exceeded"])
    assert 55 < int(second.headers["retry-after"]) <= 60


def test_a_deleted_user_is_unknown_from_the_very_next_request(stack: Stack):
    name = stack.user()
    assert 200 == stack.chat(name, max_tokens=1).status_code

    deleted = stack.admin("/DeleteUser", name=name)

    assert f"Deleted User: {name}" == deleted.json()["message"]
    assert 401 == stack.chat(name, max_tokens=1).status_code
    for path in ("/ReadUser", "/UpdateUser", "/DeleteUser"):
        gone = stack.admin(path, name=name)
        assert (404, f"User: {name} does not exist") == (gone.status_code, gone.json()["message"])
    assert 404 == stack.admin(f"/users/{name}/usage").status_code


@pytest.mark.parametrize(
    "body",
    [
        {"name": "absurd", "rpm": -1},
        {"name": "absurd", "rpm": 1.5},
        {"name": "absurd", "rpm": "10"},
        {"name": "absurd", "rpm": True},
        {"name": "absurd", "tpm": 10**30},
        {"name": "absurd", "tpn": 1},
        {"name": ""},
        {"name": "x" * 257},
        {"name": "a\nb"},
        {"rpm": 1},
    ],
    ids=lambda body: str(body)[:40],
)
def test_absurd_records_are_refused_and_nothing_is_stored(stack: Stack, body: dict[str, object]):
    answer = stack.admin("/CreateUser", **body)

    assert 422 == answer.status_code
    assert {"message", "type", "code", "param"} == answer.json()["error"].keys()
    assert "absurd" not in [user["name"] for user in stack.admin("/users").json()["users"]]


def test_what_is_no_json_call_is_refused_by_its_status(stack: Stack):
    url = stack.variables["ADMIN"]
    kind = {"content-type": "application/json"}
    with httpx.Client(base_url=url, trust_env=False) as admin:
        answers = {
            415: admin.post("/CreateUser", content=b"{}", headers={"content-type": "text/plain"}),
            413: admin.post("/CreateUser", content=b" " * (MIB + 1), headers=kind),
            405: admin.get("/CreateUser"),
            400: admin.post("/CreateUser", content=b"{", headers=kind),
            404: admin.get("/nothing"),
        }

    assert {status: status for status in answers} == {wanted: found.status_code for wanted, found in answers.items()}
    for answer in answers.values():
        assert "application/json" == answer.headers["content-type"]
        assert answer.json()["error"]["message"]


def test_a_body_that_hides_its_length_is_capped_too(stack: Stack):
    piece = b"%x\r\n%s\r\n" % (MIB, b" " * MIB)
    line = request("/CreateUser", piece * 2 + b"0\r\n\r\n", b"transfer-encoding: chunked")

    assert 413 == exchange(stack.variables["ADMIN"], line).status


@pytest.mark.parametrize("name", ["a/b", "naïve 水", "a%2Fb", "x" * 256, "..", "a?b#c", '"quoted"'])
def test_unusual_names_work_everywhere(stack: Stack, name: str):
    stack.admin("/DeleteUser", name=name)
    assert 200 == stack.admin("/CreateUser", name=name, rpm=10).status_code

    answer = stack.users.post("/v1/chat/completions", json=stack.body(max_tokens=1), headers=[(b"user", name.encode())])

    assert 200 == answer.status_code
    stack.settled()
    usage = httpx.URL(stack.variables["ADMIN"]).copy_with(raw_path=b"/users/" + quoted(name) + b"/usage")
    assert 1 == httpx.get(usage, trust_env=False).json()["requests"]


def quoted(name: str) -> bytes:
    """Every byte escaped, so that no part of the name is taken for a part of the path."""
    return b"".join(b"%%%02X" % byte for byte in name.encode())


def test_the_interface_describes_itself(stack: Stack):
    described = stack.admin("/openapi.json").json()

    assert {
        "/CreateUser",
        "/ReadUser",
        "/UpdateUser",
        "/DeleteUser",
        "/users",
        "/users/{name}/usage",
        "/v1/models",
    } <= {path.replace(":path", "") for path in described["paths"]}


def test_operations_are_answered_on_both_ports(stack: Stack):
    for url in (stack.variables["ADMIN"], stack.variables["HTTP"]):
        for path in ("/healthz", "/readyz", "/metrics"):
            assert 200 == httpx.get(url + path, trust_env=False).status_code, url + path
    assert stack.model in [model["id"] for model in stack.admin("/v1/models").json()["data"]]
