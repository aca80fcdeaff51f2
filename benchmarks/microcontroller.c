/* Runs an exported model on a board of QEMU: prints ticks of SysTick for STEPS steps, bytes of stack, bytes of state. */
#include <stdint.h>
#include <string.h>

#include "model.h"

#ifndef NUMBER
#define NUMBER float
#endif
#define UNIT ((NUMBER)1 / 2 > 0 ? 0.5f : 4096)
#ifdef MODEL_TOKENS
#define MODEL_INPUTS 1
#define model_step(state, x, y) ((void)x, model_step(state, 1, y))
#endif
#define STEPS 100
#define PAINT 0xa5a5a5a5u
#define PAINTED 2048 /* words */

extern uint32_t stack_top;
void *memset(void *, int, size_t);
void reset(void);

static volatile uint32_t *const systick = (volatile uint32_t *)0xe000e010;
static model_state state;

/* Ask QEMU for something (semihosting): 4 writes a text, 0x18 ends with success. */
static void ask(int what, const void *argument) {
    register int r0 __asm("r0") = what;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void print(uint32_t number) {
    char digits[12], *at = digits + sizeof digits;
    *--at = 0;
    *--at = '\n';
    do *--at = (char)('0' + number % 10);
    while (number /= 10);
    ask(4, at);
}

/* The bytes below this call that are no longer painted after some steps: what a step and its calls took at most. */
static __attribute__((noinline)) uint32_t stack_of_a_step(const NUMBER *x, NUMBER *y) {
    register uint32_t *top __asm("sp");
    volatile uint32_t *bottom = top - PAINTED;
    for (int i = 0; i < PAINTED; i++) bottom[i] = PAINT;
    for (int t = 0; t < 9; t++) model_step(&state, x, y); /* not each of which has a whole frame */
    int unused = 0;
    while (bottom[unused] == PAINT) unused++;
    return (uint32_t)(PAINTED - unused) * sizeof(uint32_t);
}

static void run(void) {
    static NUMBER x[MODEL_INPUTS], y[MODEL_OUTPUTS];
    for (int i = 0; i < MODEL_INPUTS; i++) x[i] = (NUMBER)((NUMBER)(i % 5 - 2) * UNIT);
    model_init(&state);
    const uint32_t stack = stack_of_a_step(x, y);
    systick[1] = 0xffffff;
    systick[2] = 0;
    systick[0] = 5; /* it counts down, by the clock of the processor */
    const uint32_t before = systick[2];
    for (int t = 0; t < STEPS; t++) model_step(&state, x, y);
    const uint32_t after = systick[2];
    print((before - after) & 0xffffff);
    print(stack);
    print(sizeof state);
}

void reset(void) {
#ifdef __ARM_FP
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20; /* CPACR: the floating-point unit is on */
    __asm volatile("dsb\n isb");
#endif
    run(); /* memory is zero at the start, and nothing needs another value */
    ask(0x18, (const void *)0x20026);
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {&stack_top, (void *)reset};
