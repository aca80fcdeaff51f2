/* The float64 kernels with vectors of 128 bits (SSE2, NEON). */
#define LEVEL baseline
#define T double
#define SIZE 8
#define BYTES 16
#include "body.h"
