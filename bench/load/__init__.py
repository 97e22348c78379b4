"""Load over HTTP: `wrk` drives the node and the baseline server with memories of their own."""
