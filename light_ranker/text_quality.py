"""What rankers make of the bytes in which Earlybird keeps reputation and text quality.

A byte of −128 says that nobody judged the author or the text; such a one is taken for a mediocre one rather than for
the worst (twitter/the-algorithm, src/java/com/twitter/search/earlybird/search/relevance/scoring/
FeatureBasedScoringFunction.java and relevance/LinearScoringParams.java). The text's quality itself, with its five parts
and two dampings, is the feature `tweet.text_score` (funnel/features/text.py).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from funnel.core.arrays import Floats
from funnel.features.text import UNSET, text_parts, text_scores

GOODWILL = {"reputation": 17.0, "text_score": 19.0}


def with_goodwill(what: Literal["reputation", "text_score"], values: Floats) -> Floats:
    """float32 [n]: the same values, with goodwill where there is none."""
    return np.where(values == UNSET, np.float32(GOODWILL[what]), values).astype(np.float32)


__all__ = ["GOODWILL", "UNSET", "text_parts", "text_scores", "with_goodwill"]
