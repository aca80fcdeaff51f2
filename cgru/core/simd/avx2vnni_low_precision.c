/* The low-precision kernels with AVX2 and AVX-VNNI. */
#define LEVEL avx2vnni
#define BYTES 32
#define VNNI 1
#include "low_precision_body.h"
