"""How the light ranker of notifications learns from the heavy ranker's values; needs torch, so only `teach` imports it.

twitter/the-algorithm, pushservice/src/main/python/models/light_ranking/deep_norm.py: cross-entropy, plain or weighted
by record, early stopping when the RCE of the task no longer grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from funnel.core import rng
from funnel.core.arrays import Array, Bools, Doubles, Floats, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.progress import SILENT, Progress
from funnel.core.segments import rank_in_group
from funnel.features import hydrate, matrix
from funnel.learn.metrics import rce
from funnel.learn.training import seeded
from light_ranker.push_model import PushModel, buckets
from light_ranker.push_network import PushNetwork

if TYPE_CHECKING:
    from light_ranker.push_light_ranker import PushLightRanker

TOP = 3  # meta.ranking.is_top3
HELD_OUT = 0.15  # of the requests, for early stopping
ROWS_AT_ONCE = 16_384  # hydrated, or passed through the network without gradients, together


@dataclass(frozen=True)
class Lessons:
    """values float32 [m, F] (not finite: none), ids int64 [m, S], label float32 [m] in [0, 1], weight float32 [m].

    held_out: bool [m].
    """

    values: Floats
    ids: Longs
    label: Floats
    weight: Floats
    held_out: Bools


def task_labels(batch: CandidateBatch, value: Floats, task: str) -> tuple[Floats, Doubles]:
    """(label float32 [n] in [0, 1], place float64 [n] in the heavy ranker's order of the request, 0 for the best).

    sent: the best of its request, which is what would be sent; top3: among its best three; distilled: the value, scaled
    to at most 1 if the teacher's values are no probabilities.
    """
    place = rank_in_group(batch.offsets, value, batch["tweet"]).astype(np.float64)
    if task == "distilled":
        largest = max(1.0, float(value.max(initial=0.0)))
        return (value / np.float32(largest)).astype(np.float32), place
    return (place < (1 if task == "sent" else TOP)).astype(np.float32), place


def record_weights(place: Doubles, *, smooth: float, least: float) -> Floats:
    """float32 [n]: 1 / (1 + place + smooth), at least `least`, at most 1."""
    return np.clip(1.0 / (1.0 + place + smooth), least, 1.0).astype(np.float32)


def lessons_of(batch: CandidateBatch, value: Floats, settings: PushLightRanker, seed: int) -> Lessons:
    """Candidates as examples; more than `max_examples` are thinned, request by request alike."""
    label, place = task_labels(batch, value, settings.task)
    asked = batch.requests
    drawn = rng.uniform(seed, "push light ranker: held out", asked.viewer, np.round(asked.now_h * 3.6e6))
    held_out = (drawn < HELD_OUT)[batch.request]
    rows = np.arange(len(batch))
    if rows.size > settings.max_examples:
        keys = rng.uniform(seed, "push light ranker: examples", batch.viewer, batch["tweet"], rows)
        rows = np.sort(np.argsort(keys)[: settings.max_examples])
    weight = np.ones(len(batch), np.float32)
    if settings.record_weight:
        weight = record_weights(place, smooth=settings.smooth_weight, least=settings.min_record_weight)
    values, ids = np.empty((rows.size, len(settings.features)), np.float32), []
    for begin in range(0, rows.size, ROWS_AT_ONCE):
        part = hydrate(batch.take(rows[begin : begin + ROWS_AT_ONCE]), settings.needs)
        values[begin : begin + len(part)] = matrix(part, settings.features)
        ids.append(buckets(settings.id_columns(part)))
    return Lessons(values, np.concatenate(ids), label[rows], weight[rows], held_out[rows])


def fit_push(
    batch: CandidateBatch, value: Floats, settings: PushLightRanker, *, seed: int, progress: Progress = SILENT
) -> PushModel:
    """The trained model; without candidates one that says one half of everything."""
    from light_ranker.push_light_ranker import TASKS

    task = np.array([TASKS.index(settings.task)], np.int64)
    with seeded(seed, "push light ranker: weights and dropout"):
        if not len(batch):
            none = np.empty(0, np.int64)
            network = PushNetwork(len(settings.features), none, settings.dropout, missing=settings.missing_branch)
            for parameter in network.head.parameters():
                nn.init.zeros_(parameter)
            return PushModel(network.arrays() | {"task": task})
        lessons = lessons_of(batch, value, settings, seed)
        known = np.unique(lessons.ids)
        network = PushNetwork(len(settings.features), known, settings.dropout, missing=settings.missing_branch)
        _train(network, lessons, settings, seed, progress)
    return PushModel(network.arrays() | {"task": task})


def _train(
    network: PushNetwork, lessons: Lessons, settings: PushLightRanker, seed: int, progress: Progress
) -> list[float]:
    """Train in place; the network ends with the weights of the best RCE on held-out requests, which is returned."""
    values, label, weight = (torch.from_numpy(part) for part in (lessons.values, lessons.label, lessons.weight))
    places = torch.from_numpy(np.searchsorted(network.known, lessons.ids))
    learning, judged = np.flatnonzero(~lessons.held_out), np.flatnonzero(lessons.held_out)
    if not learning.size or not judged.size:
        learning = judged = np.arange(lessons.label.size)
    size = min(settings.batch_size, learning.size)
    steps = max(1, learning.size // size)
    rate = settings.learning_rate
    optimizer = (
        torch.optim.SGD(network.parameters(), lr=rate)
        if settings.optimizer == "sgd"
        else torch.optim.Adam(network.parameters(), lr=rate)
    )
    total, said = settings.epochs * steps, []
    best: dict[str, Tensor] = {}
    with progress.bar("push light ranker", total) as bar:
        for epoch in range(settings.epochs):
            network.train()
            order = learning[rng.stream(seed, f"push light ranker: order, epoch {epoch}").permutation(learning.size)]
            for step in range(steps):
                rows = torch.from_numpy(order[step * size : (step + 1) * size])
                for group in optimizer.param_groups:
                    group["lr"] = rate * (1.0 - (epoch * steps + step) / total)
                optimizer.zero_grad(set_to_none=True)
                logits = network(values[rows], places[rows])
                loss = nn.functional.binary_cross_entropy_with_logits(logits, label[rows], reduction="none")
                (torch.sum(loss * weight[rows]) / weight[rows].sum()).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                bar.advance(1)
            said.append(_rce(network, values, places, label, judged))
            if said[-1] >= max(said):
                best = {name: part.clone() for name, part in network.state_dict().items()}
            if len(said) - 1 - int(np.argmax(said)) >= settings.patience:
                break
    network.load_state_dict(best)
    network.eval()
    return said


def _rce(network: PushNetwork, values: Tensor, places: Tensor, label: Tensor, rows: Array) -> float:
    """RCE of the task, unweighted; −inf where it does not exist, because all labels are the same."""
    network.eval()
    with torch.inference_mode():
        parts = [torch.from_numpy(rows[at : at + ROWS_AT_ONCE]) for at in range(0, rows.size, ROWS_AT_ONCE)]
        said = torch.cat([network(values[part], places[part]) for part in parts]).numpy()
    found = rce(label.numpy()[rows], said, from_logits=True)
    return found if np.isfinite(found) else -float("inf")
