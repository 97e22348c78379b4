"""From a question to a ranked answer: legs side by side, fusion, budget, trace.

Knows retrievers, fetcher and embedder by their ports only; it must not know
which store or which surface it works for, nor read settings.
"""
