/* halfclose - see halfclose.h. */
#include "ingestd/halfclose.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 64

static void
on_ends(uv_poll_t *poll, int status, int events)
{
	struct halfclose *h = poll->data;
	struct epoll_event got[EVENTS];
	int n;

	(void)status;
	(void)events;
	/* What does not fit is there again in the next turn. */
	n = epoll_wait(h->epoll_fd, got, EVENTS, 0);
	for (int i = 0; i < n; i++) {
		struct halfclose_peer *p = got[i].data.ptr;

		if (p->at_end)
			continue;
		p->at_end = true;
		p->prev = NULL;
		p->next = h->ended;
		if (p->next)
			p->next->prev = p;
		h->ended = p;
		*h->due = true;
	}
}

static void
unlink_peer(struct halfclose *h, struct halfclose_peer *p)
{
	if (!p->at_end)
		return;
	p->at_end = false;
	if (p->prev)
		p->prev->next = p->next;
	else
		h->ended = p->next;
	if (p->next)
		p->next->prev = p->prev;
}

int
halfclose_open(struct halfclose *h, uv_loop_t *loop, bool *due)
{
	int rc;

	*h = (struct halfclose){.epoll_fd = -1, .due = due};
	h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (h->epoll_fd < 0)
		return -errno;
	rc = uv_poll_init(loop, &h->poll, h->epoll_fd);
	if (rc < 0)
		return rc;
	h->opened = true;
	h->poll.data = h;
	return uv_poll_start(&h->poll, UV_READABLE, on_ends);
}

void
halfclose_close(struct halfclose *h)
{
	if (h->opened)
		uv_close((uv_handle_t *)&h->poll, NULL);
	h->opened = false;
	if (h->epoll_fd >= 0)
		(void)close(h->epoll_fd); /* nothing to lose */
	h->epoll_fd = -1;
}

struct halfclose_peer *
halfclose_add(struct halfclose *h, int fd)
{
	struct halfclose_peer *p = malloc(sizeof *p);
	/* Once: shutdown(SHUT_RD) would otherwise report an end anew. */
	struct epoll_event watch = {.events = EPOLLRDHUP | EPOLLONESHOT,
	                            .data = {.ptr = p}};

	if (!p)
		return NULL;
	*p = (struct halfclose_peer){.fd = fd};
	if (epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &watch) < 0) {
		free(p);
		return NULL;
	}
	return p;
}

void
halfclose_remove(struct halfclose *h, struct halfclose_peer *p)
{
	if (!p)
		return;
	unlink_peer(h, p);
	/* Also when the socket lives on elsewhere, p must not be named. */
	(void)epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, p->fd, NULL);
	free(p);
}

bool
halfclose_wake(struct halfclose *h)
{
	struct halfclose_peer *p = h->ended, *next;
	bool woken = false;
	char byte;

	for (; p; p = next) {
		next = p->next;
		if (recv(p->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
			continue; /* not all is read */
		unlink_peer(h, p);
		(void)shutdown(p->fd, SHUT_RD); /* may be gone: fine too */
		woken = true;
	}
	return woken;
}
