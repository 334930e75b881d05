#!/usr/bin/env -S python3 -B
"""Plays the same conversations against nats-server and midge, and compares what came.

What differs is played again, twice, before it counts. It is in order if `accepted.py` says why, or
`not_yet.py`; a rule there that covers nothing any more is an error like a difference is.
"""

import argparse
import os
import re
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import accepted
import conversations  # noqa: F401 registers them
import not_yet
import registry
from compare import cut, differences
from player import Player
from rule import uncovered
from server import is_reference

HERE = Path(__file__).resolve().parent
REPLAYS = 2
# With more than this the servers are plainly different, and a replay would only take time.
REPLAYED_MAX = 60
DIFFERENCES_SHOWN = 14
TRANSCRIPTS_SHOWN = 5


def main():
    options = parse_options()
    scripts = chosen(options)
    if options.list:
        print("\n".join(script.name for script in scripts))
        return 0
    reference = find_reference(options.reference)
    if options.v:
        for name, steps in Player(reference, options.seed).play(scripts).items():
            print(f"--- {name}")
            show_transcript("theirs", steps)
        return 0
    midge = find_midge(options.midge)
    started = time.monotonic()
    print(f"{len(scripts)} conversations, seed {options.seed}: {reference} and {midge}")
    rules = accepted.RULES + not_yet.RULES
    differing, steady_later = play(scripts, reference, midge, options.seed, rules)
    for name in steady_later:
        print(f"the same only when repeated: {name}")
    show(differing)
    whole = len(scripts) == len(registry.ALL) and options.seed == 0
    # nats-server compared with itself needs no rule.
    stale = unused(rules) if whole and not is_reference(midge) else []
    for rule in stale:
        print(f"covers nothing, remove it: {rule.conversations} {rule.differences}")
    took = time.monotonic() - started
    print(
        f"{len(scripts)} conversations: {len(differing)} differ, {len(stale)} rules cover nothing"
    )
    print(f"{took:.0f} s")
    return 1 if differing or stale else 0


def unused(rules):
    return [rule for rule in rules if not rule.used and not rule.seldom]


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", metavar="REGEX", help="only conversations whose names match")
    parser.add_argument("-v", action="store_true", help="show what nats-server said in all of them")
    parser.add_argument("--seed", type=int, default=0, help="of the generated ones; 0 is CI's")
    parser.add_argument("--list", action="store_true", help="only list their names")
    parser.add_argument("--reference", help="nats-server; $NATS_SERVER_BIN, .venv and $PATH")
    parser.add_argument("--midge", help="the server under test; $MIDGE_BIN and target")
    return parser.parse_args()


def chosen(options):
    pattern = re.compile(options.k or "")
    scripts = [script for name, script in registry.ALL.items() if pattern.search(name)]
    if not scripts:
        sys.exit("differential: no conversation has such a name")
    return scripts


def find_reference(named):
    """What is named, or else what `python/install` installs, or else in $PATH."""
    found = named or os.environ.get("NATS_SERVER_BIN")
    installed = HERE.parent / ".venv/bin/nats-server"
    if not found:
        found = str(installed) if installed.exists() else shutil.which("nats-server")
    if not found:
        sys.exit("differential: no nats-server: run python/install, or set NATS_SERVER_BIN")
    return os.path.abspath(found)


def find_midge(named):
    found = named or os.environ.get("MIDGE_BIN")
    built = [HERE.parents[2] / "target" / profile / "midge" for profile in ("release", "debug")]
    if not found:
        found = next((str(path) for path in built if path.exists()), None)
    if not found:
        sys.exit("differential: build midge, or name a server in MIDGE_BIN")
    return os.path.abspath(found)


def play(scripts, reference, midge, seed, rules):
    """What differs to the end, by name: its differences and transcripts; and what did at first."""
    differing = play_once(scripts, Player(reference, seed), Player(midge, seed), rules)
    first = set(differing)
    for _ in range(REPLAYS):
        if not differing or len(differing) > REPLAYED_MAX:
            break
        again = [registry.ALL[name] for name in differing]
        # Few at a time: what differed because the machine was busy does not do so again.
        players = [
            Player(binary, seed, at_once=6, alone_at_once=2) for binary in (reference, midge)
        ]
        differing = play_once(again, *players, rules)
    return differing, sorted(first - set(differing))


def play_once(scripts, their_player, our_player, rules):
    with ThreadPoolExecutor(2) as both:
        theirs = both.submit(their_player.play, scripts)
        ours = both.submit(our_player.play, scripts)
        theirs, ours = theirs.result(), ours.result()
    differing = {}
    for script in scripts:
        name = script.name
        found = uncovered(rules, name, differences(theirs[name], ours[name]))
        if found:
            differing[name] = (found, theirs[name], ours[name])
    return differing


def show(differing):
    for position, (name, (found, theirs, ours)) in enumerate(differing.items()):
        print(f"--- {name}")
        step = None
        for difference in found[:DIFFERENCES_SHOWN]:
            if difference.step != step:
                step = difference.step
                print(f"  {step}")
            print(f"      {difference.text}")
        if len(found) > DIFFERENCES_SHOWN:
            print(f"      … and {len(found) - DIFFERENCES_SHOWN} more")
        if position < TRANSCRIPTS_SHOWN:
            show_transcript("theirs", theirs)
            show_transcript("ours", ours)


def show_transcript(side, steps):
    print(f"  {side}, in full:")
    for number, step in enumerate(steps):
        print(f"    [{number + 1}] {step['done']}")
        for form in step["came"]:
            print(f"        {cut(form, 2000)}")


if __name__ == "__main__":
    sys.exit(main())
