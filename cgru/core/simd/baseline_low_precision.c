/* The low-precision kernels with vectors of 128 bits (SSE2, NEON). */
#define LEVEL baseline
#define BYTES 16
#define VNNI 0
#include "low_precision_body.h"
