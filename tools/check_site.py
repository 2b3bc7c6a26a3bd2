"""Check a built site without a network: `python tools/check_site.py _build/html`.

Every link inside the site must lead to an existing page and anchor, no page may use an id twice,
and nothing that a page loads (scripts, styles, fonts, images, frames) may come from another
machine. Links that a reader may click can lead to other sites.
"""

import re
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Relations of a <link> that make a browser load something.
LOADED = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "manifest"}


class Page(HTMLParser):
    """The ids of one page, its links, and the resources that it loads."""

    def __init__(self, path):
        super().__init__()
        self.path, self.ids, self.links, self.resources, self.styles = path, [], [], [], []
        self._in_style = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = {name: value or "" for name, value in attributes}
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "a":
            self.ids += [values["name"]] if values.get("name") else []
            self.links += [values["href"]] if "href" in values else []
        elif tag == "link" and LOADED & set(values.get("rel", "").split()):
            self.resources.append(values.get("href", ""))
        elif tag == "object" and "data" in values:
            self.resources.append(values["data"])
        if "src" in values:
            self.resources.append(values["src"])
        if "poster" in values:
            self.resources.append(values["poster"])
        for candidate in filter(str.strip, values.get("srcset", "").split(",")):
            self.resources.append(candidate.split()[0])
        self.styles.append(values.get("style", ""))
        self._in_style = tag == "style"

    def handle_endtag(self, tag):
        self._in_style = False

    def handle_data(self, data):
        if self._in_style:
            self.styles.append(data)


def resources_of_css(text):
    """The addresses that a stylesheet loads, by url(...) and @import."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    urls = re.findall(r"url\(\s*['\"]?(.*?)['\"]?\s*\)", text)
    return urls + re.findall(r"@import\s+['\"](.*?)['\"]", text)


def problems(site):
    """One sentence for each problem of the site, in the order of pages."""
    site = Path(site).resolve()
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    # The theme leaves templates in _static, which are not pages.
    pages = {p: page for p, page in pages.items() if "_static" not in p.relative_to(site).parts}
    if not pages:
        return [f"{site} holds no page."]
    sentences = []
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        duplicates = [i for i, count in Counter(page.ids).items() if count > 1]
        sentences += [f"{name}: the id {i!r} stands there more than once." for i in duplicates]
        for link in page.links:
            sentences += _broken(link, path, site, pages, name)
        in_styles = [url for style in page.styles for url in resources_of_css(style)]
        for url in page.resources + in_styles:
            sentences += _not_here(url, path, site, name)
    for path in sorted(site.rglob("*.css")):
        name = path.relative_to(site).as_posix()
        for url in resources_of_css(path.read_text(encoding="utf-8")):
            sentences += _not_here(url, path, site, name)
    return sentences


def _target(url, path, site):
    """The file to which a relative address leads."""
    address = unquote(urlsplit(url).path)
    base = site if address.startswith("/") else path.parent
    target = (base / address.lstrip("/")).resolve() if address else path
    return target / "index.html" if target.is_dir() else target


def _broken(link, path, site, pages, name):
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return []
    target = _target(link, path, site)
    if not target.exists():
        return [f"{name}: the link {link!r} leads nowhere."]
    anchor = unquote(parts.fragment)
    # "#" and "#top" are the top of a page in every browser.
    if anchor and anchor != "top" and target in pages and anchor not in pages[target].ids:
        return [f"{name}: the link {link!r} leads to an anchor that is not there."]
    return []


def _not_here(url, path, site, name):
    parts = urlsplit(url)
    if parts.scheme in ("data", "blob") or url.startswith("#"):
        return []
    if parts.scheme or parts.netloc:
        return [f"{name}: loads {url!r} from another machine."]
    if not _target(url, path, site).exists():
        return [f"{name}: loads {url!r}, which is not there."]
    return []


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.splitlines()[0])
    sentences = problems(sys.argv[1])
    print("\n".join(sentences) or "All links, anchors and resources are in place.")
    sys.exit(bool(sentences))


if __name__ == "__main__":
    main()
