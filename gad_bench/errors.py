"""The error that is the user's to mend."""


class UserError(ValueError):
    """What was asked for is impossible.

    The message is one line: what is wrong, where, and what to do. The program ends with status 2
    and shows no traceback.
    """
