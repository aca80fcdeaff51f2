"""`Program`: a network as a chain of stages; an epoch of updates, or a score, is one call without the GIL.

An update: read a batch, run all stages forward, compute the loss, run the stages backward, update the weights. With
truncated backpropagation a batch is cut into pieces of some steps, which make an update each (see stage.pxd).
"""

import numpy as np

cimport numpy as cnp
from libc.math cimport isfinite
from libc.string cimport memset

from cgru import losses
from cgru.core.kernels cimport (
    cgru_loss, cgru_kernels, cgru_matrix, kernels, time_major_array, check_signals, parameter_index,
)
from cgru.core.plan cimport may_have_samples_in_lanes
from cgru.core.threads cimport available
from cgru.network.training.compiled.batch cimport (
    Batch, Samples, Source, arrange_rows, cut_piece, output_piece, plan_batch, read_classes, read_decay, read_targets,
    read_times, read_tokens, read_weights, read_X, set_last_steps, set_steps, steps_before,
)
from cgru.network.training.compiled.fading_stage cimport make_fading
from cgru.network.training.compiled.plain cimport head_backward, head_forward, make_plain
from cgru.network.training.compiled.recurrent cimport make_recurrent, wanted_column
from cgru.network.training.compiled.stage cimport (
    Arena, Parameter, Piece, Recurrent, Size, Stage, assign, extent_of, no_array,
)
from cgru.network.training.compiled.weights cimport Weights
from cgru.network import chain, history

cnp.import_array()

cdef struct Totals:
    Py_ssize_t updates, batch  # the updates so far, and the index of the current batch
    double *sums  # (5,) see `Program.epoch`

cdef enum:
    LOSS_NOT_FINITE = 1  # the loss is not finite
    LEFT_OUT  # a gradient is not finite

cdef double MOST_LEFT_OUT = history.LEFT_OUT_IN_A_ROW
cdef double SIGNAL_INTERVAL = 1e9  # operations between two checks for Ctrl-C, some ten milliseconds
cdef double UPDATE_OPERATIONS = 1e5  # operations of an update beside its products


cdef class Program:
    """A network with the memory for data of some size.

    Args:
        model: a network with a head and parameters, which the engine `compiles`.
        e: the number of input features; 0 for tokens.
        steps: the largest number of steps of a sample.
        batch: the largest numbers of rows and steps of a piece in training; (0, 0): score only.
        scored: the same of a piece in scoring.
        carries: whether the states of all cells are carried from piece to piece; else only those of `stateful` cells.
        penalties, settings: those of the fit.
        decays: whether samples have factors of states, for which each recurrent stage needs memory.
        weights: the weights of another program of this network, to share; None: copy the model's parameters.
    """

    cdef const cgru_kernels *k
    cdef readonly Weights weights
    cdef object memory, generators, model
    cdef Stage *stages
    cdef Size *sizes  # (count + 1) of the inputs of each stage, and of the outputs of the last
    cdef int count, loss, threads  # the number of stages, the code of the loss
    cdef Py_ssize_t e, rows  # input features; the largest number of rows of a piece
    cdef Py_ssize_t stride  # input steps of one output step, where samples are cut into pieces
    cdef Py_ssize_t ways, terms  # outputs for one target; values that the loss of a row averages
    cdef const double *numbers[2]  # parameters of the loss: in scoring, in training
    cdef bint per_step, carries, timed  # timed: whether a layer reads the times of steps
    cdef bint draws  # whether a stage draws a mask for each step
    cdef Batch batch
    cdef Py_ssize_t *classes
    cdef void *targets
    cdef double *row_weights
    cdef void *X
    cdef readonly Py_ssize_t size  # bytes of all memory of the stages and the batch
    cdef Py_ssize_t lowest  # the lowest stage that is trainable
    cdef void *between[2]  # dX of the stages with even numbers, and of those with odd ones
    cdef double done  # operations since the last check for Ctrl-C
    cdef double weight, value, right  # of the last piece: weight of its outputs, mean loss, weight of right outputs
    cdef double activity_l1, activity_l2  # factors of penalties

    def __cinit__(self, model, Py_ssize_t e, Py_ssize_t steps, tuple batch, tuple scored, bint carries, bint decays,
                  penalties, settings, weights):
        cdef cnp.ndarray memory, stages, sizes
        cdef Arena arena
        cdef Py_ssize_t scratch
        self.model, self.k = model, kernels(model.dtype.itemsize)
        self.threads, self.carries, self.e = available(), carries, e
        self.timed = any(["times" in layer.reads for layer in model.layers])
        descriptions = [(i, layer, _as_tuple(layer.stage)) for i, layer in chain.unfolded(model.layers)]
        self.count = sum([len(parts) for _, _, parts in descriptions])
        stages = np.zeros(self.count * sizeof(Stage), np.uint8)
        sizes = np.zeros((self.count + 1) * sizeof(Size), np.uint8)
        self.stages, self.sizes = <Stage *>cnp.PyArray_DATA(stages), <Size *>cnp.PyArray_DATA(sizes)
        self.memory = [stages, sizes]
        self.generators, self.weights = [], weights or Weights(model, batch[0] > 0, penalties, settings.average)
        self.activity_l1, self.activity_l2 = penalties.activity_l1, penalties.activity_l2
        outputs = model.head.d["u"]
        self._load_loss(losses.named(losses.chosen(model.loss, model.head.activate, outputs)), outputs)
        self._make_stages(e, descriptions, settings.memory == "low", decays)
        self.per_step = self.stages[self.count - 1].steps_out
        self.rows, self.stride = max(batch[0], scored[0]), chain.stride(model.layers) if carries else 1
        self._set_sizes(batch, scored, steps)
        scratch = self._workspace_size(batch[0])
        memset(&arena, 0, sizeof(Arena))
        self._assign_memory(&arena, scratch)
        self.size = arena.used
        memory = np.empty(arena.used + 64, np.uint8)
        self.memory.append(memory)
        arena = Arena(<char *>((<size_t>cnp.PyArray_DATA(memory) + 63) // 64 * 64), 0)
        self._assign_memory(&arena, scratch)

    cdef int _load_loss(self, loss, Py_ssize_t outputs) except -1:
        """Set the code of the loss, its parameters, its outputs for a target, and the values that a row averages."""
        cdef cnp.ndarray numbers = np.array(loss.scored.numbers + loss.numbers, np.float64)
        self.memory.append(numbers)
        self.loss, self.ways, self.numbers[0] = loss.code, loss.outputs, <double *>cnp.PyArray_DATA(numbers)
        self.numbers[1] = self.numbers[0] + len(loss.numbers)
        self.terms = loss.terms(outputs)
        return 0

    cdef int _make_stages(self, Py_ssize_t e, list descriptions, bint low_memory, bint decays) except -1:
        """Set up all stages, without their memory; TypeError or ValueError for parameters that do not fit."""
        cdef Stage *stage = self.stages
        cdef Py_ssize_t n = e
        cdef bint steps = True, flipped = False
        for i, layer, parts in descriptions:
            if layer.features not in (None, n):
                name = layer.parameter_names[0]
                raise ValueError(f"A: expected {layer.features} features, as {name} has, in layer {i}, got {n}")
            layer.checked_parameters()
            for description in parts:
                stage.decays, stage.flipped = decays, flipped
                stage.k, stage.threads, stage.n, stage.steps_in = self.k, self.threads, n, steps
                stage.trainable = layer.trainable and len(layer.parameter_names) > 0
                self._make_stage(stage, layer, description, low_memory)
                if description is parts[0]:
                    self._set_parameters(stage, i, layer)
                n, steps = stage.u, stage.steps_out
                stage += 1
            flipped ^= layer.steps.reverses
        while self.lowest < self.count - 1 and not self.stages[self.lowest].trainable:
            self.lowest += 1
        for i in range(self.lowest, self.count - 1):
            stage = &self.stages[i]
            # Both directions of a pair read dA, and a penalty adds to it.
            if stage.parts == 1 and stage.steps_out and not self.activity_l1 and not self.activity_l2:
                stage.above = &self.stages[i + 1] if self.stages[i + 1].fill != NULL else NULL
        return 0

    cdef int _make_stage(self, Stage *stage, layer, dict description, bint low_memory) except -1:
        """Set up a stage of a layer, and add the generators that it draws from."""
        kind = description["kind"]
        if kind == "recurrent":
            for cell in layer.cells:
                self._add_generator(cell, cell.training and cell.draws, cell.zoneout)
            make_recurrent(stage, list(layer.cells), description["merge"], description["sequences"], low_memory)
        elif kind == "fading":
            make_fading(stage, description, self.memory)
        else:
            self._add_generator(layer, layer.draws and layer.training, stage.steps_in)
            make_plain(stage, description, layer.np_rng if layer.draws else None)
        return 0

    cdef bint _stores_dX(self, Py_ssize_t i) noexcept nogil:
        """Return whether a stage writes dX of all steps at once."""
        return i > self.lowest and self.stages[i - 1].above == NULL

    cdef int _add_generator(self, layer, draws, each_step) except -1:
        """Add the generator of a layer or cell that `draws` masks; note whether it draws for `each_step`."""
        if draws:
            self.generators.append(layer.np_rng)
            self.draws = self.draws or bool(each_step)
        return 0

    cdef int _set_parameters(self, Stage *stage, Py_ssize_t i, layer) except -1:
        """Set where stage i finds each parameter of `layer`, and where it goes."""
        cdef Parameter *parameter
        cdef Recurrent *part
        cdef int place
        for name, array in layer.p.items():
            parameter = &stage.parameter[stage.parameters]
            stage.parameters += 1
            parameter.start = self.weights.start[f"{i}.{name}"]
            if stage.parts:
                half, _, own = name.rpartition(".")
                part, place = &stage.part[half == "backward"], parameter_index(own)
                (<cgru_matrix *>&part.w)[place] = cgru_matrix(NULL, array.shape[array.ndim - 1], 1)
                parameter.p = <void **>&(<cgru_matrix *>&part.w)[place].data
                parameter.g = <void **>&part.g + place
            else:
                place = layer.parameter_names.index(name)
                parameter.p, parameter.g = stage.slots + place, stage.gradient_slots + place
        return 0

    cdef int _set_sizes(self, tuple batch, tuple scored, Py_ssize_t steps) except -1:
        """Set the largest (rows, steps) of each stage's inputs and of the outputs, for training and scoring."""
        cdef Py_ssize_t s = batch[1], t = scored[1], i
        cdef Stage *stage
        for i in range(self.count + 1):
            self.sizes[i] = Size(self.rows, steps, max(batch[0] * (s + 2), scored[0] * (t + 2)), batch[0] * s)
            if i < self.count and self.stages[i].lengths != NULL:
                stage = &self.stages[i]
                s, t = stage.lengths(stage, s) if s else 0, stage.lengths(stage, t) if t else 0
                steps = stage.lengths(stage, steps)
        return 0

    cdef Py_ssize_t _workspace_size(self, Py_ssize_t trained) except -1:
        """Return the numbers of workspace of the stage that takes most; `trained` is the rows of a training piece."""
        cdef Py_ssize_t i, most = 0
        cdef Stage *stage
        for i in range(self.count):
            stage = &self.stages[i]
            most = max(most, stage.workspace(stage, self.rows, self.sizes[i].s, False))
            if trained:
                most = max(most, stage.workspace(stage, trained, self.sizes[i].s, True))
        return most

    cdef int _assign_memory(self, Arena *arena, Py_ssize_t scratch) except -1:
        """Assign memory to all stages and to the batch; if the arena has no base, only count it there."""
        cdef Py_ssize_t i, u = self.stages[self.count - 1].u
        cdef Py_ssize_t *most = [0, 0]
        cdef Size *size = self.sizes
        cdef Size last = size[self.count]
        cdef Py_ssize_t rows = last.many if self.per_step else last.m
        cdef Stage *stage
        cdef bint turns = False
        for i in range(self.count):
            stage = &self.stages[i]
            stage.plan(stage, arena, size[i], size[i + 1], self.carries)
            if turns and i < self.count - 1:  # the head reads lanes
                stage.X_as_rows = assign(arena, size[i].many * stage.n, self.k.size)
            if not stage.may_return_input:
                turns = stage.turns or stage.parts and may_have_samples_in_lanes(stage.k, &stage.part[0].call)
            if stage.above != NULL:
                stage.fill_memory = assign(arena, stage.above.fill_size, self.k.size)
            if self._stores_dX(i):
                most[i % 2] = max(most[i % 2], (size[i].back if stage.steps_in else size[i].m) * stage.n)
        for i in range(2):
            self.between[i] = assign(arena, most[i], self.k.size)
        cdef void *memory = assign(arena, scratch, self.k.size)
        for i in range(self.count):
            self.stages[i].scratch = memory
        self.X = assign(arena, size.many * self.e, self.k.size)
        self.classes = <Py_ssize_t *>assign(arena, rows, sizeof(Py_ssize_t))
        self.targets = assign(arena, rows * u, self.k.size)
        self.row_weights = <double *>assign(arena, rows, sizeof(double))
        plan_batch(&self.batch, arena, size[0], self.timed)
        return 0

    # --- one piece ---

    cdef void _read_input(self) noexcept nogil:
        """Read the inputs of the piece to the first stage."""
        cdef Stage *first = &self.stages[0]
        read_times(&self.batch)
        if first.tokens != NULL:
            read_tokens(&self.batch, first.n, first.tokens)
        else:
            first.X = time_major_array(self.X, first.n, self.batch.piece.m, wanted_column(first, &self.batch.piece))
            read_X(&self.batch, first.X, self.k.size)

    cdef void _point_to_parameters(self) noexcept nogil:
        """Set each stage's pointers to its parameters (in training the trained ones, else the shown) and gradients."""
        cdef Parameter *each
        cdef Py_ssize_t i, j
        cdef char *base = self.weights.current() if self.batch.piece.training else self.weights.visible()
        for i in range(self.count):
            for j in range(self.stages[i].parameters):
                each = &self.stages[i].parameter[j]
                each.p[0] = base + each.start * self.k.size
                each.g[0] = self.weights.g + each.start * self.k.size

    cdef int _forward(self) except -1 nogil:
        """Read the inputs and run all stages below the head."""
        cdef Py_ssize_t i
        cdef Stage *stage
        self._read_input()
        self._point_to_parameters()
        self.stages[0].piece = &self.batch.piece
        for i in range(self.count):
            read_decay(&self.batch, &self.stages[i])
        for i in range(self.count - 1):
            stage = &self.stages[i]
            self.stages[i + 1].piece = output_piece(stage)
            stage.forward(stage, stage.piece)
            self.stages[i + 1].X = stage.A
        return 0

    cdef int _run_head(self) except -1 nogil:
        """Run the head: set the piece's weight, mean loss and weight of right outputs; in training, write dL/dZ."""
        cdef Stage *head = &self.stages[self.count - 1]
        cdef const Piece *piece = head.piece
        cdef const Samples *samples = self.batch.samples
        cdef cgru_loss loss
        memset(&loss, 0, sizeof(cgru_loss))
        self.weight = read_weights(&self.batch, piece, self.row_weights)
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
            read_classes(&self.batch, piece, self.classes)
        else:
            loss.Y = cgru_matrix(self.targets, samples.k, 1)
            read_targets(&self.batch, piece, self.targets, self.k.size)
        head_forward(head, piece, &loss, piece.training, &self.value, &self.right)
        return 0

    cdef int _backward(self) except -1 nogil:
        """Run the stages backward, from the head down to the lowest that is trainable."""
        cdef Py_ssize_t i
        cdef Stage *stage
        self.weights.clear()
        for i in range(self.count - 1, self.lowest - 1, -1):
            stage = &self.stages[i]
            stage.dX = no_array()
            if i > self.lowest:
                if self._stores_dX(i):
                    stage.dX = time_major_array(self.between[i % 2], stage.n, stage.piece.m, stage.X.column)
                self.stages[i - 1].dA = stage.dX
            if (stage.parts or stage.turns) and (self.activity_l1 or self.activity_l2):
                self._penalise_outputs(stage)
            if i == self.count - 1:
                head_backward(stage, stage.piece)
            else:
                stage.backward(stage, stage.piece)
        return 0

    def blocks(self):
        """Return the steps of a block of the last backward pass of each GRU, 0 before the first; for the tests."""
        cdef Py_ssize_t i, j
        return [self.stages[i].part[j].block for i in range(self.count) for j in range(self.stages[i].parts)]

    cdef void _penalise_outputs(self, Stage *stage) noexcept nogil:
        """Add the gradient of the activity penalty to dA of a recurrent stage."""
        cdef const Piece *piece = stage.piece
        cdef double rows = 0
        cdef Py_ssize_t i
        for i in range(piece.m):
            rows += piece.length[i] if stage.steps_out else 1
        self.k.penalise(stage.A, self.activity_l1 / rows, self.activity_l2 / rows, stage.dA,
                        extent_of(piece, stage.steps_out), stage.u)

    cdef int _check_signals(self) except -1 nogil:
        """Count the operations of a piece, and check for Ctrl-C after enough of them."""
        cdef const Piece *piece
        cdef Py_ssize_t i, n, u
        self.done += UPDATE_OPERATIONS
        for i in range(self.count):
            n, u, piece = self.stages[i].n, self.stages[i].u, self.stages[i].piece
            self.done += 6.0 * piece.m * piece.s * u * (n + u)
        if self.done > SIGNAL_INTERVAL:
            self.done = 0
            check_signals()
        return 0

    cdef int _update(self, double rate) except -1 nogil:
        """Make the update of a piece, unless all weights are 0; return 0, LOSS_NOT_FINITE or LEFT_OUT.

        Return LOSS_NOT_FINITE or, where a gradient is not finite, LEFT_OUT; parameters are unchanged then.
        """
        cdef int how = 0
        self.batch.piece.training = self.batch.piece.carries = True
        self._forward()
        self._run_head()
        if not isfinite(self.value):
            return LOSS_NOT_FINITE
        if self.weight:
            self._backward()
            how = 0 if self.weights.update(rate) else LEFT_OUT
        self._check_signals()
        return how

    # --- epochs and scores ---

    def epoch(self, Source source not None, const Py_ssize_t[::1] order, Py_ssize_t size, Py_ssize_t truncate,
              const double[::1] rates, double[::1] sums, bint begins=True):
        """Make the updates of an epoch, or of a part of one; add to `sums`; return None, or what failed.

        Args:
            source: the samples.
            order: the indices of the samples, in the order in which they are taken.
            size: the number of samples in a batch. Each batch makes one update.
            truncate: with a number other than 0, each piece of so many steps that has targets makes an update instead.
            rates: the learning rate of each update.
            sums: (5,) sums to add to: the weights of outputs, their losses times these weights, the weights of right
                outputs, all before each update; the updates that were left out, because a gradient was not finite. The
                last number is set to how many of the latest updates in a row were left out.
            begins: whether this is the first part of an epoch, which begins without states.

        Returns:
            None; or (the last loss, the index of the batch) where a loss is not finite, or too many updates in a row
            were left out.
        """
        cdef Totals totals
        cdef int failed
        totals.updates, totals.batch, totals.sums = 0, 0, &sums[0]
        if begins:
            self._forget_states()
        # Each lock once, and all threads in one order: otherwise two fits could deadlock.
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

    cdef void _forget_states(self) noexcept nogil:
        """Forget the carried states of all recurrent stages."""
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
        """Make all updates of the m samples in `order`; return 1 if the fit diverges, else 0."""
        cdef Py_ssize_t first = 0, at, steps = samples.s if self.draws else 0
        while first < m:
            arrange_rows(&self.batch, samples, order + first, min(size, m - first))
            if truncate == 0:
                set_steps(&self.batch, 0, samples.s, 0, 1)
                cut_piece(&self.batch, steps)
                if self._step(rates, totals):
                    return 1
            else:
                self._forget_states()
                at = 0
                while self.per_step and at < self.batch.whole[0]:
                    set_steps(&self.batch, at, truncate, 0, 1)
                    cut_piece(&self.batch, 0)
                    if self._step(rates, totals):
                        return 1
                    at += truncate
                if not self.per_step:
                    self._run_steps_before_last(truncate)
                    if self._step(rates, totals):
                        return 1
            first += size
            totals.batch += 1
        return 0

    cdef int _run_steps_before_last(self, Py_ssize_t truncate) except -1 nogil:
        """Compute the states before the last `truncate` steps of each sample; these steps become the piece."""
        cdef Py_ssize_t at = 0
        while at < steps_before(self.batch.whole[0], truncate, self.stride):
            set_steps(&self.batch, at, truncate, truncate, self.stride)
            cut_piece(&self.batch, 0)
            self.batch.piece.training = self.batch.piece.carries = True
            self._forward()
            self._check_signals()
            at += truncate
        set_last_steps(&self.batch, truncate, self.stride)
        cut_piece(&self.batch, 0)
        return 0

    cdef int _step(self, const double *rates, Totals *totals) except -1 nogil:
        """Make the update of a piece and add its figures to the totals; return 1 if the fit diverges, else 0."""
        cdef int how = self._update(rates[totals.updates])
        if how == LOSS_NOT_FINITE:
            return 1
        totals.updates += 1
        self._add_to_totals(totals)
        if how == LEFT_OUT:
            totals.sums[3] += 1
            totals.sums[4] += 1
        elif self.weight:
            totals.sums[4] = 0
        return totals.sums[4] >= MOST_LEFT_OUT

    cdef void _add_to_totals(self, Totals *totals) noexcept nogil:
        """Add the figures of the last piece to the totals."""
        totals.sums[0] += self.weight
        totals.sums[1] += self.value * self.weight
        totals.sums[2] += self.right

    def scores(self, Source source not None, Py_ssize_t size, double[::1] sums):
        """Score all samples, `size` at a time: add to `sums` the weights of outputs, their losses times these, and the
        weights of right outputs.
        """
        cdef Samples *samples = &source.samples
        cdef Totals totals
        cdef Py_ssize_t first = 0
        cdef const Py_ssize_t[::1] order = np.arange(samples.m, dtype=np.intp)
        totals.updates, totals.batch, totals.sums = 0, 0, &sums[0]
        with nogil:
            while first < samples.m:
                arrange_rows(&self.batch, samples, &order[first], min(size, samples.m - first))
                set_steps(&self.batch, 0, samples.s, 0, 1)
                cut_piece(&self.batch, 0)
                self.batch.piece.training = self.batch.piece.carries = False
                self._forward()
                self._run_head()
                self._check_signals()
                self._add_to_totals(&totals)
                first += size


def _as_tuple(stage):
    """Return the stages of a layer as a tuple."""
    return stage if isinstance(stage, tuple) else (stage,)
