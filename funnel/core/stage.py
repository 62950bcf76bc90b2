"""The jobs a stage can have: return the least that says the answer; the runner keeps the books.

A stage is a pydantic dataclass in a file of its own; its fields are its configuration and the file's
name is the stage's name:

    @dataclass(config=STRICT, kw_only=True)
    class MaxAge(Filter):
        \"\"\"Removes tweets older than a limit.\"\"\"

        needs = ("age_h",)
        hours: float = Field(48.0, gt=0, description="oldest age that stays, hours")

        def keep(self, batch: CandidateBatch) -> Bools:
            return batch["age_h"] <= self.hours

`needs` names columns: features (`funnel.features`), columns that an earlier stage `adds`, or what
the runner always has: `tweet`, `author`, `score` (after the value), `from.<source>` and
`source_score.<source>`. `requires` names assets of batch jobs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from funnel.core.arrays import Array, Bools, Floats, Longs
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.page import MixedPages
from funnel.core.progress import SILENT, Progress
from funnel.core.world import PlatformView

if TYPE_CHECKING:
    from pydantic import ConfigDict

# Pydantic's configuration of every stage: an unknown setting is an error. A plain dict, so that core needs no pydantic.
STRICT: ConfigDict = {"extra": "forbid"}


class Configured(ABC):
    """Anything that a YAML file can name: its name is the name of its file (or package)."""

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        """The name used in configurations and traces."""
        parts = type(self).__module__.split(".")
        return parts[-1]


class Stage(Configured):
    """One step of the funnel."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that must be there; features among them are hydrated on demand."""
        return ()

    @property
    def adds(self) -> tuple[str, ...]:
        """Columns that this stage adds."""
        return ()

    @property
    def requires(self) -> tuple[str, ...]:
        """Assets that it reads itself (features declare their own)."""
        return ()


class Source(Stage):
    """Finds candidates for requests.

    gated: finds nothing for many viewers, and that is as it should be; of any other source it is worth a warning.
    """

    kind = "source"
    gated: ClassVar[bool] = False

    @abstractmethod
    def retrieve(self, requests: Requests) -> CandidateBatch:
        """Columns `tweet` int32 and `source_score` float32 (higher is better); each tweet once a request."""


@runtime_checkable
class GivesProofs(Protocol):
    """A source that can say who stands behind a tweet that it found. Asked when explaining, never while serving."""

    def proofs(self, requests: Requests, request: int, tweet: int) -> list[tuple[str, int]]:
        """(action, user): who did what with the tweet, by weight in the question of request number `request`."""


@runtime_checkable
class ClosesSources(Protocol):
    """A source that can make it needless to ask another one for some requests."""

    def closed(self, requests: Requests, source: str) -> Bools:
        """bool [R]: requests for which the source of that name is not asked."""


class Filter(Stage):
    """Decides what stays, row by row unless it says list-wise; the reason of a removal is the stage's name.

    A row-wise filter may be asked about rows that a filter before it has removed; the first that says no is the reason.
    """

    kind = "filter"
    list_wise: ClassVar[bool] = False

    @abstractmethod
    def keep(self, batch: CandidateBatch) -> Bools:
        """bool [n]: whether the candidate stays."""


class Scorer(Stage):
    """Adds numbers to candidates; looks at its row and the request, never at the company it keeps."""

    kind = "scorer"

    @abstractmethod
    def score(self, batch: CandidateBatch) -> dict[str, Floats]:
        """float32 [n] for each name of `adds`, finite."""


class Boost(Stage):
    """Multiplies the score by a factor above 0; list-wise if it says so."""

    kind = "boost"
    list_wise: ClassVar[bool] = False

    @abstractmethod
    def factor(self, batch: CandidateBatch) -> Floats:
        """float32 [n], > 0."""


class Selector(Stage):
    """Orders the page and cuts it."""

    kind = "selector"

    @abstractmethod
    def order(self, batch: CandidateBatch) -> Longs:
        """int64 [m]: the rows that stay, request by request, in the order of the page."""


class Mixer(Stage):
    """Puts modules between the tweets of a page, whose order it cannot change."""

    kind = "mixer"

    @abstractmethod
    def insert(self, pages: MixedPages) -> MixedPages:
        """The same tweets with more modules; `pages.tweets` has the columns that the stage needs."""


class BatchJob(Configured):
    """Computes assets from the view at its own cadence, for sources and features to read."""

    kind = "job"

    @property
    @abstractmethod
    def provides(self) -> tuple[str, ...]:
        """Names of the assets, `<job>.<what>`."""

    @property
    def requires(self) -> tuple[str, ...]:
        """Assets of other jobs that must be made before."""
        return ()

    @abstractmethod
    def run(self, view: PlatformView, *, seed: int, progress: Progress = SILENT) -> dict[str, Array]:
        """The assets, as arrays."""


class Learned(ABC):
    """A stage that learns from logged data and can be stored without pickle."""

    @abstractmethod
    def fit(self, view: PlatformView, *, seed: int, progress: Progress = SILENT, log_dir: Path | None = None) -> None:
        """Learn from what the view has logged before its moment; log_dir is for training curves."""

    @abstractmethod
    def state(self) -> dict[str, Array]:
        """What was learnt, as arrays; NotFittedError before `fit`."""

    @abstractmethod
    def restore(self, state: dict[str, Array]) -> None:
        """Take up what `state` gave; DataError if it is of another architecture."""


class Taught(ABC):
    """A stage that learns from a teacher: the value that the rest of its funnel gives to retrieved candidates.

    It is taught after everything else has learnt (docs/adr/008-a-distilled-stage-is-taught-last.md).
    """

    @property
    @abstractmethod
    def lessons(self) -> int:
        """How many requests' candidates it wants to be taught on."""

    @abstractmethod
    def teach(self, batch: CandidateBatch, value: Floats, *, seed: int, progress: Progress = SILENT) -> None:
        """Learn to say what the teacher says; value: float32 [n], >= 0, of each candidate of the batch."""

    @abstractmethod
    def state(self) -> dict[str, Array]:
        """What was learnt, as arrays; NotFittedError before `teach`."""

    @abstractmethod
    def restore(self, state: dict[str, Array]) -> None:
        """Take up what `state` gave; DataError if it is of another architecture."""
