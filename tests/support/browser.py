"""Chromium, driven by Debian's chromium-driver through python3-selenium.

    with Browser() as browser:
        browser.open(url)
        browser.wait("document.title === 'leat'", "the page is there")
        assert browser.problems() == []

Everything that the page reports is collected: exceptions, console errors,
and violations of its Content-Security-Policy.
"""
import json
import pathlib
import shutil
import tempfile
import time

from leat import Skip

ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
             "--disable-sync", "--disable-background-networking",
             "--disable-component-update", "--hide-scrollbars",
             "--force-device-scale-factor=1", "--js-flags=--expose-gc"]
WATCH = """
window.cspReports = [];
document.addEventListener("securitypolicyviolation", e =>
  cspReports.push(e.violatedDirective + " " + e.blockedURI));
window.ran = [];
window.alert = window.prompt = window.confirm = text => ran.push(text);
"""


class Browser:
    def __init__(self, width=1280, height=1000):
        driver = shutil.which("chromedriver")
        if not driver or not shutil.which("chromium"):
            raise Skip("no chromium or chromium-driver: "
                       "scripts/install-deps --peers installs them")
        try:
            from selenium import webdriver
            from selenium.webdriver.chrome.service import Service
        except ImportError:
            raise Skip("no python3-selenium: scripts/install-deps --peers "
                       "installs it") from None
        self.profile = tempfile.TemporaryDirectory(
            prefix="leat-browser-", ignore_cleanup_errors=True)
        options = webdriver.ChromeOptions()
        for argument in ARGUMENTS + [f"--window-size={width},{height}",
                                     f"--user-data-dir={self.profile.name}"]:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options,
                                       service=Service(driver))
        self.driver.set_script_timeout(90)
        self.cdp("Page.enable")
        self.before(WATCH)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()
        self.profile.cleanup()

    def cdp(self, command, **arguments):
        return self.driver.execute_cdp_cmd(command, arguments)

    def before(self, script):
        """Run a script in each page before the page's own."""
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=script)

    def media(self, **features):
        """Emulate media features, as prefers_color_scheme="dark"."""
        self.cdp("Emulation.setEmulatedMedia", features=[
            {"name": name.replace("_", "-"), "value": value}
            for name, value in features.items()])

    def size(self, width, height, mobile=False):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width,
                 height=height, deviceScaleFactor=1, mobile=mobile)
        self.cdp("Emulation.setTouchEmulationEnabled", enabled=mobile)

    def open(self, url):
        self.driver.get(url)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition, what, seconds=40):
        """Wait until a JavaScript expression is true, and return its value."""
        end = time.monotonic() + seconds
        while True:
            value = self.run(f"return ({condition});")
            if value:
                return value
            assert time.monotonic() < end, \
                f"not within {seconds} s: {what}"
            time.sleep(.05)

    def text(self, selector):
        return self.run("const e = document.querySelector(arguments[0]);"
                        "return e && e.innerText;", selector)

    def keys(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains
        ActionChains(self.driver).send_keys(*keys).perform()

    def move_to(self, x, y):
        self.cdp("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector):
        from selenium.webdriver.common.by import By
        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def heap(self):
        """Bytes in use on the page's heap after a collection."""
        for _ in range(3):
            self.cdp("HeapProfiler.collectGarbage")
        return self.cdp("Runtime.getHeapUsage")["usedSize"]

    def screenshot(self, file, full=False):
        import base64
        shot = {"format": "png"}
        if full:
            size = self.cdp("Page.getLayoutMetrics")["cssContentSize"]
            shot.update(captureBeyondViewport=True, clip={
                "x": 0, "y": 0, "width": size["width"],
                "height": min(size["height"], 4000), "scale": 1})
        pathlib.Path(file).write_bytes(base64.b64decode(
            self.cdp("Page.captureScreenshot", **shot)["data"]))

    def problems(self, ignore=()):
        """What the page has complained about since the last call."""
        found = [entry["message"] for entry in self.driver.get_log("browser")
                 if not any(text in entry["message"] for text in ignore)]
        reports = self.run("return [...cspReports.splice(0), "
                           "...ran.splice(0).map(t => 'ran: ' + t)];")
        return found + [json.dumps(r) for r in reports]
