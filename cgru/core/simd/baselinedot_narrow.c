#define LEVEL baselinedot
#define BYTES 16
#define VNNI 1
#include "narrow_body.h"
