"""The realism report measures what it says, as independent code and worked examples do."""

from __future__ import annotations

import gzip
import json
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pytest

from funnel.cli import main
from funnel.core import rng
from funnel.core.arrays import Array
from funnel.core.errors import ConfigError, DataError
from funnel.core.tables import QUOTE, REPLY, RETWEET, TABLES
from funnel.core.world import WorldData, WorldMeta
from funnel.realism import svg
from funnel.realism.activity import (
    by_hour,
    cascade_sizes,
    cascade_statistics,
    homophily,
    kind_shares,
    reading_statistics,
)
from funnel.realism.curves import tail_curve
from funnel.realism.graph import FollowGraph, clustering_at, graph_statistics, mean_clustering, random_distance
from funnel.realism.page import html_page, markdown_gaps, markdown_table
from funnel.realism.real import cascade_lines, read_edges
from funnel.realism.report import real_curves, real_sets, rows
from funnel.realism.tail import ccdf, gini, power_law_tail, share_of_top
from funnel.realism.targets import STATISTIC, STATISTICS, Statistic, verdict
from funnel.world import World
from tests.support import mini_world

ROOT = Path(__file__).parents[2]


def random_graph(users: int = 60, share: float = 0.15, seed: int = 0) -> tuple[FollowGraph, nx.DiGraph]:
    follower, followee = np.nonzero(rng.stream(seed, "random graph").random((users, users)) < share)
    other = nx.DiGraph()
    other.add_nodes_from(range(users))
    other.add_edges_from((a, b) for a, b in zip(follower.tolist(), followee.tolist(), strict=True) if a != b)
    return FollowGraph.of(follower.astype(np.int32), followee.astype(np.int32), users), other


def world_of(
    truth: dict[str, Array] | None = None, *, without: tuple[str, ...] = (), name: str = "mini", **columns: Array
) -> World:
    """The mini world; without: tables that have no rows; columns: replacements of columns of `tweets`."""
    mini = mini_world()
    tables = {table: dict(mini.table(table)) for table in TABLES}
    tables |= {table: {column: values[:0] for column, values in tables[table].items()} for table in without}
    if "impressions" in without:
        tables["engagements"]["impression"] = np.full_like(tables["engagements"]["impression"], -1)
    if columns:
        tables["tweets"] |= columns
    return World.of(WorldData(WorldMeta(name, 48.0, 40.0, mini.meta.viewer_count), tables, truth or {}))


@pytest.mark.parametrize("seed", [0, 1])
def test_graph_statistics_are_those_of_networkx(seed: int) -> None:
    graph, other = random_graph(seed=seed)
    found = graph_statistics(graph, sample=10_000)
    mutual = other.to_undirected(reciprocal=True)
    lengths = [
        steps for _, reached in nx.all_pairs_shortest_path_length(other) for steps in reached.values() if steps > 0
    ]
    assert found["reciprocity"] == pytest.approx(nx.reciprocity(other))
    assert found["mean_distance"] == pytest.approx(np.mean(lengths))
    assert found["clustering"] == pytest.approx(nx.average_clustering(other.to_undirected()))
    assert found["mean_follows"] == pytest.approx(other.number_of_edges() / 60)
    assert found["giant_component"] == 1.0
    largest = max(nx.strongly_connected_components(other), key=len)
    assert found["strong_component"] == pytest.approx(len(largest) / 60)
    logs = {node: float(np.log1p(degree)) for node, degree in mutual.degree()}
    nx.set_node_attributes(mutual, logs, "log")
    assert found["mutual_assortativity"] == pytest.approx(nx.numeric_assortativity_coefficient(mutual, "log"))


def test_clustering_at_a_degree_is_of_the_mutual_graph() -> None:
    graph, other = random_graph(200, 0.33)  # about 22 mutual neighbours
    mutual = other.to_undirected(reciprocal=True)
    nodes = [node for node, degree in mutual.degree() if 18 <= degree <= 22]
    assert len(nodes) > 20
    assert clustering_at(graph, 20, 10_000) == pytest.approx(nx.average_clustering(mutual, nodes))
    assert clustering_at(graph, 100, 10_000) is None  # nobody has so many


def test_a_sample_estimates_the_whole() -> None:
    graph, other = random_graph(400, 0.08)
    # The clustering of a node has a standard deviation of about 0.03 here: 100 nodes are within 0.01 of the mean.
    assert mean_clustering(graph, 100) == pytest.approx(nx.average_clustering(other.to_undirected()), abs=0.012)
    found = graph_statistics(graph, sample=64 * 20)
    assert found["mean_distance"] == pytest.approx(nx.average_shortest_path_length(other), abs=0.05)
    assert found["relative_distance"] == pytest.approx(1.0, abs=0.05)  # it is a random graph


def test_loops_and_doubles_are_no_follows() -> None:
    graph = FollowGraph.of(np.array([0, 0, 0, 1], np.int32), np.array([0, 1, 1, 2], np.int32), 3)
    assert list(zip(graph.follower.tolist(), graph.followee.tolist(), strict=True)) == [(0, 1), (1, 2)]
    assert graph_statistics(graph)["reciprocity"] == 0.0


def test_partial_follow_lists_are_not_taken_for_whole_ones() -> None:
    graph = FollowGraph.of(np.array([0, 1, 0], np.int32), np.array([1, 0, 2], np.int32), 5, whole=2)
    found = graph_statistics(graph)
    assert found["reciprocity"] == 1.0  # of 0 -> 1 and 1 -> 0; what user 2 follows is unknown
    assert found["mean_follows"] == 1.5
    assert found.get("mean_distance") is None
    assert found.get("followers_gini") is None


def test_the_distance_of_a_random_graph_is_that_of_the_formula() -> None:
    # Kwak et al. 2010: 41.7 million users, 1.47 billion follows, mean distance 4.12.
    assert 4.12 / random_distance(41_700_000, 1_470_000_000 / 41_700_000) == pytest.approx(0.78, abs=0.01)


@pytest.mark.parametrize("exponent", [2.0, 2.3, 2.8])
def test_the_exponent_of_a_power_law_is_found(exponent: float) -> None:
    # 20,000 draws above 10, under a body of 30,000 values that is no power law; the standard error is about 0.01.
    draw = rng.stream(1, "power law")
    tail = np.floor(9.5 * (1.0 - draw.random(20_000)) ** (-1.0 / (exponent - 1.0)) + 0.5)
    body = draw.integers(0, 10, 30_000)
    found = power_law_tail(np.concatenate([tail, body]))
    assert found is not None
    assert found.least >= 9
    assert found.exponent == pytest.approx(exponent, abs=max(0.06, 4 * found.error))


def test_what_is_too_little_has_no_exponent() -> None:
    assert power_law_tail(np.arange(50)) is None
    assert power_law_tail(np.full(1_000, 7)) is None
    assert power_law_tail(np.empty(0, np.int64)) is None


def test_inequality_is_worked_out_by_hand() -> None:
    assert gini(np.array([2, 2, 2, 2])) == pytest.approx(0.0)
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)  # 1 - 1/4
    assert gini(np.array([1, 3])) == pytest.approx(0.25)
    assert gini(np.zeros(3)) is None
    assert share_of_top(np.array([1, 2, 3, 4]), 0.25) == pytest.approx(0.4)
    x, y = ccdf(np.array([0, 1, 1, 5]))
    assert (x.tolist(), y.tolist()) == ([1.0, 5.0], [0.75, 0.25])


def test_kinds_are_counted_among_the_quarter_that_writes_most() -> None:
    # User 0 wrote four tweets, the others one original each: a quarter of the four users is user 0.
    author = np.array([0, 0, 0, 0, 1, 2, 3])
    kind = np.array([RETWEET, RETWEET, REPLY, QUOTE, 0, 0, 0])
    assert kind_shares(author, kind, np.bincount(author)) == [0.0, 0.5, 0.25, 0.25]


def test_cascades_are_tweets_with_their_retweets() -> None:
    tweets = {name: column.copy() for name, column in mini_world().table("tweets").items()}
    tweets["kind"][:] = 0
    tweets["parent"][:] = tweets["root"][:] = -1
    tweets["kind"][[5, 6, 9]] = RETWEET
    tweets["parent"][[5, 6, 9]] = [1, 1, 3]
    sizes = cascade_sizes(world_of(**tweets))
    assert sorted(sizes.tolist()) == [2, 3]
    assert cascade_statistics(sizes)["mean_cascade"] == 2.5
    assert cascade_statistics(np.empty(0, np.int64)) == {}


def test_the_hours_of_a_day_wrap_around() -> None:
    share = by_hour(np.array([0.5, 24.2, 47.9, -0.5]))
    assert (share[0], share[23], share.sum()) == (0.5, 0.5, 1.0)


def test_homophily_compares_followed_with_random_pairs() -> None:
    # In the mini world users follow inside their community (user % 3) four times as much as outside of it.
    users = mini_world().meta.viewer_count
    interests = np.eye(3, dtype=np.float32)[np.arange(users) % 3]
    world = world_of({"interests": interests})
    follows = world.tables.table("follows")
    same = follows["follower"] % 3 == follows["followee"] % 3
    random = np.mean([(i - j) % 3 == 0 for i in range(users) for j in range(users) if i != j])
    assert homophily(world)["homophily"] == pytest.approx(same.mean() / random, rel=0.05)  # of 50,000 sampled pairs
    assert homophily(world_of()) == {}  # nobody knows the interests


def test_rates_are_of_impressions_that_happened() -> None:
    world = world_of()
    likes = world.tables.table("engagements")
    led = likes["impression"] >= 0
    found = reading_statistics(world)
    assert found["like_rate"] == pytest.approx((likes["action"][led] == 0).sum() / world.counts["impressions"])
    impressions = {**world.tables.table("impressions")}
    impressions["arm"] = np.full_like(impressions["arm"], 3)  # all reconstructed
    tables = {name: dict(world.tables.table(name)) for name in TABLES if name != "impressions"}
    assert reading_statistics(World.of(WorldData(world.meta, {**tables, "impressions": impressions}))) == {}


def test_the_report_has_every_statistic_and_is_json() -> None:
    for world in (world_of(), world_of(without=("impressions", "feedback"))):
        said = json.loads(json.dumps(world.describe(), allow_nan=False))
        assert [row["name"] for row in said["statistics"]] == [statistic.name for statistic in STATISTICS]
        for row in said["statistics"]:
            assert row["band"] is None or len(row["band"]) == 2
            assert (row["value"] is None) == (row["verdict"] == "not measured")


def test_a_description_is_the_same_every_time() -> None:
    assert world_of().describe() == world_of().describe()


@pytest.mark.parametrize(
    ("band", "value", "wanted"),
    [
        ((1.0, 2.0), 1.0, "met"),
        ((1.0, 2.0), 2.1, "missed"),
        ((1.0, None), 9.0, "met"),
        ((None, 2.0), 2.5, "missed"),
        (None, 2.5, "no band"),
        ((1.0, 2.0), None, "not measured"),
    ],
)
def test_a_verdict_follows_from_the_band(
    band: tuple[float | None, float | None] | None, value: float | None, wanted: str
) -> None:
    assert verdict(Statistic("x", "x", band=band), value) == wanted


def test_every_band_has_a_source() -> None:
    assert [statistic.name for statistic in STATISTICS if statistic.band and not statistic.source] == []
    assert [statistic.name for statistic in STATISTICS if statistic.band and not statistic.target] == []
    assert len(STATISTIC) == len(STATISTICS)


def test_the_shipped_figures_of_real_data_are_those_of_their_keepers() -> None:
    real = real_sets()
    assert real["ego-twitter"]["reciprocity"] == pytest.approx(0.482, abs=5e-4)
    assert real["ego-twitter"]["mean_follows"] == pytest.approx(1_768_149 / 81_306, rel=1e-4)  # SNAP's counts
    assert real["higgs-twitter"]["reciprocity"] == pytest.approx(0.367, abs=5e-4)
    assert real["twitter-url-cascades-2010"]["mean_cascade"] == pytest.approx(135_559 / 3_461, rel=1e-4)
    assert {name for values in real.values() for name in values} <= set(STATISTIC)
    assert real_curves().keys() == real.keys()


def test_files_of_real_data_are_read(tmp_path: Path) -> None:
    edges, links = tmp_path / "edges.txt.gz", tmp_path / "cascade.txt.gz"
    edges.write_bytes(gzip.compress(b"900 7\n7 900\n7 12345678901\n"))
    graph = read_edges(edges)
    assert (graph.users, graph.whole, graph.follower.size) == (3, 3, 3)
    assert graph_statistics(graph)["reciprocity"] == pytest.approx(2 / 3)
    links.write_bytes(gzip.compress(b"5,100 6,200\n9,300\n"))
    assert cascade_lines(links).tolist() == [2, 1]
    for read in (read_edges, cascade_lines):
        edges.write_bytes(b"no gzip file")
        with pytest.raises(DataError, match=r"edges\.txt\.gz: wants"):
            read(edges)


class Page(HTMLParser):
    """Tags, and what would be fetched from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [name for name, _ in attrs if name in ("src", "href", "onload", "onclick")]


def test_a_page_stands_alone_and_shows_every_statistic() -> None:
    world = world_of(name="<b>mini</b>")
    text = html_page(world, world.describe())
    page = Page()
    page.feed(text)
    assert page.fetched == []
    assert not {"script", "link", "iframe", "img"} & set(page.tags)
    assert page.tags.count("svg") >= 6
    assert "b>mini<" not in text.replace("&lt;b&gt;mini&lt;/b&gt;", "")
    assert all(f"<b>{name}</b>" in text for name in STATISTIC)


def test_plots_are_well_formed_and_inside_their_frame() -> None:
    curve = tail_curve(rng.stream(0, "plot").zipf(2.2, 5_000))
    assert len(curve[0]) <= 61
    drawn = ElementTree.fromstring(svg.lines({"a & b": curve}, x_label="<x>", logarithmic=True))  # noqa: S314
    points = [
        tuple(map(float, point.split(",")))
        for line in drawn.iter("polyline")
        for point in line.attrib["points"].split()
    ]
    assert len(points) == len(curve[0])
    assert all(0 <= x <= 380 and 0 <= y <= 260 for x, y in points)
    ys = [y for _, y in points]
    assert ys == sorted(ys)  # a falling curve: down the page is up in y
    assert svg.lines({}, x_label="x", logarithmic=True) == ""
    assert ElementTree.fromstring(svg.bars({"like": 0.1, "never": 0.0}, label="b")).findall("rect")  # noqa: S314


def test_misses_are_marked_and_explained() -> None:
    known = rows({"mean_distance": 2.5, "reciprocity": 0.3})
    table = {line.split(" | ")[0].strip("| `"): line for line in markdown_table(known).splitlines()}
    assert "**missed**" in table["mean_distance"]
    assert "| met |" in table["reciprocity"]
    assert "| – |" in table["homophily"]
    gaps = markdown_gaps(known)
    assert gaps.startswith("- `mean_distance` is 2.5, the band 3.5 to 5: distances grow")
    assert gaps.count("\n") == 1


def test_the_documented_figures_name_known_statistics_and_an_ordered_world() -> None:
    known = json.loads((ROOT / "docs" / "realism.json").read_text(encoding="utf-8"))
    assert set(known["values"]) <= set(STATISTIC)
    for row in known["learnability"]:
        assert row["oracle_auc"] > row["trees_auc"] > row["logistic_auc"] > 0.5, row["action"]


def test_the_command_prints_a_table_and_writes_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("funnel.world.World.load", lambda name, **_: world_of())
    page = tmp_path / "deep" / "page.html"
    with pytest.raises(SystemExit) as ended:
        main(["world", "describe", "mini", "--html", str(page), "--sample", "50"])
    said = capsys.readouterr()
    assert ended.value.code == 0
    assert "reciprocity" in said.out
    assert "0.22 to 0.42" in said.out
    assert "page.html" in said.err.replace("\n", "")  # a narrow terminal breaks the path
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(SystemExit):
        main(["world", "describe", "mini", "--json"])
    rows = json.loads(capsys.readouterr().out)["statistics"]
    assert {"name", "value", "band", "target", "source"} <= set(rows[0])


def test_a_sample_of_nobody_is_refused() -> None:
    with pytest.raises(ConfigError, match="--sample: wants at least 1 user, got 0"):
        world_of().describe(sample=0)
