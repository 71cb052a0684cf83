"""The operator's page: who gets it, what its script makes of metrics (in node), and the whole in a
browser."""
import base64
import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading

import pytest

from loopback import HOST
from nostr import gift_wrap, new_pubkey
from raw_http import head, send
from stack import TOP, wait_until
from web_servers import WEB_SERVERS

PAGE = (TOP / "contrib/charts.html").read_text()
SCRIPT = re.search(r"\n<script>\n(.*?)</script>", PAGE, re.S)[1]


# ---- From the web servers


@pytest.fixture(scope="module", params=WEB_SERVERS)
def web_server(request):
    return request.param


@pytest.fixture(scope="module")
def api(make_shared_stack):
    stack = make_shared_stack()
    stack.start_redis()
    stack.start_api()
    return stack


def ask(stack, path, host="localhost:9091", operator=True, method="GET"):
    return send(stack, head(path, method=method, host=host), method=method, operator=operator)


def test_it_is_served_beside_the_metrics(api):
    for path in ("/", "/?x"):
        answer = ask(api, path)
        assert (answer.status, answer.body) == (200, PAGE)
    assert answer.header("Content-Type") == "text/html; charset=utf-8"
    assert answer.header("Content-Security-Policy") == "frame-ancestors 'none'"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Cache-Control") == "no-cache"
    chart = ask(api, "/chart.js")
    if os.path.exists("/usr/share/javascript/chart.js/chart.min.js"):
        assert chart.status == 200 and chart.header("Content-Type") == "text/javascript"
        assert "Chart.js v3" in chart.body[:200]
    else:
        assert chart.status == 404
    for path in ("/charts.html", "/x", "/chart.js/", "/chart.js.map", "/README",
                 "/index.html", "/redis-ha/README", "/../../etc/passwd",
                 "/%2e%2e/%2e%2e/etc/passwd"):
        assert ask(api, path).status in (400, 404), path
    for path in ("/", "/chart.js"):
        assert ask(api, path, operator=False).status == 404


@pytest.mark.parametrize("host", ["rebound.example", "localhost.example:9091", "a.b",
                                  "1.2.3.4.nip.io", "127.0.0.1.example"])
def test_a_strangers_name_gets_nothing(api, host):
    """A page that a browser was shown under that name could read what it gets (DNS rebinding)."""
    for path in ("/", "/chart.js", "/api/metrics", "/api/ready"):
        answer = ask(api, path, host)
        assert answer.status == 404 and "mostro" not in answer.body


@pytest.mark.parametrize("host", ["x", "localhost", "localhost:9091", "127.0.0.1:9091",
                                  "[::1]:9091", "operator-1", "192.0.2.1"])
def test_who_is_led_there_gets_it(api, host):
    for path in ("/", "/api/metrics"):
        assert ask(api, path, host).status == 200


# ---- Its script


def node(code, text=""):
    """What `code` returns after the page's script has run without a document."""
    program = (f"{SCRIPT}\nconst text = require('fs').readFileSync(0, 'utf8');\n"
               f"console.log(JSON.stringify((() => {{ {code} }})()));")
    done = subprocess.run(["node", "-e", program], input=text, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_reads_metrics_as_mostro_push_top_does():
    text = "\n".join([
        "# HELP mostro_a x", "mostro_a 1", 'mostro_b{x="1",y="a\\"b\\\\c\\nd"} 2.5e3 17',
        "mostro_c{} -1", "mostro_d", "mostro_d one", 'mostro_d{a="1" 1',
        'mostro_d{a="1\\"} 1', "mostro_d 0x1",
        'mostro_e{x="2",} +Inf', "\0", "__proto__ 1", "constructor 2"])
    assert node("""
        const f = parse(text);
        return [sum(f, "mostro_a"), sum(f, "mostro_b", {x: "1"}), sum(f, "mostro_c"),
                sum(f, "mostro_d"), sum(f, "mostro_e"), series(f, "mostro_e").length,
                series(f, "mostro_b")[0].labels.get("y"), sum(f, "toString")];
        """, text) == [1, 2500, -1, None, None, 1, 'a"b\\c\nd', None]


def test_it_is_bounded():
    assert node("""
        const told = [];
        for (const each of ["", "<html>", Array(MOST_SERIES + 1).fill().map(
                (_, n) => `mostro_a{n="${n}"} 1`).join("\\n")])
            try { parse(each); } catch (error) { told.push(error.message); }
        const began = process.cpuUsage().user;
        for (const each of ['mostro_a{x="' + "\\\\".repeat(500000),
                            "mostro_a{" + 'x="",'.repeat(100000),
                            "mostro_a " + "1".repeat(1000000)])
            parse("mostro_b 1\\n" + each);
        told.push(process.cpuUsage().user - began < 5e6);
        return told;
        """) == ["what answers there is no Mostro Push"] * 2 + [
            "more metrics than any server has", True]


def test_its_history():
    """A counter that begins anew; a hole while nobody looked; the hour's end."""
    assert node("""
        const history = new History();
        const at = (seconds, taken, fast) => history.add(seconds * 1000, parse(
            `mostro_events_total{outcome="taken"} ${taken}\\n` +
            `mostro_push_duration_seconds_bucket{backend="fcm",le="0.1"} ${fast}\\n` +
            `mostro_push_duration_seconds_bucket{backend="fcm",le="+Inf"} ${fast}\\n`));
        const line = label => CHARTS.flatMap((chart, i) => chart.lines.map(
            (line, j) => [line, history.points[i][j]])).filter(([line]) => line.label === label)
            .map(([, points]) => points.map(each => each.value));
        at(0, 100, 5); at(5, 107, 25); at(10, 2, 25);
        const [taken] = line("taken").map(each => [...each]), p50 = line("p50")[1].slice();
        at(200, 50, 25); at(205, 51, 25);
        const after = line("taken")[0].slice(3);
        for (let n = 1; n < 800; n++)
            at(205 + n * 5, 51, 25);
        return [taken, p50, after, line("taken")[0].length, history.answers.length];
        """) == [[None, 7, 9], [None, 0.05, 0.05], [None, None, 1], 721, 721]


def test_what_stands_beside_the_lines():
    """States of back ends and relays, and what is wrong, the worst first."""
    text = "\n".join([
        'mostro_backend_state{listener="a",backend="fcm",state="up"} 1',
        'mostro_backend_state{listener="b",backend="fcm",state="no_access_token"} 1',
        'mostro_backend_state{listener="b",backend="fcm",state="up"} 0',
        'mostro_backend_state{listener="a",backend="unifiedpush",state="off"} 1',
        'mostro_paused 1', 'mostro_traced_pubkeys 2', 'mostro_full{what="redis"} 1', 'mostro_full{what="queue"} 0',
        *(f'mostro_relay_connected{{listener="{listener}",relay="{relay}"}} {up}\n'
          f'mostro_relay_subscribed{{listener="{listener}",relay="{relay}",kind="14"}} {up}'
          for listener, relay, up in (("a", "wss://1", 1), ("b", "wss://1", 0),
                                      ("a", "wss://2", 1))),
        'mostro_relay_last_event_age_seconds{listener="a",relay="wss://1"} 150'])
    shown, relays = node("const f = parse(text); return [tiles(f), relays(f)];", text)
    assert shown[4:] == [["FCM", "up, no access token", "bad"], ["UnifiedPush", "off", ""],
                         ["Pushing", "held by an operator", "warn"],
                         ["Traced", "2 pubkeys", "warn"], ["Full", "redis", "bad"]]
    assert relays == [["down", "bad", "wss://1", "kind 14 waits, b"],
                      ["up", "good", "wss://1", "kind 14, last event 2.5 min ago, a"],
                      ["up", "good", "wss://2", "kind 14, a"]]


# ---- In a browser


class Forward:
    """A port that leads to a Unix socket, as `ssh -L` makes one."""

    def __init__(self, path):
        self._path = str(path)
        self._server = socket.create_server((HOST, 0))
        self.url = f"http://localhost:{self._server.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self._server.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._path)
            except OSError:
                return
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._lead, args=(one, other), daemon=True).start()

    @staticmethod
    def _lead(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one of them has gone

    def close(self):
        self._server.close()


class Browser:
    """Chromium without a window, by its debugging pipe: descriptors 3 and 4, with NULs between."""

    def __init__(self):
        self._profile = tempfile.mkdtemp(prefix="mostro-push-chromium-")
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # They may be 3 and 4 themselves, the other way round.
        commands, answers = (fcntl.fcntl(each, fcntl.F_DUPFD, 20) for each in (commands, answers))
        shell = f'exec 3<&{commands} 4>&{answers}; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", "chromium", "--headless", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
             f"--user-data-dir={self._profile}", "about:blank"],
            pass_fds=(commands, answers), stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(commands)
        os.close(answers)
        self._number, self._session, self._rest = 0, None, b""
        self.events = []
        target, = [each for each in self.call("Target.getTargets")["targetInfos"]
                   if each["type"] == "page"]
        self._session = self.call("Target.attachToTarget", targetId=target["targetId"],
                                  flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _read(self):
        while b"\0" not in self._rest:
            data = os.read(self._answers, 1 << 20)
            assert data, "chromium has ended"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def evaluate(self, expression):
        return self.call("Runtime.evaluate", expression=expression, awaitPromise=True,
                         returnByValue=True)["result"].get("value")

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)

    def show(self, url, width, height, scheme):
        self.resize(width, height)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=url)

    def screenshot(self, path):
        """Of what is in the window, once it is on the screen."""
        self.evaluate("""new Promise(done =>
            requestAnimationFrame(() => requestAnimationFrame(done)))""")
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def complaints(self):
        """Of the page's: errors, exceptions, what its policy refused, answers that are none."""
        return [each for each in self.events
                if each["method"] in ("Log.entryAdded", "Runtime.exceptionThrown",
                                      "Runtime.consoleAPICalled", "Network.loadingFailed")]

    def asked(self):
        return {each["params"]["request"]["url"] for each in self.events
                if each["method"] == "Network.requestWillBeSent"}

    def close(self):
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)
        shutil.rmtree(self._profile, ignore_errors=True)


# An hour in as long as it takes to ask so often.
HURRY = """
    let skew = -3600e3;
    const now = Date.now.bind(Date), later = setTimeout;
    Date.now = () => now() + skew;
    window.setTimeout = (done, milliseconds, ...more) => {
        const hurries = milliseconds === EVERY && skew < 0;
        skew += hurries ? EVERY * STEPS : 0;
        return later(done, hurries ? 0 : milliseconds, ...more);
    };"""
STATE = "document.getElementById('state').textContent"
# How many pixels of each canvas are painted.
# Of copies: Chromium complains of who reads a picture itself again and again.
PAINTED = """[...document.querySelectorAll("canvas")].map(canvas => {
    const copy = new OffscreenCanvas(canvas.width, canvas.height)
        .getContext("2d", {willReadFrequently: true});
    copy.drawImage(canvas, 0, 0);
    return copy.getImageData(0, 0, canvas.width, canvas.height).data
        .reduce((count, value, i) => count + (i % 4 === 3 && value > 0), 0);
})"""


@pytest.mark.long
@pytest.mark.parametrize("web_server", ["lighttpd"], indirect=True)
@pytest.mark.parametrize("width, height, scheme", [(1400, 900, "light"), (390, 844, "dark")])
def test_in_a_browser(make_stack, relay, phone, tmp_path, width, height, scheme):
    """Light and wide, dark and narrow: it draws what has happened, asks nobody else, breaks no rule
    of its policy, and tells when the server has gone. Pictures go into the folder SCREENSHOTS."""
    stack = make_stack(UNIFIEDPUSH_ALLOW_PRIVATE="true")
    stack.start_redis()
    stack.start_api()
    stack.start_listener(relay)
    pubkey, endpoint = new_pubkey(), phone.endpoint()
    stack.register(pubkey, endpoint)
    forward, browser = Forward(stack.operator_socket), Browser()
    try:
        browser.call("Page.addScriptToEvaluateOnNewDocument",
                     source=HURRY.replace("EVERY", "5000").replace("STEPS", "8"))
        browser.show(forward.url, width, height, scheme)

        def legend(title):
            return browser.evaluate(f"""[...document.querySelectorAll("section")].filter(each =>
                each.firstChild.textContent === "{title}").map(each => each.children[1].innerText)
                .join()""") or ""
        wait_until(lambda: "Android 1" in legend("Phones"), 60)

        def after_more(expression):
            stack.notify(pubkey)
            relay.publish(gift_wrap(pubkey))
            return expression()
        wait_until(lambda: after_more(lambda: browser.evaluate("skew === 0")), 300)
        for title, line in (("Notifies a minute, by answer", r"202 [1-9]"),
                            ("Events a minute", r"taken [1-9]"),
                            ("From event to push, of 5 minutes", r"p50 [1-9]"),
                            ("Pushes by UnifiedPush a minute", r"delivered [1-9]")):
            wait_until(lambda: after_more(lambda: re.search(line, legend(title))), 60, what=title)
        assert browser.evaluate(STATE) == "READY"
        assert relay.url in browser.evaluate("document.getElementById('relays').innerText")
        # Nothing is wider than the window; which is made as long as the page.
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        browser.resize(width, browser.evaluate("document.documentElement.scrollHeight"))
        assert len(browser.evaluate(PAINTED)) == len(re.findall(r"\{title: ", SCRIPT))
        wait_until(lambda: min(browser.evaluate(PAINTED)) > 500, what="all charts are drawn")
        if os.environ.get("SCREENSHOTS"):
            browser.screenshot(tmp_path.__class__(os.environ["SCREENSHOTS"]) / f"{scheme}.png")
        assert browser.complaints() == []
        assert browser.asked() <= {forward.url + path for path in (
            "", "chart.js", "api/ready", "api/metrics")} | {"data:,", "about:blank"}
        stack.redis_server.kill()
        wait_until(lambda: browser.evaluate("document.querySelector('header').innerText")
                   .find("Redis cannot be reached") > 0, 60)
        stack.web.stop()
        wait_until(lambda: browser.evaluate(STATE) == "AWAY", 60)
    finally:
        browser.close()
        forward.close()
