"""Let functions that take a network also take a fitted estimator of `cgru.sklearn`, without importing that."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

__all__ = ["Estimator", "network_of", "with_inputs"]


@runtime_checkable
class Estimator(Protocol):
    """The protocol of a fitted estimator of `cgru.sklearn`."""

    def sole_network(self) -> Any:
        """Return the estimator's network; ValueError for an ensemble, and before the first fit."""

    def network_inputs(self, X: Any) -> Any:
        """Return X in the form in which the network takes it."""


def network_of(net: Any) -> Any:
    """Return the network of a fitted estimator; anything else is returned unchanged. ValueError for an ensemble."""
    return net.sole_network() if isinstance(net, Estimator) else net


def with_inputs(net: Any, X: Any, lengths: Any) -> tuple[Any, Any, Any]:
    """Return (network, X, lengths) for a fitted estimator and its X; other arguments are returned unchanged.

    Raises:
        TypeError, ValueError: X does not fit the estimator, `lengths` stand beside one, or `network_of` refuses it.
    """
    if not isinstance(net, Estimator):
        return net, X, lengths
    if lengths is not None:
        raise ValueError("lengths: expected None with an estimator, which takes a list of sequences, got some")
    return network_of(net), net.network_inputs(X), None
