"""Staff and buyers of the simulated shop change an order before it leaves: more, less or other units."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

from cli.simulate.people import Denied, Person
from shared.domain.ids import derive

TOO_LONG_S = 2000.0
"""Longer than a quote holds."""


async def edit(editor: Person, here: str, skus: Sequence[str]) -> bool:
    """Ask for other units of an order at today's prices; whether the order took them."""
    chance = editor.simulation.chance
    order = await editor.call("orders", "GET", here)
    wish = {
        "currency": order["currency"],
        "lines": _other_units(chance, order, skus),
        "country": order["destination"]["country"],
        "method_id": order["shipping"]["method_id"],
    }
    try:
        quote = await editor.call("cart", "POST", "/quotes", {"of": wish})
        await asyncio.sleep(chance.choice((0, 0, 0, 0, 0, 5, TOO_LONG_S)))
        asked = {"edit_id": str(derive("simulated edit", quote["quote_id"])), "quote": quote}
        await editor.call("orders", "POST", f"{here}/edits", asked)
    except Denied as denial:
        editor.simulation.tell(editor.name, f"cannot edit: {denial.code}")
        return False
    return True


def _other_units(chance: Random, order: dict[str, Any], skus: Sequence[str]) -> list[dict[str, Any]]:
    """The order's lines with more units of one, less or none, or with one line more."""
    lines = [{name: line[name] for name in ("line_id", "sku", "quantity")} for line in order["lines"]]
    chosen = chance.choice(lines)
    match chance.choice(("more", "more", "less", "none", "another")):
        case "more":
            chosen["quantity"] += chance.randint(1, 2)
        case "less":
            chosen["quantity"] -= 1
        case "none":
            chosen["quantity"] = 0
        case _:
            line_id = str(derive("simulated line", order["order_id"], chance.random()))
            lines.append({"line_id": line_id, "sku": chance.choice(skus), "quantity": 1})
    return [line for line in lines if line["quantity"]] or [{**chosen, "quantity": 2}]
