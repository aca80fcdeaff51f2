/* The step that `cgru.cell` offers to compiled code, called by compiled code. */
#include <stddef.h>

typedef int step_function(const void *cell, ptrdiff_t m, const float *x, float *h, void *workspace, ptrdiff_t bytes);

/* `turns` times through X (frames, e), one sample; h (u) in and out. The first code that is not 0 ends it. */
int cell_steps(step_function *step, const void *cell, const float *X, ptrdiff_t frames, ptrdiff_t e, ptrdiff_t turns,
               float *h, void *workspace, ptrdiff_t bytes) {
    for (ptrdiff_t turn = 0; turn < turns; turn++)
        for (ptrdiff_t i = 0; i < frames; i++) {
            int code = step(cell, 1, X + i * e, h, workspace, bytes);
            if (code) return code;
        }
    return 0;
}
