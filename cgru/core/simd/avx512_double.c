/* The float64 kernels with AVX-512. */
#define LEVEL avx512
#define T double
#define SIZE 8
#define BYTES 64
#include "body.h"
