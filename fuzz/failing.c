/* Allocators of Python and NumPy that fail when told to, and count the blocks that are alive. */
#include <Python.h>
#include <unwind.h>

#include <numpy/arrayobject.h>

static long long due, calls, blocks; /* the allocation that fails; those of the call under test; blocks alive */
static int armed;                    /* whether a call is under test */

/* What crashes or leaks where it gets no memory, none of it this project's, and therefore is spared: the cell of a closure,
 * without which CPython 3.11 leaks the arguments of the call, known by its size; an array for an iterator, as in ufuncs
 * that cast, where NumPy 2.4 crashes; all of a dtype, which it leaks. For pairs see failing.py. */
enum { CELL = sizeof(PyCellObject) + 2 * sizeof(void *) };
static const void *spared[2];

/* Set `found` where a frame of the stack is that of such a function. */
static _Unwind_Reason_Code look_at(struct _Unwind_Context *frame, void *found) {
    const void *function = (const void *)_Unwind_GetRegionStart(frame);
    for (size_t i = 0; i < sizeof spared / sizeof *spared; i++)
        if (function == spared[i]) *(int *)found = 1;
    return _URC_NO_REASON;
}

/* Return whether this allocation is to fail. */
static int fails(size_t bytes) {
    if (!__atomic_load_n(&armed, __ATOMIC_RELAXED) || bytes == CELL) return 0;
    const long long n = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    if (n != due) return 0;
    int found = 0;
    _Unwind_Backtrace(look_at, &found);
    return !found;
}

static void *counted(void *block) {
    if (block) __atomic_add_fetch(&blocks, 1, __ATOMIC_RELAXED);
    return block;
}

static void uncount(const void *block) {
    if (block) __atomic_sub_fetch(&blocks, 1, __ATOMIC_RELAXED);
}

/* Define four functions around those of the allocator `under`; NumPy's `free` has a size, too. */
#define AROUND(name, allocator, size, with_size)                                                        \
    static allocator name##_under;                                                                      \
    static void *name##_malloc(void *context, size_t bytes) {                                           \
        (void)context;                                                                                  \
        return fails(bytes) ? NULL : counted(name##_under.malloc(name##_under.ctx, bytes));                  \
    }                                                                                                   \
    static void *name##_calloc(void *context, size_t n, size_t bytes) {                                 \
        (void)context;                                                                                  \
        return fails(bytes) ? NULL : counted(name##_under.calloc(name##_under.ctx, n, bytes));               \
    }                                                                                                   \
    static void *name##_realloc(void *context, void *block, size_t bytes) {                             \
        (void)context;                                                                                  \
        if (fails(bytes)) return NULL;                                                                       \
        void *moved = name##_under.realloc(name##_under.ctx, block, bytes);                             \
        return block ? moved : counted(moved);                                                          \
    }                                                                                                   \
    static void name##_free(void *context, void *block size) {                                          \
        (void)context;                                                                                  \
        uncount(block);                                                                                 \
        name##_under.free(name##_under.ctx, block with_size);                                           \
    }
#define NONE
#define SIZE , size_t size
#define WITH_SIZE , size
AROUND(raw, PyMemAllocatorEx, NONE, NONE)
AROUND(memory, PyMemAllocatorEx, NONE, NONE)
AROUND(object, PyMemAllocatorEx, NONE, NONE)
AROUND(data, PyDataMemAllocator, SIZE, WITH_SIZE)

#define HOOK(name, domain)                                                                              \
    do {                                                                                                \
        PyMemAllocatorEx around = {NULL, name##_malloc, name##_calloc, name##_realloc, name##_free};    \
        PyMem_GetAllocator(domain, &name##_under);                                                      \
        PyMem_SetAllocator(domain, &around);                                                            \
    } while (0)

/* Put the allocators in place, for good. */
PyObject *install(void) {
    static PyDataMem_Handler handler = {"failing", 1, {NULL, data_malloc, data_calloc, data_realloc, data_free}};
    import_array();
    spared[0] = (const void *)NpyIter_AdvancedNew;
    spared[1] = (const void *)((PyTypeObject *)&PyArrayDescr_Type)->tp_new;
    PyObject *before = PyDataMem_GetHandler();
    if (before == NULL) return NULL;
    data_under = ((PyDataMem_Handler *)PyCapsule_GetPointer(before, "mem_handler"))->allocator;
    Py_DECREF(before);
    PyObject *capsule = PyCapsule_New(&handler, "mem_handler", NULL);
    if (capsule == NULL) return NULL;
    before = PyDataMem_SetHandler(capsule);
    Py_DECREF(capsule);
    if (before == NULL) return NULL;
    Py_DECREF(before);
    HOOK(raw, PYMEM_DOMAIN_RAW);
    HOOK(memory, PYMEM_DOMAIN_MEM);
    HOOK(object, PYMEM_DOMAIN_OBJ);
    Py_RETURN_NONE;
}

/* Call f while its allocation n fails; n 0: none. */
PyObject *call(PyObject *f, long long n) {
    due = n, calls = 0;
    __atomic_store_n(&armed, 1, __ATOMIC_RELEASE);
    PyObject *result = PyObject_CallNoArgs(f);
    __atomic_store_n(&armed, 0, __ATOMIC_RELEASE);
    return result;
}

/* How many allocations the last call made. */
long long allocations(void) { return calls; }

/* How many blocks are alive of those that were allocated since `install`, less those of before that were freed since. */
long long alive(void) { return blocks; }
