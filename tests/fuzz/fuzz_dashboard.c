/*
 * fuzz_dashboard - what the dashboard reads: a status of batchd, an event, and
 * the head of a request.  What it writes of them must be JSON, without bytes
 * that end a message of the event stream, and a foreign Host is refused.
 */
#include <stdio.h>

#include "libbase/log.h"
#include "libbase/printable.h"
#include "sinkd-dashboard/access.h"
#include "sinkd-dashboard/host.h"
#include "sinkd-dashboard/messages.h"
#include "sinkd-dashboard/model.h"
#include "tests/fuzz/fuzz.h"

static struct model model;
static struct buf text;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level((enum log_level)(LOG_ERROR + 1));
	buf_init(&text, 4 * MIB);
	return model_init(&model, false, 1000);
}

/* Strings end, brackets match, and every character is UTF-8. */
static void
check_json(void)
{
	const char *at = (const char *)text.data, *end = at + text.len;
	bool in_string = false;
	int depth = 0;

	HOLDS(text.error == 0);
	while (at < end) {
		uint32_t code;
		bool safe;
		size_t n = printable_next(at, (size_t)(end - at), &code, &safe);

		HOLDS(code >= 0x20 && (n > 1 || code < 0x7f));
		HOLDS(code != 0x2028 && code != 0x2029);
		if (code == '"')
			in_string = !in_string;
		else if (in_string && code == '\\')
			at++;
		else if (!in_string && (code == '{' || code == '['))
			depth++;
		else if (!in_string && (code == '}' || code == ']'))
			depth--;
		HOLDS(depth >= 0);
		at += n;
	}
	HOLDS(depth == 0 && !in_string);
}

static void
read_status(const uint8_t *data, size_t size)
{
	static const struct verdict_batchd up = {.answers = true, .error = ""};
	struct wire_reader r = {data, data + size};

	/* As the connection does it. */
	if (wire_skip(&r) < 0 || r.at != r.end)
		return;
	model.pipeline = (struct pipeline){0};
	if (model_status(&model, data, size, 1000) < 0)
		return;
	/* The same again, compared with the one before it. */
	HOLDS(model_status(&model, data, size, 2000) == 0);
	model_tick(&model, model.series.second, 1000000, &up);
	buf_clear(&text);
	message_tick(&text, &model, SHOW_EVENTS, 0, 128);
	check_json();
}

static void
read_event(const uint8_t *data, size_t size)
{
	static const struct filter all;
	struct wire_reader r = {data, data + size};
	struct event event;

	if (event_read(&r, &event) < 0)
		return;
	model_event(&model, 0, &event);
	buf_clear(&text);
	HOLDS(message_events(&text, &model.ring, &all, model.ring.next - 1,
	                     MIB) == 1);
	check_json();
}

static void
read_head(const char *data, size_t size)
{
	static char none[] = "";
	static struct dashboard_settings settings = {
	    .tokens_file = none, .hosts = none, .tls_certificate = none};
	static struct access gate = {.settings = &settings};
	static struct http_head head;
	struct visitor visitor;
	struct head_scan scan = {0};
	const struct slice *host;
	const char *why;
	ssize_t n = head_scan(&scan, data, size);

	if (n <= 0 || head_parse(data, (size_t)n, &head, &why) != 0)
		return;
	host = http_header(&head, "Host");
	if (access_check(&gate, &head, "127.0.0.1", &visitor).status == 0)
		HOLDS(host && host_is_ours("", *host) && !visitor.logged_in &&
		      visitor.show == SHOW_FIGURES);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy;

	if (size == 0)
		return 0;
	copy = fuzz_copy(data + 1, size - 1);
	switch (data[0] % 3) {
	case 0:
		read_status((const uint8_t *)copy, size - 1);
		break;
	case 1:
		read_event((const uint8_t *)copy, size - 1);
		break;
	default:
		read_head(copy, size - 1);
		break;
	}
	free(copy);
	return 0;
}
