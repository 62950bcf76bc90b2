"""What a funnel's choices would have brought, estimated from the log alone, beside the truth.

The logging policy fills some places of each page by lot (arm EXPLORED) and then shuffles the page. Given which m tweets
it drew, each of them stood with the same chance 1 / m in the first of their places. So take the m tweets as candidates
and let a funnel choose one for that place: its filters, scorers and boosts see them as any candidates, and the best
score wins (a page where all are removed stays empty there, and earns 0). A notification that was sent by lot is such a
place, too; its m candidates are the tweet that was sent and others of the pool (`funnel.experiment.explored`). With r
the reward of the tweet that did stand there, and w = m if it is the one that the funnel chose, else 0:

    IPS     mean of w r                                        (Horvitz & Thompson 1952)
    SNIPS   share of pages with a choice x sum of w r / sum of w                  (Swaminathan & Joachims, NeurIPS 2015)
    DR      mean of q(choice) + w (r - q(shown))               (Dudik, Langford & Li, ICML 2011)

q is a reward model, ridge regression on the features of the rankers, learnt from explored places before the training's
end; estimates are from pages after it, which no ranker learnt from either. The truth is the oracle's expectation of the
reward of each choice at that place, on the same pages, for a viewer who has just seen the rest of the page.

A funnel whose choice hardly ever stands in the log is refused: with an effective sample size (sum of w)^2 / sum of w^2
below LEAST_SAMPLE neither the estimates nor their errors mean anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, runtime_checkable

import numpy as np

from funnel.compose import Slot, funnel_names, product_of, read_slots
from funnel.core import segments
from funnel.core.arrays import Array, Doubles, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError, nearest
from funnel.core.products import TIMELINE, Product
from funnel.core.progress import SILENT, Progress
from funnel.core.stage import Boost, Filter, Scorer, Selector
from funnel.core.world import Columns, Oracle, PlatformView
from funnel.experiment.explored import LoggedChoices, Pool, explored_rows, logged_choices
from funnel.experiment.objective import value_slot
from funnel.features import NOTIFICATION_FEATURES, assets_needed, hydrate, matrix, model_features
from funnel.features.logged import labels, logged_batch
from funnel.oracle_stage import OracleValue, weights_of
from funnel.pipeline import SCORE, VALUE, Funnel
from funnel.world import World

LEARN_REQUESTS = 8_000  # pages that the reward model learns from
ROWS_AT_ONCE = 20_000  # bounds memory
LEAST_SAMPLE = 20.0  # effective; a proportion's error is then itself known to a sixth only
WHOLE_REQUESTS = 100  # at which a whole funnel of notifications says what it would send
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

    chosen_share: by policy, the share of pages on which it let anything through. support: of notifications, by funnel,
    the share of what it sends with its own sources that the log's lot could have sent, too; None if it sends nothing.
    """

    world: str
    reward: str
    pages: int
    estimates: tuple[Estimate, ...]
    chosen_share: dict[str, float]
    support: dict[str, float | None]
    product: Product = TIMELINE

    @property
    def title(self) -> str:
        """What the rows are."""
        what = "pages" if self.product is TIMELINE else self.product.pages
        return f"Off-policy estimates of {self.reward} at one place, from {self.pages:,} logged {what} of {self.world}"

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
        about |= {"product": self.product.name, "chosen_share": self.chosen_share, "support": self.support}
        return {**about, "estimates": self.rows()}


def off_policy(
    policies: Sequence[Policy],
    *,
    value: str | None = None,
    requests: int = 20_000,
    seed: int = 0,
    progress: Progress = SILENT,
) -> OffPolicyReport:
    """IPS, SNIPS and doubly robust estimates for each policy, all on the same world and product, with the truth.

    value: the reward, an action or a funnel whose weights are taken; favourites of timelines and openings of
    notifications if not given. requests: held-out pages at most. ConfigError if the world has no truth, its log no
    exploration, the reward cannot be read from a log, or a policy's choices are too seldom those of the log.
    """
    if not policies:
        raise ConfigError("off-policy", "wants at least one funnel")
    if requests < 2:
        raise ConfigError("--requests", f"wants at least 2 pages, got {requests}")
    world, product = policies[0].funnel.world, policies[0].funnel.product
    for policy in policies:
        if policy.funnel.product is not product:
            what = f"makes {policy.funnel.product.pages}, {policies[0].name!r} {product.pages} — ask for each alone"
            raise ConfigError(f"off-policy {policy.name}", what)
    oracle = world.oracle_of(product)
    if oracle is None:
        what = "to set estimates beside" if world.oracle is None else f"about {product.pages}"
        raise ConfigError(f"world {world.name!r}", f"has no truth {what} — use a generated world")
    name, weights = reward_of(value if value is not None else product.engaging[0], product)
    until_h = world.meta.train_until_h
    logged = logged_choices(world.view(), product, since_h=until_h, limit=requests, seed=seed)
    past = explored_rows(world.view(), product, until_h=until_h, limit=LEARN_REQUESTS, seed=seed)
    if len(logged.first) < 2 or not past.size:
        raise ConfigError(f"world {world.name!r}", f"has no logged exploration of {product.pages} to estimate from")
    for policy in policies:
        policy.funnel.ensure_trained(progress=progress)
    reward = np.zeros(logged.rows.size)
    reward[logged.first] = _rewards(world.view(), logged.place, weights, product)
    expected = expected_rewards(world, oracle, logged, weights)
    guessed = _guessed(world.view(), past, logged, weights, progress)
    found: list[Estimate] = []
    shares: dict[str, float] = {}
    support: dict[str, float | None] = {}
    for number, policy in enumerate(policies):
        label = policy.name if policy.name not in shares else f"{policy.name} ({number + 1})"
        choice = choices(policy, logged, seed=seed, progress=progress)
        shares[label] = float((choice >= 0).mean())
        found += estimates(label, logged, choice, reward, guessed, expected)
        _check_overlap(label, found[-1].sample_size, shares[label], logged)
        if product is not TIMELINE and policy.scorer is None:
            support[label] = support_share(policy, logged, seed=seed)
    return OffPolicyReport(world.name, name, len(logged.first), tuple(found), shares, support, product)


def _check_overlap(label: str, sample_size: float, share: float, logged: LoggedChoices) -> None:
    """ConfigError if the log says next to nothing about these choices."""
    pages = len(logged.first)
    if share == 0:
        what = f"lets nothing through on any of {pages:,} logged {logged.product.pages}: it has no overlap with the log"
        raise ConfigError(f"off-policy {label}", what)
    if sample_size < LEAST_SAMPLE:
        what = f"chooses on {share:.1%} of {pages:,} logged {logged.product.pages} and agrees with the log so seldom "
        what += f"that the effective sample size is {sample_size:.1f}, below {LEAST_SAMPLE:.0f}"
        raise ConfigError(f"off-policy {label}", f"{what} — take a world with a longer log, or ask one scorer alone")


def support_share(policy: Policy, logged: LoggedChoices, *, seed: int = 0) -> float | None:
    """Of what a whole funnel would send at some of the logged moments, the share that the log's lot could have sent."""
    funnel, log = policy.funnel, logged.view.shown(logged.product)
    view = logged.view.with_assets(funnel.assets_at(funnel.world.meta.end_h))
    step = max(1, logged.place.size // WHOLE_REQUESTS)
    sent: list[tuple[int, float]] = []
    for entry in logged.place[::step]:
        now_h = float(log["time_h"][entry])
        asked = Requests.of([log["viewer"][entry]], now_h, view.at(now_h), seed=seed)
        sent += [(int(tweet), now_h) for tweet in funnel.run_batch(asked, detail=False).page["tweet"]]
    if not sent:
        return None
    tweet, now = np.array([one[0] for one in sent], np.int32), np.array([one[1] for one in sent])
    return float(Pool(logged.view).has(tweet, now).mean())


def reward_of(value: str, product: Product = TIMELINE) -> tuple[str, Doubles]:
    """(name, float64 [A]): the weight of each of the product's actions in the reward."""
    if value in product.action_code:
        return value, weights_of({value: 1.0}, product)
    if value in funnel_names() or value.endswith((".yaml", ".yml")):
        if product_of(value) is not product:
            raise ConfigError(f"--value {value}", f"is a funnel that makes no {product.pages}")
        return f"the weights of {value}", _weights(value, read_slots(value)[2], product)
    if value == "satisfaction":
        raise ConfigError("--value satisfaction", "leaves no trace in a log — name an action, or a funnel")
    known = (*product.action_names, *funnel_names())
    raise ConfigError(f"--value {value}", f"wants an action, or a funnel for its weights — {nearest(value, known)}")


def _weights(name: str, stages: Sequence[Slot], product: Product) -> Doubles:
    found = value_slot(stages)
    stage = found[1].part if found is not None else None
    named = stage.weight if isinstance(stage, Weighted) else stage.weights if isinstance(stage, OracleValue) else None
    if named is None:
        raise ConfigError(f"--value {name}", "is a funnel that weighs no actions — name an action, or another funnel")
    return weights_of(named, product)


def choices(policy: Policy, logged: LoggedChoices, *, seed: int = 0, progress: Progress = SILENT) -> Longs:
    """int64 [P]: of each page the place in `logged.rows` of the tweet that the policy chooses; −1 if it removes all."""
    view = policy.funnel.world.view(assets=policy.funnel.assets_at(policy.funnel.world.meta.end_h))
    chosen = np.full(logged.first.size, -1, np.int64)
    with progress.bar(f"choices of {policy.name}", logged.first.size) as bar:
        for begin, end in _runs(logged.offsets):
            low, high = int(logged.offsets[begin]), int(logged.offsets[end])
            requests = logged.requests(begin, end, view, seed=seed)
            columns: dict[str, Array] = {"tweet": logged.tweet[low:high], "place": np.arange(low, high)}
            ranked = _through(policy, CandidateBatch(requests, logged.offsets[begin : end + 1] - low, columns))
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


def _rewards(view: PlatformView, rows: Longs, weights: Doubles, product: Product = TIMELINE) -> Doubles:
    """float64 [n]: what each entry of the log brought."""
    return np.asarray(labels(view, rows, product) @ weights, np.float64)


def expected_rewards(world: World, oracle: Oracle, logged: LoggedChoices, weights: Doubles) -> Doubles:
    """float64 [n]: the reward to expect of each candidate, were it shown in the place that is to be filled."""
    log, tweet = logged.view.shown(logged.product), logged.tweet
    top = logged.place[logged.page]
    viewer, now_h, place = log["viewer"][top], log["time_h"][top], _position(log, top).astype(np.int32)
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


def _guessed(view: PlatformView, past: Longs, logged: LoggedChoices, weights: Doubles, progress: Progress) -> Doubles:
    """float64 [n]: the reward model's guess for each candidate in the place that is to be filled.

    past: int64 [m], ascending entries of the log from which it learns.
    """
    from sklearn.linear_model import Ridge  # a second that only this needs
    from sklearn.preprocessing import StandardScaler

    log, product = view.shown(logged.product), logged.product
    known = model_features() if product is TIMELINE else (*model_features(), *NOTIFICATION_FEATURES)
    names = tuple(name for name in known if not assets_needed((name,)))
    batches = (logged_batch(view, past[low : low + ROWS_AT_ONCE], product) for low in range(0, past.size, ROWS_AT_ONCE))
    learn = _with_place(_features(batches, past.size, names, progress), _position(log, past))
    scaler = StandardScaler().fit(learn)
    model = Ridge(alpha=100.0)
    model.fit(scaler.transform(learn), _rewards(view, past, weights, product))
    asked = (_asked(view, logged, begin, end) for begin, end in _runs(logged.offsets))
    fresh = _features(asked, logged.rows.size, names, progress)
    place = _position(log, logged.place[logged.page])
    return np.asarray(model.predict(scaler.transform(_with_place(fresh, place))), np.float64)


def _asked(view: PlatformView, logged: LoggedChoices, begin: int, end: int) -> CandidateBatch:
    """The candidates of some pages at their moments, each where the log has it."""
    low, high = int(logged.offsets[begin]), int(logged.offsets[end])
    log, rows = view.shown(logged.product), logged.rows[low:high]
    columns = {"tweet": logged.tweet[low:high], "position": _position(log, rows)}
    return CandidateBatch(logged.requests(begin, end, view), logged.offsets[begin : end + 1] - low, columns)


def _position(log: Columns, rows: Longs) -> Array:
    """int16 [n]: how far down the page an entry of the log stood; a notification stands on top."""
    return log["position"][rows] if "position" in log else np.zeros(rows.size, np.int16)


def _features(batches: Iterable[CandidateBatch], total: int, names: tuple[str, ...], progress: Progress) -> Floats:
    """float32 [n, F]: features of batches with `total` rows at their own moments, squeezed."""
    parts = [np.empty((0, len(names)), np.float32)]
    with progress.bar("features of explored places", total) as bar:
        for batch in batches:
            parts.append(matrix(hydrate(batch, ("author", *names)), names))
            bar.advance(len(batch))
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
