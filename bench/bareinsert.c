/*
 * bareinsert - measure what RowBinary over HTTP can do, to compare
 * sinkd-clickhouse with it.
 *
 * It writes the benchmarks' events into a ClickHouse table, with --batch-rows
 * in one INSERT, and prints rows per second.
 *
 * --to is the server's URL.  The table must have the columns that
 * sinkd-clickhouse creates on Debian's server: texts as String, user_id
 * Nullable, times as Int64 (ms).
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bare.h"

struct target {
	CURL *curl;
	char url[1000];
};

static int
bareinsert_put_text(struct buf *b, const char *text, size_t bytes)
{
	uint8_t len[4];
	size_t n = 0, rest = bytes;
	int rc;

	do {
		len[n++] = (uint8_t)((rest & 127) | (rest > 127 ? 128 : 0));
		rest >>= 7;
	} while (rest > 0);
	rc = buf_add(b, len, n);
	return rc < 0 ? rc : buf_add(b, text, bytes);
}

static int
bareinsert_put_row(struct buf *b, const struct bare_row *row, void *arg)
{
	int64_t times_ms[2] = {row->wall_us / 1000, row->wall_us / 1000};
	uint8_t null = row->user_bytes == 0;
	int rc = bareinsert_put_text(b, row->id, row->id_bytes);

	(void)arg;
	if (rc == 0)
		rc = bareinsert_put_text(b, row->type, row->type_bytes);
	if (rc == 0)
		rc = buf_add(b, &null, 1);
	if (rc == 0 && !null)
		rc = bareinsert_put_text(b, row->user, row->user_bytes);
	if (rc == 0)
		rc = bareinsert_put_text(b, row->payload, row->payload_bytes);
	return rc < 0 ? rc : buf_add(b, times_ms, sizeof times_ms);
}

/* The response to a successful INSERT is empty, so this is an error's text. */
static size_t
bareinsert_on_body(char *bytes, size_t size, size_t n, void *arg)
{
	(void)arg;
	(void)fwrite(bytes, size, n, stderr);
	return size * n;
}

static int
insert(void *arg, const uint8_t *bytes, size_t len)
{
	struct target *t = arg;
	long status = 0;
	CURLcode rc;

	if (curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS, bytes) != CURLE_OK ||
	    curl_easy_setopt(t->curl, CURLOPT_POSTFIELDSIZE_LARGE,
	                     (curl_off_t)len) != CURLE_OK)
		return -EINVAL;
	rc = curl_easy_perform(t->curl);
	if (rc != CURLE_OK) {
		fprintf(stderr, "bareinsert: %s\n", curl_easy_strerror(rc));
		return -EIO;
	}
	(void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	return status == 200 ? 0 : -EIO;
}

static int
bareinsert_open_target(struct target *t, const struct bare_options *o,
                       struct curl_slist *headers)
{
	int n = snprintf(t->url, sizeof t->url,
	                 "%s/?max_insert_block_size=1000000&query="
	                 "INSERT%%20INTO%%20%s%%20(id,type,user_id,payload,"
	                 "created_at,received_at)%%20FORMAT%%20RowBinary",
	                 o->to, o->table);

	t->curl = curl_easy_init();
	if (!t->curl || !headers || n < 0 || (size_t)n >= sizeof t->url)
		return -EINVAL;
	if (curl_easy_setopt(t->curl, CURLOPT_URL, t->url) != CURLE_OK ||
	    curl_easy_setopt(t->curl, CURLOPT_POST, 1L) != CURLE_OK ||
	    curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, headers) !=
	        CURLE_OK ||
	    curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION,
	                     bareinsert_on_body) != CURLE_OK)
		return -EINVAL;
	return 0;
}

static int
bareinsert_run(const struct bare_options *o)
{
	/* Do not wait for a 100 Continue. */
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	struct bare_form form = {.row = bareinsert_put_row};
	struct bare_rows rows = {0};
	struct target t = {0};
	int rc = bareinsert_open_target(&t, o, headers);

	if (rc == 0)
		rc = bare_rows_make(&rows, o, &form);
	if (rc == 0)
		rc = bare_run(o, &rows, insert, NULL, &t);
	bare_rows_free(&rows);
	curl_easy_cleanup(t.curl);
	curl_slist_free_all(headers);
	return rc;
}

int
main(int argc, char **argv)
{
	struct bare_options o;
	int status, rc;

	if (bare_options_read(&o, "bareinsert", argc, argv, &status) < 0)
		return status;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return EXIT_FAILURE;
	rc = bareinsert_run(&o);
	curl_global_cleanup();
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
