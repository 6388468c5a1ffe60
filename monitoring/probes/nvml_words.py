"""What NVIDIA's driver means by its numbers: XID errors with advice, reasons for slow clocks, "no value"."""

from typing import Literal, NamedTuple

Severity = Literal["critical", "warning", "info"]


class Xid(NamedTuple):
    """How bad an XID error is, what happened, and what to do."""

    severity: Severity
    meaning: str
    advice: str


_RESET = "Drain the card and reset it, or restart the machine; if it comes back, have the card replaced."
_APPLICATION = "A fault of the program that ran, not of the card: look at its log."

XIDS: dict[int, Xid] = {
    8: Xid("warning", "GPU stopped processing", "Look whether a program hangs; reset the card if it stays."),
    13: Xid("info", "Graphics engine exception", _APPLICATION),
    31: Xid("info", "Memory page fault", _APPLICATION),
    32: Xid("warning", "Invalid or corrupted push buffer", "Check the driver's version and the card's PCIe slot."),
    38: Xid("warning", "Driver firmware error", "Update the driver; reset the card if it stays."),
    43: Xid("info", "GPU stopped processing a program", _APPLICATION),
    45: Xid("info", "Preemptive clean-up, after an earlier error", "Look at the XID error before this one."),
    48: Xid("critical", "Double-bit ECC error", _RESET),
    61: Xid("warning", "Internal micro-controller breakpoint", "Update the driver; reset the card if it stays."),
    62: Xid("critical", "Internal micro-controller halt", _RESET),
    63: Xid("info", "Memory row remapped or page retired", "Nothing now; the card takes it up at its next reset."),
    64: Xid("critical", "Remapping a memory row failed", _RESET),
    69: Xid("warning", "Graphics engine class error", "Look at the program's log; update the driver if it stays."),
    74: Xid("critical", "NVLink error", "Check the link's seat and bridge, then reset all cards that share it."),
    79: Xid("critical", "GPU has fallen off the bus", "Check power, heat and the PCIe slot, then restart the machine."),
    92: Xid("info", "High rate of corrected memory errors", "Nothing now; watch whether uncorrected ones follow."),
    94: Xid("warning", "Contained memory error", "Restart the program that ran; reset the card when it is idle."),
    95: Xid("critical", "Uncontained memory error", _RESET),
    119: Xid("critical", "GPU's system processor does not answer", _RESET),
    120: Xid("critical", "GPU's system processor error", _RESET),
    121: Xid("info", "Corrected error of the link between cards", "Nothing now; reset the cards when they are idle."),
}
_OTHER = Xid("warning", "GPU error", "Look the number up in NVIDIA's catalogue of XID errors.")


def xid(code: int) -> Xid:
    """What is known of an XID error; a general word for the ones that are not listed."""
    return XIDS.get(code, _OTHER)


# The bit of nvmlDeviceGetCurrentClocksEventReasons, and its word; idle is a reason too.
THROTTLES: tuple[tuple[int, str], ...] = (
    (0x001, "idle"),
    (0x002, "application clocks"),
    (0x004, "power cap"),
    (0x008, "hardware slowdown"),
    (0x010, "sync boost"),
    (0x020, "thermal slowdown by software"),
    (0x040, "thermal slowdown by hardware"),
    (0x080, "power brake"),
    (0x100, "display clocks"),
)


# What stands for "no value": NVML's -1, and the blanks of DCGM and of what speaks like it, 32 and 64 bits wide.
_BLANKS = frozenset(
    {0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF, *range(0x7FFFFFF0, 0x80000000), *range(0x7FFFFFFFFFFFFFF0, 0x8000000000000000)}
)


def is_blank(value: float) -> bool:
    """Whether a number is none: "not available" in the vendor's way of saying it."""
    return value in _BLANKS or value < 0
