/* The low-precision kernels with AVX-512 VNNI and BF16. */
#define LEVEL avx512bf16
#define BYTES 64
#define VNNI 1
#define BF16 1
#include "low_precision_body.h"
