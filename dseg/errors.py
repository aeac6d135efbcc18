"""The one error that is meant for the person at the command line."""


class DsegError(Exception):
    """Bad input, said in one line: which file or key, what was expected, what to do.

    The command line prints it as ``error: ...`` without a traceback and exits with status 2.
    """
