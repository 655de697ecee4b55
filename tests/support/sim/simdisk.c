/* simdisk - see simdisk.h. */
#include "tests/support/sim/simdisk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512

/* xorshift64*: https://vigna.di.unimi.it/ftp/papers/xorshift.pdf */
uint64_t
sim_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * UINT64_C(2685821657736338717);
}

static struct simdisk *
sim_of(struct disk *d)
{
	return (struct simdisk *)(void *)d;
}

static void *
need(void *p)
{
	assert(p);
	return p;
}

/* Count a call.  Returns 0, or the error with which it fails. */
static int
sim_enter(struct simdisk *s, bool may_be_short)
{
	s->calls++;
	if (s->cut_at > 0 && s->calls >= s->cut_at)
		s->off = true;
	if (s->off)
		return -EIO;
	if (s->fail_at == 0 || s->calls != s->fail_at)
		return 0;
	if (!may_be_short && (s->fault == SIM_EINTR || s->fault == SIM_SHORT)) {
		s->fail_at++;
		return 0;
	}
	s->failed = true;
	s->met[s->fault]++;
	switch (s->fault) {
	case SIM_EIO:
		return -EIO;
	case SIM_ENOSPC:
		return -ENOSPC;
	case SIM_EMFILE:
		return -EMFILE;
	case SIM_EINTR:
		return -EINTR;
	case SIM_SHORT:
	case SIM_NONE:
	case SIM_FAULTS:
		break;
	}
	return 0;
}

static bool
short_now(const struct simdisk *s)
{
	return s->fault == SIM_SHORT && s->calls == s->fail_at;
}

/* --- bytes --- */

/*
 * Large buffers of disks that are gone, for the next disk.  Most time of the
 * tests would otherwise be spent in mapping new pages.
 */
#define KEPT_BUFFERS 256
#define KEPT_BYTES (64 * 1024)
static struct sim_bytes kept_buffers[KEPT_BUFFERS];

static void
bytes_free(struct sim_bytes *b)
{
	size_t i = 0;

	while (i < KEPT_BUFFERS && kept_buffers[i].data)
		i++;
	if (i < KEPT_BUFFERS && b->cap >= KEPT_BYTES)
		kept_buffers[i] =
		    (struct sim_bytes){.data = b->data, .cap = b->cap};
	else
		free(b->data);
}

/* Give b, which has no buffer, a kept one with room for so many bytes. */
static void
bytes_take_kept(struct sim_bytes *b, uint64_t bytes)
{
	for (size_t i = 0; i < KEPT_BUFFERS; i++) {
		if (kept_buffers[i].cap >= bytes) {
			*b = kept_buffers[i];
			kept_buffers[i] = (struct sim_bytes){0};
			return;
		}
	}
}

static void
bytes_resize(struct sim_bytes *b, uint64_t bytes)
{
	if (b->cap == 0 && bytes >= KEPT_BYTES)
		bytes_take_kept(b, bytes);
	if (bytes > b->cap) {
		b->cap = bytes + bytes / 2 + 1;
		b->data = need(realloc(b->data, b->cap));
	}
	if (bytes > b->bytes)
		memset(b->data + b->bytes, 0, bytes - b->bytes);
	b->bytes = bytes;
}

static void
bytes_put(struct sim_bytes *b, const uint8_t *data, uint64_t bytes, uint64_t at)
{
	if (at + bytes > b->bytes)
		bytes_resize(b, at + bytes);
	memcpy(b->data + at, data, bytes);
}

static void
bytes_copy(struct sim_bytes *to, const struct sim_bytes *from)
{
	bytes_resize(to, 0);
	if (from->bytes > 0)
		bytes_put(to, from->data, from->bytes, 0);
}

static void
forget_writes(struct sim_file *f)
{
	f->write_count = 0;
	f->pending.bytes = 0;
}

/* Free a file that has no name and no handle; its buffers are used again. */
static void
file_drop(struct sim_file *f)
{
	forget_writes(f);
	f->now.bytes = f->durable.bytes = 0;
	f->names = 0;
	f->used = false;
}

static void
file_free(struct sim_file *f)
{
	free(f->writes);
	bytes_free(&f->now);
	bytes_free(&f->durable);
	bytes_free(&f->pending);
	*f = (struct sim_file){0};
}

static struct sim_write *
write_add(struct sim_file *f)
{
	if (f->write_count == f->write_cap) {
		f->write_cap = f->write_cap ? 2 * f->write_cap : 16;
		f->writes =
		    need(realloc(f->writes, f->write_cap * sizeof *f->writes));
	}
	return &f->writes[f->write_count++];
}

/* Remember an unsynced write or, if data is NULL, a new size of `bytes`. */
static void
note_write(struct sim_file *f, const uint8_t *data, uint64_t bytes, uint64_t at)
{
	*write_add(f) = (struct sim_write){.at = at,
	                                   .bytes = bytes,
	                                   .data = f->pending.bytes,
	                                   .resize = !data};
	if (data)
		bytes_put(&f->pending, data, bytes, f->pending.bytes);
}

/* Keep all, none, or some of the sectors of one write at a power failure. */
static void
sim_keep_some(struct simdisk *s, struct sim_file *f, const struct sim_write *w)
{
	uint64_t luck = sim_random(&s->random) % 4;

	if (luck == 0)
		return;
	if (w->resize) {
		bytes_resize(&f->durable, w->bytes);
		return;
	}
	for (uint64_t done = 0; done < w->bytes;) {
		uint64_t at = w->at + done;
		uint64_t n = SECTOR - at % SECTOR;

		if (n > w->bytes - done)
			n = w->bytes - done;
		if (luck > 1 || sim_random(&s->random) % 2)
			bytes_put(&f->durable, f->pending.data + w->data + done,
			          n, at);
		done += n;
	}
}

/* --- names --- */

static struct sim_entry *
names_find(struct sim_names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->entries[i].name, name) == 0)
			return &names->entries[i];
	}
	return NULL;
}

static void
names_remove(struct simdisk *s, struct sim_names *names, const char *name)
{
	struct sim_entry *e = names_find(names, name);

	if (!e)
		return;
	s->files[e->file].names--;
	*e = names->entries[--names->count];
}

static void
names_add(struct simdisk *s, struct sim_names *names, const char *name,
          int file)
{
	struct sim_entry *e;

	names_remove(s, names, name);
	if (names->count == names->cap) {
		names->cap = names->cap ? 2 * names->cap : 64;
		names->entries = need(realloc(
		    names->entries, names->cap * sizeof *names->entries));
	}
	e = &names->entries[names->count++];
	(void)snprintf(e->name, sizeof e->name, "%s", name);
	e->file = file;
	s->files[file].names++;
}

static void
sim_apply(struct simdisk *s, struct sim_names *names,
          const struct sim_change *c)
{
	if (c->remove[0])
		names_remove(s, names, c->remove);
	if (c->add[0])
		names_add(s, names, c->add, c->file);
}

static void
change(struct simdisk *s, const char *remove, const char *add, int file)
{
	struct sim_change *c;

	if (s->change_count == s->change_cap) {
		s->change_cap = s->change_cap ? 2 * s->change_cap : 64;
		s->changes = need(
		    realloc(s->changes, s->change_cap * sizeof *s->changes));
	}
	c = &s->changes[s->change_count++];
	*c = (struct sim_change){.file = file};
	(void)snprintf(c->remove, sizeof c->remove, "%s", remove);
	(void)snprintf(c->add, sizeof c->add, "%s", add);
	if (file >= 0)
		s->files[file].names++; /* the change refers to it */
	sim_apply(s, &s->now, c);
}

static void
change_done(struct simdisk *s, const struct sim_change *c)
{
	if (c->file >= 0)
		s->files[c->file].names--;
}

/* Return true if the directory of `name` exists. */
static bool
has_directory(struct sim_names *names, const char *name)
{
	const char *slash = strchr(name, '/');
	char directory[SIM_NAME_BYTES];

	if (!slash)
		return true;
	(void)snprintf(directory, sizeof directory, "%.*s", (int)(slash - name),
	               name);
	return names_find(names, directory);
}

/* The directory of a name: "" at the top. */
static bool
in_directory(const char *name, const char *directory)
{
	const char *slash = strchr(name, '/');
	size_t n = slash ? (size_t)(slash - name) : 0;

	return strlen(directory) == n && memcmp(name, directory, n) == 0;
}

static void
collect(struct simdisk *s)
{
	for (int i = 0; i < s->file_count; i++) {
		bool open = false;

		if (!s->files[i].used || s->files[i].names > 0)
			continue;
		for (int h = 0; h < SIM_HANDLES; h++)
			open |= s->handles[h] == i;
		if (!open)
			file_drop(&s->files[i]);
	}
}

/* --- the functions --- */

/* Create a file or directory of that name.  Returns its number. */
static int
create_file(struct simdisk *s, const char *name)
{
	int file = 0;

	collect(s);
	while (file < s->file_count && s->files[file].used)
		file++;
	assert(file < SIM_FILES);
	if (file == s->file_count)
		s->file_count++;
	s->files[file].used = true;
	change(s, "", name, file);
	return file;
}

static int
sim_open(struct disk *d, const char *name, bool create)
{
	struct simdisk *s = sim_of(d);
	int rc = sim_enter(s, false), handle = 0;
	struct sim_entry *e;

	if (rc < 0)
		return rc;
	e = names_find(&s->now, name);
	if (!e && (!create || !has_directory(&s->now, name)))
		return -ENOENT;
	while (handle < SIM_HANDLES && s->handles[handle] >= 0)
		handle++;
	assert(handle < SIM_HANDLES); /* or handles leak */
	s->handles[handle] = e ? e->file : create_file(s, name);
	return handle;
}

static void
sim_close(struct disk *d, int handle)
{
	sim_of(d)->handles[handle] = -1;
}

static struct sim_file *
file_of(struct simdisk *s, int handle)
{
	assert(handle >= 0 && s->handles[handle] >= 0);
	return &s->files[s->handles[handle]];
}

static ssize_t
sim_pread(struct disk *d, int handle, void *buf, size_t n, uint64_t at)
{
	struct simdisk *s = sim_of(d);
	struct sim_file *f = file_of(s, handle);
	int rc = sim_enter(s, true);

	if (rc < 0)
		return rc;
	if (at >= f->now.bytes)
		return 0;
	if (n > f->now.bytes - at)
		n = (size_t)(f->now.bytes - at);
	if (short_now(s) && n > 1)
		n /= 2;
	memcpy(buf, f->now.data + at, n);
	return (ssize_t)n;
}

static ssize_t
sim_pwrite(struct disk *d, int handle, const void *buf, size_t n, uint64_t at)
{
	struct simdisk *s = sim_of(d);
	struct sim_file *f = file_of(s, handle);
	int rc = sim_enter(s, true);

	/* The power may fail during a write. */
	if (rc < 0 && !s->off)
		return rc;
	if ((short_now(s) || s->off) && n > 1)
		n /= 2;
	bytes_put(&f->now, buf, n, at);
	note_write(f, buf, n, at);
	return s->off ? -EIO : (ssize_t)n;
}

static int
sim_sync(struct disk *d, int handle)
{
	struct simdisk *s = sim_of(d);
	struct sim_file *f = file_of(s, handle);
	struct sim_entry *e;
	int rc = sim_enter(s, false);
	bool cursor = false;

	if (s->off)
		return rc;
	if (rc < 0) {
		/* The pages are clean now, on disk or not. */
		for (size_t i = 0; i < f->write_count; i++)
			sim_keep_some(s, f, &f->writes[i]);
		forget_writes(f);
		return rc;
	}
	for (size_t i = 0; i < s->now.count; i++) {
		e = &s->now.entries[i];
		if (e->file == s->handles[handle])
			cursor = strncmp(e->name, "cursors/", 8) == 0;
	}
	if (s->no_sync || (cursor && s->no_cursor_sync))
		return 0;
	/* Writes that are not pending any more may have been lost. */
	for (size_t i = 0; i < f->write_count; i++) {
		const struct sim_write *w = &f->writes[i];

		if (w->resize)
			bytes_resize(&f->durable, w->bytes);
		else
			bytes_put(&f->durable, f->pending.data + w->data,
			          w->bytes, w->at);
	}
	forget_writes(f);
	return 0;
}

static int
sim_truncate(struct disk *d, int handle, uint64_t bytes)
{
	struct simdisk *s = sim_of(d);
	struct sim_file *f = file_of(s, handle);
	int rc = sim_enter(s, false);

	if (rc < 0)
		return rc;
	bytes_resize(&f->now, bytes);
	note_write(f, NULL, bytes, 0);
	return 0;
}

static int
sim_allocate(struct disk *d, int handle, uint64_t bytes)
{
	struct simdisk *s = sim_of(d);
	struct sim_file *f = file_of(s, handle);
	int rc = sim_enter(s, false);

	if (rc < 0)
		return rc;
	if (bytes > f->now.bytes) {
		bytes_resize(&f->now, bytes);
		note_write(f, NULL, bytes, 0);
	}
	return 0;
}

/* From now on reads show what is on disk, for pages that are clean. */
static int
sim_drop_cache(struct disk *d, int handle)
{
	struct simdisk *s = sim_of(d);
	struct sim_file *f = file_of(s, handle);
	int rc = sim_enter(s, false);

	if (rc < 0)
		return rc;
	if (f->write_count == 0)
		bytes_copy(&f->now, &f->durable);
	return 0;
}

static void
sim_will_need(struct disk *d, int handle, uint64_t at, uint64_t n)
{
	(void)d;
	(void)handle;
	(void)at;
	(void)n;
}

static int64_t
sim_size(struct disk *d, int handle)
{
	struct simdisk *s = sim_of(d);
	int rc = sim_enter(s, false);

	return rc < 0 ? rc : (int64_t)file_of(s, handle)->now.bytes;
}

static int
sim_rename(struct disk *d, const char *from, const char *to)
{
	struct simdisk *s = sim_of(d);
	struct sim_entry *e;
	int rc = sim_enter(s, false);

	if (rc < 0)
		return rc;
	e = names_find(&s->now, from);
	if (!e)
		return -ENOENT;
	change(s, from, to, e->file);
	return 0;
}

static int
sim_unlink(struct disk *d, const char *name)
{
	struct simdisk *s = sim_of(d);
	int rc = sim_enter(s, false);

	if (rc < 0)
		return rc;
	if (!names_find(&s->now, name))
		return -ENOENT;
	change(s, name, "", -1);
	return 0;
}

static int
sim_mkdir(struct disk *d, const char *name)
{
	struct simdisk *s = sim_of(d);
	int rc = sim_enter(s, false);

	if (rc < 0)
		return rc;
	if (!names_find(&s->now, name))
		(void)create_file(s, name);
	return 0;
}

static int
sim_sync_dir(struct disk *d, const char *directory)
{
	struct simdisk *s = sim_of(d);
	int rc = sim_enter(s, false);
	size_t kept = 0;

	if (rc < 0)
		return rc;
	if (directory[0] && !names_find(&s->now, directory))
		return -ENOENT;
	if (s->no_sync)
		return 0;
	for (size_t i = 0; i < s->change_count; i++) {
		struct sim_change *c = &s->changes[i];
		const char *name = c->add[0] ? c->add : c->remove;

		if (!in_directory(name, directory)) {
			s->changes[kept++] = *c;
			continue;
		}
		sim_apply(s, &s->durable, c);
		change_done(s, c);
	}
	s->change_count = kept;
	return 0;
}

static int
sim_list(struct disk *d, const char *directory,
         int (*on_name)(void *arg, const char *name), void *arg)
{
	struct simdisk *s = sim_of(d);
	int rc = sim_enter(s, false);
	size_t skip = directory[0] ? strlen(directory) + 1 : 0;

	if (rc == 0 && directory[0] && !names_find(&s->now, directory))
		return -ENOENT;
	/* on_name may remove the name that it is called with. */
	for (size_t i = s->now.count; i-- > 0 && rc == 0;) {
		char name[SIM_NAME_BYTES];

		(void)snprintf(name, sizeof name, "%s", s->now.entries[i].name);
		if (in_directory(name, directory))
			rc = on_name(arg, name + skip);
	}
	return rc;
}

static int64_t
sim_free_bytes(struct disk *d)
{
	struct simdisk *s = sim_of(d);
	int64_t used = 0;

	for (size_t i = 0; i < s->now.count; i++)
		used += (int64_t)s->files[s->now.entries[i].file].now.bytes;
	return s->capacity_bytes - used;
}

void
sim_init(struct simdisk *s, uint64_t seed)
{
	*s = (struct simdisk){
	    .disk = {.open = sim_open,
	             .close = sim_close,
	             .pread = sim_pread,
	             .pwrite = sim_pwrite,
	             .sync = sim_sync,
	             .truncate = sim_truncate,
	             .allocate = sim_allocate,
	             .drop_cache = sim_drop_cache,
	             .will_need = sim_will_need,
	             .size = sim_size,
	             .rename = sim_rename,
	             .unlink = sim_unlink,
	             .mkdir = sim_mkdir,
	             .sync_dir = sim_sync_dir,
	             .list = sim_list,
	             .free_bytes = sim_free_bytes},
	    .random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1,
	    .capacity_bytes = INT64_C(1) << 40,
	};
	s->files = need(calloc(SIM_FILES, sizeof *s->files));
	for (int i = 0; i < SIM_HANDLES; i++)
		s->handles[i] = -1;
}

void
sim_fini(struct simdisk *s)
{
	for (int i = 0; i < s->file_count; i++)
		file_free(&s->files[i]);
	free(s->files);
	free(s->now.entries);
	free(s->durable.entries);
	free(s->changes);
}

void
sim_close_all(struct simdisk *s)
{
	for (int i = 0; i < SIM_HANDLES; i++)
		s->handles[i] = -1;
	collect(s);
}

static void
names_copy(struct sim_names *to, const struct sim_names *from)
{
	if (to->cap < from->count) {
		to->cap = from->cap;
		to->entries =
		    need(realloc(to->entries, to->cap * sizeof *to->entries));
	}
	to->count = from->count;
	if (from->count > 0)
		memcpy(to->entries, from->entries,
		       from->count * sizeof *to->entries);
}

static void
file_copy(struct sim_file *to, const struct sim_file *from)
{
	forget_writes(to);
	bytes_copy(&to->now, &from->now);
	bytes_copy(&to->durable, &from->durable);
	bytes_copy(&to->pending, &from->pending);
	for (size_t i = 0; i < from->write_count; i++)
		*write_add(to) = from->writes[i];
	to->names = from->names;
	to->used = from->used;
}

void
sim_copy(struct simdisk *to, const struct simdisk *from)
{
	struct simdisk before = *to;

	*to = *from;
	to->files = before.files;
	to->now = before.now;
	to->durable = before.durable;
	to->changes = before.changes;
	to->change_cap = before.change_cap;
	names_copy(&to->now, &from->now);
	names_copy(&to->durable, &from->durable);
	if (to->change_cap < from->change_count) {
		to->change_cap = from->change_cap;
		to->changes = need(
		    realloc(to->changes, to->change_cap * sizeof *to->changes));
	}
	if (from->change_count > 0)
		memcpy(to->changes, from->changes,
		       from->change_count * sizeof *to->changes);
	if (to->file_count < before.file_count)
		to->file_count = before.file_count;
	for (int i = 0; i < to->file_count; i++) {
		if (from->files[i].used)
			file_copy(&to->files[i], &from->files[i]);
		else
			file_drop(&to->files[i]);
	}
}

void
sim_power_cycle(struct simdisk *s)
{
	size_t keep =
	    s->change_count > 0
		? (size_t)(sim_random(&s->random) % (s->change_count + 1))
		: 0;

	for (size_t i = 0; i < s->change_count; i++) {
		if (i < keep)
			sim_apply(s, &s->durable, &s->changes[i]);
		change_done(s, &s->changes[i]);
	}
	s->change_count = 0;
	/* The files of a directory that was lost are lost, too. */
	for (size_t i = s->durable.count; i-- > 0;) {
		char name[SIM_NAME_BYTES];

		memcpy(name, s->durable.entries[i].name, sizeof name);
		if (!has_directory(&s->durable, name))
			names_remove(s, &s->durable, name);
	}
	while (s->now.count > 0)
		names_remove(s, &s->now, s->now.entries[0].name);
	for (size_t i = 0; i < s->durable.count; i++)
		names_add(s, &s->now, s->durable.entries[i].name,
		          s->durable.entries[i].file);
	for (int i = 0; i < s->file_count; i++) {
		struct sim_file *f = &s->files[i];

		if (!f->used)
			continue;
		for (size_t w = 0; w < f->write_count; w++)
			sim_keep_some(s, f, &f->writes[w]);
		forget_writes(f);
		bytes_copy(&f->now, &f->durable);
	}
	s->off = false;
	s->cut_at = 0;
	s->fail_at = 0;
	s->failed = false;
	sim_close_all(s);
}
