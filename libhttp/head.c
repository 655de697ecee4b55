/* head - see head.h. */
#include "libhttp/head.h"

#include <errno.h>

#include "libbase/hex.h"

#define METHOD_BYTES_MAX 32

/* Where a byte may occur, as bits. */
enum byte_class {
	BYTE_VALUE = 1 << 0,  /* in a header's value: RFC 9110, section 5.5 */
	BYTE_TOKEN = 1 << 1,  /* in a name or method: section 5.6.2 */
	BYTE_TARGET = 1 << 2, /* in a request target; '%' is not among them */
	BYTE_HOST = 1 << 3,   /* in the name of a host */
};

#define V BYTE_VALUE
#define VT (V | BYTE_TOKEN)
#define VG (V | BYTE_TARGET)
#define VTG (VT | VG)
#define VGH (VG | BYTE_HOST)
#define VTGH (VTG | VGH)

/*
 * A target may have the characters of RFC 3986, and those that browsers leave
 * unescaped in a query: ^ ` { | }.  '#' is refused because it would begin a
 * fragment, which no client may send.
 */
static const uint8_t classes[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = VTGH,
    ['"'] = V,
    ['#'] = VT,
    ['$'] = VTGH,
    ['%'] = VT,
    ['&'] = VTGH,
    ['\''] = VTGH,
    ['('] = VGH,
    [')'] = VGH,
    ['*'] = VTGH,
    ['+'] = VTGH,
    [','] = VGH,
    ['-'] = VTGH,
    ['.'] = VTGH,
    ['/'] = VG,
    ['0' ... '9'] = VTGH,
    [':'] = VG,
    [';'] = VGH,
    ['<'] = V,
    ['='] = VGH,
    ['>'] = V,
    ['?'] = VG,
    ['@'] = VG,
    ['A' ... 'Z'] = VTGH,
    ['['] = VG,
    ['\\'] = V,
    [']'] = VG,
    ['^'] = VTG,
    ['_'] = VTGH,
    ['`'] = VTG,
    ['a' ... 'z'] = VTGH,
    ['{'] = VG,
    ['|'] = VTG,
    ['}'] = VG,
    ['~'] = VTGH,
    [0x80 ... 0xff] = V, /* obs-text */
};

#undef V
#undef VT
#undef VG
#undef VTG
#undef VGH
#undef VTGH

static bool
is_class(char c, enum byte_class class)
{
	return classes[(unsigned char)c] & class;
}

bool
head_is_token_byte(char c)
{
	return is_class(c, BYTE_TOKEN);
}

/* The scan for the end of a head. */

enum scan_state {
	SCAN_START,   /* before the first byte */
	SCAN_LINE,    /* inside a line */
	SCAN_CR,      /* after the CR of a line */
	SCAN_NEXT,    /* at the beginning of a line that is not the first */
	SCAN_LAST_CR, /* after the CR of an empty line */
};

ssize_t
head_scan(struct head_scan *scan, const char *bytes, size_t n)
{
	unsigned state = scan->state;
	size_t i = scan->done;

	for (; i < n; i++) {
		char c = bytes[i];

		if (state == SCAN_LINE && is_class(c, BYTE_VALUE))
			continue; /* nearly every byte */
		switch (state) {
		case SCAN_START:
			if (!is_class(c, BYTE_TOKEN))
				return HEAD_SCAN_BAD;
			state = SCAN_LINE;
			break;
		case SCAN_NEXT:
			if (c == '\r') {
				state = SCAN_LAST_CR;
				break;
			}
			/* A blank would be a folded line. */
			if (!is_class(c, BYTE_TOKEN))
				return HEAD_SCAN_BAD;
			state = SCAN_LINE;
			break;
		case SCAN_LINE:
			if (c != '\r')
				return HEAD_SCAN_BAD;
			state = SCAN_CR;
			break;
		case SCAN_CR:
			if (c != '\n')
				return HEAD_SCAN_BAD;
			state = SCAN_NEXT;
			break;
		default: /* SCAN_LAST_CR */
			if (c != '\n')
				return HEAD_SCAN_BAD;
			return (ssize_t)(i + 1);
		}
	}
	scan->state = state;
	scan->done = n;
	return 0;
}

/* Parts of the request line and of headers. */

static bool
all_of(const char *at, const char *end, enum byte_class class)
{
	while (at < end && is_class(*at, class))
		at++;
	return at == end;
}

static struct slice
between(const char *at, const char *end)
{
	return (struct slice){at, (uint32_t)(end - at)};
}

/* The same, without the spaces and tabs at both ends. */
static struct slice
trimmed(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return between(at, end);
}

/* The value of the percent escape at `at`, or -1 if it is malformed. */
static int
unescape(const char *at, const char *end)
{
	int high, low;

	if (end - at < 3)
		return -1;
	high = hex_digit(at[1]);
	low = hex_digit(at[2]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/*
 * Return true if the text has only bytes of the class and percent escapes.  An
 * escape may mean any byte but NUL, at which some software would end the text.
 */
static bool
is_escaped_text(const char *at, const char *end, enum byte_class class)
{
	for (; at < end; at++) {
		if (*at == '%') {
			if (unescape(at, end) <= 0)
				return false;
			at += 2;
		} else if (!is_class(*at, class)) {
			return false;
		}
	}
	return true;
}

/* Return true for nothing, or a colon and a port, which may be empty. */
static bool
is_port(const char *at, const char *end)
{
	unsigned port = 0;

	if (at == end)
		return true;
	if (*at++ != ':')
		return false;
	for (; at < end; at++) {
		if (*at < '0' || *at > '9')
			return false;
		port = port * 10 + (unsigned)(*at - '0');
		if (port > 65535)
			return false;
	}
	return true;
}

/*
 * Return true for a host name, an IPv4 address or an IPv6 address in brackets
 * (RFC 3986, section 3.2.2), with an optional port.
 */
static bool
is_host(const char *at, const char *end)
{
	const char *stop = at;

	if (at < end && *at == '[') {
		for (stop++; stop < end && *stop != ']'; stop++) {
			if (hex_digit(*stop) < 0 && *stop != ':' &&
			    *stop != '.')
				return false;
		}
		return end - stop > 0 && stop - at > 2 &&
		       is_port(stop + 1, end);
	}
	while (stop < end && *stop != ':')
		stop++;
	return all_of(at, stop, BYTE_HOST) && is_port(stop, end);
}

/* The request line. */

/* Set the path and the query from text that begins with '/'. */
static void
split_target(struct http_head *head, const char *at, const char *end)
{
	const char *question = memchr(at, '?', (size_t)(end - at));

	head->path = between(at, question ? question : end);
	if (question)
		head->query = between(question + 1, end);
}

/*
 * Parse a target that is a URL: http://host/path means the same as /path.  Such
 * a request names its host twice.  The one in the target takes precedence (RFC
 * 9112, section 3.2.2), but this server does not distinguish hosts.
 */
static const char *
parse_absolute(struct http_head *head, const char *at, const char *end)
{
	static const char *const schemes[] = {"http://", "https://"};
	const char *authority = NULL;

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t n = strlen(schemes[i]);

		if ((size_t)(end - at) > n &&
		    strncasecmp(at, schemes[i], n) == 0)
			authority = at + n;
	}
	if (!authority)
		return "the request target must be a path that begins with "
		       "'/', or a URL";
	at = authority;
	while (at < end && *at != '/' && *at != '?')
		at++;
	if (at == authority || !is_host(authority, at))
		return "the host in the request target is malformed";
	if (at < end && *at == '/') {
		split_target(head, at, end);
		return NULL;
	}
	head->path = slice_of("/");
	if (at < end)
		head->query = between(at + 1, end);
	return NULL;
}

static const char *
parse_target(struct http_head *head, const char *at, const char *end)
{
	/* The target of CONNECT is host:port, for a proxy to connect to. */
	if (slice_is(head->method, "CONNECT"))
		return "this server is not a proxy";
	if (at == end || !is_escaped_text(at, end, BYTE_TARGET))
		return "the request target is malformed";
	if (*at == '/') {
		split_target(head, at, end);
		return NULL;
	}
	if (end - at == 1 && *at == '*' && slice_is(head->method, "OPTIONS")) {
		head->path = between(at, end);
		return NULL;
	}
	return parse_absolute(head, at, end);
}

static int
parse_version(struct http_head *head, struct slice version, const char **why)
{
	static const char name[] = "HTTP/";
	const size_t n = sizeof name - 1;

	if (version.bytes != n + 3 || memcmp(version.data, name, n) != 0 ||
	    version.data[n] < '0' || version.data[n] > '9' ||
	    version.data[n + 1] != '.' || version.data[n + 2] < '0' ||
	    version.data[n + 2] > '9') {
		*why = "the request line must be a method, a target and "
		       "HTTP/1.1, with one space between each";
		return 400;
	}
	head->minor = (unsigned)(version.data[n + 2] - '0');
	if (version.data[n] == '1' && head->minor <= 1)
		return 0;
	*why = "the version must be HTTP/1.1 or HTTP/1.0";
	return 505;
}

/* Parse the request line from `at` to `end`, which is at its CRLF. */
static int
parse_request_line(struct http_head *head, const char *at, const char *end,
                   const char **why)
{
	const char *space = memchr(at, ' ', (size_t)(end - at));
	const char *last = memrchr(at, ' ', (size_t)(end - at));
	int status;

	*why = "the request line must be a method, a target and HTTP/1.1, "
	       "with one space between each";
	if (!space || space == last)
		return 400;
	head->method = between(at, space);
	status = parse_version(head, between(last + 1, end), why);
	if (status != 0)
		return status;
	if (head->method.bytes == 0 || head->method.bytes > METHOD_BYTES_MAX ||
	    !all_of(at, space, BYTE_TOKEN)) {
		*why = "the method is malformed";
		return 400;
	}
	*why = parse_target(head, space + 1, last);
	return *why ? 400 : 0;
}

/* The headers. */

const char *
head_parse_field(const char *line, size_t n, struct http_field *field)
{
	const char *end = line + n, *colon = memchr(line, ':', n);

	if (!colon || colon == line || !all_of(line, colon, BYTE_TOKEN))
		return "a header must be a name, a colon and a value, without "
		       "white space before the colon";
	field->name = between(line, colon);
	field->value = trimmed(colon + 1, end);
	end = field->value.data + field->value.bytes;
	if (!all_of(field->value.data, end, BYTE_VALUE))
		return "a header's value has a control character";
	return NULL;
}

static bool
parse_length(struct slice value, uint64_t *length)
{
	uint64_t n = 0;

	if (value.bytes == 0)
		return false;
	for (uint32_t i = 0; i < value.bytes; i++) {
		unsigned digit = (unsigned)(value.data[i] - '0');

		if (digit > 9 || n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*length = n;
	return true;
}

/* What the headers that were parsed so far mean for HTTP itself. */
struct framing {
	unsigned hosts, lengths, codings;
	bool close, keep_alive;
};

/*
 * Parse the value of a Connection header: a list of tokens, of which only
 * `close` and `keep-alive` have a meaning here.  Returns false if an element
 * is not a token, because other software might find `close` in it.
 */
static bool
read_connection(struct framing *f, struct slice value)
{
	const char *at = value.data, *end = at + value.bytes;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		struct slice word = trimmed(at, comma ? comma : end);

		if (!all_of(word.data, word.data + word.bytes, BYTE_TOKEN))
			return false;
		f->close |= slice_is_nocase(word, "close");
		f->keep_alive |= slice_is_nocase(word, "keep-alive");
		at = comma ? comma + 1 : end;
	}
	return true;
}

/*
 * Look at a header that matters for HTTP itself.  Most headers do not, and the
 * lengths of their names exclude them before a byte is compared.  Returns 0, or
 * a status with the reason in *why.
 */
static int
read_framing_field(struct http_head *head, struct framing *f,
                   const struct http_field *field, const char **why)
{
	struct slice name = field->name, value = field->value;
	bool good = true;

	if (slice_is_nocase(name, "Host")) {
		*why = "the Host header is repeated or malformed";
		good = f->hosts++ == 0 &&
		       is_host(value.data, value.data + value.bytes);
	} else if (slice_is_nocase(name, "Connection")) {
		*why = "the Connection header is malformed";
		good = read_connection(f, value);
	} else if (slice_is_nocase(name, "Content-Length")) {
		*why = "Content-Length must be given once, as a decimal number";
		head->has_length = true;
		good = f->lengths++ == 0 &&
		       parse_length(value, &head->content_length);
	} else if (slice_is_nocase(name, "Transfer-Encoding")) {
		*why = "Transfer-Encoding must be given once, as chunked";
		head->chunked = true;
		good = f->codings++ == 0 && slice_is_nocase(value, "chunked");
	} else if (slice_is_nocase(name, "Expect")) {
		/* It must be ignored in HTTP/1.0: RFC 9110, section 10.1.1. */
		head->expect_continue = head->minor == 1;
		*why = "the only expectation that is known is 100-continue";
		return slice_is_nocase(value, "100-continue") ? 0 : 417;
	}
	return good ? 0 : 400;
}

/* Check what can only be decided once all headers are parsed. */
static int
check_framing(struct http_head *head, const struct framing *f, const char **why)
{
	if (head->minor == 1 && f->hosts == 0)
		*why = "the Host header is missing";
	else if (head->chunked && head->has_length)
		*why = "Content-Length and Transfer-Encoding exclude each "
		       "other";
	else if (head->chunked && head->minor == 0)
		*why = "HTTP/1.0 has no Transfer-Encoding";
	else
		*why = NULL;
	head->keep_alive = !f->close && (head->minor == 1 || f->keep_alive);
	return *why ? 400 : 0;
}

int
head_parse(const char *bytes, size_t n, struct http_head *head,
           const char **why)
{
	const char *end = bytes + n - 2; /* at the CRLF of the empty line */
	const char *line_end = memchr(bytes, '\r', n);
	struct framing framing = {0};
	int status;

	head->method = head->query = (struct slice){NULL, 0};
	head->expect_continue = head->chunked = head->has_length = false;
	head->content_length = 0;
	head->field_count = 0;
	status = parse_request_line(head, bytes, line_end, why);
	while (status == 0 && line_end + 2 < end) {
		const char *line = line_end + 2;
		struct http_field *field = &head->fields[head->field_count];

		if (head->field_count == HEAD_FIELDS_MAX) {
			*why = "there are too many headers";
			return 431;
		}
		line_end = memchr(line, '\r', (size_t)(end - line) + 1);
		*why = head_parse_field(line, (size_t)(line_end - line), field);
		if (*why)
			return 400;
		head->field_count++;
		status = read_framing_field(head, &framing, field, why);
	}
	return status != 0 ? status : check_framing(head, &framing, why);
}

/* What a program can ask of a head. */

const struct slice *
http_header(const struct http_head *head, const char *name)
{
	for (unsigned i = 0; i < head->field_count; i++) {
		if (slice_is_nocase(head->fields[i].name, name))
			return &head->fields[i].value;
	}
	return NULL;
}

static int
unescape_value(const char *at, const char *end, char *out, size_t size)
{
	size_t n = 0;

	if (size == 0)
		return -EMSGSIZE;
	for (; at < end; at++) {
		char c = *at;

		if (n + 1 == size)
			return -EMSGSIZE;
		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			c = (char)unescape(at, end); /* head_parse checked it */
			at += 2;
		}
		out[n++] = c;
	}
	out[n] = '\0';
	return (int)n;
}

int
http_query(const struct http_head *head, const char *name, char *out,
           size_t size)
{
	const char *at = head->query.data;
	const char *end = at ? at + head->query.bytes : NULL;

	while (at && at < end) {
		const char *next = memchr(at, '&', (size_t)(end - at));
		const char *pair_end = next ? next : end;
		const char *equals = memchr(at, '=', (size_t)(pair_end - at));

		if (slice_is(between(at, equals ? equals : pair_end), name))
			return unescape_value(equals ? equals + 1 : pair_end,
			                      pair_end, out, size);
		at = next ? next + 1 : end;
	}
	return -ENOENT;
}
