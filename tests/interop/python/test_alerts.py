"""The alert rules in etc: that they can be read, and that what they ask for is measured."""

import re
import urllib.request
from pathlib import Path

import pytest
import yaml

from harness import free_port, is_reference, store_flags

RULES = Path(__file__).resolve().parents[3] / "etc" / "alerts.yml"


def rules():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_each_rule_is_whole():
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule
        assert rule["labels"]["severity"] in ("page", "ticket"), rule
        assert rule["annotations"]["summary"] and rule["annotations"]["description"], rule
        assert re.fullmatch(r"\d+[smhd]", rule.get("for", "1m")), rule
        expr = rule["expr"]
        for pair in ("()", "[]", "{}"):
            assert expr.count(pair[0]) == expr.count(pair[1]), expr
        assert re.search(r"[<>=]", expr), f"it never ends: {expr}"


async def measured(start_server, tmp_path):
    """The names of the series that a server with a stream and a consumer has."""
    port = free_port()
    server = await start_server("--http-port", str(port), *store_flags(tmp_path))
    stream = await server.jetstream()
    await stream.add_stream(name="S", subjects=["s"])
    await stream.pull_subscribe("s", "d")
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    names = {re.split(r"[{ ]", line)[0] for line in page.splitlines() if line[:1] != "#"}
    # Too few messages to have an age.
    return names | {"midge_consumer_oldest_undelivered_age_seconds"}


@pytest.mark.skipif(is_reference(), reason="these are metrics of midge")
async def test_what_the_rules_ask_for_is_measured(start_server, tmp_path):
    names = await measured(start_server, tmp_path)
    for rule in rules():
        wanted = set(re.findall(r"(?:midge|process)_\w+", rule["expr"]))
        assert wanted and wanted <= names, f"{rule['alert']}: {wanted - names}"
