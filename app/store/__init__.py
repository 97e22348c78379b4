"""Where state lives: the tables, the migrations' entrance, the `Store` protocol and its adapters.

What the rows mean and how two versions of one merge is `app.log`'s business; who may read or write
them is decided above. Nothing here knows of HTTP, peers or configuration.
"""
