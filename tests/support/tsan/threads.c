/*
 * threads - C11 threads made of POSIX ones, for the ThreadSanitizer.
 *
 * librdkafka uses <threads.h>, whose functions the sanitizer does not know: a
 * thread that it has not seen start makes it crash, and locks that it does
 * not see taken make it see races.  Programs built with MODE=tsan use these
 * functions instead; the POSIX functions that they call are known.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

/* glibc's own are laid over each other in the same way. */
_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t), "mtx_t");
_Static_assert(sizeof(cnd_t) >= sizeof(pthread_cond_t), "cnd_t");
_Static_assert(sizeof(thrd_t) == sizeof(pthread_t), "thrd_t");

struct start {
	thrd_start_t run;
	void *arg;
};

static int
result(int rc)
{
	switch (rc) {
	case 0:
		return thrd_success;
	case ENOMEM:
		return thrd_nomem;
	case ETIMEDOUT:
		return thrd_timedout;
	case EBUSY:
		return thrd_busy;
	default:
		return thrd_error;
	}
}

static pthread_mutex_t *
mutex(mtx_t *m)
{
	return (pthread_mutex_t *)(void *)m;
}

static pthread_cond_t *
condition(cnd_t *c)
{
	return (pthread_cond_t *)(void *)c;
}

static void *
run(void *arg)
{
	struct start s = *(struct start *)arg;

	free(arg);
	return (void *)(intptr_t)s.run(s.arg);
}

int
thrd_create(thrd_t *thread, thrd_start_t start, void *arg)
{
	struct start *s = malloc(sizeof *s);
	int rc;

	if (!s)
		return thrd_nomem;
	*s = (struct start){start, arg};
	rc = pthread_create(thread, NULL, run, s);
	if (rc != 0)
		free(s);
	return result(rc);
}

int
thrd_join(thrd_t thread, int *status)
{
	void *value = NULL;
	int rc = pthread_join(thread, &value);

	if (rc == 0 && status)
		*status = (int)(intptr_t)value;
	return result(rc);
}

int
mtx_init(mtx_t *m, int type)
{
	pthread_mutexattr_t attr;
	int rc = pthread_mutexattr_init(&attr);

	if (rc == 0 && (type & mtx_recursive))
		rc = pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	if (rc == 0)
		rc = pthread_mutex_init(mutex(m), &attr);
	(void)pthread_mutexattr_destroy(&attr); /* cannot fail */
	return result(rc);
}

int
mtx_lock(mtx_t *m)
{
	return result(pthread_mutex_lock(mutex(m)));
}

int
mtx_unlock(mtx_t *m)
{
	return result(pthread_mutex_unlock(mutex(m)));
}

void
mtx_destroy(mtx_t *m)
{
	(void)pthread_mutex_destroy(mutex(m)); /* nothing to be done */
}

int
cnd_init(cnd_t *c)
{
	return result(pthread_cond_init(condition(c), NULL));
}

int
cnd_signal(cnd_t *c)
{
	return result(pthread_cond_signal(condition(c)));
}

int
cnd_broadcast(cnd_t *c)
{
	return result(pthread_cond_broadcast(condition(c)));
}

int
cnd_wait(cnd_t *c, mtx_t *m)
{
	return result(pthread_cond_wait(condition(c), mutex(m)));
}

int
cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m,
              const struct timespec *restrict until)
{
	return result(pthread_cond_timedwait(condition(c), mutex(m), until));
}

void
cnd_destroy(cnd_t *c)
{
	(void)pthread_cond_destroy(condition(c)); /* nothing to be done */
}
