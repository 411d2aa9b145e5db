"""Which event is the occasion for which message, and to whom: one table, nothing else decides it."""

from dataclasses import dataclass
from enum import StrEnum

from shared.events.common import RefundMethod
from shared.events.orders import (
    CaptureFailed,
    Delivered,
    IntentPurpose,
    LatePaymentReceived,
    OrderCancelled,
    OrderConfirmed,
    OrderEdited,
    PaymentDeclined,
    PaymentRequested,
    RefundFailed,
    RefundIssued,
    ShipmentMethod,
    Shipped,
)
from shared.events.returns import ReturnApproved, ReturnDeclined, ReturnReceived


class Recipient(StrEnum):
    """Who a message is for."""

    CUSTOMER = "CUSTOMER"
    MERCHANT = "MERCHANT"


class Template(StrEnum):
    """The messages there are; the value names the files under templates/."""

    ORDER_CONFIRMATION = "order_confirmation"
    ORDER_CHANGED = "order_changed"
    PAYMENT_DUE = "payment_due"
    PAYMENT_FAILED = "payment_failed"
    PAYMENT_LATE = "payment_late"
    CANCELLED = "cancelled"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    RETURN_INSTRUCTIONS = "return_instructions"
    RETURN_DECLINED = "return_declined"
    RETURN_RECEIVED = "return_received"
    REFUND_ISSUED = "refund_issued"
    MERCHANT_SALE = "merchant_sale"
    REFUND_PROBLEM = "refund_problem"
    PAYMENT_ALERT = "payment_alert"


@dataclass(frozen=True, slots=True)
class Occasion:
    """A message to write."""

    template: Template
    recipient: Recipient


def _customer(template: Template) -> Occasion:
    return Occasion(template, Recipient.CUSTOMER)


def _merchant(template: Template) -> Occasion:
    return Occasion(template, Recipient.MERCHANT)


OCCASION_EVENTS: tuple[type, ...] = (
    OrderConfirmed,
    OrderEdited,
    PaymentRequested,
    PaymentDeclined,
    LatePaymentReceived,
    OrderCancelled,
    Shipped,
    Delivered,
    RefundIssued,
    RefundFailed,
    CaptureFailed,
    ReturnApproved,
    ReturnDeclined,
    ReturnReceived,
)
"""Every event type that can be an occasion: what a reactor has to listen to."""


def occasions(event: object) -> tuple[Occasion, ...]:
    """The messages that an event asks for; none for events that nobody is written to about."""
    match event:
        case OrderConfirmed():
            return _customer(Template.ORDER_CONFIRMATION), _merchant(Template.MERCHANT_SALE)
        case OrderEdited():
            return (_customer(Template.ORDER_CHANGED),)
        case PaymentRequested(purpose=IntentPurpose.BALANCE):
            return (_customer(Template.PAYMENT_DUE),)
        case PaymentDeclined(final=False):
            return (_customer(Template.PAYMENT_FAILED),)
        case LatePaymentReceived():
            return _customer(Template.PAYMENT_LATE), _merchant(Template.PAYMENT_ALERT)
        case CaptureFailed(final=True):
            return (_merchant(Template.PAYMENT_ALERT),)
        case OrderCancelled():
            return (_customer(Template.CANCELLED),)
        case Shipped(method=ShipmentMethod.CARRIER):
            return (_customer(Template.SHIPPED),)
        case Delivered():
            return (_customer(Template.DELIVERED),)
        case RefundIssued(method=RefundMethod.ORIGINAL):
            return (_customer(Template.REFUND_ISSUED),)
        case RefundFailed(retryable=False):
            return (_merchant(Template.REFUND_PROBLEM),)
        case ReturnApproved():
            return (_customer(Template.RETURN_INSTRUCTIONS),)
        case ReturnDeclined():
            return (_customer(Template.RETURN_DECLINED),)
        case ReturnReceived():
            return (_customer(Template.RETURN_RECEIVED),)
        case _:
            return ()
