/*
 * fuzz_headers - what we make of a request's headers: whether its framing is
 * sound, which form its body has, whose token it bears, and which page sends
 * it.  The input is lines: cors_origins, then headers as "name:value".
 */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nettle/base64.h>

#include "ingestd/auth.h"
#include "ingestd/cors.h"
#include "ingestd/headers.h"
#include "tests/fuzz/fuzz.h"

#define LINE_MAX_BYTES 1024
#define HEADERS_MAX 16

/* "test", by its SHA-256. */
#define SECRET "test"
#define TOKENS_FILE                                                            \
	"a sha256:"                                                            \
	"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n"

struct MHD_Connection {
	size_t count;
	const char *names[HEADERS_MAX], *values[HEADERS_MAX];
};

static struct tokens tokens;

/* In the place of libmicrohttpd's, which looks names up just so. */
const char *
MHD_lookup_connection_value(struct MHD_Connection *c, enum MHD_ValueKind kind,
                            const char *name)
{
	(void)kind;
	for (size_t i = 0; i < c->count; i++) {
		if (strcasecmp(c->names[i], name) == 0)
			return c->values[i];
	}
	return NULL;
}

int
MHD_get_connection_values(struct MHD_Connection *c, enum MHD_ValueKind kind,
                          MHD_KeyValueIterator each, void *arg)
{
	size_t i = 0;

	while (i < c->count &&
	       each(arg, kind, c->names[i], c->values[i]) == MHD_YES)
		i++;
	return (int)i;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[64], error[TOKENS_ERROR_TEXT];
	int fd = memfd_create("tokens", MFD_CLOEXEC);

	(void)argc;
	(void)argv;
	HOLDS(fd >= 0 && write(fd, TOKENS_FILE, strlen(TOKENS_FILE)) ==
	                     (ssize_t)strlen(TOKENS_FILE));
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	HOLDS(tokens_load(&tokens, path, error) == 0);
	(void)close(fd); /* in memory */
	return 0;
}

static unsigned
count_of(const struct MHD_Connection *c, const char *name)
{
	unsigned n = 0;

	for (size_t i = 0; i < c->count; i++)
		n += strcasecmp(c->names[i], name) == 0;
	return n;
}

/* One length, or chunks: whatever else there is, no proxy saw another end. */
static void
check_framing(struct MHD_Connection *c)
{
	unsigned lengths = count_of(c, MHD_HTTP_HEADER_CONTENT_LENGTH);
	unsigned codings = count_of(c, MHD_HTTP_HEADER_TRANSFER_ENCODING);

	if (codings == 0)
		HOLDS(headers_framing_sound(c) == (lengths <= 1));
	else if (headers_framing_sound(c))
		HOLDS(lengths == 0 && codings == 1 &&
		      headers_body_bytes(c) == 0);
	if (lengths + codings == 0 || c->count == HEADERS_MAX)
		return;
	c->names[c->count] = "content-length";
	c->values[c->count++] = "0";
	HOLDS(!headers_framing_sound(c));
	c->count--;
}

/* A type is the same in capitals, and with parameters. */
static void
check_type(const char *type, bool ndjson)
{
	char text[LINE_MAX_BYTES + 32];
	struct MHD_Connection c = {1, {MHD_HTTP_HEADER_CONTENT_TYPE}, {text}};
	bool again;

	(void)snprintf(text, sizeof text, "%s;charset=utf-8", type);
	for (char *p = text; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	HOLDS(headers_events_type(&c, &again) && again == ndjson);
	(void)snprintf(text, sizeof text, "x%s", type);
	HOLDS(!headers_events_type(&c, &again));
}

/* Whoever is let in has said the secret, whole. */
static void
check_auth(const char *given)
{
	uint8_t text[LINE_MAX_BYTES];
	const char *at = strchr(given, ' ');
	struct base64_decode_ctx ctx;
	size_t n = sizeof text;
	uint8_t *colon;

	if (!auth_find(&tokens, given))
		return;
	HOLDS(at);
	at += strspn(at, " ");
	if (strncasecmp(given, "Bearer ", 7) == 0) {
		HOLDS(strcmp(at, SECRET) == 0);
		return;
	}
	HOLDS(strncasecmp(given, "Basic ", 6) == 0);
	base64_decode_init(&ctx);
	HOLDS(base64_decode_update(&ctx, &n, text, strlen(at), at) &&
	      base64_decode_final(&ctx));
	colon = memchr(text, ':', n);
	HOLDS(colon && n - (size_t)(colon + 1 - text) == strlen(SECRET) &&
	      memcmp(colon + 1, SECRET, strlen(SECRET)) == 0);
}

/* Any user may say it. */
static void
check_basic(const char *user)
{
	char text[128], header[256] = "Basic ";
	size_t n;

	n = (size_t)snprintf(text, sizeof text, "%.100s", user);
	for (char *p = text; (p = strchr(p, ':'));)
		*p = '.';
	n += (size_t)snprintf(text + n, sizeof text - n, ":%s", SECRET);
	base64_encode_raw(header + strlen(header), n, (uint8_t *)text);
	HOLDS(auth_find(&tokens, header) == tokens.list[0]);
	base64_encode_raw(header + strlen("Basic "), n - 1, (uint8_t *)text);
	header[strlen("Basic ") + BASE64_ENCODE_RAW_LENGTH(n - 1)] = '\0';
	HOLDS(!auth_find(&tokens, header));
}

/* An origin that is allowed stands in the list, and may go into an answer. */
static void
check_origin(const char *origins, const char *origin)
{
	char *list = fuzz_copy(origins, strlen(origins) + 1), *rest;
	bool listed = strcmp(origins, "*") == 0;

	for (char *word = strtok_r(list, " \t", &rest); !listed && word;
	     word = strtok_r(NULL, " \t", &rest)) {
		HOLDS(cors_allows(origins, word));
		listed = strcmp(word, origin) == 0;
	}
	HOLDS(cors_allows(origins, origin) == listed);
	free(list);
	if (!listed || cors_check(origins) || strcmp(origins, "*") == 0)
		return;
	HOLDS(strncmp(origin, "http", 4) == 0);
	for (const char *p = origin; *p; p++)
		HOLDS(isgraph((unsigned char)*p) &&
		      !isupper((unsigned char)*p));
}

/* The next line as a text of its own, or NULL. */
static char *
next_line(struct fuzz_input *in)
{
	const uint8_t *newline;
	size_t n = (size_t)(in->end - in->at);
	char *line;

	if (n == 0)
		return NULL;
	newline = memchr(in->at, '\n', n);
	if (newline)
		n = (size_t)(newline - in->at);
	if (n > LINE_MAX_BYTES - 1)
		n = LINE_MAX_BYTES - 1;
	line = malloc(n + 1);
	HOLDS(line);
	memcpy(line, fuzz_bytes(in, &n), n);
	line[n] = '\0';
	in->at += newline == in->at;
	return line;
}

static void
check(struct MHD_Connection *c, const char *origins)
{
	const char *type = headers_get(c, MHD_HTTP_HEADER_CONTENT_TYPE);
	const char *given = headers_get(c, MHD_HTTP_HEADER_AUTHORIZATION);
	const char *origin = headers_get(c, MHD_HTTP_HEADER_ORIGIN);
	bool ndjson;

	check_framing(c);
	if (headers_events_type(c, &ndjson) && type)
		check_type(type, ndjson);
	if (given) {
		check_auth(given);
		check_basic(given);
	}
	if (origin)
		check_origin(origins, origin);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, data + size};
	char *origins = next_line(&in), *line, *lines[HEADERS_MAX] = {0};
	struct MHD_Connection c = {0};

	if (!origins)
		return 0;
	while (c.count < HEADERS_MAX && (line = next_line(&in))) {
		char *colon = strchr(line, ':');

		if (colon)
			*colon = '\0';
		lines[c.count] = line;
		c.names[c.count] = line;
		c.values[c.count++] = colon ? colon + 1 : "";
	}
	check(&c, origins);
	for (size_t i = 0; i < c.count; i++)
		free(lines[i]);
	free(origins);
	return 0;
}
