/* The level of the processor, read from it: compilers' own builtins answer differently from one to the next.
 * Integer code only, so that it runs on processors below the level that the rest was compiled for. */
#include "common.h"

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t enabled_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

RK_EXPORT int rk_cpu_level(void) {
    unsigned a, b, c, d, extended_c = 0, seven_b = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 1;
    unsigned one_c = c;
    if (__get_cpuid(0x80000001u, &a, &b, &c, &d)) extended_c = c;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) seven_b = b;

    const unsigned v2 = bit_SSE3 | bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT | bit_CMPXCHG16B;
    if ((one_c & v2) != v2 || !(extended_c & bit_LAHF_LM)) return 1;
    const unsigned v3 = bit_AVX | bit_F16C | bit_FMA | bit_MOVBE | bit_OSXSAVE;
    if ((one_c & v3) != v3) return 2;
    /* The operating system must save the wide registers (SSE and AVX state), too. */
    if ((enabled_state() & 6) != 6) return 2;
    const unsigned v3_seven = bit_AVX2 | bit_BMI | bit_BMI2;
    return (seven_b & v3_seven) == v3_seven && (extended_c & bit_LZCNT) ? 3 : 2;
}
#else
RK_EXPORT int rk_cpu_level(void) { return 0; }
#endif

RK_EXPORT uint32_t rk_declarations(void) { return RK_DECLARATIONS; }
