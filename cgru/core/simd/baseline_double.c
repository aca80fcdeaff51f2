#define LEVEL baseline
#define T double
#define SIZE 8
#define BYTES 16
#include "body.h"
