# SPDX-License-Identifier: MIT
"""A headless Chromium, spoken to over the WebDriver protocol (W3C) and, through it, the DevTools protocol."""

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import png

CHROMIUM, DRIVER = shutil.which('chromium'), shutil.which('chromedriver')


def absent():
    """What is missing here, or ''."""
    return '' if CHROMIUM and DRIVER else 'chromium and chromium-driver are not installed'


def free_port():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


class Browser:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix='udp46-browser-')
        self.url = f'http://127.0.0.1:{free_port()}'
        self.driver = subprocess.Popen([DRIVER, '--port=' + self.url.rsplit(':', 1)[1]], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                       env={**os.environ, 'HOME': self.directory})
        try:
            self.begin()
        except BaseException:
            self.close()
            raise

    def begin(self):
        end = time.monotonic() + 20
        while True:
            try:
                self.ask('GET', '/status')
                break
            except (OSError, urllib.error.URLError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        arguments = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars',
                     '--no-first-run', '--disable-background-networking', '--force-color-profile=srgb',
                     '--user-data-dir=' + self.directory, 'about:blank']
        answer = self.ask('POST', '/session', {'capabilities': {'alwaysMatch': {
            'browserName': 'chrome',
            'goog:chromeOptions': {'binary': CHROMIUM, 'args': arguments},
            'goog:loggingPrefs': {'browser': 'ALL'},
        }}})
        self.session = '/session/' + answer['sessionId']

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {'Content-Type': 'application/json'}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                return json.load(answer)['value']
        except urllib.error.HTTPError as error:
            raise AssertionError(f'{method} {path}: {error.read().decode()[:500]}') from None

    def post(self, path, **body):
        return self.ask('POST', self.session + path, body)

    def cdp(self, command, **parameters):
        return self.post('/goog/cdp/execute', cmd=command, params=parameters)

    def get(self, url):
        self.post('/url', url=url)

    def script(self, text, *arguments):
        return self.post('/execute/sync', script=text, args=list(arguments))

    def said(self):
        """What stands in the console since the last time."""
        return [entry for entry in self.post('/se/log', type='browser')
                if not entry['message'].startswith('chrome://')]  # a page of the browser's own

    def source(self):
        return self.ask('GET', self.session + '/source')

    def scheme(self, name):
        self.cdp('Emulation.setEmulatedMedia', media='', features=[{'name': 'prefers-color-scheme', 'value': name}])

    def size(self, width, height, mobile=False, scale=1):
        self.cdp('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=scale,
                 mobile=mobile)

    def screenshot(self, path, width, height=None):
        """The whole page, or its upper part, as a small picture."""
        height = height or self.script('return document.documentElement.scrollHeight')
        answer = self.cdp('Page.captureScreenshot', format='png', captureBeyondViewport=True,
                          clip={'x': 0, 'y': 0, 'width': width, 'height': height, 'scale': 1})
        with open(path, 'wb') as file:
            file.write(png.with_palette(base64.b64decode(answer['data'])))

    def accessibility(self):
        """The nodes a screen reader meets, as (role, name)."""
        nodes = self.cdp('Accessibility.getFullAXTree')['nodes']
        return [(node.get('role', {}).get('value', ''), node.get('name', {}).get('value', ''))
                for node in nodes if not node.get('ignored')]

    def close(self):
        if hasattr(self, 'session'):
            with contextlib.suppress(OSError, AssertionError):
                self.ask('DELETE', self.session)
        self.driver.terminate()
        self.driver.wait(10)
        for _ in range(50):  # the browser may still be tidying up
            shutil.rmtree(self.directory, ignore_errors=True)
            if not os.path.exists(self.directory):
                break
            time.sleep(0.1)
