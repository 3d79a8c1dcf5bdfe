"""Pages for people that load nothing from anywhere."""

from html import escape

from starlette.responses import HTMLResponse

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem; font-size: 1.1rem; border-top: 1px solid #ddd; padding-top: 1rem }
code { font-family: ui-monospace, monospace } .method { font-weight: bold; color: #06c }
table { border-collapse: collapse; font-size: .9rem } td { padding: .2rem 1rem .2rem 0; vertical-align: top }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #ddd } .method { color: #6bf } }
"""
_NOTHING_ELSE = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


def plain_page(title: str, body: str) -> HTMLResponse:
    """Answer with a page; its body is HTML, its title a text."""
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
    page = f"{head}<style>{_STYLE}</style><h1>{escape(title)}</h1>{body}"
    return HTMLResponse(page, headers=_NOTHING_ELSE)
