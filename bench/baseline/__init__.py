"""What the node is compared with: the same tables, text index and log row, and nothing else.

No HTTP in the raw loop, no merge, no hash chain, no digest anywhere: a ratio against these shows
what the whole service costs beside the bare store.
"""
