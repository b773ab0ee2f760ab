"""Reads RateLimit fields with `http-sf`, a parser of structured fields (RFC 9651).

In: `name: value` lines, an empty line after each response. Out: a line of JSON for each response.
"""

import json
import sys

from http_sf import parse


def main():
    fields = {}
    for line in sys.stdin.read().split("\n")[:-1]:
        if line:
            name, value = line.split(": ", 1)
            fields[name] = [item(*it) for it in parse(value.encode("ascii"), tltype="list")]
        else:
            print(json.dumps(fields))
            fields = {}


def item(value, parameters):
    parameters = [[name, it, kind(it)] for name, it in parameters.items()]
    return {"value": value, "type": kind(value), "parameters": parameters}


def kind(value):
    return {bool: "Boolean", int: "Integer", str: "String"}.get(type(value), type(value).__name__)


if __name__ == "__main__":
    main()
