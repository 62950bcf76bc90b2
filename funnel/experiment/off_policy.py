"""What a funnel's choices would have brought, estimated from the log alone, beside the truth.

The logging policy fills some places of each page by lot (arm EXPLORED) and then shuffles the page. Given which m tweets
it drew, each of them stood with the same chance 1 / m in the first of their places. So take the m tweets as candidates
and let a funnel choose one for that place: its filters, scorers and boosts see them as any candidates, and the best
score wins (a page where all are removed stays empty there, and earns 0). With r the reward of the tweet that did
stand there, and w = m if it is the one that the funnel chose, else 0:

    IPS     mean of w r                                        (Horvitz & Thompson 1952)
    SNIPS   share of pages with a choice x sum of w r / sum of w                  (Swaminathan & Joachims, NeurIPS 2015)
    DR      mean of q(choice) + w (r - q(shown))               (Dudik, Langford & Li, ICML 2011)

q is a reward model, ridge regression on the features of the rankers, learnt from explored places before the training's
end; estimates are from pages after it, which no ranker learnt from either. The truth is the oracle's expectation of the
reward of each choice at that place, on the same pages, for a viewer who has just seen the rest of the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, runtime_checkable

import numpy as np

from funnel.compose import Slot, funnel_names, read_slots
from funnel.core import rng, segments
from funnel.core.actions import ACTION_CODE, ACTION_NAMES
from funnel.core.arrays import Array, Doubles, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.errors import ConfigError, nearest
from funnel.core.products import TIMELINE
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import Boost, Filter, Scorer, Selector
from funnel.core.tables import EXPLORED
from funnel.core.world import Columns, Oracle, PlatformView
from funnel.experiment.objective import value_slot
from funnel.features import assets_needed, hydrate, matrix, model_features
from funnel.features.logged import labels, logged_batch
from funnel.oracle_stage import OracleValue, weights_of
from funnel.pipeline import SCORE, VALUE, Funnel
from funnel.world import World

LEARN_REQUESTS = 8_000  # pages that the reward model learns from
ROWS_AT_ONCE = 20_000  # bounds memory
ESTIMATORS = ("IPS", "SNIPS", "DR")


@runtime_checkable
class Weighted(Protocol):
    """A scorer whose value is a weighted sum."""

    @property
    def weight(self) -> dict[str, float]:
        """The weight of each action."""


@runtime_checkable
class Tiring(Protocol):
    """An oracle whose viewers tire of authors and topics that they have just seen."""

    @property
    def topics(self) -> Array:
        """int16 [T, 2]: the main and the second topic of each tweet."""

    def probabilities(
        self, viewer: Ints, tweet: Ints, position: Ints, now_h: Doubles, *, seen: Floats | None = None
    ) -> Floats:
        """float32 [n, A]; seen: float32 [n, 2], how many of those seen lately share the author, and the topic."""


@dataclass(frozen=True)
class Policy:
    """Who chooses: a whole funnel, or one scorer of it by the first thing that it says, after the filters before it."""

    funnel: Funnel
    scorer: str | None = None

    def __post_init__(self) -> None:
        known = [slot.name for slot in self.funnel.stages if isinstance(slot.part, Scorer)]
        if self.scorer is not None and self.scorer not in known:
            raise ConfigError(f"{self.funnel.name}:{self.scorer}", f"no such scorer — {nearest(self.scorer, known)}")

    @property
    def name(self) -> str:
        """`funnel` or `funnel:scorer`."""
        return self.funnel.name if self.scorer is None else f"{self.funnel.name}:{self.scorer}"


@dataclass(frozen=True)
class Estimate:
    """One estimator's answer about one funnel."""

    policy: str
    estimator: str
    estimate: float
    error: float
    sample_size: float
    truth: float

    @property
    def off_by(self) -> float | None:
        """The distance from the truth in standard errors; None where the error is 0."""
        return (self.estimate - self.truth) / self.error if self.error > 0 else None


@dataclass(frozen=True)
class OffPolicyReport:
    """Estimates of several funnels on the same logged pages.

    chosen_share: by policy, the share of pages on which it let anything through.
    """

    world: str
    reward: str
    pages: int
    estimates: tuple[Estimate, ...]
    chosen_share: dict[str, float]

    @property
    def title(self) -> str:
        """What the rows are."""
        return f"Off-policy estimates of {self.reward} at one place, from {self.pages:,} logged pages of {self.world}"

    def rows(self) -> list[dict[str, object]]:
        """One line a policy and estimator."""
        return [
            {
                "policy": one.policy,
                "estimator": one.estimator,
                "estimate": one.estimate,
                "std_error": one.error,
                "effective_n": round(one.sample_size),
                "truth": one.truth,
                "off_by_se": None if one.off_by is None else round(one.off_by, 2),
            }
            for one in self.estimates
        ]

    def terminal_rows(self) -> list[dict[str, object]]:
        """The same for `funnel.report.rows_table`, in few characters."""
        return [
            {
                "policy": one.policy,
                "by": one.estimator,
                "estimate ± error": f"{one.estimate:.4f} ± {one.error:.4f}",
                "ESS": round(one.sample_size),
                "truth": f"{one.truth:.4f}",
                "off by": "–" if one.off_by is None else f"{one.off_by:+.1f} SE",
            }
            for one in self.estimates
        ]

    def as_json(self) -> dict[str, object]:
        """Plain data."""
        about: dict[str, object] = {"world": self.world, "reward": self.reward, "pages": self.pages}
        return {**about, "chosen_share": self.chosen_share, "estimates": self.rows()}


def off_policy(
    policies: Sequence[Policy],
    *,
    value: str = "favorite",
    requests: int = 20_000,
    seed: int = 0,
    progress: Progress = SILENT,
) -> OffPolicyReport:
    """IPS, SNIPS and doubly robust estimates for each policy, all on the same world, with the truth.

    value: the reward, an action or a funnel whose weights are taken. requests: held-out pages at most. ConfigError if
    the world has no truth, its log no exploration, or the reward cannot be read from a log.
    """
    if not policies:
        raise ConfigError("off-policy", "wants at least one funnel")
    if requests < 2:
        raise ConfigError("--requests", f"wants at least 2 pages, got {requests}")
    for policy in policies:
        if policy.funnel.product is not TIMELINE:
            what = f"makes {policy.funnel.product.pages} — pages of timelines alone have places that were drawn by lot"
            raise ConfigError(f"off-policy {policy.name}", what)
    world = policies[0].funnel.world
    oracle = world.oracle
    if oracle is None:
        raise ConfigError(f"world {world.name!r}", "has no truth to set estimates beside — use a generated world")
    name, weights = reward_of(value)
    logged = logged_choices(world.view(), since_h=world.meta.train_until_h, limit=requests, seed=seed)
    past = logged_choices(world.view(), until_h=world.meta.train_until_h, limit=LEARN_REQUESTS, seed=seed)
    if len(logged.first) < 2 or not past.rows.size:
        raise ConfigError(f"world {world.name!r}", "has no logged exploration to estimate from")
    for policy in policies:
        policy.funnel.ensure_trained(progress=progress)
    reward = _rewards(world.view(), logged.rows, weights)
    expected = expected_rewards(world, oracle, logged, weights)
    guessed = _guessed(world.view(), past, logged, weights, progress)
    found: list[Estimate] = []
    shares: dict[str, float] = {}
    for number, policy in enumerate(policies):
        label = policy.name if policy.name not in shares else f"{policy.name} ({number + 1})"
        choice = choices(policy, logged, seed=seed, progress=progress)
        shares[label] = float((choice >= 0).mean())
        found += estimates(label, logged, choice, reward, guessed, expected)
    return OffPolicyReport(world.name, name, len(logged.first), tuple(found), shares)


def reward_of(value: str) -> tuple[str, Doubles]:
    """(name, float64 [A]): the weight of each action in the reward."""
    weights = np.zeros(len(ACTION_NAMES))
    if value in ACTION_CODE:
        weights[ACTION_CODE[value]] = 1.0
        return value, weights
    if value in funnel_names() or value.endswith((".yaml", ".yml")):
        return f"the weights of {value}", _weights(value, read_slots(value)[2])
    if value == "satisfaction":
        raise ConfigError("--value satisfaction", "leaves no trace in a log — name an action, or a funnel")
    known = (*ACTION_NAMES, *funnel_names())
    raise ConfigError(f"--value {value}", f"wants an action, or a funnel for its weights — {nearest(value, known)}")


def _weights(name: str, stages: Sequence[Slot]) -> Doubles:
    found = value_slot(stages)
    stage = found[1].part if found is not None else None
    named = stage.weight if isinstance(stage, Weighted) else stage.weights if isinstance(stage, OracleValue) else None
    if named is None:
        raise ConfigError(f"--value {name}", "is a funnel that weighs no actions — name an action, or another funnel")
    return weights_of(named, TIMELINE)


@dataclass(frozen=True)
class LoggedChoices:
    """Explored places of some logged pages.

    rows: int64 [n], impressions of the log, ascending, page by page; offsets: int64 [P + 1] of the pages into them;
    first: int64 [P], of each page the place in `rows` that stands topmost.
    """

    rows: Longs
    offsets: Longs
    first: Longs
    view: PlatformView

    @property
    def page(self) -> Longs:
        """int64 [n]: the page of each row."""
        return np.repeat(np.arange(self.first.size), np.diff(self.offsets))


def logged_choices(
    view: PlatformView, *, since_h: float = -np.inf, until_h: float = np.inf, limit: int, seed: int
) -> LoggedChoices:
    """The explored places of at most `limit` pages between two moments that have two or more of them."""
    log = view.impressions
    begin, end = np.searchsorted(log["time_h"], (since_h, until_h), side="left")
    rows = begin + np.flatnonzero(log["arm"][begin:end] == EXPLORED)
    pages, counts = np.unique(log["request"][rows], return_counts=True)
    pages = pages[counts > 1]
    if pages.size > limit:
        pages = np.sort(rng.stream(seed, "off-policy pages").choice(pages, limit, replace=False))
    rows = rows[np.isin(log["request"][rows], pages)].astype(np.int64)
    request = log["request"][rows]
    begins = np.flatnonzero(np.r_[True, request[1:] != request[:-1]][: rows.size])
    offsets = np.append(begins, rows.size).astype(np.int64)
    order = np.lexsort((log["position"][rows], request))  # requests ascend, as their rows do
    return LoggedChoices(rows, offsets, order[offsets[:-1]].astype(np.int64), view)


def choices(policy: Policy, logged: LoggedChoices, *, seed: int = 0, progress: Progress = SILENT) -> Longs:
    """int64 [P]: of each page the place in `logged.rows` of the tweet that the policy chooses; −1 if it removes all."""
    view = policy.funnel.world.view(assets=policy.funnel.assets_at(policy.funnel.world.meta.end_h))
    chosen = np.full(logged.first.size, -1, np.int64)
    with progress.bar(f"choices of {policy.name}", logged.first.size) as bar:
        for begin, end in _runs(logged.offsets):
            low, high = int(logged.offsets[begin]), int(logged.offsets[end])
            batch = logged_batch(view, logged.rows[low:high])
            requests = type(batch.requests)(batch.requests.viewer, batch.requests.now_h, view, seed)
            columns = {"tweet": batch["tweet"], "place": np.arange(low, high)}
            ranked = _through(policy, CandidateBatch(requests, batch.offsets, columns))
            best = segments.rank_in_group(ranked.offsets, ranked[SCORE], ranked["tweet"]) == 0
            chosen[begin + ranked.request[best]] = ranked["place"][best]
            bar.advance(end - begin)
    return chosen


def _through(policy: Policy, batch: CandidateBatch) -> CandidateBatch:
    """Candidates after the filters, scorers and boosts of a policy, with `score`; cuts and sources play no part."""
    batch = hydrate(batch, ("author",))
    for slot in policy.funnel.stages:
        stage = slot.part
        if isinstance(stage, Selector):
            break
        if not isinstance(stage, Filter | Scorer | Boost):
            continue
        if any(name.startswith(("from.", "source_score.")) for name in stage.needs):
            raise ConfigError(f"{policy.name}: {slot.name}", "needs to know the source, which a logged place has not")
        batch = hydrate(batch, stage.needs)
        if isinstance(stage, Filter):
            batch = batch.take(stage.keep(batch))
        elif isinstance(stage, Boost):
            batch = batch.with_columns({SCORE: batch[SCORE] * stage.factor(batch)})
        else:
            said = stage.score(batch)
            if slot.name == policy.scorer:
                return batch.with_columns({SCORE: said[stage.adds[0]]})
            batch = batch.with_columns({**said, SCORE: said[VALUE]} if VALUE in said else said)
    return batch


def _rewards(view: PlatformView, rows: Longs, weights: Doubles) -> Doubles:
    """float64 [n]: what each impression brought."""
    return np.asarray(labels(view, rows) @ weights, np.float64)


def expected_rewards(world: World, oracle: Oracle, logged: LoggedChoices, weights: Doubles) -> Doubles:
    """float64 [n]: the reward to expect of each row's tweet, were it shown in the first explored place of its page."""
    log = logged.view.impressions
    top = logged.rows[logged.first][logged.page]
    viewer, now_h = log["viewer"][top], log["time_h"][top]
    tweet, place = log["tweet"][logged.rows], log["position"][top].astype(np.int32)
    if isinstance(oracle, Tiring):
        seen = seen_before(log, world.tables.table("tweets")["author"], oracle.topics[:, 0], top, tweet)
        p = oracle.probabilities(viewer, tweet, place, now_h, seen=seen)
    else:
        p = oracle.probabilities(viewer, tweet, place, now_h)
    return np.asarray(p.astype(np.float64) @ weights, np.float64)


def seen_before(log: Columns, author: Ints, topic: Array, place: Longs, tweet: Ints) -> Floats:
    """float32 [n, 2]: how many of those shown to the viewer lately share the author, and the topic, of another tweet.

    What was shown before a place of the log counts, as far back as in `synthetic.habituation`. place: int64 [n], rows
    of the log; tweet: int32 [n]; author: int32 [T]; topic: int16 [T].
    """
    memory = int(import_module("synthetic.habituation").MEMORY)  # by name: the funnel itself knows no stage package
    by_viewer = np.argsort(log["viewer"], kind="stable")
    rank = np.empty(by_viewer.size, np.int64)
    rank[by_viewer] = np.arange(by_viewer.size)
    seen = np.zeros((place.size, 2), np.float32)
    for back in range(1, memory + 1):
        before = rank[place] - back
        row = by_viewer[np.maximum(before, 0)]
        known = (before >= 0) & (log["viewer"][row] == log["viewer"][place])
        shown = log["tweet"][row]
        seen[:, 0] += known & (author[shown] == author[tweet])
        seen[:, 1] += known & (topic[shown] == topic[tweet])
    return seen


def _guessed(
    view: PlatformView, past: LoggedChoices, logged: LoggedChoices, weights: Doubles, progress: Progress
) -> Doubles:
    """float64 [n]: the reward model's guess for each row's tweet in the first explored place of its page."""
    from sklearn.linear_model import Ridge  # a second that only this needs
    from sklearn.preprocessing import StandardScaler

    names = tuple(name for name in model_features() if not assets_needed((name,)))
    learn, where = _features(view, past, names, progress), view.impressions["position"]
    scaler = StandardScaler().fit(_with_place(learn, where[past.rows]))
    model = Ridge(alpha=100.0)
    model.fit(scaler.transform(_with_place(learn, where[past.rows])), _rewards(view, past.rows, weights))
    top = logged.rows[logged.first][logged.page]
    fresh = _features(view, logged, names, progress)
    return np.asarray(model.predict(scaler.transform(_with_place(fresh, where[top]))), np.float64)


def _features(view: PlatformView, logged: LoggedChoices, names: tuple[str, ...], progress: Progress) -> Floats:
    """float32 [n, F]: features of logged impressions at their own moments, squeezed."""
    parts = [np.empty((0, len(names)), np.float32)]
    with progress.bar("features of explored places", logged.rows.size) as bar:
        for begin, end in _runs(logged.offsets):
            some = logged.rows[logged.offsets[begin] : logged.offsets[end]]
            parts.append(matrix(hydrate(logged_batch(view, some), ("author", *names)), names))
            bar.advance(some.size)
    x = np.concatenate(parts)
    return np.asarray(np.sign(x) * np.log1p(np.abs(x)), np.float32)


def _runs(offsets: Longs) -> list[tuple[int, int]]:
    """(begin, end) of runs of pages with ROWS_AT_ONCE rows or fewer each."""
    step = max(1, ROWS_AT_ONCE // max(1, int(np.diff(offsets).max(initial=1))))
    return [(begin, min(begin + step, offsets.size - 1)) for begin in range(0, offsets.size - 1, step)]


def _with_place(x: Floats, position: Array) -> Doubles:
    """float64 [n, F + 1]: how far down the place is, too."""
    return np.column_stack([x, np.log1p(position.astype(np.float64))])


def estimates(
    policy: str, logged: LoggedChoices, choice: Longs, reward: Doubles, guessed: Doubles, expected: Doubles
) -> list[Estimate]:
    """The three estimates for one policy.

    choice: int64 [P], places in `logged.rows`, −1 for none; reward, guessed, expected: float64 [n], of the row as it
    was shown, and as the reward model and the oracle say for the first explored place.
    """
    some = choice >= 0
    weight = np.where(choice == logged.first, np.diff(logged.offsets), 0).astype(np.float64)
    shown = reward[logged.first]
    truth = float(np.where(some, expected[choice], 0.0).mean())
    size = float(weight.sum() ** 2 / (weight**2).sum()) if weight.any() else 0.0
    ips = weight * shown
    robust = np.where(some, guessed[choice], 0.0) + weight * (shown - guessed[logged.first])
    share, total = float(some.mean()), float(weight.sum())
    ratio = float(ips.sum() / total) if total > 0 else 0.0
    # The linearised error of a ratio; the share of pages with a choice is known.
    residual = weight * (shown - ratio)
    snips_error = share * float(np.sqrt((residual**2).sum())) / total if total > 0 else 0.0
    answers = {
        "IPS": (float(ips.mean()), _error(ips)),
        "SNIPS": (share * ratio, snips_error),
        "DR": (float(robust.mean()), _error(robust)),
    }
    return [Estimate(policy, name, *answers[name], size, truth) for name in ESTIMATORS]


def _error(values: Doubles) -> float:
    return float(values.std(ddof=1) / np.sqrt(values.size))
