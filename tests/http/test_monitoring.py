#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""docs/monitoring against the real thing: Debian's prometheus scrapes the real daemon, and evaluates every expression.

Runs as root in a network and a mount namespace of its own, as tests/world/test_daemon.py does. UDP46_BINARY is the program
under test. One Prometheus watches three relays: `well` carries traffic, `broken` has an upstream whose name leads nowhere,
and to `flooded` comes one address with more sessions than it may open; the dashboard shows the first two.
Exit status 77: not allowed here. With CI=true nothing is skipped.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(TOP / 'tests/world'), str(TOP / 'tests/http')]
import promql  # noqa: E402
import test_daemon as world  # noqa: E402

DASHBOARD = TOP / 'docs/monitoring/udp46-dashboard.json'
ALERTS = TOP / 'docs/monitoring/udp46-alerts.yml'
EXAMPLE = TOP / 'docs/monitoring/prometheus.yml'
ALERTS_TEST = TOP / 'tests/http/alerts-test.yml'
SEVERITIES = {'critical', 'warning', 'info'}
PANEL_TYPES = {'row', 'stat', 'timeseries', 'heatmap', 'table'}  # they come with Grafana itself
# What Grafana puts in place of its variables.
VARIABLES = {'$__rate_interval': '15s', '$__range': '1m', '$instance': 'well|broken', '$listener': '.+'}


def promtool(*arguments):
    ran = subprocess.run(['promtool', *map(str, arguments)], capture_output=True, text=True, timeout=60)
    return ran.returncode, ran.stdout + ran.stderr


def filled(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


class Prometheus:
    """A real one, with a directory of its own."""

    def __init__(self, directory, config):
        self.directory = directory
        self.port = world.next_port()
        config_path = os.path.join(directory, 'prometheus.yml')
        with open(config_path, 'w', encoding='ascii') as file:
            file.write(config)
        self.log = open(os.path.join(directory, 'log'), 'w+', encoding='utf-8')
        self.process = subprocess.Popen(
            ['prometheus', f'--config.file={config_path}', f'--web.listen-address=127.0.0.1:{self.port}',
             f'--storage.tsdb.path={directory}/data', '--storage.tsdb.retention.time=1h', '--log.level=warn'],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, cwd=directory)

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f'prometheus ended: {self.said()}')
        with contextlib.suppress(OSError), urllib.request.urlopen(f'http://127.0.0.1:{self.port}/-/ready', timeout=5):
            return True

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def ask(self, path, **query):
        """The data of an answer, or AssertionError with what is wrong."""
        url = f'http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query, doseq=True)}'
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                said = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)['error']) from None
        if said['status'] != 'success':
            raise AssertionError(said)
        return said['data']

    def query(self, expression):
        """[(labels, value), …]"""
        data = self.ask('query', query=expression)
        if data['resultType'] == 'scalar':
            return [({}, float(data['result'][1]))]
        return [(series['metric'], float(series['value'][1])) for series in data['result']]

    def alerts(self, state):
        """{(alert, instance), …}"""
        return {(alert['labels']['alertname'], alert['labels'].get('instance'))
                for alert in self.ask('alerts')['alerts'] if alert['state'] == state}

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Traffic:
    """A client that asks all the time, and others that ask once."""

    def __init__(self, port):
        self.port = port
        self.ended = False
        self.steady = world.udp()
        self.steady.settimeout(0.05)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended:
            other = world.udp()
            other.settimeout(0.05)
            for sock in self.steady, other:
                with contextlib.suppress(OSError):
                    sock.sendto(b'x' * 100, ('127.0.0.1', self.port))
                    sock.recv(1000)
            for _ in range(4):  # more than --read-buffer-size
                with contextlib.suppress(OSError):
                    self.steady.sendto(b'x' * 2000, ('127.0.0.1', self.port))
            other.close()
            time.sleep(0.1)

    def close(self):
        self.ended = True
        self.thread.join()
        self.steady.close()


class Monitoring(unittest.TestCase):
    """With everything running; started once for all tests."""

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix='udp46-test-')
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.upstream = world.Upstream()
        cls.addClassCleanup(cls.upstream.close)
        cls.well, listener, well_http = cls.relay(cls.upstream.name)
        cls.broken, broken_listener, broken_http = cls.relay('nowhere.example.net:51820')
        cls.flooded, flooded_listener, flooded_http = cls.relay(cls.upstream.name, '--client-limit-burst', '1')
        for port in listener, broken_listener, flooded_listener:
            traffic = Traffic(port)
            cls.addClassCleanup(traffic.close)
        cls.listener = f'127.0.0.1:{listener}'
        # The rules as they are, but for their patience.
        rules = re.sub(r'^( +for:) .*$', r'\1 2s', ALERTS.read_text().replace('[5m]', '[15s]'), flags=re.M)
        with open(os.path.join(cls.directory, 'rules.yml'), 'w', encoding='ascii') as file:
            file.write(rules)
        targets = ''.join(f'''
      - targets: ["127.0.0.1:{port}"]
        labels:
          instance: {name}''' for name, port in (('well', well_http), ('broken', broken_http),
                                               ('flooded', flooded_http)))
        cls.prometheus = Prometheus(cls.directory, f'''global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
rule_files: [rules.yml]
scrape_configs:
  - job_name: udp46
    static_configs:{targets}
''')
        cls.addClassCleanup(cls.prometheus.close)
        world.wait_until(cls.prometheus.ready, 20, 'the start of prometheus')
        with urllib.request.urlopen(f'http://127.0.0.1:{well_http}/metrics', timeout=5) as answer:
            cls.scraped = cls.parse(answer.read().decode())
        # Rates need two scrapes with something between them, histograms a session that has been closed.
        for moves in ('udp46_session_duration_seconds_count{instance="well"}', 'udp46_received_total{instance="broken"}',
                      'udp46_verdicts_total{instance="broken", verdict="oversize"}'):
            world.wait_until(lambda: any(value > 0 for _, value in cls.prometheus.query(f'rate({moves}[15s])')), 20, moves)

    @classmethod
    def relay(cls, upstream, *arguments):
        """A daemon, the port it relays from, and the one of its metrics."""
        port, http = world.next_port(), world.next_port()
        daemon = world.Daemon(('--config', '/dev/null', '--listen', f'127.0.0.1:{port}', '--upstream', upstream,
                               '--session-timeout', '1s', '--read-buffer-size', '1500', '--log-level', 'warn',
                               '--metrics.enabled', '--metrics.listen', f'127.0.0.1:{http}', *arguments))
        cls.addClassCleanup(daemon.kill)

        def answers():
            if daemon.ended():
                raise AssertionError(f'the relay ended: {daemon.err}')
            with contextlib.suppress(OSError), urllib.request.urlopen(f'http://127.0.0.1:{http}/metrics', timeout=5):
                return True
        world.wait_until(answers, 10, 'the first answer of /metrics')
        return daemon, port, http

    @staticmethod
    def parse(text):
        """{metric: {label: {value, …}}}, of what /metrics says"""
        found = {}
        for line in text.splitlines():
            if line.startswith('#'):
                continue
            name, labels = re.match(r'(\w+)(?:\{(.*)\})? \S+$', line).groups()
            series = found.setdefault(name, {})
            for label, value in re.findall(r'(\w+)="((?:\\.|[^"\\])*)"', labels or ''):
                series.setdefault(label, set()).add(value)
        return found

    # --- everything that docs/monitoring asks ---

    def expressions(self):
        """[(where it stands, expression), …]"""
        return ([(panel['title'], target['expr']) for panel, target in promql.targets(DASHBOARD.read_text())]
                + [(alert, rule['expr']) for alert, rule in promql.alerts(ALERTS.read_text()).items()])

    def test_targets_are_up(self):
        self.assertEqual(sorted((labels['instance'], labels['job'], value) for labels, value in self.prometheus.query('up')),
                         [('broken', 'udp46', 1), ('flooded', 'udp46', 1), ('well', 'udp46', 1)])
        for target in self.prometheus.ask('targets')['activeTargets']:
            self.assertEqual((target['health'], target['lastError']), ('up', ''))

    def test_no_unknown_metric(self):
        self.assertGreaterEqual(len(self.scraped), 48)
        for where, expression in self.expressions():
            with self.subTest(where):
                named = set(promql.names(expression)[0])
                self.assertTrue(named)
                self.assertEqual(named - set(self.scraped) - {'up'}, set())

    def test_all_metrics_are_shown(self):
        """Nothing the relay counts is without a panel, but for what is shown in another form."""
        shown = set().union(*(promql.names(target['expr'])[0] for _, target in promql.targets(DASHBOARD.read_text())))
        families = {re.sub(r'_(bucket|sum|count)$', '', name) for name in self.scraped}
        self.assertEqual(families - {re.sub(r'_bucket$', '', name) for name in shown},
                         {'udp46_listeners',  # so many as there are lines in the panels
                          'udp46_listener_info',  # for joins
                          'udp46_dns_resolve_errors_total',  # the sum of udp46_upstream_resolve_errors_total
                          'udp46_errors_total',  # the same as udp46_icmp_errors_total
                          'udp46_sessions_expired_total'})  # a part of udp46_sessions_closed_total

    def test_labels_and_their_values_exist(self):
        added = {'job': {'udp46'}, 'instance': {'well', 'broken'}}
        for where, expression in self.expressions():
            metrics, operators = promql.names(filled(expression))
            with self.subTest(where):
                known = set(added).union(*(self.scraped.get(metric, {}) for metric in metrics))
                self.assertEqual(operators - known, set())
                for metric, matchers in metrics.items():
                    for label, operator, value in matchers:
                        values = {**added, **self.scraped.get(metric, {})}.get(label)
                        self.assertIsNotNone(values, f'{metric} has no label {label}')
                        if value != '.+':
                            words = set(value.split('|')) if '~' in operator else {value}
                            self.assertEqual(words - values, set(), f'{metric}, {label}')

    def test_prometheus_takes_every_expression(self):
        for where, expression in self.expressions():
            with self.subTest(where):
                self.prometheus.query(filled(expression))

    def test_every_panel_shows_something(self):
        for panel, target in promql.targets(DASHBOARD.read_text()):
            with self.subTest(panel['title'], expression=target['expr']):
                found = self.prometheus.query(filled(target['expr']))
                self.assertTrue(found)
                if panel['title'] not in ('Trains in pieces', 'Gap of the last restart'):  # there were none
                    self.assertTrue(any(value == value for _, value in found), found)
                legend = set(re.findall(r'\{\{(\w+)\}\}', target.get('legendFormat', '')))
                for labels, _ in found:
                    self.assertEqual(legend - set(labels), set())
                series = [tuple(sorted((name, labels[name]) for name in legend)) for labels, _ in found]
                if target.get('format') != 'table':
                    self.assertEqual(len(series), len(set(series)), 'two lines of one name')

    def test_values_are_right(self):
        """What the panels say of the two relays is so."""
        by_title = {}
        for panel, target in promql.targets(DASHBOARD.read_text()):
            by_title.setdefault(panel['title'], []).append(target['expr'])

        def value(title, i=0, **labels):
            found = [v for named, v in self.prometheus.query(filled(by_title[title][i]))
                     if all(named.get(label) == word for label, word in labels.items())]
            self.assertEqual(len(found), 1, (title, labels, found))
            return found[0]

        self.assertEqual(value('Upstream has an address', instance='well'), 1)
        self.assertEqual(value('Upstream has an address', instance='broken'), 0)
        self.assertEqual(value('Look-up fails', instance='broken'), 1)
        self.assertLess(value('Last reply', instance='well'), 3)
        self.assertNotEqual(value('Last reply', instance='broken'), value('Last reply', instance='broken'))  # NaN
        self.assertGreater(value('Dropped, by reason', verdict='upstream_unresolved'), 0)
        self.assertGreater(value('Dropped, by reason', verdict='oversize'), 0)
        self.assertEqual(value('Dropped, by reason', verdict='table_full'), 0)
        self.assertAlmostEqual(value('Dropped, of what was received', listener=self.listener,
                                     direction='client_to_upstream'), 4 / 6, delta=0.15)
        self.assertAlmostEqual(value('Mean size of a datagram', listener=self.listener,
                                     direction='upstream_to_client'), 100, delta=1)
        self.assertLess(value('Runs for', instance='well'), 300)
        self.assertLess(value('How long sessions lasted', 1), 5)
        self.assertEqual(value('Processor', 1, instance='well'), 1)

    def test_variables(self):
        variables = {v['name']: v for v in json.loads(DASHBOARD.read_text())['templating']['list']}
        self.assertEqual(set(variables), {'datasource', 'instance', 'listener'})
        self.assertEqual((variables['datasource']['type'], variables['datasource']['query']), ('datasource', 'prometheus'))
        for name, expected in (('instance', {'well', 'broken'}), ('listener', {self.listener})):
            query = variables[name]['query']['query']
            self.assertEqual(query, variables[name]['definition'])
            match, label = re.fullmatch(r'label_values\((.+), (\w+)\)', query).groups()
            values = self.prometheus.ask(f'label/{label}/values', **{'match[]': filled(match)})
            self.assertLessEqual(expected, set(values))

    # --- alerts, as they come ---

    def test_rules_are_the_ones_in_the_file(self):
        """Prometheus reads the same rules as promql.alerts() does, and names in them what promql.names() finds."""
        rules = {rule['name']: rule for group in self.prometheus.ask('rules')['groups'] for rule in group['rules']}
        ours = promql.alerts(ALERTS.read_text())
        self.assertEqual(set(rules), set(ours))
        for name, rule in rules.items():
            self.assertEqual(promql.names(rule['query']), promql.names(ours[name]['expr']), name)
            self.assertEqual((rule['health'], rule.get('lastError', '')), ('ok', ''), name)

    def test_what_is_broken_fires_and_what_is_well_does_not(self):
        world.wait_until(lambda: ('Udp46UpstreamUnresolved', 'broken') in self.prometheus.alerts('firing'), 15,
                         'the alert Udp46UpstreamUnresolved')
        alert = next(alert for alert in self.prometheus.ask('alerts')['alerts']
                     if alert['labels']['alertname'] == 'Udp46UpstreamUnresolved')
        upstream = alert['labels']['upstream']
        self.assertEqual(alert['labels'], {'alertname': 'Udp46UpstreamUnresolved', 'instance': 'broken', 'job': 'udp46',
                                           'name': 'relay', 'severity': 'critical', 'upstream': upstream})
        self.assertEqual(alert['annotations']['summary'], f'The upstream {upstream} of relay on broken has no address')
        # Oversize datagrams come to all.
        expected = {('Udp46UpstreamUnresolved', 'broken'), ('Udp46Drops', 'broken'), ('Udp46Drops', 'well'),
                    ('Udp46Drops', 'flooded'), ('Udp46Flood', 'flooded')}
        world.wait_until(lambda: self.prometheus.alerts('firing') >= expected, 15, 'the alerts Udp46Drops and Udp46Flood')
        # A machine busy with other tests may be slow indeed.
        seen = self.prometheus.alerts('firing') | self.prometheus.alerts('pending')
        self.assertEqual({alert for alert in seen if alert[0] != 'Udp46WorkerSlow'}, expected)

    def test_zz_a_relay_that_ends_fires(self):
        """The last one: `broken` is gone then."""
        self.broken.kill()
        world.wait_until(lambda: ('Udp46Down', 'broken') in self.prometheus.alerts('firing'), 15, 'the alert Udp46Down')
        self.assertNotIn(('Udp46Down', 'well'), self.prometheus.alerts('firing'))


class Files(unittest.TestCase):
    """What can be said of the files by themselves."""

    def setUp(self):
        self.dashboard = json.loads(DASHBOARD.read_text())
        self.panels = promql.panels(DASHBOARD.read_text())
        self.rules = promql.alerts(ALERTS.read_text())

    def check(self, *arguments):
        status, said = promtool(*arguments)
        self.assertEqual(status, 0, said)
        return said

    def test_promtool_takes_the_rules(self):
        self.assertIn(f'{len(self.rules)} rules found', self.check('check', 'rules', ALERTS))

    def test_promtool_takes_the_configuration(self):
        self.assertIn(f'{len(self.rules)} rules found', self.check('check', 'config', EXAMPLE))

    def test_every_alert_fires_when_it_should_and_only_then(self):
        self.check('test', 'rules', ALERTS_TEST)

    def test_every_alert_has_a_test(self):
        """One that sees it fire, alone, and one that sees it silent."""
        tests = {part.split('\n')[0]: part
                 for part in re.split(r'^  - name: ', ALERTS_TEST.read_text(), flags=re.M)[1:]}
        self.assertEqual(set(tests), set(self.rules))
        for name, part in tests.items():
            self.assertRegex(part, rf'(?s)alertname: {name}\n *exp_alerts:\n.*exp_annotations', name)
            self.assertIn('exp_samples: []', part, name)
            self.assertRegex(part, rf'''labels: 'ALERTS\{{alertname="{name}", alertstate="firing",''', name)

    def test_every_alert_says_what_to_do(self):
        for name, rule in self.rules.items():
            with self.subTest(name):
                self.assertRegex(name, r'^Udp46[A-Z][A-Za-z]+$')
                self.assertIn(re.search(r'severity: (\w+)', rule['text'])[1], SEVERITIES)
                self.assertRegex(rule['text'], r'summary: "[^"]{20,}')
                self.assertRegex(rule['text'], r'description: >-\n( +\S.{20,}\n)+')

    def test_alerts_name_labels_that_there_are(self):
        """A label that the expression's series do not have would be filled in as nothing."""
        labels = {**{name: {'instance', 'job'} for name in self.rules},
                  'Udp46NotScraped': {'job'}}
        documented = {name: set(filter(None, labels.split(', '))) for name, labels in re.findall(
            r'^\| `(\w+)` \| \w+ \| ([^|]*) \|', (TOP / 'docs/metrics.md').read_text(), flags=re.M)}
        for name, rule in self.rules.items():
            named = promql.names(rule['expr'])[0]
            known = labels[name].union(*(documented.get(metric, set()) for metric in named))
            if '/ ignoring (direction)' in rule['expr']:
                known -= {'direction'}
            if 'sum without (state)' in rule['expr']:
                known -= {'state'}
            self.assertEqual(set(re.findall(r'\$labels\.(\w+)', rule['text'])) - known, set(), name)

    def test_the_dashboard_is_nobody_s(self):
        """It opens anywhere: no identifiers of an installation, no absolute times, no plug-ins."""
        d = self.dashboard
        self.assertEqual((d['uid'], d['id'], d['version']), ('udp46', None, 1))
        self.assertGreaterEqual(d['schemaVersion'], 36)  # Grafana 9
        self.assertEqual(d['time'], {'from': 'now-6h', 'to': 'now'})
        for panel in self.panels:
            self.assertIn(panel['type'], PANEL_TYPES)
            for thing in [panel, *panel.get('targets', [])]:
                self.assertEqual(thing.get('datasource', {'type': 'prometheus', 'uid': '${datasource}'}),
                                 {'type': 'prometheus', 'uid': '${datasource}'}, panel['title'])
            self.assertTrue(panel['type'] == 'row' or 'datasource' in panel, panel['title'])
        self.assertNotIn('__inputs', d)

    def test_panels_are_told_apart_and_explained(self):
        ids = [panel['id'] for panel in self.panels]
        self.assertEqual(len(ids), len(set(ids)))
        titles = [panel['title'] for panel in self.panels]
        self.assertEqual(len(titles), len(set(titles)))
        self.assertGreaterEqual(len(ids), 40)
        for panel in self.panels:
            with self.subTest(panel['title']):
                self.assertGreater(len(panel['title']), 4)
                self.assertRegex(panel['description'], r'.{30,}\.$')
                self.assertRegex(panel['description'], r'\b[Ii]f\b', 'what to do when it looks wrong')

    def test_panels_do_not_overlap(self):
        taken = {}
        for panel in self.panels:
            grid = panel['gridPos']
            self.assertLessEqual(grid['x'] + grid['w'], 24, panel['title'])
            for x in range(grid['x'], grid['x'] + grid['w']):
                for y in range(grid['y'], grid['y'] + grid['h']):
                    self.assertIsNone(taken.get((x, y)), f"{panel['title']} lies on {taken.get((x, y))}")
                    taken[x, y] = panel['title']
        # Each row's panels lie below it and above the next.
        order = [(panel['gridPos']['y'], panel['gridPos']['x']) for panel in self.panels]
        self.assertEqual(order, sorted(order))

    def test_rows(self):
        self.assertEqual([panel['title'] for panel in self.panels if panel['type'] == 'row'],
                         ['Is it working?', 'Traffic', 'Sessions', 'Drops by verdict', 'Upstream', 'Kernel and process',
                          'Several upstreams'])

    def test_queries_keep_to_the_variables(self):
        """What has an instance or a listener is asked for the chosen ones only; no other variable is there."""
        documented = dict(re.findall(r'^\| `(\w+)` \| \w+ \| ([^|]*) \|', (TOP / 'docs/metrics.md').read_text(), flags=re.M))
        for panel, target in promql.targets(DASHBOARD.read_text()):
            with self.subTest(panel['title'], expression=target['expr']):
                self.assertNotIn('$', filled(target['expr']))
                for metric, matchers in promql.names(target['expr'])[0].items():
                    self.assertIn(('instance', '=~', '$instance'), matchers)
                    if 'listener' in documented.get(re.sub('_bucket$', '', metric), '').split(', '):
                        self.assertIn(('listener', '=~', '$listener'), matchers)
            ids = [target['refId'] for target in panel['targets']]
            self.assertEqual(len(ids), len(set(ids)), panel['title'])

    def test_the_tokenizer(self):
        self.assertEqual(promql.names('up'), ({'up': []}, set()))
        self.assertEqual(promql.names('sum by (a, b) (rate(x_total{c="d{", e!~\'f|g\'}[5m:1m] offset 1h)) > bool 1e3'),
                         ({'x_total': [('c', '=', 'd{'), ('e', '!~', 'f|g')]}, {'a', 'b'}))
        self.assertEqual(promql.names('a / on (x) group_left (y) b # c\n or sum(d) without (z) unless NaN'),
                         ({'a': [], 'b': [], 'd': []}, {'x', 'y', 'z'}))
        self.assertEqual(promql.names('time() - a{} and b'), ({'a': [], 'b': []}, set()))


def impossible(why):
    """With CI=true it is a failure."""
    if os.environ.get('CI') == 'true':
        sys.exit(f'failed: {why}')
    print(f'skipped: {why}')
    sys.exit(77)


def main():
    for program in 'prometheus', 'promtool':
        if not shutil.which(program):
            impossible(f'there is no {program}, see the package prometheus')
    world.enter(__file__)
    world.run()


if __name__ == '__main__':
    main()
