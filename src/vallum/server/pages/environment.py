"""The templates: Jinja with escaping always on, strict about what is missing, and a few helpers.

Invariant: only this module and `graph` make `Markup`, from literals and escaped parts; a value becomes
part of a page through escaping or not at all.
"""

from __future__ import annotations

import gettext as gettext_module
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vallum.server.pages import formats
from vallum.server.pages.assets import address_of

__all__ = ["environment", "render"]

_PACKAGES: Final = ("vallum.server.pages", "vallum.server.console", "vallum.server.account")


@cache
def environment(packages: tuple[str, ...] = _PACKAGES) -> Environment:
    """The environment of all pages. `packages`: where templates are looked for, in order."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    made.install_gettext_translations(gettext_module.NullTranslations(), newstyle=True)  # type: ignore[attr-defined]
    made.globals |= {"asset": address_of, "icon": icon}
    made.filters |= {
        "number": formats.number,
        "plain": formats.plain,
        "short": formats.short,
        "local_time": local_time,
        "url": formats.url_part,
    }
    return made


def icon(name: str, label: str = "") -> Markup:
    """An icon of the sprite. With a label it speaks, without one it is decoration.

    >>> 'aria-label="&lt;b&gt;"' in icon("check", "<b>")
    True
    """
    address = address_of("icons.svg")
    speaks = Markup('role="img" aria-label="{}"').format(label) if label else Markup('aria-hidden="true"')
    return Markup('<svg class="icon" {}><use href="{}#i-{}"></use></svg>').format(speaks, address, name)


def local_time(value: Any, zone: str | None = None) -> Markup:
    """A moment, in the viewer's zone; the browser shows it in its own words and keeps this on hover."""
    if value is None or value == "":
        return Markup("")
    return Markup('<time datetime="{}" data-local>{}</time>').format(
        formats.moment(value).isoformat(), formats.absolute(value, zone)
    )


def render(template: str, values: Mapping[str, Any], **more: Any) -> str:
    """The text of a template."""
    return environment().get_template(template).render({**values, **more})


Helper = Callable[..., Any]
