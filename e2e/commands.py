"""Runs OpenStack's own command many times in one process, for it takes seconds
to start. Each line of the input is a JSON list of arguments and a dictionary of
environment variables; each line of the output says what came of it."""

import contextlib
import io
import json
import os
import sys

from openstackclient import shell

for line in sys.stdin:
    args, env = json.loads(line)
    os.environ.update(env)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = shell.main(args)
        except SystemExit as e:
            code = e.code
    for name in env:
        del os.environ[name]
    print(json.dumps({"Code": int(bool(code)), "Out": out.getvalue(), "Err": err.getvalue()}), flush=True)
