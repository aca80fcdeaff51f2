#define LEVEL avx512
#define BYTES 64
#define VNNI 0
#define BF16 0
#include "narrow_body.h"
