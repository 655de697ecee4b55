/* conf - see conf.h. */
#include "libbase/conf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbase/ini.h"
#include "libbase/log.h"

#define DEFAULT_PATH "/etc/leat/leat.conf"
#define FILE_MAX_BYTES (256 * KIB)
#define ERRORS_BYTES 4096
#define KEYS_MAX 128 /* keys of one program, all tables together */

struct parse {
	const struct conf_program *program;
	const char *path;
	int line; /* that was read last */
	char *errors;
	size_t errors_size;
	size_t errors_used;
	bool failed;
	bool seen[KEYS_MAX];
};

static void complain(struct parse *p, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void
complain(struct parse *p, const char *fmt, ...)
{
	size_t room;
	va_list ap;
	int n;

	p->failed = true;
	room = p->errors_size - p->errors_used;
	n = snprintf(p->errors + p->errors_used, room, "%s:%d: ", p->path,
	             p->line);
	if (n < 0 || (size_t)n >= room)
		return;
	p->errors_used += (size_t)n;
	room -= (size_t)n;
	va_start(ap, fmt);
	n = vsnprintf(p->errors + p->errors_used, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n + 1 >= room)
		return;
	p->errors_used += (size_t)n;
	p->errors[p->errors_used++] = '\n';
	p->errors[p->errors_used] = '\0';
}

/* A whole number with an optional size suffix.  Returns 0 or -EINVAL. */
static int
parse_number(const char *text, bool size_suffix, int64_t *out)
{
	char *end;
	intmax_t v, unit = 1;

	errno = 0;
	v = strtoimax(text, &end, 10);
	if (errno != 0 || end == text || isspace((unsigned char)*text))
		return -EINVAL;
	if (size_suffix && *end) {
		switch (toupper((unsigned char)*end)) {
		case 'K':
			unit = 1 << 10;
			break;
		case 'M':
			unit = 1 << 20;
			break;
		case 'G':
			unit = 1 << 30;
			break;
		default:
			return -EINVAL;
		}
		end++;
		if (strcmp(end, "iB") == 0)
			end += 2;
	}
	if (*end || v > INT64_MAX / unit || v < INT64_MIN / unit)
		return -EINVAL;
	*out = v * unit;
	return 0;
}

static void
describe_choices(const struct conf_key *key, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (int i = 0; key->choices[i]; i++) {
		int n = snprintf(out + used, size - used, "%s%s", i ? ", " : "",
		                 key->choices[i]);
		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

/* What the key takes, for messages and --help. */
static void
describe(const struct conf_key *key, char *out, size_t size)
{
	char choices[256];

	switch (key->type) {
	case CONF_BOOL:
		(void)snprintf(out, size, "yes or no");
		return;
	case CONF_INT:
		(void)snprintf(out, size,
		               "a whole number from %" PRId64 " to %" PRId64,
		               key->min, key->max);
		return;
	case CONF_SIZE:
		(void)snprintf(out, size,
		               "bytes (K, M, G may follow) from %" PRId64
		               " to %" PRId64,
		               key->min, key->max);
		return;
	case CONF_CHOICE:
		describe_choices(key, choices, sizeof choices);
		(void)snprintf(out, size, "one of: %s", choices);
		return;
	case CONF_TEXT:
		(void)snprintf(out, size,
		               "text of %" PRId64 " to %" PRId64 " bytes",
		               key->min, key->max);
		return;
	}
}

/* Set one field.  Returns 0, -EINVAL (not allowed) or -ENOMEM. */
static int
set_field(const struct conf_key *key, void *into, const char *value)
{
	void *field = (char *)into + key->offset;
	char **text = field, *copy;
	int64_t number;

	switch (key->type) {
	case CONF_BOOL:
		if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
			return -EINVAL;
		*(bool *)field = value[0] == 'y';
		return 0;
	case CONF_INT:
	case CONF_SIZE:
		if (parse_number(value, key->type == CONF_SIZE, &number) < 0 ||
		    number < key->min || number > key->max)
			return -EINVAL;
		*(int64_t *)field = number;
		return 0;
	case CONF_CHOICE:
		for (int i = 0; key->choices[i]; i++) {
			if (strcmp(value, key->choices[i]) == 0) {
				*(int *)field = i;
				return 0;
			}
		}
		return -EINVAL;
	case CONF_TEXT:
		if ((int64_t)strlen(value) < key->min ||
		    (int64_t)strlen(value) > key->max)
			return -EINVAL;
		copy = strdup(value);
		if (!copy)
			return -ENOMEM;
		free(*text);
		*text = copy;
		return 0;
	}
	return -EINVAL;
}

/* Sections of other programs, which this one passes over. */
static bool
known_section(const struct conf_program *program, const char *section)
{
	size_t n = strlen(program->name);

	/* [sinkd-kafka.x] is sinkd-kafka's alone, and it has no such one. */
	if (strncmp(section, program->name, n) == 0 && section[n] == '.')
		return false;
	return strcmp(section, "leat") == 0 ||
	       strcmp(section, "ingestd") == 0 ||
	       strcmp(section, "batchd") == 0 ||
	       strncmp(section, "sinkd-", 6) == 0;
}

static void
on_key(struct parse *p, const struct conf_table *table, size_t key_index,
       size_t seen_index, const char *value)
{
	const struct conf_key *key = &table->keys[key_index];
	char allowed[512];

	if (p->seen[seen_index])
		complain(p, "[%s] %s is set twice", table->section, key->name);
	p->seen[seen_index] = true;
	if (set_field(key, table->into, value) < 0) {
		describe(key, allowed, sizeof allowed);
		complain(p, "[%s] %s = %s: must be %s", table->section,
		         key->name, value, allowed);
	}
}

static size_t
key_count(const struct conf_table *table)
{
	size_t n = 0;

	while (table->keys && table->keys[n].name)
		n++;
	return n;
}

static void
on_free_pair(struct parse *p, const struct conf_table *table,
             const struct ini_line *line)
{
	const char *why = NULL;

	if (line->comment && table->whole_values)
		why = "a comment cannot stand behind this value, which may "
		      "hold # and ; itself: put it on a line of its own, or "
		      "write \\# and \\; for what belongs to the value";
	if (!why)
		why = table->on_pair(table->into, line->name, line->value);
	if (why)
		complain(p, "[%s] %s: %s", line->section, line->name, why);
}

/*
 * A section begins.  Whether there is such a one is looked at here, so that
 * it is also known of one with no pair in it.
 */
static void
on_section(struct parse *p, const char *section)
{
	const struct conf_program *program = p->program;
	bool ours = false;

	for (size_t i = 0; i < program->table_count; i++)
		ours |= strcmp(program->tables[i].section, section) == 0;
	if (!ours && !known_section(program, section))
		complain(p,
		         "unknown section [%s]: must be leat, ingestd, "
		         "batchd or sinkd-...",
		         section);
}

static void
on_pair(struct parse *p, const struct ini_line *line)
{
	const struct conf_program *program = p->program;
	bool ours = false;
	size_t first = 0;

	for (size_t i = 0; i < program->table_count; i++) {
		const struct conf_table *t = &program->tables[i];
		size_t n = key_count(t);

		if (strcmp(t->section, line->section) != 0) {
			first += n;
			continue;
		}
		ours = true;
		if (t->on_pair) {
			on_free_pair(p, t, line);
			return;
		}
		/* A sink's own keys share a section with all sinks' keys. */
		for (size_t j = 0; j < n; j++) {
			if (strcmp(t->keys[j].name, line->name) == 0) {
				on_key(p, t, j, first + j, line->value);
				return;
			}
		}
		first += n;
	}
	if (ours)
		complain(p, "[%s] has no key '%s' (%s --help lists the keys)",
		         line->section, line->name,
		         strcmp(line->section, "leat") == 0 ? "batchd"
		                                            : program->name);
	else if (line->section[0] == '\0')
		complain(p, "'%s' stands before the first [section]",
		         line->name);
}

static void
on_line(struct parse *p, const struct ini_line *line)
{
	if (line->why)
		complain(p, "%s", line->why);
	else if (line->name)
		on_pair(p, line);
	else
		on_section(p, line->section);
}

int
conf_parse(const struct conf_program *program, const char *path,
           const char *text, char *errors, size_t errors_size)
{
	struct parse p = {.program = program,
	                  .path = path,
	                  .errors = errors,
	                  .errors_size = errors_size};
	struct ini ini = {.rest = text};
	struct ini_line line;

	errors[0] = '\0';
	for (size_t i = 0; i < program->table_count; i++) {
		const struct conf_table *t = &program->tables[i];

		for (size_t j = 0; t->keys && t->keys[j].name; j++) {
			/* A default that its own table refuses is our bug. */
			if (set_field(&t->keys[j], t->into,
			              t->keys[j].initial) < 0)
				complain(&p, "bad default for %s",
				         t->keys[j].name);
		}
	}
	while (ini_next(&ini, &line)) {
		p.line = ini.line;
		on_line(&p, &line);
	}
	return p.failed ? -EINVAL : 0;
}

void
conf_free(const struct conf_table *tables, size_t table_count)
{
	for (size_t i = 0; i < table_count; i++) {
		const struct conf_table *t = &tables[i];

		for (size_t j = 0; t->keys && t->keys[j].name; j++) {
			char **field = (char **)(void *)((char *)t->into +
			                                 t->keys[j].offset);

			if (t->keys[j].type != CONF_TEXT)
				continue;
			free(*field);
			*field = NULL;
		}
	}
}

/*
 * The whole file as text, with a NUL behind it.  Returns 0 or -errno; the
 * caller frees *out.
 */
static int
read_file(const char *path, char **out, size_t *bytes)
{
	char *text = NULL;
	size_t used = 0;
	int fd, rc = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	text = malloc(FILE_MAX_BYTES + 1);
	if (!text)
		rc = -ENOMEM;
	while (rc == 0) {
		ssize_t n = read(fd, text + used, FILE_MAX_BYTES + 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = -errno;
		if (n <= 0)
			break;
		used += (size_t)n;
		if (used > FILE_MAX_BYTES)
			rc = -EFBIG;
	}
	(void)close(fd); /* read only: nothing to lose */
	if (rc < 0) {
		free(text);
		return rc;
	}
	text[used] = '\0';
	*out = text;
	*bytes = used;
	return 0;
}

static void
print_value(const struct conf_key *key, const void *into)
{
	const char *field = (const char *)into + key->offset;

	printf("%s = ", key->name);
	switch (key->type) {
	case CONF_BOOL:
		printf("%s\n",
		       *(const bool *)(const void *)field ? "yes" : "no");
		return;
	case CONF_INT:
	case CONF_SIZE:
		printf("%" PRId64 "\n", *(const int64_t *)(const void *)field);
		return;
	case CONF_CHOICE:
		printf("%s\n", key->choices[*(const int *)(const void *)field]);
		return;
	case CONF_TEXT:
		printf("%s\n", *(char *const *)(const void *)field);
		return;
	}
}

static void
print_tables(const struct conf_program *program)
{
	const char *section = "";

	for (size_t i = 0; i < program->table_count; i++) {
		const struct conf_table *t = &program->tables[i];

		if (strcmp(section, t->section) != 0)
			printf("%s[%s]\n", i ? "\n" : "", t->section);
		section = t->section;
		for (size_t j = 0; t->keys && t->keys[j].name; j++)
			print_value(&t->keys[j], t->into);
	}
}

static void
print_help(const struct conf_program *program)
{
	char allowed[512];
	const char *section = "";

	printf("usage: %s [--config PATH] [--check]\n\n%s\n\n"
	       "  --config PATH  settings (default " DEFAULT_PATH ")\n"
	       "  --check        check them, print what is in force, exit\n"
	       "  --help         this text\n"
	       "  --version      the version\n",
	       program->name, program->summary);
	for (size_t i = 0; i < program->flag_count; i++)
		printf("  %-14s %s\n", program->flags[i].name,
		       program->flags[i].help);
	for (size_t i = 0; i < program->table_count; i++) {
		const struct conf_table *t = &program->tables[i];

		if (strcmp(section, t->section) != 0)
			printf("\n[%s]\n", t->section);
		section = t->section;
		for (size_t j = 0; t->keys && t->keys[j].name; j++) {
			const struct conf_key *key = &t->keys[j];

			describe(key, allowed, sizeof allowed);
			printf("  %s = %s\n      %s\n      %s\n", key->name,
			       key->initial, key->help, allowed);
		}
	}
}

static bool
take_flag(const struct conf_program *program, const char *arg)
{
	for (size_t i = 0; i < program->flag_count; i++) {
		if (strcmp(program->flags[i].name, arg) == 0) {
			*program->flags[i].set = true;
			return true;
		}
	}
	return false;
}

int
conf_start(const struct conf_program *program, int argc, char **argv)
{
	char errors[ERRORS_BYTES], *text = NULL;
	const char *path = DEFAULT_PATH;
	bool check = false;
	size_t bytes = 0;
	int rc;

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];

		if (strcmp(arg, "--help") == 0) {
			print_help(program);
			return EXIT_SUCCESS;
		} else if (strcmp(arg, "--version") == 0) {
			printf("%s %s\n", program->name, LEAT_VERSION);
			return EXIT_SUCCESS;
		} else if (strcmp(arg, "--check") == 0) {
			check = true;
		} else if (strcmp(arg, "--config") == 0 && i + 1 < argc) {
			path = argv[++i];
		} else if (!take_flag(program, arg)) {
			log_error("unknown argument arg=%s (see --help)",
			          log_quote(arg));
			return EXIT_CONFIG;
		}
	}
	rc = read_file(path, &text, &bytes);
	if (rc < 0) {
		log_error("cannot read the settings path=%s err=%s "
		          "(--config names another file)",
		          log_quote(path), log_quote(strerror(-rc)));
		return EXIT_CONFIG;
	}
	if (strlen(text) != bytes) {
		/* It would hide what stands behind it. */
		log_error("settings refused: %s: there is a NUL byte in it",
		          path);
		free(text);
		return EXIT_CONFIG;
	}
	rc = conf_parse(program, path, text, errors, sizeof errors);
	free(text);
	if (rc < 0) {
		for (char *line = strtok(errors, "\n"); line;
		     line = strtok(NULL, "\n"))
			log_error("settings refused: %s", line);
		return EXIT_CONFIG;
	}
	if (program->validate && program->validate(program->arg) < 0)
		return EXIT_CONFIG;
	if (check) {
		print_tables(program);
		return EXIT_SUCCESS;
	}
	return CONF_RUN;
}

int
conf_secret(const char *path, const char *env, char *out, size_t size)
{
	const char *value;
	char *text = NULL;
	size_t n, bytes;
	int rc;

	out[0] = '\0';
	if (path && path[0]) {
		rc = read_file(path, &text, &bytes);
		if (rc < 0 || !text)
			return rc;
		n = strcspn(text, "\r\n");
	} else {
		value = getenv(env);
		if (!value)
			return 0;
		text = strdup(value);
		if (!text)
			return -ENOMEM;
		(void)unsetenv(env); /* fails only for a bad name */
		n = strlen(text);
	}
	rc = (int)n;
	if (n >= size) {
		rc = -EMSGSIZE;
	} else {
		memcpy(out, text, n);
		out[n] = '\0';
	}
	explicit_bzero(text, strlen(text));
	free(text);
	return rc;
}
