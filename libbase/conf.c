/* conf - the tables and the parser of settings; see conf.h. */
#include "libbase/conf.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libbase/ini.h"

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

/* The suffixes of sizes: 1024 to the power of 1, 2, 3 and 4. */
static const char units[] = "KMGT";

/* Parse a whole number, if wanted with a size suffix.  0 or -EINVAL. */
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
		const char *at = strchr(units, toupper((unsigned char)*end++));

		if (!at)
			return -EINVAL;
		unit = INT64_C(1024) << 10 * (at - units);
		if (strcmp(end, "iB") == 0)
			end += 2;
	}
	if (*end || v > INT64_MAX / unit || v < INT64_MIN / unit)
		return -EINVAL;
	*out = v * unit;
	return 0;
}

int
conf_parse_size(const char *text, int64_t *bytes)
{
	return parse_number(text, true, bytes);
}

const char *
conf_size_text(int64_t bytes, char out[CONF_SIZE_TEXT])
{
	char unit[2] = "";

	for (size_t i = 0; units[i] && bytes > 0 && bytes % 1024 == 0; i++) {
		bytes /= 1024;
		unit[0] = units[i];
	}
	(void)snprintf(out, CONF_SIZE_TEXT, "%" PRId64 "%s", bytes, unit);
	return out;
}

bool
conf_is_port(const char *text, size_t n)
{
	unsigned port = 0;

	if (n == 0 || n > strlen("65535") || strspn(text, "0123456789") < n)
		return false;
	for (size_t i = 0; i < n; i++)
		port = port * 10 + (unsigned)(text[i] - '0');
	return port >= 1 && port <= UINT16_MAX;
}

static void
describe_choices(const struct conf_key *key, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (int i = 0; key->choices[i]; i++) {
		const char *choice = key->choices[i];
		int n = snprintf(out + used, size - used, "%s%s", i ? ", " : "",
		                 choice[0] ? choice : "nothing");
		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

void
conf_describe(const struct conf_key *key, char *out, size_t size)
{
	char choices[256], min[CONF_SIZE_TEXT], max[CONF_SIZE_TEXT];

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
		               "bytes (K, M, G or T may follow) from %s to %s",
		               conf_size_text(key->min, min),
		               conf_size_text(key->max, max));
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

/* Set one field.  Returns 0, -EINVAL if the value is refused, or -ENOMEM. */
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

/* Return true for a section of another program, which this one skips. */
static bool
known_section(const struct conf_program *program, const char *section)
{
	size_t n = strlen(program->name);

	/* Only sinkd-kafka reads [sinkd-kafka.x], and it has no such section.
	 */
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
		conf_describe(key, allowed, sizeof allowed);
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
		why = "a comment cannot follow this value, which may itself "
		      "contain # and ;: put it on a line of its own, or "
		      "write \\# and \\; for what belongs to the value";
	if (!why)
		why = table->on_pair(table->into, line->name, line->value);
	if (why)
		complain(p, "[%s] %s: %s", line->section, line->name, why);
}

/*
 * A section begins.  An unknown one is refused here and not at its first pair,
 * so that it is refused even if it is empty.
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
conf_on_pair(struct parse *p, const struct ini_line *line)
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
		complain(p, "'%s' is before the first [section]", line->name);
}

static void
on_line(struct parse *p, const struct ini_line *line)
{
	if (line->why)
		complain(p, "%s", line->why);
	else if (line->name)
		conf_on_pair(p, line);
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
			/* A default that its own table refuses is a bug. */
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
