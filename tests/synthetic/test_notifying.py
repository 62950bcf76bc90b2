from __future__ import annotations

import numpy as np
import pytest

from funnel.core.actions import ACTION_CODE, PUSH_ACTIONS
from funnel.core.arrays import Array, Bools, Doubles, Ints
from funnel.core.products import PUSH, TIMELINE, Product
from funnel.core.tables import FIRST_DEGREE, RECOMMENDED, SOCIAL_PROOF
from funnel.core.world import KnowsProducts, Rows, WorldTables
from synthetic.behaviour import ResponseModel, Truth
from synthetic.notifying import (
    DISLIKE,
    DISMISS,
    ENGAGE,
    LATE_H,
    NTAB_CLICK,
    OONC,
    OPEN,
    TURN_OFF,
    NotificationModel,
    night_at,
)
from synthetic.settings import Notified
from tests.synthetic.towns import auc, oracle, town

NOON = 156.0  # of the seventh day
SIGNS = [DISMISS, DISLIKE, TURN_OFF]  # of annoyance


def test_the_oracle_of_a_made_world_knows_both_products_and_no_other() -> None:
    assert isinstance(oracle(), KnowsProducts)
    assert oracle().of(TIMELINE) is oracle()
    assert isinstance(oracle().of(PUSH), NotificationModel)
    assert oracle().of(Product("mail", PUSH_ACTIONS, "notifications", "notification_actions")) is None


def test_a_truth_from_before_there_were_notifications_has_no_oracle_of_them() -> None:
    data = town()
    older = {name: values for name, values in data.truth.items() if not name.startswith(("push", "notice"))}
    model = ResponseModel(WorldTables(data.meta, data.tables), Truth.of(older))
    assert model.of(PUSH) is None
    some = _some(100)
    assert np.array_equal(model.probabilities(*some), oracle().probabilities(*some))


def test_probabilities_are_probabilities_of_every_action() -> None:
    p = _model().probabilities(*_some(2_000))
    assert p.shape == (2_000, len(PUSH_ACTIONS))
    assert p.dtype == np.float32
    assert ((p >= 0) & (p <= 1)).all()


def test_reactions_follow_the_probabilities() -> None:
    """400 pairs, 400 seeds: the standard error of the mean of (share - p) is `error`; four of them."""
    some = _allowed(400)
    p = _model().probabilities(*some).astype(np.float64)
    share = np.mean([_model().react(*some, seed=seed) for seed in range(400)], axis=0)
    error = np.sqrt((p * (1 - p)).sum(axis=0) / 400) / 400
    assert (np.abs((share - p).mean(axis=0)) < 4 * error).all()


def test_reactions_of_single_pairs_follow_their_own_probabilities() -> None:
    """Chi-square of 400 pairs: its mean is 400, its standard deviation about sqrt(2 * 400) = 28; five of them."""
    some = _allowed(400)
    p = _model().probabilities(*some)[:, DISMISS].astype(np.float64)
    share = np.mean([_model().react(*some, seed=seed)[:, DISMISS] for seed in range(300)], axis=0)
    assert ((share - p) ** 2 / (p * (1 - p) / 300)).sum() < 400 + 5 * 28


def test_opening_is_from_the_lock_screen_or_in_the_tab_and_excludes_wiping_away() -> None:
    viewer, tweet, place, now_h = _some(20_000)
    p, did = (
        _model().probabilities(viewer, tweet, place, now_h),
        _model().react(viewer, tweet, place, now_h, seed=3),
    )
    assert np.allclose(p[:, OPEN] + p[:, NTAB_CLICK], p[:, OONC], atol=1e-6)
    assert (p[:, ENGAGE] <= p[:, OONC]).all()
    assert np.array_equal(did[:, OPEN] | did[:, NTAB_CLICK], did[:, OONC])
    assert not (did[:, OPEN] & did[:, NTAB_CLICK]).any()
    assert did[:, ENGAGE].any()
    assert not (did[:, ENGAGE] & ~did[:, OONC]).any()
    assert not (did[:, DISMISS] & did[:, OONC]).any()


def test_reactions_depend_on_seed_and_row_but_not_on_company_or_order() -> None:
    some = _some(500)
    all_at_once = _model().react(*some, seed=1)
    backwards = _model().react(*_rows(some, np.arange(500)[::-1]), seed=1)
    assert np.array_equal(all_at_once, backwards[::-1])
    assert np.array_equal(all_at_once[7:8], _model().react(*_rows(some, np.array([7])), seed=1))
    assert not np.array_equal(all_at_once, _model().react(*some, seed=2))


def test_nothing_is_answered_with_nothing() -> None:
    none = _rows(_some(1), np.empty(0, np.int64))
    assert _model().probabilities(*none).shape == (0, len(PUSH_ACTIONS))
    assert _model().react(*none, seed=0).shape == (0, len(PUSH_ACTIONS))
    assert _model().satisfaction(none[0], none[1]).shape == (0,)
    assert _model().satisfaction(none[0], none[1], now_h=none[3]).shape == (0,)


def test_at_night_less_is_opened_and_everything_annoys_more() -> None:
    """At half past three, 8.5 hours before noon; the tweets are older than both moments."""
    viewer, tweet, place, _ = _allowed(3_000)
    old = tweet % 15_000
    night, day = (np.full(3_000, at) for at in (NOON - 8.5, NOON))
    asleep, awake = (_model().probabilities(viewer, old, place, at).mean(axis=0) for at in (night, day))
    assert asleep[OONC] < 0.4 * awake[OONC]
    assert (asleep[SIGNS] > 1.5 * awake[SIGNS]).all()
    glad = [_model().satisfaction(viewer, old, now_h=at).mean() for at in (night, day)]
    assert glad[0] < glad[1] - 0.2


def test_night_is_deepest_at_half_past_three_and_over_from_half_past_nine() -> None:
    depth = night_at(np.array([3.5, 27.5, 9.5, 15.0, 21.5, 0.5]))
    # Half past midnight is 3 h, an eighth of a turn, before the depth: cos(45 degrees) squared.
    assert depth == pytest.approx([1.0, 1.0, 0.0, 0.0, 0.0, 0.5], abs=1e-6)


def test_everybody_has_a_night_of_their_own() -> None:
    """People whose nights are three hours later open less at six in the morning."""
    viewer, tweet, place, now_h = _allowed(3_000, at=NOON - 6.0)
    plain = {name: town().truth[name] for name in Truth.__dataclass_fields__}
    late_h = plain["notice"][:, LATE_H]
    assert abs(late_h.mean()) < 0.15
    assert late_h.std() == pytest.approx(1.5, rel=0.05)  # 2,000 people: three standard errors
    later = plain["notice"].copy()
    later[:, LATE_H] += 3.0
    shifted = _model(truth=plain | {"notice": later})
    here, there = _model().causes(viewer, tweet, now_h), shifted.causes(viewer, tweet, now_h + 3.0)
    assert there.waking == pytest.approx(here.waking, abs=1e-5)
    assert there.night == pytest.approx(here.night, abs=1e-5)
    asleep = shifted.probabilities(viewer, tweet, place, now_h)[:, OONC]
    assert asleep.mean() < 0.8 * _model().probabilities(viewer, tweet, place, now_h)[:, OONC].mean()


def test_the_moment_counts_less_for_what_somebody_close_wrote() -> None:
    """Log-odds lost from noon to half past three, with the utility left out: less by up to nine tenths."""
    plain = {name: town().truth[name] for name in Truth.__dataclass_fields__}
    weights = plain["push_weights"].copy()
    weights[list(Notified.__dataclass_fields__).index("utility")] = 0.0
    weights[list(Notified.__dataclass_fields__).index("present")] = 0.0  # who was in the app is another moment
    model = _model(truth=plain | {"push_weights": weights})
    done = town().tables["engagements"]
    liked = np.flatnonzero((done["action"] == ACTION_CODE["favorite"]) & (done["time_h"] < 80.0))[:3_000]
    viewer, tweet, place = done["viewer"][liked], done["tweet"][liked], np.zeros(liked.size, np.int32)
    stranger = np.roll(tweet, 1)
    lost, close = [], []
    for shown in (tweet, stranger):
        moments = [np.full(liked.size, at) for at in (NOON, NOON - 8.5)]
        odds = [model.probabilities(viewer, shown, place, at)[:, OONC].astype(np.float64) for at in moments]
        on = (odds[0] > 0) & (odds[1] > 0)
        day, night = (np.log(p[on] / (1 - p[on])) for p in odds)
        lost.append(np.median(day - night))
        close.append(np.median(model.causes(viewer, shown, moments[0]).closeness[on]))
    assert close[0] > 0.5 - 1e-6
    assert close[1] == 0.0
    assert lost[0] < 0.6 * lost[1]


def test_at_a_good_moment_what_is_of_little_use_is_opened_too() -> None:
    """In the app and an evening later: the odds of the lower half of the tweets rise more than those of the upper."""
    shown = town().tables["impressions"]
    rows = np.flatnonzero((shown["position"] == 0) & (shown["time_h"] > NOON - 3.0))[:2_000]
    viewer, tweet = shown["viewer"][rows], _some(rows.size)[1] % 15_000
    now_h, place = np.full(rows.size, NOON), np.zeros(rows.size, np.int32)
    plain = {name: town().truth[name] for name in Truth.__dataclass_fields__}
    weights = plain["push_weights"].copy()
    weights[list(Notified.__dataclass_fields__).index("present")] = 0.0
    away, model = _model(truth=plain | {"push_weights": weights}), _model()
    causes = model.causes(viewer, tweet, now_h)
    pick = np.flatnonzero((causes.in_app > 0.25) & (causes.in_app < 1.0) & causes.allowed & (causes.closeness == 0))
    odds = [
        np.log(p / (1 - p))
        for p in (
            m.probabilities(viewer[pick], tweet[pick], place[pick], now_h[pick])[:, OONC].astype(float)
            for m in (model, away)
        )
    ]
    gain, low = (odds[0] - odds[1]) / causes.in_app[pick], causes.utility[pick] < np.median(causes.utility[pick])
    assert pick.size > 100
    assert (gain > 0).all()
    assert gain[low].mean() > 1.2 * gain[~low].mean()


def test_who_has_received_many_opens_less_and_is_more_annoyed_and_less_glad() -> None:
    """Eight notifications of other tweets in the hours before: at noon, with tweets of days before."""
    viewer, tweet, place, now_h = _allowed(2_000, at=NOON)
    who = np.unique(viewer)
    more = _sent(np.tile(who, 8), np.full(who.size * 8, 3), np.repeat(NOON - 8.0 + np.arange(8), who.size))
    tired = _model({"notifications": more}, until=NOON - 24.0)
    fresh = _model({}, until=NOON - 24.0)
    before, after = (model.probabilities(viewer, tweet, place, now_h) for model in (fresh, tired))
    assert (after[:, OONC] < before[:, OONC]).all()
    # Of those who would click in the tab for sure, some are kept from disliking there: they do not come.
    assert (after[:, SIGNS] > before[:, SIGNS]).mean() > 0.99
    assert after[:, OONC].mean() < 0.8 * before[:, OONC].mean()
    glad = [model.satisfaction(viewer, tweet, now_h=now_h).mean() for model in (fresh, tired)]
    assert glad[1] < glad[0] - 0.05


def test_whoever_would_open_when_tired_would_have_opened_fresh() -> None:
    """Common random numbers: fatigue acts through the probabilities alone."""
    viewer, tweet, place, now_h = _allowed(5_000, at=NOON)
    who = np.unique(viewer)
    more = _sent(who, np.full(who.size, 3), np.full(who.size, NOON - 1.0))
    tired, fresh = _model({"notifications": more}, until=NOON - 24.0), _model({}, until=NOON - 24.0)
    opened = [model.react(viewer, tweet, place, now_h, seed=0)[:, OONC] for model in (fresh, tired)]
    assert opened[1].any()
    assert opened[1].sum() < opened[0].sum()
    assert not (opened[1] & ~opened[0]).any()


def test_the_reason_helps_in_its_order() -> None:
    """Follow edges and engagements of the mini towns: the same pairs, a reason more or less."""
    data = town()
    viewer, tweet, place, now_h = _allowed(4_000, at=NOON)
    kind = _model().kinds(viewer, tweet, now_h)
    assert set(kind.tolist()) == {FIRST_DEGREE, SOCIAL_PROOF, RECOMMENDED}
    follows = {pair: h for pair, *h in zip(*_edges(data.tables["follows"]), strict=True)}
    author = data.tables["tweets"]["author"]
    direct = np.array([follows.get((u, author[t]), [NOON])[0] < NOON for u, t in zip(viewer, tweet, strict=True)])
    assert np.array_equal(kind == FIRST_DEGREE, direct)
    plain = {name: data.truth[name] for name in Truth.__dataclass_fields__}
    flat = plain["push_weights"].copy()
    flat[1:3] = 0.0  # first_degree, social_proof
    without = _model(truth=plain | {"push_weights": flat}).probabilities(viewer, tweet, place, now_h)[:, OONC]
    odds = [p / (1 - p) for p in (_model().probabilities(viewer, tweet, place, now_h)[:, OONC].astype(float), without)]
    gain = np.log(odds[0] / odds[1])
    for code, size in ((FIRST_DEGREE, 0.4), (SOCIAL_PROOF, 0.2), (RECOMMENDED, 0.0)):
        assert gain[kind == code] == pytest.approx(size, abs=1e-2), code


def test_somebody_followed_who_engages_is_social_proof_from_then_on() -> None:
    data = town()
    follows, engagements, author = data.tables["follows"], data.tables["engagements"], data.tables["tweets"]["author"]
    edges = set(_edges(follows)[0])
    liked = np.flatnonzero(engagements["action"] == ACTION_CODE["favorite"])
    for row in liked[liked.size // 2 :]:
        engager, tweet, at = engagements["viewer"][row], engagements["tweet"][row], engagements["time_h"][row]
        fans = follows["follower"][(follows["followee"] == engager) & (follows["time_h"] < at)]
        fans = fans[[(fan, author[tweet]) not in edges for fan in fans]]
        viewer, tweets = fans.astype(np.int32), np.full(fans.size, tweet, np.int32)
        before = _model().kinds(viewer, tweets, np.full(fans.size, at))
        if (before == RECOMMENDED).any():
            after = _model().kinds(viewer, tweets, np.full(fans.size, at + 1e-6))
            assert (after == SOCIAL_PROOF).all()
            return
    pytest.fail("nobody's favourite was news to a follower")


def test_a_tweet_that_the_viewer_knows_is_opened_less() -> None:
    shown = town().tables["impressions"]
    rows = np.flatnonzero((shown["time_h"] > 100) & (shown["time_h"] < NOON - 2))[:2_000]
    viewer, tweet, now_h = shown["viewer"][rows], shown["tweet"][rows], np.full(rows.size, NOON)
    assert _model().causes(viewer, tweet, now_h).stale.all()
    assert not _model().causes(viewer, tweet, shown["time_h"][rows] - 10.0).stale.all()
    p = _model().probabilities(viewer, tweet, np.zeros_like(viewer), now_h)[:, OONC]
    plain = {name: town().truth[name] for name in Truth.__dataclass_fields__}
    weights = plain["push_weights"].copy()
    weights[list(Notified.__dataclass_fields__).index("stale")] = 0.0
    as_news = _model(truth=plain | {"push_weights": weights})
    news = as_news.probabilities(viewer, tweet, np.zeros_like(viewer), now_h)[:, OONC]
    assert (p <= news).all()
    assert p.mean() < 0.8 * news.mean()


def test_who_is_in_the_app_sees_it_in_the_tab() -> None:
    shown = town().tables["impressions"]
    rows = np.flatnonzero(shown["position"] == 0)[-500:]
    viewer, tweet = shown["viewer"][rows], _some(500)[1] % 15_000
    share = []
    for later_h in (0.05, 5.0):
        p = _model().probabilities(viewer, tweet, np.zeros_like(viewer), shown["time_h"][rows] + later_h)
        share.append(p[:, NTAB_CLICK].sum() / p[:, OONC].sum())
    assert share[0] > share[1] + 0.1


def test_nothing_reaches_whoever_has_turned_them_off() -> None:
    viewer, tweet, place, now_h = _allowed(1_000, at=NOON)
    half = np.unique(viewer)[::2].astype(np.int32)
    off = {"user": half, "allowed": np.zeros(half.size, np.bool_), "time_h": np.full(half.size, NOON - 1.0)}
    model = _model({"notification_settings": off}, until=NOON - 2.0)
    is_off = np.isin(viewer, half)
    p = model.probabilities(viewer, tweet, place, now_h)
    assert (p[is_off] == 0).all()
    assert (p[~is_off, OONC] > 0).all()
    assert not model.react(viewer, tweet, place, now_h, seed=0)[is_off].any()
    assert (model.satisfaction(viewer, tweet, now_h=now_h)[is_off] == 0).all()
    assert (model.probabilities(viewer, tweet, place, np.full(viewer.size, NOON - 1.0))[:, OONC] > 0).all()
    on = {"user": half, "allowed": np.ones(half.size, np.bool_), "time_h": np.full(half.size, NOON - 0.5)}
    both = {name: np.concatenate([off[name], on[name]]) for name in off}
    again = _model({"notification_settings": both}, until=NOON - 2.0)
    assert (again.probabilities(viewer, tweet, place, now_h)[:, OONC] > 0).all()


def test_what_comes_later_changes_nothing_now() -> None:
    """Everything after noon of the fourth day is dropped from the tables: the answers about then are the same."""
    at = 84.0
    viewer, tweet, place, now_h = _rows(_some(3_000), np.arange(3_000))
    written = np.searchsorted(town().tables["tweets"]["time_h"], at)
    tweet = (tweet % written).astype(np.int32)
    now_h = np.full(3_000, at)
    cut = {**town().tables}
    for name in ("impressions", "engagements", "feedback", "notifications", "notification_actions"):
        keep = cut[name]["time_h"] < at
        cut[name] = {column: values[keep] for column, values in cut[name].items()}
    keep = cut["notification_settings"]["time_h"] < at
    cut["notification_settings"] = {name: values[keep] for name, values in cut["notification_settings"].items()}
    blind = _of(WorldTables(town().meta, cut))
    assert np.array_equal(
        blind.probabilities(viewer, tweet, place, now_h), _model().probabilities(viewer, tweet, place, now_h)
    )
    assert np.array_equal(
        blind.satisfaction(viewer, tweet, now_h=now_h), _model().satisfaction(viewer, tweet, now_h=now_h)
    )


def test_satisfaction_is_not_opening() -> None:
    viewer, tweet, place, now_h = _allowed(20_000)
    p, glad = (
        _model().probabilities(viewer, tweet, place, now_h),
        _model().satisfaction(viewer, tweet, now_h=now_h),
    )
    assert glad.dtype == np.float32
    assert (np.abs(glad) <= 1).all()
    assert np.corrcoef(glad, p[:, OONC])[0, 1] > 0.2
    assert np.corrcoef(glad, p[:, TURN_OFF])[0, 1] < -0.3
    # The interruption costs at least a tenth, and heat costs gladness but no opening.
    assert (glad <= np.maximum(oracle().satisfaction(viewer, tweet) - 0.1, -1.0) + 1e-6).all()
    heated = town().truth["controversy"][tweet] > 0.5
    assert glad[heated].mean() < glad[~heated].mean() - 0.1


def test_the_truth_predicts_the_log() -> None:
    log, did = town().tables["notifications"], log_reactions()
    p = _model().probabilities(log["viewer"], log["tweet"], np.zeros_like(log["viewer"]), log["time_h"])
    for action, least in ((OONC, 0.85), (ENGAGE, 0.9), (DISMISS, 0.7)):
        assert auc(p[:, action], did[:, action]) > least
    # Calibrated in the large: 29,000 notifications; four standard errors of the rarest, turning off, are 0.0007.
    assert np.allclose(p.mean(axis=0), did.mean(axis=0), atol=4 * np.sqrt(p.mean(axis=0) / log["viewer"].size))


def test_dislikes_come_from_the_tab_more_often() -> None:
    """Thousands of moments of pairs alike: of those who click in the tab more dislike than of the rest."""
    some = _rows(_allowed(200, at=NOON), np.repeat(np.arange(200), 400))
    did = _model().react(*some[:3], some[3] + np.tile(np.arange(400) * 1e-7, 200), seed=0)
    in_tab = did[:, NTAB_CLICK]
    assert did[in_tab, DISLIKE].mean() > 2.0 * did[~in_tab, DISLIKE].mean()


def log_reactions() -> Bools:
    """bool [n, 7]: what the log of notifications says that viewers did."""
    done = town().tables["notification_actions"]
    did = np.zeros((town().tables["notifications"]["viewer"].size, len(PUSH_ACTIONS)), np.bool_)
    did[done["impression"], done["action"]] = True
    return did


def _model(
    more: Rows | None = None, *, until: float | None = None, truth: dict[str, Array] | None = None
) -> NotificationModel:
    """The town's oracle; until: without notifications and settings from this moment on, but with `more`."""
    if more is None and truth is None:
        model = oracle().of(PUSH)
        assert isinstance(model, NotificationModel)
        return model
    tables = {**town().tables}
    if until is not None:
        for name in ("notifications", "notification_settings"):
            keep = tables[name]["time_h"] < until
            tables[name] = {column: values[keep] for column, values in tables[name].items()}
    world = WorldTables(town().meta, tables).grown(more or {}, end_h=town().meta.end_h)
    return _of(world, truth)


def _of(world: WorldTables, truth: dict[str, Array] | None = None) -> NotificationModel:
    model = ResponseModel(world, Truth.of(truth or town().truth)).of(PUSH)
    assert isinstance(model, NotificationModel)
    return model


def _sent(viewer: Array, tweet: Array, time_h: Array) -> dict[str, Array]:
    size = viewer.size
    return {
        "viewer": viewer.astype(np.int32),
        "tweet": tweet.astype(np.int32),
        "time_h": time_h.astype(np.float64),
        "kind": np.zeros(size, np.int8),
        "arm": np.zeros(size, np.int8),
        "propensity": np.ones(size, np.float32),
    }


def _some(count: int) -> tuple[Ints, Ints, Ints, Doubles]:
    rng = np.random.default_rng(1)
    tweet = rng.integers(0, 30_000, count).astype(np.int32)
    viewer = rng.integers(0, 2_000, count).astype(np.int32)
    return viewer, tweet, np.zeros(count, np.int32), town().tables["tweets"]["time_h"][tweet] + 6.0


def _allowed(count: int, at: float | None = None) -> tuple[Ints, Ints, Ints, Doubles]:
    """Pairs of viewers who have notifications on; at: one moment, later than all of the tweets."""
    viewer, tweet, place, now_h = _some(2 * count)
    if at is not None:
        tweet, now_h = (tweet % 15_000).astype(np.int32), np.full(2 * count, at)
    on = np.flatnonzero(~np.isin(viewer, town().tables["notification_settings"]["user"]))[:count]
    return viewer[on], tweet[on], place[on], now_h[on]


def _rows(some: tuple[Ints, Ints, Ints, Doubles], rows: Array) -> tuple[Ints, Ints, Ints, Doubles]:
    viewer, tweet, place, now_h = some
    return viewer[rows], tweet[rows], place[rows], now_h[rows]


def _edges(follows: dict[str, Array]) -> tuple[list[tuple[int, int]], list[float]]:
    pairs = list(zip(follows["follower"].tolist(), follows["followee"].tolist(), strict=True))
    return pairs, follows["time_h"].tolist()
