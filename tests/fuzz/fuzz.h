/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/**
 * @file fuzz.h
 * @brief What each fuzz target is: one function that takes any bytes. It links with libFuzzer
 *        (clang -fsanitize=fuzzer) or with replay.c, which feeds it files.
 */
#ifndef BS_TEST_FUZZ_H
#define BS_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** What must hold whatever the input is; assert() would be gone with NDEBUG. */
#define MUST(condition) ((condition) ? (void)0 : fuzz_fail(#condition, __FILE__, __LINE__))

static inline void fuzz_fail(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

#endif
