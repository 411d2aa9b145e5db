"""Cart's composition root: everything of this service is wired here and nowhere else."""

import base64
from functools import partial
from pathlib import Path

from services.cart import catalogue_http, http, imports_http
from services.cart.commands import adopt_first_policy, execute
from services.cart.domain import pricing, product
from services.cart.domain.cart import CART
from services.cart.domain.pricing import PRICING
from services.cart.domain.product import PRODUCT
from services.cart.personal_data import PersonalData
from services.cart.readmodels.cart_view import CART_VIEW
from services.cart.readmodels.pricing_policies import PRICING_POLICIES
from services.cart.readmodels.products import PRODUCTS
from shared.events import cart
from shared.events.registry import Registry
from shared.service.auth import Authenticator
from shared.service.http import joined
from shared.service.run import Service, Wired
from shared.service.settings import Settings
from shared.service.vault import Vault
from shared.store.store import Definition, Store
from shared.store.worker import Duties


def define(_settings: Settings) -> Definition:
    """What cart keeps."""
    return Definition(
        registry=Registry.of(cart, product, pricing),
        deciders=[CART, PRODUCT, PRICING],
        read_models=[CART_VIEW, PRODUCTS, PRICING_POLICIES],
    )


def subscription(_settings: Settings) -> None:
    """Cart hears of nothing yet."""


def wire(settings: Settings, store: Store) -> Wired:
    """How cart's parts hang together."""
    token_key = settings.jwt_key.get_secret_value()
    auth = Authenticator(token_key, store.clock)
    personal = PersonalData(Vault(base64.b64decode(settings.data_key.get_secret_value())))
    router = joined(
        http.routes(store, auth, personal, token_key),
        catalogue_http.routes(store, auth),
        imports_http.routes(store, auth),
    )
    return Wired(duties=Duties(execute=execute), router=router, prepare=partial(adopt_first_policy, store))


SERVICE = Service(
    name="cart",
    folder=Path(__file__).parent,
    settings=Settings,
    define=define,
    subscription=subscription,
    wire=wire,
)
