/* gen - see gen.h. */
#include "bench/gen.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define UUID_BYTES 36
#define NUMBER_DIGITS 12
#define USER_DIGITS 6
#define USER "user-000000"

/*
 * What differs between the shapes: the type, the user, and the rest of the
 * payload.
 */
static const struct {
	const char *type, *user, *rest;
} kinds[GEN_SHAPES] = {
    {"page_view", "\"" USER "\"",
     "\"path\":\"/catalogue/lamps/1184\",\"referrer\":\"https://example.org/"
     "search\",\"ms\":412,\"mobile\":true,\"ab\":[1,7]"},
    {"click", "\"" USER "\"",
     "\"element\":\"#add-to-basket\",\"path\":\"/catalogue/lamps/1184\","
     "\"x\":831,\"y\":1204,\"button\":0,\"ctrl\":false"},
    {"purchase", "\"" USER "\"",
     "\"order\":\"A-2291\",\"currency\":\"EUR\",\"total\":129.95,\"items\":[{"
     "\"sku\":\"L-1184\",\"n\":2},{\"sku\":\"B-07\",\"n\":1}]"},
    {"page_view", "null",
     "\"path\":\"/\",\"referrer\":null,\"ms\":98,\"mobile\":false,\"country\":"
     "\"DE\",\"campaign\":\"autumn \\\"glow\\\" 2\",\"ab\":[]"},
    {"search", "\"" USER "\"",
     "\"query\":\"reading lamp, brass\",\"results\":37,\"page\":1,\"filters\":{"
     "\"price\":[20,150],\"stock\":true},\"ms\":61"},
    {"page_view", "\"" USER "\"",
     "\"path\":\"/stra\xc3\x9f"
     "e/caf\xc3\xa9\",\"referrer\":\"https://example.com/\",\"ms\":233,"
     "\"mobile\":true,\"battery\":0.73,\"ab\":[2]"},
    {"login", "\"" USER "\"",
     "\"method\":\"password\",\"ok\":true,\"attempts\":1,\"agent\":\"Mozilla/"
     "5.0 (X11; Linux x86_64) Gecko/20100101\",\"ms\":87"},
    {"heartbeat", "\"" USER "\"",
     "\"uptime_s\":86412,\"load\":[0.31,0.27,0.22],\"free_mb\":2841,\"host\":"
     "\"web-04.fra.example.net\",\"version\":\"4.18.2\""},
};

static struct gen_place
gen_add(struct gen_shape *s, const char *text)
{
	struct gen_place p = {s->bytes, (uint16_t)strlen(text)};

	assert((size_t)s->bytes + p.bytes < sizeof s->text);
	memcpy(s->text + s->bytes, text, p.bytes);
	s->bytes = (uint16_t)(s->bytes + p.bytes);
	return p;
}

static void
build_shape(struct gen_shape *s, unsigned kind, const char *id)
{
	struct gen_place user;

	gen_add(s, "{\"id\":\"");
	s->id = gen_add(s, id);
	gen_add(s, "\",\"type\":\"");
	s->type = gen_add(s, kinds[kind].type);
	gen_add(s, "\",\"user_id\":");
	user = gen_add(s, kinds[kind].user);
	if (kinds[kind].user[0] == '"') {
		s->user.at = (uint16_t)(user.at + 1);
		s->user.bytes = (uint16_t)(user.bytes - 2);
	}
	gen_add(s, ",\"payload\":");
	s->payload = gen_add(s, "{\"sent_us\":");
	s->sent_us = gen_add(s, "0000000000000000");
	gen_add(s, ",\"number\":\"");
	s->number = gen_add(s, "000000000000");
	gen_add(s, "\",");
	gen_add(s, kinds[kind].rest);
	gen_add(s, "}");
	s->payload.bytes = (uint16_t)(s->bytes - s->payload.at);
	gen_add(s, ",\"created_at\":\"");
	s->created_at = gen_add(s, "0000-00-00T00:00:00.000000Z");
	gen_add(s, "\"}");
	assert(s->created_at.bytes == CLOCK_TEXT_BYTES);
}

int
gen_init(struct gen *g, uint64_t seed, const char *prefix)
{
	char id[GEN_ID_MAX + 1];
	size_t n = strlen(prefix);

	*g = (struct gen){.seed = seed};
	if (n > GEN_PREFIX_MAX ||
	    prefix[strspn(prefix, "abcdefghijklmnopqrstuvwxyz"
	                          "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                          "0123456789_.:-")] != '\0')
		return -EINVAL;
	memcpy(g->prefix, prefix, n + 1);
	g->id_bytes = n == 0 ? UUID_BYTES : n + NUMBER_DIGITS;
	gen_id(g, 0, id);
	id[g->id_bytes] = '\0';
	for (unsigned i = 0; i < GEN_SHAPES; i++)
		build_shape(&g->shapes[i], i, id);
	return 0;
}

static void
gen_put_digits(char *out, int digits, uint64_t value)
{
	for (int i = digits - 1; i >= 0; i--) {
		out[i] = (char)('0' + value % 10);
		value /= 10;
	}
}

void
gen_time_set(struct gen_time *t, int64_t wall_us)
{
	clock_format_us(wall_us, t->created_at);
	gen_put_digits(t->sent_us, GEN_SENT_DIGITS, (uint64_t)wall_us);
}

/* The finalizer of splitmix64, a bijection whose values look random. */
static uint64_t
mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static char *
gen_put_hex(char *out, uint64_t value, int digits)
{
	for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4)
		*out++ = "0123456789abcdef"[(value >> shift) & 15];
	return out;
}

void
gen_id(const struct gen *g, uint64_t number, char *out)
{
	uint64_t high, low;

	if (g->prefix[0] != '\0') {
		memcpy(out, g->prefix, g->id_bytes - NUMBER_DIGITS);
		gen_put_digits(out + g->id_bytes - NUMBER_DIGITS, NUMBER_DIGITS,
		               number);
		return;
	}
	high = mix(number + mix(g->seed + UINT64_C(0x9e3779b97f4a7c15)));
	low = mix(number ^ high);
	out = gen_put_hex(out, high >> 32, 8);
	*out++ = '-';
	out = gen_put_hex(out, high >> 16, 4);
	*out++ = '-';
	out = gen_put_hex(out, (high & 0x0fff) | 0x4000, 4);
	*out++ = '-';
	out = gen_put_hex(out, ((low >> 48) & 0x3fff) | 0x8000, 4);
	*out++ = '-';
	(void)gen_put_hex(out, low, 12);
}

char *
gen_place(const struct gen *g, unsigned shape, char *out)
{
	const struct gen_shape *s = &g->shapes[shape % GEN_SHAPES];

	memcpy(out, s->text, s->bytes);
	return out + s->bytes;
}

void
gen_patch(const struct gen *g, unsigned shape, char *text, uint64_t number,
          const struct gen_time *t)
{
	const struct gen_shape *s = &g->shapes[shape % GEN_SHAPES];

	gen_id(g, number, text + s->id.at);
	if (s->user.bytes > 0)
		gen_put_digits(text + s->user.at + s->user.bytes - USER_DIGITS,
		               USER_DIGITS, mix(number) % 100000);
	memcpy(text + s->sent_us.at, t->sent_us, GEN_SENT_DIGITS);
	gen_put_digits(text + s->number.at, NUMBER_DIGITS, number);
	memcpy(text + s->created_at.at, t->created_at, CLOCK_TEXT_BYTES);
}
