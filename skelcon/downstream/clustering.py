"""Clustering: k-means of the features of frozen encoders, compared with the classes."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch.nn import functional

from skelcon.downstream.config import ClusteringConfig
from skelcon.downstream.inputs import Inputs
from skelcon.downstream.result import EvaluationResult
from skelcon.seeding import derive


def clustering(inputs: Inputs, config: ClusteringConfig) -> EvaluationResult:
    """K-means of the test side, on features of unit length, with a cluster for each of its classes.

    Returns:
        ``top1``, the share of clips whose cluster is matched to their class; ``nmi``, the mutual
        information of clusters and classes divided by the mean of their entropies; and ``ari``,
        the adjusted Rand index, about 0 for random clusters and possibly negative. A clip's
        prediction is the class that its cluster is matched to (:func:`matched_classes`).
    """
    features = inputs.features(inputs.test, config.test_ratio, config.precision)
    points = functional.normalize(features, dim=1).cpu().numpy()
    labels = inputs.bank.labels[inputs.test].cpu().numpy()
    means = KMeans(
        len(np.unique(labels)),
        n_init=config.restarts,
        max_iter=config.iterations,
        random_state=derive(inputs.seed, "clustering") % 2**32,
    )
    with warnings.catch_warnings():
        # Of collapsed features, which have fewer distinct points than clusters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters = means.fit_predict(points)
    predicted = matched_classes(clusters, labels)
    metrics = {
        "top1": float(np.mean(predicted == labels)),
        "nmi": float(normalized_mutual_info_score(labels, clusters)),
        "ari": float(adjusted_rand_score(labels, clusters)),
    }
    return EvaluationResult(metrics, inputs.test.cpu().numpy(), labels, predicted)


def matched_classes(clusters: NDArray[np.integer], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class of each clip's cluster, where each cluster is matched to one class.

    The one-to-one matching with the most correct clips (Hungarian method).

    Args:
        clusters: (n,) below the number of distinct ``labels``.
        labels: (n,) classes.
    """
    classes, of_clip = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (clusters, of_clip), 1)
    _, matched = linear_sum_assignment(counts, maximize=True)
    found: NDArray[np.int64] = classes[matched][clusters]
    return found
