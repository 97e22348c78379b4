"""The write engine: from queued commands to rows, the same for every store.

An adapter gives it transactions (`port`) and renders its statements (`statements`).
"""
