/*
 * conf - settings: one INI file, one table of keys for each section that a
 * program reads, and the command line that all programs share.
 *
 * A table gives the name, type, default, limits and help of each key once.
 * Parsing, defaults, --check and --help all use it, and a test compares
 * docs/operations.md with it.  A program reads [leat] and its own section.  It
 * skips the sections of the other daemons (ingestd, batchd, sinkd-*), which
 * may be in the same file.  Any other section, an unknown or repeated key, and
 * a value out of range are errors, whose messages have the line and what is
 * allowed.
 *
 * To be called from the main thread, at startup.
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
	CONF_SIZE,   /* int64_t, bytes: a number, or one with K, M, G or T */
	CONF_CHOICE, /* int: index into choices */
	CONF_TEXT,   /* char *: freed by conf_free; min..max bound its length */
};

/* A table ends with a key whose name is NULL. */
struct conf_key {
	const char *name;
	enum conf_type type;
	size_t offset;       /* of the field, in the struct of the table */
	const char *initial; /* default, as it would be in the file */
	int64_t min, max;    /* INT, SIZE: value; TEXT: length */
	const char *const *choices; /* CHOICE: ends with NULL */
	const char *help;           /* one sentence, for --help and the docs */
};

struct conf_table {
	const char *section;
	const struct conf_key *keys;
	void *into; /* struct that the offsets refer to; zeroed by the caller */
	/*
	 * Called for each pair of a section in which all names are allowed;
	 * keys is NULL.  Returns NULL, or why the pair is refused, a static
	 * text.
	 */
	const char *(*on_pair)(void *into, const char *name, const char *value);
	/*
	 * With on_pair: the values may contain # and ;, as passwords do.  A
	 * comment after a value is refused, as it may be meant as a part of
	 * the value.
	 */
	bool whole_values;
};

/* The values of an option that may be given several times. */
#define CONF_VALUES_MAX 64
struct conf_values {
	const char *at[CONF_VALUES_MAX]; /* in argv */
	size_t count;
};

/* An option that one program has in addition to the shared ones. */
struct conf_flag {
	const char *name;     /* "--accept-gap" */
	const char *help;     /* may be longer than a line: --help wraps it */
	bool *set;            /* NULL: it takes a value */
	const char *argument; /* what --help calls the value: "DIR" */
	const char **value;   /* set to the value, which is in argv */
	struct conf_values *values; /* instead, for an option that repeats */
	/*
	 * Instead, reads the value into `into`, after the settings were read.
	 * Returns 0, or -EINVAL after logging what is wrong with the text.
	 */
	int (*read)(const char *name, const char *text, void *into);
	void *into;
	bool no_file; /* if it is given, the settings are not read */
};
#define CONF_FLAGS_MAX 16

/* The settings file that was read, for messages about its content. */
struct conf_source;

struct conf_program {
	const char *name;                /* "batchd" */
	const char *summary;             /* one line for --help */
	const struct conf_table *tables; /* NULL: the file is not read */
	size_t table_count;
	const struct conf_flag *flags; /* may be NULL */
	size_t flag_count;
	/*
	 * Checks the settings together, after all are read; may be NULL.
	 * Returns 0; or -EINVAL after reporting, with conf_refuse, what is
	 * wrong and what to do.
	 */
	int (*validate)(const struct conf_source *source, void *arg);
	void *arg;
	const char **path; /* set to the file's path; may be NULL */
	/*
	 * What --help shows between the summary and the options, and after
	 * the options; may be NULL.
	 */
	const char *details, *examples;
	/*
	 * A command, not a daemon: it has no --check, and --help does not list
	 * the keys.  `operands` is set to the arguments that are no options;
	 * what and how many they may be is in `arguments`, as "SINK" or
	 * "[FILE]".  With no_config, it has no --config either.
	 */
	bool is_command;
	bool no_config;
	const char *arguments;
	struct conf_values *operands;
};

/* The settings file, unless --config names another one. */
#define CONF_PATH "/etc/leat/leat.conf"

/* Returned by conf_start if the program should run. */
#define CONF_RUN (-1)

/*
 * Handle the command line, which is --config PATH (default
 * CONF_PATH), --check (print the effective settings), --help,
 * --version and the program's flags; then read the file into the tables.
 * Returns CONF_RUN, or the status to exit with: 0, EXIT_CONFIG after logging
 * what is wrong, or EXIT_FAILURE if standard output cannot be written to.
 */
MUST_USE int conf_start(const struct conf_program *program, int argc,
                        char **argv);

/*
 * Flush standard output.  Returns status, or EXIT_FAILURE after logging that
 * not all could be written.
 */
MUST_USE int conf_finish_output(int status);

/* The largest settings file, in bytes. */
#define CONF_FILE_BYTES_MAX (256 * KIB)

/*
 * Read the text of an INI file into the tables; conf_start does this after the
 * command line.  `path` is for messages.  Keys that the text does not set get
 * their defaults.  Returns 0; or -EINVAL with up to `errors_size` bytes of
 * messages in errors, each on a line of its own.
 */
MUST_USE int conf_parse(const struct conf_program *program, const char *path,
                        const char *text, char *errors, size_t errors_size);

/*
 * Log that a key's value is refused (an error), or may be a mistake (a
 * warning).  The line has the file, the line of the key if the file sets it,
 * the value unless that is NULL, and the reason.  conf_refuse returns -EINVAL.
 */
int conf_refuse(const struct conf_source *source, const char *section,
                const char *key, const char *value, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
void conf_warn(const struct conf_source *source, const char *section,
               const char *key, const char *value, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

/* Warn if the value has quotes, which the file does not need. */
void conf_warn_quotes(const struct conf_source *source, const char *section,
                      const char *key, const char *value);

/*
 * Warn of the sections of sinks whose programs are not installed.  They are
 * misspelt, or no program on this machine reads them.
 */
void conf_warn_sections(const struct conf_source *source);

/*
 * With --check, refuse a file that is missing or cannot be read; as root, also
 * warn of one that the user of the daemons cannot read.  A path that is NULL or
 * empty names no file.  Without --check this does nothing, because the daemon
 * reads the file itself and can wait for it.  Returns 0, or -EINVAL after
 * logging the reason.
 */
MUST_USE int conf_check_file(const struct conf_source *source,
                             const char *section, const char *key,
                             const char *path);

/*
 * With --check, warn if a daemon could not create files in the directory at
 * path, of which it creates the last part, because the directory above is
 * missing or the user of the daemons may not write there.  With is_file, the
 * path is that of a file to be created, in a directory that must exist.
 */
void conf_check_directory(const struct conf_source *source, const char *section,
                          const char *key, const char *path, bool is_file);

/*
 * Format a size as it can be written in the file, with the largest unit of
 * which it is a multiple, such as "64M".  Returns out.
 */
#define CONF_SIZE_TEXT 24
const char *conf_size_text(int64_t bytes, char out[CONF_SIZE_TEXT]);

/* Parse a size as it can be written in the file.  Returns 0 or -EINVAL. */
MUST_USE int conf_parse_size(const char *text, int64_t *bytes);

/* Describe the values that a key allows, for messages and --help. */
void conf_describe(const struct conf_key *key, char *out, size_t size);

/* Return true if the n bytes of text are a TCP port, 1 to 65535. */
bool conf_is_port(const char *text, size_t n);

/* Free the CONF_TEXT fields and set them to NULL. */
void conf_free(const struct conf_table *tables, size_t table_count);

#endif
