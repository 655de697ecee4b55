/*
 * base - the few macros that every file uses.
 */
#ifndef LIBBASE_BASE_H
#define LIBBASE_BASE_H

#include <stddef.h>
#include <stdint.h>

#define LEAT_VERSION "0.1.0"

/* The compiler warns if a caller ignores the result. */
#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Exit status for a configuration error, which a restart does not fix. */
#define EXIT_CONFIG 2
/*
 * Exit status of a command when batchd, or another program, has answered and
 * something is not well: a problem, or an order that is refused.
 */
#define EXIT_NOT_WELL 3

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

#endif
