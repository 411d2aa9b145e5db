"""Every problem type of every service: what its status is and what a caller can do about it.

This is the one list of codes. A code is named here before anything refuses with it, and `docs/problems.md` is
written from here. One code means one thing, whichever service says it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

TYPE_PREFIX: Final = "urn:orderflow:problem:"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """What callers are told of a code: its status, an example of its `detail`, and what to `do` about it.

    `more` are an example's further members. `given` says who gives it besides routes that name it: any with a
    certain trait, or a step that no request waits for.
    """

    status: int
    detail: str
    do: str
    more: Mapping[str, object] = field(default_factory=dict)
    given: str | None = None


_INSIDE: Final = "inside: "

PROBLEM_TYPES: Final[Mapping[str, ProblemType]] = {
    # Of any route
    "malformed_json": ProblemType(
        400,
        "The request body is not valid JSON.",
        "Send valid JSON in UTF-8.",
        given="any route that takes a body",
    ),
    "invalid_request": ProblemType(
        422,
        "Some members are missing or wrong; see errors.",
        "Correct the members that `errors` points at.",
        more={"errors": [{"pointer": "#/quantity", "detail": "Input should be a valid integer"}]},
        given="any route that takes a body or parameters",
    ),
    "body_too_large": ProblemType(
        413,
        "A body has at most 1,048,576 bytes; send less at once.",
        "Send less at once.",
        given="any route that takes a body",
    ),
    "unauthenticated": ProblemType(
        401,
        "A token is needed: Authorization: Bearer <token>.",
        "Send a token that is valid: `Authorization: Bearer`.",
        given="any route, for a bad or missing token",
    ),
    "forbidden": ProblemType(
        403,
        "This is for admin, operator; the token is a customer's.",
        "Use the token of somebody who may; `detail` says who.",
        given="any route that is not for everybody with a token",
    ),
    "invalid_idempotency_key": ProblemType(
        400,
        "A key has 1 to 255 printable characters.",
        "Take a key of 1 to 255 printable characters.",
        given="any command with an `Idempotency-Key`",
    ),
    "idempotency_key_reused": ProblemType(
        422,
        "This Idempotency-Key was used with another body; take a new key.",
        "Take a new key for another request.",
        given="any command with an `Idempotency-Key`",
    ),
    "stale_version": ProblemType(
        412,
        "It has changed since you read it; read it again and decide anew.",
        "Read it again, decide anew, and send its new `ETag` in `If-Match`.",
        more={"version": 4},
        given="any command with `If-Match`",
    ),
    "unavailable": ProblemType(
        503,
        "No database now; send the request again, with the same Idempotency-Key if it has one.",
        "Send the request again after `Retry-After` seconds, with the same key.",
        given="any route",
    ),
    "internal_error": ProblemType(
        500,
        "The service failed; the request may be repeated.",
        "Send the request again, with the same key; tell the operator if it goes on.",
        given="any route",
    ),
    "not_found": ProblemType(
        404,
        "Not Found",
        "Look the path up in `/docs`.",
        given="any path that is no route",
    ),
    "method_not_allowed": ProblemType(
        405,
        "Method Not Allowed",
        "Use a method that `Allow` names.",
        given="any route asked with another method",
    ),
    "http_error": ProblemType(
        400,
        "I'm a Teapot",
        "Look at the status.",
        given="any route, for what the HTTP server refuses by itself",
    ),
    "not_ready": ProblemType(
        503,
        "database: 2 migrations are missing",
        "Wait; `detail` names what is missing.",
    ),
    # Carts
    "unknown_cart": ProblemType(
        404,
        "There is no cart 0192d1f0-0000-4000-8000-000000000001 of yours.",
        "Begin a cart, or use the token of the buyer whose cart it is.",
    ),
    "cart_exists": ProblemType(
        409,
        "This cart id belongs to another buyer's cart.",
        "Begin a cart with another `cart_id`.",
    ),
    "cart_closed": ProblemType(
        409,
        "This cart was checked out; start a new one.",
        "Begin a new cart, or go on with the one that `detail` names.",
    ),
    "unknown_line": ProblemType(
        404,
        "There is no line 0192d1f0-0000-4000-8000-000000000002 in the cart.",
        "Read it again and use a `line_id` that is in it.",
    ),
    "line_limit": ProblemType(
        422,
        "A cart holds at most 500 lines.",
        "Take a line out first, or buy in two carts.",
    ),
    "quantity_limit": ProblemType(
        422,
        "One checkout takes 1 to 10 units of this.",
        "Ask for at most `limit` units.",
        more={"limit": 10},
    ),
    "product_unavailable": ProblemType(
        409,
        "No longer sold: MUG-1.",
        "Take the lines of `skus` out; they are not sold.",
        more={"skus": ["MUG-1"]},
    ),
    "sold_out": ProblemType(
        409,
        "Sold out: MUG-1.",
        "Take the lines of `skus` out, or come back once there is stock.",
        more={"skus": ["MUG-1"]},
    ),
    "customization_required": ProblemType(
        422,
        "RING-1 is made to order; say how.",
        "Say in `customization` how it should be made.",
    ),
    "currency_mismatch": ProblemType(
        422,
        "The cart is in GBP, not in EUR.",
        "Use the currency that `detail` names, or begin another cart.",
    ),
    "no_pricing_policy": ProblemType(
        409,
        "No pricing policy is in force yet; an admin must adopt one.",
        "Let an admin adopt a pricing policy.",
    ),
    "not_mergeable": ProblemType(
        409,
        "Only a guest's cart is merged, and only into another cart.",
        "Name a guest's cart, and another one to take it into.",
    ),
    "invalid_guest_token": ProblemType(
        422,
        "The token is not valid: Signature has expired.",
        "Send the token that began the guest's cart.",
    ),
    "coupon_invalid": ProblemType(
        409,
        "Coupon SPRING10 does not hold any more.",
        "Leave the `coupon` out; `reason` says why it does not hold.",
        more={"coupon": "SPRING10", "reason": "over"},
    ),
    "coupon_used_up": ProblemType(
        409,
        "Coupon SPRING10 was used as often as it may be.",
        "Take the `coupon` off and check out at the new total.",
        more={"coupon": "SPRING10"},
    ),
    "empty_cart": ProblemType(
        409,
        "There is nothing in the cart.",
        "Put something into the cart first.",
    ),
    "email_missing": ProblemType(
        422,
        "Say where the confirmation should be sent.",
        "Choose a delivery with a contact first.",
    ),
    "address_incomplete": ProblemType(
        422,
        "The address lacks city, postal_code.",
        "Complete the address with what `missing` names.",
        more={"missing": ["city", "postal_code"]},
    ),
    "method_unavailable": ProblemType(
        409,
        "Choose a shipping method or a pickup location, not both.",
        "Choose one of the `shipping_options`, or another way.",
        given=_INSIDE + "orders, for a refund that should not go back the way the money came",
    ),
    "total_changed": ProblemType(
        409,
        "The total is 2095 GBP now.",
        "Show the buyer the new `total` and let them accept it.",
        more={"total": 2095},
    ),
    "invalid_quote": ProblemType(
        422,
        "The quote is not one that this shop made.",
        "Send the quote unchanged, as `POST /quotes` gave it.",
    ),
    "quote_expired": ProblemType(
        409,
        "The quote's time is over; ask for another one.",
        "Ask for a new quote.",
    ),
    # Catalogue and prices
    "unknown_product": ProblemType(
        404,
        "There is no product MUG-1.",
        "List the product first.",
        more={"sku": "MUG-1"},
    ),
    "invalid_product": ProblemType(
        422,
        "These fields are not valid: prices.",
        "Correct the members that `fields` names.",
        more={"fields": ["prices"]},
    ),
    "import_incomplete": ProblemType(
        409,
        "1 parts have not come yet.",
        "Send the parts that `missing` names, then carry it out again.",
        more={"missing": [3]},
    ),
    "import_refused": ProblemType(
        409,
        "2 products of it cannot be taken.",
        "Correct the faults that the parts told of, or carry out with `skip_bad`.",
        more={"refused": 2},
    ),
    "unknown_policy": ProblemType(
        404,
        "No pricing policy is in force then.",
        "Ask for an instant from which on a policy holds.",
    ),
    "invalid_policy": ProblemType(
        422,
        "Give every period as a number of days between 0 and 3650.",
        "Correct what `detail` names.",
    ),
    # Orders
    "unknown_order": ProblemType(
        404,
        "there is no order a3f6c1d2-8c7e-5b21-9f40-2d6f0e9b7c55",
        "Use the id of an order of yours; a new one takes a moment to arrive.",
    ),
    "already_processing": ProblemType(
        409,
        "the order is being packed: ask the shop to cancel it",
        "Ask the shop to cancel it.",
    ),
    "already_shipped": ProblemType(
        409,
        "something left already: ask for a return instead",
        "Ask for a return instead.",
    ),
    "order_cancelled": ProblemType(
        409,
        "the order is cancelled: its money is let go",
        "Nothing; the order has ended and its money goes back.",
    ),
    "not_confirmed": ProblemType(
        409,
        "the order still waits for its stock or its payment",
        "Wait until the order is confirmed.",
    ),
    "on_hold": ProblemType(
        409,
        "the order is held: AWAITING_PAYMENT",
        "Wait until what `reasons` names is settled.",
        more={"reasons": ["AWAITING_PAYMENT"]},
    ),
    "already_in_fulfillment": ProblemType(
        409,
        "something left already: the order stays as it is",
        "Ask the shop while the order is only being packed; once something left, ask for a return.",
    ),
    "edit_pending": ProblemType(
        409,
        "the last change still waits for its stock or its payment",
        "Wait for the last change, or pay what it asks for: `GET /orders/{order_id}/payment`.",
    ),
    "line_differs": ProblemType(
        422,
        "line 0192d1f0-0000-4000-8000-000000000002 is of MUG-1: MUG-2 needs a line of its own",
        "Quote another sku under a new `line_id`.",
        more={"line_id": "0192d1f0-0000-4000-8000-000000000002"},
    ),
    "use_cancel": ProblemType(
        409,
        "nothing would be left of the order: cancel it instead",
        "Cancel the order: `POST /orders/{order_id}/cancel`.",
    ),
    "order_completed": ProblemType(
        409,
        "the order is complete: ask for a return instead",
        "Ask for a return instead.",
    ),
    "incomplete": ProblemType(
        409,
        "the order lacks: address",
        "Get what `missing` names first.",
        more={"missing": ["address"]},
    ),
    "not_requested": ProblemType(
        409,
        "nobody was asked to ship this: start the processing first",
        "Do the step before first; `detail` names it.",
    ),
    "parcel_exists": ProblemType(
        409,
        "parcel 1 left with other units",
        "Give the parcel a number of its own.",
    ),
    "exceeds_ordered": ProblemType(
        422,
        "only 2 units of this line are left to ship",
        "Ship at most what is left of the line.",
    ),
    "stock_not_secured": ProblemType(
        409,
        "these units are promised but not there yet",
        "Wait until the promised units have come.",
    ),
    "payment_not_secured": ProblemType(
        409,
        "these units are neither paid nor authorized",
        "Secure the money first: `POST /orders/{order_id}/reauthorizations`.",
    ),
    "unknown_shipment": ProblemType(
        404,
        "the order has no shipment 5d0c7e0c-6a43-5b0f-8f3a-0f3b7d1c9e11",
        "Use a shipment of this order: `GET /orders/{order_id}/tracking`.",
    ),
    "invalid_quantity": ProblemType(
        422,
        "receive at least 1 unit of MUG-1",
        "Name a quantity within the bounds that `detail` says.",
    ),
    "invalid_delivered_at": ProblemType(
        422,
        "a parcel arrived in the past year, not in the future",
        "Name an instant of the past year.",
    ),
    "invalid_estimated_delivery": ProblemType(
        422,
        "a parcel arrives within a year from today",
        "Name a day within a year from today.",
    ),
    # Payments
    "nothing_due": ProblemType(
        409,
        "there is nothing to pay now",
        "Nothing; there is nothing to pay or to secure now.",
    ),
    "payment_open": ProblemType(
        409,
        "a payment is open: finish it first",
        "Finish the payment that is open: `GET /orders/{order_id}/payment`.",
    ),
    "too_many_attempts": ProblemType(
        409,
        "no further attempt to pay is possible",
        "Order again, or let the shop ask the buyer.",
    ),
    "payment_not_ready": ProblemType(
        409,
        "Nothing can be paid yet.",
        "Ask again after `Retry-After` seconds.",
    ),
    "provider_unavailable": ProblemType(
        503,
        "Try again.",
        "Ask again after `Retry-After` seconds.",
    ),
    "exceeds_authorized": ProblemType(
        409,
        "less than this is authorized and not yet captured",
        "Capture at most what is authorized and not captured yet.",
    ),
    "invalid_amount": ProblemType(
        422,
        "capture at least one minor unit",
        "Name at least one minor unit.",
    ),
    "unknown_refund": ProblemType(
        404,
        "There is no such refund.",
        "Use a refund that exists: the order's page lists its own.",
    ),
    "refund_settled": ProblemType(
        409,
        "this refund is paid or given up: it cannot be tried again",
        "Nothing; it is paid or given up for good.",
    ),
    "unknown_orphan_payment": ProblemType(
        404,
        "there is no orphan payment 5d0c7e0c-6a43-5b0f-8f3a-0f3b7d1c9e11",
        "Use one that `GET /orphan-payments` lists.",
    ),
    "orphan_settled": ProblemType(
        409,
        "this money is on its way back: no order can have it",
        "Nothing; the money is on its way back or belongs to an order.",
    ),
    "invalid_signature": ProblemType(
        400,
        "Not accepted: the signature is too old.",
        "Sign the body with a live secret, and send it at once.",
    ),
    "webhook_too_large": ProblemType(
        413,
        "A webhook has at most 65536 bytes.",
        "Send at most 65,536 bytes.",
    ),
    "capture_pending": ProblemType(
        409,
        "the money to pay back is still being captured: try again later",
        "Nothing; it is tried again once the capture has ended.",
        given=_INSIDE + "orders, carrying out a refund that returns has granted",
    ),
    "unknown_intent": ProblemType(
        404,
        "the order has no payment intent 5d0c7e0c-6a43-5b0f-8f3a-0f3b7d1c9e11",
        "Nothing; what came is kept as an orphan payment.",
        given=_INSIDE + "orders, recording what the provider said",
    ),
    "unknown_capture": ProblemType(
        404,
        "the order has no capture 5d0c7e0c-6a43-5b0f-8f3a-0f3b7d1c9e11",
        "Nothing; what came is kept as an orphan payment.",
        given=_INSIDE + "orders, recording what the provider said",
    ),
    # Stock
    "unknown_sku": ProblemType(
        404,
        "No stock of MUG-1 was ever kept.",
        "Receive the `sku` first.",
        more={"sku": "MUG-1"},
    ),
    "below_commitments": ProblemType(
        409,
        "only 3 units of MUG-1 are not held for orders or set aside",
        "Take at most what is not held for orders or set aside.",
        more={"sku": "MUG-1"},
    ),
    "invalid_terms": ProblemType(
        422,
        "thresholds lie between 0 and 1000000",
        "Name thresholds within the bounds that `detail` says.",
    ),
    "unknown_reservation": ProblemType(
        404,
        "No stock was ever asked for by this order.",
        "Use the id of an order that asked for stock.",
    ),
    # Returns
    "unknown_return": ProblemType(
        404,
        "There is no such return of yours.",
        "Use the id of a return of yours.",
    ),
    "not_delivered": ProblemType(
        409,
        "Nothing of this order was delivered.",
        "Wait until the goods have arrived, or cancel the order.",
    ),
    "period_ended": ProblemType(
        409,
        "The return period ended on 2026-11-22.",
        "Nothing; `until` was the last instant to ask.",
        more={"line_id": "0192d1f0-0000-4000-8000-000000000002", "until": "2026-11-22 12:00:00+00:00"},
    ),
    "excluded": ProblemType(
        409,
        "The policy takes no returns of this item (FINAL_SALE).",
        "Nothing, unless the goods are faulty: then name that reason.",
        more={"line_id": "0192d1f0-0000-4000-8000-000000000002", "exclusion": "FINAL_SALE"},
    ),
    "exceeds_returnable": ProblemType(
        409,
        "Only 1 units of this line can be returned.",
        "Ask for at most `returnable` units of `line_id`.",
        more={"line_id": "0192d1f0-0000-4000-8000-000000000002", "returnable": 1},
    ),
    "exceeds_approved": ProblemType(
        409,
        "At most 1 units of this line are awaited here.",
        "Count in at most `awaited` units of `line_id`.",
        more={"line_id": "0192d1f0-0000-4000-8000-000000000002", "awaited": 1},
    ),
    "already_received": ProblemType(
        409,
        "Goods of this return have come in; it can no longer be cancelled.",
        "Nothing; what came in is paid back.",
    ),
    "exceeds_refundable": ProblemType(
        422,
        "At most 2095 of this order can be refunded.",
        "Refund at most `refundable`.",
        more={"refundable": 2095},
    ),
    "already_proposed": ProblemType(
        409,
        "This refund was proposed with another amount.",
        "Take a new `refund_case_id` for another refund.",
    ),
    "not_proposed": ProblemType(
        409,
        "There is no such refund to approve.",
        "Nothing; there is no such refund.",
        given=_INSIDE + "returns, should a refund be approved unseen",
    ),
    "same_approver": ProblemType(
        409,
        "Somebody other than the proposer has to approve this refund.",
        "Let somebody else approve it.",
    ),
    # Messages
    "unknown_message": ProblemType(
        404,
        "There is no such message; it may not have been tried yet.",
        "Use a message that was tried: `GET /messages` lists them.",
    ),
    "resend_limit": ProblemType(
        422,
        "This was sent 20 times already.",
        "Nothing; it was sent often enough.",
    ),
}


def members_of(code: str) -> dict[str, str]:
    """The members that name a problem, which are the same for all of its type."""
    return {"type": TYPE_PREFIX + code, "title": code.replace("_", " ").capitalize()}


def status_of(code: str) -> int:
    """The status of a refusal; 409 for a code that is not in the list."""
    known = PROBLEM_TYPES.get(code)
    return 409 if known is None else known.status
