"""Let functions of a network take a fitted estimator of `cgru.sklearn`, which stands above them."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

__all__ = ["Estimator", "network_of", "with_inputs"]


@runtime_checkable
class Estimator(Protocol):
    """A fitted estimator of `cgru.sklearn`."""

    def sole_network(self) -> Any:
        """Return its network; ValueError for an ensemble and before the first fit."""

    def network_inputs(self, X: Any) -> Any:
        """Return X as the network takes it."""


def network_of(net: Any) -> Any:
    """Return the network of a fitted estimator, anything else as it is; ValueError for an ensemble."""
    return net.sole_network() if isinstance(net, Estimator) else net


def with_inputs(net: Any, X: Any, lengths: Any) -> tuple[Any, Any, Any]:
    """Return (network, X, lengths) for a fitted estimator and X as it takes it; anything else comes back as it is.

    Raises:
        TypeError, ValueError: X does not fit the estimator, `lengths` stand beside one, or `network_of` refuses it.
    """
    if not isinstance(net, Estimator):
        return net, X, lengths
    if lengths is not None:
        raise ValueError("lengths: expected None beside an estimator, which takes a list of sequences, got some")
    return network_of(net), net.network_inputs(X), None
