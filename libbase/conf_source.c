/* conf_source - see conf_source.h and conf.h. */
#include "libbase/conf_source.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "libbase/ini.h"
#include "libbase/installed.h"
#include "libbase/log.h"

#define WHY_BYTES 1024

/* The line of a key; 0 if the file does not set it. */
static int
conf_line_of(const struct conf_source *s, const char *section, const char *key)
{
	struct ini ini = {.rest = s->text};
	struct ini_line line;

	while (ini_next(&ini, &line)) {
		if (!line.why && line.name &&
		    strcmp(line.section, section) == 0 &&
		    strcmp(line.name, key) == 0)
			return ini.line;
	}
	return 0;
}

static void conf_log_setting(const struct conf_source *s, enum log_level level,
                             const char *section, const char *key,
                             const char *value, const char *fmt, va_list ap)
    PRINTF_LIKE(6, 0);

static void
conf_log_setting(const struct conf_source *s, enum log_level level,
                 const char *section, const char *key, const char *value,
                 const char *fmt, va_list ap)
{
	const char *refused = level == LOG_ERROR ? "settings refused: " : "";
	int line = conf_line_of(s, section, key);
	char number[16] = "", why[WHY_BYTES];

	if (vsnprintf(why, sizeof why, fmt, ap) < 0)
		return;
	if (line > 0)
		(void)snprintf(number, sizeof number, ":%d", line);
	log_write(level, "%s%s%s: [%s] %s%s%s%s: %s", refused, s->path, number,
	          section, key, value ? " = " : "", value ? value : "",
	          line > 0 ? "" : " (which is not set)", why);
}

int
conf_refuse(const struct conf_source *source, const char *section,
            const char *key, const char *value, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	conf_log_setting(source, LOG_ERROR, section, key, value, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

void
conf_warn(const struct conf_source *source, const char *section,
          const char *key, const char *value, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	conf_log_setting(source, LOG_WARN, section, key, value, fmt, ap);
	va_end(ap);
}

void
conf_warn_quotes(const struct conf_source *source, const char *section,
                 const char *key, const char *value)
{
	if (strpbrk(value, "\"'"))
		conf_warn(source, section, key, value,
		          "the quotes are a part of the value: write it "
		          "without them");
}

/* Sections. */

/*
 * Warn of a section that no program reads.  Every program skips the sections
 * of the other sinks, so a misspelt one would have no effect without a
 * message.
 */
static void
warn_of_section(const struct conf_source *s, const char *section, int line)
{
	char program[INI_SECTION_BYTES + 1], sinks[512];

	/* [sinkd-kafka.rdkafka] belongs to sinkd-kafka. */
	(void)snprintf(program, sizeof program, "%.*s",
	               (int)strcspn(section, "."), section);
	if (strcmp(program, s->program->name) == 0 || installed_has(program))
		return;
	installed_sinks(sinks, sizeof sinks);
	log_warn("%s:%d: [%s]: nothing reads this section here: the program %s "
	         "is not installed; the sinks that are: %s",
	         s->path, line, section, program, sinks);
}

void
conf_warn_sections(const struct conf_source *s)
{
	struct ini ini = {.rest = s->text};
	struct ini_line line;

	while (ini_next(&ini, &line)) {
		if (!line.why && !line.name &&
		    strncmp(line.section, "sinkd-", strlen("sinkd-")) == 0)
			warn_of_section(s, line.section, ini.line);
	}
}
