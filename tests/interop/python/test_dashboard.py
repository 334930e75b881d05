"""The dashboard in etc: that it can be imported, and that what it shows is measured."""

import json
import re
from pathlib import Path

from harness import only_midge
from test_alerts import measured

pytestmark = only_midge()

BOARD = json.loads((Path(__file__).resolve().parents[3] / "etc/grafana-dashboard.json").read_text())


def panels():
    return [panel for panel in BOARD["panels"] if panel["type"] != "row"]


def test_it_is_whole():
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    variables = {variable["name"]: variable for variable in BOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    places = set()
    for panel in panels():
        assert panel["title"] and panel["targets"], panel
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        places.add((place["x"], place["y"]))
        for target in panel["targets"]:
            expr = target["expr"]
            assert target["datasource"]["uid"] == "${datasource}", expr
            for pair in ("()", "[]", "{}"):
                assert expr.count(pair[0]) == expr.count(pair[1]), expr
            used = set(re.findall(r"\$(?!__)(\w+)", expr))
            assert used <= variables.keys(), expr
    assert len(places) == len(panels()), "panels lie on each other"


async def test_what_it_shows_is_measured(start_server, tmp_path):
    names = await measured(start_server, tmp_path)
    for panel in panels():
        for target in panel["targets"]:
            wanted = set(re.findall(r"(?:midge|process)_\w+", target["expr"]))
            assert wanted and wanted <= names, f"{panel['title']}: {wanted - names}"
