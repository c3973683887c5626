"""Label selectors: what they match and how malformed ones are refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.selectors import InvalidSelectorError, Selector, parse_selector

LABELS = {"a": "b", "tier": "gold", "empty": "", "example.com/zone": "eu-1"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("a=b", True),
        ("a==b", True),
        ("a=c", False),
        ("absent=b", False),
        ("a!=b", False),
        ("a!=c", True),
        ("absent!=b", True),
        ("a in (b,c)", True),
        ("a in (c)", False),
        ("absent in (b)", False),
        ("a notin (b)", False),
        ("a notin (c,d)", True),
        ("absent notin (b)", True),
        ("a", True),
        ("absent", False),
        ("!a", False),
        ("!absent", True),
        ("empty=", True),
        ("a=", False),
        ("empty in (,x)", True),
        ("example.com/zone=eu-1", True),
        ("a=b,tier in (gold,silver),!absent", True),
        ("a=b,tier=silver", False),
        ("  a = b ,\ttier   in( gold )  ", True),
        ("in", False),
        ("in notin (in)", True),
        ("", True),
        ("  ", True),
    ],
)
def test_a_selector_matches_as_in_kubernetes(text: str, matches: bool) -> None:
    assert parse_selector(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "position", "why"),
    [
        (",", 0, "label key"),
        ("a=b,", 4, "label key"),
        ("a=b,,c", 4, "label key"),
        ("=b", 0, "label key"),
        ("!", 1, "label key"),
        ("!a=b", 2, "',' or the end"),
        ("a b", 2, "expected '='"),
        ("a=b c", 4, "',' or the end"),
        ("a > 1", 2, "expected '='"),
        ("a in b", 5, "expected '('"),
        ("a in", 4, "expected '('"),
        ("a in ()", 6, "label value"),
        ("a in (b", 7, "',' or ')'"),
        ("a in (b c)", 8, "',' or ')'"),
        ("a in (b))", 8, "',' or the end"),
        ("a=b/c", 2, "label value"),
        ("a=-b", 2, "label value"),
        ("a=b;c=d", 3, "',' or the end"),
        ("a=" + "v" * 64, 2, "label value"),
        ("k" * 64, 0, "label key"),
        ("/a", 0, "prefix"),
        ("Upper/a", 0, "prefix"),
        ("p" * 254 + "/a", 0, "prefix"),
        ("é=b", 0, "label key"),
        ("!a," * 65 + "!a", 192, "more than 64"),
    ],
)
def test_a_malformed_selector_is_refused_with_position_and_reason(text: str, position: int, why: str) -> None:
    with pytest.raises(InvalidSelectorError) as raised:
        parse_selector(text)

    assert raised.value.position == position
    assert why in raised.value.why
    assert str(position) in str(raised.value)


names = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?", fullmatch=True)


@settings(deadline=None)
@given(labels=st.dictionaries(names, names), values=st.sets(names, min_size=1), key=names)
def test_each_operator_is_the_negation_of_its_opposite(labels: dict[str, str], values: set[str], key: str) -> None:
    listed = ",".join(sorted(values))

    for positive, negative in ((f"{key} in ({listed})", f"{key} notin ({listed})"), (key, f"!{key}")):
        assert parse_selector(positive).matches(labels) is not parse_selector(negative).matches(labels)


@settings(deadline=None)
@given(labels=st.dictionaries(names, names, min_size=1))
def test_a_pod_is_selected_by_all_of_its_own_labels(labels: dict[str, str]) -> None:
    assert parse_selector(",".join(f"{key}={value}" for key, value in labels.items())).matches(labels)


@settings(deadline=None)
@given(st.text(alphabet="ab=!(), in/-", max_size=30))
def test_any_text_is_either_a_selector_or_refused_with_a_position_inside_it(text: str) -> None:
    try:
        assert isinstance(parse_selector(text), Selector)
    except InvalidSelectorError as error:
        assert 0 <= error.position <= len(text)
