"""Which happenings people are told of, and why they are not: decided and stored in the happening's own transaction."""

from alerts.states import Happening, State


def withheld(state: State, happening: Happening) -> str:
    """Why nobody is told, in a word; "" when receivers are told, or when there is nothing to tell.

    An end is told whatever silences the alert: who heard of it must hear that it is over. What is no live data is
    told to no live channel; that is for the routes.
    """
    if happening.tells == "trigger" and state.suppressed_by:
        return state.suppressed_by[0].kind
    return ""
