/* The float64 kernels without vectors. */
#define LEVEL scalar
#define T double
#define SIZE 8
#define BYTES 1
#include "body.h"
