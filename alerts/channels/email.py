"""E-mail: one letter an event to a few people, with everything of one episode in one thread."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from alerts.channels import letters
from alerts.channels.base import DeliveryError, Field, Mail, Notice, Receipt, Tools, Transport
from alerts.channels.mailing import handed_over
from alerts.channels.wording import PRODUCT

MAX_RECIPIENTS, LONGEST_ADDRESS = 20, 254
# ASCII without anything that means something in a header: quotes, brackets, and the question mark of encoded words.
_ADDRESS = re.compile(r"[A-Za-z0-9_+'%&=~/-]+(?:\.[A-Za-z0-9_+'%&=~/-]+)*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_NOT_OF_AN_ID = re.compile(r"[^A-Za-z0-9._-]")


def recipients(text: str) -> list[str]:
    """The addresses of a setting, one a line, each once."""
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def recipients_problem(text: str) -> str | None:
    found = recipients(text)
    if not 1 <= len(found) <= MAX_RECIPIENTS:
        return f"must be 1 to {MAX_RECIPIENTS} addresses, one a line"
    wrong = [number for number, one in enumerate(found, 1) if not is_address(one)]
    return f"must be addresses such as ada@example.com; number {wrong[0]} is none" if wrong else None


def is_address(text: str) -> bool:
    return len(text) <= LONGEST_ADDRESS and _ADDRESS.fullmatch(text) is not None


def rendered(notice: Notice, *, sender: str, to: Sequence[str]) -> EmailMessage:
    """The letter. Headers hold words from outside in the subject alone."""
    host, own = sender.rpartition("@")[2], _NOT_OF_AN_ID.sub("", notice.id)
    root = f"<{hashlib.sha256(notice.dedup_key.encode()).hexdigest()[:32]}@{host}>"
    message = EmailMessage(policy=SMTP)
    message["Subject"] = letters.subject(notice)
    message["From"] = Address(PRODUCT, addr_spec=sender)
    message["To"] = [Address(addr_spec=one) for one in to]
    message["Date"] = format_datetime(notice.at)
    message["Message-ID"] = f"<{own}@{host}>"
    message["In-Reply-To"] = root  # never sent itself: that all name it is what makes them one thread
    message["References"] = root
    message["List-Id"] = f"<{_NOT_OF_AN_ID.sub('', notice.organization)}.alerts.{host}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"  # Exchange's word for the same
    message.set_content(letters.plain(notice), cte="quoted-printable")
    message.add_alternative(letters.html(notice), subtype="html", cte="quoted-printable")
    message.set_boundary(f"=_{own[:60]}")  # the same at every try, and never found in quoted-printable lines
    return message


def send(notice: Notice, settings: Mapping[str, str], tools: Tools) -> Receipt:
    mail, to = _demanded(tools.mail), settings.get("recipients", "")
    if recipients_problem(to):
        raise DeliveryError("settings", "The recipients are not a list of addresses.")
    message = rendered(notice, sender=mail.sender, to=recipients(to))
    return handed_over(mail, recipients(to), message.as_bytes(), tools.seconds)


def _demanded(mail: Mail | None) -> Mail:
    if mail is None or not is_address(mail.sender):
        raise DeliveryError("settings", "No mail server is set, or no address to send from.")
    return mail


TRANSPORT = Transport(
    kind="email",
    title="E-mail",
    summary="Letters to up to 20 addresses; everything of one alert is one thread.",
    fields=(
        Field(name="recipients", label="Recipients", help="One address a line.", kind="lines",
              longest=MAX_RECIPIENTS * (LONGEST_ADDRESS + 2), problem=recipients_problem),
    ),
    send=send,
    per_minute=60,
    at_once=2,
)  # fmt: skip
