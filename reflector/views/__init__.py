"""The HTTP and WebSocket API, one module per kind of resource."""
