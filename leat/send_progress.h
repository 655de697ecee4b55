/*
 * send_progress - how far `leat send` is, as one line of a terminal.
 */
#ifndef LEAT_SEND_PROGRESS_H
#define LEAT_SEND_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct send_progress {
	bool shown; /* standard error is a terminal */
	/* What the owner keeps up to date: */
	uint64_t bytes;      /* of the input that have been dealt with */
	uint64_t total;      /* of the input; 0: unknown */
	uint64_t events;     /* accepted by this run */
	const char *waiting; /* for what, or NULL; borrowed */

	bool drawn; /* the cursor is in the line */
	uint64_t drawn_ms;
	/* The rates over the last seconds, and what they are computed from. */
	uint64_t rate_ms, rate_bytes, rate_events;
	double bytes_per_s, events_per_s;
};

/* Begin, `bytes` bytes into the input. */
void send_progress_start(struct send_progress *p, uint64_t bytes,
                         uint64_t now_ms);

/* Draw the line, at most a few times a second. */
void send_progress_draw(struct send_progress *p, uint64_t now_ms);

/* Erase the line, before something else is written to the terminal. */
void send_progress_erase(struct send_progress *p);

/* Write the line, at most width columns and a NUL, to out. */
void send_progress_line(const struct send_progress *p, unsigned width,
                        char *out, size_t size);

#endif
