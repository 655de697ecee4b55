/* test_send - the parts of leat send: ids, batches, answers, FILE.sent. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "leat/send_answer.h"
#include "leat/send_batch.h"
#include "leat/send_event.h"
#include "leat/send_progress.h"
#include "leat/sent_file.h"
#include "libbase/log.h"
#include "tests/support/test.h"

static struct send_event events;
static struct send_event_fault fault;
static struct buf out;

static void
setup(void)
{
	ck_assert_int_eq(send_event_init(&events), 0);
	buf_init(&out, 4 * MIB);
}

static void
teardown(void)
{
	send_event_fini(&events);
	buf_fini(&out);
}

TEST_CASE(identifiers, .setup = setup, .teardown = teardown);

static const char *
put_at(const char *text, uint64_t at)
{
	buf_clear(&out);
	ck_assert_int_eq(
	    send_event_put(&events, text, strlen(text), at, &out, &fault), 0);
	ck_assert_int_eq(buf_add(&out, "", 1), 0);
	return (const char *)out.data;
}

TEST(is_version_5_of_the_standard)
{
	/* The example of RFC 9562, A.4. */
	static const uint8_t dns[UUID_BYTES] = {
	    0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1,
	    0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8};
	char text[UUID_TEXT_BYTES + 1] = {0};
	uint8_t id[UUID_BYTES];

	uuid5_make(dns, "www.exam", 8, "ple.com", 7, id);
	(void)uuid5_text(id, text);
	ck_assert_str_eq(text, "2ed6657d-e927-568b-95e1-2665a8aea6a2");
}

TEST(an_event_without_an_id_gets_one)
{
	const char *text = put_at("{\"type\":\"t\"}", 0);
	char first[128];

	ck_assert_uint_eq(strlen(text), strlen("{\"type\":\"t\"}") + 44);
	ck_assert_int_eq(strncmp(text, "{\"id\":\"", 7), 0);
	ck_assert_str_eq(text + 43, "\",\"type\":\"t\"}");
	(void)snprintf(first, sizeof first, "%s", text);
	/* The same event at the same place has the same id, ... */
	ck_assert_str_eq(put_at("{\"type\":\"t\"}", 0), first);
	/* ... and one at another place, or with another key, has not. */
	ck_assert_str_ne(put_at("{\"type\":\"t\"}", 1), first);
	events.key[0]++;
	ck_assert_str_ne(put_at("{\"type\":\"t\"}", 0), first);
}

TEST(an_id_of_its_own_stays)
{
	ck_assert_str_eq(put_at(" {\"type\":\"t\",\"id\":\"x\"} \r", 0),
	                 "{\"type\":\"t\",\"id\":\"x\"}");
	ck_assert_str_eq(put_at("{\"\\u0069d\":\"x\",\"type\":\"t\"}", 0),
	                 "{\"\\u0069d\":\"x\",\"type\":\"t\"}");
}

TEST(an_id_that_is_null_is_replaced)
{
	const char *text = put_at("{\"type\":\"t\",\"id\": null ,"
	                          "\"payload\":{\"id\":null}}",
	                          0);

	ck_assert_ptr_nonnull(strstr(text, "{\"type\":\"t\",\"id\": \""));
	ck_assert_ptr_nonnull(strstr(text, "\" ,\"payload\":{\"id\":null}}"));
	text = put_at("{\"payload\":{\"id\":null},\"x\":[{}],"
	              "\"i\\u0064\":null,\"type\":\"t\\\\\"}",
	              0);
	ck_assert_ptr_nonnull(strstr(text, "\"i\\u0064\":\""));
	ck_assert_ptr_nonnull(strstr(text, "\",\"type\":\"t\\\\\"}"));
	/* An "id" inside of the payload is none of the event's. */
	text = put_at("{\"payload\":{\"id\":null},\"type\":\"t\"}", 0);
	ck_assert_int_eq(strncmp(text, "{\"id\":\"", 7), 0);
}

static void
check_rejected(const char *text, const char *field, const char *reason)
{
	buf_clear(&out);
	ck_assert_int_eq(
	    send_event_put(&events, text, strlen(text), 0, &out, &fault),
	    -EINVAL);
	ck_assert_uint_eq(out.len, 0);
	ck_assert_str_eq(fault.reason, reason);
	ck_assert_uint_eq(json_span_bytes(&fault.field), strlen(field));
	ck_assert_mem_eq(fault.field.at ? fault.field.at : "", field,
	                 strlen(field));
}

TEST(what_ingestd_would_refuse_is_rejected)
{
	check_rejected("{\"type\":1}", "type", "must be a string");
	check_rejected("{}", "type", "missing");
	check_rejected("[]", "", "must be an object");
	check_rejected("{\"type\":\"t\"", "", "expected ',' or '}'");
	check_rejected("{\"type\":\"t\"}{}", "",
	               "unexpected data after the event");
	check_rejected("{\"type\":\"\xff\"}", "", "not valid UTF-8");
	check_rejected("{\"type\":\"t\",\"payload\":{\"a\":\"\\u0000\"}}",
	               "payload", "must not contain \\u0000");
	check_rejected("{\"type\":\"t\",\"received_at\":1}", "received_at",
	               "is set by the server; leave it out");
}

TEST(unknown_fields_are_left_to_ingestd)
{
	ck_assert_ptr_nonnull(strstr(put_at("{\"type\":\"t\",\"x\":1}", 0),
	                             "\"type\":\"t\",\"x\":1}"));
}

/* --- batches --- */

static struct send_batch batch;

static void
setup_batch(void)
{
	setup();
	send_batch_init(&batch);
}

static void
teardown_batch(void)
{
	send_batch_fini(&batch);
	teardown();
}

TEST_CASE(batches, .setup = setup_batch, .teardown = teardown_batch);

static void
add(const char *text, uint64_t end)
{
	struct splitter_piece piece = {
	    .text = text, .bytes = strlen(text), .start = {.line = end}};
	struct send_place after = {.position = {.bytes = end}};

	ck_assert_int_eq(
	    send_batch_add(&batch, &events, &piece, &after, &fault), 0);
	batch.end = (struct send_place){.position = {.bytes = 1000}};
}

static void
check_request(size_t n, const char *expected)
{
	size_t bytes;
	const void *text = send_batch_request(&batch, n, &bytes);

	ck_assert_uint_eq(bytes, strlen(expected));
	ck_assert_mem_eq(text, expected, bytes);
	send_batch_end(&batch);
}

#define A "{\"id\":\"a\",\"type\":\"t\"}"
#define B "{\"type\":\"t\",\"id\":\"b\"}"
#define C "{\"id\":\"c\",\"type\":\"ttt\"}"

TEST(a_batch_is_sent_in_parts)
{
	add(A, 1);
	add(B, 2);
	add(C, 3);
	check_request(3, "[" A "," B "," C "]");
	check_request(1, "[" A "]");
	check_request(2, "[" A "," B "]");
	ck_assert_uint_eq(send_batch_remove(&batch, 2).position.bytes, 2);
	check_request(1, "[" C "]");
	/* After the last event the place is that where the batch ends. */
	ck_assert_uint_eq(send_batch_remove(&batch, 1).position.bytes, 1000);
	ck_assert_uint_eq(send_batch_left(&batch), 0);
	add(A, 1);
	check_request(1, "[" A "]");
}

TEST(refused_events_are_taken_out)
{
	add(A, 1);
	add(B, 2);
	add(C, 3);
	send_batch_take_out(&batch, 1);
	check_request(2, "[" A "," C "]");
	/* The place after the first includes the one that was refused. */
	ck_assert_uint_eq(batch.items[0].after.position.bytes, 2);
	ck_assert_uint_eq(send_batch_remove(&batch, 1).position.bytes, 2);
	send_batch_take_out(&batch, 0);
	ck_assert_uint_eq(send_batch_left(&batch), 0);
	ck_assert_uint_eq(send_batch_remove(&batch, 0).position.bytes, 1000);
}

TEST(an_event_that_is_rejected_leaves_no_trace)
{
	struct splitter_piece piece = {.text = "{}", .bytes = 2};
	struct send_place after = {0};

	add(A, 1);
	ck_assert_int_eq(
	    send_batch_add(&batch, &events, &piece, &after, &fault), -EINVAL);
	add(B, 2);
	check_request(2, "[" A "," B "]");
}

TEST(a_batch_is_within_its_limits)
{
	char *large = malloc(SPLITTER_PIECE_MAX + 1);
	size_t bytes, n = 0;

	ck_assert_ptr_nonnull(large);
	memset(large, 'x', SPLITTER_PIECE_MAX);
	memcpy(large, "{\"type\":\"t\",\"payload\":{\"x\":\"", 28);
	memcpy(large + SPLITTER_PIECE_MAX - 3, "\"}}", 4);
	for (; !send_batch_is_full(&batch); n++)
		add(large, 1);
	ck_assert_uint_eq(n, 7);
	(void)send_batch_request(&batch, n, &bytes);
	ck_assert_uint_le(bytes, SEND_BATCH_BYTES);
	send_batch_end(&batch);
	send_batch_clear(&batch);
	for (n = 0; !send_batch_is_full(&batch); n++)
		add(A, 1);
	ck_assert_uint_eq(n, SEND_BATCH_EVENTS);
	free(large);
}

/* --- answers --- */

static struct json_structure *structure;
static struct send_answer answer;

static void
setup_answer(void)
{
	structure = json_structure_new();
	ck_assert_ptr_nonnull(structure);
}

static void
teardown_answer(void)
{
	json_structure_free(structure);
}

TEST_CASE(answers, .setup = setup_answer, .teardown = teardown_answer);

static bool
read_answer(const char *text)
{
	const size_t n = strlen(text);
	char *copy = calloc(1, n + JSON_STRUCTURE_PADDING);
	bool good;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, n);
	good = send_answer_read(structure, copy, n, &answer);
	free(copy);
	return good;
}

TEST(the_answers_of_ingestd_are_read)
{
	ck_assert(read_answer("{\"accepted\":100,\"offset\":7000}\n"));
	ck_assert(answer.has_accepted);
	ck_assert_uint_eq(answer.accepted, 100);
	ck_assert(read_answer("{\"accepted\":1,\"ignored_fields\":3}"));
	ck_assert_uint_eq(answer.ignored_fields, 3);
	ck_assert(read_answer("{\"error\":\"invalid payload\",\"rejected\":2,"
	                      "\"errors\":[{\"index\":3,\"field\":\"type\","
	                      "\"reason\":\"missing\"},{\"index\":5,"
	                      "\"reason\":\"a\\\"\\u00e9\"}]}"));
	ck_assert(!answer.has_accepted);
	ck_assert_str_eq(answer.error, "invalid payload");
	ck_assert_uint_eq(answer.rejected, 2);
	ck_assert_uint_eq(answer.error_count, 2);
	ck_assert_uint_eq(answer.errors[0].index, 3);
	ck_assert_str_eq(answer.errors[0].field, "type");
	ck_assert_str_eq(answer.errors[0].reason, "missing");
	ck_assert_uint_eq(answer.errors[1].index, 5);
	ck_assert_str_eq(answer.errors[1].field, "");
	ck_assert_str_eq(answer.errors[1].reason, "a\"\xc3\xa9");
}

TEST(other_answers_are_harmless)
{
	static const char *const broken[] = {
	    "",
	    " ",
	    "<html>",
	    "[]",
	    "1",
	    "{",
	    "{\"accepted\"",
	    "{\"a\":1,}",
	    "{\"errors\":[{]}",
	    "{\"errors\":[{\"index\":1}",
	    "{}{}",
	    "{\"errors\":[{\"index\":1 \"x\":2}]}",
	    "{\"a\":\"\\u0000\"}",
	    "{\"reason\":\"\\ud800\"}",
	    "\xff",
	};

	for (size_t i = 0; i < ARRAY_LEN(broken); i++)
		ck_assert_msg(!read_answer(broken[i]), "%s", broken[i]);
	ck_assert(read_answer("{}"));
	ck_assert(!answer.has_accepted);
	ck_assert(read_answer("{\"accepted\":-1,\"errors\":{},\"error\":[1],"
	                      "\"reason\":null,\"rejected\":\"x\"}"));
	ck_assert_uint_eq(answer.accepted, 0);
	ck_assert_uint_eq(answer.error_count, 0);
	ck_assert(read_answer("{\"errors\":[1,{},[],{\"index\":\"x\"}]}"));
	ck_assert_uint_eq(answer.error_count, 4);
}

TEST(long_answers_are_cut)
{
	struct buf text;

	buf_init(&text, MIB);
	(void)buf_add_text(&text, "{\"errors\":[");
	for (int i = 0; i < 20; i++)
		(void)buf_addf(&text, "%s{\"index\":%d}", i ? "," : "", i);
	(void)buf_add_text(&text, "],\"reason\":\"");
	for (int i = 0; i < 1000; i++)
		(void)buf_add_text(&text, "\xc3\xa9");
	(void)buf_add_text(&text, "\"}");
	ck_assert_int_eq(buf_add(&text, "", 1), 0);
	ck_assert(read_answer((const char *)text.data));
	ck_assert_uint_eq(answer.error_count, JSON_ERRORS_MAX);
	ck_assert_uint_eq(strlen(answer.reason), SEND_ANSWER_TEXT - 1);
	buf_fini(&text);
}

/* --- FILE.sent --- */

static char directory[] = "/tmp/test_send.XXXXXX";
static char path[sizeof directory + 16], sent_path[sizeof path + 16];
static int input;
static struct sent_file sent;

static void
write_file(const char *to, const char *text)
{
	FILE *f = fopen(to, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void
setup_sent(void)
{
	memcpy(directory + sizeof directory - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(directory));
	(void)snprintf(path, sizeof path, "%s/file", directory);
	(void)snprintf(sent_path, sizeof sent_path, "%s.sent", path);
	write_file(path, "{\"type\":\"a\"}\n{\"type\":\"b\"}\n");
	input = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(input, 0);
	log_set_level((enum log_level)(LOG_ERROR + 1));
}

static void
teardown_sent(void)
{
	log_set_level(LOG_INFO);
	(void)close(input);
	(void)unlink(path);
	(void)unlink(sent_path);
	ck_assert_int_eq(rmdir(directory), 0);
}

TEST_CASE(sent_files, .setup = setup_sent, .teardown = teardown_sent);

/* Send 13 bytes of the file. */
static void
send_a_part(void)
{
	ck_assert_int_eq(sent_file_open(&sent, path, input, false), 0);
	ck_assert(!sent.resumed);
	sent.state.position = (struct splitter_position){
	    .bytes = 13, .line = 2, .in_array = true};
	sent.state.accepted = 1;
	sent.state.rejected = 7;
	ck_assert_int_eq(sent_file_save(&sent), 0);
	sent_file_close(&sent);
}

static void
reopen_input(void)
{
	(void)close(input);
	input = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(input, 0);
}

TEST(is_continued_where_it_ended)
{
	uint8_t key[UUID_BYTES];
	struct stat st;

	send_a_part();
	memcpy(key, sent.state.key, sizeof key);
	ck_assert_int_eq(sent_file_open(&sent, path, input, false), 0);
	ck_assert(sent.resumed);
	ck_assert_uint_eq(sent.state.position.bytes, 13);
	ck_assert_uint_eq(sent.state.position.line, 2);
	ck_assert(sent.state.position.in_array);
	ck_assert_uint_eq(sent.state.accepted, 1);
	ck_assert_uint_eq(sent.state.rejected, 7);
	ck_assert_mem_eq(sent.state.key, key, sizeof key);
	sent_file_close(&sent);
	ck_assert_int_eq(stat(sent_path, &st), 0);
	ck_assert_int_eq(st.st_size, 512);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
}

TEST(the_file_may_grow)
{
	FILE *f;

	send_a_part();
	f = fopen(path, "a");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs("{\"type\":\"c\"}\n", f), 0);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(sent_file_open(&sent, path, input, false), 0);
	ck_assert(sent.resumed);
	sent_file_close(&sent);
}

TEST(another_file_of_the_name_is_refused)
{
	uint8_t key[UUID_BYTES];
	char copy[sizeof path + 16];

	send_a_part();
	memcpy(key, sent.state.key, sizeof key);
	/* Shorter, another beginning, and another inode. */
	ck_assert_int_eq(truncate(path, 5), 0);
	ck_assert_int_eq(sent_file_open(&sent, path, input, false), -EINVAL);
	write_file(path, "{\"type\":\"x\"}\n{\"type\":\"b\"}\n");
	ck_assert_int_eq(sent_file_open(&sent, path, input, false), -EINVAL);
	(void)snprintf(copy, sizeof copy, "%s.copy", path);
	write_file(copy, "{\"type\":\"a\"}\n{\"type\":\"b\"}\n");
	ck_assert_int_eq(rename(copy, path), 0);
	reopen_input();
	ck_assert_int_eq(sent_file_open(&sent, path, input, false), -EINVAL);
	/* --restart takes it, with other ids. */
	ck_assert_int_eq(sent_file_open(&sent, path, input, true), 0);
	ck_assert_uint_eq(sent.state.position.bytes, 0);
	ck_assert_uint_eq(sent.state.position.line, 1);
	ck_assert_uint_eq(sent.state.rejected, 0);
	ck_assert_mem_ne(sent.state.key, key, sizeof key);
	sent_file_close(&sent);
}

TEST(a_restart_keeps_the_ids)
{
	uint8_t key[UUID_BYTES];

	send_a_part();
	memcpy(key, sent.state.key, sizeof key);
	ck_assert_int_eq(sent_file_open(&sent, path, input, true), 0);
	ck_assert_uint_eq(sent.state.position.bytes, 0);
	ck_assert_mem_eq(sent.state.key, key, sizeof key);
	sent_file_close(&sent);
	/* So does a file that did not change, without its FILE.sent. */
	ck_assert_int_eq(unlink(sent_path), 0);
	ck_assert_int_eq(sent_file_open(&sent, path, input, false), 0);
	ck_assert_mem_eq(sent.state.key, key, sizeof key);
	sent_file_close(&sent);
}

TEST(damage_is_noticed)
{
	int fd;
	char byte;

	send_a_part();
	fd = open(sent_path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	for (off_t at = 0; at < 512; at++) {
		ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
		byte ^= 1;
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
		ck_assert_int_eq(sent_file_open(&sent, path, input, false),
		                 -EINVAL);
		byte ^= 1;
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	}
	for (off_t bytes = 511; bytes > 0; bytes -= 73) {
		ck_assert_int_eq(ftruncate(fd, bytes), 0);
		ck_assert_int_eq(sent_file_open(&sent, path, input, false),
		                 -EINVAL);
	}
	(void)close(fd);
	ck_assert_int_eq(sent_file_open(&sent, path, input, true), 0);
	sent_file_close(&sent);
}

TEST(one_process_sends_a_file)
{
	struct sent_file other;

	ck_assert_int_eq(sent_file_open(&sent, path, input, false), 0);
	ck_assert_int_eq(sent_file_open(&other, path, input, false),
	                 -EWOULDBLOCK);
	sent_file_close(&sent);
	ck_assert_int_eq(sent_file_open(&other, path, input, false), 0);
	sent_file_close(&other);
}

TEST(a_link_is_not_followed)
{
	ck_assert_int_eq(symlink(path, sent_path), 0);
	ck_assert_int_eq(sent_file_open(&sent, path, input, false), -ELOOP);
}

/* --- progress --- */

TEST_CASE(progress);

TEST(the_line_fits_the_terminal)
{
	struct send_progress p = {.bytes = 13000000,
	                          .total = 26000000,
	                          .events = 65000,
	                          .bytes_per_s = 2600000,
	                          .events_per_s = 13000};
	char line[1024];

	send_progress_line(&p, 79, line, sizeof line);
	ck_assert_str_eq(line, " 50% [==========>          ]  65000 events  "
	                       "12.4M  13000/s  2.5M/s  5.0 s left");
	for (unsigned width = 1; width < 200; width++) {
		send_progress_line(&p, width, line, sizeof line);
		ck_assert_uint_le(strlen(line), width);
	}
	p.total = 0;
	p.waiting = "ingestd unreachable";
	send_progress_line(&p, 79, line, sizeof line);
	ck_assert_str_eq(line, "65000 events  12.4M  13000/s  2.5M/s  ingestd "
	                       "unreachable");
}
