"""The heavy ranker learns: a planted function, and the log of a small world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.linear_model import LogisticRegression

from funnel.core.actions import HEAVY_ACTIONS
from funnel.core.arrays import Array
from funnel.core.errors import ConfigError, DataError, NotFittedError
from funnel.core.rng import stream
from funnel.core.world import PlatformView
from funnel.features import hydrate
from funnel.features.logged import logged_batch
from funnel.learn.calibration import calibrate
from funnel.learn.metrics import auc, rce
from heavy_ranker.examples import Examples, Sample, sample_log, sampling_ratios, with_features
from heavy_ranker.heavy_ranker import HeavyRanker
from heavy_ranker.training import fit_network
from tests.support import altered_after, mini_view, mini_world

FEATURES = ("tweet.age_h", "tweet.favorite.count", "pair.in_network", "viewer.favorite.rate", "tweet.has_video")
SMALL = {"blocks": 2, "block_size": 16, "aggregation_size": 16, "mlp": (32,), "towers": (8,), "batch_size": 100}


def _planted(rows: int, seed: int) -> tuple[Array, Array]:
    """(features [n, 12], labels [n, A]): what matters is the product of two features, which no line can see."""
    draw = stream(seed, "planted")
    x = draw.normal(size=(rows, 12))
    x[:, 10:] = draw.random((rows, 2)) < 0.4
    logit = 2.5 * x[:, 0] * x[:, 1] + 1.5 * x[:, 2] * (2 * x[:, 10] - 1) - 1.5
    labels = draw.random((rows, len(HEAVY_ACTIONS))) < 1 / (1 + np.exp(-logit))[:, None]
    labels[:, HEAVY_ACTIONS.index("report")] = np.arange(rows) < 5  # too rare to learn
    return np.expm1(np.abs(x)).astype(np.float32) * np.sign(x).astype(np.float32), labels


def test_the_network_beats_logistic_regression_where_features_interact() -> None:
    x, labels = _planted(30_000, 0)
    sample = Sample(
        rows=np.arange(30_000),
        labels=labels,
        weight=np.ones(30_000, np.float32),
        training=25_000,
        positives=labels.sum(axis=0),
        logged=30_000,
    )
    settings = HeavyRanker(**{**SMALL, "block_size": 32, "batch_size": 250, "epochs": 4})
    served, _, history = fit_network(Examples(sample, x, 10, tuple(map(str, range(12)))), settings, seed=0)
    assert history.validation_loss[history.best] < history.validation_loss[0]
    fresh, truth = _planted(10_000, 1)
    p = served.probabilities(fresh)
    # A line sees neither product: its AUC is one half up to noise, about 0.01. The function itself has about 0.9.
    for head in (0, 4):
        line = LogisticRegression().fit(np.log1p(np.abs(x)) * np.sign(x), labels[:, head])
        linear = line.decision_function(np.log1p(np.abs(fresh)) * np.sign(fresh))
        assert auc(truth[:, head], p[:, head]) > auc(truth[:, head], linear) + 0.25
        assert rce(truth[:, head], p[:, head]) > 15
        assert p[:, head].mean() == pytest.approx(truth[:, head].mean(), rel=0.1)
    report = HEAVY_ACTIONS.index("report")
    assert (p[:, report] == np.float32(5 / 30_000)).all()


def _fitted(view: PlatformView, seed: int = 0) -> HeavyRanker:
    stage = HeavyRanker(**SMALL, features=FEATURES, epochs=2)
    stage.fit(view, seed=seed)
    return stage


def _scores(stage: HeavyRanker, view: PlatformView) -> dict[str, Array]:
    return stage.score(hydrate(logged_batch(view, np.arange(200)), stage.needs))


def test_the_same_log_and_seed_give_the_same_bytes_whatever_happens_later() -> None:
    world = mini_world()
    now_h = world.meta.train_until_h
    stage = _fitted(PlatformView(world, now_h))
    later = _fitted(PlatformView(altered_after(world, now_h), now_h))
    assert {name: values.tobytes() for name, values in later.state().items()} == {
        name: values.tobytes() for name, values in stage.state().items()
    }


def test_a_restored_stage_scores_the_same_bytes() -> None:
    view = mini_view()
    stage, other = _fitted(view), HeavyRanker(**SMALL, features=FEATURES)
    other.restore(stage.state())
    scores, again = _scores(stage, view), _scores(other, view)
    assert tuple(scores) == stage.adds == tuple(f"p.{name}" for name in HEAVY_ACTIONS)
    for name, p in scores.items():
        assert p.dtype == np.float32
        assert ((p >= 0) & (p <= 1)).all()
        assert again[name].tobytes() == p.tobytes()


def test_the_sample_keeps_the_actions_and_its_weights_stand_for_the_whole_log() -> None:
    view = mini_view()
    sample = sample_log(view, limit=600, validation_share=0.2, seed=0)
    logged = view.impressions["viewer"].size
    learnt = sample.rows[: sample.training]
    assert sample.training == 600
    assert (np.diff(sample.rows) > 0).all()
    assert learnt.max() < 0.8 * logged <= sample.rows[sample.training]
    active = sample.labels[: sample.training].any(axis=1)
    everything = sample_log(view, limit=10**6, validation_share=0.2, seed=0)
    share = everything.labels[: everything.training].any(axis=1).mean()
    weight = sample.weight[: sample.training]
    assert weight[active].sum() / weight.sum() == pytest.approx(share, rel=1e-5)
    assert weight.mean() == pytest.approx(1, rel=1e-5)


def _down_sampled(rows: int, keep: float) -> Examples:
    """Planted rows of which all with some action stay, and a share of the others; the last fifth is as it was."""
    x, labels = _planted(rows, 5)
    labels[:, HEAVY_ACTIONS.index("report")] = False
    cut = int(0.8 * rows)
    active = labels[:cut].any(axis=1)
    stays = active | (stream(1, "kept").random(cut) < keep)
    learnt = np.flatnonzero(stays)
    weight = np.ones(learnt.size + rows - cut, np.float32)
    weight[: learnt.size] = np.where(active[learnt], 1.0, 1 / keep)
    weight[: learnt.size] /= weight[: learnt.size].mean()
    chosen = np.concatenate([learnt, np.arange(cut, rows)])
    sample = Sample(chosen, labels[chosen], weight, int(learnt.size), labels.sum(axis=0), rows)
    return Examples(sample, x[chosen], 10, tuple(map(str, range(12))))


def test_down_sampled_negatives_are_calibrated_back() -> None:
    examples = _down_sampled(40_000, keep=0.2)
    sample = examples.sample
    ratios = sampling_ratios(sample)
    as_logged = sample.labels[sample.training :].mean(axis=0)
    for head in (0, 4):
        kept = sample.labels[: sample.training, head].mean()
        assert kept > 1.2 * as_logged[head]
        # The mean label of the sample, calibrated, is the mean label of the log; 8,000 rows know it to about 2 %.
        assert calibrate(np.array([kept]), ratios[head])[0] == pytest.approx(as_logged[head], rel=0.06)
    fresh, truth = _planted(10_000, 6)
    for how in ("weights", "calibration"):
        settings = HeavyRanker(**{**SMALL, "batch_size": 250, "epochs": 2, "down_sampling": how})
        served, _, _ = fit_network(examples, settings, seed=0)
        p = served.probabilities(fresh)
        assert auc(truth[:, 0], p[:, 0]) > 0.8
        assert p[:, 0].mean() == pytest.approx(truth[:, 0].mean(), rel=0.1)


def test_each_head_can_have_a_learning_rate_of_its_own() -> None:
    examples = _down_sampled(4_000, keep=0.5)
    settings = HeavyRanker(**SMALL, epochs=1)
    same = HeavyRanker(**SMALL, epochs=1, task_learning_rate={"reply": settings.learning_rate})
    other = HeavyRanker(**SMALL, epochs=1, task_learning_rate={"reply": 1e-12}, task_ramp_share={"favorite": 0.9})
    networks = [fit_network(examples, each, seed=0)[1] for each in (settings, same, other)]
    tasks = networks[0].towers.tasks

    def last(place: int, task: str) -> Array:
        return networks[place].groups()[task][-1].detach().numpy()

    assert all(np.array_equal(last(0, task), last(1, task)) for task in ("backbone", *tasks))
    rates = examples.sample.positives / examples.sample.logged
    rate = rates[HEAVY_ACTIONS.index("reply")]
    start = np.log(rate / (1 - rate))
    assert last(2, "reply") == pytest.approx(start, abs=1e-5)  # where `start_from` put it
    assert abs(last(0, "reply")[0] - start) > 1e-3
    assert not np.array_equal(last(2, "favorite"), last(0, "favorite"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fit_with_a_folder_keeps_a_checkpoint_and_takes_up_only_its_own(tmp_path: Path) -> None:
    examples = _down_sampled(4_000, keep=0.5)
    settings = HeavyRanker(**SMALL, epochs=1)
    served, _, _ = fit_network(examples, settings, seed=0, log_dir=tmp_path)
    assert (tmp_path / "checkpoint.safetensors").exists()
    again, _, _ = fit_network(examples, settings, seed=0, log_dir=tmp_path)
    plain, _, _ = fit_network(examples, settings, seed=0)
    for name, values in served.state().items():
        assert again.state()[name].tobytes() == values.tobytes() == plain.state()[name].tobytes()
    with pytest.raises(DataError, match="another training"):
        fit_network(examples, HeavyRanker(**SMALL, epochs=2), seed=0, log_dir=tmp_path)


def test_misuse_is_named() -> None:
    with pytest.raises(NotFittedError, match="funnel train"):
        HeavyRanker().state()
    with pytest.raises(ConfigError, match="unknown"):
        HeavyRanker(features=("tweet.agee_h",))
    for setting in ("dropout", "task_learning_rate", "task_ramp_share"):
        with pytest.raises(ConfigError, match="did you mean 'report'"):
            HeavyRanker(**{setting: {"reports": 0.1}})
    with pytest.raises(DataError, match="logged impressions"):
        HeavyRanker().fit(mini_view(0.0), seed=0)
    with pytest.raises(DataError, match="lower min_positives"):
        HeavyRanker(**SMALL, features=FEATURES, min_positives=10_000).fit(mini_view(), seed=0)
    state = _fitted(mini_view()).state()
    with pytest.raises(DataError, match="other features"):
        HeavyRanker(features=FEATURES[:-1]).restore(state)


def test_the_published_widths_are_a_valid_configuration() -> None:
    models = Path(__file__).parents[2] / "configs" / "models"
    for name in ("lite", "default", "vectors"):
        HeavyRanker(**yaml.safe_load((models / f"heavy_ranker_{name}.yaml").read_text()))
    path = models / "heavy_ranker_production.yaml"
    stage = HeavyRanker(**yaml.safe_load(path.read_text()))
    # config/local_prod.yaml: four blocks of 1024, an MLP of 2048, towers of 256 and 128
    assert (stage.blocks, stage.block_size, stage.mlp, stage.towers) == (4, 1024, (2048,), (256, 128))


def test_vectors_are_read_by_training_and_serving_alike() -> None:
    draw = stream(3, "vectors")
    vectors = {f"twhin.{side}_follow": draw.normal(size=(30, 4)).astype(np.float32) for side in ("user", "author")}
    view = mini_view(assets=vectors)
    settings = {**SMALL, "features": FEATURES, "min_positives": 5, "epochs": 1}
    ranker = HeavyRanker(**settings, embeddings=("twhin.viewer_vector", "twhin.author_vector"))
    ranker.fit(view, seed=0)
    batch = hydrate(logged_batch(view, np.arange(50)), ranker.needs)
    p = ranker.score(batch)
    other = HeavyRanker(**settings, embeddings=("twhin.viewer_vector", "twhin.author_vector"))
    other.restore(ranker.state())
    assert other.score(batch)["p.favorite"].tobytes() == p["p.favorite"].tobytes()
    moved = hydrate(
        logged_batch(mini_view(assets={**vectors, "twhin.user_follow": -vectors["twhin.user_follow"]}), np.arange(50)),
        ranker.needs,
    )
    assert (ranker.score(moved)["p.favorite"] != p["p.favorite"]).any()
    with pytest.raises(DataError, match="other features"):
        HeavyRanker(**settings).restore(ranker.state())


def test_a_number_is_no_vector() -> None:
    with pytest.raises(ConfigError, match=r"tweet.age_h is no vector"):
        HeavyRanker(embeddings=("tweet.age_h",))


def test_training_in_bfloat16_learns_the_same_and_repeats_itself() -> None:
    x, labels = _planted(12_000, 0)
    sample = Sample(np.arange(12_000), labels, np.ones(12_000, np.float32), 10_000, labels.sum(axis=0), 12_000)
    examples = Examples(sample, x, 10, tuple(map(str, range(12))))
    settings = {**SMALL, "block_size": 32, "epochs": 2}
    loss = {}
    for numbers in ("float32", "bfloat16"):
        _, _, history = fit_network(examples, HeavyRanker(**settings, training_numbers=numbers), seed=0)
        loss[numbers] = min(history.validation_loss)
    served, _, _ = fit_network(examples, HeavyRanker(**settings, training_numbers="bfloat16"), seed=0)
    again, _, _ = fit_network(examples, HeavyRanker(**settings, training_numbers="bfloat16"), seed=0)
    assert loss["bfloat16"] == pytest.approx(loss["float32"], rel=0.02)
    assert loss["bfloat16"] != loss["float32"]
    assert served.logits(x[:100]).tobytes() == again.logits(x[:100]).tobytes()


def test_features_do_not_depend_on_how_many_rows_are_hydrated_together(monkeypatch: pytest.MonkeyPatch) -> None:
    view = mini_view()
    sample = sample_log(view, limit=900, validation_share=0.2, seed=0)
    whole = with_features(sample, view, FEATURES)
    monkeypatch.setattr("heavy_ranker.examples.ROWS_AT_ONCE", 70)
    parts = with_features(sample, view, FEATURES)
    assert sample.rows.size > 900
    assert parts.features.tobytes() == whole.features.tobytes()
