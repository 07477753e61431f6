"""Customers of `dues subscribe` in a real Chromium: each opens the link, looks at the page and presses one button.

Usage: customer.py DUES PICTURES, with DUES_CONFIG and DUES_SECRET_KEY set. Chromium is spoken to by WebDriver, which is
JSON over HTTP, so that nothing but Python's own library is needed. Its script is switched off: the page works without.
"""

import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

PATIENCE_SECONDS = 60
PAUSE_SECONDS = 0.2
# What WebDriver calls an element's id.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
SMALLEST_TARGET = 44


def main(dues, pictures):
    pictures = pathlib.Path(pictures)
    with Driver() as browser:
        for button, code, state in ("Pay", 0, "active"), ("Decline", 1, "incomplete_expired"):
            reference = f"PAGE-{button}"
            subscribing = subprocess.Popen(
                [dues, "subscribe", "--reference", reference, "--plan", "monthly", "--json"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            try:
                link = json.loads(subscribing.stdout.readline())["redirect_url"]
                look(browser, link, pictures, button.lower())
                browser.press(button)
                come_back(browser, link, pictures, button.lower())
                out, err = subscribing.communicate(timeout=PATIENCE_SECONDS)
            finally:
                subscribing.kill()
            expect(subscribing.returncode, code, f"dues subscribe said {out}{err}")
            shown = json.loads(subprocess.run(
                [dues, "subscription", "show", reference, "--json"], check=True, stdout=subprocess.PIPE, text=True).stdout)
            expect(find(shown, "state"), state, f"{reference} after {button}")
            print(f"{button}: the subscription is {state}")


def look(browser, link, pictures, name):
    """The page as people see it, at both sizes and in both colour schemes, and what a program can say about it."""
    for size, (width, height) in SIZES.items():
        for scheme in "light", "dark":
            browser.appear(width, height, scheme)
            browser.open(link)
            browser.picture(pictures / f"{name}-{size}-{scheme}.png")
            text = browser.text("body")
            for wanted in "Simulated", "128.00 HKD", "Harbour Gym", "Monthly membership", "charge your wallet again later":
                expect(wanted in text, True, f"{wanted!r} is missing in {text!r}")
            # Nothing is cut off at the side, and what is pressed is large enough for a thumb.
            expect(browser.measure("Page.getLayoutMetrics")["cssContentSize"]["width"] <= width, True, f"wider than {width}")
            for button in "Pay", "Decline":
                box = browser.box(button)
                expect(min(box["width"], box["height"]) >= SMALLEST_TARGET, True, f"{button} is {box}")
                expect(box["y"] + box["height"] <= height, True, f"{button} is below the fold: {box}")
                expect((browser.role(button), browser.name(button)), ("button", button), "what a screen reader says")
    # By keyboard alone: the first stop is Pay, the second Decline.
    expect([browser.tab(), browser.tab()], ["Pay", "Decline"], "stops of the Tab key")
    requests = browser.requests()
    expect(all(url.startswith(link.split("/pay/")[0]) for url in requests), True, f"it loads from elsewhere: {requests}")


def come_back(browser, link, pictures, name):
    home = link.split("/pay/")[0]
    last = time.monotonic() + PATIENCE_SECONDS
    while not re.fullmatch(re.escape(home) + r"/\?cko-session-id=sid_\w+", browser.url()):
        expect(time.monotonic() < last, True, f"after the press the browser is at {browser.url()}")
        time.sleep(PAUSE_SECONDS)
    expect("no proof of payment" in browser.text("body"), True, browser.text("body"))
    browser.picture(pictures / f"{name}-returned.png")
    browser.open(link)
    ended = "Captured" if name == "pay" else "Declined"
    expect(f"this payment is {ended}" in browser.text("main"), True, browser.text("main"))
    browser.picture(pictures / f"{name}-ended.png")
    browser.follow("Back to the shop")
    expect(browser.url().startswith(f"{home}/?cko-session-id=sid_"), True, browser.url())


class Driver:
    """One headless Chromium, by way of chromedriver."""

    def __init__(self):
        self.process = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        told = ""
        for line in self.process.stdout:
            told += line
            port = re.search(r"on port (\d+)\.", line)
            if port and port[1] != "0":
                break
        else:
            raise AssertionError(f"chromedriver did not start: {told}")
        self.base = f"http://127.0.0.1:{port[1]}"
        arguments = ["--headless=new", "--hide-scrollbars", "--force-device-scale-factor=1"]
        if os.geteuid() == 0:
            # Chromium's own sandbox refuses to run as root, as in a container.
            arguments.append("--no-sandbox")
        options = {"args": arguments, "prefs": {"profile.managed_default_content_settings.javascript": 2}}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"performance": "ALL"}}
        self.base += "/session/" + self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.call("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait(PATIENCE_SECONDS)

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as refusal:
            raise AssertionError(f"{method} {path}: {refusal.read().decode()}") from None

    def measure(self, command, **parameters):
        """A command of the DevTools protocol."""
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def appear(self, width, height, scheme):
        self.measure("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        self.measure("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def url(self):
        return self.call("GET", "/url")

    def element(self, strategy, value):
        return self.call("POST", "/element", {"using": strategy, "value": value})[ELEMENT]

    def button(self, text):
        return self.element("xpath", f"//button[normalize-space()='{text}']")

    def press(self, text):
        self.call("POST", f"/element/{self.button(text)}/click", {})

    def follow(self, text):
        self.call("POST", f"/element/{self.element('link text', text)}/click", {})

    def text(self, selector):
        return self.call("GET", f"/element/{self.element('css selector', selector)}/text")

    def box(self, text):
        return self.call("GET", f"/element/{self.button(text)}/rect")

    def role(self, text):
        return self.call("GET", f"/element/{self.button(text)}/computedrole")

    def name(self, text):
        return self.call("GET", f"/element/{self.button(text)}/computedlabel")

    def tab(self):
        """Presses Tab; the text of what has the focus then."""
        down = [{"type": "keyDown", "value": "\ue004"}, {"type": "keyUp", "value": "\ue004"}]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": down}]})
        return self.call("GET", f"/element/{self.call('GET', '/element/active')[ELEMENT]}/text")

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def requests(self):
        """Every URL that was asked for since the last call."""
        entries = self.call("POST", "/se/log", {"type": "performance"})
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        return [it["params"]["request"]["url"] for it in messages if it["method"] == "Network.requestWillBeSent"]


def find(document, key):
    """The first value under `key`, however deep."""
    if isinstance(document, dict):
        if key in document:
            return document[key]
        document = list(document.values())
    found = (find(part, key) for part in document if isinstance(part, (dict, list)))
    return next((value for value in found if value is not None), None)


def expect(found, wanted, told):
    if found != wanted:
        raise AssertionError(f"found {found!r} where {wanted!r} was expected: {told}")


if __name__ == "__main__":
    main(*sys.argv[1:])
