"""What an order consists of, compared with what it is to consist of."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from services.orders.domain.state import Order
from shared.domain import ids
from shared.events.common import Line, PlacedQty, Quote


def is_for(order: Order, quote: Quote, currency: str) -> bool:
    """Prices depend on where goods go, and a coupon's uses are counted: only staff may decide otherwise."""
    where = (order.destination.country, order.destination.region, None)
    what = tuple((line.line_id, line.sku, line.quantity, line.customization) for line in quote.lines)
    promises = (
        ids.quote_id(None, currency, quote.valid_until, where, (method, order.pickup_location_id), what)
        for method in (quote.shipping.method_id, None)
    )
    return quote.quote_id in promises


def kept(order: Order, lines: Iterable[Line]) -> tuple[Line, ...]:
    """The lines of a quote as the order's: what the buyer wrote on a line, and whether its units are counted,
    stays with it."""
    known = {line_id: entry.line for line_id, entry in order.lines.items()}
    return tuple(
        replace(
            line,
            customization=line.customization or known[line.line_id].customization,
            stock_tracked=known[line.line_id].stock_tracked,
        )
        if line.line_id in known
        else line
        for line in lines
    )


def raises(order: Order, lines: Iterable[Line]) -> bool:
    """Some tracked line has more units among these than in the order."""
    ordered = {line_id: entry.ordered for line_id, entry in order.lines.items() if entry.line.stock_tracked}
    return any(line.stock_tracked and line.quantity > ordered.get(line.line_id, 0) for line in lines)


def placed_after(
    before: Iterable[PlacedQty], lines: Iterable[Line], added: tuple[PlacedQty, ...] = ()
) -> tuple[PlacedQty, ...]:
    """Where the units of these lines are held: what was added, and of the rest what was placed first."""
    left = Counter({line.line_id: line.quantity for line in lines if line.stock_tracked})
    left.subtract(Counter({line_id: _units(added, line_id) for line_id in left}))
    kept = []
    for place in before:
        if (units := min(place.quantity, left[place.line_id])) > 0:
            left[place.line_id] -= units
            kept.append(replace(place, quantity=units, backordered=min(place.backordered, units)))
    return (*kept, *added)


def _units(places: Iterable[PlacedQty], line_id: UUID) -> int:
    return sum(place.quantity for place in places if place.line_id == line_id)
