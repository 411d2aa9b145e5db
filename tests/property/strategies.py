"""What several machines draw from: sealed texts, instants, priced lines and whole checkouts."""

from collections.abc import Iterable
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from hypothesis import strategies as st

from shared.domain import Sealed, tax_within
from shared.events.cart import CartCheckedOut
from shared.events.common import Charge, Contact, Destination, Line, Totals
from tests.property.machine import uid

T = TypeVar("T")

sealed = st.sampled_from([Sealed("v1.anna.nonce.one"), Sealed("v1.anna.nonce.two")])
paces = st.sampled_from(
    [timedelta(0), timedelta(0), timedelta(microseconds=1), timedelta(minutes=10), timedelta(days=1)]
)
"""How much later the next thing happens; most come together."""
prices = st.sampled_from([1_000, 333, 7, 1, 5_000, 0]) | st.integers(1, 5_000)
contacts = st.builds(
    Contact, subject_id=st.just(uid("anna")), name=sealed, email=sealed, phone=st.none() | sealed
)


def one_of_known(draw: st.DataObject, known: Iterable[UUID], what: str) -> UUID:
    """One of the ids that there are, now and then one that there is not."""
    there = tuple(known)
    nowhere = uid("no", what)
    if not there or draw.draw(st.integers(0, 9), label="known?") == 9:
        return nowhere
    return draw.draw(st.sampled_from(there), label=what)


def priced_line(
    line_id: UUID, sku: str, quantity: int, price: int, rate_bp: int, *, tracked: bool, discount: int = 0
) -> Line:
    """Units at a tax-inclusive price each, less a discount on all of them."""
    gross = price * quantity - discount
    tax = tax_within(gross, rate_bp)
    return Line(
        line_id=line_id,
        sku=sku,
        title=sku.title(),
        quantity=quantity,
        unit_price=price,
        discount=discount,
        net=gross - tax,
        tax=tax,
        gross=gross,
        tax_class="standard",
        tax_rate_bp=rate_bp,
        stock_tracked=tracked,
    )


@st.composite
def lines(draw: st.DrawFn) -> tuple[Line, ...]:
    """One to three lines; an uneven discount makes shares that do not divide."""
    made = []
    for number in range(draw(st.integers(1, 3))):
        quantity, price, rate = draw(st.integers(1, 4)), draw(prices), draw(st.sampled_from([0, 500, 2000]))
        line = priced_line(
            uid("line", number),
            f"SKU-{number}",
            quantity,
            price,
            rate,
            tracked=draw(st.sampled_from([True, True, False])),
            discount=draw(st.sampled_from([0, 0, min(1, price), price // 3, price * quantity])),
        )
        made.append(line)
    return tuple(made)


@st.composite
def checkouts(draw: st.DrawFn, order_id: UUID) -> CartCheckedOut:
    """What a cart froze: lines, delivery and the sum of it all."""
    chosen, shipping = draw(lines()), draw(st.sampled_from([0, 0, 1, 499]))
    tax = tax_within(shipping, 2000)
    items_net, items_tax = sum(line.net for line in chosen), sum(line.tax for line in chosen)
    complete = draw(st.integers(0, 9)) < 9
    return CartCheckedOut(
        order_id=order_id,
        contact=draw(contacts),
        destination=Destination(country="GB", complete=complete, address=draw(sealed)),
        lines=chosen,
        shipping=Charge(method_id="standard", title="Standard", net=shipping - tax, tax=tax, gross=shipping),
        totals=Totals(
            items_net=items_net,
            items_tax=items_tax,
            shipping_net=shipping - tax,
            shipping_tax=tax,
            discount=sum(line.discount for line in chosen),
            total=items_net + items_tax + shipping,
        ),
        currency="GBP",
        locale="en",
        pricing_version=1,
        terms_version="1",
    )
