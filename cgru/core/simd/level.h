/* Both dtypes of one level: set BYTES, ROWS, SUFFIX and LEVEL, then include. */
#define SIZE 4
#include "body.h"
#define SIZE 8
#include "body.h"
#undef BYTES
#undef ROWS
#undef SUFFIX
#undef LEVEL
