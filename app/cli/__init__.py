"""The command line: a thin client of the REST interface.

A verb parses its words, makes one request or a few, and shapes the answer. It does not know
whether a running node answers over its control socket or one that was opened for this verb
alone (`connection.py`). Modules of verbs are imported when their verb is called, not before,
so that a call starts quickly.
"""
