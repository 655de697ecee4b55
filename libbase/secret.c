/* secret - see secret.h. */
#include "libbase/secret.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libbase/file.h"

int
secret_read(const char *path, const char *env, char *out, size_t size)
{
	const char *value;
	char *text = NULL;
	size_t n, bytes;
	int rc;

	out[0] = '\0';
	if (path && path[0]) {
		rc = file_read(path, CONF_FILE_BYTES_MAX, &text, &bytes);
		if (rc < 0 || !text)
			return rc;
		n = strcspn(text, "\r\n");
	} else {
		value = getenv(env);
		if (!value)
			return 0;
		text = strdup(value);
		if (!text)
			return -ENOMEM;
		(void)unsetenv(env); /* fails only for a bad name */
		n = strlen(text);
	}
	rc = (int)n;
	if (n >= size) {
		rc = -EMSGSIZE;
	} else {
		memcpy(out, text, n);
		out[n] = '\0';
	}
	explicit_bzero(text, strlen(text));
	free(text);
	return rc;
}

int
secret_refresh(const char *path, const char *env, char *out, size_t size,
               bool *known)
{
	int rc = path[0] || !*known ? secret_read(path, env, out, size) : 0;

	if (rc >= 0)
		*known = true;
	return rc < 0 ? rc : 0;
}

int
secret_check_file(const struct conf_source *source, const char *section,
                  const char *key, const char *path)
{
	struct stat st;
	int rc = conf_check_file(source, section, key, path);

	if (rc < 0 || !path || !path[0] || stat(path, &st) < 0)
		return rc;
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		conf_warn(source, section, key, path,
		          "a secret file can be written by others: chmod go-w "
		          "it mode=%03o",
		          (unsigned)(st.st_mode & 0777));
	else if (st.st_uid != 0 && st.st_uid != geteuid())
		conf_warn(source, section, key, path,
		          "a secret file belongs to another user, who can "
		          "write it: chown it uid=%u",
		          (unsigned)st.st_uid);
	/* Its group may: a group of the daemons is how root shares a file. */
	if (st.st_mode & S_IROTH)
		conf_warn(source, section, key, path,
		          "a secret file can be read by users other than its "
		          "owner and its group: chmod o-r it mode=%03o",
		          (unsigned)(st.st_mode & 0777));
	return 0;
}

int
secret_check_password(const struct conf_source *source, const char *section,
                      const char *path, size_t max_bytes)
{
	static const char key[] = "password_file";
	int rc = secret_check_file(source, section, key, path);
	struct stat st;
	char *text;

	/* Reading from a pipe would consume the password. */
	if (rc < 0 || !path[0] || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return rc;
	text = calloc(1, max_bytes);
	if (!text)
		return -ENOMEM;
	rc = secret_read(path, "", text, max_bytes);
	explicit_bzero(text, max_bytes);
	free(text);
	if (rc == -EMSGSIZE)
		return conf_refuse(source, section, key, path,
		                   "its first line, the password, is longer "
		                   "than %zu bytes",
		                   max_bytes - 1);
	if (rc == 0)
		conf_warn(source, section, key, path,
		          "its first line, the password, is empty");
	return 0; /* a missing file was refused, or the daemon waits for it */
}

/* The same for one host of n bytes, which may have a port. */
static bool
host_stays_here(const char *host, size_t n)
{
	static const char *const here[] = {"localhost", "[::1]"};

	if (n == 0 || host[0] == '/' || host[0] == '@' ||
	    (n == 3 && memcmp(host, "::1", n) == 0))
		return true;
	if (n > 4 && memcmp(host, "127.", 4) == 0)
		return strspn(host, "0123456789.") >= n ||
		       host[strspn(host, "0123456789.")] == ':';
	for (size_t i = 0; i < ARRAY_LEN(here); i++) {
		size_t length = strlen(here[i]);

		if (n >= length && memcmp(host, here[i], length) == 0 &&
		    (n == length || host[length] == ':'))
			return true;
	}
	return false;
}

bool
secret_stays_local(const char *hosts)
{
	for (;;) {
		size_t n = strcspn(hosts, ",");

		if (!host_stays_here(hosts, n))
			return false;
		if (hosts[n] == '\0')
			return true;
		hosts += n + 1;
		hosts += strspn(hosts, " ");
	}
}
