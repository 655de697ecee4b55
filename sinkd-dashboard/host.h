/*
 * host - which names this server has: the checks of Host and Origin.
 *
 * A browser sends a request to whatever address a name has at the moment.  So
 * a hostile page can make its own name point to this server (DNS rebinding),
 * and read what it answers.  Such a request has the hostile name in its Host.
 * The server therefore answers only if Host is an IP address or localhost,
 * which no page can have taken, or a name that the setting `hosts` lists.
 *
 * A browser also sends requests of other pages here, and names the site of the
 * page in Origin.
 */
#ifndef SINKD_DASHBOARD_HOST_H
#define SINKD_DASHBOARD_HOST_H

#include <stdbool.h>

#include "libbase/base.h"
#include "libbase/slice.h"

/*
 * Check the setting: names separated by blanks, without a port.  Returns NULL,
 * or what is wrong with it, a static text.
 */
const char *host_check_list(const char *hosts);

/* Return true if the Host header names this server. */
bool host_is_ours(const char *hosts, struct slice host);

/*
 * Return true if the Origin header is of a page of this server: its host and
 * port are those of the Host header, or its host is listed, because a proxy
 * may replace the Host header.  *https is set to whether the page was loaded
 * with TLS.
 */
bool host_is_own_origin(const char *hosts, struct slice origin,
                        struct slice host, bool *https);

#endif
