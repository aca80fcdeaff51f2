/* What a Cortex-M4 runs before `main`, and after it: it ends with what `main` returns, or with 99 after a fault. */
#include <stdint.h>
#include <stdio.h>

extern uint32_t stack_top, data_begin, data_end, data_kept, bss_begin, bss_end;
void initialise_monitor_handles(void);
void _exit(int code);
int main(void);
void reset(void);

void reset(void) {
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20; /* CPACR: the floating-point unit is on */
    __asm volatile("dsb\n isb");
    const uint32_t *from = &data_kept;
    for (uint32_t *to = &data_begin; to < &data_end;) *to++ = *from++;
    for (uint32_t *to = &bss_begin; to < &bss_end;) *to++ = 0;
    initialise_monitor_handles();
    const int code = main();
    fflush(stdout);
    _exit(code);
}

static void fault(void) { _exit(99); }

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    &stack_top, (void *)reset, (void *)fault, (void *)fault, (void *)fault, (void *)fault, (void *)fault};
