/* Every kernel of one dtype and level: set SIZE (of a number, 4 or 8), BYTES (of a vector), ROWS (of a tile), SUFFIX and
 * LEVEL, then include. */

#define JOIN_(name, suffix, size) name##_##suffix##_##size
#define JOIN(name, suffix, size) JOIN_(name, suffix, size)
#define NAME(name) JOIN(name, SUFFIX, SIZE)

#if SIZE == 4
#define T float
#define INT int32_t
#define UINT uint32_t
#else
#define T double
#define INT int64_t
#define UINT uint64_t
#endif
#if BYTES > SIZE
#define LANES (BYTES / SIZE)
#else
#define LANES 1
#endif

#include "vector.h"
#include "tile.h"
#include "cell.h"
#include "single.h"
#include "outer.h"
#include "norm.h"

static const cgru_kernels NAME(kernels) = {
    .level = LEVEL,
    .size = SIZE,
    .lanes = LANES,
    .pack = NAME(pack),
    .product = NAME(product),
    .start = NAME(start),
    .load = NAME(load_x),
    .finish = NAME(finish),
    .pad = NAME(pad),
    .pad_backward = NAME(pad_backward),
    .gates_backward = NAME(gates_backward),
    .single_step = NAME(single_step),
    .single_forward = NAME(single_forward),
    .single_backward = NAME(single_backward),
    .lay = NAME(lay),
    .gates = NAME(gates),
    .recurrent = NAME(recurrent),
    .candidate = NAME(candidate),
    .reset_backward = NAME(reset_backward),
    .state_backward = NAME(state_backward),
    .input_backward = NAME(input_backward),
    .put = NAME(put),
    .collect = NAME(collect),
    .multiply = NAME(multiply),
    .panels = NAME(panels_of),
    .activation = NAME(activation),
    .norm_forward = NAME(norm_forward),
    .norm_backward = NAME(norm_backward),
};

#undef JOIN_
#undef JOIN
#undef NAME
#undef T
#undef INT
#undef UINT
#undef LANES
#undef SIZE
/* vector.h */
#undef loose
#undef vec
#undef ints
#undef uints
#undef BITS
#undef NUMBERS
#undef SELECT
#undef ZERO
#undef SIGN
#undef SHIFTER
#undef MANTISSA
#undef BIAS
#undef LOWEST
#undef NEGLIGIBLE
#undef SMALLEST
#undef LN2_HIGH
#undef LN2_LOW
#undef LOG2_E
/* tile.h */
#undef PARTS
#undef TILE_OF
#undef TILE
#undef TILES
#undef TABLE
#undef TABLES
/* cell.h */
#undef SAMPLE
#undef AT
#undef ROW
/* single.h */
#undef EACH_PART
#undef LEFT
#undef STEP_OF
#undef INPUTS
#undef RESET
#undef UPDATE
#undef RECURRENT
#undef CANDIDATE
#undef RESET_BACKWARD
#undef STATE_BACKWARD
/* outer.h */
#undef VECTORS_OF
/* norm.h */
#undef EPSILON
#undef EACH_VECTOR
#undef SCALED
