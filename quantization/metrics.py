"""The metrics of GLUE, each from the model's float outputs and the labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import EvaluationError


def accuracy(classes: NDArray[np.int64], labels: NDArray[np.float64]) -> float:
    """The share of right classes."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(labels.astype(np.int64), classes))


def matthews(classes: NDArray[np.int64], labels: NDArray[np.float64]) -> float:
    """Matthews' correlation coefficient, -1 to 1."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels.astype(np.int64), classes))


def spearman(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """Spearman's rank correlation, -1 to 1; raises EvaluationError where it is undefined."""
    from scipy.stats import spearmanr

    if np.ptp(scores) == 0 or np.ptp(labels) == 0:
        raise EvaluationError(
            f"Spearman's correlation of {len(scores)} equal scores or labels is undefined; take more examples"
        )
    return float(spearmanr(scores, labels).statistic)


def predicted_classes(logits: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The class of the largest of ``count`` logits a row; raises EvaluationError if there are not so many."""
    if logits.ndim != 2 or logits.shape[1] != count:
        raise EvaluationError(
            f"the task has {count} classes, the model's outputs have shape {list(logits.shape)}; "
            "evaluate a model with a classification head trained for it"
        )
    return logits.argmax(axis=1)


def predicted_scores(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """One score a row: a regression's output, or the expected class under a classifier's softmax."""
    from scipy.special import softmax

    if logits.ndim != 2:
        raise EvaluationError(f"one row of outputs a pair is needed, their shape is {list(logits.shape)}")
    if logits.shape[1] == 1:
        return logits[:, 0].astype(np.float64)
    return softmax(logits.astype(np.float64), axis=1) @ np.arange(logits.shape[1])


def cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """The cosine of each pair of rows; 0 where a row is zero."""
    products = np.einsum("ij,ij->i", first, second, dtype=np.float64)
    norms = np.linalg.norm(first.astype(np.float64), axis=1) * np.linalg.norm(second.astype(np.float64), axis=1)
    return products / np.where(norms == 0, 1, norms)
