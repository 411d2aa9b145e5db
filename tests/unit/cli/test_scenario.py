"""The demo's plan: the same seed tells the same story, and the example's story has everything in it."""

from collections import Counter

from cli.demo.invoices import EXAMPLE, read_invoices
from cli.demo.scenario import SCARCE, SEED, Card, Fate, plan, stock_needed

INVOICES, _ = read_invoices(EXAMPLE)


def test_the_same_seed_tells_the_same_story() -> None:
    assert plan(INVOICES, seed=SEED, day=0) == plan(INVOICES, seed=SEED, day=0)
    assert plan(INVOICES, seed=SEED, day=0) != plan(INVOICES, seed=SEED, day=1)


def test_every_invoice_is_one_purchase_with_its_total() -> None:
    totals = {i.number: sum(line.amount for line in i.goods) for i in INVOICES if not i.is_credit}
    planned = {
        p.name.split()[0]: sum(line.amount for line in p.lines) for p in plan(INVOICES, seed=SEED, day=0)
    }
    assert {name: total for name, total in planned.items() if not name.startswith("C")} == totals


def test_the_example_shows_what_a_day_can_bring() -> None:
    purchases = plan(INVOICES, seed=SEED, day=0)
    fates = Counter(purchase.fate for purchase in purchases)
    assert fates[Fate.DELIVERED] >= 50
    assert fates[Fate.DECLINED] == 3
    assert fates[Fate.OUT_OF_STOCK] == 3
    assert fates[Fate.CANCELLED_WHILE_PAYING] == 2
    assert sum(purchase.parcels == 2 for purchase in purchases) >= 3
    assert sum(purchase.give_back is not None for purchase in purchases) >= 4
    late = [purchase for purchase in purchases if purchase.signs_in_late]
    assert len(late) == 3
    assert all(purchase.customer and purchase.fate is Fate.DELIVERED for purchase in late)
    assert sum(bool(purchase.goodwill) for purchase in purchases) == 1
    assert sum(purchase.cards == (Card.DECLINED, Card.GOOD) for purchase in purchases) == 2
    in_two_payments = [each for each in purchases if each.cards == (Card.ONE_CAPTURE,)]
    assert [each.parcels for each in in_two_payments] == [2, 2]
    assert sum(Card.PROVIDER_AWAY in purchase.cards for purchase in purchases) == 1
    assert sum(p.coupon and p.fate is Fate.DELIVERED for p in purchases) >= 4
    assert sum(p.coupon and p.fate is Fate.CANCELLED_WHILE_PAYING for p in purchases) == 2
    assert sum(Card.WEBHOOKS_TWICE in purchase.cards for purchase in purchases) >= 1


def test_only_the_orders_meant_to_run_out_of_stock_do_over_many_days() -> None:
    purchases = [p for day in range(20) for p in plan(INVOICES, seed=SEED, day=day)]
    stock = stock_needed(purchases)
    for purchase in purchases:
        short = {sku for sku, units in purchase.quantities.items() if units > stock[sku]}
        assert bool(short) == (purchase.fate is Fate.OUT_OF_STOCK)
        assert all(SCARCE in sku for sku in short)
    enough = Counter[str]()
    for purchase in purchases:
        if purchase.fate is not Fate.OUT_OF_STOCK:
            enough += purchase.quantities
    assert all(stock[sku] >= units for sku, units in enough.items())
