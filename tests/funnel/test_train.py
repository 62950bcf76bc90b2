"""Training: in order, remembered, judged on what it never saw; and the funnel that comes out obeys the laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from funnel.compose import load_funnel
from funnel.core.errors import NotFittedError
from funnel.core.progress import Silent
from funnel.core.rng import stream
from funnel.core.stage import Learned
from funnel.core.tables import TABLES
from funnel.core.world import WorldData
from funnel.evaluate import held_out_table
from funnel.pipeline import Funnel
from funnel.store import home
from funnel.train import ensure_trained, train
from funnel.world import World
from tests.support import QUICK, altered_after

VIEWERS = [7, 8, 21, 150, 299]


class Listening(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def again(trained: Funnel, *settings: str) -> Funnel:
    return load_funnel("twitter_2023", trained.world, settings=(*QUICK, *settings))


def test_what_was_learnt_is_remembered(trained: Funnel) -> None:
    funnel = again(trained)
    report = ensure_trained(funnel)
    assert report.cached == ["real_graph", "tweepcred", "simclusters", "twhin", "light_ranker", "heavy_ranker"]
    assert report.seconds == {}
    assert_frame_equal(funnel.run(VIEWERS).frame(), trained.run(VIEWERS).frame(), check_exact=True)


def test_a_setting_that_teaches_nothing_new_learns_nothing_again(trained: Funnel) -> None:
    report = ensure_trained(again(trained, "author_diversity.decay=0.9", "light_ranker.keep=50"))
    assert report.seconds == {}


def test_a_truncated_checkpoint_is_noticed_and_learnt_again(trained: Funnel) -> None:
    folder = home() / "models" / trained.world.hash
    (path,) = folder.glob("light_ranker-*.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    listening = Listening()
    report = ensure_trained(again(trained), progress=listening)
    assert list(report.seconds) == ["light_ranker"]
    assert any("learning light_ranker again" in text for text in listening.said)
    assert ensure_trained(again(trained)).seconds == {}


def test_training_twice_gives_the_same_bytes(trained: Funnel) -> None:
    funnel = again(trained)
    report = train(funnel, force=True)
    assert report.cached == []
    for one, other in zip(trained.stages, funnel.stages, strict=True):
        if isinstance(one.part, Learned) and isinstance(other.part, Learned):
            learnt = other.part.state()
            for name, values in one.part.state().items():
                np.testing.assert_array_equal(values, learnt[name], err_msg=f"{one.name}: {name}")


def test_rankers_know_more_than_popularity_on_held_out_impressions(trained: Funnel) -> None:
    rows = {(row["stage"], row["head"]): row for row in held_out_table(trained)}
    light, heavy = rows["light_ranker", "favorite"], rows["heavy_ranker", "favorite"]
    assert light["auc_low"] > light["auc_popularity"]  # type: ignore[operator]
    assert heavy["auc_low"] > heavy["auc_popularity"]  # type: ignore[operator]
    assert heavy["rce"] > 0  # type: ignore[operator]


def test_the_real_funnel_gives_a_request_the_same_page_in_any_company(trained: Funnel) -> None:
    together = trained.run(VIEWERS)
    for viewer in VIEWERS:
        assert trained.run([viewer])[0].rows == together.of(viewer).rows
    one_by_one = trained.run(VIEWERS[::-1], micro_batch=2)
    assert_frame_equal(
        together.candidates().sort("viewer", "tweet"), one_by_one.candidates().sort("viewer", "tweet"), check_exact=True
    )


def test_the_real_funnel_books_every_candidate_once_and_explains_every_score(trained: Funnel) -> None:
    pages = trained.run(VIEWERS)
    candidates = pages.candidates()
    assert len(candidates) == sum(len(trace.retrieved) for trace in pages.traces)
    assert candidates.select("viewer", "tweet").is_duplicated().sum() == 0
    frame = pages.frame()
    factors = [pl.col(name) for name in frame.columns if name.startswith("boost.")]
    product = frame.select(pl.fold(pl.col("value"), lambda total, factor: total * factor, factors))
    np.testing.assert_allclose(product.to_series().to_numpy(), frame["score"].to_numpy(), rtol=1e-6)


@pytest.mark.parametrize("moment", [100.0, 145.5])
def test_the_real_funnel_does_not_see_the_future(trained: Funnel, moment: float) -> None:
    """After a moment everything is altered; what was learnt is kept, as it was learnt before it in real life."""
    here = trained.world
    names = [name for name in TABLES if name != "texts"]
    altered = altered_after(here.tables, moment)
    there = World.of(WorldData(here.meta, {name: altered.table(name) for name in names}))
    known = int(np.searchsorted(here.tables.table("tweets")["time_h"], moment))
    there.tables.read_texts_with(
        lambda ids: [text if i < known else "ANOTHER" for i, text in zip(ids, here.texts(ids), strict=True)]
    )
    other = load_funnel("twitter_2023", there, settings=QUICK)
    for one, new in zip(trained.stages, other.stages, strict=True):
        if isinstance(one.part, Learned) and isinstance(new.part, Learned):
            new.part.restore(one.part.state())
    other.assets, other.trained = trained.assets, True
    before, after = (
        funnel.run(VIEWERS, at_h=moment).candidates().sort("viewer", "tweet") for funnel in (trained, other)
    )
    assert_frame_equal(before, after, check_exact=True)


def test_a_stage_used_before_it_learnt_says_so(trained: Funnel) -> None:
    funnel = again(trained)
    funnel.trained = True  # somebody pretends
    with pytest.raises(NotFittedError):
        funnel.run([7])


def test_an_unwritable_home_is_one_clear_error(
    trained: Funnel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from funnel.core.errors import DataError

    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("FUNNEL_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match="FUNNEL_HOME"):
        ensure_trained(again(trained))


def test_the_auc_under_weights_is_that_of_sklearn() -> None:
    from sklearn.metrics import roc_auc_score

    from funnel.learn.resampled import weighted_auc

    draw = stream(0, "auc")
    score = draw.integers(0, 20, 500).astype(np.float32)  # many ties
    happened = draw.random(500) < 0.3
    weights = draw.poisson(1.0, (5, 500)).astype(np.float32)
    wanted = [roc_auc_score(happened, score, sample_weight=weight) for weight in weights]
    np.testing.assert_allclose(weighted_auc(score, happened, weights), wanted, rtol=1e-6)
    assert np.isnan(weighted_auc(score, np.ones(500, np.bool_), weights)).all()
