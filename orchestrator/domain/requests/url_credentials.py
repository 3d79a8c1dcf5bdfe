"""Credentials in a URL, and the header that they stand for."""

from base64 import b64encode
from urllib.parse import unquote_to_bytes, urlsplit


def basic_authorization(url: str) -> str | None:
    """Write a URL's userinfo as the ``Authorization`` that it stands for (RFC 7617), its percent-encoded
    bytes as they are: UTF-8 where the URL is right. None where there is no userinfo.
    """
    if "@" not in url or not (userinfo := urlsplit(url).netloc.rpartition("@")[0]):
        return None
    user, _, password = map(unquote_to_bytes, userinfo.partition(":"))
    return "Basic " + b64encode(user + b":" + password).decode()


def user_has_colon(url: str) -> bool:
    """Whether the user in a URL has a colon in its name: whoever reads the header would end it there."""
    return b":" in unquote_to_bytes(urlsplit(url).netloc.rpartition("@")[0].partition(":")[0])
