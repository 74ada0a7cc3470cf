"""HTTP on loopback."""

from __future__ import annotations

import httpx


def http_client(base_url: str = "", timeout: float = 5.0) -> httpx.Client:
    """Return an HTTP client for servers of the lab.

    No proxy of the environment may come between, and no certificates are read: that takes longer than a
    request, and nothing here speaks TLS.

    Parameters:
        base_url: what the addresses of requests begin with.
        timeout: seconds to connect, and to wait for each part of an answer.
    """
    return httpx.Client(base_url=base_url, timeout=timeout, trust_env=False, verify=False)  # noqa: S501


def answers(url: str) -> bool:
    """Whether an address answers with success."""
    with http_client() as http:
        try:
            return http.get(url).is_success
        except httpx.TransportError:
            return False
