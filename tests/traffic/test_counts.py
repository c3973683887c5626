from dataclasses import replace

from traffic.counts import Counts
from traffic.window import WINDOW_S, Window

IDLE = Window(WINDOW_S, 0, {}, {}, starts_at_s=10.0)


def counts_of(**bases: str | None) -> Counts:
    counts = Counts()
    counts.follow(bases)
    return counts


def test_each_event_is_in_its_cell():
    counts = counts_of(m="m", other="other")
    for tokens in (256, 256, 1000):
        counts.arrive("m", tokens)
    counts.refuse("m")
    counts.send("m", "m-l20")
    counts.send("m", "m-l20")
    counts.send("m", "m-v100")
    counts.send("m", "")
    counts.complete("m", 256, 128)
    counts.complete("m", 0, 0)
    counts.complete("m", 256, 128)

    window = Window(
        WINDOW_S, 3, {(80, 70): 2, (0, 0): 1}, {80: 2, 100: 1}, in_flight=5, queued=2, refused=1,
        sent={"m-l20": 2, "m-v100": 1}, starts_at_s=10.0,
    )  # fmt: skip
    assert {"m": window, "other": IDLE} == counts.take(10.0, {"m": 5, "other": 0}, {"m": 2})


def test_a_window_that_was_taken_is_over():
    counts = counts_of(m="m")
    counts.arrive("m", 1)
    counts.complete("m", 1, 1)
    first = counts.take(0.0, {}, {})["m"]
    counts.arrive("m", 1)

    assert (1, 1, {(0, 0): 1}, {}) == (
        first.arrivals,
        (second := counts.take(10.0, {}, {})["m"]).arrivals,
        first.completed,
        second.completed,
    )


def test_names_that_clients_make_up_are_not_counted():
    counts = counts_of(m="m")
    for name in ("", "x", "m2", "M"):
        counts.arrive(name, 1)
        counts.refuse(name)
        counts.send(name, "d")
        counts.complete(name, 1, 1)

    assert {"m": IDLE} == counts.take(10.0, {"x": 1}, {"x": 1})


def test_adapters_count_as_their_base_model():
    counts = counts_of(base="base", lora="base", other="base")
    for name in ("base", "lora", "other"):
        counts.arrive(name, 1)
        counts.send(name, "d")

    windows = counts.take(10.0, {"base": 1, "lora": 2, "other": 4}, {"lora": 1})

    assert {"base": replace(IDLE, arrivals=3, arrived_inputs={0: 3}, sent={"d": 3}, in_flight=7, queued=1)} == windows


def test_an_adapter_whose_engines_are_gone_counts_as_before_and_one_never_seen_as_itself():
    counts = counts_of(base="base", lora="base")
    counts.follow({"base": None, "lora": None, "new": None})
    for name in ("lora", "new"):
        counts.arrive(name, 1)

    windows = counts.take(10.0, {}, {})

    assert {"base": 1, "new": 1} == {model: window.arrivals for model, window in windows.items()}


def test_the_last_window_of_a_model_that_goes_is_kept():
    counts = counts_of(m="m", gone="gone")
    counts.arrive("gone", 1)
    counts.follow({"m": "m"})
    counts.arrive("gone", 1)

    assert {"m": 0, "gone": 1} == {model: window.arrivals for model, window in counts.take(10.0, {}, {}).items()}
    assert ["m"] == list(counts.take(20.0, {}, {}))


def test_changes_of_the_fleet_lose_nothing():
    counts = counts_of(m="m")
    counts.arrive("m", 1)
    counts.follow({"m": "m", "n": "n"})
    counts.arrive("m", 1)

    assert 2 == counts.take(10.0, {}, {})["m"].arrivals
