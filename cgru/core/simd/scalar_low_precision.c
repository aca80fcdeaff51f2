/* The low-precision kernels without vectors. */
#define LEVEL scalar
#define BYTES 1
#define VNNI 0
#include "low_precision_body.h"
