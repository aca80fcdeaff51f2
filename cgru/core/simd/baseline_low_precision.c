#define LEVEL baseline
#define BYTES 16
#define VNNI 0
#define BF16 0
#include "low_precision_body.h"
