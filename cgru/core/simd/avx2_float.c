/* The float32 kernels with AVX2 and FMA. */
#define LEVEL avx2
#define T float
#define SIZE 4
#define BYTES 32
#include "body.h"
