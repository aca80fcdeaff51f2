/* The low-precision kernels with NEON and sdot. */
#define LEVEL baselinedot
#define BYTES 16
#define VNNI 1
#include "low_precision_body.h"
