"""One file a resource; a handler takes the body, calls a service and shapes the answer."""
