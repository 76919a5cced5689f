# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""Makes databases and users in a database server that is not ours; each statement may be run again.

Argument: a JSON file with {"host", "port", "statements": path}; DATABASE_USER and DATABASE_PASSWORD are in the environment.
It needs PyMySQL, which every service with a database has. No statement is printed: passwords are in them.
"""

import json
import os
import sys
import time

import pymysql

TRIES, PAUSE = 30, 2.0


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    with open(plan["statements"], encoding="utf-8") as file:
        statements = [line.rstrip(";\n") for line in file if line.strip()]
    server = connected(plan["host"], plan["port"])
    for number, statement in enumerate(statements, 1):
        what = " ".join(statement.split()[:2])
        try:
            with server.cursor() as cursor:
                cursor.execute(statement)
        except pymysql.MySQLError as error:
            print(f"statement {number} ({what} …): {told(error)}", flush=True)
            return 1
    print(f"{len(statements)} statements done", flush=True)
    return 0


def connected(host: str, port: int) -> "pymysql.Connection":
    """Return a connection; a server that does not answer is asked again, one that refuses us is not."""
    user, password = os.environ["DATABASE_USER"], os.environ["DATABASE_PASSWORD"]
    for left in reversed(range(TRIES)):
        try:
            return pymysql.connect(
                host=host, port=port, user=user, password=password, connect_timeout=5, autocommit=True
            )
        except pymysql.OperationalError as error:
            print(f"{host}:{port}: {told(error)}", flush=True)
            if left == 0 or error.args[0] in (1044, 1045, 1698):
                sys.exit(1)
            time.sleep(PAUSE)
    sys.exit(1)


def told(error: Exception) -> str:
    """Return what the server said: code and words, never a statement, which it quotes after `near`."""
    code, *words = error.args or ("",)
    said = str(words[0] if words else "").partition(" near ")[0]
    return f"{code} {said}"[:200]


if __name__ == "__main__":
    sys.exit(main())
