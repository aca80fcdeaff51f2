#define LEVEL scalar
#define BYTES 1
#define VNNI 0
#include "narrow_body.h"
