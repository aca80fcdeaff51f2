"""`Program`: a network compiled to a chain of stages, which runs an epoch or a score in one call without the GIL.

An update: read a batch, run all stages forward, compute the loss, run the stages backward, update the weights. With
truncated backpropagation a batch is cut into pieces of some steps, which make an update each (see stage.pxd).
"""

import numpy as np

cimport numpy as cnp
from libc.math cimport isfinite
from libc.string cimport memset

from cgru import losses
from cgru.core.kernels cimport (
    CGRU_ADD, CGRU_COPY, CGRU_MULTIPLY, cgru_array, cgru_extent, cgru_kernels, cgru_loss, cgru_matrix, check_signals,
    kernels, parameter_index, time_major_array,
)
from cgru.core.plan cimport may_have_samples_in_lanes
from cgru.core.threads cimport available
from cgru.network.training.compiled.batch cimport (
    Batch, Samples, Source, arrange_rows, cut_piece, output_piece, plan_batch, read_classes, read_decay, read_targets,
    read_times, read_tokens, read_weights, read_X, set_last_steps, set_steps, steps_before,
)
from cgru.network.training.compiled.fading_stage cimport make_fading
from cgru.network.training.compiled.plain cimport Join, head_backward, head_forward, make_plain, reserve
from cgru.network.training.compiled.recurrent cimport make_recurrent, wanted_column
from cgru.network.training.compiled.stage cimport (
    Arena, Parameter, Piece, Recurrent, Size, Stage, assign, extent_of, no_array, time_major,
)
from cgru.network.training.compiled.switching_stage cimport make_switching
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


def _add_stages(layers, list found, source, at):
    """Append (key, layer, description, sources) of each compiled layer of a chain; return the last index."""
    for i, layer in enumerate(layers):
        key, within = f"{at}{i}", layer.branches
        if within:
            sources = [_add_stages(branch, found, source, f"{key}.{b}.") for b, branch in enumerate(within)]
            source = len(found)
            found.append((key, layer, layer.stage, sources))
        for part in () if within else chain.parts_of(layer):
            for description in _as_tuple(part.stage):
                found.append((key, part, description, [source]))
                source = len(found) - 1
    return source


cdef class Program:
    """A compiled network with the memory for data up to some size.

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
    cdef list layers  # (key, layer, description, indices of the stages that it reads) of each stage
    cdef Size *sizes  # (count, 2) of the inputs and of the outputs of each stage
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
    cdef bint branches  # whether a stage joins others
    cdef double done  # operations since the last check for Ctrl-C
    cdef double weight, value, right  # of the last piece: weight of its outputs, mean loss, weight of right outputs
    cdef double activity_l1, activity_l2  # factors of penalties

    def __cinit__(self, model, Py_ssize_t e, Py_ssize_t steps, tuple batch, tuple scored, bint carries, bint decays,
                  penalties, settings, weights):
        cdef cnp.ndarray memory, stages, sizes, sources
        cdef Arena arena
        cdef Py_ssize_t scratch
        self.model, self.k = model, kernels(model.dtype.itemsize)
        self.threads, self.carries, self.e = available(), carries, e
        self.timed = any(["times" in layer.reads for layer in model.layers])
        self.layers = []
        _add_stages(model.layers, self.layers, -1, "")
        self.count = len(self.layers)
        stages = np.zeros(self.count * sizeof(Stage), np.uint8)
        sizes = np.zeros(2 * self.count * sizeof(Size), np.uint8)
        sources = np.array([source for *_, given in self.layers for source in given], np.intp)
        self.stages, self.sizes = <Stage *>cnp.PyArray_DATA(stages), <Size *>cnp.PyArray_DATA(sizes)
        self.memory = [stages, sizes, sources]
        self._link(<Py_ssize_t *>cnp.PyArray_DATA(sources))
        self.generators, self.weights = [], weights or Weights(model, batch[0] > 0, penalties, settings.average)
        self.activity_l1, self.activity_l2 = penalties.activity_l1, penalties.activity_l2
        outputs = model.head.d["u"]
        self._load_loss(losses.named(losses.chosen(model.loss, model.head.activate, outputs)), outputs)
        self._make_stages(e, settings.memory == "low", decays)
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
        """Set the code of the loss, its parameters, its outputs per target, and how many values a row averages."""
        cdef cnp.ndarray numbers = np.array(loss.scored.numbers + loss.numbers, np.float64)
        self.memory.append(numbers)
        self.loss, self.ways, self.numbers[0] = loss.code, loss.outputs, <double *>cnp.PyArray_DATA(numbers)
        self.numbers[1] = self.numbers[0] + len(loss.numbers)
        self.terms = loss.terms(outputs)
        return 0

    cdef int _link(self, Py_ssize_t *sources) except -1:
        """Set which compiled layers each one reads, and how many others read it."""
        cdef Py_ssize_t i, j
        cdef Join *join
        for i, (*_, given) in enumerate(self.layers):
            self.stages[i].sources = sources
            if len(given) > 1:
                self.branches, self.stages[i].joins = True, len(given)
                self.stages[i].own = join = <Join *>reserve(sizeof(Join), self.memory)
                join.parts = <cgru_array *>reserve(len(given) * sizeof(cgru_array), self.memory)
                join.widths = <Py_ssize_t *>reserve(len(given) * sizeof(Py_ssize_t), self.memory)
            for j in given:
                if j >= 0:
                    self.stages[j].readers += 1
            sources += len(given)
        return 0

    cdef int _make_stages(self, Py_ssize_t e, bint low_memory, bint decays) except -1:
        """Set up all compiled layers without their memory; TypeError or ValueError for parameters that do not fit."""
        cdef Stage *stage
        cdef Stage *below
        cdef Stage *above
        cdef Stage inputs
        cdef Py_ssize_t n, i, j
        memset(&inputs, 0, sizeof(Stage))
        inputs.u, inputs.steps_out = e, True
        before = None
        for i, (key, layer, description, sources) in enumerate(self.layers):
            stage = &self.stages[i]
            below = &inputs if sources[0] < 0 else &self.stages[sources[0]]
            n = below.u
            if layer is not before and not stage.joins:
                due = layer.features
                if due is not None and due != n:
                    name = layer.parameter_names[0]
                    raise ValueError(f"A: expected {due} features, as {name} has, in layer {key}, got {n}")
                layer.checked_parameters()
            stage.decays, stage.flipped = decays, below.flipped ^ below.reverses
            stage.k, stage.threads, stage.n, stage.steps_in = self.k, self.threads, n, below.steps_out
            if stage.joins:
                for j in range(stage.joins):
                    (<Join *>stage.own).widths[j] = e if stage.sources[j] < 0 else self.stages[stage.sources[j]].u
                make_plain(stage, description, None, self.memory)
            else:
                stage.reverses = layer.steps.reverses
                stage.trainable = layer.trainable and len(layer.parameter_names) > 0
                self._make_stage(stage, layer, description, low_memory)
                if layer is not before:
                    self._set_parameters(stage, key, layer)
            before = layer
            for j in sources:
                stage.goes = stage.goes or stage.trainable or (j >= 0 and self.stages[j].goes)
        for i in range(self.count - 1):
            stage, above = &self.stages[i], &self.stages[i + 1]
            # Both directions of a pair read dA, and a penalty adds to it.
            if stage.parts == 1 and stage.steps_out and not self.activity_l1 and not self.activity_l2:
                if stage.goes and stage.readers == 1 and above.sources[0] == i and above.fill != NULL:
                    stage.above = above
        return 0

    cdef int _make_stage(self, Stage *stage, layer, dict description, bint low_memory) except -1:
        """Set up one compiled layer, and register the generators that it draws from."""
        kind = description["kind"]
        if kind == "recurrent":
            for cell in layer.cells:
                self._add_generator(cell, cell.training and cell.draws, cell.zoneout)
            make_recurrent(stage, list(layer.cells), description, low_memory, self.memory)
        elif kind == "fading":
            make_fading(stage, description, self.memory)
        elif kind == "switching":
            make_switching(stage, description, self.memory)
        else:
            self._add_generator(layer, layer.draws and layer.training, stage.steps_in)
            make_plain(stage, description, layer.np_rng if layer.draws else None, self.memory)
        return 0

    cdef bint _stores_dX(self, Stage *stage) noexcept nogil:
        """Return whether a compiled layer writes dX of all steps at once."""
        cdef Py_ssize_t j = stage.sources[0]
        return not stage.joins and j >= 0 and self.stages[j].goes and self.stages[j].above == NULL

    cdef int _add_generator(self, layer, draws, each_step) except -1:
        """Register the generator of a layer or cell that `draws` masks, and whether it draws for `each_step`."""
        if draws:
            self.generators.append(layer.np_rng)
            self.draws = self.draws or bool(each_step)
        return 0

    cdef int _set_parameters(self, Stage *stage, key, layer) except -1:
        """Set where the compiled `layer` finds its parameters, and where their gradients are added."""
        cdef Parameter *parameter
        cdef Recurrent *part
        cdef int place
        for name, array in layer.p.items():
            parameter = &stage.parameter[stage.parameters]
            stage.parameters += 1
            parameter.start = self.weights.start[f"{key}.{name}"]
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
        """Set the largest (rows, steps) of each compiled layer's inputs and outputs, for training and scoring."""
        cdef Py_ssize_t s, t, most, i, j
        cdef Stage *stage
        each = []  # (steps of a training piece, of a scored one, of a sample) of the outputs of each stage
        for i in range(self.count):
            stage = &self.stages[i]
            j = stage.sources[0]
            s, t, most = (batch[1], scored[1], steps) if j < 0 else each[j]
            self.sizes[2 * i] = Size(self.rows, most, max(batch[0] * (s + 2), scored[0] * (t + 2)), batch[0] * s)
            if stage.lengths != NULL:
                s, t = stage.lengths(stage, s) if s else 0, stage.lengths(stage, t) if t else 0
                most = stage.lengths(stage, most)
            self.sizes[2 * i + 1] = Size(self.rows, most, max(batch[0] * (s + 2), scored[0] * (t + 2)), batch[0] * s)
            each.append((s, t, most))
        return 0

    cdef Py_ssize_t _workspace_size(self, Py_ssize_t trained) except -1:
        """Return the largest workspace, in numbers, that any compiled layer needs for `trained` rows."""
        cdef Py_ssize_t i, most = 0
        cdef Stage *stage
        for i in range(self.count):
            stage = &self.stages[i]
            most = max(most, stage.workspace(stage, self.rows, self.sizes[2 * i].s, False))
            if trained:
                most = max(most, stage.workspace(stage, trained, self.sizes[2 * i].s, True))
        return most

    cdef int _assign_memory(self, Arena *arena, Py_ssize_t scratch) except -1:
        """Assign memory to all compiled layers and the batch; if the arena has no base, only count the bytes."""
        cdef Py_ssize_t i, j, u = self.stages[self.count - 1].u
        cdef Py_ssize_t *most = [0, 0]
        cdef void *between[2]  # dX of the stages with even numbers, and of those with odd ones
        cdef Size *size = self.sizes
        cdef Size last = size[2 * self.count - 1]
        cdef bint multiplies
        cdef Py_ssize_t rows = last.many if self.per_step else last.m
        cdef Stage *stage
        for i in range(self.count):
            stage = &self.stages[i]
            j = stage.sources[0]
            stage.lanes_come = j >= 0 and self.stages[j].lanes_come
            stage.plan(stage, arena, size[2 * i], size[2 * i + 1], self.carries)
            if stage.lanes_come and i < self.count - 1 and not stage.joins:  # the head reads lanes
                stage.X_as_rows = assign(arena, size[2 * i].many * stage.n, self.k.size)
            if not stage.may_return_input:
                stage.lanes_come = stage.recurrent
                if stage.parts:
                    stage.lanes_come = may_have_samples_in_lanes(stage.k, &stage.part[0].call)
            if stage.above != NULL:
                stage.fill_memory = assign(arena, stage.above.fill_size, self.k.size)
            if self._stores_dX(stage):
                most[i % 2] = max(most[i % 2], self._numbers_of_dX(i))
        for i in range(2):
            between[i] = NULL if self.branches else assign(arena, most[i], self.k.size)
        for i in range(self.count):
            stage = &self.stages[i]
            stage.dX_memory = between[i % 2]
            multiplies = stage.joins and (<Join *>stage.own).how == CGRU_MULTIPLY
            if self.branches and (self._stores_dX(stage) or (stage.goes and multiplies)):
                # Outputs with several readers keep what these add up to, so that all dX lie apart.
                stage.dX_memory = assign(arena, self._numbers_of_dX(i) * max(stage.joins, 1), self.k.size)
            if self.branches and stage.goes and (stage.readers > 1 or stage.recurrent):
                stage.dA_memory = assign(arena, size[2 * i + 1].back * stage.u, self.k.size)
        cdef void *memory = assign(arena, scratch, self.k.size)
        for i in range(self.count):
            self.stages[i].scratch = memory
        self.X = assign(arena, size.many * self.e, self.k.size)
        self.classes = <Py_ssize_t *>assign(arena, rows, sizeof(Py_ssize_t))
        self.targets = assign(arena, rows * u, self.k.size)
        self.row_weights = <double *>assign(arena, rows, sizeof(double))
        plan_batch(&self.batch, arena, size[0], self.timed)
        return 0

    cdef Py_ssize_t _numbers_of_dX(self, Py_ssize_t i) noexcept nogil:
        """Return how many numbers dX of compiled layer i has, for all steps that run at once."""
        return (self.sizes[2 * i].back if self.stages[i].steps_in else self.sizes[2 * i].m) * self.stages[i].n

    # --- one piece ---

    cdef cgru_array _read_input(self) noexcept nogil:
        """Read the inputs of the current piece, and return them; tokens go to the first layer."""
        cdef Stage *first = self.stages
        cdef Py_ssize_t column = 1 if self.branches else wanted_column(first, &self.batch.piece)
        cdef cgru_array X = time_major_array(self.X, self.e, self.batch.piece.m, column)
        read_times(&self.batch)
        if first.tokens != NULL:
            read_tokens(&self.batch, first.n, first.tokens)
        else:
            read_X(&self.batch, X, self.k.size)
        return X

    cdef void _point_to_parameters(self) noexcept nogil:
        """Set each layer's pointers to its parameters and gradients; without training, to averaged parameters."""
        cdef Parameter *each
        cdef Py_ssize_t i, j
        cdef char *base = self.weights.current() if self.batch.piece.training else self.weights.visible()
        for i in range(self.count):
            for j in range(self.stages[i].parameters):
                each = &self.stages[i].parameter[j]
                each.p[0] = base + each.start * self.k.size
                each.g[0] = self.weights.g + each.start * self.k.size

    cdef int _forward(self) except -1 nogil:
        """Read the inputs and run all compiled layers before the head."""
        cdef Py_ssize_t i, j
        cdef Stage *stage
        cdef cgru_array X = self._read_input()
        self._point_to_parameters()
        for i in range(self.count):
            read_decay(&self.batch, &self.stages[i])
        for i in range(self.count):
            stage = &self.stages[i]
            j = stage.sources[0]
            if j < 0:
                stage.piece, stage.X = &self.batch.piece, X
            else:
                stage.piece, stage.X = self.stages[j].output, self.stages[j].A
            for j in range(stage.joins):
                (<Join *>stage.own).parts[j] = X if stage.sources[j] < 0 else self.stages[stage.sources[j]].A
            stage.output = output_piece(stage)
            if i < self.count - 1:
                stage.forward(stage, stage.piece)
        return 0

    cdef int _run_head(self) except -1 nogil:
        """Run the head, and set the weight, mean loss and correct weight of the piece; in training write dL/dZ."""
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
        """Run the compiled layers backward from the head, as far as there are trainable layers."""
        cdef Py_ssize_t i
        cdef Stage *stage
        self.weights.clear()
        for i in range(self.count - 1, -1, -1):
            stage = &self.stages[i]
            if not stage.goes:
                continue
            stage.dX = no_array()
            if self._stores_dX(stage):
                stage.dX = time_major_array(stage.dX_memory, stage.n, stage.piece.m, stage.X.column)
            if stage.recurrent and (self.activity_l1 or self.activity_l2):
                self._penalise_outputs(stage)
            if i == self.count - 1:
                head_backward(stage, stage.piece)
            elif stage.joins:
                self._split(stage)
            else:
                stage.backward(stage, stage.piece)
            if stage.dX.data != NULL:
                self._give(stage.sources[0], stage.dX, True)
        for i in range(self.count):
            self.stages[i].dA = no_array()
        return 0

    cdef void _split(self, Stage *stage) noexcept nogil:
        """Pass dA of a layer that joins branches on to the branches."""
        cdef cgru_extent extent = extent_of(stage.piece, stage.steps_in)
        cdef Py_ssize_t at = stage.u, numbers = extent.m * extent.s * stage.u, j, other
        cdef const Join *join = <const Join *>stage.own
        cdef cgru_array dA, factor
        cdef bint own
        for j in range(stage.joins - 1, -1, -1):
            at -= join.widths[j]
            if stage.sources[j] < 0 or not self.stages[stage.sources[j]].goes:
                continue
            dA, own = stage.dA, False
            if join.how == CGRU_COPY:
                dA.data, own = <char *>dA.data + at * dA.column * self.k.size, stage.dA_is_own
            elif join.how == CGRU_MULTIPLY:
                factor, dA = dA, time_major(<char *>stage.dX_memory + j * numbers * self.k.size, stage.u, extent.m)
                own = True
                for other in range(stage.joins):
                    if other != j:
                        self.k.combine(CGRU_MULTIPLY, factor, join.parts[other], dA, extent, stage.u)
                        factor = dA
            self._give(stage.sources[j], dA, own)

    cdef void _give(self, Py_ssize_t i, cgru_array dA, bint own) noexcept nogil:
        """Add one reader's dL/dA to that of compiled layer i; `own`: the array may be overwritten."""
        cdef Stage *stage = &self.stages[i]
        cdef cgru_array to = dA
        cdef cgru_extent extent
        if stage.dA.data != NULL:
            extent = extent_of(stage.output, stage.steps_out)
            if not own:
                to = stage.dA if stage.dA_is_own else time_major(stage.dA_memory, stage.u, extent.m)
            self.k.combine(CGRU_ADD, stage.dA, dA, to, extent, stage.u)
            own = True
        stage.dA, stage.dA_is_own = to, own

    def blocks(self):
        """Return the block size, in steps, of each GRU's last backward pass, 0 before the first; for tests."""
        cdef Py_ssize_t i, j
        return [self.stages[i].part[j].block for i in range(self.count) for j in range(self.stages[i].parts)]

    cdef void _penalise_outputs(self, Stage *stage) noexcept nogil:
        """Add the gradient of the activity penalty to dA of a recurrent layer."""
        cdef const Piece *piece = stage.piece
        cdef double rows = 0
        cdef cgru_array dA
        cdef Py_ssize_t i
        for i in range(piece.m):
            rows += piece.length[i] if stage.steps_out else 1
        if not stage.dA_is_own:
            dA = time_major(stage.dA_memory, stage.u, piece.m)
            self.k.combine(CGRU_COPY, stage.dA, stage.dA, dA, extent_of(piece, stage.steps_out), stage.u)
            stage.dA = dA
        self.k.penalise(stage.A, self.activity_l1 / rows, self.activity_l2 / rows, stage.dA,
                        extent_of(piece, stage.steps_out), stage.u)

    cdef int _check_signals(self) except -1 nogil:
        """Count operations, and check for Ctrl-C after enough of them."""
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
        """Make an update from the current piece unless all weights are 0; return 0 or an error code.

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
        """Make the updates of an epoch, or of a part of it, and add to `sums`; return None, or where it failed.

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
        """Reset the states that recurrent layers carry between pieces."""
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
        """Make all updates for the m samples in `order`; return 1 if the fit diverges, else 0."""
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
        """Compute the states before the last `truncate` steps of each sample, and select these steps."""
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
        """Make an update from the current piece and add its figures to the totals; return 1 if the fit diverges."""
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
        """Add the weight, loss and correct weight of the last piece to the totals."""
        totals.sums[0] += self.weight
        totals.sums[1] += self.value * self.weight
        totals.sums[2] += self.right

    def scores(self, Source source not None, Py_ssize_t size, double[::1] sums):
        """Score all samples, `size` at a time; add weights, weighted losses and correct weights to `sums` (3,)."""
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
    """Return a layer's compiled stages as a tuple."""
    return stage if isinstance(stage, tuple) else (stage,)
