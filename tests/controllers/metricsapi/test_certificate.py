"""The certificate is made once, by whichever process asks first, and told only to APIServices that are ours."""

import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509

from controllers.metricsapi.certificate import Pair, Place, kept, make, tell
from tests.support.kubernetes.conversation import ANY, Exchange, Request, answer
from tests.support.kubernetes.script import talking

PLACE = Place("home", "metrics", "metrics-tls")
SECRETS = "/api/v1/namespaces/home/secrets"
SECRET = Request("GET", f"{SECRETS}/metrics-tls")
CREATE = Request("POST", f"{SECRETS}?fieldManager=forebay-test", ANY, "application/json")
MISSING = answer('{"code": 404, "reason": "NotFound"}', status=404)
NOW_S = 1_800_000_000.0


def a_secret(pair: Pair) -> str:
    return json.dumps(
        {"data": {"tls.crt": b64encode(pair.certificate).decode(), "tls.key": b64encode(pair.key).decode()}}
    )


def test_a_certificate_is_for_its_names_for_ten_years():
    certificate = x509.load_pem_x509_certificate(make(("a.svc", "b"), NOW_S).certificate)

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ["a.svc", "b"] == names.get_values_for_type(x509.DNSName)
    assert 2037 == certificate.not_valid_after_utc.year
    assert certificate.not_valid_before_utc < datetime.fromtimestamp(NOW_S, UTC)


async def test_the_first_process_makes_the_secret():
    async with talking([(SECRET, MISSING), (CREATE, answer(a_secret(Pair(b"c", b"k"))))]) as (client, double):
        assert Pair(b"c", b"k") == await kept(client, PLACE, NOW_S)

    made = json.loads(double.asked[1].body)
    certificate = x509.load_pem_x509_certificate(b64decode(made["data"]["tls.crt"]))
    assert "CN=metrics.home.svc" == certificate.subject.rfc4514_string()
    assert "kubernetes.io/tls" == made["type"]


async def test_of_two_processes_at_once_both_have_that_of_the_faster():
    told = answer('{"code": 409, "reason": "AlreadyExists"}', status=409)
    secret = answer(a_secret(Pair(b"c", b"k")))
    async with talking([(SECRET, MISSING), (CREATE, told), (SECRET, secret)]) as (client, _):
        assert Pair(b"c", b"k") == await kept(client, PLACE, NOW_S)


async def test_a_secret_of_something_else_is_said():
    async with talking([(SECRET, answer('{"data": {"password": "eA=="}}'))]) as (client, _):
        with pytest.raises(ValueError, match=r"Secret home/metrics-tls has no 'tls\.crt'"):
            await kept(client, PLACE, NOW_S)


def an_api_service(name: str, **spec: Any) -> Exchange:
    body = {"metadata": {"name": name}, "spec": spec}
    return Request("GET", f"/apis/apiregistration.k8s.io/v1/apiservices/{name}"), answer(json.dumps(body))


async def test_only_our_own_api_services_are_told_and_once():
    ours, bundle = {"name": "metrics", "namespace": "home"}, b64encode(b"c").decode()
    patched = "/apis/apiregistration.k8s.io/v1/apiservices/stale?fieldManager=forebay-test"
    exchanges = [
        an_api_service("stale", service=ours, caBundle="b2xk"),
        (Request("PATCH", patched, ANY, "application/merge-patch+json"), answer("{}")),
        an_api_service("told", service=ours, caBundle=bundle),
        an_api_service("of-others", service={"name": "keda", "namespace": "home"}),
        an_api_service("local"),
        (Request("GET", "/apis/apiregistration.k8s.io/v1/apiservices/absent"), MISSING),
    ]
    async with talking(exchanges) as (client, double):
        await tell(client, PLACE, b"c", ("stale", "told", "of-others", "local", "absent"))

    assert [] == double.unsaid
    assert {"spec": {"caBundle": bundle, "insecureSkipTLSVerify": None}} == json.loads(double.asked[1].body)
