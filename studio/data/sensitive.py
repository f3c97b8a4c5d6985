"""What must not be learned by heart: keys and tokens, by the shapes their makers give them, and mail addresses."""

import re

# Prefixes and lengths as the makers document them (GitHub, OpenAI, Hugging Face, AWS, Google, Slack, Stripe, PEM, JWT);
# the last is any value given as a password, key or token, long enough and mixed enough to be one.
_PATTERN = re.compile(
    r"""
      -----BEGIN[ ](?:[A-Z]+[ ])*PRIVATE[ ]KEY-----(?:.*?-----END[ ](?:[A-Z]+[ ])*PRIVATE[ ]KEY-----)?
    | (?<![A-Za-z0-9])(?:
        (?:AKIA|ASIA)[0-9A-Z]{16}
      | gh[pousr]_[A-Za-z0-9]{30,255} | github_pat_[A-Za-z0-9_]{40,255} | glpat-[A-Za-z0-9_-]{20,}
      | sk-(?:proj-|ant-|live-|test-)?[A-Za-z0-9_-]{20,} | [rs]k_(?:live|test)_[A-Za-z0-9]{16,}
      | hf_[A-Za-z0-9]{30,} | AIza[A-Za-z0-9_-]{35} | xox[abeoprs]-[A-Za-z0-9-]{10,} | npm_[A-Za-z0-9]{36}
      | eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}
      )(?![A-Za-z0-9])
    | (?<=://)[^\s:/@]{1,64}:[^\s:/@]{3,128}(?=@)
    | (?i:(?<![a-z])(?:password|passwd|api[ _-]?key|secret(?:[ _-]?key)?|(?:access|auth)[ _-]?token
        |パスワード|暗証番号|APIキー)(?:の値)?
        (?:\s+is\s+|\s*[:=：＝は]\s*)["'「]?)
      (?P<value>(?=[^\s"'」、。]*[0-9])(?=[^\s"'」、。]*[A-Za-z])[\x21-\x7e]{8,}?)(?=$|[\s"',;]|[^\x00-\x7f]|[.](?:\s|$))
    """,
    re.VERBOSE | re.DOTALL,
)
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
# Every match holds one of these, in lower case: most texts are passed by without the pattern.
_HINTS = (
    "private key", "akia", "asia", "gh", "glpat-", "k-", "k_", "hf_", "aiza", "xox", "npm_", "eyj", "://", "passw",
    "key", "secret", "token", "パスワード", "暗証番号", "キー",
)  # fmt: skip
# For RE2, without looking around: every text that holds a secret holds one of these.
SECRET_HINT = "|".join(
    (
        "PRIVATE KEY-----", "(?:AKIA|ASIA)[0-9A-Z]{16}", "gh[pousr]_[A-Za-z0-9]{30}", "github_pat_", "glpat-",
        "sk-[A-Za-z0-9_-]{20}", "[rs]k_(?:live|test)_", "hf_[A-Za-z0-9]{30}", "AIza", "xox[abeoprs]-",
        "npm_[A-Za-z0-9]{36}", "eyJ[A-Za-z0-9_-]{10}", "://[^/@]{1,64}:[^/@]{3,128}@",
        "(?i:password|passwd|api[ _-]?key|secret|token|パスワード|暗証番号|APIキー)(?:の値)?(?:[\\s\\p{Z}]+is[\\s\\p{Z}]|[\\s\\p{Z}]*[:=：＝は])",
    )
)  # fmt: skip
EMAIL_HINT = "[A-Za-z0-9._%+-]@[A-Za-z0-9]"
MASK = "[secret]"
EMAIL_MASK = "[email]"


def has_secret(text: str) -> bool:
    """Whether something in the text looks like a key, token or password."""
    return _hinted(text) and _PATTERN.search(text) is not None


def _hinted(text: str) -> bool:
    lower = text.lower()
    return any(hint in lower for hint in _HINTS)


def mask_secrets(text: str) -> str:
    """The text with every such value replaced by `[secret]`."""
    return _PATTERN.sub(_masked, text) if _hinted(text) else text


def _masked(match: re.Match[str]) -> str:
    value = match.group("value")
    return match.group()[: -len(value)] + MASK if value else MASK


def has_email(text: str) -> bool:
    """Whether a mail address is in the text."""
    return "@" in text and _EMAIL.search(text) is not None


def mask_emails(text: str) -> str:
    """The text with every mail address replaced by `[email]`."""
    return _EMAIL.sub(EMAIL_MASK, text) if "@" in text else text
