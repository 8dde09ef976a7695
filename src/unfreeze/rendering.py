"""Pages from templates: names that users give never become markup, and a mistyped value is an error."""

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
