/*
 * fuzz_auth - fuzz how the token of a request and the origin of a web page are
 * found. The input is lines: cors_origins, then headers as "name:value".
 */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nettle/base64.h>

#include "libhttp/auth.h"
#include "libhttp/cors.h"
#include "tests/fuzz/fuzz.h"

#define LINE_MAX_BYTES 1024

/* "test", by its SHA-256. */
#define SECRET "test"
#define TOKENS_FILE                                                            \
	"a sha256:"                                                            \
	"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n"

static struct tokens tokens;

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

/* The token of a request with this Authorization header. */
static struct token *
auth(const char *header)
{
	struct http_head head = {.field_count = 1};
	struct token *token;

	head.fields[0] =
	    (struct http_field){slice_of("AUTHORIZATION"), slice_of(header)};
	HOLDS(auth_find(&tokens, &head, &token));
	return token;
}

/* A request for which a token is found contains the whole secret. */
static void
check_auth(const char *given)
{
	uint8_t text[LINE_MAX_BYTES];
	const char *at = strchr(given, ' ');
	struct base64_decode_ctx ctx;
	size_t n = sizeof text;
	uint8_t *colon;

	if (!auth(given))
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

/* Any user may send it. */
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
	HOLDS(auth(header) == tokens.list[0]);
	base64_encode_raw(header + strlen("Basic "), n - 1, (uint8_t *)text);
	header[strlen("Basic ") + BASE64_ENCODE_RAW_LENGTH(n - 1)] = '\0';
	HOLDS(!auth(header));
}

/* An allowed origin is in the list, and can be copied into a response. */
static void
check_origin(const char *origins, const char *origin)
{
	char *list = fuzz_copy(origins, strlen(origins) + 1), *rest;
	bool listed = strcmp(origins, "*") == 0;

	for (char *word = strtok_r(list, " \t", &rest); !listed && word;
	     word = strtok_r(NULL, " \t", &rest)) {
		HOLDS(cors_find(origins, slice_of(word)).data);
		listed = strcmp(word, origin) == 0;
	}
	HOLDS(!cors_find(origins, slice_of(origin)).data != listed);
	free(list);
	if (!listed || cors_check(origins) || strcmp(origins, "*") == 0)
		return;
	HOLDS(strncmp(origin, "http", 4) == 0);
	for (const char *p = origin; *p; p++)
		HOLDS(isgraph((unsigned char)*p) &&
		      !isupper((unsigned char)*p));
}

/* A copy of the next line, or NULL. */
static char *
auth_next_line(struct fuzz_input *in)
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
check_line(const char *origins, char *line)
{
	char *value = strchr(line, ':');

	if (!value)
		return;
	*value++ = '\0';
	if (strcasecmp(line, "Authorization") == 0) {
		check_auth(value);
		check_basic(value);
	} else if (strcasecmp(line, "Origin") == 0) {
		check_origin(origins, value);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, data + size};
	char *origins = auth_next_line(&in), *line;

	while (origins && (line = auth_next_line(&in))) {
		check_line(origins, line);
		free(line);
	}
	free(origins);
	return 0;
}
