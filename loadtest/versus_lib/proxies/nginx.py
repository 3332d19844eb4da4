"""nginx: one worker, split by a hash of the user's cookie (split_clients), keep-alive pools, stub_status."""

import os

from .base import Proxy

CONFIG = """\
{user}worker_processes 1;
worker_rlimit_nofile 20000;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;

    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    tcp_nodelay on;

    # A returning user is known by the cookie, a new one gets it.
    map $cookie_uid $uid {{ "" $request_id; default $cookie_uid; }}
    map $cookie_uid $new_cookie {{ "" "uid=$request_id; Path=/; HttpOnly; SameSite=Lax"; default ""; }}
    split_clients $uid $pool {{ 5% canary; * stable; }}

    upstream stable {{
        server 127.0.0.1:{stable};
        keepalive 128; keepalive_requests 1000000000; keepalive_timeout 300s;
    }}
    upstream canary {{
        server 127.0.0.1:{canary};
        keepalive 128; keepalive_requests 1000000000; keepalive_timeout 300s;
    }}

    server {{
        listen 127.0.0.1:{port} backlog=4096;
        listen 127.0.0.1:{h2} backlog=4096 http2;
        listen 127.0.0.1:{tls} backlog=4096 ssl http2;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {{
            proxy_pass http://$pool;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            # Bodies pass through memory: no temporary files, requests streamed as the others do.
            proxy_request_buffering off;
            client_body_buffer_size 64k;
            proxy_buffer_size 16k;
            proxy_buffers 16 32k;
            proxy_busy_buffers_size 128k;
            proxy_max_temp_file_size 0;
            add_header Set-Cookie $new_cookie;
        }}
    }}
    server {{
        listen 127.0.0.1:{admin};
        location = /metrics {{ stub_status; }}
    }}
}}
"""


class Nginx(Proxy):
    name = "nginx"
    tool = "nginx"
    version_args = ("-v",)
    package = "Debian: nginx"

    def files(self):
        user = "user root;\n" if os.geteuid() == 0 else ""
        return {"nginx.conf": CONFIG.format(user=user, **self.fields)}

    def command(self):
        return [self.binary, "-p", self.folder, "-c", self.folder / "nginx.conf", "-e", self.folder / "error.log"]

    def metrics_url(self):
        return f"http://127.0.0.1:{self.admin_port}/metrics"
