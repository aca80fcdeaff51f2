#define LEVEL baseline
#define T float
#define SIZE 4
#define BYTES 16
#include "body.h"
