"""What kind of question is this? A small text classifier that also says when it does not know the kind at all.

Multinomial logistic regression on hashed words, word pairs and shape (digits are all 0), fitted on calibration
questions whose kind is known. Logistic regression answers even where it has never seen anything alike, so a second
measure stands beside it: *familiarity*, the share of a question's word pairs and triples that belong to the guessed
kind's template (what at least two of its questions share). Below a threshold that nearly all questions of the kind
pass when left out themselves, the guess is unsure. Single words do not count there: "what", "is" and "the" made a
question about France as familiar as one about dates.

Words do not tell a number within what was measured from one far beyond it: `reach` does that.

Knows nothing of nodes or skills. Invariants: the same questions give the same classifier on every machine (CRC-32,
never Python's salted hash); only the first `TEXT_CHARS` characters of a question count; about 8 kB per kind as JSON.
"""

import re
from collections import Counter
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import log_softmax, softmax

from waggle.core.errors import NotConverged, UsageError
from waggle.routing.reach import Span, span_of

FloatArray = NDArray[np.float64]

BINS = 4096
"""Hash bins; 20 questions each of 10 kinds filled two fifths."""
TEXT_CHARS = 4000
"""A kind shows in its first page, and a stranger decides how long a question is."""
RIDGE = 1e-3
"""L2 penalty per question. 1e-4 to 1e-1 all sorted 400 held-out questions of 10 kinds without a fault; their log
loss was 0.02, 0.10, 0.55, 1.81. Not the lowest: real questions of a kind vary more than generated ones."""
TEMPLATE_GRAMS = 500
"""Pairs and triples remembered per kind, the most frequent; 4 bytes each."""
TEMPLATE_QUESTIONS = 2
"""A template is what at least this many *other* questions say too."""
THRESHOLD_QUANTILE = 0.02
"""Share of a kind's own questions that may pass for unknown."""
LEAST_THRESHOLD = 0.3
"""Common pairs (what is, is the) made a strange question 0.27 familiar; also for kinds with too few questions."""

_TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s]")


class KindGuess(Struct, frozen=True, kw_only=True):
    """What a question seems to be.

    `probabilities` has one entry per kind and sums to 1; `familiarity` in [0, 1] as in the module's text. `certainty`
    in [0, 1] is how far the probabilities may be trusted at all: 1 from the kind's threshold on, falling to 0 at half
    of it; less beyond the span of the kind's questions.
    """

    probabilities: dict[str, float]
    familiarity: float
    certainty: float

    @property
    def kind(self) -> str:
        """The most probable kind, sure or not."""
        return max(self.probabilities, key=lambda kind: self.probabilities[kind])


class KindClassifier(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fitted classifier. K = kinds; one entry per kind everywhere.

    `weights`: K x BINS signed bytes, each row times its entry in `scales`. `templates`: hashes of pairs and triples,
    4 bytes each, little-endian, ascending. `thresholds`: familiarity from which on a question is known. `spans`: how
    far the questions reach; none where that was not noted.
    """

    kinds: tuple[str, ...]
    weights: bytes
    scales: tuple[float, ...]
    intercepts: tuple[float, ...]
    templates: tuple[bytes, ...]
    thresholds: tuple[float, ...]
    spans: tuple[Span, ...] = ()

    def __post_init__(self) -> None:
        rows = (self.scales, self.intercepts, self.templates, self.thresholds)
        if not self.kinds or any(len(row) != len(self.kinds) for row in (*rows, self.spans or self.kinds)):
            raise ValueError("a kind classifier has one entry per kind in every field, and at least one kind")
        if len(self.weights) != len(self.kinds) * BINS or any(len(template) % 4 for template in self.templates):
            raise ValueError("a kind classifier's weights or templates are cut off")

    def guess(self, question: str) -> KindGuess:
        """Infer the kind of one question."""
        columns, runs = _bins(question), _hashes(_runs(question, 2, 3))
        weights = np.frombuffer(self.weights, dtype=np.int8).reshape(len(self.kinds), BINS)[:, columns]
        score = weights.sum(axis=1) * np.array(self.scales) / np.sqrt(len(columns)) + np.array(self.intercepts)
        probabilities = softmax(score)
        best = int(np.argmax(probabilities))
        template = np.frombuffer(self.templates[best], dtype="<u4")
        familiarity = float(np.isin(runs, template).mean()) if len(runs) else 0.0
        certainty = min(1.0, max(0.0, 2 * familiarity / self.thresholds[best] - 1))
        return KindGuess(
            probabilities=dict(zip(self.kinds, probabilities.tolist(), strict=True)),
            familiarity=familiarity,
            certainty=certainty * (self.spans[best].holds(question[:TEXT_CHARS]) if self.spans else 1.0),
        )


def fit_kinds(questions: Sequence[tuple[str, str]], further: Sequence[tuple[str, str]] = ()) -> KindClassifier:
    """Fit a classifier on calibration questions.

    Args:
        questions: (text, kind) pairs; 20 or more per kind make a useful threshold.
        further: others of the same kinds that something was measured on; they widen the spans and do nothing else.

    Returns:
        Deterministic, whatever the order of the questions (to rounding).

    Raises:
        UsageError: no questions.
        NotConverged: the optimiser gave up.
    """
    known = sorted(set(questions), key=lambda question: question[::-1])
    if not known:
        raise UsageError("a kind classifier needs calibration questions; there are none")
    kinds = tuple(sorted({kind for _, kind in known}))
    label = np.array([kinds.index(kind) for _, kind in known])
    weights, intercepts = _fit_logistic(_design([text for text, _ in known]), label, len(kinds))
    scales = np.maximum(np.abs(weights).max(axis=1), 1e-12) / 127
    templates = [_template([text for text, other in known if other == kind]) for kind in kinds]
    return KindClassifier(
        kinds=kinds,
        weights=np.round(weights / scales[:, None]).astype(np.int8).tobytes(),
        scales=tuple(scales.tolist()),
        intercepts=tuple(intercepts.tolist()),
        templates=tuple(hashes.astype("<u4").tobytes() for hashes, _ in templates),
        thresholds=tuple(threshold for _, threshold in templates),
        spans=tuple(span_of([text for text, other in (*known, *further) if other == kind]) for kind in kinds),
    )


def _runs(text: str, *lengths: int) -> set[str]:
    """Runs of so many successive words; every run of digits is the word 0, every other sign one word."""
    words = ["0" if word[0].isdigit() else word for word in _TOKEN.findall(text[:TEXT_CHARS].casefold())]
    return {" ".join(words[start : start + n]) for n in lengths for start in range(len(words) - n + 1)}


def _shape(text: str) -> set[str]:
    """Length, lines and share of digits, roughly, as words that no text contains."""
    page = text[:TEXT_CHARS]
    digits = sum(character.isdigit() for character in page)
    length, lines = len(page).bit_length(), page.count("\n").bit_length()
    return {f"\0length {length}", f"\0lines {lines}", f"\0digits {8 * digits // max(1, len(page))}"}


def _hashes(runs: set[str]) -> NDArray[np.uint32]:
    return np.array(sorted({crc32(run.encode("utf-8", "replace")) for run in runs}), dtype=np.uint32)


def _bins(text: str) -> NDArray[np.int64]:
    """The bins of a text's words, pairs and shape, ascending; the shape is always there, so never empty."""
    return np.unique(_hashes(_runs(text, 1, 2) | _shape(text)).astype(np.int64) % BINS)


def _design(texts: Sequence[str]) -> csr_array:
    """One row of unit length per text, shape (N, BINS): which bins its words, pairs and shape fall into."""
    columns = [_bins(text) for text in texts]
    values = np.concatenate([np.full(len(row), 1 / np.sqrt(len(row))) for row in columns])
    ends = np.cumsum([0, *(len(row) for row in columns)])
    return csr_array((values, np.concatenate(columns), ends), shape=(len(texts), BINS))


def _fit_logistic(design: csr_array, label: NDArray[np.int64], kinds: int) -> tuple[FloatArray, FloatArray]:
    """Weights of shape (K, BINS) and intercepts of shape (K,): mean cross-entropy plus RIDGE / 2 |weights|^2."""
    n = len(label)
    target = np.eye(kinds)[label]
    filled = np.unique(design.indices)  # the weight of an empty bin is 0
    rows = design[:, filled]
    columns = csr_array(rows.T)

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        beta = flat.reshape(len(filled) + 1, kinds)
        logs = log_softmax(rows @ beta[:-1] + beta[-1], axis=1)
        surplus = (np.exp(logs) - target) / n
        slope = np.vstack([columns @ surplus + RIDGE * beta[:-1], surplus.sum(axis=0)])
        return float(RIDGE / 2 * np.sum(beta[:-1] ** 2) - np.sum(target * logs) / n), slope.ravel()

    found = minimize(loss, np.zeros((len(filled) + 1) * kinds), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    if not found.success:
        raise NotConverged(f"kind classifier: {found.message}")
    beta = np.asarray(found.x, dtype=np.float64).reshape(len(filled) + 1, kinds)
    weights = np.zeros((kinds, BINS))
    weights[:, filled] = beta[:-1].T
    return weights, beta[-1]


def _template(texts: Sequence[str]) -> tuple[NDArray[np.uint32], float]:
    """What the questions of one kind share, and how familiar nearly all of them are when they do not count."""
    each = [_hashes(_runs(text, 2, 3)) for text in texts]
    seen = Counter(number for hashes in each for number in hashes.tolist())
    common = sorted(seen, key=lambda number: (-seen[number], number))[:TEMPLATE_GRAMS]
    shared = {number: seen[number] for number in common if seen[number] >= TEMPLATE_QUESTIONS}
    left_out = [np.mean([shared.get(number, 0) > TEMPLATE_QUESTIONS for number in row]) for row in each if len(row)]
    threshold = float(np.quantile(left_out, THRESHOLD_QUANTILE)) if left_out else 0.0
    return np.array(sorted(shared), dtype=np.uint32), max(threshold, LEAST_THRESHOLD)
