/* The float32 kernels with AVX-512. */
#define LEVEL avx512
#define T float
#define SIZE 4
#define BYTES 64
#include "body.h"
