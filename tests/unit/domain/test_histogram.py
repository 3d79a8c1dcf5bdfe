from orchestrator.domain.histogram import Histogram


def test_values_are_counted_up_to_each_bound() -> None:
    histogram = Histogram((1.0, 5.0))
    for value in (0.5, 1.0, 3.0, 5.5):
        histogram.observe(value)
    assert histogram.buckets() == [("1.0", 2.0, None), ("5.0", 3.0, None), ("+Inf", 4.0, None)]
    assert (histogram.count, histogram.total, histogram.mean) == (4, 10.0, 2.5)


def test_nothing_has_no_mean() -> None:
    assert Histogram().mean is None
