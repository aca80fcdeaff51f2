/* The float32 kernels without vectors. */
#define LEVEL scalar
#define T float
#define SIZE 4
#define BYTES 1
#include "body.h"
