/* json - see json.h. */
#include "ingestd/json.h"

#include <cerrno>
#include <cstring>
#include <new>

#include "ingestd/json_structure.h"
#include "ingestd/rfc3339.h"

static_assert(JSON_PADDING >= JSON_STRUCTURE_PADDING,
              "callers leave the room that finding the structure needs");

namespace
{

/* What a step of the walk found. */
enum class found {
	good,
	refused, /* well-formed, but no event may hold it */
	broken,  /* not JSON */
};

struct span {
	const char *at, *end;

	size_t bytes() const
	{
		return static_cast<size_t>(end - at);
	}
};

/* Bytes that may follow a number or a literal. */
struct follow_table {
	bool may[256] = {};

	constexpr follow_table()
	{
		for (const char *p = " \t\r\n,]}"; *p; p++)
			may[static_cast<unsigned char>(*p)] = true;
	}
};
constexpr follow_table follow;

bool
digit(char c)
{
	return c >= '0' && c <= '9';
}

int
hex_digit(char c)
{
	if (digit(c))
		return c - '0';
	c = static_cast<char>(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits at p, or -1.  Past a string's end stands its quote. */
int
hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int d = hex_digit(p[i]);

		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/*
 * A stretch of structure: `next` walks over the places that the first stage
 * found, each a bracket, comma, colon, or the first byte of a string, number
 * or literal.  After the last stands the end of the text, which holds a NUL.
 */
struct walk {
	const char *text, *end;
	const uint32_t *next;
	const char *backslash;     /* the first one not behind us, or end */
	const char *why;           /* after refused or broken */
	const char *first_refused; /* within the value being walked */

	char peek() const
	{
		return text[*next];
	}

	bool at_end() const
	{
		return text + *next == end;
	}

	found stop(found kind, const char *reason)
	{
		why = reason;
		return kind;
	}

	found escape(const char **at, const char *limit);
	found escapes(span s);
	found string(span *s);
	found number();
	template <size_t size> found literal(const char (&word)[size]);
	found scalar();
	found name();
	bool breaks(found f);
	found value(unsigned depth_max);
};

/* One escape, its backslash at *at; moves past it. */
found
walk::escape(const char **at, const char *limit)
{
	const char *p = *at + 1;
	int unit;

	*at = p + 1;
	if (p < limit && *p != 'u')
		return strchr("\"\\/bfnrt", *p) && *p
		           ? found::good
		           : stop(found::broken, "bad escape in a string");
	unit = hex4(p + 1, limit);
	if (unit < 0)
		return stop(found::broken, "bad \\u escape in a string");
	*at = p + 5;
	if (unit == 0)
		return stop(found::refused, "holds \\u0000");
	if (unit < 0xd800 || unit > 0xdfff)
		return found::good;
	if (unit <= 0xdbff && limit - *at >= 6 && (*at)[0] == '\\' &&
	    (*at)[1] == 'u') {
		int low = hex4(*at + 2, limit);

		if (low >= 0xdc00 && low <= 0xdfff) {
			*at += 6;
			return found::good;
		}
	}
	return stop(found::refused, "holds a lone surrogate");
}

/* The escapes of a string in which one stands.  broken wins over refused. */
found
walk::escapes(span s)
{
	const char *p = s.at, *first_why = nullptr;

	while ((p = static_cast<const char *>(
		    memchr(p, '\\', static_cast<size_t>(s.end - p))))) {
		found f = escape(&p, s.end);

		if (f == found::broken)
			return f;
		if (f == found::refused && !first_why)
			first_why = why;
	}
	return first_why ? stop(found::refused, first_why) : found::good;
}

/* The string at next; s is what stands between its quotes. */
found
walk::string(span *s)
{
	const char *close;

	s->at = text + *next++ + 1;
	/* Behind its closing quote only blanks precede what comes next. */
	close = text + *next - 1;
	while (*close != '"')
		close--;
	s->end = close;
	if (backslash < s->at) {
		backslash = static_cast<const char *>(
		    memchr(s->at, '\\', static_cast<size_t>(end - s->at)));
		if (!backslash)
			backslash = end;
	}
	return backslash < close ? escapes(*s) : found::good;
}

found
walk::number()
{
	const char *p = text + *next++;

	if (*p == '-')
		p++;
	if (!digit(*p))
		return stop(found::broken, "bad number");
	if (*p++ != '0')
		while (digit(*p))
			p++;
	if (*p == '.') {
		if (!digit(*++p))
			return stop(found::broken, "bad number");
		while (digit(*p))
			p++;
	}
	if (*p == 'e' || *p == 'E') {
		p++;
		if (*p == '+' || *p == '-')
			p++;
		if (!digit(*p))
			return stop(found::broken, "bad number");
		while (digit(*p))
			p++;
	}
	if (!follow.may[static_cast<unsigned char>(*p)] && p != end)
		return stop(found::broken, "bad number");
	return found::good;
}

template <size_t size>
found
walk::literal(const char (&word)[size])
{
	constexpr size_t n = size - 1;
	const char *p = text + *next++;

	/* The padding is readable: no check of the length. */
	if (memcmp(p, word, n) != 0 ||
	    (!follow.may[static_cast<unsigned char>(p[n])] && p + n != end))
		return stop(found::broken, "not a JSON value");
	return found::good;
}

found
walk::scalar()
{
	span ignored;

	switch (peek()) {
	case '"':
		return string(&ignored);
	case 't':
		return literal("true");
	case 'f':
		return literal("false");
	case 'n':
		return literal("null");
	case '-':
	case '0':
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
	case '7':
	case '8':
	case '9':
		return number();
	default:
		return stop(found::broken, at_end() ? "text ends too early"
		                                    : "not a JSON value");
	}
}

/* A name and its colon. */
found
walk::name()
{
	span ignored;
	found f;

	if (peek() != '"')
		return stop(found::broken, "expected a name");
	f = string(&ignored);
	if (text[*next++] != ':' && f != found::broken)
		return stop(found::broken, "expected ':'");
	return f;
}

/* Whether f ends the walk; the first refusal is remembered. */
bool
walk::breaks(found f)
{
	if (f == found::refused && !first_refused)
		first_refused = why;
	return f == found::broken;
}

/*
 * Any value at next, with all that is in it.  Goes on to its end after
 * something refused.
 */
found
walk::value(unsigned depth_max)
{
	uint64_t objects[JSON_DEPTH_BREAK / 64]; /* set as depth grows */
	unsigned depth = 0;
	char close = 0;

	first_refused = nullptr;
	for (;;) {
		char c = peek();

		if (c == '{' || c == '[') {
			uint64_t bit = UINT64_C(1) << depth % 64;

			next++;
			if (depth == JSON_DEPTH_BREAK)
				return stop(found::broken, "nested too deeply");
			if (depth == depth_max)
				(void)breaks(
				    stop(found::refused, "nested too deeply"));
			close = c == '{' ? '}' : ']';
			if (close == '}')
				objects[depth / 64] |= bit;
			else
				objects[depth / 64] &= ~bit;
			depth++;
			if (peek() != close) {
				if (close == '}' && breaks(name()))
					return found::broken;
				continue;
			}
		} else if (breaks(scalar())) {
			return found::broken;
		}
		/* Behind a value: what ends here, then a comma. */
		for (;; depth--) {
			if (depth == 0)
				return first_refused
				           ? stop(found::refused, first_refused)
				           : found::good;
			close =
			    objects[(depth - 1) / 64] >> (depth - 1) % 64 & 1
				? '}'
				: ']';
			c = text[*next++];
			if (c != close)
				break;
		}
		if (c != ',')
			return stop(found::broken, close == '}'
			                               ? "expected ',' or '}'"
			                               : "expected ',' or ']'");
		if (close == '}' && breaks(name()))
			return found::broken;
	}
}

char *
put_utf8(char *out, unsigned c)
{
	if (c < 0x80) {
		*out++ = static_cast<char>(c);
		return out;
	}
	if (c < 0x800) {
		*out++ = static_cast<char>(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*out++ = static_cast<char>(0xe0 | c >> 12);
		} else {
			*out++ = static_cast<char>(0xf0 | c >> 18);
			*out++ = static_cast<char>(0x80 | (c >> 12 & 0x3f));
		}
		*out++ = static_cast<char>(0x80 | (c >> 6 & 0x3f));
	}
	*out++ = static_cast<char>(0x80 | (c & 0x3f));
	return out;
}

/*
 * Write s, whose escapes were found good, without them.  Returns its length;
 * or cap + 1, when it is longer than cap.  out has room for cap + 4 bytes.
 */
size_t
unescape(span s, char *out, size_t cap)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *p = s.at;
	char *start = out;

	while (p < s.end) {
		unsigned c;

		if (static_cast<size_t>(out - start) > cap)
			return cap + 1;
		if (*p != '\\') {
			*out++ = *p++;
			continue;
		}
		if (p[1] != 'u') {
			*out++ = to[strchr(from, p[1]) - from];
			p += 2;
			continue;
		}
		c = static_cast<unsigned>(hex4(p + 2, s.end));
		p += 6;
		if (c >= 0xd800 && c <= 0xdfff) {
			unsigned low =
			    static_cast<unsigned>(hex4(p + 2, s.end));

			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			p += 6;
		}
		out = put_utf8(out, c);
	}
	return static_cast<size_t>(out - start) > cap
	           ? cap + 1
	           : static_cast<size_t>(out - start);
}

#define TIME_TEXT_MAX 64

enum field { ID, TYPE, USER_ID, PAYLOAD, CREATED_AT, RECEIVED_AT, UNKNOWN };

/* One body being read. */
struct body {
	json_structure *places;
	const json_rules *rules;
	json_on_event on_event;
	void *arg;
	json_report *report;
	walk w;
	uint64_t index; /* of the event being read */
	span name;      /* of the field being read; for messages */
	char texts[UNKNOWN][EVENT_USER_ID_MAX + 8]; /* free of escapes */

	void note(span field, const char *why);
	found text(slice *out, field f, size_t min, size_t max,
	           const char *range);
	found time(int64_t *us);
	found payload(slice *out);
	field field_of_name();
	found one_field(event *e, unsigned *seen);
	found fields(event *e);
	found read_event(event *e);
	int skip_refused(const uint32_t *start);
	int hand_over(const event *e);
	int one_event(bool whole_text);
	int array();
	int begin(const char *text, size_t len);
	int broken();
	uint64_t locate(const char *text, size_t len);
	int document(const char *text, size_t len);
	int lines(const char *text, size_t len);
};

constexpr span NO_FIELD = {nullptr, nullptr};

/* One array: two equal literals need not be the same. */
constexpr char type_name[] = "type";
constexpr span TYPE_NAME = {type_name, type_name + 4};

void
body::note(span field, const char *why)
{
	json_report *r = report;
	json_error *e;
	size_t n = field.bytes();

	r->rejected++;
	if (r->error_count == JSON_ERRORS_MAX)
		return;
	e = &r->errors[r->error_count++];
	e->index = index;
	e->reason = why;
	if (n > JSON_FIELD_TEXT_MAX) {
		n = JSON_FIELD_TEXT_MAX;
		while (n > 0 && (field.at[n] & 0xc0) == 0x80)
			n--; /* not into the middle of a character */
	}
	if (n > 0)
		memcpy(e->field, field.at, n);
	e->field_bytes = static_cast<uint32_t>(n);
}

/* A string value of min..max bytes. */
found
body::text(slice *out, field f, size_t min, size_t max, const char *range)
{
	const char *at;
	size_t n;
	span s;
	found result;

	if (w.peek() != '"')
		return w.stop(found::refused, "must be a string");
	result = w.string(&s);
	if (result != found::good)
		return result;
	at = s.at;
	n = s.bytes();
	if (w.backslash < s.end) {
		n = unescape(s, texts[f], max);
		at = texts[f];
	}
	if (n < min || n > max)
		return w.stop(found::refused, range);
	*out = slice{at, static_cast<uint32_t>(n)};
	return found::good;
}

found
body::time(int64_t *us)
{
	static const char shape[] =
	    "must be an RFC 3339 time or whole milliseconds";
	static const char range[] = "must be within the years 1970 to 9999";
	const char *p = w.text + *w.next;
	slice s;
	int64_t ms = 0;
	found f;
	int rc;

	if (*p == '"') {
		f = text(&s, CREATED_AT, 1, TIME_TEXT_MAX, shape);
		if (f != found::good)
			return f;
		rc = rfc3339_read(s.data, s.bytes, us);
		if (rc < 0)
			return w.stop(found::refused,
			              rc == -ERANGE ? range : shape);
		return found::good;
	}
	if (*p != '-' && !digit(*p))
		return w.stop(found::refused, shape);
	f = w.number();
	if (f != found::good)
		return f;
	if (*p == '-')
		return w.stop(found::refused, range);
	for (; digit(*p); p++) {
		ms = ms * 10 + (*p - '0');
		if (ms > EVENT_TIME_MAX_US / 1000)
			return w.stop(found::refused, range);
	}
	if (*p == '.' || *p == 'e' || *p == 'E')
		return w.stop(found::refused, shape);
	*us = ms * 1000;
	return found::good;
}

/* Kept as it is, byte for byte. */
found
body::payload(slice *out)
{
	const char *start = w.text + *w.next;
	found f;

	if (*start != '{')
		return w.stop(found::refused, "must be an object");
	f = w.value(JSON_DEPTH_MAX);
	if (f == found::good)
		*out = slice{start, static_cast<uint32_t>(w.text + w.next[-1] +
		                                          1 - start)};
	return f;
}

field
body::field_of_name()
{
	const char *p = name.at;

	/* Lengths that are constants, so that comparing takes no call. */
	switch (name.bytes()) {
	case 2:
		return memcmp(p, "id", 2) == 0 ? ID : UNKNOWN;
	case 4:
		return memcmp(p, "type", 4) == 0 ? TYPE : UNKNOWN;
	case 7:
		if (memcmp(p, "payload", 7) == 0)
			return PAYLOAD;
		return memcmp(p, "user_id", 7) == 0 ? USER_ID : UNKNOWN;
	case 10:
		return memcmp(p, "created_at", 10) == 0 ? CREATED_AT : UNKNOWN;
	case 11:
		return memcmp(p, "received_at", 11) == 0 ? RECEIVED_AT
		                                         : UNKNOWN;
	default:
		return UNKNOWN;
	}
}

/* A field's value; its name is in `name`. */
found
body::one_field(event *e, unsigned *seen)
{
	field f = field_of_name();

	if (f != UNKNOWN && *seen >> f & 1)
		return w.stop(found::refused, "stands twice");
	*seen |= 1U << f;
	switch (f) {
	case ID:
		return text(&e->id, f, 1, EVENT_ID_MAX,
		            "must be of 1 to 128 bytes");
	case TYPE:
		return text(&e->type, f, 1, EVENT_TYPE_MAX,
		            "must be of 1 to 128 bytes");
	case USER_ID:
		if (w.peek() == 'n')
			return w.literal("null");
		return text(&e->user_id, f, 0, EVENT_USER_ID_MAX,
		            "must be of at most 256 bytes");
	case PAYLOAD:
		return payload(&e->payload);
	case CREATED_AT:
		return time(&e->created_at_us);
	case RECEIVED_AT:
		return w.stop(found::refused, "is set by the server");
	case UNKNOWN:
		if (rules->ignore_unknown)
			return w.value(JSON_DEPTH_MAX);
		return w.stop(found::refused, "unknown field");
	}
	return found::broken;
}

found
body::fields(event *e)
{
	char unescaped[JSON_FIELD_TEXT_MAX + 8];
	unsigned seen = 0;
	found f;
	char c;

	do {
		if (w.peek() != '"')
			return w.stop(found::broken, "expected a name");
		f = w.string(&name);
		if (f == found::refused)
			note(NO_FIELD, w.why);
		if (f != found::good)
			return f;
		if (w.backslash < name.end) {
			size_t n =
			    unescape(name, unescaped, JSON_FIELD_TEXT_MAX);

			/* Longer than that, it is none that we know. */
			if (n <= JSON_FIELD_TEXT_MAX)
				name = span{unescaped, unescaped + n};
		}
		if (w.text[*w.next++] != ':')
			return w.stop(found::broken, "expected ':'");
		f = one_field(e, &seen);
		if (f == found::refused)
			note(name, w.why);
		if (f != found::good)
			return f;
		c = w.text[*w.next++];
	} while (c == ',');
	if (c != '}')
		return w.stop(found::broken, "expected ',' or '}'");
	if (seen >> TYPE & 1)
		return found::good;
	note(TYPE_NAME, "missing");
	return found::refused;
}

/* The event at next.  What is refused has been noted. */
found
body::read_event(event *e)
{
	*e = event{};
	e->payload = slice{"{}", 2};
	e->created_at_us = rules->received_at_us;
	e->received_at_us = rules->received_at_us;
	if (w.peek() != '{') {
		note(NO_FIELD, "must be an object");
		return found::refused;
	}
	w.next++;
	if (w.peek() != '}')
		return fields(e);
	w.next++;
	note(TYPE_NAME, "missing");
	return found::refused;
}

/* Behind a refused event; its syntax still counts. */
int
body::skip_refused(const uint32_t *start)
{
	w.next = start;
	w.backslash = w.text;
	return w.value(JSON_DEPTH_BREAK) == found::broken ? broken() : 0;
}

int
body::hand_over(const event *e)
{
	int rc = on_event(arg, e);

	if (rc == 0)
		report->accepted++;
	if (rc != -EMSGSIZE)
		return rc;
	note(NO_FIELD, "larger than max_event_bytes");
	return 0;
}

/* whole_text: nothing may follow it. */
int
body::one_event(bool whole_text)
{
	const uint32_t *start = w.next;
	event e;
	found f;
	int rc = 0;

	if (index >= rules->max_events)
		return -E2BIG;
	f = read_event(&e);
	if (f == found::broken)
		return broken();
	if (f == found::refused)
		rc = skip_refused(start);
	if (rc == 0 && whole_text && !w.at_end()) {
		w.why = "text behind the end";
		return broken();
	}
	if (rc == 0 && f == found::good)
		rc = hand_over(&e);
	index++;
	return rc;
}

int
body::array()
{
	char c = ',';

	w.next++;
	if (w.peek() == ']') {
		w.next++;
		c = ']';
	}
	while (c == ',') {
		int rc = one_event(false);

		if (rc < 0)
			return rc;
		c = w.text[*w.next++];
	}
	if (c != ']')
		w.why = "expected ',' or ']'";
	else if (!w.at_end())
		w.why = "text behind the end";
	else
		return 0;
	return broken();
}

/* Only the break counts now: it stands alone in the report. */
int
body::broken()
{
	*report = json_report{};
	note(NO_FIELD, w.why);
	return -EBADMSG;
}

/*
 * In which event json_structure found its fault: a control byte in a string,
 * bytes that are not UTF-8, or a string without an end.
 */
uint64_t
body::locate(const char *text, size_t len)
{
	bool in_string = false;
	unsigned depth = 0;
	uint64_t commas = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = static_cast<unsigned char>(text[i]);

		if (c >= 0x80) {
			size_t n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

			if (n > len - i || !json_structure_utf8(text + i, n))
				break;
			i += n - 1;
		} else if (in_string) {
			if (c < 0x20)
				break;
			if (c == '\\')
				i++;
			in_string = c != '"';
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			depth++;
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		} else if (c == ',' && depth == 1) {
			commas++;
		}
	}
	return commas;
}

/* Place the walk at the beginning of a text.  As json_structure_find. */
int
body::begin(const char *text, size_t len)
{
	w.text = text;
	w.end = text + len;
	w.backslash = text;
	return json_structure_find(places, text, len, &w.next, &w.why);
}

int
body::document(const char *text, size_t len)
{
	int rc = begin(text, len);

	if (rc == -EBADMSG) {
		if (memchr(text, '[', len) == text + strspn(text, " \t\r\n"))
			index = locate(text, len);
		return broken();
	}
	if (rc < 0)
		return rc;
	if (w.peek() == '[')
		return array();
	if (w.peek() == '{')
		return one_event(true);
	w.why = "must be an event or an array of events";
	return broken();
}

bool
blank(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	return p == end;
}

/* A line that breaks is a refused event: the next line starts afresh. */
int
body::lines(const char *text, size_t len)
{
	const char *p = text, *end = text + len, *line_end;
	json_report so_far;
	int rc = 0;

	for (; rc == 0 && p < end; p = line_end + 1) {
		line_end = static_cast<const char *>(
		    memchr(p, '\n', static_cast<size_t>(end - p)));
		if (!line_end)
			line_end = end;
		if (blank(p, line_end))
			continue;
		so_far = *report;
		rc = begin(p, static_cast<size_t>(line_end - p));
		if (rc == 0)
			rc = one_event(true);
		if (rc != -EBADMSG)
			continue;
		*report = so_far;
		note(NO_FIELD, w.why);
		index++;
		rc = 0;
	}
	return rc;
}

} // namespace

struct json_reader {
	json_structure *places;
	body b;
};

json_reader *
json_reader_new(void)
{
	json_reader *r = new (std::nothrow) json_reader{};

	if (!r)
		return nullptr;
	r->places = json_structure_new();
	if (!r->places) {
		delete r;
		return nullptr;
	}
	return r;
}

void
json_reader_free(json_reader *r)
{
	if (!r)
		return;
	json_structure_free(r->places);
	delete r;
}

int
json_read(json_reader *r, char *text, size_t len, const json_rules *rules,
          json_on_event on_event, void *arg, json_report *report)
{
	int rc;

	memset(text + len, 0, JSON_PADDING);
	*report = json_report{};
	r->b.places = r->places;
	r->b.rules = rules;
	r->b.on_event = on_event;
	r->b.arg = arg;
	r->b.report = report;
	r->b.index = 0;
	rc = rules->ndjson ? r->b.lines(text, len) : r->b.document(text, len);
	if (json_structure_trim(r->places) < 0)
		return -ENOMEM;
	return rc;
}
