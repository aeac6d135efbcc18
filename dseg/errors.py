"""What is meant for the person at the command line: our error, and the system's in one line."""

import errno
import os

# What to do about an error of the system, by its number.
_ADVICE = {
    errno.ENOSPC: "make room on that disk and call it again",
    errno.EDQUOT: "make room within the quota and call it again",
    errno.EROFS: "name a place that can be written",
    errno.EACCES: "change the rights of the file or its folder, or name another place",
    errno.EPERM: "change the rights of the file or its folder, or name another place",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a file stands where a folder was expected: remove it, or name another place",
    errno.EEXIST: "a file stands where a folder was expected: remove it, or name another place",
    errno.EISDIR: "a folder stands where a file was expected: remove it, or name another place",
    errno.ENAMETOOLONG: "shorten the name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EIO: "the disk or the way to it fails: check it",
}


class DsegError(Exception):
    """Bad input, said in one line: which file or key, what was expected, what to do.

    The command line prints it as ``error: ...`` without a traceback and exits with status 2.
    """


def describe(error: OSError) -> str:
    """An error of the system in one line: which file, what happened, what to do."""
    if error.errno is None or error.strerror is None:  # of a library, in its own words
        return " ".join(str(error).split()) or type(error).__name__
    named = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    said = f"{named}: {error.strerror}" if named else error.strerror
    return f"{said}: {_ADVICE[error.errno]}" if error.errno in _ADVICE else said
