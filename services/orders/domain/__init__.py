"""The pure core of orders: `order_decider(policy)`, its commands and state, its deadlines and effects."""

from services.orders.domain.captures import CapturePayment, RecordCaptureResult, RecordPaymentCaptured
from services.orders.domain.deadlines import EffectKind, EffectWanted, deadlines, effects_of, on_deadline
from services.orders.domain.decider import OrderCommand, order_decider
from services.orders.domain.edits import EditOrder, RevertEdit, SecureEdit
from services.orders.domain.fulfillment import ConfirmDelivery, Ship, StartProcessing
from services.orders.domain.order import CancelOrder, PlaceOrder, SecureStock
from services.orders.domain.payment import (
    Reauthorize,
    RecordPaymentAuthorized,
    RecordPaymentDeclined,
    RecordVoided,
    RequestPayment,
)
from services.orders.domain.policy import OrderPolicy
from services.orders.domain.refunds import RecordRefundResult, RequestRefund, RetryRefund
from services.orders.domain.state import Order, OrderStatus, fulfillment_status, payment_status

__all__ = [
    "CancelOrder",
    "CapturePayment",
    "ConfirmDelivery",
    "EditOrder",
    "EffectKind",
    "EffectWanted",
    "Order",
    "OrderCommand",
    "OrderPolicy",
    "OrderStatus",
    "PlaceOrder",
    "Reauthorize",
    "RecordCaptureResult",
    "RecordPaymentAuthorized",
    "RecordPaymentCaptured",
    "RecordPaymentDeclined",
    "RecordRefundResult",
    "RecordVoided",
    "RequestPayment",
    "RequestRefund",
    "RetryRefund",
    "RevertEdit",
    "SecureEdit",
    "SecureStock",
    "Ship",
    "StartProcessing",
    "deadlines",
    "effects_of",
    "fulfillment_status",
    "on_deadline",
    "order_decider",
    "payment_status",
]
