"""The tables, networks and bookkeeping of `bench.real_ranking`, on hand-made logs."""

from __future__ import annotations

import gzip
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bench import real_ranking
from bench.real_networks import MODELS, Settings
from bench.real_tables import KUAIRAND, KUAIRAND_LABELS, LOGS, OF_USERS, OF_VIDEOS, Fields, kuairand, movielens
from funnel.learn.metrics import auc

LEAKS = ("play_time_ms", "watch_ratio", "finish", "like", "long_watch", "is_positive", "profile_stay_time",
         "comment_stay_time", *KUAIRAND_LABELS)  # fmt: skip


def kuairand_folder(folder: Path, *, last_user: int = 1) -> Path:
    """Four impressions on 3, 4, 6 and 7 May by users 0, 0, 0 and `last_user`."""
    days = (20220503, 20220504, 20220506, 20220507)
    log = pl.DataFrame({
        "user_id": [0, 0, 0, last_user], "video_id": [0, 0, 1, 1], "date": days, "hourmin": [100, 1200, 100, 2300],
        "time_ms": [1, 2, 3, 4], "duration_ms": [10_000, 20_000, 10_000, 5_000], "tab": [1, 1, 1, 4],
        "play_time_ms": [9, 9, 9, 9], **{name: [0, 1, 0, 1] for name in KUAIRAND_LABELS},
    })  # fmt: skip
    log[2:].write_parquet(folder / LOGS[1])
    log[:2].write_parquet(folder / LOGS[0])
    people = pl.DataFrame({"user_id": [0, 1], **{name: ["a", "b"] for name in OF_USERS}})
    videos = pl.DataFrame({
        "video_id": [0, 1], "upload_dt": ["2022-05-01", "2022-05-01"], **{name: ["x", "y"] for name in OF_VIDEOS}
    })  # fmt: skip
    for name, frame in (("user_features_pure", people), ("video_features_basic_pure", videos)):
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(frame.write_csv().encode()))
    return folder


def planted(rows: int = 4000) -> Fields:
    """Two fields of five codes; the answer is whether they are equal, which neither says alone."""
    draw = np.random.Generator(np.random.Philox(0))
    codes = draw.integers(0, 5, (rows, 2)).astype(np.int64)
    label = (codes[:, 0] == codes[:, 1]).astype(np.float32)
    return Fields(
        codes, (5, 5), ("a", "b"), np.stack([label, 1 - label], 1), ("is_click", "long_view"), rows // 2, rows // 2
    )


def test_no_outcome_is_a_field(tmp_path: Path) -> None:
    made = kuairand(kuairand_folder(tmp_path))
    assert not set(made.names) & set(LEAKS)
    assert made.labels.shape == (4, 8)
    assert (made.validated, made.tested) == (1, 2)


def test_codes_know_the_rows_to_learn_from_alone(tmp_path: Path) -> None:
    made = kuairand(kuairand_folder(tmp_path))
    user = made.names.index("user_id")
    assert made.codes[:, user].tolist() == [1, 1, 1, 0]  # user 1 is first seen in the test
    other = tmp_path / "other"
    other.mkdir()
    changed = kuairand(kuairand_folder(other, last_user=0))
    assert (made.codes[:3] == changed.codes[:3]).all()
    assert made.sizes == changed.sizes


def test_when_settings_are_chosen_the_test_rows_are_not_among_what_is_judged(tmp_path: Path) -> None:
    made = kuairand(kuairand_folder(tmp_path), tuning=True)
    assert made.slices(tuning=True) == (slice(0, 1), slice(1, 2))
    assert made.slices(tuning=False) == (slice(0, 2), slice(2, 4))


def test_a_good_rating_has_four_stars(tmp_path: Path) -> None:
    rows = "".join(f"1,{film},{stars},{1_000_000_000 + film}\n" for film, stars in enumerate((5.0, 3.5, 4.0, 0.5, 4.5)))
    (tmp_path / "ratings.csv.gz").write_bytes(gzip.compress(f"userId,movieId,rating,timestamp\n{rows}".encode()))
    films = "".join(f'{film},"Film (19{film}0)",Drama|War\n' for film in range(5))
    (tmp_path / "movies.csv.gz").write_bytes(gzip.compress(f"movieId,title,genres\n{films}".encode()))
    made = movielens(tmp_path)
    assert made.labels[:, 0].tolist() == [1, 0, 1, 0, 1]
    assert (made.validated, made.tested) == (4, 4)
    assert "rating" not in made.names


@pytest.mark.parametrize("model", MODELS)
def test_a_network_learns_what_two_fields_say_together(model: str) -> None:
    if model not in real_ranking.OURS:
        pytest.importorskip("torch_rechub")
    fields = planted()
    settings = Settings(0.02, epochs=20, batch_size=128)
    tasks = fields.tasks if model in real_ranking.OURS else fields.tasks[:1]
    logits, took = real_ranking.learnt(model, fields, tasks, settings, seed=0, tuning=False)
    assert auc(fields.labels[fields.tested :, 0], logits[:, 0]) > 0.95
    assert took > 0


def test_the_same_seed_gives_the_same_logits_and_another_does_not() -> None:
    fields, settings = planted(512), Settings(0.01, epochs=1, batch_size=64)
    first, again, other = (
        real_ranking.learnt("masknet", fields, fields.tasks, settings, seed=seed, tuning=False)[0] for seed in (0, 0, 1)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_what_is_finished_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUNNEL_HOME", str(tmp_path))
    monkeypatch.setattr(real_ranking, "tables", lambda *_, **__: planted(512))
    monkeypatch.setitem(real_ranking.CHOSEN, "kuairand-pure-2w", {"mlp": Settings(0.01, epochs=1, batch_size=64)})
    progress = real_ranking.SILENT
    first = real_ranking.measure("kuairand-pure-2w", ["mlp"], [0, 1], again=False, progress=progress)
    monkeypatch.setattr(real_ranking, "learnt", lambda *_, **__: pytest.fail("trained again"))
    assert real_ranking.measure("kuairand-pure-2w", ["mlp"], [0, 1], again=False, progress=progress) == first
    assert first[0]["seeds"] == 2
    monkeypatch.setitem(real_ranking.CHOSEN, "kuairand-pure-2w", {"mlp": Settings(0.02, epochs=1, batch_size=64)})
    with pytest.raises(pytest.fail.Exception):  # other settings: what is kept does not count
        real_ranking.measure("kuairand-pure-2w", ["mlp"], [0], again=False, progress=progress)


def test_settings_are_tried_on_the_validation_slice_and_averaged_over_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUNNEL_HOME", str(tmp_path))
    monkeypatch.setattr(real_ranking, "tables", lambda *_, **__: planted(512))
    tried = []

    def scored(
        name: str, model: str, fields: Fields, settings: Settings, *, seed: int, tuning: bool, **_: object
    ) -> real_ranking.Row:
        assert tuning
        tried.append(seed)
        found = dict.fromkeys(("is_click", "long_view"), settings.rate + 0.1 * seed)
        return {"settings": asdict(settings), "auc": found}

    monkeypatch.setattr(real_ranking, "scored", scored)
    for _ in range(2):  # what is finished is not tried again
        rows = real_ranking.tune(KUAIRAND, ["mlp"], [0, 1], again=False, progress=real_ranking.SILENT)
    assert len(rows) == len(real_ranking.BATCHES) * len(real_ranking.PASSES) * len(real_ranking.RATES)
    assert len(tried) == 2 * len(rows)
    assert all(row["is_click"] == pytest.approx(row["rate"] + 0.05) for row in rows)  # the mean of + 0 and + 0.1


def test_the_table_shows_spread_and_reference() -> None:
    rows = [real_ranking._over_seeds("masknet", [
        {"settings": {"rate": 0.001, "epochs": 1, "batch_size": 256}, "networks": 1, "epoch_processor_s": 2.0,
         "auc": {"is_click": value}, "rce": {"is_click": 1.0}} for value in (0.73, 0.74)
    ])]  # fmt: skip
    lines = real_ranking.table("kuairand-pure-2w", rows).splitlines()
    assert lines[2] == "| masknet | 0.7350 ± 0.0071 | 0.001, 1, 256 | 2.0 |"  # sd of two: 0.01 / √2
    assert lines[3].startswith("| reference MLP 128-64 | 0.734 |")
