/*
 * fuzz_chunked - fuzz the parser of chunked bodies. The body must be the same
 * wherever the bytes are split, and the same as that of a second parser, which
 * has all bytes at once and is written from RFC 9112, section 7.1, without the
 * white space that it allows. The input is two bytes that choose where it is
 * split, and the body.
 */
#include <stdbool.h>
#include <strings.h>

#include "libhttp/chunked.h"
#include "tests/fuzz/fuzz.h"

#define DIGITS "0123456789abcdefABCDEF"
#define TOKEN                                                                  \
	"!#$%&'*+-.^_`|~"                                                      \
	"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

/* What became of a body. */
struct reading {
	enum chunked_result result; /* CHUNKED_MORE: incomplete */
	size_t used;
	char *body;
	size_t body_bytes;
};

/* The reading by pieces. */

static void
add_data(struct reading *r, const char *data, size_t n)
{
	memcpy(r->body + r->body_bytes, data, n);
	r->body_bytes += n;
}

/* Memory holds exactly this piece, and what is not used must not change. */
static void
read_piece(struct reading *r, struct chunked *c, const char *piece, size_t n)
{
	char *copy = fuzz_copy(piece, n), *at = copy, *data = NULL;
	size_t left = n, data_bytes = 0;

	while (true) {
		char *from = at;

		r->result = chunked_read(c, &at, &left, &data, &data_bytes);
		HOLDS(at >= from && at == copy + n - left);
		if (r->result != CHUNKED_DATA)
			break;
		HOLDS(data_bytes > 0 && data >= from &&
		      data + data_bytes <= at);
		add_data(r, data, data_bytes);
	}
	HOLDS(r->result != CHUNKED_MORE || left == 0);
	HOLDS(r->result != CHUNKED_BAD || (c->why && *c->why));
	HOLDS(left == 0 || memcmp(at, piece + n - left, left) == 0);
	r->used += n - left;
	free(copy);
}

static struct reading
read_pieces(const char *bytes, size_t n, size_t first, size_t step)
{
	struct reading r = {CHUNKED_MORE, 0, malloc(n + 1), 0};
	struct chunked c;
	size_t at = 0, piece = first;

	HOLDS(r.body);
	memset(&c, 0, sizeof c);
	while (r.result == CHUNKED_MORE && at < n) {
		if (piece > n - at)
			piece = n - at;
		read_piece(&r, &c, bytes + at, piece);
		at += piece;
		piece = 1 + piece * step / 64 % 1000;
	}
	return r;
}

/* The second reading. */

struct text {
	const char *at, *end;
};

static bool
next_in(struct text *t, const char *set)
{
	return t->at < t->end && *t->at != '\0' && strchr(set, *t->at);
}

static size_t
skip_set(struct text *t, const char *set)
{
	size_t n = 0;

	for (; next_in(t, set); n++)
		t->at++;
	return n;
}

static bool
skip_text(struct text *t, const char *text)
{
	size_t n = strlen(text);

	if ((size_t)(t->end - t->at) < n || memcmp(t->at, text, n) != 0)
		return false;
	t->at += n;
	return true;
}

static bool
is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

/* quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE */
static bool
skip_quoted(struct text *t)
{
	while (t->at < t->end && !is_control(*t->at)) {
		char c = *t->at++;

		if (c == '"')
			return true;
		if (c == '\\') {
			if (t->at == t->end || is_control(*t->at))
				return false;
			t->at++;
		}
	}
	return false;
}

/* chunk-ext = *( ";" token [ "=" ( token / quoted-string ) ] ) */
static bool
skip_extensions(struct text *t)
{
	while (skip_text(t, ";")) {
		if (skip_set(t, TOKEN) == 0)
			return false;
		if (skip_text(t, "=") && !skip_set(t, TOKEN) &&
		    !(skip_text(t, "\"") && skip_quoted(t)))
			return false;
	}
	return true;
}

/* field-line = token ":" *( HTAB / SP / VCHAR / obs-text ), of no framing */
static bool
is_trailer(struct text line)
{
	static const char *const framing[] = {
	    "Content-Length",
	    "Transfer-Encoding",
	    "Host",
	    "Connection",
	    "Trailer",
	    "Expect",
	    "TE",
	    "Upgrade",
	};
	size_t n = skip_set(&line, TOKEN);

	for (size_t i = 0; i < ARRAY_LEN(framing); i++) {
		if (n == strlen(framing[i]) &&
		    strncasecmp(line.at - n, framing[i], n) == 0)
			return false;
	}
	if (n == 0 || !skip_text(&line, ":"))
		return false;
	while (line.at < line.end && !is_control(*line.at))
		line.at++;
	return line.at == line.end;
}

/* Return true if a trailer of this name may be refused for its name. */
static bool
is_doubtful(struct text line)
{
	static const char *const names[] = {
	    "Keep-Alive",       "Content-Type",  "Content-Encoding",
	    "Authorization",    "Content-Range", "Cookie",
	    "Proxy-Connection",
	};
	size_t n = skip_set(&line, TOKEN);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (n == strlen(names[i]) &&
		    strncasecmp(line.at - n, names[i], n) == 0)
			return true;
	}
	return false;
}

/* The result of the second parser, and what it leaves open. */
struct plain {
	struct reading r;
	bool open;  /* at a limit: any result is right */
	bool early; /* incomplete, but may be refused already */
};

/*
 * The next line, without its CRLF.  Returns CHUNKED_DATA if there is one, and
 * CHUNKED_MORE if it is not complete.
 */
static enum chunked_result
chunked_next_line(struct plain *p, struct text *t, struct text *line)
{
	const char *cr = memchr(t->at, '\r', (size_t)(t->end - t->at));
	bool ends = cr && cr + 1 < t->end, bad = ends && cr[1] != '\n';

	*line = (struct text){t->at, cr ? cr : t->end};
	for (const char *at = line->at; at < line->end; at++)
		bad |= is_control(*at);
	/* The limit may count the CRLF or not. */
	if (line->end - line->at > CHUNKED_LINE_MAX)
		return CHUNKED_BAD;
	if (line->end - line->at > CHUNKED_LINE_MAX - 3)
		p->open = true;
	if (!ends) {
		p->early = bad;
		return CHUNKED_MORE;
	}
	t->at = cr + 2;
	return bad ? CHUNKED_BAD : CHUNKED_DATA;
}

static enum chunked_result
plain_trailers(struct plain *p, struct text *t)
{
	const char *from = t->at;
	enum chunked_result result;
	struct text line;

	while ((result = chunked_next_line(p, t, &line)) == CHUNKED_DATA) {
		if (t->at - from > CHUNKED_TRAILERS_MAX + 2)
			return CHUNKED_BAD;
		if (t->at - from > CHUNKED_TRAILERS_MAX - 2)
			p->open = true;
		if (line.at == line.end)
			return CHUNKED_END;
		if (!is_trailer(line))
			return CHUNKED_BAD;
		p->open |= is_doubtful(line);
	}
	if (t->end - from > CHUNKED_TRAILERS_MAX + 2)
		return CHUNKED_BAD;
	p->open |= t->end - from > CHUNKED_TRAILERS_MAX - 2;
	return result;
}

/* One chunk; CHUNKED_DATA if another one follows. */
static enum chunked_result
plain_chunk(struct plain *p, struct text *t)
{
	enum chunked_result result;
	struct text line;
	uint64_t size = 0;
	const char *first;
	size_t digits, n;

	result = chunked_next_line(p, t, &line);
	if (result != CHUNKED_DATA)
		return result;
	first = line.at;
	digits = skip_set(&line, DIGITS);
	for (size_t i = 0; i < digits; i++) {
		char digit[2] = {first[i], '\0'};

		if (size >> 60)
			return CHUNKED_BAD;
		size = size << 4 | strtoull(digit, NULL, 16);
	}
	if (digits == 0 || !skip_extensions(&line) || line.at != line.end)
		return CHUNKED_BAD;
	/* The number has more leading zeros than digits. */
	p->open |= digits > 16;
	if (size == 0)
		return plain_trailers(p, t);
	n = (size_t)(t->end - t->at);
	n = size < n ? (size_t)size : n;
	add_data(&p->r, t->at, n);
	t->at += n;
	if (n < size || t->at == t->end)
		return CHUNKED_MORE;
	if (*t->at++ != '\r')
		return CHUNKED_BAD;
	if (t->at == t->end)
		return CHUNKED_MORE;
	return *t->at++ == '\n' ? CHUNKED_DATA : CHUNKED_BAD;
}

static struct plain
plain_read(const char *bytes, size_t n)
{
	struct plain p = {.r = {.body = malloc(n + 1)}};
	struct text t = {bytes, bytes + n};

	HOLDS(p.r.body);
	do {
		p.r.result = plain_chunk(&p, &t);
	} while (p.r.result == CHUNKED_DATA);
	p.r.used = p.r.result == CHUNKED_MORE ? n : (size_t)(t.at - bytes);
	return p;
}

static void
check_same(const struct reading *a, const struct reading *b)
{
	HOLDS(a->result == b->result && a->body_bytes == b->body_bytes &&
	      memcmp(a->body, b->body, a->body_bytes) == 0);
	HOLDS(a->result == CHUNKED_BAD || a->used == b->used);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, data + size};
	size_t first = fuzz_u8(&in), step = fuzz_u8(&in), n = size;
	const char *bytes = (const char *)fuzz_bytes(&in, &n);
	struct reading whole = read_pieces(bytes, n, n, 0);
	struct reading pieces = read_pieces(bytes, n, 1 + first, step);
	struct plain plain = plain_read(bytes, n);

	check_same(&whole, &pieces);
	if (plain.early && whole.result == CHUNKED_BAD)
		plain.r.result = CHUNKED_BAD;
	if (!plain.open)
		check_same(&whole, &plain.r);
	free(whole.body);
	free(pieces.body);
	free(plain.r.body);
	return 0;
}
