/* The low-precision kernels with AVX-512 VNNI. */
#define LEVEL avx512vnni
#define BYTES 64
#define VNNI 1
#include "low_precision_body.h"
