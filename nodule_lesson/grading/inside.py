"""The process in which a student's code runs: it limits itself, runs the cells, and asks.

It reads one job from its input and writes lines of JSON to its output, through which nothing but
numbers and short texts leaves. What the student's code prints is lost. Torch is loaded once; each
question then has a process of its own, a copy of this one, that runs all cells afresh. Nothing
that these processes say is trusted: it is the student's answer, judged outside (sandbox.py).
"""

import json
import os
import resource
import secrets
import signal
import sys
import traceback

import numpy as np

from nodule_lesson.grading import questions

CELL_SECONDS = 15  # of processor time, for a cell or for one question to the student's object
PROCESS_SECONDS = 120  # of processor time, for all cells and one question
MEMORY = 2**30  # bytes, beyond what is in use before the student's code
PROCESSES = 16  # and threads
LARGEST_FILE = 2**24  # bytes


class TimeUp(BaseException):
    """The time of a cell is over. Not an Exception, which a cell would catch more often."""


def main():
    job = json.loads(sys.stdin.buffer.read())
    say = _only_channel()
    alone = job["alone"]  # in a namespace of processes, in which nothing else runs
    if alone and (os.getpid(), os.getppid()) != (2, 1):
        raise RuntimeError("this process should be alone with the first of its namespace.")
    questions.assignment(job["assignment"])
    if alone:
        become_nobody()
    for name, cases in job["questions"].items():
        child = os.fork()
        if child == 0:
            if alone:
                limit()
            answer_one(job["assignment"], name, job["cells"], cases, say)
            os._exit(0)
        os.waitpid(child, 0)
        if alone:
            try:
                os.kill(-1, signal.SIGKILL)  # what the student's code has left running
            except ProcessLookupError:
                pass  # nothing, as a rule
        say(end=name)


def answer_one(assignment, name, cells, cases, say):
    """Run the cells, then ask the student's object; say each beginning, answer and trouble."""
    say(question=name)
    signal.signal(signal.SIGPROF, _time_is_up)
    namespace = {"__name__": "__main__", "__builtins__": __builtins__, "display": lambda *a: None}
    for number, source in cells:
        say(cell=number)
        why = _attempt(lambda source=source: exec(_compiled(source), namespace))[1]
        if why:
            say(trouble=why)
    for case, inputs in enumerate(cases):
        say(case=case)
        answer, why = _attempt(lambda inputs=inputs: _answer(assignment, name, namespace, inputs))
        if why:
            say(trouble=why)
            return
        say(answer=answer)


def _only_channel():
    """A function that writes a line; the student's code finds all usual outputs closed."""
    channel, nothing = os.dup(1), os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)

    def say(**line):
        data = (json.dumps(line) + "\n").encode()
        while data:
            data = data[os.write(channel, data) :]

    return say


def become_nobody():
    """Be the first to be killed for want of memory; give up the rights of root, if any."""
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")
    if os.getuid() == 0:  # for root a limit of processes would not hold
        user = 20000 + secrets.randbelow(30000)
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)


def limit():
    """Limit memory, processes, time and files, for good."""
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    for name, most in (
        ("RLIMIT_AS", used + MEMORY),
        ("RLIMIT_NPROC", PROCESSES),
        ("RLIMIT_CPU", PROCESS_SECONDS),
        ("RLIMIT_FSIZE", LARGEST_FILE),
        ("RLIMIT_CORE", 0),
    ):
        resource.setrlimit(getattr(resource, name), (most, most))


def _time_is_up(*_):
    raise TimeUp


def _compiled(source):
    """The code of a cell, without the lines that only a notebook can run."""
    try:
        return compile(source, "<cell>", "exec")
    except SyntaxError:
        lines = [("#" if line.lstrip()[:1] in ("%", "!") else "") + line
                 for line in source.split("\n")]  # fmt: skip
        return compile("\n".join(lines), "<cell>", "exec")


def _attempt(action):
    """(what an action returns, None), or (None, what went wrong in a few words)."""
    try:
        signal.setitimer(signal.ITIMER_PROF, CELL_SECONDS, 1)
        try:
            return action(), None
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except TimeUp:
        return None, "time"
    except BaseException as error:  # also SystemExit: what a student's code does is his own
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
                 if frame.filename == "<cell>"]  # fmt: skip
        if isinstance(error, SyntaxError):
            lines = [error.lineno]
        where = f", line {lines[-1]} of its cell" if lines else ""
        return None, f"{type(error).__name__}{where}"


def _answer(assignment, name, namespace, inputs):
    if name not in namespace:
        raise NotFound
    asked = questions.question_read_again(assignment, name)
    answers = questions.answers_of(asked, namespace[name], unpack(inputs))
    return {name: pack(value) for name, value in answers.items()}


class NotFound(Exception):
    """The student's notebook does not define the object that the question names."""


def pack(value):
    """An array as its shape and numbers, for JSON; anything else as it is."""
    if isinstance(value, np.ndarray):
        return {"shape": list(value.shape), "numbers": value.ravel().tolist()}
    return value


def unpack(inputs):
    """The inputs of a case, with arrays in the place of shapes and numbers."""
    return {name: array(value) if isinstance(value, dict) else value
            for name, value in inputs.items()}  # fmt: skip


def array(packed):
    """The float64 array of a packed one. ValueError, TypeError or KeyError if it is none."""
    numbers = np.array(packed["numbers"], dtype=np.float64)
    return numbers.reshape([int(n) for n in packed["shape"]])


if __name__ == "__main__":
    main()
