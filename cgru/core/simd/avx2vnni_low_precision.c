/* The low-precision kernels with AVX2 and AVX-VNNI. */
#define LEVEL avx2vnni
#define BYTES 32
#define VNNI 1
#define BF16 0
#include "low_precision_body.h"
