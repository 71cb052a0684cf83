"""web_servers: the operators' example configurations as a stack runs them: the very files, with the
lines that they say to set set to a stack's own, and blocks that they leave off switched on."""
import dataclasses
import getpass
import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass
class Site:
    """What the lines to set are set to. A host of [::] is everyone. `https` is (certificate file,
    key file), `proxy` the address of a proxy to trust; None leaves that block off. `edit` may
    change the text in the end. `tcp` is where the workers listen, if not on the Unix socket."""
    directory: pathlib.Path
    host: str
    port: int
    operator_socket: pathlib.Path
    https: tuple = None
    proxy: str = None
    edit: object = None
    tcp: str = None

    @property
    def bodies(self):
        """The folder for bodies, in memory or not."""
        return self.directory / "bodies"


def _set(text, line, value):
    """Exactly one line, found by its beginning, to `value`; it keeps its indentation."""
    text, n = re.subn(rf"(?m)^( *){line}.*$", lambda found: found[1] + value, text)
    assert n == 1, f"{n} lines with {line}"
    return text


def _switch_on(text, section):
    """Takes the # off the lines below a heading that have no blank after it."""
    begin = re.search(rf"(?m)^ *# ---- {section} -+$", text).end()
    end = re.search(r"(?m)^ *# ---- |\Z", text[begin:]).start() + begin
    block, n = re.subn(r"(?m)^( *)#(?=[a-z$])", r"\1", text[begin:end])
    assert n > 0, section
    return text[:begin] + block + text[end:]


def _write(site, name, text):
    conf = site.directory / name
    conf.write_text(site.edit(text) if site.edit else text)
    site.bodies.mkdir(exist_ok=True)
    return conf


def lighttpd(site):
    """Writes a configuration; the command that runs it."""
    text = (TOP / "lighttpd.conf.example").read_text()
    # lighttpd changes to another user only as root, and that one could not enter the directory.
    text = re.sub(r"(?m)^server\.(username|groupname) .*\n", "", text)
    everyone = site.host == "[::]"
    ipv6 = r'#?\$SERVER\["socket"\] == "\[::\]:" \+ var\.port \{ '
    if everyone:
        text = _set(text, ipv6 + r"\}$", '$SERVER["socket"] == "[::]:" + var.port { }')
    for name, value in (
        ("host", '"0.0.0.0"' if everyone else f'"{site.host}"'),
        ("port", site.port),
        ("socket", f'"{site.directory}/fcgi.sock"'),
        ("errors", f'"{site.directory}/lighttpd-errors.log"'),
        ("bodies", f'"{site.bodies}"'),
        ("operator", f'"{site.operator_socket}"'),
        ("charts", f'"{TOP}/contrib/charts.html"'),
    ):
        text = _set(text, rf"var\.{name} ", f"var.{name} = {value}")
    if site.https:
        text = _switch_on(text, "HTTPS")
        text = _set(text, r"ssl\.pemfile", f'ssl.pemfile = "{site.https[0]}"')
        text = _set(text, r"ssl\.privkey", f'ssl.privkey = "{site.https[1]}"')
        if not everyone:
            text = _set(text, ipv6 + r"ssl", "")
    if site.proxy:
        text = _switch_on(text, "Behind a reverse proxy")
        text = _set(text, r"extforward\.forwarder",
                    f'extforward.forwarder = ( "{site.proxy}" => "trust" )')
    if site.tcp:
        host, port = site.tcp.split(":")
        text = _set(text, '"socket" +=> var', f'"host" => "{host}", "port" => {port},')
    return ["lighttpd", "-D", "-f", _write(site, "lighttpd.conf", text)]


def nginx(site):
    """Writes a configuration; the command that runs it."""
    text = (TOP / "contrib/nginx.conf.example").read_text()
    how = (" ssl" if site.https else "") + (" ipv6only=off" if site.host == "[::]" else "")
    for line, value in (
        ("user ", f"user {getpass.getuser()};"),
        ("pid ", f"pid {site.directory}/nginx.pid;"),
        ("error_log .*#<-", f"error_log {site.directory}/nginx-errors.log notice;"),
        ("server unix:", f"server {site.tcp or f'unix:{site.directory}/fcgi.sock'};"),
        (r"client_body_temp_path ", f"client_body_temp_path {site.bodies};"),
        (r"fastcgi_temp_path ", f"fastcgi_temp_path {site.directory}/answers;"),
        (r"listen 127\.0\.0\.1:8080;", f"listen {site.host}:{site.port}{how};"),
        ("listen unix:", f"listen unix:{site.operator_socket};"),
        ("root ", f"root {TOP}/contrib;"),
    ):
        text = _set(text, line, value)
    assert not re.search(r"; *#<-", text)
    if site.https:
        text = _switch_on(text, "HTTPS")
        text = _set(text, "ssl_certificate ", f"ssl_certificate {site.https[0]};")
        text = _set(text, "ssl_certificate_key ", f"ssl_certificate_key {site.https[1]};")
    if site.proxy:
        text = _switch_on(text, "Behind a reverse proxy")
        text = _set(text, "set_real_ip_from ", f"set_real_ip_from {site.proxy};")
    # Folders that nginx makes whether or not it needs them, in places that are root's.
    unused = "".join(f"{name}_temp_path {site.directory}/{name};\n"
                     for name in ("proxy", "scgi", "uwsgi"))
    text = text.replace("\nhttp {\n", f"\nhttp {{\n{unused}")
    return ["nginx", "-e", "stderr", "-g", "daemon off;", "-c", _write(site, "nginx.conf", text)]


# Who those are that will not run as root: the workers' socket has to be theirs.
RUNS_AS = {"apache": "www-data", "apache-closing": "www-data"}
WEB_SERVERS = {"lighttpd": lighttpd, "nginx": nginx}
