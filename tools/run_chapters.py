"""Run the chapters whose outputs the cache does not have, several at a time.

MyST-NB would run them one after the other, each when its page is read. It then finds their outputs
in the cache.
"""

from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution
from myst_nb.core.read import create_nb_reader
from sphinx.util import logging

from nodule_lesson.jobs import cores

logger = logging.getLogger(__name__)
# More would need much memory, about 1 GB each; the longest chapter takes a quarter of the time.
AT_ONCE = 4


def run_chapters(app, env, docnames):
    """Run the code of these pages where it is not known (called by env-before-read-docs)."""
    cache = get_cache(env.mystnb_config.execution_cache_path)
    # From the end of the alphabet, where the longest are: transfer_learning, training_the_model.
    notebooks = {name: read(env, name) for name in sorted(docnames, reverse=True)}
    # Threads, since each kernel is a process of its own.
    pool = ThreadPoolExecutor(min(cores(), AT_ONCE))
    try:
        running = {
            pool.submit(
                single_nb_execution,
                notebook,
                cwd=str(Path(env.doc2path(name)).parent),
                timeout=env.mystnb_config.execution_timeout,
                allow_errors=False,
            ): name
            for name, notebook in notebooks.items()
            if notebook and not is_known(notebook, cache)
        }
        for ended in as_completed(running):
            name, result = running[ended], ended.result()
            if result.err is not None:  # the build fails by this warning
                logger.warning("%s: a cell failed\n%s", name, result.exc_string)
                continue
            logger.info("%s was run in %.0f s", name, result.time)
            bundle = CacheBundleIn(
                result.nb, env.doc2path(name), data={"execution_seconds": result.time}
            )
            cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    finally:  # after Ctrl+C no other chapter is begun
        pool.shutdown(cancel_futures=True)


def read(env, name):
    """The notebook of a page, or None if it has no code."""
    path = env.doc2path(name)
    text = Path(path).read_text(encoding="utf-8")
    reader = create_nb_reader(path, env.myst_config, env.mystnb_config, text)
    return reader and reader.read(text)


def is_known(notebook, cache):
    try:
        cache.match_cache_notebook(notebook)
    except KeyError:
        return False
    return True
