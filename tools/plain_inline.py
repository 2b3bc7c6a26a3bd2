"""What stands inside a paragraph, from MyST to plain Markdown: roles, links and citations."""

import posixpath
import re
from ast import literal_eval

from chapters import Target, TwinError

NUMBERED = {"figure": "Fig. %s", "table": "Table %s", "exercise": "Exercise %s",
            "section": "Section %s", "equation": "(%s)"}  # fmt: skip

EXPLICIT = re.compile(r"^(?P<text>.*?)\s*<(?P<target>[^<>]+)>$", re.DOTALL)
INLINE = re.compile(
    r"""
    (?P<escape>\\[!-/:-@\[-`{-~])
    | \{(?P<role>[A-Za-z][\w:+.-]*)\}(?P<tick>`+)(?P<content>.+?)(?<!`)(?P=tick)(?!`)
    | (?P<fence>`+)(?P<code>.+?)(?<!`)(?P=fence)(?!`)
    | (?P<comment><!--.*?-->)
    | (?P<display>\$\$)
    | \$(?P<math>(?:\\.|[^$\\])+)\$
    | !\[(?P<alt>[^\]]*)\]\((?P<image>[^()\s]+)[^()]*\)(?:\{[^}]*\})?
    | \[\]\((?P<bare>[^()\s]+)\)
    | \]\((?P<link>[^()\s]+)(?P<hover>(?:\s+"[^"]*")?)\)
    | (?P<unknown>\{\{.*?\}\} | \]\{[^}]*\} | <(?:project|path|inv|myst):[^>]*>)
    """,
    re.VERBOSE | re.DOTALL,
)

# What must not be left in a translated text, once code and formulas are set aside.
CODE_OR_MATH = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)|\$(?:\\.|[^$\\])+\$", re.DOTALL)
LEFT_RAW = re.compile(
    r"`{3,}|:{3,}|\{[A-Za-z][\w:+.-]*\}`|\{\{|^\{[.#%]|^\+\+\+"
    r"|^:\s|^:[\w -]+:(?:\s|$)",  # the last two: lists of definitions and of fields
    re.MULTILINE,
)


class Inline:
    """The part of `plain_markdown.Translation` that reads inside a paragraph."""

    def fail(self, problem, line=None):
        path = self.chapter.path.relative_to(self.book.root).as_posix()
        raise TwinError(f"{path}:{line or self.line}: {problem}.")

    def target(self, label):
        if self.counters is not None:
            return Target("section", self.chapter, "", "title", "0")
        label = label.strip()
        if label not in self.book.targets:
            self.fail(f"nothing is labelled {label}")
        return self.book.targets[label]

    def inline(self, text, line):
        """The text of a paragraph that begins in this line, translated."""

        def translate(match):
            self.line = line + text.count("\n", 0, match.start())
            if match["role"]:
                return self.role(match["role"], " ".join(match["content"].split()))
            if match["math"]:
                return f"${' '.join(match['math'].split())}$"
            if match["image"]:
                return f"![{match['alt']}]({self.file(match['image'], 'raw')})"
            if match["bare"]:
                return self.do_bare_link(match["bare"])
            if match["link"]:
                return f"]({self.destination(match['link'])}{match['hover']})"
            if match["comment"]:
                return ""
            if match["display"]:
                self.fail("a formula between $$ and $$ stands in lines of its own")
            if match["unknown"]:
                self.fail(f"{match['unknown']!r} has no translation in tools/plain_markdown.py")
            return match[0]  # an escaped character, or code

        new = INLINE.sub(translate, text)
        rest = CODE_OR_MATH.sub("x", new)
        left = LEFT_RAW.search(rest)
        self.line = line
        if left:
            problem = f"{left[0]!r} is not plain Markdown and has no translation"
            self.fail(problem, line + rest.count("\n", 0, left.start()))
        return new

    def role(self, name, content):
        explicit = EXPLICIT.match(content)
        text, target = (explicit["text"], explicit["target"]) if explicit else ("", content)
        if name.startswith("bdg-"):
            return f"**{content}**"
        if re.match(r"octicon$|fa[sbr]$|material-", name):
            return ""
        method = getattr(self, "role_" + re.sub(r"\W", "_", name), None)
        if method is None:
            self.fail(f"the role {{{name}}} has no translation in tools/plain_markdown.py")
        return method(text, target)

    def role_eq(self, text, label):
        target = self.target(label)
        if self.counters is None and target.kind != "equation":
            self.fail(f"{label} is no equation")
        return self.reference(f"({target.number})", target)

    def role_numref(self, text, label):
        target = self.target(label)
        if not target.number:
            self.fail(f"{label} has no number")
        text = text or NUMBERED[target.kind]
        text = text.replace("{number}", target.number)
        return self.reference(text.replace("%s", target.number), target)

    def role_ref(self, text, label):
        target = self.target(label)
        if not text and target.kind == "exercise":
            text = NUMBERED["exercise"] % target.number
        elif not text and target.kind == "section":
            text = target.title
        elif not text:
            self.fail(f"{label} is no section: refer by {{eq}} or {{numref}}, or give a text")
        return self.reference(text, target)

    def reference(self, text, target):
        near = target.chapter is self.chapter and target.kind != "section"
        return text if near else f"[{text}]({target.url})"

    def role_doc(self, text, path):
        chapter = self.document(path)
        return f"[{text or chapter.title}]({self.book.url(chapter)})"

    def document(self, path):
        path = path.strip().removesuffix(".md")
        here = posixpath.dirname(self.chapter.docname)
        docname = path[1:] if path.startswith("/") else posixpath.normpath(f"{here}/{path}")
        if docname not in self.book.documents:
            self.fail(f"{path} is not in _toc.yml")
        return self.book.documents[docname]

    def cite(self, keys, form, opening="", closing="", between=", "):
        cited = []
        for key in map(str.strip, keys.split(",")):
            if key not in self.book.entries:
                self.fail(f"{key} is not in references.bib")
            text = form.format(self.book.authors(key), self.book.entries[key].fields["year"])
            url = self.book.entry_url(key)
            cited.append(f"[{text}]({url})" if url else text)
        return opening + between.join(cited) + closing

    def role_cite(self, text, keys):
        return self.cite(keys, "{}, {}", "(", ")", "; ")

    role_cite_p = role_cite

    def role_cite_t(self, text, keys):
        return self.cite(keys, "{} ({})")

    def role_glue_text(self, text, name):
        name, _, spec = name.partition(":")
        if self.glue is None:
            return "…"
        if name not in self.glue:
            self.fail(f"no cell glues the name {name}")
        return glue_text(self.glue[name], spec)

    role_glue_ = role_glue_text

    def role_term(self, text, target):
        return text or target

    role_index = role_term

    def role_math(self, text, target):
        return f"${f'{text} <{target}>' if text else target}$"

    def role_py_func(self, text, name):
        """A name of the package, linked to its description in the book."""
        text = text or name.rpartition(".")[2] if name.startswith("~") else text or name
        url = f"{self.book.site}book/api.html#{name.lstrip('~!')}"
        return f"[`{text}`]({url})"

    role_py_class = role_py_mod = role_py_meth = role_py_func

    def role_kbd(self, text, target):
        return f"<kbd>{target}</kbd>"

    def role_download(self, text, path):
        return f"[{text or posixpath.basename(path)}]({self.file(path, 'blob')})"

    # --- links --------------------------------------------------------------------------------

    def file(self, path, kind):
        if re.match(r"https?://|data:", path):
            return path
        here = posixpath.dirname(self.chapter.docname)
        inside = path[1:] if path.startswith("/") else posixpath.normpath(f"{here}/{path}")
        if not (self.book.root / inside).is_file():
            self.fail(f"there is no file {inside}")
        return self.book.file(inside, kind)

    def link(self, target, kind):
        if kind == "doc":
            return self.book.url(self.document(target))
        return self.target(target).url if kind in ("ref", "any") else self.destination(target)

    def destination(self, link):
        """Where a Markdown link leads from a notebook."""
        if re.match(r"(project|path|inv|myst):", link):
            self.fail(f"the link {link} has no translation in tools/plain_markdown.py")
        if re.match(r"[a-z][a-z0-9+.-]*:", link, re.IGNORECASE):
            return link
        path, _, anchor = link.partition("#")
        if path and anchor:
            self.fail(f"link to #{anchor} alone, which the book finds on whatever page it is")
        if path and not path.endswith(".md"):
            return self.file(path, "blob")
        chapter = self.document(path) if path else self.chapter
        return self.target(anchor).url if anchor else self.book.url(chapter)

    def do_bare_link(self, link):
        """[](#label) or [](chapter.md): MyST takes the text from where it leads."""
        return self.role_ref("", link[1:]) if link[0] == "#" else self.role_doc("", link)


def glue_text(recorded, spec=""):
    """The text that MyST-NB shows for a glued value: its repr, evaluated and formatted."""
    try:
        value = literal_eval(recorded)
    except (SyntaxError, ValueError):
        value = recorded
    return format(str(value) if spec.endswith("s") or not spec else float(value), spec)
