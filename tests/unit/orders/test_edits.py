"""An order's content changes before anything ships: dearer, cheaper, more, less; and back again."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.cart.domain.promises import Wish
from services.cart.domain.quote import Item
from services.orders.domain import (
    CancelOrder,
    EffectKind,
    EffectWanted,
    OrderPolicy,
    RecordPaymentCaptured,
    RecordPaymentDeclined,
    RequestPayment,
    deadlines,
    effects_of,
    fulfillment_status,
    on_deadline,
    order_decider,
)
from services.orders.domain.state import FulfillmentStatus
from shared.domain import Sealed, ids
from shared.events.common import Breakdown, CancelReason, Qty
from shared.events.envelope import ActorKind
from shared.events.orders import (
    Allocation,
    DeclineCode,
    EditCause,
    FulfillmentCancelCause,
    FulfillmentCancelled,
    LatePaymentCause,
    LatePaymentKind,
    LatePaymentReceived,
    NextStep,
    OrderEvent,
    OrderPaid,
    PaymentDeclined,
    PaymentVoided,
    RefundCause,
    RefundRequested,
    VoidCause,
)
from shared.testing.scenario import NOW, given
from tests.unit.orders import edit_samples as e
from tests.unit.orders import samples as s

RECALLED = FulfillmentCancelled(
    fulfillment_id=s.FULFILLMENT, lines=s.ALL_UNITS, cause=FulfillmentCancelCause.EDITED
)
REQUESTED_ANEW = replace(s.HANDED_OVER, fulfillment_id=ids.fulfillment_id(s.ORDER_ID, "OWN", str(s.DEPOT), 2))
BY_HAND = replace(s.TO_CAPTURE_ALL, shipment_id=None)
TAKEN = (BY_HAND, s.captured(BY_HAND), s.PAID)
CLOSED = PaymentDeclined(intent_id=s.INTENT_2, code=DeclineCode.TIMEOUT, attempt=1, final=True)
BY_BUYER = {"by": ActorKind.CUSTOMER}


def to_refund(amount: int, ref_id: Any = e.EDIT) -> RefundRequested:
    """What an edit pays back, in the proportions of what the order cost before it."""
    shipping = amount - amount * 1800 // s.TOTAL
    parts = Breakdown(
        items_net=amount - shipping, items_tax=0, shipping_net=shipping, shipping_tax=0, total=amount
    )
    return RefundRequested(
        refund_id=ids.refund_id(s.ORDER_ID, "EDIT", ref_id, "ORIGINAL"),
        amount=amount,
        breakdown=parts,
        cause=RefundCause.EDIT,
        ref_id=ref_id,
        allocations=(Allocation(capture_id=BY_HAND.capture_id, amount=amount),),
        attempt=1,
    )


class TestDearer:
    def test_it_is_held_and_the_balance_asked_for(self) -> None:
        given(s.ORDER, *s.IN_QUEUE).when(e.edit(e.DEARER_MUGS, e.TWO_PLATES)).then(
            e.PRICIER, e.HELD, e.balance(400)
        )

    def test_with_the_balance_it_goes_on(self) -> None:
        scenario = given(s.ORDER, *e.WAITS_FOR_BALANCE).when(e.pay(400))
        scenario.then(
            replace(s.AUTHORIZED, intent_id=s.INTENT_2, amount=400, provider_ref="pi_2"), e.RELEASED
        )
        assert not scenario.state.edit_pending

    def test_money_that_is_taken_at_once_does_as_well(self) -> None:
        taken = RecordPaymentCaptured(
            order_id=s.ORDER_ID, intent_id=s.INTENT_2, amount=400, provider_ref="ch_2", now=NOW
        )
        capture = ids.capture_id(s.INTENT_2, 1)
        given(s.ORDER, *e.WAITS_FOR_BALANCE).when(taken).then(
            replace(
                s.captured(BY_HAND),
                capture_id=capture,
                intent_id=s.INTENT_2,
                amount=400,
                provider_ref="ch_2",
            ),
            e.RELEASED,
        )

    def test_what_is_authorized_already_is_enough(self) -> None:
        more_held = replace(s.AUTHORIZED, amount=s.TOTAL + 400)
        queued = (*s.WAITING_FOR_PAYMENT, more_held, s.CONFIRMED)
        given(s.ORDER, *queued).when(e.edit(e.DEARER_MUGS, e.TWO_PLATES)).then(e.PRICIER)

    def test_of_a_paid_order_all_that_is_more_is_asked_for_and_it_is_paid_anew(self) -> None:
        scenario = given(s.ORDER, *s.IN_QUEUE, *TAKEN).when(e.edit(e.DEARER_MUGS, e.TWO_PLATES))
        window = NOW + s.POLICY.balance_window
        scenario.then(e.PRICIER, e.HELD, replace(e.balance(400), expires_at=window))
        assert not scenario.state.paid

    def test_money_that_is_being_let_go_does_not_count(self) -> None:
        """Paid in full, the order gave up what was authorized beyond it; the provider is told already."""
        paid = OrderPaid(total=2000, captured=2000, revision=1)
        taken = replace(BY_HAND, amount=2000)
        mugs = s.line(s.MUGS, "MUG", 2, 1000)
        dearer = replace(e.edit(mugs, e.TWO_PLATES), edit_id=s.OTHER_ID)
        scenario = given(s.ORDER, *s.IN_QUEUE, e.LESS, taken, s.captured(taken), paid)
        events = list(s.ORDER.decide(scenario.state, dearer))
        names = [type(event).__name__ for event in events]
        assert names == ["OrderEdited", "FulfillmentHeld", "PaymentRequested"]
        assert events[-1].amount == 300  # type: ignore[union-attr]

    def test_nothing_is_packed_or_shipped_while_it_is_held(self) -> None:
        refusal = given(s.ORDER, *e.WAITS_FOR_BALANCE).when(s.START).rejected("on_hold")
        assert refusal.extra == {"reasons": ["AWAITING_PAYMENT"]}
        packed = (*s.IN_PROCESSING, e.PRICIER, e.HELD, e.balance(400))
        given(s.ORDER, *packed).when(s.SHIP_1).rejected("on_hold")
        assert fulfillment_status(s.fold(*packed)) is FulfillmentStatus.ON_HOLD

    def test_a_policy_says_how_long_the_buyer_has(self) -> None:
        hasty = OrderPolicy(balance_window=timedelta(hours=1))
        scenario = given(order_decider(hasty), *s.IN_QUEUE).when(e.edit(e.DEARER_MUGS, e.TWO_PLATES))
        in_an_hour = NOW + timedelta(hours=1)
        scenario.then(
            e.PRICIER,
            replace(e.HELD, review_by=in_an_hour),
            replace(e.balance(400), expires_at=in_an_hour),
        )

    def test_a_declined_balance_can_be_tried_again_in_the_same_window(self) -> None:
        declined = replace(CLOSED, code=DeclineCode.DECLINED, final=False)
        again = RequestPayment(order_id=s.ORDER_ID, now=NOW + timedelta(days=1))
        given(s.ORDER, *e.WAITS_FOR_BALANCE, declined).when(again).then_not_repeatable(
            replace(e.balance(400), intent_id=s.INTENT_3)
        )


class TestCheaper:
    def test_what_is_only_authorized_is_let_go_at_the_end(self) -> None:
        given(s.ORDER, *s.IN_QUEUE).when(e.edit(e.TWO_MUGS, e.TWO_PLATES)).then(e.LESS)

    def test_money_that_was_taken_goes_back(self) -> None:
        scenario = given(s.ORDER, *s.IN_QUEUE, *TAKEN).when(e.edit(e.TWO_MUGS, e.TWO_PLATES))
        scenario.then(e.LESS, to_refund(300))
        assert scenario.state.captured == 2000

    def test_money_that_is_being_taken_goes_back_once_it_came(self) -> None:
        scenario = given(s.ORDER, *s.IN_QUEUE, BY_HAND).when(e.edit(e.TWO_MUGS, e.TWO_PLATES)).then(e.LESS)
        done = replace(s.CAPTURE_DONE, capture_id=BY_HAND.capture_id)
        paid = OrderPaid(total=2000, captured=s.TOTAL, revision=1)
        scenario.when(done).then(s.captured(BY_HAND), paid, to_refund(300))

    def test_a_second_edit_pays_back_only_the_rest(self) -> None:
        second = replace(e.edit(e.TWO_MUGS), edit_id=s.OTHER_ID)
        refund = to_refund(800, s.OTHER_ID)
        scenario = given(s.ORDER, *s.IN_QUEUE, *TAKEN, e.LESS, to_refund(300)).when(second)
        events = list(s.ORDER.decide(scenario.state, second))
        assert [type(event).__name__ for event in events] == ["OrderEdited", "RefundRequested"]
        assert (events[1].amount, events[1].refund_id) == (800, refund.refund_id)  # type: ignore[union-attr]

    def test_its_units_are_no_longer_packed(self) -> None:
        held = (replace(s.HELD[0], quantity=2), s.HELD[1])
        scenario = given(s.ORDER, *s.IN_PROCESSING).when(e.edit(e.TWO_MUGS, e.TWO_PLATES))
        lines = (Qty(line_id=s.MUGS, quantity=2), Qty(line_id=s.PLATES, quantity=2))
        scenario.then(RECALLED, e.LESS, replace(REQUESTED_ANEW, lines=lines))
        assert scenario.state.placed == held

    def test_a_line_that_goes_leaves_the_order(self) -> None:
        scenario = given(s.ORDER, *s.IN_PROCESSING).when(e.edit(e.THREE_MUGS))
        lines = (Qty(line_id=s.MUGS, quantity=3),)
        scenario.then(RECALLED, e.edited(e.THREE_MUGS), replace(REQUESTED_ANEW, lines=lines))
        assert scenario.state.line_ids == (s.MUGS,)


class TestMore:
    def test_it_waits_for_its_stock_before_money_is_asked_for(self) -> None:
        given(s.ORDER, *s.IN_QUEUE).when(e.edit(e.FOUR_MUGS, e.TWO_PLATES)).then(e.MORE, e.HELD)
        given(s.ORDER, *e.WAITS_FOR_STOCK).when(RequestPayment(order_id=s.ORDER_ID, now=NOW)).rejected(
            "nothing_due"
        )

    def test_with_the_stock_the_balance_is_asked_for(self) -> None:
        given(s.ORDER, *e.WAITS_FOR_STOCK).when(e.SECURE_EDIT).then(
            e.secured(*s.HELD, *e.ONE_MORE_MUG), e.balance(400)
        )

    def test_with_stock_and_money_all_of_it_is_packed(self) -> None:
        history = (
            *s.IN_PROCESSING,
            RECALLED,
            e.MORE,
            e.HELD,
            e.secured(*s.HELD, *e.ONE_MORE_MUG),
            e.balance(400),
        )
        lines = (Qty(line_id=s.MUGS, quantity=4), Qty(line_id=s.PLATES, quantity=2))
        given(s.ORDER, *history).when(e.pay(400)).then(
            replace(s.AUTHORIZED, intent_id=s.INTENT_2, amount=400, provider_ref="pi_2"),
            replace(e.RELEASED, next=NextStep.WAIT),
            replace(REQUESTED_ANEW, lines=lines),
        )

    def test_that_costs_nothing_more_only_waits_for_its_stock(self) -> None:
        free = s.line(e.BOWLS, "BOWL", 1, 0)
        swap = e.edited(e.THREE_MUGS, e.TWO_PLATES, free, raises_stock=True)
        scenario = given(s.ORDER, *s.IN_QUEUE).when(e.edit(e.THREE_MUGS, e.TWO_PLATES, free)).then(swap)
        refusal = scenario.when(s.START).rejected("incomplete")
        assert refusal.extra == {"missing": ["stock"]}
        scenario.when(replace(e.SECURE_EDIT, added=e.THE_BOWL)).then(e.secured(*s.HELD, *e.THE_BOWL))
        assert not scenario.state.edit_pending

    def test_of_a_cheaper_swap_nothing_goes_back_before_the_stock_is_there(self) -> None:
        swap = e.edited(e.TWO_PLATES, e.A_BOWL, raises_stock=True)
        scenario = given(s.ORDER, *s.IN_QUEUE, *TAKEN).when(e.edit(e.TWO_PLATES, e.A_BOWL)).then(swap)
        scenario.when(replace(e.SECURE_EDIT, added=e.THE_BOWL)).then(
            e.secured(s.HELD[1], *e.THE_BOWL), to_refund(100)
        )

    def test_nothing_ships_before_the_stock_is_there(self) -> None:
        elsewhere = replace(s.HANDED_OVER, lines=(Qty(line_id=s.PLATES, quantity=2),))
        free = s.line(e.BOWLS, "BOWL", 1, 0)
        swap = e.edited(e.THREE_MUGS, e.TWO_PLATES, free, raises_stock=True)
        plate = replace(s.SHIP_1, lines=(Qty(line_id=s.PLATES, quantity=1),))
        given(s.ORDER, *s.IN_QUEUE, s.STARTED, elsewhere, swap).when(plate).rejected("stock_not_secured")

    def test_that_is_not_tracked_asks_for_the_money_at_once(self) -> None:
        card = s.line(e.BOWLS, "CARD", 1, 300, tracked=False)
        given(s.ORDER, *s.IN_QUEUE).when(e.edit(e.THREE_MUGS, e.TWO_PLATES, card)).then(
            e.edited(e.THREE_MUGS, e.TWO_PLATES, card), e.HELD, e.balance(300)
        )

    def test_stock_of_another_revision_is_not_waited_for(self) -> None:
        given(s.ORDER, *e.WAITS_FOR_STOCK).when(replace(e.SECURE_EDIT, revision=2)).then()
        given(s.ORDER, *s.IN_QUEUE).when(e.SECURE_EDIT).then()


class TestRevert:
    def test_without_stock_everything_is_as_before(self) -> None:
        scenario = given(s.ORDER, *e.WAITS_FOR_STOCK).when(e.NO_STOCK)
        scenario.then(e.reverted(e.MORE), e.RELEASED_REVERTED)
        before, after = s.fold(*s.IN_QUEUE), scenario.state
        assert (after.content, after.placed) == (before.content, before.placed)
        assert not after.edit_pending

    def test_what_was_packed_is_packed_again(self) -> None:
        given(s.ORDER, *s.IN_PROCESSING, RECALLED, e.MORE, e.HELD).when(e.NO_STOCK).then(
            e.reverted(e.MORE), replace(e.RELEASED_REVERTED, next=NextStep.WAIT), REQUESTED_ANEW
        )

    def test_without_an_answer_nothing_is_held_in_vain(self) -> None:
        given(s.ORDER, *e.WAITS_FOR_STOCK).when(e.IN_VAIN).then(e.reverted(e.MORE), e.RELEASED_REVERTED)

    def test_a_balance_that_is_declined_for_good_ends_the_edit(self) -> None:
        late = RecordPaymentDeclined(
            order_id=s.ORDER_ID, intent_id=s.INTENT_2, code=DeclineCode.TIMEOUT, now=e.RENEW_AT
        )
        given(s.ORDER, *e.WAITS_FOR_BALANCE).when(late).then(
            CLOSED, e.reverted(e.PRICIER), e.RELEASED_REVERTED
        )

    def test_units_that_the_edit_gave_up_are_held_anew_before_the_hold_ends(self) -> None:
        history = (*s.IN_QUEUE, e.SWAP, e.HELD, e.secured(s.HELD[1], *e.THE_BOWL), e.balance(900))
        back = e.reverted(e.SWAP, raises_stock=True)
        scenario = given(s.ORDER, *history, CLOSED).when(e.IN_VAIN).then(back)
        again = replace(e.SECURE_EDIT, revision=2, added=s.HELD[:1])
        scenario.when(again).then(e.secured(s.HELD[1], s.HELD[0], revision=2), e.RELEASED_REVERTED)

    @pytest.mark.parametrize(("refused", "detail"), [(True, "OUT_OF_STOCK"), (False, "NO_ANSWER")])
    def test_units_that_are_gone_end_the_order(self, refused: bool, detail: str) -> None:
        back = e.reverted(e.SWAP, raises_stock=True)
        history = (*s.IN_QUEUE, e.SWAP, e.HELD, e.secured(s.HELD[1], *e.THE_BOWL), back)
        given(s.ORDER, *history).when(replace(e.NO_STOCK, revision=2, refused=refused)).then(
            replace(
                s.CANCELLED,
                reason=CancelReason.INVENTORY,
                detail=detail,
                void_intents=(s.INTENT,),
                revision=2,
            )
        )

    def test_a_refusal_that_comes_late_means_that_nothing_was_given_up(self) -> None:
        back = e.reverted(e.SWAP, raises_stock=True)
        given(s.ORDER, *s.IN_QUEUE, e.SWAP, e.HELD, back).when(e.NO_STOCK).then(
            e.secured(*s.HELD, revision=2), e.RELEASED_REVERTED
        )

    def test_the_rest_of_a_payment_that_was_captured_once_is_still_to_be_authorized_anew(self) -> None:
        """That it is not held is no reason to end the order, nor is the balance that nobody paid."""
        once = replace(s.AUTHORIZED, multicapture=False)
        taken = replace(BY_HAND, amount=700)
        rest = PaymentVoided(intent_id=s.INTENT, amount=s.TOTAL - 700, cause=VoidCause.REMAINDER)
        queued = (*s.WAITING_FOR_PAYMENT, once, s.CONFIRMED, taken, s.captured(taken), rest)
        edited = (e.PRICIER, e.HELD, e.balance(s.TOTAL - 300), CLOSED)
        order = s.fold(*queued, *edited, e.reverted(e.PRICIER), e.RELEASED_REVERTED)
        assert deadlines(order, s.POLICY) == deadlines(s.fold(*queued), s.POLICY)

    @pytest.mark.parametrize(
        "history",
        [
            s.IN_QUEUE,
            (*s.IN_QUEUE, e.LESS),
            e.WAITS_FOR_BALANCE,
            (*e.WAITS_FOR_STOCK, s.CANCELLED),
            (*e.WAITS_FOR_STOCK, e.reverted(e.MORE), e.RELEASED_REVERTED),
        ],
    )
    def test_a_refusal_that_nobody_waits_for_changes_nothing(self, history: tuple[OrderEvent, ...]) -> None:
        given(s.ORDER, *history).when(e.NO_STOCK).then()

    def test_a_balance_that_comes_late_is_let_go(self) -> None:
        history = (*e.WAITS_FOR_BALANCE, e.reverted(e.PRICIER), e.RELEASED_REVERTED)
        late = LatePaymentReceived(
            intent_id=s.INTENT_2,
            kind=LatePaymentKind.AUTHORIZED,
            amount=400,
            provider_ref="pi_2",
            cause=LatePaymentCause.INTENT_CLOSED,
        )
        scenario = given(s.ORDER, *history).when(e.pay(400)).then(late)
        void = EffectWanted(kind=EffectKind.VOID, order_id=s.ORDER_ID, target=s.INTENT_2)
        assert effects_of(scenario.state, late) == (void,)

    def test_the_open_balance_is_closed_at_the_provider(self) -> None:
        back = e.reverted(e.PRICIER)
        order = s.fold(*e.WAITS_FOR_BALANCE, back)
        close = EffectWanted(kind=EffectKind.CLOSE_INTENT, order_id=s.ORDER_ID, target=s.INTENT_2)
        assert effects_of(order, back) == (close,)
        assert effects_of(s.fold(*s.IN_QUEUE, e.LESS), e.LESS) == ()

    def test_money_that_was_taken_for_it_goes_back(self) -> None:
        part = RecordPaymentCaptured(
            order_id=s.ORDER_ID, intent_id=s.INTENT_2, amount=100, provider_ref="ch_2", now=NOW
        )
        paid = (*s.IN_QUEUE, *TAKEN, e.PRICIER, e.HELD, e.balance(400))
        scenario = given(s.ORDER, *paid)
        scenario._fold(s.ORDER.decide(scenario.state, part))
        events = list(s.ORDER.decide(scenario.state, e.IN_VAIN))
        names = [type(event).__name__ for event in events]
        assert names == ["OrderEdited", "FulfillmentHoldReleased", "OrderPaid", "RefundRequested"]
        assert events[-1].amount == 100  # type: ignore[union-attr]


class TestWhoAndWhen:
    @pytest.mark.parametrize(
        ("history", "code"),
        [
            ((s.PLACED,), "not_confirmed"),
            (s.WAITING_FOR_PAYMENT, "not_confirmed"),
            (s.PARTLY_SHIPPED, "already_in_fulfillment"),
            ((*s.IN_QUEUE, s.CANCELLED), "order_cancelled"),
            ((*s.IN_QUEUE, replace(e.MORE, edit_id=s.OTHER_ID)), "edit_pending"),
            ((*s.IN_QUEUE, s.REQUESTED_2), "payment_open"),
        ],
    )
    def test_not_now(self, history: tuple[OrderEvent, ...], code: str) -> None:
        given(s.ORDER, *history).when(e.edit(e.TWO_MUGS, e.TWO_PLATES)).rejected(code)

    def test_not_once_all_of_it_has_arrived(self) -> None:
        given(s.ORDER, *s.AT_ITS_END).when(e.edit(e.TWO_MUGS)).rejected("order_completed")

    def test_an_edit_that_waits_for_its_balance_is_pending_too(self) -> None:
        other = replace(e.edit(e.TWO_MUGS), edit_id=s.OTHER_ID)
        given(s.ORDER, *e.WAITS_FOR_BALANCE).when(other).rejected("edit_pending")

    def test_an_unknown_order_is_refused(self) -> None:
        for command in (e.edit(e.TWO_MUGS), e.SECURE_EDIT, e.NO_STOCK):
            given(s.ORDER).when(command).rejected("unknown_order")

    def test_its_buyer_can_until_it_is_processed(self) -> None:
        wish = e.edit(e.TWO_MUGS, e.TWO_PLATES, **BY_BUYER)
        given(s.ORDER, *s.IN_QUEUE).when(wish).then(replace(e.LESS, cause=EditCause.CUSTOMER))
        given(s.ORDER, *s.IN_PROCESSING).when(wish).rejected("already_in_fulfillment")

    @pytest.mark.parametrize("wish", [{"country": "JE"}, {"codes": ("HALF",)}])
    def test_a_buyer_needs_a_quote_for_this_order(self, wish: dict[str, Any]) -> None:
        """One for a place with other taxes, or with a coupon whose uses nobody would count, is staff's."""
        by_buyer = e.edit(e.TWO_MUGS, e.TWO_PLATES, **BY_BUYER, **wish)
        given(s.ORDER, *s.IN_QUEUE).when(by_buyer).rejected("invalid_quote")
        by_staff = replace(by_buyer, by=ActorKind.OPERATOR)
        given(s.ORDER, *s.IN_QUEUE).when(by_staff).then(replace(e.LESS, quote_id=by_staff.quote.quote_id))

    def test_the_quote_that_cart_makes_for_these_lines_is_one(self) -> None:
        place = replace(s.PLACED.destination, complete=False)
        items = tuple(
            Item(line_id=q.line_id, sku=q.sku, quantity=q.quantity) for q in (e.TWO_MUGS, e.TWO_PLATES)
        )
        quote = e.quote(e.TWO_MUGS, e.TWO_PLATES)
        for method in (None, "standard"):
            wish = Wish(currency="GBP", items=items, destination=place, method_id=method)
            promise = replace(quote, quote_id=wish.quote_id(quote.valid_until))
            command = replace(e.edit(e.TWO_MUGS, **BY_BUYER), quote=promise)
            assert len(s.ORDER.decide(s.fold(*s.IN_QUEUE), command)) == 1
            other = replace(command, currency="USD")
            given(s.ORDER, *s.IN_QUEUE).when(other).rejected("invalid_quote")

    def test_a_quote_holds_for_a_while(self) -> None:
        wish = e.edit(e.TWO_MUGS, e.TWO_PLATES)
        late = replace(wish, now=wish.quote.valid_until)
        given(s.ORDER, *s.IN_QUEUE).when(late).rejected("quote_expired")

    def test_something_has_to_be_left(self) -> None:
        nothing = replace(e.quote(e.TWO_MUGS), lines=())
        given(s.ORDER, *s.IN_QUEUE).when(replace(e.edit(e.TWO_MUGS), quote=nothing)).rejected("use_cancel")

    def test_a_line_keeps_its_sku(self) -> None:
        other = replace(e.TWO_MUGS, sku="CUP")
        refusal = given(s.ORDER, *s.IN_QUEUE).when(e.edit(other)).rejected("line_differs")
        assert refusal.extra == {"line_id": str(s.MUGS)}

    def test_a_line_keeps_what_the_buyer_wrote_on_it(self) -> None:
        engraved = replace(e.THREE_MUGS, customization=Sealed("v1.s.n.text"))
        placed = s.placed(engraved, e.TWO_PLATES)
        given(s.ORDER, placed, *s.IN_QUEUE[1:]).when(e.edit(e.TWO_MUGS, e.TWO_PLATES)).then(
            replace(e.LESS, lines=(replace(e.TWO_MUGS, customization=engraved.customization), e.TWO_PLATES))
        )

    def test_the_same_edit_again_changes_nothing_even_later(self) -> None:
        wish = e.edit(e.TWO_MUGS, e.TWO_PLATES)
        settled = (*s.IN_QUEUE, e.LESS, replace(e.LESS, edit_id=s.OTHER_ID, revision=2), s.CANCELLED)
        given(s.ORDER, *settled).when(wish).then()


class TestCancel:
    @pytest.mark.parametrize(
        ("history", "void"),
        [
            (e.WAITS_FOR_STOCK, (s.INTENT,)),
            (e.WAITS_FOR_BALANCE, (s.INTENT,)),
            ((*s.IN_QUEUE, e.LESS), (s.INTENT,)),
        ],
    )
    def test_an_edited_order_can_be_cancelled(self, history: tuple[OrderEvent, ...], void: Any) -> None:
        scenario = given(s.ORDER, *history).when(s.CANCEL)
        scenario.then(replace(s.CANCELLED, void_intents=void, revision=1))
        assert not scenario.state.holds
        assert deadlines(scenario.state, s.POLICY).keys().isdisjoint({"edit_balance", "edit_stock_answer"})

    def test_all_money_comes_back_once(self) -> None:
        history = (*s.IN_QUEUE, *TAKEN, e.LESS, to_refund(300))
        events = list(s.ORDER.decide(s.fold(*history), s.CANCEL))
        assert [event.amount for event in events if isinstance(event, RefundRequested)] == [2000]

    def test_stock_that_an_edit_brought_is_released(self) -> None:
        untracked = s.placed(s.line(s.MUGS, "MUG", 3, 1000, tracked=False), e.TWO_PLATES)
        without = e.edited(s.line(s.MUGS, "MUG", 3, 1000, tracked=False))
        order = s.fold(untracked, *s.IN_QUEUE[1:], without)
        (cancelled,) = s.ORDER.decide(order, s.CANCEL)
        assert cancelled == replace(s.CANCELLED, void_intents=(s.INTENT,), revision=1)


@pytest.mark.parametrize(
    ("history", "timer", "due", "answer"),
    [
        (e.WAITS_FOR_STOCK, "edit_stock_answer", NOW + s.POLICY.stock_answer_within, e.IN_VAIN),
        (
            (*e.WAITS_FOR_BALANCE, replace(CLOSED, final=False)),
            "edit_balance",
            e.RENEW_AT,
            e.IN_VAIN,
        ),
    ],
)
def test_no_edit_waits_for_ever(history: tuple[OrderEvent, ...], timer: str, due: Any, answer: Any) -> None:
    order = s.fold(*history)
    assert deadlines(order, s.POLICY)[timer] == due
    assert "balance" not in deadlines(order, s.POLICY)
    assert on_deadline(order, timer, due - timedelta(seconds=1), s.POLICY) is None
    assert on_deadline(order, timer, due, s.POLICY) == replace(answer, now=due)


def test_an_open_balance_is_closed_at_the_end_of_its_window() -> None:
    order = s.fold(*e.WAITS_FOR_BALANCE)
    assert "edit_balance" not in deadlines(order, s.POLICY)
    close = EffectWanted(kind=EffectKind.CLOSE_INTENT, order_id=s.ORDER_ID, target=s.INTENT_2)
    assert on_deadline(order, f"payment_window:{s.INTENT_2}", e.RENEW_AT, s.POLICY) == close


def test_a_cancel_by_the_timer_is_not_what_an_edit_waits_for() -> None:
    """Before, money that was missing of a confirmed order ended it."""
    for history in (e.WAITS_FOR_STOCK, (*e.WAITS_FOR_BALANCE, replace(CLOSED, final=False))):
        order = s.fold(*history)
        for timer in deadlines(order, s.POLICY):
            at = e.RENEW_AT - timedelta(seconds=1)
            assert not isinstance(on_deadline(order, timer, at, s.POLICY), CancelOrder)
