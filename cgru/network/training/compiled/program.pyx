"""A network as a chain of stages: whole epochs of updates, and scores, each in one call without the GIL.

m rows, s steps, n numbers. Samples whose lengths differ run by their lengths, the longest first.
"""

import numpy as np

cimport numpy as cnp
from libc.math cimport isfinite
from libc.string cimport memset

from cgru import losses
from cgru.core.checks import parameters
from cgru.core.kernels cimport (
    cgru_loss, cgru_kernels, cgru_matrix, kernels, time_major_array, check_signals, parameter_index,
)
from cgru.core.threads cimport available
from cgru.network.training.compiled.batch cimport Batch, arrange, cut, hand_on, keep_last, lay_batch, steps_before, window
from cgru.network.training.compiled.numbers cimport penalise_each
from cgru.network.training.compiled.plain cimport head_backward, head_forward, lay_plain, make_plain, plain_scratch
from cgru.network.training.compiled.recurrent cimport lay_recurrent, make_recurrent, recurrent_scratch, wanted_column
from cgru.network.training.compiled.samples cimport (
    Samples, Source, read_classes, read_targets, read_tokens, read_weights, read_X,
)
from cgru.network.training.compiled.stage cimport (
    Arena, Parameter, Piece, Recurrent, Size, Stage, nothing, take,
)
from cgru.network.training.compiled.weights cimport Weights
from cgru.network import chain, history

cnp.import_array()

cdef struct Totals:
    Py_ssize_t updates, batch
    double *sums  # see `Program.epoch`

cdef enum:
    LOST = 1
    LEFT_OUT

cdef double MOST_LEFT_OUT = history.LEFT_OUT_IN_A_ROW
cdef double GLANCE = 1e9  # operations between two looks for a Ctrl-C: some ten milliseconds
cdef double UPDATE = 1e5  # those of an update beside its products


cdef class Program:
    """A network for data of one kind.

    Args:
        model: a network with a head and parameters, that `compiles`.
        e: the elements of its input; of tokens 0.
        steps: those of a sample, at most.
        batch: rows and steps of a piece that is trained on, at most; (0, 0): it is scored alone.
        scored: those of a piece that is scored.
        carries: whether the states of all cells go on from piece to piece; else those of the `stateful` cells alone do.
        penalties, settings: those of a fit.
        weights: those of another program of this network, to go on with; None: its parameters, as they are now.
    """

    cdef const cgru_kernels *k
    cdef readonly Weights weights
    cdef object memory, generators, model
    cdef Stage *stages
    cdef Size *sizes  # of what goes into each, and of what comes out of the last
    cdef int count, loss, threads
    cdef Py_ssize_t e, rows  # elements of the input; rows of a piece at most
    cdef Py_ssize_t stride  # steps of a sample for one of the outputs, where it is cut into pieces
    cdef Py_ssize_t ways, terms  # outputs of a target; values that the loss of a row averages
    cdef const double *numbers[2]  # of the loss: where it is scored, and where it is trained
    cdef bint per_step, carries, draws
    cdef Batch batch
    cdef Py_ssize_t *classes
    cdef void *targets
    cdef double *row_weights
    cdef void *X
    cdef void *between[2]  # dL/d(the outputs of a stage), and of the one below
    cdef double done  # operations since the last look for a Ctrl-C
    cdef double weight, value, right  # of the last piece
    cdef double activity_l1, activity_l2  # penalties

    def __init__(self, model, Py_ssize_t e, Py_ssize_t steps, tuple batch, tuple scored, bint carries, penalties,
                 settings, weights):
        cdef cnp.ndarray memory, stages, sizes
        cdef Arena arena
        cdef Py_ssize_t scratch
        self.model, self.k = model, kernels(model.dtype.itemsize)
        self.threads, self.carries, self.e = available(), carries, e
        self.count = len(model.layers)
        stages = np.zeros(self.count * sizeof(Stage), np.uint8)
        sizes = np.zeros((self.count + 1) * sizeof(Size), np.uint8)
        self.stages, self.sizes = <Stage *>cnp.PyArray_DATA(stages), <Size *>cnp.PyArray_DATA(sizes)
        self.memory = [stages, sizes]
        self.generators, self.weights = [], weights or Weights.of(model, batch[0] > 0, penalties, settings)
        self.activity_l1, self.activity_l2 = penalties.activity_l1, penalties.activity_l2
        outputs = model.head.d["u"]
        self._load_loss(losses.named(losses.chosen(model.loss, model.head.activate, outputs)), outputs)
        self._make(e)
        self.per_step = self.stages[self.count - 1].steps_out
        self.rows, self.stride = max(batch[0], scored[0]), chain.stride(model.layers) if carries else 1
        self._measure(batch, scored, steps)
        scratch = self._scratch(batch[0])
        memset(&arena, 0, sizeof(Arena))
        self._lay(&arena, scratch)
        memory = np.empty(arena.used + 64, np.uint8)
        self.memory.append(memory)
        arena = Arena(<char *>((<size_t>cnp.PyArray_DATA(memory) + 63) // 64 * 64), 0)
        self._lay(&arena, scratch)

    cdef int _load_loss(self, loss, Py_ssize_t outputs) except -1:
        """The loss and its numbers."""
        cdef cnp.ndarray numbers = np.array(loss.scored.numbers + loss.numbers, np.float64)
        self.memory.append(numbers)
        self.loss, self.ways, self.numbers[0] = loss.code, loss.outputs, <double *>cnp.PyArray_DATA(numbers)
        self.numbers[1] = self.numbers[0] + len(loss.numbers)
        self.terms = loss.terms(outputs)
        return 0

    cdef int _make(self, Py_ssize_t e) except -1:
        """The stages, but for their memory."""
        cdef Stage *stage
        cdef Py_ssize_t n = e
        cdef bint steps = True
        for i, layer in enumerate(self.model.layers):
            stage = &self.stages[i]
            stage.k, stage.threads, stage.n, stage.steps_in = self.k, self.threads, n, steps
            stage.trainable = layer.trainable and len(layer.parameter_names) > 0
            said = layer.stage
            if said["kind"] == "recurrent":
                for cell in layer.cells:
                    parameters(cell.p, n, cell.d["u"], self.model.dtype, cell.variant, "A")
                    self._draws(cell, cell.training and cell.draws, cell.zoneout)
                make_recurrent(stage, list(layer.cells), said["merge"], said["sequences"])
            else:
                layer.checked_parameters()
                if layer.elements not in (None, n):
                    name = layer.parameter_names[0]
                    raise ValueError(f"A: expected {layer.elements} elements, as {name} has, in layer {i}, got {n}")
                self._draws(layer, layer.draws and layer.training, steps)
                make_plain(stage, said, layer.np_rng if layer.draws else None)
            self._name(stage, i, layer)
            n, steps = stage.u, stage.steps_out
        return 0

    cdef int _draws(self, layer, draws, each_step) except -1:
        """Remember what draws, and whether it does so for each step."""
        if draws:
            self.generators.append(layer.np_rng)
            self.draws = self.draws or bool(each_step)
        return 0

    cdef int _name(self, Stage *stage, Py_ssize_t i, layer) except -1:
        """Which parameters a stage has, and as what."""
        cdef Parameter *parameter
        for name, array in layer.p.items():
            parameter = &stage.parameter[stage.parameters]
            stage.parameters += 1
            parameter.start = self.weights.start[f"{i}.{name}"]
            parameter.columns = array.shape[array.ndim - 1]
            half, _, own = name.rpartition(".")
            parameter.part = half == "backward"
            parameter.place = parameter_index(own) if stage.parts else layer.parameter_names.index(name)
        return 0

    cdef int _measure(self, tuple batch, tuple scored, Py_ssize_t steps) except -1:
        """How much there is of each stage's inputs."""
        cdef Py_ssize_t s = batch[1], t = scored[1], i
        cdef Stage *stage
        for i in range(self.count + 1):
            self.sizes[i] = Size(self.rows, steps, max(batch[0] * (s + 2), scored[0] * (t + 2)), batch[0] * s)
            if i < self.count and self.stages[i].lengths != NULL:
                stage = &self.stages[i]
                s, t = stage.lengths(stage, s) if s else 0, stage.lengths(stage, t) if t else 0
                steps = stage.lengths(stage, steps)
        return 0

    cdef Py_ssize_t _scratch(self, Py_ssize_t trained) except -1:
        """Numbers that any stage takes while it runs, for pieces of all rows, or those `trained` on."""
        cdef Py_ssize_t (*scratch)(const Stage *, Py_ssize_t, Py_ssize_t, bint) noexcept
        cdef Py_ssize_t i, most = 0
        cdef Stage *stage
        for i in range(self.count):
            stage = &self.stages[i]
            scratch = recurrent_scratch if stage.parts else plain_scratch
            most = max(most, scratch(stage, self.rows, self.sizes[i].s, False))
            if trained:
                most = max(most, scratch(stage, trained, self.sizes[i].s, True))
        return most

    cdef int _lay(self, Arena *arena, Py_ssize_t scratch) except -1:
        """Find room for all."""
        cdef Py_ssize_t i, most = 0, u = self.stages[self.count - 1].u
        cdef Size *size = self.sizes
        cdef Size last = size[self.count]
        cdef Py_ssize_t rows = last.many if self.per_step else last.m
        cdef Stage *stage
        cdef bint turns = False
        for i in range(self.count):
            stage = &self.stages[i]
            if stage.parts:
                lay_recurrent(stage, arena, size[i], self.carries)
            else:
                lay_plain(stage, arena, size[i + 1])
            if turns:
                stage.turned = take(arena, size[i].many * stage.n, self.k.size)
            if not stage.hands_on:
                turns = stage.may_have_lanes
            most = max(most, size[i + 1].back * stage.u)
        self.between[0], self.between[1] = take(arena, most, self.k.size), NULL
        self.between[1] = take(arena, most, self.k.size)
        cdef void *memory = take(arena, scratch, self.k.size)
        for i in range(self.count):
            self.stages[i].scratch = memory
        self.X = take(arena, size.many * self.e, self.k.size)
        self.classes = <Py_ssize_t *>take(arena, rows, sizeof(Py_ssize_t))
        self.targets = take(arena, rows * u, self.k.size)
        self.row_weights = <double *>take(arena, rows, sizeof(double))
        lay_batch(&self.batch, arena, size.m, size.s)
        return 0

    # --- one piece ---

    cdef void _read(self, const Samples *samples) noexcept nogil:
        """Its input."""
        cdef Stage *first = &self.stages[0]
        if first.tokens != NULL:
            read_tokens(samples, &self.batch.piece, self.batch.sample, self.batch.start, first.n, first.tokens)
        else:
            first.X = time_major_array(self.X, first.n, self.batch.piece.m, wanted_column(first, &self.batch.piece))
            read_X(samples, &self.batch.piece, self.batch.sample, self.batch.start, first.X, self.k.size)

    cdef void _point(self) noexcept nogil:
        """Where each stage has its parameters, and their gradients."""
        cdef Stage *stage
        cdef Parameter *each
        cdef Py_ssize_t i, j
        cdef char *base = self.weights.current() if self.batch.piece.training else self.weights.visible()
        cdef char *p
        cdef char *g
        for i in range(self.count):
            stage = &self.stages[i]
            for j in range(stage.parameters):
                each = &stage.parameter[j]
                p = base + each.start * self.k.size
                g = self.weights.g + each.start * self.k.size
                if stage.parts:
                    (<cgru_matrix *>&stage.part[each.part].w)[each.place] = cgru_matrix(p, each.columns, 1)
                    (<void **>&stage.part[each.part].g)[each.place] = g
                elif each.place:
                    stage.b, stage.db = p, g
                else:
                    stage.W, stage.dW = p, g

    cdef int _forward(self, const Samples *samples) except -1 nogil:
        """Through all stages but the head."""
        cdef Py_ssize_t i
        cdef Stage *stage
        self._read(samples)
        self._point()
        self.stages[0].piece = &self.batch.piece
        for i in range(self.count - 1):
            stage = &self.stages[i]
            self.stages[i + 1].piece = hand_on(stage)
            stage.forward(stage, stage.piece)
            self.stages[i + 1].X = stage.A
        return 0

    cdef int _head(self, const Samples *samples) except -1 nogil:
        """What the outputs of the piece weigh, its loss, what those weigh that are right, and when training dL/dZ."""
        cdef Stage *head = &self.stages[self.count - 1]
        cdef const Piece *piece = head.piece
        cdef cgru_loss loss
        memset(&loss, 0, sizeof(cgru_loss))
        self.weight = read_weights(samples, piece, self.batch.sample, self.batch.start, self.row_weights)
        if self.weight == 0:
            self.value = self.right = 0
            return 0
        loss.kind, loss.ways = self.loss, self.ways
        loss.numbers = self.numbers[self.batch.piece.training]
        loss.share = 1.0 / self.weight / self.terms
        if samples.weights != NULL:
            loss.weights = self.row_weights
        if samples.y_output == 0:
            loss.classes = self.classes
            read_classes(samples, piece, self.batch.sample, self.batch.start, self.classes)
        else:
            loss.Y = cgru_matrix(self.targets, samples.k, 1)
            read_targets(samples, piece, self.batch.sample, self.batch.start, self.targets, self.k.size)
        head_forward(head, piece, &loss, piece.training, &self.value, &self.right)
        return 0

    cdef int _backward(self) except -1 nogil:
        """Down to the lowest stage that trains."""
        cdef Py_ssize_t i, lowest = 0
        cdef Stage *stage
        cdef void *swap
        self.weights.clear()
        while not self.stages[lowest].trainable:
            lowest += 1
        for i in range(self.count - 1, lowest - 1, -1):
            stage = &self.stages[i]
            stage.dX = nothing()
            if i > lowest:
                stage.dX = time_major_array(self.between[1], stage.n, stage.piece.m, stage.X.column)
                self.stages[i - 1].dA = stage.dX
            if stage.parts and (self.activity_l1 or self.activity_l2):
                self._penalise(stage)
            if i == self.count - 1:
                head_backward(stage, stage.piece)
            else:
                stage.backward(stage, stage.piece)
            swap = self.between[0]
            self.between[0], self.between[1] = self.between[1], swap
        return 0

    cdef void _penalise(self, Stage *stage) noexcept nogil:
        """Add what the penalty of a recurrent stage's outputs is to their gradient."""
        cdef const Piece *piece = stage.piece
        cdef double rows = 0
        cdef Py_ssize_t i
        for i in range(piece.m):
            rows += piece.length[i] if stage.steps_out else 1
        penalise_each(stage.A, self.activity_l1 / rows, self.activity_l2 / rows, stage.dA, piece, stage.steps_out,
                      stage.u, self.k.size)

    cdef int _look(self) except -1 nogil:
        """Let a Ctrl-C be seen, now and then."""
        cdef const Piece *piece
        cdef Py_ssize_t i, n, u
        self.done += UPDATE
        for i in range(self.count):
            n, u, piece = self.stages[i].n, self.stages[i].u, self.stages[i].piece
            self.done += 6.0 * piece.m * piece.s * u * (n + u)
        if self.done > GLANCE:
            self.done = 0
            check_signals()
        return 0

    cdef int _update(self, const Samples *samples, double rate) except -1 nogil:
        """Take one step of the optimizer, none where all weighs 0.

        Return LOST where the loss is not finite, LEFT_OUT where a gradient is not; nothing was changed then.
        """
        cdef int how = 0
        self.batch.piece.training = self.batch.piece.carries = True
        self._forward(samples)
        self._head(samples)
        if not isfinite(self.value):
            return LOST
        if self.weight:
            self._backward()
            how = 0 if self.weights.update(rate) else LEFT_OUT
        self._look()
        return how

    # --- epochs and scores ---

    def epoch(self, Source source not None, const Py_ssize_t[::1] order, Py_ssize_t size, Py_ssize_t truncate,
              const double[::1] rates, double[::1] sums, bint begins=True):
        """An update for each batch of up to `size` of the samples in `order`, or where `truncate` is not 0 for each
        piece of so many steps that has targets, by these learning rates; all of an epoch, or a part, the first of which
        `begins` with no states.

        To `sums` (5,) is added what the outputs weigh, their losses by that, and what those weigh that are right, all
        before each update; then how many updates were left out, whose gradients were not finite. The last is how many
        of these there were in a row.

        Returns:
            None; where a loss is not finite, or too many updates in a row are left out, the last loss and the batch,
            from 0.
        """
        cdef Totals totals
        cdef int failed
        totals.updates, totals.batch, totals.sums = 0, 0, &sums[0]
        if begins:
            self._begin_anew()
        # Each once, and by all threads in one order: none waits for another that waits for it.
        locks = sorted({rng.bit_generator.lock for rng in self.generators}, key=id)
        for lock in locks:
            lock.acquire()
        try:
            with nogil:
                failed = self._epoch(&source.samples, &order[0], order.shape[0], size, truncate, &rates[0], &totals)
        finally:
            for lock in locks:
                lock.release()
        return (self.value, totals.batch) if failed else None

    cdef void _begin_anew(self) noexcept nogil:
        """No states of the piece before."""
        cdef Recurrent *part
        cdef Py_ssize_t i
        cdef int j
        for i in range(self.count):
            for j in range(self.stages[i].parts):
                part = &self.stages[i].part[j]
                if part.carried != NULL:
                    memset(part.begun, 0, self.rows * sizeof(int))

    cdef int _epoch(self, const Samples *samples, const Py_ssize_t *order, Py_ssize_t m, Py_ssize_t size,
                    Py_ssize_t truncate, const double *rates, Totals *totals) except -1 nogil:
        cdef Py_ssize_t first = 0, at, steps = samples.s if self.draws else 0
        while first < m:
            arrange(&self.batch, samples, order + first, min(size, m - first))
            if truncate == 0:
                window(&self.batch, 0, samples.s, 0, 1)
                cut(&self.batch, steps)
                if self._step(samples, rates, totals):
                    return 1
            else:
                self._begin_anew()
                at = 0
                while self.per_step and at < self.batch.whole[0]:
                    window(&self.batch, at, truncate, 0, 1)
                    cut(&self.batch, 0)
                    if self._step(samples, rates, totals):
                        return 1
                    at += truncate
                if not self.per_step:
                    self._run_up(samples, truncate)
                    if self._step(samples, rates, totals):
                        return 1
            first += size
            totals.batch += 1
        return 0

    cdef int _run_up(self, const Samples *samples, Py_ssize_t truncate) except -1 nogil:
        """The states before the last `truncate` steps of each sample, which are then the piece."""
        cdef Py_ssize_t at = 0
        while at < steps_before(self.batch.whole[0], truncate, self.stride):
            window(&self.batch, at, truncate, truncate, self.stride)
            cut(&self.batch, 0)
            self.batch.piece.training = self.batch.piece.carries = True
            self._forward(samples)
            self._look()
            at += truncate
        keep_last(&self.batch, truncate, self.stride)
        cut(&self.batch, 0)
        return 0

    cdef int _step(self, const Samples *samples, const double *rates, Totals *totals) except -1 nogil:
        """Make an update and add it to the totals; return whether the fit diverges."""
        cdef int how = self._update(samples, rates[totals.updates])
        if how == LOST:
            return 1
        totals.updates += 1
        self._count(totals)
        if how == LEFT_OUT:
            totals.sums[3] += 1
            totals.sums[4] += 1
        elif self.weight:
            totals.sums[4] = 0
        return totals.sums[4] >= MOST_LEFT_OUT

    cdef void _count(self, Totals *totals) noexcept nogil:
        """Add what the last piece was to the totals."""
        totals.sums[0] += self.weight
        totals.sums[1] += self.value * self.weight
        totals.sums[2] += self.right

    def scores(self, Source source not None, Py_ssize_t size, double[::1] sums):
        """Add to `sums` what outputs weigh, their losses and what is right, as `epoch` does; `size` samples at a time.
        """
        cdef Samples *samples = &source.samples
        cdef Totals totals
        cdef Py_ssize_t first = 0
        cdef const Py_ssize_t[::1] order = np.arange(samples.m, dtype=np.intp)
        totals.updates, totals.batch, totals.sums = 0, 0, &sums[0]
        with nogil:
            while first < samples.m:
                arrange(&self.batch, samples, &order[first], min(size, samples.m - first))
                window(&self.batch, 0, samples.s, 0, 1)
                cut(&self.batch, 0)
                self.batch.piece.training = self.batch.piece.carries = False
                self._forward(samples)
                self._head(samples)
                self._look()
                self._count(&totals)
                first += size
