"""Debian's nginx and HAProxy in front of an HTTP server, over connections that
they keep open and share among clients.

Each request that a proxy forwards carries an identity of the proxy's making
in the header X-Proxy-Request, and the answer to it that a client gets has it
in X-Proxy-Answer.  So a request without one was never forwarded: it was
smuggled; and an answer with another's is out of step.
"""
import os
import signal
import socket

from leat import free_port, wait_until
from process import Daemon
from servers import find

# What Debian's /etc/nginx/nginx.conf sets for HTTP, with its files elsewhere,
# and the upstream connections that nginx's documentation tells to use.
NGINX = """
{user}
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log;
events {{ worker_connections 768; }}
http {{
    sendfile on;
    tcp_nopush on;
    types_hash_max_size 2048;
    default_type application/octet-stream;
    access_log off;
    gzip on;
    client_body_temp_path {directory}/nginx-body;
    proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    upstream leat {{
        server 127.0.0.1:{server_port};
        keepalive 16;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://leat;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Proxy-Request $request_id;
            add_header X-Proxy-Answer $request_id always;
        }}
    }}
}}
"""

# The defaults of Debian's /etc/haproxy/haproxy.cfg, without its log.
HAPROXY = """
defaults
    mode http
    option dontlognull
    timeout connect 5000
    timeout client 50000
    timeout server 50000
    http-reuse always
frontend clients
    bind 127.0.0.1:{port}
    http-request set-var(txn.identity) uuid()
    http-request set-header X-Proxy-Request %[var(txn.identity)]
    http-response set-header X-Proxy-Answer %[var(txn.identity)]
    default_backend leat
backend leat
    server leat 127.0.0.1:{server_port}
"""


class Proxy(Daemon):
    """A proxy.  It does not report when it is ready: it is when it listens."""

    def __init__(self, name, argv, directory, port,
                 stop_signal=signal.SIGTERM):
        super().__init__(name, argv, directory / f"{name}.log", ready=None)
        self.port, self.stop_signal = port, stop_signal

    def stop(self, timeout_s=30):
        if self.running:
            self.signal(self.stop_signal)
            status = self.wait(timeout_s)
            assert status == 0, f"{self.name}: exit status {status}"

    def listens(self):
        assert self.running, f"{self.name} has ended: {self.lines}"
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        except ConnectionRefusedError:
            return False
        return True

    def wait_ready(self, timeout_s=20):
        wait_until(self.listens, f"{self.name} listens", timeout_s)


def nginx(directory, server_port):
    # /usr/sbin is not in every PATH.
    program = find("LEAT_NGINX", "nginx", "/usr/sbin/nginx")
    port, conf = free_port(), directory / "nginx.conf"
    conf.write_text(NGINX.format(
        directory=directory, port=port, server_port=server_port,
        # Only root may name a user.
        user="user www-data;" if os.geteuid() == 0 else ""))
    return Proxy("nginx", [program, "-p", str(directory), "-c", str(conf),
                           "-e", str(directory / "nginx-error.log")],
                 directory, port)


def haproxy(directory, server_port):
    program = find("LEAT_HAPROXY", "haproxy", "/usr/sbin/haproxy")
    port, conf = free_port(), directory / "haproxy.cfg"
    conf.write_text(HAPROXY.format(port=port, server_port=server_port))
    # At SIGTERM it dies of the signal, whatever it was doing.
    return Proxy("haproxy", [program, "-db", "-f", str(conf)], directory,
                 port, signal.SIGUSR1)


PROXIES = {"nginx": nginx, "haproxy": haproxy}
