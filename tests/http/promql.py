# SPDX-License-Identifier: MIT
"""What a PromQL expression names, and which expressions docs/monitoring holds. No parser: Prometheus itself is that.

names() finds metrics, their matchers and the labels that operators name, well enough for expressions that are valid.
"""

import json
import re
import textwrap

AGGREGATIONS = {'avg', 'bottomk', 'count', 'count_values', 'group', 'max', 'min', 'quantile', 'stddev', 'stdvar', 'sum',
                'topk'}
LABEL_LISTS = {'by', 'without', 'on', 'ignoring', 'group_left', 'group_right'}
WORDS = {'and', 'or', 'unless', 'bool', 'offset', 'atan2', 'inf', 'nan', 'start', 'end'}

TOKEN = re.compile(r'''
    (?P<space>\s+ | \#[^\n]*)
  | (?P<string>"(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | `[^`]*`)
  | (?P<name>[a-zA-Z_:][\w:]*)
  | (?P<range>\[[^][]*\])
  | (?P<number>[\d.][\w.]*)
  | (?P<match>=~|!~|!=|==|<=|>=|=)
  | (?P<other>.)''', re.X | re.S)


def names(expression):
    """({metric: [(label, operator, value), …]}, {label named by an operator, …})"""
    tokens = [(found.lastgroup, found[0]) for found in TOKEN.finditer(expression) if found.lastgroup != 'space']
    tokens += [('end', '')] * 3
    metrics, labels, i = {}, set(), 0
    metric = None
    while tokens[i][0] != 'end':
        kind, word = tokens[i]
        i += 1
        if word == '{':
            while tokens[i][1] != '}':
                if tokens[i][0] == 'name':
                    metrics.setdefault(metric, []).append((tokens[i][1], tokens[i + 1][1], tokens[i + 2][1][1:-1]))
                    i += 2
                i += 1
        elif kind == 'name' and word.lower() in LABEL_LISTS:
            if tokens[i][1] == '(':
                while tokens[i][1] != ')':
                    if tokens[i][0] == 'name':
                        labels.add(tokens[i][1])
                    i += 1
                i += 1
        elif kind == 'name' and word.lower() not in WORDS | AGGREGATIONS and tokens[i][1] != '(':
            metric = word
            metrics.setdefault(word, [])
    return metrics, labels


def alerts(text):
    """A file of rules: {alert: {'expr': …, 'text': the rule as it stands there}}"""
    found = {}
    for part in re.split(r'^ *- (?=alert: )', text, flags=re.M)[1:]:
        name = re.match(r'alert: (\w+)', part)[1]
        inline = re.search(r'^ +expr: (?!>-)(.+)$', part, flags=re.M)
        block = re.search(r'^( +)expr: >-\n((?:\1 +.*\n)+)', part, flags=re.M)
        if name in found or not (inline or block):
            raise ValueError(f'{name}: named twice, or without an expression')
        found[name] = {'expr': inline[1] if inline else ' '.join(textwrap.dedent(block[2]).split('\n')).strip(), 'text': part}
    return found


def panels(text):
    """A dashboard's panels, those in closed rows included."""
    found = []
    for panel in json.loads(text)['panels']:
        found += [panel, *panel.get('panels', [])]
    return found


def targets(text):
    """A dashboard's queries: [(panel, target)]"""
    return [(panel, target) for panel in panels(text) for target in panel.get('targets', [])]
