"""Settings of notifications: the mail server, and who writes to whom."""

from pydantic import Field, SecretStr, model_validator

from services.notifications.contexts import Shop
from shared.service.fields import Email, ShortText
from shared.service.settings import Settings


class NotificationsSettings(Settings):
    """What notifications needs beside the common settings."""

    consumer_gather_s: float = Field(0.25, gt=0, le=10, description="mails are not in a hurry")
    smtp_host: str = Field("127.0.0.1", description="mail server")
    smtp_port: int = Field(25, ge=1, le=65535)
    smtp_tls: bool = Field(False, description="speak TLS from the first byte, as on port 465")
    smtp_starttls: bool | None = Field(None, description="demand STARTTLS; unset: where the server has it")
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_timeout_s: float = Field(10.0, gt=0, description="seconds for one whole conversation")
    sender: Email = Field("shop@shop.example", description="address that mails come from")
    merchant_email: Email = Field("merchant@shop.example", description="who is told of sales and problems")
    support_email: Email | None = Field(None, description="where customers ask; unset: the sender's address")
    shop_name: ShortText = "The Shop"
    shop_url: str = Field("https://shop.example", pattern=r"^https?://[^\s]+$")
    return_address: ShortText = Field("Returns department", description="rows separated by ;")

    @model_validator(mode="after")
    def _within_the_lease(self) -> "NotificationsSettings":
        if self.smtp_timeout_s + 5 > self.todo_lease_s:
            raise ValueError("SMTP_TIMEOUT_S must be 5 s shorter than TODO_LEASE_S")
        return self

    @property
    def shop(self) -> Shop:
        """The shop as its mails name it."""
        return Shop(
            name=self.shop_name,
            url=self.shop_url.rstrip("/"),
            support_email=self.support_email or self.sender,
            return_address=tuple(row.strip() for row in self.return_address.split(";") if row.strip()),
        )
