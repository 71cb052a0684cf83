"""other_web_servers: those that have no example configuration, each with the lines that
contrib/OPERATING has for it, in the least of a configuration that listens on a port; and those that keep connections to
the workers, told to close them.

`site` is web_servers.Site; each function writes a configuration and returns the command."""
import dataclasses
import os
import re
import textwrap

from web_servers import RUNS_AS, TOP, nginx

APACHE_MODULES = "/usr/lib/apache2/modules"
FCGI_SOCKET = "/run/mostro-push/fcgi.sock"


def _lines(heading):
    """The block of OPERATING under a line that begins so."""
    operating = (TOP / "contrib/OPERATING").read_text()
    block, = re.findall(rf"(?m)^{heading}.*\n(?:\S.*\n)*\n((?:    .*\n|\n(?=    ))+)", operating)
    return textwrap.dedent(block)


def _write(site, name, text):
    conf = site.directory / name
    conf.write_text(text)
    return conf


def _set(text, old, new):
    assert text.count(old) == 1, f"{old} in {text}"
    return text.replace(old, new)


def haproxy(site, keeps=True):
    socket = f"unix@{site.directory}/fcgi.sock"
    lines = _set(_lines("HAProxy"), f"unix@{FCGI_SOCKET}", site.tcp or socket)
    lines = re.sub(r"(?m)^    bind .*$", f"    bind {site.host}:{site.port}", lines)
    if not keeps:
        lines = _set(lines, "    docroot /\n", "    docroot /\n    no option keep-conn\n")
    text = textwrap.dedent("""\
        defaults
            mode http
            timeout connect 5s
            timeout client 15s
            timeout server 15s
        """) + lines
    return ["haproxy", "-db", "-f", _write(site, "haproxy.cfg", text)]


def apache(site, keeps=True):
    socket = f"unix:{site.directory}/fcgi.sock|fcgi://workers"
    lines = _set(_lines("Apache"), f"unix:{FCGI_SOCKET}|fcgi://workers",
                 f"fcgi://{site.tcp}" if site.tcp else socket)
    if not keeps:
        lines = _set(lines, "enablereuse=on", "enablereuse=off")
    modules = "".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so\n"
                      for name in ("mpm_event", "authz_core", "proxy", "proxy_fcgi"))
    user = f"User {RUNS_AS['apache']}\nGroup {RUNS_AS['apache']}\n" if os.geteuid() == 0 else ""
    text = textwrap.dedent(f"""\
        ServerName localhost
        ServerRoot {site.directory}
        DefaultRuntimeDir {site.directory}
        PidFile {site.directory}/apache.pid
        ErrorLog {site.directory}/apache-errors.log
        Listen {site.host}:{site.port}
        KeepAliveTimeout 30
        """) + user + modules + lines
    return ["apache2", "-DFOREGROUND", "-f", _write(site, "apache.conf", text)]


def caddy(site):
    lines = _set(_lines("Caddy"), f"unix/{FCGI_SOCKET}",
                 site.tcp or f"unix/{site.directory}/fcgi.sock")
    lines = re.sub(r"(?m)^push\.example\.org", f"http://:{site.port}", lines)
    lines = lines.replace("{\n", f"{{\n    bind {site.host}\n", 1)
    text = textwrap.dedent(f"""\
        {{
            admin off
            auto_https off
            grace_period 1s
            storage file_system {site.directory}/caddy
        }}
        """) + lines
    return ["env", f"HOME={site.directory}", "caddy", "run", "--adapter", "caddyfile",
            "--config", _write(site, "Caddyfile", text)]


def h2o(site, keeps=True):
    lines = _lines("h2o")
    lines = (_set(lines, f"port: {FCGI_SOCKET}", "port: {}".format(site.tcp.split(":")[1]))
             .replace("type: unix", "type: tcp") if site.tcp else
             _set(lines, FCGI_SOCKET, f"{site.directory}/fcgi.sock"))
    if not keeps:
        lines = re.sub(r"(?m)^.*timeout\.keepalive.*\n", "", lines)
    user = "user: root\n" if os.geteuid() == 0 else ""
    text = user + textwrap.dedent(f"""\
        listen:
          host: {site.host}
          port: {site.port}
        """) + lines
    return ["h2o", "-m", "worker", "-c", _write(site, "h2o.conf", text)]


def closing_nginx(site):
    """The example without its lines about connections to the workers."""
    def edit(text):
        text = _set(text, "fastcgi_keep_conn       on;", "fastcgi_keep_conn off;")
        return _set(text, "keepalive 64;", "")
    return nginx(dataclasses.replace(site, edit=edit))


OTHER_WEB_SERVERS = {
    "haproxy": haproxy, "apache": apache, "caddy": caddy, "h2o": h2o,
    "nginx-closing": closing_nginx,
    "haproxy-closing": lambda site: haproxy(site, keeps=False),
    "apache-closing": lambda site: apache(site, keeps=False),
    "h2o-closing": lambda site: h2o(site, keeps=False),
}
