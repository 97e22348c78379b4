"""HTTP: routes, bodies, identity and errors. It parses, calls one service and shapes the answer.

It knows no store and no settings; what it needs comes as `ApiOptions` and `Services`.
"""
