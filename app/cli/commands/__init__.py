"""The verbs, one file a group; `app.cli.program` lists them."""
