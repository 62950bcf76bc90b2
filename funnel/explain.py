"""Why a tweet is where it is for one viewer: every number on the way to its place, or the stage that removed it.

    found by a source → passed the filters → light score → p of each action → value = Σ weight × p (compressed to
    [0, ε) if negative) → × each boost = score → rank

The same facts come as plain data (`explain`) and as sentences (`words`); `reason` is the one line of the timeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypedDict, cast, runtime_checkable

import numpy as np

from funnel.core.arrays import Array, Floats, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError
from funnel.core.stage import GivesProofs, Scorer, Source
from funnel.features import FEATURES, hydrate

if TYPE_CHECKING:
    from funnel.compose import Slot
    from funnel.pipeline import Funnel
    from funnel.trace import Page, Pages

SHOWN, REMOVED, NOT_RETRIEVED = "shown", "removed", "not retrieved"
# What the shipped sources stand for, in words a viewer would use; another source is called by its name.
_SOURCE_WORDS = {
    "in_network": "from an account that the viewer follows",
    "uteg": "accounts that the viewer follows engaged with it",
    "simclusters_ann": "popular in communities that the viewer belongs to",
    "twhin_ann": "close to what the viewer engages with",
    "thunder": "from an account that the viewer follows",
    "popular": "popular with everybody",
    "everything": "among all recent tweets",
    "salsa": "walks from the viewer's circle lead to it",
    "cr_mixer": "similar to what the viewer liked, followed or is interested in",
    "frs": "from an account that the viewer might follow",
    "lists": "from an account on one of the viewer's lists",
    "popular_videos": "a video that many watched",
    "backfill": "from an account that the viewer follows",
    "cached_scored_tweets": "scored for the viewer's last page and not shown",
    "topic_social_proof": "about a topic of the viewer",
}
_DONE = {"favorite": "liked", "retweet": "retweeted", "reply": "replied to", "quote": "quoted"}
_NAMED = 5  # people in a line


@runtime_checkable
class WeighsActions(Protocol):
    """A scorer whose value is a weighted sum, and that can say what each action contributes."""

    def terms(self, batch: CandidateBatch) -> dict[str, Floats]:
        """float32 [n] for each action: weight × p."""


@runtime_checkable
class SaysWhy(Protocol):
    """A boost that can say what a factor of its means for a reader."""

    def because(self, factor: float) -> str:
        """A few words: "third tweet of this author"."""


@runtime_checkable
class CutsInPools(Protocol):
    """A filter that keeps the best of each of some pools, and can say where a candidate stands in them."""

    def places(self, batch: CandidateBatch) -> dict[str, tuple[Longs, int]]:
        """For each pool, the place of every candidate (0 is best, −1 if it is not in it) and how many stay."""


class Term(TypedDict):
    """What one action contributes to the value."""

    weight: float
    p: float
    product: float


class SourceFact(TypedDict):
    """What one source says about the tweet: its place among what it found (1 is best), or None."""

    source: str
    place: int | None
    found: int
    quota: int | None
    does: str


class CutFact(TypedDict):
    """Where a tweet stood in one pool that was cut (1 is best)."""

    pool: str
    place: int
    found: int
    kept: int


class Proof(TypedDict):
    """Who, of the viewer's circle, did something with the tweet."""

    source: str
    action: str
    users: list[int]
    handles: list[str]


class Explanation(TypedDict, total=False):
    """Everything known about one (viewer, tweet); keys that do not apply are absent."""

    viewer: int
    at: float
    world: str
    funnel: str
    seed: int
    tweet: int
    author: int
    handle: str
    text: str
    verdict: str
    age_h: float
    in_network: bool
    sources: list[str]
    source_scores: dict[str, float]
    proofs: list[Proof]
    light_score: float
    terms: dict[str, Term]
    value: float
    boosts: dict[str, float]
    causes: dict[str, str]
    score: float
    rank: int
    page_size: int
    removed_by: str
    removed_by_kind: str
    does: str
    saw: dict[str, float | int | bool]
    cuts: list[CutFact]
    cut_by: str
    place: int
    kept: int
    searched: list[SourceFact]


def explain(funnel: Funnel, pages: Pages, viewer: int, tweet: int) -> Explanation:
    """What happened to `tweet` in the page of `viewer`; the pages must have been run with detail.

    Raises ConfigError for a tweet that the world does not have.
    """
    world, page = funnel.world, pages.of(viewer)
    known = world.tables.count("tweets")
    if not 0 <= tweet < known:
        raise ConfigError(f"--tweet {tweet}", f"unknown — the tweets of {world.name!r} are 0 to {known - 1}")
    author, written_h = (world.tables.table("tweets")[name][tweet] for name in ("author", "time_h"))
    said: Explanation = {
        "viewer": viewer,
        "at": page.at_h,
        "world": world.name,
        "funnel": funnel.name,
        "seed": pages.seed,
        "tweet": tweet,
        "author": int(author),
        "handle": world.handles(np.array([author]))[0],
        "text": world.texts(np.array([tweet]))[0],
        "age_h": page.at_h - float(written_h),
    }
    found = page.find(tweet)
    if found is None:
        return said | _not_retrieved(funnel, page, tweet, pages.seed)
    said |= cast(Explanation, {key: found[key] for key in _CANDIDATE_KEYS if key in found and found[key] != {}})
    shown_by = proofs(funnel, page, tweet, said.get("sources", []), pages.seed)
    if shown_by:
        said["proofs"] = shown_by
    if found.get("p"):
        said["terms"] = value_terms(funnel, [found])[0]
    if found.get("boosts"):
        said["causes"] = causes(funnel, found)
    if found["removed_by"] is None:
        return said | {"verdict": SHOWN, "rank": int(str(found["rank"])), "page_size": len(page)}
    return said | _removal(funnel, pages, page, found)


_CANDIDATE_KEYS = ("in_network", "sources", "source_scores", "light_score", "value", "boosts", "score")


def proofs(funnel: Funnel, page: Page, tweet: int, sources: Sequence[str], seed: int) -> list[Proof]:
    """Who stands behind a tweet, for those of its sources that can say so."""
    said: list[Proof] = []
    for slot in funnel.stages:
        part: object = slot.part
        if slot.name not in sources or not isinstance(part, GivesProofs):
            continue
        users: dict[str, list[int]] = {}
        for action, user in part.proofs(_asked_again(funnel, page, seed), 0, tweet):
            users.setdefault(action, []).append(user)
        for action, who in users.items():
            handles = funnel.world.handles(np.array(who))
            said.append({"source": slot.name, "action": action, "users": who, "handles": list(handles)})
    return said


def words_of_proof(proof: Proof) -> str:
    """The line "liked by 2 people you follow: @a, @b"; five are named at most."""
    if proof["action"] not in _DONE:  # a source's own words: what it says is no engagement of followees
        return f"{proof['action']}: " + ", ".join(f"@{name}" for name in proof["handles"][:_NAMED])
    count, done = len(proof["users"]), _DONE[proof["action"]]
    people = "1 person" if count == 1 else f"{count} people"
    more = ", …" if count > _NAMED else ""
    return f"{done} by {people} you follow: " + ", ".join(f"@{name}" for name in proof["handles"][:_NAMED]) + more


def value_terms(funnel: Funnel, rows: Sequence[Mapping[str, object]]) -> list[dict[str, Term]]:
    """weight, p and their product for each action of each row (dicts with `p`); empty if nothing weighs actions."""
    weigher = next((slot.part for slot in funnel.stages if isinstance(slot.part, WeighsActions)), None)
    if weigher is None or not rows:
        return [{} for _ in rows]
    predicted = [cast(Mapping[str, float], row["p"]) for row in rows]
    heads = tuple(predicted[0])
    columns: dict[str, Array] = {f"p.{name}": np.array([p[name] for p in predicted], np.float32) for name in heads}
    requests = Requests.of([0], 0.0, funnel.world.view(0.0))  # the terms look at the probabilities alone
    products = weigher.terms(CandidateBatch.of(requests, [len(rows)], tweet=np.zeros(len(rows), np.int32), **columns))
    ones = {name: np.ones(1, np.float32) for name in columns}
    weights = weigher.terms(CandidateBatch.of(requests, [1], tweet=np.zeros(1, np.int32), **ones))
    return [
        {
            name: {"weight": float(weights[name][0]), "p": p.get(name, 0.0), "product": float(product[i])}
            for name, product in products.items()
        }
        for i, p in enumerate(predicted)
    ]


def causes(funnel: Funnel, row: Mapping[str, object]) -> dict[str, str]:
    """What each boost that changed the row's score has to say, by the boost's name."""
    factors = {name: factor for name, factor in _boosts(row).items() if factor != 1}
    said = {}
    for slot in funnel.stages:
        part: object = slot.part
        if slot.name in factors and isinstance(part, SaysWhy):
            said[slot.name] = part.because(factors[slot.name])
    return said


def _removal(funnel: Funnel, pages: Pages, page: Page, found: Mapping[str, object]) -> Explanation:
    """Which stage removed it, what that stage does, what it saw, and the place by the number that it cut on."""
    name = str(found["removed_by"])
    slot = next((slot for slot in funnel.stages if slot.name == name), None)
    if slot is None:  # the caller's own page size, not a stage
        said: Explanation = {"verdict": REMOVED, "removed_by": name, "removed_by_kind": "selector"}
        said["does"] = "Shortens the page to the size asked for"
        return said | _standing(pages, page, found, "score", len(page))
    part = slot.part
    said = {"verdict": REMOVED, "removed_by": name, "removed_by_kind": part.kind, "does": does(slot)}
    if part.kind == "filter":
        said |= {"saw": _saw(funnel, pages, page, slot, found)}
        return said | {"cuts": _cuts(funnel, pages, page, slot, part, found)} if isinstance(part, CutsInPools) else said
    if isinstance(part, Scorer) and part.adds:
        return said | _standing(pages, page, found, part.adds[0], slot.keep or 0)
    return said | _standing(pages, page, found, "score", next(s.n_out for s in page.stages if s.stage == name))


def _standing(pages: Pages, page: Page, found: Mapping[str, object], column: str, kept: int) -> Explanation:
    """The place of the tweet by a column among the candidates that have it."""
    import polars as pl  # 0.3 s that a shown tweet need not pay

    frame = pages.candidates().filter(pl.col("viewer") == page.viewer)
    if column not in frame.columns:
        return {"kept": kept}
    tweet, own = found["tweet"], frame.filter(pl.col("tweet") == found["tweet"])[column].item()
    ahead = (frame[column] > own) | ((frame[column] == own) & (frame["tweet"] < tweet))  # ties break by id
    return {"cut_by": column, "place": int(ahead.sum()) + 1, "kept": kept}


def _saw(
    funnel: Funnel, pages: Pages, page: Page, slot: Slot, found: Mapping[str, object]
) -> dict[str, float | int | bool]:
    """The columns that a filter reads, for this one candidate."""
    requests = _asked_again(funnel, page, pages.seed)
    ids = {name: np.array([found[name]], np.int32) for name in ("tweet", "author")}
    needs: tuple[str, ...] = slot.part.needs  # type: ignore[attr-defined]
    names = [name for name in needs if name in FEATURES and "." not in name]
    batch = hydrate(CandidateBatch.of(requests, [1], **ids), names)
    scores = {name: cast(float, found[name]) for name in needs if name in found and name not in FEATURES}
    return scores | {name: batch[name][0].item() for name in batch.names if name in needs}


def _cuts(
    funnel: Funnel, pages: Pages, page: Page, slot: Slot, part: CutsInPools, found: Mapping[str, object]
) -> list[CutFact]:
    """The places of the tweet in the pools of a filter that cuts, among all candidates that reached it."""
    import polars as pl

    place = {stage.stage: number for number, stage in enumerate(page.stages)}
    earlier = [name for name, number in place.items() if number < place[slot.name]]
    frame = pages.candidates().filter(pl.col("viewer") == page.viewer)
    frame = frame.filter(~pl.col("removed_by").is_in(earlier).fill_null(value=False))
    names = [n for n in frame.columns if n.startswith(("from.", "source_score.")) or n in slot.part.needs]  # type: ignore[attr-defined]
    columns = {name: frame[name].to_numpy() for name in ("tweet", *names)}
    batch = CandidateBatch.of(_asked_again(funnel, page, pages.seed), [frame.height], **columns)
    row = int(np.flatnonzero(columns["tweet"] == found["tweet"])[0])
    return [
        {"pool": pool, "place": int(at[row]) + 1, "found": int((at >= 0).sum()), "kept": kept}
        for pool, (at, kept) in part.places(batch).items()
        if at[row] >= 0
    ]


def _not_retrieved(funnel: Funnel, page: Page, tweet: int, seed: int) -> Explanation:
    """What each source found instead, and the tweet's place beyond the quota if it has one."""
    requests = _asked_again(funnel, page, seed)
    searched: list[SourceFact] = []
    for slot in funnel.stages:
        if not isinstance(slot.part, Source):
            continue
        found = slot.part.retrieve(requests)
        at = np.flatnonzero(found["tweet"] == tweet)
        place = int((found["source_score"] > found["source_score"][at[0]]).sum()) + 1 if at.size else None
        searched.append(
            {"source": slot.name, "place": place, "found": len(found), "quota": slot.quota, "does": does(slot)}
        )
    return {"verdict": NOT_RETRIEVED, "searched": searched}


def _asked_again(funnel: Funnel, page: Page, seed: int) -> Requests:
    """The page's request alone."""
    view = funnel.world.view(page.at_h, assets=funnel.assets_at(page.at_h))
    return Requests.of([page.viewer], page.at_h, view, seed=seed)


def does(slot: Slot) -> str:
    """What a stage does, in the first line of its documentation."""
    return (type(slot.part).__doc__ or slot.name).strip().split("\n")[0].rstrip(".")


def words(said: Explanation) -> list[str]:
    """The explanation as lines of text."""
    lines = [f"tweet {said['tweet']} by @{said['handle']}, seen by viewer {said['viewer']} at hour {said['at']:g}"]
    lines.append(f"“{said['text']}”")
    if said["verdict"] == NOT_RETRIEVED:
        return lines + _words_of_search(said)
    lines += [f"Found by {', '.join(said['sources'])}."] if said.get("sources") else []
    lines += [f"{proof['source']}: {words_of_proof(proof)}." for proof in said.get("proofs", [])]
    lines += sums(said)
    if said["verdict"] == SHOWN:
        return [*lines, f"Shown at place {said['rank']} of {said['page_size']}."]
    lines.append(f"Removed by {said['removed_by']} ({said['removed_by_kind']}): {said['does']}.")
    if said.get("saw"):
        lines.append("It saw: " + ", ".join(f"{name} = {_plain(value)}" for name, value in said["saw"].items()) + ".")
    for cut in said.get("cuts", []):
        pool = "all candidates" if cut["pool"] == "*" else cut["pool"]
        lines.append(f"  {pool}: place {cut['place']:,} of {cut['found']:,}; {cut['kept']:,} come through.")
    if "place" in said:
        by = said["cut_by"].replace("_", " ")
        lines.append(f"It stood at place {said['place']:,} by {by}; {said['kept']:,} come through.")
    return lines


def sums(said: Mapping[str, object]) -> list[str]:
    """The arithmetic of a score: each weight × p, the value, each boost. Takes an explanation or a row with `terms`."""
    lines = [f"light score {said['light_score']:.4g}"] if "light_score" in said else []
    terms = cast(Mapping[str, Term], said.get("terms", {}))
    lines += [f"  {t['weight']:>8g} × {t['p']:.5f} = {t['product']:+.5f}  {name}" for name, t in terms.items()]
    if terms:
        total = sum(term["product"] for term in terms.values())
        lines.append(f"  {'':>8}   {'sum':>7} = {total:+.5f}")
    if "value" in said:
        factors = "".join(f" × {factor:g} ({name})" for name, factor in _boosts(said).items() if factor != 1)
        score = f" = score {said['score']:.5g}" if "score" in said else ""
        lines.append(f"value {said['value']:.5g}{factors}{score}")
        why = cast(Mapping[str, str], said.get("causes", {}))
        lines += [f"  {why[name]}: × {factor:.4g}" for name, factor in _boosts(said).items() if name in why]
    return lines


def reason(row: Mapping[str, object], terms: Mapping[str, Term], why: Mapping[str, str] | None = None) -> str:
    """One line in plain words: where the tweet comes from, what makes its value, and what changed it afterwards.

    why: what boosts say for themselves (`causes`).
    """
    sources = cast(Sequence[str], row["sources"])
    parts = [" and ".join(_SOURCE_WORDS.get(name, f"found by {name}") for name in sources)]
    best = sorted((t for t in terms.items() if t[1]["product"] > 0), key=lambda item: -item[1]["product"])[:2]
    if best:
        chances = (f"{name.replace('_', ' ')} ({term['p']:.1%})" for name, term in best)
        parts.append("value mostly from " + ", ".join(chances))
    changed = [
        f"{why[name]} × {factor:.4g}" if why and name in why else f"{name.replace('_', ' ')} ×{factor:.3g}"
        for name, factor in _boosts(row).items()
        if factor != 1
    ]
    parts.append(", ".join(changed))
    return "; ".join(part for part in parts if part)


def _words_of_search(said: Explanation) -> list[str]:
    if said["age_h"] <= 0:
        return [f"Not retrieved: it was written {-said['age_h']:.1f} h after the request."]
    lines = [f"Not retrieved. It was {said['age_h']:.1f} h old; no source had it among its best:"]
    for fact in said["searched"]:
        found = f"the {fact['found']:,} it found"
        if fact["place"] is None:
            lines.append(f"  {fact['source']}: not among {found} — {fact['does']}")
        else:
            lines.append(
                f"  {fact['source']}: place {fact['place']:,} of {found}, beyond its quota of {fact['quota']:,}"
            )
    return lines


def _boosts(row: Mapping[str, object]) -> Mapping[str, float]:
    return cast(Mapping[str, float], row.get("boosts", {}))


def _plain(value: float | int | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int) else f"{value:.4g}"
