"""What unsupervised methods find in the data, on the host: clusters, an anchor graph, pools of items.

Nothing here is ever [N, N]: the graph is its items' p nearest centres, and its rows are made a block at a time.
"""

from jhash.structure.anchor_graph import AnchorGraph, anchor_graph, row_statistics, shares_centre
from jhash.structure.kmeans import KMeans, kmeans, nearest_centres, pca
from jhash.structure.pools import gaussian_adaptive_pools, graph_report, mcmsh_pools, weighted_pools

__all__ = [
    "AnchorGraph",
    "KMeans",
    "anchor_graph",
    "gaussian_adaptive_pools",
    "graph_report",
    "kmeans",
    "mcmsh_pools",
    "nearest_centres",
    "pca",
    "row_statistics",
    "shares_centre",
    "weighted_pools",
]
