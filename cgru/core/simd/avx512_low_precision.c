/* The low-precision kernels with AVX-512. */
#define LEVEL avx512
#define BYTES 64
#define VNNI 0
#include "low_precision_body.h"
