"""Ages of events are counted by the batch."""

from prometheus_client import CollectorRegistry, Histogram

from shared.messaging.batch import observe_all

AGES = (0.0, 0.5, 0.50001, 1.0, 7.5, 1.0, 300.0)


def test_many_values_count_as_one_by_one() -> None:
    registry = CollectorRegistry()
    ages = Histogram("ages", "Ages", ["how"], buckets=(0.5, 1, 5), registry=registry)
    for age in AGES:
        ages.labels("one by one").observe(age)

    observe_all(ages.labels("together"), AGES)
    observe_all(ages.labels("together"), ())

    found = {
        how: [
            (sample.name, sample.labels.get("le"), sample.value)
            for metric in registry.collect()
            for sample in metric.samples
            if sample.labels["how"] == how and not sample.name.endswith("_created")
        ]
        for how in ("one by one", "together")
    }
    assert found["together"] == found["one by one"]
    assert ("ages_count", None, 7.0) in found["together"]
