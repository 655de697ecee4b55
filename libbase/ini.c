/* ini - see ini.h. */
#include "libbase/ini.h"

#include <string.h>

#define BLANKS " \t\r\v\f"

static const char not_a_line[] = "not a section, a comment or 'name = value'";

static bool
ini_is_blank(char c)
{
	return c != '\0' && strchr(BLANKS, c);
}

static bool
is_comment_sign(char c)
{
	return c == '#' || c == ';';
}

/* Remove the blanks around a text, in place. */
static char *
ini_trim(char *text)
{
	size_t n;

	text += strspn(text, BLANKS);
	n = strlen(text);
	while (n > 0 && ini_is_blank(text[n - 1]))
		n--;
	text[n] = '\0';
	return text;
}

/*
 * Remove a comment, and replace \# and \; by # and ; where these would begin
 * one.  Returns true if there was a comment.
 */
static bool
cut_comment(char *text)
{
	char *out = text;
	bool first = true; /* in the text, or after a blank */

	for (const char *p = text; *p; p++) {
		if (first && is_comment_sign(*p)) {
			*out = '\0';
			return true;
		}
		if (first && p[0] == '\\' && is_comment_sign(p[1]))
			p++;
		first = ini_is_blank(*p);
		*out++ = *p;
	}
	*out = '\0';
	return false;
}

/* Copy the next line.  Returns NULL, or why it is refused. */
static const char *
copy_line(struct ini *ini)
{
	static const char bom[] = "\xef\xbb\xbf"; /* which some editors write */
	const char *from = ini->rest;
	size_t n;

	if (ini->line == 0 && strncmp(from, bom, strlen(bom)) == 0)
		from += strlen(bom);
	n = strcspn(from, "\n");
	ini->line++;
	ini->rest = from + n + (from[n] == '\n');
	if (n > INI_LINE_BYTES) {
		ini->text[0] = '\0';
		return "the line is longer than 8 KiB";
	}
	memcpy(ini->text, from, n);
	ini->text[n] = '\0';
	return NULL;
}

static const char *
read_section(struct ini *ini, char *text)
{
	size_t n = strcspn(text, "]");
	char *after = text + n + 1;

	if (text[n] != ']')
		return "the section's name has no ']' after it";
	(void)cut_comment(after);
	if (ini_trim(after)[0] != '\0')
		return "only a comment can follow the section's ']'";
	if (n > INI_SECTION_BYTES)
		return "the section's name is longer than 128 bytes";
	memcpy(ini->section, text, n);
	ini->section[n] = '\0';
	return NULL;
}

static const char *
read_pair(char *text, struct ini_line *line)
{
	char *value = strchr(text, '=');

	if (!value || value == text)
		return not_a_line;
	*value++ = '\0';
	line->name = ini_trim(text);
	value = ini_trim(value);
	line->comment = cut_comment(value);
	line->value = ini_trim(value);
	return NULL;
}

bool
ini_next(struct ini *ini, struct ini_line *line)
{
	_Static_assert(INI_LINE_BYTES == 8 * KIB, "the message has 8 KiB");
	_Static_assert(INI_SECTION_BYTES == 128, "the message has 128");

	*line = (struct ini_line){.section = ini->section};
	while (ini->rest[0]) {
		char *text;

		line->why = copy_line(ini);
		text = ini_trim(ini->text);
		if (line->why)
			return true;
		if (text[0] == '\0' || is_comment_sign(text[0]))
			continue;
		if (text[0] != '[') {
			line->why = read_pair(text, line);
			return true;
		}
		line->why = read_section(ini, text + 1);
		/* It is not known to which section the next pairs belong. */
		if (line->why)
			ini->rest += strlen(ini->rest);
		return true;
	}
	return false;
}
