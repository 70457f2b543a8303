/* What every kernel includes. Only C11: no OpenMP, no BLAS, no Python. */
#ifndef RECOKIT_COMMON_H
#define RECOKIT_COMMON_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

#if defined(_WIN32)
#define RK_EXPORT __declspec(dllexport)
#else
#define RK_EXPORT __attribute__((visibility("default")))
#endif

#define RK_NO_MEMORY (-1)
#define RK_BAD_INDEX (-2)

#endif
