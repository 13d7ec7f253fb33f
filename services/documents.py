"""``/openapi.json`` and ``/docs``: what the gateway answers, for programs and people."""

from __future__ import annotations

import msgspec

from services.openapi import DOCUMENT

OPENAPI: bytes = msgspec.json.encode(DOCUMENT)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>ztad API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#1b1f24;background:#fff}
code,pre{font:14px/1.45 ui-monospace,monospace;background:#f3f5f7;border-radius:4px}
code{padding:.1em .3em}pre{padding:1rem;overflow-x:auto}
h2{margin-top:2.2rem;border-bottom:1px solid #d8dee4;padding-bottom:.3rem}
.verb{display:inline-block;min-width:3.6rem;text-align:center;border-radius:4px;color:#fff;
background:#0a6b3d;font-size:.8rem;padding:.15rem .3rem;margin-right:.5rem}
.get{background:#0b5cad}table{border-collapse:collapse}
td{padding:.15rem .8rem .15rem 0;vertical-align:top}
@media (prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}
code,pre{background:#161b22}h2{border-color:#30363d}}
</style></head><body>
<h1>ztad API</h1>
<p>Scores login and access events as they happen, and says why one is suspicious. The machine
readable description is <a href="/openapi.json">/openapi.json</a>.</p>
<pre>curl -s http://localhost:8000/v1/score -H 'content-type: application/json' -d '{
  "timestamp": "2026-11-22T08:15:00Z", "user_id": "ann", "outcome": "success",
  "source_ip": "192.0.2.7", "country": "DE", "city": "Berlin",
  "latitude": 52.52, "longitude": 13.40, "device_id": "laptop-1"}'</pre>
%s
<h2>Schemas</h2>%s
</body></html>
"""


def _docs() -> bytes:
    from html import escape

    sections = []
    for path, operations in DOCUMENT["paths"].items():
        for verb, operation in operations.items():
            rows = "".join(
                f"<tr><td><code>{code}</code></td><td>{escape(answer['description'])}</td></tr>"
                for code, answer in operation["responses"].items()
            )
            note = escape(operation.get("description", ""))
            sections.append(
                f'<h2><span class="verb {verb}">{verb.upper()}</span><code>{escape(path)}</code>'
                f"</h2><p>{escape(operation['summary'])}. {note}</p><table>{rows}</table>"
            )
    schemas = "".join(
        f"<h3>{name}</h3><pre>{escape(msgspec.json.format(msgspec.json.encode(schema)).decode())}"
        "</pre>"
        for name, schema in DOCUMENT["components"]["schemas"].items()
    )
    return (_PAGE % ("".join(sections), schemas)).encode()


DOCS: bytes = _docs()
