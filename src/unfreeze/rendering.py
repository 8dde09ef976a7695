"""Pages and code from templates: names that users give never become markup, and a mistyped value is an error."""

import base64
import hashlib
from typing import Any

import jinja2


def render_page(template: str, **values: Any) -> str:
    """Return an HTML page.

    Args:
        template: Name of a file in `templates/`.
        **values: What it shows; text is escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("unfreeze"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(template).render(**values)


def render_code(template: str, **values: Any) -> str:
    """Return a Python file from a template; nothing is escaped.

    Args:
        template: Name of a file in `templates/`.
        **values: Code of this project, never a text of the user's.
    """
    environment = jinja2.Environment(  # noqa: S701 - no markup
        loader=jinja2.PackageLoader("unfreeze"), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template(template).render(**values)


def hash_script(script: str) -> str:
    """Return a script's digest as a Content-Security-Policy names it.

    The form is that of https://www.w3.org/TR/CSP3/, section 2.3.1.
    """
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
