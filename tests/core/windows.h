/* What programs of the tests miss on Windows; Mingw-w64 includes it before all else. */
#include <fcntl.h>
#include <io.h>
#include <malloc.h>
#include <stdio.h>

#define aligned_alloc(alignment, bytes) _aligned_malloc(bytes, alignment)
#define alarm(seconds) ((void)(seconds))

/* stdin and stdout are bytes, not lines. */
__attribute__((constructor)) static void use_bytes(void) {
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
}
