"""E-mail: one letter an event to a few people, with everything of one episode in one thread."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from alerts.channels import letters
from alerts.channels.base import DeliveryError, Failure, Field, Mail, Notice, Receipt, Tools, Transport
from alerts.channels.mailing import Reply, handed_over
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
    """To those who did not take it at an earlier try."""
    mail, to = _demanded(tools.mail), settings.get("recipients", "")
    if recipients_problem(to):
        raise DeliveryError("settings", "The recipients are not a list of addresses.")
    everyone, had = recipients(to), notice.so_far.get("taken", [])
    left = [one for one in everyone if _mark(notice, one) not in had]
    if not left:
        return Receipt(answer="All who are written to by now have it.")
    message = rendered(notice, sender=mail.sender, to=everyone)
    replies = handed_over(mail, left, message.as_bytes(), tools.seconds)
    if not all(reply.taken for reply in replies.values()):
        raise _not_by_all(notice, everyone, replies)
    return Receipt(status=replies[left[0]].status, answer=replies[left[0]].answer)


def _not_by_all(notice: Notice, everyone: Sequence[str], replies: Mapping[str, Reply]) -> DeliveryError:
    """Whoever has it is remembered. One that may be taken later is reason enough to try again."""
    refused = {one: reply for one, reply in replies.items() if not reply.taken}
    have = [one for one in everyone if one not in refused]
    mildest = min(refused.values())
    kind: Failure = "refused" if mildest.for_good else "partly" if have else "server"
    if not have:
        words = "The mail server takes none of the recipients."
        return DeliveryError(kind, words, status=mildest.status, answer=mildest.answer)
    words = f"The mail server takes {len(have)} of {len(everyone)} recipients{'' if mildest.for_good else ' for now'}."
    # By their numbers in the list of the channel, for addresses are not kept.
    said = [f"recipient {number}: {refused[one].status} {refused[one].answer}"
            for number, one in enumerate(everyone, 1) if one in refused]  # fmt: skip
    said += [reply.answer for reply in replies.values() if reply.taken][:1]
    taken = [*(_mark(notice, one) for one in have), *notice.so_far.get("taken", [])]
    return DeliveryError(kind, words, status=mildest.status, answer="; ".join(said), unsure=True,
                         reference={"taken": list(dict.fromkeys(taken))})  # fmt: skip


def _mark(notice: Notice, address: str) -> str:
    """What a recipient is remembered by: not the address, and another in every notice."""
    return hashlib.sha256(f"{notice.id} {address}".encode()).hexdigest()[:16]


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
