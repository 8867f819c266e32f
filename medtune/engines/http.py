"""Servers that take JSON and answer JSON. Nothing else in the house tries a request again."""

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import httpx

from medtune.errors import UserError

FIRST_WAIT_SECONDS = 0.5
"""Before the second try; doubled before each further one."""
MAX_WAIT_SECONDS = 60.0
"""A wait is never longer. A server that asks for more than this is left alone."""
MAX_MESSAGE = 300
"""Characters of a server's own words that an error repeats."""
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Answers that the same request may not get again."""


class Pace(NamedTuple):
    """How fast a server may be asked, and how patiently."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout_seconds: float = 60.0
    max_tries: int = 6


class Api:
    """A server, with its key and its pace. Requests are made one after the other."""

    def __init__(self, base_url: str, *, key: str = "", pace: Pace | None = None) -> None:
        self.base_url = base_url
        self._key = key
        self._pace = pace or Pace()
        self._free_at = 0.0
        """When the pace allows the next request, by the monotonic clock."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(headers=headers, timeout=self._pace.timeout_seconds)

    def post(self, path: str, payload: Mapping[str, Any], *, num_tokens: int = 0) -> dict[str, Any]:
        """The server's answer to a JSON object, tried again while the reason may pass.

        `num_tokens`: what the request counts for where the pace limits tokens.
        """
        url, fault = f"{self.base_url}/{path.lstrip('/')}", ""
        for number in range(self._pace.max_tries):
            self._await_turn(num_tokens)
            wait = min(FIRST_WAIT_SECONDS * 2**number, MAX_WAIT_SECONDS)
            try:
                answer = self._client.post(url, json=payload)
            except httpx.TransportError as error:
                fault = f"{type(error).__name__}: {error}"
            else:
                if answer.status_code not in PASSING:
                    return self._read(url, answer)
                fault = f"{answer.status_code}: {self._words_of(answer)}"
                asked = seconds_asked(answer.headers.get("Retry-After", ""))
                if asked is not None and asked > MAX_WAIT_SECONDS:
                    raise UserError(
                        f"{url}: {fault}; it asks to wait {asked:.0f} seconds: run the command again then, "
                        "it goes on"
                    )
                wait = wait if asked is None else asked
            if number + 1 < self._pace.max_tries:
                time.sleep(wait)
        raise UserError(
            f"{url}: {self._hide(fault)} (tried {self._pace.max_tries} times); run the command again later, "
            "it goes on"
        )

    def _await_turn(self, num_tokens: int) -> None:
        """Nothing; the pace allows a request now."""
        now = time.monotonic()
        time.sleep(max(0.0, self._free_at - now))
        per_request, per_token = self._pace.requests_per_minute, self._pace.tokens_per_minute
        seconds = max(60 / per_request if per_request else 0, 60 * num_tokens / per_token if per_token else 0)
        self._free_at = max(now, self._free_at) + seconds

    def _read(self, url: str, answer: httpx.Response) -> dict[str, Any]:
        """The JSON object of an answer that is final."""
        if not answer.is_success:
            raise UserError(f"{url}: {answer.status_code}: {self._words_of(answer)}")
        try:
            told = answer.json()
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise UserError(f"{url}: no JSON object: {self._words_of(answer)}; is this the right address?")
        if told.get("error"):  # some gateways say so with status 200
            raise UserError(f"{url}: {self._words_of(answer)}")
        return told

    def _words_of(self, answer: httpx.Response) -> str:
        """What the server says of itself, in one short line without the key."""
        try:
            told = answer.json()
            error = told["error"]
            words = error["message"] if isinstance(error, dict) else error
        except (ValueError, KeyError, TypeError):
            words = answer.text
        short = self._hide(" ".join(str(words).split()))
        return short if len(short) <= MAX_MESSAGE else f"{short[:MAX_MESSAGE]}…"

    def _hide(self, words: str) -> str:
        """The words without the key."""
        return words.replace(self._key, "[key]") if self._key else words

    def close(self) -> None:
        """Nothing; connections are closed."""
        self._client.close()


def key_from(variable: str) -> str:
    """The key in an environment variable, empty where no variable is named."""
    if not variable:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(f"the environment variable {variable} is not set; set it to the key of the server")
    if not (key.isascii() and key.isprintable()):
        raise UserError(f"the environment variable {variable} holds characters that no key has; set it again")
    return key


def seconds_asked(retry_after: str) -> float | None:
    """The seconds that a `Retry-After` asks for, given as such or as a date; None where it says nothing."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
