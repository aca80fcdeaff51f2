/* The low-precision kernels with AVX2 and FMA. */
#define LEVEL avx2
#define BYTES 32
#define VNNI 0
#include "low_precision_body.h"
