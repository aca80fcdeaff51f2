/* The float32 kernels with vectors of 128 bits (SSE2, NEON). */
#define LEVEL baseline
#define T float
#define SIZE 4
#define BYTES 16
#include "body.h"
