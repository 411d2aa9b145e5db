"""The demo tells what its day showed: all that it promises to show, in words and in numbers."""

import json

import pytest

from cli.demo.command import EXPECTED_A_DAY, Options, report
from cli.demo.story import STORY, told
from cli.laws.tally import Tally
from cli.proofs import Proof, Proofs
from cli.report import missing_from

PROMISED = (
    "coupons_used",
    "merged",
    "paid_after_a_decline",
    "outages_healed",
    "late_payments_refunded",
    "captured_in_parts",
)
NUMBERS = {name: n for n, name in enumerate(STORY, start=8)}
"""As many of each, so that no two are alike."""


def test_every_promise_is_expected_of_the_example_and_has_words() -> None:
    assert all(EXPECTED_A_DAY[name] >= 1 for name in PROMISED)
    assert set(PROMISED) <= set(STORY) <= set(Tally().counters)


def test_a_line_has_its_number_also_if_it_is_nought() -> None:
    assert told(NUMBERS)[0] == " 8 x  an order bought with a coupon"
    assert told({**NUMBERS, "merged": 0})[2].startswith(" 0 x  a guest who signed in")


@pytest.mark.parametrize("name", PROMISED)
def test_a_day_without_it_has_failed(name: str) -> None:
    assert missing_from({**EXPECTED_A_DAY, name: 0}, EXPECTED_A_DAY) == [
        f"expected at least {EXPECTED_A_DAY[name]} {name.replace('_', ' ')}, saw 0"
    ]


def test_the_report_has_the_words_or_the_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    proofs = Proofs(
        proofs=[Proof(law="L7", name="money", compared={"events": 1})],
        counters=NUMBERS,
        orders_by_state={},
        events_by_topic={},
    )
    report({**NUMBERS, "peak_rss_bytes": {}}, proofs, Options())
    words = capsys.readouterr().out
    assert "What the day showed" in words
    assert all(f"{NUMBERS[name]} x  {what}\n" in words for name, what in STORY.items())

    report({**NUMBERS, "peak_rss_bytes": {}}, proofs, Options(as_json=True))
    shown = json.loads(capsys.readouterr().out)
    assert {name: shown[name] for name in STORY} == NUMBERS
