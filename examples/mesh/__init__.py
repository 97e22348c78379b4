"""Four nodes, twenty agents, one crash: the mesh to look at."""
