"""`Pass`: one run of a layer, with its own caches, that can go back.

Any number of passes over one layer may be alive at once, on any threads. A pass owns what it needs: what is done to the
dicts that show its arrays does not reach it, but for numbers that are written into these arrays.
"""


cdef class Pass:
    """One run of a layer: what came out, what it keeps to go back, and after `backward` what that made.

    Attributes:
        A: the outputs, as `forward` returns them.
        fc: the caches by their letters.
        bc: those of `backward`, empty before.
    """

    def __init__(self, A, dict fc not None):
        self.A, self.fc, self.bc = A, fc, {}

    def backward(self, dA):
        """Take dL/dA in the shape of A, fill `bc` and return dL/dX."""
        raise NotImplementedError

    def gradients(self):
        """The gradients of the layer's parameters, `'d' + name`; RuntimeError before `backward`."""
        return {}
