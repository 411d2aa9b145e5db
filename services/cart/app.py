"""Cart's composition root: everything of this service is wired here and nowhere else."""

import base64
from functools import partial
from pathlib import Path

from services.cart import catalogue_http, http, imports_http, merging_http, pricing_http, quotes_http
from services.cart.commands import adopt_first_policy, execute, streams
from services.cart.domain import coupon_use, pricing, product
from services.cart.domain.cart import CART, cart_decider
from services.cart.domain.coupon_use import COUPON_USE
from services.cart.domain.merging import TakeLines
from services.cart.domain.pricing import PRICING
from services.cart.domain.product import PRODUCT
from services.cart.follow_ups import follow_up, on_deadline
from services.cart.openapi import EXAMPLES, OPERATIONS
from services.cart.personal_data import PersonalData
from services.cart.reactions import react
from services.cart.readmodels import cart_view
from services.cart.readmodels.availability import AVAILABILITY
from services.cart.readmodels.cart_view import CART_VIEW
from services.cart.readmodels.coupon_uses import COUPON_USES
from services.cart.readmodels.pricing_policies import PRICING_POLICIES
from services.cart.readmodels.products import PRODUCTS
from services.cart.settings import CartSettings
from shared.events import cart, inventory, orders
from shared.events.registry import Registry
from shared.messaging.subscription import Subscription
from shared.messaging.topics import topic_of
from shared.service.auth import Authenticator
from shared.service.http import joined
from shared.service.openapi import described
from shared.service.quotes import QuoteKeys
from shared.service.run import Service, Wired
from shared.service.vault import Vault
from shared.store.store import Definition, Store
from shared.store.worker import Duties


def define(settings: CartSettings) -> Definition:
    """What cart keeps."""
    return Definition(
        registry=Registry.of(cart, product, pricing, coupon_use),
        deciders=[cart_decider(settings.abandoned_after), PRODUCT, PRICING, COUPON_USE],
        read_models=[CART_VIEW, PRODUCTS, PRICING_POLICIES, COUPON_USES],
        react=follow_up,
    )


def subscription(settings: CartSettings) -> Subscription:
    """What cart hears."""
    return Subscription(
        consumer="cart",
        topics=[topic_of("inventory"), topic_of("orders")],
        registry=Registry.of(inventory, orders),
        execute=execute,
        react=react,
        read_models=[AVAILABILITY],
        react_since=settings.react_since,
    )


def wire(settings: CartSettings, store: Store) -> Wired:
    """How cart's parts hang together."""
    token_key = settings.jwt_key.get_secret_value()
    auth = Authenticator(token_key, store.clock)
    quote_keys = QuoteKeys(settings.live_quote_keys)
    personal = PersonalData(Vault(base64.b64decode(settings.data_key.get_secret_value())))
    router = joined(
        http.routes(store, auth, personal, token_key, quote_keys),
        merging_http.routes(store, auth, personal),
        catalogue_http.routes(store, auth),
        pricing_http.routes(store, auth),
        quotes_http.routes(store, auth, quote_keys),
        imports_http.routes(store, auth),
    )
    return Wired(
        duties=Duties(
            execute=execute,
            commands=(TakeLines,),
            on_deadline={CART.category: on_deadline},
            streams=streams,
        ),
        router=described(router, OPERATIONS, EXAMPLES),
        samples=(cart_view.sample,),
        prepare=partial(adopt_first_policy, store),
    )


SERVICE = Service(
    name="cart",
    folder=Path(__file__).parent,
    settings=CartSettings,
    define=define,
    subscription=subscription,
    wire=wire,
)
