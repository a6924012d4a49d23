"""Variable clustering: attributes that say the same, so that one of them may stand for all (domain.md, section 6).

The iterated principal components of SAS's PROC VARCLUS: the cluster whose second eigenvalue is largest is split along its first two
components, turned by quartimax, and every variable then goes to the component it shares most variance with, until none moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
_MOST_MOVES = 100  # a variable that two clusters claim alike might go to and fro


@dataclass(frozen=True)
class Member:
    """A variable of a cluster: its squared correlation with the own component, and with the next nearest one (0 if there is none)."""

    name: str
    own: float
    nearest: float

    @property
    def ratio(self) -> float:
        """(1 - own) / (1 - nearest): the lower, the better it stands for its cluster and for no other."""
        return (1 - self.own) / (1 - self.nearest) if self.nearest < 1 else float("inf")


@dataclass(frozen=True)
class VariableCluster:
    """Variables that vary together, best representative first; the eigenvalues of their correlations say how much is one thing."""

    members: tuple[Member, ...]
    eigenvalue: float
    second_eigenvalue: float

    @property
    def representative(self) -> Member:
        """The member that stands for all."""
        return self.members[0]


def cluster_variables(names: Sequence[str], correlations: Numbers, split_above: float = 1.0) -> tuple[VariableCluster, ...]:
    """Clusters of variables by their correlation matrix, in the order of their first variables.

    A cluster is split while its second eigenvalue is above `split_above`: 1 keeps what one component tells better than a variable
    of its own would; lower makes more and tighter clusters.
    """
    owner = np.zeros(len(names), dtype=np.int64)
    while (split := _split(correlations, owner, split_above)) is not None:
        owner = _settled(correlations, split)
    shared = _shared(correlations, owner)
    order = sorted(set(owner.tolist()), key=lambda cluster: int(np.flatnonzero(owner == cluster)[0]))
    return tuple(_cluster(names, correlations, shared, owner, cluster) for cluster in order)


def _cluster(names: Sequence[str], correlations: Numbers, shared: Numbers, owner: npt.NDArray[np.int64], cluster: int) -> VariableCluster:
    places = np.flatnonzero(owner == cluster)
    others = np.delete(shared, cluster, axis=1)
    members = [Member(names[int(i)], float(shared[i, cluster]), float(others[i].max(initial=0.0))) for i in places]
    values = np.append(_components(correlations, places)[0], 0.0)
    return VariableCluster(tuple(sorted(members, key=lambda m: (m.ratio, m.name))), float(values[0]), float(values[1]))


def _split(correlations: Numbers, owner: npt.NDArray[np.int64], split_above: float) -> npt.NDArray[np.int64] | None:
    """The clusters with the most divided one in two; None if none is divided enough."""
    seconds = [_second(correlations, np.flatnonzero(owner == cluster)) for cluster in range(int(owner.max()) + 1)]
    if max(seconds) <= split_above:
        return None
    places = np.flatnonzero(owner == int(np.argmax(seconds)))
    turned = _quartimax(_components(correlations, places)[1][:, :2])
    new = owner.copy()
    new[places[turned[:, 1] ** 2 > turned[:, 0] ** 2]] = owner.max() + 1
    return new if len(set(new.tolist())) > len(set(owner.tolist())) else None


def _settled(correlations: Numbers, owner: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Every variable with the component it shares most with; a cluster that lost all its variables is gone."""
    for _ in range(_MOST_MOVES):
        nearest = np.argmax(_shared(correlations, owner), axis=1)
        nearest = np.unique(nearest, return_inverse=True)[1]
        if (nearest == owner).all():
            break
        owner = nearest
    return owner


def _shared(correlations: Numbers, owner: npt.NDArray[np.int64]) -> Numbers:
    """Squared correlation of each variable (row) with the first component of each cluster (column)."""
    columns = []
    for cluster in range(int(owner.max()) + 1):
        places = np.flatnonzero(owner == cluster)
        values, vectors = _components(correlations, places)
        columns.append((correlations[:, places] @ vectors[:, 0]) ** 2 / values[0])
    return np.column_stack(columns)


def _components(correlations: Numbers, places: npt.NDArray[np.int64]) -> tuple[Numbers, Numbers]:
    """Eigenvalues and eigenvectors of some variables, largest first."""
    values, vectors = np.linalg.eigh(correlations[np.ix_(places, places)])
    return values[::-1], vectors[:, ::-1]


def _second(correlations: Numbers, places: npt.NDArray[np.int64]) -> float:
    return float(_components(correlations, places)[0][1]) if len(places) > 1 else 0.0


def _quartimax(loadings: Numbers) -> Numbers:
    """Two columns turned so that each row lies near one axis (Neuhaus and Wrigley 1954)."""
    x, y = loadings.T
    u, v = x**2 - y**2, 2 * x * y
    angle = np.arctan2(2 * (u @ v), u @ u - v @ v) / 4
    cos, sin = np.cos(angle), np.sin(angle)
    return np.column_stack([x * cos + y * sin, y * cos - x * sin])
