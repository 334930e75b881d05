"""Compares two transcripts of a conversation."""

import json
from dataclasses import dataclass

# Leaves of an answer that are shown one by one; with more the whole answers are shown.
LEAVES_MAX = 14
TEXT_MAX = 300


@dataclass
class Difference:
    # What was done in the step, as numbered in the transcript.
    step: str
    # What came otherwise: "path: theirs=… ours=…", or a message that only one side sent.
    text: str


def differences(theirs, ours):
    """What the reference's transcript and ours do not share."""
    found = []
    for number in range(max(len(theirs), len(ours))):
        if number >= len(theirs) or number >= len(ours):
            side, steps = ("theirs", theirs) if number < len(theirs) else ("ours", ours)
            step = f"[{number + 1}] {cut(steps[number]['done'])}"
            found.append(Difference(step, f"step of {side} only"))
            found += [Difference(step, f"{side} {cut(m)}") for m in steps[number]["came"]]
        elif theirs[number] != ours[number]:
            found += _step(number, theirs[number], ours[number])
    return found


def _step(number, theirs, ours):
    step = f"[{number + 1}] {cut(theirs['done'])}"
    texts = []
    if theirs["done"] != ours["done"]:
        texts.append(f"ours did: {cut(ours['done'])}")
    came, also = theirs["came"], ours["came"]
    if len(came) != len(also):
        texts += [f"theirs {cut(form)}" for form in came if form not in also]
        texts += [f"ours {cut(form)}" for form in also if form not in came]
        texts.append(f"(theirs are {len(came)} messages, ours {len(also)})")
    else:
        for position, (their, our) in enumerate(zip(came, also)):
            which = f"#{position + 1} " if len(came) > 1 else ""
            texts += [which + text for text in _message(their, our)]
    return [Difference(step, text) for text in texts]


def _message(theirs, ours):
    if theirs == ours:
        return []
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = leaves(theirs, ours)
        if len(found) <= LEAVES_MAX:
            return [f"{path}: theirs={_leaf(a)} ours={_leaf(b)}" for path, a, b in found]
    return [f"theirs {cut(theirs)}", f"ours {cut(ours)}"]


def leaves(theirs, ours, path=""):
    """The leaves in which two values differ, with their paths. What is not there is None."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return _members(theirs, ours, path)
    # A member that only one side has is told leaf by leaf.
    if isinstance(theirs, dict) and theirs and ours is None:
        return _members(theirs, {}, path)
    if isinstance(ours, dict) and ours and theirs is None:
        return _members({}, ours, path)
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        found = []
        for index, (their, our) in enumerate(zip(theirs, ours)):
            found += leaves(their, our, f"{path}[{index}]")
        return found
    return [] if theirs == ours else [(path, theirs, ours)]


def _members(theirs, ours, path):
    found = []
    for key in sorted({*theirs, *ours}):
        found += leaves(theirs.get(key), ours.get(key), f"{path}.{key}" if path else key)
    return found


def _leaf(value):
    return "absent" if value is None else cut(value, 200)


def cut(value, most=TEXT_MAX):
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= most else text[:most] + "…"
