/* The float64 kernels with AVX2 and FMA. */
#define LEVEL avx2
#define T double
#define SIZE 8
#define BYTES 32
#include "body.h"
