/*
 * fuzz_head - fuzz the parser of a request's head.  The end of the head must be
 * found wherever the bytes are split.  A second parser, written from RFC 9112
 * in the simplest way, decides what must be accepted and what refused.  A head
 * that is accepted is written out and must parse to the same again.  The input
 * is two bytes that choose where it is split, and the head.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <strings.h>

#include "libhttp/head.h"
#include "tests/fuzz/fuzz.h"

#define ALPHANUMERIC                                                           \
	"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define TOKEN "!#$%&'*+-.^_`|~" ALPHANUMERIC
#define UNRESERVED "-._~" ALPHANUMERIC
#define RESERVED ":/?[]@!$&'()*+,;="
#define FIELDS_KEPT (HEAD_FIELDS_MAX + 1)

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

static bool
in_set(char c, const char *set)
{
	return c != '\0' && strchr(set, c);
}

static bool
all_in(struct slice s, const char *set)
{
	for (uint32_t i = 0; i < s.bytes; i++) {
		if (!in_set(s.data[i], set))
			return false;
	}
	return true;
}

static bool
is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

/*
 * The end of the head by its definition, which is the first empty line; unless
 * a byte before it makes every head that begins so malformed.
 */
static ssize_t
plain_scan(const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool cr_before = i > 0 && bytes[i - 1] == '\r';
		bool line_start = i == 0 || bytes[i - 1] == '\n';
		char c = bytes[i];

		if (cr_before != (c == '\n'))
			return HEAD_SCAN_BAD;
		if (is_control(c) && !in_set(c, "\t\r\n"))
			return HEAD_SCAN_BAD;
		if (line_start && !in_set(c, i == 0 ? TOKEN : "\r" TOKEN))
			return HEAD_SCAN_BAD;
		if (i >= 3 && memcmp(bytes + i - 3, "\r\n\r\n", 4) == 0)
			return (ssize_t)(i + 1);
	}
	return 0;
}

/*
 * Scan once, in memory that has exactly the bytes so far, with those that were
 * scanned before overwritten.
 */
static ssize_t
scan_prefix(struct head_scan *scan, const char *bytes, size_t n)
{
	char *copy = fuzz_copy(bytes, n);
	ssize_t length;

	HOLDS(scan->done <= n);
	memset(copy, '\0', scan->done);
	length = head_scan(scan, copy, n);
	free(copy);
	return length;
}

static ssize_t
check_scan(const char *bytes, size_t n, unsigned first, unsigned step)
{
	struct head_scan whole = {0}, pieces = {0};
	ssize_t length = scan_prefix(&whole, bytes, n), again = 0;

	HOLDS(length == plain_scan(bytes, n));
	HOLDS(length >= HEAD_SCAN_BAD && length <= (ssize_t)n);
	for (size_t at = first; again == 0 && at < n; at += 1 + at * step / 64)
		again = scan_prefix(&pieces, bytes, at);
	if (again == 0)
		again = scan_prefix(&pieces, bytes, n);
	HOLDS(again == length);
	return length;
}

/* The second reading. */

enum verdict { REFUSE, ACCEPT, EITHER };

struct plain_head {
	struct slice method, target, version;
	struct http_field fields[FIELDS_KEPT];
	unsigned field_count; /* of those that were kept */
};

static struct slice
cut_front(struct slice *s, size_t n)
{
	struct slice front = {s->data, (uint32_t)n};

	s->data += n;
	s->bytes -= (uint32_t)n;
	return front;
}

/*
 * Remove and return what is before the first c, and remove the c; or return all
 * of it.
 */
static struct slice
cut_at(struct slice *s, char c)
{
	const char *at = memchr(s->data, c, s->bytes);
	struct slice front;

	if (!at)
		return cut_front(s, s->bytes);
	front = cut_front(s, (size_t)(at - s->data));
	(void)cut_front(s, 1);
	return front;
}

static struct slice
trim(struct slice s)
{
	while (s.bytes > 0 && in_set(s.data[0], " \t"))
		(void)cut_front(&s, 1);
	while (s.bytes > 0 && in_set(s.data[s.bytes - 1], " \t"))
		s.bytes--;
	return s;
}

/*
 * Split the head into lines and headers. Returns false if a header has no
 * colon.
 */
static bool
plain_split(const char *bytes, size_t n, struct plain_head *p)
{
	struct slice rest = {bytes, (uint32_t)n}, line = cut_at(&rest, '\r');

	p->field_count = 0;
	p->method = cut_at(&line, ' ');
	p->target = cut_at(&line, ' ');
	p->version = line;
	(void)cut_front(&rest, 1);
	while (line = cut_at(&rest, '\r'), line.bytes > 0) {
		struct http_field field = {.name = {line.data, 0}};

		(void)cut_front(&rest, 1);
		if (!memchr(line.data, ':', line.bytes))
			return false;
		field.name = cut_at(&line, ':');
		field.value = trim(line);
		if (p->field_count < FIELDS_KEPT)
			p->fields[p->field_count++] = field;
	}
	return true;
}

/* REFUSE for a bad escape, EITHER for bytes that RFC 3986 does not have. */
static enum verdict
judge_escaped(struct slice s, const char *sure, const char *maybe)
{
	enum verdict verdict = ACCEPT;

	while (s.bytes > 0) {
		struct slice c = cut_front(&s, 1);

		if (c.data[0] == '%') {
			if (s.bytes < 2 ||
			    !all_in((struct slice){s.data, 2},
			            "0123456789abcdefABCDEF") ||
			    memcmp(s.data, "00", 2) == 0)
				return REFUSE;
			(void)cut_front(&s, 2);
		} else if (in_set(c.data[0], maybe)) {
			verdict = EITHER;
		} else if (!in_set(c.data[0], sure)) {
			return REFUSE;
		}
	}
	return verdict;
}

static enum verdict
worse(enum verdict a, enum verdict b)
{
	if (a == REFUSE || b == REFUSE)
		return REFUSE;
	return a == EITHER || b == EITHER ? EITHER : ACCEPT;
}

static enum verdict
judge_host(struct slice host)
{
	bool name_only = all_in(host, UNRESERVED);

	/* This does not look for malformed ports and brackets. */
	if (!all_in(host, UNRESERVED ":[]!$&'()*+,;="))
		return REFUSE;
	return name_only ? ACCEPT : EITHER;
}

/* A list of tokens, some of which may be missing. */
static bool
is_token_list(struct slice s)
{
	while (s.bytes > 0) {
		uint32_t n = 0, from = 0, to;

		while (n < s.bytes && s.data[n] != ',')
			n++;
		for (to = n; to > 0 && in_set(s.data[to - 1], " \t");)
			to--;
		while (from < to && in_set(s.data[from], " \t"))
			from++;
		if (!all_in((struct slice){s.data + from, to - from}, TOKEN))
			return false;
		(void)cut_front(&s, n < s.bytes ? n + 1 : n);
	}
	return true;
}

static bool
begins_with(struct slice s, const char *text)
{
	return s.bytes >= strlen(text) &&
	       strncasecmp(s.data, text, strlen(text)) == 0;
}

static enum verdict
judge_target(const struct plain_head *p)
{
	struct slice host, target = p->target;
	enum verdict verdict =
	    judge_escaped(target, UNRESERVED RESERVED, "\"<>\\^`{|}");

	if (target.bytes == 0 || slice_is(p->method, "CONNECT"))
		return REFUSE;
	if (slice_is(target, "*"))
		return slice_is(p->method, "OPTIONS") ? ACCEPT : REFUSE;
	if (target.data[0] == '/')
		return verdict;
	if (!begins_with(target, "http://") && !begins_with(target, "https://"))
		return REFUSE;
	(void)cut_front(&target, begins_with(target, "https") ? 8 : 7);
	host = target;
	for (host.bytes = 0;
	     host.bytes < target.bytes && !in_set(host.data[host.bytes], "/?");)
		host.bytes++;
	return host.bytes == 0 ? REFUSE : worse(verdict, judge_host(host));
}

static unsigned
count_of(const struct plain_head *p, const char *name, struct slice *last)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->field_count; i++) {
		if (slice_is_nocase(p->fields[i].name, name)) {
			*last = p->fields[i].value;
			n++;
		}
	}
	return n;
}

/* At most 2^64 - 1, compared as text. */
static bool
is_length(struct slice s)
{
	static const char max[] = "18446744073709551615";

	if (s.bytes == 0 || !all_in(s, "0123456789"))
		return false;
	while (s.bytes > 1 && s.data[0] == '0')
		(void)cut_front(&s, 1);
	return s.bytes < sizeof max - 1 ||
	       (s.bytes == sizeof max - 1 && memcmp(s.data, max, s.bytes) <= 0);
}

static enum verdict
judge_fields(const struct plain_head *p, bool old)
{
	enum verdict verdict = ACCEPT;
	struct slice host, length, coding;
	unsigned hosts = count_of(p, "Host", &host);
	unsigned lengths = count_of(p, "Content-Length", &length);
	unsigned codings = count_of(p, "Transfer-Encoding", &coding);

	for (unsigned i = 0; i < p->field_count; i++) {
		const struct http_field *f = &p->fields[i];

		if (f->name.bytes == 0 || !all_in(f->name, TOKEN))
			return REFUSE;
		if (slice_is_nocase(f->name, "Connection") &&
		    !is_token_list(f->value))
			return REFUSE;
		if (slice_is_nocase(f->name, "Expect") &&
		    !slice_is_nocase(f->value, "100-continue"))
			return REFUSE;
	}
	if (hosts > 1 || (hosts == 0 && !old))
		return REFUSE;
	if (hosts == 1)
		verdict = judge_host(host);
	if (lengths + codings > 1 || (lengths && !is_length(length)) ||
	    (codings && (old || !slice_is_nocase(coding, "chunked"))))
		return REFUSE;
	return p->field_count > HEAD_FIELDS_MAX ? REFUSE : verdict;
}

static enum verdict
judge(const struct plain_head *p)
{
	enum verdict verdict;
	bool old = slice_is(p->version, "HTTP/1.0");

	if (p->method.bytes == 0 || !all_in(p->method, TOKEN) ||
	    (!old && !slice_is(p->version, "HTTP/1.1")))
		return REFUSE;
	verdict = worse(judge_target(p), judge_fields(p, old));
	/* No method is so long; there may be a limit. */
	return worse(verdict, p->method.bytes <= 16 ? ACCEPT : EITHER);
}

/* What is accepted. */

static bool
same_text(struct slice a, struct slice b)
{
	if (a.bytes != b.bytes || a.bytes == 0)
		return a.bytes == b.bytes;
	return a.data && b.data && memcmp(a.data, b.data, a.bytes) == 0;
}

static bool
is_inside(struct slice s, const char *bytes, size_t n)
{
	return s.data >= bytes && s.data + s.bytes <= bytes + n;
}

/* The path and query are the target, or what follows its host. */
static void
check_target(const struct http_head *head, const struct plain_head *p)
{
	struct slice whole = p->target, path;
	const char *at;

	if (whole.data[0] != '/' && !slice_is(whole, "*")) {
		(void)cut_at(&whole, ':');
		(void)cut_front(&whole, 2);
		while (whole.bytes > 0 && !in_set(whole.data[0], "/?"))
			(void)cut_front(&whole, 1);
	}
	at = memchr(whole.data, '?', whole.bytes);
	path = cut_at(&whole, '?');
	if (path.bytes > 0)
		HOLDS(same_text(head->path, path));
	else
		HOLDS(slice_is(head->path, "/"));
	HOLDS((head->query.data != NULL) == (at != NULL));
	HOLDS(at ? same_text(head->query, whole) : head->query.bytes == 0);
}

/* Whether a header of this name has the word in its list. */
static bool
has_word(const struct plain_head *p, const char *name, const char *word)
{
	for (unsigned i = 0; i < p->field_count; i++) {
		struct slice list = p->fields[i].value;

		if (!slice_is_nocase(p->fields[i].name, name))
			continue;
		while (list.bytes > 0) {
			if (slice_is_nocase(trim(cut_at(&list, ',')), word))
				return true;
		}
	}
	return false;
}

static void
check_meaning(const struct http_head *head, const struct plain_head *p)
{
	bool old = slice_is(p->version, "HTTP/1.0"), close, keep_alive;
	char number[32], *end;
	struct slice value;

	close = has_word(p, "Connection", "close");
	keep_alive = !old || has_word(p, "Connection", "keep-alive");
	HOLDS(head->minor == (old ? 0 : 1));
	HOLDS(head->keep_alive == (keep_alive && !close));
	HOLDS(head->chunked == (count_of(p, "Transfer-Encoding", &value) > 0));
	HOLDS(head->expect_continue ==
	      (!old && count_of(p, "Expect", &value) > 0));
	HOLDS(head->has_length == (count_of(p, "Content-Length", &value) > 0));
	HOLDS(head->has_length || head->content_length == 0);
	HOLDS(!head->has_length || !head->chunked);
	if (!head->has_length)
		return;
	while (value.bytes > 1 && value.data[0] == '0')
		(void)cut_front(&value, 1);
	HOLDS(value.bytes < sizeof number);
	memcpy(number, value.data, value.bytes);
	number[value.bytes] = '\0';
	HOLDS(head->content_length == strtoull(number, &end, 10) && !*end);
}

static void
check_fields(const struct http_head *head, const struct plain_head *p,
             const char *bytes, size_t n)
{
	HOLDS(head->field_count == p->field_count);
	for (unsigned i = 0; i < head->field_count; i++) {
		const struct http_field *f = &head->fields[i];
		const struct slice *found;
		char name[64];
		unsigned first = 0;

		HOLDS(is_inside(f->name, bytes, n) &&
		      is_inside(f->value, bytes, n));
		HOLDS(same_text(f->name, p->fields[i].name) &&
		      same_text(f->value, p->fields[i].value));
		for (uint32_t j = 0; j < f->value.bytes; j++)
			HOLDS(f->value.data[j] == '\t' ||
			      !is_control(f->value.data[j]));
		if (f->name.bytes >= sizeof name)
			continue;
		memcpy(name, f->name.data, f->name.bytes);
		name[f->name.bytes] = '\0';
		while (!slice_is_nocase(head->fields[first].name, name))
			first++;
		found = http_header(head, name);
		HOLDS(found == &head->fields[first].value);
	}
}

/* Unescape the value of one of the query's parameters in the simplest way. */
static int
plain_unescape(struct slice s, char *out)
{
	int n = 0;

	while (s.bytes > 0) {
		char c = *cut_front(&s, 1).data;

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			char hex[3] = {s.data[0], s.data[1], '\0'};

			c = (char)strtoul(hex, NULL, 16);
			(void)cut_front(&s, 2);
		}
		out[n++] = c;
	}
	return n;
}

static void
check_parameter(const struct http_head *head, const char *name,
                struct slice value)
{
	size_t room = (size_t)value.bytes + 1;
	char *want = malloc(room);
	int n = plain_unescape(value, want);

	/* Exact sizes, so that a sanitizer finds a write beyond them. */
	for (size_t size = 1; size <= (size_t)n + 1; size += (size_t)n) {
		char *out = malloc(size);
		int got = http_query(head, name, out, size);

		if (size <= (size_t)n) {
			HOLDS(got == -EMSGSIZE);
		} else {
			HOLDS(got == n && memcmp(out, want, (size_t)n) == 0 &&
			      out[n] == '\0');
		}
		free(out);
		if (n == 0)
			break;
	}
	free(want);
}

static void
check_query(const struct http_head *head)
{
	struct slice rest = head->query;
	char none[8];

	HOLDS(http_query(head, "no such", none, sizeof none) == -ENOENT);
	while (rest.bytes > 0) {
		struct slice pair = cut_at(&rest, '&'), first, before, value;
		struct slice name = cut_at(&pair, '=');
		char text[64];

		if (name.bytes == 0 || name.bytes >= sizeof text)
			continue;
		memcpy(text, name.data, name.bytes);
		text[name.bytes] = '\0';
		/* The first of this name counts. */
		value = pair;
		before = head->query;
		before.bytes = (uint32_t)(name.data - before.data);
		while (before.bytes > 0) {
			first = cut_at(&before, '&');
			if (same_text(cut_at(&first, '='), name)) {
				value = first;
				break;
			}
		}
		check_parameter(head, text, value);
	}
}

static size_t
put(char *out, size_t at, struct slice s, const char *after)
{
	if (s.bytes > 0)
		memcpy(out + at, s.data, s.bytes);
	memcpy(out + at + s.bytes, after, strlen(after));
	return at + s.bytes + strlen(after);
}

/* Written out in the simplest form, the head must parse to the same. */
static void
check_again(const struct http_head *head, size_t n)
{
	/* A header without blanks grows by one; a path may be added. */
	char *out = malloc(n + head->field_count + 1), *text;
	struct http_head again;
	struct head_scan scan = {0};
	const char *why;
	size_t at;

	HOLDS(out);
	at = put(out, 0, head->method, " ");
	at = put(out, at, head->path, head->query.data ? "?" : " ");
	if (head->query.data)
		at = put(out, at, head->query, " ");
	at = put(out, at, slice_of("HTTP/1."), head->minor ? "1" : "0");
	at = put(out, at, slice_of("\r\n"), "");
	for (unsigned i = 0; i < head->field_count; i++) {
		at = put(out, at, head->fields[i].name, ": ");
		at = put(out, at, head->fields[i].value, "\r\n");
	}
	at = put(out, at, slice_of("\r\n"), "");
	text = fuzz_copy(out, at);
	HOLDS(head_scan(&scan, text, at) == (ssize_t)at);
	HOLDS(head_parse(text, at, &again, &why) == 0);
	HOLDS(same_text(again.method, head->method) &&
	      same_text(again.path, head->path) &&
	      same_text(again.query, head->query) &&
	      (again.query.data != NULL) == (head->query.data != NULL));
	HOLDS(again.minor == head->minor &&
	      again.keep_alive == head->keep_alive &&
	      again.expect_continue == head->expect_continue &&
	      again.chunked == head->chunked &&
	      again.has_length == head->has_length &&
	      again.content_length == head->content_length &&
	      again.field_count == head->field_count);
	for (unsigned i = 0; i < head->field_count; i++)
		HOLDS(same_text(again.fields[i].name, head->fields[i].name) &&
		      same_text(again.fields[i].value, head->fields[i].value));
	free(text);
	free(out);
}

static void
check_parse(const char *text, size_t n)
{
	static struct plain_head plain;
	static struct http_head head;
	char *bytes = fuzz_copy(text, n);
	const char *why = NULL;
	enum verdict verdict;
	int status;

	memset(&head, 0xa5, sizeof head);
	status = head_parse(bytes, n, &head, &why);
	verdict = plain_split(bytes, n, &plain) ? judge(&plain) : REFUSE;
	HOLDS(verdict != ACCEPT || status == 0);
	HOLDS(verdict != REFUSE || status != 0);
	if (status != 0) {
		HOLDS(status == 400 || status == 417 || status == 431 ||
		      status == 505);
		HOLDS(why && *why);
	} else {
		HOLDS(is_inside(head.method, bytes, n) &&
		      same_text(head.method, plain.method));
		HOLDS(!head.query.data || is_inside(head.query, bytes, n));
		check_target(&head, &plain);
		check_meaning(&head, &plain);
		check_fields(&head, &plain, bytes, n);
		check_query(&head);
		check_again(&head, n);
	}
	free(bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, data + size};
	unsigned first = fuzz_u8(&in), step = fuzz_u8(&in);
	size_t n = size;
	const char *bytes = (const char *)fuzz_bytes(&in, &n);
	ssize_t length = check_scan(bytes, n, first, step);

	if (length > 0)
		check_parse(bytes, (size_t)length);
	return 0;
}
