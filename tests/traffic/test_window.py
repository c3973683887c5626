from traffic.window import Window, index_of, tokens_of


def test_lengths_lie_in_buckets_of_a_tenth_of_an_octave():
    assert [0, 0, 10, 80, 81, 100] == [index_of(tokens) for tokens in (0, 1, 2, 256, 274, 1024)]
    assert [1.0, 2.0, 1024.0] == [tokens_of(index) for index in (0, 10, 100)]


def test_what_engines_and_gateways_hold_waits():
    assert 7 == Window(10.0, 0, in_flight=4, queued=3).waiting
