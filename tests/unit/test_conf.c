/* test_conf - settings: defaults, limits, messages. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbase/conf.h"
#include "libbase/ini.h"
#include "libbase/secret.h"
#include "tests/support/test.h"

static const char *const colours[] = {"red", "green", NULL};

struct sample {
	bool flag;
	int64_t number;
	int64_t size;
	int colour;
	char *text;
};

static const struct conf_key keys[] = {
    {"flag", CONF_BOOL, offsetof(struct sample, flag), "yes", 0, 0, NULL, "f"},
    {"number", CONF_INT, offsetof(struct sample, number), "5", -1, 10, NULL,
     "n"},
    {"size", CONF_SIZE, offsetof(struct sample, size), "64M", 1, 1 << 30, NULL,
     "s"},
    {"colour", CONF_CHOICE, offsetof(struct sample, colour), "green", 0, 0,
     colours, "c"},
    {"text", CONF_TEXT, offsetof(struct sample, text), "hello", 1, 8, NULL,
     "t"},
    {0},
};

static struct sample sample;
static char pairs[256];
static char errors[1024];

static const char *
on_pair(void *into, const char *name, const char *value)
{
	ck_assert_ptr_eq(into, pairs);
	if (strcmp(name, "forbidden") == 0)
		return "it would break the guarantee";
	(void)snprintf(pairs, sizeof pairs, "%s=%s", name, value);
	return NULL;
}

static const struct conf_table tables[] = {
    {.section = "batchd", .keys = keys, .into = &sample},
    {.section = "batchd.free",
     .into = pairs,
     .on_pair = on_pair,
     .whole_values = true},
};

static const struct conf_program program = {
    .name = "batchd", .tables = tables, .table_count = ARRAY_LEN(tables)};

static int
parse(const char *text)
{
	return conf_parse(&program, "leat.conf", text, errors, sizeof errors);
}

static void
teardown(void)
{
	conf_free(tables, ARRAY_LEN(tables));
}

TEST_CASE(conf, .teardown = teardown);

TEST(an_empty_file_gives_the_defaults)
{
	ck_assert_int_eq(parse(""), 0);
	ck_assert(sample.flag);
	ck_assert_int_eq(sample.number, 5);
	ck_assert_int_eq(sample.size, 64 << 20);
	ck_assert_int_eq(sample.colour, 1);
	ck_assert_str_eq(sample.text, "hello");
}

TEST(values_are_read_and_other_daemons_skipped)
{
	ck_assert_int_eq(parse("; comment\n[ingestd]\nwhatever = 1\n"
	                       "[batchd]\nflag = no\nnumber = -1\nsize = 3K\n"
	                       "colour = red\ntext = a b ; tail\n"
	                       "[batchd.free]\nlinger.ms = 5\n"),
	                 0);
	ck_assert(!sample.flag);
	ck_assert_int_eq(sample.number, -1);
	ck_assert_int_eq(sample.size, 3072);
	ck_assert_int_eq(sample.colour, 0);
	ck_assert_str_eq(sample.text, "a b");
	ck_assert_str_eq(pairs, "linger.ms=5");
}

/* A line of [batchd], and the text that it sets. */
static const struct {
	const char *line, *text;
} taken[] = {
    {"text = abc", "abc"},
    {"text=abc", "abc"},
    {"  text  =  a b  \r", "a b"},
    {"text = abc # comment", "abc"},
    {"text = abc\t; comment", "abc"},
    {"text = abc #", "abc"},
    {"text = a#b;c", "a#b;c"},
    {"text = a \\# b", "a # b"},
    {"text = a \\; b", "a ; b"},
    {"text = \\#a ;b", "#a"},
    {"text = a\\#b", "a\\#b"},
    {"text = a = b", "a = b"},
    {"text = [a]", "[a]"},
    {"\t# text = b\n  ; text = c\ntext = abc", "abc"},
    {"text = abc # text = b", "abc"},
};

TEST_LOOP(a_comment_begins_after_a_blank, ARRAY_LEN(taken))
{
	char text[256];

	(void)snprintf(text, sizeof text, "[batchd] # comment\n%s\n",
	               taken[_i].line);
	ck_assert_msg(parse(text) == 0, "%s", errors);
	ck_assert_str_eq(sample.text, taken[_i].text);
	(void)snprintf(text, sizeof text,
	               "\xef\xbb\xbf[batchd]\r\nnumber = 7 # x\r\n%s",
	               taken[_i].line);
	ck_assert_msg(parse(text) == 0, "%s", errors);
	ck_assert_str_eq(sample.text, taken[_i].text);
	ck_assert_int_eq(sample.number, 7);
}

TEST(a_free_pair_is_whole)
{
	ck_assert_int_eq(parse("[batchd.free]\npassword = a#b;c\\#\n"), 0);
	ck_assert_str_eq(pairs, "password=a#b;c\\#");
	ck_assert_int_eq(parse("[batchd.free]\npassword = a \\# b\n"), 0);
	ck_assert_str_eq(pairs, "password=a # b");
}

TEST(a_size_is_written_as_it_may_be_in_the_file)
{
	char text[CONF_SIZE_TEXT];

	ck_assert_str_eq(conf_size_text(0, text), "0");
	ck_assert_str_eq(conf_size_text(1000, text), "1000");
	ck_assert_str_eq(conf_size_text(1024, text), "1K");
	ck_assert_str_eq(conf_size_text(64 << 20, text), "64M");
	ck_assert_str_eq(conf_size_text((64 << 20) + 1024, text), "65537K");
	ck_assert_str_eq(conf_size_text(INT64_C(1) << 50, text), "1024T");
	ck_assert_int_eq(parse("[batchd]\nsize = 65537K\n"), 0);
	ck_assert_int_eq(sample.size, (64 << 20) + 1024);
}

TEST(a_port_is_a_number)
{
	ck_assert(conf_is_port("1", 1));
	ck_assert(conf_is_port("65535", 5));
	ck_assert(conf_is_port("5432,abc", 4));
	ck_assert(!conf_is_port("65536", 5));
	ck_assert(!conf_is_port("99999", 5));
	ck_assert(!conf_is_port("0", 1));
	ck_assert(!conf_is_port("", 0));
	ck_assert(!conf_is_port("-1", 2));
	ck_assert(!conf_is_port("54 2", 4));
	ck_assert(!conf_is_port("000001", 6));
}

/* Each refused text, and what its message must contain. */
static const struct {
	const char *text, *words;
} refused[] = {
    {"[batchd]\nnumber = 11\n", "leat.conf:2: [batchd] number = 11: must be a "
                                "whole number from -1 to 10"},
    {"[batchd]\n\nnumber = 1x\n", "leat.conf:3:"},
    {"[batchd]\nnumber = \n", "leat.conf:2:"},
    {"[batchd]\nnumber = 99999999999999999999\n", "whole number"},
    {"[batchd]\nsize = 2G\n", "bytes (K, M, G or T may follow) from 1 to 1G"},
    {"[batchd]\nsize = 9999999999G\n", "bytes"},
    {"[batchd]\nsize = 1T\n", "bytes"},
    {"[batchd]\nflag = true\n", "yes or no"},
    {"[batchd]\ncolour = blue\n", "one of: red, green"},
    {"[batchd]\ntext = 123456789\n", "text of 1 to 8 bytes"},
    {"[batchd]\ntext =\n", "text of 1 to 8 bytes"},
    {"[batchd]\nnmber = 1\n", "[batchd] has no key 'nmber'"},
    {"[batchd]\nnumber = 1\nnumber = 2\n", "leat.conf:3: [batchd] number is "
                                           "set twice"},
    {"[bachd]\nnumber = 1\n", "leat.conf:1: unknown section [bachd]"},
    {"[bachd]\n", "leat.conf:1: unknown section [bachd]"},
    {"[batchd.fre]\n", "leat.conf:1: unknown section [batchd.fre]"},
    {"number = 1\n", "leat.conf:1: 'number' is before the first"},
    {"\n[batchd\nnumber = 1\n", "leat.conf:2: the section's name has no ']'"},
    {"[batchd] x\n", "leat.conf:1: only a comment can follow"},
    {"[batchd]\n= 1\n", "leat.conf:2: not a section"},
    {"[batchd]\nnumber = 1\n  2\n", "leat.conf:3: not a section"},
    {"[batchd]\nnumber = 1x # y\n", "[batchd] number = 1x: must be"},
    {"[batchd]\nnonsense\n", "leat.conf:2: not a section"},
    {"[batchd.free]\nforbidden = 1\n", "it would break the guarantee"},
    {"[batchd.free]\npassword = a # b\n", "leat.conf:2: [batchd.free] "
                                          "password: a comment cannot follow"},
    {"[batchd.free]\npassword = a ;b\n", "write \\# and \\; for what belongs"},
};

TEST_LOOP(what_is_wrong_is_named_with_its_line, ARRAY_LEN(refused))
{
	ck_assert_int_eq(parse(refused[_i].text), -EINVAL);
	ck_assert_msg(strstr(errors, refused[_i].words), "'%s' not in '%s'",
	              refused[_i].words, errors);
}

TEST(a_line_too_long_is_refused_not_split)
{
	static char text[INI_LINE_BYTES + 100];
	size_t n = INI_LINE_BYTES + 1;

	memset(text, '#', n);
	(void)snprintf(text + n, 100 - 1, "\n[batchd]\nnmber = 1\n");
	ck_assert_int_eq(parse(text), -EINVAL);
	ck_assert_msg(strstr(errors, "leat.conf:1: the line is longer than"),
	              "'%s'", errors);
}

TEST(a_secret_comes_from_its_file_or_the_environment)
{
	char path[] = "/tmp/leat-secret-XXXXXX", out[8];
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq((int)write(fd, "hunter2\nrest", 12), 12);
	ck_assert_int_eq(secret_read(path, "LEAT_TEST", out, sizeof out), 7);
	ck_assert_str_eq(out, "hunter2");
	ck_assert_int_eq(secret_read(path, "LEAT_TEST", out, 7), -EMSGSIZE);
	ck_assert_int_eq(close(fd), 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(secret_read(path, "LEAT_TEST", out, 7), -ENOENT);

	ck_assert_int_eq(setenv("LEAT_TEST", "abc", 1), 0);
	ck_assert_int_eq(secret_read("", "LEAT_TEST", out, sizeof out), 3);
	ck_assert_str_eq(out, "abc");
	ck_assert_ptr_null(getenv("LEAT_TEST")); /* children must not see it */
	ck_assert_int_eq(secret_read("", "LEAT_TEST", out, sizeof out), 0);
}
