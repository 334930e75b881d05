"""A difference that is known, with its reason."""

import re
from dataclasses import dataclass, field


@dataclass
class Rule:
    """Covers the differences of `conversations` whose text `differences` finds, and `step` the
    step that they came in.

    All are regular expressions that are searched for. A rule that covers nothing in a whole run
    is an error, unless it is `seldom`: those differences depend on who is faster.
    """

    reason: str
    conversations: str
    differences: str = ""
    step: str = ""
    seldom: bool = False
    used: bool = field(default=False, init=False)

    def covers(self, name, difference):
        covers = (
            re.search(self.conversations, name) is not None
            and re.search(self.differences, difference.text) is not None
            and re.search(self.step, difference.step) is not None
        )
        self.used = self.used or covers
        return covers


def uncovered(rules, name, found):
    """The differences that no rule knows. Every rule that knows one is marked as used."""
    return [one for one in found if not [rule for rule in rules if rule.covers(name, one)]]
