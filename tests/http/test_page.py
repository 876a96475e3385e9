#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The status page, as a reader meets it: the real program with real traffic, in a headless Chromium.

    tests/http/test_page.py [BUILD-DIRECTORY] [unittest's own arguments]
    tests/http/test_page.py [BUILD-DIRECTORY] --screenshots DIRECTORY [SECONDS]

Runs as root in a network and a mount namespace of its own. UDP46_BINARY, or the build directory (`build`), has the
program under test. The second form writes status-light.png, status-dark.png and status-phone.png of a relay that has
been busy for so many seconds.
"""

import contextlib
import html.parser
import os
import pathlib
import re
import shutil
import socket
import sys
import threading
import time
import unittest
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
if len(sys.argv) > 1 and os.path.isdir(sys.argv[1]) and sys.argv[1] != 'test':
    os.environ.setdefault('UDP46_BINARY', os.path.join(sys.argv.pop(1), 'udp46'))
os.environ.setdefault('UDP46_BINARY', str(HERE.parent.parent / 'build' / 'udp46'))
os.environ['UDP46_BINARY'] = os.path.abspath(os.environ['UDP46_BINARY'])
sys.path[:0] = [str(HERE), str(HERE.parent / 'world')]

import browser  # noqa: E402
import test_daemon  # noqa: E402
import world  # noqa: E402

CI = os.environ.get('CI') == 'true'
VOID = {'meta', 'link', 'br', 'hr', 'img', 'input'}


# --- what the page says, read without a browser ---

class Node:
    def __init__(self, tag, attributes=(), parent=None):
        self.tag, self.attributes, self.parent, self.children = tag, dict(attributes), parent, []

    def all(self, tag):
        for child in self.children:
            if isinstance(child, Node):
                if child.tag == tag:
                    yield child
                yield from child.all(tag)

    def first(self, tag):
        return next(self.all(tag), None)

    @property
    def text(self):
        return ''.join(child if isinstance(child, str) else child.text for child in self.children)

    @property
    def values(self):
        """The exact numbers in it."""
        return [int(node.attributes['value']) for node in self.all('data')]

    def find(self, identity):
        return next(node for tag in ('h2', 'dd', 'dl') for node in self.all(tag)
                    if node.attributes.get('id') == identity)


class Document(html.parser.HTMLParser):
    """A strict reading: every element is closed in its turn, nothing stands outside."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.root = self.here = Node('')
        self.problems = []
        self.feed(text)
        self.close()
        if self.here is not self.root:
            self.problems.append(f'<{self.here.tag}> is never closed')

    def handle_starttag(self, tag, attrs):
        if len(attrs) != len(dict(attrs)):
            self.problems.append(f'<{tag}> has an attribute twice: {attrs}')
        node = Node(tag, attrs, self.here)
        self.here.children.append(node)
        if tag not in VOID:
            self.here = node

    def handle_startendtag(self, tag, attrs):
        self.here.children.append(Node(tag, attrs, self.here))

    def handle_endtag(self, tag):
        if tag != self.here.tag:
            self.problems.append(f'</{tag}> closes <{self.here.tag}>')
        if self.here.parent:
            self.here = self.here.parent

    def handle_data(self, data):
        if not self.here.parent and data.strip():
            self.problems.append(f'text outside: {data!r}')
        self.here.children.append(data)


class Page(Document):
    @property
    def verdict(self):
        return self.root.first('h1').text

    def rows(self, title):
        """A section's table as [{column: cell}]; a row's head is under its own column."""
        section = next((s for s in self.root.all('section') if s.first('h2').text == title))
        table = section.first('table')
        if table is None:
            return []
        names = [th.text for th in table.first('thead').all('th')]
        rows = []
        for tr in table.first('tbody').all('tr'):
            cells = [node for node in tr.children if isinstance(node, Node)]
            if [names[0]] + [cell.attributes['data-label'] for cell in cells[1:]] != names:
                raise AssertionError('a row has other columns than its table')
            rows.append(dict(zip(names, cells, strict=True)))
        return rows


def fetch(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=20) as answer:
        return answer.headers, answer.read().decode()


class Metrics:
    def __init__(self, text):
        self.series = []
        for line in text.splitlines():
            if found := re.fullmatch(r'(\w+)(?:\{(.*)\})? (\S+)', line):
                labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[2] or ''))
                self.series.append((found[1], labels, float(found[3])))

    def sum(self, metric, without=(), /, **labels):
        values = [value for have, series, value in self.series if have == metric and labels.items() <= series.items()
                  and not any(series.get(k) == v for k, v in without)]
        if not values:
            raise AssertionError(f'there is no {metric} {labels}')
        return sum(values)


# --- colours ---

def luminance(rgb):
    parts = [c / 255 for c in rgb]
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# Every element that has text of its own, with its colour and the colour of the ground that it stands on.
COLOURS = '''
const rgb = c => c.match(/[\\d.]+/g).map(Number);
const found = {};
for (const e of document.body.querySelectorAll('*')) {
    if (e.closest('svg') || ![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    let ground = e;
    while (ground && (rgb(getComputedStyle(ground).backgroundColor)[3] ?? 1) === 0) ground = ground.parentElement;
    ground ??= document.documentElement;
    const key = getComputedStyle(e).color + ' on ' + getComputedStyle(ground).backgroundColor;
    found[key] ??= e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 40);
}
return found;
'''


class TestCase(test_daemon.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = browser.Browser()
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        super().setUp()
        self.browser.scheme('light')
        self.browser.size(1200, 900)

    def serve(self, upstream, *arguments, **kwargs):
        """A relay with HTTP. Its port is where clients come in."""
        self.http = f'http://127.0.0.1:{browser.free_port()}'
        _, port = self.relay(upstream, '--metrics.enabled', '--metrics.listen', self.http.removeprefix('http://'),
                             *arguments, **kwargs)
        return port

    def page(self):
        headers, text = fetch(self.http + '/')
        page = Page(text)
        page.headers = headers
        self.assertEqual(page.problems, [])
        return page

    def look(self, path='/'):
        """Loads the page in the browser, which has nothing to complain of."""
        self.browser.get(self.http + path)
        self.assertEqual(self.browser.said(), [])

    def metrics(self):
        return Metrics(fetch(self.http + '/metrics')[1])

    def speak(self, port, n=3, size=100, address='127.0.0.1'):
        client = self.client(port, address)
        for i in range(n):
            self.ask(client, bytes([i % 256]) * size)
        return client

    def settle(self, name='udp46_received_total'):
        """Waits until nothing is counted any more."""
        before = -1
        while (now := self.metrics().sum(name)) != before:
            before = now
            time.sleep(0.1)

    def busy(self, *arguments, **kwargs):
        """A relay that has forwarded, replied, and dropped what was too large; answered by one upstream."""
        upstream = self.upstream()
        port = self.serve(upstream, '--read-buffer-size', '500', *arguments, **kwargs)
        for i in range(12):
            self.speak(port, n=i + 1, size=10 * i + 10)
        large = self.client(port)
        for _ in range(7):
            large.send(bytes(501))
        self.settle()
        return upstream, port


class Verdicts(TestCase):
    """The answer at the top, and that it claims no more than is known."""

    def test_waiting_for_the_first_datagram(self):
        upstream = self.upstream()
        self.serve(upstream)
        page = self.page()
        self.assertEqual(page.verdict, f'Waiting: for the first datagram from a client to {upstream.name}.')
        self.assertEqual(page.root.find('last-reply').text, 'never')
        self.assertEqual(page.rows('Busiest sessions'), [])
        self.assertEqual(page.rows('Drops'), [])
        self.look()

    def test_answered(self):
        upstream = self.upstream()
        port = self.serve(upstream)
        self.speak(port)
        self.assertRegex(self.page().verdict, rf'^Yes: {re.escape(upstream.name)} answered (just now|\d+ s ago)\.$')

    def test_no_answer_yet(self):
        upstream = self.upstream(answer=lambda data: None)
        port = self.serve(upstream)
        client = self.client(port)
        for _ in range(4):
            client.send(b'hello?')
        self.settle()
        page = self.page()
        self.assertEqual(page.verdict,
                         f'No answer yet: 4 datagrams went to {upstream.name}, and nothing has come back.')
        self.assertEqual(page.rows('Upstream')[0]['Last reply'].text, 'never')

    def test_losses_are_told_with_the_answer(self):
        upstream, _ = self.busy()
        self.assertRegex(self.page().verdict,
                         rf'^Partly: {re.escape(upstream.name)} answered (just now|\d+ s ago), but 7 '
                         r'datagrams were dropped in the last .*, as oversize \(larger than MaxDatagramSize=\)\.$')

    def test_full_table(self):
        upstream = self.upstream()
        port = self.serve(upstream, '--max-sessions', '3')
        for _ in range(3):
            self.speak(port)
        page = self.page()
        self.assertRegex(page.verdict, r'^Partly: .* but all 3 sessions are taken, new clients only get one where another makes way\.$')
        self.client(port).send(b'one more')
        test_daemon.wait_until(lambda: self.metrics().sum('udp46_verdicts_total', verdict='table_full') == 1)
        page = self.page()
        self.assertIn('1 datagram was dropped', page.root.first('main').text)
        row = page.rows('Drops')[0]
        self.assertIn('Look for forged clients first', row['What to do'].text)

    def test_unknown_name(self):
        self.http = f'http://127.0.0.1:{browser.free_port()}'
        port = test_daemon.next_port()
        daemon = self.start('--listen', f'127.0.0.1:{port}', '--upstream', 'nowhere.test:51820', '--metrics.enabled',
                            '--metrics.listen', self.http.removeprefix('http://'), config='')
        daemon.wait_line('upstream not resolved', 15)
        daemon.wait_line('<6>starting udp46 ', 15)
        self.client(port).send(b'hello?')
        self.settle()
        page = self.page()
        self.assertRegex(page.verdict, r'^No: the address of nowhere\.test:51820 is not known: \S.*\.$')
        upstream = page.rows('Upstream')[0]
        self.assertEqual(upstream['Upstream'].text, 'nowhere.test:51820no address yet')
        self.assertNotEqual(upstream['Last error'].text, 'none')
        metrics = self.metrics()
        self.assertGreaterEqual(metrics.sum('udp46_dns_resolve_errors_total'), upstream['Questions'].values[1])
        self.assertEqual(page.rows('Drops')[0]['Reason'].text, 'upstream_unresolved')
        self.look()

    def test_kernel_drops(self):
        upstream = self.upstream()
        sock = self.udp()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        port = sock.getsockname()[1]
        self.http = f'http://127.0.0.1:{browser.free_port()}'
        client = self.client(port)
        for _ in range(50):  # before there is anybody to read them
            client.send(bytes(500))
        daemon = self.start('--upstream', upstream.name, '--metrics.enabled', '--metrics.listen',
                            self.http.removeprefix('http://'), config='', fds=[sock], names='relay')
        daemon.wait_line('<6>starting udp46 ')
        self.settle()
        page, metrics = self.page(), self.metrics()
        lost = metrics.sum('udp46_listener_kernel_drops_total')
        self.assertGreater(lost, 0)
        self.assertEqual(page.rows('Listeners')[0]['Kernel drops'].values, [lost])
        self.assertEqual(page.root.find('dropped').values, [0, lost])
        row = page.rows('Drops')[0]
        self.assertEqual((row['Reason'].text, row['Datagrams'].values), ('kernel', [lost]))
        # They are older than the program: not of the last minutes.
        self.assertIn('none in the last', row['Lately'].text)
        self.assertRegex(page.verdict, '^Yes: ')


class Numbers(TestCase):
    def compare(self, page, metrics):
        listener = page.rows('Listeners')[0]
        address = listener['Listener'].first('small').text
        for column, direction in (('Forward', 'client_to_upstream'), ('Reply', 'upstream_to_client')):
            self.assertEqual(listener[column].values,
                             [metrics.sum('udp46_datagrams_total', listener=address, direction=direction),
                              metrics.sum('udp46_bytes_total', listener=address, direction=direction)])
        forwarded = [('verdict', 'forwarded')]
        self.assertEqual(listener['Dropped'].values,
                         [metrics.sum('udp46_verdicts_total', forwarded, listener=address)])
        self.assertEqual(listener['Kernel drops'].values,
                         [metrics.sum('udp46_listener_kernel_drops_total', listener=address)])
        self.assertEqual(listener['Sessions'].values, [metrics.sum('udp46_sessions', name='relay'),
                                                       metrics.sum('udp46_sessions', name='relay', state='unreplied')])
        self.assertEqual(listener['Peak'].values, [metrics.sum('udp46_name_sessions_peak', name='relay')])
        self.assertEqual(listener['Limit'].values, [metrics.sum('udp46_name_sessions_limit', name='relay')])
        self.assertEqual(page.root.find('sessions').values,
                         [metrics.sum('udp46_sessions_active'), metrics.sum('udp46_sessions_peak'),
                          metrics.sum('udp46_sessions_limit')])
        self.assertEqual(page.root.find('dropped').values,
                         [metrics.sum('udp46_verdicts_total', forwarded),
                          metrics.sum('udp46_listener_kernel_drops_total')])
        shown = {(row['Direction'].text, row['Reason'].text): row['Datagrams'].values[0] for row in page.rows('Drops')}
        counted = {({'client_to_upstream': 'forward'}.get(labels['direction'], 'reply'), labels['verdict']): value
                   for name, labels, value in metrics.series
                   if name == 'udp46_verdicts_total' and labels['verdict'] != 'forwarded' and value > 0}
        self.assertEqual(shown, counted)
        upstream = page.rows('Upstream')[0]
        self.assertEqual(upstream['Questions'].values, [metrics.sum('udp46_upstream_resolves_total', name='relay'),
                                                        metrics.sum('udp46_dns_resolve_errors_total')])
        facts = {div.first('dt').text: div.first('dd') for dl in page.root.all('dl') for div in dl.all('div')}
        for what, name in (('Sessions opened', 'udp46_sessions_created_total'),
                           ('ICMP errors heard', 'udp46_icmp_errors_total'),
                           ('Journal entries lost', 'udp46_log_records_lost_total')):
            self.assertEqual(facts[what].values, [metrics.sum(name)], what)

    def test_they_are_those_of_the_metrics(self):
        self.busy()
        before, page, after = self.metrics(), self.page(), self.metrics()
        self.compare(page, before)
        self.compare(page, after)
        self.assertEqual(before.sum('udp46_verdicts_total', verdict='oversize'), 7)
        self.assertEqual(page.rows('Drops')[0]['Lately'].values, [7])

    def test_top_sessions(self):
        _, port = self.busy('--http-session-labels=yes')
        for i in range(20):
            self.speak(port, n=1, size=20 * i + 1)
        self.settle()
        page, metrics = self.page(), self.metrics()
        rows = page.rows('Busiest sessions')
        self.assertEqual(len(rows), 10)
        total = []
        for row in rows:
            session = row['Client'].parent.attributes['id']
            for column, direction in (('Forward', 'client_to_upstream'), ('Reply', 'upstream_to_client')):
                self.assertEqual(row[column].values, [metrics.sum('udp46_session_' + what, session_id=session,
                                                                  direction=direction)
                                                      for what in ('packets_total', 'bytes_total')])
            total.append(row['Forward'].values[1] + row['Reply'].values[1])
        everyone = {}
        for name, labels, value in metrics.series:
            if name == 'udp46_session_bytes_total':
                everyone[labels['session_id']] = everyone.get(labels['session_id'], 0) + value
        self.assertEqual(total, sorted(everyone.values(), reverse=True)[:10])

    def test_several_listeners(self):
        one, two = self.upstream(), self.upstream(answer=lambda data: None)
        socks = [self.udp() for _ in range(3)]
        ports = [sock.getsockname()[1] for sock in socks]
        self.http = f'http://127.0.0.1:{browser.free_port()}'
        daemon = self.start('--metrics.enabled', '--metrics.listen', self.http.removeprefix('http://'), fds=socks,
                            names='relay:office:relay',
                            config=f'[Relay]\nUpstream={one.name}\n[Relay office]\nUpstream={two.name}\n')
        daemon.wait_line('<6>starting udp46 ')
        self.speak(ports[0], 2)
        self.speak(ports[2], 5)
        self.client(ports[1]).send(b'hello?')
        self.settle()
        page, metrics = self.page(), self.metrics()
        self.assertRegex(page.verdict, '^No answer yet: on office, 1 datagram went to ')
        self.assertRegex(page.root.first('ul').text, r'^relay: Yes: .* answered .*\.$')
        for row in page.rows('Listeners'):
            address = row['Listener'].first('small').text
            self.assertEqual(row['Forward'].values[0], metrics.sum('udp46_datagrams_total', listener=address,
                                                                   direction='client_to_upstream'))
            if row['Sessions'].text != 'shared':
                name = row['Listener'].text.removesuffix(address)
                self.assertEqual(row['Sessions'].values[0], metrics.sum('udp46_sessions', name=name))
        self.assertEqual([row['Sessions'].text == 'shared' for row in page.rows('Listeners')], [False, False, True])
        self.look()

    def test_several_upstreams(self):
        """Which of them is drained, down, chosen; one alone is told without that table."""
        one, two, three = self.upstream(), self.upstream(), self.upstream()
        os.mkdir('/run/udp46')
        self.addCleanup(shutil.rmtree, '/run/udp46')
        with open('/run/udp46/drained', 'w', encoding='ascii') as file:
            file.write(one.name + '\n')
        self.serve(three)
        self.assertNotIn('Several upstreams', self.page().root.text)
        port = self.serve(one, '--upstream', two.name, '--upstream', three.name)
        self.speak(port)
        test_daemon.wait_until(lambda: self.page().rows('Several upstreams')[1]['State'].text == 'up, chosen')
        rows = self.page().rows('Several upstreams')
        self.assertEqual([row['Upstream'].text for row in rows], [one.name, two.name, three.name])
        self.assertEqual([row['State'].text for row in rows], ['unknown, drained', 'up, chosen', 'unknown'])
        self.assertEqual([row['Sessions'].values for row in rows], [[0], [1], [0]])
        metrics = self.metrics()
        for row in rows:
            self.assertEqual(row['Sessions'].values[0], metrics.sum('udp46_upstream_sessions', upstream=row['Upstream'].text))
            self.assertEqual('drained' in row['State'].text,
                             metrics.sum('udp46_upstream_drained', upstream=row['Upstream'].text) == 1)
        for width in 1200, 390:
            self.browser.size(width, 844, mobile=width < 500)
            self.look()
            self.assertLessEqual(self.browser.script('return document.documentElement.scrollWidth'), width)


class Reading(TestCase):
    """In the browser."""

    def test_structure(self):
        self.busy()
        self.look()
        js = self.browser.script
        self.assertEqual(js('return document.title'), 'udp46: Partly')
        self.assertEqual(js('return document.documentElement.lang'), 'en')
        self.assertEqual(js('return document.compatMode'), 'CSS1Compat')
        self.assertEqual(js('return [...document.querySelectorAll("h1,h2")].map(e => e.tagName).join(" ")'),
                         'H1 ' + ' '.join(['H2'] * 6))
        self.assertEqual(js('return document.querySelectorAll("main").length'), 1)
        self.assertEqual(js('return document.querySelectorAll("table").length'), 4)
        self.assertEqual(js('return [...document.querySelectorAll("caption")].filter(c => c.innerText).length'), 4)
        self.assertEqual(js('return [...document.querySelectorAll("th")].filter(t => !t.scope).length'), 0)
        # Some browsers need the roles where parts of a table are laid out otherwise; this one does not.
        parts = ':is(table,thead,tbody,tr,th,td)'
        self.assertEqual(js(f'return document.querySelectorAll("{parts}:not([role])").length'), 0)
        self.assertEqual(js('return document.querySelectorAll("script,[style],link,iframe,img").length'), 0)
        self.assertEqual(js('return performance.getEntriesByType("resource").map(e => e.name)'), [])

    def test_policy_holds(self):
        self.busy()
        self.look()
        policy = self.page().headers['Content-Security-Policy']
        self.assertRegex(policy, r"^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; base-uri 'none'; "
                                 r"form-action 'none'; frame-ancestors 'none'$")
        # The sheet that is in force is ours; one that is not is refused, and so is a script.
        self.assertNotEqual(self.browser.script('return getComputedStyle(document.body).backgroundColor'),
                            'rgba(0, 0, 0, 0)')
        self.browser.script('''const s = document.createElement('style');
            s.textContent = 'body{background:rgb(1,2,3)!important}'; document.head.append(s);
            const j = document.createElement('script'); j.textContent = 'window.ran = 1'; document.head.append(j);''')
        self.assertIsNone(self.browser.script('return window.ran ?? null'))
        self.assertNotEqual(self.browser.script('return getComputedStyle(document.body).backgroundColor'),
                            'rgb(1, 2, 3)')
        self.assertEqual(len(self.browser.said()), 2)

    def test_accessible_names(self):
        self.busy()
        for width in (1200, 390):
            self.browser.size(width, 800, mobile=width < 500)
            self.look()
            nodes = self.browser.accessibility()
            roles = [role for role, _ in nodes]
            self.assertEqual(roles.count('table'), 4, width)
            self.assertEqual(roles.count('columnheader'), 6 + 8 + 6 + 7, width)
            self.assertGreaterEqual(roles.count('rowheader'), 1 + 1 + 1 + 10, width)
            self.assertGreaterEqual(roles.count('image'), 4, width)
            for role in ('image', 'table', 'link', 'heading', 'region', 'navigation', 'figure'):
                self.assertNotIn('', [name for have, name in nodes if have == role], (role, width))
            self.assertEqual(self.browser.script('return document.querySelectorAll("svg").length'),
                             roles.count('image'), width)

    def test_light_and_dark(self):
        self.busy()
        seen = {}
        for scheme in ('light', 'dark'):
            self.browser.scheme(scheme)
            self.look()
            seen[scheme] = self.browser.script(COLOURS)
            self.assertGreater(len(seen[scheme]), 3)
            for pair, where in seen[scheme].items():
                text, ground = ([float(n) for n in re.findall(r'[\d.]+', side)[:3]] for side in pair.split(' on '))
                self.assertGreaterEqual(contrast(text, ground), 4.5, f'{scheme}: {where}: {pair}')
        self.assertFalse(set(seen['light']) & set(seen['dark']))

    def test_every_tone_can_be_read(self):
        """All levels of the verdict, whether or not they occur here."""
        self.serve(self.upstream())
        for scheme in ('light', 'dark'):
            self.browser.scheme(scheme)
            for level in ('good', 'waiting', 'doubtful', 'bad'):
                self.look()
                self.browser.script(f'document.querySelector(".verdict").className = "verdict {level}"')
                for pair, where in self.browser.script(COLOURS).items():
                    text, ground = ([float(n) for n in re.findall(r'[\d.]+', side)[:3]] for side in pair.split(' on '))
                    self.assertGreaterEqual(contrast(text, ground), 4.5, f'{scheme}: {where}: {pair}')

    def test_phone(self):
        self.busy()
        for width in (390, 320):
            self.browser.size(width, 844, mobile=True)
            self.look()
            self.assertEqual(self.browser.script('return innerWidth'), width)
            self.assertLessEqual(self.browser.script('return document.documentElement.scrollWidth'), width)
            cut = self.browser.script('''return [...document.querySelectorAll('main *')].filter(
                e => !e.closest('svg,thead') && e.getBoundingClientRect().right > innerWidth + 0.5
            ).map(e => e.outerHTML.slice(0, 80))''')
            self.assertEqual(cut, [])

    def test_long_names_stay_inside(self):
        name = 'x' * 60 + '.' + 'y' * 60 + '.' + 'z' * 60 + '.test'
        with open('/etc/hosts', 'a', encoding='ascii') as file:
            file.write(f'::1 {name}\n')
        self.addCleanup(self.restore_hosts)
        upstream = self.upstream()
        upstream.name = f'{name}:{upstream.port}'
        self.speak(self.serve(upstream))
        for width in (1200, 390):
            self.browser.size(width, 844, mobile=width < 500)
            self.look()
            self.assertIn(name, self.browser.script('return document.querySelector("h1").textContent'))
            self.assertLessEqual(self.browser.script('return document.documentElement.scrollWidth'), width)

    @staticmethod
    def restore_hosts():
        with open('/etc/hosts', 'w', encoding='ascii') as file:
            file.write('127.0.0.1 localhost\n::1 localhost\n')

    def test_refresh_only_when_asked_for(self):
        self.serve(self.upstream())
        refresh = 'return document.querySelector("meta[http-equiv=refresh]")?.content ?? null'
        self.look()
        self.assertIsNone(self.browser.script(refresh))
        for seconds in '15', '60':
            self.look('/?refresh=' + seconds)
            self.assertEqual(self.browser.script(refresh), seconds)


class Secrets(TestCase):
    def test_clients_are_masked_over_tcp(self):
        upstream = self.upstream()
        port = self.serve(upstream, '--http-show-clients=no')
        client = self.speak(port, address='127.5.6.7')
        host, source = client.getsockname()
        page = self.page()
        row = page.rows('Busiest sessions')[0]
        self.assertEqual(row['Client'].text.split('to ')[0], '127.5.x.x:x')
        _, text = fetch(self.http + '/')
        self.assertNotIn(host, text)
        self.assertNotIn(str(source), text)
        self.assertNotIn(str(upstream.received[0][1]), text)  # nor the leg, which may carry the client's address

    def test_clients_are_shown_when_allowed(self):
        upstream = self.upstream()
        port = self.serve(upstream, '--http-show-clients=yes')
        client = self.speak(port, address='127.5.6.7')
        row = self.page().rows('Busiest sessions')[0]
        self.assertEqual(row['Client'].text.split('to ')[0], '127.5.6.7:%d' % client.getsockname()[1])
        self.assertIn(f'[::1]:{upstream.received[0][1]}', row['Client'].text)
        self.look()

    def test_names_are_text(self):
        bad = '''<b onmouseover=alert(1)>"&amp;'</b>'''
        upstream = self.upstream()
        sock = self.udp()
        self.http = f'http://127.0.0.1:{browser.free_port()}'
        daemon = self.start('--metrics.enabled', '--metrics.listen', self.http.removeprefix('http://'), fds=[sock],
                            names=bad, config=f'[Relay {bad}]\nUpstream={upstream.name}\n')
        daemon.wait_line('<6>starting udp46 ')
        self.speak(sock.getsockname()[1])
        page = self.page()
        self.assertTrue(page.rows('Listeners')[0]['Listener'].text.startswith(bad))
        self.assertEqual(page.rows('Upstream')[0]['Listeners'].text, bad)
        self.look()
        self.assertEqual(self.browser.script('return document.querySelectorAll("[onmouseover]").length'), 0)
        self.assertEqual(self.browser.script('return document.querySelector("tbody td").textContent'), bad)

    def test_upstreams_are_text(self):
        self.http = f'http://127.0.0.1:{browser.free_port()}'
        port = test_daemon.next_port()
        daemon = self.start('--listen', f'127.0.0.1:{port}', '--upstream', '[fe80::1%<i>&"x]:51820',
                            '--metrics.enabled', '--metrics.listen', self.http.removeprefix('http://'), config='')
        with contextlib.suppress(AssertionError):
            daemon.wait_line('<6>starting udp46 ', 15)
        if daemon.ended():
            self.assertIn('zone', daemon.err)  # refused: there is nothing to escape
            return
        page = self.page()
        self.assertIn('[fe80::1%<i>&"x]:51820', page.verdict)
        self.assertIn('[fe80::1%<i>&"x]:51820', page.rows('Upstream')[0]['Upstream'].text)
        self.look()
        self.assertEqual(self.browser.script('return document.querySelectorAll("i").length'), 0)


class Crowds(TestCase):
    def test_thousands_of_sessions(self):
        upstream = self.upstream()
        port = self.serve(upstream, '--max-sessions', '5000', '--client-limit-burst=0')
        socks = []
        for i in range(4000):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(sock.close)
            sock.connect(('127.0.0.1', port))
            sock.send(bytes(i % 50 + 1))
            socks.append(sock)
            if i % 200 == 199:
                time.sleep(0.02)
        self.settle()
        self.assertGreater(self.metrics().sum('udp46_sessions_active'), 3500)
        before = self.memory()
        began = time.monotonic()
        page = self.page()
        passed = time.monotonic() - began
        self.assertLess(passed, 1)
        self.assertEqual(len(page.rows('Busiest sessions')), 10)
        self.assertEqual(page.root.find('sessions').values[0], self.metrics().sum('udp46_sessions_active'))
        self.assertLess(self.memory() - before, 4 << 20)
        began = time.monotonic()
        self.look()
        self.assertLess(time.monotonic() - began, 2)

    def memory(self):
        return self.metrics().sum('process_resident_memory_bytes')


# --- screenshots ---

def screenshots(directory, seconds):
    world.add_addresses()
    with open('/etc/hosts', 'a', encoding='ascii') as file:
        file.write(f'{world.HOME} home.example\n')
    world.Home(world.HOME, 51820)
    world.Home(world.OFFICE, 51821)
    case = TestCase()
    TestCase.browser = browser.Browser()
    try:
        case.setUp()
        address = f'{world.LISTEN}:{browser.free_port()}'
        socks = [world.listener(51820), world.listener(51821)]
        daemon = case.start('--metrics.enabled', '--metrics.listen', address, config=world.CONFIG, fds=socks,
                            names='relay:office')
        daemon.wait_line('<6>starting udp46 ')
        threading.Thread(target=world.talk, args=(seconds + 60,), daemon=True).start()
        time.sleep(seconds)
        for name, scheme, width, height in (('light', 'light', 1200, None), ('dark', 'dark', 1200, None),
                                            ('phone', 'light', 390, 1500)):
            case.browser.scheme(scheme)
            case.browser.size(width, 900, mobile=width < 500)
            case.browser.get(f'http://{address}/')
            case.browser.screenshot(os.path.join(directory, f'status-{name}.png'), width, height)
    finally:
        TestCase.browser.close()
        case.doCleanups()


def missing():
    if os.geteuid() != 0:
        return 'needs root, for namespaces of its own'
    return browser.absent()


def main():
    if not os.access(test_daemon.BINARY, os.X_OK):
        sys.exit('UDP46_BINARY, or the first argument, must say where the program to test is')
    if why := missing():
        print(f'skipped: {why}')
        sys.exit(1 if CI else 77)
    if test_daemon.INSIDE not in os.environ:
        os.environ[test_daemon.INSIDE] = '1'
        os.execvp('unshare', ['unshare', '--net', '--mount', '--propagation', 'private', '/usr/bin/python3',
                              str(HERE / 'test_page.py'), *sys.argv[1:]])
    test_daemon.subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
    test_daemon.private_files()
    if '--screenshots' in sys.argv:
        at = sys.argv.index('--screenshots')
        screenshots(os.path.abspath(sys.argv[at + 1]), float(sys.argv[at + 2]) if len(sys.argv) > at + 2 else 310)
        return
    unittest.main(verbosity=2 if '-v' in sys.argv else 1)


if __name__ == '__main__':
    main()
