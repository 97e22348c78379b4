"""The composition root: from resolved settings to a running node, closed in reverse.

The only place that knows every part. `node.py` tells the story; `compose.py`
builds the services; `embedding.py` and `sources.py` bring the outside in.
"""
