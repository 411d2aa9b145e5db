"""Notifications' composition root: everything of this service is wired here and nowhere else."""

import base64
from datetime import datetime
from pathlib import Path

from services.notifications import effects
from services.notifications.commands import execute
from services.notifications.domain.message import MESSAGE
from services.notifications.effects import EmailSend
from services.notifications.http import routes
from services.notifications.openapi import EXAMPLES, OPERATIONS
from services.notifications.reactions import EMAIL_SEND, react
from services.notifications.readmodels import message_ledger
from services.notifications.readmodels.mail_occasions import HEARD, MAIL_OCCASIONS
from services.notifications.readmodels.message_ledger import MESSAGE_LEDGER
from services.notifications.readmodels.order_snippets import ORDER_SNIPPETS
from services.notifications.readmodels.return_policies import RETURN_POLICIES
from services.notifications.settings import NotificationsSettings
from services.notifications.smtp import Mail, Smtp
from shared.events import notifications
from shared.events.registry import Registry
from shared.messaging.subscription import Subscription
from shared.messaging.topics import topic_of
from shared.service.auth import Authenticator
from shared.service.openapi import described
from shared.service.run import Service, Wired
from shared.service.vault import Vault
from shared.store.connection import Connection
from shared.store.store import Definition, Store
from shared.store.worker import Duties


def define(_settings: NotificationsSettings) -> Definition:
    """What notifications keeps."""
    return Definition(registry=Registry.of(notifications), deciders=[MESSAGE], read_models=[MESSAGE_LEDGER])


def subscription(settings: NotificationsSettings) -> Subscription:
    """What notifications hears."""
    return Subscription(
        consumer="notifications",
        topics=[topic_of("orders"), topic_of("returns")],
        registry=HEARD,
        execute=execute,
        react=react,
        read_models=[ORDER_SNIPPETS, MAIL_OCCASIONS, RETURN_POLICIES],
        react_since=settings.react_since,
    )


async def introduced(connection: Connection) -> datetime:
    """When this consumer came into being: it writes to nobody about what happened before."""
    since: datetime = await connection.fetchval("SELECT since FROM introduced WHERE name = 'notifications'")
    return since


def wire(settings: NotificationsSettings, store: Store) -> Wired:
    """Notifications with the mail server that the settings name."""
    password = settings.smtp_password
    mail = Smtp(
        host=settings.smtp_host,
        port=settings.smtp_port,
        sender=settings.sender,
        sender_name=settings.shop_name,
        timeout_s=settings.smtp_timeout_s,
        tls=settings.smtp_tls,
        starttls=settings.smtp_starttls,
        username=settings.smtp_username,
        password=password.get_secret_value() if password else None,
    )
    wired = assemble(settings, store, mail)
    wired.resources.push_async_callback(mail.close)
    return wired


def assemble(settings: NotificationsSettings, store: Store, mail: Mail) -> Wired:
    """How notifications' parts hang together, with any mail server."""
    send = EmailSend(
        store=store,
        vault=Vault(base64.b64decode(settings.data_key.get_secret_value())),
        mail=mail,
        shop=settings.shop,
        sender=settings.sender,
        merchant_email=settings.merchant_email,
        clock=store.clock,
    )
    router = routes(store, Authenticator(settings.jwt_key.get_secret_value(), store.clock))
    return Wired(
        duties=Duties(
            execute=execute,
            effects={EMAIL_SEND: send},
            streams=lambda command: (MESSAGE.stream(command.message_id),),
        ),
        router=described(router, OPERATIONS, EXAMPLES),
        samples=(message_ledger.sample, effects.sample),
    )


SERVICE = Service(
    name="notifications",
    folder=Path(__file__).parent,
    settings=NotificationsSettings,
    define=define,
    subscription=subscription,
    introduced=introduced,
    wire=wire,
)
