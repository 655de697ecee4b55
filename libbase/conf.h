/*
 * conf - settings: one INI file, one table of keys for each section that a
 * program reads, and the command line that all programs share.
 *
 * A table says name, type, default, limits and help once; parsing, defaults,
 * --check, --help and docs/operations.md (held to it by a test) all come
 * from it.  A program reads [leat] and its own section; the sections of the
 * other daemons (ingestd, batchd, sinkd-*) may stand in the file and are
 * passed over.  Any other section, an unknown or repeated key, or a value
 * out of range is an error that names the line and what is allowed.
 *
 * Main thread only, at start.
 */
#ifndef LIBBASE_CONF_H
#define LIBBASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"

enum conf_type {
	CONF_BOOL,   /* bool: yes or no */
	CONF_INT,    /* int64_t */
	CONF_SIZE,   /* int64_t, bytes: a number, or one with K, M or G */
	CONF_CHOICE, /* int: index into choices */
	CONF_TEXT,   /* char *: freed by conf_free; min..max bound its length */
};

/* A table ends with a key whose name is NULL. */
struct conf_key {
	const char *name;
	enum conf_type type;
	size_t offset;       /* of the field, in the struct of the table */
	const char *initial; /* default, as it would stand in the file */
	int64_t min, max;    /* INT, SIZE: value; TEXT: length */
	const char *const *choices; /* CHOICE: ends with NULL */
	const char *help;           /* one sentence, for --help and the docs */
};

struct conf_table {
	const char *section;
	const struct conf_key *keys;
	void *into; /* struct that the offsets refer to; zeroed by the caller */
	/*
	 * With keys NULL: a section of free pairs.  Returns NULL, or why the
	 * pair is refused (static text).
	 */
	const char *(*on_pair)(void *into, const char *name, const char *value);
	/*
	 * With on_pair: the values may hold # and ;, as passwords do.  A
	 * comment behind one is refused, lest it is a part of the value.
	 */
	bool whole_values;
};

/* An option of one program beside the shared ones; takes no value. */
struct conf_flag {
	const char *name; /* "--retry-dead" */
	const char *help;
	bool *set;
};

struct conf_program {
	const char *name;    /* "batchd" */
	const char *summary; /* one line for --help */
	const struct conf_table *tables;
	size_t table_count;
	const struct conf_flag *flags; /* may be NULL */
	size_t flag_count;
	/*
	 * Checks across keys, after all are read; may be NULL.  Returns 0, or
	 * -EINVAL after saying what is wrong and what to do in the log.
	 */
	int (*validate)(void *arg);
	void *arg;
};

/* conf_start's answer when the program should go on. */
#define CONF_RUN (-1)

/*
 * Handle the command line: --config PATH (default /etc/leat/leat.conf),
 * --check (print the effective settings), --help, --version, and the
 * program's flags; then read the file into the tables.  Returns CONF_RUN, or
 * the status to exit with: 0, or EXIT_CONFIG after saying what is wrong.
 */
MUST_USE int conf_start(const struct conf_program *program, int argc,
                        char **argv);

/*
 * Read the text of an INI file; what conf_start does after the command line.
 * `path` is for messages.  Fields not in the text get their defaults.
 * Returns 0 or -EINVAL, with up to `errors_size` bytes of messages, one a
 * line, in errors.
 */
MUST_USE int conf_parse(const struct conf_program *program, const char *path,
                        const char *text, char *errors, size_t errors_size);

/* Free the CONF_TEXT fields and set them to NULL. */
void conf_free(const struct conf_table *tables, size_t table_count);

/*
 * Read a secret: the first line of the file at path, or, with path empty,
 * environment variable `env` (which is then removed from the environment).
 * Returns its length (0 when neither is set) or -errno; -EMSGSIZE when it
 * does not fit `size` bytes with its NUL.
 */
MUST_USE int conf_secret(const char *path, const char *env, char *out,
                         size_t size);

#endif
