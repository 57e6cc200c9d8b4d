"""How much one network may ask for. In memory alone: what is remembered of anybody is gone within the hour."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

TIMES, WITHIN = 10, 3600.0
"""So many times in so many seconds."""
NETWORKS = 10_000
"""Networks remembered; beyond, those that asked longest ago are forgotten."""

_UNKNOWN = "unknown"


def network(peer: str | None, forwarded: Iterable[bytes]) -> str:
    """The network a request comes from, such as ``192.0.2.0/24`` or ``2001:db8:0:ff00::/56``; the address itself is not kept.

    `peer` is who is connected, `forwarded` the values of ``X-Forwarded-For``. They are believed, of the last hop alone, where the
    peer is on this very machine: a proxy put it there. What stands before it the client may have made up.
    """
    address = _address(peer or "")
    if address is None:
        return _UNKNOWN
    if address.is_loopback:
        last = b",".join(forwarded).rpartition(b",")[2].decode("latin-1")
        address = _address(last) or address
    return str(ip_network((address, 24 if address.version == 4 else 56), strict=False))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


class Budget:
    """`TIMES` requests `WITHIN` so many seconds for each network."""

    def __init__(self) -> None:
        self._spent: OrderedDict[str, deque[float]] = OrderedDict()

    def allows(self, who: str, *, at: float) -> bool:
        """Whether this network may ask once more; then it is counted. `at` is in seconds of a clock that only goes on."""
        spent = self._spent.setdefault(who, deque())
        self._spent.move_to_end(who)
        while spent and spent[0] <= at - WITHIN:
            spent.popleft()
        if len(spent) >= TIMES:
            return False
        spent.append(at)
        if len(self._spent) > NETWORKS:
            self._spent.popitem(last=False)
        return True
