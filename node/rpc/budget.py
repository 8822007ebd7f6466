"""How much each client may ask, and hold: a bucket of units for each, filled at a steady rate, and places. No method is known here.

A request takes one unit, one more for each 64 KiB of it, and for each call in it what the table of methods says. A client is an IPv4
address or an IPv6 /64, which is what one subscriber gets; clients behind one proxy share a bucket, so a public service limits at its proxy
as well and raises the node's. The number of buckets is bounded: the one not used for longest goes first.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from node.rpc.errors import LIMIT_EXCEEDED, RpcError
from state.primitives.limits import RPC_CLIENTS_KNOWN_MAX

Spend = Callable[[int], None]  # raises `RpcError` when the client has asked too much


class Budgets:
    """Buckets of `units_per_s` and `burst`; a rate of 0 means no bound. `now` is a monotonic clock in seconds."""

    def __init__(self, units_per_s: int, burst: int, now: Callable[[], float]) -> None:
        self.refused = 0
        self._rate = units_per_s
        self._burst = max(burst, units_per_s)
        self._now = now
        self._buckets: dict[str, tuple[float, float]] = {}  # units left, at

    def set_bounds(self, units_per_s: int, burst: int) -> None:
        """From now on; what clients have left stays, within the new bound."""
        self._rate = units_per_s
        self._burst = max(burst, units_per_s)

    def spender_of(self, host: str) -> Spend:
        """What takes units of a client's bucket."""
        name = client_of(host)

        def spend(units: int) -> None:
            self._take(name, units)

        return spend

    def _take(self, name: str, units: int) -> None:
        if not self._rate:
            return
        now = self._now()
        left, at = self._buckets.pop(name, (float(self._burst), now))
        left = min(float(self._burst), left + (now - at) * self._rate)
        if left < units:
            self._put(name, left, now)
            self.refused += 1
            raise RpcError(LIMIT_EXCEEDED, f"more than {self._rate} units per second: try again in a moment")
        self._put(name, left - units, now)

    def _put(self, name: str, left: float, now: float) -> None:
        self._buckets[name] = left, now
        if len(self._buckets) > RPC_CLIENTS_KNOWN_MAX:
            del self._buckets[next(iter(self._buckets))]


class Places:
    """Places that clients keep for as long as they like: so many in all, so many for each. A bound of 0 for each means none.

    A client on this machine has no bound of its own: a proxy here makes everybody a local client, and bounds its clients itself.
    """

    def __init__(self, places_max: int, client_places_max: int) -> None:
        self._places_max = places_max
        self._client_places_max = client_places_max
        self._taken: dict[str, int] = {}

    def set_bounds(self, places_max: int, client_places_max: int) -> None:
        """From now on; who has a place keeps it."""
        self._places_max = places_max
        self._client_places_max = client_places_max

    def is_full(self) -> bool:
        """Whether there is no place for anybody."""
        return sum(self._taken.values()) >= self._places_max

    def is_full_for(self, client: str) -> bool:
        """Whether this client has as many as one may have, be there others or not."""
        return 0 < self._client_places_max <= self._taken.get(client, 0) and not is_of_this_machine(client)

    def take(self, client: str) -> bool:
        """Take a place if there is one."""
        if self.is_full() or self.is_full_for(client):
            return False
        self._taken[client] = self._taken.get(client, 0) + 1
        return True

    def give_back(self, client: str) -> None:
        """A place that was taken."""
        self._taken[client] -= 1
        if not self._taken[client]:
            del self._taken[client]


def client_of(host: str) -> str:
    """What counts as one client: an IPv4 address, an IPv6 /64 as "NET/64", or whatever else the text is; ::1 is one by itself."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host


def is_of_this_machine(client: str) -> bool:
    """Whether a client speaks from the loopback address."""
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False
