/* report - see report.h. */
#include "libproto/report.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <msgpack.h>

#include "libbase/printable.h"
#include "libproto/wire.h"

static const struct figure ingest_figures[] = {
    [INGEST_REQUESTS] = {"requests", FIGURE_COUNTER},
    [INGEST_BODY_BYTES] = {"body_bytes", FIGURE_COUNTER},
    [INGEST_ACCEPTED_EVENTS] = {"accepted_events", FIGURE_COUNTER},
    [INGEST_REJECTED_EVENTS] = {"rejected_events", FIGURE_COUNTER},
    [INGEST_PENDING_BYTES] = {"pending_bytes", FIGURE_GAUGE},
    [INGEST_PENDING_REQUESTS] = {"pending_requests", FIGURE_GAUGE},
    [INGEST_CONNECTIONS] = {"connections", FIGURE_GAUGE},
    [INGEST_CONNECTIONS_OVERDUE] = {"connections_overdue", FIGURE_COUNTER},
    [INGEST_CONNECTIONS_EVICTED] = {"connections_evicted", FIGURE_COUNTER},
    [INGEST_MALFORMED] = {"malformed_requests", FIGURE_COUNTER},
    [INGEST_UNKNOWN_EVENTS] = {"unknown_events", FIGURE_COUNTER},
    [INGEST_IGNORED_FIELDS] = {"ignored_fields", FIGURE_COUNTER},
    [INGEST_UNAUTHORIZED] = {"unauthorized", FIGURE_COUNTER},
    [INGEST_RESPONSES_2XX] = {"responses_2xx", FIGURE_COUNTER},
    [INGEST_RESPONSES_4XX] = {"responses_4xx", FIGURE_COUNTER},
    [INGEST_RESPONSES_503] = {"responses_503", FIGURE_COUNTER},
    [INGEST_RESPONSES_504] = {"responses_504", FIGURE_COUNTER},
    [INGEST_DURABLE] = {"durable_0", FIGURE_BUCKET},
    {"durable_1", FIGURE_BUCKET},
    {"durable_2", FIGURE_BUCKET},
    {"durable_3", FIGURE_BUCKET},
    {"durable_4", FIGURE_BUCKET},
    {"durable_5", FIGURE_BUCKET},
    {"durable_6", FIGURE_BUCKET},
    {"durable_7", FIGURE_BUCKET},
    {"durable_8", FIGURE_BUCKET},
    {"durable_9", FIGURE_BUCKET},
    {"durable_10", FIGURE_BUCKET},
    {"durable_11", FIGURE_BUCKET},
    {"durable_12", FIGURE_BUCKET},
    {"durable_13", FIGURE_BUCKET},
    {"durable_14", FIGURE_BUCKET},
    {"durable_15", FIGURE_BUCKET},
    [INGEST_DURABLE_SUM_US] = {"durable_sum_us", FIGURE_BUCKET},
};

static const struct figure sink_figures[] = {
    [SINK_STATE] = {"state", FIGURE_TEXT},
    [SINK_ERROR] = {"error", FIGURE_TEXT},
    [SINK_ERROR_SINCE_US] = {"error_since_us", FIGURE_GAUGE},
    [SINK_NEXT_RETRY_US] = {"next_retry_us", FIGURE_GAUGE},
    [SINK_EVENTS] = {"events", FIGURE_COUNTER},
    [SINK_DUPLICATES] = {"duplicates", FIGURE_COUNTER},
    [SINK_BATCHES] = {"batches", FIGURE_COUNTER},
    [SINK_BYTES] = {"bytes", FIGURE_COUNTER},
    [SINK_RETRIES] = {"retries", FIGURE_COUNTER},
    [SINK_DEAD_LETTERED_EVENTS] = {"dead_lettered_events", FIGURE_COUNTER},
    [SINK_DEAD_LETTERS] = {"dead_letters", FIGURE_GAUGE},
    [SINK_PENDING_DEAD_LETTERS] = {"pending_dead_letters", FIGURE_GAUGE},
    [SINK_DEAD_WITHOUT_PAYLOAD] = {"dead_without_payload", FIGURE_GAUGE},
    [SINK_DEAD_DROPPED] = {"dead_dropped", FIGURE_GAUGE},
    [SINK_DEAD_BYTES] = {"dead_bytes", FIGURE_GAUGE},
    [SINK_DEAD_MAX_BYTES] = {"dead_max_bytes", FIGURE_GAUGE},
};

_Static_assert(ARRAY_LEN(ingest_figures) == INGEST_FIGURES,
               "one row for each figure");
_Static_assert(ARRAY_LEN(sink_figures) == SINK_FIGURES,
               "one row for each figure");
_Static_assert((int)INGEST_FIGURES <= REPORT_FIGURES_MAX &&
                   (int)SINK_FIGURES <= REPORT_FIGURES_MAX,
               "a report has room for all figures");
_Static_assert(REPORT_FIGURES_MAX <= 64, "report.known has a bit for each");

const struct figure *
report_figures(enum frame_role role, size_t *count)
{
	switch (role) {
	case ROLE_INGEST:
		*count = INGEST_FIGURES;
		return ingest_figures;
	case ROLE_SINK:
		*count = SINK_FIGURES;
		return sink_figures;
	case ROLE_CONTROL:
	case ROLE_TAIL:
		break;
	}
	*count = 0;
	return NULL;
}

/* Return true for a space, a tab or a line end. */
static bool
report_is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

void
report_set_text(struct report *r, size_t figure, struct slice text)
{
	size_t used = 0, at = 0;
	char *out = r->texts[figure];
	bool blank = false; /* write one before the next character */

	assert(figure < REPORT_TEXTS);
	while (at < text.bytes) {
		uint32_t code;
		bool printable, good;
		size_t n;

		if (report_is_blank(text.data[at])) {
			blank = used > 0;
			at++;
			continue;
		}
		n = printable_next(text.data + at, text.bytes - at, &code,
		                   &printable);
		/* A single byte above 0x7f is not UTF-8. */
		good = n > 1 || (code >= ' ' && code < 0x7f);
		if (used + blank + n > REPORT_TEXT_MAX)
			break;
		if (blank)
			out[used++] = ' ';
		blank = false;
		if (good)
			memcpy(out + used, text.data + at, n);
		else
			out[used] = '?';
		used += good ? n : 1;
		at += n;
	}
	out[used] = '\0';
	r->known |= UINT64_C(1) << figure;
}

/* Return the figure of this key and kind of value, or SIZE_MAX. */
static size_t
report_find(const struct figure *figures, size_t count, const struct slice *key,
            bool text)
{
	for (size_t i = 0; i < count; i++) {
		if ((figures[i].kind == FIGURE_TEXT) == text &&
		    slice_is(*key, figures[i].key))
			return i;
	}
	return SIZE_MAX;
}

static bool
report_is_text(const struct wire_reader *r)
{
	return r->at < r->end &&
	       ((*r->at & 0xe0) == 0xa0 || (*r->at >= 0xd9 && *r->at <= 0xdb));
}

int
report_read(enum frame_role role, const void *map, size_t bytes,
            struct report *r)
{
	struct wire_reader in = {map, (const uint8_t *)map + bytes};
	size_t count, at;
	const struct figure *figures = report_figures(role, &count);
	uint32_t pairs = 0;
	int rc = bytes > REPORT_READ_MAX ? -EBADMSG : wire_map(&in, &pairs);

	*r = (struct report){0};
	/* If the count is too large, reading fails at the end. */
	for (; rc == 0 && pairs > 0; pairs--) {
		struct slice key, text;
		int64_t value;

		rc = wire_str(&in, &key);
		if (rc == 0 && report_is_text(&in)) {
			rc = wire_str(&in, &text);
			at = report_find(figures, count, &key, true);
			if (rc == 0 && at != SIZE_MAX)
				report_set_text(r, at, text);
		} else if (rc == 0) {
			rc = wire_int(&in, &value);
			at = report_find(figures, count, &key, false);
			if (rc == 0 && at != SIZE_MAX && value < 0)
				rc = -EBADMSG;
			if (rc == 0 && at != SIZE_MAX)
				report_set(r, at, (uint64_t)value);
		}
	}
	return rc < 0 || in.at != in.end ? -EBADMSG : 0;
}

struct map {
	uint8_t *out;
	size_t used;
};

static int
report_on_write(void *data, const char *bytes, size_t len)
{
	struct map *m = data;

	/* The tables bound the length. */
	assert(len <= REPORT_PACKED_MAX - m->used);
	memcpy(m->out + m->used, bytes, len);
	m->used += len;
	return 0;
}

static void
report_pack_text(msgpack_packer *pk, const char *text)
{
	(void)msgpack_pack_str_with_body(pk, text, strlen(text));
}

void
report_put(struct msgpack_packer *pk, enum frame_role role,
           const struct report *r, unsigned kinds)
{
	size_t count, has = 0;
	const struct figure *figures = report_figures(role, &count);

	for (size_t i = 0; i < count; i++)
		has += report_has(r, i) && (kinds >> figures[i].kind & 1);
	(void)msgpack_pack_map(pk, has);
	for (size_t i = 0; i < count; i++) {
		if (!report_has(r, i) || !(kinds >> figures[i].kind & 1))
			continue;
		report_pack_text(pk, figures[i].key);
		if (figures[i].kind == FIGURE_TEXT)
			report_pack_text(pk, r->texts[i]);
		else
			(void)msgpack_pack_uint64(pk, r->values[i]);
	}
}

size_t
report_pack(enum frame_role role, const struct report *r,
            uint8_t out[REPORT_PACKED_MAX])
{
	struct map m = {.out = out};
	msgpack_packer pk;

	msgpack_packer_init(&pk, &m, report_on_write);
	report_put(&pk, role, r, REPORT_ALL_KINDS);
	return m.used;
}

/*
 * Most that one report may add to a sum.  No process counts as much between
 * two reports, even in bytes: this is a gigabyte in each second of three days
 * without batchd.
 */
#define STEP_MAX (UINT64_C(1) << 48)

static bool
is_counter(const struct figure *f)
{
	return f->kind == FIGURE_COUNTER || f->kind == FIGURE_BUCKET;
}

struct report
report_base(enum frame_role role, const struct report *now,
            const struct report *sent)
{
	struct report base = *now;
	size_t count;
	const struct figure *figures = report_figures(role, &count);

	for (size_t i = 0; i < count; i++) {
		if (is_counter(&figures[i]))
			base.values[i] = sent->values[i];
	}
	return base;
}

void
report_merge(struct report *r, const struct report *now)
{
	for (size_t i = 0; i < REPORT_FIGURES_MAX; i++) {
		if (report_has(now, i))
			r->values[i] = now->values[i];
	}
	for (size_t i = 0; i < REPORT_TEXTS; i++) {
		if (report_has(now, i))
			memcpy(r->texts[i], now->texts[i], sizeof r->texts[i]);
	}
	r->known |= now->known;
}

void
report_count(enum frame_role role, struct report_sums *sums,
             const struct report *before, const struct report *now)
{
	size_t count;
	const struct figure *figures = report_figures(role, &count);

	for (size_t i = 0; i < count; i++) {
		uint64_t *sum = &sums->values[i];
		uint64_t more = now->values[i] - before->values[i];

		if (!is_counter(&figures[i]) || !report_has(before, i) ||
		    !report_has(now, i))
			continue;
		/* Skip a process whose count falls, or rises too much. */
		if (now->values[i] < before->values[i] || more > STEP_MAX)
			continue;
		/* Programs that read counters expect them to restart. */
		*sum = more <= (uint64_t)INT64_MAX - *sum ? *sum + more : more;
	}
}
