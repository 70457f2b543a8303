/* Vectors of the target's width, by the compiler's own extension: no intrinsics, the same source for every level.
 * A wider vector than the target has would be taken apart into scalars by gcc. */
#ifndef RECOKIT_VECTORS_H
#define RECOKIT_VECTORS_H

#include "common.h"

#if defined(__AVX2__)
#define RK_VECTOR_BYTES 32
#else
#define RK_VECTOR_BYTES 16
#endif
/* Numbers of 32 and of 64 bits in one vector. */
#define RK_FLOATS (RK_VECTOR_BYTES / 4)
#define RK_DOUBLES (RK_VECTOR_BYTES / 8)

typedef float rk_floats __attribute__((vector_size(RK_VECTOR_BYTES)));
typedef int32_t rk_ints __attribute__((vector_size(RK_VECTOR_BYTES)));
typedef double rk_doubles __attribute__((vector_size(RK_VECTOR_BYTES)));
typedef int64_t rk_longs __attribute__((vector_size(RK_VECTOR_BYTES)));

/* Read from and write to any address of the right type; memcpy becomes one instruction. */
#define RK_LOAD(vector, address) memcpy(&(vector), (address), RK_VECTOR_BYTES)
#define RK_STORE(address, vector) memcpy((address), &(vector), RK_VECTOR_BYTES)

#endif
