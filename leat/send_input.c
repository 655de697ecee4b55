/* send_input - see send_input.h. */
#include "leat/send_input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libbase/error.h"
#include "libbase/log.h"

/* The namespace of the names of streams: a random UUID. */
static const uint8_t namespace[UUID_BYTES] = {
    0xe1, 0x77, 0x2c, 0x05, 0x86, 0x1f, 0x4a, 0xd3,
    0x8c, 0x5a, 0x49, 0xb0, 0x33, 0xfe, 0x62, 0x9d};

static int
make_random_name(char out[SEND_INPUT_NAME])
{
	uint8_t bytes[UUID_BYTES];

	if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		return -errno;
	for (size_t i = 0; i < sizeof bytes; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

/* Make the key of a stream from its name, or from a random one. */
static int
open_stream(struct send_input *i, const char *name)
{
	if (!name) {
		int rc = make_random_name(i->name);

		if (rc < 0)
			return rc;
		i->is_random = true;
		name = i->name;
	}
	uuid5_make(namespace, name, strlen(name), "", 0, i->key);
	if (isatty(i->fd))
		(void)fprintf(stderr, "leat send reads events from this "
		                      "terminal, one on each line; ^D ends "
		                      "the input\n");
	return 0;
}

static int
open_file(struct send_input *i, const char *name, bool restart)
{
	int rc;

	if (name) {
		log_error("--name is for a stream; the ids of a file's events "
		          "are made from the file");
		return -EINVAL;
	}
	rc = sent_file_open(&i->sent, i->path, i->fd, restart);
	if (rc < 0)
		return rc;
	i->has_sent_file = true;
	memcpy(i->key, i->sent.state.key, sizeof i->key);
	if (lseek(i->fd, (off_t)i->sent.state.position.bytes, SEEK_SET) < 0)
		return -errno;
	return 0;
}

/* Standard input is a file: its key is made as that of a file by its path. */
static int
open_redirected(struct send_input *i, const char *name)
{
	int rc;

	if (name)
		return open_stream(i, name);
	rc = sent_file_key(i->fd, i->key);
	if (rc < 0)
		log_error("cannot read standard input err=%s",
		          log_quote(error_text(rc)));
	return rc;
}

int
send_input_open(struct send_input *i, const char *path, const char *name,
                bool restart)
{
	struct stat st;

	*i = (struct send_input){.path = path, .fd = STDIN_FILENO};
	i->sent.fd = -1;
	if (path)
		i->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (i->fd < 0 || fstat(i->fd, &st) < 0 ||
	    (S_ISDIR(st.st_mode) && (errno = EISDIR))) {
		log_error("cannot read file=%s err=%s",
		          log_quote(path ? path : "(standard input)"),
		          log_quote(strerror(errno)));
		return -EINVAL;
	}
	i->is_regular = S_ISREG(st.st_mode);
	if (i->is_regular && path)
		return open_file(i, name, restart);
	if (restart) {
		log_error("--restart is for a file; a stream always begins "
		          "with its first byte");
		return -EINVAL;
	}
	return i->is_regular ? open_redirected(i, name) : open_stream(i, name);
}

void
send_input_close(struct send_input *i)
{
	sent_file_close(&i->sent);
	if (i->fd > STDIN_FILENO)
		(void)close(i->fd); /* read only: nothing to lose */
	i->fd = -1;
}

uint64_t
send_input_size(const struct send_input *i)
{
	struct stat st;

	if (!i->is_regular || fstat(i->fd, &st) < 0)
		return 0;
	return (uint64_t)st.st_size;
}

int
send_input_read(struct send_input *i, struct splitter *splitter)
{
	struct pollfd p = {.fd = i->fd, .events = POLLIN};
	size_t room;
	void *into;
	ssize_t n;

	if (!i->is_regular && poll(&p, 1, 0) <= 0)
		return 0;
	into = splitter_room(splitter, &room);
	n = read(i->fd, into, room);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	splitter_add(splitter, (size_t)n);
	return 1;
}
